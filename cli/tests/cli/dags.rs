//! DAG files: checked where they lie, refused before anything is submitted.

use std::path::Path;

use super::{command, dead_address, dir_with, json, ran, updraft};

const TRUE_SUB: &str = "executable = /bin/true\ntransfer_executable = false\nqueue\n";

#[test]
fn a_good_file_is_counted() {
    let dag = "JOB a t.sub\nJOB b t.sub\nJOB c t.sub\nPARENT a CHILD b c\n";
    let dir = dir_with(&[("d/x.dag", dag), ("d/t.sub", TRUE_SUB)]);
    let ran = updraft(dir.path(), &["dag", "check", "d/x.dag"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out
            .starts_with("d/x.dag: ok, 3 nodes (0 studies), 2 edges, 2 deep"),
        "{}",
        ran.out
    );
    let document = json(&updraft(dir.path(), &["dag", "check", "d/x.dag", "-o", "json"]).out);
    assert_eq!(document["ok"], true);
    assert_eq!(
        (&document["nodes"], &document["height"]),
        (&3.into(), &2.into())
    );
    let dot = updraft(dir.path(), &["dag", "dot", "d/x.dag"]);
    assert_eq!(dot.code, Some(0), "{}", dot.err);
    assert!(
        dot.out.starts_with("digraph") && dot.out.contains("->"),
        "{}",
        dot.out
    );
}

#[test]
fn the_checker_speaks_in_the_keys_of_htcondors() {
    let top = "JOB X x NOOP\nSPLICE S fan.dag\nSPLICE T fan.dag\nSUBDAG EXTERNAL Y later.dag\n\
        PARENT X CHILD S\nPARENT S CHILD T\nPARENT T CHILD Y\nFINAL F x NOOP\nSERVICE W x NOOP\n";
    let fan = "JOB A x NOOP\nJOB B x NOOP\nJOB C x NOOP\n";
    let bad =
        "JOB A x NOOP\nPARENT A CHILD \\\n B\nWEAK PARENT A \\\n CHILD B\nSPLICE S none.dag\n";
    let round = "JOB A x NOOP\nJOB B x NOOP\nPARENT A CHILD B\nPARENT B CHILD A\n";
    let files = [
        ("top.dag", top),
        ("fan.dag", fan),
        ("bad.dag", bad),
        ("round.dag", round),
    ];
    let dir = dir_with(&files);
    let check = |file: &str| {
        let ran = updraft(dir.path(), &["dag", "check", "--json", file]);
        (ran.code, json(&ran.out))
    };
    let (code, document) = check("top.dag");
    assert_eq!(code, Some(0), "{document}");
    let expected = serde_json::json!({
        "DagFile": "top.dag", "TotalNodes": 11, "NumNodes": 7, "NumArcs": 12, "NumJoinNodes": 1,
        "NumServiceNodes": 1, "NumSubDAGs": 1, "NumSplices": 2, "FinalNode": "F", "GraphHeight": 5,
        "GraphWidth": 3, "WidthByDepth": [1, 3, 1, 3, 1], "IsCyclic": false, "NumErrors": 0,
        "Errors": [], "ok": true,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&document[key], value, "{key}: {document}");
    }
    let (code, document) = check("bad.dag");
    assert_eq!(code, Some(2), "{document}");
    let places: Vec<_> = document["Errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["SourceLine"].as_u64().unwrap(),
                error["DagCommand"].as_str(),
            )
        })
        .collect();
    let expected = [
        (6, Some("SPLICE")),
        (3, Some("PARENT")),
        (5, Some("PARENT")),
    ];
    assert_eq!(places, expected, "{document}");
    let (code, document) = check("round.dag");
    assert_eq!(code, Some(2), "{document}");
    let expected = serde_json::json!({
        "TotalNodes": 2, "NumArcs": 2, "IsCyclic": true, "DetectedCycle": "A -> B -> A",
        "NumErrors": 0, "ok": false,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&document[key], value, "{key}: {document}");
    }
    let files = [
        ("x.dag", "JOB A none.sub\nSUBDAG EXTERNAL S y.dag\n"),
        ("y.dag", "JBO\n"),
    ];
    let dir = dir_with(&files);
    let alone = updraft(dir.path(), &["dag", "check", "--dag-only", "x.dag"]);
    assert_eq!(alone.code, Some(0), "{}", alone.err);
    let whole = updraft(dir.path(), &["dag", "check", "x.dag"]);
    assert_eq!(whole.code, Some(2), "{}", whole.out);
    for part in ["x.dag:1:7", "y.dag:1:1"] {
        assert!(whole.err.contains(part), "{part}: {}", whole.err);
    }
}

