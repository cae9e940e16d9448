//! Jobs that leave a worker before their end, and jobs that are not made yet: what those that need
//! more get, how often a claim may be lost, how many jobs of a cluster there are at a time, what
//! draining does. Each change is followed by a look at what a restart would make of the records.

#![allow(clippy::unwrap_used)]

#[path = "shared/farm.rs"]
mod farm;

use farm::{Farm, job};
use manager_core::{Act, AfterDrain, Cluster, DrainMode, NodeState, ProcState, RunState, Steer};
use proto::nouns::{Ended, Exceeds, JobId, Subject};

fn exceeds(resource: Exceeds, used_mib: u64) -> Ended {
    Ended::Exceeded { resource, used_mib }
}

// === more of something ===

#[test]
fn a_job_that_needs_more_gets_what_its_description_says() {
    let memory = |used| exceeds(Exceeds::Memory, used);
    // The description, and reports with the state that each leads to: what the job asks for now,
    // or why it is held.
    let rows: [(&str, &[(Ended, &str)]); 7] = [
        (
            "",
            &[(
                memory(2000),
                "Held 34.102 used 2000 MiB of memory; it has 1024 MiB",
            )],
        ),
        (
            "retry_request_memory = 3G",
            &[
                (memory(1500), "3072 MiB"),
                (
                    memory(3500),
                    "Held 34.102 used 3500 MiB of memory; it has 3072 MiB, which is all that \
                     retry_request_memory gives",
                ),
            ],
        ),
        (
            "retry_request_memory_increase = RequestMemory * 2\nretry_request_memory_max = 3G",
            &[
                (memory(1100), "2048 MiB"),
                (memory(2100), "3072 MiB"),
                (
                    memory(0),
                    "Held 34.102 needed more memory than it has; it has 3072 MiB, and \
                     retry_request_memory_max is 3072 MiB",
                ),
            ],
        ),
        (
            "retry_request_memory_increase = 512M\nretry_request_memory_max = 1G",
            &[(
                memory(1100),
                "Held 34.102 used 1100 MiB of memory; it has 1024 MiB, and \
                 retry_request_memory_max is 1024 MiB",
            )],
        ),
        // What a program does with it is another matter.
        (
            "max_retries = 1\nretry_request_memory = 2G",
            &[
                (Ended::Exited(1), "1024 MiB"),
                (memory(1100), "2048 MiB"),
                (Ended::Exited(1), "Completed"),
            ],
        ),
        (
            "request_disk = 1G\nretry_request_disk = 2G",
            &[
                (exceeds(Exceeds::Disk, 1100), "1024 MiB"),
                (
                    exceeds(Exceeds::Disk, 2100),
                    "Held 34.104 used 2100 MiB of disk; it has 2048 MiB, which is all that \
                     retry_request_disk gives",
                ),
            ],
        ),
        (
            "retry_request_memory = 3G",
            &[(
                exceeds(Exceeds::GpuMemory, 9),
                "Held 34.103 used 9 MiB of GPU memory, and the whole GPU has no more",
            )],
        ),
    ];
    for (text, script) in rows {
        let mut farm = Farm::new(&[("w", 1)]);
        let id = farm.submit(&format!("request_memory = 1G\n{text}\nqueue"));
        for (ended, expected) in script {
            farm.ends(job(id, 0), ended.clone());
            let found = farm.outcome(job(id, 0));
            assert_eq!(found, *expected, "{text}\n{ended:?}");
            farm.restart();
        }
    }
}

