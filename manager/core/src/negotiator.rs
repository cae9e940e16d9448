//! Which job runs where: whoever has the best right to the next slot is given the best place for
//! the first of his jobs that has one.
//!
//! Fast paths may only skip what the evaluator would refuse as well: every place that is taken was
//! accepted by both ads as they are at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use classad::{ClassAd, Expr, Scope};
use dags::Rules;
use dags::submit::{ConcurrencyLimits, JobSpec};
use proto::nouns::{ClaimId, JobId, Now, Report, WorkerName};

use crate::accounts::{Charge, Submitter, listed_limits};
use crate::agenda::Item;
use crate::event::{Event, Taken};
use crate::job::{Cluster, HoldCode, Source};
use crate::pool::Worker;
use crate::queue::{Queue, Step};

mod ahead;
mod autocluster;
mod chains;
mod demand;
mod fair;
mod market;
mod order;
mod preempt;
mod sort;
mod standing;

pub(crate) use autocluster::{Autocluster, RunTimes};
pub(crate) use demand::{AutoId, Placed, Sorting};
pub(crate) use market::Change;
pub(crate) use order::Order;
pub(crate) use standing::{Group, Groups, OverQuota, Slice, says_something_else_later};

use autocluster::Wish;
use chains::Chains;
use demand::{Demand, Head, Place};
use fair::Fair;
use market::Market;
use preempt::Promises;

/// Claims of one turn. The next goes on where it ended.
const CLAIMS_PER_TURN_MAX: usize = 256;
/// Inputs smaller than this are no reason to prefer a worker that has them.
const NEAR_BYTES_MIN: u64 = 64 << 10;
/// Inputs of a job that are looked for in caches.
const NEAR_FILES_MAX: usize = 64;

/// What the negotiator knows besides the queue. All of it can be derived anew.
#[derive(Clone, Debug)]
pub(crate) struct Negotiation {
    pub market: Market,
    pub order: Order,
    pub demand: Demand,
    pub chains: Chains,
    pub promises: Promises,
    pub autos: BTreeMap<AutoId, Autocluster>,
    by_key: BTreeMap<String, AutoId>,
    next_auto: AutoId,
    /// The market that the autoclusters were made for.
    generation: u64,
    /// Of each job that has a claim.
    running: BTreeMap<JobId, AutoId>,
}

/// What came of looking for a place for a job.
enum Sought {
    At {
        event: Box<Event>,
        weight: f64,
    },
    /// Nothing is free for it.
    Nowhere,
    /// There is a place, and it may not be taken: a limit, or a quota.
    Refused,
    Unfit(HoldCode, String),
}

/// One look at everybody who waits.
struct Pass {
    fair: Fair,
    /// Autoclusters that nothing is free for, whoever asks.
    nowhere: BTreeSet<AutoId>,
    /// How far each contender's line was looked at.
    cursors: BTreeMap<usize, Head>,
    /// The first that found nothing free, of each contender.
    unplaced: Vec<(usize, Head)>,
}

impl Negotiation {
    pub fn new(rules: &Rules) -> Negotiation {
        Negotiation {
            market: Market::default(),
            order: Order::new(&rules.order, &rules.weight),
            demand: Demand::default(),
            chains: Chains::default(),
            promises: Promises::default(),
            autos: BTreeMap::new(),
            by_key: BTreeMap::new(),
            next_auto: 1,
            generation: 0,
            running: BTreeMap::new(),
        }
    }

    /// What was worked out by other rules is worked out anew.
    pub fn forget_answers(&mut self) {
        self.market.forget_answers();
    }
}

impl Queue {
    /// Matches what is idle with what is free until nothing more matches, or the turn is long
    /// enough.
    pub(crate) fn negotiate(&mut self, now: Now, step: &mut Step) {
        self.follow_market();
        let waits = self.negotiation.demand.submitters().next().is_some();
        if !waits {
            self.drop_promises();
            self.spread(now, step);
            return;
        }
        let mut pass = self.pass(now);
        self.keep_promises(now, &mut pass, step);
        let mut claims = 0;
        if self.negotiation.market.anything_open() {
            while let Some(who) = pass.fair.next() {
                let market = &self.negotiation.market;
                if claims == CLAIMS_PER_TURN_MAX || self.pool_is_full() || !market.anything_open() {
                    break;
                }
                match self.serve(now, &mut pass, who, step) {
                    Some(weight) => {
                        claims += 1;
                        pass.fair.charge(who, weight);
                    }
                    None => pass.fair.out(who),
                }
            }
        }
        if claims == CLAIMS_PER_TURN_MAX {
            self.agenda.add_match();
            return;
        }
        if !self.negotiation.market.anything_open() {
            self.all_unplaced(&mut pass);
        }
        self.send_ahead(now, &mut pass, step);
        self.preempt(now, &pass, step);
    }

