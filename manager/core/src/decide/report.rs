//! Reports: what an attempt's result means for its job, and for the node or trial that the job
//! works for.

use proto::nouns::{Ended, Fault, JobId, Now, Report};

use crate::decide::Decision;
use crate::decide::node::{NOT_SUBMITTED, REMOVED};
use crate::decide::policy::AtExit;
use crate::event::{Event, Lands, Requeue, TrialEnd};
use crate::job::{Cluster, Ending, HoldCode, PolicyHold, Proc, ProcState};
use crate::queue::Queue;
use crate::study::TrialState;
use crate::workspace::Delivery;

impl Queue {
    /// What the report of a job's current claim leads to.
    pub(super) fn report(&self, now: Now, job: JobId, report: Report) -> Vec<Event> {
        let Some((cluster, proc)) = self.job(job) else {
            return Vec::new();
        };
        let ProcState::Running { worker, claim, .. } = &proc.state else {
            return Vec::new();
        };
        let carve = self.pool.carve(worker, *claim);
        let called_back = carve.is_some_and(|carve| carve.called_back);
        let worker = worker.clone();
        match &report.ended {
            Ended::Vacated if called_back => {
                let cause = Requeue::CalledBack { worker };
                vec![Event::JobRequeued { job, cause }]
            }
            Ended::Vacated => self.lost(job, self.stopped_by(worker, *claim)),
            Ended::NotStarted {
                fault: Fault::Worker,
                reason,
            } => {
                if proc.faulted_on.len() + 1 < self.limits.faults_max as usize {
                    let cause = Requeue::Fault {
                        worker,
                        reason: reason.clone(),
                    };
                    return vec![Event::JobRequeued { job, cause }];
                }
                let tries = self.limits.faults_max;
                let reason = format!("could not be started in {tries} tries; the last: {reason}");
                vec![self.unfit(job, HoldCode::WorkerFaults, reason)]
            }
            Ended::NotStarted {
                fault: Fault::Job,
                reason,
            } => {
                vec![self.unfit(job, HoldCode::FailedToCreateProcess, reason.clone())]
            }
            Ended::Exceeded { resource, used_mib } => {
                vec![self.exceeded(job, worker, (*resource, *used_mib))]
            }
            Ended::Exited(_) | Ended::Signaled(_) => {
                self.verdict(now, job, (cluster, &proc), report)
            }
        }
    }

    /// The job ran to its end. Its policy says whether that is the end of it.
    fn verdict(
        &self,
        now: Now,
        job: JobId,
        (cluster, proc): (&Cluster, &Proc),
        report: Report,
    ) -> Vec<Event> {
        let spec = match self.shared_spec(cluster, job.proc) {
            Ok(spec) => spec,
            Err(reason) => return vec![self.unfit(job, HoldCode::FailedToCreateProcess, reason)],
        };
        let failure = failure(&report, spec.success_exit_code);
        let policy = &spec.policy;
        let at_exit = match (&policy.on_exit_hold, &policy.on_exit_remove) {
            (None, None) => AtExit::Leave,
            (_, _) => self.at_exit(now, job, (cluster, proc), &report),
        };
        let hold = match (at_exit, &failure) {
            (AtExit::Hold(hold), _) => Some(hold),
            (AtExit::Again, _) => return vec![retry(job, failure, report)],
            // By its exit code it did well, and its outputs say that it did not.
            (AtExit::Leave, Some(_))
                if report.ended == Ended::Exited(spec.success_exit_code)
                    && proc.past.completions < spec.max_retries =>
            {
                return vec![retry(job, failure, report)];
            }
            (AtExit::Leave, _) => None,
        };
        let lands = match self.workspaces[&self.home(cluster.top())].delivery {
            Delivery::Write if !self.landing_files(job, &report).is_empty() => Lands::Files,
            Delivery::Write | Delivery::Keep => Lands::Nothing,
        };
        let after = after_landing(job, hold.clone(), failure.clone());
        let reported = Event::JobReported {
            job,
            report: Box::new(report),
            failure,
            hold,
            lands,
        };
        match lands {
            Lands::Files => vec![reported],
            Lands::Nothing => vec![reported, after],
        }
    }

    /// The trials of a study that ended.
    pub(crate) fn judge_trials(&self, run: u32, node: u32, cluster: &Cluster) -> Vec<Event> {
        let entry = &self.runs[&run];
        let Some(spec) = entry.dag.study_of(node) else {
            return Vec::new();
        };
        let trials = entry
            .studies
            .get(&node)
            .map(|study| study.trials.as_slice());
        let pending = (0..).zip(trials.unwrap_or_default());
        pending
            .filter(|(_, trial)| trial.state == TrialState::Pending)
            .filter_map(|(trial, _)| {
                let record = cluster.procs.get(&trial)?;
                let end = trial_end(&record.state, &spec.metric)?;
                Some(Event::TrialEnded {
                    run,
                    node,
                    trial,
                    end,
                })
            })
            .collect()
    }
}

