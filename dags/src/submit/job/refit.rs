//! A job made from another one of its description: only what [`Differs::Lightly`] names is expanded
//! anew.
//!
//! [`Differs::Lightly`]: super::super::Differs::Lightly

use super::super::spec::JobSpec;
use super::super::{Macros, Submission, Submit};
use super::fill::{arguments, environment_of, string};
use super::whole;
use super::{Job, given, prepare};
use crate::diagnostic::Diagnostics;

/// The attributes that are written anew.
const ATTRIBUTES: [&str; 12] = [
    "Args",
    "Arguments",
    "Env",
    "EnvDelim",
    "Environment",
    "Err",
    "Out",
    "StreamErr",
    "StreamOut",
    "TransferErr",
    "TransferOut",
    "UserLog",
];

/// See [`Submit::refit`].
pub(in super::super) fn refit(
    submit: &Submit,
    shape: &JobSpec,
    macros: &Macros,
    submission: &Submission<'_>,
    (proc, row): (u32, &[String]),
) -> (Option<JobSpec>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let given = given(macros, submission);
    let cluster = submission.cluster;
    let Some(run) = prepare(submit, &given, cluster, proc, row, &mut diagnostics) else {
        return (None, diagnostics);
    };
    let mut job = Job::new(submit, &run, &mut diagnostics);
    let mut spec = shape.clone();
    job.ad = std::mem::take(&mut spec.ad);
    for name in ATTRIBUTES {
        job.ad.remove(name);
    }
    job.ad.insert("ClusterId", i64::from(cluster));
    job.ad.insert("ProcId", i64::from(proc));
    spec.arguments = arguments(&mut job);
    spec.environment = environment_of(&mut job);
    spec.stdout = string(&mut job, &["output", "stdout"], "Out");
    spec.stderr = string(&mut job, &["error", "stderr"], "Err");
    spec.log = string(&mut job, &["log"], "UserLog");
    let mut ad = std::mem::take(&mut job.ad);
    whole::refit(&mut job, &mut ad, submission);
    spec.ad = ad;
    (Some(spec), diagnostics)
}
