//! `--af` and `--long`: ads, and what expressions come to in them, as HTCondor's tools print them.

use classad::ClassAd;
use proto::wire;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::Columns;
use crate::exit::Failure;
use crate::output::{self, Format, complain, one_line};
use crate::settings::Settings;

/// What `--long -o json` prints.
#[derive(Serialize)]
struct Ads {
    ads: Vec<Value>,
    truncated: bool,
}

/// What `--af -o json` prints: each expression with its value.
#[derive(Serialize)]
struct Rows {
    rows: Vec<Map<String, Value>>,
    truncated: bool,
}

/// One ad that is shown.
struct Shown<'a> {
    ad: &'a str,
    cells: &'a [wire::Cell],
}

/// Prints what is asked of the ads of jobs.
pub fn print_jobs(
    reply: &wire::JobsReply,
    columns: &Columns,
    settings: &Settings,
) -> Result<(), Failure> {
    let shown = reply.jobs.iter().map(|job| Shown {
        ad: &job.ad,
        cells: &job.cells,
    });
    print(
        &shown.collect::<Vec<_>>(),
        reply.truncated,
        columns,
        settings,
    )?;
    if reply.truncated && settings.format == Format::Table {
        complain("there are more; name ids or a narrower --constraint to see them");
    }
    Ok(())
}

/// Prints what is asked of the ads of workers.
pub fn print_workers(
    workers: &[wire::Worker],
    columns: &Columns,
    settings: &Settings,
) -> Result<(), Failure> {
    let shown = workers.iter().map(|worker| Shown {
        ad: &worker.ad,
        cells: &worker.cells,
    });
    print(&shown.collect::<Vec<_>>(), false, columns, settings)
}

fn print(
    shown: &[Shown<'_>],
    truncated: bool,
    columns: &Columns,
    settings: &Settings,
) -> Result<(), Failure> {
    match (settings.format, columns.long) {
        (Format::Table, true) => {
            let ads: Vec<String> = shown
                .iter()
                .map(|one| one.ad.trim_end().to_owned() + "\n")
                .collect();
            output::print(&ads.join("\n"))
        }
        (Format::Table, false) => output::print(&lines(shown, columns)),
        (Format::Json, true) => {
            let ad = |one: &Shown<'_>| match ClassAd::parse_long(one.ad) {
                Ok(ad) => ad.to_json(),
                Err(_) => Value::Null,
            };
            let ads = shown.iter().map(ad).collect();
            output::print_json(&Ads { ads, truncated })
        }
        (Format::Json, false) => {
            let row = |one: &Shown<'_>| {
                let cells = columns.af.iter().zip(one.cells);
                let value = |cell: &wire::Cell| {
                    serde_json::from_str(&cell.json).unwrap_or(Value::String(cell.text.clone()))
                };
                cells
                    .map(|(name, cell)| (name.clone(), value(cell)))
                    .collect()
            };
            let rows = shown.iter().map(row).collect();
            output::print_json(&Rows { rows, truncated })
        }
    }
}

/// A line an ad, a blank between two values.
fn lines(shown: &[Shown<'_>], columns: &Columns) -> String {
    let mut text = String::new();
    if columns.af_header {
        text.push_str(&columns.af.join(" "));
        text.push('\n');
    }
    for one in shown {
        let cells: Vec<String> = one.cells.iter().map(|cell| one_line(&cell.text)).collect();
        text.push_str(&cells.join(" "));
        text.push('\n');
    }
    text
}
