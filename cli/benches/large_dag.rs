//! What a DAG of many nodes costs the manager: `cargo bench -p updraft`. Nodes without jobs, in
//! layers that depend wholly on the one before, through the real binary: checked, submitted over
//! gRPC, durable turn by turn. Beside it the limit: the same number of records of the same size
//! written by the same store's library in batches of the same size, each synced.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LAYERS: usize = 100;
const WIDTH: usize = 1_000;
/// Records of one turn: rows of the journal and nodes.
const BATCH: usize = 512;
/// Bytes of a node's record and of a row's, about.
const RECORD_BYTES: usize = 120;
/// Nodes that DAGMan submits in a second at most, by its defaults: 100 every 5 s.
const DAGMAN_NODES_PER_S: f64 = 20.0;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    println!("on {}, {} cores", processor(), cores());
    let nodes = LAYERS * WIDTH;
    write_dag(&dir.path().join("large.dag")).expect("the directory can be written");
    let checked = timed(|| updraft(dir.path(), &["dag", "check", "large.dag"], None));
    println!(
        "check of {nodes} nodes          {:>8.2} s",
        checked.as_secs_f64()
    );
    let mut manager = Manager::start(dir.path());
    let submitted = timed(|| updraft(dir.path(), &["submit", "large.dag"], Some(&manager.address)));
    let waited = timed(|| updraft(dir.path(), &["wait", "1"], Some(&manager.address)));
    let took = submitted + waited;
    let peak_mib = manager.peak_kib() as f64 / 1024.0;
    manager.stop();
    let limit = timed(|| bare_store(dir.path(), 2 * nodes));
    println!(
        "submit until it is answered     {:>8.2} s",
        submitted.as_secs_f64()
    );
    println!(
        "submit until the run has ended  {:>8.2} s",
        took.as_secs_f64()
    );
    println!("the manager's memory at most    {peak_mib:>8.0} MiB");
    println!(
        "the records alone, synced       {:>8.2} s",
        limit.as_secs_f64()
    );
    let rate = nodes as f64 / took.as_secs_f64();
    println!(
        "{rate:.0} nodes/s: {:.1} times as long as the records alone, {:.0} times DAGMan's ceiling",
        took.as_secs_f64() / limit.as_secs_f64(),
        rate / DAGMAN_NODES_PER_S
    );
}

fn write_dag(path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for layer in 0..LAYERS {
        for node in 0..WIDTH {
            writeln!(file, "JOB n{layer}_{node} none.sub NOOP")?;
        }
    }
    let names = |layer: usize| {
        let names = (0..WIDTH).map(|node| format!("n{layer}_{node}"));
        names.collect::<Vec<_>>().join(" ")
    };
    for layer in 1..LAYERS {
        writeln!(file, "PARENT {} CHILD {}", names(layer - 1), names(layer))?;
    }
    file.flush()
}

/// Batches of records in sled, each flushed and synced as the store does it.
fn bare_store(dir: &Path, records: usize) {
    let path = dir.join("bare");
    let db = sled::Config::default()
        .path(&path)
        .flush_every_ms(None)
        .open()
        .expect("an empty directory is a store");
    let file = File::open(path.join("db")).expect("sled's own file is there");
    let value = vec![b'x'; RECORD_BYTES];
    for first in (0..records).step_by(BATCH) {
        let mut batch = sled::Batch::default();
        for record in first..(first + BATCH).min(records) {
            let key = (record as u64).to_be_bytes().to_vec();
            batch.insert(key, value.clone());
        }
        db.apply_batch(batch).expect("the disk has room");
        db.flush().expect("the disk has room");
        file.sync_data().expect("the disk has room");
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn updraft(dir: &Path, args: &[&str], manager: Option<&str>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_updraft"));
    command.current_dir(dir).args(args).stdout(Stdio::null());
    if let Some(address) = manager {
        command.env("UPDRAFT_MANAGER", address);
    }
    let status = command.status().expect("the binary was just built");
    assert!(status.success(), "{args:?}: {status}");
}

struct Manager {
    process: Child,
    address: String,
}

impl Manager {
    /// Returns when it serves.
    fn start(dir: &Path) -> Manager {
        let process = Command::new(env!("CARGO_BIN_EXE_updraft"))
            .current_dir(dir)
            .args(["manager", "--state-dir", "manager"])
            .args(["--listen", "127.0.0.1:0", "--address-file", "address"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was just built");
        let mut manager = Manager {
            process,
            address: String::new(),
        };
        while !manager.address.ends_with('\n') {
            let ended = manager.process.try_wait().expect("it is our own process");
            assert!(ended.is_none(), "the manager ended");
            std::thread::sleep(Duration::from_millis(5));
            manager.address = fs::read_to_string(dir.join("address")).unwrap_or_default();
        }
        manager.address.truncate(manager.address.trim_end().len());
        manager
    }

    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
        peak.unwrap_or(0)
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|model| model.split_once(':'));
    model
        .map_or("a processor without a name", |(_, name)| name.trim())
        .to_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
