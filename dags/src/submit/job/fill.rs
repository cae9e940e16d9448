//! The commands of a job, group by group, into the specification and its ad.

use std::collections::BTreeMap;

use classad::{Expr, Value};

use super::super::environment;
use super::super::quoting::{join_arguments, join_old, split_arguments};
use super::super::requirements::{self, Amount, Asked, Gpus, Outputs};
use super::super::spec::{JobSpec, ShouldTransfer, SubmitState, TransferExecutable, Universe};
use super::super::values;
use super::resources::{Resources, resources};
use super::{Job, kept};
use crate::diagnostic::{Code, did_you_mean};

const KILL_SIGNAL_DEFAULT: &str = "SIGTERM";
const UNIVERSES: [&str; 2] = [Universe::Vanilla.name(), Universe::Train.name()];
/// Signals by name, as `kill -l` knows them.
const SIGNALS: [&str; 12] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM",
    "SIGTERM", "SIGCONT", "SIGSTOP", "SIGTSTP",
];

/// The specification of a job. What is wrong is reported and stands at its default.
pub(super) fn spec(job: &mut Job<'_, '_>, cluster: u32, proc: u32) -> JobSpec {
    job.ad.insert("ClusterId", i64::from(cluster));
    job.ad.insert("ProcId", i64::from(proc));
    let universe = universe(job);
    let executable = executable(job, universe);
    let transfer_executable = transfer_executable(job, universe);
    let arguments = arguments(job);
    let environment = environment_of(job);
    let files = files(job);
    attributes(job);
    let resources = resources(job);
    let (should_transfer, outputs) = transfer_mode(job);
    let requirements = requirements_of(job, universe, &resources, should_transfer, outputs);
    let rank = job.command(&["rank", "preferences"]).and_then(|text| {
        let expr = job.expression(&text)?;
        job.ad.insert("Rank", expr.clone());
        Some(expr)
    });
    let policy = policy(job);
    kept(job);
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
        should_transfer,
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

fn universe(job: &mut Job<'_, '_>) -> Universe {
    let universe = match job.command(&["universe"]) {
        None => Universe::Vanilla,
        Some(text) => match text.text.to_ascii_lowercase().as_str() {
            "vanilla" | "5" => Universe::Vanilla,
            "train" => Universe::Train,
            other => {
                let message = format!("the universe `{}` is not supported", text.text);
                let diagnostic = job
                    .at_value(&text, Code::BadUniverse, message)
                    .expected("`vanilla` or `train`")
                    .suggest(did_you_mean(other, UNIVERSES));
                job.diagnostics.push(diagnostic);
                Universe::Vanilla
            }
        },
    };
    job.ad.insert("JobUniverse", universe.number());
    if universe == Universe::Train {
        job.ad.insert("WantTrain", true);
    }
    universe
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

/// `+Name = expr` and `My.Name = expr`.
fn attributes(job: &mut Job<'_, '_>) {
    for (name, text) in job.under("my.") {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{name}` is no attribute name");
            job.bad(&text, Code::BadAttributeName, message);
        } else if text.text.is_empty() {
            job.bad(
                &text,
                Code::BadExpression,
                format!("the attribute `{name}` has no value"),
            );
        } else if let Some(expr) = job.expression(&text) {
            job.ad.insert(name.as_str(), expr);
        }
    }
}

fn transfer_mode(job: &mut Job<'_, '_>) -> (ShouldTransfer, Outputs) {
    let should = match job.command(&["should_transfer_files"]) {
        None => ShouldTransfer::IfNeeded,
        Some(text) => match text.text.to_ascii_uppercase().as_str() {
            "YES" | "TRUE" => ShouldTransfer::Yes,
            "NO" | "FALSE" => ShouldTransfer::No,
            "IF_NEEDED" | "AUTO" => ShouldTransfer::IfNeeded,
            _ => {
                let message = format!("`{}` is no way to transfer files", text.text);
                let diagnostic = job.at_value(&text, Code::BadValue, message);
                job.diagnostics
                    .push(diagnostic.expected("`YES`, `NO` or `IF_NEEDED`"));
                ShouldTransfer::IfNeeded
            }
        },
    };
    let name = match should {
        ShouldTransfer::Yes => "YES",
        ShouldTransfer::No => "NO",
        ShouldTransfer::IfNeeded => "IF_NEEDED",
    };
    job.ad.insert("ShouldTransferFiles", name);
    let when = match job.command(&["when_to_transfer_output"]) {
        None => "ON_EXIT".to_owned(),
        Some(text) => {
            let when = text.text.to_ascii_uppercase();
            if !["ON_EXIT", "ON_EXIT_OR_EVICT", "ON_SUCCESS"].contains(&when.as_str()) {
                let message = format!("`{}` is no time to transfer outputs", text.text);
                let diagnostic = job.at_value(&text, Code::BadValue, message);
                let diagnostic =
                    diagnostic.expected("`ON_EXIT`, `ON_EXIT_OR_EVICT` or `ON_SUCCESS`");
                job.diagnostics.push(diagnostic);
            }
            when
        }
    };
    if should != ShouldTransfer::No {
        job.ad.insert("WhenToTransferOutput", when.as_str());
    }
    let outputs = match when.as_str() {
        "ON_SUCCESS" => Outputs::OnSuccess,
        _ => Outputs::Always,
    };
    (should, outputs)
}

fn requirements_of(
    job: &mut Job<'_, '_>,
    universe: Universe,
    resources: &Resources,
    should_transfer: ShouldTransfer,
    outputs: Outputs,
) -> Option<Expr> {
    let user = job.command(&["requirements"]);
    if let Some(text) = &user {
        job.expression(text)?;
    }
    let some = |asked: bool| if asked { Amount::Some } else { Amount::Nothing };
    let text = requirements::text(&Asked {
        user: user.as_ref().map_or("", |text| &text.text),
        universe,
        arch: &job.built_in("arch"),
        opsys: &job.built_in("opsys"),
        disk: some(resources.disk_kib > 0),
        memory: some(resources.memory_mib > 0),
        cpus: some(resources.cpus > 1),
        gpus: match (resources.gpus, resources.described) {
            (0, _) => Gpus::None,
            (_, true) => Gpus::Described,
            (_, false) => Gpus::Counted,
        },
        custom: &resources.custom,
        should_transfer,
        outputs,
    });
    match Expr::parse(&text) {
        Ok(expr) => {
            job.ad.insert("Requirements", expr.clone());
            Some(expr)
        }
        Err(error) => {
            let message = format!("`requirements` with its automatic clauses: {error}");
            match &user {
                Some(user) => job.bad(user, Code::BadExpression, message),
                None => {
                    let diagnostic = job.missing(Code::BadExpression, &message);
                    job.diagnostics.push(diagnostic);
                }
            }
            None
        }
    }
}

struct Policy {
    priority: i64,
    max_retries: u32,
    success_exit_code: i32,
    lease_s: Option<u64>,
    kill_signal: String,
    hold: SubmitState,
    batch_name: Option<String>,
}

fn policy(job: &mut Job<'_, '_>) -> Policy {
    let priority = whole(
        job,
        &["priority", "prio"],
        i64::from(i32::MIN),
        i64::from(i32::MAX),
    )
    .unwrap_or(0);
    job.ad.insert("JobPrio", priority);
    let exit_code = whole(
        job,
        &["success_exit_code"],
        i64::from(i32::MIN),
        i64::from(i32::MAX),
    );
    if let Some(code) = exit_code {
        job.ad.insert("JobSuccessExitCode", code);
    }
    let retries = whole(job, &["max_retries"], 0, i64::from(u32::MAX));
    if let Some(retries) = retries {
        job.ad.insert("JobMaxRetries", retries);
        let code = exit_code.unwrap_or(0);
        let text = format!("NumJobCompletions > JobMaxRetries || ExitCode =?= {code}");
        if let Ok(expr) = Expr::parse(&text) {
            job.ad.insert("OnExitRemove", expr);
            job.ad.insert("OnExitHold", false);
        }
    }
    let lease = whole(job, &["job_lease_duration"], 0, i64::from(u32::MAX));
    if let Some(lease) = lease {
        job.ad.insert("JobLeaseDuration", lease);
    }
    let hold = match flag(job, &["hold"]) {
        Some(true) => SubmitState::Hold,
        Some(false) | None => SubmitState::Run,
    };
    let kill_signal = kill_signal(job);
    Policy {
        priority,
        max_retries: retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        success_exit_code: exit_code.and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        lease_s: lease.and_then(|n| u64::try_from(n).ok()),
        kill_signal,
        hold,
        batch_name: string(job, &["batch_name"], "JobBatchName")
            .map(|name| values::unquoted(&name).to_owned()),
    }
}

fn kill_signal(job: &mut Job<'_, '_>) -> String {
    let Some(text) = job.command(&["kill_sig"]) else {
        return KILL_SIGNAL_DEFAULT.to_owned();
    };
    let upper = text.text.to_ascii_uppercase();
    let name = match upper.as_str() {
        "1" => "SIGHUP",
        "2" => "SIGINT",
        "3" => "SIGQUIT",
        "9" => "SIGKILL",
        "10" => "SIGUSR1",
        "12" => "SIGUSR2",
        "15" => "SIGTERM",
        other => other,
    };
    let name = if name.starts_with("SIG") {
        name.to_owned()
    } else {
        format!("SIG{name}")
    };
    if !SIGNALS.contains(&name.as_str()) {
        let message = format!("`{}` is no signal", text.text);
        let diagnostic = job
            .at_value(&text, Code::BadValue, message)
            .suggest(did_you_mean(&name, SIGNALS));
        job.diagnostics.push(diagnostic);
    }
    job.ad.insert("KillSig", name.as_str());
    name
}

fn string(
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

fn flag(job: &mut Job<'_, '_>, names: &'static [&'static str]) -> Option<bool> {
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
