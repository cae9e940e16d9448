//! Which jobs somebody means, and the way through the queue to them: in slices, so that a question
//! about a million jobs keeps nobody else waiting. Each job is seen as it is when its slice is
//! looked at.

use std::collections::BTreeSet;

use manager_core::{Cluster, Probe, Queue};
use proto::convert::{Malformed, parse};
use proto::nouns::{JobId, Now, Subject};
use proto::wire::Which;
use tonic::Status;

/// Ads that one slice makes or rows that it finds, and jobs and clusters that it passes by.
const LOOKED_MAX: usize = 256;
const PASSED_MAX: usize = 65_536;
/// Ids, owners and columns of one request.
const NAMED_MAX: usize = 100_000;
const COLUMNS_MAX: usize = 256;

/// Jobs that somebody means.
pub(super) struct Selection {
    pub subjects: Vec<(String, Subject)>,
    pub owners: BTreeSet<String>,
    pub constraint: Option<Probe>,
    pub which: Which,
}

/// Where a scan goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    cluster: u32,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Touched(u32),
    Rest(u32),
}

/// What a slice came to.
pub(super) enum Scanned {
    Done,
    More(Cursor),
    /// The visitor wants no more.
    Enough,
}

/// Whether untouched jobs of a cluster may be seen as one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Untouched {
    Together,
    Apart,
}

/// A job that is meant; or, of untouched ones that are all alike, the first and how many.
pub(super) struct Found<'a> {
    pub cluster: &'a Cluster,
    pub proc: u32,
    pub count: u64,
}

/// Whether a visitor wants more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    GoOn,
    Enough,
}

impl Selection {
    pub(super) fn parse(
        ids: &[String],
        owners: &[String],
        constraint: &str,
        which: Which,
    ) -> Result<Selection, Status> {
        if ids.len() > NAMED_MAX || owners.len() > NAMED_MAX {
            return Err(Status::invalid_argument(format!(
                "more than {NAMED_MAX} names in one request (NAMED_MAX)"
            )));
        }
        let subject = |id: &String| Ok((id.clone(), parse("ids", id)?));
        let subjects = ids.iter().map(subject).collect::<Result<_, Malformed>>()?;
        Ok(Selection {
            subjects,
            owners: owners.iter().cloned().collect(),
            constraint: constraint_of(constraint)?,
            which,
        })
    }

    /// Whether a job in this state is wanted.
    pub(super) fn wants(&self, ended: bool) -> bool {
        match self.which {
            Which::Unspecified | Which::All => true,
            Which::Queued => !ended,
            Which::Ended => ended,
        }
    }

    pub(super) fn is_of_owner(&self, owner: &str) -> bool {
        self.owners.is_empty() || self.owners.contains(owner)
    }

    /// Whether sums of whole clusters answer it.
    pub(super) fn is_whole(&self) -> bool {
        let single = |(_, subject): &(String, Subject)| matches!(subject, Subject::Job(_));
        self.constraint.is_none() && !self.subjects.iter().any(single)
    }

    /// What of it names nothing.
    pub(super) fn unknown(&self, queue: &Queue) -> Vec<String> {
        let unknown = self.subjects.iter().filter(|(_, subject)| match subject {
            Subject::Job(job) => queue.job(*job).is_none(),
            Subject::Whole(id) => {
                !queue.runs().contains_key(id) && !queue.clusters().contains_key(id)
            }
        });
        unknown.map(|(text, _)| text.clone()).collect()
    }
}

/// A constraint; none where there is no text.
pub(super) fn constraint_of(text: &str) -> Result<Option<Probe>, Status> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    match Probe::parse(text) {
        Ok(probe) => Ok(Some(probe)),
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    }
}

pub(super) fn columns_of(texts: &[String]) -> Result<Vec<Probe>, Status> {
    if texts.len() > COLUMNS_MAX {
        return Err(Status::invalid_argument(format!(
            "more than {COLUMNS_MAX} columns (COLUMNS_MAX)"
        )));
    }
    let probe = |text: &String| {
        Probe::parse(text).map_err(|error| Status::invalid_argument(error.to_string()))
    };
    texts.iter().map(probe).collect()
}

