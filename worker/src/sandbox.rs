//! The directories that jobs run in, one job at a time in each. To make and remove directories
//! costs more than to run a short job, so a sandbox in which a job left nothing is used again; any
//! other is removed.
//!
//! Nothing of one job is visible to the next: a sandbox is used again only when both directories
//! are empty and as they were made, both logs are empty, no other file is there, and no process
//! of the earlier job is left that could still write into it. To look for such processes means to
//! look at all of the machine's, so it is done for many sandboxes at a time; those that wait for it
//! are not given out.
//!
//! ```text
//! N/  0700: dir/ (the job's own), tmp/, stdout, stderr, metrics.jsonl, params.json
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::nouns::{ClaimId, LogStream};

use crate::{leftovers, sys};

/// So many sandboxes wait before processes are looked for instead of making one more: at first, and
/// at most.
const SWEPT_MIN: usize = 16;
const SWEPT_MAX: usize = 64;
/// A change of a directory that comes so long after another has another time. The kernel's clock for
/// that goes in steps of 10 ms at most.
const STAMP_STEP: Duration = Duration::from_millis(50);

/// All sandboxes of a worker.
#[derive(Debug)]
pub(crate) struct Sandboxes {
    root: PathBuf,
    index: Mutex<Index>,
    /// Held by whoever looks for processes.
    sweeping: Mutex<()>,
}

#[derive(Debug)]
struct Index {
    made: u32,
    free: BTreeSet<u32>,
    /// Empty, but a process may be left, with a number greater than this.
    ended: BTreeMap<u32, u32>,
    /// Removed, and a process may be left.
    removed: BTreeMap<u32, u32>,
    /// Sandboxes that are in use, and their jobs' first processes.
    held: BTreeMap<ClaimId, (u32, u32)>,
    last_leader: u32,
    /// Those of them whose job is being started.
    starting: BTreeSet<ClaimId>,
    sweep_at: usize,
}

/// A sandbox whose job is being started. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Taken {
    sandboxes: Arc<Sandboxes>,
    claim: ClaimId,
    pub paths: Paths,
}

/// Where everything of one sandbox is.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub root: PathBuf,
    /// The job's working directory.
    pub dir: PathBuf,
    pub tmp: PathBuf,
    pub metrics: PathBuf,
    pub params: PathBuf,
    /// When its directories were last changed, as they were given out; nothing, if they might change
    /// again and show the same time.
    stamps: Option<[Stamp; 3]>,
}

/// When a directory, or what is known of it, was last changed: seconds, and nanoseconds.
type Stamp = (i64, i64);

/// What an ended job left in its sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Something,
}

impl Sandboxes {
    /// None yet, below `root`, which is empty.
    pub fn new(root: PathBuf) -> Arc<Sandboxes> {
        let index = Index {
            made: 0,
            free: BTreeSet::new(),
            ended: BTreeMap::new(),
            removed: BTreeMap::new(),
            held: BTreeMap::new(),
            last_leader: 0,
            starting: BTreeSet::new(),
            sweep_at: SWEPT_MIN,
        };
        Arc::new(Sandboxes {
            root,
            index: Mutex::new(index),
            sweeping: Mutex::new(()),
        })
    }

    /// An empty sandbox for the claim. Blocks.
    pub fn take(self: &Arc<Sandboxes>, claim: ClaimId) -> io::Result<Taken> {
        let mut free = self.lock().free.pop_first();
        if free.is_none() && self.is_time_to_sweep() {
            self.sweep();
            free = self.lock().free.pop_first();
        }
        let mut index = self.lock();
        let number = free.unwrap_or(index.made);
        index.made = index.made.max(number + 1);
        index.held.insert(claim, (number, 0));
        index.starting.insert(claim);
        drop(index);
        let mut taken = Taken {
            sandboxes: self.clone(),
            claim,
            paths: self.paths(number),
        };
        match free {
            None => taken.paths.make()?,
            Some(_) => taken.paths.stamps = taken.paths.old_stamps(),
        }
        Ok(taken)
    }

    /// Whether so many wait to be used again that it is worth the look at all processes. More of
    /// them from now on, for then it costs each of them less.
    fn is_time_to_sweep(&self) -> bool {
        let mut index = self.lock();
        let is_time = index.ended.len() >= index.sweep_at;
        if is_time {
            index.sweep_at = SWEPT_MAX.min(2 * index.sweep_at);
        }
        is_time
    }

    /// The claim's sandbox, if it has one.
    pub fn of(&self, claim: ClaimId) -> Option<Paths> {
        let held = self.lock().held.get(&claim).copied();
        held.map(|(number, _)| self.paths(number))
    }

    /// The claim's process is over and nothing in its sandbox is needed any more. `left` was
    /// looked up after its end. Blocks where something was left.
    pub fn give_back(&self, claim: ClaimId, left: Left) {
        let mut index = self.lock();
        let Some((number, leader)) = index.held.remove(&claim) else {
            return;
        };
        index.starting.remove(&claim);
        match left {
            Left::Nothing => {
                index.ended.insert(number, leader);
            }
            Left::Something => {
                index.removed.insert(number, leader);
                drop(index);
                self.paths(number).remove();
            }
        }
    }

