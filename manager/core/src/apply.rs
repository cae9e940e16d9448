//! `apply`: what each event does to the queue. The only function that changes state; it decides
//! nothing.

use dags::dag::Role;
use proto::nouns::{Blob, ClaimId, JobId, Now, WorkerName};

use crate::agenda::Item;
use crate::event::{Event, NodeEnd, Part, Requeue, Soft};
use crate::job::{Cluster, Ending, Phase, ProcState};
use crate::materialize::Slid;
use crate::negotiator::Change;
use crate::policy::Watching;
use crate::queue::Queue;
use crate::record::RecordKey;
use crate::run::{Halt, NodeState, Run, RunState, ScriptKind, ScriptPhase};
use crate::study::Asking;
use crate::workspace::Workspace;

mod claims;
mod runs;
mod workers;

use claims::Begins;
pub use claims::Lingering;

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
            Event::RunQueued(queued) => self.run_queued(queued),
            Event::NodePre { run, node } => {
                self.begin_attempt(*run, *node);
                self.set_node(*run, *node, NodeState::Pre);
            }
            Event::NodeReady { run, node } => self.set_node(*run, *node, NodeState::Ready),
            Event::NodePreparing { run, node } => {
                self.begin_attempt(*run, *node);
                self.set_node(*run, *node, NodeState::Preparing);
            }
            Event::NodeStarted { run, node, works } => self.node_started(*run, *node, *works),
            Event::NodePost { run, node } => self.set_node(*run, *node, NodeState::Post),
            Event::NodeReturned {
                run,
                node,
                part,
                code,
            } => {
                let record = &mut self.run_mut(*run).nodes[*node as usize];
                match part {
                    Part::Pre => record.pre = Some(*code),
                    Part::Jobs => record.returned = Some(*code),
                }
                self.node_changed(*run, *node);
            }
            Event::NodeRetried { run, node, .. } => {
                self.run_mut(*run).count_retry(*node);
                self.node_again(*run, *node);
            }
            Event::NodeEnded { run, node, end } => {
                let state = match end {
                    NodeEnd::Done => NodeState::Done,
                    NodeEnd::Failed { reason } => NodeState::Failed {
                        reason: reason.clone(),
                    },
                };
                self.set_node(*run, *node, state);
                let entry = self.run_mut(*run);
                if *end == NodeEnd::Done && entry.role(*node) == Role::Provisioner {
                    // One that is over without a word has nothing more to say.
                    entry.provisioned = true;
                    entry.derive_turns();
                    self.run_changed(*run);
                }
                self.agenda.add(Item::Close { run: *run });
            }
            Event::NodesFutile { run, nodes } => {
                for node in nodes {
                    self.set_node(*run, *node, NodeState::Futile);
                }
                self.agenda.add(Item::Close { run: *run });
            }
            Event::NodesReset {
                run,
                nodes,
                subdags,
            } => self.nodes_reset(*run, nodes, *subdags),
            Event::RunResumed { run } => {
                let entry = self.run_mut(*run);
                entry.cut = None;
                entry.halt = Halt::Open;
                self.set_run(*run, RunState::Running);
            }
            Event::RunHalted { run, halt } => {
                self.run_mut(*run).halt = *halt;
                self.run_changed(*run);
            }
            Event::RunThrottled {
                run,
                throttles,
                limits,
            } => {
                let entry = self.run_mut(*run);
                entry.throttles = *throttles;
                entry.limits.clone_from(limits);
                self.hold_scripts_due(*run);
                self.run_changed(*run);
            }
            Event::RunProvisioned { run } => {
                self.run_mut(*run).provisioned = true;
                self.run_mut(*run).derive_turns();
                self.run_changed(*run);
            }
            Event::RunCut { run, cut } => self.run_cut(*run, cut),
            Event::RunEnded { run, outcome } => self.run_ended(now, *run, *outcome),
            Event::FilesAdded { home, files } => self.add_files(*home, files.iter()),
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
                filled,
                behind,
                ..
            } => {
                self.touch(*job).filled.clone_from(filled);
                let begins = Begins {
                    job: *job,
                    claim: *claim,
                    worker,
                    gpus,
                    taken,
                    behind: *behind,
                };
                self.job_claimed(now, &begins);
            }
            Event::JobStarted { job } => self.job_started(now, *job),
            Event::JobReported {
                job,
                report,
                failure,
                hold,
                ..
            } => {
                self.ran(*job, report);
                let (_, worker) = self.running(*job);
                if let Some(entry) = self.pool.workers.get_mut(&worker) {
                    entry.faults_in_a_row = 0;
                }
                let ending = Ending {
                    worker,
                    report: (**report).clone(),
                    failure: failure.clone(),
                    hold: hold.clone(),
                };
                let past = &mut self.touch(*job).past;
                past.completions += 1;
                past.exit = Some(report.ended.clone());
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
                self.evicted(now, *job);
                let proc = self.touch(*job);
                proc.past.holds += 1;
                let ending = proc.landing().cloned();
                let state = ProcState::Held {
                    code: *code,
                    reason: reason.clone(),
                    ending: ending.map(Box::new),
                };
                self.set_job(now, *job, state);
                self.node_held(*job);
            }
            Event::JobReleased { job } => self.job_released(now, *job),
            Event::JobRemoved { job, reason } => self.job_removed(now, *job, reason),
            Event::JobUnfit { job, reason } => {
                self.touch(*job).unfit = true;
                self.job_removed(now, *job, reason);
            }
            Event::JobsEdited { subject, edits } => self.jobs_edited(now, *subject, edits),
            Event::RestChanged { cluster, rest } => self.rest_changed(now, *cluster, rest),
            Event::WorkerDrained { worker, drain } => self.worker_drained(worker, drain),
            Event::RulesSet(rules) => self.rules_set(rules),
            Event::AccountSet { submitter, setting } => {
                let rules = &self.rules;
                self.accounts.set(rules, submitter, *setting, now.wall_ms);
                self.account_changed(submitter);
                self.agenda.add_match();
            }
            Event::Soft(soft) => self.apply_soft(now, soft),
        }
        self.watch.arm(now, self.limits.policy_interval_ms);
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
                cached,
            } => {
                let entry = self.worker_entry(now, worker);
                entry.session = Some(*session);
                entry.boot = *boot;
                entry.version.clone_from(version);
                entry.heard_mono_ms = now.mono_ms;
                entry.stale = stale.iter().copied().collect();
                entry.advertise(worker, offer.clone(), ads.0.clone());
                self.pool.forget_cached(worker);
                self.pool.cached(worker, cached.iter().copied());
                self.slot_changed(worker, Change::Advert);
                self.drain_may_be_over(worker);
            }
            Soft::WorkerAdvertised { worker, offer, ads } => {
                let entry = self.worker_entry(now, worker);
                entry.advertise(worker, offer.clone(), ads.0.clone());
                self.slot_changed(worker, Change::Advert);
            }
            Soft::ClaimKept { job } => self.claim_kept(now, *job),
            Soft::ClaimLingers { claim } => self.claim_lingers(now, *claim),
            Soft::ClaimCalledBack { worker, claim } => {
                let entry = self.pool.workers.get_mut(worker);
                if let Some(carve) = entry.and_then(|entry| entry.carves.get_mut(claim)) {
                    carve.called_back = true;
                }
            }
            Soft::AccountsTakenUp => {
                for submitter in self.accounts.take_up(&self.rules, now.wall_ms) {
                    self.account_changed(&submitter);
                }
            }
            Soft::WorkerHeard { worker, claims } => {
                let entry = self.worker_entry(now, worker);
                entry.heard_mono_ms = now.mono_ms;
                for claim in claims {
                    if let Some(carve) = entry.carves.get_mut(claim) {
                        carve.renewed_mono_ms = now.mono_ms;
                    }
                }
            }
            Soft::WorkerCutOff { worker } => {
                self.worker_entry(now, worker).session = None;
                self.slot_changed(worker, Change::Advert);
            }
            Soft::WorkerGone { worker } => {
                self.pool.forget_cached(worker);
                self.pool.workers.remove(worker);
                self.slot_changed(worker, Change::Loss);
            }
            Soft::ClaimEnded { worker, claim } => {
                self.claim_ended(now, worker, *claim);
                self.drain_may_be_over(worker);
            }
            Soft::WorkerResumed { worker } => {
                self.worker_entry(now, worker).paused_until_mono_ms = None;
                self.slot_changed(worker, Change::Gain);
            }
            Soft::PoliciesLooked { next } => {
                self.watch
                    .looked(now, *next, self.limits.policy_interval_ms);
            }
            Soft::DurationsLooked => self.watch.forget_ended(now),
            Soft::StudyAsked { run, node } => self.set_asking(*run, *node, Asking::Asked),
            Soft::StudyAnswered { run, node } => {
                self.set_asking(*run, *node, Asking::Nothing);
                self.agenda.add(Item::Tune {
                    run: *run,
                    node: *node,
                });
            }
            Soft::JobProgress { .. } => {}
            Soft::ScriptStarted { run, node, kind } => {
                self.set_script(*run, *node, *kind, Some(ScriptPhase::Running));
            }
            Soft::ScriptWaits { run, node, kind } => {
                self.set_script(*run, *node, *kind, Some(ScriptPhase::Waiting));
            }
            Soft::ScriptDeferred {
                run,
                node,
                kind,
                until_mono_ms,
            } => {
                let until_mono_ms = *until_mono_ms;
                let phase = Some(ScriptPhase::Deferred { until_mono_ms });
                self.set_script(*run, *node, *kind, phase);
            }
            Soft::ScriptDue { run, node, kind } => match kind {
                ScriptKind::Pre | ScriptKind::Post => {
                    self.set_script(*run, *node, *kind, Some(ScriptPhase::Waiting));
                }
                ScriptKind::Hold => {
                    self.set_script(*run, *node, *kind, None);
                    self.agenda.add(Item::Held {
                        run: *run,
                        node: *node,
                    });
                }
            },
            Soft::ScriptEnded {
                run, node, kind, ..
            } => self.set_script(*run, *node, *kind, None),
        }
    }

    fn job_removed(&mut self, now: Now, job: JobId, reason: &str) {
        self.evicted(now, job);
        let reason = reason.to_owned();
        self.set_job(now, job, ProcState::Removed { reason });
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

    fn job_started(&mut self, now: Now, job: JobId) {
        let proc = self.touch(job);
        if let ProcState::Running {
            phase,
            claim,
            worker,
            ..
        } = &mut proc.state
        {
            let before = std::mem::replace(phase, Phase::Executing);
            let (claim, worker) = (*claim, worker.clone());
            proc.past.executing_ms.get_or_insert(now.wall_ms);
            if before == Phase::Ahead {
                let cluster = self.clusters.get_mut(&job.cluster);
                let tally = &mut cluster.expect("touched just now").tally;
                tally.idle -= 1;
                tally.ahead -= 1;
                tally.running += 1;
            }
            let entry = self.pool.workers.get_mut(&worker);
            if let Some(carve) = entry.and_then(|entry| entry.carves.get_mut(&claim)) {
                // Too late to be called back.
                carve.called_back = false;
            }
            self.limit_time(now, job);
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
        match cause {
            Requeue::Retry { .. } => self.vacate(job),
            Requeue::Fault { .. }
            | Requeue::LeaseExpired { .. }
            | Requeue::Lost { .. }
            | Requeue::Vacated { .. }
            | Requeue::Drained { .. }
            | Requeue::Preempted { .. }
            | Requeue::Raised { .. } => self.evicted(now, job),
            Requeue::CalledBack { .. } => {
                self.vacate(job);
                // It was no attempt.
                self.touch(job).attempts -= 1;
            }
        }
        let proc = self.touch(job);
        // One that was sent ahead and has not begun has lost nothing.
        let lost = cause.lost_claim().is_some() && proc.state.is_ahead() == 0;
        proc.past.lost += u32::from(lost);
        match cause {
            Requeue::Fault { worker, .. } => {
                proc.faulted_on.push(worker.clone());
                self.worker_faulted(now, worker);
            }
            Requeue::Retry { report, .. } => {
                proc.retries += 1;
                proc.past.completions += 1;
                proc.past.exit = Some(report.ended.clone());
            }
            Requeue::Raised { more, .. } => {
                proc.raised.raise(more);
                let raised = proc.raised;
                self.node_raised(job, raised);
                self.vary(job.cluster);
            }
            Requeue::LeaseExpired { .. }
            | Requeue::Lost { .. }
            | Requeue::Vacated { .. }
            | Requeue::Drained { .. }
            | Requeue::Preempted { .. }
            | Requeue::CalledBack { .. } => {}
        }
        self.set_job(now, job, ProcState::Idle);
    }

    /// A job that ended and whose files could not be written goes on with them; any other runs
    /// anew, one that is held by its policy for how it ended too.
    fn job_released(&mut self, now: Now, job: JobId) {
        let proc = self.touch(job);
        proc.faulted_on.clear();
        proc.past.forgiven = proc.past.lost;
        let state = match &proc.state {
            ProcState::Held {
                ending: Some(ending),
                code,
                ..
            } if ending.hold.as_ref().is_none_or(|hold| hold.code != *code) => ProcState::Landing {
                ending: ending.clone(),
            },
            ProcState::Held { .. }
            | ProcState::Idle
            | ProcState::Running { .. }
            | ProcState::Landing { .. }
            | ProcState::Completed { .. }
            | ProcState::Removed { .. } => ProcState::Idle,
        };
        self.set_job(now, job, state);
    }

    fn add_outputs(&mut self, job: JobId, ending: &Ending) {
        if ending.failure.is_some() || ending.hold.is_some() {
            return;
        }
        let files = self.landing_files(job, &ending.report);
        let home = self.home(self.clusters[&job.cluster].top());
        self.add_files(home, files.iter().map(|(path, blob)| (path, blob)));
    }

    fn add_files<'a>(&mut self, home: u32, files: impl Iterator<Item = (&'a String, &'a Blob)>) {
        let workspace = self
            .workspaces
            .get_mut(&home)
            .expect("each submission has a workspace");
        for (path, blob) in files {
            self.dirty.insert(RecordKey::File {
                top: home,
                path: path.clone(),
            });
            workspace.files.insert(path.clone(), *blob);
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
        self.slot_changed(worker, Change::Loss);
    }

    /// Changes a job's state, with everything that counts states.
    fn set_job(&mut self, now: Now, job: JobId, state: ProcState) {
        let proc = self.touch(job);
        let since_ms = std::mem::replace(&mut proc.since_ms, now.wall_ms);
        let ended = state.is_final();
        let idle = state == ProcState::Idle;
        let watched = match &state {
            ProcState::Idle | ProcState::Running { .. } | ProcState::Held { .. } => true,
            ProcState::Landing { .. } | ProcState::Completed { .. } | ProcState::Removed { .. } => {
                false
            }
        };
        if idle {
            proc.filled = None;
        }
        let old = std::mem::replace(&mut proc.state, state.clone());
        if let ProcState::Running { worker, .. } = &old {
            proc.past.claimed_for_ms += now.wall_ms.saturating_sub(since_ms);
            proc.past.worker = Some(worker.clone());
            self.watch.forget(job);
            self.set_running(job, None);
        }
        let cluster = self
            .clusters
            .get_mut(&job.cluster)
            .expect("touched just now");
        cluster.tally.remove(&old);
        cluster.tally.add(&state);
        if watched && cluster.watching != Watching::Nothing {
            self.agenda.add(Item::Policy { job });
        }
        if idle {
            cluster.idle.insert(job.proc);
            self.agenda.add_match();
        } else {
            cluster.idle.remove(&job.proc);
        }
        if cluster.slide(job.proc, &old, &state) == Slid::Further {
            self.agenda.add_match();
        }
        if ended {
            self.jobs_live -= 1;
            if let Some((run, node)) = cluster.node() {
                self.agenda.add(Item::Judge { run, node });
            }
        }
        self.place_job(job);
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
