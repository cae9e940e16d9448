//! Where numbers live and are worked on: the kernels, once on CUDA and once on the CPU.
//!
//! [`Kernels`] is the list of all there is: element-wise and reduction kernels (`cuda/*.cu` and
//! their twins in `cpu`), the matrix product (cuBLAS and the `gemm` crate), and moves. Its provided
//! methods check shapes for both homes; what implements it may take them as given. It refuses to
//! know of networks, data sets or files.
//!
//! A kernel passes over its data once: bias and activation together, loss and gradient together,
//! the optimizer's step over all parameters in one launch.

pub mod cpu;
pub mod cuda;
pub mod shapes;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use cpu::Cpu;
pub use cuda::Cuda;
pub use shapes::{
    Activation, Adam, Dropout, Gather, Layer, Loss, LossBatch, Part, PartMut, Product, Sgd, Stored,
};

/// What a device can do. Matrices are dense and row-major; all arithmetic is f32.
///
/// Each `*_unchecked` method may trust the lengths; call the one without the suffix. A wrong
/// length is a fault of this crate, so it is an assertion and not an error.
pub trait Kernels {
    /// A buffer of f32.
    type Floats;
    /// A buffer of u32.
    type Ids;

    /// A buffer of zeros.
    fn zeros(&self, len: usize) -> Result<Self::Floats, DeviceError>;
    /// A buffer with a copy of `host`.
    fn floats(&self, host: &[f32]) -> Result<Self::Floats, DeviceError>;
    /// A buffer with a copy of `host`.
    fn ids(&self, host: &[u32]) -> Result<Self::Ids, DeviceError>;
    /// Number of items.
    fn floats_len(&self, buffer: &Self::Floats) -> usize;
    /// Number of items.
    fn ids_len(&self, buffer: &Self::Ids) -> usize;
    /// Overwrites a buffer; lengths are equal.
    fn write_ids(&self, host: &[u32], to: &mut Self::Ids) -> Result<(), DeviceError>;
    /// Copies the first items of a buffer to the host, after all work before it.
    fn read(&self, from: &Self::Floats, host: &mut [f32]) -> Result<(), DeviceError>;
    /// Copies a whole buffer; lengths are equal.
    fn copy(&self, from: &Self::Floats, to: &mut Self::Floats) -> Result<(), DeviceError>;
    /// Sets the first `len` items to 0.
    fn clear(&self, len: usize, buffer: &mut Self::Floats) -> Result<(), DeviceError>;

    /// `c ← a·b`; `c` is `[m, n]`, `a` `[m, k]` and `b` `[k, n]`, stored plain or transposed.
    fn product(
        &self,
        shape: Product,
        a: Part<'_, Self::Floats>,
        b: Part<'_, Self::Floats>,
        c: PartMut<'_, Self::Floats>,
    ) -> Result<(), DeviceError> {
        self.holds(&a, shape.m * shape.k);
        self.holds(&b, shape.k * shape.n);
        self.holds_mut(&c, shape.m * shape.n);
        self.product_unchecked(shape, a, b, c)
    }

    /// Gathers a batch of inputs `[rows, numeric + embedded]`: the numeric columns of the rows
    /// that `order` names, then the embeddings of their categories, looked up in `params`.
    ///
    /// `lookup` holds three values for each embedded column: which category, where in `params`
    /// its table's column starts, and the table's width.
    #[expect(clippy::too_many_arguments, reason = "the launch of one fused kernel")]
    fn gather(
        &self,
        shape: Gather,
        order: &Self::Ids,
        numeric: &Self::Floats,
        ids: &Self::Ids,
        lookup: &Self::Ids,
        params: &Self::Floats,
        out: &mut Self::Floats,
    ) -> Result<(), DeviceError> {
        assert!(shape.start + shape.rows <= self.ids_len(order));
        assert!(3 * shape.embedded <= self.ids_len(lookup));
        assert!(shape.rows * shape.width() <= self.floats_len(out));
        self.gather_unchecked(shape, order, numeric, ids, lookup, params, out)
    }

