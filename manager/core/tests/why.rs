//! Why something waits: each cause by a row, what is advised tried out, and all counts held against
//! plain evaluation of every clause on every slot.

#![allow(clippy::unwrap_used)]

#[path = "why/house.rs"]
mod house;
#[path = "why/random.rs"]
mod random;

use std::collections::BTreeSet;

use house::{House, Machine, job, machine};
use manager_core::{Act, Causes, Command, Progress, Prospect, Why};
use proto::nouns::{Ended, JobId, Subject};

/// A pool, what is submitted one after the other, and the job that is asked about.
struct Row {
    machines: Vec<Machine>,
    rules: &'static str,
    submits: &'static [&'static str],
    of: (u32, u32),
    code: &'static str,
    prospect: Prospect,
    says: &'static str,
}

impl Row {
    fn new(code: &'static str, says: &'static str, submits: &'static [&'static str]) -> Row {
        Row {
            machines: vec![machine("w", "")],
            rules: "",
            submits,
            of: (1, 0),
            code,
            prospect: Prospect::NotNow,
            says,
        }
    }

    fn of(self, cluster: u32, proc: u32) -> Row {
        Row {
            of: (cluster, proc),
            ..self
        }
    }

    fn never(self) -> Row {
        Row {
            prospect: Prospect::Never,
            ..self
        }
    }

    fn rules(self, rules: &'static str) -> Row {
        Row { rules, ..self }
    }

    fn at(self, machines: Vec<Machine>) -> Row {
        Row { machines, ..self }
    }
}

fn why(house: &House, job: JobId) -> Why {
    house.queue.why(house.now, job).unwrap()
}

fn causes(house: &House) -> Vec<manager_core::Cause> {
    let mut causes = Causes::default();
    while causes.go_on(&house.queue, house.now) == Progress::More {}
    causes.finish()
}

#[test]
fn each_cause_has_its_code() {
    let starts = |start: &str| vec![machine("w", start)];
    let rows = [
        Row::new("W101", "no worker is connected", &["queue"]).at(Vec::new()),
        Row::new(
            "W102",
            "none of 1 worker can run it",
            &["requirements = Rack == 3\nqueue"],
        )
        .never(),
        Row::new("W102", "none of", &["request_gpus = 1\nqueue"]).never(),
        // What looks at the clock may say something else tomorrow.
        Row::new("W102", "none of", &["requirements = time() < 1000\nqueue"]),
        Row::new(
            "W103",
            "1 of 1 worker can run it and are busy",
            &["request_cpus = 4\nqueue 2"],
        )
        .of(1, 1),
        Row::new("W105", "their own requirements refuse it", &["queue"])
            .at(starts("Requirements = START\nSTART = TARGET.Nice =?= true"))
            .never(),
        Row::new(
            "W109",
            "not a job yet",
            &["max_materialize = 1\nrequest_cpus = 4\nqueue 3"],
        )
        .of(1, 2),
        Row::new(
            "W110",
            "of the limit `db` 2 of 3 are in use (ada 2), and it needs 2",
            &["concurrency_limits = db:2\nqueue 2"],
        )
        .rules("[limits]\ndb = 3\n")
        .of(1, 1),
        Row::new(
            "W110",
            "of the limit `db`",
            &["concurrency_limits = db:4\nqueue"],
        )
        .rules("[limits]\ndb = 3\n")
        .never(),
        Row::new(
            "W111",
            "1 jobs of ada run, and jobs_running_max is 1",
            &["queue 2"],
        )
        .rules("[user]\njobs_running_max = 1\n")
        .of(1, 1),
        Row::new("W111", "1 jobs run in the pool", &["queue 2"])
            .rules("jobs_running_max = 1\n")
            .of(1, 1),
        Row::new(
            "W112",
            "its group x has 2 of its quota of 2",
            &["accounting_group = x\nrequest_cpus = 2\nqueue 2"],
        )
        .rules("[groups.x]\nquota = 2\nsurplus = false\n")
        .of(1, 1),
    ];
    for row in rows {
        let mut house = House::with(&row.machines);
        house.rules(row.rules);
        for text in row.submits {
            house.submit(text);
        }
        let why = why(&house, job(row.of.0, row.of.1));
        let what = format!("{:?} {:?}: {why:#?}", row.submits, row.rules);
        assert_eq!((why.code, why.prospect), (row.code, row.prospect), "{what}");
        assert!(why.summary.contains(row.says), "{what}");
        let all = causes(&house);
        let told = all.iter().any(|cause| cause.code == row.code);
        assert!(told, "{what}\n{all:#?}");
    }
}

