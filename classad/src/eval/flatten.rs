//! Partial evaluation: what an ad decides by itself becomes constants, the rest stays as it is. The
//! rules are those of the reference's `Flatten` (operators.cpp, attrrefs.cpp), where they do not
//! change what an expression says: constants of a chain of one commutative operator come together
//! at its front, `true &&` goes, a decided condition leaves the branch it takes. Knows nothing of
//! the other side.

use crate::ad::ClassAd;
use crate::expr::{Base, BinaryOp, Call, Expr, Items, Node, Ref, Reference, Special, UnaryOp};
use crate::functions;
use crate::limits::EXPR_DEPTH_MAX;
use crate::name::NameRef;

use super::{Evaluator, MY, STEP_BYTES, Scope, ScopeId, Val, ops};

/// `expr` with what `my` decides folded. As a condition it says the same as `expr` against every
/// other side; sums and products of reals may differ in their last digits.
pub(crate) fn flatten(my: &ClassAd, expr: &Expr) -> Expr {
    let mut flattening = Flattening {
        evaluator: Evaluator::new(Scope::new(my)),
        depth: 0,
    };
    let flat = flattening.whole(expr.as_ref(), MY, Use::Condition);
    let flat = flat.and_then(|flat| flattening.expr_of(flat));
    // An error that says that the work was too much says nothing of the expression.
    let is_paid = flattening.evaluator.spend(0);
    match flat {
        Some(flat) if is_paid && !flattening.evaluator.failed => flat,
        Some(_) | None => expr.clone(),
    }
}

/// A flattened expression.
enum Flat {
    Value(Val),
    Tree(Expr),
    /// What is an ad of this side whatever the other is, with the scope of that ad.
    Ad(ScopeId, Expr),
    /// What is left of a chain: its constants together, then the rest.
    Chain(Commutative, Val, Expr),
}

/// What the result is for.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// To hold or not: `5` says the same as `true`, and what is decided behind an error may be
    /// decided.
    Condition,
    /// A truth value inside something else: `5` says the same as `true`, an error stays one.
    Truth,
    Value,
}

/// The operators whose operands may change places.
#[derive(Clone, Copy, PartialEq)]
enum Commutative {
    Strict(BinaryOp),
    Logic(ops::Chain),
}

struct Flattening<'a> {
    evaluator: Evaluator<'a>,
    depth: u16,
}

