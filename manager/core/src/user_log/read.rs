//! Reading a log back as HTCondor's reader does: where events begin and end, their first lines, and
//! what is left for later because it is not written yet. What stands in an event is in `body`.
//!
//! It takes whole lines of what is there and asks for no more: the caller opens the file, keeps
//! [`Reader::consumed`], and comes again with more bytes.

mod body;
mod scan;
mod table;

use std::fmt;

use classad::ClassAd;

use super::kinds::{is_ep, my_type, name};
use super::local_time::LocalTime;
use scan::{Lines, Scan};
use table::Columns;

/// As much of an event's first line HTCondor's reader takes at once; the rest is a line of its own.
const HEAD_BYTES: usize = 1023;

/// Reads the events of a log one by one.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
    year: i32,
}

/// What comes next in a log.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An event.
    Event(Box<Record>),
    /// Lines up to an event's end that are no event of the number they begin with. They are
    /// behind the reader now.
    Broken(Broken),
    /// A line that begins no event, the line's number. It is behind the reader now; HTCondor's
    /// reader stops here and goes on when it is asked again.
    Stray(u64),
    /// Nothing more, or nothing yet: what is left is not a whole event.
    Waiting,
    /// The file is no event log in text form: it is one in the other forms, or none at all.
    Foreign,
}

/// An event as HTCondor's reader understands it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub number: u16,
    pub cluster: i64,
    pub proc: i64,
    pub subproc: i64,
    pub at: LoggedTime,
    /// Every field by HTCondor's name for it, `EventTypeNumber`, `MyType`, `EventTime`, `Cluster`,
    /// `Proc` and `Subproc` among them.
    pub attrs: ClassAd,
    /// The number of its first line.
    pub line: u64,
}

/// When an event happened, as far as the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedTime {
    pub time: LocalTime,
    /// Millionths of a second.
    pub micros: u32,
    pub stated: Stated,
}

/// Which zone a time of the log is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    /// That of whoever wrote it.
    Local,
    /// A `Z` stands behind it.
    Utc,
}

/// An event that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The number of its first line.
    pub line: u64,
    pub number: u16,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start. `year` is the one of dates without a year, `MM/DD`.
    pub fn new(bytes: &'a [u8], year: i32) -> Reader<'a> {
        Reader {
            bytes,
            at: 0,
            line: 1,
            year,
        }
    }

    /// Reads on from what [`Reader::consumed`] and [`Reader::line`] said before; `bytes` are those
    /// of the whole log, which may have grown.
    pub fn resume(bytes: &'a [u8], year: i32, consumed: usize, line: u64) -> Reader<'a> {
        let at = consumed.min(bytes.len());
        Reader {
            bytes,
            at,
            line,
            year,
        }
    }

    /// How many bytes need not be read again.
    pub fn consumed(&self) -> usize {
        self.at
    }

    /// The number of the line that is read next.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next event, or what stands in its place.
    pub fn step(&mut self) -> Step {
        if self.at == 0 {
            let first = self.bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            match first {
                None => return Step::Waiting,
                // The first digit of every number there is.
                Some(b'0' | b'1') => {}
                Some(_) => return Step::Foreign,
            }
        }
        let rest = &self.bytes[self.at..];
        let Some(length) = line_length(rest) else {
            return Step::Waiting;
        };
        let line = self.line;
        let Some(number) = event_number(rest) else {
            self.advance(length);
            return Step::Stray(line);
        };
        let Some(end) = Span::find(rest, length) else {
            return Step::Waiting;
        };
        let first = length.min(HEAD_BYTES);
        let head = String::from_utf8_lossy(&rest[3..first]).into_owned();
        let read = Head::read(&head, self.year).and_then(|(head, text)| {
            let mut lines = Lines::new(text, &rest[first..end.body]);
            let attrs = body::read(number, head.ids(number), &mut lines)?;
            Some((head, attrs, lines.ended()))
        });
        match (read, end.sync) {
            (Some((head, attrs, _)), Sync::Line) => {
                self.advance(end.next);
                Step::Event(Box::new(head.record(number, attrs, line)))
            }
            // Nothing says that no more comes, but the event is whole.
            (Some((head, attrs, true)), Sync::Unended) => {
                self.advance(end.next);
                Step::Event(Box::new(head.record(number, attrs, line)))
            }
            (Some((_, _, false)) | None, Sync::Unended) => Step::Waiting,
            (None, Sync::Line) => {
                self.advance(end.next);
                Step::Broken(Broken { line, number })
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        let passed = &self.bytes[self.at..self.at + bytes];
        let lines = passed.iter().filter(|byte| **byte == b'\n').count();
        self.line += lines as u64;
        self.at += bytes;
    }
}

impl Record {
    /// What HTCondor calls it, as in `JOB_TERMINATED`.
    pub fn name(&self) -> &'static str {
        name(self.number)
    }
}

impl Broken {
    /// What is wrong, without where.
    pub fn what(&self) -> String {
        let number = self.number;
        let name = name(number);
        format!("this is not what an event {number:03} ({name}) looks like")
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what())
    }
}

/// `YYYY-MM-DDTHH:MM:SS`, with milliseconds where the log has parts of a second.
impl fmt::Display for LoggedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.time)?;
        match self.micros {
            0 => Ok(()),
            micros => write!(f, ".{:03}", micros / 1000),
        }
    }
}

