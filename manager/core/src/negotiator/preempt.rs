//! Slots that are taken back for somebody who waits, where the pool's rules say so: because the
//! worker ranks the one who waits above what it runs, or because the one who waits has a better
//! priority and the rules' expression is true.
//!
//! Nobody is taken off a slot for what could not run there then: both ads are evaluated on the slot
//! as it would be. A victim keeps its claim until its worker says that it has ended; the slot is
//! then for the one that it was taken back for, if that one still waits.

use std::cmp::Reverse;

use dags::rules::RankPreempts;
use proto::nouns::{ToWorker, VacateReason};

use super::chains::Kind;
use super::*;
use crate::effect::Effect;
use crate::event::{Preempts, Requeue};
use crate::pool::Carve;

/// Of those who found nothing free, so many look for victims in a turn.
const HEADS_MAX: usize = 16;
/// Running jobs that one turn looks at. The next turn goes on where it ended.
const LOOKS_MAX: usize = 2_048;
/// Jobs that make room for one.
const VICTIMS_MAX: usize = 64;

/// Slots that are being taken back, by worker: one at a time on each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promises {
    of: BTreeMap<WorkerName, Promise>,
    /// Where the next look for victims begins.
    from: Option<WorkerName>,
}

/// A slot that is being taken back.
#[derive(Clone, Debug)]
struct Promise {
    /// Whom it is for.
    kind: Kind,
    victims: BTreeMap<ClaimId, Preempts>,
    /// Sent ahead behind a victim, and asked to come back.
    behind: BTreeSet<ClaimId>,
    room: Room,
}

/// What a promise needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// No more than its one victim has.
    Victim,
    /// More than any one victim has: nobody else gets anything of the worker until they are gone.
    Worker,
}

/// Jobs of a worker that would make room.
struct Plan {
    worker: WorkerName,
    victims: BTreeMap<ClaimId, Preempts>,
    /// When the one that runs longest began.
    oldest_ms: u64,
    room: Room,
}

/// What a worker has for somebody who waits.
enum Find {
    Nothing,
    /// There is room when those have ended who are asked to already.
    Soon,
    After(Plan),
}

/// Somebody who waits.
struct Waiting<'a> {
    who: usize,
    kind: &'a Kind,
    job: JobId,
    spec: &'a JobSpec,
    ad: &'a ClassAd,
}

impl Promises {
    /// Whether a worker is kept free for somebody.
    pub fn closes(&self, worker: &WorkerName) -> bool {
        let promise = self.of.get(worker);
        promise.is_some_and(|promise| promise.room == Room::Worker)
    }

    /// Whether a claim is being taken back.
    pub fn is_victim(&self, worker: &WorkerName, claim: &ClaimId) -> bool {
        let promise = self.of.get(worker);
        promise.is_some_and(|promise| promise.victims.contains_key(claim))
    }

    fn is_for(&self, kind: &Kind) -> bool {
        self.of.values().any(|promise| promise.kind == *kind)
    }
}

// === promises ===

impl Queue {
    /// Why a worker stopped a job, if that made room for another.
    pub(crate) fn preempted_by(&self, worker: &WorkerName, claim: ClaimId) -> Option<Requeue> {
        let promise = self.negotiation.promises.of.get(worker)?;
        let why = *promise.victims.get(&claim)?;
        Some(Requeue::Preempted {
            worker: worker.clone(),
            by: promise.kind.1.clone(),
            why,
        })
    }

    /// Asks a worker once more to end what makes room: the first word may be lost.
    pub(crate) fn ask_preempted_to_end(
        &self,
        worker: &WorkerName,
        session: u64,
        claims: &[ClaimId],
    ) -> Vec<Effect> {
        let victims = claims
            .iter()
            .filter(|claim| self.negotiation.promises.is_victim(worker, claim));
        victims.map(|claim| end(worker, session, *claim)).collect()
    }

    /// Nobody waits any more for what was taken back.
    pub(super) fn drop_promises(&mut self) {
        for name in self.kept_promises() {
            self.redeem(&name);
        }
    }

