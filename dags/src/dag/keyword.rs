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
    /// Updraft's own.
    Ours,
}

keywords! {
    Job "JOB" Run;
    Final "FINAL" Run;
    Provisioner "PROVISIONER" Run;
    Service "SERVICE" Run;
    Subdag "SUBDAG" Run;
    Splice "SPLICE" Run;
    Include "INCLUDE" Run;
    SubmitDescription "SUBMIT-DESCRIPTION" Run;
    Parent "PARENT" Run;
    Weak "WEAK" Run;
    Script "SCRIPT" Run;
    PreSkip "PRE_SKIP" Run;
    Retry "RETRY" Run;
    AbortDagOn "ABORT-DAG-ON" Run;
    Tolerance "TOLERANCE" Run;
    Vars "VARS" Run;
    Priority "PRIORITY" Run;
    Category "CATEGORY" Run;
    Maxjobs "MAXJOBS" Run;
    Config "CONFIG" Run;
    SetJobAttr "SET_JOB_ATTR" Run;
    Env "ENV" Run;
    Dot "DOT" Run;
    NodeStatusFile "NODE_STATUS_FILE" Run;
    JobstateLog "JOBSTATE_LOG" Run;
    SavePointFile "SAVE_POINT_FILE" Run;
    Done "DONE" Run;
    Reject "REJECT" Run;
    Connect "CONNECT" Run;
    PinIn "PIN_IN" Run;
    PinOut "PIN_OUT" Run;
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
