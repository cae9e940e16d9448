//! The grammar of `updraft classad …`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

const FILES: &str = "\
A file may hold ads in the new syntax ([ a = 1; b = 2 ]), in long form (a line an attribute) or in
JSON, one or many; which of them is seen by looking. `-` is standard input.";

#[derive(Debug, Subcommand)]
pub enum Classad {
    /// Evaluate an expression in an ad, against another
    Eval(Eval),
    /// Read files of ads; say everything that is wrong, with its place
    Check(Check),
    /// Match a job's ad with machines' ads, and say clause by clause why not
    Match(Match),
}

#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  updraft classad eval 'TARGET.Cpus >= RequestCpus' --ad job.ad --target slot.ad
  updraft classad eval --set 'a = 2' 'a * 2'
  updraft classad eval --jsonl rows.jsonl
  updraft classad eval --condor -quiet 'a = 2' 'a * 2'

{FILES}"))]
pub struct Eval {
    /// What to evaluate, in the new syntax
    #[arg(value_name = "EXPR", required_unless_present_any = ["jsonl", "condor"])]
    #[arg(allow_hyphen_values = true)]
    pub expr: Option<String>,
    /// The ad in which it is evaluated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ad: Option<PathBuf>,
    /// The ad on the other side
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub target: Option<PathBuf>,
    /// Set attributes of the ad, in order; may be given often
    #[arg(long = "set", value_name = "NAME = EXPR")]
    pub sets: Vec<String>,
    /// The same as `-o json`
    #[arg(long)]
    pub json: bool,
    /// Answer lines of JSON, {"id", "ad"?, "target"?, "expr"}, with {"id", "expect", …}
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    #[arg(value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["expr", "ad", "target", "sets", "json"])]
    pub jsonl: Option<PathBuf>,
    /// Take the rest as HTCondor's classad_eval does, and print as it prints
    #[arg(long, value_name = "ARG", num_args = 0.., allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["expr", "ad", "target", "sets", "json", "jsonl"])]
    pub condor: Option<Vec<OsString>>,
}

#[derive(Debug, Args)]
#[command(after_help = FILES)]
pub struct Check {
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = format!("\
Exits 0 if at least one machine matches, 1 if none does.

{FILES}"))]
pub struct Match {
    /// The ad that looks for a match
    #[arg(value_name = "JOB", value_hint = ValueHint::FilePath)]
    pub job: PathBuf,
    /// The ads that it may match
    #[arg(value_name = "MACHINES", required = true, value_hint = ValueHint::FilePath)]
    pub machines: Vec<PathBuf>,
}
