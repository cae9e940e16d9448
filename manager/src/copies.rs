//! Copies of submitters' trees: the directories of DAG runs whose scripts, sub-DAGs or papers need
//! one, where the submitter's own is not the manager's to use. Holds no state besides the disk's;
//! where in a copy a path is, is told by [`crate::places`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use dags::dag::{Dag, NodeKind};
use proto::nouns::Blob;

use crate::blobs::{BlobStore, Mode};
use crate::collect::{FILES_MAX, Taker};
use crate::places::{Place, Places};

/// In front of the names of copies that are being made.
const UNFINISHED: &str = ".new-";
/// Beside a copy: the digests of its files as they were submitted, by path below its root.
const LIST: &str = "submitted.json";

/// Whether a DAG's run reads or writes its directory by itself, not through its jobs only.
pub(crate) fn needs_directory(dag: &Dag) -> bool {
    let papers = &dag.papers;
    let has_papers =
        papers.dot.is_some() || papers.node_status.is_some() || papers.jobstate_log.is_some();
    has_papers
        || dag.named().iter().any(|node| {
            let is_subdag = match node.kind {
                NodeKind::Subdag { .. } => true,
                NodeKind::Job { .. } | NodeKind::Study { .. } | NodeKind::Noop | NodeKind::Join => {
                    false
                }
            };
            is_subdag || !node.scripts.is_empty() || node.save_point.is_some()
        })
}

/// What a copy is made of.
pub(crate) struct Original<'a> {
    /// Directories that must be there, and may hold nothing.
    pub directories: BTreeSet<&'a str>,
    pub sources: &'a BTreeMap<String, String>,
    pub files: &'a BTreeMap<String, Blob>,
}

