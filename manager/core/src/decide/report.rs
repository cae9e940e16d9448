//! Reports: what an attempt's result means for its job, and for the node or trial that the job
//! works for.

use proto::nouns::{Ended, Fault, JobId, Report};

use crate::decide::Decision;
use crate::event::{Event, Lands, NodeEnd, Requeue, TrialEnd};
use crate::job::{Cluster, Ending, HoldCode, Proc, ProcState};
use crate::queue::Queue;
use crate::run::{NodeState, RunState};
use crate::study::TrialState;
use crate::workspace::Delivery;

impl Queue {
    /// What the report of a job's current claim leads to.
    pub(super) fn report(&self, job: JobId, report: Report) -> Vec<Event> {
        let Some((cluster, proc)) = self.job(job) else {
            return Vec::new();
        };
        let ProcState::Running { worker, .. } = &proc.state else {
            return Vec::new();
        };
        let worker = worker.clone();
        match &report.ended {
            Ended::Vacated => {
                let cause = Requeue::Vacated { worker };
                vec![Event::JobRequeued { job, cause }]
            }
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
            Ended::Exited(_) | Ended::Signaled(_) => self.verdict(job, cluster, &proc, report),
        }
    }

    /// The job ran to its end.
    fn verdict(&self, job: JobId, cluster: &Cluster, proc: &Proc, report: Report) -> Vec<Event> {
        let spec = match self.spec(cluster, job.proc) {
            Ok(spec) => spec,
            Err(reason) => return vec![self.unfit(job, HoldCode::FailedToCreateProcess, reason)],
        };
        let failure = failure(&report, spec.success_exit_code);
        if let Some(failure) = &failure
            && proc.retries < spec.max_retries
        {
            let cause = Requeue::Retry {
                failure: failure.clone(),
            };
            return vec![Event::JobRequeued { job, cause }];
        }
        let lands = match self.workspaces[&cluster.top()].delivery {
            Delivery::Write if !self.landing_files(job, &report).is_empty() => Lands::Files,
            Delivery::Write | Delivery::Keep => Lands::Nothing,
        };
        let report = Box::new(report);
        let mut events = vec![Event::JobReported {
            job,
            report,
            failure: failure.clone(),
            lands,
        }];
        if lands == Lands::Nothing {
            events.push(Event::JobCompleted { job, failure });
        }
        events
    }

    /// Whether a node, or trials of it, ended now that some of its jobs did.
    pub(crate) fn judge(&self, run: u32, node: u32) -> Vec<Event> {
        let Some(entry) = self.runs.get(&run) else {
            return Vec::new();
        };
        let record = &entry.nodes[node as usize];
        if entry.state != RunState::Running || record.state != NodeState::Running {
            return Vec::new();
        }
        let Some(cluster) = record.cluster.and_then(|id| self.clusters.get(&id)) else {
            return Vec::new();
        };
        if self.is_study(run, node) {
            return self.judge_trials(run, node, cluster);
        }
        if !cluster.ended() {
            return Vec::new();
        }
        let failed = cluster.procs.iter().find_map(|(proc, record)| {
            let reason = failure_of(&record.state)?;
            let job = JobId {
                cluster: cluster.id,
                proc: *proc,
            };
            Some((format!("job {job} {reason}"), record))
        });
        let Some((reason, proc)) = failed else {
            return vec![self.node_done(run, node)];
        };
        if proc.attempts == 0 {
            // What cannot be started would not start the next time either.
            return self.node_failed(run, node, reason);
        }
        self.retry_or_fail(run, node, reason, exit_code(proc))
    }

    /// A node's part failed: all of it runs again, or its descendants are futile.
    pub(crate) fn retry_or_fail(
        &self,
        run: u32,
        node: u32,
        reason: String,
        exit_code: Option<i32>,
    ) -> Vec<Event> {
        let entry = &self.runs[&run];
        let written = &entry.dag.nodes[node as usize];
        let unless = written.retry_unless_exit.is_some() && written.retry_unless_exit == exit_code;
        if entry.nodes[node as usize].attempts <= written.retry && !unless {
            return vec![Event::NodesReset {
                run,
                nodes: vec![node],
            }];
        }
        self.node_failed(run, node, reason)
    }

    fn judge_trials(&self, run: u32, node: u32, cluster: &Cluster) -> Vec<Event> {
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

    pub(crate) fn node_done(&self, run: u32, node: u32) -> Event {
        Event::NodeEnded {
            run,
            node,
            end: NodeEnd::Done,
        }
    }

    pub(crate) fn node_failed(&self, run: u32, node: u32, reason: String) -> Vec<Event> {
        let mut events = vec![Event::NodeEnded {
            run,
            node,
            end: NodeEnd::Failed { reason },
        }];
        let nodes = self.runs[&run].waiting_descendants(node);
        if !nodes.is_empty() {
            events.push(Event::NodesFutile { run, nodes });
        }
        events
    }

    /// Whether a run is over.
    pub(crate) fn close(&self, run: u32) -> Vec<Event> {
        let Some(entry) = self.runs.get(&run) else {
            return Vec::new();
        };
        let open = entry.counts.waiting + entry.counts.running;
        match entry.state {
            RunState::Running if open == 0 => vec![Event::RunEnded { run }],
            RunState::Running
            | RunState::Completed { .. }
            | RunState::Failed { .. }
            | RunState::Removed { .. } => Vec::new(),
        }
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
    let event = match (result, cluster.node()) {
        (Ok(()), _) => Event::JobCompleted { job, failure },
        (Err(reason), Some(_)) => {
            let failure =
                Some(failure.map_or(reason.clone(), |first| format!("{first}; {reason}")));
            Event::JobCompleted { job, failure }
        }
        (Err(reason), None) => Event::JobHeld {
            job,
            code: HoldCode::TransferOutput,
            reason,
        },
    };
    Decision::new(vec![event])
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
        Ended::Vacated | Ended::NotStarted { .. } => Some("did not run to its end".to_owned()),
    }
}

fn failure_of(state: &ProcState) -> Option<String> {
    match state {
        ProcState::Completed { ending } => ending.failure.clone(),
        ProcState::Removed { reason } => Some(format!("was removed: {reason}")),
        ProcState::Idle
        | ProcState::Running { .. }
        | ProcState::Landing { .. }
        | ProcState::Held { .. } => None,
    }
}

fn exit_code(proc: &Proc) -> Option<i32> {
    match proc.ending()?.report.ended {
        Ended::Exited(code) => Some(code),
        Ended::Signaled(_) | Ended::Vacated | Ended::NotStarted { .. } => None,
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
