//! What one proc asks for: the checked, expanded form that queue, matchmaker and worker share.

use std::collections::{BTreeMap, BTreeSet};

use classad::{ClassAd, Expr};
use serde::{Deserialize, Serialize};

use super::matchtime::{fill_match, has_any, is_open, match_attributes};
use super::policy::JobPolicy;
use super::quoting::split_raw;
use super::{environment, values};

/// One job, with nothing left to expand. Paths are as written, relative to `initial_dir` joined to
/// the node's directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    pub universe: Universe,
    /// Empty in the train universe.
    pub executable: String,
    pub transfer_executable: TransferExecutable,
    /// One element per argument, unquoted.
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// `initialdir`; empty when not given.
    pub initial_dir: String,
    /// The file that becomes standard input.
    pub stdin: Option<String>,
    pub stdout: Option<String>,
    pub stderr: Option<String>,
    /// The user's event log.
    pub log: Option<String>,
    pub should_transfer: ShouldTransfer,
    /// `transfer_input_files`; a directory ends in `/` to mean its contents.
    pub transfer_input: Vec<String>,
    /// `transfer_output_files`; `None`: every new file of the job's top directory.
    pub transfer_output: Option<Vec<String>>,
    /// From a name in the job's directory to where it goes.
    pub output_remaps: BTreeMap<String, String>,
    pub request_cpus: u32,
    pub request_memory_mib: u64,
    pub request_disk_kib: u64,
    pub request_gpus: u32,
    /// What it needs of the memory of each of its GPUs, which it may share with others; `None`: the
    /// GPUs are its own.
    #[serde(default)]
    pub request_gpu_memory_mib: Option<u64>,
    /// Custom resources (`request_<name>`), by name in lower case.
    #[serde(default)]
    pub request_other: BTreeMap<String, u64>,
    #[serde(default)]
    pub gpu_naming: GpuNaming,
    /// The user's expression and the automatic clauses, joined by `&&`. As in HTCondor there is no
    /// clause for `Cpus` when one is asked for, nor for memory or disk when none is: whoever carves
    /// a slot checks amounts himself.
    pub requirements: Option<Expr>,
    pub rank: Option<Expr>,
    /// Higher goes first, among the jobs of one user.
    pub priority: i64,
    /// Times the job is run again after an exit code other than `success_exit_code`; 2 where only
    /// that or `retry_until` is given. `policy.on_exit_remove` says the same, and all of it.
    pub max_retries: u32,
    pub success_exit_code: i32,
    /// Seconds a job outlives the contact to its manager; `None`: the manager's default.
    pub lease_s: Option<u64>,
    /// A signal's name, as `SIGTERM`.
    pub kill_signal: String,
    /// When it is held, released, removed, run again, and who pays.
    pub policy: JobPolicy,
    /// How many jobs of its cluster there may be at a time.
    #[serde(default)]
    pub materialize: Materialize,
    /// Whether the job enters the queue held.
    pub hold: SubmitState,
    pub batch_name: Option<String>,
    /// All of the above and the user's own attributes, under HTCondor's names.
    pub ad: ClassAd,
}

/// Who runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Universe {
    /// An executable of the user's.
    Vanilla,
    /// The built-in trainer; `arguments` are its flags.
    Train,
}

/// Where the executable comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferExecutable {
    /// It is staged from the submitter's side like an input file.
    Staged,
    /// It is on the worker already, at this path. Always so in the train universe.
    Present,
}

/// How a job's environment names its GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuNaming {
    #[default]
    Uuid,
    /// The driver's numbers, for programs that know no other.
    Index,
}

/// How many jobs of a cluster there may be at a time; `None` is any number. The others wait to
/// become jobs, lowest numbers first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Materialize {
    /// Idle, running and held ones (`max_materialize`).
    pub jobs_max: Option<u32>,
    /// Idle ones (`max_idle`).
    pub idle_max: Option<u32>,
}

/// Whether files are moved to and from the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShouldTransfer {
    Yes,
    No,
    /// Unless both sides share a file system.
    IfNeeded,
}

/// The state in which a job enters the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitState {
    Run,
    Hold,
}

