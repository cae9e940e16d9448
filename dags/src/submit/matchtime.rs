//! `$$(Attr)`, `$$(Attr:default)` and `$$([expr])`: what stands in a job's values until a machine
//! is known, and is filled in from its ad. Source: HTCondor manual, "Submitting a Job", and the
//! rules of its queue.
//!
//! Pure: both ads are handed in, and nothing here knows which machine was chosen, or why.

use classad::{ClassAd, Expr, Scope, Value};

const OPEN: &str = "$$(";
/// Stands for `$$` itself.
const DOLLARS: &str = "DOLLARDOLLAR";
/// What the names of attributes begin with that say what was filled in.
const MATCH: &str = "MATCH_";
const MATCH_EXP: &str = "MATCH_EXP_";

/// One `$$(…)` of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Macro<'a> {
    Attribute {
        name: &'a str,
        default: Option<&'a str>,
    },
    Expression(&'a str),
}

/// A part of a text: as it stands, or to be filled in.
enum Part<'a> {
    Plain(&'a str),
    Macro(Macro<'a>),
}

/// Whether a text has anything that is filled in at match time.
pub(super) fn has_any(text: &str) -> bool {
    text.contains(OPEN)
}

/// Fills in what a text takes from a match. `$$(Attr)` is the attribute as the machine's ad has it:
/// the text of a string, anything else as it is written. Where the ad lacks it, or has `undefined`,
/// the default stands. `$$([expr])` is evaluated with the job as `MY` and the machine as `TARGET`.
/// What was filled in is not looked through again.
///
/// # Errors
/// A sentence on the first that has no value.
pub fn fill_match(text: &str, job_ad: &ClassAd, machine_ad: &ClassAd) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for part in parts(text) {
        match part? {
            Part::Plain(text) => out.push_str(text),
            Part::Macro(Macro::Attribute { name, default }) => {
                out.push_str(&attribute(name, default, machine_ad)?);
            }
            Part::Macro(Macro::Expression(text)) => {
                let expr = parsed(text)?;
                out.push_str(&evaluated(text, &expr, job_ad, machine_ad)?);
            }
        }
    }
    Ok(out)
}

/// Whether a text may become `whole` when what it leaves open is filled in. For those who must have
/// the files of a job at hand before there is a machine.
#[must_use]
pub fn may_become(text: &str, whole: &str) -> bool {
    let mut plain = vec![String::new()];
    for part in parts(text) {
        match (part, plain.last_mut()) {
            (Ok(Part::Plain(text)), Some(last)) => last.push_str(text),
            (Ok(Part::Macro(_)), _) => plain.push(String::new()),
            (_, _) => return false,
        }
    }
    let Some((first, open)) = plain.split_first() else {
        return false;
    };
    let Some(mut rest) = whole.strip_prefix(first.as_str()) else {
        return false;
    };
    let Some((last, middle)) = open.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part.as_str()) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

/// The attributes of a job's ad that a match changes, with their names: each that has a `$$(…)`,
/// filled in; the same under `MATCH_EXP_` and its name; and under `MATCH_` the machine's attributes
/// that were used. They are to be put into the job's ad while it runs there.
///
/// # Errors
/// As [`fill_match`], with the attribute's name.
pub fn match_attributes(
    job_ad: &ClassAd,
    machine_ad: &ClassAd,
) -> Result<Vec<(String, Expr)>, String> {
    let mut found: Vec<(String, Expr)> = Vec::new();
    for (name, text) in texts(job_ad) {
        let wrong = |reason| format!("{name}: {reason}");
        let filled = fill_match(&text, job_ad, machine_ad).map_err(wrong)?;
        for part in parts(&text) {
            let Part::Macro(Macro::Attribute { name, .. }) = part? else {
                continue;
            };
            let own = format!("{MATCH}{name}");
            let is_new = !found.iter().any(|(known, _)| *known == own);
            if let Some(expr) = machine_ad.get(name).filter(|_| is_new) {
                found.push((own, expr.clone()));
            }
        }
        found.push((format!("{MATCH_EXP}{name}"), filled.as_str().into()));
        found.push((name, filled.as_str().into()));
    }
    Ok(found)
}

/// The strings of an ad that have a `$$(…)`. What an earlier match left is not filled in again.
fn texts(ad: &ClassAd) -> impl Iterator<Item = (String, String)> {
    ad.iter().filter_map(|(name, expr)| {
        if !expr.is_literal() {
            return None;
        }
        let value = Scope::new(&ClassAd::new()).eval(expr);
        let text = value.as_str().filter(|text| has_any(text))?;
        let name = name.to_string();
        let is_left = name
            .get(..MATCH.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(MATCH));
        (!is_left).then(|| (name, text.to_owned()))
    })
}