#[test]
fn a_part_of_a_gpu_grows_too() {
    let mut farm = Farm::new(&[("w", 1)]);
    let id = farm.submit(
        "request_gpu_memory = 8G\nretry_request_gpu_memory_increase = RequestGPUMemory * 2\n\
         retry_request_gpu_memory_max = 20G\nqueue",
    );
    let more = |used| exceeds(Exceeds::GpuMemory, used);
    for (used, gets) in [(8_200, 16_384), (16_400, 20_480)] {
        farm.ends(job(id, 0), more(used));
        assert_eq!(farm.order(job(id, 0)).gpu_memory_mib, Some(gets));
        let ad = farm.ad(job(id, 0));
        let says = |name: &str| ad.get(name).unwrap().to_string();
        assert_eq!(says("RequestGPUMemory"), gets.to_string());
        assert_eq!(says("RequireGPUs"), format!("FreeGlobalMemoryMb >= {gets}"));
    }
    farm.ends(job(id, 0), more(0));
    assert_eq!(
        farm.outcome(job(id, 0)),
        "Held 34.103 needed more GPU memory than it has; it has 20480 MiB, and \
         retry_request_gpu_memory_max is 20480 MiB"
    );
}

#[test]
fn what_was_raised_is_asked_for_everywhere() {
    let mut farm = Farm::new(&[("w", 2)]);
    // A row's own value gives way too.
    let id = farm.submit(
        "log = job.log\nretry_request_memory_increase = 100\nretry_request_memory_max = 900\n\
         queue request_memory from (\n200\n300\n)",
    );
    farm.ends(job(id, 1), exceeds(Exceeds::Memory, 301));
    assert_eq!(farm.outcome(job(id, 0)), "200 MiB");
    assert_eq!(farm.outcome(job(id, 1)), "400 MiB");
    let ad = farm.ad(job(id, 1));
    assert_eq!(ad.get("RequestMemory").unwrap().to_string(), "400");
    assert!(ad.get("NumVacates").is_none(), "it lost nothing by others");
    assert!(farm.told_of("it used 301 MiB of memory, had 300 MiB and gets 400 MiB"));
    assert!(farm.logged("004 (00"), "{}", farm.log);
    assert!(farm.logged("had 300 MiB and gets 400 MiB"), "{}", farm.log);
    // Held and released, it keeps what it came to.
    farm.act(Act::Hold, Subject::Job(job(id, 1)));
    farm.restart();
    farm.act(Act::Release, Subject::Job(job(id, 1)));
    farm.end_vacated("w");
    assert_eq!(farm.outcome(job(id, 1)), "400 MiB");
}

#[test]
fn a_node_begins_again_with_what_its_last_attempt_came_to() {
    let submit = "request_memory = 1G\nretry_request_memory_increase = RequestMemory * 2\n\
                  retry_request_memory_max = 4G\nqueue 2";
    let mut farm = Farm::new(&[("w", 4)]);
    let run = farm.submit_dag("JOB A w.sub\nRETRY A 1\n", submit, None);
    let cluster = |farm: &Farm| farm.queue.runs()[&run].nodes[0].cluster.unwrap();
    let first = cluster(&farm);
    farm.ends(job(first, 1), exceeds(Exceeds::Memory, 1100));
    assert_eq!(farm.outcome(job(first, 0)), "1024 MiB");
    assert_eq!(farm.outcome(job(first, 1)), "2048 MiB");
    farm.restart();
    farm.ends(job(first, 1), Ended::Exited(1));
    let second = cluster(&farm);
    assert_ne!(first, second);
    assert_eq!(farm.outcome(job(second, 0)), "2048 MiB");
    assert_eq!(farm.outcome(job(second, 1)), "2048 MiB");
    farm.ends(job(second, 0), exceeds(Exceeds::Memory, 2100));
    farm.ends(job(second, 0), exceeds(Exceeds::Memory, 4100));
    let failed = &farm.queue.runs()[&run].nodes[0].state;
    let NodeState::Failed { reason } = failed else {
        panic!("{failed:?}");
    };
    assert!(reason.contains("used 4100 MiB of memory"), "{reason}");
    assert!(
        reason.contains("retry_request_memory_max is 4096 MiB"),
        "{reason}"
    );
    farm.restart();
    farm.end_vacated("w");

    farm.steer(run, Steer::Retry { nodes: Vec::new() });
    assert_eq!(farm.outcome(job(cluster(&farm), 0)), "4096 MiB");
    // In a run of the same file, too, that goes on from this one.
    farm.ends(job(cluster(&farm), 0), Ended::Exited(1));
    farm.ends(job(cluster(&farm), 0), Ended::Exited(1));
    assert!(matches!(
        farm.queue.runs()[&run].state,
        RunState::Failed { .. }
    ));
    let next = farm.submit_dag("JOB A w.sub\nRETRY A 1\n", submit, Some(run));
    let third = farm.queue.runs()[&next].nodes[0].cluster.unwrap();
    assert_eq!(farm.outcome(job(third, 1)), "4096 MiB");
    // Whoever asks for less at most gets no more than that.
    farm.act(Act::Remove, Subject::Whole(next));
    farm.end_vacated("w");
    let less = submit.replace("max = 4G", "max = 3G");
    let last = farm.submit_dag("JOB A w.sub\n", &less, Some(next));
    let fourth = farm.queue.runs()[&last].nodes[0].cluster.unwrap();
    assert_eq!(farm.outcome(job(fourth, 0)), "3072 MiB");
}

