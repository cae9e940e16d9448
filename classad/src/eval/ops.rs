//! The operators over values: three-valued logic, coercions, comparison. No scopes here.

use std::cmp::Ordering;

use crate::expr::{BinaryOp, UnaryOp};

use super::Val;

/// What a value says as a condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Truth {
    True,
    False,
    Undefined,
    Error,
}

/// `&&` or `||`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chain {
    And,
    Or,
}

pub(crate) fn truth(value: &Val) -> Truth {
    let known = match value {
        Val::Undefined => return Truth::Undefined,
        Val::Bool(value) => *value,
        Val::Int(value) => *value != 0,
        Val::Real(value) => *value != 0.0,
        Val::Error | Val::Str(_) | Val::AbsTime { .. } | Val::RelTime(_) => return Truth::Error,
        Val::Lazy(..) | Val::Made(_) | Val::Ad(_) => return Truth::Error,
    };
    if known { Truth::True } else { Truth::False }
}

impl Chain {
    pub(crate) fn neutral(self) -> Truth {
        match self {
            Self::And => Truth::True,
            Self::Or => Truth::False,
        }
    }

    /// What `left op right` says.
    pub(crate) fn step(self, left: Truth, right: Truth) -> Truth {
        let decisive = match self {
            Self::And => Truth::False,
            Self::Or => Truth::True,
        };
        match (left, right) {
            (Truth::Error, _) => Truth::Error,
            (left, _) if left == decisive => decisive,
            (Truth::Undefined, right) if right == decisive || right == Truth::Error => right,
            (Truth::Undefined, _) => Truth::Undefined,
            (_, right) => right,
        }
    }

    /// Whether nothing to the right can change it.
    pub(crate) fn is_final(self, truth: Truth) -> bool {
        match truth {
            Truth::Error => true,
            Truth::False => self == Self::And,
            Truth::True => self == Self::Or,
            Truth::Undefined => false,
        }
    }
}

impl From<Truth> for Val {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Bool(true),
            Truth::False => Self::Bool(false),
            Truth::Undefined => Self::Undefined,
            Truth::Error => Self::Error,
        }
    }
}

pub(crate) fn unary(op: UnaryOp, a: Val) -> Val {
    match (op, a) {
        (_, Val::Error) => Val::Error,
        (_, Val::Undefined) => Val::Undefined,
        (UnaryOp::Not, a) => match truth(&a) {
            Truth::True => Val::Bool(false),
            Truth::False => Val::Bool(true),
            Truth::Undefined => Val::Undefined,
            Truth::Error => Val::Error,
        },
        (UnaryOp::Minus, Val::Int(value)) => Val::Int(value.wrapping_neg()),
        (UnaryOp::Minus, Val::Real(value)) => Val::Real(-value),
        (UnaryOp::Minus, Val::RelTime(value)) => Val::RelTime(-value),
        (UnaryOp::Plus, a @ (Val::Int(_) | Val::Real(_) | Val::RelTime(_))) => a,
        (UnaryOp::BitNot, Val::Int(value)) => Val::Int(!value),
        (UnaryOp::Minus | UnaryOp::Plus | UnaryOp::BitNot, _) => Val::Error,
    }
}

pub(crate) fn binary(op: BinaryOp, a: &Val, b: &Val) -> Val {
    match op {
        BinaryOp::Is => identical(a, b).map_or(Val::Error, Val::Bool),
        BinaryOp::Isnt => identical(a, b).map_or(Val::Error, |same| Val::Bool(!same)),
        _ => match (a, b) {
            (Val::Error, _) | (_, Val::Error) => Val::Error,
            (Val::Undefined, _) | (_, Val::Undefined) => Val::Undefined,
            _ => strict(op, a, b),
        },
    }
}

/// `=?=`: same type and same value, a string with regard to case. `None` where that is no question.
pub(crate) fn identical(a: &Val, b: &Val) -> Option<bool> {
    Some(match (a, b) {
        (Val::Undefined, Val::Undefined) | (Val::Error, Val::Error) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Int(a), Val::Int(b)) => a == b,
        (Val::Real(a), Val::Real(b)) => a == b,
        (Val::Str(a), Val::Str(b)) => a == b,
        (Val::AbsTime { secs: a, offset: x }, Val::AbsTime { secs: b, offset: y }) => {
            (a, x) == (b, y)
        }
        (Val::RelTime(a), Val::RelTime(b)) => a == b,
        (Val::Lazy(..), Val::Lazy(..)) | (Val::Made(_), Val::Made(_)) => return None,
        (Val::Ad(_), Val::Ad(_)) => return None,
        _ => false,
    })
}

