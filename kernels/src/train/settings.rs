//! What a training is asked to do: every setting with its range and its default.
//!
//! Settings are plain values. [`TrainSettings::apply_params`] sets them by name from JSON values,
//! as a trial's parameters come; [`PARAMETERS`] is the one table of names, ranges and help.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Missing, Schema, Task};
use crate::device::DeviceChoice;
use crate::network::Activation;

/// Most hidden layers.
pub const LAYERS_MAX: usize = 32;
/// Most units of one hidden layer.
pub const WIDTH_MAX: usize = 16_384;
/// Most rows of a batch.
pub const BATCH_ROWS_MAX: usize = 1 << 20;
/// Most passes over the training part.
pub const EPOCHS_MAX: usize = 1_000_000;
/// Most threads of the matrix product on the CPU.
pub const THREADS_MAX: usize = 1_024;

/// Everything a training can be told. `Default` gives the defaults of [`PARAMETERS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Widths of the hidden layers, from the input; empty for a linear model. Not used where
    /// `width` or `layers` is set.
    pub hidden: Vec<usize>,
    /// One width for all hidden layers: with `layers`, another way to say `hidden`. Where only
    /// `layers` is set, the first of `hidden`.
    pub width: Option<usize>,
    /// Number of hidden layers. Where only `width` is set, the length of `hidden`.
    pub layers: Option<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Share of hidden units set to zero at each step of training.
    pub dropout: f64,
    /// The rule that turns gradients into steps.
    pub optimizer: Optimizer,
    /// Learning rate at the start.
    pub lr: f64,
    /// How the learning rate goes on.
    pub schedule: Schedule,
    /// Momentum of `sgd`; `adam` does not use it.
    pub momentum: f64,
    /// Weight of the penalty ½·l2·‖w‖² on weights and embeddings, added to the gradient. Biases
    /// are free.
    pub l2: f64,
    /// Rows in a step. The last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// Most passes over the training part.
    pub epochs: usize,
    /// Passes without a better validation metric before training stops; 0 never stops early.
    pub patience: usize,
    /// The validation metric that decides which epoch is best; absent: `rmse` for a regression,
    /// `logloss` for classes.
    pub metric: Option<String>,
    /// Seed of the initial weights, the order of the rows and the dropout.
    pub seed: u64,
    /// What to predict of the target.
    pub task: Task,
    /// The column to predict.
    pub target: String,
    /// Columns to take as categories whatever they look like.
    pub categorical: Vec<String>,
    /// Columns to leave out.
    pub ignore: Vec<String>,
    /// What to do with blank numbers.
    pub missing: Missing,
    /// Where to train.
    pub device: DeviceChoice,
    /// Threads of the matrix product on the CPU.
    pub threads: usize,
}

/// The rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam (Kingma and Ba, 2015) with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    #[default]
    Adam,
    /// Stochastic gradient descent with momentum: v ← momentum·v + g, w ← w − lr·v.
    Sgd,
}

/// How the learning rate goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Stays.
    #[default]
    Constant,
    /// Falls along half a cosine from `lr` to 0 over `epochs` (Loshchilov and Hutter, 2017).
    Cosine,
}

/// One setting, for help texts and messages.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name in files, flags and trial parameters.
    pub name: &'static str,
    /// What it may be.
    pub range: &'static str,
    /// What it is when nobody says.
    pub default: &'static str,
    /// One line about it.
    pub help: &'static str,
}

/// All settings by name.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    parameter("hidden", "up to 32 widths, each 1 to 16384", "[64, 32]", "hidden layers' widths"),
    parameter("width", "1 to 16384", "", "one width for all hidden layers, in place of hidden"),
    parameter("layers", "0 to 32", "", "number of hidden layers, in place of hidden"),
    parameter("activation", "relu, gelu, tanh or sigmoid", "relu", "what the hidden units do"),
    parameter("dropout", "0 to 0.9", "0", "share of hidden units dropped at each step"),
    parameter("optimizer", "adam or sgd", "adam", "how gradients become steps"),
    parameter("lr", "above 0, to 100", "0.001", "learning rate at the start"),
    parameter("schedule", "constant or cosine", "constant", "how the learning rate goes on"),
    parameter("momentum", "0 to below 1", "0.9", "momentum of sgd"),
    parameter("l2", "0 to 100", "0", "weight of the penalty on squared weights"),
    parameter("batch_size", "1 to 1048576", "128", "rows in a step"),
    parameter("epochs", "1 to 1000000", "20", "most passes over the training part"),
    parameter("patience", "0 to 1000000", "5", "passes without gain before it stops; 0: never"),
    parameter("metric", "rmse, mae, r2, logloss, accuracy or auc", "", "what picks the best epoch"),
    parameter("seed", "0 to 2^63 - 1", "1", "seed of weights, row order and dropout"),
    parameter("task", "auto, regression, binary or multiclass", "auto", "what to predict"),
    parameter("target", "a column's name", "target", "the column to predict"),
    parameter("categorical", "names of columns", "[]", "columns to take as categories"),
    parameter("ignore", "names of columns", "[]", "columns to leave out"),
    parameter("missing", "error or mean", "error", "what to do with blank numbers"),
    parameter("device", "auto, cpu, cuda or cuda:N", "auto", "where to train"),
    parameter("threads", "1 to 1024", "1", "threads of the matrix product on the CPU"),
];

