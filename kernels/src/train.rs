//! Training: tables and settings in, the best model and its metrics out.
//!
//! [`train`] is the one door. Progress goes out through a callback, which may also stop the
//! training; files are written only by [`Outcome::save_model`]. It knows nothing of who asks.
//!
//! Submodules: `settings` (what can be said), `run` (the epoch loop over any device), `metrics`
//! (scores of predictions, on the host, in f64), `outcome` (what is handed back).

mod metrics;
mod outcome;
mod run;
mod settings;

use std::ops::ControlFlow;
use std::path::PathBuf;

pub use metrics::{Goal, Metrics, score};
pub use outcome::{Outcome, Stopped};
pub use settings::{
    BATCH_ROWS_MAX, EPOCHS_MAX, LAYERS_MAX, Optimizer, PARAMETERS, Parameter, Schedule,
    SettingsError, THREADS_MAX, TrainSettings, WIDTH_MAX,
};

pub(crate) use run::{SCORED_ROWS, outputs};

use crate::data::{DataError, Encoded, Encoder, Table};
use crate::device::DeviceError;

/// The tables to train on, each `.csv` or `.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// What the weights and the statistics are learned from.
    pub train: PathBuf,
    /// What picks the best epoch and stops the training.
    pub validation: PathBuf,
    /// What nothing is chosen by; scored once, at the end.
    pub test: Option<PathBuf>,
}

/// One finished epoch.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct EpochMetrics {
    /// From 1.
    pub epoch: usize,
    /// Mean loss over the epoch's batches as they were met, without the L2 penalty: squared error
    /// in units of the target squared, or log loss in nats.
    pub train_loss: f64,
    /// Metrics of the validation part by name: `rmse`, `mae`, `r2` for a regression; `logloss`,
    /// `accuracy` for classes, and `auc` for two.
    pub validation: Metrics,
    /// Wall time of the epoch, its validation included.
    pub seconds: f64,
    /// Training rows per second of the epoch's training, its validation left out.
    pub samples_per_s: f64,
}

/// A training that did not come to an outcome.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(
        "the loss diverged at epoch {epoch}, batch {batch}: it is not a finite number; a smaller \
         learning rate may help"
    )]
    Diverged { epoch: usize, batch: usize },
    #[error("metric `{metric}` is not one of this task; metrics: {known}")]
    Metric { metric: String, known: String },
    #[error(
        "the network would have {parameters} parameters, more than {limit} (PARAMETERS_MAX); \
         expected fewer or narrower layers"
    )]
    TooLarge { parameters: usize, limit: usize },
}

/// Trains a network and keeps the weights of the epoch that was best on the validation part.
///
/// `progress` is called after each epoch; `Break` stops there, and the outcome is that of the
/// epochs so far. On the CPU the same settings and tables give the same bits, whatever the
/// machine's load; on CUDA sums may differ in their last bits from run to run.
pub fn train(
    settings: &TrainSettings,
    inputs: &Inputs,
    progress: &mut dyn FnMut(&EpochMetrics) -> ControlFlow<()>,
) -> Result<Outcome, TrainError> {
    settings.validate()?;
    let table = Table::load(&inputs.train)?;
    let encoder = Encoder::fit(&table, &settings.schema())?;
    let parts = Parts {
        train: encoder.encode(&table)?,
        validation: encoder.encode(&Table::load(&inputs.validation)?)?,
        test: match &inputs.test {
            Some(path) => Some(encoder.encode(&Table::load(path)?)?),
            None => None,
        },
    };
    drop(table);
    run::run(settings, encoder, &parts, progress)
}

/// The encoded tables.
struct Parts {
    train: Encoded,
    validation: Encoded,
    test: Option<Encoded>,
}
