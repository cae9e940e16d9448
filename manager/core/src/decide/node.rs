//! A node's way: its PRE script, what it needs, its jobs or sub-DAG, its POST script, and what comes
//! of them. The part that ran last decides.

use dags::dag::{AbortOn, Failures, NodeKind, Role, Then};
use proto::nouns::{JobId, Now, VacateReason};

use crate::decide::report::{failure_of, return_code};
use crate::effect::Effect;
use crate::event::{Event, NodeEnd, Part, Soft, Works};
use crate::job::Cluster;
use crate::queue::Queue;
use crate::run::{Cut, Halt, NodeState, Run, RunState, ScriptKind, ScriptPhase, Turn};

/// DAGMan's codes for jobs that returned none of their own.
pub(crate) const NOT_SUBMITTED: i32 = -1001;
pub(crate) const REMOVED: i32 = -1002;
pub(crate) const PRE_FAILED: i32 = -1004;

/// Events and effects of one decision.
pub(crate) type Deeds = (Vec<Event>, Vec<Effect>);

/// How a part of a node ended.
#[derive(Clone, Debug)]
pub(crate) struct PartEnd {
    pub code: i32,
    /// Why it failed; nothing if it did not.
    pub failure: Option<String>,
    /// Whether trying once more could help.
    pub again: Again,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Perhaps,
    Hopeless,
}

impl PartEnd {
    pub(crate) fn well() -> PartEnd {
        PartEnd {
            code: 0,
            failure: None,
            again: Again::Perhaps,
        }
    }

    pub(crate) fn failed(code: i32, failure: String) -> PartEnd {
        PartEnd {
            code,
            failure: Some(failure),
            again: Again::Perhaps,
        }
    }
}

impl Queue {
    /// Lets the next node have its turn, if the run's limits allow it. Applying what this decides
    /// asks for the one after it.
    pub(crate) fn launch(&self, now: Now, id: u32) -> Deeds {
        let nothing = (Vec::new(), Vec::new());
        let Some(run) = self.runs.get(&id) else {
            return nothing;
        };
        if run.state != RunState::Running || run.brake() == Halt::Held {
            return nothing;
        }
        if let Some(node) = first(&run.turns.post).filter(|_| run.has_room(ScriptKind::Post)) {
            return self.start_script(id, node, ScriptKind::Post);
        }
        if run.brake() == Halt::Halted {
            return nothing;
        }
        if let Some(node) = first(&run.turns.pre).filter(|_| run.has_room(ScriptKind::Pre)) {
            let (mut events, effects) = self.start_script(id, node, ScriptKind::Pre);
            if run.nodes[node as usize].state == NodeState::Waiting {
                events.insert(0, Event::NodePre { run: id, node });
            }
            return (events, effects);
        }
        match self.next_to_start(run) {
            Some(node) => self.begin(now, id, node),
            None => nothing,
        }
    }

    /// The node whose turn it is to start: the first of those whose category has room.
    fn next_to_start(&self, run: &Run) -> Option<u32> {
        let heads = run.turns.start.iter().filter_map(|(category, turns)| {
            let limit = category.and_then(|category| run.category_limit(category));
            let busy = category.and_then(|category| run.turns.busy_in.get(&category));
            let has_room = limit.is_none_or(|limit| busy.copied().unwrap_or(0) < limit);
            turns.first().filter(|_| has_room)
        });
        let (_, _, node) = *heads.min()?;
        match run.role(node) {
            Role::Provisioner | Role::Service | Role::Final => return Some(node),
            Role::Normal => {}
        }
        let throttles = &run.throttles;
        if run.dag.nodes[node as usize].kind == NodeKind::Join {
            return Some(node);
        }
        if throttles.max_jobs > 0 && run.turns.busy >= throttles.max_jobs {
            return None;
        }
        if throttles.max_idle > 0 && self.idle_jobs(run) >= u64::from(throttles.max_idle) {
            return None;
        }
        Some(node)
    }

    /// Jobs of a run that wait for a worker.
    pub(crate) fn idle_jobs(&self, run: &Run) -> u64 {
        let nodes = run.turns.running.iter();
        let clusters = nodes.filter_map(|node| run.nodes[*node as usize].cluster);
        let clusters = clusters.filter_map(|cluster| self.clusters.get(&cluster));
        clusters
            .map(|cluster| u64::from(cluster.tally().idle))
            .sum()
    }

