//! `run`: a whole DAG in one process. Starts a manager and a worker, then does what any client
//! does, over gRPC.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::wire;
use proto::wire::act_request::Action;
use proto::wire::steer_request;
use proto::wire::update::What;
use tokio::time::{MissedTickBehavior, interval};

use crate::args;
use crate::client::Client;
use crate::client::bundle::{Bundle, Work};
use crate::client::inputs::{self, Found};
use crate::embedded::Embedded;
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::output::{complain, count, one_line};
use crate::progress::{Progress, Seen, Snapshot};
use crate::settings::{self, Address, Settings};
use crate::signals::Interrupts;
use crate::summary;
use crate::verbs::steer;

/// How long nothing runs before somebody wants to know why.
const QUIET_MAX: Duration = Duration::from_secs(5);

pub async fn run(args: args::Run, settings: &Settings) -> Result<Exit, Failure> {
    let bundle = Bundle::load_with(&args.file, &[], &args.rescue.chosen())?;
    if let Work::Cluster(_) = bundle.work {
        return Err(Failure::Usage(format!(
            "{}: `run` takes a DAG file (.dag); use `submit` for a submit description",
            args.file.display()
        )));
    }
    let found = inputs::find(&bundle)?;
    let state_dir = state_dir(&args, settings)?;
    let log = state_dir.join("log");
    logging::to_file(&log, settings.verbosity)
        .map_err(|error| Failure::Work(format!("{}: {error}", log.display())))?;
    let mut interrupts = Interrupts::listen()?;
    let mut embedded = tokio::select! {
        embedded = Embedded::start(&state_dir) => embedded?,
        () = interrupts.next() => return Err(Failure::Interrupted),
    };
    let address = embedded.address();
    let queued = tokio::select! {
        queued = queue(&address, (bundle, found), &args) => queued,
        failure = embedded.died() => Err(failure),
        () = interrupts.next() => Err(Failure::Interrupted),
    };
    // Nothing runs before it is said what will: an earlier run's jobs may not be wanted any more.
    let ready = match queued {
        Ok(queued) => embedded.begin_work(args.cpus).await.map(|()| queued),
        Err(failure) => Err(failure),
    };
    let ended = match ready {
        Ok(queued) => tokio::select! {
            ended = work(queued, &args, settings) => ended,
            failure = embedded.died() => Err(failure),
            () = interrupts.next() => Err(Failure::Interrupted),
        },
        Err(failure) => Err(failure),
    };
    if let Err(Failure::Interrupted) = ended {
        complain("stopping; Ctrl-C again ends at once");
    }
    interrupts.end_at_next();
    let stopped = embedded.stop().await;
    if let Err(Failure::Interrupted) = ended {
        complain(&format!(
            "stopped; run the same command again to resume: updraft run {}",
            args.file.display()
        ));
        return Ok(Exit::Interrupted);
    }
    let exit = ended?;
    stopped.map(|()| exit)
}

fn state_dir(args: &args::Run, settings: &Settings) -> Result<PathBuf, Failure> {
    let chosen = args
        .state_dir
        .clone()
        .or_else(|| settings.state_dir.clone());
    let default = || settings::state_home().map(|home| home.join("updraft/run"));
    let dir = chosen.or_else(default).ok_or_else(|| {
        Failure::Usage("there is no home directory for the state; give --state-dir".to_owned())
    })?;
    let dir = dir.join(own_name(&args.file));
    std::fs::create_dir_all(&dir)
        .map_err(|error| Failure::Work(format!("{}: {error}", dir.display())))?;
    // Nothing below may depend on where the user stands.
    std::path::absolute(&dir).map_err(|error| Failure::Work(error.to_string()))
}

/// Each DAG file has a state of its own: what was interrupted in one never runs beside another.
fn own_name(file: &Path) -> String {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    let digest = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{}", &digest[..8])
}

/// A DAG run that waits for a worker.
struct Queued {
    client: Client,
    id: u32,
    typed: String,
    since: Instant,
}

/// Submits or resumes.
async fn queue(
    address: &Address,
    (bundle, found): (Bundle, Found),
    args: &args::Run,
) -> Result<Queued, Failure> {
    let since = Instant::now();
    let client = Client::connect(address).await?;
    let typed = bundle.typed.clone();
    let id = submit_or_resume(&client, bundle, found, args).await?;
    Ok(Queued {
        client,
        id,
        typed,
        since,
    })
}

