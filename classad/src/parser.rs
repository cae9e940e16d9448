//! Text to expressions and ads: recursive descent over `lexer`'s tokens, precedence as the
//! reference has it (which its manual does not: `?:` is a postfix operator). Every recursion is
//! counted. What is said of an error is `hints`' business, what follows it `recover`'s.

mod constants;
mod group;
mod hints;
mod lexer;
mod numbers;
mod operators;
mod recover;

use smallvec::SmallVec;

use crate::ad::ClassAd;
use crate::error::ParseError;
use crate::expr::{Builder, Expr, Lit, NodeId, TooDeep, UnaryOp};
use crate::limits::{EXPR_BYTES_MAX, EXPR_DEPTH_MAX};
use crate::name::{AttrName, NameRef};
use constants::{call_literal, is_span, span_as_real};
use group::Group;
use lexer::{Lexer, Sym, Text, Token};
use operators::{Infix, LEVEL_OR, infix_of, unary_of};
use recover::Recovery;

/// How strings are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Syntax {
    /// C escapes; adjacent strings join.
    New,
    /// Backslashes are ordinary, except before a quote that does not end the line.
    Old,
    /// New, as the bare library reads it: integers may begin with 0, `;` separates no arguments.
    Bare,
}

/// The whole of `text` as one expression.
pub(crate) fn parse_expr(text: &str, syntax: Syntax) -> Result<Expr, ParseError> {
    check_length(text, EXPR_BYTES_MAX, "an expression", "EXPR_BYTES_MAX")?;
    let expr = whole(text, syntax, |parser| parser.whole_expr())?;
    Ok(match syntax {
        Syntax::Old if is_span(expr.as_ref()) => span_as_real(expr.as_ref()),
        Syntax::Old | Syntax::New | Syntax::Bare => expr,
    })
}

/// An expression from its print in the new syntax, which may be longer than what was read.
pub(crate) fn reread_expr(text: &str) -> Result<Expr, ParseError> {
    whole(text, Syntax::New, |parser| {
        parser.attr_bytes_max = usize::MAX;
        parser.whole_expr()
    })
}

/// An ad from its print in the new syntax, which may be longer than what was read.
pub(crate) fn reread_ad(text: &str) -> Result<ClassAd, ParseError> {
    whole(text, Syntax::New, |parser| {
        parser.attr_bytes_max = usize::MAX;
        parser.whole_ad()
    })
}

/// The whole of `text` as one ad in brackets.
pub(crate) fn parse_ad(text: &str) -> Result<ClassAd, ParseError> {
    whole(text, Syntax::New, |parser| parser.whole_ad())
}

/// Everything that [`parse_expr`] would refuse in `text`, in order of place.
pub(crate) fn expr_errors(text: &str, syntax: Syntax) -> Vec<ParseError> {
    match parse_expr(text, syntax) {
        Ok(_) => Vec::new(),
        Err(first) if text.len() > EXPR_BYTES_MAX => vec![first],
        Err(first) => recover::errors(text, syntax, first, |parser| parser.whole_expr()),
    }
}

/// Everything that [`parse_ad`] would refuse in `text`, in order of place.
pub(crate) fn ad_errors(text: &str) -> Vec<ParseError> {
    match parse_ad(text) {
        Ok(_) => Vec::new(),
        Err(first) => recover::errors(text, Syntax::New, first, |parser| parser.whole_ad()),
    }
}

/// An attribute's name as a long-form line begins with it: plain, or in single quotes.
pub(crate) fn parse_name(text: &str) -> Result<AttrName, ParseError> {
    whole(text.trim(), Syntax::Old, |parser| {
        parser.name("an attribute name")
    })
}

/// Results inside the parser: the error boxed, because every level of nesting pays for its size on
/// the stack several times.
type Parsed<T> = Result<T, Box<ParseError>>;

/// How many operands of chains, lists and calls are kept without allocating.
const PARTS_INLINE: usize = 16;

fn whole<T>(
    text: &str,
    syntax: Syntax,
    parse: impl FnOnce(&mut Parser<'_>) -> Parsed<T>,
) -> Result<T, ParseError> {
    let mut parser = Parser::new(text, syntax);
    let parse_all = || {
        parser.advance()?;
        let parsed = parse(&mut parser)?;
        parser.expect_end()?;
        Ok(parsed)
    };
    parse_all().map_err(|error: Box<ParseError>| *error)
}

fn check_length(text: &str, limit: usize, what: &str, name: &str) -> Result<(), ParseError> {
    if text.len() <= limit {
        return Ok(());
    }
    let offset = (0..=limit)
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0);
    let message = format!(
        "{} bytes are more than the {limit} that {what} may have ({name})",
        text.len()
    );
    Err(ParseError::new(offset, message))
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    depth: u16,
    syntax: Syntax,
    /// Longest text of an attribute's expression.
    attr_bytes_max: usize,
    builder: Builder,
    /// Operands, arguments and items of what is not yet complete.
    parts: SmallVec<[NodeId; PARTS_INLINE]>,
    /// What was wrong so far, where the parse goes on behind errors.
    recovery: Option<Box<Recovery>>,
}

