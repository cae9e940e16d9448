//! What happened. Events are decided, then applied; nothing else changes the queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use classad::ClassAd;
use dags::Rules;
use dags::dag::Throttles;
use dags::submit::JobSpec;
use proto::nouns::{Blob, ClaimId, Digest, JobId, Offer, Report, Subject, WorkOrder, WorkerName};
use serde::{Deserialize, Serialize};

use crate::accounts::{Charge, Setting, Submitter};
use crate::command::ScriptEnd;
use crate::drain::DrainState;
use crate::job::{Cluster, HoldCode, PolicyHold};
use crate::pool::OfferAds;
use crate::raised::More;
use crate::rest::Rest;
use crate::run::{Cut, Halt, Run, ScriptKind};
use crate::study::Params;
use crate::workspace::Workspace;

/// One change of the queue.
#[derive(Clone, Debug)]
pub enum Event {
    ClusterQueued {
        cluster: Box<Cluster>,
        workspace: Option<Workspace>,
        key: Option<String>,
    },
    RunQueued(Box<QueuedRun>),
    /// The node's PRE script is to run.
    NodePre {
        run: u32,
        node: u32,
    },
    /// The PRE script ended, and the node may start; or, with `always_run_post`, its POST script.
    NodeReady {
        run: u32,
        node: u32,
    },
    /// What the node needs before it can start is being fetched.
    NodePreparing {
        run: u32,
        node: u32,
    },
    NodeStarted {
        run: u32,
        node: u32,
        works: Works,
    },
    /// The node's jobs are over, and its POST script is to run.
    NodePost {
        run: u32,
        node: u32,
    },
    /// What a part of the node returned: its PRE script, or its jobs.
    NodeReturned {
        run: u32,
        node: u32,
        part: Part,
        code: i32,
    },
    /// The node failed and is tried again, all of it.
    NodeRetried {
        run: u32,
        node: u32,
        reason: String,
    },
    NodeEnded {
        run: u32,
        node: u32,
        end: NodeEnd,
    },
    /// The nodes, all waiting, will never run.
    NodesFutile {
        run: u32,
        nodes: Vec<u32>,
    },
    /// Somebody asked for the nodes: they wait again, as if for the first time.
    NodesReset {
        run: u32,
        nodes: Vec<u32>,
        subdags: Subdags,
    },
    /// A run that ended goes on.
    RunResumed {
        run: u32,
    },
    RunHalted {
        run: u32,
        halt: Halt,
    },
    RunThrottled {
        run: u32,
        throttles: Throttles,
        limits: Vec<Option<u32>>,
    },
    /// The run's provisioner is ready.
    RunProvisioned {
        run: u32,
    },
    /// Nothing more starts but the FINAL node; what was under way is stopped.
    RunCut {
        run: u32,
        cut: Cut,
    },
    RunEnded {
        run: u32,
        outcome: Outcome,
    },
    /// Files of the workspace, new or changed.
    FilesAdded {
        home: u32,
        files: BTreeMap<String, Blob>,
    },
    /// A proc joins the study's cluster.
    TrialAdded {
        run: u32,
        node: u32,
        params: Params,
    },
    TrialEnded {
        run: u32,
        node: u32,
        trial: u32,
        end: TrialEnd,
    },
    JobClaimed {
        job: JobId,
        claim: ClaimId,
        worker: WorkerName,
        gpus: Vec<String>,
        taken: Arc<Taken>,
        /// The job as it runs there, where its description takes something from the machine.
        filled: Option<Box<JobSpec>>,
        /// Sent ahead: it follows this claim in its slot.
        behind: Option<ClaimId>,
        /// What its worker is told, until it is.
        order: Option<Box<WorkOrder>>,
    },
    JobStarted {
        job: JobId,
    },
    /// The result of the job's current claim is accepted. Its outputs join the workspace.
    JobReported {
        job: JobId,
        report: Box<Report>,
        failure: Option<String>,
        /// It is held when its files are where they belong.
        hold: Option<PolicyHold>,
        lands: Lands,
    },
    JobCompleted {
        job: JobId,
        failure: Option<String>,
    },
    JobRequeued {
        job: JobId,
        cause: Requeue,
    },
    JobHeld {
        job: JobId,
        code: HoldCode,
        reason: String,
    },
    JobReleased {
        job: JobId,
    },
    JobRemoved {
        job: JobId,
        reason: String,
    },
    /// Attributes of one job, or of all jobs of a cluster, from now on.
    JobsEdited {
        subject: Subject,
        edits: Box<ClassAd>,
    },
    /// All untouched jobs of a cluster enter this state together.
    RestChanged {
        cluster: u32,
        rest: Rest,
    },
    /// A job of a node is removed because it cannot be run as it is.
    JobUnfit {
        job: JobId,
        reason: String,
    },
    WorkerDrained {
        worker: WorkerName,
        drain: DrainState,
    },
    /// The pool has these rules from now on.
    RulesSet(Arc<Rules>),
    /// An admin set something of an account.
    AccountSet {
        submitter: Submitter,
        setting: Setting,
    },
    Soft(Soft),
}

