//! Jobs: clusters of procs, and what state each proc is in.
//!
//! A cluster of a million idle procs is one record: a proc gets a [`Proc`] of its own when
//! something happens to it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use classad::ClassAd;
use dags::dag::NodeKind;
use dags::submit::{Items, JobSpec, Macros, Submit};
use proto::nouns::{ClaimId, Ended, Exceeds, JobId, Report, WorkerName};
use serde::{Deserialize, Serialize};

use crate::edits::Edits;
use crate::event::Taken;
use crate::materialize::Window;
use crate::negotiator::Placed;
use crate::policy::Watching;
use crate::queue::Queue;
use crate::raised::Raised;
use crate::rest::Rest;

/// A cluster: jobs from one submit description under one set of macros.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    pub id: u32,
    pub owner: String,
    pub submitted_ms: u64,
    pub source: Source,
    /// The description, of a user's cluster. A node's is its DAG's. Immutable, in a record of its
    /// own.
    #[serde(skip)]
    pub submit: Option<Arc<Submit>>,
    /// What the paths of its description are relative to, itself relative to the workspace.
    pub dir: String,
    pub macros: Macros,
    /// Number of procs. Grows only in a study's cluster, by one for each trial.
    pub count: u32,
    /// All procs from here on that have no [`Proc`] are idle and were never touched.
    pub fresh_from: u32,
    /// What each of its procs asks for from the start: what the last attempt of its node came to.
    pub raised: Raised,
    /// The state of those without a [`Proc`], where they were held or removed all together.
    pub rest: Rest,
    /// Attributes that somebody changed since, of all its jobs that were not over; in order.
    pub edits: Vec<Edits>,
    /// Those that something happened to.
    #[serde(skip)]
    pub procs: BTreeMap<u32, Proc>,
    /// Item rows of the queue statement, derived from the description and the macros.
    #[serde(skip)]
    pub(crate) items: Option<Arc<Items>>,
    #[serde(skip)]
    pub(crate) tally: Tally,
    /// Touched procs that are idle.
    #[serde(skip)]
    pub(crate) idle: BTreeSet<u32>,
    /// The longest remaining way through the DAG, itself included.
    #[serde(skip)]
    pub(crate) path: u64,
    /// Whether something of what decides where jobs run has become some proc's own.
    #[serde(skip)]
    pub(crate) varied: bool,
    /// Where its idle procs stand among those who wait.
    #[serde(skip)]
    pub(crate) placed: Placed,
    /// The name that its submitter gave to what it is a part of.
    #[serde(skip)]
    pub(crate) batch: Option<String>,
    /// Whether its jobs may have a user log.
    #[serde(skip)]
    pub(crate) logs: Logs,
    /// What is looked at while its jobs wait, run or are held.
    #[serde(skip)]
    pub(crate) watching: Watching,
    /// Which of its idle procs are jobs by now.
    #[serde(skip)]
    pub(crate) window: Window,
}

/// Whether a description names a user log: what says no is believed, what says perhaps is expanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Logs {
    #[default]
    Never,
    Perhaps,
}

/// Where a cluster comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A submit description that somebody submitted.
    User,
    /// A job node of a DAG run.
    Node { run: u32, node: u32 },
    /// A study node of a DAG run: proc n is trial n.
    Study { run: u32, node: u32 },
}

/// A proc that something happened to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proc {
    pub state: ProcState,
    /// When it entered this state.
    pub since_ms: u64,
    /// Starts so far.
    pub attempts: u32,
    /// Of those, the ones that counted against `max_retries`.
    pub retries: u32,
    /// Workers that could not start it, once for each time. Others are preferred.
    pub faulted_on: Vec<WorkerName>,
    /// Whether it was removed because it cannot be run as it is.
    pub unfit: bool,
    /// What it asks for since it needed more than it had.
    pub raised: Raised,
    /// Attributes that somebody changed since, of this job alone.
    pub edits: ClassAd,
    /// What it did until now.
    pub past: Past,
    /// The job as it was matched, where its description takes something from the machine.
    pub filled: Option<Box<JobSpec>>,
}

