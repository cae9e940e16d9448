//! One claim, from its order to its report: stage, start, watch, collect, deliver. Says what
//! happened by [`JobEvent`]s; what that means for the session is the core's business.

mod environment;
mod logs;
mod memory;
mod metrics;
mod outputs;
mod process;
mod stage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::nouns::{
    ClaimId, Ended, Exceeds, Fault, Input, LogStream, Outputs, RelPath, Report, WorkOrder,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::blobs::{BlobError, Blobs, Patience, Source};
use crate::cache::{Cache, Identity};
use crate::clock;
use crate::sandbox::{Left, Paths, Sandboxes, Taken};
use crate::settings::Enforcement;
use crate::starter::Starter;
use crate::state::State;
use crate::sys::Usage;

pub(crate) use logs::read_log;

use environment::{Base, EXIT_GPU_MEMORY};
use memory::Census;
use metrics::MetricsReader;
use outputs::Collected;
use process::Process;

/// How often a running job's metrics file and its memory are looked at; a job that is over before
/// is looked at once.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// How long the logs of a job that was asked to end may take to the manager; without them it still
/// has its report.
const VACATED_LOGS_TIMEOUT: Duration = Duration::from_secs(3);

/// What all jobs of a worker share.
#[derive(Debug)]
pub(crate) struct House {
    pub sandboxes: Arc<Sandboxes>,
    pub starter: Arc<Starter>,
    pub cache: Arc<Cache>,
    blobs: Arc<Blobs>,
    trainer: PathBuf,
    base: Base,
    enforcement: Enforcement,
    census: Census,
}

/// How a job is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub signal: i32,
    pub grace: Duration,
}

/// What became of a job, or of a question about it.
#[derive(Debug)]
pub(crate) enum JobEvent {
    Spawned(ClaimId),
    /// Nothing of it runs any more; its report is to come.
    Over(ClaimId),
    NotStarted {
        claim: ClaimId,
        fault: Fault,
        reason: String,
    },
    Progress {
        claim: ClaimId,
        lines: Vec<String>,
    },
    Ended {
        claim: ClaimId,
        report: Box<Report>,
    },
    Log {
        request: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
}

/// One attempt.
pub(crate) struct Job {
    pub house: Arc<House>,
    pub claim: ClaimId,
    pub order: Arc<WorkOrder>,
    /// Becomes something when the job is asked to end.
    pub asked: watch::Receiver<Option<Ending>>,
    pub events: mpsc::Sender<JobEvent>,
}

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not be run, or not be brought home.
    NotStarted { fault: Fault, reason: String },
    /// It was asked to end before it ran.
    Vacated,
}

/// A job that runs, with what is needed when it ends.
struct Started {
    /// Dropped before its sandbox.
    process: Process,
    sandbox: Taken,
    at_ms: u64,
    /// Inputs as they were placed: what is still so is no output.
    placed: BTreeMap<RelPath, (Input, Identity)>,
}

impl House {
    /// `devices` are the driver's numbers of the machine's GPUs, by id.
    pub fn new(
        state: &State,
        cache: Arc<Cache>,
        blobs: Arc<Blobs>,
        trainer: PathBuf,
        devices: BTreeMap<String, u32>,
        enforcement: Enforcement,
    ) -> House {
        let base = Base::new(trainer.parent(), devices);
        House {
            sandboxes: Sandboxes::new(state.jobs()),
            starter: Arc::default(),
            cache,
            blobs,
            trainer,
            base,
            enforcement,
            census: Census::default(),
        }
    }
}

impl Failure {
    pub fn job(reason: String) -> Failure {
        Failure::NotStarted {
            fault: Fault::Job,
            reason,
        }
    }

    pub fn worker(reason: String) -> Failure {
        Failure::NotStarted {
            fault: Fault::Worker,
            reason,
        }
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Failure {
        Failure::worker(error.to_string())
    }
}

impl Job {
    /// Runs the attempt and says how it ended.
    pub async fn run(mut self) {
        let started_ms = clock::wall_ms();
        let claim = self.claim;
        let event = match self.attempt().await {
            Ok(report) => JobEvent::Ended { claim, report },
            Err(Failure::NotStarted { fault, reason }) => JobEvent::NotStarted {
                claim,
                fault,
                reason,
            },
            Err(Failure::Vacated) => {
                let report = Box::new(Report::new(Ended::Vacated, started_ms, clock::wall_ms()));
                JobEvent::Ended { claim, report }
            }
        };
        self.tell(event).await;
    }

