//! A queue with one worker and a directory in memory: what the core asks to be written lands there.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::Arc;

use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use manager_core::{
    Command, Delivery, Effect, Limits, NewCluster, NewRun, Queue, Reply, ScriptEnd, ScriptOrder,
    Step, Write,
};
use proto::nouns::{
    ClaimId, Ended, Fault, JobId, Now, Offer, Report, ToManager, ToWorker, WorkOrder, WorkerName,
    join_path,
};

pub const START_MS: u64 = 1_704_164_645_000;
const LIMITS: Limits = Limits {
    jobs_max: 1_000_000,
    lease_ms: 10_000,
    beat_ms: 2_000,
    faults_max: 3,
    kill_grace_ms: 500,
    policy_interval_ms: 60_000,
};

pub struct House {
    pub queue: Queue,
    pub now: Now,
    /// By absolute path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Orders that the worker has and did not answer.
    pub orders: VecDeque<(ClaimId, WorkOrder)>,
    pub scripts: VecDeque<ScriptOrder>,
    /// How many times a file was written.
    pub writings: u32,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    session: u64,
    delivery: Delivery,
}

pub fn worker() -> WorkerName {
    WorkerName::from_str("w1").unwrap()
}

impl House {
    pub fn new() -> House {
        let mut house = House {
            queue: Queue::new(7, LIMITS),
            now: Now {
                wall_ms: START_MS,
                mono_ms: 1_000,
            },
            files: BTreeMap::new(),
            orders: VecDeque::new(),
            scripts: VecDeque::new(),
            writings: 0,
            disk: BTreeMap::new(),
            session: 0,
            delivery: Delivery::Write,
        };
        house.hello(Vec::new());
        house
    }

    /// Whose users are on other machines.
    pub fn elsewhere() -> House {
        House {
            delivery: Delivery::Keep,
            ..House::new()
        }
    }

    pub fn hello(&mut self, claims: Vec<ClaimId>) {
        self.session += 1;
        let offer = Offer {
            ad: "Machine = \"m\"\nArch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true"
                .to_owned(),
            cpus: 4,
            memory_mib: 8192,
            disk_kib: 1 << 30,
            gpus: Vec::new(),
            resources: std::collections::BTreeMap::new(),
        };
        self.says(ToManager::Hello {
            worker: worker(),
            boot: 1,
            version: "test".to_owned(),
            offer,
            claims,
            cached: Vec::new(),
        });
    }

    pub fn says(&mut self, message: ToManager) {
        let (worker, session) = (worker(), self.session);
        self.command(Command::Session {
            worker,
            session,
            message,
        });
    }

    /// One turn of one command.
    pub fn command(&mut self, command: Command) -> Option<Reply> {
        let step = self.queue.step(self.now, command);
        self.turn(step)
    }

    pub fn tick(&mut self, ms: u64) {
        self.now.wall_ms += ms;
        self.now.mono_ms += ms;
        self.command(Command::Tick);
    }

    /// Advances the clock without anybody noticing.
    pub fn wait(&mut self, ms: u64) {
        self.now.wall_ms += ms;
        self.now.mono_ms += ms;
    }

    pub fn restart(&mut self) {
        let disk = self.disk.clone();
        self.queue = Queue::restore(7, LIMITS, disk).unwrap();
        let step = self.queue.recover(self.now);
        self.turn(step);
    }