/// A run as it joins the queue.
#[derive(Clone, Debug)]
pub struct QueuedRun {
    pub run: Run,
    /// Nothing for a sub-DAG: it works in that of its parent.
    pub workspace: Option<Workspace>,
    pub key: Option<String>,
}

/// What a node's start put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Works {
    Nothing,
    Cluster(u32),
    Subrun(u32),
}

/// A part of a node that returns a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Pre,
    Jobs,
}

/// What becomes of the sub-DAGs of nodes that run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subdags {
    /// They go on from what is done.
    Resume,
    /// They begin anew.
    Anew,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    Failed { exit: u8 },
    Removed,
}

/// A change that leaves no record: a restart learns it anew.
#[derive(Clone, Debug)]
pub enum Soft {
    WorkerJoined {
        worker: WorkerName,
        session: u64,
        boot: u64,
        version: String,
        offer: Offer,
        ads: Box<Ads>,
        /// Claims that it still runs and should not.
        stale: Vec<ClaimId>,
        /// What its cache holds.
        cached: Vec<Digest>,
    },
    WorkerAdvertised {
        worker: WorkerName,
        offer: Offer,
        ads: Box<Ads>,
    },
    /// A restart found this job running: its claim's slot is taken until something is heard of it.
    ClaimKept {
        job: JobId,
    },
    WorkerHeard {
        worker: WorkerName,
        claims: Vec<ClaimId>,
    },
    WorkerCutOff {
        worker: WorkerName,
    },
    WorkerGone {
        worker: WorkerName,
    },
    /// The worker no longer runs the claim.
    ClaimEnded {
        worker: WorkerName,
        claim: ClaimId,
    },
    /// The slot of a claim that lingered is still taken after a restart.
    ClaimLingers {
        claim: ClaimId,
    },
    /// What was in use before a restart is counted; what still is, its claims say.
    AccountsTakenUp,
    /// The claim was sent ahead, and its worker is asked not to begin it.
    ClaimCalledBack {
        worker: WorkerName,
        claim: ClaimId,
    },
    /// The policies of jobs were looked at.
    PoliciesLooked {
        next: LookNext,
    },
    /// The jobs whose time was up until now were dealt with.
    DurationsLooked,
    /// The pause of a worker that could not start jobs is over.
    WorkerResumed {
        worker: WorkerName,
    },
    StudyAsked {
        run: u32,
        node: u32,
    },
    StudyAnswered {
        run: u32,
        node: u32,
    },
    JobProgress {
        job: JobId,
        lines: Vec<String>,
    },
    ScriptStarted {
        run: u32,
        node: u32,
        kind: ScriptKind,
    },
    /// As many of its kind run as may.
    ScriptWaits {
        run: u32,
        node: u32,
        kind: ScriptKind,
    },
    /// It runs again at this time of the monotonic clock.
    ScriptDeferred {
        run: u32,
        node: u32,
        kind: ScriptKind,
        until_mono_ms: u64,
    },
    ScriptDue {
        run: u32,
        node: u32,
        kind: ScriptKind,
    },
    ScriptEnded {
        run: u32,
        node: u32,
        kind: ScriptKind,
        end: ScriptEnd,
    },
}

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEnd {
    Done,
    Failed { reason: String },
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialEnd {
    Value(f64),
    Failed { reason: String },
}

/// Why a running job is idle again.
#[derive(Clone, Debug, PartialEq)]
pub enum Requeue {
    /// Nothing was heard of its claim for a whole lease.
    LeaseExpired { worker: WorkerName },
    /// The worker came back without it.
    Lost { worker: WorkerName },
    /// The worker stopped it.
    Vacated { worker: WorkerName },
    /// It was sent ahead, and has not begun.
    CalledBack { worker: WorkerName },
    /// The worker is drained.
    Drained { worker: WorkerName },
    /// It made room for a job of this submitter.
    Preempted {
        worker: WorkerName,
        by: Submitter,
        why: Preempts,
    },
    /// It needed more of something than it had, and is to have it.
    Raised { worker: WorkerName, more: More },
    /// The worker could not start it.
    Fault { worker: WorkerName, reason: String },
    /// It failed and may be retried.
    Retry {
        failure: String,
        report: Box<Report>,
    },
}

/// By which of the pool's rules a job makes room for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preempts {
    /// The worker ranks the other higher.
    Rank,
    /// The other's submitter has the better priority.
    Priority,
}

