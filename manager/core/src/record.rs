//! What is stored: one record for each thing that can change by itself, under a key that sorts with
//! its owner.
//!
//! The records are a projection of the state: [`Queue::record`] gives the record of a key, or
//! nothing when there is none, and [`Queue::restore`] reads them all back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dags::Rules;
use dags::dag::Dag;
use proto::nouns::{Blob, ClaimId, JobId, WorkerName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::accounts::Submitter;
use crate::drain::{Drain, DrainState};
use crate::job::{Cluster, Proc};
use crate::queue::{Limits, Queue};
use crate::run::{Node, Run};
use crate::study::{Study, Trial};
use crate::workspace::Workspace;

/// Names a record. `top` is the cluster or DAG run that owns it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    Meta,
    Drained(WorkerName),
    /// The pool's rules, as they were written.
    Rules,
    /// The account of a submitter.
    Account(Submitter),
    /// A claim that is no job's any more, and still holds its slot.
    Lingering(ClaimId),
    /// A client's key and the id that it was given.
    SubmitKey(String),
    Workspace {
        top: u32,
    },
    File {
        top: u32,
        path: String,
    },
    Run {
        top: u32,
    },
    Dag {
        top: u32,
    },
    Node {
        top: u32,
        node: u32,
    },
    Trial {
        top: u32,
        node: u32,
        trial: u32,
    },
    Cluster {
        top: u32,
        cluster: u32,
    },
    /// What of a user's cluster never changes.
    Source {
        top: u32,
    },
    Proc {
        top: u32,
        job: JobId,
    },
}

/// The records that changed since the last time: what they hold now, or nothing when they are gone.
pub type Changes = BTreeMap<RecordKey, Option<Vec<u8>>>;

/// The counters that ids are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub pool: u32,
    pub next_id: u32,
    pub next_claim: u64,
}

/// Records that do not make a queue.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the record {key:?} cannot be read: {reason}")]
    Unreadable { key: Vec<u8>, reason: String },
    #[error("the record {key:?} has no owner")]
    Orphan { key: RecordKey },
}

// One letter for each kind, in the key's first byte.
const META: u8 = b'm';
const DRAINED: u8 = b'd';
const SUBMIT_KEY: u8 = b'k';
const RULES: u8 = b'l';
const ACCOUNT: u8 = b'n';
const LINGERING: u8 = b'o';
const OWNED: u8 = b'q';
// Then the owner, then one letter for the kind.
const WORKSPACE: u8 = b'a';
const FILE: u8 = b'b';
const RUN: u8 = b'c';
const DAG: u8 = b'd';
const NODE: u8 = b'e';
const TRIAL: u8 = b'f';
const CLUSTER: u8 = b'g';
const SOURCE: u8 = b'h';
const PROC: u8 = b'i';

// === impl RecordKey ===

impl RecordKey {
    /// The key's bytes: numbers are big-endian, so that keys sort as they are read back, owners
    /// before what they own.
    pub fn to_bytes(&self) -> Vec<u8> {
        let owned = |top: &u32, kind: u8, numbers: &[u32], rest: &str| {
            let mut bytes = vec![OWNED];
            bytes.extend(top.to_be_bytes());
            bytes.push(kind);
            bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
            bytes.extend(rest.as_bytes());
            bytes
        };
        match self {
            RecordKey::Meta => vec![META],
            RecordKey::Drained(worker) => [&[DRAINED], worker.as_str().as_bytes()].concat(),
            RecordKey::SubmitKey(key) => [&[SUBMIT_KEY], key.as_bytes()].concat(),
            RecordKey::Rules => vec![RULES],
            RecordKey::Account(submitter) => {
                let (group, user) = (submitter.group.as_bytes(), submitter.user.as_bytes());
                [&[ACCOUNT], group, &[0], user].concat()
            }
            RecordKey::Lingering(claim) => {
                let (pool, serial) = (claim.pool.to_be_bytes(), claim.serial.to_be_bytes());
                [&[LINGERING], pool.as_slice(), serial.as_slice()].concat()
            }
            RecordKey::Workspace { top } => owned(top, WORKSPACE, &[], ""),
            RecordKey::File { top, path } => owned(top, FILE, &[], path),
            RecordKey::Run { top } => owned(top, RUN, &[], ""),
            RecordKey::Dag { top } => owned(top, DAG, &[], ""),
            RecordKey::Node { top, node } => owned(top, NODE, &[*node], ""),
            RecordKey::Trial { top, node, trial } => owned(top, TRIAL, &[*node, *trial], ""),
            RecordKey::Source { top } => owned(top, SOURCE, &[], ""),
            RecordKey::Cluster { top, cluster } => owned(top, CLUSTER, &[*cluster], ""),
            RecordKey::Proc { top, job } => owned(top, PROC, &[job.cluster, job.proc], ""),
        }
    }

