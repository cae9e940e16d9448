//! Random pools and jobs. What is expected is worked out anew here, by evaluating every clause on
//! every slot of a pool in which nothing was ever started.

use classad::{ClassAd, Expr, Scope};
use dags::submit::JobSpec;
use manager_core::{Causes, ClauseCount, DeviceUse, Progress, Prospect, Worker};
use proto::nouns::JobId;
use std::collections::{BTreeMap, BTreeSet};

use super::house::{House, Machine, job};

const ASKS: [&str; 8] = [
    "requirements = Rack == 1",
    "requirements = Rack >= 2 && Memory > 3000",
    "requirements = HasFast =?= true || Rack == 0",
    "requirements = TARGET.Memory >= 2 * RequestMemory && Rack < 3",
    "requirements = Nowhere == 1",
    "requirements = GPUs_GlobalMemoryMb >= 40000",
    "rank = Memory",
    "",
];
const STARTS: [&str; 4] = [
    "",
    "Requirements = START\nSTART = TARGET.RequestMemory <= 2000",
    "Requirements = TARGET.RequestCpus < 3 && Rack > 0",
    "Requirements = TARGET.Owner == \"ada\"",
];

struct Draws(u64);

impl Draws {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).unwrap()]
    }
}

fn machines(draws: &mut Draws) -> Vec<Machine> {
    let count = 2 + draws.below(10);
    let machine = |at| {
        let fast = ["HasFast = true", ""];
        let ad = format!(
            "Rack = {}\n{}\n{}",
            draws.below(4),
            draws.of(&fast),
            draws.of(&STARTS)
        );
        let gpus = 0..draws.below(3);
        let gpus = gpus.map(|_| {
            let memory = *draws.of(&[16_000, 24_000, 80_000]);
            let broken = (draws.below(6) == 0).then(|| "hot".to_owned());
            (memory, broken)
        });
        Machine {
            name: format!("w{at}"),
            ad,
            gpus: gpus.collect(),
            cpus: 1 + u32::try_from(draws.below(6)).unwrap(),
            memory_mib: 1000 * (1 + draws.below(6)),
        }
    };
    (0..count).map(machine).collect()
}

fn description(draws: &mut Draws) -> String {
    let mut text = format!(
        "{}\nrequest_cpus = {}\nrequest_memory = {}\n",
        draws.of(&ASKS),
        1 + draws.below(4),
        500 * (1 + draws.below(9))
    );
    let gpus = [
        "",
        "",
        "request_gpus = 1\n",
        "request_gpus = 2\nrequire_gpus = GlobalMemoryMb >= 20000 && Capability >= 7.0\n",
        "request_gpus = 1\ngpus_minimum_memory = 30000\n",
        "request_gpu_memory = 10000\n",
    ];
    text.push_str(draws.of::<&str>(&gpus));
    text.push_str(&format!("queue {}", 1 + draws.below(4)));
    text
}

/// A job, and how its ad stands to slots.
struct Asks {
    spec: JobSpec,
    ad: ClassAd,
    now: i64,
}

impl Asks {
    fn of(house: &House, job: JobId) -> Asks {
        let cluster = &house.queue.clusters()[&job.cluster];
        let spec = house.queue.whole_spec(cluster, job.proc).unwrap();
        let ad = house.queue.job_ad(cluster, job, &spec);
        let now = i64::try_from(house.now.wall_ms / 1000).unwrap();
        Asks { spec, ad, now }
    }

    fn accepts(&self, worker: &Worker) -> bool {
        let (free, spec) = (&worker.free, &self.spec);
        let whole_gpus = match spec.request_gpu_memory_mib {
            Some(_) => 0,
            None => spec.request_gpus,
        };
        free.cpus >= spec.request_cpus
            && free.memory_mib >= spec.request_memory_mib
            && free.disk_kib >= spec.request_disk_kib
            && free.gpus >= whole_gpus
            && classad::half_match(&self.ad, &worker.slot, self.now)
            && self.devices(worker) >= spec.request_gpus as usize
    }

    fn is_accepted(&self, worker: &Worker) -> bool {
        classad::half_match(&worker.slot, &self.ad, self.now)
    }

    /// How many of a worker's devices would do.
    fn devices(&self, worker: &Worker) -> usize {
        let devices = worker.devices.iter().zip(worker.device_uses());
        let fits = devices.filter(|(device, used)| {
            let left = match used {
                DeviceUse::Free => device.memory_mib,
                DeviceUse::Shared { free_mib, .. } => *free_mib,
                DeviceUse::Whole(_) | DeviceUse::Broken(_) => 0,
            };
            let has = match self.spec.request_gpu_memory_mib {
                Some(need) => left >= need,
                None => *used == DeviceUse::Free,
            };
            has && self.device_passes(device.ad.clone(), left, self.ad.get("RequireGPUs"))
        });
        fits.count()
    }

    fn device_passes(&self, mut device: ClassAd, left: u64, clause: Option<&Expr>) -> bool {
        device.insert("FreeGlobalMemoryMb", i64::try_from(left).unwrap());
        let scope = Scope::new(&device).target(&self.ad).now(self.now);
        clause.is_none_or(|clause| scope.eval(clause).is_true())
    }
}

