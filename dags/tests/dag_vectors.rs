//! The syntax of DAG files against vectors: what HTCondor's own parser makes of a text, command by
//! command and error by error. Its messages are its own; verdicts, fields and lines are compared.
#![allow(clippy::unwrap_used, reason = "a test may")]

use dags::dag::{Keyword, Syntax};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/dag_parse.jsonl");
const README: &str = include_str!("../README.md");
/// The directory and the file that the vectors were made in.
const CWD: &str = "/tmp/oracle_dag";
const FILE: &str = "t.dag";

/// Rows that we answer otherwise, and why. A row that agrees has no place here.
const DIFFERS: [(&str, &str); 0] = [];

#[test]
fn commands_fields_and_error_lines_agree() {
    let mut rows = 0;
    let mut faults = Vec::new();
    for line in VECTORS.lines() {
        rows += 1;
        let row: Value = serde_json::from_str(line).unwrap();
        let id = row["id"].as_str().unwrap();
        let answer = answer(row["dag"].as_str().unwrap());
        let expected = json!({
            "commands": row["expect"]["commands"],
            "errors": lines_of(&row["expect"]["errors"]),
        });
        let listed = DIFFERS.iter().any(|(listed, _)| *listed == id);
        if (answer == expected) == listed {
            faults.push(format!("{id}: {}\n  {answer}\n  {expected}", row["dag"]));
        }
    }
    assert!(rows > 150, "{rows} rows");
    assert!(DIFFERS.len() * 50 <= rows, "less than 98 % agree");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The document of a text, with the lines of its errors only.
fn answer(text: &str) -> Value {
    let document = serde_json::to_value(Syntax::parse(FILE, text, CWD)).unwrap();
    json!({
        "commands": document["commands"],
        "errors": lines_of(&document["errors"]),
    })
}

fn lines_of(errors: &Value) -> Vec<&Value> {
    let errors = errors.as_array().unwrap();
    errors.iter().map(|error| &error["line"]).collect()
}

#[test]
fn every_command_has_its_line_in_the_readme() {
    let (_, section) = README.split_once("## DAG files").unwrap();
    let section = section.split("\n## ").next().unwrap();
    for keyword in Keyword::ALL {
        let name = format!("`{}", keyword.name());
        let lines = section.lines().filter(|line| {
            let first = line.strip_prefix("| ").unwrap_or_default();
            first
                .strip_prefix(&name)
                .is_some_and(|rest| rest.starts_with(['`', ' ']))
        });
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 1, "{}", keyword.name());
        let support = match keyword.support() {
            dags::dag::Support::Run => "| runs |",
            dags::dag::Support::Ours => "| Updraft's own |",
        };
        assert!(lines[0].contains(support), "{}", lines[0]);
    }
}
