//! The order of a DAG, its longest ways, and its circles. Knows nodes by number only.
//!
//! Of petgraph only `toposort` and `kosaraju_scc` are used: both keep their own stack, the graphs
//! are the user's.

use std::collections::VecDeque;

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::source::narrow;

/// Circles that are reported one by one.
const CYCLES_MAX: usize = 10;

/// The graph of a DAG file: sorted, distinct neighbours per node.
pub(super) struct Graph {
    pub parents: Vec<Vec<u32>>,
    pub children: Vec<Vec<u32>>,
}

impl Graph {
    /// A graph from pairs of parent and child; a pair counts once.
    pub fn new(nodes: usize, mut edges: Vec<(u32, u32)>) -> Self {
        edges.sort_unstable();
        edges.dedup();
        let mut graph = Self {
            parents: vec![Vec::new(); nodes],
            children: vec![Vec::new(); nodes],
        };
        // Sorted by parent, then child: both sides come out sorted.
        for (parent, child) in edges {
            graph.children[parent as usize].push(child);
            graph.parents[child as usize].push(parent);
        }
        graph
    }

    /// All nodes, parents before children.
    ///
    /// # Errors
    /// Circles, each as its nodes in order: one of the shortest per knot of nodes that reach each
    /// other, ten at most.
    pub fn order(&self) -> Result<Vec<u32>, Vec<Vec<u32>>> {
        let edges = self.children.iter().map(Vec::len).sum();
        let mut graph = DiGraph::<(), (), u32>::with_capacity(self.children.len(), edges);
        for _ in &self.children {
            graph.add_node(());
        }
        for (parent, children) in (0..).zip(&self.children) {
            for child in children {
                graph.add_edge(NodeIndex::from(parent), NodeIndex::from(*child), ());
            }
        }
        if let Ok(order) = toposort(&graph, None) {
            return Ok(order.into_iter().map(|node| narrow(node.index())).collect());
        }
        let mut knots: Vec<Vec<u32>> = kosaraju_scc(&graph)
            .into_iter()
            .filter(|knot| knot.len() > 1)
            .map(|knot| knot.into_iter().map(|node| narrow(node.index())).collect())
            .collect();
        for knot in &mut knots {
            knot.sort_unstable();
        }
        knots.sort_unstable();
        knots.truncate(CYCLES_MAX);
        Err(knots.iter().filter_map(|knot| self.circle(knot)).collect())
    }

    /// Per node, the nodes on the longest way to one without children, itself counted.
    pub fn path_len(&self, order: &[u32]) -> Vec<u32> {
        let mut len = vec![1_u32; self.children.len()];
        for node in order.iter().rev() {
            for child in &self.children[*node as usize] {
                len[*node as usize] = len[*node as usize].max(len[*child as usize] + 1);
            }
        }
        len
    }

    /// A shortest circle through the first node of a knot.
    fn circle(&self, knot: &[u32]) -> Option<Vec<u32>> {
        let start = *knot.first()?;
        let mut from: Vec<Option<u32>> = vec![None; self.children.len()];
        let mut next = VecDeque::from([start]);
        while let Some(node) = next.pop_front() {
            for child in &self.children[node as usize] {
                if *child == start {
                    let mut circle = vec![node];
                    while let Some(before) = circle.last().and_then(|last| from[*last as usize]) {
                        circle.push(before);
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if from[*child as usize].is_none() && knot.binary_search(child).is_ok() {
                    from[*child as usize] = Some(node);
                    next.push_back(*child);
                }
            }
        }
        None
    }
}
