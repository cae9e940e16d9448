//! Submissions: a key that was seen before gives its id again.

use std::sync::Arc;

use dags::submit::SubmitState;
use proto::nouns::{JobId, Now};

use crate::command::{NewCluster, NewRun, Refusal, Reply};
use crate::decide::Decision;
use crate::event::Event;
use crate::job::{Cluster, HoldCode, Source, Tally};
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

/// A DAG.
pub(super) fn run(queue: &Queue, new: NewRun) -> Result<Decision, Refusal> {
    if let Some(&id) = queue.submit_keys.get(&new.key) {
        return Ok(Decision::new(Vec::new()).reply(Reply::Submitted { id }));
    }
    room_for(queue, new.dag.nodes.len() as u64)?;
    let id = queue.meta.next_id;
    let workspace = Workspace {
        directory: new.directory,
        delivery: new.delivery,
        files: new.files,
    };
    let event = Event::RunQueued {
        id,
        owner: new.owner,
        dag: new.dag,
        digest: new.digest,
        workspace,
        key: new.key,
    };
    Ok(Decision::new(vec![event]).reply(Reply::Submitted { id }))
}

impl Queue {
    /// Starts a node: its jobs join the queue, or its study opens.
    pub(crate) fn start(&self, now: Now, run_id: u32, node: u32) -> Vec<Event> {
        let Some(run) = self.runs.get(&run_id) else {
            return Vec::new();
        };
        if run.state != crate::run::RunState::Running || !run.is_ready(node) {
            return Vec::new();
        }
        let source = match run.dag.nodes[node as usize].kind {
            dags::dag::NodeKind::Noop { .. } => {
                let started = Event::NodeStarted {
                    run: run_id,
                    node,
                    cluster: None,
                };
                return vec![started, self.node_done(run_id, node)];
            }
            dags::dag::NodeKind::Job { .. } => Source::Node { run: run_id, node },
            dags::dag::NodeKind::Study { .. } => Source::Study { run: run_id, node },
        };
        let started = |cluster| Event::NodeStarted {
            run: run_id,
            node,
            cluster,
        };
        if let (Source::Study { .. }, Some(cluster)) = (source, run.nodes[node as usize].cluster) {
            // A study that begins again keeps its cluster: trial n stays proc n.
            return vec![started(Some(cluster))];
        }
        let id = self.meta.next_id;
        let macros = self.node_macros(run_id, node);
        let sized = match source {
            Source::Study { .. } => Ok((0, SubmitState::Run)),
            Source::User | Source::Node { .. } => self.size_of_node(run_id, node, id, &macros),
        };
        let (count, state) = match sized {
            Ok(sized) => sized,
            Err(reason) => {
                let mut events = vec![started(None)];
                events.extend(self.node_failed(run_id, node, reason));
                return events;
            }
        };
        let cluster = Cluster {
            macros,
            dir: run.dag.nodes[node as usize].dir.clone(),
            ..Cluster::new(id, run.owner.clone(), now.wall_ms, source, count)
        };
        let queued = Event::ClusterQueued {
            cluster: Box::new(cluster),
            workspace: None,
            key: None,
        };
        let mut events = vec![queued, started(Some(id))];
        if state == SubmitState::Hold {
            events.extend(held(id, count));
        }
        if count == 0 && matches!(source, Source::Node { .. }) {
            events.push(self.node_done(run_id, node));
        }
        events
    }

    fn size_of_node(
        &self,
        run: u32,
        node: u32,
        id: u32,
        macros: &dags::submit::Macros,
    ) -> Result<(u32, SubmitState), String> {
        let submit = self.runs[&run].dag.submit_of(node);
        let items = submit.procs(macros).map_err(|errors| errors.to_string())?;
        if items.is_empty() {
            return Ok((0, SubmitState::Run));
        }
        let spec = submit
            .expand(macros, id, 0, items.row(0))
            .map_err(|errors| errors.to_string())?;
        let count = room_for(self, items.len()).map_err(|refusal| refusal.to_string())?;
        Ok((count, spec.hold))
    }
}

/// Jobs that join the queue are counted against its limit before they do.
fn room_for(queue: &Queue, jobs: u64) -> Result<u32, Refusal> {
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

fn held(cluster: u32, count: u32) -> impl Iterator<Item = Event> {
    (0..count).map(move |proc| Event::JobHeld {
        job: JobId { cluster, proc },
        code: HoldCode::SubmittedOnHold,
        reason: "the submit description says hold".to_owned(),
    })
}

impl Cluster {
    fn new(id: u32, owner: String, submitted_ms: u64, source: Source, count: u32) -> Cluster {
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
            procs: std::collections::BTreeMap::new(),
            items: None,
            tally: Tally::default(),
            idle: std::collections::BTreeSet::new(),
            look_from: 0,
            precedence: (0, 0),
            placed: None,
        }
    }
}
