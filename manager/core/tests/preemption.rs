//! Slots that are taken back by the pool's rules: who gives way to whom, how it is asked, who gets
//! the slot, and what is never done. Each change is followed by a look at what a restart would make
//! of the records.

#![allow(clippy::unwrap_used)]

#[path = "shared/farm.rs"]
mod farm;

use farm::{Farm, job, offer};
use manager_core::Setting;
use proto::nouns::{Ended, JobId, VacateReason};

/// Every job of bob's is worth more to such a worker than any other.
fn likes_bob(cpus: u32) -> proto::nouns::Offer {
    let mut offer = offer(cpus);
    offer
        .ad
        .push_str("\nRank = TARGET.Owner == \"bob\" ? 10 : 0");
    offer
}

fn places(farm: &Farm, cluster: u32, procs: u32) -> Vec<String> {
    (0..procs)
        .map(|proc| farm.place(job(cluster, proc)))
        .collect()
}

fn preempted(farm: &Farm) -> usize {
    let asked = farm.asked.iter();
    asked
        .filter(|(_, _, reason)| *reason == VacateReason::Preempted)
        .count()
}

// === by rank ===

#[test]
fn a_worker_gives_up_a_job_for_one_that_it_ranks_higher_and_only_where_the_rules_say_so() {
    for (rules, takes) in [("", 0), ("preempt_for_rank = true", 1)] {
        let mut farm = Farm::new(&[]);
        farm.joins_with("w", likes_bob(1));
        farm.rules(rules);
        let ada = farm.submit_as("ada", "queue");
        farm.starts(job(ada, 0));
        let bob = farm.submit_as("bob", "queue");
        assert_eq!(preempted(&farm), takes, "{rules:?}");
        // It keeps its claim until the worker has said that it ended.
        assert_eq!(farm.place(job(ada, 0)), "w");
        farm.end_asked();
        let expected = match takes {
            0 => ("w", ""),
            _ => ("", "w"),
        };
        let found = (farm.place(job(ada, 0)), farm.place(job(bob, 0)));
        assert_eq!((found.0.as_str(), found.1.as_str()), expected, "{rules:?}");
        assert_eq!(farm.told_of("worker w prefers a job of bob"), takes == 1);
    }
}

#[test]
fn what_a_worker_ranks_the_same_stays() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(1));
    farm.rules("preempt_for_rank = true");
    let first = farm.submit_as("bob", "queue");
    farm.submit_as("bob", "queue");
    farm.submit_as("ada", "queue");
    assert_eq!(preempted(&farm), 0);
    assert_eq!(farm.place(job(first, 0)), "w");
}

#[test]
fn the_slot_is_for_the_one_that_it_was_taken_back_for() {
    // By their shares ada would be next: she has used nothing, and bob has a smaller share.
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(1));
    farm.rules("preempt_for_rank = true\n[users.bob]\nfactor = 1e9");
    farm.submit_as("ada", "queue 5");
    let bob = farm.submit_as("bob", "queue");
    farm.end_asked();
    assert_eq!(farm.place(job(bob, 0)), "w");
    assert_eq!(preempted(&farm), 0);
}

#[test]
fn who_no_longer_waits_takes_nothing_from_the_others() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(2));
    farm.rules("preempt_for_rank = true");
    let ada = farm.submit_as("ada", "queue 3");
    let bob = farm.submit_as("bob", "request_cpus = 2\nqueue");
    assert_eq!(preempted(&farm), 2);
    farm.act(manager_core::Act::Remove, proto::nouns::Subject::Whole(bob));
    farm.end_asked();
    assert_eq!(farm.holding(ada), 2);
}

#[test]
fn a_job_that_fits_nowhere_there_displaces_nobody() {
    let rows = [
        "request_cpus = 3\nqueue",
        "request_memory = 128G\nqueue",
        "request_gpus = 2\nqueue",
        "request_gpu_memory = 90G\nqueue",
        "requirements = TARGET.Arch == \"PPC\"\nqueue",
        "requirements = TARGET.Cpus >= 3\nqueue",
        "request_license = 1\nqueue",
    ];
    for text in rows {
        let mut farm = Farm::new(&[]);
        farm.joins_with("w", likes_bob(2));
        farm.rules("preempt_for_rank = true");
        farm.submit_as("ada", "queue 2");
        farm.submit_as("bob", text);
        assert_eq!(preempted(&farm), 0, "{text}");
    }
}

