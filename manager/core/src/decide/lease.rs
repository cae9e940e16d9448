//! Leases: claims that nothing was heard of for too long end, and their jobs are idle again.

use proto::nouns::{Now, ToWorker, VacateReason, WorkerName};

use crate::decide::Decision;
use crate::effect::Effect;
use crate::event::{Event, Requeue, Soft};
use crate::pool::Worker;
use crate::queue::Queue;

/// Everything whose time is up.
pub(super) fn expire(queue: &Queue, now: Now) -> Decision {
    let mut decision = Decision::new(Vec::new());
    for (name, worker) in &queue.pool.workers {
        expire_worker(queue, now, name, worker, &mut decision);
    }
    decision
}

fn expire_worker(
    queue: &Queue,
    now: Now,
    name: &WorkerName,
    worker: &Worker,
    decision: &mut Decision,
) {
    let mut left = worker.carves.len();
    for (&claim, carve) in &worker.carves {
        if carve.expires_mono_ms() > now.mono_ms {
            continue;
        }
        left -= 1;
        if !carve.vacating {
            let cause = Requeue::LeaseExpired {
                worker: name.clone(),
            };
            decision.events.extend(queue.lost(carve.job, cause));
        }
        decision.events.push(Event::Soft(Soft::ClaimEnded {
            worker: name.clone(),
            claim,
        }));
        if let Some(session) = worker.session {
            let message = ToWorker::Vacate {
                claim,
                reason: VacateReason::Stale,
                grace_ms: None,
            };
            decision.effects.push(Effect::Tell {
                worker: name.clone(),
                session,
                message,
            });
        }
    }
    if worker
        .paused_until_mono_ms
        .is_some_and(|until| until <= now.mono_ms)
    {
        let worker = name.clone();
        decision
            .events
            .push(Event::Soft(Soft::WorkerResumed { worker }));
    }
    let silent = worker.heard_mono_ms.saturating_add(queue.limits.lease_ms) <= now.mono_ms;
    if left == 0 && silent {
        decision.events.push(Event::Soft(Soft::WorkerGone {
            worker: name.clone(),
        }));
    }
}
