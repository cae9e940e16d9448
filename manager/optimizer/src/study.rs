//! Ask and tell: a study that remembers its trials.
//!
//! Holds the trials and the recommendation. The suggestions are [`suggest`](crate::suggest())'s;
//! a study restored from its trials continues as if it had never stopped.

use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError, Goal, Noise, Observation, Outcome};
use crate::point::{Point, PointError};
use crate::suggest::{objective_of, suggest};

/// Most trials one study holds.
pub const TRIALS_MAX: usize = 100_000;

/// A suggested point with the number it is told under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub id: u64,
    pub point: Point,
}

/// A finished trial with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    pub id: u64,
    pub point: Point,
    /// As told, in the objective's own units.
    pub value: f64,
}

/// A tuning problem and its trials, numbered from 0 in the order they were asked for.
#[derive(Clone, Debug)]
pub struct Study {
    config: Config,
    trials: Vec<(Point, Option<Outcome>)>,
}

/// Why a study refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StudyError {
    #[error("trial {id} was never asked for")]
    Unknown { id: u64 },
    #[error("trial {id} was told already")]
    ToldTwice { id: u64 },
    #[error("a study holds at most {TRIALS_MAX} trials")]
    TooManyTrials,
    #[error("trial {id} does not belong to the space")]
    Point {
        id: u64,
        #[source]
        source: PointError,
    },
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Study {
    /// A study without trials.
    ///
    /// # Errors
    /// If the configuration does not pass [`Config::check`].
    pub fn new(config: Config) -> Result<Study, StudyError> {
        config.check()?;
        Ok(Study {
            config,
            trials: Vec::new(),
        })
    }

    /// A study with the trials of an earlier one, in the order of their ids; no outcome means that
    /// the trial still runs.
    ///
    /// # Errors
    /// If the configuration or a point is not valid, or there are too many trials.
    pub fn restore(
        config: Config,
        trials: impl IntoIterator<Item = (Point, Option<Outcome>)>,
    ) -> Result<Study, StudyError> {
        let mut study = Study::new(config)?;
        for (point, outcome) in trials {
            let id = study.trials.len() as u64;
            if study.trials.len() == TRIALS_MAX {
                return Err(StudyError::TooManyTrials);
            }
            let point = study
                .config
                .space
                .check(&point)
                .map_err(|source| StudyError::Point { id, source })?;
            study.trials.push((point, outcome));
        }
        Ok(study)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The next `n` trials; fewer where [`suggest`](crate::suggest()) or [`TRIALS_MAX`] ends them.
    pub fn ask(&mut self, n: usize) -> Vec<Trial> {
        let first = self.trials.len();
        let n = n.min(TRIALS_MAX - first);
        let pending: Vec<Point> = self
            .trials
            .iter()
            .filter(|(_, outcome)| outcome.is_none())
            .map(|(point, _)| point.clone())
            .collect();
        let points = suggest(&self.config, &self.history(), &pending, first as u64, n);
        self.trials
            .extend(points.iter().map(|point| (point.clone(), None)));
        let ids = first as u64..;
        ids.zip(points)
            .map(|(id, point)| Trial { id, point })
            .collect()
    }

    /// Says how a trial ended. Trials may be told in any order; the order changes nothing.
    ///
    /// # Errors
    /// If the trial was never asked for, or was told already.
    pub fn tell(&mut self, id: u64, outcome: Outcome) -> Result<(), StudyError> {
        let trial = usize::try_from(id)
            .ok()
            .and_then(|at| self.trials.get_mut(at));
        let Some((_, told)) = trial else {
            return Err(StudyError::Unknown { id });
        };
        if told.is_some() {
            return Err(StudyError::ToldTwice { id });
        }
        *told = Some(outcome);
        Ok(())
    }

    /// The trial with the best value told; the first of equals. `None` before there is a value.
    pub fn best(&self) -> Option<Best> {
        best(&self.config, &self.finished())
    }

    /// The trial to recommend, see [`incumbent`].
    pub fn incumbent(&self) -> Option<Best> {
        incumbent(&self.config, &self.finished())
    }

    /// The trials that ended, as [`suggest`](crate::suggest()) takes them.
    pub fn history(&self) -> Vec<Observation> {
        self.finished()
            .into_iter()
            .map(|(_, observation)| observation)
            .collect()
    }

    fn finished(&self) -> Vec<(u64, Observation)> {
        let trials = (0..).zip(&self.trials);
        trials
            .filter_map(|(id, (point, outcome))| {
                Some((
                    id,
                    Observation {
                        point: point.clone(),
                        outcome: (*outcome)?,
                    },
                ))
            })
            .collect()
    }
}

/// The trial with the best value; the first of equals.
pub fn best(config: &Config, trials: &[(u64, Observation)]) -> Option<Best> {
    let mut best: Option<Best> = None;
    for (id, observation) in trials {
        let Some(value) = observation.outcome.value() else {
            continue;
        };
        let is_better = best.as_ref().is_none_or(|best| match config.goal {
            Goal::Minimize => value < best.value,
            Goal::Maximize => value > best.value,
        });
        if is_better {
            best = Some(Best {
                id: *id,
                point: observation.point.clone(),
                value,
            });
        }
    }
    best
}

/// The trial to recommend: the best one told if values are exact, otherwise the one whose mean
/// under the model is best, because the best of noisy values is mostly the luckiest. Its value is
/// the one told. Falls back to [`best`] when there is no model.
pub fn incumbent(config: &Config, trials: &[(u64, Observation)]) -> Option<Best> {
    match config.noise {
        Noise::Exact => return best(config, trials),
        Noise::Unknown | Noise::Noisy => {}
    }
    let history: Vec<Observation> = trials
        .iter()
        .map(|(_, observation)| observation.clone())
        .collect();
    let Some(model) = objective_of(config, &history) else {
        return best(config, trials);
    };
    let mean = |observation: &Observation| -> Option<f64> {
        observation.outcome.value()?;
        Some(
            model
                .predict(&config.space.encode(&observation.point)?)
                .means[0],
        )
    };
    let rated = trials
        .iter()
        .filter_map(|(id, observation)| Some((mean(observation)?, *id, observation)));
    let (_, id, observation) = rated.min_by(|left, right| left.0.total_cmp(&right.0))?;
    let value = observation.outcome.value()?;
    Some(Best {
        id,
        point: observation.point.clone(),
        value,
    })
}
