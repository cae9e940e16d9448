//! Scripts that a manager left running because it was killed itself. Each carries a mark in its
//! environment that names its manager's state directory; only who leads a process group outside a
//! session of its own is taken for one, so what a script set free on purpose stays.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid, getsid};

use crate::places::Places;

const NAME: &str = "UPDRAFT_SCRIPT_OF";

/// How the scripts of one manager are known.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    places: Places,
    manager: String,
}

impl Mark {
    /// `manager` is where the scripts reach the manager that runs them.
    pub(crate) fn new(places: Places, manager: SocketAddr) -> Mark {
        let manager = manager.to_string();
        Mark { places, manager }
    }

    pub(super) fn manager(&self) -> &str {
        &self.manager
    }

    pub(super) fn name(&self) -> &'static str {
        NAME
    }

    pub(super) fn value(&self) -> &OsStr {
        self.places.work().as_os_str()
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Kills the scripts of an earlier life, with what they started. Where the system does not show
    /// its processes nothing happens.
    pub(super) fn kill_leftovers(&self) {
        let Ok(entries) = fs::read_dir("/proc") else {
            return;
        };
        let mut line = OsString::from(NAME);
        line.push("=");
        line.push(self.value());
        let line = line.into_vec();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.parse::<i32>().ok());
            let Some(pid) = pid.filter(|pid| is_script(*pid)) else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_ours = environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == line);
            if is_ours {
                tracing::info!(pid, "a script that an earlier manager left is killed");
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// Whether a process leads a group and no session.
fn is_script(pid: i32) -> bool {
    let pid = Pid::from_raw(pid);
    // A manager that was itself started by a script is none of its own leftovers.
    getpgid(Some(pid)) == Ok(pid)
        && getpgid(None) != Ok(pid)
        && getsid(Some(pid)).is_ok_and(|session| session != pid)
}
