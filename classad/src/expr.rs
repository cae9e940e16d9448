//! Expressions: immutable trees behind one shared pointer. Holds what can be said of them without
//! evaluating; how they lie in memory is in `tree`, how they are read in `view`. Knows neither text
//! (see `parser`, `unparse`) nor meaning (see `eval`).

mod tree;
mod view;

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::ad::ClassAd;
use crate::error::ParseError;
use crate::name::{NameRef, without_nul};
use crate::parser::{self, Syntax};
use crate::references::References;
use crate::unparse::{self, Style};

pub(crate) use tree::{Builder, NodeId, TooDeep};
pub(crate) use view::{Base, Call, Identity, Items, Node, Ref, Reference};

use tree::Tree;

/// An expression. Cloning shares it; it never changes and is never deeper than
/// [`EXPR_DEPTH_MAX`](crate::limits::EXPR_DEPTH_MAX).
///
/// Two expressions are equal if they print the same in lossless form: `1+1` and `1 + 1` are equal,
/// `1 + 1` and `2` are not.
#[derive(Clone)]
pub struct Expr(Repr);

/// Most attributes of most ads are constants, which need no tree.
#[derive(Clone)]
enum Repr {
    Literal(Literal),
    Tree(Arc<Tree>, NodeId),
}

/// A constant. `RelTime` is a constant of type real that prints as `relTime("…")`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Literal {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(SmolStr),
    AbsTime { secs: i64, offset_secs: i32 },
    RelTime(f64),
}

/// A constant that somebody else holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Lit<'e> {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(&'e str),
    AbsTime { secs: i64, offset_secs: i32 },
    RelTime(f64),
}

/// Names with a meaning of their own when no attribute has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Special {
    My,
    /// `ad`: as `MY`, but only in a match.
    Ad,
    Parent,
    Root,
    Target,
    Left,
    Right,
    SymmetricMatch,
    LeftMatchesRight,
    RightMatchesLeft,
    LeftRankValue,
    RightRankValue,
    CurrentTime,
}

/// Prefix operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnaryOp {
    /// `-a`
    Minus,
    /// `+a`
    Plus,
    /// `!a`
    Not,
    /// `~a`
    BitNot,
}

