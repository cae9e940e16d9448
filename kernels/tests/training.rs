//! The trainer through its one door: files and settings in, a model out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use kernels::data::{FRACTIONS, Format, split, synth};
use kernels::train::{Stopped, score};
use kernels::{
    EpochMetrics, Inputs, Model, Outcome, Predictions, Table, TrainError, TrainSettings, train,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A split table in a folder of its own.
struct Material {
    dir: TempDir,
    inputs: Inputs,
}

impl Material {
    fn new(table: &Table, format: Format) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = split(table, FRACTIONS, 1)
            .unwrap()
            .write(dir.path(), format)
            .unwrap();
        let inputs = Inputs {
            train: files.train,
            validation: files.validation,
            test: files.test,
        };
        Self { dir, inputs }
    }

    fn synthetic(rows: usize) -> Self {
        Self::new(&synth("north", Some(rows), 1).unwrap().table, Format::Csv)
    }

    fn digits() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dags/digits/digits.csv");
        Self::new(&Table::load(&path).unwrap(), Format::Csv)
    }

    fn csv(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.csv");
        fs::write(&path, text).unwrap();
        Self::new(&Table::load(&path).unwrap(), Format::Csv)
    }

    fn train(&self, params: Value) -> Outcome {
        self.try_train(params).unwrap()
    }

    fn try_train(&self, params: Value) -> Result<Outcome, TrainError> {
        train(&settings(params), &self.inputs, &mut |_| {
            ControlFlow::Continue(())
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn settings(params: Value) -> TrainSettings {
    let params: BTreeMap<String, Value> = serde_json::from_value(params).unwrap();
    let mut settings = TrainSettings {
        target: "rating".into(),
        ..TrainSettings::default()
    };
    settings
        .apply_params(&BTreeMap::from([("device".into(), json!("cpu"))]))
        .unwrap();
    settings.apply_params(&params).unwrap();
    settings
}

fn table_of(path: &Path) -> Table {
    Table::load(path).unwrap()
}

#[test]
fn digits_reach_what_is_known_of_them() {
    let digits = Material::digits();
    let outcome = digits.train(json!({
        "target": "label", "task": "multiclass", "hidden": [128], "activation": "gelu",
        "lr": 0.004, "l2": 0.001, "batch_size": 32, "schedule": "cosine", "epochs": 40,
        "patience": 0, "dropout": 0.2,
    }));
    let test = outcome.test.unwrap();
    assert!((0.97..=0.995).contains(&test["accuracy"]), "{test:?}");
    assert!(
        outcome.device.starts_with("cpu, 1 thread"),
        "{}",
        outcome.device
    );
}

#[test]
fn tuned_settings_beat_the_defaults_in_every_region() {
    for region in ["north", "south", "west"] {
        let made = synth(region, None, 1).unwrap();
        let material = Material::new(&made.table, Format::Csv);
        let default = material.train(json!({})).test.unwrap()["rmse"];
        let tuned = material
            .train(json!({
                "lr": 0.017, "l2": 7e-5, "width": 75, "layers": 1, "activation": "tanh",
                "schedule": "cosine", "batch_size": 32,
            }))
            .test
            .unwrap()["rmse"];
        assert!(
            tuned < 0.9 * default,
            "{region}: tuned {tuned}, default {default}"
        );
        // Nothing learns the noise: the floor may be missed by the chance of the test rows alone.
        let floor = made.noise_sd;
        assert!(
            tuned > 0.97 * floor && tuned < 1.3 * floor,
            "{region}: {tuned}, floor {floor}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let material = Material::synthetic(3_000);
    for params in [
        json!({"epochs": 3, "hidden": [256, 256], "batch_size": 512}),
        json!({"epochs": 3, "optimizer": "sgd", "lr": 0.01, "activation": "gelu", "dropout": 0.3}),
    ] {
        let with = |name: &str, value: Value| {
            let mut params = params.clone();
            params[name] = value;
            let outcome = material.train(params);
            let path = material.path("model.safetensors");
            outcome.save_model(&path).unwrap();
            (fs::read(path).unwrap(), outcome.validation, outcome.test)
        };
        let one = with("threads", json!(1));
        assert_eq!(one, with("threads", json!(1)));
        assert_eq!(one, with("threads", json!(2)));
        assert_ne!(one, with("seed", json!(2)));
    }
}

#[test]
fn a_loaded_model_predicts_the_same_and_needs_nothing_else() {
    let synthetic = Material::synthetic(2_000);
    let digits = Material::digits();
    let two: String = (0..400)
        .map(|i| format!("{},{}\n", i % 17, ["no", "yes"][usize::from(i % 17 > 8)]))
        .collect();
    let binary = Material::csv(&format!("x,rating\n{two}"));
    for (material, params) in [
        (&synthetic, json!({"epochs": 3})),
        (
            &digits,
            json!({"epochs": 3, "target": "label", "task": "multiclass"}),
        ),
        (&binary, json!({"epochs": 30, "lr": 0.01})),
    ] {
        let outcome = material.train(params);
        let path = material.path("deep/model.safetensors");
        outcome.save_model(&path).unwrap();
        let loaded = Model::load(&path).unwrap();
        assert_eq!(loaded, outcome.model);
        let table = table_of(material.inputs.test.as_ref().unwrap());
        let predictions = loaded.predict(&table).unwrap();
        assert_eq!(predictions, outcome.model.predict(&table).unwrap());
        assert_eq!(predictions.rows(), table.rows());
        // The outcome's metrics are those of these predictions.
        let target = table.column(loaded.encoder().target.name()).unwrap();
        let test = outcome.test.unwrap();
        match &predictions {
            Predictions::Values(values) => {
                let squares = values.iter().enumerate().map(|(row, value)| {
                    (value - target.cells.text(row).parse::<f64>().unwrap()).powi(2)
                });
                let rmse = (squares.sum::<f64>() / values.len() as f64).sqrt();
                assert!((rmse - test["rmse"]).abs() < 1e-5, "{rmse} {test:?}");
            }
            Predictions::Classes {
                classes,
                probabilities,
            } => {
                let right = (0..table.rows())
                    .filter(|row| predictions.class(*row) == Some(&target.cells.text(*row)));
                let accuracy = right.count() as f64 / table.rows() as f64;
                assert!(
                    (accuracy - test["accuracy"]).abs() < 1e-9,
                    "{accuracy} {test:?}"
                );
                for row in probabilities.chunks_exact(classes.len()) {
                    assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                }
            }
        }
    }
}

#[test]
fn files_that_are_no_models_are_refused() {
    let material = Material::synthetic(300);
    let path = material.path("model.safetensors");
    material
        .train(json!({"epochs": 1}))
        .save_model(&path)
        .unwrap();
    let whole = fs::read(&path).unwrap();
    for (from, to, expected) in [
        (
            "\"version\\\":1",
            "\"version\\\":2",
            "it is of version 2; expected 1",
        ),
        (
            "\"outputs\\\":1",
            "\"outputs\\\":7",
            "its architecture does not fit its columns",
        ),
        (
            "layer.0.bias",
            "layer.0.bios",
            "tensor `layer.0.bias` is not there",
        ),
        (
            "\"updraft\"",
            "\"another\"",
            "there is no `updraft` in its metadata",
        ),
    ] {
        let at = whole
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, bytes).unwrap();
        let error = Model::load(&path).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    for cut in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(Model::load(&path).is_err());
    }
}

#[test]
fn a_diverged_training_says_where() {
    let material = Material::synthetic(500);
    let params = json!({"optimizer": "sgd", "lr": 100, "epochs": 50, "patience": 0});
    let error = material.try_train(params).unwrap_err();
    let TrainError::Diverged { epoch, batch } = error else {
        panic!("{error}")
    };
    assert!(
        epoch <= 5 && (1..=3).contains(&batch),
        "epoch {epoch}, batch {batch}"
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("the loss diverged at epoch {epoch}, batch"))
    );
}

#[test]
fn training_stops_when_it_no_longer_gets_better_or_when_asked() {
    let material = Material::synthetic(600);
    let params = json!({"epochs": 400, "patience": 3, "lr": 0.02});
    let outcome = material.train(params);
    assert_eq!(outcome.stopped, Stopped::NoImprovement);
    assert_eq!(outcome.epochs, outcome.best_epoch + 3);

    let mut seen: Vec<EpochMetrics> = Vec::new();
    let params = settings(json!({"epochs": 400, "patience": 0, "lr": 0.02}));
    let outcome = train(&params, &material.inputs, &mut |epoch| {
        seen.push(epoch.clone());
        if epoch.epoch == 30 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap();
    assert_eq!(
        (outcome.stopped, outcome.epochs, seen.len()),
        (Stopped::Asked, 30, 30)
    );
    // The model kept is the best one seen, not the last.
    let best = seen
        .iter()
        .map(|epoch| epoch.validation["rmse"])
        .fold(f64::INFINITY, f64::min);
    assert_eq!(outcome.value(), best);
    assert_eq!(seen[outcome.best_epoch - 1].validation, outcome.validation);
    assert!(seen.last().unwrap().train_loss < 0.5 * seen[0].train_loss);
    assert!(
        seen.iter()
            .all(|epoch| epoch.samples_per_s > 0.0 && epoch.seconds > 0.0)
    );
}

#[test]
fn parquet_and_csv_train_alike() {
    let table = synth("south", Some(1_000), 1).unwrap().table;
    let of = |format| {
        Material::new(&table, format)
            .train(json!({"epochs": 4}))
            .validation
    };
    assert_eq!(of(Format::Csv), of(Format::Parquet));
}

#[test]
fn metrics_are_what_their_names_say() {
    let two = |target: &[f32], outputs: &[f32]| {
        let classes = vec!["a".into(), "b".into()];
        score(
            &kernels::data::Target::Binary {
                name: "y".into(),
                classes,
            },
            outputs,
            target,
        )
    };
    let scores = two(&[0.0, 0.0, 1.0, 1.0], &[-2.0, 1.0, 1.0, 3.0]);
    assert_eq!((scores["accuracy"], scores["auc"]), (0.75, 0.875));
    let loss = [2f64, -1.0, 1.0, 3.0].map(|margin| (1.0 + (-margin).exp()).ln());
    assert!((scores["logloss"] - loss.iter().sum::<f64>() / 4.0).abs() < 1e-12);
    assert_eq!(two(&[1.0, 1.0], &[0.0, 1.0])["auc"], 0.5);
    let target = kernels::data::Target::Regression {
        name: "y".into(),
        mean: 5.0,
        sd: 2.0,
    };
    let scores = score(&target, &[1.0, 0.0], &[0.0, 1.0]);
    assert_eq!(
        (scores["rmse"], scores["mae"], scores["r2"]),
        (2.0, 2.0, -3.0)
    );
}

#[test]
fn the_metric_of_another_task_is_refused() {
    let error = Material::synthetic(100)
        .try_train(json!({"metric": "auc"}))
        .unwrap_err();
    let expected = "metric `auc` is not one of this task; metrics: mae, r2, rmse";
    assert_eq!(error.to_string(), expected);
    let outcome = Material::synthetic(100).train(json!({"metric": "r2", "epochs": 2}));
    assert_eq!(outcome.value(), outcome.validation["r2"]);
}

#[test]
fn the_metrics_file_tells_all() {
    let material = Material::synthetic(200);
    let outcome = material.train(json!({"epochs": 2}));
    let path = material.path("metrics.json");
    outcome.save_metrics(&path).unwrap();
    let read: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let keys: Vec<&str> = read
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = "best_epoch device epochs goal metric parameters samples_per_s seconds \
                    settings stopped test validation value";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());
    assert_eq!(read["value"], read["validation"]["rmse"]);
    let again: TrainSettings = serde_json::from_value(read["settings"].clone()).unwrap();
    assert_eq!(again, outcome.settings);
}
