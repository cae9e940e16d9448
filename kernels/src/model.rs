//! A trained model: saved as safetensors, loaded, and asked for predictions.
//!
//! The file holds one tensor for each embedding table and for each layer's weights and biases,
//! and under the metadata key `updraft` a JSON text with the architecture, the vocabularies and
//! the standardization: prediction needs nothing else. No training here.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::data::{DataError, Encoder, Feature, Table, Target};
use crate::device::{Cpu, DeviceError};
use crate::network::{Architecture, DataOn, Network, PARAMETERS_MAX};
use crate::train::LAYERS_MAX;

/// Most bytes of a model file.
pub const MODEL_BYTES_MAX: u64 = 4 << 30;
/// What this version writes; it reads no other.
const VERSION: u32 = 1;
/// The metadata key of the description.
const METADATA_KEY: &str = "updraft";

/// A network with its encoder.
#[derive(Clone, PartialEq)]
pub struct Model {
    encoder: Encoder,
    architecture: Architecture,
    params: Vec<f32>,
}

/// What a model says about the rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Predictions {
    /// One value a row, in the target's unit.
    Values(Vec<f64>),
    /// For each row a probability of each class, row by row; they add up to 1.
    Classes {
        /// The classes, in the order of the columns.
        classes: Vec<String>,
        /// `[rows, classes]`.
        probabilities: Vec<f64>,
    },
}

/// A model that cannot be written, read or asked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{file}: cannot be written")]
    Write {
        file: String,
        source: std::io::Error,
    },
    #[error("{file}: cannot be read")]
    Read {
        file: String,
        source: std::io::Error,
    },
    #[error("{file}: {found} bytes are more than {limit} (MODEL_BYTES_MAX)")]
    TooLarge {
        file: String,
        found: u64,
        limit: u64,
    },
    #[error("{file}: not a model of this program: {message}")]
    NotAModel { file: String, message: String },
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// The description in the metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    architecture: Architecture,
    encoder: Encoder,
}

/// A named slice of the parameters.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    start: usize,
}

impl Model {
    pub(crate) fn new(encoder: Encoder, architecture: Architecture, params: Vec<f32>) -> Self {
        assert_eq!(
            params.len(),
            architecture.layout().len,
            "parameters of another architecture"
        );
        Self {
            encoder,
            architecture,
            params,
        }
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let file = || path.display().to_string();
        let bytes = self.to_bytes().map_err(|message| ModelError::NotAModel {
            file: file(),
            message,
        })?;
        crate::file::write_atomically(path, |out| std::io::Write::write_all(out, &bytes)).map_err(
            |source| ModelError::Write {
                file: file(),
                source,
            },
        )
    }

    /// Reads a file that [`Model::save`] wrote.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let file = || path.display().to_string();
        let failed = |source| ModelError::Read {
            file: file(),
            source,
        };
        let found = fs::metadata(path).map_err(failed)?.len();
        if found > MODEL_BYTES_MAX {
            return Err(ModelError::TooLarge {
                file: file(),
                found,
                limit: MODEL_BYTES_MAX,
            });
        }
        let bytes = fs::read(path).map_err(failed)?;
        Self::from_bytes(&bytes).map_err(|message| ModelError::NotAModel {
            file: file(),
            message,
        })
    }

    /// Predicts the target of each row. The table needs the model's inputs; other columns, the
    /// target among them, are not looked at. Runs on the CPU, on the caller's thread.
    pub fn predict(&self, table: &Table) -> Result<Predictions, ModelError> {
        let cpu = Cpu::new(1);
        let mut data = self.encoder.encode_inputs(table)?;
        // No prediction reads the target, but the device holds one.
        data.target = vec![0.0; data.rows];
        let room = data.rows.min(crate::train::SCORED_ROWS);
        let mut network = Network::new(&cpu, self.architecture.clone(), &self.params, room)?;
        let data = DataOn::new(&cpu, &data)?;
        let outputs = crate::train::outputs(&cpu, &mut network, &data)?;
        Ok(self.predictions(&outputs))
    }

    /// The inputs and the target.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The network's shape.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.params.len()
    }

    fn predictions(&self, outputs: &[f32]) -> Predictions {
        let outputs = outputs.iter().map(|output| f64::from(*output));
        match &self.encoder.target {
            Target::Regression { mean, sd, .. } => {
                Predictions::Values(outputs.map(|output| output * sd + mean).collect())
            }
            Target::Binary { classes, .. } => Predictions::Classes {
                classes: classes.clone(),
                probabilities: outputs
                    .map(|odds| 1.0 / (1.0 + (-odds).exp()))
                    .flat_map(|second| [1.0 - second, second])
                    .collect(),
            },
            Target::Multiclass { classes, .. } => {
                let mut probabilities: Vec<f64> = outputs.collect();
                probabilities
                    .chunks_exact_mut(classes.len())
                    .for_each(softmax);
                Predictions::Classes {
                    classes: classes.clone(),
                    probabilities,
                }
            }
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let description = Description {
            version: VERSION,
            architecture: self.architecture.clone(),
            encoder: self.encoder.clone(),
        };
        let description = serde_json::to_string(&description).map_err(|error| error.to_string())?;
        let bytes: Vec<u8> = self
            .params
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let tensors = tensors(&self.encoder, &self.architecture);
        let views = tensors.iter().map(|tensor| {
            let len: usize = tensor.shape.iter().product();
            let data = &bytes[4 * tensor.start..4 * (tensor.start + len)];
            TensorView::new(Dtype::F32, tensor.shape.clone(), data).map(|view| (&tensor.name, view))
        });
        let views: Vec<_> = views
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        // One key, so that the bytes do not depend on a map's order.
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), description)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let description = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(METADATA_KEY))
            .ok_or_else(|| format!("there is no `{METADATA_KEY}` in its metadata"))?;
        let description: Description =
            serde_json::from_str(description).map_err(|error| error.to_string())?;
        let Description {
            version,
            architecture,
            encoder,
        } = description;
        if version != VERSION {
            return Err(format!("it is of version {version}; expected {VERSION}"));
        }
        agree(&encoder, &architecture)?;
        let held = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let mut params = vec![0.0; architecture.layout().len];
        for tensor in tensors(&encoder, &architecture) {
            let name = &tensor.name;
            let view = held
                .tensor(name)
                .map_err(|_| format!("tensor `{name}` is not there"))?;
            if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
                let (dtype, shape) = (view.dtype(), view.shape());
                let expected = &tensor.shape;
                return Err(format!(
                    "tensor `{name}` is {dtype:?} {shape:?}; expected F32 {expected:?}"
                ));
            }
            let (values, _) = view.data().as_chunks::<4>();
            for (param, value) in params[tensor.start..].iter_mut().zip(values) {
                *param = f32::from_le_bytes(*value);
            }
        }
        Ok(Self {
            encoder,
            architecture,
            params,
        })
    }
}

