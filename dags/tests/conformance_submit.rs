//! The reference's answers to submit descriptions, row by row: every vector in
//! `vectors/submit_expand.jsonl` and `vectors/submit_more.jsonl` must get the reference's answer, except those in
//! `vectors/submit_differences.txt`, which must not.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use classad::ClassAd;
use dags::submit::Submission;
use dags::{Diagnostics, Macros, Submit};
use serde_json::{Map, Value as Json};

/// Where and when the reference's jobs were submitted.
const DIRECTORY: &str = "/scratch/oracle";
const CLUSTER: u32 = 42;
const SUBMITTED_S: i64 = 1_700_000_000;
/// What all of its jobs ran: the bytes of `train.sh`.
const PROGRAM_BYTES: u64 = 10;

fn vectors(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    std::fs::read_to_string(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Identifier and reason.
fn differences() -> BTreeMap<String, String> {
    vectors("submit_differences.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (id, reason) = line.split_once(' ').unwrap_or((line, ""));
            assert!(!reason.trim().is_empty(), "{id} has no reason");
            (id.to_owned(), reason.trim().to_owned())
        })
        .collect()
}

/// What our answer says otherwise than the row; empty if nothing.
struct Answer<'a> {
    expect: &'a Map<String, Json>,
    said: String,
}

impl Answer<'_> {
    fn compare(&mut self, what: &str, wanted: &Json, got: &Json) {
        if wanted != got {
            let _ = write!(self.said, "\n  {what}: {wanted}\n  we say: {got}");
        }
    }

    /// Whether the reference refuses here, as do we, or neither.
    fn verdict(&mut self, key: &str, found: &Diagnostics) {
        let wrong = found.errors().any(|error| !error.code.is_refusal());
        if self.expect.contains_key(key) != wrong {
            let text = found.render();
            let _ = write!(
                self.said,
                "\n  {key}: {:?}\n  we say: {text}",
                self.expect.get(key)
            );
        }
    }
}

fn files_of(row: &Json) -> BTreeMap<String, String> {
    let files = row.get("files").and_then(Json::as_object);
    let files = files.into_iter().flatten();
    files
        .map(|(path, text)| (path.clone(), text.as_str().unwrap().to_owned()))
        .collect()
}

fn difference(row: &Json) -> String {
    let expect = row["expect"].as_object().unwrap();
    let mut answer = Answer {
        expect,
        said: String::new(),
    };
    let files = files_of(row);
    let text = row["submit"].as_str().unwrap();
    let (submit, mut found) = Submit::parse("t.sub", text, &files);
    let macros = Macros::new();
    let told = submit.listed(&macros);
    // A queue statement is read here when the description is, and there when jobs are asked for.
    if !expect.contains_key("error") && expect.contains_key("items_error") {
        if let Err(errors) = &told {
            found.append(errors.clone());
        }
        answer.verdict("items_error", &found);
        return answer.said;
    }
    if !found.has_errors() {
        found.append(submit.reached(&macros));
    }
    answer.verdict("error", &found);
    if found.errors().any(|error| !error.code.is_refusal()) {
        return answer.said;
    }
    if let Some(raw) = expect.get("raw") {
        let names: Map<String, Json> = submit
            .assigned(&macros)
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        for (name, value) in raw.as_object().unwrap() {
            let own = names.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            let own = own.map_or(Json::Null, |(_, value)| value.clone());
            answer.compare(&format!("raw {name}"), value, &own);
        }
    }
    if let Some(qargs) = expect.get("qargs") {
        let own = submit.queue_arguments(&macros).unwrap_or_default();
        answer.compare("qargs", qargs, &own.into());
    }
    for (name, value) in expect
        .get("expand")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
    {
        let own = submit.value(name, &macros, 1, 0, &[]);
        let own = own.ok().flatten().filter(|value| !value.is_empty());
        answer.compare(name, value, &own.map_or(Json::Null, Json::from));
    }
    if let (Some(items), Ok(told)) = (expect.get("items"), &told) {
        let pairs = |row: &Vec<String>| -> Json {
            let pairs = told
                .vars
                .iter()
                .cloned()
                .zip(row.iter().map(|v| Json::from(v.as_str())));
            Json::Object(pairs.collect())
        };
        answer.compare("items", items, &told.rows.iter().map(pairs).collect());
    }
    jobs(&submit, &files, &mut answer);
    answer.said
}

