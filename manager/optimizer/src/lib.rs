//! Ask-and-tell Bayesian optimization: which parameters to try next, given what was tried.
//!
//! [`suggest`](suggest()) is the whole of it: a function from a [`Config`], the finished trials
//! and the pending ones to the next points. [`Study`] remembers trials for those who do not keep
//! them elsewhere; [`protocol::Session`] speaks for a study in lines of JSON.
//!
//! The means: scrambled Sobol' points to begin with; then Gaussian processes (Matérn 5/2, one
//! length scale per parameter, dimension-scaled priors), one at the most plausible parameters and
//! a few drawn from their posterior; expected improvement in logarithms, averaged over the
//! processes and, where trials are pending or values scatter, over joint draws of the function;
//! gradient search from the best of many candidates, with grids and choices tried one by one.
//! Failed trials teach a second process where not to look and never count as values.
//!
//! Pure: the same arguments give the same points on the same processor. It knows nothing of jobs,
//! clocks or files. One ask takes about 10 ms of one core with 30 values in 6 dimensions, 60 ms
//! with 100, 1 s with 500; at most [`MODELLED_MAX`] values are modelled.
#![deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
#![forbid(unsafe_code)]

mod acquisition;
mod axis;
mod config;
mod descent;
mod design;
mod evidence;
mod factor;
mod gp;
mod kernel;
mod normal;
mod outputs;
mod point;
pub mod protocol;
mod search;
mod space;
mod stream;
mod study;
mod suggest;

pub use config::{
    Config, ConfigError, Goal, Noise, Observation, Outcome, STARTUP_MAX, default_startup,
};
pub use point::{ParamValue, Point, PointError};
pub use space::{
    CHOICES_MAX, INT_MAGNITUDE_MAX, NAME_BYTES_MAX, PARAMS_MAX, Param, ParamKind, Scale, Space,
    SpaceError,
};
pub use study::{Best, Study, StudyError, TRIALS_MAX, Trial, best, incumbent};
pub use suggest::{MODELLED_MAX, SUGGESTIONS_MAX, suggest};
