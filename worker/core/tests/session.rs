//! Scripts: inputs on the left, the effects that must come on the right, as short texts.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use proto::nouns::{
    ClaimId, Digest, Ended, Fault, JobId, LogStream, Now, Offer, Outputs, Program, Report,
    ToManager, ToWorker, VacateReason, WorkOrder,
};
use worker_core::{CACHED_MAX, Core, Effect, HELLO_RETRY_MS, PROGRESS_BACKLOG_LINES_MAX};

const POOL: u32 = 1;
const BEAT_MS: u64 = 1_000;

fn claim(serial: u64) -> ClaimId {
    ClaimId { pool: POOL, serial }
}

fn order() -> Box<WorkOrder> {
    Box::new(WorkOrder {
        job: JobId {
            cluster: 1,
            proc: 0,
        },
        attempt: 1,
        owner: "ann".to_owned(),
        program: Program::Installed("true".to_owned()),
        arguments: Vec::new(),
        environment: Default::default(),
        inputs: Vec::new(),
        stdin: None,
        outputs: Outputs::New,
        cpus: 1,
        memory_mib: 1,
        gpus: Vec::new(),
        gpu_memory_mib: None,
        gpu_naming: proto::nouns::GpuNaming::Uuid,
        resources: std::collections::BTreeMap::new(),
        params: None,
        kill_signal: 15,
        kill_grace_ms: 700,
    })
}

fn report(ended: Ended) -> Report {
    Report {
        ended,
        started_ms: 1,
        ended_ms: 2,
        user_cpu_ms: 0,
        system_cpu_ms: 0,
        rss_max_kib: 0,
        outputs: Vec::new(),
        missing: Vec::new(),
        stdout: None,
        stderr: None,
        metrics: Default::default(),
        metrics_error: None,
    }
}

fn vacate(serial: u64, reason: VacateReason, grace_ms: Option<u64>) -> ToWorker {
    ToWorker::Vacate {
        claim: claim(serial),
        reason,
        grace_ms,
    }
}

/// One input, in the script's words.
#[derive(Clone, Debug)]
enum Do {
    Connect,
    Disconnect,
    Welcome(u32),
    Activate(u64),
    /// The first behind the second.
    Ahead(u64, u64),
    Vacate(u64),
    CallBack(u64),
    /// Within this many milliseconds.
    Preempt(u64, u64),
    Forget(u64),
    Tail(u64),
    Goodbye,
    Leave,
    Spawned(u64),
    SpawnFailed(u64),
    Progress(u64, &'static str),
    Over(u64),
    Exit(u64, i32),
    Stop,
    /// Lets this many milliseconds pass.
    Pass(u64),
    Recover(u64, i32),
}

struct World {
    core: Core,
    now: Now,
}

impl World {
    fn new() -> World {
        let offer = Offer::default();
        let core = Core::new("w".parse().unwrap(), 7, "v".to_owned(), offer);
        World {
            core,
            now: Now {
                wall_ms: 1_000_000,
                mono_ms: 0,
            },
        }
    }

