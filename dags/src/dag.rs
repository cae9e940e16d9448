//! DAG files: DAGMan's commands with `STUDY` and `FOREACH`, read into a checked graph.
//!
//! A [`Dag`] is acyclic, all its names resolve, and its submit descriptions and studies are read;
//! each distinct file is held once. What happened to a node is not held here: that is a run's
//! state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostics;
use crate::files::Files;
use crate::study::StudySpec;
use crate::submit::{Macros, Submit};

mod build;
mod command;
mod config;
mod declare;
mod frames;
mod graph;
mod keyword;
mod lines;
mod picture;
mod read;
pub mod rescue;
mod script;
mod settings;
mod show;
mod statement;
mod syntax;
mod words;

pub use keyword::{Keyword, Support};
pub use picture::DagSummary;
pub use script::{Debug, Defer, Script, Scripts, Stream};
pub use settings::{DotFile, Environment, Papers, Settings, StatusFile, Throttles};
pub use show::Shown;
pub use statement::{Fields, Statement};
pub use syntax::{Syntax, SyntaxError};

/// Bytes of a DAG file with everything it includes.
pub const DAG_BYTES_MAX: usize = 64 << 20;
/// Nodes of a DAG.
pub const NODES_MAX: usize = 1_000_000;
/// Edges of a DAG, those of joins counted.
pub const EDGES_MAX: usize = 10_000_000;
/// FOREACH, INCLUDE and SPLICE inside each other, and sub-DAGs inside sub-DAGs.
pub const NESTING_MAX: usize = 32;
/// Splices of a DAG, those inside splices counted.
pub const SPLICES_MAX: usize = 100_000;
/// Lines read in all, those repeated by FOREACH counted each time.
pub const LINES_MAX: usize = 10_000_000;
/// Bytes of a node name.
pub const NODE_NAME_BYTES_MAX: usize = 1_024;

/// Macros of a trial's job besides its parameters: its number from 0, the node's name, the seed of
/// its own.
pub const TRIAL_MACROS: [&str; 3] = ["trial", "study", "seed"];

/// What to load, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loading<'a> {
    /// The DAG file, as `Files` know it.
    pub path: &'a str,
    /// What its paths are relative to; where nothing is said, its own directory.
    pub dir: Option<&'a str>,
    /// A rescue or save file in DAGMan's format, read after the DAG file, as `Files` know it.
    pub rescue: Option<&'a str>,
}

/// Whether the files that nodes name are read: submit descriptions, studies and sub-DAGs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum External {
    Read,
    /// They are not, so the DAG is not there in the end: only what is said of it.
    Leave,
}

/// What a check gives.
#[derive(Debug)]
pub struct Checked {
    /// There exactly when there is no error and all was read.
    pub dag: Option<Dag>,
    /// The counts of what could be read; absent where the file itself could not.
    pub counts: Option<DagSummary>,
    pub diagnostics: Diagnostics,
}

/// A checked DAG file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    /// The path it was loaded from.
    pub file: String,
    /// The directory its paths are relative to: that of the file. Empty: where the reader stands.
    pub dir: String,
    /// In the order of the file, then the join nodes. Nodes name each other by their place here.
    pub nodes: Vec<Node>,
    /// The distinct submit descriptions; [`NodeKind`] names them by their place here.
    pub submits: Vec<Submit>,
    /// The distinct study files; [`NodeKind::Study`] names them by their place here.
    pub studies: Vec<StudySpec>,
    /// All nodes, parents before children; among the ready, in the order of the file.
    pub order: Vec<u32>,
    /// Per node, the nodes on the longest way from it to a node without children, itself counted: 1
    /// for such a node. Join nodes do not count.
    pub path_len: Vec<u32>,
    /// What `CATEGORY` and `MAXJOBS` name; [`Node::category`] is a place here.
    #[serde(default)]
    pub categories: Vec<Category>,
    /// `CONFIG`.
    #[serde(default)]
    pub settings: Settings,
    /// `ENV`.
    #[serde(default)]
    pub environment: Environment,
    /// `SET_JOB_ATTR`: names and the text of their expressions, in the order of the file.
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
    /// Files that the run writes about itself.
    #[serde(default)]
    pub papers: Papers,
    /// How many `SPLICE` there are, those inside splices counted too.
    #[serde(default)]
    pub splices: u32,
}