// === lost claims ===

#[test]
fn a_job_that_lost_its_claim_too_often_is_held() {
    let mut farm = Farm::new(&[("w", 1)]);
    let id = farm.submit("request_memory = 128\nmax_job_restarts = 2\nmax_retries = 9\nqueue");
    let one = job(id, 0);
    let numbers = |farm: &Farm| farm.queue.job(one).unwrap().1.past.lost;
    farm.ends(one, Ended::Vacated);
    // Ends of its program are none of it.
    farm.ends(one, Ended::Exited(1));
    farm.ends(one, Ended::Exited(1));
    farm.cut_off("w");
    farm.pass(40_000);
    assert_eq!((farm.outcome(one).as_str(), numbers(&farm)), ("Idle", 2));
    farm.hello("w");
    farm.restart();
    farm.ends(one, Ended::Vacated);
    assert_eq!(
        farm.outcome(one),
        "Held 26.0 lost its claim 3 times, the last on w, and max_job_restarts is 2"
    );
    farm.act(Act::Release, Subject::Job(one));
    farm.ends(one, Ended::Vacated);
    assert_eq!((farm.outcome(one).as_str(), numbers(&farm)), ("128 MiB", 4));
    assert_eq!(farm.ad(one).get("NumVacates").unwrap().to_string(), "4");

    // None at all, and any number.
    let never = farm.submit("request_memory = 128\nmax_job_restarts = 0\npriority = 5\nqueue");
    let any = farm.submit("request_memory = 128\npriority = 4\nqueue");
    farm.ends(one, Ended::Exited(0));
    farm.ends(job(never, 0), Ended::Vacated);
    let held = "Held 26.0 lost its claim once, the last on w, and max_job_restarts is 0";
    assert_eq!(farm.outcome(job(never, 0)), held);
    for _ in 0..50 {
        farm.ends(job(any, 0), Ended::Vacated);
    }
    assert_eq!(farm.outcome(job(any, 0)), "128 MiB");
}

// === late materialization ===

/// Idle procs that are jobs, running, held, and not made yet.
fn counts(cluster: &Cluster) -> [u32; 4] {
    let tally = cluster.tally();
    [tally.idle, tally.running, tally.held, tally.unmaterialized]
}

