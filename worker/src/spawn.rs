//! Starting a process by `posix_spawn` alone. Between the new process and its program runs nothing
//! of ours, so that the kernel need not copy this process's page tables; and what a program is
//! started with goes to the kernel as it was put together, in two blocks of text, and not copied
//! value by value.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{c_char, c_int};

/// Texts that each end with a zero byte, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

/// What a process is started with.
pub(crate) struct Start<'a> {
    pub program: &'a Path,
    /// The program's own name first.
    pub arguments: &'a Texts,
    /// Each `NAME=value`.
    pub environment: &'a Texts,
    pub dir: &'a Path,
    /// Standard input, output and error.
    pub files: [BorrowedFd<'a>; 3],
}

impl Texts {
    /// One text of each item's pieces.
    ///
    /// # Errors
    /// A zero byte in one.
    pub fn of<'a>(items: impl Iterator<Item = [&'a [u8]; 3]>) -> io::Result<Texts> {
        let mut texts = Texts::default();
        for pieces in items {
            if pieces.iter().any(|piece| piece.contains(&0)) {
                let error = "there is a zero byte";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
            texts.starts.push(texts.bytes.len());
            for piece in pieces {
                texts.bytes.extend_from_slice(piece);
            }
            texts.bytes.push(0);
        }
        Ok(texts)
    }

    /// Pointers to each text and a null behind them, good while nothing is added.
    fn pointers(&self) -> Vec<*mut c_char> {
        let text = |start: &usize| self.bytes[*start..].as_ptr().cast_mut().cast();
        let ends = std::iter::once(std::ptr::null_mut());
        self.starts.iter().map(text).chain(ends).collect()
    }
}

/// Starts a process, leader of a group of its own, with no signal blocked or ignored that this
/// process ignores by Rust's choice. Its number.
///
/// # Errors
/// As `execve`; a zero byte in a path.
pub(crate) fn spawn(start: &Start<'_>) -> io::Result<i32> {
    let program = c_path(start.program)?;
    let dir = c_path(start.dir)?;
    let actions = Actions::new(&dir, &start.files)?;
    let attributes = Attributes::new()?;
    let arguments = start.arguments.pointers();
    let environment = start.environment.pointers();
    let mut pid = 0;
    // SAFETY: everything the call reads was made above and lives until it returns: two paths that
    // end with zero bytes, two initialized objects, and two lists of pointers to such texts that
    // end with null. It writes a process number where there is room for one. It does not write to
    // the texts.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    checked(code)?;
    Ok(pid)
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn checked(code: c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// What the new process does before it becomes the program. Boxed, for it must not move.
struct Actions(Box<MaybeUninit<libc::posix_spawn_file_actions_t>>);

impl Actions {
    fn new(dir: &CStr, files: &[BorrowedFd<'_>; 3]) -> io::Result<Actions> {
        let mut actions = Box::new(MaybeUninit::uninit());
        // SAFETY: there is room for the object, and it was not initialized before.
        checked(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        let mut actions = Actions(actions);
        let object = actions.0.as_mut_ptr();
        // SAFETY: the object was initialized; the path, which ends with a zero byte, is copied.
        checked(unsafe { libc::posix_spawn_file_actions_addchdir_np(object, dir.as_ptr()) })?;
        for (file, number) in files.iter().zip(0..) {
            let file = file.as_raw_fd();
            // SAFETY: the object was initialized; the call takes two integers besides.
            checked(unsafe { libc::posix_spawn_file_actions_adddup2(object, file, number) })?;
        }
        Ok(actions)
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: the object was initialized when this was made.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

struct Attributes(Box<MaybeUninit<libc::posix_spawnattr_t>>);

impl Attributes {
    fn new() -> io::Result<Attributes> {
        let mut attributes = Box::new(MaybeUninit::uninit());
        // SAFETY: there is room for the object, and it was not initialized before.
        checked(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        let mut attributes = Attributes(attributes);
        let object = attributes.0.as_mut_ptr();
        let flags = libc::POSIX_SPAWN_SETPGROUP
            | libc::POSIX_SPAWN_SETSIGMASK
            | libc::POSIX_SPAWN_SETSIGDEF;
        let flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
        let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
        let signals = signals.as_mut_ptr();
        // SAFETY: the object was initialized, and the set of signals is before it is read; the
        // calls copy what they are given.
        unsafe {
            checked(libc::posix_spawnattr_setflags(object, flags))?;
            checked(libc::posix_spawnattr_setpgroup(object, 0))?;
            libc::sigemptyset(signals);
            checked(libc::posix_spawnattr_setsigmask(object, signals))?;
            // Rust has its own processes ignore this one.
            libc::sigaddset(signals, libc::SIGPIPE);
            checked(libc::posix_spawnattr_setsigdefault(object, signals))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the object was initialized when this was made.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}
