//! `classad eval`: one expression, in one ad, against another.

use std::path::Path;

use classad::{ClassAd, Expr, ParseError, Scope, Value};
use serde::Serialize;

use crate::args;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, time};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    /// `boolean`, `integer`, `undefined`, ….
    #[serde(rename = "type")]
    kind: &'static str,
    /// As HTCondor writes it: what is no constant of JSON is `"/Expr(…)/"`.
    value: serde_json::Value,
    /// As an expression.
    text: String,
}

pub fn run(args: args::Classad, settings: &Settings) -> Result<Exit, Failure> {
    let args::Classad::Eval { expr, ad, target } = args;
    let parsed = Expr::parse(&expr).map_err(|error| refused(&expr, &error))?;
    let my = read(ad.as_deref())?.unwrap_or_default();
    let target = read(target.as_deref())?;
    let now_s = i64::try_from(time::now_ms() / 1000).unwrap_or(i64::MAX);
    let mut scope = Scope::new(&my).now(now_s).seed(time::now_ms());
    if let Some(target) = &target {
        scope = scope.target(target);
    }
    let value = scope.eval(&parsed);
    match settings.format {
        Format::Table => output::print(&format!("{value}\n"))?,
        Format::Json => output::print_json(&document(&value))?,
    }
    Ok(Exit::Ok)
}

fn document(value: &Value) -> Document {
    Document {
        kind: value.type_name(),
        value: value.to_json(),
        text: value.to_string(),
    }
}

fn read(path: Option<&Path>) -> Result<Option<ClassAd>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let ad = if text.trim_start().starts_with('[') {
        ClassAd::parse(&text)
    } else {
        ClassAd::parse_long(&text)
    };
    ad.map(Some).map_err(|error| wrong(error.to_string()))
}

/// The expression with a caret under the place.
fn refused(text: &str, error: &ParseError) -> Failure {
    let before = text.get(..error.offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let column = text[line_start..before.len()].chars().count();
    Failure::Usage(format!("{error}\n  {line}\n  {}^", " ".repeat(column)))
}
