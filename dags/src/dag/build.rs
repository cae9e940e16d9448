//! From declarations to a checked DAG: names resolved, descriptions and studies read once each, the
//! graph in order.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Done, Mode};
use super::declare::{At, Change, DescriptionDecl, EdgesDecl, Inline, NodeDecl};
use super::graph::Graph;
use super::lines::LineKind;
use super::read::Reader;
use super::words::is_keyword;
use super::{Dag, EDGES_MAX, Node, NodeKind, NodeStart};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::files::{Files, InDir, join, parent};
use crate::source::{Source, narrow};
use crate::study::StudySpec;
use crate::submit::{Macros, Placement, Submit};

/// Different kinds of jobs whose descriptions are tried out.
const TRIED_MAX: usize = 1_000;
/// Nodes of a circle that are named in its error.
const CIRCLE_NODES_MAX: usize = 20;
/// Nodes that are compared for the likely meaning of an unknown name.
const COMPARED_MAX: usize = 10_000;

/// See [`Dag::load`].
pub(super) fn load(path: &str, files: &dyn Files) -> (Option<Dag>, Diagnostics) {
    let text = match files.read(path) {
        Ok(text) => text,
        Err(reason) => {
            let message = format!("the DAG file cannot be read: {reason}");
            return (
                None,
                Diagnostic::of_file(Code::DagUnreadable, path, message).into(),
            );
        }
    };
    let dir = parent(path).to_owned();
    let mut reader = Reader::new(dir.clone(), files);
    reader.file(path, text);
    let mut builder = Builder::new(reader);
    let dag = builder.dag(path, dir);
    let mut diagnostics = builder.reader.diagnostics;
    if let Some(dag) = &dag {
        diagnostics.append(try_out(dag));
    }
    (dag.filter(|_| !diagnostics.has_errors()), diagnostics)
}

struct Builder<'f> {
    reader: Reader<'f>,
    submits: Vec<Submit>,
    /// Descriptions by directory and file; `None` where one cannot be used, which is reported once.
    submit_files: BTreeMap<(String, String), Option<u32>>,
    submit_inlines: BTreeMap<(String, Inline), Option<u32>>,
    studies: Vec<StudySpec>,
    study_files: BTreeMap<String, Option<u32>>,
}

impl<'f> Builder<'f> {
    fn new(reader: Reader<'f>) -> Self {
        Self {
            reader,
            submits: Vec::new(),
            submit_files: BTreeMap::new(),
            submit_inlines: BTreeMap::new(),
            studies: Vec::new(),
            study_files: BTreeMap::new(),
        }
    }

    fn dag(&mut self, path: &str, dir: String) -> Option<Dag> {
        let declared = std::mem::take(&mut self.reader.declared);
        if declared.nodes.is_empty() && !self.reader.diagnostics.has_errors() {
            let message = "the DAG declares no nodes".to_owned();
            self.reader
                .diagnostics
                .push(Diagnostic::of_file(Code::NoNodes, path, message));
        }
        let mut names: Vec<String> = vec![String::new(); declared.nodes.len()];
        for (name, at) in &declared.by_name {
            names[*at as usize].clone_from(name);
        }
        let mut nodes = Vec::with_capacity(declared.nodes.len());
        for (decl, name) in declared.nodes.iter().zip(names) {
            nodes.push(self.node(decl, name, &declared.descriptions));
        }
        for change in declared.changes {
            self.change(
                &mut nodes,
                &declared.by_name,
                &change.node,
                change.at,
                &change.change,
            );
        }
        let (pairs, lines) = self.edges(&declared.edges, &declared.by_name, &nodes)?;
        let graph = Graph::new(nodes.len(), pairs);
        let order = match graph.order() {
            Ok(order) => order,
            Err(circles) => {
                self.circles(&circles, &nodes, &lines);
                return None;
            }
        };
        let path_len = graph.path_len(&order);
        for ((node, parents), children) in nodes.iter_mut().zip(graph.parents).zip(graph.children) {
            node.parents = parents;
            node.children = children;
        }
        if self.reader.diagnostics.has_errors() {
            return None;
        }
        self.load_items(&nodes);
        let submits = std::mem::take(&mut self.submits);
        let studies = std::mem::take(&mut self.studies);
        Some(Dag {
            file: path.to_owned(),
            dir,
            nodes,
            submits,
            studies,
            order,
            path_len,
        })
    }

