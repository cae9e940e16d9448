//! The binary as people and scripts meet it: what it prints, and with which code it exits. No
//! manager and no worker runs here.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

#[path = "cli/classad.rs"]
mod classad;
#[path = "cli/dags.rs"]
mod dags;
#[path = "cli/events.rs"]
mod events;
#[path = "cli/submit.rs"]
mod submit;
#[path = "cli/train.rs"]
mod train;

/// What a run of the binary left behind.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the binary in `dir`, with nothing of the tester's own settings.
fn updraft(dir: &Path, args: &[&str]) -> Ran {
    ran(command(dir, args).output().unwrap())
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_updraft"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("UPDRAFT_") || text.starts_with("XDG_") {
            command.env_remove(&name);
        }
    }
    command.env("HOME", dir);
    command
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn dir_with(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A port of this host on which nobody listens.
fn dead_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn every_verb_has_help() {
    let dir = dir_with(&[]);
    let verbs = [
        "",
        "run",
        "submit",
        "q",
        "status",
        "history",
        "hold",
        "release",
        "rm",
        "why",
        "logs",
        "events",
        "wait",
        "fetch",
        "dag",
        "dag check",
        "dag parse",
        "dag status",
        "dag dot",
        "dag retry",
        "study",
        "study show",
        "study best",
        "study ask-tell",
        "worker",
        "worker drain",
        "worker resume",
        "manager",
        "train",
        "data",
        "data synth",
        "data split",
        "classad",
        "classad eval",
        "classad check",
        "classad match",
        "completions",
    ];
    for verb in verbs {
        let mut args: Vec<&str> = verb.split_whitespace().collect();
        args.push("--help");
        let ran = updraft(dir.path(), &args);
        assert_eq!(ran.code, Some(0), "{verb}: {}", ran.err);
        assert!(ran.out.contains("Usage: updraft"), "{verb}: {}", ran.out);
        assert!(
            ran.out.lines().all(|line| line.chars().count() <= 200),
            "{verb}"
        );
    }
    let top = updraft(dir.path(), &["--help"]).out;
    assert!(
        top.contains("8 not yet") && top.contains("130 interrupted"),
        "{top}"
    );
    let version = updraft(dir.path(), &["--version"]);
    assert_eq!(
        (version.code, version.out.starts_with("updraft ")),
        (Some(0), true)
    );
}

#[test]
fn what_makes_no_sense_is_usage() {
    let dir = dir_with(&[("c.toml", "manger = 'h:1'"), ("x.sub", "queue\n")]);
    let rows: [(&[&str], &str); 12] = [
        (&[], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["submti", "x.dag"], "submit"),
        (&["q", "1.2.3"], "1.2.3"),
        (&["wait"], "ID"),
        (&["wait", "1", "--timeout", "-1"], "seconds"),
        (&["q", "--manager", "nowhere"], "HOST:PORT"),
        (&["q", "-o", "yaml"], "yaml"),
        (&["--config", "c.toml", "q"], "did you mean `manager`"),
        (&["--config", "none.toml", "q"], "none.toml"),
        (&["run", "x.sub"], "x.sub"),
        (&["worker", "--name", "w"], "--state-dir"),
    ];
    for (args, part) in rows {
        let ran = updraft(dir.path(), args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
        assert!(ran.out.is_empty(), "{args:?}: {}", ran.out);
    }
}

#[test]
fn a_manager_that_is_not_there_is_said_in_one_sentence() {
    let dir = dir_with(&[(
        "a.sub",
        "executable = /bin/true\ntransfer_executable = false\nqueue\n",
    )]);
    let address = dead_address();
    let rows: [&[&str]; 12] = [
        &["q"],
        &["status"],
        &["history"],
        &["hold", "1"],
        &["rm", "1.0"],
        &["why", "1.0"],
        &["logs", "1.0"],
        &["wait", "1"],
        &["fetch", "1"],
        &["dag", "status", "1"],
        &["worker", "drain", "w"],
        &["submit", "a.sub"],
    ];
    for args in rows {
        let mut command = command(dir.path(), args);
        // The daemons' own settings must not get in the way of a request.
        command
            .env("UPDRAFT_WORKER_DIR", "w")
            .env("UPDRAFT_MANAGER", &address);
        let ran = ran(command.output().unwrap());
        assert_eq!(ran.code, Some(6), "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains(&address) && ran.err.contains("UPDRAFT_MANAGER"),
            "{}",
            ran.err
        );
        assert!(ran.out.is_empty(), "{args:?}: {}", ran.out);
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let (flag, variable, file) = (dead_address(), dead_address(), dead_address());
    let config = format!("manager = '{file}'\n");
    let dir = dir_with(&[(".config/updraft/config.toml", config.as_str())]);
    let asked = |args: &[&str], variable: Option<&str>| {
        let mut command = command(dir.path(), args);
        if let Some(variable) = variable {
            command.env("UPDRAFT_MANAGER", variable);
        }
        ran(command.output().unwrap()).err
    };
    let with_scheme = format!("http://{flag}");
    assert!(asked(&["q"], None).contains(&file));
    assert!(asked(&["q"], Some(&variable)).contains(&variable));
    assert!(asked(&["q", "--manager", &with_scheme], Some(&variable)).contains(&flag));
    assert!(asked(&["--manager", &flag, "q"], Some(&variable)).contains(&flag));
}

#[test]
fn completions_are_scripts() {
    let dir = dir_with(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let ran = updraft(dir.path(), &["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}: {}", ran.err);
        assert!(ran.out.contains("ask-tell"), "{shell}");
    }
    assert_eq!(updraft(dir.path(), &["completions", "tcsh"]).code, Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = dir_with(&[]);
    let mut child = command(dir.path(), &["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = ran(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn an_optimizer_answers_line_by_line() {
    use std::io::Write;
    let dir = dir_with(&[]);
    let mut child = command(dir.path(), &["study", "ask-tell"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let requests = concat!(
        r#"{"space": {"x": {"type": "float", "low": 0, "high": 1}}, "seed": 1}"#,
        "\n\n",
        r#"{"ask": 1}"#,
        "\n",
        r#"{"tell": {"id": 0, "value": 0.5}}"#,
        "\n",
        r#"{"best": "observed"}"#,
    );
    child
        .stdin
        .take()
        .unwrap()
        .write_all(requests.as_bytes())
        .unwrap();
    let ran = ran(child.wait_with_output().unwrap());
    let replies: Vec<serde_json::Value> = ran.out.lines().map(json).collect();
    assert_eq!((ran.code, replies.len()), (Some(0), 4), "{}", ran.out);
    assert!((0.0..=1.0).contains(&replies[1]["trials"][0]["params"]["x"].as_f64().unwrap()));
    assert_eq!(replies[3]["best"]["value"], 0.5);
}
