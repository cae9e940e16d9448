//! When a job is held, released, removed or run again: what the queue acts upon besides running it.
//! Who pays, and against which limits it counts. And what is only kept: whether it is left in the
//! queue, its checkpoints.
//!
//! Taken from the job's ad, so that the two cannot disagree; evaluates nothing that may change.

use classad::{ClassAd, Expr, Value};
use serde::{Deserialize, Serialize};

use super::raise::Raise;

/// The policy of one job. Expressions are evaluated with the job's ad as `MY`; one that is not
/// given is `None`, and so is one that says what holds anyway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobPolicy {
    /// Whether a job that ended leaves the queue; where it does not, it is run again.
    /// `max_retries`, `success_exit_code` and `retry_until` are in it, over `NumJobCompletions`, `JobMaxRetries`,
    /// `JobSuccessExitCode` and `ExitCode` of the ad. `None`: it leaves.
    pub on_exit_remove: Option<Expr>,
    /// Looked at before `on_exit_remove`.
    pub on_exit_hold: Option<HoldWhen>,
    pub periodic_hold: Option<HoldWhen>,
    pub periodic_release: Option<Expr>,
    pub periodic_remove: Option<Expr>,
    pub periodic_vacate: Option<Expr>,
    /// Whether a job that ended stays in the queue. `None`: it does not.
    pub leave_in_queue: Option<Expr>,
    /// Seconds that one run of the job's program may take.
    pub allowed_execute_s: Option<u64>,
    /// Seconds that one run may take, with the transfer of its files.
    pub allowed_job_s: Option<u64>,
    /// As it was given; it is in `on_exit_remove`.
    pub retry_until: Option<RetryUntil>,
    /// The exit code that says: files are written, start me again with them.
    pub checkpoint_exit_code: Option<i32>,
    pub concurrency_limits: ConcurrencyLimits,
    pub accounting_group: Option<String>,
    /// Who pays, where that is not the owner.
    pub accounting_group_user: Option<String>,
    /// Seconds that the job may take to end when it is asked to; `None`: the manager's default.
    #[serde(default)]
    pub max_vacate_s: Option<u64>,
    /// Claims that the job may lose before its end until it is held; `None`: any number.
    #[serde(default)]
    pub max_restarts: Option<u32>,
    /// Whether cheap machines that may go away at any time are fine.
    #[serde(default)]
    pub interruptible: bool,
    /// What it asks for when it needed more than it had; nothing where it is held then.
    #[serde(default)]
    pub raise_memory: Option<Raise>,
    #[serde(default)]
    pub raise_gpu_memory: Option<Raise>,
    #[serde(default)]
    pub raise_disk: Option<Raise>,
}

/// When to hold, and what is said then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldWhen {
    pub when: Expr,
    /// A string; HTCondor makes one up where it is none.
    pub reason: Option<Expr>,
    /// An integer; 0 where it is none.
    pub subcode: Option<Expr>,
}

/// What ends retries besides success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RetryUntil {
    ExitCode(i32),
    When(Expr),
}

/// The limits that a running job counts against.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum ConcurrencyLimits {
    #[default]
    None,
    /// Names in lower case and in order, each with how much of it.
    Listed(Vec<(String, f64)>),
    /// A string of that form, which may depend on the machine.
    Computed(Expr),
}

impl JobPolicy {
    /// Everything but `retry_until` from a job's ad.
    pub(super) fn of(ad: &ClassAd) -> Self {
        let hold = |name: &str| {
            unless(ad, name, false).map(|when| HoldWhen {
                when,
                reason: ad.get(&format!("{name}Reason")).cloned(),
                subcode: ad.get(&format!("{name}SubCode")).cloned(),
            })
        };
        let text = |name: &str| ad.eval(name).as_str().map(str::to_owned);
        let whole = |name: &str| {
            let value = ad.eval(name).as_i64();
            value.and_then(|value| u64::try_from(value).ok())
        };
        let code = ad.eval("SuccessCheckpointExitCode").as_i64();
        Self {
            on_exit_remove: unless(ad, "OnExitRemove", true),
            on_exit_hold: hold("OnExitHold"),
            periodic_hold: hold("PeriodicHold"),
            periodic_release: unless(ad, "PeriodicRelease", false),
            periodic_remove: unless(ad, "PeriodicRemove", false),
            periodic_vacate: unless(ad, "PeriodicVacate", false),
            leave_in_queue: unless(ad, "LeaveJobInQueue", false),
            allowed_execute_s: whole("AllowedExecuteDuration"),
            allowed_job_s: whole("AllowedJobDuration"),
            retry_until: None,
            checkpoint_exit_code: code.and_then(|code| i32::try_from(code).ok()),
            concurrency_limits: ConcurrencyLimits::of(ad),
            accounting_group: text("AcctGroup"),
            accounting_group_user: text("AcctGroupUser"),
            max_vacate_s: whole("JobMaxVacateTime").or_else(|| whole("KillSigTimeout")),
            max_restarts: whole("MaxJobRestarts").and_then(|n| u32::try_from(n).ok()),
            interruptible: ad.eval("Interruptible").is_true(),
            raise_memory: Raise::of(ad, "RequestMemory"),
            raise_gpu_memory: Raise::of(ad, "RequestGPUMemory"),
            raise_disk: Raise::of(ad, "RequestDisk"),
        }
    }
}

impl ConcurrencyLimits {
    /// Reads the form of the ad: `name` or `name:amount` between commas. An amount that is no
    /// number above 0 is 1, as in HTCondor.
    #[must_use]
    pub fn parse(text: &str) -> Vec<(String, f64)> {
        let names = text.split([',', ' ', '\t']).filter(|name| !name.is_empty());
        names
            .map(|limit| {
                let (name, amount) = limit.split_once(':').unwrap_or((limit, "1"));
                let amount = amount.parse().ok();
                let amount = amount.filter(|n: &f64| n.is_finite() && *n > 0.0);
                (name.to_ascii_lowercase(), amount.unwrap_or(1.0))
            })
            .collect()
    }

    fn of(ad: &ClassAd) -> Self {
        match ad.get("ConcurrencyLimits") {
            None => Self::None,
            Some(expr) if expr.is_literal() => match ad.eval("ConcurrencyLimits").as_str() {
                Some(text) => Self::Listed(Self::parse(text)),
                None => Self::None,
            },
            Some(expr) => Self::Computed(expr.clone()),
        }
    }
}

/// An attribute's expression, unless it is the literal that holds anyway.
fn unless(ad: &ClassAd, name: &str, anyway: bool) -> Option<Expr> {
    let expr = ad.get(name)?;
    let literal = expr.is_literal().then(|| ad.eval(name));
    match literal {
        Some(Value::Bool(value)) if value == anyway => None,
        Some(_) | None => Some(expr.clone()),
    }
}
