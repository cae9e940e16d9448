//! PRIORITY, CATEGORY, MAXJOBS, CONFIG and `dag set`: which nodes have their turn, and how many.

use super::{ended, node, said, start, start_idle, states, until_said};
use crate::home::until;
use crate::pool::Pool;

/// Nodes of these names that write theirs down, and then wait for a file of it.
fn waiting(names: &[&str]) -> String {
    let line = |name: &&str| {
        format!(
            "JOB {name} job.sub\n\
             VARS {name} do=\"echo begin {name} >> HOME/log; \
             until [ -e HOME/{name} ]; do sleep 0.02; done\"\n"
        )
    };
    names.iter().map(line).collect()
}

/// Returns when as many nodes as that have begun, and says that no more will.
#[track_caller]
fn until_begun(pool: &Pool, id: &str, count: usize) {
    until("begun", || pool.home.lines("log").len() == count);
    let jobs = pool.json(&["q", id])["jobs"].clone();
    let mut jobs = jobs.as_array().unwrap().iter();
    assert!(jobs.all(|job| job["status"] != "Idle"));
}

/// Why nodes wait, each reason once.
fn reasons(pool: &Pool, id: &str) -> Vec<String> {
    let run = pool.json(&["dag", "status", id]);
    let nodes = run["nodes"].as_array().unwrap().iter();
    let mut reasons: Vec<String> = nodes
        .filter_map(|node| node["waits"].as_str().map(str::to_owned))
        .collect();
    reasons.sort();
    reasons.dedup();
    reasons
}

#[test]
fn priority_orders_nodes_and_jobs() {
    // By the run, one node at a time; by the pool, one job at a time.
    for config in ["CONFIG one.cfg\n", ""] {
        let mut pool = start_idle(&[
            ("one.cfg", "DAGMAN_MAX_JOBS_SUBMITTED = 1\n"),
            ("big.sub", "include : job.sub\nrequest_cpus = 4\n"),
        ]);
        let mut text = config.to_owned();
        for (name, priority) in [("low", -5), ("none", 0), ("high", 7), ("higher", 8)] {
            text.push_str(&format!(
                "JOB {name} job.sub\nVARS {name} do=\"echo {name} >> HOME/log\" \
                 request_cpus=\"4\"\n"
            ));
            if priority != 0 {
                text.push_str(&format!("PRIORITY {name} {priority}\n"));
            }
        }
        let id = pool.submit_text("x.dag", &text);
        pool.add_worker("w", &[]);
        let run = ended(&pool, &id);
        assert_eq!(states(&run), "low Done, none Done, high Done, higher Done");
        assert_eq!(
            pool.home.lines("log"),
            ["higher", "high", "none", "low"],
            "{config}"
        );
        for job in pool.history(&id) {
            let priority = match job["node"].as_str().unwrap() {
                "low" => -5,
                "high" => 7,
                "higher" => 8,
                _ => 0,
            };
            assert_eq!(job["priority"], priority, "{job:#}");
        }
    }
}

#[test]
fn maxjobs_limits_a_category() {
    let pool = start(&[]);
    let id = pool.submit_text(
        "x.dag",
        &(waiting(&["a1", "a2", "a3", "b"])
            + "CATEGORY a1 a\nCATEGORY a2 a\nCATEGORY a3 a\nMAXJOBS a 1\n"),
    );
    until_said(&pool, "begin b");
    until_begun(&pool, &id, 2);
    assert_eq!(
        reasons(&pool, &id),
        ["1 nodes of category a are in the queue, and MAXJOBS is 1"]
    );
    pool.updraft(&["dag", "set", &id, "--category", "a=2"])
        .expect(0);
    until_begun(&pool, &id, 3);
    let run = pool.json(&["dag", "status", &id]);
    let category = &run["categories"][0];
    let told = (&category["name"], &category["limit"], &category["busy"]);
    assert_eq!(told, (&"a".into(), &2.into(), &2.into()));
    for name in ["a1", "a2", "a3", "b"] {
        pool.home.write(name, "");
    }
    assert_eq!(ended(&pool, &id)["status"], "Completed");
    let ran = pool.updraft(&["dag", "set", &id, "--category", "c=2"]);
    ran.expect(4).complains(&["`c`"]);
}

