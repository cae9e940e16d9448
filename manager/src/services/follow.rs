//! Following the queue: what was asked for as it stands, a marker, then what changes, without a
//! gap and nothing twice. A look is taken only after something happened, and not too often; a
//! reader that does not keep up is cut off and told where to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use manager_core::{Cluster, Queue, RowKind, RunState};
use proto::convert::parse;
use proto::nouns::{JobId, Subject};
use proto::wire::follow_request::View;
use proto::wire::update::What;
use proto::wire::{Batch, Event, FollowRequest, Marker, Standing, Update, Which};
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Shared;
use super::batches::Sums;
use super::select::Selection;
use super::standing::{Held, has_ended, standing};
use crate::store::StoredRow;

/// Updates that wait for one reader, and how long it may leave them there.
const UPDATES_AHEAD: usize = 1_024;
const READER_PATIENCE: Duration = Duration::from_secs(30);
/// Rows read from the store at a time.
const PAGE: usize = 1_024;
/// Between two looks at the batches, at least; and as a multiple of what a look takes.
const BATCHES_PAUSE: Duration = Duration::from_millis(100);
const BATCHES_SHARE: u32 = 20;
/// What one stream may stand for, and wait for.
const STANDINGS_MAX: usize = 100_000;

type Updates = mpsc::Sender<Result<Update, Status>>;

/// Begins to follow.
///
/// # Errors
/// What of the request cannot be read.
pub(super) fn follow(
    shared: Arc<Shared>,
    request: FollowRequest,
) -> Result<ReceiverStream<Result<Update, Status>>, Status> {
    let selection = Selection::parse(&request.ids, &request.owners, "", Which::Queued)?;
    let (sender, receiver) = mpsc::channel(UPDATES_AHEAD);
    let follower = Follower {
        coming: shared.queue.watch(),
        shared,
        view: request.view(),
        events: match (request.events, request.kinds.is_empty()) {
            (false, _) => Events::None,
            (true, true) => Events::All,
            (true, false) => Events::Of(request.kinds.into_iter().collect()),
        },
        after: request.after,
        until_ended: request.until_ended,
        selection: Arc::new(selection),
        filter: Filter::default(),
        waited: BTreeSet::new(),
        batches: BTreeMap::new(),
        seen: 0,
        out: Out {
            sender,
            told: 0,
            patience: READER_PATIENCE,
        },
    };
    tokio::spawn(follower.run());
    Ok(ReceiverStream::new(receiver))
}

struct Follower {
    shared: Arc<Shared>,
    coming: broadcast::Receiver<StoredRow>,
    view: View,
    events: Events,
    after: Option<u64>,
    until_ended: bool,
    selection: Arc<Selection>,
    filter: Filter,
    /// What goes on of what the reader waits for.
    waited: BTreeSet<Subject>,
    /// The batches as the reader has them.
    batches: BTreeMap<String, Batch>,
    /// The last row that was taken note of.
    seen: u64,
    out: Out,
}

/// Which events the reader wants.
enum Events {
    None,
    All,
    Of(BTreeSet<String>),
}

/// Which rows concern what was named.
#[derive(Default)]
struct Filter {
    all: bool,
    /// Clusters and DAG runs as rows name them: those at the top.
    tops: BTreeSet<u32>,
    /// Clusters of nodes, and single jobs.
    clusters: BTreeSet<u32>,
    jobs: BTreeSet<JobId>,
    /// Where rows about what is waited for come from.
    homes: BTreeMap<u32, BTreeSet<Subject>>,
}

/// The reader's end.
struct Out {
    sender: Updates,
    /// The last event that is on its way to the reader, or the marker's.
    told: u64,
    patience: Duration,
}

/// Why nothing more is sent.
enum Ended {
    /// Everything that was waited for has ended.
    Over,
    /// Nobody reads any more.
    Gone,
    Failed(Status),
}

/// What one look at the queue finds.
struct Looked {
    batches: Vec<Batch>,
    standings: Vec<Standing>,
    ended: Vec<Subject>,
}

impl From<Status> for Ended {
    fn from(status: Status) -> Ended {
        Ended::Failed(status)
    }
}

