//! Short jobs are sent ahead: behind a claim that holds a slot, to follow it there without a round
//! trip. Called back when somebody with a better right waits for such a slot.

use proto::nouns::{ToWorker, VacateReason};

use super::chains::{Chain, Kind, depth};
use super::*;
use crate::effect::Effect;
use crate::event::Soft;

/// Claims that one turn sends ahead.
const AHEAD_PER_TURN_MAX: usize = 2_048;
/// Of those who found nothing free, so many are looked at when it is asked who has a better right.
pub(super) const RIVALS_MAX: usize = 64;

impl Queue {
    /// Sends ahead what there is, of those whose right to the slots is the best.
    pub(super) fn send_ahead(&mut self, now: Now, pass: &mut Pass, step: &mut Step) {
        let waiting = self.negotiation.chains.kinds().filter(|(auto, submitter)| {
            let entry = self.negotiation.autos.get(auto);
            // What the time may change is matched each time.
            if entry.is_none_or(|entry| !entry.is_lasting() || depth(&entry.times) == 0) {
                return false;
            }
            let line = self.negotiation.demand.line(submitter);
            line.is_some_and(|line| line.head_of(*auto).is_some())
        });
        let kinds: Vec<Kind> = waiting.cloned().collect();
        pass.unplaced.truncate(RIVALS_MAX);
        let rivals = !pass.unplaced.is_empty();
        let mut sent = 0;
        for kind in &kinds {
            let Some(entry) = self.negotiation.autos.get(&kind.0) else {
                continue;
            };
            let depth = depth(&entry.times);
            while depth > 0 && sent < AHEAD_PER_TURN_MAX {
                let Some(chain) = self.negotiation.chains.shortest(kind, depth) else {
                    break;
                };
                if rivals && self.has_rival(pass, chain) {
                    break;
                }
                let Some(event) = self.behind(kind, chain) else {
                    break;
                };
                self.carry_out(now, vec![event], step);
                sent += 1;
            }
        }
        if sent == AHEAD_PER_TURN_MAX {
            self.agenda.add_match();
        }
        if rivals {
            self.call_back(now, pass, step);
        }
        self.spread(now, step);
    }

    /// What waits behind another while a slot is free elsewhere is better there.
    pub(super) fn spread(&mut self, now: Now, step: &mut Step) {
        if !self.negotiation.market.anything_open() {
            return;
        }
        let long = self.negotiation.chains.long();
        let kinds: BTreeSet<Kind> = long.map(|chain| chain.kind.clone()).collect();
        let mut back = Vec::new();
        for kind in &kinds {
            let chain = self.negotiation.chains.longest(kind);
            let Some(chain) = chain.filter(|chain| chain.claims.len() > 1) else {
                continue;
            };
            let (worker, last) = (chain.worker.clone(), chain.claims[chain.claims.len() - 1]);
            let Some(carve) = self.pool.carve(&worker, last) else {
                continue;
            };
            let job = carve.job;
            let Some(mut entry) = self.negotiation.autos.remove(&kind.0) else {
                continue;
            };
            if self.find(now, job, &mut entry).is_some() {
                back.push((worker, last));
            }
            self.negotiation.autos.insert(kind.0, entry);
        }
        self.ask_back(now, back, step);
    }

    /// The next job of a kind, behind the last claim of a chain.
    fn behind(&self, (auto, submitter): &Kind, chain: &Chain) -> Option<Event> {
        let line = self.negotiation.demand.line(submitter)?;
        let job = self.first_of(line.head_of(*auto)?)?;
        let (name, worker) = self.pool.workers.get_key_value(&chain.worker)?;
        if !self.is_open(name, worker) {
            return None;
        }
        let last = *chain.claims.last()?;
        let carve = worker.carves.get(&last)?;
        if carve.vacating
            || self.is_over(&carve.taken.charge)
            || self
                .negotiation
                .promises
                .is_victim(name, chain.claims.first()?)
            || self
                .touched(job)
                .is_some_and(|proc| !proc.faulted_on.is_empty())
        {
            return None;
        }
        let cluster = &self.clusters[&job.cluster];
        let spec = self.shared_spec(cluster, job.proc).ok()?;
        let lease_ms = self.lease_of(&spec);
        let taken = match carve.taken.lease_ms == lease_ms {
            true => carve.taken.clone(),
            false => Arc::new(Taken {
                lease_ms,
                ..(*carve.taken).clone()
            }),
        };
        let gpus = carve.gpus.clone();
        self.claimed((job, &spec), (name, worker), gpus, taken, Some(last))
            .ok()
    }

