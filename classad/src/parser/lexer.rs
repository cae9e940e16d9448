//! Text to tokens. The one thing it must know of grammar: a minus before a digit belongs to the
//! number unless the token before it ends an operand.

use crate::error::ParseError;
use crate::expr::Literal;

use super::Syntax;

#[derive(Clone, PartialEq)]
pub(super) enum Token {
    Literal(Literal),
    /// An identifier, quoted or not; never one of the words that are constants or operators.
    Name(String),
    Sym(Sym),
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sym {
    LParen,
    RParen,
    LBracket,
    RBracket,
    LBrace,
    RBrace,
    Comma,
    Semicolon,
    Dot,
    Question,
    Colon,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Less,
    LessEq,
    Greater,
    GreaterEq,
    EqEq,
    NotEq,
    Is,
    Isnt,
    Shl,
    Shr,
    UShr,
    Amp,
    AndAnd,
    Pipe,
    OrOr,
    Caret,
    Bang,
    Tilde,
    Assign,
}

/// Longest first where one is the beginning of another.
const SYMBOLS: [(&str, Sym); 34] = [
    ("=?=", Sym::Is),
    ("=!=", Sym::Isnt),
    (">>>", Sym::UShr),
    ("<<", Sym::Shl),
    (">>", Sym::Shr),
    ("<=", Sym::LessEq),
    (">=", Sym::GreaterEq),
    ("==", Sym::EqEq),
    ("!=", Sym::NotEq),
    ("&&", Sym::AndAnd),
    ("||", Sym::OrOr),
    ("(", Sym::LParen),
    (")", Sym::RParen),
    ("[", Sym::LBracket),
    ("]", Sym::RBracket),
    ("{", Sym::LBrace),
    ("}", Sym::RBrace),
    (",", Sym::Comma),
    (";", Sym::Semicolon),
    (".", Sym::Dot),
    ("?", Sym::Question),
    (":", Sym::Colon),
    ("+", Sym::Plus),
    ("-", Sym::Minus),
    ("*", Sym::Star),
    ("/", Sym::Slash),
    ("%", Sym::Percent),
    ("<", Sym::Less),
    (">", Sym::Greater),
    ("&", Sym::Amp),
    ("|", Sym::Pipe),
    ("^", Sym::Caret),
    ("!", Sym::Bang),
    ("~", Sym::Tilde),
];

/// How much of an unexpected token an error shows, in bytes.
const SHOWN_BYTES_MAX: usize = 24;

pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    syntax: Syntax,
    /// Whether the last token ended an operand.
    after_operand: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, syntax: Syntax) -> Self {
        Self {
            text,
            at: 0,
            syntax,
            after_operand: false,
        }
    }

    /// The next token and where it begins; [`Token::End`] again and again at the end.
    pub(super) fn next(&mut self) -> Result<(usize, Token), ParseError> {
        self.skip_space()?;
        let start = self.at;
        let token = self.token()?;
        self.after_operand = match &token {
            Token::Literal(_) | Token::Name(_) => true,
            Token::Sym(sym) => matches!(sym, Sym::RParen | Sym::RBracket | Sym::RBrace),
            Token::End => false,
        };
        Ok((start, token))
    }

    /// Whether a colon comes next, white space aside.
    pub(super) fn next_is_colon(&self) -> bool {
        self.text[self.at..].trim_start().starts_with(':')
    }

    /// The token just read, which began at `start`, shortened.
    pub(super) fn slice_from(&self, start: usize) -> &'t str {
        shorten(&self.text[start..self.at])
    }

    fn token(&mut self) -> Result<Token, ParseError> {
        let Some(first) = self.byte(0) else {
            return Ok(Token::End);
        };
        let second_digit = self.byte(1).is_some_and(|b| b.is_ascii_digit());
        match first {
            b'0'..=b'9' => self.number(),
            b'.' if second_digit => self.number(),
            b'-' if !self.after_operand && self.starts_number(1) => self.number(),
            b'"' => self.string(),
            b'\'' => {
                let bytes = self.quoted(b'\'')?;
                Ok(Token::Name(text_of(bytes)))
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Ok(self.word()),
            _ => self.symbol(),
        }
    }

    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .position(|b| !b.is_ascii_alphanumeric() && b != b'_')
            .unwrap_or(rest.len());
        let word = &rest[..length];
        self.at += length;
        keyword(word).unwrap_or_else(|| Token::Name(word.to_string()))
    }

    fn symbol(&mut self) -> Result<Token, ParseError> {
        let rest = &self.text[self.at..];
        if let Some((text, sym)) = SYMBOLS
            .iter()
            .find(|(text, _)| text.as_bytes()[0] == rest.as_bytes()[0] && rest.starts_with(text))
        {
            self.at += text.len();
            return Ok(Token::Sym(*sym));
        }
        if rest.starts_with('=') {
            self.at += 1;
            return Ok(Token::Sym(Sym::Assign));
        }
        let found: String = rest.chars().take(1).collect();
        Err(ParseError::new(
            self.at,
            format!("`{}` means nothing here", found.escape_debug()),
        ))
    }

    fn starts_number(&self, ahead: usize) -> bool {
        let digit = |i| self.byte(i).is_some_and(|b: u8| b.is_ascii_digit());
        digit(ahead) || (self.byte(ahead) == Some(b'.') && digit(ahead + 1))
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        self.at += usize::from(self.byte(0) == Some(b'-'));
        let digits_from = self.at;
        self.skip_digits();
        let whole = &self.text[digits_from..self.at];
        let mut real = false;
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            real = true;
            if self.skip_digits() == 0 {
                return Err(ParseError::new(self.at, "the number ends in a point")
                    .expecting("a digit after the decimal point"));
            }
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            self.at += 1;
            real = true;
            self.at += usize::from(matches!(self.byte(0), Some(b'+' | b'-')));
            if self.skip_digits() == 0 {
                return Err(
                    ParseError::new(self.at, "the exponent has no digits").expecting("a digit")
                );
            }
        }
        if self
            .byte(0)
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err(self.bad_suffix(start));
        }
        let text = &self.text[start..self.at];
        if real {
            let value = text
                .parse()
                .map_err(|_| ParseError::new(start, "not a number"))?;
            return Ok(Token::Literal(Literal::Real(value)));
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(ParseError::new(start, "integers cannot begin with 0")
                .expecting("a decimal integer"));
        }
        // The reference reads an integer that does not fit as 0.
        Ok(Token::Literal(Literal::Int(text.parse().unwrap_or(0))))
    }

    fn bad_suffix(&self, start: usize) -> ParseError {
        let number = &self.text[start..self.at];
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .position(|b| !b.is_ascii_alphanumeric() && b != b'_')
            .unwrap_or(rest.len());
        let suffix = &rest[..length];
        let is_unit = ["k", "kb", "m", "mb", "g", "gb", "t", "tb"]
            .iter()
            .any(|unit| suffix.eq_ignore_ascii_case(unit));
        let message = if is_unit {
            format!("unit `{suffix}` after `{number}`: expressions know no units")
        } else {
            format!("`{}` after the number `{number}`", shorten(suffix))
        };
        ParseError::new(self.at, message).expecting("an operator or the end")
    }

    /// A string, in new syntax with those that follow it.
    fn string(&mut self) -> Result<Token, ParseError> {
        let mut bytes = match self.syntax {
            Syntax::New => self.quoted(b'"')?,
            Syntax::Old => return self.old_string(),
        };
        loop {
            let end = self.at;
            self.skip_space()?;
            if self.byte(0) != Some(b'"') {
                self.at = end;
                return Ok(Token::Literal(Literal::Str(text_of(bytes).into())));
            }
            bytes.extend(self.quoted(b'"')?);
        }
    }

    fn old_string(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        let mut value = Vec::new();
        loop {
            let ends_line = |i: usize| matches!(bytes.get(i), None | Some(b'\n' | b'\r'));
            match bytes.get(at) {
                None | Some(b'\n') => return Err(unterminated(start, "string", "`\"`")),
                Some(0) => return Err(nul(start, "string")),
                Some(b'"') => break,
                Some(b'\\') if bytes.get(at + 1) == Some(&b'"') && !ends_line(at + 2) => {
                    value.push(b'"');
                    at += 2;
                }
                Some(byte) => {
                    value.push(*byte);
                    at += 1;
                }
            }
        }
        self.at = at + 1;
        Ok(Token::Literal(Literal::Str(text_of(value).into())))
    }

    /// What stands between two `quote`s, escapes resolved, as bytes: octal escapes may spell UTF-8.
    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, ParseError> {
        let start = self.at;
        let (what, expected) = if quote == b'"' {
            ("string", "`\"`")
        } else {
            ("quoted name", "`'`")
        };
        self.at += 1;
        let mut value = Vec::new();
        loop {
            let Some(byte) = self.byte(0) else {
                return Err(unterminated(start, what, expected));
            };
            self.at += 1;
            if byte == quote {
                return Ok(value);
            }
            if byte != b'\\' {
                if byte == 0 {
                    return Err(nul(start, what));
                }
                value.push(byte);
                continue;
            }
            let Some(escaped) = self.byte(0) else {
                return Err(unterminated(start, what, expected));
            };
            let byte = self.escape(escaped);
            if byte == 0 {
                return Err(nul(start, what));
            }
            value.push(byte);
        }
    }

    fn escape(&mut self, escaped: u8) -> u8 {
        if (b'0'..=b'7').contains(&escaped) {
            let digits_max = if escaped <= b'3' { 3 } else { 2 };
            let mut value = 0;
            for _ in 0..digits_max {
                match self.byte(0) {
                    Some(digit @ b'0'..=b'7') => value = value * 8 + (digit - b'0'),
                    _ => break,
                }
                self.at += 1;
            }
            return value;
        }
        self.at += 1;
        match escaped {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        }
    }

    fn skip_space(&mut self) -> Result<(), ParseError> {
        loop {
            let rest = &self.text[self.at..];
            let spaces = rest
                .bytes()
                .take_while(|b| matches!(b, b' ' | 9..=13))
                .count();
            self.at += spaces;
            let rest = &rest[spaces..];
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(length) => self.at += length + 4,
                    None => return Err(unterminated(self.at, "comment", "`*/`")),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn skip_digits(&mut self) -> usize {
        let from = self.at;
        while self.byte(0).is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }
}

fn unterminated(start: usize, what: &str, expected: &'static str) -> ParseError {
    ParseError::new(start, format!("the {what} that begins here does not end")).expecting(expected)
}

/// The words that are constants or operators, in any case.
fn keyword(word: &str) -> Option<Token> {
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
    match word.len() {
        2 if is("is") => Some(Token::Sym(Sym::Is)),
        4 if is("isnt") => Some(Token::Sym(Sym::Isnt)),
        4 if is("true") => Some(Token::Literal(Literal::Bool(true))),
        5 if is("false") => Some(Token::Literal(Literal::Bool(false))),
        5 if is("error") => Some(Token::Literal(Literal::Error)),
        9 if is("undefined") => Some(Token::Literal(Literal::Undefined)),
        _ => None,
    }
}

fn nul(start: usize, what: &str) -> ParseError {
    ParseError::new(start, format!("a {what} cannot hold a NUL"))
}

fn text_of(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

fn shorten(text: &str) -> &str {
    let end = (0..=text.len().min(SHOWN_BYTES_MAX))
        .rev()
        .find(|&i| text.is_char_boundary(i));
    &text[..end.unwrap_or(0)]
}