    /// Nothing is free for anybody.
    fn all_unplaced(&self, pass: &mut Pass) {
        let contenders = 0..pass.fair.len();
        pass.unplaced.clear();
        for who in contenders.take(ahead::RIVALS_MAX) {
            let submitter = &pass.fair.contender(who).submitter;
            let line = self.negotiation.demand.line(submitter);
            let Some(head) = line.and_then(|line| line.after(None)) else {
                continue;
            };
            let Some(entry) = self.negotiation.autos.get(&head.1) else {
                continue;
            };
            let limits = listed_limits(entry.spec());
            if self.accounts.exceeded(&self.rules, limits).is_none() {
                pass.unplaced.push((who, head));
            }
        }
    }

    fn pool_is_full(&self) -> bool {
        let max = self.rules.jobs_running_max;
        max.is_some_and(|max| self.accounts.jobs() >= max)
    }

    fn pass(&self, now: Now) -> Pass {
        Pass {
            fair: Fair::new(
                &self.rules,
                &self.accounts,
                self.negotiation.demand.submitters(),
                self.negotiation.market.weight(),
                now.wall_ms,
            ),
            nowhere: BTreeSet::new(),
            cursors: BTreeMap::new(),
            unplaced: Vec::new(),
        }
    }

    /// Gives a contender a place for the first of its jobs that has one, and says what that weighs.
    fn serve(&mut self, now: Now, pass: &mut Pass, who: usize, step: &mut Step) -> Option<f64> {
        loop {
            let submitter = &pass.fair.contender(who).submitter;
            let cursor = pass.cursors.get(&who).copied();
            let line = self.negotiation.demand.line(submitter)?;
            let head = line.after(cursor)?;
            let (place, auto) = head;
            if self.is_hopeless(pass, auto) {
                pass.unplaced.push((who, head));
            } else if let Some(job) = self.first_of(place) {
                match self.seek(now, &pass.fair, who, job, auto) {
                    Sought::At { event, weight } => {
                        self.carry_out(now, vec![*event], step);
                        return Some(weight);
                    }
                    Sought::Unfit(code, reason) => {
                        let event = self.unfit(job, code, reason);
                        self.carry_out(now, vec![event], step);
                        if step.rows.len() > CLAIMS_PER_TURN_MAX {
                            // The rest of them have the next turn.
                            self.agenda.add_match();
                            return None;
                        }
                        continue;
                    }
                    Sought::Nowhere => {
                        pass.nowhere.insert(auto);
                        pass.unplaced.push((who, head));
                    }
                    Sought::Refused => {}
                }
            }
            pass.cursors.insert(who, head);
        }
    }

    /// Whether nothing has changed for an autocluster since nothing was free for it.
    fn is_hopeless(&self, pass: &Pass, auto: AutoId) -> bool {
        let entry = self.negotiation.autos.get(&auto);
        let market = &self.negotiation.market;
        pass.nowhere.contains(&auto) || entry.is_none_or(|entry| entry.has_failed_in(market))
    }

    /// The first idle job that an entry among the waiting stands for.
    fn first_of(&self, place: Place) -> Option<JobId> {
        let cluster = self.clusters.get(&place.cluster)?;
        let proc = match place.proc {
            Some(proc) => {
                let waits = cluster.is_idle(proc) && cluster.is_materialized(proc);
                waits.then_some(proc)?
            }
            None => cluster.next_idle(0)?,
        };
        Some(JobId {
            cluster: place.cluster,
            proc,
        })
    }

    fn seek(&mut self, now: Now, fair: &Fair, who: usize, job: JobId, auto: AutoId) -> Sought {
        // Taken out for the search, which looks at everything else.
        let Some(mut entry) = self.negotiation.autos.remove(&auto) else {
            return Sought::Nowhere;
        };
        let limits = listed_limits(entry.spec());
        let found = match self.accounts.exceeded(&self.rules, limits) {
            Some(_) => Err(Sought::Refused),
            None => Ok(self.find(now, job, &mut entry)),
        };
        self.negotiation.autos.insert(auto, entry);
        match found {
            Ok(Some(name)) => self.take(now, fair, who, (job, Some(auto)), &name),
            Ok(None) => Sought::Nowhere,
            Err(refused) => refused,
        }
    }

