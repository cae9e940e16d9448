//! The loop that owns the core: facts in, effects out. It never waits for a disk, a process or the
//! net.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::nouns::{ClaimId, LogStream, ToManager, WorkOrder};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use worker_core::{Core, Effect, Phase};

use crate::WorkerError;
use crate::backoff::random_u64;
use crate::blobs::Blobs;
use crate::cache::Cache;
use crate::clock;
use crate::job::{self, Ending, House, Job, JobEvent};
use crate::link::{self, Line, LinkEvent};
use crate::settings::{Plan, STOP_ACK_MS_MAX, STOP_GRACE_MS_MAX, STOP_MS_MAX, VERSION};
use crate::spool::{self, Op, Spool};
use crate::state::{Lock, State};

/// Events of jobs, and messages of the manager, that may wait for the loop.
const JOB_EVENTS_MAX: usize = 1_024;
const LINK_EVENTS_MAX: usize = 1_024;

/// A worker that is ready to run.
pub(crate) struct Daemon {
    core: Core,
    house: Arc<House>,
    endpoint: tonic::transport::Endpoint,
    line: Option<Line>,
    /// How to end each claim that runs.
    endings: BTreeMap<ClaimId, watch::Sender<Option<Ending>>>,
    /// Jobs, and small work on their files.
    jobs: JoinSet<()>,
    events: mpsc::Sender<JobEvent>,
    inbox: Inbox,
    spool: Spool,
    /// When to give up, once asked to stop.
    patience: Option<Instant>,
    /// Given back last, when nothing of this worker touches the directory any more.
    lock: Lock,
}

/// Everything the loop listens to besides the link.
struct Inbox {
    jobs: mpsc::Receiver<JobEvent>,
    spooled: mpsc::UnboundedReceiver<ToManager>,
}

impl Daemon {
    /// Takes the state directory and puts the parts together. Nothing is said yet.
    pub async fn build(plan: Plan) -> Result<Daemon, WorkerError> {
        let Plan {
            endpoint,
            name,
            offer,
            state_dir,
            cache_bytes_max,
            trainer,
        } = plan;
        let blobs = Arc::new(Blobs::new(endpoint.connect_lazy()));
        let shared = blobs.clone();
        let open = move || -> Result<_, WorkerError> {
            let (state, lock) = State::open(&state_dir)?;
            let wrong = |path, source| WorkerError::State { path, source };
            let cache = Cache::open(state.cache(), cache_bytes_max, shared)
                .map_err(|source| wrong(state.cache(), source))?;
            let (files, reports) =
                spool::load(state.spool()).map_err(|source| wrong(state.spool(), source))?;
            Ok((state, lock, cache, files, reports))
        };
        let opened = tokio::task::spawn_blocking(open).await;
        let (state, lock, cache, files, reports) =
            opened.map_err(|source| WorkerError::Died { source })??;
        let mut core = Core::new(name, random_u64(), VERSION.to_owned(), offer);
        core.recovered(reports);
        let (events, jobs) = mpsc::channel(JOB_EVENTS_MAX);
        let (done, spooled) = mpsc::unbounded_channel();
        let spool = spool::start(files, done);
        Ok(Daemon {
            core,
            house: Arc::new(House::new(state, cache, blobs, trainer)),
            endpoint,
            line: None,
            endings: BTreeMap::new(),
            jobs: JoinSet::new(),
            events,
            inbox: Inbox { jobs, spooled },
            spool,
            patience: None,
            lock,
        })
    }

    /// Runs until `stop`, then until nothing is left to do or patience ends.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let (link_events, mut from_link) = mpsc::channel(LINK_EVENTS_MAX);
        let link = tokio::spawn(link::keep(self.endpoint.clone(), link_events));
        let mut stop = std::pin::pin!(stop);
        while !self.is_done() {
            let deadline = self
                .core
                .next_deadline()
                .map(|(mono_ms, _)| clock::instant(mono_ms));
            tokio::select! {
                Some(event) = from_link.recv() => self.on_link(event).await,
                Some(event) = self.inbox.jobs.recv() => self.on_job(event).await,
                Some(message) = self.inbox.spooled.recv() => self.send(message),
                () = sleep_until(deadline) => {
                    let effects = self.core.tick(clock::now());
                    self.carry_out(effects).await;
                }
                () = &mut stop, if self.patience.is_none() => self.begin_stop().await,
                () = sleep_until(self.patience) => break,
                Some(_) = self.jobs.join_next() => {}
            }
        }
        self.end(link).await;
    }

    async fn begin_stop(&mut self) {
        tracing::info!("stopping: {} claims are known", self.core.claims().count());
        self.patience = Some(Instant::now() + Duration::from_millis(STOP_MS_MAX));
        let effects = self.core.stop(clock::now());
        self.carry_out(effects).await;
        self.shorten_patience();
    }

    /// Without jobs there is only the manager's word to wait for, and that comes soon or not at
    /// all.
    fn shorten_patience(&mut self) {
        let Some(patience) = self.patience else {
            return;
        };
        if self.runs_nothing() {
            let soon = Instant::now() + Duration::from_millis(STOP_ACK_MS_MAX);
            self.patience = Some(patience.min(soon));
        }
    }

    fn is_done(&self) -> bool {
        let nobody_to_wait_for = self.line.is_none() && self.runs_nothing();
        self.patience.is_some() && (self.core.is_empty() || nobody_to_wait_for)
    }

    fn runs_nothing(&self) -> bool {
        self.core
            .claims()
            .all(|(_, phase)| phase == Phase::Finished)
    }

    /// Kills what still runs and sees the last reports onto the disk.
    async fn end(self, link: tokio::task::JoinHandle<()>) {
        let Daemon {
            mut jobs,
            spool,
            events,
            line,
            inbox,
            lock,
            ..
        } = self;
        // First the ears, so that nobody waits to be heard.
        drop((line, events, inbox));
        jobs.shutdown().await;
        link.abort();
        let Spool { queue, task } = spool;
        drop(queue);
        if let Err(error) = task.await {
            tracing::warn!("the reports' writer ended by a fault: {error}");
        }
        drop(lock);
    }
}

