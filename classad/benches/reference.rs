//! What parsing, evaluating and matching cost, beside the reference library in one run:
//! `cargo bench -p classad`. The reference is PyPI's `htcondor`, asked through the Python that
//! `UPDRAFT_PYTHON` names (default `python3`); without it our own figures are printed alone.
//!
//! Each figure is the least of several rounds, ours and the reference's in turn, so that both meet
//! the same machine. The reference's include the cost of a call from Python, which is told.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use classad::matching::{self, Prepared};
use classad::{ClassAd, Compiled, Expr, Scope};

const FOUR_CLAUSES: &str = r#"(TARGET.Arch == "X86_64") && (TARGET.OpSys == "LINUX") && (TARGET.Disk >= RequestDisk) && (TARGET.Memory >= RequestMemory)"#;
const THREE_CLAUSES: &str = r#"Arch == "X86_64" && Memory >= 2048 && GPUs > 0"#;
const NOW: i64 = 1_700_000_000;

const JOB: &str = r#"
ClusterId = 12
ProcId = 3
Owner = "alice"
QDate = 1700000000
JobStatus = 1
Cmd = "train"
RequestCpus = 4
RequestMemory = 2048
RequestDisk = 1024
RequestGPUs = 1
Rank = TARGET.Memory
"#;

const MACHINE: &str = r#"
Machine = "gpu-07.example.org"
Arch = "X86_64"
OpSys = "LINUX"
OpSysVer = 1200
Cpus = 64
TotalCpus = 64
Memory = 262144
TotalMemory = 262144
Disk = 1000000000
GPUs = 8
HasFileTransfer = true
LoadAvg = 0.25
KeyboardIdle = 86400
State = "Unclaimed"
Activity = "Idle"
Start = TARGET.RequestMemory <= Memory && TARGET.RequestCpus <= Cpus
Requirements = START
Rank = 0.0
"#;

const ROUNDS: u32 = 9;
const ROUND_TIME: Duration = Duration::from_millis(100);

/// Nanoseconds of one operation, in a round of many.
fn round_of<T>(mut operation: impl FnMut() -> T) -> f64 {
    let mut count = 1;
    loop {
        let start = Instant::now();
        for _ in 0..count {
            black_box(operation());
        }
        let elapsed = start.elapsed();
        if elapsed >= ROUND_TIME / 2 {
            return elapsed.as_nanos() as f64 / f64::from(count);
        }
        count *= 2;
    }
}

/// One figure: ours, and which operation of the reference's stands beside it.
struct Figure<'f> {
    name: &'static str,
    operation: Box<dyn FnMut() -> f64 + 'f>,
    key: &'static str,
}

impl<'f> Figure<'f> {
    fn new<T>(
        name: &'static str,
        key: &'static str,
        mut operation: impl FnMut() -> T + 'f,
    ) -> Self {
        Self {
            name,
            operation: Box::new(move || round_of(&mut operation)),
            key,
        }
    }
}

fn job() -> String {
    format!("{JOB}Requirements = {FOUR_CLAUSES}\n")
}

/// The reference, waiting for the names of operations.
struct Reference {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl Reference {
    /// Why there is none, where there is none.
    fn start() -> Result<Self, String> {
        let python = std::env::var("UPDRAFT_PYTHON").unwrap_or_else(|_| "python3".to_string());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/reference.py");
        let mut child = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{python} does not start: {error}"))?;
        let questions = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut reference = Self {
            child,
            questions,
            answers,
            version: String::new(),
        };
        let cases = serde_json::json!({
            "four_clauses": FOUR_CLAUSES,
            "three_clauses": THREE_CLAUSES,
            "job": job(),
            "machine": MACHINE,
        });
        reference.version = reference.ask(&cases.to_string()).ok_or_else(|| {
            format!("{python} has no `htcondor` of PyPI (name another in UPDRAFT_PYTHON)")
        })?;
        Ok(reference)
    }

    fn ask(&mut self, line: &str) -> Option<String> {
        writeln!(self.questions, "{line}").ok()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        let answer = answer.trim();
        (!answer.is_empty()).then(|| answer.to_string())
    }

    fn round_of(&mut self, key: &str) -> f64 {
        let answer = self.ask(key).expect("the reference answers");
        answer.parse().expect("the reference answers with a number")
    }

    fn stop(mut self) {
        drop(self.questions);
        let _ = self.child.wait();
    }
}

fn main() {
    let job = ClassAd::parse_long(&job()).expect("the job is an ad");
    let machine = ClassAd::parse_long(MACHINE).expect("the machine is an ad");
    let three = Expr::parse(THREE_CLAUSES).expect("three clauses");
    let compiled = Compiled::new(&three);
    let in_machine = Scope::new(&machine).now(NOW);
    assert!(in_machine.eval(&three).is_true() && in_machine.run_is_true(&compiled));
    let (left, right) = (Prepared::new(&job), Prepared::new(&machine));
    assert!(left.matches(&right, NOW) && matching::symmetric_match(&job, &machine, NOW));
    let figures = [
        Figure::new("parse of four clauses", "parse", || {
            Expr::parse(black_box(FOUR_CLAUSES))
        }),
        Figure::new("parse of a machine's ad", "ad", || {
            ClassAd::parse_long(black_box(MACHINE))
        }),
        Figure::new("evaluation of three clauses, compiled", "evaluate", || {
            black_box(&in_machine).run(&compiled)
        }),
        Figure::new(
            "evaluation of three clauses, by the tree",
            "evaluate",
            || black_box(&in_machine).eval(&three),
        ),
        Figure::new("symmetric match, prepared", "match", || {
            black_box(&left).matches(&right, NOW)
        }),
        Figure::new("symmetric match, by the tree", "match", || {
            matching::symmetric_match(black_box(&job), &machine, NOW)
        }),
    ];
    println!("on {}", machine_name());
    let mut reference = Reference::start();
    for mut figure in figures {
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            ours = ours.min((figure.operation)());
            if let Ok(reference) = &mut reference {
                theirs = theirs.min(reference.round_of(figure.key));
            }
        }
        print!("{:<42} {ours:>8.0} ns", figure.name);
        if reference.is_ok() {
            print!(
                "   reference {theirs:>8.0} ns   ratio {:>6.1}",
                theirs / ours
            );
        }
        println!();
    }
    match reference {
        Ok(mut reference) => {
            let empty = reference.round_of("empty");
            let version = &reference.version;
            println!(
                "reference: htcondor {version}; of each of its figures a call costs {empty:.0} ns"
            );
            reference.stop();
        }
        Err(why) => println!("no reference: {why}"),
    }
}

fn machine_name() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    format!("{model}, {}", std::env::consts::OS)
}
