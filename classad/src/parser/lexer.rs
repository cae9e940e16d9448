//! Text to tokens that borrow from it. The one thing it must know of grammar: a minus before a
//! digit belongs to the number unless the token before it ends an operand. What is wrong with a
//! text it says once; how to go on behind that is in `recover`.

use std::borrow::Cow;

use crate::error::ParseError;

use super::Syntax;

#[derive(Clone, Copy)]
pub(super) enum Token<'t> {
    Undefined,
    Error,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(Text<'t>),
    /// An identifier, quoted or not; never one of the words that are constants or operators.
    Name(Text<'t>),
    Sym(Sym),
    End,
}

/// What a quoted token stands for.
#[derive(Clone, Copy)]
pub(super) enum Text<'t> {
    /// As it is written.
    Plain(&'t str),
    /// Something else, which [`Lexer::text`] has until the next token is read.
    Decoded,
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

pub(super) type Lexed<T> = Result<T, Box<ParseError>>;

/// How much of an unexpected token an error shows, in bytes.
const SHOWN_BYTES_MAX: usize = 24;

pub(super) struct Lexer<'t> {
    pub(super) text: &'t str,
    /// The token last read.
    pub(super) token: Token<'t>,
    pub(super) at: usize,
    /// Where the token last read begins.
    start: usize,
    /// Where the one before it ended.
    before: usize,
    pub(super) syntax: Syntax,
    /// Whether the last token ended an operand.
    after_operand: bool,
    /// See [`Text::Decoded`].
    decoded: String,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, syntax: Syntax) -> Self {
        Self {
            text,
            token: Token::End,
            at: 0,
            start: 0,
            before: 0,
            syntax,
            after_operand: false,
            decoded: String::new(),
        }
    }

    /// Reads the next token; [`Token::End`] again and again at the end.
    #[inline]
    pub(super) fn advance(&mut self) -> Lexed<()> {
        self.before = self.at;
        // Mostly there is one blank or none.
        self.at += usize::from(self.byte(0) == Some(b' '));
        if self.byte(0).is_some_and(|b| SPACE_OR_SLASH[b as usize]) {
            self.skip_space()?;
        }
        self.start = self.at;
        let Some(first) = self.byte(0) else {
            self.token = Token::End;
            self.after_operand = false;
            return Ok(());
        };
        self.read(first)
    }

    /// Reads the token that begins with `first`.
    #[inline]
    fn read(&mut self, first: u8) -> Lexed<()> {
        if let Some((sym, length)) = self.symbol(first) {
            self.token = Token::Sym(sym);
            self.at += length;
            self.after_operand = matches!(sym, Sym::RParen | Sym::RBracket | Sym::RBrace);
            return Ok(());
        }
        self.token = match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b'"' => Token::Str(self.quoted(b'"')?),
            b'\'' => Token::Name(self.quoted(b'\'')?),
            b'0'..=b'9' | b'.' | b'-' => self.number()?,
            _ => return Err(self.foreign()),
        };
        self.after_operand = !matches!(self.token, Token::Sym(_));
        Ok(())
    }

    /// Where the token last read begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// What a quoted token that was just read stands for.
    pub(super) fn text<'a>(&'a self, text: Text<'a>) -> &'a str {
        match text {
            Text::Plain(text) => text,
            Text::Decoded => &self.decoded,
        }
    }

    pub(super) fn source(&self) -> &'t str {
        self.text
    }

    /// Where the token last read ends.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// Where the token before the one last read ended.
    pub(super) fn before(&self) -> usize {
        self.before
    }

    /// Goes on at `at`, with a token there that ends an operand or does not.
    pub(super) fn go_on(&mut self, at: usize, after_operand: bool) {
        self.at = at;
        self.after_operand = after_operand;
    }

    /// Whether nothing comes next that could go on with an expression.
    pub(super) fn expr_ends(&self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        matches!(rest.get(spaces(rest)), None | Some(b';' | b']'))
    }

    /// Whether a colon comes next, white space aside.
    pub(super) fn next_is_colon(&self) -> bool {
        self.byte(spaces(&self.text.as_bytes()[self.at..])) == Some(b':')
    }

    /// The token just read, shortened.
    pub(super) fn slice(&self) -> &'t str {
        shorten(&self.text[self.start..self.at])
    }

    fn word(&mut self) -> Token<'t> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while end < bytes.len() && WORD[bytes[end] as usize] {
            end += 1;
        }
        let word = &self.text[self.at..end];
        self.at = end;
        keyword(word).unwrap_or(Token::Name(Text::Plain(word)))
    }

    #[inline]
    fn symbol(&self, first: u8) -> Option<(Sym, usize)> {
        let second = self.byte(1);
        Some(match first {
            b'(' => (Sym::LParen, 1),
            b')' => (Sym::RParen, 1),
            b'[' => (Sym::LBracket, 1),
            b']' => (Sym::RBracket, 1),
            b'{' => (Sym::LBrace, 1),
            b'}' => (Sym::RBrace, 1),
            b',' => (Sym::Comma, 1),
            b';' => (Sym::Semicolon, 1),
            // Two points are one where no number follows.
            b'.' if second == Some(b'.') && !self.digit(2) => (Sym::Dot, 2),
            b'.' if self.digit(1) => return None,
            b'.' => (Sym::Dot, 1),
            b'?' => (Sym::Question, 1),
            b':' => (Sym::Colon, 1),
            b'+' => (Sym::Plus, 1),
            b'-' if !self.after_operand && self.starts_number(1) => return None,
            b'-' => (Sym::Minus, 1),
            b'*' => (Sym::Star, 1),
            b'/' => (Sym::Slash, 1),
            b'%' => (Sym::Percent, 1),
            b'^' => (Sym::Caret, 1),
            b'~' => (Sym::Tilde, 1),
            b'&' if second == Some(b'&') => (Sym::AndAnd, 2),
            b'&' => (Sym::Amp, 1),
            b'|' if second == Some(b'|') => (Sym::OrOr, 2),
            b'|' => (Sym::Pipe, 1),
            b'!' if second == Some(b'=') => (Sym::NotEq, 2),
            b'!' => (Sym::Bang, 1),
            b'<' if second == Some(b'=') => (Sym::LessEq, 2),
            b'<' if second == Some(b'<') => (Sym::Shl, 2),
            b'<' => (Sym::Less, 1),
            b'>' if second == Some(b'=') => (Sym::GreaterEq, 2),
            b'>' if second == Some(b'>') && self.byte(2) == Some(b'>') => (Sym::UShr, 3),
            b'>' if second == Some(b'>') => (Sym::Shr, 2),
            b'>' => (Sym::Greater, 1),
            b'=' if second == Some(b'=') => (Sym::EqEq, 2),
            b'=' if second == Some(b'?') && self.byte(2) == Some(b'=') => (Sym::Is, 3),
            b'=' if second == Some(b'!') && self.byte(2) == Some(b'=') => (Sym::Isnt, 3),
            b'=' => (Sym::Assign, 1),
            _ => return None,
        })
    }

    /// A character that no token begins with.
    #[cold]
    fn foreign(&self) -> Box<ParseError> {
        let c = self.text[self.at..].chars().next().unwrap_or_default();
        let error = ParseError::new(
            self.at,
            format!("`{}` means nothing here", c.escape_debug()),
        );
        Box::new(match c {
            '“' | '”' | '„' | '«' | '»' => {
                error.hinting("strings stand in straight quotes, `\"`")
            }
            '‘' | '’' | '`' => error.hinting("strings stand in double quotes, `\"`"),
            '≤' => error.hinting("write `<=`"),
            '≥' => error.hinting("write `>=`"),
            '≠' => error.hinting("write `!=`"),
            '–' | '—' | '−' => error.hinting("a minus is `-`"),
            '$' => error.hinting("macros such as `$(name)` are for submit descriptions"),
            _ => error,
        })
    }

    pub(super) fn digit(&self, ahead: usize) -> bool {
        self.byte(ahead).is_some_and(|b| b.is_ascii_digit())
    }

    fn starts_number(&self, ahead: usize) -> bool {
        self.digit(ahead) || (self.byte(ahead) == Some(b'.') && self.digit(ahead + 1))
    }

    /// A string or a quoted name; in new syntax with those that follow it.
    #[inline(never)]
    fn quoted(&mut self, quote: u8) -> Lexed<Text<'t>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let special = |b: &u8| *b == quote || *b == b'\\' || *b == 0;
        let length = bytes[start + 1..].iter().position(special);
        let end = start + 1 + length.unwrap_or(0);
        if length.is_some() && bytes[end] == quote && !self.another(end + 1, quote) {
            self.at = end + 1;
            return Ok(Text::Plain(&self.text[start + 1..end]));
        }
        let mut value = Vec::new();
        match self.syntax {
            Syntax::Old => self.old_quoted(quote, &mut value)?,
            Syntax::New | Syntax::Bare => {
                self.new_quoted(quote, &mut value)?;
                while self.another(self.at, quote) {
                    self.at += spaces(&bytes[self.at..]);
                    self.new_quoted(quote, &mut value)?;
                }
            }
        }
        self.decoded = match String::from_utf8(value) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(Text::Decoded)
    }

    /// Whether one more quoted token follows that is joined to the one that ends at `at`. Comments
    /// between two keep them apart.
    fn another(&self, at: usize, quote: u8) -> bool {
        let rest = &self.text.as_bytes()[at..];
        self.syntax != Syntax::Old && rest.get(spaces(rest)) == Some(&quote)
    }

    /// A backslash is ordinary, except before a quote that does not end the line.
    fn old_quoted(&mut self, quote: u8, value: &mut Vec<u8>) -> Lexed<()> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            let ends_line = |i: usize| matches!(bytes.get(i), None | Some(b'\n'));
            match bytes.get(at) {
                None => return Err(unterminated(start, quote)),
                Some(0) => return Err(nul(start, quote)),
                Some(b) if *b == quote => break,
                Some(b'\\') if bytes.get(at + 1) == Some(&quote) && !ends_line(at + 2) => {
                    value.push(quote);
                    at += 2;
                }
                Some(byte) => {
                    value.push(*byte);
                    at += 1;
                }
            }
        }
        self.at = at + 1;
        Ok(())
    }

    /// What stands between two `quote`s, escapes resolved, as bytes: octal escapes may spell UTF-8.
    fn new_quoted(&mut self, quote: u8, value: &mut Vec<u8>) -> Lexed<()> {
        let start = self.at;
        self.at += 1;
        loop {
            let Some(byte) = self.byte(0) else {
                return Err(unterminated(start, quote));
            };
            self.at += 1;
            if byte == quote {
                return Ok(());
            }
            let byte = match (byte, self.byte(0)) {
                (b'\\', None) => return Err(unterminated(start, quote)),
                (b'\\', Some(escaped)) => self.escape(escaped),
                (byte, _) => byte,
            };
            if byte == 0 {
                return Err(nul(start, quote));
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

    #[inline(never)]
    fn skip_space(&mut self) -> Lexed<()> {
        loop {
            let bytes = self.text.as_bytes();
            self.at += spaces(&bytes[self.at..]);
            if self.byte(0) != Some(b'/') {
                return Ok(());
            }
            let rest = &self.text[self.at..];
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(length) => self.at += length + 4,
                    None => {
                        self.start = self.at;
                        let error = refused(self.at, "the comment that begins here does not end");
                        return Err(Box::new(error.expecting("`*/`")));
                    }
                }
            } else {
                return Ok(());
            }
        }
    }

    #[inline]
    pub(super) fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }
}

