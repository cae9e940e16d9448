//! The policies of jobs' own descriptions, on a clock that the rows move: what is held, released,
//! removed or run again, and when the queue wants to be woken for it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::Arc;

use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use manager_core::{
    Act, Command, Delivery, Effect, Limits, NewCluster, NewRun, NodeState, ProcState, Queue, Reply,
    Step, WakeReason,
};
use proto::nouns::{
    ClaimId, Ended, JobId, Now, Offer, Report, Subject, ToManager, ToWorker, WorkOrder, WorkerName,
};

const LIMITS: Limits = Limits {
    jobs_max: 2_000_000,
    lease_ms: 1_000_000_000,
    beat_ms: 2_000,
    faults_max: 3,
    kill_grace_ms: 500,
    policy_interval_ms: 60_000,
};
const PROGRAM: &str = "executable = /bin/work\ntransfer_executable = false\n";

/// A queue with one worker, which does as it is told.
struct House {
    queue: Queue,
    now: Now,
    orders: VecDeque<(ClaimId, WorkOrder)>,
    /// The claim that runs.
    running: Option<ClaimId>,
    delivery: Delivery,
    landed: usize,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    session: u64,
}

fn worker() -> WorkerName {
    WorkerName::from_str("w1").unwrap()
}

impl House {
    fn new(delivery: Delivery) -> House {
        let mut house = House {
            queue: Queue::new(7, LIMITS),
            now: Now {
                wall_ms: 1_704_164_645_000,
                mono_ms: 1_000,
            },
            orders: VecDeque::new(),
            running: None,
            delivery,
            landed: 0,
            disk: BTreeMap::new(),
            session: 0,
        };
        house.hello();
        house
    }

    fn hello(&mut self) {
        self.session += 1;
        let ad = "Machine = \"m\"\nArch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true\n\
            Region = \"north\"\nHasNothing = undefined";
        let offer = Offer {
            ad: ad.to_owned(),
            cpus: 1,
            memory_mib: 8192,
            disk_kib: 1 << 30,
            gpus: Vec::new(),
            resources: std::collections::BTreeMap::new(),
        };
        let waiting = self.orders.iter().map(|(claim, _)| *claim);
        let claims = self.running.into_iter().chain(waiting).collect();
        self.says(ToManager::Hello {
            worker: worker(),
            boot: 1,
            version: "test".to_owned(),
            offer,
            claims,
            cached: Vec::new(),
        });
    }

    fn says(&mut self, message: ToManager) {
        let (worker, session) = (worker(), self.session);
        self.command(Command::Session {
            worker,
            session,
            message,
        });
    }

    fn command(&mut self, command: Command) -> Option<Reply> {
        let step = self.queue.step(self.now, command);
        self.turn(step)
    }

