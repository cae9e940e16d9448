//! What a job leaves behind: found, read and named by digest. A job's links are followed only as
//! far as they stay in its directory, and what is neither file nor directory is left alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proto::nouns::{Blob, Input, Outputs, RelPath};

use super::Failure;
use crate::blobs::{Source, open_beneath};
use crate::cache::{Identity, hash_file};

/// Output files of one job, directories' contents counted one by one.
pub(crate) const OUTPUT_FILES_MAX: usize = 10_000;
/// Their bytes in all.
pub(crate) const OUTPUT_BYTES_MAX: u64 = 64 << 30;
/// The names in all, for a report must fit one message.
pub(crate) const OUTPUT_NAME_BYTES_MAX: usize = 1 << 20;
/// Directories within directories that are listed as output.
pub(crate) const OUTPUT_DEPTH_MAX: usize = 32;

/// A job's outputs: what to say of them, and where their bytes are.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub files: Vec<(RelPath, Blob)>,
    pub missing: Vec<RelPath>,
    pub sources: Vec<Source>,
}

struct Collector<'a> {
    dir: &'a Path,
    found: BTreeMap<RelPath, Blob>,
    bytes: u64,
    name_bytes: usize,
}

/// Finds and reads the outputs in `dir`. Blocks.
pub(super) fn collect(
    dir: &Path,
    outputs: &Outputs,
    placed: &BTreeMap<RelPath, (Input, Identity)>,
) -> Result<Collected, Failure> {
    let mut collector = Collector {
        dir,
        found: BTreeMap::new(),
        bytes: 0,
        name_bytes: 0,
    };
    let mut missing = Vec::new();
    match outputs {
        Outputs::New => collector.new_files(placed)?,
        Outputs::Listed(paths) => {
            for path in paths {
                if !collector.listed(path)? {
                    missing.push(path.clone());
                }
            }
        }
    }
    let source = |(path, blob): (&RelPath, &Blob)| Source {
        digest: blob.digest,
        root: dir.to_owned(),
        path: path.to_string(),
    };
    let sources = collector.found.iter().map(source).collect();
    Ok(Collected {
        files: collector.found.into_iter().collect(),
        missing,
        sources,
    })
}

impl Collector<'_> {
    fn new_files(&mut self, placed: &BTreeMap<RelPath, (Input, Identity)>) -> Result<(), Failure> {
        for path in self
            .entries(None)
            .map_err(|error| unreadable(".", &error))?
        {
            // Links that lead out, and files that vanish as they are looked at, are nobody's
            // output.
            let Ok(file) = open_beneath(self.dir, path.as_str()) else {
                continue;
            };
            let metadata = file
                .metadata()
                .map_err(|error| unreadable(path.as_str(), &error))?;
            let input = placed.get(&path);
            let untouched = input.is_some_and(|(_, was)| *was == Identity::of(&metadata));
            if !metadata.is_file() || untouched {
                continue;
            }
            let blob = self.read(&path, file)?;
            if input.is_none_or(|(input, _)| input.blob.digest != blob.digest) {
                self.add(path, blob)?;
            }
        }
        Ok(())
    }

    /// Adds the file, or the directory's files. False if there is neither.
    fn listed(&mut self, listed: &RelPath) -> Result<bool, Failure> {
        let mut there = false;
        let mut waiting = vec![(listed.clone(), 0)];
        while let Some((path, depth)) = waiting.pop() {
            let Ok(file) = open_beneath(self.dir, path.as_str()) else {
                continue;
            };
            let metadata = file
                .metadata()
                .map_err(|error| unreadable(path.as_str(), &error))?;
            if metadata.is_dir() && depth == OUTPUT_DEPTH_MAX {
                return Err(Failure::job(format!(
                    "its output `{listed}` is more than {OUTPUT_DEPTH_MAX} directories deep \
                     (OUTPUT_DEPTH_MAX)"
                )));
            }
            if metadata.is_dir() {
                there = true;
                let entries = self.entries(Some(&path));
                let entries = entries.map_err(|error| unreadable(path.as_str(), &error))?;
                waiting.extend(entries.into_iter().map(|entry| (entry, depth + 1)));
            } else if metadata.is_file() {
                there = true;
                let blob = self.read(&path, file)?;
                self.add(path, blob)?;
            }
            if waiting.len() > OUTPUT_FILES_MAX {
                return Err(too_many());
            }
        }
        Ok(there)
    }

    /// What is in a directory, in order. Names that are no text are left out.
    fn entries(&self, below: Option<&RelPath>) -> io::Result<Vec<RelPath>> {
        let dir = below.map_or(self.dir.to_owned(), |path| self.dir.join(path.as_str()));
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            let path = name.to_str().and_then(|name| match below {
                None => name.parse().ok(),
                Some(path) => format!("{path}/{name}").parse().ok(),
            });
            match path {
                Some(path) => entries.push(path),
                None => tracing::warn!("an output named {name:?} cannot be sent and is left out"),
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn read(&self, path: &RelPath, mut file: File) -> Result<Blob, Failure> {
        let wrong = |error: io::Error| unreadable(path.as_str(), &error);
        let metadata = file.metadata().map_err(wrong)?;
        if self.bytes + metadata.len() > OUTPUT_BYTES_MAX {
            return Err(Failure::job(format!(
                "its outputs have more than {OUTPUT_BYTES_MAX} bytes (OUTPUT_BYTES_MAX)"
            )));
        }
        let digest = hash_file(&mut file).map_err(wrong)?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        Ok(Blob {
            digest,
            bytes: metadata.len(),
            executable,
        })
    }

    fn add(&mut self, path: RelPath, blob: Blob) -> Result<(), Failure> {
        self.bytes += blob.bytes;
        self.name_bytes += path.as_str().len();
        self.found.insert(path, blob);
        if self.found.len() > OUTPUT_FILES_MAX {
            return Err(too_many());
        }
        if self.name_bytes > OUTPUT_NAME_BYTES_MAX {
            return Err(Failure::job(format!(
                "the names of its outputs have more than {OUTPUT_NAME_BYTES_MAX} bytes \
                 (OUTPUT_NAME_BYTES_MAX)"
            )));
        }
        Ok(())
    }
}

fn too_many() -> Failure {
    Failure::job(format!(
        "it left more than {OUTPUT_FILES_MAX} output files (OUTPUT_FILES_MAX)"
    ))
}

fn unreadable(path: &str, error: &io::Error) -> Failure {
    Failure::worker(format!("its output `{path}` could not be read: {error}"))
}