#[test]
fn so_many_jobs_of_a_cluster_there_are_at_a_time() {
    let rows = [
        ("", [8, 2, 0, 0]),
        ("max_materialize = 5", [3, 2, 0, 5]),
        ("max_materialize = 1", [0, 1, 0, 9]),
        ("max_idle = 3", [3, 2, 0, 5]),
        (
            "materialize_max_idle = 3\nmax_materialize = 4",
            [2, 2, 0, 6],
        ),
        ("max_materialize = 100", [8, 2, 0, 0]),
        ("max_idle = 7", [7, 2, 0, 1]),
    ];
    for (text, expected) in rows {
        let mut farm = Farm::new(&[("w", 2)]);
        let id = farm.submit(&format!("{text}\nqueue 10"));
        assert_eq!(counts(farm.cluster(id)), expected, "{text}");
        assert!(matches!(farm.proc(job(id, 0)), ProcState::Running { .. }));
        farm.restart();
        assert_eq!(counts(farm.cluster(id)), expected, "{text}, restarted");
        // All of them have their turn, lowest numbers first.
        for proc in 0..10 {
            farm.ends(job(id, proc), Ended::Exited(0));
        }
        assert!(farm.cluster(id).ended(), "{text}");
    }
    // What is held has its place, and what is removed gives it to the next.
    let mut farm = Farm::new(&[("w", 1)]);
    let id = farm.submit("max_materialize = 2\nqueue 5");
    farm.act(Act::Hold, Subject::Job(job(id, 0)));
    farm.act(Act::Hold, Subject::Job(job(id, 1)));
    farm.end_vacated("w");
    assert_eq!(counts(farm.cluster(id)), [0, 0, 2, 3]);
    farm.act(Act::Remove, Subject::Job(job(id, 0)));
    assert_eq!(counts(farm.cluster(id)), [0, 1, 1, 2]);
    assert!(matches!(farm.proc(job(id, 2)), ProcState::Running { .. }));
    // Of a node's jobs, too.
    let run = farm.submit_dag("JOB A w.sub\n", "max_idle = 1\nqueue 4", None);
    let node = farm.queue.runs()[&run].nodes[0].cluster.unwrap();
    assert_eq!(counts(farm.cluster(node)), [1, 0, 0, 3]);
}

/// What is a job by the states of all procs, counted one by one.
fn by_hand(cluster: &Cluster, jobs_max: u32, idle_max: u32) -> Vec<bool> {
    let of = |proc| cluster.proc(proc).unwrap().state;
    let occupies = |state: &ProcState| match state {
        ProcState::Running { .. } | ProcState::Landing { .. } | ProcState::Held { .. } => true,
        ProcState::Idle | ProcState::Completed { .. } | ProcState::Removed { .. } => false,
    };
    let taken = (0..cluster.count)
        .filter(|proc| occupies(&of(*proc)))
        .count();
    let ahead = cluster.tally().ahead;
    let left = jobs_max.saturating_sub(u32::try_from(taken).unwrap());
    let mut room = idle_max.saturating_sub(ahead).min(left);
    let mut jobs = Vec::new();
    for proc in 0..cluster.count {
        let is_job = of(proc) != ProcState::Idle || room > 0;
        room -= u32::from(of(proc) == ProcState::Idle && room > 0);
        jobs.push(is_job);
    }
    jobs
}

#[test]
fn which_procs_are_jobs_is_a_function_of_the_states() {
    for seed in 1..=40_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let (jobs_max, idle_max) = (1 + draw(12) as u32, 1 + draw(12) as u32);
        let mut farm = Farm::new(&[("w", 1 + draw(4) as u32)]);
        let id = farm.submit(&format!(
            "max_materialize = {jobs_max}\nmax_idle = {idle_max}\nqueue 25"
        ));
        for step in 0..120 {
            let proc = draw(25) as u32;
            let one = job(id, proc);
            let act = match (draw(8), farm.proc(one)) {
                (0, _) => Some(Act::Hold),
                (1 | 2, _) => Some(Act::Release),
                (3, _) if draw(4) == 0 => Some(Act::Remove),
                (4, ProcState::Running { .. }) => {
                    farm.ends(one, Ended::Exited(0));
                    None
                }
                (5, ProcState::Running { .. }) => {
                    farm.ends(one, Ended::Vacated);
                    None
                }
                (6, _) if draw(10) == 0 => {
                    farm.restart();
                    None
                }
                _ => None,
            };
            if let Some(act) = act {
                // Its state may not allow it.
                let _ = farm.may_act(act, Subject::Job(one));
            }
            let cluster = farm.cluster(id);
            let found: Vec<bool> = (0..25).map(|proc| cluster.is_materialized(proc)).collect();
            let expected = by_hand(cluster, jobs_max, idle_max);
            assert_eq!(found, expected, "seed {seed}, step {step}");
            let missing = found.iter().filter(|is_job| !**is_job).count();
            assert_eq!(
                cluster.tally().unmaterialized as usize,
                missing,
                "seed {seed}"
            );
            // Nothing waits beside a free slot that a job may have, but for what was sent ahead.
            if farm.free("w") {
                let tally = cluster.tally();
                assert_eq!(tally.idle, tally.ahead, "seed {seed}, step {step}");
            }
        }
    }
}