/// Nodes that are limited together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// With the splices it is declared in, in front: `splice+name`. `+name` is one in all of them.
    pub name: String,
    /// Nodes of it that may have jobs in the queue at a time; `None` where no MAXJOBS says.
    pub limit: Option<u32>,
}

/// A vertex of a DAG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in its DAG.
    pub name: String,
    pub kind: NodeKind,
    #[serde(default, skip_serializing_if = "Role::is_normal")]
    pub role: Role,
    pub start: NodeStart,
    /// What the paths of its submit description and scripts are relative to: the DAG's directory,
    /// joined with `DIR`.
    pub dir: String,
    /// Macros for its submit description: `VARS` and FOREACH variables, each name once, in the
    /// order they were given. The first `vars_before` are read before the description, whose own
    /// assignments win; the rest win over it.
    pub vars: Vec<(String, String)>,
    /// How many of `vars` are read before the description: DAGMan's default for `VARS`. FOREACH
    /// variables are not among them.
    pub vars_before: u32,
    /// Times the node is tried again after a failure.
    pub retry: u32,
    /// An exit code after which it is not tried again.
    pub retry_unless_exit: Option<i32>,
    #[serde(default, skip_serializing_if = "Scripts::is_empty")]
    pub scripts: Scripts,
    /// The exit code of its PRE script with which it is done at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_skip: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_on: Option<AbortOn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
    /// A place in `Dag::categories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<u32>,
    /// `SAVE_POINT_FILE`: written when the node starts for the first time; relative to the DAG's
    /// directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_point: Option<String>,
    /// Higher goes first.
    pub priority: i64,
    /// Those that must succeed before it starts, join nodes among them. Sorted, distinct.
    pub parents: Vec<u32>,
    /// The other side of `parents`. Sorted, distinct.
    pub children: Vec<u32>,
    /// `WEAK PARENT`: those that must end before it starts, however they do. Sorted, distinct, none
    /// of them in `parents`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weak_parents: Vec<u32>,
    /// The other side of `weak_parents`. Sorted, distinct.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weak_children: Vec<u32>,
    /// The line that declares it, 1-based, in the file that holds it.
    pub line: u32,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NodeKind {
    /// A cluster of jobs from `Dag::submits[submit]`.
    Job { submit: u32 },
    /// Trials of `Dag::studies[study]`, each a job from `Dag::submits[submit]`.
    Study { submit: u32, study: u32 },
    /// `NOOP`: only its scripts run. Its description is not read.
    Noop,
    /// `SUBDAG EXTERNAL`: a DAG run of its own. Its file is read when the node starts: a node before
    /// it may have written it.
    Subdag {
        /// As written; relative to the node's directory.
        file: String,
        #[serde(default, skip_serializing_if = "Reads::is_dag")]
        reads: Reads,
    },
    /// Stands between the parents and the children of one line, so that n times m edges are n plus
    /// m. It has no name of its own, does nothing, and is counted nowhere.
    Join,
}

/// What the file of a node is that is read when the node starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    #[default]
    Dag,
    /// The submit description of a `JOB` that was not there with the DAG file: something before it
    /// writes it. The node's run is the one node of [`Dag::of_job`].
    Submit,
}

/// The place of a node in its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    Normal,
    /// `PROVISIONER`: the others wait until its job says that it is ready.
    Provisioner,
    /// `SERVICE`: starts with the run and is removed with its end.
    Service,
    /// `FINAL`: runs after everything else, however that went; its result is the run's.
    Final,
}

/// `ABORT-DAG-ON`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortOn {
    /// The exit code of the node's PRE script or of its last part.
    pub status: i32,
    /// The run's exit code then; the node's own where nothing is said.
    pub exit: Option<u8>,
}