#[test]
fn the_fewest_and_the_youngest_give_way() {
    // A wide one on `b`, younger single ones on `a`.
    let mut farm = Farm::new(&[]);
    farm.joins_with("a", likes_bob(2));
    farm.rules("preempt_for_rank = true");
    let first = farm.submit_as("ada", "queue");
    farm.pass(1_000);
    let second = farm.submit_as("ada", "queue");
    farm.pass(1_000);
    farm.joins_with("b", likes_bob(2));
    let wide = farm.submit_as("ada", "request_cpus = 2\nqueue");
    assert_eq!(farm.place(job(wide, 0)), "b");
    let two = farm.submit_as("bob", "request_cpus = 2\nqueue");
    assert_eq!(farm.asked.len(), 1, "one wide, not two narrow");
    farm.end_asked();
    assert_eq!(farm.place(job(two, 0)), "b");
    let one = farm.submit_as("bob", "queue");
    farm.end_asked();
    assert_eq!(farm.place(job(one, 0)), "a");
    assert_eq!(farm.place(job(first, 0)), "a");
    assert_eq!(farm.place(job(second, 0)), "");
}

#[test]
fn a_worker_is_kept_free_until_the_last_of_several_has_left() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(4));
    farm.rules("preempt_for_rank = true");
    let ada = farm.submit_as("ada", "queue 9");
    let bob = farm.submit_as("bob", "request_cpus = 3\nqueue");
    assert_eq!(preempted(&farm), 3);
    let asked = std::mem::take(&mut farm.asked);
    for (at, one) in asked.into_iter().enumerate() {
        assert_eq!(farm.place(job(bob, 0)), "", "after {at}");
        farm.asked = vec![one];
        farm.end_asked();
        // What the others left is not given away before.
        assert!(farm.holding(ada) < 4 - at, "after {at}");
    }
    assert_eq!(farm.place(job(bob, 0)), "w");
    assert_eq!(farm.holding(ada), 1);
}

#[test]
fn whole_gpus_are_taken_back_device_by_device() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(8));
    farm.rules("preempt_for_rank = true");
    let plain = farm.submit_as("ada", "queue");
    farm.pass(10);
    let ada = farm.submit_as("ada", "request_gpus = 1\nqueue 2");
    farm.pass(10);
    let last = farm.submit_as("ada", "queue");
    let bob = farm.submit_as("bob", "request_gpus = 1\nqueue");
    // The holder of the GPU alone, although another is younger.
    assert_eq!(preempted(&farm), 1);
    farm.end_asked();
    assert_eq!(farm.place(job(bob, 0)), "w");
    assert_eq!(places(&farm, ada, 2), ["", ""]);
    assert_eq!(farm.place(job(plain, 0)), "w");
    assert_eq!(farm.place(job(last, 0)), "w");
}

#[test]
fn nobody_gives_way_while_something_is_free_or_about_to_be() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(1));
    farm.rules("preempt_for_rank = true");
    let ada = farm.submit_as("ada", "queue");
    farm.starts(job(ada, 0));
    farm.joins("v", 1);
    let bob = farm.submit_as("bob", "queue");
    assert_eq!(
        (preempted(&farm), farm.place(job(bob, 0)).as_str()),
        (0, "v")
    );
    // One is on its way out.
    farm.act(manager_core::Act::Hold, proto::nouns::Subject::Whole(ada));
    let next = farm.submit_as("bob", "queue");
    assert_eq!(preempted(&farm), 0);
    farm.end_asked();
    assert_eq!(farm.place(job(next, 0)), "w");
}

#[test]
fn one_at_a_time_gives_way_to_those_that_are_alike() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(4));
    farm.rules("preempt_for_rank = true");
    farm.submit_as("ada", "queue 4");
    let bob = farm.submit_as("bob", "queue 3");
    for have in 0..3 {
        assert_eq!((preempted(&farm), farm.holding(bob)), (1, have));
        // A turn later it is still one.
        farm.beat("w");
        assert_eq!(farm.holding(bob), have);
        farm.end_asked();
    }
    assert_eq!((preempted(&farm), farm.holding(bob)), (0, 3));
}

#[test]
fn a_word_that_was_lost_is_said_again() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(1));
    farm.rules("preempt_for_rank = true");
    farm.submit_as("ada", "queue");
    farm.submit_as("bob", "queue");
    assert_eq!(preempted(&farm), 1);
    farm.asked.clear();
    farm.beat("w");
    assert_eq!(preempted(&farm), 1);
    farm.asked.clear();
    farm.hello("w");
    assert_eq!(preempted(&farm), 1);
}

