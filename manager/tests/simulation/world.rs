//! The world: one manager with a disk, some workers with theirs, a net between them, and a clock
//! that jumps from one happening to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use manager_core::{
    Act, CollectOrder, Command, Delivery, Effect, Landing, Limits, LoadOrder, Loaded, NewCluster,
    NewRun, NodeState, ProcState, Question, Queue, Refusal, Reply, RowKind, RunState, ScriptEnd,
    ScriptOrder, Step, Submitter,
};
use proto::nouns::{
    ClaimId, Ended, JobId, Now, Offer, Report, Subject, ToManager, ToWorker, WorkOrder, WorkerName,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use worker_core::{Core, Effect as WorkerEffect};

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

const POOL: u32 = 7;
const WORKERS: usize = 3;
const CPUS: u32 = 2;
const LIMITS: Limits = Limits {
    jobs_max: 10_000,
    lease_ms: 10_000,
    beat_ms: 2_000,
    faults_max: 3,
    kill_grace_ms: 500,
    policy_interval_ms: 5_000,
};

const DAG: &str = "\
FOREACH region IN (de fr)
  JOB prep-$(region) prep.sub
  STUDY tune-$(region) trial.sub tune.toml
  JOB train-$(region) final.sub
  PARENT prep-$(region) CHILD tune-$(region)
  PARENT tune-$(region) CHILD train-$(region)
END
JOB report final.sub
PARENT train-de train-fr CHILD report
SUBDAG EXTERNAL inner inner.dag
JOB side final.sub
PARENT report CHILD inner
WEAK PARENT prep-de CHILD side
SCRIPT DEFER 9 2 PRE prep-de pre.sh later
SCRIPT POST prep-fr post.sh $RETURN
SCRIPT PRE train-de pre.sh
SCRIPT POST inner post.sh
CATEGORY train-de heavy
CATEGORY train-fr heavy
MAXJOBS heavy 1
RETRY ALL_NODES 3
FINAL last final.sub
SCRIPT POST last post.sh sure
";
const INNER: &str = "\
JOB a prep.sub
JOB b final.sub
JOB c final.sub NOOP
PARENT a CHILD b c
SCRIPT PRE b pre.sh
RETRY ALL_NODES 3
";
const PREP: &str = "executable = /bin/prep\ntransfer_executable = false\nqueue 2\n";
const TRIAL: &str =
    "executable = /bin/trial\ntransfer_executable = false\narguments = $(x)\nqueue\n";
const FINAL: &str =
    "executable = /bin/final\ntransfer_executable = false\noutput = out.txt\nqueue\n";
const STUDY: &str = "metric = \"loss\"\ngoal = \"minimize\"\ntrials = 5\nparallel = 2\nseed = 1\n\
    [space.x]\ntype = \"float\"\nlow = 0.0\nhigh = 1.0\n";
const CLUSTER: &str = "executable = /bin/work\ntransfer_executable = false\nmax_retries = 2\noutput = o.$(Process)\nqueue 6\n";

/// Why somebody holds a job.
const HELD_BECAUSE: &str = "let me look at it";

/// Whether things go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    None,
    Many,
}

/// What happened, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub commits: u64,
    pub manager_crashes: u64,
    pub worker_crashes: u64,
    pub worker_stops: u64,
    pub holds: u64,
    pub sessions_broken: u64,
    pub messages_lost: u64,
    pub messages_repeated: u64,
    pub late_reports_refused: u64,
    pub leases_expired: u64,
    pub starts: u64,
    pub scripts: u64,
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Happening {
    ToManager {
        worker: usize,
        session: u64,
        message: ToManager,
    },
    ToWorker {
        worker: usize,
        session: u64,
        message: ToWorker,
    },
    Broken {
        worker: usize,
        session: u64,
    },
    Connect {
        worker: usize,
    },
    WorkerTick {
        worker: usize,
        boot: u64,
    },
    Spawned {
        worker: usize,
        boot: u64,
        claim: ClaimId,
    },
    Exited {
        worker: usize,
        boot: u64,
        claim: ClaimId,
        ended: Ended,
    },
    ManagerTick,
    ManagerUp,
    WorkerUp {
        worker: usize,
    },
    WorkerGone {
        worker: usize,
        boot: u64,
    },
    Suggest {
        life: u64,
        question: Box<Question>,
    },
    Release {
        subject: Subject,
    },
    Landed {
        life: u64,
        landing: Landing,
    },
    ScriptEnded {
        life: u64,
        order: Box<ScriptOrder>,
    },
    Loaded {
        life: u64,
        order: Box<LoadOrder>,
    },
    Collected {
        life: u64,
        order: Box<CollectOrder>,
    },
    Submit {
        what: usize,
    },
    Fault,
}

