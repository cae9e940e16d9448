//! The clauses that HTCondor adds to a job's requirements.
//! Source: HTCondor manual, "Submitting a Job", and measured on its library.

use super::spec::{ShouldTransfer, Universe};

/// Attributes that each say which operating system is meant.
const SYSTEMS: [&str; 6] = [
    "OpSys",
    "OpSysAndVer",
    "OpSysLongName",
    "OpSysShortName",
    "OpSysName",
    "OpSysLegacy",
];
/// The release from which on machines know `ON_SUCCESS` and its kin.
pub(super) const NEW_TRANSFER: &str = "versioncmp(split(TARGET.CondorVersion)[1], \"8.9.7\") >= 0";

/// What a machine can do that runs a job's own transfer plugins; stands for transfer itself.
pub(super) const OWN_PLUGINS: &str = "TARGET.HasJobTransferPlugins";

/// What the automatic clauses depend on.
pub(super) struct Asked<'a> {
    /// The user's expression, as text that parses; empty for none.
    pub user: &'a str,
    pub universe: Universe,
    pub host: Host,
    pub arch: &'a str,
    pub opsys: &'a str,
    pub disk: Amount,
    pub memory: Amount,
    pub cpus: Amount,
    pub gpus: Gpus,
    pub custom: &'a [Custom],
    pub should_transfer: ShouldTransfer,
    pub outputs: Outputs,
    /// Clauses for what only some machines can do.
    pub abilities: &'a [(Ability, String)],
}

/// Where a job runs, and by what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// On a machine of the pool.
    Machine,
    /// On a machine, in a container, which brings an operating system.
    Docker,
    /// Beside the queue: no file is transferred.
    Queue,
}

/// What a clause on an ability speaks of, which says where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ability {
    /// The system: behind that on the operating system.
    System,
    /// The job's place: behind those on resources.
    Place,
    /// File transfer: inside of its clause.
    Transfer,
    /// Time: at the end.
    Late,
}

/// Whether an amount is asked for that a machine might lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// Nothing is said of it.
    Unsaid,
    /// It is `undefined`.
    Undefined,
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
    /// By their free memory, which others may have a part of.
    Shared,
}

/// A custom resource, as it is written after `request_`.
pub(super) enum Custom {
    Amount(String),
    /// The resource is a text that the machine's must fit.
    Text(String),
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
    let says = |name: &str| mentions(asked.user, name);
    // The trainer is the worker's own program: it runs wherever the worker does.
    if asked.universe == Universe::Vanilla {
        if !says("Arch") {
            clauses.push(format!("(TARGET.Arch == \"{}\")", asked.arch));
        }
        let any_system = asked.host == Host::Docker || SYSTEMS.iter().any(|name| says(name));
        if !any_system {
            clauses.push(format!("(TARGET.OpSys == \"{}\")", asked.opsys));
        }
    }
    clauses.extend(able(asked, Ability::System));
    match asked.disk {
        Amount::Some | Amount::Unsaid => clauses.push("(TARGET.Disk >= RequestDisk)".to_owned()),
        Amount::Undefined => clauses.push("(TARGET.Disk >= DiskUsage)".to_owned()),
        Amount::Nothing => {}
    }
    if asked.memory == Amount::Some {
        clauses.push("(TARGET.Memory >= RequestMemory)".to_owned());
    }
    if asked.cpus == Amount::Some && !says("Cpus") {
        clauses.push("(TARGET.Cpus >= RequestCpus)".to_owned());
    }
    clauses.extend(resources(asked));
    clauses.extend(able(asked, Ability::Place));
    if asked.host != Host::Queue {
        clauses.extend(transfer(asked));
    }
    clauses.extend(able(asked, Ability::Late));
    clauses.join(" && ")
}

/// The clauses on resources that only some machines have, in order of their names.
fn resources(asked: &Asked<'_>) -> impl Iterator<Item = String> {
    let gpus = match asked.gpus {
        Gpus::Counted => Some("(TARGET.GPUs >= RequestGPUs)"),
        Gpus::Described => {
            Some("(countMatches(MY.RequireGPUs, TARGET.AvailableGPUs) >= RequestGPUs)")
        }
        Gpus::Shared => Some("(countMatches(MY.RequireGPUs, TARGET.SharableGPUs) >= RequestGPUs)"),
        Gpus::None => None,
    };
    let custom = asked.custom.iter().map(|custom| match custom {
        Custom::Amount(name) => (name.as_str(), format!("(TARGET.{name} >= Request{name})")),
        Custom::Text(name) => (
            name.as_str(),
            format!("regexp(Request{name}, TARGET.{name})"),
        ),
    });
    let mut clauses: Vec<(&str, String)> = custom
        .chain(gpus.map(|clause| ("GPUs", clause.to_owned())))
        .filter(|(name, _)| !mentions(asked.user, name))
        .collect();
    clauses.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    clauses.into_iter().map(|(_, clause)| clause)
}

fn able(asked: &Asked<'_>, kind: Ability) -> impl Iterator<Item = String> {
    asked
        .abilities
        .iter()
        .filter(move |(of, _)| *of == kind)
        .map(|(_, clause)| clause.clone())
}

fn transfer(asked: &Asked<'_>) -> Option<String> {
    const DOMAIN: &str = "TARGET.FileSystemDomain == MY.FileSystemDomain";
    let says = |name: &str| mentions(asked.user, name);
    let brings_own = able(asked, Ability::Transfer).any(|ability| ability == OWN_PLUGINS);
    let mut moved = match brings_own {
        true => OWN_PLUGINS.to_owned(),
        false => "TARGET.HasFileTransfer".to_owned(),
    };
    if asked.outputs == Outputs::OnSuccess {
        moved = format!("{moved} && {NEW_TRANSFER}");
    }
    for ability in able(asked, Ability::Transfer).filter(|ability| ability != OWN_PLUGINS) {
        moved = format!("{moved} && {ability}");
    }
    match asked.should_transfer {
        ShouldTransfer::No => (!says("FileSystemDomain")).then(|| format!("({DOMAIN})")),
        ShouldTransfer::Yes | ShouldTransfer::IfNeeded if says("HasFileTransfer") => None,
        ShouldTransfer::Yes => Some(format!("({moved})")),
        ShouldTransfer::IfNeeded if says("FileSystemDomain") => Some(format!("({moved})")),
        ShouldTransfer::IfNeeded => Some(format!("(({DOMAIN}) || ({moved}))")),
    }
}

/// Whether an expression speaks of an attribute of the job or the machine: outside of strings, and
/// not of one selected from something else.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    const SIDES: [&str; 4] = ["MY", "TARGET", "OTHER", "SELF"];
    let mut rest = text;
    // What a `.` would select from: one of the sides, or not.
    let mut selected = false;
    let mut side = false;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = after_string(&rest[1..]);
            (selected, side) = (false, false);
            continue;
        }
        if !(c.is_ascii_alphanumeric() || c == '_') {
            if c == '.' {
                selected = !side;
            } else if !c.is_whitespace() && c != '\'' {
                selected = false;
                side = !matches!(c, ')' | ']' | '}');
            }
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        if word.eq_ignore_ascii_case(name) && !selected {
            return true;
        }
        side = SIDES.iter().any(|known| known.eq_ignore_ascii_case(word));
        selected = false;
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
