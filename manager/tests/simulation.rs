//! The whole house on virtual time: the real queue, real worker sessions and the real optimizer,
//! over a net that loses, repeats and reorders, on machines that crash. One seed is one world; a
//! failure prints its seed.
//!
//! Two phases. First everything goes wrong at random, and after every commit the invariants must
//! hold. Then the faults stop, and everything that was acknowledged must end as it should.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

#[path = "simulation/world.rs"]
mod world;

use world::{Faults, World};

/// Seeds that every run of the tests goes through. `UPDRAFT_SIM_SEEDS=FIRST..END` asks for others.
const SEEDS: std::ops::Range<u64> = 0..300;

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("UPDRAFT_SIM_SEEDS") else {
        return SEEDS;
    };
    let (first, end) = text
        .split_once("..")
        .expect("UPDRAFT_SIM_SEEDS is FIRST..END");
    first.parse().expect("FIRST is a number")..end.parse().expect("END is a number")
}

#[test]
fn what_was_acknowledged_ends_once_whatever_fails() {
    let mut total = world::Counts::default();
    for seed in seeds() {
        // The seed is printed by the panic that follows a broken invariant.
        let _seed = Announce(seed);
        let mut world = World::new(seed, Faults::Many);
        world.submit();
        world.run_for(120_000);
        world.stop_faults();
        world.run_until_ended(600_000);
        total.add(&world.counts);
    }
    println!("{total:?}");
    // A world without faults would prove nothing.
    assert!(total.manager_crashes > 0 && total.worker_crashes > 0 && total.messages_lost > 0);
    assert!(total.late_reports_refused > 0 && total.leases_expired > 0 && total.scripts > 0);
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [1, 7, 23] {
        let trace = || {
            let mut world = World::new(seed, Faults::Many);
            world.submit();
            world.run_for(60_000);
            world.trace()
        };
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

#[test]
fn without_faults_nothing_is_started_twice() {
    for seed in 0..20 {
        let _seed = Announce(seed);
        let mut world = World::new(seed, Faults::None);
        world.submit();
        world.run_until_ended(600_000);
        world.assert_each_started_once();
    }
}

/// Names the seed when its world breaks.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {}: UPDRAFT_SIM_SEEDS={}..{} repeats it",
                self.0,
                self.0,
                self.0 + 1
            );
        }
    }
}
