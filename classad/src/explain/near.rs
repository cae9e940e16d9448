//! The nearest miss of a clause that compares numbers: which side varies with the target, what it
//! is for the target that comes closest, and what it would have to be.

use crate::eval::Scope;
use crate::expr::{BinaryOp, Expr, Node};
use crate::value::Value;

use super::NearMiss;

/// Looks for the nearest miss of one clause among the targets that it refuses.
pub(super) struct Search<'c> {
    /// The comparison's sides and operator, where the clause is one.
    comparison: Option<(&'c Expr, BinaryOp, &'c Expr)>,
    best: Option<(f64, NearMiss)>,
}

impl<'c> Search<'c> {
    pub(super) fn new(clause: &'c Expr) -> Self {
        let comparison = match clause.unparenthesized().node() {
            Node::Binary(op, left, right) if flipped(*op).is_some() => Some((left, *op, right)),
            _ => None,
        };
        Self {
            comparison,
            best: None,
        }
    }

    /// Takes a refused target into account.
    pub(super) fn consider(&mut self, scope: &Scope<'_>, target: usize) {
        let Some((left, op, right)) = self.comparison else {
            return;
        };
        let (left_value, right_value) = (scope.eval(left), scope.eval(right));
        let (Some(a), Some(b)) = (number(&left_value), number(&right_value)) else {
            return;
        };
        let distance = (a - b).abs();
        if self
            .best
            .as_ref()
            .is_some_and(|(best, _)| *best <= distance)
            || distance.is_nan()
        {
            return;
        }
        let left_varies = scope.without_target().eval(left) != left_value;
        let right_varies = scope.without_target().eval(right) != right_value;
        let flip = if right_varies && !left_varies {
            flipped(op)
        } else {
            None
        };
        let miss = match flip {
            Some(op) => NearMiss {
                target,
                wanted_of: right.clone(),
                has: right_value,
                op,
                needs: left_value,
            },
            None => NearMiss {
                target,
                wanted_of: left.clone(),
                has: left_value,
                op,
                needs: right_value,
            },
        };
        self.best = Some((distance, miss));
    }

    pub(super) fn finish(self) -> Option<NearMiss> {
        self.best.map(|(_, miss)| miss)
    }
}

/// Numbers only: TRUE and FALSE have no distance worth telling.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Real(value) => Some(*value),
        _ => None,
    }
}

/// The operator with its sides exchanged; `None` if it orders nothing.
fn flipped(op: BinaryOp) -> Option<BinaryOp> {
    match op {
        BinaryOp::Lt => Some(BinaryOp::Gt),
        BinaryOp::Le => Some(BinaryOp::Ge),
        BinaryOp::Gt => Some(BinaryOp::Lt),
        BinaryOp::Ge => Some(BinaryOp::Le),
        BinaryOp::Eq => Some(BinaryOp::Eq),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem | BinaryOp::Add | BinaryOp::Sub => None,
        BinaryOp::Shl | BinaryOp::Shr | BinaryOp::UShr => None,
        BinaryOp::Ne | BinaryOp::Is | BinaryOp::Isnt => None,
        BinaryOp::BitAnd | BinaryOp::BitXor | BinaryOp::BitOr => None,
    }
}
