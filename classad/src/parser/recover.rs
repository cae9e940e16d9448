//! Going on behind an error, so that one reading of a text finds all that is wrong with it. Holds
//! what is skipped and what is taken as meant; makes no expression that anybody sees. An error that
//! only follows from the one before it is not reported: nothing twice at one place, nothing about
//! what was skipped.

use crate::error::ParseError;
use crate::expr::{Lit, NodeId};
use crate::limits::{EXPR_DEPTH_MAX, SYNTAX_ERRORS_MAX};

use super::group::Group;
use super::lexer::{Lexer, Sym, Text, Token, word_length};
use super::operators::{LEVEL_OR, infix_of, unary_of};
use super::{Parsed, Parser, Syntax, hints};

/// How far a missing bracket is looked for, in bytes: every open one may have to be.
const LOOK_AHEAD_BYTES_MAX: usize = 4096;

/// What a recovering parser remembers.
pub(super) struct Recovery {
    errors: Vec<ParseError>,
    /// The brackets around the token, the innermost last.
    open: Vec<Group>,
    /// A place where nothing more is reported, because what was before it has been skipped.
    quiet_at: Option<usize>,
    /// Whether to give up: too deep, or too many errors.
    stopped: bool,
}

/// All errors of a text of which `first` is known.
pub(super) fn errors<T>(
    text: &str,
    syntax: Syntax,
    first: ParseError,
    parse: impl FnOnce(&mut Parser<'_>) -> Parsed<T>,
) -> Vec<ParseError> {
    let mut parser = Parser::new(text, syntax);
    parser.recovery = Some(Box::new(Recovery {
        errors: Vec::new(),
        open: Vec::new(),
        quiet_at: None,
        stopped: false,
    }));
    let parsed = parser
        .advance()
        .and_then(|()| parse(&mut parser))
        .and_then(|_| parser.expect_end());
    if let Err(error) = parsed
        && parser.record(error).is_ok()
    {
        let _ = parser.resume(None);
    }
    let found = parser.recovery.map(|recovery| recovery.errors);
    let mut errors: Vec<ParseError> = found.unwrap_or_default();
    // One token is read ahead, so that what is wrong with it can come before an earlier error.
    errors.retain(|error| error.offset > first.offset);
    errors.push(first);
    errors.sort_by_key(|error| error.offset);
    errors.truncate(SYNTAX_ERRORS_MAX);
    errors
}

impl Recovery {
    pub(super) fn enter(&mut self, group: Group) {
        self.open.push(group);
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether a bracket around the innermost one is of a kind.
    fn outer(&self, is: impl Fn(Group) -> bool) -> bool {
        let outer = self.open.len().saturating_sub(1);
        self.open[..outer].iter().any(|group| is(*group))
    }
}

impl Parser<'_> {
    /// Notes an error and lets the parse go on; gives it back where the parse ends with it.
    fn record(&mut self, error: Box<ParseError>) -> Parsed<()> {
        let Some(recovery) = &mut self.recovery else {
            return Err(error);
        };
        let follows = recovery.quiet_at == Some(error.offset);
        let known = recovery.errors.iter().any(|e| e.offset == error.offset);
        if !follows && !known && recovery.errors.len() < SYNTAX_ERRORS_MAX {
            recovery.errors.push((*error).clone());
        }
        recovery.stopped |= recovery.errors.len() >= SYNTAX_ERRORS_MAX;
        if recovery.stopped {
            return Err(error);
        }
        Ok(())
    }

    /// In place of an operand: nothing. What may stand behind an operand is left for the caller.
    #[cold]
    pub(super) fn without_operand(&mut self, error: Box<ParseError>) -> Parsed<NodeId> {
        self.record(error)?;
        match self.lexer.token {
            Token::End => {}
            Token::Sym(Sym::LParen | Sym::LBracket | Sym::LBrace) => self.skip_group()?,
            Token::Sym(sym) if is_separator(sym) || is_loose(sym) => {
                // `?:` and `(,)` lack two operands, and are one mistake.
                let end = self.lexer.end();
                let rest = self.lexer.source()[end..].trim_start();
                if rest.starts_with([':', ')', ']', '}']) {
                    self.be_quiet_at(self.lexer.source().len() - rest.len());
                }
            }
            Token::Sym(sym) if infix_of(sym).is_some() || is_closer(sym) => {}
            _ => self.advance()?,
        }
        Ok(self.builder.literal(Lit::Error))
    }

    /// Reads brackets and all that is in them.
    fn skip_group(&mut self) -> Parsed<()> {
        let mut open = 0_usize;
        loop {
            match self.lexer.token {
                Token::End => return Ok(()),
                Token::Sym(Sym::LParen | Sym::LBracket | Sym::LBrace) => open += 1,
                Token::Sym(sym) if is_closer(sym) => open -= 1,
                _ => {}
            }
            self.advance()?;
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Behind the `?` and one expression: no `:`.
    #[cold]
    pub(super) fn without_colon(&mut self, then: NodeId) -> Parsed<NodeId> {
        let error = self.unexpected("`:` of `? :`");
        self.record(error)?;
        if self.starts_operand() {
            self.infix(LEVEL_OR)?;
        }
        if self.is(Sym::Colon) {
            self.advance()?;
            return self.expr();
        }
        Ok(then)
    }

    /// Instead of `name = expr` in an ad: the rest up to what separates attributes.
    #[cold]
    pub(super) fn without_entry(&mut self, error: Box<ParseError>) -> Parsed<()> {
        self.record(error)?;
        let sets = |token| matches!(token, Token::Sym(Sym::Assign | Sym::EqEq | Sym::Colon));
        let ends = match self.lexer.token {
            Token::End => true,
            Token::Sym(sym) => is_separator(sym) || is_closer(sym) || sets(self.lexer.token),
            _ => false,
        };
        if !ends {
            self.advance()?;
        }
        if sets(self.lexer.token) {
            self.advance()?;
            self.expr()?;
            return Ok(());
        }
        self.resume(Some(Group::Ad))
    }

    /// Neither a separator nor the bracket that closes the group: the rest of the item is skipped.
    /// Says whether another item follows.
    #[cold]
    pub(super) fn without_separator(
        &mut self,
        group: Group,
        error: Box<ParseError>,
    ) -> Parsed<bool> {
        self.record(error)?;
        self.resume(Some(group))?;
        if self.is_separator(group) || self.is_meant_to_separate(group) {
            self.advance()?;
            return Ok(true);
        }
        Ok(group == Group::Ad && matches!(self.lexer.token, Token::Name(_)))
    }

    /// Something else where a group must be closed.
    #[cold]
    pub(super) fn without_closer(
        &mut self,
        group: Group,
        opened_at: usize,
        expected: &'static str,
    ) -> Parsed<()> {
        let error = self.unclosed(group, opened_at, expected);
        let is_missing = error.opened_at().is_some();
        self.record(error)?;
        self.resume(Some(group))?;
        if !is_missing && !self.is(group.closer()) {
            let error = self.unclosed(group, opened_at, expected);
            self.record(error)?;
        }
        // A wrong bracket that closes nothing around is taken for the right one.
        if let Token::Sym(sym) = self.lexer.token
            && is_closer(sym)
            && sym != group.closer()
            && !self.closes_outer(sym)
        {
            self.advance()?;
        }
        Ok(())
    }

    /// Skips what cannot stand where it stands, up to what ends an item of the group, or to the end
    /// of the text. Expressions on the way are read for their own errors.
    fn resume(&mut self, group: Option<Group>) -> Parsed<()> {
        if self.depth >= EXPR_DEPTH_MAX {
            return Err(self.too_deep(self.start()));
        }
        self.depth += 1;
        let closed = group.is_none_or(|group| self.is_closed_ahead(group));
        // Whether an operator was passed since the last error: the next is one of its own.
        let mut fresh = false;
        while !self.ends_item(group, closed) {
            let joined = self.skips_operator()?;
            if !joined && fresh {
                let error = self.unexpected(match group {
                    None => "an operator or the end",
                    Some(_) => "an operator",
                });
                self.record(error)?;
            }
            fresh = match self.lexer.token {
                Token::End => false,
                Token::Sym(sym) if is_closer(sym) => {
                    self.advance()?;
                    true
                }
                Token::Sym(sym) if is_separator(sym) || is_loose(sym) => {
                    self.skip_symbols()?;
                    self.starts_operand() && self.reads_infix()?
                }
                _ if self.starts_operand() => self.reads_infix()? || joined,
                _ => {
                    self.advance()?;
                    true
                }
            };
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an expression; whether an infix operator joins it: what follows an error then follows
    /// more than that.
    fn reads_infix(&mut self) -> Parsed<bool> {
        let node = self.infix(LEVEL_OR)?;
        Ok(self.builder.is_infix(node))
    }

    /// Reads an infix operator, or a word that is one elsewhere.
    fn skips_operator(&mut self) -> Parsed<bool> {
        let skips = match self.lexer.token {
            Token::Sym(sym) => infix_of(sym).is_some(),
            Token::Name(Text::Plain(word)) if hints::is_operator_elsewhere(word) => {
                let error = self.unexpected("an operator");
                self.record(error)?;
                true
            }
            Token::Name(Text::Plain(word)) => hints::goes_with_if(word),
            _ => false,
        };
        if skips {
            self.advance()?;
            if !self.starts_operand() && !matches!(self.lexer.token, Token::Name(_)) {
                let error = self.unexpected("an expression");
                self.record(error)?;
            }
        }
        Ok(skips)
    }

    /// Reads symbols that touch each other: `=<` is one mistake.
    fn skip_symbols(&mut self) -> Parsed<()> {
        loop {
            let end = self.lexer.end();
            self.advance()?;
            let touches = self.start() == end;
            let goes_on = match self.lexer.token {
                Token::Sym(sym) => {
                    is_loose(sym) || matches!(sym, Sym::Less | Sym::Greater | Sym::EqEq)
                }
                _ => false,
            };
            if !touches || !goes_on {
                return Ok(());
            }
        }
    }

    fn starts_operand(&self) -> bool {
        match self.lexer.token {
            Token::End => false,
            Token::Sym(sym) => {
                matches!(sym, Sym::LParen | Sym::LBrace | Sym::LBracket | Sym::Dot)
                    || unary_of(self.lexer.token).is_some()
            }
            Token::Undefined | Token::Error | Token::Bool(_) | Token::Int(_) => true,
            Token::Real(_) | Token::Str(_) | Token::Name(_) => true,
        }
    }

    /// Whether the token ends the item of a group in which the parser resumes.
    fn ends_item(&self, group: Option<Group>, closed: bool) -> bool {
        let Some(group) = group else {
            return matches!(self.lexer.token, Token::End);
        };
        let sym = match self.lexer.token {
            Token::End => return true,
            Token::Name(_) => return group == Group::Ad && self.begins_entry(),
            Token::Sym(sym) => sym,
            _ => return false,
        };
        if sym == group.closer() || self.is_separator(group) || self.is_meant_to_separate(group) {
            return true;
        }
        !closed && (self.closes_outer(sym) || self.separates_outer(sym) || is_closer(sym))
    }

    /// Whether another group's separator stands where this one's should.
    fn is_meant_to_separate(&self, group: Group) -> bool {
        match group {
            Group::Ad => self.is(Sym::Comma) && !self.separates_outer(Sym::Comma),
            Group::List => self.is(Sym::Semicolon) && !self.separates_outer(Sym::Semicolon),
            Group::Args | Group::Paren | Group::Subscript => false,
        }
    }

    /// Whether `name =` stands here.
    pub(super) fn begins_entry(&self) -> bool {
        let rest = &self.lexer.source()[self.lexer.end()..];
        let rest = rest.trim_start();
        rest.starts_with('=') && !rest[1..].starts_with(['=', '?', '!', '<', '>'])
    }

    fn closes_outer(&self, sym: Sym) -> bool {
        let recovery = self.recovery.as_ref();
        recovery.is_some_and(|recovery| recovery.outer(|group| group.closer() == sym))
    }

    fn separates_outer(&self, sym: Sym) -> bool {
        let separates = |group: Group| match group {
            Group::Paren | Group::Subscript => false,
            Group::List => sym == Sym::Comma,
            Group::Args => sym == Sym::Comma,
            Group::Ad => sym == Sym::Semicolon,
        };
        let recovery = self.recovery.as_ref();
        recovery.is_some_and(|recovery| recovery.outer(separates))
    }

    /// Whether enough closing brackets follow for every open one of this kind, so that none is
    /// missing and something too many stands here.
    fn is_closed_ahead(&self, group: Group) -> bool {
        let Some(recovery) = &self.recovery else {
            return false;
        };
        let same = |open: &&Group| open.closer() == group.closer();
        let wanted = recovery.open.iter().filter(same).count();
        let mut lexer = Lexer::new(self.lexer.source(), self.syntax);
        lexer.go_on(self.start(), true);
        let (mut opened, mut closed) = (0_usize, 0_usize);
        while closed < wanted {
            if lexer.end() - self.start() > LOOK_AHEAD_BYTES_MAX {
                return false;
            }
            match lexer.advance().map(|()| lexer.token) {
                Ok(Token::End) | Err(_) => return false,
                Ok(Token::Sym(sym)) if sym == group.closer() => match opened.checked_sub(1) {
                    Some(left) => opened = left,
                    None => closed += 1,
                },
                Ok(Token::Sym(Sym::LParen)) => opened += usize::from(group.opener() == '('),
                Ok(Token::Sym(Sym::LBracket)) => opened += usize::from(group.opener() == '['),
                Ok(Token::Sym(Sym::LBrace)) => opened += usize::from(group.opener() == '{'),
                Ok(_) => {}
            }
        }
        true
    }

    /// In place of a text that is no token: the token that was probably meant.
    #[cold]
    pub(super) fn without_token(&mut self, error: Box<ParseError>) -> Parsed<()> {
        let mut error = error;
        loop {
            self.record(error)?;
            let meant = self.meant();
            if let Some((token, length)) = meant {
                let after_operand = !matches!(token, Token::Sym(_));
                self.lexer.go_on(self.start() + length, after_operand);
                self.lexer.token = token;
                return Ok(());
            }
            let rest = &self.lexer.source()[self.start()..];
            let length = rest.chars().next().map_or(0, char::len_utf8);
            self.lexer.go_on(self.start() + length, false);
            match self.lexer.advance() {
                Ok(()) => {
                    self.be_quiet_at(self.start());
                    return Ok(());
                }
                Err(next) => error = next,
            }
        }
    }

    /// The token that was probably meant where there is none, and the length of what stands for it.
    fn meant(&mut self) -> Option<(Token<'static>, usize)> {
        let rest = &self.lexer.source()[self.start()..];
        let first = rest.chars().next()?;
        let word = |from: usize| from + word_length(&rest[from..]);
        Some(match first {
            '0'..='9' | '.' | '-' => {
                let ends = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.');
                let length = rest[1..].find(ends).map_or(rest.len(), |length| length + 1);
                (Token::Undefined, length)
            }
            '"' | '\'' => {
                let length = rest.find('\n').unwrap_or(rest.len());
                self.be_quiet_behind(length);
                (Token::Undefined, length)
            }
            '/' => {
                self.be_quiet_behind(rest.len());
                (Token::Undefined, rest.len())
            }
            '“' | '”' | '„' | '«' | '»' | '‘' | '’' | '`' => {
                let opened = first.len_utf8();
                let closes = |c: char| matches!(c, '“' | '”' | '«' | '»' | '’' | '‘' | '`' | '"');
                let length = rest[opened..].find(closes)?;
                let closed = rest[opened + length..].chars().next()?;
                (Token::Undefined, opened + length + closed.len_utf8())
            }
            '≤' => (Token::Sym(Sym::LessEq), first.len_utf8()),
            '≥' => (Token::Sym(Sym::GreaterEq), first.len_utf8()),
            '≠' => (Token::Sym(Sym::NotEq), first.len_utf8()),
            '–' | '—' | '−' => (Token::Sym(Sym::Minus), first.len_utf8()),
            '$' if rest[1..].starts_with('(') => (Token::Undefined, rest.find(')')? + 1),
            '$' => (Token::Undefined, word(1)),
            _ => return None,
        })
    }

    /// Reports nothing about the first token behind the next `length` bytes, nor about their end.
    fn be_quiet_behind(&mut self, length: usize) {
        let source = self.lexer.source();
        let rest = &source[self.start() + length..];
        let at = source.len() - rest.trim_start().len();
        self.be_quiet_at(at);
    }

    fn be_quiet_at(&mut self, at: usize) {
        if let Some(recovery) = &mut self.recovery {
            recovery.quiet_at = Some(at);
        }
    }
}

fn is_separator(sym: Sym) -> bool {
    matches!(sym, Sym::Comma | Sym::Semicolon)
}

fn is_closer(sym: Sym) -> bool {
    matches!(sym, Sym::RParen | Sym::RBracket | Sym::RBrace)
}

/// Symbols that belong to longer constructs and mean nothing by themselves.
fn is_loose(sym: Sym) -> bool {
    matches!(sym, Sym::Assign | Sym::Question | Sym::Colon)
}
