//! What events do to workers that are drained.

use proto::nouns::WorkerName;

use crate::agenda::Item;
use crate::drain::DrainState;
use crate::negotiator::Change;
use crate::queue::Queue;
use crate::record::RecordKey;

impl Queue {
    pub(super) fn worker_drained(&mut self, worker: &WorkerName, drain: &DrainState) {
        self.drained.set(worker, drain);
        self.dirty.insert(RecordKey::Drained(worker.clone()));
        self.drain_may_be_over(worker);
        self.slot_changed(worker, Change::Gain);
    }

    /// The worker may have told of the end of its last claim.
    pub(super) fn drain_may_be_over(&mut self, worker: &WorkerName) {
        if self.drained.contains(worker) {
            self.agenda.add(Item::Drains);
        }
    }
}
