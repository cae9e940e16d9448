//! Bytes from and to the manager, by digest: fetched resumably and checked, delivered if it lacks
//! them. Knows nothing of where they are kept here; see `cache` for what was fetched.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use proto::nouns::{Blob, Digest};
use proto::wire::blobs_client::BlobsClient;
use proto::wire::{BlobChunk, Digests, GetRequest};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::backoff::Backoff;

/// Bytes of one message of a blob; gRPC refuses more than 4 MiB.
const CHUNK_BYTES: usize = 512 << 10;
/// Messages of one blob that may wait for the disk or the net.
const CHUNKS_QUEUED_MAX: usize = 4;
/// Blobs under way at a time, each way.
const TRANSFERS_MAX: usize = 8;
/// How often bytes that are not what their digest says are fetched again.
const FETCH_ROUNDS_MAX: u32 = 3;
/// Digests asked about in one message.
const DIGESTS_ASKED_MAX: usize = 1_000;

/// Why bytes could not be had or given.
#[derive(Debug, Error)]
pub(crate) enum BlobError {
    #[error("the manager refuses blob {digest}: {reason}")]
    Refused { digest: Digest, reason: String },
    #[error("blob {digest} came {FETCH_ROUNDS_MAX} times with other bytes (FETCH_ROUNDS_MAX)")]
    Mismatch { digest: Digest },
    #[error("{}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("the manager cannot be reached: {reason}")]
    Unreachable { reason: String },
}

/// How long to try when the manager does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the caller gives up.
    Endless,
    /// Not at all.
    Once,
}

/// Bytes to deliver: a file named by a path that is followed beneath `root` only.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub digest: Digest,
    pub root: PathBuf,
    pub path: String,
}

#[derive(Debug)]
pub(crate) struct Blobs {
    client: BlobsClient<Channel>,
    transfers: Semaphore,
}

impl Blobs {
    pub fn new(channel: Channel) -> Blobs {
        Blobs {
            client: BlobsClient::new(channel),
            transfers: Semaphore::new(TRANSFERS_MAX),
        }
    }

    /// Writes the blob to a new file at `path`, or leaves an incomplete file there.
    pub async fn fetch(&self, blob: Blob, path: &Path) -> Result<(), BlobError> {
        let _turn = self
            .transfers
            .acquire()
            .await
            .expect("the semaphore is never closed");
        for _ in 0..FETCH_ROUNDS_MAX {
            if self.fetch_once(blob, path).await? == blob.digest {
                return Ok(());
            }
            tracing::warn!("blob {} came with other bytes", blob.digest);
        }
        Err(BlobError::Mismatch {
            digest: blob.digest,
        })
    }

    /// Delivers those sources that the manager lacks.
    pub async fn deliver(&self, sources: &[Source], patience: Patience) -> Result<(), BlobError> {
        let by_digest: BTreeMap<Digest, &Source> = sources
            .iter()
            .map(|source| (source.digest, source))
            .collect();
        let digests: Vec<Digest> = by_digest.keys().copied().collect();
        for asked in digests.chunks(DIGESTS_ASKED_MAX) {
            for digest in self.missing(asked, patience).await? {
                // A manager that asks for what was not offered is answered with silence.
                if let Some(source) = by_digest.get(&digest) {
                    self.put(source, patience).await?;
                }
            }
        }
        Ok(())
    }
}

// === fetching ===

impl Blobs {
    async fn fetch_once(&self, blob: Blob, path: &Path) -> Result<Digest, BlobError> {
        let (chunks, queue) = mpsc::channel(CHUNKS_QUEUED_MAX);
        let disk = |source| BlobError::Disk {
            path: path.to_owned(),
            source,
        };
        let file = path.to_owned();
        let writer = tokio::task::spawn_blocking(move || write_chunks(&file, queue));
        let mut received = 0;
        let mut retry = Retry::new(Patience::Endless);
        while let Err(status) = self.receive(blob, &mut received, &chunks).await {
            retry.after(&status, blob.digest).await?;
        }
        drop(chunks);
        writer
            .await
            .map_err(|error| disk(io::Error::other(error)))?
            .map_err(disk)
    }

