//! Words of one line. White space is space, tab and carriage return; quotes group, and stay where a
//! command does not drop them.

use std::borrow::Cow;

const WHITE: [char; 3] = [' ', '\t', '\r'];
pub(super) const QUOTES: [char; 2] = ['"', '\''];

/// A word, with its bytes in the line. Its text is what a command reads: without the `\` of what is
/// escaped in quotes, and, where the command says so, without the quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub text: Cow<'a, str>,
    pub start: usize,
    pub end: usize,
}

/// A quote that is not closed: where it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenQuote {
    pub at: usize,
}

/// What becomes of the quotes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    Keep,
    Drop,
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
    pub fn word(&mut self) -> Result<Option<Word<'a>>, OpenQuote> {
        self.next(Quotes::Keep)
    }

    /// The next word without moving on.
    pub fn peek(&self) -> Result<Option<Word<'a>>, OpenQuote> {
        self.clone().word()
    }

    /// The next word without its quotes; it may be empty.
    pub fn unquoted(&mut self) -> Result<Option<Word<'a>>, OpenQuote> {
        self.next(Quotes::Drop)
    }

    /// Quotes group wherever they stand in a word; `\` inside them takes the next character as it
    /// is.
    fn next(&mut self, quotes: Quotes) -> Result<Option<Word<'a>>, OpenQuote> {
        self.skip_white();
        let start = self.at;
        let rest = &self.text[start..];
        let plain = rest
            .find(|c| WHITE.contains(&c) || QUOTES.contains(&c))
            .unwrap_or(rest.len());
        if !rest[plain..].starts_with(QUOTES) {
            self.at = start + plain;
            return Ok((plain > 0).then(|| Word {
                text: Cow::Borrowed(&rest[..plain]),
                start,
                end: self.at,
            }));
        }
        let mut text = rest[..plain].to_owned();
        let mut open: Option<(usize, char)> = None;
        let mut chars = rest[plain..].char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match open {
                Some((_, quote)) if c == quote => {
                    open = None;
                    if quotes == Quotes::Keep {
                        text.push(c);
                    }
                }
                Some(_) if c == '\\' => text.extend(chars.next().map(|(_, c)| c)),
                Some(_) => text.push(c),
                None if QUOTES.contains(&c) => {
                    open = Some((start + plain + at, c));
                    if quotes == Quotes::Keep {
                        text.push(c);
                    }
                }
                None if WHITE.contains(&c) => {
                    end = plain + at;
                    break;
                }
                None => text.push(c),
            }
        }
        self.at = start + end;
        if let Some((at, _)) = open {
            return Err(OpenQuote { at });
        }
        Ok(Some(Word {
            text: Cow::Owned(text),
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
            text: Cow::Borrowed(text),
            start,
            end: start + text.len(),
        }
    }

    /// Whether the very next character is this one.
    pub fn is_at(&self, c: char) -> bool {
        self.text[self.at..].starts_with(c)
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
            text: Cow::Borrowed(&self.text[start..end]),
            start,
            end,
        }
    }

    /// Whether nothing but white space is left.
    pub fn is_at_end(&self) -> bool {
        self.text[self.at..].trim_start_matches(WHITE).is_empty()
    }

    /// The line between two of its bytes.
    pub fn between(&self, start: usize, end: usize) -> &'a str {
        &self.text[start..end]
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

/// Where the quote that a text begins with is closed: the byte after it.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next()?;
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some(at + 1);
        }
        if c == '\\' {
            chars.next();
        }
    }
    None
}
