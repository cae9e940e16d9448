//! What short jobs cost through the real path: one manager, one worker of two slots, every result
//! durable, `/bin/true` as the job. Beside it in the same run the limit, a bare loop that starts the
//! same processes, and HyperQueue where its Python package is at hand.
//!
//! `cargo bench -p updraft --bench jobs -- [JOBS…]`; `HYPERQUEUE_PYTHON` names a Python that has the
//! package `hyperqueue`.
#![allow(clippy::expect_used, reason = "a bench that cannot go on stops")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Slots of the worker, and processes of the bare loop at a time.
const SLOTS: usize = 2;
const BARE: usize = 3_000;
const CHAIN: usize = 1_000;
const FAN: usize = 10_000;
const SUBMITS: usize = 200;
const JOB: &str = "executable = /bin/true\ntransfer_executable = false\nrequest_memory = 10\n\
    request_disk = 1\n";
/// Runs a number of tasks in one of the shapes, and prints the seconds that it took.
const PEER: &str = r#"
import sys, time
from hyperqueue import LocalCluster, Job
from hyperqueue.cluster import WorkerConfig
shape, n = sys.argv[1], int(sys.argv[2])
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=2))
    client, job = cluster.client(), Job()
    task = lambda deps=(): job.program(["/bin/true"], deps=deps, stdout=None, stderr=None)
    if shape == "array":
        for _ in range(n): task()
    elif shape == "chain":
        last = ()
        for _ in range(n): last = (task(last),)
    else:
        first = task()
        task([task((first,)) for _ in range(n)])
    start = time.time()
    client.wait_for_jobs([client.submit(job)])
    print("took", time.time() - start)
"#;

struct House {
    dir: tempfile::TempDir,
    manager: Child,
    worker: Child,
    address: String,
}

fn main() {
    let sizes = std::env::args().filter_map(|arg| arg.parse().ok());
    let mut sizes: Vec<usize> = sizes.collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000];
    }
    println!("on {}, {} cores", processor(), cores());
    let bare = BARE as f64 / bare(BARE).as_secs_f64();
    println!("bare loop, {SLOTS} at once        {bare:>9.0} processes/s");
    for jobs in sizes {
        let house = House::start();
        fs::write(
            house.dir.path().join("array.sub"),
            format!("{JOB}queue {jobs}\n"),
        )
        .expect("the directory can be written");
        let took = timed(|| house.run("array.sub"));
        let rate = jobs as f64 / took.as_secs_f64();
        let (manager, worker) = (cpu_us(&house.manager), cpu_us(&house.worker));
        println!(
            "array of {jobs:<7}               {rate:>9.0} jobs/s: {:.0} % of the bare loop{}; a job \
             costs the manager {:.0} µs, the worker {:.0} µs",
            100.0 * rate / bare,
            beside("array", jobs, rate),
            manager / jobs as f64,
            worker / jobs as f64,
        );
    }
    let house = House::start();
    house.write_dags();
    let rate = CHAIN as f64 / timed(|| house.run("chain.dag")).as_secs_f64();
    println!(
        "chain of {CHAIN} nodes            {rate:>9.0} nodes/s{}",
        beside("chain", CHAIN, rate)
    );
    let rate = FAN as f64 / timed(|| house.run("fan.dag")).as_secs_f64();
    println!(
        "1, {FAN}, 1                    {rate:>9.0} nodes/s{}",
        beside("fan", FAN, rate)
    );
    fs::write(house.dir.path().join("one.sub"), format!("{JOB}queue\n"))
        .expect("the directory can be written");
    let took = timed(|| (0..SUBMITS).for_each(|_| house.updraft(&["submit", "one.sub"])));
    println!(
        "separate submits              {:>9.0} /s",
        SUBMITS as f64 / took.as_secs_f64()
    );
    latency(&house);
}

