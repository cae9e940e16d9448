//! The commands of a job, group by group, into the specification and its ad.

use std::collections::BTreeMap;

use classad::Value;

use super::super::environment;
use super::super::quoting::{join_arguments, join_old, split_arguments};
use super::super::requirements::Host;
use super::super::spec::{JobSpec, TransferExecutable, Universe};
use super::super::values;
use super::matching::{abilities, requirements_of, transfer_mode};
use super::policy::policy;
use super::resources::resources;
use super::{Job, kept};
use crate::diagnostic::{Code, did_you_mean};

const UNIVERSES: [&str; 2] = [Universe::Vanilla.name(), Universe::Train.name()];
/// Universes of HTCondor's that are not supported, with the numbers that ads have for them.
const UNIVERSES_REFUSED: [(&str, i64); 8] = [
    ("scheduler", 7),
    ("grid", 9),
    ("java", 10),
    ("parallel", 11),
    ("local", 12),
    ("vm", 13),
    ("docker", 5),
    ("container", 5),
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
    attributes(job);
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
    let policy = policy(job);
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
        requirements,
        rank,
        priority: policy.priority,
        max_retries: policy.max_retries,
        success_exit_code: policy.success_exit_code,
        lease_s: policy.lease_s,
        kill_signal: policy.kill_signal,
        hold: policy.hold,
        batch_name: policy.batch_name,
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
                let refused = UNIVERSES_REFUSED.iter().find(|(name, _)| *name == other);
                let (code, message) = match refused {
                    Some((_, known)) => {
                        number = *known;
                        host = match other {
                            "docker" | "container" => Host::Docker,
                            "scheduler" | "local" => Host::Queue,
                            _ => Host::Machine,
                        };
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

fn arguments(job: &mut Job<'_, '_>) -> Vec<String> {
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

fn environment_of(job: &mut Job<'_, '_>) -> BTreeMap<String, String> {
    if let Some(text) = job.command(&["getenv", "get_env"])
        && values::boolean(&text.text) != Some(false)
    {
        let message = "`getenv`: the submitter's environment is not taken along".to_owned();
        let diagnostic = job
            .at_value(&text, Code::IgnoredSubmitCommand, message)
            .warning();
        job.diagnostics
            .push(diagnostic.help("name what the job needs in `environment`"));
    }
    let Some(text) = job.command(&["environment", "env"]) else {
        return BTreeMap::new();
    };
    match environment::parse(&text.text) {
        Ok(environment) => {
            job.ad
                .insert("Environment", environment::unparse(&environment).as_str());
            environment
        }
        Err(message) => {
            job.bad(&text, Code::BadEnvironment, message);
            BTreeMap::new()
        }
    }
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
    let transfer_output = list(job, &["transfer_output_files"], "TransferOutput");
    if transfer_output.is_none() {
        job.empty("transfer_output_files", "all new files", "\"\"", "none");
    }
    let mut output_remaps = BTreeMap::new();
    if let Some(text) = job.command(&["transfer_output_remaps"]) {
        match values::remaps(&text.text) {
            Ok(remaps) => {
                job.ad
                    .insert("TransferOutputRemaps", values::unquoted(&text.text));
                output_remaps = remaps;
            }
            Err(message) => job.bad(&text, Code::BadRemaps, message),
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

/// Whether an attribute is given by the queue, whatever a description says.
pub(super) fn is_id(name: &str) -> bool {
    ["ClusterId", "ProcId"]
        .iter()
        .any(|id| id.eq_ignore_ascii_case(name))
}

/// `+Name = expr` and `My.Name = expr`.
fn attributes(job: &mut Job<'_, '_>) {
    for (name, text) in job.under("my.") {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{name}` is no attribute name");
            job.bad(&text, Code::BadAttributeName, message);
        } else if is_id(&name) {
            let message = format!("`{name}` is the queue's to give: this has no effect");
            let diagnostic = job.at_value(&text, Code::BadAttributeName, message);
            job.diagnostics.push(diagnostic.warning());
        } else if text.text.is_empty() {
            let message = format!("the attribute `{name}` has no value and is undefined");
            let diagnostic = job.at_value(&text, Code::BadExpression, message);
            job.diagnostics.push(diagnostic.warning());
            if let Ok(undefined) = classad::Expr::parse("undefined") {
                job.ad.insert(name.as_str(), undefined);
            }
        } else if let Some(expr) = job.expression(&text) {
            job.ad.insert(name.as_str(), expr);
        }
    }
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
    let list = values::list(values::unquoted(&text.text));
    job.ad.insert(attribute, list.join(",").as_str());
    Some(list)
}

pub(super) fn flag(job: &mut Job<'_, '_>, names: &'static [&'static str]) -> Option<bool> {
    let text = job.command(names)?;
    let value = values::boolean(&text.text);
    if value.is_none() {
        let message = format!("`{}` is neither true nor false", text.text);
        job.bad(&text, Code::BadValue, message);
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
