//! The worker's directory: where everything is, the lock that keeps a second worker out, and the
//! cleaning up after an earlier life. Holds no contents: reports are the spool's, blobs the
//! cache's.
//!
//! ```text
//! lock             held while a worker lives; its text is the worker's process id
//! spool/N.log      reports that the manager has not confirmed
//! cache/           staged files by digest
//! jobs/N/          the sandbox of one job at a time; see `sandbox`
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::WorkerError;
use crate::leftovers;

/// Where everything is.
#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
}

/// The right to use a state directory, until dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held, not read")] Flock<File>);

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
        leftovers::kill_all(&jobs);
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

    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
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
