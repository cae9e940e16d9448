//! What people may watch: each event in one line, with the names that they gave.

use classad::ClassAd;
use dags::NodeKind;
use proto::nouns::{Ended, JobId, Now, Subject, WorkerName};

use crate::accounts::Setting;
use crate::drain::{Drain, DrainMode, DrainState};
use crate::event::{Event, Lands, NodeEnd, Preempts, Requeue, Soft, TrialEnd};
use crate::job::Cluster;
use crate::queue::Queue;
use crate::raised::{self, More};
use crate::rest::Rest;
use crate::run::{Cut, Halt, Run, RunState};

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub at_ms: u64,
    pub kind: RowKind,
    /// The cluster or DAG run that it concerns, of a sub-DAG the run it belongs to; 0 for workers.
    pub top: u32,
    pub job: Option<JobId>,
    pub node: Option<String>,
    pub trial: Option<u32>,
    pub text: String,
    /// A trial's metric.
    pub value: Option<f64>,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    Submitted,
    Started,
    Ended,
    Failed,
    Requeued,
    Held,
    Released,
    Removed,
    Edited,
    NodeStarted,
    NodeEnded,
    NodeFailed,
    NodeReset,
    TrialStarted,
    TrialEnded,
    TrialFailed,
    RunEnded,
    RunResumed,
    Worker,
    Progress,
}

impl RowKind {
    /// The kind's stable name.
    pub fn name(self) -> &'static str {
        match self {
            RowKind::Submitted => "submitted",
            RowKind::Started => "started",
            RowKind::Ended => "ended",
            RowKind::Failed => "failed",
            RowKind::Requeued => "requeued",
            RowKind::Held => "held",
            RowKind::Released => "released",
            RowKind::Removed => "removed",
            RowKind::Edited => "edited",
            RowKind::NodeStarted => "node_started",
            RowKind::NodeEnded => "node_ended",
            RowKind::NodeFailed => "node_failed",
            RowKind::NodeReset => "node_reset",
            RowKind::TrialStarted => "trial_started",
            RowKind::TrialEnded => "trial_ended",
            RowKind::TrialFailed => "trial_failed",
            RowKind::RunEnded => "run_ended",
            RowKind::RunResumed => "run_resumed",
            RowKind::Worker => "worker",
            RowKind::Progress => "progress",
        }
    }

    /// Whether it says how far something is, and not that anything is settled.
    pub fn is_passing(self) -> bool {
        match self {
            RowKind::Started | RowKind::Worker | RowKind::Progress => true,
            RowKind::Submitted
            | RowKind::Ended
            | RowKind::Failed
            | RowKind::Requeued
            | RowKind::Held
            | RowKind::Released
            | RowKind::Removed
            | RowKind::Edited
            | RowKind::NodeStarted
            | RowKind::NodeEnded
            | RowKind::NodeFailed
            | RowKind::NodeReset
            | RowKind::TrialStarted
            | RowKind::TrialEnded
            | RowKind::TrialFailed
            | RowKind::RunEnded
            | RowKind::RunResumed => false,
        }
    }

    /// The number of HTCondor's user log: 8, its generic event, where that has none of its own.
    pub fn number(self) -> u32 {
        match self {
            RowKind::Submitted => 0,
            RowKind::Started => 1,
            RowKind::Requeued => 4,
            RowKind::Ended | RowKind::Failed => 5,
            RowKind::Removed => 9,
            RowKind::Held => 12,
            RowKind::Released => 13,
            RowKind::Edited
            | RowKind::NodeStarted
            | RowKind::NodeEnded
            | RowKind::NodeFailed
            | RowKind::NodeReset
            | RowKind::TrialStarted
            | RowKind::TrialEnded
            | RowKind::TrialFailed
            | RowKind::RunEnded
            | RowKind::RunResumed
            | RowKind::Worker
            | RowKind::Progress => 8,
        }
    }
}