impl Follower {
    async fn run(mut self) {
        match self.follow().await {
            Ok(never) => match never {},
            Err(Ended::Over | Ended::Gone) => {}
            Err(Ended::Failed(status)) => {
                // It stands behind what the reader has still to read.
                let _ = self.out.sender.send(Err(status)).await;
            }
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, Ended> {
        self.begin().await?;
        if self.after.is_some() {
            self.catch_up().await?;
        }
        let mut dirty = BTreeSet::new();
        let mut next_look = Instant::now();
        if self.after.is_some() && self.until_ended {
            dirty.extend(self.filter.homes.keys());
        }
        loop {
            if self.until_ended && self.waited.is_empty() && dirty.is_empty() {
                self.take_rest().await?;
                return Err(Ended::Over);
            }
            let row = tokio::select! {
                biased;
                row = self.coming.recv() => row,
                () = tokio::time::sleep_until(next_look), if !dirty.is_empty() => {
                    let started = Instant::now();
                    self.look_again(std::mem::take(&mut dirty)).await?;
                    next_look = match self.view {
                        View::Batches => {
                            let pause = BATCHES_PAUSE.max(started.elapsed() * BATCHES_SHARE);
                            Instant::now() + pause
                        }
                        View::Unspecified | View::Standings => Instant::now(),
                    };
                    continue;
                }
                () = self.out.sender.closed() => return Err(Ended::Gone),
                () = self.shared.closing() => {
                    return Err(Status::unavailable("the manager is stopping").into());
                }
            };
            match row {
                Ok(row) => {
                    if row.sequence > self.seen {
                        self.take(row, &mut dirty).await?;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.catch_up().await?;
                    dirty.extend(self.filter.homes.keys());
                    dirty.insert(0);
                }
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(Status::unavailable("the manager is stopping").into());
                }
            }
        }
    }

    /// Sends the snapshot and the marker behind it.
    async fn begin(&mut self) -> Result<(), Ended> {
        let (selection, journal) = (self.selection.clone(), self.shared.queue.journal());
        let (view, until_ended, after) = (self.view, self.until_ended, self.after);
        // In one look: what it shows is what rows up to that number made.
        let look = move |queue: &Queue| {
            let filter = Filter::of(queue, &selection, until_ended || view == View::Standings);
            let subjects: Vec<Subject> = filter.homes.values().flatten().copied().collect();
            let found = match after {
                None => look(queue, &selection, view, &subjects, Held::Named),
                Some(_) => look(
                    queue,
                    &selection,
                    View::Unspecified,
                    &subjects,
                    Held::Unsaid,
                ),
            };
            (filter, found, journal.bounds())
        };
        let (filter, found, bounds) = self.shared.queue.read(look).await.map_err(Status::from)?;
        let bounds = bounds.map_err(|error| Status::unavailable(error.to_string()))?;
        if filter.homes.values().map(BTreeSet::len).sum::<usize>() > STANDINGS_MAX {
            return Err(Status::invalid_argument(format!(
                "more than {STANDINGS_MAX} things to wait for (STANDINGS_MAX)"
            ))
            .into());
        }
        let (first, last) = bounds.unwrap_or((1, 0));
        self.waited = filter.homes.values().flatten().copied().collect();
        self.filter = filter;
        self.seen = match self.after {
            None => last,
            Some(after) => continue_behind(after, first, last)?,
        };
        self.out.told = self.seen;
        self.put_looked(found).await?;
        let sequence = self.seen;
        self.out.put(What::Marker(Marker { sequence })).await
    }

    /// Takes note of a row, and sends it where it is wanted.
    async fn take(&mut self, row: StoredRow, dirty: &mut BTreeSet<u32>) -> Result<(), Ended> {
        self.seen = row.sequence;
        let passing = row.kind == RowKind::Worker.name();
        match self.view {
            View::Batches if !passing => {
                dirty.insert(row.top);
            }
            View::Batches | View::Standings | View::Unspecified => {}
        }
        if self.filter.homes.contains_key(&row.top) && row.kind != RowKind::Started.name() {
            dirty.insert(row.top);
        }
        let wanted = match &self.events {
            Events::None => false,
            Events::All => true,
            Events::Of(kinds) => kinds.contains(&row.kind),
        };
        if wanted && self.filter.concerns(&row) {
            self.out.put(What::Event(event_of(row))).await?;
        }
        Ok(())
    }

    /// Takes note of the rows that were made before the last look: no other are awaited.
    async fn take_rest(&mut self) -> Result<(), Ended> {
        let mut dirty = BTreeSet::new();
        loop {
            match self.coming.try_recv() {
                Ok(row) if row.sequence > self.seen => self.take(row, &mut dirty).await?,
                Ok(_) => {}
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.catch_up().await?,
                Err(
                    broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed,
                ) => return Ok(()),
            }
        }
    }

    /// Sends what the store holds beyond what was taken note of.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        let mut dirty = BTreeSet::new();
        loop {
            let (journal, after) = (self.shared.queue.journal(), self.seen);
            let page = tokio::task::spawn_blocking(move || journal.rows(after, PAGE));
            let page = page
                .await
                .map_err(|error| Status::internal(error.to_string()))?;
            let page = page.map_err(|error| Status::unavailable(error.to_string()))?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                self.take(row, &mut dirty).await?;
            }
        }
    }

