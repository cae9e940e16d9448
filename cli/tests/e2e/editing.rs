//! What is changed of jobs in the queue: priorities and attributes. It counts in matching at once,
//! and outlives the manager.

use crate::home::until;
use crate::pool::Pool;

const IDLE: &str = "executable = /bin/true\ntransfer_executable = false\n";
const SAYS: &str = "executable = /bin/sh\ntransfer_executable = false\n";

/// What one attribute of jobs is, a line each.
fn shown(pool: &Pool, id: &str, name: &str) -> String {
    pool.updraft(&["q", id, "--af", name]).expect(0).out
}

#[test]
fn an_edit_lets_a_job_match_and_outlives_the_manager() {
    let mut pool = Pool::with_workers(&["w"]);
    let text = format!("{IDLE}request_memory = 1000000\nqueue 2\n");
    let id = pool.submit_text("large.sub", &text);
    assert_eq!(pool.why(&[&id])["code"], "W102");
    let one = format!("{id}.1");
    let told = pool.json(&["qedit", &one, "RequestMemory=64", "Tag = \"small\""]);
    assert_eq!(told["ids"][0]["jobs_changed"], 1, "{told:#}");
    // It runs without anybody asking again; the other does not.
    pool.wait(&one);
    let zero = format!("{id}.0");
    assert_eq!(pool.why(&[&zero])["code"], "W102");

    // Of the whole cluster, with a restart between the edit and the look.
    pool.kill_worker("w");
    pool.updraft(&["qedit", &id, "RequestMemory = 32 * 2", "Tag = \"whole\""])
        .expect(0);
    pool.kill_manager();
    pool.start_manager();
    assert_eq!(shown(&pool, &id, "Tag"), "whole\n");
    assert_eq!(shown(&pool, &id, "RequestMemory"), "64\n");
    pool.start_worker("w");
    pool.wait(&zero);
    let ended = pool
        .updraft(&["history", &id, "--af", "ProcId", "Tag"])
        .expect(0)
        .out;
    let mut ended: Vec<&str> = ended.lines().collect();
    ended.sort_unstable();
    assert_eq!(ended, ["0 whole", "1 small"]);
    // Over is over.
    pool.updraft(&["qedit", &zero, "Tag=1"])
        .expect(1)
        .complains(&["it is completed"]);
}

#[test]
fn arguments_requirements_and_policies_follow_the_ad() {
    let mut pool = Pool::start();
    let text = format!("{SAYS}arguments = \"-c 'exit 1'\"\nrequirements = Rack == 1\nqueue\n");
    let id = pool.submit_text("says.sub", &text);
    let edit = |pool: &Pool, text: &str| pool.updraft(&["qedit", &id, text]).expect(0);
    let said = pool.home.path("said");
    let line = format!("echo mended > {}; exit 3", said.display());
    edit(&pool, &format!("Arguments=\"-c '{line}'\""));
    edit(&pool, "Requirements = TARGET.Rack == 2");
    edit(&pool, "OnExitHold = ExitCode == 3");
    pool.add_worker("w", &["--attr", "Rack = 2"]);
    pool.until_status(&id, "Held");
    assert_eq!(pool.home.read("said"), "mended\n");
    assert_eq!(pool.job(&id)["hold_code"], 3);
    // What is held is edited as well.
    edit(&pool, "OnExitHold = false");
    pool.updraft(&["release", &id]).expect(0);
    pool.updraft(&["wait", &id]).expect(1);
}

#[test]
fn a_running_job_is_edited_for_its_next_start() {
    let pool = Pool::with_workers(&["w"]);
    let text = format!(
        "{SAYS}arguments = \"-c 'echo x >> HOME/starts; until [ -e HOME/go ]; do sleep 0.02; done'\"\nqueue\n"
    );
    let id = pool.submit_text("stays.sub", &text);
    until("start", || pool.home.lines("starts").len() == 1);
    let ran = pool.updraft(&["qedit", &id, "RequestCpus=2"]).expect(0);
    assert_eq!(
        ran.out,
        format!("{id}: 1 job edited; 1 runs, and it counts from its next start\n")
    );
    let slot = |pool: &Pool| pool.json(&["status", "--slots"])["slots"][0]["cpus"].clone();
    assert_eq!(slot(&pool), 1);
    pool.updraft(&["vacate", &id]).expect(0);
    until("another start", || pool.home.lines("starts").len() == 2);
    until("its slot", || slot(&pool) == 2);
    pool.home.write("go", "");
    pool.wait(&id);
}

