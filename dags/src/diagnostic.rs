//! What is wrong with a file, where, and what was probably meant.
//!
//! A [`Diagnostic`] stands alone: it carries the source line, so it can be printed, sent and stored
//! without the file. It never stops the reader of a file: all of them are collected.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use code::Code;
pub use suggest::did_you_mean;

mod code;
mod suggest;

/// How many diagnostics one reading collects; those beyond are counted, not kept.
pub const DIAGNOSTICS_MAX: usize = 200;

/// Characters of a source line that are kept for printing.
const SOURCE_LINE_CHARS_MAX: usize = 400;

/// Does it stop the work?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is run.
    Error,
    /// The file is used, and probably does not do what was meant.
    Warning,
}

/// One finding in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The stable code, printed as `D012`.
    pub code: Code,
    pub severity: Severity,
    /// The file, named as it was reached.
    pub file: String,
    /// 1-based; 0 when the finding is about the whole file.
    pub line: u32,
    /// 1-based, in characters; 0 when the finding is about the whole file.
    pub column: u32,
    /// In characters, at least 1 where there is a column.
    pub length: u32,
    /// The text of the line, without its end.
    pub source_line: String,
    /// One sentence, lowercase, without its place.
    pub message: String,
    /// What would have been accepted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Under what the line was read: the FOREACH items, outermost first, or the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// The command of a DAG file that it is found in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<InCommand>,
}

/// A command of a DAG file, as HTCondor's checker names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InCommand {
    /// Its first word, in capitals.
    pub name: String,
    /// 1-based; the last of a continued line, and the first of an inline description's.
    pub line: u32,
}

/// The findings of one reading, in the order they were met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// Findings beyond [`DIAGNOSTICS_MAX`].
    left_out: u64,
    /// Errors among all findings, those left out included.
    errors: u64,
}

impl Diagnostic {
    /// A finding about a whole file.
    #[must_use]
    pub fn of_file(code: Code, file: &str, message: String) -> Self {
        Self {
            code,
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            length: 0,
            source_line: String::new(),
            message,
            expected: None,
            help: None,
            within: Vec::new(),
            command: None,
        }
    }

    /// The same finding, as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same finding, with what would have been accepted.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// The same finding, with what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same finding, with a likely meaning where there is one.
    #[must_use]
    pub fn suggest(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(word) => self.help(format!("did you mean `{word}`?")),
            None => self,
        }
    }

    /// The same finding, with its source line kept short.
    pub(crate) fn with_source_line(mut self, line: &str) -> Self {
        self.source_line = line.chars().take(SOURCE_LINE_CHARS_MAX).collect();
        self
    }
}

impl Diagnostics {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.list.len() < DIAGNOSTICS_MAX {
            self.list.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// Whether further findings are counted only.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= DIAGNOSTICS_MAX
    }

    /// Counts an error beyond the limit, whose finding nobody made up.
    pub(crate) fn leave_out_error(&mut self) {
        self.errors += 1;
        self.left_out += 1;
    }

    /// Takes over the findings of another reading.
    pub fn append(&mut self, other: Self) {
        let kept_errors = other
            .list
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count() as u64;
        self.errors += other.errors - kept_errors;
        self.left_out += other.left_out;
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// No errors and no warnings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|d| d.severity == Severity::Error)
    }

    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|d| d.severity == Severity::Warning)
    }

    /// Everything as plain text, each finding with its line and carets under the place.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for diagnostic in &self.list {
            text.push_str(&diagnostic.to_string());
            text.push('\n');
        }
        if self.left_out > 0 {
            text.push_str(&format!("and {} more\n", self.left_out));
        }
        text
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        let mut list = Self::new();
        list.push(diagnostic);
        list
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}[{}]: {}", self.code, self.message)?;
        let gutter = self.line.to_string().len();
        let pad = " ".repeat(gutter);
        if self.line == 0 {
            writeln!(f, "{pad}--> {}", self.file)?;
        } else {
            writeln!(f, "{pad}--> {}:{}:{}", self.file, self.line, self.column)?;
            // A tab is one column and prints as one space, so that the carets stand under their
            // text.
            let line = self.source_line.replace('\t', " ");
            let carets_max = line
                .chars()
                .count()
                .saturating_sub(self.column as usize - 1)
                .max(1);
            let carets = "^".repeat((self.length.max(1) as usize).min(carets_max));
            writeln!(f, "{pad} |\n{} | {line}", self.line)?;
            let indent = " ".repeat((self.column as usize - 1).min(SOURCE_LINE_CHARS_MAX));
            writeln!(f, "{pad} | {indent}{carets}")?;
        }
        for place in &self.within {
            writeln!(f, "{pad} = within {place}")?;
        }
        if let Some(expected) = &self.expected {
            writeln!(f, "{pad} = expected: {expected}")?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{pad} = help: {help}")?;
        }
        Ok(())
    }
}
