//! Which nodes wait for nothing but their turn, and in which order they have it.

use dags::dag::{NodeKind, Role};

use super::{NodeState, Run, ScriptKind, ScriptPhase, Stage, Turn, narrow};

impl Run {
    /// Whether a node waits for nothing but its turn.
    pub(crate) fn is_ready(&self, node: u32) -> bool {
        let at = node as usize;
        let waits = match self.nodes[at].state {
            NodeState::Waiting => self.parents_left[at] == 0,
            NodeState::Ready => true,
            NodeState::Pre
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post
            | NodeState::Done
            | NodeState::Failed { .. }
            | NodeState::Futile => false,
        };
        let may = match self.role(node) {
            Role::Normal => self.provisioned,
            Role::Provisioner | Role::Service => true,
            Role::Final => self.counts.open == 0 || self.cut.is_some(),
        };
        waits && may && (self.cut.is_none() || self.role(node) == Role::Final)
    }

    /// The place of a node among those that wait for their turn.
    pub(crate) fn turn(&self, node: u32) -> Turn {
        let written = &self.dag.nodes[node as usize];
        let settings = &self.dag.settings;
        let again = self.nodes[node as usize].retries > 0;
        let order = match (settings.retry_node_first && again, settings.depth_first) {
            (true, _) => i64::MIN,
            // The shorter the way that is left, the deeper the node.
            (false, true) => i64::from(self.dag.path_len[node as usize]),
            (false, false) => 0,
        };
        if written.kind == NodeKind::Join {
            // It stands between nodes that have priorities, and has none.
            return (std::cmp::Reverse(i64::MAX), i64::MIN, node);
        }
        let priority = match written.role {
            Role::Normal | Role::Final => self.priority_of(node),
            Role::Provisioner | Role::Service => i64::MAX,
        };
        (std::cmp::Reverse(priority), order, node)
    }

    /// What a node waits for its turn to do; nothing where it waits for something else.
    pub(crate) fn stage(&self, node: u32) -> Option<Stage> {
        let written = &self.dag.nodes[node as usize];
        let asked = |kind| match self.scripts.get(&(kind, node)) {
            Some(ScriptPhase::Running | ScriptPhase::Deferred { .. }) => true,
            Some(ScriptPhase::Waiting) | None => false,
        };
        let start = Stage::Start {
            category: written.category,
        };
        match self.nodes[node as usize].state {
            NodeState::Waiting if !self.is_ready(node) => None,
            NodeState::Waiting if written.scripts.pre.is_some() => Some(Stage::Pre),
            NodeState::Waiting | NodeState::Ready => Some(start),
            NodeState::Pre => (!asked(ScriptKind::Pre)).then_some(Stage::Pre),
            NodeState::Post => (!asked(ScriptKind::Post)).then_some(Stage::Post),
            NodeState::Preparing
            | NodeState::Running
            | NodeState::Done
            | NodeState::Failed { .. }
            | NodeState::Futile => None,
        }
    }

    /// Puts a node among those that wait for their turn, where it does.
    pub(crate) fn enqueue(&mut self, node: u32) {
        let turn = self.turn(node);
        match self.stage(node) {
            Some(Stage::Pre) => self.turns.pre.insert(turn),
            Some(Stage::Start { category }) => {
                self.turns.start.entry(category).or_default().insert(turn)
            }
            Some(Stage::Post) => self.turns.post.insert(turn),
            None => false,
        };
    }

    pub(super) fn unqueue(&mut self, node: u32) {
        let turn = self.turn(node);
        let category = self.dag.nodes[node as usize].category;
        self.turns.pre.remove(&turn);
        self.turns.post.remove(&turn);
        if let Some(waiting) = self.turns.start.get_mut(&category) {
            waiting.remove(&turn);
            if waiting.is_empty() {
                self.turns.start.remove(&category);
            }
        }
    }

    /// Counts one of the tries that `RETRY` allows.
    pub(crate) fn count_retry(&mut self, node: u32) {
        // Its place among the others may depend on it.
        self.unqueue(node);
        self.nodes[node as usize].retries += 1;
        self.enqueue(node);
    }

    /// Says how far a node's script is; nothing for one that is over.
    pub(crate) fn set_script(&mut self, node: u32, kind: ScriptKind, phase: Option<ScriptPhase>) {
        self.unqueue(node);
        match phase {
            Some(phase) => self.scripts.insert((kind, node), phase),
            None => self.scripts.remove(&(kind, node)),
        };
        self.enqueue(node);
    }

    /// Looks for everybody's turn anew: after changes that concern all nodes.
    pub(crate) fn derive_turns(&mut self) {
        self.turns.pre.clear();
        self.turns.post.clear();
        self.turns.start.clear();
        for at in 0..self.nodes.len() {
            self.enqueue(narrow(at));
        }
    }
}
