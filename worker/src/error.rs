//! Why a worker cannot start. What goes wrong later is a job's report or a line in the log.

use std::path::PathBuf;

use thiserror::Error;

use crate::config::ConfigErrors;
use crate::discovery::DiscoveryError;

/// A worker that cannot start.
#[derive(Debug, Error)]
pub enum WorkerError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    ConfigFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    #[error("`{text}` is not an attribute: {reason} (expected `NAME = expression`)")]
    Attribute { text: String, reason: String },
    #[error("`{text}` is not a custom resource: {reason} (expected `NAME=N`)")]
    Resource { text: String, reason: String },
    #[error(
        "no manager is named (expected `host:port`, by flag or as MANAGER in the configuration)"
    )]
    NoManager,
    #[error("`{text}` is not the address of a manager: {reason} (expected `host:port`)")]
    ManagerAddress { text: String, reason: String },
    #[error("the host name `{host}` cannot name a worker ({reason}); give it a name")]
    NoName { host: String, reason: String },
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error("cannot use the state directory: {}: {source}", path.display())]
    State {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the state directory {} is in use by another worker{}", path.display(), by(holder))]
    Busy { path: PathBuf, holder: Option<u32> },
    #[error("cannot start a thread: {source}")]
    Thread { source: std::io::Error },
    #[error("the worker ended by a fault of its own: {source}")]
    Died { source: tokio::task::JoinError },
}

fn by(holder: &Option<u32>) -> String {
    holder
        .map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}
