//! What people do to jobs, clusters and DAG runs.

use std::collections::BTreeSet;

use proto::nouns::{JobId, Now, Subject, VacateReason};

use crate::command::{Act, Haste, Refusal, Reply};
use crate::decide::Decision;
use crate::effect::Effect;
use crate::event::{Event, Requeue};
use crate::job::{Cluster, HoldCode, ProcState, Source};
use crate::policy::Watching;
use crate::queue::Queue;
use crate::rest::Rest;
use crate::run::{Halt, RunState};

/// Untouched jobs of a cluster from which on they are held, released and removed as one: they
/// need no records then. Smaller clusters' jobs are told of one by one, in logs as well.
const REST_MIN: u64 = 1_001;

/// Carries out `act` on what `subject` names: all of it that can be, if it is more than one job.
pub(super) fn act(
    queue: &Queue,
    now: Now,
    act: Act,
    subject: Subject,
    reason: &str,
) -> Result<Decision, Refusal> {
    let named = named(queue, subject).ok_or(Refusal::Unknown { subject })?;
    let mut changed = 0;
    let mut decision = Decision::new(Vec::new());
    if let Subject::Whole(run) = subject
        && queue.runs.contains_key(&run)
    {
        let (events, effects) = match act {
            Act::Remove => queue.remove_run(run, reason),
            Act::Hold => (queue.hold_run(run, Halt::Held), Vec::new()),
            Act::Release => (queue.hold_run(run, Halt::Open), Vec::new()),
            Act::Vacate(_) => (Vec::new(), Vec::new()),
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
    let deed = Deed { now, act, reason };
    for (cluster, procs) in &named {
        changed += deed.on_cluster(queue, cluster, procs, &gone, &mut decision);
    }
    if decision.events.is_empty() {
        return Err(wrong_state(queue, act, subject));
    }
    Ok(decision.reply(Reply::Acted { changed }))
}

/// What is done to jobs.
struct Deed<'a> {
    now: Now,
    act: Act,
    reason: &'a str,
}

impl Deed<'_> {
    /// Decides it for jobs of one cluster but those that are `gone`, and counts them.
    fn on_cluster(
        &self,
        queue: &Queue,
        cluster: &Cluster,
        procs: &Procs,
        gone: &BTreeSet<JobId>,
        decision: &mut Decision,
    ) -> u64 {
        let rest = match procs {
            Procs::One(_) => None,
            Procs::All => rest_after(self.now, self.act, cluster, self.reason),
        };
        let jobs: Box<dyn Iterator<Item = u32>> = match (procs, &rest) {
            (Procs::One(proc), _) => Box::new(std::iter::once(*proc)),
            (Procs::All, Some(_)) => Box::new(cluster.procs.keys().copied()),
            (Procs::All, None) => Box::new(0..cluster.count),
        };
        let mut changed = 0;
        for proc in jobs {
            let job = JobId {
                cluster: cluster.id,
                proc,
            };
            let Some(proc) = cluster.proc(proc).filter(|_| !gone.contains(&job)) else {
                continue;
            };
            if let Some((event, effect)) = act_on(queue, self.act, job, &proc.state, self.reason) {
                decision.events.push(event);
                decision.effects.extend(effect);
                changed += 1;
            }
        }
        if let Some(rest) = rest {
            changed += cluster.rest_count();
            let cluster = cluster.id;
            decision.events.push(Event::RestChanged { cluster, rest });
        }
        changed
    }
}

/// Carries out `act` on all untouched jobs of a cluster.
pub(super) fn act_on_rest(
    queue: &Queue,
    now: Now,
    act: Act,
    id: u32,
    reason: &str,
) -> Result<Decision, Refusal> {
    let subject = Subject::Whole(id);
    let cluster = queue.clusters.get(&id);
    let cluster = cluster.ok_or(Refusal::Unknown { subject })?;
    if let Some(rest) = rest_after(now, act, cluster, reason) {
        let changed = cluster.rest_count();
        let event = Event::RestChanged { cluster: id, rest };
        return Ok(Decision::new(vec![event]).reply(Reply::Acted { changed }));
    }
    let mut decision = Decision::new(Vec::new());
    let state = cluster.untouched().state;
    for proc in cluster.rest_from(0) {
        let job = JobId { cluster: id, proc };
        if let Some((event, effect)) = act_on(queue, act, job, &state, reason) {
            decision.events.push(event);
            decision.effects.extend(effect);
        }
    }
    let changed = decision.events.len() as u64;
    Ok(decision.reply(Reply::Acted { changed }))
}

