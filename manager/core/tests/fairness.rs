//! Weeks of a shared pool, on virtual time: users come and go, their jobs take minutes to hours.
//! What each of them got is held against what it was entitled to, which is worked out here by other
//! means: water filling of shares that are as one over the effective priority, integrated over time.
//! Quotas, limits and what a user may have at a time are looked at after every step.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::Rules;
use dags::submit::{Macros, Submit};
use manager_core::{Act, Command, Delivery, Effect, Limits, NewCluster, Queue, Reply, Step};
use proto::nouns::{ClaimId, Ended, Now, Offer, Report, ToManager, ToWorker, WorkerName};

const LIMITS: Limits = Limits {
    jobs_max: 20_000_000,
    lease_ms: 30_000,
    beat_ms: 2_000,
    faults_max: 3,
    kill_grace_ms: 500,
    policy_interval_ms: 60_000,
};
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// HTCondor's: nobody's recent use counts as less.
const USE_MIN: f64 = 0.5;
/// How much of what it was entitled to a user may have got less or more.
const TOLERANCE: f64 = 0.02;

/// Who shares the pool.
struct User {
    name: &'static str,
    /// Empty for none.
    group: &'static str,
    factor: f64,
    /// What it may have at a time, by any rule.
    cap: f64,
    /// More of its submit description.
    says: &'static str,
    /// Mean minutes of its jobs: each takes from half to one and a half times as long.
    minutes: u64,
    /// Days from which and until which it has more jobs than there is room for.
    present: &'static [(u64, u64)],
}

/// A group as the rules of a scenario have it.
struct Group {
    name: &'static str,
    quota: f64,
    surplus: bool,
}

struct Scenario {
    name: &'static str,
    rules: &'static str,
    half_life_s: f64,
    workers: u32,
    cpus: u32,
    days: u64,
    groups: &'static [Group],
    users: &'static [User],
}

/// What a user has come to.
#[derive(Clone, Debug, Default)]
struct Tally {
    running: u32,
    cluster: Option<u32>,
    /// Weight times hours: what it had, and what it should have had.
    had: f64,
    entitled: f64,
    /// The model's recent use.
    recent: f64,
    /// Since when it wants something and has nothing.
    starves_since: Option<u64>,
    starved_ms: u64,
}

struct World<'a> {
    scenario: &'a Scenario,
    queue: Queue,
    now: Now,
    random: u64,
    tallies: Vec<Tally>,
    by_cluster: BTreeMap<u32, usize>,
    /// Claims by when their jobs end: where, whose, and when they began.
    ends: BTreeMap<(u64, ClaimId), (WorkerName, usize, u64)>,
    jobs: u64,
}

