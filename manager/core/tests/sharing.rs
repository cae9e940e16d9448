//! What jobs share: the pool among users and groups, concurrency limits, GPUs device by device and by
//! their memory, custom resources, files that workers have already, and slots in which short jobs
//! follow each other. Each change is followed by a look at what a restart would make of the records.

#![allow(clippy::unwrap_used)]

#[path = "shared/farm.rs"]
mod farm;

use std::collections::BTreeMap;

use farm::{Farm, job, offer};
use manager_core::{Act, DeviceUse, ProcState, Setting};
use proto::nouns::{Blob, Digest, Ended, Offer, OfferedGpu, Subject, VacateReason};

/// A worker with so many cores, and GPUs of so many GiB.
fn with_gpus(cpus: u32, gib: &[u64]) -> Offer {
    let gpus = gib.iter().enumerate().map(|(at, gib)| {
        let mib = gib * 1024;
        OfferedGpu {
            id: format!("GPU-{at}"),
            ad: format!("GlobalMemoryMb = {mib}\nFreeGlobalMemoryMb = {mib}"),
            broken: None,
        }
    });
    Offer {
        gpus: gpus.collect(),
        ad: "Arch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true".to_owned(),
        ..offer(cpus)
    }
}

/// What the queue says of a worker's devices: free, whole, MiB left of a shared one, or broken.
fn devices(farm: &Farm, name: &str) -> Vec<String> {
    let worker = &farm.queue.workers()[&name.parse().unwrap()];
    let told = worker.device_uses().into_iter().map(|used| match used {
        DeviceUse::Free => "free".to_owned(),
        DeviceUse::Whole(_) => "whole".to_owned(),
        DeviceUse::Shared { free_mib, .. } => free_mib.to_string(),
        DeviceUse::Broken(reason) => reason,
    });
    told.collect()
}

/// The ids of the devices that a job has.
fn gpus(farm: &Farm, cluster: u32, proc: u32) -> Vec<String> {
    match farm.proc(job(cluster, proc)) {
        ProcState::Running { gpus, .. } => gpus,
        _ => Vec::new(),
    }
}

// === users and groups ===

#[test]
fn slots_are_dealt_out_by_shares() {
    // The rules, who waits for how many with what more, and who gets how many of the twelve slots.
    type Row<'a> = (&'a str, &'a [(&'a str, u32, &'a str)], &'a [usize]);
    let group = "accounting_group =";
    let physics = format!("{group} physics");
    let lhc = format!("{group} Physics.LHC");
    let chem = format!("{group} chem");
    let rows: &[Row<'_>] = &[
        ("", &[("ada", 20, ""), ("bob", 20, "")], &[6, 6]),
        ("", &[("ada", 20, ""), ("bob", 2, "")], &[10, 2]),
        (
            "[users.bob]\nfactor = 2000",
            &[("ada", 20, ""), ("bob", 20, "")],
            &[8, 4],
        ),
        (
            "[user]\nfactor = 500\n[users.bob]\nfactor = 1500",
            &[("ada", 20, ""), ("bob", 20, "")],
            &[9, 3],
        ),
        (
            "",
            &[("ada", 20, ""), ("bob", 20, "nice_user = true")],
            &[12, 0],
        ),
        (
            "[users.ada]\njobs_running_max = 2",
            &[("ada", 20, ""), ("bob", 20, "")],
            &[2, 10],
        ),
        (
            "jobs_running_max = 5",
            &[("ada", 20, ""), ("bob", 1, "")],
            &[4, 1],
        ),
        // A quota is held, and what is left is everybody's.
        (
            "[groups.physics]\nquota = 3",
            &[("ada", 20, &physics), ("bob", 20, "")],
            &[3, 9],
        ),
        (
            "[groups.physics]\nshare = 0.25",
            &[("ada", 20, &physics), ("bob", 1, "")],
            &[3, 1],
        ),
        (
            "[groups.physics]\nshare = 0.25\nsurplus = true",
            &[("ada", 20, &physics), ("bob", 1, "")],
            &[11, 1],
        ),
        (
            "[groups.physics]\nquota = 8\n[groups.chem]\nquota = 2\nsurplus = true",
            &[("ada", 20, &physics), ("bob", 20, &chem)],
            &[8, 4],
        ),
        // A group within a group has its part of that, and counts for both.
        (
            "[groups.physics]\nquota = 8\n[groups.\"physics.lhc\"]\nshare = 0.5\n",
            &[("ada", 20, &physics), ("bob", 20, &lhc)],
            &[4, 4],
        ),
        (
            "[groups.physics]\nquota = 8\n[groups.\"physics.lhc\"]\nshare = 0.5\nsurplus = true",
            &[("bob", 20, &lhc)],
            &[8],
        ),
        // A group that the rules do not name is nobody's in particular.
        ("", &[("ada", 20, &physics), ("bob", 20, "")], &[6, 6]),
    ];
    for (rules, users, expected) in rows {
        let mut farm = Farm::new(&[]);
        farm.rules(rules);
        let clusters: Vec<u32> = users
            .iter()
            .map(|(user, count, more)| farm.submit_as(user, &format!("{more}\nqueue {count}")))
            .collect();
        farm.joins_with("w", with_gpus(12, &[]));
        let has: Vec<usize> = clusters.iter().map(|id| farm.holding(*id)).collect();
        assert_eq!(has, *expected, "{rules}\n{users:?}");
        // A restart finds the same, and gives nobody more.
        farm.restart();
        let has: Vec<usize> = clusters.iter().map(|id| farm.holding(*id)).collect();
        assert_eq!(has, *expected, "after a restart: {rules}\n{users:?}");
    }
}