/// What a proc's ad tells of earlier attempts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Times that its program ran to an end.
    pub completions: u32,
    pub holds: u32,
    /// When it was first claimed.
    pub first_claimed_ms: Option<u64>,
    /// When it was claimed the last time.
    pub claimed_ms: Option<u64>,
    /// When its program started in that attempt.
    pub executing_ms: Option<u64>,
    /// How long it had claims, all attempts together, less the one under way.
    pub claimed_for_ms: u64,
    /// Where it ran the last time.
    pub worker: Option<WorkerName>,
    /// When it last lost a claim before its end.
    pub vacated_ms: Option<u64>,
    /// Claims that it lost before its end: the worker was silent, gone or drained, or another job
    /// went first.
    pub lost: u32,
    /// Of those, the ones before it was last released: they do not count any more.
    pub forgiven: u32,
    /// How its program ended the last time.
    pub exit: Option<Ended>,
}

/// HTCondor's job states, with what is known in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ProcState {
    Idle,
    /// Claimed: staging or running on a worker.
    Running {
        claim: ClaimId,
        worker: WorkerName,
        phase: Phase,
        taken: Arc<Taken>,
        gpus: Vec<String>,
        /// Sent ahead: it follows this claim in its slot.
        behind: Option<ClaimId>,
    },
    /// Its result is accepted; its files are being put where the user asked.
    Landing {
        ending: Box<Ending>,
    },
    Held {
        code: HoldCode,
        reason: String,
        /// Of a job that ran to its end, and whose files could not be written.
        ending: Option<Box<Ending>>,
    },
    Completed {
        ending: Box<Ending>,
    },
    Removed {
        reason: String,
    },
}

/// How far a claimed job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Sent ahead to its worker, where it waits for its slot.
    Ahead,
    Staging,
    Executing,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    pub worker: WorkerName,
    pub report: Report,
    /// Why it counts as failed; nothing if it succeeded.
    pub failure: Option<String>,
    /// It is held when its files are where they belong, instead of completed.
    pub hold: Option<PolicyHold>,
}

/// A hold that a job's own policy asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyHold {
    pub code: HoldCode,
    pub reason: String,
}

/// HTCondor's hold codes, those that occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldCode {
    UserRequest,
    /// `on_exit_hold` or `periodic_hold` is true; with its subcode.
    JobPolicy(i32),
    /// A policy has no value, or a `$$(…)` of the description has none on the machine.
    JobPolicyUndefined,
    FailedToCreateProcess,
    TransferOutput,
    TransferInput,
    /// The description says `hold = true`.
    SubmittedOnHold,
    /// Too many workers could not start it.
    WorkerFaults,
    /// It lost its claim more often than it may.
    SystemPolicy,
    /// It needs more of something than it asked for.
    OutOfResources(Exceeds),
    /// `allowed_job_duration` is over.
    JobDuration,
    /// `allowed_execute_duration` is over.
    ExecuteDuration,
}

