//! From a description under macros to one job: expands, checks and collects what is wrong.
//!
//! The fields and the ad are filled from the same values, so they cannot disagree.

use classad::{ClassAd, Expr, Scope, Value};

use super::commands::{self, COMMANDS, Support, ValueKind};
use super::expand::Expander;
use super::run::{self, Assigned, Proc, Run};
use super::spec::JobSpec;
use super::{Macros, Place, Submission, Submit};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::source::Span;

mod fill;
mod matching;
mod materialize;
mod policy;
mod raise;
mod refit;
mod resources;
mod unknown;
mod whole;

pub(super) use policy::signal_name;
pub(super) use refit::refit;

/// Expands all of a job; see [`Submit::expand`]. `None` only together with an error.
pub(super) fn expand(
    submit: &Submit,
    macros: &Macros,
    cluster: u32,
    proc: u32,
    row: &[String],
    diagnostics: &mut Diagnostics,
) -> Option<JobSpec> {
    let run = prepare(submit, macros, cluster, proc, row, diagnostics)?;
    let mut job = Job::new(submit, &run, diagnostics);
    Some(fill::spec(&mut job, cluster, proc))
}

/// See [`Submit::job_ad`].
pub(super) fn job_ad(
    submit: &Submit,
    macros: &Macros,
    submission: &Submission<'_>,
    proc: u32,
    row: &[String],
) -> (Option<ClassAd>, Diagnostics) {
    let (spec, diagnostics) = queued(submit, macros, submission, (proc, row), Findings::All);
    (spec.map(|spec| spec.ad), diagnostics)
}

/// What is looked for in a description besides what its job needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Findings {
    /// Names that mean nothing, too.
    All,
    Errors,
}

/// See [`Submit::queued`]; goes on after errors.
pub(super) fn queued(
    submit: &Submit,
    macros: &Macros,
    submission: &Submission<'_>,
    (proc, row): (u32, &[String]),
    findings: Findings,
) -> (Option<JobSpec>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let given = given(macros, submission);
    let cluster = submission.cluster;
    let Some(run) = prepare(submit, &given, cluster, proc, row, &mut diagnostics) else {
        return (None, diagnostics);
    };
    let mut job = Job::new(submit, &run, &mut diagnostics);
    if findings == Findings::All {
        job.reports_undefined = ReportUndefined::Yes;
    }
    let mut spec = fill::spec(&mut job, cluster, proc);
    let own = std::mem::take(&mut spec.ad);
    spec.ad = whole::ad(&mut job, own, submission);
    if findings == Findings::All && proc == 0 {
        unknown::commands(submit, &run, &mut diagnostics);
    }
    (Some(spec), diagnostics)
}

/// The macros around a description, with those of the time of its submission.
fn given(macros: &Macros, submission: &Submission<'_>) -> Macros {
    let mut given = macros.clone();
    for (name, value) in submission.macros() {
        if given.get(name).is_none() {
            given.insert_before(name, value);
        }
    }
    given
}

/// See [`Submit::check`].
pub(super) fn check(submit: &Submit, macros: &Macros) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let row = match run::procs(submit, macros) {
        Ok(items) => items.row(0).to_vec(),
        Err(found) => {
            diagnostics.append(found);
            return diagnostics;
        }
    };
    if let Some(run) = prepare(submit, macros, 0, 0, &row, &mut diagnostics) {
        let mut job = Job::new(submit, &run, &mut diagnostics);
        job.reports_undefined = ReportUndefined::Yes;
        fill::spec(&mut job, 0, 0);
        unknown::commands(submit, &run, &mut diagnostics);
    }
    diagnostics
}

/// See [`Submit::value`].
pub(super) fn value(
    submit: &Submit,
    name: &str,
    macros: &Macros,
    cluster: u32,
    proc: u32,
    row: &[String],
) -> Result<Option<String>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let Some(run) = prepare(submit, macros, cluster, proc, row, &mut diagnostics) else {
        return Err(diagnostics);
    };
    let mut job = Job::new(submit, &run, &mut diagnostics);
    let place = job.anywhere();
    let raw = run.table.get(name);
    let text = raw.and_then(|raw| job.expanded(&raw, place));
    if diagnostics.errors().any(|found| !found.code.is_refusal()) {
        Err(diagnostics)
    } else {
        Ok(text)
    }
}

