//! The manager is killed while a node is in each of its states, and comes back: the run ends as it
//! would have, scripts run once more, and a job's result counts once.

use super::{ended, node, program, said, start, states, until_node, until_said};
use crate::home::until;
use crate::pool::Pool;

/// Kills the manager and starts it again.
fn restart(pool: &mut Pool) {
    pool.kill_manager();
    pool.start_manager();
}

/// All jobs of a run that ended, which must be as many as this and without a second start.
#[track_caller]
fn assert_ran_once(pool: &Pool, id: &str, count: usize) {
    let jobs = pool.history(id);
    assert_eq!(jobs.len(), count, "{jobs:#?}");
    for job in jobs {
        let told = (&job["attempts"], &job["exit_code"]);
        assert_eq!(told, (&1.into(), &0.into()), "{job:#}");
    }
}

#[test]
fn a_pre_script_runs_again() {
    let mut pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        "JOB a job.sub\nSCRIPT PRE a wait 0 go\nVARS a do=\"echo job >> HOME/log\"\nRETRY a 1\n",
    );
    until_said(&pool, "begin go");
    pool.kill_manager();
    pool.start_manager();
    until("second time", || said(&pool, "begin go") == 2);
    pool.home.write("go", "");
    let run = ended(&pool, &id);
    assert_eq!(
        (states(&run), node(&run, "a")["attempts"].clone()),
        ("a Done".into(), 1.into())
    );
    // The first did not outlive its manager.
    assert_eq!((said(&pool, "end go"), said(&pool, "job")), (1, 1));
    assert_ran_once(&pool, &id, 1);
}

#[test]
fn a_script_that_ended_without_a_manager_runs_again() {
    let mut pool = start(&[]);
    let text = "JOB a job.sub\nSCRIPT POST a wait 3 go\nRETRY a 1\n";
    let id = pool.submit_text("x.dag", text);
    until_said(&pool, "begin go");
    pool.kill_manager();
    pool.home.write("go", "");
    until_said(&pool, "end go");
    pool.start_manager();
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "a Failed");
    assert_eq!(node(&run, "a")["attempts"], 2);
    assert_eq!(
        node(&run, "a")["reason"],
        "its POST script exited with code 3"
    );
    // Once for nobody, and once for each attempt.
    assert_eq!(said(&pool, "end go"), 3);
    assert_ran_once(&pool, &id, 2);
}

#[test]
fn a_deferred_script_has_its_turn_again() {
    let mut pool = start(&[]);
    program(
        &pool.home,
        "later",
        "#!/bin/sh\necho later >> HOME/log\n[ -e HOME/go ] || exit 4\n",
    );
    let text = "JOB a job.sub\nSCRIPT DEFER 4 600 PRE a later\n";
    let id = pool.submit_text("x.dag", text);
    until("the wait", || {
        let run = pool.json(&["dag", "status", &id]);
        node(&run, "a")["waits"] == "its PRE script is deferred"
    });
    pool.kill_manager();
    pool.home.write("go", "");
    // The wait is not remembered: rather too early than never.
    pool.start_manager();
    let run = ended(&pool, &id);
    assert_eq!((states(&run), said(&pool, "later")), ("a Done".into(), 2));
    assert_eq!(node(&run, "a")["attempts"], 1);
}

#[test]
fn files_that_are_being_taken_in_are_taken_in_again() {
    let mut pool = start(&[(
        "read.sub",
        "executable = /bin/sh
         transfer_executable = false
         transfer_input_files = made
         arguments = \"-c 'wc -c < made >> HOME/log'\"
         queue\n",
    )]);
    // Large enough that a moment passes while it is read.
    program(
        &pool.home,
        "make",
        "#!/bin/sh\ndd if=/dev/zero of=made bs=1048576 count=100 2>/dev/null\n",
    );
    let id = pool.submit_text("x.dag", "JOB a read.sub\nSCRIPT PRE a make\n");
    until("files", || {
        let run = pool.json(&["dag", "status", &id]);
        let state = node(&run, "a")["status"].clone();
        state != "Waiting" && state != "Pre"
    });
    restart(&mut pool);
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "a Done", "{run:#}");
    assert_eq!(pool.home.lines("log"), ["104857600"]);
    assert_ran_once(&pool, &id, 1);
}