/// How many procs of a cluster are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In what [`Cluster::tally`] gives: those that are jobs by now.
    pub idle: u32,
    /// Idle procs that are no jobs yet: `max_materialize`, `max_idle`.
    pub unmaterialized: u32,
    /// Of the idle those that were sent ahead to a worker.
    pub ahead: u32,
    pub running: u32,
    pub held: u32,
    pub completed: u32,
    /// Of the completed.
    pub failed: u32,
    pub removed: u32,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster or DAG run whose workspace and records these are.
    pub fn top(&self) -> u32 {
        match self.source {
            Source::User => self.id,
            Source::Node { run, .. } | Source::Study { run, .. } => run,
        }
    }

    /// The DAG run and node that this cluster works for.
    pub fn node(&self) -> Option<(u32, u32)> {
        match self.source {
            Source::User => None,
            Source::Node { run, node } | Source::Study { run, node } => Some((run, node)),
        }
    }

    /// Whether nothing of it will ever run again.
    pub fn ended(&self) -> bool {
        self.tally.completed + self.tally.removed == self.count
    }

    /// How many procs are untouched and idle.
    pub fn fresh_count(&self) -> u64 {
        match self.rest {
            Rest::Idle => self.rest_count(),
            Rest::Held { .. } | Rest::Removed { .. } => 0,
        }
    }

    /// Whether a proc waits for a place.
    pub(crate) fn is_idle(&self, proc: u32) -> bool {
        match self.procs.get(&proc) {
            Some(record) => record.state == ProcState::Idle,
            None => proc < self.count && self.rest.is_idle(),
        }
    }

    /// How many procs wait for a place.
    pub(crate) fn idle_count(&self) -> u32 {
        let fresh = u32::try_from(self.fresh_count()).unwrap_or(u32::MAX);
        fresh.saturating_add(u32::try_from(self.idle.len()).unwrap_or(u32::MAX))
    }

    /// Untouched idle procs, in order.
    pub fn fresh(&self) -> impl Iterator<Item = u32> + '_ {
        let fresh = match self.rest {
            Rest::Idle => Some(self.rest_from(0)),
            Rest::Held { .. } | Rest::Removed { .. } => None,
        };
        fresh.into_iter().flatten()
    }

    /// The proc's own record, or what an untouched one would say.
    pub fn proc(&self, proc: u32) -> Option<Proc> {
        if proc >= self.count {
            return None;
        }
        Some(
            self.procs
                .get(&proc)
                .cloned()
                .unwrap_or_else(|| self.untouched()),
        )
    }

    /// The job as it was matched, where that is more than its description.
    pub(crate) fn filled(&self, proc: u32) -> Option<&JobSpec> {
        self.procs.get(&proc)?.filled.as_deref()
    }

    /// The proc's row of items.
    pub(crate) fn row(&self, proc: u32) -> &[String] {
        match &self.items {
            Some(items) => items.row(proc),
            None => &[],
        }
    }

    /// Rebuilds what is derived from the records.
    pub(crate) fn derive(&mut self) {
        self.tally = Tally::default();
        let rest = u32::try_from(self.rest_count()).expect("no more than the cluster has");
        *self.tally.of(&self.untouched().state) = rest;
        self.idle.clear();
        self.varied = self
            .procs
            .values()
            .any(|proc| !proc.raised.is_nothing() || !proc.edits.is_empty());
        for (number, proc) in &self.procs {
            self.tally.add(&proc.state);
            if proc.state == ProcState::Idle {
                self.idle.insert(*number);
            }
        }
    }
}

/// A seed of the trial's own, for jobs that draw: below 2^31, so that every language can hold it.
fn trial_seed(study: &str, trial: u32) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(study.as_bytes());
    hasher.update(&trial.to_le_bytes());
    let hash = hasher.finalize();
    let head = hash
        .as_bytes()
        .first_chunk::<4>()
        .expect("a hash has 32 bytes");
    u32::from_le_bytes(*head) >> 1
}

// === impl Past ===

impl Past {
    /// Claims that count against `max_job_restarts`.
    pub(crate) fn lost_since_release(&self) -> u32 {
        self.lost.saturating_sub(self.forgiven)
    }
}

// === impl Proc ===

impl Proc {
    pub(crate) fn is_removed(&self) -> bool {
        matches!(self.state, ProcState::Removed { .. })
    }

    pub(crate) fn fresh(since_ms: u64) -> Proc {
        Proc {
            state: ProcState::Idle,
            since_ms,
            attempts: 0,
            retries: 0,
            faulted_on: Vec::new(),
            raised: Raised::default(),
            past: Past::default(),
            edits: ClassAd::new(),
            filled: None,
            unfit: false,
        }
    }

