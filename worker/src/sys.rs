//! The system calls that no safe crate among ours offers: `pidfd_open`, to wait for a process
//! without a signal handler or a thread, and `wait4`, which tells what the process used.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

fn millis(time: libc::timeval) -> u64 {
    let micros = time
        .tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(time.tv_usec);
    u64::try_from(micros).unwrap_or(0).div_ceil(1_000)
}
