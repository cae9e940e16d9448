//! `classad eval|check|match`: ads from files, expressions from the command line, and what comes
//! of them. What the language means is the crate `classad`'s business.

mod condor;
mod lines;
mod matched;
mod source;

use std::ffi::OsString;
use std::path::Path;

use classad::{ClassAd, Expr, Scope, Value, rows};
use serde::Serialize;

use crate::args;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain, count, time};
use crate::settings::Settings;

use source::{Problem, Source};

/// The name under which the binary behaves as HTCondor's tool.
const CONDOR_NAME: &str = "classad_eval";

/// What `eval -o json` prints.
#[derive(Serialize)]
struct Document {
    /// `boolean`, `integer`, `undefined`, ….
    #[serde(rename = "type")]
    kind: &'static str,
    /// As HTCondor writes it: what is no constant of JSON is `"/Expr(…)/"`.
    value: serde_json::Value,
    /// As an expression.
    text: String,
    /// The value with the types of everything in it, as in the answers of `--jsonl`.
    expect: serde_json::Value,
    /// The expression as it was read.
    expr: String,
    /// The ad's attributes that the value stands on, directly or through others.
    internal: Vec<String>,
    /// The names that the ad does not have; `TARGET.x` keeps its prefix.
    external: Vec<String>,
}

/// What `check -o json` prints of each file.
#[derive(Serialize)]
struct CheckDocument {
    file: String,
    ok: bool,
    ads: usize,
    attributes: usize,
    errors: Vec<Problem>,
}

pub fn run(args: args::Classad, settings: &Settings) -> Result<Exit, Failure> {
    match args {
        args::Classad::Eval(mut args) => match (&args.jsonl, args.condor.take()) {
            (Some(file), _) => lines::run(file),
            (None, Some(condor)) => run_condor(CONDOR_NAME, condor),
            (None, None) => eval(args, settings),
        },
        args::Classad::Check(args) => check(&args, settings),
        args::Classad::Match(args) => matched::run(&args, settings),
    }
}

/// Runs as HTCondor's tool if that is the name under which the binary was called.
pub fn run_as_condor() -> Option<Result<Exit, Failure>> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    let name = Path::new(&program).file_name()?;
    (name == CONDOR_NAME).then(|| run_condor(&program.to_string_lossy(), args.collect()))
}

fn run_condor(program: &str, args: Vec<OsString>) -> Result<Exit, Failure> {
    let text = |arg: OsString| arg.to_string_lossy().into_owned();
    let args: Vec<String> = args.into_iter().map(text).collect();
    let read = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let ended = condor::run(
        &args,
        &condor::Around {
            program,
            read: &read,
            now_secs: now_secs(),
            seed: time::now_ms(),
        },
    );
    output::print(&ended.out)?;
    if !ended.err.is_empty() {
        complain(ended.err.trim_end());
    }
    Ok(Exit::Tool(ended.code))
}

fn eval(args: args::Eval, settings: &Settings) -> Result<Exit, Failure> {
    let Some(text) = args.expr else {
        return Err(Failure::Usage("an expression is missing".to_owned()));
    };
    let source = Source::expression(&text);
    let expr = source
        .as_expr()
        .map_err(|problems| source.refused(&problems))?;
    let read = |path: Option<&Path>| path.map(one_ad).transpose();
    let mut my = read(args.ad.as_deref())?.unwrap_or_default();
    let target = read(args.target.as_deref())?;
    for set in &args.sets {
        my.merge(&assigned(set)?);
    }
    let mut scope = Scope::new(&my).now(now_secs()).seed(time::now_ms());
    if let Some(target) = &target {
        scope = scope.target(target);
    }
    let value = scope.eval(&expr);
    if args.json || settings.format == Format::Json {
        output::print_json(&document(&my, &expr, &value))?;
    } else {
        output::print(&format!("{value}\n"))?;
    }
    Ok(Exit::Ok)
}

fn document(my: &ClassAd, expr: &Expr, value: &Value) -> Document {
    // An expression that selects from what is no ad has no references in it; it mentions some.
    let references = my.references(expr).unwrap_or_else(|| expr.references());
    Document {
        kind: value.type_name(),
        value: value.to_json(),
        text: value.to_string(),
        expect: rows::typed(value),
        expr: expr.to_string(),
        internal: references
            .internal
            .iter()
            .map(ToString::to_string)
            .collect(),
        external: references
            .external
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

/// The ad of a file that holds one.
fn one_ad(path: &Path) -> Result<ClassAd, Failure> {
    let mut ads = ads_of(path)?;
    match ads.len() {
        1 => Ok(ads.remove(0)),
        n => Err(Failure::Usage(format!(
            "{}: the file holds {}, and one is wanted",
            path.display(),
            count(n as u64, "ad")
        ))),
    }
}

fn ads_of(path: &Path) -> Result<Vec<ClassAd>, Failure> {
    let source = Source::read(path)?;
    source.ads().map_err(|problems| source.refused(&problems))
}

/// `name = expr`, as it would stand in an ad.
fn assigned(text: &str) -> Result<ClassAd, Failure> {
    let source = Source {
        name: "--set".to_owned(),
        text: format!("[ {text} ]"),
    };
    source
        .ads()
        .map_err(|problems| source.refused(&problems))
        .and_then(|mut ads| match (ads.pop(), ads.len()) {
            (Some(ad), 0) if !ad.is_empty() => Ok(ad),
            (_, _) => Err(Failure::Usage(format!(
                "--set: `{text}` is not of the form `NAME = EXPR`"
            ))),
        })
}

fn check(args: &args::Check, settings: &Settings) -> Result<Exit, Failure> {
    let mut documents = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let source = Source::read(path)?;
        let (ads, errors) = match source.ads() {
            Ok(ads) => (ads, Vec::new()),
            Err(problems) => (Vec::new(), problems),
        };
        let document = CheckDocument {
            file: source.name.clone(),
            ok: errors.is_empty(),
            ads: ads.len(),
            attributes: ads.iter().map(ClassAd::len).sum(),
            errors,
        };
        if settings.format == Format::Table {
            if !document.ok {
                complain(&format!("error: {}", source.render(&document.errors)));
            }
            output::print(&verdict(&document))?;
        }
        documents.push(document);
    }
    if settings.format == Format::Json {
        output::print_json(&documents)?;
    }
    let ok = documents.iter().all(|document| document.ok);
    Ok(if ok { Exit::Ok } else { Exit::Usage })
}

fn verdict(document: &CheckDocument) -> String {
    let file = &document.file;
    if !document.ok {
        let errors = count(document.errors.len() as u64, "error");
        return format!("{file}: {errors}\n");
    }
    let ads = count(document.ads as u64, "ad");
    let attributes = count(document.attributes as u64, "attribute");
    format!("{file}: ok, {ads}, {attributes}\n")
}

fn now_secs() -> i64 {
    i64::try_from(time::now_ms() / 1000).unwrap_or(i64::MAX)
}
