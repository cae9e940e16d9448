//! What a run and its jobs tell people in files: user logs, the `JOBSTATE_LOG`, save points, and
//! the pictures of a run that are written again and again. Collects what the events of a turn say;
//! [`Queue::finish_turn`] hands it out as [`Effect::Write`]. Changes nothing that is durable, and
//! opens no file.
//!
//! Nothing is written where the submitter's files are kept as blobs: his directory is on another
//! machine.

use std::collections::{BTreeMap, BTreeSet};

use dags::dag::NodeKind;
use dags::dag::rescue::Kind;
use proto::nouns::{Now, join_path};

use crate::effect::{Effect, Write, Writing};
use crate::event::Event;
use crate::job::{Cluster, Logs, Proc, Source};
use crate::queue::Queue;
use crate::run::{NodeState, Run, RunState};
use crate::user_log::LocalTime;
use crate::workspace::Delivery;

mod again;
mod job_log;
mod jobstate;
mod moment;
mod papers;
mod picture;
mod rescue;
mod status;

/// What is to be written at the end of the turn, and which runs' papers are out of date.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chronicle {
    drafts: Vec<Writing>,
    /// Where among the drafts a file is that is appended to, by home and path.
    appended: BTreeMap<(u32, String), usize>,
    /// Runs with a paper that is not up to date, or is written in any case.
    stale: BTreeSet<u32>,
    /// Seconds east of UTC of the manager's wall clock.
    offset_s: i32,
}

/// What an event's telling needs to know of the time before it.
#[derive(Clone, Debug)]
pub(crate) enum Before {
    Nothing,
    /// The job's record, if something had happened to it.
    Job(Option<Box<Proc>>),
    Node(Was),
}

/// Where a node was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    Waiting,
    Pre,
    /// Between its scripts.
    Active,
    Post,
    Over,
}

impl Queue {
    /// Says how far the manager's wall clock is from UTC, in seconds east of it: user logs have
    /// local times. Nothing durable depends on it.
    pub fn set_log_offset(&mut self, offset_s: i32) {
        self.chronicle.offset_s = offset_s;
    }

    /// What has to be remembered of the state before an event is applied.
    pub(crate) fn before(&self, event: &Event) -> Before {
        if let Some(job) = event.job() {
            return match self.is_told(job.cluster) {
                true => Before::Job(self.touched(job).cloned().map(Box::new)),
                false => Before::Nothing,
            };
        }
        let (Event::NodePre { run, node }
        | Event::NodePreparing { run, node }
        | Event::NodeStarted { run, node, .. }
        | Event::NodeEnded { run, node, .. }) = event
        else {
            return Before::Nothing;
        };
        let run = self.runs.get(run);
        match run.and_then(|run| run.nodes.get(*node as usize)) {
            Some(node) => Before::Node(Was::of(&node.state)),
            None => Before::Nothing,
        }
    }

    /// Notes down what an event that was just applied says.
    pub(crate) fn tell(&mut self, now: Now, event: &Event, before: &Before) {
        if let Event::RunQueued(queued) = event {
            self.draw_first(now, queued.run.id);
        }
        if let Event::RunResumed { run } = event {
            self.draw_first(now, *run);
        }
        if let Event::NodePre { run, node }
        | Event::NodePreparing { run, node }
        | Event::NodeStarted { run, node, .. } = event
        {
            self.save_point(now, *run, *node, before);
        }
        self.tell_jobs(now, event, before);
        self.tell_node(now, event, before);
        self.tell_jobstate(now, event, before);
        if let Some(job) = event.job()
            && let Some((run, _)) = self.clusters.get(&job.cluster).and_then(Cluster::node)
        {
            self.outdate(run);
        }
    }

    /// After a restart: every run that goes on may have papers that miss the last turn.
    pub(crate) fn take_up(&mut self, now: Now) {
        let running = self.runs.values();
        let running = running.filter(|run| run.state == RunState::Running);
        let ids: Vec<u32> = running.map(|run| run.id).collect();
        self.tell_again();
        for id in ids {
            self.outdate(id);
            self.tell_recovery(now, id);
        }
    }

    /// What the turn has to say, in order.
    pub(crate) fn publish(&mut self, now: Now) -> Vec<Effect> {
        self.write_papers(now);
        self.chronicle.appended.clear();
        let drafts = std::mem::take(&mut self.chronicle.drafts).into_iter();
        drafts.map(|draft| Effect::Write(Box::new(draft))).collect()
    }

