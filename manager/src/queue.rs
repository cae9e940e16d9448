//! The thread that owns the queue: commands come in, are applied together, made durable with one
//! flush, and only then answered and acted on. If a flush fails the thread stops and the manager
//! with it: what is on the disk is the truth.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use manager_core::{Command, Effect, Queue, Refusal, Reply, Row};
use proto::nouns::{ToManager, ToWorker, WorkerName};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::Fault;
use crate::blobs::BlobStore;
use crate::clock;
use crate::collect::{Collector, Taker};
use crate::landing::Landings;
use crate::papers::Papers;
use crate::places::Places;
use crate::scripts::{Mark, ScriptPolicy, Scripts};
use crate::settings::{COMMANDS_MAX, GROUP_MAX, WATCH_ROWS_MAX};
use crate::store::{Journal, Store, StoreError, StoredRow};
use crate::studies::Studies;
use crate::subdags::Subdags;

/// The thread, from outside.
pub(crate) struct QueueThread {
    handle: QueueHandle,
    thread: JoinHandle<()>,
    fault: watch::Receiver<Option<Fault>>,
}

/// How everybody else reaches the queue.
#[derive(Clone)]
pub(crate) struct QueueHandle {
    sender: mpsc::Sender<Ask>,
    rows: broadcast::Sender<StoredRow>,
    journal: Journal,
}

/// The queue's thread has ended, and nobody answers any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// The manager's end of a session: what is told goes into `sender`; when the line is dropped, `cut`
/// ends the session.
pub(crate) struct Line {
    pub sender: mpsc::Sender<Vec<ToWorker>>,
    #[expect(dead_code, reason = "its drop is what says something")]
    pub cut: oneshot::Sender<Cut>,
}

/// Never sent: a session learns from the dropped sender that it was cut.
pub(crate) enum Cut {}

/// What a command is answered with.
type Answer = Result<Reply, Refusal>;
/// A look at the queue that sends off what it saw.
type Look = Box<dyn FnOnce(&Queue) + Send>;

/// What comes to the thread.
enum Ask {
    Carry {
        command: Box<Command>,
        reply: Option<oneshot::Sender<Answer>>,
    },
    /// What a worker said in a session, in order.
    Said {
        worker: WorkerName,
        session: u64,
        messages: Vec<ToManager>,
    },
    /// A session begins.
    Open {
        session: u64,
        line: Line,
    },
    /// A session is over.
    Close {
        session: u64,
    },
    /// Says something in a session that is not the core's business.
    Tell {
        session: u64,
        message: ToWorker,
    },
    Read(Look),
    Stop,
}

// === impl QueueThread ===

impl QueueThread {
    /// Takes up what was under way, and starts to serve.
    pub(crate) fn start(
        store: Store,
        queue: Queue,
        blobs: BlobStore,
        taker: &Taker,
        places: &Places,
        policy: ScriptPolicy,
        address: SocketAddr,
    ) -> std::io::Result<QueueThread> {
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        let (rows, _) = broadcast::channel(WATCH_ROWS_MAX);
        let (fault_sender, fault) = watch::channel(None);
        let handle = QueueHandle {
            sender,
            rows: rows.clone(),
            journal: store.journal(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let owner = Owner {
            queue,
            store,
            sessions: BTreeMap::new(),
            landings: Landings::start(blobs.clone(), places.clone(), handle.clone())?,
            studies: Studies::start(handle.clone())?,
            scripts: Scripts::start(Mark::new(places.clone(), address), policy, handle.poster())?,
            subdags: Subdags::start(places.clone(), policy, handle.poster())?,
            collector: Collector::start(taker, places.clone(), handle.poster())?,
            papers: Papers::start(places.clone())?,
            blobs,
            rows,
        };
        let thread = std::thread::Builder::new()
            .name("queue".to_owned())
            .spawn(move || {
                if let Err(fault) = runtime.block_on(owner.run(receiver)) {
                    tracing::error!(%fault, "the queue stops");
                    let _ = fault_sender.send(Some(fault));
                }
            })?;
        Ok(QueueThread {
            handle,
            thread,
            fault,
        })
    }

    pub(crate) fn handle(&self) -> QueueHandle {
        self.handle.clone()
    }

    /// Waits until the thread ends, which it does by itself only when something failed.
    pub(crate) async fn stopped(&mut self) -> Fault {
        let fault = self.fault.wait_for(Option::is_some).await;
        fault
            .ok()
            .and_then(|fault| fault.clone())
            .unwrap_or(Fault::Queue)
    }

    /// Ends the thread after what was asked before.
    pub(crate) async fn stop(self) -> Result<(), Fault> {
        let _ = self.handle.sender.send(Ask::Stop).await;
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        match (self.fault.borrow().clone(), joined) {
            (Some(fault), _) => Err(fault),
            (None, Ok(Ok(()))) => Ok(()),
            (None, _) => Err(Fault::Queue),
        }
    }
}

// === impl QueueHandle ===

impl QueueHandle {
    /// Carries out a command, and returns when what it did is durable.
    pub(crate) async fn carry(&self, command: Command) -> Result<Answer, Closed> {
        let (reply, answer) = oneshot::channel();
        self.send(Ask::Carry {
            command: Box::new(command),
            reply: Some(reply),
        })
        .await?;
        answer.await.map_err(|_| Closed)
    }

    /// Hands over a command whose reply nobody waits for.
    pub(crate) async fn post(&self, command: Command) -> Result<(), Closed> {
        self.send(Ask::Carry {
            command: Box::new(command),
            reply: None,
        })
        .await
    }

    /// Hands over what a worker said in a session.
    pub(crate) async fn said(
        &self,
        worker: WorkerName,
        session: u64,
        messages: Vec<ToManager>,
    ) -> Result<(), Closed> {
        self.send(Ask::Said {
            worker,
            session,
            messages,
        })
        .await
    }

    /// [`QueueHandle::post`] for threads that may wait.
    pub(crate) fn post_blocking(&self, command: Command) -> Result<(), Closed> {
        let ask = Ask::Carry {
            command: Box::new(command),
            reply: None,
        };
        self.sender.blocking_send(ask).map_err(|_| Closed)
    }

    /// [`QueueHandle::post_blocking`], to be handed on.
    fn poster(&self) -> impl Fn(Command) -> Result<(), Closed> + Clone + Send + 'static {
        let handle = self.clone();
        move |command| handle.post_blocking(command)
    }

    /// Looks at the queue, between two commits: everything seen is durable.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Queue) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        let look = move |queue: &Queue| {
            let _ = reply.send(look(queue));
        };
        self.send(Ask::Read(Box::new(look))).await?;
        answer.await.map_err(|_| Closed)
    }

    pub(crate) async fn open(&self, session: u64, line: Line) -> Result<(), Closed> {
        self.send(Ask::Open { session, line }).await
    }

    pub(crate) async fn close(&self, session: u64) -> Result<(), Closed> {
        self.send(Ask::Close { session }).await
    }

    pub(crate) async fn tell(&self, session: u64, message: ToWorker) -> Result<(), Closed> {
        self.send(Ask::Tell { session, message }).await
    }

    /// The journal's rows from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<StoredRow> {
        self.rows.subscribe()
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    async fn send(&self, ask: Ask) -> Result<(), Closed> {
        self.sender.send(ask).await.map_err(|_| Closed)
    }
}

