//! A CONFIG file: HTCondor's configuration syntax, as far as a DAG's settings need it. What a
//! setting does is not known here, only what it may say.

use std::collections::BTreeMap;

use super::Settings;
use crate::diagnostic::{Code, Diagnostics, did_you_mean};
use crate::source::{Source, Span};
use crate::submit::Placement;

/// `$(NAME)` inside the value of another.
const EXPANSIONS_MAX: usize = 64;
/// Characters of an expanded value.
const VALUE_CHARS_MAX: usize = 4_096;

/// What a CONFIG file sets.
pub(super) struct Config {
    pub settings: Settings,
    /// Where VARS without PREPEND or APPEND are put (`DAGMAN_DEFAULT_APPEND_VARS`).
    pub vars: Placement,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            vars: Placement::Before,
        }
    }
}

/// How a setting is read.
#[derive(Clone, Copy)]
enum Kind {
    Count(fn(&mut Config, u32), u32),
    Number(fn(&mut Config, i64)),
    Flag(fn(&mut Config, bool)),
    /// DAGMan knows it, and here there is nothing for it to set.
    Moot,
}

/// The settings that mean something here.
const SETTINGS: [(&str, Kind); 11] = [
    (
        "DAGMAN_MAX_JOBS_SUBMITTED",
        Kind::Count(|c, n| c.settings.throttles.max_jobs = n, u32::MAX),
    ),
    (
        "DAGMAN_MAX_JOBS_IDLE",
        Kind::Count(|c, n| c.settings.throttles.max_idle = n, u32::MAX),
    ),
    (
        "DAGMAN_MAX_PRE_SCRIPTS",
        Kind::Count(|c, n| c.settings.throttles.max_pre = n, u32::MAX),
    ),
    (
        "DAGMAN_MAX_POST_SCRIPTS",
        Kind::Count(|c, n| c.settings.throttles.max_post = n, u32::MAX),
    ),
    (
        "DAGMAN_MAX_HOLD_SCRIPTS",
        Kind::Count(|c, n| c.settings.throttles.max_hold = n, u32::MAX),
    ),
    (
        "DAGMAN_MAX_JOB_HOLDS",
        Kind::Count(|c, n| c.settings.max_job_holds = n, 1_000_000),
    ),
    (
        "DAGMAN_DEFAULT_PRIORITY",
        Kind::Number(|c, n| c.settings.default_priority = n),
    ),
    (
        "DAGMAN_ALWAYS_RUN_POST",
        Kind::Flag(|c, flag| c.settings.always_run_post = flag),
    ),
    (
        "DAGMAN_RETRY_NODE_FIRST",
        Kind::Flag(|c, flag| c.settings.retry_node_first = flag),
    ),
    (
        "DAGMAN_SUBMIT_DEPTH_FIRST",
        Kind::Flag(|c, flag| c.settings.depth_first = flag),
    ),
    (
        "DAGMAN_DEFAULT_APPEND_VARS",
        Kind::Flag(|c, flag| {
            c.vars = match flag {
                true => Placement::After,
                false => Placement::Before,
            };
        }),
    ),
];

