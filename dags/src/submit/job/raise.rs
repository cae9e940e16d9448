//! `retry_request_memory` and its kin: what a job asks for when it needed more than it had.

use super::super::values::{self, Unit};
use super::{Job, Text};
use crate::diagnostic::Code;

/// The commands about one amount, and the attribute that they become.
struct Raised {
    request: &'static str,
    first: &'static [&'static str],
    increase: &'static [&'static str],
    max: &'static [&'static str],
    attribute: &'static str,
    unit: Unit,
}

const RAISED: [Raised; 3] = [
    Raised {
        request: "request_memory",
        first: &["retry_request_memory"],
        increase: &["retry_request_memory_increase"],
        max: &["retry_request_memory_max"],
        attribute: "RetryRequestMemory",
        unit: Unit::Mib,
    },
    Raised {
        request: "request_gpu_memory",
        first: &["retry_request_gpu_memory"],
        increase: &["retry_request_gpu_memory_increase"],
        max: &["retry_request_gpu_memory_max"],
        attribute: "RetryRequestGPUMemory",
        unit: Unit::Mib,
    },
    Raised {
        request: "request_disk",
        first: &["retry_request_disk"],
        increase: &["retry_request_disk_increase"],
        max: &["retry_request_disk_max"],
        attribute: "RetryRequestDisk",
        unit: Unit::Kib,
    },
];

/// Reads them into the ad.
pub(super) fn raise(job: &mut Job<'_, '_>, gpu_memory_mib: Option<u64>) {
    for raised in &RAISED {
        let first = job.command(raised.first);
        let increase = job.command(raised.increase);
        let max = job.command(raised.max);
        if let Some(text) = &first {
            amount(job, text, raised.unit, raised.attribute);
        }
        if let Some(text) = &increase {
            let attribute = format!("{}Increase", raised.attribute);
            step(job, text, raised.unit, &attribute);
        }
        if let Some(text) = &max {
            amount(job, text, raised.unit, &format!("{}Max", raised.attribute));
        }
        if let (None, None, Some(text)) = (&first, &increase, &max) {
            let (first, increase) = (raised.first[0], raised.increase[0]);
            let message = format!("`{}` says how far, and not how", text.name);
            let diagnostic = job.at_value(text, Code::UnfitValue, message);
            job.diagnostics
                .push(diagnostic.expected(format!("`{first}` or `{increase}` besides")));
        }
        if raised.request == "request_gpu_memory"
            && gpu_memory_mib.is_none()
            && let Some(text) = first.or(increase)
        {
            let message = format!("`{}` needs `request_gpu_memory`", text.name);
            job.bad(&text, Code::UnfitValue, message);
        }
    }
}

fn amount(job: &mut Job<'_, '_>, text: &Text<'_, '_>, unit: Unit, attribute: &str) {
    let said = values::amount(&text.text, unit);
    let found = match said {
        Some(amount) => Some(amount),
        None => job.number(text).and_then(|(_, value)| value.as_i64()),
    };
    match found.filter(|amount| *amount > 0) {
        Some(amount) => job.ad.insert(attribute, amount),
        None => not_an_amount(job, text, "a number above 0, alone or with K, M, G or T"),
    }
}

/// An amount is what is added; an expression over the job's attributes is the next amount itself.
fn step(job: &mut Job<'_, '_>, text: &Text<'_, '_>, unit: Unit, attribute: &str) {
    const EXPECTED: &str = "an amount to add, or an expression as `RequestMemory * 2`";
    if let Some(amount) = values::amount(&text.text, unit) {
        match amount > 0 {
            true => job.ad.insert(attribute, amount),
            false => not_an_amount(job, text, EXPECTED),
        }
        return;
    }
    let Some((expr, value)) = job.number(text) else {
        return;
    };
    let names = expr.references();
    if !(names.external.is_empty() && names.internal.is_empty()) {
        job.ad.insert(attribute, expr);
        return;
    }
    match value.as_i64().filter(|amount| *amount > 0) {
        Some(amount) => job.ad.insert(attribute, amount),
        None => not_an_amount(job, text, EXPECTED),
    }
}

fn not_an_amount(job: &mut Job<'_, '_>, text: &Text<'_, '_>, expected: &str) {
    let message = format!("`{}` is `{}`, not an amount", text.name, text.text);
    let diagnostic = job.at_value(text, Code::UnfitValue, message);
    job.diagnostics.push(diagnostic.expected(expected));
}