/// Watches to the end, and tells how it went.
async fn work(queued: Queued, args: &args::Run, settings: &Settings) -> Result<Exit, Failure> {
    let Queued {
        client,
        id,
        typed,
        since,
    } = queued;
    let stuck = {
        let mut progress = Progress::start(&args.file);
        watch(&client, id, &mut progress).await?
    };
    let run = client.run(id).await?;
    let studies = client.studies_of(&run).await?;
    summary::print(&run, &studies, &typed, since.elapsed(), settings)?;
    if run.status == "Completed" {
        return Ok(Exit::Ok);
    }
    summary::complain_of_failures(&client, &run).await?;
    if let Some(reason) = stuck {
        complain(&format!("error: {reason}"));
    }
    complain(&format!(
        "run the same command again to resume: updraft run {}",
        args.file.display()
    ));
    Ok(Exit::Failed)
}

/// The id of the DAG run to watch: an earlier one of the same files that is not done, or a new one.
async fn submit_or_resume(
    client: &Client,
    bundle: Bundle,
    found: Found,
    args: &args::Run,
) -> Result<u32, Failure> {
    let Some(earlier) = earlier(client, &bundle).await? else {
        return Ok(client.submit(bundle, found).await?.id);
    };
    let id = earlier.id;
    let counts = earlier.counts.unwrap_or_default();
    let standing = format!(
        "DAG run {id} of {}, {} of {} nodes done",
        earlier.file, counts.done, counts.total
    );
    if args.fresh {
        complain(&format!("not resuming {standing}: --fresh"));
        end(client, &earlier).await?;
        return Ok(client.submit(bundle, found).await?.id);
    }
    let same = earlier.digest == bundle.digest();
    if same && earlier.status == "Running" {
        complain(&format!("resuming {standing}: {}", left(counts)));
        go_on(client, &earlier).await?;
        return Ok(id);
    }
    if !end(client, &earlier).await? {
        complain(&format!(
            "not resuming {standing}: its FINAL node is still to run"
        ));
        return Ok(client.submit(bundle, found).await?.id);
    }
    let prepared = client.prepare(bundle, found).await?.continuing(id);
    let plan = client.plan(prepared.plan()).await?;
    if same && plan.kept == counts.done {
        complain(&format!("resuming {standing}: {}", left(counts)));
        resume(client, id).await?;
        return Ok(id);
    }
    complain(&format!("the files of {standing}, have changed since"));
    complain(steer::told(&plan).trim_end());
    Ok(client.send_prepared(prepared).await?.id)
}

fn left(counts: wire::NodeCounts) -> String {
    let left = counts.total - counts.done.min(counts.total);
    format!("{} left", count(u64::from(left), "node"))
}

/// Ends a run that is under way. Whether it ended: its FINAL node may want to run first.
async fn end(client: &Client, run: &wire::Run) -> Result<bool, Failure> {
    if run.status != "Running" {
        return Ok(true);
    }
    acted(client, Action::Remove, run.id).await?;
    Ok(client.run(run.id).await?.status != "Running")
}

async fn resume(client: &Client, run: u32) -> Result<(), Failure> {
    let what = Some(steer_request::What::Resume(steer_request::Resume {}));
    client.steer(wire::SteerRequest { run, what }).await?;
    Ok(())
}

/// Goes on with a run that did not end.
async fn go_on(client: &Client, run: &wire::Run) -> Result<(), Failure> {
    if run.halt == "Halted" {
        resume(client, run.id).await?;
    }
    release(client, run.id).await
}

/// The last run of the same file, if it is unfinished or failed.
async fn earlier(client: &Client, bundle: &Bundle) -> Result<Option<wire::Run>, Failure> {
    let which = wire::Which::All.into();
    let request = wire::RunsRequest {
        ids: Vec::new(),
        with_nodes: false,
        which,
    };
    let same_file = |run: &wire::Run| {
        Path::new(&run.directory).join(&run.file) == bundle.directory.join(&bundle.main)
    };
    let runs = client.runs(request).await?.runs;
    let last = runs.into_iter().filter(same_file).max_by_key(|run| run.id);
    Ok(last.filter(|run| matches!(run.status.as_str(), "Running" | "Failed" | "Removed")))
}

/// A run that goes on may wait for somebody to look at its held jobs: running the command again is
/// that.
async fn release(client: &Client, id: u32) -> Result<(), Failure> {
    let snapshot = Snapshot::take(client, id).await?;
    let held = snapshot.jobs.iter().any(|job| job.status == "Held");
    if held || snapshot.run.halt == "Held" {
        acted(client, Action::Release, id).await?;
    }
    Ok(())
}

async fn acted(client: &Client, action: Action, id: u32) -> Result<(), Failure> {
    let reply = client
        .act(action, vec![id.to_string()], "updraft run")
        .await?;
    match reply
        .acted
        .into_iter()
        .find(|acted| !acted.error.is_empty() || acted.unknown)
    {
        Some(acted) if acted.unknown => Err(Failure::NotFound(format!("DAG run {id} is gone"))),
        Some(acted) => Err(Failure::Work(format!("DAG run {id}: {}", acted.error))),
        None => Ok(()),
    }
}

