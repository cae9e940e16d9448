//! The condor-style configuration file: `NAME = value` lines, `#` comment lines, a backslash at a
//! line's end that continues it, `$(NAME)` for another value. Names do not care about case.
//!
//! | knob | meaning |
//! | --- | --- |
//! | `STARTD_ATTRS` (`STARTD_EXPRS`) | names for the machine's ad: `SLOT1_NAME`'s or `NAME`'s value |
//! | `NUM_CPUS`, `MEMORY` | cores and MiB to offer |
//! | `START`, `RANK` | jobs that the machine takes, and likes: `Requirements`, `Rank` |
//! | `MACHINE_RESOURCE_NAME` | how much of a custom resource to offer |
//! | `MANAGER`, `CONDOR_HOST` | `host:port` of the manager |
//! | `UPDRAFT_NAME`, `UPDRAFT_CACHE_BYTES_MAX`, `UPDRAFT_SIMULATE_GPUS` | as the worker's flags |
//!
//! Knobs that HTCondor has and a worker here has no use for are ignored with a warning, and so are
//! unknown ones. Source of the language: HTCondor manual, "Introduction to Configuration".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use classad::Expr;
use proto::nouns::WorkerName;

/// Longest configuration file, bytes.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// How deep `$(NAME)` may lead through other values.
pub const MACRO_DEPTH_MAX: usize = 16;
/// Longest value once its `$(NAME)`s are replaced, bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// What the file says. The default is an empty file's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub manager: Option<String>,
    pub name: Option<WorkerName>,
    pub cpus: Option<u32>,
    pub memory_mib: Option<u64>,
    pub cache_bytes_max: Option<u64>,
    pub simulate_gpus: Vec<String>,
    /// Custom resources: how much of each, by name in lower case.
    pub resources: BTreeMap<String, u64>,
    /// What `STARTD_ATTRS` names, in its order.
    pub attributes: Vec<(String, Expr)>,
    /// `START`.
    pub requirements: Option<Expr>,
    pub rank: Option<Expr>,
    /// One sentence each, with its place.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
    /// The line as it stands in the file.
    pub text: String,
}

/// Knobs that mean something here.
const KNOBS: [&str; 11] = [
    "CONDOR_HOST",
    "MANAGER",
    "MEMORY",
    "NUM_CPUS",
    "RANK",
    "START",
    "STARTD_ATTRS",
    "STARTD_EXPRS",
    "UPDRAFT_CACHE_BYTES_MAX",
    "UPDRAFT_NAME",
    "UPDRAFT_SIMULATE_GPUS",
];

/// Knobs of HTCondor that are common in a worker's file and decide nothing here: there is one
/// partitionable slot, nothing is preempted, and security and paths are set elsewhere. A `*` ends a
/// prefix.
const IGNORED: [&str; 21] = [
    "ALLOW_*",
    "CLAIM_WORKLIFE",
    "COLLECTOR_*",
    "CONTINUE",
    "DAEMON_LIST",
    "EXECUTE",
    "GPU_DISCOVERY_EXTRA",
    "KILL",
    "LOCAL_DIR",
    "LOG",
    "MACHINE_RESOURCE_INVENTORY_*",
    "MACHINE_RESOURCE_NAMES",
    "MAX*",
    "NUM_SLOTS*",
    "PREEMPT*",
    "SEC_*",
    "SLOT_TYPE_*",
    "SUSPEND",
    "USE_POOL_PASSWORD",
    "WANT_*",
    "SPOOL",
];

/// Words that begin statements of HTCondor's language which are not read here.
const STATEMENTS: [&str; 7] = ["use", "include", "if", "elif", "else", "endif", "error"];

impl Config {
    /// Reads a configuration. `file` is its name in messages.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing.
    pub fn parse(file: &str, text: &str) -> Result<Config, ConfigErrors> {
        let mut reader = Reader::new(file, text);
        reader.read_lines();
        let config = reader.interpret();
        if reader.errors.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors(reader.errors))
        }
    }
}

/// The beginning of a knob that offers a custom resource.
const RESOURCE_PREFIX: &str = "MACHINE_RESOURCE_";

/// Resources that are not custom ones.
const BUILT_IN: [&str; 7] = [
    "cores",
    "cpus",
    "disk",
    "gpumemory",
    "gpus",
    "memory",
    "swap",
];

