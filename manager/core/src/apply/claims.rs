//! What events do to claims: slots are carved, charged, given back, and those that were sent ahead
//! move up.

use std::sync::Arc;

use proto::nouns::{ClaimId, JobId, Now, WorkerName};
use serde::{Deserialize, Serialize};

use crate::accounts::{Charge, Submitter};
use crate::event::Taken;
use crate::job::{Phase, ProcState};
use crate::negotiator::Change;
use crate::pool::{Carve, Uncarved, Worker};
use crate::queue::Queue;
use crate::record::RecordKey;

/// A claim that is no longer its job's, and whose worker has not said yet that it stopped: its slot
/// is not free.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lingering {
    pub job: JobId,
    pub worker: WorkerName,
    pub taken: Arc<Taken>,
    pub gpus: Vec<String>,
    pub since_ms: u64,
    /// Sent ahead: it follows this claim in its slot.
    pub behind: Option<ClaimId>,
}

/// What a claim begins with.
pub(super) struct Begins<'a> {
    pub job: JobId,
    pub claim: ClaimId,
    pub worker: &'a WorkerName,
    pub gpus: &'a [String],
    pub taken: &'a Arc<Taken>,
    pub behind: Option<ClaimId>,
}

impl Queue {
    pub(super) fn job_claimed(&mut self, now: Now, begins: &Begins<'_>) {
        let Begins { job, claim, .. } = *begins;
        self.meta.next_claim = claim.serial + 1;
        self.dirty.insert(RecordKey::Meta);
        let auto = self.auto_of(job);
        let proc = self.touch(job);
        proc.attempts += 1;
        proc.past.first_claimed_ms.get_or_insert(now.wall_ms);
        proc.past.claimed_ms = Some(now.wall_ms);
        proc.past.executing_ms = None;
        let phase = match begins.behind {
            Some(_) => Phase::Ahead,
            None => Phase::Staging,
        };
        let state = ProcState::Running {
            claim,
            worker: begins.worker.clone(),
            phase,
            taken: begins.taken.clone(),
            gpus: begins.gpus.to_vec(),
            behind: begins.behind,
        };
        self.set_job(now, job, state);
        self.set_running(job, auto);
        self.claim_kept(now, job);
        if let Some(auto) = auto {
            let chains = &mut self.negotiation.chains;
            match begins.behind {
                Some(last) => chains.extend(last, claim),
                None => {
                    let kind = (auto, begins.taken.charge.submitter.clone());
                    chains.begin(claim, kind, begins.worker.clone());
                }
            }
        }
    }

    /// Carves the slot of a running job's claim, or puts it behind the one that it waits for.
    pub(super) fn claim_kept(&mut self, now: Now, job: JobId) {
        let Some((_, proc)) = self.job(job) else {
            return;
        };
        let ProcState::Running {
            claim,
            worker,
            taken,
            gpus,
            behind,
            ..
        } = proc.state
        else {
            return;
        };
        let carve = Carve {
            job,
            taken,
            gpus,
            since_ms: proc.since_ms,
            renewed_mono_ms: now.mono_ms,
            vacating: false,
            behind,
            called_back: false,
        };
        self.carve(now, &worker, claim, carve);
        self.limit_time(now, job);
    }

    /// The slot of a claim that lingered before a restart is still taken.
    pub(super) fn claim_lingers(&mut self, now: Now, claim: ClaimId) {
        let Some(lingering) = self.lingering.get(&claim).cloned() else {
            return;
        };
        let carve = Carve {
            job: lingering.job,
            taken: lingering.taken,
            gpus: lingering.gpus,
            since_ms: lingering.since_ms,
            renewed_mono_ms: now.mono_ms,
            vacating: true,
            behind: lingering.behind,
            called_back: false,
        };
        self.carve(now, &lingering.worker, claim, carve);
    }

