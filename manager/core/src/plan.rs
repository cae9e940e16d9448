//! What a resume, a retry or a rerun of a DAG run would do, and why: shown before it is done, and
//! done as it was shown.

use std::collections::BTreeSet;

use dags::dag::Role;

use dags::diagnostic::did_you_mean;

use crate::command::{Refusal, Steer};
use crate::queue::Queue;
use crate::run::{Halt, NodeState, Run, RunState};

/// Nodes that are compared for the likely meaning of an unknown name.
const COMPARED_MAX: usize = 10_000;

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub kind: PlanKind,
    pub run: u32,
    /// Nodes that would run, in the DAG's order.
    pub again: Vec<Planned>,
    /// Nodes that stay done.
    pub kept: u32,
    /// The nodes whose records change, joins among them.
    pub(crate) resets: Vec<u32>,
}

/// What kind of request a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    Resume,
    Retry,
    Rerun,
    /// A new run that takes over what an earlier one has done.
    Changed,
}

/// A node that would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub node: String,
    /// Its state now.
    pub state: &'static str,
    /// Why it would run, in words.
    pub why: String,
}

impl Queue {
    /// What a request would do. Changes nothing.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn plan(&self, id: u32, request: &Steer) -> Result<Plan, Refusal> {
        let run = self.run(id)?;
        let act = match request {
            Steer::Resume => "resumed",
            Steer::Retry { .. } => "retried",
            Steer::Rerun { .. } => "rerun",
            Steer::Halt => "halted",
            Steer::Throttle(_) => "changed",
        };
        let not_now = |reason: String| Refusal::NotNow {
            run: id,
            act,
            reason,
        };
        if let (Some((parent, node)), true) = (run.parent, run.state != RunState::Running) {
            let node = self.runs[&parent].node_name(node);
            let hint = format!("it is the sub-DAG of node {node} of DAG run {parent}; do it there");
            return Err(not_now(hint));
        }
        let ends = run.state == RunState::Running && run.cut.is_some();
        match request {
            Steer::Retry { .. } | Steer::Rerun { .. } if ends => {
                Err(not_now("it ends; wait for its FINAL node".to_owned()))
            }
            Steer::Resume => resume(run).map_err(not_now),
            Steer::Retry { nodes } => {
                let nodes = named(run, nodes)?;
                retry(run, nodes).map_err(not_now)
            }
            Steer::Rerun { from } => {
                let from = named(run, from)?;
                rerun(run, &from).map_err(not_now)
            }
            Steer::Halt | Steer::Throttle(_) => Ok(plan(run, PlanKind::Resume, Vec::new())),
        }
    }
}

fn named(run: &Run, names: &[String]) -> Result<Vec<u32>, Refusal> {
    let place = |name: &String| {
        let node = run.dag.node_named(name);
        node.ok_or_else(|| Refusal::UnknownNode {
            run: run.id,
            node: name.clone(),
            likely: likely(run, name),
        })
    };
    names.iter().map(place).collect()
}

fn likely(run: &Run, name: &str) -> Option<String> {
    let known = run.dag.named().iter().take(COMPARED_MAX);
    did_you_mean(name, known.map(|node| node.name.as_str())).map(str::to_owned)
}

/// Everything that is not done goes on.
fn resume(run: &Run) -> Result<Plan, String> {
    match run.state {
        RunState::Running if run.halt == Halt::Open => Err("it runs".to_owned()),
        RunState::Running => {
            let waiting = waiting(run);
            let rows = waiting.map(|node| (node, "it waits for the run to go on".to_owned()));
            Ok(Plan {
                resets: Vec::new(),
                ..plan(run, PlanKind::Resume, rows.collect())
            })
        }
        RunState::Completed { .. } if run.counts().done == run.counts().total() => {
            Err("all its nodes are done; `rerun` runs some of them again".to_owned())
        }
        RunState::Completed { .. } | RunState::Failed { .. } | RunState::Removed { .. } => {
            let nodes = crate::decide::not_done(run);
            let rows = nodes.into_iter().map(|node| (node, why(run, node)));
            Ok(plan(run, PlanKind::Resume, rows.collect()))
        }
    }
}