    /// The claim it runs under.
    pub fn claim(&self) -> Option<ClaimId> {
        match &self.state {
            ProcState::Running { claim, .. } => Some(*claim),
            ProcState::Idle
            | ProcState::Landing { .. }
            | ProcState::Held { .. }
            | ProcState::Completed { .. }
            | ProcState::Removed { .. } => None,
        }
    }

    /// How it ended, while its files are being written.
    pub(crate) fn landing(&self) -> Option<&Ending> {
        match &self.state {
            ProcState::Landing { ending } => Some(ending),
            ProcState::Idle
            | ProcState::Running { .. }
            | ProcState::Held { .. }
            | ProcState::Completed { .. }
            | ProcState::Removed { .. } => None,
        }
    }

    /// How it ended, once it did by itself.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.state {
            ProcState::Landing { ending } | ProcState::Completed { ending } => Some(ending),
            ProcState::Idle
            | ProcState::Running { .. }
            | ProcState::Held { .. }
            | ProcState::Removed { .. } => None,
        }
    }
}

// === impl ProcState ===

impl ProcState {
    /// HTCondor's name for the state.
    pub fn name(&self) -> &'static str {
        match self {
            ProcState::Idle
            | ProcState::Running {
                phase: Phase::Ahead,
                ..
            } => "Idle",
            ProcState::Running { .. } | ProcState::Landing { .. } => "Running",
            ProcState::Held { .. } => "Held",
            ProcState::Completed { .. } => "Completed",
            ProcState::Removed { .. } => "Removed",
        }
    }

    /// HTCondor's number for the state (`JobStatus`).
    pub fn number(&self) -> i64 {
        match self {
            ProcState::Idle
            | ProcState::Running {
                phase: Phase::Ahead,
                ..
            } => 1,
            ProcState::Running { .. } | ProcState::Landing { .. } => 2,
            ProcState::Removed { .. } => 3,
            ProcState::Completed { .. } => 4,
            ProcState::Held { .. } => 5,
        }
    }

    /// 1 for a job that was sent ahead to its worker and has not begun.
    pub(crate) fn is_ahead(&self) -> u32 {
        match self {
            ProcState::Running { phase, .. } => u32::from(*phase == Phase::Ahead),
            ProcState::Idle
            | ProcState::Landing { .. }
            | ProcState::Held { .. }
            | ProcState::Completed { .. }
            | ProcState::Removed { .. } => 0,
        }
    }

    /// 1 for a job that completed and failed.
    fn failed(&self) -> u32 {
        match self {
            ProcState::Completed { ending } => u32::from(ending.failure.is_some()),
            ProcState::Idle
            | ProcState::Running { .. }
            | ProcState::Landing { .. }
            | ProcState::Held { .. }
            | ProcState::Removed { .. } => 0,
        }
    }

    /// Whether it will never change again.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            ProcState::Completed { .. } | ProcState::Removed { .. }
        )
    }
}

// === impl HoldCode ===

impl HoldCode {
    /// HTCondor's `HoldReasonCode`.
    pub fn number(self) -> i32 {
        match self {
            HoldCode::UserRequest => 1,
            HoldCode::JobPolicy(_) => 3,
            HoldCode::JobPolicyUndefined => 5,
            HoldCode::FailedToCreateProcess => 6,
            HoldCode::TransferOutput => 12,
            HoldCode::TransferInput => 13,
            HoldCode::SubmittedOnHold => 15,
            HoldCode::WorkerFaults => 21,
            HoldCode::SystemPolicy => 26,
            HoldCode::OutOfResources(_) => 34,
            HoldCode::JobDuration => 46,
            HoldCode::ExecuteDuration => 47,
        }
    }