// === draining ===

#[test]
fn draining_lets_jobs_end_or_takes_them_back() {
    let all = "queue 2";
    // The mode, whom it tells to end with which grace, and where the jobs are when that has ended.
    let rows: [(DrainMode, &[&str], [&str; 2]); 3] = [
        (DrainMode::Graceful, &[], ["a", "a"]),
        (
            DrainMode::Quick,
            &["a vacate None", "a vacate None"],
            ["b", "b"],
        ),
        (
            DrainMode::Fast,
            &["a vacate Some(0)", "a vacate Some(0)"],
            ["b", "b"],
        ),
    ];
    for (mode, told, places) in rows {
        let mut farm = Farm::new(&[("a", 2)]);
        let id = farm.submit(all);
        farm.starts(job(id, 0));
        farm.joins("b", 2);
        farm.told.clear();
        assert_eq!(farm.drain("a", mode, AfterDrain::Stay, None), Ok(2));
        assert_eq!(farm.told, told, "{mode:?}");
        // Until then they run nowhere else.
        let still = [0, 1].map(|proc| farm.place(job(id, proc)));
        assert_eq!(still, ["a", "a"], "{mode:?}");
        if mode != DrainMode::Graceful {
            farm.beat("a");
            assert_eq!(farm.told.len(), 4, "asked once more");
            farm.ends(job(id, 0), Ended::Vacated);
            farm.ends(job(id, 1), Ended::Vacated);
        }
        assert_eq!(
            [0, 1].map(|proc| farm.place(job(id, proc))),
            places,
            "{mode:?}"
        );
        let lost = u32::from(mode != DrainMode::Graceful);
        assert_eq!(farm.queue.job(job(id, 0)).unwrap().1.past.lost, lost);
        assert_eq!(farm.queue.job(job(id, 0)).unwrap().1.retries, 0);
        // It takes nothing, also after a restart, and still says why.
        farm.restart();
        let drain = farm.queue.drain_of(&"a".parse().unwrap()).unwrap().clone();
        assert_eq!((drain.mode, drain.reason.as_str()), (mode, "new driver"));
        let next = farm.submit("request_cpus = 2\nqueue");
        assert_ne!(farm.place(job(next, 0)), "a");
        farm.resume("a");
        for proc in 0..2 {
            farm.ends(job(id, proc), Ended::Exited(0));
        }
        assert_ne!(farm.place(job(next, 0)), "");
    }
}

#[test]
fn a_drain_can_be_hastened_and_ends_by_itself() {
    let mut farm = Farm::new(&[("a", 2)]);
    let id = farm.submit("queue 2");
    let stay = AfterDrain::Stay;
    assert_eq!(farm.drain("a", DrainMode::Graceful, stay, None), Ok(2));
    farm.told.clear();
    let mut hasten = |mode| farm.drain("a", mode, AfterDrain::Resume, None);
    assert_eq!(hasten(DrainMode::Quick), Ok(2));
    assert_eq!(hasten(DrainMode::Fast), Ok(2));
    let (quick, fast) = ("a vacate None", "a vacate Some(0)");
    assert_eq!(farm.told, [quick, quick, fast, fast]);
    // The manager that begins anew says it anew.
    farm.restart();
    assert_eq!(farm.told[4..], [fast, fast]);
    assert!(farm.queue.is_drained(&"a".parse().unwrap()));
    // The last claim's end opens it, and the jobs are there again in the same turn.
    farm.ends(job(id, 0), Ended::Vacated);
    assert_eq!(farm.outcome(job(id, 0)), "Idle");
    farm.ends(job(id, 1), Ended::Vacated);
    assert!(!farm.queue.is_drained(&"a".parse().unwrap()));
    assert_eq!(farm.place(job(id, 0)), "a");
    // One that has nothing to wait for takes work at once.
    farm.ends(job(id, 0), Ended::Exited(0));
    farm.ends(job(id, 1), Ended::Exited(0));
    assert_eq!(
        farm.drain("a", DrainMode::Graceful, AfterDrain::Resume, None),
        Ok(0)
    );
    assert!(!farm.queue.is_drained(&"a".parse().unwrap()));
}