fn prepare<'a>(
    submit: &'a Submit,
    macros: &'a Macros,
    cluster: u32,
    proc: u32,
    row: &'a [String],
    diagnostics: &mut Diagnostics,
) -> Option<Run<'a>> {
    let mut run = run::run(submit, macros, diagnostics);
    match run::shape(&run) {
        Ok((vars, count_per_item)) => {
            run.table.set_proc(Proc {
                cluster,
                proc,
                vars,
                row,
                count_per_item,
            });
            Some(run)
        }
        Err(issue) => {
            let place = run.queue.map(|(_, place)| place).unwrap_or(START);
            diagnostics.push(submit.issue(issue, place));
            None
        }
    }
}

/// What is said of a description as a whole.
const START: Place = Place {
    source: 0,
    span: Span { start: 0, end: 0 },
};

/// A job being put together.
pub(super) struct Job<'r, 'a> {
    submit: &'a Submit,
    run: &'r Run<'a>,
    pub diagnostics: &'r mut Diagnostics,
    pub ad: ClassAd,
    reports_undefined: ReportUndefined,
    /// Whether some command stands under the name of its attribute.
    has_aliases: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReportUndefined {
    Yes,
    No,
}

/// The expanded value of a command, and where it was written.
pub(super) struct Text<'r, 'a> {
    /// The command's own name for itself.
    pub name: &'static str,
    pub text: String,
    assigned: Option<&'r Assigned<'a>>,
    place: Place,
}

impl<'r, 'a> Job<'r, 'a> {
    fn new(submit: &'a Submit, run: &'r Run<'a>, diagnostics: &'r mut Diagnostics) -> Self {
        let assigned = run.table.all_assigned();
        let mut names = assigned
            .map(|assigned| assigned.assign.key.as_str())
            .chain(run.table.given_names());
        Self {
            has_aliases: names.any(commands::is_other_name),
            submit,
            run,
            diagnostics,
            ad: ClassAd::new(),
            reports_undefined: ReportUndefined::No,
        }
    }

    /// The value of a command under the first of its names that has one; empty values are none.
    pub fn command(&mut self, names: &'static [&'static str]) -> Option<Text<'r, 'a>> {
        let mut found = self.text(names)?;
        found.name = names[0];
        (!found.text.is_empty()).then_some(found)
    }

    fn text(&mut self, names: &[&str]) -> Option<Text<'r, 'a>> {
        let table = &self.run.table;
        let has = |name: &str| table.get(name).is_some();
        let mut name = names.iter().copied().find(|name| has(name));
        if name.is_none() && self.has_aliases {
            let mut others = names.iter().flat_map(|name| commands::other_names(name));
            name = others.find(|name| has(name));
        }
        let name = name?;
        let raw = table.get(name)?;
        let assigned = self.run.table.assigned(name);
        let place = assigned.map_or(self.anywhere(), |assigned| assigned.place);
        let text = self.expanded(&raw, place)?;
        Some(Text {
            name: "",
            text: text.trim().to_owned(),
            assigned,
            place,
        })
    }

    /// Whether a command has a value, and that is white space once it is expanded.
    pub fn is_blank(&mut self, name: &'static str) -> bool {
        let raw = self.run.table.get(name).unwrap_or_default();
        let place = self.anywhere();
        let text = self.expanded(&raw, place).unwrap_or_default();
        !text.is_empty() && text.trim().is_empty()
    }

    /// Where to point when a value came from outside of the description: to the statement that
    /// makes jobs.
    fn anywhere(&self) -> Place {
        self.run.queue.map_or(START, |(_, place)| place)
    }

    fn expanded(&mut self, raw: &str, place: Place) -> Option<String> {
        if !raw.contains('$') {
            return Some(raw.to_owned());
        }
        let mut expander = Expander::new(&self.run.table);
        let result = expander.expand(raw);
        let (undefined, unknown) = (expander.undefined, expander.unknown_functions);
        for issue in expander.refused {
            self.diagnostics.push(self.submit.issue(issue, place));
        }
        if self.reports_undefined == ReportUndefined::Yes {
            self.report_undefined(&undefined, &unknown, place);
        }
        result
            .map_err(|issue| self.diagnostics.push(self.submit.issue(issue, place)))
            .ok()
    }

