//! Scripts of nodes: which are run with which words, and what their ends mean.

use std::collections::BTreeMap;

use dags::dag::Script;
use proto::nouns::{JobId, Now, join_path};

use crate::command::ScriptEnd;
use crate::decide::Decision;
use crate::decide::node::{Deeds, PartEnd, extend};
use crate::effect::{Effect, ScriptOrder};
use crate::event::{Event, Soft};
use crate::job::Cluster;
use crate::queue::Queue;
use crate::run::{Node, NodeState, Run, RunState, ScriptKind, ScriptPhase};

/// What a script that could not be started returns, as a shell has it.
const NOT_STARTED: i32 = 127;

impl Run {
    /// Whether one more script of a kind may run.
    pub(crate) fn has_room(&self, kind: ScriptKind) -> bool {
        let max = match kind {
            ScriptKind::Pre => self.throttles.max_pre,
            ScriptKind::Post => self.throttles.max_post,
            ScriptKind::Hold => self.throttles.max_hold,
        };
        let of_kind = self.scripts.range((kind, 0)..=(kind, u32::MAX));
        let running = of_kind.filter(|(_, phase)| **phase == ScriptPhase::Running);
        max == 0 || running.count() < max as usize
    }

    pub(crate) fn script(&self, node: u32, kind: ScriptKind) -> Option<&Script> {
        let scripts = &self.dag.nodes[node as usize].scripts;
        match kind {
            ScriptKind::Pre => scripts.pre.as_deref(),
            ScriptKind::Post => scripts.post.as_deref(),
            ScriptKind::Hold => scripts.hold.as_deref(),
        }
    }
}

impl Queue {
    /// Runs a script of a node.
    pub(crate) fn start_script(&self, id: u32, node: u32, kind: ScriptKind) -> Deeds {
        let run = &self.runs[&id];
        let Some(script) = run.script(node, kind) else {
            return (Vec::new(), Vec::new());
        };
        let (written, record) = (&run.dag.nodes[node as usize], &run.nodes[node as usize]);
        let attempt = match record.state {
            NodeState::Waiting => record.attempts + 1,
            NodeState::Pre
            | NodeState::Ready
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post
            | NodeState::Done
            | NodeState::Failed { .. }
            | NodeState::Futile => record.attempts,
        };
        let mut environment = run.environment.clone();
        environment.extend([
            ("UPDRAFT_RUN".to_owned(), id.to_string()),
            ("UPDRAFT_NODE".to_owned(), written.name.clone()),
            ("UPDRAFT_ATTEMPT".to_owned(), attempt.to_string()),
        ]);
        let words = self.words(run, node, kind);
        let word = |written: &String| {
            let name = written.strip_prefix('$').map(str::to_ascii_uppercase);
            let value = name.and_then(|name| words.get(name.as_str()).cloned());
            value.unwrap_or_else(|| written.clone())
        };
        let order = ScriptOrder {
            run: id,
            node,
            kind,
            attempt,
            directory: join_path(&self.workspaces[&run.home].directory, &written.dir),
            program: script.program.clone(),
            arguments: script.arguments.iter().map(word).collect(),
            environment,
            debug: script.debug.clone(),
        };
        let started = Event::Soft(Soft::ScriptStarted {
            run: id,
            node,
            kind,
        });
        (vec![started], vec![Effect::Script(Box::new(order))])
    }

