//! `history`: jobs that have ended.

use proto::wire;
use serde::Serialize;

use super::{columns, q};
use crate::args;
use crate::client::{Client, fate};
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, complain, records, time};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    jobs: Vec<records::Job>,
    /// There are more jobs than were asked for.
    truncated: bool,
}

pub async fn run(
    client: Client,
    args: args::History,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let request = wire::JobsRequest {
        ids: args.ids.iter().map(ToString::to_string).collect(),
        which: wire::Which::Ended.into(),
        limit: args.limit,
        with_ads: args.columns.long,
        constraint: args.columns.constraint.clone().unwrap_or_default(),
        owners: args.owners,
        columns: args.columns.af.clone(),
    };
    let reply = client.jobs(request).await?;
    let unknown = reply.unknown.clone();
    match settings.format {
        _ if args.columns.shows_ads() => {
            columns::print_jobs(&reply, &args.columns, settings)?;
        }
        Format::Table if reply.jobs.is_empty() => output::print("no job has ended\n")?,
        Format::Table => output::print(&table(&reply.jobs).render())?,
        Format::Json => output::print_json(&Document {
            jobs: reply.jobs.into_iter().map(records::Job::from).collect(),
            truncated: reply.truncated,
        })?,
    }
    if reply.truncated && settings.format == Format::Table {
        complain(&format!("there are more than {}; see --limit", args.limit));
    }
    for id in &unknown {
        complain(&format!("error: there is no {id} in the history"));
    }
    Ok(if unknown.is_empty() {
        Exit::Ok
    } else {
        Exit::NotFound
    })
}

fn table(jobs: &[wire::Job]) -> Table {
    let mut table = Table::new(&[
        Column::Id("ID"),
        Column::Id("OWNER"),
        Column::Id("STATUS"),
        Column::Number("COUNT"),
        Column::Id("ENDED"),
        Column::Number("RAN FOR"),
        Column::Number("ATTEMPTS"),
        Column::Id("WORKER"),
        Column::Id("NODE"),
        Column::Text("END"),
        Column::Text("COMMAND"),
    ]);
    for job in jobs {
        let ran = job.started_ms.zip(job.ended_ms);
        table.row([
            job.id.clone(),
            job.owner.clone(),
            job.status.clone(),
            q::count_of(job),
            job.ended_ms.map(time::local).unwrap_or_default(),
            ran.map(|(start, end)| time::span(end.saturating_sub(start)))
                .unwrap_or_default(),
            job.attempts.to_string(),
            job.worker.clone(),
            q::node_of(job),
            fate::how_it_ended(job),
            job.command.clone(),
        ]);
    }
    table
}
