//! What a job is given and held to: devices, memory, custom resources, a sandbox of its own, and
//! its turn behind another.

use std::collections::BTreeMap;

use proto::nouns::{Ended, Exceeds, GpuNaming, ToManager, ToWorker, VacateReason, WorkOrder};
use worker::settings::Enforcement;

use super::{World, sh, within};

const DEVICES: &str = "echo \"$CUDA_VISIBLE_DEVICES|$NVIDIA_VISIBLE_DEVICES|$GPU_DEVICE_ORDINAL|\
    $_CONDOR_AssignedGPUs|$CUDA_DEVICE_ORDER|$UPDRAFT_GPU_MEMORY_MIB|$UPDRAFT_EXIT_GPU_MEMORY\"";

/// A device of the worker by its number, as it offers it.
fn device(model_count: &str, number: usize) -> String {
    let gpus = worker::discovery::simulated(&"w1".parse().unwrap(), &[model_count.to_owned()]);
    gpus.unwrap()[number].id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_see_their_devices_and_no_others() {
    let mut world =
        World::with(|settings| settings.simulate_gpus = vec!["A100:3".to_owned()]).await;
    let (one, two) = (device("A100:3", 1), device("A100:3", 2));
    let asked = BTreeMap::from([
        ("CUDA_VISIBLE_DEVICES".to_owned(), "all".to_owned()),
        ("_CONDOR_AssignedGPUs".to_owned(), "all".to_owned()),
    ]);
    let order = |gpus: &[&String], gpu_naming, gpu_memory_mib| WorkOrder {
        gpus: gpus.iter().map(|id| (*id).clone()).collect(),
        gpu_naming,
        gpu_memory_mib,
        environment: asked.clone(),
        ..sh(DEVICES)
    };
    let rows = [
        (order(&[], GpuNaming::Uuid, None), "|void|||||\n".to_owned()),
        (
            order(&[&two, &one], GpuNaming::Uuid, None),
            format!("{two},{one}|{two},{one}|{two},{one}|{two},{one}|||179\n"),
        ),
        (
            order(&[&two, &one], GpuNaming::Index, None),
            format!("2,1|2,1|2,1|{two},{one}|PCI_BUS_ID||179\n"),
        ),
        (
            order(&[&one], GpuNaming::Uuid, Some(2_048)),
            format!("{one}|{one}|{one}|{one}||2048|179\n"),
        ),
    ];
    for (order, expected) in rows {
        let report = world.run(order).await;
        assert_eq!(world.text(report.stdout), expected);
    }
    let licences = WorkOrder {
        resources: BTreeMap::from([("licence".to_owned(), 2), ("a-b".to_owned(), 1)]),
        ..sh("echo $UPDRAFT_RESOURCE_LICENCE $UPDRAFT_RESOURCE_A_B")
    };
    let report = world.run(licences).await;
    assert_eq!(world.text(report.stdout), "2 1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_breaks_is_offered_as_broken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken");
    let mut world = World::with(|settings| {
        settings.simulate_gpus = vec!["A100:2".to_owned()];
        settings.simulate_broken_gpus = Some(file.clone());
        settings.gpu_look_ms = 10;
    })
    .await;
    for (text, expected) in [
        ("1 it smokes\n", [None, Some("it smokes")]),
        ("", [None, None]),
    ] {
        std::fs::write(&file, text).unwrap();
        loop {
            if let ToManager::Advertise { offer } = world.session.next().await {
                let broken: Vec<_> = offer.gpus.iter().map(|gpu| gpu.broken.as_deref()).collect();
                assert_eq!(broken, expected);
                break;
            }
        }
    }
}

/// A job that takes some 64 MiB and then waits for the file `go`, whatever its limit.
fn hungry(memory_mib: u64, then: &str) -> WorkOrder {
    let script = format!(
        "x=$(head -c 32000000 /dev/zero | tr '\\0' x); y=$x$x; echo '{{\"full\": 1}}' \
         > $UPDRAFT_METRICS; {then}"
    );
    WorkOrder {
        memory_mib,
        ..sh(&script)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uses_more_memory_than_it_has_is_ended() {
    let wait = "while :; do sleep 0.01; done";
    let mut world = World::new().await;
    let report = world.run(hungry(16, wait)).await;
    let Ended::Exceeded { resource, used_mib } = report.ended else {
        panic!("{report:?}")
    };
    assert_eq!(resource, Exceeds::Memory);
    assert!(used_mib > 16, "{used_mib}");
    // Without a limit, or within it, it goes on, and what it exits with is what counts.
    for limit in [0, 4_096] {
        let report = world.run(hungry(limit, "sleep 0.6; exit 3")).await;
        assert_eq!(report.ended, Ended::Exited(3));
    }
    // A worker that leaves it alone says why somebody else killed it.
    let mut world = World::with(|settings| settings.enforcement = Enforcement::Leave).await;
    let report = world.run(hungry(16, "sleep 0.6; exit 3")).await;
    assert_eq!(report.ended, Ended::Exited(3));
    let report = world.run(hungry(16, "kill -9 $$")).await;
    assert!(matches!(
        report.ended,
        Ended::Exceeded {
            resource: Exceeds::Memory,
            ..
        }
    ));
    let report = world.run(hungry(4_096, "kill -9 $$")).await;
    assert_eq!(report.ended, Ended::Signaled(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_say_that_its_gpu_memory_was_not_enough() {
    let mut world = World::new().await;
    let script = "exit ${UPDRAFT_EXIT_GPU_MEMORY:-179}";
    let gpu = WorkOrder {
        gpus: vec!["GPU-1".to_owned()],
        ..sh(script)
    };
    let exceeded = Ended::Exceeded {
        resource: Exceeds::GpuMemory,
        used_mib: 0,
    };
    assert_eq!(world.run(gpu).await.ended, exceeded);
    assert_eq!(world.run(sh(script)).await.ended, Ended::Exited(179));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_sent_ahead_run_one_after_the_other() {
    let mut world = World::new().await;
    let claims: Vec<_> = (0..5).map(|_| world.claim()).collect();
    let file = world.dir.path().join("log").display().to_string();
    // Each says when it begins and ends; two at once would mix.
    let script = format!("echo begin >> {file}; sleep 0.02; echo end >> {file}");
    world.session.activate(claims[0], sh(&script)).await;
    for pair in claims.windows(2) {
        let message = ToWorker::Activate {
            claim: pair[1],
            order: Box::new(sh(&script)),
            behind: Some(pair[0]),
        };
        world.session.say(message).await;
    }
    let called_back = ToWorker::Vacate {
        claim: claims[3],
        reason: VacateReason::CalledBack,
        grace_ms: None,
    };
    world.session.say(called_back).await;
    assert_eq!(
        world.session.finished(claims[3]).await.ended,
        Ended::Vacated
    );
    for claim in [0, 1, 2, 4].map(|at| claims[at]) {
        assert_eq!(world.session.finished(claim).await.ended, Ended::Exited(0));
    }
    let log = std::fs::read_to_string(&file).unwrap();
    assert_eq!(log, "begin\nend\n".repeat(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_job_does_not_wait_for_outputs() {
    let mut world = World::new().await;
    let (first, second) = (world.claim(), world.claim());
    let report = world.run(sh("printf 0 > made")).await;
    // The manager asks for nothing while it is held: outputs stay on their way.
    let held = world.manager.store.hold();
    world.session.activate(first, sh("printf 1 > made")).await;
    let message = ToWorker::Activate {
        claim: second,
        order: Box::new(sh("true")),
        behind: Some(first),
    };
    world.session.say(message).await;
    assert_eq!(world.session.finished(second).await.ended, Ended::Exited(0));
    drop(held);
    let late = world.session.finished(first).await;
    assert_eq!(world.text(Some(late.outputs[0].1)), "1");
    assert_eq!(world.text(Some(report.outputs[0].1)), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_its_group_does_not_outlive_its_job() {
    let mut world = World::new().await;
    let script = "setsid sh -c 'echo $$ > pid; exec sleep 1000' > /dev/null 2>&1 & \
        while ! test -s pid; do sleep 0.01; done";
    let report = world.run(sh(script)).await;
    let pid = world.text(Some(report.outputs[0].1));
    let proc = format!("/proc/{}/cmdline", pid.trim());
    let gone = async {
        // A process that was killed has no command line, even before anybody reaps it.
        while std::fs::read(&proc).is_ok_and(|text| !text.is_empty()) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within(gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_names_what_the_cache_holds() {
    let mut world = World::new().await;
    let inputs =
        [("a", "1"), ("b", "22"), ("c", "333")].map(|(path, text)| world.input(path, text));
    let order = WorkOrder {
        inputs: inputs.to_vec(),
        ..sh("true")
    };
    world.run(order).await;
    let World {
        dir: _dir,
        mut manager,
        session,
        worker: _worker,
        ..
    } = world;
    drop(session);
    let (_, hello) = manager.hello().await;
    let ToManager::Hello { cached, .. } = hello else {
        panic!("{hello:?}")
    };
    assert_eq!(cached, [2, 1, 0].map(|at: usize| inputs[at].blob.digest));
}
