//! Macro functions: `$INT(…)`, `$F…(…)`, `$CHOICE(…)` and their kin.
//!
//! As in HTCondor an argument is the name of a macro, or text where there is no such macro. Random
//! functions draw by cluster, proc and their own text, so a job is the same whenever it is
//! expanded.

use classad::{ClassAd, Expr, Scope, Value};

use super::expand::{Expander, Issue};
use super::formats::{self, Number, printf};
use crate::diagnostic::Code;

/// What HTCondor makes of a variable that is not set.
const UNSET: &str = "UNDEFINED";

/// Calls a function; `None` where no function has this name.
pub(super) fn call(
    expander: &mut Expander<'_, '_>,
    name: &str,
    args: &str,
) -> Result<Option<String>, Issue> {
    let value = match name {
        "INT" | "REAL" | "STRING" | "EVAL" => number_or_text(expander, name, args)?,
        "ENV" => environment(expander, args)?,
        "CHOICE" => choice(expander, args)?,
        "SUBSTR" => substring(expander, args)?,
        "DIRNAME" => path_parts(&resolve(expander, args)?, "p"),
        "BASENAME" => basename(expander, args)?,
        "RANDOM_CHOICE" => random_choice(expander, args)?,
        "RANDOM_INTEGER" => random_integer(expander, args)?,
        _ => match name.strip_prefix('F') {
            Some(parts) if parts.chars().all(|c| "fpduwnxbqa".contains(c)) => {
                path_parts(&resolve(expander, args)?, parts)
            }
            Some(_) | None => return Ok(None),
        },
    };
    Ok(Some(value))
}

/// The value of the macro that an argument names, or the argument itself.
fn resolve(expander: &mut Expander<'_, '_>, arg: &str) -> Result<String, Issue> {
    let arg = arg.trim();
    Ok(expander.value_of(arg)?.unwrap_or_else(|| arg.to_owned()))
}

fn bad(name: &str, args: &str, why: &str) -> Issue {
    Issue::new(Code::BadFunction, format!("`${name}({args})`: {why}"))
}

fn number_or_text(
    expander: &mut Expander<'_, '_>,
    name: &str,
    args: &str,
) -> Result<String, Issue> {
    let (arg, format) = match args.split_once(',') {
        Some((arg, format)) if name != "EVAL" => (arg, Some(format)),
        Some(_) | None => (args, None),
    };
    let text = resolve(expander, arg)?;
    let parsed = Expr::parse(&text);
    let value = match &parsed {
        Ok(expr) => Scope::new(&ClassAd::new()).eval(expr),
        Err(_) => Value::Error,
    };
    match name {
        "INT" => {
            let number = integer(&value).ok_or_else(|| bad(name, args, "not an integer"))?;
            Ok(format.map_or_else(
                || number.to_string(),
                |format| printf(format, &Number::Int(number)),
            ))
        }
        "REAL" => {
            let number = real(&value).ok_or_else(|| bad(name, args, "not a number"))?;
            Ok(format.map_or_else(
                || formats::real(number),
                |format| printf(format, &Number::Real(number)),
            ))
        }
        "STRING" => {
            let text = value.as_str().map_or(text.clone(), str::to_owned);
            Ok(format.map_or_else(
                || text.clone(),
                |format| printf(format, &Number::Text(&text)),
            ))
        }
        _ => match (parsed, &value) {
            // HTCondor makes nothing of it.
            (Err(error), _) => {
                let issue = bad(name, args, &error.to_string());
                expander.refused.push(issue.code(Code::BadEval));
                Ok(String::new())
            }
            (Ok(_), Value::Str(text)) => Ok(text.to_string()),
            (Ok(_), value) => Ok(value.to_string()),
        },
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Bool(flag) => Some(i64::from(*flag)),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the fraction is dropped; the cast saturates"
        )]
        Value::Real(number) if number.is_finite() => Some(*number as i64),
        Value::Real(_)
        | Value::Undefined
        | Value::Error
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a printed number, not a counted one"
)]
fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Real(number) => Some(*number),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Undefined
        | Value::Error
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => None,
    }
}

