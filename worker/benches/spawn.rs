//! How fast the worker runs jobs that do nothing, beside a bare loop that starts the same
//! processes: `cargo bench -p worker`, or `cargo bench -p worker -- JOBS`. The worker is the real
//! one with its directory on the disk; its manager is the tests', which sends ahead.
#![allow(clippy::unwrap_used, reason = "a bench ends where it fails")]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/daemon/manager.rs"]
mod manager;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use manager::{Manager, POOL, Session};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use proto::nouns::{ClaimId, Ended, JobId, Outputs, Program, ToManager, ToWorker, WorkOrder};

/// Processes at a time.
const SLOTS: u64 = 2;
/// Claims that wait behind the one that runs.
const AHEAD: u64 = 8;
const JOBS: u64 = 5_000;
const ROUNDS: usize = 3;

struct Taken {
    wall: Duration,
    /// Of the worker alone, in microseconds.
    worker_us: u64,
    starts_told: u64,
}

fn main() {
    let jobs = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(JOBS);
    let mut ratios = Vec::new();
    println!("{}", machine());
    for _ in 0..ROUNDS {
        let (bare, bare_us) = bare(jobs);
        let taken = through_the_worker(jobs);
        let (limit, rate) = (per_second(jobs, bare), per_second(jobs, taken.wall));
        ratios.push(rate / limit);
        println!(
            "bare loop {limit:.0}/s, worker {rate:.0}/s: {:.0} %; own CPU a job: loop {:.0} us, \
             worker {:.0} us; {} of {jobs} starts told",
            100.0 * rate / limit,
            bare_us as f64 / jobs as f64,
            taken.worker_us as f64 / jobs as f64,
            taken.starts_told,
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median: {:.0} % of the bare loop",
        100.0 * ratios[ROUNDS / 2]
    );
}

/// What the figures are of.
fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores of {}, Linux {}",
        model.unwrap_or("an unknown model"),
        kernel.trim()
    )
}

fn per_second(jobs: u64, wall: Duration) -> f64 {
    jobs as f64 / wall.as_secs_f64()
}

/// The limit: nothing but starting and reaping. How long that took, and the loop's own CPU time.
fn bare(jobs: u64) -> (Duration, u64) {
    let (start, before) = (Instant::now(), cpu_us(UsageWho::RUSAGE_THREAD));
    let mut running: Vec<Child> = Vec::new();
    for _ in 0..jobs {
        if running.len() as u64 == SLOTS {
            running.remove(0).wait().unwrap();
        }
        let mut command = Command::new("/bin/true");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        running.push(command.spawn().unwrap());
    }
    for mut child in running {
        child.wait().unwrap();
    }
    let cpu = cpu_us(UsageWho::RUSAGE_THREAD) - before;
    (start.elapsed(), cpu)
}

fn through_the_worker(jobs: u64) -> Taken {
    let (tell, told) = std::sync::mpsc::channel();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let before = cpu_us(UsageWho::RUSAGE_SELF);
    // The manager has a thread of its own, so that its work can be told from the worker's.
    let served = std::thread::spawn(move || {
        runtime().block_on(async move {
            let mut manager = Manager::start().await;
            tell.send(manager.address.clone()).unwrap();
            let (session, _) = manager.session().await;
            let taken = serve(session, jobs).await;
            tell.send(String::new()).unwrap();
            finished.await.unwrap();
            (taken, cpu_us(UsageWho::RUSAGE_THREAD))
        })
    });
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = worker::Settings {
        manager: told.recv().unwrap(),
        state_dir: dir.path().to_owned(),
        name: Some("bench".parse().unwrap()),
        ..worker::Settings::default()
    };
    runtime().block_on(async {
        let worker = worker::start(settings).await.unwrap();
        tokio::task::spawn_blocking(move || told.recv().unwrap())
            .await
            .unwrap();
        worker.stop().await.unwrap();
    });
    finish.send(()).unwrap();
    let ((wall, starts_told), manager_us) = served.join().unwrap();
    let all_us = cpu_us(UsageWho::RUSAGE_SELF) - before;
    Taken {
        wall,
        worker_us: all_us.saturating_sub(manager_us),
        starts_told,
    }
}

/// Keeps each slot's chain full until all jobs have ended. How long that took, and how many starts
/// it was told of.
async fn serve(mut session: Session, jobs: u64) -> (Duration, u64) {
    let start = Instant::now();
    let mut last = [None; SLOTS as usize];
    let (mut given, mut ended, mut starts) = (0, 0, 0);
    while given < jobs.min(SLOTS * (1 + AHEAD)) {
        give(&session, &mut given, &mut last).await;
    }
    while ended < jobs {
        match session.next().await {
            ToManager::Finished { claim, report } => {
                assert_eq!(report.ended, Ended::Exited(0));
                ended += 1;
                session.say(ToWorker::Forget { claim }).await;
                if given < jobs {
                    give(&session, &mut given, &mut last).await;
                }
            }
            ToManager::Started { .. } => starts += 1,
            _ => {}
        }
    }
    (start.elapsed(), starts)
}

/// Gives the next claim, behind the last of its slot.
async fn give(session: &Session, given: &mut u64, last: &mut [Option<ClaimId>]) {
    *given += 1;
    let claim = ClaimId {
        pool: POOL,
        serial: *given,
    };
    let slot = (*given % SLOTS) as usize;
    let behind = last[slot].replace(claim);
    let order = Box::new(order());
    session
        .say(ToWorker::Activate {
            claim,
            order,
            behind,
        })
        .await;
}

fn order() -> WorkOrder {
    WorkOrder {
        job: JobId {
            cluster: 1,
            proc: 0,
        },
        attempt: 1,
        owner: "bench".to_owned(),
        program: Program::Installed("/bin/true".to_owned()),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        inputs: Vec::new(),
        stdin: None,
        outputs: Outputs::New,
        cpus: 1,
        memory_mib: 128,
        gpus: Vec::new(),
        gpu_memory_mib: None,
        gpu_naming: proto::nouns::GpuNaming::Uuid,
        resources: BTreeMap::new(),
        params: None,
        kill_signal: 15,
        kill_grace_ms: 1_000,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn cpu_us(who: UsageWho) -> u64 {
    let usage = getrusage(who).unwrap();
    let time = usage.user_time() + usage.system_time();
    u64::try_from(time.num_microseconds()).unwrap()
}
