//! Brackets: what stands in each kind, how its items are separated, and that it is closed.

use super::lexer::Sym;
use super::{Parsed, Parser, Syntax};

/// What a bracket opens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Paren,
    Args,
    Subscript,
    List,
    Ad,
}

impl Group {
    pub(super) fn opener(self) -> char {
        match self {
            Self::Paren | Self::Args => '(',
            Self::Subscript | Self::Ad => '[',
            Self::List => '{',
        }
    }

    pub(super) fn closer(self) -> Sym {
        match self {
            Self::Paren | Self::Args => Sym::RParen,
            Self::Subscript | Self::Ad => Sym::RBracket,
            Self::List => Sym::RBrace,
        }
    }
}

impl Parser<'_> {
    /// Reads an opening bracket.
    pub(super) fn open(&mut self, group: Group) -> Parsed<()> {
        if let Some(recovery) = &mut self.recovery {
            recovery.enter(group);
        }
        self.advance()
    }

    /// Reads the bracket that closes the group opened at `opened_at`.
    #[inline(always)]
    pub(super) fn close(
        &mut self,
        group: Group,
        opened_at: usize,
        expected: &'static str,
    ) -> Parsed<()> {
        if self.recovery.is_none() && self.is(group.closer()) {
            return self.advance();
        }
        if !self.is(group.closer()) {
            self.without_closer(group, opened_at, expected)?;
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.leave();
        }
        if self.is(group.closer()) {
            self.advance()?;
        }
        Ok(())
    }

    /// Reads what separates two items of a group, if it is there.
    pub(super) fn separated(
        &mut self,
        group: Group,
        opened_at: usize,
        expected: &'static str,
    ) -> Parsed<bool> {
        if self.recovery.is_some() && !self.is_separator(group) && !self.is(group.closer()) {
            let error = self.unclosed(group, opened_at, expected);
            return self.without_separator(group, error);
        }
        let separated = self.is_separator(group);
        if separated {
            self.advance()?;
        }
        Ok(separated)
    }

    pub(super) fn is_separator(&self, group: Group) -> bool {
        match group {
            Group::Paren | Group::Subscript => false,
            Group::List => self.is(Sym::Comma),
            Group::Args => {
                self.is(Sym::Comma) || (self.is(Sym::Semicolon) && self.syntax != Syntax::Bare)
            }
            Group::Ad => self.is(Sym::Semicolon),
        }
    }
}
