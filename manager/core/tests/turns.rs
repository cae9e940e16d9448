//! How the turns of the queue are shared between runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::Dag;
use manager_core::{Command, Delivery, Limits, NewRun, Queue, Reply, RunState};
use proto::nouns::Now;

const LIMITS: Limits = Limits {
    jobs_max: 1_000_000,
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

/// One turn of a shell.
fn turn(queue: &mut Queue, command: Command) -> Reply {
    let step = queue.step(NOW, command);
    queue.finish_turn(NOW);
    queue.take_changes();
    step.reply.expect("it is carried out")
}

fn submit(queue: &mut Queue, text: String) -> u32 {
    let files = BTreeMap::from([("x.dag".to_owned(), text)]);
    let (dag, diagnostics) = Dag::load("x.dag", &files);
    let dag = dag.unwrap_or_else(|| panic!("{}", diagnostics.render()));
    let new = NewRun {
        key: format!("{} nodes", dag.nodes.len()),
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
    match turn(queue, Command::SubmitRun(Box::new(new))) {
        Reply::Submitted { id } => id,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn a_small_run_does_not_wait_for_a_large_one() {
    let mut queue = Queue::new(7, LIMITS);
    let nodes = (0..5_000).map(|node| format!("JOB n{node} x NOOP\n"));
    let large = submit(&mut queue, nodes.collect());
    let small = "JOB a x NOOP\nJOB b x NOOP\nPARENT a CHILD b\n";
    let small = submit(&mut queue, small.to_owned());
    let runs = |queue: &Queue, run: u32| queue.runs()[&run].state == RunState::Running;
    while runs(&queue, small) {
        assert!(queue.next_deadline().is_some(), "there is more to do");
        turn(&mut queue, Command::Tick);
    }
    let left = queue.runs()[&large].counts().waiting;
    assert!(left > 4_000, "the small run waited: {left} nodes are left");
    while runs(&queue, large) {
        turn(&mut queue, Command::Tick);
    }
    assert_eq!(queue.runs()[&large].counts().done, 5_000);
}