    /// Whether more of what a claim counts against is in use than may be: it was made less.
    fn is_over(&self, charge: &Charge) -> bool {
        let nothing_more = charge.limits.iter().map(|(name, _)| (name.clone(), 0.0));
        let limits: Vec<(String, f64)> = nothing_more.collect();
        let user = &charge.submitter.user;
        let over = |max: Option<u32>, jobs: u32| max.is_some_and(|max| jobs > max);
        over(self.rules.jobs_running_max, self.accounts.jobs())
            || over(
                self.rules.user(user).jobs_running_max,
                self.accounts.jobs_of(user),
            )
            || self.accounts.exceeded(&self.rules, &limits).is_some()
    }

    /// Whether somebody who found nothing free has a better right to a chain's slot than those who
    /// would follow in it.
    fn has_rival(&self, pass: &Pass, chain: &Chain) -> bool {
        let Some(worker) = self.pool.workers.get(&chain.worker) else {
            return false;
        };
        let (own_auto, owner) = &chain.kind;
        let line = self.negotiation.demand.line(owner);
        let next = line.and_then(|line| line.head_of(*own_auto));
        let carve = chain
            .claims
            .first()
            .and_then(|front| worker.carves.get(front));
        let Some(carve) = carve else { return false };
        pass.unplaced.iter().any(|(who, (place, auto))| {
            let own = pass.fair.contender(*who).submitter == *owner;
            if own && auto == own_auto {
                return false;
            }
            let better = match own {
                true => next.is_none_or(|next| *place < next),
                false => pass.fair.prefers(*who, owner, carve.taken.charge.weight),
            };
            let Some(rival) = self.negotiation.autos.get(auto).filter(|_| better) else {
                return false;
            };
            let wanted = rival.spec();
            rival.may_run_on(&self.negotiation.market, &chain.worker)
                && worker.free.cpus + carve.taken.cpus >= wanted.request_cpus.max(1)
                && worker.free.memory_mib + carve.taken.memory_mib >= wanted.request_memory_mib
                && worker.free.disk_kib + carve.taken.disk_kib >= wanted.request_disk_kib
                && worker.free.gpus as usize + carve.gpus.len() >= wanted.request_gpus as usize
        })
    }

    /// Calls back what stands in somebody's way.
    fn call_back(&mut self, now: Now, pass: &Pass, step: &mut Step) {
        let chains = &self.negotiation.chains;
        let mut back: Vec<(WorkerName, ClaimId)> = Vec::new();
        for chain in chains.long() {
            if self.has_rival(pass, chain) {
                let behind = chain.claims.iter().skip(1).rev();
                back.extend(behind.map(|claim| (chain.worker.clone(), *claim)));
            }
        }
        self.ask_back(now, back, step);
    }

    /// Asks workers not to begin these.
    pub(super) fn ask_back(&mut self, now: Now, back: Vec<(WorkerName, ClaimId)>, step: &mut Step) {
        for (worker, claim) in back {
            let Some(entry) = self.pool.workers.get(&worker) else {
                continue;
            };
            let known = entry.carves.get(&claim);
            let (Some(session), Some(false)) = (entry.session, known.map(|of| of.called_back))
            else {
                continue;
            };
            let event = Event::Soft(Soft::ClaimCalledBack {
                worker: worker.clone(),
                claim,
            });
            self.carry_out(now, vec![event], step);
            step.effects.push(Effect::Tell {
                worker,
                session,
                message: ToWorker::Vacate {
                    claim,
                    reason: VacateReason::CalledBack,
                    grace_ms: None,
                },
            });
        }
    }
}
