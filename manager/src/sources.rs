//! Texts of the languages on a disk: read for a submission or a sub-DAG, remembered as they were
//! read, and digested. Reads text files and directory listings only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use dags::Files;

use crate::places::Place;

/// Bytes of one text file.
pub const SOURCE_BYTES_MAX: u64 = 64 << 20;

/// Files on the disk, seen from a directory; remembers what was read.
pub struct Disk {
    place: Place,
    read: RefCell<BTreeMap<String, String>>,
}

impl Disk {
    /// Paths are relative to `root`, or absolute.
    #[must_use]
    pub fn new(root: &Path) -> Disk {
        Disk::at(Place::Real(root.to_owned()))
    }

    pub(crate) fn at(place: Place) -> Disk {
        Disk {
            place,
            read: RefCell::default(),
        }
    }

    /// Exactly the texts that were read, by the path under which they were asked for.
    #[must_use]
    pub fn into_read(self) -> BTreeMap<String, String> {
        self.read.into_inner()
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        if let Some(text) = self.read.borrow().get(path) {
            return Ok(text.clone());
        }
        let on_disk = self.place.path(path);
        let text = match path.ends_with('/') {
            true => names_in(&on_disk)?,
            false => read_text(&on_disk)?,
        };
        self.read.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn exists(&self, path: &str) -> bool {
        self.place.path(path).exists()
    }
}

/// BLAKE3 over the texts, the main file's name and the macros, each with its length in front: equal
/// exactly for equal submissions.
#[must_use]
pub fn digest(
    sources: &BTreeMap<String, String>,
    macros: &BTreeMap<String, String>,
    main: &str,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut feed = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for pairs in [sources, macros] {
        feed(&pairs.len().to_string());
        for (name, text) in pairs {
            feed(name);
            feed(text);
        }
    }
    feed(main);
    hasher.finalize().to_hex().to_string()
}

/// A system's error in the words of the languages' messages.
#[must_use]
pub fn said(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The listing of a directory, as [`Files`] has it. Names that no text can hold are left out.
fn names_in(directory: &Path) -> Result<String, String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| said(&error))? {
        let entry = entry.map_err(|error| said(&error))?;
        let Ok(mut name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.path().is_dir() {
            name.push('/');
        }
        if !name.contains('\n') {
            names.push(name);
        }
    }
    names.sort_unstable();
    names.iter_mut().for_each(|name| name.push('\n'));
    Ok(names.concat())
}

fn read_text(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|error| said(&error))?;
    if !meta.is_file() {
        return Err("not a file".to_owned());
    }
    let file = File::open(path).map_err(|error| said(&error))?;
    let mut bytes = Vec::new();
    // A file may grow while it is read.
    let read = file.take(SOURCE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| said(&error))?;
    if bytes.len() as u64 > SOURCE_BYTES_MAX {
        let bytes = meta.len().max(bytes.len() as u64);
        return Err(format!(
            "{bytes} bytes, more than {SOURCE_BYTES_MAX} (SOURCE_BYTES_MAX)"
        ));
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}
