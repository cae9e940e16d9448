//! `completions`: a script that completes the command line.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::exit::{Exit, Failure};
use crate::output;

pub fn run(args: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "updraft", &mut script);
    output::print_bytes(&script)?;
    Ok(Exit::Ok)
}
