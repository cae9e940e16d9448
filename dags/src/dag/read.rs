//! Walks the lines of a DAG file and of its includes, repeats those under FOREACH, and declares
//! what they say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::command::{self, Fault, Side};
use super::declare::{At, Declared, Part, Scope};
use super::frames::{Frame, Frames, original};
use super::lines::{self, FileLines, LineKind};
use super::words::{Cursor, Word};
use super::{DAG_BYTES_MAX, LINES_MAX, NESTING_MAX};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, InCommand, Severity, did_you_mean};
use crate::files::Files;
use crate::source::{Source, Span, narrow};

mod declaring;
mod items;
mod nodes;

/// Reads a DAG file; what it declares is in `declared`, what is wrong in `diagnostics`.
pub(super) struct Reader<'f> {
    pub files: &'f dyn Files,
    pub read: Vec<Rc<FileLines>>,
    pub declared: Declared,
    pub diagnostics: Diagnostics,
    pub frames: Frames,
    /// The scope whose lines are read.
    scope: u32,
    /// The files that are being read, each named by the one before it.
    open: Vec<String>,
    /// Files by path, so that a FOREACH over an INCLUDE reads once.
    by_path: BTreeMap<String, u32>,
    item_files: BTreeMap<String, Result<Rc<String>, String>>,
    bytes: usize,
    /// Lines that may still be read.
    pub lines_left: usize,
    over_limit: bool,
}

impl<'f> Reader<'f> {
    pub fn new(dir: String, files: &'f dyn Files) -> Self {
        Self {
            files,
            read: Vec::new(),
            declared: Declared {
                scopes: vec![Scope {
                    prefix: String::new(),
                    outer: None,
                    dir,
                    nodes: 0..0,
                    splices: BTreeMap::new(),
                    descriptions: BTreeMap::new(),
                }],
                ..Declared::default()
            },
            diagnostics: Diagnostics::new(),
            frames: Frames::default(),
            scope: 0,
            open: Vec::new(),
            by_path: BTreeMap::new(),
            item_files: BTreeMap::new(),
            bytes: 0,
            lines_left: LINES_MAX,
            over_limit: false,
        }
    }

    /// Reads a whole file and everything it includes.
    pub fn file(&mut self, path: &str, text: String) {
        if let Some(file) = self.split(path, text) {
            self.whole_file(file, None, 0);
        }
        self.declared.scopes[0].nodes = 0..narrow(self.declared.nodes.len());
    }

    /// Reads the lines of a file in the scope that stands.
    fn whole_file(&mut self, file: u32, frame: Option<u32>, depth: usize) {
        let read = &self.read[file as usize];
        let all = 0..read.lines.len();
        self.open.push(read.source.file.clone());
        self.walk(file, all, frame, depth);
        self.open.pop();
    }

    fn dir(&self) -> &str {
        &self.declared.scopes[self.scope as usize].dir
    }

    /// An error at a place of a line as it was read.
    pub fn error(&self, code: Code, at: At, message: String) -> Diagnostic {
        let file = &self.read[at.file as usize];
        if self.diagnostics.is_full() {
            // It will only be counted, so its place is not worth looking for.
            return Diagnostic::of_file(code, &file.source.file, message);
        }
        let line = &file.lines[at.line as usize];
        let (start, end) = (at.start as usize, at.end as usize);
        let span = match (at.part, &line.kind) {
            (Part::Tail, LineKind::Inline { tail, .. }) => {
                Span::new(tail.start as usize + start, tail.start as usize + end)
            }
            (Part::Tail | Part::Line, _) => {
                let mut swaps = Vec::new();
                self.frames
                    .substitute(file.text(line), at.frame, Some(&mut swaps));
                file.span(
                    line,
                    original(&swaps, start).start,
                    original(&swaps, end).end,
                )
            }
        };
        let mut diagnostic = file.source.error(code, span, message);
        diagnostic.within = self.frames.items_of(at.frame);
        diagnostic.command = Some(InCommand {
            name: Cursor::new(file.text(line))
                .word()
                .ok()
                .flatten()
                .map_or_else(String::new, |word| word.text.to_ascii_uppercase()),
            line: line.number_last,
        });
        diagnostic
    }

    fn walk(&mut self, file_at: u32, range: Range<usize>, frame: Option<u32>, depth: usize) {
        let file = Rc::clone(&self.read[file_at as usize]);
        let mut index = range.start;
        while index < range.end && !self.over_limit {
            let line = &file.lines[index];
            let at = At {
                file: file_at,
                line: narrow(index),
                frame,
                start: 0,
                end: 0,
                part: Part::Line,
            };
            self.count_line(&file, at);
            match &line.kind {
                LineKind::Foreach { end } => {
                    let body = index + 1..(*end as usize).max(index + 1);
                    self.foreach(&file, at, body.clone(), depth);
                    index = body.end;
                }
                LineKind::Command | LineKind::Cut => self.command(&file, at, None, depth),
                LineKind::Inline { tail, .. } => self.command(&file, at, Some(*tail), depth),
                LineKind::End | LineKind::Broken => {}
            }
            index += 1;
        }
    }