#[test]
fn use_counts_less_as_it_gets_older() {
    let mut farm = Farm::new(&[]);
    farm.rules("half_life_s = 3600");
    farm.set_account("ada", Setting::Recent(64.0));
    let real = |farm: &Farm| {
        let shares = farm.queue.shares(farm.now);
        shares
            .users
            .iter()
            .find(|user| user.submitter.user == "ada")
            .unwrap()
            .recent
    };
    for expected in [64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.5] {
        assert!((real(&farm) - expected).abs() < 1e-9, "{}", real(&farm));
        farm.pass(3_600_000);
    }
    // What is in use counts towards what it is.
    farm.joins("w", 8);
    farm.submit_as("ada", "request_cpus = 8\nqueue");
    for _ in 0..180 {
        farm.pass(20_000);
        farm.beat("w");
    }
    assert!((real(&farm) - 4.25).abs() < 1e-9, "{}", real(&farm));
    farm.restart();
    assert!((real(&farm) - 4.25).abs() < 1e-9, "{}", real(&farm));
}

#[test]
fn what_was_used_of_late_decides_who_is_next() {
    let mut farm = Farm::new(&[]);
    farm.set_account("ada", Setting::Recent(30.0));
    farm.set_account("bob", Setting::Recent(10.0));
    let ada = farm.submit_as("ada", "queue 20");
    let bob = farm.submit_as("bob", "queue 20");
    farm.joins("w", 12);
    assert_eq!((farm.holding(ada), farm.holding(bob)), (3, 9));
    // A factor that an admin gives counts over the rules'.
    farm.set_account("ada", Setting::Factor(Some(1.0)));
    let share = farm.queue.shares(farm.now).users[0].clone();
    assert_eq!((share.submitter.user.as_str(), share.factor), ("ada", 1.0));
    farm.restart();
    assert_eq!(farm.queue.shares(farm.now).users[0].factor, 1.0);
    farm.set_account("ada", Setting::Factor(None));
    assert_eq!(farm.queue.shares(farm.now).users[1].factor, 1000.0);
}

#[test]
fn a_gpu_counts_as_the_rules_say() {
    for (rules, weight) in [
        ("", 9.0),
        ("weight = \"Cpus + 2 * GPUs\"", 3.0),
        ("weight = \"Nothing\"", 1.0),
    ] {
        let mut farm = Farm::new(&[]);
        farm.rules(rules);
        farm.joins_with("w", with_gpus(4, &[16]));
        farm.submit_as("ada", "request_gpus = 1\nqueue");
        let shares = farm.queue.shares(farm.now);
        assert_eq!(
            (shares.weight_used, shares.jobs_running),
            (weight, 1),
            "{rules}"
        );
        assert_eq!(shares.users[0].weight_used, weight);
    }
}

