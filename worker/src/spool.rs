//! Reports on disk, from a job's end until the manager says that it has them: a log of segments
//! that is only added to, one wait for the disk for all reports that came together.
//!
//! A report is said to the manager and written here at the same time, and one that the manager
//! acknowledges before its turn to be written is not written at all. That is as safe as to write
//! first: nothing that the manager answers relies on the report's being here, it takes a report
//! once however often it hears it, and until it has acknowledged one this worker either says it
//! again or, having died, names the claim no more; then the job is run again, as it is if the
//! worker dies a moment before the job's end. To write first would only have kept the manager
//! waiting. The report of a job that ran for less than [`SHORT_MS`] may wait for [`LINGER`]: that
//! is what it costs to run it again, and mostly it is acknowledged by then.
//!
//! A segment is made with its whole length, so that a report changes bytes of the file and nothing
//! of the file system, which is many times faster. Each record says how long it is and which bytes
//! it has; the first that is not whole ends its segment. That a report was forgotten is written,
//! too, but not waited for: should a power cut bring it back, it is said once more and forgotten
//! once more. A segment whose reports are all forgotten is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use proto::nouns::{ClaimId, Report};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A job that ran less than this is cheap to run again.
const SHORT_MS: u64 = 1_000;
/// How long such a job's report may wait to be written, and how long one waits to be forgotten.
const LINGER: Duration = Duration::from_millis(20);
const FORGET_LINGER: Duration = Duration::from_secs(1);
/// Length of a segment; one that begins with a longer record has that record's.
const SEGMENT_BYTES: u64 = 1 << 20;
/// Segments that may be there. When there is one more, what is left of the oldest is written again.
const SEGMENTS_MAX: usize = 64;
/// Bytes before a record: its length, and the beginning of its digest.
const LENGTH_BYTES: usize = 4;
const DIGEST_BYTES: usize = 16;

/// The reports that wait for their turn, and the log that the others are in.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Away while a batch is being written.
    log: Option<Log>,
    waiting: BTreeMap<ClaimId, (Instant, Box<Report>)>,
    /// Written, or being written.
    written: BTreeSet<ClaimId>,
    forgotten: Vec<ClaimId>,
    forget_at: Option<Instant>,
    writing: Option<JoinHandle<Log>>,
}

/// The segments. Everything here waits for the disk.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    /// Whose reports each segment has that are not forgotten.
    segments: BTreeMap<u64, BTreeSet<ClaimId>>,
    at: BTreeMap<ClaimId, u64>,
    current: Option<Segment>,
    made: u64,
    segment_bytes: u64,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: File,
    room: u64,
}

/// A record. Without a report it says that the claim is forgotten.
#[derive(Serialize, Deserialize)]
struct Stored {
    claim: ClaimId,
    report: Option<Box<Report>>,
}

/// What goes to the log together.
#[derive(Debug, Default)]
struct Batch {
    forgotten: Vec<ClaimId>,
    reports: Vec<(ClaimId, Box<Report>)>,
}

/// Reads what an earlier life left. Blocks.
pub(crate) fn load(dir: PathBuf) -> io::Result<(Log, Vec<(ClaimId, Report)>)> {
    let mut log = Log {
        dir,
        segments: BTreeMap::new(),
        at: BTreeMap::new(),
        current: None,
        made: 0,
        segment_bytes: SEGMENT_BYTES,
    };
    for entry in std::fs::read_dir(&log.dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            log.segments.insert(number, BTreeSet::new());
        }
    }
    log.made = log
        .segments
        .last_key_value()
        .map_or(0, |(last, _)| last + 1);
    let mut reports = BTreeMap::new();
    let numbers: Vec<u64> = log.segments.keys().copied().collect();
    for number in numbers {
        for Stored { claim, report } in records(&std::fs::read(log.path(number))?) {
            log.leave(claim);
            reports.remove(&claim);
            if let Some(report) = report {
                log.enter(claim, number);
                reports.insert(claim, *report);
            }
        }
    }
    log.remove_empty();
    Ok((log, reports.into_iter().collect()))
}

// === who waits ===

impl Spool {
    pub fn new(log: Log) -> Spool {
        let written = log.at.keys().copied().collect();
        Spool {
            log: Some(log),
            waiting: BTreeMap::new(),
            written,
            forgotten: Vec::new(),
            forget_at: None,
            writing: None,
        }
    }

    /// Keeps the report.
    pub fn keep(&mut self, now: Instant, claim: ClaimId, report: Box<Report>) {
        let is_short = report.ended_ms.saturating_sub(report.started_ms) < SHORT_MS;
        let due = if is_short { now + LINGER } else { now };
        self.waiting.insert(claim, (due, report));
    }

    /// Nobody needs the claim's report any more.
    pub fn forget(&mut self, now: Instant, claim: ClaimId) {
        self.waiting.remove(&claim);
        if self.written.remove(&claim) {
            self.forgotten.push(claim);
            self.forget_at.get_or_insert(now + FORGET_LINGER);
        }
    }

