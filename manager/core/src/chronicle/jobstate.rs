//! `JOBSTATE_LOG`: DAGMan's history of a run, a line for each event of a node and its jobs.
//!
//! Source: HTCondor manual, "Machine-Readable Event History". A line is `timestamp node event
//! job-id tag - sequence`; the tag is the job's `pegasus_site`, or what the attribute holds that
//! `job_tag_name` names.

use std::fmt::Write as _;

use dags::dag::{NodeKind, Role};
use proto::nouns::{JobId, Now};

use super::moment::Moment;
use super::{Before, Was};
use crate::command::ScriptEnd;
use crate::decide::node::{NOT_SUBMITTED, PRE_FAILED};
use crate::event::{Event, NodeEnd, Part, Soft, Works};
use crate::queue::Queue;
use crate::run::{Run, ScriptKind};
use crate::user_log;

/// What stands where there is no job, or no tag.
const NONE: &str = "-";

impl Queue {
    /// Tells a run's log what an event means to the run and its nodes.
    pub(super) fn tell_jobstate(&mut self, now: Now, event: &Event, before: &Before) {
        let Some(run) = run_of(event).and_then(|id| self.runs.get(&id)) else {
            return;
        };
        if !run.has_jobstate_log() {
            return;
        }
        let id = run.id;
        let text = self.jobstate_lines(now, run, event, before);
        self.append_jobstate(id, &text);
    }

    /// Tells the log of a job's run what happened to the job.
    pub(super) fn tell_jobstate_of(&mut self, now: Now, job: JobId, moment: Moment<'_>) {
        let Some((id, node)) = self.clusters[&job.cluster].node() else {
            return;
        };
        let run = &self.runs[&id];
        if !run.has_jobstate_log() {
            return;
        }
        let name = user_log::name(moment.number());
        let job = match moment.is_of_cluster() {
            true => format!("{}.-1", job.cluster),
            false => job.to_string(),
        };
        let text = self.line(now, run, node, name, &job);
        self.append_jobstate(id, &text);
    }

    /// A restart went on with a run.
    pub(super) fn tell_recovery(&mut self, now: Now, id: u32) {
        if self.runs[&id].has_jobstate_log() {
            let text = internal(now, "RECOVERY_STARTED") + &internal(now, "RECOVERY_FINISHED");
            self.append_jobstate(id, &text);
        }
    }

    fn append_jobstate(&mut self, id: u32, text: &str) {
        let run = &self.runs[&id];
        if let Some(file) = &run.dag.papers.jobstate_log {
            let path = proto::nouns::join_path(&run.dag.dir, file);
            let home = run.home;
            self.append(home, path, text);
        }
    }

    fn jobstate_lines(&self, now: Now, run: &Run, event: &Event, before: &Before) -> String {
        let line = |node, name: &str, job: &str| self.line(now, run, node, name, job);
        if let Event::RunQueued(_) | Event::RunResumed { .. } = event {
            return internal(now, &format!("DAGMAN_STARTED {}.0", run.id));
        }
        if let Event::RunEnded { .. } = event {
            let exit = run.state.exit().unwrap_or(1);
            return internal(now, &format!("DAGMAN_FINISHED {exit}"));
        }
        if let Event::Soft(Soft::ScriptStarted { node, kind, .. }) = event {
            return match kind {
                ScriptKind::Pre => line(*node, "PRE_SCRIPT_STARTED", NONE),
                ScriptKind::Post => line(*node, "POST_SCRIPT_STARTED", &post_id(run, *node)),
                ScriptKind::Hold => String::new(),
            };
        }
        if let Event::Soft(Soft::ScriptEnded {
            node, kind, end, ..
        }) = event
        {
            return self.script_ended(now, run, *node, *kind, end);
        }
        if let Event::NodeStarted {
            node,
            works: Works::Subrun(subrun),
            ..
        } = event
        {
            let id = format!("{subrun}.0");
            return line(*node, "SUBMIT", &id) + &line(*node, "EXECUTE", &id);
        }
        if let Event::NodeReturned {
            node,
            part: Part::Jobs,
            code,
            ..
        } = event
        {
            return self.jobs_ended(now, run, *node, *code);
        }
        if let Event::NodeEnded {
            node,
            end: NodeEnd::Done,
            ..
        } = event
            && let Before::Node(was) = before
        {
            return self.node_done_lines(now, run, *node, *was);
        }
        String::new()
    }

