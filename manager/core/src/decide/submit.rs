//! Submissions of descriptions: a key that was seen before gives its id again.

use std::sync::Arc;

use dags::submit::SubmitState;
use proto::nouns::{JobId, Now};

use crate::command::{NewCluster, Refusal, Reply};
use crate::decide::Decision;
use crate::event::Event;
use crate::job::{Cluster, HoldCode, Logs, Source, Tally};
use crate::negotiator::Placed;
use crate::queue::Queue;
use crate::workspace::Workspace;

/// A submit description of its own.
pub(super) fn cluster(queue: &Queue, now: Now, new: NewCluster) -> Result<Decision, Refusal> {
    if let Some(&id) = queue.submit_keys.get(&new.key) {
        return Ok(Decision::new(Vec::new()).reply(Reply::Submitted { id }));
    }
    let id = queue.meta.next_id;
    let invalid = |reason: dags::diagnostic::Diagnostics| Refusal::Invalid {
        reason: reason.to_string(),
    };
    let items = new.submit.procs(&new.macros).map_err(invalid)?;
    let spec = new
        .submit
        .expand(&new.macros, id, 0, items.row(0))
        .map_err(invalid)?;
    let count = room_for(queue, items.len())?;
    let workspace = Workspace {
        directory: new.directory,
        delivery: new.delivery,
        files: new.files,
    };
    let cluster = Cluster {
        submit: Some(new.submit),
        macros: new.macros,
        ..Cluster::new(id, new.owner, now.wall_ms, Source::User, count)
    };
    let mut events = vec![Event::ClusterQueued {
        cluster: Box::new(cluster),
        workspace: Some(workspace),
        key: Some(new.key),
    }];
    if spec.hold == SubmitState::Hold {
        events.extend(held(id, count));
    }
    Ok(Decision::new(events).reply(Reply::Submitted { id }))
}

/// Jobs that join the queue are counted against its limit before they do.
pub(super) fn room_for(queue: &Queue, jobs: u64) -> Result<u32, Refusal> {
    let limit = queue.limits.jobs_max;
    let after = queue.jobs_live.saturating_add(jobs);
    match u32::try_from(jobs) {
        Ok(count) if after <= limit => Ok(count),
        Ok(_) | Err(_) => Err(Refusal::QueueFull {
            jobs: queue.jobs_live,
            limit,
        }),
    }
}

pub(super) fn held(cluster: u32, count: u32) -> impl Iterator<Item = Event> {
    (0..count).map(move |proc| Event::JobHeld {
        job: JobId { cluster, proc },
        code: HoldCode::SubmittedOnHold,
        reason: "the submit description says hold".to_owned(),
    })
}

impl Cluster {
    pub(super) fn new(
        id: u32,
        owner: String,
        submitted_ms: u64,
        source: Source,
        count: u32,
    ) -> Cluster {
        Cluster {
            id,
            owner,
            submitted_ms,
            source,
            submit: None::<Arc<_>>,
            dir: String::new(),
            macros: dags::submit::Macros::new(),
            count,
            fresh_from: 0,
            raised: crate::raised::Raised::default(),
            rest: crate::rest::Rest::default(),
            edits: Vec::new(),
            procs: std::collections::BTreeMap::new(),
            items: None,
            tally: Tally::default(),
            idle: std::collections::BTreeSet::new(),
            path: 0,
            varied: false,
            placed: Placed::default(),
            batch: None,
            logs: Logs::default(),
            watching: crate::policy::Watching::default(),
            window: crate::materialize::Window::default(),
        }
    }
}
