//! Stores that are closed and opened again, with bounds so small that everything moves.

use manager_core::{RecordKey, RowKind};
use proto::nouns::JobId;
use rand::{Rng, RngExt, SeedableRng};

use super::*;

const SMALL: Bounds = Bounds {
    log_bytes: 2_000,
    log_turns: 20,
    rows: 100,
};

/// Opens a store; sled's threads let go of one that was closed a moment later.
fn open(dir: &Path, bounds: Bounds) -> Result<(Store, u32, Records), StoreError> {
    loop {
        match Store::open(dir, bounds) {
            Err(StoreError::Locked) => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn database(dir: &Path) -> sled::Db {
    loop {
        match open_database(dir) {
            Err(StoreError::Locked) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn row(text: &str) -> Row {
    Row {
        at_ms: 5,
        kind: RowKind::Started,
        top: 1,
        job: None,
        node: Some("n".to_owned()),
        trial: None,
        text: text.to_owned(),
        value: Some(0.25),
    }
}

/// Keys of every kind of owner, many of which share their pages.
fn some_key(rng: &mut impl Rng) -> RecordKey {
    let top = rng.random_range(1..4);
    let number = rng.random_range(0..200);
    match rng.random_range(0..6) {
        0 => RecordKey::Meta,
        1 => RecordKey::Node { top, node: number },
        2 => RecordKey::Cluster {
            top,
            cluster: number,
        },
        3 => RecordKey::File {
            top,
            path: format!("f{number}"),
        },
        4 => RecordKey::Dag { top },
        _ => RecordKey::Proc {
            top,
            job: JobId {
                cluster: top,
                proc: number,
            },
        },
    }
}

fn some_value(rng: &mut impl Rng) -> Option<Vec<u8>> {
    let bytes = match rng.random_range(0..40) {
        0..10 => return None,
        // More than a chunk.
        39 => rng.random_range(60_000..130_000),
        _ => rng.random_range(0..80),
    };
    Some((0..bytes).map(|_| rng.random()).collect())
}

#[test]
fn what_was_written_is_there_again() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        let mut model = Records::new();
        let mut said = 0;
        for _ in 0..4 {
            let (mut store, _, records) = open(dir.path(), SMALL).unwrap();
            assert!(records == model, "seed {seed}: the records differ");
            for _ in 0..40 {
                let count = rng.random_range(0..30);
                let changes: Changes = (0..count)
                    .map(|_| (some_key(&mut rng), some_value(&mut rng)))
                    .collect();
                for (key, value) in &changes {
                    match value {
                        Some(value) => model.insert(key.to_bytes(), value.clone()),
                        None => model.remove(&key.to_bytes()),
                    };
                }
                let rows = (0..rng.random_range(0..5)).map(|_| {
                    said += 1;
                    row(&said.to_string())
                });
                let rows = rows.collect();
                store.write(changes, rows).unwrap();
                store.sync().unwrap();
            }
            assert!(store.pending.turns() <= SMALL.log_turns + RETIRED_MAX);
            let blobs = std::fs::read_dir(dir.path().join("blobs")).unwrap();
            assert_eq!(
                blobs.count(),
                0,
                "sled put something where it syncs nothing"
            );
            let rows = store.journal().rows(0, 1_000).unwrap();
            let numbers: Vec<u64> = rows.iter().map(|row| row.text.parse().unwrap()).collect();
            assert!(rows.len() as u64 >= said.min(100) && rows.len() < 110);
            assert!(
                numbers
                    .iter()
                    .copied()
                    .eq(said - rows.len() as u64 + 1..=said)
            );
            assert!(rows.iter().all(|row| row.sequence.to_string() == row.text));
        }
    }
}

#[test]
fn rows_are_read_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _, _) = open(dir.path(), BOUNDS).unwrap();
    let long = "x".repeat(3_000);
    for turn in 0..4 {
        // Some turns have more rows than a page.
        let rows = (0..turn * 20).map(|_| row(&long)).collect();
        store.write(Changes::new(), rows).unwrap();
    }
    let journal = store.journal();
    let numbers = |after, count| -> Vec<u64> {
        let rows = journal.rows(after, count).unwrap();
        rows.iter().map(|row| row.sequence).collect()
    };
    assert_eq!(numbers(0, 3), [1, 2, 3]);
    assert_eq!(numbers(19, 3), [20, 21, 22]);
    assert_eq!(numbers(59, 200), (60..=120).collect::<Vec<_>>());
    assert_eq!(numbers(119, 9), [120]);
    assert_eq!(numbers(120, 9), [0_u64; 0]);
    assert_eq!(numbers(u64::MAX, 9), [0_u64; 0]);
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _, _) = open(dir.path(), SMALL).unwrap();
    for node in 0..100 {
        let changes = Changes::from([(RecordKey::Node { top: 1, node }, Some(vec![7; 60]))]);
        store.write(changes, vec![row("r")]).unwrap();
    }
    store.sync().unwrap();
    let keys: Vec<_> = store.db.iter().keys().map(|key| key.unwrap()).collect();
    drop(store);
    let mut kinds = std::collections::BTreeSet::new();
    for key in keys.iter().filter(|key| key.as_ref() != FORMAT_KEY) {
        let db = database(dir.path());
        let whole = db.get(key).unwrap().unwrap();
        let mut broken = whole.to_vec();
        *broken.last_mut().unwrap() ^= 1;
        db.insert(key, broken).unwrap();
        drop(db);
        let opened = open(dir.path(), SMALL).map(|(store, _, _)| store);
        let opened = opened.and_then(|store| store.journal().rows(0, 1_000).map(|_| ()));
        let error = opened.expect_err("a damaged store was opened").to_string();
        assert!(error.contains("checksum"), "{error}");
        assert!(error.contains(&key.escape_ascii().to_string()), "{error}");
        let db = database(dir.path());
        db.insert(key, whole).unwrap();
        kinds.insert(key[0]);
    }
    assert_eq!(kinds, [PAGE, TURN, ROW].into());
    // A turn that is gone is missed.
    let db = database(dir.path());
    let turns: Vec<_> = db
        .scan_prefix([TURN])
        .keys()
        .map(|key| key.unwrap())
        .collect();
    db.remove(&turns[3]).unwrap();
    drop(db);
    let opened = open(dir.path(), SMALL).map(|_| ());
    let error = opened
        .expect_err("a store that lacks a turn was opened")
        .to_string();
    assert!(error.contains("missing"), "{error}");
}
