//! The user's event log, `log = …` of a submit description: what happened to a job as HTCondor's
//! events, in the file that the job's description names. How an event is written is in
//! [`crate::user_log`].

use classad::ClassAd;
use dags::submit::JobSpec;
use proto::nouns::{Ended, JobId, Now, Report, WorkerName, join_path};

use super::moment::{Evicted, Moment};
use super::{Before, Was};
use crate::command::ScriptEnd;
use crate::event::{Event, NodeEnd, Soft, Taken};
use crate::job::{Cluster, HoldCode, Logs};
use crate::journal::raised_to;
use crate::queue::Queue;
use crate::run::ScriptKind;
use crate::user_log::{
    self, Amount, ClusterRemove, Completion, End, Evicting, Execute, Header, Held, LogEvent, Notes,
    PostScriptTerminated, Resource, ShadowException, Submit, Terminated, Usage,
};

/// What stands where HTCondor has the address of the machine that a job was submitted from.
const SUBMIT_HOST: &str = "<updraft>";
/// What a script that could not be started returns, as a shell has it.
const NOT_STARTED: i32 = 127;

impl Queue {
    /// Tells the logs of jobs, and that of their run, what happened to them.
    pub(super) fn tell_jobs(&mut self, now: Now, event: &Event, before: &Before) {
        for (job, moment) in self.moments(event, before) {
            let cluster = &self.clusters[&job.cluster];
            if cluster.logs == Logs::Perhaps
                && let Some((path, text)) = self.logged(now, cluster, job, moment)
            {
                let home = self.home(cluster.top());
                self.append(home, path, &text);
            }
            self.tell_jobstate_of(now, job, moment);
        }
    }

    /// Tells the logs of a node's jobs what its scripts did.
    pub(super) fn tell_node(&mut self, now: Now, event: &Event, before: &Before) {
        if let Event::Soft(Soft::ScriptEnded {
            run,
            node,
            kind: ScriptKind::Post,
            end,
        }) = event
        {
            self.tell_post(now, *run, *node, end);
        }
        if let Event::NodeEnded {
            run,
            node,
            end: NodeEnd::Done,
        } = event
            && matches!(before, Before::Node(Was::Pre))
        {
            self.tell_skip(now, *run, *node);
        }
    }

    fn tell_post(&mut self, now: Now, run: u32, node: u32, end: &ScriptEnd) {
        let record = self.runs.get(&run).map(|run| &run.nodes[node as usize]);
        let cluster = record.and_then(|record| record.cluster);
        let Some(cluster) = cluster.and_then(|id| self.clusters.get(&id)) else {
            return;
        };
        if cluster.logs == Logs::Never || cluster.count == 0 {
            return;
        }
        let Some(path) = self
            .shared_spec(cluster, 0)
            .ok()
            .and_then(|spec| log_path(&cluster.dir, &spec))
        else {
            return;
        };
        let event = LogEvent::PostScriptTerminated(PostScriptTerminated {
            end: match end {
                ScriptEnd::Exited(code) => End::Exit(*code),
                ScriptEnd::Signaled(signal) => End::Signal(*signal),
                ScriptEnd::NotStarted(_) => End::Exit(NOT_STARTED),
            },
            dag_node: self.runs[&run].node_name(node).to_owned(),
        });
        let text = user_log::write(&self.header(now, cluster.id, 0), &event);
        let home = self.home(run);
        self.append(home, path, &text);
    }

