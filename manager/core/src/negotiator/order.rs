//! Which of the places that match is taken: the pool's `order`, term by term.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use classad::matching::Prepared;
use classad::{ClassAd, Expr, Scope};

use crate::pool::is_dynamic;

/// The term that counts what of a job's inputs a worker has.
const CACHED: &str = "CachedInputMb";
/// The terms that put the fullest places first: the market keeps them in this order.
const PACKING: [&str; 3] = ["-GPUs", "-Cpus", "-Memory"];
/// Amounts of a slot, in lower case.
const AMOUNTS: [&str; 4] = ["cpus", "disk", "gpus", "memory"];
/// What the terms see besides the slot's ad.
const SLOT_RANK: &str = "SlotRank";
const JOB_RANK: &str = "JobRank";

/// The terms, and how much of them can be worked out for a whole class of workers.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    terms: Vec<Expr>,
    /// Where `CachedInputMb` stands.
    cached: Option<usize>,
    /// How many terms are left when those that the market keeps are taken off.
    head: usize,
    speed: Speed,
    names: BTreeSet<String>,
    weighs: Weighs,
}

/// What the pool's weight is worked out from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weighs {
    /// The amounts of a slot.
    Amounts,
    Anything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speed {
    /// All terms of the head are alike in a class.
    Fast,
    /// Each place is worked out by itself.
    Slow,
}

/// Terms of a place: before `CachedInputMb`, and after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Terms {
    pub before: Numbers,
    pub after: Numbers,
}

/// Numbers that are compared one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Numbers(Vec<f64>);

impl Order {
    /// `weight` is what claims weigh: what it asks of jobs decides, too, whether they are alike.
    pub fn new(terms: &[Expr], weight: &Expr) -> Order {
        let is = |expr: &Expr, text: &str| {
            let same = expr.to_string().replace([' ', '(', ')'], "");
            same.eq_ignore_ascii_case(text)
        };
        let packed = terms.len() >= PACKING.len() && {
            let tail = &terms[terms.len() - PACKING.len()..];
            tail.iter().zip(PACKING).all(|(expr, text)| is(expr, text))
        };
        let head = if packed {
            terms.len() - PACKING.len()
        } else {
            terms.len()
        };
        let cached = terms[..head].iter().position(|expr| is(expr, CACHED));
        let mentions = |expr: &Expr| expr.references();
        let changes = |expr: &Expr| {
            let names = mentions(expr).internal;
            let names = names.iter().map(|name| name.folded().into_owned());
            names.into_iter().any(|name| {
                is_dynamic(&name)
                    || name == CACHED.to_ascii_lowercase()
                    || name.starts_with("gpus_")
            })
        };
        let mut fixed = (0..head).filter(|at| Some(*at) != cached);
        let speed = match fixed.any(|at| changes(&terms[at])) {
            true => Speed::Slow,
            false => Speed::Fast,
        };
        let amounts = |name: &str| AMOUNTS.contains(&name);
        let weighed = mentions(weight);
        let plain = weighed.external.is_empty()
            && weighed.internal.iter().all(|name| amounts(&name.folded()));
        // A name that a slot's ad lacks is looked for in the job's.
        let names = terms.iter().chain([weight]).flat_map(|expr| {
            let names = mentions(expr);
            names.external.into_iter().chain(names.internal)
        });
        Order {
            names: names.map(|name| name.folded().into_owned()).collect(),
            weighs: match plain {
                true => Weighs::Amounts,
                false => Weighs::Anything,
            },
            terms: terms.to_vec(),
            cached,
            head,
            speed,
        }
    }

    /// Attributes of either side that decide, in lower case.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Whether the weight of a claim follows from its amounts alone.
    pub fn weighs_amounts(&self) -> bool {
        self.weighs == Weighs::Amounts
    }

    pub fn is_fast(&self) -> bool {
        self.speed == Speed::Fast
    }

    pub fn counts_cached(&self) -> bool {
        self.cached.is_some()
    }

    /// The terms that all places of a class have in common. `whole` is what claims do not change.
    pub fn of_class(&self, job: &Prepared, whole: &ClassAd, now_secs: i64) -> Terms {
        let ad = ranked(job, whole, 0, now_secs);
        let cached = self.cached.unwrap_or(self.head);
        let value = |expr: &Expr| number(&ad, job.ad(), expr, now_secs);
        Terms {
            before: Numbers(self.terms[..cached].iter().map(value).collect()),
            after: Numbers(
                self.terms[cached..self.head]
                    .iter()
                    .skip(usize::from(self.cached.is_some()))
                    .map(value)
                    .collect(),
            ),
        }
    }

    /// All terms of one place.
    pub fn of_slot(&self, job: &Prepared, slot: &ClassAd, cached_mib: u64, now_secs: i64) -> Terms {
        let ad = ranked(job, slot, cached_mib, now_secs);
        let value = |expr: &Expr| number(&ad, job.ad(), expr, now_secs);
        Terms {
            before: Numbers(self.terms.iter().map(value).collect()),
            after: Numbers::default(),
        }
    }
}

/// A slot's ad with how each side ranks the other.
fn ranked(job: &Prepared, slot: &ClassAd, cached_mib: u64, now_secs: i64) -> ClassAd {
    let mut ad = slot.clone();
    ad.insert(SLOT_RANK, classad::rank(slot, job.ad(), now_secs));
    ad.insert(JOB_RANK, job.rank(slot, now_secs));
    ad.insert(CACHED, i64::try_from(cached_mib).unwrap_or(i64::MAX));
    ad
}

/// A term's value; what is no number counts as none.
fn number(slot: &ClassAd, job: &ClassAd, term: &Expr, now_secs: i64) -> f64 {
    let scope = Scope::new(slot).target(job).now(now_secs);
    let value = scope.eval(term).as_f64();
    value.filter(|number| !number.is_nan()).unwrap_or(0.0)
}

impl Numbers {
    pub fn cmp(&self, other: &Numbers) -> Ordering {
        let Numbers(a) = self;
        let Numbers(b) = other;
        let pairs = a.iter().zip(b);
        let mut differing = pairs.map(|(a, b)| a.total_cmp(b));
        let differing = differing.find(|order| *order != Ordering::Equal);
        differing.unwrap_or_else(|| a.len().cmp(&b.len()))
    }
}
