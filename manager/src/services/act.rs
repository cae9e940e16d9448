//! What people do to jobs: which are meant, found in slices, and one command for each that is
//! named. What an act means is the core's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dags::submit::parse_edits;
use manager_core::{Act, Change, Cluster, Command, Haste, Queue, Refusal, Reply, RunState};
use proto::convert::parse;
use proto::nouns::{JobId, Subject, WorkerName};
use proto::wire::act_request::Action;
use proto::wire::{ActReply, ActRequest, Acted, Which, priority};
use tokio::task::JoinSet;
use tonic::Status;

use super::Shared;
use super::select::{Found, Scanned, Selection, Untouched, Visit, scan};

/// Commands that are under way at a time.
const AT_A_TIME: usize = 512;
/// Jobs that one request may find by a constraint.
const FOUND_MAX: usize = 1_000_000;

/// What is done.
#[derive(Clone)]
enum Deed {
    Act(Act),
    Edit(Change),
}

/// What it is done to.
#[derive(Clone, Copy, Debug)]
enum Target {
    Named(Subject),
    /// All untouched jobs of a cluster.
    Rest(u32),
}

/// Does what is asked, as far as it can be done.
///
/// # Errors
/// What of the request cannot be read, or means nothing; nothing was done then.
pub(super) async fn act(shared: &Arc<Shared>, request: ActRequest) -> Result<ActReply, Status> {
    let deed = Arc::new(deed_of(&request)?);
    let by_ids = request.constraint.is_empty()
        && request.owners.is_empty()
        && request.worker.is_empty()
        && !request.all;
    if by_ids {
        let mut acted = Vec::new();
        for id in &request.ids {
            let subject: Subject = parse("ids", id)?;
            acted.push((id.clone(), subject));
        }
        let named = acted.into_iter();
        let targets = named.map(|(id, subject)| (id, Target::Named(subject)));
        let came = carry(shared, &deed, &request.reason, targets.collect()).await?;
        let acted = came.into_iter().map(|one| one.acted).collect();
        return Ok(ActReply { acted });
    }
    let selection = Selection::parse(
        &request.ids,
        &request.owners,
        &request.constraint,
        Which::Queued,
    )?;
    let (targets, unknown) = if !request.worker.is_empty() {
        on_worker(shared, &deed, &request.worker, selection).await?
    } else if selection.constraint.is_none() && selection.subjects.is_empty() {
        (tops(shared, selection).await?, Vec::new())
    } else {
        found(shared, &deed, selection).await?
    };
    let mut acted = summed(carry(shared, &deed, &request.reason, targets).await?);
    acted.extend(unknown.into_iter().map(|id| Acted {
        error: format!("there is no cluster, DAG run or job {id}"),
        id,
        unknown: true,
        ..Acted::default()
    }));
    Ok(ActReply { acted })
}

fn deed_of(request: &ActRequest) -> Result<Deed, Status> {
    let haste = match request.fast {
        true => Haste::Now,
        false => Haste::Grace,
    };
    Ok(match request.action() {
        Action::Unspecified => return Err(Status::invalid_argument("no action is named")),
        Action::Hold => Deed::Act(Act::Hold),
        Action::Release => Deed::Act(Act::Release),
        Action::Remove => Deed::Act(Act::Remove),
        Action::Vacate => Deed::Act(Act::Vacate(haste)),
        Action::Edit => Deed::Edit(change_of(request)?),
    })
}

fn change_of(request: &ActRequest) -> Result<Change, Status> {
    let change = request.priority.as_ref().and_then(|to| to.change);
    match change {
        Some(priority::Change::By(by)) => return Ok(Change::PriorityBy(by)),
        Some(priority::Change::To(to)) => return Ok(Change::PriorityTo(to)),
        None => {}
    }
    if request.edits.is_empty() {
        return Err(Status::invalid_argument("no attribute is named"));
    }
    let pairs = request.edits.iter();
    let pairs = pairs.map(|edit| (edit.name.as_str(), edit.value.as_str()));
    match parse_edits(pairs) {
        Ok(edits) => Ok(Change::Attributes(Box::new(edits))),
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    }
}