    /// The pairs of all PARENT … CHILD …, and the lines that they come from. `None` when there are
    /// too many.
    fn edges(
        &mut self,
        edges: &[EdgesDecl],
        by_name: &BTreeMap<String, u32>,
        nodes: &[Node],
    ) -> Option<(Vec<Pair>, Vec<EdgeLine>)> {
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        let mut lines = Vec::with_capacity(edges.len());
        for edges in edges {
            let parents = self.resolve(&edges.parents, by_name);
            let children = self.resolve(&edges.children, by_name);
            if pairs.len().saturating_add(parents.len() * children.len()) > EDGES_MAX {
                let message = format!("a DAG has at most {EDGES_MAX} pairs of parent and child");
                self.error(Code::DagTooLarge, edges.parents[0].1, message);
                return None;
            }
            for (parent, at) in &parents {
                for (child, _) in &children {
                    if parent == child {
                        let name = &nodes[*parent as usize].name;
                        let message = format!("the node `{name}` is its own parent");
                        self.error(Code::SelfParent, *at, message);
                    } else {
                        pairs.push((*parent, *child));
                    }
                }
            }
            lines.push((parents, children));
        }
        Some((pairs, lines))
    }

    /// A node as declared. One whose files cannot be used keeps a place: the DAG is refused in the
    /// end.
    fn node(
        &mut self,
        decl: &NodeDecl,
        name: String,
        descriptions: &BTreeMap<String, Inline>,
    ) -> Node {
        let dir = match &decl.dir {
            Some(dir) => join(&self.reader.dir, dir),
            None => self.reader.dir.clone(),
        };
        let submit = match &decl.description {
            DescriptionDecl::Inline(inline) => self.inline(&dir, *inline),
            DescriptionDecl::Named(file, at) => match descriptions.get(file) {
                Some(inline) => self.inline(&dir, *inline),
                None => self.submit(&dir, file, *at),
            },
        };
        let submit = submit.unwrap_or(0);
        let kind = match (&decl.study, decl.mode) {
            (Some((file, at)), _) => {
                let study = self.study(&dir, file, *at).unwrap_or(0);
                NodeKind::Study { submit, study }
            }
            (None, Mode::Run) => NodeKind::Job { submit },
            (None, Mode::Noop) => NodeKind::Noop { submit },
        };
        let mut vars: Vec<(String, String)> = Vec::new();
        for (name, value) in self.reader.frames.vars_of(decl.at.frame) {
            match vars
                .iter_mut()
                .find(|(old, _)| old.eq_ignore_ascii_case(name))
            {
                Some(old) => value.clone_into(&mut old.1),
                None => vars.push((name.to_owned(), value.to_owned())),
            }
        }
        let file = &self.reader.read[decl.at.file as usize];
        Node {
            name,
            kind,
            start: match decl.done {
                Done::Yes => NodeStart::Done,
                Done::No => NodeStart::Waiting,
            },
            dir,
            vars,
            vars_before: 0,
            retry: 0,
            retry_unless_exit: None,
            priority: 0,
            parents: Vec::new(),
            children: Vec::new(),
            line: file.lines[decl.at.line as usize].number,
        }
    }

    fn submit(&mut self, dir: &str, file: &str, at: At) -> Option<u32> {
        let path = join(dir, file);
        let key = (dir.to_owned(), path);
        if let Some(found) = self.submit_files.get(&key) {
            return *found;
        }
        let path = &key.1;
        let found = match self.reader.files.read(path) {
            Ok(text) => {
                let files = InDir {
                    dir,
                    files: self.reader.files,
                };
                let (submit, diagnostics) = Submit::parse(path, &text, &files);
                self.keep(submit, diagnostics)
            }
            Err(reason) => {
                let message = format!("the submit description `{path}` cannot be read: {reason}");
                self.error(Code::SubmitUnreadable, at, message);
                None
            }
        };
        self.submit_files.insert(key, found);
        found
    }