    /// When [`Spool::tick`] has something to do. Never, while a batch is being written.
    pub fn deadline(&self) -> Option<Instant> {
        self.log.as_ref()?;
        let due = self.waiting.values().map(|(due, _)| *due).min();
        due.into_iter().chain(self.forget_at).min()
    }

    /// Begins to write what is due.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|due| due <= now) {
            self.write(|due| due <= now);
        }
    }

    /// Waits until the batch that is being written is on disk; for ever, if there is none. May be
    /// dropped and called again at any time.
    pub async fn written(&mut self) {
        match &mut self.writing {
            None => std::future::pending().await,
            Some(writing) => match writing.await {
                Ok(log) => self.log = Some(log),
                Err(error) => tracing::error!("reports are not kept any more: {error}"),
            },
        }
        self.writing = None;
    }

    /// Writes everything that is not written.
    pub async fn close(mut self) {
        if self.writing.is_some() {
            self.written().await;
        }
        self.write(|_| true);
        if self.writing.is_some() {
            self.written().await;
        }
    }

    fn write(&mut self, is_due: impl Fn(Instant) -> bool) {
        let mut batch = Batch {
            forgotten: std::mem::take(&mut self.forgotten),
            reports: Vec::new(),
        };
        self.forget_at = None;
        for (claim, (due, report)) in std::mem::take(&mut self.waiting) {
            if is_due(due) {
                self.written.insert(claim);
                batch.reports.push((claim, report));
            } else {
                self.waiting.insert(claim, (due, report));
            }
        }
        let empty = batch.forgotten.is_empty() && batch.reports.is_empty();
        if let Some(mut log) = self.log.take_if(|_| !empty) {
            self.writing = Some(tokio::task::spawn_blocking(move || {
                log.write(batch);
                log
            }));
        }
    }
}

// === the segments ===

impl Log {
    /// Writes a batch, and waits for the disk if there are reports in it.
    fn write(&mut self, mut batch: Batch) {
        if let Err(error) = self.move_oldest(&mut batch) {
            tracing::warn!("cannot read a segment of the spool again: {error}");
        }
        let waits = !batch.reports.is_empty();
        let forgotten = batch.forgotten.into_iter().map(|claim| (claim, None));
        let kept = batch
            .reports
            .into_iter()
            .map(|(claim, it)| (claim, Some(it)));
        let mut written = Ok(());
        for (claim, report) in forgotten.chain(kept) {
            self.leave(claim);
            written = written.and(self.append(Stored { claim, report }));
        }
        if waits && let Some(segment) = &self.current {
            written = written.and(segment.file.sync_data());
        }
        if let Err(error) = written {
            // The manager can still have them; only a crash before it answers would lose the
            // attempts.
            tracing::warn!("cannot keep reports: {error}");
        }
        self.remove_empty();
    }

    fn append(&mut self, stored: Stored) -> io::Result<()> {
        let json = serde_json::to_vec(&stored)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(LENGTH_BYTES + DIGEST_BYTES + json.len());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&blake3::hash(&json).as_bytes()[..DIGEST_BYTES]);
        record.extend_from_slice(&json);
        let bytes = record.len() as u64;
        if self.current.as_ref().is_none_or(|it| it.room < bytes) {
            if let Some(full) = self.current.take() {
                full.file.sync_data()?;
            }
            self.current = Some(self.make(bytes.max(self.segment_bytes))?);
        }
        let current = self.current.as_mut().expect("it was just made");
        let number = current.number;
        if let Err(error) = current.file.write_all(&record) {
            // What follows a record that is not whole would not be read.
            self.current = None;
            return Err(error);
        }
        current.room -= bytes;
        if stored.report.is_some() {
            self.enter(stored.claim, number);
        }
        Ok(())
    }

    /// A new segment, with its room and its name on disk.
    fn make(&mut self, bytes: u64) -> io::Result<Segment> {
        let number = self.made;
        self.made += 1;
        let mut file = File::create(self.path(number))?;
        self.segments.insert(number, BTreeSet::new());
        io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)?;
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Segment {
            number,
            file,
            room: bytes,
        })
    }

    /// When there are too many segments, what the oldest has is put into the batch.
    fn move_oldest(&mut self, batch: &mut Batch) -> io::Result<()> {
        if self.segments.len() <= SEGMENTS_MAX {
            return Ok(());
        }
        let Some((number, kept)) = self.segments.first_key_value() else {
            return Ok(());
        };
        let mut again = Vec::new();
        for Stored { claim, report } in records(&std::fs::read(self.path(*number))?) {
            let is_kept = kept.contains(&claim) && !batch.forgotten.contains(&claim);
            again.extend(report.filter(|_| is_kept).map(|report| (claim, report)));
        }
        batch.reports.splice(0..0, again);
        Ok(())
    }

    fn enter(&mut self, claim: ClaimId, number: u64) {
        self.segments.entry(number).or_default().insert(claim);
        self.at.insert(claim, number);
    }

    fn leave(&mut self, claim: ClaimId) {
        if let Some(number) = self.at.remove(&claim)
            && let Some(kept) = self.segments.get_mut(&number)
        {
            kept.remove(&claim);
        }
    }

    fn remove_empty(&mut self) {
        let current = self.current.as_ref().map(|it| it.number);
        let segments = self.segments.iter();
        let over = segments.filter(|(number, kept)| kept.is_empty() && current != Some(**number));
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        for number in over {
            self.segments.remove(&number);
            if let Err(error) = std::fs::remove_file(self.path(number)) {
                tracing::warn!("cannot remove {}: {error}", self.path(number).display());
            }
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number}.log"))
    }
}