    /// Reads a key back.
    pub fn from_bytes(bytes: &[u8]) -> Option<RecordKey> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        match bytes.split_first()? {
            (&META, []) => Some(RecordKey::Meta),
            (&DRAINED, name) => Some(RecordKey::Drained(text(name)?.parse().ok()?)),
            (&SUBMIT_KEY, key) => Some(RecordKey::SubmitKey(text(key)?)),
            (&RULES, []) => Some(RecordKey::Rules),
            (&ACCOUNT, rest) => {
                let at = rest.iter().position(|byte| *byte == 0)?;
                let (group, user) = (text(&rest[..at])?, text(&rest[at + 1..])?);
                Some(RecordKey::Account(Submitter { group, user }))
            }
            (&LINGERING, rest) => {
                let (pool, rest) = number(rest)?;
                let serial = u64::from_be_bytes(rest.try_into().ok()?);
                Some(RecordKey::Lingering(ClaimId { pool, serial }))
            }
            (&OWNED, rest) => {
                let (top, rest) = number(rest)?;
                let (kind, rest) = rest.split_first()?;
                Self::owned_from_bytes(top, *kind, rest)
            }
            _ => None,
        }
    }

    fn owned_from_bytes(top: u32, kind: u8, rest: &[u8]) -> Option<RecordKey> {
        let first = || number(rest);
        let second = || number(first()?.1);
        Some(match (kind, rest.len()) {
            (WORKSPACE, 0) => RecordKey::Workspace { top },
            (FILE, _) => RecordKey::File {
                top,
                path: String::from_utf8(rest.to_vec()).ok()?,
            },
            (RUN, 0) => RecordKey::Run { top },
            (DAG, 0) => RecordKey::Dag { top },
            (NODE, 4) => RecordKey::Node {
                top,
                node: first()?.0,
            },
            (TRIAL, 8) => RecordKey::Trial {
                top,
                node: first()?.0,
                trial: second()?.0,
            },
            (SOURCE, 0) => RecordKey::Source { top },
            (CLUSTER, 4) => RecordKey::Cluster {
                top,
                cluster: first()?.0,
            },
            (PROC, 8) => RecordKey::Proc {
                top,
                job: JobId {
                    cluster: first()?.0,
                    proc: second()?.0,
                },
            },
            _ => return None,
        })
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*head), rest))
}

// === impl Queue ===

impl Queue {
    /// The records that changed since this was last called.
    pub fn take_changes(&mut self) -> Changes {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .map(|key| (key.clone(), self.record(&key)))
            .collect()
    }

    /// Every record there is: what a store that missed nothing holds.
    pub fn records(&self) -> BTreeMap<RecordKey, Vec<u8>> {
        let keys = self.keys();
        keys.into_iter()
            .filter_map(|key| Some((key.clone(), self.record(&key)?)))
            .collect()
    }