/// A clause's counts against the slots by themselves.
fn check_clauses<S>(counts: &[ClauseCount], sides: &[S], passes: impl Fn(&S, &Expr) -> bool) {
    let mut left = vec![true; sides.len()];
    for count in counts {
        let clause = Expr::parse(&count.text).unwrap();
        let passed: Vec<bool> = sides.iter().map(|side| passes(side, &clause)).collect();
        for (left, passed) in left.iter_mut().zip(&passed) {
            *left &= passed;
        }
        let of = |list: &[bool]| list.iter().filter(|passes| **passes).count();
        let found = (count.of, count.alone, count.in_order);
        let found = (found.0 as usize, found.1 as usize, found.2 as usize);
        let expected = (sides.len(), of(&passed), of(&left));
        assert_eq!(found, expected, "{}", count.text);
    }
}

/// Checks one pool, and gives what it had to tell: each code, and `changes` where there were any.
pub fn check(seed: u64) -> BTreeSet<&'static str> {
    let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let machines = machines(&mut draws);
    let empty = House::with(&machines);
    let mut house = House::with(&machines);
    for machine in &machines {
        if draws.below(7) == 0 {
            house.drain(&machine.name);
        }
    }
    for _ in 0..2 + draws.below(8) {
        let owner = *draws.of(&["ada", "bob"]);
        house.submit_as(owner, &description(&mut draws));
    }
    let mut codes: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for cluster in house.queue.clusters().values() {
        for proc in 0..cluster.count {
            let job = job(cluster.id, proc);
            if house.state(job).name() == "Idle" {
                let code = check_job(&house, &empty, job, seed, &mut seen);
                *codes.entry(code).or_default() += 1;
            }
        }
    }
    let mut all = Causes::default();
    while all.go_on(&house.queue, house.now) == Progress::More {}
    let mut told: BTreeMap<&str, u64> = BTreeMap::new();
    for cause in all.finish() {
        *told.entry(cause.code).or_default() += cause.jobs;
    }
    assert_eq!(told, codes, "seed {seed}");
    check_workers(&house, seed);
    seen.extend(codes.into_keys());
    seen
}

/// What each worker's own clauses make of all that waits.
fn check_workers(house: &House, seed: u64) {
    let mut waiting = Vec::new();
    for cluster in house.queue.clusters().values() {
        let procs = (0..cluster.count).map(|proc| job(cluster.id, proc));
        let idle = procs.filter(|job| house.state(*job).name() == "Idle");
        waiting.extend(idle.map(|job| Asks::of(house, job)));
    }
    for (name, worker) in house.queue.workers() {
        let why = house.queue.why_worker(house.now, name).unwrap();
        for clause in &why.clauses {
            assert_eq!(clause.of as usize, waiting.len(), "seed {seed}, {name}");
        }
        if !waiting.is_empty() {
            check_clauses(&why.clauses, &waiting, |asks, clause| {
                let scope = Scope::new(&worker.slot).target(&asks.ad).now(asks.now);
                scope.eval(clause).is_true()
            });
        }
    }
}

fn check_job(
    house: &House,
    empty: &House,
    job: JobId,
    seed: u64,
    seen: &mut BTreeSet<&'static str>,
) -> &'static str {
    let why = house.queue.why(house.now, job).unwrap();
    let asks = Asks::of(house, job);
    let workers: Vec<&Worker> = empty.queue.workers().values().collect();
    let slots: Vec<&ClassAd> = workers.iter().map(|worker| &worker.slot).collect();
    check_clauses(&why.clauses, &slots, |slot, clause| {
        let scope = Scope::new(&asks.ad).target(slot).now(asks.now);
        scope.eval(clause).is_true()
    });
    let sound = workers.iter().flat_map(|worker| &worker.devices);
    let sound: Vec<_> = sound.filter(|device| device.broken.is_none()).collect();
    check_clauses(&why.devices, &sound, |device, clause| {
        asks.device_passes(device.ad.clone(), device.memory_mib, Some(clause))
    });
    let [mut open, mut busy, mut drained, mut refused] = [0; 4];
    for (name, worker) in empty.queue.workers() {
        let now = &house.queue.workers()[name];
        match (asks.accepts(worker), asks.is_accepted(worker)) {
            (false, _) => {}
            (true, false) => refused += 1,
            (true, true) if house.queue.is_drained(name) => drained += 1,
            (true, true) if asks.accepts(now) && asks.is_accepted(now) => open += 1,
            (true, true) => busy += 1,
        }
    }
    let found = [why.open, why.busy, why.drained, why.refused_by_worker];
    assert_eq!(
        found,
        [open, busy, drained, refused],
        "seed {seed}, {job}: {why:#?}"
    );
    let matches = open + busy + drained > 0;
    assert_eq!(
        why.prospect == Prospect::Never,
        !matches,
        "seed {seed}: {why:#?}"
    );
    if !why.changes.is_empty() {
        seen.insert("changes");
    }
    if !why.devices.is_empty() {
        seen.insert("devices");
    }
    for change in &why.changes {
        let pairs = change.edits.iter();
        let pairs = pairs.map(|(name, text)| (name.as_str(), text.as_str()));
        let edits = dags::submit::parse_edits(pairs).unwrap();
        let cluster = &house.queue.clusters()[&job.cluster];
        let spec = asks.spec.clone().edited(&edits).unwrap();
        let ad = house.queue.job_ad(cluster, job, &spec);
        let changed = Asks { spec, ad, ..asks };
        let all = workers.iter();
        let fits = all.filter(|worker| changed.accepts(worker) && changed.is_accepted(worker));
        assert_eq!(
            fits.count(),
            change.slots as usize,
            "seed {seed}, {job}: {change:?}"
        );
    }
    why.code
}
