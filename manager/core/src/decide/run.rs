//! DAG runs as a whole: their beginning, sub-DAGs, their end, and what people ask of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::dag::{Dag, NodeKind, Role};
use dags::diagnostic::did_you_mean;
use proto::nouns::{Blob, JobId, Now};

use crate::carry::Carried;
use crate::command::{Loaded, NewRun, Refusal, Reply, Steer, ThrottleChange};
use crate::decide::Decision;
use crate::decide::node::{Deeds, NOT_SUBMITTED, PartEnd, extend};
use crate::decide::submit::room_for;
use crate::effect::Effect;
use crate::event::{Event, Outcome, QueuedRun, Subdags, Works};
use crate::plan::{Plan, PlanKind};
use crate::queue::Queue;
use crate::run::{Cut, Halt, NodeState, Run, RunState, ScriptKind, ScriptPhase};
use crate::workspace::{Delivery, Workspace};

/// Sub-DAGs in sub-DAGs; beyond it there is a file that includes itself.
pub const SUBDAG_DEPTH_MAX: u32 = 16;

/// A DAG.
pub(super) fn submit(queue: &Queue, now: Now, new: NewRun) -> Result<Decision, Refusal> {
    if let Some(&id) = queue.submit_keys.get(&new.key) {
        return Ok(Decision::new(Vec::new()).reply(Reply::Submitted { id }));
    }
    room_for(queue, new.dag.named().len() as u64)?;
    let carried = match new.continues {
        Some(old) => queue.carried(old, &new)?,
        None => Carried::default(),
    };
    let id = queue.meta.next_id;
    let mut files = carried.files;
    files.extend(new.files);
    let workspace = Workspace {
        directory: new.directory,
        delivery: new.delivery,
        files,
    };
    let mut run = Run::new(id, new.owner, now.wall_ms, new.digest, new.dag);
    run.environment = environment(&run.dag, new.environment);
    if let Some(old) = new.continues.and_then(|old| queue.runs.get(&old)) {
        run.take_over(old, carried.nodes);
    }
    let event = Event::RunQueued(Box::new(QueuedRun {
        run,
        workspace: Some(workspace),
        key: Some(new.key),
    }));
    Ok(Decision::new(vec![event]).reply(Reply::Submitted { id }))
}

/// What the scripts of a run find in their environment: the submitter's values, then `ENV SET`.
fn environment(dag: &Dag, given: BTreeMap<String, String>) -> Vec<(String, String)> {
    let wanted = |name: &String| dag.environment.get.contains(name);
    let mut values: BTreeMap<String, String> = given;
    values.retain(|name, _| wanted(name));
    values.extend(dag.environment.set.iter().cloned());
    values.into_iter().collect()
}

/// A sub-DAG was read: it joins the queue as a run of its own, or goes on where it stopped.
pub(super) fn loaded(
    queue: &Queue,
    now: Now,
    id: u32,
    node: u32,
    dag: Result<Loaded, String>,
) -> Decision {
    let Some(run) = queue.preparing(id, node) else {
        return Decision::new(Vec::new());
    };
    let deeds = match dag.and_then(|loaded| queue.subrun(now, run, node, loaded)) {
        Ok(events) => (events, Vec::new()),
        Err(reason) => queue.jobs_over(id, node, PartEnd::failed(NOT_SUBMITTED, reason)),
    };
    Decision {
        effects: deeds.1,
        ..Decision::new(deeds.0)
    }
}

/// Files that a node's jobs want were taken in.
pub(super) fn collected(
    queue: &Queue,
    now: Now,
    id: u32,
    node: u32,
    files: Result<BTreeMap<String, Blob>, String>,
) -> Decision {
    let Some(run) = queue.preparing(id, node) else {
        return Decision::new(Vec::new());
    };
    let mut deeds = (Vec::new(), Vec::new());
    match files {
        Ok(files) => {
            let home = run.home;
            deeds.0.push(Event::FilesAdded { home, files });
            extend(&mut deeds, queue.start_jobs(now, id, node));
        }
        Err(reason) => {
            let end = PartEnd::failed(NOT_SUBMITTED, reason);
            extend(&mut deeds, queue.jobs_over(id, node, end));
        }
    }
    Decision {
        effects: deeds.1,
        ..Decision::new(deeds.0)
    }
}

