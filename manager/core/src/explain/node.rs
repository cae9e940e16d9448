//! Why a node of a DAG run does not go on: its parents, the throttles of its run, its scripts, its
//! study; or the job that it waits for.

use proto::nouns::{JobId, Now};

use super::{Prospect, Why, plural};
use crate::job::ProcState;
use crate::queue::Queue;
use crate::rest::Rest;
use crate::run::{NodeState, Run, RunState};

/// Parents that are named.
const PARENTS_MAX: usize = 5;

impl Queue {
    /// Why a node is in the state it is in, and the job that the answer is about, if it is about
    /// one; nothing if there is no such run or node.
    pub fn why_node(&self, now: Now, run: u32, node: &str) -> Option<(Option<JobId>, Why)> {
        let run = self.runs().get(&run)?;
        let exact = run.dag.nodes.iter().position(|of| of.name == node);
        let at = exact.or_else(|| {
            let mut nodes = run.dag.nodes.iter();
            nodes.position(|of| of.name.eq_ignore_ascii_case(node))
        })?;
        let at = u32::try_from(at).ok()?;
        let cluster = run.nodes[at as usize].cluster;
        if let Some(job) = cluster.and_then(|cluster| self.first_open(cluster)) {
            return Some((Some(job), self.why(now, job)?));
        }
        Some((None, self.why_node_itself(run, at)))
    }

    /// The first job of a cluster that waits, else the first that is not over.
    fn first_open(&self, cluster: u32) -> Option<JobId> {
        let of = self.clusters().get(&cluster)?;
        let job = |proc| JobId { cluster, proc };
        if let Some(proc) = of.next_idle(0) {
            return Some(job(proc));
        }
        let touched = of.procs.iter().find(|(_, record)| match record.state {
            ProcState::Completed { .. } | ProcState::Removed { .. } => false,
            ProcState::Idle
            | ProcState::Running { .. }
            | ProcState::Landing { .. }
            | ProcState::Held { .. } => true,
        });
        let untouched = || match of.rest {
            Rest::Idle | Rest::Held { .. } => of.rest_from(0).next(),
            Rest::Removed { .. } => None,
        };
        touched.map(|(proc, _)| *proc).or_else(untouched).map(job)
    }

    fn why_node_itself(&self, run: &Run, at: u32) -> Why {
        let record = &run.nodes[at as usize];
        let say = |prospect, code, summary: String| Why {
            status: record.state.name(),
            prospect,
            code,
            summary,
            ..Why::default()
        };
        let waits = |code, summary| say(Prospect::NotNow, code, summary);
        let held = self.waits(run, at);
        let over = run.state != RunState::Running;
        match &record.state {
            NodeState::Done => say(Prospect::Well, "W004", "it is done".to_owned()),
            NodeState::Failed { reason } => {
                say(Prospect::Failed, "W005", format!("it failed: {reason}"))
            }
            NodeState::Futile => {
                let summary = "a node that it depends on failed: it never starts".to_owned();
                say(Prospect::Never, "W204", summary)
            }
            NodeState::Waiting if over => {
                let summary = format!("its DAG run is {}", run.state.name().to_lowercase());
                say(Prospect::Never, "W206", summary)
            }
            NodeState::Waiting if run.parents_left[at as usize] > 0 => {
                waits("W201", parents(run, at))
            }
            NodeState::Waiting
            | NodeState::Ready
            | NodeState::Pre
            | NodeState::Preparing
            | NodeState::Running
            | NodeState::Post
                if held.is_some() =>
            {
                waits("W202", held.unwrap_or_default())
            }
            NodeState::Waiting | NodeState::Ready => {
                waits("W202", "it has its turn next".to_owned())
            }
            NodeState::Preparing => waits("W202", "its files are being read".to_owned()),
            NodeState::Pre => waits("W203", "its PRE script runs".to_owned()),
            NodeState::Post => waits("W203", "its POST script runs".to_owned()),
            NodeState::Running => self.why_running(run, at),
        }
    }

    /// A node that runs and none of whose jobs is in the queue.
    fn why_running(&self, run: &Run, at: u32) -> Why {
        let record = &run.nodes[at as usize];
        let (code, summary) = match (record.subrun, run.studies.get(&at)) {
            (Some(sub), _) => ("W001", format!("its sub-DAG runs as {sub}")),
            (None, Some(study)) => {
                let trials = plural(study.trials.len() as u64, "trial");
                let text = format!("its study has {trials} and waits for the optimizer's next");
                ("W205", text)
            }
            (None, None) => ("W001", "it runs".to_owned()),
        };
        let prospect = match code {
            "W205" => Prospect::NotNow,
            _ => Prospect::Well,
        };
        Why {
            status: record.state.name(),
            prospect,
            code,
            summary,
            ..Why::default()
        }
    }
}

/// Which parents a node waits for.
fn parents(run: &Run, at: u32) -> String {
    let open = run.dag.parents_of(at);
    let open: Vec<u32> = open
        .into_iter()
        .filter(|parent| run.nodes[*parent as usize].state != NodeState::Done)
        .collect();
    let named = open.iter().take(PARENTS_MAX).map(|parent| {
        let state = run.nodes[*parent as usize].state.name().to_lowercase();
        format!("{} ({state})", run.node_name(*parent))
    });
    let named: Vec<String> = named.collect();
    let more = match open.len().saturating_sub(PARENTS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let of = plural(open.len() as u64, "parent");
    format!("it waits for {of}: {}{more}", named.join(", "))
}
