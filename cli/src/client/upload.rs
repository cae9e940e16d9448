//! Blobs to the manager: asks what it lacks, sends that and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::wire;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::Client;
use crate::exit::Failure;

/// Bytes of one message of an upload.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks read ahead of the network.
const CHUNKS_AHEAD: usize = 4;
/// Uploads at once.
const UPLOADS_MAX: usize = 4;
/// Digests in one question.
const DIGESTS_MAX: usize = 10_000;

impl Client {
    /// Sends each blob that the manager lacks. `blobs` is digest to a file that had these bytes.
    ///
    /// # Errors
    /// A file that cannot be read or has changed since it was hashed.
    pub async fn upload(&self, blobs: &BTreeMap<String, PathBuf>) -> Result<(), Failure> {
        let mut uploads: JoinSet<Result<(), Failure>> = JoinSet::new();
        for digest in self.lacking(blobs).await? {
            let Some(path) = blobs.get(&digest).cloned() else {
                continue;
            };
            if uploads.len() >= UPLOADS_MAX {
                settle(uploads.join_next().await)?;
            }
            let client = self.clone();
            uploads.spawn(async move { client.put(digest, &path).await });
        }
        while let Some(ended) = uploads.join_next().await {
            settle(Some(ended))?;
        }
        Ok(())
    }

    async fn lacking(&self, blobs: &BTreeMap<String, PathBuf>) -> Result<Vec<String>, Failure> {
        let digests: Vec<String> = blobs.keys().cloned().collect();
        let mut lacking = Vec::new();
        for digests in digests.chunks(DIGESTS_MAX) {
            let request = wire::Digests {
                digests: digests.to_vec(),
            };
            let reply = self.heard(self.blobs.clone().missing(request).await)?;
            lacking.extend(reply.digests);
        }
        Ok(lacking)
    }

    async fn put(&self, digest: String, path: &Path) -> Result<(), Failure> {
        let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let reading = tokio::spawn(read(path.to_owned(), digest, chunks));
        let answer = self.blobs.clone().put(ReceiverStream::new(receiver)).await;
        // What went wrong on our side explains what the manager makes of it.
        let read = reading
            .await
            .map_err(|error| Failure::Internal(error.to_string()))?;
        read.map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        match answer {
            Err(status) if status.code() == Code::DataLoss => {
                let (path, said) = (path.display(), status.message());
                Err(Failure::Usage(format!(
                    "{path}: the file changed while it was sent ({said})"
                )))
            }
            answer => self.heard(answer).map(|_| ()),
        }
    }
}

/// Sends a file chunk by chunk; an empty one as one empty chunk. That nobody listens any more is
/// told by the answer.
async fn read(
    path: PathBuf,
    digest: String,
    chunks: mpsc::Sender<wire::BlobChunk>,
) -> std::io::Result<()> {
    let mut file = File::open(path).await?;
    let mut digest = Some(digest);
    loop {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        (&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut bytes)
            .await?;
        if bytes.is_empty() && digest.is_none() {
            return Ok(());
        }
        let digest = digest.take().unwrap_or_default();
        if chunks
            .send(wire::BlobChunk { digest, bytes })
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

fn settle(
    ended: Option<Result<Result<(), Failure>, tokio::task::JoinError>>,
) -> Result<(), Failure> {
    match ended {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(Failure::Internal(format!("an upload ended early: {error}"))),
    }
}
