//! What becomes of a job besides running: its place in the queue, its retries, its end, who pays.

use classad::{ClassAd, Expr, Scope, Value};

use super::super::policy::RetryUntil;
use super::super::spec::SubmitState;
use super::super::values;
use super::Job;
use super::fill::{flag, string, whole};
use crate::diagnostic::{Code, did_you_mean};

const KILL_SIGNAL_DEFAULT: &str = "SIGTERM";
/// Retries of a job that says when to retry, and not how often.
const RETRIES_DEFAULT: i64 = 2;
/// Signals by name, as `kill -l` knows them.
const SIGNALS: [&str; 12] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM",
    "SIGTERM", "SIGCONT", "SIGSTOP", "SIGTSTP",
];
/// The group of jobs that are to run when nothing else does.
const NICE_GROUP: &str = "nice-user";

pub(super) struct Policy {
    pub priority: i64,
    pub max_retries: u32,
    pub success_exit_code: i32,
    pub retry_until: Option<RetryUntil>,
    pub lease_s: Option<u64>,
    pub kill_signal: String,
    pub hold: SubmitState,
    pub batch_name: Option<String>,
}

/// Reads it into the ad.
pub(super) fn policy(job: &mut Job<'_, '_>) -> Policy {
    let priority = priority(job);
    job.ad.insert("JobPrio", priority);
    let (max_retries, success_exit_code, retry_until) = retries(job);
    durations(job);
    if flag(job, &["log_xml"]) == Some(true)
        && let Some(text) = job.command(&["log_xml"])
    {
        let message = "`log_xml` is not supported: the event log is text".to_owned();
        job.bad(&text, Code::UnsupportedSubmitCommand, message);
    }
    let lease = lease(job);
    let hold = match flag(job, &["hold"]) {
        Some(true) => SubmitState::Hold,
        Some(false) | None => SubmitState::Run,
    };
    let kill_signal = match signal(job, &["kill_sig"]) {
        Some(name) => {
            job.ad.insert("KillSig", name.as_str());
            name
        }
        None => KILL_SIGNAL_DEFAULT.to_owned(),
    };
    let other_signals: [(&'static [&'static str], &str); 2] = [
        (&["remove_kill_sig"], "RemoveKillSig"),
        (&["hold_kill_sig"], "HoldKillSig"),
    ];
    for (names, attribute) in other_signals {
        if let Some(name) = signal(job, names) {
            job.ad.insert(attribute, name.as_str());
        }
    }
    limits(job);
    group(job);
    restarts(job);
    said_only(job);
    let batch_name =
        string(job, &["batch_name"], "JobBatchName").map(|name| values::unquoted(&name).to_owned());
    if let Some(name) = &batch_name {
        job.ad.insert("JobBatchName", name.as_str());
    }
    Policy {
        priority,
        max_retries,
        success_exit_code,
        retry_until,
        lease_s: lease.and_then(|n| u64::try_from(n).ok()),
        kill_signal,
        hold,
        batch_name,
    }
}

/// `job_lease_duration`: an expression, which is a number of seconds or `undefined`.
fn lease(job: &mut Job<'_, '_>) -> Option<i64> {
    let text = job.command(&["job_lease_duration"])?;
    let (expr, value) = job.number(&text)?;
    job.ad.insert("JobLeaseDuration", expr);
    let lease = value.as_i64().filter(|lease| *lease >= 0);
    if lease.is_none() && value != Value::Undefined {
        let message = format!("`{}` is no number of seconds", text.text);
        job.bad(&text, Code::UnfitValue, message);
    }
    lease
}

/// What has no effect here must be right all the same.
fn said_only(job: &mut Job<'_, '_>) {
    let flags: [&'static [&'static str]; 6] = [
        &["stream_input"],
        &["stream_output"],
        &["stream_error"],
        &["transfer_input"],
        &["transfer_output"],
        &["transfer_error"],
    ];
    for names in flags {
        flag(job, names);
    }
    if let Some(text) = job.command(&["image_size"])
        && values::amount(&text.text, values::Unit::Kib).is_none_or(|size| size <= 0)
    {
        let message = format!("`{}` is no size above 0", text.text);
        job.bad(&text, Code::BadValue, message);
    }
}

