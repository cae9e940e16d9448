//! What people ask of DAG runs, and what it would do: messages to requests, plans to messages.

use manager_core::{Command, Plan, Reply, Steer, ThrottleChange};
use proto::wire::plan_request::What;
use proto::wire::{self, PlanReply, SteerReply, SteerRequest, steer_request};
use tonic::Status;

use super::queue::status_of;
use super::{Shared, submit};

/// Does it; durable when answered.
pub(super) async fn steer(shared: &Shared, request: SteerRequest) -> Result<SteerReply, Status> {
    let (run, request) = request_of(request)?;
    match shared.queue.carry(Command::Steer { run, request }).await? {
        Ok(Reply::Acted { changed }) => Ok(SteerReply { changed }),
        Ok(
            Reply::Done | Reply::Submitted { .. } | Reply::Edited { .. } | Reply::Drained { .. },
        ) => Ok(SteerReply { changed: 0 }),
        Err(refusal) => Err(status_of(&refusal)),
    }
}

/// Says what it would do.
pub(super) async fn plan(shared: &Shared, request: wire::PlanRequest) -> Result<PlanReply, Status> {
    let planned = match request.what {
        None => return Err(Status::invalid_argument("nothing is asked for")),
        Some(What::Steer(request)) => {
            let (run, request) = request_of(request)?;
            let look = move |queue: &manager_core::Queue| queue.plan(run, &request);
            shared.queue.read(look).await?
        }
        Some(What::Submit(request)) => {
            let continues = request.continues;
            let new = submit::planned(request).await?;
            let look = move |queue: &manager_core::Queue| queue.plan_changed(continues, &new);
            shared.queue.read(look).await?
        }
    };
    planned.map(reply).map_err(|refusal| status_of(&refusal))
}

fn reply(plan: Plan) -> PlanReply {
    let again = plan.again.into_iter().map(|planned| wire::Planned {
        node: planned.node,
        status: planned.state.to_owned(),
        why: planned.why,
    });
    PlanReply {
        run: plan.run,
        again: again.collect(),
        kept: plan.kept,
    }
}

fn request_of(request: SteerRequest) -> Result<(u32, Steer), Status> {
    let steer = match request.what {
        None => return Err(Status::invalid_argument("nothing is asked for")),
        Some(steer_request::What::Halt(_)) => Steer::Halt,
        Some(steer_request::What::Resume(_)) => Steer::Resume,
        Some(steer_request::What::Retry(retry)) => Steer::Retry { nodes: retry.nodes },
        Some(steer_request::What::Rerun(rerun)) => Steer::Rerun { from: rerun.from },
        Some(steer_request::What::Throttle(change)) => Steer::Throttle(ThrottleChange {
            max_jobs: change.max_jobs,
            max_idle: change.max_idle,
            max_pre: change.max_pre,
            max_post: change.max_post,
            max_hold: change.max_hold,
            categories: change.categories.into_iter().collect(),
        }),
    };
    Ok((request.run, steer))
}
