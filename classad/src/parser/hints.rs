//! What is said of a token that is wrong: what it is, what was expected, and what was probably
//! meant, from the token and what stands around it. Words only: nothing is accepted because of
//! them.

use crate::error::ParseError;

use super::Parser;
use super::group::Group;
use super::lexer::{Sym, Text, Token, shorten, word_length};

/// Words that are operators in other languages.
const WORDS: [(&str, &str); 15] = [
    ("and", "logical and is `&&`"),
    ("or", "logical or is `||`"),
    ("not", "logical not is `!`"),
    ("xor", "write `!=` between booleans"),
    ("eq", "comparison is `==`"),
    ("ne", "comparison is `!=`"),
    ("mod", "the remainder is `%`"),
    ("div", "division is `/`"),
    ("in", "write `member(value, list)`"),
    ("like", "write `regexp(pattern, text)`"),
    ("matches", "write `regexp(pattern, text)`"),
    (
        "contains",
        "write `stringListMember(item, list)` or `regexp(pattern, text)`",
    ),
    ("if", "write `condition ? value : other`"),
    ("then", "write `condition ? value : other`"),
    ("else", "write `condition ? value : other`"),
];

pub(super) const UNIT_HINT: &str = "write the number out in the attribute's own unit";

/// Whether a word is a unit of memory, which numbers do not have here.
pub(super) fn is_unit(word: &str) -> bool {
    let units = [
        "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib", "t", "tb", "tib",
    ];
    is_one_of(word, &units)
}

/// Whether other languages write an infix operator as this word.
pub(super) fn is_operator_elsewhere(word: &str) -> bool {
    !is_one_of(word, &["not", "if", "then", "else"]) && word_hint(word).is_some()
}

/// Whether the word is wrong only because the `if` before it is.
pub(super) fn goes_with_if(word: &str) -> bool {
    is_one_of(word, &["then", "else"])
}

impl Parser<'_> {
    #[cold]
    pub(super) fn unexpected(&self, expected: &'static str) -> Box<ParseError> {
        let message = match self.lexer.token {
            Token::End if self.lexer.source().trim().is_empty() => {
                "there is no expression".to_string()
            }
            Token::End => "the text ends too early".to_string(),
            Token::Str(_) => "unexpected string".to_string(),
            _ => format!("unexpected `{}`", self.lexer.slice()),
        };
        let error = ParseError::new(self.start(), message).expecting(expected);
        Box::new(match self.hint(expected) {
            Some(hint) => error.hinting(hint),
            None => error,
        })
    }

    /// The token is not what a group opened at `opened_at` may hold or be closed by.
    #[cold]
    pub(super) fn unclosed(
        &self,
        group: Group,
        opened_at: usize,
        expected: &'static str,
    ) -> Box<ParseError> {
        let mut error = self.unexpected(expected);
        if let Some(hint) = self.separator_hint(group) {
            return Box::new(error.hinting(hint));
        }
        let found = match self.lexer.token {
            Token::End => "the text ends",
            Token::Sym(Sym::RParen | Sym::RBracket | Sym::RBrace) => &error.message,
            Token::Sym(Sym::Comma | Sym::Semicolon) => &error.message,
            _ => return error,
        };
        let line = self.lexer.source()[opened_at..].lines().next();
        let begins = shorten(line.unwrap_or_default());
        error.message = format!("{found} inside the `{}` of `{begins}`", group.opener());
        Box::new(error.opened(opened_at))
    }

    /// What to write instead of the token, which is not the `expected`.
    fn hint(&self, expected: &'static str) -> Option<&'static str> {
        let source = self.lexer.source();
        let here = &source[self.start()..];
        let before = &source[..self.lexer.before()];
        let touches = before.len() == self.start();
        let by_token = match self.lexer.token {
            Token::Sym(Sym::Assign) => Some(assign_hint(here, touches && before.ends_with('='))),
            Token::Sym(Sym::Greater) if touches && before.ends_with('<') => {
                Some("the comparison is `!=`")
            }
            Token::Sym(Sym::Amp) if before.ends_with('&') => Some("logical and is `&&`"),
            Token::Sym(Sym::Pipe) if before.ends_with('|') => Some("logical or is `||`"),
            Token::Sym(Sym::Star) if touches && before.ends_with('*') => {
                Some("powers are `pow(base, exponent)`")
            }
            Token::Sym(Sym::EqEq | Sym::Colon) if expected == "`=`" => {
                Some("an attribute is set by `=`")
            }
            Token::Sym(Sym::RParen | Sym::RBrace) if before.ends_with(',') => {
                Some("nothing stands between the last `,` and the bracket")
            }
            Token::Sym(Sym::RParen | Sym::RBracket | Sym::RBrace)
                if expected == "an operator or the end" =>
            {
                Some("no bracket is open that it could close")
            }
            Token::Name(_) if here.starts_with('\'') => {
                Some("strings stand in double quotes, `\"`")
            }
            Token::Name(Text::Plain(word))
                if is_unit(word)
                    && before.ends_with(|c: char| c.is_ascii_digit())
                    && !self.begins_entry() =>
            {
                Some(UNIT_HINT)
            }
            Token::Name(Text::Plain(word)) => word_hint(word),
            Token::Str(_) if expected.starts_with("an attribute name") => {
                Some("attribute names stand without quotes or in single ones, `'`")
            }
            Token::Undefined | Token::Error | Token::Bool(_) | Token::Sym(Sym::Is | Sym::Isnt)
                if expected.starts_with("an attribute name") && !here.starts_with('=') =>
            {
                Some("a reserved word as a name stands in single quotes, `'`")
            }
            _ => None,
        };
        by_token.or_else(|| word_hint(last_word(before)))
    }

    /// What separates the items of a group, where the token separates those of another.
    fn separator_hint(&self, group: Group) -> Option<&'static str> {
        let here = || &self.lexer.source()[self.start()..];
        match group {
            Group::Ad if self.is(Sym::Comma) => Some("attributes are separated by `;`"),
            Group::List if self.is(Sym::Semicolon) && here().contains('}') => {
                Some("items are separated by `,`")
            }
            Group::Ad | Group::List | Group::Args | Group::Paren | Group::Subscript => None,
        }
    }
}

fn assign_hint(here: &str, after_equals: bool) -> &'static str {
    match here.as_bytes().get(1) {
        Some(b'<') => "the comparison is `<=`",
        Some(b'>') => "the comparison is `>=`",
        Some(b'?') => "the comparison is `=?=`",
        Some(b'!') => "the comparison is `=!=`",
        Some(b'~') => "write `regexp(pattern, text)`",
        _ if after_equals => "the comparison is `==`",
        _ => "comparison is `==` or `=?=`",
    }
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn word_hint(word: &str) -> Option<&'static str> {
    let known = |(name, _): &&(&str, &str)| word.eq_ignore_ascii_case(name);
    WORDS.iter().find(known).map(|(_, hint)| *hint)
}

/// The word that `text` ends in, as far as it is one.
fn last_word(text: &str) -> &str {
    let reversed = text.bytes().rev();
    let length = reversed.take_while(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let word = &text[text.len() - length.count()..];
    &word[..word_length(word)]
}
