//! Staged files by digest, fetched once however many jobs want them, checked before they are used.
//!
//! The rule of use: a file of the cache is read-only and shared, so a job never gets it itself,
//! neither by name nor by link; it gets a copy. Where the file system can share blocks between
//! files, the kernel makes that copy free.
//!
//! The rule of size: above the limit, files that no job is staging from go, those first whose last
//! use is longest ago. What is in use stays, so a limit smaller than the jobs' needs is exceeded
//! rather than fatal.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use proto::nouns::{Blob, Digest};

use crate::blobs::{BlobError, Blobs};

#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    bytes_max: u64,
    blobs: Arc<Blobs>,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    entries: BTreeMap<Digest, Entry>,
    /// Entries by their last use.
    by_use: BTreeMap<u64, Digest>,
    bytes: u64,
    uses: u64,
    /// Held by whoever fetches the blob.
    gates: BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    last_use: u64,
    /// Distinguishes this file from one of the same digest that was discarded.
    generation: u64,
    pins: u32,
    /// What the file looked like when its bytes were last seen to be right.
    verified: Option<Identity>,
}

/// What tells whether a file was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    inode: u64,
    bytes: u64,
    modified_ns: i128,
}

/// A file of the cache that stays while this lives.
#[derive(Debug)]
pub(crate) struct Pinned {
    cache: Arc<Cache>,
    digest: Digest,
    generation: u64,
}

/// What can go wrong between the cache and a job's directory.
#[derive(Debug)]
pub(crate) enum PlaceError {
    /// The cached file is not what its name says; it has been discarded.
    Corrupt,
    Disk(io::Error),
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Identity {
        let seconds = i128::from(metadata.mtime()) * 1_000_000_000;
        let modified_ns = seconds + i128::from(metadata.mtime_nsec());
        Identity {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified_ns,
        }
    }
}

