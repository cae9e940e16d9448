//! The queue itself: what it holds, and the one door to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dags::Rules;
use dags::submit::{Macros, Placement};
use proto::nouns::{ClaimId, JobId, Now, WorkerName};

use crate::accounts::Accounts;
use crate::agenda::Agenda;
use crate::apply::Lingering;
use crate::chronicle::Chronicle;
use crate::command::{Command, Refusal, Reply};
use crate::decide;
use crate::drain::{Drain, Drained};
use crate::effect::Effect;
use crate::event::Event;
use crate::job::{Cluster, Proc, Source};
use crate::journal::Row;
use crate::negotiator::{Change, Negotiation, Order, Sorting};
use crate::policy::Watch;
use crate::pool::{Carve, Pool, Worker};
use crate::record::{Meta, RecordKey, RestoreError};
use crate::rest::Rest;
use crate::run::{Run, ScriptPhase, Ways};
use crate::shape::Shapes;
use crate::workspace::Workspace;

/// Bytes of the names of a node's parents in its jobs' ads; more are left out.
const PARENT_NAMES_BYTES_MAX: usize = 2_048;
/// Rows of the journal after which a turn ends, although there is more to do. A turn is one batch of
/// the store, and sled keeps what a batch replaced until the batch is done: batches of thousands
/// cost kilobytes for each record.
const TURN_ROWS_MAX: usize = 256;
/// Items of the agenda that one turn works off: of those that come to nothing there are no rows.
const TURN_ITEMS_MAX: usize = 2_048;

/// Everything the manager knows about work and workers.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(crate) limits: Limits,
    // Durable: each part has records.
    pub(crate) meta: Meta,
    pub(crate) clusters: BTreeMap<u32, Cluster>,
    pub(crate) runs: BTreeMap<u32, Run>,
    pub(crate) workspaces: BTreeMap<u32, Workspace>,
    pub(crate) drained: Drained,
    pub(crate) submit_keys: BTreeMap<String, u32>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) accounts: Accounts,
    /// Claims that are no job's any more, and still hold their slots.
    pub(crate) lingering: BTreeMap<ClaimId, Lingering>,
    // Soft: advertised or derived anew.
    pub(crate) pool: Pool,
    pub(crate) agenda: Agenda,
    pub(crate) negotiation: Negotiation,
    pub(crate) dirty: BTreeSet<RecordKey>,
    /// Jobs that are not final, all clusters together.
    pub(crate) jobs_live: u64,
    /// What is to be written for people at the end of the turn.
    pub(crate) chronicle: Chronicle,
    /// What the policies of jobs wait for.
    pub(crate) watch: Watch,
    /// Jobs that stand for others. Not state: each is what its description says.
    pub(crate) shapes: Shapes,
}

/// What the queue is told about its size and its timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that are not final.
    pub jobs_max: u64,
    /// How long a claim outlives the last message that named it, where the job does not say.
    pub lease_ms: u64,
    /// How often workers renew.
    pub beat_ms: u64,
    /// Times that workers may be unable to start a job before it is held.
    pub faults_max: u32,
    /// How long a job that was asked to end may take.
    pub kill_grace_ms: u64,
    /// How often the periodic policies of jobs are looked at.
    pub policy_interval_ms: u64,
}

/// What one command did.
#[derive(Debug)]
pub struct Step {
    pub reply: Result<Reply, Refusal>,
    /// What people may watch, in order.
    pub rows: Vec<Row>,
    pub effects: Vec<Effect>,
}