    fn find(&self, now: Now, job: JobId, entry: &mut Autocluster) -> Option<WorkerName> {
        let near = self.near(&self.clusters[&job.cluster], job, entry.spec());
        let wish = Wish {
            avoid: self.touched(job).map_or(&[][..], |proc| &proc.faulted_on),
            near: &near,
            now_secs: seconds(now),
        };
        let Negotiation { market, order, .. } = &self.negotiation;
        entry.find(market, order, &self.pool, &wish)
    }

    /// Takes a place for a job: one on which the ad of its autocluster was evaluated just now, or one
    /// that is evaluated with its own.
    fn take(
        &self,
        now: Now,
        fair: &Fair,
        who: usize,
        (job, evaluated): (JobId, Option<AutoId>),
        name: &WorkerName,
    ) -> Sought {
        let (cluster, worker) = (&self.clusters[&job.cluster], &self.pool.workers[name]);
        let spec = match self.shared_spec(cluster, job.proc) {
            Ok(spec) => spec,
            Err(reason) => return Sought::Unfit(HoldCode::FailedToCreateProcess, reason),
        };
        let at = seconds(now);
        // A job that nothing happened to has the ad that was just evaluated, but for its number.
        let ad = match (&cluster.placed.sorting, evaluated) {
            (Sorting::Alike { .. }, Some(auto)) if self.touched(job).is_none() => {
                self.negotiation.autos[&auto].ad().clone()
            }
            (Sorting::Alike { .. } | Sorting::Each { .. } | Sorting::Unknown, _) => {
                let ad = self.job_ad(cluster, job, &spec);
                if !worker.has_room(&spec)
                    || !classad::half_match(&ad, &worker.slot, at)
                    || !classad::half_match(&worker.slot, &ad, at)
                {
                    return Sought::Nowhere;
                }
                ad
            }
        };
        let Some(gpus) = worker.choose_gpus(&ad, &spec, at) else {
            return Sought::Nowhere;
        };
        let submitter = &fair.contender(who).submitter;
        let taken = self.taken(now, (&spec, &ad), worker, &gpus, submitter);
        let weight = taken.charge.weight;
        let limits = &taken.charge.limits;
        if fair.over_quota(who, weight).is_some()
            || self.accounts.exceeded(&self.rules, limits).is_some()
        {
            return Sought::Refused;
        }
        match self.claimed((job, &spec), (name, worker), gpus, Arc::new(taken), None) {
            Ok(event) => Sought::At {
                event: Box::new(event),
                weight,
            },
            Err((code, reason)) => Sought::Unfit(code, reason),
        }
    }

    /// The event by which a job gets a place.
    fn claimed(
        &self,
        (job, spec): (JobId, &Arc<JobSpec>),
        (name, worker): (&WorkerName, &Worker),
        gpus: Vec<String>,
        taken: Arc<Taken>,
        behind: Option<ClaimId>,
    ) -> Result<Event, (HoldCode, String)> {
        let cluster = &self.clusters[&job.cluster];
        let filled = match self.is_open_job(cluster, spec) {
            true => {
                let ad = self.job_ad(cluster, job, spec);
                let filled = spec.filled(&ad, &worker.carved(&taken, &gpus));
                let filled = filled.map_err(|reason| (HoldCode::JobPolicyUndefined, reason))?;
                Some(Box::new(filled))
            }
            false => None,
        };
        let order = self.order_of(job, filled.as_deref().unwrap_or(spec), &gpus)?;
        let claim = ClaimId {
            pool: self.meta.pool,
            serial: self.meta.next_claim,
        };
        Ok(Event::JobClaimed {
            job,
            claim,
            worker: name.clone(),
            gpus,
            taken,
            filled,
            behind,
            order: Some(Box::new(order)),
        })
    }

    /// What a claim takes from its worker, and what that costs.
    fn taken(
        &self,
        now: Now,
        (spec, ad): (&JobSpec, &ClassAd),
        worker: &Worker,
        gpus: &[String],
        submitter: &Submitter,
    ) -> Taken {
        let mut taken = Taken {
            cpus: spec.request_cpus.max(1),
            memory_mib: spec.request_memory_mib,
            disk_kib: spec.request_disk_kib,
            lease_ms: self.lease_of(spec),
            gpu_memory_mib: spec.request_gpu_memory_mib,
            other: spec.request_other.clone(),
            charge: Charge {
                submitter: submitter.clone(),
                weight: 0.0,
                limits: Vec::new(),
            },
        };
        let computes = matches!(
            spec.policy.concurrency_limits,
            ConcurrencyLimits::Computed(_)
        );
        let carved = match self.negotiation.order.weighs_amounts() && !computes {
            true => taken.amounts(gpus),
            false => worker.carved(&taken, gpus),
        };
        let carved = worker.with_parts(carved, &taken, gpus);
        taken.charge.weight = weigh(&self.rules.weight, &carved, ad, seconds(now));
        taken.charge.limits = match &spec.policy.concurrency_limits {
            ConcurrencyLimits::None => Vec::new(),
            ConcurrencyLimits::Listed(limits) => limits.clone(),
            ConcurrencyLimits::Computed(expr) => {
                let scope = Scope::new(ad).target(&carved).now(seconds(now));
                let text = scope.eval(expr);
                text.as_str()
                    .map(ConcurrencyLimits::parse)
                    .unwrap_or_default()
            }
        };
        taken
    }

