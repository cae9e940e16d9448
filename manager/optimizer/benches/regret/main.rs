//! How good the suggestions are, and what they cost: the median simple regret on functions whose
//! minimum is known, beside random search, and the processor time of one ask.
//!
//! `cargo bench -p optimizer --bench regret`; `PROBLEM`, `SEEDS` and `WORKERS` ask for less.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run says so")]

mod problems;

use optimizer::{Config, Goal, Noise, Observation, Outcome, Param, Point, Scale, Space, suggest};
use problems::{Run, cpu_ms, median, number, problems, random_regret, tuned};

fn main() {
    table_of_regrets();
    time_of_an_ask();
}

fn table_of_regrets() {
    let wanted = |name: &str| std::env::var(name).ok();
    let seeds: u64 = wanted("SEEDS").map_or(10, |seeds| seeds.parse().unwrap());
    let only_workers: Option<usize> = wanted("WORKERS").map(|workers| workers.parse().unwrap());
    let only = wanted("PROBLEM").unwrap_or_default();
    println!("problem      workers  median     upper      recommended random     ms/ask  all");
    for problem in problems()
        .iter()
        .filter(|problem| problem.name.contains(&only))
    {
        for workers in [1, 8] {
            if only_workers.is_some_and(|only| only != workers) {
                continue;
            }
            let runs: Vec<Run> = (0..seeds)
                .map(|seed| tuned(problem, seed, workers))
                .collect();
            let mut regrets: Vec<f64> = runs.iter().map(|run| run.regret).collect();
            regrets.sort_by(f64::total_cmp);
            let all: Vec<String> = regrets
                .iter()
                .map(|regret| format!("{regret:.1e}"))
                .collect();
            let recommended = median(runs.iter().map(|run| run.recommended).collect());
            let random = median(
                (0..seeds)
                    .map(|seed| random_regret(problem, seed))
                    .collect(),
            );
            let ms = runs.iter().map(|run| run.ask_ms).sum::<f64>() / seeds as f64;
            let upper = regrets[regrets.len() * 3 / 4];
            let median = median(regrets);
            println!(
                "{:12} w{workers}       {median:.3e}  {upper:.3e}  {recommended:.3e}   \
                 {random:.3e}  {ms:6.1}  {}",
                problem.name,
                all.join(" "),
            );
        }
    }
}

fn time_of_an_ask() {
    for dims in [2, 6] {
        let params = (0..dims).map(|i| Param::float(format!("x{i}"), 0.0, 1.0, Scale::Linear));
        let space = Space::new(params.collect()).unwrap();
        for count in [30, 100, 128, 250, 500] {
            for noise in [Noise::Exact, Noise::Unknown, Noise::Noisy] {
                let mut config = Config::new(space.clone(), Goal::Minimize, 1, None);
                config.noise = noise;
                config.startup = count;
                let value = |point: &Point| point.iter().map(|x| (6.0 * number(x)).sin()).sum();
                let history: Vec<Observation> = suggest(&config, &[], &[], 0, count)
                    .into_iter()
                    .map(|point| Observation {
                        outcome: Outcome::Value(value(&point)),
                        point,
                    })
                    .collect();
                let start = cpu_ms();
                let repeats = 5;
                for repeat in 0..repeats {
                    suggest(&config, &history, &[], count as u64 + repeat, 1);
                }
                let ms = (cpu_ms() - start) / repeats as f64;
                println!("d {dims} n {count} {noise:?}: {ms:.1} ms");
            }
        }
    }
}
