//! What this machine has, as the offer that is advertised: facts of the host, GPUs, and what the
//! administrator wants said. Carving (what is free, which GPUs a slot gets) is the manager's; no
//! attribute of it is made here.

mod gpus;
mod nvml;

use std::collections::BTreeMap;
use std::path::PathBuf;

use classad::{ClassAd, Expr};
use nix::sys::statvfs::statvfs;
use proto::nouns::{Offer, OfferedGpu, WorkerName};
use thiserror::Error;

pub use gpus::{GpuAd, SIMULATED_GPUS_MAX, simulated};

use crate::settings::VERSION;

/// What jobs that need a younger HTCondor look at: the release whose ways these are.
const CONDOR_VERSION: &str = concat!(
    "$CondorVersion: 25.14.1 Updraft-",
    env!("CARGO_PKG_VERSION"),
    " $"
);

/// What was asked for, by flag or configuration.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub host: String,
    pub name: WorkerName,
    /// The directory whose file system's free space is offered.
    pub state_dir: PathBuf,
    pub cpus: Option<u32>,
    pub memory_mib: Option<u64>,
    /// Which jobs the machine takes. Default: any.
    pub requirements: Option<Expr>,
    pub rank: Option<Expr>,
    /// Put into the ad last; the later of two of one name counts.
    pub attributes: Vec<(String, Expr)>,
    /// Each `MODEL:N`; when there are any, real GPUs are not looked for.
    pub simulate_gpus: Vec<String>,
    /// A file that names those of them which are broken.
    pub simulate_broken_gpus: Option<PathBuf>,
    /// Custom resources: how much of each, by name in lower case.
    pub resources: BTreeMap<String, u64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub offer: Offer,
    /// The driver's number of each device that has one, by id.
    pub devices: BTreeMap<String, u32>,
}

/// What cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiscoveryError {
    #[error("`{text}` names no GPUs to simulate (expected `MODEL:N`, for example A100:2)")]
    SimulatedForm { text: String },
    #[error("`{model}` is not a GPU that can be simulated; known are {known}")]
    SimulatedModel { model: String, known: String },
    #[error("{count} simulated GPUs are more than {SIMULATED_GPUS_MAX} (SIMULATED_GPUS_MAX)")]
    SimulatedMany { count: u64 },
}

/// Looks at the machine.
///
/// # Errors
/// Simulated GPUs that do not exist; what is not found on the machine is simply not offered.
pub fn look(wanted: &Wanted) -> Result<Found, DiscoveryError> {
    let gpus = find_gpus(wanted)?;
    let devices = gpus
        .iter()
        .filter_map(|gpu| Some((gpu.id.clone(), gpu.index?)));
    let devices = devices.collect();
    let mut offer = describe(wanted, gpus.len());
    offer.gpus = gpus.into_iter().map(offered).collect();
    Ok(Found { offer, devices })
}

/// The offer with its devices as they are now: one that is not shown any more is broken, one that
/// was not there before is offered, too.
///
/// # Errors
/// As [`look`].
pub fn look_again(wanted: &Wanted, offer: &Offer) -> Result<Offer, DiscoveryError> {
    let mut now: BTreeMap<String, OfferedGpu> = find_gpus(wanted)?
        .into_iter()
        .map(|gpu| (gpu.id.clone(), offered(gpu)))
        .collect();
    let mut offer = offer.clone();
    for gpu in &mut offer.gpus {
        match now.remove(&gpu.id) {
            Some(found) => *gpu = found,
            None => gpu.broken = Some("the driver does not show it any more".to_owned()),
        }
    }
    offer.gpus.extend(now.into_values());
    Ok(offer)
}

fn find_gpus(wanted: &Wanted) -> Result<Vec<GpuAd>, DiscoveryError> {
    if wanted.simulate_gpus.is_empty() {
        return Ok(nvml::gpus());
    }
    let mut gpus = gpus::simulated(&wanted.name, &wanted.simulate_gpus)?;
    if let Some(file) = &wanted.simulate_broken_gpus {
        gpus::pretend_broken(&mut gpus, file);
    }
    Ok(gpus)
}

fn offered(gpu: GpuAd) -> OfferedGpu {
    OfferedGpu {
        id: gpu.id,
        ad: gpu.ad.to_long(),
        broken: gpu.broken,
    }
}

/// Everything but the devices.
fn describe(wanted: &Wanted, gpus: usize) -> Offer {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let memory_found = memory_mib();
    let cpus = wanted.cpus.unwrap_or(cores);
    let memory_mib = wanted.memory_mib.unwrap_or(memory_found);
    let disk_kib = disk_kib(&wanted.state_dir);

    let mut ad = ClassAd::new();
    ad.insert("Machine", wanted.host.as_str());
    ad.insert("Name", wanted.name.as_str());
    ad.insert("Arch", arch());
    ad.insert("OpSys", "LINUX");
    ad.insert("DetectedCpus", i64::from(cores));
    ad.insert("DetectedMemory", clamp(memory_found));
    ad.insert("TotalCpus", i64::from(cpus));
    ad.insert("TotalMemory", clamp(memory_mib));
    ad.insert("TotalDisk", clamp(disk_kib));
    ad.insert("TotalGPUs", clamp(gpus as u64));
    ad.insert("HasFileTransfer", true);
    ad.insert("CondorVersion", CONDOR_VERSION);
    ad.insert("HasTrainer", true);
    ad.insert("UpdraftVersion", VERSION);
    if !wanted.simulate_gpus.is_empty() {
        ad.insert("GPUsSimulated", true);
    }
    let start = wanted.requirements.clone().unwrap_or_else(|| true.into());
    ad.insert("Start", start.clone());
    ad.insert("Requirements", start);
    ad.insert("Rank", wanted.rank.clone().unwrap_or_else(|| 0.0.into()));
    for (name, amount) in &wanted.resources {
        let mut name = name.clone();
        name[..1].make_ascii_uppercase();
        ad.insert(format!("Total{name}"), clamp(*amount));
        ad.insert(name, clamp(*amount));
    }
    for (name, expr) in &wanted.attributes {
        ad.insert(name, expr.clone());
    }
    Offer {
        ad: ad.to_long(),
        cpus,
        memory_mib,
        disk_kib,
        gpus: Vec::new(),
        resources: wanted.resources.clone(),
    }
}

/// HTCondor's word for the processor.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "X86_64",
        other => other,
    }
}

/// The machine's memory, or the limit of the control group this process is in, whichever is less.
/// MiB.
fn memory_mib() -> u64 {
    let mut bytes = u64::MAX;
    if let Ok(text) = std::fs::read_to_string("/proc/meminfo") {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        bytes = kib.map_or(bytes, |kib| kib << 10);
    }
    for file in [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ] {
        let limit = std::fs::read_to_string(file)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        bytes = bytes.min(limit.unwrap_or(u64::MAX));
    }
    if bytes == u64::MAX { 0 } else { bytes >> 20 }
}

/// Space that this user may fill, KiB; 0 where the file system does not say.
fn disk_kib(dir: &std::path::Path) -> u64 {
    statvfs(dir).map_or(0, |stat| {
        (stat.blocks_available() * stat.fragment_size()) >> 10
    })
}

fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
