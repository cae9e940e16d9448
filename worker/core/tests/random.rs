//! A worker, its disk and a manager over a net that loses, doubles and reorders, with crashes of
//! either side. Whatever happens, each claim has one result in the end and the worker is empty.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};

use proto::nouns::{
    ClaimId, Ended, JobId, Now, Offer, Outputs, Program, Report, ToManager, ToWorker, VacateReason,
    WorkOrder,
};
use worker_core::{Core, Effect, Phase};

const POOL: u32 = 9;
const SEEDS: u64 = 300;
const STEPS: u32 = 400;
const CLAIMS: u64 = 12;
const BEAT_MS: u64 = 100;

/// splitmix64 (Steele, Lea, Flood 2014).
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn take<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        let at = self.below(from.len().max(1) as u64) as usize;
        (!from.is_empty()).then(|| from.swap_remove(at))
    }
}

struct World {
    seed: u64,
    rng: Rng,
    now: Now,
    core: Core,
    boots: u64,
    lossy: bool,
    /// What the worker's disk holds; a crash leaves it.
    spool: BTreeMap<ClaimId, Report>,
    /// What runs on the worker's machine.
    processes: BTreeSet<ClaimId>,
    staging: BTreeSet<ClaimId>,
    started: BTreeMap<ClaimId, u32>,
    /// Processes that are over, while outputs are on their way.
    delivering: BTreeSet<ClaimId>,
    /// Whom the manager sends a claim ahead behind, and whom the worker has it wait behind.
    behind: BTreeMap<ClaimId, ClaimId>,
    told: BTreeMap<ClaimId, ClaimId>,
    /// Answered as never begun: must not be run any more in this life.
    never: BTreeSet<ClaimId>,
    waited: u32,
    up: Vec<ToManager>,
    down: Vec<ToWorker>,
    /// The manager's durable state: claims that are wanted, wanted ended, and their results.
    wanted: BTreeMap<ClaimId, bool>,
    results: BTreeMap<ClaimId, Ended>,
}

fn new_core(boot: u64) -> Core {
    Core::new("w".parse().unwrap(), boot, String::new(), Offer::default())
}

fn report(ended: Ended) -> Report {
    Report {
        ended,
        started_ms: 0,
        ended_ms: 0,
        user_cpu_ms: 0,
        system_cpu_ms: 0,
        rss_max_kib: 0,
        outputs: Vec::new(),
        missing: Vec::new(),
        stdout: None,
        stderr: None,
        metrics: BTreeMap::new(),
        metrics_error: None,
    }
}

fn order() -> Box<WorkOrder> {
    Box::new(WorkOrder {
        job: JobId {
            cluster: 1,
            proc: 0,
        },
        attempt: 1,
        owner: String::new(),
        program: Program::Trainer,
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        inputs: Vec::new(),
        stdin: None,
        outputs: Outputs::New,
        cpus: 1,
        memory_mib: 1,
        gpus: Vec::new(),
        gpu_memory_mib: None,
        gpu_naming: proto::nouns::GpuNaming::Uuid,
        resources: BTreeMap::new(),
        params: None,
        kill_signal: 15,
        kill_grace_ms: 10,
    })
}

