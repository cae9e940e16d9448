//! The queue itself: what it holds, and the one door to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dags::submit::Macros;
use proto::nouns::{JobId, Now, WorkerName};

use crate::agenda::Agenda;
use crate::command::{Command, Refusal, Reply};
use crate::decide;
use crate::effect::Effect;
use crate::event::Event;
use crate::job::{Cluster, Proc, Source};
use crate::journal::Row;
use crate::pool::{Carve, Pool, Worker};
use crate::record::{Meta, RecordKey, RestoreError};
use crate::run::Run;
use crate::workspace::Workspace;

/// Everything the manager knows about work and workers.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(crate) limits: Limits,
    // Durable: each part has records.
    pub(crate) meta: Meta,
    pub(crate) clusters: BTreeMap<u32, Cluster>,
    pub(crate) runs: BTreeMap<u32, Run>,
    pub(crate) workspaces: BTreeMap<u32, Workspace>,
    pub(crate) drained: BTreeSet<WorkerName>,
    pub(crate) submit_keys: BTreeMap<String, u32>,
    // Soft: advertised or derived anew.
    pub(crate) pool: Pool,
    pub(crate) agenda: Agenda,
    /// Clusters with idle procs, first to be matched first.
    pub(crate) waiting: BTreeSet<Place>,
    pub(crate) dirty: BTreeSet<RecordKey>,
    /// Jobs that are not final, all clusters together.
    pub(crate) jobs_live: u64,
}

/// A cluster's place among the waiting: higher priority first, then the longer remaining way; among
/// studies that are equal so far the one with fewer trials, so that they end together; then the
/// older.
pub(crate) type Place = (std::cmp::Reverse<(i64, u32)>, u32, u32);

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
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WakeKind {
    Lease,
    Pause,
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
            drained: BTreeSet::new(),
            submit_keys: BTreeMap::new(),
            pool: Pool::default(),
            agenda: Agenda::default(),
            waiting: BTreeSet::new(),
            dirty: BTreeSet::from([RecordKey::Meta]),
            jobs_live: 0,
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
    /// and works off what follows from that.
    pub fn finish_turn(&mut self, now: Now) -> Step {
        let mut step = Step {
            reply: Ok(Reply::Done),
            rows: Vec::new(),
            effects: Vec::new(),
        };
        while self.agenda.take_match() {
            self.negotiate(now, &mut step);
            self.settle(now, &mut step);
        }
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
        self.carry_out(now, events, &mut step);
        step.effects.extend(effects);
        self.agenda.everything(self.runs.keys().copied());
        self.settle(now, &mut step);
        step
    }

    /// When to send [`Command::Tick`], on the monotonic clock, and why.
    pub fn next_deadline(&self) -> Option<(u64, WakeReason)> {
        let wakes = self.pool.workers.iter().flat_map(|(name, worker)| {
            let claims = worker.carves.values().map(Carve::expires_mono_ms).min();
            let silent = worker.heard_mono_ms.saturating_add(self.limits.lease_ms);
            let lease = (claims.unwrap_or(silent), WakeKind::Lease, name);
            let paused = worker.paused_until_mono_ms;
            std::iter::once(lease).chain(paused.map(|until| (until, WakeKind::Pause, name)))
        });
        let (at, kind, worker) = wakes.min()?;
        let worker = worker.clone();
        let reason = match kind {
            WakeKind::Lease => WakeReason::Lease { worker },
            WakeKind::Pause => WakeReason::Pause { worker },
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

    pub fn is_drained(&self, worker: &WorkerName) -> bool {
        self.drained.contains(worker)
    }

    /// Applies events one by one, and collects what they mean to watchers and to the shell.
    pub(crate) fn carry_out(&mut self, now: Now, events: Vec<Event>, step: &mut Step) {
        for event in events {
            self.apply(now, &event);
            step.rows.extend(self.row(now, &event));
            step.effects.extend(self.effects_of(&event));
        }
    }

    /// Works the agenda off.
    fn settle(&mut self, now: Now, step: &mut Step) {
        while let Some(item) = self.agenda.pop() {
            let (events, effects) = self.follow(now, item);
            self.carry_out(now, events, step);
            step.effects.extend(effects);
        }
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
                .map(Arc::new),
        };
        let precedence = self.precedence(cluster);
        let cluster = self.clusters.get_mut(&id).expect("it was just read");
        cluster.items = items;
        cluster.precedence = precedence;
        self.place(id);
    }

    /// Puts a cluster among the waiting, or takes it out.
    pub(crate) fn place(&mut self, id: u32) {
        let cluster = self
            .clusters
            .get_mut(&id)
            .expect("only clusters that are there are placed");
        if let Some(old) = cluster.placed.take() {
            self.waiting.remove(&old);
        }
        if cluster.tally.idle > 0 {
            let started = match cluster.source {
                Source::Study { .. } => cluster.count - cluster.tally.idle,
                Source::User | Source::Node { .. } => 0,
            };
            let place = (std::cmp::Reverse(cluster.precedence), started, id);
            cluster.placed = Some(place);
            self.waiting.insert(place);
        }
    }

    fn precedence(&self, cluster: &Cluster) -> (i64, u32) {
        let Some((run, node)) = cluster.node() else {
            let priority = self.spec_priority(cluster);
            return (priority, 0);
        };
        let dag = &self.runs[&run].dag;
        (
            dag.nodes[node as usize].priority,
            dag.path_len[node as usize],
        )
    }

    fn spec_priority(&self, cluster: &Cluster) -> i64 {
        let submit = self.submit_of(cluster);
        let macros = &cluster.macros;
        let row = submit
            .procs(macros)
            .ok()
            .map(|items| items.row(0).to_vec())
            .unwrap_or_default();
        submit
            .expand(macros, cluster.id, 0, &row)
            .map_or(0, |spec| spec.priority)
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
            cluster
                .procs
                .insert(job.proc, Proc::fresh(cluster.submitted_ms));
            cluster.idle.insert(job.proc);
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

    /// The macros a node's jobs see: its own, `RETRY`, and `best.*` of the studies among its
    /// parents.
    pub(crate) fn node_macros(&self, run: u32, node: u32) -> Macros {
        let run = &self.runs[&run];
        let mut macros = run.dag.nodes[node as usize].macros();
        macros.insert("RETRY", run.nodes[node as usize].attempts);
        for parent in &run.dag.nodes[node as usize].parents {
            let Some((number, value, trial)) = run.best_of(*parent) else {
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
