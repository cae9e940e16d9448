//! Who waits for whom: PARENT … CHILD … with splices and joins, and CONNECT with its pins.

use std::collections::BTreeMap;

use super::super::command::{PinSide, Strength};
use super::super::declare::{At, ConnectDecl, EdgesDecl, PinDecl};
use super::super::read::Reader;
use super::super::{EDGES_MAX, Node, Role};
use super::{Names, refuse};
use crate::diagnostic::Code;
use crate::source::narrow;

/// Nodes of a circle that are named in its error.
const CIRCLE_NODES_MAX: usize = 20;

/// All edges, as pairs of parent and child.
#[derive(Default)]
pub(super) struct Edges {
    pub strong: Vec<(u32, u32)>,
    pub weak: Vec<(u32, u32)>,
    /// How many joins there are; they come after the named nodes.
    pub joins: u32,
    lines: Vec<EdgeLine>,
    has_parent: Vec<bool>,
    has_child: Vec<bool>,
    /// Per scope, what a splice begins and ends with.
    ends: BTreeMap<u32, Ends>,
    over_limit: bool,
}

/// The nodes of one line, resolved.
struct EdgeLine {
    parents: Vec<(u32, At)>,
    children: Vec<u32>,
}

/// The nodes of a splice that wait for none in it, and those that none in it waits for.
struct Ends {
    initial: Vec<u32>,
    terminal: Vec<u32>,
}

/// On which side of a line a name stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Parent,
    Child,
}

/// Ties the nodes of all scopes, the inner ones first. `None` when there are too many edges.
pub(super) fn tie_all(
    reader: &mut Reader<'_>,
    names: &Names<'_>,
    nodes: &[Node],
    edges: Vec<EdgesDecl>,
    connects: Vec<ConnectDecl>,
    pins: &[PinDecl],
) -> Option<Edges> {
    let mut all = Edges {
        has_parent: vec![false; nodes.len()],
        has_child: vec![false; nodes.len()],
        ..Edges::default()
    };
    let mut of_scope: BTreeMap<u32, (Vec<EdgesDecl>, Vec<ConnectDecl>)> = BTreeMap::new();
    for decl in edges {
        of_scope.entry(decl.scope).or_default().0.push(decl);
    }
    for decl in connects {
        of_scope.entry(decl.scope).or_default().1.push(decl);
    }
    let pins = Pins::new(reader, names, nodes, pins);
    for scope in (0..narrow(names.scopes.len())).rev() {
        let (edges, connects) = of_scope.remove(&scope).unwrap_or_default();
        for decl in edges {
            let parents = all.names(reader, names, nodes, scope, &decl.parents, Place::Parent);
            let children = all.names(reader, names, nodes, scope, &decl.children, Place::Child);
            all.tie(reader, nodes, decl.strength, parents, &children);
        }
        for decl in connects {
            all.connect(reader, names, nodes, &pins, &decl);
        }
        if all.over_limit {
            return None;
        }
        let range = names.scopes[scope as usize].nodes.clone();
        let plain = |at: &u32| nodes[*at as usize].role == Role::Normal;
        let free = |of: &[bool]| -> Vec<u32> {
            let nodes = range.clone().filter(plain);
            nodes.filter(|at| !of[*at as usize]).collect()
        };
        if scope > 0 {
            let (initial, terminal) = (free(&all.has_parent), free(&all.has_child));
            all.ends.insert(scope, Ends { initial, terminal });
        }
    }
    Some(all)
}

impl Edges {
    /// The nodes that the names of a line mean.
    fn names(
        &self,
        reader: &mut Reader<'_>,
        names: &Names<'_>,
        nodes: &[Node],
        scope: u32,
        words: &[(String, At)],
        place: Place,
    ) -> Vec<(u32, At)> {
        let mut found = Vec::with_capacity(words.len());
        for (name, at) in words {
            if let Some(splice) = names.splice(scope, name) {
                let ends = self.ends.get(&splice).map(|ends| match place {
                    Place::Parent => &ends.terminal,
                    Place::Child => &ends.initial,
                });
                found.extend(ends.into_iter().flatten().map(|node| (*node, *at)));
                continue;
            }
            let Some(node) = names.find(reader, scope, name, *at) else {
                continue;
            };
            let what = match nodes[node as usize].role {
                Role::Normal => {
                    found.push((node, *at));
                    continue;
                }
                Role::Final => "the FINAL node",
                Role::Provisioner => "the PROVISIONER node",
                Role::Service => "a SERVICE node",
            };
            let message = format!("`{name}` is {what}, which has neither parents nor children");
            refuse(reader, Code::SpecialNode, *at, message);
        }
        found.sort_by_key(|(node, _)| *node);
        found.dedup_by_key(|(node, _)| *node);
        found
    }

