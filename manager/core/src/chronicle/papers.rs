//! When the files are written that show a run as it stands: `DOT` and `NODE_STATUS_FILE`. At most
//! once a turn, at most as often as the file's interval says, and at the run's end in any case.
//! What they say is in `picture` and `status`.

use proto::nouns::Now;

use super::{picture, status};
use crate::effect::Write;
use crate::queue::Queue;
use crate::run::{Age, Paper, PaperState, Run, RunState};

/// Nodes of a DAG whose papers are written in each turn that changes them, where no interval is
/// asked for.
const SMALL_NODES_MAX: usize = 100;
/// The interval of larger ones is at least this, and more the more nodes there are.
const LARGE_INTERVAL_MS: u64 = 1_000;
const NODES_PER_MS: usize = 20;
/// How often a file is written at most that is written although nothing changed:
/// `DAGMAN_USER_LOG_SCAN_INTERVAL`.
const ALWAYS_INTERVAL_MS: u64 = 5_000;

/// Which paper is meant.
#[derive(Clone, Copy)]
enum Kind {
    Dot,
    Status,
}

impl Queue {
    /// Says that what a run's papers tell of has changed.
    pub(crate) fn outdate(&mut self, id: u32) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        let dag = &run.dag.papers;
        if dag.dot.as_ref().is_some_and(|dot| dot.update) {
            run.papers.dot.age = Age::Stale;
        }
        if dag.node_status.is_some() {
            run.papers.status.age = Age::Stale;
        }
        if run.papers.is_stale() {
            self.chronicle.stale.insert(id);
        }
    }

    /// When the next paper is to be written, on the monotonic clock, and of which run.
    pub(crate) fn papers_due(&self) -> Option<(u64, u32)> {
        let stale = self.chronicle.stale.iter();
        let runs = stale.filter_map(|id| self.runs.get(id));
        runs.filter_map(|run| Some((run.paper_due()?, run.id)))
            .min()
    }

    /// The picture of a run before anything of it was started.
    pub(super) fn draw_first(&mut self, now: Now, id: u32) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        if run.dag.papers.dot.is_some() {
            self.write_paper(now, id, Kind::Dot);
        }
        self.outdate(id);
        // It was drawn just now.
        if let Some(run) = self.runs.get_mut(&id) {
            run.papers.dot.age = Age::Fresh;
        }
    }

    /// Writes the papers that are due.
    pub(super) fn write_papers(&mut self, now: Now) {
        let stale: Vec<u32> = self.chronicle.stale.iter().copied().collect();
        for id in stale {
            let Some(run) = self.runs.get(&id) else {
                self.chronicle.stale.remove(&id);
                continue;
            };
            let over = run.state != RunState::Running;
            let due = |paper: &Paper, kind| {
                let at = paper.due(run.interval_ms(kind));
                paper.age == Age::Stale && (over || at <= now.mono_ms)
            };
            let papers = run.papers;
            let (dot, status) = (
                due(&papers.dot, Kind::Dot),
                due(&papers.status, Kind::Status),
            );
            if dot {
                self.write_paper(now, id, Kind::Dot);
            }
            if status {
                self.write_paper(now, id, Kind::Status);
            }
            if self.runs.get(&id).is_none_or(|run| !run.papers.is_stale()) {
                self.chronicle.stale.remove(&id);
            }
        }
    }

    fn write_paper(&mut self, now: Now, id: u32, kind: Kind) {
        let run = &self.runs[&id];
        let next_s = match run.state {
            RunState::Running => Some(run.interval_ms(kind) / 1000),
            RunState::Completed { .. } | RunState::Failed { .. } | RunState::Removed { .. } => None,
        };
        let papers = &run.dag.papers;
        let written = match kind {
            Kind::Dot => papers.dot.as_ref().map(|dot| {
                let at = picture::ctime(now.wall_ms, self.chronicle.offset_s);
                let text = picture::text(run, &at).into_bytes();
                let how = match dot.overwrite {
                    true => Write::Replace(text),
                    false => Write::Beside(text),
                };
                (dot.file.clone(), how)
            }),
            Kind::Status => papers.node_status.as_ref().map(|file| {
                let text = status::text(self, run, now, next_s);
                (file.file.clone(), Write::Replace(text.into_bytes()))
            }),
        };
        if let Some((file, how)) = written {
            self.write_file(id, &file, how);
        }
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        // A file that is always written is due again as soon as its interval is over.
        let status = run.dag.papers.node_status.as_ref();
        let always = status.is_some_and(|file| file.always) && next_s.is_some();
        let (paper, age) = match kind {
            Kind::Dot => (&mut run.papers.dot, Age::Fresh),
            Kind::Status if always => (&mut run.papers.status, Age::Stale),
            Kind::Status => (&mut run.papers.status, Age::Fresh),
        };
        let written_mono_ms = Some(now.mono_ms);
        *paper = Paper {
            written_mono_ms,
            age,
        };
    }
}

// === impl Run ===

impl Run {
    /// Between two writings of a paper, at least.
    fn interval_ms(&self, kind: Kind) -> u64 {
        let nodes = self.nodes.len();
        let own = match nodes > SMALL_NODES_MAX {
            true => LARGE_INTERVAL_MS.max((nodes / NODES_PER_MS) as u64),
            false => 0,
        };
        let asked = match (kind, &self.dag.papers.node_status) {
            (Kind::Status, Some(file)) if file.always => {
                ALWAYS_INTERVAL_MS.max(u64::from(file.interval_s) * 1000)
            }
            (Kind::Status, Some(file)) => u64::from(file.interval_s) * 1000,
            (Kind::Dot, _) | (Kind::Status, None) => 0,
        };
        own.max(asked)
    }

    fn paper_due(&self) -> Option<u64> {
        let over = self.state != RunState::Running;
        let due = |paper: &Paper, kind| match (paper.age, over) {
            (Age::Fresh, _) => None,
            (Age::Stale, true) => Some(0),
            (Age::Stale, false) => Some(paper.due(self.interval_ms(kind))),
        };
        let dot = due(&self.papers.dot, Kind::Dot);
        let status = due(&self.papers.status, Kind::Status);
        [dot, status].into_iter().flatten().min()
    }
}

// === impl PaperState ===

impl PaperState {
    fn is_stale(&self) -> bool {
        self.dot.age == Age::Stale || self.status.age == Age::Stale
    }
}

// === impl Paper ===

impl Paper {
    fn due(&self, interval_ms: u64) -> u64 {
        self.written_mono_ms
            .map_or(0, |written| written.saturating_add(interval_ms))
    }
}