const fn parameter(
    name: &'static str,
    range: &'static str,
    default: &'static str,
    help: &'static str,
) -> Parameter {
    Parameter {
        name,
        range,
        default,
        help,
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("there is no parameter `{name}`{suggestion}; parameters: {known}")]
    Unknown {
        name: String,
        suggestion: String,
        known: String,
    },
    #[error("parameter `{name}`: expected {range}, found {found}")]
    Value {
        name: &'static str,
        range: &'static str,
        found: String,
    },
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            hidden: vec![64, 32],
            width: None,
            layers: None,
            activation: Activation::Relu,
            dropout: 0.0,
            optimizer: Optimizer::Adam,
            lr: 1e-3,
            schedule: Schedule::Constant,
            momentum: 0.9,
            l2: 0.0,
            batch_size: 128,
            epochs: 20,
            patience: 5,
            metric: None,
            seed: 1,
            task: Task::Auto,
            target: "target".to_owned(),
            categorical: Vec::new(),
            ignore: Vec::new(),
            missing: Missing::Error,
            device: DeviceChoice::Auto,
            threads: 1,
        }
    }
}

impl TrainSettings {
    /// Sets parameters by name and checks the result; on an error nothing is changed.
    ///
    /// Integers may come as whole floats (`64.0`), numbers as text (`"0.01"`), lists as arrays or
    /// as text with commas (`"64,32"`). `width` or `layers` take the place of `hidden` and the
    /// other way round: the ones given here win over the ones set before.
    pub fn apply_params(&mut self, params: &BTreeMap<String, Value>) -> Result<(), SettingsError> {
        let mut changed = self.clone();
        if params.contains_key("hidden") {
            (changed.width, changed.layers) = (None, None);
        }
        for (name, value) in params {
            changed.set(name, value)?;
        }
        changed.validate()?;
        *self = changed;
        Ok(())
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let widths = self.hidden_widths();
        let widths_fit = widths.iter().all(|width| (1..=WIDTH_MAX).contains(width));
        check("hidden", widths_fit && widths.len() <= LAYERS_MAX, || {
            format!("{widths:?}")
        })?;
        let number = |name, holds: bool, found: f64| check(name, holds, || found.to_string());
        number("dropout", (0.0..=0.9).contains(&self.dropout), self.dropout)?;
        number("lr", self.lr > 0.0 && self.lr <= 100.0, self.lr)?;
        number(
            "momentum",
            (0.0..1.0).contains(&self.momentum),
            self.momentum,
        )?;
        number("l2", (0.0..=100.0).contains(&self.l2), self.l2)?;
        let count = |name, least: usize, most: usize, found: usize| {
            check(name, (least..=most).contains(&found), || found.to_string())
        };
        count("batch_size", 1, BATCH_ROWS_MAX, self.batch_size)?;
        count("epochs", 1, EPOCHS_MAX, self.epochs)?;
        count("patience", 0, EPOCHS_MAX, self.patience)?;
        count("threads", 1, THREADS_MAX, self.threads)?;
        check("target", !self.target.is_empty(), || {
            "an empty name".to_owned()
        })?;
        // JSON and TOML readers elsewhere hold integers in 63 bits.
        check("seed", i64::try_from(self.seed).is_ok(), || {
            self.seed.to_string()
        })
    }

    /// The hidden layers' widths that hold: `width` and `layers` where one is set, else `hidden`.
    #[must_use]
    pub fn hidden_widths(&self) -> Vec<usize> {
        if self.width.is_none() && self.layers.is_none() {
            return self.hidden.clone();
        }
        let width = self.width.or(self.hidden.first().copied()).unwrap_or(64);
        // One more than the limit is enough to fail the check, and bounds the memory.
        vec![width; self.layers.unwrap_or(self.hidden.len()).min(LAYERS_MAX + 1)]
    }

