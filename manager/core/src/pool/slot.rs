//! The ad of a worker's slot: what the machine says of itself, and what is left of it.

use std::collections::{BTreeMap, BTreeSet};

use classad::{ClassAd, Expr};
use dags::submit::JobSpec;
use proto::nouns::{ClaimId, WorkerName};

use super::devices::with_free;
use super::{Carve, DeviceUse, Free, Worker};
use crate::event::Taken;

/// Attributes that change with each claim, in lower case; custom resources and the devices' ads do,
/// too.
const DYNAMIC: [&str; 10] = [
    "activity",
    "availablegpus",
    "cpus",
    "disk",
    "gpus",
    "memory",
    "offlinegpus",
    "sharablegpus",
    "state",
    "dynamicslots",
];
/// What the nested ads of devices are called begins so, and what they have in common.
pub(crate) const DEVICE_PREFIX: &str = "gpus_";

/// Whether an attribute of every slot, in lower case, changes with each claim.
pub(crate) fn is_dynamic(name: &str) -> bool {
    DYNAMIC.contains(&name)
}

impl Taken {
    /// The amounts of the dynamic slot that it makes, as its ad has them.
    pub(crate) fn amounts(&self, gpus: &[String]) -> ClassAd {
        let mut ad = ClassAd::new();
        ad.insert("Cpus", i64::from(self.cpus));
        ad.insert("Disk", integer(self.disk_kib));
        ad.insert("GPUs", integer(gpus.len() as u64));
        ad.insert("Memory", integer(self.memory_mib));
        ad
    }
}

impl Worker {
    /// What no claim holds, given who uses each device.
    fn count_free(&self, uses: &[DeviceUse]) -> Free {
        let mut free = Free {
            cpus: self.offer.cpus,
            memory_mib: self.offer.memory_mib,
            disk_kib: self.offer.disk_kib,
            gpus: 0,
            other: self.offer.resources.clone(),
        };
        for (_, carve) in self.holding() {
            let taken = &carve.taken;
            free.cpus = free.cpus.saturating_sub(taken.cpus);
            free.memory_mib = free.memory_mib.saturating_sub(taken.memory_mib);
            free.disk_kib = free.disk_kib.saturating_sub(taken.disk_kib);
            for (name, amount) in &taken.other {
                if let Some(left) = free.other.get_mut(name) {
                    *left = left.saturating_sub(*amount);
                }
            }
        }
        let unused = uses.iter().filter(|used| **used == DeviceUse::Free);
        free.gpus = u32::try_from(unused.count()).unwrap_or(u32::MAX);
        free
    }

    /// The slot's ad as it is when nothing is taken: all that claims do not change.
    pub(super) fn whole_slot(&self, name: &WorkerName) -> ClassAd {
        let mut ad = self.machine.clone();
        ad.insert("Name", format!("slot1@{name}").as_str());
        ad.insert("SlotType", "Partitionable");
        ad.insert("PartitionableSlot", true);
        ad.insert("TotalCpus", i64::from(self.offer.cpus));
        ad.insert("TotalMemory", integer(self.offer.memory_mib));
        ad.insert("TotalDisk", integer(self.offer.disk_kib));
        ad.insert("TotalGPUs", integer(self.devices.len() as u64));
        for (name, amount) in &self.offer.resources {
            ad.insert(spelled("Total", name), integer(*amount));
        }
        if !ad.contains("Requirements") {
            ad.insert("Requirements", true);
        }
        self.insert_common(&mut ad);
        ad
    }

    /// Writes what is left into the slot's ad, after something was carved, given back or
    /// advertised.
    pub(crate) fn refresh(&mut self) {
        let uses = if self.devices.is_empty() {
            Vec::new()
        } else {
            self.device_uses()
        };
        let free = self.count_free(&uses);
        let (state, activity) = match self.carves.is_empty() {
            true => ("Unclaimed", "Idle"),
            false => ("Claimed", "Busy"),
        };
        let mut ad = std::mem::take(&mut self.slot);
        ad.insert("State", state);
        ad.insert("Activity", activity);
        ad.insert("DynamicSlots", integer(self.carves.len() as u64));
        ad.insert("Cpus", i64::from(free.cpus));
        ad.insert("Memory", integer(free.memory_mib));
        ad.insert("Disk", integer(free.disk_kib));
        ad.insert("GPUs", i64::from(free.gpus));
        for (name, amount) in &free.other {
            ad.insert(spelled("", name), integer(*amount));
        }
        if !self.devices.is_empty() {
            self.insert_devices(&mut ad, &uses);
        }
        self.slot = ad;
        self.free = free;
    }

