//! `apply`: what each event does to the queue. The only function that changes state; it decides
//! nothing.

use std::sync::Arc;

use proto::nouns::{ClaimId, JobId, Now, WorkerName};

use crate::agenda::Item;
use crate::command::DrainState;
use crate::event::{Event, NodeEnd, Requeue, Soft, Taken, TrialEnd};
use crate::job::{Cluster, Ending, Phase, ProcState};
use crate::pool::{Carve, Worker};
use crate::queue::Queue;
use crate::record::RecordKey;
use crate::run::{Node, NodeState, Run, RunState};
use crate::study::{Asking, Params, Study, Trial, TrialState};
use crate::workspace::Workspace;

/// How long a worker that could not start a job gets no other: this, doubled for each time in a
/// row.
const PAUSE_MS: u64 = 250;
const PAUSE_DOUBLINGS_MAX: u32 = 8;

impl Queue {
    /// Applies one event. Events come from [`Queue::step`] in the order in which they were decided;
    /// applying one that does not fit the state is a fault of this crate, not of the world.
    pub fn apply(&mut self, now: Now, event: &Event) {
        match event {
            Event::ClusterQueued {
                cluster,
                workspace,
                key,
            } => {
                self.cluster_queued(cluster, workspace.as_ref(), key.as_deref());
            }
            Event::RunQueued {
                id,
                owner,
                dag,
                digest,
                workspace,
                key,
            } => {
                let run = Run::new(
                    *id,
                    owner.clone(),
                    now.wall_ms,
                    digest.clone(),
                    Arc::clone(dag),
                );
                self.run_queued(run, workspace, key);
            }
            Event::NodeStarted { run, node, cluster } => self.node_started(*run, *node, *cluster),
            Event::NodeEnded { run, node, end } => self.node_ended(*run, *node, end),
            Event::NodesFutile { run, nodes } => {
                for node in nodes {
                    self.set_node(*run, *node, NodeState::Futile);
                }
                self.agenda.add(Item::Close { run: *run });
            }
            Event::NodesReset { run, nodes } => self.nodes_reset(*run, nodes),
            Event::RunResumed { run } => self.set_run(*run, RunState::Running),
            Event::RunEnded { run } => {
                let failed = self.runs.get(run).is_some_and(|run| run.counts.failed > 0);
                let ended_ms = now.wall_ms;
                let state = match failed {
                    true => RunState::Failed { ended_ms },
                    false => RunState::Completed { ended_ms },
                };
                self.set_run(*run, state);
            }
            Event::RunRemoved { run } => {
                self.set_run(
                    *run,
                    RunState::Removed {
                        ended_ms: now.wall_ms,
                    },
                );
            }
            Event::TrialAdded { run, node, params } => self.trial_added(*run, *node, params),
            Event::TrialEnded {
                run,
                node,
                trial,
                end,
            } => {
                self.trial_ended(*run, *node, *trial, end);
            }
            Event::JobClaimed {
                job,
                claim,
                worker,
                gpus,
                taken,
            } => {
                self.job_claimed(now, *job, *claim, worker, gpus, *taken);
            }
            Event::JobStarted { job } => self.job_started(*job),
            Event::JobReported {
                job,
                report,
                failure,
                ..
            } => {
                let (_, worker) = self.running(*job);
                if let Some(entry) = self.pool.workers.get_mut(&worker) {
                    entry.faults_in_a_row = 0;
                }
                let ending = Ending {
                    worker,
                    report: (**report).clone(),
                    failure: failure.clone(),
                };
                self.add_outputs(*job, &ending);
                self.set_job(
                    now,
                    *job,
                    ProcState::Landing {
                        ending: Box::new(ending),
                    },
                );
            }
            Event::JobCompleted { job, failure } => self.job_completed(now, *job, failure.clone()),
            Event::JobRequeued { job, cause } => self.job_requeued(now, *job, cause),
            Event::JobHeld { job, code, reason } => {
                self.vacate(*job);
                let ending = self.touch(*job).landing().cloned();
                let state = ProcState::Held {
                    code: *code,
                    reason: reason.clone(),
                    ending: ending.map(Box::new),
                };
                self.set_job(now, *job, state);
            }
            Event::JobReleased { job } => self.job_released(now, *job),
            Event::JobRemoved { job, reason } => {
                self.vacate(*job);
                self.set_job(
                    now,
                    *job,
                    ProcState::Removed {
                        reason: reason.clone(),
                    },
                );
            }
            Event::WorkerDrained { worker, drain } => self.worker_drained(worker, *drain),
            Event::Soft(soft) => self.apply_soft(now, soft),
        }
    }