impl Flattening<'_> {
    /// The expression flattened, never as a chain in two parts. `None` where nothing can be said.
    fn whole(&mut self, expr: Ref<'_>, at: ScopeId, used: Use) -> Option<Flat> {
        Some(match self.parts(expr, at, used)? {
            Flat::Chain(op, value, rest) => Flat::Tree(self.joined(op, value, rest)?),
            flat => flat,
        })
    }

    fn tree(&mut self, expr: Ref<'_>, at: ScopeId, used: Use) -> Option<Expr> {
        let flat = self.whole(expr, at, used)?;
        self.expr_of(flat)
    }

    fn expr_of(&mut self, flat: Flat) -> Option<Expr> {
        match flat {
            // As a constant a span is a real; the call says what it is.
            Flat::Value(Val::RelTime(secs)) => {
                let name = NameRef::new("relTime");
                self.make(Node::Call(Call {
                    name: name.as_str(),
                    builtin: functions::find(name),
                    args: Items::Loose(&[secs.into()]),
                    pattern: None,
                }))
            }
            Flat::Value(value) => {
                let constant: Expr = self.evaluator.force(value).into();
                let cost = constant.size() / STEP_BYTES;
                self.evaluator.spend(cost).then_some(constant)
            }
            Flat::Tree(tree) | Flat::Ad(_, tree) => Some(tree),
            Flat::Chain(op, value, rest) => self.joined(op, value, rest),
        }
    }

    fn parts(&mut self, expr: Ref<'_>, at: ScopeId, used: Use) -> Option<Flat> {
        if self.depth >= EXPR_DEPTH_MAX || !self.evaluator.spend(1) {
            return None;
        }
        self.depth += 1;
        let flat = self.node(expr, at, used);
        self.depth -= 1;
        flat
    }

    fn node(&mut self, expr: Ref<'_>, at: ScopeId, used: Use) -> Option<Flat> {
        match expr.node() {
            Node::Literal(literal) => Some(Flat::Value(self.evaluator.constant(literal))),
            // What stands in an ad is the ad's own business.
            Node::Ad(ad) => Some(Flat::Ad(self.evaluator.enter(ad, at), expr.to_expr())),
            Node::List(items) => {
                let items: Option<Vec<Expr>> = items
                    .iter()
                    .map(|item| self.tree(item, at, Use::Value))
                    .collect();
                self.make(Node::List(Items::Loose(&items?))).map(Flat::Tree)
            }
            Node::Attr(reference) => self.attr(expr, reference, at),
            Node::Paren(inner) => match self.whole(inner, at, used)? {
                Flat::Tree(tree) => self.make(Node::Paren(tree.as_ref())).map(Flat::Tree),
                Flat::Ad(id, tree) => {
                    let parens = self.make(Node::Paren(tree.as_ref()))?;
                    Some(Flat::Ad(id, parens))
                }
                flat => Some(flat),
            },
            Node::Unary(op, a) => match self.whole(a, at, operand_use(op))? {
                Flat::Value(a) => Some(Flat::Value(ops::unary(op, (&a).into()).into())),
                flat => {
                    let a = self.expr_of(flat)?;
                    self.make(Node::Unary(op, a.as_ref())).map(Flat::Tree)
                }
            },
            Node::Binary(op, a, b) => self.binary(op, a, b, at),
            Node::And(items) => self.chain(ops::Chain::And, items, at, used),
            Node::Or(items) => self.chain(ops::Chain::Or, items, at, used),
            Node::Ternary(condition, then, other) => {
                self.ternary(condition, [then, other], at, used)
            }
            Node::Elvis(a, b) => {
                let defined = |_: &mut Self, a: Val, b: Val| match a {
                    Val::Undefined => b,
                    a => a,
                };
                self.pair(a, b, at, defined, elvis)
            }
            Node::Subscript(a, b) => {
                let item = |this: &mut Self, a: Val, b: Val| this.evaluator.subscript(a, b);
                self.pair(a, b, at, item, subscript)
            }
            Node::Call(call) => self.call(expr, call, at),
        }
    }

    /// A name that stands for a constant becomes it; any other stays. What the name means must not
    /// depend on the other side: `.name`, `root` and `parent` mean something else in a match, and
    /// what a selection selects from must be an ad of this side.
    fn attr(&mut self, expr: Ref<'_>, reference: Reference<'_>, at: ScopeId) -> Option<Flat> {
        let unchanged = expr.to_expr();
        let from = match reference.base {
            Base::Here => at,
            Base::Root => return Some(Flat::Tree(unchanged)),
            Base::Of(base) => match self.whole(base, at, Use::Value)? {
                Flat::Ad(id, _) | Flat::Value(Val::Ad(id)) => id,
                Flat::Value(Val::Undefined | Val::Lazy(..) | Val::Made(_)) => {
                    return Some(Flat::Tree(unchanged));
                }
                Flat::Value(_) => return Some(Flat::Value(Val::Error)),
                Flat::Tree(_) | Flat::Chain(..) => return Some(Flat::Tree(unchanged)),
            },
        };
        match reference.special {
            // They have a meaning before the ads around are asked.
            Some(Special::My) if self.evaluator.ad(from).get_ref(reference.name).is_none() => {
                return Some(Flat::Ad(from, unchanged));
            }
            Some(Special::Parent | Special::Root) => return Some(Flat::Tree(unchanged)),
            Some(_) | None => {}
        }
        let Some((definition, holder)) = self.evaluator.definition(reference.name, from) else {
            return Some(Flat::Tree(unchanged));
        };
        Some(match self.whole(definition.as_ref(), holder, Use::Value)? {
            Flat::Value(value) => Flat::Value(value),
            Flat::Ad(id, _) => Flat::Ad(id, unchanged),
            Flat::Tree(_) | Flat::Chain(..) => Flat::Tree(unchanged),
        })
    }

    fn binary(&mut self, op: BinaryOp, a: Ref<'_>, b: Ref<'_>, at: ScopeId) -> Option<Flat> {
        if !commutes(op) {
            let apply = |this: &mut Self, a: Val, b: Val| this.operate(op, &a, &b);
            return self.pair(a, b, at, apply, |a, b| Node::Binary(op, a, b));
        }
        let a = self.parts(a, at, Use::Value)?;
        let b = self.parts(b, at, Use::Value)?;
        self.combined(op, a, b)
    }

    /// Two operands that keep their places.
    fn pair(
        &mut self,
        a: Ref<'_>,
        b: Ref<'_>,
        at: ScopeId,
        apply: impl Fn(&mut Self, Val, Val) -> Val,
        node: impl for<'e> Fn(Ref<'e>, Ref<'e>) -> Node<'e>,
    ) -> Option<Flat> {
        let a = self.whole(a, at, Use::Value)?;
        let b = self.whole(b, at, Use::Value)?;
        if let (Flat::Value(a), Flat::Value(b)) = (&a, &b) {
            return Some(Flat::Value(apply(self, a.clone(), b.clone())));
        }
        let (a, b) = (self.expr_of(a)?, self.expr_of(b)?);
        self.make(node(a.as_ref(), b.as_ref())).map(Flat::Tree)
    }

    /// Constants come together at the front; one that decides is the answer.
    fn chain(
        &mut self,
        chain: ops::Chain,
        items: Items<'_>,
        at: ScopeId,
        used: Use,
    ) -> Option<Flat> {
        let drops_neutral = chain == ops::Chain::And && used != Use::Value;
        let mut constant: Option<Val> = None;
        let mut open: Vec<Expr> = Vec::with_capacity(items.len());
        for item in items {
            let value = match self.whole(item, at, used)? {
                Flat::Value(value) => value,
                flat => {
                    open.push(self.expr_of(flat)?);
                    continue;
                }
            };
            let truth = ops::truth(&value);
            let hides =
                truth == ops::Truth::Error || (used != Use::Condition && chain.is_final(truth));
            if hides && !open.is_empty() {
                // In front it would hide what decides, or is an error, before it.
                open.push(self.expr_of(Flat::Value(value))?);
                continue;
            }
            let so_far = constant.as_ref().map_or(chain.neutral(), ops::truth);
            let both = chain.step(so_far, truth);
            if chain.is_final(both) && both != ops::Truth::Error {
                return Some(Flat::Value(both.into()));
            }
            constant = Some(match both {
                ops::Truth::Error if constant.is_none() => value,
                both => both.into(),
            });
        }
        let Some(constant) = constant else {
            return Some(Flat::Tree(self.chained(chain, open)?));
        };
        if open.is_empty() {
            return Some(Flat::Value(constant));
        }
        let rest = self.chained(chain, open)?;
        if drops_neutral && ops::truth(&constant) == chain.neutral() {
            return Some(Flat::Tree(rest));
        }
        Some(Flat::Chain(Commutative::Logic(chain), constant, rest))
    }

    /// `left op right`, with the constants of both together.
    fn combined(&mut self, op: BinaryOp, left: Flat, right: Flat) -> Option<Flat> {
        let own = |flat: &Flat| matches!(flat, Flat::Chain(o, ..) if *o == Commutative::Strict(op));
        let other = |flat: &Flat| matches!(flat, Flat::Chain(..)) && !own(flat);
        let apart = (other(&left) && !own(&right)) || (other(&right) && !own(&left));
        if apart || clash(op, &left, &right) {
            let (left, right) = (self.expr_of(left)?, self.expr_of(right)?);
            return self
                .make(Node::Binary(op, left.as_ref(), right.as_ref()))
                .map(Flat::Tree);
        }
        let (x, a) = self.split(op, left)?;
        let (y, b) = self.split(op, right)?;
        let value = match (x, y) {
            (Some(x), Some(y)) => Some(self.operate(op, &x, &y)),
            (x, y) => x.or(y),
        };
        let rest = match (a, b) {
            (Some(a), Some(b)) => Some(self.make(Node::Binary(op, a.as_ref(), b.as_ref()))?),
            (a, b) => a.or(b),
        };
        match (value, rest) {
            (Some(value), Some(rest)) => Some(Flat::Chain(Commutative::Strict(op), value, rest)),
            (Some(value), None) => Some(Flat::Value(value)),
            (None, rest) => rest.map(Flat::Tree),
        }
    }

    /// The constant and the rest of a chain of `op`; any other chain is a rest as it stands.
    fn split(&mut self, op: BinaryOp, flat: Flat) -> Option<(Option<Val>, Option<Expr>)> {
        Some(match flat {
            Flat::Value(value) => (Some(value), None),
            Flat::Tree(tree) | Flat::Ad(_, tree) => (None, Some(tree)),
            Flat::Chain(own, value, rest) if own == Commutative::Strict(op) => {
                (Some(value), Some(rest))
            }
            Flat::Chain(own, value, rest) => (None, Some(self.joined(own, value, rest)?)),
        })
    }

    fn joined(&mut self, op: Commutative, value: Val, rest: Expr) -> Option<Expr> {
        let value = self.expr_of(Flat::Value(value))?;
        match op {
            Commutative::Strict(op) => self.in_front(op, &value, rest.as_ref()),
            Commutative::Logic(chain) => self.chained(chain, vec![value, rest]),
        }
    }

    fn ternary(
        &mut self,
        condition: Ref<'_>,
        branches: [Ref<'_>; 2],
        at: ScopeId,
        used: Use,
    ) -> Option<Flat> {
        let [then, other] = branches;
        let selector = match self.whole(condition, at, Use::Truth)? {
            Flat::Value(value) => match ops::truth(&value) {
                ops::Truth::True => return self.whole(then, at, used),
                ops::Truth::False => return self.whole(other, at, used),
                ops::Truth::Error => return Some(Flat::Value(Val::Error)),
                ops::Truth::Undefined => condition.to_expr(),
            },
            flat => self.expr_of(flat)?,
        };
        let then = self.tree(then, at, used)?;
        let other = self.tree(other, at, used)?;
        let (then, other) = (then.as_ref(), other.as_ref());
        self.make(Node::Ternary(selector.as_ref(), then, other))
            .map(Flat::Tree)
    }

    fn call(&mut self, expr: Ref<'_>, call: Call<'_>, at: ScopeId) -> Option<Flat> {
        let Some(builtin) = call.builtin else {
            return Some(Flat::Value(Val::Error));
        };
        // An argument that is read as an expression, or elsewhere, stays what it is.
        if builtin.looks_at_expressions() || builtin.evaluates_in_other_ads() {
            return Some(Flat::Tree(expr.to_expr()));
        }
        let mut args = Vec::with_capacity(call.args.len());
        let mut decided = !builtin.looks_outside(call.args.len());
        for arg in call.args.iter() {
            let flat = self.whole(arg, at, Use::Value)?;
            decided &= matches!(flat, Flat::Value(_));
            args.push(self.expr_of(flat)?);
        }
        if decided {
            return Some(Flat::Value(self.evaluator.eval(expr, at)));
        }
        let call = Call {
            args: Items::Loose(&args),
            pattern: None,
            ..call
        };
        self.make(Node::Call(call)).map(Flat::Tree)
    }

    /// `value` as the first operand of a chain of `op`.
    fn in_front(&mut self, op: BinaryOp, value: &Expr, rest: Ref<'_>) -> Option<Expr> {
        match rest.node() {
            Node::Binary(own, a, b) if own == op => {
                let a = self.in_front(op, value, a)?;
                self.make(Node::Binary(op, a.as_ref(), b))
            }
            _ => self.make(Node::Binary(op, value.as_ref(), rest)),
        }
    }

    /// The operands as one chain; those that are chains of the same operator as its parts.
    fn chained(&mut self, chain: ops::Chain, operands: Vec<Expr>) -> Option<Expr> {
        let mut items = Vec::with_capacity(operands.len());
        for operand in operands {
            match (operand.node(), chain) {
                (Node::And(inner), ops::Chain::And) | (Node::Or(inner), ops::Chain::Or) => {
                    items.extend(inner.iter().map(Ref::to_expr));
                }
                _ => items.push(operand),
            }
        }
        if items.len() == 1 {
            return items.pop();
        }
        self.make(match chain {
            ops::Chain::And => Node::And(Items::Loose(&items)),
            ops::Chain::Or => Node::Or(Items::Loose(&items)),
        })
    }

    fn operate(&mut self, op: BinaryOp, a: &Val, b: &Val) -> Val {
        self.evaluator.spend(ops::cost(a.into(), b.into()));
        ops::binary_of(op, a, b)
    }

    /// The expression of a node, paid for by its size: what it is made of is copied.
    fn make(&mut self, node: Node<'_>) -> Option<Expr> {
        /// Bytes of nodes that cost a step to copy.
        const COPIED_BYTES: usize = 512;
        let expr = Expr::make(node)?;
        let cost = expr.size() / COPIED_BYTES;
        self.evaluator.spend(cost).then_some(expr)
    }
}