/// A value of a job that may have a `$$(…)`, which is filled in when it is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchField {
    Executable,
    Arguments,
    Environment,
    InitialDir,
    Stdin,
    Stdout,
    Stderr,
    TransferInput,
    TransferOutput,
    OutputRemaps,
}

impl JobSpec {
    /// The values that are only whole when a machine is known. Empty for most jobs.
    #[must_use]
    pub fn match_fields(&self) -> BTreeSet<MatchField> {
        let of_ad = |name: &str| self.ad.eval(name).as_str().is_some_and(has_any);
        let some = |text: &Option<String>| text.as_deref().is_some_and(has_any);
        let any = |texts: &[String]| texts.iter().any(|text| has_any(text));
        let fields = [
            (MatchField::Executable, has_any(&self.executable)),
            (MatchField::Arguments, of_ad("Args") || of_ad("Arguments")),
            (
                MatchField::Environment,
                of_ad("Environment") || of_ad("Env"),
            ),
            (MatchField::InitialDir, has_any(&self.initial_dir)),
            (MatchField::Stdin, some(&self.stdin)),
            (MatchField::Stdout, some(&self.stdout)),
            (MatchField::Stderr, some(&self.stderr)),
            (MatchField::TransferInput, any(&self.transfer_input)),
            (
                MatchField::TransferOutput,
                self.transfer_output.as_deref().is_some_and(any),
            ),
            (MatchField::OutputRemaps, of_ad("TransferOutputRemaps")),
        ];
        fields
            .into_iter()
            .filter(|(_, is_open)| *is_open)
            .map(|(field, _)| field)
            .collect()
    }

    /// Whether anything of it is only whole when a machine is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        is_open(&self.ad) || !self.match_fields().is_empty()
    }

    /// The job as it runs on a machine: every `$$(…)` filled in, in its values and in its ad, with
    /// the attributes of [`match_attributes`]. `job_ad` is the ad that the machine was matched
    /// with.
    ///
    /// # Errors
    /// A sentence on the first that has no value there: the job is held for it (code 5).
    pub fn filled(&self, job_ad: &ClassAd, machine_ad: &ClassAd) -> Result<Self, String> {
        let fill = |text: &str| fill_match(text, job_ad, machine_ad);
        let open = self.match_fields();
        let mut job = self.clone();
        job.executable = fill(&self.executable)?;
        job.initial_dir = fill(&self.initial_dir)?;
        for (own, text) in [
            (&mut job.stdin, &self.stdin),
            (&mut job.stdout, &self.stdout),
            (&mut job.stderr, &self.stderr),
        ] {
            *own = text.as_deref().map(fill).transpose()?;
        }
        let list = |texts: &[String]| Ok::<_, String>(values::list(&fill(&texts.join(","))?));
        job.transfer_input = list(&self.transfer_input)?;
        if let Some(listed) = &self.transfer_output {
            job.transfer_output = Some(list(listed)?);
        }
        for (name, expr) in match_attributes(&self.ad, machine_ad)? {
            job.ad.insert(name.as_str(), expr);
        }
        let text = |name: &str| job.ad.eval(name).as_str().unwrap_or_default().to_owned();
        // Words are told apart in what was filled in, as HTCondor does.
        if open.contains(&MatchField::Arguments) {
            job.arguments = match job.ad.contains("Args") {
                true => {
                    let args = text("Args");
                    args.split_ascii_whitespace().map(str::to_owned).collect()
                }
                false => split_raw(&text("Arguments"))?,
            };
        }
        if open.contains(&MatchField::Environment) {
            job.environment = match job.ad.contains("Env") {
                true => environment::parse(&text("Env"))?,
                false => environment::entries(split_raw(&text("Environment"))?)?,
            };
        }
        if open.contains(&MatchField::OutputRemaps) {
            job.output_remaps = values::remaps(&text("TransferOutputRemaps"))?;
        }
        Ok(job)
    }
}

impl Universe {
    /// Its name in a submit description.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vanilla => "vanilla",
            Self::Train => "train",
        }
    }

    /// HTCondor's number for `JobUniverse`; the trainer is a vanilla job to everything that reads
    /// it.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Vanilla | Self::Train => 5,
        }
    }
}
