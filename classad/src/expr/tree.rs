//! How an expression lies in memory: one flat array of small nodes, children before parents, and
//! one text that holds its names and strings. Written by [`Builder`], read through
//! [`Ref`](super::Ref); nothing outside `expr` sees a packed node.

use std::sync::{Arc, OnceLock};

use crate::ad::ClassAd;
use crate::functions::{self, Builtin, BuiltinId, KeptPattern};
use crate::limits::{EXPR_DEPTH_MAX, REGEXES_KEPT_MAX};
use crate::name::{AttrName, NameRef};

use super::view::{Items, Node, Ref};
use super::{Base, BinaryOp, Expr, Lit, Repr, Special, UnaryOp};

/// A node's place in its tree.
pub(crate) type NodeId = u32;

#[derive(Default)]
pub(crate) struct Tree {
    pub(super) nodes: Vec<Packed>,
    pub(super) text: String,
    /// What few expressions have.
    pub(super) rest: Option<Box<Rest>>,
}

#[derive(Default)]
pub(super) struct Rest {
    pub ads: Vec<ClassAd>,
    /// Compiled patterns of the first calls that take one, by the call's place.
    pub patterns: Vec<(NodeId, OnceLock<KeptPattern>)>,
}

#[derive(Clone, Copy)]
pub(super) struct Packed {
    pub depth: u16,
    pub kind: Kind,
}

/// Half a cache line.
const _: () = assert!(size_of::<Packed>() == 32);

/// A stretch of the tree's text.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub start: u32,
    pub len: u32,
}

/// A name in the tree's text.
#[derive(Clone, Copy)]
pub(super) struct PackedName {
    pub span: Span,
    pub hash: u32,
}

/// A run of [`Kind::Link`]s.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(super) first: NodeId,
    pub len: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Const {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    RelTime(f64),
    Str(Span),
    AbsTime { secs: i64, offset_secs: i32 },
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Const(Const),
    Here(PackedName, Option<Special>),
    Root(PackedName, Option<Special>),
    Of(PackedName, Option<Special>, NodeId),
    Unary(UnaryOp, NodeId),
    Binary(BinaryOp, NodeId, NodeId),
    And(Run),
    Or(Run),
    Ternary(NodeId, NodeId, NodeId),
    Elvis(NodeId, NodeId),
    Subscript(NodeId, NodeId),
    Paren(NodeId),
    Call(Span, Option<BuiltinId>, Run),
    List(Run),
    Ad(u32),
    /// A place in a run: no node of its own.
    Link(NodeId),
}

impl Tree {
    pub(super) fn span(&self, span: Span) -> &str {
        &self.text[span.start as usize..(span.start + span.len) as usize]
    }

    pub(super) fn ad(&self, place: u32) -> &ClassAd {
        let rest = self
            .rest
            .as_ref()
            .expect("a place of an ad comes with the ad");
        &rest.ads[place as usize]
    }

    pub(super) fn pattern(
        &self,
        id: NodeId,
        builtin: Option<&Builtin>,
    ) -> Option<&OnceLock<KeptPattern>> {
        let patterns = &self.rest.as_ref()?.patterns;
        if !builtin?.takes_pattern() {
            return None;
        }
        let at = patterns.binary_search_by_key(&id, |(id, _)| *id);
        at.ok().map(|at| &patterns[at].1)
    }

    pub(super) fn size(&self) -> usize {
        std::mem::size_of_val(&*self.nodes) + self.text.len()
    }

    pub(super) fn depth(&self, id: NodeId) -> u16 {
        self.nodes[id as usize].depth
    }
}

/// What a node would be deeper than [`EXPR_DEPTH_MAX`].
#[derive(Debug)]
pub(crate) struct TooDeep;

/// Makes a tree from its leaves up. A node that would be too deep is refused.
#[derive(Default)]
pub(crate) struct Builder {
    tree: Tree,
    capacity: usize,
    /// The word TARGET, once it is there: many expressions say it over and over.
    target: Option<PackedName>,
}

impl Builder {
    /// For an expression of about so many bytes of text.
    pub(crate) fn new(text_len: usize) -> Self {
        Self {
            tree: Tree::default(),
            capacity: text_len,
            target: None,
        }
    }

    /// The expression whose outermost node is `root`.
    pub(crate) fn finish(mut self, root: NodeId) -> Expr {
        if let Some(literal) = self.as_literal(root) {
            return Expr::literal(literal);
        }
        /// How many times the room that is needed may be kept: it was made by the length of the
        /// text, which may be mostly blanks.
        const WASTE_MAX: usize = 4;
        let Tree { nodes, text, .. } = &self.tree;
        let wasted = |len: usize, capacity: usize| len < capacity / WASTE_MAX;
        if wasted(nodes.len(), nodes.capacity()) || wasted(text.len(), text.capacity()) {
            self.shrink();
        }
        Expr(Repr::Tree(Arc::new(self.tree), root))
    }

