//! Nothing acknowledged is lost and nothing counts twice, whoever is killed.

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::home::{Home, is_alive, until};
use crate::pool::Pool;

const JOBS: usize = 200;
const CRASHES: usize = 8;
/// Which daemon dies when; another seed, by the variable `E2E_SEED`, is another test.
const SEED: u64 = 20_140_210;

#[test]
fn two_hundred_jobs_outlive_crashes_of_everybody() {
    let mut pool = Pool::with_workers(&["w1", "w2"]);
    let id = pool.submit_text(
        "many.sub",
        "executable = /bin/sh
         transfer_executable = false
         arguments = \"-c 'echo $(Process); sleep 0.1; echo $(Process) >> HOME/log'\"
         output = out.$(Process)
         queue 200\n",
    );
    let seed = std::env::var("E2E_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let victims = [
        "manager", "w1", "w2", "manager", "w1", "w2", "manager", "w1",
    ];
    for crash in 0..CRASHES {
        let due = JOBS * (crash + 1) / (CRASHES + 2) + random.below(10);
        until("progress", || pool.home.lines("log").len() >= due);
        // Often several die together.
        let first = victims[random.below(victims.len())];
        let second = victims[random.below(victims.len())];
        let victims: BTreeSet<&str> = BTreeSet::from([first, second, victims[crash]]);
        for victim in &victims {
            match *victim {
                "manager" => pool.kill_manager(),
                worker => pool.kill_worker(worker),
            }
        }
        for victim in &victims {
            match *victim {
                "manager" => pool.start_manager(),
                worker => pool.start_worker(worker),
            }
        }
    }
    pool.wait(&id);

    let jobs = pool.history(&id);
    let ids: BTreeSet<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!((jobs.len(), ids.len()), (JOBS, JOBS));
    let logged: BTreeSet<String> = pool.home.lines("log").into_iter().collect();
    assert_eq!(logged.len(), JOBS);
    for job in &jobs {
        let succeeded = (&job["exit_code"], &job["succeeded"]);
        assert_eq!(succeeded, (&0.into(), &true.into()), "{job:#}");
    }
    for proc in 0..JOBS {
        let out = pool.home.read(&format!("out.{proc}"));
        assert_eq!(out, format!("{proc}\n"));
        assert!(ids.contains(format!("{id}.{proc}").as_str()), "{proc}");
    }
    assert_eq!(pool.json(&["q"])["jobs"], Value::Array(Vec::new()));
}

/// Enough randomness for a test: Knuth's linear congruential generator (MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Tells where it runs, waits for `go`, and reports.
const PATIENT: &str = "#!/bin/sh
echo $$ >> HOME/pids
until [ -e HOME/go ]; do sleep 0.02; done
echo '{\"m\": 1}' >> $UPDRAFT_METRICS
echo done
";

#[test]
fn a_job_runs_on_while_the_manager_is_dead() {
    let files = [
        ("patient.sh", PATIENT),
        (
            "job.sub",
            "executable = patient.sh\noutput = out\ntransfer_output_files = \"\"\nqueue\n",
        ),
        ("trial.dag", "STUDY tune job.sub s.study.toml\n"),
        (
            "s.study.toml",
            "metric = 'm'\ngoal = 'minimize'\ntrials = 1\nparallel = 1\nseed = 1\n\
             [space.x]\ntype = 'float'\nlow = 0.0\nhigh = 1.0\n",
        ),
    ];
    // What is submitted, and whether the job ends before the manager is back.
    let rows = [("job.sub", false), ("job.sub", true), ("trial.dag", false)];
    for (file, ends_before) in rows {
        let mut pool = Pool::of(Home::with(&files), &[]);
        pool.add_worker("w", &[]);
        let id = pool.submit(file);
        until("start", || !pool.home.lines("pids").is_empty());
        let pid: i32 = pool.home.lines("pids")[0].parse().unwrap();

        pool.kill_manager();
        assert!(is_alive(pid), "{file}");
        if ends_before {
            pool.home.write("go", "");
            until("end of the job", || !is_alive(pid));
        }
        pool.start_manager();
        pool.until_worker("w", |worker| worker["state"] != "Offline");
        if !ends_before {
            pool.until_worker("w", |worker| worker["slots"].as_array().unwrap().len() == 1);
            assert!(is_alive(pid), "{file}");
            pool.home.write("go", "");
        }
        pool.wait(&id);

        let jobs = pool.history(&id);
        assert_eq!(jobs.len(), 1, "{file}: {jobs:#?}");
        let counted = (&jobs[0]["attempts"], &jobs[0]["exit_code"]);
        assert_eq!(counted, (&1.into(), &0.into()), "{file}: {:#}", jobs[0]);
        assert_eq!(pool.home.lines("pids").len(), 1, "{file}: it ran once");
        if file == "trial.dag" {
            let study = &pool.json(&["study", "best", &id])["studies"][0];
            assert_eq!(study["best"]["value"], 1.0, "{study:#}");
        } else {
            assert_eq!(pool.home.read("out"), "done\n");
        }
    }
}

