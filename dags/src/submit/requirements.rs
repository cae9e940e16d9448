//! The clauses that HTCondor adds to a job's requirements.
//! Source: HTCondor manual, "Submitting a Job", and measured on its library.

use super::spec::{ShouldTransfer, Universe};

/// What the automatic clauses depend on.
pub(super) struct Asked<'a> {
    /// The user's expression, as text that parses; empty for none.
    pub user: &'a str,
    pub universe: Universe,
    pub arch: &'a str,
    pub opsys: &'a str,
    pub disk: Amount,
    pub memory: Amount,
    pub cpus: Amount,
    pub gpus: Gpus,
    /// Custom resources, as they are written after `request_`.
    pub custom: &'a [String],
    pub should_transfer: ShouldTransfer,
    pub outputs: Outputs,
}

/// Whether an amount is asked for that a machine might lack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Nothing,
    Some,
}

/// How GPUs are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gpus {
    None,
    /// By their number alone.
    Counted,
    /// With properties each of them must have.
    Described,
}

/// When outputs come back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outputs {
    Always,
    /// `ON_SUCCESS`, which old machines do not know.
    OnSuccess,
}

/// The whole requirement as text: the user's expression, then a clause for each thing the user does
/// not mention himself. Memory and disk are asked for in any case.
pub(super) fn text(asked: &Asked<'_>) -> String {
    let mut clauses = Vec::new();
    if !asked.user.is_empty() {
        clauses.push(format!("({})", asked.user));
    }
    let mentions = |name: &str| mentions(asked.user, |word| word.eq_ignore_ascii_case(name));
    // The trainer is the worker's own program: it runs wherever the worker does.
    if asked.universe == Universe::Vanilla {
        if !mentions("Arch") {
            clauses.push(format!("(TARGET.Arch == \"{}\")", asked.arch));
        }
        let own_opsys = self::mentions(asked.user, |word| {
            word.len() >= 5 && word.is_char_boundary(5) && word[..5].eq_ignore_ascii_case("OpSys")
        });
        if !own_opsys {
            clauses.push(format!("(TARGET.OpSys == \"{}\")", asked.opsys));
        }
    }
    if asked.disk == Amount::Some {
        clauses.push("(TARGET.Disk >= RequestDisk)".to_owned());
    }
    if asked.memory == Amount::Some {
        clauses.push("(TARGET.Memory >= RequestMemory)".to_owned());
    }
    if asked.cpus == Amount::Some && !mentions("Cpus") {
        clauses.push("(TARGET.Cpus >= RequestCpus)".to_owned());
    }
    match asked.gpus {
        Gpus::Counted if !mentions("GPUs") => {
            clauses.push("(TARGET.GPUs >= RequestGPUs)".to_owned())
        }
        Gpus::Described => clauses
            .push("(countMatches(MY.RequireGPUs, TARGET.AvailableGPUs) >= RequestGPUs)".to_owned()),
        Gpus::Counted | Gpus::None => {}
    }
    for name in asked.custom {
        if !mentions(name) {
            clauses.push(format!("(TARGET.{name} >= Request{name})"));
        }
    }
    if let Some(clause) = transfer(
        asked,
        mentions("HasFileTransfer"),
        mentions("FileSystemDomain"),
    ) {
        clauses.push(clause);
    }
    clauses.join(" && ")
}

fn transfer(asked: &Asked<'_>, has_transfer: bool, has_domain: bool) -> Option<String> {
    const DOMAIN: &str = "TARGET.FileSystemDomain == MY.FileSystemDomain";
    let moved = match asked.outputs {
        Outputs::Always => "TARGET.HasFileTransfer",
        Outputs::OnSuccess => {
            "TARGET.HasFileTransfer && versioncmp(split(TARGET.CondorVersion)[1], \"8.9.7\") >= 0"
        }
    };
    match asked.should_transfer {
        ShouldTransfer::No => (!has_domain).then(|| format!("({DOMAIN})")),
        _ if has_transfer => None,
        ShouldTransfer::Yes => Some(format!("({moved})")),
        ShouldTransfer::IfNeeded if has_domain => Some(format!("({moved})")),
        ShouldTransfer::IfNeeded => Some(format!("(({DOMAIN}) || ({moved}))")),
    }
}

/// Whether an expression speaks of a name, outside of strings and other than by `MY.`.
fn mentions(text: &str, is_it: impl Fn(&str) -> bool) -> bool {
    let mut rest = text;
    let mut of_my = false;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = after_string(&rest[1..]);
            continue;
        }
        if !(c.is_ascii_alphabetic() || c == '_') {
            let end = c.len_utf8();
            of_my &= c == '.' || c.is_whitespace();
            rest = &rest[end..];
            continue;
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        if is_it(word) && !of_my {
            return true;
        }
        of_my = word.eq_ignore_ascii_case("MY") && rest.trim_start().starts_with('.');
    }
    false
}

fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return &text[at + 1..],
            _ => escaped = c == '\\' && !escaped,
        }
    }
    ""
}
