//! What the shell does after the change behind it is durable. Each may be done twice: once before a
//! crash and once after.

use std::sync::Arc;

use dags::study::StudySpec;
use proto::nouns::{Blob, JobId, ToWorker, WorkerName};

use crate::study::{Params, TrialState};

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Say this in the session, if it is still open. It need not arrive.
    Tell {
        worker: WorkerName,
        session: u64,
        message: ToWorker,
    },
    /// Ask the optimizer, and bring its answer as [`crate::Command::Suggested`].
    Ask(Box<Question>),
    /// Put a job's files where they belong, and say so with [`crate::Command::Landed`].
    Land(Box<Landing>),
    /// Keep these bytes as a blob: work that refers to it may follow.
    Keep { bytes: Vec<u8> },
}

/// Which trials should come next, asked of the optimizer.
#[derive(Clone, Debug)]
pub struct Question {
    pub run: u32,
    pub node: u32,
    /// The study's name: the node's.
    pub name: String,
    pub spec: Arc<StudySpec>,
    /// Trials so far, in order.
    pub history: Vec<(Params, TrialState)>,
    /// How many are wanted, from the trial after the history on.
    pub count: u32,
}

/// Files to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    pub job: JobId,
    pub directory: String,
    /// Path relative to `directory` or absolute, and what belongs there.
    pub files: Vec<(String, Blob)>,
}
