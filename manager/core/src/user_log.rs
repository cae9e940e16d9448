//! The user's event log, the file that `log = …` of a submit description names, in HTCondor's text
//! form: what an event says ([`LogEvent`]), how it is written ([`write()`]), and how a log is read
//! back ([`Reader`]). Opens no file and knows no clock and no time zone: bytes and local times are
//! handed in.
//!
//! The form, from HTCondor 25.14 (`src/condor_utils/condor_event.cpp`, `read_user_log.cpp`) and
//! held to its reader by `tests/vectors/job_events.jsonl`: a line `NNN (cluster.proc.subproc)
//! YYYY-MM-DD HH:MM:SS text`, indented lines of detail, and a line `...` that ends the event. What
//! others wrote, a reason or a name, is brought onto one line before it goes in, so that no text
//! can end an event or begin one.
//!
//! ```
//! use manager_core::user_log::{Header, Held, LocalTime, LogEvent, Reader, Step, write};
//!
//! let head = Header { cluster: 12, proc: 0, subproc: 0, at: LocalTime::of(1_704_164_645_000, 0) };
//! let held = LogEvent::Held(Held { reason: "by the user".into(), code: 1, subcode: 0 });
//! let text = write(&head, &held);
//! assert_eq!(
//!     text,
//!     "012 (012.000.000) 2024-01-02 03:04:05 Job was held.\n\tby the user\n\
//!      \tCode 1 Subcode 0\n...\n"
//! );
//! let mut reader = Reader::new(text.as_bytes(), 2024);
//! let Step::Event(record) = reader.step() else { panic!("one event") };
//! assert_eq!(record.attrs.eval("HoldReason").as_str(), Some("by the user"));
//! ```

mod event;
mod kinds;
mod local_time;
mod read;
mod write;

pub use event::{
    Amount, AttributeUpdate, Checkpointed, ClusterRemove, Completion, Disconnected, End, Evicted,
    Evicting, ExecutableFault, Execute, FactoryPaused, FileTransfer, Header, Held, ImageSize,
    LogEvent, Notes, PostScriptTerminated, ReconnectFailed, Reconnected, RemoteError, Resource,
    Severity, ShadowException, Submit, Terminated, Transfer, Usage,
};
pub use kinds::{my_type, name};
pub use local_time::LocalTime;
pub use read::{Broken, LoggedTime, Reader, Record, Stated, Step};
pub use write::{HEAD_BYTES_MAX, TEXT_BYTES_MAX, write};