    fn report_undefined(&mut self, undefined: &[String], unknown: &[String], place: Place) {
        for name in undefined {
            let known: Vec<&str> = self
                .run
                .table
                .all_assigned()
                .map(|assigned| assigned.assign.name.as_str())
                .collect();
            let given = self.run.table.given_names();
            let suggestion = did_you_mean(name, known.into_iter().chain(given));
            let message = format!("`$({name})` is defined nowhere and expands to nothing");
            let place = self.submit.place_of(&format!("$({name}"), place);
            let mut diagnostic = self
                .submit
                .at(Code::UndefinedMacro, place, message)
                .warning();
            diagnostic = match suggestion {
                Some(_) => diagnostic.suggest(suggestion),
                None => diagnostic.help(format!("write `$({name}:)` if nothing is meant")),
            };
            self.diagnostics.push(diagnostic);
        }
        for name in unknown {
            let message = format!("`${name}(…)` is no macro function; it stays as it stands");
            let diagnostic = self
                .submit
                .at(Code::UnsupportedFunction, place, message)
                .warning();
            self.diagnostics.push(diagnostic);
        }
    }

    /// Reports what is wrong with a command's value, pointing at the value.
    pub fn bad(&mut self, text: &Text<'_, '_>, code: Code, message: String) {
        let diagnostic = self.at_value(text, code, message);
        self.diagnostics.push(diagnostic);
    }

    pub fn at_value(&self, text: &Text<'_, '_>, code: Code, message: String) -> Diagnostic {
        let place = match text.assigned {
            Some(assigned) => value_place(assigned, 0, assigned.assign.value.len()),
            None => text.place,
        };
        self.submit.at(code, place, message)
    }

    /// Warns of a command that is there without a value, which means `all` where `none` may be
    /// meant.
    fn empty(&mut self, name: &str, all: &str, none: &str, meant: &str) {
        let assigned = self.run.table.assigned(name);
        if let Some(assigned) = assigned.filter(|assigned| assigned.value.is_empty()) {
            let message = format!("`{name}` without a value means {all}");
            let diagnostic = self
                .submit
                .at(Code::BadValue, assigned.place, message)
                .warning();
            self.diagnostics
                .push(diagnostic.help(format!("write `{name} = {none}` for {meant}")));
        }
    }

    /// Reports what is malformed in a `$$(…)` of the job's ad, where it was written.
    fn malformed_match(&mut self) {
        for (needle, message) in super::matchtime::malformed(&self.ad) {
            let mut assigned = self.run.table.all_assigned();
            let found = assigned.find(|assigned| assigned.value.contains(&needle));
            let place = match found {
                Some(assigned) => self.submit.place_of(&needle, assigned.place),
                None => self.anywhere(),
            };
            let diagnostic = self.submit.at(Code::MatchTimeMacro, place, message);
            self.diagnostics.push(diagnostic);
        }
    }

    /// Reports an error at the statement that makes jobs.
    pub fn missing(&mut self, code: Code, message: &str) -> Diagnostic {
        self.submit.at(code, self.anywhere(), message.to_owned())
    }

