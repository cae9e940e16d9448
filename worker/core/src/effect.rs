//! What the core asks of its shell.

use proto::nouns::{ClaimId, LogStream, Report, ToManager, WorkOrder};

/// Something to do. The effects of one input are begun in the order they are given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Say this on the session that is open. Lost without harm if there is none any more.
    Send(ToManager),
    /// Stage the order's inputs and run it; answered by `spawned`, perhaps `process_over`, then
    /// `ended`, or by `spawn_failed`.
    Run {
        claim: ClaimId,
        order: Box<WorkOrder>,
    },
    /// End what the claim runs: `signal` to its processes, and after `grace_ms` they are killed.
    /// While the claim is still staging, give that up. Doing it twice does nothing more; `ended`
    /// follows either way.
    Kill {
        claim: ClaimId,
        signal: i32,
        grace_ms: u64,
    },
    /// Write the report where a restart finds it. It may be said before it is written: nothing
    /// that the manager answers relies on its being there, and once it is forgotten it need not
    /// be written at all.
    Spool { claim: ClaimId, report: Box<Report> },
    /// Remove the claim's report and everything else that is kept for it.
    ForgetSpool { claim: ClaimId },
    /// Answer with a `Log` message: what the claim's log holds from `offset` on.
    Tail {
        request: u64,
        claim: ClaimId,
        stream: LogStream,
        offset: u64,
    },
    /// Close the session; a new one may be tried. `reason` is the manager's.
    Close { reason: String },
    /// End the worker: the manager wants no more of it, and nothing runs. `reason` is the
    /// manager's.
    Leave { reason: String },
}

/// Why the core wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Leases are to be renewed and unacknowledged reports said again.
    Beat,
    /// The manager has not answered the last `Hello`.
    HelloAgain,
}
