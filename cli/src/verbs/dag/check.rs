//! `dag check`: a DAG file and all it names, checked where they lie. As JSON, in the keys of
//! HTCondor's `condor_dag_checker` with our own beside them.

use std::path::Path;

use dags::dag::{DagSummary, External, Keyword};
use dags::{Code, Diagnostic, Diagnostics, Severity};
use serde::Serialize;

use crate::client::bundle::{Rescue, check_dag};
use crate::client::inputs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain, count};

/// Layers whose widths are told without being asked for.
const LAYERS_TOLD_MAX: usize = 12;

/// Missing inputs that are named; the others are counted.
const MISSING_TOLD_MAX: usize = 50;

/// How much is told of a good file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A line, and the widths of few layers.
    Short,
    /// All counts, and the widths of all layers.
    Statistics,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Document {
    #[serde(rename = "DagFile")]
    dag_file: String,
    #[serde(flatten)]
    counts: Option<Counts>,
    #[serde(rename = "IsCyclic")]
    is_cyclic: bool,
    #[serde(rename = "DetectedCycle", skip_serializing_if = "Option::is_none")]
    detected_cycle: Option<String>,
    #[serde(rename = "NumErrors")]
    num_errors: usize,
    #[serde(rename = "Errors")]
    errors: Vec<CheckerError>,
    file: String,
    /// Whether it may be submitted.
    ok: bool,
    nodes: u64,
    studies: u64,
    trials: u64,
    edges: u64,
    /// Nodes on the longest way through the graph.
    height: u32,
    /// Warnings, too, with columns and codes.
    diagnostics: Vec<Finding>,
}

/// HTCondor's statistics, joins counted in all of them; absent where the file cannot be read.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Counts {
    total_nodes: u64,
    num_nodes: u64,
    num_arcs: u64,
    num_join_nodes: u64,
    num_service_nodes: u64,
    #[serde(rename = "NumSubDAGs")]
    num_sub_dags: u64,
    num_splices: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioner_node: Option<String>,
    graph_height: usize,
    graph_width: u64,
    width_by_depth: Vec<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckerError {
    reason: String,
    source_file: String,
    source_line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    dag_command: Option<String>,
}

/// One finding; `line`, `column` count from 1 and are 0 where a file as a whole is meant.
#[derive(Serialize)]
struct Finding {
    code: &'static str,
    /// `error` or `warning`.
    severity: &'static str,
    file: String,
    line: u32,
    column: u32,
    length: u32,
    message: String,
    expected: Option<String>,
    help: Option<String>,
    /// Under what the line was read: the FOREACH items, outermost first, or the node.
    within: Vec<String>,
}

pub fn check(
    file: &Path,
    format: Format,
    detail: Detail,
    external: External,
) -> Result<Exit, Failure> {
    let checked = check_dag(file, external, &Rescue::Nothing)?;
    let summary = checked.counts;
    let name = file.display().to_string();
    let found = &checked.diagnostics;
    let missing = match (&checked.bundle, external) {
        (Some(bundle), External::Read) => inputs::wrong(bundle),
        (Some(_) | None, _) => Vec::new(),
    };
    let good = missing.is_empty() && !found.has_errors();
    match format {
        Format::Json => output::print_json(&document(name, summary, found, missing))?,
        Format::Table => {
            if !found.is_empty() {
                complain(found.render().trim_end());
            }
            for line in missing.iter().take(MISSING_TOLD_MAX) {
                complain(&format!("error: {line}"));
            }
            let summary = summary.as_ref().filter(|_| good);
            output::print(&verdict(&name, summary, found, missing.len(), detail))?;
        }
    }
    Ok(match good {
        true => Exit::Ok,
        false => Exit::Usage,
    })
}

