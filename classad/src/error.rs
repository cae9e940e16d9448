//! What can be wrong with text that should be an expression or an ad.

use thiserror::Error;

/// Text that is not an expression, or not an ad.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}{}{}", Self::part(", expected ", self.expected), Self::part("; ", self.hint()))]
pub struct ParseError {
    /// Byte offset into the text that was handed in, at a character boundary; the text's length
    /// when it ended too early.
    pub offset: usize,
    /// What was found there, in words.
    pub message: String,
    /// What would have been right there, where that is one thing.
    pub expected: Option<&'static str>,
    /// What few errors have: boxed, because results carry errors by value.
    advice: Option<Box<Advice>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Advice {
    hint: Option<&'static str>,
    opened_at: Option<usize>,
}

/// A line or attribute of an ad that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdError {
    /// The expression of one attribute is wrong; the offset counts from the start of the whole
    /// text, in JSON from that of the expression.
    #[error("attribute `{name}`, line {line}: {source}")]
    Expr {
        /// The attribute as it was written.
        name: String,
        /// Line of the text, from 1; always 1 in JSON.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// A line is not of the form `Name = Expr`.
    #[error("line {line} is not of the form `Name = Expr`: {text}")]
    Line {
        /// Line of the text, from 1.
        line: usize,
        /// The line, shortened.
        text: String,
    },
    /// The text as a whole is wrong.
    #[error(transparent)]
    Syntax(#[from] ParseError),
    /// A JSON document that is not an ad.
    #[error("an ad in JSON must be an object, this is {found}")]
    NotAnObject {
        /// The kind of JSON value found.
        found: &'static str,
    },
    /// The text is longer than an ad may be.
    #[error("the ad has {bytes} bytes, more than the {limit} that an ad may have (AD_BYTES_MAX)")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
}

impl ParseError {
    /// What was probably meant, or how it is written here, where that is plain.
    pub fn hint(&self) -> Option<&'static str> {
        self.advice.as_ref().and_then(|advice| advice.hint)
    }

    /// Where a bracket is missing: the offset of the one that it would close.
    pub fn opened_at(&self) -> Option<usize> {
        self.advice.as_ref().and_then(|advice| advice.opened_at)
    }

    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
            expected: None,
            advice: None,
        }
    }

    pub(crate) fn expecting(mut self, what: &'static str) -> Self {
        self.expected = Some(what);
        self
    }

    pub(crate) fn hinting(mut self, hint: &'static str) -> Self {
        self.advice.get_or_insert_default().hint = Some(hint);
        self
    }

    pub(crate) fn opened(mut self, at: usize) -> Self {
        self.advice.get_or_insert_default().opened_at = Some(at);
        self
    }

    /// The same, counted from `bytes` earlier.
    pub(crate) fn shifted(mut self, bytes: usize) -> Self {
        self.offset += bytes;
        if let Some(at) = self.opened_at() {
            return self.opened(at + bytes);
        }
        self
    }

    fn part(lead: &'static str, part: Option<&'static str>) -> String {
        part.map(|part| format!("{lead}{part}")).unwrap_or_default()
    }
}
