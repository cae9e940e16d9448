//! The services: calls become commands and looks at the queue, and nothing else.

mod act;
mod batches;
mod blobs;
mod follow;
mod logs;
mod machines;
mod outputs;
mod pool;
mod queries;
mod queue;
mod rows;
mod select;
mod standing;
mod steer;
mod submit;
mod why;
mod workers;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use proto::wire::blobs_server::BlobsServer;
use proto::wire::queue_server::QueueServer;
use proto::wire::workers_server::WorkersServer;
use tokio::sync::watch as signal;
use tonic::Status;

use crate::blobs::BlobStore;
use crate::collect::Taker;
use crate::places::Places;
use crate::queue::{Closed, QueueHandle};
use crate::settings::{SUBMIT_BYTES_MAX, ScriptPolicy};

/// What all services share.
#[derive(Clone)]
pub(crate) struct Services {
    shared: Arc<Shared>,
}

/// What the services work with.
pub(crate) struct Parts {
    pub queue: QueueHandle,
    pub blobs: BlobStore,
    pub taker: Taker,
    pub places: Places,
    pub scripts: ScriptPolicy,
    pub closed: signal::Receiver<bool>,
}

pub(crate) struct Shared {
    queue: QueueHandle,
    blobs: BlobStore,
    taker: Taker,
    places: Places,
    scripts: ScriptPolicy,
    tails: logs::Tails,
    sessions: AtomicU64,
    closed: signal::Receiver<bool>,
    started_ms: u64,
}

impl Services {
    pub(crate) fn new(parts: Parts) -> Services {
        let Parts {
            queue,
            blobs,
            taker,
            places,
            scripts,
            closed,
        } = parts;
        let started_ms = crate::clock::now().wall_ms;
        let sessions = AtomicU64::new(1);
        let tails = logs::Tails::default();
        Services {
            shared: Arc::new(Shared {
                queue,
                blobs,
                taker,
                places,
                scripts,
                tails,
                sessions,
                closed,
                started_ms,
            }),
        }
    }

    pub(crate) fn queue(&self) -> QueueServer<queue::QueueService> {
        QueueServer::new(queue::QueueService {
            shared: self.shared.clone(),
        })
        .max_decoding_message_size(SUBMIT_BYTES_MAX)
        .max_encoding_message_size(SUBMIT_BYTES_MAX)
    }

    pub(crate) fn workers(&self) -> WorkersServer<workers::WorkersService> {
        WorkersServer::new(workers::WorkersService {
            shared: self.shared.clone(),
        })
        .max_decoding_message_size(SUBMIT_BYTES_MAX)
    }

    pub(crate) fn blobs(&self) -> BlobsServer<blobs::BlobsService> {
        BlobsServer::new(blobs::BlobsService {
            shared: self.shared.clone(),
        })
    }
}

impl Shared {
    /// Resolves when the manager closes: streams end then.
    async fn closing(&self) {
        let mut closed = self.closed.clone();
        let _ = closed.wait_for(|closing| *closing).await;
    }
}

impl From<Closed> for Status {
    fn from(_: Closed) -> Status {
        Status::unavailable("the manager is stopping; try again when it is back")
    }
}
