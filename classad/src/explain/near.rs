//! The nearest miss of a clause that compares numbers: which side varies with the target, what it
//! is for the target that comes closest, and what it would have to be.

use crate::eval::Scope;
use crate::expr::{BinaryOp, Expr, Node, Ref};
use crate::value::Value;

use super::NearMiss;

/// Looks for the nearest miss of one clause among the targets that it refuses.
pub(super) struct Search {
    /// The comparison that the clause is, or those that it chooses from.
    comparisons: Vec<Comparison>,
    best: Option<(f64, NearMiss)>,
}

struct Comparison {
    left: Expr,
    op: BinaryOp,
    right: Expr,
}

impl Search {
    pub(super) fn new(clause: &Expr) -> Self {
        let mut comparisons = Vec::new();
        collect(clause.as_ref(), &mut comparisons);
        Self {
            comparisons,
            best: None,
        }
    }

    /// Takes a refused target into account.
    /// `alone` is the scope without the side that differs from target to target.
    pub(super) fn consider(&mut self, scope: &Scope<'_>, alone: &Scope<'_>, target: usize) {
        for Comparison { left, op, right } in &self.comparisons {
            let (a, b) = (scope.eval(left), scope.eval(right));
            let Some(distance) = miss_by(&a, *op, &b) else {
                continue;
            };
            let nearer = |(best, _): &(f64, NearMiss)| distance < *best;
            if self.best.as_ref().is_none_or(nearer) {
                let miss = miss(alone, target, (left, a), *op, (right, b));
                self.best = Some((distance, miss));
            }
        }
    }

    pub(super) fn finish(self) -> Option<NearMiss> {
        self.best.map(|(_, miss)| miss)
    }
}

/// The comparisons of an expression that may be of numbers, through `||` and parentheses.
fn collect(clause: Ref<'_>, comparisons: &mut Vec<Comparison>) {
    match clause.unparenthesized().node() {
        Node::Binary(op, left, right) if orders(op) => comparisons.push(Comparison {
            left: left.to_expr(),
            op,
            right: right.to_expr(),
        }),
        Node::Or(items) => items.iter().for_each(|item| collect(item, comparisons)),
        _ => {}
    }
}

/// By how much `a op b` fails, as a part of the greater, so that megabytes and counts can be
/// compared. `None` where it holds, and of TRUE and FALSE, which have no distance worth telling.
fn miss_by(a: &Value, op: BinaryOp, b: &Value) -> Option<f64> {
    let (a, b) = (number(a)?, number(b)?);
    let holds = match op {
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        _ => a == b,
    };
    if holds {
        return None;
    }
    let distance = (a - b).abs() / a.abs().max(b.abs()).max(f64::MIN_POSITIVE);
    (!distance.is_nan()).then_some(distance)
}

/// The miss as seen from the side that depends on the target.
fn miss(
    alone: &Scope<'_>,
    target: usize,
    (left, left_value): (&Expr, Value),
    op: BinaryOp,
    (right, right_value): (&Expr, Value),
) -> NearMiss {
    let left_varies = alone.eval(left) != left_value;
    let right_varies = alone.eval(right) != right_value;
    match op.flipped() {
        Some(flipped) if right_varies && !left_varies => NearMiss {
            target,
            wanted_of: right.clone(),
            has: right_value,
            op: flipped,
            needs: left_value,
            bound: left.clone(),
        },
        Some(_) | None => NearMiss {
            target,
            wanted_of: left.clone(),
            has: left_value,
            op,
            needs: right_value,
            bound: right.clone(),
        },
    }
}

/// Numbers only.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Real(value) => Some(*value),
        _ => None,
    }
}

fn orders(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq
    )
}