/// What somebody asks of a run.
pub(super) fn steer(queue: &Queue, id: u32, request: Steer) -> Result<Decision, Refusal> {
    let run = queue.run(id)?;
    match request {
        Steer::Halt => halt(queue, run),
        Steer::Throttle(change) => throttle(run, &change),
        Steer::Resume | Steer::Retry { .. } | Steer::Rerun { .. } => {
            let plan = queue.plan(id, &request)?;
            Ok(carry_out(queue, run, &plan))
        }
    }
}

fn halt(queue: &Queue, run: &Run) -> Result<Decision, Refusal> {
    if run.state != RunState::Running || run.halt != Halt::Open {
        let reason = match run.state {
            RunState::Running if run.halt == Halt::Held => "it is held".to_owned(),
            RunState::Running => "it is halted already".to_owned(),
            state => format!("it is {}", state.name().to_lowercase()),
        };
        let act = "halted";
        return Err(Refusal::NotNow {
            run: run.id,
            act,
            reason,
        });
    }
    let events: Vec<Event> = queue
        .family(run.id)
        .filter(|run| run.state == RunState::Running && run.halt == Halt::Open)
        .map(|run| Event::RunHalted {
            run: run.id,
            halt: Halt::Halted,
        })
        .collect();
    let changed = events.len() as u64;
    Ok(Decision::new(events).reply(Reply::Acted { changed }))
}

fn throttle(run: &Run, change: &ThrottleChange) -> Result<Decision, Refusal> {
    let old = run.throttles;
    let throttles = dags::dag::Throttles {
        max_jobs: change.max_jobs.unwrap_or(old.max_jobs),
        max_idle: change.max_idle.unwrap_or(old.max_idle),
        max_pre: change.max_pre.unwrap_or(old.max_pre),
        max_post: change.max_post.unwrap_or(old.max_post),
        max_hold: change.max_hold.unwrap_or(old.max_hold),
    };
    let mut limits = run.limits.clone();
    limits.resize(run.dag.categories.len(), None);
    for (name, limit) in &change.categories {
        let known = run.dag.categories.iter();
        let Some(at) = known.clone().position(|category| category.name == *name) else {
            let known = known.map(|category| category.name.as_str());
            return Err(Refusal::UnknownCategory {
                run: run.id,
                category: name.clone(),
                likely: did_you_mean(name, known).map(str::to_owned),
            });
        };
        limits[at] = Some(match limit {
            0 => u32::MAX,
            limit => *limit,
        });
    }
    let changed = 1;
    let run = run.id;
    let events = vec![Event::RunThrottled {
        run,
        throttles,
        limits,
    }];
    Ok(Decision::new(events).reply(Reply::Acted { changed }))
}

/// What a plan says.
fn carry_out(queue: &Queue, run: &Run, plan: &Plan) -> Decision {
    let mut events = Vec::new();
    if run.state != RunState::Running {
        events.push(Event::RunResumed { run: run.id });
    } else if plan.kind == PlanKind::Resume {
        let halted = |run: &&Run| run.state == RunState::Running && run.halt != Halt::Open;
        events.extend(queue.family(run.id).filter(halted).map(|run| {
            let halt = Halt::Open;
            Event::RunHalted { run: run.id, halt }
        }));
    }
    let nodes: Vec<u32> = plan.resets.clone();
    if !nodes.is_empty() {
        events.push(Event::NodesReset {
            run: run.id,
            nodes,
            subdags: match plan.kind {
                PlanKind::Resume | PlanKind::Retry | PlanKind::Changed => Subdags::Resume,
                PlanKind::Rerun => Subdags::Anew,
            },
        });
    }
    let changed = plan.again.len() as u64;
    Decision::new(events).reply(Reply::Acted { changed })
}

impl Queue {
    /// The run of a node that waits for what it needs.
    fn preparing(&self, id: u32, node: u32) -> Option<&Run> {
        let run = self.runs.get(&id)?;
        let record = run.nodes.get(node as usize)?;
        let waits = run.state == RunState::Running && record.state == NodeState::Preparing;
        waits.then_some(run)
    }

    fn is_running(&self, id: u32) -> bool {
        let run = self.runs.get(&id);
        run.is_some_and(|run| run.state == RunState::Running)
    }

    /// A run by its number.
    pub(crate) fn run(&self, id: u32) -> Result<&Run, Refusal> {
        let subject = proto::nouns::Subject::Whole(id);
        self.runs.get(&id).ok_or(Refusal::Unknown { subject })
    }

