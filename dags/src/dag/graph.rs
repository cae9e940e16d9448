//! The order of a DAG, its longest ways, and its circles. Knows nodes by number only; those from
//! some number on are joins, which no way counts.
//!
//! Of petgraph only `kosaraju_scc` is used: it keeps its own stack, the graphs are the user's.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::source::narrow;

/// Circles that are reported one by one.
const CYCLES_MAX: usize = 10;

/// The graph of a DAG file: sorted, distinct neighbours per node.
pub(super) struct Graph {
    pub strong: Side,
    pub weak: Side,
    /// How many of the nodes have names; the rest are joins.
    named: u32,
}

/// The edges of one kind.
pub(super) struct Side {
    pub parents: Vec<Vec<u32>>,
    pub children: Vec<Vec<u32>>,
}

impl Side {
    /// From pairs of parent and child; a pair counts once.
    fn new(nodes: usize, mut edges: Vec<(u32, u32)>) -> Self {
        edges.sort_unstable();
        edges.dedup();
        let mut side = Self {
            parents: vec![Vec::new(); nodes],
            children: vec![Vec::new(); nodes],
        };
        // Sorted by parent, then child: both sides come out sorted.
        for (parent, child) in edges {
            side.children[parent as usize].push(child);
            side.parents[child as usize].push(parent);
        }
        side
    }
}

impl Graph {
    /// A graph of `named` nodes and `joins` joins. A pair that is strong, through a join or without
    /// one, is not weak.
    pub fn new(named: u32, joins: u32, strong: Vec<(u32, u32)>, mut weak: Vec<(u32, u32)>) -> Self {
        let nodes = (named + joins) as usize;
        let strong = Side::new(nodes, strong);
        weak.retain(|(parent, child)| {
            let children = &strong.children[*parent as usize];
            let joins = &children[children.partition_point(|child| *child < named)..];
            let through = |join: &u32| {
                let below = &strong.children[*join as usize];
                below.binary_search(child).is_ok()
            };
            children.binary_search(child).is_err() && !joins.iter().any(through)
        });
        Self {
            strong,
            weak: Side::new(nodes, weak),
            named,
        }
    }

    /// All nodes, parents before children; among the ready, the lowest first, joins before all.
    ///
    /// # Errors
    /// Circles, each as its named nodes in order: one of the shortest per knot of nodes that reach
    /// each other, ten at most.
    pub fn order(&self) -> Result<Vec<u32>, Vec<Vec<u32>>> {
        let nodes = self.strong.parents.len();
        let mut missing: Vec<u32> = (0..nodes)
            .map(|at| narrow(self.strong.parents[at].len() + self.weak.parents[at].len()))
            .collect();
        let key = |node: u32| Reverse((node < self.named, node));
        let ready = (0..).zip(&missing).filter(|(_, missing)| **missing == 0);
        let mut ready: BinaryHeap<_> = ready.map(|(node, _)| key(node)).collect();
        let mut order = Vec::with_capacity(nodes);
        while let Some(Reverse((_, node))) = ready.pop() {
            order.push(node);
            for child in self.children(node) {
                let left = &mut missing[child as usize];
                *left -= 1;
                if *left == 0 {
                    ready.push(key(child));
                }
            }
        }
        match order.len() == nodes {
            true => Ok(order),
            false => Err(self.circles()),
        }
    }

    /// Per node, the nodes on the longest way to one without children, itself counted.
    pub fn path_len(&self, order: &[u32]) -> Vec<u32> {
        let own = |node: u32| u32::from(node < self.named);
        let mut len = vec![0_u32; self.strong.children.len()];
        for node in order.iter().rev() {
            let below = self.children(*node).map(|child| len[child as usize]);
            len[*node as usize] = below.max().unwrap_or(0) + own(*node);
        }
        len
    }

    fn children(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let strong = &self.strong.children[node as usize];
        let weak = &self.weak.children[node as usize];
        strong.iter().chain(weak).copied()
    }

    fn circles(&self) -> Vec<Vec<u32>> {
        let mut graph = DiGraph::<(), (), u32>::new();
        for _ in &self.strong.children {
            graph.add_node(());
        }
        for parent in 0..narrow(self.strong.children.len()) {
            for child in self.children(parent) {
                graph.add_edge(NodeIndex::from(parent), NodeIndex::from(child), ());
            }
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
        knots.iter().filter_map(|knot| self.circle(knot)).collect()
    }

    /// A shortest circle through the first node of a knot, which is no join: those come last.
    fn circle(&self, knot: &[u32]) -> Option<Vec<u32>> {
        let start = *knot.first()?;
        let mut from: Vec<Option<u32>> = vec![None; self.strong.children.len()];
        let mut next = VecDeque::from([start]);
        while let Some(node) = next.pop_front() {
            for child in self.children(node) {
                if child == start {
                    let mut circle = vec![node];
                    while let Some(before) = circle.last().and_then(|last| from[*last as usize]) {
                        circle.push(before);
                    }
                    circle.reverse();
                    circle.retain(|node| *node < self.named);
                    return Some(circle);
                }
                if from[child as usize].is_none() && knot.binary_search(&child).is_ok() {
                    from[child as usize] = Some(node);
                    next.push_back(child);
                }
            }
        }
        None
    }
}
