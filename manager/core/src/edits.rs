//! Jobs whose attributes were changed in the queue: what they come to, and what follows from it.
//! What may be changed is `dags::submit::parse_edits`'s to say.

use classad::ClassAd;
use dags::submit::JobSpec;
use proto::nouns::{JobId, Now, Subject};
use serde::{Deserialize, Serialize};

use crate::job::{Cluster, Proc, ProcState, Source};
use crate::negotiator::Sorting;
use crate::queue::Queue;
use crate::record::RecordKey;
use crate::rest::Rest;

const PRIORITY: &str = "JobPrio";
/// What gives a batch its name, in each of its spellings.
const BATCH_NAMES: [&str; 3] = ["batch_name", "jobbatchname", "my.jobbatchname"];

/// Edits of a cluster that are told apart by their time; what is older is one.
const EDITS_KEPT_MAX: usize = 64;

/// What was changed of all jobs of a cluster at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edits {
    pub at_ms: u64,
    pub ad: ClassAd,
}

impl Cluster {
    /// A job's specification with what somebody changed since: of the whole cluster first, then of
    /// the job itself.
    pub(crate) fn edited(&self, proc: u32, spec: JobSpec) -> Result<JobSpec, String> {
        let own = self.procs.get(&proc);
        let over_ms = match own.map(|own| (&own.state, own.since_ms)) {
            Some((state, since_ms)) => state.is_final().then_some(since_ms),
            None => match &self.rest {
                Rest::Removed { since_ms, .. } => Some(*since_ms),
                Rest::Idle | Rest::Held { .. } => None,
            },
        };
        let mut edits = self.edits_until(over_ms);
        if let Some(own) = own {
            edits.merge(&own.edits);
        }
        if edits.is_empty() {
            return Ok(spec);
        }
        spec.edited(&edits).map_err(|error| error.to_string())
    }

    /// Whether anything was changed of a job, or of all.
    pub(crate) fn is_edited(&self, proc: u32) -> bool {
        let own = self.procs.get(&proc);
        !self.edits.is_empty() || own.is_some_and(|own| !own.edits.is_empty())
    }

    /// What was changed of all jobs, of one that was over then only what came before.
    fn edits_until(&self, over_ms: Option<u64>) -> ClassAd {
        let mut all = ClassAd::new();
        let before = |edits: &&Edits| over_ms.is_none_or(|over_ms| edits.at_ms <= over_ms);
        for edits in self.edits.iter().filter(before) {
            all.merge(&edits.ad);
        }
        all
    }

    fn add_edits(&mut self, at_ms: u64, ad: &ClassAd) {
        let ad = ad.clone();
        self.edits.push(Edits { at_ms, ad });
        if self.edits.len() > EDITS_KEPT_MAX {
            let oldest = self.edits.remove(0);
            let mut ad = oldest.ad;
            ad.merge(&self.edits[0].ad);
            self.edits[0].ad = ad;
        }
    }

    /// The name that its submitter gave to what it is a part of.
    pub fn batch(&self) -> Option<&str> {
        self.batch.as_deref()
    }

    /// The priority that somebody gave all its jobs.
    pub(crate) fn edited_priority(&self) -> Option<i64> {
        let edits = self.edits_until(None);
        edits.get(PRIORITY)?;
        edits.eval(PRIORITY).as_i64()
    }

    /// The priority that somebody gave one of its jobs.
    pub(crate) fn own_priority(&self, proc: u32) -> Option<i64> {
        let edits = &self.procs.get(&proc)?.edits;
        edits.get(PRIORITY)?;
        edits.eval(PRIORITY).as_i64()
    }
}

impl Queue {
    /// A job's priority among those of its owner.
    pub fn priority(&self, cluster: &Cluster, proc: u32) -> i64 {
        let own = cluster.own_priority(proc);
        own.unwrap_or_else(|| self.priority_of(cluster, proc))
    }

