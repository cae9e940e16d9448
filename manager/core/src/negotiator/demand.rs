//! What waits for a place: for each submitter the idle jobs by autocluster, in the order in which
//! they should start.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::accounts::Submitter;

/// Names an autocluster, while the manager runs.
pub(crate) type AutoId = u32;

/// Everybody who waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    lines: BTreeMap<Submitter, Line>,
}

/// What one submitter waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    queues: BTreeMap<AutoId, BTreeSet<Place>>,
    /// The first of each queue.
    heads: BTreeSet<Head>,
}

/// The first of a queue, and which queue that is.
pub(crate) type Head = (Place, AutoId);

/// A place among those who wait: higher priority first, then the longer remaining way through the
/// DAG; among studies that are equal so far the one with fewer trials, so that they end together;
/// then the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub standing: Reverse<(i64, u64)>,
    pub started: u32,
    pub cluster: u32,
    /// `None` stands for all idle procs of the cluster, which are alike.
    pub proc: Option<u32>,
}

/// How a cluster's idle procs stand among those who wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    pub sorting: Sorting,
    pub entries: BTreeMap<Option<u32>, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub submitter: Submitter,
    pub auto: AutoId,
    pub place: Place,
}

/// What is known of the autoclusters of a cluster's procs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sorting {
    /// Nothing yet.
    #[default]
    Unknown,
    /// All have this one, and this priority.
    Alike {
        submitter: Submitter,
        auto: AutoId,
        priority: i64,
    },
    /// Each has its own. Those below were looked at.
    Each { below: u32 },
}

impl Demand {
    pub fn submitters(&self) -> impl Iterator<Item = &Submitter> {
        self.lines.keys()
    }

    pub fn line(&self, submitter: &Submitter) -> Option<&Line> {
        self.lines.get(submitter)
    }

    pub fn insert(&mut self, entry: &Entry) {
        let line = self.lines.entry(entry.submitter.clone()).or_default();
        let queue = line.queues.entry(entry.auto).or_default();
        let before = queue.first().copied();
        queue.insert(entry.place);
        line.head_changed(entry.auto, before);
    }

    pub fn remove(&mut self, entry: &Entry) {
        let Some(line) = self.lines.get_mut(&entry.submitter) else {
            return;
        };
        let Some(queue) = line.queues.get_mut(&entry.auto) else {
            return;
        };
        let before = queue.first().copied();
        queue.remove(&entry.place);
        line.head_changed(entry.auto, before);
        if line.queues.is_empty() {
            self.lines.remove(&entry.submitter);
        }
    }
}

impl Line {
    /// The first head behind another, or of all.
    pub fn after(&self, cursor: Option<Head>) -> Option<Head> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        self.heads.range((from, Bound::Unbounded)).next().copied()
    }

    /// The first who waits in an autocluster.
    pub fn head_of(&self, auto: AutoId) -> Option<Place> {
        self.queues.get(&auto)?.first().copied()
    }

    /// Everybody in it, by autocluster.
    pub fn queues(&self) -> impl Iterator<Item = &BTreeSet<Place>> {
        self.queues.values()
    }

    fn head_changed(&mut self, auto: AutoId, before: Option<Place>) {
        let now = self
            .queues
            .get(&auto)
            .and_then(|queue| queue.first().copied());
        if now == before {
            return;
        }
        if let Some(before) = before {
            self.heads.remove(&(before, auto));
        }
        match now {
            Some(now) => {
                self.heads.insert((now, auto));
            }
            None => {
                self.queues.remove(&auto);
            }
        }
    }
}