impl Queue {
    /// The event's line, once it was applied; nothing for what nobody needs to watch.
    pub(crate) fn row(&self, now: Now, event: &Event) -> Option<Row> {
        let line = Line { queue: self, now };
        match event {
            Event::ClusterQueued { cluster, .. } if cluster.node().is_none() => {
                let text = format!("cluster {}: {} jobs submitted", cluster.id, cluster.count);
                Some(line.of_top(RowKind::Submitted, cluster.id, text))
            }
            Event::ClusterQueued { .. } => None,
            Event::RunQueued(queued) => Some(line.run_queued(&queued.run)),
            Event::NodePre { run, node } => {
                Some(line.of_node(RowKind::NodeStarted, *run, *node, "runs its PRE script"))
            }
            Event::NodeStarted { run, node, .. } => line.node_started(*run, *node),
            Event::NodePost { run, node } => {
                Some(line.of_node(RowKind::Progress, *run, *node, "runs its POST script"))
            }
            Event::NodePreparing { .. } | Event::NodeReady { .. } | Event::NodeReturned { .. } => {
                None
            }
            Event::NodeRetried { run, node, reason } => {
                let text = format!("is tried again: {reason}");
                Some(line.of_node(RowKind::NodeReset, *run, *node, &text))
            }
            Event::NodeEnded { run, node, end } => line.node_ended(*run, *node, end),
            Event::NodesFutile { run, nodes } => {
                let nodes = line.named(*run, nodes);
                let text = format!("{} will not run: an ancestor failed", nodes_of(nodes));
                (nodes > 0).then(|| line.of_top(RowKind::NodeFailed, *run, text))
            }
            Event::NodesReset { run, nodes, .. } => {
                let text = format!("to run again: {}", nodes_of(line.named(*run, nodes)));
                Some(line.of_top(RowKind::NodeReset, *run, text))
            }
            Event::RunResumed { run } => {
                Some(line.of_top(RowKind::RunResumed, *run, format!("DAG run {run} resumed")))
            }
            Event::RunHalted { run, halt } => {
                let text = match halt {
                    Halt::Open => format!("DAG run {run} goes on"),
                    Halt::Halted => format!("DAG run {run} is halted"),
                    Halt::Held => format!("DAG run {run} is held"),
                };
                Some(line.of_top(RowKind::RunResumed, *run, text))
            }
            Event::RunThrottled { run, .. } => {
                let text = format!("DAG run {run} has new limits");
                Some(line.of_top(RowKind::Progress, *run, text))
            }
            Event::RunProvisioned { run } => {
                let text = format!("the provisioner of DAG run {run} is ready");
                Some(line.of_top(RowKind::Progress, *run, text))
            }
            Event::RunCut { run, cut } => Some(line.run_cut(*run, cut)),
            Event::RunEnded { run, .. } => Some(line.run_ended(*run)),
            Event::FilesAdded { .. } => None,
            Event::TrialAdded { run, node, params } => Some(line.trial_added(*run, *node, params)),
            Event::TrialEnded {
                run,
                node,
                trial,
                end,
            } => Some(line.trial_ended(*run, *node, *trial, end)),
            Event::JobClaimed { .. } => None,
            Event::JobStarted { job } => Some(line.job_started(*job)),
            Event::JobReported {
                job,
                failure,
                lands: Lands::Files,
                ..
            } => {
                let text = failure
                    .as_ref()
                    .map(|failure| format!("{failure}; its files come back"));
                text.map(|text| line.of_job(RowKind::Progress, *job, &text))
            }
            Event::JobReported {
                lands: Lands::Nothing,
                ..
            } => None,
            Event::JobCompleted { job, .. } => line.job_completed(*job),
            Event::JobRequeued { job, cause } => Some(line.of_job(
                RowKind::Requeued,
                *job,
                &format!("waits again: {}", why(cause)),
            )),
            Event::JobHeld { job, reason, .. } => {
                Some(line.of_job(RowKind::Held, *job, &format!("is held: {reason}")))
            }
            Event::JobReleased { job } => Some(line.of_job(RowKind::Released, *job, "is released")),
            Event::JobRemoved { job, reason } | Event::JobUnfit { job, reason } => {
                Some(line.of_job(RowKind::Removed, *job, &format!("is removed: {reason}")))
            }
            Event::JobsEdited { subject, edits } => Some(line.edited(*subject, edits)),
            Event::RestChanged { cluster, rest } => line.rest_changed(*cluster, rest),
            Event::WorkerDrained { worker, drain } => {
                let text = match drain {
                    DrainState::Drained(drain) => drained(worker, drain),
                    DrainState::Open => format!("worker {worker} takes work"),
                };
                Some(line.of_top(RowKind::Worker, 0, text))
            }
            Event::RulesSet(_) => {
                let text = "the pool has new rules".to_owned();
                Some(line.of_top(RowKind::Worker, 0, text))
            }
            Event::AccountSet { submitter, setting } => {
                let said = match setting {
                    Setting::Factor(Some(factor)) => format!("has the factor {factor}"),
                    Setting::Factor(None) => "has the factor of the rules".to_owned(),
                    Setting::Recent(recent) => format!("has a recent use of {recent}"),
                };
                let text = format!("{submitter} {said}");
                Some(line.of_top(RowKind::Worker, 0, text))
            }
            Event::Soft(soft) => line.soft(soft),
        }
    }
}

