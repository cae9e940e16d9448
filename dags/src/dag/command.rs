//! A line as a command with all its fields and their places. Knows words, not nodes: whether a name
//! exists, and whether a command means anything here, is found out later.

use super::keyword::Keyword;
use super::words::{Cursor, OpenQuote, Word};
use crate::diagnostic::{Code, Severity, did_you_mean};
use crate::submit::Placement;

mod foreach;
mod graph;
mod modify;
mod nodes;
mod whole;

pub(super) use foreach::{ForeachHead, ItemsOf, foreach};
pub(super) use nodes::may_open_inline;

/// A line, understood.
#[derive(Debug)]
pub(super) enum Command<'a> {
    Node(NodeLine<'a>),
    Splice(SpliceLine<'a>),
    Description {
        name: Word<'a>,
    },
    Parent {
        strength: Strength,
        parents: Vec<Word<'a>>,
        children: Vec<Word<'a>>,
    },
    Script(ScriptLine<'a>),
    Retry {
        node: Word<'a>,
        max: u32,
        unless_exit: Option<i32>,
    },
    AbortDagOn {
        node: Word<'a>,
        status: i32,
        exit: Option<u8>,
    },
    Vars {
        node: Word<'a>,
        /// As it is said; DAGMan's default is [`Placement::Before`].
        placement: Option<Placement>,
        /// `+name` is `My.name`.
        pairs: Vec<(String, String)>,
    },
    Priority {
        node: Word<'a>,
        priority: i32,
    },
    PreSkip {
        node: Word<'a>,
        code: i32,
    },
    Tolerance {
        node: Word<'a>,
        failures: Failures,
        then: Then,
    },
    Done {
        node: Word<'a>,
    },
    Category {
        node: Word<'a>,
        category: Word<'a>,
    },
    Maxjobs {
        category: Word<'a>,
        limit: u32,
    },
    SavePointFile {
        node: Word<'a>,
        file: Option<Word<'a>>,
    },
    Include {
        file: Word<'a>,
    },
    Config {
        file: Word<'a>,
    },
    JobstateLog {
        file: Word<'a>,
    },
    Dot(DotLine<'a>),
    NodeStatusFile(StatusLine<'a>),
    SetJobAttr {
        assignment: Word<'a>,
    },
    Env {
        action: EnvAction,
        variables: Word<'a>,
    },
    Reject,
    Connect {
        from: Word<'a>,
        to: Word<'a>,
    },
    Pin {
        side: PinSide,
        node: Word<'a>,
        number: u32,
    },
}

/// JOB, FINAL, PROVISIONER, SERVICE, SUBDAG or STUDY.
#[derive(Debug)]
pub(super) struct NodeLine<'a> {
    pub keyword: Keyword,
    pub name: Word<'a>,
    pub description: Described<'a>,
    pub study: Option<Word<'a>>,
    pub dir: Option<Word<'a>>,
    pub mode: Mode,
    pub done: Done,
}

/// Where a node's submit description is.
#[derive(Debug)]
pub(super) enum Described<'a> {
    /// A file, or the name of a SUBMIT-DESCRIPTION; for SUBDAG a DAG file.
    Named(Word<'a>),
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

#[derive(Debug)]
pub(super) struct SpliceLine<'a> {
    pub name: Word<'a>,
    pub file: Word<'a>,
    pub dir: Option<Word<'a>>,
}

/// What a child waits for: that its parent succeeds, or only that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    Strong,
    Weak,
}

#[derive(Debug)]
pub(super) struct ScriptLine<'a> {
    pub kind: ScriptKind,
    pub node: Word<'a>,
    /// The program and its arguments, as they stand in the line.
    pub script: Word<'a>,
    /// The exit code after which it is run again, and in how many seconds.
    pub defer: Option<(i32, i32)>,
    pub debug: Option<(Word<'a>, Stream)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptKind {
    Pre,
    Post,
    Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
    All,
}

/// How many jobs of a node may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failures {
    Jobs(u32),
    Percent(u32),
}

/// What becomes of a node's other jobs when more fail than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Unsaid,
    FailFast,
    Wait,
}

#[derive(Debug)]
pub(super) struct DotLine<'a> {
    pub file: Word<'a>,
    pub update: bool,
    /// As it is said; where nothing is, the file is overwritten.
    pub overwrite: Option<bool>,
    pub include: Option<Word<'a>>,
}

