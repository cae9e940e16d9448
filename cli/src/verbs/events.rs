//! `events`: the event log of jobs, the file that `log = …` of a submit description names. Reads a
//! file, without a manager.

use std::io::Read;
use std::path::Path;

use classad::{ClassAd, Expr};
use manager_core::user_log::{LocalTime, Reader, Record, Stated, Step};
use serde::Serialize;
use serde_json::Value;

use crate::args;
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, complain, cut, time};
use crate::settings::Settings;

/// A log may have as many bytes.
const EVENT_LOG_BYTES_MAX: u64 = 1 << 30;
/// Most characters of one value in the table.
const VALUE_WIDTH_MAX: usize = 200;
/// What the table leaves out: it stands in the other columns, or few want to see it. JSON has all.
const LEFT_OUT: [&str; 18] = [
    "Cluster",
    "EventDescription",
    "EventTime",
    "EventTypeNumber",
    "LogNotes",
    "MyType",
    "Proc",
    "ReceivedBytes",
    "RunLocalUsage",
    "RunRemoteUsage",
    "SentBytes",
    "Subproc",
    "TerminatedAndRequeued",
    "TerminatedNormally",
    "TotalLocalUsage",
    "TotalReceivedBytes",
    "TotalRemoteUsage",
    "TotalSentBytes",
];
/// What of all that an event says is shown first.
const FIRST: [&str; 10] = [
    "DAGNodeName",
    "SlotName",
    "ReturnValue",
    "TerminatedBySignal",
    "HoldReason",
    "Reason",
    "Message",
    "Info",
    "ErrorMsg",
    "DisconnectReason",
];

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    /// Each an ad with the names of HTCondor's reader.
    events: Vec<Value>,
    errors: Vec<Problem>,
    /// Bytes up to the end of the last whole event, or of the last line that is none.
    bytes_read: u64,
    /// Bytes of the file. More than were read: an event is being written.
    bytes: u64,
}

#[derive(Serialize)]
struct Problem {
    line: u64,
    error: String,
}

pub fn run(args: &args::Events, settings: &Settings) -> Result<Exit, Failure> {
    let name = args.file.display().to_string();
    let wrong = |reason: &str| Failure::Usage(format!("{name}: {reason}"));
    let bytes = bytes(&args.file).map_err(|error| wrong(&error.to_string()))?;
    if bytes.len() as u64 > EVENT_LOG_BYTES_MAX {
        return Err(wrong(&format!(
            "an event log has at most {EVENT_LOG_BYTES_MAX} bytes"
        )));
    }
    let mut reader = Reader::new(&bytes, time::year_now());
    let mut records = Vec::new();
    let mut errors = Vec::new();
    loop {
        match reader.step() {
            Step::Event(record) => records.push(in_local_time(*record)),
            Step::Broken(broken) => errors.push(Problem {
                line: broken.line,
                error: broken.what(),
            }),
            Step::Stray(line) => errors.push(Problem {
                line,
                error: "no event begins with this line, expected a number of three digits"
                    .to_owned(),
            }),
            Step::Waiting => break,
            Step::Foreign => {
                return Err(wrong(
                    "no event log in text form, which begins as in `000 (12.0.0) 2026-01-02`",
                ));
            }
        }
    }
    let failed = !errors.is_empty();
    let (bytes_read, bytes) = (reader.consumed() as u64, bytes.len() as u64);
    match settings.format {
        Format::Table => {
            output::print(&table(&records).render())?;
            for Problem { line, error } in &errors {
                complain(&format!("error: {name}:{line}: {error}"));
            }
            if bytes_read < bytes {
                let left = output::count(bytes - bytes_read, "byte");
                complain(&format!(
                    "{name}: the last {left} are not a whole event yet"
                ));
            }
        }
        Format::Json => output::print_json(&Document {
            events: records.iter().map(|event| event.attrs.to_json()).collect(),
            errors,
            bytes_read,
            bytes,
        })?,
    }
    Ok(if failed { Exit::Usage } else { Exit::Ok })
}

/// A file, or standard input, with at most one byte more than it may have.
fn bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = EVENT_LOG_BYTES_MAX + 1;
    if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(file)?;
        file.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// An event whose time is told in UTC, with that of this machine's zone, as HTCondor's reader has
/// it.
fn in_local_time(mut record: Record) -> Record {
    if record.at.stated == Stated::Utc {
        let unix_s = record.at.time.unix_s(0);
        let offset_s = time::zone_offset_s(unix_s);
        record.at.time = LocalTime::of(unix_s.saturating_mul(1000), offset_s);
        record.at.stated = Stated::Local;
        let told = record.at.to_string();
        record.attrs.insert("EventTime", told);
    }
    record
}

fn table(records: &[Record]) -> Table {
    let mut table = Table::new(&[
        Column::Id("TIME"),
        Column::Id("JOB"),
        Column::Number("NUMBER"),
        Column::Id("EVENT"),
        Column::Text("DETAILS"),
    ]);
    for record in records {
        let job = match record.proc {
            proc if proc < 0 => record.cluster.to_string(),
            proc => format!("{}.{proc}", record.cluster),
        };
        table.row([
            record.at.time.to_string(),
            job,
            format!("{:03}", record.number),
            record.name().to_owned(),
            details(&record.attrs),
        ]);
    }
    table
}

/// What an event says in one text, what matters most first; of the ads in it their attributes.
fn details(ad: &ClassAd) -> String {
    let notes = ad
        .get("LogNotes")
        .filter(|_| !ad.contains("StructuredNotes"));
    let mut told: Vec<(usize, String)> = notes
        .map(|notes| (FIRST.len(), detail("LogNotes", notes)))
        .into_iter()
        .collect();
    for (name, expr) in ad.iter() {
        let name = name.as_str();
        if LEFT_OUT.contains(&name) {
            continue;
        }
        let value = ad.eval(name);
        match value.as_ad() {
            Some(inner) => told.extend(inner.iter().map(|(name, expr)| {
                let name = name.as_str();
                (place(name), detail(name, expr))
            })),
            None => told.push((place(name), detail(name, expr))),
        }
    }
    told.sort_by_key(|(place, _)| *place);
    let told: Vec<String> = told.into_iter().map(|(_, text)| text).collect();
    told.join("; ")
}

fn place(name: &str) -> usize {
    let place = FIRST.iter().position(|first| name == *first);
    place.unwrap_or(FIRST.len())
}

fn detail(name: &str, expr: &Expr) -> String {
    let value = match expr.to_json() {
        Value::String(text) => text,
        _ => expr.to_exact(),
    };
    format!("{name}: {}", cut(&value, VALUE_WIDTH_MAX))
}
