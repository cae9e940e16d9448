//! `updraft`: the one binary. Settings → config → build → run → exit code; everything else is in
//! the files named below, each verb in its own.

mod args;
mod client;
mod embedded;
mod exit;
mod logging;
mod output;
mod progress;
mod settings;
mod signals;
mod summary;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use exit::{Exit, Failure};
use settings::Settings;

fn main() -> ExitCode {
    if let Some(ended) = verbs::run_as_tool() {
        return ended.unwrap_or_else(|failure| report(&failure)).into();
    }
    let cli = Cli::parse_from(args::condor_spelling(std::env::args_os()));
    let ended = Settings::gather(&cli.common).and_then(|settings| verbs::run(cli.verb, &settings));
    ended.unwrap_or_else(|failure| report(&failure)).into()
}

fn report(failure: &Failure) -> Exit {
    if !failure.is_silent() {
        output::complain(&format!("error: {failure}"));
    }
    failure.exit()
}
