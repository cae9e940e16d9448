//! The reference's answers, row by row: every vector in `vectors/` must get the reference's answer,
//! except those in `vectors/differences.txt`, which must not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use classad::rows::{self, Surroundings};
use serde_json::Value as Json;

const AROUND: Surroundings = Surroundings {
    now_secs: 1_700_000_000,
    seed: 1,
};

fn vectors(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    std::fs::read_to_string(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rows_of(name: &str) -> Vec<Json> {
    let lines = vectors(name);
    let rows = lines.lines().filter(|line| !line.is_empty());
    rows.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect()
}

/// Identifier and reason.
fn differences() -> BTreeMap<String, String> {
    vectors("differences.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (id, reason) = line.split_once(' ').unwrap_or((line, ""));
            assert!(!reason.trim().is_empty(), "{id} has no reason");
            (id.to_string(), reason.trim().to_string())
        })
        .collect()
}

/// Where undefined behaviour of C++ or two releases of the reference disagree, any answer is right.
fn is_normative(row: &Json) -> bool {
    let cat = row["cat"].as_str().unwrap_or("");
    !matches!(cat, "num_ub" | "old_parse") && row.get("expect_24_0").is_none()
}

/// What our answer says otherwise than the row; `None` if nothing.
fn difference(row: &Json) -> Option<String> {
    const ANSWERED: [&str; 3] = ["expect", "unparsed", "unparsed_old"];
    let answer = rows::answer(row, AROUND).unwrap_or_else(|error| error.to_json());
    let mut text = String::new();
    for field in ANSWERED {
        let (wanted, got) = (row.get(field), answer.get(field));
        if wanted != got && !(field == "expect" && row.get("expect_24_0") == got) {
            let _ = write!(text, "\n  {field}: {wanted:?}\n  we say: {got:?}");
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Checks all rows of a file, and returns how many of the normative ones agree, and how many there
/// are.
fn check(name: &str, seen: &mut BTreeSet<String>) -> (usize, usize) {
    let listed = differences();
    let mut failures = String::new();
    let (mut agree, mut normative) = (0, 0);
    for row in rows_of(name) {
        let id = row["id"].as_str().expect("every row has an id").to_string();
        let difference = difference(&row);
        let counts = usize::from(is_normative(&row));
        normative += counts;
        agree += if difference.is_none() { counts } else { 0 };
        match (&difference, listed.contains_key(&id)) {
            (Some(text), false) => {
                let _ = write!(failures, "\n{id} {}{text}", row["expr"]);
            }
            (None, true) => {
                let _ = write!(failures, "\n{id} is listed as a difference and is none");
            }
            (Some(_), true) | (None, false) => {}
        }
        seen.insert(id);
    }
    assert!(failures.is_empty(), "{name}:{failures}");
    (agree, normative)
}

#[test]
fn every_row_gets_the_references_answer_or_is_listed() {
    let mut seen = BTreeSet::new();
    for name in ["classad_eval.jsonl", "classad_match.jsonl"] {
        let (agree, normative) = check(name, &mut seen);
        assert!(
            agree * 1000 >= normative * 995,
            "{name}: {agree} of {normative} agree"
        );
    }
    for id in differences().keys() {
        assert!(seen.contains(id), "{id} is listed and is no row");
    }
}

#[test]
fn a_line_that_is_no_row_is_answered_with_its_error() {
    for (line, wanted) in [
        ("[]", r#"{"error":"a row must be a JSON object"}"#),
        (
            r#"{"id":"a"}"#,
            r#"{"error":"the row has no `expr`","id":"a"}"#,
        ),
        (
            r#"{"id":"a","expr":1}"#,
            r#"{"error":"`expr` must be a string","id":"a"}"#,
        ),
        (
            r#"{"id":"a","op":"x","expr":"1"}"#,
            r#"{"error":"`op` must be `eval`, `refs`, `flatten` or `ad`","id":"a"}"#,
        ),
        (
            r#"{"job":["A = 1"]}"#,
            r#"{"error":"the row has no `machine`"}"#,
        ),
        (
            r#"{"expr":"1","ad":7}"#,
            r#"{"error":"`ad` must be an ad: text in brackets or a list of lines"}"#,
        ),
    ] {
        let row: Json = serde_json::from_str(line).unwrap();
        let error = rows::answer(&row, AROUND).unwrap_err();
        assert_eq!(error.to_json().to_string(), wanted, "{line}");
    }
}
