//! Why a job waits: its Requirements clause by clause against every worker, each time evaluated
//! anew.

use classad::explain::{ClauseReport, NearMiss, UnknownAttr, explain_clauses, unknown_attrs};
use classad::{ClassAd, Expr};
use dags::submit::JobSpec;
use proto::nouns::{JobId, Now, WorkerName};

use crate::job::{Cluster, Proc, ProcState};
use crate::negotiator::seconds;
use crate::pool::Worker;
use crate::queue::Queue;

/// What the amounts that a job asks for come to, as clauses: a slot is carved only if they hold,
/// whether its Requirements say so or not.
const AMOUNTS: [(&str, &str); 4] = [
    ("Cpus", "TARGET.Cpus >= MY.RequestCpus"),
    ("Memory", "TARGET.Memory >= MY.RequestMemory"),
    ("Disk", "TARGET.Disk >= MY.RequestDisk"),
    ("GPUs", "TARGET.GPUs >= MY.RequestGPUs"),
];

/// The answer to `why`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Why {
    pub status: &'static str,
    /// A stable code, listed in the README.
    pub code: &'static str,
    pub summary: String,
    /// In the order in which they are tested.
    pub clauses: Vec<ClauseCount>,
    /// Workers that are connected.
    pub workers: u32,
    /// Of those: matching when empty, but with too little left now.
    pub busy: u32,
    /// Accepted by the job, but refusing it.
    pub refused_by_worker: u32,
    /// Matching, but drained.
    pub drained: u32,
    pub hints: Vec<String>,
}

/// One clause against all workers, as if they were empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseCount {
    pub text: String,
    /// Workers that pass it by itself.
    pub alone: u32,
    /// Workers that pass it and all before it.
    pub in_order: u32,
    /// The numeric value that comes closest, and whose it is.
    pub nearest_miss: Option<String>,
}

impl Queue {
    /// Why a job is in the state it is in; nothing if there is no such job.
    pub fn why(&self, now: Now, job: JobId) -> Option<Why> {
        let (cluster, proc) = self.job(job)?;
        let status = proc.state.name();
        let say = |code, summary| {
            Some(Why {
                status,
                code,
                summary,
                ..Why::default()
            })
        };
        match &proc.state {
            ProcState::Idle => Some(self.why_idle(now, cluster, job, &proc)),
            ProcState::Running { worker, phase, .. } => {
                let doing = match phase {
                    crate::job::Phase::Ahead => "it waits for its slot on",
                    crate::job::Phase::Staging => "its files are being staged to",
                    crate::job::Phase::Executing => "it runs on",
                };
                say(
                    "W001",
                    format!("{doing} worker {worker}, attempt {}", proc.attempts),
                )
            }
            ProcState::Landing { ending } => say(
                "W002",
                format!("it ended on {}; its files are being written", ending.worker),
            ),
            ProcState::Held { code, reason, .. } => say(
                "W003",
                format!("it is held (code {}): {reason}", code.number()),
            ),
            ProcState::Completed { ending } => match &ending.failure {
                None => say("W004", "it ended well".to_owned()),
                Some(failure) => say("W005", format!("it {failure}")),
            },
            ProcState::Removed { reason } => say("W006", format!("it was removed: {reason}")),
        }
    }

    fn why_idle(&self, now: Now, cluster: &Cluster, job: JobId, proc: &Proc) -> Why {
        let why = |code, summary| Why {
            status: "Idle",
            code,
            summary,
            ..Why::default()
        };
        let spec = match self.shared_spec(cluster, job.proc) {
            Ok(spec) => spec,
            Err(reason) => {
                return why("W108", format!("its description does not expand: {reason}"));
            }
        };
        let workers: Vec<(&WorkerName, &Worker)> = self
            .pool
            .workers
            .iter()
            .filter(|(_, worker)| worker.session.is_some())
            .collect();
        if workers.is_empty() {
            return why("W101", "no worker is connected".to_owned());
        }
        let ad = self.job_ad(cluster, job, &spec);
        let empty: Vec<ClassAd> = workers
            .iter()
            .map(|(_, worker)| worker.emptied().slot)
            .collect();
        let names: Vec<&WorkerName> = workers.iter().map(|(name, _)| *name).collect();
        let clauses = clauses(&ad);
        let reports = explain_clauses(&clauses, &ad, &empty, seconds(now));
        let mut found = self.count(now, &ad, &spec, &workers, &empty);
        found.clauses = reports
            .iter()
            .map(|report| count_of(report, &names))
            .collect();
        found.hints = hints(&reports, &ad, &empty);
        if proc.attempts > 0 {
            found
                .hints
                .push(format!("it was started {} before", times(proc.attempts)));
        }
        found
    }

