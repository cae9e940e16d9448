//! Other attributes for jobs in the queue: whether they may have them, and what that means.

use std::collections::BTreeSet;

use classad::ClassAd;
use proto::nouns::{JobId, Subject};

use crate::command::{Change, Refusal, Reply};
use crate::decide::Decision;
use crate::event::Event;
use crate::job::{Cluster, Proc, ProcState};
use crate::queue::Queue;

const PRIORITY: &str = "JobPrio";

/// Changes the jobs that `subject` names: one, or all of a cluster or DAG run that are not over.
pub(super) fn edit(queue: &Queue, subject: Subject, change: &Change) -> Result<Decision, Refusal> {
    match subject {
        Subject::Job(job) => edit_job(queue, job, change),
        Subject::Whole(id) => edit_whole(queue, id, change),
    }
}

fn edit_job(queue: &Queue, job: JobId, change: &Change) -> Result<Decision, Refusal> {
    let subject = Subject::Job(job);
    let (cluster, proc) = queue.job(job).ok_or(Refusal::Unknown { subject })?;
    let running = match &proc.state {
        ProcState::Idle | ProcState::Held { .. } => 0,
        ProcState::Running { .. } => 1,
        ProcState::Landing { .. } | ProcState::Completed { .. } | ProcState::Removed { .. } => {
            return Err(wrong_state(subject, &state_of(&proc)));
        }
    };
    let now = queue.priority(cluster, job.proc);
    let edits = edits_of(queue, cluster, job.proc, now, change);
    fits(queue, cluster, job.proc, &edits)?;
    let event = Event::JobsEdited {
        subject,
        edits: Box::new(edits),
    };
    let changed = 1;
    Ok(Decision::new(vec![event]).reply(Reply::Edited { changed, running }))
}

fn edit_whole(queue: &Queue, id: u32, change: &Change) -> Result<Decision, Refusal> {
    let subject = Subject::Whole(id);
    if !queue.clusters.contains_key(&id) && !queue.runs.contains_key(&id) {
        return Err(Refusal::Unknown { subject });
    }
    let family: BTreeSet<u32> = queue.family(id).map(|run| run.id).collect();
    let clusters = queue.clusters.range(id..).map(|(_, cluster)| cluster);
    let named = clusters.filter(|cluster| cluster.id == id || family.contains(&cluster.top()));
    let (mut events, mut changed, mut running) = (Vec::new(), 0, 0);
    for cluster in named.filter(|cluster| cluster.live() > 0) {
        let first = first_live(cluster);
        let now = queue.priority_of(cluster, first);
        let edits = edits_of(queue, cluster, first, now, change);
        fits(queue, cluster, first, &edits)?;
        let tally = cluster.tally();
        changed += u64::from(cluster.live());
        running += u64::from(tally.running);
        let own = own_priorities(queue, cluster, change);
        events.push(Event::JobsEdited {
            subject: Subject::Whole(cluster.id),
            edits: Box::new(edits),
        });
        events.extend(own);
    }
    if events.is_empty() {
        return Err(wrong_state(subject, "none of its jobs is in the queue"));
    }
    Ok(Decision::new(events).reply(Reply::Edited { changed, running }))
}

/// A change by so much is one for each job that has a priority of its own.
fn own_priorities(queue: &Queue, cluster: &Cluster, change: &Change) -> Vec<Event> {
    match change {
        Change::PriorityBy(_) => {}
        Change::Attributes(_) | Change::PriorityTo(_) => return Vec::new(),
    }
    let own = cluster.procs.iter().filter(|(proc, record)| {
        !record.state.is_final() && cluster.own_priority(**proc).is_some()
    });
    own.map(|(&proc, _)| Event::JobsEdited {
        subject: Subject::Job(JobId {
            cluster: cluster.id,
            proc,
        }),
        edits: Box::new(edits_of(
            queue,
            cluster,
            proc,
            queue.priority(cluster, proc),
            change,
        )),
    })
    .collect()
}

/// The attributes that a change comes to for a job; its priority is `now`, and becomes a number.
fn edits_of(queue: &Queue, cluster: &Cluster, proc: u32, now: i64, change: &Change) -> ClassAd {
    let priority = |number: i64| {
        let number = number.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        let mut edits = ClassAd::new();
        edits.insert(PRIORITY, number);
        edits
    };
    match change {
        Change::PriorityTo(number) => priority(i64::from(*number)),
        Change::PriorityBy(by) => priority(now.saturating_add(i64::from(*by))),
        Change::Attributes(edits) => {
            let mut edits = (**edits).clone();
            let spec = queue.whole_spec(cluster, proc).ok();
            if edits.contains(PRIORITY)
                && let Some(spec) = spec.and_then(|spec| spec.edited(&edits).ok())
            {
                edits.insert(PRIORITY, spec.priority);
            }
            edits
        }
    }
}

/// Whether the edited job could be queued. One that does not expand anyway may be mended.
fn fits(queue: &Queue, cluster: &Cluster, proc: u32, edits: &ClassAd) -> Result<(), Refusal> {
    let Ok(spec) = queue.whole_spec(cluster, proc) else {
        return Ok(());
    };
    spec.edited(edits).map(drop).map_err(|error| {
        let job = JobId {
            cluster: cluster.id,
            proc,
        };
        Refusal::BadEdit {
            subject: Subject::Job(job),
            reason: error.to_string(),
        }
    })
}

fn first_live(cluster: &Cluster) -> u32 {
    let is_live = |(_, record): &(&u32, &Proc)| !record.state.is_final();
    let touched = cluster.procs.iter().find(is_live).map(|(proc, _)| *proc);
    touched.or_else(|| cluster.rest_from(0).next()).unwrap_or(0)
}

fn state_of(proc: &Proc) -> String {
    match &proc.state {
        ProcState::Landing { .. } => "its files are being written".to_owned(),
        state => format!("it is {}", state.name().to_lowercase()),
    }
}

fn wrong_state(subject: Subject, state: &str) -> Refusal {
    Refusal::WrongState {
        subject,
        act: "edited",
        state: state.to_owned(),
    }
}
