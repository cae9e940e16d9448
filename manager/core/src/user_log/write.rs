//! Events as the text of a log. Every text that somebody else wrote passes [`Out::line`], which
//! keeps it on its line: nothing here can end an event early or begin another one.

mod table;

use classad::{ClassAd, Expr};

use super::event::{
    AttributeUpdate, Checkpointed, ClusterRemove, Completion, Disconnected, End, Evicted, Evicting,
    ExecutableFault, Execute, FactoryPaused, FileTransfer, Header, Held, ImageSize, LogEvent,
    Notes, PostScriptTerminated, ReconnectFailed, Reconnected, RemoteError, Severity,
    ShadowException, Submit, Terminated, Transfer, Usage,
};

/// Most bytes of an event's first line: HTCondor's reader takes what is behind them for a line of
/// its own.
pub const HEAD_BYTES_MAX: usize = 1022;
/// Most bytes of another line's text: HTCondor's reader loses longer ones of some events.
pub const TEXT_BYTES_MAX: usize = 8000;
/// Most bytes of a name in the middle of a line.
const NAME_BYTES_MAX: usize = 256;
/// The line that ends an event.
const SYNC: &str = "...\n";
/// What stands where a reader wants a text and there is none.
const UNKNOWN: &str = "unknown";

/// One event, from its number to the line `...` that ends it.
///
/// Line breaks in texts become `|`, other control characters spaces; texts end after
/// [`TEXT_BYTES_MAX`] bytes, the first line after [`HEAD_BYTES_MAX`].
pub fn write(head: &Header, event: &LogEvent) -> String {
    let mut out = Out {
        text: format!(
            "{:03} ({:03}.{:03}.{:03}) {} ",
            event.number(),
            head.cluster,
            head.proc,
            head.subproc,
            head.at
        ),
    };
    out.event(head, event);
    out.text.push_str(SYNC);
    out.text
}

struct Out {
    text: String,
}

/// What a line of detail begins with.
#[derive(Clone, Copy)]
enum Indent {
    None,
    Tab,
    Tabs,
    Spaces,
}

impl Out {
    fn event(&mut self, head: &Header, event: &LogEvent) {
        match event {
            LogEvent::Submit(submit) => self.submit(submit),
            LogEvent::Execute(execute) => self.execute(execute),
            LogEvent::ExecutableError { fault } => self.fault(*fault),
            LogEvent::Checkpointed(checkpointed) => self.checkpointed(checkpointed),
            LogEvent::Evicted(evicted) => self.evicted(evicted),
            LogEvent::Terminated(terminated) => self.terminated(terminated),
            LogEvent::ImageSize(size) => self.image_size(*size),
            LogEvent::ShadowException(exception) => self.exception(exception),
            LogEvent::Generic { info } => self.head(info),
            LogEvent::Aborted { reason } => self.told("Job was aborted.", reason),
            LogEvent::Suspended { processes } => self.suspended(*processes),
            LogEvent::Unsuspended => self.head("Job was unsuspended."),
            LogEvent::Held(held) => self.held(held),
            LogEvent::Released { reason } => self.told("Job was released.", reason),
            LogEvent::PostScriptTerminated(script) => self.post_script(script),
            LogEvent::RemoteError(error) => self.remote_error(error),
            LogEvent::Disconnected(from) => self.disconnected(from),
            LogEvent::Reconnected(to) => self.reconnected(to),
            LogEvent::ReconnectFailed(with) => self.reconnect_failed(with),
            LogEvent::JobAdInformation { attrs } => self.job_ad(head, attrs),
            LogEvent::StatusUnknown => self.head("The job's remote status is unknown"),
            LogEvent::StatusKnown => self.head("The job's remote status is known again"),
            LogEvent::AttributeUpdate(update) => self.attribute(update),
            LogEvent::PreSkip { dag_node } => self.pre_skip(dag_node),
            LogEvent::ClusterSubmit(submit) => self.submitted("Cluster", submit),
            LogEvent::ClusterRemove(removed) => self.cluster_remove(removed),
            LogEvent::FactoryPaused(paused) => self.factory_paused(paused),
            LogEvent::FactoryResumed { reason } => {
                self.told("Job Materialization Resumed", reason);
            }
            LogEvent::FileTransfer(transfer) => self.transfer(transfer),
            LogEvent::DataflowSkipped { reason } => self.told("Dataflow job was skipped.", reason),
        }
    }

    fn submit(&mut self, submit: &Submit) {
        self.submitted("Job", submit);
        if let Some(warnings) = submit.warnings.as_ref().filter(|text| !is_blank(text)) {
            let said = "WARNING: Committed job submission into the queue with the following \
                        warning(s): ";
            self.line(Indent::Spaces, &format!("{said}{warnings}"));
        }
    }

