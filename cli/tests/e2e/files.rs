//! What a job gets, and what comes back: files, streams, environment, exit codes.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::home::{run, until};
use crate::pool::Pool;

#[test]
fn inputs_come_and_outputs_go_where_they_should() {
    let pool = Pool::with_workers(&["w"]);
    let home = &pool.home;
    home.write("in/one.txt", "one\n");
    home.write("in/tree/two.txt", "two\n");
    home.write("in/tree/deep/three.txt", "three\n");
    home.write("in/said.txt", "said\n");
    home.write(
        "work.sh",
        "#!/bin/sh
         set -e
         cat one.txt tree/two.txt tree/deep/three.txt
         cat
         echo to stderr >&2
         echo made > made.txt
         mkdir -p results/deep
         echo deep > results/deep/x.txt
         echo unwanted > other.txt\n",
    );
    let id = pool.submit_text(
        "work.sub",
        "executable = work.sh
         input = in/said.txt
         transfer_input_files = in/one.txt, in/tree
         transfer_output_files = made.txt, results
         transfer_output_remaps = \"made.txt = out/renamed.txt\"
         output = out/stdout
         error = out/stderr
         queue\n",
    );
    pool.wait(&id);
    assert_eq!(home.read("out/stdout"), "one\ntwo\nthree\nsaid\n");
    assert_eq!(home.read("out/stderr"), "to stderr\n");
    assert_eq!(home.read("out/renamed.txt"), "made\n");
    assert_eq!(home.read("results/deep/x.txt"), "deep\n");
    for absent in ["made.txt", "other.txt", "out/other.txt"] {
        assert!(!home.path(absent).exists(), "{absent}");
    }
}

#[test]
fn a_job_has_a_directory_of_its_own_and_leaves_nothing() {
    let pool = Pool::with_workers(&["w"]);
    pool.home.write("data.txt", "original\n");
    // Changes what it was given; the next job must not see it, nor its own first copy.
    let id = pool.submit_text(
        "change.sub",
        "executable = /bin/sh
         transfer_executable = false
         arguments = \"-c 'cat data.txt; echo changed >> data.txt; pwd; stat -c %a ..; ls'\"
         transfer_input_files = data.txt
         transfer_output_files = \"\"
         output = out.$(Process)
         queue 12\n",
    );
    pool.wait(&id);
    let mut dirs = Vec::new();
    for proc in 0..12 {
        let lines = pool.home.lines(&format!("out.{proc}"));
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!((lines[0].as_str(), lines[2].as_str()), ("original", "700"));
        assert_eq!(lines[3], "data.txt", "nothing else lies there");
        dirs.push(lines[1].clone());
    }
    assert_eq!(pool.home.read("data.txt"), "original\n");
    dirs.sort();
    dirs.dedup();
    assert_eq!(dirs.len(), 12);
    // Removed once the manager has said that the report is durable.
    until("removal of the directories", || {
        std::fs::read_dir(pool.home.path("workers/w/jobs"))
            .unwrap()
            .count()
            == 0
    });
}

#[test]
fn a_program_is_staged_with_the_right_to_run() {
    let pool = Pool::with_workers(&["w"]);
    pool.home
        .write("bin/tool", "#!/bin/sh\necho \"tool: $1 | $2\"\n");
    let tool = pool.home.path("bin/tool");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = "executable = bin/tool\narguments = \"'two words' 'it''s'\"\noutput = out\nqueue\n";
    let id = pool.submit_text("tool.sub", text);
    pool.wait(&id);
    assert_eq!(pool.home.read("out"), "tool: two words | it's\n");
}

#[test]
fn how_a_job_ended_is_told() {
    let pool = Pool::with_workers(&["w"]);
    let rows = [
        // (program, exit code, signal)
        ("true", Some(0), None),
        ("exit 1", Some(1), None),
        ("exit 77", Some(77), None),
        ("kill -9 $$", None, Some(9)),
        ("kill -TERM $$", None, Some(15)),
    ];
    for (program, code, signal) in rows {
        let text = format!(
            "executable = /bin/sh\ntransfer_executable = false\n\
             arguments = \"-c '{program}'\"\nqueue\n"
        );
        let id = pool.submit_text("end.sub", &text);
        let ran = pool.updraft(&["wait", &id]);
        assert_eq!(
            ran.code,
            Some(i32::from(code != Some(0))),
            "{program}: {}",
            ran.err
        );
        let job = &pool.history(&id)[0];
        assert_eq!(job["exit_code"], Value::from(code), "{program}: {job:#}");
        assert_eq!(
            job["exit_signal"],
            Value::from(signal),
            "{program}: {job:#}"
        );
        assert_eq!(job["succeeded"], code == Some(0), "{program}: {job:#}");
        assert_eq!((&job["attempts"], &job["worker"]), (&1.into(), &"w".into()));
        let times = ["submitted_ms", "started_ms", "ended_ms"];
        let times = times.map(|key| job[key].as_u64().unwrap());
        assert!(times[0] > 0 && times.is_sorted(), "{program}: {job:#}");
    }
}

