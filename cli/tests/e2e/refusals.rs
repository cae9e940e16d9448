//! What is wrong gets one clear error with its place: before anything is queued where it can be
//! seen, as a failed node or trial where it cannot.

use crate::home::{Home, Ran, run};
use crate::pool::Pool;

const TRUE_SUB: &str = "executable = /bin/true\ntransfer_executable = false\nqueue\n";
const STUDY: &str = "metric = 'rmse'\ngoal = 'minimize'\ntrials = 4\nparallel = 2\nseed = 1\n\
    [space.lr]\ntype = 'float'\nlow = 1e-3\nhigh = 0.1\n";

/// The main file is `x.dag`, or else `x.sub`.
struct Wrong {
    files: &'static [(&'static str, &'static str)],
    told: &'static [&'static str],
}

const WRONG: [Wrong; 13] = [
    Wrong {
        files: &[(
            "x.dag",
            "JOB a t.sub\nJOB b t.sub\nJOB c t.sub\nPARENT a CHILD b\nPARENT b CHILD c\n\
             PARENT c CHILD a\n",
        )],
        told: &["x.dag:", "a → b → c → a"],
    },
    Wrong {
        files: &[("x.dag", "JOB a t.sub\nPARENT a CHILD nobody\n")],
        told: &["x.dag:2:16", "nobody", "^^^^^^"],
    },
    Wrong {
        files: &[("x.dag", "JOB a missing.sub\n")],
        told: &["x.dag:1:", "missing.sub"],
    },
    Wrong {
        files: &[("x.dag", "JOB a t.sub\nJOB a t.sub\n")],
        told: &["x.dag:2:", "a"],
    },
    Wrong {
        files: &[("x.dag", "STUDY s t.sub missing.toml\n")],
        told: &["x.dag:1:", "missing.toml"],
    },
    Wrong {
        files: &[
            ("x.dag", "JOB a t.sub\nSTUDY s t.sub bad.toml\n"),
            (
                "bad.toml",
                "metric = 'rmse'\ngoal = 'lower'\ntrials = 4\nseed = 1\n\
                 [space.lr]\ntype = 'float'\nlow = 1e-3\nhigh = 0.1\n",
            ),
        ],
        told: &["bad.toml:2:", "lower", "minimize"],
    },
    Wrong {
        files: &[
            ("x.dag", "JOB a t.sub\nSTUDY s t.sub bad.toml\n"),
            ("bad.toml", "metric = 'rmse\n"),
        ],
        told: &["bad.toml:1:"],
    },
    Wrong {
        files: &[
            ("x.dag", "JOB a t.sub\nJOB b b.sub\n"),
            (
                "b.sub",
                "executable = /bin/true\nrequirements = (Cpus >\nqueue\n",
            ),
        ],
        told: &["b.sub:2:", "(Cpus >"],
    },
    Wrong {
        files: &[
            ("x.dag", "JOB a t.sub\nJOB b b.sub\n"),
            (
                "b.sub",
                "executable = /bin/true\ntransfer_input_files = gone.csv\nqueue\n",
            ),
        ],
        told: &["b.sub, line 2", "gone.csv"],
    },
    Wrong {
        files: &[(
            "x.sub",
            "executable = /bin/true\ntransfer_input_files = gone.csv\nqueue\n",
        )],
        told: &["x.sub, line 2", "gone.csv"],
    },
    Wrong {
        files: &[("x.sub", "executable = gone.sh\nqueue\n")],
        told: &["x.sub", "gone.sh"],
    },
    Wrong {
        files: &[("x.sub", "executable = /bin/true\nqueue 2 3\n")],
        told: &["x.sub:2:"],
    },
    Wrong {
        files: &[("x.sub", "arguments = 1\nqueue\n")],
        told: &["x.sub", "executable"],
    },
];

#[test]
fn nothing_is_half_submitted() {
    let pool = Pool::start();
    pool.home.write("t.sub", TRUE_SUB);
    for Wrong { files, told } in WRONG {
        for (name, text) in files {
            pool.home.write(name, text);
        }
        let main = files[0].0;
        let ran = pool.updraft(&["submit", main]).expect(2).complains(told);
        assert!(ran.out.is_empty(), "{}", ran.out);
        assert_one_error(&ran);
        pool.assert_empty();
        if main == "x.dag" {
            let ran = run(&mut pool.home.command(&["run", main, "--state-dir", "state"]));
            ran.expect(2).complains(told);
            assert!(!pool.home.path("state").exists(), "{told:?}");
        }
    }
    // The next good one is the first.
    assert_eq!(pool.submit("t.sub"), "1");
}

/// One error about the file, and at most one line that counts them.
fn assert_one_error(ran: &Ran) {
    let errors = ran.err.lines().filter(|line| line.starts_with("error"));
    let (counts, errors): (Vec<&str>, Vec<&str>) =
        errors.partition(|line| line.ends_with("nothing was submitted"));
    assert!(errors.len() <= 1 && counts.len() <= 1, "{}", ran.err);
    assert!(errors.len() + counts.len() >= 1, "{}", ran.err);
}