struct Machine {
    name: WorkerName,
    /// Nothing while it is down.
    core: Option<Core>,
    boot: u64,
    session: Option<u64>,
    /// On its disk.
    spool: BTreeMap<ClaimId, Report>,
    running: BTreeMap<ClaimId, WorkOrder>,
}

pub struct World {
    rng: Pcg64,
    faults: Faults,
    now_ms: u64,
    serial: u64,
    heap: BTreeMap<(u64, u64), Happening>,
    queue: Option<Queue>,
    life: u64,
    disk: Records,
    machines: Vec<Machine>,
    sessions: u64,
    /// Ids by submission, once acknowledged.
    acknowledged: BTreeMap<usize, u32>,
    /// Every execution: which claim ran which job.
    executions: BTreeMap<ClaimId, JobId>,
    /// Jobs that were seen completed, and by which claim's result.
    completed: BTreeMap<JobId, ClaimId>,
    hasher: u64,
    pub counts: Counts,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.commits += other.commits;
        self.manager_crashes += other.manager_crashes;
        self.worker_crashes += other.worker_crashes;
        self.worker_stops += other.worker_stops;
        self.holds += other.holds;
        self.sessions_broken += other.sessions_broken;
        self.messages_lost += other.messages_lost;
        self.messages_repeated += other.messages_repeated;
        self.late_reports_refused += other.late_reports_refused;
        self.leases_expired += other.leases_expired;
        self.starts += other.starts;
        self.scripts += other.scripts;
    }
}

// === the outside ===

impl World {
    pub fn new(seed: u64, faults: Faults) -> World {
        let machine = |at: usize| Machine {
            name: format!("w{at}").parse().unwrap(),
            core: None,
            boot: 0,
            session: None,
            spool: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        let mut world = World {
            rng: Pcg64::seed_from_u64(seed),
            faults,
            now_ms: 1_000,
            serial: 0,
            heap: BTreeMap::new(),
            queue: None,
            life: 0,
            disk: BTreeMap::new(),
            machines: (0..WORKERS).map(machine).collect(),
            sessions: 0,
            acknowledged: BTreeMap::new(),
            executions: BTreeMap::new(),
            completed: BTreeMap::new(),
            hasher: 0,
            counts: Counts::default(),
        };
        world.manager_up();
        for worker in 0..WORKERS {
            world.worker_up(worker);
        }
        if faults == Faults::Many {
            world.after(500, Happening::Fault);
        }
        world
    }

    /// A client submits a DAG and a cluster, and asks again until it is answered.
    pub fn submit(&mut self) {
        self.after(10, Happening::Submit { what: 0 });
        self.after(20, Happening::Submit { what: 1 });
    }

    pub fn run_for(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self
            .heap
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= end)
        {
            self.step();
        }
        self.now_ms = end;
    }

    pub fn stop_faults(&mut self) {
        self.faults = Faults::None;
        if self.queue.is_none() {
            self.manager_up();
        }
        for worker in 0..WORKERS {
            if self.machines[worker].core.is_none() {
                self.worker_up(worker);
            }
        }
    }

    /// Liveness: with nothing failing any more, everything ends, and well.
    pub fn run_until_ended(&mut self, limit_ms: u64) {
        let end = self.now_ms + limit_ms;
        while !self.all_ended() {
            assert!(
                self.now_ms < end,
                "not ended after {limit_ms} ms without faults: {}",
                self.open()
            );
            assert!(
                !self.heap.is_empty(),
                "nothing will ever happen again: {}",
                self.open()
            );
            self.step();
        }
        let queue = self.queue.as_ref().unwrap();
        let run = &queue.runs()[&self.acknowledged[&0]];
        assert!(
            matches!(run.state, RunState::Completed { .. }),
            "{:?}",
            run.nodes
        );
        let inner: Vec<_> = queue
            .runs()
            .values()
            .filter(|run| run.parent.is_some())
            .collect();
        assert!(!inner.is_empty(), "the sub-DAG never ran");
        for study in run.studies.values() {
            assert_eq!(study.trials.len(), 5);
        }
        let cluster = &queue.clusters()[&self.acknowledged[&1]];
        assert_eq!(cluster.tally().completed, 6);
    }

    pub fn assert_each_started_once(&self) {
        let queue = self.queue.as_ref().unwrap();
        for cluster in queue.clusters().values() {
            for proc in cluster.procs.values() {
                assert_eq!(proc.attempts, 1 + proc.retries, "{:?}", proc.state);
            }
        }
    }

