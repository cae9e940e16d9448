//! Jobs that leave a worker before their end: because they lost their claim, or because they need
//! more than they have.

use dags::submit::{JobSpec, Raise};
use proto::nouns::{Exceeds, JobId, WorkerName};

use crate::event::{Event, Requeue};
use crate::job::{Cluster, HoldCode};
use crate::queue::Queue;
use crate::raised::{self, More};

/// What says how often a job may lose its claim, in each of its spellings.
const NAMES: [&str; 2] = ["max_job_restarts", "my.maxjobrestarts"];
/// MiB of disk are asked for in KiB.
const KIB: u64 = 1024;

/// How much of a resource a job has, and how that grows.
struct Growth<'a> {
    raise: Option<&'a Raise>,
    /// Nothing where it has all of it that there is.
    has: Option<u64>,
    attribute: &'static str,
    command: &'static str,
}

impl<'a> Growth<'a> {
    fn of(spec: &'a JobSpec, resource: Exceeds) -> Growth<'a> {
        let policy = &spec.policy;
        match resource {
            Exceeds::Memory => Growth {
                raise: policy.raise_memory.as_ref(),
                has: Some(spec.request_memory_mib),
                attribute: "RequestMemory",
                command: "retry_request_memory",
            },
            Exceeds::GpuMemory => Growth {
                raise: policy.raise_gpu_memory.as_ref(),
                has: spec.request_gpu_memory_mib,
                attribute: "RequestGPUMemory",
                command: "retry_request_gpu_memory",
            },
            Exceeds::Disk => Growth {
                raise: policy.raise_disk.as_ref(),
                has: Some(spec.request_disk_kib),
                attribute: "RequestDisk",
                command: "retry_request_disk",
            },
        }
    }
}

impl Queue {
    /// What becomes of a job that lost its claim: it waits again; and it is held where it has lost
    /// more than it wants to (`max_job_restarts`), or than the pool's rules allow (`restarts_max`).
    pub(crate) fn lost(&self, job: JobId, cause: Requeue) -> Vec<Event> {
        let hold = self.too_often(job, &cause);
        let requeued = Event::JobRequeued { job, cause };
        [Some(requeued), hold].into_iter().flatten().collect()
    }

    fn too_often(&self, job: JobId, cause: &Requeue) -> Option<Event> {
        let worker = cause.lost_claim()?;
        let (cluster, proc) = self.job(job)?;
        let own = self.restarts_max(cluster, job.proc);
        let (max, whose) = match (own, self.rules.restarts_max) {
            (Some(own), Some(pool)) if pool < own => (pool, "restarts_max of the pool"),
            (Some(own), _) => (own, "max_job_restarts"),
            (None, pool) => (pool?, "restarts_max of the pool"),
        };
        let lost = proc.past.lost_since_release().saturating_add(1);
        let times = match lost {
            1 => "once".to_owned(),
            lost => format!("{lost} times"),
        };
        (lost > max).then(|| Event::JobHeld {
            job,
            code: HoldCode::SystemPolicy,
            reason: format!("lost its claim {times}, the last on {worker}, and {whose} is {max}"),
        })
    }

    fn restarts_max(&self, cluster: &Cluster, proc: u32) -> Option<u32> {
        let given = |name: &str| NAMES.contains(&name.to_ascii_lowercase().as_str());
        let says = self.submit_of(cluster).may_assign(&NAMES)
            || cluster.macros.iter().any(|entry| given(&entry.name));
        let spec = says
            .then(|| self.shared_spec(cluster, proc).ok())
            .flatten()?;
        spec.policy.max_restarts
    }

    /// A job needed more of something than it had: it runs again with more where its description
    /// says so (`retry_request_memory`), and is held otherwise.
    pub(super) fn exceeded(
        &self,
        job: JobId,
        worker: WorkerName,
        (resource, used_mib): (Exceeds, u64),
    ) -> Event {
        let code = HoldCode::OutOfResources(resource);
        let used = match used_mib {
            0 => format!("needed more {} than it has", raised::name(resource)),
            used => format!("used {used} MiB of {}", raised::name(resource)),
        };
        let spec = self.job(job).map(|(cluster, _)| {
            let spec = self.whole_spec(cluster, job.proc);
            (cluster, spec)
        });
        let Some((cluster, Ok(spec))) = spec else {
            return self.unfit(job, code, used);
        };
        let Growth {
            raise,
            has,
            attribute,
            command,
        } = Growth::of(&spec, resource);
        let Some(has) = has else {
            return self.unfit(job, code, format!("{used}, and the whole GPU has no more"));
        };
        let mib = |amount: u64| match resource {
            Exceeds::Memory | Exceeds::GpuMemory => amount,
            Exceeds::Disk => amount.div_ceil(KIB),
        };
        let had_mib = mib(has);
        let used = format!("{used}; it has {had_mib} MiB");
        let Some(raise) = raise else {
            return self.unfit(job, code, used);
        };
        let mut ad = self.job_ad(cluster, job, &spec);
        ad.insert(attribute, i64::try_from(has).unwrap_or(i64::MAX));
        match raise.after(has, &ad) {
            Some(amount) => {
                let more = More {
                    resource,
                    used_mib,
                    had_mib,
                    amount,
                };
                let cause = Requeue::Raised { worker, more };
                Event::JobRequeued { job, cause }
            }
            None => {
                let reason = match raise.max {
                    Some(max) => format!("{used}, and {command}_max is {} MiB", mib(max)),
                    None => format!("{used}, which is all that {command} gives"),
                };
                self.unfit(job, code, reason)
            }
        }
    }
}