impl<'t> Parser<'t> {
    #[inline(always)]
    fn new(text: &'t str, syntax: Syntax) -> Self {
        Self {
            lexer: Lexer::new(text, syntax),
            depth: 0,
            syntax,
            attr_bytes_max: EXPR_BYTES_MAX,
            builder: Builder::new(text.len()),
            parts: SmallVec::new(),
            recovery: None,
        }
    }

    fn whole_ad(&mut self) -> Parsed<ClassAd> {
        if !self.is(Sym::LBracket) {
            return Err(self.unexpected("`[`"));
        }
        self.ad()
    }

    fn whole_expr(&mut self) -> Parsed<Expr> {
        if let Some(expr) = self.constant()? {
            return Ok(expr);
        }
        let root = self.expr()?;
        Ok(std::mem::take(&mut self.builder).finish(root))
    }

    /// An expression in a tree of its own, inside another.
    fn own_expr(&mut self) -> Parsed<Expr> {
        let start = self.start();
        let expr = self.own_tree()?;
        // Behind an error the parser may stand where it stood.
        let end = self.lexer.before().max(start);
        let text = &self.lexer.source()[start..end];
        check_length(text, self.attr_bytes_max, "an expression", "EXPR_BYTES_MAX")
            .map_err(|error| Box::new(error.shifted(start)))?;
        Ok(expr)
    }

    fn own_tree(&mut self) -> Parsed<Expr> {
        if let Some(expr) = self.constant()? {
            return Ok(expr);
        }
        let outer = std::mem::take(&mut self.builder);
        let parts = self.parts.len();
        let root = self.expr();
        // What an error left behind are places in the tree that is given up.
        self.parts.truncate(parts);
        let own = std::mem::replace(&mut self.builder, outer);
        root.map(|root| own.finish(root))
    }

    /// A constant with nothing behind it, which needs no tree.
    fn constant(&mut self) -> Parsed<Option<Expr>> {
        let literal = match self.lexer.token {
            Token::Undefined => Lit::Undefined,
            Token::Error => Lit::Error,
            Token::Bool(value) => Lit::Bool(value),
            Token::Int(value) => Lit::Int(value),
            Token::Real(value) => Lit::Real(value),
            Token::Str(text) => Lit::Str(self.lexer.text(text)),
            Token::Name(_) | Token::Sym(_) | Token::End => return Ok(None),
        };
        if !self.lexer.expr_ends() {
            return Ok(None);
        }
        let expr = Expr::literal(literal);
        self.advance()?;
        Ok(Some(expr))
    }

    fn expr(&mut self) -> Parsed<NodeId> {
        if self.depth >= EXPR_DEPTH_MAX {
            return Err(self.too_deep(self.start()));
        }
        self.depth += 1;
        let result = self.ternary();
        self.depth -= 1;
        result
    }

    #[inline(always)]
    fn ternary(&mut self) -> Parsed<NodeId> {
        let start = self.start();
        let condition = self.infix(LEVEL_OR)?;
        if !self.is(Sym::Question) {
            return Ok(condition);
        }
        self.advance()?;
        let then = self.expr()?;
        if !self.is(Sym::Colon) {
            return self.without_colon(then);
        }
        self.advance()?;
        let other = self.expr()?;
        let made = self.builder.ternary([condition, then, other]);
        self.checked(made, start)
    }

    fn infix(&mut self, level_min: u8) -> Parsed<NodeId> {
        let start = self.start();
        let mut left = self.operand()?;
        loop {
            let Token::Sym(sym) = self.lexer.token else {
                return Ok(left);
            };
            let Some((level, op)) = infix_of(sym) else {
                return Ok(left);
            };
            if level < level_min {
                return Ok(left);
            }
            left = match op {
                Infix::Strict(op) => {
                    self.advance()?;
                    let right = self.infix(level + 1)?;
                    let made = self.builder.binary(op, left, right);
                    self.checked(made, start)?
                }
                Infix::And | Infix::Or => self.chain(left, sym, level, start)?,
            };
        }
    }

