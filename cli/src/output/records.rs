//! What `-o json` prints: one struct a noun, each key stable. HTCondor's attribute names occur only
//! inside ads.
//!
//! A value that is not known is `null`, never left out; a time stands twice, as RFC 3339 in UTC and
//! in milliseconds.

use std::collections::BTreeMap;

use proto::wire;
use serde::Serialize;
use serde_json::Value;

use super::time::rfc3339;

mod shares;
mod sums;
mod why;

pub use shares::{GroupShare, LimitUse, UserShare};
pub use sums::{Batch, Custom, Device, Happening, User};
pub use why::{Causes, Why};

/// A job of the queue or the history.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// `cluster.proc`.
    pub id: String,
    /// How many identical idle procs, from `id` on, the record stands for.
    pub count: u64,
    pub owner: String,
    /// `Idle`, `Running`, `Held`, `Completed` or `Removed`.
    pub status: String,
    /// Ended as its description calls success.
    pub succeeded: bool,
    pub command: String,
    pub priority: i64,
    /// The DAG run and node that it is part of.
    pub run: Option<u32>,
    pub node: Option<String>,
    /// The trial's number, in a study.
    pub trial: Option<u32>,
    /// Starts so far.
    pub attempts: u32,
    /// Where it runs, or ran last.
    pub worker: Option<String>,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub submitted: Option<String>,
    pub submitted_ms: u64,
    pub started: Option<String>,
    pub started_ms: Option<u64>,
    pub ended: Option<String>,
    pub ended_ms: Option<u64>,
    pub hold_code: Option<i32>,
    pub hold_reason: Option<String>,
    /// Why a job that has ended did not succeed.
    pub failure_reason: Option<String>,
    pub removed_reason: Option<String>,
    /// The last value that it reported under each name.
    pub metrics: BTreeMap<String, f64>,
    pub user_cpu_ms: u64,
    pub system_cpu_ms: u64,
    pub rss_max_kib: u64,
}

/// A DAG run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub id: u32,
    pub owner: String,
    pub file: String,
    pub directory: String,
    /// `Running`, `Completed`, `Failed` or `Removed`.
    pub status: String,
    pub submitted: Option<String>,
    pub submitted_ms: u64,
    pub ended: Option<String>,
    pub ended_ms: Option<u64>,
    pub nodes_total: u32,
    pub nodes_waiting: u32,
    pub nodes_running: u32,
    pub nodes_done: u32,
    pub nodes_failed: u32,
    /// Nodes that can never run because one before them failed.
    pub nodes_futile: u32,
    /// Of a sub-DAG: the run and the node that it belongs to.
    pub parent: Option<u32>,
    pub parent_node: Option<String>,
    /// `Open`, `Halted` or `Held`.
    pub halt: String,
    /// What DAGMan would have exited with.
    pub exit: Option<u32>,
    /// Why it ended before its nodes did.
    pub cut: Option<String>,
    pub throttles: Throttles,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
    /// What SET_JOB_ATTR says, as text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Present where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
}

/// Limits of a DAG run; 0 is none.
#[derive(Clone, Debug, Serialize)]
pub struct Throttles {
    pub max_jobs: u32,
    pub max_idle: u32,
    pub max_pre: u32,
    pub max_post: u32,
    pub max_hold: u32,
}

/// Nodes that are limited together.
#[derive(Clone, Debug, Serialize)]
pub struct Category {
    pub name: String,
    pub limit: Option<u32>,
    /// Those that have jobs in the queue.
    pub busy: u32,
}

/// A node of a DAG run.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    pub name: String,
    /// `job`, `study`, `noop` or `subdag`.
    pub kind: String,
    /// `Waiting`, `Pre`, `Ready`, `Preparing`, `Running`, `Post`, `Done`, `Failed` or `Futile`.
    pub status: String,
    pub cluster: Option<u32>,
    pub attempts: u32,
    pub reason: Option<String>,
    pub parents: Vec<String>,
    pub trials_ended: u32,
    pub trials_total: u32,
    pub macros: BTreeMap<String, String>,
    pub metrics: BTreeMap<String, f64>,
    /// Files that its job brought back, relative to the DAG's directory.
    pub outputs: Vec<String>,
    /// The DAG run that its sub-DAG is.
    pub subrun: Option<u32>,
    /// `normal`, `final`, `service` or `provisioner`.
    pub role: String,
    /// Why it waits though its parents have ended.
    pub waits: Option<String>,
}