/// `TOLERANCE`: how many jobs of a node may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    pub failures: Failures,
    pub then: Then,
}

/// How many jobs of a node may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failures {
    Jobs(u32),
    /// Of the node's jobs, 0 to 100.
    Percent(u32),
}

/// What becomes of a node's other jobs when more fail than may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// They are removed.
    #[default]
    FailFast,
    /// They go on to their end.
    Wait,
}

/// How a node stands when the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStart {
    Waiting,
    /// `DONE`: it succeeded in an earlier run.
    Done,
}

impl Dag {
    /// Reads, expands and checks a DAG file with everything it names. The DAG is there exactly when
    /// there is no error; warnings come with both.
    #[must_use]
    pub fn load(path: &str, files: &dyn Files) -> (Option<Self>, Diagnostics) {
        let loading = Loading {
            path,
            dir: None,
            rescue: None,
        };
        Self::load_as(&loading, files)
    }

    /// The DAG of one node whose description is read now, and which has nothing of the node but its
    /// name, its directory and its macros. The rest is the business of the run around it. `path` is
    /// the description, as `Files` know it.
    #[must_use]
    pub fn of_job(node: &Node, path: &str, files: &dyn Files) -> (Option<Self>, Diagnostics) {
        build::of_job(node, path, files)
    }

