//! The grammar of the command line, `updraft VERB [NOUN]`, and nothing else: what a verb does is in
//! `verbs`.

mod classad;
mod dag;
mod pool;
mod queue;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueHint};
use proto::nouns::{JobId, ParseIdError, Subject, WorkerName};

pub use classad::{Check, Classad, Eval, Match};
pub use dag::{Dag, Limits, Preview, Rescue};
pub use pool::{Pool, Userprio};
pub use queue::{
    Act, Columns, History, Meant, Prio, PrioWord, Q, Qedit, QeditWord, Status, Vacate, Wait, Watch,
    condor_spelling,
};

use crate::output::Format;
use crate::settings::Address;
use crate::verbs::train::Hyperparameters;

const EXIT_CODES: &str = "\
Exit codes:
  0 ok · 1 the work failed · 2 bad usage or file · 4 not found · 6 manager unreachable
  8 not yet (wait --timeout) · 70 internal fault · 130 interrupted

Settings come from flags, then UPDRAFT_* variables, then the configuration file, then defaults.";

/// Tunes and trains one model per region from a DAG file, on whatever machines there are.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Debug, Args)]
pub struct Common {
    /// The manager to talk to; `http://` may stand in front [default: 127.0.0.1:7878]
    #[arg(long, global = true, env = "UPDRAFT_MANAGER", value_name = "HOST:PORT")]
    #[arg(help_heading = "Everywhere", hide_env_values = true)]
    pub manager: Option<Address>,
    /// How to print what is read [default: table]
    #[arg(
        short,
        long,
        global = true,
        env = "UPDRAFT_OUTPUT",
        value_enum,
        value_name = "FORMAT"
    )]
    #[arg(help_heading = "Everywhere", hide_env_values = true)]
    pub output: Option<Format>,
    /// Show the log of what runs in this process on standard error
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub verbose: bool,
    /// The configuration file [default: ~/.config/updraft/config.toml]
    #[arg(long, env = "UPDRAFT_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(hide_env_values = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a DAG file here and now, with a manager and a worker of its own
    Run(Run),
    /// Put a DAG file or a submit description into the manager's queue
    Submit(Submit),
    /// Show what is in the queue: by batch, by job or by user
    Q(Q),
    /// Show the workers, their slots or their GPUs
    Status(Status),
    /// Show jobs that have ended
    History(History),
    /// Keep jobs from running; what runs is stopped
    Hold(Act),
    /// Let held jobs run again
    Release(Act),
    /// Remove jobs or DAG runs from the queue
    Rm(Act),
    /// Change the priority of jobs among those of their owner
    Prio(Prio),
    /// Change attributes of jobs
    Qedit(Qedit),
    /// Send running jobs back to the queue
    Vacate(Vacate),
    /// Say why a job, node or worker is where it is
    Why(Why),
    /// Show what a job printed
    Logs(Logs),
    /// List the events of an event log, the file that `log` of a submit description names
    Events(Events),
    /// Block until jobs or DAG runs have ended
    Wait(Wait),
    /// Print what happens, as it happens
    Watch(Watch),
    /// Download the outputs of a job or DAG run
    Fetch(Fetch),
    /// Check and draw DAG files; watch, steer and resume DAG runs
    #[command(subcommand)]
    Dag(Dag),
    /// Look at studies, or drive an optimizer from a script
    #[command(subcommand)]
    Study(Study),
    /// Be a worker; or drain and resume one
    Worker(Worker),
    /// Be the manager
    Manager(Manager),
    /// Show, check and set the pool's rules: shares, quotas, limits, order, preemption
    #[command(subcommand)]
    Pool(Pool),
    /// Show who has which right to the pool and uses how much of it; or change that
    Userprio(Userprio),
    /// Train one model from tables
    Train(Train),
    /// Make and split example tables
    #[command(subcommand)]
    Data(Data),
    /// Work with ClassAds
    #[command(subcommand)]
    Classad(Classad),
    /// Print a completion script for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  updraft run dags/regions.dag

