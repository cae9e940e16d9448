//! Evaluation: a walk over an expression inside the scopes it may see, bounded in depth, in work
//! and in what it makes. Holds scopes and look-up; operators are in `ops`, partial evaluation in
//! `flatten`, functions in the `functions` module.

mod flatten;
mod force;
pub(crate) mod ops;
mod special;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ad::ClassAd;
use crate::expr::{Base, Call, Expr, Literal, Node, Reference, Special};
use crate::limits::{EVAL_ATTRS_MAX, EVAL_DEPTH_MAX, EVAL_STEPS_MAX, LIST_ITEMS_MAX};
use crate::name::AttrName;
use crate::value::Value;

pub(crate) use flatten::flatten;

/// Where an expression is evaluated: its own ad, the other ad of a match if there is one, the time,
/// and a seed for `random()`. A plain value; making one costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    my: &'a ClassAd,
    target: Option<&'a ClassAd>,
    now_secs: Option<i64>,
    seed: Option<u64>,
}

impl<'a> Scope<'a> {
    /// Inside `my` alone: no other side, `time()` and `random()` undefined.
    pub fn new(my: &'a ClassAd) -> Self {
        Self {
            my,
            target: None,
            now_secs: None,
            seed: None,
        }
    }

    /// With `target` as the other side.
    pub fn target(mut self, target: &'a ClassAd) -> Self {
        self.target = Some(target);
        self
    }

    /// With the time in seconds since the epoch.
    pub fn now(mut self, now_secs: i64) -> Self {
        self.now_secs = Some(now_secs);
        self
    }

    /// With a seed for `random()`; the same seed gives the same numbers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The same without the other side.
    pub(crate) fn without_target(mut self) -> Self {
        self.target = None;
        self
    }

    /// The value of `expr` here.
    pub fn eval(&self, expr: &Expr) -> Value {
        let mut evaluator = Evaluator::new(*self);
        let value = evaluator.eval(expr, MY);
        evaluator.force(value)
    }

    /// The value of an attribute of `my`, or of the other side if `my` lacks it; UNDEFINED without
    /// both.
    pub fn eval_attr(&self, name: &str) -> Value {
        let mut evaluator = Evaluator::new(*self);
        let found = [(MY, Some(self.my)), (TARGET, self.target)]
            .into_iter()
            .find_map(|(id, ad)| ad.and_then(|ad| ad.get(name)).map(|expr| (expr, id)));
        let Some((expr, id)) = found else {
            return Value::Undefined;
        };
        let value = evaluator.eval_attr_expr(expr, id);
        evaluator.force(value)
    }

    /// The attribute as an integer; `None` unless it is a number or a boolean.
    pub fn eval_int(&self, name: &str) -> Option<i64> {
        self.eval_attr(name).as_i64()
    }

    /// The attribute as a real; `None` unless it is a number or a boolean.
    pub fn eval_real(&self, name: &str) -> Option<f64> {
        self.eval_attr(name).as_f64()
    }

    /// The attribute as a truth value; `None` unless it is a number or a boolean.
    pub fn eval_bool(&self, name: &str) -> Option<bool> {
        self.eval_attr(name).as_bool()
    }

    /// The attribute as a string; `None` unless it is one.
    pub fn eval_str(&self, name: &str) -> Option<Arc<str>> {
        match self.eval_attr(name) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }
}

/// A scope that the evaluation has met: an index into [`Evaluator::frames`].
pub(crate) type ScopeId = u32;

/// The ad that the evaluation is about.
pub(crate) const MY: ScopeId = 0;
/// The other side, where there is one.
pub(crate) const TARGET: ScopeId = 1;

/// A value while it is being worked on: lists and ads stay unevaluated, with the scope they stood
/// in.
#[derive(Clone)]
pub(crate) enum Val {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(Arc<str>),
    AbsTime {
        secs: i64,
        offset: i32,
    },
    RelTime(f64),
    /// A list as it stands in an expression of the scope.
    Lazy(Arc<[Expr]>, ScopeId),
    /// A list that a function made.
    Made(Arc<[Val]>),
    /// The ad of that scope.
    Ad(ScopeId),
}