    /// A run and all its sub-DAGs, and theirs.
    pub fn family(&self, id: u32) -> impl Iterator<Item = &Run> {
        // A sub-DAG is younger than the run it belongs to.
        let mut members = std::collections::BTreeSet::from([id]);
        self.runs
            .range(id..)
            .map(|(_, run)| run)
            .filter(move |run| {
                let child = run
                    .parent
                    .is_some_and(|(parent, _)| members.contains(&parent));
                if child {
                    members.insert(run.id);
                }
                child || run.id == id
            })
    }

    /// The events by which a sub-DAG starts.
    fn subrun(&self, now: Now, run: &Run, node: u32, loaded: Loaded) -> Result<Vec<Event>, String> {
        let id = run.id;
        let earlier = run.nodes[node as usize].subrun;
        let earlier = earlier.and_then(|id| self.runs.get(&id));
        // A late job is begun anew each time, as any job is.
        let earlier = earlier.filter(|old| old.stopped_early() && !run.is_late(node));
        if let Some(old) = earlier.filter(|old| old.digest == loaded.digest) {
            let works = Works::Subrun(old.id);
            return Ok(vec![
                Event::RunResumed { run: old.id },
                Event::RunHalted {
                    run: old.id,
                    halt: run.halt,
                },
                Event::NodesReset {
                    run: old.id,
                    nodes: not_done(old),
                    subdags: Subdags::Resume,
                },
                Event::NodeStarted {
                    run: id,
                    node,
                    works,
                },
            ]);
        }
        if self.depth(run) >= SUBDAG_DEPTH_MAX {
            return Err(format!(
                "sub-DAGs nest at most {SUBDAG_DEPTH_MAX} deep (SUBDAG_DEPTH_MAX)"
            ));
        }
        room_for(self, loaded.dag.named().len() as u64).map_err(|refusal| refusal.to_string())?;
        let subrun = self.meta.next_id;
        let written = &run.dag.nodes[node as usize];
        let mut new = Run::new(
            subrun,
            run.owner.clone(),
            now.wall_ms,
            loaded.digest,
            Arc::clone(&loaded.dag),
        );
        new.parent = Some((id, node));
        new.home = run.home;
        new.priority = run.priority.saturating_add(written.priority);
        new.given.clone_from(&run.given);
        if run.is_late(node) {
            let all = self.node_macros(id, node);
            let all = all
                .iter()
                .map(|own| (own.name.to_string(), own.value.to_string()));
            new.given = all
                .filter(|(name, _)| !name.contains('.') || name.starts_with("best."))
                .collect();
            new.nodes[0].retries = run.nodes[node as usize].retries;
        } else {
            new.given.extend(written.vars.iter().cloned());
        }
        new.environment.clone_from(&run.environment);
        new.environment.extend(new.dag.environment.set.clone());
        new.halt = run.halt;
        // Turns go by priority.
        new.derive_turns();
        if let Some(old) = earlier {
            let same = self.same_nodes(old, &unsent(&new));
            new.take_over(old, same);
        }
        let works = Works::Subrun(subrun);
        Ok(vec![
            Event::RunQueued(Box::new(QueuedRun {
                run: new,
                workspace: None,
                key: None,
            })),
            Event::NodeStarted {
                run: id,
                node,
                works,
            },
        ])
    }

    fn depth(&self, run: &Run) -> u32 {
        let above = |run: &Run| run.parent.and_then(|(parent, _)| self.runs.get(&parent));
        let chain = std::iter::successors(above(run), |run| above(run));
        u32::try_from(chain.count()).unwrap_or(u32::MAX)
    }

    /// Ends a run before its nodes end: what is under way of it and its sub-DAGs is stopped.
    pub(crate) fn cut(&self, id: u32, cut: &Cut) -> Deeds {
        let mut deeds: Deeds = (Vec::new(), Vec::new());
        let running = self.family(id).filter(|run| run.state == RunState::Running);
        let running: Vec<&Run> = running.collect();
        for run in &running {
            for (&(kind, node), phase) in &run.scripts {
                if *phase == ScriptPhase::Running {
                    let run = run.id;
                    deeds.1.push(Effect::StopScript { run, node, kind });
                }
            }
            let cut = match run.id == id {
                true => cut.clone(),
                false => Cut::Removed {
                    reason: format!("DAG run {id} ends"),
                },
            };
            deeds.0.push(Event::RunCut { run: run.id, cut });
        }
        for run in running {
            let clusters = run.nodes.iter().filter(|node| node.state.is_under_way());
            for cluster in clusters.filter_map(|node| self.clusters.get(&node.cluster?)) {
                extend(&mut deeds, self.remove_jobs(cluster, "its DAG run ends"));
            }
            if let Some(last) = run.last_under_way() {
                let reason = "it was stopped while it ran".to_owned();
                deeds.0.extend(self.node_failed(run.id, last, reason));
            }
        }
        deeds
    }

