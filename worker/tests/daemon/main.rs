//! The real worker, real processes, and a manager whose every word the test says. Nothing sleeps:
//! each step waits for the message that shows that the one before is done.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod cache;
mod limits;
mod manager;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use manager::{Manager, POOL, Session, within};
use proto::nouns::{
    Blob, ClaimId, Ended, Fault, Input, JobId, LogStream, Outputs, Program, Report, ToManager,
    ToWorker, VacateReason, WorkOrder,
};
use tempfile::TempDir;
use worker::{Running, Settings, WorkerError};

/// A worker with its manager.
struct World {
    dir: TempDir,
    manager: Manager,
    session: Session,
    worker: Running,
    claims: u64,
}

fn settings(manager: &Manager, dir: &Path) -> Settings {
    Settings {
        manager: manager.address.clone(),
        state_dir: dir.to_owned(),
        name: Some("w1".parse().unwrap()),
        trainer: "/bin/echo".into(),
        ..Settings::default()
    }
}

impl World {
    async fn new() -> World {
        World::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> World {
        let dir = tempfile::tempdir().unwrap();
        let mut manager = Manager::start().await;
        let mut settings = settings(&manager, dir.path());
        change(&mut settings);
        let worker = worker::start(settings).await.unwrap();
        let (session, claims) = manager.session().await;
        assert!(claims.is_empty());
        World {
            dir,
            manager,
            session,
            worker,
            claims: 0,
        }
    }

    fn claim(&mut self) -> ClaimId {
        self.claims += 1;
        ClaimId {
            pool: POOL,
            serial: self.claims,
        }
    }

    async fn run(&mut self, order: WorkOrder) -> Report {
        let claim = self.claim();
        within(self.session.run(claim, order)).await
    }

    fn input(&self, path: &str, bytes: &str) -> Input {
        Input {
            path: path.parse().unwrap(),
            blob: self.manager.store.add(bytes),
        }
    }

    fn text(&self, blob: Option<Blob>) -> String {
        blob.map(|blob| self.manager.store.text(blob))
            .unwrap_or_default()
    }
}

/// A shell script as a job.
fn sh(script: &str) -> WorkOrder {
    WorkOrder {
        job: JobId {
            cluster: 12,
            proc: 3,
        },
        attempt: 2,
        owner: "ann".to_owned(),
        program: Program::Installed("sh".to_owned()),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: BTreeMap::new(),
        inputs: Vec::new(),
        stdin: None,
        outputs: Outputs::New,
        cpus: 1,
        memory_mib: 64,
        gpus: Vec::new(),
        params: None,
        kill_signal: 15,
        gpu_memory_mib: None,
        gpu_naming: proto::nouns::GpuNaming::Uuid,
        resources: BTreeMap::new(),
        kill_grace_ms: 60_000,
    }
}

/// Whether the worker's disk still has the claim's report: the last that its spool says of it.
fn is_spooled(dir: &Path, claim: ClaimId) -> bool {
    let name = claim.to_string();
    let mut last = (0, false);
    for file in std::fs::read_dir(dir.join("spool")).unwrap() {
        let path = file.unwrap().path();
        let number: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        if let Some(at) = text.rfind(&name).filter(|_| number >= last.0) {
            last = (
                number,
                !text[at..].starts_with(&format!("{name}\",\"report\":null")),
            );
        }
    }
    last.1
}

fn outputs(world: &World, report: &Report) -> Vec<(String, String)> {
    let text = |blob: &Blob| world.manager.store.text(*blob);
    report
        .outputs
        .iter()
        .map(|(path, blob)| (path.to_string(), text(blob)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_end_as_they_end() {
    let mut world = World::new().await;
    let rows = [
        ("true", Ended::Exited(0), "", ""),
        (
            "echo out; echo err >&2; exit 3",
            Ended::Exited(3),
            "out\n",
            "err\n",
        ),
        ("kill -9 $$", Ended::Signaled(9), "", ""),
        (
            "echo $UPDRAFT_JOB $UPDRAFT_ATTEMPT $UPDRAFT_CPUS",
            Ended::Exited(0),
            "12.3 2 1\n",
            "",
        ),
        (
            "echo \"$CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES\"",
            Ended::Exited(0),
            " void\n",
            "",
        ),
        (
            "echo ${CARGO_MANIFEST_DIR-clean} $PWD_ $UPDRAFT_PARAMS",
            Ended::Exited(0),
            "clean\n",
            "",
        ),
        (
            "test $PWD = $_CONDOR_SCRATCH_DIR && stat -c %a .",
            Ended::Exited(0),
            "700\n",
            "",
        ),
        ("read line; echo \"<$line>\"", Ended::Exited(0), "<>\n", ""),
        (
            "echo ${PATH%%:*}; test -d $TMPDIR; touch $TMPDIR/x",
            Ended::Exited(0),
            "/bin\n",
            "",
        ),
        // What a job leaves running in its group does not outlive it, nor hold up its end.
        (
            "sleep 1000 & echo started",
            Ended::Exited(0),
            "started\n",
            "",
        ),
    ];
    for (script, ended, stdout, stderr) in rows {
        let report = world.run(sh(script)).await;
        assert_eq!(report.ended, ended, "{script}");
        assert_eq!(world.text(report.stdout), stdout, "{script}");
        assert_eq!(world.text(report.stderr), stderr, "{script}");
        assert!(
            report.outputs.is_empty() && report.missing.is_empty(),
            "{script}: {report:?}"
        );
        assert!(
            report.started_ms <= report.ended_ms && report.started_ms > 0,
            "{script}"
        );
        assert!(report.rss_max_kib > 0, "{script}");
    }
    let busy = world
        .run(sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"))
        .await;
    assert!(busy.user_cpu_ms + busy.system_cpu_ms > 10, "{busy:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_reach_their_jobs() {
    let mut world = World::new().await;
    let mut order =
        sh("cat; cat data/a.txt; echo $X; cat $UPDRAFT_PARAMS; echo $CUDA_VISIBLE_DEVICES");
    order.inputs = vec![
        world.input("in.txt", "input\n"),
        world.input("data/a.txt", "a\n"),
    ];
    order.stdin = Some("in.txt".parse().unwrap());
    order.environment = BTreeMap::from([
        ("X".to_owned(), "a 'b' $c".to_owned()),
        ("CUDA_VISIBLE_DEVICES".to_owned(), "all".to_owned()),
    ]);
    order.params = Some("{\"lr\": 0.1}\n".to_owned());
    order.gpus = vec!["GPU-1".to_owned(), "GPU-2".to_owned()];
    let report = world.run(order).await;
    let expected = "input\na\na 'b' $c\n{\"lr\": 0.1}\nGPU-1,GPU-2\n";
    assert_eq!(world.text(report.stdout), expected);

    let mut staged = sh("");
    staged.program = Program::Staged("bin/job".parse().unwrap());
    staged.arguments = vec!["x y".to_owned()];
    staged.inputs = vec![world.input("bin/job", "#!/bin/sh\necho \"$0 [$1]\"\n")];
    let report = world.run(staged).await;
    assert!(world.text(report.stdout).ends_with("/dir/bin/job [x y]\n"));

    let mut trainer = sh("");
    trainer.program = Program::Trainer;
    trainer.arguments = vec!["--epochs".to_owned(), "3".to_owned()];
    let report = world.run(trainer).await;
    assert_eq!(world.text(report.stdout), "train --epochs 3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_come_back() {
    let mut world = World::new().await;
    let make = "echo 1 > new; mkdir -p d/e; echo 2 > d/e/f; echo 3 >> same; echo 4 >> changed;
        ln -s /etc/passwd out; ln -s new within; printf 3 > same; mkfifo pipe; echo '#' > tool; chmod +x tool";
    let inputs = vec![world.input("same", "3"), world.input("changed", "0\n")];

    let report = world
        .run(WorkOrder {
            inputs: inputs.clone(),
            ..sh(make)
        })
        .await;
    assert_eq!(
        report.ended,
        Ended::Exited(0),
        "{}",
        world.text(report.stderr)
    );
    let row = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let expected = [
        row("changed", "0\n4\n"),
        row("new", "1\n"),
        row("tool", "#\n"),
        row("within", "1\n"),
    ];
    assert_eq!(outputs(&world, &report), expected);
    let executable: Vec<bool> = report
        .outputs
        .iter()
        .map(|(_, blob)| blob.executable)
        .collect();
    assert_eq!(executable, [false, false, true, false]);
    // The manager had the shared bytes of `new` and `within` after the first of them.
    assert_eq!(world.manager.store.puts(report.outputs[1].1), 1);

    let listed = ["d", "out", "none", "same", "d/e/f"].map(|path| path.parse().unwrap());
    let outputs_wanted = Outputs::Listed(listed.to_vec());
    let order = WorkOrder {
        inputs: inputs.clone(),
        outputs: outputs_wanted,
        ..sh(make)
    };
    let report = world.run(order).await;
    assert_eq!(
        outputs(&world, &report),
        [row("d/e/f", "2\n"), row("same", "3")]
    );
    let missing: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["out", "none"]);
    // Writing to its inputs never reached the cache.
    let report = world
        .run(WorkOrder {
            inputs,
            ..sh("cat changed same")
        })
        .await;
    assert_eq!(world.text(report.stdout), "0\n3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let mut world = World::new().await;
    let staged = |path: &str, inputs: Vec<Input>| WorkOrder {
        program: Program::Staged(path.parse().unwrap()),
        inputs,
        ..sh("")
    };
    let lacking = world.input("x", "never stored");
    world.manager.store.spoil(lacking.blob, None);
    let spoiled = world.input("x", "as announced");
    world.manager.store.spoil(spoiled.blob, Some(b"otherwise"));
    let installed = |name: &str| WorkOrder {
        program: Program::Installed(name.to_owned()),
        ..sh("")
    };
    let environment = BTreeMap::from([("A=B".to_owned(), String::new())]);
    let twice = vec![world.input("x", "1"), world.input("x", "2")];
    let below = vec![world.input("x", "1"), world.input("x/y", "2")];
    let no_program = staged("run", vec![world.input("run", "no shebang")]);
    let no_interpreter = staged("run", vec![world.input("run", "#!/no/such/shell\n")]);
    let rows = [
        (
            installed("no-such-program"),
            Fault::Job,
            "there is no program `no-such-program` in PATH",
        ),
        (
            installed("/no/such"),
            Fault::Job,
            "there is no program `/no/such`",
        ),
        (
            installed("/etc/passwd"),
            Fault::Job,
            "`/etc/passwd` is not executable",
        ),
        (
            staged("run", vec![]),
            Fault::Job,
            "its program `run` is not among its inputs",
        ),
        (
            no_program,
            Fault::Job,
            "`run` is not a program for this machine",
        ),
        (
            no_interpreter,
            Fault::Job,
            "`run` cannot be started: the interpreter",
        ),
        (
            WorkOrder {
                environment,
                ..sh("")
            },
            Fault::Job,
            "`A=B` cannot be set",
        ),
        (
            WorkOrder {
                inputs: twice,
                ..sh("")
            },
            Fault::Job,
            "two of its inputs are named `x`",
        ),
        (
            WorkOrder {
                inputs: below,
                ..sh("")
            },
            Fault::Worker,
            "its input `x/y` could not be placed",
        ),
        (
            WorkOrder {
                stdin: Some("in".parse().unwrap()),
                ..sh("")
            },
            Fault::Job,
            "standard input",
        ),
        (
            WorkOrder {
                inputs: vec![lacking],
                ..sh("")
            },
            Fault::Worker,
            "there is no such blob",
        ),
        (
            WorkOrder {
                inputs: vec![spoiled],
                ..sh("")
            },
            Fault::Worker,
            "3 times with other bytes",
        ),
    ];
    for (order, expected_fault, expected) in rows {
        let report = world.run(order).await;
        let Ended::NotStarted { fault, reason } = report.ended else {
            panic!("{report:?}")
        };
        assert_eq!(fault, expected_fault, "{reason}");
        assert!(reason.contains(expected), "{reason} / {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_end_when_asked() {
    let mut world = World::new().await;
    let obedient = "trap 'echo saving; exit 7' TERM; echo '{\"at\": 1}' > $UPDRAFT_METRICS;
        while :; do sleep 0.01; done";
    let deaf = "trap '' TERM; echo '{\"at\": 2}' > $UPDRAFT_METRICS; while :; do sleep 0.01; done";
    let rows = [
        (obedient, "{\"at\": 1}", 60_000, "saving\n"),
        (deaf, "{\"at\": 2}", 50, ""),
    ];
    for (script, ready, kill_grace_ms, stdout) in rows {
        let claim = world.claim();
        world
            .session
            .activate(
                claim,
                WorkOrder {
                    kill_grace_ms,
                    ..sh(script)
                },
            )
            .await;
        world.session.progress(ready).await;
        let reason = VacateReason::Held;
        let grace_ms = None;
        let message = ToWorker::Vacate {
            claim,
            reason,
            grace_ms,
        };
        world.session.say(message).await;
        let report = world.session.finished(claim).await;
        assert_eq!(report.ended, Ended::Vacated, "{script}");
        assert_eq!(world.text(report.stdout), stdout, "{script}");
        assert!(report.metrics.contains_key("at") && report.outputs.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_while_the_job_runs_and_with_its_report() {
    let mut world = World::new().await;
    let script = "echo '{\"loss\": 0.5}' >> $UPDRAFT_METRICS; echo '{\"loss\": NaN}' >> $UPDRAFT_METRICS;
        while ! test -e go; do sleep 0.01; done; printf '{\"loss\": 0.25}' >> $UPDRAFT_METRICS; rm go";
    let claim = world.claim();
    world.session.activate(claim, sh(script)).await;
    world.session.progress("{\"loss\": 0.5}").await;
    std::fs::write(world.dir.path().join("jobs/0/dir/go"), "").unwrap();
    let report = world.session.finished(claim).await;
    assert_eq!(
        world.session.progress,
        ["{\"loss\": 0.5}", "{\"loss\": 0.25}"]
    );
    assert_eq!(report.metrics, BTreeMap::from([("loss".to_owned(), 0.25)]));
    assert!(
        report
            .metrics_error
            .unwrap()
            .starts_with("line 2 of the metrics file holds NaN")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_outlive_sessions_and_workers() {
    let mut world = World::new().await;
    let claim = world.claim();
    let script =
        "echo '{\"at\": 1}' > $UPDRAFT_METRICS; while ! test -e go; do sleep 0.01; done; exit 5";
    world.session.activate(claim, sh(script)).await;
    world.session.progress("{\"at\": 1}").await;

    // The session ends; the job goes on, and the next session hears of it.
    let World {
        dir,
        mut manager,
        session,
        worker,
        ..
    } = world;
    drop(session);
    let (mut session, claims) = manager.session().await;
    assert_eq!(claims, [claim]);
    std::fs::write(dir.path().join("jobs/0/dir/go"), "").unwrap();
    assert_eq!(session.finished(claim).await.ended, Ended::Exited(5));

    // Not acknowledged: said again in this session, and by the next worker.
    assert_eq!(session.finished(claim).await.ended, Ended::Exited(5));
    drop(session);
    within(worker.stop()).await.unwrap();
    let worker = worker::start(settings(&manager, dir.path())).await.unwrap();
    let (mut session, claims) = manager.session().await;
    assert_eq!(claims, [claim]);
    assert_eq!(session.finished(claim).await.ended, Ended::Exited(5));
    assert!(is_spooled(dir.path(), claim));
    session.say(ToWorker::Forget { claim }).await;
    drop(session);
    let (session, claims) = manager.session().await;
    assert!(claims.is_empty(), "{claims:?}");
    drop(session);
    within(worker.stop()).await.unwrap();
    assert!(!is_spooled(dir.path(), claim));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_read_while_the_job_runs() {
    let mut world = World::new().await;
    let claim = world.claim();
    let script = "echo hello; echo oops >&2; echo '{\"at\": 1}' > $UPDRAFT_METRICS; sleep 1000";
    world.session.activate(claim, sh(script)).await;
    world.session.progress("{\"at\": 1}").await;
    let rows = [
        (1, LogStream::Stdout, 0, "hello\n"),
        (2, LogStream::Stderr, 2, "ps\n"),
        (3, LogStream::Stdout, 6, ""),
    ];
    for (request, stream, offset, expected) in rows {
        world
            .session
            .say(ToWorker::Tail {
                request,
                claim,
                stream,
                offset,
            })
            .await;
        loop {
            if let ToManager::Log {
                request: answered,
                bytes,
                ..
            } = world.session.next().await
            {
                assert_eq!(
                    (answered, String::from_utf8(bytes).unwrap()),
                    (request, expected.into())
                );
                break;
            }
        }
    }
    // Forgetting what runs ends it at once, without a report.
    world.session.say(ToWorker::Forget { claim }).await;
    within(world.worker.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_brings_its_jobs_home() {
    let mut world = World::new().await;
    let claim = world.claim();
    let script =
        "trap 'exit 0' TERM; echo '{\"at\": 1}' > $UPDRAFT_METRICS; while :; do sleep 0.01; done";
    world.session.activate(claim, sh(script)).await;
    world.session.progress("{\"at\": 1}").await;
    let World {
        mut session,
        worker,
        ..
    } = world;
    let manager = async {
        let report = session.finished(claim).await;
        session.say(ToWorker::Forget { claim }).await;
        report
    };
    let (report, stopped) = within(async { tokio::join!(manager, worker.stop()) }).await;
    assert_eq!(report.ended, Ended::Vacated);
    stopped.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_has_one_worker() {
    let world = World::new().await;
    let second = worker::start(settings(&world.manager, world.dir.path())).await;
    let error = second.unwrap_err();
    assert!(
        matches!(&error, WorkerError::Busy { holder: Some(pid), .. } if *pid == std::process::id())
    );
    assert!(
        error
            .to_string()
            .contains("is in use by another worker (process "),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_left_running_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let leftover = |scratch: String| {
        let mut command = Command::new("sleep");
        command
            .arg("1000")
            .env("UPDRAFT_CLAIM", "00000003-9")
            .env("_CONDOR_SCRATCH_DIR", scratch);
        command.stdin(Stdio::null()).spawn().unwrap()
    };
    let mut ours = leftover(format!("{}/jobs/00000003-9/dir", root.display()));
    let mut another_workers = leftover(format!("{}-2/jobs/00000003-9/dir", root.display()));
    std::fs::create_dir_all(root.join("jobs/00000003-9/dir")).unwrap();

    // A child of this test stays to be reaped by it; as far as the worker sees, it is then gone.
    let waiter = std::thread::spawn(move || ours.wait().unwrap());
    let mut manager = Manager::start().await;
    let worker = worker::start(settings(&manager, dir.path())).await.unwrap();
    let status = waiter.join().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    assert!(another_workers.try_wait().unwrap().is_none());
    another_workers.kill().unwrap();
    another_workers.wait().unwrap();
    assert!(!root.join("jobs/00000003-9").exists());
    let (session, _) = manager.session().await;
    drop(session);
    within(worker.stop()).await.unwrap();
}