/// What the thread owns.
struct Owner {
    queue: Queue,
    store: Store,
    sessions: BTreeMap<u64, Line>,
    landings: Landings,
    studies: Studies,
    scripts: Scripts,
    subdags: Subdags,
    collector: Collector,
    papers: Papers,
    blobs: BlobStore,
    rows: broadcast::Sender<StoredRow>,
}

/// What one group of commands leads to, held back until it is durable.
#[derive(Default)]
struct Turn {
    replies: Vec<(oneshot::Sender<Answer>, Answer)>,
    rows: Vec<Row>,
    effects: Vec<Effect>,
    reads: Vec<Look>,
    /// What is to be said outside of the core, by session.
    tells: Vec<(u64, ToWorker)>,
    commands: usize,
    next: Next,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    GoOn,
    Stop,
}

/// Whether a turn has consequences outside.
#[derive(PartialEq, Eq)]
enum Told {
    Nobody,
    Somebody,
}

impl Owner {
    async fn run(mut self, mut receiver: mpsc::Receiver<Ask>) -> Result<(), Fault> {
        let mut turn = Turn::default();
        self.queue.set_log_offset(clock::offset_s());
        turn.take(self.queue.recover(clock::now()), None);
        self.finish(turn)?;
        loop {
            let mut turn = Turn::default();
            let due = self.queue.next_deadline().map(|(at, _)| at);
            let asked = wait(&mut receiver, due).await;
            self.queue.set_log_offset(clock::offset_s());
            if let Some(ask) = asked {
                self.take(ask, &mut turn);
            }
            while turn.commands < GROUP_MAX
                && let Ok(ask) = receiver.try_recv()
            {
                self.take(ask, &mut turn);
            }
            // Asks that keep coming do not keep what is due from being done.
            if due.is_some_and(|at| clock::until(at).is_zero()) {
                turn.take(self.queue.step(clock::now(), Command::Tick), None);
            }
            if self.finish(turn)? == Next::Stop {
                return self.store.sync().map_err(|error| store_fault(&error));
            }
        }
    }

    fn take(&mut self, ask: Ask, turn: &mut Turn) {
        turn.commands += 1;
        match ask {
            Ask::Carry { command, reply } => {
                let step = self.queue.step(clock::now(), *command);
                turn.take(step, reply);
            }
            Ask::Said {
                worker,
                session,
                messages,
            } => {
                let now = clock::now();
                turn.commands += messages.len();
                for message in messages {
                    let command = Command::Session {
                        worker: worker.clone(),
                        session,
                        message,
                    };
                    turn.take(self.queue.step(now, command), None);
                }
            }
            Ask::Open { session, line } => {
                self.sessions.insert(session, line);
            }
            Ask::Close { session } => {
                self.sessions.remove(&session);
            }
            Ask::Tell { session, message } => turn.tells.push((session, message)),
            Ask::Read(look) => turn.reads.push(look),
            Ask::Stop => turn.next = Next::Stop,
        }
    }

