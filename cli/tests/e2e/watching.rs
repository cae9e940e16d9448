//! The stream of what happens: a snapshot, a marker, then changes; taken up again without a gap,
//! and nothing twice.

use std::process::Stdio;

use serde_json::Value;

use crate::home::{Lines, Process, until};
use crate::pool::Pool;

const IDLE: &str = "executable = /bin/true\ntransfer_executable = false\n";

fn start(pool: &Pool, args: &[&str]) -> (Process, Lines) {
    let mut command = pool.command(args);
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let lines = process.printed();
    (process, lines)
}

fn next(lines: &Lines) -> Value {
    serde_json::from_str(&lines.next().unwrap()).unwrap()
}

/// All events from `after` on, until nothing named goes on.
fn events(pool: &Pool, id: &str, after: u64) -> Vec<Value> {
    let after = after.to_string();
    let ran = pool
        .updraft(&["watch", id, "--after", &after, "-o", "json"])
        .expect(0);
    let lines = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["type"] == "event")
        .collect()
}

#[test]
fn a_watch_begins_with_what_stands_and_goes_on_where_it_was() {
    let mut pool = Pool::start();
    let id = pool.submit_text("two.sub", &format!("{IDLE}queue 2\n"));
    let (watch, lines) = start(&pool, &["watch", &id, "-o", "json"]);
    let batch = next(&lines);
    assert_eq!(
        (&batch["type"], &batch["idle"]),
        (&"batch".into(), &2.into()),
        "{batch:#}"
    );
    let marker = next(&lines);
    assert_eq!(marker["type"], "marker", "{marker:#}");
    let begin = marker["sequence"].as_u64().unwrap();
    pool.updraft(&["hold", &format!("{id}.0"), "--reason", "tea"])
        .expect(0);
    let held = next(&lines);
    assert_eq!(
        (&held["kind"], &held["job"]),
        (&"held".into(), &format!("{id}.0").as_str().into())
    );
    assert!(held["text"].as_str().unwrap().contains("tea"), "{held:#}");
    let seen = held["sequence"].as_u64().unwrap();
    assert!(seen > begin);
    // Whoever went away in between, with the manager, misses nothing and is told nothing twice.
    watch.kill();
    pool.updraft(&["release", &id]).expect(0);
    pool.kill_manager();
    pool.start_manager();
    pool.add_worker("w", &[]);
    pool.wait(&id);
    let later = events(&pool, &id, seen);
    let of = |kind: &str| later.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!(
        (of("held"), of("released"), of("ended")),
        (0, 1, 2),
        "{later:#?}"
    );
    let all = events(&pool, &id, 0);
    let numbers: Vec<u64> = all
        .iter()
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "{numbers:?}"
    );
    let behind: Vec<&Value> = all
        .iter()
        .filter(|event| event["sequence"].as_u64() > Some(seen))
        .collect();
    assert_eq!(behind, later.iter().collect::<Vec<_>>());

    let ran = pool.updraft(&["watch", "--after", "999999"]).expect(2);
    ran.complains(&["no event 999999 yet"]);
    pool.updraft(&["watch", "99"]).expect(4).complains(&["99"]);
}

#[test]
fn a_watch_outlives_a_restart_of_the_manager() {
    let mut pool = Pool::start();
    let id = pool.submit_text("one.sub", &format!("{IDLE}queue\n"));
    let (watch, lines) = start(&pool, &["watch", &id]);
    assert!(lines.next().unwrap().contains("0/1 done, 1 idle"));
    assert!(lines.next().unwrap().starts_with("--- after event "));
    pool.kill_manager();
    pool.start_manager();
    pool.updraft(&["hold", &id]).expect(0);
    assert!(lines.next().unwrap().contains("is held"));
    pool.updraft(&["rm", &id]).expect(0);
    assert!(lines.next().unwrap().contains("is removed"));
    // All that it was asked for has ended.
    assert_eq!(lines.next(), None);
    assert_eq!(watch.ended().code, Some(0));
}

#[test]
fn the_queue_is_shown_as_it_changes() {
    let mut pool = Pool::start();
    let id = pool.submit_text("three.sub", &format!("{IDLE}queue 3\n"));
    let (watch, lines) = start(&pool, &["q", &id, "--watch"]);
    assert!(lines.next().unwrap().contains("0/3 done, 3 idle"));
    pool.updraft(&["hold", &format!("{id}.1")]).expect(0);
    assert!(lines.next().unwrap().contains("0/3 done, 2 idle, 1 held"));
    pool.add_worker("w", &[]);
    pool.wait(&format!("{id}.0"));
    pool.wait(&format!("{id}.2"));
    pool.updraft(&["release", &id]).expect(0);
    pool.wait(&id);
    let mut last = String::new();
    while let Some(line) = lines.next() {
        last = line;
    }
    assert!(last.contains("it has left the queue"), "{last}");
    assert_eq!(watch.ended().code, Some(0));
}

#[test]
fn who_waits_is_told_of_what_is_held_and_what_each_came_to() {
    let mut pool = Pool::start();
    let first = pool.submit_text("one.sub", &format!("{IDLE}queue\n"));
    let text = "executable = /bin/false\ntransfer_executable = false\nhold = true\nqueue 2\n";
    let second = pool.submit_text("bad.sub", text);
    let mut command = pool.command(&["wait", "--all"]);
    let (out, err) = (pool.home.path("out"), pool.home.path("err"));
    command.stdout(std::fs::File::create(out).unwrap());
    command.stderr(std::fs::File::create(err).unwrap());
    let wait = Process::start(&mut command);
    let notice =
        |id: &str| format!("{id} is held: the submit description says hold; waiting goes on");
    until("the notices", || pool.home.lines("err").len() == 2);
    assert_eq!(
        pool.home.lines("err"),
        [
            notice(&format!("{second}.0")),
            notice(&format!("{second}.1"))
        ]
    );
    // A held job is said once, whatever happens to it.
    pool.updraft(&["release", &second]).expect(0);
    pool.updraft(&["hold", &second]).expect(0);
    pool.updraft(&["release", &second]).expect(0);
    pool.kill_manager();
    pool.start_manager();
    pool.add_worker("w", &[]);
    let ran = wait.ended();
    assert_eq!(ran.code, Some(1));
    assert_eq!(pool.home.read("out"), format!("{first}: exit code 0\n"));
    let said = pool.home.lines("err");
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(
        said[2].contains("exited with code 1; 2 of 2 jobs did not succeed"),
        "{said:#?}"
    );
    // Nothing is left to wait for.
    assert_eq!(pool.updraft(&["wait", "--all"]).expect(0).out, "");
}
