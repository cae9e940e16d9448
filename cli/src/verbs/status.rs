//! `status`: the workers, the slots that jobs hold of them, or their GPUs device by device.

use proto::wire;
use serde::Serialize;

use super::columns;
use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, count, records, time};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    workers: Vec<records::Worker>,
}

/// What `--slots -o json` prints.
#[derive(Serialize)]
struct Slots {
    slots: Vec<records::Slot>,
}

/// What `--gpus -o json` prints.
#[derive(Serialize)]
struct Gpus {
    gpus: Vec<Gpu>,
}

#[derive(Serialize)]
struct Gpu {
    worker: String,
    #[serde(flatten)]
    device: records::Device,
}

pub async fn run(
    client: Client,
    mut args: args::Status,
    settings: &Settings,
) -> Result<Exit, Failure> {
    if settings.format == Format::Table {
        args.columns.long |= args.ads;
    }
    let request = wire::WorkersRequest {
        with_ads: args.columns.long || args.ads,
        constraint: args.columns.constraint.clone().unwrap_or_default(),
        columns: args.columns.af.clone(),
    };
    let workers = client.workers(request).await?.workers;
    if args.columns.shows_ads() {
        columns::print_workers(&workers, &args.columns, settings)?;
        return Ok(Exit::Ok);
    }
    match settings.format {
        Format::Json => print_json(workers, &args)?,
        Format::Table if workers.is_empty() && args.columns.constraint.is_some() => {
            output::print("no worker passes the constraint\n")?;
        }
        Format::Table if workers.is_empty() => {
            output::print("no workers; start one with `updraft worker`\n")?;
        }
        Format::Table if args.slots => print_or("no job holds a slot\n", &slots_table(&workers))?,
        Format::Table if args.gpus => print_or("no worker has a GPU\n", &gpus_table(&workers))?,
        Format::Table => {
            let text = workers_table(&workers).render();
            output::print(&format!("{text}\n{}", totals(&workers)))?;
        }
    }
    Ok(Exit::Ok)
}

fn print_json(workers: Vec<wire::Worker>, args: &args::Status) -> Result<(), Failure> {
    if args.slots {
        let slots = workers.into_iter().flat_map(|worker| worker.slots);
        let slots = slots.map(records::Slot::from).collect();
        return output::print_json(&Slots { slots });
    }
    if args.gpus {
        let gpus = workers.into_iter().flat_map(|worker| {
            let name = worker.name;
            let devices = worker.devices.into_iter();
            devices.map(move |device| Gpu {
                worker: name.clone(),
                device: device.into(),
            })
        });
        let gpus = gpus.collect();
        return output::print_json(&Gpus { gpus });
    }
    let workers = workers.into_iter().map(records::Worker::from).collect();
    output::print_json(&Document { workers })
}

fn print_or(nothing: &str, table: &Table) -> Result<(), Failure> {
    match table.is_empty() {
        true => output::print(nothing),
        false => output::print(&table.render()),
    }
}

fn workers_table(workers: &[wire::Worker]) -> Table {
    let mut table = Table::new(&[
        Column::Id("WORKER"),
        Column::Id("STATE"),
        Column::Number("CPUS FREE"),
        Column::Number("MEMORY FREE"),
        Column::Number("GPUS FREE"),
        Column::Text("RESOURCES FREE"),
        Column::Number("LOAD"),
        Column::Number("JOBS"),
        Column::Number("HEARD AGO"),
        Column::Id("VERSION"),
    ]);
    for worker in workers {
        let simulated = if worker.gpus_simulated {
            " simulated"
        } else {
            ""
        };
        let custom = worker.custom.iter();
        let custom = custom.map(|own| format!("{} {}/{}", own.name, own.free, own.total));
        table.row([
            worker.name.clone(),
            worker.state.clone(),
            format!("{}/{}", worker.cpus_free, worker.cpus),
            format!("{}/{} MiB", worker.memory_mib_free, worker.memory_mib),
            format!("{}/{}{simulated}", worker.gpus_free, worker.gpus),
            custom.collect::<Vec<_>>().join(", "),
            load(worker),
            worker.slots.len().to_string(),
            time::span(worker.last_heard_ms_ago),
            worker.version.clone(),
        ]);
    }
    table
}

/// The part of its cores that jobs hold.
fn load(worker: &wire::Worker) -> String {
    let taken = worker.cpus.saturating_sub(worker.cpus_free);
    let load = f64::from(taken) / f64::from(worker.cpus.max(1));
    format!("{:.0} %", load * 100.0)
}

