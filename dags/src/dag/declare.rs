//! What the lines of a DAG file declare, with the places for later complaints. Nothing is resolved
//! here.

use std::collections::BTreeMap;

use super::command::{Done, Mode};
use crate::submit::Placement;

/// Everything declared, in the order of the file.
#[derive(Default)]
pub(super) struct Declared {
    pub nodes: Vec<NodeDecl>,
    pub by_name: BTreeMap<String, u32>,
    pub descriptions: BTreeMap<String, Inline>,
    pub edges: Vec<EdgesDecl>,
    pub changes: Vec<ChangeDecl>,
}

impl Declared {
    /// Declarations in all.
    pub fn len(&self) -> usize {
        self.nodes.len() + self.descriptions.len() + self.edges.len() + self.changes.len()
    }
}

pub(super) struct NodeDecl {
    pub at: At,
    pub description: DescriptionDecl,
    /// The study file and where it is named.
    pub study: Option<(String, At)>,
    pub dir: Option<String>,
    pub mode: Mode,
    pub done: Done,
}

/// Where a node's submit description is.
pub(super) enum DescriptionDecl {
    /// A file, or the name of a SUBMIT-DESCRIPTION.
    Named(String, At),
    Inline(Inline),
}

/// An inline description: a line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inline {
    pub file: u32,
    pub line: u32,
}

/// PARENT … CHILD ….
pub(super) struct EdgesDecl {
    pub parents: Vec<(String, At)>,
    pub children: Vec<(String, At)>,
}

/// What a later line says about a declared node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Retry {
        max: u32,
        unless_exit: Option<i32>,
    },
    Vars {
        pairs: Vec<(String, String)>,
        placement: Placement,
    },
    Priority(i64),
    Done,
}

pub(super) struct ChangeDecl {
    pub node: String,
    pub at: At,
    pub change: Change,
}

/// A place in a line as it was read, after FOREACH put its items in. [`super::read::Reader::error`]
/// finds the way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub file: u32,
    pub line: u32,
    pub frame: Option<u32>,
    pub start: u32,
    pub end: u32,
    pub part: Part,
}

/// Which text the bytes of a place count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Line,
    /// What follows an inline description.
    Tail,
}
