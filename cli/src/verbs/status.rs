//! `status`: the workers, what they have left, and the slots carved from them.

use proto::wire;
use serde::Serialize;

use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, records, time};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    workers: Vec<records::Worker>,
}

pub async fn run(client: Client, args: args::Status, settings: &Settings) -> Result<Exit, Failure> {
    let reply = client
        .workers(wire::WorkersRequest { with_ads: args.ads })
        .await?;
    match settings.format {
        Format::Json => {
            let workers = reply
                .workers
                .into_iter()
                .map(records::Worker::from)
                .collect();
            output::print_json(&Document { workers })?;
        }
        Format::Table if reply.workers.is_empty() => {
            output::print("no workers; start one with `updraft worker`\n")?;
        }
        Format::Table if args.ads => output::print(&ads(&reply.workers))?,
        Format::Table => {
            let mut text = workers(&reply.workers).render();
            let slots = slots(&reply.workers, time::now_ms());
            if !slots.is_empty() {
                text.push('\n');
                text.push_str(&slots.render());
            }
            output::print(&text)?;
        }
    }
    Ok(Exit::Ok)
}

/// Long form, a blank line between two ads.
fn ads(workers: &[wire::Worker]) -> String {
    let ads: Vec<&str> = workers.iter().map(|worker| worker.ad.trim_end()).collect();
    ads.join("\n\n") + "\n"
}

fn workers(workers: &[wire::Worker]) -> Table {
    let mut table = Table::new(&[
        Column::Id("WORKER"),
        Column::Id("STATE"),
        Column::Number("CPUS FREE"),
        Column::Number("MEMORY FREE"),
        Column::Number("GPUS FREE"),
        Column::Number("HEARD AGO"),
        Column::Id("VERSION"),
    ]);
    for worker in workers {
        let simulated = if worker.gpus_simulated {
            " simulated"
        } else {
            ""
        };
        table.row([
            worker.name.clone(),
            worker.state.clone(),
            format!("{}/{}", worker.cpus_free, worker.cpus),
            format!("{}/{} MiB", worker.memory_mib_free, worker.memory_mib),
            format!("{}/{}{simulated}", worker.gpus_free, worker.gpus),
            time::span(worker.last_heard_ms_ago),
            worker.version.clone(),
        ]);
    }
    table
}

fn slots(workers: &[wire::Worker], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        Column::Id("SLOT"),
        Column::Id("JOB"),
        Column::Id("ACTIVITY"),
        Column::Number("CPUS"),
        Column::Number("MEMORY"),
        Column::Number("FOR"),
        Column::Text("GPUS"),
    ]);
    for slot in workers.iter().flat_map(|worker| &worker.slots) {
        table.row([
            slot.name.clone(),
            slot.job.clone(),
            slot.activity.clone(),
            slot.cpus.to_string(),
            format!("{} MiB", slot.memory_mib),
            time::span(now_ms.saturating_sub(slot.since_ms)),
            slot.gpus.join(" "),
        ]);
    }
    table
}
