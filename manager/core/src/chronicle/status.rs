//! `NODE_STATUS_FILE`: a run, its nodes and the time of writing as ads.
//!
//! Source: HTCondor manual, "Capturing the Status of Nodes in a File".

use std::fmt::Write as _;

use proto::nouns::Now;

use super::picture::ctime;
use crate::job::{Cluster, ProcState};
use crate::queue::Queue;
use crate::run::{Cut, Halt, NodeState, Run, RunState};

/// DAGMan's names of the states, by number.
const STATES: [&str; 8] = [
    "STATUS_NOT_READY",
    "STATUS_READY",
    "STATUS_PRERUN",
    "STATUS_SUBMITTED",
    "STATUS_POSTRUN",
    "STATUS_DONE",
    "STATUS_ERROR",
    "STATUS_FUTILE",
];
const SUBMITTED: usize = 3;
const DONE: usize = 5;
const ERROR: usize = 6;

/// The file's text. `next_s`: seconds to the next writing, while there is one.
pub(super) fn text(queue: &Queue, run: &Run, now: Now, next_s: Option<u64>) -> String {
    let mut nodes = String::new();
    let mut total = Total::default();
    for at in (0..).take(run.dag.named().len()) {
        let node = NodeLine::of(queue, run, at);
        total.add(&node);
        node.write(&mut nodes, run.node_name(at));
    }
    let offset_s = queue.chronicle.offset_s;
    let stamp = |seconds: u64| format!("{seconds}; /* {} */", ctime_quoted(seconds, offset_s));
    let seconds = now.wall_ms / 1000;
    let next = match next_s {
        Some(next_s) => stamp(seconds + next_s),
        None => "0; /* \"none\" */".to_owned(),
    };
    let mut out = String::from("[\n  Type = \"DagStatus\";\n");
    let (state, note) = standing(run);
    let [unready, ready, pre, queued, post, done, failed, futile] = total.in_state;
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "  DagFiles = {{\n    {}\n  }};\n  Timestamp = {}\n  DagStatus = {state}; /* {} */\n",
        quoted(&run.dag.file),
        stamp(seconds),
        quoted(&format!("{} ({note})", STATES[state])),
    );
    let counts = [
        ("NodesTotal", total.in_state.iter().sum::<u64>()),
        ("NodesDone", done),
        ("NodesPre", pre),
        ("NodesQueued", queued),
        ("NodesPost", post),
        ("NodesReady", ready),
        ("NodesUnready", unready),
        ("NodesFutile", futile),
        ("NodesFailed", failed),
        ("JobProcsHeld", total.held),
    ];
    for (name, count) in counts {
        let _ = writeln!(out, "  {name} = {count};");
    }
    let idle = total.idle + total.held;
    let _ = write!(out, "  JobProcsIdle = {idle}; /* includes held */\n]\n");
    out.push_str(&nodes);
    let _ = write!(
        out,
        "[\n  Type = \"StatusEnd\";\n  EndTime = {}\n  NextUpdate = {next}\n]\n",
        stamp(seconds),
    );
    out
}

/// The run in DAGMan's terms: a state, and a word on it.
fn standing(run: &Run) -> (usize, &'static str) {
    match (run.state, &run.cut, run.halt) {
        (RunState::Completed { .. }, _, _) => (DONE, "success"),
        (RunState::Failed { .. }, Some(Cut::Aborted { .. }), _) => (ERROR, "aborted"),
        (RunState::Failed { .. }, Some(Cut::Removed { .. }), _) => (ERROR, "removed"),
        (RunState::Failed { .. }, None, _) => (ERROR, "failed"),
        (RunState::Removed { .. }, _, _) => (ERROR, "removed"),
        (RunState::Running, Some(Cut::Aborted { .. }), _) => (SUBMITTED, "aborted"),
        (RunState::Running, Some(Cut::Removed { .. }), _) => (SUBMITTED, "removed"),
        (RunState::Running, None, Halt::Held) => (SUBMITTED, "held"),
        (RunState::Running, None, Halt::Halted) => (SUBMITTED, "halted"),
        (RunState::Running, None, Halt::Open) => (SUBMITTED, ""),
    }
}

/// What is said of one node.
struct NodeLine<'a> {
    state: usize,
    details: &'a str,
    retries: u32,
    queued: u32,
    held: u32,
    idle: u32,
}

impl NodeLine<'_> {
    fn of<'a>(queue: &'a Queue, run: &'a Run, at: u32) -> NodeLine<'a> {
        let record = &run.nodes[at as usize];
        let state = match record.state {
            NodeState::Waiting => usize::from(run.is_ready(at)),
            NodeState::Ready => 1,
            NodeState::Pre
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post
            | NodeState::Done
            | NodeState::Failed { .. }
            | NodeState::Futile => usize::from(record.state.number(0)),
        };
        let cluster = match record.state {
            NodeState::Running => record.cluster.and_then(|id| queue.clusters.get(&id)),
            NodeState::Waiting
            | NodeState::Pre
            | NodeState::Ready
            | NodeState::Preparing
            | NodeState::Post
            | NodeState::Done
            | NodeState::Failed { .. }
            | NodeState::Futile => None,
        };
        let tally = cluster.map(Cluster::tally).unwrap_or_default();
        let details = match (&record.state, cluster) {
            (NodeState::Failed { reason }, _) => reason.as_str(),
            (NodeState::Running | NodeState::Preparing, cluster) => {
                match cluster.is_none_or(first_is_idle) {
                    true => "idle",
                    false => "not_idle",
                }
            }
            (
                NodeState::Waiting
                | NodeState::Pre
                | NodeState::Ready
                | NodeState::Post
                | NodeState::Done
                | NodeState::Futile,
                _,
            ) => "",
        };
        NodeLine {
            state,
            details,
            retries: record.retries,
            queued: cluster.map_or(0, Cluster::live),
            held: tally.held,
            idle: tally.idle,
        }
    }

    fn write(&self, out: &mut String, name: &str) {
        let _ = write!(
            out,
            "[\n  Type = \"NodeStatus\";\n  Node = {};\n  NodeStatus = {}; /* {} */\n  \
             StatusDetails = {};\n  RetryCount = {};\n  JobProcsQueued = {};\n  \
             JobProcsHeld = {};\n]\n",
            quoted(name),
            self.state,
            quoted(STATES[self.state]),
            quoted(self.details),
            self.retries,
            self.queued,
            self.held,
        );
    }
}

/// Whether the first job of a cluster does not run: DAGMan looks at no other.
fn first_is_idle(cluster: &Cluster) -> bool {
    cluster.procs.get(&0).is_none_or(|proc| match proc.state {
        ProcState::Idle | ProcState::Held { .. } => true,
        ProcState::Running { .. }
        | ProcState::Landing { .. }
        | ProcState::Completed { .. }
        | ProcState::Removed { .. } => false,
    })
}

/// All nodes together.
#[derive(Default)]
struct Total {
    /// Nodes, by the number of their state.
    in_state: [u64; 8],
    held: u64,
    idle: u64,
}

impl Total {
    fn add(&mut self, node: &NodeLine<'_>) {
        self.in_state[node.state] += 1;
        self.held += u64::from(node.held);
        self.idle += u64::from(node.idle);
    }
}

fn ctime_quoted(seconds: u64, offset_s: i32) -> String {
    quoted(&ctime(seconds.saturating_mul(1000), offset_s))
}

/// A string of an ad.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
