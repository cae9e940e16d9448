//! Why a node whose parents have ended does not go on.

use dags::dag::Role;

use crate::queue::Queue;
use crate::run::{Halt, NodeState, Run, RunState, ScriptKind, ScriptPhase, Stage};

impl Queue {
    /// Why a node waits, in words; nothing for one that waits for its parents or waits for nothing.
    pub fn waits(&self, run: &Run, node: u32) -> Option<String> {
        if run.state != RunState::Running {
            return None;
        }
        let record = &run.nodes[node as usize];
        let deferred = |kind| {
            let phase = run.scripts.get(&(kind, node));
            matches!(phase, Some(ScriptPhase::Deferred { .. }))
        };
        match record.state {
            NodeState::Pre if deferred(ScriptKind::Pre) => {
                return Some("its PRE script is deferred".to_owned());
            }
            NodeState::Post if deferred(ScriptKind::Post) => {
                return Some("its POST script is deferred".to_owned());
            }
            NodeState::Preparing => return Some("its files are being read".to_owned()),
            NodeState::Running if run.scripts.contains_key(&(ScriptKind::Hold, node)) => {
                return Some("its HOLD script runs".to_owned());
            }
            NodeState::Waiting if run.parents_left[node as usize] > 0 => return None,
            NodeState::Waiting if run.role(node) == Role::Normal && !run.provisioned => {
                return Some("the provisioner is not ready".to_owned());
            }
            NodeState::Waiting
            | NodeState::Pre
            | NodeState::Ready
            | NodeState::Running
            | NodeState::Post
            | NodeState::Done
            | NodeState::Failed { .. }
            | NodeState::Futile => {}
        }
        let stage = run.stage(node)?;
        match (run.brake(), stage) {
            (Halt::Held, _) => return Some("the run is held".to_owned()),
            (Halt::Halted, Stage::Pre | Stage::Start { .. }) => {
                return Some("the run is halted".to_owned());
            }
            (Halt::Halted, Stage::Post) | (Halt::Open, _) => {}
        }
        self.throttled(run, stage)
    }

    fn throttled(&self, run: &Run, stage: Stage) -> Option<String> {
        let throttles = &run.throttles;
        let category = match stage {
            Stage::Pre if !run.has_room(ScriptKind::Pre) => {
                let max = throttles.max_pre;
                return Some(format!("{max} PRE scripts run, and max_pre is {max}"));
            }
            Stage::Post if !run.has_room(ScriptKind::Post) => {
                let max = throttles.max_post;
                return Some(format!("{max} POST scripts run, and max_post is {max}"));
            }
            Stage::Pre | Stage::Post => return None,
            Stage::Start { category } => category,
        };
        let limit = category.and_then(|category| run.category_limit(category));
        let busy = category.map_or(0, |category| run.busy_in(category));
        if let (Some(category), Some(limit)) = (category, limit.filter(|limit| busy >= *limit)) {
            let name = &run.dag.categories[category as usize].name;
            return Some(format!(
                "{busy} nodes of category {name} are in the queue, and MAXJOBS is {limit}"
            ));
        }
        if throttles.max_jobs > 0 && run.turns.busy >= throttles.max_jobs {
            let max = throttles.max_jobs;
            return Some(format!(
                "{max} nodes are in the queue, and max_jobs is {max}"
            ));
        }
        let max = throttles.max_idle;
        if max > 0 && self.idle_jobs(run) >= u64::from(max) {
            return Some(format!(
                "jobs of the run wait for workers, and max_idle is {max}"
            ));
        }
        None
    }
}

impl Run {
    /// Nodes of a category that have jobs in the queue.
    pub fn busy_in(&self, category: u32) -> u32 {
        self.turns.busy_in.get(&category).copied().unwrap_or(0)
    }
}
