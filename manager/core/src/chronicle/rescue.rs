//! The progress of a run as a file that DAGMan takes up again: its partial rescue format, for
//! rescue files and save points. Where they lie is not known here.

use dags::dag::rescue::{Kind, Rescue};
use dags::dag::{NodeKind, Role};
use proto::nouns::Now;

use crate::run::{NodeState, Run};
use crate::user_log::LocalTime;

/// The file's text.
pub(super) fn text(run: &Run, now: Now, kind: Kind<'_>) -> String {
    let named = || (0..).take(run.dag.named().len());
    let names = |is: &dyn Fn(u32) -> bool| -> Vec<&str> {
        let chosen = named().filter(|at| is(*at));
        chosen.map(|at| run.node_name(at)).collect()
    };
    let failed = |at: u32| matches!(run.nodes[at as usize].state, NodeState::Failed { .. });
    let at = LocalTime::of(i64::try_from(now.wall_ms).unwrap_or(i64::MAX), 0);
    let created = format!(
        "{}/{}/{} {:02}:{:02}:{:02} UTC",
        at.month, at.day, at.year, at.hour, at.minute, at.second
    );
    Rescue {
        dag: &run.dag.file,
        kind,
        created: &created,
        nodes: run.dag.named().len() as u64,
        done: names(&|at| is_done(run, at)),
        failed: names(&failed),
        retries: Vec::new(),
    }
    .write()
}

/// Whether a node need not run again: one that failed counts as done where nobody waits for its
/// success.
fn is_done(run: &Run, at: u32) -> bool {
    let node = &run.dag.nodes[at as usize];
    if node.role == Role::Final || node.kind == NodeKind::Join {
        return false;
    }
    match run.nodes[at as usize].state {
        NodeState::Done => true,
        NodeState::Failed { .. } => node.children.is_empty() && !node.weak_children.is_empty(),
        NodeState::Waiting
        | NodeState::Pre
        | NodeState::Ready
        | NodeState::Preparing
        | NodeState::Running
        | NodeState::Post
        | NodeState::Futile => false,
    }
}
