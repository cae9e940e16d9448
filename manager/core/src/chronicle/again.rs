//! User logs after a restart. What a job's log gets is written after the change behind it is
//! durable, so a crash between the two loses it. What was told last can be told again from the
//! records, to the byte: that a job was submitted, ended, was removed or is held. The shell writes
//! what is not there. Starts and evictions are not told again.

use proto::nouns::{JobId, Now};

use super::moment::Moment;
use crate::effect::{Write, Writing};
use crate::job::{Cluster, Logs, Proc, ProcState};
use crate::queue::Queue;

/// How long before the last change that is known a change may not have been told of.
const WINDOW_MS: u64 = 10_000;

impl Queue {
    pub(super) fn tell_again(&mut self) {
        let logging = || {
            let clusters = self.clusters.values();
            clusters.filter(|cluster| cluster.logs == Logs::Perhaps)
        };
        let changes = logging().map(last_change);
        let since_ms = changes.max().unwrap_or(0).saturating_sub(WINDOW_MS);
        let mut again = Vec::new();
        for cluster in logging() {
            if cluster.submitted_ms >= since_ms {
                for (job, moment) in self.submits(cluster.id) {
                    again.extend(self.missing(cluster, job, moment, cluster.submitted_ms));
                }
            }
            for (&proc, record) in &cluster.procs {
                let job = JobId {
                    cluster: cluster.id,
                    proc,
                };
                let told = !cluster.is_told_late() || record.attempts > 0;
                if let Some(moment) = standing(record).filter(|_| told)
                    && record.since_ms >= since_ms
                {
                    again.extend(self.missing(cluster, job, moment, record.since_ms));
                }
            }
        }
        self.chronicle.drafts.extend(again);
    }

    fn missing(
        &self,
        cluster: &Cluster,
        job: JobId,
        moment: Moment<'_>,
        wall_ms: u64,
    ) -> Option<Writing> {
        let at = Now {
            wall_ms,
            mono_ms: 0,
        };
        let (path, text) = self.logged(at, cluster, job, moment)?;
        Some(Writing {
            directory: self.written_directory(self.home(cluster.top()))?,
            path: Some(path).filter(|path| path != "/dev/null")?,
            how: Write::AppendMissing(text.into_bytes()),
        })
    }
}

fn last_change(cluster: &Cluster) -> u64 {
    let procs = cluster.procs.values().map(|proc| proc.since_ms);
    procs.max().unwrap_or(0).max(cluster.submitted_ms)
}

/// What brought a job into the state that it is in, where the state says.
fn standing(record: &Proc) -> Option<Moment<'_>> {
    match &record.state {
        ProcState::Completed { .. } => Some(Moment::Terminated),
        ProcState::Removed { reason } => Some(Moment::Aborted { reason }),
        ProcState::Held { code, reason, .. } => Some(Moment::Held {
            code: *code,
            reason,
        }),
        ProcState::Idle | ProcState::Running { .. } | ProcState::Landing { .. } => None,
    }
}
