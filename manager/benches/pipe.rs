//! How many jobs a second the manager alone carries, every result durable: the real manager on a
//! temporary directory, and simulated workers that run nothing over real sessions. Prints besides
//! what sled does when it is given records of the same number and size, synced as often.
//!
//! `cargo bench -p manager --bench pipe -- [JOBS [WORKERS [CPUS]]]`; without workers it tells what
//! so many jobs that wait cost. `-- dag [NODES]` queues a DAG of so many separate clusters.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use manager::Settings;
use proto::batch::{Batched, pack};
use proto::nouns::{Ended, Offer, Report, ToManager, ToWorker};
use proto::wire;
use proto::wire::queue_client::QueueClient;
use proto::wire::workers_client::WorkersClient;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// Messages of one session that wait to be sent.
const MESSAGES_MAX: usize = 4_096;
/// Records that the comparison writes at once: a turn of the queue.
const GROUP: usize = 256;
/// Bytes of each.
const RECORD_BYTES: usize = 256;

/// Jobs whose report the manager has made durable.
struct Done {
    count: AtomicU64,
    wanted: u64,
    all: watch::Sender<bool>,
}

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let number = |at: usize, otherwise| numbers.get(at).copied().unwrap_or(otherwise);
    let (jobs, workers, cpus) = (number(0, 100_000), number(1, 64), number(2, 8));
    let dir = tempfile::tempdir().unwrap();
    let house = runtime("manager");
    let is_dag = std::env::args().any(|arg| arg == "dag");
    let workers = if is_dag { 0 } else { workers };
    let mut settings = Settings::new(dir.path().join("manager"));
    settings.lease_ms = 600_000;
    let manager = house.block_on(manager::start(settings)).unwrap();
    let address = format!("http://{}", manager.address());
    let before = memory_mb("VmRSS");
    let field = runtime("workers");
    let done = Arc::new(Done {
        count: AtomicU64::new(0),
        wanted: jobs,
        all: watch::channel(false).0,
    });
    let (seconds, submit) = field.block_on(async {
        for number in 0..workers {
            let line = connect(&address, number, cpus).await;
            tokio::spawn(serve(line, done.clone()));
        }
        let begun = Instant::now();
        let id = submit(&address, dir.path(), jobs, is_dag).await;
        let submitted = begun.elapsed();
        if workers == 0 {
            queued(&address, id, jobs, is_dag).await;
            return (begun.elapsed().as_secs_f64(), submitted);
        }
        let mut all = done.all.subscribe();
        all.wait_for(|all| *all).await.unwrap();
        (begun.elapsed().as_secs_f64(), submitted)
    });
    let cpu = cpu_by_thread();
    println!("jobs {jobs}, workers {workers}, cpus of each {cpus}");
    println!("submit            {:8.1} ms", submit.as_secs_f64() * 1e3);
    println!("all               {:8.1} ms", seconds * 1e3);
    println!("jobs per second   {:8.0}", jobs as f64 / seconds);
    println!("memory more       {:8.1} MB", memory_mb("VmRSS") - before);
    for (thread, ms) in cpu {
        println!(
            "cpu per job       {:8.1} µs  {thread}",
            ms * 1e3 / jobs as f64
        );
    }
    house.block_on(manager.drain()).unwrap();
    drop((field, house));
    println!("memory at most    {:8.1} MB", memory_mb("VmHWM"));
    println!(
        "on disk           {:8.1} MB",
        bytes_below(&dir.path().join("manager")) as f64 / 1e6
    );
    if workers > 0 {
        limit(jobs);
    }
}

fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .unwrap()
}

/// A session that has begun.
struct Line {
    outbound: mpsc::Sender<wire::WorkerMessage>,
    inbound: tonic::Streaming<wire::ManagerMessage>,
}

async fn connect(address: &str, number: u64, cpus: u64) -> Line {
    let endpoint = tonic::transport::Endpoint::from_shared(address.to_owned()).unwrap();
    let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
    let (outbound, queue) = mpsc::channel(MESSAGES_MAX);
    let hello = ToManager::Hello {
        worker: format!("w{number}").parse().unwrap(),
        boot: number,
        version: "pipe".to_owned(),
        offer: Offer {
            ad: "Arch = \"X86_64\"\nOpSys = \"LINUX\"\nHasFileTransfer = true\n".to_owned(),
            cpus: u32::try_from(cpus).unwrap(),
            memory_mib: 1 << 20,
            disk_kib: 1 << 40,
            gpus: Vec::new(),
            resources: BTreeMap::new(),
        },
        claims: Vec::new(),
        cached: Vec::new(),
    };
    outbound.send(hello.into()).await.unwrap();
    let mut client = WorkersClient::new(channel);
    let opened = client.session(ReceiverStream::new(queue)).await.unwrap();
    let mut inbound = opened.into_inner();
    let welcome = inbound.message().await.unwrap().unwrap();
    let welcome = ToWorker::try_from(welcome).unwrap();
    assert!(matches!(welcome, ToWorker::Welcome { .. }));
    Line { outbound, inbound }
}

