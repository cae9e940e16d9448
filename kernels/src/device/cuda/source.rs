//! The CUDA sources, part of the binary, and their compilation by NVRTC. Needs no device.

use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};

use super::super::DeviceError;

/// One file of `kernels/cuda`.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its name.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Gather, scatter, activations and losses.
pub const ELEMENTWISE: Source = Source {
    file: "elementwise.cu",
    text: include_str!("../../../cuda/elementwise.cu"),
};

/// The optimizers' steps.
pub const OPTIMIZER: Source = Source {
    file: "optimizer.cu",
    text: include_str!("../../../cuda/optimizer.cu"),
};

/// All of them.
pub const SOURCES: [Source; 2] = [ELEMENTWISE, OPTIMIZER];

impl Source {
    /// Whether NVRTC can be loaded; [`Source::compile`] panics where it cannot.
    #[must_use]
    pub fn compiler_present() -> bool {
        #[expect(unsafe_code, reason = "loading a library runs its start-up code")]
        // SAFETY: the library is NVIDIA's own by name, and its start-up code asks nothing of us.
        unsafe {
            cudarc::nvrtc::sys::is_culib_present()
        }
    }

    /// Compiles for a virtual architecture such as `compute_90`. The device's driver turns the
    /// result into machine code when it is loaded.
    pub fn compile(&self, architecture: &str) -> Result<Ptx, DeviceError> {
        let options = CompileOptions {
            options: vec![format!("--gpu-architecture={architecture}")],
            name: Some(self.file.to_owned()),
            ..CompileOptions::default()
        };
        compile_ptx_with_opts(self.text, options).map_err(|error| {
            let log = match error {
                CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
                other => format!("{other:?}"),
            };
            DeviceError::Compile {
                file: self.file,
                log,
            }
        })
    }
}
