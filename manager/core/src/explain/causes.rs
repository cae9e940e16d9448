//! All that waits, grouped by cause. Jobs that are alike to every worker are asked about once, and
//! that anew; in slices, so that a long answer keeps nobody else waiting.

use std::collections::BTreeMap;

use proto::nouns::{JobId, Now};

use super::asking::Asking;
use super::census::{Census, Counts};
use super::clauses::bare;
use super::{Prospect, barriers, number, verdict};
use crate::job::ProcState;
use crate::negotiator::{Group, Groups, Slice};
use crate::queue::Queue;
use crate::rest::Rest;

/// Groups of one slice, and clusters whose jobs are counted.
const GROUPS_MAX: usize = 16;
const CLUSTERS_MAX: usize = 4_096;
/// Groups of one answer; jobs of others are counted as not looked at.
const ASKED_MAX: usize = 10_000;

/// Jobs that wait for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub code: &'static str,
    pub prospect: Prospect,
    pub summary: String,
    /// The clause that nobody is left after, where there is one.
    pub clause: String,
    pub jobs: u64,
    /// One of them.
    pub example: JobId,
}

/// An answer that is under way.
#[derive(Debug, Default)]
pub struct Causes {
    stage: Stage,
    census: Census,
    found: BTreeMap<(&'static str, String), Cause>,
}

#[derive(Debug)]
enum Stage {
    Gathering(Groups),
    Asking(std::vec::IntoIter<Group>, usize),
    Counting(u32),
    Done,
}

/// Whether an answer is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::Gathering(Groups::default())
    }
}

impl Causes {
    /// Looks at some more.
    pub fn go_on(&mut self, queue: &Queue, now: Now) -> Progress {
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        self.stage = match stage {
            Stage::Gathering(mut groups) => match groups.gather(queue) {
                Slice::More => Stage::Gathering(groups),
                Slice::Done => {
                    self.census = Census::of(queue);
                    Stage::Asking(groups.finish().into_iter(), 0)
                }
            },
            Stage::Asking(mut groups, asked) => self.ask(queue, now, &mut groups, asked),
            Stage::Counting(from) => self.count(queue, from),
            Stage::Done => Stage::Done,
        };
        match self.stage {
            Stage::Done => Progress::Done,
            Stage::Gathering(_) | Stage::Asking(..) | Stage::Counting(_) => Progress::More,
        }
    }

    /// The causes, the most frequent first.
    pub fn finish(self) -> Vec<Cause> {
        let mut causes: Vec<Cause> = self.found.into_values().collect();
        causes.sort_by_key(|cause| (std::cmp::Reverse(cause.jobs), cause.code, cause.example));
        causes
    }

    fn ask(
        &mut self,
        queue: &Queue,
        now: Now,
        groups: &mut std::vec::IntoIter<Group>,
        mut asked: usize,
    ) -> Stage {
        for group in groups.by_ref().take(GROUPS_MAX) {
            asked += 1;
            let cause = match asked > ASKED_MAX {
                true => Some(untold(&group)),
                false => cause_of(queue, now, &self.census, &group),
            };
            self.found_more(cause);
        }
        match groups.len() {
            0 => Stage::Counting(0),
            _ => Stage::Asking(std::mem::take(groups), asked),
        }
    }

    /// Jobs that are none yet, and those that are held.
    fn count(&mut self, queue: &Queue, from: u32) -> Stage {
        let mut clusters = queue.clusters().range(from..);
        for (id, cluster) in clusters.by_ref().take(CLUSTERS_MAX) {
            let tally = cluster.tally();
            let of = |proc| JobId { cluster: *id, proc };
            if tally.unmaterialized > 0 {
                self.found_more(Some(Cause {
                    code: "W109",
                    prospect: Prospect::NotNow,
                    summary: "they are no jobs yet: max_materialize or max_idle is reached"
                        .to_owned(),
                    clause: String::new(),
                    jobs: u64::from(tally.unmaterialized),
                    example: of(cluster.window_end()),
                }));
            }
            if tally.held == 0 {
                continue;
            }
            for (proc, record) in &cluster.procs {
                if let ProcState::Held { code, reason, .. } = &record.state {
                    self.found_more(Some(held(code.number(), reason, of(*proc), 1)));
                }
            }
            if let Rest::Held { code, reason, .. } = &cluster.rest
                && let Some(first) = cluster.rest_from(0).next()
            {
                let jobs = cluster.rest_count();
                self.found_more(Some(held(code.number(), reason, of(first), jobs)));
            }
        }
        match clusters.next() {
            Some((next, _)) => Stage::Counting(*next),
            None => Stage::Done,
        }
    }

