//! The resources of a job: amounts, GPU properties, parts of GPUs, custom resources.

use std::collections::BTreeMap;

use classad::{ClassAd, Expr, Scope, Value};

use super::super::requirements::{self, Amount, Custom, Gpus};
use super::super::spec::GpuNaming;
use super::super::values::{self, Unit};
use super::{Job, Text};
use crate::diagnostic::{Code, did_you_mean};

/// Memory that is carved for a job that asks for none, in MiB.
const MEMORY_MIB_DEFAULT: i64 = 128;
/// Disk that is carved for a job that asks for none, in KiB.
const DISK_KIB_DEFAULT: i64 = 1024;
/// What the ad of such a job says of memory.
const MEMORY_DEFAULT: &str =
    "ifthenelse(MemoryUsage =!= undefined,MemoryUsage,(ImageSize + 1023) / 1024)";

/// What a job asks of a machine.
pub(super) struct Resources {
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    pub gpus: u32,
    /// Of each GPU, where others may have the rest.
    pub gpu_memory_mib: Option<u64>,
    pub gpu_naming: GpuNaming,
    /// Custom resources, by name in lower case.
    pub other: BTreeMap<String, u64>,
    /// What the automatic clauses say of each.
    pub cpus_asked: Amount,
    pub memory_asked: Amount,
    pub disk_asked: Amount,
    pub gpus_asked: Gpus,
    pub custom: Vec<Custom>,
}

/// One amount as it was asked for.
struct Asked<T> {
    /// What it is without any machine, where that can be told.
    amount: Option<T>,
    clause: Amount,
}

/// Reads them into the ad.
pub(super) fn resources(job: &mut Job<'_, '_>) -> Resources {
    let cpus = count(job, &["request_cpus", "request_cpu"], "RequestCpus", 1);
    let memory = amount(job, &["request_memory"], "RequestMemory", Unit::Mib);
    let disk = amount(job, &["request_disk"], "RequestDisk", Unit::Kib);
    let resources_by_default = [
        ("RequestCpus", &cpus.clause, "1"),
        ("RequestMemory", &memory.clause, MEMORY_DEFAULT),
        ("RequestDisk", &disk.clause, "DiskUsage"),
    ];
    for (name, clause, default) in resources_by_default {
        // Of who asks for `undefined` HTCondor's ad says nothing.
        if *clause == Amount::Unsaid {
            // The texts are ours, and a test reads the ad they make.
            let _ = job.ad.insert_expr(name, default);
        }
    }
    // What the defaults speak of. Who knows the sizes of the files knows better.
    job.ad.insert("ImageSize", MEMORY_MIB_DEFAULT * 1024);
    job.ad.insert("DiskUsage", DISK_KIB_DEFAULT);
    let mut gpus = count(job, &["request_gpus", "request_gpu"], "RequestGPUs", 0);
    let gpu_memory_mib = gpu_memory(job, &mut gpus);
    let is_asked = !matches!(gpus.clause, Amount::Unsaid | Amount::Undefined);
    let described = is_asked && gpu_properties(job, gpu_memory_mib);
    let gpus_asked = match (gpus.clause, described, gpu_memory_mib) {
        (Amount::Some, true, Some(_)) => Gpus::Shared,
        (Amount::Some, true, None) => Gpus::Described,
        (Amount::Some, false, _) => Gpus::Counted,
        (Amount::Nothing | Amount::Unsaid | Amount::Undefined, _, _) => Gpus::None,
    };
    let queues = |clause: Amount| match clause {
        Amount::Unsaid => Amount::Some,
        Amount::Undefined | Amount::Some | Amount::Nothing => clause,
    };
    let (custom, other) = custom(job);
    let gpu_naming = gpu_naming(job);
    Resources {
        cpus: cpus.amount.unwrap_or(1),
        memory_mib: memory.amount.unwrap_or(MEMORY_MIB_DEFAULT.unsigned_abs()),
        disk_kib: disk.amount.unwrap_or(DISK_KIB_DEFAULT.unsigned_abs()),
        gpus: gpus.amount.unwrap_or(0),
        gpu_memory_mib,
        gpu_naming,
        other,
        cpus_asked: cpus.clause,
        memory_asked: queues(memory.clause),
        disk_asked: queues(disk.clause),
        gpus_asked,
        custom,
    }
}

