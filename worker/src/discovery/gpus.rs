//! GPUs: what is known of one, and simulated ones from a table. One property ad each, with
//! HTCondor's attribute names (`condor_gpu_discovery` manual page). Real ones are `nvml`'s.

use std::path::Path;

use classad::ClassAd;
use proto::nouns::WorkerName;

use super::DiscoveryError;

/// GPUs that one worker may pretend to have.
pub const SIMULATED_GPUS_MAX: u64 = 64;

/// One device.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuAd {
    /// The UUID, which is what `CUDA_VISIBLE_DEVICES` takes.
    pub id: String,
    /// The driver's number; an instance of a divided GPU has none.
    pub index: Option<u32>,
    pub ad: ClassAd,
    /// Why it must not be used, if it must not.
    pub broken: Option<String>,
}

struct Model {
    name: &'static str,
    device_name: &'static str,
    capability: f64,
    memory_mib: i64,
}

/// Models by the name people call them. Memory is what the driver shows, compute capability
/// NVIDIA's table.
const MODELS: [Model; 15] = [
    model("A10", "NVIDIA A10", 8.6, 23_028),
    model("A100", "NVIDIA A100-SXM4-40GB", 8.0, 40_960),
    model("A100-80GB", "NVIDIA A100-SXM4-80GB", 8.0, 81_920),
    model("B200", "NVIDIA B200", 10.0, 183_359),
    model("H100", "NVIDIA H100 80GB HBM3", 9.0, 81_559),
    model("H200", "NVIDIA H200", 9.0, 143_771),
    model("K80", "Tesla K80", 3.7, 11_441),
    model("L4", "NVIDIA L4", 8.9, 23_034),
    model("L40S", "NVIDIA L40S", 8.9, 46_068),
    model("P100", "Tesla P100-PCIE-16GB", 6.0, 16_384),
    model("RTX3090", "NVIDIA GeForce RTX 3090", 8.6, 24_576),
    model("RTX4090", "NVIDIA GeForce RTX 4090", 8.9, 24_564),
    model("RTX5090", "NVIDIA GeForce RTX 5090", 12.0, 32_607),
    model("T4", "Tesla T4", 7.5, 15_360),
    model("V100", "Tesla V100-SXM2-16GB", 7.0, 16_384),
];

const fn model(
    name: &'static str,
    device_name: &'static str,
    capability: f64,
    memory_mib: i64,
) -> Model {
    Model {
        name,
        device_name,
        capability,
        memory_mib,
    }
}

/// Devices from texts `MODEL:N`. Their ids follow from the worker's name, so that they stay the
/// same over restarts and differ between workers.
///
/// # Errors
/// A text of another form, an unknown model, or more than [`SIMULATED_GPUS_MAX`] in all.
pub fn simulated(worker: &WorkerName, texts: &[String]) -> Result<Vec<GpuAd>, DiscoveryError> {
    let mut gpus = Vec::new();
    for text in texts {
        let form = || DiscoveryError::SimulatedForm { text: text.clone() };
        let (name, count) = text.split_once(':').ok_or_else(form)?;
        let count: u64 = count.trim().parse().map_err(|_| form())?;
        let name = name.trim();
        let model = MODELS
            .iter()
            .find(|model| model.name.eq_ignore_ascii_case(name));
        let model = model.ok_or_else(|| {
            let known: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
            DiscoveryError::SimulatedModel {
                model: name.to_owned(),
                known: known.join(", "),
            }
        })?;
        let total = count.saturating_add(gpus.len() as u64);
        if total > SIMULATED_GPUS_MAX {
            return Err(DiscoveryError::SimulatedMany { count: total });
        }
        for _ in 0..count {
            gpus.push(pretend(worker, model, gpus.len()));
        }
    }
    Ok(gpus)
}

fn pretend(worker: &WorkerName, model: &Model, index: usize) -> GpuAd {
    let seed = format!("simulated GPU {index} of {worker}: {}", model.name);
    let hex = blake3::hash(seed.as_bytes()).to_hex();
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &hex[range]);
    let id = format!("GPU-{a}-{b}-{c}-{d}-{e}");
    let mut ad = ClassAd::new();
    ad.insert("Id", id.as_str());
    ad.insert("DeviceUuid", id.as_str());
    ad.insert("DeviceName", model.device_name);
    ad.insert("DevicePciBusId", format!("0000:{:02X}:00.0", index + 1));
    ad.insert("Capability", model.capability);
    ad.insert("GlobalMemoryMb", model.memory_mib);
    ad.insert("ECCEnabled", false);
    ad.insert("DriverVersion", 12.8);
    ad.insert("MaxSupportedVersion", 12_080);
    ad.insert("Simulated", true);
    GpuAd {
        id,
        index: u32::try_from(index).ok(),
        ad,
        broken: None,
    }
}

/// Has those simulated devices broken that the file names: one line each, an id or a number and
/// perhaps the reason. None where there is no such file.
pub(super) fn pretend_broken(gpus: &mut [GpuAd], file: &Path) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (device, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let reason = match reason.trim() {
            "" => "simulated",
            reason => reason,
        };
        let is_meant = |gpu: &&mut GpuAd| {
            gpu.id == device || gpu.index.is_some_and(|index| index.to_string() == device)
        };
        for gpu in gpus.iter_mut().filter(is_meant) {
            gpu.broken = Some(reason.to_owned());
        }
    }
}
