//! How what somebody waits for has ended, or that it goes on.

use std::time::Duration;

use proto::nouns::{JobId, Subject};
use proto::wire;

use super::Client;
use crate::exit::Failure;

/// Jobs of one answer.
pub const JOBS_MAX: u32 = 1_000_000;
/// How long a manager that went away is looked for.
const AWAY_MAX: Duration = Duration::from_secs(60);
const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// Between two looks, so that a stream that ends at once cannot make us spin.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How often a single job is looked at.
const JOB_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How one subject stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Going,
    Succeeded,
    /// With a sentence on what failed.
    Failed(String),
    Unknown,
}

impl Client {
    /// Waits until every subject has ended or is unknown; outlives a restart of the manager.
    ///
    /// # Errors
    /// The manager is away for longer than a restart takes.
    pub async fn ended(&self, subjects: &[Subject]) -> Result<Vec<(Subject, Fate)>, Failure> {
        let mut away = Duration::ZERO;
        loop {
            match self.look(subjects).await {
                Ok(fates) if fates.iter().all(|(_, fate)| *fate != Fate::Going) => {
                    return Ok(fates);
                }
                Ok(_) => away = Duration::ZERO,
                Err(failure @ Failure::Unreachable { .. }) => {
                    if away >= AWAY_MAX {
                        return Err(failure);
                    }
                    away += AWAY_PAUSE;
                    tokio::time::sleep(AWAY_PAUSE).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// One look; where something goes on, it lasts until there may be news.
    async fn look(&self, subjects: &[Subject]) -> Result<Vec<(Subject, Fate)>, Failure> {
        let fates = self.fates(subjects).await?;
        let going: Vec<Subject> = fates
            .iter()
            .filter(|(_, fate)| *fate == Fate::Going)
            .map(|(subject, _)| *subject)
            .collect();
        // An unknown id ends the wait for all: whoever named it means something else.
        let unknown: Vec<_> = fates
            .iter()
            .filter(|(_, fate)| *fate == Fate::Unknown)
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Ok(unknown);
        }
        if !going.is_empty() {
            self.news(&going).await?;
        }
        Ok(fates)
    }

    /// Lasts until everything named has ended; where single jobs are named, at most until it is
    /// time to look at them: the manager tells when a cluster or DAG run has ended, and of one job
    /// only in its whole journal.
    async fn news(&self, going: &[Subject]) -> Result<(), Failure> {
        let ids = going.iter().map(|subject| subject.whole()).collect();
        // No event is needed, only the stream's end.
        let request = wire::WatchRequest {
            ids,
            after: u64::MAX,
            until_ended: true,
        };
        let mut events = self.watch(request).await?;
        let end = async {
            while self.next(&mut events).await?.is_some() {}
            Ok(())
        };
        let one_job = going
            .iter()
            .any(|subject| matches!(subject, Subject::Job(_)));
        if one_job {
            return tokio::time::timeout(JOB_LOOK_INTERVAL, end)
                .await
                .unwrap_or(Ok(()));
        }
        end.await?;
        tokio::time::sleep(LOOK_PAUSE).await;
        Ok(())
    }

    /// How each subject stands now.
    ///
    /// # Errors
    /// As any question has them.
    pub async fn fates(&self, subjects: &[Subject]) -> Result<Vec<(Subject, Fate)>, Failure> {
        let runs = self.runs_among(subjects).await?;
        let is_run = |subject: &Subject| runs.iter().any(|run| *subject == Subject::Whole(run.id));
        let ids: Vec<String> = subjects
            .iter()
            .filter(|subject| !is_run(subject))
            .map(Subject::to_string)
            .collect();
        let jobs = if ids.is_empty() {
            Vec::new()
        } else {
            let which = wire::Which::All.into();
            let request = wire::JobsRequest {
                ids,
                which,
                limit: JOBS_MAX,
                with_ads: false,
            };
            self.jobs(request).await?.jobs
        };
        let fate =
            |subject: &Subject| match runs.iter().find(|run| *subject == Subject::Whole(run.id)) {
                Some(run) => fate_of_run(run),
                None => fate_of_jobs(jobs.iter().filter(|job| covers(job, *subject))),
            };
        Ok(subjects
            .iter()
            .map(|subject| (*subject, fate(subject)))
            .collect())
    }

    async fn runs_among(&self, subjects: &[Subject]) -> Result<Vec<wire::Run>, Failure> {
        let ids: Vec<u32> = subjects
            .iter()
            .filter_map(|subject| match subject {
                Subject::Whole(id) => Some(*id),
                Subject::Job(_) => None,
            })
            .collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let which = wire::Which::All.into();
        Ok(self
            .runs(wire::RunsRequest {
                ids,
                with_nodes: false,
                which,
            })
            .await?
            .runs)
    }
}

/// Whether a row of an answer is, or is part of, the subject.
fn covers(row: &wire::Job, subject: Subject) -> bool {
    let Ok(first) = row.id.parse::<JobId>() else {
        return false;
    };
    match subject {
        Subject::Whole(cluster) => first.cluster == cluster,
        Subject::Job(job) => {
            let procs = u64::from(first.proc)..u64::from(first.proc) + row.count.max(1);
            first.cluster == job.cluster && procs.contains(&u64::from(job.proc))
        }
    }
}

fn fate_of_run(run: &wire::Run) -> Fate {
    match run.status.as_str() {
        "Completed" => Fate::Succeeded,
        "Running" => Fate::Going,
        status => {
            let failed = run.counts.unwrap_or_default().failed;
            let nodes = crate::output::count(u64::from(failed), "node");
            Fate::Failed(format!(
                "DAG run {} of {}: {status}, {nodes} failed",
                run.id, run.file
            ))
        }
    }
}

fn fate_of_jobs<'a>(jobs: impl Iterator<Item = &'a wire::Job>) -> Fate {
    let mut fate = Fate::Unknown;
    for job in jobs {
        fate = match (fate, fate_of_job(job)) {
            (Fate::Going, _) | (_, Fate::Going) => Fate::Going,
            (failed @ Fate::Failed(_), _) | (_, failed @ Fate::Failed(_)) => failed,
            (Fate::Unknown | Fate::Succeeded, _) => Fate::Succeeded,
        };
    }
    fate
}

fn fate_of_job(job: &wire::Job) -> Fate {
    match job.status.as_str() {
        "Completed" if job.succeeded => Fate::Succeeded,
        "Completed" | "Removed" => Fate::Failed(format!("job {}: {}", job.id, how_it_ended(job))),
        _ => Fate::Going,
    }
}

/// How a job that has ended did so, in words: the manager's where it gives a reason.
pub fn how_it_ended(job: &wire::Job) -> String {
    match (job.status.as_str(), job.exit_code, job.exit_signal) {
        ("Removed", _, _) if job.removed_reason.is_empty() => "removed".to_owned(),
        ("Removed", _, _) => format!("removed: {}", job.removed_reason),
        (_, _, _) if !job.hold_reason.is_empty() => job.hold_reason.clone(),
        (_, _, Some(signal)) => format!("ended by signal {signal}"),
        (_, Some(code), None) => format!("exit code {code}"),
        (_, None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, status: &str, succeeded: bool) -> wire::Job {
        wire::Job {
            id: id.into(),
            status: status.into(),
            succeeded,
            count: 1,
            ..Default::default()
        }
    }

    #[test]
    fn one_failure_fails_and_one_that_goes_on_goes_on() {
        let (done, failed) = (
            job("1.0", "Completed", true),
            job("1.1", "Completed", false),
        );
        let (removed, held) = (job("1.2", "Removed", false), job("1.3", "Held", false));
        let fate = |jobs: &[&wire::Job]| fate_of_jobs(jobs.iter().copied());
        assert_eq!(fate(&[]), Fate::Unknown);
        assert_eq!(fate(&[&done]), Fate::Succeeded);
        assert!(matches!(fate(&[&done, &failed]), Fate::Failed(_)));
        assert!(matches!(fate(&[&removed, &done]), Fate::Failed(_)));
        assert_eq!(fate(&[&failed, &held, &done]), Fate::Going);
    }

    #[test]
    fn a_row_of_many_procs_covers_each() {
        let row = wire::Job {
            count: 10,
            ..job("7.5", "Idle", false)
        };
        for (subject, covered) in [
            ("7", true),
            ("7.5", true),
            ("7.14", true),
            ("7.15", false),
            ("8", false),
        ] {
            assert_eq!(covers(&row, subject.parse().unwrap()), covered, "{subject}");
        }
    }
}
