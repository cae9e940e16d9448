//! The pool's rules and accounts through the door: shown, checked, set, kept over a restart; and
//! what they do to jobs that run.

use crate::home::{Home, until};
use crate::pool::Pool;

/// Takes all of a worker, runs until it is let go, and leaves word of its starts and of being asked to end.
fn waits(name: &str, more: &str) -> String {
    format!(
        "executable = /bin/sh\ntransfer_executable = false\nrequest_cpus = 4\n\
         arguments = \"-c 'trap \"\"echo bye >> HOME/{name}.byes; exit 0\"\" TERM; \
         echo x >> HOME/{name}.starts; until [ -e HOME/go ]; do sleep 0.02; done'\"\n{more}\nqueue\n"
    )
}

fn until_lines(pool: &Pool, file: &str, count: usize) {
    until(file, || pool.home.lines(file).len() == count);
}

#[test]
fn rules_are_shown_as_a_file_that_can_be_set_again_and_outlive_the_manager() {
    let mut pool = Pool::with_workers(&["w"]);
    let shown = pool.updraft(&["pool", "show"]).expect(0).out;
    assert!(shown.contains("half_life_s = 86400.0"), "{shown}");
    assert!(shown.contains("# weight in use: 0 of "), "{shown}");
    let changed = shown.replace("half_life_s = 86400.0", "half_life_s = 60")
        + "\n[groups.physics]\nshare = 0.5\n[limits]\nlicense = 2\n";
    pool.home.write("pool.toml", &changed);
    let ran = pool.updraft(&["pool", "check", "pool.toml"]).expect(0);
    assert_eq!(ran.out, "pool.toml: ok\n");
    assert!(
        !pool.json(&["pool", "show"])["rules"]
            .as_str()
            .unwrap()
            .contains("license")
    );
    let ran = pool.updraft(&["pool", "set", "pool.toml"]).expect(0);
    assert_eq!(ran.out, "the rules of pool.toml are in force\n");
    pool.kill_manager();
    pool.start_manager();
    until("the worker", || {
        pool.json(&["pool", "show"])["weight"].as_f64() > Some(0.0)
    });
    let told = pool.json(&["pool", "show"]);
    assert!(
        told["rules"]
            .as_str()
            .unwrap()
            .contains("half_life_s = 60.0"),
        "{told:#}"
    );
    let weight = told["weight"].as_f64().unwrap();
    assert_eq!(told["groups"][0]["name"], "physics");
    assert_eq!(told["groups"][0]["quota"].as_f64(), Some(weight / 2.0));
    assert_eq!(told["limits"][0]["max"].as_f64(), Some(2.0));
    let text = pool.updraft(&["pool", "show"]).expect(0).out;
    pool.home.write("again.toml", &text);
    pool.updraft(&["pool", "set", "again.toml"]).expect(0);
    assert_eq!(pool.updraft(&["pool", "show"]).expect(0).out, text);
}

#[test]
fn rules_that_are_wrong_change_nothing() {
    let pool = Pool::start();
    let before = pool.json(&["pool", "show"]);
    pool.home.write(
        "bad.toml",
        "half_life = 3\nweight = \"Cpus +\"\n[users.x]\nfactor = 0\n",
    );
    for verb in ["check", "set"] {
        pool.updraft(&["pool", verb, "bad.toml"])
            .expect(2)
            .complains(&[
                "bad.toml:1:1",
                "did you mean `half_life_s`?",
                "bad.toml:2:10",
                "bad.toml:4:10",
                "3 errors in bad.toml",
            ]);
    }
    pool.updraft(&["pool", "set", "none.toml"])
        .expect(2)
        .complains(&["none.toml"]);
    assert_eq!(pool.json(&["pool", "show"]), before);
}

#[test]
fn a_manager_takes_its_rules_from_a_file() {
    let home = Home::new();
    home.write("pool.toml", "jobs_running_max = 1\n");
    let file = home.path("pool.toml").display().to_string();
    let mut pool = Pool::of(home, &["--rules", &file]);
    pool.add_worker("w", &[]);
    pool.add_worker("v", &[]);
    let first = pool.submit_text("a.sub", &waits("a", ""));
    until_lines(&pool, "a.starts", 1);
    let second = pool.submit_text("b.sub", &waits("b", ""));
    let told = pool.json(&["pool", "show"]);
    assert_eq!(
        (&told["jobs_running"], &told["jobs_waiting"]),
        (&1.into(), &1.into()),
        "{told:#}"
    );
    assert_eq!(told["jobs_running_max"], 1);
    pool.home.write("go", "");
    pool.wait(&first);
    pool.wait(&second);
}

