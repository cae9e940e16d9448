//! The CUDA home of the kernels: a device, its stream, cuBLAS, and our own kernels out of
//! `kernels/cuda/*.cu`, compiled by NVRTC for the device when it is opened.
//!
//! Nothing of CUDA is needed to build or to start: libraries are looked for when a device is
//! asked for, and [`Cuda::open`] says which one is missing. This is the only place that launches;
//! what it launches has been checked by [`Kernels`].

pub mod source;

use std::ffi::c_int;
use std::fmt;
use std::sync::Arc;

use cudarc::cublas::sys::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
use cudarc::cublas::{CudaBlas, Gemm, GemmConfig};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, LaunchConfig, PushKernelArg,
};

use super::shapes::{
    Activation, Adam, Dropout, Gather, Layer, Loss, LossBatch, Part, PartMut, Product, Sgd, Stored,
};
use super::{DeviceError, Kernels};

/// Threads of a block of the kernels that stride over the grid.
const BLOCK_THREADS: u32 = 256;
/// Most blocks of one such launch: enough to fill any device; the rest is strides.
const BLOCKS_MAX: u32 = 4_096;

/// An open CUDA device.
pub struct Cuda {
    ordinal: usize,
    name: String,
    stream: Arc<CudaStream>,
    blas: CudaBlas,
    functions: Functions,
}

/// The kernels of `kernels/cuda`, loaded.
struct Functions {
    gather: CudaFunction,
    scatter: CudaFunction,
    activate: CudaFunction,
    activate_back: CudaFunction,
    loss: CudaFunction,
    sgd: CudaFunction,
    adam: CudaFunction,
}

impl Cuda {
    /// Opens a device by number: asks for the libraries, makes a context, compiles the kernels
    /// for its architecture (about half a second).
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        present()?;
        let failed = |action| move |error: &dyn fmt::Debug| failure(ordinal, action, error);
        let count = CudaContext::device_count()
            .map_err(|error| DeviceError::Unusable(format!("no device answers: {error:?}")))?;
        if ordinal >= usize::try_from(count).unwrap_or(0) {
            return Err(DeviceError::Unusable(format!(
                "device {ordinal} is not there; there are {count}"
            )));
        }
        let context = CudaContext::new(ordinal).map_err(|error| failed("opening it")(&error))?;
        let name = context
            .name()
            .map_err(|error| failed("asking its name")(&error))?;
        let (major, minor) = context
            .compute_capability()
            .map_err(|error| failed("asking its architecture")(&error))?;
        let stream = context.default_stream();
        let blas =
            CudaBlas::new(stream.clone()).map_err(|error| failed("starting cuBLAS")(&error))?;
        let functions = Functions::load(&context, ordinal, &format!("compute_{major}{minor}"))?;
        Ok(Self {
            ordinal,
            name,
            stream,
            blas,
            functions,
        })
    }

    fn failed(&self, action: &'static str) -> impl Fn(cudarc::driver::DriverError) -> DeviceError {
        let ordinal = self.ordinal;
        move |error| failure(ordinal, action, &error)
    }
}

impl Functions {
    fn load(
        context: &Arc<CudaContext>,
        ordinal: usize,
        architecture: &str,
    ) -> Result<Self, DeviceError> {
        let module = |source: &source::Source| {
            let ptx = source.compile(architecture)?;
            context
                .load_module(ptx)
                .map_err(|error| failure(ordinal, "loading the kernels", &error))
        };
        let elementwise = module(&source::ELEMENTWISE)?;
        let optimizer = module(&source::OPTIMIZER)?;
        let function = |module: &Arc<cudarc::driver::CudaModule>, name: &str| {
            module
                .load_function(name)
                .map_err(|error| failure(ordinal, "looking for a kernel", &error))
        };
        Ok(Self {
            gather: function(&elementwise, "gather")?,
            scatter: function(&elementwise, "scatter")?,
            activate: function(&elementwise, "activate")?,
            activate_back: function(&elementwise, "activate_back")?,
            loss: function(&elementwise, "loss")?,
            sgd: function(&optimizer, "sgd")?,
            adam: function(&optimizer, "adam")?,
        })
    }
}

impl fmt::Display for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{} ({})", self.ordinal, self.name)
    }
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuda")
            .field("ordinal", &self.ordinal)
            .field("name", &self.name)
            .finish()
    }
}

impl Kernels for Cuda {
    type Floats = CudaSlice<f32>;
    type Ids = CudaSlice<u32>;

    fn zeros(&self, len: usize) -> Result<CudaSlice<f32>, DeviceError> {
        // The driver refuses an allocation of nothing.
        self.stream
            .alloc_zeros(len.max(1))
            .map_err(self.failed("allocating memory"))
    }

