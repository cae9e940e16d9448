//! A DAG file as logical lines: continuations joined, comments gone, inline descriptions cut out,
//! FOREACH paired with END.

use std::borrow::Cow;

use super::command::may_open_inline;
use super::keyword::Keyword;
use super::words::Cursor;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Source, Span, narrow};

/// A file and its lines.
pub(super) struct FileLines {
    pub source: Source,
    pub lines: Vec<Line>,
    /// What is wrong with lines as lines.
    pub faults: Vec<LineFault>,
}

/// What is wrong with a whole line.
pub(super) struct LineFault {
    /// The index of the line.
    pub line: u32,
    code: Code,
    pub message: String,
}

/// A logical line.
pub(super) struct Line {
    text: LineText,
    /// The line number on which it begins.
    pub number: u32,
    /// The one on which it ends, where it is continued: the one that DAGMan names.
    pub number_last: u32,
    pub kind: LineKind,
}

enum LineText {
    Plain(Span),
    /// Continued over lines. From bytes of the text to bytes of the source, a pair per part.
    Joined {
        text: String,
        map: Vec<(u32, u32)>,
    },
}

pub(super) enum LineKind {
    Command,
    /// A command that the file's end cut off while it was to be continued. DAGMan does not read it.
    Cut,
    /// A command with an inline description: its lines, and what follows its closing token.
    Inline {
        body: Span,
        body_line: u32,
        tail: Span,
    },
    /// The index of its END.
    Foreach {
        end: u32,
    },
    /// The END of a FOREACH.
    End,
    /// Reported already.
    Broken,
}

impl FileLines {
    pub fn text<'a>(&'a self, line: &'a Line) -> &'a str {
        match &line.text {
            LineText::Plain(span) => self.slice(*span),
            LineText::Joined { text, .. } => text,
        }
    }

    pub fn slice(&self, span: Span) -> &str {
        &self.source.text[span.start as usize..span.end as usize]
    }

    /// Bytes of a line as bytes of the source.
    pub fn span(&self, line: &Line, start: usize, end: usize) -> Span {
        let first = self.offset(line, start);
        let last = if end > start {
            self.offset(line, end - 1) + 1
        } else {
            first
        };
        Span::new(first, last.max(first))
    }

    pub fn diagnostic(&self, fault: &LineFault) -> Diagnostic {
        let line = &self.lines[fault.line as usize];
        let span = self.span(line, 0, self.text(line).trim_end().len());
        let diagnostic = self.source.error(fault.code, span, fault.message.clone());
        match line.kind {
            LineKind::Cut => diagnostic.warning(),
            LineKind::Command
            | LineKind::Inline { .. }
            | LineKind::Foreach { .. }
            | LineKind::End
            | LineKind::Broken => diagnostic,
        }
    }

    fn offset(&self, line: &Line, at: usize) -> usize {
        match &line.text {
            LineText::Plain(span) => span.start as usize + at,
            LineText::Joined { map, .. } => {
                let at = narrow(at);
                let place = map.partition_point(|(text, _)| *text <= at);
                let (text, source) = place.checked_sub(1).map_or((0, 0), |place| map[place]);
                (source + (at - text)) as usize
            }
        }
    }
}

/// Splits a file.
pub(super) fn split(source: Source) -> FileLines {
    let text = source.text.clone();
    let mut splitter = Splitter {
        file: FileLines {
            source,
            lines: Vec::new(),
            faults: Vec::new(),
        },
        raw: RawLines {
            text: &text,
            at: 0,
            number: 0,
        },
        open: Vec::new(),
    };
    while let Some(line) = splitter.logical() {
        splitter.line(line);
    }
    for at in std::mem::take(&mut splitter.open) {
        splitter.report(at, Code::ForeachNotClosed, "this FOREACH has no END");
    }
    splitter.file
}

/// A continued line on its way: text, map, and the number of its first line.
type Joined = (String, Vec<(u32, u32)>, u32);

struct Splitter<'t> {
    file: FileLines,
    raw: RawLines<'t>,
    /// The FOREACH lines that wait for their END.
    open: Vec<usize>,
}

struct RawLines<'t> {
    text: &'t str,
    at: usize,
    /// Of the line last taken, 1-based.
    number: u32,
}

impl<'t> Iterator for RawLines<'t> {
    type Item = Span;

    /// The next line without its end and the white space around it.
    fn next(&mut self) -> Option<Span> {
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |len| start + len);
        self.at = (end + 1).min(self.text.len());
        self.number += 1;
        let line = &self.text[start..end];
        let trimmed = line.trim();
        let lead = line.len() - line.trim_start().len();
        Some(Span::new(start + lead, start + lead + trimmed.len()))
    }
}

