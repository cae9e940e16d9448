//! One line into one command. Knows words, not nodes: whether a name exists is found out later.

use std::borrow::Cow;

use super::words::{Cursor, OpenQuote, Unquoted, Word, is_keyword};
use crate::diagnostic::{Code, did_you_mean};
use crate::submit::Placement;

mod foreach;

pub(super) use foreach::{ForeachHead, ItemsOf, foreach};

/// The commands that are run.
const SUPPORTED: [&str; 10] = [
    "JOB",
    "STUDY",
    "PARENT",
    "RETRY",
    "VARS",
    "PRIORITY",
    "DONE",
    "INCLUDE",
    "SUBMIT-DESCRIPTION",
    "FOREACH",
];

/// DAGMan's other commands.
const UNSUPPORTED: [&str; 22] = [
    "FINAL",
    "PROVISIONER",
    "SERVICE",
    "SUBDAG",
    "SPLICE",
    "CATEGORY",
    "SCRIPT",
    "ABORT-DAG-ON",
    "PRE_SKIP",
    "TOLERANCE",
    "MAXJOBS",
    "CONFIG",
    "SET_JOB_ATTR",
    "ENV",
    "DOT",
    "NODE_STATUS_FILE",
    "JOBSTATE_LOG",
    "SAVE_POINT_FILE",
    "REJECT",
    "CONNECT",
    "PIN_IN",
    "PIN_OUT",
];

/// A line, understood.
#[derive(Debug)]
pub(super) enum Command<'a> {
    Node(NodeLine<'a>),
    Description {
        name: Word<'a>,
    },
    Parent {
        parents: Vec<Word<'a>>,
        children: Vec<Word<'a>>,
    },
    Change {
        node: Word<'a>,
        change: Change,
    },
    Include {
        file: Unquoted<'a>,
    },
}

/// JOB or STUDY.
#[derive(Debug)]
pub(super) struct NodeLine<'a> {
    pub name: Word<'a>,
    pub description: Described<'a>,
    pub study: Option<Unquoted<'a>>,
    pub dir: Option<Cow<'a, str>>,
    pub mode: Mode,
    pub done: Done,
}

/// Where a node's submit description is.
#[derive(Debug)]
pub(super) enum Described<'a> {
    /// A file, or the name of a SUBMIT-DESCRIPTION.
    Named(Unquoted<'a>),
    Inline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Run,
    Noop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Yes,
    No,
}

/// What a later line says about a declared node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Retry {
        max: u32,
        unless_exit: Option<i32>,
    },
    Vars {
        pairs: Vec<(String, String)>,
        placement: Placement,
    },
    Priority(i64),
    Done,
}

/// What is wrong with a line, by its bytes.
#[derive(Debug)]
pub(super) struct Fault {
    pub code: Code,
    pub start: usize,
    pub end: usize,
    pub message: String,
    pub expected: Option<&'static str>,
    pub suggestion: Option<&'static str>,
    pub side: Side,
}

/// Which text the bytes of a fault count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Line,
    /// What follows an inline description.
    Tail,
}

impl Fault {
    fn new(code: Code, start: usize, end: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            start,
            end,
            message,
            expected: None,
            suggestion: None,
            side: Side::Line,
        }
    }

    fn at(code: Code, word: Word<'_>, message: impl Into<String>) -> Self {
        Self::new(code, word.start, word.end, message)
    }

    fn expected(mut self, expected: &'static str) -> Self {
        self.expected = Some(expected);
        self
    }
}

impl From<OpenQuote> for Fault {
    fn from(quote: OpenQuote) -> Self {
        Self::new(
            Code::BadQuoting,
            quote.at,
            quote.at + 1,
            "this quote is not closed",
        )
    }
}

