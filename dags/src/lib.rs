//! The languages people write: DAG files, submit descriptions, study files, the pool's rules.
//!
//! Text goes in, checked values or located [`Diagnostics`] come out, and everything that comes out
//! can be stored and sent (serde). Pure: no file access, no clock, no environment. Files are
//! reached through [`Files`], which the caller implements over a disk, an upload or a map. What a
//! node, a job or a trial *does* is no business of this crate.
//!
//! - [`dag`]: DAGMan's DAG files with `STUDY` and `FOREACH`, up to a checked graph.
//! - [`submit`]: HTCondor's submit descriptions, up to one [`JobSpec`] per proc.
//! - [`study`]: study files in TOML: metric, budget and space.
//! - [`rules`]: the pool's rules in TOML: shares, limits, the order of places.
//! - [`diagnostic`]: what is wrong, where, and what was probably meant.

#![deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
#![forbid(unsafe_code)]

pub mod dag;
pub mod diagnostic;
pub mod files;
pub mod rules;
mod source;
pub mod study;
pub mod submit;

pub use dag::{Dag, DagSummary, Node, NodeKind, NodeStart};
pub use diagnostic::{Code, Diagnostic, Diagnostics, Severity};
pub use files::Files;
pub use rules::Rules;
pub use study::{Goal, Param, ParamKind, ParamValue, Space, StudySpec};
pub use submit::{Items, JobSpec, Macros, Submit, Universe};
