//! Looks at the queue: what was asked for, found and counted. How a row looks is `rows`.

use std::collections::BTreeSet;
use std::sync::Arc;

use manager_core::{Cluster, Probe, Queue, RunState, Worker};
use proto::nouns::{JobId, Now, Subject, WorkerName};
use proto::wire::{
    self, File, JobsReply, JobsRequest, OutputsReply, RunsReply, RunsRequest, StudiesReply,
    StudiesRequest, Which, WorkersReply, WorkersRequest,
};
use tonic::Status;

use super::select::{Found, Scanned, Selection, Untouched, Visit, columns_of, constraint_of, scan};
use super::{Shared, machines, rows};
use crate::settings::JOBS_MAX;

/// A checked `JobsRequest`.
struct JobsWanted {
    selection: Selection,
    limit: usize,
    ads: rows::Ads,
    columns: Vec<Probe>,
}

impl JobsWanted {
    fn parse(request: &JobsRequest) -> Result<JobsWanted, Status> {
        let limit = match request.limit as usize {
            0 => JOBS_MAX,
            limit => limit.min(JOBS_MAX),
        };
        Ok(JobsWanted {
            selection: Selection::parse(
                &request.ids,
                &request.owners,
                &request.constraint,
                request.which(),
            )?,
            limit,
            ads: if request.with_ads {
                rows::Ads::With
            } else {
                rows::Ads::Without
            },
            columns: columns_of(&request.columns)?,
        })
    }

    /// Untouched jobs are alike, but not their ads.
    fn untouched(&self) -> Untouched {
        match self.ads {
            rows::Ads::Without if self.columns.is_empty() => Untouched::Together,
            rows::Ads::With | rows::Ads::Without => Untouched::Apart,
        }
    }
}

/// Jobs, slice by slice.
///
/// # Errors
/// What of the request cannot be read; that the manager stops.
pub(super) async fn jobs(shared: &Shared, request: &JobsRequest) -> Result<JobsReply, Status> {
    let wanted = Arc::new(JobsWanted::parse(request)?);
    let now = crate::clock::now();
    let (mut reply, mut from) = (JobsReply::default(), None);
    loop {
        let wanted = wanted.clone();
        let look = move |queue: &Queue| {
            let mut reply = reply;
            if from.is_none() {
                reply.unknown = wanted.selection.unknown(queue);
            }
            let mut add = |found: Found<'_>| add_job(queue, now, &wanted, &found, &mut reply);
            let (selection, untouched) = (&wanted.selection, wanted.untouched());
            let scanned = scan(queue, now, selection, from, untouched, &mut add);
            (reply, scanned)
        };
        let scanned;
        (reply, scanned) = shared.queue.read(look).await?;
        match scanned {
            Scanned::More(cursor) => from = Some(cursor),
            Scanned::Done | Scanned::Enough => return Ok(reply),
        }
    }
}

fn add_job(
    queue: &Queue,
    now: Now,
    wanted: &JobsWanted,
    found: &Found<'_>,
    reply: &mut JobsReply,
) -> Visit {
    if reply.jobs.len() >= wanted.limit {
        reply.truncated = true;
        return Visit::Enough;
    }
    let job = JobId {
        cluster: found.cluster.id,
        proc: found.proc,
    };
    let mut row = rows::job(queue, found.cluster, job, wanted.ads);
    row.count = found.count;
    if !wanted.columns.is_empty() {
        row.cells = rows::cells(queue.show(now, found.cluster, found.proc, &wanted.columns));
    }
    reply.jobs.push(row);
    Visit::GoOn
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

/// A checked `WorkersRequest`.
pub(super) struct WorkersWanted {
    ads: rows::Ads,
    constraint: Option<Probe>,
    columns: Vec<Probe>,
}

impl WorkersWanted {
    pub(super) fn parse(request: &WorkersRequest) -> Result<WorkersWanted, Status> {
        Ok(WorkersWanted {
            ads: if request.with_ads {
                rows::Ads::With
            } else {
                rows::Ads::Without
            },
            constraint: constraint_of(&request.constraint)?,
            columns: columns_of(&request.columns)?,
        })
    }
}

pub(super) fn workers(queue: &Queue, now: Now, wanted: &WorkersWanted) -> WorkersReply {
    let constraint = wanted.constraint.as_ref();
    let meant = queue.workers().iter().filter(|(_, worker)| {
        constraint.is_none_or(|constraint| constraint.holds(&worker.slot, now))
    });
    let row = |(name, worker): (&WorkerName, &Worker)| wire::Worker {
        cells: rows::cells(worker.show(now, &wanted.columns)),
        ..machines::worker(queue, now, name, worker, wanted.ads)
    };
    WorkersReply {
        workers: meant.map(row).collect(),
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
