//! What matching costs, with the whole of the queue around it and nothing else: a simulated pool is
//! filled for the first time, freed slots are refilled, jobs of a new kind are matched, and the cost
//! of an event is taken at queues of 1 000 to 1 000 000 jobs.
//!
//! `cargo bench -p manager-core --bench matching`
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dags::Rules;
use dags::submit::{Macros, Submit};
use manager_core::{Command, Delivery, Effect, Limits, NewCluster, Queue, RecordKey, Reply, Step};
use proto::nouns::{ClaimId, Ended, Now, Offer, Report, ToManager, ToWorker, WorkerName};

const WORKERS: u32 = 5_000;
const CPUS: u32 = 8;
const KINDS: u32 = 1_000;
const JOBS: u32 = 100_000;
const USERS: u32 = 50;
const GROUPS: u32 = 10;
const REFILLS: usize = 4_000;

struct Pool {
    queue: Queue,
    now: Now,
    running: Vec<(ClaimId, WorkerName)>,
    claims: usize,
    longest: Duration,
    matching: Matching,
}

/// Whether a turn ends behind each command.
#[derive(Clone, Copy, PartialEq)]
enum Matching {
    AtOnce,
    Later,
}

fn main() {
    println!(
        "{} cores; {WORKERS} workers of {CPUS} slots, {USERS} users in {GROUPS} groups with quotas",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    first_assignment();
    println!("\nqueue, jobs   refill, µs: median   90 %   99 %   a new kind, µs: median");
    let sizes = std::env::args().filter_map(|arg| arg.parse().ok());
    let mut sizes: Vec<u32> = sizes.collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 100_000, 1_000_000];
    }
    for jobs in sizes {
        growth(jobs);
    }
}

fn first_assignment() {
    let mut pool = Pool::new(WORKERS);
    let begin = Instant::now();
    pool.matching = Matching::Later;
    pool.queue_jobs(JOBS, KINDS);
    pool.matching = Matching::AtOnce;
    let queued = begin.elapsed();
    let begin = Instant::now();
    pool.settle();
    let filled = begin.elapsed();
    println!(
        "first assignment: {} claims of {JOBS} jobs in {KINDS} autoclusters in {:.2} s \
         ({:.1} µs each; queued in {:.2} s; longest turn {:.1} ms)",
        pool.claims,
        filled.as_secs_f64(),
        filled.as_secs_f64() * 1e6 / pool.claims as f64,
        queued.as_secs_f64(),
        pool.longest.as_secs_f64() * 1e3,
    );
}

/// A smaller pool, so that filling it is not what is measured.
fn growth(jobs: u32) {
    let mut pool = Pool::new(100);
    pool.queue_jobs(jobs, KINDS.min(jobs / 10));
    pool.settle();
    let mut refills = Vec::new();
    let mut kinds = Vec::new();
    for round in 0..REFILLS.min(jobs as usize / 2) {
        let Some((claim, worker)) = pool.running.pop() else {
            break;
        };
        let report = Box::new(Report::new(Ended::Exited(0), 1, 60_000));
        let begin = Instant::now();
        pool.says(&worker, ToManager::Finished { claim, report });
        refills.push(begin.elapsed());
        pool.running.rotate_right(1);
        if round % 40 == 0 {
            let (claim, worker) = pool.running.pop().unwrap();
            let report = Box::new(Report::new(Ended::Exited(0), 1, 60_000));
            let text = format!(
                "priority = 1000\nrequest_disk = {}\nqueue\n",
                10_000 + round
            );
            pool.hold_matching(&worker, ToManager::Finished { claim, report });
            let begin = Instant::now();
            pool.submit(round as u32 % USERS, &text);
            kinds.push(begin.elapsed());
            pool.running.rotate_right(1);
        }
    }
    let at = |times: &mut Vec<Duration>, share: f64| {
        times.sort_unstable();
        let at = ((times.len() - 1) as f64 * share) as usize;
        times[at].as_secs_f64() * 1e6
    };
    println!(
        "{jobs:>11}   {:>18.1} {:>6.1} {:>6.1}   {:>22.1}",
        at(&mut refills, 0.5),
        at(&mut refills, 0.9),
        at(&mut refills, 0.99),
        at(&mut kinds, 0.5),
    );
}

