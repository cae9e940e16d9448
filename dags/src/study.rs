//! Study files: the metric, the budget and the space of one tuning problem, in TOML.
//!
//! Knows nothing of optimizers: the space here is what was written, checked. Ranges are closed.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostics;

mod read;
mod value;

pub use value::ParamValue;

/// Trials of one study.
pub const TRIALS_MAX: u32 = 100_000;
/// Parameters of one space.
pub const PARAMS_MAX: usize = 100;
/// Choices of one categorical parameter.
pub const CHOICES_MAX: usize = 1_000;
/// Bytes of a study file.
pub const STUDY_BYTES_MAX: usize = 1 << 20;

/// A checked study file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudySpec {
    /// The file, named as it was reached.
    pub file: String,
    /// The name of the number a trial reports.
    pub metric: String,
    pub goal: Goal,
    /// Trials in all, 1..=[`TRIALS_MAX`].
    pub trials: u32,
    /// Trials that may run at once, 1..=`trials`.
    pub parallel: u32,
    /// All random numbers of the study come from it and the study's name.
    pub seed: u64,
    /// Studies of one family learn from each other.
    pub family: Option<String>,
    /// Failed trials after which the study fails; absent: it goes on to the end of its budget.
    pub failures_max: Option<u32>,
    /// Trials drawn before the model is asked; absent: the optimizer's choice.
    pub startup: Option<u32>,
    pub space: Space,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    Minimize,
    Maximize,
}

/// The parameters of a study, in the order of the file. Names are distinct.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Space {
    pub params: Vec<Param>,
}

/// One parameter of a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// `[A-Za-z_][A-Za-z0-9_]*`: it is the name of a macro.
    pub name: String,
    pub kind: ParamKind,
    /// Present for all parameters or for none; then the first trial takes the defaults.
    pub default: Option<ParamValue>,
}

/// What a parameter may be. `low < high` always; `Log` only where `low > 0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ParamKind {
    Float {
        low: f64,
        high: f64,
        scale: Scale,
    },
    Int {
        low: i64,
        high: i64,
        scale: Scale,
    },
    /// At least one choice, all distinct when printed.
    Categorical {
        choices: Vec<ParamValue>,
    },
}

/// How a range is walked: evenly, or evenly in its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    Linear,
    Log,
}

impl StudySpec {
    /// Reads a study file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostics> {
        read::study(file, text)
    }

    /// The parameters of the first trial, when the file gives defaults: one per parameter, in
    /// order.
    #[must_use]
    pub fn defaults(&self) -> Option<Vec<(String, ParamValue)>> {
        self.space
            .params
            .iter()
            .map(|param| {
                param
                    .default
                    .clone()
                    .map(|value| (param.name.clone(), value))
            })
            .collect()
    }

    /// Some point of the space: the defaults, or else the low ends and first choices. What a
    /// checker fills in for parameters that no optimizer has chosen yet.
    #[must_use]
    pub fn sample(&self) -> Vec<(String, ParamValue)> {
        self.space
            .params
            .iter()
            .map(|param| {
                let value = param.default.clone().unwrap_or_else(|| param.kind.first());
                (param.name.clone(), value)
            })
            .collect()
    }
}

impl Space {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }
}

impl ParamKind {
    /// The low end, or the first choice.
    #[must_use]
    pub fn first(&self) -> ParamValue {
        match self {
            Self::Float { low, .. } => ParamValue::Float(*low),
            Self::Int { low, .. } => ParamValue::Int(*low),
            Self::Categorical { choices } => {
                choices.first().cloned().unwrap_or(ParamValue::Bool(false))
            }
        }
    }

    /// Whether a value lies in the range or among the choices. An integer is a value of a float
    /// parameter.
    #[must_use]
    pub fn contains(&self, value: &ParamValue) -> bool {
        match self {
            Self::Float { low, high, .. } => value
                .as_f64()
                .is_some_and(|number| (*low..=*high).contains(&number)),
            Self::Int { low, high, .. } => match value {
                ParamValue::Int(number) => (*low..=*high).contains(number),
                ParamValue::Float(_) | ParamValue::Bool(_) | ParamValue::Text(_) => false,
            },
            Self::Categorical { choices } => choices.contains(value),
        }
    }
}
