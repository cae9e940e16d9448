//! Partial evaluation: what an ad decides by itself becomes constants, the rest stays as it is.

use crate::ad::ClassAd;
use crate::expr::{Base, BinaryOp, Call, Expr, Node, Reference};

use super::{Evaluator, MY, Scope, Val};
use crate::value::Value;

/// `expr` with what `my` decides folded. It has the same value as `expr` against every other side.
pub(crate) fn flatten(my: &ClassAd, expr: &Expr) -> Expr {
    Flattening { my }.expr(expr)
}

struct Flattening<'a> {
    my: &'a ClassAd,
}

impl Flattening<'_> {
    fn expr(&self, expr: &Expr) -> Expr {
        if self.is_decided(expr) {
            let mut evaluator = Evaluator::new(Scope::new(self.my));
            match evaluator.eval(expr, MY) {
                Val::Lazy(..) | Val::Made(_) | Val::Ad(_) => {}
                value => {
                    let value: Value = evaluator.force(value);
                    return value.into();
                }
            }
        }
        self.parts(expr)
            .and_then(Expr::make)
            .unwrap_or_else(|| expr.clone())
    }

    /// Whether nothing outside `my` and nothing that changes can reach the value of `expr`.
    fn is_decided(&self, expr: &Expr) -> bool {
        let Some(references) = self.my.references(expr) else {
            return false;
        };
        references.external.is_empty() && !calls_out(expr) && {
            let mut names = references
                .internal
                .iter()
                .filter_map(|name| self.my.get_name(name));
            names.all(|definition| !calls_out(definition))
        }
    }

    fn parts(&self, expr: &Expr) -> Option<Node> {
        Some(match expr.node() {
            Node::Literal(_) | Node::Ad(_) => return None,
            Node::Attr(Reference {
                base: Base::Here | Base::Root,
                ..
            }) => return None,
            // A selection keeps its base: folding it would lose the scope that it selects from.
            Node::Attr(Reference {
                base: Base::Of(_), ..
            }) => return None,
            Node::Unary(op, a) => Node::Unary(*op, self.expr(a)),
            Node::Binary(op, a, b) => self.binary(*op, a, b),
            Node::And(items) => return self.and(items),
            Node::Or(items) => Node::Or(items.iter().map(|item| self.expr(item)).collect()),
            Node::Ternary(a, b, c) => Node::Ternary(self.expr(a), self.expr(b), self.expr(c)),
            Node::Elvis(a, b) => Node::Elvis(self.expr(a), self.expr(b)),
            Node::Subscript(a, b) => Node::Subscript(self.expr(a), self.expr(b)),
            Node::Paren(a) => Node::Paren(self.expr(a)),
            Node::Call(call) => {
                if call
                    .builtin
                    .is_none_or(|builtin| looks_at_names(builtin.name))
                {
                    return None;
                }
                Node::Call(Box::new(Call {
                    name: call.name.clone(),
                    builtin: call.builtin,
                    args: call.args.iter().map(|arg| self.expr(arg)).collect(),
                    regex: std::sync::OnceLock::new(),
                }))
            }
            Node::List(items) => Node::List(items.iter().map(|item| self.expr(item)).collect()),
        })
    }

    fn binary(&self, op: BinaryOp, a: &Expr, b: &Expr) -> Node {
        Node::Binary(op, self.expr(a), self.expr(b))
    }

    /// Leading items that hold are left out, as long as more than one item stays.
    fn and(&self, items: &[Expr]) -> Option<Node> {
        let items: Vec<Expr> = items.iter().map(|item| self.expr(item)).collect();
        let holds =
            |item: &Expr| matches!(item.as_literal(), Some(crate::expr::Literal::Bool(true)));
        let open: Vec<Expr> = items.iter().filter(|item| !holds(item)).cloned().collect();
        Some(match open.len() {
            0 | 1 => Node::And(items.into()),
            _ => Node::And(open.into()),
        })
    }
}

/// Whether a function in it answers by clock or chance.
fn calls_out(expr: &Expr) -> bool {
    let here = match expr.node() {
        Node::Call(call) => call.builtin.is_some_and(|builtin| {
            matches!(
                builtin.name,
                "time" | "currenttime" | "daytime" | "random" | "formattime" | "abstime" | "eval"
            )
        }),
        _ => false,
    };
    here || expr.children().into_iter().any(calls_out)
}

/// Whether a function looks at the expression of its argument rather than at its value.
fn looks_at_names(function: &str) -> bool {
    matches!(
        function,
        "unparse" | "unresolved" | "countmatches" | "evalineachcontext"
    )
}
