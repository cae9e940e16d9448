//! Every DAG file, submit description and study file of this folder reads without an error or a
//! warning, so that no example can rot. What an example computes is proved elsewhere.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dags::{Dag, Files, Macros, StudySpec, Submit};

/// The folder itself: paths are relative to it.
struct Folder;

impl Files for Folder {
    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(folder().join(path)).map_err(|error| error.to_string())
    }

    fn exists(&self, path: &str) -> bool {
        folder().join(path).exists()
    }
}

#[test]
fn every_dag_of_the_folder_is_sound() {
    for path in files_ending(".dag") {
        let (dag, diagnostics) = Dag::load(&path, &Folder);
        assert!(diagnostics.is_empty(), "{}", diagnostics.render());
        let dag = dag.expect("no error, so there is a DAG");
        let stored = serde_json::to_string(&dag).unwrap();
        assert_eq!(
            serde_json::from_str::<Dag>(&stored).unwrap(),
            dag,
            "{path} survives storage"
        );
    }
}

#[test]
fn every_description_no_dag_uses_is_sound() {
    let mut in_dags: BTreeSet<String> = BTreeSet::new();
    for path in files_ending(".dag") {
        if let (Some(dag), _) = Dag::load(&path, &Folder) {
            in_dags.extend(dag.submits.iter().map(|submit| submit.file.clone()));
        }
    }
    for path in files_ending(".sub") {
        if in_dags.contains(&path) {
            continue;
        }
        let (submit, mut diagnostics) = Submit::parse(&path, &Folder.read(&path).unwrap(), &Folder);
        if !diagnostics.has_errors() {
            diagnostics.append(submit.check(&Macros::new()));
        }
        assert!(diagnostics.is_empty(), "{}", diagnostics.render());
    }
}

#[test]
fn every_study_of_the_folder_is_sound() {
    for path in files_ending(".study.toml") {
        if let Err(diagnostics) = StudySpec::parse(&path, &Folder.read(&path).unwrap()) {
            panic!("{}", diagnostics.render());
        }
    }
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Paths with this ending, relative to the folder; the crate's own sources and tests are no
/// examples.
fn files_ending(ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![folder().to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let relative = path
                .strip_prefix(folder())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if path.is_dir() {
                if !["src", "tests", "target"].contains(&relative.as_str()) {
                    open.push(path);
                }
            } else if relative.ends_with(ending) {
                found.push(relative);
            }
        }
    }
    found.sort();
    found
}