#[derive(Debug)]
pub(super) struct StatusLine<'a> {
    pub file: Word<'a>,
    /// Seconds between two writings of the file.
    pub interval: i32,
    pub always: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnvAction {
    Set,
    Get,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PinSide {
    In,
    Out,
}

/// What is wrong with a line, by its bytes.
#[derive(Debug)]
pub(super) struct Fault {
    pub code: Code,
    pub severity: Severity,
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

impl Command<'_> {
    /// The command that the line begins with.
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::Node(node) => node.keyword,
            Self::Splice(_) => Keyword::Splice,
            Self::Description { .. } => Keyword::SubmitDescription,
            Self::Parent { strength, .. } => match strength {
                Strength::Strong => Keyword::Parent,
                Strength::Weak => Keyword::Weak,
            },
            Self::Script(_) => Keyword::Script,
            Self::Retry { .. } => Keyword::Retry,
            Self::AbortDagOn { .. } => Keyword::AbortDagOn,
            Self::Vars { .. } => Keyword::Vars,
            Self::Priority { .. } => Keyword::Priority,
            Self::PreSkip { .. } => Keyword::PreSkip,
            Self::Tolerance { .. } => Keyword::Tolerance,
            Self::Done { .. } => Keyword::Done,
            Self::Category { .. } => Keyword::Category,
            Self::Maxjobs { .. } => Keyword::Maxjobs,
            Self::SavePointFile { .. } => Keyword::SavePointFile,
            Self::Include { .. } => Keyword::Include,
            Self::Config { .. } => Keyword::Config,
            Self::JobstateLog { .. } => Keyword::JobstateLog,
            Self::Dot(_) => Keyword::Dot,
            Self::NodeStatusFile(_) => Keyword::NodeStatusFile,
            Self::SetJobAttr { .. } => Keyword::SetJobAttr,
            Self::Env { .. } => Keyword::Env,
            Self::Reject => Keyword::Reject,
            Self::Connect { .. } => Keyword::Connect,
            Self::Pin { side, .. } => match side {
                PinSide::In => Keyword::PinIn,
                PinSide::Out => Keyword::PinOut,
            },
        }
    }
}

impl Fault {
    pub(super) fn new(code: Code, start: usize, end: usize, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            start,
            end,
            message: message.into(),
            expected: None,
            suggestion: None,
            side: Side::Line,
        }
    }

    pub(super) fn at(code: Code, word: &Word<'_>, message: impl Into<String>) -> Self {
        Self::new(code, word.start, word.end, message)
    }

    fn expected(mut self, expected: &'static str) -> Self {
        self.expected = Some(expected);
        self
    }

    fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    fn in_tail(mut self) -> Self {
        self.side = Side::Tail;
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

/// Reads a line. `tail` is what follows an inline description, where there is one. What DAGMan
/// takes and we warn of or refuse goes to `notes`; the command is as DAGMan reads it.
pub(super) fn parse<'a>(
    text: &'a str,
    tail: Option<&'a str>,
    notes: &mut Vec<Fault>,
) -> Result<Command<'a>, Fault> {
    let mut words = Cursor::new(text);
    let Some(command) = words.word()? else {
        return Err(Fault::new(Code::UnknownCommand, 0, 0, "an empty line"));
    };
    let Some(keyword) = Keyword::of(&command.text) else {
        return Err(unknown(&command));
    };
    let mut reader = Reader {
        words,
        command,
        notes,
    };
    match keyword {
        Keyword::Job | Keyword::Final | Keyword::Provisioner | Keyword::Service => {
            reader.job(keyword, tail)
        }
        Keyword::Subdag => reader.subdag(),
        Keyword::Study => reader.study(),
        Keyword::Splice => reader.splice(),
        Keyword::SubmitDescription => reader.description(tail),
        Keyword::Parent => reader.parent(Strength::Strong),
        Keyword::Weak => reader.weak(),
        Keyword::Script => reader.script(),
        Keyword::Retry => reader.retry(),
        Keyword::AbortDagOn => reader.abort(),
        Keyword::Vars => reader.vars(),
        Keyword::Priority => reader.priority(),
        Keyword::PreSkip => reader.pre_skip(),
        Keyword::Tolerance => reader.tolerance(),
        Keyword::Done => reader.done(),
        Keyword::Category => reader.category(),
        Keyword::Maxjobs => reader.maxjobs(),
        Keyword::SavePointFile => reader.save_point(),
        Keyword::Include => reader.include(),
        Keyword::Config => reader.config(),
        Keyword::JobstateLog => reader.jobstate_log(),
        Keyword::Dot => reader.dot(),
        Keyword::NodeStatusFile => reader.node_status(),
        Keyword::SetJobAttr => reader.set_job_attr(),
        Keyword::Env => reader.env(),
        Keyword::Reject => reader.reject(),
        Keyword::Connect => reader.connect(),
        Keyword::PinIn => reader.pin(PinSide::In),
        Keyword::PinOut => reader.pin(PinSide::Out),
        Keyword::Foreach | Keyword::End => Err(unknown(&reader.command)),
    }
}