#[test]
fn max_jobs_counts_nodes_and_can_be_changed() {
    let pool = start(&[("one.cfg", "DAGMAN_MAX_JOBS_SUBMITTED = 1\n")]);
    let text = "CONFIG one.cfg\nVARS a jobs=\"2\"\n".to_owned() + &waiting(&["a", "b", "c"]);
    let id = pool.submit_text("x.dag", &text);
    // A node of two jobs is one.
    until_begun(&pool, &id, 2);
    assert_eq!(said(&pool, "begin a"), 2);
    assert_eq!(
        reasons(&pool, &id),
        ["1 nodes are in the queue, and max_jobs is 1"]
    );
    pool.updraft(&["dag", "set", &id, "--max-jobs", "2"])
        .expect(0);
    until_said(&pool, "begin b");
    until_begun(&pool, &id, 3);
    pool.updraft(&["dag", "set", &id, "--max-jobs", "0"])
        .expect(0);
    until_said(&pool, "begin c");
    for name in ["a", "b", "c"] {
        pool.home.write(name, "");
    }
    assert_eq!(ended(&pool, &id)["status"], "Completed");
}

#[test]
fn max_idle_counts_jobs_that_wait() {
    // Nobody takes jobs yet.
    let mut pool = start_idle(&[("idle.cfg", "DAGMAN_MAX_JOBS_IDLE = 2\n")]);
    let text = "CONFIG idle.cfg\nVARS ALL_NODES jobs=\"3\"\n".to_owned()
        + "JOB a job.sub\nJOB b job.sub\nJOB c job.sub\n";
    let id = pool.submit_text("x.dag", &text);
    // The first goes over it.
    super::until_node(&pool, &id, "a", "Running");
    assert_eq!(
        reasons(&pool, &id),
        ["jobs of the run wait for workers, and max_idle is 2"]
    );
    pool.updraft(&["dag", "set", &id, "--max-idle", "4"])
        .expect(0);
    super::until_node(&pool, &id, "b", "Running");
    assert_eq!(
        node(&pool.json(&["dag", "status", &id]), "c")["status"],
        "Waiting"
    );
    pool.add_worker("w", &[]);
    assert_eq!(ended(&pool, &id)["status"], "Completed");
    assert_eq!(pool.history(&id).len(), 9);
}

#[test]
fn scripts_are_limited_by_kind() {
    let pool = start(&[(
        "one.cfg",
        "DAGMAN_MAX_PRE_SCRIPTS = 1\nDAGMAN_MAX_POST_SCRIPTS = 1\n",
    )]);
    let mut text = "CONFIG one.cfg\n".to_owned();
    for name in ["a", "b", "c"] {
        text.push_str(&format!(
            "JOB {name} job.sub\nSCRIPT PRE {name} wait 0 {name}1\nSCRIPT POST {name} wait 0 {name}2\n"
        ));
    }
    text.push_str("PRIORITY b 1\n");
    let id = pool.submit_text("x.dag", &text);
    until_said(&pool, "begin b1");
    assert_eq!(reasons(&pool, &id), ["1 PRE scripts run, and max_pre is 1"]);
    pool.updraft(&["dag", "set", &id, "--max-pre", "0"])
        .expect(0);
    until_said(&pool, "begin a1");
    until_said(&pool, "begin c1");
    pool.home.write("b1", "");
    until_said(&pool, "begin b2");
    pool.home.write("a1", "");
    pool.home.write("c1", "");
    let waits = "1 POST scripts run, and max_post is 1";
    until("others", || {
        let run = pool.json(&["dag", "status", &id]);
        ["a", "c"]
            .iter()
            .all(|name| node(&run, name)["waits"] == waits)
    });
    pool.updraft(&["dag", "set", &id, "--max-post", "2"])
        .expect(0);
    until_said(&pool, "begin a2");
    assert_eq!(said(&pool, "begin c2"), 0);
    for name in ["a2", "b2", "c2"] {
        pool.home.write(name, "");
    }
    assert_eq!(states(&ended(&pool, &id)), "a Done, b Done, c Done");
}

#[test]
fn joins_have_no_turn_of_their_own() {
    let pool = start(&[("one.cfg", "DAGMAN_MAX_JOBS_SUBMITTED = 1\n")]);
    let id = pool.submit_text(
        "x.dag",
        "CONFIG one.cfg
         JOB a1 job.sub
         JOB a2 job.sub
         JOB b1 job.sub
         JOB b2 job.sub
         JOB s job.sub
         VARS ALL_NODES do=\"echo $(JOB) >> HOME/log\"
         PARENT a1 a2 CHILD b1 b2
         PRIORITY a1 3
         PRIORITY a2 3
         PRIORITY b1 2
         PRIORITY b2 2
         PRIORITY s 1\n",
    );
    ended(&pool, &id);
    assert_eq!(pool.home.lines("log"), ["a1", "a2", "b1", "b2", "s"]);
}