#[test]
fn shares_are_told_with_who_waits() {
    let mut farm = Farm::new(&[("w", 4)]);
    farm.rules("[groups.a]\nquota = 2\n[groups.\"a.b\"]\nshare = 0.5\n[limits]\nlicense = 9");
    farm.submit_as("ada", "accounting_group = a.b\nqueue 3");
    farm.submit_as("bob", "concurrency_limits = license:2, other\nqueue 10");
    let shares = farm.queue.shares(farm.now);
    assert_eq!((shares.jobs_running, shares.jobs_waiting), (4, 9));
    let told = |group: &manager_core::GroupShare| {
        (
            group.name.clone(),
            group.quota,
            group.weight_used,
            group.jobs_running,
            group.jobs_waiting,
        )
    };
    let groups: Vec<_> = shares.groups.iter().map(told).collect();
    assert_eq!(
        groups,
        [
            ("a".to_owned(), 2.0, 1.0, 1, 2),
            ("a.b".to_owned(), 1.0, 1.0, 1, 2)
        ]
    );
    let limits = shares
        .limits
        .iter()
        .map(|of| (of.name.as_str(), of.used, of.max));
    assert_eq!(
        limits.collect::<Vec<_>>(),
        [("license", 6.0, Some(9.0)), ("other", 3.0, None)]
    );
}

// === concurrency limits ===

#[test]
fn concurrency_limits_hold() {
    // The rules, what jobs take, and how many of ten run.
    let rows = [
        ("[limits]\nlicense = 3", "concurrency_limits = license", 3),
        ("[limits]\nlicense = 3", "concurrency_limits = LICENSE", 3),
        ("[limits]\nlicense = 3", "concurrency_limits = license:2", 1),
        (
            "[limits]\nlicense = 3",
            "concurrency_limits = license:0.5",
            6,
        ),
        ("[limits]\nlicense = 0", "concurrency_limits = license", 0),
        ("[limits]\nlicense = 3", "concurrency_limits = other", 8),
        ("limit_default = 2", "concurrency_limits = other", 2),
        (
            "limit_default = 2\n[limits]\nlicense = 4",
            "concurrency_limits = license",
            4,
        ),
        // Both of two, and a set over its members.
        ("[limits]\na = 4\nb = 2", "concurrency_limits = a, b", 2),
        ("[limits]\nset = 3", "concurrency_limits = set.x", 3),
        (
            "[limits]\nset = 5\n\"set.x\" = 2",
            "concurrency_limits = set.x",
            2,
        ),
        (
            "[limits]\nset = 3\n\"set.x\" = 5",
            "concurrency_limits = set.x:2",
            1,
        ),
        // Worked out where a job is matched.
        (
            "[limits]\nm = 2",
            "concurrency_limits_expr = strcat(TARGET.Machine, \":1\")",
            2,
        ),
        (
            "[limits]\nm = 2",
            "concurrency_limits_expr = TARGET.Machine == \"m\" ? \"none\" : \"m\"",
            8,
        ),
    ];
    for (rules, says, runs) in rows {
        let mut farm = Farm::new(&[]);
        farm.rules(rules);
        let id = farm.submit(&format!("{says}\nqueue 10"));
        farm.joins("w", 8);
        assert_eq!(farm.holding(id), runs, "{rules}\n{says}");
        farm.restart();
        assert_eq!(farm.holding(id), runs, "after a restart: {rules}\n{says}");
        if runs > 0 {
            farm.ends(job(id, 0), Ended::Exited(0));
            assert_eq!(farm.holding(id), runs, "after an end: {rules}\n{says}");
        }
    }
}

