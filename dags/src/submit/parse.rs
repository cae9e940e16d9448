//! From text to statements: logical lines, includes, assignments, the shape of `if` and `queue`.
//!
//! Nothing is expanded here but the names of included files.

use super::condition;
use super::environment;
use super::macros::ENVIRONMENT;
use super::queue::{self, Queue};
use super::run;
use super::submission;
use super::{
    Assign, ItemFile, Macros, NESTING_MAX, Place, STATEMENTS_MAX, SUBMIT_BYTES_MAX, Statement,
    StatementKind, Submit,
};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::files::Files;
use crate::source::{Source, Span, narrow};

/// Words that open a statement other than an assignment.
const KEYWORDS: [&str; 8] = [
    "queue", "if", "elif", "else", "endif", "include", "error", "warning",
];

/// Reads a description with its includes; see [`Submit::parse`].
pub(super) fn submit(source: Source, files: &dyn Files) -> (Submit, Diagnostics) {
    let submit = Submit {
        file: source.file.clone(),
        sources: Vec::new(),
        statements: Vec::new(),
        item_files: std::collections::BTreeMap::new(),
        answers: Macros::new(),
        used_elsewhere: std::collections::BTreeSet::new(),
    };
    let mut parser = Parser {
        submit,
        files,
        diagnostics: Diagnostics::new(),
        bytes: 0,
        ifs: Vec::new(),
    };
    parser.source(source, 0);
    let Parser {
        mut submit,
        diagnostics,
        ..
    } = parser;
    for name in submit.asks_submitter() {
        if let Some(value) = files.submitter(&name) {
            submit.answers.insert_before(&name, value);
        }
    }
    let patterns = submission::wanted_environment(&submit);
    if !patterns.is_empty() {
        for (name, value) in files.environment() {
            let mut wanted = patterns.iter();
            if wanted.any(|pattern| environment::is_wanted(pattern, &name, &value)) {
                let name = format!("{ENVIRONMENT}{name}");
                submit.answers.insert_before(&name, value);
            }
        }
    }
    if !diagnostics.has_errors() {
        submit.load_items(&Macros::new(), files);
        // A name that depends on macros not given here is read when they are.
        submit
            .item_files
            .retain(|_, found| matches!(found, ItemFile::Text(_)));
    }
    (submit, diagnostics)
}

struct Parser<'a> {
    submit: Submit,
    files: &'a dyn Files,
    diagnostics: Diagnostics,
    bytes: usize,
    /// The open `if`s: where each stands, and whether its `else` was met.
    ifs: Vec<OpenIf>,
}

struct OpenIf {
    branch: Branch,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Branch {
    Then,
    Else,
}

/// A logical line: continued lines joined, with the way back to the source.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub text: String,
    /// From bytes of `text` to bytes of the source.
    pub map: Vec<(u32, u32)>,
}

/// Walks the lines of one source.
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl Line {
    pub fn source_at(&self, offset: usize) -> usize {
        source_at(&self.map, offset)
    }

    pub fn span(&self, start: usize, end: usize) -> Span {
        let first = self.source_at(start);
        let last = if end > start {
            self.source_at(end - 1) + 1
        } else {
            first
        };
        Span::new(first, last.max(first))
    }

    /// The pairs of the map for a part of the line.
    fn map_from(&self, start: usize, end: usize) -> Vec<(u32, u32)> {
        let mut map = vec![(0, narrow(self.source_at(start)))];
        for (text, source) in &self.map {
            let text = *text as usize;
            if text > start && text < end {
                map.push((narrow(text - start), *source));
            }
        }
        map
    }
}