    fn submitted(&mut self, what: &str, submit: &Submit) {
        // HTCondor's reader would take three dots here for the event's end.
        let host = submit.host.trim_start_matches('.');
        self.head(&format!("{what} submitted from host: {host}"));
        match &submit.notes {
            Notes::None => {}
            Notes::DagNode(node) => self.dag_node(node),
            Notes::Text(text) => self.line_if(Indent::Spaces, text),
        }
        if let Some(notes) = &submit.user_notes {
            self.line_if(Indent::Spaces, notes);
        }
    }

    fn execute(&mut self, execute: &Execute) {
        self.head(&format!("Job executing on host: {}", execute.host));
        if let Some(name) = &execute.slot_name {
            self.line(Indent::Tab, &format!("SlotName: {name}"));
        }
        self.attrs(Indent::Tab, &execute.props);
    }

    fn fault(&mut self, fault: ExecutableFault) {
        self.head(match fault {
            ExecutableFault::NotExecutable => "(0) Job file not executable.",
            ExecutableFault::BadLink => "(1) Job not properly linked for Condor.",
        });
    }

    fn checkpointed(&mut self, checkpointed: &Checkpointed) {
        self.head("Job was checkpointed.");
        self.usage(Indent::Tab, checkpointed.remote, "Run Remote");
        self.usage(Indent::Tab, checkpointed.local, "Run Local");
        let sent = checkpointed.sent_bytes;
        self.amount(sent, "Run Bytes Sent By Job For Checkpoint");
    }

    fn evicted(&mut self, evicted: &Evicted) {
        match evicted.code {
            0 => self.head("Job was evicted."),
            code => self.head(&format!(
                "Job was evicted. {}",
                codes(code, evicted.subcode)
            )),
        }
        self.line(
            Indent::Tab,
            match &evicted.how {
                Evicting::Lost => "(0) CPU times",
                Evicting::Checkpointed => "(1) Job was checkpointed.",
                Evicting::Requeued { .. } => "(0) Job terminated and was requeued",
            },
        );
        self.usage(Indent::Tabs, evicted.remote, "Run Remote");
        self.usage(Indent::Tabs, evicted.local, "Run Local");
        self.amount(evicted.sent_bytes, "Run Bytes Sent By Job");
        self.amount(evicted.received_bytes, "Run Bytes Received By Job");
        match &evicted.how {
            Evicting::Requeued { end, core_file } => {
                self.end(*end, core_file.as_deref());
                self.line_if(Indent::Tab, &evicted.reason);
            }
            Evicting::Lost | Evicting::Checkpointed if is_blank(&evicted.reason) => {}
            Evicting::Lost | Evicting::Checkpointed => {
                self.line(Indent::Tab, &format!("Reason: {}", evicted.reason));
            }
        }
        table::write(&mut self.text, &evicted.resources);
    }

    fn terminated(&mut self, terminated: &Terminated) {
        self.head("Job terminated.");
        self.end(terminated.end, terminated.core_file.as_deref());
        self.usage(Indent::Tabs, terminated.run_remote, "Run Remote");
        self.usage(Indent::Tabs, terminated.run_local, "Run Local");
        self.usage(Indent::Tabs, terminated.total_remote, "Total Remote");
        self.usage(Indent::Tabs, terminated.total_local, "Total Local");
        self.amount(terminated.sent_bytes, "Run Bytes Sent By Job");
        self.amount(terminated.received_bytes, "Run Bytes Received By Job");
        self.amount(terminated.total_sent_bytes, "Total Bytes Sent By Job");
        let received = terminated.total_received_bytes;
        self.amount(received, "Total Bytes Received By Job");
        table::write(&mut self.text, &terminated.resources);
        if let Some(at) = terminated.own_accord {
            let how = match terminated.end {
                End::Exit(code) => format!("exit-code {code}"),
                End::Signal(signal) => format!("signal {signal}"),
            };
            // The empty line keeps a reader from taking the next for a row of the table.
            self.text.push('\n');
            let text = format!("Job terminated of its own accord at {at:#}Z with {how}.");
            self.line(Indent::Tab, &text);
        }
    }

    fn image_size(&mut self, size: ImageSize) {
        self.head(&format!("Image size of job updated: {}", size.size_kb));
        let details = [
            (size.memory_mb, "MemoryUsage of job (MB)"),
            (size.resident_kb, "ResidentSetSize of job (KB)"),
            (size.proportional_kb, "ProportionalSetSize of job (KB)"),
        ];
        for (amount, of) in details {
            if let Some(amount) = amount {
                self.amount(amount, of);
            }
        }
    }

    fn exception(&mut self, exception: &ShadowException) {
        self.head("Shadow exception!");
        self.line(Indent::Tab, &exception.message);
        self.amount(exception.sent_bytes, "Run Bytes Sent By Job");
        self.amount(exception.received_bytes, "Run Bytes Received By Job");
    }

