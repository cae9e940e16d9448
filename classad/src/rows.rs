//! Conformance rows: one line of the vectors' JSON in, the answer in the same shapes out. Holds the
//! shapes of typed values and nothing of the language; what a row leaves out (the time, a seed) is
//! handed in. Refuses to read files and to compare: that is the caller's.
//!
//! A row of expressions is `{"id", "mode"?, "syntax"?, "op"?, "ad"?, "target"?, "expr"}`, a row of
//! matching `{"id", "job", "machine"}`. Ads are text in the new syntax or a list of long-form
//! lines.

use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use crate::ad::ClassAd;
use crate::error::{AdError, ParseError};
use crate::eval::{Mode, Scope};
use crate::expr::{Expr, Lit};
use crate::matching::{RANK, REQUIREMENTS};
use crate::value::Value;

/// What rows do not say and evaluation needs.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// What `time()` answers, in seconds since the epoch.
    pub now_secs: i64,
    /// Where `random()` begins.
    pub seed: u64,
}

/// A line that is no row.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{kind}")]
pub struct RowError {
    /// The row's `id`, where it has one.
    pub id: Option<Json>,
    /// What is wrong with it.
    pub kind: RowErrorKind,
}

/// What can be wrong with a row.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RowErrorKind {
    /// The line is JSON, but no object.
    #[error("a row must be a JSON object")]
    NotAnObject,
    /// A field that the row needs is not there.
    #[error("the row has no `{field}`")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field holds something that it cannot hold.
    #[error("`{field}` must be {wanted}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it can hold, in words.
        wanted: &'static str,
    },
    /// An ad of the row cannot be read.
    #[error("`{field}`: {source}")]
    Ad {
        /// The field.
        field: &'static str,
        /// Why not.
        #[source]
        source: Box<AdError>,
    },
}

impl RowError {
    /// The error as the line that answers the row.
    pub fn to_json(&self) -> Json {
        let mut line = Map::new();
        if let Some(id) = &self.id {
            line.insert("id".into(), id.clone());
        }
        line.insert("error".into(), self.to_string().into());
        Json::Object(line)
    }
}

/// The answer to one row: its `id`, `expect`, and the print of its expression where it has one.
///
/// # Errors
/// A line that is no row. An expression that cannot be read is an answer, `parse_error`.
pub fn answer(row: &Json, around: Surroundings) -> Result<Json, RowError> {
    let Json::Object(fields) = row else {
        return Err(RowError {
            id: None,
            kind: RowErrorKind::NotAnObject,
        });
    };
    let row = Row { fields, around };
    row.answer().map_err(|kind| RowError {
        id: fields.get("id").cloned(),
        kind,
    })
}

type Answered<T> = Result<T, RowErrorKind>;

/// What is done with a row's expression.
#[derive(Clone, Copy, PartialEq)]
enum Op {
    Eval,
    Refs,
    Flatten,
    Ad,
}

struct Row<'r> {
    fields: &'r Map<String, Json>,
    around: Surroundings,
}

