//! Where the files of a submission are on the manager's disk. Holds no list of them and decides
//! nothing about their contents.
//!
//! Nearly always that is the submitter's own directory. A DAG run of somebody whose directory the
//! manager does not share, but that needs one, gets a directory of the manager's: below it lies a
//! copy of as much of the submitter's file tree as the submission names, so that `../data`
//! and `/data` mean there what they meant to the submitter, and nothing leads out of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::nouns::join_path;

/// Digits of the name of a run's directory: enough that no two submissions share one.
const NAME_DIGITS: usize = 32;
/// Where in a run's directory the copy is.
const TREE: &str = "tree";

/// Knows which directories are the manager's.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Absolute.
    work: String,
}

/// What the paths of one submission are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A directory as it is.
    Real(PathBuf),
    /// A copy of the submitter's tree below `root`, and where in it the submitter stood.
    Copied { root: PathBuf, stood: String },
}

// === impl Places ===

impl Places {
    /// The manager's directories lie below `work`, which is made if it is not there.
    pub(crate) fn open(work: &Path) -> io::Result<Places> {
        fs::create_dir_all(work)?;
        let work = fs::canonicalize(work)?.into_os_string().into_string();
        let work = work.map_err(|_| io::Error::other("the path is not UTF-8"))?;
        Ok(Places { work })
    }

    /// Where the manager's directories are.
    pub(crate) fn work(&self) -> &Path {
        Path::new(&self.work)
    }

    /// The place that a workspace's directory is.
    pub(crate) fn of(&self, directory: &str) -> Place {
        let below = directory
            .strip_prefix(&self.work)
            .and_then(|below| below.strip_prefix('/'))
            .filter(|below| !below.is_empty());
        let Some(below) = below else {
            return Place::Real(PathBuf::from(directory));
        };
        let (name, rest) = below.split_once('/').unwrap_or((below, TREE));
        Place::Copied {
            root: self.work().join(name).join(TREE),
            stood: join_path("/", rest.strip_prefix(TREE).unwrap_or_default()),
        }
    }

    /// The place that a submission under this key gets.
    pub(crate) fn own(&self, key: &str, directory: &str) -> Place {
        let digest = blake3::hash(key.as_bytes()).to_hex();
        Place::Copied {
            root: self.work().join(&digest[..NAME_DIGITS]).join(TREE),
            stood: join_path("/", directory),
        }
    }

    /// The directory as its submitter knows it.
    pub(crate) fn as_submitted(&self, directory: &str) -> String {
        match self.of(directory) {
            Place::Real(_) => directory.to_owned(),
            Place::Copied { stood, .. } => stood,
        }
    }
}

// === impl Place ===

impl Place {
    /// Where on the disk a path of the submission is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        match self {
            Place::Real(directory) => directory.join(path),
            Place::Copied { root, stood } => {
                let absolute = join_path(stood, path);
                root.join(absolute.trim_start_matches('/'))
            }
        }
    }

    /// The one name of a path of the submission: relative to where its submitter stood, if it lies
    /// there.
    pub(crate) fn name(&self, path: &str) -> String {
        match self {
            Place::Real(_) => path.to_owned(),
            Place::Copied { stood, .. } => {
                let absolute = join_path(stood, path);
                let below = absolute
                    .strip_prefix(stood.trim_end_matches('/'))
                    .and_then(|below| below.strip_prefix('/'));
                below.map_or_else(|| absolute.clone(), ToOwned::to_owned)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_a_copied_tree() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::open(&dir.path().join("work")).unwrap();
        let own = places.own("../a/key", "/home/ada/dag");
        let stood = own.path("");
        let rows = [
            ("x", "home/ada/dag/x", "x"),
            ("./a/../x", "home/ada/dag/x", "x"),
            ("../data/x", "home/ada/data/x", "/home/ada/data/x"),
            ("../dagger/x", "home/ada/dagger/x", "/home/ada/dagger/x"),
            ("../../../../../x", "x", "/x"),
            ("/etc/x", "etc/x", "/etc/x"),
            ("/home/ada/dag/x", "home/ada/dag/x", "x"),
        ];
        // What the queue keeps of a place is its directory, and that is enough to know it again.
        let again = places.of(stood.to_str().unwrap());
        assert_eq!(again, own);
        let Place::Copied { root, .. } = &own else {
            panic!("{own:?}");
        };
        assert_eq!(root.parent().unwrap().parent().unwrap(), places.work());
        for (path, below, name) in rows {
            assert_eq!(again.path(path), root.join(below), "{path}");
            assert_eq!(again.name(path), name, "{path}");
        }
        assert_eq!(
            places.as_submitted(stood.to_str().unwrap()),
            "/home/ada/dag"
        );
    }

    #[test]
    fn other_directories_are_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::open(&dir.path().join("work")).unwrap();
        let work = places.work().to_str().unwrap().to_owned();
        for directory in ["/home/ada", &work, &format!("{work}er/x")] {
            assert_eq!(places.of(directory), Place::Real(PathBuf::from(directory)));
            assert_eq!(places.as_submitted(directory), *directory);
        }
        let real = places.of("/home/ada");
        assert_eq!(real.path("../x"), Path::new("/home/ada/../x"));
        assert_eq!(real.path("/x"), Path::new("/x"));
    }
}
