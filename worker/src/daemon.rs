//! The loop that owns the core: facts in, effects out. It never waits for a disk, a process or the
//! net.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::nouns::{ClaimId, LogStream, Offer, ToManager, WorkOrder};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use worker_core::{CACHED_MAX, Core, Effect, Phase};

use crate::WorkerError;
use crate::backoff::random_u64;
use crate::blobs::Blobs;
use crate::cache::Cache;
use crate::clock;
use crate::health::{self, Health};
use crate::job::{self, Ending, House, Job, JobEvent};
use crate::link::{self, Line, LinkEvent};
use crate::outbox::{Demand, Outbox};
use crate::sandbox::Paths;
use crate::settings::{Plan, STOP_ACK_MS_MAX, STOP_GRACE_MS_MAX, STOP_MS_MAX, VERSION};
use crate::spool::{self, Spool};
use crate::state::{Lock, State};

/// Events of jobs, and messages of the manager, that may wait for the loop.
const JOB_EVENTS_MAX: usize = 1_024;
const LINK_EVENTS_MAX: usize = 1_024;
/// How many of either the loop takes at a time.
const EVENTS_TAKEN_MAX: usize = 64;
/// How often processes that outlived their jobs are looked for, if a job has ended since.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

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
    outbox: Outbox,
    spool: Spool,
    health: Health,
    sweep_at: Option<Instant>,
    /// When to give up, once asked to stop.
    patience: Option<Instant>,
    /// Given back last, when nothing of this worker touches the directory any more.
    lock: Lock,
}

/// Everything the loop listens to besides the link.
struct Inbox {
    jobs: mpsc::Receiver<JobEvent>,
    /// What the machine offers now.
    offers: mpsc::Receiver<Offer>,
}

impl Daemon {
    /// Takes the state directory and puts the parts together. Nothing is said yet.
    pub async fn build(plan: Plan) -> Result<Daemon, WorkerError> {
        let Plan {
            endpoint,
            name,
            found,
            wanted,
            look_period,
            state_dir,
            cache_bytes_max,
            trainer,
            enforcement,
        } = plan;
        let blobs = Arc::new(Blobs::new(endpoint.connect_lazy()));
        let shared = blobs.clone();
        let open = move || -> Result<_, WorkerError> {
            let (state, lock) = State::open(&state_dir)?;
            let wrong = |path, source| WorkerError::State { path, source };
            let cache = Cache::open(state.cache(), cache_bytes_max, shared)
                .map_err(|source| wrong(state.cache(), source))?;
            let (log, reports) =
                spool::load(state.spool()).map_err(|source| wrong(state.spool(), source))?;
            Ok((state, lock, cache, log, reports))
        };
        let opened = tokio::task::spawn_blocking(open).await;
        let (state, lock, cache, log, reports) =
            opened.map_err(|source| WorkerError::Died { source })??;
        let offer = found.offer.clone();
        let mut core = Core::new(name, random_u64(), VERSION.to_owned(), offer);
        core.recovered(reports);
        let (events, jobs) = mpsc::channel(JOB_EVENTS_MAX);
        let (health, offers) = health::start(wanted, found.offer, look_period);
        let house = House::new(&state, cache, blobs, trainer, found.devices, enforcement);
        Ok(Daemon {
            core,
            house: Arc::new(house),
            endpoint,
            line: None,
            endings: BTreeMap::new(),
            jobs: JoinSet::new(),
            events,
            inbox: Inbox { jobs, offers },
            outbox: Outbox::default(),
            spool: Spool::new(log),
            health,
            sweep_at: None,
            patience: None,
            lock,
        })
    }