impl World<'_> {
    fn new(scenario: &Scenario) -> World<'_> {
        let tally = Tally {
            recent: USE_MIN,
            ..Tally::default()
        };
        let mut world = World {
            scenario,
            queue: Queue::new(7, LIMITS),
            now: Now {
                wall_ms: 1_704_164_645_000,
                mono_ms: 0,
            },
            random: 0x9e37_79b9_7f4a_7c15,
            tallies: vec![tally; scenario.users.len()],
            by_cluster: BTreeMap::new(),
            ends: BTreeMap::new(),
            jobs: 0,
        };
        let rules = Rules::parse("pool.toml", scenario.rules);
        let rules = rules.unwrap_or_else(|wrong| panic!("{}", wrong.render()));
        world.step(Command::SetRules(Arc::new(rules)));
        for worker in 0..scenario.workers {
            world.join(u64::from(worker));
        }
        world
    }

    fn join(&mut self, number: u64) {
        let worker: WorkerName = format!("w{number}").parse().unwrap();
        let offer = Offer {
            ad: "Arch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true".to_owned(),
            cpus: self.scenario.cpus,
            memory_mib: 1 << 20,
            disk_kib: 1 << 40,
            gpus: Vec::new(),
            resources: BTreeMap::new(),
        };
        let message = ToManager::Hello {
            worker: worker.clone(),
            boot: 1,
            version: "test".to_owned(),
            offer,
            claims: Vec::new(),
            cached: Vec::new(),
        };
        self.step(Command::Session {
            worker,
            session: number + 1,
            message,
        });
    }

    /// One turn of the queue; what it starts has an end from now on.
    fn step(&mut self, command: Command) -> Reply {
        let Step { reply, effects, .. } = self.queue.step(self.now, command);
        let last = self.queue.finish_turn(self.now);
        for effect in effects.into_iter().chain(last.effects) {
            if let Effect::Tell {
                worker,
                message: ToWorker::Activate { claim, order, .. },
                ..
            } = effect
            {
                let user = self.by_cluster.get(&order.job.cluster).copied();
                let user = user.unwrap_or_else(|| self.arriving());
                let mean_ms = self.scenario.users[user].minutes * 60_000;
                let ms = mean_ms / 2 + self.draw() % mean_ms;
                self.ends.insert(
                    (self.now.mono_ms + ms, claim),
                    (worker, user, self.now.wall_ms),
                );
                self.tallies[user].running += 1;
                self.jobs += 1;
            }
        }
        self.look();
        reply.unwrap()
    }

    /// Of the user who submits at this moment, the cluster's number is not known yet.
    fn arriving(&self) -> usize {
        let known: Vec<usize> = self.by_cluster.values().copied().collect();
        let mut wants = self.tallies.iter().enumerate();
        let found = wants.find(|(at, tally)| tally.cluster == Some(0) && !known.contains(at));
        found.unwrap().0
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }

    /// Nobody has more than he may, at any time.
    fn look(&mut self) {
        let Scenario { name, users, .. } = self.scenario;
        for (user, tally) in users.iter().zip(&mut self.tallies) {
            let has = f64::from(tally.running);
            assert!(has <= user.cap, "{name}: {} has {has}", user.name);
            let wants = tally.cluster.is_some();
            match (wants && tally.running == 0, tally.starves_since) {
                (true, None) => tally.starves_since = Some(self.now.mono_ms),
                (true, Some(since)) => {
                    let ms = self.now.mono_ms - since;
                    tally.starved_ms = tally.starved_ms.max(ms);
                }
                (false, _) => tally.starves_since = None,
            }
        }
        for group in self.scenario.groups.iter().filter(|group| !group.surplus) {
            let has = self.in_group(group.name);
            assert!(has <= group.quota, "{name}: {} has {has}", group.name);
        }
        let all: u32 = self.tallies.iter().map(|tally| tally.running).sum();
        assert!(all <= self.scenario.workers * self.scenario.cpus);
    }

    fn in_group(&self, name: &str) -> f64 {
        let users = self.scenario.users.iter().zip(&self.tallies);
        let of = users.filter(|(user, _)| user.group == name);
        of.map(|(_, tally)| f64::from(tally.running)).sum()
    }

    /// Time passes: what everybody has, and should have, counts.
    fn pass(&mut self, until_ms: u64) {
        const STEP_MS: u64 = 5 * 60_000;
        while self.now.mono_ms < until_ms {
            let ms = STEP_MS.min(until_ms - self.now.mono_ms);
            let rates = self.entitled();
            let hours = ms as f64 / HOUR_MS as f64;
            let kept = 0.5_f64.powf(ms as f64 / 1000.0 / self.scenario.half_life_s);
            for (tally, rate) in self.tallies.iter_mut().zip(rates) {
                tally.had += f64::from(tally.running) * hours;
                tally.entitled += rate * hours;
                tally.recent = (tally.recent * kept + rate * (1.0 - kept)).max(USE_MIN);
            }
            self.now.mono_ms += ms;
            self.now.wall_ms += ms;
        }
    }

    /// What each user has a right to at this moment.
    fn entitled(&self) -> Vec<f64> {
        let total = f64::from(self.scenario.workers * self.scenario.cpus);
        let users = self.scenario.users;
        let wants = |at: usize| self.tallies[at].cluster.is_some();
        let mut rates = vec![0.0; users.len()];
        // What is no group's is for those who are in none.
        let named = self.scenario.groups;
        let rest = total - named.iter().map(|group| group.quota).sum::<f64>();
        let all = named
            .iter()
            .map(|group| (group.name, group.quota, group.surplus));
        let all: Vec<_> = all.chain([("", rest, true)]).collect();
        let members = |group: &str| -> Vec<usize> {
            let of = (0..users.len()).filter(|at| wants(*at) && users[*at].group == group);
            of.collect()
        };
        let present: Vec<_> = all
            .into_iter()
            .map(|(name, quota, surplus)| (members(name), quota, surplus))
            .filter(|(members, _, _)| !members.is_empty())
            .collect();
        // In proportion to their quotas, but no more than the quota to those that take no surplus,
        // and to nobody more than all its users may have.
        let weights: Vec<f64> = present.iter().map(|(_, quota, _)| *quota).collect();
        let caps = present.iter().map(|(members, quota, surplus)| {
            let may: f64 = members.iter().map(|at| users[*at].cap).sum();
            if *surplus { may } else { may.min(*quota) }
        });
        let caps: Vec<f64> = caps.collect();
        for ((members, _, _), has) in present.iter().zip(fill(total, &weights, &caps)) {
            let share = |at: &usize| 1.0 / (self.tallies[*at].recent * users[*at].factor);
            let weights: Vec<f64> = members.iter().map(share).collect();
            let caps: Vec<f64> = members.iter().map(|at| users[*at].cap).collect();
            for (at, rate) in members.iter().zip(fill(has, &weights, &caps)) {
                rates[*at] = rate;
            }
        }
        rates
    }

    fn run(&mut self) {
        let mut visits: Vec<(u64, usize, bool)> = Vec::new();
        for (at, user) in self.scenario.users.iter().enumerate() {
            for (from, until) in user.present {
                visits.push((from * DAY_MS, at, true));
                visits.push((until * DAY_MS, at, false));
            }
        }
        visits.sort_unstable();
        let mut visits = visits.into_iter().peekable();
        let end = self.scenario.days * DAY_MS;
        loop {
            let ends = self.ends.first_key_value().map(|((at, _), _)| *at);
            let visit = visits.peek().map(|(at, _, _)| *at);
            let Some(next) = ends.into_iter().chain(visit).min().filter(|at| *at < end) else {
                break;
            };
            self.pass(next);
            if visit == Some(next) {
                let (_, user, comes) = visits.next().unwrap();
                if comes {
                    self.arrives(user)
                } else {
                    self.leaves(user)
                }
            } else {
                self.one_ends();
            }
        }
        self.pass(end);
    }

    fn arrives(&mut self, at: usize) {
        let user = &self.scenario.users[at];
        let text = format!(
            "executable = /bin/work\ntransfer_executable = false\nrequest_cpus = 1\n{}\nqueue 100000\n",
            user.says
        );
        let files: BTreeMap<String, String> = BTreeMap::new();
        let (submit, diagnostics) = Submit::parse("w.sub", &text, &files);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
        self.tallies[at].cluster = Some(0);
        let reply = self.step(Command::SubmitCluster(Box::new(NewCluster {
            key: format!("{}-{}", user.name, self.now.mono_ms),
            owner: user.name.to_owned(),
            submit: Arc::new(submit),
            macros: Macros::new(),
            directory: "/home".to_owned(),
            delivery: Delivery::Keep,
            files: BTreeMap::new(),
        })));
        let Reply::Submitted { id } = reply else {
            panic!("{reply:?}")
        };
        self.by_cluster.insert(id, at);
        self.tallies[at].cluster = Some(id);
    }

    /// It wants nothing more; what runs goes on to its end.
    fn leaves(&mut self, at: usize) {
        let cluster = self.tallies[at].cluster.take().unwrap();
        self.step(Command::ActOnRest {
            act: Act::Hold,
            cluster,
            reason: "enough".to_owned(),
        });
    }

    fn one_ends(&mut self) {
        let ((_, claim), (worker, user, began_ms)) = self.ends.pop_first().unwrap();
        self.tallies[user].running -= 1;
        let session = worker.as_str()[1..].parse::<u64>().unwrap() + 1;
        let report = Report::new(Ended::Exited(0), began_ms, self.now.wall_ms);
        let message = ToManager::Finished {
            claim,
            report: Box::new(report),
        };
        self.step(Command::Session {
            worker,
            session,
            message,
        });
    }
}

