//! The value of one parameter, and how it is printed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value of a parameter. Floats are finite and print shortest: the text read back is the same
/// number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl ParamValue {
    /// The number, where it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a range is compared, not counted"
            )]
            Self::Int(number) => Some(*number as f64),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

impl fmt::Display for ParamValue {
    /// As macros and arguments take it: `1e-5`, `0.001`, `3`, `true`, `adam`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            // `{:?}` is the shortest text that reads back, with an exponent where that is shorter
            // to read.
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}
