//! What is offered, on a machine whose GPUs are pretended.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use classad::{ClassAd, Expr, Value};
use worker::discovery::{SIMULATED_GPUS_MAX, Wanted, offer, simulated};

fn wanted() -> Wanted {
    Wanted {
        host: "host".to_owned(),
        name: "w1".parse().unwrap(),
        state_dir: "/".into(),
        cpus: Some(6),
        memory_mib: None,
        requirements: None,
        rank: None,
        attributes: Vec::new(),
        simulate_gpus: vec!["A100:2".to_owned(), "t4:1".to_owned()],
    }
}

#[test]
fn the_ad_says_what_there_is() {
    let mut wanted = wanted();
    let has_gpu = Expr::parse_old("size(Machine) > 1").unwrap();
    wanted.attributes = vec![("HAS_GPU".to_owned(), has_gpu)];
    let offer = offer(&wanted).unwrap();
    assert_eq!(offer.cpus, 6);
    assert!(offer.memory_mib > 0 && offer.disk_kib > 0);
    let ad = ClassAd::parse_long(&offer.ad).unwrap();
    let rows = [
        ("Machine", "\"host\""),
        ("Name", "\"w1\""),
        ("OpSys", "\"LINUX\""),
        ("TotalCpus", "6"),
        ("TotalGPUs", "3"),
        ("GPUsSimulated", "true"),
        ("HasFileTransfer", "true"),
        ("HasTrainer", "true"),
        ("Requirements", "true"),
        ("Rank", "0.0"),
    ];
    for (name, expected) in rows {
        let expr = ad
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the ad"));
        assert_eq!(expr.to_old(), expected, "{name}");
    }
    assert_eq!(ad.eval("HAS_GPU"), Value::Bool(true));
    let young = Expr::parse("versioncmp(split(CondorVersion)[1], \"8.9.7\") >= 0").unwrap();
    assert_eq!(classad::Scope::new(&ad).eval(&young), Value::Bool(true));
    for carved in [
        "Cpus",
        "Memory",
        "Disk",
        "GPUs",
        "AvailableGPUs",
        "AssignedGPUs",
    ] {
        assert!(!ad.contains(carved), "{carved} is the manager's");
    }
}

#[test]
fn simulated_gpus_are_like_real_ones() {
    let offer = offer(&wanted()).unwrap();
    let names: Vec<Value> = offer
        .gpus
        .iter()
        .map(|proto::nouns::OfferedGpu { id, ad, .. }| {
            let ad = ClassAd::parse_long(ad).unwrap();
            assert_eq!(ad.eval("DeviceUuid").as_str(), Some(id.as_str()));
            assert!(ad.eval("GlobalMemoryMb").as_i64().unwrap() > 10_000);
            assert!(ad.eval("Capability").as_f64().unwrap() >= 7.5);
            ad.eval("DeviceName")
        })
        .collect();
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    assert_eq!(
        names,
        ["NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB", "Tesla T4"]
    );
    let ids: std::collections::BTreeSet<_> = offer.gpus.iter().map(|gpu| &gpu.id).collect();
    assert_eq!(ids.len(), 3);
    let elsewhere = simulated(&"w2".parse().unwrap(), &["A100:1".to_owned()]).unwrap();
    assert!(
        !ids.contains(&elsewhere[0].id),
        "two workers must not share a device"
    );
    let again = simulated(&"w1".parse().unwrap(), &["A100:1".to_owned()]).unwrap();
    assert!(
        ids.contains(&again[0].id),
        "a restart must not change a device's id"
    );
}

#[test]
fn what_cannot_be_simulated_is_said() {
    let rows = [
        (
            "A100",
            "`A100` names no GPUs to simulate (expected `MODEL:N`, for example A100:2)",
        ),
        ("A100:x", "`A100:x` names no GPUs to simulate"),
        (
            "A1000:1",
            "`A1000` is not a GPU that can be simulated; known are A10, A100,",
        ),
        (
            "T4:65",
            "65 simulated GPUs are more than 64 (SIMULATED_GPUS_MAX)",
        ),
    ];
    for (text, expected) in rows {
        let error = simulated(&"w".parse().unwrap(), &[text.to_owned()])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let most = format!("T4:{SIMULATED_GPUS_MAX}");
    assert_eq!(simulated(&"w".parse().unwrap(), &[most]).unwrap().len(), 64);
}
