//! The store: sled, used so that what it acknowledges is on the disk.
//!
//! One thread writes. A write is one atomic batch in one tree: the records that changed, as one turn
//! of a log, and the journal's rows as a page. Records get into pages of their own when the log has
//! grown to its bound; a page is written once for all that changed in it meanwhile. A restart reads
//! the pages and what the log says over them.
//!
//! sled's `flush` hands the bytes to the kernel but does not make the disk keep them (0.34.7 calls
//! `sync_file_range` only), so the database file is synced besides.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use manager_core::{Changes, Limits, Queue, RestoreError, Row};
use serde::{Deserialize, Serialize};

use crate::settings::{JOURNAL_ROWS_MAX, LOG_BYTES_MAX, LOG_TURNS_MAX};

mod frame;
mod journal;
mod pages;
#[cfg(test)]
mod tests;

use frame::{chunk_key, chunk_name, chunks_of, damaged, framed, unframed};
use pages::{Fold, Pending};

pub(crate) use journal::{Journal, StoredRow};

/// Changes with every change that an older manager could not read.
const FORMAT: u32 = 2;
/// Pages are read only to be written anew.
const CACHE_BYTES: u64 = 16 << 20;
/// Turns that leave the log with one write at most.
const RETIRED_MAX: usize = 4;

// One letter for each kind of key.
const FORMAT_KEY: &[u8] = b"f";
const PAGE: u8 = b'p';
const TURN: u8 = b't';
const ROW: u8 = b'w';

/// The open store.
pub(crate) struct Store {
    db: sled::Db,
    /// sled's own file, opened once more to be synced.
    file: File,
    bounds: Bounds,
    /// Pages of more than one chunk, and how many they have.
    chunks: BTreeMap<Vec<u8>, u32>,
    pending: Pending,
    turn_next: u64,
    /// The first row of the oldest page of rows, and the next row to come.
    rows_first: u64,
    rows_next: u64,
    /// Whether everything that was written is on the disk.
    synced: bool,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    log_bytes: usize,
    log_turns: usize,
    rows: u64,
}

const BOUNDS: Bounds = Bounds {
    log_bytes: LOG_BYTES_MAX,
    log_turns: LOG_TURNS_MAX,
    rows: JOURNAL_ROWS_MAX,
};