    fn floats(&self, host: &[f32]) -> Result<CudaSlice<f32>, DeviceError> {
        let host = if host.is_empty() { &[0.0] } else { host };
        self.stream
            .clone_htod(host)
            .map_err(self.failed("copying to it"))
    }

    fn ids(&self, host: &[u32]) -> Result<CudaSlice<u32>, DeviceError> {
        let host = if host.is_empty() { &[0] } else { host };
        self.stream
            .clone_htod(host)
            .map_err(self.failed("copying to it"))
    }

    fn floats_len(&self, buffer: &CudaSlice<f32>) -> usize {
        buffer.len()
    }

    fn ids_len(&self, buffer: &CudaSlice<u32>) -> usize {
        buffer.len()
    }

    fn write_ids(&self, host: &[u32], to: &mut CudaSlice<u32>) -> Result<(), DeviceError> {
        self.stream
            .memcpy_htod(host, to)
            .map_err(self.failed("copying to it"))
    }

    fn read(&self, from: &CudaSlice<f32>, host: &mut [f32]) -> Result<(), DeviceError> {
        if host.is_empty() {
            return Ok(());
        }
        let from = from.slice(..host.len());
        self.stream
            .memcpy_dtoh(&from, host)
            .map_err(self.failed("copying from it"))?;
        self.stream
            .synchronize()
            .map_err(self.failed("waiting for it"))
    }

    fn copy(&self, from: &CudaSlice<f32>, to: &mut CudaSlice<f32>) -> Result<(), DeviceError> {
        self.stream
            .memcpy_dtod(from, to)
            .map_err(self.failed("copying within it"))
    }

    fn clear(&self, len: usize, buffer: &mut CudaSlice<f32>) -> Result<(), DeviceError> {
        if len == 0 {
            return Ok(());
        }
        let mut part = buffer.slice_mut(..len);
        self.stream
            .memset_zeros(&mut part)
            .map_err(self.failed("clearing memory"))
    }

    fn product_unchecked(
        &self,
        shape: Product,
        a: Part<'_, CudaSlice<f32>>,
        b: Part<'_, CudaSlice<f32>>,
        c: PartMut<'_, CudaSlice<f32>>,
    ) -> Result<(), DeviceError> {
        let Product { m, n, k, .. } = shape;
        if m * n == 0 {
            return Ok(());
        }
        let int = |len: usize| {
            c_int::try_from(len).map_err(|_| {
                failure(
                    self.ordinal,
                    "multiplying",
                    &"a matrix side is above 2147483647",
                )
            })
        };
        // cuBLAS is column-major: it sees each of our matrices transposed, and cᵀ = bᵀ·aᵀ.
        let (transb, ldb) = match shape.b {
            Stored::Plain => (CUBLAS_OP_N, n),
            Stored::Transposed => (CUBLAS_OP_T, k),
        };
        let (transa, lda) = match shape.a {
            Stored::Plain => (CUBLAS_OP_N, k),
            Stored::Transposed => (CUBLAS_OP_T, m),
        };
        let config = GemmConfig {
            transa: transb,
            transb: transa,
            m: int(n)?,
            n: int(m)?,
            k: int(k)?,
            alpha: 1.0,
            lda: int(ldb)?,
            ldb: int(lda)?,
            beta: 0.0,
            ldc: int(n)?,
        };
        let a = a.buffer.slice(a.offset..a.offset + m * k);
        let b = b.buffer.slice(b.offset..b.offset + k * n);
        let mut c = c.buffer.slice_mut(c.offset..c.offset + m * n);
        #[expect(unsafe_code, reason = "cuBLAS takes pointers and leading dimensions")]
        // SAFETY: the views have exactly m·k, k·n and m·n elements, and the leading dimensions
        // are the stored row lengths, so cuBLAS stays inside them.
        unsafe { self.blas.gemm(config, &b, &a, &mut c) }
            .map_err(|error| failure(self.ordinal, "multiplying", &error))
    }

    fn gather_unchecked(
        &self,
        shape: Gather,
        order: &CudaSlice<u32>,
        numeric: &CudaSlice<f32>,
        ids: &CudaSlice<u32>,
        lookup: &CudaSlice<u32>,
        params: &CudaSlice<f32>,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        let Some(grid) = strided(shape.rows * shape.width()) else {
            return Ok(());
        };
        let [rows, cols] = [shape.rows as u64, shape.numeric as u64];
        let [categorical, embedded] = [shape.categorical as u64, shape.embedded as u64];
        let start = shape.start as u64;
        let mut launch = self.stream.launch_builder(&self.functions.gather);
        launch
            .arg(&rows)
            .arg(&cols)
            .arg(&categorical)
            .arg(&embedded)
            .arg(&start);
        launch
            .arg(order)
            .arg(numeric)
            .arg(ids)
            .arg(lookup)
            .arg(params)
            .arg(out);
        #[expect(unsafe_code, reason = "a launch is outside the type system")]
        // SAFETY: the arguments are those of `gather` in elementwise.cu, in type and order; rows
        // in `order`, ids and `lookup` are made in range by the encoder and the architecture.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(self.failed("gathering a batch"))
    }