impl Row<'_> {
    fn answer(&self) -> Answered<Json> {
        let mut line = Map::new();
        if let Some(id) = self.fields.get("id") {
            line.insert("id".into(), id.clone());
        }
        if self.fields.contains_key("job") || self.fields.contains_key("machine") {
            line.insert("expect".into(), self.matched()?);
        } else if self.op()? == Op::Ad {
            line.insert("expect".into(), printed(&self.ad("ad")?));
        } else {
            self.expression(&mut line)?;
        }
        Ok(Json::Object(line))
    }

    fn expression(&self, line: &mut Map<String, Json>) -> Answered<()> {
        let mode = self.mode()?;
        let my = self.ad("ad")?;
        let target = self.optional_ad("target")?;
        let op = self.op()?;
        let Ok(expr) = self.parsed(mode)? else {
            line.insert("expect".into(), json!({ "type": "parse_error" }));
            return Ok(());
        };
        let mut scope = Scope::new(&my).mode(mode).now(self.around.now_secs);
        scope = scope.seed(self.around.seed);
        if let Some(target) = &target {
            scope = scope.target(target);
        }
        let expect = match op {
            Op::Refs => refs(&my, &expr),
            Op::Flatten => flattened(&my, &expr),
            Op::Eval | Op::Ad if mode == Mode::Bare && target.is_some() => {
                shallow(&scope.eval(&expr))
            }
            Op::Eval | Op::Ad => match scope.eval_unless_failed(&expr) {
                Some(value) => typed(&value),
                None => json!({ "type": "eval_failure" }),
            },
        };
        line.insert("expect".into(), expect);
        let (new, old) = (expr.to_string(), expr.to_old());
        if old != new && mode == Mode::HtCondor {
            line.insert("unparsed_old".into(), old.into());
        }
        line.insert("unparsed".into(), new.into());
        Ok(())
    }

    fn matched(&self) -> Answered<Json> {
        let (job, machine) = (self.required_ad("job")?, self.required_ad("machine")?);
        let value = |my: &ClassAd, other: &ClassAd, expr: &Expr| {
            let scope = Scope::new(my).target(other).now(self.around.now_secs);
            scope.seed(self.around.seed).eval(expr)
        };
        let of = |my: &ClassAd, other: &ClassAd, name: &str| match my.get(name) {
            Some(expr) => typed(&value(my, other, expr)),
            None => json!({ "type": "missing" }),
        };
        let accepts = |my: &ClassAd, other: &ClassAd| {
            my.get(REQUIREMENTS)
                .is_some_and(|expr| value(my, other, expr).is_true())
        };
        let (job_accepts, machine_accepts) = (accepts(&job, &machine), accepts(&machine, &job));
        let symmetric = Expr::named("symmetricMatch");
        Ok(json!({
            "match": job_accepts && machine_accepts,
            "job_accepts": job_accepts,
            "machine_accepts": machine_accepts,
            "symmetric": typed(&value(&job, &machine, &symmetric)),
            "job_requirements": of(&job, &machine, REQUIREMENTS),
            "machine_requirements": of(&machine, &job, REQUIREMENTS),
            "job_rank": of(&job, &machine, RANK),
            "machine_rank": of(&machine, &job, RANK),
        }))
    }

    fn parsed(&self, mode: Mode) -> Answered<Result<Expr, ParseError>> {
        let text = match self.fields.get("expr") {
            Some(Json::String(text)) => text,
            Some(_) => return Err(field("expr", "a string")),
            None => return Err(RowErrorKind::Missing { field: "expr" }),
        };
        let old = match self.fields.get("syntax").map(Json::as_str) {
            None | Some(Some("new")) => false,
            Some(Some("old")) => true,
            Some(_) => return Err(field("syntax", "`new` or `old`")),
        };
        Ok(match (old, mode) {
            (true, _) => Expr::parse_old(text),
            (false, Mode::HtCondor) => Expr::parse(text),
            (false, Mode::Bare) => Expr::parse_bare(text),
        })
    }

    fn op(&self) -> Answered<Op> {
        match self.fields.get("op").map(Json::as_str) {
            None | Some(Some("eval")) => Ok(Op::Eval),
            Some(Some("refs")) => Ok(Op::Refs),
            Some(Some("flatten")) => Ok(Op::Flatten),
            Some(Some("ad")) => Ok(Op::Ad),
            Some(_) => Err(field("op", "`eval`, `refs`, `flatten` or `ad`")),
        }
    }

    fn mode(&self) -> Answered<Mode> {
        match self.fields.get("mode").map(Json::as_str) {
            None | Some(Some("condor")) => Ok(Mode::HtCondor),
            Some(Some("strict")) => Ok(Mode::Bare),
            Some(_) => Err(field("mode", "`condor` or `strict`")),
        }
    }

    fn required_ad(&self, name: &'static str) -> Answered<ClassAd> {
        self.optional_ad(name)?
            .ok_or(RowErrorKind::Missing { field: name })
    }

    fn ad(&self, name: &'static str) -> Answered<ClassAd> {
        Ok(self.optional_ad(name)?.unwrap_or_default())
    }

    fn optional_ad(&self, name: &'static str) -> Answered<Option<ClassAd>> {
        const WANTED: &str = "an ad: text in brackets or a list of lines";
        let read = match self.fields.get(name) {
            None | Some(Json::Null) => return Ok(None),
            Some(Json::String(text)) => ClassAd::parse(text),
            Some(Json::Array(lines)) => {
                let lines: Option<Vec<&str>> = lines.iter().map(Json::as_str).collect();
                ClassAd::parse_long(&lines.ok_or(field(name, WANTED))?.join("\n"))
            }
            Some(_) => return Err(field(name, WANTED)),
        };
        read.map(Some).map_err(|source| RowErrorKind::Ad {
            field: name,
            source: Box::new(source),
        })
    }
}