    fn script_ended(
        &self,
        now: Now,
        run: &Run,
        node: u32,
        kind: ScriptKind,
        end: &ScriptEnd,
    ) -> String {
        let line = |name: &str, job: &str| self.line(now, run, node, name, job);
        let skip = run.dag.nodes[node as usize].pre_skip;
        let well = match (kind, end) {
            (_, ScriptEnd::Exited(0)) => true,
            (ScriptKind::Pre, ScriptEnd::Exited(code)) => skip == Some(*code),
            (_, ScriptEnd::Exited(_) | ScriptEnd::Signaled(_) | ScriptEnd::NotStarted(_)) => false,
        };
        match (kind, well) {
            (ScriptKind::Pre, true) => line("PRE_SCRIPT_SUCCESS", NONE),
            (ScriptKind::Pre, false) => line("PRE_SCRIPT_FAILURE", NONE),
            (ScriptKind::Post, _) => {
                let id = post_id(run, node);
                let verdict = match well {
                    true => "POST_SCRIPT_SUCCESS",
                    false => "POST_SCRIPT_FAILURE",
                };
                line("POST_SCRIPT_TERMINATED", &id) + &line(verdict, &id)
            }
            (ScriptKind::Hold, _) => String::new(),
        }
    }

    /// The jobs of a node, or its sub-DAG, returned a code.
    fn jobs_ended(&self, now: Now, run: &Run, node: u32, code: i32) -> String {
        let line = |name: &str, job: &str| self.line(now, run, node, name, job);
        let ended = match subrun_id(run, node) {
            Some(id) if code != NOT_SUBMITTED => line("JOB_TERMINATED", &id),
            Some(_) | None => String::new(),
        };
        match code {
            PRE_FAILED => String::new(),
            NOT_SUBMITTED => line("SUBMIT_FAILURE", NONE),
            0 => ended + &line("JOB_SUCCESS", "0"),
            code => ended + &line("JOB_FAILURE", &code.to_string()),
        }
    }

    /// A node whose jobs did well says so only by its end, where it has no POST script.
    fn node_done_lines(&self, now: Now, run: &Run, node: u32, was: Was) -> String {
        let service = run.role(node) == Role::Service;
        match was {
            Was::Pre => self.line(now, run, node, user_log::name(34), NONE),
            Was::Active if !service => self.jobs_ended(now, run, node, 0),
            Was::Active | Was::Waiting | Was::Post | Was::Over => String::new(),
        }
    }

    fn line(&self, now: Now, run: &Run, node: u32, event: &str, job: &str) -> String {
        let mut text = String::new();
        let (name, tag) = (run.node_name(node), self.tag(run, node));
        let sequence = run.nodes[node as usize].sequence;
        let seconds = now.wall_ms / 1000;
        // Writing to a string does not fail.
        let _ = writeln!(text, "{seconds} {name} {event} {job} {tag} - {sequence}");
        text
    }

    /// What workflow managers call a node's jobs by.
    fn tag(&self, run: &Run, node: u32) -> String {
        let found = || {
            let submit = run.dag.submit_of(node)?;
            let names = ["my.pegasus_site", "my.job_tag_name"];
            if !submit.may_assign(&names) {
                return None;
            }
            let macros = self.node_macros(run.id, node);
            let items = submit.procs(&macros).ok()?;
            let row = match items.is_empty() {
                true => &[],
                false => items.row(0),
            };
            let ad = submit.expand(&macros, 0, 0, row).ok()?.ad;
            let text = |name: &str| ad.eval(name).as_str().map(str::to_owned);
            let named = text("job_tag_name").and_then(|name| {
                let name = name.trim_start_matches('+');
                text(name)
            });
            named.or_else(|| text("pegasus_site"))
        };
        // A space would make one more field of it.
        let tag = found().map(|tag| tag.replace(char::is_whitespace, "_"));
        tag.filter(|tag| !tag.is_empty())
            .unwrap_or_else(|| NONE.to_owned())
    }
}

fn internal(now: Now, what: &str) -> String {
    format!("{} INTERNAL *** {what} ***\n", now.wall_ms / 1000)
}

/// The run that an event of a run or a node is about, if the log has lines for such events.
fn run_of(event: &Event) -> Option<u32> {
    if let Event::RunQueued(queued) = event {
        return Some(queued.run.id);
    }
    if let Event::RunResumed { run }
    | Event::RunEnded { run, .. }
    | Event::NodeStarted { run, .. }
    | Event::NodeReturned { run, .. }
    | Event::NodeEnded { run, .. }
    | Event::Soft(Soft::ScriptStarted { run, .. } | Soft::ScriptEnded { run, .. }) = event
    {
        return Some(*run);
    }
    None
}

/// The sub-DAG of a node in DAGMan's eyes is a job.
fn subrun_id(run: &Run, node: u32) -> Option<String> {
    let record = &run.nodes[node as usize];
    match run.dag.nodes[node as usize].kind {
        NodeKind::Subdag { .. } => record.subrun.map(|id| format!("{id}.0")),
        NodeKind::Job { .. } | NodeKind::Study { .. } | NodeKind::Noop | NodeKind::Join => None,
    }
}

/// The job that a POST script follows.
fn post_id(run: &Run, node: u32) -> String {
    let record = &run.nodes[node as usize];
    let job = record.cluster.map(|cluster| format!("{cluster}.0"));
    job.or_else(|| subrun_id(run, node))
        .filter(|_| record.returned != Some(PRE_FAILED))
        .unwrap_or_else(|| NONE.to_owned())
}