#[test]
fn what_the_workers_are_at_is_told() {
    let mut house = House::with(&[machine("a", ""), machine("b", "")]);
    house.drain("a");
    let first = house.submit("request_cpus = 4\nqueue 2");
    let waits = why(&house, job(first, 1));
    assert_eq!((waits.code, waits.busy, waits.drained), ("W103", 1, 1));
    assert_eq!(waits.holders.len(), 1);
    assert_eq!(waits.holders[0].job, job(first, 0));
    assert_eq!(waits.starts_in_ms, None, "nothing was measured: {waits:#?}");
    house.command(Command::Act {
        act: Act::Hold,
        subject: Subject::Job(job(first, 1)),
        reason: "coffee".to_owned(),
    });
    house.drain("b");
    let held = why(&house, job(first, 1));
    assert_eq!((held.code, held.prospect), ("W003", Prospect::NotNow));
    let next = house.submit("queue");
    let waits = why(&house, job(next, 0));
    assert_eq!((waits.code, waits.drained), ("W106", 2));
    let codes: Vec<(&str, u64)> = causes(&house)
        .iter()
        .map(|cause| (cause.code, cause.jobs))
        .collect();
    assert_eq!(codes, [("W003", 1), ("W106", 1)]);
    house.ends_after(job(first, 0), 10, Ended::Exited(0));
    assert_eq!(why(&house, job(first, 0)).prospect, Prospect::Well);
}

#[test]
fn the_start_is_estimated_from_what_was_measured() {
    let mut house = House::with(&[machine("w", "")]);
    let id = house.submit("request_cpus = 4\nqueue 4");
    assert_eq!(why(&house, job(id, 3)).starts_in_ms, None);
    house.ends_after(job(id, 0), 60_000, Ended::Exited(0));
    // The second has just begun and takes a minute; the third goes first, for another.
    let third = why(&house, job(id, 2));
    let fourth = why(&house, job(id, 3));
    assert_eq!(third.starts_in_ms, Some(60_000), "{third:#?}");
    assert_eq!(fourth.starts_in_ms, Some(120_000), "{fourth:#?}");
    let line = fourth.line.unwrap();
    assert_eq!((line.before, line.submitter.as_str()), (Some(1), "ada"));
    assert_eq!((line.weight, line.entitled, line.pool), (4.0, 4.0, 4.0));
    // Who cannot have the place does not count: it goes first, and elsewhere.
    house.submit("priority = 9\nrequirements = Rack == 7\nqueue 5");
    let fourth = why(&house, job(id, 3));
    let line = fourth.line.unwrap();
    assert_eq!((line.before, line.rivals), (Some(6), 1));
    assert_eq!(fourth.starts_in_ms, Some(120_000));
    assert_eq!(third.holders[0].until_ms, Some(house.now.wall_ms + 60_000));
}

/// Each advice, as `ATTR=EXPR`: how many slots.
fn advice(why: &Why) -> Vec<(String, u32)> {
    let of = |(name, text): &(String, String)| format!("{name}={text}");
    let changes = why.changes.iter().map(|change| {
        let edits: Vec<String> = change.edits.iter().map(of).collect();
        (edits.join(" "), change.slots)
    });
    changes.collect()
}