fn strict(op: BinaryOp, a: &Val, b: &Val) -> Val {
    match op {
        BinaryOp::Add => arithmetic(Arithmetic::Add, a, b),
        BinaryOp::Sub => arithmetic(Arithmetic::Sub, a, b),
        BinaryOp::Mul => arithmetic(Arithmetic::Mul, a, b),
        BinaryOp::Div => arithmetic(Arithmetic::Div, a, b),
        BinaryOp::Rem => arithmetic(Arithmetic::Rem, a, b),
        BinaryOp::Lt => compare(a, b, |ordering| ordering == Some(Ordering::Less)),
        BinaryOp::Le => compare(a, b, |ordering| ordering.is_some_and(Ordering::is_le)),
        BinaryOp::Gt => compare(a, b, |ordering| ordering == Some(Ordering::Greater)),
        BinaryOp::Ge => compare(a, b, |ordering| ordering.is_some_and(Ordering::is_ge)),
        BinaryOp::Eq => compare(a, b, |ordering| ordering == Some(Ordering::Equal)),
        BinaryOp::Ne => compare(a, b, |ordering| ordering != Some(Ordering::Equal)),
        BinaryOp::Is => identical(a, b).map_or(Val::Error, Val::Bool),
        BinaryOp::Isnt => identical(a, b).map_or(Val::Error, |same| Val::Bool(!same)),
        BinaryOp::BitAnd => bits(a, b, |a, b| a & b),
        BinaryOp::BitXor => bits(a, b, |a, b| a ^ b),
        BinaryOp::BitOr => bits(a, b, |a, b| a | b),
        // The processor takes the count modulo 64, as do these.
        BinaryOp::Shl => bits(a, b, |a, b| a.wrapping_shl(b as u32)),
        BinaryOp::Shr => bits(a, b, |a, b| a.wrapping_shr(b as u32)),
        BinaryOp::UShr => bits(a, b, |a, b| (a as u64).wrapping_shr(b as u32) as i64),
    }
}

#[derive(Clone, Copy)]
enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// A number as arithmetic and comparison see it.
#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Real(f64),
}

impl Number {
    fn of(value: &Val) -> Option<Self> {
        match value {
            Val::Int(value) => Some(Self::Int(*value)),
            Val::Real(value) => Some(Self::Real(*value)),
            Val::Bool(value) => Some(Self::Int(i64::from(*value))),
            _ => None,
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Real(value) => value,
        }
    }
}

fn arithmetic(op: Arithmetic, a: &Val, b: &Val) -> Val {
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => integers(op, a, b),
        (Some(a), Some(b)) => reals(op, a.real(), b.real()),
        _ => times(op, a, b),
    }
}

fn integers(op: Arithmetic, a: i64, b: i64) -> Val {
    match (op, b) {
        (Arithmetic::Add, b) => Val::Int(a.wrapping_add(b)),
        (Arithmetic::Sub, b) => Val::Int(a.wrapping_sub(b)),
        (Arithmetic::Mul, b) => Val::Int(a.wrapping_mul(b)),
        (Arithmetic::Div | Arithmetic::Rem, 0) => Val::Error,
        (Arithmetic::Div, b) => Val::Int(a.saturating_div(b)),
        (Arithmetic::Rem, b) => Val::Int(a.wrapping_rem(b)),
    }
}

/// Results of +INF are errors, as the reference has it; -INF and NaN are not.
fn reals(op: Arithmetic, a: f64, b: f64) -> Val {
    let result = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::Rem => return Val::Error,
    };
    if result == f64::INFINITY {
        Val::Error
    } else {
        Val::Real(result)
    }
}

/// Moments and spans.
fn times(op: Arithmetic, a: &Val, b: &Val) -> Val {
    let factor = |value: &Val| match value {
        Val::Int(value) => Some(*value as f64),
        Val::Real(value) => Some(*value),
        _ => None,
    };
    match (op, a, b) {
        (Arithmetic::Sub, Val::AbsTime { secs: a, .. }, Val::AbsTime { secs: b, .. }) => {
            Val::RelTime(a.wrapping_sub(*b) as f64)
        }
        (Arithmetic::Add, Val::AbsTime { secs, offset }, Val::RelTime(b))
        | (Arithmetic::Add, Val::RelTime(b), Val::AbsTime { secs, offset }) => Val::AbsTime {
            secs: secs.wrapping_add(*b as i64),
            offset: *offset,
        },
        (Arithmetic::Sub, Val::AbsTime { secs, offset }, Val::RelTime(b)) => Val::AbsTime {
            secs: secs.wrapping_sub(*b as i64),
            offset: *offset,
        },
        (Arithmetic::Add, Val::RelTime(a), Val::RelTime(b)) => Val::RelTime(a + b),
        (Arithmetic::Sub, Val::RelTime(a), Val::RelTime(b)) => Val::RelTime(a - b),
        (Arithmetic::Mul, Val::RelTime(a), b) | (Arithmetic::Mul, b, Val::RelTime(a)) => {
            factor(b).map_or(Val::Error, |b| Val::RelTime(a * b))
        }
        (Arithmetic::Div, Val::RelTime(a), b) => {
            factor(b).map_or(Val::Error, |b| Val::RelTime(a / b))
        }
        _ => Val::Error,
    }
}

fn compare(a: &Val, b: &Val, holds: fn(Option<Ordering>) -> bool) -> Val {
    let ordering = match (a, b) {
        (Val::Str(a), Val::Str(b)) => Some(compare_folded(a, b)),
        (Val::AbsTime { secs: a, .. }, Val::AbsTime { secs: b, .. }) => Some(a.cmp(b)),
        (Val::RelTime(a), Val::RelTime(b)) => a.partial_cmp(b),
        _ => match (Number::of(a), Number::of(b)) {
            (Some(Number::Int(a)), Some(Number::Int(b))) => Some(a.cmp(&b)),
            (Some(a), Some(b)) => a.real().partial_cmp(&b.real()),
            _ => return Val::Error,
        },
    };
    Val::Bool(holds(ordering))
}

/// As C's `strcasecmp` in the C locale.
pub(crate) fn compare_folded(a: &str, b: &str) -> Ordering {
    a.bytes()
        .map(|b| b.to_ascii_lowercase())
        .cmp(b.bytes().map(|b| b.to_ascii_lowercase()))
}

fn bits(a: &Val, b: &Val, apply: fn(i64, i64) -> i64) -> Val {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => Val::Int(apply(*a, *b)),
        _ => Val::Error,
    }
}
