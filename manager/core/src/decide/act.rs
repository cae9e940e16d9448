//! What people do to jobs, clusters and DAG runs.

use std::collections::BTreeSet;

use proto::nouns::{JobId, Subject, VacateReason};

use crate::command::{Act, Refusal, Reply};
use crate::decide::Decision;
use crate::effect::Effect;
use crate::event::Event;
use crate::job::{HoldCode, Proc, ProcState};
use crate::queue::Queue;
use crate::run::{Halt, RunState};

/// Carries out `act` on what `subject` names: all of it that can be, if it is more than one job.
pub(super) fn act(
    queue: &Queue,
    act: Act,
    subject: Subject,
    reason: &str,
) -> Result<Decision, Refusal> {
    let jobs = jobs_of(queue, subject).ok_or(Refusal::Unknown { subject })?;
    let mut changed = 0;
    let mut decision = Decision::new(Vec::new());
    if let Subject::Whole(run) = subject
        && queue.runs.contains_key(&run)
    {
        let (events, effects) = match act {
            Act::Remove => queue.remove_run(run, reason),
            Act::Hold => (queue.hold_run(run, Halt::Held), Vec::new()),
            Act::Release => (queue.hold_run(run, Halt::Open), Vec::new()),
        };
        let jobs = events.iter();
        let jobs = jobs.filter(|event| matches!(event, Event::JobRemoved { .. }));
        changed += jobs.count() as u64;
        decision.events.extend(events);
        decision.effects.extend(effects);
    }
    // Those of a run that is removed go with it, and only once.
    let mut gone = BTreeSet::new();
    for event in &decision.events {
        if let Event::JobRemoved { job, .. } = event {
            gone.insert(*job);
        }
    }
    for (job, proc) in jobs.iter().filter(|(job, _)| !gone.contains(job)) {
        if let Some((event, effect)) = act_on(queue, act, *job, proc, reason) {
            decision.events.push(event);
            decision.effects.extend(effect);
            changed += 1;
        }
    }
    if decision.events.is_empty() {
        return Err(wrong_state(queue, act, subject, &jobs));
    }
    Ok(decision.reply(Reply::Acted { changed }))
}

/// What the act means for one job; nothing when its state does not allow it.
fn act_on(
    queue: &Queue,
    act: Act,
    job: JobId,
    proc: &Proc,
    reason: &str,
) -> Option<(Event, Option<Effect>)> {
    match (act, &proc.state) {
        (Act::Hold, ProcState::Idle | ProcState::Running { .. }) => {
            let (code, reason) = (HoldCode::UserRequest, reason.to_owned());
            let effect = queue.ask_to_stop(job, VacateReason::Held);
            Some((Event::JobHeld { job, code, reason }, effect))
        }
        (Act::Release, ProcState::Held { .. }) => Some((Event::JobReleased { job }, None)),
        (Act::Remove, ProcState::Idle | ProcState::Running { .. } | ProcState::Held { .. }) => {
            let effect = queue.ask_to_stop(job, VacateReason::Removed);
            Some((
                Event::JobRemoved {
                    job,
                    reason: reason.to_owned(),
                },
                effect,
            ))
        }
        (Act::Hold | Act::Remove, ProcState::Landing { .. })
        | (Act::Hold, ProcState::Held { .. })
        | (Act::Release, ProcState::Idle | ProcState::Running { .. } | ProcState::Landing { .. })
        | (_, ProcState::Completed { .. } | ProcState::Removed { .. }) => None,
    }
}

/// The jobs that a subject names, with their records; nothing if it names nothing.
fn jobs_of(queue: &Queue, subject: Subject) -> Option<Vec<(JobId, Proc)>> {
    let id = match subject {
        Subject::Job(job) => return queue.job(job).map(|(_, proc)| vec![(job, proc)]),
        Subject::Whole(id) => id,
    };
    if !queue.clusters.contains_key(&id) && !queue.runs.contains_key(&id) {
        return None;
    }
    let family: BTreeSet<u32> = queue.family(id).map(|run| run.id).collect();
    let clusters = queue
        .clusters
        .range(id..)
        .map(|(_, cluster)| cluster)
        .filter(|cluster| cluster.id == id || family.contains(&cluster.top()));
    let jobs = clusters.flat_map(|cluster| {
        (0..cluster.count).filter_map(|proc| {
            Some((
                JobId {
                    cluster: cluster.id,
                    proc,
                },
                cluster.proc(proc)?,
            ))
        })
    });
    Some(jobs.collect())
}

fn wrong_state(queue: &Queue, act: Act, subject: Subject, jobs: &[(JobId, Proc)]) -> Refusal {
    let act = match act {
        Act::Hold => "held",
        Act::Release => "released",
        Act::Remove => "removed",
    };
    let run = match subject {
        Subject::Whole(id) => queue.runs.get(&id),
        Subject::Job(_) => None,
    };
    let state = match (jobs, run) {
        ([(_, proc)], None) => match &proc.state {
            ProcState::Landing { .. } => "its files are being written".to_owned(),
            state => format!("it is {}", state.name().to_lowercase()),
        },
        (_, Some(run)) => match (run.state, run.halt) {
            (RunState::Running, Halt::Held) => "it is held".to_owned(),
            (state, _) => format!("it is {}", state.name().to_lowercase()),
        },
        (_, None) => "none of its jobs is in a state for that".to_owned(),
    };
    Refusal::WrongState {
        subject,
        act,
        state,
    }
}