#[test]
fn a_dag_is_told_and_drawn() {
    let dag = "JOB A x NOOP\nJOB B x NOOP\nJOB C x NOOP\nJOB D x NOOP\nPARENT A CHILD B C\nPARENT B C CHILD D\n";
    let dir = dir_with(&[("x.dag", dag)]);
    let told = "x.dag: ok, 4 nodes (0 studies), 4 edges, 3 deep, 2 wide, 0 warnings\nwidth by depth: 1, 2, 1\n";
    assert_eq!(updraft(dir.path(), &["dag", "check", "x.dag"]).out, told);
    let ran = updraft(dir.path(), &["dag", "check", "--statistics", "x.dag"]);
    assert!(
        ran.out.starts_with(told) && ran.out.contains("jobs               4\n"),
        "{}",
        ran.out
    );
    let ran = updraft(dir.path(), &["dag", "show", "x.dag"]);
    let drawn = "x.dag: 4 nodes (0 studies), 4 edges, 3 deep, 2 wide\n\n\
        ○ A  noop\n├─╮\n○ │ B  noop\n│ ○ C  noop\n├─╯\n○ D  noop\n";
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), drawn),
        "{}",
        ran.err
    );
    let none = updraft(dir.path(), &["dag", "show", "none.dag"]);
    assert_eq!(none.code, Some(2), "{}", none.out);
}

