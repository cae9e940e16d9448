//! A run as Graphviz text: DAGMan's picture, with the state of each node in its label and style,
//! and a colour.

use std::fmt::Write as _;

use dags::dag::NodeKind;

use crate::run::{NodeState, Run};
use crate::user_log::LocalTime;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY_MS: i64 = 86_400_000;

/// The file's text. `at` is shown as its time.
pub(super) fn text(run: &Run, at: &str) -> String {
    let mut out = format!("digraph DAG {{\n    label=\"DAGMan Job status at {at}\";\n\n");
    let header = run
        .dag
        .papers
        .dot
        .as_ref()
        .and_then(|dot| dot.header.as_ref());
    if let Some(header) = header {
        let _ = write!(out, "// Beginning of included commands.\n{header}");
        if !header.ends_with('\n') {
            out.push('\n');
        }
        out.push_str("// End of included commands.\n\n");
    }
    for (at, node) in (0..).zip(&run.dag.nodes) {
        let id = id(run, at);
        // Writing to a string does not fail.
        let _ = match node.kind {
            NodeKind::Join => writeln!(out, "    {id} [shape=point];"),
            NodeKind::Job { .. }
            | NodeKind::Study { .. }
            | NodeKind::Noop
            | NodeKind::Subdag { .. } => {
                let (state, looks) = looks(&run.nodes[at as usize].state);
                let label = quoted(&format!("{} ({state})", node.name));
                writeln!(out, "    {id} [label={label} {looks}];")
            }
        };
    }
    out.push('\n');
    for (at, node) in (0..).zip(&run.dag.nodes) {
        let parent = id(run, at);
        for child in &node.children {
            let _ = writeln!(out, "    {parent} -> {};", id(run, *child));
        }
        for child in &node.weak_children {
            let _ = writeln!(out, "    {parent} -> {} [style=dashed];", id(run, *child));
        }
    }
    out.push_str("}\n");
    out
}

/// A moment as C's `ctime` has it.
pub(super) fn ctime(wall_ms: u64, offset_s: i32) -> String {
    let unix_ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    let time = LocalTime::of(unix_ms, offset_s);
    let days = (time.unix_s(0) * 1000).div_euclid(DAY_MS);
    let day = DAYS[usize::try_from(days.rem_euclid(7)).expect("a rest of 7")];
    let month = MONTHS[usize::from(time.month) - 1];
    format!(
        "{day} {month} {:2} {:02}:{:02}:{:02} {:04}",
        time.day, time.hour, time.minute, time.second, time.year
    )
}

/// DAGMan's word for a state, and how a node in it is drawn.
fn looks(state: &NodeState) -> (&'static str, &'static str) {
    match state {
        NodeState::Waiting | NodeState::Ready => ("I", "shape=ellipse"),
        NodeState::Pre => (
            "Pre",
            "shape=ellipse style=\"dotted,filled\" fillcolor=lightyellow",
        ),
        NodeState::Preparing | NodeState::Running => (
            "R",
            "shape=ellipse peripheries=2 style=filled fillcolor=lightblue",
        ),
        NodeState::Post => (
            "Post",
            "shape=ellipse style=\"dotted,filled\" fillcolor=lightyellow",
        ),
        NodeState::Done => (
            "Done",
            "shape=ellipse style=\"bold,filled\" fillcolor=palegreen",
        ),
        NodeState::Failed { .. } => ("E", "shape=box style=filled fillcolor=salmon"),
        NodeState::Futile => ("F", "shape=ellipse style=filled fillcolor=gray"),
    }
}

/// A node's name; a join, which has none, gets one that no node can have: names have no spaces.
fn id(run: &Run, node: u32) -> String {
    match run.is_join(node) {
        true => format!("\"join {node}\""),
        false => quoted(run.node_name(node)),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
