//! Every CUDA source compiles, for the architectures we name, wherever NVRTC can be loaded. No
//! device is needed.

use std::io::Write;

use kernels::device::cuda::source::{SOURCES, Source};

/// Ampere and Hopper data centre cards.
const ARCHITECTURES: [&str; 2] = ["compute_80", "compute_90"];

/// The kernels that the CUDA home looks for.
const KERNELS: [&str; 7] = [
    "gather",
    "scatter",
    "activate",
    "activate_back",
    "loss",
    "sgd",
    "adam",
];

#[test]
fn every_source_compiles() {
    if !Source::compiler_present() {
        skipped("compiling the CUDA sources");
        return;
    }
    for architecture in ARCHITECTURES {
        let mut entries = String::new();
        for source in SOURCES {
            let ptx = source
                .compile(architecture)
                .unwrap_or_else(|error| panic!("{architecture}: {error}"));
            entries.push_str(&ptx.to_src());
        }
        for kernel in KERNELS {
            let entry = format!(".visible .entry {kernel}(");
            assert!(
                entries.contains(&entry),
                "{architecture}: `{kernel}` is not there"
            );
        }
    }
}

#[test]
fn a_broken_source_gives_the_compilers_log() {
    if !Source::compiler_present() {
        skipped("the CUDA compiler's log");
        return;
    }
    let broken = Source {
        file: "broken.cu",
        text: "__global__ void f() { undefined_name = 1; }",
    };
    let error = broken.compile("compute_80").unwrap_err().to_string();
    assert!(
        error.contains("broken.cu") && error.contains("undefined_name"),
        "{error}"
    );
}

#[test]
fn sources_and_twins_agree_on_the_hash_of_dropout() {
    // The constants stand in two languages; a change in one alone would drop other units.
    let twin = include_str!("../src/device/shapes.rs").replace('_', "");
    for constant in ["9e3779b9", "85ebca6b", "c2b2ae35"] {
        assert!(
            SOURCES[0].text.contains(constant) && twin.contains(constant),
            "{constant}"
        );
    }
}

/// Straight to standard error: what a passing test prints by macro is not shown.
fn skipped(what: &str) {
    let line = format!("SKIPPED {what}: NVRTC is not on LD_LIBRARY_PATH");
    let _ = writeln!(std::io::stderr(), "{line}");
}