    /// The priority of those jobs of a cluster that nobody gave one of their own.
    pub(crate) fn priority_of(&self, cluster: &Cluster, proc: u32) -> i64 {
        if let Some(given) = cluster.edited_priority() {
            return given;
        }
        if let Sorting::Alike { priority, .. } = cluster.placed.sorting {
            return priority;
        }
        let of_node = cluster
            .node()
            .map_or(0, |(run, node)| self.runs[&run].priority_of(node));
        match of_node {
            0 => self
                .shared_spec(cluster, proc)
                .map_or(0, |spec| spec.priority),
            priority => priority,
        }
    }

    /// The name that the submitter of a cluster gave to what it is a part of.
    pub(crate) fn batch_of(&self, cluster: &Cluster) -> Option<String> {
        if cluster.source != Source::User || cluster.count == 0 {
            return None;
        }
        let edited = cluster.edits_until(None).contains("JobBatchName");
        let given = cluster.macros.iter();
        let named = given
            .map(|entry| entry.name.to_ascii_lowercase())
            .any(|name| BATCH_NAMES.contains(&name.as_str()));
        if !edited && !named && !self.submit_of(cluster).may_assign(&BATCH_NAMES) {
            return None;
        }
        let spec = self.shared_spec(cluster, 0).ok()?;
        spec.ad.eval("JobBatchName").as_str().map(str::to_owned)
    }

    /// Applies other attributes of a job or a cluster.
    pub(crate) fn jobs_edited(&mut self, now: Now, subject: Subject, edits: &ClassAd) {
        let id = subject.whole();
        match subject {
            Subject::Job(job) => self.touch(job).edits.merge(edits),
            Subject::Whole(_) => {
                let cluster = self
                    .clusters
                    .get_mut(&id)
                    .expect("events name clusters that exist");
                let top = cluster.top();
                cluster.add_edits(now.wall_ms, edits);
                self.dirty.insert(RecordKey::Cluster { top, cluster: id });
                // What was said last counts, for each of them.
                let live = |(_, record): &(&u32, &mut Proc)| !record.state.is_final();
                for (&proc, record) in cluster.procs.iter_mut().filter(live) {
                    let own = &mut record.edits;
                    let said = edits
                        .iter()
                        .filter(|(name, _)| own.get_name(name).is_some());
                    let said: Vec<String> = said.map(|(name, _)| name.to_string()).collect();
                    for name in &said {
                        own.remove(name);
                    }
                    if !said.is_empty() {
                        let job = JobId { cluster: id, proc };
                        self.dirty.insert(RecordKey::Proc { top, job });
                    }
                }
            }
        }
        self.prepare(id);
        match subject {
            Subject::Job(_) => self.vary(id),
            Subject::Whole(_) => self.displace(id),
        }
    }

    /// Applies a state that all untouched jobs of a cluster enter together.
    pub(crate) fn rest_changed(&mut self, now: Now, id: u32, rest: &Rest) {
        let cluster = self
            .clusters
            .get_mut(&id)
            .expect("events name clusters that exist");
        let top = cluster.top();
        let count = u32::try_from(cluster.rest_count()).expect("no more than the cluster has");
        *cluster.tally.of(&cluster.untouched().state) -= count;
        cluster.rest = match rest {
            Rest::Idle => Rest::Idle,
            Rest::Held { code, reason, .. } => Rest::Held {
                code: *code,
                reason: reason.clone(),
                since_ms: now.wall_ms,
            },
            Rest::Removed { reason, .. } => Rest::Removed {
                reason: reason.clone(),
                since_ms: now.wall_ms,
            },
        };
        let state = cluster.untouched().state;
        *cluster.tally.of(&state) += count;
        self.dirty.insert(RecordKey::Cluster { top, cluster: id });
        match state {
            ProcState::Removed { .. } => self.jobs_live -= u64::from(count),
            ProcState::Idle => self.agenda.add_match(),
            ProcState::Held { .. }
            | ProcState::Running { .. }
            | ProcState::Landing { .. }
            | ProcState::Completed { .. } => {}
        }
        let limits = cluster.materialize();
        cluster.open_window(limits);
        self.displace(id);
    }
}