impl fmt::Debug for Model {
    /// Without the parameters: there may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("architecture", &self.architecture)
            .field("parameters", &self.params.len())
            .finish_non_exhaustive()
    }
}

impl Predictions {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Classes {
                classes,
                probabilities,
            } => probabilities.len() / classes.len(),
        }
    }

    /// The likeliest class of a row; `None` for a regression.
    #[must_use]
    pub fn class(&self, row: usize) -> Option<&str> {
        match self {
            Self::Values(_) => None,
            Self::Classes {
                classes,
                probabilities,
            } => {
                let row = &probabilities[row * classes.len()..(row + 1) * classes.len()];
                let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let index = row.iter().position(|probability| *probability == highest)?;
                Some(&classes[index])
            }
        }
    }
}

/// A file is not trusted: its description must be whole and must fit itself.
fn agree(encoder: &Encoder, architecture: &Architecture) -> Result<(), String> {
    let rows = encoder.features.iter().filter_map(|feature| match feature {
        Feature::Numeric { .. } => None,
        Feature::Categorical { levels, .. } => Some(levels.len() + 1),
    });
    let numeric = encoder.numeric_features();
    let numbers_first = encoder.features[..numeric]
        .iter()
        .all(|feature| matches!(feature, Feature::Numeric { .. }));
    let fits = architecture.numeric == numeric
        && numbers_first
        && architecture.outputs == encoder.target.outputs()
        && architecture.outputs > 0
        && architecture.hidden.len() <= LAYERS_MAX
        && architecture.hidden.iter().all(|width| *width > 0)
        && architecture.embeddings.iter().all(|table| table.width > 0)
        && architecture
            .embeddings
            .iter()
            .map(|table| table.rows)
            .eq(rows);
    if !fits {
        return Err("its architecture does not fit its columns".to_owned());
    }
    match architecture.parameters() {
        Some(parameters) if parameters <= PARAMETERS_MAX => Ok(()),
        Some(_) | None => Err(format!("it has more than {PARAMETERS_MAX} parameters")),
    }
}

/// The parameters by name: `embedding.COLUMN`, `layer.I.weight` (`[inputs, units]`),
/// `layer.I.bias`.
fn tensors(encoder: &Encoder, architecture: &Architecture) -> Vec<Tensor> {
    let layout = architecture.layout();
    let categories = &encoder.features[encoder.numeric_features()..];
    let tables = architecture
        .embeddings
        .iter()
        .zip(&layout.embeddings)
        .zip(categories);
    let tables = tables.map(|((table, start), feature)| Tensor {
        name: format!("embedding.{}", feature.name()),
        shape: vec![table.rows, table.width],
        start: *start,
    });
    let layers = layout.layers.iter().enumerate().flat_map(|(index, dense)| {
        let weight = Tensor {
            name: format!("layer.{index}.weight"),
            shape: vec![dense.inputs, dense.units],
            start: dense.weights,
        };
        let name = format!("layer.{index}.bias");
        [
            weight,
            Tensor {
                name,
                shape: vec![dense.units],
                start: dense.biases,
            },
        ]
    });
    tables.chain(layers).collect()
}

fn softmax(scores: &mut [f64]) {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores
        .iter_mut()
        .for_each(|score| *score = (*score - highest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}
