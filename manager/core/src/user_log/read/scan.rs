//! Lines of an event's text, and the few patterns that they are read by. Knows no event.

/// The lines of an event, one after the other, up to the one that ends it.
pub(super) struct Lines<'a> {
    first: Option<&'a str>,
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Lines<'a> {
    /// `first` is what is left of the event's first line, `rest` the lines below it.
    pub(super) fn new(first: &'a str, rest: &'a [u8]) -> Lines<'a> {
        Lines {
            first: Some(first),
            rest,
            ended: false,
        }
    }

    /// The next line without its end.
    pub(super) fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(without_end(first));
        }
        if self.rest.is_empty() {
            self.ended = true;
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = self.rest.split_at(end.map_or(self.rest.len(), |at| at + 1));
        self.rest = rest;
        Some(without_end(&String::from_utf8_lossy(line)))
    }

    /// The next line if it begins with `prefix`, without it.
    pub(super) fn after(&mut self, prefix: &str) -> Option<String> {
        self.next()?.strip_prefix(prefix).map(str::to_owned)
    }

    /// Whether it was tried to read behind the last line.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }
}

fn without_end(line: &str) -> String {
    line.trim_end_matches(['\n', '\r']).to_owned()
}

/// Without white space, that of C, on both sides.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

/// Reads a text from the left, as C's `scanf` does.
pub(super) struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Scan<'a> {
        Scan(text)
    }

    pub(super) fn rest(&self) -> &'a str {
        self.0
    }

    /// Exactly this text.
    pub(super) fn exactly(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// This text, in which white space stands for any, even for none.
    pub(super) fn text(&mut self, text: &str) -> Option<()> {
        for c in text.chars() {
            if is_space(c) {
                self.0 = self.0.trim_start_matches(is_space);
            } else {
                self.0 = self.0.strip_prefix(c)?;
            }
        }
        Some(())
    }

    /// A decimal number, behind white space; the nearest of 32 bits.
    pub(super) fn int(&mut self) -> Option<i64> {
        let n = self.long()?;
        Some(n.clamp(i32::MIN.into(), i32::MAX.into()))
    }

    /// The nearest of 64 bits.
    pub(super) fn long(&mut self) -> Option<i64> {
        let text = self.0.trim_start_matches(is_space);
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let digits = digits(unsigned);
        if digits == 0 {
            return None;
        }
        let length = text.len() - unsigned.len() + digits;
        self.0 = &text[length..];
        let nearest = if text.starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        };
        Some(text[..length].parse().unwrap_or(nearest))
    }

    /// A number with or without a fraction and an exponent, behind white space.
    pub(super) fn float(&mut self) -> Option<f64> {
        let text = self.0.trim_start_matches(is_space);
        let mut length = usize::from(text.starts_with(['-', '+']));
        let whole = digits(&text[length..]);
        length += whole;
        let mut fraction = 0;
        if let Some(rest) = text[length..].strip_prefix('.') {
            fraction = digits(rest);
            length += 1 + fraction;
        }
        if whole + fraction == 0 {
            return None;
        }
        if let Some(rest) = text[length..].strip_prefix(['e', 'E']) {
            let sign = usize::from(rest.starts_with(['-', '+']));
            match digits(&rest[sign..]) {
                0 => {}
                exponent => length += 1 + sign + exponent,
            }
        }
        let value = text[..length].parse().ok()?;
        self.0 = &text[length..];
        Some(value)
    }

    /// At least one and at most `most` characters without white space, behind white space.
    pub(super) fn word(&mut self, most: usize) -> Option<&'a str> {
        let text = self.0.trim_start_matches(is_space);
        let end = text
            .char_indices()
            .find(|(at, c)| is_space(*c) || at + c.len_utf8() > most);
        let (word, rest) = text.split_at(end.map_or(text.len(), |(at, _)| at));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}
