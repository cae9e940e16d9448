//! Rows of the pool: how a worker, its slots, its devices and its other resources look to those who
//! ask.

use manager_core::{Carve, Device, DeviceUse, Drain, DrainMode, Queue, Worker};
use proto::nouns::{ClaimId, Now, WorkerName};
use proto::wire;

use super::rows::Ads;

pub(super) fn worker(
    queue: &Queue,
    now: Now,
    name: &WorkerName,
    worker: &Worker,
    ads: Ads,
) -> wire::Worker {
    let free = &worker.free;
    let state = match (
        worker.session,
        queue.is_drained(name),
        worker.carves.is_empty(),
    ) {
        (None, _, _) => "Offline",
        (Some(_), true, true) => "Drained",
        (Some(_), true, false) => "Draining",
        (Some(_), false, true) => "Unclaimed",
        (Some(_), false, false) => "Claimed",
    };
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let drain = queue.drain_of(name);
    wire::Worker {
        name: name.to_string(),
        state: state.to_owned(),
        cpus: worker.offer.cpus,
        cpus_free: free.cpus,
        memory_mib: worker.offer.memory_mib,
        memory_mib_free: free.memory_mib,
        gpus: count(worker.offer.gpus.len()),
        gpus_free: free.gpus,
        gpus_simulated: worker.machine.eval("GPUsSimulated").is_true(),
        slots: (1..)
            .zip(&worker.carves)
            .map(|(at, carve)| slot(queue, name, at, carve, drain))
            .collect(),
        ad: match ads {
            Ads::With => worker.slot.to_long(),
            Ads::Without => String::new(),
        },
        last_heard_ms_ago: now.mono_ms.saturating_sub(worker.heard_mono_ms),
        version: worker.version.clone(),
        devices: devices(worker),
        custom: custom(worker),
        cells: Vec::new(),
        drain_mode: drain.map_or("", |drain| drain.mode.name()).to_owned(),
        drain_reason: drain.map_or("", |drain| &drain.reason).to_owned(),
    }
}

fn slot(
    queue: &Queue,
    worker: &WorkerName,
    at: u32,
    (claim, carve): (&ClaimId, &Carve),
    drain: Option<&Drain>,
) -> wire::Slot {
    let activity = match drain.map(|drain| drain.mode) {
        Some(DrainMode::Quick | DrainMode::Fast) => "Vacating",
        Some(DrainMode::Graceful) | None if carve.vacating => "Vacating",
        Some(DrainMode::Graceful) | None if carve.behind.is_some() => "Ahead",
        Some(DrainMode::Graceful) | None => "Busy",
    };
    let owner = queue.clusters().get(&carve.job.cluster);
    wire::Slot {
        name: format!("slot1_{at}@{worker}"),
        job: carve.job.to_string(),
        claim: claim.to_string(),
        activity: activity.to_owned(),
        cpus: carve.taken.cpus,
        memory_mib: carve.taken.memory_mib,
        gpus: carve.gpus.clone(),
        since_ms: carve.since_ms,
        owner: owner
            .map(|cluster| cluster.owner.clone())
            .unwrap_or_default(),
        gpu_memory_mib: carve.taken.gpu_memory_mib,
    }
}

/// Each device with what claims hold of it.
fn devices(worker: &Worker) -> Vec<wire::Device> {
    let uses = worker.device_uses();
    let rows = worker.devices.iter().zip(&uses);
    rows.map(|(of, used)| device(of, used)).collect()
}

fn device(device: &Device, used: &DeviceUse) -> wire::Device {
    let text = |name: &str| {
        let value = device.ad.eval(name);
        match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_undefined() => String::new(),
            None => match value.as_f64() {
                Some(number) => format!("{number:?}"),
                None => value.to_string(),
            },
        }
    };
    let (state, free, jobs) = match used {
        DeviceUse::Free => ("free", device.memory_mib, Vec::new()),
        DeviceUse::Whole(job) => ("whole", 0, vec![*job]),
        DeviceUse::Shared { jobs, free_mib } => ("shared", *free_mib, jobs.clone()),
        DeviceUse::Broken(_) => ("broken", 0, Vec::new()),
    };
    wire::Device {
        id: device.id.clone(),
        name: text("DeviceName"),
        capability: text("Capability"),
        memory_mib: device.memory_mib,
        memory_mib_free: free,
        mig: text("MIGProfile"),
        state: if device.broken.is_some() {
            "broken"
        } else {
            state
        }
        .to_owned(),
        jobs: jobs.iter().map(ToString::to_string).collect(),
        reason: device.broken.clone().unwrap_or_default(),
    }
}

/// Custom resources: what is left of one is what the slot's ad says under its name.
fn custom(worker: &Worker) -> Vec<wire::Custom> {
    let resources = worker.offer.resources.iter();
    let row = |(name, &total): (&String, &u64)| {
        let left = worker.slot.eval(name).as_i64();
        let left = left.and_then(|left| u64::try_from(left).ok());
        wire::Custom {
            name: name.clone(),
            total,
            free: left.unwrap_or(total),
        }
    };
    resources.map(row).collect()
}
