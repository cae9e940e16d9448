//! `dag halt`, `dag resume`, `hold`, `release` and `rm` of runs whose scripts and jobs are under
//! way.

use super::{ended, node, said, start, states, until_node, until_said};
use crate::home::until;

/// Nodes of which at first one runs its PRE script, one its job and one its POST script.
const UNDER_WAY: &str = "JOB pre job.sub
     SCRIPT PRE pre wait 0 pre1
     VARS pre do=\"echo job pre >> HOME/log\"
     JOB job job.sub
     VARS job do=\"echo begin job >> HOME/log; until [ -e HOME/job1 ]; do sleep 0.02; done\"
     SCRIPT POST job say 0 post job
     JOB post job.sub
     SCRIPT POST post wait 0 post1
     JOB next job.sub
     VARS next do=\"echo job next >> HOME/log\"
     PARENT post CHILD next\n";

/// The files that the nodes above wait for.
const FILES: [&str; 3] = ["pre1", "job1", "post1"];

#[test]
fn a_halted_run_ends_what_runs_and_starts_nothing() {
    let pool = start(&[]);
    let id = pool.submit_text("x.dag", UNDER_WAY);
    for begun in ["begin pre1", "begin job", "begin post1"] {
        until_said(&pool, begun);
    }
    pool.updraft(&["dag", "halt", &id]).expect(0);
    let again = pool.updraft(&["dag", "halt", &id]).expect(1);
    again.complains(&["halted already"]);
    for file in FILES {
        pool.home.write(file, "");
    }
    // Scripts end, POST scripts run; no job starts.
    until_said(&pool, "post job");
    until_node(&pool, &id, "job", "Done");
    until_node(&pool, &id, "post", "Done");
    until_node(&pool, &id, "pre", "Ready");
    let run = pool.json(&["dag", "status", &id]);
    assert_eq!(
        (&run["halt"], &run["status"]),
        (&"Halted".into(), &"Running".into())
    );
    assert_eq!(states(&run), "pre Ready, job Done, post Done, next Waiting");
    for name in ["pre", "next"] {
        assert_eq!(node(&run, name)["waits"], "the run is halted");
    }
    pool.updraft(&["dag", "resume", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "pre Done, job Done, post Done, next Done");
    for line in [
        "job pre",
        "job next",
        "begin pre1",
        "begin job",
        "begin post1",
    ] {
        assert_eq!(said(&pool, line), 1, "{line}");
    }
}

#[test]
fn a_held_run_starts_nothing_and_its_jobs_begin_anew() {
    let pool = start(&[]);
    let id = pool.submit_text("x.dag", UNDER_WAY);
    for begun in ["begin pre1", "begin job", "begin post1"] {
        until_said(&pool, begun);
    }
    pool.updraft(&["hold", &id]).expect(0);
    for file in FILES {
        pool.home.write(file, "");
    }
    until_node(&pool, &id, "post", "Done");
    until_node(&pool, &id, "pre", "Ready");
    let run = pool.json(&["dag", "status", &id]);
    assert_eq!(run["halt"], "Held");
    assert_eq!(
        states(&run),
        "pre Ready, job Running, post Done, next Waiting"
    );
    let jobs = pool.json(&["q", &id])["jobs"].clone();
    assert_eq!(jobs[0]["status"], "Held", "{jobs:#}");
    assert_eq!(node(&run, "pre")["waits"], "the run is held");
    pool.updraft(&["release", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "pre Done, job Done, post Done, next Done");
    assert_eq!(
        (said(&pool, "begin job"), said(&pool, "begin pre1")),
        (2, 1)
    );
}

#[test]
fn a_removed_run_can_be_resumed() {
    let pool = start(&[]);
    let id = pool.submit_text("x.dag", UNDER_WAY);
    for begun in ["begin pre1", "begin job", "begin post1"] {
        until_said(&pool, begun);
    }
    pool.updraft(&["rm", &id, "--reason", "enough"]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(run["status"], "Removed");
    assert!(run["cut"].as_str().unwrap().contains("enough"), "{run:#}");
    for file in FILES {
        pool.home.write(file, "");
    }
    pool.updraft(&["rm", &id]).expect(1).complains(&["removed"]);
    let log = pool.home.lines("log");
    assert!(log.iter().all(|line| line.starts_with("begin")), "{log:?}");
    let plan = pool.updraft(&["dag", "resume", &id, "--dry-run"]).expect(0);
    assert!(plan.out.contains("4 of 4 nodes to run"), "{}", plan.out);
    pool.updraft(&["dag", "resume", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "pre Done, job Done, post Done, next Done");
    for line in ["end pre1", "begin job", "end post1"] {
        let times = if line == "begin job" { 2 } else { 1 };
        assert_eq!(said(&pool, line), times, "{line}");
    }
}

#[test]
fn a_run_is_held_before_its_first_node_and_removed_while_held() {
    let pool = start(&[]);
    let id = pool.submit_text("x.dag", "JOB a job.sub\nSCRIPT PRE a wait 0 a1\n");
    until_said(&pool, "begin a1");
    pool.updraft(&["hold", &id]).expect(0);
    pool.updraft(&["hold", &id]).expect(1).complains(&["held"]);
    pool.updraft(&["rm", &id]).expect(0);
    assert_eq!(ended(&pool, &id)["status"], "Removed");
    // Its script is gone.
    pool.updraft(&["dag", "resume", &id]).expect(0);
    until("script", || said(&pool, "begin a1") == 2);
    pool.home.write("a1", "");
    assert_eq!(states(&ended(&pool, &id)), "a Done");
    assert_eq!(said(&pool, "end a1"), 1);
}