fn jobs(submit: &Submit, files: &BTreeMap<String, String>, answer: &mut Answer<'_>) {
    let macros = Macros::new();
    let bytes = |path: &str| {
        let name = path.strip_prefix(DIRECTORY)?.trim_start_matches('/');
        match name {
            "train.sh" => Some(PROGRAM_BYTES),
            _ => files.get(name).map(|text| text.len() as u64),
        }
    };
    let submission = Submission {
        cluster: CLUSTER,
        owner: "alice",
        directory: DIRECTORY,
        submitted_s: SUBMITTED_S,
        host: "host",
        bytes: &bytes,
    };
    let items = match submit.procs(&macros) {
        Ok(items) => items,
        Err(found) => return answer.verdict("jobs_error", &found),
    };
    let mut found = Diagnostics::new();
    let mut ads: Vec<ClassAd> = Vec::new();
    for proc in (0..100).take_while(|proc| u64::from(*proc) < items.len()) {
        let (ad, said) = submit.job_ad(&macros, &submission, proc, items.row(proc));
        found.append(said);
        ads.extend(ad);
    }
    answer.verdict("jobs_error", &found);
    let Some(jobs) = answer.expect.get("jobs").and_then(Json::as_array).cloned() else {
        return;
    };
    answer.compare("number of jobs", &jobs.len().into(), &ads.len().into());
    for (at, (wanted, ad)) in jobs.iter().zip(&ads).enumerate() {
        for (name, text) in wanted.as_object().unwrap() {
            let own = ad.get(name).map(ToString::to_string);
            let own = own.map_or(Json::Null, Json::from);
            answer.compare(&format!("job {at} {name}"), text, &own);
        }
        for name in answer
            .expect
            .get("jobs_lack")
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default()
        {
            let own = ad.get(name.as_str().unwrap()).map(ToString::to_string);
            answer.compare(
                &format!("job {at} lacks {name}"),
                &Json::Null,
                &own.map_or(Json::Null, Json::from),
            );
        }
    }
}

#[test]
fn submit_descriptions_mean_what_they_mean_to_the_reference() {
    let differences = differences();
    let mut seen = BTreeSet::new();
    let (mut agree, mut total, mut failures) = (0, 0, String::new());
    let rows = vectors("submit_expand.jsonl") + &vectors("submit_more.jsonl");
    for line in rows.lines() {
        let row: Json = serde_json::from_str(line).unwrap();
        if row.get("doubt").is_some() {
            continue;
        }
        let id = row["id"].as_str().unwrap();
        total += 1;
        let said = difference(&row);
        agree += usize::from(said.is_empty());
        match (said.is_empty(), differences.get(id)) {
            (true, None) => {}
            (false, Some(_)) => {
                seen.insert(id.to_owned());
            }
            (true, Some(reason)) => {
                let _ = writeln!(failures, "{id} agrees, and is listed: {reason}");
            }
            (false, None) => {
                let _ = writeln!(failures, "{id}: {}{said}\n", row["submit"]);
            }
        }
    }
    assert!(failures.is_empty(), "{agree} of {total} agree\n{failures}");
    let gone: Vec<&String> = differences
        .keys()
        .filter(|id| !seen.contains(*id))
        .collect();
    assert!(gone.is_empty(), "listed rows that are none: {gone:?}");
    assert!(agree * 100 >= total * 98, "{agree} of {total} agree");
}