    /// Starts a node whose turn it is: fetches what it lacks, or puts its jobs into the queue.
    fn begin(&self, now: Now, id: u32, node: u32) -> Deeds {
        let run = &self.runs[&id];
        match run.dag.nodes[node as usize].kind {
            NodeKind::Join => (vec![self.node_done(id, node)], Vec::new()),
            NodeKind::Noop => {
                let works = Works::Nothing;
                let mut deeds = (
                    vec![Event::NodeStarted {
                        run: id,
                        node,
                        works,
                    }],
                    Vec::new(),
                );
                extend(&mut deeds, self.jobs_over(id, node, PartEnd::well()));
                deeds
            }
            NodeKind::Subdag { .. } => {
                let preparing = Event::NodePreparing { run: id, node };
                (
                    vec![preparing],
                    self.load_order(run, node).into_iter().collect(),
                )
            }
            NodeKind::Job { .. } => match self.collect_order(run, node) {
                Some(order) => (vec![Event::NodePreparing { run: id, node }], vec![order]),
                None => self.start_jobs(now, id, node),
            },
            NodeKind::Study { .. } => match run.nodes[node as usize].cluster {
                // A study that begins again keeps its cluster: trial n stays proc n.
                Some(cluster) => {
                    let works = Works::Cluster(cluster);
                    (
                        vec![Event::NodeStarted {
                            run: id,
                            node,
                            works,
                        }],
                        Vec::new(),
                    )
                }
                None => match self.collect_order(run, node) {
                    Some(order) => (vec![Event::NodePreparing { run: id, node }], vec![order]),
                    None => self.start_jobs(now, id, node),
                },
            },
        }
    }

    /// Whether a node's jobs, trials of it, or its sub-DAG ended.
    pub(crate) fn judge(&self, id: u32, node: u32) -> Deeds {
        let nothing = (Vec::new(), Vec::new());
        let Some(run) = self.runs.get(&id) else {
            return nothing;
        };
        let record = &run.nodes[node as usize];
        if run.state != RunState::Running || record.state != NodeState::Running {
            return nothing;
        }
        if let NodeKind::Subdag { .. } = run.dag.nodes[node as usize].kind {
            return match record.subrun.and_then(|subrun| self.runs.get(&subrun)) {
                Some(subrun) => self.judge_subrun(id, node, subrun),
                None => nothing,
            };
        }
        let Some(cluster) = record.cluster.and_then(|id| self.clusters.get(&id)) else {
            return nothing;
        };
        if self.is_study(id, node) {
            return (self.judge_trials(id, node, cluster), Vec::new());
        }
        self.judge_jobs(id, node, cluster)
    }

    fn judge_subrun(&self, id: u32, node: u32, subrun: &Run) -> Deeds {
        let Some(exit) = subrun.state.exit() else {
            return (Vec::new(), Vec::new());
        };
        let own = match self.runs[&id].is_late(node) {
            true => subrun.nodes.first().and_then(|job| job.returned),
            false => None,
        };
        let end = match exit {
            0 => PartEnd::well(),
            exit => PartEnd::failed(own.unwrap_or(i32::from(exit)), why_not_well(subrun)),
        };
        self.jobs_over(id, node, end)
    }

    fn judge_jobs(&self, id: u32, node: u32, cluster: &Cluster) -> Deeds {
        let failed = cluster.tally().failed + cluster.tally().removed;
        let tolerance = self.runs[&id].dag.nodes[node as usize].tolerance;
        let may = match tolerance.map(|tolerance| tolerance.failures) {
            None => 0,
            Some(Failures::Jobs(jobs)) => jobs,
            Some(Failures::Percent(percent)) => {
                let share = u64::from(cluster.count) * u64::from(percent) / 100;
                u32::try_from(share).unwrap_or(u32::MAX)
            }
        };
        let waits = tolerance.is_some_and(|tolerance| tolerance.then == Then::Wait);
        if !cluster.ended() {
            if failed <= may || waits {
                return (Vec::new(), Vec::new());
            }
            let reason = format!("{failed} of the node's jobs failed, and {may} may");
            return self.remove_jobs(cluster, &reason);
        }
        if failed <= may {
            return self.jobs_over(id, node, PartEnd::well());
        }
        let end = first_failure(cluster);
        self.jobs_over(id, node, end)
    }

    /// Removes what of a cluster is not over. What is being written is let go on.
    pub(crate) fn remove_jobs(&self, cluster: &Cluster, reason: &str) -> Deeds {
        let mut deeds = (Vec::new(), Vec::new());
        for proc in 0..cluster.count {
            let job = JobId {
                cluster: cluster.id,
                proc,
            };
            let record = cluster.procs.get(&proc);
            if record.is_some_and(|proc| proc.state.is_final() || proc.landing().is_some()) {
                continue;
            }
            let reason = reason.to_owned();
            deeds.0.push(Event::JobRemoved { job, reason });
            deeds.1.extend(self.ask_to_stop(job, VacateReason::Removed));
        }
        deeds
    }

