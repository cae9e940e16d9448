//! Rounding, powers, quantities, and random numbers from the scope's seed.

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;

use super::Builtin;
use super::convert::{Numeric, numeric, truncate};

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("floor", 1, 1, |e, c, at| rounded(e, c, at, f64::floor)),
    Builtin::new("ceil", 1, 1, |e, c, at| rounded(e, c, at, f64::ceil)),
    Builtin::new("ceiling", 1, 1, |e, c, at| rounded(e, c, at, f64::ceil)),
    Builtin::new("round", 1, 1, |e, c, at| {
        rounded(e, c, at, f64::round_ties_even)
    }),
    Builtin::new("pow", 2, 2, pow),
    Builtin::new("quantize", 2, 2, quantize),
    Builtin::new("random", 0, 1, random).drawing(),
];

fn rounded(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, round: fn(f64) -> f64) -> Val {
    match numeric(&e.arg(call, 0, at)) {
        Some(Numeric::Int(value)) => Val::Int(value),
        Some(Numeric::Real(value)) => Val::Int(truncate(round(value))),
        None => Val::Error,
    }
}

/// Of integers an integer, computed in floating point and rounded, as the reference does.
fn pow(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let base = e.arg(call, 0, at);
    let exponent = e.arg(call, 1, at);
    if let (Val::Int(base), Val::Int(exponent)) = (&base, &exponent)
        && *exponent >= 0
    {
        let power = (*base as f64).powf(*exponent as f64);
        return Val::Int(truncate(power + 0.5_f64.copysign(power)));
    }
    match (numeric(&base), numeric(&exponent)) {
        (Some(base), Some(exponent)) => Val::Real(base.real().powf(exponent.real())),
        _ => Val::Error,
    }
}

/// The least multiple of the quantum that reaches the value; of a list of quanta the first that
/// reaches it, or multiples of the last.
fn quantize(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let value = e.arg(call, 0, at);
    let quantum = e.arg(call, 1, at);
    let Some(number) = numeric(&value) else {
        return Val::Error;
    };
    let Some(len) = e.list_len(&quantum) else {
        return multiple(value, number, &quantum);
    };
    let mut last = None;
    for i in 0..len {
        let Some(item) = e.next_item(&quantum, i) else {
            return Val::Error;
        };
        match numeric(&item) {
            Some(step) if step.real() >= number.real() => return item,
            Some(_) => last = Some(item),
            None => return Val::Error,
        }
    }
    match last {
        Some(step) => multiple(value, number, &step),
        None => value,
    }
}

fn multiple(value: Val, number: Numeric, quantum: &Val) -> Val {
    /// A real step this close to zero is no step.
    const STEP_MIN: f64 = 1e-8;
    match (quantum, &value) {
        (Val::Int(0), _) => value,
        (Val::Int(step), Val::Int(int)) => {
            let above = int.wrapping_add(*step).wrapping_sub(1);
            Val::Int(above.wrapping_div(*step).wrapping_mul(*step))
        }
        _ => match numeric(quantum).map(Numeric::real) {
            None => Val::Error,
            Some(step) if step.abs() <= STEP_MIN => value,
            Some(step) => Val::Real((number.real() / step).ceil() * step),
        },
    }
}

/// Below the argument; from 0 to 1 without one.
fn random(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let bound = e.arg_if_any(call, 0, at);
    let Some(bits) = e.random_bits() else {
        return Val::Error;
    };
    let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    match bound {
        None => Val::Real(unit),
        Some(Val::Int(bound)) if bound > 0 => Val::Int((bits % bound.unsigned_abs()) as i64),
        Some(Val::Real(bound)) if bound > 0.0 => Val::Real(unit * bound),
        Some(Val::Int(_) | Val::Real(_)) => {
            e.failed = true;
            Val::Error
        }
        Some(_) => Val::Error,
    }
}

impl Evaluator<'_> {
    /// SplitMix64 (Steele, Lea, Flood 2014); `None` without a seed.
    fn random_bits(&mut self) -> Option<u64> {
        let state = self.random_state.as_mut()?;
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(bits ^ (bits >> 31))
    }
}
