//! Walks the lines of a DAG file and of its includes, repeats those under FOREACH, and declares
//! what they say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::command::{self, Command, Described, Fault, NodeLine, Side, Strength};
use super::declare::{
    At, Change, ChangeDecl, Declared, DescriptionDecl, EdgesDecl, Inline, NodeDecl, Part,
};
use super::frames::{Frame, Frames, original};
use super::keyword::{Keyword, Support};
use super::lines::{self, FileLines, LineKind};
use super::words::{Cursor, Word, is_keyword};
use super::{DAG_BYTES_MAX, LINES_MAX, NESTING_MAX, NODE_NAME_BYTES_MAX, NODES_MAX};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity, did_you_mean};
use crate::files::{Files, join};
use crate::source::{Source, Span, narrow};
use crate::submit::Placement;

mod items;

/// Reads a DAG file; what it declares is in `declared`, what is wrong in `diagnostics`.
pub(super) struct Reader<'f> {
    pub files: &'f dyn Files,
    /// What paths are relative to.
    pub dir: String,
    pub read: Vec<Rc<FileLines>>,
    pub declared: Declared,
    pub diagnostics: Diagnostics,
    pub frames: Frames,
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
            dir,
            read: Vec::new(),
            declared: Declared::default(),
            diagnostics: Diagnostics::new(),
            frames: Frames::default(),
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
            let all = 0..self.read[file as usize].lines.len();
            self.walk(file, all, None, 0);
        }
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
                let word = Cursor::new(&text).word().ok().flatten();
                if let Some(keyword) = word.and_then(|word| Keyword::of(&word.text)) {
                    self.refuse_unsupported(keyword, &text, at);
                }
            }
        }
    }

    fn declare(&mut self, command: Command<'_>, text: &str, at: At, depth: usize) {
        let keyword = command.keyword();
        match command {
            Command::Node(node) if node.keyword.support() != Support::Refused => {
                self.node(node, at);
            }
            Command::Description { name } => self.description(&name, at),
            Command::Parent {
                strength: Strength::Strong,
                parents,
                children,
            } => {
                let parents = self.names(&parents, at);
                let children = self.names(&children, at);
                self.declared.edges.push(EdgesDecl { parents, children });
            }
            Command::Retry {
                node,
                max,
                unless_exit,
            } => self.change(&node, at, Change::Retry { max, unless_exit }),
            Command::Vars {
                node,
                placement,
                pairs,
            } => {
                let placement = placement.unwrap_or(Placement::Before);
                self.change(&node, at, Change::Vars { pairs, placement });
            }
            Command::Priority { node, priority } => {
                self.change(&node, at, Change::Priority(i64::from(priority)));
            }
            Command::Done { node } => self.change(&node, at, Change::Done),
            Command::Include { file } => self.include(&file, at, depth),
            Command::Reject => {
                let message = "the DAG file says itself that it must not run: REJECT".to_owned();
                let diagnostic = self.error(Code::Rejected, first_word(at, text), message);
                self.diagnostics.push(diagnostic);
            }
            Command::Node(_)
            | Command::Parent { .. }
            | Command::Splice(_)
            | Command::Script(_)
            | Command::AbortDagOn { .. }
            | Command::PreSkip { .. }
            | Command::Tolerance { .. }
            | Command::Category { .. }
            | Command::Maxjobs { .. }
            | Command::SavePointFile { .. }
            | Command::Config { .. }
            | Command::JobstateLog { .. }
            | Command::Dot(_)
            | Command::NodeStatusFile(_)
            | Command::SetJobAttr { .. }
            | Command::Env { .. }
            | Command::Connect { .. }
            | Command::Pin { .. } => self.refuse_unsupported(keyword, text, at),
        }
    }

    fn refuse_unsupported(&mut self, keyword: Keyword, text: &str, at: At) {
        match keyword.support() {
            Support::Refused => {
                let name = match keyword {
                    Keyword::Weak => "WEAK PARENT",
                    keyword => keyword.name(),
                };
                let message = format!("{name} is a DAGMan command that Updraft does not run yet");
                let at = first_word(at, text);
                let diagnostic = self.error(Code::UnsupportedCommand, at, message);
                self.diagnostics.push(diagnostic);
            }
            Support::Run | Support::Ours => {}
        }
    }

    fn change(&mut self, node: &Word<'_>, at: At, change: Change) {
        let at = word_at(at, node);
        if self.is_filled_in(&node.text, at) {
            self.declared.changes.push(ChangeDecl {
                node: node.text.to_string(),
                at,
                change,
            });
        }
    }

    fn node(&mut self, node: NodeLine<'_>, at: At) {
        let name_at = word_at(at, &node.name);
        let name = &*node.name.text;
        if !self.is_node_name(name, name_at) {
            return;
        }
        let description = match node.description {
            Described::Inline => DescriptionDecl::Inline(Inline {
                file: at.file,
                line: at.line,
            }),
            Described::Named(word) => {
                let at = word_at(at, &word);
                if !self.is_filled_in(&word.text, at) {
                    return;
                }
                DescriptionDecl::Named(word.text.into_owned(), at)
            }
        };
        let study = node
            .study
            .map(|word| (word.text.to_string(), word_at(at, &word)));
        if let Some((name, at)) = &study
            && !self.is_filled_in(name, *at)
        {
            return;
        }
        if let Some(first) = self.declared.by_name.get(name) {
            let first = self.declared.nodes[*first as usize].at;
            let file = &self.read[first.file as usize];
            let line = file.lines[first.line as usize].number;
            let message = format!("the node `{}` is declared twice", name);
            let help = format!("it is first declared in {}, line {line}", file.source.file);
            let diagnostic = self.error(Code::DuplicateNode, name_at, message).help(help);
            self.diagnostics.push(diagnostic);
            return;
        }
        if self.declared.nodes.len() >= NODES_MAX {
            self.stop(at, format!("a DAG has at most {NODES_MAX} nodes"));
            return;
        }
        let index = narrow(self.declared.nodes.len());
        self.declared.by_name.insert(name.to_owned(), index);
        self.declared.nodes.push(NodeDecl {
            at: name_at,
            description,
            study,
            dir: node.dir.map(|dir| dir.text.into_owned()),
            mode: node.mode,
            done: node.done,
        });
    }

    fn description(&mut self, name: &Word<'_>, at: At) {
        let here = Inline {
            file: at.file,
            line: at.line,
        };
        let old = self
            .declared
            .descriptions
            .insert(name.text.to_string(), here);
        if old.is_some_and(|old| old != here) {
            let message = format!("the description `{}` is declared twice", name.text);
            let diagnostic = self.error(Code::DuplicateDescription, word_at(at, name), message);
            self.diagnostics.push(diagnostic);
        }
    }

    fn names(&mut self, words: &[Word<'_>], at: At) -> Vec<(String, At)> {
        let mut names = Vec::with_capacity(words.len());
        for word in words {
            let at = word_at(at, word);
            if self.is_filled_in(&word.text, at) {
                names.push((word.text.to_string(), at));
            }
        }
        names
    }

    fn include(&mut self, word: &Word<'_>, at: At, depth: usize) {
        let at = word_at(at, word);
        if !self.is_filled_in(&word.text, at) {
            return;
        }
        if depth >= NESTING_MAX {
            let message = format!("INCLUDE and FOREACH nest at most {NESTING_MAX} deep");
            let diagnostic = self.error(Code::IncludeTooDeep, at, message);
            self.diagnostics.push(diagnostic);
            return;
        }
        let path = join(&self.dir, &word.text);
        let file = match self.by_path.get(&path) {
            Some(file) => Some(*file),
            None => match self.files.read(&path) {
                Ok(text) => self.split(&path, text),
                Err(reason) => {
                    let message = format!("`{path}` cannot be included: {reason}");
                    let diagnostic = self.error(Code::DagUnreadable, at, message);
                    self.diagnostics.push(diagnostic);
                    None
                }
            },
        };
        if let Some(file) = file {
            let all = 0..self.read[file as usize].lines.len();
            self.walk(file, all, at.frame, depth + 1);
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
            let message = format!("INCLUDE and FOREACH nest at most {NESTING_MAX} deep");
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

    fn is_node_name(&mut self, name: &str, at: At) -> bool {
        if !self.is_filled_in(name, at) {
            return false;
        }
        let problem = if is_keyword(name, "ALL_NODES") {
            "is a reserved word"
        } else if name.contains(char::is_whitespace) {
            "has white space, which a node name may not have"
        } else if name.len() > NODE_NAME_BYTES_MAX {
            "is longer than a node name may be"
        } else {
            return true;
        };
        let shown: String = name.chars().take(64).collect();
        let diagnostic = self.error(Code::BadNodeName, at, format!("`{shown}` {problem}"));
        self.diagnostics.push(diagnostic);
        false
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
