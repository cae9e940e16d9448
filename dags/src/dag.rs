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
mod declare;
mod frames;
mod graph;
mod keyword;
mod lines;
mod picture;
mod read;
mod statement;
mod syntax;
mod words;

pub use keyword::{Keyword, Support};
pub use picture::DagSummary;
pub use statement::{Fields, Statement};
pub use syntax::{Syntax, SyntaxError};

/// Bytes of a DAG file with everything it includes.
pub const DAG_BYTES_MAX: usize = 64 << 20;
/// Nodes of a DAG.
pub const NODES_MAX: usize = 1_000_000;
/// Parent-child pairs of a DAG.
pub const EDGES_MAX: usize = 10_000_000;
/// FOREACH inside FOREACH, and INCLUDE inside INCLUDE.
pub const NESTING_MAX: usize = 16;
/// Lines read in all, those repeated by FOREACH counted each time.
pub const LINES_MAX: usize = 10_000_000;
/// Bytes of a node name.
pub const NODE_NAME_BYTES_MAX: usize = 1_024;

/// Macros of a trial's job besides its parameters: its number from 0, the node's name, the seed of
/// its own.
pub const TRIAL_MACROS: [&str; 3] = ["trial", "study", "seed"];

/// A checked DAG file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    /// The path it was loaded from.
    pub file: String,
    /// The directory its paths are relative to: that of the file. Empty: where the reader stands.
    pub dir: String,
    /// In the order of the file. Nodes name each other by their place here.
    pub nodes: Vec<Node>,
    /// The distinct submit descriptions; [`NodeKind`] names them by their place here.
    pub submits: Vec<Submit>,
    /// The distinct study files; [`NodeKind::Study`] names them by their place here.
    pub studies: Vec<StudySpec>,
    /// All nodes, parents before children; among the ready, in the order of the file.
    pub order: Vec<u32>,
    /// Per node, the nodes on the longest way from it to a node without children, itself counted: 1
    /// for such a node.
    pub path_len: Vec<u32>,
}

/// A vertex of a DAG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in its DAG.
    pub name: String,
    pub kind: NodeKind,
    pub start: NodeStart,
    /// What the paths of its submit description are relative to: the DAG's directory, joined with
    /// `DIR`.
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
    /// Higher goes first.
    pub priority: i64,
    /// Sorted, distinct.
    pub parents: Vec<u32>,
    /// Sorted, distinct.
    pub children: Vec<u32>,
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
    /// `NOOP`: succeeds without running its description.
    Noop { submit: u32 },
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
        build::load(path, files)
    }

    /// Nodes on the longest way through the graph; 0 for no nodes.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.path_len.iter().copied().max().unwrap_or(0)
    }

    /// The nodes without parents, in the order of the file.
    pub fn roots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.nodes)
            .filter(|(_, node)| node.parents.is_empty())
            .map(|(at, _)| at)
    }

    /// The submit description of a node.
    ///
    /// # Panics
    /// When `node` is not a place in `nodes`.
    #[must_use]
    pub fn submit_of(&self, node: u32) -> &Submit {
        let submit = self.nodes[node as usize].kind.submit();
        &self.submits[submit as usize]
    }

    /// The study of a node, where it has one.
    ///
    /// # Panics
    /// When `node` is not a place in `nodes`.
    #[must_use]
    pub fn study_of(&self, node: u32) -> Option<&StudySpec> {
        match self.nodes[node as usize].kind {
            NodeKind::Study { study, .. } => Some(&self.studies[study as usize]),
            NodeKind::Job { .. } | NodeKind::Noop { .. } => None,
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
    /// The place of its submit description in `Dag::submits`.
    #[must_use]
    pub fn submit(&self) -> u32 {
        match self {
            Self::Job { submit } | Self::Study { submit, .. } | Self::Noop { submit } => *submit,
        }
    }
}