    fn turn(&mut self, mut step: Step) -> Option<Reply> {
        let last = self.queue.finish_turn(self.now);
        step.effects.extend(last.effects);
        for (key, value) in self.queue.take_changes() {
            match value {
                Some(value) => self.disk.insert(key.to_bytes(), value),
                None => self.disk.remove(&key.to_bytes()),
            };
        }
        for effect in step.effects {
            self.act(effect);
        }
        step.reply.ok()
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Tell {
                message: ToWorker::Activate { claim, order, .. },
                ..
            } => self.orders.push_back((claim, *order)),
            Effect::Tell {
                message: ToWorker::Vacate { claim, .. },
                ..
            } => {
                self.orders.retain(|(order, _)| *order != claim);
                self.running.take_if(|running| *running == claim);
                self.ends(claim, Ended::Vacated);
            }
            Effect::Land(landing) => {
                self.landed += landing.files.len();
                let (job, result) = (landing.job, Ok(()));
                self.command(Command::Landed { job, result });
            }
            Effect::Tell { .. }
            | Effect::Write(_)
            | Effect::Script(_)
            | Effect::Ask(_)
            | Effect::Keep { .. }
            | Effect::StopScript { .. }
            | Effect::Load(_)
            | Effect::Collect(_) => {}
        }
    }

    fn ends(&mut self, claim: ClaimId, ended: Ended) {
        let report = Report::new(ended, self.now.wall_ms, self.now.wall_ms);
        let report = Box::new(report);
        self.says(ToManager::Finished { claim, report });
    }

    fn submit(&mut self, text: &str) -> u32 {
        let files: BTreeMap<String, String> = BTreeMap::new();
        let text = format!("{PROGRAM}{text}\n");
        let (submit, diagnostics) = Submit::parse("w.sub", &text, &files);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
        let reply = self.command(Command::SubmitCluster(Box::new(NewCluster {
            key: format!("c{}", self.disk.len()),
            owner: "ada".to_owned(),
            submit: Arc::new(submit),
            macros: Macros::new(),
            directory: "/home/ada".to_owned(),
            delivery: self.delivery,
            files: BTreeMap::new(),
        })));
        let Some(Reply::Submitted { id }) = reply else {
            panic!("{reply:?}");
        };
        id
    }

    fn submit_dag(&mut self, dag: &str, submit: &str) -> u32 {
        let submit = format!("{PROGRAM}{submit}\nqueue\n");
        let files: BTreeMap<String, String> = [("m.dag", dag), ("w.sub", submit.as_str())]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        let (dag, diagnostics) = Dag::load("m.dag", &files);
        let dag = dag.unwrap_or_else(|| panic!("{}", diagnostics.render()));
        let reply = self.command(Command::SubmitRun(Box::new(NewRun {
            key: format!("r{}", self.disk.len()),
            owner: "ada".to_owned(),
            dag: Arc::new(dag),
            digest: String::new(),
            environment: BTreeMap::new(),
            continues: None,
            subdags: BTreeMap::new(),
            directory: "/home/ada".to_owned(),
            delivery: self.delivery,
            files: BTreeMap::new(),
        })));
        let Some(Reply::Submitted { id }) = reply else {
            panic!("{reply:?}");
        };
        id
    }

    /// Carries out one word of a row.
    fn does(&mut self, job: JobId, word: &str) {
        let (verb, number) = word.split_once(' ').unwrap_or((word, "0"));
        let number: i32 = number.parse().unwrap();
        let act = |act| Command::Act {
            act,
            subject: Subject::Job(job),
            reason: "somebody says so".to_owned(),
        };
        match verb {
            "submitted" => {}
            "starts" => {
                let (claim, _) = self.orders.pop_front().expect("an order");
                self.running = Some(claim);
                self.says(ToManager::Started { claim });
            }
            "exits" | "dies" => {
                if self.running.is_none() {
                    self.does(job, "starts");
                }
                let claim = self.running.take().unwrap();
                let ended = match verb {
                    "exits" => Ended::Exited(number),
                    _ => Ended::Signaled(number),
                };
                self.ends(claim, ended);
            }
            "after" => self.pass(u64::try_from(number).unwrap() * 1_000),
            "held" => assert!(self.command(act(Act::Hold)).is_some()),
            "released" => assert!(self.command(act(Act::Release)).is_some()),
            "restarted" => {
                let disk = self.disk.clone();
                self.queue = Queue::restore(7, LIMITS, disk).unwrap();
                let step = self.queue.recover(self.now);
                self.turn(step);
                self.hello();
            }
            _ => panic!("{word}"),
        }
    }

    /// Lets time pass, and wakes the queue when it asked for it.
    fn pass(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        while let Some((at, _)) = self.queue.next_deadline().filter(|(at, _)| *at <= until) {
            let passed = at.saturating_sub(self.now.mono_ms);
            self.now.mono_ms += passed;
            self.now.wall_ms += passed;
            self.command(Command::Tick);
        }
        self.now.wall_ms += until - self.now.mono_ms;
        self.now.mono_ms = until;
    }

    fn state(&self, job: JobId) -> String {
        let (_, proc) = self.queue.job(job).unwrap();
        let name = proc.state.name();
        match &proc.state {
            ProcState::Idle | ProcState::Running { .. } | ProcState::Landing { .. } => {
                name.to_owned()
            }
            ProcState::Held { code, reason, .. } => {
                format!("Held {}.{} {reason}", code.number(), code.subcode())
            }
            ProcState::Completed { ending } => match &ending.failure {
                Some(failure) => format!("Failed {failure}"),
                None => name.to_owned(),
            },
            ProcState::Removed { reason } => format!("Removed {reason}"),
        }
    }

    /// Attributes of a job's ad, as they are in the long form.
    fn ad(&self, job: JobId) -> classad::ClassAd {
        let (cluster, _) = self.queue.job(job).unwrap();
        let spec = self.queue.whole_spec(cluster, job.proc).unwrap();
        self.queue.job_ad(cluster, job, &spec)
    }
}

