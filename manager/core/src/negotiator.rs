//! Which job runs where: each idle job against each worker's slot, Requirements both ways, then
//! Rank.
//!
//! Fast tests may only skip what the evaluator would refuse as well: free amounts are compared
//! before ads are.

use std::cmp::Reverse;
use std::ops::Bound;

use classad::ClassAd;
use classad::matching::Prepared;
use dags::submit::JobSpec;
use proto::nouns::{ClaimId, JobId, Now, WorkerName};

use crate::event::{Event, Taken};
use crate::job::{Cluster, HoldCode};
use crate::pool::{Worker, integer};
use crate::queue::{Queue, Step};

/// Idle procs of one cluster that a pass looks at in vain. The next pass goes on behind them: a
/// million procs that match nothing must not stop the others.
const VAIN_MAX: u32 = 256;

impl Queue {
    /// Matches what is idle with what is free until nothing more matches, best place first.
    pub(crate) fn negotiate(&mut self, now: Now, step: &mut Step) {
        let mut next = self.waiting.first().copied();
        while let Some(place) = next.filter(|_| self.anything_free()) {
            self.negotiate_cluster(now, place.2, step);
            let after = (Bound::Excluded(place), Bound::Unbounded);
            next = self.waiting.range(after).next().copied();
        }
    }

    /// A slot that can take no job at all ends the pass early.
    fn anything_free(&self) -> bool {
        self.pool
            .workers
            .iter()
            .any(|(name, worker)| self.is_open(name, worker) && worker.free.cpus > 0)
    }

    /// Whether a worker may be given work.
    pub(crate) fn is_open(&self, name: &WorkerName, worker: &Worker) -> bool {
        worker.session.is_some()
            && worker.stale.is_empty()
            && worker.paused_until_mono_ms.is_none()
            && !self.drained.contains(name)
    }

    /// Looks at a cluster's idle procs in order, from where the last pass stopped, each once.
    fn negotiate_cluster(&mut self, now: Now, id: u32, step: &mut Step) {
        let start = self.clusters[&id].look_from;
        let mut vain = 0;
        for (from, to) in [(start, u32::MAX), (0, start)] {
            let mut at = from;
            while let Some(proc) = self.clusters[&id].next_idle(at).filter(|proc| *proc < to) {
                if !self.anything_free() {
                    return;
                }
                if vain == VAIN_MAX {
                    self.look_from(id, proc);
                    return;
                }
                let job = JobId { cluster: id, proc };
                match self.place_job(now, &self.clusters[&id], job) {
                    Placed::At(event) => self.carry_out(now, vec![event], step),
                    Placed::Nowhere => vain += 1,
                    Placed::Unfit(code, reason) => {
                        vain += 1;
                        let event = self.unfit(job, code, reason);
                        self.carry_out(now, vec![event], step);
                    }
                }
                at = proc + 1;
            }
        }
        self.look_from(id, 0);
    }

    fn look_from(&mut self, id: u32, proc: u32) {
        if let Some(cluster) = self.clusters.get_mut(&id) {
            cluster.look_from = proc;
        }
    }

    fn place_job(&self, now: Now, cluster: &Cluster, job: JobId) -> Placed {
        let spec = match self.whole_spec(cluster, job.proc) {
            Ok(spec) => spec,
            Err(reason) => return Placed::Unfit(HoldCode::FailedToCreateProcess, reason),
        };
        let ad = self.job_ad(cluster, job, &spec);
        let faulted_on = self.touched(job).map_or(&[][..], |proc| &proc.faulted_on);
        let Some((name, worker)) = self.best_worker(now, &ad, &spec, faulted_on) else {
            return Placed::Nowhere;
        };
        let gpus = choose_gpus(now, worker, &ad, spec.request_gpus).unwrap_or_default();
        let filled = match spec.is_open() {
            true => match spec.filled(&ad, &worker.carved(&spec, &gpus)) {
                Ok(filled) => Some(Box::new(filled)),
                Err(reason) => return Placed::Unfit(HoldCode::JobPolicyUndefined, reason),
            },
            false => None,
        };
        let runs = filled.as_deref().unwrap_or(&spec);
        if let Err((code, reason)) = self.order_of(job, runs, &gpus) {
            return Placed::Unfit(code, reason);
        }
        let claim = ClaimId {
            pool: self.meta.pool,
            serial: self.meta.next_claim,
        };
        let taken = Taken {
            cpus: spec.request_cpus.max(1),
            memory_mib: spec.request_memory_mib,
            disk_kib: spec.request_disk_kib,
            lease_ms: self.lease_of(&spec),
        };
        Placed::At(Event::JobClaimed {
            job,
            claim,
            worker: name.clone(),
            gpus,
            taken,
            filled,
        })
    }

