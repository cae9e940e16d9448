//! Lists written as strings, `"a, b, c"`, with their delimiters as an optional last argument.

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("stringlistsize", 1, 2, size),
    Builtin::new("stringlistsum", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Sum)
    }),
    Builtin::new("stringlistavg", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Avg)
    }),
    Builtin::new("stringlistmin", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Min)
    }),
    Builtin::new("stringlistmax", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Max)
    }),
    Builtin::new("stringlistmember", 2, 3, |e, c, at| {
        member(e, c, at, Case::Same)
    }),
    Builtin::new("stringlistimember", 2, 3, |e, c, at| {
        member(e, c, at, Case::Any)
    }),
    Builtin::new("stringlistsintersect", 2, 3, intersect),
    Builtin::new("stringlistsubsetmatch", 2, 3, |e, c, at| {
        subset(e, c, at, Case::Same)
    }),
    Builtin::new("stringlistisubsetmatch", 2, 3, |e, c, at| {
        subset(e, c, at, Case::Any)
    }),
];

pub(super) const DELIMITERS: &str = " ,";

#[derive(Clone, Copy)]
enum Case {
    Same,
    Any,
}

impl Case {
    fn equal(self, a: &str, b: &str) -> bool {
        match self {
            Self::Same => a == b,
            Self::Any => a.eq_ignore_ascii_case(b),
        }
    }
}

#[derive(Clone, Copy)]
enum Summary {
    Sum,
    Avg,
    Min,
    Max,
}

/// The items of a string list, trimmed, without empty ones.
pub(super) fn items<'t>(text: &'t str, delimiters: &str) -> Vec<&'t str> {
    text.split(|c| delimiters.contains(c))
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

/// The number at the beginning of a text, as C's `strtod` reads it; `None` if there is none.
pub(super) fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let lower: String = body
        .chars()
        .take(8)
        .collect::<String>()
        .to_ascii_lowercase();
    if lower.starts_with("inf") {
        return Some(sign * f64::INFINITY);
    }
    if lower.starts_with("nan") {
        return Some(f64::NAN);
    }
    if let Some(hex) = lower.strip_prefix("0x")
        && hex.starts_with(|c: char| c.is_ascii_hexdigit())
    {
        let digits = body[2..].chars().map_while(|c| c.to_digit(16));
        return Some(sign * digits.fold(0.0, |value, digit| value * 16.0 + f64::from(digit)));
    }
    let digits = |from: usize| body[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(0);
    let mut end = whole;
    let mut fraction = 0;
    if body[end..].starts_with('.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if body[end..].starts_with(['e', 'E']) {
        let signed = usize::from(body[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + signed);
        if exponent > 0 {
            end += 1 + signed + exponent;
        }
    }
    body[..end].parse().ok().map(|value: f64| sign * value)
}

fn size(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    match list_and_delimiters(e, call, at) {
        Some((text, delimiters)) => Val::Int(items(&text, &delimiters).len() as i64),
        None => Val::Error,
    }
}

/// Integers stay integers (an average of them too); one item that is not one makes the result real.
fn numbers(e: &mut Evaluator, call: &Call, at: ScopeId, summary: Summary) -> Val {
    let Some((text, delimiters)) = list_and_delimiters(e, call, at) else {
        return Val::Error;
    };
    let items = items(&text, &delimiters);
    let is_integer = |item: &&str| item.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-'));
    let integers = items.iter().all(is_integer);
    let mut values = Vec::with_capacity(items.len());
    for item in &items {
        let Some(value) = leading_number(item) else {
            return Val::Error;
        };
        values.push(value);
    }
    let sum: f64 = values.iter().sum();
    let result = match summary {
        Summary::Sum => sum,
        Summary::Avg if values.is_empty() => return Val::Real(0.0),
        Summary::Avg => sum / values.len() as f64,
        Summary::Min => match values.iter().copied().reduce(f64::min) {
            Some(least) => least,
            None => return Val::Undefined,
        },
        Summary::Max => match values.iter().copied().reduce(f64::max) {
            Some(greatest) => greatest,
            None => return Val::Undefined,
        },
    };
    if integers {
        Val::Int(result as i64)
    } else {
        Val::Real(result)
    }
}

fn list_and_delimiters(e: &mut Evaluator, call: &Call, at: ScopeId) -> Option<(String, String)> {
    let text = e.eval(&call.args[0], at);
    let delimiters = match call.args.get(1) {
        Some(arg) => e.eval(arg, at),
        None => Val::string(DELIMITERS),
    };
    match (text, delimiters) {
        (Val::Str(text), Val::Str(delimiters)) => Some((text.to_string(), delimiters.to_string())),
        _ => None,
    }
}

/// The two strings and the delimiters of a function that is FALSE if one of the two is undefined.
fn two_and_delimiters(
    e: &mut Evaluator,
    call: &Call,
    at: ScopeId,
) -> Result<(String, String, String), Val> {
    let [a, b] = [0, 1].map(|i| e.eval(&call.args[i], at));
    let delimiters = match call.args.get(2).map(|arg| e.eval(arg, at)) {
        None | Some(Val::Undefined) => DELIMITERS.to_string(),
        Some(Val::Str(delimiters)) => delimiters.to_string(),
        Some(_) => return Err(Val::Error),
    };
    match (a, b) {
        (Val::Str(a), Val::Str(b)) => Ok((a.to_string(), b.to_string(), delimiters)),
        (Val::Undefined, Val::Undefined) => Err(Val::Undefined),
        (Val::Undefined, Val::Str(_)) | (Val::Str(_), Val::Undefined) => Err(Val::Bool(false)),
        _ => Err(Val::Error),
    }
}

fn member(e: &mut Evaluator, call: &Call, at: ScopeId, case: Case) -> Val {
    match two_and_delimiters(e, call, at) {
        Ok((item, list, delimiters)) => Val::Bool(
            items(&list, &delimiters)
                .iter()
                .any(|other| case.equal(&item, other)),
        ),
        Err(instead) => instead,
    }
}

fn subset(e: &mut Evaluator, call: &Call, at: ScopeId, case: Case) -> Val {
    match two_and_delimiters(e, call, at) {
        Ok((part, whole, delimiters)) => {
            let whole_items = items(&whole, &delimiters);
            let found = |item: &&str| whole_items.iter().any(|other| case.equal(item, other));
            let part_items = items(&part, &delimiters);
            let blank = part_items.is_empty() && !part.is_empty();
            Val::Bool(!blank && part_items.iter().all(found))
        }
        Err(instead) => instead,
    }
}

fn intersect(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let args = e.all(&call.args, at);
    if args.iter().any(|arg| matches!(arg, Val::Error)) {
        return Val::Error;
    }
    if args.iter().any(|arg| matches!(arg, Val::Undefined)) {
        return Val::Undefined;
    }
    let (Val::Str(a), Val::Str(b)) = (&args[0], &args[1]) else {
        return Val::Error;
    };
    let delimiters = match args.get(2) {
        None => DELIMITERS,
        Some(Val::Str(delimiters)) if delimiters.is_empty() => DELIMITERS,
        Some(Val::Str(delimiters)) => delimiters,
        Some(_) => return Val::Error,
    };
    let parts = |text: &str| -> Vec<String> {
        let parts = text
            .split(|c| delimiters.contains(c))
            .filter(|part| !part.is_empty());
        parts.map(str::to_string).collect()
    };
    let others = parts(b);
    Val::Bool(parts(a).iter().any(|part| others.contains(part)))
}
