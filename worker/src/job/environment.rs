//! The environment that a job starts with: a clean one of few variables, the job's own, and those
//! that say what it was given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::nouns::{ClaimId, WorkOrder};

use super::Failure;
use crate::state::{CLAIM_VARIABLE, JobPaths, SCRATCH_VARIABLE};

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
/// What HTCondor shows to a job without GPUs: a device that no machine has. An empty value would
/// mean every device to some libraries.
const NO_GPU: &str = "10000";
/// NVIDIA's container runtime has a word of its own for it, and fails on devices that are not
/// there.
const NO_GPU_IN_CONTAINERS: &str = "void";

/// What is the same for every job.
#[derive(Clone, Debug)]
pub(super) struct Base {
    inherited: BTreeMap<String, String>,
    path: String,
}

impl Base {
    /// `programs` comes first in `PATH`, so that a job can name this program.
    pub fn new(programs: Option<&Path>) -> Base {
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
        Base { inherited, path }
    }

    /// The whole environment. What tells the job its place wins over what it asks for.
    pub fn environment(
        &self,
        claim: ClaimId,
        order: &WorkOrder,
        paths: &JobPaths,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut all = self.inherited.clone();
        let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
        set("PATH", self.path.clone());
        for name in ["TMPDIR", "TMP", "TEMP"] {
            set(name, paths.tmp.display().to_string());
        }
        for name in THREADS {
            set(name, order.cpus.max(1).to_string());
        }
        for (name, value) in &order.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let name = name.escape_debug();
                return Err(Failure::job(format!(
                    "`{name}` cannot be set in an environment"
                )));
            }
            set(name, value.clone());
        }
        let gpus = order.gpus.join(",");
        let shown = |none: &str| {
            if gpus.is_empty() {
                none.to_owned()
            } else {
                gpus.clone()
            }
        };
        set("CUDA_VISIBLE_DEVICES", shown(NO_GPU));
        set("NVIDIA_VISIBLE_DEVICES", shown(NO_GPU_IN_CONTAINERS));
        set(CLAIM_VARIABLE, claim.to_string());
        set(SCRATCH_VARIABLE, paths.dir.display().to_string());
        set("UPDRAFT_JOB", order.job.to_string());
        set("UPDRAFT_ATTEMPT", order.attempt.to_string());
        set("UPDRAFT_CPUS", order.cpus.to_string());
        set("UPDRAFT_METRICS", paths.metrics.display().to_string());
        if order.params.is_some() {
            set("UPDRAFT_PARAMS", paths.params.display().to_string());
        }
        Ok(all)
    }
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