    fn inline(&mut self, dir: &str, inline: Inline) -> Option<u32> {
        let key = (dir.to_owned(), inline);
        if let Some(found) = self.submit_inlines.get(&key) {
            return *found;
        }
        let file = &self.reader.read[inline.file as usize];
        let LineKind::Inline {
            body, body_line, ..
        } = file.lines[inline.line as usize].kind
        else {
            return None;
        };
        let source = Source {
            file: file.source.file.clone(),
            text: file.slice(body).to_owned(),
            line_first: body_line,
        };
        let files = InDir {
            dir,
            files: self.reader.files,
        };
        let (submit, diagnostics) = Submit::parse_part(source, &files);
        let found = self.keep(submit, diagnostics);
        self.submit_inlines.insert(key, found);
        found
    }

    fn keep(&mut self, submit: Submit, diagnostics: Diagnostics) -> Option<u32> {
        let usable = !diagnostics.has_errors();
        self.reader.diagnostics.append(diagnostics);
        let index = narrow(self.submits.len());
        self.submits.push(submit);
        usable.then_some(index)
    }

    fn study(&mut self, dir: &str, file: &str, at: At) -> Option<u32> {
        let path = join(dir, file);
        if let Some(found) = self.study_files.get(&path) {
            return *found;
        }
        let found = match self.reader.files.read(&path) {
            Ok(text) => match StudySpec::parse(&path, &text) {
                Ok(study) => {
                    self.studies.push(study);
                    Some(narrow(self.studies.len() - 1))
                }
                Err(diagnostics) => {
                    self.reader.diagnostics.append(diagnostics);
                    None
                }
            },
            Err(reason) => {
                let message = format!("the study file `{path}` cannot be read: {reason}");
                self.error(Code::StudyUnreadable, at, message);
                None
            }
        };
        self.study_files.insert(path, found);
        found
    }

    fn change(
        &mut self,
        nodes: &mut [Node],
        by_name: &BTreeMap<String, u32>,
        name: &str,
        at: At,
        change: &Change,
    ) {
        if is_keyword(name, "ALL_NODES") {
            if *change == Change::Done {
                self.error(
                    Code::UnknownNode,
                    at,
                    "DONE takes one node, not ALL_NODES".to_owned(),
                );
                return;
            }
            nodes.iter_mut().for_each(|node| apply(node, change));
        } else if let Some(node) = self.find(name, at, by_name) {
            apply(&mut nodes[node as usize], change);
        }
    }

    fn resolve(
        &mut self,
        names: &[(String, At)],
        by_name: &BTreeMap<String, u32>,
    ) -> Vec<(u32, At)> {
        let mut found = Vec::with_capacity(names.len());
        for (name, at) in names {
            if let Some(node) = self.find(name, *at, by_name) {
                found.push((node, *at));
            }
        }
        found
    }

    fn find(&mut self, name: &str, at: At, by_name: &BTreeMap<String, u32>) -> Option<u32> {
        let found = by_name.get(name).copied();
        if found.is_none() {
            // A suggestion that nobody will read is not looked for.
            let compared = match self.reader.diagnostics.is_full() {
                true => 0,
                false => COMPARED_MAX,
            };
            let known = by_name.keys().take(compared).map(String::as_str);
            let suggestion = did_you_mean(name, known);
            let message = format!("no node is named `{name}`");
            let diagnostic = self
                .reader
                .error(Code::UnknownNode, at, message)
                .suggest(suggestion);
            self.reader.diagnostics.push(diagnostic);
        }
        found
    }

