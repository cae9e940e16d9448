//! Configuration files: what is understood, what is warned of, what is refused with its place.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use worker::config::Config;

/// A file → its attributes, `START`, and warnings (by a part of each).
#[track_caller]
fn check(text: &str, attributes: &[(&str, &str)], start: Option<&str>, warnings: &[&str]) {
    let config = Config::parse("w.conf", text).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
    let found: Vec<(String, String)> = config
        .attributes
        .iter()
        .map(|(name, expr)| (name.clone(), expr.to_old()))
        .collect();
    let expected: Vec<(String, String)> = attributes
        .iter()
        .map(|(name, expr)| ((*name).to_owned(), (*expr).to_owned()))
        .collect();
    assert_eq!(found, expected, "{text}");
    assert_eq!(
        config.requirements.map(|expr| expr.to_old()).as_deref(),
        start,
        "{text}"
    );
    assert_eq!(
        config.warnings.len(),
        warnings.len(),
        "{text}: {:?}",
        config.warnings
    );
    for (warning, part) in config.warnings.iter().zip(warnings) {
        assert!(warning.contains(part), "{warning} / {part}");
    }
}

#[test]
fn files_say_what_they_say() {
    check("", &[], None, &[]);
    check(
        "# a machine with GPUs\nSTARTD_ATTRS = HAS_GPU, Room\nhas_gpu = TRUE\nROOM = \"b \\\n  2\"\n",
        &[("HAS_GPU", "true"), ("Room", "\"b   2\"")],
        None,
        &[],
    );
    check(
        "STARTD_ATTRS = HAS_GPU\nSLOT1_HAS_GPU = TRUE\nHAS_GPU = FALSE",
        &[("HAS_GPU", "true")],
        None,
        &[],
    );
    check(
        "STARTD_ATTRS = A\nSTARTD_ATTRS = $(STARTD_ATTRS) B\nA = $(N) + 1\nB = $(M)\nN = 2\nM = $(n) * 3",
        &[("A", "2 + 1"), ("B", "2 * 3")],
        None,
        &[],
    );
    check(
        "START = TARGET.Owner == \"ann\"",
        &[],
        Some("TARGET.Owner == \"ann\""),
        &[],
    );
    check(
        "STARTD_ATRS = X\nSLOT_TYPE_1 = 100%\nNUM_CPU = 4\nFOO_BAR = 1\nSTARTD_ATTRS = Y\nSLOT2_Y = 1",
        &[],
        None,
        &[
            "STARTD_ATTRS names `Y`, but neither",
            "w.conf:4: `FOO_BAR` is not a knob of the worker (a name in STARTD_ATTRS",
            "w.conf:3: `NUM_CPU` is not a knob of the worker, did you mean `NUM_CPUS`?",
            "w.conf:6: `SLOT2_Y` is ignored: there is one slot",
            "w.conf:2: `SLOT_TYPE_1` is ignored",
            "w.conf:1: `STARTD_ATRS` is not a knob of the worker, did you mean `STARTD_ATTRS`?",
        ],
    );
}

#[test]
fn settings_are_read() {
    let text = "NUM_CPUS = 8\nMEMORY = 2048\nCONDOR_HOST = pool:9618\nRANK = 3.5\nUPDRAFT_NAME = gpu1\n\
        UPDRAFT_CACHE_BYTES_MAX = 1000\nUPDRAFT_SIMULATE_GPUS = A100:2 T4:1\n\
        MACHINE_RESOURCE_Licence = 3\nmachine_resource_CARDS = King, Queen 7\nMACHINE_RESOURCE_NAMES = x";
    let config = Config::parse("w.conf", text).unwrap();
    assert_eq!(
        (config.cpus, config.memory_mib, config.cache_bytes_max),
        (Some(8), Some(2048), Some(1000))
    );
    assert_eq!(config.manager.as_deref(), Some("pool:9618"));
    assert_eq!(config.name.unwrap().as_str(), "gpu1");
    assert_eq!(config.rank.unwrap().to_old(), "3.5");
    assert_eq!(config.simulate_gpus, ["A100:2", "T4:1"]);
    let resources: Vec<(&str, u64)> = config
        .resources
        .iter()
        .map(|(name, amount)| (name.as_str(), *amount))
        .collect();
    assert_eq!(resources, [("cards", 3), ("licence", 3)]);
    let [warning] = config.warnings.as_slice() else {
        panic!("{:?}", config.warnings)
    };
    assert!(
        warning.contains("`MACHINE_RESOURCE_NAMES` is ignored"),
        "{warning}"
    );
}

#[test]
fn errors_have_their_place() {
    let rows = [
        (
            "NUM_CPUS = many",
            "w.conf:1:12: NUM_CPUS = `many` is not a number of cores\n  | NUM_CPUS = many",
        ),
        ("\n  HAS_GPU TRUE", "w.conf:2:3: expected `NAME = value`"),
        (
            "use ROLE : Execute",
            "w.conf:1:1: `use` statements are not read by a worker",
        ),
        ("1A = 2", "w.conf:1:1: `1A` is not a name"),
        (
            "STARTD_ATTRS = A, 2B",
            "w.conf:1:19: `2B` cannot name an attribute",
        ),
        ("START = (1 +", "w.conf:1:13: START: "),
        ("START = true && \\\n   (1 + + )", "w.conf:2:11: START: "),
        (
            "STARTD_ATTRS = A\nA = $(B)\nB = $(A)",
            "w.conf:2:5: `$(…)` leads through more than 16 values",
        ),
        (
            "MACHINE_RESOURCE_X = -3",
            "w.conf:1:22: MACHINE_RESOURCE_X = `-3` is no amount",
        ),
        (
            "MACHINE_RESOURCE_GPUS = 2",
            "w.conf:1:25: `GPUS` is no custom resource",
        ),
        (
            "UPDRAFT_NAME = a b",
            "w.conf:1:16: UPDRAFT_NAME = `a b` is not a worker's name",
        ),
    ];
    for (text, expected) in rows {
        let error = Config::parse("w.conf", text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}\n{error}\n{expected}");
    }
    let errors = Config::parse("w.conf", "NUM_CPUS = x\nMEMORY = y\nbad").unwrap_err();
    assert_eq!(errors.0.len(), 3, "{errors}");
    let long = format!("A = {}", "x".repeat(worker::config::CONFIG_BYTES_MAX));
    let error = Config::parse("w.conf", &long).unwrap_err().0.remove(0);
    assert!(
        error.message.contains("CONFIG_BYTES_MAX"),
        "{}",
        error.message
    );
}
