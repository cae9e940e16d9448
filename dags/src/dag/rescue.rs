//! Rescue and save-point files in DAGMan's partial format: how one is written, read and named.
//! Where they lie and when they are written is a run's business.

use std::fmt::Write as _;

use super::command::{self, Command};
use super::keyword::Keyword;
use super::lines::{self, LineKind};
use super::words::{Cursor, Word, is_keyword};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span};

/// The version of the format.
pub const VERSION: &str = "2.1.0";
/// The highest number of a rescue file; with it the last one is written over.
pub const NUMBER_MAX: u32 = 999;

/// What a file tells of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rescue<'a> {
    /// The DAG file.
    pub dag: &'a str,
    pub kind: Kind<'a>,
    /// `11/26/2026 05:06:07 UTC`: month, day and year without leading zeros.
    pub created: &'a str,
    /// Nodes in all, joins not among them.
    pub nodes: u64,
    /// Names of those that succeeded, in the order of the DAG. No FINAL node, no join.
    pub done: Vec<&'a str>,
    /// Names of those that failed.
    pub failed: Vec<&'a str>,
    /// Names with the retries that are left to them, where they are not to be given anew.
    pub retries: Vec<(&'a str, u32)>,
}

/// Why a file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind<'a> {
    /// The run ended without success.
    #[default]
    Rescue,
    /// The node with this name started.
    SavePoint(&'a str),
}

impl Rescue<'_> {
    /// The file's text.
    #[must_use]
    pub fn write(&self) -> String {
        let mut text = match self.kind {
            Kind::Rescue => format!(
                "# Rescue DAG file, created after running\n#   the {} DAG file\n",
                self.dag
            ),
            Kind::SavePoint(node) => format!(
                "# Save file, created at the start of the node {node}\n#   of the {} DAG file\n",
                self.dag
            ),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# Created {}", self.created);
        let _ = writeln!(text, "# Rescue DAG version: {VERSION} (partial)\n#");
        let _ = writeln!(text, "# Total number of Nodes: {}", self.nodes);
        let _ = writeln!(text, "# Nodes premarked DONE: {}", self.done.len());
        let _ = writeln!(text, "# Nodes that failed: {}", self.failed.len());
        text.push_str("#   ");
        for name in &self.failed {
            let _ = write!(text, "{name},");
        }
        text.push_str("<ENDLIST>\n\n");
        for name in &self.done {
            let _ = writeln!(text, "DONE {name}");
        }
        for (name, left) in &self.retries {
            let _ = writeln!(text, "RETRY {name} {left}");
        }
        text
    }
}

/// The path of a rescue file: `x.dag.rescue007`.
#[must_use]
pub fn path(dag: &str, number: u32) -> String {
    format!("{dag}.rescue{number:03}")
}

/// The number of a file's name, where it is a rescue file of the DAG file named.
#[must_use]
pub fn number(dag_name: &str, name: &str) -> Option<u32> {
    let digits = name.strip_prefix(dag_name)?.strip_prefix(".rescue")?;
    let number = (digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())??;
    (number > 0).then_some(number)
}

/// The highest number of a DAG file's rescue files among the names of its directory: the one that a
/// new run goes on from.
#[must_use]
pub fn latest<'a>(dag_name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<u32> {
    let numbers = names.into_iter().filter_map(|name| number(dag_name, name));
    numbers.max()
}

/// The number for the next one, `max` at most: DAGMan's default is 100, [`NUMBER_MAX`] the highest.
#[must_use]
pub fn next<'a>(dag_name: &str, names: impl IntoIterator<Item = &'a str>, max: u32) -> u32 {
    let max = max.clamp(1, NUMBER_MAX);
    let latest = latest(dag_name, names).unwrap_or(0);
    latest.saturating_add(1).min(max)
}

/// What a rescue file says of one node.
pub(super) struct Line {
    pub node: String,
    pub says: Says,
    /// The byte of its text and the length where the node is named.
    pub span: Span,
}

pub(super) enum Says {
    Done,
    Retry(u32),
}

/// Reads a rescue file. In a full one, as old DAGMans wrote, only what is done and what is left of
/// retries counts: the DAG itself is in its own file.
pub(super) fn read(path: &str, text: String) -> (Vec<Line>, Source, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let file = lines::split(Source::new(path, text));
    for fault in &file.faults {
        diagnostics.push(file.diagnostic(fault));
    }
    let mut found = Vec::new();
    for line in &file.lines {
        match line.kind {
            LineKind::Command | LineKind::Inline { .. } | LineKind::Cut => {}
            LineKind::Foreach { .. } | LineKind::End | LineKind::Broken => continue,
        }
        let text = file.text(line);
        let mut say = |node: &Word<'_>, says: Says| {
            found.push(Line {
                node: node.text.to_string(),
                says,
                span: file.span(line, node.start, node.end),
            });
        };
        if let Some(node) = declared(text) {
            if node.1 {
                say(&node.0, Says::Done);
            }
            continue;
        }
        match command::parse(text, None, &mut Vec::new()) {
            Ok(Command::Done { node }) => say(&node, Says::Done),
            Ok(Command::Retry { node, max, .. }) => say(&node, Says::Retry(max)),
            Ok(_) => {}
            Err(fault) => {
                let span = file.span(line, fault.start, fault.end);
                diagnostics.push(file.source.error(fault.code, span, fault.message));
            }
        }
    }
    (found, file.source, diagnostics)
}

/// The node that a line of a full file declares, and whether it is done. Its name may have a `+`.
fn declared(text: &str) -> Option<(Word<'_>, bool)> {
    let mut words = Cursor::new(text);
    let command = Keyword::of(&words.word().ok()??.text)?;
    if command == Keyword::Subdag {
        words.word().ok()??;
    } else if ![
        Keyword::Job,
        Keyword::Final,
        Keyword::Provisioner,
        Keyword::Service,
    ]
    .contains(&command)
    {
        return None;
    }
    let name = words.word().ok()??;
    let mut done = false;
    while let Ok(Some(word)) = words.word() {
        done = is_keyword(&word.text, "DONE");
    }
    Some((name, done))
}

/// A complaint about a line.
pub(super) fn error(source: &Source, line: &Line, message: String) -> Diagnostic {
    source.error(Code::BadRescue, line.span, message)
}
