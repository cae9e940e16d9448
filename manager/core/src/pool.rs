//! The workers that are connected or were until a moment ago, and what is carved from them. Soft
//! state: advertised anew at each session, never stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use classad::ClassAd;
use proto::nouns::{ClaimId, Digest, JobId, Offer, WorkerName};

use crate::event::Taken;

mod devices;
mod offer;
mod slot;

pub(crate) use devices::with_free;
pub use devices::{Device, DeviceUse};
pub(crate) use offer::OfferAds;
pub(crate) use slot::{DEVICE_PREFIX, integer, is_dynamic, spelled};

/// Digests that are remembered of a worker's cache; the first by their bytes go.
const CACHED_MAX: usize = 4_096;

/// Every worker that claims may name.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub workers: BTreeMap<WorkerName, Worker>,
    /// Who has a file in its cache, as far as it is known.
    holders: BTreeMap<Digest, BTreeSet<WorkerName>>,
}

/// One worker: its partitionable slot, and the dynamic slots carved from it.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The session that may speak for it; `None` while it is cut off.
    pub session: Option<u64>,
    pub version: String,
    /// Drawn by the worker at its start.
    pub boot: u64,
    /// The machine's ad as it was advertised.
    pub machine: ClassAd,
    pub offer: Offer,
    /// Its GPUs, in the order of the offer.
    pub devices: Vec<Device>,
    pub carves: BTreeMap<ClaimId, Carve>,
    pub heard_mono_ms: u64,
    /// The slot's ad without what claims change.
    pub(crate) whole: ClassAd,
    /// The ad of what is left: jobs are matched against it.
    pub slot: ClassAd,
    /// What is left, as `slot` says it.
    pub free: Free,
    /// Claims of an earlier time that the worker still runs: it gets nothing new until they have
    /// ended.
    pub stale: BTreeSet<ClaimId>,
    /// Jobs that it could not start, one after the other.
    pub faults_in_a_row: u32,
    /// Gets nothing new until then.
    pub paused_until_mono_ms: Option<u64>,
    /// What its cache is known to hold.
    cached: BTreeSet<Digest>,
}

/// What one claim took from a worker: a dynamic slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Carve {
    pub job: JobId,
    pub taken: Arc<Taken>,
    /// Ids of the devices that it has all of, or a share of the memory of.
    pub gpus: Vec<String>,
    pub since_ms: u64,
    /// When a message last named the claim.
    pub renewed_mono_ms: u64,
    /// The claim is no longer the job's: the slot is held until the worker says that it stopped.
    pub vacating: bool,
    /// Sent ahead: what it took is this claim's until that has ended. A claim that is there.
    pub behind: Option<ClaimId>,
    /// Sent ahead, and asked to come back if it has not begun.
    pub called_back: bool,
}

/// What became of a worker's carves when a claim ended.
#[derive(Debug)]
pub(crate) struct Uncarved {
    pub ended: Carve,
    /// The claim that waited for it.
    pub next: Option<ClaimId>,
}

/// What is left of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Free {
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    /// Devices that nobody uses.
    pub gpus: u32,
    /// Custom resources, by name in lower case.
    pub other: BTreeMap<String, u64>,
}

// === impl Pool ===

impl Pool {
    pub(crate) fn carve(&self, worker: &WorkerName, claim: ClaimId) -> Option<&Carve> {
        self.workers.get(worker)?.carves.get(&claim)
    }

    /// A worker's cache holds these, too.
    pub(crate) fn cached(
        &mut self,
        worker: &WorkerName,
        digests: impl IntoIterator<Item = Digest>,
    ) {
        let Some(entry) = self.workers.get_mut(worker) else {
            return;
        };
        for digest in digests {
            if entry.cached.insert(digest) {
                self.holders
                    .entry(digest)
                    .or_default()
                    .insert(worker.clone());
            }
            if entry.cached.len() > CACHED_MAX
                && let Some(gone) = entry.cached.pop_first()
            {
                forget(&mut self.holders, gone, worker);
            }
        }
    }

    /// What a worker's cache held before is not believed any more.
    pub(crate) fn forget_cached(&mut self, worker: &WorkerName) {
        let Some(entry) = self.workers.get_mut(worker) else {
            return;
        };
        for digest in std::mem::take(&mut entry.cached) {
            forget(&mut self.holders, digest, worker);
        }
    }

    /// Whether anything is known of any cache.
    pub(crate) fn knows_caches(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Workers whose caches are known to hold a file.
    pub(crate) fn holders(&self, digest: &Digest) -> impl Iterator<Item = &WorkerName> {
        self.holders.get(digest).into_iter().flatten()
    }
}

fn forget(
    holders: &mut BTreeMap<Digest, BTreeSet<WorkerName>>,
    digest: Digest,
    worker: &WorkerName,
) {
    if let Some(of) = holders.get_mut(&digest) {
        of.remove(worker);
        if of.is_empty() {
            holders.remove(&digest);
        }
    }
}

// === impl Carve ===

impl Carve {
    /// When the claim is given up, unless it is named again before.
    pub(crate) fn expires_mono_ms(&self) -> u64 {
        self.renewed_mono_ms.saturating_add(self.taken.lease_ms)
    }
}

// === impl Worker ===

impl Worker {
    /// A worker known only from the claims that name it: what a restart leaves of it until it comes
    /// back.
    pub(crate) fn cut_off(mono_ms: u64) -> Worker {
        Worker {
            session: None,
            version: String::new(),
            boot: 0,
            machine: ClassAd::new(),
            offer: Offer::default(),
            devices: Vec::new(),
            carves: BTreeMap::new(),
            heard_mono_ms: mono_ms,
            whole: ClassAd::new(),
            slot: ClassAd::new(),
            free: Free::default(),
            stale: BTreeSet::new(),
            faults_in_a_row: 0,
            paused_until_mono_ms: None,
            cached: BTreeSet::new(),
        }
    }

    /// Takes over an offer that was checked, and writes the slot's ad anew.
    pub(crate) fn advertise(&mut self, name: &WorkerName, offer: Offer, ads: OfferAds) {
        self.offer = offer;
        self.machine = ads.machine;
        self.devices = ads.devices;
        self.whole = self.whole_slot(name);
        self.slot = self.whole.clone();
        self.refresh();
    }

    /// The carves that hold resources: all but those that wait behind another.
    pub(crate) fn holding(&self) -> impl Iterator<Item = (&ClaimId, &Carve)> {
        let carves = self.carves.iter();
        carves.filter(|(_, carve)| carve.behind.is_none())
    }

    /// Adds a claim's carve.
    pub(crate) fn carve(&mut self, claim: ClaimId, carve: Carve) {
        self.carves.insert(claim, carve);
        self.refresh();
    }

    /// A claim has ended: what waited behind it has moved up.
    pub(crate) fn uncarve(&mut self, claim: ClaimId) -> Option<Uncarved> {
        let ended = self.carves.remove(&claim)?;
        let waits = |(_, carve): &(&ClaimId, &mut Carve)| carve.behind == Some(claim);
        let next = self.carves.iter_mut().find(waits).map(|(next, carve)| {
            carve.behind = ended.behind;
            *next
        });
        self.refresh();
        Some(Uncarved { ended, next })
    }
}
