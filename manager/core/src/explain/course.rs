//! Who holds what a job could have and until when, its place among those that wait, and when it
//! will probably start. Of times only what was measured is said.

use proto::nouns::{JobId, Now};

use super::asking::{Asking, Fit};
use super::barriers::round;
use super::census::{Census, Counts};
use super::{HOLDERS_MAX, Holder, Line, Why, plural, workers};
use crate::pool::{Carve, Worker};
use crate::queue::Queue;

/// Kinds of jobs that go first and are held against the places of a job, and such places.
const KINDS_MAX: usize = 32;
const PLACES_MAX: usize = 1_000;
/// Slots that an estimate plays through; of more the first to be free are enough.
const SLOTS_MAX: usize = 65_536;

impl Queue {
    /// Adds the holders, the line and the estimate.
    pub(super) fn add_course(
        &self,
        why: &mut Why,
        now: Now,
        asking: &Asking,
        census: &Census,
        counts: &Counts,
    ) {
        let standing = self.standing(now, asking.job, &asking.submitter, None);
        let kinds = standing.before;
        let before = kinds
            .as_ref()
            .map(|kinds| kinds.iter().map(|(_, jobs)| jobs).sum());
        let rivals = self.rivals(now, census, counts, kinds.as_deref().unwrap_or_default());
        why.line = Some(Line {
            submitter: asking.submitter.to_string(),
            before,
            rivals,
            priority: round(standing.priority),
            weight: round(standing.weight),
            entitled: round(standing.entitled),
            pool: round(standing.pool),
        });
        if rivals > 0 && why.code == "W107" {
            let jobs = plural(rivals, "job");
            let of = workers(why.workers);
            why.summary = format!(
                "{} of {of} can run it now; {jobs} of {} before it",
                why.open, asking.submitter
            );
        }
        let mut free_at: Vec<u64> = counts.open.iter().map(|_| now.wall_ms).collect();
        let mut unknown = 0;
        for at in &counts.busy {
            let name = &census.names[*at];
            let Some(worker) = self.workers().get(name) else {
                continue;
            };
            let mut held: Vec<(Option<u64>, Holder)> = worker
                .holding()
                .map(|(_, carve)| {
                    let until_ms = self.ends_at(now, carve);
                    let holder = Holder {
                        worker: name.clone(),
                        job: carve.job,
                        until_ms,
                    };
                    (until_ms, holder)
                })
                .collect();
            held.sort_by_key(|(until, holder)| (until.unwrap_or(u64::MAX), holder.job));
            match room_at(asking, worker, self, now) {
                Some(at) => free_at.push(at),
                None => unknown += 1,
            }
            why.holders
                .extend(held.into_iter().map(|(_, holder)| holder));
        }
        why.holders
            .sort_by_key(|holder| (holder.until_ms.unwrap_or(u64::MAX), holder.worker.clone()));
        why.holders.truncate(HOLDERS_MAX);
        let own = self.mean_run_ms(asking.job);
        let (starts, because) = estimate(now, why, before.map(|_| rivals), own, free_at, unknown);
        (why.starts_in_ms, why.starts_because) = (starts, because);
    }

    /// Of jobs that go first those that could take what a job could have. Kinds beyond the first
    /// ones, and places, are not asked: they count.
    fn rivals(&self, now: Now, census: &Census, counts: &Counts, kinds: &[(JobId, u64)]) -> u64 {
        let lists = [&counts.open, &counts.busy, &counts.paused, &counts.drained];
        let places: Vec<usize> = lists.into_iter().flatten().copied().collect();
        let may = |(at, (job, _)): &(usize, &(JobId, u64))| {
            if *at >= KINDS_MAX || places.len() > PLACES_MAX {
                return true;
            }
            let cluster = self.clusters().get(&job.cluster);
            let asking = cluster.and_then(|of| Asking::of(self, now, of, *job).ok());
            asking.is_some_and(|asking| {
                let fits =
                    |at: &usize| asking.fit(&census.empty[*at], &census.slots[*at]) == Fit::Yes;
                places.iter().any(fits)
            })
        };
        let rivals = kinds.iter().enumerate().filter(may);
        rivals.map(|(_, (_, jobs))| jobs).sum()
    }

    /// When a claim will probably have ended; nothing where nothing like it was measured.
    pub(super) fn ends_at(&self, now: Now, carve: &Carve) -> Option<u64> {
        let mean = self.mean_run_ms(carve.job)?;
        Some(carve.since_ms.saturating_add(mean as u64).max(now.wall_ms))
    }
}

/// When enough of a worker will probably be free for a job.
fn room_at(asking: &Asking, worker: &Worker, queue: &Queue, now: Now) -> Option<u64> {
    let mut carves: Vec<(u64, &Carve)> = Vec::new();
    for (_, carve) in worker.holding() {
        carves.extend(queue.ends_at(now, carve).map(|until| (until, carve)));
    }
    carves.sort_by_key(|(until, carve)| (*until, carve.job));
    let mut free = worker.free.clone();
    for (until, carve) in carves {
        free.cpus = free.cpus.saturating_add(carve.taken.cpus);
        free.memory_mib = free.memory_mib.saturating_add(carve.taken.memory_mib);
        free.disk_kib = free.disk_kib.saturating_add(carve.taken.disk_kib);
        if carve.taken.gpu_memory_mib.is_none() {
            free.gpus = free.gpus.saturating_add(super::number(carve.gpus.len()));
        }
        for (name, amount) in &carve.taken.other {
            let left = free.other.entry(name.clone()).or_default();
            *left = left.saturating_add(*amount);
        }
        if free.covers(&asking.spec) {
            return Some(until);
        }
    }
    None
}

/// Those before it in its line go first, each for as long as such jobs took.
fn estimate(
    now: Now,
    why: &Why,
    before: Option<u64>,
    own_ms: Option<f64>,
    mut free_at: Vec<u64>,
    unknown: usize,
) -> (Option<u64>, String) {
    let unclear = |text: &str| (None, text.to_owned());
    match why.code {
        "W107" | "W103" => {}
        "W101" | "W102" | "W105" => return unclear("nothing matches it"),
        _ => return unclear("nobody knows when what keeps it gives way"),
    }
    let Some(before) = before else {
        return unclear("it has no place in the line yet");
    };
    if free_at.is_empty() {
        return unclear("nothing was measured of the jobs that hold what it could have");
    }
    if before > 0 && own_ms.is_none() {
        return unclear("nothing was measured of jobs like it");
    }
    free_at.sort_unstable();
    free_at.truncate(SLOTS_MAX);
    let slots = free_at.len() as u64;
    let each = own_ms.unwrap_or(0.0);
    let rounds = (before / slots) as f64;
    let at = free_at[usize::try_from(before % slots).unwrap_or(0)];
    let starts = at
        .saturating_sub(now.wall_ms)
        .saturating_add((rounds * each) as u64);
    let mut because = format!(
        "by mean run times: {} before it, {}",
        plural(before, "job"),
        plural(slots, "slot")
    );
    if unknown > 0 {
        let text = plural(unknown as u64, "worker");
        because.push_str(&format!(" ({text} with jobs never measured not counted)"));
    }
    (Some(starts), because)
}
