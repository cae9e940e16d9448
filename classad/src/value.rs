//! What evaluation gives. Values own what they hold and need no ad to be read.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::ad::ClassAd;
use crate::expr::{Expr, Lit};
use crate::name::AttrName;
use crate::unparse::{self, Style};

/// The value of an expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nobody says; an attribute that is not there.
    Undefined,
    /// The expression makes no sense for the values it met, or cost more than is allowed.
    Error,
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Real(f64),
    /// A string.
    Str(SmolStr),
    /// A moment.
    AbsTime {
        /// Seconds since the epoch.
        secs: i64,
        /// Offset of its zone from UTC, in seconds.
        offset: i32,
    },
    /// A span of time in seconds.
    RelTime(f64),
    /// A list.
    List(List),
    /// An ad.
    Ad(AdValue),
}

/// A list's values, with the expressions they came from where it stood in an expression.
#[derive(Clone, Debug)]
pub struct List {
    pub(crate) values: Arc<[Value]>,
    pub(crate) source: Option<Expr>,
}

/// An ad as a value: its expressions, and their values where it stood.
#[derive(Clone, Debug)]
pub struct AdValue {
    pub(crate) source: ClassAd,
    pub(crate) values: Arc<[(AttrName, Value)]>,
}

impl Value {
    /// By the rule of matching: TRUE, or a number other than zero.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Real(value) => *value != 0.0,
            Self::Undefined | Self::Error | Self::Str(_) => false,
            Self::AbsTime { .. } | Self::RelTime(_) | Self::List(_) | Self::Ad(_) => false,
        }
    }

    /// The truth of a boolean or number, `None` of anything else.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(_) | Self::Int(_) | Self::Real(_) => Some(self.is_true()),
            _ => None,
        }
    }

    /// An integer as it is, a real cut towards zero, a boolean as 1 or 0.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Real(value) if value.is_finite() => Some(*value as i64),
            Self::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// A number as a real, a boolean as 1 or 0.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            _ => None,
        }
    }

    /// A string's text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A list's values.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(&list.values),
            _ => None,
        }
    }

    /// An ad's expressions.
    pub fn as_ad(&self) -> Option<&ClassAd> {
        match self {
            Self::Ad(ad) => Some(&ad.source),
            _ => None,
        }
    }

    /// Whether it is UNDEFINED.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined)
    }

    /// Whether it is ERROR.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error)
    }

    /// The type's name in lower case, as users write it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Error => "error",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Real(_) => "real",
            Self::Str(_) => "string",
            Self::AbsTime { .. } => "abstime",
            Self::RelTime(_) => "reltime",
            Self::List(_) => "list",
            Self::Ad(_) => "classad",
        }
    }
}

impl List {
    /// The values in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.values.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl AdValue {
    /// The ad's expressions.
    pub fn source(&self) -> &ClassAd {
        &self.source
    }

    /// The ad's values, in the order of the folded names.
    pub fn values(&self) -> &[(AttrName, Value)] {
        &self.values
    }
}

/// Equal values make equal lists, whatever expressions they came from.
impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

/// Equal values make equal ads, whatever expressions they came from.
impl PartialEq for AdValue {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl From<Value> for Expr {
    fn from(value: Value) -> Self {
        match value {
            Value::Undefined => Self::literal(Lit::Undefined),
            Value::Error => Self::literal(Lit::Error),
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::Real(value) => value.into(),
            Value::Str(text) => Self::literal(Lit::Str(&text)),
            Value::AbsTime { secs, offset } => Self::literal(Lit::AbsTime {
                secs,
                offset_secs: offset,
            }),
            Value::RelTime(secs) => Self::literal(Lit::RelTime(secs)),
            Value::List(list) => list.iter().cloned().collect::<Vec<_>>().into(),
            Value::Ad(ad) => ad.values.iter().cloned().collect::<ClassAd>().into(),
        }
    }
}

/// The new syntax. Lists and ads that stood in an expression print as they stood there.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        match self {
            Self::List(List {
                source: Some(source),
                ..
            }) => {
                unparse::expr(&mut out, source.as_ref(), Style::New);
            }
            Self::List(list) => {
                let items: Vec<String> = list.iter().map(ToString::to_string).collect();
                out = format!("{{ {} }}", items.join(","));
            }
            Self::Ad(ad) => unparse::ad(&mut out, &ad.source, Style::New),
            other => unparse::expr(&mut out, Expr::from(other.clone()).as_ref(), Style::New),
        }
        f.write_str(&out)
    }
}
