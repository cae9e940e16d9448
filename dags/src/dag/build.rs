//! From declarations to a checked DAG: names resolved, descriptions and studies read once each, the
//! graph in order.

use std::collections::BTreeMap;

use self::changes::Categories;
use self::texts::Texts;
use self::whole::Said;
use super::command::{Done, Mode};
use super::declare::{At, DescriptionDecl, NodeDecl, Scope};
use super::graph::Graph;
use super::read::Reader;
use super::rescue::{self, Says};
use super::{Checked, Dag, External, Loading, Node, NodeKind, NodeStart, Reads, Role, Scripts};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::files::{Files, join, parent};

mod changes;
mod edges;
mod late;
mod sample;
mod subdags;
mod texts;
mod whole;

/// Nodes that are compared for the likely meaning of an unknown name.
const COMPARED_MAX: usize = 10_000;

/// See [`Dag::check`].
pub(super) fn load(loading: &Loading<'_>, files: &dyn Files, external: External) -> Checked {
    let mut loaded = load_one(loading, files, external);
    let mut diagnostics = std::mem::take(&mut loaded.diagnostics);
    match external {
        External::Read => subdags::check(loading, &loaded, files, &mut diagnostics),
        External::Leave => {}
    }
    let counts = loaded.dag.as_ref().map(Dag::summary);
    let usable = external == External::Read && !diagnostics.has_errors();
    Checked {
        dag: loaded.dag.filter(|_| usable),
        counts,
        diagnostics,
    }
}

/// A DAG file, without those of its sub-DAGs.
struct Loaded<'f> {
    /// As far as it goes: only without errors it is one.
    dag: Option<Dag>,
    diagnostics: Diagnostics,
    subdags: Vec<Subdag>,
    /// Knows the places of what was read.
    reader: Reader<'f>,
}

/// A sub-DAG: its file, what its paths are relative to, and who names it.
struct Subdag {
    path: String,
    dir: String,
    at: At,
}

pub(super) use late::of_job;

fn subdag(file: &str, reads: Reads) -> NodeKind {
    NodeKind::Subdag {
        file: file.to_owned(),
        reads,
    }
}

fn load_one<'f>(loading: &Loading<'_>, files: &'f dyn Files, external: External) -> Loaded<'f> {
    let Loading { path, dir, rescue } = *loading;
    let dir = dir.unwrap_or_else(|| parent(path)).to_owned();
    let mut reader = Reader::new(dir.clone(), files);
    let text = match files.read(path) {
        Ok(text) => text,
        Err(reason) => {
            let message = format!("the DAG file cannot be read: {reason}");
            return Loaded {
                dag: None,
                diagnostics: Diagnostic::of_file(Code::DagUnreadable, path, message).into(),
                subdags: Vec::new(),
                reader,
            };
        }
    };
    reader.file(path, text);
    let mut builder = Builder {
        reader,
        texts: Texts::default(),
        subdags: Vec::new(),
        external,
        late: Vec::new(),
        node_next: 0,
    };
    let dag = builder.dag(path, dir, rescue);
    let mut diagnostics = std::mem::take(&mut builder.reader.diagnostics);
    let usable = external == External::Read && !diagnostics.has_errors();
    if let Some(dag) = dag.as_ref().filter(|_| usable) {
        diagnostics.append(sample::try_out(dag));
    }
    Loaded {
        dag,
        diagnostics,
        subdags: builder.subdags,
        reader: builder.reader,
    }
}

struct Builder<'f> {
    reader: Reader<'f>,
    texts: Texts,
    subdags: Vec<Subdag>,
    external: External,
    late: Vec<late::Late>,
    /// The number of the node that is being built.
    node_next: u32,
}

