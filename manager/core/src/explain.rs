//! Why a job waits, why a node does not go on, why a worker gets nothing: each time evaluated anew.
//! Reads the queue and changes nothing; what the negotiator remembers of earlier answers is not
//! asked, but for how long jobs took.

use classad::ClassAd;
use proto::nouns::{JobId, Now, WorkerName};

use crate::job::{Cluster, Phase, Proc, ProcState};
use crate::queue::Queue;

mod asking;
mod barriers;
mod causes;
mod census;
mod changes;
mod clauses;
mod course;
mod devices;
mod node;
mod worker;

pub use causes::{Cause, Causes, Progress};

use asking::Asking;
use barriers::Barrier;
use census::{Census, Counts};

/// Holders of slots that one answer names.
const HOLDERS_MAX: usize = 5;

/// The answer to `why`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Why {
    pub status: &'static str,
    /// A stable code, listed in the README.
    pub code: &'static str,
    pub summary: String,
    pub prospect: Prospect,
    /// Of a job: its clauses against the workers as if they were empty, in the order in which they
    /// are tested. Of a worker: its own clauses against the jobs that wait.
    pub clauses: Vec<ClauseCount>,
    /// Workers that are connected.
    pub workers: u32,
    /// Of those: can take it at once.
    pub open: u32,
    /// Matching when empty, but with too little left now.
    pub busy: u32,
    /// Accepted by the job, but refusing it.
    pub refused_by_worker: u32,
    /// Matching, but drained.
    pub drained: u32,
    /// Matching, but given nothing for a while: they could not start jobs, or still run claims of
    /// an earlier time.
    pub paused: u32,
    /// The machines' side: clauses of those workers that the job accepts. Of a worker: clauses of
    /// jobs that refuse it.
    pub other_side: Vec<ClauseCount>,
    /// What the job asks of each GPU, against all devices of the workers.
    pub devices: Vec<ClauseCount>,
    /// Who holds what it could have, the first to end first.
    pub holders: Vec<Holder>,
    pub line: Option<Line>,
    /// Single changes that would let it match, the best first.
    pub changes: Vec<SmallChange>,
    /// When it will probably start, in milliseconds from now.
    pub starts_in_ms: Option<u64>,
    /// What that follows from, or why nothing can be said.
    pub starts_because: String,
    pub hints: Vec<String>,
}

/// What is to be expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prospect {
    /// It runs, or it ended well.
    #[default]
    Well,
    /// It failed, or it was removed.
    Failed,
    /// It waits for something that may come.
    NotNow,
    /// Nothing in the pool as it is could ever run it.
    Never,
}

/// One clause, and who passes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClauseCount {
    pub text: String,
    /// How many it was held against.
    pub of: u32,
    /// Those that pass it by itself.
    pub alone: u32,
    /// Those that pass it and all before it.
    pub in_order: u32,
    /// The numeric value that comes closest, and whose it is.
    pub nearest_miss: Option<String>,
}

/// Who holds what a job could have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub worker: WorkerName,
    pub job: JobId,
    /// When it will probably end, in milliseconds since 1970: of jobs like it some were measured.
    pub until_ms: Option<u64>,
}

/// The place of a job among those that wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub submitter: String,
    /// Jobs of the same submitter that go first; nothing while it has no place.
    pub before: Option<u64>,
    /// Of those: could take what it could have.
    pub rivals: u64,
    /// The lower, the larger the share.
    pub priority: f64,
    /// What the submitter has, and is entitled to, and what the pool has.
    pub weight: f64,
    pub entitled: f64,
    pub pool: f64,
}

/// A change of one thing that would let the job match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallChange {
    /// What there is now: `RequestMemory = 64000`, or a clause.
    pub from: String,
    /// What there would be; empty where the clause is left out.
    pub to: String,
    /// Workers that would match then, as if they were empty.
    pub slots: u32,
    /// For `qedit`: attributes and their expressions.
    pub edits: Vec<(String, String)>,
}

impl Queue {
    /// Why a job is in the state it is in; nothing if there is no such job.
    pub fn why(&self, now: Now, job: JobId) -> Option<Why> {
        let (cluster, proc) = self.job(job)?;
        let status = proc.state.name();
        let say = |prospect, code, summary| {
            Some(Why {
                status,
                code,
                summary,
                prospect,
                ..Why::default()
            })
        };
        match &proc.state {
            ProcState::Idle => Some(self.why_idle(now, cluster, job, &proc)),
            ProcState::Running { worker, phase, .. } => {
                let doing = match phase {
                    Phase::Ahead => "it waits for its slot on",
                    Phase::Staging => "its files are being staged to",
                    Phase::Executing => "it runs on",
                };
                say(
                    Prospect::Well,
                    "W001",
                    format!("{doing} worker {worker}, attempt {}", proc.attempts),
                )
            }
            ProcState::Landing { ending } => say(
                Prospect::Well,
                "W002",
                format!("it ended on {}; its files are being written", ending.worker),
            ),
            ProcState::Held { code, reason, .. } => say(
                Prospect::NotNow,
                "W003",
                format!("it is held (code {}): {reason}", code.number()),
            ),
            ProcState::Completed { ending } => match &ending.failure {
                None => say(Prospect::Well, "W004", "it ended well".to_owned()),
                Some(failure) => say(Prospect::Failed, "W005", format!("it {failure}")),
            },
            ProcState::Removed { reason } => say(
                Prospect::Failed,
                "W006",
                format!("it was removed: {reason}"),
            ),
        }
    }

