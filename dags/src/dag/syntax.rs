//! A DAG file by its syntax alone: every command it has, every error in its lines, as DAGMan's own
//! parser sees them. No other file is read, no name resolved, no FOREACH repeated.

use serde::Serialize;

use super::DAG_BYTES_MAX;
use super::command::{self, Fault, Side};
use super::lines::{self, FileLines, Line, LineKind};
use super::statement::{Around, Statement};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span};

/// What a file says, line by line.
#[derive(Debug, Serialize)]
pub struct Syntax {
    #[serde(rename = "commands")]
    pub statements: Vec<Statement>,
    /// In the order of the lines; reading goes on after each.
    pub errors: Vec<SyntaxError>,
    /// The first of the errors once more, with their places.
    #[serde(skip)]
    pub diagnostics: Diagnostics,
}

/// An error by its line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyntaxError {
    /// 1-based; the last of a continued line, and the first of an inline description's.
    pub line: u32,
    pub error: String,
}

impl Syntax {
    /// Reads the commands of a text. `path` names it; a CONFIG file is relative to `cwd`.
    #[must_use]
    pub fn parse(path: &str, text: &str, cwd: &str) -> Self {
        let mut reading = Reading {
            statements: Vec::new(),
            found: Vec::new(),
        };
        if text.len() > DAG_BYTES_MAX {
            let message = format!("a DAG file has at most {DAG_BYTES_MAX} bytes");
            return Self {
                statements: Vec::new(),
                errors: vec![SyntaxError {
                    line: 0,
                    error: message.clone(),
                }],
                diagnostics: Diagnostic::of_file(Code::DagTooLarge, path, message).into(),
            };
        }
        let file = lines::split(Source::new(path, text.to_owned()));
        for fault in &file.faults {
            let line = &file.lines[fault.line as usize];
            match line.kind {
                LineKind::Cut => {}
                LineKind::Command
                | LineKind::Inline { .. }
                | LineKind::Foreach { .. }
                | LineKind::End
                | LineKind::Broken => reading.found.push((
                    line.number_last,
                    fault.message.clone(),
                    Found::Line(fault),
                )),
            }
        }
        for line in &file.lines {
            reading.line(&file, line, cwd);
        }
        reading.finish(&file)
    }
}

/// An error on its way: where its place is found.
enum Found<'f> {
    Line(&'f lines::LineFault),
    Fault(&'f Line, Fault),
}

struct Reading<'f> {
    statements: Vec<Statement>,
    found: Vec<(u32, String, Found<'f>)>,
}

impl<'f> Reading<'f> {
    fn line(&mut self, file: &'f FileLines, line: &'f Line, cwd: &str) {
        let number = line.number_last;
        let (tail, inline) = match &line.kind {
            LineKind::Command => (None, None),
            LineKind::Inline { body, tail, .. } => {
                (Some(file.slice(*tail)), Some(file.slice(*body)))
            }
            LineKind::Foreach { .. } => {
                match command::foreach(file.text(line)) {
                    Ok(head) => self.statements.push(Statement::foreach(&head, number)),
                    Err(fault) => self.fault(line, fault),
                }
                return;
            }
            LineKind::End => {
                self.statements.push(Statement::end(number));
                return;
            }
            LineKind::Cut | LineKind::Broken => return,
        };
        let around = Around {
            path: &file.source.file,
            cwd,
            line: number,
            inline,
        };
        match command::parse(file.text(line), tail, &mut Vec::new()) {
            Ok(command) => self.statements.push(Statement::new(&command, &around)),
            Err(fault) => self.fault(line, fault),
        }
    }

    fn fault(&mut self, line: &'f Line, fault: Fault) {
        let message = fault.message.clone();
        self.found
            .push((line.number_last, message, Found::Fault(line, fault)));
    }

    fn finish(mut self, file: &FileLines) -> Syntax {
        self.found.sort_by_key(|(line, ..)| *line);
        let mut diagnostics = Diagnostics::new();
        let mut errors = Vec::with_capacity(self.found.len());
        for (line, error, found) in self.found {
            if !diagnostics.is_full() {
                diagnostics.push(match found {
                    Found::Line(fault) => file.diagnostic(fault),
                    Found::Fault(line, fault) => placed(file, line, fault),
                });
            } else {
                diagnostics.leave_out_error();
            }
            errors.push(SyntaxError { line, error });
        }
        Syntax {
            statements: self.statements,
            errors,
            diagnostics,
        }
    }
}

/// A fault of a line with its place in the file.
fn placed(file: &FileLines, line: &Line, fault: Fault) -> Diagnostic {
    let span = match (fault.side, &line.kind) {
        (Side::Tail, LineKind::Inline { tail, .. }) => {
            let start = tail.start as usize;
            Span::new(start + fault.start, start + fault.end)
        }
        (Side::Tail | Side::Line, _) => file.span(line, fault.start, fault.end),
    };
    let mut diagnostic = file.source.error(fault.code, span, fault.message);
    if let Some(expected) = fault.expected {
        diagnostic = diagnostic.expected(expected);
    }
    diagnostic.suggest(fault.suggestion)
}
