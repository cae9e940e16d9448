//! Looks at the queue: what was asked for, found and counted. How a row looks is `rows`.

use std::collections::BTreeSet;

use manager_core::{Cluster, NodeState, ProcState, Queue, Run, RunState, Why};
use proto::convert::{Malformed, parse};
use proto::nouns::{JobId, Now, Subject};
use proto::wire::{
    Clause, File, JobsReply, JobsRequest, OutputsReply, RunsReply, RunsRequest, StudiesReply,
    StudiesRequest, Which, WhyReply, WorkersReply, WorkersRequest,
};
use tonic::Status;

use super::rows;
use crate::settings::JOBS_MAX;

/// Sentences about nodes in one answer.
const HINTS_MAX: usize = 50;

/// A checked `JobsRequest`.
pub(super) struct JobsWanted {
    subjects: Vec<(String, Subject)>,
    which: Which,
    limit: usize,
    ads: rows::Ads,
}

impl JobsWanted {
    pub(super) fn parse(request: &JobsRequest) -> Result<JobsWanted, Malformed> {
        let subject = |id: &String| Ok((id.clone(), parse("ids", id)?));
        let limit = match request.limit as usize {
            0 => JOBS_MAX,
            limit => limit.min(JOBS_MAX),
        };
        Ok(JobsWanted {
            subjects: request
                .ids
                .iter()
                .map(subject)
                .collect::<Result<_, Malformed>>()?,
            which: request.which(),
            limit,
            ads: if request.with_ads {
                rows::Ads::With
            } else {
                rows::Ads::Without
            },
        })
    }

    /// Whether a job in this state is wanted.
    fn wants(&self, ended: bool) -> bool {
        match self.which {
            Which::Unspecified | Which::All => true,
            Which::Queued => !ended,
            Which::Ended => ended,
        }
    }
}

pub(super) fn jobs(queue: &Queue, wanted: &JobsWanted) -> JobsReply {
    let mut reply = JobsReply::default();
    for (text, subject) in &wanted.subjects {
        let known = match subject {
            Subject::Job(job) => queue.job(*job).is_some(),
            Subject::Whole(id) => is_known(queue, *id),
        };
        if !known {
            reply.unknown.push(text.clone());
        }
    }
    // A DAG run stands for its sub-DAGs, too.
    let whole = wanted
        .subjects
        .iter()
        .filter_map(|(_, subject)| match subject {
            Subject::Job(_) => None,
            Subject::Whole(id) => Some(*id),
        });
    let runs: BTreeSet<u32> = whole
        .flat_map(|id| queue.family(id).map(|run| run.id))
        .collect();
    let named = |job: JobId, top: u32| {
        wanted.subjects.is_empty()
            || runs.contains(&top)
            || wanted.subjects.iter().any(|(_, subject)| match subject {
                Subject::Job(named) => *named == job,
                Subject::Whole(id) => *id == job.cluster || *id == top,
            })
    };
    // The newest of what ended, the oldest of what waits.
    let newest_first = wanted.which == Which::Ended;
    let mut clusters: Vec<&Cluster> = queue.clusters().values().collect();
    if newest_first {
        clusters.reverse();
    }
    for cluster in clusters {
        jobs_of(queue, cluster, wanted, &named, &mut reply);
        if reply.truncated {
            break;
        }
    }
    reply
}

