//! A node's change of state, with everything that is counted or derived from states.

use std::sync::Arc;

use dags::dag::{NodeKind, Role};

use super::{Node, NodeCounts, NodeState, Roles, Run, narrow};

impl Run {
    /// Rebuilds what is derived from the records.
    pub(crate) fn derive(&mut self) {
        self.nodes.resize(self.dag.nodes.len(), Node::default());
        self.counts = NodeCounts::default();
        self.turns.busy = 0;
        self.turns.busy_in.clear();
        self.turns.running.clear();
        for at in 0..self.nodes.len() {
            self.count(narrow(at), Step::In);
        }
        let services = (0..).zip(&self.dag.nodes);
        let services = services.filter(|(_, node)| node.role == Role::Service);
        self.roles = Roles {
            last: self.dag.with_role(Role::Final),
            services: services.map(|(at, _)| at).collect(),
            scripts: self.dag.nodes.iter().any(|node| !node.scripts.is_empty()),
        };
        let of = |at: &u32| &self.nodes[*at as usize].state;
        let left = |node: &dags::dag::Node| {
            let strong = node.parents.iter().filter(|at| *of(at) != NodeState::Done);
            let weak = node.weak_parents.iter().filter(|at| !of(at).is_final());
            narrow(strong.count() + weak.count())
        };
        self.parents_left = self.dag.nodes.iter().map(left).collect();
        let numbers = self.nodes.iter().map(|node| node.sequence);
        self.sequence = numbers.max().unwrap_or(0);
        for (at, node) in (0..).zip(&self.nodes) {
            if node.state.has_study() && self.dag.study_of(at).is_some() {
                self.studies.entry(at).or_default();
            }
        }
        self.derive_turns();
    }

    /// Gives a node a state, with everything that counts states and waits for turns.
    pub(crate) fn set(&mut self, node: u32, state: NodeState) {
        self.unqueue(node);
        self.count(node, Step::Out);
        let old = std::mem::replace(&mut self.nodes[node as usize].state, state);
        self.count(node, Step::In);
        self.enqueue(node);
        let new = self.nodes[node as usize].state.clone();
        if new.is_final() && !old.is_final() {
            let dag = Arc::clone(&self.dag);
            let written = &dag.nodes[node as usize];
            let strong = match new == NodeState::Done {
                true => written.children.as_slice(),
                false => &[],
            };
            for child in strong.iter().chain(&written.weak_children) {
                let left = &mut self.parents_left[*child as usize];
                *left -= 1;
                if *left == 0 {
                    self.enqueue(*child);
                }
            }
        }
        if let Some(last) = self.roles.last
            && self.counts.open == 0
        {
            self.enqueue(last);
        }
    }

    fn count(&mut self, node: u32, step: Step) {
        let (written, record) = (&self.dag.nodes[node as usize], &self.nodes[node as usize]);
        if written.kind == NodeKind::Join {
            let open = u32::from(!record.state.is_final());
            step.of(&mut self.counts.open, open);
            return;
        }
        step.of(self.counts.of(&record.state), 1);
        let state = &self.nodes[node as usize].state;
        let (normal, service) = match written.role {
            Role::Normal | Role::Provisioner => (1, 0),
            Role::Service => (0, 1),
            Role::Final => (0, 0),
        };
        if !state.is_final() {
            step.of(&mut self.counts.open, normal);
        }
        if matches!(state, NodeState::Failed { .. }) {
            step.of(&mut self.counts.failures, 1 - service);
        }
        if *state == NodeState::Running {
            match step {
                Step::In => self.turns.running.insert(node),
                Step::Out => self.turns.running.remove(&node),
            };
        }
        if state.is_busy() && normal == 1 {
            step.of(&mut self.turns.busy, 1);
            if let Some(category) = written.category {
                step.of(self.turns.busy_in.entry(category).or_default(), 1);
            }
        }
    }
}

/// Which way a count goes.
#[derive(Clone, Copy)]
enum Step {
    In,
    Out,
}

impl Step {
    fn of(self, count: &mut u32, by: u32) {
        match self {
            Step::In => *count += by,
            Step::Out => *count -= by,
        }
    }
}
