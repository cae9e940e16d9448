//! From a region's table to a model, without a queue in between.

use std::path::Path;

use super::{Ran, command, dir_with, json, ran, updraft};

fn synth(dir: &Path) {
    let ran = updraft(
        dir,
        &[
            "data", "synth", "--region", "de", "--rows", "400", "--seed", "3", "--out", "d",
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("d/train.csv: 240 rows"), "{}", ran.out);
}

fn train(dir: &Path, more: &[&str], variables: &[(&str, &Path)]) -> Ran {
    let files = [
        "train",
        "--train",
        "d/train.csv",
        "--validation",
        "d/validation.csv",
        "--test",
        "d/test.csv",
        "--target",
        "rating",
        "--model",
        "m.safetensors",
        "--metrics",
        "m.json",
    ];
    let mut command = command(dir, &[&files, more].concat());
    command.envs(variables.iter().copied());
    ran(command.output().unwrap())
}

#[test]
fn a_table_becomes_a_model() {
    let dir = dir_with(&[("params.json", r#"{"epochs": 3, "lr": 0.01}"#)]);
    let dir = dir.path();
    synth(dir);
    let metrics = dir.join("report.jsonl");
    let params = dir.join("params.json");
    let variables: [(&str, &Path); 2] =
        [("UPDRAFT_METRICS", &metrics), ("UPDRAFT_PARAMS", &params)];
    let more = [
        "--epochs",
        "9",
        "--hidden",
        "8",
        "--batch_size",
        "32",
        "--device",
        "cpu",
        "--seed",
        "5",
    ];
    let ran = train(dir, &more, &variables);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.out
            .lines()
            .filter(|line| line.starts_with("epoch "))
            .count(),
        3,
        "{}",
        ran.out
    );
    assert!(dir.join("m.safetensors").metadata().unwrap().len() > 0);

    let document = json(&std::fs::read_to_string(dir.join("m.json")).unwrap());
    let settings = &document["settings"];
    assert_eq!(
        (&settings["epochs"], &settings["batch_size"]),
        (&3.into(), &32.into())
    );

    let report = std::fs::read_to_string(&metrics).unwrap();
    let lines: Vec<serde_json::Value> = report.lines().map(json).collect();
    assert_eq!(lines.len(), 4, "an epoch each, and the model's: {report}");
    let last = lines.last().unwrap();
    assert_eq!(last["rmse"], document["validation"]["rmse"]);
    assert_eq!(last["test_rmse"], document["test"]["rmse"]);
    for line in &lines {
        let numbers = line
            .as_object()
            .unwrap()
            .values()
            .all(serde_json::Value::is_number);
        assert!(numbers, "{line}");
    }
}

/// Flags, variables, the exit code and a part of the error.
type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a Path)], i32, &'a str);

#[test]
fn what_cannot_be_trained_is_one_clear_error() {
    let dir = dir_with(&[("bad.json", r#"{"epohcs": 3}"#), ("no.json", "[1]")]);
    let dir = dir.path();
    synth(dir);
    let none: &[(&str, &Path)] = &[];
    let (bad, no) = (dir.join("bad.json"), dir.join("no.json"));
    let with_bad: &[(&str, &Path)] = &[("UPDRAFT_PARAMS", &bad)];
    let with_no: &[(&str, &Path)] = &[("UPDRAFT_PARAMS", &no)];
    let rows: [Row<'_>; 6] = [
        (&["--lr", "-1"], none, 2, "lr"),
        (&["--target", "ratnig"], none, 2, "rating"),
        (&["--train", "none.csv"], none, 2, "none.csv"),
        (&[], with_bad, 2, "epochs"),
        (&[], with_no, 2, "no.json"),
        (
            &["--optimizer", "sgd", "--lr", "100", "--device", "cpu"],
            none,
            1,
            "diverged",
        ),
    ];
    for (more, variables, code, part) in rows {
        let ran = train(dir, more, variables);
        let errors = ran
            .err
            .lines()
            .filter(|line| line.starts_with("error"))
            .count();
        assert_eq!(
            (ran.code, errors),
            (Some(code), 1),
            "{more:?}: {}{}",
            ran.out,
            ran.err
        );
        assert!(ran.err.contains(part), "{more:?}: {}", ran.err);
    }
}

#[test]
fn a_table_is_split_once_for_each_row() {
    let dir = dir_with(&[]);
    let rows: String = (0..50).map(|n| format!("{n},{}\n", n * 2)).collect();
    std::fs::write(dir.path().join("t.csv"), format!("x,y\n{rows}")).unwrap();
    let ran = updraft(dir.path(), &["data", "split", "t.csv", "--out", "p"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let mut found: Vec<String> = Vec::new();
    for part in ["train", "validation", "test"] {
        let text = std::fs::read_to_string(dir.path().join(format!("p/{part}.csv"))).unwrap();
        found.extend(text.lines().skip(1).map(str::to_owned));
    }
    found.sort();
    let mut expected: Vec<String> = rows.lines().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(found, expected);
}
