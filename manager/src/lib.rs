//! The manager: the daemon that owns the queue. This file is its table of contents; each module is
//! one room.
//!
//! One thread owns the queue ([`queue`]); services hand it commands and wait. What it decides is
//! made durable ([`store`]) before anybody is told, and what follows is done by others: files are
//! written by [`landing`] and [`papers`] and taken in by [`collect`], trials are chosen by
//! [`studies`], [`scripts`] run here, sub-DAGs are read by [`subdags`], work orders leave through
//! the sessions. Where a submission's files are is told by [`places`].

mod address;
mod blobs;
mod clock;
mod collect;
mod copies;
mod landing;
mod papers;
mod places;
mod queue;
mod scripts;
mod services;
mod settings;
pub mod sources;
mod store;
pub mod studies;
mod subdags;

use std::net::SocketAddr;
use std::sync::Arc;

use manager_core::Command;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

pub use address::host_identity;
pub use settings::{ScriptPolicy, Settings};
pub use store::StoreError;

use crate::blobs::BlobStore;
use crate::collect::Taker;
use crate::places::Places;
use crate::queue::QueueThread;
use crate::services::{Parts, Services};

/// A manager that runs.
pub struct Manager {
    address: SocketAddr,
    queue: QueueThread,
    /// Nothing once it has ended.
    server: Option<JoinHandle<Result<(), tonic::transport::Error>>>,
    closing: watch::Sender<bool>,
}

/// Why a manager did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the store in {} cannot be opened", dir.display())]
    Store {
        dir: std::path::PathBuf,
        source: StoreError,
    },
    #[error("{} cannot be made or written", path.display())]
    Directory {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the pool's rules cannot be written to the store")]
    Rules,
    #[error("a thread cannot be started")]
    Thread { source: std::io::Error },
}

/// Why a running manager stopped. What was acknowledged is on disk; a restart goes on from there.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    #[error("the store failed: {reason}")]
    Store { reason: String },
    #[error("the server failed: {reason}")]
    Server { reason: String },
    #[error("the queue's thread ended unexpectedly")]
    Queue,
}

/// Opens the store, recovers the queue, and serves. When this returns the manager is ready, and the
/// address file, if one was asked for, holds its address.
///
/// # Errors Another manager has the store open, the store is damaged, or the address is taken.
pub async fn start(settings: Settings) -> Result<Manager, StartError> {
    let dir = settings.state_dir.clone();
    let directory = |path: std::path::PathBuf| move |source| StartError::Directory { path, source };
    std::fs::create_dir_all(&dir).map_err(directory(dir.clone()))?;
    let blobs = BlobStore::open(dir.join("blobs")).map_err(directory(dir.join("blobs")))?;
    let failed = |source| StartError::Store {
        dir: dir.clone(),
        source,
    };
    let (store, queue) = store::open(&dir, settings.limits()).map_err(failed)?;
    let work = dir.join("work");
    let places = Places::open(&work).map_err(directory(work.clone()))?;
    let used = queue.workspaces().values();
    copies::sweep(&places, used.map(|workspace| workspace.directory.as_str()))
        .map_err(directory(work))?;
    let taker = Taker::new(blobs.clone());
    let listen = settings.listen;
    let wrong = |source| StartError::Listen {
        address: listen,
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    let queue = QueueThread::start(
        store,
        queue,
        blobs.clone(),
        &taker,
        &places,
        settings.scripts,
        address,
    )
    .map_err(|source| StartError::Thread { source })?;
    if let Some(rules) = settings.rules {
        let set = Command::SetRules(Arc::new(rules));
        let handle = queue.handle();
        let answer = handle.carry(set).await.map_err(|_| StartError::Rules);
        answer?.map_err(|_| StartError::Rules)?;
    }
    let (closing, closed) = watch::channel(false);
    let services = Services::new(Parts {
        queue: queue.handle(),
        blobs,
        taker,
        places,
        scripts: settings.scripts,
        closed: closed.clone(),
    });
    let server = Some(tokio::spawn(serve(listener, services, closed)));
    if let Some(file) = &settings.address_file {
        address::write(file, address).map_err(directory(file.clone()))?;
    }
    tracing::info!(%address, state_dir = %dir.display(), "the manager is ready");
    Ok(Manager {
        address,
        queue,
        server,
        closing,
    })
}

impl Manager {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the manager stops by itself, which it does only when something failed.
    ///
    /// # Errors
    /// Always: what failed.
    pub async fn stopped(&mut self) -> Result<(), Fault> {
        let Some(server) = &mut self.server else {
            return Err(self.queue.stopped().await);
        };
        let ended = tokio::select! {
            fault = self.queue.stopped() => return Err(fault),
            ended = server => ended,
        };
        self.server = None;
        Err(Fault::Server {
            reason: reason_of(ended),
        })
    }

    /// Takes no more calls, ends the sessions, and closes the store. Jobs go on where they run.
    ///
    /// # Errors
    /// The store failed on the way.
    pub async fn drain(self) -> Result<(), Fault> {
        let _ = self.closing.send(true);
        if let Some(mut server) = self.server {
            let ended = tokio::time::timeout(settings::DRAIN_TIMEOUT, &mut server).await;
            if ended.is_err() {
                // Somebody holds a call open; there is nothing to wait for.
                server.abort();
            }
        }
        self.queue.stop().await
    }
}

async fn serve(
    listener: TcpListener,
    services: Services,
    mut closed: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .http2_keepalive_interval(Some(settings::KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(settings::KEEP_ALIVE_TIMEOUT))
        .add_service(services.queue())
        .add_service(services.workers())
        .add_service(services.blobs())
        .serve_with_incoming_shutdown(incoming, async move {
            let _ = closed.wait_for(|closing| *closing).await;
        })
        .await
}

fn reason_of(ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it ended".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}
