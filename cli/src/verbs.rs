//! The verbs, each in its own file, and what they run in: nothing, one thread that talks to a
//! manager, or many threads for what is itself a daemon.

mod act;
mod classad;
mod columns;
mod completions;
pub mod dag;
mod data;
mod events;
mod fetch;
mod history;
mod logs;
pub mod manager;
mod pool;
mod q;
mod run;
mod status;
mod steer;
pub mod study;
mod submit;
pub mod train;
mod userprio;
mod wait;
mod watch;
mod why;
pub mod worker;

use std::future::Future;

use dags::dag::External;
use proto::wire::act_request::Action;
use proto::wire::steer_request::{self, What};
use tokio::runtime::{Builder, Runtime};

use crate::args::{Dag, Study, Verb};
use crate::client::Client;
use crate::client::fate::Awaited;
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::settings::Settings;
use crate::signals::Interrupts;

/// Does what the command line asks.
///
/// # Errors
/// Why it was not done; the work's own failure may also be an `Ok` with its exit code.
pub fn run(verb: Verb, settings: &Settings) -> Result<Exit, Failure> {
    match verb {
        Verb::Run(args) => many_threads()?.block_on(run::run(args, settings)),
        Verb::Manager(args) => many_threads()?.block_on(manager::run(args)),
        Verb::Pool(pool) => pool::run(pool, settings),
        Verb::Userprio(args) => ask(settings, |client| userprio::run(client, args, settings)),
        Verb::Worker(args) => match (args.action, args.daemon) {
            (Some(action), _) => ask(settings, |client| worker::act(client, action, settings)),
            (None, Some(daemon)) => many_threads()?.block_on(worker::run(daemon, settings)),
            (None, None) => Err(Failure::Usage("a worker needs --state-dir".to_owned())),
        },
        Verb::Submit(args) => submit::run(args, settings),
        Verb::Q(args) => ask(settings, |client| q::run(client, args, settings)),
        Verb::Status(args) => ask(settings, |client| status::run(client, args, settings)),
        Verb::History(args) => ask(settings, |client| history::run(client, args, settings)),
        Verb::Hold(args) => ask(settings, |client| {
            act::run(client, Action::Hold, args, settings)
        }),
        Verb::Release(args) => ask(settings, |client| {
            act::run(client, Action::Release, args, settings)
        }),
        Verb::Rm(args) => ask(settings, |client| {
            act::run(client, Action::Remove, args, settings)
        }),
        Verb::Prio(args) => ask(settings, |client| act::prio(client, args, settings)),
        Verb::Qedit(args) => ask(settings, |client| act::qedit(client, args, settings)),
        Verb::Vacate(args) => ask(settings, |client| act::vacate(client, args, settings)),
        Verb::Watch(args) => ask(settings, |client| watch::run(client, args, settings)),
        Verb::Why(args) => ask(settings, |client| why::run(client, args, settings)),
        Verb::Logs(args) => ask(settings, |client| logs::run(client, args)),
        Verb::Events(args) => events::run(&args, settings),
        Verb::Wait(args) => ask(settings, |client| {
            let awaited = match args.all {
                true => Awaited::All,
                false => Awaited::Named(args.ids),
            };
            wait::run(client, awaited, args.timeout, settings)
        }),
        Verb::Fetch(args) => ask(settings, |client| fetch::run(client, args, settings)),
        Verb::Dag(Dag::Check {
            file,
            json,
            dag_only,
            statistics,
        }) => {
            let format = if json { Format::Json } else { settings.format };
            let detail = match statistics {
                true => dag::Detail::Statistics,
                false => dag::Detail::Short,
            };
            let external = match dag_only {
                true => External::Leave,
                false => External::Read,
            };
            dag::check(&file, format, detail, external)
        }
        Verb::Dag(Dag::Show { file }) => dag::show(&file),
        Verb::Dag(Dag::Parse { file, json }) => dag::parse(&file, json, settings),
        Verb::Dag(Dag::Dot { file, run: None }) => dag::dot(&file),
        Verb::Dag(Dag::Dot {
            file,
            run: Some(run),
        }) => ask(settings, |client| dag::dot_of_run(client, file, run)),
        Verb::Dag(Dag::Status { run }) => {
            ask(settings, |client| dag::status(client, run, settings))
        }
        Verb::Dag(Dag::Resume {
            run,
            file: Some(file),
            preview,
        }) => steer::resume_changed(run, file, preview, settings),
        Verb::Dag(Dag::Resume {
            run,
            file: None,
            preview,
        }) => ask(settings, |client| {
            let what = What::Resume(steer_request::Resume {});
            steer::run(client, run, what, preview, settings)
        }),
        Verb::Dag(Dag::Retry {
            run,
            nodes,
            preview,
        }) => ask(settings, |client| {
            let what = What::Retry(steer_request::Retry { nodes });
            steer::run(client, run, what, preview, settings)
        }),
        Verb::Dag(Dag::Rerun { run, from, preview }) => ask(settings, |client| {
            let what = What::Rerun(steer_request::Rerun { from });
            steer::run(client, run, what, preview, settings)
        }),
        Verb::Dag(Dag::Halt { run }) => ask(settings, |client| steer::halt(client, run, settings)),
        Verb::Dag(Dag::Rescue { run, to }) => {
            ask(settings, |client| steer::rescue(client, run, to, settings))
        }
        Verb::Dag(Dag::Set(limits)) => ask(settings, |client| steer::set(client, limits, settings)),
        Verb::Study(Study::AskTell) => study::ask_tell(),
        Verb::Study(Study::Show { run, node }) => {
            ask(settings, |client| study::show(client, run, node, settings))
        }
        Verb::Study(Study::Best { run, node }) => {
            ask(settings, |client| study::best(client, run, node, settings))
        }
        Verb::Train(args) => train::run(args),
        Verb::Data(args) => data::run(args),
        Verb::Classad(args) => classad::run(args, settings),
        Verb::Completions(args) => completions::run(&args),
    }
}

/// Does what a tool of HTCondor's does, where the binary was called by that tool's name.
pub fn run_as_tool() -> Option<Result<Exit, Failure>> {
    classad::run_as_condor()
}

/// Connects to the manager and asks; Ctrl-C leaves it at that.
fn ask<F: Future<Output = Result<Exit, Failure>>>(
    settings: &Settings,
    question: impl FnOnce(Client) -> F,
) -> Result<Exit, Failure> {
    let runtime = one_thread()?;
    let answer = runtime.block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let answer = async { question(Client::connect(&settings.manager).await?).await };
        tokio::select! {
            answer = answer => answer,
            () = interrupts.next() => Err(Failure::Interrupted),
        }
    });
    // Nobody waits for a file that is still being hashed.
    runtime.shutdown_background();
    answer
}

fn one_thread() -> Result<Runtime, Failure> {
    built(Builder::new_current_thread().enable_all().build())
}

fn many_threads() -> Result<Runtime, Failure> {
    built(Builder::new_multi_thread().enable_all().build())
}

fn built(runtime: std::io::Result<Runtime>) -> Result<Runtime, Failure> {
    runtime.map_err(|error| Failure::Internal(format!("no threads: {error}")))
}