/// What the operand of a sign is for.
fn operand_use(op: UnaryOp) -> Use {
    match op {
        UnaryOp::Not => Use::Truth,
        UnaryOp::Minus | UnaryOp::Plus | UnaryOp::BitNot => Use::Value,
    }
}

/// Whether the constants of two chains are an error only together: what is between them may be
/// undefined, and then so is the whole.
fn clash(op: BinaryOp, left: &Flat, right: &Flat) -> bool {
    let constant = |flat: &Flat| match flat {
        Flat::Value(value) | Flat::Chain(_, value, _) => Some(value.clone()),
        Flat::Tree(_) | Flat::Ad(..) => None,
    };
    let (Some(a), Some(b)) = (constant(left), constant(right)) else {
        return false;
    };
    let is_error = |value: &Val| matches!(value, Val::Error);
    let both_decided = matches!((left, right), (Flat::Value(_), Flat::Value(_)));
    let together = ops::binary_of(op, &a, &b);
    !both_decided && !is_error(&a) && !is_error(&b) && is_error(&together)
}

fn elvis<'e>(a: Ref<'e>, b: Ref<'e>) -> Node<'e> {
    Node::Elvis(a, b)
}

fn subscript<'e>(a: Ref<'e>, b: Ref<'e>) -> Node<'e> {
    Node::Subscript(a, b)
}

fn commutes(op: BinaryOp) -> bool {
    match op {
        BinaryOp::Add | BinaryOp::Mul => true,
        BinaryOp::BitAnd | BinaryOp::BitXor | BinaryOp::BitOr => true,
        BinaryOp::Sub | BinaryOp::Div | BinaryOp::Rem => false,
        BinaryOp::Shl | BinaryOp::Shr | BinaryOp::UShr => false,
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => false,
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Is | BinaryOp::Isnt => false,
    }
}