    /// A DAG of nothing: what stands in while one is read.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            file: String::new(),
            dir: String::new(),
            nodes: Vec::new(),
            submits: Vec::new(),
            studies: Vec::new(),
            order: Vec::new(),
            path_len: Vec::new(),
            categories: Vec::new(),
            settings: Settings::default(),
            environment: Environment::default(),
            attributes: Vec::new(),
            papers: Papers::default(),
            splices: 0,
        }
    }

    /// As [`Dag::load`], in a directory of its own or from where an earlier run stood.
    #[must_use]
    pub fn load_as(loading: &Loading<'_>, files: &dyn Files) -> (Option<Self>, Diagnostics) {
        let checked = build::load(loading, files, External::Read);
        (checked.dag, checked.diagnostics)
    }

    /// As [`Dag::load_as`], with the counts of a wrong file, too.
    #[must_use]
    pub fn check(loading: &Loading<'_>, files: &dyn Files, external: External) -> Checked {
        build::load(loading, files, external)
    }

    /// Nodes on the longest way through the graph, joins not counted; 0 for no nodes.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.path_len.iter().copied().max().unwrap_or(0)
    }

    /// The nodes without parents, weak ones neither, in the order of the file. Those with a special
    /// role are none.
    pub fn roots(&self) -> impl Iterator<Item = u32> + '_ {
        let is_root = |node: &Node| {
            let alone = node.parents.is_empty() && node.weak_parents.is_empty();
            alone && node.role == Role::Normal
        };
        let nodes = (0..).zip(&self.nodes);
        nodes
            .filter(move |(_, node)| is_root(node))
            .map(|(at, _)| at)
    }

    /// The submit description of a node, where it has one.
    ///
    /// # Panics
    /// When `node` is not a place in `nodes`.
    #[must_use]
    pub fn submit_of(&self, node: u32) -> Option<&Submit> {
        let submit = self.nodes[node as usize].kind.submit()?;
        self.submits.get(submit as usize)
    }

    /// The nodes that people know: all but joins. They stand in front of the joins.
    #[must_use]
    pub fn named(&self) -> &[Node] {
        let joins = self.nodes.iter().rev();
        let joins = joins.take_while(|node| node.kind == NodeKind::Join).count();
        &self.nodes[..self.nodes.len() - joins]
    }

    /// The node with a name.
    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<u32> {
        let named = self.named().iter();
        (0..)
            .zip(named)
            .find_map(|(at, node)| (node.name == name).then_some(at))
    }

    /// The one node with a role that only one may have.
    #[must_use]
    pub fn with_role(&self, role: Role) -> Option<u32> {
        let named = self.named().iter();
        (0..)
            .zip(named)
            .find_map(|(at, node)| (node.role == role).then_some(at))
    }

    /// The parents of a node, strong and weak, with those of the join nodes among them in place of
    /// the joins. Sorted, distinct.
    ///
    /// # Panics
    /// When `node` is not a place in `nodes`.
    #[must_use]
    pub fn parents_of(&self, node: u32) -> Vec<u32> {
        let node = &self.nodes[node as usize];
        let mut found: Vec<u32> = node.weak_parents.clone();
        for parent in &node.parents {
            let above = &self.nodes[*parent as usize];
            match above.kind {
                // No join stands right above another.
                NodeKind::Join => found.extend(&above.parents),
                NodeKind::Job { .. }
                | NodeKind::Study { .. }
                | NodeKind::Noop
                | NodeKind::Subdag { .. } => found.push(*parent),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The children of a node, as [`Dag::parents_of`] has its parents.
    ///
    /// # Panics
    /// When `node` is not a place in `nodes`.
    #[must_use]
    pub fn children_of(&self, node: u32) -> Vec<u32> {
        let node = &self.nodes[node as usize];
        let mut found: Vec<u32> = node.weak_children.clone();
        for child in &node.children {
            let below = &self.nodes[*child as usize];
            match below.kind {
                NodeKind::Join => found.extend(&below.children),
                NodeKind::Job { .. }
                | NodeKind::Study { .. }
                | NodeKind::Noop
                | NodeKind::Subdag { .. } => found.push(*child),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The study of a node, where it has one.
    ///
    /// # Panics
    /// When `node` is not a place in `nodes`.
    #[must_use]
    pub fn study_of(&self, node: u32) -> Option<&StudySpec> {
        match self.nodes[node as usize].kind {
            NodeKind::Study { study, .. } => Some(&self.studies[study as usize]),
            NodeKind::Job { .. } | NodeKind::Noop | NodeKind::Subdag { .. } | NodeKind::Join => {
                None
            }
        }
    }

    /// What its descriptions asked of the submitter, with the answers: to be sent with the texts and
    /// handed in again by [`Sent`](crate::files::Sent).
    #[must_use]
    pub fn answers(&self) -> BTreeMap<String, String> {
        let all = self.submits.iter().flat_map(Submit::answers);
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The counts a checker prints.
    #[must_use]
    pub fn summary(&self) -> DagSummary {
        picture::summary(self)
    }

    /// The graph as lines of text, as wide as `columns` at most. Large ones are shown by groups of
    /// nodes that are named alike.
    #[must_use]
    pub fn show(&self, columns: usize) -> Vec<Shown> {
        show::show(self, columns)
    }

    /// The graph as Graphviz text. `colour` gives the fill of a node by its place, where it has
    /// one.
    #[must_use]
    pub fn dot(&self, colour: Option<&dyn Fn(u32) -> Option<&'static str>>) -> String {
        picture::dot(self, colour)
    }
}

impl Node {
    /// Its macros: `vars` in their two places, and `JOB`, its name. The caller adds what a run
    /// knows (`RETRY`, parameters,
    /// `best.*`).
    #[must_use]
    pub fn macros(&self) -> Macros {
        let mut macros = Macros::new();
        for (at, (name, value)) in (0..).zip(&self.vars) {
            if at < self.vars_before {
                macros.insert_before(name, value);
            } else {
                macros.insert(name, value);
            }
        }
        macros.insert("JOB", &self.name);
        macros
    }
}

impl NodeKind {
    /// The place of its submit description in `Dag::submits`, where it has one.
    #[must_use]
    pub fn submit(&self) -> Option<u32> {
        match self {
            Self::Job { submit } | Self::Study { submit, .. } => Some(*submit),
            Self::Noop | Self::Subdag { .. } | Self::Join => None,
        }
    }
}

impl Reads {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_dag(&self) -> bool {
        *self == Reads::Dag
    }
}

impl Role {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_normal(&self) -> bool {
        *self == Role::Normal
    }
}