/// Divides an amount in proportion to weights; what one may not have goes to the others.
fn fill(amount: f64, weights: &[f64], caps: &[f64]) -> Vec<f64> {
    let mut shares = vec![0.0; weights.len()];
    let mut open: Vec<usize> = (0..weights.len()).collect();
    let mut left = amount;
    while !open.is_empty() {
        let sum: f64 = open.iter().map(|at| weights[*at]).sum();
        let full = |at: &usize| left * weights[*at] / sum >= caps[*at];
        let (capped, rest): (Vec<usize>, Vec<usize>) = open.iter().partition(|at| full(at));
        if capped.is_empty() {
            for at in &open {
                shares[*at] = left * weights[*at] / sum;
            }
            break;
        }
        for at in &capped {
            shares[*at] = caps[*at];
            left -= caps[*at];
        }
        open = rest;
    }
    shares
}

const ALWAYS: &[(u64, u64)] = &[(0, 21)];
const NO_CAP: f64 = 1e9;

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "factors",
        rules: "[users.bob]\nfactor = 2000\n[users.eve]\nfactor = 4000",
        half_life_s: 86_400.0,
        workers: 4,
        cpus: 20,
        days: 21,
        groups: &[],
        users: &[
            User {
                name: "ada",
                group: "",
                factor: 1000.0,
                cap: NO_CAP,
                says: "",
                minutes: 60,
                present: ALWAYS,
            },
            User {
                name: "bob",
                group: "",
                factor: 2000.0,
                cap: NO_CAP,
                says: "",
                minutes: 180,
                present: ALWAYS,
            },
            User {
                name: "eve",
                group: "",
                factor: 4000.0,
                cap: NO_CAP,
                says: "",
                minutes: 30,
                present: ALWAYS,
            },
        ],
    },
    Scenario {
        name: "coming and going",
        rules: "half_life_s = 172800\n[users.dan]\njobs_running_max = 3\n[limits]\nlicense = 2",
        half_life_s: 172_800.0,
        workers: 2,
        cpus: 12,
        days: 21,
        groups: &[],
        users: &[
            User {
                name: "ada",
                group: "",
                factor: 1000.0,
                cap: NO_CAP,
                says: "",
                minutes: 120,
                present: ALWAYS,
            },
            User {
                name: "bob",
                group: "",
                factor: 1000.0,
                cap: NO_CAP,
                says: "",
                minutes: 40,
                present: &[(2, 9), (12, 18)],
            },
            User {
                name: "dan",
                group: "",
                factor: 1000.0,
                cap: 3.0,
                says: "",
                minutes: 60,
                present: &[(1, 20)],
            },
            User {
                name: "eve",
                group: "",
                factor: 1000.0,
                cap: 2.0,
                says: "concurrency_limits = license",
                minutes: 90,
                present: &[(0, 15)],
            },
        ],
    },
    Scenario {
        name: "groups",
        rules: "[groups.physics]\nquota = 12\nsurplus = true\n[groups.chemistry]\nquota = 6",
        half_life_s: 86_400.0,
        workers: 3,
        cpus: 8,
        days: 21,
        groups: &[
            Group {
                name: "physics",
                quota: 12.0,
                surplus: true,
            },
            Group {
                name: "chemistry",
                quota: 6.0,
                surplus: false,
            },
        ],
        users: &[
            User {
                name: "ada",
                group: "physics",
                factor: 1000.0,
                cap: NO_CAP,
                says: "accounting_group = physics",
                minutes: 60,
                present: ALWAYS,
            },
            User {
                name: "bob",
                group: "physics",
                factor: 1000.0,
                cap: NO_CAP,
                says: "accounting_group = physics",
                minutes: 120,
                present: &[(4, 14)],
            },
            User {
                name: "eve",
                group: "chemistry",
                factor: 1000.0,
                cap: NO_CAP,
                says: "accounting_group = chemistry",
                minutes: 40,
                present: &[(0, 10), (13, 21)],
            },
            User {
                name: "dan",
                group: "",
                factor: 1000.0,
                cap: NO_CAP,
                says: "",
                minutes: 60,
                present: &[(2, 21)],
            },
        ],
    },
];

