//! `updraft submit --dry-run`: the job ads of a description, without a manager.

use super::{dir_with, json, updraft};

const DESCRIPTION: &str = "executable = train.sh\narguments = $(x) $(y)\nlog = run.log\n\
     request_memory = 2G\n+Region = \"$(x)\"\nqueue x,y from (\neu 1\nus 2 3\n)\n";

#[test]
fn a_dry_run_prints_whole_ads() {
    let dir = dir_with(&[("t.sub", DESCRIPTION), ("train.sh", "#!/bin/sh\n")]);
    let at = [
        "--cluster",
        "42",
        "--qdate",
        "1700000000",
        "--owner",
        "alice",
    ];
    let told = updraft(
        dir.path(),
        &[&["submit", "--dry-run", "t.sub"], &at[..]].concat(),
    );
    assert_eq!(told.code, Some(0), "{}", told.err);
    let ads: Vec<&str> = told.out.split("\n\n").collect();
    assert_eq!(ads.len(), 2, "{}", told.out);
    let lines = [
        "Args = \"us 2 3\"",
        "ClusterId = 42",
        "ProcId = 1",
        "Owner = \"alice\"",
        "QDate = 1700000000",
        "RequestMemory = 2048",
        "Region = \"us\"",
        "JobStatus = 1",
        "ExecutableSize = 1",
    ];
    for line in lines {
        assert!(ads[1].lines().any(|own| own == line), "{line}: {}", ads[1]);
    }
    let told = updraft(
        dir.path(),
        &[&["submit", "--dry-run", "-o", "json", "t.sub"], &at[..]].concat(),
    );
    let document = json(&told.out);
    assert_eq!(document["items"][1], json("{\"x\":\"us\",\"y\":\"2 3\"}"));
    let job = &document["jobs"][0];
    let directory = dir.path().canonicalize().unwrap();
    let program = format!("\"{}/train.sh\"", directory.display());
    assert_eq!(job["Cmd"], program.as_str());
    assert_eq!(
        job["UserLog"],
        format!("\"{}/run.log\"", directory.display()).as_str()
    );
    assert_eq!(
        (&job["In"], &job["TransferIn"], &job["JobPrio"]),
        (&"\"/dev/null\"".into(), &"false".into(), &"0".into())
    );
    for key in ["errors", "refused", "warnings"] {
        assert_eq!(
            document[key].as_array().map(Vec::len),
            Some(0),
            "{document}"
        );
    }
}

#[test]
fn what_a_dry_run_finds_is_wrong_or_refused() {
    let rows = [
        (
            "executable = x\nrequirements = (1 +\nqueue\n",
            "errors",
            "S104",
        ),
        ("executable = x\nif maybe\nendif\nqueue\n", "errors", "S005"),
        ("executable = x\nqueue x from nope.txt\n", "errors", "S202"),
        (
            "executable = x\ndeferral_time = 5\nqueue\n",
            "refused",
            "S004",
        ),
        (
            "executable = x\narguments = $$([1 +])\nqueue\n",
            "refused",
            "S012",
        ),
        (
            "executable = x\nuniverse = local\nqueue\n",
            "refused",
            "S102",
        ),
        (
            "executable = x\nrequest_cpus = TARGET.Cpus\nqueue\n",
            "refused",
            "S110",
        ),
        ("executable = x\nqueue\nqueue\n", "refused", "S203"),
        (
            "executable = x\nreqirements = true\nqueue\n",
            "refused",
            "S002",
        ),
    ];
    for (text, key, code) in rows {
        let dir = dir_with(&[("t.sub", text)]);
        let told = updraft(dir.path(), &["submit", "--dry-run", "-o", "json", "t.sub"]);
        let document = json(&told.out);
        assert_eq!(document[key][0]["code"], code, "{text}\n{document}");
        // The document answers as HTCondor does, and the exit code with it.
        let is_wrong = key == "errors";
        assert_eq!(told.code, Some(if is_wrong { 2 } else { 0 }), "{text}");
        // What is refused has its ads all the same.
        let jobs = document["jobs"].as_array().unwrap().len();
        assert!(key == "errors" || jobs == 1, "{text}\n{document}");
        let told = updraft(dir.path(), &["submit", "--dry-run", "t.sub"]);
        assert!(told.err.contains(code), "{text}\n{}", told.err);
        assert_ne!(told.code, Some(0), "{text}");
    }
}

#[test]
fn patterns_and_the_environment_are_the_submitters() {
    let text =
        "executable = x\narguments = $(f) $ENV(HOME) $(YEAR)\nqueue f matching files *.dat\n";
    let dir = dir_with(&[
        ("t.sub", text),
        ("b.dat", ""),
        ("a.dat", ""),
        ("d.dat/c", ""),
    ]);
    let args = [
        "submit",
        "--dry-run",
        "-o",
        "json",
        "t.sub",
        "--qdate",
        "1700000000",
    ];
    let document = json(&updraft(dir.path(), &args).out);
    let home = dir.path().display();
    assert_eq!(
        document["jobs"][1]["Args"],
        format!("\"b.dat {home} 2023\"").as_str(),
        "{document}"
    );
    assert_eq!(document["jobs"].as_array().unwrap().len(), 2, "{document}");
}

#[test]
fn a_dry_run_is_of_a_description_alone() {
    let dir = dir_with(&[("x.dag", "JOB a t.sub\n"), ("t.sub", DESCRIPTION)]);
    let rows: [(&[&str], &str); 3] = [
        (&["submit", "--dry-run", "x.dag"], "dag check"),
        (&["submit", "--dry-run", "--wait", "t.sub"], "--wait"),
        (&["submit", "--cluster", "5", "t.sub"], "--dry-run"),
    ];
    for (args, part) in rows {
        let told = updraft(dir.path(), args);
        assert_eq!(told.code, Some(2), "{args:?}");
        assert!(told.err.contains(part), "{args:?}: {}", told.err);
    }
}