fn priority(job: &mut Job<'_, '_>) -> i64 {
    let Some(text) = job.command(&["priority", "prio"]) else {
        return 0;
    };
    let Some((_, value)) = job.number(&text) else {
        return 0;
    };
    let number = match value {
        Value::Bool(flag) => Some(i64::from(flag)),
        Value::Real(number) if number.is_finite() => {
            let message = format!("`priority` is `{}`: its fraction is dropped", text.text);
            let diagnostic = job.at_value(&text, Code::BadValue, message).warning();
            job.diagnostics.push(diagnostic);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the fraction is dropped; the cast saturates"
            )]
            Some(number as i64)
        }
        Value::Int(number) => Some(number),
        Value::Real(_)
        | Value::Undefined
        | Value::Error
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => None,
    };
    number.unwrap_or_else(|| {
        let message = format!("`priority` is `{}`, not a whole number here", text.text);
        let diagnostic = job.at_value(&text, Code::BadValue, message);
        job.diagnostics.push(diagnostic.expected("a whole number"));
        0
    })
}

/// `max_retries`, `success_exit_code` and `retry_until`, which together say when a job may leave.
fn retries(job: &mut Job<'_, '_>) -> (u32, i32, Option<RetryUntil>) {
    let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    let exit_code = whole(job, &["success_exit_code"], low, high);
    let max = whole(job, &["max_retries"], low, high);
    let until = job.command(&["retry_until"]);
    if let Some(code) = exit_code {
        job.ad.insert("JobSuccessExitCode", code);
    }
    let retry_until = until.as_ref().and_then(|text| {
        let expr = job.expression(text)?;
        Some(exit_code_of(&expr).map_or(RetryUntil::When(expr), RetryUntil::ExitCode))
    });
    let is_asked = max.is_some() || exit_code.is_some() || until.is_some();
    if is_asked {
        job.ad
            .insert("JobMaxRetries", max.unwrap_or(RETRIES_DEFAULT));
        let code = match exit_code {
            Some(_) => "JobSuccessExitCode",
            None => "0",
        };
        let mut text = format!("NumJobCompletions > JobMaxRetries || ExitCode =?= {code}");
        match (&retry_until, until) {
            (Some(RetryUntil::ExitCode(code)), _) => {
                text = format!("{text} || ExitCode =?= {code}");
            }
            (Some(RetryUntil::When(_)), Some(own)) => text = alternative(&text, &own.text),
            (Some(RetryUntil::When(_)) | None, _) => {}
        }
        if let Some(own) = job.command(&["on_exit_remove"])
            && job.expression(&own).is_some()
        {
            text = alternative(&text, &own.text);
        }
        if let Ok(expr) = Expr::parse(&text) {
            job.ad.insert("OnExitRemove", expr);
        }
        if !job.ad.contains("OnExitHold") {
            job.ad.insert("OnExitHold", false);
        }
    }
    let unsaid = if is_asked { RETRIES_DEFAULT } else { 0 };
    let retries = u32::try_from(max.unwrap_or(unsaid)).unwrap_or(0);
    let code = exit_code.and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    (retries, code, retry_until)
}

/// `max_job_restarts` and `interruptible`, which are ours.
fn restarts(job: &mut Job<'_, '_>) {
    if let Some(max) = whole(job, &["max_job_restarts"], 0, i64::from(u32::MAX)) {
        job.ad.insert("MaxJobRestarts", max);
    }
    if let Some(interruptible) = flag(job, &["interruptible"]) {
        job.ad.insert("Interruptible", interruptible);
    }
}

/// Numbers that the queue counts with. HTCondor keeps a duration that is none, and nothing comes of
/// it.
fn durations(job: &mut Job<'_, '_>) {
    const SECONDS: std::ops::RangeInclusive<i64> = 0..=i64::MAX;
    const CODES: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
    let numbers: [(&'static [&'static str], _, &str, Code); 4] = [
        (
            &["job_max_vacate_time"],
            SECONDS,
            "a number of seconds",
            Code::UnfitValue,
        ),
        (
            &["allowed_execute_duration"],
            SECONDS,
            "a number of seconds",
            Code::UnfitValue,
        ),
        (
            &["allowed_job_duration"],
            SECONDS,
            "a number of seconds",
            Code::UnfitValue,
        ),
        (
            &["checkpoint_exit_code"],
            CODES,
            "an exit code",
            Code::BadValue,
        ),
    ];
    for (names, range, meant, code) in numbers {
        let Some(text) = job.command(names) else {
            continue;
        };
        let Ok(expr) = Expr::parse(&text.text) else {
            continue;
        };
        let value = Scope::new(&job.ad).eval(&expr);
        if !value.as_i64().is_some_and(|value| range.contains(&value)) {
            let message = format!("`{}` is `{}`, not {meant} here", names[0], text.text);
            job.bad(&text, code, message);
        }
    }
}

