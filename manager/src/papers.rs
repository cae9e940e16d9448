//! Papers: the files that tell people about runs and jobs, written by one thread in the order in
//! which they are asked for. Nothing depends on them: one that cannot be written is logged and
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use manager_core::{Write, Writing};

use crate::places::Places;

/// Writings that wait for the thread. More are dropped: a disk that hangs must not hold up the
/// queue.
const WAITING_MAX: usize = 65_536;
/// Files that are kept open between two writings to their end.
const OPEN_MAX: usize = 64;
/// Files of one name beside each other.
const BESIDE_MAX: u32 = 100_000;
/// Files that could not be written, each complained of once.
const FAILING_MAX: usize = 1024;
/// Bytes at the end of a log in which an event is looked for that may be there already.
const TAIL_BYTES: u64 = 64 << 10;

/// The way to the thread. Dropping it waits until all is written.
pub(crate) struct Papers {
    sender: Option<SyncSender<Writing>>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
}

// === impl Papers ===

impl Papers {
    pub(crate) fn start(places: Places) -> io::Result<Papers> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let writer = Writer::new(places);
        let thread = std::thread::Builder::new()
            .name("papers".to_owned())
            .spawn(move || work(&receiver, writer))?;
        Ok(Papers {
            sender: Some(sender),
            thread: Some(thread),
            dropped: 0,
        })
    }

    pub(crate) fn write(&mut self, writing: Writing) {
        let Some(sender) = &self.sender else { return };
        match sender.try_send(writing) {
            Ok(()) => {
                if self.dropped > 0 {
                    tracing::warn!("{} writings were dropped", self.dropped);
                    self.dropped = 0;
                }
            }
            Err(TrySendError::Full(writing)) => {
                if self.dropped == 0 {
                    let path = Path::new(&writing.directory).join(&writing.path);
                    tracing::warn!("{} is not written: the disk is too slow", path.display());
                }
                self.dropped += 1;
            }
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(receiver: &Receiver<Writing>, mut writer: Writer) {
    while let Ok(writing) = receiver.recv() {
        writer.write(&writing);
    }
}

/// What the thread owns.
struct Writer {
    places: Places,
    open: BTreeMap<PathBuf, Open>,
    /// Counts writings, to tell which open file was used longest ago.
    turn: u64,
    /// Files that could not be written the last time.
    failing: BTreeSet<PathBuf>,
}

/// A file that is open for writing to its end.
struct Open {
    file: File,
    device: u64,
    inode: u64,
    turn: u64,
}

// === impl Writer ===

impl Writer {
    fn new(places: Places) -> Writer {
        Writer {
            places,
            open: BTreeMap::new(),
            turn: 0,
            failing: BTreeSet::new(),
        }
    }

    fn write(&mut self, writing: &Writing) {
        let path = self.places.of(&writing.directory).path(&writing.path);
        let written = make_parent(&path).and_then(|()| match &writing.how {
            Write::Replace(bytes) => replace(&path, bytes),
            Write::KeepOld(bytes) => keep_old(&path, bytes),
            Write::Beside(bytes) => beside(&path, bytes),
            Write::Append(bytes) => self.append(&path, bytes),
            Write::AppendMissing(bytes) => match ends_with(&path, bytes) {
                true => Ok(()),
                false => self.append(&path, bytes),
            },
        });
        match written {
            Ok(()) => {
                self.failing.remove(&path);
            }
            Err(error) => self.complain(path, &error),
        }
    }

    /// Says what is wrong with a file, until it is written again.
    fn complain(&mut self, path: PathBuf, error: &io::Error) {
        if self.failing.contains(&path) {
            return;
        }
        tracing::warn!("{} cannot be written: {error}", path.display());
        if self.failing.len() >= FAILING_MAX {
            self.failing.clear();
        }
        self.failing.insert(path);
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.turn += 1;
        let turn = self.turn;
        let known = self.open.get(path);
        if !known.is_some_and(|open| open.is_at(path)) {
            self.open.remove(path);
            self.make_room();
            self.open.insert(path.to_owned(), Open::new(path, turn)?);
        }
        let open = self.open.get_mut(path).expect("it was just put there");
        open.turn = turn;
        let written = open.file.write_all(bytes);
        if written.is_err() {
            self.open.remove(path);
        }
        written
    }

    /// Closes the file that was used longest ago, if there are too many.
    fn make_room(&mut self) {
        if self.open.len() < OPEN_MAX {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.turn);
        if let Some(path) = oldest.map(|(path, _)| path.clone()) {
            self.open.remove(&path);
        }
    }
}

impl Open {
    fn new(path: &Path, turn: u64) -> io::Result<Open> {
        let file = File::options().append(true).create(true).open(path)?;
        let meta = file.metadata()?;
        Ok(Open {
            file,
            device: meta.dev(),
            inode: meta.ino(),
            turn,
        })
    }

    /// Whether the file is still the one at its path: it may have been moved, or replaced.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (self.device, self.inode))
    }
}

/// Makes the directory of a file, as is done for the outputs of jobs.
fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Writes a new file and gives it its name: a reader sees the old file or the whole new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = write_new(path, bytes)?;
    let renamed = fs::rename(&new, path);
    if renamed.is_err() {
        let _ = fs::remove_file(&new);
    }
    renamed
}

