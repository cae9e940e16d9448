//! How many jobs of a cluster there may be at a time: `max_materialize`, `max_idle`.

use super::super::spec::Materialize;
use super::Job;
use crate::diagnostic::Code;

/// Reads them. The ad has what HTCondor's has of them.
pub(super) fn materialize(job: &mut Job<'_, '_>) -> Materialize {
    Materialize {
        jobs_max: jobs(job, &["max_materialize"]),
        idle_max: jobs(job, &["max_idle", "materialize_max_idle"]),
    }
}

/// A number of jobs. HTCondor keeps what is none, and its queue stands still.
fn jobs(job: &mut Job<'_, '_>, names: &'static [&'static str]) -> Option<u32> {
    let text = job.command(names)?;
    let (_, value) = job.number(&text)?;
    let jobs = value.as_i64().and_then(|n| u32::try_from(n).ok());
    let jobs = jobs.filter(|jobs| *jobs > 0);
    if jobs.is_none() {
        let message = format!(
            "`{}` is `{}`, not a number of jobs here",
            text.name, text.text
        );
        let diagnostic = job.at_value(&text, Code::UnfitValue, message);
        let diagnostic = diagnostic.expected(format!("a whole number from 1 to {}", u32::MAX));
        job.diagnostics.push(diagnostic);
    }
    jobs
}
