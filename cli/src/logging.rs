//! Where the log of what runs in this process goes. A log line is never an answer: those go through
//! `output`.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::settings::Verbosity;

/// What is logged when `UPDRAFT_LOG` does not say: `error`, `info`, `manager=debug,info`, ….
const FILTER_DEFAULT: &str = "info";

/// A daemon's log goes to standard error, for whoever supervises it.
pub fn to_stderr() {
    tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
}

/// The log of an embedded manager and worker goes to a file, so that the terminal stays readable.
///
/// # Errors
/// The file cannot be opened.
pub fn to_file(path: &Path, verbosity: Verbosity) -> std::io::Result<()> {
    match verbosity {
        Verbosity::Verbose => to_stderr(),
        Verbosity::Normal => {
            let file = File::options().create(true).append(true).open(path)?;
            tracing_subscriber::fmt()
                .with_env_filter(filter())
                .with_ansi(false)
                .with_writer(Mutex::new(file))
                .init();
        }
    }
    Ok(())
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_env("UPDRAFT_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT))
}
