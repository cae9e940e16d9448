//! The conditions of `if` and `elif`: `defined name`, a version, a boolean or a number. There are
//! no compound conditions and no comparisons. Source: HTCondor manual, "Submitting a Job", and
//! measured on its library.

use super::run::Table;

/// What a condition may look like.
pub(super) const FORMS: &str = "`defined name`, `version >= 8.1.6`, `true`, `false`, `yes`, `no` or \
                               a number, with `!` before it or not";

/// The release of HTCondor whose submit language this is: what `version` compares with.
const VERSION: [u32; 3] = [25, 14, 1];
const OPERATORS: [&str; 7] = ["<=", ">=", "!=", "==", "=", "<", ">"];

/// Whether a condition can be one at all; what macros stand for is not known.
///
/// # Errors
/// A sentence.
pub(super) fn check(text: &str) -> Result<(), String> {
    match text.contains('$') {
        true => Ok(()),
        false if text.trim().is_empty() => Err("a condition is missing".to_owned()),
        false => {
            let none = super::Macros::new();
            holds(&Table::new(&none, &none), text).map(|_| ())
        }
    }
}

/// Whether an expanded condition holds. One that macros made empty does not.
///
/// # Errors
/// A sentence.
pub(super) fn holds(table: &Table<'_>, text: &str) -> Result<bool, String> {
    let text = text.trim();
    match text.strip_prefix('!') {
        Some(rest) => plain(table, rest.trim_start()).map(|holds| !holds),
        None => plain(table, text),
    }
}

fn plain(table: &Table<'_>, text: &str) -> Result<bool, String> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    let rest: Vec<&str> = words.collect();
    match (first.as_str(), &rest[..]) {
        ("", _) | ("defined", []) => Ok(false),
        ("defined", [name]) if !name.starts_with('+') => Ok(table.is_defined(name)),
        ("version", [..]) => version(text[first.len()..].trim_start()),
        ("true" | "t" | "yes", []) => Ok(true),
        ("false" | "f" | "no", []) => Ok(false),
        (word, []) => number(word).ok_or_else(|| format!("`{word}` is no condition")),
        (_, _) => Err(format!(
            "`{text}` is no condition: comparisons are not known here"
        )),
    }
}

fn number(word: &str) -> Option<bool> {
    let plain = word
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e'));
    let number: f64 = word
        .parse()
        .ok()
        .filter(|_| plain && !word.starts_with('+'))?;
    Some(number != 0.0)
}

/// `>= 8.1.6`: an operator and two or more numbers, of which the first three count; text behind
/// them is not read.
fn version(text: &str) -> Result<bool, String> {
    let operator = OPERATORS
        .iter()
        .find(|operator| text.starts_with(**operator))
        .ok_or("`version` is followed by a comparison, as in `version >= 8.1.6`")?;
    let word = text[operator.len()..].split_whitespace().next();
    let word = word.unwrap_or_default();
    let wrong = || format!("`{word}` is no version: two numbers and more are, as in `8.1.6`");
    let numbers: Result<Vec<u32>, _> = word.split('.').map(str::parse).collect();
    let numbers = numbers.map_err(|_| wrong())?;
    if numbers.len() < 2 {
        return Err(wrong());
    }
    let compared = numbers.len().min(VERSION.len());
    let order = VERSION[..compared].cmp(&numbers[..compared]);
    Ok(match *operator {
        "<=" => order.is_le(),
        ">=" => order.is_ge(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        ">" => order.is_gt(),
        _ => order.is_eq(),
    })
}
