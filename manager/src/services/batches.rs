//! The queue in sums: by batch and by user. Made from the tallies of clusters wherever whole
//! clusters are meant: a million idle jobs cost as much as one.

use std::collections::BTreeMap;

use manager_core::{Cluster, ProcState, Queue, RunState, Tally};
use proto::nouns::Now;
use proto::wire::{Batch, BatchesReply, BatchesRequest, UserSums, Which};
use tonic::Status;

use super::Shared;
use super::select::{Found, Named, Scanned, Selection, Untouched, Visit, scan};

/// What was submitted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Run(u32),
    Cluster(u32),
    /// The clusters of an owner under one name.
    Name(String, String),
}

/// Sums in the making.
#[derive(Default)]
pub(super) struct Sums {
    batches: BTreeMap<Key, Entry>,
    users: BTreeMap<String, UserSums>,
    counted: Counted,
}

/// What the progress of a DAG run is counted in.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Counted {
    #[default]
    Nodes,
    /// Where only some of its jobs are meant.
    Jobs,
}

#[derive(Default)]
struct Entry {
    batch: Batch,
    first: Option<(u32, u32)>,
    last: Option<(u32, u32)>,
}

/// Answers a request.
///
/// # Errors
/// What of it cannot be read; that the manager stops.
pub(super) async fn batches(
    shared: &Shared,
    request: &BatchesRequest,
) -> Result<BatchesReply, Status> {
    let selection = Selection::parse(
        &request.ids,
        &request.owners,
        &request.constraint,
        Which::All,
    )?;
    let now = crate::clock::now();
    if selection.is_whole() {
        let by_user = request.by_user;
        let look = move |queue: &Queue| {
            let sums = Sums::whole(queue, &selection);
            let unknown = selection.unknown(queue);
            sums.reply(queue, by_user, unknown)
        };
        return Ok(shared.queue.read(look).await?);
    }
    counted(shared, now, selection, request.by_user).await
}

/// The same job by job, where only some of a cluster's are meant.
async fn counted(
    shared: &Shared,
    now: Now,
    selection: Selection,
    by_user: bool,
) -> Result<BatchesReply, Status> {
    let selection = std::sync::Arc::new(selection);
    let (mut sums, mut from) = (Sums::default(), None);
    sums.counted = Counted::Jobs;
    loop {
        let wanted = selection.clone();
        let look = move |queue: &Queue| {
            let mut sums = sums;
            let mut add = |found: Found<'_>| {
                sums.add_found(queue, &found);
                Visit::GoOn
            };
            let scanned = scan(queue, now, &wanted, from, Untouched::Together, &mut add);
            (sums, scanned)
        };
        let scanned;
        (sums, scanned) = shared.queue.read(look).await?;
        match scanned {
            Scanned::More(cursor) => from = Some(cursor),
            Scanned::Done | Scanned::Enough => break,
        }
    }
    let look = move |queue: &Queue| {
        let unknown = selection.unknown(queue);
        sums.reply(queue, by_user, unknown)
    };
    Ok(shared.queue.read(look).await?)
}

impl Sums {
    /// Of everything that is in the queue and named.
    pub(super) fn whole(queue: &Queue, selection: &Selection) -> Sums {
        let named = Named::of(queue, selection);
        let mut sums = Sums::default();
        for run in queue.runs().values() {
            let own = run.parent.is_none() && run.state == RunState::Running;
            if own && named.has_run(run.id) && selection.is_of_owner(&run.owner) {
                sums.entry(queue, Key::Run(run.id));
            }
        }
        for cluster in queue.clusters().values() {
            if !named.has_whole(cluster) || !selection.is_of_owner(&cluster.owner) {
                continue;
            }
            let tally = cluster.tally();
            sums.add_user(&cluster.owner, &tally);
            if !cluster.ended() {
                let key = key_of(queue, cluster);
                sums.add(queue, key, cluster, &tally, 0, cluster.count);
            }
        }
        sums
    }

    fn add_found(&mut self, queue: &Queue, found: &Found<'_>) {
        let Some(proc) = found.cluster.proc(found.proc) else {
            return;
        };
        let count = u32::try_from(found.count).unwrap_or(u32::MAX);
        let mut tally = Tally::default();
        match &proc.state {
            ProcState::Idle => tally.idle = count,
            ProcState::Running { .. } | ProcState::Landing { .. } => tally.running = count,
            ProcState::Held { .. } => tally.held = count,
            ProcState::Completed { ending } => {
                tally.completed = count;
                tally.failed = if ending.failure.is_some() { count } else { 0 };
            }
            ProcState::Removed { .. } => tally.removed = count,
        }
        self.add_user(&found.cluster.owner, &tally);
        let key = key_of(queue, found.cluster);
        let end = match found.count {
            1 => found.proc.saturating_add(1),
            _ => found.cluster.count,
        };
        self.add(queue, key, found.cluster, &tally, found.proc, end);
    }