/// What a line is made from.
struct Line<'a> {
    queue: &'a Queue,
    now: Now,
}

impl Line<'_> {
    fn of_top(&self, kind: RowKind, top: u32, text: String) -> Row {
        let at_ms = self.now.wall_ms;
        Row {
            at_ms,
            kind,
            top: self.queue.home(top),
            job: None,
            node: None,
            trial: None,
            text,
            value: None,
        }
    }

    fn of_node(&self, kind: RowKind, run: u32, node: u32, text: &str) -> Row {
        let name = self.queue.full_name(run, node);
        let text = format!("{name} {text}");
        Row {
            node: Some(name),
            ..self.of_top(kind, run, text)
        }
    }

    /// A job is called by its node and trial where it has them.
    fn of_job(&self, kind: RowKind, job: JobId, text: &str) -> Row {
        let Some(cluster) = self.queue.clusters.get(&job.cluster) else {
            return self.of_top(kind, 0, format!("job {job} {text}"));
        };
        let trial = matches!(cluster.source, crate::job::Source::Study { .. }).then_some(job.proc);
        let node = cluster
            .node()
            .map(|(run, node)| self.queue.full_name(run, node));
        let name = match (&node, trial) {
            (Some(node), Some(trial)) => format!("{node} trial {trial}"),
            (Some(node), None) if cluster.count == 1 => node.clone(),
            (Some(node), None) => format!("{node} job {}", job.proc),
            (None, _) => format!("job {job}"),
        };
        let row = self.of_top(kind, cluster.top(), format!("{name} {text}"));
        Row {
            job: Some(job),
            node,
            trial,
            ..row
        }
    }

    fn edited(&self, subject: Subject, edits: &ClassAd) -> Row {
        let edits = edits.iter().map(|(name, expr)| format!("{name} = {expr}"));
        let text = format!("is edited: {}", edits.collect::<Vec<_>>().join(", "));
        match subject {
            Subject::Job(job) => self.of_job(RowKind::Edited, job, &text),
            Subject::Whole(id) => {
                let top = self.queue.clusters.get(&id).map_or(id, Cluster::top);
                self.of_top(RowKind::Edited, top, format!("cluster {id} {text}"))
            }
        }
    }

    fn rest_changed(&self, id: u32, rest: &Rest) -> Option<Row> {
        let cluster = self.queue.clusters.get(&id)?;
        let jobs = cluster.rest_count();
        let (kind, what) = match rest {
            Rest::Idle => (RowKind::Released, "are released".to_owned()),
            Rest::Held { reason, .. } => (RowKind::Held, format!("are held: {reason}")),
            Rest::Removed { reason, .. } => (RowKind::Removed, format!("are removed: {reason}")),
        };
        let text = format!("cluster {id}: {jobs} jobs {what}");
        Some(self.of_top(kind, cluster.top(), text))
    }

    /// A trial was announced with its parameters a moment ago.
    fn job_started(&self, job: JobId) -> Row {
        let cluster = self.queue.clusters.get(&job.cluster);
        let study = cluster
            .and_then(|cluster| cluster.trial(job.proc))
            .is_some();
        let kind = if study {
            RowKind::Progress
        } else {
            RowKind::Started
        };
        self.of_job(kind, job, "runs")
    }

    fn run_queued(&self, run: &Run) -> Row {
        let nodes = nodes_of(run.counts().total() as usize);
        let text = match run.parent {
            None => format!("{} submitted: {nodes}", run.dag.file),
            Some((parent, node)) => {
                let node = self.queue.runs[&parent].node_name(node);
                format!(
                    "{} started for node {node} of DAG run {parent}: {nodes}",
                    run.dag.file
                )
            }
        };
        self.of_top(RowKind::Submitted, run.id, text)
    }

    /// A node that runs nothing by itself says so only when it is done.
    fn node_started(&self, run: u32, node: u32) -> Option<Row> {
        match self.queue.runs[&run].dag.nodes[node as usize].kind {
            NodeKind::Join | NodeKind::Noop => None,
            NodeKind::Job { .. } | NodeKind::Study { .. } | NodeKind::Subdag { .. } => {
                Some(self.of_node(RowKind::NodeStarted, run, node, "started"))
            }
        }
    }

    fn node_ended(&self, run: u32, node: u32, end: &NodeEnd) -> Option<Row> {
        if self.queue.runs[&run].dag.nodes[node as usize].kind == NodeKind::Join {
            return None;
        }
        Some(match end {
            NodeEnd::Done => self.node_done(run, node),
            NodeEnd::Failed { reason } => {
                self.of_node(RowKind::NodeFailed, run, node, &format!("failed: {reason}"))
            }
        })
    }

    /// How many of these nodes people know.
    fn named(&self, run: u32, nodes: &[u32]) -> usize {
        let dag = &self.queue.runs[&run].dag;
        let join = |node: &&u32| dag.nodes[**node as usize].kind == NodeKind::Join;
        nodes.iter().filter(|node| !join(node)).count()
    }

    fn run_cut(&self, run: u32, cut: &Cut) -> Row {
        let text = match cut {
            Cut::Aborted { node, exit } => {
                let node = self.queue.runs[&run].node_name(*node);
                format!("DAG run {run} is aborted by node {node}: exit code {exit}")
            }
            Cut::Removed { reason } => format!("DAG run {run} is removed: {reason}"),
        };
        self.of_top(RowKind::Progress, run, text)
    }

    fn node_done(&self, run: u32, node: u32) -> Row {
        let entry = &self.queue.runs[&run];
        let text = match (entry.best_of(node), entry.dag.study_of(node)) {
            (Some((trial, value, _)), Some(spec)) => {
                format!("done: best {} {value:.6} in trial {trial}", spec.metric)
            }
            _ => "done".to_owned(),
        };
        self.of_node(RowKind::NodeEnded, run, node, &text)
    }

    fn run_ended(&self, run: u32) -> Row {
        let entry = &self.queue.runs[&run];
        let counts = entry.counts();
        let state = match entry.state {
            RunState::Running => "runs",
            RunState::Completed { .. } => "completed",
            RunState::Failed { .. } => "failed",
            RunState::Removed { .. } => "was removed",
        };
        let text = format!(
            "DAG run {run} {state}: {} nodes done, {} failed, {} futile",
            counts.done, counts.failed, counts.futile
        );
        // Who watches a run waits for its own end, not for those of its sub-DAGs.
        let kind = match entry.parent {
            None => RowKind::RunEnded,
            Some(_) => RowKind::Progress,
        };
        self.of_top(kind, run, text)
    }

    fn trial_added(&self, run: u32, node: u32, params: &crate::study::Params) -> Row {
        let entry = &self.queue.runs[&run];
        let trials = entry
            .studies
            .get(&node)
            .map_or(0, |study| study.trials.len());
        let trial = u32::try_from(trials)
            .ok()
            .and_then(|count| count.checked_sub(1));
        let params = params
            .iter()
            .map(|(name, value)| format!("{name}={}", short(value)));
        let params = params.collect::<Vec<_>>().join(" ");
        let text = format!("trial {}: {params}", trial.unwrap_or(0));
        Row {
            trial,
            ..self.of_node(RowKind::TrialStarted, run, node, &text)
        }
    }

    fn trial_ended(&self, run: u32, node: u32, trial: u32, end: &TrialEnd) -> Row {
        let metric = self.queue.runs[&run]
            .dag
            .study_of(node)
            .map_or("", |spec| &spec.metric);
        let (kind, text, value) = match end {
            TrialEnd::Value(value) => (
                RowKind::TrialEnded,
                format!("trial {trial}: {metric} {value:.6}"),
                Some(*value),
            ),
            TrialEnd::Failed { reason } => (
                RowKind::TrialFailed,
                format!("trial {trial} failed: {reason}"),
                None,
            ),
        };
        Row {
            trial: Some(trial),
            value,
            ..self.of_node(kind, run, node, &text)
        }
    }

    fn job_completed(&self, job: JobId) -> Option<Row> {
        let (cluster, proc) = self.queue.job(job)?;
        let ending = proc.ending()?;
        let seconds = seconds_of(ending.report.started_ms, ending.report.ended_ms);
        let worker = &ending.worker;
        if let Some(failure) = &ending.failure {
            let text = format!("{failure} on {worker} after {seconds} s");
            return Some(self.of_job(RowKind::Failed, job, &text));
        }
        // A node of one job says so itself, and so does a trial.
        let study = matches!(cluster.source, crate::job::Source::Study { .. });
        let quiet = study || cluster.node().is_some() && cluster.count == 1;
        let kind = if quiet {
            RowKind::Progress
        } else {
            RowKind::Ended
        };
        Some(self.of_job(kind, job, &format!("ended on {worker} after {seconds} s")))
    }

    fn soft(&self, soft: &Soft) -> Option<Row> {
        let text = match soft {
            Soft::WorkerJoined { worker, .. } => format!("worker {worker} joined"),
            Soft::WorkerCutOff { worker } => format!("worker {worker} is cut off"),
            Soft::WorkerGone { worker } => format!("worker {worker} is gone"),
            Soft::JobProgress { job, lines } => {
                let last = lines.last()?;
                return Some(self.of_job(RowKind::Progress, *job, last));
            }
            Soft::WorkerAdvertised { .. }
            | Soft::ClaimKept { .. }
            | Soft::ClaimLingers { .. }
            | Soft::ClaimCalledBack { .. }
            | Soft::AccountsTakenUp
            | Soft::WorkerHeard { .. }
            | Soft::ClaimEnded { .. }
            | Soft::WorkerResumed { .. }
            | Soft::PoliciesLooked { .. }
            | Soft::DurationsLooked
            | Soft::StudyAsked { .. }
            | Soft::StudyAnswered { .. }
            | Soft::ScriptStarted { .. }
            | Soft::ScriptWaits { .. }
            | Soft::ScriptDeferred { .. }
            | Soft::ScriptDue { .. }
            | Soft::ScriptEnded { .. } => return None,
        };
        Some(self.of_top(RowKind::Worker, 0, text))
    }
}

