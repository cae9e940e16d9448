//! The workers that are connected, as if nothing were carved from them, and what keeps each from a
//! job.

use classad::ClassAd;
use proto::nouns::WorkerName;

use super::asking::{Asking, Fit};
use super::{Prospect, number};
use crate::negotiator::says_something_else_later;
use crate::pool::Worker;
use crate::queue::Queue;

/// Taken once for an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Census {
    pub names: Vec<WorkerName>,
    pub empty: Vec<Worker>,
    /// The ads of the empty slots.
    pub slots: Vec<ClassAd>,
    pub cut_off: u32,
}

/// Workers by what keeps a job from them: positions in the census.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub open: Vec<usize>,
    pub busy: Vec<usize>,
    pub drained: Vec<usize>,
    pub paused: Vec<usize>,
    pub refused: Vec<usize>,
}

impl Census {
    pub fn of(queue: &Queue) -> Census {
        let mut census = Census::default();
        for (name, worker) in queue.workers() {
            if worker.session.is_none() {
                census.cut_off += 1;
                continue;
            }
            let mut empty = worker.emptied();
            census.slots.push(std::mem::take(&mut empty.slot));
            census.empty.push(empty);
            census.names.push(name.clone());
        }
        census
    }

    pub fn count(&self, queue: &Queue, asking: &Asking) -> Counts {
        let mut counts = Counts::default();
        for (at, (empty, slot)) in self.empty.iter().zip(&self.slots).enumerate() {
            match asking.fit(empty, slot) {
                Fit::No => {}
                Fit::Refused => counts.refused.push(at),
                Fit::Yes => self.as_it_is(queue, asking, at, &mut counts),
            }
        }
        counts
    }

    /// One that would match if it were empty.
    fn as_it_is(&self, queue: &Queue, asking: &Asking, at: usize, counts: &mut Counts) {
        let name = &self.names[at];
        // One that went while the question was being answered is busy with that.
        let worker = queue.workers().get(name);
        let list = match worker {
            _ if queue.is_drained(name) => &mut counts.drained,
            Some(worker) if is_paused(worker) => &mut counts.paused,
            Some(worker) if asking.fit(worker, &worker.slot) == Fit::Yes => &mut counts.open,
            Some(_) | None => &mut counts.busy,
        };
        list.push(at);
    }

    /// Workers that would match if they were empty.
    pub fn matching(&self, asking: &Asking) -> usize {
        let pairs = self.empty.iter().zip(&self.slots);
        let matching = pairs.filter(|(empty, slot)| asking.fit(empty, slot) == Fit::Yes);
        matching.count()
    }
}

/// Whether a worker is given nothing for a while.
pub(super) fn is_paused(worker: &Worker) -> bool {
    worker.paused_until_mono_ms.is_some() || !worker.stale.is_empty()
}

impl Counts {
    /// How many would match if they were empty.
    pub fn matching(&self) -> usize {
        self.open.len() + self.busy.len() + self.drained.len() + self.paused.len()
    }

    /// The first of those.
    pub fn first(&self) -> Option<usize> {
        let lists = [&self.open, &self.busy, &self.paused, &self.drained];
        lists.into_iter().flatten().next().copied()
    }

    /// Open, busy, drained, paused, refused.
    pub fn numbers(&self) -> [u32; 5] {
        let lists = [
            &self.open,
            &self.busy,
            &self.drained,
            &self.paused,
            &self.refused,
        ];
        lists.map(|list| number(list.len()))
    }

    /// Whether nobody ever matches, or only nobody now: what looks at the clock may change its
    /// mind, and of workers that are cut off nothing is known.
    pub fn never(&self, asking: &Asking, census: &Census) -> Prospect {
        let refusing = self.refused.iter().map(|at| &census.slots[*at]);
        let mut ads = refusing.chain(std::iter::once(asking.ad()));
        match census.cut_off > 0
            || ads.any(|ad| says_something_else_later(&super::requirements(ad), ad))
        {
            true => Prospect::NotNow,
            false => Prospect::Never,
        }
    }
}
