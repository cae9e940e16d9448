//! The operators over values: three-valued logic, coercions, comparison. No scopes here. What they
//! look at is a [`View`], so that the tree evaluator and compiled programs share every rule.

use std::cmp::Ordering;

use crate::expr::{BinaryOp, Literal, UnaryOp};

use crate::name;

use super::{STEP_BYTES, Val};

/// A value as operators see it: nothing owned, and of lists and ads only what they are.
#[derive(Clone, Copy)]
pub(crate) enum View<'v> {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(&'v str),
    AbsTime {
        secs: i64,
        offset: i32,
    },
    RelTime(f64),
    /// A list that stands in an expression.
    Lazy,
    /// A list that a function made.
    Made,
    Ad,
}

impl<'v> From<&'v Val> for View<'v> {
    fn from(value: &'v Val) -> Self {
        match value {
            Val::Undefined => Self::Undefined,
            Val::Error => Self::Error,
            Val::Bool(value) => Self::Bool(*value),
            Val::Int(value) => Self::Int(*value),
            Val::Real(value) => Self::Real(*value),
            Val::Str(text) => Self::Str(text),
            Val::AbsTime { secs, offset } => Self::AbsTime {
                secs: *secs,
                offset: *offset,
            },
            Val::RelTime(secs) => Self::RelTime(*secs),
            Val::Lazy(..) => Self::Lazy,
            Val::Made(_) => Self::Made,
            Val::Ad(_) => Self::Ad,
        }
    }
}

impl<'v> From<&'v Literal> for View<'v> {
    #[inline]
    fn from(literal: &'v Literal) -> Self {
        match literal {
            Literal::Undefined => Self::Undefined,
            Literal::Error => Self::Error,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Real(value) | Literal::RelTime(value) => Self::Real(*value),
            Literal::Str(text) => Self::Str(text),
            Literal::AbsTime { secs, offset_secs } => Self::AbsTime {
                secs: *secs,
                offset: *offset_secs,
            },
        }
    }
}

/// What an operator answers: never a string, a list or an ad.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    AbsTime { secs: i64, offset: i32 },
    RelTime(f64),
}

impl From<Answer> for Val {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Undefined => Self::Undefined,
            Answer::Error => Self::Error,
            Answer::Bool(value) => Self::Bool(value),
            Answer::Int(value) => Self::Int(value),
            Answer::Real(value) => Self::Real(value),
            Answer::AbsTime { secs, offset } => Self::AbsTime { secs, offset },
            Answer::RelTime(secs) => Self::RelTime(secs),
        }
    }
}

impl From<Answer> for View<'_> {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Undefined => Self::Undefined,
            Answer::Error => Self::Error,
            Answer::Bool(value) => Self::Bool(value),
            Answer::Int(value) => Self::Int(value),
            Answer::Real(value) => Self::Real(value),
            Answer::AbsTime { secs, offset } => Self::AbsTime { secs, offset },
            Answer::RelTime(secs) => Self::RelTime(secs),
        }
    }
}

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

pub(crate) fn truth<'v>(value: impl Into<View<'v>>) -> Truth {
    let known = match value.into() {
        View::Undefined => return Truth::Undefined,
        View::Bool(value) => value,
        View::Int(value) => value != 0,
        View::Real(value) => value != 0.0,
        View::Error | View::Str(_) | View::AbsTime { .. } | View::RelTime(_) => {
            return Truth::Error;
        }
        View::Lazy | View::Made | View::Ad => return Truth::Error,
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
        Answer::from(truth).into()
    }
}

impl From<Truth> for Answer {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Bool(true),
            Truth::False => Self::Bool(false),
            Truth::Undefined => Self::Undefined,
            Truth::Error => Self::Error,
        }
    }
}

pub(crate) fn unary(op: UnaryOp, a: View<'_>) -> Answer {
    match (op, a) {
        (_, View::Error) => Answer::Error,
        (_, View::Undefined) => Answer::Undefined,
        (UnaryOp::Not, a) => match truth(a) {
            Truth::True => Answer::Bool(false),
            Truth::False => Answer::Bool(true),
            Truth::Undefined => Answer::Undefined,
            Truth::Error => Answer::Error,
        },
        (UnaryOp::Minus, View::Int(value)) => Answer::Int(value.wrapping_neg()),
        (UnaryOp::Minus, View::Real(value)) => Answer::Real(-value),
        (UnaryOp::Minus, View::RelTime(value)) => Answer::RelTime(-value),
        (UnaryOp::Plus, View::Int(value)) => Answer::Int(value),
        (UnaryOp::Plus, View::Real(value)) => Answer::Real(value),
        (UnaryOp::Plus, View::RelTime(value)) => Answer::RelTime(value),
        (UnaryOp::BitNot, View::Int(value)) => Answer::Int(!value),
        (UnaryOp::Minus | UnaryOp::Plus | UnaryOp::BitNot, _) => Answer::Error,
    }
}

