//! GPUs, device by device: which are free, whose they are, how much of a shared one is left, and
//! which of them a job gets.

use std::collections::BTreeMap;

use classad::ClassAd;
use dags::submit::JobSpec;
use proto::nouns::JobId;

use super::{Carve, Worker};
use crate::pool::slot::integer;

/// One GPU of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its UUID.
    pub id: String,
    /// Its properties as they were advertised.
    pub ad: ClassAd,
    /// `GlobalMemoryMb`; 0 where the ad does not say.
    pub memory_mib: u64,
    /// Why nobody gets it.
    pub broken: Option<String>,
}

/// Who uses a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceUse {
    Free,
    Whole(JobId),
    /// By its memory.
    Shared {
        jobs: Vec<JobId>,
        free_mib: u64,
    },
    Broken(String),
}

impl Device {
    /// The name of its nested ad in the slot's.
    pub(crate) fn attribute(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        format!("GPUs_{}", self.id.chars().map(plain).collect::<String>())
    }
}

impl DeviceUse {
    /// What can be given away of it, shared with others.
    pub(crate) fn sharable_mib(&self, device: &Device) -> u64 {
        match self {
            DeviceUse::Free => device.memory_mib,
            DeviceUse::Shared { free_mib, .. } => *free_mib,
            DeviceUse::Whole(_) | DeviceUse::Broken(_) => 0,
        }
    }
}

impl Worker {
    /// Who uses each device, in the order of the offer.
    pub fn device_uses(&self) -> Vec<DeviceUse> {
        let mut takers: BTreeMap<&str, Vec<&Carve>> = BTreeMap::new();
        for (_, carve) in self.holding() {
            for id in &carve.gpus {
                takers.entry(id).or_default().push(carve);
            }
        }
        let used = |device: &Device| match takers.get(device.id.as_str()) {
            Some(carves) => used_by(device, carves),
            None => match &device.broken {
                Some(reason) => DeviceUse::Broken(reason.clone()),
                None => DeviceUse::Free,
            },
        };
        self.devices.iter().map(used).collect()
    }

    /// Exactly the devices that a job gets: those that `RequireGPUs` accepts, as many as it asks
    /// for; nothing if there are too few. Small ones go first, so that big ones stay whole; of
    /// those that are shared, the fullest.
    pub(crate) fn choose_gpus(
        &self,
        ad: &ClassAd,
        spec: &JobSpec,
        now_secs: i64,
    ) -> Option<Vec<String>> {
        let count = spec.request_gpus as usize;
        if count == 0 {
            return Some(Vec::new());
        }
        let require = ad.get("RequireGPUs");
        let uses = self.device_uses();
        let mut fitting: Vec<(u64, usize)> = Vec::new();
        for (at, (device, used)) in self.devices.iter().zip(&uses).enumerate() {
            let sharable = used.sharable_mib(device);
            let left = match (spec.request_gpu_memory_mib, used) {
                (Some(need), _) if sharable >= need.max(1) => sharable,
                (None, DeviceUse::Free) => device.memory_mib,
                (
                    Some(_) | None,
                    DeviceUse::Free
                    | DeviceUse::Whole(_)
                    | DeviceUse::Shared { .. }
                    | DeviceUse::Broken(_),
                ) => continue,
            };
            let accepted = require.is_none_or(|require| {
                let device = with_free(device, sharable);
                let scope = classad::Scope::new(&device).target(ad).now(now_secs);
                scope.eval(require).is_true()
            });
            if accepted {
                fitting.push((left, at));
            }
        }
        fitting.sort_unstable();
        let chosen = fitting.iter().take(count);
        let chosen: Vec<String> = chosen.map(|(_, at)| self.devices[*at].id.clone()).collect();
        (chosen.len() == count).then_some(chosen)
    }
}

fn used_by(device: &Device, carves: &[&Carve]) -> DeviceUse {
    let mut left = device.memory_mib;
    for carve in carves {
        match carve.taken.gpu_memory_mib {
            None => return DeviceUse::Whole(carve.job),
            Some(share) => left = left.saturating_sub(share),
        }
    }
    DeviceUse::Shared {
        jobs: carves.iter().map(|carve| carve.job).collect(),
        // Nobody joins those that a broken device still has.
        free_mib: if device.broken.is_some() { 0 } else { left },
    }
}

/// A device's ad with what of its memory can still be shared.
pub(crate) fn with_free(device: &Device, free_mib: u64) -> ClassAd {
    let mut ad = device.ad.clone();
    ad.insert("FreeGlobalMemoryMb", integer(free_mib));
    ad
}