#[test]
fn a_limit_is_in_use_until_the_worker_says_that_the_job_ended_also_over_a_restart() {
    let mut farm = Farm::new(&[("w", 4)]);
    farm.rules("[limits]\nlicense = 1");
    let first = farm.submit("concurrency_limits = license\nqueue");
    farm.starts(job(first, 0));
    let second = farm.submit("concurrency_limits = license\nqueue");
    farm.act(Act::Hold, Subject::Whole(first));
    assert_eq!(farm.holding(second), 0, "what is held runs on for a while");
    farm.restart();
    assert_eq!(farm.holding(second), 0, "after a restart");
    assert_eq!(
        farm.queue.accounts().limits().collect::<Vec<_>>(),
        [("license", 1.0)]
    );
    farm.end_vacated("w");
    assert_eq!(farm.holding(second), 1);
    assert_eq!(
        farm.queue.accounts().limits().collect::<Vec<_>>(),
        [("license", 1.0)]
    );
}

#[test]
fn a_limit_that_is_raised_or_lowered_counts_from_then_on() {
    let mut farm = Farm::new(&[("w", 8)]);
    farm.job_ms = 60_000;
    farm.rules("[limits]\nlicense = 2");
    let id = farm.submit("concurrency_limits = license\nqueue 10");
    assert_eq!(farm.holding(id), 2);
    farm.rules("[limits]\nlicense = 5");
    assert_eq!(farm.holding(id), 5);
    farm.rules("[limits]\nlicense = 1");
    for (proc, left) in [(0, 4), (1, 3), (2, 2), (3, 1), (4, 1)] {
        farm.ends(job(id, proc), Ended::Exited(0));
        assert_eq!(farm.holding(id), left);
    }
}

// === GPUs ===

#[test]
fn a_shared_gpu_is_never_given_more_memory_than_it_has() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", with_gpus(32, &[16, 24]));
    let id = farm.submit("request_gpu_memory = 7G\nqueue 20");
    // Two in the one, three in the other.
    assert_eq!(farm.holding(id), 5);
    // A part of a GPU counts as a part.
    let weight: f64 = farm.queue.accounts().iter().map(|(_, of)| of.weight).sum();
    let parts = 2.0 * 7.0 / 16.0 + 3.0 * 7.0 / 24.0;
    assert!((weight - (5.0 + 8.0 * parts)).abs() < 1e-9, "{weight}");
    assert_eq!(devices(&farm, "w"), ["2048", "3072"]);
    // What is left is enough for a smaller one, in the fuller.
    let small = farm.submit("request_gpu_memory = 2G\nqueue");
    assert_eq!(gpus(&farm, small, 0), ["GPU-0"]);
    farm.restart();
    assert_eq!(devices(&farm, "w"), ["0", "3072"]);
    farm.ends(job(id, 0), Ended::Exited(0));
    assert_eq!(farm.holding(id), 5, "the next has its share");
}

#[test]
fn whole_and_shared_never_mix() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", with_gpus(32, &[16, 16, 16]));
    let shared = farm.submit("request_gpu_memory = 1G\nqueue 2");
    assert_eq!(devices(&farm, "w"), ["14336", "free", "free"]);
    let whole = farm.submit("request_gpus = 1\nqueue 5");
    assert_eq!(farm.holding(whole), 2);
    assert_eq!(devices(&farm, "w"), ["14336", "whole", "whole"]);
    let more = farm.submit("request_gpu_memory = 15G\nqueue");
    assert_eq!(farm.holding(more), 0);
    // The device becomes whole again when the last of them has gone.
    farm.ends(job(shared, 0), Ended::Exited(0));
    assert_eq!(farm.holding(whole), 2);
    farm.ends(job(shared, 1), Ended::Exited(0));
    assert_eq!(farm.holding(whole) + farm.holding(more), 3);
}