    #[cold]
    fn shrink(&mut self) {
        self.tree.nodes.shrink_to_fit();
        self.tree.text.shrink_to_fit();
    }

    #[inline]
    pub(crate) fn literal(&mut self, literal: Lit<'_>) -> NodeId {
        let constant = match literal {
            Lit::Undefined => Const::Undefined,
            Lit::Error => Const::Error,
            Lit::Bool(value) => Const::Bool(value),
            Lit::Int(value) => Const::Int(value),
            Lit::Real(value) => Const::Real(value),
            Lit::RelTime(secs) => Const::RelTime(secs),
            Lit::Str(text) => Const::Str(self.intern(text)),
            Lit::AbsTime { secs, offset_secs } => Const::AbsTime { secs, offset_secs },
        };
        self.push(0, Kind::Const(constant))
    }

    /// A name looked up from where it stands.
    #[inline]
    pub(crate) fn name(&mut self, name: NameRef<'_>) -> NodeId {
        if name.as_str() == "TARGET" {
            let packed = self.target.unwrap_or_else(|| self.packed(name));
            self.target = Some(packed);
            return self.push(0, Kind::Here(packed, Some(Special::Target)));
        }
        let packed = self.packed(name);
        self.push(0, Kind::Here(packed, Special::of(name)))
    }

    /// Takes back a name that was the last to be added: it is something else's.
    pub(crate) fn take_name(&mut self, id: NodeId) -> AttrName {
        let last = self.tree.nodes.pop();
        let Some(Kind::Here(name, _)) = last.map(|packed| packed.kind) else {
            unreachable!("node {id} was added as a name just before");
        };
        AttrName::parsed(self.tree.span(name.span))
    }

    /// Whether an infix operator joins it.
    pub(crate) fn is_infix(&self, id: NodeId) -> bool {
        matches!(
            self.tree.nodes[id as usize].kind,
            Kind::And(_) | Kind::Or(_) | Kind::Binary(..) | Kind::Elvis(..)
        )
    }

    /// `.name`
    pub(crate) fn root_name(&mut self, name: NameRef<'_>) -> NodeId {
        let packed = self.packed(name);
        self.push(0, Kind::Root(packed, Special::of(name)))
    }

    /// `base.name`
    #[inline]
    pub(crate) fn selection(&mut self, base: NodeId, name: NameRef<'_>) -> Result<NodeId, TooDeep> {
        let packed = self.packed(name);
        self.above(
            self.tree.depth(base),
            Kind::Of(packed, Special::of(name), base),
        )
    }

    pub(crate) fn unary(&mut self, op: UnaryOp, a: NodeId) -> Result<NodeId, TooDeep> {
        self.above(self.tree.depth(a), Kind::Unary(op, a))
    }

    #[inline]
    pub(crate) fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> Result<NodeId, TooDeep> {
        self.above(self.deeper(a, b), Kind::Binary(op, a, b))
    }

    pub(crate) fn and(&mut self, items: &[NodeId]) -> Result<NodeId, TooDeep> {
        let run = self.run(items);
        self.over(items, Kind::And(run))
    }

    pub(crate) fn or(&mut self, items: &[NodeId]) -> Result<NodeId, TooDeep> {
        let run = self.run(items);
        self.over(items, Kind::Or(run))
    }

    pub(crate) fn ternary(&mut self, parts: [NodeId; 3]) -> Result<NodeId, TooDeep> {
        let [a, b, c] = parts;
        self.above(
            self.deeper(a, b).max(self.tree.depth(c)),
            Kind::Ternary(a, b, c),
        )
    }

    pub(crate) fn elvis(&mut self, a: NodeId, b: NodeId) -> Result<NodeId, TooDeep> {
        self.above(self.deeper(a, b), Kind::Elvis(a, b))
    }

    pub(crate) fn subscript(&mut self, a: NodeId, index: NodeId) -> Result<NodeId, TooDeep> {
        self.above(self.deeper(a, index), Kind::Subscript(a, index))
    }

    #[inline]
    pub(crate) fn paren(&mut self, inner: NodeId) -> Result<NodeId, TooDeep> {
        self.above(self.tree.depth(inner), Kind::Paren(inner))
    }

    pub(crate) fn list(&mut self, items: &[NodeId]) -> Result<NodeId, TooDeep> {
        let run = self.run(items);
        self.over(items, Kind::List(run))
    }

    pub(crate) fn call(&mut self, name: NameRef<'_>, args: &[NodeId]) -> Result<NodeId, TooDeep> {
        let builtin = functions::find_id(name);
        let span = self.intern(name.as_str());
        let run = self.run(args);
        let id = self.over(args, Kind::Call(span, builtin, run))?;
        if builtin.is_some_and(|builtin| builtin.get().takes_pattern()) {
            let patterns = &mut self.rest().patterns;
            if patterns.len() < REGEXES_KEPT_MAX {
                patterns.push((id, OnceLock::new()));
            }
        }
        Ok(id)
    }

