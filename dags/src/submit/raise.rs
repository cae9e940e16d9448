//! What a job asks for when it needed more of something than it had: `retry_request_memory` and its
//! kin. Says how much comes next; when, and that it is remembered, is the queue's.
//!
//! Taken from the job's ad, so that the two cannot disagree.

use classad::{ClassAd, Expr, Scope, Value};
use serde::{Deserialize, Serialize};

/// How one amount grows, in its own unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raise {
    /// What the first retry has, where that is more than the job had.
    pub first: Option<u64>,
    /// What every further one has.
    pub step: Option<RaiseStep>,
    /// Never more than this.
    pub max: Option<u64>,
}

/// From one amount to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RaiseStep {
    Add(u64),
    /// The amount itself, over what the job has now (`RequestMemory * 2`).
    To(Expr),
}

impl Raise {
    /// The attributes of an ad that say how `request` grows: `Retry` and its name, and the same
    /// with `Increase` and `Max`.
    pub(super) fn of(ad: &ClassAd, request: &str) -> Option<Self> {
        let amount = |suffix: &str| {
            let value = ad.eval(&format!("Retry{request}{suffix}")).as_i64();
            value.and_then(|value| u64::try_from(value).ok())
        };
        let increase = format!("Retry{request}Increase");
        let step = ad.get(&increase).and_then(|expr| match expr.is_literal() {
            true => amount("Increase").map(RaiseStep::Add),
            false => Some(RaiseStep::To(expr.clone())),
        });
        let first = amount("");
        let max = amount("Max");
        (first.is_some() || step.is_some()).then_some(Self { first, step, max })
    }

    /// What comes after `has`; nothing where no more is to be asked for. `ad` is the job's, in
    /// which the amount is `has`.
    #[must_use]
    pub fn after(&self, has: u64, ad: &ClassAd) -> Option<u64> {
        let stepped = || match self.step.as_ref()? {
            RaiseStep::Add(more) => Some(has.saturating_add(*more)),
            RaiseStep::To(expr) => whole(&Scope::new(ad).eval(expr)),
        };
        let next = self.first.filter(|first| *first > has).or_else(stepped)?;
        let next = self.max.map_or(next, |max| next.min(max));
        (next > has).then_some(next)
    }
}

/// An amount above 0, rounded up.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is above 0, and amounts saturate"
        )]
        Value::Real(n) if *n > 0.0 && n.is_finite() => Some((n.ceil() as u64).min(i64::MAX as u64)),
        Value::Real(_)
        | Value::Bool(_)
        | Value::Undefined
        | Value::Error
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => None,
    }
}
