//! `dag show`: the graph of a DAG file in the terminal.

use std::path::Path;

use super::check::told;
use crate::client::bundle::{Bundle, Work};
use crate::exit::{Exit, Failure};
use crate::output;

/// Columns where there is no terminal.
const COLUMNS: usize = 80;

/// What the marks mean; told where there are others than jobs.
const LEGEND: [(char, &str); 7] = [
    ('●', "job"),
    ('◆', "study"),
    ('○', "noop"),
    ('▣', "sub-DAG"),
    ('·', "join"),
    ('■', "final"),
    ('□', "provisioner or service"),
];

pub fn show(file: &Path) -> Result<Exit, Failure> {
    let bundle = Bundle::load(file, &[])?;
    let Work::Dag(dag) = &bundle.work else {
        return Err(Failure::Usage(format!(
            "{}: not a DAG file (.dag)",
            file.display()
        )));
    };
    let columns = output::width().unwrap_or(COLUMNS);
    let mut text = format!("{}: {}\n\n", file.display(), told(&dag.summary()));
    let lines = dag.show(columns);
    for line in &lines {
        let name = output::one_line(&line.name);
        let mut row = format!("{} {name}", line.rail);
        if !line.note.is_empty() {
            row.push_str(&format!("  {}", output::one_line(&line.note)));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    let there: Vec<String> = LEGEND
        .iter()
        .filter(|(mark, _)| lines.iter().any(|line| line.rail.contains(*mark)))
        .map(|(mark, what)| format!("{mark} {what}"))
        .collect();
    if there.len() > 1 {
        text.push_str(&format!("\n{}\n", there.join("  ")));
    }
    output::print(&text)?;
    Ok(Exit::Ok)
}
