//! Processes that outlived their jobs: found by where they are and by what their environment says,
//! in whatever process group or session they went to. Knows nothing of claims.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Environment variable by which the processes of a claim are known, wherever they went.
pub(crate) const CLAIM_VARIABLE: &str = "UPDRAFT_CLAIM";
/// The job's directory, under the name that HTCondor's jobs look for.
pub(crate) const SCRATCH_VARIABLE: &str = "_CONDOR_SCRATCH_DIR";

/// How often processes of an earlier life are looked for again after they were killed, and how long
/// between.
const ROUNDS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Kills every process of a job below `jobs`, and waits until they are gone.
pub(crate) fn kill_all(jobs: &Path) {
    for round in 0..ROUNDS_MAX {
        let found = below(jobs, 0);
        if found.is_empty() {
            return;
        }
        if round == 0 {
            tracing::warn!(
                "killing {} processes of jobs of an earlier worker",
                found.len()
            );
        }
        found.iter().for_each(|(pid, _)| end(*pid));
        std::thread::sleep(PAUSE);
    }
    tracing::warn!("some processes of an earlier worker's jobs cannot be killed");
}

/// Kills what is left of the jobs that were in these sandboxes below `jobs`, all of which began
/// with the process `first` or later. In which of them there was something.
pub(crate) fn kill_in(jobs: &Path, sandboxes: &BTreeSet<u32>, first: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for (pid, name) in below(jobs, first) {
        let number = name.to_str().and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|number| sandboxes.contains(number)) {
            end(pid);
            found.insert(number);
        }
    }
    found
}

fn end(pid: i32) {
    // Gone already is as good.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// The number of the machine's last process; numbers begin anew at some time.
pub(crate) fn last_pid() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(4)?.parse().ok()
}

/// Each process that is, or says it is, of a job below `jobs`, and the name of its sandbox there.
/// By environment it takes two variables, which tell this worker's jobs from those of another on
/// the same machine. Processes with numbers less than `first` are not looked at.
fn below(jobs: &Path, first: u32) -> Vec<(i32, PathBuf)> {
    let mut scratch = format!("{SCRATCH_VARIABLE}=").into_bytes();
    scratch.extend_from_slice(jobs.as_os_str().as_bytes());
    scratch.push(b'/');
    let claim = format!("{CLAIM_VARIABLE}=");
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = std::process::id();
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid >= first && *pid != own);
    let mut found = Vec::new();
    for pid in pids {
        // Another user's processes cannot be read, and are not ours. Those already dead show
        // nothing.
        let place = std::fs::read_link(format!("/proc/{pid}/cwd"));
        let place = place.ok().and_then(|dir| first_below(&dir, jobs));
        let said = || {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            let lines = || environment.split(|byte| *byte == 0);
            let dir = lines().find_map(|line| line.strip_prefix(scratch.as_slice()))?;
            lines().find(|line| line.starts_with(claim.as_bytes()))?;
            let name = dir.split(|byte| *byte == b'/').next()?;
            Some(PathBuf::from(std::ffi::OsStr::from_bytes(name)))
        };
        if let Some(name) = place.or_else(said)
            && let Ok(pid) = i32::try_from(pid)
        {
            found.push((pid, name));
        }
    }
    found
}

/// The name below `jobs` that leads to `dir`.
fn first_below(dir: &Path, jobs: &Path) -> Option<PathBuf> {
    let first = dir.strip_prefix(jobs).ok()?.components().next()?;
    Some(first.as_os_str().into())
}
