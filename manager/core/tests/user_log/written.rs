//! Every event that is written, with plain and with odd values, read back field by field.

use classad::ClassAd;
use manager_core::user_log::*;
use serde_json::{Value, json};

use super::read;

fn head(number: u16) -> Header {
    Header {
        cluster: 12,
        // The events of a whole cluster have no job.
        proc: if (35..=38).contains(&number) { -1 } else { 3 },
        subproc: 0,
        at: LocalTime::of(1_704_164_645_000, 0),
    }
}

fn usage(user_s: u64, system_s: u64) -> Usage {
    Usage { user_s, system_s }
}

fn resources() -> Vec<Resource> {
    let resource = |name: &str, used, requested, allocated, assigned: Option<&str>| Resource {
        name: name.to_owned(),
        used,
        requested: Some(Amount::Whole(requested)),
        allocated: Some(Amount::Whole(allocated)),
        assigned: assigned.map(str::to_owned),
    };
    vec![
        resource("Memory", Some(Amount::Whole(512)), 1024, 1024, None),
        resource("Cpus", Some(Amount::Part(0.926)), 1, 2, None),
        resource("Disk", Some(Amount::Part(15.0)), 1024, 1_000_000, None),
        resource("Gpus", None, 1, 1, Some("GPU-a1b2")),
    ]
}

/// Each kind of event with `text` wherever it has one.
fn events(text: &str) -> Vec<LogEvent> {
    let text = || text.to_owned();
    let ad: ClassAd = [("Region", text())].into_iter().collect();
    let submit = || Submit {
        host: text(),
        notes: Notes::DagNode(text()),
        user_notes: Some(text()),
        warnings: Some(text()),
    };
    let (end, code, subcode) = (End::Signal(9), 7, -8);
    let (sent_bytes, received_bytes) = (1024, 2048);
    let (remote, local) = (usage(90_061, 2), usage(0, 1));
    let evicted = |how| {
        let resources = resources();
        LogEvent::Evicted(Box::new(Evicted {
            how,
            remote,
            local,
            sent_bytes,
            received_bytes,
            reason: text(),
            code,
            subcode,
            resources,
        }))
    };
    let terminated = |end, core_file, resources| {
        LogEvent::Terminated(Box::new(Terminated {
            end,
            core_file,
            run_remote: remote,
            run_local: local,
            total_remote: usage(2_147_483_647, 3),
            total_local: usage(0, 0),
            sent_bytes,
            received_bytes,
            total_sent_bytes: 4096,
            total_received_bytes: 8192,
            resources,
            own_accord: Some(LocalTime::of(1_704_164_645_000, 0)),
        }))
    };
    let transfer = |what| {
        LogEvent::FileTransfer(FileTransfer {
            what,
            queued_s: Some(5),
            host: Some(text()),
        })
    };
    let mut named = resources();
    named[3].name = text();
    named[3].assigned = Some(text());
    vec![
        LogEvent::Submit(submit()),
        LogEvent::Submit(Submit {
            notes: Notes::Text(text()),
            ..submit()
        }),
        LogEvent::Execute(Execute {
            host: text(),
            slot_name: Some(text()),
            props: ad.clone(),
        }),
        LogEvent::ExecutableError {
            fault: ExecutableFault::BadLink,
        },
        LogEvent::Checkpointed(Checkpointed {
            remote,
            local,
            sent_bytes,
        }),
        evicted(Evicting::Lost),
        evicted(Evicting::Checkpointed),
        evicted(Evicting::Requeued {
            end,
            core_file: Some(text()),
        }),
        terminated(End::Exit(3), None, resources()),
        terminated(end, Some(text()), Vec::new()),
        terminated(end, None, named),
        LogEvent::ImageSize(ImageSize {
            size_kb: 1024,
            memory_mb: Some(3),
            resident_kb: Some(2048),
            proportional_kb: Some(1500),
        }),
        LogEvent::ShadowException(ShadowException {
            message: text(),
            sent_bytes,
            received_bytes,
        }),
        LogEvent::Generic { info: text() },
        LogEvent::Aborted { reason: text() },
        LogEvent::Suspended { processes: 4 },
        LogEvent::Unsuspended,
        LogEvent::Held(Held {
            reason: text(),
            code,
            subcode,
        }),
        LogEvent::Released { reason: text() },
        LogEvent::PostScriptTerminated(PostScriptTerminated {
            end: End::Exit(2),
            dag_node: text(),
        }),
        LogEvent::RemoteError(RemoteError {
            severity: Severity::Warning,
            daemon: text(),
            host: text(),
            message: text(),
            hold: Some((code, subcode)),
        }),
        LogEvent::Disconnected(Disconnected {
            reason: text(),
            startd_name: text(),
            startd_addr: text(),
        }),
        LogEvent::Reconnected(Reconnected {
            startd_name: text(),
            startd_addr: text(),
            starter_addr: text(),
        }),
        LogEvent::ReconnectFailed(ReconnectFailed {
            reason: text(),
            startd_name: text(),
        }),
        LogEvent::JobAdInformation { attrs: ad },
        LogEvent::StatusUnknown,
        LogEvent::StatusKnown,
        LogEvent::AttributeUpdate(AttributeUpdate {
            name: text(),
            old: Some(text()),
            value: text(),
        }),
        LogEvent::PreSkip { dag_node: text() },
        LogEvent::ClusterSubmit(submit()),
        LogEvent::ClusterRemove(ClusterRemove {
            jobs: 3,
            items: 2,
            completion: Completion::Error(4),
            notes: text(),
        }),
        LogEvent::FactoryPaused(FactoryPaused {
            reason: text(),
            pause_code: 2,
            hold_code: 3,
        }),
        LogEvent::FactoryResumed { reason: text() },
        transfer(Transfer::InputQueued),
        transfer(Transfer::OutputFinished),
        LogEvent::DataflowSkipped { reason: text() },
    ]
}

