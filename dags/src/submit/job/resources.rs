//! The resources of a job: amounts, GPU properties, custom resources.

use classad::{Expr, Value};

use super::super::values::{self, Unit};
use super::fill::whole;
use super::{Job, Text};
use crate::diagnostic::Code;

/// Memory of a job that asks for none, in MiB.
const MEMORY_MIB_DEFAULT: u64 = 128;
/// Disk of a job that asks for none, in KiB.
const DISK_KIB_DEFAULT: u64 = 1024;

/// What a job asks of a machine.
pub(super) struct Resources {
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_kib: u64,
    pub gpus: u32,
    /// Whether properties are asked of each GPU.
    pub described: bool,
    /// The names of custom resources.
    pub custom: Vec<String>,
}

/// Reads them into the ad.
pub(super) fn resources(job: &mut Job<'_, '_>) -> Resources {
    let cpus = count(job, &["request_cpus", "request_cpu"], "RequestCpus").unwrap_or(1);
    job.ad.insert("RequestCpus", i64::from(cpus));
    let memory_mib =
        amount(job, &["request_memory"], "RequestMemory", Unit::Mib).unwrap_or(MEMORY_MIB_DEFAULT);
    let disk_kib =
        amount(job, &["request_disk"], "RequestDisk", Unit::Kib).unwrap_or(DISK_KIB_DEFAULT);
    for (name, amount) in [("RequestMemory", memory_mib), ("RequestDisk", disk_kib)] {
        job.ad
            .insert(name, i64::try_from(amount).unwrap_or(i64::MAX));
    }
    let gpus = count(job, &["request_gpus", "request_gpu"], "RequestGPUs");
    if let Some(gpus) = gpus {
        job.ad.insert("RequestGPUs", i64::from(gpus));
    }
    let gpus = gpus.unwrap_or(0);
    let described = gpus > 0 && gpu_properties(job);
    let custom = custom(job);
    Resources {
        cpus,
        memory_mib,
        disk_kib,
        gpus,
        described,
        custom,
    }
}

/// What each GPU must have, joined into `RequireGPUs`. Says whether there is any.
fn gpu_properties(job: &mut Job<'_, '_>) -> bool {
    let mut clauses = Vec::new();
    let mut speaks_of_capability = false;
    if let Some(text) = job.command(&["require_gpus"])
        && job.expression(&text).is_some()
    {
        speaks_of_capability = text.text.to_ascii_lowercase().contains("capability");
        clauses.push(text.text);
    }
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
            if !speaks_of_capability {
                clauses.push(clause.to_owned());
            }
        }
    }
    if let Some(text) = job.command(&["gpus_minimum_memory"]) {
        match values::amount(&text.text, Unit::Mib) {
            Some(mib) => {
                job.ad
                    .insert("GPUsMinMemory", i64::try_from(mib).unwrap_or(i64::MAX));
                clauses.push("GlobalMemoryMb >= GPUsMinMemory".to_owned());
            }
            None => not_an_amount(job, &text),
        }
    }
    if let Some(text) = job.command(&["gpus_minimum_runtime"]) {
        match runtime_version(&text.text) {
            Some(version) => {
                job.ad.insert("GPUsMinRuntime", version);
                clauses.push("MaxSupportedVersion >= GPUsMinRuntime".to_owned());
            }
            None => {
                let message = format!("`{}` is no version of a GPU runtime", text.text);
                job.bad(&text, Code::BadValue, message);
            }
        }
    }
    // Each part parsed by itself, so their conjunction does.
    let Ok(expr) = Expr::parse(&clauses.join(" && ")) else {
        return false;
    };
    job.ad.insert("RequireGPUs", expr);
    true
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

/// `request_name = n` of resources that only the machines know.
fn custom(job: &mut Job<'_, '_>) -> Vec<String> {
    const KNOWN: [&str; 6] = ["cpus", "cpu", "memory", "disk", "gpus", "gpu"];
    let mut names = Vec::new();
    for (name, text) in job.under("request_") {
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if KNOWN.iter().any(|known| known.eq_ignore_ascii_case(&name)) || text.text.is_empty() {
            continue;
        }
        if !is_name || name.is_empty() {
            let message = format!("`{name}` is no name of a resource");
            job.bad(&text, Code::BadAttributeName, message);
        } else if let Some(expr) = job.expression(&text) {
            job.ad.insert(format!("Request{name}").as_str(), expr);
            names.push(name);
        }
    }
    names
}

/// A number of things: an expression that is an integer without any machine.
fn count(job: &mut Job<'_, '_>, names: &'static [&'static str], attribute: &str) -> Option<u32> {
    let n = whole(job, names, 0, i64::from(u32::MAX));
    let n = n.and_then(|n| u32::try_from(n).ok());
    if n.is_none() {
        job.ad.remove(attribute);
    }
    n
}

fn amount(
    job: &mut Job<'_, '_>,
    names: &'static [&'static str],
    attribute: &str,
    unit: Unit,
) -> Option<u64> {
    let text = job.command(names)?;
    if let Some(amount) = values::amount(&text.text, unit) {
        return Some(amount);
    }
    if text.text.eq_ignore_ascii_case("undefined") {
        job.ad.remove(attribute);
        return None;
    }
    let (_, value) = job.number(&text)?;
    match value {
        Value::Int(n) => Some(u64::try_from(n).unwrap_or(0)),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "amounts saturate; a fraction is rounded up"
        )]
        Value::Real(n) if n.is_finite() => Some((n.ceil() as u64).min(i64::MAX as u64)),
        _ => {
            not_an_amount(job, &text);
            None
        }
    }
}

fn not_an_amount(job: &mut Job<'_, '_>, text: &Text<'_, '_>) {
    let message = format!("`{}` is `{}`, not an amount", text.name, text.text);
    let diagnostic = job.at_value(text, Code::BadValue, message);
    job.diagnostics
        .push(diagnostic.expected("a number, alone or with K, M, G or T"));
}

fn number(job: &mut Job<'_, '_>, text: &Text<'_, '_>) -> Option<Expr> {
    let (expr, value) = job.number(text)?;
    if value.as_f64().is_none() {
        let message = format!("`{}` is `{}`, not a number", text.name, text.text);
        job.bad(text, Code::BadValue, message);
        return None;
    }
    Some(expr)
}
