//! The committed fuzzing corpus, through the checks that fuzzing uses: what was found once stays
//! found, on every `cargo test`.

use std::path::Path;

#[path = "../fuzz/checks.rs"]
mod checks;

fn run(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(&dir).expect("the corpus is committed");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 20, "{} files of {target}", paths.len());
    for path in paths {
        let bytes = std::fs::read(&path).expect("a file of the corpus can be read");
        // A check that panics says what is wrong; this says for which file.
        eprintln!("{}", path.display());
        check(&bytes);
    }
}

#[test]
fn any_text_is_read_or_refused() {
    run("parse", checks::parse);
}

#[test]
fn evaluation_agrees_with_itself() {
    run("evaluate", checks::evaluate);
}

#[test]
fn what_is_printed_reads_back() {
    run("round_trip", checks::round_trip);
}
