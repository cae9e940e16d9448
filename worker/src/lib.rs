//! The daemon beside the GPU: it offers a machine to a manager and runs the jobs that come.
//!
//! The way through: settings → config → build → run → drain. What a claim's life looks like is
//! decided in `worker-core`; here are the things that touch the world:
//!
//! - [`settings`] and [`config`]: flags and the condor-style configuration file
//! - [`discovery`]: what this machine has
//! - `state`, `spool`: the directory that outlives the process; reports that the manager has not
//!   confirmed
//! - `link`: the connection, made again for ever; `daemon`: the loop that owns the core
//! - `blobs`, `cache`: bytes from and to the manager, by digest
//! - `job`: one claim's process, from staged inputs to uploaded outputs
//!
//! Refused here: matching, retry policy, anything that another worker would have to know.

mod backoff;
mod blobs;
mod cache;
mod clock;
pub mod config;
mod daemon;
pub mod discovery;
mod error;
mod job;
mod link;
pub mod settings;
mod spool;
mod state;
mod sys;

use std::future::Future;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use error::WorkerError;
pub use settings::Settings;

/// Runs a worker until `stop`, then drains it: jobs are asked to end, their reports are delivered
/// or kept on disk. That takes at most [`settings::STOP_MS_MAX`].
///
/// # Errors Settings or a configuration that cannot be used, and a state directory that cannot be
/// used or is in use. A manager that does not answer is no error: the worker tries for ever.
pub async fn run(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), WorkerError> {
    let plan = settings::plan(settings)?;
    let daemon = daemon::Daemon::build(plan).await?;
    daemon.run(stop).await;
    Ok(())
}

/// Starts a worker in the background of a process that does other things too.
///
/// # Errors
/// As [`run`], found before this returns.
pub async fn start(settings: Settings) -> Result<Running, WorkerError> {
    let plan = settings::plan(settings)?;
    let daemon = daemon::Daemon::build(plan).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(daemon.run(async {
        // Dropped without a word means stop, too.
        let _ = stopped.await;
    }));
    Ok(Running { stop, task })
}

/// A worker in the background. Dropping it asks the worker to stop and does not wait.
#[derive(Debug)]
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Drains the worker and waits for its end.
    ///
    /// # Errors
    /// The worker had ended by itself, which only a fault of its own can make it do.
    pub async fn stop(self) -> Result<(), WorkerError> {
        drop(self.stop);
        self.task
            .await
            .map_err(|source| WorkerError::Died { source })
    }
}