    /// Gives slots whose victims are gone to those for whom they were taken back.
    pub(super) fn keep_promises(&mut self, now: Now, pass: &mut Pass, step: &mut Step) {
        for name in self.kept_promises() {
            let Some((auto, submitter)) = self.redeem(&name) else {
                continue;
            };
            let line = self.negotiation.demand.line(&submitter);
            let place = line.and_then(|line| line.head_of(auto));
            let job = place.and_then(|place| self.first_of(place));
            let worker = self.pool.workers.get(&name);
            let open = worker.is_some_and(|worker| self.is_open(&name, worker));
            let (Some(job), Some(who)) = (job, pass.fair.open(&submitter)) else {
                continue;
            };
            if !open || self.pool_is_full() {
                continue;
            }
            match self.take(now, &pass.fair, who, (job, None), &name) {
                Sought::At { event, weight } => {
                    self.carry_out(now, vec![*event], step);
                    pass.fair.charge(who, weight);
                }
                Sought::Unfit(code, reason) => {
                    let event = self.unfit(job, code, reason);
                    self.carry_out(now, vec![event], step);
                }
                Sought::Nowhere | Sought::Refused => {}
            }
        }
    }

    /// Workers that nothing runs on any more that was to make room.
    fn kept_promises(&self) -> Vec<WorkerName> {
        let gone = |(name, promise): &(&WorkerName, &Promise)| {
            let mut awaited = promise.victims.keys().chain(&promise.behind);
            !awaited.any(|claim| self.pool.carve(name, *claim).is_some())
        };
        let kept = self.negotiation.promises.of.iter().filter(gone);
        kept.map(|(name, _)| name.clone()).collect()
    }

    /// Opens a worker again, and says for whom it was closed.
    fn redeem(&mut self, name: &WorkerName) -> Option<Kind> {
        let promise = self.negotiation.promises.of.remove(name)?;
        if promise.room == Room::Worker {
            self.slot_changed(name, Change::Gain);
        }
        Some(promise.kind)
    }
}

// === victims ===

impl Queue {
    /// Takes back slots for those who found nothing free, where the rules say so.
    pub(super) fn preempt(&mut self, now: Now, pass: &Pass, step: &mut Step) {
        let by_rank = self.rules.rank_preempts == RankPreempts::Yes;
        if !by_rank && self.rules.preemption_requirements == Expr::from(false) {
            return;
        }
        let mut looks = LOOKS_MAX;
        for (who, (place, auto)) in pass.unplaced.iter().take(HEADS_MAX) {
            let kind = (*auto, pass.fair.contender(*who).submitter.clone());
            if self.negotiation.promises.is_for(&kind) {
                continue;
            }
            let Some(job) = self.first_of(*place) else {
                continue;
            };
            let cluster = &self.clusters[&job.cluster];
            let Ok(spec) = self.shared_spec(cluster, job.proc) else {
                continue;
            };
            let ad = self.job_ad(cluster, job, &spec);
            let waiting = Waiting {
                who: *who,
                kind: &kind,
                job,
                spec: &spec,
                ad: &ad,
            };
            let (plan, next) = self.plan_of(now, &pass.fair, &waiting, &mut looks);
            if let Some(plan) = plan {
                self.take_back(now, &kind, plan, step);
            }
            if next.is_some() {
                self.negotiation.promises.from = next;
                return;
            }
        }
    }

    /// The place with the fewest victims, the youngest of those; none if something is free soon.
    /// And where to go on, if this was too much for one turn.
    fn plan_of(
        &self,
        now: Now,
        fair: &Fair,
        waiting: &Waiting<'_>,
        looks: &mut usize,
    ) -> (Option<Plan>, Option<WorkerName>) {
        let promises = &self.negotiation.promises;
        let workers = &self.pool.workers;
        let from = promises.from.as_ref();
        let after = workers.iter().filter(|(name, _)| Some(*name) >= from);
        let before = workers.iter().filter(|(name, _)| Some(*name) < from);
        let mut best: Option<Plan> = None;
        for (name, worker) in after.chain(before) {
            if promises.of.contains_key(name)
                || !self.is_open(name, worker)
                || !self.may_run(waiting, name)
            {
                continue;
            }
            if *looks == 0 {
                return (best, Some(name.clone()));
            }
            match self.room_on(now, fair, waiting, (name, worker), looks) {
                Find::Nothing => {}
                Find::Soon => return (None, None),
                Find::After(plan) => {
                    let key = |plan: &Plan| (plan.victims.len(), Reverse(plan.oldest_ms));
                    if best.as_ref().is_none_or(|best| key(&plan) < key(best)) {
                        best = Some(plan);
                    }
                }
            }
        }
        (best, None)
    }

    fn may_run(&self, waiting: &Waiting<'_>, name: &WorkerName) -> bool {
        let auto = self.negotiation.autos.get(&waiting.kind.0);
        let proc = self.touched(waiting.job);
        auto.is_some_and(|auto| auto.may_run_on(&self.negotiation.market, name))
            && proc.is_none_or(|proc| !proc.faulted_on.contains(name))
    }