    /// A digest of everything that was ever committed.
    pub fn trace(&self) -> (u64, u64) {
        (self.hasher, self.counts.commits)
    }

    fn all_ended(&self) -> bool {
        let Some(queue) = &self.queue else {
            return false;
        };
        self.acknowledged.len() == 2
            && queue.runs()[&self.acknowledged[&0]].state != RunState::Running
            && queue.clusters()[&self.acknowledged[&1]].ended()
    }

    fn open(&self) -> String {
        let Some(queue) = &self.queue else {
            return "the manager is down".to_owned();
        };
        let procs = queue.clusters().values().flat_map(|cluster| {
            (0..cluster.count)
                .map(move |proc| (cluster.id, proc, cluster.proc(proc).unwrap().state))
        });
        let open = procs.filter(|(_, _, state)| !state.is_final());
        format!("{:?}", open.collect::<Vec<_>>())
    }
}

// === time and chance ===

impl World {
    fn now(&self) -> Now {
        Now {
            wall_ms: 1_700_000_000_000 + self.now_ms,
            mono_ms: self.now_ms,
        }
    }

    fn after(&mut self, ms: u64, happening: Happening) {
        self.serial += 1;
        self.heap.insert((self.now_ms + ms, self.serial), happening);
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.faults == Faults::Many && self.rng.random_range(0..1000) < per_mille
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.heap.pop_first() else {
            return;
        };
        self.now_ms = self.now_ms.max(at);
        match happening {
            Happening::ToManager {
                worker,
                session,
                message,
            } => {
                let worker = self.machines[worker].name.clone();
                self.command(Command::Session {
                    worker,
                    session,
                    message,
                });
            }
            Happening::ToWorker {
                worker,
                session,
                message,
            } => {
                self.worker_hears(worker, session, message);
            }
            Happening::Broken { worker, session } => self.session_broken(worker, session),
            Happening::Connect { worker } => self.connect(worker),
            Happening::WorkerTick { worker, boot } => {
                let now = self.now();
                self.with_core(worker, boot, |core| core.tick(now));
            }
            Happening::Spawned {
                worker,
                boot,
                claim,
            } => {
                let now = self.now();
                self.counts.starts += 1;
                self.with_core(worker, boot, |core| core.spawned(now, claim));
            }
            Happening::Exited {
                worker,
                boot,
                claim,
                ended,
            } => {
                self.exited(worker, boot, claim, ended);
            }
            Happening::ManagerTick => {
                if self
                    .queue
                    .as_ref()
                    .and_then(Queue::next_deadline)
                    .is_some_and(|(at, _)| at <= self.now_ms)
                {
                    self.command(Command::Tick);
                }
            }
            Happening::ManagerUp => self.manager_up(),
            Happening::WorkerUp { worker } => self.worker_up(worker),
            Happening::WorkerGone { worker, boot } => {
                if self.machines[worker].boot == boot {
                    self.worker_crash(worker);
                }
            }
            Happening::Release { subject } => self.somebody_releases(subject),
            Happening::Suggest { life, question } => self.suggest(life, &question),
            Happening::ScriptEnded { life, order } => self.script_ended(life, &order),
            Happening::Loaded { life, order } => self.loaded(life, &order),
            Happening::Collected { life, order } => self.collected(life, &order),
            Happening::Landed { life, landing } => {
                if life == self.life {
                    self.command(Command::Landed {
                        job: landing.job,
                        result: Ok(()),
                    });
                }
            }
            Happening::Submit { what } => self.client_submits(what),
            Happening::Fault => self.fault(),
        }
    }

    fn fault(&mut self) {
        if self.faults == Faults::None {
            return;
        }
        let next = self.rng.random_range(200..4_000);
        self.after(next, Happening::Fault);
        let worker = self.rng.random_range(0..WORKERS);
        match self.rng.random_range(0..10) {
            0..2 => self.manager_crash(),
            2..4 => self.worker_crash(worker),
            4 => self.worker_stops(worker),
            5 => self.somebody_holds_a_job(),
            _ => {
                if let Some(session) = self.machines[worker].session {
                    self.session_broken(worker, session);
                }
            }
        }
    }
}

// === the manager ===

impl World {
    fn manager_up(&mut self) {
        if self.queue.is_some() {
            return;
        }
        self.life += 1;
        let disk = self.disk.clone();
        let mut queue = Queue::restore(POOL, LIMITS, disk).unwrap();
        let mut step = queue.recover(self.now());
        finish_turn(&mut queue, self.now(), &mut step);
        self.queue = Some(queue);
        self.commit(step, None);
        let tick = self.rng.random_range(1..500);
        self.after(tick, Happening::ManagerTick);
    }

