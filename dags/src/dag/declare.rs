//! What the lines of a DAG file declare, with the places for later complaints. Nothing is resolved
//! here.

use std::collections::BTreeMap;
use std::ops::Range;

use super::command::{Done, EnvAction, Mode, PinSide, Strength};
use super::script::Script;
use super::{AbortOn, Role, Tolerance};
use crate::submit::Placement;

/// Everything declared. Of each scope the order is that of the file.
#[derive(Default)]
pub(super) struct Declared {
    /// The DAG file itself, then its splices as they come: one inside another comes after it.
    pub scopes: Vec<Scope>,
    pub nodes: Vec<NodeDecl>,
    /// Nodes by their full names.
    pub by_name: BTreeMap<String, u32>,
    pub edges: Vec<EdgesDecl>,
    pub connects: Vec<ConnectDecl>,
    pub pins: Vec<PinDecl>,
    pub changes: Vec<ChangeDecl>,
    pub limits: Vec<LimitDecl>,
    pub whole: Vec<WholeDecl>,
}

impl Declared {
    /// Declarations in all that know their place.
    pub fn len(&self) -> usize {
        self.scopes.len()
            + self.nodes.len()
            + self.edges.len()
            + self.connects.len()
            + self.pins.len()
            + self.changes.len()
            + self.limits.len()
            + self.whole.len()
    }
}

/// The DAG file, or one splice: where names are looked up.
pub(super) struct Scope {
    /// What stands before the names of its nodes: `splice+`, once per splice around them.
    pub prefix: String,
    pub outer: Option<u32>,
    /// What its paths are relative to.
    pub dir: String,
    /// All nodes in it, those of splices inside it too.
    pub nodes: Range<u32>,
    /// The splices declared in it, and where.
    pub splices: BTreeMap<String, (u32, At)>,
    pub descriptions: BTreeMap<String, Inline>,
}

pub(super) struct NodeDecl {
    pub at: At,
    pub scope: u32,
    pub role: Role,
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
    /// The DAG file of a SUBDAG.
    Subdag(String, At),
}

/// An inline description: a line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inline {
    pub file: u32,
    pub line: u32,
}

/// PARENT … CHILD ….
pub(super) struct EdgesDecl {
    pub scope: u32,
    pub strength: Strength,
    pub parents: Vec<(String, At)>,
    pub children: Vec<(String, At)>,
}

/// CONNECT.
pub(super) struct ConnectDecl {
    pub scope: u32,
    pub from: (String, At),
    pub to: (String, At),
}

/// PIN_IN or PIN_OUT.
pub(super) struct PinDecl {
    pub scope: u32,
    pub side: PinSide,
    pub node: (String, At),
    pub number: u32,
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
        /// As it is said.
        placement: Option<Placement>,
    },
    Priority(i64),
    Done,
    Pre(Box<Script>),
    Post(Box<Script>),
    Hold(Box<Script>),
    PreSkip(i32),
    AbortOn(AbortOn),
    Tolerance(Tolerance),
    Category(String),
    /// The file, where one is named, and the name of the DAG file that says so.
    SavePoint(Option<String>, String),
}

pub(super) struct ChangeDecl {
    pub scope: u32,
    pub node: String,
    pub at: At,
    pub change: Change,
}

/// MAXJOBS.
pub(super) struct LimitDecl {
    pub scope: u32,
    pub category: String,
    pub at: At,
    pub limit: u32,
}

/// What a line says about the DAG as a whole.
pub(super) enum Whole {
    Config(String),
    JobstateLog(String),
    Dot {
        file: String,
        update: bool,
        overwrite: bool,
        include: Option<(String, At)>,
    },
    NodeStatus {
        file: String,
        interval_s: u32,
        always: bool,
    },
    SetJobAttr(String),
    Env(EnvAction, String),
}

pub(super) struct WholeDecl {
    pub at: At,
    pub whole: Whole,
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
