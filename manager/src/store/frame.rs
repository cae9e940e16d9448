//! How values stand in the database: in chunks, each with a version and a checksum. Knows nothing of
//! what they hold.

use super::StoreError;

/// What is written in front of every chunk.
const CHUNK_VERSION: u8 = 2;
/// sled writes a leaf of more than 128 KiB to a file of its own, which it never syncs. A leaf has up
/// to 16 values, and some more for a moment, until it is split: twenty of this size fit.
pub(super) const CHUNK_BYTES_MAX: usize = 6 << 10;
const HEADER_BYTES: usize = 5;

/// An empty value has one chunk, so that it is there.
pub(super) fn chunks_of(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let empty = value.is_empty().then_some(value);
    value.chunks(CHUNK_BYTES_MAX).chain(empty)
}

pub(super) fn chunk_key(name: &[u8], number: u32) -> Vec<u8> {
    [name, &number.to_be_bytes()].concat()
}

/// A chunk's key, taken apart.
pub(super) fn chunk_name(key: &[u8]) -> Option<(&[u8], u32)> {
    let (name, number) = key.split_last_chunk::<4>()?;
    Some((name, u32::from_be_bytes(*number)))
}

pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.push(CHUNK_VERSION);
    bytes.extend(crc32fast::hash(payload).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub(super) fn unframed<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
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

pub(super) fn damaged(key: &[u8], reason: &str) -> StoreError {
    StoreError::Damaged {
        reason: format!("record {}: {reason}", key.escape_ascii()),
    }
}