/// The same over values.
pub(crate) fn binary_of(op: BinaryOp, a: &Val, b: &Val) -> Val {
    binary(op, a.into(), b.into()).into()
}

pub(crate) fn binary(op: BinaryOp, a: View<'_>, b: View<'_>) -> Answer {
    if !matches!(op, BinaryOp::Is | BinaryOp::Isnt) {
        match (a, b) {
            (View::Error, _) | (_, View::Error) => return Answer::Error,
            (View::Undefined, _) | (_, View::Undefined) => return Answer::Undefined,
            _ => {}
        }
    }
    apply(op, a, b)
}

/// `=?=`: same type and same value, a string with regard to case. `None` where that is no question.
pub(crate) fn identical(a: View<'_>, b: View<'_>) -> Option<bool> {
    Some(match (a, b) {
        (View::Undefined, View::Undefined) | (View::Error, View::Error) => true,
        (View::Bool(a), View::Bool(b)) => a == b,
        (View::Int(a), View::Int(b)) => a == b,
        (View::Real(a), View::Real(b)) => a == b,
        (View::Str(a), View::Str(b)) => a == b,
        (View::AbsTime { secs: a, offset: x }, View::AbsTime { secs: b, offset: y }) => {
            (a, x) == (b, y)
        }
        (View::RelTime(a), View::RelTime(b)) => a == b,
        (View::Lazy, View::Lazy) | (View::Made, View::Made) | (View::Ad, View::Ad) => return None,
        _ => false,
    })
}

