//! One claim's state. Knows nothing of other claims, sessions or messages.

use std::collections::VecDeque;

use proto::nouns::{Ended, Report, WorkOrder};

/// How far a claim has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was sent ahead, and the claim in front of it still has the resources.
    Waiting,
    /// Its inputs are being fetched.
    Staging,
    /// Its process runs, or its outputs are on their way.
    Running,
    /// It was asked to end.
    Vacating,
    /// Nobody wants it any more; it is only waited for, and never spoken of.
    Doomed,
    /// It ended, and the manager has not yet said that it knows.
    Finished,
}

/// A claim's state with its data. Waiting claims keep their order; staging, running and ending claims remember how they are ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Claim {
    Waiting(Box<WorkOrder>),
    Staging(Ending),
    Running {
        ending: Ending,
        unsaid: VecDeque<String>,
    },
    Vacating(Ending),
    Doomed,
    Finished(Box<Report>),
}

/// How a claim's process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub signal: i32,
    pub grace_ms: u64,
}

impl Ending {
    /// At once: SIGKILL, and no time to save anything.
    pub const KILL: Ending = Ending {
        signal: 9,
        grace_ms: 0,
    };

    /// As its order says.
    pub fn of(order: &WorkOrder) -> Ending {
        Ending {
            signal: order.kill_signal,
            grace_ms: order.kill_grace_ms,
        }
    }
}

impl Claim {
    pub fn phase(&self) -> Phase {
        match self {
            Claim::Waiting(_) => Phase::Waiting,
            Claim::Staging(_) => Phase::Staging,
            Claim::Running { .. } => Phase::Running,
            Claim::Vacating(_) => Phase::Vacating,
            Claim::Doomed => Phase::Doomed,
            Claim::Finished(_) => Phase::Finished,
        }
    }

    /// Whether the manager is told of it.
    pub fn is_spoken_of(&self) -> bool {
        self.phase() != Phase::Doomed
    }
}

/// A report of an attempt that never had a process.
pub(crate) fn report_without_process(at_ms: u64, ended: Ended) -> Report {
    Report::new(ended, at_ms, at_ms)
}
