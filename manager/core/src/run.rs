//! DAG runs: one submitted DAG, the state of its nodes, and which of them may start. What a run
//! decides is in `decide/node` and `decide/run`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dags::dag::{AbortOn, Dag, NodeKind, NodeStart, Reads, Role, Throttles};
use serde::{Deserialize, Serialize};

use crate::raised::Raised;
use crate::study::{Study, Trial};

mod change;
mod pace;
mod turns;

use pace::Pace;
pub(crate) use pace::Ways;

/// One submitted DAG.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub id: u32,
    pub owner: String,
    pub submitted_ms: u64,
    pub state: RunState,
    /// The submitter's digest of the files it was made from.
    pub digest: String,
    /// Of a sub-DAG: the run and node it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<(u32, u32)>,
    /// The run whose workspace it works in: itself, or that of which it is a sub-DAG.
    pub home: u32,
    #[serde(default, skip_serializing_if = "Halt::is_open")]
    pub halt: Halt,
    /// Why it ends before its nodes did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Whether its provisioner said that it is ready; true where there is none.
    pub provisioned: bool,
    /// The DAG's, unless somebody changed them.
    pub throttles: Throttles,
    /// Likewise, by category.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Option<u32>>,
    /// Added to each node's priority: a sub-DAG's node's.
    #[serde(default)]
    pub priority: i64,
    /// Macros of all its nodes: a sub-DAG's node's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<(String, String)>,
    /// Values of `ENV`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// Immutable, in a record of its own.
    #[serde(skip, default = "empty_dag")]
    pub dag: Arc<Dag>,
    /// One for each node of the DAG, in its order.
    #[serde(skip)]
    pub nodes: Vec<Node>,
    /// By node.
    #[serde(skip)]
    pub studies: BTreeMap<u32, Study>,
    /// Per node, parents that it still waits for.
    #[serde(skip)]
    pub(crate) parents_left: Vec<u32>,
    #[serde(skip)]
    pub(crate) counts: NodeCounts,
    /// Nodes that wait for their turn only.
    #[serde(skip)]
    pub(crate) turns: Turns,
    /// How long its jobs took.
    #[serde(skip)]
    pub(crate) pace: Pace,
    /// Scripts that were asked for and did not end, and those that are deferred.
    #[serde(skip)]
    pub(crate) scripts: BTreeMap<(ScriptKind, u32), ScriptPhase>,
    #[serde(skip)]
    pub(crate) roles: Roles,
    /// The files about itself that it writes again and again.
    #[serde(skip)]
    pub(crate) papers: PaperState,
    /// The number that a node's attempt had last in the run's `JOBSTATE_LOG`.
    #[serde(skip)]
    pub(crate) sequence: u32,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    Running,
    Completed {
        ended_ms: u64,
    },
    /// `exit` is what DAGMan would have exited with.
    Failed {
        ended_ms: u64,
        exit: u8,
    },
    Removed {
        ended_ms: u64,
    },
}

/// Whether a run starts anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halt {
    #[default]
    Open,
    /// What runs goes on, with its POST scripts; nothing new starts.
    Halted,
    /// Its jobs are held, and nothing new starts, scripts neither.
    Held,
}

/// Why a run ends before all its nodes did. Its FINAL node runs all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cut {
    /// `ABORT-DAG-ON` of a node.
    Aborted { node: u32, exit: u8 },
    /// Somebody removed it, or the run it belongs to.
    Removed { reason: String },
}

/// What happened to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub state: NodeState,
    /// Times it was started.
    pub attempts: u32,
    /// Of those, the ones that `RETRY` counts: since somebody last asked for it.
    pub retries: u32,
    /// The cluster of its last start.
    pub cluster: Option<u32>,
    /// The run that its sub-DAG is.
    pub subrun: Option<u32>,
    /// What its PRE script returned, of this attempt.
    pub pre: Option<i32>,
    /// What its jobs or its sub-DAG returned, of this attempt.
    pub returned: Option<i32>,
    /// Times one of its jobs was held, of this attempt.
    pub holds: u32,
    /// What its jobs came to ask for, in all attempts.
    pub raised: Raised,
    /// This attempt's number in the run's `JOBSTATE_LOG`, where there is one.
    pub sequence: u32,
}

/// DAGMan's node states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// For its parents, or for its turn.
    #[default]
    Waiting,
    /// Its PRE script runs.
    Pre,
    /// Its PRE script did well; it waits for its turn.
    Ready,
    /// Its sub-DAG is read, or files for its jobs are taken in.
    Preparing,
    /// Its jobs or its sub-DAG are in the queue.
    Running,
    /// Its POST script runs or waits for its turn.
    Post,
    Done,
    Failed {
        reason: String,
    },
    /// An ancestor failed.
    Futile,
}

/// Which script of a node is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ScriptKind {
    /// Before its jobs.
    Pre,
    /// After its jobs, however they ended.
    Post,
    /// When one of its jobs is held.
    Hold,
}

