//! Versions: runs of digits compare as numbers, the rest as bytes. Knows no format of versions.

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("versioncmp", 2, 2, |e, c, at| compared(e, c, at, Val::Int)),
    Builtin::new("versionlt", 2, 2, |e, c, at| {
        compared(e, c, at, |o| Val::Bool(o < 0))
    }),
    Builtin::new("versionle", 2, 2, |e, c, at| {
        compared(e, c, at, |o| Val::Bool(o <= 0))
    }),
    Builtin::new("versioneq", 2, 2, |e, c, at| {
        compared(e, c, at, |o| Val::Bool(o == 0))
    }),
    Builtin::new("versionge", 2, 2, |e, c, at| {
        compared(e, c, at, |o| Val::Bool(o >= 0))
    }),
    Builtin::new("versiongt", 2, 2, |e, c, at| {
        compared(e, c, at, |o| Val::Bool(o > 0))
    }),
    Builtin::new("version_in_range", 3, 3, in_range),
];

impl Evaluator<'_> {
    /// The arguments as texts; UNDEFINED if one is, else ERROR if one is.
    pub(super) fn texts(&mut self, call: Call<'_>, at: ScopeId) -> Result<Vec<String>, Val> {
        let values = self.all(call.args, at);
        if values.iter().any(|value| matches!(value, Val::Undefined)) {
            return Err(Val::Undefined);
        }
        if values.iter().any(|value| matches!(value, Val::Error)) {
            return Err(Val::Error);
        }
        let texts: Option<_> = values.iter().map(|value| self.text(value)).collect();
        texts.ok_or(Val::Error)
    }
}

fn compared(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, answer: fn(i64) -> Val) -> Val {
    match e.texts(call, at) {
        Ok(texts) => answer(compare(texts[0].as_bytes(), texts[1].as_bytes())),
        Err(instead) => instead,
    }
}

fn in_range(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let values = e.all(call.args, at);
    if values[1..]
        .iter()
        .any(|bound| matches!(bound, Val::Undefined))
    {
        return Val::Undefined;
    }
    if values
        .iter()
        .any(|value| matches!(value, Val::Undefined | Val::Error))
    {
        return Val::Error;
    }
    let texts: Option<Vec<String>> = values.iter().map(|value| e.text(value)).collect();
    let Some(texts) = texts else {
        return Val::Error;
    };
    let [version, low, high] = [0, 1, 2].map(|i| texts[i].as_bytes());
    Val::Bool(compare(low, version) <= 0 && compare(version, high) <= 0)
}

/// Negative, zero or positive. Where the first difference is in a run of digits that both have, the
/// one with more zeros in front is smaller, then, without such zeros, the longer run is greater;
/// what is left decides the first different (signed) byte.
fn compare(a: &[u8], b: &[u8]) -> i64 {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let byte = |text: &[u8]| text.get(same).map_or(0, |&byte| i64::from(byte as i8));
    let bytes = byte(a) - byte(b);
    let common = a[..same].iter().rev().take_while(|b| b.is_ascii_digit());
    let from = same - common.count();
    let (a, b) = (run(&a[from..]), run(&b[from..]));
    if a.is_empty() || b.is_empty() {
        return bytes;
    }
    let (a_zeros, b_zeros) = (zeros(a), zeros(b));
    if a_zeros != b_zeros {
        return b_zeros - a_zeros;
    }
    match a.len() as i64 - b.len() as i64 {
        longer if a_zeros == 0 && longer != 0 => longer,
        _ => bytes,
    }
}

/// The digits at the front.
fn run(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    &text[..length]
}

/// The zeros in front of another digit.
fn zeros(run: &[u8]) -> i64 {
    let zeros = run.iter().take_while(|&&b| b == b'0').count();
    zeros.min(run.len() - 1) as i64
}