    fn apply(&mut self, input: Do) -> Vec<Effect> {
        let (core, now) = (&mut self.core, self.now);
        match input {
            Do::Connect => core.connected(now),
            Do::Disconnect => core.disconnected(now),
            Do::Welcome(pool) => {
                let message = ToWorker::Welcome {
                    pool,
                    lease_ms: 60_000,
                    beat_ms: BEAT_MS,
                };
                core.message(now, message)
            }
            Do::Activate(serial) => {
                let message = ToWorker::Activate {
                    claim: claim(serial),
                    order: order(),
                    behind: None,
                };
                core.message(now, message)
            }
            Do::Ahead(serial, behind) => {
                let message = ToWorker::Activate {
                    claim: claim(serial),
                    order: order(),
                    behind: Some(claim(behind)),
                };
                core.message(now, message)
            }
            Do::Vacate(serial) => core.message(now, vacate(serial, VacateReason::Held, None)),
            Do::CallBack(serial) => {
                core.message(now, vacate(serial, VacateReason::CalledBack, None))
            }
            Do::Preempt(serial, ms) => {
                core.message(now, vacate(serial, VacateReason::Preempted, Some(ms)))
            }
            Do::Forget(serial) => core.message(
                now,
                ToWorker::Forget {
                    claim: claim(serial),
                },
            ),
            Do::Tail(serial) => {
                let (claim, stream) = (claim(serial), LogStream::Stderr);
                core.message(
                    now,
                    ToWorker::Tail {
                        request: 5,
                        claim,
                        stream,
                        offset: 9,
                    },
                )
            }
            Do::Goodbye => core.message(
                now,
                ToWorker::Goodbye {
                    reason: "bye".to_owned(),
                },
            ),
            Do::Leave => core.message(
                now,
                ToWorker::Leave {
                    reason: "drained".to_owned(),
                },
            ),
            Do::Spawned(serial) => core.spawned(now, claim(serial)),
            Do::SpawnFailed(serial) => {
                core.spawn_failed(now, claim(serial), Fault::Job, "no such program".to_owned())
            }
            Do::Progress(serial, line) => core.progress(now, claim(serial), vec![line.to_owned()]),
            Do::Over(serial) => core.process_over(now, claim(serial)),
            Do::Exit(serial, code) => core.ended(now, claim(serial), report(Ended::Exited(code))),
            Do::Stop => core.stop(now),
            Do::Pass(ms) => {
                self.now.mono_ms += ms;
                self.now.wall_ms += ms;
                core.tick(self.now)
            }
            Do::Recover(serial, code) => {
                core.recovered(vec![(claim(serial), report(Ended::Exited(code)))])
            }
        }
    }
}

fn claims_text(claims: &[ClaimId]) -> String {
    claims
        .iter()
        .map(|claim| claim.serial.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

fn ended_text(ended: &Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("exit {code}"),
        Ended::Signaled(signal) => format!("signal {signal}"),
        Ended::Vacated => "vacated".to_owned(),
        Ended::Exceeded { resource, used_mib } => format!("exceeded {resource:?} {used_mib}"),
        Ended::NotStarted {
            fault: Fault::Job,
            reason,
        } => format!("job fault: {reason}"),
        Ended::NotStarted {
            fault: Fault::Worker,
            reason,
        } => format!("worker fault: {reason}"),
    }
}

fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::Send(ToManager::Hello { claims, .. }) => {
            format!("hello [{}]", claims_text(claims))
        }
        Effect::Send(ToManager::Advertise { .. }) => "advertise".to_owned(),
        Effect::Send(ToManager::Beat { claims }) => format!("beat [{}]", claims_text(claims)),
        Effect::Send(ToManager::Started { claim }) => format!("started {}", claim.serial),
        Effect::Send(ToManager::Progress { claim, lines }) => {
            format!("progress {} {}", claim.serial, lines.join("+"))
        }
        Effect::Send(ToManager::Finished { claim, report }) => {
            format!("finished {} {}", claim.serial, ended_text(&report.ended))
        }
        Effect::Send(ToManager::Log { request, .. }) => format!("log {request}"),
        Effect::Run { claim, .. } => format!("run {}", claim.serial),
        Effect::Kill {
            claim,
            signal,
            grace_ms,
        } => {
            format!("kill {} {signal} {grace_ms}", claim.serial)
        }
        Effect::Spool { claim, report } => {
            format!("spool {} {}", claim.serial, ended_text(&report.ended))
        }
        Effect::ForgetSpool { claim } => format!("drop {}", claim.serial),
        Effect::Tail {
            request,
            claim,
            offset,
            ..
        } => {
            format!("tail {request} {} {offset}", claim.serial)
        }
        Effect::Close { reason } => format!("close {reason}"),
        Effect::Leave { reason } => format!("leave {reason}"),
    }
}