impl<'t> Splitter<'t> {
    fn str_of(&self, span: Span) -> &'t str {
        &self.raw.text[span.start as usize..span.end as usize]
    }

    /// The next line that is neither empty nor a comment, its continuations joined with a space.
    fn logical(&mut self) -> Option<Line> {
        let mut joined: Option<Joined> = None;
        loop {
            let Some(span) = self.raw.next() else {
                let (text, map, number) = joined?;
                let line = Line {
                    text: LineText::Joined { text, map },
                    number,
                    number_last: self.raw.number,
                    kind: LineKind::Cut,
                };
                self.file.lines.push(line);
                let at = self.file.lines.len() - 1;
                self.report(
                    at,
                    Code::OpenContinuation,
                    "the file ends in a continued line",
                );
                return None;
            };
            let text = self.str_of(span);
            if text.is_empty() || text.starts_with('#') || text.starts_with("//") {
                continue;
            }
            let number = self.raw.number;
            let Some(part) = text.strip_suffix('\\') else {
                let text = match joined {
                    None => {
                        return Some(Line {
                            text: LineText::Plain(span),
                            number,
                            number_last: number,
                            kind: LineKind::Command,
                        });
                    }
                    Some((mut joined, mut map, first)) => {
                        map.push((narrow(joined.len()), span.start));
                        joined.push_str(text);
                        Line {
                            text: LineText::Joined { text: joined, map },
                            number: first,
                            number_last: number,
                            kind: LineKind::Command,
                        }
                    }
                };
                return Some(text);
            };
            let (text, map, _) = joined.get_or_insert_with(|| (String::new(), Vec::new(), number));
            map.push((narrow(text.len()), span.start));
            text.push_str(part);
            text.push(' ');
        }
    }

    fn line(&mut self, mut line: Line) {
        let text = match &line.text {
            LineText::Plain(span) => Cow::Borrowed(self.str_of(*span)),
            LineText::Joined { text, .. } => Cow::Owned(text.clone()),
        };
        let mut words = Cursor::new(&text);
        let first = words.word().ok().flatten();
        let keyword = first.and_then(|word| Keyword::of(&word.text));
        let at = self.file.lines.len();
        if keyword == Some(Keyword::Foreach) {
            self.open.push(at);
            // The END is filled in when it is met; without one the FOREACH has no lines.
            line.kind = LineKind::Foreach { end: narrow(at) };
        } else if keyword == Some(Keyword::End) {
            match self.open.pop() {
                Some(open) => {
                    self.file.lines[open].kind = LineKind::Foreach { end: narrow(at) };
                    line.kind = LineKind::End;
                }
                None => {
                    line.kind = LineKind::Broken;
                    self.file.lines.push(line);
                    self.report(at, Code::EndWithoutForeach, "this END closes no FOREACH");
                    return;
                }
            }
        } else if let Some(opening) = keyword.and_then(|keyword| opening(keyword, &mut words)) {
            self.file.lines.push(line);
            self.inline(at, &opening);
            return;
        }
        self.file.lines.push(line);
    }

    /// Takes the lines of an inline description.
    fn inline(&mut self, at: usize, opening: &str) {
        let token = match opening.strip_prefix("@=") {
            Some("") => {
                self.file.lines[at].kind = LineKind::Broken;
                self.report(at, Code::InlineNotClosed, "`@=` without a closing word");
                return;
            }
            Some(tag) => format!("@{tag}"),
            None => "}".to_owned(),
        };
        let body_start = self.raw.at;
        let body_line = self.raw.number + 1;
        loop {
            let line_start = self.raw.at;
            let Some(span) = self.raw.next() else {
                self.file.lines[at].kind = LineKind::Broken;
                let message =
                    format!("the inline description is not closed by a line with `{token}`");
                self.report(at, Code::InlineNotClosed, &message);
                return;
            };
            let tail = self.str_of(span).strip_prefix(&token);
            if let Some(tail) = tail.filter(|tail| tail.is_empty() || tail.starts_with(' ')) {
                let tail = Span::new(span.end as usize - tail.len(), span.end as usize);
                let body = Span::new(body_start, line_start);
                self.file.lines[at].kind = LineKind::Inline {
                    body,
                    body_line,
                    tail,
                };
                return;
            }
        }
    }

    fn report(&mut self, at: usize, code: Code, message: &str) {
        self.file.faults.push(LineFault {
            line: narrow(at),
            code,
            message: message.to_owned(),
        });
    }
}

/// The word that opens an inline description, after the command's own word.
fn opening(keyword: Keyword, words: &mut Cursor<'_>) -> Option<String> {
    let name = words.word().ok()??;
    if !may_open_inline(keyword, &name.text) {
        return None;
    }
    // Quotes around the opening are dropped for a node, and kept for a shared description.
    let mut next = || match keyword == Keyword::SubmitDescription {
        true => words.word(),
        false => words.unquoted(),
    };
    let mut word = next().ok()??.text;
    while word.is_empty() {
        word = next().ok()??.text;
    }
    (word.starts_with('{') || word.starts_with("@=")).then(|| word.into_owned())
}
