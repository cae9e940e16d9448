//! Late materialization: which idle procs of a cluster are jobs by now, where its description says
//! how many there may be at a time (`max_materialize`, `max_idle`).
//!
//! A function of the procs' states and those two numbers: of the idle procs the lowest are jobs, as
//! many as there may be; nothing of it is stored. What is kept here is where they end, so that each
//! change of a state costs a step and not a walk.

use dags::submit::Materialize;

use crate::job::{Cluster, ProcState, Source, Tally};
use crate::queue::Queue;

/// What says how many jobs there may be at a time, in each of its spellings.
const NAMES: [&str; 4] = [
    "jobmaterializemaxidle",
    "materialize_max_idle",
    "max_idle",
    "max_materialize",
];

/// Where the jobs among the idle procs end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    limits: Materialize,
    /// Idle procs from here on are not jobs yet.
    end: u32,
    /// Idle procs before it.
    idle: u32,
}

/// What a change of a state did to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slid {
    /// Procs became jobs that were none: there is more to match.
    Further,
    No,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            limits: Materialize::default(),
            end: u32::MAX,
            idle: 0,
        }
    }
}

impl Window {
    fn is_open(&self) -> bool {
        self.limits == Materialize::default()
    }

    /// How many idle procs are jobs.
    fn room(&self, tally: Tally) -> u32 {
        let all = self.limits.jobs_max.unwrap_or(u32::MAX);
        let others = [tally.running, tally.held, tally.ahead];
        let left = all.saturating_sub(others.into_iter().sum());
        let idle = self.limits.idle_max.unwrap_or(u32::MAX);
        let idle = idle.saturating_sub(tally.ahead);
        (tally.idle - tally.ahead).min(left).min(idle)
    }
}

// === impl Cluster ===

impl Cluster {
    /// How many procs are in which state. Of the idle those that are jobs by now.
    pub fn tally(&self) -> Tally {
        let tally = self.tally;
        let idle = match self.window.is_open() {
            true => tally.idle,
            false => self.window.idle + tally.ahead,
        };
        Tally {
            idle,
            unmaterialized: tally.idle - idle,
            ..tally
        }
    }

    /// Whether a proc is a job by now: anything but an idle one that is not its turn yet.
    pub fn is_materialized(&self, proc: u32) -> bool {
        if self.window.is_open() || proc < self.window.end {
            return true;
        }
        let record = self.procs.get(&proc);
        record.is_some_and(|proc| proc.state != ProcState::Idle)
    }

    /// How many jobs there may be at a time.
    pub fn materialize(&self) -> Materialize {
        self.window.limits
    }

    /// Untouched procs from here on are not jobs yet.
    pub(crate) fn window_end(&self) -> u32 {
        self.window.end
    }

    /// The first idle proc from a number on that is a job.
    pub(crate) fn next_idle(&self, from: u32) -> Option<u32> {
        let end = self.window.end;
        self.idle_from(from).filter(|proc| *proc < end)
    }

    /// Sets how many there may be, and works out which.
    pub(crate) fn open_window(&mut self, limits: Materialize) {
        self.window = Window {
            limits,
            ..Window::default()
        };
        if !self.window.is_open() {
            self.window.end = 0;
            self.slide_to_room();
        }
    }

    /// Follows the change of a proc's state, which is counted already.
    pub(crate) fn slide(&mut self, proc: u32, old: &ProcState, new: &ProcState) -> Slid {
        if self.window.is_open() {
            return Slid::No;
        }
        if proc < self.window.end {
            self.window.idle -= u32::from(*old == ProcState::Idle);
            self.window.idle += u32::from(*new == ProcState::Idle);
        }
        self.slide_to_room()
    }

    fn slide_to_room(&mut self) -> Slid {
        let room = self.window.room(self.tally);
        let before = self.window.end;
        if room == self.tally.idle {
            (self.window.end, self.window.idle) = (u32::MAX, room);
        } else if self.procs.is_empty() {
            // Nobody walks through a million procs that nothing happened to.
            (self.window.end, self.window.idle) = (room, room);
        }
        while self.window.idle < room
            && let Some(next) = self.idle_from(self.window.end)
        {
            self.window.end = next.saturating_add(1);
            self.window.idle += 1;
        }
        while self.window.idle > room
            && let Some(last) = self.idle_before(self.window.end)
        {
            self.window.end = last;
            self.window.idle -= 1;
        }
        match self.window.end > before {
            true => Slid::Further,
            false => Slid::No,
        }
    }

    /// The first idle proc from a number on, job or not.
    fn idle_from(&self, from: u32) -> Option<u32> {
        let touched = self.idle.range(from..).next().copied();
        let untouched = match self.rest.is_idle() {
            true => self.rest_from(from).next(),
            false => None,
        };
        [touched, untouched].into_iter().flatten().min()
    }

    /// The last idle proc before a number.
    fn idle_before(&self, to: u32) -> Option<u32> {
        let touched = self.idle.range(..to).next_back().copied();
        let mut untouched =
            (self.fresh_from..to.min(self.count)).filter(|proc| !self.procs.contains_key(proc));
        let untouched = match self.rest.is_idle() {
            true => untouched.next_back(),
            false => None,
        };
        [touched, untouched].into_iter().flatten().max()
    }
}

// === impl Queue ===

impl Queue {
    /// How many jobs of a cluster its description wants at a time. Its items are known. A study
    /// says itself how many trials there are.
    pub(crate) fn materialize_of(&self, cluster: &Cluster) -> Materialize {
        let given = |name: &str| NAMES.contains(&name.to_ascii_lowercase().as_str());
        let says = match cluster.source {
            Source::Study { .. } => false,
            Source::User | Source::Node { .. } => {
                self.submit_of(cluster).may_assign(&NAMES)
                    || cluster.macros.iter().any(|entry| given(&entry.name))
            }
        };
        let spec = says.then(|| self.shared_spec(cluster, 0).ok()).flatten();
        spec.map(|spec| spec.materialize).unwrap_or_default()
    }
}
