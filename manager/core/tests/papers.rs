//! What a run and its jobs tell in files, event by event: the user log, `JOBSTATE_LOG`, `DOT`,
//! `NODE_STATUS_FILE` and save points.

#![allow(clippy::unwrap_used)]

#[path = "papers/house.rs"]
mod house;

use std::sync::Arc;

use classad::ClassAd;
use dags::dag::{Dag, DotFile, NodeKind, Script, StatusFile};
use house::{House, START_MS, dag};
use manager_core::user_log::{Reader, Record, Step};
use manager_core::{Act, Command, Loaded, ScriptEnd, WakeReason};
use proto::nouns::{Ended, JobId, Subject};

const JOB: &str = "executable = /bin/w\ntransfer_executable = false\n";

fn logged(text: &str) -> Vec<Record> {
    let mut reader = Reader::new(text.as_bytes(), 2024);
    let mut records = Vec::new();
    loop {
        match reader.step() {
            Step::Event(record) => records.push(*record),
            Step::Waiting => return records,
            other => panic!("{other:?}\n{text}"),
        }
    }
}

/// Each event as `number cluster.proc`.
fn heads(text: &str) -> Vec<String> {
    let records = logged(text);
    let head = |record: &Record| format!("{} {}.{}", record.number, record.cluster, record.proc);
    records.iter().map(head).collect()
}

fn act(house: &mut House, act: Act, subject: Subject) {
    let reason = "somebody wants it so".to_owned();
    house.command(Command::Act {
        act,
        subject,
        reason,
    });
}

fn text_of(record: &Record, name: &str) -> String {
    record.attrs.eval(name).as_str().unwrap_or("").to_owned()
}

// === the user log ===

#[test]
fn a_job_is_told_of_from_its_submission_to_its_end() {
    let mut house = House::new();
    house.queue.set_log_offset(3600);
    let id = house.submit(&format!(
        "{JOB}log = logs/$(Cluster).log\ninitialdir = sub\nrequest_memory = 100\n\
         submit_event_notes = a note\nqueue\n"
    ));
    house.wait(60_000);
    house.runs(Ended::Exited(0));
    let path = format!("sub/logs/{id}.log");
    let records = logged(house.text(&path));
    let numbers: Vec<u16> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, [0, 1, 5]);
    assert_eq!(records[0].at.time.unix_s(3600), START_MS as i64 / 1000);
    assert_eq!(text_of(&records[0], "LogNotes"), "a note");
    assert_eq!(text_of(&records[1], "ExecuteHost"), "<w1>");
    assert_eq!(text_of(&records[1], "SlotName"), "w1");
    let end = &records[2].attrs;
    assert_eq!(end.eval("ReturnValue").as_i64(), Some(0));
    assert_eq!(end.eval("TerminatedNormally").as_bool(), Some(true));
    assert_eq!(end.eval("RequestMemory").as_i64(), Some(100));
    assert_eq!(end.eval("MemoryUsage").as_i64(), Some(3));
    assert_eq!(
        text_of(&records[2], "RunRemoteUsage"),
        "Usr 0 00:01:01, Sys 0 00:00:02"
    );
}

