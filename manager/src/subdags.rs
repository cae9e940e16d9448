//! Sub-DAGs: a thread that reads the DAG files of nodes that are DAGs of their own, from the disk
//! and when they start. It reads and checks; what runs is the queue's business.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use dags::dag::{Loading, NodeKind, Reads};
use dags::{Dag, Files};
use manager_core::{Command, LoadOrder, Loaded};
use proto::nouns::join_path;

use crate::places::Places;
use crate::queue::Closed;
use crate::scripts::{self, ScriptPolicy};
use crate::sources::{self, Disk};

/// The way to the thread. The queue knows which nodes wait for their DAG, so that a crash asks
/// again.
pub(crate) struct Subdags {
    sender: Sender<LoadOrder>,
}

impl Subdags {
    /// Starts the thread; what it finds goes to `post`.
    pub(crate) fn start(
        places: Places,
        policy: ScriptPolicy,
        post: impl Fn(Command) -> Result<(), Closed> + Send + 'static,
    ) -> std::io::Result<Subdags> {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("subdags".to_owned())
            .spawn(move || work(&receiver, &places, policy, &post))?;
        Ok(Subdags { sender })
    }

    pub(crate) fn load(&self, order: LoadOrder) {
        let _ = self.sender.send(order);
    }
}

fn work(
    receiver: &Receiver<LoadOrder>,
    places: &Places,
    policy: ScriptPolicy,
    post: &impl Fn(Command) -> Result<(), Closed>,
) {
    while let Ok(order) = receiver.recv() {
        let loaded = catch_unwind(AssertUnwindSafe(|| load(places, policy, &order)))
            .unwrap_or_else(|_| Err(format!("the checker failed on {}", order.file)));
        let command = Command::Loaded {
            run: order.run,
            node: order.node,
            dag: loaded,
        };
        if post(command).is_err() {
            return;
        }
    }
}

/// Reads a DAG with all it names.
///
/// # Errors
/// Everything that is wrong with it, as text for people.
fn load(places: &Places, policy: ScriptPolicy, order: &LoadOrder) -> Result<Loaded, String> {
    let files = Disk::at(places.of(&order.directory));
    let (dag, diagnostics) = read(order, &files);
    let Some(dag) = dag else {
        let errors: Vec<String> = diagnostics.errors().map(ToString::to_string).collect();
        return Err(errors.join("; "));
    };
    scripts::permit(policy, &dag)?;
    for warning in diagnostics.warnings() {
        tracing::info!(run = order.run, node = order.node, "{warning}");
    }
    Ok(Loaded {
        dag: Arc::new(dag),
        digest: sources::digest(&files.into_read(), &BTreeMap::new(), &order.file),
    })
}

/// The digests that the sub-DAGs of a DAG would be loaded with, and theirs, as far as their texts
/// are there; by file and by what its paths are relative to.
pub(crate) fn digests(
    dag: &Dag,
    sources: BTreeMap<String, String>,
) -> BTreeMap<(String, String), String> {
    let mut digests = BTreeMap::new();
    let mut ahead = subdags_of(dag);
    while let Some((path, dir)) = ahead.pop() {
        let key = (path, dir);
        if digests.contains_key(&key) {
            continue;
        }
        let files = Noted {
            files: &sources,
            read: RefCell::default(),
        };
        let loading = Loading {
            path: &key.0,
            dir: Some(&key.1),
            rescue: None,
        };
        let (Some(dag), _) = Dag::load_as(&loading, &files) else {
            continue;
        };
        ahead.extend(subdags_of(&dag));
        let digest = sources::digest(&files.read.into_inner(), &BTreeMap::new(), &key.0);
        digests.insert(key, digest);
    }
    digests
}

fn subdags_of(dag: &Dag) -> Vec<(String, String)> {
    let nodes = dag.named().iter();
    nodes
        .filter_map(|node| match &node.kind {
            NodeKind::Subdag {
                file,
                reads: Reads::Dag,
            } => Some((join_path(&node.dir, file), node.dir.clone())),
            NodeKind::Subdag {
                reads: Reads::Submit,
                ..
            }
            | NodeKind::Job { .. }
            | NodeKind::Study { .. }
            | NodeKind::Noop
            | NodeKind::Join => None,
        })
        .collect()
}

/// Texts that were sent, with a note of those that were read.
struct Noted<'a> {
    files: &'a BTreeMap<String, String>,
    read: RefCell<BTreeMap<String, String>>,
}

impl Files for Noted<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let text = self.files.read(path)?;
        self.read.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn exists(&self, path: &str) -> bool {
        self.files.exists(path)
    }
}

fn read(order: &LoadOrder, files: &Disk) -> (Option<Dag>, dags::Diagnostics) {
    if let Some(node) = &order.job {
        return Dag::of_job(node, &order.file, files);
    }
    let loading = Loading {
        path: &order.file,
        dir: Some(&order.dir),
        rescue: None,
    };
    Dag::load_as(&loading, files)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;

    const SUB: &str = "executable = /bin/true\ntransfer_executable = false\nqueue\n";

    /// Loads `file` from a directory that holds these texts.
    fn check(directory: &Path, file: &str, texts: &[(&str, &str)]) -> Result<Loaded, String> {
        for (name, text) in texts {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let work = tempfile::tempdir().unwrap();
        let places = Places::open(work.path()).unwrap();
        let (sender, receiver) = mpsc::channel();
        let post = move |command| sender.send(command).map_err(|_| Closed);
        let subdags = Subdags::start(places, ScriptPolicy::Allow, post).unwrap();
        subdags.load(LoadOrder {
            run: 3,
            node: 7,
            directory: directory.to_str().unwrap().to_owned(),
            file: file.to_owned(),
            dir: String::new(),
            job: None,
        });
        match receiver.recv().unwrap() {
            Command::Loaded {
                run: 3,
                node: 7,
                dag,
            } => dag,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sub_dag_comes_with_all_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let texts = [
            ("inner.dag", "INCLUDE more/nodes.inc\n"),
            (
                "more/nodes.inc",
                "JOB A a.sub\nJOB B a.sub\nPARENT A CHILD B\n",
            ),
            ("a.sub", SUB),
        ];
        let first = check(dir.path(), "inner.dag", &texts).unwrap();
        assert_eq!(first.dag.nodes.len(), 2);
        let again = check(dir.path(), "inner.dag", &[]).unwrap();
        assert_eq!(again.digest, first.digest);
        let changed = check(dir.path(), "inner.dag", &[("a.sub", &format!("{SUB}\n"))]);
        assert_ne!(changed.unwrap().digest, first.digest);
    }

    #[test]
    fn everything_that_is_wrong_with_it_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let text = "JOB A absent.sub\nJOBB B a.sub\nPARENT A CHILD C\n";
        let error = check(dir.path(), "inner.dag", &[("inner.dag", text)]).unwrap_err();
        for part in ["inner.dag:1", "absent.sub", "inner.dag:2", "inner.dag:3"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        for (file, reason) in [("absent.dag", "no such file"), (".", "not a file")] {
            let error = check(dir.path(), file, &[]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        fs::write(dir.path().join("bytes.dag"), [0xff, 0xfe]).unwrap();
        let error = check(dir.path(), "bytes.dag", &[]).unwrap_err();
        assert!(error.contains("not UTF-8"), "{error}");
    }
}
