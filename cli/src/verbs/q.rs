//! `q`: the DAG runs and jobs in the queue.

use proto::nouns::Subject;
use proto::wire;
use serde::Serialize;

use crate::args;
use crate::client::{Client, fate};
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, complain, count, records, time};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    runs: Vec<records::Run>,
    jobs: Vec<records::Job>,
    /// There are more jobs than one answer holds.
    truncated: bool,
}

pub async fn run(client: Client, args: args::Q, settings: &Settings) -> Result<Exit, Failure> {
    let wholes: Vec<u32> = args
        .ids
        .iter()
        .filter_map(|subject| match subject {
            Subject::Whole(id) => Some(*id),
            Subject::Job(_) => None,
        })
        .collect();
    // Only jobs were named: no DAG run is meant.
    let runs = if wholes.is_empty() && !args.ids.is_empty() {
        wire::RunsReply::default()
    } else {
        let which = wire::Which::Queued.into();
        client
            .runs(wire::RunsRequest {
                ids: wholes,
                with_nodes: false,
                which,
            })
            .await?
    };
    let jobs = client
        .jobs(wire::JobsRequest {
            ids: args.ids.iter().map(ToString::to_string).collect(),
            which: wire::Which::Queued.into(),
            limit: fate::JOBS_MAX,
            with_ads: false,
        })
        .await?;
    let unknown = unknown(&args.ids, &runs.runs, &jobs);
    match settings.format {
        Format::Table => print_tables(&runs.runs, &jobs)?,
        Format::Json => output::print_json(&Document {
            runs: runs.runs.into_iter().map(records::Run::from).collect(),
            jobs: jobs.jobs.into_iter().map(records::Job::from).collect(),
            truncated: jobs.truncated,
        })?,
    }
    for id in &unknown {
        complain(&format!("error: there is no {id} in the queue"));
    }
    Ok(if unknown.is_empty() {
        Exit::Ok
    } else {
        Exit::NotFound
    })
}

/// Ids that name neither a DAG run nor a job: a DAG run may have no job at the moment.
pub fn unknown(asked: &[Subject], runs: &[wire::Run], jobs: &wire::JobsReply) -> Vec<String> {
    let is_run = |id: &String| runs.iter().any(|run| run.id.to_string() == *id);
    let asked = asked.iter().map(Subject::to_string);
    asked
        .filter(|id| jobs.unknown.contains(id) && !is_run(id))
        .collect()
}

fn print_tables(runs: &[wire::Run], jobs: &wire::JobsReply) -> Result<(), Failure> {
    let mut text = String::new();
    if !runs.is_empty() {
        text.push_str(&runs_table(runs).render());
        text.push('\n');
    }
    if jobs.jobs.is_empty() {
        text.push_str("no jobs in the queue\n");
    } else {
        text.push_str(&jobs_table(&jobs.jobs, time::now_ms()).render());
        text.push_str(&tally(&jobs.jobs));
    }
    if jobs.truncated {
        text.push_str("there are more; name ids to see them\n");
    }
    output::print(&text)
}

fn runs_table(runs: &[wire::Run]) -> Table {
    let mut table = Table::new(&[
        Column::Id("RUN"),
        Column::Id("OWNER"),
        Column::Id("STATUS"),
        Column::Number("DONE"),
        Column::Number("RUNNING"),
        Column::Number("WAITING"),
        Column::Number("FAILED"),
        Column::Number("FUTILE"),
        Column::Id("SUBMITTED"),
        Column::Text("FILE"),
    ]);
    for run in runs {
        let counts = run.counts.unwrap_or_default();
        table.row([
            run.id.to_string(),
            run.owner.clone(),
            run.status.clone(),
            format!("{}/{}", counts.done, counts.total),
            counts.running.to_string(),
            counts.waiting.to_string(),
            counts.failed.to_string(),
            counts.futile.to_string(),
            time::local(run.submitted_ms),
            run.file.clone(),
        ]);
    }
    table
}

fn jobs_table(jobs: &[wire::Job], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        Column::Id("ID"),
        Column::Id("OWNER"),
        Column::Id("STATUS"),
        Column::Number("COUNT"),
        Column::Id("SUBMITTED"),
        Column::Number("RUNS FOR"),
        Column::Id("WORKER"),
        Column::Id("NODE"),
        Column::Text("COMMAND"),
        Column::Text("HELD BECAUSE"),
    ]);
    for job in jobs {
        let running = job.started_ms.filter(|_| job.status == "Running");
        table.row([
            job.id.clone(),
            job.owner.clone(),
            job.status.clone(),
            if job.count > 1 {
                job.count.to_string()
            } else {
                String::new()
            },
            time::local(job.submitted_ms),
            running
                .map(|start| time::span(now_ms.saturating_sub(start)))
                .unwrap_or_default(),
            if running.is_some() {
                job.worker.clone()
            } else {
                String::new()
            },
            node_of(job),
            job.command.clone(),
            job.hold_reason.clone(),
        ]);
    }
    table
}

/// The node that a job is part of, and which of its trials.
pub fn node_of(job: &wire::Job) -> String {
    match job.trial {
        Some(trial) => format!("{} trial {trial}", job.node),
        None => job.node.clone(),
    }
}

fn tally(jobs: &[wire::Job]) -> String {
    let of = |status: &str| -> u64 {
        jobs.iter()
            .filter(|job| job.status == status)
            .map(|job| job.count.max(1))
            .sum()
    };
    let all = count(jobs.iter().map(|job| job.count.max(1)).sum(), "job");
    format!(
        "\n{all}: {} idle, {} running, {} held\n",
        of("Idle"),
        of("Running"),
        of("Held")
    )
}