/// `3 workers: 1 claimed, 2 unclaimed; free: 5 of 12 cpus, …`
fn totals(workers: &[wire::Worker]) -> String {
    let states: Vec<String> = ["Claimed", "Unclaimed", "Drained", "Offline"]
        .iter()
        .filter_map(|state| {
            let there = workers.iter().filter(|worker| worker.state == *state);
            let there = there.count();
            (there > 0).then(|| format!("{there} {}", state.to_lowercase()))
        })
        .collect();
    let online = || workers.iter().filter(|worker| worker.state != "Offline");
    let sum =
        |of: fn(&wire::Worker) -> u64| -> u64 { online().map(of).fold(0, u64::saturating_add) };
    let all = count(workers.len() as u64, "worker");
    let jobs = count(sum(|worker| worker.slots.len() as u64), "job");
    format!(
        "{all}: {}; free: {} of {} cpus, {} of {} MiB, {} of {} gpus; {jobs}\n",
        states.join(", "),
        sum(|worker| u64::from(worker.cpus_free)),
        sum(|worker| u64::from(worker.cpus)),
        sum(|worker| worker.memory_mib_free),
        sum(|worker| worker.memory_mib),
        sum(|worker| u64::from(worker.gpus_free)),
        sum(|worker| u64::from(worker.gpus)),
    )
}

fn slots_table(workers: &[wire::Worker]) -> Table {
    let now_ms = time::now_ms();
    let mut table = Table::new(&[
        Column::Id("SLOT"),
        Column::Id("JOB"),
        Column::Id("OWNER"),
        Column::Id("ACTIVITY"),
        Column::Number("CPUS"),
        Column::Number("MEMORY"),
        Column::Number("FOR"),
        Column::Text("GPUS"),
    ]);
    for slot in workers.iter().flat_map(|worker| &worker.slots) {
        let part = slot.gpu_memory_mib;
        let part = part.map_or(String::new(), |mib| format!(" ({mib} MiB)"));
        let gpus = slot.gpus.iter().map(|gpu| format!("{gpu}{part}"));
        table.row([
            slot.name.clone(),
            slot.job.clone(),
            slot.owner.clone(),
            slot.activity.clone(),
            slot.cpus.to_string(),
            format!("{} MiB", slot.memory_mib),
            time::span(now_ms.saturating_sub(slot.since_ms)),
            gpus.collect::<Vec<_>>().join(" "),
        ]);
    }
    table
}

fn gpus_table(workers: &[wire::Worker]) -> Table {
    let mut table = Table::new(&[
        Column::Id("WORKER"),
        Column::Id("GPU"),
        Column::Id("NAME"),
        Column::Number("CAPABILITY"),
        Column::Number("MEMORY FREE"),
        Column::Id("MIG"),
        Column::Text("STATE"),
    ]);
    for worker in workers {
        for device in &worker.devices {
            let memory = (device.memory_mib_free, device.memory_mib);
            table.row([
                worker.name.clone(),
                device.id.clone(),
                device.name.clone(),
                device.capability.clone(),
                format!("{}/{} MiB", memory.0, memory.1),
                device.mig.clone(),
                state_of(device),
            ]);
        }
    }
    table
}

/// `free`, `whole: 12.0`, `shared: 12.0 13.0`, `broken: reason`.
fn state_of(device: &wire::Device) -> String {
    let jobs = device.jobs.join(" ");
    match (device.state.as_str(), jobs.is_empty()) {
        ("broken", true) => format!("broken: {}", device.reason),
        ("broken", false) => format!("broken: {}; held by {jobs}", device.reason),
        (state, true) => state.to_owned(),
        (state, false) => format!("{state}: {jobs}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(state: &str, jobs: &[&str]) -> wire::Device {
        wire::Device {
            state: state.to_owned(),
            jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
            reason: "it fell off the bus".to_owned(),
            ..wire::Device::default()
        }
    }

    #[test]
    fn a_gpu_is_free_whole_shared_or_broken() {
        let rows = [
            (device("free", &[]), "free"),
            (device("whole", &["12.0"]), "whole: 12.0"),
            (device("shared", &["12.0", "13.0"]), "shared: 12.0 13.0"),
            (device("broken", &[]), "broken: it fell off the bus"),
            (
                device("broken", &["1.0"]),
                "broken: it fell off the bus; held by 1.0",
            ),
        ];
        for (device, text) in rows {
            assert_eq!(state_of(&device), text);
        }
    }

    #[test]
    fn custom_resources_have_a_column_where_a_worker_offers_some() {
        let worker = |name: &str, custom: &[(&str, u64, u64)]| wire::Worker {
            name: name.to_owned(),
            state: "Unclaimed".to_owned(),
            cpus: 4,
            cpus_free: 1,
            custom: custom
                .iter()
                .map(|(name, free, total)| wire::Custom {
                    name: (*name).to_owned(),
                    total: *total,
                    free: *free,
                })
                .collect(),
            ..wire::Worker::default()
        };
        let workers = [worker("a", &[("license", 2, 3)]), worker("b", &[])];
        let text = workers_table(&workers).render();
        assert!(text.contains("RESOURCES FREE"), "{text}");
        assert!(
            text.contains("license 2/3") && text.contains("75 %"),
            "{text}"
        );
        assert!(totals(&workers).starts_with("2 workers: 2 unclaimed; free: 2 of 8 cpus"));
        assert!(!workers_table(&workers[1..]).render().contains("RESOURCES"));
    }
}
