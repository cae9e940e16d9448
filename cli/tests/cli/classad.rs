//! `updraft classad …` and `classad_eval`, by the real binary.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::{Ran, command, dir_with, json, ran, updraft};

const JOB: &str = "RequestMemory = 2048\nCmd = \"a\"\nRequirements = TARGET.Memory >= RequestMemory && TARGET.HasGpu\nRank = TARGET.Memory\n";

fn piped(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    ran(child.wait_with_output().unwrap())
}

#[test]
fn expressions_are_evaluated() {
    let dir = dir_with(&[
        ("job.ad", JOB),
        ("slot.ad", "[ Memory = 4096; Name = \"s1\" ]"),
        (
            "slot.json",
            "{\"Memory\": 8192, \"Half\": \"/Expr(Memory / 2)/\"}",
        ),
        ("slots.ad", "[ Memory = 1 ]\n[ Memory = 2 ]\n"),
        ("slots.long", "Memory = 1\n\nMemory = 2\n"),
        ("none.json", "[]x"),
        ("bad.ad", "this is no ad"),
    ]);
    let both = ["--ad", "job.ad", "--target", "slot.ad"];
    let rows: [(&str, &[&str], i32, &str); 14] = [
        ("1 + 1", &[], 0, "2\n"),
        ("-1", &[], 0, "-1\n"),
        ("nothing", &[], 0, "undefined\n"),
        ("TARGET.Memory >= RequestMemory", &both, 0, "true\n"),
        ("strcat(TARGET.Name, Cmd)", &both, 0, "\"s1a\"\n"),
        ("Half", &["--ad", "slot.json"], 0, "4096\n"),
        ("a * b", &["--set", "a = 2", "--set", "b = a + 1"], 0, "6\n"),
        (
            "Memory",
            &["--ad", "slot.ad", "--set", "memory = 5"],
            0,
            "5\n",
        ),
        ("1 +", &[], 2, ""),
        ("1", &["--ad", "bad.ad"], 2, ""),
        ("1", &["--ad", "absent.ad"], 2, ""),
        ("1", &["--ad", "slots.ad"], 2, ""),
        ("1", &["--target", "slots.long"], 2, ""),
        ("1", &["--set", "a"], 2, ""),
    ];
    for (expr, more, code, out) in rows {
        let args = [&["classad", "eval", expr], more].concat();
        let ran = updraft(dir.path(), &args);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(code), out),
            "{expr}: {}",
            ran.err
        );
        assert_eq!(ran.err.is_empty(), code == 0, "{expr}: {}", ran.err);
    }
    let of_input = command(dir.path(), &["classad", "eval", "a + 1", "--ad", "-"]);
    assert_eq!(piped(of_input, "[ a = 1 ]").out, "2\n");
    let several = updraft(dir.path(), &["classad", "eval", "1", "--ad", "slots.ad"]);
    assert!(several.err.contains("holds 2 ads"), "{}", several.err);
}

#[test]
fn what_programs_read_has_types_and_references() {
    let dir = dir_with(&[("job.ad", JOB)]);
    let expr = "{1, \"a\", RequestMemory / 2.0, TARGET.Memory}";
    for flag in [&["--json"][..], &["-o", "json"]] {
        let args = [&["classad", "eval", expr, "--ad", "job.ad"], flag].concat();
        let document = json(&updraft(dir.path(), &args).out);
        assert_eq!(document["type"], "list");
        assert_eq!(document["value"], serde_json::json!([1, "a", 1024.0, null]));
        assert_eq!(document["expect"]["value"][1]["type"], "string");
        assert_eq!(document["expect"]["value"][3]["type"], "undefined");
        assert_eq!(document["internal"], serde_json::json!(["RequestMemory"]));
        assert_eq!(document["external"], serde_json::json!(["TARGET.Memory"]));
        assert_eq!(
            document["expr"],
            "{ 1,\"a\",RequestMemory / 2.000000000000000E+00,TARGET.Memory }"
        );
    }
}

