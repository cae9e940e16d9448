//! Settings by name: what is taken, what is refused and with which words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use kernels::train::{PARAMETERS, SettingsError};
use kernels::{DeviceChoice, TrainSettings};
use serde_json::{Value, json};

fn apply(params: Value) -> Result<TrainSettings, SettingsError> {
    let params: BTreeMap<String, Value> = serde_json::from_value(params).unwrap();
    let mut settings = TrainSettings::default();
    settings.apply_params(&params).map(|()| settings)
}

#[test]
fn values_come_as_trials_and_macros_give_them() {
    let settings = apply(json!({
        "lr": "0.01", "batch_size": 64.0, "hidden": "32, 16", "activation": "gelu",
        "categorical": ["a", "b"], "ignore": "id,day", "device": "cuda:2", "seed": 7,
        "missing": "mean", "metric": "mae",
    }))
    .unwrap();
    assert_eq!(
        (settings.lr, settings.batch_size, settings.seed),
        (0.01, 64, 7)
    );
    assert_eq!(settings.hidden_widths(), [32, 16]);
    assert_eq!(
        (settings.categorical, settings.ignore),
        (
            vec!["a".to_owned(), "b".to_owned()],
            vec!["id".to_owned(), "day".to_owned()]
        )
    );
    assert_eq!(
        (settings.device, settings.metric.as_deref()),
        (DeviceChoice::Cuda(2), Some("mae"))
    );
}

#[test]
fn width_and_layers_stand_for_hidden() {
    for (params, expected) in [
        (json!({}), &[64, 32][..]),
        (json!({"width": 9, "layers": 3}), &[9, 9, 9]),
        (json!({"width": 9}), &[9, 9]),
        (json!({"layers": 1}), &[64]),
        (json!({"layers": 0}), &[]),
        (json!({"hidden": []}), &[]),
        (json!({"hidden": [5], "layers": 2}), &[5, 5]),
    ] {
        assert_eq!(
            apply(params.clone()).unwrap().hidden_widths(),
            expected,
            "{params}"
        );
    }
    // A trial's `hidden` takes the place of the file's `width`, and the other way round.
    let mut settings = apply(json!({"width": 9})).unwrap();
    settings
        .apply_params(&BTreeMap::from([("hidden".to_owned(), json!([3]))]))
        .unwrap();
    assert_eq!(settings.hidden_widths(), [3]);
}

#[test]
fn wrong_values_are_refused_with_their_range() {
    for (params, expected) in [
        (
            json!({"learning_rat": 1}),
            "there is no parameter `learning_rat`; parameters: hidden, ",
        ),
        (
            json!({"batchsize": 1}),
            "there is no parameter `batchsize`; did you mean `batch_size`?; parameters: ",
        ),
        (
            json!({"lr": 0}),
            "parameter `lr`: expected above 0, to 100, found 0",
        ),
        (
            json!({"lr": "fast"}),
            "parameter `lr`: expected above 0, to 100, found \"fast\"",
        ),
        (
            json!({"lr": null}),
            "parameter `lr`: expected above 0, to 100, found null",
        ),
        (
            json!({"lr": "nan"}),
            "parameter `lr`: expected above 0, to 100, found \"nan\"",
        ),
        (
            json!({"momentum": 1}),
            "parameter `momentum`: expected 0 to below 1, found 1",
        ),
        (
            json!({"dropout": 0.95}),
            "parameter `dropout`: expected 0 to 0.9, found 0.95",
        ),
        (
            json!({"epochs": 0}),
            "parameter `epochs`: expected 1 to 1000000, found 0",
        ),
        (
            json!({"epochs": 2.5}),
            "parameter `epochs`: expected 1 to 1000000, found 2.5",
        ),
        (
            json!({"epochs": -1}),
            "parameter `epochs`: expected 1 to 1000000, found -1",
        ),
        (
            json!({"hidden": [8, 0]}),
            "parameter `hidden`: expected up to 32 widths, each 1 to 16384, found [8, 0]",
        ),
        (
            json!({"layers": 1e12}),
            "parameter `hidden`: expected up to 32 widths",
        ),
        (
            json!({"activation": "Relu"}),
            "parameter `activation`: expected relu, gelu, tanh or sigmoid, found \"Relu\"",
        ),
        (
            json!({"activation": "identity"}),
            "parameter `activation`: expected relu, gelu",
        ),
        (
            json!({"device": "gpu"}),
            "parameter `device`: expected auto, cpu, cuda or cuda:N, found \"gpu\"",
        ),
        (
            json!({"target": ""}),
            "parameter `target`: expected a column's name, found an empty name",
        ),
        (
            json!({"seed": u64::MAX}),
            "parameter `seed`: expected 0 to 2^63 - 1, found ",
        ),
    ] {
        let error = apply(params.clone()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{params}: {error}");
    }
}

#[test]
fn a_refused_set_changes_nothing() {
    let mut settings = TrainSettings::default();
    let params = BTreeMap::from([
        ("epochs".to_owned(), json!(3)),
        ("lr".to_owned(), json!(-1)),
    ]);
    settings.apply_params(&params).unwrap_err();
    assert_eq!(settings, TrainSettings::default());
}

#[test]
fn the_table_of_parameters_is_the_settings() {
    let object = serde_json::to_value(TrainSettings::default()).unwrap();
    let mut names: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut listed: Vec<&str> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(names, listed);
    for parameter in PARAMETERS
        .iter()
        .filter(|parameter| !parameter.default.is_empty())
    {
        let default = apply(json!({ parameter.name: parameter.default })).unwrap();
        assert_eq!(default, TrainSettings::default(), "{}", parameter.name);
    }
}