    /// The events that leave no record.
    fn apply_soft(&mut self, now: Now, soft: &Soft) {
        match soft {
            Soft::WorkerJoined {
                worker,
                session,
                boot,
                version,
                offer,
                ads,
                stale,
            } => {
                let entry = self.worker_entry(now, worker);
                entry.session = Some(*session);
                entry.boot = *boot;
                entry.version.clone_from(version);
                entry.heard_mono_ms = now.mono_ms;
                entry.stale = stale.iter().copied().collect();
                entry.advertise(offer.clone(), ads.0.clone());
                self.slot_changed(worker);
            }
            Soft::WorkerAdvertised { worker, offer, ads } => {
                self.worker_entry(now, worker)
                    .advertise(offer.clone(), ads.0.clone());
                self.slot_changed(worker);
            }
            Soft::ClaimKept { job } => self.claim_kept(now, *job),
            Soft::WorkerHeard { worker, claims } => {
                let entry = self.worker_entry(now, worker);
                entry.heard_mono_ms = now.mono_ms;
                for claim in claims {
                    if let Some(carve) = entry.carves.get_mut(claim) {
                        carve.renewed_mono_ms = now.mono_ms;
                    }
                }
            }
            Soft::WorkerCutOff { worker } => self.worker_entry(now, worker).session = None,
            Soft::WorkerGone { worker } => {
                self.pool.workers.remove(worker);
            }
            Soft::ClaimEnded { worker, claim } => {
                if let Some(entry) = self.pool.workers.get_mut(worker) {
                    entry.carves.remove(claim);
                    entry.stale.remove(claim);
                    self.slot_changed(worker);
                }
            }
            Soft::WorkerResumed { worker } => {
                self.worker_entry(now, worker).paused_until_mono_ms = None;
                self.agenda.add_match();
            }
            Soft::StudyAsked { run, node } => self.set_asking(*run, *node, Asking::Asked),
            Soft::StudyAnswered { run, node } => {
                self.set_asking(*run, *node, Asking::Nothing);
                self.agenda.add(Item::Tune {
                    run: *run,
                    node: *node,
                });
            }
            Soft::JobProgress { .. } => {}
        }
    }

    fn cluster_queued(
        &mut self,
        cluster: &Cluster,
        workspace: Option<&Workspace>,
        key: Option<&str>,
    ) {
        let id = cluster.id;
        self.drawn(id);
        if let Some(workspace) = workspace {
            self.add_workspace(id, workspace);
        }
        if let Some(key) = key {
            self.submit_keys.insert(key.to_owned(), id);
            self.dirty.insert(RecordKey::SubmitKey(key.to_owned()));
        }
        let top = cluster.top();
        self.dirty.insert(RecordKey::Cluster { top, cluster: id });
        if cluster.submit.is_some() {
            self.dirty.insert(RecordKey::Source { top });
        }
        let mut cluster = cluster.clone();
        cluster.derive();
        self.jobs_live += u64::from(cluster.live());
        self.clusters.insert(id, cluster);
        self.prepare(id);
        self.agenda.add_match();
    }

    fn run_queued(&mut self, run: Run, workspace: &Workspace, key: &str) {
        let id = run.id;
        self.drawn(id);
        self.add_workspace(id, workspace);
        self.submit_keys.insert(key.to_owned(), id);
        self.dirty.insert(RecordKey::SubmitKey(key.to_owned()));
        self.dirty
            .extend([RecordKey::Run { top: id }, RecordKey::Dag { top: id }]);
        for (node, state) in (0..).zip(&run.nodes) {
            if *state != Node::default() {
                self.dirty.insert(RecordKey::Node { top: id, node });
            }
        }
        self.runs.insert(id, run);
        self.agenda.add(Item::Review { run: id });
    }

    fn drawn(&mut self, id: u32) {
        self.meta.next_id = id + 1;
        self.dirty.insert(RecordKey::Meta);
    }

    fn add_workspace(&mut self, top: u32, workspace: &Workspace) {
        self.dirty.insert(RecordKey::Workspace { top });
        let file = |path: &String| RecordKey::File {
            top,
            path: path.clone(),
        };
        self.dirty.extend(workspace.files.keys().map(file));
        self.workspaces.insert(top, workspace.clone());
    }

    fn node_started(&mut self, run: u32, node: u32, cluster: Option<u32>) {
        let state = &mut self.run_mut(run).nodes[node as usize];
        state.attempts += 1;
        state.cluster = cluster;
        self.set_node(run, node, NodeState::Running);
        if self.is_study(run, node) {
            self.run_mut(run).studies.entry(node).or_default();
            self.agenda.add(Item::Tune { run, node });
        }
    }

