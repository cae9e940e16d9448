//! Text to expressions and ads: recursive descent over `lexer`'s tokens, precedence as the
//! reference has it (which its manual does not: `?:` is a postfix operator). Every recursion is
//! counted.

mod lexer;

use std::sync::{Arc, OnceLock};

use crate::ad::ClassAd;
use crate::error::ParseError;
use crate::expr::{Base, BinaryOp, Call, Expr, Literal, Node, Reference, UnaryOp};
use crate::functions;
use crate::limits::{EXPR_BYTES_MAX, EXPR_DEPTH_MAX};
use crate::name::AttrName;
use crate::times;
use lexer::{Lexer, Sym, Token};

/// How strings are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Syntax {
    /// C escapes; adjacent strings join.
    New,
    /// Backslashes are ordinary, except before a quote that does not end the line.
    Old,
}

/// The whole of `text` as one expression.
pub(crate) fn parse_expr(text: &str, syntax: Syntax) -> Result<Expr, ParseError> {
    check_length(text, EXPR_BYTES_MAX, "an expression", "EXPR_BYTES_MAX")?;
    whole(text, syntax, |parser| parser.expr())
}

/// The whole of `text` as one ad in brackets.
pub(crate) fn parse_ad(text: &str) -> Result<ClassAd, ParseError> {
    whole(text, Syntax::New, |parser| match parser.token {
        Token::Sym(Sym::LBracket) => parser.ad(),
        _ => Err(parser.unexpected("`[`")),
    })
}

/// An attribute's name with nothing around it: plain, or in single quotes.
pub(crate) fn parse_name(text: &str) -> Result<AttrName, ParseError> {
    whole(text, Syntax::New, |parser| parser.name("an attribute name"))
}

/// Results inside the parser: the error boxed, because every level of nesting pays for its size on
/// the stack several times.
type Parsed<T> = Result<T, Box<ParseError>>;