// === events ===

impl Daemon {
    async fn on_link(&mut self, event: LinkEvent) {
        let now = clock::now();
        let effects = match event {
            LinkEvent::Up(line) => {
                self.line = Some(line);
                self.core.connected(now)
            }
            LinkEvent::Message(message) => self.core.message(now, message),
            LinkEvent::Down => {
                self.line = None;
                self.core.disconnected(now)
            }
        };
        self.carry_out(effects).await;
    }

    async fn on_job(&mut self, event: JobEvent) {
        let now = clock::now();
        let effects = match event {
            JobEvent::Spawned(claim) => self.core.spawned(now, claim),
            JobEvent::NotStarted {
                claim,
                fault,
                reason,
            } => {
                self.endings.remove(&claim);
                tracing::info!("{claim} did not start: {reason}");
                self.core.spawn_failed(now, claim, fault, reason)
            }
            JobEvent::Progress { claim, lines } => self.core.progress(now, claim, lines),
            JobEvent::Ended { claim, report } => {
                self.endings.remove(&claim);
                self.core.ended(now, claim, *report)
            }
            JobEvent::Log {
                request,
                offset,
                bytes,
            } => {
                self.send(ToManager::Log {
                    request,
                    offset,
                    bytes,
                });
                return;
            }
        };
        self.carry_out(effects).await;
        self.shorten_patience();
    }
}

// === effects ===

impl Daemon {
    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                // Behind its report, which must be durable first.
                Effect::Send(message @ ToManager::Finished { .. }) => {
                    self.spool(Op::Then(message)).await;
                }
                Effect::Send(message) => self.send(message),
                Effect::Run { claim, order } => self.start(claim, *order),
                Effect::Kill {
                    claim,
                    signal,
                    grace_ms,
                } => self.end_claim(claim, signal, grace_ms),
                Effect::Spool { claim, report } => self.spool(Op::Write { claim, report }).await,
                Effect::ForgetSpool { claim } => {
                    self.spool(Op::Remove { claim }).await;
                    let house = self.house.clone();
                    self.jobs
                        .spawn_blocking(move || house.state.remove_job(claim));
                }
                Effect::Tail {
                    request,
                    claim,
                    stream,
                    offset,
                } => {
                    self.tail(request, claim, stream, offset);
                }
                Effect::Close { reason } => {
                    tracing::info!("the manager closes the session: {reason}");
                    self.line = None;
                }
            }
        }
    }

    fn send(&mut self, message: ToManager) {
        let Some(line) = &self.line else { return };
        if line.outbound.try_send(message.into()).is_err() {
            tracing::warn!("the session takes no more messages, opening a new one");
            self.line = None;
            self.core.disconnected(clock::now());
        }
    }

    /// Waits only if the disk is far behind; the writer never waits for this loop.
    async fn spool(&mut self, op: Op) {
        self.spool
            .queue
            .send(op)
            .await
            .expect("the writer lives as long as its queue");
    }

    fn start(&mut self, claim: ClaimId, order: WorkOrder) {
        tracing::debug!("{claim} is job {}, attempt {}", order.job, order.attempt);
        let (ending, asked) = watch::channel(None);
        self.endings.insert(claim, ending);
        let (house, events) = (self.house.clone(), self.events.clone());
        self.jobs.spawn(
            Job {
                house,
                claim,
                order,
                asked,
                events,
            }
            .run(),
        );
    }

    fn end_claim(&mut self, claim: ClaimId, signal: i32, grace_ms: u64) {
        let stopping = self.patience.is_some();
        let grace_ms = if stopping {
            grace_ms.min(STOP_GRACE_MS_MAX)
        } else {
            grace_ms
        };
        if let Some(ending) = self.endings.get(&claim) {
            ending.send_replace(Some(Ending {
                signal,
                grace: Duration::from_millis(grace_ms),
            }));
        }
    }

    fn tail(&mut self, request: u64, claim: ClaimId, stream: LogStream, offset: u64) {
        let path = self.house.state.job(claim).log(stream);
        let events = self.events.clone();
        self.jobs.spawn_blocking(move || {
            let bytes = job::read_log(&path, offset);
            // Nobody listens when the worker is about to end.
            let _ = events.blocking_send(JobEvent::Log {
                request,
                offset,
                bytes,
            });
        });
    }
}

/// Never, if there is no moment.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