impl World {
    fn new(seed: u64) -> World {
        World {
            seed,
            rng: Rng(seed),
            now: Now {
                wall_ms: 0,
                mono_ms: 0,
            },
            core: new_core(1),
            boots: 1,
            lossy: true,
            spool: BTreeMap::new(),
            processes: BTreeSet::new(),
            staging: BTreeSet::new(),
            started: BTreeMap::new(),
            delivering: BTreeSet::new(),
            behind: BTreeMap::new(),
            told: BTreeMap::new(),
            never: BTreeSet::new(),
            waited: 0,
            up: Vec::new(),
            down: Vec::new(),
            wanted: BTreeMap::new(),
            results: BTreeMap::new(),
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    if let ToManager::Finished { claim, report } = &message
                        && self.started.contains_key(claim)
                        && let Some(spooled) = self.spool.get(claim)
                    {
                        assert_eq!(spooled, &**report, "seed {}: said otherwise", self.seed);
                    }
                    if let ToManager::Finished { claim, report } = &message
                        && report.ended == Ended::Vacated
                        && !self.spool.contains_key(claim)
                    {
                        self.never.insert(*claim);
                    }
                    self.up.push(message);
                }
                Effect::Run { claim, .. } => {
                    let seed = self.seed;
                    assert!(!self.never.contains(&claim), "seed {seed}: {claim} ran");
                    self.assert_alone(claim);
                    let times = self.started.entry(claim).or_default();
                    *times += 1;
                    self.staging.insert(claim);
                }
                Effect::Kill { claim, .. } => {
                    let delivering = self.delivering.remove(&claim);
                    if self.processes.remove(&claim) || self.staging.remove(&claim) || delivering {
                        let effects = self.core.ended(self.now, claim, report(Ended::Signaled(9)));
                        self.carry_out(effects);
                    }
                }
                Effect::Spool { claim, report } => {
                    self.spool.insert(claim, *report);
                }
                Effect::ForgetSpool { claim } => {
                    self.spool.remove(&claim);
                }
                Effect::Tail { .. } | Effect::Close { .. } | Effect::Leave { .. } => {}
            }
        }
    }

    /// Nobody in front of the claim, and nobody behind it, has the resources that it gets now.
    fn assert_alone(&self, claim: ClaimId) {
        let has = |claim: &ClaimId| self.processes.contains(claim) || self.staging.contains(claim);
        let mut front = claim;
        while let Some(next) = self.told.get(&front) {
            front = *next;
            assert!(!has(&front), "seed {}: {claim} beside {front}", self.seed);
        }
        for (other, front) in &self.told {
            let beside = *front == claim && has(other);
            assert!(!beside, "seed {}: {claim} beside {other}", self.seed);
        }
    }

    fn manager_hears(&mut self, message: ToManager) {
        match message {
            ToManager::Hello { claims, .. } => {
                self.down.push(ToWorker::Welcome {
                    pool: POOL,
                    lease_ms: 1_000,
                    beat_ms: BEAT_MS,
                });
                self.reconcile(&claims);
            }
            ToManager::Beat { claims } => self.reconcile(&claims),
            ToManager::Finished { claim, report } => {
                self.results.entry(claim).or_insert(report.ended);
                self.wanted.remove(&claim);
                self.down.push(ToWorker::Forget { claim });
            }
            ToManager::Started { .. }
            | ToManager::Progress { .. }
            | ToManager::Advertise { .. }
            | ToManager::Log { .. } => {}
        }
    }

    /// Says again what the worker seems not to have heard.
    fn reconcile(&mut self, known: &[ClaimId]) {
        for claim in known
            .iter()
            .filter(|claim| !self.wanted.contains_key(claim))
        {
            self.down.push(ToWorker::Forget { claim: *claim });
        }
        for (claim, run) in &self.wanted {
            let claim = *claim;
            if !run {
                self.down.push(ToWorker::Vacate {
                    claim,
                    reason: match claim.serial % 3 {
                        0 => VacateReason::CalledBack,
                        _ => VacateReason::Removed,
                    },
                    grace_ms: None,
                });
            } else if !known.contains(&claim) {
                self.down.push(ToWorker::Activate {
                    claim,
                    order: order(),
                    behind: self.behind.get(&claim).copied(),
                });
            }
        }
    }

    /// The worker hears of a claim sent ahead: does it have to wait?
    fn note_front(&mut self, message: &ToWorker) {
        let ToWorker::Activate {
            claim,
            behind: Some(front),
            ..
        } = message
        else {
            return;
        };
        let phase = |id: &ClaimId| {
            let found = self.core.claims().find(|(other, _)| other == id);
            found.map(|(_, phase)| phase)
        };
        let busy = phase(front).is_some_and(|phase| phase != Phase::Finished);
        let is_new = phase(claim).is_none() && !self.told.contains_key(claim);
        if is_new && busy && !self.delivering.contains(front) {
            self.told.insert(*claim, *front);
            self.waited += 1;
        }
    }

    fn step(&mut self) {
        let now = self.now;
        let chaos = if self.lossy { 14 } else { 8 };
        match self.rng.below(chaos) {
            0 | 1 => {
                if let Some(message) = self.rng.take(&mut self.up) {
                    if self.lossy && self.rng.below(4) == 0 {
                        self.up.push(message.clone());
                    }
                    self.manager_hears(message);
                }
            }
            2 | 3 => {
                if let Some(message) = self.rng.take(&mut self.down) {
                    if self.lossy && self.rng.below(4) == 0 {
                        self.down.push(message.clone());
                    }
                    self.note_front(&message);
                    let effects = self.core.message(now, message);
                    self.carry_out(effects);
                }
            }
            4 => {
                if let Some(claim) = self.staging.pop_first() {
                    self.processes.insert(claim);
                    let effects = self.core.spawned(now, claim);
                    self.carry_out(effects);
                }
            }
            5 => {
                if let Some(claim) = self.delivering.pop_first() {
                    let effects = self.core.ended(now, claim, report(Ended::Exited(0)));
                    self.carry_out(effects);
                } else if let Some(claim) = self.processes.pop_last() {
                    if self.rng.below(2) == 0 {
                        self.delivering.insert(claim);
                        let effects = self.core.process_over(now, claim);
                        return self.carry_out(effects);
                    }
                    let effects = self.core.ended(now, claim, report(Ended::Exited(0)));
                    self.carry_out(effects);
                }
            }
            6 => self.pass(30),
            7 => self.connect_if_closed(),
            8 => drop(self.rng.take(&mut self.up)),
            9 => drop(self.rng.take(&mut self.down)),
            10 => drop(self.core.disconnected(now)),
            11 => {
                let serial = self.rng.below(CLAIMS);
                let claim = ClaimId { pool: POOL, serial };
                if !self.started.contains_key(&claim) && !self.results.contains_key(&claim) {
                    let fronts: Vec<ClaimId> = self.wanted.range(..claim).map(|it| *it.0).collect();
                    if !fronts.is_empty() && self.rng.below(2) == 0 {
                        let at = self.rng.below(fronts.len() as u64) as usize;
                        self.behind.entry(claim).or_insert(fronts[at]);
                    }
                    self.wanted.entry(claim).or_insert(true);
                    self.down.push(ToWorker::Activate {
                        claim,
                        order: order(),
                        behind: self.behind.get(&claim).copied(),
                    });
                }
            }
            12 => {
                let pick = self.rng.below(CLAIMS);
                if let Some(run) = self.wanted.get_mut(&ClaimId {
                    pool: POOL,
                    serial: pick,
                }) {
                    *run = false;
                }
            }
            _ => {
                if self.rng.below(10) == 0 {
                    self.crash();
                }
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = Now {
            wall_ms: self.now.wall_ms + ms,
            mono_ms: self.now.mono_ms + ms,
        };
        let effects = self.core.tick(self.now);
        self.carry_out(effects);
    }

    fn connect_if_closed(&mut self) {
        if self.core.next_deadline().is_none() {
            let effects = self.core.connected(self.now);
            self.carry_out(effects);
        }
    }

    /// The worker dies with all it runs, and starts again from its disk.
    fn crash(&mut self) {
        self.boots += 1;
        self.core = new_core(self.boots);
        self.processes.clear();
        self.staging.clear();
        self.delivering.clear();
        self.told.clear();
        self.never.clear();
        let spooled = self
            .spool
            .iter()
            .map(|(claim, report)| (*claim, report.clone()));
        let effects = self.core.recovered(spooled.collect());
        self.carry_out(effects);
    }
}

#[test]
fn every_claim_has_one_result_in_the_end() {
    let (mut results, mut waited) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.lossy = false;
        for _ in 0..200 {
            for _ in 0..40 {
                world.step();
            }
            world.pass(BEAT_MS);
            if world.wanted.is_empty() && world.core.is_empty() {
                break;
            }
        }
        assert!(
            world.wanted.is_empty(),
            "seed {seed}: without a result: {:?}",
            world.wanted
        );
        assert!(world.core.is_empty(), "seed {seed}: {:?}", world.core);
        assert!(world.spool.is_empty(), "seed {seed}: {:?}", world.spool);
        for (claim, times) in &world.started {
            let most = world.boots as u32;
            assert!(
                *times <= most,
                "seed {seed}: {claim} started {times} times in {most} lives"
            );
        }
        results += world.results.len();
        waited += world.waited;
    }
    assert!(
        results > SEEDS as usize * 3,
        "the net carried too little: {results}"
    );
    assert!(
        waited > SEEDS as u32 / 2,
        "too few were sent ahead: {waited}"
    );
}