    /// A command's value as an expression; what does not parse is reported at its place.
    pub fn expression(&mut self, text: &Text<'_, '_>) -> Option<Expr> {
        match Expr::parse(&text.text) {
            Ok(expr) => Some(expr),
            Err(error) => {
                let message = format!("`{}`: {}", text.name, error.message);
                let exact = text.assigned.filter(|assigned| assigned.value == text.text);
                let mut diagnostic = match exact {
                    Some(assigned) => {
                        let end = text.text[error.offset.min(text.text.len())..]
                            .chars()
                            .next()
                            .map_or(error.offset, |c| error.offset + c.len_utf8());
                        let place = value_place(assigned, error.offset, end);
                        self.submit.at(Code::BadExpression, place, message)
                    }
                    None => self
                        .at_value(text, Code::BadExpression, message)
                        .help(format!("the value expands to `{}`", text.text)),
                };
                if let Some(expected) = error.expected {
                    diagnostic = diagnostic.expected(expected);
                }
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// A command's value as an expression and the number it is, without any machine.
    pub fn number(&mut self, text: &Text<'_, '_>) -> Option<(Expr, Value)> {
        let expr = self.expression(text)?;
        let value = Scope::new(&self.ad).eval(&expr);
        Some((expr, value))
    }

    /// The names assigned under a prefix, by the whole lower-case name, with their expanded values.
    pub fn under(&mut self, prefix: &'static str) -> Vec<(String, Text<'r, 'a>)> {
        let run = self.run;
        let mut found = Vec::new();
        for assigned in run.table.assigned_under(prefix) {
            if let Some(text) = self.expanded(&assigned.value, assigned.place) {
                let text = text.trim().to_owned();
                let text = Text {
                    name: "",
                    text,
                    assigned: Some(assigned),
                    place: assigned.place,
                };
                found.push((assigned.assign.name[prefix.len()..].to_owned(), text));
            }
        }
        for (name, value) in run.table.given_under(prefix) {
            let place = self.anywhere();
            if let Some(text) = self.expanded(value, place) {
                let text = Text {
                    name: "",
                    text,
                    assigned: None,
                    place,
                };
                found.push((name[prefix.len()..].to_owned(), text));
            }
        }
        found
    }

    pub fn built_in(&self, name: &str) -> String {
        self.run.table.get(name).unwrap_or_default().into_owned()
    }
}

/// The place of some bytes of an assigned value.
fn value_place(assigned: &Assigned<'_>, start: usize, end: usize) -> Place {
    let map = &assigned.assign.map;
    let first = super::parse::source_at(map, start);
    let last = if end > start {
        super::parse::source_at(map, end - 1) + 1
    } else {
        first
    };
    Place {
        source: assigned.place.source,
        span: Span::new(first, last.max(first)),
    }
}

/// Puts the commands that are only kept into the ad, and refuses those that change what a job is.
fn kept(job: &mut Job<'_, '_>) {
    for (name, support) in COMMANDS {
        let names = std::slice::from_ref(name);
        match support {
            Support::Full | Support::Moot => {}
            Support::Refused => {
                if let Some(text) = job.command(names) {
                    let message = format!("`{name}` is not supported yet");
                    job.bad(&text, Code::UnsupportedSubmitCommand, message);
                    refused(job, name, &text.text);
                }
            }
            Support::Kept { attribute, value } | Support::Policy { attribute, value } => {
                if let Some(text) = job.command(names) {
                    keep(job, attribute, *value, &text);
                }
            }
        }
    }
}

/// What HTCondor makes of a command that is refused here.
fn refused(job: &mut Job<'_, '_>, name: &str, text: &str) {
    let attribute = match name {
        "dont_encrypt_input_files" => "DontEncryptInputFiles",
        "dont_encrypt_output_files" => "DontEncryptOutputFiles",
        "encrypt_input_files" => "EncryptInputFiles",
        "encrypt_output_files" => "EncryptOutputFiles",
        "output_destination" => "OutputDestination",
        "remote_initialdir" => "RemoteIwd",
        "transfer_plugins" => "TransferPlugins",
        "use_oauth_services" => "OAuthServicesNeeded",
        _ => return,
    };
    job.ad.insert(attribute, text);
}

fn keep(job: &mut Job<'_, '_>, attribute: &str, kind: ValueKind, text: &Text<'_, '_>) {
    match kind {
        // HTCondor reads the digits it begins with.
        ValueKind::Expression if attribute == "KillSigTimeout" => {
            let seconds = super::functions::number_prefix(&text.text);
            job.ad.insert(attribute, seconds.unwrap_or(0));
        }
        ValueKind::Expression => {
            if let Some(expr) = job.expression(text) {
                job.ad.insert(attribute, expr);
            }
        }
        ValueKind::Text if matches!(attribute, "JobBatchId" | "ContainerTargetDir") => {
            let unquoted = super::values::unquoted(&text.text);
            job.ad.insert(attribute, unquoted);
        }
        // HTCondor takes quotes around a text for a part of it.
        ValueKind::Text => job.ad.insert(attribute, text.text.as_str()),
        ValueKind::Boolean => {
            if let Some(value) = fill::truth(job, text) {
                job.ad.insert(attribute, value);
            }
        }
        ValueKind::Number => {
            if let Some((_, value)) = job.number(text) {
                match value.as_i64() {
                    Some(number) => job.ad.insert(attribute, number),
                    None => {
                        let message = format!("`{}` is no whole number", text.text);
                        job.bad(text, Code::BadValue, message);
                    }
                }
            }
        }
    }
}

impl Submit {
    /// The first place of a text inside of a statement, or the statement.
    fn place_of(&self, needle: &str, place: Place) -> Place {
        let found = self.sources.get(place.source as usize).and_then(|source| {
            let (start, end) = (place.span.start as usize, place.span.end as usize);
            let at = source.text.get(start..end)?.find(needle)?;
            Some(Span::new(start + at, start + at + needle.len() + 1))
        });
        Place {
            span: found.unwrap_or(place.span),
            ..place
        }
    }
}