    fn manager_crash(&mut self) {
        if self.queue.take().is_none() {
            return;
        }
        self.counts.manager_crashes += 1;
        for worker in 0..WORKERS {
            if let Some(session) = self.machines[worker].session {
                let delay = self.rng.random_range(0..200);
                self.after(delay, Happening::Broken { worker, session });
            }
        }
        let delay = self.rng.random_range(10..15_000);
        self.after(delay, Happening::ManagerUp);
    }

    fn command(&mut self, command: Command) -> Option<Result<Reply, Refusal>> {
        let now = self.now();
        let queue = self.queue.as_mut()?;
        let finished = match &command {
            Command::Session {
                message: ToManager::Finished { claim, .. },
                ..
            } => Some(*claim),
            _ => None,
        };
        let mut step = queue.step(now, command);
        finish_turn(queue, now, &mut step);
        self.counts.leases_expired += step
            .rows
            .iter()
            .filter(|row| row.text.contains("whole lease"))
            .count() as u64;
        let mut reply = None;
        self.commit(step, Some(&mut reply));
        if let Some(claim) = finished
            && matches!(reply, Some(Ok(_)))
            && self.queue.is_some()
            && !self.completed.values().any(|by| *by == claim)
        {
            self.counts.late_reports_refused += 1;
        }
        reply
    }

    /// One turn of the queue's thread: durable first, then replies and effects; a crash may come
    /// before and after.
    fn commit(&mut self, step: Step, reply: Option<&mut Option<Result<Reply, Refusal>>>) {
        if self.chance(3) {
            self.manager_crash();
            return;
        }
        let queue = self.queue.as_mut().expect("a step was just made");
        for (key, value) in queue.take_changes() {
            match value {
                Some(value) => self.disk.insert(key.to_bytes(), value),
                None => self.disk.remove(&key.to_bytes()),
            };
        }
        self.counts.commits += 1;
        self.check();
        if self.chance(3) {
            self.manager_crash();
            return;
        }
        if let Some(reply) = reply {
            *reply = Some(step.reply);
        }
        for row in &step.rows {
            let by_somebody = row.text.ends_with(HELD_BECAUSE);
            assert!(row.kind != RowKind::Held || by_somebody, "{}", row.text);
            self.hash(row.text.as_bytes());
        }
        for effect in step.effects {
            self.act(effect);
        }
        self.wake_manager();
    }

    fn wake_manager(&mut self) {
        let deadline = self.queue.as_ref().and_then(Queue::next_deadline);
        if let Some((at, _)) = deadline {
            self.after(at.saturating_sub(self.now_ms), Happening::ManagerTick);
        }
    }

    fn act(&mut self, effect: Effect) {
        let life = self.life;
        match effect {
            Effect::Tell {
                worker,
                session,
                message,
            } => {
                let at = self
                    .machines
                    .iter()
                    .position(|machine| machine.name == worker)
                    .unwrap();
                self.carry(|world| world.send_to_worker(at, session, message.clone()));
            }
            Effect::Ask(question) => {
                let delay = self.rng.random_range(1..50);
                self.after(delay, Happening::Suggest { life, question });
            }
            Effect::Land(landing) => {
                let delay = self.rng.random_range(1..50);
                self.after(
                    delay,
                    Happening::Landed {
                        life,
                        landing: *landing,
                    },
                );
            }
            Effect::Script(order) => {
                let took = self.rng.random_range(1..3_000);
                self.after(took, Happening::ScriptEnded { life, order });
            }
            Effect::Load(order) => {
                let took = self.rng.random_range(1..100);
                self.after(took, Happening::Loaded { life, order });
            }
            Effect::Collect(order) => {
                let took = self.rng.random_range(1..100);
                self.after(took, Happening::Collected { life, order });
            }
            Effect::StopScript { .. } | Effect::Write(_) | Effect::Keep { .. } => {}
        }
    }

    /// Scripts fail now and then while there are faults, and are deferred always.
    fn script_ended(&mut self, life: u64, order: &ScriptOrder) {
        if life != self.life || self.queue.is_none() {
            return;
        }
        let first = order.attempt == 1 && order.arguments != ["sure"];
        let fails = first && self.faults == Faults::Many && self.rng.random_range(0..5) == 0;
        let code = match (fails, self.rng.random_range(0..4)) {
            (true, _) => 1,
            (false, 0) if order.arguments == ["later"] => 9,
            (false, _) => 0,
        };
        self.counts.scripts += 1;
        self.command(Command::ScriptEnded {
            run: order.run,
            node: order.node,
            kind: order.kind,
            attempt: order.attempt,
            end: ScriptEnd::Exited(code),
        });
    }

