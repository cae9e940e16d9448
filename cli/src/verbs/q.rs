//! `q`: what is in the queue, by batch, by job or by user.

use proto::nouns::Subject;
use proto::wire;
use serde::Serialize;

use super::{columns, watch};
use crate::args;
use crate::client::{Client, fate};
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, complain, count, records, time};
use crate::settings::Settings;

/// Cells of a batch's bar, and the columns of a terminal from which on there is one.
const BAR_CELLS: u64 = 10;
const BAR_WIDTH_MIN: usize = 100;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    batches: Vec<records::Batch>,
    runs: Vec<records::Run>,
    jobs: Vec<records::Job>,
    /// There are more jobs than one answer holds.
    truncated: bool,
}

/// What `--users -o json` prints.
#[derive(Serialize)]
struct Users {
    users: Vec<records::User>,
}

pub async fn run(client: Client, args: args::Q, settings: &Settings) -> Result<Exit, Failure> {
    if args.watch {
        return watch::batches(client, args, settings).await;
    }
    let unknown = if args.columns.shows_ads() {
        let jobs = client.jobs(jobs_request(&args)).await?;
        columns::print_jobs(&jobs, &args.columns, settings)?;
        jobs.unknown
    } else if args.users {
        users(&client, &args, settings).await?
    } else {
        match settings.format {
            Format::Json => document(&client, &args).await?,
            Format::Table if args.jobs => {
                let jobs = client.jobs(jobs_request(&args)).await?;
                output::print(&jobs_text(&jobs))?;
                jobs.unknown
            }
            Format::Table => {
                let reply = client.batches(batches_request(&args)).await?;
                output::print(&batches_text(&reply.batches))?;
                reply.unknown
            }
        }
    };
    for id in &unknown {
        complain(&format!("error: there is no {id} in the queue"));
    }
    Ok(if unknown.is_empty() {
        Exit::Ok
    } else {
        Exit::NotFound
    })
}

/// # Errors
/// [`Failure::NotFound`] names the ids that there are not.
pub async fn must_know(client: &Client, ids: &[Subject]) -> Result<(), Failure> {
    let request = wire::BatchesRequest {
        ids: ids.iter().map(ToString::to_string).collect(),
        ..wire::BatchesRequest::default()
    };
    match client.batches(request).await?.unknown {
        unknown if unknown.is_empty() => Ok(()),
        unknown => Err(Failure::NotFound(format!(
            "there is no {} in the queue",
            unknown.join(", ")
        ))),
    }
}

fn jobs_request(args: &args::Q) -> wire::JobsRequest {
    wire::JobsRequest {
        ids: args.ids.iter().map(ToString::to_string).collect(),
        which: wire::Which::Queued.into(),
        limit: fate::JOBS_MAX,
        with_ads: args.columns.long,
        constraint: args.columns.constraint.clone().unwrap_or_default(),
        owners: args.owners.clone(),
        columns: args.columns.af.clone(),
    }
}

fn batches_request(args: &args::Q) -> wire::BatchesRequest {
    wire::BatchesRequest {
        ids: args.ids.iter().map(ToString::to_string).collect(),
        owners: args.owners.clone(),
        constraint: args.columns.constraint.clone().unwrap_or_default(),
        by_user: args.users,
    }
}

/// Prints everything that programs may want; answers the ids that name nothing.
async fn document(client: &Client, args: &args::Q) -> Result<Vec<String>, Failure> {
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
    let is_of = |run: &wire::Run| args.owners.is_empty() || args.owners.contains(&run.owner);
    let batches = match args.jobs {
        true => wire::BatchesReply::default(),
        false => client.batches(batches_request(args)).await?,
    };
    let jobs = client.jobs(jobs_request(args)).await?;
    output::print_json(&Document {
        batches: batches
            .batches
            .into_iter()
            .map(records::Batch::from)
            .collect(),
        runs: runs
            .runs
            .into_iter()
            .filter(is_of)
            .map(records::Run::from)
            .collect(),
        jobs: jobs.jobs.into_iter().map(records::Job::from).collect(),
        truncated: jobs.truncated,
    })?;
    Ok(jobs.unknown)
}

async fn users(
    client: &Client,
    args: &args::Q,
    settings: &Settings,
) -> Result<Vec<String>, Failure> {
    let reply = client.batches(batches_request(args)).await?;
    let wire::BatchesReply { users, unknown, .. } = reply;
    match settings.format {
        Format::Json => output::print_json(&Users {
            users: users.into_iter().map(records::User::from).collect(),
        })?,
        Format::Table if users.is_empty() => output::print("no jobs in the queue\n")?,
        Format::Table => output::print(&users_table(&users).render())?,
    }
    Ok(unknown)
}

