//! The commands of a job, group by group, into the specification and its ad.

use std::collections::BTreeMap;

use classad::{ClassAd, Expr, Scope, Value};

use super::super::environment;
use super::super::policy::JobPolicy;
use super::super::quoting::{join_arguments, join_old, split_arguments};
use super::super::requirements::Host;
use super::super::spec::{JobSpec, TransferExecutable, Universe};
use super::super::values;
use super::matching::{abilities, requirements_of, transfer_mode};
use super::materialize::materialize;
use super::policy::policy;
use super::raise::raise;
use super::resources::resources;
use super::{Job, Text, kept};
use crate::diagnostic::{Code, did_you_mean};

const UNIVERSES: [&str; 2] = [Universe::Vanilla.name(), Universe::Train.name()];
/// Universes of HTCondor's that are not supported, with the numbers that ads have for them.
const UNIVERSES_REFUSED: [(&str, i64); 9] = [
    ("scheduler", 7),
    ("grid", 9),
    ("java", 10),
    ("parallel", 11),
    ("mpi", 11),
    ("local", 12),
    ("vm", 13),
    ("docker", 5),
    ("container", 5),
];
/// The commands without one of which HTCondor makes no job for a universe.
const UNIVERSES_NEED: [(i64, &[&str]); 4] = [
    (9, &["grid_resource"]),
    (10, &["arguments", "args"]),
    (11, &["machine_count", "node_count"]),
    (13, &["vm_memory"]),
];

/// The specification of a job. What is wrong is reported and stands at its default.
pub(super) fn spec(job: &mut Job<'_, '_>, cluster: u32, proc: u32) -> JobSpec {
    job.ad.insert("ClusterId", i64::from(cluster));
    job.ad.insert("ProcId", i64::from(proc));
    let (universe, host) = universe(job);
    let executable = executable(job, universe);
    let transfer_executable = transfer_executable(job, universe);
    let arguments = arguments(job);
    let environment = environment_of(job);
    let files = files(job);
    let own = attributes(job);
    let resources = resources(job);
    let abilities = abilities(job, host);
    let transfer = transfer_mode(job);
    let requirements = requirements_of(job, universe, host, &resources, transfer, &abilities);
    let rank = job.command(&["rank", "preferences"]).and_then(|text| {
        let expr = job.expression(&text)?;
        job.ad.insert("Rank", expr.clone());
        Some(expr)
    });
    kept(job);
    let ended = policy(job);
    raise(job, resources.gpu_memory_mib);
    let materialize = materialize(job);
    // The user's own attributes count more than anything that commands say.
    for (name, expr) in own {
        job.ad.insert(name.as_str(), expr);
    }
    job.malformed_match();
    let policy = JobPolicy {
        retry_until: ended.retry_until,
        ..JobPolicy::of(&job.ad)
    };
    JobSpec {
        universe,
        executable,
        transfer_executable,
        arguments,
        environment,
        initial_dir: files.initial_dir,
        stdin: files.stdin,
        stdout: files.stdout,
        stderr: files.stderr,
        log: files.log,
        should_transfer: transfer.0,
        transfer_input: files.transfer_input,
        transfer_output: files.transfer_output,
        output_remaps: files.output_remaps,
        request_cpus: resources.cpus,
        request_memory_mib: resources.memory_mib,
        request_disk_kib: resources.disk_kib,
        request_gpus: resources.gpus,
        request_gpu_memory_mib: resources.gpu_memory_mib,
        request_other: resources.other,
        gpu_naming: resources.gpu_naming,
        requirements,
        rank,
        priority: ended.priority,
        max_retries: ended.max_retries,
        success_exit_code: ended.success_exit_code,
        lease_s: ended.lease_s,
        kill_signal: ended.kill_signal,
        policy,
        materialize,
        hold: ended.hold,
        batch_name: ended.batch_name,
        ad: std::mem::take(&mut job.ad),
    }
}