    /// A run of `&&` or of `||`, `left` being its first operand.
    fn chain(&mut self, left: NodeId, sym: Sym, level: u8, start: usize) -> Parsed<NodeId> {
        let from = self.parts.len();
        self.parts.push(left);
        while self.is(sym) {
            self.advance()?;
            let item = self.infix(level + 1)?;
            self.parts.push(item);
        }
        let items = &self.parts[from..];
        let made = match sym {
            Sym::AndAnd => self.builder.and(items),
            _ => self.builder.or(items),
        };
        self.parts.truncate(from);
        self.checked(made, start)
    }

    #[inline(always)]
    fn operand(&mut self) -> Parsed<NodeId> {
        let operand = match unary_of(self.lexer.token) {
            None => self.elvis(),
            Some(op) => self.prefixed(op),
        };
        match operand {
            Ok(operand) => Ok(operand),
            Err(error) => self.without_operand(error),
        }
    }

    fn prefixed(&mut self, first: UnaryOp) -> Parsed<NodeId> {
        let mut ops = vec![(first, self.start())];
        self.advance()?;
        while let Some(op) = unary_of(self.lexer.token) {
            ops.push((op, self.start()));
            self.advance()?;
        }
        let mut expr = self.elvis()?;
        for (op, start) in ops.into_iter().rev() {
            let made = self.builder.unary(op, expr);
            expr = self.checked(made, start)?;
        }
        Ok(expr)
    }

    #[inline(always)]
    fn elvis(&mut self) -> Parsed<NodeId> {
        let start = self.start();
        let first = self.postfix()?;
        if !self.is_elvis() {
            return Ok(first);
        }
        // Grouped from the right.
        let mut operands = vec![(first, start)];
        while self.is_elvis() {
            self.advance()?;
            self.advance()?;
            let start = self.start();
            operands.push((self.postfix()?, start));
        }
        let Some((mut right, _)) = operands.pop() else {
            return Err(self.unexpected("an expression"));
        };
        while let Some((left, start)) = operands.pop() {
            let made = self.builder.elvis(left, right);
            right = self.checked(made, start)?;
        }
        Ok(right)
    }

    fn is_elvis(&self) -> bool {
        self.is(Sym::Question) && self.lexer.next_is_colon()
    }

    #[inline(always)]
    fn postfix(&mut self) -> Parsed<NodeId> {
        let start = self.start();
        let mut expr = self.primary()?;
        loop {
            expr = match self.lexer.token {
                Token::Sym(Sym::Dot) => {
                    self.advance()?;
                    let name = self.name_text("an attribute name after `.`")?;
                    let name = NameRef::new(self.lexer.text(name));
                    let made = self.builder.selection(expr, name);
                    self.advance()?;
                    self.checked(made, start)?
                }
                Token::Sym(Sym::LBracket) => self.subscript(expr, start)?,
                _ => return Ok(expr),
            };
        }
    }

    #[inline(always)]
    fn primary(&mut self) -> Parsed<NodeId> {
        let start = self.start();
        let literal = match self.lexer.token {
            Token::Name(_) => return self.name_or_call(),
            Token::Str(text) => Lit::Str(self.lexer.text(text)),
            Token::Int(value) => Lit::Int(value),
            Token::Real(value) => Lit::Real(value),
            Token::Bool(value) => Lit::Bool(value),
            Token::Undefined => Lit::Undefined,
            Token::Error => Lit::Error,
            Token::Sym(Sym::LParen) => return self.paren(),
            Token::Sym(Sym::Dot) => {
                self.advance()?;
                let name = self.name_text("an attribute name after `.`")?;
                let name = NameRef::new(self.lexer.text(name));
                let node = self.builder.root_name(name);
                self.advance()?;
                return Ok(node);
            }
            Token::Sym(Sym::LBrace) => return self.list(),
            Token::Sym(Sym::LBracket) => {
                let ad = self.ad()?;
                let made = self.builder.ad(ad);
                return self.checked(made, start);
            }
            Token::Sym(_) | Token::End => return Err(self.unexpected("an expression")),
        };
        let node = self.builder.literal(literal);
        self.advance()?;
        Ok(node)
    }

    #[inline(always)]
    fn paren(&mut self) -> Parsed<NodeId> {
        let start = self.start();
        self.open(Group::Paren)?;
        let inner = self.expr()?;
        self.close(Group::Paren, start, "`)`")?;
        let made = self.builder.paren(inner);
        self.checked(made, start)
    }

    fn subscript(&mut self, base: NodeId, start: usize) -> Parsed<NodeId> {
        let opened_at = self.start();
        self.open(Group::Subscript)?;
        let index = self.expr()?;
        self.close(Group::Subscript, opened_at, "`]` after the subscript")?;
        let made = self.builder.subscript(base, index);
        self.checked(made, start)
    }

