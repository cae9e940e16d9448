//! What a worker offers, checked: ads that parse, amounts that make sense, nothing beyond its
//! limits.

use std::collections::BTreeSet;

use classad::ClassAd;
use proto::nouns::Offer;

use super::Device;
use super::slot::is_dynamic;

/// Bytes of the machine's ad, and of the ad of one device.
const AD_BYTES_MAX: usize = 256 << 10;
const DEVICE_AD_BYTES_MAX: usize = 16 << 10;
const DEVICES_MAX: usize = 1_024;
const RESOURCES_MAX: usize = 256;
/// Bytes of the name of a device or of a custom resource, and of why a device is broken.
const NAME_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 1_024;
/// Attributes that are the pool's to say.
const OURS: [&str; 6] = [
    "SlotType",
    "PartitionableSlot",
    "DynamicSlot",
    "AssignedGPUs",
    "MyAddress",
    "RemoteOwner",
];

/// An offer's ads, read.
#[derive(Clone, Debug)]
pub(crate) struct OfferAds {
    pub(super) machine: ClassAd,
    pub(super) devices: Vec<Device>,
}

impl OfferAds {
    /// # Errors
    /// What of the offer cannot be believed, and why.
    pub(crate) fn parse(offer: &Offer) -> Result<OfferAds, String> {
        fits("the machine's ad", offer.ad.len(), AD_BYTES_MAX, "bytes")?;
        fits("the offer", offer.gpus.len(), DEVICES_MAX, "GPUs")?;
        let resources = offer.resources.len();
        fits("the offer", resources, RESOURCES_MAX, "custom resources")?;
        let mut machine = ClassAd::parse_long(&offer.ad)
            .map_err(|error| format!("the machine's ad does not parse: {error}"))?;
        for name in OURS {
            machine.remove(name);
        }
        for name in offer.resources.keys() {
            fits(
                "a custom resource's name",
                name.len(),
                NAME_BYTES_MAX,
                "bytes",
            )?;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
            if !begins || !name.chars().all(plain) {
                return Err(format!(
                    "`{}` is no name of a custom resource (expected small letters, digits and `_`)",
                    name.escape_debug()
                ));
            }
            if is_dynamic(name) || ["cpus", "memory", "disk", "gpus"].contains(&name.as_str()) {
                return Err(format!("`{name}` is no custom resource"));
            }
        }
        let mut seen = BTreeSet::new();
        let mut devices = Vec::with_capacity(offer.gpus.len());
        for gpu in &offer.gpus {
            fits("a GPU's id", gpu.id.len(), NAME_BYTES_MAX, "bytes")?;
            if gpu.id.is_empty() || !seen.insert(gpu.id.as_str()) {
                return Err(format!("the GPU id `{}` is empty or given twice", gpu.id));
            }
            let what = format!("the ad of GPU {}", gpu.id);
            fits(&what, gpu.ad.len(), DEVICE_AD_BYTES_MAX, "bytes")?;
            let ad = ClassAd::parse_long(&gpu.ad)
                .map_err(|error| format!("{what} does not parse: {error}"))?;
            let memory = ad.eval("GlobalMemoryMb").as_i64();
            let broken = gpu.broken.as_ref();
            devices.push(Device {
                id: gpu.id.clone(),
                memory_mib: memory.and_then(|mib| u64::try_from(mib).ok()).unwrap_or(0),
                broken: broken.map(|reason| reason.chars().take(REASON_BYTES_MAX).collect()),
                ad,
            });
        }
        Ok(OfferAds { machine, devices })
    }
}

fn fits(what: &str, has: usize, max: usize, of: &str) -> Result<(), String> {
    match has <= max {
        true => Ok(()),
        false => Err(format!("{what} has {has} {of}, more than {max}")),
    }
}
