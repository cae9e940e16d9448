//! The daemon beside the GPU: it offers a machine to a manager and runs the jobs that come.
//!
//! The way through: settings → config → build → run → drain. What a claim's life looks like is
//! decided in `worker-core`; here are the things that touch the world:
//!
//! - [`settings`] and [`config`]: flags and the condor-style configuration file
//! - [`discovery`], `health`: what this machine has, and whether that is well
//! - `state`, `spool`: the directory that outlives the process; reports that the manager has not
//!   confirmed
//! - `link`, `outbox`: the connection, made again for ever; what is about to be said. `daemon`: the
//!   loop that owns the core
//! - `blobs`, `cache`: bytes from and to the manager, by digest
//! - `job`: one claim's process, from staged inputs to uploaded outputs; `starter`, `spawn`,
//!   `sandbox` and `leftovers`: what starts it, where it runs, and what it left running
//!
//! A worker has a thread and a runtime of its own, whoever started it: a short job is a handful of
//! small steps, and to pass each to another thread would cost more than the steps.
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
mod health;
mod job;
mod leftovers;
mod link;
mod outbox;
mod sandbox;
pub mod settings;
mod spawn;
mod spool;
mod starter;
mod state;
mod sys;

use std::future::Future;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use daemon::Daemon;
pub use error::WorkerError;
pub use settings::Settings;

/// How long a worker that has ended waits for what hangs, on a network file system, say.
const HUNG_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs a worker until `stop`, then drains it: jobs are asked to end, their reports are delivered
/// or kept on disk. That takes at most [`settings::STOP_MS_MAX`].
///
/// # Errors Settings or a configuration that cannot be used, and a state directory that cannot be
/// used or is in use. A manager that does not answer is no error: the worker tries for ever.
pub async fn run(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), WorkerError> {
    let mut running = start(settings).await?;
    tokio::select! {
        () = stop => running.stop().await,
        // By itself a worker ends only by a fault of its own.
        ended = &mut running.task => ended.map_err(|source| WorkerError::Died { source }),
    }
}

/// Starts a worker in the background of a process that does other things too.
///
/// # Errors
/// As [`run`], found before this returns.
pub async fn start(settings: Settings) -> Result<Running, WorkerError> {
    let plan = settings::plan(settings)?;
    let (stop, stopped) = oneshot::channel();
    let (abandon, abandoned) = oneshot::channel();
    let (tell, built) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(live(plan, tell, stopped, abandoned));
                runtime.shutdown_timeout(HUNG_TIMEOUT);
            }
            Err(source) => drop(tell.send(Err(WorkerError::Thread { source }))),
        }
        let _ = end.send(());
    };
    let builder = thread::Builder::new().name("worker".to_owned());
    let thread = builder
        .spawn(body)
        .map_err(|source| WorkerError::Thread { source })?;
    let thread = Thread {
        abandon: Some(abandon),
        handle: Some(thread),
    };
    let task = tokio::spawn(async move {
        let _thread = thread;
        ended.await.expect("the worker's thread does not panic");
    });
    let running = Running { stop, task };
    match built.await {
        Ok(Ok(())) => Ok(running),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(running.stop().await.err().unwrap_or(WorkerError::Thread {
            source: std::io::Error::other("it ended at once"),
        })),
    }
}

/// The life of a worker, in its thread. Told to end it drains; abandoned it drops everything.
async fn live(
    plan: settings::Plan,
    tell: oneshot::Sender<Result<(), WorkerError>>,
    stopped: oneshot::Receiver<()>,
    abandoned: oneshot::Receiver<()>,
) {
    let daemon = match Daemon::build(plan).await {
        Ok(daemon) => daemon,
        // Whoever does not listen any more does not want to know.
        Err(error) => return drop(tell.send(Err(error))),
    };
    let _ = tell.send(Ok(()));
    let stop = async {
        // Dropped without a word means stop, too.
        let _ = stopped.await;
    };
    tokio::select! {
        () = daemon.run(stop) => {}
        _ = abandoned => {}
    }
}

/// A worker in the background. Dropping it asks the worker to stop and does not wait.
#[derive(Debug)]
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The worker's thread. It does not outlive the runtime that it was started from: dropped early,
/// the worker kills its jobs and ends.
struct Thread {
    abandon: Option<oneshot::Sender<()>>,
    handle: Option<thread::JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.abandon = None;
        if let Some(handle) = self.handle.take() {
            // That it panicked is known already.
            let _ = handle.join();
        }
    }
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
