//! The ad language: ClassAds as HTCondor's daemons speak them. Parse, evaluate, compile, unparse,
//! match, explain. Its rules, each with its source, are in `LANGUAGE.md`.
//!
//! Pure: no clock, no environment, no randomness that was not handed in. `time()` answers with the
//! [`Scope`]'s `now`, `random()` draws from its seed. Nothing here knows what a job or a machine
//! is; the only attribute names this crate gives a meaning to are `Requirements` and `Rank`.
//!
//! ```
//! use classad::{ClassAd, matching, Scope, Expr, Value};
//!
//! let job = "RequestMemory = 2048\nRequirements = TARGET.Memory >= RequestMemory";
//! let job = ClassAd::parse_long(job).unwrap();
//! let slot = ClassAd::parse("[ Memory = 4096; Requirements = true ]").unwrap();
//! assert!(matching::symmetric_match(&job, &slot, 0));
//!
//! let expr = Expr::parse("TARGET.Memory - RequestMemory").unwrap();
//! assert_eq!(Scope::new(&job).target(&slot).eval(&expr), Value::Int(2048));
//! ```
//!
//! Source of the semantics: HTCondor's C++ library in the mode its daemons use, measured.
#![deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
#![forbid(unsafe_code)]

mod ad;
mod compiled;
mod error;
mod eval;
pub mod explain;
mod expr;
mod functions;
mod json;
pub mod limits;
pub mod matching;
mod name;
mod parser;
mod references;
pub mod rows;
mod significant;
pub mod spelling;
mod store;
mod times;
mod unparse;
mod value;

pub use ad::ClassAd;
pub use compiled::Compiled;
pub use error::{AdError, ParseError};
pub use eval::Scope;
pub use expr::{BinaryOp, Expr, UnaryOp};
pub use matching::{half_match, rank, symmetric_match};
pub use name::AttrName;
pub use references::References;
pub use significant::{Significant, significant};
pub use value::{AdValue, List, Value};
