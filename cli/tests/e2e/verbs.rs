//! The verbs that act on a queue and tell of it, and their exit codes.

use std::process::Stdio;

use crate::home::{Process, until};
use crate::pool::Pool;

/// Says `one`, waits for `go`, says `two`.
const TALKS: &str = "executable = /bin/sh
transfer_executable = false
arguments = \"-c 'echo start >> HOME/starts; echo one; echo bad >&2; \
    until [ -e HOME/go ]; do sleep 0.02; done; echo two'\"
queue\n";

#[test]
fn held_jobs_wait_for_their_release() {
    let mut pool = Pool::start();
    let id = pool.submit_text("talks.sub", TALKS);
    pool.updraft(&["hold", &id, "--reason", "coffee"]).expect(0);
    let job = pool.job(&id);
    assert_eq!(job["status"], "Held", "{job:#}");
    assert!(
        job["hold_reason"].as_str().unwrap().contains("coffee"),
        "{job:#}"
    );
    let why = pool.why(&[&id]);
    assert_eq!(why["code"], "W003", "{why:#}");
    assert!(
        why["summary"].as_str().unwrap().contains("coffee"),
        "{why:#}"
    );

    // A worker changes nothing about it; another job gets there first.
    pool.add_worker("w", &[]);
    let other = pool.submit_text("true.sub", "executable = /bin/true\nqueue\n");
    pool.wait(&other);
    assert!(pool.home.lines("starts").is_empty());

    pool.updraft(&["release", &id]).expect(0);
    until("start", || pool.home.lines("starts").len() == 1);
    // What runs is stopped, and begins anew.
    pool.updraft(&["hold", &id]).expect(0);
    pool.until_status(&id, "Held");
    pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().is_empty());
    pool.home.write("go", "");
    pool.updraft(&["release", &id]).expect(0);
    pool.wait(&id);
    assert_eq!(pool.home.lines("starts").len(), 2);
    assert_eq!(pool.history(&id)[0]["exit_code"], 0);
}

#[test]
fn removed_jobs_end_without_success() {
    let pool = Pool::with_workers(&["w"]);
    let id = pool.submit_text("talks.sub", TALKS);
    until("start", || pool.home.lines("starts").len() == 1);
    pool.updraft(&["rm", &id, "--reason", "enough"]).expect(0);
    let ran = pool.updraft(&["wait", &id]).expect(1);
    ran.complains(&["removed"]);
    let job = &pool.history(&id)[0];
    assert_eq!(
        (&job["status"], &job["succeeded"]),
        (&"Removed".into(), &false.into())
    );
    assert!(
        job["removed_reason"].as_str().unwrap().contains("enough"),
        "{job:#}"
    );
    pool.until_worker("w", |worker| worker["state"] == "Unclaimed");
    // Over is over.
    for verb in ["hold", "release", "rm"] {
        let ran = pool.updraft(&[verb, &id]);
        assert!(
            matches!(ran.code, Some(1 | 4)),
            "{verb}: {:?} {}",
            ran.code,
            ran.err
        );
    }
}

#[test]
fn a_removed_dag_run_starts_nothing_more() {
    let pool = Pool::with_workers(&["w"]);
    pool.home.write("talks.sub", TALKS);
    pool.home.write(
        "x.dag",
        "JOB a talks.sub\nJOB b talks.sub\nPARENT a CHILD b\n",
    );
    let id = pool.submit("x.dag");
    until("start", || pool.home.lines("starts").len() == 1);
    pool.updraft(&["rm", &id]).expect(0);
    pool.updraft(&["wait", &id]).expect(1);
    assert_eq!(pool.json(&["dag", "status", &id])["status"], "Removed");
    pool.until_worker("w", |worker| worker["state"] == "Unclaimed");
    let queue = pool.json(&["q"]);
    assert_eq!(queue["jobs"].as_array().unwrap().len(), 0, "{queue:#}");
    assert_eq!(pool.home.lines("starts").len(), 1);
}