/// From before the call of `submit` until the job's own clock says that it runs: the command's own
/// start and the job's are in it.
fn latency(house: &House) {
    let text = "executable = /bin/date\narguments = +%s%N\ntransfer_executable = false\n\
        request_memory = 10\nrequest_disk = 1\noutput = stamp.txt\nqueue\n";
    fs::write(house.dir.path().join("stamp.sub"), text).expect("the directory can be written");
    let mut took: Vec<f64> = Vec::new();
    for _ in 0..SUBMITS {
        let start = std::time::SystemTime::now();
        house.run("stamp.sub");
        let stamp = fs::read_to_string(house.dir.path().join("stamp.txt"));
        let stamp = stamp
            .unwrap_or_default()
            .trim()
            .parse::<u128>()
            .unwrap_or(0);
        let start = start
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        took.push(stamp.saturating_sub(start.as_nanos()) as f64 / 1e6);
    }
    took.sort_by(f64::total_cmp);
    println!(
        "one job, idle pool: call of submit until it runs: median {:.1} ms, 99 % {:.1} ms",
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
}

/// What the peer does with the same work, if it is there.
fn beside(shape: &str, tasks: usize, rate: f64) -> String {
    let Some(python) = std::env::var_os("HYPERQUEUE_PYTHON") else {
        return String::new();
    };
    let output = Command::new(python)
        .args(["-c", PEER, shape, &tasks.to_string()])
        .stderr(Stdio::null())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let took = text.lines().find_map(|line| line.strip_prefix("took "));
    match took.and_then(|took| took.parse::<f64>().ok()) {
        Some(took) => {
            let other = tasks as f64 / took;
            format!(
                "; HyperQueue {other:.0}/s: {:.1} times as many",
                rate / other
            )
        }
        None => "; HyperQueue did not run".to_owned(),
    }
}

/// The same processes, started by nothing but a loop.
fn bare(count: usize) -> Duration {
    let one = || {
        let mut command = Command::new("/bin/true");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
            .stderr(Stdio::null())
            .spawn()
            .expect("there is /bin/true")
    };
    timed(|| {
        let threads: Vec<_> = (0..SLOTS)
            .map(|_| {
                std::thread::spawn(move || {
                    for _ in 0..count / SLOTS {
                        let _ = one().wait();
                    }
                })
            })
            .collect();
        for thread in threads {
            let _ = thread.join();
        }
    })
}

impl House {
    fn start() -> House {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_updraft"));
            command.current_dir(dir.path());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let manager = program()
            .args(["manager", "--state-dir", "manager"])
            .args(["--listen", "127.0.0.1:0", "--address-file", "address"])
            .spawn()
            .expect("the binary was just built");
        let mut address = String::new();
        while !address.ends_with('\n') {
            std::thread::sleep(Duration::from_millis(5));
            address = fs::read_to_string(dir.path().join("address")).unwrap_or_default();
        }
        address.truncate(address.trim_end().len());
        let worker = program()
            .args(["worker", "--state-dir", "worker", "--name", "w"])
            .args(["--cpus", &SLOTS.to_string()])
            .env("UPDRAFT_MANAGER", &address)
            .spawn()
            .expect("the binary was just built");
        let house = House {
            dir,
            manager,
            worker,
            address,
        };
        // The first job waits for the worker, and is not measured.
        fs::write(house.dir.path().join("first.sub"), format!("{JOB}queue\n"))
            .expect("the directory can be written");
        house.run("first.sub");
        house
    }

    /// Submits, and waits until it has ended.
    fn run(&self, file: &str) {
        let output = Command::new(env!("CARGO_BIN_EXE_updraft"))
            .current_dir(self.dir.path())
            .args(["submit", file, "-o", "json"])
            .env("UPDRAFT_MANAGER", &self.address)
            .output()
            .expect("the binary was just built");
        let text = String::from_utf8_lossy(&output.stdout);
        let id = text.split("\"id\":").nth(1).unwrap_or_default();
        let id: String = id
            .trim_start()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        self.updraft(&["wait", &id]);
    }

    fn updraft(&self, args: &[&str]) {
        let status = Command::new(env!("CARGO_BIN_EXE_updraft"))
            .current_dir(self.dir.path())
            .args(args)
            .env("UPDRAFT_MANAGER", &self.address)
            .stdout(Stdio::null())
            .status()
            .expect("the binary was just built");
        assert!(status.success(), "{args:?}: {status}");
    }

    fn write_dags(&self) {
        let write = |name: &str, text: String| {
            fs::write(self.dir.path().join(name), text).expect("the directory can be written");
        };
        write("node.sub", format!("{JOB}queue\n"));
        let mut chain = String::new();
        for node in 0..CHAIN {
            chain.push_str(&format!("JOB n{node} node.sub\n"));
        }
        for node in 1..CHAIN {
            chain.push_str(&format!("PARENT n{} CHILD n{node}\n", node - 1));
        }
        write("chain.dag", chain);
        let nodes: Vec<String> = (0..FAN).map(|node| format!("n{node}")).collect();
        let mut fan = "JOB first node.sub\nJOB last node.sub\n".to_owned();
        for node in &nodes {
            fan.push_str(&format!("JOB {node} node.sub\n"));
        }
        let all = nodes.join(" ");
        fan.push_str(&format!(
            "PARENT first CHILD {all}\nPARENT {all} CHILD last\n"
        ));
        write("fan.dag", fan);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for process in [&mut self.worker, &mut self.manager] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Processor time of a process, without its children.
fn cpu_us(process: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = fields
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // The state is no number: user and system time are the 11th and 12th that are.
    let ticks = fields.get(10).unwrap_or(&0.0) + fields.get(11).unwrap_or(&0.0);
    ticks * 10_000.0
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn processor() -> String {
    let info = fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|model| model.split_once(':'));
    model.map_or_else(
        || "a processor without a name".to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
