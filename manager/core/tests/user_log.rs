//! The user's event log: the reader against what HTCondor's reader makes of a text
//! (`vectors/job_events.jsonl`), and the writer against the reader, event by event.

#![allow(clippy::unwrap_used)]

#[path = "user_log/written.rs"]
mod written;

use classad::ClassAd;
use manager_core::user_log::{Reader, Record, Step};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/job_events.jsonl");
/// Rows in which this reader knows better, each with why.
const DIFFERENCES: [(&str, &str); 0] = [];

/// What a reader that stops where HTCondor's does takes from a text.
fn read(text: &[u8]) -> (Vec<Record>, usize, Step) {
    let mut reader = Reader::new(text, 2024);
    let mut records = Vec::new();
    loop {
        match reader.step() {
            Step::Event(record) => records.push(*record),
            end => return (records, reader.consumed(), end),
        }
    }
}

#[test]
fn texts_are_understood_as_the_reference_does() {
    let mut wrong = Vec::new();
    for line in VECTORS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (found, expected) = (answer(row["log"].as_str().unwrap()), expectation(&row));
        let known = DIFFERENCES.iter().any(|(id, _)| row["id"] == *id);
        if (found == expected) == known {
            wrong.push(format!("{}\n  {found}\n  {expected}", row["id"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn answer(log: &str) -> Value {
    let (records, consumed, end) = read(log.as_bytes());
    let events: Vec<Value> = records
        .iter()
        .map(|record| {
            json!({
                "type": record.number,
                "name": record.name(),
                "cluster": record.cluster,
                "proc": record.proc,
                "timestamp": record.at.time.unix_s(0),
                "attrs": record.attrs.to_json(),
            })
        })
        .collect();
    json!({
        "events": events,
        "consumed": consumed,
        "broken": matches!(end, Step::Broken(_)),
    })
}

fn expectation(row: &Value) -> Value {
    let mut events = row["expect"]["events"].clone();
    for event in events.as_array_mut().unwrap() {
        event.as_object_mut().unwrap().remove("text");
        for value in event["attrs"].as_object_mut().unwrap().values_mut() {
            if let Some(ad) = value["ad"].as_str() {
                *value = ClassAd::parse(ad).unwrap().to_json();
            }
        }
    }
    json!({
        "events": events,
        "consumed": row["expect"]["consumed"],
        "broken": row["expect"].get("error").is_some(),
    })
}

/// A log that is being written is read as far as its events are whole, whenever one looks, and what
/// was read once is not read again.
#[test]
fn a_log_cut_anywhere_gives_its_whole_events_and_then_the_rest() {
    for line in VECTORS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let log = row["log"].as_str().unwrap().as_bytes();
        let (all, _, end) = read(log);
        if row["expect"].get("error").is_some() || end != Step::Waiting || !log.ends_with(b"\n") {
            continue;
        }
        for cut in 0..log.len() {
            let mut reader = Reader::new(&log[..cut], 2024);
            let mut found = Vec::new();
            while let Step::Event(record) = reader.step() {
                found.push(*record);
            }
            let mut reader = Reader::resume(log, 2024, reader.consumed(), reader.line());
            loop {
                match reader.step() {
                    Step::Event(record) => found.push(*record),
                    // The line end of a last `...` that counted without one.
                    Step::Stray(_) => {}
                    Step::Waiting => break,
                    end => panic!("{}: cut at {cut}: {end:?}", row["id"]),
                }
            }
            assert_eq!(found, all, "{}: cut at {cut}", row["id"]);
        }
    }
}

#[test]
fn nothing_that_is_read_stops_the_reader() {
    let log = "009 (1.0.0) 2024-01-02 03:04:05 Job was aborted.\n\tone\n...\n\
               nonsense\n\
               009 (1.0.0) 2024-01-02 03:04:05 Job was\n...\n\
               \n\
               055 (1.0.0) 2024-01-02 03:04:05 Something new\n\tNews = 3\n\tmore of it\n...\n\
               009 (1.0.0) 2024-01-02 03:04:05 Job was aborted.\n\ttwo\n...\n\
               009 (1.0.0) 2024-01-02 03:04:05 Job was aborted.\n\tthr";
    let mut reader = Reader::new(log.as_bytes(), 2024);
    let mut seen = Vec::new();
    loop {
        seen.push(match reader.step() {
            Step::Event(record) => format!("{} {}", record.line, record.attrs.to_long()),
            Step::Broken(broken) => broken.to_string(),
            Step::Stray(line) => format!("{line} stray"),
            Step::Waiting => break,
            Step::Foreign => unreachable!(),
        });
    }
    assert_eq!(seen.len(), 6, "{seen:#?}");
    assert!(seen[0].starts_with("1 ") && seen[0].contains("\"one\""));
    assert_eq!(seen[1], "4 stray");
    assert_eq!(
        seen[2],
        "line 5: this is not what an event 009 (JOB_ABORTED) looks like"
    );
    assert_eq!(seen[3], "7 stray");
    assert!(seen[4].contains("EventHead = \"Something new\"") && seen[4].contains("News = 3"));
    assert!(seen[5].starts_with("12 ") && seen[5].contains("\"two\""));
    assert_eq!(reader.line(), 15);
}

#[test]
fn other_files_are_told_from_event_logs() {
    for text in [
        "<?xml version=\"1.0\"?>\n",
        "{\"a\": 1}\n",
        "# notes\n",
        "9 (1.0.0) x\n",
        "200 (1.0.0) x\n",
    ] {
        assert_eq!(Reader::new(text.as_bytes(), 2024).step(), Step::Foreign);
    }
    for text in ["", "\n \n", "009 (1.0", "000"] {
        assert_eq!(Reader::new(text.as_bytes(), 2024).step(), Step::Waiting);
    }
}

#[test]
fn times_are_read_in_every_form() {
    for (written, read, unix_s) in [
        ("2024-01-02 03:04:05", "2024-01-02T03:04:05", 1_704_164_645),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05", 1_704_164_645),
        (
            "2024-01-02 03:04:05.5",
            "2024-01-02T03:04:05.500",
            1_704_164_645,
        ),
        ("2024-01-02 24:00:00", "2024-01-03T00:00:00", 1_704_240_000),
        ("01/02 03:04:05", "2023-01-02T03:04:05", 1_672_628_645),
    ] {
        let log = format!("011 (1.0.0) {written} Job was unsuspended.\n...\n");
        let Step::Event(record) = Reader::new(log.as_bytes(), 2023).step() else {
            panic!("{written}");
        };
        assert_eq!(record.attrs.eval("EventTime").as_str(), Some(read));
        assert_eq!(record.at.time.unix_s(0), unix_s);
    }
}

/// No bytes make the reader stop, loop or go back.
#[test]
fn any_bytes_are_read_to_their_end() {
    let mut state = 1_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 40).unwrap()
    };
    let logs: Vec<String> = VECTORS
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| row["log"].as_str().unwrap().to_owned())
        .collect();
    for _ in 0..20_000 {
        let mut bytes = logs[next() % logs.len()].clone().into_bytes();
        if bytes.is_empty() {
            continue;
        }
        for _ in 0..=next() % 4 {
            let at = next() % bytes.len();
            match next() % 3 {
                0 => bytes[at] = u8::try_from(next() % 256).unwrap(),
                1 => bytes[at] = *b"\n\t .:(0-Z"[next() % 9..].first().unwrap(),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let mut reader = Reader::new(&bytes, 2024);
        let mut at = 0;
        while !matches!(reader.step(), Step::Waiting | Step::Foreign) {
            assert!(reader.consumed() > at);
            at = reader.consumed();
        }
    }
}
