//! Ads and expressions as people keep them: finds out in which of the three forms a text is, cuts
//! it into ads, and says what is wrong with it under the text itself. Evaluates nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use classad::{AdError, ClassAd, Expr, ParseError};
use serde::Serialize;

use crate::exit::Failure;
use crate::output::one_line;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Most errors that are told of one file.
const PROBLEMS_MAX: usize = 50;
/// Characters of a line that are shown around a place.
const SHOWN_BEFORE_MAX: usize = 60;
const SHOWN_MAX: usize = 100;

/// A text and where it comes from.
pub struct Source {
    /// A file's name, or `expression`.
    pub name: String,
    pub text: String,
}

/// Something wrong at a place of a source.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// From 1; 0 where the text as a whole is meant.
    pub line: usize,
    /// In characters from 1; 0 where the line as a whole is meant.
    pub column: usize,
    pub message: String,
    /// The line, where there is one.
    #[serde(skip)]
    shown: Option<String>,
}

/// An ad's text and where it begins in its source.
struct Piece<'s> {
    text: &'s str,
    start: usize,
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    New,
    Long,
    Json,
}

impl Source {
    /// Reads a file; `-` is standard input.
    ///
    /// # Errors
    /// A file that cannot be read, or is larger than one may be.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
        let mut text = String::new();
        let read = if path == Path::new("-") {
            bounded(std::io::stdin().lock(), &mut text)
        } else {
            std::fs::File::open(path).and_then(|file| bounded(file, &mut text))
        };
        let bytes = read.map_err(|error| wrong(error.to_string()))?;
        if bytes as u64 > FILE_BYTES_MAX {
            return Err(wrong(format!(
                "the file has more than {FILE_BYTES_MAX} bytes (FILE_BYTES_MAX)"
            )));
        }
        Ok(Self {
            name: path.display().to_string(),
            text,
        })
    }

    /// An expression of the command line.
    pub fn expression(text: &str) -> Self {
        Self {
            name: "expression".to_owned(),
            text: text.to_owned(),
        }
    }

    /// The text as one expression in the new syntax.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn as_expr(&self) -> Result<Expr, Vec<Problem>> {
        Expr::parse(&self.text).map_err(|first| {
            let errors = Expr::errors(&self.text);
            let errors = if errors.is_empty() {
                vec![first]
            } else {
                errors
            };
            let problems = errors.into_iter().map(|error| self.at(&error, 0, None));
            problems.collect()
        })
    }

    /// Every ad of the text, in order.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn ads(&self) -> Result<Vec<ClassAd>, Vec<Problem>> {
        let form = Form::of(&self.text);
        let pieces = match form {
            Form::Json => return self.ads_of_json(),
            Form::New => self.new_pieces()?,
            Form::Long => long_pieces(&self.text),
        };
        let mut ads = Vec::with_capacity(pieces.len());
        let mut problems = Vec::new();
        for piece in &pieces {
            let read = match form {
                Form::New => ClassAd::parse(piece.text),
                Form::Long | Form::Json => ClassAd::parse_long(piece.text),
            };
            match read {
                Ok(ad) => ads.push(ad),
                Err(first) => problems.extend(self.problems(form, piece, first)),
            }
        }
        problems.truncate(PROBLEMS_MAX);
        if problems.is_empty() {
            Ok(ads)
        } else {
            Err(problems)
        }
    }

    fn problems(&self, form: Form, piece: &Piece<'_>, first: AdError) -> Vec<Problem> {
        let errors = match form {
            Form::New => ClassAd::errors(piece.text),
            Form::Long | Form::Json => ClassAd::errors_long(piece.text),
        };
        let errors = if errors.is_empty() {
            vec![first]
        } else {
            errors
        };
        let told = |error: AdError| match error {
            AdError::Syntax(source) => self.at(&source, piece.start, None),
            AdError::Expr { name, source, .. } => self.at(&source, piece.start, Some(&name)),
            AdError::Line { line, .. } => {
                let before = self.text[..piece.start].matches('\n').count();
                self.line(
                    before + line,
                    "the line is not of the form `Name = Expr`".to_owned(),
                )
            }
            AdError::NotAnObject { .. } | AdError::TooLong { .. } => {
                self.line(self.line_of(piece.start), error.to_string())
            }
        };
        errors.into_iter().map(told).collect()
    }

    /// `[…] […]`, or such ads in `{ … , … }`, as `condor_q -long:new` prints them.
    fn new_pieces(&self) -> Result<Vec<Piece<'_>>, Vec<Problem>> {
        let text = &self.text;
        let mut at = skip_blank(text, 0);
        let listed = text[at..].starts_with('{');
        if listed {
            at = skip_blank(text, at + 1);
        }
        let mut pieces = Vec::new();
        while at < text.len() {
            let rest = &text[at..];
            if listed && rest.starts_with(',') {
                at = skip_blank(text, at + 1);
                continue;
            }
            if listed && rest.starts_with('}') && text[at + 1..].trim().is_empty() {
                break;
            }
            if !rest.starts_with('[') {
                let message = "expected an ad, `[ … ]`".to_owned();
                return Err(vec![self.place(at, message)]);
            }
            let end = end_of_ad(rest).unwrap_or(rest.len());
            pieces.push(Piece {
                text: &rest[..end],
                start: at,
            });
            at = skip_blank(text, at + end);
        }
        Ok(pieces)
    }

    fn ads_of_json(&self) -> Result<Vec<ClassAd>, Vec<Problem>> {
        let mut ads = Vec::new();
        for document in serde_json::Deserializer::from_str(&self.text).into_iter() {
            let document: serde_json::Value = document.map_err(|error| {
                let mut problem = self.line(error.line(), format!("no JSON: {error}"));
                problem.column = error.column();
                vec![problem]
            })?;
            let listed = match document {
                serde_json::Value::Array(listed) => listed,
                other => vec![other],
            };
            for ad in listed {
                let number = ads.len() + 1;
                let read = ClassAd::from_json(&ad)
                    .map_err(|error| vec![self.line(0, format!("ad {number}: {error}"))])?;
                ads.push(read);
            }
        }
        Ok(ads)
    }

    fn at(&self, error: &ParseError, start: usize, attribute: Option<&str>) -> Problem {
        let message = match attribute {
            Some(name) => format!("attribute `{}`: {error}", one_line(name)),
            None => error.to_string(),
        };
        self.place(start + error.offset, message)
    }

    fn place(&self, offset: usize, message: String) -> Problem {
        let offset = offset.min(self.text.len());
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let mut problem = self.line(self.line_of(offset), message);
        problem.column = before[line_start..].chars().count() + 1;
        problem
    }

    /// A line as a whole; 0 is the whole text.
    fn line(&self, line: usize, message: String) -> Problem {
        let shown = line
            .checked_sub(1)
            .and_then(|skipped| self.text.lines().nth(skipped));
        Problem {
            line,
            column: 0,
            message,
            shown: shown.map(str::to_owned),
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.text.get(..offset).unwrap_or("").matches('\n').count() + 1
    }

    /// The problems as complaints, each with its line and a caret under the place.
    pub fn render(&self, problems: &[Problem]) -> String {
        let mut text = String::new();
        for (i, problem) in problems.iter().enumerate() {
            if i > 0 {
                text.push_str("\nerror: ");
            }
            text.push_str(&self.name);
            for number in [problem.line, problem.column] {
                if number > 0 {
                    let _ = write!(text, ":{number}");
                }
            }
            let _ = write!(text, ": {}", problem.message);
            if let Some(line) = &problem.shown {
                text.push_str(&under(line, problem.column));
            }
        }
        text
    }

    /// The problems as the reason why a command was not done.
    pub fn refused(&self, problems: &[Problem]) -> Failure {
        Failure::Usage(self.render(problems))
    }
}