/// By byte: whether it goes on with a word.
const WORD: [bool; 256] = table(b"_", b"09AZaz");
/// By byte: whether white space or a comment may begin with it.
const SPACE_OR_SLASH: [bool; 256] = table(b" /", b"\x09\x0d");

/// Those bytes, and those of the ranges given by their ends.
const fn table(single: &[u8], ranges: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < single.len() {
        table[single[i] as usize] = true;
        i += 1;
    }
    let mut i = 0;
    while i < ranges.len() {
        let mut byte = ranges[i] as usize;
        while byte <= ranges[i + 1] as usize {
            table[byte] = true;
            byte += 1;
        }
        i += 2;
    }
    table
}

/// How many bytes of white space `bytes` begins with.
fn spaces(bytes: &[u8]) -> usize {
    let ends = |b: &u8| !matches!(b, b' ' | 9..=13);
    bytes.iter().position(ends).unwrap_or(bytes.len())
}

/// How many bytes of letters, digits and underscores `text` begins with.
pub(super) fn word_length(text: &str) -> usize {
    let ends = |b: u8| !b.is_ascii_alphanumeric() && b != b'_';
    text.bytes().position(ends).unwrap_or(text.len())
}

/// The words that are constants or operators, in any case.
#[inline]
pub(super) fn keyword(word: &str) -> Option<Token<'static>> {
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
    let first = word.as_bytes().first().map(u8::to_ascii_lowercase);
    match (word.len(), first) {
        (2, Some(b'i')) if is("is") => Some(Token::Sym(Sym::Is)),
        (4, Some(b'i')) if is("isnt") => Some(Token::Sym(Sym::Isnt)),
        (4, Some(b't')) if is("true") => Some(Token::Bool(true)),
        (5, Some(b'f')) if is("false") => Some(Token::Bool(false)),
        (5, Some(b'e')) if is("error") => Some(Token::Error),
        (9, Some(b'u')) if is("undefined") => Some(Token::Undefined),
        _ => None,
    }
}

pub(super) fn refused(at: usize, message: impl Into<Cow<'static, str>>) -> Box<ParseError> {
    Box::new(ParseError::new(at, message.into()))
}

fn what(quote: u8) -> &'static str {
    if quote == b'"' {
        "string"
    } else {
        "quoted name"
    }
}

fn unterminated(start: usize, quote: u8) -> Box<ParseError> {
    let message = format!("the {} that begins here does not end", what(quote));
    let error = ParseError::new(start, message);
    Box::new(if quote == b'"' {
        error.expecting("`\"`")
    } else {
        error
            .expecting("`'`")
            .hinting("strings stand in double quotes, `\"`")
    })
}

fn nul(start: usize, quote: u8) -> Box<ParseError> {
    refused(start, format!("a {} cannot hold a NUL", what(quote)))
}

pub(super) fn shorten(text: &str) -> &str {
    let end = (0..=text.len().min(SHOWN_BYTES_MAX))
        .rev()
        .find(|&i| text.is_char_boundary(i));
    &text[..end.unwrap_or(0)]
}
