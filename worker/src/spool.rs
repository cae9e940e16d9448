//! Reports on disk, from a job's end until the manager says that it has them, and the one task that
//! writes them. A report is durable before the message that tells of it leaves; reports that come
//! together share the wait.
//!
//! Each report is written into a file that is there already, over what it held: so the disk has
//! only the bytes to take, and no change of the file system. That is many times faster than making
//! a file for each, and does not wait for what others write. The first line holds the digest and
//! the length of the rest; a file where they do not fit was never finished, and is free. A report
//! that is forgotten is wiped without waiting for the disk: should a power cut bring it back, it is
//! said once more and forgotten once more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use proto::nouns::{ClaimId, Report, ToManager};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Operations that may wait for the writer, and that are made durable together.
const QUEUE_MAX: usize = 1_024;
const BATCH_MAX: usize = 128;
/// Size that a report's file is made with; one that holds a longer report grows.
const FILE_BYTES: usize = 16 << 10;
/// Over this much of a file's beginning a forgotten report is wiped: more than the first line.
const WIPED_BYTES: usize = 128;

/// What is asked of the writer. Carried out in order.
#[derive(Debug)]
pub(crate) enum Op {
    Write {
        claim: ClaimId,
        report: Box<Report>,
    },
    Remove {
        claim: ClaimId,
    },
    /// Hand this back once everything before it is durable.
    Then(ToManager),
}

/// The spool's writer: its queue and its task. It ends when every queue handle is dropped.
pub(crate) struct Spool {
    pub queue: mpsc::Sender<Op>,
    pub task: JoinHandle<()>,
}

/// The spool's files by number, and which of them hold what.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    held: BTreeMap<ClaimId, u32>,
    free: BTreeSet<u32>,
    made: u32,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    claim: ClaimId,
    report: Report,
}

/// Reads what an earlier life left. Blocks.
pub(crate) fn load(dir: PathBuf) -> io::Result<(Files, Vec<(ClaimId, Report)>)> {
    let mut numbers = BTreeSet::new();
    for entry in std::fs::read_dir(&dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".report"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    let made = numbers.last().map_or(0, |last| last + 1);
    let mut files = Files {
        dir,
        held: BTreeMap::new(),
        free: BTreeSet::new(),
        made,
    };
    let mut reports = BTreeMap::new();
    for number in numbers {
        match read(&files.path(number))? {
            Some(Stored { claim, report }) if files.held.insert(claim, number).is_none() => {
                reports.insert(claim, report);
            }
            Some(_) | None => {
                files.free.insert(number);
            }
        }
    }
    Ok((files, reports.into_iter().collect()))
}

/// Starts the writer. `done` gets the messages of [`Op::Then`]; it is unbounded so that the two
/// sides can never wait for each other, and holds no more than what went through the bounded queue.
pub(crate) fn start(files: Files, done: mpsc::UnboundedSender<ToManager>) -> Spool {
    let (queue, mut ops) = mpsc::channel(QUEUE_MAX);
    let task = tokio::spawn(async move {
        let mut files = files;
        let mut batch = Vec::new();
        while ops.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let ops = std::mem::take(&mut batch);
            let work = move || {
                let messages = files.carry_out(ops);
                (files, messages)
            };
            let Ok((back, messages)) = tokio::task::spawn_blocking(work).await else {
                return;
            };
            files = back;
            for message in messages {
                // Nobody listens any more when the worker is about to end: the report is on disk.
                let _ = done.send(message);
            }
        }
    });
    Spool { queue, task }
}