/// What runs on a worker, of what is selected.
async fn on_worker(
    shared: &Shared,
    deed: &Arc<Deed>,
    worker: &str,
    selection: Selection,
) -> Result<(Vec<(String, Target)>, Vec<String>), Status> {
    let name: WorkerName = parse("worker", worker)?;
    let asked = name.clone();
    let look = move |queue: &Queue| {
        let worker = queue.workers().get(&asked)?;
        let carves = worker.carves.values().filter(|carve| !carve.vacating);
        let jobs: BTreeSet<JobId> = carves.map(|carve| carve.job).collect();
        Some(jobs)
    };
    let running = shared.queue.read(look).await?;
    let running = running.ok_or_else(|| Status::not_found(format!("there is no worker {name}")))?;
    let (mut targets, unknown) = found(shared, deed, selection).await?;
    targets.retain(|(_, target)| match target {
        Target::Named(Subject::Job(job)) => running.contains(job),
        Target::Named(Subject::Whole(_)) | Target::Rest(_) => false,
    });
    Ok((targets, unknown))
}

/// Everything in the queue that somebody submitted: clusters and DAG runs as wholes.
async fn tops(shared: &Shared, selection: Selection) -> Result<Vec<(String, Target)>, Status> {
    let look = move |queue: &Queue| {
        let runs = queue.runs().values().filter(|run| {
            let is_own = run.parent.is_none() && run.state == RunState::Running;
            is_own && selection.is_of_owner(&run.owner)
        });
        let own = |cluster: &&Cluster| {
            cluster.node().is_none() && !cluster.ended() && selection.is_of_owner(&cluster.owner)
        };
        let clusters = queue.clusters().values().filter(own);
        let ids = runs
            .map(|run| run.id)
            .chain(clusters.map(|cluster| cluster.id));
        let ids: BTreeSet<u32> = ids.collect();
        ids
    };
    let ids = shared.queue.read(look).await?;
    let target = |id: u32| (id.to_string(), Target::Named(Subject::Whole(id)));
    Ok(ids.into_iter().map(target).collect())
}

/// The jobs of a selection, each by itself; untouched ones of a cluster together where they are
/// alike.
async fn found(
    shared: &Shared,
    deed: &Arc<Deed>,
    selection: Selection,
) -> Result<(Vec<(String, Target)>, Vec<String>), Status> {
    let selection = Arc::new(selection);
    let now = crate::clock::now();
    let (mut targets, mut from) = (Vec::new(), None);
    loop {
        let (wanted, kind) = (selection.clone(), deed.clone());
        let look = move |queue: &Queue| {
            let mut targets = targets;
            let mut add = |found: Found<'_>| {
                if targets.len() >= FOUND_MAX {
                    return Visit::Enough;
                }
                let cluster = found.cluster.id;
                let job = JobId {
                    cluster,
                    proc: found.proc,
                };
                let id = cluster.to_string();
                let whole = found.count == u64::from(found.cluster.count);
                let single = |proc| Target::Named(Subject::Job(JobId { cluster, proc }));
                match (found.count, &*kind) {
                    (1, _) => targets.push((id, Target::Named(Subject::Job(job)))),
                    (_, Deed::Edit(_)) if !whole => {
                        let rest = found.cluster.rest_from(0);
                        targets.extend(rest.map(|proc| (id.clone(), single(proc))));
                    }
                    (_, Deed::Act(_) | Deed::Edit(_)) => targets.push((id, Target::Rest(cluster))),
                }
                Visit::GoOn
            };
            let scanned = scan(queue, now, &wanted, from, Untouched::Together, &mut add);
            (targets, scanned)
        };
        let scanned;
        (targets, scanned) = shared.queue.read(look).await?;
        match scanned {
            Scanned::More(cursor) => from = Some(cursor),
            Scanned::Done => break,
            Scanned::Enough => {
                return Err(Status::resource_exhausted(format!(
                    "more than {FOUND_MAX} jobs are meant (FOUND_MAX); name fewer at a time"
                )));
            }
        }
    }
    let unknown = shared.queue.read(move |queue| selection.unknown(queue));
    Ok((targets, unknown.await?))
}