fn field(field: &'static str, wanted: &'static str) -> RowErrorKind {
    RowErrorKind::Field { field, wanted }
}

/// The value with its type; lists and ads with their print and what they hold.
pub fn typed(value: &Value) -> Json {
    let held = match value {
        Value::List(list) => list.iter().map(typed).collect::<Vec<Json>>().into(),
        Value::Ad(ad) => {
            let values = ad.values().iter();
            let typed = values.map(|(name, value)| (name.to_string(), typed(value)));
            Json::Object(typed.collect())
        }
        Value::Undefined | Value::Error | Value::Bool(_) | Value::Int(_) => return shallow(value),
        Value::Real(_) | Value::Str(_) => return shallow(value),
        Value::AbsTime { .. } | Value::RelTime(_) => return shallow(value),
    };
    let mut shape = shallow(value);
    if let Json::Object(fields) = &mut shape {
        fields.insert("value".into(), held);
    }
    shape
}

/// The same without what lists and ads hold.
fn shallow(value: &Value) -> Json {
    let kind = value.type_name();
    match value {
        Value::Undefined | Value::Error => json!({ "type": kind }),
        Value::Bool(value) => json!({ "type": kind, "value": value }),
        Value::Int(value) => json!({ "type": kind, "value": value }),
        Value::Real(real) => json!({
            "type": kind, "value": number(*real), "text": value.to_string(),
        }),
        Value::Str(text) => json!({ "type": kind, "value": &**text }),
        Value::AbsTime { secs, offset } => json!({
            "type": kind, "value": secs, "offset": offset, "text": value.to_string(),
        }),
        Value::RelTime(secs) => json!({ "type": kind, "value": number(*secs) }),
        Value::List(_) | Value::Ad(_) => json!({ "type": kind, "text": value.to_string() }),
    }
}

/// A real; those that JSON has no number for by name.
fn number(value: f64) -> Json {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "INF" } else { "-INF" }.into()
    } else {
        value.into()
    }
}

fn refs(my: &ClassAd, expr: &Expr) -> Json {
    match my.references(expr) {
        Some(references) => {
            let names = |names: &std::collections::BTreeSet<crate::AttrName>| -> Vec<String> {
                names.iter().map(ToString::to_string).collect()
            };
            json!({
                "type": "refs",
                "internal": names(&references.internal),
                "external": names(&references.external),
            })
        }
        None => json!({ "type": "refs_error" }),
    }
}

/// A constant as a bare JSON value, with the reference's numbers for UNDEFINED and ERROR.
fn flattened(my: &ClassAd, expr: &Expr) -> Json {
    let flat = my.flatten(expr);
    let value: Json = match flat.as_literal() {
        Some(Lit::Undefined) => 2.into(),
        Some(Lit::Error) => 1.into(),
        Some(Lit::Bool(value)) => value.into(),
        Some(Lit::Int(value)) => value.into(),
        Some(Lit::Real(value) | Lit::RelTime(value)) => number(value),
        Some(Lit::Str(text)) => text.into(),
        Some(Lit::AbsTime { .. }) | None => {
            return json!({ "type": "flatten", "text": flat.to_string() });
        }
    };
    json!({ "type": "flatten", "text": null, "value": value })
}

/// The ad in every print there is.
fn printed(ad: &ClassAd) -> Json {
    let mut old = ad.to_long();
    if old.is_empty() {
        old.push('\n');
    }
    json!({
        "type": "ad",
        "new": ad.to_string(),
        "old": old,
        "json": ad.to_json_text(),
    })
}
