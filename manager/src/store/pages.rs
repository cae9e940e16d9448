//! Records by the page: those of one owner whose numbers are neighbours stand in one value, and
//! those that changed lately wait in memory, and in the log of turns, until their page is written.

use std::collections::{BTreeMap, VecDeque};

use manager_core::RecordKey;

/// Neighbours in one page, as a power of two.
const PAGE_BITS: u32 = 6;
/// Stands for the length of a value that is gone.
const GONE: u32 = u32::MAX;

/// A record as it is stored: its key and what it holds, or nothing when it is gone.
pub(super) type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

/// What changed and is not in its page yet.
#[derive(Default)]
pub(super) struct Pending {
    pages: BTreeMap<Vec<u8>, Changed>,
    turns: VecDeque<Turn>,
    bytes: usize,
}

/// Changed records of one page.
type Changed = BTreeMap<Vec<u8>, Change>;

struct Change {
    turn: u64,
    value: Option<Vec<u8>>,
}

/// One turn of the log.
pub(super) struct Turn {
    pub number: u64,
    /// Its chunks in the database.
    pub chunks: u32,
    bytes: usize,
    keys: Vec<Vec<u8>>,
}

/// A page and the records of it that are to be put in.
pub(super) struct Fold {
    pub page: Vec<u8>,
    pub changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

// === impl Pending ===

impl Pending {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn turns(&self) -> usize {
        self.turns.len()
    }

    /// Takes over what a turn of the log changed.
    pub(super) fn add(
        &mut self,
        number: u64,
        chunks: u32,
        entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) {
        let mut turn = Turn {
            number,
            chunks,
            bytes: 0,
            keys: Vec::with_capacity(entries.len()),
        };
        for (key, value) in entries {
            turn.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            let change = Change {
                turn: number,
                value,
            };
            let page = self.pages.entry(page_of(&key)).or_default();
            page.insert(key.clone(), change);
            turn.keys.push(key);
        }
        self.bytes += turn.bytes;
        self.turns.push_back(turn);
    }

    /// The oldest turn, and what must be in its page before the turn may be forgotten. A page gets
    /// all that waits for it.
    pub(super) fn retire(&mut self) -> Option<(Turn, Vec<Fold>)> {
        let turn = self.turns.pop_front()?;
        self.bytes -= turn.bytes;
        let mut folds = Vec::new();
        for key in &turn.keys {
            let page = page_of(key);
            let waits = self
                .pages
                .get(&page)
                .and_then(|changed| changed.get(key))
                .is_some_and(|change| change.turn == turn.number);
            if waits && let Some(changed) = self.pages.remove(&page) {
                let changed = changed.into_iter();
                folds.push(Fold {
                    page,
                    changed: changed.map(|(key, change)| (key, change.value)).collect(),
                });
            }
        }
        Some((turn, folds))
    }

    /// Puts what waits over what the pages hold.
    pub(super) fn overlay(&self, records: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        for (key, change) in self.pages.values().flatten() {
            match &change.value {
                Some(value) => records.insert(key.clone(), value.clone()),
                None => records.remove(key),
            };
        }
    }
}

/// The page of a record. Pages sort as their records do.
fn page_of(key: &[u8]) -> Vec<u8> {
    let numbered = match RecordKey::from_bytes(key) {
        Some(
            RecordKey::Node { .. }
            | RecordKey::Trial { .. }
            | RecordKey::Cluster { .. }
            | RecordKey::Proc { .. },
        ) => key.split_last_chunk::<4>(),
        Some(
            RecordKey::Meta
            | RecordKey::Drained(_)
            | RecordKey::SubmitKey(_)
            | RecordKey::Rules
            | RecordKey::Account(_)
            | RecordKey::Lingering(_)
            | RecordKey::Workspace { .. }
            | RecordKey::File { .. }
            | RecordKey::Run { .. }
            | RecordKey::Dag { .. }
            | RecordKey::Source { .. },
        )
        | None => None,
    };
    match numbered {
        Some((owner, number)) => {
            let page = u32::from_be_bytes(*number) >> PAGE_BITS;
            [owner, &page.to_be_bytes()].concat()
        }
        None => key.to_vec(),
    }
}

/// Writes records one behind the other.
pub(super) fn encode<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in entries {
        let length =
            |bytes: &[u8]| u32::try_from(bytes.len()).expect("records are far below 4 GiB");
        bytes.extend(length(key).to_le_bytes());
        bytes.extend(value.map_or(GONE, length).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.unwrap_or_default());
    }
    bytes
}

/// Reads them back. `None`: they are cut off.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (key_len, rest) = length(bytes)?;
        let (value_len, rest) = length(rest)?;
        let (key, rest) = rest.split_at_checked(key_len as usize)?;
        let (value, rest) = match value_len {
            GONE => (None, rest),
            len => {
                let (value, rest) = rest.split_at_checked(len as usize)?;
                (Some(value), rest)
            }
        };
        entries.push((key, value));
        bytes = rest;
    }
    Some(entries)
}

fn length(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*length), rest))
}
