//! SCRIPT, PRE_SKIP, ENV: what scripts are told, when they run, and what their ends mean.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ended, finish, node, program, said, start, start_idle, states, until_said};
use crate::home::until;

#[test]
fn macros_stand_for_the_run_the_node_and_its_jobs() {
    let pool = start(&[]);
    let run = finish(
        &pool,
        "x",
        "JOB bad job.sub
         JOB futile job.sub
         JOB last job.sub
         JOB many job.sub
         PARENT bad CHILD futile
         WEAK PARENT bad CHILD last
         PARENT last CHILD many
         RETRY bad 1
         VARS bad do=\"exit 5\"
         VARS many jobs=3 do=\"exit $(Process)\"
         TOLERANCE many 2 WAIT
         SCRIPT PRE bad say 0 pre $JOB $Retry $MAX_RETRIES $DAG_STATUS x$JOB $RETURN $JOBID $what
         SCRIPT POST bad say 7 post $NODE $RETRY $JOB_COUNT $JOB_ABORT_COUNT $RETURN $SUCCESS \
             $EXIT_CODES $EXIT_CODE_LIST $EXIT_CODE_COUNTS $PRE_SCRIPT_RETURN
         SCRIPT PRE last say 0 pre $NODE $RETRY $MAX_RETRIES $DAG_STATUS $FAILED_COUNT \
             $FUTILE_COUNT $DONE_COUNT $NODE_COUNT $QUEUED_COUNT $DAGID
         SCRIPT POST last say 0 post $job $JOBID $CLUSTERID
         SCRIPT POST many say 0 post $JOB $JOBID $JOB_COUNT $EXIT_CODES $EXIT_CODE_COUNTS \
             $EXIT_CODE_LIST $PRE_SCRIPT_RETURN $DONE_COUNT\n",
    );
    assert_eq!(
        states(&run),
        "bad Failed, futile Futile, last Done, many Done"
    );
    let id = &run["id"];
    let cluster = |name: &str| node(&run, name)["cluster"].clone();
    let (last, many) = (cluster("last"), cluster("many"));
    let lines = [
        "pre bad 0 1 0 x$JOB $RETURN $JOBID $what",
        "post bad 0 1 0 5 False 5 5 5:1 0",
        "pre bad 1 1 0 x$JOB $RETURN $JOBID $what",
        "post bad 1 1 0 5 False 5 5 5:1 0",
        &format!("pre last 0 0 2 1 1 0 4 0 {id}"),
        &format!("post last {last}.0 {last}"),
        &format!("post many {many}.2 3 0,1,2 0:1,1:1,2:1 0,1,2 -1 1"),
    ];
    assert_eq!(pool.home.lines("log"), lines);
}

