//! Study files through [`StudySpec::parse`].
#![allow(clippy::unwrap_used, reason = "a test may")]

use dags::study::Scale;
use dags::{Goal, ParamKind, ParamValue, StudySpec};

const GOOD: &str = r#"
metric = "rmse"
goal = "minimize"
trials = 10
parallel = 2
seed = 7
family = "regions"
failures_max = 3
startup = 4

[space.width]
type = "int"
low = 8
high = 256
log = true
default = 64

[space.lr]
type = "float"
low = 1e-4
high = 1e-1
log = true
default = 1e-2

[space.optimizer]
type = "categorical"
choices = ["adam", "sgd"]
default = "adam"

[space.layers]
type = "categorical"
choices = [1, 2.5, true]
default = 1
"#;

/// `code line:column` of each finding.
fn findings(text: &str) -> Vec<String> {
    match StudySpec::parse("t.study.toml", text) {
        Ok(_) => Vec::new(),
        Err(found) => found
            .iter()
            .map(|d| format!("{} {}:{}", d.code, d.line, d.column))
            .collect(),
    }
}

#[test]
fn a_study_is_read_whole() {
    let study = StudySpec::parse("t.study.toml", GOOD).unwrap_or_else(|e| panic!("{}", e.render()));
    assert_eq!(
        (study.metric.as_str(), study.goal),
        ("rmse", Goal::Minimize)
    );
    assert_eq!((study.trials, study.parallel, study.seed), (10, 2, 7));
    assert_eq!((study.failures_max, study.startup), (Some(3), Some(4)));
    let names: Vec<&str> = study
        .space
        .params
        .iter()
        .map(|param| param.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["width", "lr", "optimizer", "layers"],
        "the order of the file"
    );
    assert_eq!(
        study.space.params[1].kind,
        ParamKind::Float {
            low: 1e-4,
            high: 1e-1,
            scale: Scale::Log
        }
    );
    let defaults: Vec<String> = study
        .defaults()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        defaults,
        ["width=64", "lr=0.01", "optimizer=adam", "layers=1"]
    );
    let stored = serde_json::to_string(&study).unwrap();
    assert_eq!(serde_json::from_str::<StudySpec>(&stored).unwrap(), study);
}

#[test]
fn values_print_shortest_and_read_back() {
    let rows = [
        (1e-4, "0.0001"),
        (1e-5, "1e-5"),
        (0.1, "0.1"),
        (3.0, "3.0"),
        (1.5e300, "1.5e300"),
    ];
    for (number, text) in rows {
        assert_eq!(ParamValue::Float(number).to_string(), text);
        assert_eq!(text.parse::<f64>().unwrap(), number);
        let stored = serde_json::to_string(&ParamValue::Float(number)).unwrap();
        assert_eq!(
            serde_json::from_str::<ParamValue>(&stored).unwrap(),
            ParamValue::Float(number)
        );
    }
}

#[test]
fn errors_come_together_with_their_places() {
    let head = "metric = \"m\"\ngoal = \"maximize\"\ntrials = 3\n";
    let lr = "[space.lr]\ntype = \"float\"\nlow = 0.1\nhigh = 1\n";
    let rows: [(String, &[&str]); 20] = [
        ("metric = ".to_owned(), &["T001 1:10"]),
        (lr.to_owned(), &["T004 0:0", "T004 0:0", "T004 0:0"]),
        (head.to_owned(), &["T004 0:0"]),
        (format!("{head}tirals = 3\n{lr}"), &["T002 4:1"]),
        (format!("{head}early_stop = true\n{lr}"), &["T003 4:1"]),
        (
            format!("{}{lr}", head.replace("maximize", "maximise")),
            &["T005 2:8"],
        ),
        (
            format!("{}{lr}", head.replace("= 3", "= 0")),
            &["T005 3:10"],
        ),
        (format!("{head}parallel = 4\n{lr}"), &["T005 4:12"]),
        (format!("{head}seed = -1\n{lr}"), &["T005 4:8"]),
        (format!("{head}{lr}step = 2\n"), &["T002 8:1"]),
        (
            format!("{head}{}", lr.replace("float", "flaot")),
            &["T005 5:8"],
        ),
        (format!("{head}{}", lr.replace("0.1", "2")), &["T006 6:7"]),
        (
            format!("{head}{}log = true\n", lr.replace("0.1", "0.0")),
            &["T006 6:7"],
        ),
        (format!("{head}{}", lr.replace("0.1", "nan")), &["T005 6:7"]),
        (format!("{head}{lr}default = 5\n"), &["T006 8:11"]),
        (
            format!("{head}{lr}default = 0.5\n[space.x]\ntype = \"int\"\nlow = 1\nhigh = 2\n"),
            &["T006 9:8"],
        ),
        (
            format!("{head}[space.rank]\ntype = \"int\"\nlow = 1\nhigh = 2\n"),
            &["T006 4:8"],
        ),
        (
            format!("{head}[space.c]\ntype = \"categorical\"\nchoices = []\n"),
            &["T005 6:11"],
        ),
        (
            format!("{head}[space.c]\ntype = \"categorical\"\nchoices = [1, \"1\"]\n"),
            &["T006 6:15"],
        ),
        (format!("{head}[space]\n"), &["T006 4:1"]),
    ];
    for (text, expected) in rows {
        assert_eq!(findings(&text), expected, "{text}");
    }
}