impl Builder<'_> {
    fn dag(&mut self, path: &str, dir: String, rescue: Option<&str>) -> Option<Dag> {
        let declared = std::mem::take(&mut self.reader.declared);
        if declared.nodes.is_empty() && !self.reader.diagnostics.has_errors() {
            let message = "the DAG declares no nodes".to_owned();
            let diagnostic = Diagnostic::of_file(Code::NoNodes, path, message);
            self.reader.diagnostics.push(diagnostic);
        }
        self.roles(&declared.nodes, &declared.scopes);
        let mut full: Vec<&str> = vec![""; declared.nodes.len()];
        for (name, at) in &declared.by_name {
            full[*at as usize] = name;
        }
        let mut nodes = Vec::with_capacity(declared.nodes.len());
        for (decl, name) in declared.nodes.iter().zip(full) {
            self.node_next = crate::source::narrow(nodes.len());
            nodes.push(self.node(decl, name, &declared.scopes));
        }
        let names = Names {
            scopes: &declared.scopes,
            by_name: &declared.by_name,
            scope_of: declared.nodes.iter().map(|decl| decl.scope).collect(),
        };
        let mut said = Said::default();
        said.hear_all(&mut self.reader, &dir, declared.whole);
        let mut categories = Categories::default();
        changes::apply_all(
            &mut self.reader,
            &names,
            &mut nodes,
            &mut categories,
            declared.changes,
            said.config.vars,
        );
        let (reader, scopes) = (&mut self.reader, &declared.scopes);
        changes::limit(reader, scopes, &nodes, &mut categories, declared.limits);
        if let Some(rescue) = rescue {
            self.rescue(rescue, &names, &mut nodes);
        }
        let (order, path_len) = self.graph(
            &names,
            &mut nodes,
            declared.edges,
            declared.connects,
            &declared.pins,
        )?;
        if self.external == External::Read && !self.reader.diagnostics.has_errors() {
            self.texts.load_items(&self.reader, &nodes);
        }
        let splices = declared.scopes.len().saturating_sub(1);
        let late = std::mem::take(&mut self.late);
        let dag = Dag {
            file: path.to_owned(),
            dir,
            nodes,
            submits: std::mem::take(&mut self.texts.submits),
            studies: std::mem::take(&mut self.texts.studies),
            order,
            path_len,
            categories: categories.list,
            settings: said.config.settings,
            environment: said.environment,
            attributes: said.attributes,
            papers: said.papers,
            splices: crate::source::narrow(splices),
        };
        late::judge(&mut self.reader, &dag, late);
        Some(dag)
    }

    /// Ties the nodes, adds the joins, and finds the order and the longest ways.
    fn graph(
        &mut self,
        names: &Names<'_>,
        nodes: &mut Vec<Node>,
        edges: Vec<super::declare::EdgesDecl>,
        connects: Vec<super::declare::ConnectDecl>,
        pins: &[super::declare::PinDecl],
    ) -> Option<(Vec<u32>, Vec<u32>)> {
        let mut edges = edges::tie_all(&mut self.reader, names, nodes, edges, connects, pins)?;
        let named = crate::source::narrow(nodes.len());
        let graph = Graph::new(
            named,
            edges.joins,
            std::mem::take(&mut edges.strong),
            std::mem::take(&mut edges.weak),
        );
        let order = match graph.order() {
            Ok(order) => order,
            Err(circles) => {
                edges.circles(&mut self.reader, &circles, nodes);
                Vec::new()
            }
        };
        let path_len = graph.path_len(&order);
        nodes.extend((0..edges.joins).map(|_| plain(String::new(), NodeKind::Join)));
        let strong = graph.strong.parents.into_iter().zip(graph.strong.children);
        let weak = graph.weak.parents.into_iter().zip(graph.weak.children);
        for ((node, (parents, children)), (weak_parents, weak_children)) in
            nodes.iter_mut().zip(strong).zip(weak)
        {
            node.parents = parents;
            node.children = children;
            node.weak_parents = weak_parents;
            node.weak_children = weak_children;
        }
        Some((order, path_len))
    }

    /// Reports FINAL, PROVISIONER and SERVICE nodes where they may not be.
    fn roles(&mut self, nodes: &[NodeDecl], scopes: &[Scope]) {
        let mut first: BTreeMap<u8, ()> = BTreeMap::new();
        for decl in nodes {
            let (command, only) = match decl.role {
                Role::Normal | Role::Service => continue,
                Role::Final => ("FINAL", 0),
                Role::Provisioner => ("PROVISIONER", 1),
            };
            let message = if decl.role == Role::Final && decl.scope > 0 {
                let splice = scopes[decl.scope as usize].prefix.trim_end_matches('+');
                format!("the splice `{splice}` has a FINAL node, which only a whole DAG may have")
            } else if first.insert(only, ()).is_some() {
                format!("there is a {command} node already")
            } else if decl.role == Role::Final && decl.done == Done::Yes {
                "a FINAL node is not DONE before the run".to_owned()
            } else {
                continue;
            };
            refuse(&mut self.reader, Code::SpecialNode, decl.at, message);
        }
    }

    /// A node as declared. One whose files cannot be used keeps a place: the DAG is refused in the
    /// end.
    fn node(&mut self, decl: &NodeDecl, name: &str, scopes: &[Scope]) -> Node {
        let scope_dir = &scopes[decl.scope as usize].dir;
        let dir = match &decl.dir {
            Some(dir) => join(scope_dir, dir),
            None => scope_dir.clone(),
        };
        let mut node = plain(name.to_owned(), self.kind(decl, &dir, scopes));
        node.dir = dir;
        node.role = decl.role;
        if decl.done == Done::Yes {
            node.start = NodeStart::Done;
        }
        for (name, value) in self.reader.frames.vars_of(decl.at.frame) {
            let old = node.vars.iter_mut();
            let mut old = old.filter(|(old, _)| old.eq_ignore_ascii_case(name));
            match old.next() {
                Some(old) => value.clone_into(&mut old.1),
                None => node.vars.push((name.to_owned(), value.to_owned())),
            }
        }
        let file = &self.reader.read[decl.at.file as usize];
        node.line = file.lines[decl.at.line as usize].number;
        node
    }

    fn kind(&mut self, decl: &NodeDecl, dir: &str, scopes: &[Scope]) -> NodeKind {
        let (texts, reader) = (&mut self.texts, &mut self.reader);
        if self.external == External::Leave && decl.mode == Mode::Run {
            return match (&decl.study, &decl.description) {
                (Some(_), _) => NodeKind::Study {
                    submit: 0,
                    study: 0,
                },
                (None, DescriptionDecl::Subdag(file, _)) => subdag(file, Reads::Dag),
                (None, _) => NodeKind::Job { submit: 0 },
            };
        }
        match (&decl.study, decl.mode, &decl.description) {
            (None, Mode::Noop, _) => NodeKind::Noop,
            (Some((file, at)), _, description) => {
                let submit = texts.submit_of(reader, dir, description, scopes, decl.scope);
                let study = texts.study(reader, dir, file, *at).unwrap_or(0);
                NodeKind::Study { submit, study }
            }
            (None, Mode::Run, DescriptionDecl::Subdag(file, at)) => {
                self.subdags.push(Subdag {
                    path: join(dir, file),
                    dir: dir.to_owned(),
                    at: *at,
                });
                subdag(file, Reads::Dag)
            }
            (None, Mode::Run, DescriptionDecl::Named(file, at))
                if texts::is_late(reader, dir, file, scopes, decl.scope) =>
            {
                self.late.push(late::Late {
                    node: self.node_next,
                    path: join(dir, file),
                    at: *at,
                });
                subdag(file, Reads::Submit)
            }
            (None, Mode::Run, description) => {
                let submit = texts.submit_of(reader, dir, description, scopes, decl.scope);
                NodeKind::Job { submit }
            }
        }
    }

    /// Applies a rescue or save file.
    fn rescue(&mut self, path: &str, names: &Names<'_>, nodes: &mut [Node]) {
        let text = match self.reader.files.read(path) {
            Ok(text) => text,
            Err(reason) => {
                let message = format!("the rescue file cannot be read: {reason}");
                let diagnostic = Diagnostic::of_file(Code::BadRescue, path, message);
                self.reader.diagnostics.push(diagnostic);
                return;
            }
        };
        let (lines, source, diagnostics) = rescue::read(path, text);
        self.reader.diagnostics.append(diagnostics);
        for line in &lines {
            let diagnostics = &mut self.reader.diagnostics;
            let Some(node) = names.by_name.get(&line.node) else {
                let likely = names.likely(diagnostics, "", &line.node);
                let message = format!("no node of the DAG is named `{}`", line.node);
                let diagnostic = rescue::error(&source, line, message).suggest(likely);
                diagnostics.push(diagnostic);
                continue;
            };
            let node = &mut nodes[*node as usize];
            match line.says {
                Says::Done if node.role == Role::Final => {
                    let message = format!("`{}` is the FINAL node, which is never DONE", line.node);
                    diagnostics.push(rescue::error(&source, line, message));
                }
                Says::Done => node.start = NodeStart::Done,
                Says::Retry(left) => node.retry = left,
            }
        }
    }
}