    fn carve(&mut self, now: Now, worker: &WorkerName, claim: ClaimId, mut carve: Carve) {
        let entry = self.worker_entry(now, worker);
        // One whose front has ended is the front.
        carve.behind = carve
            .behind
            .filter(|front| entry.carves.contains_key(front));
        let charge = carve.behind.is_none().then(|| carve.taken.charge.clone());
        entry.carve(claim, carve);
        if let Some(charge) = charge {
            self.charge(now, &charge);
            self.slot_changed(worker, Change::Loss);
        }
    }

    /// A worker no longer runs a claim.
    pub(super) fn claim_ended(&mut self, now: Now, worker: &WorkerName, claim: ClaimId) {
        if self.lingering.remove(&claim).is_some() {
            self.dirty.insert(RecordKey::Lingering(claim));
        }
        let Some(entry) = self.pool.workers.get_mut(worker) else {
            return;
        };
        let was_stale = entry.stale.remove(&claim);
        let Some(Uncarved { ended, next }) = entry.uncarve(claim) else {
            if was_stale {
                self.slot_changed(worker, Change::Gain);
            }
            return;
        };
        let next = next.and_then(|next| {
            let carve = entry.carves.get(&next)?;
            Some((next, carve.job, carve.taken.charge.clone()))
        });
        self.negotiation.chains.end(claim);
        match (ended.behind, next) {
            (None, next) => {
                if let Some((_, _, charge)) = &next {
                    self.charge(now, charge);
                }
                self.discharge(now, &ended.taken.charge);
                self.slot_changed(worker, Change::Gain);
            }
            // It was in the middle: who waited for it waits for the one before it.
            (Some(front), Some((claim, job, _))) => self.relink(claim, job, front),
            (Some(_), None) => {}
        }
    }

    /// What a claim waits behind, in its record.
    fn relink(&mut self, claim: ClaimId, job: JobId, front: ClaimId) {
        if let Some(lingering) = self.lingering.get_mut(&claim) {
            lingering.behind = Some(front);
            self.dirty.insert(RecordKey::Lingering(claim));
            return;
        }
        if let ProcState::Running { behind, .. } = &mut self.touch(job).state {
            *behind = Some(front);
        }
    }

    /// A job that runs loses its claim before its end.
    pub(super) fn evicted(&mut self, now: Now, job: JobId) {
        self.vacate(job);
        if self.touched(job).is_some_and(|proc| proc.claim().is_some()) {
            self.touch(job).past.vacated_ms = Some(now.wall_ms);
        }
    }

    /// The slot of a job's claim stays taken until the worker says that it stopped.
    pub(super) fn vacate(&mut self, job: JobId) {
        let Some(proc) = self.touched(job) else {
            return;
        };
        let ProcState::Running { claim, worker, .. } = proc.state.clone() else {
            return;
        };
        let entry = self.pool.workers.get_mut(&worker);
        let Some(carve) = entry.and_then(|worker| worker.carves.get_mut(&claim)) else {
            return;
        };
        carve.vacating = true;
        let lingering = Lingering {
            job,
            worker,
            taken: carve.taken.clone(),
            gpus: carve.gpus.clone(),
            since_ms: carve.since_ms,
            behind: carve.behind,
        };
        self.lingering.insert(claim, lingering);
        self.dirty.insert(RecordKey::Lingering(claim));
    }

    pub(super) fn worker_entry(&mut self, now: Now, worker: &WorkerName) -> &mut Worker {
        let cut_off = || Worker::cut_off(now.mono_ms);
        self.pool
            .workers
            .entry(worker.clone())
            .or_insert_with(cut_off)
    }

    fn charge(&mut self, now: Now, charge: &Charge) {
        self.accounts.charge(&self.rules, charge, now.wall_ms);
        self.account_changed(&charge.submitter);
    }

    fn discharge(&mut self, now: Now, charge: &Charge) {
        self.accounts.discharge(&self.rules, charge, now.wall_ms);
        self.account_changed(&charge.submitter);
    }

    pub(super) fn account_changed(&mut self, submitter: &Submitter) {
        self.dirty.insert(RecordKey::Account(submitter.clone()));
    }
}