/// What is named, resolved: DAG runs stand for their sub-DAGs, too.
pub(super) struct Named {
    all: bool,
    wholes: BTreeSet<u32>,
    jobs: BTreeSet<JobId>,
}

impl Named {
    pub(super) fn of(queue: &Queue, selection: &Selection) -> Named {
        let mut named = Named {
            all: selection.subjects.is_empty(),
            wholes: BTreeSet::new(),
            jobs: BTreeSet::new(),
        };
        for (_, subject) in &selection.subjects {
            match subject {
                Subject::Job(job) => {
                    named.jobs.insert(*job);
                }
                Subject::Whole(id) => {
                    named.wholes.insert(*id);
                    named.wholes.extend(queue.family(*id).map(|run| run.id));
                }
            }
        }
        named
    }

    /// Whether all jobs of a cluster are named.
    pub(super) fn has_whole(&self, cluster: &Cluster) -> bool {
        self.all || self.wholes.contains(&cluster.id) || self.wholes.contains(&cluster.top())
    }

    pub(super) fn has_run(&self, run: u32) -> bool {
        self.all || self.wholes.contains(&run)
    }

    /// Jobs of a cluster that are named one by one, from a number on.
    fn single(&self, cluster: &Cluster, from: u32) -> Vec<u32> {
        let job = |proc| JobId {
            cluster: cluster.id,
            proc,
        };
        let named = self.jobs.range(job(from)..=job(u32::MAX));
        let known = named.filter(|job| job.proc < cluster.count);
        known.map(|job| job.proc).collect()
    }
}

/// One slice of the way through the queue: the newest first where what ended is looked for.
pub(super) fn scan(
    queue: &Queue,
    now: Now,
    selection: &Selection,
    from: Option<Cursor>,
    untouched: Untouched,
    visit: &mut dyn FnMut(Found<'_>) -> Visit,
) -> Scanned {
    let named = Named::of(queue, selection);
    let clusters = queue.clusters();
    let first = from.map(|cursor| cursor.cluster);
    let ahead: Box<dyn Iterator<Item = &Cluster>> = match (selection.which, first) {
        (Which::Ended, None) => Box::new(clusters.values().rev()),
        (Which::Ended, Some(id)) => {
            Box::new(clusters.range(..=id).rev().map(|(_, cluster)| cluster))
        }
        (_, id) => Box::new(
            clusters
                .range(id.unwrap_or(0)..)
                .map(|(_, cluster)| cluster),
        ),
    };
    let mut slice = Slice {
        queue,
        now,
        selection,
        named,
        untouched,
        looked: 0,
        passed: 0,
        visit,
    };
    for cluster in ahead {
        let at = match from {
            Some(cursor) if cursor.cluster == cluster.id => cursor.at,
            Some(_) | None => At::Touched(0),
        };
        match slice.cluster(cluster, at) {
            Scanned::Done => {}
            ended @ (Scanned::More(_) | Scanned::Enough) => return ended,
        }
    }
    Scanned::Done
}

struct Slice<'a, 'v> {
    queue: &'a Queue,
    now: Now,
    selection: &'a Selection,
    named: Named,
    untouched: Untouched,
    looked: usize,
    passed: usize,
    visit: &'v mut dyn FnMut(Found<'_>) -> Visit,
}

impl Slice<'_, '_> {
    fn is_over(&self) -> bool {
        self.looked >= LOOKED_MAX || self.passed >= PASSED_MAX
    }

    fn cluster(&mut self, cluster: &Cluster, at: At) -> Scanned {
        if self.is_over() {
            let cluster = cluster.id;
            return Scanned::More(Cursor { cluster, at });
        }
        self.passed += 1;
        if !self.selection.is_of_owner(&cluster.owner) {
            return Scanned::Done;
        }
        let rest_from = match at {
            At::Touched(from) => match self.touched(cluster, from) {
                Scanned::Done if self.untouched == Untouched::Apart => return Scanned::Done,
                Scanned::Done => 0,
                ended @ (Scanned::More(_) | Scanned::Enough) => return ended,
            },
            At::Rest(from) => from,
        };
        self.rest(cluster, rest_from)
    }

