//! Descriptions tried out with made-up values, before any run knows the real ones.

use std::collections::BTreeSet;

use super::super::Dag;
use crate::diagnostic::Diagnostics;
use crate::submit::Macros;

/// Different kinds of jobs whose descriptions are tried out.
const TRIED_MAX: usize = 1_000;

/// What DAGMan gives to the jobs of a node besides its own macros.
const RUN_MACROS: [&str; 5] = [
    "RETRY",
    "DAG_STATUS",
    "FAILED_COUNT",
    "DAGManJobId",
    "DAG_PARENT_NAMES",
];

/// Tries out the description of each kind of node that differs in description or in the names of
/// its macros.
pub(super) fn try_out(dag: &Dag) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let mut tried: BTreeSet<String> = BTreeSet::new();
    let mut said: BTreeSet<(String, u32, u32, String)> = BTreeSet::new();
    for (at, node) in (0..).zip(&dag.nodes) {
        let Some(submit) = dag.submit_of(at) else {
            continue;
        };
        let macros = dag.sample_macros(at);
        let names: Vec<&str> = macros.iter().map(|given| given.name.as_str()).collect();
        let key = format!("{:?} {}", node.kind.submit(), names.join(" "));
        if tried.len() >= TRIED_MAX || !tried.insert(key) {
            continue;
        }
        for found in submit.check(&macros).iter() {
            let key = (
                found.file.clone(),
                found.line,
                found.column,
                found.message.clone(),
            );
            if said.insert(key) {
                let mut found = found.clone();
                found.within.push(format!("node {}", node.name));
                diagnostics.push(found);
            }
        }
    }
    diagnostics
}

impl Dag {
    /// A node's macros as a run will give them, with values made up for what only the run knows:
    /// the parameters of a trial, the best ones of the studies before it. A checker expands a
    /// description with them.
    ///
    /// # Panics
    /// When `node` is not a place in `nodes`.
    #[must_use]
    pub fn sample_macros(&self, node: u32) -> Macros {
        let mut macros = self.nodes[node as usize].macros();
        for name in RUN_MACROS {
            macros.insert(name, 0);
        }
        for parent in self.parents_of(node) {
            let Some(study) = self.study_of(parent) else {
                continue;
            };
            for (name, value) in study.sample() {
                macros.insert(&format!("best.{name}"), value);
            }
            macros.insert("best.value", 0);
            macros.insert("best.trial", 0);
        }
        if let Some(study) = self.study_of(node) {
            for (name, value) in study.sample() {
                macros.insert(&name, value);
            }
            for name in super::super::TRIAL_MACROS {
                macros.insert(name, 0);
            }
        }
        macros
    }
}