/// The byte of the source that a byte of a joined text came from.
pub(super) fn source_at(map: &[(u32, u32)], offset: usize) -> usize {
    let offset = narrow(offset);
    let place = map.partition_point(|(text, _)| *text <= offset);
    match place.checked_sub(1).and_then(|at| map.get(at)) {
        Some((text, source)) => (source + (offset - text)) as usize,
        None => offset as usize,
    }
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next raw line and where it starts, without its end.
    pub fn raw(&mut self) -> Option<(usize, &'a str)> {
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |n| start + n);
        self.at = (end + 1).min(self.text.len());
        Some((start, self.text[start..end].trim_end_matches('\r')))
    }

    /// The next logical line that is neither empty nor a comment. Continued parts are joined as
    /// they stand, without the white space that opens them; comments among them are dropped.
    pub fn logical(&mut self) -> Option<Line> {
        let mut line = Line::default();
        loop {
            let Some((start, raw)) = self.raw() else {
                return (!line.text.is_empty()).then_some(line);
            };
            let body = raw.trim_start();
            // A comment line among continued ones goes on where it ends in `\` itself.
            let ends = !line.text.is_empty() && !body.trim_end().ends_with('\\');
            if body.starts_with('#') && ends {
                line.text.truncate(line.text.trim_end().len());
                return Some(line);
            }
            if body.starts_with('#') || (body.is_empty() && line.map.is_empty()) {
                continue;
            }
            line.map.push((
                narrow(line.text.len()),
                narrow(start + raw.len() - body.len()),
            ));
            match body.trim_end().strip_suffix('\\') {
                Some(continued) => line.text.push_str(continued),
                None => {
                    line.text.push_str(body.trim_end());
                    if line.text.is_empty() {
                        line = Line::default();
                        continue;
                    }
                    return Some(line);
                }
            }
        }
    }
}