/// A worker and what is carved from it.
#[derive(Clone, Debug, Serialize)]
pub struct Worker {
    pub name: String,
    /// `Unclaimed`, `Claimed`, `Draining`, `Drained` or `Offline`.
    pub state: String,
    /// `graceful`, `quick` or `fast`, of a worker that is drained.
    pub drain_mode: Option<String>,
    pub drain_reason: Option<String>,
    pub version: String,
    pub cpus: u32,
    pub cpus_free: u32,
    pub memory_mib: u64,
    pub memory_mib_free: u64,
    pub gpus: u32,
    pub gpus_free: u32,
    pub gpus_simulated: bool,
    pub last_heard_ms_ago: u64,
    pub slots: Vec<Slot>,
    /// Its GPUs.
    pub devices: Vec<Device>,
    /// Custom resources.
    pub custom: Vec<Custom>,
    /// The ad in long form, where it was asked for.
    pub ad: Option<String>,
}

/// A dynamic slot.
#[derive(Clone, Debug, Serialize)]
pub struct Slot {
    pub name: String,
    pub job: String,
    pub claim: String,
    /// `Busy` or `Vacating`.
    pub activity: String,
    pub cpus: u32,
    pub memory_mib: u64,
    pub gpus: Vec<String>,
    /// What it has of the memory of each of them; `null` is all.
    pub gpu_memory_mib: Option<u64>,
    pub owner: String,
    pub since: Option<String>,
    pub since_ms: u64,
}

/// A study of a DAG run.
#[derive(Clone, Debug, Serialize)]
pub struct Study {
    pub run: u32,
    pub node: String,
    pub metric: String,
    /// `minimize` or `maximize`.
    pub goal: String,
    /// `Waiting`, `Running`, `Completed` or `Failed`.
    pub status: String,
    pub trials_total: u32,
    /// Number of the best trial so far.
    pub incumbent: Option<u32>,
    pub trials: Vec<Trial>,
}

/// A trial of a study.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    pub number: u32,
    /// `Idle`, `Running`, `Completed` or `Failed`.
    pub status: String,
    pub value: Option<f64>,
    pub default_params: bool,
    pub params: BTreeMap<String, Value>,
    pub metrics: BTreeMap<String, f64>,
    pub job: Option<String>,
    pub worker: Option<String>,
    pub reason: Option<String>,
    pub started: Option<String>,
    pub started_ms: Option<u64>,
    pub ended: Option<String>,
    pub ended_ms: Option<u64>,
}

/// What became of one id of `hold`, `release`, `rm`, `prio`, `qedit` and `vacate`.
#[derive(Clone, Debug, Serialize)]
pub struct Acted {
    pub id: String,
    pub jobs_changed: u64,
    /// Of those, with `prio` and `qedit`: for which it counts from their next start.
    pub jobs_running: u64,
    pub error: Option<String>,
    pub unknown: bool,
}

/// Absent where a message has a text that says nothing.
pub fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<wire::Job> for Job {
    fn from(job: wire::Job) -> Job {
        let held = job.status == "Held";
        Job {
            id: job.id,
            count: job.count.max(1),
            owner: job.owner,
            status: job.status,
            succeeded: job.succeeded,
            command: job.command,
            priority: job.priority,
            run: (job.run != 0).then_some(job.run),
            node: filled(job.node),
            trial: job.trial,
            attempts: job.attempts,
            worker: filled(job.worker),
            exit_code: job.exit_code,
            exit_signal: job.exit_signal,
            submitted: rfc3339(job.submitted_ms),
            submitted_ms: job.submitted_ms,
            started: job.started_ms.and_then(rfc3339),
            started_ms: job.started_ms,
            ended: job.ended_ms.and_then(rfc3339),
            ended_ms: job.ended_ms,
            hold_code: held.then_some(job.hold_code),
            hold_reason: filled(if held {
                job.hold_reason.clone()
            } else {
                String::new()
            }),
            failure_reason: filled(if held { String::new() } else { job.hold_reason }),
            removed_reason: filled(job.removed_reason),
            metrics: job.metrics,
            user_cpu_ms: job.user_cpu_ms,
            system_cpu_ms: job.system_cpu_ms,
            rss_max_kib: job.rss_max_kib,
        }
    }
}

