//! The untouched jobs of a cluster: what state they are in together, and which they are.

use serde::{Deserialize, Serialize};

use crate::job::{Cluster, HoldCode, Proc, ProcState};

/// The state of all untouched jobs of a cluster. Held or removed together they need no records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    #[default]
    Idle,
    Held {
        code: HoldCode,
        reason: String,
        since_ms: u64,
    },
    Removed {
        reason: String,
        since_ms: u64,
    },
}

impl Cluster {
    /// How many procs are untouched, in whatever state.
    pub fn rest_count(&self) -> u64 {
        u64::from(self.count).saturating_sub(self.procs.len() as u64)
    }

    /// Untouched procs from a number on, in order: numbers without a record.
    pub fn rest_from(&self, from: u32) -> impl Iterator<Item = u32> + '_ {
        (from.max(self.fresh_from)..self.count).filter(|proc| !self.procs.contains_key(proc))
    }

    /// What an untouched proc's record would say.
    pub(crate) fn untouched(&self) -> Proc {
        let fresh = Proc::fresh(self.submitted_ms);
        match &self.rest {
            Rest::Idle => fresh,
            Rest::Held {
                code,
                reason,
                since_ms,
            } => {
                let mut held = fresh;
                held.since_ms = *since_ms;
                held.past.holds = 1;
                held.state = ProcState::Held {
                    code: *code,
                    reason: reason.clone(),
                    ending: None,
                };
                held
            }
            Rest::Removed { reason, since_ms } => Proc {
                since_ms: *since_ms,
                state: ProcState::Removed {
                    reason: reason.clone(),
                },
                ..fresh
            },
        }
    }
}

impl Rest {
    pub(crate) fn is_idle(&self) -> bool {
        *self == Rest::Idle
    }
}