#[test]
fn a_node_runs_on_and_its_result_counts_once() {
    // Whether the job ends while there is no manager.
    for ends_before in [false, true] {
        let mut pool = start(&[]);
        let id = pool.submit_text(
            "x.dag",
            "JOB a job.sub
             VARS a do=\"echo begin >> HOME/log; until [ -e HOME/go ]; do sleep 0.02; done; \
                 echo end >> HOME/log\"
             RETRY a 3
             SCRIPT POST a say 0 post $RETRY $RETURN
             JOB b job.sub
             PARENT a CHILD b\n",
        );
        until_said(&pool, "begin");
        pool.kill_manager();
        if ends_before {
            pool.home.write("go", "");
            until_said(&pool, "end");
        }
        pool.start_manager();
        if !ends_before {
            until_node(&pool, &id, "b", "Waiting");
        }
        pool.home.write("go", "");
        assert_eq!(states(&ended(&pool, &id)), "a Done, b Done");
        assert_eq!(pool.home.lines("log"), ["begin", "end", "post 0 0"]);
        assert_ran_once(&pool, &id, 2);
    }
}

#[test]
fn the_end_of_a_run_goes_on() {
    let mut pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        "JOB a job.sub
         VARS a do=\"exit 1\"
         FINAL end job.sub
         SCRIPT PRE end wait 0 pre
         VARS end do=\"echo begin end $(DAG_STATUS) >> HOME/log; \
             until [ -e HOME/job ]; do sleep 0.02; done\"
         SCRIPT POST end wait 0 post\n",
    );
    for (begun, go) in [
        ("begin pre", "pre"),
        ("begin end 2", "job"),
        ("begin post", "post"),
    ] {
        until_said(&pool, begun);
        restart(&mut pool);
        pool.home.write(go, "");
    }
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "a Failed, end Done");
    assert_eq!(run["status"], "Completed");
    assert_eq!(said(&pool, "begin end 2"), 1);
}

#[test]
fn a_cut_run_is_cut_for_good() {
    let mut pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        "JOB a job.sub
         VARS a do=\"until grep -q begin HOME/log; do sleep 0.02; done; exit 9\"
         ABORT-DAG-ON a 9 RETURN 4
         JOB b job.sub
         SCRIPT PRE b wait 0 b
         FINAL end job.sub
         SCRIPT PRE end wait 0 end
         VARS end do=\"echo final $(DAG_STATUS) >> HOME/log\"\n",
    );
    until_said(&pool, "begin end");
    restart(&mut pool);
    until("again", || said(&pool, "begin end") == 2);
    pool.home.write("end", "");
    pool.home.write("b", "");
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "a Failed, b Waiting, end Done");
    assert_eq!((said(&pool, "final 3"), said(&pool, "end b")), (1, 0));
    assert_eq!(said(&pool, "begin b"), 1);
}

#[test]
fn a_halt_and_new_limits_are_remembered() {
    let mut pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        "JOB a job.sub
         SCRIPT PRE a wait 0 a
         JOB b job.sub
         CATEGORY ALL_NODES c
         MAXJOBS c 1
         PARENT a CHILD b\n",
    );
    until_said(&pool, "begin a");
    pool.updraft(&["dag", "set", &id, "--max-jobs", "3", "--category", "c=5"])
        .expect(0);
    pool.updraft(&["dag", "halt", &id]).expect(0);
    restart(&mut pool);
    let run = pool.json(&["dag", "status", &id]);
    assert_eq!(
        (&run["halt"], &run["throttles"]["max_jobs"]),
        (&"Halted".into(), &3.into())
    );
    assert_eq!(run["categories"][0]["limit"], 5);
    // A script that ran is one that begins anew, and a halted run begins none.
    assert_eq!(node(&run, "a")["waits"], "the run is halted");
    pool.home.write("a", "");
    pool.updraft(&["dag", "resume", &id]).expect(0);
    assert_eq!(states(&ended(&pool, &id)), "a Done, b Done");
}

#[test]
fn a_service_and_a_provisioner_outlive_the_manager() {
    let mut pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        "PROVISIONER p job.sub
             VARS p do=\"HOME/provide 2; \
                 until [ -e HOME/go ]; do sleep 0.02; done\"
             SERVICE s job.sub
             VARS s do=\"echo begin s >> HOME/log; sleep 600\"
             JOB a job.sub
             VARS a do=\"echo begin a >> HOME/log; until [ -e HOME/go ]; do sleep 0.02; done\"\n",
    );
    until_said(&pool, "begin a");
    until_said(&pool, "begin s");
    restart(&mut pool);
    pool.home.write("go", "");
    let run = ended(&pool, &id);
    assert_eq!(
        (states(&run).as_str(), &run["status"]),
        ("p Done, s Done, a Done", &"Completed".into())
    );
    assert_eq!((said(&pool, "begin a"), said(&pool, "begin s")), (1, 1));
    pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().is_empty());
}