impl Pool {
    fn new(workers: u32) -> Pool {
        let limits = Limits {
            jobs_max: 10_000_000,
            lease_ms: 600_000,
            beat_ms: 5_000,
            faults_max: 3,
            kill_grace_ms: 1_000,
            policy_interval_ms: 60_000,
        };
        let now = Now {
            wall_ms: 1_700_000_000_000,
            mono_ms: 1_000,
        };
        let mut pool = Pool {
            queue: Queue::new(7, limits),
            now,
            running: Vec::new(),
            claims: 0,
            longest: Duration::ZERO,
            matching: Matching::AtOnce,
        };
        let groups = (0..GROUPS).map(|group| {
            format!(
                "[groups.g{group}]\nshare = {:.3}\nsurplus = true\n",
                1.0 / f64::from(GROUPS)
            )
        });
        let rules = Rules::parse("rules", &groups.collect::<String>()).unwrap();
        let command = Command::SetRules(Arc::new(rules));
        pool.carry(command);
        for number in 0..workers {
            pool.join(number);
        }
        pool.settle();
        pool
    }

    fn join(&mut self, number: u32) {
        let worker: WorkerName = format!("w{number:05}").parse().unwrap();
        let kind = number % 20;
        let ad = format!(
            "Machine = \"{worker}\"\nArch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true\n\
             Rack = {kind}\nHAS_GPU = false\nKFlops = {}\nRequirements = TARGET.RequestCpus <= 8",
            1_000_000 + kind
        );
        let offer = Offer {
            ad,
            cpus: CPUS,
            memory_mib: 65_536,
            disk_kib: 1 << 30,
            gpus: Vec::new(),
            resources: BTreeMap::new(),
        };
        let message = ToManager::Hello {
            worker: worker.clone(),
            boot: 1,
            version: "bench".to_owned(),
            offer,
            claims: Vec::new(),
            cached: Vec::new(),
        };
        self.says(&worker, message);
    }

    fn queue_jobs(&mut self, jobs: u32, kinds: u32) {
        for kind in 0..kinds {
            let text = format!(
                "request_memory = {}\nrequirements = TARGET.Rack != {} && TARGET.KFlops > 10\n\
                 accounting_group = g{}\nqueue {}\n",
                1_000 + kind,
                kind % 21,
                kind % USERS % GROUPS,
                jobs / kinds,
            );
            self.submit(kind % USERS, &text);
        }
    }

    fn submit(&mut self, user: u32, text: &str) {
        let text = format!("executable = /bin/work\ntransfer_executable = false\n{text}");
        let none: BTreeMap<String, String> = BTreeMap::new();
        let (submit, wrong) = Submit::parse("s.sub", &text, &none);
        assert!(!wrong.has_errors(), "{}", wrong.render());
        let command = Command::SubmitCluster(Box::new(NewCluster {
            key: format!("{}-{}", self.queue.clusters().len(), self.claims),
            owner: format!("user{user}"),
            submit: Arc::new(submit),
            macros: Macros::new(),
            directory: "/home".to_owned(),
            delivery: Delivery::Keep,
            files: BTreeMap::new(),
        }));
        self.carry(command);
    }

    fn says(&mut self, worker: &WorkerName, message: ToManager) {
        self.carry(Command::Session {
            worker: worker.clone(),
            session: 1,
            message,
        });
    }

    /// The message alone, without what follows at the end of a turn.
    fn hold_matching(&mut self, worker: &WorkerName, message: ToManager) {
        let command = Command::Session {
            worker: worker.clone(),
            session: 1,
            message,
        };
        let step = self.queue.step(self.now, command);
        self.take(step);
    }

    /// One command and the turn that it makes.
    fn carry(&mut self, command: Command) -> Reply {
        self.now.mono_ms += 1;
        self.now.wall_ms += 1;
        let step = self.queue.step(self.now, command);
        let reply = self.take(step);
        if self.matching == Matching::Later {
            return reply;
        }
        let step = self.queue.finish_turn(self.now);
        self.take(step);
        let changes: BTreeMap<RecordKey, Option<Vec<u8>>> = self.queue.take_changes();
        drop(changes);
        reply
    }

    /// Turns until there is nothing more to do.
    fn settle(&mut self) {
        loop {
            let before = self.claims;
            let begin = Instant::now();
            self.carry(Command::Tick);
            self.longest = self.longest.max(begin.elapsed());
            let open = self.queue.next_deadline().is_some_and(|(at, _)| at == 0);
            if self.claims == before && !open {
                return;
            }
        }
    }

    fn take(&mut self, step: Step) -> Reply {
        for effect in step.effects {
            if let Effect::Tell {
                worker,
                message: ToWorker::Activate { claim, .. },
                ..
            } = effect
            {
                self.claims += 1;
                self.running.push((claim, worker));
            }
        }
        step.reply.unwrap()
    }
}