    /// A lease that is not renewed in time by an ordinary beat would never let a job end.
    fn lease_of(&self, spec: &JobSpec) -> u64 {
        let asked = spec.lease_s.map(|s| s.saturating_mul(1000));
        asked
            .unwrap_or(self.limits.lease_ms)
            .max(self.limits.beat_ms.saturating_mul(3))
    }

    /// Of the workers that match: one that could start the job before, then the highest Rank, then
    /// the fullest, so that big holes stay whole, then the first by name.
    fn best_worker(
        &self,
        now: Now,
        ad: &ClassAd,
        spec: &JobSpec,
        faulted_on: &[WorkerName],
    ) -> Option<(&WorkerName, &Worker)> {
        let at = seconds(now);
        let job = Prepared::new(ad);
        let fits = |(name, worker): &(&WorkerName, &Worker)| {
            self.is_open(name, worker)
                && worker.has_room(spec)
                && job.accepts(&worker.slot, at)
                && classad::half_match(&worker.slot, ad, at)
                && choose_gpus(now, worker, ad, spec.request_gpus).is_some()
        };
        let matching = self.pool.workers.iter().filter(fits);
        let ranked = matching.map(|(name, worker)| {
            let faults = faulted_on.iter().filter(|faulted| *faulted == name).count();
            let rank = job.rank(&worker.slot, at);
            (
                Reverse(faults),
                rank,
                Reverse((worker.free.cpus, name)),
                worker,
            )
        });
        let best = ranked.max_by(|a, b| {
            a.0.cmp(&b.0)
                .then_with(|| a.1.total_cmp(&b.1))
                .then_with(|| a.2.cmp(&b.2))
        })?;
        Some((best.2.0.1, best.3))
    }
}

/// What came of looking for a place.
enum Placed {
    At(Event),
    Nowhere,
    Unfit(HoldCode, String),
}

impl Worker {
    /// Whether what is free covers what the job asks for: the amounts, and the number of GPUs.
    pub(crate) fn has_room(&self, spec: &JobSpec) -> bool {
        let free = &self.free;
        free.cpus >= spec.request_cpus.max(1)
            && free.memory_mib >= spec.request_memory_mib
            && free.disk_kib >= spec.request_disk_kib
            && free.gpus.len() >= spec.request_gpus as usize
    }
}

/// Exactly the devices that satisfy the job: the first `count` free ones that `RequireGPUs`
/// accepts; nothing if there are fewer.
fn choose_gpus(now: Now, worker: &Worker, ad: &ClassAd, count: u32) -> Option<Vec<String>> {
    let accepts = |id: &&String| match (ad.get("RequireGPUs"), worker.gpus.get(*id)) {
        (Some(require), Some(device)) => {
            let scope = classad::Scope::new(device).target(ad).now(seconds(now));
            scope.eval(require).is_true()
        }
        (None, _) => true,
        (Some(_), None) => false,
    };
    let free = worker.free.gpus.iter();
    let chosen: Vec<String> = free.filter(accepts).take(count as usize).cloned().collect();
    (chosen.len() == count as usize).then_some(chosen)
}

pub(crate) fn seconds(now: Now) -> i64 {
    integer(now.wall_ms / 1000)
}