/// The files of a job were written, or could not be.
pub(super) fn landed(queue: &Queue, job: JobId, result: Result<(), String>) -> Decision {
    let Some((cluster, proc)) = queue.job(job) else {
        return Decision::new(Vec::new());
    };
    let ProcState::Landing { ending } = &proc.state else {
        return Decision::new(Vec::new());
    };
    let failure = ending.failure.clone();
    let hold = ending.hold.clone();
    let event = match (result, cluster.node()) {
        (Ok(()), _) => after_landing(job, hold, failure),
        (Err(reason), Some(_)) => {
            let failure =
                Some(failure.map_or(reason.clone(), |first| format!("{first}; {reason}")));
            after_landing(job, hold, failure)
        }
        (Err(reason), None) => Event::JobHeld {
            job,
            code: HoldCode::TransferOutput,
            reason,
        },
    };
    Decision::new(vec![event])
}

/// What comes once a job's files are where they belong.
fn after_landing(job: JobId, hold: Option<PolicyHold>, failure: Option<String>) -> Event {
    match hold {
        Some(PolicyHold { code, reason }) => Event::JobHeld { job, code, reason },
        None => Event::JobCompleted { job, failure },
    }
}

/// The job runs once more.
fn retry(job: JobId, failure: Option<String>, report: Report) -> Event {
    let failure = failure.unwrap_or_else(|| "ended well, and its policy is to run it".to_owned());
    let report = Box::new(report);
    let cause = Requeue::Retry { failure, report };
    Event::JobRequeued { job, cause }
}

/// The exit code first: an output that is missing is worth a word only where the job says that it
/// did well.
fn failure(report: &Report, success_exit_code: i32) -> Option<String> {
    match &report.ended {
        Ended::Exited(code) if *code == success_exit_code => {
            let missing = report.missing.iter().map(|path| format!("`{path}`"));
            let missing = missing.collect::<Vec<_>>().join(", ");
            (!missing.is_empty())
                .then(|| format!("ended well but did not make its output {missing}"))
        }
        Ended::Exited(code) => Some(format!("exited with code {code}")),
        Ended::Signaled(signal) => Some(format!("was killed by signal {signal}")),
        Ended::Vacated | Ended::Exceeded { .. } | Ended::NotStarted { .. } => {
            Some("did not run to its end".to_owned())
        }
    }
}

pub(crate) fn failure_of(state: &ProcState) -> Option<String> {
    match state {
        ProcState::Completed { ending } => ending.failure.clone(),
        ProcState::Removed { reason } => Some(format!("was removed: {reason}")),
        ProcState::Idle
        | ProcState::Running { .. }
        | ProcState::Landing { .. }
        | ProcState::Held { .. } => None,
    }
}

/// What a job that is over returned, in DAGMan's terms: its exit code, less its signal, or the
/// code for a removal.
pub(crate) fn return_code(proc: &Proc) -> i32 {
    match proc.ending().map(|ending| &ending.report.ended) {
        Some(Ended::Exited(code)) => *code,
        Some(Ended::Signaled(signal)) => -*signal,
        Some(Ended::Vacated | Ended::Exceeded { .. } | Ended::NotStarted { .. }) => NOT_SUBMITTED,
        None => REMOVED,
    }
}

fn trial_end(state: &ProcState, metric: &str) -> Option<TrialEnd> {
    if let Some(reason) = failure_of(state) {
        return Some(TrialEnd::Failed { reason });
    }
    let ProcState::Completed { ending } = state else {
        return None;
    };
    Some(value_of(ending, metric))
}

fn value_of(ending: &Ending, metric: &str) -> TrialEnd {
    let report = &ending.report;
    match (report.metrics.get(metric), &report.metrics_error) {
        (Some(value), _) if value.is_finite() => TrialEnd::Value(*value),
        (Some(value), _) => TrialEnd::Failed {
            reason: format!("reported {metric} = {value}, which is no number to compare"),
        },
        (None, Some(error)) => TrialEnd::Failed {
            reason: format!("reported no `{metric}`: {error}"),
        },
        (None, None) => {
            let names: Vec<&str> = report.metrics.keys().map(String::as_str).collect();
            let reason = match names.as_slice() {
                [] => format!("reported no `{metric}`: nothing was written to $UPDRAFT_METRICS"),
                names => format!("reported no `{metric}`, only {}", names.join(", ")),
            };
            TrialEnd::Failed { reason }
        }
    }
}
