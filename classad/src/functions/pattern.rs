//! The reference's regular expressions (PCRE2) in the words of our linear-time engine, where the
//! two differ: what is literal, what a class may hold, what `$` and a few escapes mean. Refuses to
//! judge: a pattern that neither knows comes out as one that does not compile.

/// `pattern` for an engine over bytes. `ends` is what `$` becomes outside classes.
pub(super) fn translated(pattern: &str, ends: End, extended: bool) -> Translated {
    let mut translation = Translation {
        rest: pattern,
        out: String::with_capacity(pattern.len() + 16),
        ends,
        extended,
        is_unbounded: false,
    };
    translation.run();
    Translated {
        text: translation.out,
        is_unbounded: translation.is_unbounded,
    }
}

/// A pattern in the engine's words.
pub(super) struct Translated {
    pub text: String,
    /// Whether it may hold `*`, `+` or `{n,}`, and a match be of any length.
    pub is_unbounded: bool,
}

/// What `$` matches.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    /// The end, and before a line break there; takes the line break, which only a question for yes
    /// or no may.
    OrLineBreak,
    /// The end.
    Only,
}

struct Translation<'p> {
    rest: &'p str,
    out: String,
    ends: End,
    extended: bool,
    is_unbounded: bool,
}

impl<'p> Translation<'p> {
    fn run(&mut self) {
        while let Some(c) = self.next() {
            self.is_unbounded |= matches!(c, '*' | '+' | ',');
            match c {
                '\\' => self.escape(),
                '[' => self.class(),
                '{' if !self.is_quantifier() => self.out.push_str("\\{"),
                '}' if !self.ends_quantifier() => self.out.push_str("\\}"),
                '$' => self.end(),
                '(' if self.rest.starts_with("?#") => self.comment(),
                '#' if !self.extended => self.out.push_str("\\#"),
                c => self.out.push(c),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn end(&mut self) {
        self.out.push_str(match self.ends {
            End::OrLineBreak => "(?:$|\\n\\z)",
            End::Only => "$",
        });
    }

    fn escape(&mut self) {
        match self.next() {
            Some('Q') => {
                let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.out.push_str(&regex::escape(quoted));
                self.rest = rest;
            }
            Some('E') => {}
            Some('Z') => {
                self.out.push_str(match self.ends {
                    End::OrLineBreak => "(?:\\z|\\n\\z)",
                    End::Only => "\\z",
                });
            }
            Some('h') => self.out.push_str("[\\x20\\t]"),
            Some('H') => self.out.push_str("[^\\x20\\t]"),
            Some('R') => self.out.push_str("(?:\\r\\n|[\\n\\x0b\\f\\r])"),
            Some('N') => self.out.push_str("[^\\n]"),
            Some('e') => self.out.push_str("\\x1b"),
            Some('0') => self.octal(),
            // The beginning of a match cannot be moved; whether there is one stays the same.
            Some('K') if self.ends == End::OrLineBreak => {}
            Some(c) if !c.is_ascii() => self.out.push(c),
            Some(c) => {
                self.out.push('\\');
                self.out.push(c);
            }
            None => self.out.push('\\'),
        }
    }

    fn octal(&mut self) {
        let digits = self.rest.bytes().take(2);
        let length = digits.take_while(|b| matches!(b, b'0'..=b'7')).count();
        let value = u32::from_str_radix(&self.rest[..length], 8).unwrap_or(0);
        self.rest = &self.rest[length..];
        self.out.push_str(&format!("\\x{value:02x}"));
    }

    /// Whether what follows the brace makes it a quantifier: `n}`, `n,}` or `n,m}`.
    fn is_quantifier(&self) -> bool {
        let unread = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if unread.len() == self.rest.len() {
            return false;
        }
        let unread = match unread.strip_prefix(',') {
            Some(max) => max.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => unread,
        };
        unread.starts_with('}')
    }

    /// Whether the brace just read ends a quantifier that was let through.
    fn ends_quantifier(&self) -> bool {
        let digits = self
            .out
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == ',');
        digits.ends_with('{') && !digits.ends_with("\\{")
    }

    fn comment(&mut self) {
        self.rest = self.rest.split_once(')').map_or("", |(_, rest)| rest);
    }

    /// From behind its bracket on. A bracket right at the front is an item of the class, and so are
    /// the signs of set operations, which only our engine knows.
    fn class(&mut self) {
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.out.push('^');
            self.rest = rest;
        }
        if let Some(rest) = self.rest.strip_prefix(']') {
            self.out.push_str("\\]");
            self.rest = rest;
        }
        while let Some(c) = self.next() {
            match c {
                ']' => {
                    self.out.push(']');
                    return;
                }
                '[' => self.posix_class(),
                '\\' => self.class_escape(),
                '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '-' if self.rest.starts_with('-') => self.out.push_str("\\-"),
                c if c.is_whitespace() || c == '#' => {
                    self.out.push_str(&regex::escape(&c.to_string()))
                }
                c => self.out.push(c),
            }
            if self.extended && self.out.ends_with(' ') {
                self.out.pop();
                self.out.push_str("\\x20");
            }
        }
    }

    fn posix_class(&mut self) {
        let name = self.rest.strip_prefix(':').and_then(|rest| {
            let word = rest.strip_prefix('^').unwrap_or(rest);
            let end = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
            let name = &rest[..rest.len() - end.len()];
            end.starts_with(":]").then_some(name)
        });
        match name {
            Some(name) => {
                self.out.push_str(&format!("[:{name}:]"));
                self.rest = &self.rest[name.len() + 3..];
            }
            None => self.out.push_str("\\["),
        }
    }

    fn class_escape(&mut self) {
        match self.next() {
            Some('b') => self.out.push_str("\\x08"),
            Some('h') => self.out.push_str("\\x20\\t"),
            Some('e') => self.out.push_str("\\x1b"),
            Some('0') => self.octal(),
            Some(c) if !c.is_ascii() => self.out.push(c),
            Some(c) => {
                self.out.push('\\');
                self.out.push(c);
            }
            None => self.out.push('\\'),
        }
    }
}
