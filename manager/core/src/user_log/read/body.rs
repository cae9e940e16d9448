//! What stands in the events, number by number, under the names that HTCondor's reader gives it.
//! Lines that it does not look at are not looked at here either.

mod ended;

use classad::{ClassAd, Expr};

use super::Columns;
use super::scan::{Lines, Scan, trim};
use crate::user_log::event::Transfer;
use crate::user_log::kinds::is_ep;

/// The attribute that names a DAG's node.
const DAG_NODE: &str = "DAGNodeName";
const DAG_NODE_LABEL: &str = "DAG Node: ";

/// Adds to `ad` what the lines of an event say; nothing where they are not those of the event.
pub(super) fn read(number: u16, mut ad: ClassAd, lines: &mut Lines<'_>) -> Option<ClassAd> {
    let to = &mut ad;
    match number {
        0 => submit(lines, to)?,
        1 => {
            let host = lines.after("Job executing on host: ")?;
            execute(host, lines, to);
        }
        2 => executable_error(lines, to)?,
        3 => ended::checkpointed(lines, to)?,
        4 => ended::evicted(lines, to)?,
        5 => ended::job(lines, to)?,
        6 => image_size(lines, to)?,
        7 => shadow_exception(lines, to)?,
        8 => text(to, "Info", &lines.next()?),
        9 => aborted("Job was aborted", lines, to)?,
        10 => suspended(lines, to)?,
        11 => drop(lines.after("Job was unsuspended.")?),
        12 => held(lines, to)?,
        13 => released(lines, to)?,
        14 => node_execute(lines, to)?,
        15 => ended::node(lines, to)?,
        16 => ended::post_script(lines, to)?,
        21 => remote_error(lines, to)?,
        22 => disconnected(lines, to)?,
        23 => reconnected(lines, to)?,
        24 => reconnect_failed(lines, to)?,
        25 => grid("Grid Resource Back Up", &["GridResource"], lines, to)?,
        26 => grid("Detected Down Grid Resource", &["GridResource"], lines, to)?,
        27 => {
            let names = ["GridResource", "GridJobId"];
            grid("Job submitted to grid resource", &names, lines, to)?;
        }
        28 => job_ad(lines, to)?,
        29 => drop(lines.after("The job's remote status is unknown")?),
        30 => drop(lines.after("The job's remote status is known again")?),
        33 => attribute_update(lines, to)?,
        34 => pre_skip(lines, to)?,
        35 => cluster_submit(lines, to)?,
        36 => cluster_remove(lines, to),
        37 => factory_paused(lines, to),
        38 => factory_resumed(lines, to),
        40 => file_transfer(lines, to)?,
        41 => {
            let fields = [
                Field::Int("Bytes reserved:", "ReservedSpace"),
                Field::Int("\tReservation Expiration:", "ExpirationTime"),
                Field::Text("\tReservation UUID: ", "UUID"),
                Field::Text("\tTag: ", "Tag"),
            ];
            space(&fields, lines, to)?;
        }
        42 => space(&[Field::Text("Reservation UUID: ", "UUID")], lines, to)?,
        43 => file("Bytes:", Field::Text("\tUUID: ", "UUID"), lines, to)?,
        44 => {
            let fields = [
                Field::Text("Checksum Value: ", "Checksum"),
                Field::Text("\tChecksum Type: ", "ChecksumType"),
                Field::Text("\tTag: ", "Tag"),
            ];
            space(&fields, lines, to)?;
        }
        45 => file("Bytes:", Field::Text("\tTag: ", "Tag"), lines, to)?,
        46 => aborted("Dataflow job was skipped.", lines, to)?,
        47 => common_files(lines, to)?,
        other => future(other, lines, to),
    }
    Some(ad)
}

fn submit(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let host = lines.after("Job submitted from host: ")?;
    text(ad, "SubmitHost", &host);
    let notes = notes(lines);
    text(ad, "LogNotes", &notes.log);
    text(ad, "UserNotes", &notes.user);
    text(ad, "Warnings", &notes.warnings);
    structured(ad, notes.ad);
    Some(())
}

/// Its notes are not among its attributes, but the node's name is.
fn cluster_submit(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let host = lines.after("Cluster submitted from host: ")?;
    text(ad, "SubmitHost", &host);
    structured(ad, notes(lines).ad);
    Some(())
}

#[derive(Default)]
struct Notes {
    log: String,
    user: String,
    warnings: String,
    ad: Option<ClassAd>,
}

