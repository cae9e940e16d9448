//! A run that takes over what an earlier one has done: which nodes are the same as they were, and
//! why the others run.

use std::collections::BTreeMap;

use dags::dag::{Dag, NodeKind, NodeStart, Reads};
use proto::nouns::{Blob, join_path};

use crate::command::{NewRun, Refusal};
use crate::plan::{Plan, PlanKind, Planned};
use crate::queue::Queue;
use crate::run::{NodeState, Run, RunState};

/// What a new run takes over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    /// Nodes of the new run that are done, and which they were in the old one.
    pub nodes: BTreeMap<u32, u32>,
    /// Files of the old workspace that the new one lacks.
    pub files: BTreeMap<String, Blob>,
}

impl Queue {
    /// What of `new` would run if it took over what the run `old` has done. Changes nothing.
    ///
    /// # Errors
    /// There is no such run, or it still runs.
    pub fn plan_changed(&self, old: u32, new: &NewRun) -> Result<Plan, Refusal> {
        let old = self.ended_run(old)?;
        let reasons = self.compare(old, new);
        let named = (0..).zip(new.dag.named());
        let again: Vec<Planned> = named
            .filter_map(|(at, node)| {
                let why = reasons.get(&at)?.clone();
                let state = match old.dag.node_named(&node.name) {
                    Some(old_at) => old.nodes[old_at as usize].state.name(),
                    None => "New",
                };
                let node = node.name.clone();
                Some(Planned { node, state, why })
            })
            .collect();
        let total = new.dag.named().len();
        let kept = u32::try_from(total - again.len()).unwrap_or(u32::MAX);
        Ok(Plan {
            kind: PlanKind::Changed,
            run: old.id,
            again,
            kept,
            resets: Vec::new(),
        })
    }

    /// What a new run takes over from an old one.
    pub(crate) fn carried(&self, old: u32, new: &NewRun) -> Result<Carried, Refusal> {
        let old = self.ended_run(old)?;
        let mut carried = Carried {
            nodes: self.same_nodes(old, new),
            files: BTreeMap::new(),
        };
        let kept = &self.workspaces[&old.home].files;
        let lacks = |(path, _): &(&String, &Blob)| !new.files.contains_key(*path);
        let files = kept.iter().filter(lacks);
        carried.files = files.map(|(path, blob)| (path.clone(), *blob)).collect();
        Ok(carried)
    }

    /// Nodes of a new run that are done as they are, and which they were in an old one.
    pub(crate) fn same_nodes(&self, old: &Run, new: &NewRun) -> BTreeMap<u32, u32> {
        let reasons = self.compare(old, new);
        let named = (0..).zip(new.dag.named());
        let before = named.filter_map(|(at, node)| {
            let before = old.dag.node_named(&node.name)?;
            let done = old.nodes[before as usize].state == NodeState::Done;
            (done && !reasons.contains_key(&at)).then_some((at, before))
        });
        before.collect()
    }

    fn ended_run(&self, id: u32) -> Result<&Run, Refusal> {
        let run = self.run(id)?;
        let reason = match (run.parent, run.state) {
            (Some((parent, _)), _) => format!("it is a sub-DAG of DAG run {parent}"),
            (None, RunState::Running) => "it still runs; remove it first".to_owned(),
            (
                None,
                RunState::Completed { .. } | RunState::Failed { .. } | RunState::Removed { .. },
            ) => return Ok(run),
        };
        Err(Refusal::NotNow {
            run: id,
            act: "taken over",
            reason,
        })
    }

    /// Why nodes of the new DAG run; those without a reason are done already. Joins follow from
    /// their parents.
    fn compare(&self, old: &Run, new: &NewRun) -> BTreeMap<u32, String> {
        let mut reasons: BTreeMap<u32, String> = BTreeMap::new();
        let by_name: BTreeMap<&str, u32> = (0..)
            .zip(old.dag.named())
            .map(|(at, node)| (node.name.as_str(), at))
            .collect();
        for at in new.dag.order.iter().copied() {
            let node = &new.dag.nodes[at as usize];
            if node.kind == NodeKind::Join || node.start == NodeStart::Done {
                continue;
            }
            let parents = new.dag.parents_of(at);
            let above = parents.iter().find(|parent| reasons.contains_key(parent));
            let reason = match (by_name.get(node.name.as_str()), above) {
                (None, _) => Some("it is new".to_owned()),
                (Some(before), above) => self.difference(old, *before, new, at).or_else(|| {
                    above.map(|above| format!("{} runs again", new.dag.nodes[*above as usize].name))
                }),
            };
            if let Some(reason) = reason {
                reasons.insert(at, reason);
            }
        }
        reasons
    }

