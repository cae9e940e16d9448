//! The pool's rules through [`Rules::parse`] and back: every key, and every kind of error with its
//! place.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use classad::Expr;
use dags::Rules;
use dags::rules::{
    GroupRules, NAMES_MAX, Quota, RULES_BYTES_MAX, RankPreempts, Surplus, UserRules,
};

fn parsed(text: &str) -> Rules {
    Rules::parse("pool.toml", text).unwrap_or_else(|wrong| panic!("{}", wrong.render()))
}

/// The same rules, whatever text they were written as.
fn plain(rules: &Rules) -> Rules {
    Rules {
        text: String::new(),
        ..rules.clone()
    }
}

const EVERYTHING: &str = r#"
half_life_s = 3_600
weight = "Cpus * 2"
order = ["JobRank", "-Cpus"]
preemption_requirements = "RemoteUserPrio > 3"
preempt_for_rank = true
restarts_max = 4
jobs_running_max = 100
limit_default = 2.5

[user]
factor = 10
jobs_running_max = 7

[users.ada]
factor = 5

[users."bob.b"]
jobs_running_max = 0

[groups.Physics]
quota = 12
surplus = true

[groups."physics.LHC"]
share = 0.25

[limits]
License = 3
"license.matlab" = 1.5
"#;

#[test]
fn every_key_is_read() {
    let rules = parsed(EVERYTHING);
    assert_eq!(rules.text, EVERYTHING);
    let expr = |text: &str| Expr::parse(text).unwrap();
    let user = |factor, max| UserRules {
        factor,
        jobs_running_max: max,
    };
    let group = |quota, surplus| GroupRules { quota, surplus };
    let expected = Rules {
        text: String::new(),
        half_life_s: 3600.0,
        weight: expr("Cpus * 2"),
        order: vec![expr("JobRank"), expr("-Cpus")],
        preemption_requirements: expr("RemoteUserPrio > 3"),
        rank_preempts: RankPreempts::Yes,
        restarts_max: Some(4),
        jobs_running_max: Some(100),
        user: user(10.0, Some(7)),
        // What one does not say is as for the others.
        users: BTreeMap::from([
            ("ada".to_owned(), user(5.0, Some(7))),
            ("bob.b".to_owned(), user(10.0, Some(0))),
        ]),
        groups: BTreeMap::from([
            (
                "physics".to_owned(),
                group(Quota::Weight(12.0), Surplus::Accept),
            ),
            (
                "physics.lhc".to_owned(),
                group(Quota::Share(0.25), Surplus::Refuse),
            ),
        ]),
        limits: BTreeMap::from([
            ("license".to_owned(), 3.0),
            ("license.matlab".to_owned(), 1.5),
        ]),
        limit_default: Some(2.5),
    };
    assert_eq!(plain(&rules), expected);
    assert_eq!(rules.user("ada"), user(5.0, Some(7)));
    assert_eq!(rules.user("eve"), user(10.0, Some(7)));
}

#[test]
fn what_is_written_reads_back_the_same() {
    let texts = [
        "",
        EVERYTHING,
        "half_life_s = 1e30\n[user]\nfactor = 1.5",
        "weight = \"strcmp(\\\"a\\\\\\\\b\\\", Name)\"\norder = []",
        "[users.\"a \\\" \\\\ \\t\\u0007 ü\"]\nfactor = 2",
        "[limits]\n\"a.b c\" = 0",
    ];
    for text in texts {
        let rules = parsed(text);
        let written = rules.to_toml();
        assert_eq!(plain(&parsed(&written)), plain(&rules), "{written}");
    }
    assert_eq!(plain(&parsed("")), Rules::default());
}

#[test]
fn the_example_says_the_defaults_and_names_every_key() {
    let text = include_str!("../../deploy/pool.toml");
    assert_eq!(plain(&parsed(text)), Rules::default());
    let written = |key: &str| {
        let mut lines = text.lines().map(|line| line.trim_start_matches("# "));
        lines.any(|line| line.split(" = ").next() == Some(key))
    };
    for key in [
        "half_life_s",
        "weight",
        "order",
        "preemption_requirements",
        "preempt_for_rank",
        "restarts_max",
        "jobs_running_max",
        "limit_default",
        "factor",
        "quota",
        "share",
        "surplus",
    ] {
        assert!(written(key), "{key}");
    }
    // With what stands behind a # it is a rules file too.
    let code = |line: &&str| {
        let line = line.trim_start_matches("# ");
        let is_key = line.split_once(" = ").is_some_and(|(key, _)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.\"".contains(c);
            key.chars().all(plain)
        });
        is_key || line.starts_with('[') || line.starts_with("    \"") || line == "]"
    };
    let lines = text.lines().filter(code);
    let lines = lines.filter(|line| !line.starts_with("# share = 0.5"));
    let all: Vec<&str> = lines.map(|line| line.trim_start_matches("# ")).collect();
    let rules = parsed(&all.join("\n"));
    assert_eq!(rules.user("ada").factor, 500.0);
    assert_eq!(rules.groups["physics.lhc"].quota, Quota::Share(0.3));
    assert_eq!(rules.limits["license.matlab"], 5.0);
    assert_eq!(rules.restarts_max, Some(10));
}