/// What a reader makes of [`events`] with the text `plain`, but for what all events have.
fn fields() -> Vec<Value> {
    let node = json!({"DAGNodeName": "plain"});
    let warned =
        "WARNING: Committed job submission into the queue with the following warning(s): plain";
    let (run, local) = (
        "Usr 1 01:01:01, Sys 0 00:00:02",
        "Usr 0 00:00:00, Sys 0 00:00:01",
    );
    let with = |base: &Value, more: Value| {
        let mut all = base.as_object().unwrap().clone();
        all.extend(more.as_object().unwrap().clone());
        Value::Object(all)
    };
    let ran = json!({
        "RunRemoteUsage": run, "RunLocalUsage": local, "SentBytes": 1024.0,
        "ReceivedBytes": 2048.0,
    });
    let evicted = with(
        &ran,
        json!({
            "Checkpointed": false, "TerminatedAndRequeued": false, "TerminatedNormally": false,
            "Reason": "plain", "ReasonCode": 7, "ReasonSubCode": -8,
        }),
    );
    let ended = with(
        &ran,
        json!({
            "TotalRemoteUsage": "Usr 24855 03:14:07, Sys 0 00:00:03",
            "TotalLocalUsage": "Usr 0 00:00:00, Sys 0 00:00:00",
            "TotalSentBytes": 4096.0, "TotalReceivedBytes": 8192.0, "TerminatedNormally": false,
        }),
    );
    let used = json!({
        "CpusUsage": 0.93, "RequestCpus": 1, "Cpus": 2, "DiskUsage": 15, "RequestDisk": 1024,
        "Disk": 1_000_000, "MemoryUsage": 512, "RequestMemory": 1024, "Memory": 1024,
    });
    let gpus = json!({"RequestGpus": 1, "Gpus": 1, "AssignedGpus": "GPU-a1b2"});
    let named = json!({"Requestplain": 1, "plain": 1, "Assignedplain": "plain"});
    let signal = json!({"TerminatedBySignal": 9});
    vec![
        json!({
            "SubmitHost": "plain", "LogNotes": "DAG Node: plain", "UserNotes": "plain",
            "Warnings": warned, "StructuredNotes": node,
        }),
        json!({
            "SubmitHost": "plain", "LogNotes": "plain", "UserNotes": "plain", "Warnings": warned,
        }),
        json!({
            "ExecuteHost": "plain", "SlotName": "plain", "ExecuteProps": {"Region": "plain"},
        }),
        json!({"ExecuteErrorType": 1}),
        json!({"RunRemoteUsage": run, "RunLocalUsage": local, "SentBytes": 1024.0}),
        evicted.clone(),
        with(&evicted, json!({"Checkpointed": true})),
        with(
            &evicted,
            json!({"TerminatedAndRequeued": true, "TerminatedBySignal": 9, "CoreFile": "plain"}),
        ),
        with(
            &with(
                &ended,
                json!({"TerminatedNormally": true, "ReturnValue": 3}),
            ),
            with(&used, gpus),
        ),
        with(&with(&ended, signal.clone()), json!({"CoreFile": "plain"})),
        with(&with(&ended, signal), with(&used, named)),
        json!({
            "Size": 1024, "MemoryUsage": 3, "ResidentSetSize": 2048, "ProportionalSetSize": 1500,
        }),
        json!({"Message": "plain", "SentBytes": 1024.0, "ReceivedBytes": 2048.0}),
        json!({"Info": "plain"}),
        json!({"Reason": "plain"}),
        json!({"NumberOfPIDs": 4}),
        json!({}),
        json!({"HoldReason": "plain", "HoldReasonCode": 7, "HoldReasonSubCode": -8}),
        json!({"Reason": "plain"}),
        json!({"TerminatedNormally": true, "ReturnValue": 2, "DAGNodeName": "plain"}),
        json!({
            "CriticalError": 0, "Daemon": "plain", "ExecuteHost": "plain", "ErrorMsg": "plain",
            "HoldReasonCode": 7, "HoldReasonSubCode": -8,
        }),
        json!({
            "DisconnectReason": "plain", "StartdName": "plain", "StartdAddr": "plain",
            "EventDescription": "Job disconnected, attempting to reconnect",
        }),
        json!({
            "StartdName": "plain", "StartdAddr": "plain", "StarterAddr": "plain",
            "EventDescription": "Job reconnected",
        }),
        json!({
            "Reason": "plain", "StartdName": "plain",
            "EventDescription": "Job reconnect impossible: rescheduling job",
        }),
        json!({"Region": "plain"}),
        json!({}),
        json!({}),
        json!({"Attribute": "plain", "Value": "plain"}),
        json!({"SkipEventLogNotes": "DAG Node: plain"}),
        json!({"SubmitHost": "plain", "StructuredNotes": node}),
        json!({"NextProcId": 3, "NextRow": 2, "Completion": -4, "Notes": "plain"}),
        json!({"Reason": "plain", "PauseCode": 2, "HoldCode": 3}),
        json!({"Reason": "plain"}),
        json!({"Type": 1, "QueueingDelay": 5, "Host": "plain"}),
        json!({"Type": 6, "QueueingDelay": 5, "Host": "plain"}),
        json!({"Reason": "plain"}),
    ]
}

