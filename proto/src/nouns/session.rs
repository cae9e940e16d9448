//! What a worker and the manager say to each other in a session. Each message may arrive twice,
//! late or never; both sides are written so that this does no harm.

use serde::{Deserialize, Serialize};

use super::{ClaimId, Digest, Offer, Report, VacateReason, WorkOrder, WorkerName};

/// From a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToManager {
    /// Opens a session and says everything: the offer, and each claim that the worker still knows.
    /// `boot` is drawn anew at each start of the worker.
    Hello {
        worker: WorkerName,
        boot: u64,
        version: String,
        offer: Offer,
        claims: Vec<ClaimId>,
        /// What its cache holds, the largest first; not all of it.
        cached: Vec<Digest>,
    },
    /// The offer changed.
    Advertise { offer: Offer },
    /// Still here; renews the lease of each claim it names.
    Beat { claims: Vec<ClaimId> },
    /// The claim's process runs.
    Started { claim: ClaimId },
    /// Lines that the job wrote to its metrics file since the last time.
    Progress { claim: ClaimId, lines: Vec<String> },
    /// The claim ended. Said again until acknowledged.
    Finished { claim: ClaimId, report: Box<Report> },
    /// The answer to `Tail`: bytes of the log from `offset` on; none when there is no more yet.
    Log {
        request: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
}

/// From the manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The session is open. Leases are renewed every `beat_ms`.
    Welcome {
        pool: u32,
        lease_ms: u64,
        beat_ms: u64,
    },
    /// Run this: now, or, sent ahead, with the resources of the claim `behind` when that has
    /// ended.
    Activate {
        claim: ClaimId,
        order: Box<WorkOrder>,
        behind: Option<ClaimId>,
    },
    /// End this claim and report.
    Vacate {
        claim: ClaimId,
        reason: VacateReason,
        /// How long it may take to end, where that is not what its order says.
        grace_ms: Option<u64>,
    },
    /// The claim's report is durable, or will never be wanted: forget it.
    Forget { claim: ClaimId },
    /// Send what the claim's log holds from `offset` on, at most one message's worth.
    Tail {
        request: u64,
        claim: ClaimId,
        stream: LogStream,
        offset: u64,
    },
    /// The session ends; `reason` says why. The worker may come back with a new one.
    Goodbye { reason: String },
    /// Nothing is left to run here, and nothing will come: the worker is to end. `reason` says why.
    Leave { reason: String },
}

/// Which of a job's two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStream {
    Stdout,
    Stderr,
}