    /// Ends a FINAL node that is under way.
    fn stop_last(&self, run: &Run, last: u32, reason: &str) -> Deeds {
        let mut deeds: Deeds = (Vec::new(), self.stop_scripts(run, last));
        let record = &run.nodes[last as usize];
        if let Some(cluster) = record.cluster.and_then(|id| self.clusters.get(&id)) {
            extend(&mut deeds, self.remove_jobs(cluster, reason));
        }
        let reason = format!("it was removed: {reason}");
        deeds.0.extend(self.node_failed(run.id, last, reason));
        deeds
    }

    fn stop_scripts(&self, run: &Run, node: u32) -> Vec<Effect> {
        let kinds = [ScriptKind::Pre, ScriptKind::Post, ScriptKind::Hold];
        let asked = kinds
            .into_iter()
            .filter(|kind| run.scripts.contains_key(&(*kind, node)));
        let run = run.id;
        asked
            .map(|kind| Effect::StopScript { run, node, kind })
            .collect()
    }

    /// Whether a run is over.
    pub(crate) fn close(&self, id: u32) -> Deeds {
        let nothing = (Vec::new(), Vec::new());
        let Some(run) = self.runs.get(&id) else {
            return nothing;
        };
        if run.state != RunState::Running || (run.counts().open > 0 && run.cut.is_none()) {
            return nothing;
        }
        let last = run.roles.last.map(|last| &run.nodes[last as usize].state);
        if last.is_some_and(|last| !last.is_final()) {
            return nothing;
        }
        // FINAL nodes of sub-DAGs belong to what ends.
        let mut subruns = run.nodes.iter().filter_map(|node| node.subrun);
        if subruns.any(|id| self.is_running(id)) {
            return nothing;
        }
        let mut deeds: Deeds = (Vec::new(), Vec::new());
        for service in &run.roles.services {
            extend(&mut deeds, self.end_service(run, *service));
        }
        let failed = match last {
            Some(last) => *last != NodeState::Done,
            None => run.counts().failures > 0,
        };
        let outcome = match (&run.cut, last.is_some()) {
            (Some(Cut::Aborted { exit: 0, .. }), false) => Outcome::Completed,
            (Some(Cut::Aborted { exit, .. }), false) => Outcome::Failed { exit: *exit },
            (Some(Cut::Removed { .. }), false) => Outcome::Removed,
            (Some(Cut::Aborted { .. } | Cut::Removed { .. }) | None, _) => match failed {
                true => Outcome::Failed { exit: 1 },
                false => Outcome::Completed,
            },
        };
        deeds.0.push(Event::RunEnded { run: id, outcome });
        deeds
    }

    /// A service ends with its run.
    fn end_service(&self, run: &Run, node: u32) -> Deeds {
        let record = &run.nodes[node as usize];
        if record.state.is_final() {
            return (Vec::new(), Vec::new());
        }
        let mut deeds = (vec![self.node_done(run.id, node)], Vec::new());
        if let Some(cluster) = record.cluster.and_then(|id| self.clusters.get(&id)) {
            extend(&mut deeds, self.remove_jobs(cluster, "its DAG run ends"));
        }
        deeds.1.extend(self.stop_scripts(run, node));
        deeds
    }

