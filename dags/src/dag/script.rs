//! The scripts of a node: programs that run beside the manager before, after and during its jobs.
//! Only what the file says; when they run is a run's business.

use serde::{Deserialize, Serialize};

/// The scripts of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre: Option<Box<Script>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<Box<Script>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Box<Script>>,
}

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The program; relative to the node's directory where it has a `/` or is there, else looked
    /// for in `PATH`.
    pub program: String,
    /// As written. One that is a macro by itself (`$JOB`, `$RETURN` …) is replaced when the script
    /// starts.
    pub arguments: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defer: Option<Defer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<Debug>,
}

/// `DEFER`: after this exit code the script runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defer {
    pub status: i32,
    /// How much later, in seconds.
    pub delay_s: u32,
}

/// `DEBUG`: where the script's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debug {
    /// Relative to the node's directory; appended to.
    pub file: String,
    pub stream: Stream,
}

/// Which of a script's outputs are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    Stdout,
    Stderr,
    All,
}

impl Scripts {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pre.is_none() && self.post.is_none() && self.hold.is_none()
    }
}