/// Ends each job as soon as it comes.
async fn serve(mut line: Line, done: Arc<Done>) {
    while let Ok(Some(message)) = line.inbound.message().await {
        let mut answers = Vec::new();
        for message in message.unbatch() {
            match ToWorker::try_from(message).unwrap() {
                ToWorker::Activate { claim, .. } => {
                    let report = Box::new(Report::new(Ended::Exited(0), 1, 2));
                    answers.push(ToManager::Finished { claim, report });
                }
                ToWorker::Forget { .. } => {
                    if done.count.fetch_add(1, Ordering::Relaxed) + 1 == done.wanted {
                        done.all.send_replace(true);
                    }
                }
                ToWorker::Welcome { .. }
                | ToWorker::Vacate { .. }
                | ToWorker::Tail { .. }
                | ToWorker::Goodbye { .. }
                | ToWorker::Leave { .. } => {}
            }
        }
        for answer in pack(answers.into_iter().map(wire::WorkerMessage::from)) {
            if line.outbound.send(answer).await.is_err() {
                return;
            }
        }
    }
}

async fn client(address: &str) -> QueueClient<tonic::transport::Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(address.to_owned()).unwrap();
    QueueClient::new(endpoint.connect().await.unwrap())
}

async fn submit(address: &str, dir: &Path, jobs: u64, is_dag: bool) -> u32 {
    let count = if is_dag { 1 } else { jobs };
    let text = format!("executable = /bin/true\ntransfer_executable = false\nqueue {count}\n");
    let mut sources = vec![("job.sub".to_owned(), text)];
    let mut main = "job.sub";
    if is_dag {
        let nodes = (0..jobs).map(|node| format!("JOB n{node} job.sub\n"));
        main = "pipe.dag";
        sources.push((main.to_owned(), nodes.collect()));
    }
    let request = wire::SubmitRequest {
        key: "pipe".to_owned(),
        owner: "ann".to_owned(),
        directory: dir.to_str().unwrap().to_owned(),
        main: main.to_owned(),
        sources: sources.into_iter().collect(),
        delivery: wire::Delivery::Write.into(),
        ..wire::SubmitRequest::default()
    };
    let mut client = client(address).await.max_encoding_message_size(1 << 30);
    client.submit(request).await.unwrap().into_inner().id
}

/// Waits until every job is in the queue.
async fn queued(address: &str, id: u32, jobs: u64, is_dag: bool) {
    let mut client = client(address).await;
    loop {
        let request = wire::RunsRequest {
            ids: vec![id],
            ..wire::RunsRequest::default()
        };
        let runs = client.runs(request).await.unwrap().into_inner().runs;
        let running = |run: &wire::Run| {
            run.counts
                .is_some_and(|counts| u64::from(counts.running) >= jobs)
        };
        if !is_dag || runs.iter().any(running) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// What sled alone does with one record for each start and one for each end.
fn limit(jobs: u64) {
    let dir = tempfile::tempdir().unwrap();
    let config = sled::Config::default()
        .path(dir.path())
        .flush_every_ms(None);
    let db = config.open().unwrap();
    let file = std::fs::File::open(dir.path().join("db")).unwrap();
    let begun = Instant::now();
    let (mut batch, mut inside) = (sled::Batch::default(), 0);
    for number in 0..jobs * 2 {
        let key = (number / 2).to_be_bytes();
        batch.insert(&key, vec![number as u8; RECORD_BYTES]);
        inside += 1;
        if inside == GROUP {
            db.apply_batch(std::mem::take(&mut batch)).unwrap();
            db.flush().unwrap();
            file.sync_data().unwrap();
            inside = 0;
        }
    }
    db.apply_batch(batch).unwrap();
    db.flush().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "sled alone        {:8.0} jobs per second",
        jobs as f64 / seconds
    );
}

/// Milliseconds on the processor, by the name of the thread.
fn cpu_by_thread() -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let dir = task.unwrap().path();
        let Ok(text) = std::fs::read_to_string(dir.join("schedstat")) else {
            continue;
        };
        let name = std::fs::read_to_string(dir.join("comm")).unwrap_or_default();
        let ns: f64 = text.split(' ').next().unwrap().parse().unwrap();
        *found.entry(name.trim().to_owned()).or_default() += ns / 1e6;
    }
    found.retain(|_, ms| *ms >= 1.0);
    found
}

fn memory_mb(what: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(what)).unwrap();
    let kb: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kb / 1e3
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let bytes = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => bytes_below(&entry.path()),
        false => entry.metadata().unwrap().len(),
    });
    bytes.sum()
}