#[test]
fn accounts_are_shown_and_changed() {
    let pool = Pool::with_workers(&["w"]);
    let ran = pool.updraft(&["userprio"]).expect(0);
    assert_eq!(ran.out, "nobody has used anything yet\n");
    let id = pool.submit_text(
        "a.sub",
        &waits(
            "a",
            "accounting_group = physics\naccounting_group_user = ada",
        ),
    );
    until_lines(&pool, "a.starts", 1);
    let told = pool.json(&["userprio"]);
    let user = &told["users"][0];
    assert_eq!(user["name"], "physics.ada", "{told:#}");
    assert_eq!(
        (&user["jobs_running"], &user["factor"]),
        (&1.into(), &1000.0.into())
    );
    assert_eq!(
        (&user["weight_used"], &user["factor_given"]),
        (&4.0.into(), &false.into())
    );
    let changed = pool.json(&["userprio", "physics.ada", "--factor", "250"]);
    assert_eq!(changed["user"]["factor"], 250.0);
    assert_eq!(changed["user"]["factor_given"], true);
    pool.updraft(&["userprio", "physics.ada", "--recent", "40"])
        .expect(0);
    // Somebody who has not used anything yet may be given something, too; the best stands first.
    pool.updraft(&["userprio", "bob", "--factor", "10"])
        .expect(0);
    let names = || -> Vec<String> {
        let told = pool.json(&["userprio"]);
        let users = told["users"].as_array().unwrap().iter();
        users
            .map(|user| user["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(), ["bob", "physics.ada"]);
    let table = pool.updraft(&["userprio"]).expect(0).out;
    assert!(
        table.lines().next().unwrap().contains("HOURS USED"),
        "{table}"
    );
    let given = pool.json(&["userprio", "physics.ada", "--default-factor"]);
    assert_eq!(given["user"]["factor"], 1000.0);
    for (args, wrong) in [
        (&["userprio", "ada", "--factor", "0"][..], "at least 1"),
        (&["userprio", "ada", "--recent", "-1"], "--recent"),
        (&["userprio", "ada"], "--factor"),
        (&["userprio", "--factor", "3"], "USER"),
        (&["userprio", "a b", "--factor", "3"], "no name of a user"),
        (
            &["userprio", "ada", "--factor", "3", "--default-factor"],
            "--default-factor",
        ),
    ] {
        pool.updraft(args).expect(2).complains(&[wrong]);
    }
    pool.home.write("go", "");
    pool.wait(&id);
}

#[test]
fn a_worker_gives_a_job_up_for_one_that_it_ranks_higher() {
    let home = Home::new();
    home.write("pool.toml", "preempt_for_rank = true\n");
    let mut pool = Pool::of(home, &[]);
    pool.add_worker("w", &["--attr", "Rank = TARGET.Wanted =?= true ? 10 : 0"]);
    let plain = pool.submit_text("a.sub", &waits("a", "log = a.log"));
    until_lines(&pool, "a.starts", 1);
    let wanted = pool.submit_text("b.sub", &waits("b", "+Wanted = true"));
    assert_eq!(pool.job(&wanted)["status"], "Idle");
    pool.updraft(&["pool", "set", "pool.toml"]).expect(0);
    until_lines(&pool, "b.starts", 1);
    assert_eq!(pool.home.lines("a.byes").len(), 1);
    pool.home.write("go", "");
    pool.wait(&wanted);
    pool.wait(&plain);
    assert_eq!(pool.job(&plain)["attempts"], 2);
    assert_eq!(pool.job(&wanted)["attempts"], 1);
    assert!(
        pool.home
            .read("a.log")
            .contains("w has another job for the slot")
    );
}

#[test]
fn a_better_priority_takes_a_slot_where_the_rules_say_so() {
    let home = Home::new();
    let rule = "RemoteUserPrio > TARGET.SubmitterUserPrio * 1.2";
    home.write(
        "pool.toml",
        &format!("preemption_requirements = \"{rule}\"\n"),
    );
    let mut pool = Pool::of(home, &[]);
    pool.add_worker("w", &[]);
    let ada = pool.submit_text("a.sub", &waits("a", "accounting_group_user = ada"));
    until_lines(&pool, "a.starts", 1);
    let bob = pool.submit_text("b.sub", &waits("b", "accounting_group_user = bob"));
    pool.updraft(&["pool", "set", "pool.toml"]).expect(0);
    // Both have used next to nothing.
    assert_eq!(pool.job(&bob)["status"], "Idle");
    pool.updraft(&["userprio", "ada", "--recent", "100"])
        .expect(0);
    until_lines(&pool, "b.starts", 1);
    assert_eq!(pool.home.lines("a.byes").len(), 1);
    pool.home.write("go", "");
    pool.wait(&ada);
    pool.wait(&bob);
}
