//! Rows: how a job, a run, a node or a study looks to those who ask. Workers are in `machines`.

use dags::dag::{NodeKind, Reads, Role};
use manager_core::{
    Cluster, Cut, Ending, Halt, NodeState, ProcState, Queue, Run, RunState, Shown, Study,
    TrialState, exit_of,
};
use proto::nouns::JobId;
use proto::wire;

/// Parents of a node that its row names.
const PARENTS_MAX: usize = 16;

/// Whether rows carry ads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ads {
    With,
    Without,
}

/// Whether a run's row carries its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nodes {
    With,
    Without,
}

/// What expressions came to in an ad.
pub(super) fn cells(shown: Vec<Shown>) -> Vec<wire::Cell> {
    let cell = |Shown { text, json }| wire::Cell { text, json };
    shown.into_iter().map(cell).collect()
}

pub(super) fn job(queue: &Queue, cluster: &Cluster, job: JobId, ads: Ads) -> wire::Job {
    let proc = cluster
        .proc(job.proc)
        .expect("rows are made of procs that exist");
    let spec = queue.shared_spec(cluster, job.proc).ok();
    let mut row = wire::Job {
        id: job.to_string(),
        owner: cluster.owner.clone(),
        status: proc.state.name().to_owned(),
        submitted_ms: cluster.submitted_ms,
        attempts: proc.attempts,
        count: 1,
        trial: cluster.trial(job.proc),
        ..wire::Job::default()
    };
    if let Some(spec) = &spec {
        row.priority = spec.priority;
        row.command = command(spec);
    }
    if let Some((run, node)) = cluster.node() {
        row.run = run;
        row.node = queue.runs()[&run].node_name(node).to_owned();
    }
    match &proc.state {
        ProcState::Idle => {}
        ProcState::Running { worker, .. } => {
            row.worker = worker.to_string();
            row.started_ms = Some(proc.since_ms);
        }
        ProcState::Landing { ending } => put_ending(&mut row, ending),
        ProcState::Completed { ending } => {
            put_ending(&mut row, ending);
            row.ended_ms = Some(ending.report.ended_ms);
            row.succeeded = ending.failure.is_none();
        }
        ProcState::Held { code, reason, .. } => {
            row.hold_code = code.number();
            let policy = spec.as_ref().map(|spec| &spec.policy);
            row.held_for_now = policy.is_some_and(|policy| {
                policy.periodic_release.is_some() || policy.periodic_remove.is_some()
            });
            row.hold_reason.clone_from(reason);
        }
        ProcState::Removed { reason } => {
            row.removed_reason.clone_from(reason);
            row.ended_ms = Some(proc.since_ms);
        }
    }
    if let (Ads::With, Some(spec)) = (ads, &spec) {
        row.ad = queue.job_ad(cluster, job, spec).to_long();
    }
    row
}

fn command(spec: &dags::submit::JobSpec) -> String {
    let program = match spec.universe {
        dags::submit::Universe::Vanilla => spec.executable.as_str(),
        dags::submit::Universe::Train => "updraft train",
    };
    let words = std::iter::once(program).chain(spec.arguments.iter().map(String::as_str));
    words.collect::<Vec<_>>().join(" ")
}

fn put_ending(row: &mut wire::Job, ending: &Ending) {
    let report = &ending.report;
    row.worker = ending.worker.to_string();
    row.started_ms = Some(report.started_ms);
    (row.exit_code, row.exit_signal) = exit_of(&report.ended);
    row.metrics = report.metrics.clone();
    row.user_cpu_ms = report.user_cpu_ms;
    row.system_cpu_ms = report.system_cpu_ms;
    row.rss_max_kib = report.rss_max_kib;
    if let Some(failure) = &ending.failure {
        row.hold_reason.clone_from(failure);
    }
}