fn apply(op: BinaryOp, a: View<'_>, b: View<'_>) -> Answer {
    match op {
        BinaryOp::Add => arithmetic(Arithmetic::Add, a, b),
        BinaryOp::Sub => arithmetic(Arithmetic::Sub, a, b),
        BinaryOp::Mul => arithmetic(Arithmetic::Mul, a, b),
        BinaryOp::Div => arithmetic(Arithmetic::Div, a, b),
        BinaryOp::Rem => arithmetic(Arithmetic::Rem, a, b),
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq | BinaryOp::Ne => {
            compare(op, a, b)
        }
        BinaryOp::Is => identical(a, b).map_or(Answer::Error, Answer::Bool),
        BinaryOp::Isnt => identical(a, b).map_or(Answer::Error, |same| Answer::Bool(!same)),
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
    fn of(value: View<'_>) -> Option<Self> {
        match value {
            View::Int(value) => Some(Self::Int(value)),
            View::Real(value) => Some(Self::Real(value)),
            View::Bool(value) => Some(Self::Int(i64::from(value))),
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

fn arithmetic(op: Arithmetic, a: View<'_>, b: View<'_>) -> Answer {
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => integers(op, a, b),
        (Some(a), Some(b)) => reals(op, a.real(), b.real()),
        _ => times(op, a, b),
    }
}

fn integers(op: Arithmetic, a: i64, b: i64) -> Answer {
    match (op, b) {
        (Arithmetic::Add, b) => Answer::Int(a.wrapping_add(b)),
        (Arithmetic::Sub, b) => Answer::Int(a.wrapping_sub(b)),
        (Arithmetic::Mul, b) => Answer::Int(a.wrapping_mul(b)),
        (Arithmetic::Div | Arithmetic::Rem, 0) => Answer::Error,
        (Arithmetic::Div, b) => Answer::Int(a.saturating_div(b)),
        (Arithmetic::Rem, b) => Answer::Int(a.wrapping_rem(b)),
    }
}

/// Results of +INF are errors, as the reference has it; -INF and NaN are not.
fn reals(op: Arithmetic, a: f64, b: f64) -> Answer {
    let result = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::Rem => return Answer::Error,
    };
    if result == f64::INFINITY {
        Answer::Error
    } else {
        Answer::Real(result)
    }
}

/// Moments and spans.
fn times(op: Arithmetic, a: View<'_>, b: View<'_>) -> Answer {
    let factor = |value: View<'_>| match value {
        View::Int(value) => Some(value as f64),
        View::Real(value) => Some(value),
        _ => None,
    };
    match (op, a, b) {
        (Arithmetic::Sub, View::AbsTime { secs: a, .. }, View::AbsTime { secs: b, .. }) => {
            Answer::RelTime(a.wrapping_sub(b) as f64)
        }
        (Arithmetic::Add, View::AbsTime { secs, offset }, View::RelTime(b))
        | (Arithmetic::Add, View::RelTime(b), View::AbsTime { secs, offset }) => Answer::AbsTime {
            secs: secs.wrapping_add(b as i64),
            offset,
        },
        (Arithmetic::Sub, View::AbsTime { secs, offset }, View::RelTime(b)) => Answer::AbsTime {
            secs: secs.wrapping_sub(b as i64),
            offset,
        },
        (Arithmetic::Add, View::RelTime(a), View::RelTime(b)) => Answer::RelTime(a + b),
        (Arithmetic::Sub, View::RelTime(a), View::RelTime(b)) => Answer::RelTime(a - b),
        (Arithmetic::Mul, View::RelTime(a), b) | (Arithmetic::Mul, b, View::RelTime(a)) => {
            factor(b).map_or(Answer::Error, |b| Answer::RelTime(a * b))
        }
        (Arithmetic::Div, View::RelTime(a), b) => {
            factor(b).map_or(Answer::Error, |b| Answer::RelTime(a / b))
        }
        _ => Answer::Error,
    }
}

fn compare(op: BinaryOp, a: View<'_>, b: View<'_>) -> Answer {
    let ordering = match (a, b) {
        (View::Int(a), View::Int(b)) => Some(a.cmp(&b)),
        (View::Str(a), View::Str(b)) => Some(match op {
            // Whether they are equal is found sooner than which is the lesser.
            BinaryOp::Eq | BinaryOp::Ne if a.eq_ignore_ascii_case(b) => Ordering::Equal,
            BinaryOp::Eq | BinaryOp::Ne => Ordering::Less,
            _ => name::compare(a, b),
        }),
        (View::AbsTime { secs: a, .. }, View::AbsTime { secs: b, .. }) => Some(a.cmp(&b)),
        (View::RelTime(a), View::RelTime(b)) => a.partial_cmp(&b),
        _ => match (Number::of(a), Number::of(b)) {
            (Some(Number::Int(a)), Some(Number::Int(b))) => Some(a.cmp(&b)),
            (Some(a), Some(b)) => a.real().partial_cmp(&b.real()),
            _ => return Answer::Error,
        },
    };
    Answer::Bool(match op {
        BinaryOp::Lt => ordering == Some(Ordering::Less),
        BinaryOp::Le => ordering.is_some_and(Ordering::is_le),
        BinaryOp::Gt => ordering == Some(Ordering::Greater),
        BinaryOp::Ge => ordering.is_some_and(Ordering::is_ge),
        BinaryOp::Ne => ordering != Some(Ordering::Equal),
        _ => ordering == Some(Ordering::Equal),
    })
}

/// What looking at two values costs beyond the step of their operator: long strings are compared.
#[inline]
pub(crate) fn cost(a: View<'_>, b: View<'_>) -> usize {
    match (a, b) {
        (View::Str(a), View::Str(b)) => a.len().min(b.len()) / STEP_BYTES,
        _ => 0,
    }
}

/// What `a op b` says as a condition: the same as [`binary`] and [`truth`], by a shorter way for
/// what clauses mostly are.
#[inline]
pub(crate) fn test(op: BinaryOp, a: View<'_>, b: View<'_>) -> Truth {
    let holds = match (op, a, b) {
        (BinaryOp::Ge, View::Int(a), View::Int(b)) => a >= b,
        (BinaryOp::Le, View::Int(a), View::Int(b)) => a <= b,
        (BinaryOp::Gt, View::Int(a), View::Int(b)) => a > b,
        (BinaryOp::Lt, View::Int(a), View::Int(b)) => a < b,
        (BinaryOp::Eq, View::Int(a), View::Int(b)) => a == b,
        (BinaryOp::Eq, View::Str(a), View::Str(b)) => a == b || a.eq_ignore_ascii_case(b),
        _ => return truth(View::from(binary(op, a, b))),
    };
    if holds { Truth::True } else { Truth::False }
}

fn bits(a: View<'_>, b: View<'_>, apply: fn(i64, i64) -> i64) -> Answer {
    match (a, b) {
        (View::Int(a), View::Int(b)) => Answer::Int(apply(a, b)),
        _ => Answer::Error,
    }
}