#[test]
fn a_victim_that_ends_by_itself_makes_room_too() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(1));
    farm.rules("preempt_for_rank = true");
    let ada = farm.submit_as("ada", "queue");
    let bob = farm.submit_as("bob", "queue");
    assert_eq!(preempted(&farm), 1);
    farm.ends(job(ada, 0), Ended::Exited(0));
    assert_eq!(farm.outcome(job(ada, 0)), "Completed");
    assert_eq!(farm.place(job(bob, 0)), "w");
}

#[test]
fn after_a_restart_the_one_who_waits_takes_the_slot_back_again() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(1));
    farm.rules("preempt_for_rank = true");
    let ada = farm.submit_as("ada", "queue");
    let bob = farm.submit_as("bob", "queue");
    farm.asked.clear();
    farm.restart();
    assert_eq!(preempted(&farm), 1);
    farm.end_asked();
    assert_eq!(farm.place(job(bob, 0)), "w");
    assert_eq!(farm.place(job(ada, 0)), "");
}

// === by priority ===

const PRIORITY: &str =
    "preemption_requirements = \"RemoteUserPrio > TARGET.SubmitterUserPrio * 1.2\"";

/// Ada has used a lot, and holds the only slot; bob has used nothing.
fn ada_has_used_a_lot(rules: &str) -> (Farm, JobId) {
    let mut farm = Farm::new(&[("w", 1)]);
    farm.rules(rules);
    farm.set_account("ada", Setting::Recent(100.0));
    let ada = farm.submit_as("ada", "queue");
    farm.starts(job(ada, 0));
    (farm, job(ada, 0))
}

#[test]
fn a_better_priority_takes_a_slot_where_the_expression_is_true() {
    let rows = [
        ("", 0),
        ("preemption_requirements = \"false\"", 0),
        (PRIORITY, 1),
        ("preemption_requirements = \"true\"", 1),
        ("preemption_requirements = \"undefined\"", 0),
        ("preemption_requirements = \"1 / 0\"", 0),
        ("preemption_requirements = \"RemoteUser == \\\"ada\\\"\"", 1),
        ("preemption_requirements = \"RemoteUser == \\\"eve\\\"\"", 0),
        (
            "preemption_requirements = \"TARGET.SubmitterUser == \\\"bob\\\"\"",
            1,
        ),
        (
            "preemption_requirements = \"RemoteJob.Owner == \\\"ada\\\"\"",
            1,
        ),
        (
            "preemption_requirements = \"RemoteJob.JobPrio > TARGET.JobPrio\"",
            0,
        ),
        (
            "preemption_requirements = \"TARGET.Owner == \\\"bob\\\"\"",
            1,
        ),
        (
            "preemption_requirements = \"SlotType == \\\"Dynamic\\\" && Cpus == 1\"",
            1,
        ),
        ("preemption_requirements = \"RemoteUserPrio > 99999\"", 1),
        ("preemption_requirements = \"TotalJobRunTime >= 60\"", 0),
    ];
    for (rules, takes) in rows {
        let (mut farm, ada) = ada_has_used_a_lot(rules);
        let bob = farm.submit_as("bob", "queue");
        assert_eq!(preempted(&farm), takes, "{rules}");
        farm.end_asked();
        let has = match takes {
            0 => ada,
            _ => job(bob, 0),
        };
        assert_eq!(farm.place(has), "w", "{rules}");
    }
}

#[test]
fn nobody_displaces_himself_or_somebody_better() {
    let (mut farm, ada) = ada_has_used_a_lot("preemption_requirements = \"true\"");
    farm.submit_as("ada", "priority = 100\nqueue");
    assert_eq!(preempted(&farm), 0, "himself");
    farm.set_account("eve", Setting::Recent(1_000.0));
    farm.submit_as("eve", "queue");
    assert_eq!(preempted(&farm), 0, "somebody better");
    assert_eq!(farm.place(ada), "w");
}

#[test]
fn shares_are_not_overshot() {
    // All six slots are ada's; bob's share is twice hers, and he takes no more than that.
    let mut farm = Farm::new(&[("w", 6)]);
    farm.rules("preemption_requirements = \"true\"\n[users.bob]\nfactor = 500");
    let ada = farm.submit_as("ada", "queue 20");
    let bob = farm.submit_as("bob", "queue 20");
    for _ in 0..20 {
        farm.end_asked();
    }
    assert_eq!((farm.holding(ada), farm.holding(bob)), (2, 4));
    assert_eq!(preempted(&farm), 0);
}

