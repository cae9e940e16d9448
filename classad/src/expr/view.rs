//! How an expression is read: a [`Ref`] is a place in a tree, [`Ref::node`] says what stands there.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::ad::ClassAd;
use crate::functions::{Builtin, BuiltinId, KeptPattern};
use crate::name::NameRef;

use super::tree::{Const, Kind, NodeId, PackedName, Run, Tree};
use super::{BinaryOp, Expr, Lit, Literal, Repr, Special, UnaryOp};

/// An expression or a part of one, borrowed.
#[derive(Clone, Copy)]
pub(crate) enum Ref<'e> {
    Literal(&'e Literal),
    Node(&'e Arc<Tree>, NodeId),
}

/// What stands at one place. Chains of `&&` and `||` are flat, so that long machine lists cost no
/// depth.
#[derive(Clone, Copy)]
pub(crate) enum Node<'e> {
    Literal(Lit<'e>),
    Attr(Reference<'e>),
    Unary(UnaryOp, Ref<'e>),
    Binary(BinaryOp, Ref<'e>, Ref<'e>),
    And(Items<'e>),
    Or(Items<'e>),
    Ternary(Ref<'e>, Ref<'e>, Ref<'e>),
    Elvis(Ref<'e>, Ref<'e>),
    Subscript(Ref<'e>, Ref<'e>),
    Paren(Ref<'e>),
    Call(Call<'e>),
    List(Items<'e>),
    Ad(&'e ClassAd),
}

/// `name`, `.name` or `base.name`.
#[derive(Clone, Copy)]
pub(crate) struct Reference<'e> {
    pub base: Base<'e>,
    pub name: NameRef<'e>,
    pub special: Option<Special>,
}

#[derive(Clone, Copy)]
pub(crate) enum Base<'e> {
    /// Looked up from where the expression stands.
    Here,
    /// `.name`: looked up in the outermost ad.
    Root,
    /// `base.name`.
    Of(Ref<'e>),
}

/// `name(args)`. A name that no function has is an error only when evaluated.
#[derive(Clone, Copy)]
pub(crate) struct Call<'e> {
    pub name: &'e str,
    pub builtin: Option<&'static Builtin>,
    pub args: Items<'e>,
    /// The place for the compiled pattern of a function that takes one.
    pub pattern: Option<&'e OnceLock<KeptPattern>>,
}

/// Expressions side by side: the items of a chain or list, the arguments of a call.
#[derive(Clone, Copy)]
pub(crate) enum Items<'e> {
    /// In a tree.
    Run(&'e Arc<Tree>, Run),
    /// About to become part of one.
    Loose(&'e [Expr]),
}

impl<'e> Ref<'e> {
    #[inline]
    pub(crate) fn node(self) -> Node<'e> {
        let (tree, id) = match self {
            Self::Literal(literal) => return Node::Literal(literal.into()),
            Self::Node(tree, id) => (tree, id),
        };
        let at = |id| Self::Node(tree, id);
        let items = |run| Items::Run(tree, run);
        match tree.nodes[id as usize].kind {
            Kind::Const(constant) => Node::Literal(lit(tree, constant)),
            Kind::Here(name, special) => attr(tree, Base::Here, name, special),
            Kind::Root(name, special) => attr(tree, Base::Root, name, special),
            Kind::Of(name, special, base) => attr(tree, Base::Of(at(base)), name, special),
            Kind::Unary(op, a) => Node::Unary(op, at(a)),
            Kind::Binary(op, a, b) => Node::Binary(op, at(a), at(b)),
            Kind::And(run) => Node::And(items(run)),
            Kind::Or(run) => Node::Or(items(run)),
            Kind::Ternary(a, b, c) => Node::Ternary(at(a), at(b), at(c)),
            Kind::Elvis(a, b) => Node::Elvis(at(a), at(b)),
            Kind::Subscript(a, b) => Node::Subscript(at(a), at(b)),
            Kind::Paren(inner) => Node::Paren(at(inner)),
            Kind::Call(name, builtin, run) => {
                let builtin = builtin.map(BuiltinId::get);
                Node::Call(Call {
                    name: tree.span(name),
                    builtin,
                    args: items(run),
                    pattern: tree.pattern(id, builtin),
                })
            }
            Kind::List(run) => Node::List(items(run)),
            Kind::Ad(place) => Node::Ad(tree.ad(place)),
            Kind::Link(_) => unreachable!("a link stands in a run, no reference leads to it"),
        }
    }

    /// The same with a share in the tree.
    pub(crate) fn to_expr(self) -> Expr {
        match self {
            Self::Literal(literal) => Expr(Repr::Literal(literal.clone())),
            Self::Node(tree, id) => match literal(tree, id) {
                Some(literal) => Expr::literal(literal),
                None => Expr(Repr::Tree(Arc::clone(tree), id)),
            },
        }
    }

    pub(crate) fn depth(self) -> u16 {
        match self {
            Self::Literal(_) => 1,
            Self::Node(tree, id) => tree.depth(id),
        }
    }

    /// The same for what stands at one place, different for any two places that exist at the same
    /// time.
    pub(crate) fn identity(self) -> Identity {
        match self {
            Self::Literal(literal) => Identity(std::ptr::from_ref(literal) as usize, 0),
            Self::Node(tree, id) => Identity(Arc::as_ptr(tree) as usize, id),
        }
    }

    #[inline]
    pub(crate) fn as_literal(self) -> Option<Lit<'e>> {
        match self {
            Self::Literal(value) => Some(value.into()),
            Self::Node(tree, id) => literal(tree, id),
        }
    }

    /// The expression inside any number of parentheses.
    pub(crate) fn unparenthesized(self) -> Self {
        let mut expr = self;
        while let Node::Paren(inner) = expr.node() {
            expr = inner;
        }
        expr
    }

    /// The expressions directly inside, in the order in which they are written.
    pub(crate) fn children(self) -> Vec<Self> {
        match self.node() {
            Node::Literal(_) => Vec::new(),
            Node::Attr(reference) => match reference.base {
                Base::Here | Base::Root => Vec::new(),
                Base::Of(base) => vec![base],
            },
            Node::Unary(_, a) | Node::Paren(a) => vec![a],
            Node::Binary(_, a, b) | Node::Elvis(a, b) | Node::Subscript(a, b) => vec![a, b],
            Node::Ternary(a, b, c) => vec![a, b, c],
            Node::And(items) | Node::Or(items) | Node::List(items) => items.iter().collect(),
            Node::Call(call) => call.args.iter().collect(),
            Node::Ad(ad) => ad.iter().map(|(_, expr)| expr.as_ref()).collect(),
        }
    }
}

/// Which expression it is, not what it says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Identity(usize, NodeId);

impl<'e> Items<'e> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Run(_, run) => run.len as usize,
            Self::Loose(items) => items.len(),
        }
    }

    pub(crate) fn get(self, i: usize) -> Option<Ref<'e>> {
        (i < self.len()).then(|| self.at(i))
    }

    pub(crate) fn iter(self) -> ItemsIter<'e> {
        ItemsIter {
            items: self,
            places: 0..self.len(),
        }
    }

    /// The items, where there are exactly so many.
    pub(crate) fn exactly<const N: usize>(self) -> Option<[Ref<'e>; N]> {
        (self.len() == N).then(|| std::array::from_fn(|i| self.at(i)))
    }

    fn at(self, i: usize) -> Ref<'e> {
        let (tree, link) = match self {
            Self::Run(tree, run) => (tree, run.first as usize + i),
            Self::Loose(items) => return items[i].as_ref(),
        };
        match tree.nodes[link].kind {
            Kind::Link(id) => Ref::Node(tree, id),
            _ => unreachable!("a run holds links alone"),
        }
    }
}

impl<'e> IntoIterator for Items<'e> {
    type Item = Ref<'e>;
    type IntoIter = ItemsIter<'e>;

    fn into_iter(self) -> ItemsIter<'e> {
        self.iter()
    }
}

