//! A queue with workers that do nothing by themselves: what they are told is written down, and
//! rows say what they answer. Shared by the tests of this crate, none of which needs all of it.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::Rules;
use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use manager_core::{
    Act, AfterDrain, Cluster, Command, Delivery, DrainMode, DrainRequest, Effect, Limits,
    NewCluster, NewRun, ProcState, Queue, Refusal, Reply, Setting, Steer, Step, Submitter, Write,
};
use proto::nouns::{
    Blob, ClaimId, Digest, Ended, JobId, Now, Offer, OfferedGpu, Report, Subject, ToManager,
    ToWorker, VacateReason, WorkOrder, WorkerName,
};

const LIMITS: Limits = Limits {
    jobs_max: 2_000_000,
    lease_ms: 30_000,
    beat_ms: 2_000,
    faults_max: 3,
    kill_grace_ms: 500,
    policy_interval_ms: 60_000,
};
const PROGRAM: &str = "executable = /bin/work\ntransfer_executable = false\n";

pub struct Farm {
    pub queue: Queue,
    /// What workers were told, but for orders and what needs no answer.
    pub told: Vec<String>,
    /// The users' logs, one behind the other.
    pub log: String,
    pub now: Now,
    /// How long jobs say that they ran.
    pub job_ms: u64,
    /// Claims that workers were asked to end.
    pub asked: Vec<(WorkerName, ClaimId, VacateReason)>,
    /// Workers that are connected: session and what they offer.
    workers: BTreeMap<WorkerName, (u64, Offer)>,
    /// What their caches hold.
    pub cached: BTreeMap<WorkerName, Vec<Digest>>,
    orders: BTreeMap<ClaimId, (WorkerName, WorkOrder)>,
    rows: Vec<String>,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    sessions: u64,
}

/// A worker with so many cores, and one GPU.
pub fn offer(cpus: u32) -> Offer {
    let gpu = "GlobalMemoryMb = 81920\nFreeGlobalMemoryMb = 81920";
    let ad = "Machine = \"m\"\nArch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true\n\
        SharableGPUs = {[FreeGlobalMemoryMb = 81920]}";
    Offer {
        ad: ad.to_owned(),
        cpus,
        memory_mib: 65_536,
        disk_kib: 1 << 30,
        gpus: vec![OfferedGpu {
            id: "GPU-1".to_owned(),
            ad: gpu.to_owned(),
            broken: None,
        }],
        resources: BTreeMap::new(),
    }
}

pub fn job(cluster: u32, proc: u32) -> JobId {
    JobId { cluster, proc }
}

impl Farm {
    pub fn new(workers: &[(&str, u32)]) -> Farm {
        let mut farm = Farm {
            queue: Queue::new(7, LIMITS),
            told: Vec::new(),
            log: String::new(),
            now: Now {
                wall_ms: 1_704_164_645_000,
                mono_ms: 1_000,
            },
            job_ms: 0,
            asked: Vec::new(),
            workers: BTreeMap::new(),
            cached: BTreeMap::new(),
            orders: BTreeMap::new(),
            rows: Vec::new(),
            disk: BTreeMap::new(),
            sessions: 0,
        };
        for (name, cpus) in workers {
            farm.joins(name, *cpus);
        }
        farm
    }

    // === workers ===

    pub fn joins(&mut self, name: &str, cpus: u32) {
        self.joins_with(name, offer(cpus));
    }

    pub fn joins_with(&mut self, name: &str, offer: Offer) {
        self.workers.insert(name.parse().unwrap(), (0, offer));
        self.hello(name);
    }

    /// A new session, with the claims that the worker has.
    pub fn hello(&mut self, name: &str) {
        self.sessions += 1;
        let worker: WorkerName = name.parse().unwrap();
        let entry = self.workers.get_mut(&worker).unwrap();
        entry.0 = self.sessions;
        let offer = entry.1.clone();
        let own = self.orders.iter().filter(|(_, (of, _))| *of == worker);
        let claims = own.map(|(claim, _)| *claim).collect();
        let cached = self.cached.get(&worker).cloned().unwrap_or_default();
        self.says(
            &worker.clone(),
            ToManager::Hello {
                worker,
                boot: 1,
                version: "test".to_owned(),
                offer,
                claims,
                cached,
            },
        );
    }

