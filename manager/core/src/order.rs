//! From a job's specification to the work order that a worker gets, and from its report to the
//! files that the user gets.

use std::collections::BTreeMap;
use std::str::FromStr;

use classad::Expr;
use dags::dag::Dag;
use dags::submit::{JobSpec, TransferExecutable, Universe};
use proto::nouns::{
    Blob, Digest, GpuNaming, Input, JobId, Outputs, Program, RelPath, Report, ToWorker, WorkOrder,
    join_path,
};

use crate::decide::params_json;
use crate::effect::{Effect, Landing};
use crate::event::{Event, Lands};
use crate::job::{Cluster, HoldCode, ProcState, Source};
use crate::queue::Queue;
use crate::workspace::Workspace;

/// Signals that a submit description may name, and their numbers on Linux.
const SIGNALS: [(&str, i32); 8] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGTERM", 15),
    ("SIGCONT", 18),
];

/// The parameters of the study above a node, as a file that its jobs may take as input.
/// Longest time that a job may take to end, whatever it asks for: what HTCondor's machines allow
/// (`MachineMaxVacateTime`).
const KILL_GRACE_MAX_MS: u64 = 600_000;
const BEST_FILE: &str = "best.json";

/// Why a job cannot be run as it is.
pub(crate) type Unfit = (HoldCode, String);

impl Queue {
    /// What the shell does because of an event that was just applied.
    pub(crate) fn effects_of(&self, event: &mut Event) -> Vec<Effect> {
        match event {
            Event::JobClaimed {
                claim,
                worker,
                behind,
                order,
                ..
            } => {
                let entry = self.pool.workers.get(worker);
                let session = entry.and_then(|entry| entry.session);
                let (Some(session), Some(order)) = (session, order.take()) else {
                    return Vec::new();
                };
                vec![Effect::Tell {
                    worker: worker.clone(),
                    session,
                    message: ToWorker::Activate {
                        claim: *claim,
                        order,
                        behind: *behind,
                    },
                }]
            }
            Event::JobReported {
                job,
                lands: Lands::Files,
                ..
            } => self.land(*job).into_iter().collect(),
            Event::JobReleased { job } => self.land(*job).into_iter().collect(),
            Event::JobReported {
                lands: Lands::Nothing,
                ..
            }
            | Event::ClusterQueued { .. }
            | Event::JobsEdited { .. }
            | Event::RestChanged { .. }
            | Event::RunQueued(_)
            | Event::NodePre { .. }
            | Event::NodeReady { .. }
            | Event::NodePreparing { .. }
            | Event::NodeStarted { .. }
            | Event::NodePost { .. }
            | Event::NodeReturned { .. }
            | Event::NodeRetried { .. }
            | Event::NodeEnded { .. }
            | Event::NodesFutile { .. }
            | Event::NodesReset { .. }
            | Event::RunResumed { .. }
            | Event::RunHalted { .. }
            | Event::RunThrottled { .. }
            | Event::RunProvisioned { .. }
            | Event::RunCut { .. }
            | Event::RunEnded { .. }
            | Event::FilesAdded { .. }
            | Event::TrialAdded { .. }
            | Event::TrialEnded { .. }
            | Event::JobStarted { .. }
            | Event::JobCompleted { .. }
            | Event::JobRequeued { .. }
            | Event::JobHeld { .. }
            | Event::JobRemoved { .. }
            | Event::JobUnfit { .. }
            | Event::WorkerDrained { .. }
            | Event::RulesSet(_)
            | Event::AccountSet { .. }
            | Event::Soft(_) => Vec::new(),
        }
    }

    /// The order for a job's next or current attempt.
    ///
    /// # Errors
    /// Why there is none: the description does not expand, or an input is not there.
    pub(crate) fn order(&self, job: JobId, gpus: &[String]) -> Result<WorkOrder, Unfit> {
        let (cluster, _) = self.job(job).expect("orders are made for jobs that exist");
        let spec = self
            .shared_spec(cluster, job.proc)
            .map_err(|reason| (HoldCode::FailedToCreateProcess, reason))?;
        self.order_of(job, &spec, gpus)
    }

