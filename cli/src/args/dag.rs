//! What may be asked of DAG files and DAG runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::name_and_value;
use crate::client::bundle;

const PARSE: &str = "\
Reading goes on after an error. Exits with 2 if there is one.
What is read here may still be refused by `updraft dag check`.";

#[derive(Debug, Subcommand)]
pub enum Dag {
    /// Read a DAG file and all it names; say everything that is wrong, with its place
    Check {
        #[arg(value_name = "FILE.dag", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The same as `-o json`: the keys of `condor_dag_checker` and our own
        #[arg(long)]
        json: bool,
        /// Leave submit descriptions, studies and sub-DAGs unread
        #[arg(long)]
        dag_only: bool,
        /// Print all counts, and how many nodes are equally far from the start
        #[arg(long)]
        statistics: bool,
    },
    /// Draw the graph of a DAG file; a large one by groups of nodes that are named alike
    Show {
        #[arg(value_name = "FILE.dag", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print the commands of a DAG file as they are written; no other file is read
    #[command(after_help = PARSE)]
    Parse {
        /// The DAG file; `-` is standard input
        #[arg(value_name = "FILE.dag", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The same as `-o json`
        #[arg(long)]
        json: bool,
    },
    /// Show a DAG run node by node
    Status {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
    },
    /// Print the graph for Graphviz: `updraft dag dot x.dag | dot -Tsvg > x.svg`
    Dot {
        #[arg(value_name = "FILE.dag", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Colour the nodes by how they stand in this DAG run
        #[arg(long, value_name = "RUN")]
        run: Option<u32>,
    },
    /// Go on with a DAG run that was halted, removed or failed, from what is done
    Resume {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
        /// Its DAG file, where that or its inputs changed: a new run takes over what is the same
        #[arg(long, value_name = "FILE.dag", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        #[command(flatten)]
        preview: Preview,
    },
    /// Run again what failed, and what waited for it, keeping what is done
    Retry {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
        /// Nodes that failed; all of them when none is named
        #[arg(value_name = "NODE")]
        nodes: Vec<String>,
        #[command(flatten)]
        preview: Preview,
    },
    /// Run nodes again, done or not, with everything behind them
    Rerun {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
        /// Where to begin; may be given more than once
        #[arg(long, value_name = "NODE", required = true)]
        from: Vec<String>,
        #[command(flatten)]
        preview: Preview,
    },
    /// Start nothing new; what runs goes on, with its POST scripts
    Halt {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
    },
    /// Change how much of a DAG run may go on at a time
    Set(Limits),
    /// Print a DAG run as a rescue file, with which DAGMan would go on
    Rescue {
        /// The DAG run
        #[arg(value_name = "RUN")]
        run: u32,
        /// Write it into this file, which must not be there
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        to: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Preview {
    /// Say what would run and why, and leave it at that
    #[arg(long)]
    pub dry_run: bool,
}

/// Limits of a DAG run. 0 is no limit; what is not given stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  updraft dag set 12 --max-jobs 50 --category tune=4")]
pub struct Limits {
    /// The DAG run
    #[arg(value_name = "RUN")]
    pub run: u32,
    /// Nodes with jobs in the queue
    #[arg(long, value_name = "N")]
    pub max_jobs: Option<u32>,
    /// Jobs that wait; a node that starts may go over it
    #[arg(long, value_name = "N")]
    pub max_idle: Option<u32>,
    /// PRE scripts
    #[arg(long, value_name = "N")]
    pub max_pre: Option<u32>,
    /// POST scripts
    #[arg(long, value_name = "N")]
    pub max_post: Option<u32>,
    /// HOLD scripts
    #[arg(long, value_name = "N")]
    pub max_hold: Option<u32>,
    /// Nodes of a category with jobs in the queue; may be given more than once
    #[arg(long, value_name = "NAME=N", value_parser = category_limit)]
    pub category: Vec<(String, u32)>,
}

/// A DAGMan user's rescue files. The one with the highest number beside the DAG file is read after
/// it.
#[derive(Debug, Args)]
pub struct Rescue {
    /// Read this rescue or save point file after the DAG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub rescue: Option<PathBuf>,
    /// Read no rescue file
    #[arg(long, conflicts_with = "rescue")]
    pub no_rescue: bool,
}

impl Rescue {
    pub fn chosen(&self) -> bundle::Rescue {
        match (&self.rescue, self.no_rescue) {
            (Some(file), _) => bundle::Rescue::File(file.clone()),
            (None, true) => bundle::Rescue::Nothing,
            (None, false) => bundle::Rescue::Latest,
        }
    }
}

fn category_limit(text: &str) -> Result<(String, u32), String> {
    let (name, limit) = name_and_value(text)?;
    let limit = limit
        .parse()
        .map_err(|_| "expected NAME=NUMBER".to_owned())?;
    Ok((name, limit))
}
