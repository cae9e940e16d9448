//! The work that goes to a worker and what comes back: orders, offers, reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, JobId, RelPath};

/// What a worker has to give: the ad it advertises and the resources that claims are carved from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The machine's ad, one `Name = expression` per line, without the attributes that carving
    /// changes.
    pub ad: String,
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    pub gpus: Vec<OfferedGpu>,
    /// Custom resources, by name in lower case: what `request_<name>` asks for.
    #[serde(default)]
    pub resources: BTreeMap<String, u64>,
}

/// One device of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedGpu {
    /// Its UUID.
    pub id: String,
    /// Its property ad in long form.
    pub ad: String,
    /// Why it must not be used, if it must not.
    #[serde(default)]
    pub broken: Option<String>,
}

/// Everything a worker needs to run one attempt of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkOrder {
    pub job: JobId,
    /// 1 for the first start.
    pub attempt: u32,
    pub owner: String,
    pub program: Program,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub inputs: Vec<Input>,
    /// The input that becomes standard input.
    pub stdin: Option<RelPath>,
    pub outputs: Outputs,
    pub cpus: u32,
    pub memory_mib: u64,
    /// Ids of the devices that were carved for this claim.
    pub gpus: Vec<String>,
    /// What the claim has of the memory of each of its devices; `None` is all of it, and the
    /// devices are nobody else's.
    pub gpu_memory_mib: Option<u64>,
    pub gpu_naming: GpuNaming,
    /// Custom resources that were carved for this claim.
    pub resources: BTreeMap<String, u64>,
    /// The trial's parameters as a JSON object, put where `UPDRAFT_PARAMS` points.
    pub params: Option<String>,
    /// The signal that asks the job to end, before it is killed.
    pub kill_signal: i32,
    /// How long a job that was asked to end may take before it is killed.
    pub kill_grace_ms: u64,
}

/// How a job's environment names its devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuNaming {
    #[default]
    Uuid,
    /// The driver's numbers, for programs that know no other.
    Index,
}

/// What is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// A staged input, made executable.
    Staged(RelPath),
    /// A program of the worker's machine: a path, or a name looked up in its `PATH`.
    Installed(String),
    /// The worker's own trainer: `updraft train`.
    Trainer,
}

/// A file staged into the job's directory before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub path: RelPath,
    pub blob: Blob,
}

/// Bytes in a content-addressed store, with what a file made of them needs besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: u64,
    pub executable: bool,
}

/// Which files of the job's directory come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outputs {
    /// Files at the top of the directory that the job made or changed.
    New,
    /// Exactly these, files or whole directories.
    Listed(Vec<RelPath>),
}

/// What became of one attempt. Kept on the worker's disk until the manager says that it is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub ended: Ended,
    pub started_ms: u64,
    pub ended_ms: u64,
    pub user_cpu_ms: u64,
    pub system_cpu_ms: u64,
    pub rss_max_kib: u64,
    pub outputs: Vec<(RelPath, Blob)>,
    /// Listed outputs that were not there.
    pub missing: Vec<RelPath>,
    pub stdout: Option<Blob>,
    pub stderr: Option<Blob>,
    /// The last value the job reported under each name, numbers only.
    pub metrics: BTreeMap<String, f64>,
    /// What was wrong with the metrics file, if anything was.
    pub metrics_error: Option<String>,
}

impl Report {
    /// A report that says how and when, and nothing else.
    pub fn new(ended: Ended, started_ms: u64, ended_ms: u64) -> Report {
        Report {
            ended,
            started_ms,
            ended_ms,
            user_cpu_ms: 0,
            system_cpu_ms: 0,
            rss_max_kib: 0,
            outputs: Vec::new(),
            missing: Vec::new(),
            stdout: None,
            stderr: None,
            metrics: BTreeMap::new(),
            metrics_error: None,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Exited(i32),
    Signaled(i32),
    /// Ended because the manager asked for it.
    Vacated,
    /// Ended by the worker, or by itself, because it needs more than it has.
    Exceeded {
        resource: Exceeds,
        /// As far as it is known; or 0.
        used_mib: u64,
    },
    /// Never started.
    NotStarted {
        fault: Fault,
        reason: String,
    },
}

/// What a job may need more of than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exceeds {
    Memory,
    GpuMemory,
    Disk,
}

/// Whose fault it is that a job did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The job's: it would fail anywhere.
    Job,
    /// This worker's: another one may succeed.
    Worker,
}

/// Why a claim is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VacateReason {
    /// The claim is not, or no longer, the job's current one.
    Stale,
    Held,
    Removed,
    /// Another job has a better right to the slot.
    Preempted,
    /// The worker is drained.
    Drained,
    /// It was sent ahead, and something better has turned up.
    CalledBack,
}
