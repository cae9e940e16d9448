//! A multi-layer perceptron: its shape, where its parameters lie, how they start, and its passes.
//!
//! The input of a row is its standardized numbers, then the embeddings of its categories. All
//! parameters lie in one flat buffer, so that a step of the optimizer is one launch and a model is
//! one slice: embedding tables, then weights (`[inputs, units]`, row-major), then biases. The
//! L2 penalty holds for what stands before the biases.
//!
//! Submodule `pass`: forward and backward over any device. No data sets, no epochs, no files.

mod pass;

use serde::{Deserialize, Serialize};

use crate::data::{Encoder, Feature};
use crate::random::Stream;

pub use crate::device::Activation;
pub use pass::{Batch, DataOn, Network};

/// Most parameters of one network.
pub const PARAMETERS_MAX: usize = 1 << 28;
/// Widest embedding.
pub const EMBEDDING_WIDTH_MAX: usize = 16;

/// The shape of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Numeric inputs.
    pub numeric: usize,
    /// One table for each categorical input.
    pub embeddings: Vec<Embedding>,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// What the hidden units do.
    pub activation: Activation,
    /// Width of the output.
    pub outputs: usize,
}

/// One embedding table, `[rows, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Categories, the unknown one included.
    pub rows: usize,
    /// Columns that a category becomes.
    pub width: usize,
}

/// Where each part of the network lies in the flat buffer of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Start of each embedding table.
    pub embeddings: Vec<usize>,
    /// The dense layers, the output's last.
    pub layers: Vec<Dense>,
    /// Parameters that the L2 penalty holds for: all before the biases.
    pub decayed: usize,
    /// All parameters.
    pub len: usize,
}

/// One dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Width of what comes in.
    pub inputs: usize,
    /// Width of what goes out.
    pub units: usize,
    /// Start of the weights, `[inputs, units]`.
    pub weights: usize,
    /// Start of the biases, `[units]`.
    pub biases: usize,
}

impl Architecture {
    /// The network for what an encoder gives. An embedding of n levels is ⌈√n⌉ wide, at most
    /// [`EMBEDDING_WIDTH_MAX`].
    #[must_use]
    pub fn new(encoder: &Encoder, hidden: Vec<usize>, activation: Activation) -> Self {
        let embeddings = encoder.features.iter().filter_map(|feature| match feature {
            Feature::Numeric { .. } => None,
            Feature::Categorical { levels, .. } => {
                let width = (levels.len() as f64).sqrt().ceil() as usize;
                let width = width.clamp(1, EMBEDDING_WIDTH_MAX);
                Some(Embedding {
                    rows: levels.len() + 1,
                    width,
                })
            }
        });
        Self {
            numeric: encoder.numeric_features(),
            embeddings: embeddings.collect(),
            hidden,
            activation,
            outputs: encoder.target.outputs(),
        }
    }

    /// Columns that all embeddings fill together.
    #[must_use]
    pub fn embedded(&self) -> usize {
        self.embeddings
            .iter()
            .map(|embedding| embedding.width)
            .sum()
    }

    /// Columns of the first layer's input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.numeric + self.embedded()
    }

    /// Number of parameters, or `None` where it does not fit a `usize`.
    #[must_use]
    pub fn parameters(&self) -> Option<usize> {
        let mut total = 0usize;
        for table in &self.embeddings {
            total = total.checked_add(table.rows.checked_mul(table.width)?)?;
        }
        let mut inputs = self.inputs();
        for units in self.hidden.iter().chain([&self.outputs]) {
            total = total.checked_add(inputs.checked_add(1)?.checked_mul(*units)?)?;
            inputs = *units;
        }
        Some(total)
    }

    /// Where the parameters lie.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let mut end = 0;
        let mut take = |len: usize| {
            let start = end;
            end += len;
            start
        };
        let embeddings = self
            .embeddings
            .iter()
            .map(|table| take(table.rows * table.width));
        let embeddings = embeddings.collect();
        let mut inputs = self.inputs();
        let mut layers = Vec::new();
        for units in self.hidden.iter().chain([&self.outputs]) {
            layers.push(Dense {
                inputs,
                units: *units,
                weights: take(inputs * units),
                biases: 0,
            });
            inputs = *units;
        }
        let decayed = take(0);
        for layer in &mut layers {
            layer.biases = take(layer.units);
        }
        Layout {
            embeddings,
            layers,
            decayed,
            len: end,
        }
    }

    /// The parameters that training starts from; `seed` alone decides them.
    ///
    /// Weights: normal with variance 2/inputs before relu and gelu (He et al., 2015), 1/inputs
    /// before anything else (LeCun et al., 1998). Embeddings: normal with standard deviation 0.3.
    /// Biases: 0.
    #[must_use]
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        const EMBEDDING_SD: f64 = 0.3;
        let layout = self.layout();
        let mut params = vec![0.0f32; layout.len];
        let mut stream = Stream::named(seed, "weights");
        let first_weight = layout.layers.first().map_or(0, |layer| layer.weights);
        for value in &mut params[..first_weight] {
            *value = (EMBEDDING_SD * stream.normal()) as f32;
        }
        for (index, layer) in layout.layers.iter().enumerate() {
            let gain = match self.activation {
                _ if index == self.hidden.len() => 1.0,
                Activation::Relu | Activation::Gelu => 2.0,
                Activation::Tanh | Activation::Sigmoid | Activation::Identity => 1.0,
            };
            let sd = f64::sqrt(gain / layer.inputs as f64);
            let end = layer.weights + layer.inputs * layer.units;
            for value in &mut params[layer.weights..end] {
                *value = (sd * stream.normal()) as f32;
            }
        }
        params
    }

    /// The table that the embedding kernels read: for each embedded column its category, where
    /// its column starts in the parameters, and the table's width.
    #[must_use]
    pub fn lookup(&self) -> Vec<u32> {
        let starts = self.layout().embeddings;
        let tables = self.embeddings.iter().zip(starts).enumerate();
        tables
            .flat_map(|(category, (table, start))| {
                (0..table.width).flat_map(move |column| [category, start + column, table.width])
            })
            .map(|item| u32::try_from(item).expect("PARAMETERS_MAX fits 32 bits"))
            .collect()
    }
}
