//! Versions: runs of digits compare as numbers, the rest as bytes.

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

fn texts(e: &mut Evaluator, call: &Call, at: ScopeId) -> Result<Vec<String>, Val> {
    let mut texts = Vec::with_capacity(call.args.len());
    for arg in &call.args {
        match e.eval(arg, at) {
            value @ (Val::Undefined | Val::Error) => return Err(value),
            value => texts.push(e.text(&value)),
        }
    }
    Ok(texts)
}

fn compared(e: &mut Evaluator, call: &Call, at: ScopeId, answer: fn(i64) -> Val) -> Val {
    match texts(e, call, at) {
        Ok(texts) => answer(compare(texts[0].as_bytes(), texts[1].as_bytes())),
        Err(instead) => instead,
    }
}

fn in_range(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let Ok(texts) = texts(e, call, at) else {
        return Val::Error;
    };
    let [version, low, high] = [0, 1, 2].map(|i| texts[i].as_bytes());
    Val::Bool(compare(version, low) >= 0 && compare(version, high) <= 0)
}

/// Negative, zero or positive. Where both differ in a run of digits, the longer run is greater, or
/// the first different digit decides; a run with leading zeros reads as a fraction, and is smaller.
/// Elsewhere the difference of the first different bytes.
fn compare(a: &[u8], b: &[u8]) -> i64 {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    if same == a.len() && same == b.len() {
        return 0;
    }
    let byte = |text: &[u8], i: usize| i64::from(text.get(i).copied().unwrap_or(0));
    let is_digit = |text: &[u8], i: usize| text.get(i).is_some_and(u8::is_ascii_digit);
    let start = (0..same)
        .rev()
        .take_while(|&i| a[i].is_ascii_digit())
        .last()
        .unwrap_or(same);
    let in_run = start < same;
    let bytes = byte(a, same) - byte(b, same);
    let (a_digit, b_digit) = (is_digit(a, same), is_digit(b, same));
    let both_in_runs = if in_run {
        a_digit || b_digit
    } else {
        a_digit && b_digit
    };
    if !both_in_runs {
        return bytes;
    }
    let fraction = a.get(start) == Some(&b'0') || b.get(start) == Some(&b'0');
    let run = |text: &[u8]| {
        text[start..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    match run(a).cmp(&run(b)) {
        std::cmp::Ordering::Equal => bytes.signum(),
        _ if fraction => bytes.signum(),
        ordering => ordering as i64,
    }
}