/// Where an event ends.
struct Span {
    /// Where its last line of detail does.
    body: usize,
    /// Where the next event begins.
    next: usize,
    sync: Sync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// A whole line `...`.
    Line,
    /// The same without a line end, the last of the log.
    Unended,
}

impl Span {
    fn find(rest: &[u8], first: usize) -> Option<Span> {
        let mut at = first;
        while at < rest.len() {
            let length = line_length(&rest[at..]);
            let end = length.map_or(rest.len(), |length| at + length);
            let (next, sync) = match (&rest[at..end], length) {
                (b"...\n" | b"...\r\n", _) => (end, Sync::Line),
                (b"...", None) => (end, Sync::Unended),
                (_, None) => return None,
                (_, Some(_)) => {
                    at = end;
                    continue;
                }
            };
            return Some(Span {
                body: at,
                next,
                sync,
            });
        }
        None
    }
}

/// What the first line says before its text.
struct Head {
    cluster: i64,
    proc: i64,
    subproc: i64,
    at: LoggedTime,
}

impl Head {
    /// The rest of the line goes with it.
    fn read(text: &str, year: i32) -> Option<(Head, &str)> {
        let mut scan = Scan::new(text.strip_prefix(" (")?);
        let cluster = scan.long()?;
        scan.exactly(".")?;
        let proc = scan.long()?;
        scan.exactly(".")?;
        let subproc = scan.long()?;
        scan.exactly(") ")?;
        let (at, text) = LoggedTime::read(scan.rest(), year)?;
        let head = Head {
            cluster,
            proc,
            subproc,
            at,
        };
        Some((head, text))
    }

    /// The attributes that every event has.
    fn ids(&self, number: u16) -> ClassAd {
        let mut ad = ClassAd::new();
        ad.insert("EventTypeNumber", i64::from(number));
        ad.insert("MyType", my_type(number));
        ad.insert("EventTime", self.at.to_string());
        // An execution point has slots in the place of jobs, numbered from 1.
        let ids: &[(&str, i64, i64)] = if is_ep(number) {
            &[("SlotId", self.cluster, 1), ("DSlotId", self.proc, 1)]
        } else {
            &[
                ("Cluster", self.cluster, 0),
                ("Proc", self.proc, 0),
                ("Subproc", self.subproc, 0),
            ]
        };
        for (name, id, least) in ids {
            if id >= least {
                ad.insert(*name, *id);
            }
        }
        ad
    }