/// Makes the copy of a tree, whole and on the disk, or none. One that is there already stays as it
/// is: its run has begun to change it.
///
/// # Errors
/// The disk refuses something; the path is named.
pub(crate) fn make(
    places: &Places,
    blobs: &BlobStore,
    place: &Place,
    original: &Original<'_>,
) -> Result<(), String> {
    let Place::Copied { root, stood } = place else {
        return Ok(());
    };
    let home = home_of(root);
    if home.exists() {
        return Ok(());
    }
    let new = tempdir(places.work()).map_err(|error| failed(places.work(), &error))?;
    let unfinished = Place::Copied {
        root: root
            .file_name()
            .map_or_else(|| new.clone(), |name| new.join(name)),
        stood: stood.clone(),
    };
    let made = fill(blobs, &unfinished, original).and_then(|()| {
        let renamed = fs::rename(&new, home).or_else(|error| match home.exists() {
            // The same submission, sent twice, came in between.
            true => fs::remove_dir_all(&new),
            false => Err(error),
        });
        let synced = renamed.and_then(|()| sync(places.work()));
        synced.map_err(|error| failed(home, &error))
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    made
}

/// Removes the copies of no run: those of submissions that were refused, or cut off by a crash.
pub(crate) fn sweep<'a>(
    places: &Places,
    directories: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let used: BTreeSet<PathBuf> = directories
        .filter_map(|directory| match places.of(directory) {
            Place::Copied { root, .. } => Some(home_of(&root).to_owned()),
            Place::Real(_) => None,
        })
        .collect();
    for entry in fs::read_dir(places.work())? {
        let path = entry?.path();
        if used.contains(&path) {
            continue;
        }
        if let Err(error) = fs::remove_dir_all(&path) {
            // A script may have left something that is not so easily removed.
            tracing::warn!("{} is of no use and stays: {error}", path.display());
        }
    }
    Ok(())
}

/// The files of a copy that are not as they were submitted, by name.
///
/// # Errors
/// The copy's list of what was submitted cannot be read.
pub(crate) fn changed(place: &Place, taker: &Taker) -> io::Result<BTreeMap<String, Blob>> {
    let Place::Copied { root, .. } = place else {
        return Ok(BTreeMap::new());
    };
    let list = fs::read(home_of(root).join(LIST))?;
    let list: BTreeMap<String, String> = serde_json::from_slice(&list)?;
    let mut changed = BTreeMap::new();
    for below in files_in(root) {
        let path = root.join(&below);
        let as_listed = |digest: &String| hash(&path).is_ok_and(|found| found == *digest);
        if list.get(&below).is_some_and(as_listed) {
            continue;
        }
        match taker.take(&path) {
            Ok(blob) => {
                changed.insert(place.name(&format!("/{below}")), blob);
            }
            Err(error) => tracing::warn!("{} cannot be fetched: {error}", path.display()),
        }
    }
    Ok(changed)
}

/// The paths of all files below a directory. Links are not followed.
fn files_in(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut ahead = vec![String::new()];
    while let Some(directory) = ahead.pop() {
        let Ok(entries) = fs::read_dir(root.join(&directory)) else {
            tracing::warn!("{} cannot be read", root.join(&directory).display());
            continue;
        };
        for entry in entries.flatten() {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
                continue;
            };
            let path = dags::files::join(&directory, &name);
            if kind.is_dir() {
                ahead.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
        if files.len() > FILES_MAX {
            tracing::warn!(
                "{} has more than {FILES_MAX} files (FILES_MAX)",
                root.display()
            );
            break;
        }
    }
    files
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The directory that holds a copy and its list.
fn home_of(root: &Path) -> &Path {
    root.parent().unwrap_or(root)
}

/// A new directory of its own.
fn tempdir(work: &Path) -> io::Result<PathBuf> {
    let pid = std::process::id();
    for number in 0..u32::MAX {
        let path = work.join(format!("{UNFINISHED}{pid}-{number}"));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(io::Error::other("every name is taken"))
}

fn fill(blobs: &BlobStore, place: &Place, original: &Original<'_>) -> Result<(), String> {
    let Place::Copied { root, .. } = place else {
        return Ok(());
    };
    let mut made = BTreeSet::new();
    let mut list = BTreeMap::new();
    let mut note = |path: &Path, digest: String| {
        let below = path.strip_prefix(root).ok().and_then(Path::to_str);
        list.extend(below.map(|below| (below.to_owned(), digest)));
    };
    for directory in &original.directories {
        let path = place.path(directory);
        fs::create_dir_all(&path).map_err(|error| failed(&path, &error))?;
        made.insert(path);
    }
    for (name, text) in original.sources {
        // A listing is no file, and a file says whether it may be executed.
        if name.ends_with('/') || original.files.contains_key(name) {
            continue;
        }
        let path = place.path(name);
        write(&path, text.as_bytes()).map_err(|error| failed(&path, &error))?;
        note(&path, blake3::hash(text.as_bytes()).to_hex().to_string());
        made.extend(path.parent().map(Path::to_path_buf));
    }
    for (name, blob) in original.files {
        let path = place.path(name);
        let mode = match blob.executable {
            true => Mode::Executable,
            false => Mode::Plain,
        };
        let written = blobs.write_to(blob.digest, &path, mode);
        written.map_err(|error| failed(&path, &error))?;
        note(&path, blob.digest.to_string());
        made.extend(path.parent().map(Path::to_path_buf));
    }
    let path = home_of(root).join(LIST);
    let list = serde_json::to_vec(&list).expect("texts are JSON");
    write(&path, &list).map_err(|error| failed(&path, &error))?;
    sync_up_to(home_of(root), made)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Makes the names in these directories durable, and theirs, up to `root`.
fn sync_up_to(root: &Path, directories: BTreeSet<PathBuf>) -> Result<(), String> {
    let mut all = BTreeSet::from([root.to_owned()]);
    for directory in directories {
        let up = directory.ancestors().take_while(|path| *path != root);
        all.extend(up.map(Path::to_path_buf));
    }
    for directory in all {
        sync(&directory).map_err(|error| failed(&directory, &error))?;
    }
    Ok(())
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What is done to a DAG that needs no directory, and whether it then does.
    type Row<'a> = (&'a str, &'a dyn Fn(&mut Dag), bool);

    fn original() -> (BTreeMap<String, String>, BTreeMap<String, Vec<u8>>) {
        let texts = [
            ("a.dag", "JOB A ../jobs/a.sub\nSCRIPT PRE A pre.sh\n"),
            ("../jobs/a.sub", "queue\n"),
            ("../jobs/", "a.sub\n"),
        ];
        let sources = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let files = [
            ("pre.sh", "#!/bin/sh\n"),
            ("/data/x.csv", "x"),
            ("../../../../y", "y"),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.into()));
        (sources.into(), files.into())
    }

    #[test]
    fn a_copy_is_made_once_whole_and_swept_when_nobody_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::open(&dir.path().join("work")).unwrap();
        let blobs = BlobStore::open(dir.path().join("blobs")).unwrap();
        let (sources, files) = original();
        let files = files.into_iter().map(|(name, bytes)| {
            let blob = Blob {
                digest: blobs.keep(&bytes).unwrap(),
                bytes: bytes.len() as u64,
                executable: name.ends_with(".sh"),
            };
            (name, blob)
        });
        let files: BTreeMap<String, Blob> = files.collect();
        let original = Original {
            directories: BTreeSet::from(["", "nodes/b"]),
            sources: &sources,
            files: &files,
        };
        let place = places.own("key", "/home/ada/dag");
        make(&places, &blobs, &place, &original).unwrap();
        let Place::Copied { root, .. } = &place else {
            panic!("{place:?}");
        };
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read("home/ada/jobs/a.sub"), "queue\n");
        assert_eq!(read("data/x.csv"), "x");
        assert_eq!(read("y"), "y");
        assert!(root.join("home/ada/dag/nodes/b").is_dir());
        let script = root.join("home/ada/dag/pre.sh");
        assert_eq!(
            script.metadata().unwrap().permissions().mode() & 0o100,
            0o100
        );

        let taker = Taker::new(blobs.clone());
        assert_eq!(changed(&place, &taker).unwrap(), BTreeMap::new());

        // The same submission again finds what its run has made of the copy.
        fs::write(&script, "changed").unwrap();
        make(&places, &blobs, &place, &original).unwrap();
        assert_eq!(read("home/ada/dag/pre.sh"), "changed");
        fs::write(root.join("home/ada/jobs/made.txt"), "made").unwrap();
        let changed = changed(&place, &taker).unwrap();
        let texts = changed.iter().map(|(name, blob)| {
            let text = fs::read_to_string(blobs.path(blob.digest)).unwrap();
            (name.as_str(), text)
        });
        let expected = [("/home/ada/jobs/made.txt", "made"), ("pre.sh", "changed")];
        let expected = expected.map(|(name, text)| (name, text.to_owned()));
        assert_eq!(texts.collect::<Vec<_>>(), expected);

        let other = places.own("other", "/home/ada/dag");
        make(&places, &blobs, &other, &original).unwrap();
        let directory = place.path("");
        let used = [directory.to_str().unwrap(), "/home/eve"];
        sweep(&places, used.into_iter()).unwrap();
        let left: Vec<_> = fs::read_dir(places.work()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert!(script.exists());
    }

    #[test]
    fn a_copy_that_cannot_be_made_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::open(&dir.path().join("work")).unwrap();
        let blobs = BlobStore::open(dir.path().join("blobs")).unwrap();
        let text = |name: &str| (name.to_owned(), String::new());
        // A file where another needs a directory.
        let sources = BTreeMap::from([text("a"), text("a/b")]);
        let original = Original {
            directories: BTreeSet::from([""]),
            sources: &sources,
            files: &BTreeMap::new(),
        };
        let place = places.own("key", "/home/ada");
        let error = make(&places, &blobs, &place, &original).unwrap_err();
        assert!(error.contains("home/ada/a/b cannot be written"), "{error}");
        assert_eq!(fs::read_dir(places.work()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_a_run_does_itself_needs_a_directory() {
        let script = dags::dag::Script {
            program: "true".to_owned(),
            arguments: Vec::new(),
            defer: None,
            debug: None,
        };
        let file = || "a.txt".to_owned();
        let rows: [Row<'_>; 7] = [
            ("nothing", &|_| {}, false),
            (
                "hold script",
                &|dag| dag.nodes[0].scripts.hold = Some(Box::new(script.clone())),
                true,
            ),
            (
                "sub-DAG",
                &|dag| {
                    dag.nodes[0].kind = NodeKind::Subdag {
                        file: file(),
                        reads: dags::dag::Reads::Dag,
                    }
                },
                true,
            ),
            (
                "save point",
                &|dag| dag.nodes[0].save_point = Some(file()),
                true,
            ),
            ("log", &|dag| dag.papers.jobstate_log = Some(file()), true),
            (
                "status",
                &|dag| {
                    dag.papers.node_status = Some(dags::dag::StatusFile {
                        file: file(),
                        interval_s: 60,
                        always: false,
                    });
                },
                true,
            ),
            (
                "picture",
                &|dag| {
                    dag.papers.dot = Some(dags::dag::DotFile {
                        file: file(),
                        update: false,
                        overwrite: true,
                        header: None,
                    });
                },
                true,
            ),
        ];
        for (name, change, needs) in rows {
            let files = BTreeMap::from([("a.dag".to_owned(), "JOB A a.sub NOOP\n".to_owned())]);
            let (dag, found) = Dag::load("a.dag", &files);
            let mut dag = dag.unwrap_or_else(|| panic!("{}", found.render()));
            change(&mut dag);
            assert_eq!(needs_directory(&dag), needs, "{name}");
        }
    }
}