struct Frame {
    ad: ClassAd,
    parent: Option<ScopeId>,
}

/// How many nodes more than itself a call counts for in the depth: its frames are that much larger.
const CALL_DEPTH: u16 = 3;

/// One evaluation.
pub(crate) struct Evaluator {
    frames: Vec<Frame>,
    /// Scopes of nested ads by the ad's identity and the scope it stands in.
    nested: BTreeMap<(usize, ScopeId), ScopeId>,
    /// Attributes under evaluation: scope and identity of the expression.
    active: Vec<(ScopeId, usize)>,
    has_target: bool,
    pub(crate) now_secs: Option<i64>,
    pub(crate) random_state: Option<u64>,
    depth: u16,
    steps: u32,
}

impl Evaluator {
    pub(crate) fn new(scope: Scope<'_>) -> Self {
        let mut frames = Vec::with_capacity(4);
        frames.push(Frame {
            ad: scope.my.clone(),
            parent: None,
        });
        if let Some(target) = scope.target {
            frames.push(Frame {
                ad: target.clone(),
                parent: None,
            });
        }
        Self {
            frames,
            nested: BTreeMap::new(),
            active: Vec::new(),
            has_target: scope.target.is_some(),
            now_secs: scope.now_secs,
            random_state: scope.seed,
            depth: 0,
            steps: 0,
        }
    }

    /// The value of an expression that stands in scope `at`.
    pub(crate) fn eval(&mut self, expr: &Expr, at: ScopeId) -> Val {
        if let Node::Literal(literal) = expr.node() {
            return Val::from(literal);
        }
        if self.depth >= EVAL_DEPTH_MAX || !self.spend(1) {
            return Val::Error;
        }
        self.depth += 1;
        let value = self.eval_node(expr.node(), at);
        self.depth -= 1;
        value
    }

    /// How many nodes are under evaluation.
    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    /// Counts `steps` of work; false once the evaluation has used up what it may.
    pub(crate) fn spend(&mut self, steps: usize) -> bool {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.steps = self.steps.saturating_add(steps);
        self.steps <= EVAL_STEPS_MAX
    }

    fn eval_node(&mut self, node: &Node, at: ScopeId) -> Val {
        match node {
            Node::Literal(literal) => Val::from(literal),
            Node::Attr(reference) => self.eval_reference(reference, at),
            Node::Unary(op, a) => {
                let a = self.eval(a, at);
                ops::unary(*op, a)
            }
            Node::Binary(op, a, b) => {
                let a = self.eval(a, at);
                let b = self.eval(b, at);
                ops::binary(*op, &a, &b)
            }
            Node::And(items) => self.eval_chain(items, ops::Chain::And, at),
            Node::Or(items) => self.eval_chain(items, ops::Chain::Or, at),
            Node::Ternary(condition, then, other) => match ops::truth(&self.eval(condition, at)) {
                ops::Truth::True => self.eval(then, at),
                ops::Truth::False => self.eval(other, at),
                ops::Truth::Undefined => Val::Undefined,
                ops::Truth::Error => Val::Error,
            },
            Node::Elvis(a, b) => match self.eval(a, at) {
                Val::Undefined => self.eval(b, at),
                value => value,
            },
            Node::Subscript(base, index) => self.eval_subscript(base, index, at),
            Node::Paren(inner) => self.eval(inner, at),
            Node::Call(call) => self.eval_call(call, at),
            Node::List(items) => Val::Lazy(Arc::clone(items), at),
            Node::Ad(ad) => Val::Ad(self.enter(ad, at)),
        }
    }

    fn eval_chain(&mut self, items: &[Expr], chain: ops::Chain, at: ScopeId) -> Val {
        let mut result = chain.neutral();
        for item in items {
            result = chain.step(result, ops::truth(&self.eval(item, at)));
            if chain.is_final(result) {
                break;
            }
        }
        result.into()
    }