    /// What is different about a node, or about how it ended.
    fn difference(&self, old: &Run, before: u32, new: &NewRun, at: u32) -> Option<String> {
        let (was, is) = (&old.dag.nodes[before as usize], &new.dag.nodes[at as usize]);
        let reason = match &old.nodes[before as usize].state {
            NodeState::Failed { reason } => return Some(format!("it failed: {reason}")),
            NodeState::Done if is.role == dags::dag::Role::Final => "it is the FINAL node",
            NodeState::Done if !self.same_description(old, before, new, at) => {
                "its submit description changed"
            }
            NodeState::Done if old.dag.study_of(before) != new.dag.study_of(at) => {
                "its study file changed"
            }
            NodeState::Done if was.vars != is.vars => "its macros changed",
            NodeState::Done if was.scripts != is.scripts => "its scripts changed",
            NodeState::Done if !same_work(&was.kind, &is.kind) || was.dir != is.dir => {
                "its line in the DAG file changed"
            }
            NodeState::Done if names(&old.dag, before) != names(&new.dag, at) => {
                "its parents changed"
            }
            NodeState::Done => return self.changed_work(old, before, new),
            NodeState::Waiting
            | NodeState::Pre
            | NodeState::Ready
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post
            | NodeState::Futile => "it did not run to its end",
        };
        Some(reason.to_owned())
    }

    /// Whether a node's jobs have the description that they had when they ran. One that came late
    /// may be there by now.
    fn same_description(&self, old: &Run, before: u32, new: &NewRun, at: u32) -> bool {
        let is = new.dag.submit_of(at);
        let subrun = old.nodes[before as usize].subrun;
        let came = subrun.filter(|_| old.is_late(before) && is.is_some());
        match came.and_then(|subrun| self.runs.get(&subrun)) {
            Some(subrun) => subrun.dag.submit_of(0) == is,
            None => old.dag.submit_of(before) == is,
        }
    }

    /// What of a node's files is not what it was: of its own, or of its sub-DAG's.
    fn changed_work(&self, old: &Run, before: u32, new: &NewRun) -> Option<String> {
        if let Some(path) = self.changed_input(old, before, new) {
            return Some(format!("{path} changed"));
        }
        for run in old.nodes[before as usize]
            .subrun
            .into_iter()
            .flat_map(|subrun| self.family(subrun))
        {
            let place = (run.dag.file.clone(), run.dag.dir.clone());
            let digest = new.subdags.get(&place);
            if digest.is_some_and(|digest| *digest != run.digest) {
                return Some(format!("its sub-DAG {} changed", run.dag.file));
            }
            for (at, node) in (0..).zip(run.dag.named()) {
                if let Some(path) = self.changed_input(run, at, new) {
                    let (file, name) = (&run.dag.file, &node.name);
                    return Some(format!("{path} of node {name} of {file} changed"));
                }
            }
        }
        None
    }

    /// An input of a node, or the program of a script of it, that is not what it was. What a node
    /// before it made counts with that node.
    fn changed_input(&self, old: &Run, before: u32, new: &NewRun) -> Option<String> {
        let known = &self.workspaces[&old.home].files;
        // The inputs of a node that was done from the beginning were never looked at.
        let never_ran = old.nodes[before as usize].attempts == 0;
        let differs = |path: &String, blob: &Blob| match known.get(path) {
            Some(was) => was != blob,
            None => !never_ran,
        };
        let written = &old.dag.nodes[before as usize];
        let scripts = &written.scripts;
        let programs = [&scripts.pre, &scripts.post, &scripts.hold].map(|script| {
            let program = script.as_ref().map(|script| script.program.as_str());
            program.map(|program| join_path(&written.dir, program))
        });
        let another = |path: &String| {
            let brought = new.files.get(path);
            brought.is_some_and(|blob| differs(path, blob))
        };
        if let Some(path) = programs.into_iter().flatten().find(another) {
            return Some(format!("its script {path}"));
        }
        let below = |path: &str, dir: &str| {
            path.strip_prefix(dir.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let changed = self.inputs_of(old, before).into_iter().find(|input| {
            let mut brought = new.files.iter().filter(|(path, _)| below(path, input));
            brought.any(|(path, blob)| differs(path, blob))
        })?;
        Some(format!("its input {changed}"))
    }
}

/// Whether two nodes are of one kind; the places of their files in two DAGs say nothing.
fn same_work(was: &NodeKind, is: &NodeKind) -> bool {
    match (was, is) {
        (NodeKind::Subdag { file: was, .. }, NodeKind::Subdag { file: is, .. }) => was == is,
        // A description that was not there when the DAG was read is there now.
        (
            NodeKind::Subdag {
                reads: Reads::Submit,
                ..
            },
            NodeKind::Job { .. },
        ) => true,
        (was, is) => std::mem::discriminant(was) == std::mem::discriminant(is),
    }
}

fn names(dag: &Dag, node: u32) -> Vec<&str> {
    let parents = dag.parents_of(node).into_iter();
    let mut names: Vec<&str> = parents
        .map(|parent| dag.nodes[parent as usize].name.as_str())
        .collect();
    names.sort_unstable();
    names
}
