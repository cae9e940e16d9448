//! `worker`: the daemon, and the two requests about one.

use proto::wire;
use serde::Serialize;
use worker::WorkerError;

use crate::args::{WorkerAction, WorkerDaemon};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, count, told};
use crate::settings::Settings;
use crate::signals::Interrupts;
use crate::{embedded, logging};

/// What `worker drain|resume -o json` prints.
#[derive(Serialize)]
struct Document {
    worker: String,
    drained: bool,
    /// Jobs that still run there.
    jobs_running: u32,
}

/// Runs a worker until it is asked to end.
pub async fn run(args: WorkerDaemon, settings: &Settings) -> Result<Exit, Failure> {
    logging::to_stderr();
    let mut interrupts = Interrupts::listen()?;
    let settings = worker::Settings {
        manager: settings.manager.to_string(),
        state_dir: args.state_dir,
        name: args.name,
        cpus: args.cpus,
        memory_mib: args.memory,
        attributes: args.attributes,
        config: args.attributes_file,
        simulate_gpus: args.simulate_gpus,
        trainer: embedded::own_program()?,
        ..worker::Settings::default()
    };
    let stop = async move {
        interrupts.next().await;
        interrupts.end_at_next();
    };
    worker::run(settings, stop).await.map_err(failure)?;
    Ok(Exit::Ok)
}

pub async fn act(
    client: Client,
    action: WorkerAction,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let (name, drained) = match action {
        WorkerAction::Drain { name } => (name, true),
        WorkerAction::Resume { name } => (name, false),
    };
    let request = wire::DrainRequest {
        worker: name.to_string(),
        resume: !drained,
    };
    let reply = client.drain(request).await?;
    match settings.format {
        Format::Json => output::print_json(&Document {
            worker: name.to_string(),
            drained,
            jobs_running: reply.running,
        })?,
        Format::Table if drained => {
            let jobs = count(u64::from(reply.running), "job");
            output::print(&format!("{name}: drained, {jobs} to end\n"))?;
        }
        Format::Table => output::print(&format!("{name}: takes jobs again\n"))?,
    }
    Ok(Exit::Ok)
}

/// Whose fault it is that a worker does not start.
pub fn failure(error: WorkerError) -> Failure {
    let text = told(&error);
    match error {
        WorkerError::ConfigFile { .. }
        | WorkerError::Config(_)
        | WorkerError::Attribute { .. }
        | WorkerError::NoManager
        | WorkerError::ManagerAddress { .. }
        | WorkerError::NoName { .. }
        | WorkerError::Discovery(_) => Failure::Usage(text),
        WorkerError::State { .. } | WorkerError::Busy { .. } => Failure::Work(text),
        WorkerError::Died { .. } => Failure::Internal(text),
    }
}