    /// The order for a job that runs by this specification.
    ///
    /// # Errors
    /// An input is not there.
    pub(crate) fn order_of(
        &self,
        job: JobId,
        spec: &JobSpec,
        gpus: &[String],
    ) -> Result<WorkOrder, Unfit> {
        let (cluster, proc) = self.job(job).expect("orders are made for jobs that exist");
        let mut staging = Staging {
            queue: self,
            cluster,
            spec,
            inputs: BTreeMap::new(),
        };
        let program = staging.program()?;
        let stdin = match &spec.stdin {
            Some(path) => Some(staging.stage_one(path)?),
            None => None,
        };
        for path in &spec.transfer_input {
            staging.stage(path)?;
        }
        let inputs = staging.inputs.into_iter();
        Ok(WorkOrder {
            job,
            attempt: match proc.state {
                ProcState::Running { .. } => proc.attempts,
                ProcState::Idle
                | ProcState::Landing { .. }
                | ProcState::Held { .. }
                | ProcState::Completed { .. }
                | ProcState::Removed { .. } => proc.attempts + 1,
            },
            owner: cluster.owner.clone(),
            program,
            inputs: inputs.map(|(path, blob)| Input { path, blob }).collect(),
            stdin,
            outputs: outputs(spec)?,
            cpus: spec.request_cpus,
            // What nobody asked for is nobody's limit.
            memory_mib: match spec.ad.get("RequestMemory").is_some_and(Expr::is_literal) {
                true => spec.request_memory_mib,
                false => 0,
            },
            gpus: gpus.to_vec(),
            gpu_memory_mib: spec.request_gpu_memory_mib,
            gpu_naming: match spec.gpu_naming {
                dags::submit::GpuNaming::Uuid => GpuNaming::Uuid,
                dags::submit::GpuNaming::Index => GpuNaming::Index,
            },
            resources: spec.request_other.clone(),
            params: self.params(cluster, job.proc),
            kill_signal: signal(&spec.kill_signal),
            kill_grace_ms: self.kill_grace_ms(spec),
            arguments: spec.arguments.clone(),
            environment: spec.environment.clone(),
        })
    }

    /// How long a job may take to end when it is asked to.
    fn kill_grace_ms(&self, spec: &JobSpec) -> u64 {
        let asked = spec.policy.max_vacate_s;
        let asked = asked.map(|s| s.saturating_mul(1000).min(KILL_GRACE_MAX_MS));
        asked.unwrap_or(self.limits().kill_grace_ms)
    }

    /// A trial's parameters, or those of the best trial of the study above a node.
    /// The blobs of the files that a job takes as input.
    pub(crate) fn input_blobs<'a>(
        &'a self,
        cluster: &'a Cluster,
        spec: &'a JobSpec,
    ) -> impl Iterator<Item = Blob> + 'a {
        let workspace = &self.workspaces[&self.home(cluster.top())];
        let paths = spec.transfer_input.iter();
        paths.flat_map(move |written| {
            let base = join_path(&cluster.dir, &spec.initial_dir);
            let found = workspace.find(&join_path(&base, written), written);
            found.into_iter().map(|(_, blob)| blob)
        })
    }

    fn params(&self, cluster: &Cluster, proc: u32) -> Option<String> {
        match cluster.source {
            Source::User => None,
            Source::Study { run, node } => {
                let study = self.runs.get(&run)?.studies.get(&node)?;
                Some(params_json(&study.trials.get(proc as usize)?.params))
            }
            Source::Node { run, node } => String::from_utf8(self.best_above(run, node)?).ok(),
        }
    }

    /// The `best.json` of the study among a node's parents.
    fn best_above(&self, run: u32, node: u32) -> Option<Vec<u8>> {
        let parents = self.runs.get(&run)?.dag.parents_of(node);
        parents
            .into_iter()
            .find_map(|parent| self.best_json(run, parent))
    }

    /// Where each file of a report goes: the path in the workspace, and what belongs there.
    pub fn landing_files(&self, job: JobId, report: &Report) -> Vec<(String, Blob)> {
        let Some(cluster) = self.clusters.get(&job.cluster) else {
            return Vec::new();
        };
        let Ok(spec) = self.shared_spec(cluster, job.proc) else {
            return Vec::new();
        };
        let base = join_path(&cluster.dir, &spec.initial_dir);
        let outputs = report
            .outputs
            .iter()
            .map(|(path, blob)| (remap(&spec, path), *blob));
        let logs = [(&spec.stdout, report.stdout), (&spec.stderr, report.stderr)];
        let logs = logs
            .into_iter()
            .filter_map(|(path, blob)| Some((path.clone()?, blob.unwrap_or_else(empty_blob))));
        outputs
            .chain(logs)
            .filter(|(path, _)| path != "/dev/null")
            .map(|(path, blob)| (join_path(&base, &path), blob))
            .collect()
    }

    /// The effect that writes a landing job's files.
    pub(crate) fn land(&self, job: JobId) -> Option<Effect> {
        let (cluster, proc) = self.job(job)?;
        let ProcState::Landing { ending } = &proc.state else {
            return None;
        };
        let directory = self
            .workspaces
            .get(&self.home(cluster.top()))?
            .directory
            .clone();
        let files = self.landing_files(job, &ending.report);
        Some(Effect::Land(Box::new(Landing {
            job,
            directory,
            files,
        })))
    }
}

/// The inputs of one order, as they are found.
struct Staging<'a> {
    queue: &'a Queue,
    cluster: &'a Cluster,
    spec: &'a JobSpec,
    inputs: BTreeMap<RelPath, Blob>,
}