    fn scatter_unchecked(
        &self,
        shape: Gather,
        order: &CudaSlice<u32>,
        ids: &CudaSlice<u32>,
        lookup: &CudaSlice<u32>,
        delta: &CudaSlice<f32>,
        grads: &mut CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        let Some(grid) = strided(shape.rows * shape.embedded) else {
            return Ok(());
        };
        let [rows, start] = [shape.rows as u64, shape.start as u64];
        let [categorical, embedded] = [shape.categorical as u64, shape.embedded as u64];
        let mut launch = self.stream.launch_builder(&self.functions.scatter);
        launch
            .arg(&rows)
            .arg(&categorical)
            .arg(&embedded)
            .arg(&start);
        launch.arg(order).arg(ids).arg(lookup).arg(delta).arg(grads);
        #[expect(unsafe_code, reason = "a launch is outside the type system")]
        // SAFETY: the arguments are those of `scatter` in elementwise.cu, in type and order; the
        // indices are in range as in `gather`, and their sums are atomic.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(self.failed("scattering gradients"))
    }

    fn activate_unchecked(
        &self,
        layer: Layer,
        bias: Part<'_, CudaSlice<f32>>,
        values: &mut CudaSlice<f32>,
        kept: &mut CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        let Some(grid) = strided(layer.len()) else {
            return Ok(());
        };
        let [rows, cols] = [layer.rows as u64, layer.cols as u64];
        let kind = activation_code(layer.activation);
        let (key, threshold, scale) = dropout_codes(layer.dropout);
        let bias = bias.buffer.slice(bias.offset..bias.offset + layer.cols);
        let mut launch = self.stream.launch_builder(&self.functions.activate);
        launch
            .arg(&rows)
            .arg(&cols)
            .arg(&kind)
            .arg(&key)
            .arg(&threshold)
            .arg(&scale);
        launch.arg(&bias).arg(values).arg(kept);
        #[expect(unsafe_code, reason = "a launch is outside the type system")]
        // SAFETY: the arguments are those of `activate` in elementwise.cu, in type and order; the
        // buffers hold rows × cols elements, `kept` where the kernel writes it.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(self.failed("activating a layer"))
    }

    fn activate_back_unchecked(
        &self,
        layer: Layer,
        kept: &CudaSlice<f32>,
        delta: &mut CudaSlice<f32>,
        bias_grad: PartMut<'_, CudaSlice<f32>>,
    ) -> Result<(), DeviceError> {
        let [rows, cols] = [layer.rows as u64, layer.cols as u64];
        let kind = activation_code(layer.activation);
        let (key, threshold, scale) = dropout_codes(layer.dropout);
        let range = bias_grad.offset..bias_grad.offset + layer.cols;
        let mut sums = bias_grad.buffer.slice_mut(range);
        let grid = LaunchConfig {
            grid_dim: (layer.cols.div_ceil(32) as u32, 1, 1),
            block_dim: (32, 8, 1),
            shared_mem_bytes: 0,
        };
        let mut launch = self.stream.launch_builder(&self.functions.activate_back);
        launch
            .arg(&rows)
            .arg(&cols)
            .arg(&kind)
            .arg(&key)
            .arg(&threshold)
            .arg(&scale);
        launch.arg(kept).arg(delta).arg(&mut sums);
        #[expect(unsafe_code, reason = "a launch is outside the type system")]
        // SAFETY: the arguments are those of `activate_back` in elementwise.cu, in type and
        // order, and the block is the 32 × 8 that it is written for.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(self.failed("going back a layer"))
    }