#[test]
fn small_devices_go_first_and_by_what_is_required() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", with_gpus(32, &[80, 16, 24]));
    let rows = [
        (
            "request_gpus = 1\nrequire_gpus = GlobalMemoryMb >= 20000",
            &["GPU-2"][..],
        ),
        ("request_gpus = 1", &["GPU-1"]),
        (
            "request_gpus = 1\nrequire_gpus = GlobalMemoryMb < 20000",
            &[],
        ),
        ("request_gpus = 2", &[]),
        ("request_gpus = 1", &["GPU-0"]),
        ("request_gpus = 1", &[]),
        ("", &[]),
    ];
    for (says, expected) in rows {
        let id = farm.submit(&format!("{says}\nqueue"));
        assert_eq!(gpus(&farm, id, 0), expected, "{says}");
    }
}

#[test]
fn broken_devices_get_nothing() {
    let mut farm = Farm::new(&[]);
    let mut offer = with_gpus(32, &[16, 16]);
    offer.gpus[0].broken = Some("fell off the bus".to_owned());
    farm.joins_with("w", offer.clone());
    let whole = farm.submit("request_gpus = 1\nqueue 2");
    assert_eq!(devices(&farm, "w"), ["fell off the bus", "whole"]);
    let both = farm.submit("request_gpus = 2\nqueue");
    let shared = farm.submit("request_gpu_memory = 1G\nqueue");
    assert_eq!(
        (
            farm.holding(whole),
            farm.holding(both),
            farm.holding(shared)
        ),
        (1, 0, 0)
    );
    // One that breaks under a job is given to nobody after it.
    offer.gpus[0].broken = None;
    offer.gpus[1].broken = Some("too hot".to_owned());
    farm.advertises("w", offer.clone());
    assert_eq!(gpus(&farm, whole, 1), ["GPU-0"]);
    farm.ends(job(whole, 0), Ended::Exited(0));
    assert_eq!(devices(&farm, "w"), ["whole", "too hot"]);
    offer.gpus[1].broken = None;
    farm.advertises("w", offer);
    assert_eq!(farm.holding(shared), 1);
}

#[test]
fn a_shared_device_that_breaks_takes_nobody_in() {
    let mut farm = Farm::new(&[]);
    let mut offer = with_gpus(32, &[16]);
    farm.joins_with("w", offer.clone());
    let first = farm.submit("request_gpu_memory = 2G\nqueue");
    offer.gpus[0].broken = Some("too hot".to_owned());
    farm.advertises("w", offer);
    let second = farm.submit("request_gpu_memory = 2G\nqueue");
    assert_eq!((farm.holding(first), farm.holding(second)), (1, 0));
    assert_eq!(devices(&farm, "w"), ["0"]);
}

// === other resources, places, files ===

#[test]
fn custom_resources_are_given_away_once() {
    let mut farm = Farm::new(&[]);
    let mut offer = offer(16);
    offer.resources = BTreeMap::from([("license".to_owned(), 3), ("scanner".to_owned(), 1)]);
    farm.joins_with("w", offer);
    let rows = [
        ("request_license = 2", 1),
        ("request_license = 2", 0),
        ("request_license = 1\nrequest_scanner = 1", 1),
        ("request_scanner = 1", 0),
        ("request_printer = 1", 0),
        ("", 1),
    ];
    let mut ids = Vec::new();
    for (says, runs) in rows {
        let id = farm.submit(&format!("{says}\nqueue"));
        assert_eq!(farm.holding(id), runs, "{says}");
        ids.push(id);
    }
    farm.ends(job(ids[0], 0), Ended::Exited(0));
    assert_eq!(farm.holding(ids[1]), 1);
}

#[test]
fn the_fullest_place_that_has_room_is_taken() {
    let mut farm = Farm::new(&[("a", 8), ("b", 4), ("c", 2)]);
    let rows = [(2, "c"), (1, "b"), (3, "b"), (4, "a"), (4, "a"), (1, "")];
    for (cpus, place) in rows {
        let id = farm.submit(&format!("request_cpus = {cpus}\nqueue"));
        assert_eq!(farm.place(job(id, 0)), place, "{cpus}");
    }
    // Another order is a matter of the rules.
    let mut farm = Farm::new(&[("a", 8), ("b", 4), ("c", 2)]);
    farm.rules("order = [\"Cpus\"]");
    let id = farm.submit("queue");
    assert_eq!(farm.place(job(id, 0)), "a");
    farm.rules("order = [\"Name == \\\"slot1@b\\\" ? 1 : 0\"]");
    let id = farm.submit("queue");
    assert_eq!(farm.place(job(id, 0)), "b");
}

