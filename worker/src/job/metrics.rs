//! A job's metrics file: JSON objects, one a line, written by the job as it goes. Lines are passed
//! on as they are; the last number under each name is kept for the report. What cannot be read is
//! said once, with its line.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// Bytes of a metrics file that are read, and of one of its lines.
pub(crate) const METRICS_BYTES_MAX: u64 = 64 << 20;
pub(crate) const METRICS_LINE_BYTES_MAX: usize = 64 << 10;
/// Names that one job may report.
pub(crate) const METRIC_NAMES_MAX: usize = 1_000;
/// Bytes of one progress message, and of one look at the file.
const PROGRESS_BYTES_MAX: usize = 1 << 20;
/// How much of a wrong line its error shows, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// What a job has reported so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metrics {
    pub values: BTreeMap<String, f64>,
    /// The first thing that was wrong.
    pub error: Option<String>,
}

/// A reader that goes on where it was.
#[derive(Debug, Default)]
pub(super) struct MetricsReader {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
    line: u64,
    pub metrics: Metrics,
}

impl MetricsReader {
    pub fn new(path: PathBuf) -> MetricsReader {
        let metrics = Metrics::default();
        MetricsReader {
            path,
            offset: 0,
            partial: Vec::new(),
            line: 0,
            metrics,
        }
    }

    /// The good lines that were completed since the last time, within one look's bound. Blocks.
    pub fn read(&mut self) -> Vec<String> {
        match self.read_more() {
            Ok(bytes) => self.split(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.wrong(format!("the metrics file cannot be read: {error}"));
                Vec::new()
            }
        }
    }

    /// Everything that is left, a last line without its end included. Blocks.
    pub fn read_to_end(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let before = self.offset;
            lines.extend(self.read());
            if self.offset == before {
                break;
            }
        }
        let last = std::mem::take(&mut self.partial);
        lines.extend(self.take_line(&last));
        lines
    }

    fn read_more(&mut self) -> io::Result<Vec<u8>> {
        // The job chose what stands under that name: a link or a pipe is not followed or waited
        // for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file: File = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        if metadata.len() < self.offset {
            // Written anew from its beginning.
            (self.offset, self.line) = (0, 0);
            self.partial.clear();
        }
        if metadata.len() > METRICS_BYTES_MAX {
            self.wrong(format!(
                "the metrics file has more than {METRICS_BYTES_MAX} bytes, the rest is not read \
                 (METRICS_BYTES_MAX)"
            ));
        }
        let room = METRICS_BYTES_MAX.saturating_sub(self.offset);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.offset))?;
        file.take(room.min(PROGRESS_BYTES_MAX as u64))
            .read_to_end(&mut bytes)?;
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }

    fn split(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // One byte more than allowed is enough to see that a line is too long.
            let room = (METRICS_LINE_BYTES_MAX + 2).saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                lines.extend(self.take_line(&line));
            }
        }
        lines
    }

    /// Counts a line; gives it back if it says something.
    fn take_line(&mut self, line: &[u8]) -> Option<String> {
        if line.is_empty() {
            return None;
        }
        self.line += 1;
        if line.len() > METRICS_LINE_BYTES_MAX + 1 {
            self.wrong(format!(
                "line {} of the metrics file has more than {METRICS_LINE_BYTES_MAX} bytes \
                 (METRICS_LINE_BYTES_MAX)",
                self.line
            ));
            return None;
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        match parse_line(text) {
            Ok(values) => {
                self.keep(values);
                Some(text.to_owned())
            }
            Err(reason) => {
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                self.wrong(format!(
                    "line {} of the metrics file {reason}: {shown}",
                    self.line
                ));
                None
            }
        }
    }

    fn keep(&mut self, values: Vec<(String, f64)>) {
        for (name, value) in values {
            let known = self.metrics.values.contains_key(&name);
            if known || self.metrics.values.len() < METRIC_NAMES_MAX {
                self.metrics.values.insert(name, value);
            } else {
                self.wrong(format!(
                    "the metrics file has more than {METRIC_NAMES_MAX} names (METRIC_NAMES_MAX)"
                ));
            }
        }
    }

    fn wrong(&mut self, reason: String) {
        self.metrics.error.get_or_insert(reason);
    }
}