    /// Rebuilds the queue from its records, in the order of their keys.
    ///
    /// # Errors
    /// The first record that cannot be read or belongs to nothing.
    pub fn restore(
        pool: u32,
        limits: Limits,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Queue, RestoreError> {
        let mut queue = Queue::new(pool, limits);
        for (key, value) in records {
            queue.dirty.clear();
            let Some(parsed) = RecordKey::from_bytes(&key) else {
                return Err(RestoreError::Unreadable {
                    key,
                    reason: "unknown kind".to_owned(),
                });
            };
            queue.put(parsed, &value)?;
        }
        queue.derive()?;
        Ok(queue)
    }

    /// What the record of a key holds.
    fn record(&self, key: &RecordKey) -> Option<Vec<u8>> {
        match key {
            RecordKey::Meta => Some(pack(&self.meta)),
            RecordKey::Drained(worker) => self.drained.get(worker).map(write),
            RecordKey::SubmitKey(key) => self.submit_keys.get(key).map(write),
            RecordKey::Rules => {
                let text = &self.rules.text;
                (!text.is_empty()).then(|| write(text))
            }
            RecordKey::Account(submitter) => self.accounts.get(submitter).map(write),
            RecordKey::Lingering(claim) => self.lingering.get(claim).map(write),
            RecordKey::Workspace { top } => self.workspaces.get(top).map(write),
            RecordKey::File { top, path } => self
                .workspaces
                .get(top)
                .and_then(|workspace| workspace.files.get(path))
                .map(pack),
            RecordKey::Run { top } => self.runs.get(top).map(write),
            RecordKey::Dag { top } => self.runs.get(top).map(|run| write(&*run.dag)),
            RecordKey::Node { top, node } => {
                let node = self.runs.get(top)?.nodes.get(*node as usize)?;
                (*node != Node::default()).then(|| pack(node))
            }
            RecordKey::Trial { top, node, trial } => {
                let study = self.runs.get(top)?.studies.get(node)?;
                study.trials.get(*trial as usize).map(write)
            }
            RecordKey::Source { top } => self
                .clusters
                .get(top)
                .and_then(|cluster| cluster.submit.as_deref())
                .map(write),
            RecordKey::Cluster { cluster, .. } => self.clusters.get(cluster).map(pack),
            RecordKey::Proc { job, .. } => self
                .clusters
                .get(&job.cluster)?
                .procs
                .get(&job.proc)
                .map(pack),
        }
    }

    fn keys(&self) -> BTreeSet<RecordKey> {
        let mut keys = BTreeSet::from([RecordKey::Meta]);
        let drained = self.drained.iter();
        keys.extend(drained.map(|(worker, _)| RecordKey::Drained(worker.clone())));
        keys.extend(self.submit_keys.keys().cloned().map(RecordKey::SubmitKey));
        keys.insert(RecordKey::Rules);
        let submitters = self.accounts.iter().map(|(submitter, _)| submitter.clone());
        keys.extend(submitters.map(RecordKey::Account));
        keys.extend(self.lingering.keys().copied().map(RecordKey::Lingering));
        for (&top, workspace) in &self.workspaces {
            keys.insert(RecordKey::Workspace { top });
            let file = |path: &String| RecordKey::File {
                top,
                path: path.clone(),
            };
            keys.extend(workspace.files.keys().map(file));
        }
        for (&top, run) in &self.runs {
            keys.extend([RecordKey::Run { top }, RecordKey::Dag { top }]);
            keys.extend(
                (0..)
                    .zip(&run.nodes)
                    .map(|(node, _)| RecordKey::Node { top, node }),
            );
            for (&node, study) in &run.studies {
                let trial = |(trial, _)| RecordKey::Trial { top, node, trial };
                keys.extend((0..).zip(&study.trials).map(trial));
            }
        }
        for cluster in self.clusters.values() {
            let top = cluster.top();
            keys.insert(RecordKey::Cluster {
                top,
                cluster: cluster.id,
            });
            if cluster.submit.is_some() {
                keys.insert(RecordKey::Source { top });
            }
            let proc = |&proc| RecordKey::Proc {
                top,
                job: JobId {
                    cluster: cluster.id,
                    proc,
                },
            };
            keys.extend(cluster.procs.keys().map(proc));
        }
        keys
    }

    /// Takes over one record. Owners come before what they own, by the order of the keys.
    fn put(&mut self, key: RecordKey, value: &[u8]) -> Result<(), RestoreError> {
        match &key {
            RecordKey::Meta => self.meta = unpack(&key, value)?,
            RecordKey::Drained(worker) => {
                // It was empty before there was more to say.
                let drain: Drain = match value {
                    [] => Drain::default(),
                    value => read(&key, value)?,
                };
                self.drained.set(worker, &DrainState::Drained(drain));
            }
            RecordKey::SubmitKey(text) => {
                self.submit_keys.insert(text.clone(), read(&key, value)?);
            }
            RecordKey::Rules => {
                let text: String = read(&key, value)?;
                let rules = Rules::parse("the stored rules", &text);
                let rules = rules.map_err(|errors| RestoreError::Unreadable {
                    key: key.to_bytes(),
                    reason: errors.to_string(),
                })?;
                self.rules_set(&Arc::new(rules));
            }
            RecordKey::Account(submitter) => {
                let account = read(&key, value)?;
                self.accounts.restore(submitter.clone(), account);
            }
            RecordKey::Lingering(claim) => {
                self.lingering.insert(*claim, read(&key, value)?);
            }
            RecordKey::Workspace { top } => {
                let workspace: Workspace = read(&key, value)?;
                self.workspaces.insert(*top, workspace);
            }
            RecordKey::File { top, path } => {
                let blob: Blob = unpack(&key, value)?;
                let workspace = self.workspaces.get_mut(top).ok_or_else(|| orphan(&key))?;
                workspace.files.insert(path.clone(), blob);
            }
            RecordKey::Run { top } => {
                let run: Run = read(&key, value)?;
                self.runs.insert(*top, run);
            }
            RecordKey::Dag { top } => {
                let dag: Dag = read(&key, value)?;
                let run = self.runs.get_mut(top).ok_or_else(|| orphan(&key))?;
                run.nodes = vec![Node::default(); dag.nodes.len()];
                run.dag = Arc::new(dag);
            }
            RecordKey::Node { top, node } => {
                let run = self.runs.get_mut(top).ok_or_else(|| orphan(&key))?;
                let slot = run
                    .nodes
                    .get_mut(*node as usize)
                    .ok_or_else(|| orphan(&key))?;
                *slot = unpack(&key, value)?;
            }
            RecordKey::Trial { top, node, trial } => {
                self.put_trial(&key, *top, *node, *trial, value)?
            }
            RecordKey::Cluster { cluster, .. } => {
                let read: Cluster = unpack(&key, value)?;
                self.clusters.insert(*cluster, read);
            }
            RecordKey::Source { top } => {
                let submit = read(&key, value)?;
                let cluster = self.clusters.get_mut(top).ok_or_else(|| orphan(&key))?;
                cluster.submit = Some(Arc::new(submit));
            }
            RecordKey::Proc { job, .. } => {
                let proc: Proc = unpack(&key, value)?;
                let cluster = self
                    .clusters
                    .get_mut(&job.cluster)
                    .ok_or_else(|| orphan(&key))?;
                cluster.procs.insert(job.proc, proc);
            }
        }
        Ok(())
    }

    fn put_trial(
        &mut self,
        key: &RecordKey,
        run: u32,
        node: u32,
        number: u32,
        value: &[u8],
    ) -> Result<(), RestoreError> {
        let trial: Trial = read(key, value)?;
        let run = self.runs.get_mut(&run).ok_or_else(|| orphan(key))?;
        let study: &mut Study = run.studies.entry(node).or_default();
        if study.trials.len() != number as usize {
            return Err(orphan(key));
        }
        study.trials.push(trial);
        Ok(())
    }
}

fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are made of plain data with text keys")
}

fn read<T: DeserializeOwned>(key: &RecordKey, value: &[u8]) -> Result<T, RestoreError> {
    serde_json::from_slice(value).map_err(|error| unreadable(key, &error))
}

/// Records of which there are many, and that change often, are written field by field, without
/// names: none of their fields may be left out by its own will (`skip_serializing_if`).
fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("records are made of plain data")
}

fn unpack<T: DeserializeOwned>(key: &RecordKey, value: &[u8]) -> Result<T, RestoreError> {
    match postcard::take_from_bytes(value) {
        Ok((read, [])) => Ok(read),
        Ok((_, _)) => Err(unreadable(key, &"it is longer than what it says")),
        Err(error) => Err(unreadable(key, &error)),
    }
}

fn unreadable(key: &RecordKey, reason: &dyn std::fmt::Display) -> RestoreError {
    RestoreError::Unreadable {
        key: key.to_bytes(),
        reason: reason.to_string(),
    }
}

fn orphan(key: &RecordKey) -> RestoreError {
    RestoreError::Orphan { key: key.clone() }
}
