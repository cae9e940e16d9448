//! What crosses the wire, twice: `nouns`, the validated types that every crate may use, and
//! (feature `wire`) the messages and services generated from `proto/updraft.proto`, which only
//! shells may name.
//!
//! Converting between the two happens in `convert`, by hand, and is the only place where a message
//! from the network becomes something the rest of the house trusts.

pub mod nouns;

#[cfg(feature = "wire")]
pub mod batch;
#[cfg(feature = "wire")]
pub mod convert;

/// The generated messages, clients and servers of `proto/updraft.proto`.
#[cfg(feature = "wire")]
#[allow(missing_docs, clippy::all, clippy::unwrap_used, rust_2018_idioms)]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/updraft.v1.rs"));
}