impl Form {
    /// Seen from how the text begins: `[` and `{` begin ads in the new syntax and lists of them, but
    /// `{` before a quote and `[` before `{` are JSON. Everything else is long form.
    fn of(text: &str) -> Self {
        let at = skip_blank(text, 0);
        let mut rest = text[at..].chars();
        let first = rest.next();
        let second = text[skip_blank(text, (at + 1).min(text.len()))..]
            .chars()
            .next();
        match (first, second) {
            (Some('{'), Some('[')) => Self::New,
            (Some('{'), _) => Self::Json,
            (Some('['), Some('{')) => Self::Json,
            (Some('['), _) => Self::New,
            (_, _) => Self::Long,
        }
    }
}

/// The end of the ad with which a text begins: its last bracket, strings and comments left aside.
pub fn end_of_ad(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut open) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'[' => open += 1,
            b']' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return Some(at + 1);
                }
            }
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = text.get(at + 2..)?.find("*/")? + at + 3;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n')?;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// In long form an empty line ends an ad, as in the output of `condor_q -long`; but only if some
/// attribute comes again behind it, so that people can leave lines empty inside an ad.
fn long_pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    // Names between two empty lines, and where those lines begin.
    let mut block: BTreeSet<String> = BTreeSet::new();
    let (mut start, mut block_start, mut offset) = (0, 0, 0);
    let empty_line_at_the_end = ["\n"];
    for line in text.split_inclusive('\n').chain(empty_line_at_the_end) {
        if line.trim().is_empty() {
            if !names.is_disjoint(&block) {
                pieces.push(Piece {
                    text: &text[start..block_start],
                    start,
                });
                names.clear();
                start = block_start;
            }
            names.append(&mut block);
            block_start = offset + line.len();
        } else if let Some((name, _)) = line.split_once('=')
            && !line.trim_start().starts_with('#')
        {
            block.insert(name.trim().to_ascii_lowercase());
        }
        offset += line.len();
    }
    pieces.push(Piece {
        text: &text[start..],
        start,
    });
    pieces
}

