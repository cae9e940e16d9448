//! What happened. Events are decided, then applied; nothing else changes the queue.

use std::sync::Arc;

use dags::dag::Dag;
use proto::nouns::{ClaimId, JobId, Offer, Report, WorkerName};
use serde::{Deserialize, Serialize};

use crate::command::DrainState;
use crate::job::{Cluster, HoldCode};
use crate::pool::OfferAds;
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
    RunQueued {
        id: u32,
        owner: String,
        dag: Arc<Dag>,
        digest: String,
        workspace: Workspace,
        key: String,
    },
    NodeStarted {
        run: u32,
        node: u32,
        cluster: Option<u32>,
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
    /// The nodes wait again.
    NodesReset {
        run: u32,
        nodes: Vec<u32>,
    },
    RunResumed {
        run: u32,
    },
    RunEnded {
        run: u32,
    },
    RunRemoved {
        run: u32,
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
        taken: Taken,
    },
    JobStarted {
        job: JobId,
    },
    /// The result of the job's current claim is accepted. Its outputs join the workspace.
    JobReported {
        job: JobId,
        report: Box<Report>,
        failure: Option<String>,
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
    WorkerDrained {
        worker: WorkerName,
        drain: DrainState,
    },
    Soft(Soft),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// Nothing was heard of its claim for a whole lease.
    LeaseExpired { worker: WorkerName },
    /// The worker came back without it.
    Lost { worker: WorkerName },
    /// The worker stopped it.
    Vacated { worker: WorkerName },
    /// The worker could not start it.
    Fault { worker: WorkerName, reason: String },
    /// It failed and may be retried.
    Retry { failure: String },
}

/// Whether a reported job has files to be written before it is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lands {
    Files,
    Nothing,
}

/// What a claim takes from its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    pub lease_ms: u64,
}

/// The parsed ads of an offer.
#[derive(Clone, Debug)]
pub struct Ads(pub(crate) OfferAds);
