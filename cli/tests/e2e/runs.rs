//! `updraft run`: a whole DAG by one command, what it tells, and how it goes on after a failure, a
//! signal or a crash.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::home::{Home, Process, Ran, run, until};
use crate::pool::Pool;

/// Two regions, each prepared, tuned and trained.
const REGIONS: [(&str, &str); 5] = [
    (
        "x.dag",
        "FOREACH region IN (de fr)
           JOB    prep-$(region)   prep.sub
           STUDY  tune-$(region)   trial.sub  s.study.toml
           JOB    train-$(region)  final.sub
           PARENT prep-$(region)   CHILD tune-$(region)
           PARENT tune-$(region)   CHILD train-$(region)
         END\n",
    ),
    (
        "prep.sub",
        "executable = updraft
         transfer_executable = false
         arguments = data synth --region $(region) --rows 400 --seed 1 --out .
         transfer_output_files = train.csv, validation.csv, test.csv
         transfer_output_remaps = \"train.csv = data/$(region)/train.csv; \
             validation.csv = data/$(region)/validation.csv; test.csv = data/$(region)/test.csv\"
         queue\n",
    ),
    (
        "trial.sub",
        "universe = train
         arguments = --train train.csv --validation validation.csv --target rating --epochs 2 \
             --device cpu
         transfer_input_files = data/$(region)/train.csv, data/$(region)/validation.csv
         transfer_output_files = \"\"
         queue\n",
    ),
    (
        "final.sub",
        "universe = train
         arguments = --train train.csv --validation validation.csv --test test.csv \
             --target rating --epochs 3 --device cpu --lr $(best.lr) --hidden $(best.width) \
             --model m.safetensors --metrics m.json
         transfer_input_files = data/$(region)/train.csv, data/$(region)/validation.csv, \
             data/$(region)/test.csv
         transfer_output_files = m.safetensors, m.json
         transfer_output_remaps = \"m.safetensors = models/$(region)/m.safetensors; \
             m.json = models/$(region)/m.json\"
         queue\n",
    ),
    (
        "s.study.toml",
        "metric = 'rmse'\ngoal = 'minimize'\ntrials = 4\nparallel = 2\nseed = 1\n\
         [space.lr]\ntype = 'float'\nlow = 1e-3\nhigh = 0.1\nlog = true\ndefault = 1e-3\n\
         [space.width]\ntype = 'int'\nlow = 4\nhigh = 16\ndefault = 8\n",
    ),
];

fn command(home: &Home, more: &[&str]) -> Command {
    let fixed = ["run", "x.dag", "--state-dir", "state", "--cpus", "4"];
    home.command(&[&fixed, more].concat())
}

fn run_dag(home: &Home) -> Ran {
    run(&mut command(home, &[]))
}

