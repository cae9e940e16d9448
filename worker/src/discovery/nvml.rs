//! The GPUs that the NVIDIA driver shows, divided ones as their instances, and whether they are
//! well, as far as the driver's management library (NVML) tells.

use std::ffi::OsStr;

use classad::ClassAd;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::gpus::GpuAd;
use crate::sys::{self, RemappedRows};

/// The mode of a GPU that is divided into instances (`NVML_DEVICE_MIG_ENABLE`).
const DIVIDED: u32 = 1;
/// Where containers carry the library: under its versioned name alone.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// What the driver shows; nothing where there is none. A device that cannot be read is left out,
/// with a warning.
pub(super) fn gpus() -> Vec<GpuAd> {
    let library = Nvml::builder().lib_path(OsStr::new(LIBRARY)).init();
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
        let described = nvml
            .device_by_index(index)
            .and_then(|device| describe(&nvml, &device, index));
        match described {
            Ok(found) => gpus.extend(found),
            Err(error) => tracing::warn!("GPU {index} is not offered: {error}"),
        }
    }
    gpus
}

/// The device, or its instances.
fn describe(nvml: &Nvml, device: &Device<'_>, index: u32) -> Result<Vec<GpuAd>, NvmlError> {
    let mut whole = describe_one(nvml, device)?;
    whole.index = Some(index);
    whole.broken = fault(device);
    // Devices that cannot be divided refuse to say whether they are.
    if !device.mig_mode().is_ok_and(|mode| mode.current == DIVIDED) {
        return Ok(vec![whole]);
    }
    let mut instances = Vec::new();
    for at in 0..device.mig_device_count()? {
        let instance = match device.mig_device_by_index(at) {
            Ok(instance) => instance,
            // Numbers without an instance lie between those that have one.
            Err(NvmlError::NotFound | NvmlError::InvalidArg) => continue,
            Err(error) => return Err(error),
        };
        let (id, name) = (instance.uuid()?, instance.name()?);
        let mut ad = whole.ad.clone();
        ad.insert("Id", id.as_str());
        ad.insert("DeviceUuid", id.as_str());
        ad.insert("DeviceName", name);
        ad.insert("GlobalMemoryMb", mib(instance.memory_info()?.total));
        ad.insert("ParentDeviceUuid", whole.id.as_str());
        instances.push(GpuAd {
            id,
            index: None,
            ad,
            broken: whole.broken.clone(),
        });
    }
    Ok(instances)
}

fn describe_one(nvml: &Nvml, device: &Device<'_>) -> Result<GpuAd, NvmlError> {
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
    ad.insert("GlobalMemoryMb", mib(device.memory_info()?.total));
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
    Ok(GpuAd {
        id,
        index: None,
        ad,
        broken: None,
    })
}

fn mib(bytes: u64) -> i64 {
    i64::try_from(bytes >> 20).unwrap_or(i64::MAX)
}

/// What is wrong with the device. What it refuses to say counts as nothing.
fn fault(device: &Device<'_>) -> Option<String> {
    let errors = device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile);
    match errors {
        Err(NvmlError::GpuLost) => return Some("the driver has lost it".to_owned()),
        Err(NvmlError::ResetRequired) => return Some("it must be reset".to_owned()),
        Ok(count @ 1..) => {
            return Some(format!(
                "its memory had {count} errors that could not be corrected since the driver started"
            ));
        }
        Ok(0) | Err(_) => {}
    }
    if device.are_pages_pending_retired().unwrap_or(false) {
        return Some("pages of its memory wait to be retired: it must be reset".to_owned());
    }
    // The handle is good as long as the device, which outlives this call.
    let rows = sys::remapped_rows(LIBRARY, device);
    match rows {
        Some(RemappedRows { failed: true, .. }) => {
            Some("rows of its memory could not be replaced".to_owned())
        }
        Some(RemappedRows { pending: true, .. }) => {
            Some("rows of its memory wait to be replaced: it must be reset".to_owned())
        }
        Some(_) | None => None,
    }
}