fn document(
    file: String,
    summary: Option<DagSummary>,
    found: &Diagnostics,
    missing: Vec<String>,
) -> Document {
    let circle = found.errors().find(|error| is_circle(error));
    let mut errors: Vec<CheckerError> = Vec::new();
    let mut before: Option<&Diagnostic> = None;
    for error in found.errors().filter(|error| !is_circle(error)) {
        // Unknown names of one PARENT … CHILD … are one error there.
        let same = before.is_some_and(|before| {
            let unknown = [before, error]
                .iter()
                .all(|one| one.code == Code::UnknownNode);
            let (of, next) = (&before.command, &error.command);
            unknown && before.file == error.file && before.within == error.within && of == next
        });
        match errors.last_mut() {
            Some(last) if same => last.reason.push_str(&format!("; {}", error.message)),
            Some(_) | None => errors.push(checker_error(error)),
        }
        before = Some(error);
    }
    let ok = missing.is_empty() && !found.has_errors();
    errors.extend(missing.into_iter().map(|reason| CheckerError {
        reason,
        source_file: file.clone(),
        source_line: 0,
        dag_command: None,
    }));
    let count = |of: fn(&DagSummary) -> u64| summary.as_ref().map_or(0, of);
    Document {
        dag_file: file.clone(),
        is_cyclic: circle.is_some(),
        detected_cycle: circle.map(|error| {
            let way = error.message.split_once(": ");
            way.map_or(error.message.clone(), |(_, way)| way.replace('→', "->"))
        }),
        num_errors: errors.len(),
        errors,
        ok,
        nodes: count(|summary| summary.nodes),
        studies: count(|summary| summary.studies),
        trials: count(|summary| summary.trials),
        edges: count(|summary| summary.edges),
        height: summary.as_ref().map_or(0, |summary| summary.height),
        counts: summary.map(|summary| Counts {
            total_nodes: summary.nodes + summary.joins,
            num_nodes: summary.plain,
            num_arcs: summary.edges,
            num_join_nodes: summary.joins,
            num_service_nodes: summary.services,
            num_sub_dags: summary.subdags,
            num_splices: summary.splices,
            final_node: summary.final_node,
            provisioner_node: summary.provisioner,
            graph_height: summary.joined_widths.len(),
            graph_width: summary.joined_widths.iter().copied().max().unwrap_or(0),
            width_by_depth: summary.joined_widths,
        }),
        file,
        diagnostics: found.iter().map(finding).collect(),
    }
}

/// HTCondor's checker tells circles apart from errors.
fn is_circle(error: &Diagnostic) -> bool {
    [Code::Cycle, Code::SelfParent].contains(&error.code)
}

fn checker_error(error: &Diagnostic) -> CheckerError {
    let command = error.command.as_ref();
    let keyword = command.and_then(|command| Keyword::of(&command.name));
    CheckerError {
        reason: error.message.clone(),
        source_file: error.file.clone(),
        source_line: command.map_or(error.line, |command| command.line),
        dag_command: keyword.map(|keyword| match keyword {
            Keyword::Weak => Keyword::Parent.name().to_owned(),
            keyword => keyword.name().replace('-', "_"),
        }),
    }
}

fn finding(found: &Diagnostic) -> Finding {
    Finding {
        code: found.code.id(),
        severity: match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        file: found.file.clone(),
        line: found.line,
        column: found.column,
        length: found.length,
        message: found.message.clone(),
        expected: found.expected.clone(),
        help: found.help.clone(),
        within: found.within.clone(),
    }
}

/// What is told to people: a line, and what its layers look like.
fn verdict(
    file: &str,
    summary: Option<&DagSummary>,
    found: &Diagnostics,
    missing: usize,
    detail: Detail,
) -> String {
    let errors = count((found.errors().count() + missing) as u64, "error");
    let warnings = count(found.warnings().count() as u64, "warning");
    let Some(summary) = summary else {
        return format!("{file}: {errors}, {warnings}\n");
    };
    let mut text = format!("{file}: ok, {}, {warnings}\n", told(summary));
    let layers = &summary.width_by_depth;
    let few = layers.len() > 1 && layers.len() <= LAYERS_TOLD_MAX;
    if few || detail == Detail::Statistics {
        text.push_str(&format!("width by depth: {}\n", widths(layers)));
    }
    if detail == Detail::Statistics {
        text.push_str(&statistics(summary));
    }
    text
}

/// The counts of a DAG in a line.
pub fn told(summary: &DagSummary) -> String {
    let studies = match summary.studies {
        1 => "1 study".to_owned(),
        many => format!("{many} studies"),
    };
    let nodes = count(summary.nodes, "node");
    let (edges, height, width) = (count(summary.edges, "edge"), summary.height, summary.width);
    let mut text = format!("{nodes} ({studies}), {edges}, {height} deep, {width} wide");
    for (number, noun) in [(summary.subdags, "sub-DAG"), (summary.splices, "splice")] {
        if number > 0 {
            text.push_str(&format!(", {}", count(number, noun)));
        }
    }
    text
}

/// Widths, equal neighbours once: `1, 41×3, 1`.
fn widths(layers: &[u64]) -> String {
    let runs = layers.chunk_by(|a, b| a == b).map(|run| match run {
        [width, _, ..] => format!("{width}×{}", run.len()),
        _ => run.iter().map(u64::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

fn statistics(summary: &DagSummary) -> String {
    let rows = [
        ("jobs", summary.plain - summary.studies.min(summary.plain)),
        ("studies", summary.studies),
        ("trials", summary.trials),
        ("sub-DAGs", summary.subdags),
        ("services", summary.services),
        ("splices", summary.splices),
        ("joins", summary.joins),
        ("done", summary.done),
    ];
    let mut text: String = rows
        .iter()
        .map(|(what, number)| format!("{what:<12}{number:>8}\n"))
        .collect();
    let names = [
        ("final", &summary.final_node),
        ("provisioner", &summary.provisioner),
    ];
    for (what, name) in names {
        if let Some(name) = name {
            text.push_str(&format!("{what:<12}{}\n", output::one_line(name)));
        }
    }
    text
}
