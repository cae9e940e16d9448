//! The whole ad of a job as HTCondor's queue has it at first: what the description says, what it
//! leaves to defaults, and the counters of a job that did nothing yet.

use std::sync::LazyLock;

use classad::{ClassAd, Expr};

use super::super::Submission;
use super::super::values;
use super::Job;
use super::fill::{flag, is_id};
use crate::diagnostic::Code;
use crate::files::join;

/// What every job begins with.
const DEFAULTS: &[(&str, &str)] = &[
    ("CommittedSlotTime", "0"),
    ("CommittedSuspensionTime", "0"),
    ("CommittedTime", "0"),
    ("CumulativeRemoteSysCpu", "0.0"),
    ("CumulativeRemoteUserCpu", "0.0"),
    ("CumulativeSlotTime", "0"),
    ("CumulativeSuspensionTime", "0"),
    ("CurrentHosts", "0"),
    ("Environment", "\"\""),
    ("ExitBySignal", "false"),
    ("ExitStatus", "0"),
    ("JobLeaseDuration", "2400"),
    ("JobNotification", "0"),
    ("JobStatus", "1"),
    ("JobSubmitMethod", "0"),
    ("LastSuspensionTime", "0"),
    ("LeaveJobInQueue", "false"),
    ("MaxHosts", "1"),
    ("MinHosts", "1"),
    ("MyType", "\"Job\""),
    ("NumCkpts", "0"),
    ("NumJobCompletions", "0"),
    ("NumJobStarts", "0"),
    ("NumRestarts", "0"),
    ("NumSystemHolds", "0"),
    ("Rank", "0.0"),
    ("RemoteSysCpu", "0.0"),
    ("RemoteUserCpu", "0.0"),
    ("RemoteWallClockTime", "0.0"),
    ("TargetType", "\"Machine\""),
    ("TotalSuspensions", "0"),
];
static BEGINNING: LazyLock<ClassAd> = LazyLock::new(|| {
    let mut ad = ClassAd::new();
    for (name, text) in DEFAULTS {
        // The texts are ours, and a test reads the ad they make.
        let _ = ad.insert_expr(*name, text);
    }
    ad
});
/// The release of HTCondor whose ads these are.
const CONDOR_VERSION: &str = concat!(
    "$CondorVersion: 25.14.1 Updraft-",
    env!("CARGO_PKG_VERSION"),
    " $"
);
const NOTIFICATIONS: [&str; 4] = ["never", "always", "complete", "error"];
/// HTCondor's shortest lease.
const LEASE_MIN_S: i64 = 20;
const NULL: &str = "/dev/null";
const KIB: u64 = 1024;

/// One of the job's standard streams.
struct Stream {
    names: &'static [&'static str],
    attribute: &'static str,
    transfer: &'static [&'static str],
    transfer_attribute: &'static str,
    stream: &'static [&'static str],
    stream_attribute: &'static str,
}

const STREAMS: [Stream; 3] = [
    Stream {
        names: &["input", "stdin"],
        attribute: "In",
        transfer: &["transfer_input"],
        transfer_attribute: "TransferIn",
        stream: &["stream_input"],
        stream_attribute: "StreamIn",
    },
    Stream {
        names: &["output", "stdout"],
        attribute: "Out",
        transfer: &["transfer_output"],
        transfer_attribute: "TransferOut",
        stream: &["stream_output"],
        stream_attribute: "StreamOut",
    },
    Stream {
        names: &["error", "stderr"],
        attribute: "Err",
        transfer: &["transfer_error"],
        transfer_attribute: "TransferErr",
        stream: &["stream_error"],
        stream_attribute: "StreamErr",
    },
];