fn train_sub(more: &str) -> String {
    format!(
        "universe = train\n\
         arguments = --train train.csv --validation validation.csv --epochs 2 --device cpu {more}\n\
         transfer_input_files = train.csv, validation.csv\ntransfer_output_files = \"\"\nqueue\n"
    )
}

fn home_with_data() -> Home {
    let home = Home::new();
    let args = [
        "data", "synth", "--region", "de", "--rows", "400", "--out", ".",
    ];
    run(&mut home.command(&args)).expect(0);
    home
}

fn run_dag(home: &Home) -> Ran {
    let args = [
        "run",
        "x.dag",
        "--state-dir",
        "state",
        "--cpus",
        "2",
        "--fresh",
    ];
    run(&mut home.command(&args))
}

#[test]
fn a_table_that_is_wrong_fails_its_node_with_one_error() {
    let home = home_with_data();
    home.write("x.dag", "JOB fit fit.sub\n");
    let good = home.read("train.csv");
    let header = good.lines().next().unwrap();
    let short = format!("{header}\n1,2\n");
    let rows: [(&str, &str, &[&str]); 6] = [
        (&good, "--target rating --lr 1e30", &["lr", "to 100"]),
        (
            &good,
            "--target ratnig",
            &["ratnig", "did you mean `rating`"],
        ),
        (
            &short,
            "--target rating",
            &["train.csv:2: expected 12 fields"],
        ),
        ("\u{0}\u{1}no table", "--target rating", &["train.csv"]),
        ("", "--target rating", &["train.csv"]),
        (
            &good,
            "--target rating --lr 100 --optimizer sgd",
            &["diverged"],
        ),
    ];
    for (table, flags, told) in rows {
        home.write("train.csv", table);
        home.write("fit.sub", &train_sub(flags));
        let ran = run_dag(&home).expect(1).complains(&["error: fit failed:"]);
        let said = |line: &&str| line.starts_with("  | error");
        let said: Vec<&str> = ran.err.lines().filter(said).collect();
        assert_eq!(said.len(), 1, "{flags}: {}", ran.err);
        for part in told {
            assert!(
                said[0].contains(part),
                "{flags}: no `{part}` in: {}",
                ran.err
            );
        }
    }
}

#[test]
fn a_trial_that_diverges_fails_and_its_study_goes_on() {
    let home = home_with_data();
    home.write("x.dag", "STUDY tune fit.sub s.study.toml\n");
    home.write("fit.sub", &train_sub("--target rating --optimizer sgd"));
    let space = "[space.lr]\ntype = 'categorical'\nchoices = [100.0, 1e-3]\ndefault = 100.0\n";
    let study = format!("{}{space}", STUDY.split_once("[space.lr]").unwrap().0);
    home.write("s.study.toml", &study);
    let args = [
        "run",
        "x.dag",
        "--state-dir",
        "state",
        "--cpus",
        "2",
        "-o",
        "json",
    ];
    run(&mut home.command(&args)).expect(0);

    let pool = Pool::after_run(home);
    let study = &pool.json(&["study", "show", "1"])["studies"][0];
    assert_eq!(study["status"], "Completed", "{study:#}");
    let trials = study["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 4, "{study:#}");
    for trial in trials {
        let huge = trial["params"]["lr"].as_f64().unwrap() > 1.0;
        let expected = if huge { "Failed" } else { "Completed" };
        assert_eq!(trial["status"], expected, "{trial:#}");
        assert_eq!(trial["value"].is_null(), huge, "{trial:#}");
        assert_eq!(trial["reason"].is_string(), huge, "{trial:#}");
        if huge {
            let job = trial["job"].as_str().unwrap();
            let said = pool.updraft(&["logs", "--stderr", job]).expect(0).out;
            assert!(said.contains("diverged"), "{said}");
        }
    }
    let best = study["incumbent"].as_u64().unwrap();
    let best = trials.iter().find(|trial| trial["number"] == best).unwrap();
    assert_eq!(best["params"]["lr"], 1e-3);
}

#[test]
fn a_study_without_a_single_good_trial_fails() {
    let home = Home::with(&[
        (
            "x.dag",
            "STUDY tune bad.sub s.study.toml\nJOB after t.sub\nPARENT tune CHILD after\n",
        ),
        ("t.sub", TRUE_SUB),
        ("s.study.toml", STUDY),
        (
            "bad.sub",
            "executable = /bin/sh\ntransfer_executable = false\n\
             arguments = \"-c 'echo no luck >&2; exit 5'\"\nqueue\n",
        ),
    ]);
    run_dag(&home)
        .expect(1)
        .complains(&["error: tune failed:", "no luck", "1 node behind it"]);
    // A program that ends well and reports nothing has not been a trial either.
    home.write("bad.sub", TRUE_SUB);
    run_dag(&home)
        .expect(1)
        .complains(&["error: tune failed:", "rmse"]);
}
