//! The journal: what people may watch, by the page. One turn's rows stand together under the number
//! of the first.

use std::ops::Bound;

use manager_core::Row;
use serde::{Deserialize, Serialize};

use super::frame::{CHUNK_BYTES_MAX, damaged, framed, unframed};
use super::{ROW, StoreError};
use crate::settings::ROW_TEXT_BYTES_MAX;

/// A view of the journal that others may read while the store is written.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(super) db: sled::Db,
}

/// A row as it is stored: with its place in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

impl StoredRow {
    pub(super) fn new(sequence: u64, row: Row) -> StoredRow {
        StoredRow {
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
        }
    }
}

/// Puts rows that follow each other into as few pages as they fit in.
pub(super) fn put(batch: &mut sled::Batch, rows: &[StoredRow]) {
    let mut first = None;
    let mut page = Vec::new();
    for row in rows {
        let bytes = postcard::to_stdvec(row).expect("a row is plain data");
        let full = page.len() + bytes.len() + size_of::<u32>() > CHUNK_BYTES_MAX;
        if full && let Some(first) = first.take() {
            batch.insert(row_key(first), framed(&page));
            page.clear();
        }
        first.get_or_insert(row.sequence);
        let length = u32::try_from(bytes.len()).expect("a row is far below 4 GiB");
        page.extend(length.to_le_bytes());
        page.extend(bytes);
    }
    if let Some(first) = first {
        batch.insert(row_key(first), framed(&page));
    }
}

/// The numbers of the oldest page's first row and of the next row to come.
pub(super) fn bounds(db: &sled::Db) -> Result<Option<(u64, u64)>, StoreError> {
    let mut pages = db.scan_prefix([ROW]);
    let Some(first) = pages.next() else {
        return Ok(None);
    };
    let (first, value) = first?;
    let (last, value) = pages
        .next_back()
        .transpose()?
        .unwrap_or((first.clone(), value));
    let rows = read(&last, &value)?;
    let next = rows.last().map_or(0, |row| row.sequence) + 1;
    Ok(Some((number(&first), next)))
}

/// The first row of the page behind the one that begins with `first`.
pub(super) fn page_behind(db: &sled::Db, first: u64) -> Result<Option<u64>, StoreError> {
    let behind = (
        Bound::Excluded(row_key(first)),
        Bound::Excluded(vec![ROW + 1]),
    );
    let key = db.range(behind).keys().next().transpose()?;
    Ok(key.map(|key| number(&key)))
}

pub(super) fn row_key(sequence: u64) -> Vec<u8> {
    [&[ROW], sequence.to_be_bytes().as_slice()].concat()
}

fn number(key: &[u8]) -> u64 {
    let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

/// The rows of a page.
fn read(key: &[u8], value: &[u8]) -> Result<Vec<StoredRow>, StoreError> {
    let cut_off = || damaged(key, "its rows are cut off");
    let mut bytes = unframed(key, value)?;
    let mut rows = Vec::new();
    let mut sequence = number(key);
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (row, rest) = rest.split_at_checked(length).ok_or_else(cut_off)?;
        let row: StoredRow =
            postcard::from_bytes(row).map_err(|error| damaged(key, &error.to_string()))?;
        rows.push(StoredRow { sequence, ..row });
        sequence += 1;
        bytes = rest;
    }
    Ok(rows)
}

impl Journal {
    /// The numbers of the first and the last row that are kept; nothing where there is none.
    pub(crate) fn bounds(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let mut pages = self.db.range(vec![ROW]..vec![ROW + 1]);
        let Some(page) = pages.next() else {
            return Ok(None);
        };
        let (key, value) = page?;
        let first = read(&key, &value)?;
        let last = match pages.next_back() {
            Some(page) => {
                let (key, value) = page?;
                read(&key, &value)?.last().map(|row| row.sequence)
            }
            None => first.last().map(|row| row.sequence),
        };
        let first = first.first().map(|row| row.sequence);
        Ok(first.zip(last))
    }

    /// The rows after `after`, oldest first, at most `count`.
    pub(crate) fn rows(&self, after: u64, count: usize) -> Result<Vec<StoredRow>, StoreError> {
        let wanted = after.saturating_add(1);
        // The page that the first of them stands in begins with it or before it.
        let mut before = self.db.range(vec![ROW]..=row_key(wanted)).keys();
        let from = before.next_back().transpose()?;
        let from = from.map_or_else(|| row_key(wanted), |key| key.to_vec());
        let mut found = Vec::new();
        for page in self.db.range(from..vec![ROW + 1]) {
            let (key, value) = page?;
            let rows = read(&key, &value)?.into_iter();
            found.extend(rows.filter(|row| row.sequence >= wanted));
            if found.len() >= count {
                break;
            }
        }
        found.truncate(count);
        Ok(found)
    }
}

/// A row fits into a page: its text is cut where it would not.
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
