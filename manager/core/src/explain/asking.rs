//! A job as it asks for a place: its description, its ad, ready to be matched. Made anew for each
//! answer.

use std::sync::Arc;

use classad::matching::Prepared;
use classad::{ClassAd, Compiled, Scope};
use dags::submit::JobSpec;
use proto::nouns::{JobId, Now};

use super::clauses;
use crate::accounts::Submitter;
use crate::job::Cluster;
use crate::negotiator::seconds;
use crate::pool::Worker;
use crate::queue::Queue;

pub(super) struct Asking {
    pub job: JobId,
    pub spec: Arc<JobSpec>,
    pub submitter: Submitter,
    pub prepared: Prepared,
    pub at: i64,
}

/// What an empty slot and a job make of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The job does not accept it, or it is too small.
    No,
    /// The slot's own Requirements refuse the job.
    Refused,
    Yes,
}

impl Asking {
    /// # Errors
    /// Why the description does not expand.
    pub fn of(queue: &Queue, now: Now, of: &Cluster, job: JobId) -> Result<Asking, String> {
        let spec = queue.shared_spec(of, job.proc)?;
        Ok(Asking::with(queue, now, of, job, spec))
    }

    /// The job as if its description were another.
    pub fn with(queue: &Queue, now: Now, of: &Cluster, job: JobId, spec: Arc<JobSpec>) -> Asking {
        let ad = queue.job_ad(of, job, &spec);
        Asking {
            job,
            submitter: Submitter::of(&spec, &of.owner),
            spec,
            prepared: Prepared::new(&ad),
            at: seconds(now),
        }
    }

    pub fn ad(&self) -> &ClassAd {
        self.prepared.ad()
    }

    /// What a worker and the job make of each other, given the ad of its slot.
    pub fn fit(&self, worker: &Worker, slot: &ClassAd) -> Fit {
        let wanted = worker.has_room(&self.spec)
            && self.prepared.accepts(slot, self.at)
            && worker.choose_gpus(self.ad(), &self.spec, self.at).is_some();
        if !wanted {
            return Fit::No;
        }
        match classad::half_match(slot, self.ad(), self.at) {
            true => Fit::Yes,
            false => Fit::Refused,
        }
    }

    /// Which of its clauses each slot fails.
    pub fn failures(&self, slots: &[ClassAd]) -> (Vec<classad::Expr>, Vec<Vec<usize>>) {
        let clauses = clauses::all(self);
        let compiled: Vec<Compiled> = clauses
            .iter()
            .map(|clause| Compiled::in_ad(self.ad(), clause))
            .collect();
        let failed = slots.iter().map(|slot| {
            let scope = Scope::new(self.ad()).target(slot).now(self.at);
            let fails = (0..compiled.len()).filter(|at| !scope.run_is_true(&compiled[*at]));
            fails.collect()
        });
        let failed = failed.collect();
        (clauses, failed)
    }
}