    /// HTCondor's form: a nested ad for each device, and lists of references to them: those that
    /// nobody uses, those whose memory may be shared, those that are broken.
    fn insert_devices(&self, ad: &mut ClassAd, uses: &[DeviceUse]) {
        let mut available = Vec::new();
        let mut sharable = Vec::new();
        let mut offline = Vec::new();
        for (device, used) in self.devices.iter().zip(uses) {
            let name = device.attribute();
            let left = used.sharable_mib(device);
            ad.insert(&name, with_free(device, left));
            if *used == DeviceUse::Free {
                available.push(name.clone());
            }
            if left > 0 {
                sharable.push(name);
            }
            if device.broken.is_some() {
                offline.push(device.id.as_str());
            }
        }
        for (list, names) in [("AvailableGPUs", available), ("SharableGPUs", sharable)] {
            let text = format!("{{ {} }}", names.join(", "));
            let list_of = Expr::parse(&text).expect("a list of attribute names is an expression");
            ad.insert(list, list_of);
        }
        ad.insert("OfflineGPUs", offline.join(",").as_str());
    }

    /// Properties that all devices share stand in the slot's ad itself, as `GPUs_<name>`.
    fn insert_common(&self, ad: &mut ClassAd) {
        let Some((first, rest)) = self.devices.split_first() else {
            return;
        };
        for (name, value) in first.ad.iter() {
            let everywhere = rest
                .iter()
                .all(|device| device.ad.get_name(name) == Some(value));
            if everywhere && !["Id", "DeviceUuid", "DevicePciBusId"].contains(&name.as_str()) {
                ad.insert(format!("GPUs_{name}"), value.clone());
            }
        }
    }

    /// The ad of the dynamic slot that a job gets here: what `$$(…)` is filled in from, and what a
    /// claim weighs by.
    pub(crate) fn carved(&self, taken: &Taken, gpus: &[String]) -> ClassAd {
        let mut ad = self.slot.clone();
        ad.insert("SlotType", "Dynamic");
        ad.insert("DynamicSlot", true);
        ad.insert("PartitionableSlot", false);
        ad.insert("State", "Claimed");
        ad.insert("Cpus", i64::from(taken.cpus));
        ad.insert("Memory", integer(taken.memory_mib));
        ad.insert("Disk", integer(taken.disk_kib));
        ad.insert("GPUs", integer(gpus.len() as u64));
        for (name, amount) in &taken.other {
            ad.insert(spelled("", name), integer(*amount));
        }
        if let Some(share) = taken.gpu_memory_mib {
            ad.insert("GPUsMemoryMb", integer(share));
        }
        if !gpus.is_empty() {
            ad.insert("AssignedGPUs", gpus.join(",").as_str());
        }
        ad
    }

    /// The ad of a dynamic slot in which a part of a GPU counts as a part: what a claim weighs by.
    pub(crate) fn with_parts(&self, mut ad: ClassAd, taken: &Taken, gpus: &[String]) -> ClassAd {
        let Some(share) = taken.gpu_memory_mib else {
            return ad;
        };
        let own = self.devices.iter().filter(|of| gpus.contains(&of.id));
        let parts = own.map(|of| share as f64 / of.memory_mib.max(1) as f64);
        ad.insert("GPUs", parts.sum::<f64>());
        ad
    }

    /// Whether what is free covers the amounts that a job asks for; its GPUs are looked at one by
    /// one.
    pub(crate) fn has_room(&self, spec: &JobSpec) -> bool {
        self.free.covers(spec)
    }

    /// The worker as if some of its claims, and what waits behind them, were not there.
    pub(crate) fn without(&self, claims: &BTreeSet<ClaimId>) -> Worker {
        let gone = |(claim, carve): &(&ClaimId, &Carve)| {
            let mut front = **claim;
            let mut behind = carve.behind;
            while let Some(next) = behind {
                front = next;
                behind = self.carves.get(&next).and_then(|carve| carve.behind);
            }
            claims.contains(&front)
        };
        let left = self.carves.iter().filter(|carve| !gone(carve));
        let mut then = Worker {
            carves: left.map(|(claim, carve)| (*claim, carve.clone())).collect(),
            ..self.clone()
        };
        then.refresh();
        then
    }

    /// The worker as if no claim held anything of it.
    pub(crate) fn emptied(&self) -> Worker {
        let mut empty = Worker {
            carves: BTreeMap::new(),
            ..self.clone()
        };
        empty.refresh();
        empty
    }
}

impl Free {
    /// Whether it is as much as a job asks for, but for what its GPUs must be.
    pub(crate) fn covers(&self, spec: &JobSpec) -> bool {
        let covers =
            |(name, amount): (&String, &u64)| self.other.get(name).copied().unwrap_or(0) >= *amount;
        self.cpus >= spec.request_cpus.max(1)
            && self.memory_mib >= spec.request_memory_mib
            && self.disk_kib >= spec.request_disk_kib
            && (spec.request_gpu_memory_mib.is_some() || self.gpus >= spec.request_gpus)
            && spec.request_other.iter().all(covers)
    }
}

/// A custom resource's attribute.
pub(crate) fn spelled(prefix: &str, name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let name: String = first.into_iter().chain(letters).collect();
    format!("{prefix}{name}")
}

/// Sizes beyond what an ad can say are said as the largest that it can.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
