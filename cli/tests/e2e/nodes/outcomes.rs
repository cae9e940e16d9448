//! RETRY, ABORT-DAG-ON, TOLERANCE, and nodes with many jobs: what comes of failures.

use serde_json::Value;

use super::{ended, finish, node, program, said, start, states, until_said};
use crate::home::until;

#[test]
fn retry_runs_the_whole_node_again() {
    let pool = start(&[]);
    let run = finish(
        &pool,
        "x",
        "JOB a job.sub
         RETRY a 3
         SCRIPT PRE a say 0 pre $RETRY
         VARS a do=\"echo job $(RETRY) >> HOME/log; [ $(RETRY) = 2 ]\"
         JOB b job.sub
         RETRY b 5 UNLESS-EXIT 2
         VARS b do=\"exit $(Retry)\"
         JOB c job.sub
         RETRY c 2
         SCRIPT POST c say 1 post $RETRY $MAX_RETRIES
         JOB after job.sub
         PARENT a CHILD after\n",
    );
    assert_eq!(
        states(&run),
        "a Done, b Done, c Failed, after Done",
        "{run:#}"
    );
    let attempts = |run: &Value, name: &str| node(run, name)["attempts"].as_u64().unwrap();
    assert_eq!((attempts(&run, "a"), attempts(&run, "c")), (3, 3));
    let mut lines = pool.home.lines("log");
    lines.retain(|line| !line.starts_with("post"));
    assert_eq!(
        lines,
        ["pre 0", "job 0", "pre 1", "job 1", "pre 2", "job 2"]
    );
    let posts: usize = (0..3)
        .map(|retry| said(&pool, &format!("post {retry} 2")))
        .sum();
    assert_eq!(posts, 3);

    // An exit code that no retry can help ends them, of jobs and of scripts.
    let run = finish(
        &pool,
        "unless",
        "JOB job job.sub
         VARS job do=\"exit $(RETRY) + 1\"
         RETRY job 5 UNLESS-EXIT 2
         VARS job do=\"exit $INT(code)\" code=\"$(RETRY)+1\"
         JOB pre job.sub
         SCRIPT PRE pre say 3
         RETRY pre 5 UNLESS-EXIT 3
         JOB post job.sub
         SCRIPT POST post say 3
         RETRY post 1 UNLESS-EXIT 2\n",
    );
    let tried = ["job", "pre", "post"].map(|name| attempts(&run, name));
    assert_eq!(tried, [2, 1, 2], "{run:#}");
}

/// A DAG in which node `a` ends the run while `b` runs.
fn aborting(lines: &str) -> String {
    format!(
        "JOB a job.sub
         RETRY a 3
         JOB b job.sub
         VARS b do=\"echo begin b >> HOME/log; sleep 600\"
         JOB next job.sub
         PARENT a CHILD next
         FINAL end job.sub
         VARS end do=\"echo end $(DAG_STATUS) $(FAILED_COUNT) >> HOME/log; exit $(result:0)\"
         SCRIPT PRE end say 0 final $DAG_STATUS $FAILED_COUNT
         {lines}\n"
    )
}

#[test]
fn abort_dag_on_ends_everything() {
    let wait = "until grep -q begin HOME/log; do sleep 0.02; done";
    let by_job = format!("VARS a do=\"{wait}; exit 10\"");
    // The job, the PRE script, the POST script; what the run exits with.
    let rows = [
        (format!("{by_job}\nABORT-DAG-ON a 10"), 10),
        (format!("{by_job}\nABORT-DAG-ON a 10 RETURN 3"), 3),
        (format!("{by_job}\nABORT-DAG-ON a 10 RETURN 0"), 0),
        (
            "SCRIPT PRE a spoil\nABORT-DAG-ON ALL_NODES 4 RETURN 7".to_owned(),
            7,
        ),
        (
            format!("{by_job}\nSCRIPT POST a say 5\nABORT-DAG-ON a 5 RETURN 6"),
            6,
        ),
    ];
    for (lines, exit) in rows {
        // With a FINAL node, whose result is the run's, and without.
        let whole = aborting(&lines);
        let bare: Vec<&str> = whole
            .lines()
            .filter(|line| !line.contains(" end "))
            .collect();
        for (name, text, status, code) in [
            ("whole", whole.clone(), "Completed", 0),
            (
                "failing",
                format!("{whole}VARS end result=\"1\"\n"),
                "Failed",
                1,
            ),
            (
                "bare",
                bare.join("\n") + "\n",
                if exit == 0 { "Completed" } else { "Failed" },
                exit,
            ),
        ] {
            let pool = start(&[]);
            program(&pool.home, "spoil", &format!("#!/bin/sh\n{wait}\nexit 4\n"));
            let run = finish(&pool, "x", &text);
            let told = (&run["status"], &run["exit"]);
            assert_eq!(
                told,
                (&status.into(), &code.into()),
                "{name}: {text}{run:#}"
            );
            let a = node(&run, "a");
            assert_eq!(
                (&a["status"], &a["attempts"]),
                (&"Failed".into(), &1.into()),
                "{a:#}"
            );
            for name in ["b", "next"] {
                let state = node(&run, name)["status"].as_str().unwrap();
                assert!(["Waiting", "Futile"].contains(&state), "{run:#}");
            }
            assert!(run["cut"].as_str().unwrap().contains('a'), "{run:#}");
            let finals: Vec<String> = pool
                .home
                .lines("log")
                .into_iter()
                .filter(|line| line.contains(" 3 1"))
                .collect();
            let expected: &[&str] = match name {
                "bare" => &[],
                _ => &["final 3 1", "end 3 1"],
            };
            assert_eq!(finals, expected, "{name}");
            // Nothing of it runs on.
            pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().is_empty());
        }
    }
}