/// What happens to one job, and the events that its log has then.
#[test]
fn each_happening_has_its_event() {
    type Play = fn(&mut House, JobId);
    let rows: [(&str, &str, Play, &[u16]); 10] = [
        (
            "killed",
            "",
            |house, _| {
                house.runs(Ended::Signaled(9));
            },
            &[0, 1, 5],
        ),
        (
            "retried",
            "max_retries = 1",
            |house, _| {
                house.runs(Ended::Exited(3));
                house.runs(Ended::Exited(0));
            },
            &[0, 1, 4, 1, 5],
        ),
        (
            "vacated",
            "",
            |house, _| {
                house.runs(Ended::Vacated);
                house.runs(Ended::Exited(0));
            },
            &[0, 1, 4, 1, 5],
        ),
        (
            "lost",
            "",
            |house, _| {
                house.starts();
                house.hello(Vec::new());
            },
            &[0, 1, 4],
        ),
        (
            "lease expired",
            "",
            |house, _| {
                house.starts();
                house.tick(60_000);
            },
            &[0, 1, 4],
        ),
        (
            "never started",
            "",
            |house, _| house.faults("no room"),
            &[0, 7],
        ),
        (
            "held and released while idle",
            "hold = true",
            |house, job| act(house, Act::Release, Subject::Job(job)),
            &[0, 12, 13],
        ),
        (
            "held while it runs",
            "",
            |house, job| {
                house.starts();
                act(house, Act::Hold, Subject::Job(job));
            },
            &[0, 1, 4, 12],
        ),
        (
            "removed while it runs",
            "",
            |house, job| {
                house.starts();
                act(house, Act::Remove, Subject::Job(job));
            },
            &[0, 1, 9],
        ),
        (
            "too short to be seen running",
            "",
            |house, _| {
                let (claim, _) = house.orders.pop_front().unwrap();
                house.ends(claim, Ended::Exited(0));
            },
            &[0, 1, 5],
        ),
    ];
    for (name, line, play, expected) in rows {
        let mut house = House::new();
        let cluster = house.submit(&format!("{JOB}log = j.log\n{line}\nqueue\n"));
        play(&mut house, JobId { cluster, proc: 0 });
        let records = logged(house.text("j.log"));
        let numbers: Vec<u16> = records.iter().map(|record| record.number).collect();
        assert_eq!(numbers, expected, "{name}\n{}", house.text("j.log"));
    }
}

#[test]
fn a_requeued_job_says_how_it_ended_and_a_held_one_why() {
    let mut house = House::new();
    house.submit(&format!("{JOB}log = j.log\nmax_retries = 1\nqueue\n"));
    let job = house.runs(Ended::Exited(3));
    act(&mut house, Act::Hold, Subject::Job(job));
    let records = logged(house.text("j.log"));
    let again = &records[2].attrs;
    assert_eq!(again.eval("TerminatedAndRequeued").as_bool(), Some(true));
    assert_eq!(again.eval("ReturnValue").as_i64(), Some(3));
    let held = records.last().unwrap();
    assert_eq!(text_of(held, "HoldReason"), "somebody wants it so");
    assert_eq!(held.attrs.eval("HoldReasonCode").as_i64(), Some(1));
}

#[test]
fn a_large_cluster_is_told_of_first_and_its_jobs_when_something_happens() {
    let mut house = House::new();
    let id = house.submit(&format!("{JOB}log = j.log\nqueue 1001\n"));
    let last = JobId {
        cluster: id,
        proc: 1000,
    };
    // Nobody has heard of this job.
    act(&mut house, Act::Hold, Subject::Job(last));
    assert_eq!(house.orders.len(), 4);
    let told = heads(house.text("j.log"));
    let submits = |procs: std::ops::Range<u32>| procs.map(move |proc| format!("0 {id}.{proc}"));
    let cluster = || std::iter::once(format!("35 {id}.-1"));
    let expected: Vec<String> = cluster().chain(submits(0..4)).collect();
    assert_eq!(told, expected);
    let first = house.runs(Ended::Exited(0));
    act(&mut house, Act::Remove, Subject::Whole(id));
    let ends = [1, 2, 3, 4].map(|proc| format!("9 {id}.{proc}"));
    let expected: Vec<String> = expected
        .into_iter()
        .chain([
            format!("1 {first}"),
            format!("5 {first}"),
            format!("0 {id}.4"),
        ])
        .chain(ends)
        .chain([format!("36 {id}.-1")])
        .collect();
    let records = logged(house.text("j.log"));
    assert_eq!(heads(house.text("j.log")), expected);
    let removed = &records.last().unwrap().attrs;
    assert_eq!(removed.eval("NextProcId").as_i64(), Some(5));
}

#[test]
fn attributes_of_the_job_follow_each_event_where_they_are_asked_for() {
    let mut house = House::new();
    house.submit(&format!(
        "{JOB}log = j.log\n+Region = \"de\"\njob_ad_information_attrs = Region, Nothing\nqueue\n"
    ));
    let records = logged(house.text("j.log"));
    assert_eq!(records[1].number, 28);
    assert_eq!(text_of(&records[1], "Region"), "de");
    assert_eq!(text_of(&records[1], "TriggerEventTypeName"), "ULOG_SUBMIT");
}