#[track_caller]
fn check(name: &str, script: &[(Do, &[&str])]) {
    let mut world = World::new();
    for (step, (input, expected)) in script.iter().enumerate() {
        let effects = world.apply(input.clone());
        let got: Vec<String> = effects.iter().map(effect_text).collect();
        assert_eq!(got, *expected, "{name}, step {step}: {input:?}");
    }
}

#[test]
fn one_job_from_order_to_forgetting() {
    check(
        "the usual way",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (Do::Activate(1), &[]),
            (Do::Spawned(1), &["started 1"]),
            (Do::Progress(1, "a"), &["progress 1 a"]),
            (Do::Pass(BEAT_MS - 1), &[]),
            (Do::Pass(1), &["beat [1]"]),
            (Do::Exit(1, 3), &["spool 1 exit 3", "finished 1 exit 3"]),
            (Do::Exit(1, 4), &[]),
            (Do::Activate(1), &[]),
            (Do::Pass(BEAT_MS), &["beat [1]", "finished 1 exit 3"]),
            (Do::Forget(1), &["drop 1"]),
            (Do::Forget(1), &[]),
            // Late and double messages start nothing again.
            (Do::Activate(1), &[]),
            (Do::Spawned(2), &["kill 2 9 0"]),
            (Do::Pass(BEAT_MS), &["beat []"]),
        ],
    );
    check(
        "it does not start",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (
                Do::SpawnFailed(1),
                &[
                    "spool 1 job fault: no such program",
                    "finished 1 job fault: no such program",
                ],
            ),
        ],
    );
}

#[test]
fn jobs_go_on_without_a_session() {
    check(
        "finished while disconnected",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (Do::Activate(2), &["run 2"]),
            (Do::Activate(3), &["run 3"]),
            (Do::Spawned(1), &["started 1"]),
            (Do::Disconnect, &[]),
            (Do::Pass(100 * BEAT_MS), &[]),
            (Do::Spawned(2), &[]),
            (Do::Progress(2, "a"), &[]),
            (Do::Progress(2, "b"), &[]),
            (Do::Exit(1, 0), &["spool 1 exit 0"]),
            (
                Do::Connect,
                &["hello [1,2,3]", "started 2", "finished 1 exit 0"],
            ),
            (Do::Welcome(POOL), &["progress 2 a+b"]),
            (Do::Welcome(POOL), &[]),
            (Do::Leave, &["leave drained"]),
            (Do::Goodbye, &["close bye"]),
            (Do::Welcome(POOL), &[]),
            (Do::Pass(BEAT_MS), &[]),
            (
                Do::Connect,
                &["hello [1,2,3]", "started 2", "finished 1 exit 0"],
            ),
        ],
    );
    check(
        "reports of an earlier life",
        &[
            (Do::Recover(4, 5), &[]),
            (Do::Connect, &["hello [4]", "finished 4 exit 5"]),
            (
                Do::Pass(HELLO_RETRY_MS),
                &["hello [4]", "finished 4 exit 5"],
            ),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(4), &[]),
            (Do::Vacate(4), &["finished 4 exit 5"]),
            (Do::Forget(4), &["drop 4"]),
            (Do::Connect, &["hello []"]),
        ],
    );
}