/// Goes through [`Items`] in order.
pub(crate) struct ItemsIter<'e> {
    items: Items<'e>,
    places: Range<usize>,
}

impl<'e> Iterator for ItemsIter<'e> {
    type Item = Ref<'e>;

    fn next(&mut self) -> Option<Ref<'e>> {
        self.places.next().map(|i| self.items.at(i))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.places.size_hint()
    }
}

impl ExactSizeIterator for ItemsIter<'_> {}

impl<'e> Call<'e> {
    /// Argument `i`, which the function's arity says is there.
    pub(crate) fn arg(self, i: usize) -> Ref<'e> {
        self.args.at(i)
    }
}

fn attr<'e>(
    tree: &'e Tree,
    base: Base<'e>,
    name: PackedName,
    special: Option<Special>,
) -> Node<'e> {
    Node::Attr(Reference {
        base,
        name: NameRef::with_hash(tree.span(name.span), name.hash),
        special,
    })
}

/// The literal that stands at one place of a tree.
#[inline]
pub(super) fn literal(tree: &Tree, id: NodeId) -> Option<Lit<'_>> {
    match tree.nodes[id as usize].kind {
        Kind::Const(constant) => Some(lit(tree, constant)),
        _ => None,
    }
}

#[inline]
fn lit(tree: &Tree, constant: Const) -> Lit<'_> {
    match constant {
        Const::Undefined => Lit::Undefined,
        Const::Error => Lit::Error,
        Const::Bool(value) => Lit::Bool(value),
        Const::Int(value) => Lit::Int(value),
        Const::Real(value) => Lit::Real(value),
        Const::RelTime(secs) => Lit::RelTime(secs),
        Const::Str(span) => Lit::Str(tree.span(span)),
        Const::AbsTime { secs, offset_secs } => Lit::AbsTime { secs, offset_secs },
    }
}
