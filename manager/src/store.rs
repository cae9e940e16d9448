//! The store: sled, used so that what it acknowledges is on the disk.
//!
//! One thread writes. A write is one atomic batch in one tree: the records that changed and the
//! journal's rows. sled's `flush` hands the bytes to the kernel but does not make the disk keep
//! them (0.34.7 calls `sync_file_range` only), so the database file is synced besides. Values are
//! cut into chunks below the size at which sled would put them into files that it never syncs; each
//! chunk carries a version and a checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use manager_core::{Changes, Limits, Queue, RestoreError, Row};
use serde::{Deserialize, Serialize};

use crate::settings::{JOURNAL_ROWS_MAX, ROW_TEXT_BYTES_MAX};

/// What is written in front of every chunk.
const CHUNK_VERSION: u8 = 1;
const CHUNK_BYTES_MAX: usize = 60 << 10;
const HEADER_BYTES: usize = 5;
/// Changes with every change that an older manager could not read.
const FORMAT: u32 = 1;
const CACHE_BYTES: u64 = 64 << 20;

// One letter for each kind of key.
const FORMAT_KEY: &[u8] = b"f";
const RECORD: u8 = b'r';
const ROW: u8 = b'w';

/// The open store.
pub(crate) struct Store {
    db: sled::Db,
    /// sled's own file, opened once more to be synced.
    file: File,
    /// Records of more than one chunk, and how many they have.
    chunks: BTreeMap<Vec<u8>, u16>,
    rows_first: u64,
    rows_next: u64,
    /// Whether everything that was written is on the disk.
    synced: bool,
}

/// A record as it is stored: its key and what it holds.
type Record = (Vec<u8>, Vec<u8>);

/// A view of the journal that others may read while the store is written.
#[derive(Clone)]
pub(crate) struct Journal {
    db: sled::Db,
}

/// A row as it is stored: with its place in the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredRow {
    #[serde(skip)]
    pub sequence: u64,
    pub at_ms: u64,
    pub kind: String,
    pub number: u32,
    pub top: u32,
    pub job: Option<String>,
    pub node: Option<String>,
    pub trial: Option<u32>,
    pub text: String,
    pub value: Option<f64>,
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("another manager has it open")]
    Locked,
    #[error("it has format {found}, and this manager reads format {FORMAT}")]
    Format { found: u32 },
    #[error("it is damaged: {reason}")]
    Damaged { reason: String },
    #[error("its records make no queue")]
    Records(#[from] RestoreError),
    #[error("the disk failed")]
    Disk(#[from] std::io::Error),
    #[error("the database failed")]
    Database(#[from] sled::Error),
}

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
    pool: u32,
}

/// Opens the store below `dir`, or makes it, and restores the queue.
pub(crate) fn open(dir: &Path, limits: Limits) -> Result<(Store, Queue), StoreError> {
    let path = dir.join("store");
    let db = open_database(&path)?;
    let pool = match db.get(FORMAT_KEY)? {
        Some(value) => read_format(&value)?,
        None => write_format(&db)?,
    };
    let file = File::open(path.join("db"))?;
    let mut store = Store {
        db,
        file,
        chunks: BTreeMap::new(),
        rows_first: 0,
        rows_next: 1,
        synced: false,
    };
    store.sync()?;
    sync_directories(&path)?;
    let records = store.read_records()?;
    store.find_rows()?;
    let queue = Queue::restore(pool, limits, records)?;
    Ok((store, queue))
}

/// sled panics on some kinds of damage; here that is an error like any other.
fn open_database(path: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::default()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    let opened = catch_unwind(AssertUnwindSafe(move || config.open())).map_err(|panic| {
        let reason = panic.downcast_ref::<String>().cloned();
        StoreError::Damaged {
            reason: reason.unwrap_or_else(|| "it cannot be opened".to_owned()),
        }
    })?;
    opened.map_err(|error| match &error {
        sled::Error::Io(io) if io.to_string().contains("lock") => StoreError::Locked,
        sled::Error::Corruption { .. } => StoreError::Damaged {
            reason: error.to_string(),
        },
        _ => StoreError::Database(error),
    })
}

fn read_format(value: &[u8]) -> Result<u32, StoreError> {
    let format: Format = serde_json::from_slice(value).map_err(|error| StoreError::Damaged {
        reason: format!("its format: {error}"),
    })?;
    if format.format != FORMAT {
        return Err(StoreError::Format {
            found: format.format,
        });
    }
    Ok(format.pool)
}

fn write_format(db: &sled::Db) -> Result<u32, StoreError> {
    let mut seed = [0; 4];
    std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut seed)?;
    let pool = u32::from_be_bytes(seed);
    let format = Format {
        format: FORMAT,
        pool,
    };
    let value = serde_json::to_vec(&format).expect("two numbers are JSON");
    db.insert(FORMAT_KEY, value)?;
    Ok(pool)
}