impl Files {
    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number}.report"))
    }

    fn carry_out(&mut self, ops: Vec<Op>) -> Vec<ToManager> {
        let mut messages = Vec::new();
        let mut written = Vec::new();
        for op in ops {
            match op {
                Op::Write { claim, report } => match self.write(claim, *report) {
                    Ok(file) => written.push(file),
                    // The manager can still have it; only a crash before it answers would lose the
                    // attempt.
                    Err(error) => tracing::warn!("cannot keep the report of {claim}: {error}"),
                },
                Op::Remove { claim } => self.remove(claim),
                Op::Then(message) => messages.push(message),
            }
        }
        if let Err(error) = written.iter().try_for_each(File::sync_data) {
            tracing::warn!("cannot make reports durable: {error}");
        }
        messages
    }

    fn write(&mut self, claim: ClaimId, report: Report) -> io::Result<File> {
        let json = serde_json::to_string(&Stored { claim, report })?;
        let digest = blake3::hash(json.as_bytes());
        let number = match self.held.get(&claim) {
            Some(number) => *number,
            None => match self.free.pop_first() {
                Some(number) => number,
                None => self.make()?,
            },
        };
        self.held.insert(claim, number);
        let mut file = OpenOptions::new().write(true).open(self.path(number))?;
        file.write_all(format!("{digest} {}\n{json}\n", json.len()).as_bytes())?;
        Ok(file)
    }

    /// A new file, with its room and its name on disk.
    fn make(&mut self) -> io::Result<u32> {
        let number = self.made;
        self.made += 1;
        let mut file = File::create(self.path(number))?;
        file.write_all(&[0; FILE_BYTES])?;
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        Ok(number)
    }

    fn remove(&mut self, claim: ClaimId) {
        let Some(number) = self.held.remove(&claim) else {
            return;
        };
        let wiped = OpenOptions::new()
            .write(true)
            .open(self.path(number))
            .and_then(|mut file| file.write_all(&[0; WIPED_BYTES]));
        match wiped {
            Ok(()) => {
                self.free.insert(number);
            }
            Err(error) => tracing::warn!("cannot remove the report of {claim}: {error}"),
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Stored>> {
    let bytes = std::fs::read(path)?;
    let whole = || {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (digest, length) = std::str::from_utf8(&bytes[..end]).ok()?.split_once(' ')?;
        let json = bytes.get(end + 1..)?.get(..length.parse().ok()?)?;
        if blake3::hash(json).to_hex().as_str() != digest {
            return None;
        }
        serde_json::from_slice(json).ok()
    };
    let stored = whole();
    if stored.is_none() && bytes.first().is_some_and(|byte| *byte != 0) {
        tracing::warn!("{} holds no whole report", path.display());
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::nouns::Ended;

    fn report(code: i32) -> Report {
        Report {
            ended: Ended::Exited(code),
            started_ms: 1,
            ended_ms: 2,
            user_cpu_ms: 3,
            system_cpu_ms: 4,
            rss_max_kib: 5,
            outputs: Vec::new(),
            missing: Vec::new(),
            stdout: None,
            stderr: None,
            metrics: BTreeMap::from([("loss".to_owned(), 0.1 + 0.2)]),
            metrics_error: None,
        }
    }

    fn write(serial: u64, code: i32) -> Op {
        Op::Write {
            claim: ClaimId { pool: 7, serial },
            report: Box::new(report(code)),
        }
    }

    #[test]
    fn what_is_written_is_read_back_unless_it_is_forgotten_or_torn() {
        let dir = tempfile::tempdir().unwrap();
        let load = || load(dir.path().to_owned()).unwrap();
        let claims = [1, 2, 3].map(|serial| ClaimId { pool: 7, serial });
        let (mut files, reports) = load();
        assert!(reports.is_empty());
        let message = ToManager::Started { claim: claims[0] };
        let mut ops = vec![write(1, 1), write(2, 2), write(3, 3), write(1, 10)];
        ops.extend([Op::Remove { claim: claims[1] }, Op::Then(message.clone())]);
        assert_eq!(files.carry_out(ops), [message]);
        let (_, reports) = load();
        assert_eq!(reports, [(claims[0], report(10)), (claims[2], report(3))]);

        let torn = dir.path().join("2.report");
        let whole = std::fs::read_to_string(&torn).unwrap();
        std::fs::write(&torn, whole.replace("\"ended_ms\":2", "\"ended_ms\":9")).unwrap();
        let (mut files, reports) = load();
        assert_eq!(reports, [(claims[0], report(10))]);
        // Its file and that of the forgotten one are used again; a longer report fits, too.
        let mut long = report(5);
        long.metrics_error = Some("x".repeat(3 * FILE_BYTES));
        let claim = ClaimId { pool: 7, serial: 5 };
        files.carry_out(vec![
            Op::Write {
                claim,
                report: Box::new(long.clone()),
            },
            write(4, 4),
        ]);
        let four = ClaimId { pool: 7, serial: 4 };
        assert_eq!(
            load().1,
            [(claims[0], report(10)), (four, report(4)), (claim, long)]
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