    /// Passes on the chunks from `received` bytes on. Ends early if nobody takes them, or if there
    /// are too many.
    async fn receive(
        &self,
        blob: Blob,
        received: &mut u64,
        chunks: &mpsc::Sender<Vec<u8>>,
    ) -> Result<(), Status> {
        let request = GetRequest {
            digest: blob.digest.to_string(),
            offset: *received,
        };
        let mut stream = self.client.clone().get(request).await?.into_inner();
        while let Some(chunk) = stream.message().await? {
            *received += chunk.bytes.len() as u64;
            if chunks.send(chunk.bytes).await.is_err() || *received > blob.bytes {
                break;
            }
        }
        Ok(())
    }
}

fn write_chunks(path: &Path, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<Digest> {
    let mut file = File::create(path)?;
    let mut hasher = blake3::Hasher::new();
    while let Some(bytes) = queue.blocking_recv() {
        hasher.update(&bytes);
        file.write_all(&bytes)?;
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

// === delivering ===

impl Blobs {
    async fn missing(
        &self,
        digests: &[Digest],
        patience: Patience,
    ) -> Result<Vec<Digest>, BlobError> {
        let Some(first) = digests.first() else {
            return Ok(Vec::new());
        };
        let asked = Digests {
            digests: digests.iter().map(Digest::to_string).collect(),
        };
        let mut retry = Retry::new(patience);
        loop {
            match self.client.clone().missing(asked.clone()).await {
                Ok(reply) => {
                    let digests = reply.into_inner().digests;
                    return Ok(digests
                        .iter()
                        .filter_map(|text| text.parse().ok())
                        .collect());
                }
                Err(status) => retry.after(&status, *first).await?,
            }
        }
    }

    async fn put(&self, source: &Source, patience: Patience) -> Result<(), BlobError> {
        let _turn = self
            .transfers
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let mut retry = Retry::new(patience);
        loop {
            let (chunks, queue) = mpsc::channel(CHUNKS_QUEUED_MAX);
            let read = source.clone();
            let reader = tokio::task::spawn_blocking(move || read_chunks(&read, &chunks));
            let sent = self.client.clone().put(ReceiverStream::new(queue)).await;
            let read = reader
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = read {
                let path = source.root.join(&source.path);
                return Err(BlobError::Disk {
                    path,
                    source: error,
                });
            }
            match sent {
                Ok(_) => return Ok(()),
                Err(status) => retry.after(&status, source.digest).await?,
            }
        }
    }
}

fn read_chunks(source: &Source, chunks: &mpsc::Sender<BlobChunk>) -> io::Result<()> {
    let mut file = open_beneath(&source.root, &source.path)?;
    let mut digest = source.digest.to_string();
    loop {
        let mut bytes = Vec::new();
        let read = (&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut bytes)?;
        let is_first = !digest.is_empty();
        if read == 0 && !is_first {
            return Ok(());
        }
        let chunk = BlobChunk {
            digest: std::mem::take(&mut digest),
            bytes,
        };
        if chunks.blocking_send(chunk).is_err() {
            // The manager has answered already; what it said is what counts.
            return Ok(());
        }
    }
}

/// Opens for reading what `path` names beneath `root`. A symbolic link on the way is followed only
/// if it stays beneath; a pipe does not make the caller wait. Needs Linux 5.6.
pub(crate) fn open_beneath(root: &Path, path: &str) -> io::Result<File> {
    let root = File::open(root)?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let file = openat2(&root, path, OpenHow::new().flags(flags).resolve(resolve))?;
    Ok(file.into())
}

// === trying again ===

struct Retry {
    patience: Patience,
    backoff: Backoff,
}

impl Retry {
    fn new(patience: Patience) -> Retry {
        Retry {
            patience,
            backoff: Backoff::default(),
        }
    }

    /// Waits if another try makes sense; otherwise says why not.
    async fn after(&mut self, status: &Status, digest: Digest) -> Result<(), BlobError> {
        let reason = status.message().to_owned();
        match status.code() {
            Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::Aborted
            | Code::DeadlineExceeded
            | Code::ResourceExhausted => match self.patience {
                Patience::Endless => {
                    tokio::time::sleep(self.backoff.next_wait()).await;
                    Ok(())
                }
                Patience::Once => Err(BlobError::Unreachable { reason }),
            },
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated => Err(BlobError::Refused { digest, reason }),
        }
    }
}