    async fn attempt(&mut self) -> Result<Box<Report>, Failure> {
        let mut asked = self.asked.clone();
        let started = tokio::select! {
            biased;
            () = asked_to_end(&mut asked) => return Err(Failure::Vacated),
            started = self.stage_and_start() => started?,
        };
        self.tell(JobEvent::Spawned(self.claim)).await;
        let Started {
            process,
            sandbox,
            at_ms,
            placed,
        } = started;
        let paths = sandbox.keep();
        let mut seen = Seen::new(&paths);
        self.watch(&process, &mut seen).await?;
        let (ended, usage) = process.reap().map_err(lost)?;
        let ended = match self.asked.borrow().is_some() {
            true => Ended::Vacated,
            false => self.judge(ended, usage, &seen),
        };
        let mut report = Report::new(ended, at_ms, clock::wall_ms());
        fill_usage(&mut report, usage);
        let plain = self.order.inputs.is_empty() && self.order.params.is_none();
        let awaited = matches!(&self.order.outputs, Outputs::Listed(paths) if !paths.is_empty());
        if plain && !awaited && paths.look() == Left::Nothing {
            self.house.sandboxes.give_back(self.claim, Left::Nothing);
            return Ok(Box::new(report));
        }
        self.tell(JobEvent::Over(self.claim)).await;
        self.bring_home(report, seen, paths, placed, &mut asked)
            .await
    }

    /// Collects what the job left, and delivers it.
    async fn bring_home(
        &self,
        mut report: Report,
        seen: Seen,
        paths: Paths,
        placed: BTreeMap<RelPath, (Input, Identity)>,
        asked: &mut watch::Receiver<Option<Ending>>,
    ) -> Result<Box<Report>, Failure> {
        let outputs = self.order.outputs.clone();
        let vacated = report.ended == Ended::Vacated;
        let metrics = seen.metrics;
        let collecting = move || -> Result<_, Failure> {
            let collected = match vacated {
                true => Collected::default(),
                false => outputs::collect(&paths.dir, &outputs, &placed)?,
            };
            Ok((collected, finish_metrics(metrics), finish_logs(&paths)))
        };
        let (collected, (metrics, lines), logs) = blocking(collecting).await??;
        self.progress(lines).await;
        report.metrics = metrics.values;
        report.metrics_error = metrics.error;
        let mut sources = collected.sources;
        report.outputs = collected.files;
        report.missing = collected.missing;
        for (stream, log) in logs {
            let Some((blob, source)) = log else { continue };
            sources.push(source);
            match stream {
                LogStream::Stdout => report.stdout = Some(blob),
                LogStream::Stderr => report.stderr = Some(blob),
            }
        }
        self.deliver(&sources, &mut report, asked).await?;
        Ok(Box::new(report))
    }

    /// What a job's end means, given what it was seen to use.
    fn judge(&self, ended: Ended, usage: Usage, seen: &Seen) -> Ended {
        let limit_mib = self.order.memory_mib;
        let used_mib = seen.used_mib.max(usage.rss_max_kib >> 10);
        let exceeded = |resource, used_mib| Ended::Exceeded { resource, used_mib };
        match ended {
            // By this worker, or by the kernel when the machine had no more.
            Ended::Signaled(libc::SIGKILL) if limit_mib > 0 && used_mib > limit_mib => {
                exceeded(Exceeds::Memory, used_mib)
            }
            Ended::Exited(EXIT_GPU_MEMORY) if !self.order.gpus.is_empty() => {
                exceeded(Exceeds::GpuMemory, 0)
            }
            Ended::Exited(_)
            | Ended::Signaled(_)
            | Ended::Vacated
            | Ended::Exceeded { .. }
            | Ended::NotStarted { .. } => ended,
        }
    }