The same command again resumes what was not finished. Ctrl-C stops cleanly; twice, at once.")]
pub struct Run {
    #[arg(value_name = "FILE.dag", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where store and logs are kept, each DAG file's in a directory of its own
    /// [default: $XDG_STATE_HOME/updraft/run]
    #[arg(long, env = "UPDRAFT_STATE_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// Cores that the worker offers [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cpus: Option<u32>,
    /// Begin anew even where an earlier run could be resumed
    #[arg(long)]
    pub fresh: bool,
    #[command(flatten)]
    pub rescue: Rescue,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updraft submit dags/regions.dag
  updraft submit train.sub epochs=30 --wait
  updraft submit --dry-run train.sub")]
pub struct Submit {
    /// A DAG file (.dag), or a submit description
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Values that add to or override those of a submit description
    #[arg(value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub macros: Vec<(String, String)>,
    #[command(flatten)]
    pub rescue: Rescue,
    /// Print the id alone
    #[arg(short, long)]
    pub quiet: bool,
    /// Wait until it has ended, and exit as `updraft wait` does
    #[arg(long)]
    pub wait: bool,
    /// Submit nothing: print the job ads of a submit description, and everything that is wrong
    #[arg(long, conflicts_with_all = ["quiet", "wait"])]
    pub dry_run: bool,
    /// The cluster that a dry run's jobs are of
    #[arg(long, value_name = "N", requires = "dry_run", default_value_t = 1)]
    pub cluster: u32,
    /// When a dry run's jobs are submitted, in seconds since 1970 [default: now]
    #[arg(
        long,
        value_name = "T",
        requires = "dry_run",
        allow_negative_numbers = true
    )]
    pub qdate: Option<i64>,
    /// Who submits a dry run's jobs [default: you]
    #[arg(long, value_name = "O", requires = "dry_run")]
    pub owner: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 it runs or ended well, 1 it failed or was removed, 3 nothing in the pool could ever
run it, 8 it waits.

Examples:
  updraft why 12.0
  updraft why 12/train-de
  updraft why --worker gpu-3
  updraft why --all")]
pub struct Why {
    /// A job (12.0), a cluster or DAG run (12), or a node of one (12/NODE)
    #[arg(value_name = "ID", required_unless_present_any = ["worker", "all"])]
    pub id: Option<WhyId>,
    /// A node of the DAG run
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// Say why a worker gets nothing
    #[arg(long, value_name = "NAME", conflicts_with_all = ["id", "all"])]
    pub worker: Option<WorkerName>,
    /// Group all that waits by its cause
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
}

/// What `why` is asked about.
#[derive(Clone, Debug)]
pub struct WhyId {
    pub subject: Subject,
    pub node: Option<String>,
}

impl FromStr for WhyId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<WhyId, ParseIdError> {
        let (subject, node) = match text.split_once('/') {
            Some((run, node)) => (run, Some(node.to_owned())),
            None => (text, None),
        };
        Ok(WhyId {
            subject: subject.parse()?,
            node,
        })
    }
}

#[derive(Debug, Args)]
pub struct Events {
    /// The log, in HTCondor's text form; - is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// A job (12.0); 12 means 12.0
    #[arg(value_name = "JOB")]
    pub job: Subject,
    /// Go on until the job has ended
    #[arg(short, long)]
    pub follow: bool,
    /// Its standard error, not its standard output
    #[arg(long)]
    pub stderr: bool,
}