/// A description, and what is done in turn with the state that it leads to: a whole one, or how it
/// begins where it ends in `…`.
type Scene<'a> = (&'a str, &'a [(&'a str, &'a str)]);

#[track_caller]
fn check(scenes: &[Scene<'_>]) {
    for (text, script) in scenes {
        for delivery in [Delivery::Write, Delivery::Keep] {
            let mut house = House::new(delivery);
            let cluster = house.submit(&format!("{text}\nqueue"));
            let job = JobId { cluster, proc: 0 };
            for (at, (word, expected)) in script.iter().enumerate() {
                house.does(job, word);
                let found = house.state(job);
                let fits = match expected.strip_suffix('…') {
                    Some(head) => found.starts_with(head),
                    None => found == *expected,
                };
                let scene = format!("{text}\n{script:?}\nstep {at}, {word}");
                assert!(fits, "{scene}\nfound {found}\nexpected {expected}");
            }
        }
    }
}

#[test]
fn a_job_leaves_when_its_policy_says_so() {
    check(&[
        ("", &[("exits 0", "Completed")]),
        ("", &[("exits 3", "Failed exited with code 3")]),
        (
            "max_retries = 2",
            &[
                ("exits 1", "Running"),
                ("dies 9", "Running"),
                ("exits 1", "Failed exited with code 1"),
            ],
        ),
        (
            "max_retries = 2",
            &[
                ("exits 1", "Running"),
                ("restarted", "Running"),
                ("exits 0", "Completed"),
            ],
        ),
        (
            "max_retries = 1\nsuccess_exit_code = 4",
            &[("exits 0", "Running"), ("exits 4", "Completed")],
        ),
        // It ends the retries, and does not make a success.
        (
            "max_retries = 5\nretry_until = 7",
            &[
                ("exits 1", "Running"),
                ("exits 7", "Failed exited with code 7"),
            ],
        ),
        (
            "retry_until = ExitCode > 100",
            &[
                ("exits 1", "Running"),
                ("exits 101", "Failed exited with code 101"),
            ],
        ),
        (
            "on_exit_remove = NumJobCompletions == 3",
            &[
                ("exits 0", "Running"),
                ("exits 0", "Running"),
                ("exits 0", "Completed"),
            ],
        ),
        (
            "on_exit_remove = ExitBySignal == false",
            &[("dies 9", "Running"), ("exits 0", "Completed")],
        ),
        (
            "on_exit_remove = Nobody == 1",
            &[(
                "exits 0",
                "Held 5.0 The job attribute OnExitRemove expression 'Nobody == 1' evaluated to UNDEFINED",
            )],
        ),
    ]);
}

#[test]
fn a_job_is_held_for_how_it_ended() {
    check(&[
        (
            "on_exit_hold = ExitCode == 3",
            &[
                (
                    "exits 3",
                    "Held 3.0 The job attribute OnExitHold expression 'ExitCode == 3' evaluated to TRUE",
                ),
                ("restarted", "Held 3.0 …"),
                ("released", "Running"),
                ("exits 0", "Completed"),
            ],
        ),
        (
            "on_exit_hold = ExitCode =!= 0\non_exit_hold_reason = strcat(\"code \", ExitCode)\n\
             on_exit_hold_subcode = 10 + ExitCode\noutput = out",
            &[("exits 7", "Held 3.17 code 7"), ("released", "Running")],
        ),
        // It is asked before `max_retries`.
        (
            "on_exit_hold = ExitCode == 3\nmax_retries = 4",
            &[("exits 1", "Running"), ("exits 3", "Held 3.0 …")],
        ),
        (
            "on_exit_hold = ExitSignal == 9",
            &[(
                "exits 0",
                "Held 5.0 The job attribute OnExitHold expression 'ExitSignal == 9' evaluated to UNDEFINED",
            )],
        ),
        (
            "on_exit_hold = ExitSignal =?= 9",
            &[("exits 0", "Completed")],
        ),
    ]);
}

#[test]
fn periodic_policies_are_looked_at_when_it_is_time() {
    check(&[
        (
            "periodic_remove = time() - QDate > 100\nrequirements = false",
            &[
                ("after 60", "Idle"),
                (
                    "after 60",
                    "Removed The job attribute PeriodicRemove expression 'time() - QDate > 100' evaluated to TRUE",
                ),
            ],
        ),
        (
            "periodic_hold = JobStatus == 2 && time() - JobCurrentStartDate > 90\n\
             periodic_hold_reason = \"too long\"\nperiodic_hold_subcode = 4",
            &[
                ("starts", "Running"),
                ("after 119", "Running"),
                ("restarted", "Running"),
                ("after 61", "Held 3.4 too long"),
            ],
        ),
        (
            "on_exit_hold = ExitCode == 1\nperiodic_release = NumJobStarts < 3",
            &[
                ("exits 1", "Held 3.0 …"),
                ("after 59", "Held 3.0 …"),
                ("after 1", "Running"),
                ("exits 1", "Held 3.0 …"),
                ("after 60", "Running"),
                ("exits 1", "Held 3.0 …"),
                ("after 600", "Held 3.0 …"),
            ],
        ),
        // What somebody holds stays held.
        (
            "periodic_release = true",
            &[("held", "Held 1.0 …"), ("after 600", "Held 1.0 …")],
        ),
        (
            "periodic_release = true\nhold = true",
            &[("after 600", "Held 15.0 …"), ("released", "Running")],
        ),
        (
            "periodic_vacate = JobStatus == 2 && NumJobStarts < 2",
            &[
                ("starts", "Running"),
                ("after 60", "Running"),
                ("starts", "Running"),
                ("after 600", "Running"),
                ("exits 0", "Completed"),
            ],
        ),
        // The first that has something to say counts.
        (
            "periodic_hold = NumJobStarts > 0\nperiodic_remove = NumJobStarts > 0",
            &[("after 60", "Removed …")],
        ),
        // A change of state is a time to look, too.
        ("periodic_remove = NumHolds >= 1", &[("held", "Removed …")]),
        (
            "periodic_hold = Nobody\nperiodic_release = true",
            &[
                ("submitted", "Held 5.0 …"),
                // Each minute once, and not without end.
                ("after 60", "Held 5.0 …"),
            ],
        ),
        ("periodic_hold = undefined", &[("after 600", "Running")]),
    ]);
}

#[test]
fn a_run_has_its_time() {
    check(&[
        (
            "allowed_execute_duration = 100",
            &[
                ("after 1000", "Running"),
                ("starts", "Running"),
                ("after 99", "Running"),
                ("restarted", "Running"),
                (
                    "after 1",
                    "Held 47.0 The job exceeded allowed execute duration of 0+00:01:40",
                ),
                ("released", "Running"),
                ("starts", "Running"),
                ("after 50", "Running"),
                ("exits 0", "Completed"),
                ("after 500", "Completed"),
            ],
        ),
        (
            "allowed_job_duration = 3700\nallowed_execute_duration = 3650",
            &[
                ("after 100", "Running"),
                ("starts", "Running"),
                ("after 3599", "Running"),
                (
                    "after 1",
                    "Held 46.0 The job exceeded allowed job duration of 0+01:01:40",
                ),
            ],
        ),
    ]);
}

#[test]
fn nobody_wakes_for_policies_that_nobody_has() {
    let due = |house: &House| {
        let due = house.queue.next_deadline();
        due.filter(|(_, why)| *why == WakeReason::Policies)
    };
    let mut house = House::new(Delivery::Keep);
    house.submit("max_retries = 3\non_exit_hold = ExitCode == 4\nrequirements = false\nqueue 5");
    assert_eq!(due(&house), None);
    let id = house.submit("periodic_remove = false\nperiodic_hold = JobStatus == 7\nqueue");
    assert_eq!(due(&house), Some((61_000, WakeReason::Policies)));
    let job = JobId {
        cluster: id,
        proc: 0,
    };
    house.does(job, "after 90");
    assert_eq!(due(&house), Some((121_000, WakeReason::Policies)));
    house.does(job, "exits 0");
    assert_eq!(due(&house), None);
}

#[test]
fn a_million_jobs_that_are_alike_are_looked_at_as_one() {
    let mut house = House::new(Delivery::Keep);
    let text =
        "requirements = false\nperiodic_remove = time() - QDate > 100 || HoldReasonCode =?= 13";
    let id = house.submit(&format!("{text}\nqueue 1000000"));
    house.pass(60_000);
    let mut turns = 0;
    while house.queue.next_deadline().is_some_and(|(at, _)| at == 0) {
        house.command(Command::Tick);
        turns += 1;
    }
    assert_eq!(turns, 0);
    assert_eq!(house.queue.clusters()[&id].tally().idle, 1_000_000);

    // What is to be done is done a piece at a time.
    house.now.mono_ms += 60_000;
    house.now.wall_ms += 60_000;
    house.command(Command::Tick);
    let removed = house.queue.clusters()[&id].tally().removed;
    assert!((1..10_000).contains(&removed), "{removed}");
    assert_eq!(
        house.queue.next_deadline(),
        Some((0, WakeReason::Unfinished))
    );

    // Jobs that may differ are looked at one by one, and all of them.
    let mut house = House::new(Delivery::Keep);
    let text = "requirements = false\nperiodic_remove = ProcId % 1000 == 999";
    let id = house.submit(&format!("{text}\nqueue 3000"));
    house.pass(60_000);
    assert_eq!(house.queue.clusters()[&id].tally().removed, 3);
}

#[test]
fn files_of_a_held_job_are_written_once() {
    let mut house = House::new(Delivery::Write);
    let id = house.submit("output = out\non_exit_hold = ExitCode == 1\nqueue");
    let job = JobId {
        cluster: id,
        proc: 0,
    };
    house.does(job, "exits 1");
    assert_eq!(house.landed, 1);
    assert!(house.state(job).starts_with("Held"));
    house.does(job, "released");
    house.does(job, "exits 0");
    assert_eq!(
        (house.landed, house.state(job)),
        (2, "Completed".to_owned())
    );
}

#[test]
fn the_ad_tells_what_became_of_the_job() {
    let mut house = House::new(Delivery::Keep);
    let text = "on_exit_hold = ExitCode =?= 3\non_exit_hold_subcode = 8\nmax_retries = 1";
    let id = house.submit(&format!("{text}\nqueue"));
    let job = JobId {
        cluster: id,
        proc: 0,
    };
    let rows: [(&str, &str); 5] = [
        (
            "submitted",
            "JobStatus == 2 && NumJobStarts == 1 && CurrentHosts == 1 && RemoteHost == \"slot1@w1\" && Iwd == \"/home/ada\" && Cmd == \"/bin/work\" && JobCurrentStartDate == QDate && HoldReason is undefined && ExitCode is undefined",
        ),
        (
            "dies 9",
            "ExitBySignal && ExitSignal == 9 && ExitCode is undefined && NumJobCompletions == 1 && NumJobStarts == 2 && LastRemoteHost == \"slot1@w1\"",
        ),
        ("after 30", "JobStatus == 2 && RemoteWallClockTime == 0.0"),
        (
            "exits 3",
            "JobStatus == 5 && HoldReasonCode == 3 && HoldReasonSubCode == 8 && NumHolds == 1 && NumJobCompletions == 2 && ExitCode == 3 && !ExitBySignal && RemoteWallClockTime == 30.0 && EnteredCurrentStatus == QDate + 30 && JobStartDate == QDate",
        ),
        (
            "restarted",
            "JobStatus == 5 && HoldReasonCode == 3 && NumJobCompletions == 2 && ExitCode == 3 && RemoteWallClockTime == 30.0",
        ),
    ];
    for (word, holds) in rows {
        house.does(job, word);
        let mut ad = house.ad(job);
        for clause in holds.split("&&") {
            ad.insert_expr("Test", clause).unwrap();
            assert_eq!(
                ad.eval("Test").as_bool(),
                Some(true),
                "{word}: {clause}\n{}",
                ad.to_long()
            );
        }
    }
}

#[test]
fn what_the_machine_decides_is_filled_in_at_the_match() {
    let text = "arguments = $$(Region) $$([TARGET.Cpus + 1]) $$(Nobody:none) $$(Memory)\n\
        output = $$(Region).out\n+Where = \"in $$(Region)\"\nrequest_memory = 300";
    let mut house = House::new(Delivery::Write);
    let id = house.submit(&format!("{text}\nqueue"));
    let job = JobId {
        cluster: id,
        proc: 0,
    };
    let order = &house.orders[0].1;
    assert_eq!(order.arguments, ["north", "2", "none", "300"]);
    for word in ["starts", "restarted", "exits 0"] {
        let ad = house.ad(job);
        assert_eq!(ad.eval("Where").as_str(), Some("in north"));
        assert_eq!(ad.eval("MATCH_Region").as_str(), Some("north"));
        house.does(job, word);
    }
    assert_eq!(house.state(job), "Completed");
    let (_, proc) = house.queue.job(job).unwrap();
    let report = &proc.ending().unwrap().report;
    let files = house.queue.landing_files(job, report);
    assert_eq!(files[0].0, "north.out");

    check(&[
        (
            "arguments = $$(Nobody)",
            &[(
                "submitted",
                "Held 5.0 Args: `$$(Nobody)` has no value: the machine's ad has no `Nobody`",
            )],
        ),
        // Where it ran says nothing of where it will.
        (
            "arguments = $$(Region)",
            &[
                ("starts", "Running"),
                ("held", "Held 1.0 …"),
                ("released", "Running"),
            ],
        ),
    ]);
}

#[test]
fn nodes_follow_the_policies_of_their_jobs() {
    let rows: [(&str, &[&str], &str); 4] = [
        ("max_retries = 1", &["exits 1", "exits 0"], "Done"),
        ("on_exit_hold = ExitCode == 1", &["exits 1"], "Running"),
        (
            "on_exit_hold = ExitCode == 1\nperiodic_release = true",
            &["exits 1", "after 60", "exits 0"],
            "Done",
        ),
        ("arguments = $$(Nobody)", &[], "Failed"),
    ];
    for (text, words, expected) in rows {
        let mut house = House::new(Delivery::Keep);
        let run = house.submit_dag("JOB a w.sub\n", text);
        let cluster = house.queue.runs()[&run].nodes[0].cluster.unwrap();
        for word in words {
            house.does(JobId { cluster, proc: 0 }, word);
        }
        let found = match &house.queue.runs()[&run].nodes[0].state {
            NodeState::Done => "Done",
            NodeState::Failed { .. } => "Failed",
            NodeState::Running => "Running",
            _ => "other",
        };
        assert_eq!(found, expected, "{text}");
    }
}
