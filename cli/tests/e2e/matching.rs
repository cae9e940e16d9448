//! Who runs what: attributes in the words of a pool's administrator, and GPUs.

use crate::home::{Home, run, until};
use crate::pool::Pool;

const NEEDS_GPU: &str = "executable = /bin/true
transfer_executable = false
requirements = HAS_GPU
queue 6\n";

#[test]
fn a_requirement_is_met_only_where_it_is_advertised() {
    let rows: [(&str, &[&str]); 5] = [
        ("STARTD_ATTRS = HAS_GPU\nHAS_GPU = TRUE\n", &[]),
        ("STARTD_ATTRS = HAS_GPU\nSLOT1_HAS_GPU = TRUE\n", &[]),
        (
            "STARTD_ATTRS = $(STARTD_ATTRS) HAS_GPU\nslot1_has_gpu = true\n",
            &[],
        ),
        ("", &["--attr", "HAS_GPU = true"]),
        ("", &["--attr", "HAS_GPU=Cpus > 1"]),
    ];
    for (config, flags) in rows {
        let mut pool = Pool::start();
        pool.home.write("gpu.conf", config);
        pool.add_worker("plain", &[]);
        pool.until_worker("plain", |_| true);
        // The worker that could, were it not for the requirement, is there first.
        let id = pool.submit_text("gpu.sub", NEEDS_GPU);
        let free = pool.submit_text("free.sub", "executable = /bin/true\nqueue\n");
        pool.wait(&free);
        assert_eq!(pool.history(&free)[0]["worker"], "plain");
        assert!(pool.history_or_nothing(&id).is_empty(), "{config}{flags:?}");

        let args = [&["--config", "gpu.conf"], flags].concat();
        pool.add_worker("gpu", &args);
        pool.wait(&id);
        let jobs = pool.history(&id);
        assert_eq!(jobs.len(), 6, "{config}{flags:?}");
        for job in jobs {
            assert_eq!(job["worker"], "gpu", "{config}{flags:?}: {job:#}");
        }
    }
}

