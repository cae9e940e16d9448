//! LANGUAGE.md against the code: every function and every bound has its row, and nothing else is
//! called a function there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn text(below: &str) -> String {
    fs::read_to_string(path(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
}

/// The part of the text between two headings.
fn section<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let (_, rest) = text.split_once(from).expect("the section begins");
    rest.split_once(to).expect("the section ends").0
}

/// What stands between `before` and the next of `after`, for every `before`.
fn between<'t>(text: &'t str, before: &str, after: char) -> Vec<&'t str> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.split(after).next())
        .collect()
}

/// The names that the functions are registered by.
fn registered() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in fs::read_dir(path("src/functions")).expect("the folder is there") {
        let file = file.expect("the folder can be listed").path();
        let source = fs::read_to_string(file).expect("the file can be read");
        names.extend(
            between(&source, "Builtin::new(\"", '"')
                .into_iter()
                .map(str::to_string),
        );
    }
    names
}

#[test]
fn every_function_has_a_row() {
    let language = text("LANGUAGE.md");
    let functions = section(&language, "\n## 4. Functions", "\n## 5.");
    let mut documented = BTreeSet::new();
    for row in functions.lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split(" | ").next().unwrap_or("");
        for call in cell.split('`').filter(|part| part.contains('(')) {
            let name = call.split('(').next().unwrap_or("");
            documented.insert(name.to_ascii_lowercase());
        }
    }
    assert_eq!(documented, registered());
}

#[test]
fn every_bound_has_a_row() {
    let language = text("LANGUAGE.md");
    let bounds = section(&language, "\n## 8. Bounds", "\n## 9.");
    let documented: BTreeSet<&str> = between(bounds, "\n| `", '`').into_iter().collect();
    let source = text("src/limits.rs");
    let named: BTreeSet<&str> = between(&source, "pub const ", ':').into_iter().collect();
    assert_eq!(documented, named);
}

#[test]
fn every_row_and_file_that_is_named_exists() {
    let language = text("LANGUAGE.md");
    let vectors =
        text("tests/vectors/classad_eval.jsonl") + &text("tests/vectors/classad_match.jsonl");
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    for part in language.split(|c| !word(c)) {
        let is_row = part.starts_with("ce-0") || part.starts_with("cm-0");
        assert!(
            !is_row || vectors.contains(&format!("\"{part}\"")),
            "{part}"
        );
    }
    for file in language.split('`').skip(1).step_by(2) {
        if file.ends_with(".rs") {
            assert!(path("src").join(file).exists(), "{file}");
        }
    }
}