fn whole<T>(
    text: &str,
    syntax: Syntax,
    parse: impl FnOnce(&mut Parser<'_>) -> Parsed<T>,
) -> Result<T, ParseError> {
    let parse_all = || {
        let mut parser = Parser::new(text, syntax)?;
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
    token: Token,
    /// Where `token` begins.
    start: usize,
    depth: u16,
}

/// How tightly infix operators bind; a higher level binds tighter.
const LEVEL_OR: u8 = 1;
const LEVEL_AND: u8 = 2;

impl<'t> Parser<'t> {
    fn new(text: &'t str, syntax: Syntax) -> Parsed<Self> {
        let mut parser = Self {
            lexer: Lexer::new(text, syntax),
            token: Token::End,
            start: 0,
            depth: 0,
        };
        parser.advance()?;
        Ok(parser)
    }

    fn expr(&mut self) -> Parsed<Expr> {
        if self.depth >= EXPR_DEPTH_MAX {
            return Err(self.too_deep(self.start));
        }
        self.depth += 1;
        let result = self.ternary();
        self.depth -= 1;
        result
    }

    fn ternary(&mut self) -> Parsed<Expr> {
        let start = self.start;
        let condition = self.infix(LEVEL_OR)?;
        if self.token != Token::Sym(Sym::Question) {
            return Ok(condition);
        }
        self.advance()?;
        let then = self.expr()?;
        self.expect(Sym::Colon, "`:` of `? :`")?;
        let other = self.expr()?;
        self.make(Node::Ternary(condition, then, other), start)
    }

    fn infix(&mut self, level_min: u8) -> Parsed<Expr> {
        let start = self.start;
        let mut left = self.prefix()?;
        loop {
            let Token::Sym(sym) = self.token else {
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
                    self.binary(op, left, right, start)?
                }
                Infix::And | Infix::Or => self.chain(left, sym, level, start)?,
            };
        }
    }

    /// A run of `&&` or of `||`, `left` being its first operand.
    fn chain(&mut self, left: Expr, sym: Sym, level: u8, start: usize) -> Parsed<Expr> {
        let mut items = vec![left];
        while self.token == Token::Sym(sym) {
            self.advance()?;
            items.push(self.infix(level + 1)?);
        }
        self.make(
            if sym == Sym::AndAnd {
                Node::And(items.into())
            } else {
                Node::Or(items.into())
            },
            start,
        )
    }

    fn binary(&self, op: BinaryOp, left: Expr, right: Expr, start: usize) -> Parsed<Expr> {
        self.make(Node::Binary(op, left, right), start)
    }

    fn prefix(&mut self) -> Parsed<Expr> {
        let mut ops = Vec::new();
        while let Token::Sym(sym) = self.token {
            let op = match sym {
                Sym::Minus => UnaryOp::Minus,
                Sym::Plus => UnaryOp::Plus,
                Sym::Bang => UnaryOp::Not,
                Sym::Tilde => UnaryOp::BitNot,
                _ => break,
            };
            ops.push((op, self.start));
            self.advance()?;
        }
        let mut expr = self.elvis()?;
        for (op, start) in ops.into_iter().rev() {
            expr = self.make(Node::Unary(op, expr), start)?;
        }
        Ok(expr)
    }

    fn elvis(&mut self) -> Parsed<Expr> {
        let start = self.start;
        let mut left = self.postfix()?;
        while self.token == Token::Sym(Sym::Question) && self.lexer.next_is_colon() {
            self.advance()?;
            self.advance()?;
            let right = self.postfix()?;
            left = self.make(Node::Elvis(left, right), start)?;
        }
        Ok(left)
    }

    fn postfix(&mut self) -> Parsed<Expr> {
        let start = self.start;
        let mut expr = self.primary()?;
        loop {
            if self.token == Token::Sym(Sym::Dot) {
                self.advance()?;
                expr = self.attr(Base::Of(expr), start)?;
            } else if self.token == Token::Sym(Sym::LBracket) {
                self.advance()?;
                expr = self.subscript(expr, start)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let start = self.start;
        match &self.token {
            Token::Literal(_) => self.literal(),
            Token::Name { .. } => self.name_or_call(),
            Token::Sym(Sym::Dot) => {
                self.advance()?;
                self.attr(Base::Root, start)
            }
            Token::Sym(Sym::LParen) => self.paren(),
            Token::Sym(Sym::LBrace) => self.list(),
            Token::Sym(Sym::LBracket) => {
                let ad = self.ad()?;
                self.nested(ad, start)
            }
            Token::Sym(_) | Token::End => Err(self.unexpected("an expression")),
        }
    }

    fn literal(&mut self) -> Parsed<Expr> {
        let Token::Literal(literal) = &self.token else {
            return Err(self.unexpected("a constant"));
        };
        let expr = Expr::literal(literal.clone());
        self.advance()?;
        Ok(expr)
    }

    fn paren(&mut self) -> Parsed<Expr> {
        let start = self.start;
        self.advance()?;
        let inner = self.expr()?;
        self.expect(Sym::RParen, "`)`")?;
        self.parenthesized(inner, start)
    }

    fn subscript(&mut self, base: Expr, start: usize) -> Parsed<Expr> {
        let index = self.expr()?;
        self.expect(Sym::RBracket, "`]` after the subscript")?;
        self.make(Node::Subscript(base, index), start)
    }

    fn attr(&mut self, base: Base, start: usize) -> Parsed<Expr> {
        let name = self.name("an attribute name after `.`")?;
        self.make(Node::Attr(Reference::new(base, name)), start)
    }

    fn parenthesized(&self, inner: Expr, start: usize) -> Parsed<Expr> {
        self.make(Node::Paren(inner), start)
    }

    fn nested(&self, ad: ClassAd, start: usize) -> Parsed<Expr> {
        self.make(Node::Ad(ad), start)
    }

    fn name_or_call(&mut self) -> Parsed<Expr> {
        let start = self.start;
        let name = self.name("a name")?;
        if self.token != Token::Sym(Sym::LParen) {
            return self.make(Node::Attr(Reference::new(Base::Here, name)), start);
        }
        let args = self.args()?;
        self.call(name, args, start)
    }

    fn args(&mut self) -> Parsed<Vec<Expr>> {
        self.advance()?;
        let mut args = Vec::new();
        if self.token != Token::Sym(Sym::RParen) {
            args.push(self.expr()?);
            while matches!(self.token, Token::Sym(Sym::Comma | Sym::Semicolon)) {
                self.advance()?;
                args.push(self.expr()?);
            }
        }
        self.expect(Sym::RParen, "`,` or `)`")?;
        Ok(args)
    }

    fn call(&self, name: AttrName, args: Vec<Expr>, start: usize) -> Parsed<Expr> {
        if let Some(literal) = call_literal(&name, &args, start)? {
            return Ok(Expr::literal(literal));
        }
        let builtin = functions::find(name.folded());
        let call = Call {
            name: name.as_str().into(),
            builtin,
            args: args.into(),
            regex: OnceLock::new(),
        };
        self.make(Node::Call(Box::new(call)), start)
    }

    fn list(&mut self) -> Parsed<Expr> {
        let start = self.start;
        self.advance()?;
        let mut items = Vec::new();
        if self.token != Token::Sym(Sym::RBrace) {
            items.push(self.expr()?);
            while self.token == Token::Sym(Sym::Comma) {
                self.advance()?;
                items.push(self.expr()?);
            }
        }
        self.expect(Sym::RBrace, "`,` or `}`")?;
        self.make(Node::List(items.into()), start)
    }

    /// `[ name = expr; … ]`, from its bracket on. Empty places between semicolons are allowed.
    fn ad(&mut self) -> Parsed<ClassAd> {
        self.advance()?;
        let mut entries = Vec::new();
        loop {
            while self.token == Token::Sym(Sym::Semicolon) {
                self.advance()?;
            }
            if self.token == Token::Sym(Sym::RBracket) {
                self.advance()?;
                return Ok(ClassAd::from_entries(entries));
            }
            let name = self.name("an attribute name or `]`")?;
            self.expect(Sym::Assign, "`=`")?;
            entries.push((name, self.expr()?));
            if !matches!(self.token, Token::Sym(Sym::Semicolon | Sym::RBracket)) {
                return Err(self.unexpected("`;` or `]`"));
            }
        }
    }

    fn name(&mut self, expected: &'static str) -> Parsed<AttrName> {
        let Token::Name(text) = &self.token else {
            return Err(self.unexpected(expected));
        };
        let name = AttrName::from(text.as_str());
        self.advance()?;
        Ok(name)
    }

    fn expect(&mut self, sym: Sym, expected: &'static str) -> Parsed<()> {
        if self.token != Token::Sym(sym) {
            return Err(self.unexpected(expected));
        }
        self.advance()
    }

    fn expect_end(&self) -> Parsed<()> {
        match self.token {
            Token::End => Ok(()),
            _ => Err(self.unexpected("an operator or the end")),
        }
    }

    fn advance(&mut self) -> Parsed<()> {
        let (start, token) = self.lexer.next().map_err(Box::new)?;
        self.start = start;
        self.token = token;
        Ok(())
    }

    fn make(&self, node: Node, start: usize) -> Parsed<Expr> {
        Expr::make(node).ok_or_else(|| self.too_deep(start))
    }

    fn unexpected(&self, expected: &'static str) -> Box<ParseError> {
        let found = match &self.token {
            Token::End if self.start == 0 => "there is no expression".to_string(),
            Token::End => "the text ends too early".to_string(),
            Token::Literal(Literal::Str(_)) => "unexpected string".to_string(),
            Token::Sym(Sym::Assign) => "unexpected `=` (comparison is `==` or `=?=`)".to_string(),
            _ => format!("unexpected `{}`", self.lexer.slice_from(self.start)),
        };
        Box::new(ParseError::new(self.start, found).expecting(expected))
    }

    fn too_deep(&self, start: usize) -> Box<ParseError> {
        let message =
            format!("nested deeper than the {EXPR_DEPTH_MAX} levels allowed (EXPR_DEPTH_MAX)");
        Box::new(ParseError::new(start, message))
    }
}

enum Infix {
    Strict(BinaryOp),
    And,
    Or,
}

fn infix_of(sym: Sym) -> Option<(u8, Infix)> {
    let (level, op) = match sym {
        Sym::OrOr => return Some((LEVEL_OR, Infix::Or)),
        Sym::AndAnd => return Some((LEVEL_AND, Infix::And)),
        Sym::Pipe => (3, BinaryOp::BitOr),
        Sym::Caret => (4, BinaryOp::BitXor),
        Sym::Amp => (5, BinaryOp::BitAnd),
        Sym::EqEq => (6, BinaryOp::Eq),
        Sym::NotEq => (6, BinaryOp::Ne),
        Sym::Is => (6, BinaryOp::Is),
        Sym::Isnt => (6, BinaryOp::Isnt),
        Sym::Less => (7, BinaryOp::Lt),
        Sym::LessEq => (7, BinaryOp::Le),
        Sym::Greater => (7, BinaryOp::Gt),
        Sym::GreaterEq => (7, BinaryOp::Ge),
        Sym::Shl => (8, BinaryOp::Shl),
        Sym::Shr => (8, BinaryOp::Shr),
        Sym::UShr => (8, BinaryOp::UShr),
        Sym::Plus => (9, BinaryOp::Add),
        Sym::Minus => (9, BinaryOp::Sub),
        Sym::Star => (10, BinaryOp::Mul),
        Sym::Slash => (10, BinaryOp::Div),
        Sym::Percent => (10, BinaryOp::Rem),
        Sym::LParen | Sym::RParen | Sym::LBracket | Sym::RBracket | Sym::LBrace => return None,
        Sym::RBrace | Sym::Comma | Sym::Semicolon | Sym::Dot | Sym::Question => return None,
        Sym::Colon | Sym::Bang | Sym::Tilde | Sym::Assign => return None,
    };
    Some((level, Infix::Strict(op)))
}

/// `absTime("…")`, `relTime("…")` and `real("INF")` with one string constant are constants
/// themselves.
fn call_literal(name: &AttrName, args: &[Expr], start: usize) -> Parsed<Option<Literal>> {
    let [arg] = args else { return Ok(None) };
    let Some(Literal::Str(text)) = arg.as_literal() else {
        return Ok(None);
    };
    let text: &Arc<str> = text;
    match name.folded() {
        "abstime" => times::parse_abs(text)
            .map(|(secs, offset_secs)| Some(Literal::AbsTime { secs, offset_secs }))
            .ok_or_else(|| {
                let error = ParseError::new(start, "not a time in `absTime`");
                Box::new(error.expecting("a time such as `2024-05-06T07:08:09Z`"))
            }),
        // So that infinities and NaN, which print as calls, read back as the constants they are.
        "real" if name.as_str() == "real" => Ok(match &**text {
            "INF" => Some(Literal::Real(f64::INFINITY)),
            "-INF" => Some(Literal::Real(f64::NEG_INFINITY)),
            "NaN" => Some(Literal::Real(f64::NAN)),
            _ => None,
        }),
        "reltime" => times::parse_rel(text)
            .map(|secs| Some(Literal::RelTime(secs)))
            .ok_or_else(|| {
                let error = ParseError::new(start, "not a span of time in `relTime`");
                Box::new(error.expecting("a span such as `1+02:03:04`"))
            }),
        _ => Ok(None),
    }
}