    fn circles(&mut self, circles: &[Vec<u32>], nodes: &[Node], lines: &[EdgeLine]) {
        for circle in circles {
            let (Some(first), Some(last)) = (circle.first(), circle.last()) else {
                continue;
            };
            let mut shown: Vec<&str> = circle
                .iter()
                .take(CIRCLE_NODES_MAX)
                .map(|at| nodes[*at as usize].name.as_str())
                .collect();
            if circle.len() > CIRCLE_NODES_MAX {
                shown.push("…");
            }
            shown.push(&nodes[*first as usize].name);
            let message = format!("these nodes wait for each other: {}", shown.join(" → "));
            // The line that closes the circle.
            let at = lines.iter().find_map(|(parents, children)| {
                let (_, at) = parents.iter().find(|(parent, _)| parent == last)?;
                children
                    .iter()
                    .any(|(child, _)| child == first)
                    .then_some(*at)
            });
            if let Some(at) = at {
                self.error(Code::Cycle, at, message);
            }
        }
    }

    /// Reads the item files whose names depend on a node's macros.
    fn load_items(&mut self, nodes: &[Node]) {
        for node in nodes {
            let submit = &mut self.submits[node.kind.submit() as usize];
            for (_, value) in node.vars.iter().filter(|(_, value)| value.contains('$')) {
                submit.ask(value, self.reader.files);
            }
            if submit.has_item_file() {
                let files = InDir {
                    dir: &node.dir,
                    files: self.reader.files,
                };
                submit.load_items(&node.macros(), &files);
            }
        }
    }

    fn error(&mut self, code: Code, at: At, message: String) {
        let diagnostic = self.reader.error(code, at, message);
        self.reader.diagnostics.push(diagnostic);
    }
}

/// A parent and its child.
type Pair = (u32, u32);
/// The nodes of one PARENT … CHILD …, resolved.
type EdgeLine = (Vec<(u32, At)>, Vec<(u32, At)>);

fn apply(node: &mut Node, change: &Change) {
    match change {
        Change::Retry { max, unless_exit } => {
            node.retry = *max;
            node.retry_unless_exit = *unless_exit;
        }
        Change::Priority(priority) => node.priority = *priority,
        Change::Done => node.start = NodeStart::Done,
        Change::Vars { pairs, placement } => {
            for (name, value) in pairs {
                set_var(node, name, value, *placement);
            }
        }
    }
}

/// Gives a variable its last value, in its last place.
fn set_var(node: &mut Node, name: &str, value: &str, placement: Placement) {
    if let Some(at) = node
        .vars
        .iter()
        .position(|(old, _)| old.eq_ignore_ascii_case(name))
    {
        node.vars.remove(at);
        if at < node.vars_before as usize {
            node.vars_before -= 1;
        }
    }
    let pair = (name.to_owned(), value.to_owned());
    match placement {
        Placement::Before => {
            node.vars.insert(node.vars_before as usize, pair);
            node.vars_before += 1;
        }
        Placement::After => node.vars.push(pair),
    }
}

/// Tries out the description of each kind of node that differs in description or in the names of
/// its macros.
fn try_out(dag: &Dag) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let mut tried: BTreeSet<String> = BTreeSet::new();
    let mut said: BTreeSet<(String, u32, u32, String)> = BTreeSet::new();
    for (at, node) in (0..).zip(&dag.nodes) {
        if let NodeKind::Noop { .. } = node.kind {
            continue;
        }
        let macros = dag.sample_macros(at);
        let names: Vec<&str> = macros.iter().map(|given| given.name.as_str()).collect();
        let key = format!("{} {}", node.kind.submit(), names.join(" "));
        if tried.len() >= TRIED_MAX || !tried.insert(key) {
            continue;
        }
        for found in dag.submit_of(at).check(&macros).iter() {
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
        for parent in &self.nodes[node as usize].parents {
            let Some(study) = self.study_of(*parent) else {
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
            for name in super::TRIAL_MACROS {
                macros.insert(name, 0);
            }
        }
        macros
    }
}
