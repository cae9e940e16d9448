//! The plain values of submit commands: booleans, amounts with units, lists, remaps.

use std::collections::BTreeMap;

/// A power of two that amounts are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Kib,
    Mib,
}

/// `true`, `yes`, `t`, `1` and their opposites.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// `1536`, `1.5G`, `10 MB`: an amount in `unit` where it names none, rounded up to one. `None`
/// where the text is not of this form: it may still be an expression.
pub(super) fn amount(text: &str, unit: Unit) -> Option<i64> {
    const KIB: f64 = 1024.0;
    let text = text.trim();
    let digits_end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
        .unwrap_or(text.len());
    let number: f64 = text[..digits_end].parse().ok()?;
    let suffix = text[digits_end..].trim_start().to_ascii_uppercase();
    let unit_bytes: i64 = match unit {
        Unit::Kib => 1 << 10,
        Unit::Mib => 1 << 20,
    };
    #[expect(clippy::cast_precision_loss, reason = "a power of two, which is exact")]
    let factor = match suffix
        .strip_suffix('B')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&suffix)
    {
        "" => unit_bytes as f64,
        "K" => KIB,
        "M" => KIB * KIB,
        "G" => KIB * KIB * KIB,
        "T" => KIB * KIB * KIB * KIB,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "amounts saturate where no machine is"
    )]
    let bytes = (number * factor).ceil() as i64;
    // As HTCondor rounds: towards zero after the last unit was added, so -1 is 0.
    Some(bytes.saturating_add(unit_bytes - 1) / unit_bytes)
}

/// Names between commas; empty ones are dropped.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `"a=b; c=d"`, with or without the quotes; `\=` and `\;` stand for themselves.
///
/// # Errors
/// A sentence on the first pair that is wrong.
pub(super) fn remaps(text: &str) -> Result<BTreeMap<String, String>, String> {
    let text = unquoted(text);
    let mut remaps = BTreeMap::new();
    for pair in split_plain(text, ';') {
        if pair.trim().is_empty() {
            continue;
        }
        let parts: Vec<String> = split_plain(&pair, '=');
        match &parts[..] {
            [from, to] if !from.trim().is_empty() && !to.trim().is_empty() => {
                remaps.insert(plain(from), plain(to));
            }
            _ => {
                return Err(format!(
                    "`{}` is not of the form `name = path`",
                    pair.trim()
                ));
            }
        }
    }
    Ok(remaps)
}

/// The text inside one pair of double quotes, or the text.
pub(super) fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"')
        .and_then(|inner| inner.strip_suffix('"'))
        .unwrap_or(text)
}

/// Splits at a separator that no backslash stands before; backslashes stay.
fn split_plain(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

fn plain(text: &str) -> String {
    text.trim().replace("\\=", "=").replace("\\;", ";")
}