impl Staging<'_> {
    fn program(&mut self) -> Result<Program, Unfit> {
        match (self.spec.universe, self.spec.transfer_executable) {
            (Universe::Train, _) => Ok(Program::Trainer),
            (Universe::Vanilla, TransferExecutable::Present) => {
                Ok(Program::Installed(self.spec.executable.clone()))
            }
            (Universe::Vanilla, TransferExecutable::Staged) => {
                let path = self.stage_one(&self.spec.executable)?;
                if let Some(blob) = self.inputs.get_mut(&path) {
                    blob.executable = true;
                }
                Ok(Program::Staged(path))
            }
        }
    }

    /// Stages what must be one file, and gives its place in the job's directory.
    fn stage_one(&mut self, written: &str) -> Result<RelPath, Unfit> {
        match self.stage(written)?.as_slice() {
            [path] => Ok(path.clone()),
            _ => Err(unfit_input(
                written,
                "it is a directory, and must be a file",
            )),
        }
    }

    fn stage(&mut self, written: &str) -> Result<Vec<RelPath>, Unfit> {
        let base = join_path(&self.cluster.dir, &self.spec.initial_dir);
        let path = join_path(&base, written);
        let mut found = self.workspace().find(&path, written);
        if found.is_empty() && written == BEST_FILE {
            found.extend(self.best_file());
        }
        if found.is_empty() {
            return Err(unfit_input(written, "it is not there"));
        }
        let mut staged = Vec::new();
        for (name, blob) in found {
            let path = RelPath::from_str(&name)
                .map_err(|error| unfit_input(written, &error.to_string()))?;
            self.inputs.insert(path.clone(), blob);
            staged.push(path);
        }
        Ok(staged)
    }

    fn workspace(&self) -> &Workspace {
        &self.queue.workspaces[&self.queue.home(self.cluster.top())]
    }

    fn best_file(&self) -> Option<(String, Blob)> {
        let (run, node) = self.cluster.node()?;
        let bytes = self.queue.best_above(run, node)?;
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        let blob = Blob {
            digest,
            bytes: bytes.len() as u64,
            executable: false,
        };
        Some((BEST_FILE.to_owned(), blob))
    }
}

fn unfit_input(written: &str, reason: &str) -> Unfit {
    (
        HoldCode::TransferInput,
        format!("the input file `{written}` cannot be staged: {reason}"),
    )
}

/// The outputs that come back, by the names they have in the job's directory.
fn outputs(spec: &JobSpec) -> Result<Outputs, Unfit> {
    let Some(listed) = &spec.transfer_output else {
        return Ok(Outputs::New);
    };
    let path = |path: &String| {
        RelPath::from_str(path.trim_end_matches('/')).map_err(|error| {
            let reason = format!("transfer_output_files names a file that cannot be made: {error}");
            (HoldCode::TransferOutput, reason)
        })
    };
    Ok(Outputs::Listed(
        listed.iter().map(path).collect::<Result<_, _>>()?,
    ))
}

/// Where an output goes by `transfer_output_remaps`: a name is looked up whole, then by its
/// directories.
fn remap(spec: &JobSpec, path: &RelPath) -> String {
    let path = path.as_str();
    if let Some(place) = spec.output_remaps.get(path) {
        return place.clone();
    }
    let cuts = path
        .char_indices()
        .rev()
        .filter(|(_, c)| *c == '/')
        .map(|(at, _)| at);
    for cut in cuts {
        if let Some(place) = spec.output_remaps.get(&path[..cut]) {
            return format!("{place}{}", &path[cut..]);
        }
    }
    path.to_owned()
}

/// What a log that nothing was written to is.
fn empty_blob() -> Blob {
    Blob {
        digest: Digest(*blake3::hash(b"").as_bytes()),
        bytes: 0,
        executable: false,
    }
}

fn signal(name: &str) -> i32 {
    let known = SIGNALS.iter().find(|(known, _)| *known == name);
    known
        .map(|(_, number)| *number)
        .or_else(|| name.parse().ok())
        .unwrap_or(15)
}

/// The files that a job takes as input, as the workspace calls them. `dir` is its node's.
pub fn input_paths(dir: &str, spec: &JobSpec) -> Vec<String> {
    let base = join_path(dir, &spec.initial_dir);
    let staged = spec.universe == Universe::Vanilla
        && spec.transfer_executable == TransferExecutable::Staged;
    let executable = staged.then_some(&spec.executable);
    let paths = spec
        .transfer_input
        .iter()
        .chain(&spec.stdin)
        .chain(executable);
    paths
        .filter(|path| *path != BEST_FILE && *path != "/dev/null")
        .map(|path| join_path(&base, path))
        .collect()
}

/// The files that a node's jobs are known to make, as the workspace will call them; nothing for a
/// job whose outputs are only known when it ends. For those who check a DAG before it runs.
pub fn declared_outputs(dag: &Dag, node: u32, spec: &JobSpec) -> Vec<String> {
    let dir = &dag.nodes[node as usize].dir;
    let base = join_path(dir, &spec.initial_dir);
    let listed = spec.transfer_output.iter().flatten();
    let places = listed.filter_map(|path| RelPath::from_str(path.trim_end_matches('/')).ok());
    let logs = spec.stdout.iter().chain(&spec.stderr).cloned();
    places
        .map(|path| remap(spec, &path))
        .chain(logs)
        .map(|path| join_path(&base, &path))
        .collect()
}
