//! The house's rules that a machine can read: which crate may name which, and what no core may name
//! at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every crate, where it lives, and the crates of the house that it may depend on.
const ARROWS: [(&str, &str, &[&str]); 10] = [
    ("classad", "classad", &[]),
    ("proto", "proto", &[]),
    ("dags", "dags", &["classad"]),
    ("optimizer", "manager/optimizer", &[]),
    (
        "manager-core",
        "manager/core",
        &["classad", "dags", "proto"],
    ),
    ("worker-core", "worker/core", &["proto"]),
    ("kernels", "kernels", &[]),
    (
        "manager",
        "manager",
        &["dags", "manager-core", "optimizer", "proto"],
    ),
    ("worker", "worker", &["classad", "proto", "worker-core"]),
    (
        "updraft",
        "cli",
        &[
            "classad",
            "dags",
            "kernels",
            "manager",
            "manager-core",
            "optimizer",
            "proto",
            "worker",
        ],
    ),
];

/// The crates that wait for nothing and ask nobody.
const CORES: [&str; 5] = [
    "classad",
    "dags",
    "optimizer",
    "manager-core",
    "worker-core",
];
/// What would let a core wait, ask the time, or reach a device, a disk or a network.
const FORBIDDEN: [&str; 10] = [
    "tokio", "tonic", "sled", "cudarc", "chrono", "jiff", "time", "nix", "libc", "reqwest",
];

#[test]
fn arrows_point_from_shells_to_cores_to_languages() {
    for (name, dir, allowed) in ARROWS {
        let dependencies = dependencies(&root().join(dir));
        let house: Vec<&str> = ARROWS.iter().map(|(name, _, _)| *name).collect();
        for dependency in dependencies
            .keys()
            .filter(|found| house.contains(&found.as_str()))
        {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not name {dependency}"
            );
        }
        if CORES.contains(&name) {
            for forbidden in FORBIDDEN {
                assert!(
                    !dependencies.contains_key(forbidden),
                    "core {name} names {forbidden}"
                );
            }
            let wire = dependencies
                .get("proto")
                .is_some_and(|line| line.contains("wire"));
            assert!(!wire, "core {name} names the generated messages");
        }
    }
}

#[test]
fn every_core_denies_clocks_and_unordered_iteration() {
    for (_, dir, _) in ARROWS.iter().filter(|(name, _, _)| CORES.contains(name)) {
        let path = root().join(dir).join("src/lib.rs");
        let text = std::fs::read_to_string(&path).expect("a crate has a lib.rs");
        for lint in [
            "clippy::disallowed_methods",
            "clippy::iter_over_hash_type",
            "forbid(unsafe_code)",
        ] {
            assert!(text.contains(lint), "{}: {lint} is missing", path.display());
        }
    }
}

#[test]
fn every_source_file_says_what_it_holds() {
    let mut files = Vec::new();
    for (_, dir, _) in ARROWS {
        sources(&root().join(dir).join("src"), &mut files);
    }
    assert!(files.len() > 100, "only {} files were found", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file is text");
        assert!(text.starts_with("//!"), "{} has no header", file.display());
    }
}

/// The names below `[dependencies]` of a manifest, with their lines. Features and build tools are
/// not the program's.
fn dependencies(dir: &Path) -> BTreeMap<String, String> {
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).expect("a crate has a manifest");
    let lines = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let named = lines.filter_map(|line| {
        let name = line
            .split(['.', ' ', '='])
            .next()
            .filter(|name| !name.is_empty())?;
        (!name.starts_with('#')).then(|| (name.to_owned(), line.to_owned()))
    });
    named.collect()
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a crate has sources") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("cli is in the workspace")
        .to_path_buf()
}