fn drained(worker: &WorkerName, drain: &Drain) -> String {
    let how = match drain.mode {
        DrainMode::Graceful => "",
        DrainMode::Quick => "; its jobs are asked to end",
        DrainMode::Fast => "; its jobs are killed",
    };
    match drain.reason.as_str() {
        "" => format!("worker {worker} is drained{how}"),
        reason => format!("worker {worker} is drained{how}: {reason}"),
    }
}

/// A job needed more than it had.
pub(crate) fn raised_to(more: &More) -> String {
    let (what, gets) = (raised::name(more.resource), more.gets_mib());
    let had = more.had_mib;
    match more.used_mib {
        0 => format!("it needed more {what} than {had} MiB and gets {gets} MiB"),
        used => format!("it used {used} MiB of {what}, had {had} MiB and gets {gets} MiB"),
    }
}

fn why(cause: &Requeue) -> String {
    match cause {
        Requeue::LeaseExpired { worker } => format!("worker {worker} was silent for a whole lease"),
        Requeue::Lost { worker } => format!("worker {worker} came back without it"),
        Requeue::CalledBack { worker } => {
            format!("worker {worker} gave it back before it began")
        }
        Requeue::Vacated { worker } => format!("worker {worker} stopped it"),
        Requeue::Drained { worker } => format!("worker {worker} is drained"),
        Requeue::Preempted { worker, by, why } => match why {
            Preempts::Rank => format!("worker {worker} prefers a job of {by}"),
            Preempts::Priority => format!("it made room on worker {worker} for a job of {by}"),
        },
        Requeue::Raised { more, .. } => raised_to(more),
        Requeue::Fault { worker, reason } => {
            format!("worker {worker} could not start it: {reason}")
        }
        Requeue::Retry { failure, .. } => format!("it {failure} and may be retried"),
    }
}

