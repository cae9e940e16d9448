//! The client's end of the wire: one method a question, every failure turned into a sentence and an
//! exit code.
//!
//! Holds no verb and prints nothing. What a submit carries is put together in `bundle` and
//! `inputs`, sent by `upload` and `submit`.

pub mod bundle;
pub mod download;
pub mod fate;
pub mod follow;
pub mod host;
pub mod inputs;
pub mod produced;
pub mod submit;
pub mod upload;

use std::time::Duration;

use proto::wire::blobs_client::BlobsClient;
use proto::wire::queue_client::QueueClient;
use proto::wire::{self, act_request::Action};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};

use crate::exit::Failure;
use crate::settings::Address;

/// How long a manager may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it lives, and how long it may take to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// A connection to a manager. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    queue: QueueClient<Channel>,
    blobs: BlobsClient<Channel>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] when nobody answers.
    pub async fn connect(address: &Address) -> Result<Client, Failure> {
        let unreachable = |error: tonic::transport::Error| Failure::Unreachable {
            address: address.to_string(),
            reason: innermost(&error),
        };
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .map_err(unreachable)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .connect()
            .await
            .map_err(unreachable)?;
        Ok(Client {
            address: address.clone(),
            queue: QueueClient::new(channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX),
            blobs: BlobsClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX),
        })
    }

    /// What the manager says of itself.
    pub async fn info(&self) -> Result<wire::InfoReply, Failure> {
        self.heard(self.queue.clone().info(wire::InfoRequest {}).await)
    }

    pub async fn jobs(&self, request: wire::JobsRequest) -> Result<wire::JobsReply, Failure> {
        self.heard(self.queue.clone().jobs(request).await)
    }

    pub async fn runs(&self, request: wire::RunsRequest) -> Result<wire::RunsReply, Failure> {
        self.heard(self.queue.clone().runs(request).await)
    }

    /// Every study of a DAG run; the manager is asked only if there is one.
    pub async fn studies_of(&self, run: &wire::Run) -> Result<Vec<wire::Study>, Failure> {
        if !run.nodes.iter().any(|node| node.kind == "study") {
            return Ok(Vec::new());
        }
        let request = wire::StudiesRequest {
            run: run.id,
            node: String::new(),
        };
        Ok(self.studies(request).await?.studies)
    }

    /// One DAG run with its nodes.
    ///
    /// # Errors
    /// [`Failure::NotFound`] when there is no such run.
    pub async fn run(&self, id: u32) -> Result<wire::Run, Failure> {
        let which = wire::Which::All.into();
        let request = wire::RunsRequest {
            ids: vec![id],
            with_nodes: true,
            which,
        };
        let run = self
            .runs(request)
            .await?
            .runs
            .into_iter()
            .find(|run| run.id == id);
        run.ok_or_else(|| Failure::NotFound(format!("there is no DAG run {id}")))
    }

    pub async fn workers(
        &self,
        request: wire::WorkersRequest,
    ) -> Result<wire::WorkersReply, Failure> {
        self.heard(self.queue.clone().workers(request).await)
    }

    pub async fn studies(
        &self,
        request: wire::StudiesRequest,
    ) -> Result<wire::StudiesReply, Failure> {
        self.heard(self.queue.clone().studies(request).await)
    }

    pub async fn act(
        &self,
        action: Action,
        ids: Vec<String>,
        reason: &str,
    ) -> Result<wire::ActReply, Failure> {
        self.act_on(wire::ActRequest {
            action: action.into(),
            ids,
            reason: reason.to_owned(),
            ..wire::ActRequest::default()
        })
        .await
    }

    pub async fn act_on(&self, request: wire::ActRequest) -> Result<wire::ActReply, Failure> {
        self.heard(self.queue.clone().act(request).await)
    }

    /// What a request would do.
    pub async fn plan(&self, what: wire::plan_request::What) -> Result<wire::PlanReply, Failure> {
        let request = wire::PlanRequest { what: Some(what) };
        self.heard(self.queue.clone().plan(request).await)
    }

    pub async fn steer(&self, request: wire::SteerRequest) -> Result<wire::SteerReply, Failure> {
        self.heard(self.queue.clone().steer(request).await)
    }

    /// The text of a rescue file.
    pub async fn rescue(&self, run: u32) -> Result<String, Failure> {
        let request = wire::RescueRequest { run };
        Ok(self.heard(self.queue.clone().rescue(request).await)?.text)
    }

    pub async fn drain(&self, request: wire::DrainRequest) -> Result<wire::DrainReply, Failure> {
        self.heard(self.queue.clone().drain(request).await)
    }

    pub async fn pool(&self) -> Result<wire::PoolReply, Failure> {
        self.heard(self.queue.clone().pool(wire::PoolRequest {}).await)
    }

    pub async fn set_rules(&self, request: wire::SetRulesRequest) -> Result<(), Failure> {
        self.heard(self.queue.clone().set_rules(request).await)?;
        Ok(())
    }

    pub async fn accounts(&self) -> Result<wire::AccountsReply, Failure> {
        self.heard(self.queue.clone().accounts(wire::AccountsRequest {}).await)
    }

    pub async fn set_account(&self, request: wire::SetAccountRequest) -> Result<(), Failure> {
        self.heard(self.queue.clone().set_account(request).await)?;
        Ok(())
    }

    pub async fn why(&self, request: wire::WhyRequest) -> Result<wire::WhyReply, Failure> {
        self.heard(self.queue.clone().why(request).await)
    }

    pub async fn why_all(&self) -> Result<wire::WhyAllReply, Failure> {
        self.heard(self.queue.clone().why_all(wire::WhyAllRequest {}).await)
    }

    /// One stream of updates, as long as it holds.
    pub async fn updates(
        &self,
        request: wire::FollowRequest,
    ) -> Result<Streaming<wire::Update>, Failure> {
        self.heard(self.queue.clone().follow(request).await)
    }

    pub async fn batches(
        &self,
        request: wire::BatchesRequest,
    ) -> Result<wire::BatchesReply, Failure> {
        self.heard(self.queue.clone().batches(request).await)
    }

    pub async fn logs(
        &self,
        request: wire::LogsRequest,
    ) -> Result<Streaming<wire::LogChunk>, Failure> {
        self.heard(self.queue.clone().logs(request).await)
    }

    pub async fn outputs(&self, id: String) -> Result<wire::OutputsReply, Failure> {
        self.heard(
            self.queue
                .clone()
                .outputs(wire::OutputsRequest { id })
                .await,
        )
    }

    /// The next message of a stream; absent at its end.
    pub async fn next<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>, Failure> {
        stream
            .message()
            .await
            .map_err(|status| self.failure(&status))
    }

    pub(self) fn heard<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Failure> {
        answer
            .map(Response::into_inner)
            .map_err(|status| self.failure(&status))
    }

    fn failure(&self, status: &Status) -> Failure {
        let said = status.message().to_owned();
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Failure::Unreachable {
                address: self.address.to_string(),
                reason: innermost(status),
            },
            Code::Unknown | Code::Internal if std::error::Error::source(status).is_some() => {
                Failure::Unreachable {
                    address: self.address.to_string(),
                    reason: innermost(status),
                }
            }
            Code::NotFound => Failure::NotFound(said),
            Code::InvalidArgument | Code::OutOfRange => Failure::Usage(said),
            Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::Unauthenticated => Failure::Work(said),
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss | Code::Unimplemented => {
                let code = status.code().description();
                Failure::Internal(format!("the manager failed: {said} ({code})"))
            }
        }
    }
}

/// The sentence at the bottom of a chain of errors: what the system said.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => deepest.to_string(),
    }
}
