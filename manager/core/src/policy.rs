//! Which jobs have policies that depend on time or on their state, and when they are looked at
//! next. Derived from the descriptions and the clock; evaluates nothing.

use std::collections::{BTreeMap, BTreeSet};

use classad::{ClassAd, Expr};
use dags::submit::Submit;
use proto::nouns::{JobId, Now};

use crate::event::LookNext;
use crate::job::{Cluster, Phase, ProcState, Source};
use crate::queue::{Queue, WakeReason};

/// What gives a job such a policy, in each of its spellings.
const NAMES: [&str; 18] = [
    "periodic_hold",
    "periodichold",
    "my.periodichold",
    "periodic_release",
    "periodicrelease",
    "my.periodicrelease",
    "periodic_remove",
    "periodicremove",
    "my.periodicremove",
    "periodic_vacate",
    "periodicvacate",
    "my.periodicvacate",
    "allowed_execute_duration",
    "allowedexecuteduration",
    "my.allowedexecuteduration",
    "allowed_job_duration",
    "allowedjobduration",
    "my.allowedjobduration",
];
/// What the ads of all untouched jobs of a cluster have, and have alike.
const ALIKE: [&str; 14] = [
    "clusterid",
    "currenthosts",
    "dagmanjobid",
    "dagnodename",
    "enteredcurrentstatus",
    "jobstatus",
    "numholds",
    "numjobcompletions",
    "numjobstarts",
    "owner",
    "periodichold",
    "periodicremove",
    "qdate",
    "remotewallclocktime",
];
/// What they have only once something happened to them.
const LATER: [&str; 13] = [
    "exitcode",
    "exitsignal",
    "holdreason",
    "holdreasoncode",
    "holdreasonsubcode",
    "jobcurrentstartdate",
    "jobcurrentstartexecutingdate",
    "jobstartdate",
    "lastremotehost",
    "lastvacatetime",
    "numvacates",
    "remotehost",
    "removereason",
];

/// What is looked at while the jobs of a cluster wait, run or are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Watching {
    #[default]
    Nothing,
    EachJob,
    /// Of untouched jobs one stands for all.
    Alike,
}

/// What is to be looked at, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// Clusters with jobs that are not final.
    pub clusters: BTreeSet<u32>,
    /// When to look at all of them next.
    due_mono_ms: Option<u64>,
    /// Where a look goes on that was too long for one turn.
    next: Option<JobId>,
    /// When the time of running jobs is up.
    ends: BTreeSet<(u64, JobId)>,
    ends_of: BTreeMap<JobId, u64>,
}

/// When a running job has had its time, by its own description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimit {
    pub at_ms: u64,
    pub of: Limited,
    pub allowed_s: u64,
}

/// What takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    /// The job, with the transfer of its files: `allowed_job_duration`.
    Job,
    /// Its program: `allowed_execute_duration`.
    Execution,
}

// === impl Watch ===

impl Watch {
    pub(crate) fn deadline(&self) -> Option<(u64, WakeReason)> {
        if self.next.is_some() {
            return Some((0, WakeReason::Unfinished));
        }
        let ends = self.ends.first().map(|(at, _)| *at);
        let at = ends.into_iter().chain(self.due_mono_ms).min()?;
        Some((at, WakeReason::Policies))
    }

    /// The job from which a look is to go on now, or to begin.
    pub(crate) fn from(&self, now: Now) -> Option<JobId> {
        let start = JobId {
            cluster: 0,
            proc: 0,
        };
        let is_due = self.due_mono_ms.is_some_and(|due| due <= now.mono_ms);
        self.next.or(is_due.then_some(start))
    }

    /// Running jobs whose time is up.
    pub(crate) fn ended(&self, now: Now) -> impl Iterator<Item = JobId> + '_ {
        let ended = self.ends.iter();
        ended
            .take_while(move |(at, _)| *at <= now.mono_ms)
            .map(|(_, job)| *job)
    }

    pub(crate) fn looked(&mut self, now: Now, next: LookNext, interval_ms: u64) {
        self.next = match next {
            LookNext::Job(job) => Some(job),
            LookNext::Later => None,
        };
        self.due_mono_ms = match next {
            LookNext::Job(_) => None,
            LookNext::Later => Some(now.mono_ms.saturating_add(interval_ms)),
        };
    }

    /// Nobody wakes for what nobody has.
    pub(crate) fn arm(&mut self, now: Now, interval_ms: u64) {
        if self.clusters.is_empty() {
            (self.next, self.due_mono_ms) = (None, None);
        } else if self.next.is_none() && self.due_mono_ms.is_none() {
            self.due_mono_ms = Some(now.mono_ms.saturating_add(interval_ms));
        }
    }

    fn end_at(&mut self, job: JobId, at_mono_ms: u64) {
        self.forget(job);
        self.ends.insert((at_mono_ms, job));
        self.ends_of.insert(job, at_mono_ms);
    }

    pub(crate) fn forget(&mut self, job: JobId) {
        if let Some(at) = self.ends_of.remove(&job) {
            self.ends.remove(&(at, job));
        }
    }

    pub(crate) fn forget_ended(&mut self, now: Now) {
        let ended: Vec<JobId> = self.ended(now).collect();
        for job in ended {
            self.forget(job);
        }
    }
}

