//! Descriptions that are not there when the DAG is read: DAGMan reads them when their nodes start.
//! Where something before a node may write its description, so do we; where nothing does, it is an
//! error now.

use std::collections::BTreeSet;

use super::super::declare::At;
use super::super::read::Reader;
use super::super::{Dag, Node, NodeKind, NodeStart, Role, Scripts};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::files::{Files, InDir, join};
use crate::submit::Submit;

/// A node whose description is not there.
pub(super) struct Late {
    pub node: u32,
    /// The description, as `Files` know it.
    pub path: String,
    pub at: At,
}

/// Says of each description that is not there whether it may come, once of each file.
pub(super) fn judge(reader: &mut Reader<'_>, dag: &Dag, late: Vec<Late>) {
    let mut said: BTreeSet<(String, bool)> = BTreeSet::new();
    for Late { node, path, at } in late {
        if dag.nodes[node as usize].start == NodeStart::Done {
            continue;
        }
        let may_come = may_be_written(dag, node, &path);
        if !said.insert((path.clone(), may_come)) {
            continue;
        }
        let diagnostic = match may_come {
            true => {
                let message = format!("`{path}` is not there yet: it is read when its node starts");
                reader.error(Code::SubmitUnreadable, at, message).warning()
            }
            false => {
                let message =
                    format!("the submit description `{path}` cannot be read: no such file");
                let help = "no script or sub-DAG before the node may write it, and no job names it \
                            among its outputs";
                reader
                    .error(Code::SubmitUnreadable, at, message)
                    .help(help.to_owned())
            }
        };
        reader.diagnostics.push(diagnostic);
    }
}

/// Whether the node's PRE script, or a script, a sub-DAG or a declared output of a node before it,
/// may be the file.
fn may_be_written(dag: &Dag, node: u32, path: &str) -> bool {
    if dag.nodes[node as usize].scripts.pre.is_some() {
        return true;
    }
    let mut seen = BTreeSet::new();
    let mut ahead = vec![node];
    while let Some(at) = ahead.pop() {
        let here = &dag.nodes[at as usize];
        for above in here.parents.iter().chain(&here.weak_parents) {
            if seen.insert(*above) {
                if writes(dag, *above, path) {
                    return true;
                }
                ahead.push(*above);
            }
        }
    }
    false
}

fn writes(dag: &Dag, at: u32, path: &str) -> bool {
    let node = &dag.nodes[at as usize];
    if node.scripts.pre.is_some() || node.scripts.post.is_some() {
        return true;
    }
    match &node.kind {
        NodeKind::Subdag { .. } => true,
        NodeKind::Noop | NodeKind::Join => false,
        NodeKind::Job { .. } | NodeKind::Study { .. } => outputs(dag, at)
            .iter()
            .any(|output| join(&node.dir, output) == path),
    }
}

/// The outputs that a node's first job names, where they arrive.
fn outputs(dag: &Dag, at: u32) -> Vec<String> {
    let macros = dag.sample_macros(at);
    let spec = dag.submit_of(at).and_then(|submit| {
        let items = submit.procs(&macros).ok()?;
        submit.expand(&macros, 0, 0, items.row(0)).ok()
    });
    let Some(spec) = spec else {
        return Vec::new();
    };
    let listed = spec.transfer_output.iter().flatten();
    let listed = listed.map(|path| spec.output_remaps.get(path).unwrap_or(path));
    let all = listed.chain(&spec.stdout).chain(&spec.stderr);
    all.map(|path| join(&spec.initial_dir, path)).collect()
}

/// See [`Dag::of_job`].
pub(in super::super) fn of_job(
    node: &Node,
    path: &str,
    files: &dyn Files,
) -> (Option<Dag>, Diagnostics) {
    let text = match files.read(path) {
        Ok(text) => text,
        Err(reason) => {
            let message = format!("the submit description cannot be read: {reason}");
            let diagnostic = Diagnostic::of_file(Code::SubmitUnreadable, path, message);
            return (None, diagnostic.into());
        }
    };
    let files = InDir {
        dir: &node.dir,
        files,
    };
    let (mut submit, mut diagnostics) = Submit::parse(path, &text, &files);
    if !diagnostics.has_errors() && submit.has_item_file() {
        submit.load_items(&node.macros(), &files);
    }
    let node = Node {
        kind: NodeKind::Job { submit: 0 },
        role: Role::Normal,
        start: NodeStart::Waiting,
        retry: 0,
        retry_unless_exit: None,
        scripts: Scripts::default(),
        pre_skip: None,
        abort_on: None,
        category: None,
        save_point: None,
        priority: 0,
        parents: Vec::new(),
        children: Vec::new(),
        weak_parents: Vec::new(),
        weak_children: Vec::new(),
        ..node.clone()
    };
    let dag = Dag {
        file: path.to_owned(),
        dir: node.dir.clone(),
        nodes: vec![node],
        submits: vec![submit],
        order: vec![0],
        path_len: vec![1],
        ..Dag::empty()
    };
    if !diagnostics.has_errors() {
        diagnostics.append(super::sample::try_out(&dag));
    }
    ((!diagnostics.has_errors()).then_some(dag), diagnostics)
}