    /// Whether a description or the macros around it may name a user log.
    pub(crate) fn logs(&self, cluster: &Cluster) -> Logs {
        let named = cluster.macros.get("log").is_some();
        match named || self.submit_of(cluster).may_assign(&["log"]) {
            true => Logs::Perhaps,
            false => Logs::Never,
        }
    }

    /// Whether anything is written about a cluster's jobs.
    fn is_told(&self, cluster: u32) -> bool {
        self.clusters.get(&cluster).is_some_and(|cluster| {
            let run = cluster.node().and_then(|(run, _)| self.runs.get(&run));
            cluster.logs == Logs::Perhaps || run.is_some_and(Run::has_jobstate_log)
        })
    }

    /// Adds to a file of a submission, given relative to its directory.
    fn append(&mut self, home: u32, path: String, text: &str) {
        if path == "/dev/null" || text.is_empty() {
            return;
        }
        let Some(directory) = self.written_directory(home) else {
            return;
        };
        let known = self.chronicle.appended.get(&(home, path.clone()));
        if let Some(draft) = known.and_then(|at| self.chronicle.drafts.get_mut(*at))
            && let Write::Append(bytes) = &mut draft.how
        {
            bytes.extend_from_slice(text.as_bytes());
            return;
        }
        let at = self.chronicle.drafts.len();
        self.chronicle.appended.insert((home, path.clone()), at);
        self.chronicle.drafts.push(Writing {
            directory,
            path,
            how: Write::Append(text.as_bytes().to_vec()),
        });
    }

    /// Writes a file of a run, given relative to its DAG's directory.
    fn write_file(&mut self, run: u32, path: &str, how: Write) {
        let Some(run) = self.runs.get(&run) else {
            return;
        };
        let path = join_path(&run.dag.dir, path);
        if let Some(directory) = self.written_directory(run.home) {
            self.chronicle.drafts.push(Writing {
                directory,
                path,
                how,
            });
        }
    }

    /// The directory of a submission, where it is on this machine.
    fn written_directory(&self, home: u32) -> Option<String> {
        let workspace = self.workspaces.get(&home)?;
        match workspace.delivery {
            Delivery::Write => Some(workspace.directory.clone()),
            Delivery::Keep => None,
        }
    }

    fn local(&self, now: Now) -> LocalTime {
        let unix_ms = i64::try_from(now.wall_ms).unwrap_or(i64::MAX);
        LocalTime::of(unix_ms, self.chronicle.offset_s)
    }

    /// A node that starts for the first time in its run may have the run's progress saved.
    fn save_point(&mut self, now: Now, id: u32, node: u32, before: &Before) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let written = &run.dag.nodes[node as usize];
        let first = run.nodes[node as usize].attempts == 1;
        let starts = matches!(before, Before::Node(Was::Waiting));
        let Some(path) = written.save_point.clone().filter(|_| first && starts) else {
            return;
        };
        let text = rescue::text(run, now, Kind::SavePoint(&written.name));
        self.write_file(id, &path, Write::KeepOld(text.into_bytes()));
    }

    /// The rescue file of a run as it stands; nothing for a number that no run has.
    pub fn rescue_text(&self, now: Now, run: u32) -> Option<String> {
        let run = self.runs.get(&run)?;
        Some(rescue::text(run, now, Kind::Rescue))
    }
}

// === impl Was ===

impl Was {
    fn of(state: &NodeState) -> Was {
        match state {
            NodeState::Waiting => Was::Waiting,
            NodeState::Pre => Was::Pre,
            NodeState::Ready | NodeState::Preparing | NodeState::Running => Was::Active,
            NodeState::Post => Was::Post,
            NodeState::Done | NodeState::Failed { .. } | NodeState::Futile => Was::Over,
        }
    }
}

// === impl Run ===

impl Run {
    fn has_jobstate_log(&self) -> bool {
        self.dag.papers.jobstate_log.is_some()
    }

    fn is_join(&self, node: u32) -> bool {
        self.dag.nodes[node as usize].kind == NodeKind::Join
    }
}

// === impl Cluster ===

impl Cluster {
    fn is_study(&self) -> bool {
        matches!(self.source, Source::Study { .. })
    }

    /// Whether its jobs are told of only once a worker gets them.
    fn is_told_late(&self) -> bool {
        self.count > moment::SUBMITS_MAX && !self.is_study()
    }
}