    fn found_more(&mut self, cause: Option<Cause>) {
        let Some(cause) = cause else { return };
        // Held jobs are alike if their codes are, whatever the words.
        let key = match cause.code {
            "W003" | "W110" | "W111" | "W112" => cause.summary.clone(),
            _ => cause.clause.clone(),
        };
        match self.found.get_mut(&(cause.code, key.clone())) {
            Some(known) => {
                known.jobs += cause.jobs;
                known.example = known.example.min(cause.example);
            }
            None => {
                self.found.insert((cause.code, key), cause);
            }
        }
    }
}

fn held(code: i32, reason: &str, example: JobId, jobs: u64) -> Cause {
    Cause {
        code: "W003",
        prospect: Prospect::NotNow,
        summary: format!("held (code {code}): {reason}"),
        clause: String::new(),
        jobs,
        example,
    }
}

fn untold(group: &Group) -> Cause {
    Cause {
        code: "W114",
        prospect: Prospect::NotNow,
        summary: format!("not looked at: more than {ASKED_MAX} kinds of jobs wait"),
        clause: String::new(),
        jobs: group.jobs,
        example: group.job,
    }
}

/// Why the jobs of a group wait; nothing if none does any more.
fn cause_of(queue: &Queue, now: Now, census: &Census, group: &Group) -> Option<Cause> {
    let cluster = queue.clusters().get(&group.job.cluster)?;
    let cause = |prospect, code, summary, clause| Cause {
        code,
        prospect,
        summary,
        clause,
        jobs: group.jobs,
        example: group.job,
    };
    if !cluster.is_idle(group.job.proc) {
        return None;
    }
    let asking = match Asking::of(queue, now, cluster, group.job) {
        Ok(asking) => asking,
        Err(reason) => {
            let summary = format!("its description does not expand: {reason}");
            return Some(cause(Prospect::Never, "W108", summary, String::new()));
        }
    };
    let counts = census.count(queue, &asking);
    let barriers = barriers::of(queue, now, &asking, census, &counts);
    let why = verdict(queue, &asking, census, &counts, &barriers);
    let clause = match why.code {
        "W102" => last_clause(&asking, census),
        "W105" => refusing_clause(&asking, census, &counts),
        _ => String::new(),
    };
    Some(cause(why.prospect, why.code, why.summary, clause))
}

/// The clause after which no slot is left; of jobs whose GPUs are at fault no clause may be.
fn last_clause(asking: &Asking, census: &Census) -> String {
    let (clauses, failed) = asking.failures(&census.slots);
    let left = |upto: usize| {
        let passes = |fails: &&Vec<usize>| fails.first().is_none_or(|first| *first > upto);
        number(failed.iter().filter(passes).count())
    };
    let at = (0..clauses.len()).find(|at| left(*at) == 0);
    at.map_or_else(String::new, |at| bare(&clauses[at]))
}

/// The first clause of the workers' own that the job fails.
fn refusing_clause(asking: &Asking, census: &Census, counts: &Counts) -> String {
    let first = counts.refused.first().map(|at| &census.slots[*at]);
    let failing = first.and_then(|slot| {
        let scope = classad::Scope::new(slot).target(asking.ad()).now(asking.at);
        let mut clauses = super::clauses::own_clauses(slot).into_iter();
        clauses.find(|clause| !scope.eval(clause).is_true())
    });
    failing.map_or_else(String::new, |clause| bare(&clause))
}
