//! DAG runs as graphs: joins, splices, sub-DAGs, and runs as things that last. What a node does by
//! itself is in other files.
//!
//! Every node runs `step.sh`, which writes the node's name to `log` and then does what the file
//! `on/NODE` says; scripts run `script.sh`, which does likewise with their arguments.

use std::process::Stdio;

use serde_json::Value;

use crate::home::{Home, Process, Ran, eventually, run, until};
use crate::pool::Pool;

const STEP: [(&str, &str); 3] = [
    (
        "step.sub",
        "executable = HOME/step.sh\narguments = $(JOB) $(more:)\ntransfer_output_files = \"\"\n\
         queue\n",
    ),
    (
        "step.sh",
        "#!/bin/sh\necho \"$*\" >> HOME/log\nif [ -e \"HOME/on/$1\" ]; then . \"HOME/on/$1\"; fi\n",
    ),
    (
        "script.sh",
        "echo \"$*\" >> HOME/log\nif [ -e \"HOME/on/$1-$2\" ]; then . \"HOME/on/$1-$2\"; fi\n",
    ),
];

/// A directory with the step, the script and these files.
fn home_with(files: &[(&str, &str)]) -> Home {
    let home = Home::with(&STEP);
    for (name, text) in files {
        home.write(name, text);
    }
    home
}

/// A manager and a worker in such a directory.
fn pool_with(files: &[(&str, &str)]) -> Pool {
    let mut pool = Pool::of(home_with(files), &[]);
    pool.add_worker("w", &[]);
    pool
}

/// The document of a run, when it has ended.
#[track_caller]
fn ended(pool: &Pool, id: &str) -> Value {
    let ran = pool.updraft(&["wait", "--timeout", "50", id]);
    let run = status(pool, id);
    assert!(matches!(ran.code, Some(0 | 1)), "{}{run:#}", ran.err);
    run
}

#[track_caller]
fn status(pool: &Pool, id: &str) -> Value {
    pool.json(&["dag", "status", id])
}

/// Submits a DAG file and waits for its end.
#[track_caller]
fn ran(pool: &Pool, file: &str) -> Value {
    ended(pool, &pool.submit(file))
}

fn node<'a>(run: &'a Value, name: &str) -> &'a Value {
    let nodes = run["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["name"] == name);
    found.unwrap_or_else(|| panic!("no node {name}: {run:#}"))
}

fn state<'a>(run: &'a Value, name: &str) -> &'a str {
    node(run, name)["status"].as_str().unwrap()
}

fn reason<'a>(run: &'a Value, name: &str) -> &'a str {
    node(run, name)["reason"].as_str().unwrap_or_default()
}

fn parents(run: &Value, name: &str) -> Vec<String> {
    let parents = node(run, name)["parents"].as_array().unwrap();
    let name = |parent: &Value| parent.as_str().unwrap().to_owned();
    parents.iter().map(name).collect()
}