pub(super) fn run(queue: &Queue, run: &Run, nodes: Nodes) -> wire::Run {
    let counts = run.counts();
    let rows = match nodes {
        Nodes::With => (0..)
            .zip(run.dag.named())
            .map(|(at, _)| node(queue, run, at))
            .collect(),
        Nodes::Without => Vec::new(),
    };
    let directory = queue
        .workspaces()
        .get(&run.home)
        .map(|workspace| workspace.directory.clone());
    wire::Run {
        id: run.id,
        owner: run.owner.clone(),
        file: run.dag.file.clone(),
        status: run.state.name().to_owned(),
        submitted_ms: run.submitted_ms,
        ended_ms: run.state.ended_ms(),
        counts: Some(wire::NodeCounts {
            total: counts.total(),
            waiting: counts.waiting,
            running: counts.running,
            done: counts.done,
            failed: counts.failed,
            futile: counts.futile,
        }),
        nodes: rows,
        digest: run.digest.clone(),
        directory: directory.unwrap_or_default(),
        parent: run.parent.map_or(0, |(parent, _)| parent),
        parent_node: run.parent.map_or(String::new(), |(parent, node)| {
            queue.full_name(parent, node)
        }),
        halt: match run.halt {
            Halt::Open => "Open",
            Halt::Halted => "Halted",
            Halt::Held => "Held",
        }
        .to_owned(),
        exit: run.state.exit().map(u32::from),
        cut: match &run.cut {
            None => String::new(),
            Some(Cut::Aborted { node, .. }) => format!("aborted by {}", run.node_name(*node)),
            Some(Cut::Removed { reason }) if reason.is_empty() => "removed".to_owned(),
            Some(Cut::Removed { reason }) => format!("removed: {reason}"),
        },
        throttles: Some(wire::Throttles {
            max_jobs: run.throttles.max_jobs,
            max_idle: run.throttles.max_idle,
            max_pre: run.throttles.max_pre,
            max_post: run.throttles.max_post,
            max_hold: run.throttles.max_hold,
        }),
        categories: (0..)
            .zip(&run.dag.categories)
            .map(|(at, category)| wire::Category {
                name: category.name.clone(),
                limit: run.category_limit(at),
                busy: run.busy_in(at),
            })
            .collect(),
        attributes: run.dag.attributes.iter().cloned().collect(),
    }
}

/// The names of a node's parents, the first of them where there are many: thousands of nodes may
/// have thousands each.
fn parents(run: &Run, at: u32) -> Vec<String> {
    let nodes = &run.dag.nodes;
    let through = |at: &u32| match nodes[*at as usize].kind {
        NodeKind::Join => nodes[*at as usize].parents.as_slice(),
        NodeKind::Job { .. }
        | NodeKind::Study { .. }
        | NodeKind::Noop
        | NodeKind::Subdag { .. } => &[],
    };
    let written = &nodes[at as usize];
    let joined = written.parents.iter().flat_map(through);
    let own = written.parents.iter().chain(&written.weak_parents);
    let named = own.filter(|at| nodes[**at as usize].kind != NodeKind::Join);
    named
        .chain(joined)
        .take(PARENTS_MAX)
        .map(|at| run.node_name(*at).to_owned())
        .collect()
}

