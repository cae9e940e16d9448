//! `why`: what is asked, and how the answer looks on the wire. What the answer is, the core says.

use manager_core::{
    Cause, Causes, ClauseCount, NodeState, ProcState, Progress, Prospect, Queue, Run, RunState, Why,
};
use proto::convert::parse;
use proto::nouns::{JobId, Now, Subject, WorkerName};
use proto::wire::{self, Clause, WhyAllReply, WhyReply, WhyRequest};
use tonic::Status;

use super::Shared;

/// Sentences about nodes in one answer.
const HINTS_MAX: usize = 50;

/// What somebody asks about.
enum Asked {
    Subject(Subject),
    Node { run: u32, node: String },
    Worker(WorkerName),
}

impl Asked {
    fn parse(request: &WhyRequest) -> Result<Asked, Status> {
        if !request.worker.is_empty() {
            return Ok(Asked::Worker(parse("worker", &request.worker)?));
        }
        let subject: Subject = parse("id", &request.id)?;
        match (subject, request.node.is_empty()) {
            (subject, true) => Ok(Asked::Subject(subject)),
            (Subject::Whole(run), false) => Ok(Asked::Node {
                run,
                node: request.node.clone(),
            }),
            (Subject::Job(job), false) => Err(Status::invalid_argument(format!(
                "{job} is a job and has no nodes (expected a DAG run, such as 12/{})",
                request.node
            ))),
        }
    }

    /// What is not there.
    fn absent(&self) -> Status {
        Status::not_found(match self {
            Asked::Subject(subject) => format!("there is no job {subject}"),
            Asked::Node { run, node } => format!("there is no DAG run {run} with a node {node}"),
            Asked::Worker(name) => format!("there is no worker {name}"),
        })
    }
}

/// # Errors
/// What of the request cannot be read, or is not there; that the manager stops.
pub(super) async fn why(shared: &Shared, request: &WhyRequest) -> Result<WhyReply, Status> {
    let asked = Asked::parse(request)?;
    let absent = asked.absent();
    let now = crate::clock::now();
    let look = move |queue: &Queue| match asked {
        Asked::Subject(subject) => of_subject(queue, now, subject),
        Asked::Node { run, node } => {
            let (job, why) = queue.why_node(now, run, &node)?;
            let id = match job {
                Some(job) => format!("{run}/{node} {job}"),
                None => format!("{run}/{node}"),
            };
            Some(reply(id, why))
        }
        Asked::Worker(name) => {
            let why = queue.why_worker(now, &name)?;
            Some(reply(name.to_string(), why))
        }
    };
    shared.queue.read(look).await?.ok_or(absent)
}

/// All that waits, slice by slice.
///
/// # Errors
/// That the manager stops.
pub(super) async fn why_all(shared: &Shared) -> Result<WhyAllReply, Status> {
    let now = crate::clock::now();
    let mut causes = Causes::default();
    loop {
        let look = move |queue: &Queue| {
            let progress = causes.go_on(queue, now);
            (causes, progress)
        };
        let progress;
        (causes, progress) = shared.queue.read(look).await?;
        match progress {
            Progress::More => {}
            Progress::Done => break,
        }
    }
    let cause = |cause: Cause| wire::Cause {
        code: cause.code.to_owned(),
        summary: cause.summary,
        clause: cause.clause,
        jobs: cause.jobs,
        example: cause.example.to_string(),
        prospect: wire_of(cause.prospect).into(),
    };
    Ok(WhyAllReply {
        causes: causes.finish().into_iter().map(cause).collect(),
    })
}

/// Why a job is as it is; of a cluster or DAG run, its first job that waits, else the run or what
/// is left of it.
fn of_subject(queue: &Queue, now: Now, subject: Subject) -> Option<WhyReply> {
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
    Some(reply(job.to_string(), queue.why(now, job)?))
}

fn reply(id: String, why: Why) -> WhyReply {
    let clauses = |of: Vec<ClauseCount>| of.into_iter().map(clause).collect();
    let holders = why.holders.into_iter().map(|holder| wire::Holder {
        worker: holder.worker.to_string(),
        job: holder.job.to_string(),
        until_ms: holder.until_ms,
    });
    let changes = why.changes.into_iter().map(|change| {
        let edits = change.edits.into_iter();
        wire::SmallChange {
            from: change.from,
            to: change.to,
            slots: change.slots,
            edits: edits
                .map(|(name, value)| wire::Edit { name, value })
                .collect(),
        }
    });
    WhyReply {
        id,
        status: why.status.to_owned(),
        code: why.code.to_owned(),
        summary: why.summary,
        clauses: clauses(why.clauses),
        workers: why.workers,
        busy: why.busy,
        refused_by_worker: why.refused_by_worker,
        drained: why.drained,
        hints: why.hints,
        prospect: wire_of(why.prospect).into(),
        open: why.open,
        paused: why.paused,
        other_side: clauses(why.other_side),
        devices: clauses(why.devices),
        holders: holders.collect(),
        line: why.line.map(|line| wire::Line {
            submitter: line.submitter,
            before: line.before,
            priority: line.priority,
            weight: line.weight,
            entitled: line.entitled,
            pool: line.pool,
            rivals: line.rivals,
        }),
        changes: changes.collect(),
        starts_in_ms: why.starts_in_ms,
        starts_because: why.starts_because,
    }
}

fn clause(clause: ClauseCount) -> Clause {
    Clause {
        text: clause.text,
        alone: clause.alone,
        in_order: clause.in_order,
        nearest_miss: clause.nearest_miss.unwrap_or_default(),
        of: clause.of,
    }
}

fn wire_of(prospect: Prospect) -> wire::Prospect {
    match prospect {
        Prospect::Well => wire::Prospect::Well,
        Prospect::Failed => wire::Prospect::Failed,
        Prospect::NotNow => wire::Prospect::NotNow,
        Prospect::Never => wire::Prospect::Never,
    }
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
    let (code, prospect) = match run.state {
        RunState::Running => ("W001", Prospect::Well),
        RunState::Completed { .. } => ("W004", Prospect::Well),
        RunState::Failed { .. } => ("W005", Prospect::Failed),
        RunState::Removed { .. } => ("W006", Prospect::Failed),
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
        prospect: wire_of(prospect).into(),
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