    fn command(&mut self, file: &FileLines, at: At, tail: Option<Span>, depth: usize) {
        let text = self
            .frames
            .substitute(file.text(&file.lines[at.line as usize]), at.frame, None)
            .into_owned();
        let tail = tail.map(|tail| file.slice(tail));
        let mut notes = Vec::new();
        let parsed = command::parse(&text, tail, &mut notes);
        for note in notes {
            let diagnostic = self.fault(note, at);
            self.diagnostics.push(diagnostic);
        }
        match parsed {
            Ok(command) => self.declare(command, &text, at, depth),
            Err(fault) => {
                let diagnostic = self.fault(fault, at);
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn foreach(&mut self, file: &FileLines, at: At, body: Range<usize>, depth: usize) {
        let text = self
            .frames
            .substitute(file.text(&file.lines[at.line as usize]), at.frame, None)
            .into_owned();
        let head = match command::foreach(&text) {
            Ok(head) => head,
            Err(fault) => {
                let diagnostic = self.fault(fault, at);
                self.diagnostics.push(diagnostic);
                return;
            }
        };
        let all = At {
            end: narrow(text.len()),
            ..at
        };
        if depth >= NESTING_MAX {
            let message = format!("INCLUDE, SPLICE and FOREACH nest at most {NESTING_MAX} deep");
            let diagnostic = self.error(Code::ForeachTooDeep, all, message);
            self.diagnostics.push(diagnostic);
            return;
        }
        let Some(items) = self.items(&head, at) else {
            return;
        };
        if items.is_empty() {
            let diagnostic =
                self.error(Code::ForeachEmpty, all, "this FOREACH has no items".into());
            self.diagnostics.push(diagnostic);
        }
        let vars: Rc<Vec<String>> =
            Rc::new(head.vars.iter().map(|var| var.text.to_string()).collect());
        for (values, place) in items {
            self.count_line(file, at);
            if self.over_limit {
                return;
            }
            let before = self.declared.len();
            let frame = self.frames.push(Frame {
                outer: at.frame,
                vars: Rc::clone(&vars),
                values,
                place,
            });
            self.walk(at.file, body.clone(), Some(frame), depth + 1);
            if self.declared.len() == before {
                // Nothing will ask for this item again.
                self.frames.truncate(frame);
            }
        }
    }

    fn split(&mut self, path: &str, text: String) -> Option<u32> {
        self.bytes += text.len();
        if self.bytes > DAG_BYTES_MAX {
            let message =
                format!("a DAG file has at most {DAG_BYTES_MAX} bytes with all it includes");
            self.diagnostics
                .push(Diagnostic::of_file(Code::DagTooLarge, path, message));
            self.over_limit = true;
            return None;
        }
        let file = lines::split(Source::new(path, text));
        for fault in &file.faults {
            if self.diagnostics.is_full() {
                self.diagnostics.leave_out_error();
            } else {
                self.diagnostics.push(file.diagnostic(fault));
            }
        }
        let index = narrow(self.read.len());
        self.read.push(Rc::new(file));
        self.by_path.insert(path.to_owned(), index);
        Some(index)
    }

    fn count_line(&mut self, file: &FileLines, at: At) {
        if self.lines_left > 0 {
            self.lines_left -= 1;
        } else if !self.over_limit {
            let end = narrow(file.text(&file.lines[at.line as usize]).len());
            self.stop(
                At { end, ..at },
                format!("a DAG has at most {LINES_MAX} lines, repeated ones counted each time"),
            );
        }
    }

    fn stop(&mut self, at: At, message: String) {
        let diagnostic = self.error(Code::DagTooLarge, at, message);
        self.diagnostics.push(diagnostic);
        self.over_limit = true;
    }

    /// Reports a `$(name)` that no FOREACH filled in.
    fn is_filled_in(&mut self, text: &str, at: At) -> bool {
        let Some(open) = text.find("$(") else {
            return true;
        };
        let name = text[open + 2..]
            .split([')', ':'])
            .next()
            .unwrap_or_default();
        let known: Vec<String> = self
            .frames
            .vars_of(at.frame)
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let message = match known.is_empty() {
            true => format!("`$({name})` stands in no FOREACH"),
            false => format!("`$({name})` is no variable of this FOREACH"),
        };
        let mut diagnostic = self.error(Code::UnknownForeachVariable, at, message);
        if !known.is_empty() {
            diagnostic = diagnostic.expected(known.join(", "));
        }
        let suggestion = did_you_mean(name, known.iter().map(String::as_str));
        self.diagnostics.push(diagnostic.suggest(suggestion));
        false
    }

    fn fault(&self, fault: Fault, at: At) -> Diagnostic {
        let part = match fault.side {
            Side::Line => Part::Line,
            Side::Tail => Part::Tail,
        };
        let at = At {
            start: narrow(fault.start),
            end: narrow(fault.end),
            part,
            ..at
        };
        let mut diagnostic = self.error(fault.code, at, fault.message);
        if fault.severity == Severity::Warning {
            diagnostic = diagnostic.warning();
        }
        if let Some(expected) = fault.expected {
            diagnostic = diagnostic.expected(expected);
        }
        diagnostic.suggest(fault.suggestion)
    }
}

fn word_at(at: At, word: &Word<'_>) -> At {
    At {
        start: narrow(word.start),
        end: narrow(word.end),
        part: Part::Line,
        ..at
    }
}

/// The place of the command's own word.
fn first_word(at: At, text: &str) -> At {
    match Cursor::new(text).word() {
        Ok(Some(word)) => word_at(at, &word),
        Ok(None) | Err(_) => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_lines_are_bounded() {
        let items = ["x"; 10].join(" ");
        let mut text = String::new();
        for level in 0..6 {
            text.push_str(&format!("FOREACH v{level} IN ({items})\n"));
        }
        text.push_str(&"END\n".repeat(6));
        let files: BTreeMap<String, String> = BTreeMap::new();
        let mut reader = Reader::new(String::new(), &files);
        reader.lines_left = 1_000;
        reader.file("t.dag", text);
        let codes: Vec<Code> = reader.diagnostics.iter().map(|found| found.code).collect();
        assert_eq!(codes, [Code::DagTooLarge]);
    }
}