#[test]
fn priorities_order_the_queue() {
    let mut pool = Pool::start();
    let job = |name: &str| {
        format!("{SAYS}request_cpus = 4\narguments = \"-c 'echo {name} >> HOME/order'\"\nqueue\n")
    };
    let a = pool.submit_text("a.sub", &job("a"));
    let b = pool.submit_text("b.sub", &job("b"));
    let c = pool.submit_text("c.sub", &job("c"));
    pool.updraft(&["prio", &a, "-5"]).expect(0);
    pool.updraft(&["prio", &c, "=10"]).expect(0);
    let ran = pool.updraft(&["prio", &c, "-1"]).expect(0);
    assert_eq!(ran.out, format!("{c}: 1 job given another priority\n"));
    pool.kill_manager();
    pool.start_manager();
    let priorities = [&a, &b, &c].map(|id| pool.job(id)["priority"].as_i64().unwrap());
    assert_eq!(priorities, [-5, 0, 9]);
    pool.add_worker("w", &[]);
    for id in [&a, &b, &c] {
        pool.wait(id);
    }
    assert_eq!(pool.home.lines("order"), ["c", "b", "a"]);
}

#[test]
fn acts_are_for_whom_they_name() {
    let pool = Pool::start();
    let first = pool.submit_text("first.sub", &format!("{IDLE}+Kind = 1\nqueue 3\n"));
    let second = pool.submit_text("second.sub", &format!("{IDLE}+Kind = 2\nqueue 2\n"));
    let held = || shown(&pool, &first, "JobStatus") + &shown(&pool, &second, "JobStatus");
    let ran = pool
        .updraft(&["hold", "--constraint", "Kind == 2 || ProcId == 0"])
        .expect(0);
    assert_eq!(
        ran.out,
        format!("{first}: 1 job held\n{second}: 2 jobs held\n")
    );
    assert_eq!(held(), "5\n1\n1\n5\n5\n");
    // Ids narrow what a constraint picks.
    let ran = pool
        .updraft(&["release", &second, "--constraint", "ProcId == 1"])
        .expect(0);
    assert_eq!(ran.out, format!("{second}: 1 job released\n"));
    pool.updraft(&["release", "--all"]).expect(0);
    assert_eq!(held(), "1\n1\n1\n1\n1\n");
    let owner = pool.json(&["q", "--users"])["users"][0]["owner"].clone();
    pool.updraft(&["qedit", "--user", owner.as_str().unwrap(), "Kind=3"])
        .expect(0);
    assert_eq!(shown(&pool, &first, "Kind"), "3\n3\n3\n");
    pool.updraft(&["prio", "--constraint", "ProcId == 2", "+7"])
        .expect(0);
    assert_eq!(shown(&pool, &first, "JobPrio"), "0\n0\n7\n");
    pool.updraft(&["rm", "--user", "nobody"]).expect(4);
    pool.updraft(&["rm", "--constraint", "false"]).expect(4);
    pool.updraft(&["rm", "--all"]).expect(0);
    pool.updraft(&["rm", "--all"]).expect(4);
}

#[test]
fn what_cannot_be_changed_is_refused_by_name() {
    let pool = Pool::start();
    let id = pool.submit_text("x.sub", &format!("{IDLE}queue\n"));
    let rows: [(&[&str], i32, &str); 12] = [
        (&["qedit", &id, "Owner=\"root\""], 2, "`Owner`"),
        (&["qedit", &id, "JobStatus=1"], 2, "`JobStatus`"),
        (&["qedit", &id, "ClusterId=9"], 2, "`ClusterId`"),
        (&["qedit", &id, "Cmd=\"/bin/rm\""], 2, "`Cmd`"),
        (&["qedit", &id, "RequestMemory=\"x\""], 2, "a number of MiB"),
        (
            &["qedit", &id, "RequestMemory=Nothing"],
            1,
            "a number of MiB",
        ),
        (&["qedit", &id, "Requirements=Memory >"], 2, "column"),
        (&["qedit", &id], 2, "ATTR=EXPR"),
        (&["qedit", "Tag=1"], 2, "--constraint"),
        (&["qedit", "99", "Tag=1"], 4, "99"),
        (&["prio", &id], 2, "+N"),
        (&["prio", &id, "+many"], 2, "whole number"),
    ];
    for (args, code, part) in rows {
        let ran = pool.updraft(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
    }
    assert_eq!(shown(&pool, &id, "Tag"), "undefined\n");
}
