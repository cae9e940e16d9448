//! Logs: of an ended job from its blob, of a running one from the worker that runs it.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use manager_core::{ProcState, Queue};
use proto::nouns::{Blob, ClaimId, Digest, JobId, LogStream, ToWorker};
use proto::wire::LogChunk;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::Shared;
use crate::blobs::read_from;

/// How long a worker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a log that somebody follows is looked at. Nobody looks when nobody follows.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
const PIECE_BYTES: usize = 256 << 10;

/// Questions to workers that were not answered yet.
#[derive(Default)]
pub(super) struct Tails {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, oneshot::Sender<Vec<u8>>>>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub job: JobId,
    pub stream: LogStream,
    pub follow: Follow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    UntilEnded,
    Once,
}

/// Where a job's log is.
enum Source {
    Unknown,
    Nowhere,
    Blob(Digest),
    Worker { session: u64, claim: ClaimId },
}

type Pieces = mpsc::Sender<Result<LogChunk, Status>>;

impl Tails {
    /// A worker's answer.
    pub(super) fn answer(&self, request: u64, bytes: Vec<u8>) {
        let waiting = self.lock().remove(&request);
        if let Some(sender) = waiting {
            let _ = sender.send(bytes);
        }
    }

    fn ask(&self) -> (u64, oneshot::Receiver<Vec<u8>>) {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(request, sender);
        (request, receiver)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Vec<u8>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a job's log, piece by piece, until there is no more or nobody listens.
pub(super) async fn send(shared: Arc<Shared>, wanted: Wanted, pieces: Pieces) {
    if let Err(status) = follow(&shared, wanted, &pieces).await {
        let _ = pieces.send(Err(status)).await;
    }
}

async fn follow(shared: &Arc<Shared>, wanted: Wanted, pieces: &Pieces) -> Result<(), Status> {
    let mut offset = 0_u64;
    let mut attempt: Option<ClaimId> = None;
    loop {
        let source = shared
            .queue
            .read(move |queue| source_of(queue, wanted))
            .await?;
        match source {
            Source::Unknown => {
                return Err(Status::not_found(format!("there is no job {}", wanted.job)));
            }
            Source::Blob(digest) => return send_blob(shared, digest, offset, pieces).await,
            Source::Nowhere if wanted.follow == Follow::Once => return Ok(()),
            Source::Nowhere => {}
            Source::Worker { session, claim } => {
                if attempt.replace(claim).is_some_and(|before| before != claim) {
                    offset = 0;
                }
                let bytes = ask_worker(shared, session, claim, wanted.stream, offset).await?;
                offset += bytes.len() as u64;
                let more = !bytes.is_empty();
                if more && pieces.send(Ok(LogChunk { bytes })).await.is_err() {
                    return Ok(());
                }
                match (more, wanted.follow) {
                    (true, _) => continue,
                    (false, Follow::Once) => return Ok(()),
                    (false, Follow::UntilEnded) => {}
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            () = pieces.closed() => return Ok(()),
            () = shared.closing() => return Ok(()),
        }
    }
}

fn source_of(queue: &Queue, wanted: Wanted) -> Source {
    let Some((_, proc)) = queue.job(wanted.job) else {
        return Source::Unknown;
    };
    match &proc.state {
        ProcState::Running { claim, worker, .. } => {
            let session = queue
                .workers()
                .get(worker)
                .and_then(|worker| worker.session);
            session.map_or(Source::Nowhere, |session| Source::Worker {
                session,
                claim: *claim,
            })
        }
        ProcState::Landing { ending }
        | ProcState::Completed { ending }
        | ProcState::Held {
            ending: Some(ending),
            ..
        } => {
            let blob: Option<Blob> = match wanted.stream {
                LogStream::Stdout => ending.report.stdout,
                LogStream::Stderr => ending.report.stderr,
            };
            blob.map_or(
                Source::Blob(Digest(*blake3::hash(b"").as_bytes())),
                |blob| Source::Blob(blob.digest),
            )
        }
        ProcState::Removed { .. } => Source::Blob(Digest(*blake3::hash(b"").as_bytes())),
        ProcState::Idle | ProcState::Held { ending: None, .. } => Source::Nowhere,
    }
}

async fn ask_worker(
    shared: &Shared,
    session: u64,
    claim: ClaimId,
    stream: LogStream,
    offset: u64,
) -> Result<Vec<u8>, Status> {
    let (request, answer) = shared.tails.ask();
    shared
        .queue
        .tell(
            session,
            ToWorker::Tail {
                request,
                claim,
                stream,
                offset,
            },
        )
        .await?;
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) | Err(_) => {
            shared.tails.lock().remove(&request);
            Err(Status::unavailable(
                "the worker that runs the job does not answer; try again",
            ))
        }
    }
}

async fn send_blob(
    shared: &Shared,
    digest: Digest,
    offset: u64,
    pieces: &Pieces,
) -> Result<(), Status> {
    use std::io::{Seek, SeekFrom};
    let Ok(mut file) = File::open(shared.blobs.path(digest)) else {
        return Ok(());
    };
    let failed = |error: std::io::Error| Status::unavailable(format!("the blob store: {error}"));
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = read_from(&mut file, &mut piece).map_err(failed)?;
        let bytes = piece[..count].to_vec();
        if count == 0 || pieces.send(Ok(LogChunk { bytes })).await.is_err() {
            return Ok(());
        }
    }
}