    fn loaded(&mut self, life: u64, order: &LoadOrder) {
        if life != self.life || self.queue.is_none() {
            return;
        }
        let dag = load(&order.file);
        self.command(Command::Loaded {
            run: order.run,
            node: order.node,
            dag: Ok(Loaded {
                dag: Arc::new(dag),
                digest: order.file.clone(),
            }),
        });
    }

    fn collected(&mut self, life: u64, order: &CollectOrder) {
        if life != self.life || self.queue.is_none() {
            return;
        }
        self.command(Command::Collected {
            run: order.run,
            node: order.node,
            files: Ok(BTreeMap::new()),
        });
    }

    fn suggest(&mut self, life: u64, question: &Question) {
        if life != self.life || self.queue.is_none() {
            return;
        }
        let first = u32::try_from(question.history.len()).unwrap();
        let points = manager::studies::answer(question);
        self.command(Command::Suggested {
            run: question.run,
            node: question.node,
            first,
            points,
        });
    }

    /// A job is held, and released a little later: its old claim may still be running then.
    fn somebody_holds_a_job(&mut self) {
        let Some(queue) = &self.queue else { return };
        let running = queue.clusters().values().flat_map(|cluster| {
            let running = cluster
                .procs
                .iter()
                .filter(|(_, proc)| proc.claim().is_some());
            running.map(|(&proc, _)| JobId {
                cluster: cluster.id,
                proc,
            })
        });
        let running: Vec<JobId> = running.collect();
        if running.is_empty() {
            return;
        }
        let subject = Subject::Job(running[self.rng.random_range(0..running.len())]);
        let reason = HELD_BECAUSE.to_owned();
        self.command(Command::Act {
            act: Act::Hold,
            subject,
            reason,
        });
        self.counts.holds += 1;
        let delay = self.rng.random_range(1..2_000);
        self.after(delay, Happening::Release { subject });
    }

    /// Asked again until it is answered; a job that is not held any more says so.
    fn somebody_releases(&mut self, subject: Subject) {
        let command = Command::Act {
            act: Act::Release,
            subject,
            reason: String::new(),
        };
        if self.command(command).is_none() {
            self.after(500, Happening::Release { subject });
        }
    }

    fn client_submits(&mut self, what: usize) {
        if self.acknowledged.contains_key(&what) {
            return;
        }
        let command = if what == 0 {
            submit_dag()
        } else {
            submit_cluster()
        };
        if let Some(reply) = self.command(command) {
            let Ok(Reply::Submitted { id }) = reply else {
                panic!("{reply:?}")
            };
            self.acknowledged.insert(what, id);
            return;
        }
        self.after(700, Happening::Submit { what });
    }
}

// === the workers ===

impl World {
    fn worker_up(&mut self, worker: usize) {
        if self.machines[worker].core.is_some() {
            return;
        }
        let boot = self.rng.random();
        let offer = Offer {
            ad: "Machine = \"m\"\nArch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true\nHasTrainer = true"
                .to_owned(),
            cpus: CPUS,
            memory_mib: 8192,
            disk_kib: 1 << 30,
            gpus: Vec::new(),
            resources: BTreeMap::new(),
        };
        let machine = &mut self.machines[worker];
        let mut core = Core::new(machine.name.clone(), boot, "sim".to_owned(), offer);
        let spooled = machine
            .spool
            .iter()
            .map(|(claim, report)| (*claim, report.clone()));
        let effects = core.recovered(spooled.collect());
        machine.boot = boot;
        machine.core = Some(core);
        machine.session = None;
        self.worker_acts(worker, effects);
        self.after(1, Happening::Connect { worker });
    }

    /// `kill -9`: what is on its disk stays, what runs dies.
    fn worker_crash(&mut self, worker: usize) {
        let machine = &mut self.machines[worker];
        if machine.core.take().is_none() {
            return;
        }
        machine.running.clear();
        machine.boot = 0;
        self.counts.worker_crashes += 1;
        if let Some(session) = self.machines[worker].session.take() {
            let delay = self.rng.random_range(0..100);
            self.after(delay, Happening::Broken { worker, session });
        }
        let delay = self.rng.random_range(10..30_000);
        self.after(delay, Happening::WorkerUp { worker });
    }

