//! The two syntaxes of `environment`: `"A=1 B='x y'"` and `A=1;B=2`.

use std::collections::BTreeMap;

use super::quoting::{join_arguments, new_syntax, split_raw};
use super::values::boolean;

/// Reads an environment in either syntax; a later value of a name counts.
///
/// # Errors
/// A sentence on the first entry that is wrong.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let entries = match new_syntax(text)? {
        Some(raw) => split_raw(&raw)?,
        None => text
            .split(';')
            .map(str::trim)
            .filter(|e| !e.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    self::entries(entries)
}

/// Reads entries of the form `NAME=value`.
pub(super) fn entries(entries: Vec<String>) -> Result<BTreeMap<String, String>, String> {
    let mut environment = BTreeMap::new();
    for entry in entries {
        match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                environment.insert(name.to_owned(), value.to_owned());
            }
            Some(_) => return Err(format!("`{entry}` has no name before its `=`")),
            None => return Err(format!("`{entry}` is not of the form `NAME=value`")),
        }
    }
    Ok(environment)
}

/// Whether a variable is taken along by a value of `getenv`: `true`, or names with `*` in them, of
/// which those behind a `!` are not.
pub(super) fn is_wanted(patterns: &str, name: &str, value: &str) -> bool {
    if let Some(all) = boolean(patterns) {
        return all && is_safe(name, value);
    }
    let patterns = patterns.split([',', ';', ' ', '\t']);
    let (mut named, mut wanted) = (false, false);
    for pattern in patterns.filter(|pattern| !pattern.is_empty()) {
        match pattern.strip_prefix('!') {
            Some(unwanted) if fits(unwanted, name) => return false,
            Some(_) => {}
            None => {
                named = true;
                wanted |= fits(pattern, name);
            }
        }
    }
    (wanted || !named) && is_safe(name, value)
}

/// What HTCondor takes along: a line break would end the entry elsewhere.
fn is_safe(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\n']) && !value.contains('\n')
}

/// Whether a name is a pattern in which `*` stands for any text, without regard to case.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The form HTCondor keeps in the ad of the old syntax.
pub(super) fn unparse_old(environment: &BTreeMap<String, String>) -> String {
    let entries = environment.iter();
    let entries: Vec<String> = entries
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    entries.join(";")
}

/// The form HTCondor keeps in the ad.
pub(super) fn unparse(environment: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    join_arguments(&entries)
}