#[test]
fn a_drained_worker_ends_what_it_has_and_takes_nothing() {
    let mut pool = Pool::with_workers(&["w"]);
    let running = pool.submit_text("talks.sub", TALKS);
    until("start", || pool.home.lines("starts").len() == 1);
    let told = pool.json(&["worker", "drain", "w"]);
    assert_eq!(
        (&told["drained"], &told["jobs_running"]),
        (&true.into(), &1.into())
    );
    let next = pool.submit_text("true.sub", "executable = /bin/true\nqueue\n");
    let why = pool.why(&[&next]);
    assert_eq!(
        (&why["code"], &why["workers_drained"]),
        (&"W106".into(), &1.into())
    );

    pool.home.write("go", "");
    pool.wait(&running);
    // It stays drained when its manager or itself begins anew.
    pool.kill_manager();
    pool.start_manager();
    pool.kill_worker("w");
    pool.start_worker("w");
    pool.until_worker("w", |worker| worker["state"] == "Drained");
    pool.updraft(&["wait", &next, "--timeout", "0.2"]).expect(8);

    pool.updraft(&["worker", "resume", "w"]).expect(0);
    pool.wait(&next);
}

#[test]
fn logs_follow_a_job_while_it_runs() {
    let pool = Pool::with_workers(&["w"]);
    let id = pool.submit_text("talks.sub", TALKS);
    until("start", || pool.home.lines("starts").len() == 1);
    let mut command = pool.command(&["logs", "-f", &format!("{id}.0")]);
    let mut follower = Process::start(command.stdout(Stdio::piped()));
    let lines = follower.printed();
    assert_eq!(lines.next().as_deref(), Some("one"));
    // Without -f it ends where the job stands.
    assert_eq!(pool.updraft(&["logs", &id]).expect(0).out, "one\n");
    pool.home.write("go", "");
    assert_eq!(lines.next().as_deref(), Some("two"));
    assert_eq!(lines.next(), None);
    assert_eq!(follower.ended().code, Some(0));
    pool.wait(&id);
    assert_eq!(pool.updraft(&["logs", &id]).expect(0).out, "one\ntwo\n");
    assert_eq!(
        pool.updraft(&["logs", &id, "--stderr"]).expect(0).out,
        "bad\n"
    );
}

#[test]
fn waiting_ends_as_the_work_did_or_in_time() {
    let pool = Pool::with_workers(&["w"]);
    let job = |program: &str| {
        let text = format!("executable = {program}\ntransfer_executable = false\nqueue\n");
        pool.submit_text("x.sub", &text)
    };
    let (good, bad) = (job("/bin/true"), job("/bin/false"));
    let stuck = pool.submit_text("talks.sub", TALKS);
    let rows: [(&[&str], i32); 6] = [
        (&[&good], 0),
        (&[&bad], 1),
        (&[&good, &bad], 1),
        (&[&format!("{good}.0")], 0),
        (&[&stuck, "--timeout", "0.2"], 8),
        (&[&good, "99"], 4),
    ];
    for (args, code) in rows {
        let ran = pool.updraft(&[&["wait"], args].concat());
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
    }
    let told = pool
        .updraft(&["wait", &good, &bad, "-o", "json"])
        .expect(1)
        .json();
    assert_eq!(
        (&told["ids"][0]["succeeded"], &told["ids"][1]["succeeded"]),
        (&true.into(), &false.into())
    );
    let ran = pool.updraft(&["submit", "x.sub", "--wait"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
}

#[test]
fn what_is_not_there_is_said_so() {
    let mut pool = Pool::start();
    let rows: [&[&str]; 16] = [
        &["q", "99"],
        &["q", "99.3"],
        &["history", "99"],
        &["hold", "99"],
        &["release", "99.0"],
        &["rm", "99"],
        &["why", "99"],
        &["logs", "99"],
        &["wait", "99"],
        &["fetch", "99"],
        &["dag", "status", "99"],
        &["dag", "retry", "99"],
        &["study", "show", "99"],
        &["study", "best", "99"],
        &["worker", "drain", "nobody"],
        &["worker", "resume", "nobody"],
    ];
    for args in rows {
        let ran = pool.updraft(args);
        assert_eq!(ran.code, Some(4), "{args:?}: {}{}", ran.out, ran.err);
        let name = args.last().unwrap();
        assert!(ran.err.contains(name), "{args:?}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{args:?}: {}", ran.err);
    }
    pool.kill_manager();
    for args in [&["q"], &["status"]] {
        pool.updraft(args).expect(6).complains(&["127.0.0.1:"]);
    }
}