/// `request_gpu_memory`: a part of each GPU, of one where nothing is said of their number.
fn gpu_memory(job: &mut Job<'_, '_>, gpus: &mut Asked<u32>) -> Option<u64> {
    const NAMES: &[&str] = &["request_gpu_memory"];
    let mib = amount(job, NAMES, "RequestGPUMemory", Unit::Mib).amount?;
    let text = job.command(NAMES)?;
    let wrong = match (mib, &gpus.clause) {
        (0, _) => Some("`request_gpu_memory` is 0; without it, the GPUs are the job's own"),
        (_, Amount::Nothing) => Some("`request_gpu_memory` needs `request_gpus` to be 1 or more"),
        (_, Amount::Unsaid | Amount::Undefined) => {
            job.ad.insert("RequestGPUs", 1_i64);
            (gpus.amount, gpus.clause) = (Some(1), Amount::Some);
            None
        }
        (_, Amount::Some) => None,
    };
    if let Some(message) = wrong {
        job.bad(&text, Code::UnfitValue, message.to_owned());
        return None;
    }
    Some(mib)
}

/// `gpu_ids`: how the job's environment names its GPUs.
fn gpu_naming(job: &mut Job<'_, '_>) -> GpuNaming {
    let Some(text) = job.command(&["gpu_ids"]) else {
        return GpuNaming::Uuid;
    };
    let lower = text.text.to_ascii_lowercase();
    let naming = match lower.as_str() {
        "uuid" => GpuNaming::Uuid,
        "index" => GpuNaming::Index,
        other => {
            let message = format!("`{}` is no way to name GPUs", text.text);
            let diagnostic = job.at_value(&text, Code::UnfitValue, message);
            let diagnostic = diagnostic.expected("`uuid` or `index`");
            let meant = did_you_mean(other, ["uuid", "index"]);
            job.diagnostics.push(diagnostic.suggest(meant));
            GpuNaming::Uuid
        }
    };
    job.ad.insert("GPUIds", lower);
    naming
}

/// What each GPU must have, joined into `RequireGPUs`. Says whether there is any.
fn gpu_properties(job: &mut Job<'_, '_>, free_mib: Option<u64>) -> bool {
    let mut clauses = Vec::new();
    let mut own = String::new();
    if let Some(text) = job.command(&["require_gpus"])
        && job.expression(&text).is_some()
    {
        own.clone_from(&text.text);
        clauses.push(joinable(&text.text));
    }
    let says = |name: &str| requirements::mentions(&own, name);
    let bounds: [(&'static [&'static str], &str, &str); 2] = [
        (
            &["gpus_minimum_capability"],
            "GPUsMinCapability",
            "Capability >= GPUsMinCapability",
        ),
        (
            &["gpus_maximum_capability"],
            "GPUsMaxCapability",
            "Capability <= GPUsMaxCapability",
        ),
    ];
    for (names, attribute, clause) in bounds {
        if let Some(text) = job.command(names)
            && let Some(expr) = number(job, &text)
        {
            job.ad.insert(attribute, expr);
            if !says("Capability") {
                clauses.push(clause.to_owned());
            }
        }
    }
    if let Some(text) = job.command(&["gpus_minimum_memory"]) {
        match values::amount(&text.text, Unit::Mib) {
            Some(mib) => {
                job.ad.insert("GPUsMinMemory", mib);
                if !says("GlobalMemoryMb") {
                    clauses.push("GlobalMemoryMb >= GPUsMinMemory".to_owned());
                }
            }
            None => not_an_amount(job, &text, Code::BadValue),
        }
    }
    if let Some(text) = job.command(&["gpus_minimum_runtime"]) {
        match runtime_version(&text.text) {
            Some(version) => {
                job.ad.insert("GPUsMinRuntime", version);
                if !says("MaxSupportedVersion") {
                    clauses.push("MaxSupportedVersion >= GPUsMinRuntime".to_owned());
                }
            }
            None => {
                let message = format!("`{}` is no version of a GPU runtime", text.text);
                job.bad(&text, Code::BadValue, message);
            }
        }
    }
    if let Some(free_mib) = free_mib
        && !says("FreeGlobalMemoryMb")
    {
        clauses.push(format!("FreeGlobalMemoryMb >= {free_mib}"));
    }
    // Each part parsed by itself, so their conjunction does.
    let Ok(expr) = Expr::parse(&clauses.join(" && ")) else {
        return false;
    };
    job.ad.insert("RequireGPUs", expr);
    true
}

