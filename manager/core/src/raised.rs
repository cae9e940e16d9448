//! What jobs ask for since it turned out that they need more than their descriptions say. Kept with
//! the proc, and with the node, whose next attempt starts there. How amounts grow is the
//! description's to say; here they are remembered, and put into a job's specification.

use std::borrow::Cow;

use dags::Diagnostics;
use dags::submit::{JobSpec, Macros, Raise};
use proto::nouns::Exceeds;
use serde::{Deserialize, Serialize};

use crate::job::Cluster;
use crate::queue::Queue;

/// KiB of disk are told in MiB.
const KIB: u64 = 1024;

/// Amounts that a job asks for instead of those that its description says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    pub memory_mib: Option<u64>,
    pub gpu_memory_mib: Option<u64>,
    pub disk_kib: Option<u64>,
}

/// What a job that needed more had, and what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    pub resource: Exceeds,
    /// As far as it is known; or 0.
    pub used_mib: u64,
    pub had_mib: u64,
    /// In the unit of [`Raised`].
    pub amount: u64,
}

// === impl Raised ===

impl Raised {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Raised::default()
    }

    /// Of each amount the larger.
    pub(crate) fn or(self, other: Raised) -> Raised {
        Raised {
            memory_mib: self.memory_mib.max(other.memory_mib),
            gpu_memory_mib: self.gpu_memory_mib.max(other.gpu_memory_mib),
            disk_kib: self.disk_kib.max(other.disk_kib),
        }
    }

    pub(crate) fn raise(&mut self, more: &More) {
        let own = match more.resource {
            Exceeds::Memory => &mut self.memory_mib,
            Exceeds::GpuMemory => &mut self.gpu_memory_mib,
            Exceeds::Disk => &mut self.disk_kib,
        };
        *own = (*own).max(Some(more.amount));
    }

    /// What of it is more than a job asks for anyway and may ask for at most.
    fn above(self, spec: &JobSpec) -> Raised {
        let policy = &spec.policy;
        let of = |raised: Option<u64>, raise: &Option<Raise>, own: u64| {
            let most = raise.as_ref()?.max.unwrap_or(u64::MAX);
            raised.map(|raised| raised.min(most)).filter(|n| *n > own)
        };
        let gpu_memory = spec.request_gpu_memory_mib;
        Raised {
            memory_mib: of(
                self.memory_mib,
                &policy.raise_memory,
                spec.request_memory_mib,
            ),
            gpu_memory_mib: gpu_memory
                .and_then(|own| of(self.gpu_memory_mib, &policy.raise_gpu_memory, own)),
            disk_kib: of(self.disk_kib, &policy.raise_disk, spec.request_disk_kib),
        }
    }

    /// The commands that say it.
    fn commands(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let amounts = [
            ("request_memory", self.memory_mib),
            ("request_gpu_memory", self.gpu_memory_mib),
            ("request_disk", self.disk_kib),
        ];
        let said = amounts.into_iter();
        said.filter_map(|(name, amount)| Some((name, amount?)))
    }
}

// === impl More ===

impl More {
    /// What it gets now, in MiB.
    pub fn gets_mib(&self) -> u64 {
        match self.resource {
            Exceeds::Memory | Exceeds::GpuMemory => self.amount,
            Exceeds::Disk => self.amount.div_ceil(KIB),
        }
    }
}

/// What a resource is called.
pub(crate) fn name(resource: Exceeds) -> &'static str {
    match resource {
        Exceeds::Memory => "memory",
        Exceeds::GpuMemory => "GPU memory",
        Exceeds::Disk => "disk",
    }
}

// === impl Queue ===

impl Queue {
    /// The job's specification, made by `expand` from macros and an item row: with what it asks for
    /// by now.
    pub(crate) fn with_raised(
        &self,
        cluster: &Cluster,
        proc: u32,
        expand: impl Fn(&Macros, &[String]) -> Result<JobSpec, Diagnostics>,
    ) -> Result<JobSpec, Diagnostics> {
        let macros = self.macros_of(cluster, proc);
        let spec = expand(&macros, cluster.row(proc))?;
        let own = cluster.procs.get(&proc).map(|proc| proc.raised);
        let raised = cluster.raised.or(own.unwrap_or_default()).above(&spec);
        if raised.is_nothing() {
            return Ok(spec);
        }
        // Said by the commands themselves, so that whatever follows from them follows.
        let mut macros = macros.into_owned();
        let mut row = Cow::Borrowed(cluster.row(proc));
        for (name, amount) in raised.commands() {
            macros.insert(name, amount);
            let vars = cluster.items.iter().flat_map(|items| &items.vars);
            for (at, _) in vars
                .enumerate()
                .filter(|(_, var)| var.eq_ignore_ascii_case(name))
            {
                if let Some(value) = row.to_mut().get_mut(at) {
                    *value = amount.to_string();
                }
            }
        }
        expand(&macros, &row)
    }
}