    /// How to read the tables' columns.
    #[must_use]
    pub fn schema(&self) -> Schema {
        Schema {
            target: self.target.clone(),
            task: self.task,
            categorical: self.categorical.clone(),
            ignore: self.ignore.clone(),
            missing: self.missing,
        }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingsError> {
        let parameter = PARAMETERS.iter().find(|parameter| parameter.name == name);
        let Some(parameter) = parameter else {
            let known = || PARAMETERS.iter().map(|parameter| parameter.name);
            return Err(SettingsError::Unknown {
                name: name.to_owned(),
                suggestion: crate::names::did_you_mean(name, known()),
                known: known().collect::<Vec<_>>().join(", "),
            });
        };
        let given = Given { parameter, value };
        match parameter.name {
            "hidden" => self.hidden = given.list(whole)?,
            "width" => self.width = Some(given.whole()?),
            "layers" => self.layers = Some(given.whole()?),
            "activation" => self.activation = given.choice()?,
            "dropout" => self.dropout = given.number()?,
            "optimizer" => self.optimizer = given.choice()?,
            "lr" => self.lr = given.number()?,
            "schedule" => self.schedule = given.choice()?,
            "momentum" => self.momentum = given.number()?,
            "l2" => self.l2 = given.number()?,
            "batch_size" => self.batch_size = given.whole()?,
            "epochs" => self.epochs = given.whole()?,
            "patience" => self.patience = given.whole()?,
            "metric" => self.metric = Some(given.text()?),
            "seed" => self.seed = given.whole()? as u64,
            "task" => self.task = given.choice()?,
            "target" => self.target = given.text()?,
            "categorical" => self.categorical = given.list(text)?,
            "ignore" => self.ignore = given.list(text)?,
            "missing" => self.missing = given.choice()?,
            "device" => self.device = given.choice()?,
            "threads" => self.threads = given.whole()?,
            other => unreachable!("`{other}` stands in the table of parameters but not here"),
        }
        Ok(())
    }
}

/// A value for a parameter, with all that a message needs.
struct Given<'a> {
    parameter: &'static Parameter,
    value: &'a Value,
}

impl Given<'_> {
    fn number(&self) -> Result<f64, SettingsError> {
        let number = match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number
            .filter(|number| number.is_finite())
            .ok_or_else(|| self.wrong())
    }

    fn whole(&self) -> Result<usize, SettingsError> {
        whole(self.value).ok_or_else(|| self.wrong())
    }

    fn text(&self) -> Result<String, SettingsError> {
        text(self.value).ok_or_else(|| self.wrong())
    }

    /// One of a closed set of words, as the settings file spells them.
    fn choice<T: for<'de> Deserialize<'de>>(&self) -> Result<T, SettingsError> {
        T::deserialize(self.value).map_err(|_| self.wrong())
    }

    fn list<T>(&self, item: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, SettingsError> {
        let items: Vec<Value> = match self.value {
            Value::Array(items) => items.clone(),
            Value::String(words) => {
                let words = words
                    .trim()
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .split(',');
                words
                    .map(str::trim)
                    .filter(|word| !word.is_empty())
                    .map(Value::from)
                    .collect()
            }
            other @ Value::Number(_) => vec![other.clone()],
            Value::Null | Value::Bool(_) | Value::Object(_) => return Err(self.wrong()),
        };
        items
            .iter()
            .map(item)
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong())
    }

    fn wrong(&self) -> SettingsError {
        let Parameter { name, range, .. } = *self.parameter;
        SettingsError::Value {
            name,
            range,
            found: self.value.to_string(),
        }
    }
}

fn whole(value: &Value) -> Option<usize> {
    // Above 2^53 a float no longer tells whole numbers apart.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| {
                let number = number.as_f64()?;
                let fits = number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&number);
                fits.then_some(number as u64)
            })
            .and_then(|number| usize::try_from(number).ok()),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn check(
    name: &'static str,
    holds: bool,
    found: impl FnOnce() -> String,
) -> Result<(), SettingsError> {
    if holds {
        return Ok(());
    }
    let range = PARAMETERS
        .iter()
        .find(|parameter| parameter.name == name)
        .expect("every check names a parameter of the table")
        .range;
    Err(SettingsError::Value {
        name,
        range,
        found: found(),
    })
}

/// Words of a closed set, read and written as the settings file spells them.
macro_rules! spelled {
    ($($kind:ty: $what:literal),* $(,)?) => {$(
        impl FromStr for $kind {
            type Err = SettingsError;

            fn from_str(text: &str) -> Result<Self, SettingsError> {
                let parameter = PARAMETERS
                    .iter()
                    .find(|parameter| parameter.name == $what)
                    .expect("every closed set is a parameter of the table");
                Given { parameter, value: &Value::from(text) }.choice()
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = serde_json::to_value(self).map_err(|_| fmt::Error)?;
                f.write_str(value.as_str().unwrap_or_default())
            }
        }
    )*};
}

spelled! {
    Activation: "activation",
    Optimizer: "optimizer",
    Schedule: "schedule",
    Task: "task",
    Missing: "missing",
}