#[test]
fn claims_end_when_asked() {
    check(
        "vacate",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (Do::Vacate(1), &["kill 1 15 700"]),
            (Do::Vacate(1), &[]),
            // The kill found nothing to kill yet.
            (Do::Spawned(1), &["kill 1 15 700"]),
            (Do::Progress(1, "a"), &[]),
            (Do::Exit(1, 0), &["spool 1 vacated", "finished 1 vacated"]),
            (Do::Vacate(1), &["finished 1 vacated"]),
            (Do::Forget(1), &["drop 1"]),
            // Unknown: free, and an order that comes later than its end starts nothing.
            (Do::Vacate(2), &["finished 2 vacated"]),
            (Do::Activate(2), &[]),
            (Do::Vacate(1), &["finished 1 vacated"]),
        ],
    );
    check(
        "forgotten while it runs",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (Do::Spawned(1), &["started 1"]),
            (Do::Forget(1), &["kill 1 9 0"]),
            (Do::Forget(1), &[]),
            (Do::Vacate(1), &[]),
            (Do::Pass(BEAT_MS), &["beat []"]),
            (Do::Exit(1, 0), &["drop 1"]),
        ],
    );
    check(
        "another store",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (Do::Activate(2), &["run 2"]),
            (Do::Exit(2, 0), &["spool 2 exit 0", "finished 2 exit 0"]),
            (Do::Connect, &["hello [1,2]", "finished 2 exit 0"]),
            (Do::Welcome(POOL + 1), &["kill 1 9 0", "drop 2"]),
            (Do::Activate(3), &[]),
        ],
    );
    check(
        "stop",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (Do::Spawned(1), &["started 1"]),
            (Do::Stop, &["kill 1 15 700"]),
            (
                Do::Activate(2),
                &["finished 2 worker fault: the worker is stopping"],
            ),
            (Do::Exit(1, 143), &["spool 1 vacated", "finished 1 vacated"]),
        ],
    );
}

#[test]
fn who_is_in_a_hurry_waits_less() {
    check(
        "the grace of a vacate wins over the order's",
        &[
            (Do::Connect, &["hello []"]),
            (Do::Welcome(POOL), &[]),
            (Do::Activate(1), &["run 1"]),
            (Do::Spawned(1), &["started 1"]),
            (Do::Preempt(1, 9_000), &["kill 1 15 9000"]),
            (Do::Preempt(1, 9_000), &[]),
            (Do::Preempt(1, 10_000), &[]),
            (Do::Preempt(1, 0), &["kill 1 15 0"]),
            (Do::Vacate(1), &[]),
        ],
    );
}