    /// The worker says something else of itself.
    pub fn advertises(&mut self, name: &str, offer: Offer) {
        let worker: WorkerName = name.parse().unwrap();
        self.workers.get_mut(&worker).unwrap().1 = offer.clone();
        self.says(&worker, ToManager::Advertise { offer });
    }

    /// The worker is gone, with all that it ran.
    pub fn cut_off(&mut self, name: &str) {
        let worker: WorkerName = name.parse().unwrap();
        self.orders.retain(|_, (of, _)| *of != worker);
        let session = self.workers[&worker].0;
        self.command(Command::Disconnected { worker, session })
            .unwrap();
    }

    fn says(&mut self, worker: &WorkerName, message: ToManager) {
        let (worker, session) = (worker.clone(), self.workers[worker].0);
        self.command(Command::Session {
            worker,
            session,
            message,
        })
        .unwrap();
    }

    /// The worker says what it runs.
    pub fn beat(&mut self, name: &str) {
        let worker: WorkerName = name.parse().unwrap();
        let own = self.orders.iter().filter(|(_, (of, _))| *of == worker);
        let claims = own.map(|(claim, _)| *claim).collect();
        self.says(&worker, ToManager::Beat { claims });
    }

    pub fn claim(&self, job: JobId) -> (ClaimId, WorkerName) {
        match self.proc(job) {
            ProcState::Running { claim, worker, .. } => (claim, worker),
            state => panic!("{job} is {}", state.name()),
        }
    }

    pub fn starts(&mut self, job: JobId) {
        let (claim, worker) = self.claim(job);
        self.says(&worker, ToManager::Started { claim });
    }

    /// The job's program starts and ends.
    pub fn ends(&mut self, job: JobId, ended: Ended) {
        self.starts(job);
        let (claim, worker) = self.claim(job);
        self.finish(&worker, claim, ended);
    }

    /// All that the worker was told to end has ended.
    pub fn end_vacated(&mut self, name: &str) {
        let worker: WorkerName = name.parse().unwrap();
        let carves = &self.queue.workers()[&worker].carves;
        let vacating = carves.iter().filter(|(_, carve)| carve.vacating);
        let mut claims: Vec<ClaimId> = vacating.map(|(claim, _)| *claim).collect();
        claims.extend(&self.queue.workers()[&worker].stale);
        for claim in claims {
            self.finish(&worker, claim, Ended::Vacated);
        }
    }

    /// All that workers were asked to end ends, or was not begun.
    pub fn end_asked(&mut self) {
        for (worker, claim, _) in std::mem::take(&mut self.asked) {
            if self.orders.contains_key(&claim) {
                self.finish(&worker, claim, Ended::Vacated);
            }
        }
    }

    fn finish(&mut self, worker: &WorkerName, claim: ClaimId, ended: Ended) {
        self.orders.remove(&claim);
        let began_ms = self.now.wall_ms - self.job_ms;
        let report = Report::new(ended, began_ms, self.now.wall_ms);
        let report = Box::new(report);
        self.says(worker, ToManager::Finished { claim, report });
    }

    /// Whether the worker could take a job.
    pub fn free(&self, name: &str) -> bool {
        let worker: WorkerName = name.parse().unwrap();
        let worker = &self.queue.workers()[&worker];
        worker.session.is_some() && worker.stale.is_empty() && worker.free.cpus > 0
    }

    // === people ===

    fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        let step = self.queue.step(self.now, command);
        self.turn(step)
    }

    fn turn(&mut self, mut step: Step) -> Result<Reply, Refusal> {
        let last = self.queue.finish_turn(self.now);
        step.effects.extend(last.effects);
        step.rows.extend(last.rows);
        self.rows.extend(step.rows.into_iter().map(|row| row.text));
        for (key, value) in self.queue.take_changes() {
            match value {
                Some(value) => self.disk.insert(key.to_bytes(), value),
                None => self.disk.remove(&key.to_bytes()),
            };
        }
        self.matches_disk();
        for effect in step.effects {
            self.act_on(effect);
        }
        step.reply
    }

    /// What is on the disk is all there is to know.
    fn matches_disk(&self) {
        let records = self.queue.records().into_iter();
        let records: BTreeMap<Vec<u8>, Vec<u8>> = records
            .map(|(key, value)| (key.to_bytes(), value))
            .collect();
        assert_eq!(records, self.disk);
    }

    fn act_on(&mut self, effect: Effect) {
        match effect {
            Effect::Tell {
                worker, message, ..
            } => match message {
                ToWorker::Activate { claim, order, .. } => {
                    self.orders.insert(claim, (worker, *order));
                }
                ToWorker::Vacate {
                    grace_ms,
                    claim,
                    reason,
                } => {
                    self.asked.push((worker.clone(), claim, reason));
                    self.told.push(format!("{worker} vacate {grace_ms:?}"));
                }
                ToWorker::Leave { reason } => self.told.push(format!("{worker} leave {reason}")),
                ToWorker::Welcome { .. }
                | ToWorker::Forget { .. }
                | ToWorker::Tail { .. }
                | ToWorker::Goodbye { .. } => {}
            },
            Effect::Land(landing) => {
                let (job, result) = (landing.job, Ok(()));
                self.command(Command::Landed { job, result }).unwrap();
            }
            Effect::Write(writing) => match writing.how {
                Write::Append(bytes) | Write::AppendMissing(bytes) => {
                    self.log.push_str(&String::from_utf8(bytes).unwrap());
                }
                Write::Replace(_) | Write::KeepOld(_) | Write::Beside(_) => {}
            },
            Effect::Script(_)
            | Effect::Ask(_)
            | Effect::Keep { .. }
            | Effect::StopScript { .. }
            | Effect::Load(_)
            | Effect::Collect(_) => {}
        }
    }

    pub fn rules(&mut self, text: &str) {
        let rules = Rules::parse("pool.toml", text);
        let rules = rules.unwrap_or_else(|wrong| panic!("{}", wrong.render()));
        self.command(Command::SetRules(Arc::new(rules))).unwrap();
    }

    pub fn set_account(&mut self, user: &str, setting: Setting) {
        let submitter = Submitter {
            group: String::new(),
            user: user.to_owned(),
        };
        self.command(Command::SetAccount { submitter, setting })
            .unwrap();
    }

    pub fn submit(&mut self, text: &str) -> u32 {
        self.submit_as("ada", text)
    }

    pub fn submit_as(&mut self, owner: &str, text: &str) -> u32 {
        self.submit_with(owner, text, BTreeMap::new())
    }

    pub fn submit_with(&mut self, owner: &str, text: &str, blobs: BTreeMap<String, Blob>) -> u32 {
        let files: BTreeMap<String, String> = BTreeMap::new();
        let text = format!("{PROGRAM}{text}\n");
        let (submit, diagnostics) = Submit::parse("w.sub", &text, &files);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
        let reply = self.command(Command::SubmitCluster(Box::new(NewCluster {
            key: format!("c{}", self.disk.len()),
            owner: owner.to_owned(),
            submit: Arc::new(submit),
            macros: Macros::new(),
            directory: "/home/ada".to_owned(),
            delivery: Delivery::Write,
            files: blobs,
        })));
        match reply {
            Ok(Reply::Submitted { id }) => id,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn submit_dag(&mut self, dag: &str, submit: &str, continues: Option<u32>) -> u32 {
        let submit = format!("{PROGRAM}{submit}\n");
        let files: BTreeMap<String, String> = [("m.dag", dag), ("w.sub", submit.as_str())]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        let (dag, diagnostics) = Dag::load("m.dag", &files);
        let dag = dag.unwrap_or_else(|| panic!("{}", diagnostics.render()));
        let reply = self.command(Command::SubmitRun(Box::new(NewRun {
            key: format!("r{}", self.disk.len()),
            owner: "ada".to_owned(),
            dag: Arc::new(dag),
            digest: String::new(),
            environment: BTreeMap::new(),
            continues,
            subdags: BTreeMap::new(),
            directory: "/home/ada".to_owned(),
            delivery: Delivery::Write,
            files: BTreeMap::new(),
        })));
        match reply {
            Ok(Reply::Submitted { id }) => id,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn act(&mut self, act: Act, subject: Subject) {
        assert!(self.may_act(act, subject).is_ok(), "{act:?} {subject}");
    }

    pub fn may_act(&mut self, act: Act, subject: Subject) -> Result<Reply, Refusal> {
        let reason = "somebody says so".to_owned();
        self.command(Command::Act {
            act,
            subject,
            reason,
        })
    }

    pub fn steer(&mut self, run: u32, request: Steer) {
        self.command(Command::Steer { run, request }).unwrap();
    }

    /// Jobs that ran there, or why it is refused.
    pub fn drain(
        &mut self,
        name: &str,
        mode: DrainMode,
        then: AfterDrain,
        check: Option<&str>,
    ) -> Result<u32, String> {
        let request = DrainRequest::Drain {
            mode,
            reason: "new driver".to_owned(),
            then,
            check: check.map(str::to_owned),
        };
        let worker = name.parse().unwrap();
        match self.command(Command::Drain { worker, request }) {
            Ok(Reply::Drained { running }) => Ok(running),
            Ok(reply) => panic!("{reply:?}"),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    pub fn resume(&mut self, name: &str) {
        let (worker, request) = (name.parse().unwrap(), DrainRequest::Resume);
        self.command(Command::Drain { worker, request }).unwrap();
    }

    // === time ===

    /// The manager begins anew from its disk, and the workers come back.
    pub fn restart(&mut self) {
        self.queue = Queue::restore(7, LIMITS, self.disk.clone()).unwrap();
        let step = self.queue.recover(self.now);
        self.turn(step).unwrap();
        let names: Vec<WorkerName> = self.workers.keys().cloned().collect();
        for worker in names {
            self.hello(worker.as_str());
        }
    }

    /// Lets time pass, and wakes the queue when it asked for it.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        while let Some((at, _)) = self.queue.next_deadline().filter(|(at, _)| *at <= until) {
            let passed = at.saturating_sub(self.now.mono_ms);
            self.now.mono_ms += passed;
            self.now.wall_ms += passed;
            self.command(Command::Tick).unwrap();
        }
        self.now.wall_ms += until - self.now.mono_ms;
        self.now.mono_ms = until;
    }

    // === looks ===

    pub fn cluster(&self, id: u32) -> &Cluster {
        &self.queue.clusters()[&id]
    }

    pub fn proc(&self, job: JobId) -> ProcState {
        self.queue.job(job).unwrap().1.state
    }

    /// How many jobs of a cluster hold a slot.
    pub fn holding(&self, cluster: u32) -> usize {
        let workers = self.queue.workers().values();
        let carves = workers.flat_map(|worker| worker.carves.values());
        let holds = carves.filter(|carve| carve.behind.is_none() && carve.job.cluster == cluster);
        holds.count()
    }

    /// Where a job runs; nothing where it does not.
    pub fn place(&self, job: JobId) -> String {
        match self.proc(job) {
            ProcState::Running { worker, .. } => worker.to_string(),
            _ => String::new(),
        }
    }

    pub fn order(&self, job: JobId) -> &WorkOrder {
        &self.orders[&self.claim(job).0].1
    }

    /// The memory that a running job was given, or its state with the reason.
    pub fn outcome(&self, job: JobId) -> String {
        match self.proc(job) {
            ProcState::Running { .. } => format!("{} MiB", self.order(job).memory_mib),
            ProcState::Held { code, reason, .. } => {
                format!("Held {}.{} {reason}", code.number(), code.subcode())
            }
            state => state.name().to_owned(),
        }
    }

    pub fn ad(&self, job: JobId) -> classad::ClassAd {
        let cluster = self.cluster(job.cluster);
        let spec = self.queue.whole_spec(cluster, job.proc).unwrap();
        self.queue.job_ad(cluster, job, &spec)
    }

    /// Whether a row of the journal says it.
    pub fn told_of(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.contains(text))
    }

    pub fn logged(&self, text: &str) -> bool {
        self.log.contains(text)
    }
}