/// The states of all nodes, `a Done, b Futile`, in the DAG's order.
fn states(run: &Value) -> String {
    let nodes = run["nodes"].as_array().unwrap().iter();
    let told = nodes.map(|node| {
        let (name, status) = (node["name"].as_str(), node["status"].as_str());
        format!("{} {}", name.unwrap(), status.unwrap())
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The run of a node that is a sub-DAG.
#[track_caller]
fn subrun(pool: &Pool, id: &str, name: &str) -> String {
    eventually("sub-DAG", || {
        let run = status(pool, id);
        Some(node(&run, name)["subrun"].as_u64()?.to_string())
    })
}

#[track_caller]
fn until_state(pool: &Pool, id: &str, name: &str, wanted: &str) {
    until("a node's state", || {
        state(&status(pool, id), name) == wanted
    });
}

/// Lines of the log, in the order of the alphabet.
fn sorted_log(home: &Home) -> Vec<String> {
    let mut lines = home.lines("log");
    lines.sort();
    lines
}

fn times(home: &Home, line: &str) -> usize {
    home.lines("log").iter().filter(|own| *own == line).count()
}

/// Where each of these lines stands in the log; each once, in this order.
#[track_caller]
fn assert_in_order(home: &Home, lines: &[&str]) {
    let log = home.lines("log");
    let place = |line: &&str| {
        let places: Vec<usize> = (0..log.len()).filter(|at| log[*at] == *line).collect();
        assert_eq!(places.len(), 1, "{line}: {log:#?}");
        places[0]
    };
    let places: Vec<usize> = lines.iter().map(place).collect();
    assert!(places.is_sorted(), "{lines:?}: {log:#?}");
}

// === edges ===

#[test]
fn joins_are_nowhere_to_be_seen() {
    let dag = "JOB a step.sub\nJOB b step.sub\nJOB c step.sub\nJOB d step.sub\nJOB e step.sub\n\
               JOB f step.sub\nPARENT a b c CHILD d e f\nVARS d more=\"$(DAG_PARENT_NAMES)\"\n";
    let pool = pool_with(&[("x.dag", dag), ("on/b", "exit 3\n")]);
    let failed = ran(&pool, "x.dag");
    let id = failed["id"].to_string();
    assert_eq!(
        states(&failed),
        "a Done, b Failed, c Done, d Futile, e Futile, f Futile"
    );
    let counts = ["total", "done", "failed", "futile", "waiting", "running"];
    let counts = counts.map(|of| failed[format!("nodes_{of}")].as_u64().unwrap());
    assert_eq!(counts, [6, 2, 1, 3, 0, 0]);
    assert_eq!(parents(&failed, "f"), ["a", "b", "c"]);
    let shown = pool.updraft(&["dag", "show", "x.dag"]).expect(0).out;
    let dot = pool
        .updraft(&["dag", "dot", "x.dag", "--run", &id])
        .expect(0)
        .out;
    for name in ["a", "b", "c", "d", "e", "f"] {
        let line = |line: &str| line.ends_with(&format!(" {name}"));
        assert!(dot.contains(&format!("[label=\"{name}\"")), "{dot}");
        assert!(shown.lines().any(line), "{shown}");
    }
    assert!(
        shown.contains("6 nodes") && !dot.contains("join"),
        "{shown}{dot}"
    );

    let plan = pool.json(&["dag", "retry", &id, "--dry-run"]);
    assert_eq!(told(&plan), "b Failed, d Futile, e Futile, f Futile");
    assert_eq!(status(&pool, &id)["status"], "Failed");
    pool.home.write("on/b", "");
    pool.updraft(&["dag", "retry", &id]).expect(0);
    assert_eq!(ended(&pool, &id)["nodes_done"], 6);
    assert_eq!(times(&pool.home, "d a,b,c"), 1);
    assert_eq!(times(&pool.home, "a"), 1);
}

/// The nodes of a plan with their states.
fn told(plan: &Value) -> String {
    let again = plan["again"].as_array().unwrap().iter();
    let row = |node: &Value| {
        let (name, status) = (node["node"].as_str(), node["status"].as_str());
        format!("{} {}", name.unwrap(), status.unwrap())
    };
    again.map(row).collect::<Vec<_>>().join(", ")
}

/// Why a node of a plan runs again.
fn why<'a>(plan: &'a Value, name: &str) -> &'a str {
    let again = plan["again"].as_array().unwrap();
    let found = again.iter().find(|node| node["node"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} does not run: {plan:#}"));
    found["why"].as_str().unwrap()
}

#[test]
fn a_weak_child_wants_its_parents_over_and_not_well() {
    let pool = pool_with(&[
        (
            "x.dag",
            "JOB bad step.sub\nJOB good step.sub\nJOB futile step.sub\nJOB weak step.sub\n\
             JOB afterfutile step.sub\nJOB both step.sub\nJOB mixed step.sub\n\
             PARENT bad CHILD futile\n\
             WEAK PARENT bad good CHILD weak\n\
             WEAK PARENT futile CHILD afterfutile\n\
             WEAK PARENT bad CHILD both\nPARENT bad CHILD both\n\
             WEAK PARENT bad CHILD mixed\nPARENT good CHILD mixed\n",
        ),
        (
            "on/bad",
            "until [ -e HOME/go ]; do sleep 0.02; done; exit 1\n",
        ),
    ]);
    let id = pool.submit("x.dag");
    until_state(&pool, &id, "good", "Done");
    assert_eq!(state(&status(&pool, &id), "weak"), "Waiting");
    pool.home.write("go", "");
    let run = ended(&pool, &id);
    assert_eq!(
        states(&run),
        "bad Failed, good Done, futile Futile, weak Done, afterfutile Done, both Futile, \
         mixed Done"
    );
    assert_eq!(run["status"], "Failed");
    assert_eq!(parents(&run, "weak"), ["bad", "good"]);
    assert_in_order(&pool.home, &["bad", "weak"]);
}

// === splices ===

#[test]
fn splices_nest_and_are_parents_and_children() {
    let busy = "mkdir HOME/lock || echo overlap >> HOME/log\nsleep 0.05\nrmdir HOME/lock\n";
    let pool = pool_with(&[
        (
            "top.dag",
            "JOB first step.sub\nJOB last step.sub\n\
             FOREACH r IN (de fr)\nSPLICE $(r) parts/mid.dag\nEND\n\
             SPLICE far inner.dag DIR parts\n\
             PARENT first CHILD de fr\nPARENT de CHILD far\nPARENT far fr CHILD last\n\
             MAXJOBS +one 1\nRETRY de+in+x 1\nINCLUDE more.inc\n",
        ),
        ("more.inc", "VARS fr+in+x more=\"included\"\n"),
        (
            "parts/mid.dag",
            "SPLICE in parts/inner.dag\nJOB m step.sub\nVARS m more=\"$(r)\"\n\
             PARENT in CHILD m\nCATEGORY m +one\n",
        ),
        (
            "parts/inner.dag",
            "JOB x HOME/step.sub\nJOB y here.sub DIR there\nJOB z step.sub\n\
             PARENT x CHILD y z\nCATEGORY ALL_NODES +one\nMAXJOBS +one 3\n",
        ),
        (
            "there/here.sub",
            "executable = HOME/step.sh\narguments = $(JOB) here\n\
            transfer_output_files = \"\"\nqueue\n",
        ),
        (
            "parts/there/here.sub",
            "executable = HOME/step.sh\narguments = $(JOB) far\n\
            transfer_output_files = \"\"\nqueue\n",
        ),
        (
            "parts/step.sub",
            "executable = HOME/step.sh\narguments = $(JOB) part\n\
            transfer_output_files = \"\"\nqueue\n",
        ),
        (
            "on/de+in+x",
            "if [ ! -e HOME/once ]; then touch HOME/once; exit 1; fi\n",
        ),
        ("on/fr+in+x", busy),
        ("on/fr+in+y", busy),
        ("on/fr+in+z", busy),
        ("on/de+in+y", busy),
        ("on/de+in+z", busy),
        ("on/de+m", busy),
        ("on/fr+m", busy),
        ("on/far+x", busy),
        ("on/far+y", busy),
        ("on/far+z", busy),
    ]);
    let run = ran(&pool, "top.dag");
    assert_eq!(run["status"], "Completed", "{run:#}");
    assert_eq!(run["nodes_total"], 13);
    assert_eq!(parents(&run, "far+x"), ["de+m"]);
    assert_eq!(parents(&run, "de+m"), ["de+in+y", "de+in+z"]);
    assert_eq!(parents(&run, "last"), ["fr+m", "far+y", "far+z"]);
    assert_eq!(node(&run, "de+in+x")["attempts"], 2);
    let home = &pool.home;
    for line in [
        "de+m de",
        "fr+m fr",
        "fr+in+x included",
        "de+in+y here",
        "far+y far",
    ] {
        assert_eq!(times(home, line), 1, "{line}: {:#?}", home.lines("log"));
    }
    assert_eq!(times(home, "far+z part"), 1);
    assert_eq!(times(home, "overlap"), 0);
    assert_in_order(
        home,
        &[
            "first",
            "de+in+y here",
            "de+m de",
            "far+x",
            "far+y far",
            "last",
        ],
    );
    assert_eq!(run["categories"][0]["limit"], 1);
}

#[test]
fn pins_tie_splices_by_their_numbers() {
    let noop = "JOB a1 - NOOP\nJOB a2 - NOOP\nPIN_OUT a1 1\nPIN_OUT a2 2\n";
    let middle = "JOB b1 - NOOP\nJOB b2 - NOOP\nJOB b3 - NOOP\nPIN_IN b1 1\nPIN-IN b2 1\n\
                  pin_in b3 2\nPIN_OUT b1 1\nPIN_OUT b2 2\nPIN_OUT b3 3\n";
    let last = "JOB c - NOOP\nPIN_IN c 1\nPIN_IN c 2\nPIN_IN c 3\n";
    let pool = pool_with(&[
        (
            "x.dag",
            "SPLICE A a.dag\nSPLICE B b.dag\nSPLICE C c.dag\nCONNECT A B\nCONNECT B C\n",
        ),
        ("a.dag", noop),
        ("b.dag", middle),
        ("c.dag", last),
        ("bad.dag", "SPLICE A a.dag\nSPLICE C c.dag\nCONNECT A C\n"),
    ]);
    let run = ran(&pool, "x.dag");
    assert_eq!(run["status"], "Completed", "{run:#}");
    assert_eq!(parents(&run, "B+b2"), ["A+a1"]);
    assert_eq!(parents(&run, "B+b3"), ["A+a2"]);
    assert_eq!(parents(&run, "C+c"), ["B+b1", "B+b2", "B+b3"]);
    assert!(
        pool.json(&["history"])["jobs"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let bad = pool.updraft(&["submit", "bad.dag"]).expect(2);
    bad.complains(&["bad.dag:3:", "PIN"]);
}

// === sub-DAGs ===

#[test]
fn a_sub_dag_may_be_there_or_be_written_by_what_comes_before_it() {
    let pool = pool_with(&[
        (
            "x.dag",
            "SUBDAG EXTERNAL known known.dag\nVARS known more=\"given\"\nPRIORITY known 5\n\
             JOB write write.sub\nSUBDAG EXTERNAL written out/made.dag\nPARENT write CHILD written\n\
             SUBDAG EXTERNAL scripted scripted.dag DIR below\n\
             SCRIPT PRE scripted /bin/sh make.sh $NODE\n\
             SUBDAG EXTERNAL nothing absent.dag NOOP\nSUBDAG EXTERNAL over absent.dag DONE\n\
             JOB last step.sub\nPARENT known written scripted nothing over CHILD last\n",
        ),
        (
            "known.dag",
            "JOB k1 step.sub\nSUBDAG EXTERNAL deep parts/deep.dag\nFINAL kf step.sub\n\
             PARENT k1 CHILD deep\nPRIORITY k1 2\n",
        ),
        (
            "parts/deep.dag",
            "SUBDAG EXTERNAL deeper parts/deeper.dag\n",
        ),
        ("parts/deeper.dag", "SPLICE s parts/s.dag\nJOB d step.sub\n"),
        ("parts/s.dag", "JOB d step.sub\nVARS d more=\"spliced\"\n"),
        (
            "write.sub",
            "executable = /bin/sh\ntransfer_executable = false\n\
             arguments = \"-c 'echo JOB w HOME/step.sub > made.dag'\"\n\
             transfer_output_files = made.dag\n\
             transfer_output_remaps = \"made.dag = out/made.dag\"\nqueue\n",
        ),
        (
            "below/make.sh",
            "echo JOB p here.sub > scripted.dag\n\
             printf 'executable = HOME/step.sh\\narguments = made in $(more:)\\n\
             transfer_output_files = \"\"\\nqueue\\n' > here.sub\n",
        ),
    ]);
    let id = pool.submit("x.dag");
    let run = ended(&pool, &id);
    assert_eq!(run["status"], "Completed", "{run:#}");
    assert_eq!(
        sorted_log(&pool.home),
        [
            "d given",
            "k1 given",
            "kf given",
            "last",
            "made in",
            "s+d spliced",
            "w"
        ]
    );
    assert_eq!(node(&run, "over")["subrun"], Value::Null);
    assert_eq!(node(&run, "nothing")["subrun"], Value::Null);
    let known = subrun(&pool, &id, "known");
    let inner = status(&pool, &known);
    assert_eq!(
        (&inner["parent"], &inner["parent_node"]),
        (&run["id"], &"known".into())
    );
    let history = pool.json(&["history"])["jobs"].as_array().unwrap().clone();
    let k1 = history.iter().find(|job| job["node"] == "k1").unwrap();
    assert_eq!(
        (&k1["priority"], &k1["run"]),
        (&7.into(), &inner["id"]),
        "{k1:#}"
    );
}

#[test]
fn what_is_wrong_with_a_sub_dag_is_its_nodes_reason() {
    let pool = pool_with(&[
        (
            "x.dag",
            "JOB a step.sub\nSUBDAG EXTERNAL bad bad.dag\nSUBDAG EXTERNAL gone gone.dag\n\
             SUBDAG EXTERNAL fails fails.dag\nPARENT a CHILD bad gone fails\n\
             JOB after step.sub\nPARENT fails CHILD after\n\
             SCRIPT POST gone /bin/sh script.sh post gone $RETURN $SUCCESS\n",
        ),
        (
            "fails.dag",
            "JOB d step.sub\nJOB f step.sub\nJOB g step.sub\nPARENT d CHILD f\nPARENT f CHILD g\n",
        ),
        ("on/f", "exit 4\n"),
        (
            "on/a",
            "echo 'JOB q nosuch.sub' > HOME/bad.dag; echo 'PARENT q CHILD r' >> HOME/bad.dag\n",
        ),
        ("on/post-gone", "exit 0\n"),
    ]);
    let id = pool.submit("x.dag");
    let run = ended(&pool, &id);
    assert_eq!(
        states(&run),
        "a Done, bad Failed, gone Done, fails Failed, after Futile"
    );
    for part in ["bad.dag:1", "nosuch.sub", "bad.dag:2", "`r`"] {
        assert!(reason(&run, "bad").contains(part), "{run:#}");
    }
    assert_eq!(
        times(&pool.home, "post gone -1001 False"),
        1,
        "{:#?}",
        pool.home.lines("log")
    );
    let inner = subrun(&pool, &id, "fails");
    assert!(reason(&run, "fails").contains(&inner), "{run:#}");
    let inner = status(&pool, &inner);
    assert_eq!(states(&inner), "d Done, f Failed, g Futile");
    // A sub-DAG is mended where it is a node.
    let number = inner["id"].to_string();
    let refused = pool.updraft(&["dag", "retry", &number]).expect(1);
    refused.complains(&["node fails of DAG run", &id]);

    // Of a mended file, what is the same and done stays done.
    pool.home.write(
        "fails.dag",
        "JOB d step.sub\nJOB f good.sub\nJOB h step.sub\nPARENT d CHILD f h\n",
    );
    let good = STEP[0].1.replace("$(JOB)", "good");
    pool.home.write("good.sub", &good);
    pool.updraft(&["dag", "retry", &id, "fails"]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(state(&run, "after"), "Done");
    let inner = status(&pool, &subrun(&pool, &id, "fails"));
    assert_eq!(states(&inner), "d Done, f Done, h Done");
    let counts = ["d", "f", "good", "h"].map(|line| times(&pool.home, line));
    assert_eq!(counts, [1, 1, 1, 1], "{:#?}", pool.home.lines("log"));
}

#[test]
fn a_retried_sub_dag_goes_on_and_its_exit_code_is_its_nodes() {
    let pool = pool_with(&[
        (
            "x.dag",
            "SUBDAG EXTERNAL s s.dag\nRETRY s 1\nCONFIG x.config\n\
             SCRIPT PRE s /bin/sh script.sh pre $NODE $RETRY\n\
             SCRIPT POST s /bin/sh script.sh post $NODE $RETRY $RETURN\n\
             SUBDAG EXTERNAL aborts aborts.dag\n\
             SCRIPT POST aborts /bin/sh script.sh post $NODE $RETRY $RETURN\n\
             SUBDAG EXTERNAL last last.dag\n\
             SCRIPT POST last /bin/sh script.sh post $NODE $RETRY $RETURN\n",
        ),
        (
            "s.dag",
            "JOB a step.sub\nJOB b step.sub\nPARENT a CHILD b\n",
        ),
        (
            "on/b",
            "if [ ! -e HOME/once ]; then touch HOME/once; exit 1; fi\n",
        ),
        ("on/post-s", "exit $4\n"),
        ("x.config", "DAGMAN_RETRY_NODE_FIRST = true\n"),
        (
            "aborts.dag",
            "JOB bad step.sub\nJOB slow step.sub\nJOB after step.sub\nPARENT bad CHILD after\n\
             ABORT-DAG-ON bad 3 RETURN 7\nRETRY bad 5\n",
        ),
        (
            "on/bad",
            "until [ -e HOME/slow ]; do sleep 0.02; done; exit 3\n",
        ),
        ("on/slow", "touch HOME/slow; sleep 60\n"),
        ("on/post-aborts", "exit 0\n"),
        ("last.dag", "JOB wrong step.sub\nFINAL mends step.sub\n"),
        ("on/wrong", "exit 9\n"),
    ]);
    let id = pool.submit("x.dag");
    let run = ended(&pool, &id);
    assert_eq!(run["status"], "Completed", "{run:#}");
    let home = &pool.home;
    assert_in_order(
        home,
        &["pre s 0", "a", "post s 0 1", "pre s 1", "post s 1 0"],
    );
    assert_eq!(times(home, "b"), 2);
    // The same run went on.
    assert_eq!(node(&run, "s")["attempts"], 2);
    let s = status(&pool, &subrun(&pool, &id, "s"));
    assert_eq!(states(&s), "a Done, b Done");
    let attempts = (&node(&s, "a")["attempts"], &node(&s, "b")["attempts"]);
    assert_eq!(attempts, (&1.into(), &2.into()));

    assert_eq!(
        times(home, "post aborts 0 7"),
        1,
        "{:#?}",
        home.lines("log")
    );
    let aborted = status(&pool, &subrun(&pool, &id, "aborts"));
    assert_eq!(
        (&aborted["status"], &aborted["exit"]),
        (&"Failed".into(), &7.into())
    );
    assert_eq!(times(home, "after"), 0);
    assert_eq!(node(&aborted, "bad")["attempts"], 1);
    assert_eq!(times(home, "post last 0 0"), 1, "{:#?}", home.lines("log"));
}

#[test]
fn hold_halt_and_removal_reach_sub_dags() {
    let pool = pool_with(&[
        ("x.dag", "SUBDAG EXTERNAL out out.dag\nFINAL end step.sub\n"),
        ("out.dag", "SUBDAG EXTERNAL in in.dag\n"),
        (
            "in.dag",
            "JOB a step.sub\nJOB b step.sub\nJOB c step.sub\nPARENT a CHILD b\nPARENT b CHILD c\n\
             FINAL inend step.sub\n",
        ),
        ("on/a", "until [ -e HOME/go-a ]; do sleep 0.02; done\n"),
        ("on/b", "until [ -e HOME/go-b ]; do sleep 0.02; done\n"),
        ("on/c", "if [ ! -e HOME/mended ]; then sleep 60; fi\n"),
    ]);
    let id = pool.submit("x.dag");
    let out = subrun(&pool, &id, "out");
    let inner = subrun(&pool, &out, "in");
    until("node a", || times(&pool.home, "a") == 1);

    pool.updraft(&["dag", "halt", &id]).expect(0);
    pool.updraft(&["dag", "halt", &id])
        .expect(1)
        .complains(&["halted"]);
    for run in [&id, &out, &inner] {
        assert_eq!(status(&pool, run)["halt"], "Halted");
    }
    pool.home.write("go-a", "");
    until_state(&pool, &inner, "a", "Done");
    let halted = status(&pool, &inner);
    assert_eq!(state(&halted, "b"), "Waiting");
    assert_eq!(node(&halted, "b")["waits"], "the run is halted");
    pool.updraft(&["dag", "resume", &id]).expect(0);
    until("node b", || times(&pool.home, "b") == 1);

    pool.updraft(&["hold", &id]).expect(0);
    for run in [&id, &out, &inner] {
        assert_eq!(status(&pool, run)["halt"], "Held");
    }
    let held = |pool: &Pool| {
        let jobs = pool.json(&["q"])["jobs"].as_array().unwrap().clone();
        jobs.iter().filter(|job| job["status"] == "Held").count()
    };
    until("held jobs", || held(&pool) == 1);
    pool.home.write("go-b", "");
    pool.updraft(&["release", &id]).expect(0);
    until("node c", || times(&pool.home, "c") == 1);
    assert_eq!(status(&pool, &inner)["halt"], "Open");

    pool.updraft(&["rm", &id]).expect(0);
    let run = ended(&pool, &id);
    // The FINAL nodes run all the same, and that of the whole decides.
    assert_eq!(run["status"], "Completed", "{run:#}");
    assert_eq!(status(&pool, &inner)["status"], "Completed");
    let counts = ["end", "inend"].map(|line| times(&pool.home, line));
    assert_eq!(counts, [1, 1]);
    assert_eq!(pool.json(&["q"])["jobs"], Value::Array(Vec::new()));

    // What was done inside stays done.
    pool.home.write("mended", "");
    pool.updraft(&["dag", "resume", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "out Done, end Done");
    assert_eq!(subrun(&pool, &subrun(&pool, &id, "out"), "in"), inner);
    let counts = ["a", "b", "c", "inend", "end"].map(|line| times(&pool.home, line));
    // Twice, too, is what was held.
    assert_eq!(counts, [1, 2, 2, 2, 2], "{:#?}", pool.home.lines("log"));
}

#[test]
fn a_run_that_is_removed_while_it_is_held_ends() {
    let pool = pool_with(&[
        (
            "x.dag",
            "JOB a step.sub\nSUBDAG EXTERNAL s s.dag\nFINAL end step.sub\n",
        ),
        ("s.dag", "JOB b step.sub\nFINAL inend step.sub\n"),
        ("on/a", "sleep 60\n"),
        ("on/b", "sleep 60\n"),
    ]);
    let id = pool.submit("x.dag");
    until("the jobs", || sorted_log(&pool.home) == ["a", "b"]);
    pool.updraft(&["hold", &id]).expect(0);
    pool.updraft(&["rm", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(
        (&run["status"], &run["cut"]),
        (&"Completed".into(), &"removed".into())
    );
    assert_eq!(sorted_log(&pool.home), ["a", "b", "end", "inend"]);
}

#[test]
fn a_manager_that_dies_takes_a_sub_dag_up_where_it_was() {
    let long = format!(
        "{}JOB a step.sub\nJOB b step.sub\nPARENT a CHILD b\n",
        "# text\n".repeat(400_000)
    );
    let mut pool = pool_with(&[
        (
            "x.dag",
            "SUBDAG EXTERNAL s s.dag\nSCRIPT PRE s /bin/sh script.sh pre $NODE\n\
             SCRIPT POST s /bin/sh script.sh post $NODE $RETURN\nJOB last step.sub\n\
             PARENT s CHILD last\n",
        ),
        ("s.dag", &long),
        (
            "on/pre-s",
            "until [ -e HOME/go-pre ]; do sleep 0.02; done\n",
        ),
        ("on/a", "until [ -e HOME/go-a ]; do sleep 0.02; done\n"),
        (
            "on/post-s",
            "until [ -e HOME/go-post ]; do sleep 0.02; done\n",
        ),
    ]);
    let id = pool.submit("x.dag");
    until("the PRE script", || times(&pool.home, "pre s") == 1);
    again(&mut pool);
    pool.home.write("go-pre", "");
    // Read, or just so.
    until("the sub-DAG", || {
        matches!(state(&status(&pool, &id), "s"), "Preparing" | "Running")
    });
    again(&mut pool);
    until("node a", || times(&pool.home, "a") == 1);
    again(&mut pool);
    pool.home.write("go-a", "");
    until("the POST script", || times(&pool.home, "post s 0") >= 1);
    again(&mut pool);
    pool.home.write("go-post", "");
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "s Done, last Done");
    assert_eq!(node(&run, "s")["attempts"], 1);
    // Jobs outlive a manager, and scripts begin anew.
    assert_in_order(&pool.home, &["a", "b", "last"]);
}

fn again(pool: &mut Pool) {
    pool.kill_manager();
    pool.start_manager();
}

// === crossings ===

/// A node of a splice is tried again as long as its PRE script fails; meanwhile its sibling ends the
/// whole.
#[test]
fn an_abort_beside_a_retry_in_a_splice_ends_the_run() {
    let pool = pool_with(&[
        (
            "x.dag",
            "JOB first step.sub\nSPLICE s s.dag\nJOB after step.sub\n\
             PARENT first CHILD s\nPARENT s CHILD after\nFINAL end end.sub\n",
        ),
        (
            "end.sub",
            "executable = HOME/step.sh\narguments = end $(DAG_STATUS) $(FAILED_COUNT)\n\
             transfer_output_files = \"\"\nqueue\n",
        ),
        (
            "s.dag",
            "JOB retried step.sub\nJOB aborts step.sub\nJOB below step.sub\n\
             PARENT retried CHILD below\n\
             RETRY retried 100000\nSCRIPT PRE retried /bin/sh script.sh pre $NODE $RETRY\n\
             RETRY aborts 3\nABORT-DAG-ON aborts 9 RETURN 6\n",
        ),
        (
            "on/pre-s+retried",
            "sleep 0.01\nif [ ! -e HOME/mended ]; then exit 1; fi\n",
        ),
        (
            "on/s+aborts",
            "if [ ! -e HOME/mended ]; then\n\
             until grep -q 'pre s+retried 2' HOME/log; do sleep 0.02; done\nexit 9\nfi\n",
        ),
    ]);
    let id = pool.submit("x.dag");
    let run = ended(&pool, &id);
    // The FINAL node did well, and its word is the run's.
    assert_eq!(run["status"], "Completed", "{run:#}");
    assert_eq!(
        times(&pool.home, "end 3 1"),
        1,
        "{:#?}",
        pool.home.lines("log")
    );
    assert_eq!(
        states(&run),
        "first Done, s+retried Waiting, s+aborts Failed, s+below Waiting, after Futile, end Done"
    );
    assert!(run["cut"].as_str().unwrap().contains("s+aborts"), "{run:#}");
    assert_eq!(node(&run, "s+aborts")["attempts"], 1);

    pool.home.write("mended", "");
    let plan = pool.json(&["dag", "resume", &id, "--dry-run"]);
    assert_eq!(
        told(&plan),
        "s+retried Waiting, s+aborts Failed, s+below Waiting, after Futile, end Done"
    );
    pool.updraft(&["dag", "resume", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(
        (&run["status"], &run["nodes_done"]),
        (&"Completed".into(), &6.into())
    );
    assert_eq!(times(&pool.home, "first"), 1);
    assert_eq!(
        times(&pool.home, "end 0 0"),
        1,
        "{:#?}",
        pool.home.lines("log")
    );
}

const RUN: [&str; 6] = ["run", "x.dag", "--state-dir", "state", "--cpus", "4"];

fn run_dag(home: &Home) -> Ran {
    run(&mut home.command(&RUN))
}

#[test]
fn a_killed_run_goes_on_inside_its_sub_dag() {
    let home = home_with(&[
        (
            "x.dag",
            "JOB a step.sub\nSPLICE sp sp.dag\nPARENT a CHILD sp\n",
        ),
        (
            "sp.dag",
            "SUBDAG EXTERNAL sub sub.dag\nJOB z step.sub\nPARENT sub CHILD z\n\
             SCRIPT PRE z /bin/sh script.sh pre $NODE\n",
        ),
        (
            "sub.dag",
            "JOB b step.sub\nJOB c step.sub\nPARENT b CHILD c\n",
        ),
        ("on/c", "until [ -e HOME/go ]; do sleep 0.02; done\n"),
        (
            "on/pre-sp+z",
            "until [ -e HOME/go-pre ]; do sleep 0.02; done\n",
        ),
    ]);
    let begin = || {
        let mut command = home.command(&RUN);
        Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    let first = begin();
    until("node c", || times(&home, "c") == 1);
    first.kill();
    home.write("go", "");
    let second = begin();
    until("the PRE script", || times(&home, "pre sp+z") == 1);
    second.kill();
    home.write("go-pre", "");
    let third = run_dag(&home).expect(0);
    third.complains(&["resuming DAG run 1", "2 of 3 nodes done"]);
    let once = ["a", "b", "sp+z"].map(|line| times(&home, line));
    assert_eq!(once, [1, 1, 1], "{:#?}", home.lines("log"));
}

#[test]
fn what_fails_or_is_held_deep_inside_is_told_at_the_top() {
    let home = home_with(&[
        ("x.dag", "SUBDAG EXTERNAL s s.dag\n"),
        (
            "s.dag",
            "JOB a step.sub\nSUBDAG EXTERNAL t t.dag\nPARENT a CHILD t\n",
        ),
        ("t.dag", "JOB f step.sub\n"),
        ("on/f", "echo inner trouble >&2\nexit 4\n"),
    ]);
    run_dag(&home).expect(1).complains(&[
        "error: s failed: its DAG run",
        "t failed: its DAG run",
        "f failed: job",
        "exited with code 4",
        "| inner trouble",
    ]);

    let script = "JOB b step.sub\nSCRIPT PRE b /bin/sh script.sh pre $NODE\n";
    home.write("t.dag", &format!("JOB f held.sub\n{script}"));
    home.write("on/pre-b", "until [ -e HOME/go ]; do sleep 0.02; done\n");
    let held = STEP[0].1.replace("queue", "hold = true\nqueue");
    home.write("held.sub", &held);
    let mut command = home.command(&RUN);
    let process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    until("the PRE script", || times(&home, "pre b") == 1);
    home.write("go", "");
    // What goes on beside it is waited for.
    let ran = process.ended().expect(1);
    ran.complains(&["nothing can go on: 1 job held", "f ("]);
    assert_eq!(times(&home, "b"), 1, "{:#?}", home.lines("log"));
}

// === runs that last ===

const CHAIN: [(&str, &str); 2] = [
    (
        "x.dag",
        "JOB a step.sub\nJOB b step.sub\nJOB c step.sub\nJOB d step.sub\nJOB e step.sub\n\
         PARENT a CHILD b c\nPARENT b CHILD d\nPARENT c CHILD e\n",
    ),
    ("on/b", "exit 1\n"),
];

#[test]
fn a_plan_is_what_is_done() {
    let pool = pool_with(&CHAIN);
    pool.home.write("on/c", "exit 2\n");
    let id = pool.submit("x.dag");
    let run = ended(&pool, &id);
    assert_eq!(
        states(&run),
        "a Done, b Failed, c Failed, d Futile, e Futile"
    );

    // Of one node, with what waits for it alone.
    pool.home.write("on/b", "");
    let plan = pool.json(&["dag", "retry", &id, "b", "--dry-run"]);
    assert_eq!(told(&plan), "b Failed, d Futile");
    assert_eq!((&plan["dry_run"], &plan["kept"]), (&true.into(), &1.into()));
    assert!(why(&plan, "b").contains("exited with code 1"), "{plan:#}");
    let done = pool.json(&["dag", "retry", &id, "b"]);
    assert_eq!(
        (&done["again"], &done["dry_run"]),
        (&plan["again"], &false.into())
    );
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "a Done, b Done, c Failed, d Done, e Futile");
    assert_eq!(run["status"], "Failed");

    // What cannot be done is said with what can.
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (
            &["retry", &id, "bb"],
            4,
            &["no node `bb`", "did you mean `b`?"],
        ),
        (&["retry", &id, "a"], 1, &["node a is done", "rerun"]),
        (
            &["rerun", &id, "--from", "cc"],
            4,
            &["`cc`", "did you mean `c`"],
        ),
        (&["rerun", &id], 2, &["--from"]),
        (&["resume", "999"], 4, &["999"]),
        (&["halt", &id], 1, &["it is failed"]),
        (&["set", &id], 2, &["--max-jobs"]),
        (
            &["set", &id, "--category", "none=1"],
            4,
            &["no category `none`"],
        ),
    ];
    for (args, code, parts) in cases {
        let args = [&["dag"], args].concat();
        pool.updraft(&args).expect(code).complains(parts);
    }
    assert_eq!(status(&pool, &id)["status"], "Failed");

    // Everything that is left, said to people.
    pool.home.write("on/c", "");
    let text = pool
        .updraft(&["dag", "resume", &id, "--dry-run"])
        .expect(0)
        .out;
    assert!(
        text.contains("2 of 5 nodes to run, 3 done already"),
        "{text}"
    );
    assert!(
        text.contains("c") && text.contains("exited with code 2"),
        "{text}"
    );
    assert_eq!(pool.updraft(&["dag", "resume", &id]).expect(0).out, text);
    assert_eq!(ended(&pool, &id)["status"], "Completed");
    pool.updraft(&["dag", "resume", &id])
        .expect(1)
        .complains(&["all its nodes are done"]);
    pool.updraft(&["dag", "retry", &id])
        .expect(1)
        .complains(&["none of its nodes failed"]);

    let plan = pool.json(&["dag", "rerun", &id, "--from", "c", "--dry-run"]);
    assert_eq!(told(&plan), "c Done, e Done");
    assert_eq!(why(&plan, "e"), "it comes after c");
    pool.updraft(&["dag", "rerun", &id, "--from", "c"])
        .expect(0);
    assert_eq!(ended(&pool, &id)["nodes_done"], 5);
    let counts = ["a", "b", "c", "d", "e"].map(|line| times(&pool.home, line));
    assert_eq!(counts, [1, 2, 3, 1, 2]);
}

#[test]
fn a_run_under_way_is_halted_throttled_and_mended() {
    let pool = pool_with(&[
        (
            "x.dag",
            "JOB bad step.sub\nJOB slow step.sub\nJOB after step.sub\nJOB c1 step.sub\n\
             JOB c2 step.sub\nPARENT slow CHILD after\nCATEGORY c1 k\nCATEGORY c2 k\nMAXJOBS k 1\n\
             CONFIG x.config\nSET_JOB_ATTR Team = \"blue\"\n",
        ),
        ("x.config", "DAGMAN_MAX_JOBS_SUBMITTED = 4\n"),
        ("on/bad", "exit 1\n"),
        ("on/slow", "until [ -e HOME/go ]; do sleep 0.02; done\n"),
        ("on/c1", "until [ -e HOME/go ]; do sleep 0.02; done\n"),
        ("on/c2", "until [ -e HOME/go ]; do sleep 0.02; done\n"),
    ]);
    let id = pool.submit("x.dag");
    until_state(&pool, &id, "bad", "Failed");
    until("node c1", || times(&pool.home, "c1") == 1);
    let run = status(&pool, &id);
    assert_eq!(run["throttles"]["max_jobs"], 4);
    assert!(
        node(&run, "c2")["waits"]
            .as_str()
            .unwrap()
            .contains("MAXJOBS"),
        "{run:#}"
    );
    pool.updraft(&["dag", "set", &id, "--category", "k=2", "--max-jobs", "9"])
        .expect(0);
    until("node c2", || times(&pool.home, "c2") == 1);
    assert_eq!(status(&pool, &id)["throttles"]["max_jobs"], 9);
    pool.updraft(&["dag", "resume", &id])
        .expect(1)
        .complains(&["it runs"]);

    // Retried while the others go on; not what is under way.
    pool.home.write("on/bad", "");
    pool.updraft(&["dag", "rerun", &id, "--from", "slow"])
        .expect(1)
        .complains(&["under way"]);
    let plan = pool.json(&["dag", "retry", &id]);
    assert_eq!(told(&plan), "bad Failed");
    until_state(&pool, &id, "bad", "Done");
    pool.home.write("go", "");
    let run = ended(&pool, &id);
    assert_eq!(
        (&run["status"], &run["nodes_done"]),
        (&"Completed".into(), &5.into())
    );
}

// === files that changed ===

/// `a` makes what `b` takes; `s` is a study, `sub` a sub-DAG, `bad` fails.
const WORK: [(&str, &str); 9] = [
    (
        "x.dag",
        "JOB a a.sub\nJOB b b.sub\nJOB c step.sub\nSTUDY s trial.sub s.study.toml\n\
         JOB best best.sub\nSUBDAG EXTERNAL sub sub.dag\nJOB bad step.sub\nVARS c more=\"1\"\n\
         PARENT a CHILD b\nPARENT s CHILD best\n",
    ),
    (
        "a.sub",
        "executable = /bin/sh\ntransfer_executable = false\n\
         arguments = \"-c 'echo a >> HOME/log; cat in.txt > out.txt'\"\n\
         transfer_input_files = in.txt\ntransfer_output_files = out.txt\nqueue\n",
    ),
    (
        "b.sub",
        "executable = HOME/step.sh\narguments = b\ntransfer_input_files = out.txt\n\
         transfer_output_files = \"\"\nqueue\n",
    ),
    (
        "trial.sub",
        "executable = HOME/trial.sh\narguments = $(JOB) $(x)\ntransfer_output_files = \"\"\n\
         queue\n",
    ),
    (
        "trial.sh",
        "#!/bin/sh\necho trial $1 >> HOME/log\necho \"{\\\"loss\\\": $2}\" >> $UPDRAFT_METRICS\n",
    ),
    (
        "best.sub",
        "executable = HOME/step.sh\narguments = best $(best.x)\ntransfer_output_files = \"\"\n\
         queue\n",
    ),
    (
        "s.study.toml",
        "metric = 'loss'\ngoal = 'minimize'\ntrials = 2\nparallel = 2\nseed = 1\n\
         [space.x]\ntype = 'float'\nlow = 1.0\nhigh = 2.0\n",
    ),
    ("sub.dag", "JOB in step.sub\n"),
    ("on/bad", "exit 1\n"),
];

/// Nodes that run again, and why.
type Whys<'a> = &'a [(&'a str, &'a str)];

#[test]
fn only_what_changed_runs_again_and_why_is_said_before() {
    let pool = pool_with(&WORK);
    let home = &pool.home;
    home.write("in.txt", "one\n");
    let id = pool.submit("x.dag");
    let run = ended(&pool, &id);
    assert_eq!(
        states(&run),
        "a Done, b Done, c Done, s Done, best Done, sub Done, bad Failed"
    );
    let plan = |pool: &Pool| pool.json(&["dag", "resume", &id, "--file", "x.dag", "--dry-run"]);
    assert_eq!(told(&plan(&pool)), "bad Failed");

    // One thing at a time, each taken back.
    let dag = WORK[0].1;
    let vars = dag.replace("more=\"1\"", "more=\"2\"");
    let new = format!("{dag}JOB new step.sub\nPARENT c CHILD new\n");
    let done = format!("{dag}DONE bad\n");
    home.write("x.dag", &done);
    let next = pool.json(&["dag", "resume", &id, "--file", "x.dag"]);
    assert_eq!(told(&next), "");
    let next = ended(&pool, &next["continued_by"].to_string());
    assert_eq!(next["status"], "Completed");
    home.write("x.dag", dag);
    let removed = dag
        .replace("JOB c step.sub\n", "")
        .replace("VARS c more=\"1\"\n", "");
    let parent = format!("{dag}PARENT c CHILD best\n");
    let script = format!("{dag}SCRIPT PRE c /bin/true\n");
    let step = format!("{}request_cpus = 2\n", STEP[0].1.replace("queue\n", "")) + "queue\n";
    let cases: [(&str, &str, &str, Whys<'_>); 10] = [
        ("x.dag", &vars, dag, &[("c", "its macros changed")]),
        ("x.dag", &new, dag, &[("new", "it is new")]),
        ("x.dag", &removed, dag, &[]),
        ("x.dag", &parent, dag, &[("best", "its parents changed")]),
        ("x.dag", &script, dag, &[("c", "its scripts changed")]),
        (
            "in.txt",
            "two\n",
            "one\n",
            &[("a", "its input in.txt changed"), ("b", "a runs again")],
        ),
        (
            "step.sub",
            &step,
            STEP[0].1,
            &[
                ("c", "its submit description changed"),
                ("sub", "its sub-DAG sub.dag changed"),
            ],
        ),
        (
            "sub.dag",
            "JOB in step.sub\nJOB more step.sub\n",
            WORK[7].1,
            &[("sub", "its sub-DAG sub.dag changed")],
        ),
        (
            "best.sub",
            "executable = HOME/step.sh\narguments = other\nqueue\n",
            WORK[5].1,
            &[("best", "its submit description changed")],
        ),
        (
            "s.study.toml",
            &WORK[6].1.replace("trials = 2", "trials = 3"),
            WORK[6].1,
            &[("s", "its study file changed"), ("best", "s runs again")],
        ),
    ];
    for (file, text, old, expected) in cases {
        home.write(file, text);
        let plan = plan(&pool);
        assert_eq!(
            plan["again"].as_array().unwrap().len(),
            expected.len() + 1,
            "{plan:#}"
        );
        for (node, reason) in expected {
            assert_eq!(why(&plan, node), *reason);
        }
        home.write(file, old);
    }
    assert_eq!(told(&plan(&pool)), "bad Failed");

    // Taken over: the study's best and a's output are there without running anything twice.
    home.write("on/bad", "");
    home.write(
        "b.sub",
        "executable = HOME/step.sh\narguments = b2\n\
        transfer_input_files = out.txt\ntransfer_output_files = \"\"\nqueue\n",
    );
    home.write(
        "best.sub",
        "executable = HOME/step.sh\narguments = best2 $(best.x)\n\
        transfer_output_files = \"\"\nqueue\n",
    );
    let wanted = plan(&pool);
    assert_eq!(told(&wanted), "b Done, best Done, bad Failed");
    let next = pool.json(&["dag", "resume", &id, "--file", "x.dag"]);
    assert_eq!(
        (&next["again"], &next["kept"]),
        (&wanted["again"], &4.into())
    );
    let next = next["continued_by"].to_string();
    let run = ended(&pool, &next);
    assert_eq!(
        (&run["status"], &run["nodes_done"]),
        (&"Completed".into(), &7.into()),
        "{run:#}"
    );
    let counts = ["a", "b", "b2", "c 1", "in", "trial s", "bad"].map(|line| times(home, line));
    assert_eq!(counts, [1, 1, 1, 1, 1, 2, 2], "{:#?}", home.lines("log"));
    let x = pool.json(&["study", "best", &next, "s"])["studies"][0]["best"]["params"]["x"].clone();
    let log = home.lines("log");
    let told = log
        .iter()
        .find_map(|line| line.strip_prefix("best2 "))
        .unwrap();
    assert_eq!(
        told.parse::<f64>().unwrap(),
        x.as_f64().unwrap(),
        "{log:#?}"
    );
}

#[test]
fn the_same_command_again_takes_changed_files() {
    let home = home_with(&CHAIN);
    run_dag(&home).expect(1);
    home.write("on/b", "");
    let dag = format!(
        "{}VARS e more=\"2\"\nJOB f step.sub\nPARENT b CHILD f\n",
        CHAIN[0].1
    );
    home.write("x.dag", &dag);
    run_dag(&home).expect(0).complains(&[
        "have changed since",
        "4 of 6 nodes to run, 2 done already",
        "its macros changed",
        "it failed",
        "it is new",
    ]);
    let counts = ["a", "b", "c", "d", "e", "e 2", "f"].map(|line| times(&home, line));
    assert_eq!(counts, [1, 2, 1, 1, 1, 1, 1], "{:#?}", home.lines("log"));
}

// === rescue files ===

#[test]
fn what_a_rescue_file_says_is_done_does_not_run() {
    let pool = pool_with(&CHAIN);
    let home = &pool.home;
    home.write("on/b", "");
    home.write("x.dag.rescue001", "DONE nosuch\n");
    home.write(
        "x.dag.rescue002",
        "# Rescue DAG file\nDONE a\nDONE c\nRETRY b 4\n",
    );
    let submitted = pool.updraft(&["submit", "--wait", "x.dag"]).expect(0);
    submitted.complains(&["x.dag.rescue002", "--no-rescue"]);
    assert_eq!(sorted_log(home), ["b", "d", "e"]);
    let run = status(&pool, "1");
    assert_eq!(
        (&run["nodes_done"], &node(&run, "a")["attempts"]),
        (&5.into(), &0.into())
    );

    pool.updraft(&["submit", "--wait", "--no-rescue", "x.dag"])
        .expect(0);
    assert_eq!(home.lines("log").len(), 8);
    let wrong = pool
        .updraft(&["submit", "--rescue", "x.dag.rescue001", "x.dag"])
        .expect(2);
    wrong.complains(&["x.dag.rescue001:1:6", "nosuch"]);
    assert_eq!(home.lines("log").len(), 8);
}

// === from another machine ===

/// In a user namespace of its own a client is another user, so that the manager works in a copy.
#[test]
fn a_dag_from_elsewhere_works_in_the_managers_copy() {
    let pool = pool_with(&[
        (
            "x.dag",
            "JOB a a.sub\nSCRIPT PRE a ./pre.sh $NODE\nSUBDAG EXTERNAL s s.dag DIR sub\n\
             PARENT a CHILD s\n",
        ),
        ("pre.sh", "#!/bin/sh\necho made by pre > made.txt\n"),
        (
            "a.sub",
            "executable = /bin/sh\ntransfer_executable = false\n\
             arguments = \"-c 'cat made.txt given.txt > out.txt'\"\n\
             transfer_input_files = made.txt, given.txt\ntransfer_output_files = out.txt\nqueue\n",
        ),
        ("given.txt", "given\n"),
        (
            "sub/s.dag",
            "JOB in in.sub\nSCRIPT POST in ./post.sh $RETURN\n",
        ),
        ("sub/post.sh", "#!/bin/sh\necho post $1 > post.txt\n"),
        (
            "sub/in.sub",
            "executable = /bin/sh\ntransfer_executable = false\n\
             arguments = \"-c 'tr a-z A-Z < out.txt > up.txt'\"\n\
             transfer_input_files = ../out.txt\ntransfer_output_files = up.txt\nqueue\n",
        ),
    ]);
    for script in ["pre.sh", "sub/post.sh"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(pool.home.path(script), mode).unwrap();
    }
    let elsewhere = |args: &[&str]| {
        let inner = pool.command(args);
        let mut outer = std::process::Command::new("unshare");
        outer
            .arg("--user")
            .arg(inner.get_program())
            .args(inner.get_args());
        outer.current_dir(pool.home.path(""));
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        run(&mut outer)
    };
    let submitted = elsewhere(&["submit", "-o", "json", "x.dag"])
        .expect(0)
        .json();
    assert_eq!(submitted["kept"], true);
    let id = submitted["id"].to_string();
    let run = ended(&pool, &id);
    assert_eq!(run["status"], "Completed", "{run:#}");
    for file in ["made.txt", "out.txt", "sub/up.txt", "sub/post.txt"] {
        assert!(!pool.home.path(file).exists(), "{file}");
    }
    elsewhere(&["fetch", &id, "--to", "got"]).expect(0);
    assert_eq!(pool.home.read("got/out.txt"), "made by pre\ngiven\n");
    assert_eq!(pool.home.read("got/sub/up.txt"), "MADE BY PRE\nGIVEN\n");
    assert_eq!(pool.home.read("got/sub/post.txt"), "post 0\n");
}

// === studies and loops inside ===

#[test]
fn studies_and_loops_stand_in_splices_and_sub_dags() {
    let region = "FOREACH n IN (1 2)\nSTUDY tune$(n) trial.sub s.study.toml\n\
                  JOB best$(n) best.sub\nPARENT tune$(n) CHILD best$(n)\nEND\n";
    let pool = pool_with(&[
        (
            "x.dag",
            "FOREACH r IN (de fr)\nSPLICE in-$(r) region.dag\n\
             SUBDAG EXTERNAL sub-$(r) region.dag\nEND\nPARENT in-de CHILD in-fr\n",
        ),
        ("region.dag", region),
        WORK[3],
        WORK[4],
        ("s.study.toml", WORK[6].1),
        (
            "best.sub",
            "executable = HOME/step.sh\narguments = best $(r) $(n) $(best.trial)\n\
             transfer_output_files = \"\"\nqueue\n",
        ),
    ]);
    let id = pool.submit("x.dag");
    let run = ended(&pool, &id);
    assert_eq!(run["status"], "Completed", "{run:#}");
    let tune = node(&run, "in-fr+tune2");
    assert_eq!(
        (&tune["kind"], &tune["trials_ended"]),
        (&"study".into(), &2.into())
    );
    assert_eq!(parents(&run, "in-fr+tune1"), ["in-de+best1", "in-de+best2"]);
    let log = pool.home.lines("log");
    for region in ["de", "fr"] {
        for n in ["1", "2"] {
            let begin = format!("best {region} {n} ");
            let found = log.iter().filter(|line| line.starts_with(&begin));
            // Once in the splice, once in the sub-DAG.
            assert_eq!(found.count(), 2, "{log:#?}");
        }
    }
    assert_eq!(
        log.iter().filter(|line| line.starts_with("trial")).count(),
        16
    );
}

#[test]
fn nodes_have_many_jobs_and_may_be_done_before() {
    let pool = pool_with(&[
        (
            "x.dag",
            "JOB over nosuch.sub NOOP DONE\nJOB many many.sub\nJOB some some.sub\n\
             JOB bad bad.sub\nJOB futile step.sub\nJOB below step.sub\n\
             PARENT over CHILD many\nPARENT bad CHILD futile\nPARENT futile CHILD below\n\
             TOLERANCE some 2\nDONE skipped\nJOB skipped step.sub\n\
             SCRIPT POST many /bin/sh script.sh post $JOB_COUNT $EXIT_CODES\n",
        ),
        (
            "many.sub",
            "executable = HOME/step.sh\narguments = many $(Process) $(item)\n\
             transfer_output_files = \"\"\nqueue 2 item in (x y z)\n",
        ),
        (
            "some.sub",
            "executable = /bin/sh\ntransfer_executable = false\n\
             arguments = \"-c 'test $(Process) -gt 1'\"\nqueue 5\n",
        ),
        (
            "bad.sub",
            "executable = /bin/sh\ntransfer_executable = false\n\
             arguments = \"-c 'exit $(Process)'\"\nqueue 2\n",
        ),
    ]);
    let run = ran(&pool, "x.dag");
    assert_eq!(
        states(&run),
        "over Done, many Done, some Done, bad Failed, futile Futile, below Futile, skipped Done"
    );
    assert_eq!((&run["nodes_futile"], &run["exit"]), (&2.into(), &1.into()));
    assert!(
        reason(&run, "bad").contains("exited with code 1"),
        "{run:#}"
    );
    let home = &pool.home;
    assert_eq!(times(home, "post 6 0"), 1, "{:#?}", home.lines("log"));
    let many = home
        .lines("log")
        .iter()
        .filter(|line| line.starts_with("many"))
        .count();
    assert_eq!((many, times(home, "skipped")), (6, 0));
}