struct Reader<'a, 'n> {
    words: Cursor<'a>,
    command: Word<'a>,
    notes: &'n mut Vec<Fault>,
}

impl<'a> Reader<'a, '_> {
    fn node(&mut self) -> Result<Word<'a>, Fault> {
        self.word("a node name")
    }

    fn word(&mut self, what: &str) -> Result<Word<'a>, Fault> {
        self.words.word()?.ok_or_else(|| self.lacks(what))
    }

    /// A word without its quotes. One of nothing but quotes is passed over, as DAGMan does, but not
    /// in silence.
    fn unquoted(&mut self, what: &str) -> Result<Word<'a>, Fault> {
        self.maybe_unquoted()?.ok_or_else(|| self.lacks(what))
    }

    fn maybe_unquoted(&mut self) -> Result<Option<Word<'a>>, Fault> {
        while let Some(word) = self.words.unquoted()? {
            if !word.text.is_empty() {
                return Ok(Some(word));
            }
            self.notes
                .push(Fault::at(Code::BadQuoting, &word, "quotes around nothing"));
        }
        Ok(None)
    }

    fn lacks(&self, what: &str) -> Fault {
        let command = self.command.text.to_ascii_uppercase();
        let at = self.words.position();
        let message = format!("{command} without {what}");
        Fault::new(Code::MissingWord, at, at, message)
    }

    fn number(&mut self, what: &str, min: i32, max: i32) -> Result<i32, Fault> {
        let word = self.word(what)?;
        self.number_of(&word, what, min, max)
    }

    fn count(&mut self, what: &str, min: u32) -> Result<u32, Fault> {
        let min = i32::try_from(min).unwrap_or(i32::MAX);
        let number = self.number(what, min, i32::MAX)?;
        Ok(number.unsigned_abs())
    }

    /// A number by its first digits, as DAGMan reads it.
    fn number_of(&mut self, word: &Word<'_>, what: &str, min: i32, max: i32) -> Result<i32, Fault> {
        let sign = usize::from(word.text.starts_with(['-', '+']));
        let end = word.text[sign..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(word.text.len(), |len| sign + len);
        let number = word.text[..end]
            .parse::<i32>()
            .ok()
            .filter(|n| (min..=max).contains(n));
        let Some(number) = number else {
            let message = format!("`{}` is not {what} from {min} to {max}", word.text);
            return Err(Fault::at(Code::BadNumber, word, message));
        };
        if end < word.text.len() {
            let message = format!("`{}` is read as {number}", word.text);
            self.notes
                .push(Fault::at(Code::NumberTail, word, message).warning());
        }
        Ok(number)
    }

    fn end(&mut self) -> Result<(), Fault> {
        match self.words.word()? {
            Some(word) => Err(unexpected(&word).expected("the end of the line")),
            None => Ok(()),
        }
    }
}

fn unexpected(word: &Word<'_>) -> Fault {
    let hint = if word.text.starts_with('#') {
        ": comments are whole lines"
    } else {
        ""
    };
    let message = format!("`{}` is not expected here{hint}", word.text);
    Fault::at(Code::UnexpectedWord, word, message)
}

fn unknown(command: &Word<'_>) -> Fault {
    let message = format!("`{}` is not a DAG command", command.text);
    let mut fault = Fault::at(Code::UnknownCommand, command, message);
    let known = Keyword::ALL.iter().map(|keyword| keyword.name());
    fault.suggestion = did_you_mean(&command.text, known);
    fault
}