/// How far a script is that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptPhase {
    Running,
    /// It runs again at this time of the monotonic clock.
    Deferred {
        until_mono_ms: u64,
    },
    /// It waits for its turn.
    Waiting,
}

/// Nodes that wait for their turn only, first to go first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    /// To run their PRE script.
    pub pre: BTreeSet<Turn>,
    /// To start, by category.
    pub start: BTreeMap<Option<u32>, BTreeSet<Turn>>,
    /// To run their POST script.
    pub post: BTreeSet<Turn>,
    /// Nodes that count against `max_jobs`, and by category.
    pub busy: u32,
    pub busy_in: BTreeMap<u32, u32>,
    /// Those with jobs in the queue.
    pub running: BTreeSet<u32>,
}

/// Priority, then the order that the settings ask for, then the node.
pub(crate) type Turn = (std::cmp::Reverse<i64>, i64, u32);

/// The nodes that are no ordinary ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub last: Option<u32>,
    pub services: Vec<u32>,
    /// Whether any node has a script.
    pub scripts: bool,
}

/// What a node waits for its turn to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Pre,
    Start { category: Option<u32> },
    Post,
}

/// Whether what a run writes about itself is up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PaperState {
    /// `DOT … UPDATE`.
    pub dot: Paper,
    /// `NODE_STATUS_FILE`.
    pub status: Paper,
}

/// Whether one file is up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paper {
    /// On the monotonic clock.
    pub written_mono_ms: Option<u64>,
    pub age: Age,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Age {
    #[default]
    Fresh,
    /// What it tells of has changed.
    Stale,
}

/// How many nodes are in which state; joins are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    pub waiting: u32,
    /// From the PRE script to the POST script.
    pub running: u32,
    pub done: u32,
    pub failed: u32,
    pub futile: u32,
    /// Nodes but FINAL and SERVICE ones that did not end.
    pub(crate) open: u32,
    /// Those among the failed that make the run fail: all but SERVICE ones.
    pub(crate) failures: u32,
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
            parent: None,
            home: id,
            halt: Halt::Open,
            cut: None,
            provisioned: dag.with_role(Role::Provisioner).is_none(),
            throttles: dag.settings.throttles,
            limits: Vec::new(),
            priority: 0,
            given: Vec::new(),
            environment: Vec::new(),
            dag,
            nodes,
            studies: BTreeMap::new(),
            parents_left: Vec::new(),
            counts: NodeCounts::default(),
            turns: Turns::default(),
            pace: Pace::default(),
            scripts: BTreeMap::new(),
            roles: Roles::default(),
            papers: PaperState::default(),
            sequence: 0,
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

    /// Nodes of a category that may have jobs in the queue at a time.
    pub fn category_limit(&self, category: u32) -> Option<u32> {
        let live = self.limits.get(category as usize).copied().flatten();
        live.or_else(|| self.dag.categories[category as usize].limit)
    }

    /// Times a node is tried again after a failure.
    pub fn retries_of(&self, node: u32) -> u32 {
        self.dag.nodes[node as usize].retry
    }

    /// DAGMan's `DAG_Status`.
    pub fn dag_status(&self) -> u8 {
        match (&self.cut, self.halt) {
            (Some(Cut::Aborted { .. }), _) => 3,
            (Some(Cut::Removed { .. }), _) => 4,
            (None, _) if self.counts.failures > 0 => 2,
            (None, Halt::Halted | Halt::Held) => 6,
            (None, Halt::Open) => 0,
        }
    }

    /// What PRIORITY says of a node, and of the sub-DAGs that it is in.
    pub(crate) fn priority_of(&self, node: u32) -> i64 {
        let own = self.dag.nodes[node as usize].priority;
        own.saturating_add(self.priority)
    }

    /// What keeps it from starting anything. Nothing keeps the FINAL node of a run that ends from
    /// running, but a hold that nobody took back.
    pub(crate) fn brake(&self) -> Halt {
        match (&self.cut, self.halt) {
            (Some(Cut::Removed { .. }), _) | (Some(Cut::Aborted { .. }), Halt::Halted) => {
                Halt::Open
            }
            (Some(Cut::Aborted { .. }) | None, halt) => halt,
        }
    }

    /// The FINAL node, if something was started for it that did not end.
    pub(crate) fn last_under_way(&self) -> Option<u32> {
        let last = self.roles.last?;
        self.nodes[last as usize]
            .state
            .is_under_way()
            .then_some(last)
    }

    /// The incumbent of a study node: its number, value and trial.
    pub fn best_of(&self, node: u32) -> Option<(u32, f64, &Trial)> {
        let spec = self.dag.study_of(node)?;
        let study = self.studies.get(&node)?;
        let (number, value) = study.incumbent(spec.goal)?;
        Some((number, value, &study.trials[number as usize]))
    }

    /// Whether a node is a job whose description is read when it starts.
    pub(crate) fn is_late(&self, node: u32) -> bool {
        let late = |kind: &NodeKind| match kind {
            NodeKind::Subdag { reads, .. } => *reads == Reads::Submit,
            NodeKind::Job { .. } | NodeKind::Study { .. } | NodeKind::Noop | NodeKind::Join => {
                false
            }
        };
        late(&self.dag.nodes[node as usize].kind)
    }

    pub(crate) fn role(&self, node: u32) -> Role {
        self.dag.nodes[node as usize].role
    }

    pub(crate) fn abort_on(&self, node: u32) -> Option<AbortOn> {
        self.dag.nodes[node as usize].abort_on
    }

    /// The nodes below `node` that still wait, each once, without `node` itself.
    pub(crate) fn waiting_descendants(&self, node: u32) -> Vec<u32> {
        let mut found = BTreeSet::new();
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

    /// All nodes below those given, and they themselves, over strong and weak edges.
    pub(crate) fn with_descendants(&self, nodes: &[u32]) -> BTreeSet<u32> {
        let mut found: BTreeSet<u32> = nodes.iter().copied().collect();
        let mut open = nodes.to_vec();
        while let Some(at) = open.pop() {
            let written = &self.dag.nodes[at as usize];
            for child in written.children.iter().chain(&written.weak_children) {
                if found.insert(*child) {
                    open.push(*child);
                }
            }
        }
        found
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a DAG has fewer than 2^32 nodes")
}

/// Stands in while a run's records are being read.
fn empty_dag() -> Arc<Dag> {
    Arc::new(Dag::empty())
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
            | RunState::Failed { ended_ms, .. }
            | RunState::Removed { ended_ms } => Some(ended_ms),
        }
    }

    /// What DAGMan would have exited with: 0 done, 1 failed, 2 removed, or what ABORT-DAG-ON says.
    pub fn exit(self) -> Option<u8> {
        match self {
            RunState::Running => None,
            RunState::Completed { .. } => Some(0),
            RunState::Failed { exit, .. } => Some(exit),
            RunState::Removed { .. } => Some(2),
        }
    }
}