#[test]
fn a_job_has_the_environment_that_it_asked_for() {
    let pool = Pool::with_workers(&["w"]);
    let id = pool.submit_text(
        "env.sub",
        "executable = /usr/bin/env
         transfer_executable = false
         environment = \"PLAIN=1 SPACED='two words' QUOTED='it''s'\"
         output = out
         request_cpus = 2
         queue\n",
    );
    pool.wait(&id);
    let lines = pool.home.lines("out");
    let job = format!("UPDRAFT_JOB={id}.0");
    let expected = [
        "PLAIN=1",
        "SPACED=two words",
        "QUOTED=it's",
        "OMP_NUM_THREADS=2",
        job.as_str(),
    ];
    for line in expected {
        assert!(
            lines.iter().any(|found| found == line),
            "{line}: {lines:#?}"
        );
    }
    // The manager's address is nobody's business but the worker's and the user's.
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("UPDRAFT_MANAGER=")),
        "{lines:#?}"
    );
}

#[test]
fn an_input_is_fetched_once_and_verified() {
    let pool = Pool::with_workers(&["w"]);
    pool.home.write("data.txt", "shared\n");
    let text = "executable = /bin/cat\ntransfer_executable = false\narguments = data.txt\n\
                transfer_input_files = data.txt\ntransfer_output_files = \"\"\n\
                output = out.$(Cluster).$(Process)\nqueue 3\n";
    let first = pool.submit_text("cat.sub", text);
    pool.wait(&first);
    let second = pool.submit("cat.sub");
    pool.wait(&second);
    for id in [&first, &second] {
        for proc in 0..3 {
            assert_eq!(pool.home.read(&format!("out.{id}.{proc}")), "shared\n");
        }
    }
    assert_eq!(
        files_below(&pool.home.path("workers/w/cache"), b"shared\n"),
        1
    );
    assert_eq!(
        files_below(&pool.home.path("manager/blobs"), b"shared\n"),
        1
    );
    // A change of the file is a change of the job.
    pool.home.write("data.txt", "changed\n");
    let third = pool.submit("cat.sub");
    pool.wait(&third);
    assert_eq!(pool.home.read(&format!("out.{third}.0")), "changed\n");
}

/// Files with this content, at any depth.
fn files_below(dir: &std::path::Path, content: &[u8]) -> usize {
    let mut open = vec![dir.to_owned()];
    let mut found = 0;
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if std::fs::read(&path).unwrap() == content {
                found += 1;
            }
        }
    }
    found
}

#[test]
fn a_python_script_is_a_trial() {
    let python = std::process::Command::new("python3")
        .arg("--version")
        .output();
    if !python.is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: there is no python3 here");
        return;
    }
    let pool = Pool::with_workers(&["w"]);
    pool.home.write(
        "trial.py",
        "import json, os, sys\n\
         with open(os.environ['UPDRAFT_PARAMS']) as file:\n    params = json.load(file)\n\
         assert sys.argv[1] == str(params['n']), (sys.argv, params)\n\
         with open(os.environ['UPDRAFT_METRICS'], 'a') as file:\n\
         \x20   for step in range(3):\n\
         \x20       file.write(json.dumps({'loss': params['n'] + 2 - step}) + '\\n')\n",
    );
    pool.home.write(
        "trial.sub",
        "executable = python3\ntransfer_executable = false\narguments = trial.py $(n)\n\
         transfer_input_files = trial.py\ntransfer_output_files = \"\"\nqueue\n",
    );
    pool.home.write(
        "s.study.toml",
        "metric = 'loss'\ngoal = 'minimize'\ntrials = 5\nparallel = 2\nseed = 3\n\
         [space.n]\ntype = 'int'\nlow = 1\nhigh = 9\ndefault = 5\n",
    );
    pool.home.write(
        "report.sub",
        "executable = /bin/cat\ntransfer_executable = false\narguments = best.json\n\
         transfer_input_files = best.json\noutput = best.$(best.n)\nqueue\n",
    );
    pool.home.write(
        "x.dag",
        "STUDY tune trial.sub s.study.toml\nJOB report report.sub\nPARENT tune CHILD report\n",
    );
    let id = pool.submit("x.dag");
    pool.wait(&id);
    let study = &pool.json(&["study", "show", &id])["studies"][0];
    let trials = study["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 5, "{study:#}");
    let mut least = f64::INFINITY;
    for trial in trials {
        // The last value of a name counts.
        let n = trial["params"]["n"].as_f64().unwrap();
        assert_eq!(trial["value"].as_f64(), Some(n), "{trial:#}");
        least = least.min(n);
    }
    let best = pool.home.read(&format!("best.{least}"));
    assert!(!best.is_empty(), "the child got the best trial's macros");
    let best: Value = serde_json::from_str(&best).unwrap();
    assert!(best.is_object(), "{best:#}");
}

#[test]
fn what_is_kept_can_be_fetched() {
    let pool = Pool::with_workers(&["w"]);
    let id = pool.submit_text(
        "make.sub",
        "executable = /bin/sh\ntransfer_executable = false\n\
         arguments = \"-c 'echo made > made.txt; echo said'\"\noutput = said.txt\n\
         transfer_output_files = made.txt\nqueue\n",
    );
    pool.wait(&id);
    run(&mut pool.command(&["fetch", &id, "--to", "again"])).expect(0);
    assert_eq!(pool.home.read("again/made.txt"), "made\n");
}
