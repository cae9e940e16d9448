//! `dag check|parse|show|status|dot`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use dags::dag::{DAG_BYTES_MAX, Syntax};
use proto::wire;

use crate::client::Client;
use crate::client::bundle::{Bundle, Work};
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, complain, count, records, time};
use crate::settings::Settings;

mod check;
mod show;

pub use check::{Detail, check};
pub use show::show;

/// Cells of the bar of `dag status`.
const BAR_CELLS: usize = 40;

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
        "Pre" | "Ready" | "Preparing" | "Running" | "Post" => Some("#fdbf6f"),
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

fn status_text(run: &wire::Run) -> String {
    let counts = run.counts.unwrap_or_default();
    let ended = run.ended_ms.unwrap_or_else(time::now_ms);
    let mut text = format!(
        "DAG run {} of {}: {}{} for {}\n{}{} {}\n\n",
        run.id,
        run.file,
        run.status,
        standing(run),
        time::span(ended.saturating_sub(run.submitted_ms)),
        limits(run),
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
            match node.role.as_str() {
                "final" | "service" | "provisioner" => node.role.clone(),
                _ => node.kind.clone(),
            },
            node.status.clone(),
            match (node.cluster, node.subrun) {
                (0, 0) => String::new(),
                (cluster, 0) => cluster.to_string(),
                (_, subrun) => subrun.to_string(),
            },
            node.attempts.to_string(),
            if node.trials_total == 0 {
                String::new()
            } else {
                trials
            },
            match node.reason.as_str() {
                "" => node.waits.clone(),
                reason => reason.to_owned(),
            },
        ]);
    }
    text.push_str(&table.render());
    text
}

/// What is said of a run behind its status.
fn standing(run: &wire::Run) -> String {
    let mut said = String::new();
    if run.status == "Running" && run.halt != "Open" {
        said.push_str(&format!(", {}", run.halt.to_lowercase()));
    }
    if !run.cut.is_empty() {
        said.push_str(&format!(", {}", run.cut));
    }
    if let Some(exit) = run.exit.filter(|exit| *exit > 1) {
        said.push_str(&format!(", exit code {exit}"));
    }
    if run.parent != 0 {
        said.push_str(&format!(", sub-DAG {} of {}", run.parent_node, run.parent));
    }
    said
}

/// A line of the limits that are set; nothing where none is.
fn limits(run: &wire::Run) -> String {
    let throttles = run.throttles.unwrap_or_default();
    let of = [
        ("max_jobs", throttles.max_jobs),
        ("max_idle", throttles.max_idle),
        ("max_pre", throttles.max_pre),
        ("max_post", throttles.max_post),
        ("max_hold", throttles.max_hold),
    ];
    let set = of.iter().filter(|(_, limit)| *limit > 0);
    let mut told: Vec<String> = set.map(|(name, limit)| format!("{name} {limit}")).collect();
    for category in &run.categories {
        if let Some(limit) = category.limit {
            told.push(format!("{} {}/{limit}", category.name, category.busy));
        }
    }
    match told.is_empty() {
        true => String::new(),
        false => format!("limits: {}\n", told.join(", ")),
    }
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