    pub(crate) fn ad(&mut self, ad: ClassAd) -> Result<NodeId, TooDeep> {
        let deepest = ad.iter().map(|(_, expr)| expr.depth()).max();
        let ads = &mut self.rest().ads;
        let at = ads.len() as u32;
        ads.push(ad);
        self.above(deepest.unwrap_or(0), Kind::Ad(at))
    }

    /// The literal that a node is, if it is one.
    pub(crate) fn as_literal(&self, id: NodeId) -> Option<Lit<'_>> {
        super::view::literal(&self.tree, id)
    }

    /// A copy of an expression as a part of this one.
    pub(crate) fn copy(&mut self, expr: Ref<'_>) -> Result<NodeId, TooDeep> {
        self.node(expr.node())
    }

    /// A node over copies of its children.
    pub(crate) fn node(&mut self, node: Node<'_>) -> Result<NodeId, TooDeep> {
        match node {
            Node::Literal(literal) => Ok(self.literal(literal)),
            Node::Attr(reference) => match reference.base {
                Base::Here => Ok(self.name(reference.name)),
                Base::Root => Ok(self.root_name(reference.name)),
                Base::Of(base) => {
                    let base = self.copy(base)?;
                    self.selection(base, reference.name)
                }
            },
            Node::Unary(op, a) => {
                let a = self.copy(a)?;
                self.unary(op, a)
            }
            Node::Binary(op, a, b) => {
                let (a, b) = (self.copy(a)?, self.copy(b)?);
                self.binary(op, a, b)
            }
            Node::And(items) => {
                let items = self.copies(items)?;
                self.and(&items)
            }
            Node::Or(items) => {
                let items = self.copies(items)?;
                self.or(&items)
            }
            Node::Ternary(a, b, c) => {
                let parts = [self.copy(a)?, self.copy(b)?, self.copy(c)?];
                self.ternary(parts)
            }
            Node::Elvis(a, b) => {
                let (a, b) = (self.copy(a)?, self.copy(b)?);
                self.elvis(a, b)
            }
            Node::Subscript(a, b) => {
                let (a, b) = (self.copy(a)?, self.copy(b)?);
                self.subscript(a, b)
            }
            Node::Paren(inner) => {
                let inner = self.copy(inner)?;
                self.paren(inner)
            }
            Node::Call(call) => {
                let args = self.copies(call.args)?;
                self.call(NameRef::new(call.name), &args)
            }
            Node::List(items) => {
                let items = self.copies(items)?;
                self.list(&items)
            }
            Node::Ad(ad) => self.ad(ad.clone()),
        }
    }

    fn rest(&mut self) -> &mut Rest {
        self.tree.rest.get_or_insert_default()
    }

    fn copies(&mut self, items: Items<'_>) -> Result<Vec<NodeId>, TooDeep> {
        items.iter().map(|item| self.copy(item)).collect()
    }

    fn run(&mut self, items: &[NodeId]) -> Run {
        let first = self.tree.nodes.len() as NodeId;
        let links = items.iter().map(|item| Packed {
            depth: 0,
            kind: Kind::Link(*item),
        });
        self.tree.nodes.extend(links);
        Run {
            first,
            len: items.len() as u32,
        }
    }

    fn deeper(&self, a: NodeId, b: NodeId) -> u16 {
        self.tree.depth(a).max(self.tree.depth(b))
    }

    #[inline]
    fn over(&mut self, children: &[NodeId], kind: Kind) -> Result<NodeId, TooDeep> {
        let depths = children.iter().map(|child| self.tree.depth(*child));
        self.above(depths.max().unwrap_or(0), kind)
    }

    #[inline]
    fn above(&mut self, deepest: u16, kind: Kind) -> Result<NodeId, TooDeep> {
        if deepest >= EXPR_DEPTH_MAX {
            return Err(TooDeep);
        }
        Ok(self.push(deepest, kind))
    }

    #[inline]
    fn push(&mut self, deepest: u16, kind: Kind) -> NodeId {
        /// Bytes of text that come to a node, in expressions as people write them.
        const BYTES_A_NODE: usize = 4;
        if self.tree.nodes.capacity() == 0 {
            self.tree.nodes = Vec::with_capacity(self.capacity / BYTES_A_NODE + 2);
        }
        let id = self.tree.nodes.len() as NodeId;
        let depth = deepest + 1;
        self.tree.nodes.push(Packed { depth, kind });
        id
    }

    #[inline]
    fn packed(&mut self, name: NameRef<'_>) -> PackedName {
        PackedName {
            span: self.intern(name.as_str()),
            hash: name.hash(),
        }
    }

    #[inline]
    fn intern(&mut self, text: &str) -> Span {
        if self.tree.text.capacity() == 0 {
            self.tree.text = String::with_capacity(self.capacity.max(text.len()));
        }
        let start = self.tree.text.len() as u32;
        self.tree.text.push_str(text);
        Span {
            start,
            len: text.len() as u32,
        }
    }
}