    /// Who would have to leave a worker.
    fn room_on(
        &self,
        now: Now,
        fair: &Fair,
        waiting: &Waiting<'_>,
        (name, worker): (&WorkerName, &Worker),
        looks: &mut usize,
    ) -> Find {
        let mut going = BTreeSet::new();
        let mut victims: Vec<(Reverse<u64>, ClaimId, Preempts)> = Vec::new();
        for (claim, carve) in worker.holding() {
            if carve.vacating || carve.called_back {
                going.insert(*claim);
                continue;
            }
            *looks = looks.saturating_sub(1);
            if let Some(why) = self.gives_way(now, fair, waiting, worker, carve) {
                victims.push((Reverse(carve.since_ms), *claim, why));
            }
        }
        let fits = |out: &BTreeSet<ClaimId>| self.fits_without(now, fair, waiting, worker, out);
        if !going.is_empty() && fits(&going) {
            return Find::Soon;
        }
        victims.sort_unstable_by_key(|(since, claim, _)| (*since, Reverse(claim.serial)));
        victims.truncate(VICTIMS_MAX);
        let with = |of: &[(Reverse<u64>, ClaimId, Preempts)]| {
            let claims = of.iter().map(|(_, claim, _)| *claim);
            going.iter().copied().chain(claims).collect::<BTreeSet<_>>()
        };
        let one = victims.iter().position(|one| {
            let alone = with(std::slice::from_ref(one));
            fits(&alone)
        });
        let chosen = match one {
            Some(at) => vec![victims.swap_remove(at)],
            None => {
                let enough = (2..=victims.len()).find(|count| fits(&with(&victims[..*count])));
                let Some(count) = enough else {
                    return Find::Nothing;
                };
                victims.truncate(count);
                spare(victims, |left| fits(&with(left)))
            }
        };
        let covers = |claim: &ClaimId| covers(&worker.carves[claim], waiting.spec);
        let room = match chosen.as_slice() {
            [(_, only, _)] if going.is_empty() && covers(only) => Room::Victim,
            _ => Room::Worker,
        };
        let oldest = chosen.iter().map(|(Reverse(since), _, _)| *since).min();
        Find::After(Plan {
            worker: name.clone(),
            victims: chosen
                .into_iter()
                .map(|(_, claim, why)| (claim, why))
                .collect(),
            oldest_ms: oldest.unwrap_or(0),
            room,
        })
    }

    /// Whether a running job gives way to one that waits, and why.
    fn gives_way(
        &self,
        now: Now,
        fair: &Fair,
        waiting: &Waiting<'_>,
        worker: &Worker,
        carve: &Carve,
    ) -> Option<Preempts> {
        let cluster = self.clusters.get(&carve.job.cluster)?;
        let at = seconds(now);
        let owner = &carve.taken.charge.submitter;
        let by_rank = self.rules.rank_preempts == RankPreempts::Yes;
        let better = fair.priorities(waiting.who, owner);
        let better = better.filter(|(own, theirs)| {
            own < theirs
                && *owner != waiting.kind.1
                && fair.prefers(waiting.who, owner, carve.taken.charge.weight)
        });
        if !by_rank && better.is_none() {
            return None;
        }
        let spec = self.shared_spec(cluster, carve.job.proc).ok()?;
        let running = self.job_ad(cluster, carve.job, &spec);
        let rank = classad::rank(&worker.slot, &running, at);
        if by_rank && classad::rank(&worker.slot, waiting.ad, at) > rank {
            return Some(Preempts::Rank);
        }
        let (own, theirs) = better?;
        let mut slot = worker.carved(&carve.taken, &carve.gpus);
        slot.insert("RemoteUser", owner.to_string().as_str());
        slot.insert("RemoteUserPrio", theirs);
        slot.insert("RemoteJob", running);
        slot.insert("CurrentRank", rank);
        let ran_ms = now.wall_ms.saturating_sub(carve.since_ms);
        slot.insert("TotalJobRunTime", crate::pool::integer(ran_ms / 1000));
        let mut target = waiting.ad.clone();
        target.insert("SubmitterUser", waiting.kind.1.to_string().as_str());
        target.insert("SubmitterUserPrio", own);
        let scope = Scope::new(&slot).target(&target).now(at);
        let says = scope.eval(&self.rules.preemption_requirements);
        says.is_true().then_some(Preempts::Priority)
    }

