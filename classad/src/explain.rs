//! Why an ad's Requirements accept so few: each top-level conjunct counted against every other
//! side, by evaluating it. Gives facts, prints nothing, and takes no shortcut that matching does
//! not take.

mod near;

use std::collections::BTreeSet;

use crate::ad::ClassAd;
use crate::compiled::Compiled;
use crate::eval::Scope;
use crate::expr::{BinaryOp, Expr, Node, Ref, Special};
use crate::matching::{self, REQUIREMENTS};
use crate::name::AttrName;
use crate::value::Value;

/// What Requirements make of a set of targets.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// How many targets were looked at.
    pub targets: usize,
    /// How many of them `my`'s Requirements accept as a whole.
    pub accepted: usize,
    /// How many of those accept `my` in turn.
    pub matched: usize,
    /// The conjuncts of Requirements in order; none if `my` has no Requirements.
    pub clauses: Vec<ClauseReport>,
    /// Attributes that Requirements want of the other side and that no target has.
    pub unknown: Vec<UnknownAttr>,
}

/// One conjunct against every target.
#[derive(Clone, PartialEq, Debug)]
pub struct ClauseReport {
    /// The conjunct.
    pub clause: Expr,
    /// How many targets it accepts by itself.
    pub passing: usize,
    /// How many targets it and all conjuncts before it accept.
    pub surviving: usize,
    /// For how many targets it is UNDEFINED.
    pub undefined: usize,
    /// For how many targets it is ERROR.
    pub errors: usize,
    /// Where it is a numeric comparison, or a choice of which one is (`a >= 1 || b >= 2`), that
    /// refuses at least one target: the target that comes closest.
    pub nearest: Option<NearMiss>,
}

/// The refused target that comes closest to passing a numeric comparison.
#[derive(Clone, PartialEq, Debug)]
pub struct NearMiss {
    /// Its position among the targets; the first of those that come equally close.
    pub target: usize,
    /// The side of the comparison that depends on the target.
    pub wanted_of: Expr,
    /// What that side is for it.
    pub has: Value,
    /// How it would have to compare: `wanted_of op needs`.
    pub op: BinaryOp,
    /// What it is compared with.
    pub needs: Value,
    /// Where that comes from.
    pub bound: Expr,
}

/// An attribute that no target has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownAttr {
    /// As Requirements spell it.
    pub name: AttrName,
    /// The name that some target has and that is spelled most alike, if any is alike enough.
    pub did_you_mean: Option<AttrName>,
}

/// Explains `my`'s Requirements against `targets` at `now_secs`.
pub fn explain(my: &ClassAd, targets: &[ClassAd], now_secs: i64) -> Explanation {
    let Some(requirements) = my.get(REQUIREMENTS) else {
        return Explanation {
            targets: targets.len(),
            accepted: 0,
            matched: 0,
            clauses: Vec::new(),
            unknown: Vec::new(),
        };
    };
    let accepts: Vec<bool> = targets
        .iter()
        .map(|target| matching::half_match(my, target, now_secs))
        .collect();
    let matched = targets
        .iter()
        .zip(&accepts)
        .filter(|(target, accepts)| **accepts && matching::half_match(target, my, now_secs));
    Explanation {
        targets: targets.len(),
        accepted: accepts.iter().filter(|accepts| **accepts).count(),
        matched: matched.count(),
        clauses: explain_clauses(&requirements.clauses(), my, targets, now_secs),
        unknown: unknown_attrs(requirements, my, targets),
    }
}

/// Counts `clauses` in order against `targets`, as [`explain`] does with those of Requirements.
pub fn explain_clauses(
    clauses: &[Expr],
    my: &ClassAd,
    targets: &[ClassAd],
    now_secs: i64,
) -> Vec<ClauseReport> {
    let scopes: Vec<Scope<'_>> = targets
        .iter()
        .map(|target| Scope::new(my).target(target).now(now_secs))
        .collect();
    let alone = Scope::new(my).now(now_secs);
    reports(clauses, &scopes, &alone, |clause| {
        Compiled::in_ad(my, clause)
    })
}

