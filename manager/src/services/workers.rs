//! Worker sessions: one task for each reads what the worker says; what the queue has to say leaves
//! by a bounded channel.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use manager_core::Command;
use proto::nouns::{ToManager, ToWorker, WorkerName};
use proto::wire::workers_server::Workers;
use proto::wire::{ManagerMessage, WorkerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use crate::queue::{Cut, Line};
use crate::settings::{HELLO_TIMEOUT, WORKER_MESSAGES_MAX};

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
        let (sender, receiver) = mpsc::channel(WORKER_MESSAGES_MAX);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let session = Session::new(shared, sender);
            if let Err(status) = session.run(request.into_inner()).await {
                tracing::info!(%status, "a worker's session ended");
            }
        });
        let messages = ReceiverStream::new(receiver).map(|message: ToWorker| Ok(message.into()));
        Ok(Response::new(Box::pin(messages)))
    }
}

/// One session.
struct Session {
    shared: Arc<Shared>,
    number: u64,
    sender: mpsc::Sender<ToWorker>,
}

impl Session {
    fn new(shared: Arc<Shared>, sender: mpsc::Sender<ToWorker>) -> Session {
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
            first = messages.message() => first?,
            () = tokio::time::sleep(HELLO_TIMEOUT) => None,
            () = self.shared.closing() => None,
        };
        let Some(first) = first else { return Ok(()) };
        let hello: ToManager = first.try_into()?;
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
        let ended = self.speak(&worker, hello, messages, was_cut).await;
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
        hello: ToManager,
        mut messages: Streaming<WorkerMessage>,
        mut was_cut: oneshot::Receiver<Cut>,
    ) -> Result<(), Status> {
        let command = self.command(worker, hello);
        if let Err(refusal) = self.shared.queue.carry(command).await? {
            let reason = refusal.to_string();
            let _ = self.sender.try_send(ToWorker::Goodbye { reason });
            return Ok(());
        }
        loop {
            let message = tokio::select! {
                message = messages.message() => message?,
                _ = &mut was_cut => None,
                () = self.shared.closing() => {
                    let reason = "the manager is stopping".to_owned();
                    let _ = self.sender.try_send(ToWorker::Goodbye { reason });
                    None
                }
            };
            let Some(message) = message else {
                return Ok(());
            };
            match message.try_into()? {
                ToManager::Log { request, bytes, .. } => self.shared.tails.answer(request, bytes),
                message => {
                    self.shared
                        .queue
                        .post(self.command(worker, message))
                        .await?
                }
            }
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
