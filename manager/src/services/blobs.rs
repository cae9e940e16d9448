//! Blobs in and out, in pieces.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::Arc;

use proto::convert::parse;
use proto::nouns::Digest;
use proto::wire::blobs_server::Blobs;
use proto::wire::{BlobChunk, Digests, GetRequest, PutReply};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use crate::blobs::read_from;
use crate::settings::BLOB_BYTES_MAX;

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces read ahead of a slow receiver.
const PIECES_AHEAD: usize = 4;

pub(crate) struct BlobsService {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Blobs for BlobsService {
    async fn missing(&self, request: Request<Digests>) -> Result<Response<Digests>, Status> {
        let mut missing = Vec::new();
        for text in request.into_inner().digests {
            let digest: Digest = parse("digests", &text)?;
            if !self.shared.blobs.contains(digest) {
                missing.push(text);
            }
        }
        Ok(Response::new(Digests { digests: missing }))
    }

    async fn put(
        &self,
        request: Request<Streaming<BlobChunk>>,
    ) -> Result<Response<PutReply>, Status> {
        let mut chunks = request.into_inner();
        let failed =
            |error: std::io::Error| Status::unavailable(format!("the blob store: {error}"));
        let mut incoming = self.shared.blobs.incoming().map_err(failed)?;
        let mut wanted: Option<Digest> = None;
        while let Some(chunk) = chunks.message().await? {
            if wanted.is_none() {
                wanted = Some(parse("digest", &chunk.digest)?);
            }
            if incoming.bytes() + chunk.bytes.len() as u64 > BLOB_BYTES_MAX {
                let limit = format!("a blob has at most {BLOB_BYTES_MAX} bytes (blob_bytes_max)");
                return Err(Status::resource_exhausted(limit));
            }
            incoming.write(&chunk.bytes).map_err(failed)?;
        }
        let wanted = wanted.ok_or_else(|| Status::invalid_argument("a blob without a digest"))?;
        let bytes = incoming.bytes();
        let finish = tokio::task::spawn_blocking(move || incoming.finish_as(wanted));
        let finished = finish
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        match finished.map_err(failed)? {
            Some(found) => Err(Status::data_loss(format!(
                "the bytes of {wanted} came as {found}"
            ))),
            None => Ok(Response::new(PutReply { bytes })),
        }
    }

    type GetStream = ReceiverStream<Result<BlobChunk, Status>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let GetRequest { digest, offset } = request.into_inner();
        let digest: Digest = parse("digest", &digest)?;
        let path = self.shared.blobs.path(digest);
        let absent = |_| Status::not_found(format!("there is no blob {digest}"));
        let mut file = File::open(path).map_err(absent)?;
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let mut result = file.seek(SeekFrom::Start(offset)).map(|_| 1);
            while let Ok(1..) = result {
                result = read_from(&mut file, &mut piece);
                let chunk = match &result {
                    Ok(0) => break,
                    Ok(count) => {
                        let bytes = piece[..*count].to_vec();
                        Ok(BlobChunk {
                            digest: digest.to_string(),
                            bytes,
                        })
                    }
                    Err(error) => Err(Status::unavailable(format!("the blob store: {error}"))),
                };
                if sender.blocking_send(chunk).is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
