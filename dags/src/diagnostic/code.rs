//! The stable code of each kind of finding, and what it means: the one place they are written down.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($variant:ident $id:literal $meaning:literal;)*) => {
        /// A kind of finding. `D0..` DAG files, `D1..` FOREACH, `D2..` the graph, `S0..` the submit
        /// language, `S1..` a job's commands, `S2..` queue statements, `T0..` study files. A code
        /// is never given to another kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the document.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code itself, as in `D012`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }
    };
}

codes! {
    DagUnreadable "D001" "the DAG file, or a file it includes, cannot be read";
    DagTooLarge "D002" "the DAG file, its nodes or its edges are over a limit";
    UnknownCommand "D003" "a line does not start with a command";
    MissingWord "D005" "a command ends before it is complete";
    UnexpectedWord "D006" "a command goes on after it is complete";
    BadNumber "D007" "a number is missing, malformed or out of range";
    BadQuoting "D008" "a quotation mark is not closed or stands in the wrong place";
    BadVariable "D009" "a VARS pair is malformed or its name is not allowed";
    InlineNotClosed "D010" "an inline submit description is malformed or not closed";
    IncludeTooDeep "D011" "INCLUDE or SPLICE nests too deep or leads back to itself";
    DuplicateNode "D012" "the name of a node or a splice is declared twice";
    UnknownNode "D013" "a command names a node that is not declared";
    BadNodeName "D014" "a node name is reserved, too long or has characters it may not have";
    DuplicateDescription "D015" "a SUBMIT-DESCRIPTION name is declared twice";
    OpenContinuation "D016" "the file ends in a continued line";
    NumberTail "D017" "a number is followed by text that is not read";
    SubmitUnreadable "D018" "a node's submit description cannot be read";
    StudyUnreadable "D019" "a node's study file cannot be read";
    NoNodes "D020" "the DAG declares no nodes";
    NotRead "D021" "text that is not read, by DAGMan neither";
    Rejected "D022" "the DAG file says itself that it must not run";
    SpecialNode "D023" "a FINAL, PROVISIONER or SERVICE node where it may not be";
    NotOnSplice "D024" "a command names a splice, and it is for nodes";
    BadPin "D025" "the pins of two connected splices do not fit, or CONNECT names no splice";
    NoEffect "D026" "a command that has no effect where it stands";
    Throttle "D027" "a MAXJOBS that limits no node, or under which none ever starts";
    BadEnv "D028" "an ENV is malformed";
    BadAttribute "D029" "a SET_JOB_ATTR is malformed or its expression does not parse";
    DotHeader "D030" "the header of a DOT file cannot be read";
    BadRescue "D031" "a rescue or save file cannot be read or is malformed";
    SubdagCircle "D032" "a sub-DAG leads back to itself";
    ConfigUnreadable "D041" "a CONFIG file cannot be read, or there is more than one";
    ConfigSyntax "D042" "a line of a CONFIG file is no assignment";
    ConfigUnknown "D043" "a CONFIG file sets a name that is not known";
    ConfigMoot "D044" "a CONFIG file sets what means nothing here";
    ConfigValue "D045" "the value of a setting is malformed or out of range";
    ForeachHead "D101" "a FOREACH line is malformed";
    ForeachNotClosed "D102" "a FOREACH has no END";
    EndWithoutForeach "D103" "an END closes no FOREACH";
    ForeachItems "D104" "the items of a FOREACH cannot be read or do not fit its variables";
    ForeachTooDeep "D105" "FOREACH nests too deep or repeats too many lines";
    UnknownForeachVariable "D106" "a $(name) in a DAG line is no FOREACH variable";
    ForeachEmpty "D107" "a FOREACH has no items";
    Cycle "D201" "nodes wait for each other in a circle";
    SelfParent "D202" "a node is its own parent";
    SubmitSyntax "S001" "a line of a submit description is no statement";
    UnknownSubmitCommand "S002" "a name is neither a submit command nor used as a macro";
    IgnoredSubmitCommand "S003" "a submit command that Updraft knows and does not act upon";
    UnsupportedSubmitCommand "S004" "a submit command that Updraft does not run yet";
    IfSyntax "S005" "an if, elif, else or endif is malformed or stands alone";
    IncludeFailed "S006" "an include cannot be read, nests too deep or is of a kind that is refused";
    MacroTooDeep "S007" "macros expand too deep or too large";
    UndefinedMacro "S008" "a $(name) is defined nowhere and expands to nothing";
    BadFunction "S009" "a $FUNCTION(...) has wrong arguments";
    UnsupportedFunction "S010" "a macro function that is not known or not supported";
    EnvironmentMacro "S011" "a $ENV(name) of an environment that was not given";
    MatchTimeMacro "S012" "a `$$(name)` or `$$([expr])`, filled in at match time, is malformed";
    UserError "S013" "an `error :` statement of the description itself";
    UserWarning "S014" "a `warning :` statement of the description itself";
    SubmitTooLarge "S015" "a submit description is over a limit";
    BadEval "S016" "an $EVAL(...) of what is no expression";
    MissingExecutable "S101" "a job without an executable";
    BadUniverse "S102" "a universe that is not supported";
    BadValue "S103" "the value of a submit command is malformed or out of range";
    BadExpression "S104" "an expression does not parse";
    BadArguments "S105" "arguments are quoted wrongly";
    BadEnvironment "S106" "an environment is malformed";
    BadAttributeName "S107" "an attribute name is not an identifier";
    BadRemaps "S108" "transfer_output_remaps is malformed";
    ExecutableInTrain "S109" "a job of the train universe names an executable";
    AmountOfMachine "S110" "an amount that depends on the machine, which Updraft does not work out yet";
    UnfitValue "S111" "a value that HTCondor puts into the ad, and with which no job can run";
    QueueSyntax "S201" "a queue statement is malformed";
    QueueItems "S202" "the items of a queue statement cannot be read";
    QueueTwice "S203" "more than one queue statement";
    QueueEmpty "S204" "a queue statement queues no jobs";
    QueueTooLarge "S205" "a queue statement queues more jobs than the limit";
    StudySyntax "T001" "a study file is not TOML";
    StudyUnknownKey "T002" "a study file has a key that means nothing there";
    StudyReservedKey "T003" "a study file uses a key that is reserved and not supported yet";
    StudyMissingKey "T004" "a study file lacks a key that it must have";
    StudyBadValue "T005" "the value of a key has the wrong type or is out of range";
    StudySpace "T006" "a parameter's range, scale, choices or default do not fit together";
    RulesSyntax "R001" "the pool's rules are not TOML";
    RulesUnknownKey "R002" "the pool's rules have a key that means nothing there";
    RulesBadValue "R003" "a value of the pool's rules has the wrong type or is out of range";
}

impl Code {
    /// Whether HTCondor accepts what it speaks of, and Updraft refuses it: because it is not done
    /// yet, or because it cannot be meant.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::UnknownSubmitCommand
                | Self::UnsupportedSubmitCommand
                | Self::EnvironmentMacro
                | Self::BadEval
                | Self::UnfitValue
                | Self::MatchTimeMacro
                | Self::BadUniverse
                | Self::AmountOfMachine
                | Self::BadAttributeName
                | Self::BadRemaps
                | Self::QueueTwice
                | Self::QueueEmpty
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.id() == id)
            .ok_or_else(|| serde::de::Error::custom(format!("no diagnostic has the code {id}")))
    }
}