/// The whole ad, from what the description gave.
pub(super) fn ad(job: &mut Job<'_, '_>, own: ClassAd, submission: &Submission<'_>) -> ClassAd {
    let mut ad = BEGINNING.clone();
    ad.insert("CondorVersion", CONDOR_VERSION);
    let (arch, opsys) = (job.built_in("arch"), job.built_in("opsys"));
    let platform = format!("$CondorPlatform: {arch}-{opsys} $");
    ad.insert("CondorPlatform", platform);
    ad.insert("QDate", submission.submitted_s);
    ad.insert("EnteredCurrentStatus", submission.submitted_s);
    match submission.owner {
        "" => {}
        owner => ad.insert("Owner", owner),
    }
    ad.insert("FileSystemDomain", submission.host);
    if !own.contains("Args") {
        ad.insert(empty_arguments(job), "");
    }
    if own.contains("Env") {
        ad.remove("Environment");
    }
    ad.merge(&own);
    if ad.eval("ShouldTransferFiles").as_str() == Some("YES") {
        ad.remove("FileSystemDomain");
    }
    paths(job, &mut ad, submission);
    streams(job, &mut ad);
    sizes(job, &mut ad, submission);
    beside_the_queue(&mut ad);
    said(job, &mut ad);
    group(&mut ad, submission.owner);
    attributes(job, &mut ad);
    ad
}

/// Of arguments in the old quoting HTCondor keeps the name, even where they come to nothing.
fn empty_arguments(job: &mut Job<'_, '_>) -> &'static str {
    match job.is_blank("arguments") {
        true => "Args",
        false => "Arguments",
    }
}

/// What [`ad`] puts into an ad beside what the light commands say, from which these were taken out
/// and put in anew.
pub(super) fn refit(job: &mut Job<'_, '_>, ad: &mut ClassAd, submission: &Submission<'_>) {
    if !ad.contains("Args") && !ad.contains("Arguments") {
        ad.insert(empty_arguments(job), "");
    }
    if !ad.contains("Env") && !ad.contains("Environment") {
        ad.insert("Environment", "");
    }
    if let Some(log) = text_of(ad, "UserLog") {
        let iwd = text_of(ad, "Iwd").unwrap_or_default();
        ad.insert("UserLog", under(&iwd, &log));
    }
    ad.insert("QDate", submission.submitted_s);
    ad.insert("EnteredCurrentStatus", submission.submitted_s);
    for stream in &STREAMS[1..] {
        one_stream(job, ad, stream);
    }
    attributes(job, ad);
}

/// A path as HTCondor's ad has it: nothing is taken off its front.
fn under(dir: &str, path: &str) -> String {
    match path.starts_with('/') || dir.is_empty() {
        true => path.to_owned(),
        false => format!("{}/{path}", dir.trim_end_matches('/')),
    }
}

fn text_of(ad: &ClassAd, name: &str) -> Option<String> {
    ad.eval(name).as_str().map(str::to_owned)
}

/// Paths of the submitter's side are absolute.
fn paths(job: &mut Job<'_, '_>, ad: &mut ClassAd, submission: &Submission<'_>) {
    let iwd = text_of(ad, "Iwd").unwrap_or_default();
    let iwd = join(submission.directory, &iwd);
    ad.insert("Iwd", iwd.as_str());
    let is_program = ad.eval("WantTrain").as_bool() != Some(true);
    if is_program
        && !ad.contains("TransferExecutable")
        && let Some(program) = text_of(ad, "Cmd")
    {
        ad.insert("Cmd", under(submission.directory, &program));
    }
    if let Some(log) = text_of(ad, "UserLog") {
        ad.insert("UserLog", under(&iwd, &log));
    }
    if let Some(text) = job.command(&["dagman_log"]) {
        ad.insert("DAGManNodesLog", join(&iwd, &text.text));
    }
}

fn streams(job: &mut Job<'_, '_>, ad: &mut ClassAd) {
    for stream in &STREAMS {
        one_stream(job, ad, stream);
    }
}

fn one_stream(job: &mut Job<'_, '_>, ad: &mut ClassAd, stream: &Stream) {
    let path = job.command(stream.names).map(|text| text.text);
    let path = path.unwrap_or_else(|| NULL.to_owned());
    ad.insert(stream.attribute, path.as_str());
    if path == NULL || flag(job, stream.transfer) == Some(false) {
        ad.insert(stream.transfer_attribute, false);
    } else {
        let streams = flag(job, stream.stream).unwrap_or(false);
        ad.insert(stream.stream_attribute, streams);
    }
}