fn keep_old(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = write_new(path, bytes)?;
    let renamed = match fs::rename(path, with_ending(path, ".old")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => fs::rename(&new, path),
    };
    if renamed.is_err() {
        let _ = fs::remove_file(&new);
    }
    renamed
}

fn beside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = write_new(path, bytes)?;
    let linked = link_to_free(&new, path);
    fs::remove_file(&new)?;
    linked
}

/// Gives a file the first free name.
fn link_to_free(new: &Path, path: &Path) -> io::Result<()> {
    let numbered = (0..BESIDE_MAX).map(|number| with_ending(path, &format!(".{number}")));
    for candidate in numbered {
        match fs::hard_link(new, &candidate) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => return linked,
        }
    }
    Err(io::Error::other(format!(
        "there are {BESIDE_MAX} of it already (BESIDE_MAX)"
    )))
}

/// A hidden file with these bytes in the same directory. There is only one writer, so its name is
/// free, or that of one that an earlier life left.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("it names no file"))?;
    let pid = std::process::id();
    let new = path.with_file_name(format!(".{}.{pid}.paper", name.to_string_lossy()));
    let written = fs::write(&new, bytes);
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map(|()| new)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Whether these bytes stand in the last part of a file.
fn ends_with(path: &Path, bytes: &[u8]) -> bool {
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = tail().unwrap_or_default();
    !bytes.is_empty() && tail.windows(bytes.len()).any(|window| window == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Place;

    struct House {
        dir: tempfile::TempDir,
        writer: Writer,
    }

    impl House {
        fn new() -> House {
            let dir = tempfile::tempdir().unwrap();
            let places = Places::open(&dir.path().join("work")).unwrap();
            fs::create_dir(dir.path().join("run")).unwrap();
            House {
                writer: Writer::new(places),
                dir,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join("run").join(name)
        }

        fn write(&mut self, path: &str, how: Write) {
            let directory = self.path("");
            self.writer.write(&Writing {
                directory: directory.to_str().unwrap().to_owned(),
                path: path.to_owned(),
                how,
            });
        }

        fn append(&mut self, path: &str, text: &str) {
            self.write(path, Write::Append(text.into()));
        }

        /// All files of the directory, by name.
        fn check(&self, expected: &[(&str, &str)]) {
            let entries = fs::read_dir(self.path("")).unwrap();
            let texts: BTreeMap<String, String> = entries
                .map(|entry| {
                    let entry = entry.unwrap();
                    let name = entry.file_name().into_string().unwrap();
                    (name, fs::read_to_string(entry.path()).unwrap())
                })
                .collect();
            let expected = expected.iter().map(|(n, t)| (n.to_string(), t.to_string()));
            assert_eq!(texts, expected.collect::<BTreeMap<_, _>>());
        }
    }

    #[test]
    fn a_file_is_replaced_kept_or_put_beside() {
        let mut house = House::new();
        for text in ["1", "2"] {
            house.write("status", Write::Replace(text.into()));
        }
        for text in ["1", "2", "3"] {
            house.write("save", Write::KeepOld(text.into()));
            house.write("dot", Write::Beside(text.into()));
        }
        house.check(&[
            ("dot.0", "1"),
            ("dot.1", "2"),
            ("dot.2", "3"),
            ("save", "3"),
            ("save.old", "2"),
            ("status", "2"),
        ]);
    }

    #[test]
    fn a_log_grows_whoever_moves_it() {
        let mut house = House::new();
        house.append("log", "1\n");
        house.append("log", "2\n");
        fs::rename(house.path("log"), house.path("moved")).unwrap();
        house.append("log", "3\n");
        fs::remove_file(house.path("log")).unwrap();
        house.append("log", "4\n");
        // Another writer's bytes stay where they are.
        let mut other = File::options()
            .append(true)
            .open(house.path("log"))
            .unwrap();
        other.write_all(b"other\n").unwrap();
        house.append("log", "5\n");
        house.write("log", Write::KeepOld(b"new\n".to_vec()));
        house.append("log", "6\n");
        house.check(&[
            ("log", "new\n6\n"),
            ("log.old", "4\nother\n5\n"),
            ("moved", "1\n2\n"),
        ]);
        assert_eq!(house.writer.open.len(), 1);
    }

    #[test]
    fn what_a_crash_left_unsure_is_written_once() {
        let mut house = House::new();
        house.append("log", "1\n2\n3\n");
        for text in ["2\n3\n", "4\n", "4\n"] {
            house.write("log", Write::AppendMissing(text.into()));
        }
        house.write("new", Write::AppendMissing(b"1\n".to_vec()));
        house.check(&[("log", "1\n2\n3\n4\n"), ("new", "1\n")]);
    }

    #[test]
    fn few_files_are_held_open() {
        let mut house = House::new();
        for round in 0..2 {
            for number in 0..2 * OPEN_MAX {
                house.append(&format!("log-{number}"), &format!("{round}"));
            }
        }
        assert_eq!(house.writer.open.len(), OPEN_MAX);
        for number in 0..2 * OPEN_MAX {
            let text = fs::read_to_string(house.path(&format!("log-{number}"))).unwrap();
            assert_eq!(text, "01");
        }
    }

    #[test]
    fn a_file_gets_its_directory_and_one_complaint() {
        let mut house = House::new();
        house.write("save_files/a.save", Write::KeepOld(b"a".to_vec()));
        house.write("save_files/a.save", Write::KeepOld(b"b".to_vec()));
        house.append("out/of/log", "a");
        assert_eq!(fs::read(house.path("save_files/a.save")).unwrap(), b"b");
        assert_eq!(fs::read(house.path("save_files/a.save.old")).unwrap(), b"a");
        assert_eq!(fs::read(house.path("out/of/log")).unwrap(), b"a");
        for _ in 0..2 {
            house.append("out/of/log/nowhere", "a");
        }
        assert_eq!(house.writer.failing.len(), 1, "it is complained of once");
    }

    #[test]
    fn papers_of_a_copied_tree_stay_in_it() {
        let mut house = House::new();
        let own = house.writer.places.own("key", "/home/ada");
        for (path, below) in [("x/log", "home/ada/x/log"), ("/etc/log", "etc/log")] {
            house.writer.write(&Writing {
                directory: own.path("").to_str().unwrap().to_owned(),
                path: path.to_owned(),
                how: Write::Append(b"a".to_vec()),
            });
            let Place::Copied { root, .. } = &own else {
                panic!("{own:?}");
            };
            assert_eq!(fs::read(root.join(below)).unwrap(), b"a");
        }
    }

    #[test]
    fn all_is_written_before_the_thread_is_gone() {
        let house = House::new();
        let mut papers = Papers::start(house.writer.places.clone()).unwrap();
        let directory = house.path("").to_str().unwrap().to_owned();
        for number in 0..1000 {
            papers.write(Writing {
                directory: directory.clone(),
                path: "log".to_owned(),
                how: Write::Append(format!("{number}\n").into()),
            });
        }
        drop(papers);
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        house.check(&[("log", &expected)]);
    }
}