    /// Sorts the workers by what keeps the job from them, and says the worst of it.
    fn count(
        &self,
        now: Now,
        ad: &ClassAd,
        spec: &JobSpec,
        found: &[(&WorkerName, &Worker)],
        empty: &[ClassAd],
    ) -> Why {
        let mut why = Why {
            status: "Idle",
            workers: number(found.len()),
            ..Why::default()
        };
        let mut open = 0;
        for ((name, worker), slot) in found.iter().zip(empty) {
            let room = worker.emptied().has_room(spec);
            if !room || !classad::half_match(ad, slot, seconds(now)) {
                continue;
            }
            if !classad::half_match(slot, ad, seconds(now)) {
                why.refused_by_worker += 1;
            } else if self.drained.contains(name) {
                why.drained += 1;
            } else if worker.has_room(spec) {
                open += 1;
            } else {
                why.busy += 1;
            }
        }
        let of = workers(why.workers);
        let (busy, drained, refused) = (why.busy, why.drained, why.refused_by_worker);
        (why.code, why.summary) = if open > 0 {
            (
                "W107",
                format!("{open} of {of} can run it now; it is next in line"),
            )
        } else if busy > 0 {
            (
                "W103",
                format!("{busy} of {of} can run it and are busy; it runs when one is free"),
            )
        } else if drained > 0 {
            (
                "W106",
                format!("{drained} of {of} could run it and are drained"),
            )
        } else if refused > 0 {
            (
                "W105",
                format!("{refused} of {of} would do, but their own requirements refuse it"),
            )
        } else {
            ("W102", format!("none of {of} can run it"))
        };
        why
    }
}

/// The amounts, then what the Requirements say besides: they often say the same again.
fn clauses(ad: &ClassAd) -> Vec<Expr> {
    let own = ad
        .get("Requirements")
        .map(Expr::clauses)
        .unwrap_or_default();
    let asks = |name: &str| match name {
        "GPUs" => ad
            .eval("RequestGPUs")
            .as_i64()
            .is_some_and(|count| count > 0),
        _ => true,
    };
    let amounts = AMOUNTS.iter().filter(|(name, _)| asks(name));
    let mut clauses: Vec<Expr> = amounts
        .filter_map(|(_, text)| Expr::parse(text).ok())
        .collect();
    let mut said: Vec<String> = clauses.iter().map(gist).collect();
    for clause in own {
        let gist = gist(&clause);
        if gist != "true" && !said.contains(&gist) {
            said.push(gist);
            clauses.push(clause);
        }
    }
    clauses
}

/// A clause's text without what does not change its meaning at the top level of an ad.
fn gist(clause: &Expr) -> String {
    let text = clause.to_string().to_ascii_lowercase();
    text.replace("my.", "").replace(['(', ')', ' '], "")
}

/// A clause's text without parentheses around the whole of it.
fn bare(clause: &Expr) -> String {
    let text = clause.to_string();
    let inner = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    match inner {
        Some(inner) if Expr::parse(inner).is_ok() => inner.to_owned(),
        Some(_) | None => text,
    }
}

fn count_of(report: &ClauseReport, names: &[&WorkerName]) -> ClauseCount {
    let miss = |near: &NearMiss| {
        let has = format!("{} is {}", near.wanted_of, near.has);
        match names.get(near.target) {
            Some(name) => format!("{has} on {name}, needs {} {}", near.op.symbol(), near.needs),
            None => has,
        }
    };
    ClauseCount {
        text: bare(&report.clause),
        alone: number(report.passing),
        in_order: number(report.surviving),
        nearest_miss: report.nearest.as_ref().map(miss),
    }
}

/// What the clauses that nobody passes ask for and nobody has.
fn hints(reports: &[ClauseReport], ad: &ClassAd, empty: &[ClassAd]) -> Vec<String> {
    let failing = reports.iter().filter(|report| report.passing == 0);
    let unknown = failing.flat_map(|report| unknown_attrs(&report.clause, ad, empty));
    let hint = |attr: UnknownAttr| match attr.did_you_mean {
        Some(like) => format!(
            "no worker advertises `{}`; did you mean `{like}`?",
            attr.name
        ),
        None => format!("no worker advertises `{}`", attr.name),
    };
    unknown.map(hint).collect()
}

/// `1 worker`, `2 workers`.
fn workers(count: u32) -> String {
    if count == 1 {
        "1 worker".to_owned()
    } else {
        format!("{count} workers")
    }
}

fn times(count: u32) -> String {
    if count == 1 {
        "once".to_owned()
    } else {
        format!("{count} times")
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
