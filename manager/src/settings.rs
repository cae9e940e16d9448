//! What a manager is told at its start, and the limits it keeps.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use dags::Rules;
use manager_core::Limits;

/// How often an idle connection is asked whether it is still there, and how long it may take to
/// answer.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a new session may take to say who it is.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls that are under way may take to end when the manager stops.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Commands that wait for the queue's thread; more make their senders wait.
pub(crate) const COMMANDS_MAX: usize = 4096;
/// Commands that one flush makes durable.
pub(crate) const GROUP_MAX: usize = 512;
/// Turns of the queue whose messages wait for one worker. A worker that is this far behind is cut
/// off.
pub(crate) const WORKER_TURNS_MAX: usize = 4_096;
/// Journal rows that wait for one watcher before it is told to read them from the store.
pub(crate) const WATCH_ROWS_MAX: usize = 4096;
/// What the store's log of turns may hold before its oldest turns are put into their pages. A
/// restart reads all of it.
pub(crate) const LOG_BYTES_MAX: usize = 4 << 20;
pub(crate) const LOG_TURNS_MAX: usize = 4_096;
/// Journal rows that are kept.
pub(crate) const JOURNAL_ROWS_MAX: u64 = 1_000_000;
/// Bytes of one submission: DAG file, descriptions and study files together, and the list of its
/// input files.
pub(crate) const SUBMIT_BYTES_MAX: usize = 256 << 20;
/// Bytes of a client's key, and of one row's text in the journal.
pub(crate) const KEY_BYTES_MAX: usize = 128;
pub(crate) const ROW_TEXT_BYTES_MAX: usize = 4 << 10;
/// Bytes of one blob.
pub(crate) const BLOB_BYTES_MAX: u64 = 1 << 40;
/// Scripts that run at a time, of all DAG runs together; more wait.
pub(crate) const SCRIPTS_MAX: usize = 64;
/// How long a script that is stopped may take to end before it is killed, and how long when the
/// manager stops.
pub(crate) const SCRIPT_STOP_GRACE: Duration = Duration::from_secs(10);
pub(crate) const SCRIPT_CLOSE_GRACE: Duration = Duration::from_secs(2);
/// The shortest time between two looks at the periodic policies of jobs.
pub(crate) const POLICY_INTERVAL_MS_MIN: u64 = 100;
/// Jobs that one `Jobs` call returns at most.
pub(crate) const JOBS_MAX: usize = 100_000;

/// Settings of one manager.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store, the blobs and the lock live here. Made if it is not there.
    pub state_dir: PathBuf,
    /// Port 0 means any free one.
    pub listen: SocketAddr,
    /// Gets the address, as one line of text, when the manager is ready to serve.
    pub address_file: Option<PathBuf>,
    /// How long a claim outlives the last message that named it.
    pub lease_ms: u64,
    /// How often workers renew; at most a third of the lease.
    pub beat_ms: u64,
    /// Jobs in the queue that are not ended.
    pub queue_jobs_max: u64,
    /// How often the periodic policies of jobs are looked at.
    pub policy_interval_ms: u64,
    /// Whether the scripts of DAG nodes are run.
    pub scripts: ScriptPolicy,
    /// The pool's rules from now on; those of the store if there are none.
    pub rules: Option<Rules>,
}

/// Whether the scripts of DAG nodes are run: they run as the manager, beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScriptPolicy {
    #[default]
    Allow,
    /// A DAG that has any is refused.
    Refuse,
}

impl Settings {
    /// The defaults: any free loopback port, leases of 30 s renewed each 5 s, policies looked at
    /// each 60 s as in HTCondor, scripts allowed.
    pub fn new(state_dir: PathBuf) -> Settings {
        Settings {
            state_dir,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            address_file: None,
            lease_ms: 30_000,
            beat_ms: 5_000,
            queue_jobs_max: 10_000_000,
            policy_interval_ms: 60_000,
            scripts: ScriptPolicy::Allow,
            rules: None,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            jobs_max: self.queue_jobs_max,
            lease_ms: self.lease_ms.max(3),
            beat_ms: self.beat_ms.clamp(1, (self.lease_ms / 3).max(1)),
            faults_max: 3,
            kill_grace_ms: 10_000,
            policy_interval_ms: self.policy_interval_ms.max(POLICY_INTERVAL_MS_MIN),
        }
    }
}