/// The first offset from `from` on that is neither blank nor in a comment of the new syntax.
fn skip_blank(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = text[at..].trim_start();
        at = text.len() - rest.len();
        let comment = if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else if rest.starts_with("//") {
            Some(rest.find('\n').unwrap_or(rest.len()))
        } else {
            None
        };
        match comment {
            Some(bytes) => at += bytes,
            None => return at,
        }
    }
}

fn bounded(file: impl Read, text: &mut String) -> std::io::Result<usize> {
    file.take(FILE_BYTES_MAX + 1).read_to_string(text)
}

/// A line and a caret under its `column`, both cut to what fits; the line alone without a column.
fn under(line: &str, column: usize) -> String {
    let skipped = column.saturating_sub(SHOWN_BEFORE_MAX + 1);
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(SHOWN_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let caret = column
        .checked_sub(1)
        .map(|before| format!("\n  {}^", " ".repeat(before - skipped)));
    format!("\n  {}{}", shown.trim_end(), caret.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            name: "f".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn ads_are_found_in_every_form() {
        let rows = [
            ("", 1),
            ("a = 1\nb = 2", 1),
            ("a = 1\n\nb = 2\n", 1),
            ("a = 1\n\na = 2\n\n\na = 3", 3),
            ("# a\nA = 1\nb = 1\n\nc = 1\n\na = 2\nb = 2\n", 2),
            ("[]", 1),
            (" [ a = \"]\"; b = ']' ] /* ] */", 1),
            ("[a = [b = 1]]\n[a = 2]", 2),
            ("{\n[ a = 1 ]\n,\n[ a = 2 ]\n}\n", 2),
            ("{ \"a\": 1 }", 1),
            ("{}", 1),
            ("{\"a\": 1}\n{\"a\": 2}\n", 2),
            ("[\n{\"a\": 1},\n{\"a\": 2}\n]\n", 2),
        ];
        for (text, count) in rows {
            let source = source(text);
            match source.ads() {
                Ok(ads) => assert_eq!(ads.len(), count, "{text:?}"),
                Err(problems) => panic!("{}", source.render(&problems)),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_under_its_text() {
        let rows = [
            ("a = 1\nb = )\n", "f:2:5: ", "\n  b = )\n      ^"),
            (
                "a = 1\nwhat\n",
                "f:2: the line is not of the form",
                "\n  what",
            ),
            (
                "[ a = 1 ]\n[ b = * ]",
                "f:2:7: ",
                "\n  [ b = * ]\n        ^",
            ),
            ("[ a = 1 ] x", "f:1:11: expected an ad", "^"),
            ("{\"a\": }", "f:1:7: no JSON", ""),
            ("[{\"a\": 1}, 2]", "f: ad 2: an ad in JSON must be", ""),
        ];
        for (text, head, tail) in rows {
            let source = source(text);
            let told = source.render(&source.ads().unwrap_err());
            assert!(told.starts_with(head), "{text:?}: {told}");
            assert!(told.contains(tail), "{text:?}: {told}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_its_place() {
        let text = format!("{}) + 1", "1 + ".repeat(100));
        let source = Source::expression(&text);
        let told = source.render(&source.as_expr().unwrap_err());
        let lines: Vec<&str> = told.lines().collect();
        let caret = lines[2].chars().count() - 1;
        assert_eq!(lines[1].chars().nth(caret), Some(')'), "{told}");
        assert!(lines[1].chars().count() <= SHOWN_MAX + 2, "{told}");
    }
}