#[test]
fn why_names_the_clause_that_nobody_meets() {
    let mut pool = Pool::start();
    let misspelt = NEEDS_GPU
        .replace("HAS_GPU", "HAS_GPUS")
        .replace("queue 6", "queue");
    let id = pool.submit_text("misspelt.sub", &misspelt);
    let alone = pool.why(&[&id]);
    assert_eq!(alone["code"], "W101", "{alone:#}");

    pool.add_worker("gpu", &["--attr", "HAS_GPU = true"]);
    pool.add_worker("plain", &[]);
    for name in ["gpu", "plain"] {
        pool.until_worker(name, |_| true);
    }
    let why = pool.why(&[&id]);
    assert_eq!(
        (&why["status"], &why["code"]),
        (&"Idle".into(), &"W102".into())
    );
    assert_eq!(why["workers"], 2);
    let clauses = why["clauses"].as_array().unwrap();
    let culprits: Vec<&str> = clauses
        .iter()
        .filter(|clause| clause["pass_alone"] == 0)
        .map(|clause| clause["text"].as_str().unwrap())
        .collect();
    assert_eq!(culprits.len(), 1, "{why:#}");
    assert!(culprits[0].contains("HAS_GPUS"), "{why:#}");
    // Advice is about the clause that fails, and about no other.
    let hints: Vec<&str> = why["hints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hint| hint.as_str().unwrap())
        .collect();
    assert_eq!(hints.len(), 1, "{hints:#?}");
    assert!(hints[0].contains("did you mean `HAS_GPU`"), "{hints:#?}");

    // A job that asks for too much is told how much there is.
    let large = "executable = /bin/true\nrequest_memory = 1T\nqueue\n";
    let id = pool.submit_text("large.sub", large);
    let told = pool.updraft(&["why", &id]).expect(3).out;
    assert!(
        told.contains("RequestMemory") && told.contains("4096"),
        "{told}"
    );
}

#[test]
fn a_job_sees_the_gpus_that_it_was_given() {
    let mut pool = Pool::start();
    pool.add_worker("gpu", &["--simulate-gpus", "H100:2"]);
    let shows = "executable = /bin/sh
        transfer_executable = false
        arguments = \"-c 'echo $CUDA_VISIBLE_DEVICES'\"
        output = NAME.$(Process)\n";
    let with = |name: &str, gpus: &str, queue: &str| {
        let text = format!("{}{gpus}\n{queue}\n", shows.replace("NAME", name));
        let id = pool.submit_text(&format!("{name}.sub"), &text);
        pool.wait(&id);
    };
    let devices = |file: &str| -> Vec<String> {
        let text = pool.home.read(file);
        text.trim().split(',').map(str::to_owned).collect()
    };
    with("none", "", "queue");
    assert_eq!(
        devices("none.0"),
        [""],
        "an empty list is no device to CUDA"
    );
    with("one", "request_gpus = 1", "queue");
    with("two", "request_gpus = 2", "queue");
    let (one, two) = (devices("one.0"), devices("two.0"));
    assert_eq!((one.len(), two.len()), (1, 2));
    assert!(two[0] != two[1] && two.contains(&one[0]), "{one:?} {two:?}");
    assert!(two.iter().all(|id| id.starts_with("GPU-")), "{two:?}");

    let worker = &pool.json(&["status", "--ads"])["workers"][0];
    assert_eq!(
        (&worker["gpus"], &worker["gpus_simulated"]),
        (&2.into(), &true.into())
    );
    let ad = worker["ad"].as_str().unwrap();
    assert!(ad.contains("GPUsSimulated = true"), "{ad}");

    let three = "executable = /bin/true\nrequest_gpus = 3\nqueue\n";
    let id = pool.submit_text("three.sub", three);
    let told = pool.updraft(&["why", &id]).expect(3).out;
    assert!(told.contains("RequestGPUs"), "{told}");
}

#[test]
fn jobs_that_run_together_share_no_gpu() {
    let mut pool = Pool::start();
    pool.add_worker("gpu", &["--simulate-gpus", "H100:2"]);
    // Each holds its devices until it sees the other.
    pool.home.write(
        "meet.sh",
        "#!/bin/sh\necho $CUDA_VISIBLE_DEVICES > HOME/met.$1\n\
         until [ -s HOME/met.0 -a -s HOME/met.1 ]; do sleep 0.02; done\n",
    );
    let id = pool.submit_text(
        "meet.sub",
        "executable = meet.sh\narguments = $(Process)\nrequest_gpus = 1\nqueue 2\n",
    );
    pool.wait(&id);
    assert_ne!(pool.home.read("met.0"), pool.home.read("met.1"));
}

#[test]
fn a_worker_that_is_told_nonsense_does_not_start() {
    let home = Home::with(&[("bad.conf", "STARTD_ATTRS = HAS_GPU\nHAS_GPU = (1 +\n")]);
    let rows: [(&[&str], &[&str]); 4] = [
        (
            &["--config", "bad.conf"],
            &["bad.conf:2:", "HAS_GPU = (1 +"],
        ),
        (&["--config", "none.conf"], &["none.conf"]),
        (&["--attr", "HAS_GPU"], &["HAS_GPU", "="]),
        (&["--simulate-gpus", "H1000:2"], &["H1000"]),
    ];
    for (flags, parts) in rows {
        let fixed = ["worker", "--manager", "127.0.0.1:1", "--state-dir", "w"];
        let args = [&fixed, flags].concat();
        run(&mut home.command(&args)).expect(2).complains(parts);
    }
}

#[test]
fn why_says_what_would_help_and_whether_it_can_ever_run() {
    let mut pool = Pool::start();
    pool.add_worker("gpu", &["--simulate-gpus", "A100:1", "--attr", "Rack = 1"]);
    pool.until_worker("gpu", |_| true);
    let text = "executable = /bin/true\nrequest_cpus = 9999\nqueue\n";
    let large = pool.submit_text("large.sub", text);
    let told = pool.updraft(&["why", &large]).expect(3).out;
    // What it advises can be typed as it stands, and helps.
    let typed = told.lines().map(str::trim);
    let typed: Vec<&str> = typed
        .filter(|line| line.starts_with("updraft qedit"))
        .collect();
    assert_eq!(typed.len(), 1, "{told}");
    let words: Vec<&str> = typed[0].split(' ').skip(1).collect();
    pool.updraft(&words).expect(0);
    pool.wait(&large);
    pool.why(&[&large]);

    let held = "executable = /bin/true\nhold = true\nqueue\n";
    let held = pool.submit_text("held.sub", held);
    pool.updraft(&["why", &held]).expect(8);
    let fails = pool.submit_text("fails.sub", "executable = /bin/false\nqueue\n");
    pool.updraft(&["wait", &fails]).expect(1);
    pool.updraft(&["why", &fails]).expect(1);

    let rack = "executable = /bin/true\nrequirements = Rack == 7\nqueue 3\n";
    pool.submit_text("rack.sub", rack);
    let all = pool.json(&["why", "--all"]);
    let causes = all["causes"].as_array().unwrap();
    assert_eq!(causes[0]["code"], "W102", "{all:#}");
    assert_eq!(causes[0]["jobs"], 3, "{all:#}");
    assert!(causes[0]["clause"].to_string().contains("Rack == 7"));
    assert_eq!(causes[1]["code"], "W003", "{all:#}");
    let table = pool.updraft(&["why", "--all"]).expect(0).out;
    assert!(table.contains("Rack == 7"), "{table}");

    let worker = pool.why(&["--worker", "gpu"]);
    assert_eq!(worker["code"], "W307", "{worker:#}");
    assert!(worker["other_side"].to_string().contains("Rack == 7"));
    pool.updraft(&["worker", "drain", "gpu"]).expect(0);
    assert_eq!(pool.why(&["--worker", "gpu"])["code"], "W303");
    pool.updraft(&["why", "--worker", "nobody"])
        .expect(4)
        .complains(&["there is no worker nobody"]);
}

#[test]
fn why_knows_nodes_by_name() {
    let mut pool = Pool::start();
    pool.home.write(
        "never.sub",
        "executable = /bin/true\nrequirements = Rack == 7\n",
    );
    pool.home.write(
        "m.dag",
        "JOB a never.sub\nJOB b never.sub\nPARENT a CHILD b\n",
    );
    pool.add_worker("w", &[]);
    pool.until_worker("w", |_| true);
    let run = pool.submit("m.dag");
    until("the job of node a", || {
        pool.json(&["q", &run])["jobs"].to_string().contains("Idle")
    });
    let parent = pool.why(&[&format!("{run}/a")]);
    assert_eq!(parent["code"], "W102", "{parent:#}");
    let child = pool.why(&[&run, "b"]);
    assert_eq!(child["code"], "W201", "{child:#}");
    assert!(child["summary"].as_str().unwrap().contains("a (running)"));
    pool.updraft(&["why", &run, "c"])
        .expect(4)
        .complains(&["with a node c"]);
    pool.updraft(&["why", "1.0/b"])
        .expect(2)
        .complains(&["1.0"]);
}
