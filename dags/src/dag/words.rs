//! Words of one line. White space is space, tab and carriage return; quotes group only where a
//! command says so.

use std::borrow::Cow;

const WHITE: [char; 3] = [' ', '\t', '\r'];

/// A word as it stands in the line, with its bytes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub text: &'a str,
    pub start: usize,
    pub end: usize,
}

/// A word that quotes may have grouped, without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unquoted<'a> {
    pub text: Cow<'a, str>,
    pub start: usize,
    pub end: usize,
}

/// A quote that is not closed: where it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenQuote {
    pub at: usize,
}

/// Walks a line.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next word, quotes and all.
    pub fn word(&mut self) -> Option<Word<'a>> {
        self.skip_white();
        let start = self.at;
        let end = self.text[start..]
            .find(WHITE)
            .map_or(self.text.len(), |len| start + len);
        self.at = end;
        (end > start).then(|| Word {
            text: &self.text[start..end],
            start,
            end,
        })
    }

    /// The next word without moving on.
    pub fn peek(&self) -> Option<Word<'a>> {
        self.clone().word()
    }

    /// The next word; one that begins with a quote goes to the closing one, `\` before a quote or a
    /// `\` inside it is dropped.
    pub fn unquoted(&mut self) -> Result<Option<Unquoted<'a>>, OpenQuote> {
        self.skip_white();
        let start = self.at;
        let Some(quote) = self.text[start..]
            .chars()
            .next()
            .filter(|c| *c == '"' || *c == '\'')
        else {
            let word = self.word();
            return Ok(word.map(|word| Unquoted {
                text: Cow::Borrowed(word.text),
                start: word.start,
                end: word.end,
            }));
        };
        let inner = start + 1;
        let len = closing(&self.text[inner..], quote).ok_or(OpenQuote { at: start })?;
        self.at = inner + len + 1;
        let text = unescape(&self.text[inner..inner + len], quote);
        Ok(Some(Unquoted {
            text,
            start,
            end: self.at,
        }))
    }

    /// All that is left, without white space around it.
    pub fn rest(&mut self) -> Word<'a> {
        self.skip_white();
        let start = self.at;
        self.at = self.text.len();
        let text = self.text[start..].trim_end_matches(WHITE);
        Word {
            text,
            start,
            end: start + text.len(),
        }
    }

    /// Whether the very next character is this one.
    pub fn is_at(&self, c: char) -> bool {
        self.text[self.at..].starts_with(c)
    }

    /// Whether nothing or white space follows.
    pub fn is_at_gap(&self) -> bool {
        self.text[self.at..]
            .chars()
            .next()
            .is_none_or(|c| WHITE.contains(&c))
    }

    /// Takes one character, where it is this one, white space before it passed over.
    pub fn take(&mut self, c: char) -> bool {
        let mut ahead = self.clone();
        ahead.skip_white();
        if !ahead.is_at(c) {
            return false;
        }
        self.at = ahead.at + c.len_utf8();
        true
    }

    /// The text up to one of these characters or white space.
    pub fn until(&mut self, stops: &[char]) -> Word<'a> {
        self.skip_white();
        let start = self.at;
        let end = self.text[start..]
            .find(|c| WHITE.contains(&c) || stops.contains(&c))
            .map_or(self.text.len(), |len| start + len);
        self.at = end;
        Word {
            text: &self.text[start..end],
            start,
            end,
        }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    fn skip_white(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(WHITE).len();
    }
}

/// Keywords compare without case, and `-` and `_` are one.
pub(super) fn is_keyword(word: &str, keyword: &str) -> bool {
    word.len() == keyword.len()
        && word
            .bytes()
            .zip(keyword.bytes())
            .all(|(a, b)| fold(a) == fold(b))
}

fn fold(byte: u8) -> u8 {
    if byte == b'-' {
        b'_'
    } else {
        byte.to_ascii_lowercase()
    }
}

fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn unescape(text: &str, quote: char) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '\\' && (*next == quote || *next == '\\') => {
                out.push(*next);
                chars.next();
            }
            Some(_) | None => out.push(c),
        }
    }
    Cow::Owned(out)
}
