//! What events do to DAG runs, their nodes and studies.

use dags::dag::Role;
use proto::nouns::{JobId, Now};

use crate::agenda::Item;
use crate::event::{Outcome, QueuedRun, Subdags, TrialEnd, Works};
use crate::queue::Queue;
use crate::raised::Raised;
use crate::record::RecordKey;
use crate::run::{Cut, Halt, Node, NodeState, RunState, ScriptKind, ScriptPhase};
use crate::study::{Asking, Params, Study, Trial, TrialState};

impl Queue {
    pub(super) fn run_queued(&mut self, queued: &QueuedRun) {
        let run = queued.run.clone();
        let id = run.id;
        self.drawn(id);
        if let Some(workspace) = &queued.workspace {
            self.add_workspace(id, workspace);
        }
        if let Some(key) = &queued.key {
            self.submit_keys.insert(key.clone(), id);
            self.dirty.insert(RecordKey::SubmitKey(key.clone()));
        }
        self.dirty
            .extend([RecordKey::Run { top: id }, RecordKey::Dag { top: id }]);
        for (node, state) in (0..).zip(&run.nodes) {
            if *state != Node::default() {
                self.dirty.insert(RecordKey::Node { top: id, node });
            }
        }
        for (&node, study) in &run.studies {
            let trial = |(trial, _)| RecordKey::Trial {
                top: id,
                node,
                trial,
            };
            self.dirty.extend((0..).zip(&study.trials).map(trial));
        }
        self.runs.insert(id, run);
        self.agenda.add(Item::Review { run: id });
    }

    /// Counts a start of a node, unless its PRE script was counted already.
    pub(super) fn begin_attempt(&mut self, run: u32, node: u32) {
        let entry = self.run_mut(run);
        let record = &mut entry.nodes[node as usize];
        if record.state == NodeState::Waiting {
            if entry.dag.papers.jobstate_log.is_some() {
                entry.sequence += 1;
                record.sequence = entry.sequence;
            }
            record.attempts += 1;
            record.pre = None;
            record.returned = None;
            record.holds = 0;
        }
    }

    pub(super) fn node_started(&mut self, run: u32, node: u32, works: Works) {
        self.begin_attempt(run, node);
        let record = &mut self.run_mut(run).nodes[node as usize];
        match works {
            Works::Nothing => record.cluster = None,
            Works::Cluster(cluster) => record.cluster = Some(cluster),
            Works::Subrun(subrun) => record.subrun = Some(subrun),
        }
        self.set_node(run, node, NodeState::Running);
        if self.is_study(run, node) {
            self.run_mut(run).studies.entry(node).or_default();
            self.agenda.add(Item::Tune { run, node });
        }
    }

    /// The node waits for its turn once more.
    pub(super) fn node_again(&mut self, run: u32, node: u32) {
        self.set_node(run, node, NodeState::Waiting);
        let study = self.run_mut(run).studies.get_mut(&node);
        let forgiven = study.map(Study::forgive).unwrap_or_default();
        let trial = |trial| RecordKey::Trial {
            top: run,
            node,
            trial,
        };
        self.dirty.extend(forgiven.into_iter().map(trial));
    }

    pub(super) fn nodes_reset(&mut self, run: u32, nodes: &[u32], subdags: Subdags) {
        for node in nodes {
            let record = &mut self.run_mut(run).nodes[*node as usize];
            record.retries = 0;
            if subdags == Subdags::Anew {
                record.subrun = None;
            }
            self.node_again(run, *node);
        }
        self.run_mut(run).derive();
        self.agenda.add(Item::Review { run });
    }

    pub(super) fn run_cut(&mut self, run: u32, cut: &Cut) {
        let entry = self.run_mut(run);
        entry.cut = Some(cut.clone());
        // A hold is over with what was held; the FINAL node is not.
        if entry.halt == Halt::Held {
            entry.halt = Halt::Open;
        }
        let stopped = (0..).zip(&entry.nodes);
        let stopped: Vec<u32> = stopped
            .filter(|(at, record)| {
                record.state.is_under_way()
                    && matches!(entry.role(*at), Role::Normal | Role::Provisioner)
            })
            .map(|(at, _)| at)
            .collect();
        entry.scripts.clear();
        for node in stopped {
            self.set_node(run, node, NodeState::Waiting);
        }
        self.run_mut(run).derive_turns();
        self.run_changed(run);
    }

