//! Blobs from the manager, verified, each a whole file or none.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proto::convert::Malformed;
use proto::nouns::{Blob, RelPath, join_path};
use proto::wire;
use tempfile::NamedTempFile;

use super::Client;
use crate::exit::Failure;

const MODE: u32 = 0o644;
const MODE_EXECUTABLE: u32 = 0o755;

/// One file to be fetched.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Below the directory that files are fetched to.
    pub path: RelPath,
    pub blob: Blob,
}

/// What became of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    Written,
    /// A file with these bytes was there.
    Present,
}

impl Wanted {
    /// A file that the manager named. An absolute path is put below the directory with all its
    /// parts, so that nothing is ever written elsewhere.
    ///
    /// # Errors
    /// A path that leads out of the directory, or a malformed message.
    pub fn from_wire(file: wire::File) -> Result<Wanted, Failure> {
        let malformed = |error: Malformed| Failure::Internal(error.to_string());
        let joined = join_path("", &file.path);
        let path = joined.trim_start_matches('/').parse().map_err(|error| {
            Failure::Work(format!(
                "{}: not fetched: {error}",
                file.path.escape_debug()
            ))
        })?;
        let blob = file
            .blob
            .unwrap_or_default()
            .try_into()
            .map_err(malformed)?;
        Ok(Wanted { path, blob })
    }
}

impl Client {
    /// Brings one file into `directory`.
    ///
    /// # Errors
    /// The bytes are not what the digest says, or the disk refuses them; the file is then as it
    /// was.
    pub async fn fetch(&self, wanted: &Wanted, directory: &Path) -> Result<Fetched, Failure> {
        let target = directory.join(wanted.path.as_str());
        let wrong = |error: std::io::Error| Failure::Work(format!("{}: {error}", target.display()));
        if holds(&target, &wanted.blob) {
            return Ok(Fetched::Present);
        }
        let parent = target.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent).map_err(wrong)?;
        let mut file = NamedTempFile::new_in(parent).map_err(wrong)?;
        let request = wire::GetRequest {
            digest: wanted.blob.digest.to_string(),
            offset: 0,
        };
        let mut chunks = self.heard(self.blobs.clone().get(request).await)?;
        let mut hasher = blake3::Hasher::new();
        while let Some(chunk) = self.next(&mut chunks).await? {
            hasher.update(&chunk.bytes);
            file.write_all(&chunk.bytes).map_err(wrong)?;
        }
        if hasher.finalize().as_bytes() != &wanted.blob.digest.0 {
            let path = target.display();
            return Err(Failure::Work(format!(
                "{path}: the bytes that came are not the file's"
            )));
        }
        let mode = if wanted.blob.executable {
            MODE_EXECUTABLE
        } else {
            MODE
        };
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))
            .map_err(wrong)?;
        file.as_file().sync_all().map_err(wrong)?;
        file.persist(&target).map_err(|error| wrong(error.error))?;
        Ok(Fetched::Written)
    }
}

/// Whether a file already has the blob's bytes and its right to be executed.
fn holds(path: &Path, blob: &Blob) -> bool {
    let Ok(meta) = std::fs::metadata(path) else {
        return false;
    };
    let executable = meta.permissions().mode() & 0o111 != 0;
    meta.is_file()
        && meta.len() == blob.bytes
        && executable == blob.executable
        && super::inputs::hash(path).is_ok_and(|found| found.digest == blob.digest)
}

/// Where a fetched file lies, for messages.
pub fn shown(directory: &Path, wanted: &Wanted) -> PathBuf {
    if directory == Path::new(".") {
        return PathBuf::from(wanted.path.as_str());
    }
    directory.join(wanted.path.as_str())
}
