//! How the program can end: the one table of exit codes, and the errors that lead to them.
//!
//! Nothing here prints. A code never changes its meaning.

use std::process::ExitCode;

/// What a process that started us is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was done; for `run` and `wait`: and everything succeeded.
    Ok,
    /// The work failed: a job, a DAG run, a training.
    Failed,
    /// The command line or a file is wrong. clap ends with the same code.
    Usage,
    /// `why`: nothing in the pool as it is could ever run it.
    Never,
    /// No such job, DAG run, node, worker or study.
    NotFound,
    /// No manager answers at the address.
    Unreachable,
    /// `wait --timeout`: the work goes on. `why`: it waits.
    NotYet,
    /// A fault of ours, or of the machine we run on.
    Internal,
    /// Ctrl-C, or SIGTERM.
    Interrupted,
    /// As the tool of HTCondor's ends that we stand in for.
    Tool(u8),
}

/// Why a command ended without having done what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The work failed.
    #[error("{0}")]
    Work(String),
    /// The command line or a file is wrong.
    #[error("{0}")]
    Usage(String),
    /// The diagnostics were printed already.
    #[error("{errors} in {file}; nothing was submitted")]
    Rejected { file: String, errors: String },
    #[error("{0}")]
    NotFound(String),
    #[error(
        "no manager answers at {address}: {reason}; start one with `updraft manager`, or name \
         another with --manager or UPDRAFT_MANAGER"
    )]
    Unreachable { address: String, reason: String },
    #[error("not ended after {0} s")]
    NotYet(f64),
    #[error("{0}")]
    Internal(String),
    #[error("interrupted")]
    Interrupted,
    /// Whoever read our output went away, as `head` does: nothing is left to say, and nobody to say
    /// it to.
    #[error("the reader of the output went away")]
    Pipe,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Never => 3,
            Exit::NotFound => 4,
            Exit::Unreachable => 6,
            Exit::NotYet => 8,
            Exit::Internal => 70,
            Exit::Interrupted => 130,
            Exit::Tool(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl Failure {
    pub const fn exit(&self) -> Exit {
        match self {
            Failure::Work(_) => Exit::Failed,
            Failure::Usage(_) | Failure::Rejected { .. } => Exit::Usage,
            Failure::NotFound(_) => Exit::NotFound,
            Failure::Unreachable { .. } => Exit::Unreachable,
            Failure::NotYet(_) => Exit::NotYet,
            Failure::Internal(_) => Exit::Internal,
            Failure::Interrupted => Exit::Interrupted,
            Failure::Pipe => Exit::Ok,
        }
    }

    /// Whether there is something to tell the user that was not told yet.
    pub const fn is_silent(&self) -> bool {
        matches!(self, Failure::Pipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_is_documented() {
        let table = [
            (Exit::Ok, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Never, 3),
            (Exit::NotFound, 4),
            (Exit::Unreachable, 6),
            (Exit::NotYet, 8),
            (Exit::Internal, 70),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in table {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
