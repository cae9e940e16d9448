//! What a study is asked to do, and what it is told.
//!
//! Holds the arguments of [`suggest`](crate::suggest()) and their checks. Refuses to hold state.

use serde::{Deserialize, Serialize};

use crate::point::{Point, PointError};
use crate::space::Space;

/// Largest `startup`.
pub const STARTUP_MAX: usize = 1024;

/// Which end of the objective is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    #[default]
    Minimize,
    Maximize,
}

/// What is known about the noise of the objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    /// Nothing: its size is learnt, and may be none.
    #[default]
    Unknown,
    /// The same point always gives the same value.
    Exact,
    /// Values scatter: its size is learnt and expected to matter.
    Noisy,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The objective's value. A value that is not finite counts as [`Outcome::Failed`].
    Value(f64),
    /// The point could not be evaluated. Such points teach where not to look; they have no value.
    Failed,
}

/// One finished trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub point: Point,
    pub outcome: Outcome,
}

/// A tuning problem: everything that shapes the suggestions besides the trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub space: Space,
    #[serde(default)]
    pub goal: Goal,
    /// Names the random streams. Equal seeds and equal trials give equal suggestions.
    #[serde(default)]
    pub seed: u64,
    /// How many trials fill the space before the model is asked, `1..=STARTUP_MAX`.
    pub startup: usize,
    /// Trial 0, usually the parameters in use.
    #[serde(default)]
    pub prior: Option<Point>,
    #[serde(default)]
    pub noise: Noise,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    #[error("startup is {found}; it must be 1 to {STARTUP_MAX}")]
    Startup { found: usize },
    #[error("the prior point does not belong to the space")]
    Prior(#[source] PointError),
}

impl Config {
    /// A problem with the default startup for a budget of that many trials.
    pub fn new(space: Space, goal: Goal, seed: u64, budget: Option<usize>) -> Config {
        let startup = default_startup(space.params().len(), budget);
        Config {
            space,
            goal,
            seed,
            startup,
            prior: None,
            noise: Noise::default(),
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=STARTUP_MAX).contains(&self.startup) {
            return Err(ConfigError::Startup {
                found: self.startup,
            });
        }
        if let Some(prior) = &self.prior {
            self.space.check(prior).map_err(ConfigError::Prior)?;
        }
        Ok(())
    }
}

impl Outcome {
    /// The finite value, if there is one.
    pub fn value(self) -> Option<f64> {
        match self {
            Outcome::Value(value) if value.is_finite() => Some(value),
            Outcome::Value(_) | Outcome::Failed => None,
        }
    }
}

/// `max(4, min(dims + 2, budget / 3))`: enough to see a trend, a third of the budget at most.
pub fn default_startup(dims: usize, budget: Option<usize>) -> usize {
    let third = budget.map_or(usize::MAX, |budget| budget / 3);
    (dims + 2).min(third).max(4)
}