// === impl Halt ===

impl Halt {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_open(&self) -> bool {
        *self == Halt::Open
    }
}

// === impl NodeState ===

impl NodeState {
    pub fn name(&self) -> &'static str {
        match self {
            NodeState::Waiting => "Waiting",
            NodeState::Pre => "Pre",
            NodeState::Ready => "Ready",
            NodeState::Preparing => "Preparing",
            NodeState::Running => "Running",
            NodeState::Post => "Post",
            NodeState::Done => "Done",
            NodeState::Failed { .. } => "Failed",
            NodeState::Futile => "Futile",
        }
    }

    /// DAGMan's number of the state, as its node status file has it.
    pub fn number(&self, parents_left: u32) -> u8 {
        match self {
            NodeState::Waiting => u8::from(parents_left == 0),
            NodeState::Ready => 1,
            NodeState::Pre => 2,
            NodeState::Preparing | NodeState::Running => 3,
            NodeState::Post => 4,
            NodeState::Done => 5,
            NodeState::Failed { .. } => 6,
            NodeState::Futile => 7,
        }
    }

    /// Whether nothing will happen to it unless somebody asks for it.
    pub fn is_final(&self) -> bool {
        match self {
            NodeState::Done | NodeState::Failed { .. } | NodeState::Futile => true,
            NodeState::Waiting
            | NodeState::Pre
            | NodeState::Ready
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post => false,
        }
    }

    /// Whether something was started for it that did not end.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.is_final() && *self != NodeState::Waiting
    }

    /// Whether it counts against the throttles of jobs.
    fn is_busy(&self) -> bool {
        matches!(self, NodeState::Preparing | NodeState::Running)
    }

    /// Whether a study node in this state has a study.
    pub(crate) fn has_study(&self) -> bool {
        match self {
            NodeState::Running | NodeState::Post | NodeState::Done | NodeState::Failed { .. } => {
                true
            }
            NodeState::Waiting
            | NodeState::Pre
            | NodeState::Ready
            | NodeState::Preparing
            | NodeState::Futile => false,
        }
    }
}

// === impl ScriptKind ===

impl ScriptKind {
    /// DAGMan's word.
    pub fn name(self) -> &'static str {
        match self {
            ScriptKind::Pre => "PRE",
            ScriptKind::Post => "POST",
            ScriptKind::Hold => "HOLD",
        }
    }
}

// === impl NodeCounts ===

impl NodeCounts {
    fn of(&mut self, state: &NodeState) -> &mut u32 {
        match state {
            NodeState::Waiting => &mut self.waiting,
            NodeState::Pre
            | NodeState::Ready
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post => &mut self.running,
            NodeState::Done => &mut self.done,
            NodeState::Failed { .. } => &mut self.failed,
            NodeState::Futile => &mut self.futile,
        }
    }

    /// All nodes.
    pub fn total(&self) -> u32 {
        self.waiting + self.running + self.done + self.failed + self.futile
    }
}
