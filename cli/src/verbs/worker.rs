//! `worker`: the daemon, and the two requests about one.

use proto::wire;
use serde::Serialize;
use worker::WorkerError;
use worker::settings::Enforcement;

use crate::args::{DrainArgs, EnforceMemory, WorkerAction, WorkerDaemon};
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
        simulate_broken_gpus: args.simulate_broken_gpus,
        gpu_look_ms: args.gpu_look_ms,
        resources: args.resources,
        enforcement: match args.enforce_memory {
            EnforceMemory::Yes => Enforcement::Kill,
            EnforceMemory::No => Enforcement::Leave,
        },
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
    let (name, request) = match action {
        WorkerAction::Drain(args) => (args.name.clone(), drain(args)?),
        WorkerAction::Resume { name } => {
            let worker = name.to_string();
            let request = wire::DrainRequest {
                worker,
                resume: true,
                ..wire::DrainRequest::default()
            };
            (name, request)
        }
    };
    let drained = !request.resume;
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

fn drain(args: DrainArgs) -> Result<wire::DrainRequest, Failure> {
    use wire::drain_request::{Mode, Then};
    if let Err(error) = classad::Expr::parse(&args.check)
        && !args.check.is_empty()
    {
        return Err(Failure::Usage(format!("--check `{}`: {error}", args.check)));
    }
    let mode = match (args.quick, args.fast) {
        (true, _) => Mode::Quick,
        (_, true) => Mode::Fast,
        (false, false) => Mode::Graceful,
    };
    let then = match (args.resume_on_completion, args.exit_on_completion) {
        (true, _) => Then::TakeWork,
        (_, true) => Then::Exit,
        (false, false) => Then::Stay,
    };
    Ok(wire::DrainRequest {
        worker: args.name.to_string(),
        resume: false,
        mode: mode.into(),
        reason: args.reason,
        then: then.into(),
        check: args.check,
    })
}

/// Whose fault it is that a worker does not start.
pub fn failure(error: WorkerError) -> Failure {
    let text = told(&error);
    match error {
        WorkerError::ConfigFile { .. }
        | WorkerError::Config(_)
        | WorkerError::Attribute { .. }
        | WorkerError::Resource { .. }
        | WorkerError::NoManager
        | WorkerError::ManagerAddress { .. }
        | WorkerError::NoName { .. }
        | WorkerError::Discovery(_) => Failure::Usage(text),
        WorkerError::State { .. } | WorkerError::Busy { .. } => Failure::Work(text),
        WorkerError::Thread { .. } | WorkerError::Died { .. } => Failure::Internal(text),
    }
}