#[test]
fn what_a_job_returned_has_dagmans_numbers() {
    let mut pool = start_idle(&[
        ("post.cfg", "DAGMAN_ALWAYS_RUN_POST = true\n"),
        (
            "lost.sub",
            "executable = /bin/true\ntransfer_executable = false\n\
             transfer_input_files = nowhere\nqueue\n",
        ),
    ]);
    let id = pool.submit_text(
        "x.dag",
        "CONFIG post.cfg
         JOB killed job.sub
         VARS killed do=\"kill -9 $$\"
         JOB removed job.sub
         VARS removed do=\"sleep 600\"
         JOB lost lost.sub
         SCRIPT PRE lost /bin/true
         JOB unready job.sub
         SCRIPT PRE unready say 3 pre
         JOB mixed job.sub
         VARS mixed jobs=3 do=\"[ $(Process) = 2 ] || sleep 600; exit 4\"
         SCRIPT POST ALL_NODES say 0 $JOB $RETURN $SUCCESS $PRE_SCRIPT_RETURN $JOB_ABORT_COUNT \
             $EXIT_CODE_COUNTS\n",
    );
    pool.add_worker("w", &[]);
    until("jobs", || {
        !pool.json(&["q", &id])["jobs"]
            .as_array()
            .unwrap()
            .is_empty()
    });
    let jobs = pool.json(&["q", &id])["jobs"].clone();
    let job = jobs
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["node"] == "removed");
    pool.updraft(&["rm", job.unwrap()["id"].as_str().unwrap()])
        .expect(0);
    let run = ended(&pool, &id);
    // What is last decides.
    assert_eq!(
        states(&run),
        "killed Done, removed Done, lost Done, unready Done, mixed Done"
    );
    let mut lines = pool.home.lines("log");
    lines.sort();
    let expected = [
        "killed -9 False -1 0 -9:1",
        "lost -1001 False 0 0",
        "mixed 4 False -1 2 4:1",
        "pre",
        "removed -1002 False -1 1",
        "unready -1004 False 3 0",
    ];
    assert_eq!(
        lines.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn the_part_that_ran_last_decides() {
    let pool = start(&[]);
    let run = finish(
        &pool,
        "x",
        "JOB saved job.sub
         JOB spoilt job.sub
         JOB unready job.sub
         JOB next job.sub
         PARENT unready CHILD next
         VARS saved do=\"exit 1\"
         VARS unready do=\"echo job unready >> HOME/log\"
         SCRIPT POST saved say 0 post saved
         SCRIPT POST spoilt say 2 post spoilt
         SCRIPT PRE unready say 3 pre unready
         SCRIPT POST unready say 0 post unready\n",
    );
    let told = "saved Done, spoilt Failed, unready Failed, next Futile";
    assert_eq!(states(&run), told);
    assert_eq!(
        (&run["status"], &run["exit"]),
        (&"Failed".into(), &1.into())
    );
    let reason = |name: &str| node(&run, name)["reason"].as_str().unwrap().to_owned();
    assert_eq!(reason("spoilt"), "its POST script exited with code 2");
    assert_eq!(reason("unready"), "its PRE script exited with code 3");
    let mut lines = pool.home.lines("log");
    lines.sort();
    assert_eq!(lines, ["post saved", "post spoilt", "pre unready"]);
}

#[test]
fn a_pre_script_makes_what_its_job_reads() {
    let pool = start(&[
        (
            "read.sub",
            "executable = /bin/sh
             transfer_executable = false
             transfer_input_files = made
             arguments = \"-c 'cat made; exit $(left)'\"
             output = out.$(RETRY)
             queue\n",
        ),
        ("sub/read.sub", "include : ../read.sub\n"),
    ]);
    program(
        &pool.home,
        "make",
        "#!/bin/sh\necho \"attempt $1\" > made\necho made >> HOME/log\n",
    );
    // Made at all, and made anew for each attempt.
    let run = finish(
        &pool,
        "x",
        "JOB a read.sub DIR sub
         VARS a left=\"$INT(again)\" again=\"1-$(RETRY)\"
         RETRY a 3
         SCRIPT PRE a ../make $RETRY\n",
    );
    assert_eq!(states(&run), "a Done", "{run:#}");
    assert_eq!(node(&run, "a")["attempts"], 2, "{run:#}");
    assert_eq!(pool.home.read("sub/out.0"), "attempt 0\n");
    assert_eq!(pool.home.read("sub/out.1"), "attempt 1\n");
    assert_eq!(pool.home.lines("log"), ["made", "made"]);
}

#[test]
fn a_deferred_script_runs_again_and_lets_others_run() {
    let pool = start(&[("one.cfg", "DAGMAN_MAX_PRE_SCRIPTS = 1\n")]);
    program(
        &pool.home,
        "later",
        "#!/bin/sh
         date +%s%N >> HOME/times
         echo later >> HOME/log
         [ -e HOME/ready ] || exit 4\n",
    );
    let id = pool.submit_text(
        "x.dag",
        "CONFIG one.cfg
         JOB a job.sub
         JOB b job.sub
         SCRIPT DEFER 4 1 PRE a later
         SCRIPT PRE b say 0 pre b $RETRY\n",
    );
    // Its turn comes while the first waits, which no retry counts.
    until_said(&pool, "pre b 0");
    until("the wait", || {
        let run = pool.json(&["dag", "status", &id]);
        node(&run, "a")["waits"] == "its PRE script is deferred"
    });
    until("a second time", || said(&pool, "later") >= 2);
    pool.home.write("ready", "");
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "a Done, b Done");
    assert_eq!(node(&run, "a")["attempts"], 1);
    let times: Vec<u64> = pool
        .home
        .lines("times")
        .iter()
        .map(|time| time.parse().unwrap())
        .collect();
    assert!(
        times.len() >= 3 && times[1] - times[0] >= 1_000_000_000,
        "{times:?}"
    );
}

#[test]
fn what_scripts_say_goes_where_debug_says() {
    let pool = start(&[]);
    program(
        &pool.home,
        "talk",
        "#!/bin/sh\necho out $1\necho err $1 >&2\n",
    );
    let run = finish(
        &pool,
        "x",
        "JOB a job.sub
         SCRIPT DEBUG a.out STDOUT PRE a talk pre
         SCRIPT DEBUG a.err STDERR POST a talk post
         JOB b job.sub
         SCRIPT DEFER 9 1 DEBUG b.all ALL PRE b talk pre\n",
    );
    assert_eq!(states(&run), "a Done, b Done");
    let of_scripts = |name: &str| {
        let mut lines = pool.home.lines(name);
        lines.retain(|line| !line.starts_with("***"));
        lines
    };
    assert_eq!(of_scripts("a.out"), ["out pre"]);
    assert_eq!(of_scripts("a.err"), ["err post"]);
    assert_eq!(of_scripts("b.all"), ["out pre", "err pre"]);
}