#[test]
fn what_is_written_is_read() {
    let (events, fields) = (events("plain"), fields());
    assert_eq!(events.len(), fields.len());
    for (event, mut fields) in events.iter().zip(fields) {
        let number = event.number();
        let text = write(&head(number), event);
        let (records, consumed, end) = read(text.as_bytes());
        assert_eq!(
            (records.len(), consumed, end),
            (1, text.len(), Step::Waiting),
            "{text}"
        );
        let all = fields.as_object_mut().unwrap();
        all.insert("EventTypeNumber".into(), number.into());
        all.insert("MyType".into(), my_type(number).into());
        all.insert("EventTime".into(), "2024-01-02T03:04:05".into());
        all.insert("Cluster".into(), 12.into());
        all.insert("Subproc".into(), 0.into());
        if head(number).proc >= 0 {
            all.insert("Proc".into(), 3.into());
        }
        assert_eq!(records[0].attrs.to_json(), fields, "{text}");
    }
}

#[test]
fn the_table_of_resources_stands_in_columns() {
    let LogEvent::Terminated(mut terminated) = events("plain").remove(8) else {
        unreachable!();
    };
    terminated.own_accord = None;
    let text = write(&head(5), &LogEvent::Terminated(terminated));
    let table = text.split("Total Bytes Received By Job\n").nth(1).unwrap();
    assert_eq!(
        table,
        "\tPartitionable Resources :    Usage  Request Allocated Assigned\n\
         \t   Cpus                 :     0.93        1         2 \n\
         \t   Disk (KB)            :    15        1024   1000000 \n\
         \t   Gpus (Average)       :                 1         1 \"GPU-a1b2\"\n\
         \t   Memory (MB)          :   512        1024      1024 \n...\n"
    );
}

