//! What a checker shows of a DAG: its counts, and its graph as Graphviz text.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Dag, Node, NodeKind, NodeStart, Reads, Role};

/// The counts of a DAG.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagSummary {
    /// All that have names.
    pub nodes: u64,
    /// Among them those that are no sub-DAGs and have no special role.
    pub plain: u64,
    pub services: u64,
    pub subdags: u64,
    pub joins: u64,
    /// Edges as they are held, strong and weak, those of joins counted.
    pub edges: u64,
    pub splices: u64,
    pub final_node: Option<String>,
    pub provisioner: Option<String>,
    /// Nodes on the longest way; joins, FINAL, PROVISIONER and SERVICE nodes are on none.
    pub height: u32,
    /// The most nodes that are equally far from the start, by their longest way to it.
    pub width: u64,
    /// Per distance from the start, how many nodes there are. Empty where there is a circle.
    pub width_by_depth: Vec<u64>,
    /// The same with joins counted, as HTCondor's checker does.
    pub joined_widths: Vec<u64>,
    pub studies: u64,
    /// Trials of all studies.
    pub trials: u64,
    /// Nodes that are done before the run begins.
    pub done: u64,
}

/// Per node, how many nodes are before it on the longest way to it; a join counts as many as said.
pub(super) fn depths(dag: &Dag, of_join: u32) -> Vec<u32> {
    let mut depth = vec![0_u32; dag.nodes.len()];
    for at in &dag.order {
        let node = &dag.nodes[*at as usize];
        let above = node.parents.iter().chain(&node.weak_parents);
        let below = above.map(|parent| {
            let parent = *parent as usize;
            let join = dag.nodes[parent].kind == NodeKind::Join;
            depth[parent] + if join { of_join } else { 1 }
        });
        depth[*at as usize] = below.max().unwrap_or(0);
    }
    depth
}

/// See [`Dag::summary`].
pub(super) fn summary(dag: &Dag) -> DagSummary {
    let named = dag.named();
    let width_by_depth = widths(dag, named, 0);
    let count = |is: &dyn Fn(&Node) -> bool| named.iter().filter(|node| is(node)).count() as u64;
    let normal = |node: &Node| node.role == Role::Normal;
    let subdag = |node: &Node| {
        matches!(
            node.kind,
            NodeKind::Subdag {
                reads: Reads::Dag,
                ..
            }
        )
    };
    let with_role = |role| {
        dag.with_role(role)
            .map(|at| named[at as usize].name.clone())
    };
    let studies = named.iter().filter_map(|node| match node.kind {
        // A wrong file has fewer studies than it names.
        NodeKind::Study { study, .. } => dag.studies.get(study as usize),
        NodeKind::Job { .. } | NodeKind::Noop | NodeKind::Subdag { .. } | NodeKind::Join => None,
    });
    let edges = dag.nodes.iter();
    DagSummary {
        nodes: named.len() as u64,
        plain: count(&|node| normal(node) && !subdag(node)),
        services: count(&|node| node.role == Role::Service),
        subdags: count(&|node| normal(node) && subdag(node)),
        joins: (dag.nodes.len() - named.len()) as u64,
        edges: edges
            .map(|node| (node.children.len() + node.weak_children.len()) as u64)
            .sum(),
        splices: u64::from(dag.splices),
        final_node: with_role(Role::Final),
        provisioner: with_role(Role::Provisioner),
        height: crate::source::narrow(width_by_depth.len()),
        width: width_by_depth.iter().copied().max().unwrap_or(0),
        width_by_depth,
        joined_widths: widths(dag, &dag.nodes, 1),
        studies: studies.clone().count() as u64,
        trials: studies.map(|study| u64::from(study.trials)).sum(),
        done: count(&|node| node.start == NodeStart::Done),
    }
}

/// How many of some nodes are at each distance from the start.
fn widths(dag: &Dag, nodes: &[Node], of_join: u32) -> Vec<u64> {
    let mut widths: Vec<u64> = Vec::new();
    if dag.order.len() < dag.nodes.len() {
        return widths;
    }
    for (node, depth) in nodes.iter().zip(depths(dag, of_join)) {
        if node.role == Role::Normal {
            let depth = depth as usize;
            widths.resize(widths.len().max(depth + 1), 0);
            widths[depth] += 1;
        }
    }
    widths
}

/// See [`Dag::dot`].
pub(super) fn dot(dag: &Dag, colour: Option<&dyn Fn(u32) -> Option<&'static str>>) -> String {
    let mut out =
        String::from("digraph dag {\n  node [shape=box, style=filled, fillcolor=white];\n");
    for (at, node) in (0..).zip(&dag.nodes) {
        let shape = match (&node.kind, node.role) {
            (NodeKind::Join, _) => ", shape=point",
            (_, Role::Final) => ", shape=box, peripheries=2",
            (_, Role::Provisioner) => ", shape=cds",
            (_, Role::Service) => ", shape=ellipse",
            (
                NodeKind::Job { .. }
                | NodeKind::Subdag {
                    reads: Reads::Submit,
                    ..
                },
                Role::Normal,
            ) => "",
            (NodeKind::Study { .. }, Role::Normal) => ", shape=component",
            (NodeKind::Noop, Role::Normal) => ", style=dashed",
            (
                NodeKind::Subdag {
                    reads: Reads::Dag, ..
                },
                Role::Normal,
            ) => ", shape=folder",
        };
        let fill = match colour.and_then(|colour| colour(at)) {
            Some(fill) => format!(", fillcolor={}", quoted(fill)),
            None => String::new(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "  n{at} [label={}{shape}{fill}];", quoted(&node.name));
    }
    for (at, node) in dag.nodes.iter().enumerate() {
        // A join is a point that the lines run through.
        for child in &node.children {
            let arrow = match dag.nodes[*child as usize].kind == NodeKind::Join {
                true => " [arrowhead=none]",
                false => "",
            };
            let _ = writeln!(out, "  n{at} -> n{child}{arrow};");
        }
        for child in &node.weak_children {
            let _ = writeln!(out, "  n{at} -> n{child} [style=dashed];");
        }
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