impl Cache {
    /// Opens the cache in `dir` with what an earlier worker left there; none of it is believed
    /// before it was checked. Blocks.
    pub fn open(dir: PathBuf, bytes_max: u64, blobs: Arc<Blobs>) -> io::Result<Arc<Cache>> {
        let incoming = dir.join("incoming");
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&incoming)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let digest = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<Digest>().ok());
            if let Some(digest) = digest.filter(|_| metadata.is_file()) {
                found.push((Identity::of(&metadata).modified_ns, digest, metadata.len()));
            }
        }
        found.sort();
        let mut index = Index::default();
        for (_, digest, bytes) in found {
            index.insert(digest, bytes, None);
        }
        let cache = Cache {
            dir,
            bytes_max,
            blobs,
            index: Mutex::new(index),
        };
        cache.trim(&mut cache.lock());
        Ok(Arc::new(cache))
    }

    /// The blob as a file of the cache, fetched if need be. Whoever asks while it is being fetched
    /// waits for that.
    pub async fn obtain(self: &Arc<Cache>, blob: Blob) -> Result<Pinned, BlobError> {
        if let Some(pinned) = self.pin(blob.digest) {
            return Ok(pinned);
        }
        let gate = self.lock().gates.entry(blob.digest).or_default().clone();
        let turn = gate.lock().await;
        let pinned = match self.pin(blob.digest) {
            Some(pinned) => Ok(pinned),
            None => self.fetch(blob).await,
        };
        drop(turn);
        let mut index = self.lock();
        // The map's and this one: nobody else waits.
        if Arc::strong_count(&gate) == 2 {
            index.gates.remove(&blob.digest);
        }
        pinned
    }

    /// What is there, the largest files first, and no more than so many.
    pub fn largest(&self, count_max: usize) -> Vec<Digest> {
        let index = self.lock();
        let mut sizes: Vec<(u64, Digest)> = index
            .entries
            .iter()
            .map(|(digest, entry)| (entry.bytes, *digest))
            .collect();
        drop(index);
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.truncate(count_max);
        sizes.into_iter().map(|(_, digest)| digest).collect()
    }

    async fn fetch(self: &Arc<Cache>, blob: Blob) -> Result<Pinned, BlobError> {
        let incoming = self.dir.join("incoming").join(blob.digest.to_string());
        self.blobs.fetch(blob, &incoming).await?;
        let path = self.path(blob.digest);
        let renamed = std::fs::rename(&incoming, &path).and_then(|()| path.metadata());
        let metadata = renamed.map_err(|source| BlobError::Disk {
            path: path.clone(),
            source,
        })?;
        let mut index = self.lock();
        index.insert(blob.digest, metadata.len(), Some(Identity::of(&metadata)));
        let pinned = index.pin(self, blob.digest);
        self.trim(&mut index);
        Ok(pinned.expect("the entry was inserted under this lock"))
    }

    fn pin(self: &Arc<Cache>, digest: Digest) -> Option<Pinned> {
        self.lock().pin(self, digest)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// Removes what is above the limit and not in use.
    fn trim(&self, index: &mut Index) {
        while index.bytes > self.bytes_max {
            let mut oldest = index.by_use.values();
            let unused = oldest
                .find(|digest| index.entries[*digest].pins == 0)
                .copied();
            let Some(digest) = unused else { return };
            // Under the lock: nobody may be fetching it anew at the same time.
            self.remove_file(digest);
            index.remove(digest);
        }
    }

    fn remove_file(&self, digest: Digest) {
        let path = self.path(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove {}: {error}", path.display());
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index
            .lock()
            .expect("nothing panics while it holds the index")
    }
}

impl Pinned {
    /// Copies the file to `to`, where nothing may be yet, after checking that it is what it should
    /// be: by its bytes once in a worker's life and whenever it looks touched. Blocks.
    pub fn place(&self, to: &Path) -> Result<Identity, PlaceError> {
        let path = self.cache.path(self.digest);
        match self.verify(&path) {
            Ok(true) => {}
            Ok(false) => return Err(self.discard()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.discard()),
            Err(error) => return Err(PlaceError::Disk(error)),
        }
        std::fs::copy(&path, to).map_err(PlaceError::Disk)?;
        let metadata = to.metadata().map_err(PlaceError::Disk)?;
        Ok(Identity::of(&metadata))
    }

    fn verify(&self, path: &Path) -> io::Result<bool> {
        let identity = Identity::of(&path.metadata()?);
        let verified = self
            .cache
            .lock()
            .entries
            .get(&self.digest)
            .and_then(|e| e.verified);
        if verified == Some(identity) {
            return Ok(true);
        }
        if hash_file(&mut File::open(path)?)? != self.digest {
            return Ok(false);
        }
        if let Some(entry) = self.cache.lock().entries.get_mut(&self.digest) {
            entry.verified = Some(identity);
        }
        Ok(true)
    }

    fn discard(&self) -> PlaceError {
        tracing::warn!("cached file {} was damaged, fetching it again", self.digest);
        let mut index = self.cache.lock();
        let is_ours = |entry: &Entry| entry.generation == self.generation;
        if index.entries.get(&self.digest).is_some_and(is_ours) {
            self.cache.remove_file(self.digest);
            index.remove(self.digest);
        }
        PlaceError::Corrupt
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut index = self.cache.lock();
        if let Some(entry) = index.entries.get_mut(&self.digest)
            && entry.generation == self.generation
        {
            entry.pins -= 1;
        }
        self.cache.trim(&mut index);
    }
}

impl Index {
    fn insert(&mut self, digest: Digest, bytes: u64, verified: Option<Identity>) {
        self.remove(digest);
        self.uses += 1;
        let (last_use, generation) = (self.uses, self.uses);
        self.by_use.insert(last_use, digest);
        self.bytes += bytes;
        self.entries.insert(
            digest,
            Entry {
                bytes,
                last_use,
                generation,
                pins: 0,
                verified,
            },
        );
    }

    fn remove(&mut self, digest: Digest) {
        if let Some(entry) = self.entries.remove(&digest) {
            self.by_use.remove(&entry.last_use);
            self.bytes -= entry.bytes;
        }
    }

    fn pin(&mut self, cache: &Arc<Cache>, digest: Digest) -> Option<Pinned> {
        let entry = self.entries.get_mut(&digest)?;
        self.uses += 1;
        self.by_use.remove(&entry.last_use);
        entry.last_use = self.uses;
        self.by_use.insert(entry.last_use, digest);
        entry.pins += 1;
        Some(Pinned {
            cache: cache.clone(),
            digest,
            generation: entry.generation,
        })
    }
}

/// The digest of what is left to read of a file.
pub(crate) fn hash_file(file: &mut File) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}
