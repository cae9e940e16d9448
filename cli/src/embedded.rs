//! A manager and a worker inside this process, for `updraft run`. Nobody else is served: the
//! manager listens on a free loopback port, and one process at a time holds the state directory.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use proto::nouns::WorkerName;

use crate::exit::Failure;
use crate::output::told;
use crate::settings::Address;
use crate::verbs::{manager as manager_verb, worker as worker_verb};

/// The one worker's name.
const WORKER_NAME: &str = "local";

/// The manager, running, and the worker once there is something to do.
pub struct Embedded {
    manager: manager::Manager,
    worker: Option<worker::Running>,
    worker_dir: PathBuf,
    /// Held for as long as they run.
    _lock: Flock<File>,
}

impl Embedded {
    /// Starts the manager with its state below `state_dir`, which must exist.
    ///
    /// # Errors
    /// The directory is in use, or the manager cannot start.
    pub async fn start(state_dir: &Path) -> Result<Embedded, Failure> {
        let lock = lock(state_dir)?;
        let mut settings = manager::Settings::new(state_dir.join("manager"));
        settings.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let manager = manager::start(settings)
            .await
            .map_err(|error| manager_verb::start_failure(&error))?;
        Ok(Embedded {
            manager,
            worker: None,
            worker_dir: state_dir.join("worker"),
            _lock: lock,
        })
    }

    /// Starts the worker: from here on jobs run.
    ///
    /// # Errors
    /// It cannot start.
    pub async fn begin_work(&mut self, cpus: Option<u32>) -> Result<(), Failure> {
        let worker = worker::start(worker::Settings {
            manager: self.manager.address().to_string(),
            state_dir: self.worker_dir.clone(),
            name: Some(worker_name()),
            cpus,
            trainer: own_program()?,
            ..worker::Settings::default()
        });
        self.worker = Some(worker.await.map_err(worker_verb::failure)?);
        Ok(())
    }

    pub fn address(&self) -> Address {
        Address::of(self.manager.address())
    }

    /// Resolves only if the manager ends by itself, with the reason.
    pub async fn died(&mut self) -> Failure {
        match self.manager.stopped().await {
            Ok(()) => Failure::Internal("the manager ended by itself".to_owned()),
            Err(fault) => Failure::Internal(format!("the manager ended: {}", told(&fault))),
        }
    }

    /// Vacates the jobs, then drains the manager: in this order, so that what the worker reports
    /// last is kept.
    ///
    /// # Errors
    /// One of the two did not end as it should; what was acknowledged is on disk all the same.
    pub async fn stop(self) -> Result<(), Failure> {
        let worker = match self.worker {
            Some(worker) => worker.stop().await.map_err(worker_verb::failure),
            None => Ok(()),
        };
        let manager = self.manager.drain().await;
        let manager = manager.map_err(|fault| Failure::Internal(told(&fault)));
        worker.and(manager)
    }
}

/// The program whose `train` verb is the trainer: this one.
///
/// # Errors
/// The system does not say where it is.
pub fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::Internal(format!("cannot find this program: {error}")))
}

fn worker_name() -> WorkerName {
    WORKER_NAME
        .parse()
        .expect("the constant is a worker's name")
}

fn lock(state_dir: &Path) -> Result<Flock<File>, Failure> {
    let path = state_dir.join("lock");
    let wrong = |error: std::io::Error| Failure::Work(format!("{}: {error}", path.display()));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(wrong)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(Failure::Work(format!(
            "another `updraft run` is at work in {}; wait for it, or give --state-dir",
            state_dir.display()
        ))),
        Err((_, errno)) => Err(wrong(errno.into())),
    }
}
