//! Expressions compiled for evaluation many times over: names looked up once where an ad is given,
//! constants folded, dead conjuncts gone, parentheses forgotten. Decides nothing by itself: every
//! operator is the tree evaluator's, and what is not worth compiling (lists, ads, most functions)
//! is walked by the tree evaluator from the very depth at which it stands. The result is identical
//! to [`Scope::eval`]'s, bounds included; a property test over random expressions says so.

mod fold;
mod run;

use std::sync::Arc;

use crate::ad::{ClassAd, Place};
use crate::eval::{CALL_DEPTH, STEP_BYTES, ops};
use crate::expr::{
    Base, BinaryOp, Call, Expr, Items, Lit, Literal, Node, Ref, Reference, Special, UnaryOp,
};
use crate::name::{AttrName, NameRef};

/// A compiled expression. Cloning shares it.
///
/// ```
/// use classad::{ClassAd, Compiled, Expr, Scope, Value};
///
/// let job = ClassAd::parse("[RequestMemory = 1024 * 2]").unwrap();
/// let fits = Compiled::in_ad(&job, &Expr::parse("TARGET.Memory >= RequestMemory").unwrap());
/// let slot = ClassAd::parse("[Memory = 4096]").unwrap();
/// assert_eq!(Scope::new(&job).target(&slot).run(&fits), Value::Bool(true));
/// ```
#[derive(Clone, Debug)]
pub struct Compiled(Arc<Body>);

#[derive(Debug)]
struct Body {
    expr: Expr,
    /// The ad it is compiled for; in any other the tree is walked.
    my: Option<ClassAd>,
    /// What the tree evaluator may spend where this spends nothing.
    cost: u32,
    code: Code,
}

/// What is left to do at run time.
#[derive(Debug)]
enum Code {
    Const(Literal),
    Name(Box<Name>),
    Unary(UnaryOp, Box<Code>),
    Binary(BinaryOp, Box<[Code; 2]>),
    /// A comparison of a name with a constant, which is what most clauses are.
    Test(BinaryOp, Box<(Name, Literal)>),
    Chain(ops::Chain, Box<[Code]>),
    If(Box<[Code; 3]>),
    Elvis(Box<[Code; 2]>),
    Walk(Box<Walk>),
}

/// An attribute that is looked up at run time.
#[derive(Debug)]
struct Name {
    name: AttrName,
    side: Side,
    /// `MY` or `TARGET` as it is written, to be looked up as an attribute first.
    word: Option<AttrName>,
    /// The reference itself, for what a look-up alone does not settle.
    walk: Walk,
}

/// Where a name is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    /// In the expression's own ad, then in the other.
    Both,
    /// In the expression's own ad alone.
    My,
    /// In the other ad alone.
    Other,
}

/// A part that the tree evaluator walks, and the state in which the walk arrives there.
#[derive(Clone, Debug)]
struct Walk {
    expr: Expr,
    depth: u16,
    /// The attributes under evaluation, all of the expression's own ad.
    active: Arc<[Place]>,
}

/// Nodes of one compiled expression, attributes looked through included; what exceeds them is
/// walked.
const NODES_MAX: u32 = 4096;

/// Depth of one compiled expression, attributes looked through included; what exceeds it is walked.
const DEPTH_MAX: u16 = 256;

impl Compiled {
    /// For evaluation in any ad.
    pub fn new(expr: &Expr) -> Self {
        Self::compile(None, expr)
    }

    /// For evaluation in `my`, whose attributes are looked up now. In an ad that is not `my` or
    /// its clone it still gives the right answer, slowly.
    pub fn in_ad(my: &ClassAd, expr: &Expr) -> Self {
        Self::compile(Some(my), expr)
    }

    /// The expression that it was made from.
    pub fn expr(&self) -> &Expr {
        &self.0.expr
    }

    /// The constant that it comes to whatever the other side is, if it does.
    pub fn is_constant(&self) -> bool {
        matches!(self.0.code, Code::Const(_))
    }

    fn compile(my: Option<&ClassAd>, expr: &Expr) -> Self {
        let mut compiler = Compiler {
            my,
            nodes: 0,
            cost: 0,
            active: Vec::new(),
        };
        let code = compiler.expr(expr.as_ref(), 0);
        Self(Arc::new(Body {
            expr: expr.clone(),
            my: my.cloned(),
            cost: compiler.cost,
            code,
        }))
    }
}

struct Compiler<'a> {
    my: Option<&'a ClassAd>,
    nodes: u32,
    cost: u32,
    /// Attributes being looked through.
    active: Vec<Place>,
}

