//! What happened to a job, as everybody who tells of jobs sees it: the user log, and the run's
//! `JOBSTATE_LOG`. Only which event it is and what the queue's own event says of it.

use proto::nouns::{Ended, JobId, Report, WorkerName};

use super::Before;
use crate::event::{Event, Requeue, Taken, Works};
use crate::job::{HoldCode, Phase, Proc, ProcState};
use crate::queue::Queue;
use crate::raised::More;

/// Jobs of a cluster up to which each is told of when the cluster is queued. Of a larger one the
/// cluster is told of, and a job from when a worker gets it: HTCondor's way with jobs that are made
/// as they are needed.
pub(super) const SUBMITS_MAX: u32 = 1_000;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment<'a> {
    Submit,
    ClusterSubmit,
    Execute {
        worker: &'a WorkerName,
        taken: &'a Taken,
        gpus: &'a [String],
    },
    /// It left its worker, and what it did is lost.
    Evicted {
        worker: &'a WorkerName,
        why: Evicted,
    },
    /// It ended, and runs again: `max_retries`.
    Requeued {
        report: &'a Report,
        failure: &'a str,
    },
    Exception {
        worker: &'a WorkerName,
        reason: &'a str,
    },
    Terminated,
    Aborted {
        reason: &'a str,
    },
    Held {
        code: HoldCode,
        reason: &'a str,
    },
    Released,
    /// The last job of a large cluster is over.
    ClusterRemove,
}

/// Why a job left its worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Evicted {
    LeaseExpired,
    Lost,
    Vacated,
    Drained,
    Preempted,
    Held,
    /// It needed more than it had.
    Raised(More),
}

impl Moment<'_> {
    /// HTCondor's number.
    pub(super) fn number(self) -> u16 {
        match self {
            Moment::Submit => 0,
            Moment::Execute { .. } => 1,
            Moment::Evicted { .. } | Moment::Requeued { .. } => 4,
            Moment::Terminated => 5,
            Moment::Exception { .. } => 7,
            Moment::Aborted { .. } => 9,
            Moment::Held { .. } => 12,
            Moment::Released => 13,
            Moment::ClusterSubmit => 35,
            Moment::ClusterRemove => 36,
        }
    }

    /// Whether it concerns no single job.
    pub(super) fn is_of_cluster(self) -> bool {
        matches!(self, Moment::ClusterSubmit | Moment::ClusterRemove)
    }
}

impl Queue {
    /// What an event that was just applied means to jobs, in order.
    pub(super) fn moments<'a>(
        &self,
        event: &'a Event,
        before: &'a Before,
    ) -> Vec<(JobId, Moment<'a>)> {
        if let Event::ClusterQueued { cluster, .. } = event
            && cluster.node().is_none()
        {
            return self.submits(cluster.id);
        }
        // A node's jobs are told of once its attempt has a number.
        if let Event::NodeStarted { works, .. } = event
            && let Works::Cluster(cluster) = works
        {
            return self.submits(*cluster);
        }
        if let Event::TrialAdded { run, node, .. } = event {
            return self.trial_submit(*run, *node).into_iter().collect();
        }
        if let Event::RestChanged { cluster: id, .. } = event {
            let cluster = &self.clusters[id];
            let over = cluster.is_told_late() && cluster.ended() && self.is_told(*id);
            let job = JobId {
                cluster: *id,
                proc: 0,
            };
            return over
                .then_some((job, Moment::ClusterRemove))
                .into_iter()
                .collect();
        }
        let (Some(job), Before::Job(record)) = (event.job(), before) else {
            return Vec::new();
        };
        let cluster = &self.clusters[&job.cluster];
        let large = cluster.is_told_late();
        let begun = record.as_ref().is_some_and(|record| record.attempts > 0);
        let mut told = Vec::new();
        if large && !begun && matches!(event, Event::JobClaimed { .. }) {
            told.push((job, Moment::Submit));
        }
        if begun || !large {
            let moments = moments_of(event, record.as_deref()).into_iter();
            told.extend(moments.map(|moment| (job, moment)));
        }
        let over = matches!(
            event,
            Event::JobCompleted { .. } | Event::JobRemoved { .. } | Event::JobUnfit { .. }
        );
        if large && over && cluster.ended() {
            told.push((job, Moment::ClusterRemove));
        }
        told
    }

    /// The newest trial of a study is a job of its cluster.
    fn trial_submit(&self, run: u32, node: u32) -> Option<(JobId, Moment<'static>)> {
        let cluster = self.runs.get(&run)?.nodes.get(node as usize)?.cluster?;
        let proc = self.clusters.get(&cluster)?.count.checked_sub(1)?;
        Some((JobId { cluster, proc }, Moment::Submit))
    }

    /// A study that begins again has its trials already.
    pub(super) fn submits(&self, id: u32) -> Vec<(JobId, Moment<'static>)> {
        let job = |proc| JobId { cluster: id, proc };
        let Some(cluster) = self.clusters.get(&id) else {
            return Vec::new();
        };
        if cluster.count == 0 || cluster.is_study() || !self.is_told(id) {
            return Vec::new();
        }
        if cluster.is_told_late() {
            return vec![(job(0), Moment::ClusterSubmit)];
        }
        let procs = 0..cluster.count;
        procs.map(|proc| (job(proc), Moment::Submit)).collect()
    }
}

