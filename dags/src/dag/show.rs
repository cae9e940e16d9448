//! A DAG as lines of text for a terminal: rails on the left, a node in each line. Large ones are
//! shown by groups. Knows no colours and no terminal.

use std::collections::BTreeMap;

use super::{Dag, Node, NodeKind, NodeStart, Reads, Role, picture};
use crate::source::narrow;

mod rails;

/// Nodes that are shown one by one; more are grouped.
const SINGLE_MAX: usize = 60;
/// Lines of groups.
const GROUPS_MAX: usize = 60;
/// Names in a note.
const NAMES_MAX: usize = 3;

/// A line of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Rails and the node's mark.
    pub rail: String,
    /// The node, or the group with how many it has: empty where only rails run.
    pub name: String,
    /// What else is worth knowing.
    pub note: String,
}

/// What is shown as one: a node, a group of them, or a join.
struct Unit {
    name: String,
    note: String,
    mark: char,
    children: Vec<u32>,
}

/// See [`Dag::show`].
pub(super) fn show(dag: &Dag, columns: usize) -> Vec<Shown> {
    let normal: Vec<u32> = (0..narrow(dag.nodes.len()))
        .filter(|at| dag.nodes[*at as usize].role == Role::Normal)
        .collect();
    let named = dag.named().len();
    let singles = named <= SINGLE_MAX;
    let units = match singles {
        true => single(dag, &normal),
        false => grouped(dag),
    };
    let names = units.iter().map(|unit| unit.name.chars().count()).max();
    let lanes_max = columns.saturating_sub(names.unwrap_or(0).min(columns / 2) + 12) / 2;
    let children: Vec<&[u32]> = units.iter().map(|unit| unit.children.as_slice()).collect();
    let rows = rails::draw(&children, &|unit| units[unit as usize].mark, lanes_max);
    let mut shown: Vec<Shown> = match rows {
        Some(rows) => rows
            .into_iter()
            .map(|row| {
                let unit = row.unit.map(|unit| &units[unit as usize]);
                Shown {
                    rail: row.rail,
                    name: unit.map_or_else(String::new, |unit| unit.name.clone()),
                    note: unit.map_or_else(String::new, |unit| unit.note.clone()),
                }
            })
            .collect(),
        None => listed(&units),
    };
    for node in dag.named().iter().filter(|node| node.role != Role::Normal) {
        shown.push(Shown {
            rail: mark(node).to_string(),
            name: node.name.clone(),
            note: note(dag, node),
        });
    }
    for line in &mut shown {
        let rail = line.rail.chars().count();
        let left = columns.saturating_sub(rail + 1).max(8);
        line.name = cut(&line.name, left);
        let left = columns.saturating_sub(rail + 3 + line.name.chars().count());
        line.note = if left < 8 {
            String::new()
        } else {
            cut(&line.note, left)
        };
    }
    shown
}

fn single(dag: &Dag, normal: &[u32]) -> Vec<Unit> {
    let mut place = vec![0_u32; dag.nodes.len()];
    for (at, node) in (0..).zip(normal) {
        place[*node as usize] = at;
    }
    let unit = |at: &u32| {
        let node = &dag.nodes[*at as usize];
        let below = node.children.iter().chain(&node.weak_children);
        let mut children: Vec<u32> = below.map(|child| place[*child as usize]).collect();
        children.sort_unstable();
        Unit {
            name: node.name.clone(),
            note: note(dag, node),
            mark: mark(node),
            children,
        }
    };
    normal.iter().map(unit).collect()
}

/// Groups of nodes that are named alike and equally far from the start, so that no group is before
/// itself; where those are too many, what is equally far.
fn grouped(dag: &Dag) -> Vec<Unit> {
    let depths = picture::depths(dag, 0);
    for pattern in [pattern as fn(&Node) -> String, outermost, |_| String::new()] {
        let units = by(dag, &depths, &pattern);
        if units.len() <= GROUPS_MAX {
            return units;
        }
    }
    let mut units = by(dag, &depths, &|_| String::new());
    let left_out = units.len() - GROUPS_MAX;
    units.truncate(GROUPS_MAX);
    let last = narrow(units.len());
    for unit in &mut units {
        unit.children.retain(|child| *child <= last);
    }
    units.push(Unit {
        name: format!("… {left_out} more layers"),
        note: String::new(),
        mark: '⋮',
        children: Vec::new(),
    });
    units
}

