//! Evaluation: a walk over an expression inside the scopes it may see, bounded in depth, in work
//! and in what it makes. Holds scopes and look-up; operators are in `ops`, partial evaluation in
//! `flatten`, functions in the `functions` module.

mod deref;
mod flatten;
mod force;
pub(crate) mod ops;
mod select;
mod special;
mod val;

use std::collections::BTreeMap;
use std::ops::Deref;

use smol_str::SmolStr;

use crate::ad::{ClassAd, Place};
use crate::expr::{Base, Call, Expr, Items, Lit, Node, Ref, Reference, Special};
use crate::limits::{EVAL_ATTRS_MAX, EVAL_DEPTH_MAX, EVAL_STEPS_MAX, LIST_ITEMS_MAX};
use crate::name::NameRef;
use crate::value::Value;

pub(crate) use deref::Meaning;
pub(crate) use flatten::flatten;
pub(crate) use val::Val;

/// Where an expression is evaluated: its own ad, the other ad of a match if there is one, the time,
/// and a seed for `random()`. A plain value; making one costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    my: &'a ClassAd,
    target: Option<&'a ClassAd>,
    now_secs: Option<i64>,
    seed: Option<u64>,
    mode: Mode,
}

/// Whose rules of look-up hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// The daemons': names fall through to the other side, `MY` is the ad a name stands in.
    HtCondor,
    /// The library's own: neither, and no functions that HTCondor adds.
    Bare,
}

impl<'a> Scope<'a> {
    /// Inside `my` alone: no other side, `time()` UNDEFINED, `random()` ERROR.
    pub fn new(my: &'a ClassAd) -> Self {
        Self {
            my,
            target: None,
            now_secs: None,
            seed: None,
            mode: Mode::HtCondor,
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

    /// By the rules of `mode`.
    pub(crate) fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn has_mode(&self, mode: Mode) -> bool {
        self.mode == mode
    }

    pub(crate) fn my(&self) -> &'a ClassAd {
        self.my
    }

    pub(crate) fn other(&self) -> Option<&'a ClassAd> {
        self.target
    }

    /// The value of `expr` here.
    pub fn eval(&self, expr: &Expr) -> Value {
        let mut evaluator = Evaluator::new(*self);
        let value = evaluator.eval(expr.as_ref(), MY);
        evaluator.force(value)
    }

    /// The same, `None` where the reference has no value at all rather than ERROR.
    pub(crate) fn eval_unless_failed(&self, expr: &Expr) -> Option<Value> {
        let mut evaluator = Evaluator::new(*self);
        let value = evaluator.eval(expr.as_ref(), MY);
        let value = evaluator.force(value);
        (!evaluator.failed).then_some(value)
    }

    /// The value of an attribute of `my`, or of the other side if `my` lacks it; UNDEFINED without
    /// both.
    pub fn eval_attr(&self, name: &str) -> Value {
        let mut evaluator = Evaluator::new(*self);
        let found = [(MY, Some(self.my)), (TARGET, self.target)]
            .into_iter()
            .find_map(|(id, ad)| Some((id, ad?.get_entry(NameRef::new(name))?)));
        let Some((id, (place, expr))) = found else {
            return Value::Undefined;
        };
        let value = evaluator.eval_entry(place, expr, id);
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
    pub fn eval_str(&self, name: &str) -> Option<SmolStr> {
        match self.eval_attr(name) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }
}

/// A scope that the evaluation has met: [`MY`], [`TARGET`], or from [`NESTED`] on a place in
/// [`Evaluator::nested`].
pub(crate) type ScopeId = u32;

/// The ad that the evaluation is about.
pub(crate) const MY: ScopeId = 0;
/// The other side, where there is one.
pub(crate) const TARGET: ScopeId = 1;
/// The first ad that stands inside another or was made by a function.
const NESTED: ScopeId = 2;

struct Frame {
    ad: ClassAd,
    parent: Option<ScopeId>,
}

/// An attribute's expression, and its place in the ad that has it.
struct Held<'a> {
    place: Place,
    expr: Lent<'a>,
}

