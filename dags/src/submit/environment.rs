//! The two syntaxes of `environment`: `"A=1 B='x y'"` and `A=1;B=2`.

use std::collections::BTreeMap;

use super::quoting::{join_arguments, new_syntax, split_raw};

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

/// The form HTCondor keeps in the ad.
pub(super) fn unparse(environment: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    join_arguments(&entries)
}
