//! Submit descriptions: HTCondor's language from its text to one [`JobSpec`] per proc.
//!
//! A [`Submit`] holds the statements as written: conditions and macros are worked out per proc,
//! because `VARS`, FOREACH variables and a trial's parameters reach into them. What a job *does*
//! with its specification is not known here. Source of the language: HTCondor manual, "Submitting a
//! Job" and `condor_submit`.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostics;
use crate::files::Files;
use crate::source::{Source, Span};

mod commands;
mod condition;
mod differ;
mod edit;
mod environment;
mod expand;
mod formats;
mod functions;
mod glob;
mod job;
mod macros;
mod matchtime;
mod parse;
mod policy;
mod queue;
mod quoting;
mod raise;
mod requirements;
mod run;
mod spec;
mod submission;
mod values;

pub use differ::{Differs, Kind, Uses};
pub use edit::{EDITS_MAX, EditError, parse_edits};
pub use macros::{Macro, Macros, Placement};
pub use matchtime::{fill_match, match_attributes, may_become};
pub use policy::{ConcurrencyLimits, HoldWhen, JobPolicy, RetryUntil};
pub use queue::Items;
pub(crate) use queue::split_row;
pub use quoting::{join_arguments, split_arguments};
pub use raise::{Raise, RaiseStep};
pub use spec::{
    GpuNaming, JobSpec, MatchField, Materialize, ShouldTransfer, SubmitState, TransferExecutable,
    Universe,
};
pub use submission::Submission;

/// Bytes of a submit description with everything it includes.
pub const SUBMIT_BYTES_MAX: usize = 16 << 20;
/// Statements of a submit description.
pub const STATEMENTS_MAX: usize = 100_000;
/// `include` inside `include`, and `if` inside `if`.
pub const NESTING_MAX: usize = 16;
/// Macros inside the values of macros.
pub const MACRO_DEPTH_MAX: usize = 32;
/// Bytes of one expanded value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Macros replaced in one value: values that double each other end here.
pub const MACRO_STEPS_MAX: usize = 100_000;
/// Rows of one queue statement.
pub const ROWS_MAX: usize = 1_000_000;
/// Jobs of one queue statement.
pub const PROCS_MAX: u64 = 10_000_000;

/// A read submit description. Serializes whole: nothing is read again from files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// The file, named as it was reached.
    pub file: String,
    /// Its text, then those of its includes.
    sources: Vec<Source>,
    statements: Vec<Statement>,
    /// Item files, by the name they were read under.
    item_files: std::collections::BTreeMap<String, ItemFile>,
    /// What it asks of the submitter, as far as that was answered: [`Submit::answers`].
    answers: Macros,
    /// Names, in lower case, that values use which it is given from elsewhere: [`Submit::ask`].
    used_elsewhere: std::collections::BTreeSet<String>,
}

/// Where a statement stands: a source and bytes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    source: u32,
    span: Span,
}

/// One statement, as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Statement {
    place: Place,
    kind: StatementKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum StatementKind {
    Assign(Assign),
    If(String),
    Elif(String),
    Else,
    Endif,
    Error(String),
    Warning(String),
    Queue(queue::Queue),
}

/// `name = value`. `+Attr = value` has the name `MY.Attr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Assign {
    name: String,
    /// The name in lower case, by which it is found.
    key: String,
    value: String,
    /// From bytes of `value` to bytes of the source: one pair per source line that the value was
    /// taken from.
    map: Vec<(u32, u32)>,
}

/// An item file as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum ItemFile {
    Text(String),
    Unreadable(String),
}

impl Submit {
    /// Reads a description. Its includes and item files are reached through `files`, relative to
    /// nothing: hand in files as they are seen from the job's directory.
    #[must_use]
    pub fn parse(file: &str, text: &str, files: &dyn Files) -> (Self, Diagnostics) {
        parse::submit(Source::new(file, text.to_owned()), files)
    }

    /// Reads a description that is part of another file, from its line `line_first` on.
    #[must_use]
    pub(crate) fn parse_part(source: Source, files: &dyn Files) -> (Self, Diagnostics) {
        parse::submit(source, files)
    }