/// Settings of the DAGMan process, its logs and its polling: here there is no such process.
const MOOT: [&str; 54] = [
    "DAGMAN_ABORT_DUPLICATES",
    "DAGMAN_ABORT_ON_SCARY_SUBMIT",
    "DAGMAN_ALLOW_ANY_NODE_NAME_CHARACTERS",
    "DAGMAN_ALLOW_EVENTS",
    "DAGMAN_ALLOW_LOG_ERROR",
    "DAGMAN_AUTO_RESCUE",
    "DAGMAN_CHECK_QUEUE_INTERVAL",
    "DAGMAN_CONDOR_RM_EXE",
    "DAGMAN_CONDOR_SUBMIT_EXE",
    "DAGMAN_CONFIG_FILE",
    "DAGMAN_COPY_TO_SPOOL",
    "DAGMAN_DEBUG",
    "DAGMAN_DEBUG_CACHE_ENABLE",
    "DAGMAN_DEBUG_CACHE_SIZE",
    "DAGMAN_DEFAULT_NODE_LOG",
    "DAGMAN_DISABLE_PORT",
    "DAGMAN_GENERATE_SUBDAG_SUBMITS",
    "DAGMAN_HOLD_CLAIM_TIME",
    "DAGMAN_IGNORE_DUPLICATE_JOB_EXECUTION",
    "DAGMAN_INHERIT_ATTRS",
    "DAGMAN_INHERIT_ATTRS_PREFIX",
    "DAGMAN_INSERT_SUB_FILE",
    "DAGMAN_LOG_ON_NFS_IS_ERROR",
    "DAGMAN_MANAGER_JOB_APPEND_GETENV",
    "DAGMAN_MAX_RESCUE_NUM",
    "DAGMAN_MAX_SUBMITS_PER_INTERVAL",
    "DAGMAN_MAX_SUBMIT_ATTEMPTS",
    "DAGMAN_METRICS_FILE_VERSION",
    "DAGMAN_MUNGE_NODE_NAMES",
    "DAGMAN_NODE_RECORD_INFO",
    "DAGMAN_OLD_RESCUE",
    "DAGMAN_ON_EXIT_REMOVE",
    "DAGMAN_PENDING_REPORT_INTERVAL",
    "DAGMAN_PRINT_JOB_TABLE_INTERVAL",
    "DAGMAN_PROHIBIT_MULTI_JOBS",
    "DAGMAN_PUT_FAILED_JOBS_ON_HOLD",
    "DAGMAN_QUEUE_UPDATE_INTERVAL",
    "DAGMAN_REMOVE_JOBS_AFTER_LIMIT_CHANGE",
    "DAGMAN_REMOVE_NODE_JOBS",
    "DAGMAN_REPORT_GRAPH_METRICS",
    "DAGMAN_RESET_RETRIES_UPON_RESCUE",
    "DAGMAN_RETRY_SUBMIT_FIRST",
    "DAGMAN_STARTUP_CYCLE_DETECT",
    "DAGMAN_SUBMIT_DELAY",
    "DAGMAN_SUPPRESS_JOB_LOGS",
    "DAGMAN_SUPPRESS_NOTIFICATION",
    "DAGMAN_USER_LOG_SCAN_INTERVAL",
    "DAGMAN_USE_DIRECT_SUBMIT",
    "DAGMAN_USE_JOIN_NODES",
    "DAGMAN_USE_SHARED_PORT",
    "DAGMAN_USE_STRICT",
    "DAGMAN_VERBOSITY",
    "DAGMAN_WRITE_PARTIAL_RESCUE",
    "MAX_DAGMAN_LOG",
];

/// An assignment: its name in capitals, and where the name and the value stand.
struct Assignment {
    name: String,
    name_span: Span,
    value: String,
    value_span: Span,
}

/// Reads a CONFIG file.
pub(super) fn parse(path: &str, text: &str) -> (Config, Diagnostics) {
    let source = Source::new(path, text.to_owned());
    let mut diagnostics = Diagnostics::new();
    let assignments = assignments(&source, &mut diagnostics);
    let values: BTreeMap<&str, &str> = assignments
        .iter()
        .map(|found| (found.name.as_str(), found.value.as_str()))
        .collect();
    let used: Vec<String> = assignments
        .iter()
        .flat_map(|found| references(&found.value))
        .collect();
    let mut config = Config::default();
    for found in &assignments {
        let Some(kind) = kind_of(&found.name) else {
            if !used.contains(&found.name) {
                let name = source.text[found.name_span.start as usize..].split(['=', ' ', '\t']);
                let message = format!("`{}` is no setting", name.into_iter().next().unwrap_or(""));
                let known = SETTINGS.iter().map(|(name, _)| *name).chain(MOOT);
                let diagnostic = source
                    .error(Code::ConfigUnknown, found.name_span, message)
                    .warning()
                    .suggest(did_you_mean(&found.name, known));
                diagnostics.push(diagnostic);
            }
            continue;
        };
        let value = expand(&found.value, &values);
        if let Err(expected) = set(&mut config, kind, value.trim()) {
            let message = format!("`{}` of {} is not {expected}", value.trim(), found.name);
            diagnostics.push(source.error(Code::ConfigValue, found.value_span, message));
        } else if matches!(kind, Kind::Moot) {
            let message = format!("{} means nothing here and has no effect", found.name);
            let diagnostic = source.error(Code::ConfigMoot, found.name_span, message);
            diagnostics.push(diagnostic.warning());
        }
    }
    (config, diagnostics)
}