    /// The node's jobs are over: its POST script runs, or that was all.
    pub(crate) fn jobs_over(&self, run: u32, node: u32, end: PartEnd) -> Deeds {
        let returned = Event::NodeReturned {
            run,
            node,
            part: Part::Jobs,
            code: end.code,
        };
        let post = &self.runs[&run].dag.nodes[node as usize].scripts.post;
        if post.is_some() {
            return (vec![returned, Event::NodePost { run, node }], Vec::new());
        }
        let mut deeds = match end.code {
            0 => (Vec::new(), Vec::new()),
            _ => (vec![returned], Vec::new()),
        };
        extend(&mut deeds, self.node_over(run, node, end));
        deeds
    }

    /// The PRE script ended with this code, and is not to be deferred.
    pub(crate) fn pre_over(&self, run: u32, node: u32, end: PartEnd) -> Deeds {
        let written = &self.runs[&run].dag.nodes[node as usize];
        let part = Part::Pre;
        let code = end.code;
        let mut deeds = (
            vec![Event::NodeReturned {
                run,
                node,
                part,
                code,
            }],
            Vec::new(),
        );
        let abort = written.abort_on.filter(|abort| abort.status == code);
        if written.pre_skip.is_some_and(|skip| skip == code) {
            deeds.0.push(self.node_done(run, node));
        } else if let (Some(abort), None) = (abort, &end.failure) {
            // Its jobs did not run: it is not done.
            extend(&mut deeds, self.abort(run, node, abort));
        } else if end.failure.is_none() {
            deeds.0.push(Event::NodeReady { run, node });
        } else if abort.is_some()
            || written.scripts.post.is_none()
            || !self.runs[&run].always_posts()
        {
            extend(&mut deeds, self.node_over(run, node, end));
        } else {
            let part = Part::Jobs;
            let code = PRE_FAILED;
            deeds.0.push(Event::NodeReturned {
                run,
                node,
                part,
                code,
            });
            deeds.0.push(Event::NodePost { run, node });
        }
        deeds
    }

    /// The last part of a node ended: its end is the node's.
    pub(crate) fn node_over(&self, id: u32, node: u32, end: PartEnd) -> Deeds {
        let run = &self.runs[&id];
        let PartEnd {
            code,
            failure,
            again,
        } = end;
        if let Some(abort) = run.abort_on(node).filter(|abort| abort.status == code) {
            let ended = match failure {
                None => vec![self.node_done(id, node)],
                Some(reason) => self.node_failed(id, node, reason),
            };
            let mut deeds = (ended, Vec::new());
            extend(&mut deeds, self.abort(id, node, abort));
            return deeds;
        }
        match failure {
            None => (vec![self.node_done(id, node)], Vec::new()),
            Some(reason) => {
                let hopeless =
                    again == Again::Hopeless && run.dag.nodes[node as usize].scripts.pre.is_none();
                match hopeless {
                    true => (self.node_failed(id, node, reason), Vec::new()),
                    false => (self.retry_or_fail(id, node, reason, code), Vec::new()),
                }
            }
        }
    }

    /// Ends the run because of what a node returned.
    fn abort(&self, run: u32, node: u32, abort: AbortOn) -> Deeds {
        let of_node = || u8::try_from(abort.status).unwrap_or(1);
        let exit = abort.exit.unwrap_or_else(of_node);
        self.cut(run, &Cut::Aborted { node, exit })
    }

    /// A node failed: all of it runs again, or its descendants are futile.
    pub(crate) fn retry_or_fail(
        &self,
        id: u32,
        node: u32,
        reason: String,
        code: i32,
    ) -> Vec<Event> {
        let run = &self.runs[&id];
        let unless = run.dag.nodes[node as usize].retry_unless_exit == Some(code);
        let left = run.nodes[node as usize].retries < run.retries_of(node);
        if left && !unless && run.cut.is_none() {
            return vec![Event::NodeRetried {
                run: id,
                node,
                reason,
            }];
        }
        self.node_failed(id, node, reason)
    }

    pub(crate) fn node_done(&self, run: u32, node: u32) -> Event {
        let end = NodeEnd::Done;
        Event::NodeEnded { run, node, end }
    }