fn universe(job: &mut Job<'_, '_>) -> (Universe, Host) {
    let mut host = Host::Machine;
    let mut number = Universe::Vanilla.number();
    let universe = match job.command(&["universe"]) {
        None => Universe::Vanilla,
        Some(text) => match text.text.to_ascii_lowercase().as_str() {
            "vanilla" | "5" => Universe::Vanilla,
            "train" => Universe::Train,
            other => {
                let number_said = other.parse::<i64>().ok();
                let refused = UNIVERSES_REFUSED
                    .iter()
                    .find(|(name, known)| *name == other || Some(*known) == number_said);
                let (code, message) = match refused {
                    Some((_, known)) => {
                        number = *known;
                        host = match (other, number) {
                            ("docker" | "container", _) => Host::Docker,
                            (_, 7 | 12) => Host::Queue,
                            (_, _) => Host::Machine,
                        };
                        needs(job, &text);
                        let message = format!("the universe `{}` is not supported", text.text);
                        (Code::BadUniverse, message)
                    }
                    None => (Code::BadValue, format!("`{}` is no universe", text.text)),
                };
                let diagnostic = job
                    .at_value(&text, code, message)
                    .expected("`vanilla` or `train`")
                    .suggest(did_you_mean(other, UNIVERSES));
                job.diagnostics.push(diagnostic);
                Universe::Vanilla
            }
        },
    };
    job.ad.insert("JobUniverse", number);
    if universe == Universe::Train {
        job.ad.insert("WantTrain", true);
    }
    (universe, host)
}

/// Reports what a universe needs that is not supported.
fn needs(job: &mut Job<'_, '_>, universe: &Text<'_, '_>) {
    let lower = universe.text.to_ascii_lowercase();
    let number = UNIVERSES_REFUSED.iter().find(|(name, _)| *name == lower);
    let number = number.map_or(lower.parse().ok(), |(_, number)| Some(*number));
    let images: [(&str, &'static [&'static str]); 2] = [
        ("docker", &["docker_image"]),
        ("container", &["container_image", "docker_image"]),
    ];
    for (of, commands) in images {
        if lower == of && job.command(commands).is_none() {
            let message = format!("the universe `{of}` needs `{}`", commands[0]);
            job.bad(universe, Code::BadValue, message);
        }
    }
    for (of, commands) in UNIVERSES_NEED {
        if number == Some(of) && job.command(commands).is_none() {
            let message = format!("the universe `{}` needs `{}`", universe.text, commands[0]);
            job.bad(universe, Code::BadValue, message);
        }
    }
}

fn executable(job: &mut Job<'_, '_>, universe: Universe) -> String {
    match (job.command(&["executable"]), universe) {
        (Some(text), Universe::Vanilla) => {
            job.ad.insert("Cmd", text.text.as_str());
            text.text
        }
        (None, Universe::Vanilla) => {
            let diagnostic = job.missing(Code::MissingExecutable, "the job has no `executable`");
            let diagnostic = diagnostic.expected("`executable = program`, or `universe = train`");
            job.diagnostics.push(diagnostic);
            String::new()
        }
        (Some(text), Universe::Train) => {
            let message =
                "the train universe runs the built-in trainer: no `executable` goes with it";
            job.bad(&text, Code::ExecutableInTrain, message.to_owned());
            String::new()
        }
        (None, Universe::Train) => {
            job.ad.insert("Cmd", Universe::Train.name());
            String::new()
        }
    }
}

fn transfer_executable(job: &mut Job<'_, '_>, universe: Universe) -> TransferExecutable {
    let staged = flag(job, &["transfer_executable"]).unwrap_or(true);
    if !staged {
        job.ad.insert("TransferExecutable", false);
    }
    match (staged, universe) {
        (true, Universe::Vanilla) => TransferExecutable::Staged,
        (false, _) | (_, Universe::Train) => TransferExecutable::Present,
    }
}