    /// SIGTERM: it gives up what it runs, says so, and is gone soon after.
    fn worker_stops(&mut self, worker: usize) {
        let (now, boot) = (self.now(), self.machines[worker].boot);
        self.with_core(worker, boot, |core| core.stop(now));
        self.counts.worker_stops += 1;
        self.after(1_000, Happening::WorkerGone { worker, boot });
    }

    fn connect(&mut self, worker: usize) {
        if self.machines[worker].session.is_some() || self.machines[worker].core.is_none() {
            return;
        }
        if self.queue.is_none() {
            let delay = self.rng.random_range(200..2_000);
            self.after(delay, Happening::Connect { worker });
            return;
        }
        self.sessions += 1;
        self.machines[worker].session = Some(self.sessions);
        let (now, boot) = (self.now(), self.machines[worker].boot);
        self.with_core(worker, boot, |core| core.connected(now));
    }

    /// Each end learns of it on its own.
    fn session_broken(&mut self, worker: usize, session: u64) {
        self.counts.sessions_broken += 1;
        let name = self.machines[worker].name.clone();
        self.command(Command::Disconnected {
            worker: name,
            session,
        });
        if self.machines[worker].session != Some(session) {
            return;
        }
        self.machines[worker].session = None;
        let (now, boot) = (self.now(), self.machines[worker].boot);
        self.with_core(worker, boot, |core| core.disconnected(now));
        let delay = self.rng.random_range(100..3_000);
        self.after(delay, Happening::Connect { worker });
    }

    fn worker_hears(&mut self, worker: usize, session: u64, message: ToWorker) {
        if self.machines[worker].session != Some(session) {
            return;
        }
        let (now, boot) = (self.now(), self.machines[worker].boot);
        self.with_core(worker, boot, |core| core.message(now, message));
    }

    fn exited(&mut self, worker: usize, boot: u64, claim: ClaimId, ended: Ended) {
        let machine = &mut self.machines[worker];
        if machine.boot != boot {
            return;
        }
        let Some(order) = machine.running.remove(&claim) else {
            return;
        };
        let report = self.report(claim, &order, ended);
        let now = self.now();
        self.with_core(worker, boot, |core| core.ended(now, claim, report));
    }

    fn with_core(
        &mut self,
        worker: usize,
        boot: u64,
        act: impl FnOnce(&mut Core) -> Vec<WorkerEffect>,
    ) {
        let machine = &mut self.machines[worker];
        if machine.boot != boot {
            return;
        }
        let Some(core) = &mut machine.core else {
            return;
        };
        let effects = act(core);
        let deadline = core.next_deadline();
        self.worker_acts(worker, effects);
        if let Some((at, _)) = deadline {
            let delay = at.saturating_sub(self.now_ms);
            self.after(delay, Happening::WorkerTick { worker, boot });
        }
    }

    fn worker_acts(&mut self, worker: usize, effects: Vec<WorkerEffect>) {
        let boot = self.machines[worker].boot;
        for effect in effects {
            match effect {
                WorkerEffect::Send(message) => {
                    let Some(session) = self.machines[worker].session else {
                        continue;
                    };
                    self.carry(|world| world.send_to_manager(worker, session, message.clone()));
                }
                WorkerEffect::Run { claim, order } => self.begin(worker, boot, claim, *order),
                WorkerEffect::Kill { claim, .. } => {
                    let ended = Ended::Signaled(15);
                    self.after(
                        5,
                        Happening::Exited {
                            worker,
                            boot,
                            claim,
                            ended,
                        },
                    );
                }
                WorkerEffect::Spool { claim, report } => {
                    self.machines[worker].spool.insert(claim, *report);
                }
                WorkerEffect::ForgetSpool { claim } => {
                    self.machines[worker].spool.remove(&claim);
                }
                WorkerEffect::Tail { .. } | WorkerEffect::Leave { .. } => {}
                WorkerEffect::Close { .. } => {
                    if let Some(session) = self.machines[worker].session {
                        self.after(1, Happening::Broken { worker, session });
                    }
                }
            }
        }
    }

    fn begin(&mut self, worker: usize, boot: u64, claim: ClaimId, order: WorkOrder) {
        let before = self.executions.insert(claim, order.job);
        assert!(before.is_none(), "claim {claim} was begun twice");
        let staged = self.rng.random_range(1..200);
        let took = self.rng.random_range(10..6_000);
        let fails = self.faults == Faults::Many && self.rng.random_range(0..20) == 0;
        let ended = Ended::Exited(i32::from(
            fails && order.params.is_none() && order.attempt == 1,
        ));
        self.machines[worker].running.insert(claim, order);
        self.after(
            staged,
            Happening::Spawned {
                worker,
                boot,
                claim,
            },
        );
        self.after(
            staged + took,
            Happening::Exited {
                worker,
                boot,
                claim,
                ended,
            },
        );
    }