fn by(dag: &Dag, depths: &[u32], pattern: &dyn Fn(&Node) -> String) -> Vec<Unit> {
    let named = dag.named();
    let mut place: BTreeMap<(u32, String), u32> = BTreeMap::new();
    let mut group_of = vec![u32::MAX; dag.nodes.len()];
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (at, node) in (0..).zip(named) {
        if node.role != Role::Normal {
            continue;
        }
        let key = (depths[at as usize], pattern(node));
        let group = *place.entry(key).or_insert_with(|| {
            members.push(Vec::new());
            narrow(members.len() - 1)
        });
        group_of[at as usize] = group;
        members[group as usize].push(at);
    }
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); members.len()];
    let mut tie = |parents: &mut Vec<u32>, below: &mut Vec<u32>| {
        parents.sort_unstable();
        parents.dedup();
        below.sort_unstable();
        below.dedup();
        for parent in parents {
            children[*parent as usize].extend(below.iter());
        }
    };
    for (at, node) in dag.nodes.iter().enumerate() {
        let group = |node: &u32| group_of[*node as usize];
        let mut below: Vec<u32> = node
            .children
            .iter()
            .chain(&node.weak_children)
            .map(group)
            .filter(|group| *group != u32::MAX)
            .collect();
        let mut above: Vec<u32> = match node.kind == NodeKind::Join {
            true => node.parents.iter().map(group).collect(),
            false => vec![group_of[at]],
        };
        above.retain(|group| *group != u32::MAX);
        tie(&mut above, &mut below);
    }
    let mut units = Vec::with_capacity(members.len());
    for (members, mut children) in members.iter().zip(children) {
        children.sort_unstable();
        children.dedup();
        let first = &named[members[0] as usize];
        let alike = pattern(first);
        let (name, note) = match members.len() {
            1 => (first.name.clone(), note(dag, first)),
            count if alike.is_empty() => (layer(named, members), format!("{count} nodes")),
            count => (format!("{alike} ({count})"), notes(dag, members)),
        };
        units.push(Unit {
            name,
            note,
            mark: mark(first),
            children,
        });
    }
    units
}

/// The units without rails, each with those it waits for.
fn listed(units: &[Unit]) -> Vec<Shown> {
    let mut parents: Vec<Vec<&str>> = vec![Vec::new(); units.len()];
    for unit in units {
        for child in &unit.children {
            parents[*child as usize].push(&unit.name);
        }
    }
    let shown = units
        .iter()
        .zip(parents)
        .filter(|(unit, _)| unit.mark != JOIN);
    shown
        .map(|(unit, parents)| {
            let some = parents
                .iter()
                .filter(|name| !name.is_empty())
                .take(NAMES_MAX);
            let some: Vec<&str> = some.copied().collect();
            let more = parents.len().saturating_sub(NAMES_MAX);
            let mut note = match some.is_empty() {
                true => String::new(),
                false => format!("after {}", some.join(", ")),
            };
            if more > 0 && !note.is_empty() {
                note.push_str(&format!(" and {more} more"));
            }
            Shown {
                rail: unit.mark.to_string(),
                name: unit.name.clone(),
                note,
            }
        })
        .collect()
}

const JOIN: char = '·';

fn mark(node: &Node) -> char {
    match (&node.kind, node.role) {
        (NodeKind::Join, _) => JOIN,
        (_, Role::Final) => '■',
        (_, Role::Provisioner | Role::Service) => '□',
        (
            NodeKind::Job { .. }
            | NodeKind::Subdag {
                reads: Reads::Submit,
                ..
            },
            Role::Normal,
        ) => '●',
        (NodeKind::Study { .. }, Role::Normal) => '◆',
        (NodeKind::Noop, Role::Normal) => '○',
        (
            NodeKind::Subdag {
                reads: Reads::Dag, ..
            },
            Role::Normal,
        ) => '▣',
    }
}

fn note(dag: &Dag, node: &Node) -> String {
    let mut notes = Vec::new();
    match node.role {
        Role::Normal => {}
        Role::Final => notes.push("final".to_owned()),
        Role::Provisioner => notes.push("provisioner".to_owned()),
        Role::Service => notes.push("service".to_owned()),
    }
    match &node.kind {
        NodeKind::Study { study, .. } => {
            let trials = dag.studies[*study as usize].trials;
            notes.push(format!("study of {trials} trials"));
        }
        NodeKind::Subdag {
            file,
            reads: Reads::Dag,
        } => notes.push(format!("sub-DAG {file}")),
        NodeKind::Subdag {
            file,
            reads: Reads::Submit,
        } => notes.push(format!("{file} is not there yet")),
        NodeKind::Noop => notes.push("noop".to_owned()),
        NodeKind::Job { .. } | NodeKind::Join => {}
    }
    if !node.weak_parents.is_empty() {
        notes.push("waits weakly".to_owned());
    }
    if node.start == NodeStart::Done {
        notes.push("done".to_owned());
    }
    notes.join(", ")
}

/// What the members of a group have in common.
fn notes(dag: &Dag, members: &[u32]) -> String {
    let note_of = |at: &u32| note(dag, &dag.nodes[*at as usize]);
    let first = note_of(&members[0]);
    match members.iter().all(|at| note_of(at) == first) {
        true => first,
        false => String::new(),
    }
}

/// A name with what tells it from its neighbours left out: the values of FOREACH, and numbers.
fn pattern(node: &Node) -> String {
    let mut name = node.name.clone();
    for (_, value) in node.vars.iter().skip(node.vars_before as usize) {
        if value.len() > 1 {
            name = name.replace(value.as_str(), "*");
        }
    }
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c.is_ascii_digit() { '*' } else { c };
        if c != '*' || !out.ends_with('*') {
            out.push(c);
        }
    }
    out
}

/// As [`pattern`], with all that is inside a splice as one.
fn outermost(node: &Node) -> String {
    let pattern = pattern(node);
    match pattern.split_once('+') {
        Some((splice, _)) => format!("{splice}+…"),
        None => pattern,
    }
}

/// The name of a layer: its first node and its last.
fn layer(named: &[Node], members: &[u32]) -> String {
    let name = |at: Option<&u32>| at.map_or("", |at| named[*at as usize].name.as_str());
    format!("{} … {}", name(members.first()), name(members.last()))
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(chars.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
