//! Draining: what it does to the jobs of a worker, and to the worker when they are gone. Source:
//! HTCondor manual, "condor_drain".

use classad::{Expr, Scope};
use proto::nouns::{ClaimId, Now, ToWorker, VacateReason, WorkerName};

use crate::command::{Refusal, Reply};
use crate::decide::Decision;
use crate::decide::node::Deeds;
use crate::drain::{AfterDrain, Drain, DrainMode, DrainRequest, DrainState};
use crate::effect::Effect;
use crate::event::{Event, Requeue};
use crate::negotiator::seconds;
use crate::queue::Queue;

/// What is asked of a worker.
pub(super) fn drain(
    queue: &Queue,
    now: Now,
    worker: WorkerName,
    request: DrainRequest,
) -> Result<Decision, Refusal> {
    let entry = queue.pool.workers.get(&worker);
    let (mode, reason, then, check) = match request {
        DrainRequest::Drain {
            mode,
            reason,
            then,
            check,
        } => (mode, reason, then, check),
        DrainRequest::Resume if queue.drained.contains(&worker) => {
            let drain = DrainState::Open;
            return Ok(Decision::new(vec![Event::WorkerDrained { worker, drain }]));
        }
        DrainRequest::Resume if entry.is_some() => return Ok(Decision::new(Vec::new())),
        DrainRequest::Resume => return Err(Refusal::UnknownWorker { worker }),
    };
    let Some(entry) = entry else {
        return Err(Refusal::UnknownWorker { worker });
    };
    if let Some(check) = check {
        let found = match Expr::parse(&check) {
            Ok(expr) => match Scope::new(&entry.slot).now(seconds(now)).eval(&expr) {
                value if value.is_true() => None,
                value => Some(format!("is {value} there")),
            },
            Err(error) => Some(format!("is no expression: {error}")),
        };
        if let Some(found) = found {
            return Err(Refusal::DrainCheck {
                worker,
                check,
                found,
            });
        }
    }
    let drain = DrainState::Drained(Drain {
        mode,
        reason,
        then,
        since_ms: now.wall_ms,
    });
    let running = u32::try_from(entry.carves.len()).unwrap_or(u32::MAX);
    let mut decision = Decision::new(vec![Event::WorkerDrained {
        worker: worker.clone(),
        drain,
    }]);
    if let Some(session) = entry.session {
        // What is no longer the job's was asked to end before, and is hastened.
        let all = entry.carves.iter();
        let told = all.filter(|(_, carve)| !carve.vacating || mode == DrainMode::Fast);
        let told = told.map(|(claim, _)| *claim);
        decision.effects = ask_to_end(&worker, session, mode, told);
    }
    Ok(decision.reply(Reply::Drained { running }))
}

/// Asks a worker to end claims, where the mode is to take jobs back. They stay their jobs' until it
/// says that they ended: a job does not run twice at a time because a worker is drained.
fn ask_to_end(
    worker: &WorkerName,
    session: u64,
    mode: DrainMode,
    claims: impl Iterator<Item = ClaimId>,
) -> Vec<Effect> {
    let grace_ms = match mode {
        DrainMode::Graceful => return Vec::new(),
        DrainMode::Quick => None,
        DrainMode::Fast => Some(0),
    };
    let told = claims.map(|claim| Effect::Tell {
        worker: worker.clone(),
        session,
        message: ToWorker::Vacate {
            claim,
            reason: VacateReason::Drained,
            grace_ms,
        },
    });
    told.collect()
}

impl Queue {
    /// Asks a drained worker once more to end what it still runs: the first word may be lost.
    pub(super) fn ask_drained_to_end(
        &self,
        worker: &WorkerName,
        session: u64,
        claims: &[ClaimId],
    ) -> Vec<Effect> {
        let Some(drain) = self.drained.get(worker) else {
            return Vec::new();
        };
        let claims = claims.iter().copied();
        let current = claims.filter(|claim| self.current(worker, *claim).is_some());
        ask_to_end(worker, session, drain.mode, current)
    }

    /// Why a worker stopped a job.
    pub(super) fn stopped_by(&self, worker: WorkerName, claim: ClaimId) -> Requeue {
        if let Some(preempted) = self.preempted_by(&worker, claim) {
            return preempted;
        }
        match self.drained.get(&worker).map(|drain| drain.mode) {
            Some(DrainMode::Quick | DrainMode::Fast) => Requeue::Drained { worker },
            Some(DrainMode::Graceful) | None => Requeue::Vacated { worker },
        }
    }

    /// What comes of drained workers that nothing runs on any more, by their own word: what one that
    /// is cut off runs is not known.
    pub(crate) fn drains_over(&self) -> Deeds {
        let (mut events, mut effects) = (Vec::new(), Vec::new());
        for (worker, drain) in self.drained.iter() {
            let entry = self.pool.workers.get(worker);
            let idle = entry.filter(|entry| entry.carves.is_empty() && entry.stale.is_empty());
            let Some(session) = idle.and_then(|entry| entry.session) else {
                continue;
            };
            let drain = match drain.then {
                AfterDrain::Stay => continue,
                AfterDrain::Resume => DrainState::Open,
                AfterDrain::Exit => {
                    let reason = match drain.reason.as_str() {
                        "" => "it is drained".to_owned(),
                        reason => format!("it is drained: {reason}"),
                    };
                    effects.push(Effect::Tell {
                        worker: worker.clone(),
                        session,
                        message: ToWorker::Leave { reason },
                    });
                    DrainState::Drained(Drain {
                        then: AfterDrain::Stay,
                        ..drain.clone()
                    })
                }
            };
            let worker = worker.clone();
            events.push(Event::WorkerDrained { worker, drain });
        }
        (events, effects)
    }
}
