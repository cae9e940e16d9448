//! The search space: an ordered list of named parameters, checked once when it is built.
//!
//! Holds what a parameter may be and which values belong to it. Refuses to hold how values become
//! numbers for the model (`axis`) and everything about trials.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::axis::Axis;

/// Most parameters a space may have.
pub const PARAMS_MAX: usize = 64;
/// Most choices a categorical parameter may have.
pub const CHOICES_MAX: usize = 1024;
/// Longest name of a parameter or a choice, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Largest magnitude of an integer parameter's bounds: above it, `f64` no longer holds every
/// integer.
pub const INT_MAGNITUDE_MAX: i64 = 1 << 53;

/// How distance is measured along a numeric parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Equal differences are equal distances.
    #[default]
    Linear,
    /// Equal ratios are equal distances; needs `low > 0`.
    Log,
}

/// What a parameter's values are. Bounds are inclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum ParamKind {
    /// A real number in `low..=high`; with a step, one of `low, low + step, …` up to `high`.
    Float {
        low: f64,
        high: f64,
        #[serde(default)]
        scale: Scale,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
    },
    /// An integer in `low..=high`; with a step, one of `low, low + step, …` up to `high`.
    Int {
        low: i64,
        high: i64,
        #[serde(default)]
        scale: Scale,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<i64>,
    },
    /// One of some names without an order.
    Categorical { choices: Vec<String> },
}

/// One parameter of a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    pub name: String,
    #[serde(flatten)]
    pub kind: ParamKind,
}

/// An ordered list of parameters that passed [`Space::new`]. In JSON, the list itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Param>", into = "Vec<Param>")]
pub struct Space {
    params: Vec<Param>,
    axes: Vec<Axis>,
}

/// Why a list of parameters is not a space.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    #[error("the space has no parameters")]
    Empty,
    #[error("the space has {count} parameters; at most {PARAMS_MAX} are allowed")]
    TooManyParams { count: usize },
    #[error("parameter {index} has an empty name")]
    BlankName { index: usize },
    #[error(
        "the name of parameter {index} has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed"
    )]
    NameTooLong { index: usize, bytes: usize },
    #[error("parameter {name:?} is declared twice")]
    DuplicateName { name: String },
    #[error("parameter {name:?}: bounds must be finite, not {low} and {high}")]
    NotFinite { name: String, low: f64, high: f64 },
    #[error("parameter {name:?}: low {low} is not below high {high}")]
    LowNotBelowHigh { name: String, low: f64, high: f64 },
    #[error("parameter {name:?}: a log scale needs low > 0, not {low}")]
    LogNeedsPositive { name: String, low: f64 },
    #[error("parameter {name:?}: integer bound {bound} is beyond ±{INT_MAGNITUDE_MAX}")]
    IntTooLarge { name: String, bound: i64 },
    #[error("parameter {name:?}: step {step} must be above 0 and at most high - low")]
    BadStep { name: String, step: f64 },
    #[error("parameter {name:?} has no choices")]
    NoChoices { name: String },
    #[error("parameter {name:?} has {count} choices; at most {CHOICES_MAX} are allowed")]
    TooManyChoices { name: String, count: usize },
    #[error("parameter {name:?}: a choice has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")]
    ChoiceTooLong { name: String, bytes: usize },
    #[error("parameter {name:?}: choice {choice:?} is given twice")]
    DuplicateChoice { name: String, choice: String },
}

impl Space {
    /// Checks the parameters and keeps their order, which is the order of every point.
    ///
    /// # Errors
    /// The first fault found, see [`SpaceError`].
    pub fn new(params: Vec<Param>) -> Result<Space, SpaceError> {
        if params.is_empty() {
            return Err(SpaceError::Empty);
        }
        if params.len() > PARAMS_MAX {
            return Err(SpaceError::TooManyParams {
                count: params.len(),
            });
        }
        let mut names = BTreeSet::new();
        for (index, param) in params.iter().enumerate() {
            if param.name.is_empty() {
                return Err(SpaceError::BlankName { index });
            }
            if param.name.len() > NAME_BYTES_MAX {
                return Err(SpaceError::NameTooLong {
                    index,
                    bytes: param.name.len(),
                });
            }
            if !names.insert(param.name.as_str()) {
                return Err(SpaceError::DuplicateName {
                    name: param.name.clone(),
                });
            }
            check_kind(&param.name, &param.kind)?;
        }
        let axes = params.iter().map(|param| Axis::new(&param.kind)).collect();
        Ok(Space { params, axes })
    }