    fn suspended(&mut self, processes: u32) {
        let text = format!("Number of processes actually suspended: {processes}");
        self.told("Job was suspended.", &text);
    }

    fn held(&mut self, held: &Held) {
        self.head("Job was held.");
        self.line(Indent::Tab, or(&held.reason, "Reason unspecified"));
        self.line(Indent::Tab, &codes(held.code, held.subcode));
    }

    fn post_script(&mut self, script: &PostScriptTerminated) {
        self.head("POST Script terminated.");
        self.line(Indent::Tab, &ended(script.end));
        if !is_blank(&script.dag_node) {
            self.dag_node(&script.dag_node);
        }
    }

    fn remote_error(&mut self, error: &RemoteError) {
        let kind = match error.severity {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
        };
        let host = token(or(&error.host, UNKNOWN));
        if is_blank(&error.daemon) {
            self.head(&format!("{kind} from {host}:"));
        } else {
            let daemon = token(&error.daemon);
            self.head(&format!("{kind} from {daemon} on {host}:"));
        }
        let mut room = TEXT_BYTES_MAX;
        for line in error.message.lines() {
            if line.len() >= room {
                break;
            }
            room -= line.len() + 1;
            // A reader would take such a line for the codes.
            let guard = if line.starts_with("Code ") { " " } else { "" };
            self.line(Indent::Tab, &format!("{guard}{line}"));
        }
        if let Some((code, subcode)) = error.hold.filter(|(code, _)| *code != 0) {
            self.line(Indent::Tab, &codes(code, subcode));
        }
    }

    fn disconnected(&mut self, from: &Disconnected) {
        self.head("Job disconnected, attempting to reconnect");
        self.line(Indent::Spaces, or(&from.reason, UNKNOWN));
        let name = token(or(&from.startd_name, UNKNOWN));
        let addr = or(&from.startd_addr, UNKNOWN);
        let text = format!("Trying to reconnect to {name} {addr}");
        self.line(Indent::Spaces, &text);
    }

    fn reconnected(&mut self, to: &Reconnected) {
        let name = or(&to.startd_name, UNKNOWN);
        self.head(&format!("Job reconnected to {name}"));
        let addr = or(&to.startd_addr, UNKNOWN);
        self.line(Indent::Spaces, &format!("startd address: {addr}"));
        let addr = or(&to.starter_addr, UNKNOWN);
        self.line(Indent::Spaces, &format!("starter address: {addr}"));
    }

    fn reconnect_failed(&mut self, with: &ReconnectFailed) {
        self.head("Job reconnection failed");
        self.line(Indent::Spaces, or(&with.reason, UNKNOWN));
        // A reader takes what is before the comma for the name.
        let name = token(or(&with.startd_name, UNKNOWN)).replace(',', "_");
        let text = format!("Can not reconnect to {name}, rescheduling job");
        self.line(Indent::Spaces, &text);
    }

    /// Without any attribute a reader would refuse the event, hence the job's id.
    fn job_ad(&mut self, head: &Header, attrs: &ClassAd) {
        self.head("Job ad information event triggered.");
        let mut ad = attrs.clone();
        ad.insert("Cluster", head.cluster);
        ad.insert("Proc", head.proc);
        self.attrs(Indent::None, &ad);
    }

    fn attribute(&mut self, update: &AttributeUpdate) {
        let AttributeUpdate { name, old, value } = update;
        self.head(&match old {
            Some(old) => format!("Changing job attribute {name} from {old} to {value}"),
            None => format!("Setting job attribute {name} to {value}"),
        });
    }

    fn pre_skip(&mut self, dag_node: &str) {
        self.head("PRE script return value is PRE_SKIP value");
        self.dag_node(dag_node);
    }

    fn cluster_remove(&mut self, removed: &ClusterRemove) {
        self.head("Cluster removed");
        let completion = match removed.completion {
            Completion::Error(code) => format!("Error {}", -i64::from(code.max(1))),
            Completion::Incomplete => "Incomplete".to_owned(),
            Completion::Complete => "Complete".to_owned(),
            Completion::Paused => "Paused".to_owned(),
        };
        let (jobs, items) = (removed.jobs, removed.items);
        let text = format!("Materialized {jobs} jobs from {items} items.\t{completion}");
        self.line(Indent::Tab, &text);
        self.line_if(Indent::Tab, &removed.notes);
    }

    fn factory_paused(&mut self, paused: &FactoryPaused) {
        self.head("Job Materialization Paused");
        if !is_blank(&paused.reason) || paused.pause_code != 0 || paused.hold_code != 0 {
            self.line(Indent::Tab, &paused.reason);
        }
        if paused.pause_code != 0 {
            let text = format!("PauseCode {}", paused.pause_code);
            self.line(Indent::Tab, &text);
        }
        if paused.hold_code != 0 {
            self.line(Indent::Tab, &format!("HoldCode {}", paused.hold_code));
        }
    }

