//! Decisions: what a command means, given the state. They read the queue and change nothing.

mod act;
mod drain;
mod edit;
mod evict;
mod lease;
pub(crate) mod node;
mod policy;
mod report;
mod run;
mod script;
mod session;
mod start;
mod submit;
mod trial;

pub(crate) use run::not_done;
pub(crate) use trial::params_json;

use std::collections::BTreeMap;

use proto::nouns::{ClaimId, JobId, Now, ToWorker, VacateReason};

use crate::command::{Command, Refusal, Reply};
use crate::effect::Effect;
use crate::event::{Event, Soft};
use crate::job::{Cluster, HoldCode, ProcState};
use crate::queue::Queue;
use crate::run::RunState;

/// What a command leads to.
#[derive(Debug)]
pub(crate) struct Decision {
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    pub reply: Reply,
}

/// Decides a command.
///
/// # Errors
/// Why it is not carried out.
pub(crate) fn decide(queue: &Queue, now: Now, command: Command) -> Result<Decision, Refusal> {
    match command {
        Command::SubmitCluster(new) => submit::cluster(queue, now, *new),
        Command::SubmitRun(new) => run::submit(queue, now, *new),
        Command::Session {
            worker,
            session,
            message,
        } => session::message(queue, now, &worker, session, message),
        Command::Disconnected { worker, session } => {
            Ok(session::disconnected(queue, worker, session))
        }
        Command::Suggested {
            run,
            node,
            first,
            points,
        } => Ok(trial::suggested(queue, run, node, first, points)),
        Command::Landed { job, result } => Ok(report::landed(queue, job, result)),
        Command::ScriptEnded {
            run,
            node,
            kind,
            attempt,
            end,
        } => Ok(script::ended(queue, now, (run, node, kind), attempt, end)),
        Command::Loaded { run, node, dag } => Ok(run::loaded(queue, now, run, node, dag)),
        Command::Collected { run, node, files } => Ok(run::collected(queue, now, run, node, files)),
        Command::Steer { run, request } => run::steer(queue, run, request),
        Command::Act {
            act,
            subject,
            reason,
        } => act::act(queue, now, act, subject, &reason),
        Command::ActOnRest {
            act,
            cluster,
            reason,
        } => act::act_on_rest(queue, now, act, cluster, &reason),
        Command::Edit { subject, change } => edit::edit(queue, subject, &change),
        Command::Drain { worker, request } => drain::drain(queue, now, worker, request),
        Command::SetRules(rules) => Ok(Decision::new(vec![Event::RulesSet(rules)])),
        Command::SetAccount { submitter, setting } => {
            let event = Event::AccountSet { submitter, setting };
            Ok(Decision::new(vec![event]))
        }
        Command::Tick => {
            let mut decision = lease::expire(queue, now);
            decision.events.extend(queue.scripts_due(now));
            let requeued = |event: &Event| {
                let Event::JobRequeued { job, .. } = event else {
                    return None;
                };
                Some(*job)
            };
            let taken = decision.events.iter().filter_map(requeued).collect();
            let (events, effects) = queue.policies_due(now, taken);
            decision.events.extend(events);
            decision.effects.extend(effects);
            Ok(decision)
        }
    }
}

/// What a restart takes up again, besides what the agenda finds.
pub(crate) fn recovery(queue: &Queue) -> (Vec<Event>, Vec<Effect>) {
    let mut events = vec![Event::Soft(Soft::AccountsTakenUp)];
    let mut effects = Vec::new();
    // A claim comes before those that wait behind it.
    let mut claims: BTreeMap<ClaimId, Soft> = BTreeMap::new();
    for &claim in queue.lingering.keys() {
        claims.insert(claim, Soft::ClaimLingers { claim });
    }
    for cluster in queue.clusters.values() {
        for (&proc, record) in &cluster.procs {
            let job = JobId {
                cluster: cluster.id,
                proc,
            };
            match &record.state {
                ProcState::Running { claim, .. } => {
                    claims.insert(*claim, Soft::ClaimKept { job });
                }
                ProcState::Landing { .. } => effects.extend(queue.land(job)),
                ProcState::Idle
                | ProcState::Held { .. }
                | ProcState::Completed { .. }
                | ProcState::Removed { .. } => {}
            }
        }
    }
    events.extend(claims.into_values().map(Event::Soft));
    for run in queue
        .runs
        .values()
        .filter(|run| run.state == RunState::Running)
    {
        effects.extend(
            run.studies
                .keys()
                .filter_map(|node| queue.keep_best(run.id, *node)),
        );
    }
    (events, effects)
}

// === impl Decision ===

impl Decision {
    pub(crate) fn new(events: Vec<Event>) -> Decision {
        Decision {
            events,
            effects: Vec::new(),
            reply: Reply::Done,
        }
    }

    pub(crate) fn reply(self, reply: Reply) -> Decision {
        Decision { reply, ..self }
    }
}

// === impl Queue ===

impl Queue {
    /// A job that cannot be run as it is: one of a DAG fails its node, any other is held for
    /// somebody to mend it.
    pub(crate) fn unfit(&self, job: JobId, code: HoldCode, reason: String) -> Event {
        match self.clusters.get(&job.cluster).and_then(Cluster::node) {
            Some(_) => Event::JobUnfit { job, reason },
            None => Event::JobHeld { job, code, reason },
        }
    }

    /// Asks the worker to stop a running job, as its order says.
    pub(crate) fn ask_to_stop(&self, job: JobId, reason: VacateReason) -> Option<Effect> {
        self.ask_to_stop_within(job, reason, None)
    }

    /// The same, with another time to end.
    pub(crate) fn ask_to_stop_within(
        &self,
        job: JobId,
        reason: VacateReason,
        grace_ms: Option<u64>,
    ) -> Option<Effect> {
        let (_, proc) = self.job(job)?;
        let ProcState::Running { claim, worker, .. } = proc.state else {
            return None;
        };
        let session = self.pool.workers.get(&worker)?.session?;
        Some(Effect::Tell {
            worker,
            session,
            message: ToWorker::Vacate {
                claim,
                reason,
                grace_ms,
            },
        })
    }
}