fn kind_of(name: &str) -> Option<Kind> {
    let setting = SETTINGS.iter().find(|(known, _)| *known == name);
    match setting {
        Some((_, kind)) => Some(*kind),
        None => MOOT.contains(&name).then_some(Kind::Moot),
    }
}

/// # Errors
/// What the value should be.
fn set(config: &mut Config, kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Count(put, max) => {
            let number = value.parse::<u32>().ok().filter(|number| *number <= max);
            let number = number.ok_or_else(|| format!("a whole number from 0 to {max}"))?;
            put(config, number);
        }
        Kind::Number(put) => {
            let number = value.parse::<i32>().map_err(|_| "a whole number")?;
            put(config, i64::from(number));
        }
        Kind::Flag(put) => {
            let is = |words: [&str; 4]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
            match (is(["true", "t", "yes", "1"]), is(["false", "f", "no", "0"])) {
                (true, _) => put(config, true),
                (_, true) => put(config, false),
                (false, false) => return Err("true or false".to_owned()),
            }
        }
        Kind::Moot => {}
    }
    Ok(())
}

/// The assignments of a file; a line that ends in `\` goes on in the next.
fn assignments(source: &Source, diagnostics: &mut Diagnostics) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut lines = source.text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let from = start;
        start += line.len();
        let mut text = line.trim_end().to_owned();
        let comment = text.trim_start().starts_with('#');
        while !comment && text.ends_with('\\') && lines.peek().is_some() {
            text.pop();
            let next = lines.next().unwrap_or_default();
            start += next.len();
            text.push_str(next.trim());
        }
        if comment || text.trim().is_empty() {
            continue;
        }
        let indent = text.len() - text.trim_start().len();
        let whole = Span::new(from + indent, from + line.trim_end().len());
        let Some((name, value)) = text.split_once('=') else {
            let message = "this line is no assignment".to_owned();
            let diagnostic = source.error(Code::ConfigSyntax, whole, message);
            diagnostics.push(diagnostic.expected("`NAME = value`"));
            continue;
        };
        let bare = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if bare.is_empty() || !bare.chars().all(is_name) {
            let message = format!("`{bare}` is no name of a setting");
            diagnostics.push(source.error(Code::ConfigSyntax, whole, message));
            continue;
        }
        let behind = name.len() + 1;
        let lead = value.len() - value.trim_start().len();
        found.push(Assignment {
            name: bare.to_ascii_uppercase(),
            name_span: Span::new(from + indent, from + indent + bare.len()),
            value: value.trim().to_owned(),
            value_span: Span::new(from + behind + lead, from + line.trim_end().len()),
        });
    }
    found
}

/// The names in `$(…)`, in capitals.
fn references(value: &str) -> Vec<String> {
    let parts = value.split("$(").skip(1);
    let names = parts.filter_map(|part| part.split([')', ':']).next());
    names.map(str::to_ascii_uppercase).collect()
}

/// A value with its `$(NAME)` and `$(NAME:default)` filled in; an unknown name is empty.
fn expand(value: &str, values: &BTreeMap<&str, &str>) -> String {
    let mut text = value.to_owned();
    for _ in 0..EXPANSIONS_MAX {
        let Some(open) = text.find("$(") else {
            break;
        };
        let Some(close) = text[open..].find(')').map(|at| open + at) else {
            break;
        };
        let inside = &text[open + 2..close];
        let (name, default) = inside.split_once(':').unwrap_or((inside, ""));
        let name = name.to_ascii_uppercase();
        let filled = values
            .get(name.as_str())
            .copied()
            .unwrap_or(default)
            .to_owned();
        text.replace_range(open..=close, &filled);
        if text.len() > VALUE_CHARS_MAX {
            break;
        }
    }
    text
}
