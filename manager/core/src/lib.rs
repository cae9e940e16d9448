//! The queue as a pure state machine: clusters and procs, DAG runs, studies, claims, the
//! negotiator, and why a job waits. Nothing here can wait, read a clock, draw a random number, open
//! a file or reach a network.
//!
//! A shell owns one [`Queue`] and does four things with it, in this order, for each [`Command`] or
//! group of them:
//!
//! 1. [`Queue::step`] decides events and applies them;
//! 2. [`Queue::take_changes`] gives the records that changed, which are made durable;
//! 3. the [`Reply`] is sent to whoever asked;
//! 4. the [`Effect`]s are done.
//!
//! [`Queue::apply`] is the only function that changes state. After a crash [`Queue::restore`]
//! rebuilds the same state from the records, and [`Queue::recover`] says what was under way.
#![deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
#![forbid(unsafe_code)]

mod accounts;
mod ad;
mod agenda;
mod apply;
mod carry;
mod chronicle;
mod command;
mod decide;
mod drain;
mod edits;
mod effect;
mod event;
mod explain;
mod job;
mod journal;
mod look;
mod materialize;
mod negotiator;
mod order;
mod plan;
mod policy;
mod pool;
mod queue;
mod raised;
mod record;
mod rest;
mod run;
mod shape;
mod shares;
mod study;
pub mod user_log;
mod waits;
mod workspace;

pub use accounts::{Account, Accounts, Charge, Setting, Submitter};
pub use apply::Lingering;
pub use command::{
    Act, Change, Command, Haste, Loaded, NewCluster, NewRun, Refusal, Reply, ScriptEnd, Steer,
    ThrottleChange,
};
pub use drain::{AfterDrain, Drain, DrainMode, DrainRequest, DrainState};
pub use edits::Edits;
pub use effect::{CollectOrder, Effect, Landing, LoadOrder, Question, ScriptOrder, Write, Writing};
pub use event::{
    Event, Lands, LookNext, NodeEnd, Outcome, Part, Preempts, QueuedRun, Requeue, Soft, Subdags,
    Taken, TrialEnd, Works,
};
pub use explain::{Cause, Causes, ClauseCount, Holder, Line, Progress, Prospect, SmallChange, Why};
pub use job::{Cluster, Ending, HoldCode, Past, Phase, PolicyHold, Proc, ProcState, Source, Tally};
pub use journal::{Row, RowKind, exit_of};
pub use look::{BadExpression, Probe, Shown};
pub use order::{declared_outputs, input_paths};
pub use plan::{Plan, PlanKind, Planned};
pub use pool::{Carve, Device, DeviceUse, Free, Pool, Worker};
pub use queue::{Limits, Queue, Step, WakeReason};
pub use raised::{More, Raised};
pub use record::{Changes, RecordKey, RestoreError};
pub use rest::Rest;
pub use run::{Cut, Halt, Node, NodeCounts, NodeState, Run, RunState, ScriptKind};
pub use shares::{GroupShare, LimitUse, Shares, UserShare};
pub use study::{Params, Study, Trial, TrialState};
pub use workspace::{Delivery, Workspace};
