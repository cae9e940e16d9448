//! A job's standard output and error: files beside its directory, read while it runs and sealed
//! when it ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use proto::nouns::{Blob, LogStream};

use crate::blobs::Source;
use crate::cache::hash_file;
use crate::sandbox::{Paths, log_name};

/// Longest log that is kept, bytes; the rest is cut off and the log says so.
pub(crate) const LOG_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a log that one answer carries.
pub(crate) const TAIL_BYTES_MAX: u64 = 256 << 10;

/// What the log holds from `offset` on, at most [`TAIL_BYTES_MAX`]; nothing where there is nothing.
/// Blocks.
pub(crate) fn read_log(path: &Path, offset: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)
    });
    if let Err(error) = read
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!("cannot read {}: {error}", path.display());
    }
    bytes
}

/// The log of an ended job as a blob; none if it is empty or cannot be read. Blocks.
pub(super) fn seal(paths: &Paths, stream: LogStream) -> Option<(Blob, Source)> {
    let sealed = seal_file(&paths.log(stream), LOG_BYTES_MAX);
    let blob = sealed.unwrap_or_else(|error| {
        tracing::warn!("cannot read {}: {error}", paths.log(stream).display());
        None
    })?;
    let path = log_name(stream).to_owned();
    Some((
        blob,
        Source {
            digest: blob.digest,
            root: paths.root.clone(),
            path,
        },
    ))
}

fn seal_file(path: &Path, bytes_max: u64) -> io::Result<Option<Blob>> {
    let mut bytes = path.metadata()?.len();
    if bytes == 0 {
        return Ok(None);
    }
    if bytes > bytes_max {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes_max)?;
        file.seek(SeekFrom::End(0))?;
        writeln!(
            file,
            "\n[updraft: cut off after {bytes_max} of {bytes} bytes (LOG_BYTES_MAX)]"
        )?;
        bytes = path.metadata()?.len();
    }
    let digest = hash_file(&mut File::open(path)?)?;
    Ok(Some(Blob {
        digest,
        bytes,
        executable: false,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_too_long_is_cut_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "0123456789").unwrap();
        let blob = seal_file(&path, 4).unwrap().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "0123\n[updraft: cut off after 4 of 10 bytes (LOG_BYTES_MAX)]\n"
        );
        assert_eq!(blob.bytes, text.len() as u64);
        assert_eq!(read_log(&path, 2)[..2], *b"23");
        assert!(read_log(&path, 1_000).is_empty());
        assert!(read_log(&dir.path().join("none"), 0).is_empty());
    }
}
