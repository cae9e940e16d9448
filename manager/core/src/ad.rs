//! The ad of a job: what its description says, as HTCondor's queue would have it, and what became of
//! it since. The only place where either is put together; evaluates nothing.

use classad::ClassAd;
use dags::submit::JobSpec;
use proto::nouns::{Ended, JobId};

use crate::job::{Cluster, Proc, ProcState};
use crate::pool::integer;
use crate::queue::Queue;
use crate::workspace::Workspace;

/// Files of one input directory whose sizes are counted for `DiskUsage`: an ad is made for each
/// look at a job.
const FILES_COUNTED_MAX: usize = 1_000;

/// Attributes that a DAG gives to its jobs as macros, besides those that the queue knows itself.
const OF_NODE: [(&str, &str); 2] = [
    ("My.DAGManNodeRetry", "DAGManNodeRetry"),
    ("My.DAGParentNodeNames", "DAGParentNodeNames"),
];
/// What only a held job's ad has.
const OF_HELD: [&str; 3] = ["HoldReason", "HoldReasonCode", "HoldReasonSubCode"];

impl Queue {
    /// As [`Queue::shared_spec`], for who changes it.
    ///
    /// # Errors
    /// As there.
    pub fn whole_spec(&self, cluster: &Cluster, proc: u32) -> Result<JobSpec, String> {
        self.shared_spec(cluster, proc)
            .map(|spec| JobSpec::clone(&spec))
    }

    /// The job's ad as slots, policies and people see it. `spec` is that of [`Queue::whole_spec`].
    pub fn job_ad(&self, cluster: &Cluster, job: JobId, spec: &JobSpec) -> ClassAd {
        let mut ad = spec.ad.clone();
        ad.insert("ClusterId", i64::from(job.cluster));
        ad.insert("ProcId", i64::from(job.proc));
        ad.insert("Owner", cluster.owner.as_str());
        ad.insert("QDate", integer(cluster.submitted_ms / 1000));
        match cluster.procs.get(&job.proc) {
            Some(proc) => live(&mut ad, proc),
            None => live(&mut ad, &cluster.untouched()),
        }
        if let Some(requirements) = &spec.requirements {
            ad.insert("Requirements", requirements.clone());
        } else if !ad.contains("Requirements") {
            ad.insert("Requirements", true);
        }
        if let Some(rank) = &spec.rank {
            ad.insert("Rank", rank.clone());
        }
        if let Some((run, node)) = cluster.node() {
            ad.insert("DAGManJobId", i64::from(run));
            ad.insert("DAGNodeName", self.runs[&run].node_name(node));
            of_node(&mut ad, cluster);
        }
        ad
    }
}

/// What a DAG says of the jobs of a node: the specification may be that of another node's.
fn of_node(ad: &mut ClassAd, cluster: &Cluster) {
    for (given, name) in OF_NODE {
        match cluster.macros.get(given) {
            // What does not parse was said when the description was checked.
            Some(entry) => drop(ad.insert_expr(name, &entry.value)),
            None => drop(ad.remove(name)),
        }
    }
}

/// What became of the job.
fn live(ad: &mut ClassAd, proc: &Proc) {
    let past = &proc.past;
    let since_ms = match &proc.state {
        // To everybody else it still runs.
        ProcState::Landing { .. } => past.claimed_ms.unwrap_or(proc.since_ms),
        ProcState::Idle
        | ProcState::Running { .. }
        | ProcState::Held { .. }
        | ProcState::Completed { .. }
        | ProcState::Removed { .. } => proc.since_ms,
    };
    let seconds = |ms: u64| integer(ms / 1000);
    ad.insert("JobStatus", proc.state.number());
    ad.insert("EnteredCurrentStatus", seconds(since_ms));
    ad.insert("NumJobStarts", i64::from(proc.attempts));
    ad.insert("NumJobCompletions", i64::from(past.completions));
    ad.insert("NumHolds", i64::from(past.holds));
    ad.insert("RemoteWallClockTime", past.claimed_for_ms as f64 / 1000.0);
    let times = [
        ("JobStartDate", past.first_claimed_ms),
        ("JobCurrentStartDate", past.claimed_ms),
        ("JobCurrentStartExecutingDate", past.executing_ms),
        ("LastVacateTime", past.vacated_ms),
    ];
    for (name, ms) in times {
        if let Some(ms) = ms {
            ad.insert(name, seconds(ms));
        }
    }
    if past.lost > 0 {
        ad.insert("NumVacates", i64::from(past.lost));
    }
    if let Some(worker) = &past.worker {
        ad.insert("LastRemoteHost", slot(worker.as_str()).as_str());
    }
    if let Some(exit) = &past.exit {
        ended(ad, exit);
    }
    for name in OF_HELD {
        ad.remove(name);
    }
    match &proc.state {
        ProcState::Idle => ad.insert("CurrentHosts", 0_i64),
        ProcState::Running { worker, .. } => {
            ad.insert("CurrentHosts", 1_i64);
            ad.insert("RemoteHost", slot(worker.as_str()).as_str());
        }
        ProcState::Landing { ending } => {
            ad.insert("CurrentHosts", 1_i64);
            ad.insert("RemoteHost", slot(ending.worker.as_str()).as_str());
        }
        ProcState::Held { code, reason, .. } => {
            ad.insert("CurrentHosts", 0_i64);
            ad.insert("HoldReason", reason.as_str());
            ad.insert("HoldReasonCode", i64::from(code.number()));
            ad.insert("HoldReasonSubCode", i64::from(code.subcode()));
        }
        ProcState::Completed { ending } => {
            ad.insert("CurrentHosts", 0_i64);
            ad.insert("CompletionDate", seconds(ending.report.ended_ms));
        }
        ProcState::Removed { reason } => {
            ad.insert("CurrentHosts", 0_i64);
            ad.insert("RemoveReason", reason.as_str());
        }
    }
}

/// How a program ended.
pub(crate) fn ended(ad: &mut ClassAd, exit: &Ended) {
    match exit {
        Ended::Exited(code) => {
            ad.remove("ExitSignal");
            ad.insert("ExitBySignal", false);
            ad.insert("ExitCode", i64::from(*code));
        }
        Ended::Signaled(signal) => {
            ad.remove("ExitCode");
            ad.insert("ExitBySignal", true);
            ad.insert("ExitSignal", i64::from(*signal));
        }
        Ended::Vacated | Ended::Exceeded { .. } | Ended::NotStarted { .. } => {}
    }
}

/// HTCondor's name for a worker's slot.
fn slot(worker: &str) -> String {
    format!("slot1@{worker}")
}

impl Workspace {
    /// The bytes of a file, or of all files of a directory, by an absolute path.
    pub(crate) fn bytes(&self, path: &str) -> Option<u64> {
        let below = path
            .strip_prefix(self.directory.as_str())
            .and_then(|path| path.strip_prefix('/'));
        let name = below.unwrap_or(path);
        if let Some(blob) = self.files.get(name) {
            return Some(blob.bytes);
        }
        let below = format!("{}/", name.trim_end_matches('/'));
        let files = self
            .files
            .range(below.clone()..)
            .take_while(|(file, _)| file.starts_with(&below));
        let sizes = files.map(|(_, blob)| blob.bytes);
        sizes.take(FILES_COUNTED_MAX).reduce(u64::saturating_add)
    }
}