    fn report(&self, claim: ClaimId, order: &WorkOrder, ended: Ended) -> Report {
        let x = order
            .arguments
            .first()
            .and_then(|x| x.parse::<f64>().ok())
            .unwrap_or(0.5);
        let metrics = [("loss", (x - 0.3).abs()), ("claim", claim.serial as f64)];
        Report {
            metrics: metrics
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ..Report::new(ended, self.now_ms, self.now_ms)
        }
    }
}

// === the net ===

impl World {
    /// A message is lost, or arrives, or arrives twice.
    fn carry(&mut self, mut send: impl FnMut(&mut World)) {
        if self.chance(20) {
            self.counts.messages_lost += 1;
            return;
        }
        send(self);
        if self.chance(20) {
            self.counts.messages_repeated += 1;
            send(self);
        }
    }

    fn send_to_worker(&mut self, worker: usize, session: u64, message: ToWorker) {
        let delay = self.delay();
        self.after(
            delay,
            Happening::ToWorker {
                worker,
                session,
                message,
            },
        );
    }

    fn send_to_manager(&mut self, worker: usize, session: u64, message: ToManager) {
        let delay = self.delay();
        self.after(
            delay,
            Happening::ToManager {
                worker,
                session,
                message,
            },
        );
    }

    /// Without faults the net keeps the order.
    fn delay(&mut self) -> u64 {
        match self.faults {
            Faults::None => 2,
            Faults::Many if self.rng.random_range(0..50) == 0 => self.rng.random_range(1..5_000),
            Faults::Many => self.rng.random_range(1..60),
        }
    }
}

// === what must always hold ===

impl World {
    fn check(&mut self) {
        let queue = self.queue.as_ref().unwrap();
        let records: Records = queue
            .records()
            .into_iter()
            .map(|(key, value)| (key.to_bytes(), value))
            .collect();
        assert_same(&self.disk, &records, "what is stored is not what is true");
        if self.counts.commits.is_multiple_of(16) {
            let restored = Queue::restore(POOL, LIMITS, self.disk.clone()).unwrap();
            let restored = restored.records().into_iter();
            let restored = restored
                .map(|(key, value)| (key.to_bytes(), value))
                .collect();
            assert_same(&restored, &records, "restored and live state differ");
        }
        for id in self.acknowledged.values() {
            let there = queue.runs().contains_key(id) || queue.clusters().contains_key(id);
            assert!(there, "{id} was acknowledged and is gone");
        }
        self.check_jobs();
        self.check_nodes();
        self.check_slots();
    }

    /// A result is accepted once, from the claim that was the job's own, and never changes.
    fn check_jobs(&mut self) {
        let queue = self.queue.as_ref().unwrap();
        let mut claims = BTreeSet::new();
        for cluster in queue.clusters().values() {
            for (&proc, record) in &cluster.procs {
                let job = JobId {
                    cluster: cluster.id,
                    proc,
                };
                if let Some(claim) = record.claim() {
                    assert!(claims.insert(claim), "claim {claim} is held twice");
                }
                let ProcState::Completed { ending } = &record.state else {
                    assert!(
                        !self.completed.contains_key(&job),
                        "{job} was completed before"
                    );
                    continue;
                };
                let serial = ending.report.metrics["claim"] as u64;
                let claim = ClaimId { pool: POOL, serial };
                assert_eq!(
                    self.executions.get(&claim),
                    Some(&job),
                    "{claim} ran something else"
                );
                let before = self.completed.insert(job, claim);
                assert!(
                    before.is_none_or(|before| before == claim),
                    "{job} has two results"
                );
            }
        }
    }

    /// No node starts before its parents are done, and no category has more nodes than it may.
    fn check_nodes(&self) {
        for run in self.queue.as_ref().unwrap().runs().values() {
            for (node, record) in run.dag.nodes.iter().zip(&run.nodes) {
                let started = match record.state {
                    NodeState::Pre
                    | NodeState::Ready
                    | NodeState::Preparing
                    | NodeState::Running
                    | NodeState::Post
                    | NodeState::Done
                    | NodeState::Failed { .. } => true,
                    NodeState::Waiting | NodeState::Futile => false,
                };
                let parents = || node.parents.iter().map(|at| &run.nodes[*at as usize].state);
                assert!(
                    !started || parents().all(|state| *state == NodeState::Done),
                    "{} started too early",
                    node.name
                );
            }
            for (category, entry) in (0..).zip(&run.dag.categories) {
                let limit = entry.limit.unwrap_or(u32::MAX);
                assert!(
                    run.busy_in(category) <= limit,
                    "{} is over its limit",
                    entry.name
                );
            }
        }
    }