    /// Adds the gradient of embedded inputs `[rows, embedded]` to the tables' gradients.
    fn scatter(
        &self,
        shape: Gather,
        order: &Self::Ids,
        ids: &Self::Ids,
        lookup: &Self::Ids,
        delta: &Self::Floats,
        grads: &mut Self::Floats,
    ) -> Result<(), DeviceError> {
        assert!(shape.start + shape.rows <= self.ids_len(order));
        assert!(3 * shape.embedded <= self.ids_len(lookup));
        assert!(shape.rows * shape.embedded <= self.floats_len(delta));
        self.scatter_unchecked(shape, order, ids, lookup, delta, grads)
    }

    /// `values ← dropout(activation(values + bias))`, in place on `[rows, cols]`. Where the
    /// derivative needs the activation's input ([`Activation::keeps_input`]), it goes to `kept`.
    fn activate(
        &self,
        layer: Layer,
        bias: Part<'_, Self::Floats>,
        values: &mut Self::Floats,
        kept: &mut Self::Floats,
    ) -> Result<(), DeviceError> {
        self.holds(&bias, layer.cols);
        assert!(layer.len() <= self.floats_len(values));
        assert!(!layer.activation.keeps_input() || layer.len() <= self.floats_len(kept));
        self.activate_unchecked(layer, bias, values, kept)
    }

    /// Turns the gradient of a layer's output into that of its input, in place, and sums it over
    /// the rows into `bias_grad`. `kept` is what `activate` kept, or else its output.
    fn activate_back(
        &self,
        layer: Layer,
        kept: &Self::Floats,
        delta: &mut Self::Floats,
        bias_grad: PartMut<'_, Self::Floats>,
    ) -> Result<(), DeviceError> {
        assert!(layer.activation == Activation::Identity || layer.len() <= self.floats_len(kept));
        assert!(layer.len() <= self.floats_len(delta));
        self.holds_mut(&bias_grad, layer.cols);
        self.activate_back_unchecked(layer, kept, delta, bias_grad)
    }

    /// The batch's mean loss into `losses[slot]`, and its gradient over the outputs in their
    /// place.
    fn loss(
        &self,
        batch: LossBatch,
        order: &Self::Ids,
        target: &Self::Floats,
        outputs: &mut Self::Floats,
        losses: &mut Self::Floats,
    ) -> Result<(), DeviceError> {
        assert!(batch.cols == 1 || batch.loss == Loss::Softmax);
        assert!(batch.start + batch.rows <= self.ids_len(order));
        assert!(batch.rows * batch.cols <= self.floats_len(outputs));
        assert!(batch.slot < self.floats_len(losses));
        self.loss_unchecked(batch, order, target, outputs, losses)
    }

    /// One step of gradient descent with momentum over all parameters.
    fn sgd(
        &self,
        step: Sgd,
        grads: &Self::Floats,
        velocity: &mut Self::Floats,
        params: &mut Self::Floats,
    ) -> Result<(), DeviceError> {
        assert!(step.decayed <= step.len && step.len <= self.floats_len(params));
        assert!(step.len <= self.floats_len(grads) && step.len <= self.floats_len(velocity));
        self.sgd_unchecked(step, grads, velocity, params)
    }

    /// One step of Adam over all parameters.
    fn adam(
        &self,
        step: Adam,
        grads: &Self::Floats,
        first: &mut Self::Floats,
        second: &mut Self::Floats,
        params: &mut Self::Floats,
    ) -> Result<(), DeviceError> {
        assert!(step.decayed <= step.len && step.len <= self.floats_len(params));
        assert!(step.len <= self.floats_len(grads) && step.len <= self.floats_len(first));
        assert!(step.len <= self.floats_len(second));
        self.adam_unchecked(step, grads, first, second, params)
    }

    /// A part holds `len` items.
    fn holds(&self, part: &Part<'_, Self::Floats>, len: usize) {
        assert!(
            part.offset + len <= self.floats_len(part.buffer),
            "a part beyond its buffer"
        );
    }

    /// A part holds `len` items.
    fn holds_mut(&self, part: &PartMut<'_, Self::Floats>, len: usize) {
        assert!(
            part.offset + len <= self.floats_len(part.buffer),
            "a part beyond its buffer"
        );
    }

