//! What an event of the user log says, as plain data. Holds what the manager can know, without any
//! text form: see `write`.

use classad::ClassAd;

use super::LocalTime;

/// Whose event it is, and when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub cluster: i64,
    /// -1 for an event of the whole cluster.
    pub proc: i64,
    /// 0: there are no jobs of several parts.
    pub subproc: i64,
    /// In the zone of whoever reads the log, for it does not say which.
    pub at: LocalTime,
}

/// An event that a manager writes. The numbers are HTCondor's.
#[derive(Clone, Debug, PartialEq)]
pub enum LogEvent {
    /// 000: the job is in the queue.
    Submit(Submit),
    /// 001: it runs.
    Execute(Execute),
    /// 002: the program cannot be run.
    ExecutableError { fault: ExecutableFault },
    /// 003: a checkpoint was taken.
    Checkpointed(Checkpointed),
    /// 004: it left its machine without an end of its own.
    Evicted(Box<Evicted>),
    /// 005: it ended.
    Terminated(Box<Terminated>),
    /// 006: how large it is.
    ImageSize(ImageSize),
    /// 007: what looked after it failed.
    ShadowException(ShadowException),
    /// 008: one line of anything.
    Generic { info: String },
    /// 009: it was removed.
    Aborted { reason: String },
    /// 010: it was stopped, to go on later.
    Suspended { processes: u32 },
    /// 011: it goes on.
    Unsuspended,
    /// 012: it does not run until it is released.
    Held(Held),
    /// 013: it may run again.
    Released { reason: String },
    /// 016: the POST script of the DAG node ended. The job is the node's last, or 0.0.0 where none
    /// was submitted.
    PostScriptTerminated(PostScriptTerminated),
    /// 021: something went wrong on the machine where it runs.
    RemoteError(RemoteError),
    /// 022: its machine does not answer.
    Disconnected(Disconnected),
    /// 023: its machine answers again.
    Reconnected(Reconnected),
    /// 024: its machine was given up; the job goes back to the queue.
    ReconnectFailed(ReconnectFailed),
    /// 028: attributes of the job, `job_ad_information_attrs`. HTCondor writes it behind another
    /// event and puts that one's attributes in, with `TriggerEventTypeNumber` and
    /// `TriggerEventTypeName`.
    JobAdInformation { attrs: ClassAd },
    /// 029: nobody knows how it is.
    StatusUnknown,
    /// 030: somebody knows again.
    StatusKnown,
    /// 033: an attribute was changed. HTCondor's reader sees the names and values only where an
    /// old value is given and none holds a space.
    AttributeUpdate(AttributeUpdate),
    /// 034: the PRE script of the DAG node ended with its PRE_SKIP value.
    PreSkip { dag_node: String },
    /// 035: the cluster is in the queue; its jobs are made as they are needed.
    ClusterSubmit(Submit),
    /// 036: nothing of the cluster is left in the queue.
    ClusterRemove(ClusterRemove),
    /// 037: no more of the cluster's jobs are made for now.
    FactoryPaused(FactoryPaused),
    /// 038: they are made again.
    FactoryResumed { reason: String },
    /// 040: files on their way.
    FileTransfer(FileTransfer),
    /// 046: its outputs were newer than its inputs.
    DataflowSkipped { reason: String },
}

/// A job or a cluster in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submit {
    /// The address of the manager, as in `<127.0.0.1:7878>`.
    pub host: String,
    pub notes: Notes,
    /// `submit_event_user_notes`. Without notes HTCondor's reader takes it for them.
    pub user_notes: Option<String>,
    /// What was wrong with the description though it was taken. Only of a job, not of a cluster.
    pub warnings: Option<String>,
}

/// The first line below a submit event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Notes {
    #[default]
    None,
    /// The node of the DAG whose job it is.
    DagNode(String),
    /// `submit_event_notes`.
    Text(String),
}

/// A job on its machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Execute {
    /// The address of the machine, as in `<10.0.0.7:9618>`.
    pub host: String,
    pub slot_name: Option<String>,
    /// What the slot has: `Cpus`, `Memory`, `AvailableGPUs`, and what `ulog_execute_attrs` asks
    /// for.
    pub props: ClassAd,
}

/// Why a program cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutableFault {
    NotExecutable,
    BadLink,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub user_s: u64,
    pub system_s: u64,
}

/// A checkpoint of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    pub remote: Usage,
    pub local: Usage,
    pub sent_bytes: u64,
}

/// What looked after a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowException {
    pub message: String,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// A job that does not run until it is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub reason: String,
    pub code: i32,
    pub subcode: i32,
}

/// A POST script that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostScriptTerminated {
    pub end: End,
    pub dag_node: String,
}

/// A machine that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnected {
    pub reason: String,
    pub startd_name: String,
    pub startd_addr: String,
}

/// A machine that answers again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconnected {
    pub startd_name: String,
    pub startd_addr: String,
    pub starter_addr: String,
}

/// A machine that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconnectFailed {
    pub reason: String,
    pub startd_name: String,
}

/// An attribute that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeUpdate {
    pub name: String,
    pub old: Option<String>,
    pub value: String,
}

/// A cluster of which nothing is left in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRemove {
    pub jobs: u32,
    pub items: u32,
    pub completion: Completion,
    pub notes: String,
}

