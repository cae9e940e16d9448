//! What descriptions say of a job's end, of its time, and of the machine that it gets.

use crate::home::Home;
use crate::pool::Pool;

/// Policies are looked at often: nobody waits a minute for a test.
fn pool() -> Pool {
    let mut pool = Pool::of(Home::new(), &["--policy-interval-s", "0.1"]);
    pool.add_worker("north", &["--attr", "Region = \"north\""]);
    pool
}

/// A description whose program is this line of shell, with more commands.
fn shell(line: &str, more: &str) -> String {
    format!(
        "executable = /bin/sh\ntransfer_executable = false\narguments = \"-c '{line}'\"\n{more}\nqueue\n"
    )
}

/// Writes a line each time that it runs, and ends well the third time.
const THIRD: &str = "echo again >> HOME/tries; test `wc -l < HOME/tries` -ge 3";

#[test]
fn a_job_is_held_for_its_exit_and_goes_on_when_released() {
    let pool = pool();
    let held = "on_exit_hold = ExitCode =?= 3\non_exit_hold_reason = strcat(\"ended with \", ExitCode)\n\
        on_exit_hold_subcode = 7\noutput = said";
    let line = "echo seen; test -e HOME/mended || exit 3";
    let id = pool.submit_text("held.sub", &shell(line, held));
    pool.until_status(&id, "Held");
    let job = pool.job(&id);
    assert_eq!(
        (&job["hold_code"], &job["hold_reason"]),
        (&3.into(), &"ended with 3".into()),
        "{job:#}"
    );
    // What it wrote is there for whoever looks into it.
    assert_eq!(pool.home.read("said"), "seen\n");
    let why = pool.why(&[&id]);
    assert!(why["summary"].as_str().unwrap().contains("ended with 3"));

    pool.home.write("mended", "");
    pool.updraft(&["release", &id]).expect(0);
    pool.wait(&id);
    assert_eq!(pool.job(&id)["exit_code"], 0);
}

#[test]
fn a_job_runs_until_its_policy_lets_it_leave() {
    let rows = [
        ("max_retries = 5", 0, 3),
        ("max_retries = 1", 1, 2),
        ("max_retries = 5\nretry_until = ExitCode == 1", 1, 1),
        ("on_exit_remove = ExitCode == 0", 0, 3),
        ("on_exit_remove = NumJobCompletions >= 4", 0, 4),
    ];
    let pool = pool();
    for (at, (policy, code, runs)) in rows.into_iter().enumerate() {
        pool.home.write("tries", "");
        let id = pool.submit_text(&format!("{at}.sub"), &shell(THIRD, policy));
        pool.updraft(&["wait", &id]);
        let job = pool.job(&id);
        assert_eq!(job["exit_code"], code, "{policy}: {job:#}");
        assert_eq!(pool.home.lines("tries").len(), runs, "{policy}");
    }
}

#[test]
fn periodic_policies_release_and_remove() {
    let pool = pool();
    let released = "on_exit_hold = ExitCode != 0\nperiodic_release = NumJobStarts < 5";
    let id = pool.submit_text("released.sub", &shell(THIRD, released));
    pool.wait(&id);
    assert_eq!(pool.home.lines("tries").len(), 3);

    let removed = "requirements = Region == \"south\"\nperiodic_remove = time() - QDate >= 1";
    let id = pool.submit_text("removed.sub", &shell("exit 0", removed));
    pool.until_status(&id, "Removed");
    let job = pool.job(&id);
    let said = job.to_string();
    assert!(said.contains("PeriodicRemove expression"), "{job:#}");

    // A worker stops what is held.
    let held = "periodic_hold = JobStatus == 2 && time() - JobCurrentStartDate >= 1";
    let id = pool.submit_text("held.sub", &shell("sleep 1000", held));
    pool.until_status(&id, "Held");
    assert_eq!(pool.job(&id)["hold_code"], 3);
}

#[test]
fn a_run_that_takes_too_long_is_held() {
    let mut pool = pool();
    let id = pool.submit_text(
        "long.sub",
        &shell("sleep 1000", "allowed_execute_duration = 2"),
    );
    pool.until_status(&id, "Running");
    pool.kill_manager();
    pool.start_manager();
    pool.until_status(&id, "Held");
    let job = pool.job(&id);
    assert_eq!(job["hold_code"], 47, "{job:#}");
}

#[test]
fn the_machine_fills_in_what_the_description_leaves_open() {
    let pool = pool();
    let text = "executable = /bin/echo\ntransfer_executable = false\n\
        arguments = $$(Region) $$([TARGET.TotalCpus * 2]) $$(Nobody:none)\n\
        output = $$(Region).out\nqueue\n";
    let id = pool.submit_text("open.sub", text);
    pool.wait(&id);
    assert_eq!(pool.home.read("north.out"), "north 8 none\n");

    let text =
        "executable = /bin/echo\ntransfer_executable = false\narguments = $$(Nobody)\nqueue\n";
    let id = pool.submit_text("nobody.sub", text);
    pool.until_status(&id, "Held");
    let job = pool.job(&id);
    assert_eq!(job["hold_code"], 5, "{job:#}");
    assert!(
        job["hold_reason"].as_str().unwrap().contains("$$(Nobody)"),
        "{job:#}"
    );

    // A node has nobody who mends it.
    pool.home.write("one.dag", "JOB one nobody.sub\n");
    let run = pool.submit("one.dag");
    let ran = pool.updraft(&["wait", &run]);
    assert_ne!(ran.code, Some(0), "{}", ran.out);
    let status = pool.json(&["dag", "status", &run]).to_string();
    assert!(status.contains("$$(Nobody)"), "{status}");
}

#[test]
fn what_nothing_acts_upon_is_said_at_submit() {
    let pool = pool();
    let rows = [
        ("leave_in_queue = true", true),
        ("checkpoint_exit_code = 85", true),
        ("concurrency_limits = db", false),
        ("accounting_group = physics", false),
        ("nice_user = true", false),
        ("max_idle = 5", false),
        ("job_max_vacate_time = 5", false),
        ("retry_request_memory = 1G", false),
    ];
    for (command, is_said) in rows {
        let (name, _) = command.split_once(' ').unwrap();
        pool.home.write("kept.sub", &shell("exit 0", command));
        let ran = pool.updraft(&["submit", "kept.sub"]).expect(0);
        let said = ran.err.contains(&format!("`{name}`"));
        assert_eq!(said, is_said, "{command}: {}", ran.err);
    }
    let id = pool.submit_text(
        "checkpoints.sub",
        &shell("exit 0", "checkpoint_exit_code = 85"),
    );
    let why = pool.why(&[&id]);
    let hints = why["hints"].to_string();
    assert!(hints.contains("HasSelfCheckpointTransfers"), "{why:#}");
}
