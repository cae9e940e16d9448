//! Studies: the trials of a tuning problem and what each of them gave. Which trial comes next is
//! the optimizer's business, which is asked from outside.

use dags::study::{Goal, ParamValue, StudySpec};
use serde::{Deserialize, Serialize};

/// One point of a study's space: names and values, in the space's order.
pub type Params = Vec<(String, ParamValue)>;

/// The trials of one study node. Its specification is the DAG's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Study {
    /// Trial n is proc n of the node's cluster.
    pub trials: Vec<Trial>,
    pub(crate) asking: Asking,
}

/// Whether the optimizer was asked and did not answer yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asking {
    #[default]
    Nothing,
    Asked,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub params: Params,
    pub state: TrialState,
}

/// What a trial gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrialState {
    /// Its job waits or runs.
    Pending,
    /// The metric, finite.
    Value(f64),
    Failed {
        reason: String,
    },
    /// Failed in an earlier attempt of the node: it counts neither against the budget nor against
    /// `failures_max`, and the optimizer still knows where not to look.
    Forgiven {
        reason: String,
    },
}

impl Study {
    /// The best trial so far: its number and value. Of equals, the first.
    pub fn incumbent(&self, goal: Goal) -> Option<(u32, f64)> {
        let mut best: Option<(u32, f64)> = None;
        for (number, trial) in (0..).zip(&self.trials) {
            let TrialState::Value(value) = trial.state else {
                continue;
            };
            let better = best.is_none_or(|(_, best)| match goal {
                Goal::Minimize => value < best,
                Goal::Maximize => value > best,
            });
            if better {
                best = Some((number, value));
            }
        }
        best
    }

    pub fn pending(&self) -> u32 {
        self.count(|state| matches!(state, TrialState::Pending))
    }

    pub fn failed(&self) -> u32 {
        self.count(|state| matches!(state, TrialState::Failed { .. }))
    }

    /// How many more trials may start now.
    pub(crate) fn wanted(&self, spec: &StudySpec) -> u32 {
        let started =
            u32::try_from(self.trials.len()).expect("a study has at most TRIALS_MAX trials");
        let room = spec.parallel.saturating_sub(self.pending());
        room.min(spec.trials.saturating_sub(started - self.forgiven()))
    }

    /// Whether no further trial will start or end.
    pub(crate) fn ended(&self, spec: &StudySpec) -> bool {
        let started = self.trials.len() - self.forgiven() as usize;
        self.pending() == 0 && (started >= spec.trials as usize || self.gave_up(spec))
    }

    /// Begins the node's next attempt: what failed, or was under way, is tried again with other
    /// parameters. Gives the trials that changed.
    pub(crate) fn forgive(&mut self) -> Vec<u32> {
        let mut changed = Vec::new();
        for (number, trial) in (0..).zip(&mut self.trials) {
            let reason = match &trial.state {
                TrialState::Failed { reason } => reason.clone(),
                TrialState::Pending => "was stopped".to_owned(),
                TrialState::Value(_) | TrialState::Forgiven { .. } => continue,
            };
            trial.state = TrialState::Forgiven { reason };
            changed.push(number);
        }
        changed
    }

    fn forgiven(&self) -> u32 {
        self.count(|state| matches!(state, TrialState::Forgiven { .. }))
    }

    /// Whether too many trials failed.
    pub(crate) fn gave_up(&self, spec: &StudySpec) -> bool {
        spec.failures_max.is_some_and(|max| self.failed() > max)
    }

    /// Why the last trial that failed did, for people.
    pub(crate) fn last_failure(&self) -> &str {
        let reason = self
            .trials
            .iter()
            .rev()
            .find_map(|trial| match &trial.state {
                TrialState::Failed { reason } | TrialState::Forgiven { reason } => {
                    Some(reason.as_str())
                }
                TrialState::Pending | TrialState::Value(_) => None,
            });
        reason.unwrap_or("gave no reason")
    }

    fn count(&self, is: impl Fn(&TrialState) -> bool) -> u32 {
        let count = self.trials.iter().filter(|trial| is(&trial.state)).count();
        u32::try_from(count).expect("a study has at most TRIALS_MAX trials")
    }
}