    /// A lease that is not renewed in time by an ordinary beat would never let a job end.
    fn lease_of(&self, spec: &JobSpec) -> u64 {
        let asked = spec.lease_s.map(|s| s.saturating_mul(1000));
        asked
            .unwrap_or(self.limits.lease_ms)
            .max(self.limits.beat_ms.saturating_mul(3))
    }

    /// MiB of a job's inputs that workers are known to have.
    fn near(&self, cluster: &Cluster, job: JobId, spec: &JobSpec) -> BTreeMap<WorkerName, u64> {
        let mut near: BTreeMap<WorkerName, u64> = BTreeMap::new();
        if !self.negotiation.order.counts_cached() || !self.pool.knows_caches() {
            return near;
        }
        if spec.transfer_input.is_empty() {
            return near;
        }
        let Ok(own) = self.shared_spec(cluster, job.proc) else {
            return near;
        };
        let files = self.input_blobs(cluster, &own);
        let large = files.filter(|blob| blob.bytes >= NEAR_BYTES_MIN);
        for blob in large.take(NEAR_FILES_MAX) {
            for name in self.pool.holders(&blob.digest) {
                *near.entry(name.clone()).or_default() += blob.bytes;
            }
        }
        for bytes in near.values_mut() {
            *bytes = bytes.div_ceil(1 << 20);
        }
        near
    }

    /// Whether a worker may be given work.
    pub(crate) fn is_open(&self, name: &WorkerName, worker: &Worker) -> bool {
        worker.session.is_some()
            && worker.stale.is_empty()
            && worker.paused_until_mono_ms.is_none()
            && !self.drained.contains(name)
            && !self.negotiation.promises.closes(name)
    }

    /// Tells the market that something about a worker is not as it was.
    pub(crate) fn slot_changed(&mut self, name: &WorkerName, change: Change) {
        let Some(worker) = self.pool.workers.get(name) else {
            self.negotiation.market.remove(name);
            return;
        };
        let open = self.is_open(name, worker);
        let weight = match (change, worker.session) {
            (Change::Advert, Some(_)) => {
                let empty = worker.emptied();
                let nobody = ClassAd::new();
                Some(weigh(&self.rules.weight, &empty.slot, &nobody, 0))
            }
            (Change::Advert, None) => Some(0.0),
            (Change::Gain | Change::Loss, _) => None,
        };
        if change == Change::Advert {
            // What its slots took may not be what they would take now: nothing more follows there
            // unmatched. From behind, so that each front is one until the last.
            for claim in worker.carves.keys().rev() {
                self.negotiation.chains.end(*claim);
            }
        }
        let market = &mut self.negotiation.market;
        market.update(name, worker, open, change);
        if let Some(weight) = weight {
            market.weigh(name, weight);
        }
        if change != Change::Loss {
            self.agenda.add_match();
        }
    }

    /// A job ran to its end: its like may take as long.
    pub(crate) fn ran(&mut self, job: JobId, report: &Report) {
        let ms = report.ended_ms.saturating_sub(report.started_ms);
        let auto = self.negotiation.running.get(&job);
        if let Some(auto) = auto.and_then(|auto| self.negotiation.autos.get_mut(auto)) {
            auto.times.add(ms);
        }
        let node = self.clusters.get(&job.cluster).and_then(Cluster::node);
        if let Some((run, node)) = node {
            self.node_took(run, node, ms);
        }
    }
}

/// What a claim weighs in the shares; what is no number at least 0 counts as 1.
fn weigh(weight: &Expr, slot: &ClassAd, job: &ClassAd, now_secs: i64) -> f64 {
    let scope = Scope::new(slot).target(job).now(now_secs);
    let weight = scope.eval(weight).as_f64();
    weight
        .filter(|weight| weight.is_finite() && *weight >= 0.0)
        .unwrap_or(1.0)
}

pub(crate) fn seconds(now: Now) -> i64 {
    crate::pool::integer(now.wall_ms / 1000)
}