#[derive(Debug, Args)]
pub struct Fetch {
    /// A job (12.0), or a cluster or DAG run (12)
    #[arg(value_name = "ID")]
    pub id: Subject,
    /// Where the files go
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub to: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum Study {
    /// Show every trial
    Show {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
        /// The study's node; all when there is none
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
    /// Show the best trial of each study
    Best {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
        /// The study's node; all when there is none
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
    /// Answer a script's `ask` and `tell` lines: JSON lines in, JSON lines out
    AskTell,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  updraft worker --manager 10.0.0.1:7878 --state-dir /var/lib/updraft --attr 'HAS_GPU = true'
  updraft worker drain gpu-3")]
pub struct Worker {
    #[command(subcommand)]
    pub action: Option<WorkerAction>,
    #[command(flatten)]
    pub daemon: Option<WorkerDaemon>,
}

#[derive(Debug, Subcommand)]
pub enum WorkerAction {
    /// Start nothing more there; what runs ends by itself, or is taken back
    Drain(DrainArgs),
    /// Let jobs start there again
    Resume {
        #[arg(value_name = "NAME")]
        name: WorkerName,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Jobs that are taken back run elsewhere. `updraft status` says Draining while jobs are left, then Drained.

Examples:
  updraft worker drain gpu-3 --quick --reason 'new driver'
  updraft worker drain gpu-3 --resume-on-completion")]
pub struct DrainArgs {
    #[arg(value_name = "NAME")]
    pub name: WorkerName,
    /// Let jobs run to their end (this is the default)
    #[arg(long, group = "mode")]
    pub graceful: bool,
    /// Ask jobs to end, with the time that each may take for it
    #[arg(long, group = "mode")]
    pub quick: bool,
    /// Kill jobs at once
    #[arg(long, group = "mode")]
    pub fast: bool,
    /// Why; shown with the worker
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub reason: String,
    /// Take work again when the last job has ended
    #[arg(long, group = "then")]
    pub resume_on_completion: bool,
    /// End the worker when the last job has ended
    #[arg(long, group = "then")]
    pub exit_on_completion: bool,
    /// Only if this expression is true of the worker's slot
    #[arg(
        long,
        value_name = "EXPR",
        default_value = "",
        hide_default_value = true
    )]
    pub check: String,
}

#[derive(Debug, Args)]
pub struct WorkerDaemon {
    /// Where cache, jobs and unacknowledged results are kept
    #[arg(long, value_name = "DIR", env = "UPDRAFT_WORKER_DIR", value_hint = ValueHint::DirPath)]
    #[arg(hide_env_values = true)]
    pub state_dir: PathBuf,
    /// What it is called [default: the host's name]
    #[arg(long)]
    pub name: Option<WorkerName>,
    /// Cores that it offers [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cpus: Option<u32>,
    /// Memory that it offers, in MiB [default: all]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    pub memory: Option<u64>,
    /// Attributes and expressions in HTCondor's configuration language
    #[arg(long = "config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub attributes_file: Option<PathBuf>,
    /// An attribute of the worker's ad; may be given often
    #[arg(long = "attr", value_name = "NAME = EXPR")]
    pub attributes: Vec<String>,
    /// Pretend to have N devices of a model, for tests; the ad says so
    #[arg(long, value_name = "MODEL:N")]
    pub simulate_gpus: Vec<String>,
    /// A file with the ids or numbers of pretended devices that are broken, for tests
    #[arg(
        long,
        value_name = "FILE",
        env = "UPDRAFT_SIMULATE_BROKEN_GPUS",
        hide = true
    )]
    pub simulate_broken_gpus: Option<PathBuf>,
    /// How often GPUs are looked at, in milliseconds, for tests
    #[arg(long, value_name = "MS", env = "UPDRAFT_GPU_LOOK_MS", hide = true)]
    #[arg(default_value_t = worker::settings::GPU_LOOK_MS)]
    pub gpu_look_ms: u64,
    /// A custom resource that it offers, for jobs with `request_NAME`; may be given often
    #[arg(long = "resource", value_name = "NAME=N")]
    pub resources: Vec<String>,
    /// Whether a job that uses more memory than it asked for is killed
    #[arg(long, value_name = "WHAT", value_enum, default_value = "yes")]
    pub enforce_memory: EnforceMemory,
}

/// What becomes of a job that uses more memory than it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EnforceMemory {
    Yes,
    No,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  updraft manager --state-dir /var/lib/updraft --listen 0.0.0.0:7878

SIGTERM and Ctrl-C drain it: what was acknowledged is kept; running jobs go on, and report to its
next start.")]
pub struct Manager {
    /// Where the store and the staged files are kept
    #[arg(long, value_name = "DIR", env = "UPDRAFT_MANAGER_DIR", value_hint = ValueHint::DirPath)]
    #[arg(hide_env_values = true)]
    pub state_dir: PathBuf,
    /// Where to serve; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT", env = "UPDRAFT_LISTEN")]
    #[arg(default_value = crate::settings::MANAGER_DEFAULT, value_parser = listen_address)]
    pub listen: SocketAddr,
    /// A file that gets the address once it serves
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub address_file: Option<PathBuf>,
    /// The pool's rules from now on, a TOML file; as they were if not given
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub rules: Option<PathBuf>,
    /// Whether the scripts of DAG nodes run: they run here, with all the rights of the manager
    #[arg(
        long,
        value_name = "WHAT",
        env = "UPDRAFT_SCRIPTS",
        value_enum,
        default_value = "allow"
    )]
    pub scripts: ScriptPolicy,
    /// Seconds without a word from a worker after which its jobs run elsewhere
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub lease_s: Option<f64>,
    /// Seconds between two looks at what `periodic_hold`, `_release`, `_remove` and `_vacate` of the
    /// jobs say; 60 if not given
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub policy_interval_s: Option<f64>,
}

