//! What is changed of jobs in the queue, and untouched jobs that are held and removed as one: what
//! the records keep of it is what there was.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::submit::{Macros, Submit, parse_edits};
use manager_core::{
    Act, Change, Command, Delivery, Limits, NewCluster, Probe, Queue, Refusal, Reply, Tally,
};
use proto::nouns::{JobId, Now, Subject};

const LIMITS: Limits = Limits {
    jobs_max: 2_000_000,
    lease_ms: 30_000,
    beat_ms: 2_000,
    faults_max: 3,
    kill_grace_ms: 500,
    policy_interval_ms: 60_000,
};

/// A queue without workers, and its disk.
struct House {
    queue: Queue,
    now: Now,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl House {
    fn new() -> House {
        House {
            queue: Queue::new(7, LIMITS),
            now: Now {
                wall_ms: 1_704_164_645_000,
                mono_ms: 1_000,
            },
            disk: BTreeMap::new(),
        }
    }

    /// Carries a command out, and holds the records to the state.
    fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.now.wall_ms += 1_000;
        let step = self.queue.step(self.now, command);
        self.queue.finish_turn(self.now);
        for (key, value) in self.queue.take_changes() {
            match value {
                Some(value) => self.disk.insert(key.to_bytes(), value),
                None => self.disk.remove(&key.to_bytes()),
            };
        }
        let restored = Queue::restore(7, LIMITS, self.disk.clone()).unwrap();
        assert_eq!(restored.records(), self.queue.records());
        for (id, cluster) in self.queue.clusters() {
            assert_eq!(restored.clusters()[id].tally(), cluster.tally());
        }
        step.reply
    }

    fn submit(&mut self, text: &str) -> u32 {
        let files: BTreeMap<String, String> = BTreeMap::new();
        let text = format!("executable = /bin/work\ntransfer_executable = false\n{text}\n");
        let (submit, diagnostics) = Submit::parse("w.sub", &text, &files);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
        let reply = self.command(Command::SubmitCluster(Box::new(NewCluster {
            key: format!("c{}", self.disk.len()),
            owner: "ada".to_owned(),
            submit: Arc::new(submit),
            macros: Macros::new(),
            directory: "/home/ada".to_owned(),
            delivery: Delivery::Keep,
            files: BTreeMap::new(),
        })));
        match reply.unwrap() {
            Reply::Submitted { id } => id,
            reply => panic!("{reply:?}"),
        }
    }

    #[track_caller]
    fn act(&mut self, act: Act, subject: &str) -> u64 {
        let reply = self.command(Command::Act {
            act,
            subject: subject.parse().unwrap(),
            reason: "why not".to_owned(),
        });
        match reply.unwrap() {
            Reply::Acted { changed } => changed,
            reply => panic!("{reply:?}"),
        }
    }

    fn change(&mut self, subject: &str, change: Change) -> Result<Reply, Refusal> {
        let subject: Subject = subject.parse().unwrap();
        self.command(Command::Edit { subject, change })
    }

    fn edit(&mut self, subject: &str, name: &str, value: &str) -> Result<Reply, Refusal> {
        let edits = parse_edits([(name, value)]).unwrap();
        self.change(subject, Change::Attributes(Box::new(edits)))
    }

    fn shown(&self, job: &str, text: &str) -> String {
        let job: JobId = job.parse().unwrap();
        let cluster = &self.queue.clusters()[&job.cluster];
        let probe = Probe::parse(text).unwrap();
        self.queue.show(self.now, cluster, job.proc, &[probe])[0]
            .text
            .clone()
    }

    fn tally(&self, id: u32) -> Tally {
        self.queue.clusters()[&id].tally()
    }
}

#[test]
fn untouched_jobs_need_no_records_to_be_held_and_removed() {
    let mut house = House::new();
    let id = house.submit("queue 100000");
    let all = id.to_string();
    let records = house.disk.len();
    assert_eq!(house.act(Act::Hold, &all), 100_000);
    assert_eq!((house.tally(id).held, house.tally(id).idle), (100_000, 0));
    assert_eq!(house.disk.len(), records);
    assert_eq!(house.shown(&format!("{id}.77"), "HoldReason"), "why not");
    // One of them goes its own way.
    assert_eq!(house.act(Act::Release, &format!("{id}.5")), 1);
    assert_eq!(house.act(Act::Hold, &format!("{id}.5")), 1);
    assert_eq!(house.act(Act::Release, &format!("{id}.6")), 1);
    assert_eq!((house.tally(id).held, house.tally(id).idle), (99_999, 1));
    assert_eq!(house.act(Act::Release, &all), 99_999);
    assert_eq!(house.act(Act::Remove, &all), 100_000);
    assert_eq!(house.tally(id).removed, 100_000);
    assert!(house.queue.clusters()[&id].ended());
    assert_eq!(house.disk.len(), records + 2);
    assert_eq!(house.shown(&format!("{id}.99999"), "JobStatus"), "3");
}

#[test]
fn what_was_said_last_counts_for_jobs_that_are_not_over() {
    let mut house = House::new();
    let id = house.submit("request_memory = 100\nqueue 3");
    let job = |proc: u32| format!("{id}.{proc}");
    let all = id.to_string();
    house.edit(&all, "Tag", "1").unwrap();
    house.edit(&job(1), "Tag", "2").unwrap();
    house.act(Act::Remove, &job(2));
    let tags = |house: &House| [0, 1, 2].map(|proc| house.shown(&job(proc), "Tag"));
    assert_eq!(tags(&house), ["1", "2", "1"]);
    house.edit(&all, "Tag", "3").unwrap();
    assert_eq!(tags(&house), ["3", "3", "1"]);
    let refused = house.edit(&job(2), "Tag", "4").unwrap_err();
    assert!(refused.to_string().contains("it is removed"), "{refused}");

    // Amounts follow what they are computed from, and must be amounts.
    house.edit(&all, "Base", "10").unwrap();
    house.edit(&all, "RequestMemory", "Base * 2").unwrap();
    house.edit(&job(1), "Base", "50").unwrap();
    for (proc, memory) in [(0, 20), (1, 100)] {
        let cluster = &house.queue.clusters()[&id];
        let spec = house.queue.spec(cluster, proc).unwrap();
        assert_eq!(spec.request_memory_mib, memory, "{proc}");
    }
    let refused = house.edit(&all, "Base", "\"none\"").unwrap_err();
    assert!(matches!(refused, Refusal::BadEdit { .. }), "{refused}");
    assert_eq!(house.shown(&job(0), "RequestMemory"), "20");
}

#[test]
fn priorities_are_counted_from_what_they_are() {
    let mut house = House::new();
    let id = house.submit("priority = 3\nqueue 2");
    let job = |proc: u32| format!("{id}.{proc}");
    let all = id.to_string();
    house.change(&all, Change::PriorityBy(4)).unwrap();
    house.change(&job(1), Change::PriorityTo(-1)).unwrap();
    house.change(&all, Change::PriorityBy(10)).unwrap();
    let priority = |house: &House, proc| {
        let cluster = &house.queue.clusters()[&id];
        house.queue.priority(cluster, proc)
    };
    assert_eq!((priority(&house, 0), priority(&house, 1)), (17, 9));
    assert_eq!(house.shown(&job(1), "JobPrio"), "9");
    house.change(&all, Change::PriorityBy(i32::MAX)).unwrap();
    assert_eq!(priority(&house, 0), i64::from(i32::MAX));
}