#[test]
fn jobs_without_gpus_leave_machines_with_gpus_alone() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("a", with_gpus(2, &[16]));
    farm.joins_with("b", with_gpus(8, &[]));
    let plain = farm.submit("queue 3");
    assert!((0..3).all(|proc| farm.place(job(plain, proc)) == "b"));
    let gpu = farm.submit("request_gpus = 1\nqueue");
    assert_eq!(farm.place(job(gpu, 0)), "a");
}

fn digest(of: u8) -> Digest {
    format!("{of:02x}").repeat(32).parse().unwrap()
}

#[test]
fn a_job_goes_where_its_files_are() {
    let big = 512 << 20;
    // The size of the file, the rules, and where the job goes.
    let rows = [
        (big, "", "a"),
        // Too small to matter.
        (1_000, "", "b"),
        (big, "order = [\"-Cpus\", \"CachedInputMb\"]", "b"),
        // The worker's own rank comes first.
        (big, "order = [\"SlotRank\", \"-Cpus\"]", "b"),
    ];
    for (bytes, rules, place) in rows {
        let mut farm = Farm::new(&[]);
        farm.rules(rules);
        let has = ("a".parse().unwrap(), vec![digest(7)]);
        farm.cached = BTreeMap::from([has]);
        farm.joins("a", 8);
        farm.joins("b", 2);
        let file = Blob {
            digest: digest(7),
            bytes,
            executable: false,
        };
        let files = BTreeMap::from([("data.bin".to_owned(), file)]);
        let id = farm.submit_with("ada", "transfer_input_files = data.bin\nqueue", files);
        assert_eq!(farm.place(job(id, 0)), place, "{bytes} {rules}");
    }
}

// === sent ahead ===

/// A pool in which ada's jobs are so short that more are sent ahead.
fn short_jobs() -> (Farm, u32) {
    let mut farm = Farm::new(&[("w", 1)]);
    let id = farm.submit_as("ada", "queue 60");
    for proc in 0..3 {
        farm.ends(job(id, proc), Ended::Exited(0));
    }
    farm.asked.clear();
    (farm, id)
}

fn carves(farm: &Farm, name: &str) -> usize {
    farm.queue.workers()[&name.parse().unwrap()].carves.len()
}

/// No two claims hold the one slot, and each that waits waits for another one.
fn assert_one_line(farm: &Farm, name: &str) {
    let worker = &farm.queue.workers()[&name.parse().unwrap()];
    let fronts = worker
        .carves
        .values()
        .filter(|carve| carve.behind.is_none());
    assert_eq!(fronts.count(), 1);
    let mut behind: Vec<_> = worker
        .carves
        .values()
        .filter_map(|carve| carve.behind)
        .collect();
    assert!(behind.iter().all(|claim| worker.carves.contains_key(claim)));
    behind.sort_unstable();
    let all = behind.len();
    behind.dedup();
    assert_eq!(behind.len(), all);
}

#[test]
fn short_jobs_follow_each_other_in_one_slot() {
    let (mut farm, id) = short_jobs();
    assert!(carves(&farm, "w") > 4, "{}", carves(&farm, "w"));
    for proc in 3..40 {
        assert_one_line(&farm, "w");
        assert_eq!(farm.holding(id), 1);
        farm.ends(job(id, proc), Ended::Exited(0));
    }
    // Charged once: by the one that holds the slot.
    assert_eq!(farm.queue.shares(farm.now).weight_used, 1.0);
    farm.restart();
    assert_one_line(&farm, "w");
    assert_eq!(farm.queue.shares(farm.now).weight_used, 1.0);
}

