//! Everything that is printed goes through here: answers to standard output as tables or JSON,
//! complaints to standard error. A reader that goes away ends the program quietly.
//!
//! No colours and no escape codes: what others wrote (names, reasons) is made harmless before a
//! terminal sees it.

pub mod records;
pub mod table;
pub mod time;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::Failure;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: fits the terminal.
    Table,
    /// For programs: stable keys in snake_case, times as RFC 3339 in UTC and as numbers `*_ms`.
    Json,
}

/// Columns of a terminal that does not say how many it has.
const WIDTH_DEFAULT: usize = 100;

/// Writes text to standard output, as it is.
///
/// # Errors
/// [`Failure::Pipe`] when nobody reads it any more.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// The same for bytes: what a job printed.
///
/// # Errors
/// As [`print()`].
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Pipe,
            _ => Failure::Internal(format!("cannot write to standard output: {error}")),
        })
}

/// Writes one JSON document and a line end.
///
/// # Errors
/// As [`print()`].
pub fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::Internal(format!("cannot write JSON: {error}")))?;
    text.push('\n');
    print(&text)
}

/// Writes a line to standard error. That nobody reads it is no reason to stop.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Columns of the terminal on standard output; absent when there is none.
pub fn width() -> Option<usize> {
    io::stdout()
        .is_terminal()
        .then(|| columns(terminal_size::terminal_size_of(io::stdout())))
}

/// Lines of the terminal on standard output; absent when there is none.
pub fn height() -> Option<usize> {
    let (_, height) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(height.0))
}

/// Columns of the terminal on standard error; absent when there is none.
pub fn width_of_stderr() -> Option<usize> {
    io::stderr()
        .is_terminal()
        .then(|| columns(terminal_size::terminal_size_of(io::stderr())))
}

fn columns(size: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    size.map_or(WIDTH_DEFAULT, |(width, _)| usize::from(width.0).max(1))
}

/// Text on one line without control characters.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' | '\t' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// The first `width` characters, the last of them `…` where something was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// An error with what it comes from, in one sentence; what a message already says is not said
/// twice.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = error.source();
    }
    text
}

/// `1 job`, `2 jobs`.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_made_harmless() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31m\n"), "a b c\\u{1b}[31m");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(
            (count(1, "job"), count(0, "job")),
            ("1 job".into(), "0 jobs".into())
        );
    }
}
