//! How what somebody waits for stands: it goes on, or how it ended. Answered from tallies as long
//! as it goes on.

use manager_core::{Cluster, Proc, ProcState, Queue, Run, RunState, exit_of};
use proto::nouns::{JobId, Subject};
use proto::wire::{HeldJob, Standing};

/// Held jobs that one answer names, and records that are looked at for them.
const HELD_MAX: usize = 16;
const HELD_LOOKED_MAX: usize = 65_536;

/// Whether the jobs that are held are named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Named,
    Unsaid,
}

/// How a subject stands now.
pub(super) fn standing(queue: &Queue, subject: Subject, held: Held) -> Standing {
    let (state, text) = match subject {
        Subject::Job(job) => of_job(queue, job),
        Subject::Whole(id) => match (queue.runs().get(&id), queue.clusters().get(&id)) {
            (Some(run), _) => of_run(run),
            (None, Some(cluster)) => of_cluster(cluster),
            (None, None) => ("Unknown", String::new()),
        },
    };
    let mut standing = Standing {
        id: subject.to_string(),
        state: state.to_owned(),
        text,
        ..Standing::default()
    };
    if held == Held::Named && state == "Going" {
        put_held(queue, subject, &mut standing);
    }
    standing
}

/// Whether it will not go on by itself. What is not there has ended.
pub(super) fn has_ended(queue: &Queue, subject: Subject) -> bool {
    standing(queue, subject, Held::Unsaid).state != "Going"
}

fn of_job(queue: &Queue, job: JobId) -> (&'static str, String) {
    match queue.job(job) {
        None => ("Unknown", String::new()),
        Some((_, proc)) => of_proc(job, &proc),
    }
}

fn of_proc(job: JobId, proc: &Proc) -> (&'static str, String) {
    match &proc.state {
        ProcState::Idle
        | ProcState::Running { .. }
        | ProcState::Landing { .. }
        | ProcState::Held { .. } => ("Going", String::new()),
        ProcState::Removed { reason } if reason.is_empty() => {
            ("Failed", format!("job {job}: removed"))
        }
        ProcState::Removed { reason } => ("Failed", format!("job {job}: removed: {reason}")),
        ProcState::Completed { ending } => match (&ending.failure, exit_of(&ending.report.ended)) {
            (Some(failure), _) => ("Failed", format!("job {job}: {failure}")),
            (None, (Some(code), _)) => ("Succeeded", format!("exit code {code}")),
            (None, (None, _)) => ("Succeeded", "ended well".to_owned()),
        },
    }
}

fn of_cluster(cluster: &Cluster) -> (&'static str, String) {
    let tally = cluster.tally();
    if !cluster.ended() {
        return ("Going", String::new());
    }
    let job = |proc| JobId {
        cluster: cluster.id,
        proc,
    };
    if cluster.count == 1
        && let Some(proc) = cluster.proc(0)
    {
        return of_proc(job(0), &proc);
    }
    let jobs = jobs(u64::from(cluster.count));
    let bad = tally.failed + tally.removed;
    if bad == 0 {
        return ("Succeeded", format!("{jobs} ended well"));
    }
    let is_bad = |proc: &Proc| of_proc(job(0), proc).0 == "Failed";
    let touched = cluster.procs.iter().find(|(_, proc)| is_bad(proc));
    let first = touched.map(|(proc, record)| of_proc(job(*proc), record).1);
    let rest = || {
        let proc = cluster.rest_from(0).next()?;
        Some(of_proc(job(proc), &cluster.proc(proc)?).1)
    };
    let first = first.or_else(rest).unwrap_or_default();
    let text = match bad {
        1 => first,
        bad => format!("{first}; {bad} of {jobs} did not succeed"),
    };
    ("Failed", text)
}

fn of_run(run: &Run) -> (&'static str, String) {
    let counts = run.counts();
    match run.state {
        RunState::Running => ("Going", String::new()),
        RunState::Completed { .. } => {
            let done = match counts.done {
                1 => "1 node".to_owned(),
                done => format!("{done} nodes"),
            };
            ("Succeeded", format!("{done} done"))
        }
        RunState::Failed { .. } | RunState::Removed { .. } => {
            let failed = match counts.failed {
                1 => "1 node".to_owned(),
                failed => format!("{failed} nodes"),
            };
            let (id, file, state) = (run.id, &run.dag.file, run.state.name());
            (
                "Failed",
                format!("DAG run {id} of {file}: {state}, {failed} failed"),
            )
        }
    }
}

/// Names the first jobs of a subject that are held.
fn put_held(queue: &Queue, subject: Subject, standing: &mut Standing) {
    if let Subject::Job(job) = subject {
        if let Some((_, proc)) = queue.job(job)
            && let ProcState::Held { reason, .. } = &proc.state
        {
            standing.held_total = 1;
            standing.held.push(held_job(job, reason));
        }
        return;
    }
    let id = subject.whole();
    let is_of = |cluster: &&Cluster| cluster.id == id || queue.is_of(cluster.top(), id);
    let clusters = queue.clusters().range(id..).map(|(_, cluster)| cluster);
    let mut looked = 0;
    for cluster in clusters.filter(is_of) {
        let held = cluster.tally().held;
        standing.held_total += u64::from(held);
        if held == 0 || standing.held.len() >= HELD_MAX {
            continue;
        }
        let rest = cluster.rest_from(0).next();
        let rest = rest.and_then(|proc| Some((proc, cluster.proc(proc)?)));
        let touched = cluster.procs.iter().map(|(proc, record)| (*proc, record));
        for (proc, record) in touched.chain(rest.as_ref().map(|(proc, record)| (*proc, record))) {
            looked += 1;
            if let ProcState::Held { reason, .. } = &record.state {
                let job = JobId {
                    cluster: cluster.id,
                    proc,
                };
                standing.held.push(held_job(job, reason));
            }
            if standing.held.len() >= HELD_MAX || looked >= HELD_LOOKED_MAX {
                break;
            }
        }
    }
}

fn held_job(job: JobId, reason: &str) -> HeldJob {
    HeldJob {
        job: job.to_string(),
        reason: reason.to_owned(),
    }
}

fn jobs(count: u64) -> String {
    match count {
        1 => "1 job".to_owned(),
        count => format!("{count} jobs"),
    }
}
