//! What one proc asks for: the checked, expanded form that queue, matchmaker and worker share.

use std::collections::BTreeMap;

use classad::{ClassAd, Expr};
use serde::{Deserialize, Serialize};

/// One job, with nothing left to expand. Paths are as written, relative to `initial_dir` joined to
/// the node's directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    pub universe: Universe,
    /// Empty in the train universe.
    pub executable: String,
    pub transfer_executable: TransferExecutable,
    /// One element per argument, unquoted.
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// `initialdir`; empty when not given.
    pub initial_dir: String,
    /// The file that becomes standard input.
    pub stdin: Option<String>,
    pub stdout: Option<String>,
    pub stderr: Option<String>,
    /// The user's event log.
    pub log: Option<String>,
    pub should_transfer: ShouldTransfer,
    /// `transfer_input_files`; a directory ends in `/` to mean its contents.
    pub transfer_input: Vec<String>,
    /// `transfer_output_files`; `None`: every new file of the job's top directory.
    pub transfer_output: Option<Vec<String>>,
    /// From a name in the job's directory to where it goes.
    pub output_remaps: BTreeMap<String, String>,
    pub request_cpus: u32,
    pub request_memory_mib: u64,
    pub request_disk_kib: u64,
    pub request_gpus: u32,
    /// The user's expression and the automatic clauses, joined by `&&`. As in HTCondor there is no
    /// clause for `Cpus` when one is asked for, nor for memory or disk when none is: whoever carves
    /// a slot checks amounts himself.
    pub requirements: Option<Expr>,
    pub rank: Option<Expr>,
    /// Higher goes first, among the jobs of one user.
    pub priority: i64,
    /// Times the job is run again after an exit code other than `success_exit_code`.
    pub max_retries: u32,
    pub success_exit_code: i32,
    /// Seconds a job outlives the contact to its manager; `None`: the manager's default.
    pub lease_s: Option<u64>,
    /// A signal's name, as `SIGTERM`.
    pub kill_signal: String,
    /// Whether the job enters the queue held.
    pub hold: SubmitState,
    pub batch_name: Option<String>,
    /// All of the above and the user's own attributes, under HTCondor's names.
    pub ad: ClassAd,
}

/// Who runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Universe {
    /// An executable of the user's.
    Vanilla,
    /// The built-in trainer; `arguments` are its flags.
    Train,
}

/// Where the executable comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferExecutable {
    /// It is staged from the submitter's side like an input file.
    Staged,
    /// It is on the worker already, at this path. Always so in the train universe.
    Present,
}

/// Whether files are moved to and from the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShouldTransfer {
    Yes,
    No,
    /// Unless both sides share a file system.
    IfNeeded,
}

/// The state in which a job enters the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitState {
    Run,
    Hold,
}

impl Universe {
    /// Its name in a submit description.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vanilla => "vanilla",
            Self::Train => "train",
        }
    }

    /// HTCondor's number for `JobUniverse`; the trainer is a vanilla job to everything that reads
    /// it.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Vanilla | Self::Train => 5,
        }
    }
}