    /// Looks at what may have changed, and sends what did.
    async fn look_again(&mut self, dirty: BTreeSet<u32>) -> Result<(), Ended> {
        let going = dirty.iter().filter_map(|top| self.filter.homes.get(top));
        let going = going
            .flatten()
            .filter(|subject| self.waited.contains(subject));
        let subjects: Vec<Subject> = going.copied().collect();
        let (selection, view) = (self.selection.clone(), self.view);
        let look = move |queue: &Queue| look(queue, &selection, view, &subjects, Held::Unsaid);
        let found = self.shared.queue.read(look).await.map_err(Status::from)?;
        self.put_looked(found).await
    }

    async fn put_looked(&mut self, found: Looked) -> Result<(), Ended> {
        for standing in found.standings {
            self.out.put(What::Standing(standing)).await?;
        }
        for subject in &found.ended {
            self.waited.remove(subject);
        }
        if self.view != View::Batches || self.after.is_some() && found.batches.is_empty() {
            return Ok(());
        }
        let mut left: BTreeSet<String> = self.batches.keys().cloned().collect();
        for batch in found.batches {
            left.remove(&batch.key);
            if self.batches.get(&batch.key) != Some(&batch) {
                self.batches.insert(batch.key.clone(), batch.clone());
                self.out.put(What::Batch(batch)).await?;
            }
        }
        for key in left {
            if let Some(batch) = self.batches.remove(&key) {
                let ended = true;
                self.out.put(What::Batch(Batch { ended, ..batch })).await?;
            }
        }
        Ok(())
    }
}

/// One look at the queue: batches where they are wanted, and how these subjects stand. Of those
/// that go on only in a snapshot.
fn look(
    queue: &Queue,
    selection: &Selection,
    view: View,
    subjects: &[Subject],
    held: Held,
) -> Looked {
    let batches = match view {
        View::Batches => Sums::whole(queue, selection).batches(queue),
        View::Unspecified | View::Standings => Vec::new(),
    };
    let standings = match view {
        View::Standings => {
            let all = subjects.iter();
            let all = all.map(|subject| standing(queue, *subject, held));
            all.filter(|one| held == Held::Named || one.state != "Going")
                .collect()
        }
        View::Unspecified | View::Batches => Vec::new(),
    };
    let ended = subjects
        .iter()
        .filter(|subject| has_ended(queue, **subject));
    Looked {
        batches,
        standings,
        ended: ended.copied().collect(),
    }
}

/// Where a reader goes on that has seen everything up to `after`.
fn continue_behind(after: u64, first: u64, last: u64) -> Result<u64, Status> {
    if after > last {
        return Err(Status::out_of_range(format!(
            "there is no event {after} yet: the last is {last}"
        )));
    }
    if after != 0 && after.saturating_add(1) < first {
        return Err(Status::out_of_range(format!(
            "events before {first} are forgotten, {} of those after {after} with them; begin anew",
            first - after - 1
        )));
    }
    Ok(after)
}