    /// Jobs with records; where untouched ones are seen one by one, those, too, in their order.
    fn touched(&mut self, cluster: &Cluster, from: u32) -> Scanned {
        let whole = self.named.has_whole(cluster);
        let procs: Box<dyn Iterator<Item = u32>> = match self.untouched {
            Untouched::Apart if whole => Box::new(from..cluster.count),
            Untouched::Apart => Box::new(self.named.single(cluster, from).into_iter()),
            Untouched::Together if whole => {
                Box::new(cluster.procs.range(from..).map(|(proc, _)| *proc))
            }
            Untouched::Together => {
                let mut named = self.named.single(cluster, from);
                named.retain(|proc| cluster.procs.contains_key(proc));
                Box::new(named.into_iter())
            }
        };
        let rest = cluster
            .rest_from(0)
            .next()
            .and_then(|proc| cluster.proc(proc));
        let rest_final = rest.is_some_and(|rest| rest.state.is_final());
        for proc in procs {
            if self.is_over() {
                let (cluster, at) = (cluster.id, At::Touched(proc));
                return Scanned::More(Cursor { cluster, at });
            }
            self.passed += 1;
            let own = cluster.procs.get(&proc);
            let is_final = own.map_or(rest_final, |own| own.state.is_final());
            if !self.selection.wants(is_final) || !self.holds(cluster, proc) {
                continue;
            }
            if self.found(cluster, proc, 1) == Visit::Enough {
                return Scanned::Enough;
            }
        }
        Scanned::Done
    }

    /// Untouched jobs: as one where they are alike.
    fn rest(&mut self, cluster: &Cluster, from: u32) -> Scanned {
        let whole = self.named.has_whole(cluster);
        let Some(first) = cluster.rest_from(0).next() else {
            return Scanned::Done;
        };
        let state = cluster.proc(first).map(|proc| proc.state.is_final());
        if state.is_none_or(|ended| !self.selection.wants(ended)) {
            return Scanned::Done;
        }
        if whole
            && from == 0
            && let Some(holds) = self.holds_of_all(cluster, first)
        {
            let count = cluster.rest_count();
            return match holds && self.found(cluster, first, count) == Visit::Enough {
                true => Scanned::Enough,
                false => Scanned::Done,
            };
        }
        let procs: Box<dyn Iterator<Item = u32>> = if whole {
            Box::new(cluster.rest_from(from))
        } else {
            let mut named = self.named.single(cluster, from);
            named.retain(|proc| !cluster.procs.contains_key(proc));
            Box::new(named.into_iter())
        };
        for proc in procs {
            if self.is_over() {
                let (cluster, at) = (cluster.id, At::Rest(proc));
                return Scanned::More(Cursor { cluster, at });
            }
            self.passed += 1;
            if self.holds(cluster, proc) && self.found(cluster, proc, 1) == Visit::Enough {
                return Scanned::Enough;
            }
        }
        Scanned::Done
    }

    fn found(&mut self, cluster: &Cluster, proc: u32, count: u64) -> Visit {
        self.looked += 1;
        (self.visit)(Found {
            cluster,
            proc,
            count,
        })
    }

    fn holds(&mut self, cluster: &Cluster, proc: u32) -> bool {
        let Some(probe) = &self.selection.constraint else {
            return true;
        };
        self.looked += 1;
        let ad = self.queue.ad_of(cluster, proc);
        ad.is_some_and(|ad| probe.holds(&ad, self.now))
    }

    /// What one untouched job says for all of them; nothing where each must be asked.
    fn holds_of_all(&mut self, cluster: &Cluster, first: u32) -> Option<bool> {
        let Some(probe) = &self.selection.constraint else {
            return Some(true);
        };
        self.looked += 1;
        let ad = self.queue.ad_of(cluster, first)?;
        let alike = self.queue.is_alike(&ad, probe);
        alike.then(|| probe.holds(&ad, self.now))
    }
}