    /// The node has no jobs that would say where their log is: its description does.
    fn tell_skip(&mut self, now: Now, id: u32, node: u32) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let Some(submit) = run.dag.submit_of(node) else {
            return;
        };
        let macros = self.node_macros(id, node);
        if macros.get("log").is_none() && !submit.may_assign(&["log"]) {
            return;
        }
        let items = submit.procs(&macros).ok();
        let row = items.as_ref().filter(|items| !items.is_empty());
        let row = row.map(|items| items.row(0)).unwrap_or_default();
        let Ok(spec) = submit.expand(&macros, 0, 0, row) else {
            return;
        };
        let Some(path) = log_path(&run.dag.nodes[node as usize].dir, &spec) else {
            return;
        };
        let dag_node = run.node_name(node).to_owned();
        let event = LogEvent::PreSkip { dag_node };
        let text = user_log::write(&self.header(now, 0, 0), &event);
        let home = self.home(id);
        self.append(home, path, &text);
    }

    /// The log of a job, and what it gets.
    pub(super) fn logged(
        &self,
        now: Now,
        cluster: &Cluster,
        job: JobId,
        moment: Moment<'_>,
    ) -> Option<(String, String)> {
        let spec = self.shared_spec(cluster, job.proc).ok()?;
        let path = log_path(&cluster.dir, &spec)?;
        let proc = match moment.is_of_cluster() {
            true => -1,
            false => i64::from(job.proc),
        };
        let event = self.log_event(cluster, job, &spec, moment)?;
        let header = self.header(now, job.cluster, proc);
        let mut text = user_log::write(&header, &event);
        if let Some(attrs) = self.asked_attrs(cluster, job, &spec, moment) {
            text += &user_log::write(&header, &LogEvent::JobAdInformation { attrs });
        }
        Some((path, text))
    }

    /// What `job_ad_information_attrs` names, behind each event of a job.
    fn asked_attrs(
        &self,
        cluster: &Cluster,
        job: JobId,
        spec: &JobSpec,
        moment: Moment<'_>,
    ) -> Option<ClassAd> {
        let names = spec.ad.eval("JobAdInformationAttrs");
        let names = names.as_str().filter(|_| !moment.is_of_cluster())?;
        let own = match cluster.filled(job.proc) {
            Some(filled) => filled.clone(),
            None => self.expanded(cluster, job.proc, &mut Vec::new()).ok()?,
        };
        let mut attrs = ClassAd::new();
        let number = moment.number();
        attrs.insert("TriggerEventTypeNumber", u32::from(number));
        let name = format!("ULOG_{}", user_log::name(number));
        attrs.insert("TriggerEventTypeName", name);
        let names = names
            .split([',', ' ', '\t'])
            .filter(|name| !name.is_empty());
        for name in names {
            let value = own.ad.eval(name);
            if !value.is_undefined() {
                attrs.insert(name, value);
            }
        }
        Some(attrs)
    }

    fn log_event(
        &self,
        cluster: &Cluster,
        job: JobId,
        spec: &JobSpec,
        moment: Moment<'_>,
    ) -> Option<LogEvent> {
        Some(match moment {
            Moment::Submit => LogEvent::Submit(self.submit_event(cluster, spec)),
            Moment::ClusterSubmit => LogEvent::ClusterSubmit(self.submit_event(cluster, spec)),
            Moment::Execute {
                worker,
                taken,
                gpus,
            } => execute(worker, taken, gpus),
            Moment::Evicted { worker, why } => left(worker, why, spec),
            Moment::Requeued { report, failure } => {
                let (end, core_file) = (end_of(&report.ended)?, None);
                let how = Evicting::Requeued { end, core_file };
                let reason = format!("it {failure} and may be retried (max_retries)");
                let table = resources(spec, Some(report));
                let requeued = user_log::Evicted {
                    remote: usage(report),
                    sent_bytes: sent(report),
                    received_bytes: self.received(job),
                    ..evicted(how, reason, 0, table)
                };
                LogEvent::Evicted(Box::new(requeued))
            }
            Moment::Exception { worker, reason } => LogEvent::ShadowException(ShadowException {
                message: format!("{worker} could not start the job: {reason}"),
                sent_bytes: 0,
                received_bytes: 0,
            }),
            Moment::Terminated => self.terminated(job, spec)?,
            Moment::Aborted { reason } => LogEvent::Aborted {
                reason: reason.to_owned(),
            },
            Moment::Held { code, reason } => LogEvent::Held(Held {
                reason: reason.to_owned(),
                code: code.number(),
                subcode: code.subcode(),
            }),
            Moment::Released => LogEvent::Released {
                reason: "somebody released it".to_owned(),
            },
            Moment::ClusterRemove => {
                let tally = cluster.tally();
                let begun = cluster.procs.values().filter(|proc| proc.attempts > 0);
                LogEvent::ClusterRemove(ClusterRemove {
                    jobs: u32::try_from(begun.count()).unwrap_or(u32::MAX),
                    items: cluster.count,
                    completion: match tally.removed {
                        0 => Completion::Complete,
                        _ => Completion::Incomplete,
                    },
                    notes: String::new(),
                })
            }
        })
    }

    fn submit_event(&self, cluster: &Cluster, spec: &JobSpec) -> Submit {
        let text = |name| spec.ad.eval(name).as_str().map(str::to_owned);
        let notes = match cluster.node() {
            Some((run, node)) => Notes::DagNode(self.runs[&run].node_name(node).to_owned()),
            None => text("SubmitEventNotes").map_or(Notes::None, Notes::Text),
        };
        Submit {
            host: SUBMIT_HOST.to_owned(),
            notes,
            user_notes: text("SubmitEventUserNotes"),
            warnings: None,
        }
    }

    fn terminated(&self, job: JobId, spec: &JobSpec) -> Option<LogEvent> {
        let (_, proc) = self.job(job)?;
        let report = &proc.ending()?.report;
        let (used, none) = (usage(report), Usage::default());
        let (sent, received) = (sent(report), self.received(job));
        Some(LogEvent::Terminated(Box::new(Terminated {
            end: end_of(&report.ended)?,
            core_file: None,
            run_remote: used,
            run_local: none,
            total_remote: used,
            total_local: none,
            sent_bytes: sent,
            received_bytes: received,
            total_sent_bytes: sent,
            total_received_bytes: received,
            resources: resources(spec, Some(report)),
            own_accord: None,
        })))
    }

    /// Bytes of the files that a job was given.
    fn received(&self, job: JobId) -> u64 {
        let inputs = self.order(job, &[]).map(|order| order.inputs);
        inputs.iter().flatten().map(|input| input.blob.bytes).sum()
    }

    fn header(&self, now: Now, cluster: u32, proc: i64) -> Header {
        Header {
            cluster: i64::from(cluster),
            proc,
            subproc: 0,
            at: self.local(now),
        }
    }
}