/// A crash between the flush and the writing.
#[test]
fn a_restart_tells_again_what_the_log_misses_and_nothing_twice() {
    let mut house = House::new();
    house.submit(&format!("{JOB}log = j.log\nqueue 3\n"));
    let job = house.runs(Ended::Exited(0));
    act(
        &mut house,
        Act::Remove,
        Subject::Job(JobId { proc: 1, ..job }),
    );
    act(
        &mut house,
        Act::Hold,
        Subject::Job(JobId { proc: 2, ..job }),
    );
    let whole = house.text("j.log").to_owned();
    house.restart();
    assert_eq!(house.text("j.log"), whole);
    house.files.clear();
    house.restart();
    let (id, mut told) = (job.cluster, heads(house.text("j.log")));
    told.sort();
    let expected = ["0 *.0", "0 *.1", "0 *.2", "12 *.2", "5 *.0", "9 *.1"];
    assert_eq!(
        told,
        expected.map(|head| head.replace('*', &id.to_string()))
    );
    // Long after, nothing is told again.
    house.wait(60_000);
    let other = house.submit(&format!("{JOB}log = other.log\nqueue\n"));
    house.files.clear();
    house.restart();
    assert_eq!(house.text("j.log"), "");
    assert_eq!(heads(house.text("other.log")), [format!("0 {other}.0")]);
}

#[test]
fn each_job_has_the_log_that_its_description_names() {
    let mut house = House::new();
    let id = house.submit(&format!("{JOB}log = $(Process).log\nqueue 2\n"));
    assert_eq!(heads(house.text("1.log")), [format!("0 {id}.1")]);
    let id = house.submit(&format!("{JOB}queue log in (a.log b.log)\n"));
    assert_eq!(heads(house.text("b.log")), [format!("0 {id}.1")]);
    house.submit(&format!("{JOB}log = /dev/null\nqueue\n"));
    house.submit(&format!("{JOB}queue\n"));
    assert_eq!(house.files.len(), 4);
}

#[test]
fn nothing_is_written_where_the_submitter_is_on_another_machine() {
    let mut house = House::elsewhere();
    house.submit(&format!("{JOB}log = j.log\nqueue\n"));
    house.runs(Ended::Exited(0));
    assert!(house.files.is_empty());
}

// === nodes ===

fn script() -> Option<Box<Script>> {
    Some(Box::new(Script {
        program: "s.sh".to_owned(),
        arguments: Vec::new(),
        defer: None,
        debug: None,
    }))
}

/// `A` with both scripts and a retry, then `B`.
fn scripted() -> Dag {
    let mut dag = dag(
        "JOB A w.sub\nJOB B w.sub\nPARENT A CHILD B\nRETRY A 1\n",
        &format!("{JOB}log = n.log\n+pegasus_site = \"local\"\nqueue\n"),
    );
    dag.nodes[0].scripts.pre = script();
    dag.nodes[0].scripts.post = script();
    dag.nodes[0].pre_skip = Some(7);
    dag.papers.jobstate_log = Some("state.log".to_owned());
    dag
}

#[test]
fn scripts_are_told_of_in_the_log_of_the_nodes_jobs() {
    let mut house = House::new();
    house.submit_dag(scripted());
    house.script(ScriptEnd::Exited(0));
    house.runs(Ended::Exited(4));
    house.script(ScriptEnd::Signaled(9));
    house.script(ScriptEnd::Exited(7));
    let records = logged(house.text("n.log"));
    let numbers: Vec<u16> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, [0, 1, 5, 16, 34, 0]);
    assert_eq!(text_of(&records[0], "LogNotes"), "DAG Node: A");
    assert_eq!(text_of(&records[3], "DAGNodeName"), "A");
    assert_eq!(
        records[3].attrs.eval("TerminatedBySignal").as_i64(),
        Some(9)
    );
    assert_eq!(text_of(&records[5], "LogNotes"), "DAG Node: B");
}