    fn eval_call(&mut self, call: &Call, at: ScopeId) -> Val {
        let Some(builtin) = call
            .builtin
            .filter(|builtin| builtin.takes(call.args.len()))
        else {
            return Val::Error;
        };
        self.depth += CALL_DEPTH;
        let value = match self.depth < EVAL_DEPTH_MAX {
            true => (builtin.eval)(self, call, at),
            false => Val::Error,
        };
        self.depth -= CALL_DEPTH;
        value
    }

    fn eval_subscript(&mut self, base: &Expr, index: &Expr, at: ScopeId) -> Val {
        let base = self.eval(base, at);
        let index = self.eval(index, at);
        match (base, index) {
            (Val::Error, _) | (_, Val::Error) => Val::Error,
            (Val::Undefined, _) | (_, Val::Undefined) => Val::Undefined,
            (list @ (Val::Lazy(..) | Val::Made(_)), Val::Int(i)) => match usize::try_from(i) {
                Ok(i) => self.item(&list, i).unwrap_or(Val::Error),
                Err(_) => Val::Error,
            },
            (Val::Ad(id), Val::Str(key)) => match self.frames[id as usize].ad.get(&key).cloned() {
                Some(expr) => self.eval_attr_expr(&expr, id),
                None => Val::Undefined,
            },
            _ => Val::Error,
        }
    }

    fn eval_reference(&mut self, reference: &Reference, at: ScopeId) -> Val {
        match &reference.base {
            Base::Here => self.look_up_bare(reference, at),
            Base::Root => self.look_up_root(reference, at),
            Base::Of(base) => {
                let base = self.eval(base, at);
                self.select(&base, reference)
            }
        }
    }

    /// `base.name`: climbs from an ad, projects over a list.
    fn select(&mut self, base: &Val, reference: &Reference) -> Val {
        match base {
            Val::Ad(id) => self.look_up(reference, *id).unwrap_or(Val::Undefined),
            Val::Undefined => Val::Undefined,
            Val::Lazy(..) | Val::Made(_) => {
                let Some(items) = self.items(base) else {
                    return Val::Error;
                };
                let mut projected = Vec::with_capacity(items.len());
                // Lists in lists nest one level of this function each; `depth` bounds them.
                self.depth += 1;
                for item in items {
                    let too_deep = self.depth >= EVAL_DEPTH_MAX;
                    projected.push(match too_deep {
                        true => Val::Error,
                        false => self.select(&item, reference),
                    });
                }
                self.depth -= 1;
                Val::Made(projected.into())
            }
            _ => Val::Error,
        }
    }

    /// A bare name: here and outwards, then, from a top-level ad, the other side, then the clock.
    fn look_up_bare(&mut self, reference: &Reference, at: ScopeId) -> Val {
        if let Some(value) = self.look_up(reference, at) {
            return value;
        }
        let other = match (self.has_target, at) {
            (true, MY) => Some(TARGET),
            (true, TARGET) => Some(MY),
            _ => None,
        };
        if let Some(value) = other.and_then(|other| self.look_up(reference, other)) {
            return value;
        }
        match (reference.special, self.now_secs) {
            (Some(Special::CurrentTime), Some(now)) => Val::Int(now),
            _ => Val::Undefined,
        }
    }

    fn look_up_root(&mut self, reference: &Reference, at: ScopeId) -> Val {
        if self.has_target {
            return self.context_value(reference, at).unwrap_or(Val::Undefined);
        }
        let root = self.root_of(at);
        self.look_up(reference, root).unwrap_or(Val::Undefined)
    }

    /// From scope `start` outwards. `None` if nobody has the name.
    fn look_up(&mut self, reference: &Reference, start: ScopeId) -> Option<Val> {
        let mut scope = start;
        loop {
            let frame = &self.frames[scope as usize];
            if let Some(expr) = frame.ad.get_name(&reference.name) {
                if let Some(literal) = expr.as_literal() {
                    return Some(literal.into());
                }
                let expr = expr.clone();
                return Some(self.eval_attr_expr(&expr, scope));
            }
            let parent = frame.parent;
            match reference.special {
                Some(Special::My) => return Some(Val::Ad(scope)),
                Some(Special::Parent) => return Some(parent.map_or(Val::Undefined, Val::Ad)),
                Some(Special::Root) => return Some(Val::Ad(self.root_of(scope))),
                Some(_) | None => {}
            }
            match parent {
                Some(parent) => scope = parent,
                None => return self.context_value(reference, scope),
            }
        }
    }