/// An expression that `&&` may follow: in parentheses where it binds less.
fn joinable(text: &str) -> String {
    let joined = Expr::parse(&format!("{text} && true"));
    match joined.is_ok_and(|expr| expr.clauses().len() > 1) {
        true => text.to_owned(),
        false => format!("({text})"),
    }
}

/// `12.4` is 12040, as drivers count.
fn runtime_version(text: &str) -> Option<i64> {
    let (major, minor) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let (major, minor) = (major.parse::<i64>().ok()?, minor.parse::<i64>().ok()?);
    match text.contains('.') || major < 1000 {
        true => major.checked_mul(1000)?.checked_add(minor.checked_mul(10)?),
        false => Some(major),
    }
}

/// `request_name = n` of resources that only the machines know: what the clauses say of them, and
/// how much of each there is to be.
fn custom(job: &mut Job<'_, '_>) -> (Vec<Custom>, BTreeMap<String, u64>) {
    const KNOWN: [&str; 7] = ["cpus", "cpu", "memory", "disk", "gpus", "gpu", "gpu_memory"];
    let mut found = Vec::new();
    let mut amounts = BTreeMap::new();
    for (name, text) in job.under("request_") {
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if KNOWN.iter().any(|known| known.eq_ignore_ascii_case(&name)) || text.text.is_empty() {
            continue;
        }
        if !is_name || name.is_empty() {
            let message = format!("`{name}` is no name of a resource");
            job.bad(&text, Code::BadAttributeName, message);
        } else if let Some(expr) = job.expression(&text) {
            let value = literal(&expr);
            if let Some(amount) = custom_amount(job, &name, &text, &expr) {
                amounts.insert(name.to_ascii_lowercase(), amount);
            }
            job.ad.insert(format!("Request{name}").as_str(), expr);
            match value {
                Some(Value::Str(_)) => found.push(Custom::Text(name)),
                Some(value) if value.as_f64().is_some_and(|n| n <= 0.0) => {}
                Some(_) | None => found.push(Custom::Amount(name)),
            }
        }
    }
    (found, amounts)
}

/// How much of a custom resource is carved for the job; nothing of one that is a text.
fn custom_amount(
    job: &mut Job<'_, '_>,
    name: &str,
    text: &Text<'_, '_>,
    expr: &Expr,
) -> Option<u64> {
    let of_machine = !expr.references().external.is_empty();
    match Scope::new(&job.ad).eval(expr) {
        Value::Int(n) => u64::try_from(n).ok().filter(|n| *n > 0),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is above 0; a part of one is all of it"
        )]
        Value::Real(n) if n > 0.0 && n.is_finite() => Some((n.ceil() as u64).min(i64::MAX as u64)),
        Value::Real(n) if n <= 0.0 => None,
        Value::Str(_) => None,
        Value::Real(_)
        | Value::Bool(_)
        | Value::Undefined
        | Value::Error
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => {
            let (code, what) = match of_machine {
                true => (
                    Code::AmountOfMachine,
                    "which cannot be told without a machine",
                ),
                false => (Code::UnfitValue, "not an amount"),
            };
            let message = format!("`request_{name}` is `{}`, {what}", text.text);
            let diagnostic = job.at_value(text, code, message);
            job.diagnostics.push(diagnostic.expected("a number"));
            None
        }
    }
}

/// The value of an expression that is a literal.
fn literal(expr: &Expr) -> Option<Value> {
    expr.is_literal()
        .then(|| Scope::new(&ClassAd::new()).eval(expr))
}

/// Whether an amount gets a clause: if it is more than every machine has, or not known before.
fn clause_of(expr: &Expr, every_machine_has: f64) -> Amount {
    match literal(expr).and_then(|value| value.as_f64()) {
        Some(n) if n <= every_machine_has => Amount::Nothing,
        Some(_) | None => Amount::Some,
    }
}