    /// Reads the item file that `queue … from` names under these macros, or the directories that
    /// `queue … matching` looks into, unless they were read already: the names may depend on the
    /// macros. What cannot be read is reported by [`Self::procs`].
    pub fn load_items(&mut self, macros: &Macros, files: &dyn Files) {
        let mut found = std::mem::take(&mut self.item_files);
        run::load_items(self, macros, &mut |name| {
            let file = found.entry(name.to_owned());
            let file = file.or_insert_with(|| match files.read(name) {
                Ok(text) => ItemFile::Text(text),
                Err(reason) => ItemFile::Unreadable(reason),
            });
            file.clone()
        });
        self.item_files = found;
    }

    /// Whether its queue statement may name an item file, or files by a pattern.
    #[must_use]
    pub fn has_item_file(&self) -> bool {
        self.statements
            .iter()
            .any(|statement| match &statement.kind {
                StatementKind::Queue(queue) => queue.may_name_file(),
                StatementKind::Assign(_)
                | StatementKind::If(_)
                | StatementKind::Elif(_)
                | StatementKind::Else
                | StatementKind::Endif
                | StatementKind::Error(_)
                | StatementKind::Warning(_) => false,
            })
    }

    /// How many jobs the description queues under these macros, and the rows of their items.
    ///
    /// # Errors
    /// What is wrong with the queue statement, its place, or the conditions before it.
    pub fn procs(&self, macros: &Macros) -> Result<Items, Diagnostics> {
        run::procs(self, macros)
    }

    /// The items of its queue statement, those too that its slice leaves out.
    ///
    /// # Errors
    /// As [`Self::procs`].
    pub fn listed(&self, macros: &Macros) -> Result<Items, Diagnostics> {
        run::listed(self, macros)
    }

