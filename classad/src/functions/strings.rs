//! Functions of strings. Positions and lengths count bytes, as in the reference; where a cut falls
//! inside a character, the character's broken bytes become U+FFFD.

use std::cmp::Ordering;

use crate::eval::{Evaluator, ScopeId, Val, ops};
use crate::expr::Call;

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("strcat", 0, super::ANY, strcat),
    Builtin::new("join", 0, super::ANY, join),
    Builtin::new("substr", 2, 3, substr),
    Builtin::new("strcmp", 2, 2, |e, c, at| compared(e, c, at, str::cmp)),
    Builtin::new("stricmp", 2, 2, |e, c, at| {
        compared(e, c, at, ops::compare_folded)
    }),
    Builtin::new("toupper", 1, 1, |e, c, at| {
        mapped(e, c, at, |text| text.to_ascii_uppercase())
    }),
    Builtin::new("tolower", 1, 1, |e, c, at| {
        mapped(e, c, at, |text| text.to_ascii_lowercase())
    }),
    Builtin::new("split", 1, 2, split),
    Builtin::new("splitusername", 1, 1, |e, c, at| {
        split_at_sign(e, c, at, Lone::First)
    }),
    Builtin::new("splitslotname", 1, 1, |e, c, at| {
        split_at_sign(e, c, at, Lone::Second)
    }),
];

fn strcat(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let mut out = String::new();
    for arg in &call.args {
        match e.eval(arg, at) {
            value @ (Val::Undefined | Val::Error) => return value,
            value => out += &e.text(&value),
        }
        if out.len() > crate::limits::STRING_BYTES_MAX {
            return Val::Error;
        }
    }
    e.made(out)
}

/// `join(sep, a, b…)`, `join(sep, list)` or `join(list)`. Undefined parts are left out.
fn join(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let mut args = e.all(&call.args, at);
    if args.iter().any(|arg| matches!(arg, Val::Error)) {
        return Val::Error;
    }
    let separator = match args.len() {
        0 => return Val::string(""),
        1 => String::new(),
        _ => match args.remove(0) {
            Val::Undefined => String::new(),
            value => e.text(&value),
        },
    };
    if let [only] = args.as_slice()
        && only.is_list()
    {
        args = match e.items(only) {
            Some(items) if items.iter().any(|item| matches!(item, Val::Error)) => {
                return Val::Error;
            }
            Some(items) => items,
            None => return Val::Error,
        };
    } else if args.iter().all(|arg| matches!(arg, Val::Undefined)) {
        return Val::Undefined;
    }
    let mut out = String::new();
    let mut first = true;
    for part in args.iter().filter(|part| !matches!(part, Val::Undefined)) {
        if !first {
            out += &separator;
        }
        first = false;
        out += &e.text(part);
        if out.len() > crate::limits::STRING_BYTES_MAX {
            return Val::Error;
        }
    }
    e.made(out)
}

/// A negative position counts from the end, a negative length leaves so much at the end.
fn substr(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let args = e.all(&call.args, at);
    if args.iter().any(|arg| matches!(arg, Val::Error)) {
        return Val::Error;
    }
    if args.iter().any(|arg| matches!(arg, Val::Undefined)) {
        return Val::Undefined;
    }
    let (Val::Str(text), Val::Int(offset)) = (&args[0], &args[1]) else {
        return Val::Error;
    };
    let total = text.len() as i64;
    let length = match args.get(2) {
        None => total,
        Some(Val::Int(length)) => *length,
        Some(_) => return Val::Error,
    };
    let from = if *offset < 0 {
        total.saturating_add(*offset)
    } else {
        *offset
    }
    .clamp(0, total);
    let to = if length < 0 {
        total.saturating_add(length)
    } else {
        from.saturating_add(length)
    };
    let to = to.clamp(from, total);
    let bytes = &text.as_bytes()[from as usize..to as usize];
    e.made(String::from_utf8_lossy(bytes).into_owned())
}

fn compared(
    e: &mut Evaluator,
    call: &Call,
    at: ScopeId,
    compare: fn(&str, &str) -> Ordering,
) -> Val {
    let mut texts = Vec::with_capacity(2);
    for arg in &call.args {
        match e.eval(arg, at) {
            value @ (Val::Undefined | Val::Error) => return value,
            value => texts.push(e.text(&value)),
        }
    }
    Val::Int(compare(&texts[0], &texts[1]) as i64)
}

fn mapped(e: &mut Evaluator, call: &Call, at: ScopeId, map: fn(&str) -> String) -> Val {
    match e.eval(&call.args[0], at) {
        value @ (Val::Undefined | Val::Error) => value,
        value => {
            let text = e.text(&value);
            e.made(map(&text))
        }
    }
}

/// Cuts at every delimiter (by default comma and space). White space around a part goes, empty
/// parts in the middle stay, one at either end goes.
fn split(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let args = e.all(&call.args, at);
    let Val::Str(text) = &args[0] else {
        return Val::Error;
    };
    let delimiters = match args.get(1) {
        None => ", ",
        Some(Val::Str(delimiters)) => delimiters,
        Some(_) => return Val::Error,
    };
    let is_delimiter = |c: char| delimiters.contains(c);
    let mut rest = text.trim();
    rest = rest.strip_prefix(is_delimiter).unwrap_or(rest).trim_start();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(is_delimiter).unwrap_or(rest.len());
        parts.push(Val::string(rest[..end].trim_end()));
        let mut after = rest[end..].chars();
        after.next();
        rest = after.as_str().trim_start();
    }
    e.made_list(parts)
}

/// Which half a name without `@` is.
#[derive(Clone, Copy)]
enum Lone {
    First,
    Second,
}

fn split_at_sign(e: &mut Evaluator, call: &Call, at: ScopeId, lone: Lone) -> Val {
    match e.eval(&call.args[0], at) {
        Val::Undefined => Val::Undefined,
        Val::Str(text) => {
            let (first, second) = match (text.split_once('@'), lone) {
                (Some(halves), _) => halves,
                (None, Lone::First) => (&*text, ""),
                (None, Lone::Second) => ("", &*text),
            };
            e.made_list(vec![Val::string(first), Val::string(second)])
        }
        _ => Val::Error,
    }
}