#[test]
fn the_smallest_change_is_one_that_helps() {
    let gpus = |name: &str, memory: &[u64]| Machine {
        gpus: memory.iter().map(|mib| (*mib, None)).collect(),
        ..machine(name, "")
    };
    let pool = [
        gpus("a", &[24_000]),
        gpus("b", &[24_000, 24_000]),
        gpus("c", &[16_000]),
        machine("d", "Rack = 2"),
    ];
    // What is asked, and advice that has to be among that which is given.
    let rows: [(&str, &[(&str, u32)]); 7] = [
        ("request_memory = 64000", &[("RequestMemory=4096", 4)]),
        ("request_cpus = 5", &[("RequestCpus=4", 4)]),
        (
            "request_gpus = 1\nrequirements = GPUs_GlobalMemoryMb >= 40000",
            &[("24000", 2)],
        ),
        (
            "request_gpus = 1\ngpus_minimum_memory = 40000",
            &[("GPUsMinMemory=24000", 2)],
        ),
        ("request_gpus = 3", &[("RequestGPUs=2", 1)]),
        (
            "request_gpu_memory = 30000",
            &[("RequestGPUMemory=24000", 2)],
        ),
        (
            "requirements = Rack == 3",
            &[("Rack == 2", 1), ("Requirements=", 4)],
        ),
    ];
    for (asks, expected) in rows {
        let mut house = House::with(&pool);
        let id = house.submit(&format!("{asks}\nqueue"));
        let before = why(&house, job(id, 0));
        let given = advice(&before);
        for (text, slots) in expected {
            let among = |(edit, n): &(String, u32)| edit.contains(text) && n == slots;
            assert!(given.iter().any(among), "{asks}: {given:#?}\n{before:#?}");
        }
        assert!(given.len() <= 5, "{given:#?}");
        // Each of them lets it run.
        for change in &before.changes {
            let mut house = House::with(&pool);
            let id = house.submit(&format!("{asks}\nqueue"));
            let pairs = change.edits.iter();
            let edits = pairs.map(|(name, text)| (name.as_str(), text.as_str()));
            house.edit(job(id, 0), dags::submit::parse_edits(edits).unwrap());
            let state = house.state(job(id, 0));
            assert_eq!(state.name(), "Running", "{asks}: {change:?}");
        }
    }
    // What a worker refuses may be what the job asks for.
    let mut house = House::with(&[machine("w", "Requirements = TARGET.RequestMemory <= 2000")]);
    let id = house.submit("request_memory = 3000\nqueue");
    let found = why(&house, job(id, 0));
    assert_eq!(found.code, "W105");
    assert_eq!(
        advice(&found),
        [("RequestMemory=2000".to_owned(), 1)],
        "{found:#?}"
    );
    let side = &found.other_side[0];
    assert_eq!(
        (side.of, side.alone, side.text.as_str()),
        (1, 0, "TARGET.RequestMemory <= 2000")
    );

    let mut house = House::with(&pool);
    let id = house.submit("request_cpus = 5\nrequirements = Rack == 3\nqueue");
    assert_eq!(
        advice(&why(&house, job(id, 0))),
        [],
        "no single change helps"
    );
}

#[test]
fn gpus_are_counted_device_by_device() {
    let broken = Some("fell off the bus".to_owned());
    let pool = [
        Machine {
            gpus: vec![(80_000, None), (80_000, broken)],
            ..machine("a", "")
        },
        Machine {
            gpus: vec![(24_000, None)],
            ..machine("b", "")
        },
    ];
    let mut house = House::with(&pool);
    let id = house.submit("request_gpus = 2\nrequire_gpus = GlobalMemoryMb > 30000\nqueue");
    let found = why(&house, job(id, 0));
    assert_eq!((found.code, found.prospect), ("W102", Prospect::Never));
    let device = &found.devices[0];
    assert_eq!((device.of, device.alone, device.in_order), (2, 1, 1));
    let miss = device.nearest_miss.as_deref().unwrap();
    assert_eq!(miss, "GlobalMemoryMb is 24000 on b, needs > 30000");
    let worker = house.queue.why_worker(house.now, &"a".parse().unwrap());
    let hints = worker.unwrap().hints.join("\n");
    assert!(hints.contains("broken: fell off the bus"), "{hints}");
}