/// Nodes that failed run again, and those that were futile because of them only.
fn retry(run: &Run, named: Vec<u32>) -> Result<Plan, String> {
    let is_failed =
        |node: &u32| matches!(run.nodes[*node as usize].state, NodeState::Failed { .. });
    let failed: Vec<u32> = numbers(run).filter(is_failed).collect();
    let seeds = match named.is_empty() {
        true => failed.clone(),
        false => named,
    };
    if let Some(sound) = seeds.iter().find(|node| !is_failed(node)) {
        let state = run.nodes[*sound as usize].state.name().to_lowercase();
        let name = run.node_name(*sound);
        return Err(format!(
            "node {name} is {state} and did not fail; `rerun --from {name}` runs it again"
        ));
    }
    let mut again: BTreeSet<u32> = seeds.iter().copied().collect();
    let others: Vec<u32> = failed
        .into_iter()
        .filter(|node| !again.contains(node))
        .collect();
    let blocked = run.below(&others);
    let mut freed = run.below(&seeds);
    if seeds
        .iter()
        .any(|node| run.role(*node) == Role::Provisioner)
    {
        // All the others were futile because of it.
        freed.extend(numbers(run));
    }
    let futile = |node: &u32| run.nodes[*node as usize].state == NodeState::Futile;
    again.extend(
        freed
            .into_iter()
            .filter(futile)
            .filter(|node| !blocked.contains(node)),
    );
    let last = run.roles.last;
    if run.state != RunState::Running {
        // What never had its turn.
        let never = waiting(run).filter(|node| !blocked.contains(node) && Some(*node) != last);
        again.extend(never);
    }
    if again.is_empty() {
        return Err("none of its nodes failed".to_owned());
    }
    if run.state != RunState::Running {
        // It runs at the end whatever happens.
        again.extend(last);
    }
    let rows = again.into_iter().map(|node| (node, why(run, node)));
    Ok(plan(run, PlanKind::Retry, rows.collect()))
}

/// Nodes run again with everything behind them.
fn rerun(run: &Run, from: &[u32]) -> Result<Plan, String> {
    if from.is_empty() {
        return Err("no node is named".to_owned());
    }
    let mut again = run.with_descendants(from);
    if run.state != RunState::Running {
        again.extend(crate::decide::not_done(run));
    }
    let busy = again
        .iter()
        .find(|node| run.nodes[**node as usize].state.is_under_way());
    if let Some(busy) = busy {
        return Err(format!(
            "node {} is under way; wait for it, or remove the run first",
            run.node_name(*busy)
        ));
    }
    let asked: Vec<&str> = from.iter().map(|node| run.node_name(*node)).collect();
    let below = run.with_descendants(from);
    let rows = again.into_iter().map(|node| {
        let reason = match (from.contains(&node), below.contains(&node)) {
            (true, _) => "asked for".to_owned(),
            (false, true) => format!("it comes after {}", asked.join(", ")),
            (false, false) => why(run, node),
        };
        (node, reason)
    });
    Ok(plan(run, PlanKind::Rerun, rows.collect()))
}

fn plan(run: &Run, kind: PlanKind, rows: Vec<(u32, String)>) -> Plan {
    let resets: Vec<u32> = rows.iter().map(|(node, _)| *node).collect();
    let again = rows.into_iter().filter(|(node, _)| run.is_named(*node));
    let again: Vec<Planned> = again
        .map(|(node, why)| Planned {
            node: run.node_name(node).to_owned(),
            state: run.nodes[node as usize].state.name(),
            why,
        })
        .collect();
    let done = |node: &u32| run.nodes[*node as usize].state == NodeState::Done;
    let lost = resets
        .iter()
        .filter(|node| run.is_named(**node))
        .filter(|node| done(node));
    let kept = run.counts().done - u32::try_from(lost.count()).unwrap_or(u32::MAX);
    Plan {
        kind,
        run: run.id,
        again,
        kept,
        resets,
    }
}

fn why(run: &Run, node: u32) -> String {
    match &run.nodes[node as usize].state {
        NodeState::Failed { reason } => format!("it failed: {reason}"),
        NodeState::Futile => "a node before it failed".to_owned(),
        NodeState::Done => "it is the FINAL node".to_owned(),
        NodeState::Waiting
        | NodeState::Pre
        | NodeState::Ready
        | NodeState::Preparing
        | NodeState::Running
        | NodeState::Post => "it did not run to its end".to_owned(),
    }
}

fn numbers(run: &Run) -> impl Iterator<Item = u32> + '_ {
    (0..).zip(&run.nodes).map(|(at, _)| at)
}

fn waiting(run: &Run) -> impl Iterator<Item = u32> + '_ {
    numbers(run).filter(|node| run.nodes[*node as usize].state == NodeState::Waiting)
}

impl Run {
    /// Whether people know the node: joins have no name.
    fn is_named(&self, node: u32) -> bool {
        self.dag.nodes[node as usize].kind != dags::NodeKind::Join
    }

    /// Nodes that wait for the success of some of these, directly or not.
    fn below(&self, nodes: &[u32]) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut open = nodes.to_vec();
        while let Some(at) = open.pop() {
            for child in &self.dag.nodes[at as usize].children {
                if found.insert(*child) {
                    open.push(*child);
                }
            }
        }
        found
    }
}