/// Whether a reported job has files to be written before it is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lands {
    Files,
    Nothing,
}

/// Where the next look at the policies of jobs begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookNext {
    /// At this job, in the next turn.
    Job(JobId),
    /// At the first, when it is time again.
    Later,
}

/// What a claim takes from its worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    /// How long the claim outlives the last message that named it.
    pub lease_ms: u64,
    /// Of each of its devices; `None` is all of it.
    pub gpu_memory_mib: Option<u64>,
    /// Custom resources.
    pub other: BTreeMap<String, u64>,
    /// What it costs, and whom.
    pub charge: Charge,
}

/// The parsed ads of an offer.
#[derive(Clone, Debug)]
pub struct Ads(pub(crate) OfferAds);

// === impl Requeue ===

impl Requeue {
    /// The worker on which a claim was lost that its job might have kept to its end.
    pub(crate) fn lost_claim(&self) -> Option<&WorkerName> {
        match self {
            Requeue::LeaseExpired { worker }
            | Requeue::Lost { worker }
            | Requeue::Vacated { worker }
            | Requeue::Drained { worker }
            | Requeue::Preempted { worker, .. } => Some(worker),
            Requeue::CalledBack { .. }
            | Requeue::Raised { .. }
            | Requeue::Fault { .. }
            | Requeue::Retry { .. } => None,
        }
    }
}

// === impl Event ===

impl Event {
    /// The job that it is about, if it is about one.
    pub(crate) fn job(&self) -> Option<JobId> {
        match self {
            Event::JobClaimed { job, .. }
            | Event::JobStarted { job }
            | Event::JobReported { job, .. }
            | Event::JobCompleted { job, .. }
            | Event::JobRequeued { job, .. }
            | Event::JobHeld { job, .. }
            | Event::JobReleased { job }
            | Event::JobRemoved { job, .. }
            | Event::JobUnfit { job, .. } => Some(*job),
            Event::ClusterQueued { .. }
            | Event::RunQueued(_)
            | Event::NodePre { .. }
            | Event::NodeReady { .. }
            | Event::NodePreparing { .. }
            | Event::NodeStarted { .. }
            | Event::NodePost { .. }
            | Event::NodeReturned { .. }
            | Event::NodeRetried { .. }
            | Event::NodeEnded { .. }
            | Event::NodesFutile { .. }
            | Event::NodesReset { .. }
            | Event::RunResumed { .. }
            | Event::RunHalted { .. }
            | Event::RunThrottled { .. }
            | Event::RunProvisioned { .. }
            | Event::RunCut { .. }
            | Event::RunEnded { .. }
            | Event::FilesAdded { .. }
            | Event::TrialAdded { .. }
            | Event::TrialEnded { .. }
            | Event::JobsEdited { .. }
            | Event::RestChanged { .. }
            | Event::WorkerDrained { .. }
            | Event::RulesSet(_)
            | Event::AccountSet { .. }
            | Event::Soft(_) => None,
        }
    }
}