/// A cluster of which no more jobs are made for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactoryPaused {
    pub reason: String,
    pub pause_code: i32,
    pub hold_code: i32,
}

/// Files on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTransfer {
    pub what: Transfer,
    /// How long it waited for its turn.
    pub queued_s: Option<u64>,
    pub host: Option<String>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
}

/// A job that left its machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Evicted {
    pub how: Evicting,
    pub remote: Usage,
    pub local: Usage,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub reason: String,
    /// 0 where there is none: then neither code is written.
    pub code: i32,
    pub subcode: i32,
    pub resources: Vec<Resource>,
}

/// What became of the work of a job that left its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evicting {
    /// It is lost.
    Lost,
    /// There is a checkpoint.
    Checkpointed,
    /// The job ended and goes back to the queue all the same, as `on_exit_remove` wants.
    Requeued { end: End, core_file: Option<String> },
}

/// A job that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Terminated {
    pub end: End,
    pub core_file: Option<String>,
    /// Of the last run, on its machine and on the manager's.
    pub run_remote: Usage,
    pub run_local: Usage,
    /// Of all runs.
    pub total_remote: Usage,
    pub total_local: Usage,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub total_sent_bytes: u64,
    pub total_received_bytes: u64,
    /// What it used, asked for and was given; no table without any.
    pub resources: Vec<Resource>,
    /// When it ended by itself, in UTC; a line that HTCondor wrote from 8.9 to 24.
    pub own_accord: Option<LocalTime>,
}

/// One resource of a slot: `Cpus`, `Memory` in MB, `Disk` in KB, `Gpus`, or a pool's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The name of its attribute: letters, digits and `_`.
    pub name: String,
    pub used: Option<Amount>,
    pub requested: Option<Amount>,
    pub allocated: Option<Amount>,
    /// Which of them, where they have names, as in `GPU-a1b2,GPU-c3d4`.
    pub assigned: Option<String>,
}

/// How much of a resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    Whole(i64),
    /// Written with two digits, and without any where it is a whole number.
    Part(f64),
}

/// How large a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    pub size_kb: u64,
    pub memory_mb: Option<u64>,
    /// HTCondor's reader reads 0 where it is not said.
    pub resident_kb: Option<u64>,
    pub proportional_kb: Option<u64>,
}

/// A complaint from the machine where a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    pub severity: Severity,
    /// Who complains, as in `starter`.
    pub daemon: String,
    /// The slot, as in `slot1@gpu01`.
    pub host: String,
    /// May have several lines.
    pub message: String,
    /// The codes of the hold that follows, if one does.
    pub hold: Option<(i32, i32)>,
}

/// How bad a complaint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// How far a cluster came before it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// With a code, which is written below zero.
    Error(u16),
    Incomplete,
    Complete,
    Paused,
}

/// A step of moving files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    InputQueued,
    InputStarted,
    InputFinished,
    OutputQueued,
    OutputStarted,
    OutputFinished,
}

impl LogEvent {
    /// The number that the event's first line begins with.
    pub const fn number(&self) -> u16 {
        match self {
            LogEvent::Submit(_) => 0,
            LogEvent::Execute(_) => 1,
            LogEvent::ExecutableError { .. } => 2,
            LogEvent::Checkpointed(_) => 3,
            LogEvent::Evicted(_) => 4,
            LogEvent::Terminated(_) => 5,
            LogEvent::ImageSize(_) => 6,
            LogEvent::ShadowException(_) => 7,
            LogEvent::Generic { .. } => 8,
            LogEvent::Aborted { .. } => 9,
            LogEvent::Suspended { .. } => 10,
            LogEvent::Unsuspended => 11,
            LogEvent::Held(_) => 12,
            LogEvent::Released { .. } => 13,
            LogEvent::PostScriptTerminated(_) => 16,
            LogEvent::RemoteError(_) => 21,
            LogEvent::Disconnected(_) => 22,
            LogEvent::Reconnected(_) => 23,
            LogEvent::ReconnectFailed(_) => 24,
            LogEvent::JobAdInformation { .. } => 28,
            LogEvent::StatusUnknown => 29,
            LogEvent::StatusKnown => 30,
            LogEvent::AttributeUpdate(_) => 33,
            LogEvent::PreSkip { .. } => 34,
            LogEvent::ClusterSubmit(_) => 35,
            LogEvent::ClusterRemove(_) => 36,
            LogEvent::FactoryPaused(_) => 37,
            LogEvent::FactoryResumed { .. } => 38,
            LogEvent::FileTransfer(_) => 40,
            LogEvent::DataflowSkipped { .. } => 46,
        }
    }
}

impl Transfer {
    /// Every step with the text that stands for it; its place, from 1 on, is its number.
    pub(super) const ALL: [(Transfer, &'static str); 6] = [
        (
            Transfer::InputQueued,
            "Entered queue to transfer input files",
        ),
        (Transfer::InputStarted, "Started transferring input files"),
        (Transfer::InputFinished, "Finished transferring input files"),
        (
            Transfer::OutputQueued,
            "Entered queue to transfer output files",
        ),
        (Transfer::OutputStarted, "Started transferring output files"),
        (
            Transfer::OutputFinished,
            "Finished transferring output files",
        ),
    ];
}
