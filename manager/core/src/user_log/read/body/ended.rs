//! Jobs that ended or left their machine: how, what they used, and what they were given.

use classad::ClassAd;

use super::{Columns, DAG_NODE, DAG_NODE_LABEL, text};
use crate::user_log::read::scan::{Lines, Scan, trim};

/// How a process ended.
enum End {
    Exit(i64),
    Signal(i64),
}

pub(super) fn checkpointed(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("Job was checkpointed.")?;
    let remote = usage(lines)?;
    let local = usage(lines)?;
    let mut sent = 0.0;
    if let Some(line) = lines.next() {
        sent = Scan::new(&line).float()?;
    }
    ad.insert("RunRemoteUsage", remote);
    ad.insert("RunLocalUsage", local);
    ad.insert("SentBytes", sent);
    Some(())
}

pub(super) fn evicted(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let head = lines.after("Job was evicted.")?;
    let mut scan = Scan::new(&head);
    let code = scan.text(" Code ").and_then(|()| scan.int());
    let subcode = code.and_then(|_| scan.text(" Subcode ").and_then(|()| scan.int()));
    let (code, subcode) = (code.unwrap_or(0), subcode.unwrap_or(0));
    let how = lines.next()?;
    let mut scan = Scan::new(&how);
    scan.text("\t(")?;
    let checkpointed = scan.int()?;
    scan.text(") ")?;
    let how = scan.rest();
    if !how.starts_with(|c: char| c == ' ' || ('A'..='z').contains(&c)) {
        return None;
    }
    let requeued = how.starts_with("Job terminated and was requeued");
    ad.insert("Checkpointed", checkpointed != 0);
    ad.insert("TerminatedAndRequeued", requeued);
    ad.insert("TerminatedNormally", false);
    ad.insert("RunRemoteUsage", usage(lines)?);
    ad.insert("RunLocalUsage", usage(lines)?);
    if code != 0 {
        ad.insert("ReasonCode", code);
    }
    if subcode != 0 {
        ad.insert("ReasonSubCode", subcode);
    }
    if !run_bytes(lines, ad) {
        return Some(());
    }
    if requeued {
        let end = end(lines, ad)?;
        said(&end, ad);
        ad.insert("TerminatedNormally", matches!(end, End::Exit(_)));
    }
    if let Some(line) = lines
        .next()
        .filter(|line| !line.starts_with("\tPartitionable Resources"))
    {
        let reason = line.strip_prefix("\tReason: ");
        text(ad, "Reason", reason.unwrap_or_else(|| trim(&line)));
    }
    Some(())
}

pub(super) fn job(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("Job terminated.")?;
    let end = terminated("Job", lines, ad)?;
    said(&end, ad);
    // Older versions said here who ended the job; HTCondor's reader then takes no more than one
    // line behind an empty one.
    if lines.next().is_some_and(|line| line.is_empty()) && lines.next().is_some() {
        return None;
    }
    Some(())
}

/// One of the nodes of a parallel job: both numbers are there, -1 for the one that is not known.
pub(super) fn node(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let line = lines.next()?;
    let mut scan = Scan::new(&line);
    scan.text("Node ")?;
    let node = scan.int()?;
    let (code, signal) = match terminated("Node", lines, ad)? {
        End::Exit(code) => (code, -1),
        End::Signal(signal) => (-1, signal),
    };
    ad.insert("ReturnValue", code);
    ad.insert("TerminatedBySignal", signal);
    if node >= 0 {
        ad.insert("Node", node);
    }
    Some(())
}

pub(super) fn post_script(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("POST Script terminated.")?;
    let end = how(&lines.next()?, |flag| flag == 1)?;
    said(&end, ad);
    ad.insert("TerminatedNormally", matches!(end, End::Exit(_)));
    let line = lines.next().unwrap_or_default();
    if let Some(node) = trim(&line).strip_prefix(DAG_NODE_LABEL) {
        text(ad, DAG_NODE, node);
    }
    Some(())
}

/// The bytes of the last run; whether both lines were there.
pub(super) fn run_bytes(lines: &mut Lines<'_>, ad: &mut ClassAd) -> bool {
    let mut next = || lines.next().and_then(|line| Scan::new(&line).float());
    let sent = next();
    let received = sent.and_then(|_| next());
    ad.insert("SentBytes", sent.unwrap_or(0.0));
    ad.insert("ReceivedBytes", received.unwrap_or(0.0));
    received.is_some()
}

