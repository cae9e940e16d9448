//! Tables: what is read, what is refused and with which words, statistics, splits, synthesis.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use kernels::data::{
    CELL_BYTES_MAX, Cells, Column, DataError, Encoder, Feature, Format, Missing, Schema, Target,
    Task, Texts, split, synth,
};
use kernels::{Table, random::Stream};
use tempfile::TempDir;

/// A folder with one file in it.
struct Filed {
    dir: TempDir,
    path: PathBuf,
}

fn filed(name: &str, content: &[u8]) -> Filed {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    Filed { dir, path }
}

fn schema(target: &str) -> Schema {
    Schema {
        target: target.to_owned(),
        ..Schema::default()
    }
}

/// Loads and fits; the message, with the folder left out, and its causes joined.
fn message(content: &[u8], schema: &Schema) -> String {
    let file = filed("t.csv", content);
    let error = Table::load(&file.path)
        .and_then(|table| {
            let encoder = Encoder::fit(&table, schema)?;
            encoder.encode(&table)
        })
        .unwrap_err();
    error
        .to_string()
        .replace(&format!("{}/", file.dir.path().display()), "")
}

#[test]
fn wrong_files_are_refused_with_their_place() {
    let huge = format!("a,y\n{},1\n", "x".repeat(CELL_BYTES_MAX + 1));
    let typo = (0..40).map(|i| {
        if i == 16 {
            "12o,1\n".into()
        } else {
            format!("{i},{i}\n")
        }
    });
    let typo = format!("a,y\n{}", typo.collect::<String>());
    let rows: &[(&[u8], &str)] = &[
        (
            b"",
            "t.csv: the file is empty; expected a header row and at least one row of values",
        ),
        (
            b"a,y\n",
            "t.csv: there are no rows below the header; expected at least one",
        ),
        (
            b"a,a\n1,2\n",
            "t.csv:1:a: the name stands twice in the header; expected distinct names",
        ),
        (
            b"a,,y\n1,2,3\n",
            "t.csv:1: column 2 has no name; expected a header row of distinct names",
        ),
        (
            b"a,y\n1,2\n3\n",
            "t.csv:3: expected 2 fields as in the header, found 1",
        ),
        (
            b"a,y\n1,2\n3,4,5\n",
            "t.csv:3: expected 2 fields as in the header, found 3",
        ),
        (
            b"a,y\n1,2\n\"3\n4\",5\n\xff,6\n",
            "t.csv:5:a: expected UTF-8 text, found other bytes",
        ),
        (
            b"a,rating\n1,2\n",
            "t.csv: column `y` is not there; columns: a, rating",
        ),
        (
            b"a,Y\n1,2\n",
            "t.csv: column `y` is not there; did you mean `Y`?; columns: a, Y",
        ),
        (
            b"a,y\n1,2\nnan,4\n",
            "t.csv:3:a: expected a finite number, found `nan`",
        ),
        (
            b"a,y\n1,2\n-inf,4\n",
            "t.csv:3:a: expected a finite number, found `-inf`",
        ),
        (
            b"a,y\n1,2\n,4\n",
            "t.csv:3:a: the value is missing; fill it in, or set missing = \"mean\"",
        ),
        (
            b"a,y\n1,2\n2,\n",
            "t.csv:3:y: the target is missing; every row needs one",
        ),
        (
            b"y\n1\n2\n",
            "t.csv: there is no column to learn from besides the target `y`",
        ),
        (
            typo.as_bytes(),
            "t.csv:18:a: expected a number, found `12o` where nearly all other \
            values of the column are numbers; mend it, or declare the column categorical",
        ),
        (
            huge.as_bytes(),
            "t.csv: 4097 bytes in one cell are more than 4096 (CELL_BYTES_MAX)",
        ),
    ];
    for (content, expected) in rows {
        assert_eq!(message(content, &schema("y")), *expected);
    }
}

