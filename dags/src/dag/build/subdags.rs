//! The DAG files of sub-DAGs, where they are there already: each is checked as a DAG of its own.

use std::collections::BTreeSet;

use super::{Loaded, Loading, load_one};
use crate::dag::{External, NESTING_MAX};
use crate::diagnostic::{Code, Diagnostics};
use crate::files::Files;

/// Checks sub-DAGs and theirs, those that lead back to themselves reported. A file that is not
/// there may be written by a node before it.
pub(super) fn check(
    loading: &Loading<'_>,
    loaded: &Loaded<'_>,
    files: &dyn Files,
    diagnostics: &mut Diagnostics,
) {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let chain = vec![loading.path.to_owned()];
    let mut open: Vec<Work> = Vec::new();
    take(loaded, &chain, files, &mut seen, &mut open, diagnostics);
    while let Some(work) = open.pop() {
        let loading = Loading {
            path: &work.path,
            dir: Some(&work.dir),
            rescue: None,
        };
        let mut loaded = load_one(&loading, files, External::Read);
        diagnostics.append(std::mem::take(&mut loaded.diagnostics));
        take(
            &loaded,
            &work.chain,
            files,
            &mut seen,
            &mut open,
            diagnostics,
        );
    }
}

/// A sub-DAG to be checked, and the files that lead to it, itself last.
struct Work {
    path: String,
    dir: String,
    chain: Vec<String>,
}

fn take(
    loaded: &Loaded<'_>,
    chain: &[String],
    files: &dyn Files,
    seen: &mut BTreeSet<(String, String)>,
    open: &mut Vec<Work>,
    diagnostics: &mut Diagnostics,
) {
    let from = open.len();
    for subdag in &loaded.subdags {
        let mut way = chain.to_vec();
        way.push(subdag.path.clone());
        if chain.contains(&subdag.path) || way.len() > NESTING_MAX {
            let path = &subdag.path;
            let message = match chain.contains(path) {
                true => format!(
                    "the sub-DAG `{path}` leads back to itself: {}",
                    way.join(" → ")
                ),
                false => format!("sub-DAGs nest at most {NESTING_MAX} deep"),
            };
            diagnostics.push(loaded.reader.error(Code::SubdagCircle, subdag.at, message));
            continue;
        }
        let key = (subdag.path.clone(), subdag.dir.clone());
        if files.exists(&subdag.path) && seen.insert(key) {
            open.push(Work {
                path: subdag.path.clone(),
                dir: subdag.dir.clone(),
                chain: way,
            });
        }
    }
    // The first one named is checked first.
    open[from..].reverse();
}