#[test]
fn every_error_comes_at_once_with_its_place() {
    let dag = "JOB a t.sub\nJOB b missing.sub\nJBO c t.sub\nPARENT a CHILD nobody\n";
    let dir = dir_with(&[("d/x.dag", dag), ("d/t.sub", TRUE_SUB)]);
    let ran = updraft(dir.path(), &["dag", "check", "d/x.dag"]);
    assert_eq!(ran.code, Some(2), "{}", ran.out);
    for part in [
        "d/x.dag:2:",
        "d/x.dag:3:1",
        "d/x.dag:4:",
        "missing.sub",
        "nobody",
        "^^^",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let document = json(&updraft(dir.path(), &["dag", "check", "d/x.dag", "-o", "json"]).out);
    assert_eq!(document["ok"], false);
    let found = document["diagnostics"].as_array().unwrap();
    assert!(found.len() >= 3, "{document}");
    for key in [
        "code", "severity", "file", "line", "column", "length", "message", "help",
    ] {
        assert!(found[0].get(key).is_some(), "{key}: {document}");
    }
}

#[test]
fn what_is_wrong_is_refused_before_anybody_is_asked() {
    let circle = "JOB a t.sub\nJOB b t.sub\nPARENT a CHILD b\nPARENT b CHILD a\n";
    let dir = dir_with(&[
        ("circle.dag", circle),
        ("t.sub", TRUE_SUB),
        ("bad.sub", "queue x y z\n"),
    ]);
    let address = dead_address();
    for file in ["circle.dag", "bad.sub", "none.dag", "none.sub"] {
        for verb in ["submit", "run"] {
            let mut command = command(dir.path(), &[verb, file, "--manager", &address]);
            let ran = ran(command.output().unwrap());
            assert_eq!(ran.code, Some(2), "{verb} {file}: {}", ran.err);
            assert!(ran.err.contains(file), "{verb} {file}: {}", ran.err);
        }
    }
    assert!(
        !dir.path().join(".local").exists(),
        "no state is made for a file that is wrong"
    );
}

#[test]
fn an_absent_directory_is_told() {
    let dir = dir_with(&[]);
    let ran = updraft(dir.path(), &["dag", "check", "no/such/x.dag"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("no/such: no such file"), "{}", ran.err);
    assert!(!Path::new("no").exists());
}

/// What `a` makes and `b` takes, with one line each to vary.
fn chain(of_a: &str, of_b: &str) -> Vec<(String, String)> {
    let description = |more: &str| {
        format!("executable = /bin/true\ntransfer_executable = false\n{more}\nqueue\n")
    };
    let dag = "JOB a a.sub\nJOB b b.sub\nPARENT a CHILD b\n".to_owned();
    vec![
        ("d/x.dag".to_owned(), dag),
        ("d/a.sub".to_owned(), description(of_a)),
        ("d/b.sub".to_owned(), description(of_b)),
    ]
}

#[test]
fn inputs_are_there_or_come_from_a_node_before() {
    let takes = "transfer_input_files = data/x.csv";
    let moved = "transfer_output_files = x.csv\ntransfer_output_remaps = \"x.csv = data/x.csv\"";
    let rows = [
        // (a makes, b takes, is accepted)
        ("transfer_output_files = data/x.csv", takes, true),
        ("transfer_output_files = data", takes, true),
        (moved, takes, true),
        (moved, "transfer_input_files = data", true),
        ("output = data/x.csv", takes, true),
        ("transfer_output_files = x.csv", takes, false),
        ("transfer_output_files = y.csv", takes, false),
        // What a makes is not known: b may find it, but only where it would arrive.
        ("", "transfer_input_files = x.csv", true),
        ("", takes, false),
        // b's own output comes too late, and a runs before b.
        (
            "",
            "transfer_input_files = q/x.csv\ntransfer_output_files = q/x.csv",
            false,
        ),
        (takes, "transfer_output_files = data/x.csv", false),
        ("input = none.txt", "", false),
        ("input = /dev/null", "", true),
        ("transfer_input_files = there.csv, sub", "", true),
        ("transfer_input_files = https://host/x.csv", "", false),
        (
            "executable = gone.sh\ntransfer_executable = true",
            "",
            false,
        ),
    ];
    for (of_a, of_b, accepted) in rows {
        let mut files = chain(of_a, of_b);
        files.push(("d/there.csv".to_owned(), "1".to_owned()));
        files.push(("d/sub/deep/y".to_owned(), "2".to_owned()));
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let dir = dir_with(&files);
        let ran = updraft(
            dir.path(),
            &["submit", "d/x.dag", "--manager", &dead_address()],
        );
        // Nobody answers: with everything in place that is what is told.
        let code = if accepted { 6 } else { 2 };
        assert_eq!(ran.code, Some(code), "{of_a} | {of_b}: {}", ran.err);
    }
}

#[test]
fn a_missing_input_is_named_with_its_place() {
    let files = chain(
        "",
        "# transfer_input_files = no/x.csv\ntransfer_input_files = no/x.csv",
    );
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let dir = dir_with(&files);
    let ran = updraft(dir.path(), &["submit", "d/x.dag"]);
    let expected =
        "d/b.sub, line 4, for node b (d/x.dag, line 2): input file d/no/x.csv is not there";
    assert!(ran.err.contains(expected), "{}", ran.err);
}

#[test]
fn a_file_is_parsed_without_what_it_names() {
    let dag = "# no such files\nFINAL f {\n  executable = /bin/true\n} NOOP\njob a none.sub \\\n dir d\n\
        vars a append x = \"1 2\" +Y=z\nweak parent a child b\nCONFIG c.cfg\nTOLERANCE a 5% WAIT\n\
        FOREACH r IN (eu us)\n STUDY t-$(r) s.sub s.toml\nEND\n";
    let dir = dir_with(&[("d/x.dag", dag)]);
    let expected = serde_json::json!([
        {"line": 2, "command": "FINAL", "name": "f", "inline": "executable = /bin/true\n", "noop": true},
        {"line": 6, "command": "JOB", "name": "a", "submit": "none.sub", "dir": "d"},
        {"line": 7, "command": "VARS", "node": "a", "vars": {"x": "1 2", "My.Y": "z"}, "placement": "APPEND"},
        {"line": 8, "command": "PARENT", "parents": ["a"], "children": ["b"], "weak": true},
        {"line": 9, "command": "CONFIG", "details": dir.path().canonicalize().unwrap().join("c.cfg")},
        {"line": 10, "command": "TOLERANCE", "details": "a 5 T WAIT"},
        {"line": 11, "command": "FOREACH", "vars": ["r"], "in": ["eu", "us"]},
        {"line": 12, "command": "STUDY", "name": "t-$(r)", "submit": "s.sub", "study": "s.toml"},
        {"line": 13, "command": "END"},
    ]);
    for how in [&["--json"][..], &["-o", "json"][..]] {
        let args = [&["dag", "parse", "d/x.dag"][..], how].concat();
        let ran = updraft(dir.path(), &args);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        let document = json(&ran.out);
        assert_eq!(document["commands"], expected);
        assert_eq!(document["errors"], serde_json::json!([]));
    }
    let listed = updraft(dir.path(), &["dag", "parse", "d/x.dag"]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    for part in [
        "SUBMIT",
        "name=a submit=none.sub dir=d",
        "9 commands, 0 errors",
        "LINE",
    ] {
        assert_eq!(
            listed.out.contains(part),
            part != "SUBMIT",
            "{part}: {}",
            listed.out
        );
    }
}

#[test]
fn parsing_goes_on_after_an_error() {
    let dag = "JOB a a.sub why\nJBO b b.sub\nJOB c c.sub\nRETRY c x\n";
    let dir = dir_with(&[("x.dag", dag)]);
    let parsed = updraft(dir.path(), &["dag", "parse", "x.dag", "--json"]);
    assert_eq!((parsed.code, parsed.err.as_str()), (Some(2), ""));
    let document = json(&parsed.out);
    let errors = document["errors"].as_array().unwrap();
    let lines: Vec<u64> = errors.iter().map(|e| e["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 2, 4]);
    assert!(errors.iter().all(|error| error["error"].is_string()));
    assert_eq!(document["commands"].as_array().unwrap().len(), 1);
    let listed = updraft(dir.path(), &["dag", "parse", "x.dag"]);
    assert_eq!(listed.code, Some(2));
    for part in [
        "x.dag:1:13",
        "x.dag:2:1",
        "x.dag:4:9",
        "^^^",
        "did you mean `JOB`",
    ] {
        assert!(listed.err.contains(part), "{part}: {}", listed.err);
    }
    assert!(listed.out.contains("1 command, 3 errors"), "{}", listed.out);
    let none = updraft(dir.path(), &["dag", "parse", "none.dag"]);
    assert_eq!(none.code, Some(2), "{}", none.out);
    assert!(none.err.contains("none.dag"), "{}", none.err);
}

#[test]
fn a_check_misses_what_a_submission_would() {
    let submit = "executable = work.sh\ntransfer_input_files = data.csv\nqueue\n";
    let dag = "JOB a w.sub\nSCRIPT PRE a pre.sh\nJOB b w.sub\n";
    let dir = dir_with(&[("x.dag", dag), ("w.sub", submit)]);
    let ran = updraft(dir.path(), &["dag", "check", "x.dag"]);
    assert_eq!(ran.code, Some(2), "{}", ran.out);
    for name in ["work.sh", "data.csv", "pre.sh"] {
        assert!(ran.err.contains(name), "no {name} in: {}", ran.err);
    }
    let ran = updraft(dir.path(), &["dag", "check", "--json", "x.dag"]);
    let document = json(&ran.out);
    assert_eq!(
        (&document["NumErrors"], &document["ok"]),
        (&3.into(), &false.into())
    );
    let ran = updraft(dir.path(), &["dag", "check", "--dag-only", "x.dag"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
