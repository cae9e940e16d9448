//! Jobs of one description are worked out together, and each is still what its own macros make of
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::Dag;
use manager_core::{Command, Delivery, Limits, NewRun, Queue};
use proto::nouns::{JobId, Now};

const LIMITS: Limits = Limits {
    jobs_max: 1_000,
    lease_ms: 10_000,
    beat_ms: 2_000,
    faults_max: 3,
    kill_grace_ms: 500,
    policy_interval_ms: 60_000,
};
const NOW: Now = Now {
    wall_ms: 1_000,
    mono_ms: 1_000,
};

#[test]
fn a_node_s_jobs_are_their_own() {
    let submit = "executable = /bin/true\ntransfer_executable = false\n\
        arguments = $(do:none)\nrequest_memory = $(memory:128)\noutput = $(JOB).$(Process)\n\
        if defined quick\npriority = 7\nendif\nqueue 2\n";
    // The node's line, and what its second job runs with.
    let rows = [
        ("", "none", 128, 0),
        ("do=\"x\"", "x", 128, 0),
        ("do=\"y $(Process)\"", "y 1", 128, 0),
        ("memory=\"512\"", "none", 512, 0),
        ("quick=\"1\"", "none", 128, 7),
        ("do=\"x\" memory=\"512\"", "x", 512, 0),
        ("memory=\"$(Process)1\"", "none", 11, 0),
        ("arguments=\"other\"", "other", 128, 0),
    ];
    let lines = rows.iter().enumerate().map(|(at, (vars, ..))| match *vars {
        "" => format!("JOB n{at} j.sub\n"),
        vars => format!("JOB n{at} j.sub\nVARS n{at} APPEND {vars}\n"),
    });
    let files = BTreeMap::from([
        ("x.dag".to_owned(), lines.collect()),
        ("j.sub".to_owned(), submit.to_owned()),
    ]);
    let (dag, diagnostics) = Dag::load("x.dag", &files);
    let dag = dag.unwrap_or_else(|| panic!("{}", diagnostics.render()));
    let new = NewRun {
        key: "k".to_owned(),
        owner: "ada".to_owned(),
        dag: Arc::new(dag),
        digest: String::new(),
        environment: BTreeMap::new(),
        continues: None,
        subdags: BTreeMap::new(),
        directory: "/home/ada".to_owned(),
        delivery: Delivery::Write,
        files: BTreeMap::new(),
    };
    let mut queue = Queue::new(7, LIMITS);
    let step = queue.step(NOW, Command::SubmitRun(Box::new(new)));
    step.reply.expect("it is carried out");
    queue.finish_turn(NOW);
    // Once with what was worked out for others, once in the other order and with nothing.
    let fresh = queue.clone();
    let clusters: Vec<u32> = queue.clusters().keys().copied().collect();
    assert_eq!(clusters.len(), rows.len());
    for (queue, order) in [
        (&queue, clusters.clone()),
        (&fresh, clusters.into_iter().rev().collect()),
    ] {
        for cluster in order {
            let cluster = &queue.clusters()[&cluster];
            let (_, node) = cluster.node().expect("it is a node's");
            let (vars, arguments, memory_mib, priority) = rows[node as usize];
            let spec = queue.shared_spec(cluster, 1).expect("it expands");
            assert_eq!(spec.arguments.join(" "), arguments, "{vars}");
            assert_eq!(spec.request_memory_mib, memory_mib, "{vars}");
            assert_eq!(spec.priority, priority, "{vars}");
            assert_eq!(spec.stdout, Some(format!("n{node}.1")), "{vars}");
            let job = JobId {
                cluster: cluster.id,
                proc: 1,
            };
            let ad = queue.job_ad(cluster, job, &spec);
            let name = format!("n{node}");
            assert_eq!(ad.eval("DAGNodeName").as_str(), Some(name.as_str()));
            assert_eq!(ad.eval("ProcId").as_i64(), Some(1));
            assert_eq!(ad.eval("ClusterId").as_i64(), Some(i64::from(cluster.id)));
        }
    }
}
