//! The smallest changes of a job that would let it match: each is tried, and what would match then
//! is counted by evaluating it.

use std::sync::Arc;

use classad::explain::{NearMiss, explain_clauses, explain_sides};
use classad::{BinaryOp, ClassAd, Expr, Value};
use dags::submit::parse_edits;
use proto::nouns::Now;

use super::asking::Asking;
use super::census::{Census, Counts};
use super::clauses::{bare, gist, own_clauses};
use super::devices::{self, Whole};
use super::{SmallChange, requirements};
use crate::queue::Queue;

/// Changes that are told.
const CHANGES_MAX: usize = 5;
/// Changes that are tried, each against all workers.
const TRIED_MAX: usize = 24;
/// Workers that refuse the job and whose bounds are tried.
const REFUSING_MAX: usize = 64;
/// Values of one bound that are tried, the nearest first.
const VALUES_MAX: usize = 4;

/// A change that may be tried.
struct Candidate {
    from: String,
    to: String,
    edits: Vec<(String, String)>,
}

/// Where a clause that is to be changed stands.
struct Standing<'a> {
    /// The attribute that the clauses are of.
    attribute: &'a str,
    all: Vec<Expr>,
}

impl Queue {
    /// Changes of one thing that would let a job match that nobody matches, the best first.
    pub(super) fn changes(
        &self,
        asking: &Asking,
        census: &Census,
        counts: &Counts,
    ) -> Vec<SmallChange> {
        let (clauses, failed) = asking.failures(&census.slots);
        let mut relaxed = of_refusing(asking, census, counts);
        let mut dropped = Vec::new();
        for (at, clause) in clauses.iter().enumerate() {
            let sole = failed.iter().enumerate().filter(|(_, fails)| {
                let fails: &Vec<usize> = fails;
                fails.contains(&at) && fails.iter().all(|of| together(&clauses, at, *of))
            });
            let slots: Vec<usize> = sole.map(|(slot, _)| slot).collect();
            if slots.is_empty() {
                continue;
            }
            let of = Standing {
                attribute: "Requirements",
                all: requirements(asking.ad()).clauses(),
            };
            let ads: Vec<ClassAd> = slots.iter().map(|at| census.slots[*at].clone()).collect();
            let single = std::slice::from_ref(clause);
            let report = explain_clauses(single, asking.ad(), &ads, asking.at);
            if let Some(near) = report.first().and_then(|report| report.nearest.as_ref()) {
                relaxed.extend(relax(asking, &of, clause, near));
            }
            if asks_of_devices(clause) {
                of_devices(asking, census, &slots, &mut relaxed, &mut dropped);
            }
            if !is_automatic(clause) {
                dropped.push(drop_of(&of, clause));
            }
        }
        let mut found: Vec<SmallChange> = Vec::new();
        for candidates in [relaxed, dropped] {
            let tried = candidates.into_iter().take(TRIED_MAX);
            let mut some: Vec<SmallChange> = tried
                .filter_map(|candidate| self.tried(asking, census, candidate))
                .collect();
            some.sort_by(|a, b| b.slots.cmp(&a.slots).then_with(|| a.from.cmp(&b.from)));
            for change in some {
                let edits = &change.edits;
                if !found.iter().any(|other| other.edits == *edits) {
                    found.push(change);
                }
            }
        }
        found.truncate(CHANGES_MAX);
        found
    }

    /// What a change comes to; nothing if nobody would match then either.
    fn tried(&self, asking: &Asking, census: &Census, what: Candidate) -> Option<SmallChange> {
        let Candidate { from, to, edits } = what;
        let pairs = edits
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let edited = parse_edits(pairs).ok()?;
        let spec = (*asking.spec).clone().edited(&edited).ok()?;
        let cluster = self.clusters().get(&asking.job.cluster)?;
        let now = Now {
            wall_ms: u64::try_from(asking.at).unwrap_or(0).saturating_mul(1000),
            mono_ms: 0,
        };
        let other = Asking::with(self, now, cluster, asking.job, Arc::new(spec));
        let slots = super::number(census.matching(&other));
        (slots > 0).then_some(SmallChange {
            from,
            to,
            slots,
            edits,
        })
    }
}

/// Attributes of the job at the bounds that workers set for it, where one of their clauses refuses
/// it.
fn of_refusing(asking: &Asking, census: &Census, counts: &Counts) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for at in counts.refused.iter().take(REFUSING_MAX) {
        let slot = &census.slots[*at];
        for report in explain_sides(&own_clauses(slot), &[slot], asking.ad(), asking.at) {
            let Some(near) = report.nearest.filter(|near| reached(near.op) == near.op) else {
                continue;
            };
            let sides = [(&near.wanted_of, &near.needs), (&near.bound, &near.has)];
            let own = sides.into_iter().find_map(|(side, to)| {
                let name = side.to_string();
                let name = name.strip_prefix("TARGET.").unwrap_or(&name).to_owned();
                let to = to.as_i64()?.to_string();
                asking.ad().contains(&name).then_some((name, to))
            });
            let Some(edit) = own else { continue };
            if !found.iter().any(|other| other.edits.contains(&edit)) {
                let (name, to) = &edit;
                found.push(Candidate {
                    from: format!("{name} = {}", asking.ad().eval(name)),
                    to: format!("{name} = {to}"),
                    edits: vec![edit],
                });
            }
        }
    }
    found
}