impl Parser<'_> {
    /// Reads one source; `depth` counts the includes around it.
    fn source(&mut self, source: Source, depth: usize) {
        self.bytes += source.text.len();
        let index = narrow(self.submit.sources.len());
        let text = source.text.clone();
        self.submit.sources.push(source);
        if self.bytes > SUBMIT_BYTES_MAX {
            let message = format!(
                "a submit description is at most {SUBMIT_BYTES_MAX} bytes with its includes"
            );
            self.diagnostics.push(Diagnostic::of_file(
                Code::SubmitTooLarge,
                &self.submit.file,
                message,
            ));
            return;
        }
        let ifs_before = self.ifs.len();
        let mut lines = Lines::new(&text);
        while let Some(line) = lines.logical() {
            if self.submit.statements.len() >= STATEMENTS_MAX {
                let message =
                    format!("a submit description has at most {STATEMENTS_MAX} statements");
                self.error(
                    index,
                    Code::SubmitTooLarge,
                    line.span(0, line.text.len()),
                    message,
                );
                return;
            }
            self.line(index, &line, &mut lines, depth);
        }
        // HTCondor accepts an `if` that the end of the file closes.
        for _ in ifs_before..self.ifs.len() {
            self.statement(
                index,
                Span::new(text.len(), text.len()),
                StatementKind::Endif,
            );
        }
        self.ifs.truncate(ifs_before);
    }

    fn line(&mut self, source: u32, line: &Line, lines: &mut Lines<'_>, depth: usize) {
        let word_end = line
            .text
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(line.text.len());
        let word = line.text[..word_end].to_ascii_lowercase();
        let rest = line.text[word_end..].trim_start();
        let rest_at = line.text.len() - rest.len();
        // `queue = 3` and `if = 3` are assignments: to names that nobody should choose.
        let is_assignment = rest.starts_with('=') || rest.starts_with("@=");
        if is_assignment || !KEYWORDS.contains(&word.as_str()) {
            self.assignment(source, line, lines);
            return;
        }
        match word.as_str() {
            "queue" => self.queue(source, line, rest_at, lines),
            "if" | "elif" | "else" | "endif" => self.conditional(source, line, &word, rest_at),
            "include" => self.include(source, line, rest_at, depth),
            _ => self.message(source, line, &word, rest_at, lines),
        }
    }

    fn conditional(&mut self, source: u32, line: &Line, word: &str, rest_at: usize) {
        let rest = line.text[rest_at..].to_owned();
        let span = line.span(0, line.text.len());
        if word == "if" {
            if self.ifs.len() >= NESTING_MAX {
                let message = format!("`if` nests at most {NESTING_MAX} deep");
                self.error(source, Code::IfSyntax, span, message);
            }
            self.ifs.push(OpenIf {
                branch: Branch::Then,
            });
        }
        let Some(open) = self.ifs.last_mut() else {
            let message = format!("`{word}` without an `if` before it");
            self.error(source, Code::IfSyntax, span, message);
            return;
        };
        let kind = match word {
            "if" => StatementKind::If(rest),
            "endif" => {
                self.ifs.pop();
                StatementKind::Endif
            }
            _ if open.branch == Branch::Else => {
                let message = format!("`{word}` after the `else` of the same `if`");
                self.error(source, Code::IfSyntax, span, message);
                return;
            }
            "elif" => StatementKind::Elif(rest),
            _ => {
                open.branch = Branch::Else;
                StatementKind::Else
            }
        };
        if let StatementKind::If(condition) | StatementKind::Elif(condition) = &kind
            && let Err(message) = condition::check(condition)
        {
            let span = line.span(rest_at.min(line.text.len()), line.text.len());
            let diagnostic = self.at(source, Code::IfSyntax, span, message);
            self.diagnostics.push(diagnostic.expected(condition::FORMS));
        }
        self.statement(source, span, kind);
    }

    /// `error : text` and `warning : text`, effective where the description reaches them.
    fn message(
        &mut self,
        source: u32,
        line: &Line,
        word: &str,
        rest_at: usize,
        lines: &mut Lines<'_>,
    ) {
        let Some(text) = line.text[rest_at..].strip_prefix(':') else {
            self.assignment(source, line, lines);
            return;
        };
        let text = text.trim().to_owned();
        let kind = match word {
            "error" => StatementKind::Error(text),
            _ => StatementKind::Warning(text),
        };
        self.statement(source, line.span(0, line.text.len()), kind);
    }

    fn include(&mut self, source: u32, line: &Line, rest_at: usize, depth: usize) {
        let span = line.span(0, line.text.len());
        let Some((options, name)) = line.text[rest_at..].split_once(':') else {
            let diagnostic = self.at(
                source,
                Code::IncludeFailed,
                span,
                "`include` without a `:`".into(),
            );
            self.diagnostics
                .push(diagnostic.expected("`include : file` or `include ifexist : file`"));
            return;
        };
        let options = options.trim().to_ascii_lowercase();
        if options.starts_with("command") || name.trim_end().ends_with('|') {
            let message = "`include` of a command's output is not supported".to_owned();
            self.error(source, Code::IncludeFailed, span, message);
            return;
        }
        if !options.is_empty() && options != "ifexist" {
            let message = format!("`include {options}` is not known");
            self.error(source, Code::IncludeFailed, span, message);
            return;
        }
        if depth + 1 >= NESTING_MAX {
            let message = format!("`include` nests at most {NESTING_MAX} deep");
            self.error(source, Code::IncludeFailed, span, message);
            return;
        }
        self.submit.ask(name, self.files);
        match run::expand_now(&self.submit, name.trim()) {
            Err(message) => self.error(source, Code::IncludeFailed, span, message),
            Ok(name) if options == "ifexist" && !self.files.exists(&name) => {}
            Ok(name) => match self.files.read(&name) {
                Ok(text) => self.source(Source::new(&name, text), depth + 1),
                Err(reason) => {
                    let message = format!("`{name}` cannot be included: {reason}");
                    self.error(source, Code::IncludeFailed, span, message);
                }
            },
        }
    }

    fn assignment(&mut self, source: u32, line: &Line, lines: &mut Lines<'_>) {
        let all = line.span(0, line.text.len());
        let Some(equals) = line.text.find('=') else {
            self.not_a_statement(source, line);
            return;
        };
        let (head, block) = match line.text[..equals].strip_suffix('@') {
            Some(head) => (head.trim_end(), true),
            None => (line.text[..equals].trim_end(), false),
        };
        let name = match head.strip_prefix('+') {
            Some(attribute) => format!("MY.{}", attribute.trim_start()),
            None => head.to_owned(),
        };
        // What is no name of an attribute is refused where the job is put together.
        let plain = match head.starts_with('+') {
            true => name.replace('-', "_"),
            false => name.clone(),
        };
        if !is_name(&plain) {
            let message = match name.is_empty() {
                true => "an assignment without a name".to_owned(),
                false => format!("`{head}` is not a name"),
            };
            let diagnostic = self.at(
                source,
                Code::SubmitSyntax,
                line.span(0, head.len().max(1)),
                message,
            );
            self.diagnostics.push(
                diagnostic.expected("`name = value`, letters, digits, `_` and `.` in the name"),
            );
            return;
        }
        let (value, map) = if block {
            let Some(found) = self.block(source, line, equals, lines) else {
                return;
            };
            found
        } else {
            let value = line.text[equals + 1..].trim();
            let start = line.text.len() - line.text[equals + 1..].trim_start().len();
            (value.to_owned(), line.map_from(start, start + value.len()))
        };
        let key = name.to_ascii_lowercase();
        self.statement(
            source,
            all,
            StatementKind::Assign(Assign {
                name,
                key,
                value,
                map,
            }),
        );
    }

    /// `name @=tag`: the logical lines up to one that is `@tag`.
    fn block(
        &mut self,
        source: u32,
        line: &Line,
        equals: usize,
        lines: &mut Lines<'_>,
    ) -> Option<(String, Vec<(u32, u32)>)> {
        let tag = line.text[equals + 1..].trim();
        let mut value = String::new();
        let mut map = Vec::new();
        while !tag.is_empty() {
            let Some(line) = lines.logical() else {
                break;
            };
            if line.text.trim().strip_prefix('@') == Some(tag) {
                return Some((value, map));
            }
            if !map.is_empty() {
                value.push('\n');
            }
            let at = value.len();
            let places = line.map.iter();
            map.extend(places.map(|(text, source)| (narrow(at) + text, *source)));
            value.push_str(line.text.trim());
        }
        let message = match tag.is_empty() {
            true => "`@=` without a closing word".to_owned(),
            false => format!("the lines of this value are not closed by `@{tag}`"),
        };
        self.error(
            source,
            Code::SubmitSyntax,
            line.span(0, line.text.len()),
            message,
        );
        None
    }

    fn queue(&mut self, source: u32, line: &Line, rest_at: usize, lines: &mut Lines<'_>) {
        let span = line.span(0, line.text.len());
        let args = line.text[rest_at.min(line.text.len())..].to_owned();
        let body = if queue::is_open(&args) {
            let Some(body) = queue::body(lines) else {
                let message = "the list of this `queue` is not closed by `)`".to_owned();
                self.error(source, Code::QueueSyntax, span, message);
                return;
            };
            body
        } else {
            Vec::new()
        };
        match Queue::new(args, body) {
            Ok(queue) => self.statement(source, span, StatementKind::Queue(queue)),
            Err(message) => {
                let diagnostic = self.at(source, Code::QueueSyntax, span, message);
                self.diagnostics.push(diagnostic.expected(queue::FORMS));
            }
        }
    }

    fn not_a_statement(&mut self, source: u32, line: &Line) {
        let word = line.text.split_whitespace().next().unwrap_or_default();
        let message = "this line is neither `name = value` nor a statement".to_owned();
        let diagnostic = self.at(
            source,
            Code::SubmitSyntax,
            line.span(0, line.text.len()),
            message,
        );
        self.diagnostics
            .push(diagnostic.suggest(did_you_mean(word, KEYWORDS)));
    }

    fn statement(&mut self, source: u32, span: Span, kind: StatementKind) {
        self.submit.statements.push(Statement {
            place: Place { source, span },
            kind,
        });
    }

    fn at(&self, source: u32, code: Code, span: Span, message: String) -> Diagnostic {
        self.submit.sources[source as usize].error(code, span, message)
    }

    fn error(&mut self, source: u32, code: Code, span: Span, message: String) {
        let diagnostic = self.at(source, code, span, message);
        self.diagnostics.push(diagnostic);
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}
