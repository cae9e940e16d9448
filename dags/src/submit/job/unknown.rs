//! Names that a description assigns and that mean nothing, and commands that have no effect.
//!
//! A name is a macro where anything uses it: a value, a condition, a queue statement or its items,
//! in branches not taken too, or a value that is given from outside; and where it is given from
//! outside itself. Other names are commands, or mistakes.

use std::collections::BTreeSet;

use super::super::commands::{self, Support};
use super::super::expand;
use super::super::run::Run;
use super::super::values;
use super::super::{ItemFile, StatementKind, Submit};
use crate::diagnostic::{Code, Diagnostics, did_you_mean};

/// The resources that HTCondor knows itself.
const RESOURCES: [&str; 6] = ["cpus", "memory", "disk", "gpus", "cpu", "gpu"];

/// Reports them.
pub(super) fn commands(submit: &Submit, run: &Run<'_>, diagnostics: &mut Diagnostics) {
    let used = used_names(submit, run);
    for assigned in run.table.all_assigned() {
        let (key, name) = (&assigned.assign.key, &assigned.assign.name);
        if key.starts_with("my.") || used.contains(key) {
            continue;
        }
        let place = assigned.place;
        match commands::support(key) {
            Some(Support::Full | Support::Policy { .. }) => {}
            Some(Support::Kept { attribute, .. }) => {
                let message =
                    format!("`{name}` is kept as `{attribute}`, and nothing acts upon it yet");
                let diagnostic = submit.at(Code::IgnoredSubmitCommand, place, message);
                diagnostics.push(diagnostic.warning());
            }
            Some(Support::Moot) if says_nothing(&assigned.value) => {}
            Some(Support::Moot) => {
                let message = format!("`{name}` has no effect here");
                let diagnostic = submit.at(Code::IgnoredSubmitCommand, place, message);
                diagnostics.push(diagnostic.warning());
            }
            // Refused where the job is put together.
            Some(Support::Refused) => {}
            None => {
                let suggestion = match key.strip_prefix("request_") {
                    Some(resource) => match did_you_mean(resource, RESOURCES) {
                        Some(known) => Some(format!("request_{known}")),
                        None => continue,
                    },
                    None => did_you_mean(key, commands::names()).map(str::to_owned),
                };
                let message = format!("`{name}` is no submit command, and no macro uses it");
                let diagnostic = submit
                    .at(Code::UnknownSubmitCommand, place, message)
                    .suggest(suggestion.as_deref());
                diagnostics.push(match suggestion {
                    Some(_) => diagnostic,
                    None => diagnostic.help(format!(
                        "write `+{name} = …` for an attribute of the job, or use it as `$({name})`"
                    )),
                });
            }
        }
    }
}

/// Whether a command without effect asks for what is done anyway.
fn says_nothing(value: &str) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case("never") || values::boolean(value) == Some(false)
}

/// Every name that something uses or gives, in lower case.
fn used_names(submit: &Submit, run: &Run<'_>) -> BTreeSet<String> {
    let mut used = submit.used_elsewhere.clone();
    for statement in submit.statements() {
        let text = match &statement.kind {
            StatementKind::Assign(assign) => &assign.value,
            StatementKind::If(condition) | StatementKind::Elif(condition) => {
                if let Some(name) = condition.split_whitespace().last() {
                    used.insert(name.to_ascii_lowercase());
                }
                condition
            }
            StatementKind::Error(text) | StatementKind::Warning(text) => text,
            StatementKind::Queue(queue) => {
                used.extend(queue.body.iter().flat_map(|line| names(line)));
                let words = queue.args.split([' ', '\t', ',']);
                used.extend(words.map(str::to_ascii_lowercase));
                &queue.args
            }
            StatementKind::Else | StatementKind::Endif => continue,
        };
        used.extend(names(text));
    }
    for file in submit.item_files.values() {
        match file {
            ItemFile::Text(text) => used.extend(names(text)),
            ItemFile::Unreadable(_) => {}
        }
    }
    for given in run.table.given() {
        used.insert(given.name.to_ascii_lowercase());
        used.extend(names(&given.value));
    }
    used
}

fn names(text: &str) -> impl Iterator<Item = String> {
    expand::names_in(text).map(str::to_ascii_lowercase)
}