/// Why the queue wants to be woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WakeReason {
    Lease {
        worker: WorkerName,
    },
    /// A worker that could not start jobs may be given some again.
    Pause {
        worker: WorkerName,
    },
    /// A script that was deferred is to run again.
    Script {
        run: u32,
        node: u32,
    },
    /// A file that tells of a run is out of date.
    Papers {
        run: u32,
    },
    /// The time of a job is up, or policies are to be looked at.
    Policies,
    /// There is more to do than one turn does.
    Unfinished,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake<'a> {
    Lease(&'a WorkerName),
    Pause(&'a WorkerName),
    Script(u32, u32),
    Papers(u32),
}

// === impl Queue ===

impl Queue {
    /// An empty queue. `pool` tells its claims from those of every other store.
    pub fn new(pool: u32, limits: Limits) -> Queue {
        Queue {
            limits,
            meta: Meta {
                pool,
                next_id: 1,
                next_claim: 1,
            },
            clusters: BTreeMap::new(),
            runs: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            drained: Drained::default(),
            submit_keys: BTreeMap::new(),
            rules: Arc::new(Rules::default()),
            accounts: Accounts::default(),
            lingering: BTreeMap::new(),
            pool: Pool::default(),
            agenda: Agenda::default(),
            negotiation: Negotiation::new(&Rules::default()),
            dirty: BTreeSet::from([RecordKey::Meta]),
            jobs_live: 0,
            chronicle: Chronicle::default(),
            watch: Watch::default(),
            shapes: Shapes::default(),
        }
    }

    /// Carries out one command and everything that follows from it: a finished job frees its slot,
    /// tells its study, readies its node's children and matches the slot again, in this one call.
    pub fn step(&mut self, now: Now, command: Command) -> Step {
        let mut step = Step {
            reply: Ok(Reply::Done),
            rows: Vec::new(),
            effects: Vec::new(),
        };
        match decide::decide(self, now, command) {
            Ok(decision) => {
                step.reply = Ok(decision.reply);
                self.carry_out(now, decision.events, &mut step);
                step.effects.extend(decision.effects);
            }
            Err(refusal) => step.reply = Err(refusal),
        }
        self.settle(now, &mut step);
        step
    }

    /// Ends a turn: matches what is idle with what is free, once for all the commands of the turn,
    /// and works off what follows from that. Then come the files that tell people of the turn.
    pub fn finish_turn(&mut self, now: Now) -> Step {
        let mut step = Step {
            reply: Ok(Reply::Done),
            rows: Vec::new(),
            effects: Vec::new(),
        };
        while step.rows.len() + step.effects.len() < TURN_ROWS_MAX && self.agenda.take_match() {
            self.negotiate(now, &mut step);
            self.settle(now, &mut step);
        }
        step.effects.extend(self.publish(now));
        step
    }

    /// After [`Queue::restore`]: gives each claim a whole lease to be heard of again, and takes up
    /// what was under way.
    pub fn recover(&mut self, now: Now) -> Step {
        let mut step = Step {
            reply: Ok(Reply::Done),
            rows: Vec::new(),
            effects: Vec::new(),
        };
        let (events, effects) = decide::recovery(self);
        self.take_up(now);
        self.carry_out(now, events, &mut step);
        self.watch.arm(now, self.limits.policy_interval_ms);
        step.effects.extend(effects);
        self.agenda.everything(self.runs.keys().copied());
        self.settle(now, &mut step);
        step
    }

    /// When to send [`Command::Tick`], on the monotonic clock, and why.
    pub fn next_deadline(&self) -> Option<(u64, WakeReason)> {
        if self.agenda.is_open() {
            return Some((0, WakeReason::Unfinished));
        }
        let wakes = self.pool.workers.iter().flat_map(|(name, worker)| {
            let claims = worker.carves.values().map(Carve::expires_mono_ms).min();
            let silent = worker.heard_mono_ms.saturating_add(self.limits.lease_ms);
            let lease = (claims.unwrap_or(silent), Wake::Lease(name));
            let paused = worker.paused_until_mono_ms;
            std::iter::once(lease).chain(paused.map(|until| (until, Wake::Pause(name))))
        });
        let scripts = self.runs.iter().flat_map(|(&run, entry)| {
            let deferred = move |(&(_, node), phase): (&(_, u32), &ScriptPhase)| match phase {
                ScriptPhase::Deferred { until_mono_ms } => {
                    Some((*until_mono_ms, Wake::Script(run, node)))
                }
                ScriptPhase::Running | ScriptPhase::Waiting => None,
            };
            entry.scripts.iter().filter_map(deferred)
        });
        let papers = self.papers_due().map(|(at, run)| (at, Wake::Papers(run)));
        let policies = self.watch.deadline();
        let Some((at, wake)) = wakes.chain(scripts).chain(papers).min() else {
            return policies;
        };
        if let Some(policies) = policies.filter(|(due, _)| *due < at) {
            return Some(policies);
        }
        let reason = match wake {
            Wake::Lease(worker) => WakeReason::Lease {
                worker: worker.clone(),
            },
            Wake::Pause(worker) => WakeReason::Pause {
                worker: worker.clone(),
            },
            Wake::Script(run, node) => WakeReason::Script { run, node },
            Wake::Papers(run) => WakeReason::Papers { run },
        };
        Some((at, reason))
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Tells the claims of this store from those of others.
    pub fn pool_id(&self) -> u32 {
        self.meta.pool
    }

    pub fn clusters(&self) -> &BTreeMap<u32, Cluster> {
        &self.clusters
    }

    pub fn runs(&self) -> &BTreeMap<u32, Run> {
        &self.runs
    }

    pub fn workspaces(&self) -> &BTreeMap<u32, Workspace> {
        &self.workspaces
    }

    pub fn workers(&self) -> &BTreeMap<WorkerName, Worker> {
        &self.pool.workers
    }

    /// The pool's rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Who uses how much.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub fn is_drained(&self, worker: &WorkerName) -> bool {
        self.drained.contains(worker)
    }

    /// How and why a worker is drained, if it is.
    pub fn drain_of(&self, worker: &WorkerName) -> Option<&Drain> {
        self.drained.get(worker)
    }

    /// Applies events one by one, and collects what they mean to watchers and to the shell.
    pub(crate) fn carry_out(&mut self, now: Now, events: Vec<Event>, step: &mut Step) {
        for mut event in events {
            let before = self.before(&event);
            self.apply(now, &event);
            step.rows.extend(self.row(now, &event));
            step.effects.extend(self.effects_of(&mut event));
            self.tell(now, &event, &before);
        }
    }

    /// Works the agenda off. What is left when a turn has grown too long is for the next one, so
    /// that nobody waits for the whole of a large DAG.
    fn settle(&mut self, now: Now, step: &mut Step) {
        let mut items = 0;
        while step.rows.len() < TURN_ROWS_MAX
            && items < TURN_ITEMS_MAX
            && let Some(item) = self.agenda.pop()
        {
            items += 1;
            let (events, effects) = self.follow(now, item);
            self.carry_out(now, events, step);
            step.effects.extend(effects);
        }
    }

    /// Whether a cluster or DAG run `top` is `id`, or a sub-DAG of it at any depth.
    pub fn is_of(&self, top: u32, id: u32) -> bool {
        let above = |top: &u32| {
            let (parent, _) = self.runs.get(top)?.parent?;
            Some(parent)
        };
        std::iter::successors(Some(top), above).any(|top| top == id)
    }

    /// The run whose workspace a cluster or DAG run works in: itself, or, of a sub-DAG, the one at
    /// the top.
    pub fn home(&self, top: u32) -> u32 {
        self.runs.get(&top).map_or(top, |run| run.home)
    }

    /// Rebuilds what is derived from the records.
    pub(crate) fn derive(&mut self) -> Result<(), RestoreError> {
        for run in self.runs.values_mut() {
            run.derive();
        }
        let ids: Vec<u32> = self.clusters.keys().copied().collect();
        for id in ids {
            let cluster = self.clusters.get_mut(&id).expect("the id was just listed");
            let run = cluster.node().map(|(run, _)| run);
            if cluster.source == Source::User && cluster.submit.is_none()
                || run.is_some_and(|run| !self.runs.contains_key(&run))
            {
                let key = RecordKey::Cluster {
                    top: cluster.top(),
                    cluster: id,
                };
                return Err(RestoreError::Orphan { key });
            }
            cluster.derive();
            self.prepare(id);
        }
        self.jobs_live = self
            .clusters
            .values()
            .map(|cluster| u64::from(cluster.live()))
            .sum();
        Ok(())
    }

    /// Works out a cluster's items and its place among the waiting.
    pub(crate) fn prepare(&mut self, id: u32) {
        let cluster = &self.clusters[&id];
        let items = match cluster.source {
            Source::Study { .. } => None,
            Source::User | Source::Node { .. } => self
                .submit_of(cluster)
                .procs(&cluster.macros)
                .ok()
                .map(|items| self.shapes.share(items)),
        };
        let path = self.path_of(cluster);
        let logs = self.logs(cluster);
        let cluster = self.clusters.get_mut(&id).expect("it was just read");
        cluster.items = items;
        cluster.path = path;
        cluster.logs = logs;
        let batch = self.batch_of(&self.clusters[&id]);
        let cluster = self.clusters.get_mut(&id).expect("it was just read");
        cluster.batch = batch;
        let watching = self.watching(&self.clusters[&id]);
        let cluster = self.clusters.get_mut(&id).expect("it was just read");
        cluster.watching = watching;
        let limits = self.materialize_of(&self.clusters[&id]);
        let cluster = self.clusters.get_mut(&id).expect("it was just read");
        cluster.open_window(limits);
        self.place(id);
    }

    /// The longest remaining way through its DAG, of a cluster.
    fn path_of(&self, cluster: &Cluster) -> u64 {
        let Some((run, node)) = cluster.node() else {
            return 0;
        };
        self.runs[&run].way_ms(node)
    }

    /// A job of a run's node took so long: where that changes what is left of ways, those who wait
    /// stand by the new ones.
    pub(crate) fn node_took(&mut self, run: u32, node: u32, ms: u64) {
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        if entry.took(node, ms) == Ways::AsBefore {
            return;
        }
        let busy = entry.turns.running.iter();
        let clusters = busy.filter_map(|node| entry.nodes[*node as usize].cluster);
        let clusters: Vec<u32> = clusters.collect();
        for id in clusters {
            let Some(cluster) = self.clusters.get(&id) else {
                continue;
            };
            let path = self.path_of(cluster);
            if path == cluster.path {
                continue;
            }
            let cluster = self.clusters.get_mut(&id).expect("it was just read");
            cluster.path = path;
            match cluster.placed.sorting {
                Sorting::Each { .. } => self.displace(id),
                Sorting::Unknown | Sorting::Alike { .. } => self.place(id),
            }
        }
    }

    /// The pool has these rules from now on.
    pub(crate) fn rules_set(&mut self, rules: &Arc<Rules>) {
        self.rules = rules.clone();
        self.dirty.insert(RecordKey::Rules);
        self.negotiation.order = Order::new(&rules.order, &rules.weight);
        self.negotiation.forget_answers();
        let names: Vec<WorkerName> = self.pool.workers.keys().cloned().collect();
        for name in names {
            self.slot_changed(&name, Change::Advert);
        }
        self.agenda.add_match();
    }

    /// The proc's record, made if nothing happened to it before.
    pub(crate) fn touch(&mut self, job: JobId) -> &mut Proc {
        let cluster = self
            .clusters
            .get_mut(&job.cluster)
            .expect("events name jobs that exist");
        let top = cluster.top();
        self.dirty.insert(RecordKey::Proc { top, job });
        if !cluster.procs.contains_key(&job.proc) {
            cluster.procs.insert(job.proc, cluster.untouched());
            if cluster.rest == Rest::Idle {
                cluster.idle.insert(job.proc);
            }
            while cluster.procs.contains_key(&cluster.fresh_from) {
                cluster.fresh_from += 1;
                self.dirty.insert(RecordKey::Cluster {
                    top,
                    cluster: job.cluster,
                });
            }
        }
        cluster.procs.get_mut(&job.proc).expect("it was just made")
    }

    /// The macros a node's jobs see: those of the run, its own, what DAGMan gives, and `best.*` of
    /// the studies among its parents.
    pub(crate) fn node_macros(&self, run: u32, node: u32) -> Macros {
        let run = &self.runs[&run];
        let (written, record) = (&run.dag.nodes[node as usize], &run.nodes[node as usize]);
        let parents = run.dag.parents_of(node);
        let mut macros = Macros::new();
        for (name, value) in &run.given {
            macros.insert_before(name, value);
        }
        for own in written.macros().iter() {
            match own.placement {
                Placement::Before => macros.insert_before(&own.name, &own.value),
                Placement::After => macros.insert(&own.name, &own.value),
            }
        }
        let priority = run.priority_of(node);
        if priority != 0 {
            // As DAGMan has it, over what the description says.
            macros.insert("priority", priority);
        }
        let names = parents.iter().map(|parent| run.node_name(*parent));
        let names = names.collect::<Vec<_>>().join(",");
        macros.insert("RETRY", record.retries);
        macros.insert("DAG_STATUS", run.dag_status());
        macros.insert("FAILED_COUNT", run.counts().failed);
        macros.insert("DAGManJobId", run.id);
        macros.insert("DAG_PARENT_NAMES", &names);
        let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        macros.insert("My.DAGNodeName", text(&written.name));
        macros.insert("My.DAGManJobId", run.id);
        macros.insert("My.DAGManNodeRetry", record.retries);
        if names.len() <= PARENT_NAMES_BYTES_MAX {
            macros.insert("My.DAGParentNodeNames", text(&names));
        }
        for parent in parents {
            let Some((number, value, trial)) = run.best_of(parent) else {
                continue;
            };
            for (name, param) in &trial.params {
                macros.insert(&format!("best.{name}"), param);
            }
            macros.insert("best.value", value);
            macros.insert("best.trial", number);
        }
        macros
    }
}

impl Cluster {
    /// Procs that are not final.
    pub(crate) fn live(&self) -> u32 {
        self.count - self.tally.completed - self.tally.removed
    }
}