/// All records, by their keys.
type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Values by their names, with how many chunks they have.
type Values = BTreeMap<Vec<u8>, (Vec<u8>, u32)>;

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("another manager has it open")]
    Locked,
    #[error(
        "it has format {found}, and this manager reads format {FORMAT}: use the version that wrote it, or move \
         its directory away to begin anew"
    )]
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
    let (store, pool, records) = Store::open(&dir.join("store"), BOUNDS)?;
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
    /// The store, the number of its pool, and all its records.
    fn open(path: &Path, bounds: Bounds) -> Result<(Store, u32, Records), StoreError> {
        let db = open_database(path)?;
        let pool = match db.get(FORMAT_KEY)? {
            Some(value) => read_format(&value)?,
            None => write_format(&db)?,
        };
        let file = File::open(path.join("db"))?;
        let mut store = Store {
            db,
            file,
            bounds,
            chunks: BTreeMap::new(),
            pending: Pending::default(),
            turn_next: 1,
            rows_first: 1,
            rows_next: 1,
            synced: false,
        };
        store.sync()?;
        sync_directories(path)?;
        let mut records = store.read_pages()?;
        store.read_turns()?;
        store.pending.overlay(&mut records);
        if let Some((first, next)) = journal::bounds(&store.db)? {
            (store.rows_first, store.rows_next) = (first, next);
        }
        Ok((store, pool, records))
    }

    /// Writes changes and rows, all or none. They are on the disk after the next [`Store::sync`],
    /// and never without what was written before them.
    ///
    /// # Errors
    /// The disk or the database failed. What was written before stays; the caller must stop.
    pub(crate) fn write(
        &mut self,
        changes: Changes,
        rows: Vec<Row>,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let mut batch = sled::Batch::default();
        if !changes.is_empty() {
            self.put_turn(&mut batch, changes);
        }
        let stored: Vec<StoredRow> = (self.rows_next..)
            .zip(rows)
            .map(|(sequence, row)| StoredRow::new(sequence, row))
            .collect();
        self.rows_next += stored.len() as u64;
        journal::put(&mut batch, &stored);
        self.retire(&mut batch)?;
        self.prune(&mut batch)?;
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

    /// Adds a turn to the log.
    fn put_turn(&mut self, batch: &mut sled::Batch, changes: Changes) {
        let entries: Vec<(Vec<u8>, Option<Vec<u8>>)> = changes
            .into_iter()
            .map(|(key, value)| (key.to_bytes(), value))
            .collect();
        let borrowed = entries.iter();
        let value = pages::encode(borrowed.map(|(key, value)| (key.as_slice(), value.as_deref())));
        let name = turn_name(self.turn_next);
        let mut chunks = 0;
        for chunk in chunks_of(&value) {
            batch.insert(chunk_key(&name, chunks), framed(chunk));
            chunks += 1;
        }
        self.pending.add(self.turn_next, chunks, entries);
        self.turn_next += 1;
    }

    /// Puts the oldest turns of the log into their pages, as long as there is too much of it.
    fn retire(&mut self, batch: &mut sled::Batch) -> Result<(), StoreError> {
        for _ in 0..RETIRED_MAX {
            let too_much = self.pending.bytes() > self.bounds.log_bytes
                || self.pending.turns() > self.bounds.log_turns;
            if !too_much {
                break;
            }
            let Some((turn, folds)) = self.pending.retire() else {
                break;
            };
            for fold in folds {
                self.fold(batch, &fold)?;
            }
            let name = turn_name(turn.number);
            for chunk in 0..turn.chunks {
                batch.remove(chunk_key(&name, chunk));
            }
        }
        Ok(())
    }

    /// Writes a page anew, with what changed in it.
    fn fold(&mut self, batch: &mut sled::Batch, fold: &Fold) -> Result<(), StoreError> {
        let name = [&[PAGE], fold.page.as_slice()].concat();
        let before = self.page(&name)?;
        let known = pages::decode(&before).ok_or_else(|| damaged(&name, "it is cut off"))?;
        let mut page: BTreeMap<&[u8], &[u8]> = known
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        for (key, value) in &fold.changed {
            match value {
                Some(value) => page.insert(key, value),
                None => page.remove(key.as_slice()),
            };
        }
        let value = (!page.is_empty())
            .then(|| pages::encode(page.into_iter().map(|(key, value)| (key, Some(value)))));
        self.put(batch, name, value.as_deref());
        Ok(())
    }

    /// What a page holds; nothing for one that is not there.
    fn page(&self, name: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        for number in 0..self.chunks.get(name).copied().unwrap_or(1) {
            let key = chunk_key(name, number);
            if let Some(value) = self.db.get(&key)? {
                bytes.extend_from_slice(unframed(&key, &value)?);
            }
        }
        Ok(bytes)
    }

    fn put(&mut self, batch: &mut sled::Batch, name: Vec<u8>, value: Option<&[u8]>) {
        let before = self.chunks.get(&name).copied().unwrap_or(1);
        let mut count = 0_u32;
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

    /// Forgets the oldest pages of rows beyond what is kept.
    fn prune(&mut self, batch: &mut sled::Batch) -> Result<(), StoreError> {
        while self.rows_next - self.rows_first > self.bounds.rows {
            let behind = journal::page_behind(&self.db, self.rows_first)?;
            let Some(behind) = behind.filter(|behind| self.rows_next - behind >= self.bounds.rows)
            else {
                break;
            };
            batch.remove(journal::row_key(self.rows_first));
            self.rows_first = behind;
        }
        Ok(())
    }

    fn read_pages(&mut self) -> Result<Records, StoreError> {
        let mut records = Records::new();
        for (name, (bytes, chunks)) in read_values(&self.db, PAGE)? {
            let entries = pages::decode(&bytes).ok_or_else(|| damaged(&name, "it is cut off"))?;
            for (key, value) in entries {
                records.insert(key.to_vec(), value.unwrap_or_default().to_vec());
            }
            if chunks > 1 {
                self.chunks.insert(name, chunks);
            }
        }
        Ok(records)
    }

    fn read_turns(&mut self) -> Result<(), StoreError> {
        let mut expected = None;
        for (name, (bytes, chunks)) in read_values(&self.db, TURN)? {
            let number = name.get(1..9).and_then(|bytes| bytes.try_into().ok());
            let number = number.map_or(0, u64::from_be_bytes);
            if expected.is_some_and(|expected| expected != number) {
                return Err(damaged(&name, "the turn before it is missing"));
            }
            let entries = pages::decode(&bytes).ok_or_else(|| damaged(&name, "it is cut off"))?;
            let entries = entries.into_iter();
            let entries = entries.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
            self.pending.add(number, chunks, entries.collect());
            expected = Some(number + 1);
        }
        self.turn_next = expected.unwrap_or(1);
        Ok(())
    }
}

/// Values of one kind, put together from their chunks, with how many they have.
fn read_values(db: &sled::Db, kind: u8) -> Result<Values, StoreError> {
    let mut values = Values::new();
    for entry in db.scan_prefix([kind]) {
        let (key, value) = entry?;
        let payload = unframed(&key, &value)?;
        let (name, number) = chunk_name(&key).ok_or_else(|| damaged(&key, "it has no name"))?;
        let (bytes, chunks) = values.entry(name.to_vec()).or_default();
        if *chunks != number {
            return Err(damaged(&key, "the part before it is missing"));
        }
        bytes.extend_from_slice(payload);
        *chunks += 1;
    }
    Ok(values)
}

fn turn_name(number: u64) -> Vec<u8> {
    [&[TURN], number.to_be_bytes().as_slice()].concat()
}
