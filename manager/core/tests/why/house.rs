//! A queue with workers that do as rows say: any ad, any amounts, any GPUs.

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::Rules;
use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use manager_core::{
    Change, Command, Delivery, DrainMode, DrainRequest, Effect, Limits, NewCluster, NewRun,
    ProcState, Queue, Reply, Step,
};
use proto::nouns::{
    ClaimId, Ended, JobId, Now, Offer, OfferedGpu, Report, Subject, ToManager, WorkerName,
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

pub struct House {
    pub queue: Queue,
    pub now: Now,
    sessions: BTreeMap<WorkerName, u64>,
    submitted: u32,
}

/// What a worker offers.
#[derive(Clone, Debug)]
pub struct Machine {
    pub name: String,
    /// Besides what all have.
    pub ad: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// MiB of each; a broken one says why.
    pub gpus: Vec<(u64, Option<String>)>,
}

pub fn job(cluster: u32, proc: u32) -> JobId {
    JobId { cluster, proc }
}

/// A machine of four cores and 4,096 MiB.
pub fn machine(name: &str, ad: &str) -> Machine {
    Machine {
        name: name.to_owned(),
        ad: ad.to_owned(),
        cpus: 4,
        memory_mib: 4096,
        gpus: Vec::new(),
    }
}

impl House {
    pub fn new() -> House {
        House {
            queue: Queue::new(7, LIMITS),
            now: Now {
                wall_ms: 1_704_164_645_000,
                mono_ms: 1_000,
            },
            sessions: BTreeMap::new(),
            submitted: 0,
        }
    }

    pub fn with(machines: &[Machine]) -> House {
        let mut house = House::new();
        for machine in machines {
            house.joins(machine);
        }
        house
    }

    pub fn joins(&mut self, machine: &Machine) {
        let worker: WorkerName = machine.name.parse().unwrap();
        let session = self.sessions.len() as u64 + 1;
        self.sessions.insert(worker.clone(), session);
        let gpus = machine.gpus.iter().enumerate();
        let gpus = gpus.map(|(at, (memory, broken))| OfferedGpu {
            id: format!("GPU-{}-{at}", machine.name),
            ad: format!(
                "GlobalMemoryMb = {memory}\nCapability = {}.0",
                7 + memory / 40_000
            ),
            broken: broken.clone(),
        });
        let ad = format!(
            "Arch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true\n{}",
            machine.ad
        );
        let offer = Offer {
            ad,
            cpus: machine.cpus,
            memory_mib: machine.memory_mib,
            disk_kib: 1 << 30,
            gpus: gpus.collect(),
            resources: BTreeMap::new(),
        };
        self.says(
            &worker.clone(),
            ToManager::Hello {
                worker,
                boot: 1,
                version: "test".to_owned(),
                offer,
                claims: Vec::new(),
                cached: Vec::new(),
            },
        );
    }

    fn says(&mut self, worker: &WorkerName, message: ToManager) {
        let (worker, session) = (worker.clone(), self.sessions[worker]);
        self.command(Command::Session {
            worker,
            session,
            message,
        });
    }

    pub fn command(&mut self, command: Command) -> Reply {
        let step = self.queue.step(self.now, command);
        let reply = step.reply.as_ref().unwrap().clone();
        self.turn(step);
        reply
    }

    fn turn(&mut self, mut step: Step) {
        loop {
            let last = self.queue.finish_turn(self.now);
            step.effects.extend(last.effects);
            for effect in std::mem::take(&mut step.effects) {
                if let Effect::Land(landing) = effect {
                    let (job, result) = (landing.job, Ok(()));
                    let next = self.queue.step(self.now, Command::Landed { job, result });
                    step.effects.extend(next.effects);
                }
            }
            self.queue.take_changes();
            let waits = self.queue.next_deadline().is_some_and(|(at, _)| at == 0);
            if step.effects.is_empty() && !waits {
                return;
            }
            if waits {
                let next = self.queue.step(self.now, Command::Tick);
                step.effects.extend(next.effects);
            }
        }
    }

    pub fn rules(&mut self, text: &str) {
        let rules = Rules::parse("pool.toml", text);
        let rules = rules.unwrap_or_else(|errors| panic!("{}", errors.render()));
        self.command(Command::SetRules(Arc::new(rules)));
    }

    pub fn submit(&mut self, text: &str) -> u32 {
        self.submit_as("ada", text)
    }

    pub fn submit_as(&mut self, owner: &str, text: &str) -> u32 {
        let files: BTreeMap<String, String> = BTreeMap::new();
        let text = format!("{PROGRAM}{text}\n");
        let (submit, diagnostics) = Submit::parse("w.sub", &text, &files);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
        self.submitted += 1;
        let reply = self.command(Command::SubmitCluster(Box::new(NewCluster {
            key: format!("c{}", self.submitted),
            owner: owner.to_owned(),
            submit: Arc::new(submit),
            macros: Macros::new(),
            directory: "/home/ada".to_owned(),
            delivery: Delivery::Write,
            files: BTreeMap::new(),
        })));
        match reply {
            Reply::Submitted { id } => id,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn submit_dag(&mut self, dag: &str, submit: &str) -> u32 {
        let submit = format!("{PROGRAM}{submit}\n");
        let files: BTreeMap<String, String> = [("m.dag", dag), ("w.sub", submit.as_str())]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        let (dag, diagnostics) = Dag::load("m.dag", &files);
        let dag = dag.unwrap_or_else(|| panic!("{}", diagnostics.render()));
        self.submitted += 1;
        let reply = self.command(Command::SubmitRun(Box::new(NewRun {
            key: format!("r{}", self.submitted),
            owner: "ada".to_owned(),
            dag: Arc::new(dag),
            digest: String::new(),
            environment: BTreeMap::new(),
            continues: None,
            subdags: BTreeMap::new(),
            directory: "/home/ada".to_owned(),
            delivery: Delivery::Write,
            files: BTreeMap::new(),
        })));
        match reply {
            Reply::Submitted { id } => id,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn drain(&mut self, name: &str) {
        self.command(Command::Drain {
            worker: name.parse().unwrap(),
            request: DrainRequest::Drain {
                mode: DrainMode::Graceful,
                reason: "new driver".to_owned(),
                then: manager_core::AfterDrain::Stay,
                check: None,
            },
        });
    }

    pub fn edit(&mut self, job: JobId, edits: classad::ClassAd) {
        self.command(Command::Edit {
            subject: Subject::Job(job),
            change: Change::Attributes(Box::new(edits)),
        });
    }

    /// Jobs that wait for a place.
    pub fn idle_jobs(&self) -> u32 {
        let clusters = self.queue.clusters().values();
        clusters.map(|cluster| cluster.tally().idle).sum()
    }

    pub fn state(&self, job: JobId) -> ProcState {
        self.queue.job(job).unwrap().1.state
    }

    fn claim(&self, job: JobId) -> (ClaimId, WorkerName) {
        match self.state(job) {
            ProcState::Running { claim, worker, .. } => (claim, worker),
            state => panic!("{job} is {}", state.name()),
        }
    }

    /// A running job takes so long, and ends.
    pub fn ends_after(&mut self, job: JobId, ms: u64, ended: Ended) {
        let (claim, worker) = self.claim(job);
        self.says(&worker, ToManager::Started { claim });
        let started = self.now.wall_ms;
        self.now.wall_ms += ms;
        self.now.mono_ms += ms;
        let report = Box::new(Report::new(ended, started, self.now.wall_ms));
        self.says(&worker, ToManager::Finished { claim, report });
    }
}