/// Never ends by itself in its first attempt, unless let go.
const STUCK_ONCE: &str = "executable = /bin/sh
transfer_executable = false
arguments = \"-c 'echo $UPDRAFT_ATTEMPT >> HOME/attempts; echo attempt $UPDRAFT_ATTEMPT; \
    until [ $UPDRAFT_ATTEMPT != 1 -o -e HOME/go ]; do sleep 0.02; done'\"
output = out
queue\n";

/// A pool of two workers with a short lease, a job that hangs on one of them, and their names.
fn stuck() -> (Pool, String, String, String) {
    let mut pool = Pool::of(Home::new(), &["--lease-s", "2"]);
    pool.add_worker("w1", &[]);
    pool.add_worker("w2", &[]);
    for name in ["w1", "w2"] {
        pool.until_worker(name, |_| true);
    }
    let id = pool.submit_text("job.sub", STUCK_ONCE);
    until("start", || pool.home.lines("attempts") == ["1"]);
    let unlucky = pool.job(&id)["worker"].as_str().unwrap().to_owned();
    let mut others = pool.worker_names();
    others.retain(|name| *name != unlucky);
    (pool, id, unlucky, others.remove(0))
}

fn assert_second_attempt_counts(pool: &Pool, id: &str, worker: &str) {
    let jobs = pool.history(id);
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    let job = &jobs[0];
    let told = (&job["attempts"], &job["worker"], &job["exit_code"]);
    assert_eq!(told, (&2.into(), &worker.into(), &0.into()), "{job:#}");
    assert_eq!(pool.home.lines("attempts"), ["1", "2"]);
    assert_eq!(pool.home.read("out"), "attempt 2\n");
}

#[test]
fn a_job_of_a_dead_worker_runs_elsewhere() {
    let (mut pool, id, unlucky, other) = stuck();
    pool.kill_worker(&unlucky);
    pool.wait(&id);
    assert_second_attempt_counts(&pool, &id, &other);
}

#[test]
fn a_late_report_is_refused() {
    let (pool, id, unlucky, other) = stuck();
    // Nobody hears of it, while its job goes on, and ends well.
    pool.signal_worker(&unlucky, Signal::SIGSTOP);
    until("second attempt", || pool.home.lines("attempts").len() == 2);
    pool.home.write("go", "");
    pool.wait(&id);
    assert_second_attempt_counts(&pool, &id, &other);
    pool.signal_worker(&unlucky, Signal::SIGCONT);
    // It is heard again, and free of the job that it had.
    pool.until_worker(&unlucky, |worker| worker["state"] == "Unclaimed");
    let jobs = format!("workers/{unlucky}/jobs");
    let sandbox = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().path();
    let is_empty = |path: &Path| {
        std::fs::read(path.join("stdout"))
            .unwrap_or_default()
            .is_empty()
    };
    until("end of the first attempt", || {
        let mut sandboxes = std::fs::read_dir(pool.home.path(&jobs))
            .unwrap()
            .map(sandbox);
        sandboxes.all(|path| is_empty(&path))
    });
    assert_second_attempt_counts(&pool, &id, &other);
}

#[test]
fn what_was_acknowledged_outlives_the_manager() {
    let home = Home::with(&[
        (
            "five.sub",
            "executable = /bin/true\ntransfer_executable = false\nqueue 5\n",
        ),
        (
            "one.sub",
            "executable = /bin/true\ntransfer_executable = false\nqueue\n",
        ),
        (
            "two.dag",
            "JOB a one.sub\nJOB b one.sub\nPARENT a CHILD b\n",
        ),
    ]);
    let mut pool = Pool::of(home, &[]);
    let (mut clusters, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        clusters.push(pool.submit("five.sub"));
        pool.kill_manager();
        pool.start_manager();
        runs.push(pool.submit("two.dag"));
        pool.kill_manager();
        pool.start_manager();
    }
    for id in &clusters {
        let queue = pool.json(&["q", id]);
        let jobs = queue["jobs"].as_array().unwrap().iter();
        let count: u64 = jobs.map(|job| job["count"].as_u64().unwrap()).sum();
        assert_eq!(count, 5, "{id}: {queue:#}");
    }
    for id in &runs {
        let run = pool.json(&["dag", "status", id]);
        assert_eq!(run["nodes"].as_array().unwrap().len(), 2, "{id}: {run:#}");
    }
    let distinct: BTreeSet<&String> = clusters.iter().chain(&runs).collect();
    assert_eq!(distinct.len(), 8);
    pool.add_worker("w", &[]);
    for id in clusters.iter().chain(&runs) {
        pool.wait(id);
    }
    assert_eq!(
        pool.json(&["history"])["jobs"].as_array().unwrap().len(),
        4 * (5 + 2)
    );
}