    /// The parameters, in the order of every point.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// How many different points there are; `None` if a parameter is continuous or the count does
    /// not fit.
    pub fn size(&self) -> Option<u64> {
        self.axes
            .iter()
            .try_fold(1u64, |product, axis| product.checked_mul(axis.levels()?))
    }

    pub(crate) fn axes(&self) -> &[Axis] {
        &self.axes
    }
}

impl Param {
    /// A real number in `low..=high`.
    pub fn float(name: impl Into<String>, low: f64, high: f64, scale: Scale) -> Param {
        Param {
            name: name.into(),
            kind: ParamKind::Float {
                low,
                high,
                scale,
                step: None,
            },
        }
    }

    /// An integer in `low..=high`.
    pub fn int(name: impl Into<String>, low: i64, high: i64, scale: Scale) -> Param {
        Param {
            name: name.into(),
            kind: ParamKind::Int {
                low,
                high,
                scale,
                step: None,
            },
        }
    }

    /// One of some names.
    pub fn categorical<C: Into<String>>(
        name: impl Into<String>,
        choices: impl IntoIterator<Item = C>,
    ) -> Param {
        let choices = choices.into_iter().map(Into::into).collect();
        Param {
            name: name.into(),
            kind: ParamKind::Categorical { choices },
        }
    }
}

impl TryFrom<Vec<Param>> for Space {
    type Error = SpaceError;

    fn try_from(params: Vec<Param>) -> Result<Space, SpaceError> {
        Space::new(params)
    }
}

impl From<Space> for Vec<Param> {
    fn from(space: Space) -> Vec<Param> {
        space.params
    }
}

fn check_kind(name: &str, kind: &ParamKind) -> Result<(), SpaceError> {
    match kind {
        ParamKind::Float {
            low,
            high,
            scale,
            step,
        } => check_range(name, *low, *high, *scale, *step),
        ParamKind::Int {
            low,
            high,
            scale,
            step,
        } => {
            for bound in [*low, *high] {
                if !(-INT_MAGNITUDE_MAX..=INT_MAGNITUDE_MAX).contains(&bound) {
                    return Err(SpaceError::IntTooLarge {
                        name: name.to_owned(),
                        bound,
                    });
                }
            }
            check_range(
                name,
                *low as f64,
                *high as f64,
                *scale,
                step.map(|step| step as f64),
            )
        }
        ParamKind::Categorical { choices } => check_choices(name, choices),
    }
}

fn check_range(
    name: &str,
    low: f64,
    high: f64,
    scale: Scale,
    step: Option<f64>,
) -> Result<(), SpaceError> {
    let name = || name.to_owned();
    if !low.is_finite() || !high.is_finite() {
        return Err(SpaceError::NotFinite {
            name: name(),
            low,
            high,
        });
    }
    if low >= high {
        return Err(SpaceError::LowNotBelowHigh {
            name: name(),
            low,
            high,
        });
    }
    if scale == Scale::Log && low <= 0.0 {
        return Err(SpaceError::LogNeedsPositive { name: name(), low });
    }
    match step {
        Some(step) if !(step > 0.0 && step / 2.0 <= high / 2.0 - low / 2.0) => {
            Err(SpaceError::BadStep { name: name(), step })
        }
        Some(_) | None => Ok(()),
    }
}

fn check_choices(name: &str, choices: &[String]) -> Result<(), SpaceError> {
    if choices.is_empty() {
        return Err(SpaceError::NoChoices {
            name: name.to_owned(),
        });
    }
    if choices.len() > CHOICES_MAX {
        return Err(SpaceError::TooManyChoices {
            name: name.to_owned(),
            count: choices.len(),
        });
    }
    let mut seen = BTreeSet::new();
    for choice in choices {
        if choice.len() > NAME_BYTES_MAX {
            return Err(SpaceError::ChoiceTooLong {
                name: name.to_owned(),
                bytes: choice.len(),
            });
        }
        if !seen.insert(choice) {
            let choice = choice.clone();
            return Err(SpaceError::DuplicateChoice {
                name: name.to_owned(),
                choice,
            });
        }
    }
    Ok(())
}
