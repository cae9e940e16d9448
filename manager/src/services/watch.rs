//! Watching: the journal's rows that were, then those that come, without a gap between.

use std::collections::BTreeSet;
use std::sync::Arc;

use manager_core::{Queue, RunState};
use proto::wire::{Event, WatchRequest};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Shared;
use crate::store::StoredRow;

/// Rows read from the store at a time.
const PAGE: usize = 1024;

pub(super) fn watch(
    shared: Arc<Shared>,
    request: WatchRequest,
) -> impl Stream<Item = Result<Event, Status>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(PAGE);
    tokio::spawn(async move {
        let mut watcher = Watcher {
            coming: shared.queue.watch(),
            ids: request.ids.into_iter().collect(),
            after: request.after,
            until_ended: request.until_ended,
            shared,
            sender,
        };
        if let Err(status) = watcher.run().await {
            let _ = watcher.sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

struct Watcher {
    shared: Arc<Shared>,
    coming: broadcast::Receiver<StoredRow>,
    ids: BTreeSet<u32>,
    after: u64,
    until_ended: bool,
    sender: mpsc::Sender<Result<Event, Status>>,
}

/// Whether something happened after which everything may have ended.
#[derive(PartialEq, Eq)]
enum Look {
    Now,
    Later,
}

/// Whether anybody still listens.
#[derive(PartialEq, Eq)]
enum Listener {
    There,
    Gone,
}

impl Watcher {
    async fn run(&mut self) -> Result<(), Status> {
        if self.catch_up().await? == Listener::Gone {
            return Ok(());
        }
        let mut look = Look::Now;
        loop {
            let look_now = std::mem::replace(&mut look, Look::Later) == Look::Now;
            if look_now && self.until_ended && self.all_ended().await? {
                self.catch_up().await?;
                return Ok(());
            }
            let row = tokio::select! {
                row = self.coming.recv() => row,
                () = self.sender.closed() => return Ok(()),
                () = self.shared.closing() => {
                    return Err(Status::unavailable("the manager is stopping"));
                }
            };
            let listener = match row {
                Ok(row) if !self.concerns(&row) => continue,
                Ok(row) => {
                    look = Look::Now;
                    match row.sequence > self.after {
                        true => self.send(row).await,
                        false => Listener::There,
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    look = Look::Now;
                    self.catch_up().await?
                }
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(Status::unavailable("the manager is stopping"));
                }
            };
            if listener == Listener::Gone {
                return Ok(());
            }
        }
    }

    /// Sends what the store holds beyond what was sent.
    async fn catch_up(&mut self) -> Result<Listener, Status> {
        loop {
            let (journal, after) = (self.shared.queue.journal(), self.after);
            let page = tokio::task::spawn_blocking(move || journal.rows(after, PAGE));
            let page = page
                .await
                .map_err(|error| Status::internal(error.to_string()))?;
            let page = page.map_err(|error| Status::unavailable(error.to_string()))?;
            if page.is_empty() {
                return Ok(Listener::There);
            }
            for row in page {
                if self.send(row).await == Listener::Gone {
                    return Ok(Listener::Gone);
                }
            }
        }
    }

    async fn send(&mut self, row: StoredRow) -> Listener {
        self.after = row.sequence;
        if !self.concerns(&row) {
            return Listener::There;
        }
        match self.sender.send(Ok(event_of(row))).await {
            Ok(()) => Listener::There,
            Err(_) => Listener::Gone,
        }
    }

    fn concerns(&self, row: &StoredRow) -> bool {
        self.ids.is_empty() || self.ids.contains(&row.top)
    }

    async fn all_ended(&self) -> Result<bool, Status> {
        let ids = self.ids.clone();
        Ok(self
            .shared
            .queue
            .read(move |queue| ids.iter().all(|id| has_ended(queue, *id)))
            .await?)
    }
}

/// Whether a cluster or DAG run will not go on by itself. What is not there has ended.
fn has_ended(queue: &Queue, id: u32) -> bool {
    match (queue.runs().get(&id), queue.clusters().get(&id)) {
        (Some(run), _) => run.state != RunState::Running,
        (None, Some(cluster)) => cluster.ended(),
        (None, None) => true,
    }
}

fn event_of(row: StoredRow) -> Event {
    let ended = row.kind == manager_core::RowKind::RunEnded.name();
    Event {
        sequence: row.sequence,
        at_ms: row.at_ms,
        number: row.number,
        kind: row.kind,
        top: row.top,
        job: row.job.unwrap_or_default(),
        node: row.node.unwrap_or_default(),
        trial: row.trial,
        text: row.text,
        value: row.value,
        ended,
    }
}
