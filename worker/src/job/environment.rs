//! The environment that a job starts with: a clean one of few variables, the job's own, and those
//! that say what it was given. The README's "What a job finds" lists them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::nouns::{ClaimId, GpuNaming, WorkOrder};

use super::Failure;
use crate::leftovers::{CLAIM_VARIABLE, SCRATCH_VARIABLE};
use crate::sandbox::Paths;

/// The worker's own variables that its jobs see too. The last is where a machine keeps its GPU
/// libraries.
const INHERITED: [&str; 7] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "TZ",
    "USER",
];
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
/// Variables by which libraries learn how many threads to start; they get the job's cores.
const THREADS: [&str; 9] = [
    "GOMAXPROCS",
    "JULIA_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHON_CPU_COUNT",
    "RAYON_NUM_THREADS",
    "TF_NUM_THREADS",
];
/// A job without GPUs sees none: CUDA takes an empty list for that, and NVIDIA's container runtime
/// has a word of its own.
const NO_GPU: &str = "";
const NO_GPU_IN_CONTAINERS: &str = "void";
/// HTCondor's own variable, which a job without GPUs does not have.
const ASSIGNED_GPUS: &str = "_CONDOR_AssignedGPUs";
/// The exit code by which a job with GPUs says that their memory was not enough.
pub(super) const EXIT_GPU_MEMORY: i32 = 179;

/// Variables by name.
pub(super) type Variables<'a> = BTreeMap<&'a str, Cow<'a, str>>;

/// What is the same for every job.
#[derive(Clone, Debug)]
pub(super) struct Base {
    inherited: BTreeMap<String, String>,
    path: String,
    /// The driver's number of each device that has one.
    devices: BTreeMap<String, u32>,
}

impl Base {
    /// `programs` comes first in `PATH`, so that a job can name this program.
    pub fn new(programs: Option<&Path>, devices: BTreeMap<String, u32>) -> Base {
        let read = |name: &str| {
            std::env::var(name)
                .ok()
                .map(|value| (name.to_owned(), value))
        };
        let inherited = INHERITED.iter().filter_map(|name| read(name)).collect();
        let rest = std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_owned());
        let programs = programs.filter(|dir| dir.is_absolute());
        let path = match programs {
            Some(dir) => format!("{}:{rest}", dir.display()),
            None => rest,
        };
        Base {
            inherited,
            path,
            devices,
        }
    }

    /// The whole environment. What tells the job its place wins over what it asks for.
    pub fn environment<'a>(
        &'a self,
        claim: ClaimId,
        order: &'a WorkOrder,
        paths: &'a Paths,
    ) -> Result<Variables<'a>, Failure> {
        let mut all = Variables::new();
        for (name, value) in &self.inherited {
            all.insert(name, value.into());
        }
        all.insert("PATH", self.path.as_str().into());
        let tmp = paths.tmp.to_string_lossy();
        all.extend(["TMPDIR", "TMP", "TEMP"].map(|name| (name, tmp.clone())));
        let cpus = order.cpus.max(1).to_string();
        all.extend(THREADS.map(|name| (name, cpus.clone().into())));
        for (name, value) in &order.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let name = name.escape_debug();
                return Err(Failure::job(format!(
                    "`{name}` cannot be set in an environment"
                )));
            }
            all.insert(name, value.into());
        }
        let mut set = |name: &'static str, value: String| all.insert(name, value.into());
        set(CLAIM_VARIABLE, claim.to_string());
        set("UPDRAFT_JOB", order.job.to_string());
        set("UPDRAFT_ATTEMPT", order.attempt.to_string());
        set("UPDRAFT_CPUS", order.cpus.to_string());
        all.insert(SCRATCH_VARIABLE, paths.dir.to_string_lossy());
        all.insert("UPDRAFT_METRICS", paths.metrics.to_string_lossy());
        if order.params.is_some() {
            all.insert("UPDRAFT_PARAMS", paths.params.to_string_lossy());
        }
        self.show_gpus(order, &mut all);
        Ok(all)
    }

    fn show_gpus<'a>(&'a self, order: &'a WorkOrder, all: &mut Variables<'a>) {
        if order.gpus.is_empty() {
            all.insert("CUDA_VISIBLE_DEVICES", NO_GPU.into());
            all.insert("GPU_DEVICE_ORDINAL", NO_GPU.into());
            all.insert("NVIDIA_VISIBLE_DEVICES", NO_GPU_IN_CONTAINERS.into());
            all.remove(ASSIGNED_GPUS);
            return;
        }
        let named = order.gpus.iter().map(|id| match order.gpu_naming {
            GpuNaming::Uuid => id.clone(),
            // An instance of a divided GPU has no number, and goes by its UUID anyway.
            GpuNaming::Index => self.devices.get(id).map_or(id.clone(), u32::to_string),
        });
        let shown = named.collect::<Vec<_>>().join(",");
        for name in [
            "CUDA_VISIBLE_DEVICES",
            "GPU_DEVICE_ORDINAL",
            "NVIDIA_VISIBLE_DEVICES",
        ] {
            all.insert(name, shown.clone().into());
        }
        if order.gpu_naming == GpuNaming::Index {
            // CUDA counts the fastest device first unless it is told to count as the driver does.
            all.insert("CUDA_DEVICE_ORDER", "PCI_BUS_ID".into());
        }
        all.insert(ASSIGNED_GPUS, order.gpus.join(",").into());
        all.insert(
            "UPDRAFT_EXIT_GPU_MEMORY",
            EXIT_GPU_MEMORY.to_string().into(),
        );
        if let Some(mib) = order.gpu_memory_mib {
            all.insert("UPDRAFT_GPU_MEMORY_MIB", mib.to_string().into());
        }
    }
}

/// Names and amounts of an order's custom resources, as variables.
pub(super) fn resource_variables(order: &WorkOrder) -> Vec<(String, String)> {
    let variable = |(name, amount): (&String, &u64)| (resource_variable(name), amount.to_string());
    order.resources.iter().map(variable).collect()
}

/// Where a job finds how much it has of a custom resource. What cannot be in a variable's name
/// becomes `_`.
fn resource_variable(name: &str) -> String {
    let part = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_uppercase(),
        false => '_',
    };
    format!(
        "UPDRAFT_RESOURCE_{}",
        name.chars().map(part).collect::<String>()
    )
}

/// The file that `name` means to somebody in `dir` with this `PATH`: a path, or the first
/// executable file of that name.
pub(super) fn find_program(name: &str, dir: &Path, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(dir.join(name));
    }
    let candidates = path.split(':').filter(|entry| entry.starts_with('/'));
    candidates
        .map(|entry| Path::new(entry).join(name))
        .find(|file| super::process::is_program(file))
}