fn jobs_of(
    queue: &Queue,
    cluster: &Cluster,
    wanted: &JobsWanted,
    named: &impl Fn(JobId, u32) -> bool,
    reply: &mut JobsReply,
) {
    let top = cluster.top();
    for (&proc, record) in &cluster.procs {
        let job = JobId {
            cluster: cluster.id,
            proc,
        };
        if !wanted.wants(record.state.is_final()) || !named(job, top) {
            continue;
        }
        if reply.jobs.len() >= wanted.limit {
            reply.truncated = true;
            return;
        }
        reply.jobs.push(rows::job(queue, cluster, job, wanted.ads));
    }
    if !wanted.wants(false) {
        return;
    }
    let is_named = |proc: u32| {
        named(
            JobId {
                cluster: cluster.id,
                proc,
            },
            top,
        )
    };
    let Some(first) = cluster.fresh().find(|proc| is_named(*proc)) else {
        return;
    };
    if reply.jobs.len() >= wanted.limit {
        reply.truncated = true;
        return;
    }
    let single = |(_, subject): &(String, Subject)| matches!(subject, Subject::Job(_));
    let job = JobId {
        cluster: cluster.id,
        proc: first,
    };
    let mut row = rows::job(queue, cluster, job, wanted.ads);
    row.count = if wanted.subjects.iter().any(single) {
        cluster.fresh().filter(|proc| is_named(*proc)).count() as u64
    } else {
        cluster.fresh_count()
    };
    reply.jobs.push(row);
}

pub(super) fn runs(queue: &Queue, request: &RunsRequest) -> RunsReply {
    let unknown = request
        .ids
        .iter()
        .filter(|id| !queue.runs().contains_key(id));
    let wanted: BTreeSet<u32> = request.ids.iter().copied().collect();
    let wants = |id: u32, state: RunState| {
        let named = wanted.is_empty() || wanted.contains(&id);
        let which = match request.which() {
            Which::Unspecified | Which::All => true,
            Which::Queued => state == RunState::Running,
            Which::Ended => state != RunState::Running,
        };
        named && which
    };
    let found = queue.runs().values().filter(|run| wants(run.id, run.state));
    let nodes = if request.with_nodes {
        rows::Nodes::With
    } else {
        rows::Nodes::Without
    };
    RunsReply {
        runs: found.map(|run| rows::run(queue, run, nodes)).collect(),
        unknown: unknown.copied().collect(),
    }
}

pub(super) fn workers(queue: &Queue, now: Now, request: &WorkersRequest) -> WorkersReply {
    let ads = if request.with_ads {
        rows::Ads::With
    } else {
        rows::Ads::Without
    };
    let row = |(name, worker)| rows::worker(queue, now, name, worker, ads);
    WorkersReply {
        workers: queue.workers().iter().map(row).collect(),
    }
}

pub(super) fn studies(queue: &Queue, request: &StudiesRequest) -> Result<StudiesReply, Status> {
    let Some(run) = queue.runs().get(&request.run) else {
        return Err(Status::not_found(format!(
            "there is no DAG run {}",
            request.run
        )));
    };
    let nodes = (0..).zip(&run.dag.nodes).filter(|(at, node)| {
        run.dag.study_of(*at).is_some() && (request.node.is_empty() || node.name == request.node)
    });
    let studies: Vec<_> = nodes.map(|(at, _)| rows::study(queue, run, at)).collect();
    if studies.is_empty() && !request.node.is_empty() {
        let text = format!("DAG run {} has no study {}", request.run, request.node);
        return Err(Status::not_found(text));
    }
    Ok(StudiesReply { studies })
}

/// Why a job is as it is; of a cluster or DAG run, its first job that waits, else the run or what
/// is left of it.
pub(super) fn why(queue: &Queue, now: Now, subject: Subject) -> Option<WhyReply> {
    let job = match subject {
        Subject::Job(job) => job,
        Subject::Whole(id) => match (first_open(queue, id), queue.runs().get(&id)) {
            (Some(job), _) => job,
            (None, Some(run)) => return Some(why_run(queue, run)),
            (None, None) => JobId {
                cluster: id,
                proc: 0,
            },
        },
    };
    let Why {
        status,
        code,
        summary,
        clauses,
        workers,
        busy,
        refused_by_worker,
        drained,
        hints,
    } = queue.why(now, job)?;
    let clauses = clauses.into_iter().map(|clause| Clause {
        text: clause.text,
        alone: clause.alone,
        in_order: clause.in_order,
        nearest_miss: clause.nearest_miss.unwrap_or_default(),
    });
    Some(WhyReply {
        id: job.to_string(),
        status: status.to_owned(),
        code: code.to_owned(),
        summary,
        clauses: clauses.collect(),
        workers,
        busy,
        refused_by_worker,
        drained,
        hints,
    })
}

