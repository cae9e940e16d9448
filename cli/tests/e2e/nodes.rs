//! What each command of a DAG file does to its nodes. Jobs and scripts write down what happens to
//! them; waiting ones wait for files. Commands that only shape the graph are not here.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::home::{Home, until};
use crate::pool::Pool;

#[path = "nodes/jobs.rs"]
mod jobs;
#[path = "nodes/outcomes.rs"]
mod outcomes;
#[path = "nodes/restarts.rs"]
mod restarts;
#[path = "nodes/roles.rs"]
mod roles;
#[path = "nodes/scripts.rs"]
mod scripts;
#[path = "nodes/steering.rs"]
mod steering;
#[path = "nodes/turns.rs"]
mod turns;

/// As many jobs as VARS say, each of which does what they say.
const JOB: &str = "executable = /bin/sh
transfer_executable = false
arguments = \"-c '$(do:true)'\"
queue $(jobs:1)\n";

/// Writes down all words but the first, which is what it returns.
const SAY: &str = "#!/bin/sh
code=$1
shift
echo \"$@\" >> HOME/log
exit $code\n";

/// Likewise, but tells of its beginning, and goes on when there is a file of the name that is its
/// second word.
const WAIT: &str = "#!/bin/sh
echo \"begin $2\" >> HOME/log
until [ -e HOME/$2 ]; do sleep 0.02; done
echo \"end $2\" >> HOME/log
exit $1\n";

/// Says how far a provisioner is.
const READY: &str = "#!/bin/sh
echo \"{\\\"ProvisionerState\\\": $1}\" >> $UPDRAFT_METRICS\n";

/// A manager with one worker of four cores, and the jobs and scripts above.
fn start(files: &[(&str, &str)]) -> Pool {
    let mut pool = start_idle(files);
    pool.add_worker("w", &[]);
    pool
}

/// Likewise, without the worker.
fn start_idle(files: &[(&str, &str)]) -> Pool {
    let home = Home::with(files);
    home.write("job.sub", JOB);
    program(&home, "say", SAY);
    program(&home, "wait", WAIT);
    program(&home, "provide", READY);
    Pool::of(home, &[])
}

fn program(home: &Home, name: &str, text: &str) {
    home.write(name, text);
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(home.path(name), permissions).unwrap();
}

/// How the DAG run stands once it has ended.
#[track_caller]
fn ended(pool: &Pool, id: &str) -> Value {
    let ran = pool.updraft(&["wait", id]);
    let run = pool.json(&["dag", "status", id]);
    let good = run["status"] == "Completed";
    assert_eq!(ran.code, Some(i32::from(!good)), "{}{run:#}", ran.err);
    run
}

/// Runs a DAG of these lines to its end.
#[track_caller]
fn finish(pool: &Pool, name: &str, text: &str) -> Value {
    let id = pool.submit_text(&format!("{name}.dag"), text);
    ended(pool, &id)
}

#[track_caller]
fn node<'a>(run: &'a Value, name: &str) -> &'a Value {
    let nodes = run["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["name"] == name);
    found.unwrap_or_else(|| panic!("no node {name} in {run:#}"))
}

/// `name state` of all nodes.
fn states(run: &Value) -> String {
    let nodes = run["nodes"].as_array().unwrap().iter();
    let told = nodes.map(|node| {
        let text = |key: &str| node[key].as_str().unwrap().to_owned();
        format!("{} {}", text("name"), text("status"))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Returns when a node is in a state.
#[track_caller]
fn until_node(pool: &Pool, id: &str, name: &str, state: &str) {
    until(state, || {
        node(&pool.json(&["dag", "status", id]), name)["status"] == state
    });
}

/// Returns when this was written down.
#[track_caller]
fn until_said(pool: &Pool, words: &str) {
    until(words, || {
        pool.home.lines("log").iter().any(|line| line == words)
    });
}

/// How often this was written down.
fn said(pool: &Pool, words: &str) -> usize {
    let lines = pool.home.lines("log");
    lines.iter().filter(|line| *line == words).count()
}
