//! Collecting: threads that take files of a run's directory into the blobs, where jobs find them.
//! Which files those are and who asked is the queue's business.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use manager_core::{CollectOrder, Command};
use proto::nouns::{Blob, Digest, join_path};

use crate::blobs::BlobStore;
use crate::places::{Place, Places};
use crate::queue::Closed;
use crate::settings::BLOB_BYTES_MAX;
use crate::sources::said;

/// Threads that read at the same time.
const THREADS: usize = 2;
/// Files of one order, those of directories counted each.
pub(crate) const FILES_MAX: usize = 1_000_000;
/// Directories inside directories; beyond it there is a link that leads back.
const DEPTH_MAX: usize = 64;
/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Files whose blobs are remembered.
const KNOWN_MAX: usize = 100_000;
/// How long a file must have been left alone before its times tell whether it changed since.
const SETTLED: Duration = Duration::from_secs(2);
/// The one device that is an input: an empty file.
const NULL: &str = "/dev/null";

/// The way to the threads. The queue knows what it waits for, so that a crash asks again.
pub(crate) struct Collector {
    sender: Sender<CollectOrder>,
}

impl Collector {
    /// Starts the threads; what they take goes to `post`.
    pub(crate) fn start(
        taker: &Taker,
        places: Places,
        post: impl Fn(Command) -> Result<(), Closed> + Clone + Send + 'static,
    ) -> io::Result<Collector> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let taker = taker.clone();
            let (receiver, places, post) = (receiver.clone(), places.clone(), post.clone());
            std::thread::Builder::new()
                .name("collect".to_owned())
                .spawn(move || work(&receiver, &taker, &places, &post))?;
        }
        Ok(Collector { sender })
    }

    pub(crate) fn collect(&self, order: CollectOrder) {
        let _ = self.sender.send(order);
    }
}

fn work(
    receiver: &Mutex<Receiver<CollectOrder>>,
    taker: &Taker,
    places: &Places,
    post: &impl Fn(Command) -> Result<(), Closed>,
) {
    loop {
        let next = lock(receiver).recv();
        let Ok(order) = next else { return };
        let command = Command::Collected {
            run: order.run,
            node: order.node,
            files: taker.take_all(&places.of(&order.directory), &order.paths),
        };
        if post(command).is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes files into the blobs.
#[derive(Clone)]
pub(crate) struct Taker {
    blobs: BlobStore,
    known: Arc<Mutex<HashMap<Stamp, Digest>>>,
}

/// What is the same as long as a file's bytes are, once it has settled.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Taker {
    pub(crate) fn new(blobs: BlobStore) -> Taker {
        Taker {
            blobs,
            known: Arc::default(),
        }
    }

    /// # Errors
    /// A file that is there and cannot be taken, in words.
    fn take_all(&self, place: &Place, paths: &[String]) -> Result<BTreeMap<String, Blob>, String> {
        let mut names = Vec::new();
        for path in paths {
            find(place, path, &mut names)?;
        }
        let mut files = BTreeMap::new();
        for name in names {
            let on_disk = place.path(&name);
            match self.take(&on_disk) {
                Ok(blob) => {
                    files.insert(name, blob);
                }
                // Gone since it was found.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&name, &said(&error))),
            }
        }
        Ok(files)
    }

    /// Takes one file.
    pub(crate) fn take(&self, path: &Path) -> io::Result<Blob> {
        let mut file = File::open(path)?;
        let meta = file.metadata()?;
        let stamp = Stamp::of(&meta);
        let executable = meta.permissions().mode() & 0o111 != 0;
        let known = lock(&self.known).get(&stamp).copied();
        if let Some(digest) = known.filter(|digest| self.blobs.contains(*digest)) {
            return Ok(Blob {
                digest,
                bytes: stamp.bytes,
                executable,
            });
        }
        let settled = stamp.is_settled();
        let mut incoming = self.blobs.incoming()?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = match file.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            incoming.write(&piece[..count])?;
            if incoming.bytes() > BLOB_BYTES_MAX {
                let reason = format!("it has more than {BLOB_BYTES_MAX} bytes (BLOB_BYTES_MAX)");
                return Err(io::Error::other(reason));
            }
        }
        let bytes = incoming.bytes();
        let digest = incoming.finish()?;
        if settled && Stamp::of(&file.metadata()?) == stamp {
            let mut known = lock(&self.known);
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(stamp, digest);
        }
        Ok(Blob {
            digest,
            bytes,
            executable,
        })
    }
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            changed_s: meta.ctime(),
            changed_ns: meta.ctime_nsec(),
        }
    }

    /// Whether the file has not changed for so long that a change would show in its times.
    fn is_settled(&self) -> bool {
        let seconds = Duration::from_secs(u64::try_from(self.changed_s).unwrap_or(0));
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH + seconds)
            .is_ok_and(|age| age > SETTLED)
    }
}

/// Adds the files that a path means: itself, or all in the directory that it is. What is not there
/// is left out.
fn find(place: &Place, path: &str, names: &mut Vec<String>) -> Result<(), String> {
    let meta = match fs::metadata(place.path(path)) {
        Ok(meta) => meta,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(unreadable(path, &said(&error))),
    };
    if meta.is_dir() {
        find_in(place, path, names)
    } else if meta.is_file() || path == NULL {
        push(path.to_owned(), names)
    } else {
        Err(format!("{path} is neither a file nor a directory"))
    }
}

