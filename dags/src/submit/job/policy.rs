//! What becomes of a job besides running: its place in the queue, its retries, its end, who pays.

use classad::{Expr, Value};

use super::super::spec::SubmitState;
use super::super::values;
use super::fill::{flag, string, whole};
use super::{Job, Text};
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
    pub lease_s: Option<u64>,
    pub kill_signal: String,
    pub hold: SubmitState,
    pub batch_name: Option<String>,
}

/// Reads it into the ad.
pub(super) fn policy(job: &mut Job<'_, '_>) -> Policy {
    let priority = priority(job);
    job.ad.insert("JobPrio", priority);
    let (max_retries, success_exit_code) = retries(job);
    let lease = whole(job, &["job_lease_duration"], 0, i64::from(u32::MAX));
    if let Some(lease) = lease {
        job.ad.insert("JobLeaseDuration", lease);
    }
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
    let batch_name =
        string(job, &["batch_name"], "JobBatchName").map(|name| values::unquoted(&name).to_owned());
    if let Some(name) = &batch_name {
        job.ad.insert("JobBatchName", name.as_str());
    }
    Policy {
        priority,
        max_retries,
        success_exit_code,
        lease_s: lease.and_then(|n| u64::try_from(n).ok()),
        kill_signal,
        hold,
        batch_name,
    }
}

fn priority(job: &mut Job<'_, '_>) -> i64 {
    const RANGE: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
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
    number.filter(|n| RANGE.contains(n)).unwrap_or_else(|| {
        let message = format!("`priority` is `{}`, not a whole number here", text.text);
        let diagnostic = job.at_value(&text, Code::BadValue, message);
        let (min, max) = (RANGE.start(), RANGE.end());
        job.diagnostics
            .push(diagnostic.expected(format!("a whole number from {min} to {max}")));
        0
    })
}

/// `max_retries`, `success_exit_code` and `retry_until`, which together say when a job may leave.
fn retries(job: &mut Job<'_, '_>) -> (u32, i32) {
    let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    let exit_code = whole(job, &["success_exit_code"], low, high);
    let max = whole(job, &["max_retries"], 0, i64::from(u32::MAX));
    let until = job.command(&["retry_until"]);
    if let Some(code) = exit_code {
        job.ad.insert("JobSuccessExitCode", code);
    }
    if max.is_some() || exit_code.is_some() || until.is_some() {
        job.ad
            .insert("JobMaxRetries", max.unwrap_or(RETRIES_DEFAULT));
        let code = match exit_code {
            Some(_) => "JobSuccessExitCode",
            None => "0",
        };
        let mut text = format!("NumJobCompletions > JobMaxRetries || ExitCode =?= {code}");
        for own in until.into_iter().chain(job.command(&["on_exit_remove"])) {
            text = alternative(job, &text, &own);
        }
        if let Ok(expr) = Expr::parse(&text) {
            job.ad.insert("OnExitRemove", expr);
        }
        if !job.ad.contains("OnExitHold") {
            job.ad.insert("OnExitHold", false);
        }
    }
    let retries = max.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let code = exit_code.and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    (retries, code)
}

/// A condition or the user's own, of which a number means an exit code.
fn alternative(job: &mut Job<'_, '_>, text: &str, own: &Text<'_, '_>) -> String {
    let Some(expr) = job.expression(own) else {
        return text.to_owned();
    };
    match expr.is_literal() && own.text.parse::<i64>().is_ok() {
        true => format!("{text} || ExitCode =?= {}", own.text),
        // Only `? :` binds less than `||`.
        false
            if Expr::parse(&format!("false || {}", own.text))
                .is_ok_and(|joined| joined.to_string() == format!("false || {expr}")) =>
        {
            format!("{text} || {}", own.text)
        }
        false => format!("{text} || ({})", own.text),
    }
}

fn signal(job: &mut Job<'_, '_>, names: &'static [&'static str]) -> Option<String> {
    let text = job.command(names)?;
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
    Some(name)
}

/// `concurrency_limits`, as it is kept: in lower case and in order.
fn limits(job: &mut Job<'_, '_>) {
    let listed = job.command(&["concurrency_limits"]);
    let computed = job.command(&["concurrency_limits_expr"]);
    match (listed, computed) {
        (Some(text), None) => {
            let lower = values::unquoted(&text.text).to_ascii_lowercase();
            let mut names: Vec<&str> = lower
                .split([',', ' ', '\t'])
                .filter(|name| !name.is_empty())
                .collect();
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
            Some(text) => job.ad.insert(attribute, values::unquoted(&text.text)),
            None if nice && attribute == "AcctGroup" => job.ad.insert(attribute, NICE_GROUP),
            None => {}
        }
    }
}
