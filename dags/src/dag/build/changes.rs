//! What later lines say about declared nodes, and the limits of categories.

use std::collections::BTreeMap;

use super::super::declare::{Change, ChangeDecl, LimitDecl, Scope};
use super::super::read::Reader;
use super::super::words::is_keyword;
use super::super::{Category, Node, NodeStart, Role};
use super::{Names, refuse};
use crate::diagnostic::{Code, did_you_mean};
use crate::source::narrow;
use crate::submit::Placement;

/// Categories by name, each with its place.
#[derive(Default)]
pub(super) struct Categories {
    pub list: Vec<Category>,
    by_name: BTreeMap<String, u32>,
}

impl Categories {
    /// The place of a category, which is made where there is none.
    fn place(&mut self, name: String) -> u32 {
        if let Some(place) = self.by_name.get(&name) {
            return *place;
        }
        let place = narrow(self.list.len());
        self.list.push(Category {
            name: name.clone(),
            limit: None,
        });
        self.by_name.insert(name, place);
        place
    }
}

/// Says of each node what its lines say. Those of a splice come before those of the files around
/// it, so that the outer ones win.
pub(super) fn apply_all(
    reader: &mut Reader<'_>,
    names: &Names<'_>,
    nodes: &mut [Node],
    categories: &mut Categories,
    changes: Vec<ChangeDecl>,
    vars_default: Placement,
) {
    let mut changes = changes;
    changes.sort_by_key(|change| std::cmp::Reverse(change.scope));
    for decl in &changes {
        let scope = &names.scopes[decl.scope as usize];
        let change = match &decl.change {
            Change::Category(name) => Resolved::Category(categories.place(scoped(scope, name))),
            change => Resolved::Plain(change),
        };
        if is_keyword(&decl.node, "ALL_NODES") {
            if let Some(command) = for_one_node(&decl.change) {
                let message = format!("{command} takes one node, not ALL_NODES");
                refuse(reader, Code::UnknownNode, decl.at, message);
                continue;
            }
            let range = scope.nodes.start as usize..scope.nodes.end as usize;
            for at in range {
                if names.scope_of[at] == decl.scope && nodes[at].role == Role::Normal {
                    apply(&mut nodes[at], &change, vars_default);
                }
            }
            continue;
        }
        if scope.splices.contains_key(&decl.node) {
            let message = format!("`{}` is a splice: this command is for a node", decl.node);
            refuse(reader, Code::NotOnSplice, decl.at, message);
            continue;
        }
        let Some(node) = names.find(reader, decl.scope, &decl.node, decl.at) else {
            continue;
        };
        let node = &mut nodes[node as usize];
        match not_for_final(&decl.change) {
            Some(command) if node.role == Role::Final => {
                let message = format!(
                    "`{}` is the FINAL node, which takes no {command}",
                    node.name
                );
                refuse(reader, Code::SpecialNode, decl.at, message);
            }
            Some(_) | None => apply(node, &change, vars_default),
        }
    }
}

/// Gives categories their limits: those of the outer files win over those of the inner. A limit of
/// nothing is warned of.
pub(super) fn limit(
    reader: &mut Reader<'_>,
    scopes: &[Scope],
    nodes: &[Node],
    categories: &mut Categories,
    limits: Vec<LimitDecl>,
) {
    let mut used = vec![false; categories.list.len()];
    for place in nodes.iter().filter_map(|node| node.category) {
        used[place as usize] = true;
    }
    let mut limits = limits;
    limits.sort_by_key(|limit| std::cmp::Reverse(limit.scope));
    for limit in limits {
        let name = scoped(&scopes[limit.scope as usize], &limit.category);
        let place = categories.by_name.get(&name).copied();
        let place = place.filter(|place| used[*place as usize]);
        let Some(place) = place else {
            let message = format!("no node is in the category `{name}`");
            let known = categories
                .list
                .iter()
                .map(|category| category.name.as_str());
            let likely = did_you_mean(&name, known.filter(|known| *known != name));
            let diagnostic = reader.error(Code::Throttle, limit.at, message);
            reader
                .diagnostics
                .push(diagnostic.warning().suggest(likely));
            continue;
        };
        if limit.limit == 0 {
            let message = format!("no node of the category `{name}` ever starts");
            let diagnostic = reader.error(Code::Throttle, limit.at, message);
            reader.diagnostics.push(diagnostic.warning());
        }
        categories.list[place as usize].limit = Some(limit.limit);
    }
}

enum Resolved<'a> {
    Category(u32),
    Plain(&'a Change),
}

fn apply(node: &mut Node, change: &Resolved<'_>, vars_default: Placement) {
    let change = match change {
        Resolved::Category(place) => {
            node.category = Some(*place);
            return;
        }
        Resolved::Plain(change) => *change,
    };
    match change {
        Change::Retry { max, unless_exit } => {
            node.retry = *max;
            node.retry_unless_exit = *unless_exit;
        }
        Change::Priority(priority) => node.priority = *priority,
        Change::Done => node.start = NodeStart::Done,
        Change::Vars { pairs, placement } => {
            for (name, value) in pairs {
                set_var(node, name, value, placement.unwrap_or(vars_default));
            }
        }
        Change::Pre(script) => node.scripts.pre = Some(script.clone()),
        Change::Post(script) => node.scripts.post = Some(script.clone()),
        Change::Hold(script) => node.scripts.hold = Some(script.clone()),
        Change::PreSkip(code) => node.pre_skip = Some(*code),
        Change::AbortOn(abort) => node.abort_on = Some(*abort),
        Change::Tolerance(tolerance) => node.tolerance = Some(*tolerance),
        Change::SavePoint(file, from) => {
            node.save_point = Some(match file {
                None => format!("save_files/{}-{from}.save", node.name),
                Some(file) if file.contains('/') => file.clone(),
                Some(file) => format!("save_files/{file}"),
            });
        }
        // It has a place by now.
        Change::Category(_) => {}
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

/// A category as all know it.
fn scoped(scope: &Scope, name: &str) -> String {
    match name.starts_with('+') {
        true => name.to_owned(),
        false => format!("{}{name}", scope.prefix),
    }
}

/// The command, where it does not take ALL_NODES.
fn for_one_node(change: &Change) -> Option<&'static str> {
    match change {
        Change::Done => Some("DONE"),
        Change::SavePoint(..) => Some("SAVE_POINT_FILE"),
        Change::Retry { .. }
        | Change::Vars { .. }
        | Change::Priority(_)
        | Change::Pre(_)
        | Change::Post(_)
        | Change::Hold(_)
        | Change::PreSkip(_)
        | Change::AbortOn(_)
        | Change::Tolerance(_)
        | Change::Category(_) => None,
    }
}

/// The command, where a FINAL node does not take it.
fn not_for_final(change: &Change) -> Option<&'static str> {
    match change {
        Change::Retry { .. } => Some("RETRY"),
        Change::Priority(_) => Some("PRIORITY"),
        Change::Done => Some("DONE"),
        Change::AbortOn(_) => Some("ABORT-DAG-ON"),
        Change::Category(_) => Some("CATEGORY"),
        Change::Vars { .. }
        | Change::Pre(_)
        | Change::Post(_)
        | Change::Hold(_)
        | Change::PreSkip(_)
        | Change::Tolerance(_)
        | Change::SavePoint(..) => None,
    }
}
