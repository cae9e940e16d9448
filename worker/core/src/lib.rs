//! The worker's side of a session with the manager, as a pure state machine: which claims there
//! are, what is said about them and when, and what the shell must do.
//!
//! No clock, no file, no process, no runtime: every input carries `now`, every answer is a list of
//! [`Effect`]s that the shell carries out in order. A claim goes `(Waiting) → Staging → Running →
//! (Vacating) → Finished → gone`; jobs go on while there is no session, and a report is said again
//! until the manager forgets its claim. Messages may come twice, late or never: all that does is to
//! have something said again.
//!
//! A claim that was sent ahead waits behind another, whose resources it takes over the moment that
//! one's process is over. It is told of like any other, and lost like any other when the worker
//! dies; called back, it never began.
#![deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
#![forbid(unsafe_code)]

mod claim;
mod effect;
mod session;
mod turns;

pub use claim::Phase;
pub use effect::{Deadline, Effect};
pub use session::{
    CACHED_MAX, CLAIMS_MAX, Core, GONE_MAX, HELLO_RETRY_MS, PROGRESS_BACKLOG_LINES_MAX,
};
