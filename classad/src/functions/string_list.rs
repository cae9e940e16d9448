//! Lists written as strings, `"a, b, c"`, with their delimiters as an optional last argument.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("stringlistsize", 1, 2, size).of_htcondor(),
    Builtin::new("stringlistsum", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Sum)
    })
    .of_htcondor(),
    Builtin::new("stringlistavg", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Avg)
    })
    .of_htcondor(),
    Builtin::new("stringlistmin", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Min)
    })
    .of_htcondor(),
    Builtin::new("stringlistmax", 1, 2, |e, c, at| {
        numbers(e, c, at, Summary::Max)
    })
    .of_htcondor(),
    Builtin::new("stringlistmember", 2, 3, |e, c, at| {
        member(e, c, at, Case::Same)
    })
    .of_htcondor(),
    Builtin::new("stringlistimember", 2, 3, |e, c, at| {
        member(e, c, at, Case::Any)
    })
    .of_htcondor(),
    Builtin::new("stringlistsintersect", 2, 3, intersect),
    Builtin::new("stringlistsubsetmatch", 2, 3, |e, c, at| {
        subset(e, c, at, Case::Same)
    })
    .of_htcondor(),
    Builtin::new("stringlistisubsetmatch", 2, 3, |e, c, at| {
        subset(e, c, at, Case::Any)
    })
    .of_htcondor(),
];

pub(super) const DELIMITERS: &str = " ,";
/// Those of the functions that ask for members.
const MEMBER_DELIMITERS: &str = " ,\t\r\n";

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Member,
    Subset,
}

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

    /// The text such that what is equal is the same.
    fn folded(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Same => text.into(),
            Self::Any => text.to_ascii_lowercase().into(),
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

/// Characters that separate.
pub(super) struct Delimiters {
    ascii: [bool; 128],
    others: BTreeSet<char>,
}

impl Delimiters {
    pub(super) fn new(delimiters: &str) -> Self {
        let mut ascii = [false; 128];
        let mut others = BTreeSet::new();
        for c in delimiters.chars() {
            match ascii.get_mut(c as usize) {
                Some(place) => *place = true,
                None => drop(others.insert(c)),
            }
        }
        Self { ascii, others }
    }

    pub(super) fn has(&self, c: char) -> bool {
        match self.ascii.get(c as usize) {
            Some(is_delimiter) => *is_delimiter,
            None => self.others.contains(&c),
        }
    }
}

/// The items of a string list, trimmed, without empty ones. Each is paid for; `None` if they cost
/// too much.
pub(super) fn items<'t>(
    e: &mut Evaluator<'_>,
    text: &'t str,
    delimiters: &str,
) -> Option<Vec<&'t str>> {
    let delimiters = Delimiters::new(delimiters);
    let items: Vec<&str> = text
        .split(|c| delimiters.has(c))
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect();
    e.spend(items.len()).then_some(items)
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

fn size(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let Some((text, delimiters)) = list_and_delimiters(e, call, at) else {
        return Val::Error;
    };
    match items(e, &text, &delimiters) {
        Some(items) => Val::Int(items.len() as i64),
        None => Val::Error,
    }
}

/// Integers stay integers (an average of them too); one item that is not one makes the result real.
fn numbers(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, summary: Summary) -> Val {
    let Some((text, delimiters)) = list_and_delimiters(e, call, at) else {
        return Val::Error;
    };
    let Some(items) = items(e, &text, &delimiters) else {
        return Val::Error;
    };
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
        Summary::Sum if values.is_empty() => return Val::Real(0.0),
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

fn list_and_delimiters(
    e: &mut Evaluator<'_>,
    call: Call<'_>,
    at: ScopeId,
) -> Option<(String, String)> {
    let text = e.arg(call, 0, at);
    let delimiters = match call.args.get(1) {
        Some(arg) => e.eval(arg, at),
        None => Val::string(DELIMITERS),
    };
    match (text, delimiters) {
        (Val::Str(text), Val::Str(delimiters)) => Some((text.to_string(), delimiters.to_string())),
        _ => None,
    }
}

/// The two strings and the delimiters, or what the function answers instead: FALSE if the second is
/// undefined; if only the first is, the answer for nothing at all.
fn two_and_delimiters(
    e: &mut Evaluator<'_>,
    call: Call<'_>,
    at: ScopeId,
    asked: Asked,
) -> Result<(String, String, String), Val> {
    let [a, b] = [0, 1].map(|i| e.arg(call, i, at));
    let delimiters = match e.arg_if_any(call, 2, at) {
        None | Some(Val::Undefined) => MEMBER_DELIMITERS.to_string(),
        Some(Val::Str(delimiters)) => delimiters.to_string(),
        Some(_) => return Err(Val::Error),
    };
    match (a, b) {
        (Val::Str(a), Val::Str(b)) => Ok((a.to_string(), b.to_string(), delimiters)),
        (Val::Undefined, Val::Undefined) => Err(Val::Undefined),
        (Val::Undefined, Val::Str(_)) => Err(Val::Bool(asked == Asked::Subset)),
        (Val::Str(a), Val::Undefined) => Err(Val::Bool(asked == Asked::Subset && a.is_empty())),
        _ => Err(Val::Error),
    }
}

fn member(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, case: Case) -> Val {
    let (item, list, delimiters) = match two_and_delimiters(e, call, at, Asked::Member) {
        Ok(asked) => asked,
        Err(instead) => return instead,
    };
    match items(e, &list, &delimiters) {
        Some(items) => Val::Bool(items.iter().any(|other| case.equal(&item, other))),
        None => Val::Error,
    }
}

fn subset(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, case: Case) -> Val {
    let (part, whole, delimiters) = match two_and_delimiters(e, call, at, Asked::Subset) {
        Ok(asked) => asked,
        Err(instead) => return instead,
    };
    let part_items = items(e, &part, &delimiters);
    let whole_items = items(e, &whole, &delimiters);
    let (Some(part_items), Some(whole_items)) = (part_items, whole_items) else {
        return Val::Error;
    };
    let blank = part_items.is_empty() && !part.is_empty();
    let whole_items: BTreeSet<_> = whole_items.into_iter().map(|i| case.folded(i)).collect();
    let mut missing = part_items
        .into_iter()
        .filter(|item| !whole_items.contains(&case.folded(item)));
    Val::Bool(!blank && missing.next().is_none())
}

fn intersect(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.all(call.args, at);
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
    let delimiters = Delimiters::new(delimiters);
    let [own, others] = [a, b].map(|text| {
        let parts = text.split(|c| delimiters.has(c));
        parts
            .filter(|part| !part.is_empty())
            .collect::<BTreeSet<&str>>()
    });
    match e.spend(own.len() + others.len()) {
        true => Val::Bool(!own.is_disjoint(&others)),
        false => Val::Error,
    }
}
