//! Starting, ending and reaping a job's process. Waits through a descriptor, without a thread or a
//! signal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::LazyLock;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use proto::nouns::{Ended, LogStream, Program, WorkOrder};
use tokio::io::unix::AsyncFd;

use super::Failure;
use super::environment::find_program;
use crate::sandbox::Paths;
use crate::spawn::{self, Start, Texts};
use crate::sys::{self, Usage};

/// A program that was just written may be held open for writing by a sibling that is between fork
/// and exec; how often to try again, and how long to wait in between.
const BUSY_TRIES_MAX: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// How often, and how long between, a killed process is looked at until it is gone.
const REAP_TRIES_MAX: u32 = 100;
const REAP_PAUSE: Duration = Duration::from_millis(1);

/// Everything that is decided before a process is started.
#[derive(Debug)]
pub(super) struct Launch {
    /// As its owner would name it.
    name: String,
    program: PathBuf,
    arguments: Texts,
    environment: Texts,
    dir: PathBuf,
    stdin: Option<PathBuf>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Launch {
    pub fn new(
        order: &WorkOrder,
        paths: &Paths,
        environment: &BTreeMap<&str, Cow<'_, str>>,
        trainer: &Path,
    ) -> Result<Launch, Failure> {
        let mut verb = None;
        let (name, program) = match &order.program {
            Program::Staged(path) => (path.to_string(), paths.dir.join(path.as_str())),
            Program::Installed(name) => {
                let path = environment.get("PATH").map(|path| &**path);
                let path = path.unwrap_or_default();
                let program = find_program(name, &paths.dir, path).ok_or_else(|| {
                    Failure::job(format!("there is no program `{name}` in PATH ({path})"))
                })?;
                (name.clone(), program)
            }
            Program::Trainer => {
                verb = Some("train");
                ("the trainer".to_owned(), trainer.to_owned())
            }
        };
        let first = program.as_os_str().as_bytes();
        let others = verb
            .into_iter()
            .chain(order.arguments.iter().map(String::as_str));
        let arguments = std::iter::once(first).chain(others.map(str::as_bytes));
        let arguments = Texts::of(arguments.map(|text| [text, b"", b""]));
        let variables = environment.iter();
        let variables =
            Texts::of(variables.map(|(name, it)| [name.as_bytes(), b"=", it.as_bytes()]));
        let wrong = |error: io::Error| cannot_start(&name, &program, &error);
        Ok(Launch {
            arguments: arguments.map_err(wrong)?,
            environment: variables.map_err(wrong)?,
            name,
            program,
            dir: paths.dir.clone(),
            stdin: order
                .stdin
                .as_ref()
                .map(|path| paths.dir.join(path.as_str())),
            stdout: paths.log(LogStream::Stdout),
            stderr: paths.log(LogStream::Stderr),
        })
    }

    /// Starts the process, leader of a process group of its own. Blocks for a moment; needs a
    /// runtime around it.
    pub fn spawn(&self) -> Result<Process, Failure> {
        let files = |error: io::Error| Failure::worker(format!("its files: {error}"));
        let stdin = match &self.stdin {
            Some(path) => Some(File::open(path).map_err(files)?),
            None => None,
        };
        let stdin = match &stdin {
            Some(file) => file.as_fd(),
            None => nothing().map_err(files)?,
        };
        let stdout = open_log(&self.stdout).map_err(files)?;
        let stderr = open_log(&self.stderr).map_err(files)?;
        let start = Start {
            program: &self.program,
            arguments: &self.arguments,
            environment: &self.environment,
            dir: &self.dir,
            files: [stdin, stdout.as_fd(), stderr.as_fd()],
        };
        let failure = |error: &io::Error| cannot_start(&self.name, &self.program, error);
        let mut tries = 0;
        let pid = loop {
            match spawn::spawn(&start) {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                    tries += 1;
                    if tries == BUSY_TRIES_MAX {
                        return Err(failure(&error));
                    }
                    std::thread::sleep(BUSY_PAUSE);
                }
                Err(error) => return Err(failure(&error)),
                Ok(pid) => break pid,
            }
        };
        Process::watch(pid).map_err(|error| {
            let process = Abandoned { pid };
            drop(process);
            Failure::worker(format!("{} could not be watched: {error}", self.name))
        })
    }
}