/// What an event says of its job, which had this record before.
fn moments_of<'a>(event: &'a Event, record: Option<&'a Proc>) -> Vec<Moment<'a>> {
    let run = record.and_then(running);
    // A job so short that nobody heard of its start ran all the same.
    let late = || match run {
        Some((Phase::Ahead | Phase::Staging, _, execute)) => Some(execute),
        Some((Phase::Executing, _, _)) | None => None,
    };
    let left = |worker, why| match run {
        Some((Phase::Executing, _, _)) => vec![Moment::Evicted { worker, why }],
        Some((Phase::Ahead | Phase::Staging, _, _)) | None => Vec::new(),
    };
    match event {
        Event::JobStarted { .. } => late().into_iter().collect(),
        Event::JobReported { report, .. } => match report.ended {
            Ended::Exited(_) | Ended::Signaled(_) => late().into_iter().collect(),
            Ended::Vacated | Ended::Exceeded { .. } | Ended::NotStarted { .. } => Vec::new(),
        },
        Event::JobCompleted { .. } => vec![Moment::Terminated],
        Event::JobRequeued { cause, .. } => match cause {
            Requeue::LeaseExpired { worker } => left(worker, Evicted::LeaseExpired),
            Requeue::Lost { worker } => left(worker, Evicted::Lost),
            Requeue::Vacated { worker } => left(worker, Evicted::Vacated),
            Requeue::CalledBack { .. } => Vec::new(),
            Requeue::Drained { worker } => left(worker, Evicted::Drained),
            Requeue::Preempted { worker, .. } => left(worker, Evicted::Preempted),
            Requeue::Raised { worker, more } => {
                let why = Evicted::Raised(*more);
                let evicted = Moment::Evicted { worker, why };
                late().into_iter().chain([evicted]).collect()
            }
            Requeue::Fault { worker, reason } => vec![Moment::Exception { worker, reason }],
            Requeue::Retry { failure, report } => {
                let requeued = Moment::Requeued { report, failure };
                late().into_iter().chain([requeued]).collect()
            }
        },
        Event::JobHeld { code, reason, .. } => {
            let code = *code;
            let mut told = match (code, run) {
                (HoldCode::UserRequest, Some((_, worker, _))) => left(worker, Evicted::Held),
                (_, _) => Vec::new(),
            };
            told.push(Moment::Held { code, reason });
            told
        }
        Event::JobReleased { .. } => vec![Moment::Released],
        Event::JobRemoved { reason, .. } | Event::JobUnfit { reason, .. } => {
            vec![Moment::Aborted { reason }]
        }
        Event::JobClaimed { .. }
        | Event::ClusterQueued { .. }
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
        | Event::Soft(_) => Vec::new(),
    }
}

/// How far a claimed job was, and what its start says.
fn running(record: &Proc) -> Option<(Phase, &WorkerName, Moment<'_>)> {
    let ProcState::Running {
        worker,
        phase,
        taken,
        gpus,
        ..
    } = &record.state
    else {
        return None;
    };
    let execute = Moment::Execute {
        worker,
        taken,
        gpus,
    };
    Some((*phase, worker, execute))
}