    fn turn(&mut self, mut step: Step) -> Option<Reply> {
        let last = self.queue.finish_turn(self.now);
        step.effects.extend(last.effects);
        for (key, value) in self.queue.take_changes() {
            match value {
                Some(value) => self.disk.insert(key.to_bytes(), value),
                None => self.disk.remove(&key.to_bytes()),
            };
        }
        for effect in step.effects {
            self.act(effect);
        }
        step.reply.ok()
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Tell {
                message: ToWorker::Activate { claim, order, .. },
                ..
            } => self.orders.push_back((claim, *order)),
            Effect::Script(order) => self.scripts.push_back(*order),
            Effect::Land(landing) => {
                let (job, result) = (landing.job, Ok(()));
                self.command(Command::Landed { job, result });
            }
            Effect::Write(writing) => {
                let path = join_path(&writing.directory, &writing.path);
                self.write(path, writing.how);
            }
            Effect::Tell { .. }
            | Effect::Ask(_)
            | Effect::Keep { .. }
            | Effect::StopScript { .. }
            | Effect::Load(_)
            | Effect::Collect(_) => {}
        }
    }

    fn write(&mut self, path: String, how: Write) {
        self.writings += 1;
        match how {
            Write::Replace(bytes) => {
                self.files.insert(path, bytes);
            }
            Write::KeepOld(bytes) => {
                if let Some(old) = self.files.insert(path.clone(), bytes) {
                    self.files.insert(format!("{path}.old"), old);
                }
            }
            Write::Beside(bytes) => {
                let names = (0..).map(|n| format!("{path}.{n}"));
                let free = names
                    .into_iter()
                    .find(|name| !self.files.contains_key(name));
                self.files.insert(free.unwrap(), bytes);
            }
            Write::Append(bytes) => self.files.entry(path).or_default().extend(bytes),
            Write::AppendMissing(bytes) => {
                let file = self.files.entry(path).or_default();
                if !file.windows(bytes.len()).any(|window| window == bytes) {
                    file.extend(bytes);
                }
            }
        }
    }

    // === submissions ===

    pub fn submit(&mut self, text: &str) -> u32 {
        let files: BTreeMap<String, String> = BTreeMap::new();
        let (submit, diagnostics) = Submit::parse("w.sub", text, &files);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
        let reply = self.command(Command::SubmitCluster(Box::new(NewCluster {
            key: format!("c{}", self.disk.len()),
            owner: "ada".to_owned(),
            submit: Arc::new(submit),
            macros: Macros::new(),
            directory: "/home/ada".to_owned(),
            delivery: self.delivery,
            files: BTreeMap::new(),
        })));
        id(reply)
    }

    pub fn submit_dag(&mut self, dag: Dag) -> u32 {
        let reply = self.command(Command::SubmitRun(Box::new(NewRun {
            key: format!("r{}", self.disk.len()),
            owner: "ada".to_owned(),
            dag: Arc::new(dag),
            digest: String::new(),
            environment: BTreeMap::new(),
            continues: None,
            subdags: BTreeMap::new(),
            directory: "/home/ada".to_owned(),
            delivery: self.delivery,
            files: BTreeMap::new(),
        })));
        id(reply)
    }

    // === what the worker does ===

    /// The next order begins to run.
    pub fn starts(&mut self) -> (ClaimId, JobId) {
        let (claim, order) = self.orders.pop_front().unwrap();
        self.says(ToManager::Started { claim });
        (claim, order.job)
    }

    pub fn ends(&mut self, claim: ClaimId, ended: Ended) {
        let report = Report {
            user_cpu_ms: 61_000,
            system_cpu_ms: 2_000,
            rss_max_kib: 3 << 10,
            ..Report::new(ended, self.now.wall_ms - 126_000, self.now.wall_ms)
        };
        let report = Box::new(report);
        self.says(ToManager::Finished { claim, report });
    }

    /// The next order runs and ends so.
    pub fn runs(&mut self, ended: Ended) -> JobId {
        let (claim, job) = self.starts();
        self.ends(claim, ended);
        job
    }

    pub fn faults(&mut self, reason: &str) {
        let (claim, _) = self.orders.pop_front().unwrap();
        let ended = Ended::NotStarted {
            fault: Fault::Worker,
            reason: reason.to_owned(),
        };
        self.ends(claim, ended);
    }

    /// The next script ends so.
    pub fn script(&mut self, end: ScriptEnd) {
        let order = self.scripts.pop_front().unwrap();
        self.command(Command::ScriptEnded {
            run: order.run,
            node: order.node,
            kind: order.kind,
            attempt: order.attempt,
            end,
        });
    }

    pub fn text(&self, path: &str) -> &str {
        let bytes = self.files.get(&join_path("/home/ada", path));
        bytes.map_or("", |bytes| std::str::from_utf8(bytes).unwrap())
    }
}

fn id(reply: Option<Reply>) -> u32 {
    match reply {
        Some(Reply::Submitted { id }) => id,
        other => panic!("{other:?}"),
    }
}

/// A DAG of these lines, whose nodes' descriptions are `w.sub`.
pub fn dag(text: &str, submit: &str) -> Dag {
    let files: BTreeMap<String, String> = [("m.dag", text), ("w.sub", submit)]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let (dag, diagnostics) = Dag::load("m.dag", &files);
    dag.unwrap_or_else(|| panic!("{}", diagnostics.render()))
}