    fn entry(&mut self, queue: &Queue, key: Key) -> &mut Entry {
        let made = || {
            let mut batch = Batch::default();
            if let Key::Run(id) = &key
                && let Some(run) = queue.runs().get(id)
            {
                let file = run.dag.file.rsplit('/').next().unwrap_or_default();
                batch.owner.clone_from(&run.owner);
                batch.name = format!("{file}+{id}");
                batch.submitted_ms = run.submitted_ms;
                batch.run = *id;
            }
            batch.key = match &key {
                Key::Run(id) => format!("run {id}"),
                Key::Cluster(id) => format!("cluster {id}"),
                Key::Name(owner, name) => format!("name {owner} {name}"),
            };
            Entry {
                batch,
                first: None,
                last: None,
            }
        };
        self.batches.entry(key.clone()).or_insert_with(made)
    }

    /// Adds jobs `from..to` of a cluster.
    fn add(
        &mut self,
        queue: &Queue,
        key: Key,
        cluster: &Cluster,
        tally: &Tally,
        from: u32,
        to: u32,
    ) {
        let name = match &key {
            Key::Run(_) => None,
            Key::Cluster(id) => Some(format!("ID: {id}")),
            Key::Name(_, name) => Some(name.clone()),
        };
        let entry = self.entry(queue, key);
        let batch = &mut entry.batch;
        if let Some(name) = name
            && batch.name.is_empty()
        {
            batch.name = name;
            batch.owner.clone_from(&cluster.owner);
            batch.submitted_ms = cluster.submitted_ms;
        }
        batch.submitted_ms = batch.submitted_ms.min(cluster.submitted_ms);
        batch.idle += u64::from(tally.idle);
        batch.running += u64::from(tally.running);
        batch.held += u64::from(tally.held);
        batch.done += u64::from(tally.completed);
        batch.failed += u64::from(tally.failed);
        let live = tally.idle + tally.running + tally.held;
        batch.total += u64::from(live) + u64::from(tally.completed);
        // Of a DAG run those that are there; of the rest its numbers do not change.
        if (batch.run == 0 || live > 0) && to > from {
            let (first, last) = ((cluster.id, from), (cluster.id, to - 1));
            entry.first = Some(entry.first.map_or(first, |known| known.min(first)));
            entry.last = Some(entry.last.map_or(last, |known| known.max(last)));
        }
    }

    fn add_user(&mut self, owner: &str, tally: &Tally) {
        let user = self.users.entry(owner.to_owned()).or_default();
        user.idle += u64::from(tally.idle);
        user.running += u64::from(tally.running);
        user.held += u64::from(tally.held);
        user.done += u64::from(tally.completed);
    }

    /// The batches, those first that were submitted first.
    pub(super) fn batches(self, queue: &Queue) -> Vec<Batch> {
        let finished = self.batches.into_values().map(|entry| {
            let mut batch = entry.batch;
            batch.jobs = match (entry.first, entry.last) {
                (Some(first), Some(last)) => span(first, last),
                (_, _) => String::new(),
            };
            // A DAG run goes on node by node.
            let run = queue.runs().get(&batch.run);
            if let Some(run) = run.filter(|_| self.counted == Counted::Nodes) {
                let counts = run.counts();
                batch.done = u64::from(counts.done);
                batch.failed = u64::from(counts.failed);
                batch.total = u64::from(counts.total());
            }
            batch
        });
        let mut batches: Vec<Batch> = finished.collect();
        batches.sort_by(|a, b| (a.submitted_ms, &a.key).cmp(&(b.submitted_ms, &b.key)));
        batches
    }

    fn reply(mut self, queue: &Queue, by_user: bool, unknown: Vec<String>) -> BatchesReply {
        if !by_user {
            return BatchesReply {
                batches: self.batches(queue),
                users: Vec::new(),
                unknown,
            };
        }
        for worker in queue.workers().values() {
            for carve in worker
                .carves
                .values()
                .filter(|carve| carve.behind.is_none())
            {
                let owner = queue.clusters().get(&carve.job.cluster);
                let user = owner.and_then(|cluster| self.users.get_mut(&cluster.owner));
                if let Some(user) = user {
                    user.weight += carve.taken.charge.weight;
                }
            }
        }
        let users = self.users.into_iter();
        BatchesReply {
            batches: Vec::new(),
            users: users
                .map(|(owner, sums)| UserSums { owner, ..sums })
                .collect(),
            unknown,
        }
    }
}

fn key_of(queue: &Queue, cluster: &Cluster) -> Key {
    match (cluster.node(), cluster.batch()) {
        (Some((run, _)), _) => Key::Run(queue.home(run)),
        (None, Some(name)) => Key::Name(cluster.owner.clone(), name.to_owned()),
        (None, None) => Key::Cluster(cluster.id),
    }
}

/// From one job to another: `12.0`, `12.0-9`, `12.0 ... 14.3`.
fn span(first: (u32, u32), last: (u32, u32)) -> String {
    match (first == last, first.0 == last.0) {
        (true, _) => format!("{}.{}", first.0, first.1),
        (false, true) => format!("{}.{}-{}", first.0, first.1, last.1),
        (false, false) => format!("{}.{} ... {}.{}", first.0, first.1, last.0, last.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_jobs() {
        assert_eq!(span((12, 0), (12, 0)), "12.0");
        assert_eq!(span((12, 0), (12, 9)), "12.0-9");
        assert_eq!(span((12, 0), (14, 3)), "12.0 ... 14.3");
    }
}
