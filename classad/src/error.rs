//! What can be wrong with text that should be an expression or an ad.

use thiserror::Error;

/// Text that is not an expression, or not an ad.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}{}", Self::suffix(self.expected))]
pub struct ParseError {
    /// Byte offset into the text that was handed in, at a character boundary; the text's length
    /// when it ended too early.
    pub offset: usize,
    /// What was found there, in words.
    pub message: String,
    /// What would have been right there, where that is one thing.
    pub expected: Option<&'static str>,
}

/// A line or attribute of an ad that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdError {
    /// The expression of one attribute is wrong; the offset counts from the start of the whole
    /// text.
    #[error("attribute `{name}`, line {line}: {source}")]
    Expr {
        /// The attribute as it was written.
        name: String,
        /// Line of the text, from 1.
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
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
            expected: None,
        }
    }

    pub(crate) fn expecting(mut self, what: &'static str) -> Self {
        self.expected = Some(what);
        self
    }

    fn suffix(expected: Option<&'static str>) -> String {
        expected
            .map(|what| format!(", expected {what}"))
            .unwrap_or_default()
    }
}