/// A segment's records up to the first that is not whole.
fn records(mut bytes: &[u8]) -> Vec<Stored> {
    let mut records = Vec::new();
    while let Some((stored, rest)) = record(bytes) {
        records.push(stored);
        bytes = rest;
    }
    records
}

fn record(bytes: &[u8]) -> Option<(Stored, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let (digest, rest) = rest.split_first_chunk::<DIGEST_BYTES>()?;
    let (json, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if json.is_empty() || blake3::hash(json).as_bytes()[..DIGEST_BYTES] != *digest {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::nouns::Ended;

    fn report(code: i32) -> Box<Report> {
        let mut report = Report::new(Ended::Exited(code), 1, 2);
        report.metrics = BTreeMap::from([("loss".to_owned(), 0.1 + 0.2)]);
        Box::new(report)
    }

    fn claim(serial: u64) -> ClaimId {
        ClaimId { pool: 7, serial }
    }

    fn batch(forgotten: &[u64], reports: &[(u64, i32)]) -> Batch {
        Batch {
            forgotten: forgotten.iter().map(|serial| claim(*serial)).collect(),
            reports: reports
                .iter()
                .map(|(serial, code)| (claim(*serial), report(*code)))
                .collect(),
        }
    }

    /// What a restart finds: serial and exit code.
    fn found(dir: &std::path::Path) -> Vec<(u64, i32)> {
        let (_, reports) = load(dir.to_owned()).unwrap();
        let row = |(claim, found): (ClaimId, Report)| match found.ended {
            Ended::Exited(code) => {
                assert_eq!(found, *report(code));
                (claim.serial, code)
            }
            other => panic!("{other:?}"),
        };
        reports.into_iter().map(row).collect()
    }

    #[test]
    fn what_is_written_is_read_back_unless_it_is_forgotten_or_torn() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, reports) = load(dir.path().to_owned()).unwrap();
        assert!(reports.is_empty());
        log.write(batch(&[], &[(1, 1), (2, 2), (3, 3), (1, 10)]));
        log.write(batch(&[2], &[]));
        assert_eq!(found(dir.path()), [(1, 10), (3, 3)]);
        // A power cut tears the last record; what comes later goes into a segment of its own.
        let path = log.path(0);
        log.write(batch(&[], &[(4, 4)]));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[at - 8] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (mut log, _) = load(dir.path().to_owned()).unwrap();
        log.write(batch(&[3], &[(5, 5)]));
        assert_eq!(found(dir.path()), [(1, 10), (5, 5)]);
        log.write(batch(&[1], &[]));
        assert!(!path.exists(), "its reports are all forgotten");
        assert_eq!(found(dir.path()), [(5, 5)]);
    }

    #[test]
    fn the_log_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = load(dir.path().to_owned()).unwrap();
        log.segment_bytes = 1 << 10;
        // One report of each segment is never forgotten.
        let mut kept = Vec::new();
        for round in 0..SEGMENTS_MAX as u64 + 4 {
            let mut long = report(0);
            long.metrics_error = Some("x".repeat(1 << 10));
            let fill = Batch {
                forgotten: Vec::new(),
                reports: vec![(claim(1_000 + round), long)],
            };
            log.write(fill);
            log.write(batch(&[1_000 + round], &[(round, 7)]));
            kept.push((round, 7));
        }
        assert!(std::fs::read_dir(dir.path()).unwrap().count() <= SEGMENTS_MAX + 2);
        assert_eq!(found(dir.path()), kept);
    }

    #[tokio::test]
    async fn what_is_acknowledged_in_time_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = load(dir.path().to_owned()).unwrap();
        let mut spool = Spool::new(log);
        let now = Instant::now();
        spool.keep(now, claim(1), report(1));
        spool.forget(now, claim(1));
        // The report of a job that ran long does not wait.
        let mut long = report(2);
        long.ended_ms = long.started_ms + SHORT_MS;
        spool.keep(now, claim(2), long.clone());
        assert_eq!(spool.deadline(), Some(now));
        spool.tick(now);
        spool.written().await;
        let (_, reports) = load(dir.path().to_owned()).unwrap();
        assert_eq!(reports, [(claim(2), *long)]);
        spool.forget(now, claim(2));
        spool.keep(now, claim(3), report(3));
        spool.close().await;
        assert_eq!(found(dir.path()), [(3, 3)]);
    }
}