#[test]
fn claims_wait_behind_others() {
    let open = [
        (Do::Connect, &["hello []"] as &[&str]),
        (Do::Welcome(POOL), &[]),
        (Do::Activate(1), &["run 1"]),
        (Do::Spawned(1), &["started 1"]),
        (Do::Ahead(2, 1), &[]),
        (Do::Ahead(3, 2), &[]),
    ];
    let then = |name: &str, rest: &[(Do, &[&str])]| {
        let mut script = open.to_vec();
        script.extend(rest.iter().cloned());
        check(name, &script);
    };
    then(
        "one after the other, each once",
        &[
            (Do::Ahead(2, 1), &[]),
            (Do::Pass(BEAT_MS), &["beat [1,2,3]"]),
            (Do::Over(1), &["run 2"]),
            (Do::Over(1), &[]),
            (Do::Spawned(2), &["started 2"]),
            (Do::Exit(1, 0), &["spool 1 exit 0", "finished 1 exit 0"]),
            (Do::Exit(1, 0), &[]),
            (
                Do::Exit(2, 0),
                &["run 3", "spool 2 exit 0", "finished 2 exit 0"],
            ),
            // Who is over, or was never known, is waited for by nobody.
            (Do::Ahead(4, 1), &["run 4"]),
            (Do::Ahead(5, 2), &["run 5"]),
            (Do::Ahead(6, 99), &["run 6"]),
            (Do::Ahead(7, 7), &["run 7"]),
        ],
    );
    then(
        "the claim in front does not start",
        &[
            (Do::Activate(5), &["run 5"]),
            (Do::Ahead(6, 5), &[]),
            (
                Do::SpawnFailed(5),
                &[
                    "run 6",
                    "spool 5 job fault: no such program",
                    "finished 5 job fault: no such program",
                ],
            ),
        ],
    );
    then(
        "called back, before and after",
        &[
            (Do::CallBack(2), &["finished 2 vacated"]),
            (Do::Ahead(2, 1), &[]),
            // Who was behind it waits on for the same resources.
            (Do::Over(1), &["run 3"]),
            (Do::Exit(1, 0), &["spool 1 exit 0", "finished 1 exit 0"]),
            (Do::CallBack(2), &["finished 2 vacated"]),
            (Do::Spawned(3), &["started 3"]),
            (Do::CallBack(3), &["started 3"]),
            (Do::Exit(3, 0), &["spool 3 exit 0", "finished 3 exit 0"]),
            (Do::CallBack(3), &["finished 3 exit 0"]),
        ],
    );
    then(
        "called back while it is staged",
        &[
            (Do::Over(1), &["run 2"]),
            (Do::CallBack(2), &["kill 2 15 700"]),
            (
                Do::Exit(2, 0),
                &["run 3", "spool 2 vacated", "finished 2 vacated"],
            ),
        ],
    );
    then(
        "the claim in front is taken back",
        &[
            (Do::Vacate(1), &["kill 1 15 700"]),
            (Do::Forget(2), &[]),
            (Do::Pass(BEAT_MS), &["beat [1,3]"]),
            (
                Do::Exit(1, 143),
                &["run 3", "spool 1 vacated", "finished 1 vacated"],
            ),
            (Do::Ahead(2, 1), &[]),
        ],
    );
    then(
        "the claim in front is forgotten",
        &[
            (Do::Forget(1), &["kill 1 9 0"]),
            (Do::Pass(BEAT_MS), &["beat [2,3]"]),
            (Do::Exit(1, 9), &["run 2", "drop 1"]),
        ],
    );
    then(
        "two behind one stand in line",
        &[
            (Do::Ahead(4, 1), &[]),
            (Do::Over(1), &["run 2"]),
            (
                Do::Exit(2, 0),
                &["run 3", "spool 2 exit 0", "finished 2 exit 0"],
            ),
            (
                Do::Exit(3, 0),
                &["run 4", "spool 3 exit 0", "finished 3 exit 0"],
            ),
        ],
    );
    then(
        "without a session they start all the same",
        &[
            (Do::Disconnect, &[]),
            (Do::Over(1), &["run 2"]),
            (Do::Spawned(2), &[]),
            (Do::Exit(1, 0), &["spool 1 exit 0"]),
            (
                Do::Connect,
                &["hello [1,2,3]", "started 2", "finished 1 exit 0"],
            ),
        ],
    );
    then(
        "another store",
        &[
            (Do::Connect, &["hello [1,2,3]", "started 1"]),
            (Do::Welcome(POOL + 1), &["kill 1 9 0"]),
            (Do::Exit(1, 0), &["drop 1"]),
        ],
    );
    then(
        "stop",
        &[
            (
                Do::Stop,
                &["finished 2 vacated", "finished 3 vacated", "kill 1 15 700"],
            ),
            (Do::Exit(1, 143), &["spool 1 vacated", "finished 1 vacated"]),
        ],
    );
}

#[test]
fn a_hello_names_what_is_cached() {
    let mut world = World::new();
    let digests: Vec<Digest> = (0..=CACHED_MAX)
        .map(|n| Digest([(n % 251) as u8; 32]))
        .collect();
    world.core.caches(digests.clone());
    let effects = world.apply(Do::Connect);
    let [Effect::Send(ToManager::Hello { cached, .. })] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(*cached, digests[..CACHED_MAX]);
}

#[test]
fn tail_is_passed_on() {
    check(
        "tail",
        &[(Do::Connect, &["hello []"]), (Do::Tail(1), &["tail 5 1 9"])],
    );
}

#[test]
fn the_backlog_of_progress_is_bounded() {
    let mut world = World::new();
    for input in [
        Do::Connect,
        Do::Welcome(POOL),
        Do::Activate(1),
        Do::Spawned(1),
        Do::Disconnect,
    ] {
        world.apply(input);
    }
    for _ in 0..PROGRESS_BACKLOG_LINES_MAX {
        world.apply(Do::Progress(1, "old"));
    }
    world.apply(Do::Progress(1, "new"));
    world.apply(Do::Connect);
    let effects = world.apply(Do::Welcome(POOL));
    let [Effect::Send(ToManager::Progress { lines, .. })] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(lines.len(), PROGRESS_BACKLOG_LINES_MAX);
    assert_eq!(lines.last().unwrap(), "new");
}