    /// Runs until `stop`, then until nothing is left to do or patience ends.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let (link_events, mut from_link) = mpsc::channel(LINK_EVENTS_MAX);
        let link = tokio::spawn(link::keep(self.endpoint.clone(), link_events));
        let mut stop = std::pin::pin!(stop);
        let (mut heard, mut happened) = (Vec::new(), Vec::new());
        // One timer for everything: to set one costs more than to look at what is due.
        let mut timer = std::pin::pin!(tokio::time::sleep_until(Instant::now()));
        let mut armed = None;
        while !self.is_done() {
            let next = self.next_deadline();
            // One that rings too early does no harm.
            if next.is_some_and(|next| armed.is_none_or(|armed| next < armed)) {
                next.into_iter().for_each(|next| timer.as_mut().reset(next));
                armed = next;
            }
            tokio::select! {
                n = from_link.recv_many(&mut heard, EVENTS_TAKEN_MAX) => {
                    if n == 0 {
                        break;
                    }
                    heard.drain(..).for_each(|event| self.on_link(event));
                }
                _ = self.inbox.jobs.recv_many(&mut happened, EVENTS_TAKEN_MAX) => {
                    happened.drain(..).for_each(|event| self.on_job(event));
                    self.shorten_patience();
                }
                Some(offer) = self.inbox.offers.recv(), if self.patience.is_none() => {
                    let effects = self.core.advertise(clock::now(), offer);
                    self.carry_out(effects);
                }
                () = self.spool.written() => {}
                () = timer.as_mut(), if armed.is_some() => armed = None,
                () = &mut stop, if self.patience.is_none() => self.begin_stop(),
                Some(_) = self.jobs.join_next() => {}
            }
            let now = Instant::now();
            if self.patience.is_some_and(|patience| patience <= now) {
                break;
            }
            self.do_what_is_due(now);
            self.say_all(now);
        }
        self.say_all(Instant::now() + Duration::from_secs(1));
        self.end(link).await;
    }

    fn next_deadline(&self) -> Option<Instant> {
        let core = self.core.next_deadline();
        [
            core.map(|(mono_ms, _)| clock::instant(mono_ms)),
            self.outbox.deadline(),
            self.spool.deadline(),
            self.sweep_at,
            self.patience,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn do_what_is_due(&mut self, now: Instant) {
        let core = self.core.next_deadline();
        if core.is_some_and(|(mono_ms, _)| clock::instant(mono_ms) <= now) {
            self.house.starter.nudge();
            let effects = self.core.tick(clock::now());
            self.carry_out(effects);
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep();
        }
        self.spool.tick(now);
    }

    fn begin_stop(&mut self) {
        tracing::info!("stopping: {} claims are known", self.core.claims().count());
        self.patience = Some(Instant::now() + Duration::from_millis(STOP_MS_MAX));
        let effects = self.core.stop(clock::now());
        self.carry_out(effects);
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
            health,
            lock,
            ..
        } = self;
        // First the ears, so that nobody waits to be heard.
        drop((line, events, inbox, health));
        jobs.shutdown().await;
        link.abort();
        spool.close().await;
        drop(lock);
    }
}

// === events ===

impl Daemon {
    fn on_link(&mut self, event: LinkEvent) {
        let now = clock::now();
        let effects = match event {
            LinkEvent::Up(line) => {
                self.line = Some(line);
                self.outbox.clear();
                self.core.caches(self.house.cache.largest(CACHED_MAX));
                self.core.connected(now)
            }
            LinkEvent::Message(message) => self.core.message(now, message),
            LinkEvent::Down => {
                self.line = None;
                self.core.disconnected(now)
            }
        };
        self.carry_out(effects);
    }

    fn on_job(&mut self, event: JobEvent) {
        let now = clock::now();
        let effects = match event {
            JobEvent::Spawned(claim) => self.core.spawned(now, claim),
            JobEvent::Over(claim) => self.core.process_over(now, claim),
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
                self.sweep_at.get_or_insert(Instant::now() + SWEEP_PERIOD);
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
        self.carry_out(effects);
    }
}

// === effects ===

impl Daemon {
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(message) => self.send(message),
                Effect::Run { claim, order } => self.start(claim, *order),
                Effect::Kill {
                    claim,
                    signal,
                    grace_ms,
                } => self.end_claim(claim, signal, grace_ms),
                Effect::Spool { claim, report } => self.spool.keep(Instant::now(), claim, report),
                Effect::ForgetSpool { claim } => {
                    self.spool.forget(Instant::now(), claim);
                    if self.house.sandboxes.of(claim).is_some() {
                        let house = self.house.clone();
                        self.jobs
                            .spawn_blocking(move || house.sandboxes.clear(claim));
                    }
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
                Effect::Leave { reason } => {
                    tracing::info!("the manager ends this worker: {reason}");
                    let soon = Instant::now() + Duration::from_millis(STOP_ACK_MS_MAX);
                    self.patience.get_or_insert(soon);
                }
            }
        }
    }

    fn send(&mut self, message: ToManager) {
        let demand = match self.core.has_waiting() {
            true => Demand::Leisurely,
            false => Demand::Urgent,
        };
        self.outbox.push(Instant::now(), message, demand);
    }

    /// Passes on what is to be said by `now`.
    fn say_all(&mut self, now: Instant) {
        for message in self.outbox.take(now) {
            let Some(line) = &self.line else { return };
            if line.outbound.try_send(message).is_err() {
                tracing::warn!("the session takes no more messages, opening a new one");
                self.line = None;
                self.core.disconnected(clock::now());
            }
        }
    }

    fn sweep(&mut self) {
        self.sweep_at = None;
        if !self.house.sandboxes.is_unswept() {
            return;
        }
        // Once more later: what was killed just now is not gone yet.
        self.sweep_at = Some(Instant::now() + SWEEP_PERIOD);
        let house = self.house.clone();
        self.jobs.spawn_blocking(move || house.sandboxes.sweep());
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
                order: Arc::new(order),
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
        let paths = self.house.sandboxes.of(claim);
        let events = self.events.clone();
        self.jobs.spawn_blocking(move || {
            let read = |paths: Paths| job::read_log(&paths.log(stream), offset);
            let bytes = paths.map(read).unwrap_or_default();
            // Nobody listens when the worker is about to end.
            let _ = events.blocking_send(JobEvent::Log {
                request,
                offset,
                bytes,
            });
        });
    }
}