/// The same from the other side: `clauses` that stand in each of `sides`, held against `other`.
/// What a [`NearMiss`] calls a target is one of `sides`, and `wanted_of` is what differs between
/// them.
pub fn explain_sides(
    clauses: &[Expr],
    sides: &[&ClassAd],
    other: &ClassAd,
    now_secs: i64,
) -> Vec<ClauseReport> {
    let scopes: Vec<Scope<'_>> = sides
        .iter()
        .map(|side| Scope::new(side).target(other).now(now_secs))
        .collect();
    let nobody = ClassAd::new();
    let alone = Scope::new(&nobody).target(other).now(now_secs);
    reports(clauses, &scopes, &alone, Compiled::new)
}

fn reports(
    clauses: &[Expr],
    scopes: &[Scope<'_>],
    alone: &Scope<'_>,
    compile: impl Fn(&Expr) -> Compiled,
) -> Vec<ClauseReport> {
    let mut survives = vec![true; scopes.len()];
    let mut reports = Vec::with_capacity(clauses.len());
    for clause in clauses {
        let mut report = ClauseReport {
            clause: clause.clone(),
            passing: 0,
            surviving: 0,
            undefined: 0,
            errors: 0,
            nearest: None,
        };
        let compiled = compile(clause);
        let mut near = near::Search::new(clause);
        for (i, scope) in scopes.iter().enumerate() {
            let value = scope.run(&compiled);
            let passes = value.is_true();
            report.passing += usize::from(passes);
            report.undefined += usize::from(value.is_undefined());
            report.errors += usize::from(value.is_error());
            survives[i] &= passes;
            report.surviving += usize::from(survives[i]);
            if !passes {
                near.consider(scope, alone, i);
            }
        }
        report.nearest = near.finish();
        reports.push(report);
    }
    reports
}

/// The attributes that `expr` leaves to the other side, directly or through `my`'s own attributes,
/// and that no target has.
pub fn unknown_attrs(expr: &Expr, my: &ClassAd, targets: &[ClassAd]) -> Vec<UnknownAttr> {
    if targets.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeSet<&AttrName> = BTreeSet::new();
    for target in targets {
        collect_names(target, &mut known);
    }
    let wanted = wanted_of_targets(expr, my);
    let unknown = wanted.into_iter().filter(|name| !known.contains(name));
    unknown
        .map(|name| {
            let did_you_mean = crate::spelling::nearest(&name, known.iter().copied()).cloned();
            UnknownAttr { name, did_you_mean }
        })
        .collect()
}

/// The names of an ad and of those inside it: a job may ask for what its devices have.
fn collect_names<'a>(ad: &'a ClassAd, known: &mut BTreeSet<&'a AttrName>) {
    for (name, expr) in ad.iter() {
        known.insert(name);
        if !expr.is_literal() {
            collect_nested(expr.as_ref(), known);
        }
    }
}

fn collect_nested<'a>(expr: Ref<'a>, known: &mut BTreeSet<&'a AttrName>) {
    match expr.node() {
        Node::Ad(ad) => collect_names(ad, known),
        _ => {
            for child in expr.children() {
                collect_nested(child, known);
            }
        }
    }
}

/// Names that only a target can give a meaning.
fn wanted_of_targets(expr: &Expr, my: &ClassAd) -> Vec<AttrName> {
    let mut wanted: BTreeSet<AttrName> = BTreeSet::new();
    let mut seen: BTreeSet<AttrName> = BTreeSet::new();
    let mut open = vec![expr.clone()];
    while let Some(expr) = open.pop() {
        let references = expr.references();
        wanted.extend(references.external);
        for name in references.internal {
            // `TARGET` and the like are no attributes.
            if !seen.insert(name.clone()) || Special::of(name.as_ref()).is_some() {
                continue;
            }
            match my.get_name(&name) {
                Some(definition) => open.push(definition.clone()),
                None => {
                    wanted.insert(name);
                }
            }
        }
    }
    wanted.into_iter().collect()
}