    /// What is carved from a worker is never more than it has, and running jobs hold exactly what
    /// is carved for them.
    fn check_slots(&self) {
        let queue = self.queue.as_ref().unwrap();
        let mut charged: BTreeMap<Submitter, (f64, u32)> = BTreeMap::new();
        for (name, worker) in queue.workers() {
            let carves = worker.carves.values();
            let holding = || carves.clone().filter(|carve| carve.behind.is_none());
            let taken: u32 = holding().map(|carve| carve.taken.cpus).sum();
            assert!(
                taken <= CPUS,
                "{name} is overcommitted: {:#?}",
                worker.carves
            );
            for carve in holding() {
                let charge = &carve.taken.charge;
                let sum = charged.entry(charge.submitter.clone()).or_default();
                *sum = (sum.0 + charge.weight, sum.1 + 1);
            }
            let fronts = carves.clone().filter_map(|carve| carve.behind);
            for front in fronts {
                assert!(worker.carves.contains_key(&front), "{name}: behind nothing");
            }
            for (claim, carve) in worker.carves.iter().filter(|(_, carve)| !carve.vacating) {
                let holder = queue.job(carve.job).and_then(|(_, proc)| proc.claim());
                assert_eq!(holder, Some(*claim), "{name}: a slot nobody uses");
            }
        }
        for (submitter, account) in queue.accounts().iter() {
            let (weight, jobs) = charged.remove(submitter).unwrap_or_default();
            assert!(
                (weight - account.weight).abs() < 1e-6,
                "{submitter} is charged wrongly"
            );
            assert_eq!(jobs, account.jobs, "{submitter} has other claims");
        }
        assert!(charged.is_empty(), "claims that nobody pays for");
        for cluster in queue.clusters().values() {
            for proc in cluster.procs.values() {
                let ProcState::Running { claim, worker, .. } = &proc.state else {
                    continue;
                };
                let carve = queue
                    .workers()
                    .get(worker)
                    .and_then(|worker| worker.carves.get(claim));
                assert!(carve.is_some(), "{claim} runs on nothing");
            }
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hasher = (self.hasher ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The end of a turn of the queue's thread; here each command has a turn of its own.
fn finish_turn(queue: &mut Queue, now: Now, step: &mut Step) {
    let last = queue.finish_turn(now);
    step.rows.extend(last.rows);
    step.effects.extend(last.effects);
}

/// Says which record differs, and how.
fn assert_same(left: &Records, right: &Records, message: &str) {
    for key in left.keys().chain(right.keys()) {
        let text = |records: &Records| {
            records
                .get(key)
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!(
            text(left),
            text(right),
            "{message}: record {}",
            key.escape_ascii()
        );
    }
}

/// A DAG of the world's files.
fn load(path: &str) -> Dag {
    let files = [
        ("m.dag", DAG),
        ("inner.dag", INNER),
        ("prep.sub", PREP),
        ("trial.sub", TRIAL),
        ("final.sub", FINAL),
        ("tune.toml", STUDY),
    ];
    let files: BTreeMap<String, String> = files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let (dag, diagnostics) = Dag::load(path, &files);
    dag.unwrap_or_else(|| panic!("{}", diagnostics.render()))
}

fn submit_dag() -> Command {
    let dag = load("m.dag");
    Command::SubmitRun(Box::new(NewRun {
        key: "dag".to_owned(),
        owner: "ada".to_owned(),
        dag: Arc::new(dag),
        digest: String::new(),
        environment: BTreeMap::new(),
        continues: None,
        directory: "/home/ada".to_owned(),
        delivery: Delivery::Write,
        files: BTreeMap::new(),
        subdags: BTreeMap::new(),
    }))
}

fn submit_cluster() -> Command {
    let files: BTreeMap<String, String> = BTreeMap::new();
    let (submit, diagnostics) = Submit::parse("w.sub", CLUSTER, &files);
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
    Command::SubmitCluster(Box::new(NewCluster {
        key: "cluster".to_owned(),
        owner: "ada".to_owned(),
        submit: Arc::new(submit),
        macros: Macros::new(),
        directory: "/home/ada".to_owned(),
        delivery: Delivery::Write,
        files: BTreeMap::new(),
    }))
}