    /// See [`Kernels::product`].
    fn product_unchecked(
        &self,
        shape: Product,
        a: Part<'_, Self::Floats>,
        b: Part<'_, Self::Floats>,
        c: PartMut<'_, Self::Floats>,
    ) -> Result<(), DeviceError>;
    /// See [`Kernels::gather`].
    #[expect(clippy::too_many_arguments, reason = "the launch of one fused kernel")]
    fn gather_unchecked(
        &self,
        shape: Gather,
        order: &Self::Ids,
        numeric: &Self::Floats,
        ids: &Self::Ids,
        lookup: &Self::Ids,
        params: &Self::Floats,
        out: &mut Self::Floats,
    ) -> Result<(), DeviceError>;
    /// See [`Kernels::scatter`].
    fn scatter_unchecked(
        &self,
        shape: Gather,
        order: &Self::Ids,
        ids: &Self::Ids,
        lookup: &Self::Ids,
        delta: &Self::Floats,
        grads: &mut Self::Floats,
    ) -> Result<(), DeviceError>;
    /// See [`Kernels::activate`].
    fn activate_unchecked(
        &self,
        layer: Layer,
        bias: Part<'_, Self::Floats>,
        values: &mut Self::Floats,
        kept: &mut Self::Floats,
    ) -> Result<(), DeviceError>;
    /// See [`Kernels::activate_back`].
    fn activate_back_unchecked(
        &self,
        layer: Layer,
        kept: &Self::Floats,
        delta: &mut Self::Floats,
        bias_grad: PartMut<'_, Self::Floats>,
    ) -> Result<(), DeviceError>;
    /// See [`Kernels::loss`].
    fn loss_unchecked(
        &self,
        batch: LossBatch,
        order: &Self::Ids,
        target: &Self::Floats,
        outputs: &mut Self::Floats,
        losses: &mut Self::Floats,
    ) -> Result<(), DeviceError>;
    /// See [`Kernels::sgd`].
    fn sgd_unchecked(
        &self,
        step: Sgd,
        grads: &Self::Floats,
        velocity: &mut Self::Floats,
        params: &mut Self::Floats,
    ) -> Result<(), DeviceError>;
    /// See [`Kernels::adam`].
    fn adam_unchecked(
        &self,
        step: Adam,
        grads: &Self::Floats,
        first: &mut Self::Floats,
        second: &mut Self::Floats,
        params: &mut Self::Floats,
    ) -> Result<(), DeviceError>;
}

/// Which device is wanted: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// CUDA where all it needs answers, the CPU otherwise, with the reason.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, or an error.
    Cuda(usize),
}

/// A device that is open.
#[derive(Debug)]
pub enum Device {
    /// The host's processor.
    Cpu(Cpu),
    /// A CUDA device.
    Cuda(Box<Cuda>),
}

/// A device that cannot be opened or that failed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("`{0}` is not a device; expected auto, cpu, cuda or cuda:N")]
    Unknown(String),
    #[error("cuda is not usable here: {0}")]
    Unusable(String),
    #[error("cuda device {ordinal}: {action}: {message}")]
    Failed {
        ordinal: usize,
        action: &'static str,
        message: String,
    },
    #[error("cuda kernels of `{file}` do not compile: {log}")]
    Compile { file: &'static str, log: String },
}

impl Device {
    /// Opens what is wanted. The text says what was taken and, for [`DeviceChoice::Auto`] on the
    /// CPU, why: `cpu, 1 thread (no CUDA: …)`.
    ///
    /// `threads` is for the CPU's matrix product.
    pub fn open(choice: DeviceChoice, threads: usize) -> Result<(Self, String), DeviceError> {
        match choice {
            DeviceChoice::Auto => Ok(Self::auto(threads)),
            DeviceChoice::Cpu => {
                let cpu = Cpu::new(threads);
                let text = cpu.to_string();
                Ok((Self::Cpu(cpu), text))
            }
            DeviceChoice::Cuda(ordinal) => {
                let cuda = Cuda::open(ordinal)?;
                let text = cuda.to_string();
                Ok((Self::Cuda(Box::new(cuda)), text))
            }
        }
    }

    /// The first CUDA device if a driver, NVRTC and cuBLAS answer, the CPU otherwise.
    #[must_use]
    pub fn auto(threads: usize) -> (Self, String) {
        match Cuda::open(0) {
            Ok(cuda) => {
                let text = cuda.to_string();
                (Self::Cuda(Box::new(cuda)), text)
            }
            Err(reason) => {
                let cpu = Cpu::new(threads);
                let text = format!("{cpu} ({reason})");
                (Self::Cpu(cpu), text)
            }
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => other
                .strip_prefix("cuda:")
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(other.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}