    /// Empties the claim's sandbox as far as that is cheaper than to remove it, and gives it back.
    /// One that is still being started gives its sandbox back itself. Blocks.
    pub fn clear(&self, claim: ClaimId) {
        let starts = self.lock().starting.contains(&claim);
        if let Some(paths) = self.of(claim).filter(|_| !starts) {
            self.give_back(claim, paths.wipe().unwrap_or(Left::Something));
        }
    }

    /// Kills processes that outlived their jobs; the sandboxes that have none may be used again.
    /// Blocks.
    pub fn sweep(&self) {
        let _turn = self
            .sweeping
            .lock()
            .expect("nothing panics while it looks for processes");
        let (all, first) = {
            let mut index = self.lock();
            if leftovers::last_pid().is_none_or(|last| last < index.last_leader) {
                index.forget_leaders();
            }
            let unswept = index.ended.iter().chain(&index.removed);
            let all: BTreeSet<u32> = unswept.clone().map(|(number, _)| *number).collect();
            let first = unswept.map(|(_, leader)| *leader).min();
            (all, first.unwrap_or(0))
        };
        if all.is_empty() {
            return;
        }
        let busy = leftovers::kill_in(&self.root, &all, first);
        for number in &busy {
            tracing::warn!(
                "killed what the job in {} left running",
                self.root.join(number.to_string()).display()
            );
        }
        let mut index = self.lock();
        for number in all.difference(&busy) {
            if index.ended.remove(number).is_some() {
                index.free.insert(*number);
            }
            index.removed.remove(number);
        }
    }

    /// Whether [`Sandboxes::sweep`] has something to do.
    pub fn is_unswept(&self) -> bool {
        let index = self.lock();
        !index.ended.is_empty() || !index.removed.is_empty()
    }

    fn paths(&self, number: u32) -> Paths {
        let root = self.root.join(number.to_string());
        Paths {
            dir: root.join("dir"),
            tmp: root.join("tmp"),
            metrics: root.join("metrics.jsonl"),
            params: root.join("params.json"),
            root,
            stamps: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index
            .lock()
            .expect("nothing panics while it holds the index")
    }
}

impl Index {
    /// Numbers of processes have begun anew, so none tells what is older than it.
    fn forget_leaders(&mut self) {
        self.last_leader = 0;
        let unswept = self.ended.values_mut().chain(self.removed.values_mut());
        let held = self.held.values_mut().map(|(_, leader)| leader);
        unswept.chain(held).for_each(|leader| *leader = 0);
    }
}

impl Taken {
    /// The job began, with this process.
    pub fn begun(&self, leader: i32) {
        let leader = u32::try_from(leader).unwrap_or(0);
        let mut index = self.sandboxes.lock();
        if leader < index.last_leader {
            index.forget_leaders();
        }
        index.last_leader = leader;
        if let Some(held) = index.held.get_mut(&self.claim) {
            held.1 = leader;
        }
    }

    /// The job runs: its sandbox is the claim's until it is given back or cleared.
    pub fn keep(self) -> Paths {
        self.sandboxes.lock().starting.remove(&self.claim);
        self.paths.clone()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let starts = self.sandboxes.lock().starting.contains(&self.claim);
        if starts {
            self.sandboxes.give_back(self.claim, Left::Something);
        }
    }
}

impl Paths {
    pub fn log(&self, stream: LogStream) -> PathBuf {
        self.root.join(log_name(stream))
    }

    /// What a job that had neither inputs nor parameters left. Needs no disk. Whatever cannot be
    /// looked at counts as left.
    pub fn look(&self) -> Left {
        let is_clean = || -> io::Result<bool> {
            Ok(self.log(LogStream::Stdout).metadata()?.len() == 0
                && self.log(LogStream::Stderr).metadata()?.len() == 0
                && ((self.stamps.is_some() && self.stamps == Some(self.stamps_now()?))
                    || (is_untouched(&self.dir)?
                        && is_untouched(&self.tmp)?
                        && self.has_no_more()?)))
        };
        match is_clean() {
            Ok(true) => Left::Nothing,
            Ok(false) | Err(_) => Left::Something,
        }
    }

    /// The directories' stamps, if they are so old that any change from now on shows.
    fn old_stamps(&self) -> Option<[Stamp; 3]> {
        let stamps = self.stamps_now().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let old = now.checked_sub(STAMP_STEP)?;
        let limit = (
            i64::try_from(old.as_secs()).ok()?,
            i64::from(old.subsec_nanos()),
        );
        stamps.iter().all(|stamp| *stamp < limit).then_some(stamps)
    }

    fn stamps_now(&self) -> io::Result<[Stamp; 3]> {
        let stamp = |path: &Path| {
            let metadata = path.symlink_metadata()?;
            Ok::<_, io::Error>((metadata.ctime(), metadata.ctime_nsec()))
        };
        Ok([stamp(&self.root)?, stamp(&self.dir)?, stamp(&self.tmp)?])
    }

