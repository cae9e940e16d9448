//! Commands that say more about a node, or about all of them.

use super::super::words::{QUOTES, Word, closing, is_keyword};
use super::{Command, Failures, Fault, Reader, ScriptKind, ScriptLine, Stream, Then, unexpected};
use crate::diagnostic::Code;
use crate::submit::Placement;

const EXIT_CODE: &str = "an exit code";

impl<'a> Reader<'a, '_> {
    pub(super) fn script(&mut self) -> Result<Command<'a>, Fault> {
        let mut defer = None;
        let mut debug = None;
        let kind = loop {
            let Some(word) = self.words.word()? else {
                return Err(self.lacks("PRE, POST or HOLD"));
            };
            let is = |keyword: &str| is_keyword(&word.text, keyword);
            if is("PRE") {
                break ScriptKind::Pre;
            } else if is("POST") {
                break ScriptKind::Post;
            } else if is("HOLD") {
                break ScriptKind::Hold;
            } else if is("DEFER") {
                let status = self.number(EXIT_CODE, i32::MIN, i32::MAX)?;
                let seconds = self.number("a number of seconds", i32::MIN, i32::MAX)?;
                // DAGMan takes -1 for no deferral.
                defer = (status != -1).then_some((status, seconds));
            } else if is("DEBUG") {
                let file = self.word("a file after DEBUG")?;
                let stream = self.word("STDOUT, STDERR or ALL after DEBUG")?;
                debug = Some((file, stream_of(&stream)?));
            } else {
                let expected = "`PRE`, `POST` or `HOLD`, before it `DEFER` or `DEBUG`";
                return Err(unexpected(&word).expected(expected));
            }
        };
        let node = self.node()?;
        let script = self.words.rest();
        if script.text.is_empty() {
            return Err(self.lacks("a program to run"));
        }
        Ok(Command::Script(ScriptLine {
            kind,
            node,
            script,
            defer,
            debug,
        }))
    }

    pub(super) fn retry(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let max = self.count("a number of retries", 0)?;
        let mut unless_exit = None;
        if let Some(word) = self.words.word()? {
            if !is_keyword(&word.text, "UNLESS-EXIT") {
                let fault = unexpected(&word);
                return Err(fault.expected("`UNLESS-EXIT code` or the end of the line"));
            }
            unless_exit = Some(self.number(EXIT_CODE, i32::MIN, i32::MAX)?);
        }
        self.end()?;
        Ok(Command::Retry {
            node,
            max,
            unless_exit,
        })
    }

    pub(super) fn abort(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let status = self.number(EXIT_CODE, i32::MIN, i32::MAX)?;
        let mut exit = None;
        if let Some(word) = self.words.word()? {
            if !is_keyword(&word.text, "RETURN") {
                return Err(unexpected(&word).expected("`RETURN code` or the end of the line"));
            }
            let code = self.number(EXIT_CODE, 0, 255)?;
            exit = u8::try_from(code).ok();
        }
        self.end()?;
        Ok(Command::AbortDagOn { node, status, exit })
    }

    pub(super) fn priority(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let priority = self.number("a priority", i32::MIN, i32::MAX)?;
        self.end()?;
        Ok(Command::Priority { node, priority })
    }

    pub(super) fn pre_skip(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let code = self.number(EXIT_CODE, i32::MIN, i32::MAX)?;
        self.end()?;
        Ok(Command::PreSkip { node, code })
    }

    pub(super) fn tolerance(&mut self) -> Result<Command<'a>, Fault> {
        const WHAT: &str = "a number of failures";
        let node = self.node()?;
        let mut word = self.word(WHAT)?;
        let mut percent = false;
        if let Some(number) = word.text.strip_suffix('%') {
            percent = true;
            word.text = number.to_owned().into();
        }
        let number = self.number_of(&word, WHAT, 0, i32::MAX)?.unsigned_abs();
        let mut next = self.words.word()?;
        if !percent && next.as_ref().is_some_and(|word| word.text == "%") {
            percent = true;
            next = self.words.word()?;
        }
        let then = match next {
            None => Then::Unsaid,
            Some(word) if is_keyword(&word.text, "FAIL-FAST") => Then::FailFast,
            Some(word) if is_keyword(&word.text, "WAIT") => Then::Wait,
            Some(word) => {
                return Err(
                    unexpected(&word).expected("`FAIL-FAST`, `WAIT` or the end of the line")
                );
            }
        };
        self.end()?;
        let failures = match percent {
            true => Failures::Percent(number),
            false => Failures::Jobs(number),
        };
        Ok(Command::Tolerance {
            node,
            failures,
            then,
        })
    }

    pub(super) fn done(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        self.end()?;
        Ok(Command::Done { node })
    }

    pub(super) fn category(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let category = self.word("a category")?;
        self.end()?;
        Ok(Command::Category { node, category })
    }

    pub(super) fn maxjobs(&mut self) -> Result<Command<'a>, Fault> {
        let category = self.word("a category")?;
        let limit = self.count("a number of jobs", 0)?;
        self.end()?;
        Ok(Command::Maxjobs { category, limit })
    }

    pub(super) fn save_point(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        if is_keyword(&node.text, "ALL_NODES") {
            let message = "SAVE_POINT_FILE takes one node, not ALL_NODES";
            return Err(Fault::at(Code::UnknownNode, &node, message));
        }
        let file = self.maybe_unquoted()?;
        self.end()?;
        Ok(Command::SavePointFile { node, file })
    }

    pub(super) fn vars(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let mut placement = None;
        if let Ok(Some(word)) = self.words.peek() {
            if is_keyword(&word.text, "PREPEND") {
                placement = Some(Placement::Before);
            } else if is_keyword(&word.text, "APPEND") {
                placement = Some(Placement::After);
            }
            if placement.is_some() {
                self.words.word()?;
            }
        }
        let mut pairs = Vec::new();
        while !self.words.is_at_end() {
            pairs.push(self.pair()?);
        }
        if pairs.is_empty() {
            let message = "VARS without a `name=value`";
            return Err(Fault::at(Code::MissingWord, &self.command, message));
        }
        Ok(Command::Vars {
            node,
            placement,
            pairs,
        })
    }

    /// `name = value`: quotes group, white space around the `=` is free.
    fn pair(&mut self) -> Result<(String, String), Fault> {
        let key = self.words.until(&['=']);
        let bad = |message: String| Fault::at(Code::BadVariable, &key, message);
        if key.text.contains(QUOTES) {
            let fault = Fault::at(Code::BadQuoting, &key, "a quote in the name of a variable");
            return Err(fault.expected("`name=\"value\"`"));
        }
        if !self.words.take('=') {
            let message = format!("`{}` without `=` and a value", key.text);
            return Err(bad(message).expected("`name=value`"));
        }
        let bare = key.text.strip_prefix('+').unwrap_or(&key.text);
        if bare.is_empty() {
            let at = self.words.position();
            let start = if key.start < key.end {
                key.start
            } else {
                at - 1
            };
            let message = "a variable without a name";
            return Err(Fault::new(Code::BadVariable, start, at, message));
        }
        if is_queue(&key.text) {
            return Err(bad(queue_name(bare)));
        }
        if is_queue(bare) {
            self.notes.push(bad(queue_name(bare)));
        } else if !bare.chars().all(is_name_char) {
            let fault = bad(format!("`{bare}` is no name of a variable"));
            self.notes
                .push(fault.expected("letters, digits, `_` and `.`"));
        }
        let name = match key.text.strip_prefix('+') {
            Some(attribute) => format!("My.{attribute}"),
            None => key.text.clone().into_owned(),
        };
        let value = self.value(&key)?;
        Ok((name, value))
    }

    /// A value: where it begins with a quote, what stands between its first character and its last.
    fn value(&mut self, key: &Word<'_>) -> Result<String, Fault> {
        let at = self.words.position();
        if self.words.is_at_end() || self.words.take('=') {
            let message = format!("`{}` without a value", key.text);
            let fault = Fault::new(Code::BadVariable, key.start, at, message);
            return Err(fault.expected("a value; `\"\"` for an empty one"));
        }
        let Some(word) = self.words.word()? else {
            return Ok(String::new());
        };
        if !word.text.starts_with(QUOTES) {
            return Ok(word.text.into_owned());
        }
        let raw = self.words.between(word.start, word.end);
        let close = closing(raw).unwrap_or(raw.len());
        if close < raw.len() {
            let message = "text right after a closing quote";
            let fault = Fault::new(Code::BadQuoting, word.start + close, word.end, message);
            self.notes
                .push(fault.expected("white space, or `\\\"` for a quote inside the value"));
        }
        let mut value = word.text.into_owned();
        value.remove(0);
        value.pop();
        Ok(value)
    }
}

fn stream_of(word: &Word<'_>) -> Result<Stream, Fault> {
    if is_keyword(&word.text, "STDOUT") {
        Ok(Stream::Stdout)
    } else if is_keyword(&word.text, "STDERR") {
        Ok(Stream::Stderr)
    } else if is_keyword(&word.text, "ALL") {
        Ok(Stream::All)
    } else {
        Err(unexpected(word).expected("`STDOUT`, `STDERR` or `ALL`"))
    }
}

fn is_queue(name: &str) -> bool {
    name.len() >= 5 && name.as_bytes()[..5].eq_ignore_ascii_case(b"queue")
}

fn queue_name(name: &str) -> String {
    format!("`{name}`: the name of a variable does not begin with `queue`")
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}
