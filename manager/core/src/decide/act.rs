//! What people do to jobs, clusters and DAG runs.

use proto::nouns::{JobId, Subject, VacateReason};

use crate::command::{Act, Refusal, Reply};
use crate::decide::Decision;
use crate::effect::Effect;
use crate::event::Event;
use crate::job::{HoldCode, Proc, ProcState};
use crate::queue::Queue;
use crate::run::{NodeState, RunState};

/// Carries out `act` on what `subject` names: all of it that can be, if it is more than one job.
pub(super) fn act(
    queue: &Queue,
    act: Act,
    subject: Subject,
    reason: &str,
) -> Result<Decision, Refusal> {
    if act == Act::Retry {
        return retry(queue, subject);
    }
    let jobs = jobs_of(queue, subject).ok_or(Refusal::Unknown { subject })?;
    let mut changed = 0;
    let mut decision = Decision::new(Vec::new());
    if let (Act::Remove, Subject::Whole(run)) = (act, subject)
        && queue
            .runs
            .get(&run)
            .is_some_and(|run| run.state == RunState::Running)
    {
        decision.events.push(Event::RunRemoved { run });
        changed += 1;
    }
    for (job, proc) in &jobs {
        if let Some((event, effect)) = act_on(queue, act, *job, proc, reason) {
            decision.events.push(event);
            decision.effects.extend(effect);
            changed += 1;
        }
    }
    if changed == 0 {
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
        | (_, ProcState::Completed { .. } | ProcState::Removed { .. })
        | (Act::Retry, _) => None,
    }
}

/// Runs again what failed, was removed or became futile, of a DAG run that ended.
fn retry(queue: &Queue, subject: Subject) -> Result<Decision, Refusal> {
    let (Subject::Whole(id), Some(run)) = (subject, queue.runs.get(&subject.whole())) else {
        return Err(Refusal::Unknown { subject });
    };
    let again: Vec<u32> = (0..)
        .zip(&run.nodes)
        .filter(|(_, node)| match node.state {
            NodeState::Failed { .. } | NodeState::Futile | NodeState::Running => true,
            NodeState::Waiting | NodeState::Done => false,
        })
        .map(|(at, _)| at)
        .collect();
    match run.state {
        RunState::Failed { .. } | RunState::Removed { .. } => {
            let changed = again.len() as u64;
            let events = vec![
                Event::RunResumed { run: id },
                Event::NodesReset {
                    run: id,
                    nodes: again,
                },
            ];
            Ok(Decision::new(events).reply(Reply::Acted { changed }))
        }
        RunState::Running | RunState::Completed { .. } => {
            let state = format!("DAG run {id} is {}", run.state.name().to_lowercase());
            Err(Refusal::WrongState {
                subject,
                act: "retried",
                state,
            })
        }
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
    let clusters = queue
        .clusters
        .values()
        .filter(|cluster| cluster.id == id || cluster.top() == id);
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
        Act::Retry => "retried",
    };
    let state = match (jobs, queue.runs.get(&subject.whole())) {
        ([(_, proc)], _) => match &proc.state {
            ProcState::Landing { .. } => "its files are being written".to_owned(),
            state => format!("it is {}", state.name().to_lowercase()),
        },
        ([], Some(run)) => format!("it is {}", run.state.name().to_lowercase()),
        (_, Some(run)) => format!("it is {}", run.state.name().to_lowercase()),
        (_, None) => "none of its jobs is in a state for that".to_owned(),
    };
    Refusal::WrongState {
        subject,
        act,
        state,
    }
}