/// What a manager does about the scripts of DAG nodes.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum ScriptPolicy {
    /// Runs them
    Allow,
    /// Takes no DAG that has any
    Refuse,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "\
Example:
  updraft train --train train.csv --validation validation.csv --target rating --model m.safetensors

A parameter file named by UPDRAFT_PARAMS (JSON) overrides the flags. Metrics go, one JSON line an
epoch, to the file named by UPDRAFT_METRICS.")]
pub struct Train {
    /// The table to learn from, .csv or .parquet
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub train: PathBuf,
    /// The table that picks the best epoch
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub validation: PathBuf,
    /// A table to score the model on at the end
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub test: Option<PathBuf>,
    /// Where the model goes (safetensors)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub model: Option<PathBuf>,
    /// Where the metrics go (JSON)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub metrics: Option<PathBuf>,
    #[command(flatten)]
    pub hyperparameters: Hyperparameters,
}

#[derive(Debug, Subcommand)]
pub enum Data {
    /// Make a region's example table and its train, validation and test parts
    Synth {
        /// Any name; each has its own distribution
        #[arg(long, value_name = "NAME")]
        region: String,
        /// Rows in all [default: by region]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        rows: Option<u64>,
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// Where train.csv, validation.csv and test.csv go
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
    },
    /// Split a table into train, validation and test parts
    Split {
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// Where the parts go
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

impl Logs {
    /// The one job whose log is shown.
    pub fn job(&self) -> JobId {
        match self.job {
            Subject::Job(job) => job,
            Subject::Whole(cluster) => JobId { cluster, proc: 0 },
        }
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        Some(_) | None => Err("expected NAME=VALUE".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    /// A year: longer waits are a typing error, and would overflow a clock.
    const SECONDS_MAX: f64 = 366.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err(format!("expected seconds from 0 to {SECONDS_MAX}")),
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    use std::net::ToSocketAddrs;
    let found = text
        .to_socket_addrs()
        .map_err(|error| format!("expected HOST:PORT ({error})"))?;
    // A name may have several addresses; IPv4 first, as the command lines that name one expect.
    let found: Vec<SocketAddr> = found.collect();
    let first = found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first());
    first
        .copied()
        .ok_or_else(|| "the name has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(
            name_and_value("a = 1=2").unwrap(),
            ("a".into(), "1=2".into())
        );
        assert!(name_and_value("=1").is_err());
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["-1", "nan", "inf", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(
            listen_address("localhost:0").unwrap().to_string(),
            "127.0.0.1:0"
        );
    }
}