/// The names of sled's files survive a power cut only if their directories do.
fn sync_directories(path: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    let parents: Vec<PathBuf> = path.ancestors().take(3).map(Path::to_path_buf).collect();
    for parent in parents.iter().filter(|parent| parent.is_dir()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

// === impl Store ===

impl Store {
    /// Writes changes and rows, all or none. They are on the disk after the next [`Store::sync`],
    /// and never without what was written before them.
    ///
    /// # Errors
    /// The disk or the database failed. What was written before stays; the caller must stop.
    pub(crate) fn write(
        &mut self,
        changes: &Changes,
        rows: Vec<Row>,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            let mut name = vec![RECORD];
            name.extend(key.to_bytes());
            self.put(&mut batch, name, value.as_deref());
        }
        let stored = rows
            .into_iter()
            .map(|row| self.put_row(&mut batch, row))
            .collect();
        self.prune(&mut batch);
        self.db.apply_batch(batch)?;
        self.synced = false;
        Ok(stored)
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if !self.synced {
            self.db.flush()?;
            self.file.sync_data()?;
            self.synced = true;
        }
        Ok(())
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal {
            db: self.db.clone(),
        }
    }

    fn put(&mut self, batch: &mut sled::Batch, name: Vec<u8>, value: Option<&[u8]>) {
        let before = self.chunks.get(&name).copied().unwrap_or(1);
        let mut count = 0_u16;
        for chunk in value.into_iter().flat_map(chunks_of) {
            batch.insert(chunk_key(&name, count), framed(chunk));
            count += 1;
        }
        for number in count..before {
            batch.remove(chunk_key(&name, number));
        }
        if count > 1 {
            self.chunks.insert(name, count);
        } else {
            self.chunks.remove(&name);
        }
    }

    fn put_row(&mut self, batch: &mut sled::Batch, row: Row) -> StoredRow {
        let sequence = self.rows_next;
        self.rows_next += 1;
        let row = StoredRow {
            sequence,
            at_ms: row.at_ms,
            kind: row.kind.name().to_owned(),
            number: row.kind.number(),
            top: row.top,
            job: row.job.map(|job| job.to_string()),
            node: row.node,
            trial: row.trial,
            text: cut(row.text),
            value: row.value,
        };
        let value = serde_json::to_vec(&row).expect("a row is plain data");
        batch.insert(row_key(sequence), framed(&value));
        row
    }

    /// Forgets the oldest rows beyond what is kept.
    fn prune(&mut self, batch: &mut sled::Batch) {
        while self.rows_next - self.rows_first > JOURNAL_ROWS_MAX {
            batch.remove(row_key(self.rows_first));
            self.rows_first += 1;
        }
    }

    fn read_records(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut records: Vec<Record> = Vec::new();
        for entry in self.db.scan_prefix([RECORD]) {
            let (key, value) = entry?;
            let payload = unframed(&key, &value)?;
            let (name, number) = key.split_at(key.len().saturating_sub(2));
            match (records.last_mut(), number) {
                (_, [0, 0]) => records.push((name[1..].to_vec(), payload.to_vec())),
                (Some((last, bytes)), number) if last.as_slice() == &name[1..] => {
                    bytes.extend_from_slice(payload);
                    let number = u16::from_be_bytes([number[0], number[1]]);
                    self.chunks.insert(name.to_vec(), number + 1);
                }
                _ => return Err(damaged(&key, "its first part is missing")),
            }
        }
        Ok(records)
    }

    fn find_rows(&mut self) -> Result<(), StoreError> {
        let number = |key: &[u8]| {
            let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_be_bytes)
        };
        let mut rows = self.db.scan_prefix([ROW]).keys();
        if let Some(first) = rows.next() {
            let first = number(&first?);
            let last = rows
                .next_back()
                .transpose()?
                .map_or(first, |last| number(&last));
            (self.rows_first, self.rows_next) = (first, last + 1);
        } else {
            self.rows_first = self.rows_next;
        }
        Ok(())
    }
}

// === impl Journal ===

impl Journal {
    /// The rows after `after`, oldest first, at most `count`.
    pub(crate) fn rows(&self, after: u64, count: usize) -> Result<Vec<StoredRow>, StoreError> {
        let from = row_key(after.saturating_add(1));
        let entries = self.db.range(from..vec![ROW + 1]).take(count);
        entries
            .map(|entry| {
                let (key, value) = entry?;
                let mut row: StoredRow = serde_json::from_slice(unframed(&key, &value)?)
                    .map_err(|error| damaged(&key, &error.to_string()))?;
                row.sequence = key.get(1..9).map_or(0, |bytes| {
                    u64::from_be_bytes(bytes.try_into().expect("eight bytes were taken"))
                });
                Ok(row)
            })
            .collect()
    }
}

/// A row is one chunk: its text is cut where it would not fit.
fn cut(mut text: String) -> String {
    if text.len() > ROW_TEXT_BYTES_MAX {
        let end = (0..=ROW_TEXT_BYTES_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// An empty value has one chunk, so that it is there.
fn chunks_of(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let empty = value.is_empty().then_some(value);
    value.chunks(CHUNK_BYTES_MAX).chain(empty)
}

fn chunk_key(name: &[u8], number: u16) -> Vec<u8> {
    [name, &number.to_be_bytes()].concat()
}

fn row_key(sequence: u64) -> Vec<u8> {
    [&[ROW], sequence.to_be_bytes().as_slice()].concat()
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.push(CHUNK_VERSION);
    bytes.extend(crc32fast::hash(payload).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn unframed<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some((header, payload)) = value.split_first_chunk::<HEADER_BYTES>() else {
        return Err(damaged(key, "it is cut off"));
    };
    if header[0] != CHUNK_VERSION {
        return Err(damaged(key, "its version is unknown"));
    }
    if header[1..] != crc32fast::hash(payload).to_be_bytes() {
        return Err(damaged(key, "its checksum is wrong"));
    }
    Ok(payload)
}

fn damaged(key: &[u8], reason: &str) -> StoreError {
    StoreError::Damaged {
        reason: format!("record {}: {reason}", key.escape_ascii()),
    }
}
