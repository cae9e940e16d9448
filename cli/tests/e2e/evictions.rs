//! Workers that are drained, what becomes of their jobs, and how many jobs there are at a time.

use crate::home::{Home, until};
use crate::pool::Pool;

/// Waits for a file; asked to end, says so before it does. Says each start, too.
fn waits(more: &str) -> String {
    format!(
        "executable = /bin/sh\ntransfer_executable = false\n\
         arguments = \"-c 'trap \"\"echo saved >> HOME/saved; exit 9\"\" TERM; \
         echo start >> HOME/starts; until [ -e HOME/go ]; do sleep 0.02; done'\"\n{more}\nqueue\n"
    )
}

/// Two workers, of which only the first is there at first, with a job that runs on it.
fn pool_with(description: &str) -> (Pool, String) {
    let mut pool = Pool::of(Home::new(), &[]);
    pool.add_worker("w", &[]);
    let id = pool.submit_text("waits.sub", description);
    until("start", || pool.home.lines("starts").len() == 1);
    pool.add_worker("other", &[]);
    (pool, id)
}

#[test]
fn a_graceful_drain_says_how_far_it_is_and_resumes_by_itself() {
    let (pool, id) = pool_with(&waits(""));
    let refused = pool.updraft(&["worker", "drain", "w", "--check", "Cpus > 1000"]);
    refused.expect(1).complains(&["Cpus > 1000", "false"]);
    pool.until_worker("w", |worker| worker["state"] == "Claimed");
    let drain = [
        "worker",
        "drain",
        "w",
        "--reason",
        "new driver",
        "--resume-on-completion",
    ];
    assert_eq!(pool.json(&drain)["jobs_running"], 1);
    pool.until_worker("w", |worker| {
        worker["state"] == "Draining"
            && worker["drain_mode"] == "graceful"
            && worker["drain_reason"] == "new driver"
    });
    let next = pool.submit_text("true.sub", "executable = /bin/true\nqueue\n");
    pool.wait(&next);
    assert_eq!(pool.job(&next)["worker"], "other");
    pool.home.write("go", "");
    pool.wait(&id);
    assert_eq!(pool.job(&id)["worker"], "w");
    pool.until_worker("w", |worker| worker["state"] == "Unclaimed");
    assert!(pool.home.lines("saved").is_empty());
}

#[test]
fn a_quick_drain_asks_jobs_to_end_and_they_run_elsewhere() {
    let (mut pool, id) = pool_with(&waits("log = job.log"));
    pool.updraft(&["worker", "drain", "w", "--quick"]).expect(0);
    until("start elsewhere", || pool.home.lines("starts").len() == 2);
    assert_eq!(pool.home.lines("saved"), ["saved"]);
    pool.until_worker("w", |worker| {
        worker["state"] == "Drained" && worker["drain_mode"] == "quick"
    });
    pool.home.write("go", "");
    pool.wait(&id);
    assert_eq!(pool.job(&id)["worker"], "other");
    let log = pool.home.read("job.log");
    assert!(log.contains("Job was evicted"), "{log}");
    assert!(log.contains("w is drained"), "{log}");

    // It is drained still when everything begins anew.
    pool.kill_manager();
    pool.start_manager();
    pool.until_worker("w", |worker| worker["drain_mode"] == "quick");
    pool.updraft(&["worker", "resume", "w"]).expect(0);
    pool.until_worker("w", |worker| worker["state"] == "Unclaimed");
}

#[test]
fn a_fast_drain_kills_and_a_job_may_have_had_enough_of_it() {
    let (pool, id) = pool_with(&waits("max_job_restarts = 0\njob_max_vacate_time = 0"));
    pool.updraft(&["worker", "drain", "w", "--fast", "--reason", "smoke"])
        .expect(0);
    pool.until_status(&id, "Held");
    let job = pool.job(&id);
    assert_eq!(job["hold_code"], 26, "{job:#}");
    let reason = job["hold_reason"].as_str().unwrap();
    assert!(
        reason.contains("lost its claim once, the last on w"),
        "{reason}"
    );
    pool.until_worker("w", |worker| worker["state"] == "Drained");
    pool.home.write("go", "");
    pool.updraft(&["release", &id]).expect(0);
    pool.wait(&id);
    assert_eq!(pool.job(&id)["worker"], "other");
}

#[test]
fn a_worker_ends_when_its_last_job_has_ended() {
    let (pool, id) = pool_with(&waits(""));
    pool.updraft(&["worker", "drain", "w", "--exit-on-completion"])
        .expect(0);
    pool.until_worker("w", |worker| worker["state"] == "Draining");
    pool.home.write("go", "");
    pool.wait(&id);
    pool.until_worker("w", |worker| worker["state"] == "Offline");
    pool.until_worker("other", |worker| worker["state"] == "Unclaimed");
}

#[test]
fn jobs_are_made_as_many_at_a_time_as_the_description_says() {
    let mut pool = Pool::of(Home::new(), &[]);
    pool.add_worker("w", &[]);
    let alone = "executable = /bin/sh\ntransfer_executable = false\n\
        arguments = \"-c 'mkdir HOME/lock || exit 3; echo $(Process) >> HOME/starts; sleep 0.05; rmdir HOME/lock'\"\n\
        max_materialize = 1\nqueue 5\n";
    let id = pool.submit_text("alone.sub", alone);
    pool.wait(&id);
    assert_eq!(pool.home.lines("starts"), ["0", "1", "2", "3", "4"]);
}
