//! Expressions: immutable trees behind one shared pointer. Holds their shape and what can be said
//! of it without evaluating; knows neither text (see `parser`, `unparse`) nor meaning (see `eval`).

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::Regex;

use crate::ad::ClassAd;
use crate::error::ParseError;
use crate::functions::Builtin;
use crate::limits::EXPR_DEPTH_MAX;
use crate::name::{AttrName, without_nul};
use crate::parser::{self, Syntax};
use crate::references::References;
use crate::unparse::{self, Style};

/// An expression. Cloning shares it; it never changes and is never deeper than
/// [`EXPR_DEPTH_MAX`].
///
/// Two expressions are equal if they print the same in lossless form: `1+1` and `1 + 1` are equal,
/// `1 + 1` and `2` are not.
#[derive(Clone)]
pub struct Expr(Arc<Tree>);

struct Tree {
    depth: u16,
    node: Node,
}

/// One node. Chains of `&&` and `||` are flat, so that long machine lists cost no depth.
pub(crate) enum Node {
    Literal(Literal),
    Attr(Reference),
    Unary(UnaryOp, Expr),
    Binary(BinaryOp, Expr, Expr),
    And(Box<[Expr]>),
    Or(Box<[Expr]>),
    Ternary(Expr, Expr, Expr),
    Elvis(Expr, Expr),
    Subscript(Expr, Expr),
    Paren(Expr),
    Call(Box<Call>),
    List(Arc<[Expr]>),
    Ad(ClassAd),
}

/// A constant. `RelTime` is a constant of type real that prints as `relTime("…")`.
#[derive(Clone, PartialEq)]
pub(crate) enum Literal {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(Arc<str>),
    AbsTime { secs: i64, offset_secs: i32 },
    RelTime(f64),
}

/// `name`, `.name` or `base.name`.
pub(crate) struct Reference {
    pub base: Base,
    pub name: AttrName,
    pub special: Option<Special>,
}

pub(crate) enum Base {
    /// Looked up from where the expression stands.
    Here,
    /// `.name`: looked up in the outermost ad.
    Root,
    /// `base.name`.
    Of(Expr),
}

/// Names with a meaning of their own when no attribute has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Special {
    My,
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

/// `name(args)`. A name that no function has is an error only when evaluated.
pub(crate) struct Call {
    pub name: Arc<str>,
    pub builtin: Option<&'static Builtin>,
    pub args: Box<[Expr]>,
    /// The compiled pattern, for the functions that take one and where it is a literal.
    pub regex: OnceLock<Option<Regex>>,
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
    /// # Errors Where and why `text` is not one expression.
    pub fn parse_old(text: &str) -> Result<Self, ParseError> {
        parser::parse_expr(text, Syntax::Old)
    }

    /// The expression in the old syntax. Not lossless where a string holds a line break.
    pub fn to_old(&self) -> String {
        let mut out = String::new();
        unparse::expr(&mut out, self, Style::Old);
        out
    }

    /// The expression in the new syntax with reals that read back to the same bits.
    pub fn to_exact(&self) -> String {
        let mut out = String::new();
        unparse::expr(&mut out, self, Style::Exact);
        out
    }

    /// The conjuncts of the outermost `&&`, in order, through parentheses; the expression itself if
    /// it is no conjunction.
    pub fn clauses(&self) -> Vec<Expr> {
        let mut clauses = Vec::new();
        self.push_clauses(&mut clauses);
        clauses
    }

    /// The attributes that the expression mentions, by side. Nothing is looked up: see
    /// [`ClassAd::references`] for what they stand for in an ad.
    pub fn references(&self) -> References {
        References::of(self)
    }

    /// Whether it is a constant.
    pub fn is_literal(&self) -> bool {
        matches!(self.node(), Node::Literal(_))
    }