/// The state that the untouched jobs of a cluster enter together; nothing where they do not, or
/// not together.
fn rest_after(now: Now, act: Act, cluster: &Cluster, reason: &str) -> Option<Rest> {
    let reason = || reason.to_owned();
    let since_ms = now.wall_ms;
    // Nodes are told of each of their jobs, and policies look at each that is held.
    if cluster.source != Source::User || cluster.rest_count() < REST_MIN {
        return None;
    }
    let is_watched = cluster.watching != Watching::Nothing;
    match (act, &cluster.rest) {
        (Act::Hold, Rest::Idle) if !is_watched => Some(Rest::Held {
            code: HoldCode::UserRequest,
            reason: reason(),
            since_ms,
        }),
        (Act::Release, Rest::Held { .. }) => Some(Rest::Idle),
        (Act::Remove, Rest::Idle | Rest::Held { .. }) => Some(Rest::Removed {
            reason: reason(),
            since_ms,
        }),
        (Act::Hold | Act::Release | Act::Remove | Act::Vacate(_), _) => None,
    }
}

/// What the act means for one job; nothing when its state does not allow it.
fn act_on(
    queue: &Queue,
    act: Act,
    job: JobId,
    state: &ProcState,
    reason: &str,
) -> Option<(Event, Option<Effect>)> {
    match (act, state) {
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
        (Act::Vacate(haste), ProcState::Running { worker, .. }) => {
            let grace_ms = match haste {
                Haste::Grace => None,
                Haste::Now => Some(0),
            };
            // Its claim's slot stays taken until the worker says that it is free.
            let effect = queue.ask_to_stop_within(job, VacateReason::Stale, grace_ms);
            let cause = Requeue::Vacated {
                worker: worker.clone(),
            };
            Some((Event::JobRequeued { job, cause }, effect))
        }
        (Act::Hold | Act::Remove | Act::Vacate(_), ProcState::Landing { .. })
        | (Act::Hold, ProcState::Held { .. })
        | (Act::Vacate(_), ProcState::Idle | ProcState::Held { .. })
        | (Act::Release, ProcState::Idle | ProcState::Running { .. } | ProcState::Landing { .. })
        | (_, ProcState::Completed { .. } | ProcState::Removed { .. }) => None,
    }
}

/// Which jobs of a cluster are named.
enum Procs {
    One(u32),
    All,
}

/// The jobs that a subject names, by cluster; nothing if it names nothing.
fn named(queue: &Queue, subject: Subject) -> Option<Vec<(&Cluster, Procs)>> {
    let id = match subject {
        Subject::Job(job) => {
            let cluster = queue.clusters.get(&job.cluster)?;
            return (job.proc < cluster.count).then(|| vec![(cluster, Procs::One(job.proc))]);
        }
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
    Some(clusters.map(|cluster| (cluster, Procs::All)).collect())
}

fn wrong_state(queue: &Queue, act: Act, subject: Subject) -> Refusal {
    let act = match act {
        Act::Hold => "held",
        Act::Release => "released",
        Act::Remove => "removed",
        Act::Vacate(_) => "vacated",
    };
    let run = match subject {
        Subject::Whole(id) => queue.runs.get(&id),
        Subject::Job(_) => None,
    };
    let job = match subject {
        Subject::Job(job) => queue.job(job),
        Subject::Whole(cluster) => {
            let only = queue.clusters.get(&cluster).filter(|only| only.count == 1);
            only.and_then(|_| queue.job(JobId { cluster, proc: 0 }))
        }
    };
    let state = match (job, run) {
        (Some((_, proc)), None) => match &proc.state {
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