const FORGED: &str = "gone
...
\
                      000 (99.000.000) 2024-01-02 03:04:05 Job submitted from host: <x>
\
                      ...
...";

fn odd_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "...",
        "\n...\n",
        ".\n..\n",
        FORGED,
        "a\rb\u{b}c\u{85}d",
        "Reason unspecified",
        "Code 1 Subcode 2",
        "x\nCode 1 Subcode 2\ny",
        "DAG Node: other",
        "[ DAGNodeName = \"other\" ]",
        "WARNING: none",
        "a on b from c, d:",
        "a = \"b",
        "x\u{2028}y",
        "Größe: 漢字 \u{1f680}",
        "\"",
        "\\",
        "Partitionable Resources :",
        "\u{feff}",
        "000 (1.0.0) 2024-01-02 03:04:05 Job submitted from host: <x>",
    ]
    .map(str::to_owned)
    .to_vec();
    // A reader that takes pieces of 511 bytes must not find an event's end at the start of one.
    for length in [400, 507, 508, 511, 981, 984, 1022, 7_999, 8_000, 100_000] {
        texts.push("x".repeat(length) + "...\n...");
        texts.push("ä".repeat(length));
    }
    texts
}

#[test]
fn no_text_ends_an_event_or_begins_one() {
    for text in odd_texts() {
        let mut log = String::new();
        let mut numbers = Vec::new();
        for event in events(&text) {
            let number = event.number();
            let written = write(&head(number), &event);
            assert_eq!(written.lines().filter(|line| *line == "...").count(), 1);
            assert!(written.lines().next().unwrap().len() <= HEAD_BYTES_MAX);
            assert!(written.lines().all(|line| line.len() <= TEXT_BYTES_MAX + 4));
            let plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
            assert!(written.chars().all(plain), "{written:?}");
            log += &written;
            numbers.push((number, 12, head(number).proc));
        }
        let (records, consumed, end) = read(log.as_bytes());
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.number, record.cluster, record.proc))
            .collect();
        let shown: String = text.chars().take(40).collect();
        assert!(
            found == numbers,
            "{shown:?}: {end:?} behind {:?}",
            found.last()
        );
        assert_eq!((consumed, end), (log.len(), Step::Waiting), "{shown:?}");
    }
}

/// The text of a reason comes back as it went in, but for what cannot stand on a line.
#[test]
fn reasons_come_back_on_one_line() {
    for text in odd_texts() {
        let mut line = String::new();
        for c in text.chars() {
            let c = match c {
                '\n' => '|',
                c if c.is_control() && c != '\t' => ' ',
                c => c,
            };
            if line.len() + c.len_utf8() > TEXT_BYTES_MAX {
                break;
            }
            line.push(c);
        }
        let line = line.trim_matches([' ', '\t']);
        if text.chars().all(|c| c.is_whitespace() || c.is_control()) {
            continue;
        }
        for event in events(&text) {
            let number = event.number();
            let name = match number {
                9 | 13 | 38 | 46 => "Reason",
                12 if line != "Reason unspecified" => "HoldReason",
                _ => continue,
            };
            let (records, ..) = read(write(&head(number), &event).as_bytes());
            let found = records[0].attrs.eval(name);
            assert_eq!(found.as_str().unwrap_or(""), line, "{number:03}");
        }
    }
}
