//! What people see of the queue and the pool: sums, single jobs, ads, slots and GPUs.

use serde_json::Value;

use crate::home::until;
use crate::pool::Pool;

/// Starts, says so, and runs until `HOME/go` is there.
const STAYS: &str = "executable = /bin/sh
transfer_executable = false
arguments = \"-c 'echo x >> HOME/starts; until [ -e HOME/go ]; do sleep 0.02; done'\"\n";

const IDLE: &str = "executable = /bin/true\ntransfer_executable = false\n";

fn lines(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// The one batch whose name is this.
#[track_caller]
fn batch(document: &Value, name: &str) -> Value {
    let batches = document["batches"].as_array().unwrap();
    let found = batches.iter().find(|batch| batch["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {document:#}"))
        .clone()
}

#[test]
fn the_queue_is_shown_by_batch_by_job_and_by_user() {
    let mut pool = Pool::start();
    let many = pool.submit_text("many.sub", &format!("{IDLE}queue 100000\n"));
    let named = pool.submit_text("named.sub", &format!("{IDLE}batch_name = night\nqueue 2\n"));
    pool.submit_text("again.sub", &format!("{IDLE}batch_name = night\nqueue 3\n"));
    let held = pool.submit_text("held.sub", &format!("{IDLE}hold = true\nqueue\n"));
    pool.home.write("one.sub", &format!("{IDLE}queue\n"));
    pool.home
        .write("x.dag", "JOB a one.sub\nJOB b one.sub\nPARENT a CHILD b\n");
    let run = pool.submit("x.dag");

    let queue = pool.json(&["q"]);
    let rows = [
        (format!("ID: {many}"), [0, 0, 100_000, 0, 100_000]),
        ("night".to_owned(), [0, 0, 5, 0, 5]),
        (format!("ID: {held}"), [0, 0, 0, 1, 1]),
        (format!("x.dag+{run}"), [0, 0, 1, 0, 2]),
    ];
    for (name, sums) in &rows {
        let batch = batch(&queue, name);
        let found = ["done", "running", "idle", "held", "total"].map(|key| batch[key].clone());
        assert_eq!(found, sums.map(Value::from), "{batch:#}");
    }
    assert_eq!(queue["batches"].as_array().unwrap().len(), rows.len());
    let all = format!("{many}.0-99999");
    assert_eq!(batch(&queue, &rows[0].0)["jobs"], all.as_str());
    assert_eq!(
        batch(&queue, "night")["jobs"],
        format!("{named}.0 ... {}.2", held.parse::<u32>().unwrap() - 1).as_str()
    );

    // As a table: HTCondor's columns, and one line each.
    let out = pool.updraft(&["q"]).expect(0).out;
    let table = lines(&out);
    assert_eq!(
        table[0],
        [
            "OWNER",
            "BATCH_NAME",
            "SUBMITTED",
            "DONE",
            "RUN",
            "IDLE",
            "HOLD",
            "TOTAL",
            "JOB_IDS"
        ]
    );
    assert_eq!(table[1][5..], ["_", "_", "100000", "_", "100000", &all]);
    assert!(
        out.ends_with("100007 jobs: 100006 idle, 0 running, 1 held\n"),
        "{out}"
    );
    // Untouched jobs are one line, and an id picks.
    let out = pool.updraft(&["q", &many, "--jobs"]).expect(0).out;
    assert_eq!(
        lines(&out)[1][..4],
        [&format!("{many}.0"), lines(&out)[1][1], "Idle", "100000"]
    );
    let out = pool.updraft(&["q", &held]).expect(0).out;
    assert!(
        out.contains(&format!("ID: {held}")) && !out.contains("night"),
        "{out}"
    );

    let users = pool.json(&["q", "--users"]);
    let user = &users["users"][0];
    assert_eq!((&user["idle"], &user["held"]), (&100_006.into(), &1.into()));
    let name = user["owner"].as_str().unwrap();
    assert_eq!(
        pool.json(&["q", "--user", name])["batches"],
        queue["batches"]
    );
    assert_eq!(
        pool.json(&["q", "--user", "nobody"])["batches"],
        Value::Array(Vec::new())
    );

    // What ended has left; what runs says so.
    pool.updraft(&["rm", &many]).expect(0);
    pool.add_worker("w", &[]);
    pool.wait(&run);
    pool.updraft(&["release", &held]).expect(0);
    pool.wait(&held);
    until("an empty queue", || {
        pool.json(&["q"])["batches"] == Value::Array(Vec::new())
    });
    assert_eq!(pool.updraft(&["q"]).expect(0).out, "no jobs in the queue\n");
}

#[test]
fn a_million_untouched_jobs_are_held_released_and_removed_as_one() {
    let mut pool = Pool::start();
    let id = pool.submit_text("many.sub", &format!("{IDLE}queue 1000000\n"));
    let sums = |pool: &Pool| {
        let batch = pool.json(&["q", &id])["batches"][0].clone();
        ["idle", "held", "total"].map(|key| batch[key].as_u64().unwrap())
    };
    let said = |pool: &Pool, verb: &str| {
        pool.json(&[verb, &id])["ids"][0]["jobs_changed"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(said(&pool, "hold"), 1_000_000);
    assert_eq!(sums(&pool), [0, 1_000_000, 1_000_000]);
    // One of them by itself, and what a restart keeps of all.
    pool.updraft(&["release", &format!("{id}.5")]).expect(0);
    pool.kill_manager();
    pool.start_manager();
    assert_eq!(sums(&pool), [1, 999_999, 1_000_000]);
    let jobs = pool.json(&["q", "--jobs", &id])["jobs"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(jobs.len(), 2, "{jobs:#?}");
    assert_eq!(
        (&jobs[1]["status"], &jobs[1]["count"]),
        (&"Held".into(), &999_999.into())
    );
    assert_eq!(jobs[1]["hold_code"], 1);

    assert_eq!(said(&pool, "release"), 999_999);
    assert_eq!(sums(&pool), [1_000_000, 0, 1_000_000]);
    // By what they are, without a look at each.
    let args = [
        "rm",
        "--constraint",
        "JobStatus == 1 && ClusterId == 1",
        "--reason",
        "enough",
    ];
    let told = pool.json(&args);
    assert_eq!(told["ids"][0]["jobs_changed"], 1_000_000, "{told:#}");
    assert_eq!(pool.json(&["q"])["batches"], Value::Array(Vec::new()));
    pool.updraft(&["wait", &id])
        .expect(1)
        .complains(&["enough"]);
    pool.kill_manager();
    pool.start_manager();
    let ended = pool.history(&id);
    let count: u64 = ended.iter().map(|job| job["count"].as_u64().unwrap()).sum();
    assert_eq!(count, 1_000_000);
    assert!(
        ended.iter().all(|job| job["removed_reason"] == "enough"),
        "{ended:#?}"
    );
}

#[test]
fn constraints_pick_jobs_and_columns_show_their_ads() {
    let pool = Pool::start();
    let id = pool.submit_text(
        "two.sub",
        &format!("{IDLE}request_memory = 100 * ($(Process) + 1)\n+Region = \"de\"\nqueue 3\n"),
    );
    pool.updraft(&["hold", &format!("{id}.1"), "--reason", "a cup of coffee"])
        .expect(0);
    let shown = |args: &[&str]| pool.updraft(&[&["q"], args].concat()).expect(0).out;
    assert_eq!(
        shown(&[
            "--af",
            "ProcId",
            "RequestMemory",
            "Region",
            "Nothing",
            "JobStatus == 5"
        ]),
        "0 100 de undefined false\n1 200 de undefined true\n2 300 de undefined false\n"
    );
    // HTCondor's spelling means the same.
    let rows: [(&[&str], &str); 5] = [
        (
            &["--constraint", "JobStatus == 5", "--af", "HoldReason"],
            "a cup of coffee\n",
        ),
        (
            &["-constraint", "RequestMemory > 100", "-af:h", "ProcId"],
            "ProcId\n1\n2\n",
        ),
        // What is undefined is not true.
        (&["-constraint", "Nothing > 1", "-af", "ProcId"], ""),
        (
            &["-constraint", "Region == \"DE\"", "-af", "ProcId"],
            "0\n1\n2\n",
        ),
        (&[&format!("{id}.2"), "-af", "ProcId * 2"], "4\n"),
    ];
    for (args, out) in rows {
        assert_eq!(shown(args), out, "{args:?}");
    }
    let long = shown(&["--long", "--constraint", "ProcId == 2"]);
    assert!(
        long.contains("\nRequestMemory = 100 * (2 + 1)\n") && !long.contains("\n\n"),
        "{long}"
    );
    let rows = pool.json(&[
        "q",
        "--constraint",
        "ProcId < 2",
        "--af",
        "ProcId",
        "Region",
    ]);
    assert_eq!(rows["rows"][0]["Region"], "de", "{rows:#}");
    assert_eq!(rows["rows"].as_array().unwrap().len(), 2);
    let ads = pool.json(&["q", "--long", &format!("{id}.0")]);
    assert_eq!(ads["ads"][0]["Region"], "de", "{ads:#}");
    let batch = pool.json(&["q", "--constraint", "RequestMemory >= 200"])["batches"][0].clone();
    assert_eq!(
        (&batch["idle"], &batch["held"], &batch["total"]),
        (&1.into(), &1.into(), &2.into())
    );

    // One clear error, with its place.
    for bad in ["JobStatus == ", "JobStatus = 5"] {
        let ran = pool.updraft(&["q", "--constraint", bad]).expect(2);
        ran.complains(&["column 1", "--constraint"]);
    }
    pool.updraft(&["rm", &id]).expect(0);
    let history = [
        "history",
        "-constraint",
        "ProcId == 1",
        "-af",
        "RemoveReason",
        "ProcId",
    ];
    assert_eq!(pool.updraft(&history).expect(0).out, " 1\n");
}

#[test]
fn the_pool_is_shown_by_worker_by_slot_and_by_gpu() {
    let mut pool = Pool::start();
    pool.add_worker("gpu", &["--simulate-gpus", "A100:2", "--attr", "Rack = 7"]);
    pool.add_worker("cpu", &[]);
    let id = pool.submit_text("stays.sub", &format!("{STAYS}request_gpus = 1\nqueue\n"));
    until("start", || pool.home.lines("starts").len() == 1);
    pool.until_worker("cpu", |worker| worker["state"] == "Unclaimed");
    pool.until_worker("gpu", |worker| worker["gpus_free"] == 1);

    let out = pool.updraft(&["status"]).expect(0).out;
    assert!(out.contains("1/2 simulated"), "{out}");
    assert!(
        out.contains("2 workers: 1 claimed, 1 unclaimed; free: 7 of 8 cpus"),
        "{out}"
    );
    let slots = pool.json(&["status", "--slots"])["slots"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(slots.len(), 1, "{slots:#?}");
    assert_eq!(slots[0]["job"], format!("{id}.0").as_str());
    assert_ne!(slots[0]["owner"], "");

    let gpus = pool.json(&["status", "--gpus"])["gpus"]
        .as_array()
        .unwrap()
        .clone();
    let held = gpus.iter().find(|gpu| gpu["state"] == "whole").unwrap();
    assert_eq!(held["jobs"][0], format!("{id}.0").as_str());
    assert_eq!(
        (&held["memory_mib_free"], &held["worker"]),
        (&0.into(), &"gpu".into())
    );
    let free = gpus.iter().find(|gpu| gpu["state"] == "free").unwrap();
    assert_eq!(free["memory_mib_free"], free["memory_mib"]);
    let out = pool.updraft(&["status", "--gpus"]).expect(0).out;
    assert!(
        out.contains(&format!("whole: {id}.0")) && out.contains("free"),
        "{out}"
    );

    let picked = [
        "status",
        "-constraint",
        "Rack == 7",
        "-af",
        "TotalCpus",
        "Rack",
    ];
    assert_eq!(pool.updraft(&picked).expect(0).out, "4 7\n");
    let none = ["status", "--constraint", "Rack == 8"];
    assert_eq!(
        pool.updraft(&none).expect(0).out,
        "no worker passes the constraint\n"
    );
    let ads = pool.json(&["status", "--long", "--constraint", "Rack == 7"]);
    assert_eq!(ads["ads"][0]["Rack"], 7);
    pool.home.write("go", "");
    pool.wait(&id);
}
