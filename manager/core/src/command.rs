//! What may be asked of the queue, what it answers, and why it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use proto::nouns::{Blob, JobId, Subject, ToManager, WorkerName};

use crate::study::Params;
use crate::workspace::Delivery;

/// Everything that changes the queue comes as one of these.
#[derive(Clone, Debug)]
pub enum Command {
    SubmitCluster(Box<NewCluster>),
    SubmitRun(Box<NewRun>),
    /// A message of a worker's session. Sessions are numbered by the shell, rising.
    Session {
        worker: WorkerName,
        session: u64,
        message: ToManager,
    },
    /// The session broke.
    Disconnected {
        worker: WorkerName,
        session: u64,
    },
    /// The optimizer's answer to [`crate::Effect::Ask`]: points for the trials from `first` on.
    Suggested {
        run: u32,
        node: u32,
        first: u32,
        points: Result<Vec<Params>, String>,
    },
    /// The files of a landing job are where they belong, or could not be put there.
    Landed {
        job: JobId,
        result: Result<(), String>,
    },
    Act {
        act: Act,
        subject: Subject,
        reason: String,
    },
    /// No new work for this worker, or work again.
    Drain {
        worker: WorkerName,
        drain: DrainState,
    },
    /// A deadline that [`crate::Queue::next_deadline`] gave has passed.
    Tick,
}

/// What people do to jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Hold,
    Release,
    Remove,
    /// Run again what failed of a DAG run.
    Retry,
}

/// Whether a worker takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainState {
    Drained,
    Open,
}

/// A submit description, checked and expanded once by the shell.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Drawn by the client; the same key is the same submission.
    pub key: String,
    pub owner: String,
    pub submit: Arc<Submit>,
    pub macros: Macros,
    pub directory: String,
    pub delivery: Delivery,
    pub files: BTreeMap<String, Blob>,
}

/// A checked DAG.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub key: String,
    pub owner: String,
    pub dag: Arc<Dag>,
    pub digest: String,
    pub directory: String,
    pub delivery: Delivery,
    pub files: BTreeMap<String, Blob>,
}

/// What a command that was carried out says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Submitted {
        id: u32,
    },
    /// Jobs that changed.
    Acted {
        changed: u64,
    },
    /// Jobs that still run on the drained worker.
    Drained {
        running: u32,
    },
}

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no cluster, DAG run or job {subject}")]
    Unknown { subject: Subject },
    #[error("there is no worker {worker}")]
    UnknownWorker { worker: WorkerName },
    #[error("{subject} cannot be {act}: {state}")]
    WrongState {
        subject: Subject,
        act: &'static str,
        state: String,
    },
    #[error("the queue holds {jobs} jobs, and takes no more than {limit} (queue_jobs_max)")]
    QueueFull { jobs: u64, limit: u64 },
    #[error("the description cannot be queued: {reason}")]
    Invalid { reason: String },
    #[error("session {session} does not speak for worker {worker}: {reason}")]
    Session {
        worker: WorkerName,
        session: u64,
        reason: String,
    },
}
