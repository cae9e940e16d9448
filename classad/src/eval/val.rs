//! Values while an evaluation works on them. Nothing here evaluates.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::expr::{Expr, Lit, Literal};

use super::ScopeId;

/// A value while it is being worked on: lists and ads stay unevaluated, with the scope they stood
/// in.
#[derive(Clone)]
pub(crate) enum Val {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(SmolStr),
    AbsTime {
        secs: i64,
        offset: i32,
    },
    RelTime(f64),
    /// A list as it stands in an expression of the scope.
    Lazy(Expr, ScopeId),
    /// A list that a function made.
    Made(Arc<[Val]>),
    /// The ad of that scope.
    Ad(ScopeId),
}

impl Val {
    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::Lazy(..) | Self::Made(_))
    }

    pub(crate) fn string(text: impl Into<SmolStr>) -> Self {
        Self::Str(text.into())
    }
}

impl From<&Literal> for Val {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Str(text) => Self::Str(text.clone()),
            _ => Lit::from(literal).into(),
        }
    }
}

impl From<Lit<'_>> for Val {
    fn from(literal: Lit<'_>) -> Self {
        match literal {
            Lit::Undefined => Self::Undefined,
            Lit::Error => Self::Error,
            Lit::Bool(value) => Self::Bool(value),
            Lit::Int(value) => Self::Int(value),
            Lit::Real(value) | Lit::RelTime(value) => Self::Real(value),
            Lit::Str(text) => Self::Str(SmolStr::new(text)),
            Lit::AbsTime { secs, offset_secs } => Self::AbsTime {
                secs,
                offset: offset_secs,
            },
        }
    }
}