/// A number of things: an expression that is an integer without any machine.
fn count(
    job: &mut Job<'_, '_>,
    names: &'static [&'static str],
    attribute: &str,
    every_machine_has: u32,
) -> Asked<u32> {
    let unsaid = |clause| Asked {
        amount: None,
        clause,
    };
    let Some(text) = job.command(names) else {
        return unsaid(Amount::Unsaid);
    };
    if text.text.eq_ignore_ascii_case("undefined") {
        return unsaid(Amount::Undefined);
    }
    let Some((expr, value)) = job.number(&text) else {
        return unsaid(Amount::Some);
    };
    let clause = clause_of(&expr, f64::from(every_machine_has));
    job.ad.insert(attribute, expr.clone());
    let amount = match value {
        Value::Int(n) => u32::try_from(n).ok(),
        Value::Bool(_)
        | Value::Real(_)
        | Value::Undefined
        | Value::Error
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => None,
    };
    if amount.is_none() && !refused_amount(job, &text, &expr) {
        let message = format!("`{}` is `{}`, not a whole number here", names[0], text.text);
        let diagnostic = job.at_value(&text, Code::UnfitValue, message);
        let diagnostic = diagnostic.expected(format!("a whole number from 0 to {}", u32::MAX));
        job.diagnostics.push(diagnostic);
    }
    Asked { amount, clause }
}

fn amount(
    job: &mut Job<'_, '_>,
    names: &'static [&'static str],
    attribute: &str,
    unit: Unit,
) -> Asked<u64> {
    // What no clause is added for: so little is everywhere.
    let every_machine_has: i32 = match unit {
        Unit::Mib => 1,
        Unit::Kib => 0,
    };
    let unsaid = |clause| Asked {
        amount: None,
        clause,
    };
    let Some(text) = job.command(names) else {
        return unsaid(Amount::Unsaid);
    };
    if let Some(amount) = values::amount(&text.text, unit) {
        job.ad.insert(attribute, amount);
        return Asked {
            amount: Some(u64::try_from(amount).unwrap_or(0)),
            clause: match amount > i64::from(every_machine_has) {
                true => Amount::Some,
                false => Amount::Nothing,
            },
        };
    }
    if text.text.eq_ignore_ascii_case("undefined") {
        return unsaid(Amount::Undefined);
    }
    let Some((expr, value)) = job.number(&text) else {
        return unsaid(Amount::Some);
    };
    let clause = clause_of(&expr, f64::from(every_machine_has));
    job.ad.insert(attribute, expr.clone());
    let amount = match value {
        Value::Int(n) => Some(u64::try_from(n).unwrap_or(0)),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "amounts saturate; a fraction is rounded up"
        )]
        Value::Real(n) if n.is_finite() => Some((n.ceil() as u64).min(i64::MAX as u64)),
        Value::Real(_)
        | Value::Bool(_)
        | Value::Undefined
        | Value::Error
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => None,
    };
    if amount.is_none() && !refused_amount(job, &text, &expr) {
        not_an_amount(job, &text, Code::UnfitValue);
    }
    Asked { amount, clause }
}

/// An amount that depends on the machine is understood and not supported. Says whether it is one.
fn refused_amount(job: &mut Job<'_, '_>, text: &Text<'_, '_>, expr: &Expr) -> bool {
    let of_machine = !expr.references().external.is_empty();
    if of_machine {
        let message = format!(
            "`{}` depends on the machine, which is not supported yet",
            text.name
        );
        let diagnostic = job.at_value(text, Code::AmountOfMachine, message);
        job.diagnostics
            .push(diagnostic.expected("an amount that can be told before there is a machine"));
    }
    of_machine
}

fn not_an_amount(job: &mut Job<'_, '_>, text: &Text<'_, '_>, code: Code) {
    let message = format!("`{}` is `{}`, not an amount", text.name, text.text);
    let diagnostic = job.at_value(text, code, message);
    job.diagnostics
        .push(diagnostic.expected("a number, alone or with K, M, G or T"));
}

fn number(job: &mut Job<'_, '_>, text: &Text<'_, '_>) -> Option<Expr> {
    let (expr, value) = job.number(text)?;
    if value.as_f64().is_none() {
        let message = format!("`{}` is `{}`, not a number", text.name, text.text);
        job.bad(text, Code::UnfitValue, message);
    }
    Some(expr)
}