    fn record(self, number: u16, attrs: ClassAd, line: u64) -> Record {
        Record {
            number,
            cluster: self.cluster,
            proc: self.proc,
            subproc: self.subproc,
            at: self.at,
            attrs,
            line,
        }
    }
}

impl LoggedTime {
    /// Dates are `MM/DD` or ISO 8601 with a space or a `T` before the time. Of the punctuation
    /// between the digits little is looked at, as HTCondor's reader does. The year is `year` where
    /// none is given, or none that its clock could show.
    fn read(text: &str, year: i32) -> Option<(LoggedTime, &str)> {
        const FIRST_YEAR: i64 = 1900;
        let bytes = text.as_bytes();
        let first = text.find(' ')?;
        let legacy =
            first == 5 && bytes[2] == b'/' && bytes[..2].iter().all(|byte| byte.is_ascii_digit());
        // A space or a `T` before the time is one to the digits.
        let mut joined = bytes.to_vec();
        if first == 10 {
            joined[10] = b'T';
        }
        let mut digits = Digits(&joined);
        let mut fields = [year.into(), -1, -1, -1, -1, -1];
        if legacy {
            fields[1] = Digits(&bytes[..2]).next(2)?;
            fields[2] = Digits(&bytes[3..5]).next(2)?;
            digits = Digits(&bytes[6..]);
        } else {
            let stated = digits.next(4)?;
            if stated >= FIRST_YEAR {
                fields[0] = stated;
            }
            fields[1] = digits.next(2)?;
            fields[2] = digits.next(2)?;
        }
        let (micros, stated) = digits.time(&mut fields[3..])?;
        let [_, month, day, hour, _, _] = fields;
        let known =
            (1..=12).contains(&month) && (0..=32).contains(&day) && (0..=24).contains(&hour);
        let end = if legacy || first == 10 {
            first + 1 + text[first + 1..].find(' ')?
        } else {
            first
        };
        known.then(|| {
            let time = LocalTime::normal(fields);
            let at = LoggedTime {
                time,
                micros,
                stated,
            };
            (at, &text[end + 1..])
        })
    }
}

/// Numbers of a date by how many characters they have.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// The next `count` characters as a number, behind any punctuation; 0 where they are none.
    fn next(&mut self, count: usize) -> Option<i64> {
        let punctuation = |byte: &&u8| matches!(**byte, b':' | b'-' | b'T');
        let rest = &self.0[self.0.iter().take_while(punctuation).count()..];
        let (found, rest) = (rest.get(..count)?, &rest[count..]);
        self.0 = rest;
        let text = std::str::from_utf8(found).unwrap_or("");
        Some(Scan::new(text).int().unwrap_or(0))
    }

    /// Hour, minute and second; then parts of a second, and whether it is UTC.
    fn time(&mut self, fields: &mut [i64]) -> Option<(u32, Stated)> {
        for field in fields {
            *field = self.next(2)?;
        }
        let mut micros = 0;
        if let Some(rest) = self.0.strip_prefix(b".") {
            let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            // More than six digits count for nothing.
            if (1..=6).contains(&count) {
                let scale = 10_u32.pow(6 - u32::try_from(count).ok()?);
                let digits = rest[..count].iter();
                micros = digits.fold(0, |n, digit| n * 10 + u32::from(digit - b'0')) * scale;
            }
            self.0 = &rest[count..];
        }
        let stated = match self.0.first() {
            Some(b'Z' | b'z') => Stated::Utc,
            Some(_) | None => Stated::Local,
        };
        Some((micros, stated))
    }
}

/// The length of the first line with its end; nothing where it has none yet.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| at + 1)
}

/// An event begins with a number of exactly three digits.
fn event_number(line: &[u8]) -> Option<u16> {
    let (digits, rest) = line.split_at_checked(3)?;
    let all = digits.iter().all(u8::is_ascii_digit) && rest.first() == Some(&b' ');
    all.then(|| {
        digits
            .iter()
            .fold(0, |n, digit| n * 10 + u16::from(digit - b'0'))
    })
}
