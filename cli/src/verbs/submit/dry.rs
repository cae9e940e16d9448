//! `submit --dry-run`: the ads that the jobs of a description would have, without a manager.

use std::path::Path;

use classad::ClassAd;
use dags::submit::Submission;
use dags::{Diagnostic, Diagnostics, Items, Macros, Submit};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args;
use crate::client::bundle::{self, Description};
use crate::client::host;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain, count};
use crate::settings::Settings;

/// Jobs that are shown at most.
const JOBS_MAX: u64 = 100_000;
/// Directories inside directories whose files are counted.
const DEPTH_MAX: u32 = 64;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document<'a> {
    /// The items of the queue statement, by variable; those too that its slice leaves out.
    items: Vec<Map<String, Value>>,
    /// Each job's attributes, as text of expressions.
    jobs: Vec<Map<String, Value>>,
    /// What is wrong with the description: HTCondor makes no jobs of it either.
    errors: Vec<&'a Diagnostic>,
    /// What HTCondor would make jobs of, and `submit` refuses: what Updraft does not do yet, and
    /// what cannot be meant, as a name that is no command.
    refused: Vec<&'a Diagnostic>,
    warnings: Vec<&'a Diagnostic>,
}

/// What a description comes to.
#[derive(Default)]
struct Found {
    listed: Option<Items>,
    ads: Vec<ClassAd>,
    diagnostics: Diagnostics,
}

pub fn run(args: &args::Submit, settings: &Settings) -> Result<Exit, Failure> {
    if bundle::is_dag(&args.file) {
        let text = "--dry-run is for a submit description; `updraft dag check` reads a DAG file";
        return Err(Failure::Usage(text.to_owned()));
    }
    let submitted_s = args
        .qdate
        .unwrap_or_else(|| jiff::Timestamp::now().as_second());
    let read = bundle::read_submit(&args.file, &args.macros, submitted_s)?;
    let owner = args.owner.clone().unwrap_or_else(host::user);
    let directory = read.directory.to_string_lossy().into_owned();
    let submission = Submission {
        cluster: args.cluster,
        owner: &owner,
        directory: &directory,
        submitted_s,
        host: &host_name(),
        bytes: &|path| bytes_of(Path::new(path), DEPTH_MAX),
    };
    let found = find(read, &submission)?;
    let errors = found.diagnostics.errors().count() as u64;
    match settings.format {
        // The document is HTCondor's answer, and so is the exit code; `refused` says the rest.
        Format::Json => {
            let document = document(&found);
            output::print_json(&document)?;
            Ok(match document.errors.is_empty() {
                true => Exit::Ok,
                false => Exit::Usage,
            })
        }
        Format::Table => {
            if !found.diagnostics.is_empty() {
                complain(found.diagnostics.render().trim_end());
            }
            let ads: Vec<String> = found.ads.iter().map(ClassAd::to_long).collect();
            output::print(&ads.join("\n"))?;
            match errors {
                0 => Ok(Exit::Ok),
                _ => Err(Failure::Rejected {
                    file: args.file.display().to_string(),
                    errors: count(errors, "error"),
                }),
            }
        }
    }
}

/// All jobs, as far as errors let them be told.
fn find(read: Description, submission: &Submission<'_>) -> Result<Found, Failure> {
    let macros: Macros = read.macros.iter().collect();
    let mut found = Found {
        diagnostics: read.diagnostics,
        ..Found::default()
    };
    if found.diagnostics.has_errors() {
        return Ok(found);
    }
    let submit = &read.submit;
    found.listed = submit.listed(&macros).ok();
    match submit.procs(&macros) {
        Ok(items) if items.len() > JOBS_MAX => {
            return Err(Failure::Usage(format!(
                "{} jobs: --dry-run shows at most {JOBS_MAX}",
                items.len()
            )));
        }
        Ok(items) => jobs(submit, &macros, submission, &items, &mut found),
        Err(wrong) => found.diagnostics.append(wrong),
    }
    Ok(found)
}

fn jobs(
    submit: &Submit,
    macros: &Macros,
    submission: &Submission<'_>,
    items: &Items,
    found: &mut Found,
) {
    for proc in (0..u32::MAX).take_while(|proc| u64::from(*proc) < items.len()) {
        let (ad, said) = submit.job_ad(macros, submission, proc, items.row(proc));
        found.ads.extend(ad);
        merge(&mut found.diagnostics, said);
    }
}

/// The jobs of one description are alike, and so is what is said of them: each finding once.
fn merge(all: &mut Diagnostics, more: Diagnostics) {
    for diagnostic in &more {
        if !all.iter().any(|known| known == diagnostic) {
            all.push(diagnostic.clone());
        }
    }
}

fn document(found: &Found) -> Document<'_> {
    let text = |text: &str| Value::from(text);
    let items = found.listed.iter().flat_map(|items| {
        let rows = items.rows.iter().filter(|row| !row.is_empty());
        rows.map(|row| {
            let pairs = items.vars.iter().zip(row);
            pairs
                .map(|(name, value)| (name.clone(), text(value)))
                .collect()
        })
    });
    let ad = |ad: &ClassAd| {
        ad.iter()
            .map(|(name, expr)| (name.to_string(), Value::from(expr.to_string())))
            .collect()
    };
    let errors = found.diagnostics.errors();
    let (refused, errors) = errors.partition(|error| error.code.is_refusal());
    Document {
        items: items.collect(),
        jobs: found.ads.iter().map(ad).collect(),
        errors,
        refused,
        warnings: found.diagnostics.warnings().collect(),
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok();
    name.and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}

/// The bytes of a file, or of all files of a directory.
fn bytes_of(path: &Path, depth: u32) -> Option<u64> {
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_dir() {
        return Some(meta.len());
    }
    if depth == 0 {
        return None;
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(path).ok()?.flatten() {
        sum += bytes_of(&entry.path(), depth - 1).unwrap_or(0);
    }
    Some(sum)
}