/// A DAG run none of whose jobs is in the queue: what failed, and what waits for its turn.
fn why_run(queue: &Queue, run: &Run) -> WhyReply {
    let counts = run.counts();
    let said = (0..).zip(&run.nodes).filter_map(|(at, node)| {
        let name = run.node_name(at);
        match &node.state {
            NodeState::Failed { reason } => Some(format!("{name}: {reason}")),
            NodeState::Waiting
            | NodeState::Pre
            | NodeState::Ready
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post => Some(format!("{name} waits: {}", queue.waits(run, at)?)),
            NodeState::Done | NodeState::Futile => None,
        }
    });
    let code = match run.state {
        RunState::Running => "W001",
        RunState::Completed { .. } => "W004",
        RunState::Failed { .. } => "W005",
        RunState::Removed { .. } => "W006",
    };
    let summary = format!(
        "DAG run {} is {}: {} done, {} failed, {} futile",
        run.id,
        run.state.name().to_lowercase(),
        counts.done,
        counts.failed,
        counts.futile
    );
    WhyReply {
        id: run.id.to_string(),
        status: run.state.name().to_owned(),
        code: code.to_owned(),
        summary,
        hints: said.take(HINTS_MAX).collect(),
        ..WhyReply::default()
    }
}

/// The first job that waits, else the first that is held or runs.
fn first_open(queue: &Queue, id: u32) -> Option<JobId> {
    let clusters = || {
        queue
            .clusters()
            .values()
            .filter(move |cluster| cluster.id == id || queue.is_of(cluster.top(), id))
    };
    let jobs = || {
        clusters().flat_map(|cluster| {
            let touched = cluster
                .procs
                .iter()
                .map(|(proc, record)| (*proc, record.state.clone()));
            let fresh = cluster.fresh().take(1).map(|proc| (proc, ProcState::Idle));
            touched.chain(fresh).map(|(proc, state)| {
                (
                    JobId {
                        cluster: cluster.id,
                        proc,
                    },
                    state,
                )
            })
        })
    };
    let open = |(_, state): &(JobId, ProcState)| !state.is_final();
    let idle = jobs().find(|(_, state)| *state == ProcState::Idle);
    idle.or_else(|| jobs().find(open)).map(|(job, _)| job)
}

/// The files that came back: of a job, its own; of a cluster or DAG run, all.
pub(super) fn outputs(queue: &Queue, subject: Subject) -> Option<OutputsReply> {
    let known = match subject {
        Subject::Job(job) => queue.job(job).is_some(),
        Subject::Whole(id) => is_known(queue, id),
    };
    if !known {
        return None;
    }
    let named = |cluster: &Cluster, proc: u32| match subject {
        Subject::Job(job) => cluster.id == job.cluster && proc == job.proc,
        Subject::Whole(id) => cluster.id == id || queue.is_of(cluster.top(), id),
    };
    let mut files = std::collections::BTreeMap::new();
    for cluster in queue.clusters().values() {
        // A study's trials write over each other's files; the user asked for none of them by name.
        for (&proc, record) in &cluster.procs {
            let Some(ending) = record.ending().filter(|_| named(cluster, proc)) else {
                continue;
            };
            let job = JobId {
                cluster: cluster.id,
                proc,
            };
            files.extend(queue.landing_files(job, &ending.report));
        }
    }
    let file = |(path, blob): (String, proto::nouns::Blob)| File {
        path,
        blob: Some(blob.into()),
    };
    Some(OutputsReply {
        files: files.into_iter().map(file).collect(),
    })
}

fn is_known(queue: &Queue, id: u32) -> bool {
    queue.runs().contains_key(&id) || queue.clusters().contains_key(&id)
}
