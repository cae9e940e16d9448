//! `fetch`: the output files of a job or DAG run, for who does not share the manager's disk.

use serde::Serialize;

use crate::args;
use crate::client::Client;
use crate::client::download::{Fetched, Wanted, shown};
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    bytes: u64,
    digest: String,
    /// Whether it was written; otherwise it was there already.
    written: bool,
}

pub async fn run(client: Client, args: args::Fetch, settings: &Settings) -> Result<Exit, Failure> {
    let reply = client.outputs(args.id.to_string()).await?;
    let wanted: Vec<Wanted> = reply
        .files
        .into_iter()
        .map(Wanted::from_wire)
        .collect::<Result<_, _>>()?;
    let mut files = Vec::with_capacity(wanted.len());
    for wanted in &wanted {
        let fetched = client.fetch(wanted, &args.to).await?;
        let path = shown(&args.to, wanted).display().to_string();
        if settings.format == Format::Table {
            let what = match fetched {
                Fetched::Written => "",
                Fetched::Present => "  (is there already)",
            };
            output::print(&format!("{path}{what}\n"))?;
        }
        files.push(File {
            path,
            bytes: wanted.blob.bytes,
            digest: wanted.blob.digest.to_string(),
            written: fetched == Fetched::Written,
        });
    }
    match settings.format {
        Format::Table if files.is_empty() => complain(&format!("{} has no outputs", args.id)),
        Format::Table => {}
        Format::Json => output::print_json(&Document { files })?,
    }
    Ok(Exit::Ok)
}