#[test]
fn everybody_gets_what_he_is_entitled_to() {
    let mut wrong = Vec::new();
    for scenario in &SCENARIOS {
        let mut world = World::new(scenario);
        world.run();
        for (user, tally) in scenario.users.iter().zip(&world.tallies) {
            let off = (tally.had - tally.entitled) / tally.entitled;
            let starved_h = tally.starved_ms as f64 / HOUR_MS as f64;
            let told = format!(
                "{}: {} had {:.0} of {:.0} core hours ({:+.2} %), at most {starved_h:.1} h with \
                 none; {} jobs",
                scenario.name,
                user.name,
                tally.had,
                tally.entitled,
                off * 100.0,
                world.jobs,
            );
            if off.abs() > TOLERANCE || starved_h > 6.0 {
                wrong.push(told.clone());
            }
            println!("{told}");
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn water_is_filled_to_the_brim_and_no_further() {
    type Row<'a> = (f64, &'a [f64], &'a [f64], &'a [f64]);
    let rows: [Row<'_>; 4] = [
        (12.0, &[1.0, 2.0], &[99.0, 99.0], &[4.0, 8.0]),
        (12.0, &[1.0, 2.0], &[99.0, 2.0], &[10.0, 2.0]),
        (12.0, &[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]),
        (0.0, &[1.0], &[5.0], &[0.0]),
    ];
    for (amount, weights, caps, expected) in rows {
        assert_eq!(fill(amount, weights, caps), expected);
    }
}