/// Adds what a directory holds; links are followed. What is neither file nor directory is not
/// taken.
fn find_in(place: &Place, path: &str, names: &mut Vec<String>) -> Result<(), String> {
    let mut ahead = vec![(path.to_owned(), 0)];
    while let Some((path, depth)) = ahead.pop() {
        if depth > DEPTH_MAX {
            return Err(format!("{path} lies deeper than {DEPTH_MAX} (DEPTH_MAX)"));
        }
        let wrong = |error: io::Error| unreadable(&path, &said(&error));
        for entry in fs::read_dir(place.path(&path)).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let name = entry.file_name().into_string().map_err(|name| {
                let name = name.to_string_lossy();
                format!("{path} holds {name}, a name that is not UTF-8")
            })?;
            let inside = join_path(&path, &name);
            match fs::metadata(entry.path()) {
                Ok(meta) if meta.is_dir() => ahead.push((inside, depth + 1)),
                Ok(meta) if meta.is_file() => push(inside, names)?,
                Ok(_) => {}
                // A link to nothing, or gone since it was listed.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(unreadable(&inside, &said(&error))),
            }
        }
    }
    Ok(())
}

fn push(name: String, names: &mut Vec<String>) -> Result<(), String> {
    if names.len() >= FILES_MAX {
        return Err(format!(
            "{name} is one file too many: {FILES_MAX} (FILES_MAX)"
        ));
    }
    names.push(name);
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn unreadable(path: &str, reason: &str) -> String {
    format!("{path} cannot be read: {reason}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct House {
        dir: tempfile::TempDir,
        taker: Taker,
    }

    impl House {
        fn new() -> House {
            let dir = tempfile::tempdir().unwrap();
            let blobs = BlobStore::open(dir.path().join("blobs")).unwrap();
            fs::create_dir(dir.path().join("run")).unwrap();
            let taker = Taker::new(blobs);
            House { dir, taker }
        }

        fn run(&self) -> std::path::PathBuf {
            self.dir.path().join("run")
        }

        fn file(&self, name: &str, text: &str) {
            let path = self.run().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn take(&self, paths: &[&str]) -> Result<BTreeMap<String, Blob>, String> {
            let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
            self.taker.take_all(&Place::Real(self.run()), &paths)
        }

        fn check(&self, paths: &[&str], expected: &[(&str, &str)]) {
            let files = self.take(paths).unwrap();
            let texts = files.iter().map(|(name, blob)| {
                let text = fs::read_to_string(self.taker.blobs.path(blob.digest)).unwrap();
                assert_eq!(text.len() as u64, blob.bytes);
                (name.clone(), text)
            });
            let expected = expected.iter().map(|(n, t)| (n.to_string(), t.to_string()));
            assert_eq!(texts.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn files_and_directories_become_blobs() {
        let house = House::new();
        house.file("a.txt", "a");
        house.file("d/x", "x");
        house.file("d/e/y", "y");
        house.check(
            &["a.txt", "d", "absent", "a.txt/below"],
            &[("a.txt", "a"), ("d/e/y", "y"), ("d/x", "x")],
        );
        house.check(
            &["./a.txt", "d/"],
            &[("./a.txt", "a"), ("d/e/y", "y"), ("d/x", "x")],
        );
        let absolute = house.run().join("a.txt");
        let absolute = absolute.to_str().unwrap();
        house.check(
            &[absolute, "/dev/null"],
            &[("/dev/null", ""), (absolute, "a")],
        );
    }

    #[test]
    fn links_are_followed_and_those_to_nothing_left_out() {
        let house = House::new();
        house.file("a.txt", "a");
        house.file("far/x", "x");
        fs::create_dir(house.run().join("d")).unwrap();
        symlink("../a.txt", house.run().join("d/a")).unwrap();
        symlink("../far", house.run().join("d/far")).unwrap();
        symlink("nowhere", house.run().join("d/broken")).unwrap();
        house.check(&["d"], &[("d/a", "a"), ("d/far/x", "x")]);
        symlink(".", house.run().join("d/round")).unwrap();
        let error = house.take(&["d"]).unwrap_err();
        assert!(error.starts_with("d/round/round/"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        let house = House::new();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&house.run().join("pipe"), mode).unwrap();
        let error = house.take(&["pipe"]).unwrap_err();
        assert_eq!(error, "pipe is neither a file nor a directory");
        house.check(&[""], &[]);
    }

    #[test]
    fn a_file_that_changed_is_taken_anew() {
        let house = House::new();
        house.file("tool", "one");
        let first = house.take(&["tool"]).unwrap()["tool"];
        assert!(!first.executable);
        house.file("tool", "two");
        let path = house.run().join("tool");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let second = house.take(&["tool"]).unwrap()["tool"];
        assert!(second.executable);
        assert_ne!(first.digest, second.digest);
        house.check(&["tool"], &[("tool", "two")]);
    }

    #[test]
    fn a_stamp_settles_with_age() {
        let age = |seconds: u64| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let changed = now.unwrap().as_secs().saturating_sub(seconds);
            let changed_s = i64::try_from(changed).unwrap();
            Stamp {
                device: 0,
                inode: 0,
                bytes: 0,
                changed_s,
                changed_ns: 0,
            }
        };
        assert!(age(3600).is_settled());
        assert!(!age(0).is_settled());
    }
}