    fn node_ended(&mut self, run: u32, node: u32, end: &NodeEnd) {
        match end {
            NodeEnd::Done => {
                self.set_node(run, node, NodeState::Done);
                let dag = Arc::clone(&self.run_mut(run).dag);
                for child in &dag.nodes[node as usize].children {
                    let left = &mut self.run_mut(run).parents_left[*child as usize];
                    *left -= 1;
                    if *left == 0 {
                        self.agenda.add(Item::Start { run, node: *child });
                    }
                }
            }
            NodeEnd::Failed { reason } => {
                self.set_node(
                    run,
                    node,
                    NodeState::Failed {
                        reason: reason.clone(),
                    },
                );
            }
        }
        self.agenda.add(Item::Close { run });
    }

    fn nodes_reset(&mut self, run: u32, nodes: &[u32]) {
        for node in nodes {
            self.set_node(run, *node, NodeState::Waiting);
            let entry = self.run_mut(run);
            if entry.parents_left[*node as usize] == 0 {
                self.agenda.add(Item::Start { run, node: *node });
            }
            let study = self.run_mut(run).studies.get_mut(node);
            let forgiven = study.map(Study::forgive).unwrap_or_default();
            let trial = |trial| RecordKey::Trial {
                top: run,
                node: *node,
                trial,
            };
            self.dirty.extend(forgiven.into_iter().map(trial));
        }
    }

    fn set_node(&mut self, run: u32, node: u32, state: NodeState) {
        let entry = self.run_mut(run);
        let old = std::mem::replace(&mut entry.nodes[node as usize].state, state.clone());
        *entry.counts.of(&old) -= 1;
        *entry.counts.of(&state) += 1;
        self.dirty.insert(RecordKey::Node { top: run, node });
    }

    fn set_run(&mut self, run: u32, state: RunState) {
        self.run_mut(run).state = state;
        self.dirty.insert(RecordKey::Run { top: run });
        self.agenda.add(Item::Review { run });
    }

    fn set_asking(&mut self, run: u32, node: u32, asking: Asking) {
        if let Some(study) = self.run_mut(run).studies.get_mut(&node) {
            study.asking = asking;
        }
    }