    fn transfer(&mut self, transfer: &FileTransfer) {
        let text = Transfer::ALL
            .iter()
            .find(|(what, _)| *what == transfer.what);
        self.head(text.expect("every step is in the list").1);
        if let Some(seconds) = transfer.queued_s {
            let text = format!("Seconds spent in queue: {seconds}");
            self.line(Indent::Tab, &text);
        }
        if let Some(host) = &transfer.host {
            self.line(Indent::Tab, &format!("Transferring to host: {host}"));
        }
    }

    /// A first line, and below it why.
    fn told(&mut self, head: &str, reason: &str) {
        self.head(head);
        self.line_if(Indent::Tab, reason);
    }

    fn end(&mut self, end: End, core_file: Option<&str>) {
        self.line(Indent::Tab, &ended(end));
        match (end, core_file.filter(|file| !is_blank(file))) {
            (End::Exit(_), _) => {}
            (End::Signal(_), Some(file)) => {
                self.line(Indent::Tab, &format!("(1) Corefile in: {file}"));
            }
            (End::Signal(_), None) => self.line(Indent::Tab, "(0) No core file"),
        }
    }

    fn usage(&mut self, indent: Indent, usage: Usage, of: &str) {
        let text = format!(
            "Usr {}, Sys {}  -  {of} Usage",
            days(usage.user_s),
            days(usage.system_s)
        );
        self.line(indent, &text);
    }

    fn amount(&mut self, amount: u64, of: &str) {
        self.line(Indent::Tab, &format!("{amount}  -  {of}"));
    }

    fn dag_node(&mut self, node: &str) {
        let node = or(node, UNKNOWN);
        self.line(Indent::Spaces, &format!("DAG Node: {node}"));
    }

    /// One attribute a line, by name without regard to case. What is no expression any more once
    /// it is on a line, or has no room there, is left out: a reader would refuse the whole event.
    fn attrs(&mut self, indent: Indent, ad: &ClassAd) {
        for (name, expr) in ad.iter() {
            let name = name.as_str();
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let room = TEXT_BYTES_MAX.saturating_sub(name.len() + " = ".len());
            let text = expr.to_old();
            let value = one_line(&text, room);
            if plain && text.len() <= room && Expr::parse_old(&value).is_ok() {
                self.line(indent, &format!("{name} = {value}"));
            }
        }
    }

    /// The rest of the first line, and its end.
    fn head(&mut self, text: &str) {
        let room = HEAD_BYTES_MAX.saturating_sub(self.text.len());
        let text = one_line(text, room);
        // Alone on the line it would be the event's end to HTCondor's reader.
        if text == SYNC.trim_end() {
            self.text.push(' ');
        }
        self.text.push_str(&text);
        self.text.push('\n');
    }

    fn line_if(&mut self, indent: Indent, text: &str) {
        if !is_blank(text) {
            self.line(indent, text);
        }
    }

    fn line(&mut self, indent: Indent, text: &str) {
        self.text.push_str(match indent {
            Indent::None => "",
            Indent::Tab => "\t",
            Indent::Tabs => "\t\t",
            Indent::Spaces => "    ",
        });
        self.text.push_str(&one_line(text, TEXT_BYTES_MAX));
        self.text.push('\n');
    }
}

fn ended(end: End) -> String {
    match end {
        End::Exit(code) => format!("(1) Normal termination (return value {code})"),
        End::Signal(signal) => format!("(0) Abnormal termination (signal {signal})"),
    }
}

fn codes(code: i32, subcode: i32) -> String {
    format!("Code {code} Subcode {subcode}")
}

/// A span as days and a time of day.
fn days(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes) = (of_day / 3600, of_day / 60 % 60);
    format!("{days} {hours:02}:{minutes:02}:{:02}", of_day % 60)
}

fn or<'a>(text: &'a str, instead: &'a str) -> &'a str {
    if is_blank(text) { instead } else { text }
}

/// Whether nothing would be seen of a text.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control())
}

/// A name where a space would end it, short enough to leave room for what follows.
fn token(text: &str) -> String {
    one_line(text.trim(), NAME_BYTES_MAX).replace(char::is_whitespace, "_")
}

/// Text on one line, as HTCondor brings reasons onto one, of at most `room` bytes.
fn one_line(text: &str, room: usize) -> String {
    let mut line = String::with_capacity(text.len().min(room));
    for c in text.chars() {
        let c = match c {
            '\n' => '|',
            '\t' => '\t',
            c if c.is_control() => ' ',
            c => c,
        };
        if line.len() + c.len_utf8() > room {
            break;
        }
        line.push(c);
    }
    line
}