#[test]
fn limits_and_quotas_hold() {
    let rows = [
        (
            "jobs_running_max = 0",
            "[users.bob]\njobs_running_max = 0",
            "queue",
        ),
        (
            "limit",
            "[limits]\nlicense = 0",
            "concurrency_limits = license\nqueue",
        ),
        (
            "quota",
            "[groups.small]\nquota = 0.5",
            "accounting_group = small\naccounting_group_user = bob\nqueue",
        ),
    ];
    for (what, rules, text) in rows {
        let rules = format!("preemption_requirements = \"true\"\n{rules}");
        let (mut farm, ada) = ada_has_used_a_lot(&rules);
        farm.submit_as("bob", text);
        assert_eq!(preempted(&farm), 0, "{what}");
        assert_eq!(farm.place(ada), "w", "{what}");
    }
}

// === what becomes of victims ===

#[test]
fn a_job_that_lost_its_place_too_often_is_held() {
    // The description's limit, the pool's, and how often it may lose its place.
    let rows = [
        ("", "", None),
        ("max_job_restarts = 1", "", Some("twice_own")),
        ("", "restarts_max = 1", Some("pool")),
        ("max_job_restarts = 5", "restarts_max = 1", Some("pool")),
        (
            "max_job_restarts = 1",
            "restarts_max = 5",
            Some("twice_own"),
        ),
    ];
    for (text, rules, held) in rows {
        let mut farm = Farm::new(&[]);
        farm.joins_with("w", likes_bob(1));
        farm.rules(&format!("preempt_for_rank = true\n{rules}"));
        let ada = job(farm.submit_as("ada", &format!("{text}\nqueue")), 0);
        for times in 0..2 {
            assert_eq!(farm.place(ada), "w", "{text} {rules} {times}");
            farm.starts(ada);
            let bob = farm.submit_as("bob", "queue");
            farm.end_asked();
            farm.ends(job(bob, 0), Ended::Exited(0));
        }
        let expected = match held {
            None => "1024 MiB".to_owned(),
            Some(by) => {
                let whose = match by {
                    "pool" => "restarts_max of the pool",
                    _ => "max_job_restarts",
                };
                format!("Held 26.0 lost its claim 2 times, the last on w, and {whose} is 1")
            }
        };
        let found = farm.outcome(ada);
        let found = match held {
            None => found
                .split(' ')
                .skip(1)
                .map(|_| "1024 MiB".to_owned())
                .next()
                .unwrap(),
            Some(_) => found,
        };
        assert_eq!(found, expected, "{text} {rules}");
    }
}

#[test]
fn what_was_sent_ahead_behind_a_victim_is_called_back_first() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(1));
    let ada = farm.submit_as("ada", "queue 40");
    // Jobs so short that more are sent ahead.
    for proc in 0..3 {
        farm.ends(job(ada, proc), Ended::Exited(0));
    }
    let carves = farm.queue.workers().values().next().unwrap().carves.len();
    assert!(carves > 2, "{carves}");
    farm.asked.clear();
    farm.rules("preempt_for_rank = true");
    let bob = farm.submit_as("bob", "queue");
    let reasons: Vec<VacateReason> = farm.asked.iter().map(|(_, _, reason)| *reason).collect();
    let (last, first) = reasons.split_last().unwrap();
    assert_eq!(*last, VacateReason::Preempted);
    assert_eq!(first, vec![VacateReason::CalledBack; carves - 1]);
    farm.end_asked();
    assert_eq!(farm.place(job(bob, 0)), "w");
    // Those that were called back have lost nothing.
    let behind = (4..40).map(|proc| farm.queue.job(job(ada, proc)).unwrap().1);
    assert!(behind.into_iter().all(|proc| proc.attempts == 0));
}

#[test]
fn jobs_of_others_on_the_worker_are_left_alone() {
    let mut farm = Farm::new(&[]);
    farm.joins_with("w", likes_bob(3));
    farm.rules("preempt_for_rank = true");
    let bob = farm.submit_as("bob", "queue");
    let ada = farm.submit_as("ada", "queue 2");
    farm.submit_as("bob", "request_cpus = 2\nqueue");
    let asked: Vec<_> = farm.asked.iter().map(|(_, claim, _)| *claim).collect();
    let own: Vec<_> = (0..2).map(|proc| farm.claim(job(ada, proc)).0).collect();
    let mut sorted = asked.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, own);
    farm.end_asked();
    assert_eq!(farm.place(job(bob, 0)), "w");
}
