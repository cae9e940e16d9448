//! What a job asks of each GPU, clause by clause, against all devices of the workers as if nobody
//! used them; those that are broken are nobody's.

use classad::explain::explain_sides;
use classad::{ClassAd, Expr};

use super::asking::Asking;
use super::census::Census;
use super::clauses::counted;
use super::{ClauseCount, number};
use crate::pool::with_free;

/// A device that could be given away.
pub(super) struct Whole {
    /// Whose it is: a place in the census.
    pub worker: usize,
    pub ad: ClassAd,
}

/// All that are not broken, with all of their memory free.
pub(super) fn of<'c>(census: &'c Census) -> impl Iterator<Item = Whole> + 'c {
    let workers = census.empty.iter().enumerate();
    workers.flat_map(|(worker, empty)| {
        let sound = empty.devices.iter().filter(|of| of.broken.is_none());
        sound.map(move |device| Whole {
            worker,
            ad: with_free(device, device.memory_mib),
        })
    })
}

/// The clauses of `RequireGPUs`.
pub(super) fn clauses(asking: &Asking) -> Vec<Expr> {
    let require = asking.ad().get("RequireGPUs");
    require
        .filter(|_| asking.spec.request_gpus > 0)
        .map(Expr::clauses)
        .unwrap_or_default()
}

pub(super) fn counted_devices(asking: &Asking, census: &Census) -> Vec<ClauseCount> {
    let clauses = clauses(asking);
    if clauses.is_empty() {
        return Vec::new();
    }
    let all: Vec<Whole> = of(census).collect();
    let ads: Vec<&ClassAd> = all.iter().map(|device| &device.ad).collect();
    let reports = explain_sides(&clauses, &ads, asking.ad(), asking.at);
    let named = |at: usize| {
        let device = all.get(at)?;
        Some(census.names[device.worker].to_string())
    };
    let of = number(ads.len());
    reports
        .iter()
        .map(|report| counted(report, of, &named))
        .collect()
}
