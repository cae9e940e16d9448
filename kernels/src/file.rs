//! Files that are whole or absent: written beside their place, then renamed into it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Creates `path` with what `fill` writes, or leaves what was there. The bytes are on the disk
/// before the name is. Missing parent folders are created.
pub(crate) fn write_atomically<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(parent)?;
    }
    let temporary = temporary_beside(path)?;
    let written =
        write_whole(&temporary, fill).and_then(|()| fs::rename(&temporary, path).map_err(E::from));
    if written.is_err() {
        // The first error is the one worth telling; a leftover file is not.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_whole<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let mut writer = BufWriter::new(File::create(path)?);
    fill(&mut writer)?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    Ok(())
}

/// A name in the same folder (a rename must not cross file systems), apart for each writer.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path does not end in a file name",
        )
    })?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}.{write}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}