/// The exit code that an expression is without any job.
fn exit_code_of(expr: &Expr) -> Option<i32> {
    let code = match Scope::new(&ClassAd::new()).eval(expr) {
        Value::Int(code) => code,
        Value::Bool(flag) => i64::from(flag),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the fraction is dropped; the cast saturates"
        )]
        Value::Real(number) => number as i64,
        Value::Undefined
        | Value::Error
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => return None,
    };
    i32::try_from(code).ok()
}

/// A condition, or the user's own.
fn alternative(text: &str, own: &str) -> String {
    // Only `? :` binds less than `||`.
    match chooses(own) {
        true => format!("{text} || ({own})"),
        false => format!("{text} || {own}"),
    }
}

/// Whether an expression has a `? :` outside of parentheses.
fn chooses(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if !escaped => in_string = !in_string,
            _ if in_string => {}
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            // Not that of `=?=`, nor that of `?:`.
            b'?' if depth == 0 => {
                let before = at.checked_sub(1).map(|before| bytes[before]);
                let is_other = before == Some(b'=') || bytes.get(at + 1) == Some(&b':');
                if !is_other {
                    return true;
                }
            }
            _ => {}
        }
        escaped = in_string && *byte == b'\\' && !escaped;
    }
    false
}

/// A signal's name by its name or number; nothing if it is neither.
pub(in super::super) fn signal_name(text: &str) -> Option<String> {
    Some(canonical(text)).filter(|name| SIGNALS.contains(&name.as_str()))
}

fn canonical(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
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
    name.to_owned()
}

fn signal(job: &mut Job<'_, '_>, names: &'static [&'static str]) -> Option<String> {
    let text = job.command(names)?;
    let name = canonical(&text.text);
    if !SIGNALS.contains(&name.as_str()) {
        let message = format!("`{}` is no signal", text.text);
        let meant = format!("SIG{name}");
        let diagnostic = job
            .at_value(&text, Code::BadValue, message)
            .suggest(did_you_mean(&name, SIGNALS).or_else(|| did_you_mean(&meant, SIGNALS)));
        job.diagnostics.push(diagnostic);
    }
    Some(name)
}

/// `concurrency_limits`, as it is kept: in lower case and in order.
fn limits(job: &mut Job<'_, '_>) {
    let listed = job.command(&["concurrency_limits"]);
    let computed = job.command(&["concurrency_limits_expr"]);
    match (listed, computed) {
        (Some(text), None) => {
            let lower = text.text.to_ascii_lowercase();
            let mut names: Vec<&str> = lower
                .split([',', ' ', '\t'])
                .filter(|name| !name.is_empty())
                .collect();
            if let Some(wrong) = names.iter().find(|name| !is_limit(name)) {
                let message = format!("`{wrong}` is no name of a limit");
                let diagnostic = job.at_value(&text, Code::BadValue, message);
                job.diagnostics
                    .push(diagnostic.expected("`name`, `group.name`, or either with `:amount`"));
            }
            names.sort_unstable();
            job.ad.insert("ConcurrencyLimits", names.join(","));
        }
        (None, Some(text)) => {
            if let Some(expr) = job.expression(&text) {
                job.ad.insert("ConcurrencyLimits", expr);
            }
        }
        (Some(_), Some(text)) => {
            let message = "`concurrency_limits` and `concurrency_limits_expr` exclude each other";
            job.bad(&text, Code::BadValue, message.to_owned());
        }
        (None, None) => {}
    }
}

fn is_limit(text: &str) -> bool {
    let name = text.split(':').next().unwrap_or_default();
    let mut parts = name.splitn(2, '.');
    parts.all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// `accounting_group`, `accounting_group_user` and `nice_user`.
fn group(job: &mut Job<'_, '_>) {
    let nice = flag(job, &["nice_user"]) == Some(true);
    // What `nice_user` says is a group.
    if job.ad.eval("AcctGroup").as_bool().is_some() {
        job.ad.remove("AcctGroup");
    }
    if nice && !job.ad.contains("MaxJobRetirementTime") {
        job.ad.insert("MaxJobRetirementTime", 0_i64);
    }
    let names: [(&'static [&'static str], &str); 2] = [
        (&["accounting_group"], "AcctGroup"),
        (&["accounting_group_user"], "AcctGroupUser"),
    ];
    for (command, attribute) in names {
        match job.command(command) {
            Some(text) if text.text.contains([' ', '\t']) => {
                let message = format!("`{}` is no name of a group or user", text.text);
                job.bad(&text, Code::BadValue, message);
            }
            Some(text) => job.ad.insert(attribute, text.text.as_str()),
            None if nice && attribute == "AcctGroup" => job.ad.insert(attribute, NICE_GROUP),
            None => {}
        }
    }
}