#[test]
fn abort_dag_on_looks_at_what_ran_last() {
    let pool = start(&[]);
    // A job with a POST script does not abort; nor does a code of a PRE script that is skipped.
    let run = finish(
        &pool,
        "x",
        "JOB a job.sub
         VARS a do=\"exit 3\"
         SCRIPT POST a say 0
         ABORT-DAG-ON a 3
         JOB b job.sub
         PARENT a CHILD b\n",
    );
    assert_eq!(
        (states(&run).as_str(), &run["cut"]),
        ("a Done, b Done", &Value::Null)
    );

    // Success may abort, too; what did not run is not done, and runs when the run goes on.
    let run = finish(
        &pool,
        "zero",
        "JOB a job.sub
         VARS a do=\"echo job a >> HOME/log\"
         SCRIPT PRE a say 0 pre
         ABORT-DAG-ON a 0
         JOB b job.sub
         PARENT a CHILD b\n",
    );
    assert_eq!(states(&run), "a Waiting, b Waiting", "{run:#}");
    assert_eq!(
        (&run["status"], &run["exit"]),
        (&"Completed".into(), &0.into())
    );
    assert_eq!(said(&pool, "job a"), 0);
}

#[test]
fn a_job_that_fails_takes_the_others_of_its_node_along() {
    let pool = start(&[]);
    let run = finish(
        &pool,
        "x",
        "JOB a job.sub
         VARS a jobs=6 do=\"[ $(Process) != 2 ] || exit 9; sleep 600\"
         SCRIPT POST a say 1 $JOB_COUNT $JOB_ABORT_COUNT $RETURN\n",
    );
    assert_eq!(states(&run), "a Failed");
    assert_eq!(pool.home.lines("log"), ["6 5 9"]);
    let jobs = pool.history(&run["id"].to_string());
    let removed: Vec<&Value> = jobs
        .iter()
        .filter(|job| job["status"] == "Removed")
        .collect();
    assert_eq!((jobs.len(), removed.len()), (6, 5));
    for job in removed {
        let reason = job["removed_reason"].as_str().unwrap();
        assert!(reason.contains("1 of the node's jobs failed"), "{reason}");
    }
    pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().is_empty());
}

#[test]
fn tolerance_says_how_many_jobs_may_fail() {
    let pool = start(&[]);
    // Of four jobs the first `fail` fail, the others wait for them, or for ever.
    let dag = |tolerance: &str, fail: u32, then: &str| {
        format!(
            "JOB a job.sub
             VARS a jobs=4 do=\"[ $(Process) -lt {fail} ] || {{ {then}; exit 0; }}; exit 7\"
             TOLERANCE a {tolerance}\n"
        )
    };
    for (tolerance, fail, state) in [
        ("2", 2, "Done"),
        ("2", 3, "Failed"),
        ("50%", 2, "Done"),
        ("50%", 3, "Failed"),
        ("74%", 3, "Failed"),
        ("75% FAIL-FAST", 3, "Done"),
        ("0", 1, "Failed"),
        ("4 WAIT", 4, "Done"),
    ] {
        let run = finish(&pool, "x", &dag(tolerance, fail, "true"));
        assert_eq!(node(&run, "a")["status"], state, "{tolerance} {fail}");
    }
    // FAIL-FAST, which is the default, removes the others; WAIT lets them end.
    for (tolerance, removed) in [("1", 2), ("1 FAIL-FAST", 2)] {
        let run = finish(&pool, "x", &dag(tolerance, 2, "sleep 600"));
        assert_eq!(node(&run, "a")["status"], "Failed", "{tolerance}");
        let jobs = pool.history(&run["id"].to_string());
        let count = jobs.iter().filter(|job| job["status"] == "Removed").count();
        assert_eq!(count, removed, "{tolerance}");
    }
    let text = dag(
        "1 WAIT",
        2,
        "until [ -e HOME/go ]; do sleep 0.02; done; echo ended >> HOME/log",
    );
    let id = pool.submit_text("wait.dag", &text);
    until("failures", || {
        pool.history_or_nothing(&id).len() + failed(&pool, &id) >= 2
    });
    pool.home.write("go", "");
    let run = ended(&pool, &id);
    assert_eq!(node(&run, "a")["status"], "Failed");
    until_said(&pool, "ended");
    assert_eq!(said(&pool, "ended"), 2);
    let jobs = pool.history(&id);
    assert!(
        jobs.iter().all(|job| job["status"] == "Completed"),
        "{jobs:#?}"
    );
}

/// Jobs of a DAG run that have ended without success.
fn failed(pool: &crate::pool::Pool, id: &str) -> usize {
    let jobs = pool.json(&["history"])["jobs"].clone();
    let id: u64 = id.parse().unwrap();
    let of_run = |job: &&Value| job["run"] == id && job["succeeded"] == false;
    jobs.as_array().unwrap().iter().filter(of_run).count()
}