/// One command for each target, many of them in one flush.
async fn carry(
    shared: &Arc<Shared>,
    deed: &Arc<Deed>,
    reason: &str,
    targets: Vec<(String, Target)>,
) -> Result<Vec<Came>, Status> {
    let mut came: Vec<Option<Came>> = Vec::new();
    came.resize_with(targets.len(), || None);
    let mut under_way = JoinSet::new();
    let mut ahead = targets.into_iter().enumerate();
    loop {
        while under_way.len() < AT_A_TIME
            && let Some((at, (id, target))) = ahead.next()
        {
            let (shared, deed) = (shared.clone(), deed.clone());
            let reason = reason.to_owned();
            under_way.spawn(async move {
                let command = command_of(&deed, target, reason);
                (at, id, shared.queue.carry(command).await)
            });
        }
        let Some(ended) = under_way.join_next().await else {
            break;
        };
        let (at, id, result) = ended.map_err(|error| Status::internal(error.to_string()))?;
        came[at] = Some(came_of(id, result?));
    }
    Ok(came.into_iter().flatten().collect())
}

fn command_of(deed: &Deed, target: Target, reason: String) -> Command {
    match (deed, target) {
        (Deed::Act(act), Target::Named(subject)) => Command::Act {
            act: *act,
            subject,
            reason,
        },
        (Deed::Act(act), Target::Rest(cluster)) => Command::ActOnRest {
            act: *act,
            cluster,
            reason,
        },
        (Deed::Edit(change), Target::Named(subject)) => Command::Edit {
            subject,
            change: change.clone(),
        },
        // Only where all of a cluster is untouched.
        (Deed::Edit(change), Target::Rest(cluster)) => Command::Edit {
            subject: Subject::Whole(cluster),
            change: change.clone(),
        },
    }
}

/// What came of one command.
struct Came {
    acted: Acted,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Done,
    /// Its state does not allow it.
    NotNow,
    Refused,
}

fn came_of(id: String, result: Result<Reply, Refusal>) -> Came {
    let (changed, running) = match &result {
        Ok(Reply::Acted { changed }) => (*changed, 0),
        Ok(Reply::Edited { changed, running }) => (*changed, *running),
        Ok(Reply::Done | Reply::Submitted { .. } | Reply::Drained { .. }) | Err(_) => (0, 0),
    };
    let how = match &result {
        Ok(_) => How::Done,
        Err(Refusal::WrongState { .. }) => How::NotNow,
        Err(_) => How::Refused,
    };
    let acted = Acted {
        id,
        changed,
        running,
        unknown: matches!(result, Err(Refusal::Unknown { .. })),
        error: result
            .err()
            .map_or(String::new(), |refusal| refusal.to_string()),
    };
    Came { acted, how }
}

/// One answer for each cluster, of jobs that nobody named by themselves. That the state of some
/// does not allow it is worth a word only where nothing could be done at all.
fn summed(came: Vec<Came>) -> Vec<Acted> {
    let any = came.iter().any(|one| one.acted.changed > 0);
    let mut sums: BTreeMap<(usize, String), Acted> = BTreeMap::new();
    for one in came {
        let is_silent = one.acted.unknown || any && one.how == How::NotNow;
        if is_silent {
            continue;
        }
        let id = one.acted.id.clone();
        // Numbers in the order of numbers.
        let sum = sums.entry((id.len(), id)).or_insert_with(|| Acted {
            id: one.acted.id.clone(),
            ..Acted::default()
        });
        sum.changed += one.acted.changed;
        sum.running += one.acted.running;
        if sum.error.is_empty() {
            sum.error = one.acted.error;
        }
    }
    sums.into_values().collect()
}