#[test]
fn the_jobstate_log_has_dagmans_lines() {
    let mut house = House::new();
    let run = house.submit_dag(scripted());
    house.script(ScriptEnd::Exited(0));
    let first = house.runs(Ended::Exited(4));
    house.script(ScriptEnd::Exited(1));
    house.restart();
    house.hello(Vec::new());
    // The restart forgot that the script runs: it comes again.
    house.scripts.pop_front();
    house.script(ScriptEnd::Exited(0));
    let second = house.runs(Ended::Exited(0));
    house.script(ScriptEnd::Exited(0));
    let last = house.runs(Ended::Exited(0));
    let expected = format!(
        "INTERNAL *** DAGMAN_STARTED {run}.0 ***\n\
         A PRE_SCRIPT_STARTED - local - 1\nA PRE_SCRIPT_SUCCESS - local - 1\n\
         A SUBMIT {first} local - 1\nA EXECUTE {first} local - 1\n\
         A JOB_TERMINATED {first} local - 1\nA JOB_FAILURE 4 local - 1\n\
         A POST_SCRIPT_STARTED {first} local - 1\nA POST_SCRIPT_TERMINATED {first} local - 1\n\
         A POST_SCRIPT_FAILURE {first} local - 1\nA PRE_SCRIPT_STARTED - local - 2\n\
         INTERNAL *** RECOVERY_STARTED ***\nINTERNAL *** RECOVERY_FINISHED ***\n\
         A PRE_SCRIPT_STARTED - local - 2\nA PRE_SCRIPT_SUCCESS - local - 2\n\
         A SUBMIT {second} local - 2\nA EXECUTE {second} local - 2\n\
         A JOB_TERMINATED {second} local - 2\nA JOB_SUCCESS 0 local - 2\n\
         A POST_SCRIPT_STARTED {second} local - 2\nA POST_SCRIPT_TERMINATED {second} local - 2\n\
         A POST_SCRIPT_SUCCESS {second} local - 2\n\
         B SUBMIT {last} local - 3\nB EXECUTE {last} local - 3\n\
         B JOB_TERMINATED {last} local - 3\nB JOB_SUCCESS 0 local - 3\n\
         INTERNAL *** DAGMAN_FINISHED 0 ***\n"
    );
    let stamp = format!("{} ", START_MS / 1000);
    let lines = house.text("state.log").lines();
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(&stamp).unwrap())
        .collect();
    assert_eq!(lines.join("\n") + "\n", expected);
}

#[test]
fn a_sub_dag_is_a_job_of_its_node_and_a_noop_none() {
    let mut house = House::new();
    let submit = format!("{JOB}queue\n");
    let mut outer = dag(
        "JOB S w.sub NOOP\nJOB N w.sub NOOP\nPARENT S CHILD N\n",
        &submit,
    );
    outer.nodes[0].kind = NodeKind::Subdag {
        file: "inner.dag".to_owned(),
        reads: dags::dag::Reads::Dag,
    };
    outer.papers.jobstate_log = Some("state.log".to_owned());
    let run = house.submit_dag(outer);
    let inner = dag("JOB X w.sub\n", &submit);
    house.command(Command::Loaded {
        run,
        node: 0,
        dag: Ok(Loaded {
            dag: Arc::new(inner),
            digest: String::new(),
        }),
    });
    house.runs(Ended::Exited(0));
    let sub = run + 1;
    let expected = format!(
        "INTERNAL *** DAGMAN_STARTED {run}.0 ***\nS SUBMIT {sub}.0 - - 1\n\
         S EXECUTE {sub}.0 - - 1\nS JOB_TERMINATED {sub}.0 - - 1\nS JOB_SUCCESS 0 - - 1\n\
         N JOB_SUCCESS 0 - - 2\nINTERNAL *** DAGMAN_FINISHED 0 ***\n"
    );
    let stamp = format!("{} ", START_MS / 1000);
    assert_eq!(house.text("state.log").replace(&stamp, ""), expected);
}

#[test]
fn one_turn_is_one_writing_of_a_log() {
    let mut house = House::new();
    house.submit(&format!("{JOB}log = j.log\nqueue 50\n"));
    assert_eq!(house.writings, 1);
    assert_eq!(logged(house.text("j.log")).len(), 50);
}

// === papers ===