#[test]
fn wrong_targets_are_refused() {
    let rows: &[(&[u8], Task, &str)] = &[
        (
            b"a,y\n1,x\n2,2\n",
            Task::Regression,
            "t.csv:2:y: expected a number, found `x`",
        ),
        (
            b"a,y\n1,u\n2,v\n3,w\n",
            Task::Binary,
            "t.csv: target `y` has 3 classes in the training part; task binary expects exactly two",
        ),
        (
            b"a,y\n1,u\n2,u\n",
            Task::Multiclass,
            "t.csv: target `y` has 1 classes in the training \
            part; task multiclass expects 2 to 1024 (CLASSES_MAX)",
        ),
    ];
    for (content, task, expected) in rows {
        assert_eq!(
            message(
                content,
                &Schema {
                    task: *task,
                    ..schema("y")
                }
            ),
            *expected
        );
    }
    let ignored = Schema {
        ignore: vec!["y".into()],
        ..schema("y")
    };
    let expected = "t.csv: column `y` is the target; it cannot be ignored as well";
    assert_eq!(message(b"a,y\n1,2\n", &ignored), expected);
    let unknown = Schema {
        categorical: vec!["gnre".into()],
        ..schema("y")
    };
    let expected = "t.csv: column `gnre` is not there; did you mean `genre`?; columns: genre, y";
    assert_eq!(message(b"genre,y\n1,2\n", &unknown), expected);
}

#[test]
fn missing_and_foreign_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let absent = Table::load(&dir.path().join("absent.csv")).unwrap_err();
    assert!(matches!(absent, DataError::Read { .. }), "{absent}");
    let other = Table::load(&dir.path().join("table.xlsx")).unwrap_err();
    assert!(
        other
            .to_string()
            .ends_with("expected a file ending in .csv or .parquet"),
        "{other}"
    );
    for bytes in [&b""[..], b"PAR1", b"PAR1 this is no table PAR1", &[0; 100]] {
        let file = filed("t.parquet", bytes);
        assert!(Table::load(&file.path).is_err());
    }
}

