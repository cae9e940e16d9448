//! The arguments of the kernels: shapes, kinds and constants, the same for every device.

use serde::{Deserialize, Serialize};

/// A buffer from an offset on.
#[derive(Debug)]
pub struct Part<'a, B> {
    /// The whole.
    pub buffer: &'a B,
    /// Where the part starts, in items.
    pub offset: usize,
}

/// A buffer from an offset on, to be written.
#[derive(Debug)]
pub struct PartMut<'a, B> {
    /// The whole.
    pub buffer: &'a mut B,
    /// Where the part starts, in items.
    pub offset: usize,
}

impl<'a, B> Part<'a, B> {
    /// A buffer from `offset` on.
    pub fn at(buffer: &'a B, offset: usize) -> Self {
        Self { buffer, offset }
    }
}

impl<'a, B> PartMut<'a, B> {
    /// A buffer from `offset` on.
    pub fn at(buffer: &'a mut B, offset: usize) -> Self {
        Self { buffer, offset }
    }
}

/// How a factor of a product is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// As the product reads it.
    Plain,
    /// With rows and columns exchanged.
    Transposed,
}

/// `[m, k] · [k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// How the left factor is stored.
    pub a: Stored,
    /// How the right factor is stored.
    pub b: Stored,
}

/// A batch of inputs out of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Where in the order the batch starts.
    pub start: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// Numeric columns of the data set.
    pub numeric: usize,
    /// Categorical columns of the data set.
    pub categorical: usize,
    /// Columns that the embeddings of all categories fill together.
    pub embedded: usize,
}

/// What a unit does to its sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0)
    #[default]
    Relu,
    /// x·Φ(x) in its tanh form: ½x(1 + tanh(√(2/π)(x + 0.044715x³))) (Hendrycks and Gimpel, 2016)
    Gelu,
    /// tanh(x)
    Tanh,
    /// 1 / (1 + exp(−x))
    Sigmoid,
    /// x: the output layer's, not to be chosen for a hidden one.
    #[serde(skip)]
    Identity,
}

/// One layer's elementwise part, over `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Rows of the batch.
    pub rows: usize,
    /// Units of the layer.
    pub cols: usize,
    /// What a unit does.
    pub activation: Activation,
    /// Which units are silent in this step.
    pub dropout: Option<Dropout>,
}

/// Units set to zero at random, the others scaled so that the mean stays.
///
/// Unit `i` of `[rows, cols]` is dropped where a hash of `key` and `i` is below `threshold`; the
/// mask is computed where it is needed and never stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Differs for each step and layer.
    pub key: u32,
    /// The dropped share times 2³².
    pub threshold: u32,
    /// 1 / (1 − share).
    pub scale: f32,
}

/// What a batch's outputs are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// (output − target)²
    Squared,
    /// Log loss of the odds exp(output), target 0 or 1.
    Logistic,
    /// Log loss of the softmax of a row of outputs, target a column.
    Softmax,
}

/// A batch of outputs `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossBatch {
    /// Which loss.
    pub loss: Loss,
    /// Where in the order the batch starts.
    pub start: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// Outputs of a row; 1 unless the loss is softmax.
    pub cols: usize,
    /// Where the mean loss goes.
    pub slot: usize,
}

/// A step of gradient descent: v ← momentum·v + g + l2·w, w ← w − lr·v.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Parameters in all.
    pub len: usize,
    /// How many of the first of them `l2` holds for.
    pub decayed: usize,
    /// Learning rate.
    pub lr: f32,
    /// Momentum.
    pub momentum: f32,
    /// Weight of the L2 penalty.
    pub l2: f32,
}

/// A step of Adam (Kingma and Ba, 2015) on g + l2·w.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Parameters in all.
    pub len: usize,
    /// How many of the first of them `l2` holds for.
    pub decayed: usize,
    /// Learning rate divided by the first moment's bias correction, 1 − β₁ᵗ.
    pub lr: f32,
    /// 1 / √(1 − β₂ᵗ), the second moment's bias correction.
    pub second_scale: f32,
    /// Weight of the L2 penalty.
    pub l2: f32,
}

impl Adam {
    /// Decay of the first moment.
    pub const BETA1: f32 = 0.9;
    /// Decay of the second moment.
    pub const BETA2: f32 = 0.999;
    /// Added to the root of the second moment.
    pub const EPSILON: f32 = 1e-8;

    /// Step `t`, from 1.
    #[must_use]
    pub fn at(t: u64, len: usize, decayed: usize, lr: f64, l2: f64) -> Self {
        let exponent = i32::try_from(t).unwrap_or(i32::MAX);
        let corrected = |beta: f32| 1.0 - f64::from(beta).powi(exponent);
        Self {
            len,
            decayed,
            lr: (lr / corrected(Self::BETA1)) as f32,
            second_scale: (1.0 / corrected(Self::BETA2).sqrt()) as f32,
            l2: l2 as f32,
        }
    }
}

impl Gather {
    /// Columns of the gathered batch.
    #[must_use]
    pub fn width(&self) -> usize {
        self.numeric + self.embedded
    }
}

impl Layer {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Activation {
    /// Whether the derivative is taken from the unit's input; otherwise its output is enough.
    #[must_use]
    pub fn keeps_input(self) -> bool {
        match self {
            Self::Gelu => true,
            Self::Relu | Self::Tanh | Self::Sigmoid | Self::Identity => false,
        }
    }
}

impl Dropout {
    /// A share in (0, 1) of the units, chosen by `key`.
    #[must_use]
    pub fn new(share: f64, key: u32) -> Self {
        assert!(share > 0.0 && share < 1.0, "a dropped share of {share}");
        let threshold = (share * f64::from(u32::MAX)) as u32;
        Self {
            key,
            threshold,
            scale: (1.0 / (1.0 - share)) as f32,
        }
    }

    /// 0 for a dropped unit, the scale for a kept one. The hash is the finalizer of MurmurHash3
    /// over the index mixed with the key.
    #[inline(always)]
    #[must_use]
    pub fn factor(self, index: u32) -> f32 {
        let mut hash = index.wrapping_mul(0x9e37_79b9) ^ self.key;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^= hash >> 16;
        if hash < self.threshold {
            0.0
        } else {
            self.scale
        }
    }
}