    /// What the macros of a script's arguments stand for.
    fn words(&self, run: &Run, node: u32, kind: ScriptKind) -> BTreeMap<&'static str, String> {
        let (written, record) = (&run.dag.nodes[node as usize], &run.nodes[node as usize]);
        let counts = run.counts();
        let running = &run.turns.running;
        let queued = running.len() - usize::from(running.contains(&node));
        let mut words = BTreeMap::from([
            ("NODE", written.name.clone()),
            ("JOB", written.name.clone()),
            ("RETRY", record.retries.to_string()),
            ("MAX_RETRIES", run.retries_of(node).to_string()),
            ("DAG_STATUS", run.dag_status().to_string()),
            ("DAGID", run.id.to_string()),
            ("NODE_COUNT", counts.total().to_string()),
            ("QUEUED_COUNT", queued.to_string()),
            ("DONE_COUNT", counts.done.to_string()),
            ("FAILED_COUNT", counts.failed.to_string()),
            ("FUTILE_COUNT", counts.futile.to_string()),
        ]);
        match kind {
            ScriptKind::Pre => {}
            ScriptKind::Post | ScriptKind::Hold => words.extend(self.job_words(record)),
        }
        words
    }

    /// What is known of a node's jobs.
    fn job_words(&self, record: &Node) -> BTreeMap<&'static str, String> {
        let cluster = record.cluster.and_then(|id| self.clusters.get(&id));
        let returned = record.returned.unwrap_or(0);
        let mut codes: BTreeMap<i32, u32> = BTreeMap::new();
        let mut listed = Vec::new();
        for proc in cluster
            .into_iter()
            .flat_map(|cluster| cluster.procs.values())
        {
            // Those that were removed are counted as such.
            if proc.state.is_final() && proc.ending().is_some() {
                let code = super::report::return_code(proc);
                *codes.entry(code).or_default() += 1;
                listed.push(code.to_string());
            }
        }
        let counts = codes.iter().map(|(code, count)| format!("{code}:{count}"));
        let distinct = codes.keys().map(ToString::to_string);
        let last = |cluster: &Cluster| JobId {
            cluster: cluster.id,
            proc: cluster.count.saturating_sub(1),
        };
        // One that could not be run as it is was never submitted, in DAGMan's eyes.
        let procs = cluster
            .into_iter()
            .flat_map(|cluster| cluster.procs.values());
        let removed = procs.filter(|proc| proc.is_removed() && !proc.unfit);
        let removed = removed.count();
        BTreeMap::from([
            (
                "CLUSTERID",
                cluster.map_or(0, |cluster| cluster.id).to_string(),
            ),
            (
                "JOBID",
                cluster.map_or(String::new(), |cluster| last(cluster).to_string()),
            ),
            (
                "JOB_COUNT",
                cluster.map_or(0, |cluster| cluster.count).to_string(),
            ),
            ("JOB_ABORT_COUNT", removed.to_string()),
            ("RETURN", returned.to_string()),
            (
                "SUCCESS",
                if returned == 0 { "True" } else { "False" }.to_owned(),
            ),
            ("EXIT_CODES", distinct.collect::<Vec<_>>().join(",")),
            ("EXIT_CODE_LIST", listed.join(",")),
            ("EXIT_CODE_COUNTS", counts.collect::<Vec<_>>().join(",")),
            ("PRE_SCRIPT_RETURN", record.pre.unwrap_or(-1).to_string()),
        ])
    }

    /// Scripts whose deferral is over.
    pub(crate) fn scripts_due(&self, now: Now) -> Vec<Event> {
        let mut due = Vec::new();
        for (&id, run) in &self.runs {
            for (&(kind, node), phase) in &run.scripts {
                if let ScriptPhase::Deferred { until_mono_ms } = phase
                    && *until_mono_ms <= now.mono_ms
                {
                    due.push(Event::Soft(Soft::ScriptDue {
                        run: id,
                        node,
                        kind,
                    }));
                }
            }
        }
        due
    }
}

/// A script ended. One that nobody waits for any more is forgotten.
pub(super) fn ended(
    queue: &Queue,
    now: Now,
    (id, node, kind): (u32, u32, ScriptKind),
    attempt: u32,
    end: ScriptEnd,
) -> Decision {
    let Some(run) = queue.runs.get(&id) else {
        return Decision::new(Vec::new());
    };
    let Some(record) = run.nodes.get(node as usize) else {
        return Decision::new(Vec::new());
    };
    let waited_for = run.scripts.get(&(kind, node)) == Some(&ScriptPhase::Running);
    if !waited_for || run.state != RunState::Running {
        return Decision::new(Vec::new());
    }
    if record.attempts != attempt {
        // A HOLD script that outlived its attempt: all it leaves is its place.
        return Decision::new(vec![Event::Soft(Soft::ScriptEnded {
            run: id,
            node,
            kind,
            end,
        })]);
    }
    let defer = run.script(node, kind).and_then(|script| script.defer);
    if let (ScriptEnd::Exited(code), Some(defer)) = (&end, defer)
        && *code == defer.status
    {
        let until_mono_ms = now.mono_ms.saturating_add(u64::from(defer.delay_s) * 1000);
        return Decision::new(vec![Event::Soft(Soft::ScriptDeferred {
            run: id,
            node,
            kind,
            until_mono_ms,
        })]);
    }
    let part = part_end(kind, &end);
    let mut deeds = (
        vec![Event::Soft(Soft::ScriptEnded {
            run: id,
            node,
            kind,
            end,
        })],
        Vec::new(),
    );
    match (kind, &record.state) {
        (ScriptKind::Pre, NodeState::Pre) => extend(&mut deeds, queue.pre_over(id, node, part)),
        (ScriptKind::Post, NodeState::Post) => extend(&mut deeds, queue.node_over(id, node, part)),
        (ScriptKind::Pre | ScriptKind::Post | ScriptKind::Hold, _) => {}
    }
    Decision {
        effects: deeds.1,
        ..Decision::new(deeds.0)
    }
}

fn part_end(kind: ScriptKind, end: &ScriptEnd) -> PartEnd {
    let name = kind.name();
    match end {
        ScriptEnd::Exited(0) => PartEnd::well(),
        ScriptEnd::Exited(code) => {
            PartEnd::failed(*code, format!("its {name} script exited with code {code}"))
        }
        ScriptEnd::Signaled(signal) => PartEnd::failed(
            -*signal,
            format!("its {name} script was killed by signal {signal}"),
        ),
        ScriptEnd::NotStarted(reason) => PartEnd::failed(
            NOT_STARTED,
            format!("its {name} script could not be started: {reason}"),
        ),
    }
}