fn three() -> Dag {
    dag(
        "JOB A w.sub\nJOB B w.sub\nJOB C w.sub\nJOB D w.sub NOOP\n\
         PARENT A CHILD B C\nPARENT B C CHILD D\n",
        &format!("{JOB}queue\n"),
    )
}

fn dot(update: bool, overwrite: bool) -> Option<DotFile> {
    Some(DotFile {
        file: "run.dot".to_owned(),
        update,
        overwrite,
        header: Some("rankdir=LR;".to_owned()),
    })
}

#[test]
fn the_picture_is_of_the_start_unless_updates_are_asked_for() {
    let mut house = House::new();
    let mut dag = three();
    dag.papers.dot = dot(false, true);
    house.submit_dag(dag);
    let first = house.text("run.dot").to_owned();
    assert!(first.starts_with(
        "digraph DAG {\n    label=\"DAGMan Job status at Tue Jan  2 03:04:05 2024\";\n"
    ));
    assert!(first.contains("rankdir=LR;\n"));
    assert!(first.contains("\"A\" [label=\"A (I)\" shape=ellipse];"));
    assert!(first.contains("    \"A\" -> \"B\";\n"));
    house.runs(Ended::Exited(0));
    assert_eq!(house.text("run.dot"), first);
}

#[test]
fn updates_show_each_state_and_the_end() {
    let mut house = House::new();
    let mut dag = three();
    dag.papers.dot = dot(true, true);
    house.submit_dag(dag);
    assert!(house.text("run.dot").contains("A (R)"));
    house.runs(Ended::Exited(0));
    house.runs(Ended::Exited(1));
    let text = house.text("run.dot");
    for label in ["A (Done)", "B (E)", "C (R)", "D (F)"] {
        assert!(text.contains(label), "{label}\n{text}");
    }
    house.runs(Ended::Exited(0));
    assert!(house.text("run.dot").contains("C (Done)"));
}

#[test]
fn pictures_that_are_kept_have_numbers() {
    let mut house = House::new();
    let mut dag = three();
    dag.papers.dot = dot(true, false);
    house.submit_dag(dag);
    house.runs(Ended::Exited(0));
    assert!(house.text("run.dot.0").contains("A (I)"));
    assert!(house.text("run.dot.1").contains("A (R)"));
    assert!(
        house.text("run.dot.2").contains("A (R)") || house.text("run.dot.2").contains("A (Done)")
    );
    assert!(!house.files.contains_key("/home/ada/run.dot"));
}

fn status(interval_s: u32, always: bool) -> Option<StatusFile> {
    Some(StatusFile {
        file: "run.status".to_owned(),
        interval_s,
        always,
    })
}

/// The ads of a file: they stand behind each other, each in brackets of its own.
fn ads(text: &str) -> Vec<ClassAd> {
    let parts = text.split("]\n").filter(|part| !part.is_empty());
    parts
        .map(|part| ClassAd::parse(&format!("{part}]")).unwrap())
        .collect()
}

fn numbers(ad: &ClassAd, names: &[&str]) -> Vec<i64> {
    names
        .iter()
        .map(|name| ad.eval(name).as_i64().unwrap_or(-1))
        .collect()
}

const COUNTS: [&str; 9] = [
    "DagStatus",
    "NodesTotal",
    "NodesDone",
    "NodesQueued",
    "NodesReady",
    "NodesUnready",
    "NodesFutile",
    "NodesFailed",
    "JobProcsHeld",
];

