//! Worker sessions: one task for each reads what the worker says; what the queue has to say leaves
//! by a bounded channel.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use manager_core::Command;
use proto::batch::{BATCH_MESSAGES_MAX, Batched, pack};
use proto::nouns::{ToManager, ToWorker, WorkerName};
use proto::wire::workers_server::Workers;
use proto::wire::{ManagerMessage, WorkerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use crate::queue::{Cut, Line};
use crate::settings::{HELLO_TIMEOUT, WORKER_TURNS_MAX};

/// Turns of the queue whose messages are packed at once.
const TURNS_PACKED_MAX: usize = 64;

pub(crate) struct WorkersService {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Workers for WorkersService {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ManagerMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (sender, receiver) = mpsc::channel(WORKER_TURNS_MAX);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let session = Session::new(shared, sender);
            if let Err(status) = session.run(request.into_inner()).await {
                tracing::info!(%status, "a worker's session ended");
            }
        });
        let outbox = Outbox {
            turns: receiver,
            packed: VecDeque::new(),
        };
        Ok(Response::new(Box::pin(outbox)))
    }
}

/// What waits to be sent to one worker, each time all of it.
struct Outbox {
    turns: mpsc::Receiver<Vec<ToWorker>>,
    packed: VecDeque<ManagerMessage>,
}

impl Stream for Outbox {
    type Item = Result<ManagerMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.packed.is_empty() {
            let mut found = Vec::new();
            std::task::ready!(self.turns.poll_recv_many(cx, &mut found, TURNS_PACKED_MAX));
            let messages = found.into_iter().flatten();
            self.packed = pack(messages.map(ManagerMessage::from));
        }
        Poll::Ready(self.packed.pop_front().map(Ok))
    }
}

/// Waits for what a worker says, and takes all that is there, in order. Nothing: it is gone.
async fn heard(messages: &mut Streaming<WorkerMessage>) -> Result<Vec<WorkerMessage>, Status> {
    std::future::poll_fn(|cx| {
        let mut found = Vec::new();
        while found.len() < BATCH_MESSAGES_MAX {
            match Pin::new(&mut *messages).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => found.extend(message.unbatch()),
                Poll::Ready(Some(Err(status))) if found.is_empty() => {
                    return Poll::Ready(Err(status));
                }
                Poll::Pending if found.is_empty() => return Poll::Pending,
                // An end is met again when what was said before it is done.
                Poll::Ready(Some(Err(_)) | None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(found))
    })
    .await
}

/// One session.
struct Session {
    shared: Arc<Shared>,
    number: u64,
    sender: mpsc::Sender<Vec<ToWorker>>,
}

impl Session {
    fn new(shared: Arc<Shared>, sender: mpsc::Sender<Vec<ToWorker>>) -> Session {
        let number = shared.sessions.fetch_add(1, Ordering::Relaxed);
        Session {
            shared,
            number,
            sender,
        }
    }

    /// Ends when the worker goes, the queue cuts the session, or the manager stops.
    async fn run(self, mut messages: Streaming<WorkerMessage>) -> Result<(), Status> {
        let first = tokio::select! {
            first = heard(&mut messages) => first?,
            () = tokio::time::sleep(HELLO_TIMEOUT) => Vec::new(),
            () = self.shared.closing() => Vec::new(),
        };
        let mut first = first.into_iter();
        let Some(hello) = first.next() else {
            return Ok(());
        };
        let hello: ToManager = hello.try_into()?;
        let ToManager::Hello { worker, .. } = &hello else {
            return Err(Status::failed_precondition("a session begins with hello"));
        };
        let worker = worker.clone();
        let (cut, was_cut) = oneshot::channel();
        let line = Line {
            sender: self.sender.clone(),
            cut,
        };
        self.shared.queue.open(self.number, line).await?;
        let more = first.collect();
        let ended = self.speak(&worker, (hello, more), messages, was_cut).await;
        let gone = Command::Disconnected {
            worker,
            session: self.number,
        };
        self.shared.queue.post(gone).await?;
        self.shared.queue.close(self.number).await?;
        ended
    }

    async fn speak(
        &self,
        worker: &WorkerName,
        (hello, more): (ToManager, Vec<WorkerMessage>),
        mut messages: Streaming<WorkerMessage>,
        mut was_cut: oneshot::Receiver<Cut>,
    ) -> Result<(), Status> {
        let command = self.command(worker, hello);
        if let Err(refusal) = self.shared.queue.carry(command).await? {
            let reason = refusal.to_string();
            let _ = self.sender.try_send(vec![ToWorker::Goodbye { reason }]);
            return Ok(());
        }
        self.hand_over(worker, more).await?;
        loop {
            let found = tokio::select! {
                found = heard(&mut messages) => found?,
                _ = &mut was_cut => return Ok(()),
                () = self.shared.closing() => {
                    let reason = "the manager is stopping".to_owned();
                    let _ = self.sender.try_send(vec![ToWorker::Goodbye { reason }]);
                    return Ok(());
                }
            };
            if found.is_empty() {
                return Ok(());
            }
            self.hand_over(worker, found).await?;
        }
    }

    /// Hands messages to the queue's thread, all together. What comes before one that cannot be
    /// read counts.
    async fn hand_over(
        &self,
        worker: &WorkerName,
        found: Vec<WorkerMessage>,
    ) -> Result<(), Status> {
        let mut said = Vec::with_capacity(found.len());
        let mut wrong = None;
        for message in found {
            match message.try_into() {
                Ok(ToManager::Log { request, bytes, .. }) => {
                    self.shared.tails.answer(request, bytes);
                }
                Ok(message) => said.push(message),
                Err(malformed) => {
                    wrong = Some(malformed);
                    break;
                }
            }
        }
        if !said.is_empty() {
            let queue = &self.shared.queue;
            queue.said(worker.clone(), self.number, said).await?;
        }
        match wrong {
            Some(malformed) => Err(malformed.into()),
            None => Ok(()),
        }
    }

    fn command(&self, worker: &WorkerName, message: ToManager) -> Command {
        Command::Session {
            worker: worker.clone(),
            session: self.number,
            message,
        }
    }
}