    fn loss_unchecked(
        &self,
        batch: LossBatch,
        order: &CudaSlice<u32>,
        target: &CudaSlice<f32>,
        outputs: &mut CudaSlice<f32>,
        losses: &mut CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        let [rows, cols] = [batch.rows as u64, batch.cols as u64];
        let [start, slot] = [batch.start as u64, batch.slot as u64];
        let kind: c_int = match batch.loss {
            Loss::Squared => 0,
            Loss::Logistic => 1,
            Loss::Softmax => 2,
        };
        let grid = LaunchConfig {
            grid_dim: (1, 1, 1),
            block_dim: (256, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut launch = self.stream.launch_builder(&self.functions.loss);
        launch
            .arg(&rows)
            .arg(&cols)
            .arg(&kind)
            .arg(&start)
            .arg(&slot);
        launch.arg(order).arg(target).arg(outputs).arg(losses);
        #[expect(unsafe_code, reason = "a launch is outside the type system")]
        // SAFETY: the arguments are those of `loss` in elementwise.cu, in type and order, and the
        // block is the 256 threads that it is written for; classes are below `cols`.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(self.failed("computing the loss"))
    }

    fn sgd_unchecked(
        &self,
        step: Sgd,
        grads: &CudaSlice<f32>,
        velocity: &mut CudaSlice<f32>,
        params: &mut CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        let Some(grid) = strided(step.len) else {
            return Ok(());
        };
        let [len, decayed] = [step.len as u64, step.decayed as u64];
        let mut launch = self.stream.launch_builder(&self.functions.sgd);
        launch
            .arg(&len)
            .arg(&decayed)
            .arg(&step.lr)
            .arg(&step.momentum)
            .arg(&step.l2);
        launch.arg(grads).arg(velocity).arg(params);
        #[expect(unsafe_code, reason = "a launch is outside the type system")]
        // SAFETY: the arguments are those of `sgd` in optimizer.cu, in type and order; every
        // buffer holds `len` elements.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(self.failed("taking a step"))
    }

    fn adam_unchecked(
        &self,
        step: Adam,
        grads: &CudaSlice<f32>,
        first: &mut CudaSlice<f32>,
        second: &mut CudaSlice<f32>,
        params: &mut CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        let Some(grid) = strided(step.len) else {
            return Ok(());
        };
        let [len, decayed] = [step.len as u64, step.decayed as u64];
        let mut launch = self.stream.launch_builder(&self.functions.adam);
        launch
            .arg(&len)
            .arg(&decayed)
            .arg(&step.lr)
            .arg(&step.second_scale)
            .arg(&step.l2);
        launch
            .arg(&Adam::BETA1)
            .arg(&Adam::BETA2)
            .arg(&Adam::EPSILON);
        launch.arg(grads).arg(first).arg(second).arg(params);
        #[expect(unsafe_code, reason = "a launch is outside the type system")]
        // SAFETY: the arguments are those of `adam` in optimizer.cu, in type and order; every
        // buffer holds `len` elements.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(self.failed("taking a step"))
    }
}

/// Whether the driver, NVRTC and cuBLAS can be loaded. Asked before anything else: a first call
/// into a library that is not there would panic.
fn present() -> Result<(), DeviceError> {
    #[expect(unsafe_code, reason = "loading a library runs its start-up code")]
    // SAFETY: the libraries are NVIDIA's own by name, and their start-up code asks nothing of us.
    let libraries = unsafe {
        [
            ("driver (libcuda)", cudarc::driver::sys::is_culib_present()),
            ("NVRTC (libnvrtc)", cudarc::nvrtc::sys::is_culib_present()),
            (
                "cuBLAS (libcublas)",
                cudarc::cublas::sys::is_culib_present(),
            ),
        ]
    };
    match libraries.iter().find(|(_, present)| !present) {
        Some((name, _)) => Err(DeviceError::Unusable(format!("the {name} is not there"))),
        None => Ok(()),
    }
}

fn failure(ordinal: usize, action: &'static str, error: &dyn fmt::Debug) -> DeviceError {
    DeviceError::Failed {
        ordinal,
        action,
        message: format!("{error:?}"),
    }
}

/// A grid for a kernel that strides over `len` elements; `None` where there are none, since a
/// launch of nothing is an error.
fn strided(len: usize) -> Option<LaunchConfig> {
    let blocks = len
        .div_ceil(BLOCK_THREADS as usize)
        .min(BLOCKS_MAX as usize) as u32;
    (blocks > 0).then_some(LaunchConfig {
        grid_dim: (blocks, 1, 1),
        block_dim: (BLOCK_THREADS, 1, 1),
        shared_mem_bytes: 0,
    })
}

/// The codes of elementwise.cu.
fn activation_code(activation: Activation) -> c_int {
    match activation {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Gelu => 2,
        Activation::Tanh => 3,
        Activation::Sigmoid => 4,
    }
}

/// Key, threshold and scale; a scale of 0 stands for no dropout.
fn dropout_codes(dropout: Option<Dropout>) -> (u32, u32, f32) {
    dropout.map_or((0, 0, 0.0), |dropout| {
        (dropout.key, dropout.threshold, dropout.scale)
    })
}