fn seconds_of(started_ms: u64, ended_ms: u64) -> String {
    let ms = ended_ms.saturating_sub(started_ms);
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}

/// A parameter's value to four digits: enough to tell trials apart.
fn short(value: &dags::study::ParamValue) -> String {
    match value {
        dags::study::ParamValue::Float(number) if *number != 0.0 => {
            let digits = 3 - number.abs().log10().floor() as i32;
            match usize::try_from(digits) {
                Ok(digits) if digits <= 7 => format!("{number:.digits$}"),
                Ok(_) => format!("{number:.3e}"),
                Err(_) => format!("{number:.0}"),
            }
        }
        dags::study::ParamValue::Float(_)
        | dags::study::ParamValue::Bool(_)
        | dags::study::ParamValue::Int(_)
        | dags::study::ParamValue::Text(_) => value.to_string(),
    }
}

/// `1 node`, `2 nodes`.
fn nodes_of(count: usize) -> String {
    if count == 1 {
        "1 node".to_owned()
    } else {
        format!("{count} nodes")
    }
}

/// The exit code or signal of a report.
pub fn exit_of(ended: &Ended) -> (Option<i32>, Option<i32>) {
    match ended {
        Ended::Exited(code) => (Some(*code), None),
        Ended::Signaled(signal) => (None, Some(*signal)),
        Ended::Vacated | Ended::Exceeded { .. } | Ended::NotStarted { .. } => (None, None),
    }
}

impl Queue {
    /// A node as people know it: `outer/inner` in a sub-DAG.
    pub fn full_name(&self, run: u32, node: u32) -> String {
        let mut name = self.runs[&run].node_name(node).to_owned();
        let mut above = self.runs[&run].parent;
        while let Some((run, node)) = above {
            if !self.runs[&run].is_late(node) {
                name = format!("{}/{name}", self.runs[&run].node_name(node));
            }
            above = self.runs[&run].parent;
        }
        name
    }
}

impl Cluster {
    /// The trial that a proc of a study's cluster is.
    pub fn trial(&self, proc: u32) -> Option<u32> {
        matches!(self.source, crate::job::Source::Study { .. }).then_some(proc)
    }
}