    #[inline(always)]
    fn name_or_call(&mut self) -> Parsed<NodeId> {
        let start = self.start();
        let text = self.name_text("a name")?;
        let node = self.builder.name(NameRef::new(self.lexer.text(text)));
        self.advance()?;
        if !self.is(Sym::LParen) {
            return Ok(node);
        }
        let name = self.builder.take_name(node);
        let from = self.parts.len();
        self.args()?;
        let made = match call_literal(&self.builder, &name, &self.parts[from..], start)? {
            Some(literal) => Ok(self.builder.literal(literal)),
            None => self.builder.call(name.as_ref(), &self.parts[from..]),
        };
        self.parts.truncate(from);
        self.checked(made, start)
    }

    /// The arguments of a call, with the brackets around them, onto `parts`.
    fn args(&mut self) -> Parsed<()> {
        let start = self.start();
        self.open(Group::Args)?;
        if !self.is(Sym::RParen) {
            loop {
                let arg = self.expr()?;
                self.parts.push(arg);
                if !self.separated(Group::Args, start, "`,` or `)`")? {
                    break;
                }
            }
        }
        self.close(Group::Args, start, "`,` or `)`")
    }

    fn list(&mut self) -> Parsed<NodeId> {
        let from = self.parts.len();
        let start = self.start();
        self.open(Group::List)?;
        if !self.is(Sym::RBrace) {
            loop {
                let item = self.expr()?;
                self.parts.push(item);
                if !self.separated(Group::List, start, "`,` or `}`")? {
                    break;
                }
            }
        }
        self.close(Group::List, start, "`,` or `}`")?;
        let made = self.builder.list(&self.parts[from..]);
        self.parts.truncate(from);
        self.checked(made, start)
    }

    /// `[ name = expr; … ]`, from its bracket on. Empty places between semicolons are allowed, but
    /// not semicolons alone.
    fn ad(&mut self) -> Parsed<ClassAd> {
        let start = self.start();
        self.open(Group::Ad)?;
        let mut entries = Vec::new();
        let mut may_end = !self.is(Sym::Semicolon);
        loop {
            while self.is(Sym::Semicolon) {
                self.advance()?;
            }
            if self.is(Sym::RBracket) {
                if !may_end {
                    return Err(self.unexpected("an attribute name after `;`"));
                }
                break;
            }
            may_end = true;
            match self.entry(start) {
                Ok(entry) => entries.push(entry),
                Err(error) => self.without_entry(error)?,
            }
            if !self.separated(Group::Ad, start, "`;` or `]`")? {
                break;
            }
        }
        self.close(Group::Ad, start, "`;` or `]`")?;
        Ok(ClassAd::from_entries(entries))
    }

    fn entry(&mut self, ad_start: usize) -> Parsed<(AttrName, Expr)> {
        if matches!(self.lexer.token, Token::End) {
            return Err(self.unclosed(Group::Ad, ad_start, "an attribute name or `]`"));
        }
        let name = self.name("an attribute name or `]`")?;
        if !self.is(Sym::Assign) {
            return Err(self.unexpected("`=`"));
        }
        self.advance()?;
        let expr = self.own_expr()?;
        Ok((name, expr))
    }

    fn name(&mut self, expected: &'static str) -> Parsed<AttrName> {
        let text = self.name_text(expected)?;
        let name = AttrName::parsed(self.lexer.text(text));
        self.advance()?;
        Ok(name)
    }

    /// The name that the token is; it stays the token.
    fn name_text(&self, expected: &'static str) -> Parsed<Text<'t>> {
        match self.lexer.token {
            Token::Name(text) => Ok(text),
            _ => Err(self.unexpected(expected)),
        }
    }

    fn expect_end(&mut self) -> Parsed<()> {
        match self.lexer.token {
            Token::End => Ok(()),
            _ => Err(self.unexpected("an operator or the end")),
        }
    }

    #[inline(always)]
    fn advance(&mut self) -> Parsed<()> {
        match self.lexer.advance() {
            Ok(()) => Ok(()),
            Err(error) => self.without_token(error),
        }
    }

    #[inline(always)]
    fn is(&self, sym: Sym) -> bool {
        matches!(self.lexer.token, Token::Sym(here) if here == sym)
    }

    /// Where the token begins.
    fn start(&self) -> usize {
        self.lexer.start()
    }

    #[inline(always)]
    fn checked(&mut self, made: Result<NodeId, TooDeep>, start: usize) -> Parsed<NodeId> {
        made.map_err(|TooDeep| self.too_deep(start))
    }

    #[cold]
    fn too_deep(&mut self, start: usize) -> Box<ParseError> {
        if let Some(recovery) = &mut self.recovery {
            recovery.stop();
        }
        let message =
            format!("nested deeper than the {EXPR_DEPTH_MAX} levels allowed (EXPR_DEPTH_MAX)");
        Box::new(ParseError::new(start, message))
    }
}