/// Borrowed from the two ads handed in, shared from any other.
enum Lent<'a> {
    Borrowed(&'a Expr),
    Shared(Expr),
}

impl Deref for Lent<'_> {
    type Target = Expr;

    fn deref(&self) -> &Expr {
        match self {
            Self::Borrowed(expr) => expr,
            Self::Shared(expr) => expr,
        }
    }
}

/// Bytes of a string that cost a step to make.
pub(crate) const STEP_BYTES: usize = 64;

/// How many nodes more than itself a call counts for in the depth: its frames are that much larger.
pub(crate) const CALL_DEPTH: u16 = 3;

/// One evaluation.
pub(crate) struct Evaluator<'a> {
    my: &'a ClassAd,
    target: Option<&'a ClassAd>,
    nested: Vec<Frame>,
    /// Scopes of nested ads by the ad's identity and the scope it stands in.
    nested_ids: BTreeMap<(usize, ScopeId), ScopeId>,
    /// Attributes under evaluation.
    active: Vec<(ScopeId, Place)>,
    pub(crate) now_secs: Option<i64>,
    pub(crate) random_state: Option<u64>,
    mode: Mode,
    /// Whether a function gave up on the evaluation as a whole.
    pub(crate) failed: bool,
    /// Ads in which a function evaluates an expression of another.
    contexts: Vec<ScopeId>,
    depth: u16,
    steps: u32,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(scope: Scope<'a>) -> Self {
        Self {
            my: scope.my,
            target: scope.target,
            nested: Vec::new(),
            nested_ids: BTreeMap::new(),
            active: Vec::new(),
            now_secs: scope.now_secs,
            random_state: scope.seed,
            mode: scope.mode,
            failed: false,
            contexts: Vec::new(),
            depth: 0,
            steps: 0,
        }
    }

    /// The value of an expression that stands in scope `at`.
    pub(crate) fn eval(&mut self, expr: Ref<'_>, at: ScopeId) -> Val {
        let node = expr.node();
        if let Node::Literal(literal) = node {
            return self.constant(literal);
        }
        if self.depth >= EVAL_DEPTH_MAX || !self.spend(1) {
            return Val::Error;
        }
        self.depth += 1;
        let value = self.eval_node(expr, node, at);
        self.depth -= 1;
        value
    }

    /// Goes on as if it had come from the outermost expression, through those attributes of the
    /// ad that the evaluation is about, to that depth.
    pub(crate) fn resume(&mut self, depth: u16, active: &[Place]) {
        self.depth = depth;
        self.active.clear();
        self.active.extend(active.iter().map(|place| (MY, *place)));
    }

    /// The work done so far.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// A constant inside an expression: a string is copied.
    fn constant(&mut self, literal: Lit<'_>) -> Val {
        let bytes = match literal {
            Lit::Str(text) => text.len(),
            _ => 0,
        };
        if self.spend(1 + bytes / STEP_BYTES) {
            literal.into()
        } else {
            Val::Error
        }
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

    fn eval_node(&mut self, expr: Ref<'_>, node: Node<'_>, at: ScopeId) -> Val {
        match node {
            Node::Literal(literal) => self.constant(literal),
            Node::Attr(reference) => self.eval_reference(reference, at),
            Node::Unary(op, a) => {
                let a = self.eval(a, at);
                ops::unary(op, (&a).into()).into()
            }
            Node::Binary(op, a, b) => {
                let a = self.eval(a, at);
                let b = self.eval(b, at);
                match self.spend(ops::cost((&a).into(), (&b).into())) {
                    true => ops::binary_of(op, &a, &b),
                    false => Val::Error,
                }
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
            Node::List(_) => Val::Lazy(expr.to_expr(), at),
            Node::Ad(ad) => Val::Ad(self.enter(ad, at)),
        }
    }

    fn eval_chain(&mut self, items: Items<'_>, chain: ops::Chain, at: ScopeId) -> Val {
        let mut result = chain.neutral();
        for item in items.iter() {
            result = chain.step(result, ops::truth(&self.eval(item, at)));
            if chain.is_final(result) {
                break;
            }
        }
        result.into()
    }

    fn eval_call(&mut self, call: Call<'_>, at: ScopeId) -> Val {
        let Some(builtin) = call
            .builtin
            .filter(|builtin| builtin.takes(call.args.len()))
            .filter(|builtin| self.mode == Mode::HtCondor || !builtin.is_extension())
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

    fn eval_reference(&mut self, reference: Reference<'_>, at: ScopeId) -> Val {
        match reference.base {
            Base::Here => self.look_up_bare(reference, at),
            Base::Root => self.look_up_root(reference, at),
            Base::Of(base) => {
                let base = self.eval(base, at);
                self.select(&base, reference)
            }
        }
    }

    /// A bare name: here and outwards, then, from a top-level ad, the other side, then the clock.
    fn look_up_bare(&mut self, reference: Reference<'_>, at: ScopeId) -> Val {
        if let Some(value) = self.look_up(reference, at) {
            return value;
        }
        if self.mode == Mode::Bare {
            return Val::Undefined;
        }
        let other = self.other_side(at);
        if let Some(value) = other.and_then(|other| self.look_up(reference, other)) {
            return value;
        }
        match (reference.special, self.now_secs) {
            (Some(Special::CurrentTime), Some(now)) => Val::Int(now),
            _ => Val::Undefined,
        }
    }

    /// The side that bare names fall through to: from a top-level ad, and from one right inside it
    /// in which a function evaluates.
    fn other_side(&self, at: ScopeId) -> Option<ScopeId> {
        let side = if self.contexts.contains(&at) {
            self.parent(at).unwrap_or(at)
        } else {
            at
        };
        match side {
            _ if self.mode == Mode::Bare || !self.has_target() => None,
            MY => Some(TARGET),
            TARGET => Some(MY),
            _ => None,
        }
    }

    fn look_up_root(&mut self, reference: Reference<'_>, at: ScopeId) -> Val {
        if self.has_target() {
            let root = self.root_of(at);
            return self
                .context_value(reference, root)
                .unwrap_or(Val::Undefined);
        }
        let root = self.root_of(at);
        self.look_up(reference, root).unwrap_or(Val::Undefined)
    }

    /// From scope `start` outwards. `None` if nobody has the name.
    fn look_up(&mut self, reference: Reference<'_>, start: ScopeId) -> Option<Val> {
        let mut scope = start;
        loop {
            if let Some(held) = self.held(scope, |ad| ad.get_entry(reference.name)) {
                return Some(match held.expr.as_constant() {
                    Some(constant) => constant.into(),
                    None => self.eval_attr(&held, scope),
                });
            }
            let parent = self.parent(scope);
            match reference.special {
                Some(Special::My) if self.mode == Mode::HtCondor || is_self(reference) => {
                    return Some(Val::Ad(scope));
                }
                Some(Special::Parent) => return Some(parent.map_or(Val::Undefined, Val::Ad)),
                Some(Special::Root) if !self.has_target() => {
                    return Some(Val::Ad(self.root_of(scope)));
                }
                Some(_) | None => {}
            }
            match parent {
                Some(parent) => scope = parent,
                None => return self.context_value(reference, scope),
            }
        }
    }

    /// The value of an attribute that is no constant, in the scope that has it. One that is under
    /// evaluation already refers to itself, which is undefined.
    fn eval_attr(&mut self, held: &Held<'_>, scope: ScopeId) -> Val {
        self.eval_entry(held.place, &held.expr, scope)
    }

    /// The same of an attribute by its place.
    pub(crate) fn eval_entry(&mut self, place: Place, expr: &Expr, scope: ScopeId) -> Val {
        let key = (scope, place);
        if self.active.contains(&key) {
            return Val::Undefined;
        }
        if self.active.len() >= EVAL_ATTRS_MAX {
            return Val::Error;
        }
        self.active.push(key);
        let value = self.eval(expr.as_ref(), scope);
        self.active.pop();
        value
    }

    /// The scope of an ad that stands in an expression of scope `parent`.
    pub(crate) fn enter(&mut self, ad: &ClassAd, parent: ScopeId) -> ScopeId {
        let next = NESTED + self.nested.len() as ScopeId;
        let key = (ad.identity(), parent);
        let id = *self.nested_ids.entry(key).or_insert(next);
        if id == next {
            self.nested.push(Frame {
                ad: ad.clone(),
                parent: Some(parent),
            });
        }
        id
    }

    /// The scope of an ad that a function made.
    pub(crate) fn adopt(&mut self, ad: ClassAd) -> ScopeId {
        self.nested.push(Frame { ad, parent: None });
        NESTED + (self.nested.len() - 1) as ScopeId
    }

    pub(crate) fn ad(&self, id: ScopeId) -> &ClassAd {
        match (id, self.target) {
            (MY, _) => self.my,
            (TARGET, Some(target)) => target,
            (id, _) => &self.nested[(id - NESTED) as usize].ad,
        }
    }

    pub(crate) fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// What `find` finds in the ad of a scope, free of the borrow of this evaluator.
    fn held(
        &self,
        id: ScopeId,
        find: impl Fn(&ClassAd) -> Option<(Place, &Expr)>,
    ) -> Option<Held<'a>> {
        let found = match (id, self.target) {
            (MY, _) => find(self.my).map(|(place, expr)| (place, Lent::Borrowed(expr))),
            (TARGET, Some(target)) => {
                find(target).map(|(place, expr)| (place, Lent::Borrowed(expr)))
            }
            (id, _) => find(self.ad(id)).map(|(place, expr)| (place, Lent::Shared(expr.clone()))),
        };
        found.map(|(place, expr)| Held { place, expr })
    }

    fn parent(&self, id: ScopeId) -> Option<ScopeId> {
        match id {
            MY | TARGET => None,
            id => self.nested[(id - NESTED) as usize].parent,
        }
    }

    /// The expression that a bare name stands for as seen from `at`, and the scope that holds it.
    pub(crate) fn definition(&self, name: NameRef<'_>, at: ScopeId) -> Option<(Expr, ScopeId)> {
        let mut scope = at;
        loop {
            if let Some(expr) = self.ad(scope).get_ref(name) {
                return Some((expr.clone(), scope));
            }
            scope = self.parent(scope)?;
        }
    }

    /// How many items a list has.
    pub(crate) fn list_len(&self, list: &Val) -> Option<usize> {
        match list {
            Val::Lazy(list, _) => Some(items_of(list).map_or(0, Items::len)),
            Val::Made(items) => Some(items.len()),
            _ => None,
        }
    }

    /// The value of one item of a list; `None` beyond its end or if it is no list.
    pub(crate) fn item(&mut self, list: &Val, i: usize) -> Option<Val> {
        match list {
            Val::Lazy(list, scope) => {
                let item = items_of(list)?.get(i)?;
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

    pub(crate) fn root_of(&self, scope: ScopeId) -> ScopeId {
        let mut root = scope;
        while let Some(parent) = self.parent(root) {
            root = parent;
        }
        root
    }
}

/// `self`, which is the ad it stands in whatever the mode.
fn is_self(reference: Reference<'_>) -> bool {
    reference.name.is("self")
}

/// The items of a list that stands in an expression.
fn items_of(list: &Expr) -> Option<Items<'_>> {
    match list.node() {
        Node::List(items) => Some(items),
        _ => None,
    }
}