fn terminated(who: &str, lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<End> {
    let end = end(lines, ad)?;
    let of = ["RunRemote", "RunLocal", "TotalRemote", "TotalLocal"];
    for name in of {
        ad.insert(format!("{name}Usage"), usage(lines)?);
    }
    let mut amounts = [
        ("SentBytes", "Run", "Sent", 0.0),
        ("ReceivedBytes", "Run", "Received", 0.0),
        ("TotalSentBytes", "Total", "Sent", 0.0),
        ("TotalReceivedBytes", "Total", "Received", 0.0),
    ];
    let mut used = ClassAd::new();
    while let Some(line) = lines.next() {
        if Columns::is_head(&line) {
            let columns = Columns::of(&line);
            while let Some(line) = lines.next() {
                if columns.row(&line, &mut used).is_none() {
                    break;
                }
            }
            break;
        }
        let Some((amount, run, direction, whose)) = bytes_of(&line) else {
            break;
        };
        for (_, of_run, of_direction, known) in &mut amounts {
            if (*of_run, *of_direction, who) == (run, direction, whose) {
                *known = amount;
            }
        }
    }
    ad.merge(&used);
    ad.insert("TerminatedNormally", matches!(end, End::Exit(_)));
    for (name, _, _, amount) in amounts {
        ad.insert(name, amount);
    }
    Some(end)
}

/// `12  -  Run Bytes Sent By Job`; HTCondor's reader keeps these in single precision.
fn bytes_of(line: &str) -> Option<(f64, &str, &str, &str)> {
    let mut scan = Scan::new(line);
    let amount = scan.float()?;
    scan.text("  -  ")?;
    let run = scan.word("Total".len())?;
    scan.text(" Bytes ")?;
    let direction = scan.word("Received".len())?;
    scan.text(" By ")?;
    Some((f64::from(amount as f32), run, direction, scan.word(21)?))
}

/// The line of how it ended, and the one of its core file that follows a signal.
fn end(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<End> {
    let end = how(&lines.next()?, |flag| flag != 0)?;
    if matches!(end, End::Signal(_)) {
        let core = lines.next()?;
        let core = trim(&core);
        match core.strip_prefix("(1) Corefile in: ") {
            Some(file) => text(ad, "CoreFile", file),
            None => core.starts_with("(0)").then_some(())?,
        }
    }
    Some(end)
}

/// `(1) Normal termination (return value 3)`.
fn how(line: &str, normal: impl Fn(i64) -> bool) -> Option<End> {
    let mut scan = Scan::new(line);
    scan.text("\t(")?;
    let flag = scan.int()?;
    scan.text(") ")?;
    if normal(flag) {
        scan.text("Normal termination (return value ")?;
        Some(End::Exit(scan.int()?))
    } else {
        scan.text("Abnormal termination (signal ")?;
        Some(End::Signal(scan.int()?))
    }
}

/// What is below zero is not said.
fn said(end: &End, ad: &mut ClassAd) {
    let (name, number) = match end {
        End::Exit(code) => ("ReturnValue", *code),
        End::Signal(signal) => ("TerminatedBySignal", *signal),
    };
    if number >= 0 {
        ad.insert(name, number);
    }
}

/// `Usr 0 00:00:01, Sys 0 00:00:02`, in its one spelling.
fn usage(lines: &mut Lines<'_>) -> Option<String> {
    let line = lines.next()?;
    let mut scan = Scan::new(&line);
    scan.text("\tUsr ")?;
    let user = span(&mut scan)?;
    scan.text(", Sys ")?;
    let system = span(&mut scan)?;
    Some(format!("Usr {}, Sys {}", days(user), days(system)))
}

/// Days and a time of day as seconds.
fn span(scan: &mut Scan<'_>) -> Option<i64> {
    let days = scan.int()?;
    let hours = scan.int()?;
    scan.text(":")?;
    let minutes = scan.int()?;
    scan.text(":")?;
    let seconds = scan.int()?;
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

fn days(seconds: i64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes) = (of_day / 3600, of_day / 60 % 60);
    format!("{days} {hours:02}:{minutes:02}:{:02}", of_day % 60)
}