    pub(super) fn run_ended(&mut self, now: Now, run: u32, outcome: Outcome) {
        let ended_ms = now.wall_ms;
        let state = match outcome {
            Outcome::Completed => RunState::Completed { ended_ms },
            Outcome::Failed { exit } => RunState::Failed { ended_ms, exit },
            Outcome::Removed => RunState::Removed { ended_ms },
        };
        self.run_mut(run).scripts.clear();
        self.set_run(run, state);
        if let Some((run, node)) = self.run_mut(run).parent {
            self.agenda.add(Item::Judge { run, node });
            self.agenda.add(Item::Close { run });
        }
    }

    /// Counts a hold of one of a node's jobs.
    pub(super) fn node_held(&mut self, job: JobId) {
        let Some((run, node)) = self.clusters[&job.cluster].node() else {
            return;
        };
        self.run_mut(run).nodes[node as usize].holds += 1;
        self.node_changed(run, node);
        self.agenda.add(Item::Held { run, node });
    }

    /// What one of a node's jobs asks for is what the node's next attempt begins with.
    pub(super) fn node_raised(&mut self, job: JobId, raised: Raised) {
        let Some((run, node)) = self.clusters[&job.cluster].node() else {
            return;
        };
        let record = &mut self.run_mut(run).nodes[node as usize];
        record.raised = record.raised.or(raised);
        self.node_changed(run, node);
    }

    pub(super) fn set_node(&mut self, run: u32, node: u32, state: NodeState) {
        self.run_mut(run).set(node, state);
        self.node_changed(run, node);
        self.agenda.add(Item::Launch { run });
    }

    pub(super) fn node_changed(&mut self, run: u32, node: u32) {
        self.outdate(run);
        self.dirty.insert(RecordKey::Node { top: run, node });
    }

    pub(super) fn set_run(&mut self, run: u32, state: RunState) {
        self.run_mut(run).state = state;
        self.run_changed(run);
        self.agenda.add(Item::Review { run });
    }

    pub(super) fn run_changed(&mut self, run: u32) {
        self.outdate(run);
        self.dirty.insert(RecordKey::Run { top: run });
        self.agenda.add(Item::Launch { run });
        self.agenda.add(Item::Close { run });
    }

    pub(super) fn set_script(
        &mut self,
        run: u32,
        node: u32,
        kind: ScriptKind,
        phase: Option<ScriptPhase>,
    ) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.set_script(node, kind, phase);
        }
        let runs = matches!(phase, Some(ScriptPhase::Running | ScriptPhase::Waiting));
        if kind == ScriptKind::Hold && !runs {
            self.hold_scripts_due(run);
        }
        self.agenda.add(Item::Launch { run });
    }

    /// The HOLD scripts that wait for others to end may have their turn.
    pub(super) fn hold_scripts_due(&mut self, run: u32) {
        let scripts = self.runs.get(&run).map(|run| &run.scripts);
        for (&(kind, node), phase) in scripts.into_iter().flatten() {
            if kind == ScriptKind::Hold && *phase == ScriptPhase::Waiting {
                self.agenda.add(Item::Held { run, node });
            }
        }
    }

    pub(super) fn set_asking(&mut self, run: u32, node: u32, asking: Asking) {
        if let Some(study) = self.run_mut(run).studies.get_mut(&node) {
            study.asking = asking;
        }
    }

    pub(super) fn trial_added(&mut self, run: u32, node: u32, params: &Params) {
        let entry = self.run_mut(run);
        let cluster = entry.nodes[node as usize]
            .cluster
            .expect("a running study has a cluster");
        let study = entry
            .studies
            .get_mut(&node)
            .expect("a running study node has a study");
        let trial =
            u32::try_from(study.trials.len()).expect("a study has at most TRIALS_MAX trials");
        study.trials.push(Trial {
            params: params.clone(),
            state: TrialState::Pending,
        });
        self.dirty.insert(RecordKey::Trial {
            top: run,
            node,
            trial,
        });
        self.dirty.insert(RecordKey::Cluster { top: run, cluster });
        let grown = self
            .clusters
            .get_mut(&cluster)
            .expect("a study's cluster lives with its run");
        grown.count += 1;
        grown.tally.idle += 1;
        self.jobs_live += 1;
        self.place(cluster);
        self.agenda.add_match();
    }

    pub(super) fn trial_ended(&mut self, run: u32, node: u32, number: u32, end: &TrialEnd) {
        let study = self
            .run_mut(run)
            .studies
            .get_mut(&node)
            .expect("the trial's study exists");
        study.trials[number as usize].state = match end {
            TrialEnd::Value(value) => TrialState::Value(*value),
            TrialEnd::Failed { reason } => TrialState::Failed {
                reason: reason.clone(),
            },
        };
        self.dirty.insert(RecordKey::Trial {
            top: run,
            node,
            trial: number,
        });
        self.agenda.add(Item::Tune { run, node });
    }
}
