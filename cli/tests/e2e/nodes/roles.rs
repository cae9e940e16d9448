//! FINAL, PROVISIONER and SERVICE nodes.

use serde_json::Value;

use super::{ended, finish, node, said, start, start_idle, states, until_node, until_said};

#[test]
fn a_final_node_runs_last_and_decides() {
    let pool = start(&[]);
    let tells = "FINAL end job.sub
         VARS end do=\"echo final $(DAG_STATUS) $(FAILED_COUNT) >> HOME/log; exit $(result:0)\"
         SCRIPT POST end say 0 post $DAG_STATUS $FAILED_COUNT $RETURN $DONE_COUNT\n";
    // What it tells, and how it and the run end.
    for (lines, told, result) in [
        (
            "JOB a job.sub\n",
            ["final 0 0", "post 0 0 0 1"],
            "Completed",
        ),
        (
            "JOB a job.sub\nVARS a do=\"exit 1\"\nJOB b job.sub\nPARENT a CHILD b\n",
            ["final 2 1", "post 2 1 0 0"],
            "Completed",
        ),
        (
            "JOB a job.sub NOOP\n",
            ["final 0 0", "post 0 0 0 1"],
            "Completed",
        ),
        (
            "JOB a job.sub DONE\n",
            ["final 0 0", "post 0 0 0 1"],
            "Completed",
        ),
    ] {
        pool.home.write("log", "");
        let run = finish(&pool, "x", &format!("{lines}{tells}"));
        assert_eq!(run["status"], result, "{lines}{run:#}");
        assert_eq!(pool.home.lines("log"), told, "{lines}");
        assert_eq!(node(&run, "end")["role"], "final");
    }
    for lines in [
        "VARS end do=\"exit 3\"\n",
        "SCRIPT PRE end say 3 no\n",
        "SCRIPT POST end say 3 no\n",
    ] {
        let run = finish(
            &pool,
            "y",
            &format!("JOB a job.sub\nFINAL end job.sub\n{lines}"),
        );
        assert_eq!(states(&run), "a Done, end Failed", "{lines}");
        assert_eq!(
            (&run["status"], &run["exit"]),
            (&"Failed".into(), &1.into())
        );
    }
}

#[test]
fn a_final_node_runs_when_its_run_is_removed() {
    // Removed while a node runs, while a run is halted, and while it is held.
    for steps in [&["rm"][..], &["dag halt", "rm"], &["hold", "rm"]] {
        let pool = start(&[]);
        let id = pool.submit_text(
            "x.dag",
            "JOB a job.sub
             VARS a do=\"echo begin a >> HOME/log; sleep 600\"
             JOB b job.sub
             PARENT a CHILD b
             FINAL end job.sub
             SCRIPT PRE end say 0 pre $DAG_STATUS
             VARS end do=\"echo final $(DAG_STATUS) >> HOME/log\"\n",
        );
        until_said(&pool, "begin a");
        for step in steps {
            let words: Vec<&str> = step.split(' ').chain([id.as_str()]).collect();
            pool.updraft(&words).expect(0);
        }
        let run = ended(&pool, &id);
        assert_eq!(states(&run), "a Waiting, b Waiting, end Done", "{steps:?}");
        assert_eq!(run["status"], "Completed", "{steps:?}");
        assert_eq!(
            pool.home.lines("log"),
            ["begin a", "pre 4", "final 4"],
            "{steps:?}"
        );
        pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_final_node_that_hangs_can_be_removed() {
    let pool = start(&[]);
    for (lines, begun) in [
        (
            "VARS end do=\"echo begin job >> HOME/log; sleep 600\"\n",
            "begin job",
        ),
        ("SCRIPT PRE end wait 0 pre\n", "begin pre"),
        ("SCRIPT POST end wait 0 post\n", "begin post"),
    ] {
        // After all nodes, and after a removal, which lets it begin.
        for (node, removals) in [("true", 1), ("echo begin a >> HOME/log; sleep 600", 2)] {
            pool.home.write("log", "");
            let text = format!("JOB a job.sub\nVARS a do=\"{node}\"\nFINAL end job.sub\n{lines}");
            let id = pool.submit_text("x.dag", &text);
            for removal in 0..removals {
                let last = removal + 1 == removals;
                until_said(&pool, if last { begun } else { "begin a" });
                pool.updraft(&["rm", &id]).expect(0);
            }
            let run = ended(&pool, &id);
            let told = (&run["status"], &super::node(&run, "end")["status"]);
            assert_eq!(told, (&"Failed".into(), &"Failed".into()), "{lines}{run:#}");
            assert_eq!(said(&pool, begun), 1, "{lines}");
            pool.updraft(&["rm", &id])
                .expect(1)
                .complains(&["it is failed"]);
            pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().is_empty());
        }
    }
}

#[test]
fn nobody_starts_before_the_provisioner_is_ready() {
    let pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        "PROVISIONER p job.sub
         VARS p do=\"echo begin p >> HOME/log; until [ -e HOME/one ]; do sleep 0.02; done; \
             HOME/provide 1; until [ -e HOME/two ]; do sleep 0.02; done; \
             HOME/provide 2; until [ -e HOME/go ]; do sleep 0.02; done\"
         JOB a job.sub
         SCRIPT PRE a say 0 pre a\n",
    );
    until_said(&pool, "begin p");
    let waits = |what: &str| {
        let run = pool.json(&["dag", "status", &id]);
        assert_eq!(node(&run, "a")["waits"], what);
        assert_eq!(node(&run, "p")["role"], "provisioner");
    };
    waits("the provisioner is not ready");
    // It says that it has begun, which is not enough.
    pool.home.write("one", "");
    waits("the provisioner is not ready");
    pool.home.write("two", "");
    until_node(&pool, &id, "a", "Done");
    let run = pool.json(&["dag", "status", &id]);
    assert_eq!(
        (&run["status"], &node(&run, "p")["status"]),
        (&"Running".into(), &"Running".into())
    );
    pool.home.write("go", "");
    assert_eq!(states(&ended(&pool, &id)), "p Done, a Done");
}

