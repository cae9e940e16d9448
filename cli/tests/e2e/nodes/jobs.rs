//! JOB, SUBMIT-DESCRIPTION, DONE, VARS, ALL_NODES, REJECT, SET_JOB_ATTR: what a node's jobs are.

use serde_json::Value;

use super::{ended, finish, node, start, states};
use crate::home::until;

#[test]
fn a_description_may_be_a_file_a_name_or_inline() {
    let pool = start(&[("sub/here.sub", super::JOB), ("sub/data", "in sub\n")]);
    let run = finish(
        &pool,
        "x",
        "SUBMIT-DESCRIPTION shared {
             executable = /bin/sh
             transfer_executable = false
             arguments = \"-c 'echo $(JOB) $(word) >> HOME/log'\"
         }
         JOB file here.sub DIR sub
         VARS file do=\"echo $(JOB) >> HOME/log\"
         JOB named shared
         VARS named word=\"one\"
         JOB inline {
             executable = /bin/sh
             transfer_executable = false
             transfer_input_files = data
             arguments = \"-c 'cat data >> HOME/log'\"
         } DIR sub
         JOB tagged @=end
             executable = /bin/sh
             transfer_executable = false
             arguments = \"-c 'echo $(JOB) >> HOME/log'\"
             queue 2
         @end
         JOB noop nowhere.sub NOOP
         SCRIPT PRE noop say 0 pre noop
         SCRIPT POST noop say 0 post noop $JOB_COUNT
         JOB done job.sub DONE
         SCRIPT PRE done say 1 pre done
         JOB told job.sub
         DONE told
         PARENT done told CHILD named\n",
    );
    assert_eq!(run["status"], "Completed", "{run:#}");
    assert_eq!(node(&run, "done")["attempts"], 0);
    assert_eq!(node(&run, "told")["attempts"], 0);
    let mut lines = pool.home.lines("log");
    lines.sort();
    let expected = [
        "file",
        "in sub",
        "named one",
        "post noop 0",
        "pre noop",
        "tagged",
        "tagged",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_description_may_be_written_while_the_dag_runs() {
    let late = "executable = /bin/sh
         transfer_executable = false
         arguments = \"-c 'echo $(JOB) $(word) $(RETRY) >> HOME/log; exit $(code)'\"
         queue\n";
    let pool = start(&[("late.txt", late)]);
    let id = pool.submit_text(
        "x.dag",
        "JOB a a.sub
         SCRIPT PRE a /bin/cp late.txt a.sub
         VARS a word=\"first\" code=\"0\"
         JOB make job.sub
         VARS make do=\"cp HOME/late.txt b.sub\"
         SCRIPT POST make /bin/cp late.txt b.sub
         JOB b b.sub
         VARS b word=\"second\" code=\"4\"
         RETRY b 1
         PARENT make CHILD b
         JOB c job.sub
         SCRIPT POST c /bin/true
         JOB never never.sub
         PARENT c CHILD never\n",
    );
    let run = ended(&pool, &id);
    assert_eq!(
        states(&run),
        "a Done, make Done, b Failed, c Done, never Failed"
    );
    let mut lines = pool.home.lines("log");
    lines.sort();
    assert_eq!(lines, ["a first 0", "b second 0", "b second 1"]);
    let reason = |name| node(&run, name)["reason"].as_str().unwrap().to_owned();
    assert!(
        reason("b").contains("exited with code 4"),
        "{}",
        reason("b")
    );
    assert!(reason("never").contains("never.sub"), "{}", reason("never"));
    // By now they are there, and what is done stays done.
    let args = ["dag", "resume", &id, "--file", "x.dag", "--dry-run"];
    let plan = pool.json(&args);
    let again = plan["again"].as_array().unwrap().iter();
    let again: Vec<&Value> = again.map(|planned| &planned["node"]).collect();
    assert_eq!(again, ["b", "never"], "{plan:#}");
    pool.home.write("y.dag", "JOB a a1.sub\n");
    let checked = pool.updraft(&["dag", "check", "y.dag"]);
    checked.expect(2).complains(&["a1.sub", "no such file"]);
}

#[test]
fn vars_are_macros_and_attributes() {
    let pool = start(&[(
        "ad.sub",
        "executable = /bin/sh
         transfer_executable = false
         late = of the description
         if defined early
           first = $(early)
         else
           first = none
         endif
         requirements = Region == \"north\" && Depth == $INT(depth) && DAGNodeName == \"$(JOB)\" \
             && DAGParentNodeNames == \"$(DAG_PARENT_NAMES)\" && DAGManNodeRetry == 0
         arguments = \"-c 'echo $(JOB) $(first) $(late) >> HOME/log'\"
         queue\n",
    )]);
    let run = finish(
        &pool,
        "x",
        "JOB a ad.sub
         JOB b ad.sub
         VARS a PREPEND early=\"yes\" late=\"before\" +Region=\"\\\"north\\\"\" My.Depth=\"3\" depth=\"3\"
         VARS b APPEND late=\"after\" +Region=\"\\\"north\\\"\" My.Depth=\"4\" depth=\"4\"
         PARENT a CHILD b\n",
    );
    assert_eq!(states(&run), "a Done, b Done", "{run:#}");
    let lines = pool.home.lines("log");
    assert_eq!(lines, ["a yes of the description", "b none after",]);

    // An attribute that no machine is right for.
    let id = pool.submit_text(
        "y.dag",
        "JOB a ad.sub\nVARS a +Region=\"\\\"south\\\"\" My.Depth=\"3\" depth=\"3\"\n",
    );
    until("idle", || {
        !pool.json(&["q", &id])["jobs"]
            .as_array()
            .unwrap()
            .is_empty()
    });
    let job = pool.json(&["q", &id])["jobs"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let why = pool.why(&[&job]).to_string();
    assert!(why.contains("Region"), "{why}");
    pool.updraft(&["rm", &id]).expect(0);
    assert_eq!(ended(&pool, &id)["status"], "Removed");
}

#[test]
fn all_nodes_means_the_ordinary_ones_of_its_file() {
    let pool = start(&[("inner.dag", "JOB in job.sub\n")]);
    let run = finish(
        &pool,
        "x",
        "JOB a job.sub
         JOB b job.sub
         SPLICE s inner.dag
         FINAL end job.sub
         SCRIPT PRE all_nodes say 0 $JOB $MAX_RETRIES
         RETRY All-Nodes 4
         RETRY b 2
         VARS ALL_NODES do=\"true\"\n",
    );
    assert_eq!(run["status"], "Completed", "{run:#}");
    let mut lines = pool.home.lines("log");
    lines.sort();
    assert_eq!(lines, ["a 4", "b 2"]);
}

#[test]
fn reject_keeps_a_file_from_running() {
    let pool = start(&[("x.dag", "JOB a job.sub\nREJECT\n")]);
    let ran = pool.updraft(&["submit", "x.dag"]).expect(2);
    ran.complains(&["x.dag:2", "REJECT"]);
    pool.assert_empty();
}

#[test]
fn set_job_attr_is_told_with_the_run() {
    let pool = start(&[]);
    let run = finish(
        &pool,
        "x",
        "SET_JOB_ATTR Project = \"wind\"\nSET_JOB_ATTR Year = 2000 + 26\nJOB a job.sub NOOP\n",
    );
    let told = serde_json::json!({ "Project": "\"wind\"", "Year": "2000 + 26" });
    assert_eq!(run["attributes"], told, "{run:#}");
}