#[test]
fn every_region_gets_its_model() {
    let home = Home::with(&REGIONS);
    let first = run_dag(&home).expect(0);
    for part in ["REGION", "rmse", "DAG run 1 of x.dag: Completed", "lr="] {
        assert!(first.out.contains(part), "no `{part}` in: {}", first.out);
    }
    for region in ["de", "fr"] {
        let model = format!("models/{region}/m.safetensors");
        assert!(first.out.contains(&model), "{}", first.out);
        assert!(home.path(&model).metadata().unwrap().len() > 0);
        let metrics: Value =
            serde_json::from_str(&home.read(&format!("models/{region}/m.json"))).unwrap();
        assert!(
            metrics["test"]["rmse"].as_f64().unwrap() > 0.0,
            "{metrics:#}"
        );
    }

    // Nothing is left to resume: the same command begins anew.
    let second = run(&mut command(&home, &["-o", "json"])).expect(0).json();
    assert!(second["run"]["id"].as_u64().unwrap() > 1, "{second:#}");
    let counts = (&second["run"]["nodes_done"], &second["run"]["nodes_total"]);
    assert_eq!(counts, (&6.into(), &6.into()));
    let gains = second["studies"].as_array().unwrap();
    let labels: Vec<&str> = gains
        .iter()
        .map(|gain| gain["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["de", "fr"]);
    for gain in gains {
        let number = |key: &str| gain[key].as_f64().unwrap();
        assert!(number("best") <= number("default"), "{gain:#}");
        assert!(
            number("final") > 0.0 && number("final_test") > 0.0,
            "{gain:#}"
        );
        let region = gain["label"].as_str().unwrap();
        assert_eq!(gain["models"][0], format!("models/{region}/m.safetensors"));
    }

    // What the final model was trained with is what its study found best.
    let pool = Pool::after_run(home);
    let run_id = second["run"]["id"].to_string();
    for region in ["de", "fr"] {
        let best = pool.json(&["study", "best", &run_id, &format!("tune-{region}")]);
        let params = &best["studies"][0]["best"]["params"];
        let text = pool.home.read(&format!("models/{region}/m.json"));
        let metrics: Value = serde_json::from_str(&text).unwrap();
        let settings = &metrics["settings"];
        let close = (settings["lr"].as_f64().unwrap() / params["lr"].as_f64().unwrap()) - 1.0;
        assert!(close.abs() < 1e-6, "{settings} {params}");
    }
}

/// Three nodes in a row, each of which writes its name to a log; the second needs a file.
const CHAIN: [(&str, &str); 3] = [
    (
        "x.dag",
        "JOB a step.sub\nJOB b step.sub\nJOB c step.sub\nPARENT a CHILD b\nPARENT b CHILD c\n",
    ),
    (
        "step.sub",
        "executable = step.sh\narguments = $(JOB)\ntransfer_output_files = \"\"\nqueue\n",
    ),
    (
        "step.sh",
        "#!/bin/sh
         echo $1 >> HOME/log
         [ $1 != b ] || . HOME/b.sh\n",
    ),
];

#[test]
fn a_failure_is_told_and_what_is_done_stays_done() {
    let home = Home::with(&CHAIN);
    home.write("b.sh", "echo boom-out\necho boom-err >&2\nexit 3\n");
    let ran = run_dag(&home).expect(1);
    assert!(ran.out.contains("Failed"), "{}", ran.out);
    let ran = ran.complains(&[
        "error: b failed:",
        "code 3",
        "| boom-err",
        "1 node behind it",
    ]);
    assert!(!ran.err.contains("boom-out"), "{}", ran.err);
    assert_eq!(home.lines("log"), ["a", "b"]);

    home.write("b.sh", "true\n");
    run_dag(&home).expect(0).complains(&["resuming DAG run 1"]);
    assert_eq!(home.lines("log"), ["a", "b", "b", "c"]);
}

#[test]
fn an_interrupted_run_is_resumed() {
    // A clean stop, and none at all.
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let home = Home::with(&CHAIN);
        home.write("b.sh", "until [ -e HOME/go ]; do sleep 0.02; done\n");
        let mut first = command(&home, &[]);
        let first = Process::start(first.stdout(Stdio::piped()).stderr(Stdio::piped()));
        until("node b", || home.lines("log") == ["a", "b"]);
        first.signal(signal);
        let ran = first.ended();
        if signal != Signal::SIGKILL {
            ran.expect(130).complains(&["updraft run x.dag", "resume"]);
        }
        home.write("go", "");
        run_dag(&home)
            .expect(0)
            .complains(&["resuming DAG run 1", "1 of 3 nodes done"]);
        assert_eq!(home.lines("log"), ["a", "b", "b", "c"], "{signal}");

        let pool = Pool::after_run(home);
        let nodes = pool.json(&["dag", "status", "1"])["nodes"].clone();
        for node in nodes.as_array().unwrap() {
            assert_eq!(node["status"], "Done", "{node:#}");
        }
        assert_eq!(pool.json(&["history"])["jobs"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn two_runs_do_not_share_a_state_directory() {
    let home = Home::with(&CHAIN);
    home.write("b.sh", "until [ -e HOME/go ]; do sleep 0.02; done\n");
    let mut first = command(&home, &[]);
    let first = Process::start(first.stdout(Stdio::piped()).stderr(Stdio::piped()));
    until("node b", || home.lines("log") == ["a", "b"]);
    run_dag(&home)
        .expect(1)
        .complains(&["another `updraft run`", "state"]);
    home.write("go", "");
    first.ended().expect(0);
}

/// Layers and nodes of each; a node waits for its three nearest of the layer before.
const LAYERS: usize = 20;
const WIDTH: usize = 10;

#[test]
fn each_node_of_a_lattice_runs_once() {
    let mut dag = String::new();
    for layer in 0..LAYERS {
        for at in 0..WIDTH {
            dag.push_str(&format!("JOB n{layer}-{at} true.sub\n"));
        }
    }
    for layer in 1..LAYERS {
        for at in 0..WIDTH {
            let before = [at, (at + 1) % WIDTH, (at + WIDTH - 1) % WIDTH];
            let parents = before.map(|at| format!("n{}-{at}", layer - 1)).join(" ");
            dag.push_str(&format!("PARENT {parents} CHILD n{layer}-{at}\n"));
        }
    }
    let pool = Pool::with_workers(&["w1", "w2"]);
    let description = "executable = /bin/true\ntransfer_executable = false\nqueue\n";
    pool.home.write("true.sub", description);
    let id = pool.submit_text("lattice.dag", &dag);
    pool.wait(&id);
    let run = pool.json(&["dag", "status", &id]);
    assert_eq!(
        (&run["status"], &run["nodes_done"]),
        (&"Completed".into(), &200.into())
    );
    let mut nodes: Vec<String> = Vec::new();
    for job in pool.history(&id) {
        assert_eq!(
            (&job["attempts"], &job["exit_code"]),
            (&1.into(), &0.into()),
            "{job:#}"
        );
        nodes.push(job["node"].as_str().unwrap().to_owned());
    }
    assert_eq!(nodes.len(), LAYERS * WIDTH);
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), LAYERS * WIDTH);
}
