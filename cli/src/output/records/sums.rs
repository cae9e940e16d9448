//! The records of sums, devices and events.

use proto::wire;
use serde::Serialize;

use super::filled;
use crate::output::time::rfc3339;

/// What was submitted together: a DAG run, the clusters of one batch name, or a cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Batch {
    /// Stays the same as long as the batch is in the queue.
    pub key: String,
    pub owner: String,
    pub name: String,
    pub submitted: Option<String>,
    pub submitted_ms: u64,
    /// Jobs; of a DAG run, nodes.
    pub done: u64,
    pub failed: u64,
    pub running: u64,
    pub idle: u64,
    pub held: u64,
    pub total: u64,
    /// From its first to its last job.
    pub jobs: String,
    pub run: Option<u32>,
    /// It has left the queue.
    pub ended: bool,
}

/// What a user has in the queue.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    pub owner: String,
    pub idle: u64,
    pub running: u64,
    pub held: u64,
    pub done: u64,
    /// What the running jobs weigh in the shares.
    pub weight: f64,
}

/// A GPU of a worker.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    pub id: String,
    pub name: Option<String>,
    pub capability: Option<String>,
    pub memory_mib: u64,
    pub memory_mib_free: u64,
    /// The profile of a MIG instance.
    pub mig: Option<String>,
    /// `free`, `whole`, `shared` or `broken`.
    pub state: String,
    pub jobs: Vec<String>,
    /// Why it is broken.
    pub reason: Option<String>,
}

/// A custom resource of a worker.
#[derive(Clone, Debug, Serialize)]
pub struct Custom {
    pub name: String,
    pub total: u64,
    pub free: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Happening {
    pub sequence: u64,
    pub at: Option<String>,
    pub at_ms: u64,
    /// HTCondor's number, 8 where it has none.
    pub number: u32,
    pub kind: String,
    /// The cluster or DAG run at the top; 0 for workers.
    pub top: u32,
    pub job: Option<String>,
    pub node: Option<String>,
    pub trial: Option<u32>,
    pub text: String,
    pub value: Option<f64>,
}

impl From<wire::Batch> for Batch {
    fn from(batch: wire::Batch) -> Batch {
        Batch {
            key: batch.key,
            owner: batch.owner,
            name: batch.name,
            submitted: rfc3339(batch.submitted_ms),
            submitted_ms: batch.submitted_ms,
            done: batch.done,
            failed: batch.failed,
            running: batch.running,
            idle: batch.idle,
            held: batch.held,
            total: batch.total,
            jobs: batch.jobs,
            run: (batch.run != 0).then_some(batch.run),
            ended: batch.ended,
        }
    }
}

impl From<wire::UserSums> for User {
    fn from(user: wire::UserSums) -> User {
        User {
            owner: user.owner,
            idle: user.idle,
            running: user.running,
            held: user.held,
            done: user.done,
            weight: user.weight,
        }
    }
}

impl From<wire::Device> for Device {
    fn from(device: wire::Device) -> Device {
        Device {
            id: device.id,
            name: filled(device.name),
            capability: filled(device.capability),
            memory_mib: device.memory_mib,
            memory_mib_free: device.memory_mib_free,
            mig: filled(device.mig),
            state: device.state,
            jobs: device.jobs,
            reason: filled(device.reason),
        }
    }
}

impl From<wire::Custom> for Custom {
    fn from(custom: wire::Custom) -> Custom {
        Custom {
            name: custom.name,
            total: custom.total,
            free: custom.free,
        }
    }
}

impl From<wire::Event> for Happening {
    fn from(event: wire::Event) -> Happening {
        Happening {
            sequence: event.sequence,
            at: rfc3339(event.at_ms),
            at_ms: event.at_ms,
            number: event.number,
            kind: event.kind,
            top: event.top,
            job: filled(event.job),
            node: filled(event.node),
            trial: event.trial,
            text: event.text,
            value: event.value,
        }
    }
}