/// Whether some string of an ad has a `$$(…)`.
pub(super) fn is_open(ad: &ClassAd) -> bool {
    texts(ad).next().is_some()
}

/// What is malformed among the `$$(…)` of an ad: the text that is, and a sentence.
pub(super) fn malformed(ad: &ClassAd) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (_, text) in texts(ad) {
        for part in parts(&text) {
            match part {
                Err(message) => found.push((OPEN.to_owned(), message)),
                Ok(Part::Macro(Macro::Expression(expr))) => {
                    if let Err(message) = parsed(expr) {
                        found.push((format!("{OPEN}[{expr}])"), message));
                    }
                }
                Ok(Part::Macro(Macro::Attribute { name, .. })) => {
                    if let Err(message) = named(name) {
                        found.push((format!("{OPEN}{name}"), message));
                    }
                }
                Ok(Part::Plain(_)) => {}
            }
        }
    }
    found
}

/// A text in its parts; ends after the first that is malformed.
fn parts(text: &str) -> impl Iterator<Item = Result<Part<'_>, String>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(inner) = rest.strip_prefix(OPEN) else {
            let end = rest.find(OPEN).unwrap_or(rest.len());
            let plain = &rest[..end];
            rest = &rest[end..];
            return Some(Ok(Part::Plain(plain)));
        };
        let is_expression = inner.starts_with('[');
        let (found, taken) = if is_expression {
            let end = inner.find("])");
            (
                end.map(|end| Macro::Expression(&inner[1..end])),
                end.map(|end| end + 2),
            )
        } else {
            let end = inner.find(')');
            let found = end.map(|end| match inner[..end].split_once(':') {
                Some((name, default)) => Macro::Attribute {
                    name,
                    default: Some(default),
                },
                None => Macro::Attribute {
                    name: &inner[..end],
                    default: None,
                },
            });
            (found, end.map(|end| end + 1))
        };
        match (found, taken) {
            (Some(found), Some(taken)) => {
                rest = &inner[taken..];
                Some(Ok(Part::Macro(found)))
            }
            (_, _) => {
                let close = if is_expression { "])" } else { ")" };
                let message = format!("`{rest}` is not closed by `{close}`");
                rest = "";
                Some(Err(message))
            }
        }
    })
}

fn named(name: &str) -> Result<(), String> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_name {
        true => Ok(()),
        false => Err(format!(
            "`$$({name})` names no attribute of a machine; write `$$([{name}])` for an expression"
        )),
    }
}

fn attribute(name: &str, default: Option<&str>, machine_ad: &ClassAd) -> Result<String, String> {
    named(name)?;
    if name.eq_ignore_ascii_case(DOLLARS) {
        return Ok("$$".to_owned());
    }
    let none = ClassAd::new();
    let found = machine_ad.get(name).map(|expr| {
        let value = expr.is_literal().then(|| Scope::new(&none).eval(expr));
        (expr, value)
    });
    match (found, default) {
        (Some((_, Some(Value::Str(text)))), _) => Ok(text.to_string()),
        (Some((_, Some(Value::Undefined))) | None, Some(default)) => Ok(default.to_owned()),
        (Some((_, Some(Value::Undefined))) | None, None) => Err(format!(
            "`$$({name})` has no value: the machine's ad has no `{name}`"
        )),
        (Some((expr, _)), _) => Ok(expr.to_old()),
    }
}

/// The expression between the brackets. In arguments of the old quoting a backslash stands before
/// its quotes.
fn parsed(text: &str) -> Result<Expr, String> {
    let wrong = |error: classad::ParseError| format!("`$$([{text}])`: {error}");
    Expr::parse(text)
        .or_else(|error| Expr::parse(&text.replace("\\\"", "\"")).map_err(|_| error))
        .map_err(wrong)
}

fn evaluated(
    text: &str,
    expr: &Expr,
    job_ad: &ClassAd,
    machine_ad: &ClassAd,
) -> Result<String, String> {
    match Scope::new(job_ad).target(machine_ad).eval(expr) {
        Value::Str(text) => Ok(text.to_string()),
        Value::Undefined => Err(format!("`$$([{text}])` is undefined on this machine")),
        Value::Error => Err(format!("`$$([{text}])` is an error on this machine")),
        value @ (Value::Bool(_)
        | Value::Int(_)
        | Value::Real(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_)) => Ok(value.to_string()),
    }
}