/// Reads a line. `tail` is what follows an inline description, where there is one. Numbers with
/// text behind them go to
/// `warnings`: DAGMan reads the number and no further.
pub(super) fn parse<'a>(
    text: &'a str,
    tail: Option<&'a str>,
    warnings: &mut Vec<Fault>,
) -> Result<Command<'a>, Fault> {
    let mut words = Cursor::new(text);
    let Some(command) = words.word() else {
        return Err(Fault::new(Code::UnknownCommand, 0, 0, "an empty line"));
    };
    let is = |keyword: &str| is_keyword(command.text, keyword);
    let mut reader = Reader {
        words,
        command,
        warnings,
    };
    if is("JOB") {
        reader.job(tail)
    } else if is("PARENT") {
        reader.parent()
    } else if is("VARS") {
        reader.vars()
    } else if is("STUDY") {
        reader.study()
    } else if is("RETRY") {
        reader.retry()
    } else if is("PRIORITY") {
        reader.priority()
    } else if is("DONE") {
        let node = reader.node()?;
        reader.end()?;
        Ok(Command::Change {
            node,
            change: Change::Done,
        })
    } else if is("INCLUDE") {
        let file = reader.unquoted("an included file")?;
        reader.end()?;
        Ok(Command::Include { file })
    } else if is("SUBMIT-DESCRIPTION") {
        reader.description(tail)
    } else {
        Err(unknown(command))
    }
}

struct Reader<'a, 'w> {
    words: Cursor<'a>,
    command: Word<'a>,
    warnings: &'w mut Vec<Fault>,
}