/// The numbers of one line by name.
fn parse_line(text: &str) -> Result<Vec<(String, f64)>, String> {
    let object: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let not_a_number = ["NaN", "Infinity"]
            .into_iter()
            .find(|word| text.contains(word));
        match not_a_number {
            Some(word) => format!("holds {word}, which is not a number"),
            None if error.is_data() => "is not a JSON object".to_owned(),
            None => "is not JSON".to_owned(),
        }
    })?;
    let numbers = object
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_f64()?)));
    Ok(numbers.collect())
}

/// Lines in portions that fit a message.
pub(super) fn batches(lines: Vec<String>) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for line in lines {
        bytes += line.len();
        match batches.last_mut() {
            Some(batch) if bytes <= PROGRESS_BYTES_MAX => batch.push(line),
            Some(_) | None => {
                bytes = line.len();
                batches.push(vec![line]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file's pieces as they are written → the lines after each, the values and the error at
    /// the end.
    #[track_caller]
    fn check(pieces: &[&str], lines: &[&[&str]], values: &[(&str, f64)], error: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics");
        let mut reader = MetricsReader::new(path.clone());
        assert!(reader.read().is_empty());
        let mut written = String::new();
        for (piece, expected) in pieces.iter().zip(lines) {
            written.push_str(piece);
            std::fs::write(&path, &written).unwrap();
            assert_eq!(reader.read(), *expected, "{piece}");
        }
        assert_eq!(reader.read_to_end(), *lines.last().unwrap());
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        assert_eq!(reader.metrics.values, values);
        assert_eq!(reader.metrics.error.as_deref(), error);
    }

    #[test]
    fn lines_are_passed_on_as_they_are_completed() {
        let second = r#"{"loss": 0.25, "epoch": 2, "note": "x", "deep": {"a": 1}}"#;
        check(
            &["{\"loss\": 0.5}\n{\"lo", &second[4..], "\n\n"],
            &[&[r#"{"loss": 0.5}"#], &[], &[second], &[]],
            &[("loss", 0.25), ("epoch", 2.0)],
            None,
        );
        check(
            &["{\"a\": 1}"],
            &[&[], &["{\"a\": 1}"]],
            &[("a", 1.0)],
            None,
        );
    }

    #[test]
    fn what_is_no_metric_is_named_with_its_line() {
        let nan = "line 2 of the metrics file holds NaN, which is not a number: {\"loss\": NaN}";
        check(
            &["{\"loss\": 1}\n{\"loss\": NaN}\n{\"loss\": 3}\nx\n"],
            &[&["{\"loss\": 1}", "{\"loss\": 3}"], &[]],
            &[("loss", 3.0)],
            Some(nan),
        );
        let rows = [
            (
                "[1]\n",
                "line 1 of the metrics file is not a JSON object: [1]",
            ),
            (
                "\nloss=1\n",
                "line 2 of the metrics file is not JSON: loss=1",
            ),
            (
                "{\"a\": 1e999}\n",
                "line 1 of the metrics file is not JSON: {\"a\": 1e999}",
            ),
        ];
        for (text, error) in rows {
            check(&[text], &[&[], &[]], &[], Some(error));
        }
        let long = format!("{{\"a\": \"{}\"}}\n", "x".repeat(METRICS_LINE_BYTES_MAX));
        let error = "line 1 of the metrics file has more than 65536 bytes (METRICS_LINE_BYTES_MAX)";
        check(
            &[&long, "{\"a\": 1}\n"],
            &[&[], &["{\"a\": 1}"], &[]],
            &[("a", 1.0)],
            Some(error),
        );
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics");
        std::os::unix::fs::symlink("/proc/self/environ", &path).unwrap();
        let mut reader = MetricsReader::new(path);
        assert!(reader.read_to_end().is_empty());
        assert!(reader.metrics.error.unwrap().contains("cannot be read"));
    }

    #[test]
    fn portions_fit_a_message() {
        let lines = vec!["x".repeat(PROGRESS_BYTES_MAX / 2); 5];
        let sizes: Vec<usize> = batches(lines).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }
}