/// What the files of a job take, each rounded up to whole KiB.
fn sizes(job: &mut Job<'_, '_>, ad: &mut ClassAd, submission: &Submission<'_>) {
    let iwd = text_of(ad, "Iwd").unwrap_or_default();
    let kib = |path: &str, dir: &str| {
        let bytes = (submission.bytes)(&join(dir, path)).unwrap_or(0);
        bytes.div_ceil(KIB)
    };
    let program = job.command(&["executable"]);
    let program = program.map_or(0, |text| kib(&text.text, submission.directory));
    let mut inputs = 0;
    let listed = job.command(&["transfer_input_files"]);
    let listed = listed.map(|text| values::list(values::unquoted(&text.text)));
    let stdin = text_of(ad, "In").filter(|path| path != NULL && !ad.contains("TransferIn"));
    for path in listed.into_iter().flatten().chain(stdin) {
        if !path.contains("://") {
            inputs += kib(&path, &iwd);
        }
    }
    let number = |kib: u64| i64::try_from(kib).unwrap_or(i64::MAX);
    ad.insert("ExecutableSize", number(program));
    ad.insert("ImageSize", number(program));
    ad.insert("DiskUsage", number(program + inputs));
    ad.insert("TransferInputSizeMB", number((program + inputs) / KIB));
    if let Some(text) = job.command(&["image_size"])
        && let Some(size) = values::amount(&text.text, values::Unit::Kib)
    {
        ad.insert("ImageSize", size);
    }
}

/// Jobs that run beside the queue are stopped by a signal of its own, and have no lease.
fn beside_the_queue(ad: &mut ClassAd) {
    if matches!(ad.eval("JobUniverse").as_i64(), Some(7 | 12)) {
        ad.remove("JobLeaseDuration");
        if !ad.contains("KillSig") {
            ad.insert("KillSig", "SIGTERM");
        }
    }
}

/// What else commands say that nothing here acts upon, or that has another form in the queue.
fn said(job: &mut Job<'_, '_>, ad: &mut ClassAd) {
    if flag(job, &["hold"]) == Some(true) {
        ad.insert("JobStatus", 5_i64);
        ad.insert("HoldReason", "submitted on hold at user's request");
        ad.insert("HoldReasonCode", 15_i64);
    }
    if let Some(lease) = ad.eval("JobLeaseDuration").as_i64()
        && (1..LEASE_MIN_S).contains(&lease)
    {
        ad.insert("JobLeaseDuration", LEASE_MIN_S);
    }
    if flag(job, &["log_xml"]) == Some(true) {
        ad.insert("UserLogUseXML", true);
    }
    if let Some(text) = job.command(&["notification"]) {
        let lower = text.text.to_ascii_lowercase();
        match NOTIFICATIONS.iter().position(|known| *known == lower) {
            Some(at) => ad.insert("JobNotification", i64::try_from(at).unwrap_or(0)),
            None => {
                let message = format!("`{}` is no notification", text.text);
                let diagnostic = job.at_value(&text, Code::BadValue, message);
                job.diagnostics
                    .push(diagnostic.expected("`Never`, `Always`, `Complete` or `Error`"));
            }
        }
    }
}

/// Who pays: a group and a user, or one of them.
fn group(ad: &mut ClassAd, owner: &str) {
    let group = text_of(ad, "AcctGroup");
    let user = text_of(ad, "AcctGroupUser");
    if group.is_none() && user.is_none() {
        return;
    }
    let user = user.unwrap_or_else(|| owner.to_owned());
    ad.insert("AcctGroupUser", user.as_str());
    let account = match group {
        Some(group) => format!("{group}.{user}"),
        None => user,
    };
    ad.insert("AccountingGroup", account);
}

/// The user's own attributes count more than anything that commands say, but for the ids.
fn attributes(job: &mut Job<'_, '_>, ad: &mut ClassAd) {
    for (name, text) in job.under("my.") {
        if !is_id(&name)
            && let Ok(expr) = Expr::parse(&text.text)
        {
            ad.insert(name.as_str(), expr);
        }
    }
}
