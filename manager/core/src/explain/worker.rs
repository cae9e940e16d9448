//! Why a worker gets nothing: what keeps it from being given work, its own Requirements against the
//! jobs that wait, theirs against it.

use std::collections::BTreeMap;

use classad::{ClassAd, Compiled, Expr, Scope};
use proto::nouns::{Now, WorkerName};

use super::asking::{Asking, Fit};
use super::clauses::{bare, own_clauses};
use super::{ClauseCount, Holder, Prospect, Why, plural};
use crate::negotiator::{Group, Groups, Slice};
use crate::pool::Worker;
use crate::queue::Queue;

/// Groups of jobs that a worker is held against.
const GROUPS_MAX: usize = 2_000;
/// Clauses of jobs that are told, those of the most jobs first.
const CLAUSES_MAX: usize = 10;

/// Jobs that wait, by what comes of them here.
#[derive(Default)]
struct Found {
    jobs: u64,
    unlooked: u64,
    /// Their Requirements or amounts do not accept it, even empty.
    unwilling: u64,
    refused: u64,
    /// They match it, and too little is left.
    waiting: u64,
    /// They match it as it is.
    welcome: u64,
    own: Vec<ClauseCount>,
    theirs: BTreeMap<String, u64>,
}

impl Queue {
    /// Why a worker gets nothing, or that it does; nothing if there is no such worker.
    pub fn why_worker(&self, now: Now, name: &WorkerName) -> Option<Why> {
        let worker = self.workers().get(name)?;
        let found = self.held_against(now, worker);
        let (prospect, code, summary) = self.worker_verdict(now, name, worker, &found);
        let mut theirs: Vec<(String, u64)> = found.theirs.into_iter().collect();
        theirs.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let jobs = narrow(found.jobs);
        let theirs = theirs.into_iter().take(CLAUSES_MAX);
        let theirs = theirs.map(|(text, refusing)| ClauseCount {
            text,
            of: jobs,
            alone: narrow(found.jobs - refusing),
            in_order: 0,
            nearest_miss: None,
        });
        let mut holders: Vec<Holder> = worker
            .holding()
            .map(|(_, carve)| Holder {
                worker: name.clone(),
                job: carve.job,
                until_ms: self.ends_at(now, carve),
            })
            .collect();
        holders.sort_by_key(|holder| (holder.until_ms.unwrap_or(u64::MAX), holder.job));
        holders.truncate(super::HOLDERS_MAX);
        let mut hints = Vec::new();
        if found.unlooked > 0 {
            let text = plural(found.unlooked, "job");
            hints.push(format!("{text} more wait and were not held against it"));
        }
        let broken = worker.devices.iter().filter_map(|device| {
            let reason = device.broken.as_ref()?;
            Some(format!("its GPU {} is broken: {reason}", device.id))
        });
        hints.extend(broken);
        Some(Why {
            status: match (worker.session, worker.carves.is_empty()) {
                (None, _) => "CutOff",
                (Some(_), true) => "Idle",
                (Some(_), false) => "Busy",
            },
            code,
            summary,
            prospect,
            clauses: found.own,
            other_side: theirs.collect(),
            holders,
            hints,
            ..Why::default()
        })
    }

