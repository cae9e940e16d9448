//! A user's directory for one test, and the processes started in it. Nothing outlives it: not its
//! files, not its processes, and not the jobs of a worker that was killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that ends by itself. Far more than it does, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what cannot be awaited.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Lines of each log that a failed test shows.
const LOG_LINES_SHOWN: usize = 30;

/// A directory that is home, working directory and submit directory.
pub struct Home {
    path: PathBuf,
    /// Removed last.
    _dir: TempDir,
}

/// A process of ours, killed and reaped when dropped.
pub struct Process {
    child: Child,
}

/// What a command that ended left behind.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Home {
        let dir = TempDir::new().unwrap();
        // As the jobs see it, should the system's own temporary directory be a link.
        let path = dir.path().canonicalize().unwrap();
        std::fs::create_dir(path.join("logs")).unwrap();
        Home { path, _dir: dir }
    }

    pub fn with(files: &[(&str, &str)]) -> Home {
        let home = Home::new();
        for (name, text) in files {
            home.write(name, text);
        }
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The text `HOME` in a file stands for this directory: jobs run elsewhere.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = text.replace("HOME", self.path.to_str().unwrap());
        std::fs::write(path, text).unwrap();
    }

    /// Nothing where there is no such file.
    pub fn read(&self, name: &str) -> String {
        match std::fs::read(self.path(name)) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{name}: {error}"),
        }
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// The binary here, with nothing of the tester's own settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_updraft"));
        command.args(args).current_dir(&self.path);
        command.stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("UPDRAFT_") || text.starts_with("XDG_") {
                command.env_remove(&name);
            }
        }
        command.env("HOME", &self.path);
        command
    }

    /// Starts a daemon whose standard error goes to a log of its name.
    pub fn daemon(&self, name: &str, args: &[&str]) -> Process {
        let path = self.path(&format!("logs/{name}"));
        let log = File::options().append(true).create(true).open(path);
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(log.unwrap());
        Process::start(&mut command)
    }

    /// What `updraft run` keeps in the state directory `state`: a directory for each DAG file.
    pub fn run_dirs(&self) -> Vec<PathBuf> {
        let dirs = std::fs::read_dir(self.path("state")).into_iter().flatten();
        dirs.flatten().map(|entry| entry.path()).collect()
    }

    /// The daemons' logs, by path.
    fn logs(&self) -> Vec<(PathBuf, String)> {
        let logs = std::fs::read_dir(self.path("logs")).into_iter().flatten();
        let mut paths: Vec<PathBuf> = logs.flatten().map(|entry| entry.path()).collect();
        paths.extend(self.run_dirs().into_iter().map(|dir| dir.join("log")));
        paths.sort();
        let read = |path: PathBuf| {
            let bytes = std::fs::read(&path).ok()?;
            Some((path, String::from_utf8_lossy(&bytes).into_owned()))
        };
        paths.into_iter().filter_map(read).collect()
    }
}

/// Processes first, by the directory that their environment names; then the logs are held to what
/// they may say.
impl Drop for Home {
    fn drop(&mut self) {
        for pid in jobs_below(&self.path) {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let logs = self.logs();
        if std::thread::panicking() {
            for (path, text) in logs {
                let lines: Vec<&str> = text.lines().collect();
                let first = lines.len().saturating_sub(LOG_LINES_SHOWN);
                eprintln!("--- {}\n{}", path.display(), lines[first..].join("\n"));
            }
            return;
        }
        for (path, text) in logs {
            let bad = |line: &&str| line.contains(" ERROR ") || line.contains("panicked at");
            let found: Vec<&str> = text.lines().filter(bad).collect();
            assert!(found.is_empty(), "{}: {found:#?}", path.display());
        }
    }
}

/// Processes of jobs whose directory is below `path`, whoever started them.
fn jobs_below(path: &Path) -> Vec<i32> {
    let mut wanted = b"_CONDOR_SCRATCH_DIR=".to_vec();
    wanted.extend_from_slice(path.as_os_str().as_bytes());
    wanted.push(b'/');
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_ours = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(&wanted))
    };
    pids.filter(is_ours).collect()
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let child = command.spawn().unwrap();
        Process { child }
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// `kill -9`, and sees it off.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it prints, line by line as it comes. Its standard output must be a pipe.
    pub fn printed(&mut self) -> Lines {
        Lines::of(self.child.stdout.take().unwrap())
    }

    /// Waits for its end, with what it printed where that was piped.
    pub fn ended(mut self) -> Ran {
        let (out, err) = (self.child.stdout.take(), self.child.stderr.take());
        let readers = (reader(out), reader(err));
        let status = eventually("the end of a process", || self.child.try_wait().unwrap());
        ran(Output {
            status,
            stdout: readers.0.join().unwrap(),
            stderr: readers.1.join().unwrap(),
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        bytes
    })
}

/// Lines of a process that goes on.
pub struct Lines(mpsc::Receiver<String>);

impl Lines {
    fn of(pipe: ChildStdout) -> Lines {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines(lines)
    }

    /// The next line; nothing at the end.
    pub fn next(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}"),
        }
    }
}

/// Runs a command to its end, or fails.
pub fn run(command: &mut Command) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::start(command).ended()
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(
            self.code,
            Some(code),
            "out: {}\nerr: {}",
            self.out,
            self.err
        );
        self
    }

    /// Each part stands in standard error.
    #[track_caller]
    pub fn complains(self, parts: &[&str]) -> Ran {
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in: {}", self.err);
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Looks until there is something; for what nobody tells.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} in {PATIENCE:?}");
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// As [`eventually`], for what is so or not.
#[track_caller]
pub fn until(what: &str, mut look: impl FnMut() -> bool) {
    eventually(what, || look().then_some(()));
}

pub fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}