/// Whether an expression comes to the same for all untouched jobs of a cluster; `ad` is that of
/// one.
pub(crate) fn is_alike(ad: &ClassAd, expr: &Expr) -> bool {
    let Some(found) = ad.references(expr) else {
        return false;
    };
    // A policy may be written with the job's number.
    let own = |name: &str| ALIKE.contains(&name) && !NAMES.contains(&name);
    found.internal.iter().all(|name| own(&name.folded()))
        && found
            .external
            .iter()
            .all(|name| LATER.contains(&name.folded().as_ref()))
}

// === impl Queue ===

impl Queue {
    /// What of a cluster's jobs is to be looked at. Its items are known.
    pub(crate) fn watching(&self, cluster: &Cluster) -> Watching {
        let submit = self.submit_of(cluster);
        let edits = cluster.procs.values().map(|proc| &proc.edits);
        let of_all = cluster.edits.iter().map(|edits| &edits.ad);
        let mut edited = edits.chain(of_all).flat_map(ClassAd::iter);
        if edited.any(|(name, _)| NAMES.contains(&name.folded().as_ref())) {
            return Watching::EachJob;
        }
        let given = |name: &str| NAMES.contains(&name.to_ascii_lowercase().as_str());
        if !submit.may_assign(&NAMES) && !cluster.macros.iter().any(|entry| given(&entry.name)) {
            return Watching::Nothing;
        }
        let alike = match cluster.source {
            Source::Study { .. } => None,
            Source::User | Source::Node { .. } => self.alike(cluster, submit),
        };
        alike.unwrap_or(Watching::EachJob)
    }

    /// Whether no look at one untouched job can end other than at the next. `None`: it may.
    fn alike(&self, cluster: &Cluster, submit: &Submit) -> Option<Watching> {
        let written = submit.assigned(&cluster.macros);
        let written = written.iter().map(|(name, value)| {
            (
                name.to_ascii_lowercase().replace('+', "my."),
                value.as_str(),
            )
        });
        let given = cluster.macros.iter();
        let given = given.map(|entry| (entry.name.to_ascii_lowercase(), entry.value.as_str()));
        let is_open =
            |(name, value): (String, &str)| NAMES.contains(&name.as_str()) && value.contains('$');
        let queued = submit.queue_arguments(&cluster.macros).unwrap_or_default();
        let mut words = queued.split(|c: char| c.is_whitespace() || c == ',');
        if written.chain(given).any(is_open)
            || words.any(|word| NAMES.contains(&word.to_ascii_lowercase().as_str()))
        {
            return None;
        }
        let first = JobId {
            cluster: cluster.id,
            proc: 0,
        };
        let spec = self.shared_spec(cluster, 0).ok()?;
        let ad = self.job_ad(cluster, first, &spec);
        let hold = spec.policy.periodic_hold.as_ref().map(|hold| &hold.when);
        for expr in hold.into_iter().chain(&spec.policy.periodic_remove) {
            let found = ad.references(expr)?;
            let name = |name: &classad::AttrName| name.to_string().to_ascii_lowercase();
            let alike = found
                .internal
                .iter()
                .all(|own| ALIKE.contains(&name(own).as_str()));
            let later = found
                .external
                .iter()
                .all(|other| LATER.contains(&name(other).as_str()));
            if !alike || !later {
                return None;
            }
        }
        Some(Watching::Alike)
    }

    /// When a running job has had its time; nothing for one that may take any.
    pub(crate) fn time_limit(&self, job: JobId) -> Option<TimeLimit> {
        let cluster = self.clusters.get(&job.cluster)?;
        let proc = cluster.procs.get(&job.proc)?;
        let ProcState::Running { phase, .. } = &proc.state else {
            return None;
        };
        let spec = self.shared_spec(cluster, job.proc).ok()?;
        let policy = &spec.policy;
        let executing_ms = match phase {
            Phase::Ahead | Phase::Staging => None,
            Phase::Executing => proc.past.executing_ms,
        };
        let limits = [
            (Limited::Job, proc.past.claimed_ms, policy.allowed_job_s),
            (Limited::Execution, executing_ms, policy.allowed_execute_s),
        ];
        let limits = limits.into_iter().filter_map(|(of, from_ms, allowed)| {
            let allowed_s = allowed?;
            let at_ms = from_ms?.saturating_add(allowed_s.saturating_mul(1000));
            Some(TimeLimit {
                at_ms,
                of,
                allowed_s,
            })
        });
        limits.min_by_key(|limit| limit.at_ms)
    }

    /// Remembers when a running job's time is up.
    pub(crate) fn limit_time(&mut self, now: Now, job: JobId) {
        let cluster = self.clusters.get(&job.cluster);
        if cluster.is_none_or(|cluster| cluster.watching == Watching::Nothing) {
            return;
        }
        if let Some(limit) = self.time_limit(job) {
            let left_ms = limit.at_ms.saturating_sub(now.wall_ms);
            self.watch.end_at(job, now.mono_ms.saturating_add(left_ms));
        }
    }
}
