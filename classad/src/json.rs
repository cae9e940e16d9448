//! Ads and values as JSON, by HTCondor's convention: constants as themselves, UNDEFINED as null,
//! every other expression as the string `/Expr(…)/`. Numbers keep all their bits.

use serde_json::{Map, Number, Value as Json};

use crate::ad::ClassAd;
use crate::error::AdError;
use crate::expr::{Expr, Literal, Node};
use crate::value::Value;

const EXPR_PREFIX: &str = "/Expr(";
const EXPR_SUFFIX: &str = ")/";

impl ClassAd {
    /// The ad as a JSON object.
    pub fn to_json(&self) -> Json {
        let object: Map<String, Json> = self
            .iter()
            .map(|(name, expr)| (name.to_string(), expr.to_json()))
            .collect();
        Json::Object(object)
    }

    /// Reads an ad from a JSON object.
    ///
    /// # Errors
    /// A document that is no object, or the first `/Expr(…)/` that cannot be read.
    pub fn from_json(json: &Json) -> Result<Self, AdError> {
        let Json::Object(object) = json else {
            return Err(AdError::NotAnObject { found: kind(json) });
        };
        object
            .iter()
            .map(|(name, json)| Ok((name.as_str(), expr_from_json(name, json)?)))
            .collect()
    }
}

impl Expr {
    /// The expression as JSON.
    pub fn to_json(&self) -> Json {
        match self.node() {
            Node::Literal(literal) => match literal {
                Literal::Undefined => Json::Null,
                Literal::Bool(value) => Json::Bool(*value),
                Literal::Int(value) => Json::from(*value),
                Literal::Real(value) | Literal::RelTime(value) => self.real_to_json(*value),
                Literal::Str(text) => Json::String(text.to_string()),
                Literal::Error | Literal::AbsTime { .. } => self.wrapped(),
            },
            Node::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Node::Ad(ad) => ad.to_json(),
            Node::Attr(_)
            | Node::Unary(..)
            | Node::Binary(..)
            | Node::And(_)
            | Node::Or(_)
            | Node::Ternary(..)
            | Node::Elvis(..)
            | Node::Subscript(..)
            | Node::Paren(_)
            | Node::Call(_) => self.wrapped(),
        }
    }

    fn real_to_json(&self, value: f64) -> Json {
        Number::from_f64(value).map_or_else(|| self.wrapped(), Json::Number)
    }

    fn wrapped(&self) -> Json {
        Json::String(format!("{EXPR_PREFIX}{}{EXPR_SUFFIX}", self.to_exact()))
    }
}

impl Value {
    /// The value as JSON; lists and ads with what they evaluated to.
    pub fn to_json(&self) -> Json {
        match self {
            Self::List(list) => Json::Array(list.iter().map(Self::to_json).collect()),
            Self::Ad(ad) => {
                let values = ad.values().iter();
                Json::Object(
                    values
                        .map(|(name, v)| (name.to_string(), v.to_json()))
                        .collect(),
                )
            }
            other => Expr::from(other.clone()).to_json(),
        }
    }
}

/// `serde_json` bounds the depth of what it reads, and deeper lists and ads become the error
/// literal.
fn expr_from_json(name: &str, json: &Json) -> Result<Expr, AdError> {
    Ok(match json {
        Json::Null => Value::Undefined.into(),
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match number.as_i64() {
            Some(value) => value.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => match wrapped_text(text) {
            Some(inner) => Expr::parse(inner).map_err(|source| AdError::Expr {
                name: name.to_string(),
                line: 1,
                source,
            })?,
            None => text.into(),
        },
        Json::Array(items) => {
            let items: Result<Vec<Expr>, AdError> = items
                .iter()
                .map(|item| expr_from_json(name, item))
                .collect();
            items?.into()
        }
        Json::Object(_) => ClassAd::from_json(json)?.into(),
    })
}

fn wrapped_text(text: &str) -> Option<&str> {
    text.strip_prefix(EXPR_PREFIX)?.strip_suffix(EXPR_SUFFIX)
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}
