//! The network trainer and the kernels it stands on: tables in, a trained model out.
//!
//! Read in this order:
//!
//! - [`data`]: CSV and Parquet tables, the encoder fitted on the training part, splits, synthesis.
//! - [`device`]: one set of kernels with two homes, CUDA (`cuda/*.cu`) and their CPU twins.
//! - [`network`]: a multi-layer perceptron over one flat buffer, written once over a device.
//! - [`train`](mod@train): settings, the epoch loop, early stop, metrics, the outcome.
//! - [`model`]: what is saved; loading it and predicting need nothing else.
//!
//! It refuses to know of jobs, queues, command lines, environment variables and logs: settings
//! come as arguments, progress goes out through a callback. Everything random is a named stream
//! of the seed ([`random`]); on the CPU the same inputs and settings give the same bits.

pub mod data;
pub mod device;
pub mod model;
pub mod network;
pub mod random;
pub mod train;

mod file;
mod names;

pub use data::{DataError, Table};
pub use device::{Device, DeviceChoice, DeviceError};
pub use model::{Model, ModelError, Predictions};
pub use train::{EpochMetrics, Inputs, Outcome, TrainError, TrainSettings, train};
