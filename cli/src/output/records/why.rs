//! The records of `why`.

use proto::wire;
use serde::Serialize;

use super::filled;
use crate::output::time::rfc3339;

/// Why a job, node or worker is where it is.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    pub id: String,
    pub status: String,
    /// A stable code.
    pub code: String,
    /// `well`, `failed`, `not_now` or `never`.
    pub prospect: &'static str,
    pub summary: String,
    pub clauses: Vec<Clause>,
    pub workers: u32,
    pub workers_open: u32,
    pub workers_busy: u32,
    pub workers_refusing: u32,
    pub workers_drained: u32,
    pub workers_paused: u32,
    /// Of a job: clauses of workers; of a worker: clauses of jobs.
    pub other_side: Vec<Clause>,
    /// What the job asks of each GPU, against all devices.
    pub devices: Vec<Clause>,
    pub holders: Vec<Holder>,
    pub line: Option<Line>,
    pub changes: Vec<Change>,
    pub starts_in_ms: Option<u64>,
    pub starts_because: Option<String>,
    pub hints: Vec<String>,
}

/// One clause, and how many pass it.
#[derive(Clone, Debug, Serialize)]
pub struct Clause {
    pub text: String,
    /// How many it was held against.
    pub of: u32,
    /// Those that pass it by itself.
    pub pass_alone: u32,
    /// Those left after it and all before it.
    pub left: u32,
    pub nearest_miss: Option<String>,
}

/// Who holds what it could have.
#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    pub worker: String,
    pub job: String,
    pub until: Option<String>,
    pub until_ms: Option<u64>,
}

/// Its place among those that wait.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub submitter: String,
    pub jobs_before: Option<u64>,
    /// Of those: could take what it could have.
    pub jobs_rivaling: u64,
    pub priority: f64,
    pub weight: f64,
    pub weight_entitled: f64,
    pub weight_pool: f64,
}

/// One change that would let it match.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub from: String,
    /// Nothing where the clause is left out.
    pub to: Option<String>,
    pub slots: u32,
    pub edits: Vec<Edit>,
}

/// An attribute and its expression, for `qedit`.
#[derive(Clone, Debug, Serialize)]
pub struct Edit {
    pub name: String,
    pub value: String,
}

/// Everything that waits, by cause.
#[derive(Clone, Debug, Serialize)]
pub struct Causes {
    pub causes: Vec<Cause>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    pub code: String,
    pub prospect: &'static str,
    pub summary: String,
    pub clause: Option<String>,
    pub jobs: u64,
    /// One of them.
    pub example: String,
}

impl From<wire::WhyReply> for Why {
    fn from(why: wire::WhyReply) -> Why {
        let prospect = named(why.prospect());
        let clauses = |of: Vec<wire::Clause>| of.into_iter().map(Clause::from).collect();
        Why {
            id: why.id,
            status: why.status,
            code: why.code,
            prospect,
            summary: why.summary,
            clauses: clauses(why.clauses),
            workers: why.workers,
            workers_open: why.open,
            workers_busy: why.busy,
            workers_refusing: why.refused_by_worker,
            workers_drained: why.drained,
            workers_paused: why.paused,
            other_side: clauses(why.other_side),
            devices: clauses(why.devices),
            holders: why.holders.into_iter().map(Holder::from).collect(),
            line: why.line.map(Line::from),
            changes: why.changes.into_iter().map(Change::from).collect(),
            starts_in_ms: why.starts_in_ms,
            starts_because: filled(why.starts_because),
            hints: why.hints,
        }
    }
}

impl From<wire::Clause> for Clause {
    fn from(clause: wire::Clause) -> Clause {
        Clause {
            text: clause.text,
            of: clause.of,
            pass_alone: clause.alone,
            left: clause.in_order,
            nearest_miss: filled(clause.nearest_miss),
        }
    }
}

impl From<wire::Holder> for Holder {
    fn from(holder: wire::Holder) -> Holder {
        Holder {
            worker: holder.worker,
            job: holder.job,
            until: holder.until_ms.and_then(rfc3339),
            until_ms: holder.until_ms,
        }
    }
}

impl From<wire::Line> for Line {
    fn from(line: wire::Line) -> Line {
        Line {
            submitter: line.submitter,
            jobs_before: line.before,
            jobs_rivaling: line.rivals,
            priority: line.priority,
            weight: line.weight,
            weight_entitled: line.entitled,
            weight_pool: line.pool,
        }
    }
}

impl From<wire::SmallChange> for Change {
    fn from(change: wire::SmallChange) -> Change {
        let edits = change.edits.into_iter().map(|edit| Edit {
            name: edit.name,
            value: edit.value,
        });
        Change {
            from: change.from,
            to: filled(change.to),
            slots: change.slots,
            edits: edits.collect(),
        }
    }
}

impl From<wire::WhyAllReply> for Causes {
    fn from(reply: wire::WhyAllReply) -> Causes {
        let cause = |cause: wire::Cause| Cause {
            prospect: named(cause.prospect()),
            code: cause.code,
            summary: cause.summary,
            clause: filled(cause.clause),
            jobs: cause.jobs,
            example: cause.example,
        };
        Causes {
            causes: reply.causes.into_iter().map(cause).collect(),
        }
    }
}

fn named(prospect: wire::Prospect) -> &'static str {
    match prospect {
        wire::Prospect::Unspecified | wire::Prospect::Well => "well",
        wire::Prospect::Failed => "failed",
        wire::Prospect::NotNow => "not_now",
        wire::Prospect::Never => "never",
    }
}
