//! Functions of strings. Positions and lengths count bytes, as in the reference; where a cut falls
//! inside a character, the character's broken bytes become U+FFFD.

use std::cmp::Ordering;

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;

use super::Builtin;
use super::string_list::Delimiters;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("strcat", 0, super::ANY, strcat),
    Builtin::new("join", 0, super::ANY, join),
    Builtin::new("substr", 2, 3, substr),
    Builtin::new("strcmp", 2, 2, |e, c, at| compared(e, c, at, str::cmp)),
    Builtin::new("stricmp", 2, 2, |e, c, at| {
        compared(e, c, at, crate::name::compare)
    }),
    Builtin::new("toupper", 1, 1, |e, c, at| {
        mapped(e, c, at, |text| text.to_ascii_uppercase())
    }),
    Builtin::new("tolower", 1, 1, |e, c, at| {
        mapped(e, c, at, |text| text.to_ascii_lowercase())
    }),
    Builtin::new("split", 1, 2, split).of_htcondor(),
    Builtin::new("splitusername", 1, 1, |e, c, at| {
        split_at_sign(e, c, at, Lone::First)
    })
    .of_htcondor(),
    Builtin::new("splitslotname", 1, 1, |e, c, at| {
        split_at_sign(e, c, at, Lone::Second)
    })
    .of_htcondor(),
];

fn strcat(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let mut out = String::new();
    for arg in call.args {
        match e.eval(arg, at) {
            value @ (Val::Undefined | Val::Error) => return value,
            value => match e.text(&value) {
                Some(text) => out += &text,
                None => return Val::Error,
            },
        }
        if out.len() > crate::limits::STRING_BYTES_MAX {
            return Val::Error;
        }
    }
    e.made(out)
}

/// `join(sep, a, b…)`, `join(sep, list)` or `join(list)`. Undefined parts are left out; nothing
/// separates what follows an empty beginning.
fn join(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let mut args = e.all(call.args, at);
    if let [.., last] = args.as_slice()
        && args.len() <= 2
        && last.is_list()
    {
        let Some(items) = e.items_of(last) else {
            return Val::Error;
        };
        args.pop();
        if args.is_empty() {
            args.push(Val::string(""));
        }
        args.extend(items);
    }
    let (mut undefined, mut defined) = (false, false);
    let mut separator = String::new();
    let mut out = String::new();
    for (i, part) in args.iter().enumerate() {
        let text = match part {
            Val::Undefined => {
                undefined = true;
                continue;
            }
            Val::Error => return Val::Error,
            part => match e.text(part) {
                Some(text) => text,
                None => return Val::Error,
            },
        };
        if i == 0 {
            separator = text;
            continue;
        }
        if !out.is_empty() {
            out += &separator;
        }
        defined = true;
        out += &text;
        if out.len() > crate::limits::STRING_BYTES_MAX {
            return Val::Error;
        }
    }
    if undefined && !defined {
        return Val::Undefined;
    }
    e.made(out)
}

/// A negative position counts from the end, a negative length leaves so much at the end.
fn substr(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.all(call.args, at);
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
    e: &mut Evaluator<'_>,
    call: Call<'_>,
    at: ScopeId,
    compare: fn(&str, &str) -> Ordering,
) -> Val {
    match e.texts(call, at) {
        Ok(texts) => Val::Int(compare(&texts[0], &texts[1]) as i64),
        Err(instead) => instead,
    }
}

fn mapped(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, map: fn(&str) -> String) -> Val {
    match e.arg(call, 0, at) {
        value @ (Val::Undefined | Val::Error) => value,
        value => match e.text(&value) {
            Some(text) => e.made(map(&text)),
            None => Val::Error,
        },
    }
}

/// Cuts at every delimiter (by default comma, space and tab). A part that is empty stays only
/// between two of the same delimiter that is no white space.
fn split(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.all(call.args, at);
    let Val::Str(text) = &args[0] else {
        return Val::Error;
    };
    let delimiters = match args.get(1) {
        None => ", \t",
        Some(Val::Str(delimiters)) => delimiters,
        Some(_) => return Val::Error,
    };
    let delimiters = Delimiters::new(delimiters);
    let mut parts = Vec::new();
    let mut part_from = 0;
    let mut last_delimiter = None;
    for (i, c) in text.char_indices().filter(|(_, c)| delimiters.has(*c)) {
        if i > part_from {
            parts.push(Val::string(&text[part_from..i]));
        } else if last_delimiter == Some(c) {
            parts.push(Val::string(""));
        }
        if !matches!(c, ' ' | '\t'..='\r') {
            last_delimiter = Some(c);
        }
        part_from = i + c.len_utf8();
    }
    if part_from < text.len() {
        parts.push(Val::string(&text[part_from..]));
    }
    e.made_list(parts)
}

/// Which half a name without `@` is.
#[derive(Clone, Copy)]
enum Lone {
    First,
    Second,
}

fn split_at_sign(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, lone: Lone) -> Val {
    match e.arg(call, 0, at) {
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