pub(super) fn arguments(job: &mut Job<'_, '_>) -> Vec<String> {
    let Some(text) = job.command(&["arguments", "args"]) else {
        return Vec::new();
    };
    match split_arguments(&text.text) {
        Ok(arguments) => {
            if text.text.starts_with('"') {
                job.ad
                    .insert("Arguments", join_arguments(&arguments).as_str());
            } else {
                job.ad.insert("Args", join_old(&arguments).as_str());
            }
            arguments
        }
        Err(message) => {
            job.bad(&text, Code::BadArguments, message);
            Vec::new()
        }
    }
}

pub(super) fn environment_of(job: &mut Job<'_, '_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Some(text) = job.command(&["getenv", "get_env"]) {
        let known = job.run.table.environment().into_iter();
        let wanted = known.filter(|(name, value)| environment::is_wanted(&text.text, name, value));
        found.extend(wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    if let Some(text) = job.command(&["environment", "env"]) {
        match environment::parse(&text.text) {
            Ok(own) => found.extend(own),
            Err(message) => job.bad(&text, Code::BadEnvironment, message),
        }
    } else if found.is_empty() {
        return found;
    }
    // What the old name says in the old syntax stays in it.
    let old = job.command(&["env"]);
    if old.is_some_and(|text| !text.text.starts_with('"')) {
        job.ad.insert("Env", environment::unparse_old(&found));
        job.ad.insert("EnvDelim", ";");
    } else {
        job.ad.insert("Environment", environment::unparse(&found));
    }
    found
}

struct FilesOf {
    initial_dir: String,
    stdin: Option<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    log: Option<String>,
    transfer_input: Vec<String>,
    transfer_output: Option<Vec<String>>,
    output_remaps: BTreeMap<String, String>,
}

fn files(job: &mut Job<'_, '_>) -> FilesOf {
    let initial_dir = string(job, &["initialdir", "initial_dir"], "Iwd").unwrap_or_default();
    if initial_dir.is_empty() {
        job.ad.insert("Iwd", "");
    }
    let transfer_input = list(job, &["transfer_input_files"], "TransferInput").unwrap_or_default();
    keys(job, &transfer_input);
    let transfer_output = list(job, &["transfer_output_files"], "TransferOutput");
    if transfer_output.is_none() {
        job.empty("transfer_output_files", "all new files", "\"\"", "none");
    }
    let mut output_remaps = BTreeMap::new();
    if let Some(text) = job.command(&["transfer_output_remaps"]) {
        if !text.text.starts_with('"') {
            let message = "remaps stand in double quotes".to_owned();
            job.bad(&text, Code::BadValue, message);
        }
        match values::remaps(&text.text) {
            Ok(remaps) => {
                job.ad
                    .insert("TransferOutputRemaps", values::unquoted(&text.text));
                output_remaps = remaps;
            }
            Err(message) => {
                job.ad
                    .insert("TransferOutputRemaps", values::unquoted(&text.text));
                job.bad(&text, Code::BadRemaps, message);
            }
        }
    }
    FilesOf {
        initial_dir,
        stdin: string(job, &["input", "stdin"], "In"),
        stdout: string(job, &["output", "stdout"], "Out"),
        stderr: string(job, &["error", "stderr"], "Err"),
        log: string(job, &["log"], "UserLog"),
        transfer_input,
        transfer_output,
        output_remaps,
    }
}

/// HTCondor makes no job that fetches from such a store without a key.
fn keys(job: &mut Job<'_, '_>, inputs: &[String]) {
    let stores: [(&str, &'static [&'static str]); 2] = [
        (
            "s3://",
            &["s3_secret_access_key_file", "aws_secret_access_key_file"],
        ),
        (
            "gs://",
            &["gs_secret_access_key_file", "aws_secret_access_key_file"],
        ),
    ];
    for (scheme, names) in stores {
        let is_used = inputs.iter().any(|path| path.starts_with(scheme));
        if is_used
            && job.command(names).is_none()
            && let Some(text) = job.command(&["transfer_input_files"])
        {
            let message = format!("`{scheme}…` needs `{}`", names[0]);
            job.bad(&text, Code::BadValue, message);
        }
    }
}

/// Whether an attribute is given by the queue, whatever a description says.
pub(super) fn is_id(name: &str) -> bool {
    ["ClusterId", "ProcId"]
        .iter()
        .any(|id| id.eq_ignore_ascii_case(name))
}

/// `+Name = expr` and `My.Name = expr`, put into the ad for what is read next.
fn attributes(job: &mut Job<'_, '_>) -> Vec<(String, Expr)> {
    let mut found = Vec::new();
    for (name, text) in job.under("my.") {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{name}` is no attribute name");
            job.bad(&text, Code::BadAttributeName, message);
            if let Ok(expr) = Expr::parse(&text.text) {
                found.push((name, expr));
            }
        } else if is_id(&name) {
            let message = format!("`{name}` is the queue's to give: this has no effect");
            let diagnostic = job.at_value(&text, Code::BadAttributeName, message);
            job.diagnostics.push(diagnostic.warning());
        } else if text.text.is_empty() {
            let message = format!("the attribute `{name}` has no value and is undefined");
            let diagnostic = job.at_value(&text, Code::BadExpression, message);
            job.diagnostics.push(diagnostic.warning());
            if let Ok(undefined) = Expr::parse("undefined") {
                found.push((name, undefined));
            }
        } else if let Some(expr) = job.expression(&text) {
            found.push((name, expr));
        }
    }
    for (name, expr) in &found {
        job.ad.insert(name.as_str(), expr.clone());
    }
    found
}

pub(super) fn string(
    job: &mut Job<'_, '_>,
    names: &'static [&'static str],
    attribute: &str,
) -> Option<String> {
    let text = job.command(names)?;
    job.ad.insert(attribute, text.text.as_str());
    Some(text.text)
}

fn list(
    job: &mut Job<'_, '_>,
    names: &'static [&'static str],
    attribute: &str,
) -> Option<Vec<String>> {
    let text = job.command(names)?;
    // Two quotes are no name at all; other quotes are a part of their names.
    let list = match text.text.as_str() {
        "\"\"" => Vec::new(),
        names => values::list(names),
    };
    job.ad.insert(attribute, list.join(",").as_str());
    Some(list)
}

pub(super) fn flag(job: &mut Job<'_, '_>, names: &'static [&'static str]) -> Option<bool> {
    let text = job.command(names)?;
    truth(job, &text)
}

/// An expression that is true or false, or a number, without any job. Words as `yes` are none.
pub(super) fn truth(job: &mut Job<'_, '_>, text: &Text<'_, '_>) -> Option<bool> {
    let expr = Expr::parse(&text.text).ok();
    let value = expr.map(|expr| Scope::new(&ClassAd::new()).eval(&expr));
    let value = value.and_then(|value| match value.as_bool() {
        Some(flag) => Some(flag),
        None => value.as_f64().map(|number| number != 0.0),
    });
    if value.is_none() {
        let message = format!("`{}` is neither true nor false", text.text);
        let meant = values::boolean(&text.text).map(|flag| if flag { "true" } else { "false" });
        let diagnostic = job.at_value(text, Code::BadValue, message);
        job.diagnostics.push(diagnostic.suggest(meant));
    }
    value
}

/// A whole number of a range, told without any machine.
pub(super) fn whole(
    job: &mut Job<'_, '_>,
    names: &'static [&'static str],
    min: i64,
    max: i64,
) -> Option<i64> {
    let text = job.command(names)?;
    let (_, value) = job.number(&text)?;
    let value = match value {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "HTCondor drops the fraction; the cast saturates"
        )]
        Value::Real(number) if number.is_finite() => Value::Int(number as i64),
        Value::Bool(flag) => Value::Int(i64::from(flag)),
        other => other,
    };
    match value {
        Value::Int(n) if (min..=max).contains(&n) => Some(n),
        Value::Undefined if text.text.eq_ignore_ascii_case("undefined") => None,
        _ => {
            let message = format!("`{}` is `{}`, not a whole number here", names[0], text.text);
            let diagnostic = job.at_value(&text, Code::BadValue, message);
            let diagnostic = diagnostic.expected(format!("a whole number from {min} to {max}"));
            job.diagnostics.push(diagnostic);
            None
        }
    }
}
