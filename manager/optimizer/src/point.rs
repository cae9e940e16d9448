//! Points of a space and their named form: what a trial is run with.
//!
//! Holds values, their check against a space, and maps by name. Refuses to hold coordinates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::space::{Param, ParamKind, Space};

/// One parameter's value; in JSON a plain number or string.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    Int(i64),
    Float(f64),
    Text(String),
}

/// One value for each parameter, in the space's order.
pub type Point = Vec<ParamValue>;

/// Why values are not a point of a space.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PointError {
    #[error("the point has {found} values; the space has {expected} parameters")]
    WrongLength { expected: usize, found: usize },
    #[error("unknown parameter {name:?}")]
    Unknown { name: String },
    #[error("parameter {name:?} has no value")]
    Missing { name: String },
    #[error("parameter {name:?} must be {expected}, not {found}")]
    WrongType {
        name: String,
        expected: &'static str,
        found: String,
    },
    #[error("parameter {name:?}: {found} is outside {low} to {high}")]
    OutOfBounds {
        name: String,
        found: String,
        low: String,
        high: String,
    },
    #[error("parameter {name:?}: {found:?} is not one of its choices")]
    NotAChoice { name: String, found: String },
}

impl Space {
    /// Checks a point and returns it with each value in its parameter's own type (a whole number
    /// given for a real parameter becomes real, and the other way round).
    ///
    /// # Errors
    /// The first value that does not belong, see [`PointError`].
    pub fn check(&self, point: &[ParamValue]) -> Result<Point, PointError> {
        let expected = self.params().len();
        if point.len() != expected {
            return Err(PointError::WrongLength {
                expected,
                found: point.len(),
            });
        }
        self.params()
            .iter()
            .zip(point)
            .map(|(param, value)| check_value(param, value))
            .collect()
    }

    /// A point from its named form.
    ///
    /// # Errors
    /// Names that are missing or unknown, and values that do not belong, see [`PointError`].
    pub fn point(&self, named: &BTreeMap<String, ParamValue>) -> Result<Point, PointError> {
        if let Some(name) = named
            .keys()
            .find(|name| self.params().iter().all(|param| param.name != **name))
        {
            return Err(PointError::Unknown { name: name.clone() });
        }
        self.params()
            .iter()
            .map(|param| match named.get(&param.name) {
                Some(value) => check_value(param, value),
                None => Err(PointError::Missing {
                    name: param.name.clone(),
                }),
            })
            .collect()
    }

    /// The named form of a point. Values beyond the space's parameters are left out.
    pub fn named(&self, point: &[ParamValue]) -> BTreeMap<String, ParamValue> {
        let names = self.params().iter().map(|param| param.name.clone());
        names.zip(point.iter().cloned()).collect()
    }

    /// The coordinates of a point; `None` if it does not belong.
    pub(crate) fn encode(&self, point: &[ParamValue]) -> Option<Vec<f64>> {
        if point.len() != self.axes().len() {
            return None;
        }
        self.axes()
            .iter()
            .zip(point)
            .map(|(axis, value)| axis.coordinate(value))
            .collect()
    }

    /// The point nearest to some coordinates.
    pub(crate) fn decode(&self, coords: &[f64]) -> Point {
        self.axes()
            .iter()
            .zip(coords)
            .map(|(axis, coordinate)| axis.value(*coordinate))
            .collect()
    }

    /// Equal for equal points of the space, different for different ones.
    pub(crate) fn key(&self, point: &[ParamValue]) -> Vec<u64> {
        self.axes()
            .iter()
            .zip(point)
            .map(|(axis, value)| axis.key(value))
            .collect()
    }
}

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ParamValue::Int(number) => write!(f, "{number}"),
            // The debug form: shortest text that reads back as the same number, with a point.
            ParamValue::Float(number) => write!(f, "{number:?}"),
            ParamValue::Text(text) => f.write_str(text),
        }
    }
}

fn check_value(param: &Param, value: &ParamValue) -> Result<ParamValue, PointError> {
    let wrong_type = |expected| PointError::WrongType {
        name: param.name.clone(),
        expected,
        found: match value {
            ParamValue::Text(_) => "a text".to_owned(),
            ParamValue::Int(_) | ParamValue::Float(_) => value.to_string(),
        },
    };
    let bounds =
        |low: &dyn std::fmt::Display, high: &dyn std::fmt::Display| PointError::OutOfBounds {
            name: param.name.clone(),
            found: value.to_string(),
            low: low.to_string(),
            high: high.to_string(),
        };
    match &param.kind {
        ParamKind::Float { low, high, .. } => {
            let number = match value {
                ParamValue::Float(number) => *number,
                ParamValue::Int(number) => *number as f64,
                ParamValue::Text(_) => return Err(wrong_type("a number")),
            };
            if !(*low..=*high).contains(&number) {
                return Err(bounds(low, high));
            }
            Ok(ParamValue::Float(number))
        }
        ParamKind::Int { low, high, .. } => {
            let number = match value {
                ParamValue::Int(number) => *number,
                ParamValue::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                    *number as i64
                }
                ParamValue::Float(_) | ParamValue::Text(_) => {
                    return Err(wrong_type("a whole number"));
                }
            };
            if !(*low..=*high).contains(&number) {
                return Err(bounds(low, high));
            }
            Ok(ParamValue::Int(number))
        }
        ParamKind::Categorical { choices } => match value {
            ParamValue::Text(text) if choices.contains(text) => Ok(value.clone()),
            ParamValue::Text(text) => Err(PointError::NotAChoice {
                name: param.name.clone(),
                found: text.clone(),
            }),
            ParamValue::Int(_) | ParamValue::Float(_) => Err(wrong_type("one of its choices")),
        },
    }
}
