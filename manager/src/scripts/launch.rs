//! How a script is started: which file its program is, what it finds in its environment, where its
//! output goes. Without a step between fork and exec, so that the kernel need not copy the
//! manager's page tables for each script.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dags::dag::{Debug, Stream};
use manager_core::ScriptOrder;
use nix::errno::Errno;

use super::Mark;

/// A script that was just written may be held open for writing by a sibling that is between fork
/// and exec; how often to try again, and how long to wait in between.
const BUSY_TRIES_MAX: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// Starts a script, leader of a process group of its own.
///
/// # Errors
/// Why it cannot be started, in words.
pub(super) fn spawn(order: &ScriptOrder, mark: &Mark) -> Result<Child, String> {
    let directory = Path::new(&order.directory);
    if !directory.is_dir() {
        return Err(format!("there is no directory {}", directory.display()));
    }
    let given = order.environment.iter().rev();
    let path = given.clone().find(|(name, _)| name == "PATH");
    let path = path.map(|(_, value)| OsString::from(value));
    let path = path
        .or_else(|| std::env::var_os("PATH"))
        .unwrap_or_default();
    let program = find(&order.program, directory, &path)?;
    let (stdout, stderr) = outputs(mark, order);
    let mut command = Command::new(&program);
    command
        .args(&order.arguments)
        .env("UPDRAFT_MANAGER", mark.manager())
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .env(mark.name(), mark.value())
        .current_dir(directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr);
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                tries += 1;
                if tries == BUSY_TRIES_MAX {
                    return Err(failure(&order.program, &program, &error));
                }
                std::thread::sleep(BUSY_PAUSE);
            }
            Err(error) => return Err(failure(&order.program, &program, &error)),
            Ok(child) => return Ok(child),
        }
    }
}

/// The file that a program is. One in the script's own directory needs no `./`, as in DAGMan.
fn find(name: &str, directory: &Path, path: &OsString) -> Result<PathBuf, String> {
    if name.is_empty() {
        return Err("it names no program".to_owned());
    }
    let near = directory.join(name);
    if name.contains('/') || is_program(&near) || is_meant_for_one(&near) {
        return Ok(near);
    }
    std::env::split_paths(path)
        // A relative entry is one of the directory that the script runs in.
        .map(|entry| directory.join(entry).join(name))
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| {
            let path = path.to_string_lossy();
            format!(
                "there is no program `{name}` in {} or in PATH ({path})",
                directory.display()
            )
        })
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Whether a file without the right to be executed is a script all the same: then saying so helps
/// more than a search for another of its name.
fn is_meant_for_one(path: &Path) -> bool {
    let mut head = [0; 2];
    path.is_file()
        && File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && head == *b"#!"
}

/// Where standard output and standard error go.
fn outputs(mark: &Mark, order: &ScriptOrder) -> (Stdio, Stdio) {
    let Some(Debug { file, stream }) = &order.debug else {
        return (Stdio::null(), Stdio::null());
    };
    let path = mark.places().of(&order.directory).path(file);
    let open = || File::options().append(true).create(true).open(&path);
    let opened = open().and_then(|file| match stream {
        Stream::Stdout => Ok((file.into(), Stdio::null())),
        Stream::Stderr => Ok((Stdio::null(), file.into())),
        Stream::All => Ok((file.try_clone()?.into(), file.into())),
    });
    opened.unwrap_or_else(|error| {
        // As in DAGMan, what a script does counts for more than what it says.
        tracing::warn!(
            "the debug file {} cannot be opened: {error}",
            path.display()
        );
        (Stdio::null(), Stdio::null())
    })
}

/// Says what was wrong with the program in words that its owner can act on.
fn failure(name: &str, program: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound if program.exists() => {
            format!("`{name}` cannot be started: the interpreter that it asks for is not there")
        }
        ErrorKind::NotFound => format!("there is no program {}", program.display()),
        ErrorKind::PermissionDenied if program.is_dir() => format!("`{name}` is a directory"),
        ErrorKind::PermissionDenied => format!("`{name}` is not executable (chmod +x {name})"),
        ErrorKind::ArgumentListTooLong => {
            format!("`{name}` cannot be started: its arguments and environment are too long")
        }
        _ if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
            format!("`{name}` is not a program for this machine (a script must begin with `#!`)")
        }
        _ => format!("`{name}` cannot be started: {error}"),
    }
}