    /// What a job's lines of metrics mean to its run: that its provisioner is ready.
    pub(crate) fn provisioned(&self, job: JobId, lines: &[String]) -> Option<Event> {
        let (id, node) = self.clusters.get(&job.cluster)?.node()?;
        let run = self.runs.get(&id)?;
        if run.provisioned || run.role(node) != Role::Provisioner {
            return None;
        }
        let state = |line: &String| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line.get("ProvisionerState")?.as_f64()
        };
        let ready = lines
            .iter()
            .filter_map(state)
            .any(|state| state >= PROVISIONED);
        ready.then_some(Event::RunProvisioned { run: id })
    }

    /// The files that a node's jobs take as input, as the workspace calls them.
    pub(crate) fn inputs_of(&self, run: &Run, node: u32) -> std::collections::BTreeSet<String> {
        let mut found = std::collections::BTreeSet::new();
        let written = &run.dag.nodes[node as usize];
        let (NodeKind::Job { .. } | NodeKind::Study { .. }, Some(submit)) =
            (&written.kind, run.dag.submit_of(node))
        else {
            return found;
        };
        let mut macros = self.node_macros(run.id, node);
        for (name, value) in run
            .dag
            .study_of(node)
            .into_iter()
            .flat_map(|spec| spec.sample())
        {
            macros.insert(&name, value);
        }
        let Ok(items) = submit.procs(&macros) else {
            return found;
        };
        for proc in 0..u32::try_from(items.len()).unwrap_or(u32::MAX) {
            let Ok(spec) = submit.expand(&macros, 0, proc, items.row(proc)) else {
                break;
            };
            found.extend(crate::order::input_paths(&written.dir, &spec));
        }
        found
    }

    /// The events and effects of `hold` and `release` for whole runs, besides those of their jobs.
    pub(crate) fn hold_run(&self, id: u32, halt: Halt) -> Vec<Event> {
        let changes = |run: &&Run| match (run.state, halt) {
            (RunState::Running, Halt::Held) => run.halt != Halt::Held,
            (RunState::Running, Halt::Open | Halt::Halted) => run.halt == Halt::Held,
            (
                RunState::Completed { .. } | RunState::Failed { .. } | RunState::Removed { .. },
                _,
            ) => false,
        };
        let events = self.family(id).filter(changes);
        events
            .map(|run| Event::RunHalted { run: run.id, halt })
            .collect()
    }

    /// Removes a run with everything of it.
    pub(crate) fn remove_run(&self, id: u32, reason: &str) -> Deeds {
        let run = &self.runs[&id];
        if run.state != RunState::Running {
            return (Vec::new(), Vec::new());
        }
        // Removed once more while FINAL nodes run, its own or those of its sub-DAGs: they end, too.
        let mut deeds = (Vec::new(), Vec::new());
        let members = self.family(id);
        for run in members.filter(|run| run.state == RunState::Running && run.cut.is_some()) {
            if let Some(last) = run.last_under_way() {
                extend(&mut deeds, self.stop_last(run, last, reason));
            }
        }
        let removed = matches!(run.cut, Some(Cut::Removed { .. }));
        if removed || !deeds.0.is_empty() {
            return deeds;
        }
        let reason = reason.to_owned();
        self.cut(id, &Cut::Removed { reason })
    }
}

/// `ProvisionerState` of a provisioner that is ready: HTCondor's PROVISIONING_COMPLETE.
const PROVISIONED: f64 = 2.0;

impl Run {
    /// Takes over nodes of an old run that are done; by their numbers here and there.
    fn take_over(&mut self, old: &Run, nodes: BTreeMap<u32, u32>) {
        for (node, before) in nodes {
            self.nodes[node as usize] = old.nodes[before as usize].clone();
            if let Some(study) = old.studies.get(&before) {
                self.studies.insert(node, study.clone());
            }
        }
        // What the others came to ask for, they ask for again.
        for (record, node) in self.nodes.iter_mut().zip(self.dag.named()) {
            let before = old.dag.node_named(&node.name);
            let raised = before.map(|before| old.nodes[before as usize].raised);
            record.raised = record.raised.or(raised.unwrap_or_default());
        }
        self.derive();
    }

    /// Whether it ended before it did what it should have done, so that it may go on.
    fn stopped_early(&self) -> bool {
        match self.state {
            RunState::Running => false,
            RunState::Failed { .. } | RunState::Removed { .. } => true,
            // The FINAL node of a run that was removed may do well.
            RunState::Completed { .. } => matches!(self.cut, Some(Cut::Removed { .. })),
        }
    }
}

/// A run as if somebody had submitted it without a file: what its files are is no question.
fn unsent(run: &Run) -> NewRun {
    NewRun {
        key: String::new(),
        owner: run.owner.clone(),
        dag: Arc::clone(&run.dag),
        digest: run.digest.clone(),
        environment: BTreeMap::new(),
        continues: None,
        directory: String::new(),
        delivery: Delivery::Write,
        files: BTreeMap::new(),
        subdags: BTreeMap::new(),
    }
}

/// The nodes that run when a run goes on: those that are not done, and the FINAL node.
pub(crate) fn not_done(run: &Run) -> Vec<u32> {
    let nodes = (0..).zip(&run.nodes);
    nodes
        .filter(|(at, record)| record.state != NodeState::Done || run.roles.last == Some(*at))
        .map(|(at, _)| at)
        .collect()
}
