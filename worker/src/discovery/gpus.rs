//! GPUs: those that NVML shows, or simulated ones from a table. One property ad each, with
//! HTCondor's attribute names (`condor_gpu_discovery` manual page).

use std::ffi::OsStr;

use classad::ClassAd;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use proto::nouns::WorkerName;

use super::DiscoveryError;

/// GPUs that one worker may pretend to have.
pub const SIMULATED_GPUS_MAX: u64 = 64;

/// One device.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuAd {
    /// The UUID, which is what `CUDA_VISIBLE_DEVICES` takes.
    pub id: String,
    pub ad: ClassAd,
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
    GpuAd { id, ad }
}

/// What the driver shows; nothing where there is none. A device that cannot be read is left out,
/// with a warning.
pub(super) fn real() -> Vec<GpuAd> {
    // Containers carry the library under its versioned name alone.
    let library = Nvml::builder()
        .lib_path(OsStr::new("libnvidia-ml.so.1"))
        .init();
    let nvml = match library.or_else(|_| Nvml::init()) {
        Ok(nvml) => nvml,
        Err(error) => {
            tracing::debug!("no GPUs are offered: the NVIDIA library does not answer: {error}");
            return Vec::new();
        }
    };
    let count = nvml.device_count().unwrap_or(0);
    let mut gpus = Vec::new();
    for index in 0..count {
        match nvml
            .device_by_index(index)
            .and_then(|device| describe(&nvml, &device))
        {
            Ok(gpu) => gpus.push(gpu),
            Err(error) => tracing::warn!("GPU {index} is not offered: {error}"),
        }
    }
    gpus
}

fn describe(nvml: &Nvml, device: &Device<'_>) -> Result<GpuAd, NvmlError> {
    let id = device.uuid()?;
    let capability = device.cuda_compute_capability()?;
    let mut ad = ClassAd::new();
    ad.insert("Id", id.as_str());
    ad.insert("DeviceUuid", id.as_str());
    ad.insert("DeviceName", device.name()?);
    ad.insert("DevicePciBusId", device.pci_info()?.bus_id);
    ad.insert(
        "Capability",
        f64::from(capability.major) + f64::from(capability.minor) / 10.0,
    );
    ad.insert("GlobalMemoryMb", (device.memory_info()?.total >> 20) as i64);
    let cuda = nvml.sys_cuda_driver_version()?;
    ad.insert(
        "DriverVersion",
        f64::from(cuda / 1_000) + f64::from(cuda % 1_000 / 10) / 10.0,
    );
    ad.insert("MaxSupportedVersion", cuda);
    ad.insert("NvidiaDriver", nvml.sys_driver_version()?);
    // Cards without this memory protection, or with virtualization in between, refuse to say.
    if let Ok(ecc) = device.is_ecc_enabled() {
        ad.insert("ECCEnabled", ecc.currently_enabled);
    }
    Ok(GpuAd { id, ad })
}
