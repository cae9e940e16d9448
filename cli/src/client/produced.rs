//! Which files the jobs of a DAG bring back, as far as their descriptions say, and whether a job
//! can rely on one: whether it comes from a node before its own. By text alone; no file is looked
//! at.

use std::collections::{BTreeMap, VecDeque};

use dags::{Dag, JobSpec};
use manager_core::declared_outputs;
use proto::nouns::join_path;

/// Closures of descendants that are kept; each is as large as the DAG has nodes.
const CLOSURES_MAX: usize = 64;
/// The file in which a study hands its best parameters to its children.
const BEST_FILE: &str = "best.json";

/// Who makes a file before a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A node before it says so.
    Declared,
    /// A node before it brings back whatever it makes, into the file's directory.
    Possible,
    Nobody,
}

/// Outputs of all nodes, by path.
#[derive(Debug, Default)]
pub struct Produced {
    /// Files and directories, by the path at which they arrive.
    declared: BTreeMap<String, Vec<u32>>,
    /// Directories that receive whatever a job makes.
    anything: BTreeMap<String, Vec<u32>>,
    /// Nodes that make what no description tells: sub-DAGs, and those with scripts.
    untold: Vec<u32>,
    closures: BTreeMap<u32, Vec<bool>>,
}

impl Produced {
    /// Takes note of what a node's job brings back.
    pub fn add(&mut self, dag: &Dag, node: u32, spec: &JobSpec) {
        for path in declared_outputs(dag, node, spec) {
            push(&mut self.declared, path, node);
        }
        if spec.transfer_output.is_none() {
            let dir = join_path(&dag.nodes[node as usize].dir, &spec.initial_dir);
            for target in spec.output_remaps.values() {
                push(&mut self.declared, join_path(&dir, target), node);
            }
            push(&mut self.anything, dir, node);
        }
    }

    /// Takes note of a node of which nobody tells what it makes.
    pub fn add_untold(&mut self, node: u32) {
        self.untold.push(node);
    }

    /// Who makes `path`, which is normal, before the jobs of `node` run.
    pub fn origin(&mut self, dag: &Dag, node: u32, path: &str) -> Origin {
        let before = self.origin_before(dag, node, path);
        let own_script = dag.nodes[node as usize].scripts.pre.is_some();
        match before {
            Origin::Nobody if own_script => Origin::Possible,
            Origin::Declared | Origin::Possible | Origin::Nobody => before,
        }
    }

    /// Who makes `path`, which is normal, before anything of `node` runs.
    pub fn origin_before(&mut self, dag: &Dag, node: u32, path: &str) -> Origin {
        let parents = dag.parents_of(node);
        let of_study = path.rsplit('/').next() == Some(BEST_FILE)
            && parents.iter().any(|parent| dag.study_of(*parent).is_some());
        let makers: Vec<u32> = self.declarers(path).copied().collect();
        if of_study || self.any_before(dag, &makers, node) {
            return Origin::Declared;
        }
        let makers = self
            .anything
            .get(dags::files::parent(path))
            .cloned()
            .unwrap_or_default();
        let untold = self.untold.clone();
        if self.any_before(dag, &makers, node) || self.any_before(dag, &untold, node) {
            Origin::Possible
        } else {
            Origin::Nobody
        }
    }

    /// Nodes that declare the path, a directory it lies in, or something in it.
    fn declarers(&self, path: &str) -> impl Iterator<Item = &u32> {
        let slashes = path.match_indices('/').map(|(at, _)| &path[..at]);
        let at_or_above = slashes
            .chain([path])
            .filter_map(|path| self.declared.get(path));
        let inside = format!("{path}/");
        let below = self
            .declared
            .range(inside.clone()..)
            .take_while(move |(declared, _)| declared.starts_with(&inside))
            .map(|(_, nodes)| nodes);
        at_or_above.chain(below).flatten()
    }

    fn any_before(&mut self, dag: &Dag, makers: &[u32], node: u32) -> bool {
        let parents = dag.parents_of(node);
        // Nearly every file comes from a parent; only for the others is the graph walked.
        makers
            .iter()
            .any(|maker| parents.binary_search(maker).is_ok())
            || makers
                .iter()
                .any(|maker| self.closure(dag, *maker)[node as usize])
    }

    /// Per node, whether it is a descendant of `from`.
    fn closure(&mut self, dag: &Dag, from: u32) -> &[bool] {
        if self.closures.len() >= CLOSURES_MAX && !self.closures.contains_key(&from) {
            self.closures.clear();
        }
        self.closures
            .entry(from)
            .or_insert_with(|| descendants(dag, from))
    }
}

fn push(map: &mut BTreeMap<String, Vec<u32>>, path: String, node: u32) {
    let nodes = map.entry(path).or_default();
    // The procs of a cluster come one after the other.
    if nodes.last() != Some(&node) {
        nodes.push(node);
    }
}

fn descendants(dag: &Dag, from: u32) -> Vec<bool> {
    let mut reached = vec![false; dag.nodes.len()];
    let mut ahead = VecDeque::from([from]);
    while let Some(at) = ahead.pop_front() {
        let node = &dag.nodes[at as usize];
        for child in node.children.iter().chain(&node.weak_children) {
            if !std::mem::replace(&mut reached[*child as usize], true) {
                ahead.push_back(*child);
            }
        }
    }
    reached
}