#[test]
fn errors_of_syntax_stand_under_the_text() {
    let dir = dir_with(&[
        ("bad.long", "a = 1\nb = )\nc = 1 +\nwhat\n"),
        ("bad.new", "[ a = 1;\n  b = * ]"),
        ("good.new", "[ a = 1 ] [ b = 2; c = 3 ]"),
    ]);
    let told = |args: &[&str]| {
        let ran = updraft(dir.path(), args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.out);
        ran.err
    };
    let err = told(&["classad", "eval", "1 + * 2"]);
    assert!(err.starts_with("error: expression:1:5: "), "{err}");
    assert!(err.contains("\n  1 + * 2\n      ^"), "{err}");
    let err = told(&["classad", "eval", "a", "--ad", "bad.long"]);
    for part in [
        "error: bad.long:2:5: ",
        "error: bad.long:3:8: ",
        "error: bad.long:4: ",
        "\n  b = )\n      ^",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    let err = told(&["classad", "check", "good.new", "bad.new"]);
    assert!(err.starts_with("error: bad.new:2:7: "), "{err}");
    let ran = updraft(dir.path(), &["classad", "check", "good.new"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "good.new: ok, 2 ads, 3 attributes\n")
    );
    let ran = updraft(dir.path(), &["classad", "check", "bad.long", "-o", "json"]);
    let document = json(&ran.out);
    assert_eq!(ran.code, Some(2));
    assert_eq!(document[0]["ok"], false);
    assert_eq!(document[0]["errors"][0]["line"], 2);
    assert_eq!(document[0]["errors"][0]["column"], 5);
}

#[test]
fn lines_are_answered_line_by_line() {
    let rows = concat!(
        r#"{"id": "a", "cat": "x", "expr": "1 + 1", "expect": {"type": "error"}}"#,
        "\n",
        r#"{"id": "b", "ad": "[x = 1.5]", "target": ["y = 2"], "expr": "x * TARGET.y"}"#,
        "\n",
        "no row\n",
        r#"{"id": "c", "expr": "1 +"}"#,
    );
    let dir = dir_with(&[("rows.jsonl", rows)]);
    let of_file = updraft(dir.path(), &["classad", "eval", "--jsonl", "rows.jsonl"]);
    let of_input = piped(command(dir.path(), &["classad", "eval", "--jsonl"]), rows);
    for ran in [of_file, of_input] {
        let lines: Vec<_> = ran.out.lines().map(json).collect();
        assert_eq!((ran.code, lines.len()), (Some(2), 4), "{}", ran.out);
        assert_eq!(
            lines[0],
            serde_json::json!({
                "id": "a", "expect": {"type": "integer", "value": 2}, "unparsed": "1 + 1",
            })
        );
        assert_eq!(lines[1]["expect"]["value"], 3.0);
        assert_eq!(lines[2]["line"], 3);
        assert_eq!(lines[3]["expect"]["type"], "parse_error");
        assert!(ran.err.contains("1 of 4 lines"), "{}", ran.err);
    }
}

#[test]
fn whoever_waits_for_an_answer_gets_it() {
    use std::io::{BufRead, BufReader};
    let dir = dir_with(&[]);
    let mut child = command(dir.path(), &["classad", "eval", "--jsonl", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for i in 0..3 {
        writeln!(stdin, r#"{{"id": {i}, "expr": "{i} + 1"}}"#).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(json(&line)["expect"]["value"], i + 1);
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The examples of the tool's manual page, with what the tool of HTCondor 25.14 prints.
#[test]
fn it_stands_in_for_classad_eval() {
    let dir = dir_with(&[
        (
            "job.ad",
            "{\n[ JobUniverse = 5; Requirements = TARGET.Cpus > 1 ]\n}\n",
        ),
        (
            "slot.ad",
            "[ Cpus = 2; Requirements = TARGET.JobUniverse == 5 ]\n",
        ),
    ]);
    let link = dir.path().join("classad_eval");
    symlink(env!("CARGO_BIN_EXE_updraft"), &link).unwrap();
    let steps = ["x = y", "x", "y = 7", "x", "[ x = 6; z = \"foo\"; ]", "x"];
    let quiet = [&steps[..2], &["-quiet"], &steps[2..]].concat();
    let rows: [(&[&str], i32, &str, &str); 11] = [
        (&["a = 2", "a * 2"], 0, "[ a = 2 ]\n4\n", ""),
        (&["a=2", "a*2"], 0, "[ a = 2 ]\n4\n", ""),
        (&["a = 2", "b = 2", "a + b"], 0, "[ a = 2; b = 2 ]\n4\n", ""),
        (
            &["[ a = 2; b = 2 ]", "a + b"],
            0,
            "[ a = 2; b = 2 ]\n4\n",
            "",
        ),
        (&["strcat(\"foo\", \"bar\")"], 0, "[  ]\n\"foobar\"\n", ""),
        (
            &steps,
            0,
            "[ x = y ]\nundefined\n[ x = y; y = 7 ]\n7\n[ x = 6; y = 7; z = \"foo\" ]\n6\n",
            "",
        ),
        (&quiet, 0, "[ x = y ]\nundefined\n7\n6\n", ""),
        (&["-quiet", "-file", "job.ad", "JobUniverse"], 0, "5\n", ""),
        (
            &[
                "-quiet",
                "-my-file",
                "job.ad",
                "-target-file",
                "slot.ad",
                "MY.requirements",
                "TARGET.requirements",
            ],
            0,
            "true\ntrue\n",
            "",
        ),
        (
            &["-quiet", "a = "],
            1,
            "",
            "Unable to turn 'a = ' into a ClassAd or an expression.\n",
        ),
        (&["-file"], 255, "", "-file requires an argument\n"),
    ];
    for (args, code, out, err) in rows {
        let mut linked = Command::new(&link);
        linked.args(args).current_dir(dir.path());
        let by_flag = [&["classad", "eval", "--condor"], args].concat();
        for ran in [ran(linked.output().unwrap()), updraft(dir.path(), &by_flag)] {
            assert_eq!((ran.code, ran.out.as_str()), (Some(code), out), "{args:?}");
            assert!(ran.err.ends_with(err), "{args:?}: {}", ran.err);
            assert_eq!(ran.err.is_empty(), err.is_empty(), "{args:?}: {}", ran.err);
        }
    }
    let help = ran(Command::new(&link).arg("-help").output().unwrap());
    assert_eq!(help.code, Some(255));
    assert!(help.out.contains("-target-file FILE"), "{}", help.out);
}

#[test]
fn a_match_is_told_clause_by_clause() {
    let dir = dir_with(&[
        ("job.ad", JOB),
        (
            "slots.ad",
            concat!(
                "Name = \"s1\"\nMemory = 1024\nHasGpu = true\nRequirements = true\n\n",
                "Name = \"s2\"\nMemory = 4096\nHasGpu = true\nRequirements = true\n\n",
                "Name = \"s3\"\nMemory = 8192\nHasGpu = true\n",
                "Requirements = TARGET.Owner == \"bob\" && true\n",
            ),
        ),
        (
            "small.ad",
            "[ Memory = 1; HasGpus = true; Requirements = true ]",
        ),
    ]);
    let ran = updraft(dir.path(), &["classad", "match", "job.ad", "slots.ad"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().map(str::trim).collect();
    assert_eq!(lines[0], "1 of 3 machines match; the job accepts 2");
    let has = |parts: &[&str]| {
        lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(has(&[
        "2/3",
        "TARGET.Memory >= RequestMemory",
        "s1 has 1024"
    ]));
    assert!(has(&["s2", "yes", "4096"]), "{}", ran.out);
    assert!(has(&["s3", "no", "TARGET.Owner == \"bob\""]), "{}", ran.out);
    assert!(!has(&["TARGET.Owner == \"bob\" && true"]), "{}", ran.out);

    let args = ["classad", "match", "job.ad", "small.ad", "-o", "json"];
    let ran = updraft(dir.path(), &args);
    let document = json(&ran.out);
    assert_eq!((ran.code, &document["matched"]), (Some(1), &0.into()));
    assert_eq!(document["clauses"][0]["nearest"]["has"], "1");
    assert_eq!(document["clauses"][1]["undefined"], 1);
    assert_eq!(document["unknown"][0]["did_you_mean"], "HasGpus");
    assert_eq!(document["machines"][0]["name"], "small.ad");
    assert_eq!(document["machines"][0]["accepts"], true);
}