    async fn deliver(
        &self,
        sources: &[Source],
        report: &mut Report,
        asked: &mut watch::Receiver<Option<Ending>>,
    ) -> Result<(), Failure> {
        let blobs = &self.house.blobs;
        if report.ended != Ended::Vacated {
            tokio::select! {
                biased;
                delivered = blobs.deliver(sources, Patience::Endless) => {
                    return delivered.map_err(|error| {
                        Failure::worker(format!("its outputs could not be delivered: {error}"))
                    });
                }
                () = asked_to_end(asked) => {}
            }
            // What it made is not wanted any more.
            report.ended = Ended::Vacated;
            report.outputs.clear();
        }
        let logs = [report.stdout, report.stderr]
            .into_iter()
            .flatten()
            .map(|blob| blob.digest);
        let logs: Vec<_> = logs.collect();
        let sources: Vec<Source> = sources
            .iter()
            .filter(|source| logs.contains(&source.digest))
            .cloned()
            .collect();
        let delivery = blobs.deliver(&sources, Patience::Once);
        match tokio::time::timeout(VACATED_LOGS_TIMEOUT, delivery).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => (report.stdout, report.stderr) = (None, None),
        }
        Ok(())
    }

    async fn tell(&self, event: JobEvent) {
        // Nobody listens when the worker is about to end, and then this job is about to be dropped.
        let _ = self.events.send(event).await;
    }

    async fn progress(&self, lines: Vec<String>) {
        for lines in metrics::batches(lines) {
            self.tell(JobEvent::Progress {
                claim: self.claim,
                lines,
            })
            .await;
        }
    }
}

// === watching ===

impl Job {
    /// Waits for the process, passes its metrics on, ends it when asked to, and when it uses more
    /// memory than it has.
    async fn watch(&mut self, process: &Process, seen: &mut Seen) -> Result<(), Failure> {
        let mut timer = tokio::time::interval_at(Instant::now() + LOOK_PERIOD, LOOK_PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kill_at: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                over = process.over() => return over.map_err(lost),
                Ok(()) = self.asked.changed() => {
                    if let Some(ending) = *self.asked.borrow_and_update() {
                        process.signal(ending.signal);
                        kill_at = Some(Instant::now() + ending.grace);
                    }
                }
                () = tokio::time::sleep_until(kill_at.unwrap_or_else(Instant::now)),
                    if kill_at.is_some() =>
                {
                    process.kill();
                    kill_at = None;
                }
                _ = timer.tick() => self.look(process, seen).await?,
            }
        }
    }

    /// Looks at a job that runs.
    async fn look(&self, process: &Process, seen: &mut Seen) -> Result<(), Failure> {
        let mut metrics = std::mem::take(&mut seen.metrics);
        let (house, leader) = (self.house.clone(), process.leader());
        let limit_mib = self.order.memory_mib;
        let measure = move || {
            let lines = metrics.read();
            let used_mib = match limit_mib {
                0 => 0,
                limit_mib => house.census.used_mib(leader, limit_mib),
            };
            (metrics, lines, used_mib)
        };
        let lines;
        (seen.metrics, lines, seen.used_mib) = blocking(measure).await?;
        if seen.used_mib > limit_mib && self.house.enforcement == Enforcement::Kill {
            tracing::info!(
                "{} uses {} MiB of memory and has {limit_mib}: it is killed",
                self.claim,
                seen.used_mib
            );
            process.kill();
        }
        self.progress(lines).await;
        Ok(())
    }
}

/// What was learned of a job while it ran.
struct Seen {
    metrics: MetricsReader,
    /// At the last look.
    used_mib: u64,
}

impl Seen {
    fn new(paths: &Paths) -> Seen {
        Seen {
            metrics: MetricsReader::new(paths.metrics.clone()),
            used_mib: 0,
        }
    }
}

/// Returns when the job is asked to end; never, if nobody can ask any more.
async fn asked_to_end(asked: &mut watch::Receiver<Option<Ending>>) {
    if asked.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn lost(error: std::io::Error) -> Failure {
    Failure::worker(format!("its process could not be waited for: {error}"))
}

// === reporting ===

fn finish_metrics(mut reader: MetricsReader) -> (metrics::Metrics, Vec<String>) {
    let lines = reader.read_to_end();
    (reader.metrics, lines)
}

type Log = Option<(proto::nouns::Blob, Source)>;

fn finish_logs(paths: &Paths) -> [(LogStream, Log); 2] {
    [LogStream::Stdout, LogStream::Stderr].map(|stream| (stream, logs::seal(paths, stream)))
}

fn fill_usage(report: &mut Report, usage: Usage) {
    report.user_cpu_ms = usage.user_cpu_ms;
    report.system_cpu_ms = usage.system_cpu_ms;
    report.rss_max_kib = usage.rss_max_kib;
}

/// Runs what waits for the disk where waiting hurts nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::worker(format!("the worker failed: {error}")))
}
