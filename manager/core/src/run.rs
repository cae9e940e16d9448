//! DAG runs: one submitted DAG, the state of its nodes, and which of them may start.

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::dag::{Dag, NodeStart};
use serde::{Deserialize, Serialize};

use crate::study::{Study, Trial};

/// One submitted DAG.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub id: u32,
    pub owner: String,
    pub submitted_ms: u64,
    pub state: RunState,
    /// The submitter's digest of the files it was made from.
    pub digest: String,
    /// Immutable, in a record of its own.
    #[serde(skip, default = "empty_dag")]
    pub dag: Arc<Dag>,
    /// One for each node of the DAG, in its order.
    #[serde(skip)]
    pub nodes: Vec<Node>,
    /// By node.
    #[serde(skip)]
    pub studies: BTreeMap<u32, Study>,
    /// Per node, parents that are not done.
    #[serde(skip)]
    pub(crate) parents_left: Vec<u32>,
    #[serde(skip)]
    pub(crate) counts: NodeCounts,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    Running,
    Completed { ended_ms: u64 },
    Failed { ended_ms: u64 },
    Removed { ended_ms: u64 },
}

/// What happened to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub state: NodeState,
    /// Times it was started.
    pub attempts: u32,
    /// The cluster of its last start.
    pub cluster: Option<u32>,
}

/// DAGMan's node states, less those of scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// For its parents, or for its turn.
    #[default]
    Waiting,
    Running,
    Done,
    Failed {
        reason: String,
    },
    /// An ancestor failed.
    Futile,
}

/// How many nodes are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    pub waiting: u32,
    pub running: u32,
    pub done: u32,
    pub failed: u32,
    pub futile: u32,
}

// === impl Run ===

impl Run {
    pub(crate) fn new(
        id: u32,
        owner: String,
        submitted_ms: u64,
        digest: String,
        dag: Arc<Dag>,
    ) -> Run {
        let start = |node: &dags::dag::Node| match node.start {
            NodeStart::Waiting => Node::default(),
            NodeStart::Done => Node {
                state: NodeState::Done,
                ..Node::default()
            },
        };
        let nodes = dag.nodes.iter().map(start).collect();
        let mut run = Run {
            id,
            owner,
            submitted_ms,
            state: RunState::Running,
            digest,
            dag,
            nodes,
            studies: BTreeMap::new(),
            parents_left: Vec::new(),
            counts: NodeCounts::default(),
        };
        run.derive();
        run
    }

    pub fn counts(&self) -> NodeCounts {
        self.counts
    }

    pub fn node_name(&self, node: u32) -> &str {
        &self.dag.nodes[node as usize].name
    }

    /// The incumbent of a study node: its number, value and trial.
    pub fn best_of(&self, node: u32) -> Option<(u32, f64, &Trial)> {
        let spec = self.dag.study_of(node)?;
        let study = self.studies.get(&node)?;
        let (number, value) = study.incumbent(spec.goal)?;
        Some((number, value, &study.trials[number as usize]))
    }

    /// Whether a node waits for nothing but its turn.
    pub(crate) fn is_ready(&self, node: u32) -> bool {
        let at = node as usize;
        self.nodes[at].state == NodeState::Waiting && self.parents_left[at] == 0
    }

    /// Nodes that wait for nothing but their turn.
    pub(crate) fn ready(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.nodes)
            .map(|(at, _)| at)
            .filter(|at| self.is_ready(*at))
    }

    /// The nodes below `node` that still wait, each once, without `node` itself.
    pub(crate) fn waiting_descendants(&self, node: u32) -> Vec<u32> {
        let mut found = std::collections::BTreeSet::new();
        let mut open = vec![node];
        while let Some(at) = open.pop() {
            for child in &self.dag.nodes[at as usize].children {
                let waits = self.nodes[*child as usize].state == NodeState::Waiting;
                if waits && found.insert(*child) {
                    open.push(*child);
                }
            }
        }
        found.into_iter().collect()
    }

    /// Rebuilds what is derived from the records.
    pub(crate) fn derive(&mut self) {
        self.nodes.resize(self.dag.nodes.len(), Node::default());
        self.counts = NodeCounts::default();
        for node in &self.nodes {
            *self.counts.of(&node.state) += 1;
        }
        let done = |at: &&u32| self.nodes[**at as usize].state == NodeState::Done;
        let left = |node: &dags::dag::Node| {
            let done = node.parents.iter().filter(done).count();
            u32::try_from(node.parents.len() - done).expect("a DAG has fewer than 2^32 nodes")
        };
        self.parents_left = self.dag.nodes.iter().map(left).collect();
        for (at, node) in (0..).zip(&self.nodes) {
            if node.state.has_study() && self.dag.study_of(at).is_some() {
                self.studies.entry(at).or_default();
            }
        }
    }
}

/// Stands in while a run's records are being read.
fn empty_dag() -> Arc<Dag> {
    Arc::new(Dag {
        file: String::new(),
        dir: String::new(),
        nodes: Vec::new(),
        submits: Vec::new(),
        studies: Vec::new(),
        order: Vec::new(),
        path_len: Vec::new(),
    })
}

// === impl RunState ===

impl RunState {
    pub fn name(self) -> &'static str {
        match self {
            RunState::Running => "Running",
            RunState::Completed { .. } => "Completed",
            RunState::Failed { .. } => "Failed",
            RunState::Removed { .. } => "Removed",
        }
    }

    pub fn ended_ms(self) -> Option<u64> {
        match self {
            RunState::Running => None,
            RunState::Completed { ended_ms }
            | RunState::Failed { ended_ms }
            | RunState::Removed { ended_ms } => Some(ended_ms),
        }
    }
}

// === impl NodeState ===

impl NodeState {
    pub fn name(&self) -> &'static str {
        match self {
            NodeState::Waiting => "Waiting",
            NodeState::Running => "Running",
            NodeState::Done => "Done",
            NodeState::Failed { .. } => "Failed",
            NodeState::Futile => "Futile",
        }
    }

    /// Whether a study node in this state has a study.
    pub(crate) fn has_study(&self) -> bool {
        match self {
            NodeState::Running | NodeState::Done | NodeState::Failed { .. } => true,
            NodeState::Waiting | NodeState::Futile => false,
        }
    }
}

// === impl NodeCounts ===

impl NodeCounts {
    pub(crate) fn of(&mut self, state: &NodeState) -> &mut u32 {
        match state {
            NodeState::Waiting => &mut self.waiting,
            NodeState::Running => &mut self.running,
            NodeState::Done => &mut self.done,
            NodeState::Failed { .. } => &mut self.failed,
            NodeState::Futile => &mut self.futile,
        }
    }
}
