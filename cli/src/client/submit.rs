//! Submitting: inputs hashed and uploaded, then one message, repeated under its key until it is
//! answered.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use proto::wire::{self, plan_request};

use super::bundle::Bundle;
use super::inputs::{Found, Inputs};
use super::{Client, host};
use crate::exit::Failure;

/// How often a submit that was not answered is sent again; the waits double from the first.
const TRIES_MAX: u32 = 6;
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// Bytes of a submission's key: enough that no two are ever equal.
const KEY_BYTES: usize = 16;

/// A submission that the manager holds durably.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub id: u32,
    pub jobs: u64,
    pub nodes: u32,
    /// The manager's own; the client's check, printed before, gives the same where both are of one
    /// version.
    pub warnings: Vec<String>,
    pub delivery: wire::Delivery,
}

/// A submission with its inputs hashed, that nobody heard of yet.
pub struct Prepared {
    request: wire::SubmitRequest,
    /// By digest, a file that has these bytes.
    blobs: BTreeMap<String, PathBuf>,
}

impl Prepared {
    /// The same as the successor of a run that ended.
    pub fn continuing(mut self, run: u32) -> Prepared {
        self.request.continues = run;
        self
    }

    /// What is asked to learn what it would do.
    pub fn plan(&self) -> plan_request::What {
        plan_request::What::Submit(self.request.clone())
    }
}

impl Client {
    /// Submits a checked bundle with its inputs.
    ///
    /// # Errors
    /// Inputs that cannot be read (nothing was submitted then), or the manager's refusal.
    pub async fn submit(&self, bundle: Bundle, found: Found) -> Result<Submitted, Failure> {
        let prepared = self.prepare(bundle, found).await?;
        self.send_prepared(prepared).await
    }

    /// Hashes the inputs of a checked bundle.
    ///
    /// # Errors
    /// Inputs that cannot be read.
    pub async fn prepare(&self, bundle: Bundle, found: Found) -> Result<Prepared, Failure> {
        let digest = bundle.digest();
        let delivery = host::delivery(&self.info().await?);
        let hashing = tokio::task::spawn_blocking(move || {
            let inputs = found.hash(&bundle)?;
            Ok::<_, Failure>((bundle, inputs))
        });
        let (bundle, Inputs { files, blobs }) = hashing
            .await
            .map_err(|error| Failure::Internal(error.to_string()))??;
        let environment = bundle.environment();
        let request = wire::SubmitRequest {
            key: key().map_err(|error| Failure::Internal(format!("no random numbers: {error}")))?,
            owner: host::user(),
            directory: bundle.directory.to_string_lossy().into_owned(),
            main: bundle.main,
            sources: bundle.sources,
            files,
            delivery: delivery.into(),
            macros: bundle.macros,
            digest,
            environment,
            rescue: bundle.rescue.unwrap_or_default(),
            continues: 0,
        };
        Ok(Prepared { request, blobs })
    }

    /// Uploads what the manager lacks, and submits.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn send_prepared(&self, prepared: Prepared) -> Result<Submitted, Failure> {
        let Prepared { request, blobs } = prepared;
        let delivery = request.delivery();
        self.upload(&blobs).await?;
        let reply = self.send(request).await?;
        let wire::SubmitReply {
            id,
            jobs,
            nodes,
            warnings,
        } = reply;
        Ok(Submitted {
            id,
            jobs,
            nodes,
            warnings,
            delivery,
        })
    }

    /// A manager that restarts is away for a moment; the key keeps what it already holds from being
    /// queued twice.
    async fn send(&self, request: wire::SubmitRequest) -> Result<wire::SubmitReply, Failure> {
        let mut wait = WAIT_FIRST;
        for _ in 1..TRIES_MAX {
            match self.heard(self.queue.clone().submit(request.clone()).await) {
                Err(Failure::Unreachable { .. }) => tokio::time::sleep(wait).await,
                answer => return answer,
            }
            wait *= 2;
        }
        self.heard(self.queue.clone().submit(request).await)
    }
}

fn key() -> std::io::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