    /// Whether a job could run on a worker without some of its claims, by both ads, its devices and
    /// what its submitter may have.
    fn fits_without(
        &self,
        now: Now,
        fair: &Fair,
        waiting: &Waiting<'_>,
        worker: &Worker,
        out: &BTreeSet<ClaimId>,
    ) -> bool {
        let (spec, ad, at) = (waiting.spec, waiting.ad, seconds(now));
        if !amounts_fit(worker, spec, out) {
            return false;
        }
        let then = worker.without(out);
        if !then.has_room(spec)
            || !classad::half_match(ad, &then.slot, at)
            || !classad::half_match(&then.slot, ad, at)
        {
            return false;
        }
        let Some(gpus) = then.choose_gpus(ad, spec, at) else {
            return false;
        };
        let submitter = &waiting.kind.1;
        let taken = self.taken(now, (spec, ad), &then, &gpus, submitter);
        let gone = || out.iter().filter_map(|claim| worker.carves.get(claim));
        let charges = gone().map(|carve| &carve.taken.charge);
        let of_user = gone().filter(|carve| carve.taken.charge.submitter.user == submitter.user);
        let max = self.rules.user(&submitter.user).jobs_running_max;
        let jobs = self.accounts.jobs_of(&submitter.user) as usize;
        max.is_none_or(|max| jobs < max as usize + of_user.count())
            && !fair.over_quota_without(waiting.who, taken.charge.weight, charges)
            && self
                .accounts
                .exceeded(&self.rules, &taken.charge.limits)
                .is_none()
    }

    /// Asks the victims to end, and those behind them not to begin.
    fn take_back(&mut self, now: Now, kind: &Kind, plan: Plan, step: &mut Step) {
        let Plan {
            worker: name,
            victims,
            room,
            ..
        } = plan;
        let Some((worker, session)) = self
            .pool
            .workers
            .get(&name)
            .and_then(|worker| Some((worker, worker.session?)))
        else {
            return;
        };
        let mut behind = BTreeSet::new();
        let mut order = Vec::new();
        for victim in victims.keys() {
            let mut last = *victim;
            let waits = |last| {
                let mut carves = worker.carves.iter();
                carves.find(|(_, carve)| carve.behind == Some(last))
            };
            while let Some((claim, _)) = waits(last) {
                behind.insert(*claim);
                order.push((name.clone(), *claim));
                last = *claim;
            }
        }
        order.reverse();
        // First those behind: they would begin when the victim ends.
        self.ask_back(now, order, step);
        let asked = victims.keys().map(|claim| end(&name, session, *claim));
        step.effects.extend(asked);
        let promise = Promise {
            kind: kind.clone(),
            victims,
            behind,
            room,
        };
        self.negotiation.promises.of.insert(name.clone(), promise);
        if room == Room::Worker {
            self.slot_changed(&name, Change::Loss);
        }
    }
}

/// Leaves out whom there is room without, those that run longest first.
fn spare<T: Clone>(mut victims: Vec<T>, fits: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut at = victims.len();
    while at > 0 {
        at -= 1;
        let mut fewer = victims.clone();
        fewer.remove(at);
        if fits(&fewer) {
            victims = fewer;
        }
    }
    victims
}

/// Whether cores, memory and disk would do: what costs little to see.
fn amounts_fit(worker: &Worker, spec: &JobSpec, out: &BTreeSet<ClaimId>) -> bool {
    let mut cpus = worker.free.cpus;
    let mut memory = worker.free.memory_mib;
    let mut disk = worker.free.disk_kib;
    for carve in out.iter().filter_map(|claim| worker.carves.get(claim)) {
        cpus = cpus.saturating_add(carve.taken.cpus);
        memory = memory.saturating_add(carve.taken.memory_mib);
        disk = disk.saturating_add(carve.taken.disk_kib);
    }
    cpus >= spec.request_cpus.max(1)
        && memory >= spec.request_memory_mib
        && disk >= spec.request_disk_kib
}

/// Whether a claim has all that a job asks for.
fn covers(carve: &Carve, spec: &JobSpec) -> bool {
    let taken = &carve.taken;
    let other = |(name, amount): (&String, &u64)| taken.other.get(name).unwrap_or(&0) >= amount;
    taken.cpus >= spec.request_cpus.max(1)
        && taken.memory_mib >= spec.request_memory_mib
        && taken.disk_kib >= spec.request_disk_kib
        && spec.request_gpus == 0
        && spec.request_other.iter().all(other)
}

fn end(worker: &WorkerName, session: u64, claim: ClaimId) -> Effect {
    Effect::Tell {
        worker: worker.clone(),
        session,
        message: ToWorker::Vacate {
            claim,
            reason: VacateReason::Preempted,
            grace_ms: None,
        },
    }
}