/// The lines below a submit event: an ad, a DAG's node, a warning; the first and second of others
/// are the log's notes and the user's.
fn notes(lines: &mut Lines<'_>) -> Notes {
    let mut notes = Notes::default();
    let mut number = 0;
    while let Some(line) = lines.next() {
        let line = trim(&line);
        number += 1;
        if line.starts_with('[') {
            if notes.ad.is_none() {
                line.clone_into(&mut notes.log);
                notes.ad = ClassAd::parse(line).ok();
            }
        } else if let Some(node) = line.strip_prefix(DAG_NODE_LABEL) {
            line.clone_into(&mut notes.log);
            let ad = notes.ad.get_or_insert_default();
            ad.insert(DAG_NODE, trim(node));
        } else if line.starts_with("WARNING: ") {
            line.clone_into(&mut notes.warnings);
        } else if number == 1 {
            line.clone_into(&mut notes.log);
        } else if number == 2 {
            line.clone_into(&mut notes.user);
        }
    }
    notes
}

fn structured(ad: &mut ClassAd, notes: Option<ClassAd>) {
    if let Some(notes) = notes.filter(|notes| !notes.is_empty()) {
        ad.insert("StructuredNotes", notes);
    }
}

fn execute(host: String, lines: &mut Lines<'_>, ad: &mut ClassAd) {
    text(ad, "ExecuteHost", &host);
    let mut props = ClassAd::new();
    let first = lines.next().unwrap_or_default();
    match first.strip_prefix("\tSlotName:") {
        Some(name) => {
            let name = trim(name);
            let quoted = name
                .strip_prefix('"')
                .and_then(|name| name.strip_suffix('"'));
            text(ad, "SlotName", quoted.unwrap_or(name));
        }
        None => _ = assign(&mut props, &first),
    }
    while let Some(line) = lines.next() {
        assign(&mut props, &line);
    }
    if !props.is_empty() {
        ad.insert("ExecuteProps", props);
    }
}

fn node_execute(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let line = lines.next()?;
    let mut scan = Scan::new(&line);
    scan.text("Node ")?;
    ad.insert("Node", scan.int()?);
    let (_, host) = line.split_once(':')?;
    execute(trim(host).to_owned(), lines, ad);
    Some(())
}

fn executable_error(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let line = lines.after("(")?;
    let mut scan = Scan::new(&line);
    let kind = scan.int()?;
    scan.exactly(")")?;
    if kind >= 0 {
        ad.insert("ExecuteErrorType", kind);
    }
    Some(())
}

fn image_size(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let size = lines.after("Image size of job updated: ")?;
    let size = Scan::new(&size).long()?;
    let mut known = [
        ("Size", size),
        ("MemoryUsage", -1),
        ("ResidentSetSize", 0),
        ("ProportionalSetSize", -1),
    ];
    while let Some((amount, of)) = lines.next().as_deref().and_then(amount_of) {
        let found = known[1..]
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case(&of));
        match found {
            Some((_, known)) => *known = amount,
            None => break,
        }
    }
    for (name, amount) in known.into_iter().filter(|(_, amount)| *amount >= 0) {
        ad.insert(name, amount);
    }
    Some(())
}

/// `12  -  Name …`.
fn amount_of(line: &str) -> Option<(i64, String)> {
    let mut scan = Scan::new(line);
    let amount = scan.long()?;
    scan.rest().starts_with([' ', '\t']).then_some(())?;
    scan.text(" - ")?;
    Some((amount, scan.word(usize::MAX)?.to_owned()))
}

fn shadow_exception(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("Shadow exception!")?;
    let message = lines.next();
    ad.insert("Message", trim(message.as_deref().unwrap_or("")));
    ended::run_bytes(lines, ad);
    Some(())
}

fn aborted(head: &str, lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after(head)?;
    let Some(reason) = lines.next() else {
        return Some(());
    };
    text(ad, "Reason", trim(&reason));
    // Here older versions said who ended the job, behind an empty line.
    if lines.next().is_some_and(|line| line.is_empty()) {
        lines.next()?;
    }
    Some(())
}

fn suspended(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("Job was suspended.")?;
    let line = lines.next()?;
    let mut scan = Scan::new(&line);
    scan.text("\tNumber of processes actually suspended: ")?;
    ad.insert("NumberOfPIDs", scan.int()?);
    Some(())
}

fn held(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("Job was held.")?;
    let mut codes = (0, 0);
    if let Some(reason) = lines.next() {
        let reason = trim(&reason);
        if reason != "Reason unspecified" {
            text(ad, "HoldReason", reason);
        }
        codes = lines
            .next()
            .as_deref()
            .and_then(hold_codes)
            .unwrap_or(codes);
    }
    ad.insert("HoldReasonCode", codes.0);
    ad.insert("HoldReasonSubCode", codes.1);
    Some(())
}

/// `Code 1 Subcode 2`.
fn hold_codes(line: &str) -> Option<(i64, i64)> {
    let mut scan = Scan::new(line);
    scan.text("\tCode ")?;
    let code = scan.int()?;
    scan.text(" Subcode ")?;
    Some((code, scan.int()?))
}

