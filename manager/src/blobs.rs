//! Blobs: bytes under the name of their BLAKE3 digest, each written once, checked, synced and never
//! changed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::nouns::Digest;

/// The directory that holds them: `ab/cdef…`, by the digest's digits.
#[derive(Clone, Debug)]
pub(crate) struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    serial: AtomicU64,
}

/// A blob on its way in. Dropped before [`Incoming::finish`], it leaves nothing.
pub(crate) struct Incoming {
    store: BlobStore,
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

// === impl BlobStore ===

impl BlobStore {
    /// Opens the directory, and removes what an earlier life left half-written.
    pub(crate) fn open(dir: PathBuf) -> io::Result<BlobStore> {
        let incoming = dir.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        fs::create_dir_all(&incoming)?;
        let store = BlobStore {
            inner: Arc::new(Inner {
                dir,
                serial: AtomicU64::new(0),
            }),
        };
        for head in 0..=u8::MAX {
            fs::create_dir_all(store.inner.dir.join(format!("{head:02x}")))?;
        }
        File::open(&store.inner.dir)?.sync_all()?;
        // Every log that nothing was written to is this blob.
        store.keep(b"")?;
        Ok(store)
    }

    pub(crate) fn contains(&self, digest: Digest) -> bool {
        self.path(digest).exists()
    }

    /// Where a blob's bytes are.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        let (head, tail) = name.split_at(2);
        self.inner.dir.join(head).join(tail)
    }

    /// Begins to take in a blob.
    pub(crate) fn incoming(&self) -> io::Result<Incoming> {
        let serial = self.inner.serial.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.dir.join("incoming").join(serial.to_string());
        let file = File::create_new(&path)?;
        let hasher = blake3::Hasher::new();
        Ok(Incoming {
            store: self.clone(),
            path,
            file,
            hasher,
            bytes: 0,
        })
    }

    /// Keeps bytes that are at hand.
    pub(crate) fn keep(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = Digest(*blake3::hash(bytes).as_bytes());
        if self.contains(digest) {
            return Ok(digest);
        }
        let mut incoming = self.incoming()?;
        incoming.write(bytes)?;
        incoming.finish()
    }

    /// Writes a blob as a file of its own: whoever looks sees the old file or the whole new one.
    /// Its bytes are on the disk when this returns; its name is when its directory is synced.
    pub(crate) fn write_to(&self, digest: Digest, target: &Path, mode: Mode) -> io::Result<()> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::other("it names no file"))?;
        let serial = self.inner.serial.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let hidden = format!(".{}.{pid}-{serial}.new", name.to_string_lossy());
        let new = target.with_file_name(hidden);
        let written = copy(&self.path(digest), &new, mode).and_then(|()| fs::rename(&new, target));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

/// Whether a file may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    Executable,
}

fn copy(from: &Path, to: &Path, mode: Mode) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let bits = match mode {
        Mode::Plain => 0o666,
        Mode::Executable => 0o777,
    };
    let mut source = File::open(from)?;
    let mut target = File::options()
        .write(true)
        .create_new(true)
        .mode(bits)
        .open(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_data()
}

// === impl Incoming ===

impl Incoming {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Syncs the bytes and gives them their name. A blob that is there already is left as it is.
    pub(crate) fn finish(self) -> io::Result<Digest> {
        let digest = Digest(*self.hasher.finalize().as_bytes());
        let target = self.store.path(digest);
        if target.exists() {
            return Ok(digest);
        }
        self.file.sync_data()?;
        fs::rename(&self.path, &target)?;
        if let Some(parent) = target.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(digest)
    }
}

impl Incoming {
    /// Finishes a blob that was announced as `wanted`. Gives the digest that the bytes have
    /// instead, if they are others: then nothing is kept.
    pub(crate) fn finish_as(self, wanted: Digest) -> io::Result<Option<Digest>> {
        let found = Digest(*self.hasher.finalize().as_bytes());
        if found != wanted {
            return Ok(Some(found));
        }
        self.finish().map(|_| None)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads a blob from `offset` on, piece by piece.
pub(crate) fn read_from(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(&mut piece[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path().join("blobs")).unwrap();
        let mut half = store.incoming().unwrap();
        half.write(b"half").unwrap();
        drop(half);
        let digest = store.keep(b"whole").unwrap();
        assert_eq!(store.keep(b"whole").unwrap(), digest);
        let names: Vec<_> = fs::read_dir(dir.path().join("blobs/incoming"))
            .unwrap()
            .collect();
        assert!(names.is_empty(), "{names:?}");
        let target = dir.path().join("a/b/out.txt");
        store.write_to(digest, &target, Mode::Executable).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        store.write_to(digest, &target, Mode::Plain).unwrap();
        let absent = Digest([7; 32]);
        assert!(!store.contains(absent));
        assert!(store.write_to(absent, &target, Mode::Plain).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"whole", "the old file stays");
    }
}
