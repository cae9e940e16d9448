//! What may be asked of the queue, what it answers, and why it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use classad::ClassAd;
use dags::Rules;
use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use proto::nouns::{Blob, JobId, Subject, ToManager, WorkerName};

use crate::accounts::{Setting, Submitter};
use crate::drain::DrainRequest;
use crate::run::ScriptKind;
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
    /// A script of a node ended.
    ScriptEnded {
        run: u32,
        node: u32,
        kind: ScriptKind,
        attempt: u32,
        end: ScriptEnd,
    },
    /// The DAG of a sub-DAG node, or everything that is wrong with it.
    Loaded {
        run: u32,
        node: u32,
        dag: Result<Loaded, String>,
    },
    /// The files that were there, by path as they were asked for; of directories each file in them.
    Collected {
        run: u32,
        node: u32,
        files: Result<BTreeMap<String, Blob>, String>,
    },
    Act {
        act: Act,
        subject: Subject,
        reason: String,
    },
    /// The same for all untouched jobs of a cluster, and for no other.
    ActOnRest {
        act: Act,
        cluster: u32,
        reason: String,
    },
    /// Other attributes for jobs in the queue.
    Edit {
        subject: Subject,
        change: Change,
    },
    /// What is asked of a DAG run.
    Steer {
        run: u32,
        request: Steer,
    },
    /// No new work for this worker, or work again.
    Drain {
        worker: WorkerName,
        request: DrainRequest,
    },
    /// The pool's rules from now on.
    SetRules(Arc<Rules>),
    /// Something of a submitter's account.
    SetAccount {
        submitter: Submitter,
        setting: Setting,
    },
    /// A deadline that [`crate::Queue::next_deadline`] gave has passed.
    Tick,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    Exited(i32),
    Signaled(i32),
    /// Why it could not be started.
    NotStarted(String),
}

/// A sub-DAG, read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub dag: Arc<Dag>,
    /// Of the texts it was made from.
    pub digest: String,
}

/// What people ask of DAG runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steer {
    /// Start nothing new; what runs goes on, with its POST scripts.
    Halt,
    /// Go on: from a halt, or with everything that is not done of a run that ended.
    Resume,
    /// Run nodes that failed again, with what waits behind them: those named, or all.
    Retry { nodes: Vec<String> },
    /// Run nodes again, done or not, with all their descendants.
    Rerun { from: Vec<String> },
    /// From now on at most this much at a time.
    Throttle(ThrottleChange),
}

/// New limits of a run; `None` leaves one as it is, 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThrottleChange {
    pub max_jobs: Option<u32>,
    pub max_idle: Option<u32>,
    pub max_pre: Option<u32>,
    pub max_post: Option<u32>,
    pub max_hold: Option<u32>,
    /// Limits of categories, by name.
    pub categories: BTreeMap<String, u32>,
}

/// What people do to jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Hold,
    Release,
    Remove,
    /// What runs is idle again.
    Vacate(Haste),
}

/// How a job that has to leave its worker is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// With its signal, and the time that it has to end.
    Grace,
    /// It is killed.
    Now,
}

/// What is changed of jobs in the queue.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Attributes of their ads: [`dags::submit::parse_edits`].
    Attributes(Box<ClassAd>),
    /// `JobPrio`, from what it is now.
    PriorityBy(i32),
    PriorityTo(i32),
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
    /// The submitter's values of the variables that the DAG asks for (`ENV GET`).
    pub environment: BTreeMap<String, String>,
    /// A run that ended, of which it takes over what is the same and done.
    pub continues: Option<u32>,
    pub directory: String,
    pub delivery: Delivery,
    pub files: BTreeMap<String, Blob>,
    /// Digests of the sub-DAGs whose texts came along, by file and by what its paths are relative
    /// to: those of [`Loaded`]. Known where it continues an earlier run.
    pub subdags: BTreeMap<(String, String), String>,
}

/// What a command that was carried out says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Submitted {
        id: u32,
    },
    /// Jobs, or nodes of a DAG run, that changed.
    Acted {
        changed: u64,
    },
    /// Jobs that were edited, and those of them that run: for them it counts from the next start.
    Edited {
        changed: u64,
        running: u64,
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
    #[error("DAG run {run} has no node `{node}`{}", meant(.likely.as_deref()))]
    UnknownNode {
        run: u32,
        node: String,
        likely: Option<String>,
    },
    #[error("DAG run {run} has no category `{category}`{}", meant(.likely.as_deref()))]
    UnknownCategory {
        run: u32,
        category: String,
        likely: Option<String>,
    },
    #[error("DAG run {run} cannot be {act}: {reason}")]
    NotNow {
        run: u32,
        act: &'static str,
        reason: String,
    },
    #[error("{subject} cannot be edited: {reason}")]
    BadEdit { subject: Subject, reason: String },
    #[error("the description cannot be queued: {reason}")]
    Invalid { reason: String },
    #[error("worker {worker} is not drained: `{check}` {found}")]
    DrainCheck {
        worker: WorkerName,
        check: String,
        found: String,
    },
    #[error("session {session} does not speak for worker {worker}: {reason}")]
    Session {
        worker: WorkerName,
        session: u64,
        reason: String,
    },
}

fn meant(likely: Option<&str>) -> String {
    likely.map_or(String::new(), |likely| {
        format!("; did you mean `{likely}`?")
    })
}