    /// Makes a turn durable, then says and does what it led to.
    fn finish(&mut self, mut turn: Turn) -> Result<Next, Fault> {
        turn.take(self.queue.finish_turn(clock::now()), None);
        let told = turn.tells();
        let changes = self.queue.take_changes();
        let mut rows = Vec::new();
        if !changes.is_empty() || !turn.rows.is_empty() {
            let written = self.store.write(changes, turn.rows);
            rows = written.map_err(|error| store_fault(&error))?;
        }
        if told == Told::Somebody {
            self.store.sync().map_err(|error| store_fault(&error))?;
        }
        for row in rows {
            tracing::debug!(top = row.top, "{}", row.text);
            let _ = self.rows.send(row);
        }
        let mut tells: BTreeMap<u64, Vec<ToWorker>> = BTreeMap::new();
        for (session, message) in turn.tells {
            tells.entry(session).or_default().push(message);
        }
        for effect in turn.effects {
            if let Some((session, message)) = self.act(effect)? {
                tells.entry(session).or_default().push(message);
            }
        }
        for (session, messages) in tells {
            self.say(session, messages);
        }
        for (sender, reply) in turn.replies {
            let _ = sender.send(reply);
        }
        for look in turn.reads {
            look(&self.queue);
        }
        Ok(turn.next)
    }

    /// Does what an effect asks for. What it says to a worker is handed back: a session gets all
    /// of a turn at once.
    fn act(&mut self, effect: Effect) -> Result<Option<(u64, ToWorker)>, Fault> {
        match effect {
            Effect::Tell {
                session, message, ..
            } => return Ok(Some((session, message))),
            Effect::Ask(question) => self.studies.ask(*question),
            Effect::Land(landing) => self.landings.land(*landing),
            Effect::Keep { bytes } => {
                self.blobs.keep(&bytes).map_err(|error| Fault::Store {
                    reason: format!("a blob cannot be written: {error}"),
                })?;
            }
            Effect::Script(order) => self.scripts.run(*order),
            Effect::StopScript { run, node, kind } => self.scripts.stop(run, node, kind),
            Effect::Load(order) => self.subdags.load(*order),
            Effect::Collect(order) => self.collector.collect(*order),
            Effect::Write(writing) => self.papers.write(*writing),
        }
        Ok(None)
    }

    /// A session whose worker does not keep up, or is gone, is cut: it comes back with a new one.
    fn say(&mut self, session: u64, messages: Vec<ToWorker>) {
        let Some(line) = self.sessions.get(&session) else {
            return;
        };
        let is_last = |message: &ToWorker| matches!(message, ToWorker::Goodbye { .. });
        let last = messages.iter().any(is_last);
        if line.sender.try_send(messages).is_err() || last {
            self.sessions.remove(&session);
        }
    }
}

/// The next ask, or nothing when what is due comes first.
async fn wait(receiver: &mut mpsc::Receiver<Ask>, due: Option<u64>) -> Option<Ask> {
    let next = async { Some(receiver.recv().await.unwrap_or(Ask::Stop)) };
    match due {
        None => next.await,
        Some(at) => tokio::time::timeout(clock::until(at), next)
            .await
            .unwrap_or(None),
    }
}

impl Turn {
    /// Whether anybody is told of the turn, or anything follows from it: then it must be on the
    /// disk first. A turn in which jobs began to execute, say, may wait for the next: losing it is
    /// as if its messages had not arrived yet.
    fn tells(&self) -> Told {
        let passing = self.rows.iter().all(|row| row.kind.is_passing());
        let silent = self.effects.is_empty() && self.replies.is_empty() && self.reads.is_empty();
        if passing && silent {
            Told::Nobody
        } else {
            Told::Somebody
        }
    }

    fn take(&mut self, step: manager_core::Step, reply: Option<oneshot::Sender<Answer>>) {
        if let Some(sender) = reply {
            self.replies.push((sender, step.reply));
        } else if let Err(refusal) = step.reply {
            self.effects.extend(goodbye(&refusal));
            tracing::debug!(%refusal, "refused");
        }
        self.rows.extend(step.rows);
        self.effects.extend(step.effects);
    }
}

fn store_fault(error: &StoreError) -> Fault {
    Fault::Store {
        reason: with_sources(error),
    }
}

/// A session that does not speak for its worker is told so.
fn goodbye(refusal: &Refusal) -> Option<Effect> {
    let Refusal::Session {
        worker,
        session,
        reason,
    } = refusal
    else {
        return None;
    };
    let (worker, session): (WorkerName, u64) = (worker.clone(), *session);
    Some(Effect::Tell {
        worker,
        session,
        message: ToWorker::Goodbye {
            reason: reason.clone(),
        },
    })
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
