//! The whole pool as a user has it: managers, workers and clients as processes of their own, which
//! speak over loopback, crash and come back. What the binary says without a manager is in `cli.rs`.

#![allow(clippy::unwrap_used)]

#[path = "e2e/crashes.rs"]
mod crashes;
#[path = "e2e/editing.rs"]
mod editing;
#[path = "e2e/evictions.rs"]
mod evictions;
#[path = "e2e/files.rs"]
mod files;
#[path = "e2e/graphs.rs"]
mod graphs;
#[path = "e2e/home.rs"]
mod home;
#[path = "e2e/looking.rs"]
mod looking;
#[path = "e2e/matching.rs"]
mod matching;
#[path = "e2e/nodes.rs"]
mod nodes;
#[path = "e2e/policy.rs"]
mod policy;
#[path = "e2e/pool.rs"]
mod pool;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "e2e/runs.rs"]
mod runs;
#[path = "e2e/sharing.rs"]
mod sharing;
#[path = "e2e/vacating.rs"]
mod vacating;
#[path = "e2e/verbs.rs"]
mod verbs;
#[path = "e2e/watching.rs"]
mod watching;
