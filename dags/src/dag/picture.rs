//! What a checker shows of a DAG: its counts, and its graph as Graphviz text.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Dag, NodeKind, NodeStart};

/// The counts of a DAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagSummary {
    pub nodes: u64,
    pub edges: u64,
    /// Nodes on the longest way.
    pub height: u32,
    /// The most nodes that are equally far from the start, by their longest way to it.
    pub width: u64,
    pub studies: u64,
    /// Trials of all studies.
    pub trials: u64,
    /// Nodes that are done before the run begins.
    pub done: u64,
}

/// See [`Dag::summary`].
pub(super) fn summary(dag: &Dag) -> DagSummary {
    let mut depth = vec![0_usize; dag.nodes.len()];
    let mut at_depth = vec![0_u64; dag.height() as usize];
    for node in &dag.order {
        let node = *node as usize;
        let parents = &dag.nodes[node].parents;
        depth[node] = parents
            .iter()
            .map(|parent| depth[*parent as usize] + 1)
            .max()
            .unwrap_or(0);
        at_depth[depth[node]] += 1;
    }
    let studies = (0..).zip(&dag.nodes).filter_map(|(at, _)| dag.study_of(at));
    DagSummary {
        nodes: dag.nodes.len() as u64,
        edges: dag
            .nodes
            .iter()
            .map(|node| node.children.len() as u64)
            .sum(),
        height: dag.height(),
        width: at_depth.into_iter().max().unwrap_or(0),
        studies: studies.clone().count() as u64,
        trials: studies.map(|study| u64::from(study.trials)).sum(),
        done: dag
            .nodes
            .iter()
            .filter(|node| node.start == NodeStart::Done)
            .count() as u64,
    }
}

/// See [`Dag::dot`].
pub(super) fn dot(dag: &Dag, colour: Option<&dyn Fn(u32) -> Option<&'static str>>) -> String {
    let mut out =
        String::from("digraph dag {\n  node [shape=box, style=filled, fillcolor=white];\n");
    for (at, node) in (0..).zip(&dag.nodes) {
        let shape = match node.kind {
            NodeKind::Job { .. } => "",
            NodeKind::Study { .. } => ", shape=component",
            NodeKind::Noop { .. } => ", shape=plain",
        };
        let fill = match colour.and_then(|colour| colour(at)) {
            Some(fill) => format!(", fillcolor={}", quoted(fill)),
            None => String::new(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "  n{at} [label={}{shape}{fill}];", quoted(&node.name));
    }
    for (at, node) in dag.nodes.iter().enumerate() {
        for child in &node.children {
            let _ = writeln!(out, "  n{at} -> n{child};");
        }
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