    /// Makes all of some nodes the parents of all of some others.
    fn tie(
        &mut self,
        reader: &mut Reader<'_>,
        nodes: &[Node],
        strength: Strength,
        parents: Vec<(u32, At)>,
        children: &[(u32, At)],
    ) {
        let mut own_parent = false;
        for (parent, at) in &parents {
            if children
                .binary_search_by_key(parent, |(child, _)| *child)
                .is_ok()
            {
                let name = &nodes[*parent as usize].name;
                let message = format!("the node `{name}` is its own parent");
                refuse(reader, Code::SelfParent, *at, message);
                own_parent = true;
            }
        }
        let (Some((_, at)), false) = (parents.first(), own_parent || children.is_empty()) else {
            return;
        };
        let joined = strength == Strength::Strong && parents.len() > 1 && children.len() > 1;
        let more = match joined {
            true => parents.len() + children.len(),
            false => parents.len().saturating_mul(children.len()),
        };
        if self.over_limit || self.strong.len() + self.weak.len() + more > EDGES_MAX {
            if !self.over_limit {
                let message = format!("a DAG has at most {EDGES_MAX} edges");
                refuse(reader, Code::DagTooLarge, *at, message);
            }
            self.over_limit = true;
            return;
        }
        if joined {
            let join = narrow(nodes.len()) + self.joins;
            self.joins += 1;
            self.strong
                .extend(parents.iter().map(|(parent, _)| (*parent, join)));
            self.strong
                .extend(children.iter().map(|(child, _)| (join, *child)));
        } else {
            let pairs = match strength {
                Strength::Strong => &mut self.strong,
                Strength::Weak => &mut self.weak,
            };
            for (parent, _) in &parents {
                pairs.extend(children.iter().map(|(child, _)| (*parent, *child)));
            }
        }
        for (parent, _) in &parents {
            self.has_child[*parent as usize] = true;
        }
        for (child, _) in children {
            self.has_parent[*child as usize] = true;
        }
        let children = children.iter().map(|(child, _)| *child).collect();
        self.lines.push(EdgeLine { parents, children });
    }

    /// CONNECT: what is on a pin of the one splice becomes the parents of what is on that pin of
    /// the other.
    fn connect(
        &mut self,
        reader: &mut Reader<'_>,
        names: &Names<'_>,
        nodes: &[Node],
        pins: &Pins,
        decl: &ConnectDecl,
    ) {
        let mut sides = Vec::with_capacity(2);
        for (name, at) in [&decl.from, &decl.to] {
            match names.splice(decl.scope, name) {
                Some(splice) => sides.push(splice),
                None => {
                    let message = format!("CONNECT ties splices, and no splice is named `{name}`");
                    let likely = names.likely_splice(decl.scope, name);
                    let diagnostic = reader.error(Code::BadPin, *at, message);
                    reader.diagnostics.push(diagnostic.suggest(likely));
                }
            }
        }
        let [from, to] = sides[..] else {
            return;
        };
        let empty = BTreeMap::new();
        let outs = pins.of.get(&(from, Place::Parent)).unwrap_or(&empty);
        let ins = pins.of.get(&(to, Place::Child)).unwrap_or(&empty);
        let mut wrong = Vec::new();
        for (of, pins, command) in [(&decl.from.0, outs, "PIN_OUT"), (&decl.to.0, ins, "PIN_IN")] {
            let gap = (1..).zip(pins.keys()).find(|(number, pin)| number != *pin);
            if pins.is_empty() {
                wrong.push(format!("the splice `{of}` has no {command}"));
            } else if let Some((number, _)) = gap {
                wrong.push(format!("the splice `{of}` has no {command} {number}"));
            }
        }
        if wrong.is_empty() && outs.len() != ins.len() {
            wrong.push(format!(
                "`{}` has {} PIN_OUT and `{}` {} PIN_IN: they do not fit",
                decl.from.0,
                outs.len(),
                decl.to.0,
                ins.len()
            ));
        }
        let initial = self.ends.get(&to).map_or(&[][..], |ends| &ends.initial);
        let loose = initial
            .iter()
            .find(|node| !ins.values().any(|pinned| pinned.contains(*node)));
        if let (true, Some(node)) = (wrong.is_empty(), loose) {
            let name = &nodes[*node as usize].name;
            wrong.push(format!(
                "`{name}` waits for nothing in its splice and is on no PIN_IN"
            ));
        }
        for message in &wrong {
            refuse(reader, Code::BadPin, decl.from.1, message.clone());
        }
        if wrong.is_empty() {
            for (parents, children) in outs.values().zip(ins.values()) {
                let placed = |nodes: &[u32]| -> Vec<(u32, At)> {
                    nodes.iter().map(|node| (*node, decl.from.1)).collect()
                };
                let (parents, children) = (placed(parents), placed(children));
                self.tie(reader, nodes, Strength::Strong, parents, &children);
            }
        }
    }

    /// Reports circles, each at the line that closes it.
    pub fn circles(&self, reader: &mut Reader<'_>, circles: &[Vec<u32>], nodes: &[Node]) {
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
            let at = self.lines.iter().find_map(|line| {
                let (_, at) = line.parents.iter().find(|(parent, _)| parent == last)?;
                line.children.contains(first).then_some(*at)
            });
            if let Some(at) = at {
                refuse(reader, Code::Cycle, at, message);
            }
        }
    }
}

/// The pins of all splices: per splice and side, the nodes on each number. Sorted, distinct.
struct Pins {
    of: BTreeMap<(u32, Place), BTreeMap<u32, Vec<u32>>>,
}

impl Pins {
    fn new(reader: &mut Reader<'_>, names: &Names<'_>, nodes: &[Node], decls: &[PinDecl]) -> Self {
        let mut of: BTreeMap<(u32, Place), BTreeMap<u32, Vec<u32>>> = BTreeMap::new();
        for decl in decls {
            let (name, at) = &decl.node;
            let Some(node) = names.find(reader, decl.scope, name, *at) else {
                continue;
            };
            if nodes[node as usize].role != Role::Normal {
                let message = format!("`{name}` has neither parents nor children, so no pins");
                refuse(reader, Code::SpecialNode, *at, message);
                continue;
            }
            let side = match decl.side {
                PinSide::Out => Place::Parent,
                PinSide::In => Place::Child,
            };
            let pins = of.entry((decl.scope, side)).or_default();
            let on = pins.entry(decl.number).or_default();
            if let Err(place) = on.binary_search(&node) {
                on.insert(place, node);
            }
        }
        Self { of }
    }
}
