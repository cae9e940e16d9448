//! Type tests, and conversions between the types.

use crate::eval::{Evaluator, STEP_BYTES, ScopeId, Val};
use crate::expr::Call;
use crate::limits::STRING_BYTES_MAX;
use crate::times;
use crate::unparse::{self, Style};
use crate::value::Value;

use super::{Builtin, string_list};

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("isundefined", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::Undefined))
    }),
    Builtin::new("iserror", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::Error))
    }),
    Builtin::new("isstring", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::Str(_)))
    }),
    Builtin::new("isinteger", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::Int(_)))
    }),
    Builtin::new("isreal", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::Real(_)))
    }),
    Builtin::new("isboolean", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::Bool(_)))
    }),
    Builtin::new("islist", 1, 1, |e, c, at| is(e, c, at, Val::is_list)),
    Builtin::new("isclassad", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::Ad(_)))
    }),
    Builtin::new("isabstime", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::AbsTime { .. }))
    }),
    Builtin::new("isreltime", 1, 1, |e, c, at| {
        is(e, c, at, |v| matches!(v, Val::RelTime(_)))
    }),
    Builtin::new("int", 1, 1, int),
    Builtin::new("real", 1, 1, real),
    Builtin::new("string", 1, 1, string),
    Builtin::new("bool", 1, 1, bool),
    Builtin::new("abstime", 0, 2, abs_time).reading_clock(),
    Builtin::new("reltime", 1, 1, rel_time),
];

/// A number as strings and other types convert to it.
#[derive(Clone, Copy)]
pub(super) enum Numeric {
    Int(i64),
    Real(f64),
}

impl Numeric {
    pub(super) fn real(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Real(value) => value,
        }
    }
}

/// The number that a value converts to; strings by their beginning. `None` for lists, ads and the
/// rest.
pub(super) fn numeric(value: &Val) -> Option<Numeric> {
    match value {
        Val::Int(value) => Some(Numeric::Int(*value)),
        Val::Real(value) => Some(Numeric::Real(*value)),
        Val::Bool(value) => Some(Numeric::Int(i64::from(*value))),
        Val::Str(text) => string_list::leading_number(text).map(Numeric::Real),
        Val::AbsTime { secs, .. } => Some(Numeric::Int(*secs)),
        // Spans count in whole seconds wherever a number is wanted.
        Val::RelTime(secs) => Some(Numeric::Int(truncate(*secs))),
        Val::Undefined | Val::Error | Val::Lazy(..) | Val::Made(_) | Val::Ad(_) => None,
    }
}

/// A real cut to an integer as the reference's processor does it: what does not fit is the least
/// one.
pub(super) fn truncate(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

impl Evaluator<'_> {
    /// The value as text, as `string()` and `strcat()` have it: strings without quotes. `None` if
    /// it is too long or costs too much.
    pub(super) fn text(&mut self, value: &Val) -> Option<String> {
        let mut out = String::new();
        let mut complete = true;
        match value {
            Val::Undefined => out.push_str("undefined"),
            Val::Error => out.push_str("error"),
            Val::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Val::Int(value) => out = value.to_string(),
            Val::Real(value) => unparse::real(&mut out, *value, Style::New),
            Val::Str(text) => out.push_str(text),
            Val::AbsTime { secs, offset } => out = times::format_abs(*secs, *offset),
            // In whole seconds, unlike where a span is printed as an expression.
            Val::RelTime(secs) => out = times::format_rel(truncate(*secs) as f64),
            Val::Lazy(list, _) => unparse::expr(&mut out, list.as_ref(), Style::New),
            Val::Made(_) => {
                let list = self.force(value.clone());
                complete = print(&mut out, &list).is_some();
            }
            Val::Ad(id) => unparse::ad(&mut out, self.ad(*id), Style::New),
        }
        (self.spend(out.len() / STEP_BYTES) && complete).then_some(out)
    }
}

