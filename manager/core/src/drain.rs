//! Workers that are drained: how, why, and what comes when the last job has ended. Durable, other
//! than anything else that is known of workers. What draining does to jobs is decided elsewhere.

use std::collections::BTreeMap;

use proto::nouns::WorkerName;
use serde::{Deserialize, Serialize};

/// A worker that is to take no work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub mode: DrainMode,
    /// Empty where nobody said one.
    pub reason: String,
    pub then: AfterDrain,
    pub since_ms: u64,
}

/// What becomes of the jobs that run there, in HTCondor's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DrainMode {
    /// They run to their end.
    #[default]
    Graceful,
    /// They are asked to end, and run elsewhere.
    Quick,
    /// They are killed, and run elsewhere.
    Fast,
}

/// What becomes of the worker when no job is left there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterDrain {
    /// It waits until it is resumed.
    #[default]
    Stay,
    /// It takes work again.
    Resume,
    /// It is ended, and stays drained should somebody start it again.
    Exit,
}

/// Whether a worker takes work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainState {
    Drained(Drain),
    Open,
}

/// What is asked of a worker.
#[derive(Clone, Debug)]
pub enum DrainRequest {
    Drain {
        mode: DrainMode,
        reason: String,
        then: AfterDrain,
        /// An expression; it is only drained if this holds of its slot.
        check: Option<String>,
    },
    Resume,
}

/// The drained workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drained(BTreeMap<WorkerName, Drain>);

impl DrainMode {
    pub fn name(self) -> &'static str {
        match self {
            DrainMode::Graceful => "graceful",
            DrainMode::Quick => "quick",
            DrainMode::Fast => "fast",
        }
    }
}

impl Drained {
    pub(crate) fn contains(&self, worker: &WorkerName) -> bool {
        self.0.contains_key(worker)
    }

    pub(crate) fn get(&self, worker: &WorkerName) -> Option<&Drain> {
        self.0.get(worker)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&WorkerName, &Drain)> {
        self.0.iter()
    }

    pub(crate) fn set(&mut self, worker: &WorkerName, drain: &DrainState) {
        match drain {
            DrainState::Drained(drain) => self.0.insert(worker.clone(), drain.clone()),
            DrainState::Open => self.0.remove(worker),
        };
    }
}