impl<'a> Reader<'a, '_> {
    fn job(&mut self, tail: Option<&'a str>) -> Result<Command<'a>, Fault> {
        let name = self.node()?;
        let (description, side) = match tail {
            Some(tail) => {
                self.words = Cursor::new(tail);
                (Described::Inline, Side::Tail)
            }
            None => (
                Described::Named(self.unquoted("a submit description")?),
                Side::Line,
            ),
        };
        self.options(name, description, None)
            .map_err(|fault| Fault { side, ..fault })
    }

    fn study(&mut self) -> Result<Command<'a>, Fault> {
        let name = self.node()?;
        let description = Described::Named(self.unquoted("a submit description")?);
        let study = self.unquoted("a study file")?;
        self.options(name, description, Some(study))
    }

    /// `[DIR d] [NOOP] [DONE]`, in any order.
    fn options(
        &mut self,
        name: Word<'a>,
        description: Described<'a>,
        study: Option<Unquoted<'a>>,
    ) -> Result<Command<'a>, Fault> {
        let mut node = NodeLine {
            name,
            description,
            study,
            dir: None,
            mode: Mode::Run,
            done: Done::No,
        };
        while let Some(word) = self.words.word() {
            if is_keyword(word.text, "DIR") {
                let Some(dir) = self.words.unquoted()? else {
                    return Err(Fault::at(
                        Code::MissingWord,
                        word,
                        "DIR without a directory",
                    ));
                };
                node.dir = Some(dir.text);
            } else if is_keyword(word.text, "NOOP") && node.study.is_none() {
                node.mode = Mode::Noop;
            } else if is_keyword(word.text, "DONE") {
                node.done = Done::Yes;
            } else {
                let expected = match node.study.is_some() {
                    true => "`DIR directory`, `DONE` or the end of the line",
                    false => "`DIR directory`, `NOOP`, `DONE` or the end of the line",
                };
                let mut fault = unexpected(word).expected(expected);
                fault.suggestion = did_you_mean(word.text, ["DIR", "NOOP", "DONE"]);
                return Err(fault);
            }
        }
        Ok(Command::Node(node))
    }

    fn description(&mut self, tail: Option<&'a str>) -> Result<Command<'a>, Fault> {
        let name = self.missing("a name")?;
        let Some(tail) = tail else {
            let message = "SUBMIT-DESCRIPTION without its inline description";
            return Err(Fault::at(Code::MissingWord, name, message).expected("`{` or `@=word`"));
        };
        self.words = Cursor::new(tail);
        self.end().map_err(|fault| Fault {
            side: Side::Tail,
            ..fault
        })?;
        Ok(Command::Description { name })
    }

    fn parent(&mut self) -> Result<Command<'a>, Fault> {
        let mut parents = Vec::new();
        let child = loop {
            match self.words.word() {
                Some(word) if is_keyword(word.text, "CHILD") => break word,
                Some(word) => parents.push(word),
                None => {
                    let message = "PARENT without CHILD";
                    let fault = Fault::at(Code::MissingWord, self.command, message);
                    return Err(fault.expected("`PARENT p… CHILD c…`"));
                }
            }
        };
        if parents.is_empty() {
            return Err(Fault::at(
                Code::MissingWord,
                self.command,
                "PARENT without a node",
            ));
        }
        let mut children = Vec::new();
        while let Some(word) = self.words.word() {
            if !is_keyword(word.text, "CHILD") {
                children.push(word);
            }
        }
        if children.is_empty() {
            return Err(Fault::at(Code::MissingWord, child, "CHILD without a node"));
        }
        Ok(Command::Parent { parents, children })
    }

    fn retry(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let max = self.number("a number of retries", 0, i64::from(i32::MAX))?;
        let mut unless_exit = None;
        if let Some(word) = self.words.peek() {
            if !is_keyword(word.text, "UNLESS-EXIT") {
                return Err(unexpected(word).expected("`UNLESS-EXIT code` or the end of the line"));
            }
            self.words.word();
            let code = self.number("an exit code", i64::from(i32::MIN), i64::from(i32::MAX))?;
            unless_exit = i32::try_from(code).ok();
        }
        self.end()?;
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        Ok(Command::Change {
            node,
            change: Change::Retry { max, unless_exit },
        })
    }

    fn priority(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let priority = self.number("a priority", i64::from(i32::MIN), i64::from(i32::MAX))?;
        self.end()?;
        Ok(Command::Change {
            node,
            change: Change::Priority(priority),
        })
    }

    fn vars(&mut self) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let mut placement = Placement::Before;
        if let Some(word) = self.words.peek() {
            let prepend = is_keyword(word.text, "PREPEND");
            if prepend || is_keyword(word.text, "APPEND") {
                placement = if prepend {
                    Placement::Before
                } else {
                    Placement::After
                };
                self.words.word();
            }
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        while self.words.peek().is_some() {
            let (name, value) = self.pair()?;
            match pairs
                .iter_mut()
                .find(|(old, _)| old.eq_ignore_ascii_case(&name))
            {
                Some(old) => old.1 = value,
                None => pairs.push((name, value)),
            }
        }
        if pairs.is_empty() {
            let fault = Fault::at(
                Code::MissingWord,
                self.command,
                "VARS without a `name=value`",
            );
            return Err(fault);
        }
        Ok(Command::Change {
            node,
            change: Change::Vars { pairs, placement },
        })
    }

    /// `name = value`: quotes group, white space around the `=` is free.
    fn pair(&mut self) -> Result<(String, String), Fault> {
        let key = self.words.until(&['=']);
        let bad = |message: String| Fault::at(Code::BadVariable, key, message);
        if !self.words.take('=') {
            return Err(
                bad(format!("`{}` without `=` and a value", key.text)).expected("`name=value`")
            );
        }
        let name = match key.text.strip_prefix('+') {
            Some(attribute) => format!("My.{attribute}"),
            None => key.text.to_owned(),
        };
        let bare = key.text.trim_start_matches('+');
        if bare.is_empty() {
            let at = self.words.position();
            let start = if key.start < key.end {
                key.start
            } else {
                at - 1
            };
            return Err(Fault::new(
                Code::BadVariable,
                start,
                at,
                "a variable without a name",
            ));
        }
        if bare.len() >= 5 && bare.as_bytes()[..5].eq_ignore_ascii_case(b"queue") {
            return Err(bad(format!(
                "`{bare}`: the name of a variable does not begin with `queue`"
            )));
        }
        if !bare
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        {
            return Err(bad(format!("`{bare}` is no name of a variable"))
                .expected("letters, digits, `_` and `.`"));
        }
        let at = self.words.position();
        let value = self.words.unquoted()?;
        let Some(value) = value else {
            return Err(Fault::new(
                Code::BadVariable,
                key.start,
                at,
                format!("`{bare}` without a value"),
            )
            .expected("a value; `\"\"` for an empty one"));
        };
        if !self.words.is_at_gap() {
            let rest = self.words.word();
            let (start, end) = rest.map_or((at, at), |word| (word.start, word.end));
            let message = "text right after a closing quote";
            return Err(Fault::new(Code::BadQuoting, start, end, message)
                .expected("white space, or `\\\"` for a quote inside the value"));
        }
        Ok((name, value.text.into_owned()))
    }

    fn node(&mut self) -> Result<Word<'a>, Fault> {
        self.missing("a node name")
    }

    fn missing(&mut self, what: &str) -> Result<Word<'a>, Fault> {
        self.words.word().ok_or_else(|| self.lacks(what))
    }

    fn unquoted(&mut self, what: &str) -> Result<Unquoted<'a>, Fault> {
        match self.words.unquoted()? {
            Some(word) if !word.text.is_empty() => Ok(word),
            Some(_) | None => Err(self.lacks(what)),
        }
    }

    fn lacks(&self, what: &str) -> Fault {
        let command = self.command.text.to_ascii_uppercase();
        let at = self.words.position();
        Fault::new(
            Code::MissingWord,
            at,
            at,
            format!("{command} without {what}"),
        )
    }

    /// A number by its first digits, as DAGMan reads it.
    fn number(&mut self, what: &str, min: i64, max: i64) -> Result<i64, Fault> {
        let word = self.missing(what)?;
        let sign = usize::from(word.text.starts_with(['-', '+']));
        let end = word.text[sign..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(word.text.len(), |len| sign + len);
        let number = word.text[..end]
            .parse::<i64>()
            .ok()
            .filter(|n| (min..=max).contains(n));
        let Some(number) = number else {
            let message = format!("`{}` is not {what} from {min} to {max}", word.text);
            return Err(Fault::at(Code::BadNumber, word, message));
        };
        if end < word.text.len() {
            let message = format!("`{}` is read as {number}", word.text);
            self.warnings
                .push(Fault::at(Code::NumberTail, word, message));
        }
        Ok(number)
    }

    fn end(&mut self) -> Result<(), Fault> {
        match self.words.word() {
            Some(word) => Err(unexpected(word).expected("the end of the line")),
            None => Ok(()),
        }
    }
}

fn unexpected(word: Word<'_>) -> Fault {
    let hint = if word.text.starts_with('#') {
        ": comments are whole lines"
    } else {
        ""
    };
    Fault::at(
        Code::UnexpectedWord,
        word,
        format!("`{}` is not expected here{hint}", word.text),
    )
}

fn unknown(command: Word<'_>) -> Fault {
    let canonical = UNSUPPORTED
        .iter()
        .find(|known| is_keyword(command.text, known));
    if let Some(known) = canonical {
        let message = format!("{known} is a DAGMan command that Updraft does not run yet");
        return Fault::at(Code::UnsupportedCommand, command, message);
    }
    if is_keyword(command.text, "WEAK") {
        let message = "WEAK PARENT is a DAGMan command that Updraft does not run yet";
        return Fault::at(Code::UnsupportedCommand, command, message);
    }
    let message = format!("`{}` is not a DAG command", command.text);
    let mut fault = Fault::at(Code::UnknownCommand, command, message);
    let known = SUPPORTED
        .iter()
        .chain(["END"].iter())
        .chain(UNSUPPORTED.iter())
        .copied();
    fault.suggestion = did_you_mean(command.text, known);
    fault
}