    /// The conjunction of `clauses`, each in parentheses where it needs them; `true` if there is
    /// none.
    pub fn all(clauses: impl IntoIterator<Item = Expr>) -> Self {
        let mut clauses: Vec<Expr> = clauses.into_iter().map(Self::guarded).collect();
        match clauses.len() {
            0 => true.into(),
            1 => clauses.remove(0),
            _ => Self::make(Node::And(clauses.into())).unwrap_or_else(Self::too_deep),
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(crate) fn depth(&self) -> u16 {
        self.0.depth
    }

    /// The same for clones of one expression, different for any two that live at the same time.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// `None` if the tree would be deeper than [`EXPR_DEPTH_MAX`].
    pub(crate) fn make(node: Node) -> Option<Self> {
        let depth = node.deepest_child() + 1;
        (depth <= EXPR_DEPTH_MAX).then(|| Self(Arc::new(Tree { depth, node })))
    }

    pub(crate) fn literal(literal: Literal) -> Self {
        Self(Arc::new(Tree {
            depth: 1,
            node: Node::Literal(literal),
        }))
    }

    /// The stand-in for an expression that would be too deep to exist.
    pub(crate) fn too_deep() -> Self {
        Self::literal(Literal::Error)
    }

    pub(crate) fn as_literal(&self) -> Option<&Literal> {
        match self.node() {
            Node::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// The expression inside any number of parentheses.
    pub(crate) fn unparenthesized(&self) -> &Expr {
        let mut expr = self;
        while let Node::Paren(inner) = expr.node() {
            expr = inner;
        }
        expr
    }

    /// The expressions directly inside, in the order in which they are written.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self.node() {
            Node::Literal(_) => Vec::new(),
            Node::Attr(reference) => match &reference.base {
                Base::Here | Base::Root => Vec::new(),
                Base::Of(base) => vec![base],
            },
            Node::Unary(_, a) | Node::Paren(a) => vec![a],
            Node::Binary(_, a, b) | Node::Elvis(a, b) | Node::Subscript(a, b) => vec![a, b],
            Node::Ternary(a, b, c) => vec![a, b, c],
            Node::And(items) | Node::Or(items) => items.iter().collect(),
            Node::Call(call) => call.args.iter().collect(),
            Node::List(items) => items.iter().collect(),
            Node::Ad(ad) => ad.iter().map(|(_, expr)| expr).collect(),
        }
    }

    fn push_clauses(&self, clauses: &mut Vec<Expr>) {
        match self.unparenthesized().node() {
            Node::And(items) => items.iter().for_each(|item| item.push_clauses(clauses)),
            _ => clauses.push(self.clone()),
        }
    }

    fn guarded(self) -> Self {
        match self.node() {
            Node::Ternary(..) | Node::Or(_) | Node::And(_) => {
                Self::make(Node::Paren(self)).unwrap_or_else(Self::too_deep)
            }
            _ => self,
        }
    }
}

impl Node {
    fn deepest_child(&self) -> u16 {
        let deepest = |exprs: &[Expr]| exprs.iter().map(Expr::depth).max().unwrap_or(0);
        match self {
            Self::Literal(_) => 0,
            Self::Attr(reference) => match &reference.base {
                Base::Here | Base::Root => 0,
                Base::Of(base) => base.depth(),
            },
            Self::Unary(_, a) | Self::Paren(a) => a.depth(),
            Self::Binary(_, a, b) | Self::Elvis(a, b) | Self::Subscript(a, b) => {
                a.depth().max(b.depth())
            }
            Self::Ternary(a, b, c) => a.depth().max(b.depth()).max(c.depth()),
            Self::And(items) | Self::Or(items) => deepest(items),
            Self::Call(call) => deepest(&call.args),
            Self::List(items) => deepest(items),
            Self::Ad(ad) => ad.iter().map(|(_, expr)| expr.depth()).max().unwrap_or(0),
        }
    }
}

impl Reference {
    pub(crate) fn new(base: Base, name: AttrName) -> Self {
        let special = Special::of(&name);
        Self {
            base,
            name,
            special,
        }
    }
}

impl Special {
    fn of(name: &AttrName) -> Option<Self> {
        Some(match name.folded() {
            "my" | "self" => Self::My,
            "parent" => Self::Parent,
            "root" | "toplevel" => Self::Root,
            "target" | "other" => Self::Target,
            "left" => Self::Left,
            "right" => Self::Right,
            "symmetricmatch" => Self::SymmetricMatch,
            "leftmatchesright" => Self::LeftMatchesRight,
            "rightmatchesleft" => Self::RightMatchesLeft,
            "leftrankvalue" => Self::LeftRankValue,
            "rightrankvalue" => Self::RightRankValue,
            "currenttime" => Self::CurrentTime,
            _ => return None,
        })
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
        unparse::expr(&mut out, self, Style::New);
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
        Arc::ptr_eq(&self.0, &other.0)
            || (self.depth() == other.depth() && self.to_exact() == other.to_exact())
    }
}

impl From<i64> for Expr {
    fn from(value: i64) -> Self {
        Self::literal(Literal::Int(value))
    }
}

impl From<i32> for Expr {
    fn from(value: i32) -> Self {
        Self::literal(Literal::Int(value.into()))
    }
}

impl From<u32> for Expr {
    fn from(value: u32) -> Self {
        Self::literal(Literal::Int(value.into()))
    }
}

impl From<f64> for Expr {
    fn from(value: f64) -> Self {
        Self::literal(Literal::Real(value))
    }
}

impl From<bool> for Expr {
    fn from(value: bool) -> Self {
        Self::literal(Literal::Bool(value))
    }
}

/// A string. A NUL, which ads cannot hold, becomes U+FFFD.
impl From<&str> for Expr {
    fn from(value: &str) -> Self {
        Self::literal(Literal::Str(without_nul(value).into()))
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

/// A nested ad. One nested deeper than [`EXPR_DEPTH_MAX`] becomes the error literal.
impl From<ClassAd> for Expr {
    fn from(ad: ClassAd) -> Self {
        Self::make(Node::Ad(ad)).unwrap_or_else(Self::too_deep)
    }
}

/// A list. One nested deeper than [`EXPR_DEPTH_MAX`] becomes the error literal.
impl<E: Into<Expr>> From<Vec<E>> for Expr {
    fn from(items: Vec<E>) -> Self {
        Self::make(Node::List(items.into_iter().map(Into::into).collect()))
            .unwrap_or_else(Self::too_deep)
    }
}