/// What names mean.
pub(super) struct Names<'a> {
    scopes: &'a [Scope],
    by_name: &'a BTreeMap<String, u32>,
    /// The scope of each node.
    scope_of: Vec<u32>,
}

impl Names<'_> {
    /// The node with a name in a scope; an unknown name is reported.
    fn find(&self, reader: &mut Reader<'_>, scope: u32, name: &str, at: At) -> Option<u32> {
        let prefix = self.scopes[scope as usize].prefix.as_str();
        let found = match prefix.is_empty() {
            true => self.by_name.get(name),
            false => self.by_name.get(&format!("{prefix}{name}")),
        };
        if found.is_none() {
            let likely = match self.likely(&reader.diagnostics, prefix, name) {
                Some(node) => Some(node),
                None => self.likely_splice(scope, name),
            };
            let message = format!("no node is named `{name}`");
            let diagnostic = reader.error(Code::UnknownNode, at, message).suggest(likely);
            reader.diagnostics.push(diagnostic);
        }
        found.copied()
    }

    /// The likely meaning of an unknown name. A suggestion that nobody will read is not looked for.
    fn likely(&self, diagnostics: &Diagnostics, prefix: &str, name: &str) -> Option<&str> {
        if diagnostics.is_full() {
            return None;
        }
        let known = self
            .by_name
            .keys()
            .filter_map(|full| full.strip_prefix(prefix));
        did_you_mean(name, known.take(COMPARED_MAX))
    }

    /// The scope of the splice with a name: `outer+inner` is one inside another.
    fn splice(&self, scope: u32, name: &str) -> Option<u32> {
        let mut scope = scope;
        for part in name.split('+') {
            scope = self.scopes[scope as usize].splices.get(part)?.0;
        }
        Some(scope)
    }

    fn likely_splice(&self, scope: u32, name: &str) -> Option<&str> {
        let splices = self.scopes[scope as usize].splices.keys();
        did_you_mean(name, splices.map(String::as_str))
    }
}

fn refuse(reader: &mut Reader<'_>, code: Code, at: At, message: String) {
    let diagnostic = reader.error(code, at, message);
    reader.diagnostics.push(diagnostic);
}

/// A node of which nothing is said.
fn plain(name: String, kind: NodeKind) -> Node {
    Node {
        name,
        kind,
        role: Role::Normal,
        start: NodeStart::Waiting,
        dir: String::new(),
        vars: Vec::new(),
        vars_before: 0,
        retry: 0,
        retry_unless_exit: None,
        scripts: Scripts::default(),
        pre_skip: None,
        abort_on: None,
        tolerance: None,
        category: None,
        save_point: None,
        priority: 0,
        parents: Vec::new(),
        children: Vec::new(),
        weak_parents: Vec::new(),
        weak_children: Vec::new(),
        line: 0,
    }
}