#[test]
fn what_was_sent_ahead_comes_back_for_somebody_with_a_better_right() {
    let (mut farm, ada) = short_jobs();
    let ahead = carves(&farm, "w") - 1;
    // She has used more than he by then.
    farm.pass(1_000);
    let bob = farm.submit_as("bob", "queue");
    let back = farm.asked.iter();
    let back = back.filter(|(_, _, reason)| *reason == VacateReason::CalledBack);
    assert_eq!(back.count(), ahead);
    farm.end_asked();
    assert_eq!(carves(&farm, "w"), 1);
    farm.ends(job(ada, 3), Ended::Exited(0));
    assert_eq!(farm.place(job(bob, 0)), "w");
    // It was no attempt, and nothing was lost.
    let proc = farm.queue.job(job(ada, 5)).unwrap().1;
    assert_eq!(proc.attempts, 0);
}

#[test]
fn what_was_sent_ahead_stays_where_nobody_has_a_better_right() {
    let (mut farm, _) = short_jobs();
    // He has used a lot.
    farm.set_account("bob", Setting::Recent(1e6));
    farm.submit_as("bob", "queue");
    // And what could not run there is no reason either.
    farm.submit_as("eve", "request_cpus = 2\nqueue");
    farm.submit_as("eve", "requirements = TARGET.Arch == \"PPC\"\nqueue");
    assert_eq!(farm.asked.len(), 0);
}

#[test]
fn nothing_more_is_sent_ahead_where_a_limit_was_made_less() {
    for rules in [
        "jobs_running_max = 0",
        "[users.ada]\njobs_running_max = 0",
        "[limits]\nlicense = 0",
    ] {
        let mut farm = Farm::new(&[("w", 1)]);
        let id = farm.submit_as("ada", "concurrency_limits = license\nqueue 60");
        for proc in 0..3 {
            farm.ends(job(id, proc), Ended::Exited(0));
        }
        let mut left = carves(&farm, "w");
        farm.rules(rules);
        for proc in (3..).take(left) {
            farm.ends(job(id, proc), Ended::Exited(0));
            left -= 1;
            assert_eq!(carves(&farm, "w"), left, "{rules}");
        }
    }
}

#[test]
fn nothing_more_is_sent_ahead_where_the_worker_refuses_it_by_now() {
    let mut farm = Farm::new(&[]);
    let mut offer = with_gpus(1, &[]);
    offer.ad.push_str("\nRequirements = Full =!= true\n");
    farm.joins_with("w", offer.clone());
    let id = farm.submit_as("ada", "queue 200");
    for proc in 0..3 {
        farm.ends(job(id, proc), Ended::Exited(0));
    }
    let ahead = carves(&farm, "w") - 1;
    assert!(ahead > 0);
    offer.ad.push_str("Full = true");
    farm.advertises("w", offer);
    // What is there already may end; nothing follows.
    for proc in 3..200 {
        if matches!(farm.proc(job(id, proc)), ProcState::Running { .. }) {
            farm.ends(job(id, proc), Ended::Exited(0));
        }
    }
    let there = u32::try_from(ahead).unwrap() + 1;
    assert_eq!(farm.cluster(id).tally().completed, 3 + there);
    assert_eq!(carves(&farm, "w"), 0);
}

#[test]
fn what_was_sent_ahead_spreads_when_more_is_free() {
    let (mut farm, id) = short_jobs();
    // All that is left of them waits behind the one that runs.
    let waits = (4..60).map(|proc| job(id, proc));
    let idle: Vec<_> = waits.filter(|job| farm.place(*job).is_empty()).collect();
    for job in idle {
        farm.act(Act::Hold, Subject::Job(job));
    }
    let before = carves(&farm, "w");
    assert!(before > 2);
    farm.joins("v", 2);
    for _ in 0..10 {
        farm.end_asked();
    }
    assert_eq!(carves(&farm, "v") + carves(&farm, "w"), before);
    let fronts = |name: &str| {
        let worker = &farm.queue.workers()[&name.parse().unwrap()];
        worker
            .carves
            .values()
            .filter(|carve| carve.behind.is_none())
            .count()
    };
    assert_eq!((fronts("v"), fronts("w")), (2, 1));
}
