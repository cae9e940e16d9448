//! The system calls that no safe crate among ours offers: `pidfd_open`, to wait for a process
//! without a signal handler or a thread, `wait4`, which tells what the process used, and
//! `llistxattr`, which tells whether somebody changed who may use a file. And the one question to
//! the NVIDIA library that its crate does not ask.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use nvml_wrapper::Device;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Room for the names of a file's extended attributes; more of them are taken as some.
const NAMES_BYTES: usize = 256;

/// What a process and the descendants it waited for have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub user_cpu_ms: u64,
    pub system_cpu_ms: u64,
    /// The largest of any one process.
    pub rss_max_kib: u64,
}

/// Something that becomes readable when the process ends. Needs Linux 5.3, and a runtime around it.
pub(crate) fn watch_exit(pid: i32) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the watcher owns the descriptor, which is always the same and stays open as long as
    // the watcher.
    unsafe { AsyncFd::register_with_interest(pidfd_open(pid)?, Interest::READABLE) }
        .map_err(io::Error::from)
}

fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes a child's exit status, if it has ended.
pub(crate) fn wait4(pid: i32) -> io::Result<Option<(ExitStatus, Usage)>> {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`, which is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, writable variables of the types the call expects.
    match unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) } {
        0 => Ok(None),
        waited if waited == pid => {
            let usage = Usage {
                user_cpu_ms: millis(usage.ru_utime),
                system_cpu_ms: millis(usage.ru_stime),
                rss_max_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
            };
            Ok(Some((ExitStatus::from_raw(status), usage)))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a file has extended attributes, access control lists among them, other than those that
/// a security module puts on every file.
pub(crate) fn has_attributes(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut names = [0; NAMES_BYTES];
    // SAFETY: the path ends with a zero byte, and the call writes at most the buffer's length.
    let bytes = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), NAMES_BYTES) };
    match usize::try_from(bytes) {
        Ok(bytes) => {
            let mut names = names[..bytes].split(|byte| *byte == 0);
            Ok(names.any(|name| !name.is_empty() && !name.starts_with(b"security.")))
        }
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOTSUP) => Ok(false),
            error if error.raw_os_error() == Some(libc::ERANGE) => Ok(true),
            error => Err(error),
        },
    }
}

/// What became of a GPU's memory rows that had errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemappedRows {
    /// The replacement takes a reset of the device.
    pub pending: bool,
    pub failed: bool,
}

/// Asks the library, which is loaded as long as there is a device. None where it does not know the
/// question, or the device does not answer.
pub(crate) fn remapped_rows(library: &str, device: &Device<'_>) -> Option<RemappedRows> {
    /// `nvmlDeviceGetRemappedRows`: device, corrected, uncorrected, pending, failed.
    type Ask = unsafe extern "C" fn(
        *mut libc::c_void,
        *mut libc::c_uint,
        *mut libc::c_uint,
        *mut libc::c_uint,
        *mut libc::c_uint,
    ) -> libc::c_uint;
    let library = CString::new(library).ok()?;
    // SAFETY: the name ends with a zero byte; the library is not loaded but found again, so nothing
    // of it runs now.
    let library = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return None;
    }
    // SAFETY: the library is loaded, and the name ends with a zero byte.
    let symbol = unsafe { libc::dlsym(library, c"nvmlDeviceGetRemappedRows".as_ptr()) };
    let rows = (!symbol.is_null()).then(|| {
        // SAFETY: the function of this name has this type in every version of the library (NVML
        // API reference, "Device Queries").
        let ask = unsafe { std::mem::transmute::<*mut libc::c_void, Ask>(symbol) };
        let (mut corrected, mut uncorrected, mut pending, mut failed) = (0, 0, 0, 0);
        // SAFETY: the handle is that of a live device of this library, and the four pointers are to
        // live, writable variables of the type the call expects.
        let code = unsafe {
            ask(
                device.handle().cast(),
                &raw mut corrected,
                &raw mut uncorrected,
                &raw mut pending,
                &raw mut failed,
            )
        };
        (code == 0).then_some(RemappedRows {
            pending: pending != 0,
            failed: failed != 0,
        })
    });
    // SAFETY: it was opened above, and nothing of it is used any more through this handle.
    unsafe { libc::dlclose(library) };
    rows.flatten()
}

fn millis(time: libc::timeval) -> u64 {
    let micros = time
        .tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(time.tv_usec);
    u64::try_from(micros).unwrap_or(0).div_ceil(1_000)
}
