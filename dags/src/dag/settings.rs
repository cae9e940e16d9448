//! What a DAG file says about its run as a whole: `CONFIG`, `ENV`, and the files that the run writes
//! about itself.

use serde::{Deserialize, Serialize};

/// How much of a run may go on at a time; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttles {
    /// Nodes with jobs in the queue (`DAGMAN_MAX_JOBS_SUBMITTED`).
    pub max_jobs: u32,
    /// Jobs that wait; a node that starts may go over it (`DAGMAN_MAX_JOBS_IDLE`).
    pub max_idle: u32,
    /// PRE scripts that run (`DAGMAN_MAX_PRE_SCRIPTS`).
    pub max_pre: u32,
    /// POST scripts that run (`DAGMAN_MAX_POST_SCRIPTS`).
    pub max_post: u32,
    /// HOLD scripts that run (`DAGMAN_MAX_HOLD_SCRIPTS`).
    pub max_hold: u32,
}

/// What a `CONFIG` file may set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub throttles: Throttles,
    /// Whether a node's POST script runs after a PRE script that failed (`DAGMAN_ALWAYS_RUN_POST`).
    pub always_run_post: bool,
    /// Whether a node that failed is tried again before others start (`DAGMAN_RETRY_NODE_FIRST`).
    pub retry_node_first: bool,
    /// Whether nodes that became ready last start first (`DAGMAN_SUBMIT_DEPTH_FIRST`).
    pub depth_first: bool,
    /// Holds of a node's jobs after which they are removed; 0 is no limit (`DAGMAN_MAX_JOB_HOLDS`).
    pub max_job_holds: u32,
    /// Added to each node's priority (`DAGMAN_DEFAULT_PRIORITY`).
    pub default_priority: i64,
}

/// `ENV`: what the scripts of a run find in their environment besides the manager's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// `SET`: names and values; of one name the last counts.
    pub set: Vec<(String, String)>,
    /// `GET`: names whose values the submitter's environment gives.
    pub get: Vec<String>,
}

/// Files that a run writes about itself, relative to the DAG's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Papers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dot: Option<DotFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_status: Option<StatusFile>,
    /// `JOBSTATE_LOG`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobstate_log: Option<String>,
}

/// `DOT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DotFile {
    pub file: String,
    /// Whether it is written anew when a node changes.
    pub update: bool,
    /// Whether a file of the name is replaced; if not, `.0`, `.1` … is put behind.
    pub overwrite: bool,
    /// Text that is put at the head of the graph, as it was read with the DAG.
    pub header: Option<String>,
}

/// `NODE_STATUS_FILE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusFile {
    pub file: String,
    /// Seconds between two writings, at least.
    pub interval_s: u32,
    /// Whether it is written although nothing changed.
    pub always: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            throttles: Throttles::default(),
            always_run_post: false,
            retry_node_first: false,
            depth_first: false,
            max_job_holds: 100,
            default_priority: 0,
        }
    }
}