#[test]
fn without_its_provisioner_nothing_runs_but_the_end() {
    let pool = start(&[]);
    let run = finish(
        &pool,
        "x",
        "PROVISIONER p job.sub
         VARS p do=\"exit 1\"
         RETRY p 1
         JOB a job.sub
         JOB b job.sub
         PARENT a CHILD b
         FINAL end job.sub
         VARS end do=\"echo final $(DAG_STATUS) $(FAILED_COUNT) >> HOME/log; exit 1\"\n",
    );
    assert_eq!(states(&run), "p Failed, a Futile, b Futile, end Failed");
    assert_eq!(node(&run, "p")["attempts"], 2);
    assert_eq!(pool.home.lines("log"), ["final 2 1"]);
}

#[test]
fn a_service_lasts_as_long_as_its_run() {
    let pool = start(&[]);
    let service = "SERVICE s job.sub
         VARS s do=\"echo begin s >> HOME/log; sleep 600\"
         SCRIPT POST s say 0 post s\n";
    for (lines, status, end) in [
        (
            "JOB a job.sub\nVARS a do=\"until grep -q s HOME/log; do sleep 0.02; done\"\n",
            "Completed",
            "Done",
        ),
        (
            "JOB a job.sub\nVARS a do=\"until grep -q s HOME/log; do sleep 0.02; done; exit 1\"\n",
            "Failed",
            "Failed",
        ),
    ] {
        pool.home.write("log", "");
        let run = finish(&pool, "x", &format!("{service}{lines}"));
        assert_eq!(
            (&run["status"], &node(&run, "a")["status"]),
            (&status.into(), &end.into())
        );
        assert_eq!(node(&run, "s")["role"], "service");
        assert_eq!(node(&run, "s")["status"], "Done", "{run:#}");
        pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().is_empty());
        assert_eq!(pool.home.lines("log"), ["begin s"]);
    }
    // One that fails is nobody's misfortune; it waits for a FINAL node. The script still runs when it
    // has written its line: the node that lasts until then lasts a moment longer.
    pool.home.write("log", "");
    let run = finish(
        &pool,
        "y",
        "SERVICE s job.sub
         VARS s do=\"exit 1\"
         RETRY s 1
         SERVICE t job.sub
         SCRIPT PRE t say 1 pre t
         JOB a job.sub
         VARS a do=\"until grep -q t HOME/log; do sleep 0.02; done; sleep 0.3\"\n",
    );
    assert_eq!(run["status"], "Completed", "{run:#}");
    assert_eq!(node(&run, "t")["status"], "Failed");
}

#[test]
fn a_service_that_nobody_runs_holds_up_nothing() {
    let mut pool = start_idle(&[(
        "never.sub",
        "executable = /bin/true\ntransfer_executable = false\nrequest_cpus = 64\nqueue\n",
    )]);
    let id = pool.submit_text("x.dag", "SERVICE s never.sub\nJOB a job.sub\n");
    pool.add_worker("w", &[]);
    let run = ended(&pool, &id);
    assert_eq!(
        (&run["status"], &node(&run, "a")["status"]),
        (&"Completed".into(), &"Done".into())
    );
    let left = pool.json(&["q"])["jobs"].clone();
    assert_eq!(left, Value::Array(Vec::new()));
}

#[test]
fn what_a_failed_provisioner_kept_from_running_runs_when_it_is_retried() {
    let pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        "PROVISIONER p job.sub
         VARS p do=\"test -e HOME/there\"
         JOB a job.sub
         JOB b job.sub
         PARENT a CHILD b\n",
    );
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "p Failed, a Futile, b Futile");
    pool.home.write("there", "");
    let ran = pool.updraft(&["dag", "retry", &id]).expect(0);
    assert!(ran.out.contains("3 of 3 nodes to run"), "{}", ran.out);
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "p Done, a Done, b Done");
}

#[test]
fn a_final_node_alone_is_no_reason_to_retry() {
    let pool = start(&[]);
    let id = pool.submit_text("x.dag", "JOB a job.sub\nFINAL f job.sub\n");
    assert_eq!(states(&ended(&pool, &id)), "a Done, f Done");
    let ran = pool.updraft(&["dag", "retry", &id]);
    ran.expect(1).complains(&["none of its nodes failed"]);
}