    fn worker_verdict(
        &self,
        now: Now,
        name: &WorkerName,
        worker: &Worker,
        found: &Found,
    ) -> (Prospect, &'static str, String) {
        let waits = |code, text| (Prospect::NotNow, code, text);
        let jobs = plural(found.jobs, "job");
        if worker.session.is_none() {
            return waits("W302", "it is cut off: nothing was heard of it".to_owned());
        }
        if let Some(drain) = self.drain_of(name) {
            let reason = match drain.reason.as_str() {
                "" => String::new(),
                reason => format!(": {reason}"),
            };
            return waits("W303", format!("it is drained{reason}"));
        }
        if let Some(until) = worker.paused_until_mono_ms {
            let left = until.saturating_sub(now.mono_ms).div_ceil(1000);
            let faults = plural(u64::from(worker.faults_in_a_row), "job");
            let text = format!("it could not start {faults}, and gets none for {left} s");
            return waits("W304", text);
        }
        if !worker.stale.is_empty() {
            let claims = plural(worker.stale.len() as u64, "claim");
            let text = format!("it still runs {claims} of an earlier time, which have to end");
            return waits("W305", text);
        }
        let running = plural(worker.holding().count() as u64, "job");
        if found.jobs == 0 {
            return (
                Prospect::Well,
                "W309",
                format!("no job waits; it runs {running}"),
            );
        }
        if found.welcome > 0 {
            let n = found.welcome;
            let text = format!(
                "{n} of {jobs} that wait match it as it is; others go first, or a limit or a quota \
                 is reached: see `why` of a job"
            );
            return waits("W310", text);
        }
        if found.waiting > 0 {
            let text = format!(
                "it runs {running}; {} of {jobs} that wait match it",
                found.waiting
            );
            return (Prospect::Well, "W308", text);
        }
        let never = |code, text| (Prospect::Never, code, text);
        if found.refused > 0 {
            let n = found.refused;
            let text = format!(
                "its own requirements refuse {n} of {jobs} that wait; the others do not accept it"
            );
            return never("W306", text);
        }
        never("W307", format!("none of {jobs} that wait accepts it"))
    }

    /// Holds all that waits against a worker.
    fn held_against(&self, now: Now, worker: &Worker) -> Found {
        let mut groups = Groups::default();
        while groups.gather(self) == Slice::More {}
        let mut found = Found::default();
        let mut empty = worker.emptied();
        let slot = std::mem::take(&mut empty.slot);
        let own = own_clauses(&slot);
        found.own = own
            .iter()
            .map(|clause| ClauseCount {
                text: bare(clause),
                ..ClauseCount::default()
            })
            .collect();
        for (at, group) in groups.finish().into_iter().enumerate() {
            if at >= GROUPS_MAX {
                found.unlooked += group.jobs;
                continue;
            }
            let cluster = &self.clusters()[&group.job.cluster];
            let Ok(asking) = Asking::of(self, now, cluster, group.job) else {
                continue;
            };
            let target = Target {
                worker,
                empty: &empty,
                slot: &slot,
                own: &own,
            };
            found.hold(&asking, &group, &target);
        }
        found
    }
}

struct Target<'a> {
    worker: &'a Worker,
    empty: &'a Worker,
    slot: &'a ClassAd,
    own: &'a [Expr],
}

impl Found {
    fn hold(&mut self, asking: &Asking, group: &Group, target: &Target<'_>) {
        let jobs = group.jobs;
        self.jobs += jobs;
        let mut in_order = true;
        for (clause, count) in target.own.iter().zip(&mut self.own) {
            let compiled = Compiled::in_ad(target.slot, clause);
            let scope = Scope::new(target.slot).target(asking.ad()).now(asking.at);
            let passes = scope.run_is_true(&compiled);
            in_order &= passes;
            count.of = count.of.saturating_add(narrow(jobs));
            if passes {
                count.alone = count.alone.saturating_add(narrow(jobs));
            }
            if in_order {
                count.in_order = count.in_order.saturating_add(narrow(jobs));
            }
        }
        match asking.fit(target.empty, target.slot) {
            Fit::No => {
                self.unwilling += jobs;
                let (clauses, failed) = asking.failures(std::slice::from_ref(target.slot));
                for at in failed.first().into_iter().flatten() {
                    *self.theirs.entry(bare(&clauses[*at])).or_default() += jobs;
                }
            }
            Fit::Refused => self.refused += jobs,
            Fit::Yes if asking.fit(target.worker, &target.worker.slot) == Fit::Yes => {
                self.welcome += jobs;
            }
            Fit::Yes => self.waiting += jobs,
        }
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
