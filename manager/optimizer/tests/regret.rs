//! The optimizer against random search on functions whose minimum is known.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "../benches/regret/problems.rs"]
#[allow(dead_code, reason = "the bench uses more of it")]
mod problems;

use problems::{Problem, median, problems, random_regret, tuned};

#[test]
fn the_median_regret_beats_random_search() {
    for (name, seeds, factor) in [("branin", 5, 20.0), ("mixed6", 5, 1.5)] {
        let mut problem = problems()
            .into_iter()
            .find(|problem| problem.name == name)
            .unwrap();
        problem.budget = 30;
        let median_of = |run: fn(&Problem, u64) -> f64| {
            median((0..seeds).map(|seed| run(&problem, seed)).collect())
        };
        let ours = median_of(|problem, seed| tuned(problem, seed, 1).regret);
        let random = median_of(random_regret);
        assert!(
            ours * factor < random,
            "{name}: ours {ours:.3e}, random {random:.3e}"
        );
    }
}