fn node(queue: &Queue, run: &Run, at: u32) -> wire::Node {
    let (written, record) = (&run.dag.nodes[at as usize], &run.nodes[at as usize]);
    let kind = match written.kind {
        NodeKind::Job { .. } => "job",
        NodeKind::Study { .. } => "study",
        NodeKind::Noop => "noop",
        NodeKind::Subdag {
            reads: Reads::Dag, ..
        } => "subdag",
        NodeKind::Subdag {
            reads: Reads::Submit,
            ..
        } => "job",
        NodeKind::Join => "join",
    };
    let reason = match &record.state {
        NodeState::Failed { reason } => reason.clone(),
        NodeState::Waiting
        | NodeState::Pre
        | NodeState::Ready
        | NodeState::Preparing
        | NodeState::Running
        | NodeState::Post
        | NodeState::Done
        | NodeState::Futile => String::new(),
    };
    let study = run.studies.get(&at);
    let ended = study.map_or(0, |study| {
        u32::try_from(study.trials.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(study.pending())
    });
    let mut row = wire::Node {
        name: written.name.clone(),
        kind: kind.to_owned(),
        status: record.state.name().to_owned(),
        cluster: record.cluster.unwrap_or(0),
        attempts: record.attempts,
        reason,
        parents: parents(run, at),
        trials_ended: ended,
        trials_total: run.dag.study_of(at).map_or(0, |spec| spec.trials),
        macros: written.vars.iter().cloned().collect(),
        subrun: record.subrun.unwrap_or(0),
        role: match written.role {
            Role::Normal => "normal",
            Role::Final => "final",
            Role::Service => "service",
            Role::Provisioner => "provisioner",
        }
        .to_owned(),
        waits: queue.waits(run, at).unwrap_or_default(),
        ..wire::Node::default()
    };
    let cluster = record.cluster.and_then(|id| queue.clusters().get(&id));
    if let (Some(cluster), None) = (cluster, study) {
        for (&proc, record) in &cluster.procs {
            let Some(ending) = record.ending() else {
                continue;
            };
            row.metrics.extend(ending.report.metrics.clone());
            let job = JobId {
                cluster: cluster.id,
                proc,
            };
            let files = queue.landing_files(job, &ending.report);
            row.outputs.extend(files.into_iter().map(|(path, _)| path));
        }
    }
    row
}

pub(super) fn study(queue: &Queue, run: &Run, at: u32) -> wire::Study {
    let spec = run.dag.study_of(at).expect("only studies are asked for");
    let record = &run.nodes[at as usize];
    let status = match (&record.state, run.state) {
        (NodeState::Waiting | NodeState::Pre | NodeState::Ready | NodeState::Preparing, _) => {
            "Waiting"
        }
        (NodeState::Running | NodeState::Post, RunState::Running) => "Running",
        (NodeState::Done, _) => "Completed",
        (
            NodeState::Failed { .. } | NodeState::Futile | NodeState::Running | NodeState::Post,
            _,
        ) => "Failed",
    };
    let goal = match spec.goal {
        dags::study::Goal::Minimize => "minimize",
        dags::study::Goal::Maximize => "maximize",
    };
    let empty = Study::default();
    let study = run.studies.get(&at).unwrap_or(&empty);
    let cluster = record.cluster.and_then(|id| queue.clusters().get(&id));
    let trials = (0..).zip(&study.trials);
    wire::Study {
        run: run.id,
        node: run.node_name(at).to_owned(),
        metric: spec.metric.clone(),
        goal: goal.to_owned(),
        status: status.to_owned(),
        trials_total: spec.trials,
        trials: trials
            .map(|(number, trial)| self::trial(spec, cluster, number, trial))
            .collect(),
        incumbent: study.incumbent(spec.goal).map(|(number, _)| number),
    }
}

fn trial(
    spec: &dags::study::StudySpec,
    cluster: Option<&Cluster>,
    number: u32,
    trial: &manager_core::Trial,
) -> wire::Trial {
    let param = |(name, value): &(String, dags::study::ParamValue)| wire::Param {
        name: name.clone(),
        json: serde_json::to_string(value).expect("a parameter's value is a JSON scalar"),
    };
    let mut row = wire::Trial {
        number,
        params: trial.params.iter().map(param).collect(),
        default_params: spec
            .defaults()
            .is_some_and(|defaults| defaults == trial.params),
        ..wire::Trial::default()
    };
    let proc = cluster.and_then(|cluster| cluster.proc(number));
    if let (Some(cluster), Some(proc)) = (cluster, &proc) {
        row.job = JobId {
            cluster: cluster.id,
            proc: number,
        }
        .to_string();
        if let Some(ending) = proc.ending() {
            row.worker = ending.worker.to_string();
            row.started_ms = Some(ending.report.started_ms);
            row.ended_ms = Some(ending.report.ended_ms);
            row.metrics = ending.report.metrics.clone();
        } else if let ProcState::Running { worker, .. } = &proc.state {
            row.worker = worker.to_string();
            row.started_ms = Some(proc.since_ms);
        }
    }
    match &trial.state {
        TrialState::Pending => {
            let state = proc.map_or("Idle", |proc| proc.state.name());
            row.status = state.to_owned();
        }
        TrialState::Value(value) => {
            row.status = "Completed".to_owned();
            row.value = Some(*value);
        }
        TrialState::Failed { reason } | TrialState::Forgiven { reason } => {
            row.status = "Failed".to_owned();
            row.reason.clone_from(reason);
        }
    }
    row
}
