//! What is offered, on a machine whose GPUs are pretended.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use classad::{ClassAd, Expr, Value};
use std::collections::BTreeMap;
use worker::discovery::{SIMULATED_GPUS_MAX, Wanted, look, look_again, simulated};

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
        simulate_broken_gpus: None,
        resources: BTreeMap::from([("licence".to_owned(), 3)]),
    }
}

#[test]
fn the_ad_says_what_there_is() {
    let mut wanted = wanted();
    let has_gpu = Expr::parse_old("size(Machine) > 1").unwrap();
    wanted.attributes = vec![("HAS_GPU".to_owned(), has_gpu)];
    let offer = look(&wanted).unwrap().offer;
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
        ("Licence", "3"),
        ("TotalLicence", "3"),
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
    let offer = look(&wanted()).unwrap().offer;
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
fn a_device_breaks_and_is_well_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken");
    let mut wanted = wanted();
    wanted.simulate_broken_gpus = Some(file.clone());
    let found = look(&wanted).unwrap();
    let ids: Vec<&str> = found.offer.gpus.iter().map(|gpu| gpu.id.as_str()).collect();
    assert_eq!(
        ids.iter().map(|id| found.devices[*id]).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let broken = |offer: &proto::nouns::Offer| -> Vec<Option<String>> {
        offer.gpus.iter().map(|gpu| gpu.broken.clone()).collect()
    };
    assert_eq!(broken(&found.offer), [None, None, None]);
    std::fs::write(&file, format!("{}  its fan fell off\n2\n", ids[0])).unwrap();
    let worse = look_again(&wanted, &found.offer).unwrap();
    let [fan, plain] = ["its fan fell off", "simulated"].map(|reason| Some(reason.to_owned()));
    assert_eq!(broken(&worse), [fan, None, plain]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(look_again(&wanted, &worse).unwrap(), found.offer);
    // Those that are gone stay in the offer, and new ones come into it.
    wanted.simulate_gpus = vec!["A100:1".to_owned(), "T4:1".to_owned()];
    let changed = look_again(&wanted, &found.offer).unwrap();
    let gone = Some("the driver does not show it any more".to_owned());
    assert_eq!(broken(&changed), [None, gone.clone(), gone, None]);
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