    pub(crate) fn node_failed(&self, id: u32, node: u32, reason: String) -> Vec<Event> {
        let run = &self.runs[&id];
        let end = NodeEnd::Failed { reason };
        let mut events = vec![Event::NodeEnded { run: id, node, end }];
        let nodes = run.waiting_descendants(node);
        if !nodes.is_empty() {
            events.push(Event::NodesFutile { run: id, nodes });
        }
        if run.role(node) == Role::Provisioner && !run.provisioned {
            // Nobody else can start without it.
            let waiting = (0..).zip(&run.nodes).filter(|(at, record)| {
                record.state == NodeState::Waiting && run.role(*at) == Role::Normal
            });
            let nodes: Vec<u32> = waiting.map(|(at, _)| at).collect();
            if !nodes.is_empty() {
                events.push(Event::NodesFutile { run: id, nodes });
            }
        }
        events
    }

    /// A job of a node was held: its HOLD script runs, and after too many holds its jobs are
    /// removed.
    pub(crate) fn held(&self, id: u32, node: u32) -> Deeds {
        let nothing = (Vec::new(), Vec::new());
        let Some(run) = self.runs.get(&id) else {
            return nothing;
        };
        let record = &run.nodes[node as usize];
        if run.state != RunState::Running || record.state != NodeState::Running {
            return nothing;
        }
        let max = run.dag.settings.max_job_holds;
        let cluster = record.cluster.and_then(|id| self.clusters.get(&id));
        if let Some(cluster) = cluster.filter(|_| max > 0 && record.holds >= max) {
            let reason = format!("its jobs were held {max} times (DAGMAN_MAX_JOB_HOLDS)");
            return self.remove_jobs(cluster, &reason);
        }
        let kind = ScriptKind::Hold;
        match run.scripts.get(&(kind, node)) {
            Some(ScriptPhase::Running | ScriptPhase::Deferred { .. }) => return nothing,
            Some(ScriptPhase::Waiting) | None => {}
        }
        if run.script(node, kind).is_none() {
            return nothing;
        }
        if !run.has_room(kind) {
            let waits = Event::Soft(Soft::ScriptWaits {
                run: id,
                node,
                kind,
            });
            return (vec![waits], Vec::new());
        }
        self.start_script(id, node, kind)
    }
}

impl Run {
    /// Whether a node's POST script runs after a PRE script that failed.
    fn always_posts(&self) -> bool {
        self.dag.settings.always_run_post
    }
}

fn first(turns: &std::collections::BTreeSet<Turn>) -> Option<u32> {
    turns.first().map(|(_, _, node)| *node)
}

pub(crate) fn extend(deeds: &mut Deeds, more: Deeds) {
    deeds.0.extend(more.0);
    deeds.1.extend(more.1);
}

/// Why a sub-DAG did not do well, with its first failure: that of a node in a deeper one has come
/// up here already.
fn why_not_well(subrun: &Run) -> String {
    let (id, state) = (subrun.id, subrun.state.name().to_lowercase());
    let mut nodes = (0..).zip(&subrun.nodes);
    let failed = nodes.find_map(|(at, record)| match &record.state {
        NodeState::Failed { reason } => Some((subrun.node_name(at), reason)),
        NodeState::Waiting
        | NodeState::Pre
        | NodeState::Ready
        | NodeState::Preparing
        | NodeState::Running
        | NodeState::Post
        | NodeState::Done
        | NodeState::Futile => None,
    });
    match failed {
        Some((name, reason)) => format!("its DAG run {id} {state}: {name} failed: {reason}"),
        None => format!("its DAG run {id} {state}"),
    }
}

/// The job of a cluster that failed first, by itself where there is one.
fn first_failure(cluster: &Cluster) -> PartEnd {
    let failed = cluster.procs.iter().filter_map(|(proc, record)| {
        let reason = failure_of(&record.state)?;
        let removed = record.ending().is_none();
        Some(((removed, record.since_ms, *proc), reason, record))
    });
    let Some(((removed, _, proc), reason, record)) = failed.min_by_key(|(key, _, _)| *key) else {
        return PartEnd::failed(REMOVED, "its jobs were removed".to_owned());
    };
    let job = JobId {
        cluster: cluster.id,
        proc,
    };
    let hopeless = removed && record.unfit && record.attempts == 0;
    PartEnd {
        code: match hopeless {
            true => NOT_SUBMITTED,
            false => return_code(record),
        },
        failure: Some(format!("job {job} {reason}")),
        again: match hopeless {
            true => Again::Hopeless,
            false => Again::Perhaps,
        },
    }
}
