//! The workers that are connected or were until a moment ago, and what is carved from them. Soft
//! state: advertised anew at each session, never stored.

use std::collections::{BTreeMap, BTreeSet};

use classad::ClassAd;
use dags::submit::JobSpec;
use proto::nouns::{ClaimId, JobId, Offer, OfferedGpu, WorkerName};

/// Every worker that claims may name.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub workers: BTreeMap<WorkerName, Worker>,
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
    /// The property ads of its GPUs, by device id.
    pub gpus: BTreeMap<String, ClassAd>,
    pub carves: BTreeMap<ClaimId, Carve>,
    pub heard_mono_ms: u64,
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
}

/// What one claim took from a worker: a dynamic slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Carve {
    pub job: JobId,
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    pub gpus: Vec<String>,
    pub since_ms: u64,
    /// When a message last named the claim.
    pub renewed_mono_ms: u64,
    /// How long it outlives that.
    pub lease_ms: u64,
    /// The claim is no longer the job's: the slot is held until the worker says that it stopped.
    pub vacating: bool,
}

/// What is left of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Free {
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    /// Device ids, in the order of the offer.
    pub gpus: Vec<String>,
}

impl Pool {
    pub(crate) fn carve(&self, worker: &WorkerName, claim: ClaimId) -> Option<&Carve> {
        self.workers.get(worker)?.carves.get(&claim)
    }
}

impl Carve {
    /// When the claim is given up, unless it is named again before.
    pub(crate) fn expires_mono_ms(&self) -> u64 {
        self.renewed_mono_ms.saturating_add(self.lease_ms)
    }
}

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
            gpus: BTreeMap::new(),
            carves: BTreeMap::new(),
            heard_mono_ms: mono_ms,
            slot: ClassAd::new(),
            free: Free::default(),
            stale: BTreeSet::new(),
            faults_in_a_row: 0,
            paused_until_mono_ms: None,
        }
    }

    /// Takes over an offer that was checked.
    pub(crate) fn advertise(&mut self, offer: Offer, ads: OfferAds) {
        self.offer = offer;
        self.machine = ads.machine;
        self.gpus = ads.gpus;
    }

    /// What no claim holds.
    fn count_free(&self) -> Free {
        let taken = |of: fn(&Carve) -> u64| self.carves.values().map(of).sum::<u64>();
        let cpus = u64::from(self.offer.cpus).saturating_sub(taken(|carve| u64::from(carve.cpus)));
        let held = |id: &String| self.carves.values().any(|carve| carve.gpus.contains(id));
        let gpus = self
            .offer
            .gpus
            .iter()
            .map(|gpu| &gpu.id)
            .filter(|id| !held(id));
        Free {
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            memory_mib: self
                .offer
                .memory_mib
                .saturating_sub(taken(|carve| carve.memory_mib)),
            disk_kib: self
                .offer
                .disk_kib
                .saturating_sub(taken(|carve| carve.disk_kib)),
            gpus: gpus.cloned().collect(),
        }
    }

    /// Writes the slot's ad anew after something was carved, given back or advertised.
    pub(crate) fn refresh(&mut self, name: &WorkerName) {
        let free = self.count_free();
        let mut ad = self.machine.clone();
        ad.insert("Name", format!("slot1@{name}").as_str());
        ad.insert("SlotType", "Partitionable");
        ad.insert("PartitionableSlot", true);
        ad.insert(
            "State",
            if self.carves.is_empty() {
                "Unclaimed"
            } else {
                "Claimed"
            },
        );
        ad.insert(
            "Activity",
            if self.carves.is_empty() {
                "Idle"
            } else {
                "Busy"
            },
        );
        ad.insert("Cpus", i64::from(free.cpus));
        ad.insert("TotalCpus", i64::from(self.offer.cpus));
        ad.insert("Memory", integer(free.memory_mib));
        ad.insert("TotalMemory", integer(self.offer.memory_mib));
        ad.insert("Disk", integer(free.disk_kib));
        ad.insert("TotalDisk", integer(self.offer.disk_kib));
        ad.insert("GPUs", integer(free.gpus.len() as u64));
        ad.insert("TotalGPUs", integer(self.offer.gpus.len() as u64));
        self.insert_gpus(&mut ad, &free);
        if !ad.contains("Requirements") {
            ad.insert("Requirements", true);
        }
        self.slot = ad;
        self.free = free;
    }

    /// The ad of the dynamic slot that a job gets here: what `$$(…)` is filled in from.
    pub(crate) fn carved(&self, spec: &JobSpec, gpus: &[String]) -> ClassAd {
        let mut ad = self.slot.clone();
        ad.insert("SlotType", "Dynamic");
        ad.insert("DynamicSlot", true);
        ad.insert("PartitionableSlot", false);
        ad.insert("State", "Claimed");
        ad.insert("Cpus", i64::from(spec.request_cpus.max(1)));
        ad.insert("Memory", integer(spec.request_memory_mib));
        ad.insert("Disk", integer(spec.request_disk_kib));
        ad.insert("GPUs", integer(gpus.len() as u64));
        if !gpus.is_empty() {
            ad.insert("AssignedGPUs", gpus.join(",").as_str());
        }
        ad
    }

    /// HTCondor's form: a list of references to nested ads, one for each device that is free.
    fn insert_gpus(&self, ad: &mut ClassAd, free: &Free) {
        if self.gpus.is_empty() {
            return;
        }
        let mut references = Vec::new();
        for id in &free.gpus {
            let Some(device) = self.gpus.get(id) else {
                continue;
            };
            let name = attribute_of(id);
            ad.insert(&name, device.clone());
            references.push(name);
        }
        let list = format!("{{ {} }}", references.join(", "));
        ad.insert_expr("AvailableGPUs", &list)
            .expect("a list of names that were made to be names");
    }
}

/// The ads of an offer, parsed.
#[derive(Clone, Debug)]
pub(crate) struct OfferAds {
    machine: ClassAd,
    gpus: BTreeMap<String, ClassAd>,
}

impl OfferAds {
    /// # Errors
    /// Which ad of the offer does not parse, and why.
    pub(crate) fn parse(offer: &Offer) -> Result<OfferAds, String> {
        let machine = ClassAd::parse_long(&offer.ad)
            .map_err(|error| format!("the machine's ad does not parse: {error}"))?;
        let gpu = |gpu: &OfferedGpu| match ClassAd::parse_long(&gpu.ad) {
            Ok(ad) => Ok((gpu.id.clone(), ad)),
            Err(error) => Err(format!("the ad of GPU {} does not parse: {error}", gpu.id)),
        };
        let gpus = offer.gpus.iter().map(gpu).collect::<Result<_, String>>()?;
        Ok(OfferAds { machine, gpus })
    }
}

/// `GPUs_` and the device id, made an attribute name.
fn attribute_of(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("GPUs_{}", id.chars().map(plain).collect::<String>())
}

/// Sizes beyond what an ad can say are said as the largest that it can.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