/// Shows what happens until the run has ended, or can go on no more: then with the reason.
async fn watch(
    client: &Client,
    id: u32,
    progress: &mut Progress,
) -> Result<Option<String>, Failure> {
    let mut draw = interval(progress.interval());
    draw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quiet = Quiet::default();
    loop {
        let request = wire::FollowRequest {
            ids: vec![id.to_string()],
            events: true,
            after: Some(progress.seen()),
            until_ended: true,
            ..wire::FollowRequest::default()
        };
        let mut events = client.updates(request).await?;
        let mut snapshot = Snapshot::take(client, id).await?;
        let mut news = true;
        while snapshot.run.status == "Running" {
            tokio::select! {
                update = client.next(&mut events) => match update? {
                    Some(update) => {
                        told(progress, &update);
                        news = true;
                    }
                    None => break,
                },
                _ = draw.tick() => {
                    if std::mem::replace(&mut news, false) {
                        snapshot = Snapshot::take(client, id).await?;
                    }
                    progress.draw(&snapshot);
                    if held_up(&snapshot).is_some() && !moves(client, &snapshot.run).await? {
                        // Nothing came in between.
                        snapshot = Snapshot::take(client, id).await?;
                        if let Some(reason) = held_up(&snapshot) {
                            return Ok(Some(reason));
                        }
                    }
                    quiet.tell(client, &snapshot, progress).await?;
                }
            }
        }
        snapshot = Snapshot::take(client, id).await?;
        progress.draw(&snapshot);
        if snapshot.run.status != "Running" {
            // What was said last may still be on its way.
            while let Some(update) = client.next(&mut events).await? {
                told(progress, &update);
            }
            return Ok(None);
        }
    }
}

fn told(progress: &mut Progress, update: &wire::Update) {
    if let Some(What::Event(event)) = &update.what {
        progress.event(event);
    }
}

/// Nobody can release a job of a manager that nobody can reach: where all that is left is held, the
/// run is over.
fn held_up(snapshot: &Snapshot) -> Option<String> {
    let first = snapshot.jobs.first()?;
    let stays = |job: &wire::Job| job.status == "Held" && !job.held_for_now;
    if snapshot.seen == Seen::Some || !snapshot.jobs.iter().all(stays) {
        return None;
    }
    let jobs = count(snapshot.jobs.len() as u64, "job");
    Some(format!(
        "nothing can go on: {jobs} held; {} ({}): {}",
        first.node,
        first.id,
        one_line(&first.hold_reason)
    ))
}

/// Whether something of a run or its sub-DAGs goes on that is no job: a script, or files that are
/// read.
async fn moves(client: &Client, run: &wire::Run) -> Result<bool, Failure> {
    let mut ahead = vec![run.id];
    while let Some(id) = ahead.pop() {
        for node in client.run(id).await?.nodes {
            match node.status.as_str() {
                "Pre" | "Ready" | "Preparing" | "Post" => return Ok(true),
                "Running" if !node.waits.is_empty() => return Ok(true),
                "Running" if node.subrun != 0 => ahead.push(node.subrun),
                _ => {}
            }
        }
    }
    Ok(false)
}

/// Looks out for a run in which nothing runs, and asks why.
#[derive(Default)]
struct Quiet {
    since: Option<Instant>,
    told: Vec<String>,
}

impl Quiet {
    async fn tell(
        &mut self,
        client: &Client,
        snapshot: &Snapshot,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let running = snapshot.jobs.iter().any(|job| job.status == "Running");
        let idle = snapshot.jobs.iter().find(|job| job.status == "Idle");
        let (false, Some(idle)) = (running, idle) else {
            self.since = None;
            return Ok(());
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < QUIET_MAX || self.told.contains(&idle.id) {
            return Ok(());
        }
        self.told.push(idle.id.clone());
        let why = client
            .why(wire::WhyRequest {
                id: idle.id.clone(),
                ..wire::WhyRequest::default()
            })
            .await?;
        let refused = why.clauses.iter().find(|clause| clause.in_order == 0);
        let clause = refused.map(|clause| match clause.nearest_miss.as_str() {
            "" => format!("; none passes `{}`", clause.text),
            near => format!("; none passes `{}`: {near}", clause.text),
        });
        let hints = why.hints.iter().map(|hint| format!("; {hint}"));
        let reasons: String = clause.into_iter().chain(hints).collect();
        progress.note(&format!("{} waits: {}{reasons}", idle.node, why.summary));
        Ok(())
    }
}