fn released(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("Job was released.")?;
    text(ad, "Reason", trim(&lines.next().unwrap_or_default()));
    Some(())
}

fn remote_error(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let line = lines.next()?;
    let (kind, from) = trim(&line).split_once(" from ")?;
    let from = trim(from);
    let (daemon, host) = match from.split_once(" on ") {
        Some((daemon, host)) if !daemon.is_empty() => (trim(daemon), trim(host)),
        Some(_) | None => ("", from),
    };
    text(ad, "Daemon", daemon);
    text(ad, "ExecuteHost", host.strip_suffix(':').unwrap_or(host));
    if trim(kind) == "Warning" {
        ad.insert("CriticalError", 0);
    }
    let mut message = String::new();
    while let Some(line) = lines.next() {
        let line = line.strip_prefix('\t').unwrap_or(&line);
        // Unlike elsewhere, the codes begin where the line does.
        let codes = line.starts_with('C').then(|| hold_codes(line)).flatten();
        if let Some((code, subcode)) = codes {
            if code != 0 {
                ad.insert("HoldReasonCode", code);
                ad.insert("HoldReasonSubCode", subcode);
            }
            break;
        }
        if !message.is_empty() {
            message.push('\n');
        }
        message.push_str(line);
    }
    text(ad, "ErrorMsg", &message);
    Some(())
}

fn disconnected(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let _ = lines.next()?;
    let reason = lines.after("    ").filter(|reason| !reason.is_empty())?;
    let to = lines.after("    Trying to reconnect to ")?;
    let (name, addr) = to.split_once(' ')?;
    if name.is_empty() || addr.is_empty() {
        return None;
    }
    ad.insert("StartdAddr", addr);
    ad.insert("StartdName", name);
    ad.insert("DisconnectReason", reason);
    ad.insert(
        "EventDescription",
        "Job disconnected, attempting to reconnect",
    );
    Some(())
}

fn reconnected(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let fields = [
        ("Job reconnected to ", "StartdName"),
        ("    startd address: ", "StartdAddr"),
        ("    starter address: ", "StarterAddr"),
    ];
    for (prefix, name) in fields {
        ad.insert(name, lines.after(prefix).filter(|value| !value.is_empty())?);
    }
    ad.insert("EventDescription", "Job reconnected");
    Some(())
}

fn reconnect_failed(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let _ = lines.next()?;
    let reason = lines.after("    ").filter(|reason| !reason.is_empty())?;
    let to = lines.after("    Can not reconnect to ")?;
    let (name, _) = to.split_once(',')?;
    if name.is_empty() {
        return None;
    }
    ad.insert("StartdName", name);
    ad.insert("Reason", reason);
    let description = "Job reconnect impossible: rescheduling job";
    ad.insert("EventDescription", description);
    Some(())
}

fn grid(head: &str, names: &[&str], lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after(head)?;
    for name in names {
        let value = lines.after(&format!("    {name}: "))?;
        text(ad, name, &value);
    }
    Some(())
}

/// Attributes of the job, none of which takes the place of the event's own.
fn job_ad(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    lines.after("Job ad information event triggered.")?;
    let mut job = ClassAd::new();
    while let Some(line) = lines.next() {
        assign(&mut job, &line)?;
    }
    if job.is_empty() {
        return None;
    }
    for (name, expr) in job.iter() {
        if !ad.contains(name.as_str()) {
            ad.insert(name.as_str(), expr);
        }
    }
    Some(())
}

/// A value ends at white space, and without an old one neither name nor value is seen.
fn attribute_update(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let line = lines.next()?;
    let mut words = [""; 3];
    let mut scan = Scan::new(&line);
    for (word, before) in words
        .iter_mut()
        .zip(["Changing job attribute ", " from ", " to "])
    {
        let found = scan.text(before).and_then(|()| scan.word(4095));
        let Some(found) = found else { break };
        *word = found;
    }
    ad.insert("Attribute", words[0]);
    ad.insert("Value", words[2]);
    Some(())
}

fn pre_skip(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let _ = lines.next()?;
    let notes = lines.next()?;
    let notes = trim(&notes);
    text(ad, "SkipEventLogNotes", notes);
    (!notes.is_empty()).then_some(())
}