/// As the workspace calls it. `dir` is the node's.
fn log_path(dir: &str, spec: &JobSpec) -> Option<String> {
    let log = spec.log.as_ref()?;
    Some(join_path(&join_path(dir, &spec.initial_dir), log))
}

fn execute(worker: &WorkerName, taken: &Taken, gpus: &[String]) -> LogEvent {
    let mut props = ClassAd::new();
    props.insert("Cpus", taken.cpus);
    props.insert("Memory", whole(taken.memory_mib));
    props.insert("Disk", whole(taken.disk_kib));
    if !gpus.is_empty() {
        props.insert("GPUs", whole(gpus.len() as u64));
        props.insert("AssignedGPUs", gpus.join(","));
    }
    LogEvent::Execute(Execute {
        host: format!("<{worker}>"),
        slot_name: Some(worker.to_string()),
        props,
    })
}

fn left(worker: &WorkerName, why: Evicted, spec: &JobSpec) -> LogEvent {
    let (reason, code) = match why {
        Evicted::LeaseExpired => (format!("{worker} was silent for a whole lease"), 0),
        Evicted::Lost => (format!("{worker} came back without the job"), 0),
        Evicted::Vacated => (format!("{worker} stopped the job"), 0),
        Evicted::Drained => (format!("{worker} is drained"), 0),
        Evicted::Preempted => (format!("{worker} has another job for the slot"), 0),
        Evicted::Raised(more) => {
            let code = HoldCode::OutOfResources(more.resource).number();
            (format!("{worker}: {}", raised_to(&more)), code)
        }
        Evicted::Held => {
            let reason = "the job is held".to_owned();
            (reason, HoldCode::UserRequest.number())
        }
    };
    let left = evicted(Evicting::Lost, reason, code, resources(spec, None));
    LogEvent::Evicted(Box::new(left))
}

fn evicted(
    how: Evicting,
    reason: String,
    code: i32,
    resources: Vec<Resource>,
) -> user_log::Evicted {
    user_log::Evicted {
        how,
        remote: Usage::default(),
        local: Usage::default(),
        sent_bytes: 0,
        received_bytes: 0,
        reason,
        code,
        subcode: 0,
        resources,
    }
}

fn end_of(ended: &Ended) -> Option<End> {
    match ended {
        Ended::Exited(code) => Some(End::Exit(*code)),
        Ended::Signaled(signal) => Some(End::Signal(*signal)),
        Ended::Vacated | Ended::Exceeded { .. } | Ended::NotStarted { .. } => None,
    }
}

fn usage(report: &Report) -> Usage {
    Usage {
        user_s: report.user_cpu_ms / 1000,
        system_s: report.system_cpu_ms / 1000,
    }
}

/// Bytes of the files that a job gave back.
fn sent(report: &Report) -> u64 {
    let outputs = report.outputs.iter().map(|(_, blob)| blob.bytes);
    let logs = report.stdout.iter().chain(&report.stderr);
    outputs.sum::<u64>() + logs.map(|blob| blob.bytes).sum::<u64>()
}

/// What a job asked for and was given, which is the same, and what it used.
fn resources(spec: &JobSpec, report: Option<&Report>) -> Vec<Resource> {
    let cpu_ms = report.map(|report| report.user_cpu_ms + report.system_cpu_ms);
    let wall_ms = report.map(|report| report.ended_ms.saturating_sub(report.started_ms));
    let cpus = match (cpu_ms, wall_ms) {
        (Some(cpu_ms), Some(wall_ms)) if wall_ms > 0 => {
            Some(Amount::Part(cpu_ms as f64 / wall_ms as f64))
        }
        (Some(_), _) | (None, _) => None,
    };
    let memory = report.map(|report| Amount::Whole(whole(report.rss_max_kib.div_ceil(1024))));
    let resource = |name: &str, used, amount: u64| Resource {
        name: name.to_owned(),
        used,
        requested: Some(Amount::Whole(whole(amount))),
        allocated: Some(Amount::Whole(whole(amount))),
        assigned: None,
    };
    let mut table = vec![
        resource("Cpus", cpus, u64::from(spec.request_cpus.max(1))),
        resource("Disk", None, spec.request_disk_kib),
        resource("Memory", memory, spec.request_memory_mib),
    ];
    if spec.request_gpus > 0 {
        table.push(resource("Gpus", None, u64::from(spec.request_gpus)));
    }
    table
}

fn whole(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