impl From<wire::Run> for Run {
    fn from(run: wire::Run) -> Run {
        let counts = run.counts.unwrap_or_default();
        Run {
            id: run.id,
            owner: run.owner,
            file: run.file,
            directory: run.directory,
            status: run.status,
            submitted: rfc3339(run.submitted_ms),
            submitted_ms: run.submitted_ms,
            ended: run.ended_ms.and_then(rfc3339),
            ended_ms: run.ended_ms,
            nodes_total: counts.total,
            nodes_waiting: counts.waiting,
            nodes_running: counts.running,
            nodes_done: counts.done,
            nodes_failed: counts.failed,
            nodes_futile: counts.futile,
            parent: (run.parent != 0).then_some(run.parent),
            parent_node: filled(run.parent_node),
            halt: run.halt,
            exit: run.exit,
            cut: filled(run.cut),
            throttles: Throttles::from(run.throttles.unwrap_or_default()),
            categories: run.categories.into_iter().map(Category::from).collect(),
            attributes: run.attributes.into_iter().collect(),
            nodes: run.nodes.into_iter().map(Node::from).collect(),
        }
    }
}

impl From<wire::Throttles> for Throttles {
    fn from(throttles: wire::Throttles) -> Throttles {
        Throttles {
            max_jobs: throttles.max_jobs,
            max_idle: throttles.max_idle,
            max_pre: throttles.max_pre,
            max_post: throttles.max_post,
            max_hold: throttles.max_hold,
        }
    }
}

impl From<wire::Category> for Category {
    fn from(category: wire::Category) -> Category {
        Category {
            name: category.name,
            limit: category.limit,
            busy: category.busy,
        }
    }
}

impl From<wire::Node> for Node {
    fn from(node: wire::Node) -> Node {
        Node {
            name: node.name,
            kind: node.kind,
            status: node.status,
            cluster: (node.cluster != 0).then_some(node.cluster),
            attempts: node.attempts,
            reason: filled(node.reason),
            parents: node.parents,
            trials_ended: node.trials_ended,
            trials_total: node.trials_total,
            macros: node.macros,
            metrics: node.metrics,
            outputs: node.outputs,
            subrun: (node.subrun != 0).then_some(node.subrun),
            role: node.role,
            waits: filled(node.waits),
        }
    }
}

impl From<wire::Worker> for Worker {
    fn from(worker: wire::Worker) -> Worker {
        Worker {
            name: worker.name,
            state: worker.state,
            drain_mode: filled(worker.drain_mode),
            drain_reason: filled(worker.drain_reason),
            version: worker.version,
            cpus: worker.cpus,
            cpus_free: worker.cpus_free,
            memory_mib: worker.memory_mib,
            memory_mib_free: worker.memory_mib_free,
            gpus: worker.gpus,
            gpus_free: worker.gpus_free,
            gpus_simulated: worker.gpus_simulated,
            last_heard_ms_ago: worker.last_heard_ms_ago,
            slots: worker.slots.into_iter().map(Slot::from).collect(),
            devices: worker.devices.into_iter().map(Device::from).collect(),
            custom: worker.custom.into_iter().map(Custom::from).collect(),
            ad: filled(worker.ad),
        }
    }
}

impl From<wire::Slot> for Slot {
    fn from(slot: wire::Slot) -> Slot {
        Slot {
            name: slot.name,
            job: slot.job,
            claim: slot.claim,
            activity: slot.activity,
            cpus: slot.cpus,
            memory_mib: slot.memory_mib,
            gpus: slot.gpus,
            gpu_memory_mib: slot.gpu_memory_mib,
            owner: slot.owner,
            since: rfc3339(slot.since_ms),
            since_ms: slot.since_ms,
        }
    }
}

impl From<wire::Study> for Study {
    fn from(study: wire::Study) -> Study {
        Study {
            run: study.run,
            node: study.node,
            metric: study.metric,
            goal: study.goal,
            status: study.status,
            trials_total: study.trials_total,
            incumbent: study.incumbent,
            trials: study.trials.into_iter().map(Trial::from).collect(),
        }
    }
}

impl From<wire::Trial> for Trial {
    fn from(trial: wire::Trial) -> Trial {
        let value = |json: String| serde_json::from_str(&json).unwrap_or(Value::String(json));
        let params = trial
            .params
            .into_iter()
            .map(|param| (param.name, value(param.json)));
        Trial {
            number: trial.number,
            status: trial.status,
            value: trial.value,
            default_params: trial.default_params,
            params: params.collect(),
            metrics: trial.metrics,
            job: filled(trial.job),
            worker: filled(trial.worker),
            reason: filled(trial.reason),
            started: trial.started_ms.and_then(rfc3339),
            started_ms: trial.started_ms,
            ended: trial.ended_ms.and_then(rfc3339),
            ended_ms: trial.ended_ms,
        }
    }
}

impl From<wire::Acted> for Acted {
    fn from(acted: wire::Acted) -> Acted {
        Acted {
            id: acted.id,
            jobs_changed: acted.changed,
            jobs_running: acted.running,
            error: filled(acted.error),
            unknown: acted.unknown,
        }
    }
}