    /// The job of one proc. `row` is [`Items::row`] of it, in the order of [`Items::vars`].
    ///
    /// # Errors
    /// Everything that is wrong with the description under these macros, each with its place.
    pub fn expand(
        &self,
        macros: &Macros,
        cluster: u32,
        proc: u32,
        row: &[String],
    ) -> Result<JobSpec, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let spec = job::expand(self, macros, cluster, proc, row, &mut diagnostics);
        match spec {
            Some(spec) if !diagnostics.has_errors() => Ok(spec),
            Some(_) | None => Err(diagnostics),
        }
    }

    /// As [`Self::expand`], with the ad of [`Self::job_ad`]: the job as the queue holds it.
    ///
    /// # Errors
    /// As [`Self::expand`].
    pub fn queued(
        &self,
        macros: &Macros,
        submission: &Submission<'_>,
        proc: u32,
        row: &[String],
    ) -> Result<JobSpec, Diagnostics> {
        let findings = job::Findings::Errors;
        match job::queued(self, macros, submission, (proc, row), findings) {
            (Some(spec), diagnostics) if !diagnostics.has_errors() => Ok(spec),
            (_, diagnostics) => Err(diagnostics),
        }
    }

    /// What its texts use, for [`Uses::kind`].
    #[must_use]
    pub fn uses(&self) -> Uses {
        Uses::of(self)
    }

    /// As [`Self::queued`], from another job of the description for which [`Uses::kind`] says that
    /// no more than this differs.
    ///
    /// # Errors
    /// As [`Self::expand`].
    pub fn refit(
        &self,
        shape: &JobSpec,
        macros: &Macros,
        submission: &Submission<'_>,
        proc: u32,
        row: &[String],
    ) -> Result<JobSpec, Diagnostics> {
        match job::refit(self, shape, macros, submission, (proc, row)) {
            (Some(spec), diagnostics) if !diagnostics.has_errors() => Ok(spec),
            (_, diagnostics) => Err(diagnostics),
        }
    }

    /// The whole ad of one proc as HTCondor's queue has it at first, with everything that is said of
    /// it; `None` where there is none. Other than [`Self::expand`] it goes on after what is refused
    /// ([`Code::is_refusal`](crate::Code::is_refusal)) and after errors, as far as it can. `row` as
    /// there.
    #[must_use]
    pub fn job_ad(
        &self,
        macros: &Macros,
        submission: &Submission<'_>,
        proc: u32,
        row: &[String],
    ) -> (Option<classad::ClassAd>, Diagnostics) {
        job::job_ad(self, macros, submission, proc, row)
    }

    /// What the description itself says where it is reached under these macros: `error :` and
    /// `warning :` statements, conditions that are none, statements after `queue`.
    #[must_use]
    pub fn reached(&self, macros: &Macros) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        run::run(self, macros, &mut diagnostics);
        diagnostics
    }

    /// The names that it assigns under these macros, with their values as written, in order of
    /// name.
    #[must_use]
    pub fn assigned(&self, macros: &Macros) -> Vec<(String, String)> {
        let run = run::run(self, macros, &mut Diagnostics::new());
        let assigned = run.table.all_assigned();
        assigned
            .map(|found| (found.assign.name.clone(), found.value.to_string()))
            .collect()
    }

    /// Whether it may give a value to one of these names, written in lower case, under some macros:
    /// a statement assigns it, or it is a variable of the queue statement's.
    #[must_use]
    pub fn may_assign(&self, names: &[&str]) -> bool {
        let queued = |queue: &queue::Queue| {
            let words = queue.args.split(|c: char| c.is_whitespace() || c == ',');
            words
                .map(str::to_ascii_lowercase)
                .any(|word| names.contains(&word.as_str()))
        };
        self.statements
            .iter()
            .any(|statement| match &statement.kind {
                StatementKind::Assign(assign) => names.contains(&assign.key.as_str()),
                StatementKind::Queue(queue) => queued(queue),
                StatementKind::If(_)
                | StatementKind::Elif(_)
                | StatementKind::Else
                | StatementKind::Endif
                | StatementKind::Error(_)
                | StatementKind::Warning(_) => false,
            })
    }

    /// What stands behind the word `queue` in its queue statement.
    #[must_use]
    pub fn queue_arguments(&self, macros: &Macros) -> Option<String> {
        let run = run::run(self, macros, &mut Diagnostics::new());
        run.queue.map(|(queue, _)| queue.args.clone())
    }

    /// The names that only the submitter knows, which the description uses and does not define:
    /// `ENV.HOME` for `$ENV(HOME)`, and `SUBMIT_TIME`, `YEAR`, `MONTH`, `DAY`. Given as macros they
    /// have a value.
    #[must_use]
    pub fn asks_submitter(&self) -> std::collections::BTreeSet<String> {
        submission::asked(self)
    }

    /// What the submitter answered, by the names of [`Self::asks_submitter`]: their values under
    /// everything that is given or assigned. Kept with the description, so a job is the same
    /// wherever it is expanded.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &str)> {
        let answers = self.answers.iter();
        answers.map(|answer| (answer.name.as_str(), answer.value.as_str()))
    }

    /// Takes note of a text that the description will be given as a macro's value: asks the
    /// submitter for what it uses, and knows that its names are macros.
    pub fn ask(&mut self, text: &str, files: &dyn Files) {
        let names = expand::names_in(text).map(str::to_ascii_lowercase);
        self.used_elsewhere.extend(names);
        for name in submission::asked_in(text) {
            if let Some(value) = files.submitter(&name) {
                self.answers.insert_before(&name, value);
            }
        }
    }

    /// Everything that can be said about the description under these macros before it runs: its
    /// queue statement, its first job, names that are used and not defined, names that mean
    /// nothing.
    #[must_use]
    pub fn check(&self, macros: &Macros) -> Diagnostics {
        job::check(self, macros)
    }

    /// The value of a macro or command as a proc sees it, expanded; `None` when the description
    /// does not define it. For tools that show what a description means.
    ///
    /// # Errors
    /// As [`Self::expand`], for this one value.
    pub fn value(
        &self,
        name: &str,
        macros: &Macros,
        cluster: u32,
        proc: u32,
        row: &[String],
    ) -> Result<Option<String>, Diagnostics> {
        job::value(self, name, macros, cluster, proc, row)
    }
}

/// Whether a name is a submit command, without regard to case.
pub(crate) fn is_command(name: &str) -> bool {
    commands::support(&name.to_ascii_lowercase()).is_some()
}
