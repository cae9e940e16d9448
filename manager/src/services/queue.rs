//! The service for people: each call in one line, done in the modules beside.

use std::sync::Arc;

use manager_core::{AfterDrain, Command, DrainMode, DrainRequest as Ask, Refusal, Reply};
use proto::convert::parse;
use proto::nouns::{JobId, LogStream, Subject};
use proto::wire;
use proto::wire::queue_server::Queue;
use proto::wire::{
    ActReply, ActRequest, BatchesReply, BatchesRequest, DrainReply, DrainRequest, FollowRequest,
    InfoReply, InfoRequest, JobsReply, JobsRequest, LogChunk, LogsRequest, OutputsReply,
    OutputsRequest, PlanReply, PlanRequest, RescueReply, RescueRequest, RunsReply, RunsRequest,
    SteerReply, SteerRequest, StudiesReply, StudiesRequest, SubmitReply, SubmitRequest, Update,
    WhyAllReply, WhyAllRequest, WhyReply, WhyRequest, WorkersReply, WorkersRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::logs::{Follow, Wanted};
use super::{Shared, act, batches, follow, logs, outputs, pool, queries, steer, submit, why};
use crate::address;

/// Bytes of the reason for a drain, which is kept and shown.
const DRAIN_REASON_BYTES_MAX: usize = 1_024;
/// Pieces of a log that wait for a slow reader.
const LOG_PIECES_AHEAD: usize = 4;

pub(crate) struct QueueService {
    pub(super) shared: Arc<Shared>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Queue for QueueService {
    async fn info(&self, _: Request<InfoRequest>) -> Answer<InfoReply> {
        let pool = self.shared.queue.read(manager_core::Queue::pool_id).await?;
        Ok(Response::new(InfoReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pool: format!("{pool:08x}"),
            host: address::host_identity(),
            uid: nix::unistd::geteuid().as_raw(),
            started_ms: self.shared.started_ms,
        }))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Answer<SubmitReply> {
        submit::submit(&self.shared, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn jobs(&self, request: Request<JobsRequest>) -> Answer<JobsReply> {
        let reply = queries::jobs(&self.shared, &request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn batches(&self, request: Request<BatchesRequest>) -> Answer<BatchesReply> {
        let reply = batches::batches(&self.shared, &request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn runs(&self, request: Request<RunsRequest>) -> Answer<RunsReply> {
        let request = request.into_inner();
        let reply = self
            .shared
            .queue
            .read(move |queue| queries::runs(queue, &request));
        let mut reply = reply.await?;
        for run in &mut reply.runs {
            run.directory = self.shared.places.as_submitted(&run.directory);
        }
        Ok(Response::new(reply))
    }

    async fn workers(&self, request: Request<WorkersRequest>) -> Answer<WorkersReply> {
        let wanted = queries::WorkersWanted::parse(&request.into_inner())?;
        let now = crate::clock::now();
        let reply = self
            .shared
            .queue
            .read(move |queue| queries::workers(queue, now, &wanted));
        Ok(Response::new(reply.await?))
    }

    async fn studies(&self, request: Request<StudiesRequest>) -> Answer<StudiesReply> {
        let request = request.into_inner();
        let reply = self
            .shared
            .queue
            .read(move |queue| queries::studies(queue, &request))
            .await?;
        Ok(Response::new(reply?))
    }

    async fn act(&self, request: Request<ActRequest>) -> Answer<ActReply> {
        let reply = act::act(&self.shared, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn plan(&self, request: Request<PlanRequest>) -> Answer<PlanReply> {
        let reply = steer::plan(&self.shared, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn steer(&self, request: Request<SteerRequest>) -> Answer<SteerReply> {
        let reply = steer::steer(&self.shared, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn rescue(&self, request: Request<RescueRequest>) -> Answer<RescueReply> {
        let run = request.into_inner().run;
        let now = crate::clock::now();
        let look = move |queue: &manager_core::Queue| queue.rescue_text(now, run);
        let text = self.shared.queue.read(look).await?;
        let absent = || Status::not_found(format!("there is no DAG run {run}"));
        let text = text.ok_or_else(absent)?;
        Ok(Response::new(RescueReply { text }))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Answer<DrainReply> {
        let request = request.into_inner();
        let worker = parse("worker", &request.worker)?;
        let request = asked_of_worker(request)?;
        let command = Command::Drain { worker, request };
        let running = match self.shared.queue.carry(command).await? {
            Ok(Reply::Drained { running }) => running,
            Ok(
                Reply::Done | Reply::Submitted { .. } | Reply::Acted { .. } | Reply::Edited { .. },
            ) => 0,
            Err(refusal) => return Err(status_of(&refusal)),
        };
        Ok(Response::new(DrainReply { running }))
    }

    async fn pool(&self, _: Request<wire::PoolRequest>) -> Answer<wire::PoolReply> {
        pool::pool(&self.shared).await.map(Response::new)
    }

    async fn set_rules(
        &self,
        request: Request<wire::SetRulesRequest>,
    ) -> Answer<wire::SetRulesReply> {
        let reply = pool::set_rules(&self.shared, &request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn accounts(&self, _: Request<wire::AccountsRequest>) -> Answer<wire::AccountsReply> {
        pool::accounts(&self.shared).await.map(Response::new)
    }

    async fn set_account(
        &self,
        request: Request<wire::SetAccountRequest>,
    ) -> Answer<wire::SetAccountReply> {
        let reply = pool::set_account(&self.shared, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Answer<WhyReply> {
        let reply = why::why(&self.shared, &request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn why_all(&self, _: Request<WhyAllRequest>) -> Answer<WhyAllReply> {
        why::why_all(&self.shared).await.map(Response::new)
    }

    type FollowStream = ReceiverStream<Result<Update, Status>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Answer<Self::FollowStream> {
        let stream = follow::follow(self.shared.clone(), request.into_inner())?;
        Ok(Response::new(stream))
    }

    type LogsStream = ReceiverStream<Result<LogChunk, Status>>;

    async fn logs(&self, request: Request<LogsRequest>) -> Answer<Self::LogsStream> {
        let request = request.into_inner();
        let job: JobId = parse("job", &request.job)?;
        let stream = if request.stderr {
            LogStream::Stderr
        } else {
            LogStream::Stdout
        };
        let follow = if request.follow {
            Follow::UntilEnded
        } else {
            Follow::Once
        };
        let (sender, receiver) = mpsc::channel(LOG_PIECES_AHEAD);
        tokio::spawn(logs::send(
            self.shared.clone(),
            Wanted {
                job,
                stream,
                follow,
            },
            sender,
        ));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn outputs(&self, request: Request<OutputsRequest>) -> Answer<OutputsReply> {
        let id = request.into_inner().id;
        let subject: Subject = parse("id", &id)?;
        let reply = outputs::outputs(&self.shared, subject).await?;
        let absent = || Status::not_found(format!("there is no cluster, DAG run or job {id}"));
        Ok(Response::new(reply.ok_or_else(absent)?))
    }
}

fn asked_of_worker(request: DrainRequest) -> Result<Ask, Status> {
    use proto::wire::drain_request::{Mode, Then};
    if request.resume {
        return Ok(Ask::Resume);
    }
    if request.reason.len() > DRAIN_REASON_BYTES_MAX {
        let text = format!("the reason has more than {DRAIN_REASON_BYTES_MAX} bytes");
        return Err(Status::invalid_argument(text));
    }
    Ok(Ask::Drain {
        mode: match request.mode() {
            Mode::Graceful => DrainMode::Graceful,
            Mode::Quick => DrainMode::Quick,
            Mode::Fast => DrainMode::Fast,
        },
        then: match request.then() {
            Then::Stay => AfterDrain::Stay,
            Then::TakeWork => AfterDrain::Resume,
            Then::Exit => AfterDrain::Exit,
        },
        check: (!request.check.is_empty()).then_some(request.check),
        reason: request.reason,
    })
}

/// A refusal as a call's status.
pub(super) fn status_of(refusal: &Refusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::Unknown { .. }
        | Refusal::UnknownWorker { .. }
        | Refusal::UnknownNode { .. }
        | Refusal::UnknownCategory { .. } => Status::not_found(text),
        Refusal::WrongState { .. }
        | Refusal::NotNow { .. }
        | Refusal::DrainCheck { .. }
        | Refusal::Session { .. } => Status::failed_precondition(text),
        Refusal::QueueFull { .. } => Status::resource_exhausted(text),
        Refusal::Invalid { .. } | Refusal::BadEdit { .. } => Status::invalid_argument(text),
    }
}