    fn trial_added(&mut self, run: u32, node: u32, params: &Params) {
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

    fn trial_ended(&mut self, run: u32, node: u32, number: u32, end: &TrialEnd) {
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

    fn job_claimed(
        &mut self,
        now: Now,
        job: JobId,
        claim: ClaimId,
        worker: &WorkerName,
        gpus: &[String],
        taken: Taken,
    ) {
        self.meta.next_claim = claim.serial + 1;
        self.dirty.insert(RecordKey::Meta);
        self.touch(job).attempts += 1;
        let gpus = gpus.to_vec();
        let worker = worker.clone();
        let state = ProcState::Running {
            claim,
            worker,
            phase: Phase::Staging,
            taken,
            gpus,
        };
        self.set_job(now, job, state);
        self.claim_kept(now, job);
    }

    /// Carves the slot of a running job's claim.
    fn claim_kept(&mut self, now: Now, job: JobId) {
        let Some((_, proc)) = self.job(job) else {
            return;
        };
        let ProcState::Running {
            claim,
            worker,
            taken,
            gpus,
            ..
        } = proc.state
        else {
            return;
        };
        let carve = Carve {
            job,
            cpus: taken.cpus,
            memory_mib: taken.memory_mib,
            disk_kib: taken.disk_kib,
            gpus,
            since_ms: proc.since_ms,
            renewed_mono_ms: now.mono_ms,
            lease_ms: taken.lease_ms,
            vacating: false,
        };
        self.worker_entry(now, &worker).carves.insert(claim, carve);
        self.slot_changed(&worker);
    }

    fn job_started(&mut self, job: JobId) {
        if let ProcState::Running { phase, .. } = &mut self.touch(job).state {
            *phase = Phase::Executing;
        }
    }

    fn job_completed(&mut self, now: Now, job: JobId, failure: Option<String>) {
        let ProcState::Landing { ending } = self.touch(job).state.clone() else {
            return;
        };
        let ending = Box::new(Ending {
            failure: failure.or(ending.failure),
            ..*ending
        });
        self.set_job(now, job, ProcState::Completed { ending });
    }

    fn job_requeued(&mut self, now: Now, job: JobId, cause: &Requeue) {
        self.vacate(job);
        let proc = self.touch(job);
        match cause {
            Requeue::Fault { worker, .. } => {
                proc.faulted_on.push(worker.clone());
                self.worker_faulted(now, worker);
            }
            Requeue::Retry { .. } => proc.retries += 1,
            Requeue::LeaseExpired { .. } | Requeue::Lost { .. } | Requeue::Vacated { .. } => {}
        }
        self.set_job(now, job, ProcState::Idle);
    }

    /// A job that ended and whose files could not be written goes on with them; any other runs
    /// anew.
    fn job_released(&mut self, now: Now, job: JobId) {
        let proc = self.touch(job);
        proc.faulted_on.clear();
        let state = match &proc.state {
            ProcState::Held {
                ending: Some(ending),
                ..
            } => ProcState::Landing {
                ending: ending.clone(),
            },
            ProcState::Held { ending: None, .. }
            | ProcState::Idle
            | ProcState::Running { .. }
            | ProcState::Landing { .. }
            | ProcState::Completed { .. }
            | ProcState::Removed { .. } => ProcState::Idle,
        };
        self.set_job(now, job, state);
    }

    fn add_outputs(&mut self, job: JobId, ending: &Ending) {
        if ending.failure.is_some() {
            return;
        }
        let files = self.landing_files(job, &ending.report);
        let top = self.clusters[&job.cluster].top();
        let workspace = self
            .workspaces
            .get_mut(&top)
            .expect("each submission has a workspace");
        for (path, blob) in files {
            self.dirty.insert(RecordKey::File {
                top,
                path: path.clone(),
            });
            workspace.files.insert(path, blob);
        }
    }

    /// A worker that cannot start one job after the other is left alone for a while, and longer
    /// each time.
    fn worker_faulted(&mut self, now: Now, worker: &WorkerName) {
        let Some(entry) = self.pool.workers.get_mut(worker) else {
            return;
        };
        entry.faults_in_a_row += 1;
        let doublings = entry.faults_in_a_row.min(PAUSE_DOUBLINGS_MAX);
        entry.paused_until_mono_ms = Some(now.mono_ms + (PAUSE_MS << doublings));
    }

    fn worker_drained(&mut self, worker: &WorkerName, drain: DrainState) {
        match drain {
            DrainState::Drained => self.drained.insert(worker.clone()),
            DrainState::Open => self.drained.remove(worker),
        };
        self.dirty.insert(RecordKey::Drained(worker.clone()));
        self.agenda.add_match();
    }

    /// Changes a job's state, with everything that counts states.
    fn set_job(&mut self, now: Now, job: JobId, state: ProcState) {
        let proc = self.touch(job);
        proc.since_ms = now.wall_ms;
        let ended = state.is_final();
        let idle = state == ProcState::Idle;
        let old = std::mem::replace(&mut proc.state, state.clone());
        let cluster = self
            .clusters
            .get_mut(&job.cluster)
            .expect("touched just now");
        *cluster.tally.of(&old) -= 1;
        *cluster.tally.of(&state) += 1;
        if idle {
            cluster.idle.insert(job.proc);
            self.agenda.add_match();
        } else {
            cluster.idle.remove(&job.proc);
        }
        if ended {
            self.jobs_live -= 1;
            if let Some((run, node)) = cluster.node() {
                self.agenda.add(Item::Judge { run, node });
            }
        }
        self.place(job.cluster);
    }

    /// The slot of a job's claim stays taken until the worker says that it stopped.
    fn vacate(&mut self, job: JobId) {
        let Some(proc) = self.touched(job) else {
            return;
        };
        let ProcState::Running { claim, worker, .. } = proc.state.clone() else {
            return;
        };
        let entry = self.pool.workers.get_mut(&worker);
        if let Some(carve) = entry.and_then(|worker| worker.carves.get_mut(&claim)) {
            carve.vacating = true;
        }
    }

    fn slot_changed(&mut self, worker: &WorkerName) {
        if let Some(entry) = self.pool.workers.get_mut(worker) {
            entry.refresh(worker);
        }
        self.agenda.add_match();
    }

    fn worker_entry(&mut self, now: Now, worker: &WorkerName) -> &mut Worker {
        let cut_off = || Worker::cut_off(now.mono_ms);
        self.pool
            .workers
            .entry(worker.clone())
            .or_insert_with(cut_off)
    }

    fn running(&mut self, job: JobId) -> (ClaimId, WorkerName) {
        match &self.touch(job).state {
            ProcState::Running { claim, worker, .. } => (*claim, worker.clone()),
            state => unreachable!(
                "job {job} is {}, and only running jobs report",
                state.name()
            ),
        }
    }

    fn run_mut(&mut self, run: u32) -> &mut Run {
        self.runs
            .get_mut(&run)
            .expect("events name runs that exist")
    }
}