/// Says what was wrong with the program in words that its owner can act on.
fn cannot_start(name: &str, program: &Path, error: &io::Error) -> Failure {
    let exists = program.exists();
    match error.kind() {
        ErrorKind::NotFound if exists => Failure::job(format!(
            "`{name}` cannot be started: the interpreter that it asks for is not there"
        )),
        ErrorKind::NotFound => Failure::job(format!("there is no program `{name}`")),
        ErrorKind::PermissionDenied => Failure::job(format!("`{name}` is not executable")),
        ErrorKind::ArgumentListTooLong => Failure::job(format!(
            "`{name}` cannot be started: its arguments and environment are too long"
        )),
        ErrorKind::InvalidInput => Failure::job(format!(
            "`{name}` cannot be started: {error} in its arguments"
        )),
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => Failure::job(format!(
            "`{name}` is not a program for this machine (a script must begin with `#!`)"
        )),
        _ => Failure::worker(format!("`{name}` cannot be started: {error}")),
    }
}

/// A process that runs, or has ended and was not yet reaped. Dropping it kills its group and reaps
/// it.
#[derive(Debug)]
pub(super) struct Process {
    child: Abandoned,
    exited: AsyncFd<OwnedFd>,
}

/// A child that nobody else waits for.
#[derive(Debug)]
struct Abandoned {
    pid: i32,
}

impl Process {
    fn watch(pid: i32) -> io::Result<Process> {
        let exited = sys::watch_exit(pid)?;
        Ok(Process {
            child: Abandoned { pid },
            exited,
        })
    }

    /// The process's number, and that of its group.
    pub fn leader(&self) -> i32 {
        self.child.pid
    }

    /// Returns once the process has ended, again and again.
    pub async fn over(&self) -> io::Result<()> {
        self.exited.readable().await.map(drop)
    }

    /// Sends a signal to the process and those it started. One that the kernel does not know asks
    /// to end.
    pub fn signal(&self, signal: i32) {
        let signal = Signal::try_from(signal).unwrap_or(Signal::SIGTERM);
        // A group that is gone already is as good.
        let _ = killpg(Pid::from_raw(self.child.pid), signal);
    }

    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Takes the status of a process that is over, after killing whatever it left behind in its
    /// group: before it is reaped, its number cannot be anybody else's.
    pub fn reap(self) -> io::Result<(Ended, Usage)> {
        let Process { child, exited } = self;
        drop(exited);
        let pid = child.pid;
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        let reaped = sys::wait4(pid)?;
        std::mem::forget(child);
        let (status, usage) = reaped.ok_or_else(|| io::Error::other("it has not ended"))?;
        Ok((ended(status), usage))
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
        for _ in 0..REAP_TRIES_MAX {
            match sys::wait4(self.pid) {
                Ok(None) => std::thread::sleep(REAP_PAUSE),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        tracing::warn!("process {} does not end although it was killed", self.pid);
    }
}

fn ended(status: ExitStatus) -> Ended {
    match status.code() {
        Some(code) => Ended::Exited(code),
        None => Ended::Signaled(status.signal().unwrap_or(0)),
    }
}

/// What a job without input reads, opened once for all.
fn nothing() -> io::Result<BorrowedFd<'static>> {
    static NOTHING: LazyLock<io::Result<File>> = LazyLock::new(|| File::open("/dev/null"));
    match &*NOTHING {
        Ok(file) => Ok(file.as_fd()),
        Err(error) => Err(error.kind().into()),
    }
}

/// A log is only ever added to, also by a job that opens it again through `/dev/stdout`.
fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Makes a placed file writable by its job, and executable if it is to be.
pub(super) fn set_mode(path: &Path, executable: bool) -> io::Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Whether there is a file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}
