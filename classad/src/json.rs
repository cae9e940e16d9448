//! Ads and values as JSON, by HTCondor's convention: constants as themselves, UNDEFINED as null,
//! every other expression as the string `/Expr(…)/`. Numbers keep all their bits.

use std::fmt::Write;

use serde_json::{Map, Number, Value as Json};

use crate::ad::ClassAd;
use crate::error::AdError;
use crate::expr::{Expr, Lit, Node, Ref};
use crate::unparse::{self, Style};
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

    /// The ad as JSON in the reference's own print: an attribute a line, indented by two spaces,
    /// in the order in which ads print; reals with 16 digits, expressions as `\\/Expr(…)\\/`.
    pub fn to_json_text(&self) -> String {
        let mut out = String::new();
        print_ad(&mut out, self, 0);
        out
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
                Lit::Undefined => Json::Null,
                Lit::Bool(value) => Json::Bool(value),
                Lit::Int(value) => Json::from(value),
                Lit::Real(value) | Lit::RelTime(value) => self.real_to_json(value),
                // A string that looks like a wrapped expression is wrapped itself.
                Lit::Str(text) if wrapped_text(text).is_some() => self.wrapped(),
                Lit::Str(text) => Json::String(text.to_string()),
                Lit::Error | Lit::AbsTime { .. } => self.wrapped(),
            },
            Node::List(items) => {
                Json::Array(items.iter().map(|item| item.to_expr().to_json()).collect())
            }
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

fn print_ad(out: &mut String, ad: &ClassAd, depth: usize) {
    let mut separator = "";
    out.push('{');
    for (name, expr) in ad.printed() {
        out.push_str(separator);
        indent(out, depth + 1);
        print_text(out, name.as_str());
        out.push_str(": ");
        print_expr(out, expr.as_ref(), depth + 1);
        separator = ",";
    }
    indent(out, depth);
    out.push('}');
}

fn print_expr(out: &mut String, expr: Ref<'_>, depth: usize) {
    match expr.node() {
        Node::Ad(ad) => print_ad(out, ad, depth),
        Node::List(items) => {
            let mut separator = "";
            out.push('[');
            for item in items.iter() {
                out.push_str(separator);
                indent(out, depth + 1);
                print_expr(out, item, depth + 1);
                separator = ",";
            }
            indent(out, depth);
            out.push(']');
        }
        Node::Literal(Lit::Undefined) => out.push_str("null"),
        Node::Literal(Lit::Str(text)) => print_text(out, text),
        Node::Literal(Lit::Real(value) | Lit::RelTime(value)) if value.is_finite() => {
            unparse::real(out, value, Style::Old);
        }
        Node::Literal(literal @ (Lit::Bool(_) | Lit::Int(_))) => {
            unparse::literal(out, literal, Style::New);
        }
        Node::Literal(_)
        | Node::Attr(_)
        | Node::Unary(..)
        | Node::Binary(..)
        | Node::And(_)
        | Node::Or(_)
        | Node::Ternary(..)
        | Node::Elvis(..)
        | Node::Subscript(..)
        | Node::Paren(_)
        | Node::Call(_) => {
            out.push_str("\"\\/Expr(");
            escape(out, &expr.to_expr().to_string());
            out.push_str(")\\/\"");
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn print_text(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text);
    out.push('"');
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
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