#[test]
fn the_status_file_is_ads_of_the_run_its_nodes_and_the_end() {
    let mut house = House::new();
    let mut dag = three();
    dag.papers.node_status = status(0, false);
    house.submit_dag(dag);
    house.runs(Ended::Exited(0));
    let found = ads(house.text("run.status"));
    assert_eq!(found.len(), 6);
    assert_eq!(numbers(&found[0], &COUNTS), [3, 4, 1, 2, 0, 1, 0, 0, 0]);
    assert_eq!(found[1].eval("Node").as_str(), Some("A"));
    assert_eq!(found[1].eval("NodeStatus").as_i64(), Some(5));
    assert_eq!(found[2].eval("StatusDetails").as_str(), Some("not_idle"));
    assert_eq!(found[2].eval("JobProcsQueued").as_i64(), Some(1));
    assert_eq!(
        found[5].eval("EndTime").as_i64(),
        Some(START_MS as i64 / 1000)
    );
    let job = house.runs(Ended::Exited(2));
    act(&mut house, Act::Hold, Subject::Whole(job.cluster + 1));
    let found = ads(house.text("run.status"));
    assert_eq!(numbers(&found[0], &COUNTS), [3, 4, 1, 1, 0, 0, 1, 1, 1]);
    assert!(
        found[2]
            .eval("StatusDetails")
            .as_str()
            .unwrap()
            .contains("code 2")
    );
    act(&mut house, Act::Remove, Subject::Whole(job.cluster + 1));
    let found = ads(house.text("run.status"));
    assert_eq!(numbers(&found[0], &COUNTS[..2]), [6, 4]);
    assert_eq!(found[5].eval("NextUpdate").as_i64(), Some(0));
    assert!(
        house
            .text("run.status")
            .contains("/* \"STATUS_ERROR (failed)\" */")
    );
}

#[test]
fn the_status_file_keeps_its_interval_but_not_at_the_end() {
    let mut house = House::new();
    let mut dag = three();
    dag.papers.node_status = status(60, false);
    let run = house.submit_dag(dag);
    let first = house.text("run.status").to_owned();
    assert_eq!(
        ads(&first)[5].eval("NextUpdate").as_i64(),
        Some(START_MS as i64 / 1000 + 60)
    );
    house.runs(Ended::Exited(0));
    assert_eq!(house.text("run.status"), first);
    // The worker keeps its word meanwhile, so that nothing else is due.
    let due = house.queue.next_deadline().unwrap();
    assert!(
        matches!(due, (at, WakeReason::Lease { .. }) if at < 61_000),
        "{due:?}"
    );
    house.tick(60_000);
    assert_ne!(house.text("run.status"), first);
    act(&mut house, Act::Remove, Subject::Whole(run));
    assert!(house.text("run.status").contains("removed"));
}

#[test]
fn a_status_file_may_be_written_though_nothing_changed() {
    let mut house = House::new();
    let mut dag = three();
    dag.papers.node_status = status(1, true);
    let run = house.submit_dag(dag);
    let first = house.text("run.status").to_owned();
    let due = house.queue.next_deadline();
    assert_eq!(due, Some((6_000, WakeReason::Papers { run })));
    house.tick(5_000);
    let second = house.text("run.status").to_owned();
    assert_ne!(first, second);
    act(&mut house, Act::Remove, Subject::Whole(run));
    assert!(!matches!(
        house.queue.next_deadline(),
        Some((_, WakeReason::Papers { .. }))
    ));
}

#[test]
fn a_save_point_is_written_at_the_first_start_of_its_node() {
    let mut house = House::new();
    let mut dag = dag(
        "JOB A w.sub\nJOB B w.sub\nPARENT A CHILD B\nRETRY B 1\n",
        &format!("{JOB}queue\n"),
    );
    dag.nodes[0].save_point = Some("save.dag".to_owned());
    dag.nodes[1].save_point = Some("save.dag".to_owned());
    let run = house.submit_dag(dag);
    assert!(
        house
            .text("save.dag")
            .contains("# Nodes premarked DONE: 0\n")
    );
    house.runs(Ended::Exited(0));
    let saved = "# Save file, created at the start of the node B\n#   of the m.dag DAG file\n\
                 # Created 1/2/2024 03:04:05 UTC\n# Rescue DAG version: 2.1.0 (partial)\n#\n\
                 # Total number of Nodes: 2\n# Nodes premarked DONE: 1\n# Nodes that failed: 0\n\
                 #   <ENDLIST>\n\nDONE A\n";
    assert_eq!(house.text("save.dag"), saved);
    assert!(house.text("save.dag.old").contains("node A"));
    house.wait(60_000);
    house.runs(Ended::Exited(1));
    house.runs(Ended::Exited(1));
    assert_eq!(house.text("save.dag"), saved);
    let rescue = house.queue.rescue_text(house.now, run).unwrap();
    assert!(rescue.ends_with("#   B,<ENDLIST>\n\nDONE A\n"), "{rescue}");
    assert_eq!(house.queue.rescue_text(house.now, 99), None);
}