#[test]
fn a_script_that_cannot_run_fails_its_node() {
    let pool = start(&[("plain", "#!/bin/sh\n")]);
    program(&pool.home, "deadly", "#!/bin/sh\nkill -9 $$\n");
    let run = finish(
        &pool,
        "x",
        "JOB absent job.sub
         SCRIPT PRE absent nowhere
         WEAK PARENT killed CHILD absent
         JOB plain job.sub
         SCRIPT PRE plain plain
         JOB killed job.sub
         SCRIPT POST killed deadly
         JOB skipped job.sub
         SCRIPT PRE skipped deadly
         PRE_SKIP skipped 137\n",
    );
    let reason = |name: &str| node(&run, name)["reason"].as_str().unwrap().to_owned();
    for (name, parts) in [
        (
            "absent",
            [
                "its PRE script could not be started",
                "no program `nowhere`",
            ],
        ),
        (
            "plain",
            ["its PRE script could not be started", "chmod +x plain"],
        ),
        ("killed", ["its POST script was killed", "signal 9"]),
        ("skipped", ["its PRE script was killed", "signal 9"]),
    ] {
        for part in parts {
            assert!(reason(name).contains(part), "{name}: {}", reason(name));
        }
    }
}

#[test]
fn pre_skip_skips_the_rest() {
    let pool = start(&[("post.cfg", "DAGMAN_ALWAYS_RUN_POST = true\n")]);
    let run = finish(
        &pool,
        "x",
        "CONFIG post.cfg
         JOB a job.sub
         JOB b job.sub
         JOB c job.sub
         PARENT a CHILD b
         VARS ALL_NODES do=\"echo job $(JOB) >> HOME/log\"
         SCRIPT PRE a say 4 pre a
         SCRIPT PRE b say 0 pre b
         SCRIPT PRE c say 5 pre c
         SCRIPT POST a say 1 post a
         PRE_SKIP ALL_NODES 4
         ABORT-DAG-ON a 4\n",
    );
    assert_eq!(states(&run), "a Done, b Done, c Failed", "{run:#}");
    assert_eq!(run["cut"], serde_json::Value::Null);
    let mut lines = pool.home.lines("log");
    lines.sort();
    assert_eq!(lines, ["job b", "pre a", "pre b", "pre c"]);
}

#[test]
fn hold_scripts_run_when_a_job_is_held() {
    let pool = start(&[
        (
            "held.sub",
            "executable = /bin/true\ntransfer_executable = false\nhold = true\nqueue $(jobs:1)\n",
        ),
        (
            "two.cfg",
            "DAGMAN_MAX_JOB_HOLDS = 2\nDAGMAN_MAX_HOLD_SCRIPTS = 1\n",
        ),
    ]);
    let id = pool.submit_text(
        "x.dag",
        "CONFIG two.cfg
         JOB a held.sub
         JOB b held.sub
         JOB c held.sub
         VARS c jobs=2
         SCRIPT HOLD a say 1 held $JOB $JOB_COUNT
         SCRIPT HOLD b say 0 held $JOB $JOB_COUNT\n",
    );
    // One after the other; what they return is nobody's business.
    until_said(&pool, "held a 1");
    until_said(&pool, "held b 1");
    pool.updraft(&["release", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(states(&run), "a Done, b Done, c Failed");
    let reason = node(&run, "c")["reason"].as_str().unwrap();
    assert!(reason.contains("DAGMAN_MAX_JOB_HOLDS"), "{reason}");
}

#[test]
fn env_is_what_scripts_find() {
    let pool = start(&[]);
    program(
        &pool.home,
        "env",
        "#!/bin/sh\necho $A:$B:$C:$PWD:$UPDRAFT_NODE:$UPDRAFT_ATTEMPT >> HOME/log\n",
    );
    pool.home.write(
        "x.dag",
        "ENV SET A=one;B=two words
         ENV GET B C NOTSET
         JOB a job.sub DIR sub
         SCRIPT PRE a ../env\n",
    );
    pool.home.write("sub/job.sub", super::JOB);
    let mut command = pool.command(&["submit", "--wait", "--quiet", "x.dag"]);
    command.env("B", "given").env("C", "from outside");
    crate::home::run(&mut command).expect(0);
    let here = pool.home.path("sub");
    let line = format!("one:two words:from outside:{}:a:1", here.display());
    assert_eq!(pool.home.lines("log"), [line]);
}

#[test]
fn scripts_end_with_the_run() {
    let pool = start(&[]);
    program(
        &pool.home,
        "stay",
        "#!/bin/sh\necho $$ >> HOME/pids\nexec sleep 600\n",
    );
    let text = "JOB a job.sub\nSCRIPT PRE a stay\nJOB b job.sub\nSCRIPT POST b stay\n";
    let id = pool.submit_text("x.dag", text);
    until("scripts", || pool.home.lines("pids").len() == 2);
    pool.updraft(&["rm", &id]).expect(0);
    let run = ended(&pool, &id);
    assert_eq!(
        (&run["status"], &run["exit"]),
        (&"Removed".into(), &2.into())
    );
    for pid in pool.home.lines("pids") {
        let pid = Pid::from_raw(pid.parse().unwrap());
        until("end of a script", || kill(pid, None::<Signal>).is_err());
    }
}