    /// The value of an attribute's expression in the scope that holds it. One that is under
    /// evaluation already refers to itself, which is undefined.
    pub(crate) fn eval_attr_expr(&mut self, expr: &Expr, scope: ScopeId) -> Val {
        let key = (scope, expr.identity());
        if self.active.contains(&key) {
            return Val::Undefined;
        }
        if self.active.len() >= EVAL_ATTRS_MAX {
            return Val::Error;
        }
        self.active.push(key);
        let value = self.eval(expr, scope);
        self.active.pop();
        value
    }

    /// The scope of an ad that stands in an expression of scope `parent`.
    pub(crate) fn enter(&mut self, ad: &ClassAd, parent: ScopeId) -> ScopeId {
        let next = self.frames.len() as ScopeId;
        let id = *self.nested.entry((ad.identity(), parent)).or_insert(next);
        if id == next {
            self.frames.push(Frame {
                ad: ad.clone(),
                parent: Some(parent),
            });
        }
        id
    }

    /// The scope of an ad that a function made.
    pub(crate) fn adopt(&mut self, ad: ClassAd) -> ScopeId {
        self.frames.push(Frame { ad, parent: None });
        (self.frames.len() - 1) as ScopeId
    }

    pub(crate) fn ad(&self, id: ScopeId) -> &ClassAd {
        &self.frames[id as usize].ad
    }

    /// The expression that a bare name stands for as seen from `at`, and the scope that holds it.
    pub(crate) fn definition(&self, name: &AttrName, at: ScopeId) -> Option<(Expr, ScopeId)> {
        let mut scope = at;
        loop {
            let frame = &self.frames[scope as usize];
            if let Some(expr) = frame.ad.get_name(name) {
                return Some((expr.clone(), scope));
            }
            scope = frame.parent?;
        }
    }

    /// How many items a list has.
    pub(crate) fn list_len(&self, list: &Val) -> Option<usize> {
        match list {
            Val::Lazy(items, _) => Some(items.len()),
            Val::Made(items) => Some(items.len()),
            _ => None,
        }
    }

    /// The value of one item of a list; `None` beyond its end or if it is no list.
    pub(crate) fn item(&mut self, list: &Val, i: usize) -> Option<Val> {
        match list {
            Val::Lazy(items, scope) => {
                let item = items.get(i)?;
                Some(self.eval(item, *scope))
            }
            Val::Made(items) => items.get(i).cloned(),
            _ => None,
        }
    }

    /// The values of a list's items; `None` if it is no list or longer than lists may be.
    pub(crate) fn items(&mut self, list: &Val) -> Option<Vec<Val>> {
        let len = self.list_len(list)?;
        if len > LIST_ITEMS_MAX || !self.spend(len) {
            return None;
        }
        (0..len).map(|i| self.item(list, i)).collect()
    }

    fn root_of(&self, scope: ScopeId) -> ScopeId {
        let mut root = scope;
        while let Some(parent) = self.frames[root as usize].parent {
            root = parent;
        }
        root
    }
}

impl Val {
    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::Lazy(..) | Self::Made(_))
    }

    pub(crate) fn string(text: impl Into<Arc<str>>) -> Self {
        Self::Str(text.into())
    }
}

impl From<&Literal> for Val {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Undefined => Self::Undefined,
            Literal::Error => Self::Error,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Real(value) | Literal::RelTime(value) => Self::Real(*value),
            Literal::Str(text) => Self::Str(Arc::clone(text)),
            Literal::AbsTime { secs, offset_secs } => Self::AbsTime {
                secs: *secs,
                offset: *offset_secs,
            },
        }
    }
}