impl Filter {
    fn of(queue: &Queue, selection: &Selection, waits: bool) -> Filter {
        let mut filter = Filter {
            all: selection.subjects.is_empty(),
            ..Filter::default()
        };
        let mut subjects: Vec<Subject> = Vec::new();
        for (_, subject) in &selection.subjects {
            subjects.push(*subject);
            let cluster = queue.clusters().get(&subject.whole());
            match (subject, cluster) {
                (Subject::Job(job), _) => {
                    filter.jobs.insert(*job);
                }
                (Subject::Whole(id), Some(cluster)) if cluster.node().is_some() => {
                    filter.clusters.insert(*id);
                }
                (Subject::Whole(id), _) => {
                    filter.tops.insert(queue.home(*id));
                }
            }
        }
        if filter.all && waits {
            let runs = queue.runs().values().filter(|run| {
                run.parent.is_none()
                    && run.state == RunState::Running
                    && selection.is_of_owner(&run.owner)
            });
            let own = |cluster: &&Cluster| {
                cluster.node().is_none()
                    && !cluster.ended()
                    && selection.is_of_owner(&cluster.owner)
            };
            let clusters = queue.clusters().values().filter(own);
            subjects.extend(runs.map(|run| Subject::Whole(run.id)));
            subjects.extend(clusters.map(|cluster| Subject::Whole(cluster.id)));
        }
        for subject in subjects.into_iter().filter(|_| waits) {
            let id = subject.whole();
            let top = queue.clusters().get(&id).map_or(id, Cluster::top);
            let home = queue.home(top);
            filter.homes.entry(home).or_default().insert(subject);
        }
        filter
    }

    fn concerns(&self, row: &StoredRow) -> bool {
        if self.all || self.tops.contains(&row.top) {
            return true;
        }
        let job: Option<JobId> = row.job.as_ref().and_then(|job| parse("job", job).ok());
        match job {
            Some(job) => self.jobs.contains(&job) || self.clusters.contains(&job.cluster),
            // What happens to a whole cluster happens to each of its jobs.
            None => self.jobs.iter().any(|job| job.cluster == row.top),
        }
    }
}

fn event_of(row: StoredRow) -> Event {
    let ended = row.kind == RowKind::RunEnded.name();
    Event {
        sequence: row.sequence,
        at_ms: row.at_ms,
        number: row.number,
        kind: row.kind,
        top: row.top,
        job: row.job.unwrap_or_default(),
        node: row.node.unwrap_or_default(),
        trial: row.trial,
        text: row.text,
        value: row.value,
        ended,
    }
}

impl Out {
    /// Hands one update over, and waits for room as long as a reader may take.
    async fn put(&mut self, what: What) -> Result<(), Ended> {
        let sequence = match &what {
            What::Event(event) => Some(event.sequence),
            What::Batch(_) | What::Standing(_) | What::Marker(_) => None,
        };
        let update = Update { what: Some(what) };
        match tokio::time::timeout(self.patience, self.sender.send(Ok(update))).await {
            Ok(Ok(())) => {
                self.told = sequence.unwrap_or(self.told);
                Ok(())
            }
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Status::resource_exhausted(format!(
                "the reader does not keep up and is cut off; go on behind event {} (--after {0})",
                self.told
            ))
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_on_where_it_was_or_is_told_that_it_cannot() {
        assert_eq!(continue_behind(7, 1, 9).unwrap(), 7);
        assert_eq!(continue_behind(9, 1, 9).unwrap(), 9);
        assert_eq!(continue_behind(0, 5, 9).unwrap(), 0);
        assert_eq!(continue_behind(4, 5, 9).unwrap(), 4);
        assert!(continue_behind(3, 5, 9).is_err());
        assert!(continue_behind(10, 5, 9).is_err());
    }

    #[test]
    fn a_reader_that_does_not_read_is_told_where_to_go_on() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (sender, mut receiver) = mpsc::channel(2);
            let mut out = Out {
                sender,
                told: 4,
                patience: Duration::from_millis(1),
            };
            let event = |sequence| {
                What::Event(proto::wire::Event {
                    sequence,
                    ..Default::default()
                })
            };
            assert!(out.put(event(5)).await.is_ok());
            assert!(out.put(event(6)).await.is_ok());
            let Err(Ended::Failed(status)) = out.put(event(7)).await else {
                panic!("there is no room for it");
            };
            assert!(status.message().contains("--after 6"), "{status}");
            // What was handed over before is still there to be read.
            for sequence in [5, 6] {
                let what = receiver.recv().await.unwrap().unwrap().what;
                assert_eq!(what, Some(event(sequence)));
            }
        });
    }
}