#[test]
fn everything_wrong_is_said_with_its_place() {
    // A text, and the code, line, column and message of each finding.
    let rows: [(&str, &[&str]); 24] = [
        ("half_life_s = ", &["R001 1:15"]),
        ("weight", &["R001 1:7"]),
        (
            "half_life = 3\nquotas = 1",
            &[
                "R002 1:1 `half_life` means nothing in the pool's rules",
                "R002 2:1 `quotas` means nothing in the pool's rules",
            ],
        ),
        (
            "half_life_s = 0",
            &["R003 1:15 `half_life_s` is a number of at least 1"],
        ),
        (
            "half_life_s = nan",
            &["R003 1:15 `half_life_s` is a number of at least 1"],
        ),
        (
            "half_life_s = inf",
            &["R003 1:15 `half_life_s` is a number of at least 1"],
        ),
        (
            "half_life_s = \"1d\"",
            &["R003 1:15 `half_life_s` is a number of at least 1"],
        ),
        (
            "weight = 3",
            &["R003 1:10 `weight` is no expression: it is no text in quotes"],
        ),
        (
            "weight = \"Cpus +\"",
            &["R003 1:10 `weight` is no expression"],
        ),
        (
            "order = \"Cpus\"",
            &["R003 1:9 `order` is a list of expressions"],
        ),
        (
            "order = [\"Cpus\",\n\"1 +\", 2]",
            &[
                "R003 2:1 `order` is no expression",
                "R003 2:8 `order` is no expression",
            ],
        ),
        (
            "preempt_for_rank = 1",
            &["R003 1:20 `preempt_for_rank` is true or false"],
        ),
        (
            "restarts_max = 1.5",
            &["R003 1:16 `restarts_max` is a whole number"],
        ),
        (
            "restarts_max = -1",
            &["R003 1:16 `restarts_max` is a number of at least 0"],
        ),
        (
            "jobs_running_max = 1e10",
            &["R003 1:20 `jobs_running_max` is a whole number"],
        ),
        ("user = 3", &["R003 1:8 `user` is a table"]),
        (
            "[user]\nfactor = 0.5\nfator = 1",
            &[
                "R003 2:10 `factor` is a number of at least 1",
                "R002 3:1 `fator` means nothing in [user]",
            ],
        ),
        ("[users]\nada = 3", &["R003 2:7 [users.ada] is a table"]),
        (
            "[groups.a]\nsurplus = true",
            &["R003 1:1 [groups.\"a\"] needs one of `quota` and `share`"],
        ),
        (
            "[groups.a]\nquota = 1\nshare = 0.5",
            &["R003 1:1 [groups.\"a\"] needs one of `quota` and `share`"],
        ),
        (
            "[groups.a]\nshare = 1.5",
            &["R003 1:1 `share` of [groups.\"a\"] is more than the whole, 1.0"],
        ),
        (
            "[groups.\"a.b\"]\nshare = 0.5",
            &["R003 1:9 `a.b` is within `a`, which is no group"],
        ),
        (
            "[groups.\"a b\"]\nshare = 0.5",
            &["R003 1:9 `a b` is no name of a group"],
        ),
        (
            "[limits]\nlicense = -1",
            &["R003 2:11 `license` is a number of at least 0"],
        ),
    ];
    for (text, expected) in rows {
        let found = Rules::parse("pool.toml", text).expect_err(text);
        let mut told: Vec<String> = found
            .iter()
            .map(|d| format!("{} {}:{} {}", d.code, d.line, d.column, d.message))
            .collect();
        told.sort_by_key(|told| told[5..].to_owned());
        assert_eq!(told.len(), expected.len(), "{text}\n{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{text}\n{told}\n{expected}");
        }
        assert!(found.render().contains("pool.toml:"), "{text}");
    }
}

#[test]
fn a_misspelt_key_gets_a_suggestion() {
    let found = Rules::parse("pool.toml", "preempt_rank = true").expect_err("a wrong key");
    let text = found.render();
    assert!(text.contains("did you mean `preempt_for_rank`?"), "{text}");
    assert!(text.contains("half_life_s, weight"), "{text}");
}

#[test]
fn limits_are_named_and_kept() {
    let many = |table: &str, value: &str| {
        let names = (0..=NAMES_MAX).map(|n| format!("n{n} = {value}\n"));
        format!("[{table}]\n{}", names.collect::<String>())
    };
    let deep =
        (1..=9).map(|depth| format!("[groups.\"{}\"]\nquota = 1\n", vec!["g"; depth].join(".")));
    let rows = [
        ("x".repeat(RULES_BYTES_MAX + 1), "at most 1048576 bytes"),
        (many("users", "{}"), "`users` has 10001 names"),
        (many("groups", "{quota = 1}"), "`groups` has 10001 names"),
        (many("limits", "1"), "`limits` has 10001 names"),
        (deep.collect(), "more than 8 groups deep"),
        (
            format!("order = [{}]", "\"1\",".repeat(33)),
            "`order` has 33 terms, more than 32",
        ),
        (
            format!("weight = \"{}1\"", "(".repeat(100_000)),
            "no expression",
        ),
    ];
    for (text, expected) in rows {
        let found = Rules::parse("pool.toml", &text).expect_err(expected);
        let told = found.render();
        assert!(
            told.contains(expected),
            "{}",
            &told[..told.len().min(2_000)]
        );
    }
}