#[test]
fn a_worker_is_ended_once_when_its_last_job_has_ended() {
    let mut farm = Farm::new(&[("a", 1)]);
    let id = farm.submit("queue");
    farm.told.clear();
    assert_eq!(
        farm.drain("a", DrainMode::Graceful, AfterDrain::Exit, None),
        Ok(1)
    );
    assert!(farm.told.is_empty(), "{:?}", farm.told);
    farm.restart();
    farm.ends(job(id, 0), Ended::Exited(0));
    assert_eq!(farm.told, ["a leave it is drained: new driver"]);
    // Somebody starts it again: it stays, and stays drained.
    farm.hello("a");
    farm.restart();
    assert_eq!(farm.told.len(), 1);
    assert!(farm.queue.is_drained(&"a".parse().unwrap()));
}

#[test]
fn a_worker_is_drained_only_if_its_check_holds() {
    let mut farm = Farm::new(&[("a", 2)]);
    let graceful = DrainMode::Graceful;
    let rows = [
        ("Cpus == 2", Ok(0)),
        (
            "Cpus > 2",
            Err("worker a is not drained: `Cpus > 2` is false there"),
        ),
        (
            "Nothing",
            Err("worker a is not drained: `Nothing` is undefined there"),
        ),
        (
            "Cpus >",
            Err("worker a is not drained: `Cpus >` is no expression: …"),
        ),
    ];
    for (check, expected) in rows {
        farm.resume("a");
        let found = farm.drain("a", graceful, AfterDrain::Stay, Some(check));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => {
                let expected = expected.trim_end_matches('…');
                assert!(found.starts_with(expected), "{found}");
            }
            (found, expected) => panic!("{check}: {found:?}, not {expected:?}"),
        }
        assert_eq!(
            farm.queue.is_drained(&"a".parse().unwrap()),
            expected.is_ok()
        );
    }
    let unknown = farm.drain("nobody", graceful, AfterDrain::Stay, None);
    assert!(unknown.unwrap_err().contains("nobody"));
}

#[test]
fn how_long_a_job_may_take_to_end_is_its_own_matter() {
    let rows = [
        ("", 500),
        ("job_max_vacate_time = 90", 90_000),
        ("kill_sig_timeout = 7", 7_000),
        ("job_max_vacate_time = 0", 0),
        ("job_max_vacate_time = 100000", 600_000),
    ];
    for (text, expected) in rows {
        let mut farm = Farm::new(&[("w", 1)]);
        let id = farm.submit(&format!("{text}\nqueue"));
        assert_eq!(farm.order(job(id, 0)).kill_grace_ms, expected, "{text}");
    }
}

#[test]
fn only_jobs_have_policies() {
    let mut farm = Farm::new(&[]);
    let id = farm.submit("max_materialize = 2\nperiodic_hold = time() - QDate > 50\nqueue 5");
    farm.pass(200_000);
    // Those that were held have their places, and no other gets one.
    assert_eq!(counts(farm.cluster(id)), [0, 0, 2, 3]);
    let held = |proc| {
        matches!(
            farm.proc(JobId { cluster: id, proc }),
            ProcState::Held { .. }
        )
    };
    assert_eq!([0, 1, 2].map(held), [true, true, false]);
}