    /// Makes the directories and the logs, for nobody but this user. What was there is removed.
    fn make(&self) -> io::Result<()> {
        match make_private_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_dir_all(&self.root)?;
                make_private_dir(&self.root)?;
            }
            other => other?,
        }
        make_private_dir(&self.dir)?;
        make_private_dir(&self.tmp)?;
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(self.log(stream))?;
        }
        Ok(())
    }

    /// Empties what is beside the job's directories.
    fn wipe(&self) -> io::Result<Left> {
        if !is_untouched(&self.dir)? || !is_untouched(&self.tmp)? {
            return Ok(Left::Something);
        }
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(self.log(stream))?
                .set_len(0)?;
        }
        for path in [&self.metrics, &self.params] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(if self.has_no_more()? {
            Left::Nothing
        } else {
            Left::Something
        })
    }

    /// Whether there is nothing beside the directories and the logs: a job could have put anything
    /// there.
    fn has_no_more(&self) -> io::Result<bool> {
        Ok(std::fs::read_dir(&self.root)?.count() == 4)
    }

    fn remove(&self) {
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // The next start of a worker here tries again.
                tracing::warn!("cannot remove {}: {error}", self.root.display());
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// The log's file in a sandbox.
pub(crate) fn log_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    }
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Whether the directory is empty and as [`make_private_dir`] makes it.
fn is_untouched(path: &Path) -> io::Result<bool> {
    let metadata = path.symlink_metadata()?;
    Ok(metadata.is_dir()
        && metadata.mode() & 0o7777 == 0o700
        && !sys::has_attributes(path)?
        && std::fs::read_dir(path)?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    fn claim(serial: u64) -> ClaimId {
        ClaimId { pool: 1, serial }
    }

    /// Takes a sandbox, lets `job` loose in it, and gives it back as a worker does.
    fn visit(sandboxes: &Arc<Sandboxes>, serial: u64, job: impl FnOnce(&Paths)) -> Paths {
        let paths = sandboxes.take(claim(serial)).unwrap().keep();
        assert_eq!(paths.look(), Left::Nothing, "{serial}");
        job(&paths);
        match paths.look() {
            Left::Nothing => sandboxes.give_back(claim(serial), Left::Nothing),
            Left::Something => sandboxes.clear(claim(serial)),
        }
        paths
    }

    #[test]
    fn what_a_job_leaves_is_not_there_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path().to_owned());
        let first = visit(&sandboxes, 1, |_| {});
        let jobs: [fn(&Paths); 9] = [
            |_| {},
            |paths| std::fs::write(paths.dir.join("x"), "1").unwrap(),
            |paths| std::fs::create_dir_all(paths.tmp.join("x/y")).unwrap(),
            |paths| std::fs::write(paths.log(LogStream::Stdout), "1").unwrap(),
            |paths| std::fs::write(paths.log(LogStream::Stderr), "1").unwrap(),
            |paths| std::fs::write(&paths.metrics, "{}\n").unwrap(),
            |paths| std::os::unix::fs::symlink("/etc/passwd", &paths.metrics).unwrap(),
            |paths| {
                let open = std::fs::Permissions::from_mode(0o777);
                std::fs::set_permissions(&paths.dir, open).unwrap();
            },
            |paths| {
                std::fs::write(paths.log(LogStream::Stdout), "1").unwrap();
                std::fs::write(paths.root.join("beside"), "1").unwrap();
            },
        ];
        for (at, job) in jobs.into_iter().enumerate() {
            sandboxes.sweep();
            visit(&sandboxes, 10 + at as u64, job);
        }
        sandboxes.sweep();
        assert!(!sandboxes.is_unswept());
        let mut last = visit(&sandboxes, 99, |_| {}).root;
        assert!(last.is_dir());
        // A sandbox that was left clean, or with nothing but logs and metrics, is used again.
        let made = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(made, 1);
        last.pop();
        assert_eq!(first.root.parent(), Some(last.as_path()));
    }

    #[test]
    fn nobody_gets_a_sandbox_that_a_process_is_left_in() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let sandboxes = Sandboxes::new(root);
        let mut left = None;
        let first = visit(&sandboxes, 1, |paths| {
            let mut sleep = Command::new("sleep");
            sleep
                .arg("1000")
                .current_dir(&paths.dir)
                .stdin(Stdio::null());
            left = Some(sleep.spawn().unwrap());
        });
        // Not before it was looked for.
        let second = visit(&sandboxes, 2, |_| {});
        assert_ne!(first.root, second.root);
        sandboxes.sweep();
        let status = left.unwrap().wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
        let third = visit(&sandboxes, 3, |_| {});
        assert_ne!(first.root, third.root);
        sandboxes.sweep();
        assert_eq!(visit(&sandboxes, 4, |_| {}).root, first.root);
    }

    #[test]
    fn many_short_jobs_share_few_sandboxes() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path().to_owned());
        for serial in 0..1_000 {
            visit(&sandboxes, serial, |_| {});
        }
        let made = std::fs::read_dir(dir.path()).unwrap().count();
        assert!(made <= SWEPT_MAX, "{made}");
    }
}