#[test]
fn nodes_say_what_they_wait_for() {
    let mut house = House::with(&[machine("w", "")]);
    let dag = "JOB a w.sub\nJOB b w.sub\nJOB c w.sub\nPARENT a b CHILD c\nMAXJOBS x 1\n\
        CATEGORY a x\nCATEGORY b x\n";
    let run = house.submit_dag(dag, "request_memory = 64000\nqueue");
    let ask = |house: &House, node: &str| house.queue.why_node(house.now, run, node);
    let rows = [
        ("a", "W102", "none of 1 worker can run it"),
        ("b", "W202", "MAXJOBS is 1"),
        (
            "c",
            "W201",
            "it waits for 2 parents: a (running), b (waiting)",
        ),
        ("C", "W201", "it waits for 2 parents"),
    ];
    for (node, code, says) in rows {
        let (job, why) = ask(&house, node).unwrap();
        assert_eq!(why.code, code, "{node}: {why:#?}");
        assert!(why.summary.contains(says), "{node}: {why:#?}");
        assert_eq!(job.is_some(), node == "a", "{node}");
    }
    assert!(ask(&house, "d").is_none());
    let first = ask(&house, "a").unwrap().0.unwrap();
    house.command(Command::Act {
        act: Act::Remove,
        subject: Subject::Job(first),
        reason: "enough".to_owned(),
    });
    let codes: Vec<&str> = ["a", "c"]
        .into_iter()
        .map(|node| ask(&house, node).unwrap().1.code)
        .collect();
    assert_eq!(codes, ["W005", "W204"]);
}

#[test]
fn workers_say_why_they_get_nothing() {
    let mut house = House::with(&[
        machine("plain", ""),
        machine(
            "picky",
            "Requirements = START\nSTART = TARGET.Owner == \"bob\" && Rack == 1",
        ),
        machine("full", "Rack = 1"),
        machine("away", ""),
    ]);
    let ask = |house: &House, name: &str| {
        let name = name.parse().unwrap();
        house.queue.why_worker(house.now, &name).unwrap()
    };
    assert_eq!(ask(&house, "plain").code, "W309");
    house.submit("request_cpus = 4\nrequirements = Machine =!= 1 && Rack == 1\nqueue 3");
    house.drain("away");
    house.submit("requirements = Rack == 7\nqueue 2");
    let rows = [
        ("plain", "W307", Prospect::Never),
        ("picky", "W307", Prospect::Never),
        ("full", "W308", Prospect::Well),
        ("away", "W303", Prospect::NotNow),
    ];
    for (name, code, prospect) in rows {
        let why = ask(&house, name);
        assert_eq!(
            (why.code, why.prospect),
            (code, prospect),
            "{name}: {why:#?}"
        );
    }
    house.submit("request_memory = 10\nqueue 5");
    let picky = ask(&house, "picky");
    let counts: Vec<(&str, u32, u32)> = picky
        .clauses
        .iter()
        .map(|clause| (clause.text.as_str(), clause.of, clause.alone))
        .collect();
    let waiting = picky.clauses[0].of;
    assert_eq!(counts[0].2, 0, "{picky:#?}");
    assert_eq!(waiting, house.idle_jobs(), "{picky:#?}");
    let refusing: Vec<&str> = ask(&house, "plain")
        .other_side
        .iter()
        .map(|clause| clause.text.clone())
        .map(|text| {
            if text.contains("Rack") {
                "rack"
            } else {
                "other"
            }
        })
        .collect();
    assert_eq!(refusing, ["rack", "rack"]);
}

#[test]
fn counts_are_those_of_plain_evaluation() {
    let mut seen = BTreeSet::new();
    for seed in 1..=60 {
        seen.extend(random::check(seed));
    }
    let wanted = ["W102", "W103", "W105", "W106", "changes", "devices"];
    assert!(wanted.iter().all(|what| seen.contains(what)), "{seen:?}");
}
