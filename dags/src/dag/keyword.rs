//! The words that a line of a DAG file can begin with: a closed list, and what becomes of each.
//!
//! Whether a line is complete is not known here.

use super::words::is_keyword;

macro_rules! keywords {
    ($($variant:ident $name:literal $support:ident;)*) => {
        /// A command of a DAG file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Keyword {
            $(#[doc = $name] $variant,)*
        }

        impl Keyword {
            /// All of them; our own come last.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As manuals write it: in capitals.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What becomes of it after it was read.
            #[must_use]
            pub const fn support(self) -> Support {
                match self {
                    $(Self::$variant => Support::$support,)*
                }
            }
        }
    };
}

/// What becomes of a command after it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It means what it means in DAGMan.
    Run,
    /// A DAG with it is refused, and the command is named: it is never ignored.
    Refused,
    /// Updraft's own.
    Ours,
}

keywords! {
    Job "JOB" Run;
    Final "FINAL" Refused;
    Provisioner "PROVISIONER" Refused;
    Service "SERVICE" Refused;
    Subdag "SUBDAG" Refused;
    Splice "SPLICE" Refused;
    Include "INCLUDE" Run;
    SubmitDescription "SUBMIT-DESCRIPTION" Run;
    Parent "PARENT" Run;
    Weak "WEAK" Refused;
    Script "SCRIPT" Refused;
    PreSkip "PRE_SKIP" Refused;
    Retry "RETRY" Run;
    AbortDagOn "ABORT-DAG-ON" Refused;
    Tolerance "TOLERANCE" Refused;
    Vars "VARS" Run;
    Priority "PRIORITY" Run;
    Category "CATEGORY" Refused;
    Maxjobs "MAXJOBS" Refused;
    Config "CONFIG" Refused;
    SetJobAttr "SET_JOB_ATTR" Refused;
    Env "ENV" Refused;
    Dot "DOT" Refused;
    NodeStatusFile "NODE_STATUS_FILE" Refused;
    JobstateLog "JOBSTATE_LOG" Refused;
    SavePointFile "SAVE_POINT_FILE" Refused;
    Done "DONE" Run;
    Reject "REJECT" Run;
    Connect "CONNECT" Refused;
    PinIn "PIN_IN" Refused;
    PinOut "PIN_OUT" Refused;
    Study "STUDY" Ours;
    Foreach "FOREACH" Ours;
    End "END" Ours;
}

impl Keyword {
    /// The command that a word names, without regard to case, `-` and `_` alike.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|keyword| is_keyword(word, keyword.name()))
    }
}
