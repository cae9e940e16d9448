//! A text with a name, and the way from a byte in it to a line and a column.
//!
//! Lines are counted only when something is wrong, so reading a good file costs nothing for it.

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostic, Severity};

/// A half-open range of bytes in one text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
}

/// A text and the file it came from. `line_first` is not 1 where the text is part of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub file: String,
    pub text: String,
    pub line_first: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start: narrow(start),
            end: narrow(end),
        }
    }
}

impl Source {
    pub fn new(file: &str, text: String) -> Self {
        Self {
            file: file.to_owned(),
            text,
            line_first: 1,
        }
    }

    /// An error at a place. A span that runs over the end of its line is cut there.
    pub fn error(&self, code: Code, span: Span, message: String) -> Diagnostic {
        let (line, column, source_line, length) = locate(&self.text, span);
        Diagnostic {
            code,
            severity: Severity::Error,
            file: self.file.clone(),
            line: line + self.line_first - 1,
            column,
            length,
            source_line: String::new(),
            message,
            expected: None,
            help: None,
            within: Vec::new(),
            command: None,
        }
        .with_source_line(source_line)
    }
}

/// 1-based line and column, the line's text, and the span's length in characters.
pub(crate) fn locate(text: &str, span: Span) -> (u32, u32, &str, u32) {
    let start = floor_char(text, span.start as usize);
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = floor_char(text, (span.end as usize).clamp(start, line_end));
    let line = narrow(before.bytes().filter(|b| *b == b'\n').count()) + 1;
    let column = narrow(text[line_start..start].chars().count()) + 1;
    let length = narrow(text[start..end].chars().count()).max(1);
    (
        line,
        column,
        text[line_start..line_end].trim_end_matches('\r'),
        length,
    )
}

/// Offsets are 32 bits wide: no file that is read is larger than its limit, far below 4 GiB.
pub(crate) fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn floor_char(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
