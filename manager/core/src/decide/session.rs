//! Sessions: what workers say. One session at a time speaks for a worker; what any other says is
//! refused.

use proto::nouns::{
    ClaimId, Digest, JobId, Now, Offer, ToManager, ToWorker, VacateReason, WorkerName,
};

use crate::command::Refusal;
use crate::decide::Decision;
use crate::effect::Effect;
use crate::event::{Ads, Event, Requeue, Soft};
use crate::pool::OfferAds;
use crate::queue::Queue;

/// A message of a session.
pub(super) fn message(
    queue: &Queue,
    now: Now,
    worker: &WorkerName,
    session: u64,
    message: ToManager,
) -> Result<Decision, Refusal> {
    if let ToManager::Hello {
        boot,
        version,
        offer,
        claims,
        cached,
        ..
    } = message
    {
        let hello = Hello {
            worker,
            session,
            boot,
            version,
            offer,
            claims,
            cached,
        };
        return hello.decide(queue);
    }
    let current = queue
        .pool
        .workers
        .get(worker)
        .and_then(|entry| entry.session);
    if current != Some(session) {
        let reason = "it was closed or replaced".to_owned();
        return Err(Refusal::Session {
            worker: worker.clone(),
            session,
            reason,
        });
    }
    let heard = |claims| {
        Event::Soft(Soft::WorkerHeard {
            worker: worker.clone(),
            claims,
        })
    };
    let job_of = |claim| queue.current(worker, claim);
    let mut decision = match message {
        ToManager::Hello { .. } => Decision::new(Vec::new()),
        ToManager::Advertise { offer } => {
            let ads = parse(worker, session, &offer)?;
            let worker = worker.clone();
            Decision::new(vec![Event::Soft(Soft::WorkerAdvertised {
                worker,
                offer,
                ads,
            })])
        }
        ToManager::Beat { claims } => {
            let mut decision = Decision::new(Vec::new());
            decision.effects = stale(queue, worker, session, &claims);
            let drained = queue.ask_drained_to_end(worker, session, &claims);
            decision.effects.extend(drained);
            let preempted = queue.ask_preempted_to_end(worker, session, &claims);
            decision.effects.extend(preempted);
            decision.events = ended_stale(queue, worker, &claims);
            decision.events.push(heard(claims));
            decision
        }
        ToManager::Started { claim } => {
            let started = job_of(claim).map(|job| Event::JobStarted { job });
            Decision::new(started.into_iter().chain([heard(vec![claim])]).collect())
        }
        ToManager::Progress { claim, lines } => {
            let mut events = Vec::new();
            if let Some(job) = job_of(claim) {
                events.extend(queue.provisioned(job, &lines));
                events.push(Event::Soft(Soft::JobProgress { job, lines }));
            }
            events.push(heard(vec![claim]));
            Decision::new(events)
        }
        ToManager::Finished { claim, report } => {
            let mut events = match job_of(claim) {
                Some(job) => queue.report(now, job, *report),
                None => Vec::new(),
            };
            events.push(Event::Soft(Soft::ClaimEnded {
                worker: worker.clone(),
                claim,
            }));
            let mut decision = Decision::new(events);
            decision
                .effects
                .push(tell(worker, session, ToWorker::Forget { claim }));
            decision
        }
        ToManager::Log { .. } => Decision::new(Vec::new()),
    };
    if decision.events.is_empty() {
        decision.events.push(heard(Vec::new()));
    }
    Ok(decision)
}

/// The session broke. Its claims live on until their leases end.
pub(super) fn disconnected(queue: &Queue, worker: WorkerName, session: u64) -> Decision {
    let current = queue
        .pool
        .workers
        .get(&worker)
        .and_then(|entry| entry.session);
    if current == Some(session) {
        return Decision::new(vec![Event::Soft(Soft::WorkerCutOff { worker })]);
    }
    Decision::new(Vec::new())
}

/// The first message of a session.
struct Hello<'a> {
    worker: &'a WorkerName,
    session: u64,
    boot: u64,
    version: String,
    offer: Offer,
    claims: Vec<ClaimId>,
    cached: Vec<Digest>,
}

