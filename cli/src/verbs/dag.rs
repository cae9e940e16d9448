//! `dag check|parse|status|dot|retry`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use dags::dag::{DAG_BYTES_MAX, Syntax};
use dags::{Diagnostics, Severity};
use proto::wire;
use proto::wire::act_request::Action;
use serde::Serialize;

use super::act;
use crate::client::Client;
use crate::client::bundle::{Bundle, Work, check_dag};
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, complain, count, records, time};
use crate::settings::Settings;

/// Cells of the bar of `dag status`.
const BAR_CELLS: usize = 40;

/// What `dag check -o json` prints.
#[derive(Serialize)]
struct CheckDocument {
    file: String,
    /// Whether it may be submitted.
    ok: bool,
    nodes: usize,
    studies: usize,
    /// Parent-child pairs.
    edges: usize,
    /// Nodes on the longest way through the graph.
    height: u32,
    diagnostics: Vec<Finding>,
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

pub fn check(file: &Path, settings: &Settings) -> Result<Exit, Failure> {
    let checked = check_dag(file)?;
    let dag = checked.bundle.as_ref().map(|bundle| match &bundle.work {
        Work::Dag(dag) => dag,
        Work::Cluster(_) => unreachable!("a DAG file was read as one"),
    });
    let document = CheckDocument {
        file: file.display().to_string(),
        ok: !checked.diagnostics.has_errors(),
        nodes: dag.map_or(0, |dag| dag.nodes.len()),
        studies: dag.map_or(0, |dag| {
            dag.nodes.iter().filter(|node| is_study(node)).count()
        }),
        edges: dag.map_or(0, |dag| {
            dag.nodes.iter().map(|node| node.children.len()).sum()
        }),
        height: dag.map_or(0, |dag| dag.height()),
        diagnostics: findings(&checked.diagnostics),
    };
    match settings.format {
        Format::Json => output::print_json(&document)?,
        Format::Table => {
            if !checked.diagnostics.is_empty() {
                complain(checked.diagnostics.render().trim_end());
            }
            output::print(&verdict(&document, &checked.diagnostics))?;
        }
    }
    Ok(if document.ok { Exit::Ok } else { Exit::Usage })
}

fn verdict(document: &CheckDocument, diagnostics: &Diagnostics) -> String {
    let counts = |found: usize, noun| count(found as u64, noun);
    let errors = counts(diagnostics.errors().count(), "error");
    let warnings = counts(diagnostics.warnings().count(), "warning");
    let file = &document.file;
    if !document.ok {
        return format!("{file}: {errors}, {warnings}\n");
    }
    let nodes = counts(document.nodes, "node");
    let studies = if document.studies == 1 {
        "1 study".to_owned()
    } else {
        format!("{} studies", document.studies)
    };
    let (edges, height) = (counts(document.edges, "edge"), document.height);
    format!("{file}: ok, {nodes} ({studies}), {edges}, {height} deep, {warnings}\n")
}

fn is_study(node: &dags::Node) -> bool {
    matches!(node.kind, dags::NodeKind::Study { .. })
}

fn findings(diagnostics: &Diagnostics) -> Vec<Finding> {
    let finding = |found: &dags::Diagnostic| Finding {
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
    };
    diagnostics.iter().map(finding).collect()
}

/// The commands of a file by their syntax alone.
pub fn parse(file: &Path, json: bool, settings: &Settings) -> Result<Exit, Failure> {
    let name = file.display().to_string();
    let wrong = |reason: String| Failure::Usage(format!("{name}: {reason}"));
    let cwd = std::env::current_dir().map_err(|error| wrong(error.to_string()))?;
    let text = text(file).map_err(|error| wrong(error.to_string()))?;
    let syntax = Syntax::parse(&name, &text, &cwd.to_string_lossy());
    match settings.format {
        Format::Table if !json => {
            output::print(&listing(&syntax))?;
            if !syntax.diagnostics.is_empty() {
                complain(syntax.diagnostics.render().trim_end());
            }
        }
        Format::Json | Format::Table => output::print_json(&syntax)?,
    }
    Ok(if syntax.errors.is_empty() {
        Exit::Ok
    } else {
        Exit::Usage
    })
}

/// A file with at most one byte more than a DAG file may have.
fn text(file: &Path) -> std::io::Result<String> {
    let bytes_max = DAG_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    if file == Path::new("-") {
        let stdin = std::io::stdin().lock();
        stdin.take(bytes_max).read_to_string(&mut text)?;
    } else {
        let file = std::fs::File::open(file)?;
        file.take(bytes_max).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// A line for each command. A file may have hundreds of thousands, so columns are as wide as their
/// widest word is known to be and nothing is measured.
fn listing(syntax: &Syntax) -> String {
    let mut text = format!("{:>6}  {:<18}  FIELDS\n", "LINE", "COMMAND");
    for statement in &syntax.statements {
        let (line, name) = (statement.line, statement.keyword.name());
        let fields = output::one_line(&statement.told());
        let row = format!("{line:>6}  {name:<18}  {fields}");
        text.push_str(row.trim_end());
        text.push('\n');
    }
    let commands = count(syntax.statements.len() as u64, "command");
    let errors = count(syntax.errors.len() as u64, "error");
    text.push_str(&format!("\n{commands}, {errors}\n"));
    text
}

/// The graph of a file, without what became of it.
pub fn dot(file: &Path) -> Result<Exit, Failure> {
    draw(file, &BTreeMap::new())
}

pub async fn dot_of_run(client: Client, file: PathBuf, run: u32) -> Result<Exit, Failure> {
    let run = client.run(run).await?;
    let status: BTreeMap<String, String> = run
        .nodes
        .into_iter()
        .map(|node| (node.name, node.status))
        .collect();
    draw(&file, &status)
}

fn draw(file: &Path, status: &BTreeMap<String, String>) -> Result<Exit, Failure> {
    let bundle = Bundle::load(file, &[])?;
    let Work::Dag(dag) = &bundle.work else {
        return Err(Failure::Usage(format!(
            "{}: not a DAG file (.dag)",
            file.display()
        )));
    };
    let colour = |at: u32| -> Option<&'static str> {
        let node = dag.nodes.get(at as usize)?;
        status.get(&node.name).and_then(|status| fill(status))
    };
    output::print(&dag.dot(Some(&colour)))?;
    Ok(Exit::Ok)
}

/// Colours that are told apart by people who do not see red from green.
fn fill(status: &str) -> Option<&'static str> {
    match status {
        "Done" => Some("#a6cee3"),
        "Running" => Some("#fdbf6f"),
        "Failed" => Some("#e31a1c"),
        "Futile" => Some("#bdbdbd"),
        _ => None,
    }
}

pub async fn status(client: Client, run: u32, settings: &Settings) -> Result<Exit, Failure> {
    let run = client.run(run).await?;
    match settings.format {
        Format::Json => output::print_json(&records::Run::from(run))?,
        Format::Table => output::print(&status_text(&run))?,
    }
    Ok(Exit::Ok)
}

pub async fn retry(client: Client, run: u32, settings: &Settings) -> Result<Exit, Failure> {
    let reply = client.act(Action::Retry, vec![run.to_string()], "").await?;
    act::report(reply, "to run again", settings)
}

fn status_text(run: &wire::Run) -> String {
    let counts = run.counts.unwrap_or_default();
    let ended = run.ended_ms.unwrap_or_else(time::now_ms);
    let mut text = format!(
        "DAG run {} of {}: {} for {}\n{} {}\n\n",
        run.id,
        run.file,
        run.status,
        time::span(ended.saturating_sub(run.submitted_ms)),
        bar(&counts),
        tally(&counts),
    );
    let mut table = Table::new(&[
        Column::Id("NODE"),
        Column::Id("KIND"),
        Column::Id("STATUS"),
        Column::Number("CLUSTER"),
        Column::Number("ATTEMPTS"),
        Column::Number("TRIALS"),
        Column::Text("REASON"),
    ]);
    for node in &run.nodes {
        let trials = format!("{}/{}", node.trials_ended, node.trials_total);
        table.row([
            node.name.clone(),
            node.kind.clone(),
            node.status.clone(),
            if node.cluster == 0 {
                String::new()
            } else {
                node.cluster.to_string()
            },
            node.attempts.to_string(),
            if node.trials_total == 0 {
                String::new()
            } else {
                trials
            },
            node.reason.clone(),
        ]);
    }
    text.push_str(&table.render());
    text
}

/// `3 done, 2 running, …`: what there is of each.
pub fn tally(counts: &wire::NodeCounts) -> String {
    let of = [
        (counts.done, "done"),
        (counts.running, "running"),
        (counts.waiting, "waiting"),
        (counts.failed, "failed"),
        (counts.futile, "futile"),
    ];
    let told: Vec<String> = of
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    if told.is_empty() {
        "no nodes".to_owned()
    } else {
        told.join(", ")
    }
}

/// `[####==....x~]`: done, running, waiting, failed, futile; what there is of a kind shows as at
/// least one cell.
fn bar(counts: &wire::NodeCounts) -> String {
    let total = counts.total.max(1) as usize;
    let cells = |n: u32| match n {
        0 => 0,
        n => (n as usize * BAR_CELLS / total).max(1),
    };
    let marks = [
        (counts.done, '#'),
        (counts.running, '='),
        (counts.failed, 'x'),
        (counts.futile, '~'),
    ];
    let mut bar = String::from("[");
    let mut used = 0;
    for (n, mark) in marks {
        let cells = cells(n).min(BAR_CELLS - used);
        used += cells;
        bar.extend(std::iter::repeat_n(mark, cells));
    }
    let rest = if counts.waiting == 0 { '#' } else { '.' };
    bar.extend(std::iter::repeat_n(
        if used == 0 { '.' } else { rest },
        BAR_CELLS - used,
    ));
    bar.push(']');
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_always_as_long() {
        for (done, running, waiting, failed, futile) in [
            (0, 0, 5, 0, 0),
            (1, 1, 998, 1, 1),
            (1000, 0, 0, 0, 0),
            (3, 3, 0, 3, 3),
            (0, 0, 0, 0, 0),
        ] {
            let total = done + running + waiting + failed + futile;
            let counts = wire::NodeCounts {
                total,
                done,
                running,
                waiting,
                failed,
                futile,
            };
            let bar = bar(&counts);
            assert_eq!(bar.chars().count(), BAR_CELLS + 2, "{bar}");
            assert_eq!(bar.contains('x'), failed > 0, "{bar}");
        }
    }
}