/// `$ENV(name[:default])`: from the macro `ENV.name`, since no environment is read here.
fn environment(expander: &mut Expander<'_, '_>, args: &str) -> Result<String, Issue> {
    let (name, default) = match args.split_once(':') {
        Some((name, default)) => (name.trim(), Some(default)),
        None => (args.trim(), None),
    };
    if let Some(value) = expander.value_of(&format!("ENV.{name}"))? {
        return Ok(value);
    }
    match default {
        Some(default) => expander.nested_text(default),
        None => {
            let message = format!("`$ENV({name})`: the submitter's environment has no `{name}`");
            let help = format!("give a default, `$ENV({name}:…)`");
            let issue = Issue::new(Code::EnvironmentMacro, message).help(help);
            expander.refused.push(issue);
            Ok(UNSET.to_owned())
        }
    }
}

/// `$CHOICE(index,list)` or `$CHOICE(index,a,b,…)`.
fn choice(expander: &mut Expander<'_, '_>, args: &str) -> Result<String, Issue> {
    let fail = |why: &str| bad("CHOICE", args, why);
    let (index, list) = args
        .split_once(',')
        .ok_or_else(|| fail("an index and a list are needed"))?;
    if index.contains('$') {
        return Err(fail(
            "the index is the name of a macro or a number, without `$()`",
        ));
    }
    let index = resolve(expander, index)?;
    let evaluated = Expr::parse(index.trim()).map(|expr| Scope::new(&ClassAd::new()).eval(&expr));
    // HTCondor reads an index that is no number, or a negative one, as 0.
    let index = evaluated
        .ok()
        .and_then(|value| integer(&value))
        .or_else(|| number_prefix(index.trim()))
        .unwrap_or(0)
        .max(0);
    let list = match list.contains(',') {
        true => list.to_owned(),
        false => expander
            .value_of(list.trim())?
            .ok_or_else(|| fail("the list is the name of a macro, or two values and more"))?,
    };
    usize::try_from(index)
        .ok()
        .and_then(|index| list.split(',').nth(index))
        .map(|choice| choice.trim().to_owned())
        .ok_or_else(|| fail("the index is past the end of the list"))
}

/// `$SUBSTR(name,start[,length])`; negative numbers count from the end.
fn substring(expander: &mut Expander<'_, '_>, args: &str) -> Result<String, Issue> {
    let fail = |why: &str| bad("SUBSTR", args, why);
    let mut parts = args.splitn(3, ',');
    let name = parts.next().unwrap_or_default().trim();
    let text = expander.value_of(name)?.unwrap_or_default();
    let mut number = |part: Option<&str>| -> Result<Option<i64>, Issue> {
        let Some(part) = part else { return Ok(None) };
        let text = resolve(expander, part)?;
        let expr = Expr::parse(text.trim()).map_err(|error| fail(&error.to_string()))?;
        let value = Scope::new(&ClassAd::new()).eval(&expr);
        integer(&value)
            .map(Some)
            .ok_or_else(|| fail("start and length are integers"))
    };
    let start = number(parts.next())?.ok_or_else(|| fail("a start is needed"))?;
    let length = number(parts.next())?;
    let chars: Vec<char> = text.chars().collect();
    let len = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let start = if start < 0 {
        len.saturating_add(start).max(0)
    } else {
        start.min(len)
    };
    let end = match length {
        None => len,
        Some(length) if length < 0 => len.saturating_add(length),
        Some(length) => start.saturating_add(length).min(len),
    };
    let start = usize::try_from(start).unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(0);
    Ok(chars
        .get(start..end.max(start))
        .unwrap_or_default()
        .iter()
        .collect())
}

/// `$BASENAME(name[,suffix])`.
fn basename(expander: &mut Expander<'_, '_>, args: &str) -> Result<String, Issue> {
    let (name, suffix) = args.split_once(',').unwrap_or((args, ""));
    let path = resolve(expander, name)?;
    let base = path.rsplit('/').next().unwrap_or_default();
    Ok(base.strip_suffix(suffix.trim()).unwrap_or(base).to_owned())
}