#[test]
fn schema_and_statistics_come_from_the_training_part_alone() {
    let file = filed(
        "t.csv",
        b"\xef\xbb\xbfa,kind, constant,code,y\n1,red,5,7,0.5\n 2 ,\"blue\",5,8,1.5\n\
            3,,5,7,2.5\n6,red,5,9,3.5\n",
    );
    let table = Table::load(&file.path).unwrap();
    let schema = Schema {
        categorical: vec!["code".into()],
        ..schema("y")
    };
    let encoder = Encoder::fit(&table, &schema).unwrap();
    let levels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        encoder.features,
        [
            Feature::Numeric {
                name: "a".into(),
                mean: 3.0,
                sd: 3.5f64.sqrt()
            },
            Feature::Numeric {
                name: "constant".into(),
                mean: 5.0,
                sd: 1.0
            },
            Feature::Categorical {
                name: "kind".into(),
                levels: levels(&["blue", "red"])
            },
            Feature::Categorical {
                name: "code".into(),
                levels: levels(&["7", "8", "9"])
            },
        ]
    );
    let target = Target::Regression {
        name: "y".into(),
        mean: 2.0,
        sd: 1.25f64.sqrt(),
    };
    assert_eq!(encoder.target, target);
    let encoded = encoder.encode(&table).unwrap();
    assert_eq!(encoded.ids, [2, 1, 1, 2, 0, 1, 2, 3]);
    assert_eq!(encoded.numeric[2], (-1.0 / 3.5f64.sqrt()) as f32);
    assert_eq!(encoded.numeric[1], 0.0);

    // Another part: its own order of columns, an unseen category, a far outlier.
    let other = filed(
        "v.csv",
        b"y,code,extra,constant,a,kind\n1,11,x,6,1e9,green\n",
    );
    let encoded = encoder.encode(&Table::load(&other.path).unwrap()).unwrap();
    assert_eq!(
        (encoded.ids, encoded.numeric),
        (vec![0, 0], vec![10.0, 1.0])
    );
    for (content, expected) in [
        (
            "y,code,constant,a,kind\n1,7,5,x,red\n",
            "v.csv:2:a: expected a number, found `x`",
        ),
        (
            "y,code,constant,kind\n1,7,5,red\n",
            "v.csv: column `a` is not there",
        ),
    ] {
        let other = filed("v.csv", content.as_bytes());
        let error = encoder
            .encode(&Table::load(&other.path).unwrap())
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_blank_number_takes_the_training_mean_where_asked() {
    let file = filed("t.csv", b"a,b,y\n1,1,1\n,2,2\n3,3,3\n");
    let schema = Schema {
        missing: Missing::Mean,
        ..schema("y")
    };
    let table = Table::load(&file.path).unwrap();
    let encoder = Encoder::fit(&table, &schema).unwrap();
    assert_eq!(
        encoder.features[0],
        Feature::Numeric {
            name: "a".into(),
            mean: 2.0,
            sd: 1.0
        }
    );
    assert_eq!(
        encoder.encode(&table).unwrap().numeric,
        [-1.0, -1.2247449, 0.0, 0.0, 1.0, 1.2247449]
    );
}

#[test]
fn the_task_is_guessed_by_a_stated_rule() {
    for (values, expected) in [
        ("0 1 1", "binary"),
        ("yes no yes", "binary"),
        ("a b c", "multiclass"),
        ("1 2 3", "regression"),
        ("0 0.5 1", "regression"),
        ("0 0 0", "regression"),
    ] {
        let rows: String = values
            .split(' ')
            .map(|value| format!("1,{value}\n"))
            .collect();
        let file = filed("t.csv", format!("a,y\n{rows}").as_bytes());
        let encoder = Encoder::fit(&Table::load(&file.path).unwrap(), &schema("y")).unwrap();
        let found = match encoder.target {
            Target::Regression { .. } => "regression",
            Target::Binary { .. } => "binary",
            Target::Multiclass { .. } => "multiclass",
        };
        assert_eq!(found, expected, "{values}");
    }
    let file = filed("t.csv", b"a,y\n1,10\n1,9\n1,2\n");
    let schema = Schema {
        task: Task::Multiclass,
        ..schema("y")
    };
    let encoder = Encoder::fit(&Table::load(&file.path).unwrap(), &schema).unwrap();
    let Target::Multiclass { classes, .. } = encoder.target else {
        panic!()
    };
    assert_eq!(classes, ["2", "9", "10"]);
    let file = filed("v.csv", b"a,y\n1,11\n");
    let encoder = Encoder::fit(
        &Table::load(&filed("t.csv", b"a,y\n1,b\n1,c\n").path).unwrap(),
        &self::schema("y"),
    )
    .unwrap();
    let error = encoder
        .encode(&Table::load(&file.path).unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("v.csv:2:y: class `11` does not occur in the training part; classes: b, c"),
        "{error}"
    );
}

#[test]
fn both_formats_give_back_what_was_written() {
    let mut stream = Stream::named(1, "formats");
    let rows = 20_000;
    let numbers: Vec<f64> = (0..rows)
        .map(|row| {
            if row % 97 == 0 {
                f64::NAN
            } else {
                stream.normal() * 1e6
            }
        })
        .collect();
    let words = ["", "a,b", "say \"x\"", "line\nbreak", "ü", "plain"];
    let texts: Texts = (0..rows)
        .map(|_| words[stream.below(words.len())])
        .collect();
    let columns = vec![
        Column {
            name: "number".into(),
            cells: Cells::Numbers(numbers.clone()),
        },
        Column {
            name: "te,xt".into(),
            cells: Cells::Text(texts.clone()),
        },
    ];
    let table = Table::from_columns("memory", columns).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["t.csv", "sub/folder/t.parquet"] {
        let path = dir.path().join(name);
        table.write(&path).unwrap();
        let read = Table::load(&path).unwrap();
        assert_eq!(read.rows(), rows);
        assert_eq!(
            read.column("te,xt").unwrap().cells,
            Cells::Text(texts.clone()),
            "{name}"
        );
        let cells = &read.column("number").unwrap().cells;
        for (row, number) in numbers.iter().enumerate() {
            let expected = if number.is_nan() {
                String::new()
            } else {
                number.to_string()
            };
            assert_eq!(cells.text(row), expected, "{name} row {row}");
        }
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "a temporary file stayed: {left:?}");
}

#[test]
fn damaged_parquet_never_panics() {
    let made = synth("north", Some(300), 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    made.table.write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut stream = Stream::named(1, "damage");
    for case in 0..200 {
        let mut bytes = whole.clone();
        if case % 4 == 0 {
            bytes.truncate(stream.below(bytes.len()));
        } else {
            for _ in 0..4 {
                let at = stream.below(bytes.len());
                bytes[at] = stream.bits() as u8;
            }
        }
        fs::write(&path, &bytes).unwrap();
        // Damage may still give a table of other numbers; it may not end the process.
        let _ = Table::load(&path);
    }
}

#[test]
fn a_split_gives_each_row_to_one_part() {
    let rows = 1_797;
    let column = Column {
        name: "row".into(),
        cells: Cells::Numbers((0..rows).map(|row| row as f64).collect()),
    };
    let table = Table::from_columns("memory", vec![column]).unwrap();
    let parts = split(&table, [0.6, 0.2, 0.2], 1).unwrap();
    let test = parts.test.clone().unwrap();
    assert_eq!(
        [parts.train.rows(), parts.validation.rows(), test.rows()],
        [1_078, 360, 359]
    );
    let cells = |table: &Table| -> Vec<String> {
        let cells = &table.columns()[0].cells;
        (0..table.rows())
            .map(|row| cells.text(row).into_owned())
            .collect()
    };
    let mut all = [cells(&parts.train), cells(&parts.validation), cells(&test)].concat();
    all.sort_by_key(|row| row.parse::<usize>().unwrap());
    assert!(
        all.iter()
            .enumerate()
            .all(|(row, cell)| *cell == row.to_string())
    );
    assert_eq!(parts, split(&table, [0.6, 0.2, 0.2], 1).unwrap());
    assert_ne!(parts, split(&table, [0.6, 0.2, 0.2], 2).unwrap());

    let two = split(&table, [0.8, 0.2, 0.0], 1).unwrap();
    assert_eq!(
        (two.train.rows() + two.validation.rows(), two.test),
        (rows, None)
    );
    let dir = tempfile::tempdir().unwrap();
    let files = parts.write(&dir.path().join("new"), Format::Csv).unwrap();
    assert_eq!(Table::load(&files.test.unwrap()).unwrap().rows(), 359);

    for fractions in [
        [0.5, 0.2, 0.2],
        [1.0, 0.0, 0.0],
        [-0.1, 0.9, 0.2],
        [f64::NAN, 0.5, 0.5],
    ] {
        let error = split(&table, fractions, 1).unwrap_err();
        assert!(matches!(error, DataError::Fractions { .. }), "{error}");
    }
    let error = split(&table.select(&[0, 1]), [0.6, 0.2, 0.2], 1)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "memory: 2 rows are too few for the split [0.6, 0.2, 0.2]; test would be empty"
    );
}

#[test]
fn synthesis_repeats_and_regions_do_not_touch_each_other() {
    let north = synth("north", None, 1).unwrap();
    assert_eq!(north.table, synth("north", None, 1).unwrap().table);
    assert!((12_000..=24_000).contains(&north.table.rows()));
    let south = synth("south", None, 1).unwrap();
    assert_ne!(north.table.rows(), south.table.rows());
    assert_ne!(north.noise_sd, south.noise_sd);
    assert_ne!(north.table, synth("north", None, 2).unwrap().table);
    let first = synth("north", Some(50), 1).unwrap();
    assert_eq!(first.table.columns()[0].cells, {
        let rows: Vec<usize> = (0..50).collect();
        north.table.select(&rows).columns()[0].cells.clone()
    });
    assert!(synth("north", Some(1), 1).is_err());
}

#[test]
fn the_synthetic_signal_has_its_stated_spread() {
    for region in ["north", "south", "west", "são paulo", ""] {
        let made = synth(region, Some(20_000), 3).unwrap();
        let Cells::Numbers(ratings) = &made.table.column("rating").unwrap().cells else {
            panic!()
        };
        let mean = ratings.iter().sum::<f64>() / ratings.len() as f64;
        let variance =
            ratings.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / ratings.len() as f64;
        let signal_sd = (variance - made.noise_sd.powi(2)).sqrt();
        assert!((signal_sd - 0.8).abs() < 0.04, "{region}: {signal_sd}");
        assert!((0.25..0.40).contains(&made.noise_sd));
    }
}