/// The name of a custom resource, in lower case; or why it cannot be one.
pub(crate) fn resource_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if !is_attribute_name(text) {
        return Err(format!("`{text}` is not a name"));
    }
    if BUILT_IN.contains(&name.as_str()) {
        return Err(format!("`{text}` is no custom resource"));
    }
    Ok(name)
}

/// Whether the text can name an attribute.
pub(crate) fn is_attribute_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

// === reading ===

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    lines: Vec<&'a str>,
    /// By name in upper case.
    knobs: BTreeMap<String, Knob>,
    used: BTreeSet<String>,
    errors: Vec<ConfigError>,
}

/// A value and where its pieces stand.
#[derive(Clone)]
struct Knob {
    name: String,
    value: String,
    /// For each piece of a continued value: its offset in `value`, its line and its first column,
    /// in bytes, from 0.
    pieces: Vec<(usize, usize, usize)>,
    line: usize,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &'a str) -> Reader<'a> {
        let lines = text.lines().collect();
        Reader {
            file,
            text,
            lines,
            knobs: BTreeMap::new(),
            used: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    fn error(&mut self, line: usize, column: usize, message: String) {
        let text = self.lines.get(line).copied().unwrap_or_default();
        let column = text
            .char_indices()
            .take_while(|(at, _)| *at < column)
            .count()
            + 1;
        let file = self.file.to_owned();
        self.errors.push(ConfigError {
            file,
            line: line + 1,
            column,
            message,
            text: text.to_owned(),
        });
    }

    fn error_in(&mut self, knob: &Knob, offset: usize, message: String) {
        let piece = knob
            .pieces
            .iter()
            .rev()
            .find(|(start, ..)| *start <= offset);
        let (start, line, column) = piece.copied().unwrap_or((0, knob.line, 0));
        self.error(line, column + (offset - start.min(offset)), message);
    }

    fn read_lines(&mut self) {
        if self.text.len() > CONFIG_BYTES_MAX {
            let bytes = self.text.len();
            let message = format!(
                "the file has {bytes} bytes, more than {CONFIG_BYTES_MAX} (CONFIG_BYTES_MAX)"
            );
            return self.error(0, 0, message);
        }
        let mut at = 0;
        while at < self.lines.len() {
            let first = at;
            let mut pieces = Vec::new();
            let mut joined = String::new();
            loop {
                let line = self.lines[at];
                at += 1;
                let continued = line.trim_end().strip_suffix('\\');
                pieces.push((joined.len(), at - 1, 0));
                joined.push_str(continued.unwrap_or(line));
                if continued.is_none() || at == self.lines.len() {
                    break;
                }
            }
            let start = joined.trim_start();
            if !start.is_empty() && !start.starts_with('#') {
                self.statement(first, &joined, &pieces);
            }
        }
    }

    fn statement(&mut self, line: usize, joined: &str, pieces: &[(usize, usize, usize)]) {
        let indent = joined.len() - joined.trim_start().len();
        let first_word = joined.split_whitespace().next().unwrap_or_default();
        let keyword = first_word.trim_end_matches(':').to_ascii_lowercase();
        let Some((name, value)) = joined.split_once('=') else {
            let message = if STATEMENTS.contains(&keyword.as_str()) {
                format!("`{first_word}` statements are not read by a worker")
            } else {
                "expected `NAME = value`".to_owned()
            };
            return self.error(line, indent, message);
        };
        let name = name.trim();
        if !name.split('.').all(is_attribute_name) {
            let message = format!("`{name}` is not a name, expected `NAME = value`");
            return self.error(line, indent, message);
        }
        let lead = value.len() - value.trim_start().len();
        let start = joined.len() - value.len() + lead;
        let value = value.trim();
        let mut own = Vec::new();
        for (piece_start, piece_line, column) in pieces {
            if *piece_start <= start {
                own = vec![(0, *piece_line, column + start - piece_start)];
            } else {
                own.push((piece_start - start, *piece_line, *column));
            }
        }
        // `X = $(X) more` adds to what X was.
        let key = name.to_ascii_uppercase();
        let before = self
            .knobs
            .get(&key)
            .map(|knob| knob.value.clone())
            .unwrap_or_default();
        let value = replace_macro(value, &key, &before);
        let knob = Knob {
            name: name.to_owned(),
            value,
            pieces: own,
            line,
        };
        if knob.value.len() > VALUE_BYTES_MAX {
            return self.error(line, indent, too_long());
        }
        self.knobs.insert(key, knob);
    }

    /// The knob with its macros replaced. Where there were any, places in it are those of its
    /// beginning.
    fn take(&mut self, name: &str) -> Option<Knob> {
        self.used.insert(name.to_owned());
        let mut knob = self.knobs.get(name)?.clone();
        for _ in 0..MACRO_DEPTH_MAX {
            let Some(inner) = next_macro(&knob.value) else {
                return Some(knob);
            };
            let inner = inner.to_ascii_uppercase();
            let value = self
                .knobs
                .get(&inner)
                .map(|knob| knob.value.clone())
                .unwrap_or_default();
            knob.value = replace_macro(&knob.value, &inner, &value);
            knob.pieces.truncate(1);
            self.used.insert(inner);
            if knob.value.len() > VALUE_BYTES_MAX {
                self.error_in(&knob, 0, too_long());
                return None;
            }
        }
        if next_macro(&knob.value).is_some() {
            let message = format!(
                "`$(…)` leads through more than {MACRO_DEPTH_MAX} values (MACRO_DEPTH_MAX)"
            );
            self.error_in(&knob, 0, message);
            return None;
        }
        Some(knob)
    }
}

fn too_long() -> String {
    format!("the value has more than {VALUE_BYTES_MAX} bytes (VALUE_BYTES_MAX)")
}

/// The name in the first `$(NAME)`.
fn next_macro(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("$(")?;
    let (name, _) = rest.split_once(')')?;
    Some(name)
}

/// Replaces every `$(NAME)` of that name, in any case.
fn replace_macro(value: &str, name: &str, with: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("$(") {
        out.push_str(before);
        match after.split_once(')') {
            Some((inner, after)) if inner.eq_ignore_ascii_case(name) => {
                out.push_str(with);
                rest = after;
            }
            Some(_) | None => {
                out.push_str("$(");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

// === meaning ===

impl Reader<'_> {
    fn interpret(&mut self) -> Config {
        let mut config = Config {
            manager: self
                .take("MANAGER")
                .or_else(|| self.take("CONDOR_HOST"))
                .map(|k| k.value),
            name: self.parsed("UPDRAFT_NAME", "a worker's name"),
            cpus: self.parsed("NUM_CPUS", "a number of cores"),
            memory_mib: self.parsed("MEMORY", "a number of MiB"),
            cache_bytes_max: self.parsed("UPDRAFT_CACHE_BYTES_MAX", "a number of bytes"),
            simulate_gpus: self.list("UPDRAFT_SIMULATE_GPUS"),
            resources: self.resources(),
            requirements: self.expr("START"),
            rank: self.expr("RANK"),
            ..Config::default()
        };
        self.used.insert("CONDOR_HOST".to_owned());
        let mut names = self.list("STARTD_ATTRS");
        names.extend(self.list("STARTD_EXPRS"));
        for name in &names {
            let upper = name.to_ascii_uppercase();
            let slot = format!("SLOT1_{upper}");
            let expr = self.expr(&slot);
            let expr = expr.or_else(|| self.expr(&upper));
            self.used.extend([upper.clone(), slot.clone()]);
            let is_set = self.knobs.contains_key(&upper) || self.knobs.contains_key(&slot);
            match expr {
                Some(expr) => config.attributes.push((name.clone(), expr)),
                None if is_set => {}
                None => {
                    let file = self.file;
                    let message = format!(
                        "{file}: STARTD_ATTRS names `{name}`, but neither `{name}` nor \
                         `SLOT1_{name}` is set"
                    );
                    config.warnings.push(message);
                }
            }
        }
        self.warn_of_the_rest(&names, &mut config.warnings);
        config
    }

    /// Custom resources. A value that is no number is a list of their names, as HTCondor has it:
    /// then there are as many as names.
    fn resources(&mut self) -> BTreeMap<String, u64> {
        let keys = self.knobs.keys();
        let keys: Vec<String> = keys
            .filter(|key| key.starts_with(RESOURCE_PREFIX) && !is_ignored(key))
            .cloned()
            .collect();
        let mut resources = BTreeMap::new();
        for key in keys {
            let Some(knob) = self.take(&key) else {
                continue;
            };
            let separator = |c: char| c == ',' || c.is_whitespace();
            let names = knob.value.split(separator).filter(|name| !name.is_empty());
            let begins_as_number = |c: char| c == '-' || c.is_ascii_digit();
            let amount = match knob.value.parse::<u64>() {
                Err(_) if !knob.value.starts_with(begins_as_number) => Ok(names.count() as u64),
                parsed => parsed,
            };
            match (resource_name(&knob.name[RESOURCE_PREFIX.len()..]), amount) {
                (Ok(name), Ok(amount)) => drop(resources.insert(name, amount)),
                (Err(message), _) => self.error_in(&knob, 0, message),
                (_, Err(_)) => {
                    let message = format!("{} = `{}` is no amount", knob.name, knob.value);
                    self.error_in(&knob, 0, message);
                }
            }
        }
        resources
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let knob = self.take(name)?;
        let parsed = knob.value.parse().ok();
        if parsed.is_none() {
            let message = format!("{} = `{}` is not {expected}", knob.name, knob.value);
            self.error_in(&knob, 0, message);
        }
        parsed
    }

    fn expr(&mut self, name: &str) -> Option<Expr> {
        let knob = self.take(name)?;
        match Expr::parse_old(&knob.value) {
            Ok(expr) => Some(expr),
            Err(error) => {
                self.error_in(&knob, error.offset, format!("{}: {error}", knob.name));
                None
            }
        }
    }

    /// Names between commas or spaces.
    fn list(&mut self, name: &str) -> Vec<String> {
        let Some(knob) = self.take(name) else {
            return Vec::new();
        };
        let mut items = Vec::new();
        let separator = |c: char| c == ',' || c.is_whitespace();
        for item in knob.value.split(separator).filter(|item| !item.is_empty()) {
            if name.starts_with("STARTD") && !is_attribute_name(item) {
                let offset = item.as_ptr() as usize - knob.value.as_ptr() as usize;
                self.error_in(&knob, offset, format!("`{item}` cannot name an attribute"));
            } else {
                items.push(item.to_owned());
            }
        }
        items
    }

    fn warn_of_the_rest(&self, names: &[String], warnings: &mut Vec<String>) {
        for (key, knob) in self
            .knobs
            .iter()
            .filter(|(key, _)| !self.used.contains(*key))
        {
            let place = format!("{}:{}", self.file, knob.line + 1);
            let name = &knob.name;
            if is_ignored(key) {
                warnings.push(format!(
                    "{place}: `{name}` is ignored: it decides nothing here"
                ));
                continue;
            }
            let other_slot = key
                .strip_prefix("SLOT")
                .and_then(|rest| rest.split_once('_'));
            if other_slot.is_some_and(|(number, _)| number.parse::<u32>().is_ok_and(|n| n > 1)) {
                warnings.push(format!(
                    "{place}: `{name}` is ignored: there is one slot, `SLOT1_`"
                ));
                continue;
            }
            let slot_names = names.iter().map(|name| format!("SLOT1_{name}"));
            let known = KNOBS.iter().map(|knob| (*knob).to_owned());
            let known = known.chain(names.iter().cloned()).chain(slot_names);
            let nearest = known.map(|known| (distance(key, &known), known)).min();
            let hint = match nearest {
                Some((distance, nearest)) if distance <= 2 => {
                    format!(", did you mean `{nearest}`?")
                }
                Some(_) | None => " (a name in STARTD_ATTRS would put it into the ad)".to_owned(),
            };
            warnings.push(format!(
                "{place}: `{name}` is not a knob of the worker{hint}"
            ));
        }
    }
}

fn is_ignored(key: &str) -> bool {
    IGNORED
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == *pattern,
        })
}

/// Edits that turn one name into the other, ignoring case (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.to_ascii_uppercase().into_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().map(|x| x.to_ascii_uppercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError {
            file,
            line,
            column,
            message,
            text,
        } = self;
        write!(f, "{file}:{line}:{column}: {message}\n  | {text}")
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