/// Prints a value as it prints itself. `None` where that is too long: a list that a function made
/// may hold one long string many times.
fn print(out: &mut String, value: &Value) -> Option<()> {
    match value {
        Value::List(list) if list.source.is_none() => {
            out.push_str("{ ");
            for (i, item) in list.values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                print(out, item)?;
            }
            out.push_str(" }");
        }
        value => out.push_str(&value.to_string()),
    }
    (out.len() <= STRING_BYTES_MAX).then_some(())
}

fn is(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, test: impl Fn(&Val) -> bool) -> Val {
    let value = e.arg(call, 0, at);
    Val::Bool(test(&value))
}

fn int(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        Val::Undefined => Val::Undefined,
        value => match numeric(&value) {
            Some(Numeric::Int(value)) => Val::Int(value),
            Some(Numeric::Real(value)) => Val::Int(truncate(value)),
            None => Val::Error,
        },
    }
}

fn real(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        Val::Undefined => Val::Undefined,
        Val::Str(text) => match &*text {
            "INF" => Val::Real(f64::INFINITY),
            "-INF" => Val::Real(f64::NEG_INFINITY),
            "NaN" => Val::Real(f64::NAN),
            text => string_list::leading_number(text).map_or(Val::Error, Val::Real),
        },
        value => numeric(&value).map_or(Val::Error, |number| Val::Real(number.real())),
    }
}

fn string(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        value @ (Val::Undefined | Val::Error | Val::Str(_)) => value,
        value => e.text(&value).map_or(Val::Error, |text| e.made(text)),
    }
}

fn bool(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        Val::Bool(value) => Val::Bool(value),
        Val::Int(value) => Val::Bool(value != 0),
        Val::Real(value) => Val::Bool(value != 0.0),
        Val::Str(text) if text.eq_ignore_ascii_case("true") => Val::Bool(true),
        Val::Str(text) if text.eq_ignore_ascii_case("false") => Val::Bool(false),
        Val::Str(_) | Val::Undefined => Val::Undefined,
        Val::RelTime(secs) => Val::Bool(truncate(secs) != 0),
        Val::Error | Val::AbsTime { .. } | Val::Lazy(..) | Val::Made(_) | Val::Ad(_) => Val::Error,
    }
}

fn abs_time(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let Some(value) = e.arg_if_any(call, 0, at) else {
        return e
            .now_secs
            .map_or(Val::Undefined, |secs| Val::AbsTime { secs, offset: 0 });
    };
    let offset = match e.arg_if_any(call, 1, at) {
        None => None,
        Some(Val::Int(offset)) => Some(offset as i32),
        Some(Val::Real(offset) | Val::RelTime(offset)) => Some(offset as i32),
        Some(_) => return Val::Error,
    };
    match value {
        Val::Undefined => Val::Undefined,
        Val::Int(secs) => Val::AbsTime {
            secs,
            offset: offset.unwrap_or(0),
        },
        Val::Real(secs) | Val::RelTime(secs) => Val::AbsTime {
            secs: truncate(secs),
            offset: offset.unwrap_or(0),
        },
        Val::AbsTime { secs, offset: own } => Val::AbsTime { secs, offset: own },
        // The reference reads times in strings only where they are constants.
        Val::Str(text) => Val::Str(text),
        Val::Error | Val::Bool(_) | Val::Lazy(..) | Val::Made(_) | Val::Ad(_) => Val::Error,
    }
}

fn rel_time(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        Val::Undefined => Val::Undefined,
        Val::Int(secs) => Val::RelTime(secs as f64),
        Val::Real(secs) | Val::RelTime(secs) => Val::RelTime(secs),
        Val::AbsTime { secs, .. } => Val::RelTime(secs as f64),
        Val::Str(text) => times::parse_rel(&text).map_or(Val::Error, Val::RelTime),
        Val::Error | Val::Bool(_) | Val::Lazy(..) | Val::Made(_) | Val::Ad(_) => Val::Error,
    }
}
