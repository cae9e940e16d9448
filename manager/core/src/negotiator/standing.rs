//! How those who wait stand, for whoever asks why: the place in their submitter's line, what he has
//! and is entitled to, and how long such jobs took. Decides nothing.

use proto::nouns::{JobId, Now};

use super::autocluster::VOLATILE;
use super::*;

/// Entries among the waiting that one slice of [`Groups`] passes by.
const ENTRIES_MAX: usize = 16_384;

/// How a waiting job stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Jobs of the same submitter that go first, by kind: one of them, and how many; nothing for
    /// one that has no place yet.
    pub before: Option<Vec<(JobId, u64)>>,
    pub priority: f64,
    /// By the pool's `weight`: what its submitter has, what he is entitled to, what the pool has.
    pub weight: f64,
    pub entitled: f64,
    pub pool: f64,
    pub over_quota: Option<OverQuota>,
}

/// A group that may not have one more claim.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OverQuota {
    pub group: String,
    pub weight: f64,
    pub quota: f64,
}

/// Jobs that wait and are alike to every worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub submitter: Submitter,
    /// One of them.
    pub job: JobId,
    pub jobs: u64,
}

/// Gathers those who wait into groups, in slices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    next: u32,
    groups: BTreeMap<(Submitter, AutoId), Group>,
    /// Of clusters that were not looked at yet.
    others: Vec<Group>,
}

/// Whether there is more to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Slice {
    #[default]
    More,
    Done,
}

impl Groups {
    /// Looks at some more clusters.
    pub fn gather(&mut self, queue: &Queue) -> Slice {
        let mut seen = 0;
        for (id, cluster) in queue.clusters.range(self.next..) {
            if seen >= ENTRIES_MAX {
                self.next = *id;
                return Slice::More;
            }
            seen += 1 + cluster.placed.entries.len();
            self.add(cluster);
        }
        self.next = u32::MAX;
        Slice::Done
    }

    /// All of them.
    pub fn finish(self) -> Vec<Group> {
        self.groups.into_values().chain(self.others).collect()
    }

    fn add(&mut self, cluster: &Cluster) {
        let tally = cluster.tally();
        let waiting = u64::from(tally.idle.saturating_sub(tally.ahead));
        let Some(first) = cluster.next_idle(0).filter(|_| waiting > 0) else {
            return;
        };
        let mut placed = 0;
        for (proc, entry) in &cluster.placed.entries {
            let (proc, jobs) = match proc {
                Some(proc) => (*proc, 1),
                None => (first, waiting),
            };
            placed += jobs;
            let cluster = cluster.id;
            let key = (entry.submitter.clone(), entry.auto);
            let group = self.groups.entry(key).or_insert_with(|| Group {
                submitter: entry.submitter.clone(),
                job: JobId { cluster, proc },
                jobs: 0,
            });
            group.jobs += jobs;
        }
        if placed < waiting {
            self.others.push(Group {
                submitter: Submitter::default(),
                job: JobId {
                    cluster: cluster.id,
                    proc: first,
                },
                jobs: waiting - placed,
            });
        }
    }
}

impl Queue {
    /// How a job stands that would pay `weight`, as far as that can be told.
    pub(crate) fn standing(
        &self,
        now: Now,
        job: JobId,
        submitter: &Submitter,
        weight: Option<f64>,
    ) -> Standing {
        let fair = self.pass(now).fair;
        let at = fair.find(submitter);
        let over = at.zip(weight).and_then(|(at, weight)| {
            let group = fair.over_quota(at, weight)?;
            let (has, quota) = fair.group_use(group)?;
            Some(OverQuota {
                group: group.to_owned(),
                weight: has,
                quota,
            })
        });
        let account = self.accounts.get(submitter);
        Standing {
            before: self.jobs_before(job, submitter),
            priority: self.accounts.priority(&self.rules, submitter, now.wall_ms),
            weight: account.map_or(0.0, |of| of.weight),
            entitled: at.map_or(0.0, |at| fair.entitled(at)),
            pool: self.negotiation.market.weight(),
            over_quota: over,
        }
    }

    /// Jobs of a submitter that go before one of his: of each kind how many, and one of them.
    fn jobs_before(&self, job: JobId, submitter: &Submitter) -> Option<Vec<(JobId, u64)>> {
        let cluster = self.clusters.get(&job.cluster)?;
        let entries = &cluster.placed.entries;
        let own = entries.get(&Some(job.proc)).or_else(|| entries.get(&None));
        let own = own?.place;
        let line = self.negotiation.demand.line(submitter)?;
        let stands_for = |place: &Place| match place.proc {
            Some(_) => 1,
            None => self.clusters.get(&place.cluster).map_or(0, |of| {
                let tally = of.tally();
                u64::from(tally.idle.saturating_sub(tally.ahead))
            }),
        };
        let mut kinds = Vec::new();
        for queue in line.queues() {
            let others: u64 = queue.range(..own).map(stands_for).sum();
            let within = match own.proc {
                None if queue.contains(&own) => cluster.waiting_below(job.proc),
                None | Some(_) => 0,
            };
            let first = queue.first().and_then(|place| self.first_of(*place));
            if others + within > 0 {
                kinds.push((first.unwrap_or(job), others + within));
            }
        }
        Some(kinds)
    }

    /// What a claim of a job on a worker would cost.
    pub(crate) fn charge_of(
        &self,
        now: Now,
        job: (&JobSpec, &ClassAd),
        worker: &Worker,
        submitter: &Submitter,
    ) -> Option<Charge> {
        let gpus = worker.choose_gpus(job.1, job.0, seconds(now))?;
        Some(self.taken(now, job, worker, &gpus, submitter).charge)
    }

    /// How long jobs like one that waits or runs took in the mean, if any has ended.
    pub(crate) fn mean_run_ms(&self, job: JobId) -> Option<f64> {
        let of = &self.negotiation;
        let auto = of.running.get(&job).copied().or_else(|| {
            let entries = &self.clusters.get(&job.cluster)?.placed.entries;
            let entry = entries.get(&Some(job.proc)).or_else(|| entries.get(&None));
            entry.map(|entry| entry.auto)
        })?;
        let times = of.autos.get(&auto)?.times;
        (times.count > 0).then_some(times.mean_ms)
    }
}

/// Whether an expression of an ad may say something else a moment later, though neither side
/// changes.
pub(crate) fn says_something_else_later(expr: &Expr, ad: &ClassAd) -> bool {
    let is_volatile = |expr: &Expr| {
        let text = expr.to_string().to_ascii_lowercase();
        VOLATILE.iter().any(|word| text.contains(word))
    };
    is_volatile(expr)
        || ad.references(expr).is_none_or(|reached| {
            let mut own = reached.internal.iter().filter_map(|name| ad.get_name(name));
            own.any(is_volatile)
        })
}

impl Cluster {
    /// Its jobs that wait and have a lower number.
    fn waiting_below(&self, proc: u32) -> u64 {
        let touched = self.idle.range(..proc).count() as u64;
        let records = self.procs.range(self.fresh_from..proc.max(self.fresh_from));
        let untouched = match self.rest.is_idle() {
            true => u64::from(proc.saturating_sub(self.fresh_from)) - records.count() as u64,
            false => 0,
        };
        touched + untouched
    }
}