fn cluster_remove(lines: &mut Lines<'_>, ad: &mut ClassAd) {
    let mut numbers = (0, 0);
    let mut line = lines.next().unwrap_or_default();
    if line.contains("remove") || line.contains("Remove") {
        line = lines.next().unwrap_or_default();
    }
    let mut scan = Scan::new(&line);
    let mut left = trim(&line);
    let jobs = scan.text(" Materialized ").and_then(|()| scan.int());
    if let Some(jobs) = jobs {
        let items = scan.text(" jobs from ").and_then(|()| scan.int());
        numbers = (jobs, items.unwrap_or(0));
        if let (Some(_), Some((_, rest))) = (items, line.split_once("items.")) {
            left = trim(rest);
        }
    }
    let starts = |word: &str| {
        let start = left.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    let completion = if starts("error") {
        // A code that is none of an error counts as the first that is.
        let code = Scan::new(&left["error".len()..]).int().unwrap_or(-1);
        if code < 0 { code } else { -1 }
    } else if starts("Complete") {
        1
    } else if starts("Paused") {
        2
    } else {
        0
    };
    text(ad, "Notes", trim(&lines.next().unwrap_or_default()));
    ad.insert("NextProcId", numbers.0);
    ad.insert("NextRow", numbers.1);
    ad.insert("Completion", completion);
}

fn factory_paused(lines: &mut Lines<'_>, ad: &mut ClassAd) {
    let mut line = lines.next().unwrap_or_default();
    if line.contains("pause") || line.contains("Pause") {
        line = lines.next().unwrap_or_default();
    }
    text(ad, "Reason", trim(&line));
    let mut codes = [("PauseCode ", 0), ("HoldCode ", 0)];
    while let Some(line) = lines.next() {
        let mut found = false;
        for (name, code) in &mut codes {
            if let Some((_, number)) = line.split_once(*name) {
                *code = Scan::new(number).int().unwrap_or(0);
                found = true;
            }
        }
        if !found {
            break;
        }
    }
    for (name, code) in codes {
        ad.insert(name.trim_end(), code);
    }
}

fn factory_resumed(lines: &mut Lines<'_>, ad: &mut ClassAd) {
    let mut line = lines.next().unwrap_or_default();
    if line.contains("resume") || line.contains("Resume") {
        line = lines.next().unwrap_or_default();
    }
    text(ad, "Reason", trim(&line));
}

fn file_transfer(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let line = lines.next()?;
    let number = Transfer::ALL.iter().position(|(_, text)| *text == line)?;
    ad.insert("Type", i64::try_from(number + 1).ok()?);
    let Some(mut line) = lines.next() else {
        return Some(());
    };
    if let Some(seconds) = line.strip_prefix("\tSeconds spent in queue: ") {
        let mut scan = Scan::new(seconds);
        let delay = scan.long()?;
        scan.rest().is_empty().then_some(())?;
        ad.insert("QueueingDelay", delay);
        line = lines.next().unwrap_or_default();
    }
    if let Some(host) = line.strip_prefix("\tTransferring to host: ") {
        text(ad, "Host", host);
    }
    Some(())
}

/// A line that must be there, and the attribute that its rest becomes.
#[derive(Clone, Copy)]
enum Field {
    Int(&'static str, &'static str),
    Text(&'static str, &'static str),
}

fn space(fields: &[Field], lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    for field in fields {
        match *field {
            Field::Int(prefix, name) => {
                ad.insert(name, Scan::new(&lines.after(prefix)?).long()?);
            }
            Field::Text(prefix, name) => ad.insert(name, lines.after(prefix)?),
        }
    }
    Some(())
}

fn file(bytes: &'static str, last: Field, lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let fields = [
        Field::Int(bytes, "Size"),
        Field::Text("\tChecksum Value: ", "Checksum"),
        Field::Text("\tChecksum Type: ", "ChecksumType"),
        last,
    ];
    space(&fields, lines, ad)
}

fn common_files(lines: &mut Lines<'_>, ad: &mut ClassAd) -> Option<()> {
    let line = lines.next()?;
    let (_, kind) = line.split_once("Common files event: ")?;
    (!kind.is_empty()).then(|| ad.insert("Type", kind))
}

/// Events that are not known, and those of an execution point: the first line, and attributes.
fn future(number: u16, lines: &mut Lines<'_>, ad: &mut ClassAd) {
    let head = lines.next().unwrap_or_default();
    while let Some(line) = lines.next() {
        assign(ad, &line);
    }
    // An execution point's event must keep its head, another's attributes may take its place.
    if is_ep(number) || !ad.contains("EventHead") {
        ad.insert("EventHead", head);
    }
}

/// Sets an attribute where there is a text.
fn text(ad: &mut ClassAd, name: &str, value: &str) {
    if !value.is_empty() {
        ad.insert(name, value);
    }
}

/// `Name = Expr`.
fn assign(ad: &mut ClassAd, line: &str) -> Option<()> {
    let (name, expr) = line.split_once('=')?;
    let name = trim(name);
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() || !plain {
        return None;
    }
    ad.insert(name, Expr::parse_old(trim(expr)).ok()?);
    Some(())
}
