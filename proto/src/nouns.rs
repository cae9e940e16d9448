//! The validated nouns: identifiers, digests, paths, times, and what manager and worker say to each
//! other. Everything here can be stored and compared; nothing here does anything.

mod ids;
mod paths;
mod session;
mod work;

pub use ids::{ClaimId, Digest, JobId, ParseIdError, Subject, WorkerName};
pub use paths::{RelPath, join_path};
pub use session::{LogStream, ToManager, ToWorker};
pub use work::{
    Blob, Ended, Exceeds, Fault, GpuNaming, Input, Offer, OfferedGpu, Outputs, Program, Report,
    VacateReason, WorkOrder,
};

use serde::{Deserialize, Serialize};

/// The two clocks a core is told about. Leases are measured on `mono_ms`, which never jumps;
/// `wall_ms` is only ever shown to people and stored in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub wall_ms: u64,
    /// Milliseconds since an arbitrary start, monotonic while a process lives.
    pub mono_ms: u64,
}