    fn why_idle(&self, now: Now, cluster: &Cluster, job: JobId, proc: &Proc) -> Why {
        let idle = |prospect, code, summary| Why {
            status: "Idle",
            code,
            summary,
            prospect,
            ..Why::default()
        };
        let asking = match Asking::of(self, now, cluster, job) {
            Ok(asking) => asking,
            Err(reason) => {
                let summary = format!("its description does not expand: {reason}");
                return idle(Prospect::Never, "W108", summary);
            }
        };
        let census = Census::of(self);
        let counts = census.count(self, &asking);
        let barriers = barriers::of(self, now, &asking, &census, &counts);
        let mut why = verdict(self, &asking, &census, &counts, &barriers);
        self.add_sides(&mut why, &asking, &census, &counts);
        self.add_course(&mut why, now, &asking, &census, &counts);
        let said = barriers.iter().map(|barrier| barrier.to_string());
        let others: Vec<String> = said.filter(|text| *text != why.summary).collect();
        why.hints.extend(others);
        if census.cut_off > 0 {
            let of = workers(census.cut_off);
            why.hints.push(format!("{of} cut off and not counted"));
        }
        if proc.attempts > 0 {
            why.hints
                .push(format!("it was started {} before", times(proc.attempts)));
        }
        why
    }

    /// The clauses of both sides, the devices, and what would have to change.
    fn add_sides(&self, why: &mut Why, asking: &Asking, census: &Census, counts: &Counts) {
        if census.slots.is_empty() {
            return;
        }
        let (clauses, hints) = clauses::of_job(asking, census);
        (why.clauses, why.hints) = (clauses, hints);
        why.other_side = clauses::of_workers(asking, census, counts);
        why.devices = devices::counted_devices(asking, census);
        if counts.matching() == 0 {
            why.changes = self.changes(asking, census, counts);
        }
    }
}

/// What keeps a job from the workers, the worst of it first.
fn verdict(
    queue: &Queue,
    asking: &Asking,
    census: &Census,
    counts: &Counts,
    barriers: &[Barrier],
) -> Why {
    let connected = number(census.slots.len());
    let of = workers(connected);
    let [open, busy, drained, paused, refused] = counts.numbers();
    let refuses = counts.never(asking, census);
    let materialized = queue
        .clusters()
        .get(&asking.job.cluster)
        .is_some_and(|cluster| cluster.is_materialized(asking.job.proc));
    let (prospect, code, summary) = if connected == 0 {
        let text = "no worker is connected".to_owned();
        (Prospect::NotNow, "W101", text)
    } else if counts.matching() == 0 && refused > 0 {
        let text = format!("{refused} of {of} would do, but their own requirements refuse it");
        (refuses, "W105", text)
    } else if counts.matching() == 0 {
        (refuses, "W102", format!("none of {of} can run it"))
    } else if !materialized {
        let text = "it is not a job yet: max_materialize or max_idle of its cluster is reached";
        (Prospect::NotNow, "W109", text.to_owned())
    } else if let Some(barrier) = barriers.first() {
        (barrier.prospect(), barrier.code(), barrier.to_string())
    } else if open > 0 {
        let text = format!("{open} of {of} can run it now; it is next in line");
        (Prospect::NotNow, "W107", text)
    } else if busy > 0 {
        let text = format!("{busy} of {of} can run it and are busy; it runs when one is free");
        (Prospect::NotNow, "W103", text)
    } else if paused > 0 {
        let text = format!("{paused} of {of} could run it and get nothing for a while");
        (Prospect::NotNow, "W113", text)
    } else {
        let text = format!("{drained} of {of} could run it and are drained");
        (Prospect::NotNow, "W106", text)
    };
    Why {
        status: "Idle",
        code,
        summary,
        prospect,
        workers: connected,
        open,
        busy,
        refused_by_worker: refused,
        drained,
        paused,
        ..Why::default()
    }
}

/// `1 worker`, `2 workers`.
fn workers(count: u32) -> String {
    plural(u64::from(count), "worker")
}

fn plural(count: u64, of: &str) -> String {
    match count {
        1 => format!("1 {of}"),
        _ => format!("{count} {of}s"),
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What an ad's Requirements say; `false` where it has none, which accepts nobody.
fn requirements(ad: &ClassAd) -> classad::Expr {
    ad.get("Requirements")
        .cloned()
        .unwrap_or_else(|| false.into())
}
