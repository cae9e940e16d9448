//! The files of one submission: a name space from paths to blobs, where a child's inputs are its
//! parent's outputs.

use std::collections::BTreeMap;

use proto::nouns::Blob;
use serde::{Deserialize, Serialize};

/// Where a cluster's or DAG run's files are found and put. Paths are relative to `directory`, or
/// absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// The submitter's directory, as he sees it.
    pub directory: String,
    pub delivery: Delivery,
    /// Uploaded at submit, and added as jobs bring back outputs. Each has a record of its own.
    #[serde(skip)]
    pub files: BTreeMap<String, Blob>,
}

/// What happens to outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Written below the workspace's directory, before the job counts as completed.
    Write,
    /// Kept as blobs until they are fetched.
    Keep,
}

impl Workspace {
    /// The files that an input path means: itself, or everything below it if it names a directory.
    /// A path that ends in `/` means the directory's contents. Yields the path inside the job's
    /// directory and the blob.
    pub(crate) fn find(&self, path: &str, written: &str) -> Vec<(String, Blob)> {
        if let Some(blob) = self.files.get(path) {
            let name = path.rsplit('/').next().unwrap_or(path);
            return vec![(name.to_owned(), *blob)];
        }
        let below = format!("{}/", path.trim_end_matches('/'));
        let prefix = if written.ends_with('/') {
            String::new()
        } else {
            let name = below
                .trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or_default();
            format!("{name}/")
        };
        self.files
            .range(below.clone()..)
            .take_while(|(file, _)| file.starts_with(&below))
            .map(|(file, blob)| (format!("{prefix}{}", &file[below.len()..]), *blob))
            .collect()
    }
}
