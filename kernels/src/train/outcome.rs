//! What a training hands back: the best model, its metrics, and how it went.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::metrics::{Goal, Metrics};
use super::settings::TrainSettings;
use crate::model::{Model, ModelError};

/// The best epoch of a training.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The validation metric that decided.
    pub metric: String,
    /// Which way it is better.
    pub goal: Goal,
    /// The epoch whose weights the model has, from 1.
    pub best_epoch: usize,
    /// Epochs that were run.
    pub epochs: usize,
    /// Why it ended.
    pub stopped: Stopped,
    /// The model's metrics on the validation part.
    pub validation: Metrics,
    /// The model's metrics on the test part, if there was one.
    pub test: Option<Metrics>,
    /// Where it ran, and why there.
    pub device: String,
    /// Training rows per second over all epochs, validation left out.
    pub samples_per_s: f64,
    /// Wall time from the encoded data to the model.
    pub seconds: f64,
    /// What was asked for.
    pub settings: TrainSettings,
    /// The trained network with all that prediction needs.
    pub model: Model,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// All epochs were run.
    AllEpochs,
    /// `patience` epochs brought no better metric.
    NoImprovement,
    /// The callback asked for it.
    Asked,
}

impl Outcome {
    /// The deciding metric's value on the validation part.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.validation[&self.metric]
    }

    /// Writes the model as safetensors, whole or not at all.
    pub fn save_model(&self, path: &Path) -> Result<(), ModelError> {
        self.model.save(path)
    }

    /// The outcome for a metrics file. Keys: `metric`, `goal`, `value`, `best_epoch`, `epochs`,
    /// `stopped`, `validation`, `test` (null without a test part), `device`, `samples_per_s`,
    /// `seconds`, `parameters`, `settings`.
    #[must_use]
    pub fn metrics_json(&self) -> Value {
        let goal = match self.goal {
            Goal::Minimize => "minimize",
            Goal::Maximize => "maximize",
        };
        json!({
            "metric": self.metric,
            "goal": goal,
            "value": self.value(),
            "best_epoch": self.best_epoch,
            "epochs": self.epochs,
            "stopped": self.stopped,
            "validation": self.validation,
            "test": self.test,
            "device": self.device,
            "samples_per_s": self.samples_per_s,
            "seconds": self.seconds,
            "parameters": self.model.parameters(),
            "settings": self.settings,
        })
    }

    /// Writes [`Outcome::metrics_json`], whole or not at all.
    pub fn save_metrics(&self, path: &Path) -> Result<(), ModelError> {
        let mut text = format!("{:#}", self.metrics_json());
        text.push('\n');
        crate::file::write_atomically(path, |out| std::io::Write::write_all(out, text.as_bytes()))
            .map_err(|source| ModelError::Write {
                file: path.display().to_string(),
                source,
            })
    }
}