impl Compiler<'_> {
    /// `depth` is that of the tree evaluator on arrival at `expr`.
    fn expr(&mut self, expr: Ref<'_>, depth: u16) -> Code {
        self.nodes += 1;
        self.cost = self.cost.saturating_add(cost(expr));
        if let Some(literal) = expr.as_literal() {
            return Code::Const(literal.into());
        }
        if depth >= DEPTH_MAX || self.nodes > NODES_MAX {
            return self.walk(expr, depth);
        }
        let below = depth + 1;
        match expr.node() {
            Node::Literal(literal) => Code::Const(literal.into()),
            Node::Attr(reference) => self.reference(expr, reference, depth),
            Node::Paren(inner) => self.expr(inner, below),
            Node::Unary(op, a) => fold::unary(op, self.expr(a, below)),
            Node::Binary(op, a, b) => fold::binary(op, self.expr(a, below), self.expr(b, below)),
            Node::And(items) => self.chain(ops::Chain::And, items, below),
            Node::Or(items) => self.chain(ops::Chain::Or, items, below),
            Node::Ternary(a, b, c) => self.conditional([a, b, c], below),
            Node::Elvis(a, b) => match self.expr(a, below) {
                Code::Const(Literal::Undefined) => self.expr(b, below),
                Code::Const(literal) => Code::Const(literal),
                code => Code::Elvis(Box::new([code, self.expr(b, below)])),
            },
            Node::Call(call) => self.call(expr, call, depth),
            Node::Subscript(..) | Node::List(_) | Node::Ad(_) => self.walk(expr, depth),
        }
    }

    fn chain(&mut self, chain: ops::Chain, items: Items<'_>, depth: u16) -> Code {
        let items = items.iter().map(|item| self.expr(item, depth)).collect();
        fold::chain(chain, items)
    }

    fn conditional(&mut self, [a, b, c]: [Ref<'_>; 3], depth: u16) -> Code {
        let condition = self.expr(a, depth);
        let Code::Const(literal) = &condition else {
            return Code::If(Box::new([
                condition,
                self.expr(b, depth),
                self.expr(c, depth),
            ]));
        };
        match ops::truth(literal) {
            ops::Truth::True => self.expr(b, depth),
            ops::Truth::False => self.expr(c, depth),
            ops::Truth::Undefined => Code::Const(Literal::Undefined),
            ops::Truth::Error => Code::Const(Literal::Error),
        }
    }

    fn call(&mut self, expr: Ref<'_>, call: Call<'_>, depth: u16) -> Code {
        let name = call.builtin.map(|builtin| builtin.name);
        match (name, call.args.exactly()) {
            (Some("ifthenelse"), Some(parts)) => self.conditional(parts, depth + 1 + CALL_DEPTH),
            _ => self.walk(expr, depth),
        }
    }

    fn reference(&mut self, expr: Ref<'_>, reference: Reference<'_>, depth: u16) -> Code {
        // A word with a meaning of its own where no attribute has it.
        if reference.special.is_some() {
            return self.walk(expr, depth);
        }
        let (side, word) = match reference.base {
            Base::Root => return self.walk(expr, depth),
            Base::Here => (Side::Both, None),
            Base::Of(base) => match side_word(base) {
                Some((side, word)) => (side, Some(word)),
                None => return self.walk(expr, depth),
            },
        };
        let Some(my) = self.my else {
            return Code::Name(Box::new(Name {
                name: reference.name.to_name(),
                side,
                word: word.map(NameRef::to_name),
                walk: self.walk_of(expr, depth),
            }));
        };
        // An attribute named MY or TARGET wins over the word.
        if word.is_some_and(|word| my.get_ref(word).is_some()) {
            return self.walk(expr, depth);
        }
        let own = match side {
            Side::Both | Side::My => my.get_entry(reference.name),
            Side::Other => None,
        };
        match (own, side) {
            (Some((place, definition)), _) => self.look_through(place, definition, depth),
            (None, Side::My) => Code::Const(Literal::Undefined),
            (None, Side::Both | Side::Other) => Code::Name(Box::new(Name {
                name: reference.name.to_name(),
                side: Side::Other,
                word: None,
                walk: self.walk_of(expr, depth),
            })),
        }
    }

    /// The code of an attribute of the expression's own ad.
    fn look_through(&mut self, place: Place, definition: &Expr, depth: u16) -> Code {
        if let Some(literal) = definition.as_literal() {
            return Code::Const(literal.into());
        }
        if self.active.contains(&place) {
            return Code::Const(Literal::Undefined);
        }
        self.active.push(place);
        let code = self.expr(definition.as_ref(), depth + 1);
        self.active.pop();
        code
    }

    fn walk(&self, expr: Ref<'_>, depth: u16) -> Code {
        Code::Walk(Box::new(self.walk_of(expr, depth)))
    }

    fn walk_of(&self, expr: Ref<'_>, depth: u16) -> Walk {
        Walk {
            expr: expr.to_expr(),
            depth,
            active: self.active.as_slice().into(),
        }
    }
}

/// At least what the tree evaluator spends on a node itself: a selection's `MY` counts as well.
fn cost(expr: Ref<'_>) -> u32 {
    match expr.as_literal() {
        Some(Lit::Str(text)) => 2 + (text.len() / STEP_BYTES) as u32,
        _ => 2,
    }
}

/// `MY` or `TARGET` standing alone, in any of their spellings.
fn side_word(base: Ref<'_>) -> Option<(Side, NameRef<'_>)> {
    match base.node() {
        Node::Attr(Reference {
            base: Base::Here,
            special: Some(special),
            name,
        }) => match special {
            Special::My => Some((Side::My, name)),
            Special::Target => Some((Side::Other, name)),
            Special::Parent | Special::Root | Special::Left | Special::Right => None,
            Special::Ad => None,
            Special::SymmetricMatch | Special::LeftMatchesRight | Special::RightMatchesLeft => None,
            Special::LeftRankValue | Special::RightRankValue | Special::CurrentTime => None,
        },
        _ => None,
    }
}