/// Whether two clauses fail together: how many GPUs there are, and what they must be.
fn together(clauses: &[Expr], one: usize, other: usize) -> bool {
    one == other || (asks_of_gpus(&clauses[one]) && asks_of_gpus(&clauses[other]))
}

fn asks_of_gpus(clause: &Expr) -> bool {
    gist(clause).ends_with(">=requestgpus")
}

fn asks_of_devices(clause: &Expr) -> bool {
    gist(clause).starts_with("countmatchesrequiregpus")
}

/// Whether a clause only says again what is carved: without it nothing more would match.
fn is_automatic(clause: &Expr) -> bool {
    let gist = gist(clause);
    gist.starts_with("target.") && gist.contains(">=request") || asks_of_devices(clause)
}

/// The clause with its bound at what there is: an attribute of the job that is the bound, or the
/// clause itself.
fn relax(asking: &Asking, of: &Standing<'_>, clause: &Expr, near: &NearMiss) -> Option<Candidate> {
    let has = match &near.has {
        Value::Int(value) => value.to_string(),
        Value::Real(value) if value.is_finite() => value.to_string(),
        _ => return None,
    };
    let bound = near.bound.to_string();
    let name = bound.strip_prefix("MY.").unwrap_or(&bound);
    let name = name.strip_prefix("TARGET.").unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let own = asking.ad().iter().find(|(own, _)| {
        !name.is_empty() && name.chars().all(plain) && own.as_str().eq_ignore_ascii_case(name)
    });
    let op = reached(near.op);
    if let Some((own, _)) = own.filter(|_| op == near.op) {
        if own.as_str().eq_ignore_ascii_case("RequestGPUs") && near.has.as_i64() < Some(1) {
            return None;
        }
        return Some(Candidate {
            from: format!("{own} = {}", near.needs),
            to: format!("{own} = {has}"),
            edits: vec![(own.as_str().to_owned(), has)],
        });
    }
    let to = format!("{} {} {has}", near.wanted_of, op.symbol());
    let changed = replaced(of, clause, Some(&to))?;
    let mut edits = vec![(of.attribute.to_owned(), changed)];
    if of.attribute == "RequireGPUs"
        && near
            .wanted_of
            .to_string()
            .eq_ignore_ascii_case("FreeGlobalMemoryMb")
        && asking.spec.request_gpu_memory_mib.is_some()
    {
        edits.insert(0, ("RequestGPUMemory".to_owned(), has));
    }
    Some(Candidate {
        from: bare(clause),
        to,
        edits,
    })
}

/// The comparison that what comes closest would pass.
fn reached(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Gt => BinaryOp::Ge,
        BinaryOp::Lt => BinaryOp::Le,
        other => other,
    }
}

fn drop_of(of: &Standing<'_>, clause: &Expr) -> Candidate {
    let changed = replaced(of, clause, None);
    Candidate {
        from: bare(clause),
        to: String::new(),
        edits: changed
            .map(|text| (of.attribute.to_owned(), text))
            .into_iter()
            .collect(),
    }
}

/// The whole expression with one clause changed or left out; nothing if the clause is not in it.
fn replaced(of: &Standing<'_>, clause: &Expr, by: Option<&str>) -> Option<String> {
    let by = match by {
        Some(text) => Some(Expr::parse(text).ok()?),
        None => None,
    };
    let meant = gist(clause);
    let mut seen = 0;
    let changed = of.all.iter().filter_map(|own| match gist(own) == meant {
        true => {
            seen += 1;
            by.clone()
        }
        false => Some(own.clone()),
    });
    let changed: Vec<Expr> = changed.collect();
    (seen > 0).then(|| Expr::all(changed).to_string())
}

/// Changes of what the job asks of each GPU.
fn of_devices(
    asking: &Asking,
    census: &Census,
    slots: &[usize],
    relaxed: &mut Vec<Candidate>,
    dropped: &mut Vec<Candidate>,
) {
    let clauses = devices::clauses(asking);
    let devices: Vec<Whole> = devices::of(census)
        .filter(|device| slots.binary_search(&device.worker).is_ok())
        .collect();
    let passes = |device: &Whole, clause: &Expr| {
        let scope = classad::Scope::new(&device.ad).target(asking.ad());
        scope.now(asking.at).eval(clause).is_true()
    };
    for (at, clause) in clauses.iter().enumerate() {
        let of = Standing {
            attribute: "RequireGPUs",
            all: clauses.clone(),
        };
        let others = |device: &&Whole| {
            let mut others = clauses.iter().enumerate().filter(|(other, _)| *other != at);
            others.all(|(_, other)| passes(device, other))
        };
        let missing = devices.iter().filter(others);
        let mut missing: Vec<&ClassAd> = missing
            .filter(|device| !passes(device, clause))
            .map(|device| &device.ad)
            .collect();
        let single = std::slice::from_ref(clause);
        for _ in 0..VALUES_MAX {
            let reports = explain_sides(single, &missing, asking.ad(), asking.at);
            let Some(near) = reports.first().and_then(|report| report.nearest.as_ref()) else {
                break;
            };
            relaxed.extend(relax(asking, &of, clause, near));
            let has = near.has.clone();
            let of_side = |ad: &ClassAd| {
                let scope = classad::Scope::new(ad).target(asking.ad());
                scope.now(asking.at).eval(&near.wanted_of)
            };
            missing.retain(|ad| of_side(ad) != has);
        }
        if asking.spec.request_gpu_memory_mib.is_none() || !gist(clause).starts_with("free") {
            dropped.push(drop_of(&of, clause));
        }
    }
}