/// `$F[parts](path)`: p directory, d last directory (more of them, as many of the last), n name, x
/// extension, b bare (no trailing slash, no leading dot), q quoted (a: single), w and u the slashes
/// of Windows and Unix. `f`, the full path, stays as written: no directory is known here.
fn path_parts(path: &str, parts: &str) -> String {
    let has = |part: char| parts.contains(part);
    let path = match path.len() >= 2 && path.starts_with('"') && path.ends_with('"') {
        true => &path[1..path.len() - 1],
        false => path,
    };
    let path = match (has('w'), has('u')) {
        (true, _) => path.replace('/', "\\"),
        (false, true) => path.replace('\\', "/"),
        (false, false) => path.to_owned(),
    };
    let separator = if has('w') { '\\' } else { '/' };
    let out = match has('p') || has('d') || has('n') || has('x') {
        true => chosen_parts(&path, parts, separator),
        false => path,
    };
    // HTCondor opens the quotes of nothing and does not close them.
    match (has('q'), has('a'), out.is_empty()) {
        (true, true, false) => format!("'{out}'"),
        (true, false, false) => format!("\"{out}\""),
        (true, true, true) => "'".to_owned(),
        (true, false, true) => "\"".to_owned(),
        (false, _, _) => out,
    }
}

fn chosen_parts(path: &str, parts: &str, separator: char) -> String {
    let has = |part: char| parts.contains(part);
    let (dir, base) = path.split_at(path.rfind(separator).map_or(0, |at| at + 1));
    let dot = base.rfind('.').filter(|at| *at > 0);
    let (name, extension) = base.split_at(dot.unwrap_or(base.len()));
    let mut out = String::new();
    let levels = parts.matches('d').count();
    if levels > 0 {
        let mut start = dir.trim_end_matches(separator).len();
        for _ in 0..levels {
            let before = dir[..start].trim_end_matches(separator);
            start = before.rfind(separator).map_or(0, |at| at + 1);
        }
        out.push_str(&dir[start.min(dir.len())..]);
    } else if has('p') {
        out.push_str(dir);
    }
    if has('b') && !(has('n') || has('x')) {
        out.truncate(out.trim_end_matches(separator).len());
    }
    // What lies between two parts belongs to them.
    if has('n') || (has('x') && (has('p') || has('d'))) {
        out.push_str(name);
    }
    if has('x') {
        let bare = has('b') && !has('n');
        out.push_str(match bare {
            true => extension.trim_start_matches('.'),
            false => extension,
        });
    }
    out
}

fn random_choice(expander: &mut Expander<'_, '_>, args: &str) -> Result<String, Issue> {
    let list = match args.contains(',') {
        true => args.to_owned(),
        false => resolve(expander, args)?,
    };
    let choices: Vec<&str> = list.split(',').map(str::trim).collect();
    let at = draw(expander, args) % choices.len() as u64;
    let at = usize::try_from(at).unwrap_or(0);
    Ok(choices[at].to_owned())
}

/// `$RANDOM_INTEGER(min,max[,step])`.
fn random_integer(expander: &mut Expander<'_, '_>, args: &str) -> Result<String, Issue> {
    let fail = |why: &str| bad("RANDOM_INTEGER", args, why);
    let mut numbers = Vec::new();
    for part in args.split(',') {
        let text = resolve(expander, part)?;
        numbers.push(
            text.trim()
                .parse::<i64>()
                .map_err(|_| fail("min, max and step are integers"))?,
        );
    }
    let (min, max, step) = match numbers[..] {
        [min, max] => (min, max, 1),
        [min, max, step] => (min, max, step),
        _ => return Err(fail("min and max are needed, a step may follow")),
    };
    if min > max || step < 1 {
        return Err(fail("min is at most max, and the step at least 1"));
    }
    let choices =
        u128::try_from((i128::from(max) - i128::from(min)) / i128::from(step)).unwrap_or(0) + 1;
    let at = u128::from(draw(expander, args)) % choices;
    let value = i128::from(min) + i128::try_from(at).unwrap_or(0) * i128::from(step);
    Ok(value.to_string())
}

/// A number that depends on the proc and the text of the call alone (FNV-1a, then the finish of
/// SplitMix64).
fn draw(expander: &Expander<'_, '_>, text: &str) -> u64 {
    let (cluster, proc) = expander.table.proc_ids();
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let ids = cluster.to_le_bytes().into_iter().chain(proc.to_le_bytes());
    for byte in ids.chain(text.bytes()) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// The number that a text starts with.
pub(crate) fn number_prefix(text: &str) -> Option<i64> {
    let digits_at = usize::from(text.starts_with(['-', '+']));
    let end = text[digits_at..]
        .find(|c: char| !c.is_ascii_digit())
        .map_or(text.len(), |end| digits_at + end);
    text[..end].parse().ok()
}