impl Hello<'_> {
    fn decide(self, queue: &Queue) -> Result<Decision, Refusal> {
        let ads = parse(self.worker, self.session, &self.offer)?;
        let known = queue.pool.workers.get(self.worker);
        if known.is_some_and(|known| known.session.is_some() && known.boot != self.boot) {
            let reason = "another worker of this name is connected".to_owned();
            let (worker, session) = (self.worker.clone(), self.session);
            return Err(Refusal::Session {
                worker,
                session,
                reason,
            });
        }
        let again = known.is_some_and(|known| known.session == Some(self.session));
        let limits = queue.limits();
        let welcome = ToWorker::Welcome {
            pool: queue.pool_id(),
            lease_ms: limits.lease_ms,
            beat_ms: limits.beat_ms,
        };
        let mut effects = vec![tell(self.worker, self.session, welcome)];
        if again {
            // What it did not name may be on its way to it.
            let worker = self.worker.clone();
            let heard = Soft::WorkerHeard {
                worker,
                claims: self.claims,
            };
            return Ok(Decision {
                effects,
                ..Decision::new(vec![Event::Soft(heard)])
            });
        }
        effects.extend(stale(queue, self.worker, self.session, &self.claims));
        effects.extend(queue.ask_drained_to_end(self.worker, self.session, &self.claims));
        effects.extend(queue.ask_preempted_to_end(self.worker, self.session, &self.claims));
        let is_stale = |claim: &ClaimId| queue.current(self.worker, *claim).is_none();
        let mut events = vec![Event::Soft(Soft::WorkerJoined {
            worker: self.worker.clone(),
            session: self.session,
            boot: self.boot,
            version: self.version,
            offer: self.offer,
            ads,
            stale: self.claims.iter().copied().filter(is_stale).collect(),
            cached: self.cached,
        })];
        let carves = known.map(|known| &known.carves);
        for (claim, carve) in carves.into_iter().flatten() {
            if self.claims.contains(claim) {
                continue;
            }
            let worker = self.worker.clone();
            if !carve.vacating {
                let cause = Requeue::Lost {
                    worker: worker.clone(),
                };
                events.extend(queue.lost(carve.job, cause));
            }
            events.push(Event::Soft(Soft::ClaimEnded {
                worker,
                claim: *claim,
            }));
        }
        let worker = self.worker.clone();
        events.push(Event::Soft(Soft::WorkerHeard {
            worker,
            claims: self.claims,
        }));
        Ok(Decision {
            effects,
            ..Decision::new(events)
        })
    }
}

impl Queue {
    /// The job whose current claim this is, on this worker. A claim that ended, was taken back, or
    /// was never given has none.
    pub(crate) fn current(&self, worker: &WorkerName, claim: ClaimId) -> Option<JobId> {
        let job = self.pool.carve(worker, claim)?.job;
        (self.touched(job)?.claim() == Some(claim)).then_some(job)
    }
}

/// Stops what the worker still runs and should not.
fn stale(queue: &Queue, worker: &WorkerName, session: u64, claims: &[ClaimId]) -> Vec<Effect> {
    let stale = claims
        .iter()
        .filter(|claim| queue.current(worker, **claim).is_none());
    let reason = VacateReason::Stale;
    stale
        .map(|&claim| {
            let grace_ms = None;
            let message = ToWorker::Vacate {
                claim,
                reason,
                grace_ms,
            };
            tell(worker, session, message)
        })
        .collect()
}

/// Stale claims that a beat no longer names have ended.
fn ended_stale(queue: &Queue, worker: &WorkerName, claims: &[ClaimId]) -> Vec<Event> {
    let stale = queue
        .pool
        .workers
        .get(worker)
        .into_iter()
        .flat_map(|entry| &entry.stale);
    let ended = stale.filter(|claim| !claims.contains(claim));
    ended
        .map(|&claim| {
            Event::Soft(Soft::ClaimEnded {
                worker: worker.clone(),
                claim,
            })
        })
        .collect()
}

fn tell(worker: &WorkerName, session: u64, message: ToWorker) -> Effect {
    Effect::Tell {
        worker: worker.clone(),
        session,
        message,
    }
}

fn parse(worker: &WorkerName, session: u64, offer: &Offer) -> Result<Box<Ads>, Refusal> {
    match OfferAds::parse(offer) {
        Ok(ads) => Ok(Box::new(Ads(ads))),
        Err(reason) => Err(Refusal::Session {
            worker: worker.clone(),
            session,
            reason,
        }),
    }
}
