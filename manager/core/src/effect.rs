//! What the shell does after the change behind it is durable. Each may be done twice: once before a
//! crash and once after.

use std::sync::Arc;

use dags::dag::{Debug, Node};
use dags::study::StudySpec;
use proto::nouns::{Blob, JobId, ToWorker, WorkerName};

use crate::run::ScriptKind;
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
    /// Run a script of a node, and bring its end as [`crate::Command::ScriptEnded`].
    Script(Box<ScriptOrder>),
    /// Kill a script that runs, with everything it started. Nobody waits for its end.
    StopScript {
        run: u32,
        node: u32,
        kind: ScriptKind,
    },
    /// Read the DAG file of a sub-DAG, and bring it as [`crate::Command::Loaded`].
    Load(Box<LoadOrder>),
    /// Take files from a run's directory into the blobs, and bring them as
    /// [`crate::Command::Collected`].
    Collect(Box<CollectOrder>),
    /// Write a file that tells people about a run or a job. In the order of the effects; one that
    /// cannot be written is logged and forgotten.
    Write(Box<Writing>),
}

/// A script to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptOrder {
    pub run: u32,
    pub node: u32,
    pub kind: ScriptKind,
    /// The node's attempt, 1 for the first. After a restart the same script may come again with the
    /// same number.
    pub attempt: u32,
    /// Where it runs: absolute.
    pub directory: String,
    /// As written: relative to `directory` where it has a `/` or is there, else looked for in
    /// `PATH`.
    pub program: String,
    pub arguments: Vec<String>,
    /// Besides the manager's own.
    pub environment: Vec<(String, String)>,
    pub debug: Option<Debug>,
}

/// A sub-DAG to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOrder {
    /// The node that it belongs to.
    pub run: u32,
    pub node: u32,
    /// The directory of the workspace: absolute.
    pub directory: String,
    /// The DAG file, relative to `directory` or absolute.
    pub file: String,
    /// What the DAG's paths are relative to, itself relative to `directory`.
    pub dir: String,
    /// Where the file is the submit description of one node: that node, as it was written.
    pub job: Option<Box<Node>>,
}

/// Files to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectOrder {
    /// The node whose jobs want them.
    pub run: u32,
    pub node: u32,
    /// The directory of the workspace: absolute.
    pub directory: String,
    /// Files and directories, relative to `directory` or absolute. What is not there is left out.
    pub paths: Vec<String>,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing {
    /// Absolute.
    pub directory: String,
    /// Relative to `directory`, or absolute.
    pub path: String,
    pub how: Write,
}

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// All of it, at once: a reader sees the old file or the new one.
    Replace(Vec<u8>),
    /// As [`Write::Replace`], with the old file, if there is one, renamed to `.old` first.
    KeepOld(Vec<u8>),
    /// Under the first of `path.0`, `path.1` … that is free.
    Beside(Vec<u8>),
    /// Behind what is there, with one call.
    Append(Vec<u8>),
    /// As [`Write::Append`], unless these bytes stand among the last 64 KiB of the file already: a
    /// crash may have come before or after it was written.
    AppendMissing(Vec<u8>),
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
