//! Clauses and how many pass each: of a job against slots, of slots against a job.

use std::collections::BTreeMap;

use classad::explain::{
    ClauseReport, NearMiss, UnknownAttr, explain_clauses, explain_sides, unknown_attrs,
};
use classad::{ClassAd, Expr};
use proto::nouns::WorkerName;

use super::asking::Asking;
use super::census::{Census, Counts};
use super::{ClauseCount, number, requirements};
use crate::pool::spelled;

/// What the amounts that a job asks for come to, as clauses: a slot is carved only if they hold,
/// whether its Requirements say so or not.
const AMOUNTS: [(&str, &str); 4] = [
    ("Cpus", "TARGET.Cpus >= MY.RequestCpus"),
    ("Memory", "TARGET.Memory >= MY.RequestMemory"),
    ("Disk", "TARGET.Disk >= MY.RequestDisk"),
    ("GPUs", "TARGET.GPUs >= MY.RequestGPUs"),
];
/// Attributes that stand for others which stand for others, as far as they are followed.
const NAMED_MAX: usize = 16;
/// Different Requirements of workers that are shown clause by clause.
const PROGRAMS_MAX: usize = 8;

/// The job's clauses against the empty slots, and what its unknown names may have meant.
pub(super) fn of_job(asking: &Asking, census: &Census) -> (Vec<ClauseCount>, Vec<String>) {
    let clauses = all(asking);
    let reports = explain_clauses(&clauses, asking.ad(), &census.slots, asking.at);
    let of = number(census.slots.len());
    let named = |at: usize| census.names.get(at).map(WorkerName::to_string);
    let counts = reports.iter().map(|report| counted(report, of, &named));
    let counts = counts.collect();
    (counts, hints(&reports, asking.ad(), &census.slots))
}

/// The clauses of the workers that the job accepts, against the job. Workers with the same
/// Requirements are counted together; clauses that all of them pass are left out.
pub(super) fn of_workers(asking: &Asking, census: &Census, counts: &Counts) -> Vec<ClauseCount> {
    let accepted = [
        &counts.open,
        &counts.busy,
        &counts.drained,
        &counts.paused,
        &counts.refused,
    ];
    let mut programs: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for at in accepted.into_iter().flatten() {
        let text = requirements(&census.slots[*at]).to_exact();
        programs.entry(text).or_default().push(*at);
    }
    let mut found = Vec::new();
    for members in programs.values().take(PROGRAMS_MAX) {
        let slots: Vec<&ClassAd> = members.iter().map(|at| &census.slots[*at]).collect();
        let clauses = own_clauses(slots[0]);
        let reports = explain_sides(&clauses, &slots, asking.ad(), asking.at);
        let of = number(members.len());
        let named = |at: usize| members.get(at).map(|at| census.names[*at].to_string());
        let failing = reports.iter().filter(|report| report.passing < slots.len());
        found.extend(failing.map(|report| counted(report, of, &named)));
    }
    found
}

/// The amounts, then what the Requirements say besides: they often say the same again.
pub(super) fn all(asking: &Asking) -> Vec<Expr> {
    let (ad, spec) = (asking.ad(), &asking.spec);
    let asks = |name: &str| name != "GPUs" || spec.request_gpus > 0;
    let amounts = AMOUNTS.iter().filter(|(name, _)| asks(name));
    let amounts = amounts.map(|(_, text)| (*text).to_owned());
    let custom = spec.request_other.keys().map(|name| {
        let name = spelled("", name);
        format!("TARGET.{name} >= MY.Request{name}")
    });
    let texts = amounts.chain(custom);
    let mut clauses: Vec<Expr> = texts.filter_map(|text| Expr::parse(&text).ok()).collect();
    let mut said: Vec<String> = clauses.iter().map(gist).collect();
    for clause in requirements(ad).clauses() {
        let gist = gist(&clause);
        if gist != "true" && !said.contains(&gist) {
            said.push(gist);
            clauses.push(clause);
        }
    }
    clauses
}

/// The clauses of an ad's Requirements, with names that stand for more in their place: `START` says
/// nothing to anybody.
pub(super) fn own_clauses(ad: &ClassAd) -> Vec<Expr> {
    let mut open = requirements(ad).clauses();
    open.reverse();
    let mut found = Vec::new();
    let mut followed = 0;
    while let Some(clause) = open.pop() {
        let name = clause.to_string();
        let name = name.trim_start_matches('(').trim_end_matches(')');
        let name = name.strip_prefix("MY.").unwrap_or(name);
        match ad.get(name).filter(|_| followed < NAMED_MAX) {
            Some(meant) => {
                followed += 1;
                open.extend(meant.clauses().into_iter().rev());
            }
            None if name.eq_ignore_ascii_case("true") => {}
            None => found.push(clause),
        }
    }
    found
}

/// A clause's text without what does not change its meaning at the top level of an ad.
pub(super) fn gist(clause: &Expr) -> String {
    let text = clause.to_string().to_ascii_lowercase();
    text.replace("my.", "").replace(['(', ')', ' '], "")
}

/// A clause's text without parentheses around the whole of it.
pub(super) fn bare(clause: &Expr) -> String {
    let text = clause.to_string();
    let inner = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    match inner {
        Some(inner) if Expr::parse(inner).is_ok() => inner.to_owned(),
        Some(_) | None => text,
    }
}

pub(super) fn counted(
    report: &ClauseReport,
    of: u32,
    named: &dyn Fn(usize) -> Option<String>,
) -> ClauseCount {
    let miss = |near: &NearMiss| {
        let has = format!("{} is {}", near.wanted_of, near.has);
        match named(near.target) {
            Some(name) => format!("{has} on {name}, needs {} {}", near.op.symbol(), near.needs),
            None => has,
        }
    };
    ClauseCount {
        text: bare(&report.clause),
        of,
        alone: number(report.passing),
        in_order: number(report.surviving),
        nearest_miss: report.nearest.as_ref().map(miss),
    }
}

/// What the clauses that nobody passes ask for and nobody has.
fn hints(reports: &[ClauseReport], ad: &ClassAd, slots: &[ClassAd]) -> Vec<String> {
    let failing = reports.iter().filter(|report| report.passing == 0);
    let unknown = failing.flat_map(|report| unknown_attrs(&report.clause, ad, slots));
    let hint = |attr: UnknownAttr| match attr.did_you_mean {
        Some(like) => format!(
            "no worker advertises `{}`; did you mean `{like}`?",
            attr.name
        ),
        None => format!("no worker advertises `{}`", attr.name),
    };
    unknown.map(hint).collect()
}
