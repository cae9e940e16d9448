//! The worker's directory: where everything is, the lock that keeps a second worker out, and the
//! cleaning up after an earlier life. Holds no contents: reports are the spool's, blobs the
//! cache's.
//!
//! ```text
//! lock             held while a worker lives; its text is the worker's process id
//! spool/N.report   reports that the manager has not confirmed
//! cache/           staged files by digest
//! jobs/CLAIM/      0700: dir/ (the job's own), tmp/, stdout, stderr, metrics.jsonl, params.json
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::nouns::{ClaimId, LogStream};

use crate::WorkerError;

/// Environment variable by which the processes of a claim are known, wherever they went.
pub(crate) const CLAIM_VARIABLE: &str = "UPDRAFT_CLAIM";
/// The job's directory, under the name that HTCondor's jobs look for.
pub(crate) const SCRATCH_VARIABLE: &str = "_CONDOR_SCRATCH_DIR";

/// How often processes of an earlier life are looked for again after they were killed, and how long
/// between.
const LEFTOVER_ROUNDS_MAX: u32 = 100;
const LEFTOVER_PAUSE: Duration = Duration::from_millis(20);

/// Where everything is.
#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
}

/// The right to use a state directory, until dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held, not read")] Flock<File>);

/// One claim's corner of it.
#[derive(Clone, Debug)]
pub(crate) struct JobPaths {
    pub root: PathBuf,
    /// The job's working directory.
    pub dir: PathBuf,
    pub tmp: PathBuf,
    pub metrics: PathBuf,
    pub params: PathBuf,
}

impl State {
    /// Takes the directory, kills what an earlier worker left running in it and removes those jobs'
    /// files. Blocks; called once.
    pub fn open(root: &Path) -> Result<(State, Lock), WorkerError> {
        let wrong = |path: &Path, source| WorkerError::State {
            path: path.to_owned(),
            source,
        };
        make_dir(root).map_err(|source| wrong(root, source))?;
        let root = root.canonicalize().map_err(|source| wrong(root, source))?;
        let lock = Lock(lock(&root)?);
        let state = State { root };
        for dir in [state.spool(), state.cache()] {
            make_dir(&dir).map_err(|source| wrong(&dir, source))?;
        }
        let jobs = state.jobs();
        kill_leftovers(&jobs);
        match std::fs::remove_dir_all(&jobs) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(wrong(&jobs, source));
            }
            Ok(()) | Err(_) => {}
        }
        make_dir(&jobs).map_err(|source| wrong(&jobs, source))?;
        Ok((state, lock))
    }

    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    pub fn job(&self, claim: ClaimId) -> JobPaths {
        let root = self.jobs().join(claim.to_string());
        JobPaths {
            dir: root.join("dir"),
            tmp: root.join("tmp"),
            metrics: root.join("metrics.jsonl"),
            params: root.join("params.json"),
            root,
        }
    }

    /// Removes what the claim left on disk. Blocks.
    pub fn remove_job(&self, claim: ClaimId) {
        let root = self.job(claim).root;
        match std::fs::remove_dir_all(&root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // The next start of a worker here tries again.
                tracing::warn!("cannot remove {}: {error}", root.display());
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl JobPaths {
    /// Makes the directories, for nobody but this user. What was there is removed.
    pub fn create(&self) -> io::Result<()> {
        match make_private_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_dir_all(&self.root)?;
                make_private_dir(&self.root)?;
            }
            other => other?,
        }
        make_private_dir(&self.dir)?;
        make_private_dir(&self.tmp)
    }

    pub fn log(&self, stream: LogStream) -> PathBuf {
        self.root.join(log_name(stream))
    }
}

/// The log's file in the claim's corner.
pub(crate) fn log_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn lock(root: &Path) -> Result<Flock<File>, WorkerError> {
    let path = root.join("lock");
    let wrong = |source| WorkerError::State {
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut lock = match Flock::lock(file.map_err(wrong)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            // Who holds it is only told if it can be read.
            let _ = file.read_to_string(&mut text);
            let holder = text.trim().parse().ok();
            return Err(WorkerError::Busy {
                path: root.to_owned(),
                holder,
            });
        }
        Err((_, errno)) => return Err(wrong(errno.into())),
    };
    lock.set_len(0).map_err(wrong)?;
    writeln!(lock, "{}", std::process::id()).map_err(wrong)?;
    Ok(lock)
}

/// Kills every process whose environment says that it belongs to a job below `jobs`, in whatever
/// process group it is. The two variables together tell this worker's jobs from those of another on
/// the same machine.
fn kill_leftovers(jobs: &Path) {
    let mut scratch = format!("{SCRATCH_VARIABLE}=").into_bytes();
    scratch.extend_from_slice(jobs.as_os_str().as_bytes());
    scratch.push(b'/');
    for round in 0..LEFTOVER_ROUNDS_MAX {
        let leftovers = leftovers(&scratch);
        if leftovers.is_empty() {
            return;
        }
        if round == 0 {
            tracing::warn!(
                "killing {} processes of jobs of an earlier worker",
                leftovers.len()
            );
        }
        for pid in leftovers {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(LEFTOVER_PAUSE);
    }
    tracing::warn!("some processes of an earlier worker's jobs cannot be killed");
}

fn leftovers(scratch: &[u8]) -> Vec<i32> {
    let claim = format!("{CLAIM_VARIABLE}=");
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        // Another user's processes cannot be read, and are not ours. Those already dead show
        // nothing.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
            return false;
        };
        let has = |start: &[u8]| {
            environment
                .split(|b| *b == 0)
                .any(|line| line.starts_with(start))
        };
        has(scratch) && has(claim.as_bytes())
    })
    .collect()
}