/// Infix operators that evaluate both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BinaryOp {
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `a % b`
    Rem,
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a << b`
    Shl,
    /// `a >> b`, keeping the sign
    Shr,
    /// `a >>> b`, filling with zeros
    UShr,
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
    /// `a > b`
    Gt,
    /// `a >= b`
    Ge,
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
    /// `a =?= b`
    Is,
    /// `a =!= b`
    Isnt,
    /// `a & b`
    BitAnd,
    /// `a ^ b`
    BitXor,
    /// `a | b`
    BitOr,
}

impl Expr {
    /// Reads an expression in the new syntax (strings with C escapes), the whole of `text`.
    ///
    /// # Errors
    /// Where and why `text` is not one expression.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parser::parse_expr(text, Syntax::New)
    }

    /// Reads an expression in the old syntax, that of submit descriptions and long-form ads: in
    /// strings a backslash is an ordinary character, except before a quote that does not end the
    /// line.
    ///
    /// # Errors
    /// Where and why `text` is not one expression.
    pub fn parse_old(text: &str) -> Result<Self, ParseError> {
        parser::parse_expr(text, Syntax::Old)
    }

    /// Reads an expression in the new syntax as the bare library does.
    pub(crate) fn parse_bare(text: &str) -> Result<Self, ParseError> {
        parser::parse_expr(text, Syntax::Bare)
    }

    /// A bare reference to an attribute.
    pub(crate) fn named(name: &str) -> Self {
        Self::build(|builder| Ok(builder.name(NameRef::new(name))))
    }

    /// All that [`Expr::parse`] would refuse in `text`, in order of place: reading goes on behind
    /// each error. The first is what it returns; there are none if `text` is an expression, and
    /// at most [`SYNTAX_ERRORS_MAX`](crate::limits::SYNTAX_ERRORS_MAX).
    ///
    /// An error that only follows from the one before it is left out.
    pub fn errors(text: &str) -> Vec<ParseError> {
        parser::expr_errors(text, Syntax::New)
    }

    /// The same for [`Expr::parse_old`].
    pub fn errors_old(text: &str) -> Vec<ParseError> {
        parser::expr_errors(text, Syntax::Old)
    }

    /// The expression in the old syntax. Not lossless where a string holds a line break, or a
    /// backslash at its end.
    pub fn to_old(&self) -> String {
        let mut out = String::new();
        unparse::expr(&mut out, self.as_ref(), Style::Old);
        out
    }

    /// The expression in the new syntax with reals that read back to the same bits.
    pub fn to_exact(&self) -> String {
        let mut out = String::new();
        unparse::expr(&mut out, self.as_ref(), Style::Exact);
        out
    }

    /// The conjuncts of the outermost `&&`, in order, through parentheses; the expression itself if
    /// it is no conjunction.
    pub fn clauses(&self) -> Vec<Expr> {
        let mut clauses = Vec::new();
        push_clauses(self.as_ref(), &mut clauses);
        clauses
    }

    /// The attributes that the expression mentions, by side. Nothing is looked up: see
    /// [`ClassAd::references`] for what they stand for in an ad.
    pub fn references(&self) -> References {
        References::of(self)
    }

    /// Whether it is a constant.
    pub fn is_literal(&self) -> bool {
        self.as_literal().is_some()
    }

    /// The conjunction of `clauses`, each in parentheses where it needs them; `true` if there is
    /// none.
    pub fn all(clauses: impl IntoIterator<Item = Expr>) -> Self {
        let mut clauses: Vec<Expr> = clauses.into_iter().collect();
        match clauses.len() {
            0 => true.into(),
            1 => clauses.remove(0),
            _ => Self::build(|builder| {
                let items = clauses.iter().map(|clause| {
                    let item = builder.copy(clause.as_ref())?;
                    match clause.node() {
                        Node::Ternary(..) | Node::Or(_) | Node::And(_) => builder.paren(item),
                        _ => Ok(item),
                    }
                });
                let items = items.collect::<Result<Vec<_>, _>>()?;
                builder.and(&items)
            }),
        }
    }

    /// The same, borrowed.
    pub(crate) fn as_ref(&self) -> Ref<'_> {
        match &self.0 {
            Repr::Literal(literal) => Ref::Literal(literal),
            Repr::Tree(tree, id) => Ref::Node(tree, *id),
        }
    }

    /// What stands at its root.
    pub(crate) fn node(&self) -> Node<'_> {
        self.as_ref().node()
    }

    pub(crate) fn depth(&self) -> u16 {
        self.as_ref().depth()
    }

    pub(crate) fn identity(&self) -> Identity {
        self.as_ref().identity()
    }

    pub(crate) fn literal<'l>(literal: impl Into<Lit<'l>>) -> Self {
        Self(Repr::Literal(literal.into().into()))
    }

    #[inline]
    pub(crate) fn as_literal(&self) -> Option<Lit<'_>> {
        self.as_constant().map(Lit::from)
    }

    /// The constant that it is, if it is one: no tree has a constant at its root.
    #[inline]
    pub(crate) fn as_constant(&self) -> Option<&Literal> {
        match &self.0 {
            Repr::Literal(literal) => Some(literal),
            Repr::Tree(..) => None,
        }
    }

    /// A node over copies of its children; `None` if it would be too deep.
    pub(crate) fn make(node: Node<'_>) -> Option<Self> {
        let mut builder = Builder::new(0);
        let root = builder.node(node).ok()?;
        Some(builder.finish(root))
    }

    /// Bytes that its whole tree takes, about.
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Repr::Literal(Literal::Str(text)) => text.len(),
            Repr::Literal(_) => 0,
            Repr::Tree(tree, _) => tree.size(),
        }
    }

    /// What `build` builds; the error literal, which stands in for it, if that would be too deep.
    pub(crate) fn build(build: impl FnOnce(&mut Builder) -> Result<NodeId, TooDeep>) -> Self {
        let mut builder = Builder::new(0);
        match build(&mut builder) {
            Ok(root) => builder.finish(root),
            Err(TooDeep) => Self::literal(Lit::Error),
        }
    }
}

fn push_clauses(expr: Ref<'_>, clauses: &mut Vec<Expr>) {
    match expr.unparenthesized().node() {
        Node::And(items) => items.iter().for_each(|item| push_clauses(item, clauses)),
        _ => clauses.push(expr.to_expr()),
    }
}

impl Special {
    #[inline]
    pub(crate) fn of(name: NameRef<'_>) -> Option<Self> {
        let text = name.as_str();
        // As nearly everybody writes them.
        match text {
            "TARGET" => return Some(Self::Target),
            "MY" => return Some(Self::My),
            _ => {}
        }
        let first = text.as_bytes().first()?.to_ascii_lowercase();
        let (word, special) = match (text.len(), first) {
            (2, b'm') => ("my", Self::My),
            (2, b'a') => ("ad", Self::Ad),
            (4, b's') => ("self", Self::My),
            (4, b'r') => ("root", Self::Root),
            (4, b'l') => ("left", Self::Left),
            (5, b'o') => ("other", Self::Target),
            (5, b'r') => ("right", Self::Right),
            (6, b't') => ("target", Self::Target),
            (6, b'p') => ("parent", Self::Parent),
            (8, b't') => ("toplevel", Self::Root),
            (11, b'c') => ("currenttime", Self::CurrentTime),
            (13, b'l') => ("leftrankvalue", Self::LeftRankValue),
            (14, b's') => ("symmetricmatch", Self::SymmetricMatch),
            (14, b'r') => ("rightrankvalue", Self::RightRankValue),
            (16, b'l') => ("leftmatchesright", Self::LeftMatchesRight),
            (16, b'r') => ("rightmatchesleft", Self::RightMatchesLeft),
            _ => return None,
        };
        // The bit that tells the cases of a letter apart makes no other byte a letter.
        let mut pairs = text.bytes().zip(word.bytes());
        pairs.all(|(a, b)| a | 0x20 == b).then_some(special)
    }
}

impl<'e> From<&'e Literal> for Lit<'e> {
    #[inline]
    fn from(literal: &'e Literal) -> Self {
        match literal {
            Literal::Undefined => Self::Undefined,
            Literal::Error => Self::Error,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Real(value) => Self::Real(*value),
            Literal::Str(text) => Self::Str(text),
            Literal::AbsTime { secs, offset_secs } => Self::AbsTime {
                secs: *secs,
                offset_secs: *offset_secs,
            },
            Literal::RelTime(secs) => Self::RelTime(*secs),
        }
    }
}

impl From<Lit<'_>> for Literal {
    fn from(literal: Lit<'_>) -> Self {
        match literal {
            Lit::Undefined => Self::Undefined,
            Lit::Error => Self::Error,
            Lit::Bool(value) => Self::Bool(value),
            Lit::Int(value) => Self::Int(value),
            Lit::Real(value) => Self::Real(value),
            Lit::Str(text) => Self::Str(SmolStr::new(text)),
            Lit::AbsTime { secs, offset_secs } => Self::AbsTime { secs, offset_secs },
            Lit::RelTime(secs) => Self::RelTime(secs),
        }
    }
}

impl BinaryOp {
    /// As it is written in the new syntax.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Shl => "<<",
            Self::Shr => ">>",
            Self::UShr => ">>>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Is => "is",
            Self::Isnt => "isnt",
            Self::BitAnd => "&",
            Self::BitXor => "^",
            Self::BitOr => "|",
        }
    }

    /// The comparison that says the same with its sides exchanged; `None` of other operators.
    pub(crate) fn flipped(self) -> Option<Self> {
        match self {
            Self::Lt => Some(Self::Gt),
            Self::Le => Some(Self::Ge),
            Self::Gt => Some(Self::Lt),
            Self::Ge => Some(Self::Le),
            Self::Eq | Self::Ne | Self::Is | Self::Isnt => Some(self),
            Self::Mul | Self::Div | Self::Rem | Self::Add | Self::Sub => None,
            Self::Shl | Self::Shr | Self::UShr => None,
            Self::BitAnd | Self::BitXor | Self::BitOr => None,
        }
    }
}

impl UnaryOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Minus => "-",
            Self::Plus => "+",
            Self::Not => "!",
            Self::BitNot => "~",
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        unparse::expr(&mut out, self.as_ref(), Style::New);
        f.write_str(&out)
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_exact())
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Tree(a, i), Repr::Tree(b, j)) if Arc::ptr_eq(a, b) && i == j => true,
            _ => self.to_exact() == other.to_exact(),
        }
    }
}

impl From<i64> for Expr {
    fn from(value: i64) -> Self {
        Self::literal(Lit::Int(value))
    }
}

impl From<i32> for Expr {
    fn from(value: i32) -> Self {
        Self::literal(Lit::Int(value.into()))
    }
}

impl From<u32> for Expr {
    fn from(value: u32) -> Self {
        Self::literal(Lit::Int(value.into()))
    }
}

impl From<f64> for Expr {
    fn from(value: f64) -> Self {
        Self::literal(Lit::Real(value))
    }
}

impl From<bool> for Expr {
    fn from(value: bool) -> Self {
        Self::literal(Lit::Bool(value))
    }
}

/// A string. A NUL, which ads cannot hold, becomes U+FFFD.
impl From<&str> for Expr {
    fn from(value: &str) -> Self {
        Self::literal(Lit::Str(&without_nul(value)))
    }
}

impl From<String> for Expr {
    fn from(value: String) -> Self {
        value.as_str().into()
    }
}

impl From<&String> for Expr {
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl From<&Expr> for Expr {
    fn from(value: &Expr) -> Self {
        value.clone()
    }
}

/// A nested ad. One nested deeper than [`EXPR_DEPTH_MAX`](crate::limits::EXPR_DEPTH_MAX) becomes
/// the error literal.
impl From<ClassAd> for Expr {
    fn from(ad: ClassAd) -> Self {
        Self::build(|builder| builder.ad(ad))
    }
}

/// A list. One nested deeper than [`EXPR_DEPTH_MAX`](crate::limits::EXPR_DEPTH_MAX) becomes the
/// error literal.
impl<E: Into<Expr>> From<Vec<E>> for Expr {
    fn from(items: Vec<E>) -> Self {
        Self::build(|builder| {
            let items = items.into_iter().map(|item| {
                let item: Expr = item.into();
                builder.copy(item.as_ref())
            });
            let items = items.collect::<Result<Vec<_>, _>>()?;
            builder.list(&items)
        })
    }
}