    /// HTCondor's `HoldReasonSubCode`.
    pub fn subcode(self) -> i32 {
        match self {
            HoldCode::JobPolicy(subcode) => subcode,
            HoldCode::OutOfResources(Exceeds::Memory) => 102,
            HoldCode::OutOfResources(Exceeds::GpuMemory) => 103,
            HoldCode::OutOfResources(Exceeds::Disk) => 104,
            HoldCode::UserRequest
            | HoldCode::JobPolicyUndefined
            | HoldCode::FailedToCreateProcess
            | HoldCode::TransferOutput
            | HoldCode::TransferInput
            | HoldCode::SubmittedOnHold
            | HoldCode::WorkerFaults
            | HoldCode::SystemPolicy
            | HoldCode::JobDuration
            | HoldCode::ExecuteDuration => 0,
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn add(&mut self, state: &ProcState) {
        self.ahead += state.is_ahead();
        *self.of(state) += 1;
        self.failed += state.failed();
    }

    pub(crate) fn remove(&mut self, state: &ProcState) {
        self.ahead -= state.is_ahead();
        *self.of(state) -= 1;
        self.failed -= state.failed();
    }

    pub(crate) fn of(&mut self, state: &ProcState) -> &mut u32 {
        match state {
            ProcState::Idle
            | ProcState::Running {
                phase: Phase::Ahead,
                ..
            } => &mut self.idle,
            ProcState::Running { .. } | ProcState::Landing { .. } => &mut self.running,
            ProcState::Held { .. } => &mut self.held,
            ProcState::Completed { .. } => &mut self.completed,
            ProcState::Removed { .. } => &mut self.removed,
        }
    }
}

// === impl Queue ===

impl Queue {
    /// The proc's record and its cluster.
    pub fn job(&self, job: JobId) -> Option<(&Cluster, Proc)> {
        let cluster = self.clusters.get(&job.cluster)?;
        Some((cluster, cluster.proc(job.proc)?))
    }

    /// The record of a job that something happened to.
    pub(crate) fn touched(&self, job: JobId) -> Option<&Proc> {
        self.clusters.get(&job.cluster)?.procs.get(&job.proc)
    }

    /// The description that a cluster's jobs are expanded from.
    pub(crate) fn submit_of<'a>(&'a self, cluster: &'a Cluster) -> &'a Submit {
        match cluster.source {
            Source::User => cluster
                .submit
                .as_deref()
                .expect("a user's cluster has its description"),
            Source::Node { run, node } | Source::Study { run, node } => {
                let run = self
                    .runs
                    .get(&run)
                    .expect("a run outlives the clusters of its nodes");
                let submit = run.dag.submit_of(node);
                submit.expect("nodes with jobs have a description")
            }
        }
    }

    /// [`Queue::shared_spec`], of which no ad is wanted.
    ///
    /// # Errors
    /// As there.
    pub fn spec(&self, cluster: &Cluster, proc: u32) -> Result<Arc<JobSpec>, String> {
        self.shared_spec(cluster, proc)
    }

    /// The macros that a job's description is expanded with.
    pub(crate) fn macros_of<'a>(&self, cluster: &'a Cluster, proc: u32) -> Cow<'a, Macros> {
        let mut macros = Cow::Borrowed(&cluster.macros);
        if let Source::Study { run, node } = cluster.source {
            self.trial_macros(run, node, proc, macros.to_mut());
        }
        macros
    }

    fn trial_macros(&self, run: u32, node: u32, trial: u32, macros: &mut Macros) {
        let trials = self.runs.get(&run).and_then(|run| run.studies.get(&node));
        let params = trials.and_then(|study| study.trials.get(trial as usize));
        for (name, value) in params.iter().flat_map(|trial| &trial.params) {
            macros.insert(name, value);
        }
        let name = self.runs.get(&run).map_or("", |run| run.node_name(node));
        macros.insert("trial", trial);
        macros.insert("study", name);
        macros.insert("seed", trial_seed(name, trial));
    }

    /// Whether a node of a DAG is a study.
    pub(crate) fn is_study(&self, run: u32, node: u32) -> bool {
        self.runs
            .get(&run)
            .is_some_and(|run| matches!(run.dag.nodes[node as usize].kind, NodeKind::Study { .. }))
    }
}