fn users_table(users: &[wire::UserSums]) -> Table {
    let mut table = Table::new(&[
        Column::Id("USER"),
        Column::Number("IDLE"),
        Column::Number("RUN"),
        Column::Number("HOLD"),
        Column::Number("DONE"),
        Column::Number("WEIGHT"),
    ]);
    for user in users {
        table.row([
            user.owner.clone(),
            user.idle.to_string(),
            user.running.to_string(),
            user.held.to_string(),
            user.done.to_string(),
            user.weight.to_string(),
        ]);
    }
    table
}

/// A line a batch, then the sums.
pub fn batches_text(batches: &[wire::Batch]) -> String {
    if batches.is_empty() {
        return "no jobs in the queue\n".to_owned();
    }
    let bars = match output::width() {
        Some(width) if width >= BAR_WIDTH_MIN => Bars::Drawn,
        Some(_) | None => Bars::LeftOut,
    };
    let sum = |of: fn(&wire::Batch) -> u64| -> u64 { batches.iter().map(of).sum() };
    let (idle, running) = (sum(|batch| batch.idle), sum(|batch| batch.running));
    let held = sum(|batch| batch.held);
    let all = count(idle + running + held, "job");
    format!(
        "{}\n{all}: {idle} idle, {running} running, {held} held\n",
        batches_table(batches, bars).render()
    )
}

/// Whether the progress is drawn, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bars {
    Drawn,
    LeftOut,
}

fn batches_table(batches: &[wire::Batch], bars: Bars) -> Table {
    let mut table = Table::new(&[
        Column::Id("OWNER"),
        Column::Id("BATCH_NAME"),
        Column::Id("SUBMITTED"),
        Column::Number("DONE"),
        Column::Number("RUN"),
        Column::Number("IDLE"),
        Column::Number("HOLD"),
        Column::Number("TOTAL"),
        Column::Id("PROGRESS"),
        Column::Text("JOB_IDS"),
    ]);
    // HTCondor's way to say none.
    let number = |number: u64| match number {
        0 => "_".to_owned(),
        number => number.to_string(),
    };
    for batch in batches {
        table.row([
            batch.owner.clone(),
            batch.name.clone(),
            time::local(batch.submitted_ms),
            number(batch.done),
            number(batch.running),
            number(batch.idle),
            number(batch.held),
            number(batch.total),
            match bars {
                Bars::Drawn => bar(batch.done, batch.total),
                Bars::LeftOut => String::new(),
            },
            batch.jobs.clone(),
        ]);
    }
    table
}

/// `####......`
fn bar(done: u64, total: u64) -> String {
    let cells = done.saturating_mul(BAR_CELLS) / total.max(1);
    let cells = cells.min(BAR_CELLS);
    let of = |text: &str, n: u64| text.repeat(usize::try_from(n).unwrap_or(0));
    of("#", cells) + &of(".", BAR_CELLS - cells)
}

fn jobs_text(jobs: &wire::JobsReply) -> String {
    if jobs.jobs.is_empty() {
        return "no jobs in the queue\n".to_owned();
    }
    let mut text = jobs_table(&jobs.jobs, time::now_ms()).render();
    text.push_str(&tally(&jobs.jobs));
    if jobs.truncated {
        text.push_str("there are more; name ids to see them\n");
    }
    text
}

/// How many jobs a row stands for; nothing for one.
pub fn count_of(job: &wire::Job) -> String {
    match job.count {
        0 | 1 => String::new(),
        count => count.to_string(),
    }
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
            count_of(job),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        assert_eq!(bar(0, 0), "..........");
        assert_eq!(bar(3, 9), "###.......");
        assert_eq!(bar(9, 9), "##########");
        assert_eq!(bar(u64::MAX, 1), "##########");
    }

    #[test]
    fn a_batch_is_a_line_as_in_condor_q() {
        let batch = wire::Batch {
            owner: "anna".into(),
            name: "ID: 12".into(),
            running: 2,
            idle: 7,
            done: 1,
            total: 10,
            jobs: "12.0-9".into(),
            ..wire::Batch::default()
        };
        let text = batches_table(&[batch], Bars::Drawn).render();
        let line = text.lines().nth(1).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..3], ["anna", "ID:", "12"], "{text}");
        assert_eq!(
            words[5..],
            ["1", "2", "7", "_", "10", "#.........", "12.0-9"],
            "{text}"
        );
    }
}
