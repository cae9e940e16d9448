//! Diagnostics: suggestions, codes, and the bound on their number.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;

use dags::diagnostic::{DIAGNOSTICS_MAX, did_you_mean};
use dags::{Code, Diagnostic, Diagnostics};

#[test]
fn the_likely_meaning_of_a_word() {
    let known = [
        "requirements",
        "request_memory",
        "rank",
        "JOB",
        "PARENT",
        "y",
    ];
    let rows = [
        ("reqirements", Some("requirements")),
        ("request-memory", Some("request_memory")),
        ("JBO", Some("JOB")),
        ("raank", Some("rank")),
        ("parents", Some("PARENT")),
        ("banana", None),
        ("x", None),
        ("", None),
    ];
    for (word, expected) in rows {
        assert_eq!(did_you_mean(word, known), expected, "{word}");
    }
}

#[test]
fn codes_are_distinct_and_explained() {
    let ids: BTreeSet<&str> = Code::ALL.iter().map(|code| code.id()).collect();
    assert_eq!(ids.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(!code.meaning().is_empty());
        let stored = serde_json::to_string(code).unwrap();
        assert_eq!(serde_json::from_str::<Code>(&stored).unwrap(), *code);
    }
    assert!(serde_json::from_str::<Code>("\"X999\"").is_err());
}

#[test]
fn findings_beyond_the_limit_are_counted() {
    let mut all = Diagnostics::new();
    for _ in 0..2 {
        let mut some = Diagnostics::new();
        for at in 0..DIAGNOSTICS_MAX {
            some.push(Diagnostic::of_file(
                Code::NoNodes,
                "f",
                format!("finding {at}"),
            ));
        }
        all.append(some);
    }
    assert_eq!(all.len(), DIAGNOSTICS_MAX);
    assert!(
        all.render()
            .ends_with(&format!("and {DIAGNOSTICS_MAX} more\n"))
    );
}
