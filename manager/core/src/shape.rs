//! Jobs that were expanded once and stand for others of their description: what differs between
//! them is put in, what does not is shared. Holds nothing that cannot be worked out anew, and
//! decides nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use dags::submit::{Differs, Items, JobSpec, Kind, Macros, Placement, Submission, Submit, Uses};
use proto::nouns::{JobId, join_path};

use crate::job::{Cluster, Source};
use crate::pool::integer;
use crate::queue::Queue;

/// Shapes that are kept, some ten kilobytes each; when there are more, all are worked out anew.
const SHAPES_MAX: usize = 1_024;
/// Clusters of which it is known which shape stands for them.
const CLUSTERS_MAX: usize = 65_536;
/// Descriptions whose uses are known.
const DESCRIPTIONS_MAX: usize = 1_024;
/// Jobs that are kept as they were put together: those that are under way, as far as they fit.
const FITTED_MAX: usize = 4_096;

/// What was worked out so far. A copy of a queue begins with nothing.
#[derive(Default)]
pub(crate) struct Shapes {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    shapes: BTreeMap<Key, Arc<Shape>>,
    clusters: BTreeMap<u32, Weak<Shape>>,
    descriptions: BTreeMap<(u32, u32), Described>,
    fitted: BTreeMap<JobId, Arc<JobSpec>>,
    /// The order in which they came.
    fitted_order: VecDeque<JobId>,
    /// Those of the last cluster: the next one of a DAG has the same.
    items: Option<Arc<Items>>,
}

/// A job that stands for others.
struct Shape {
    /// Nothing where it is wrong: then each job has its own say.
    spec: Option<Arc<JobSpec>>,
    differs: Differs,
    differs_between_clusters: bool,
    /// The cluster that it was expanded for, if that was in the queue.
    cluster: Option<u32>,
    /// The sizes of files that it tells of.
    sizes: Vec<(String, Option<u64>)>,
    /// Whether it takes something from the machine, once that was asked.
    open: OnceLock<bool>,
}

/// For whom a shape stands: the description, and what of the macros around it counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    description: (u32, u32),
    /// A macro that only some clusters are given may make the difference.
    differs: Differs,
    differs_between_clusters: bool,
    dir: String,
    given: String,
    cluster: Option<u32>,
    submitted_ms: Option<u64>,
}

/// What is known of a description.
struct Described {
    uses: Uses,
    /// The last answer of [`Uses::kind`], which is that of the next cluster of a DAG, too.
    last: Option<Answer>,
}

struct Answer {
    names: Vec<String>,
    vars: Vec<String>,
    kind: Kind,
    /// Where the macros stand that count.
    kept: Vec<usize>,
}

/// Whether a cluster's number is its own for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Queued,
    /// It may yet be refused.
    New,
}

// === impl Shapes ===

impl Shapes {
    /// The same items, in one place for clusters that follow each other.
    pub(crate) fn share(&self, items: Items) -> Arc<Items> {
        let mut known = self.known();
        match &known.items {
            Some(last) if **last == items => last.clone(),
            Some(_) | None => known.items.insert(Arc::new(items)).clone(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What a panic left behind is worked out anew or was whole: nothing is half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Shapes {
    fn clone(&self) -> Shapes {
        Shapes::default()
    }
}

impl fmt::Debug for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shapes").finish_non_exhaustive()
    }
}

impl Known {
    fn keep_shape(&mut self, key: Key, shape: Shape) -> Arc<Shape> {
        if self.shapes.len() >= SHAPES_MAX {
            self.shapes.clear();
            self.clusters.clear();
        }
        let shape = Arc::new(shape);
        self.shapes.insert(key, shape.clone());
        shape
    }

    fn stands_for(&mut self, cluster: &Cluster, standing: Standing, shape: &Arc<Shape>) {
        if standing == Standing::New {
            return;
        }
        if self.clusters.len() >= CLUSTERS_MAX {
            self.clusters.clear();
        }
        self.clusters.insert(cluster.id, Arc::downgrade(shape));
    }

    fn keep_fitted(&mut self, job: JobId, spec: &Arc<JobSpec>) {
        if self.fitted.len() >= FITTED_MAX
            && let Some(oldest) = self.fitted_order.pop_front()
        {
            self.fitted.remove(&oldest);
        }
        if self.fitted.insert(job, spec.clone()).is_none() {
            self.fitted_order.push_back(job);
        }
    }

    /// For whom the shape of a cluster stands, and how.
    fn kind(&mut self, key: (u32, u32), submit: &Submit, cluster: &Cluster) -> (Kind, Key) {
        if self.descriptions.len() >= DESCRIPTIONS_MAX && !self.descriptions.contains_key(&key) {
            self.descriptions.clear();
        }
        let described = self.descriptions.entry(key).or_insert_with(|| Described {
            uses: submit.uses(),
            last: None,
        });
        let answer = described.answer(cluster);
        let of_cluster = answer.kind.of_cluster || cluster.source == Source::User;
        let mut given = String::new();
        for entry in answer
            .kept
            .iter()
            .filter_map(|at| cluster.macros.iter().nth(*at))
        {
            let placement = match entry.placement {
                Placement::Before => 'b',
                Placement::After => 'a',
            };
            // Nothing fails to be written to a string.
            let _ = write!(given, "{}\0{placement}{}\0", entry.name, entry.value);
        }
        let key = Key {
            description: key,
            differs: answer.kind.differs,
            differs_between_clusters: answer.kind.differs_between_clusters,
            dir: cluster.dir.clone(),
            given,
            cluster: of_cluster.then_some(cluster.id),
            submitted_ms: answer.kind.of_time.then_some(cluster.submitted_ms),
        };
        (answer.kind.clone(), key)
    }
}

impl Described {
    fn answer(&mut self, cluster: &Cluster) -> &Answer {
        let macros = &cluster.macros;
        let vars = cluster.items.as_ref().map_or(&[][..], |items| &items.vars);
        let names = || macros.iter().map(|entry| entry.name.as_str());
        let same = self
            .last
            .as_ref()
            .is_some_and(|last| last.vars == vars && last.names.iter().eq(names()))
            && Uses::are_plain(macros);
        if !same {
            self.last = None;
        }
        let uses = &self.uses;
        self.last.get_or_insert_with(|| {
            let kind = uses.kind(macros, vars);
            let counts = |name: &str| kind.macros.contains(&name.to_ascii_lowercase());
            let kept = (0..).zip(names()).filter(|(_, name)| counts(name));
            Answer {
                kept: kept.map(|(at, _)| at).collect(),
                names: names().map(str::to_owned).collect(),
                vars: vars.to_vec(),
                kind,
            }
        })
    }
}

// === impl Queue ===

impl Queue {
    /// The job's specification as it was matched, or as its description has it, with the whole ad
    /// that it has when it joins the queue. It may be another job's where nothing but the ids
    /// differs: [`Queue::job_ad`] puts in the job's own, and those of its node.
    ///
    /// # Errors
    /// What is wrong with the description under the job's macros, in words.
    pub fn shared_spec(&self, cluster: &Cluster, proc: u32) -> Result<Arc<JobSpec>, String> {
        let spec = self.described(cluster, proc)?;
        let filled = cluster.filled(proc).is_some();
        if filled || !cluster.is_edited(proc) {
            return Ok(spec);
        }
        let spec = JobSpec::clone(&spec);
        cluster.edited(proc, spec).map(Arc::new)
    }

    /// The same without what somebody changed since.
    fn described(&self, cluster: &Cluster, proc: u32) -> Result<Arc<JobSpec>, String> {
        if let Some(filled) = cluster.filled(proc) {
            return Ok(Arc::new(filled.clone()));
        }
        let own = cluster.procs.get(&proc).map(|proc| proc.raised);
        let raised = cluster.raised.or(own.unwrap_or_default());
        let shape = match raised.is_nothing() {
            true => self.shape(cluster, Standing::Queued),
            false => None,
        };
        let Some((shape, spec)) = shape.as_ref().and_then(|shape| {
            let spec = shape.spec.as_ref()?;
            (shape.differs != Differs::Anything).then_some((shape, spec))
        }) else {
            return self.expanded(cluster, proc, &mut Vec::new()).map(Arc::new);
        };
        let differs = match shape.differs {
            Differs::Nothing => {
                if !shape.differs_between_clusters || shape.cluster == Some(cluster.id) {
                    return Ok(spec.clone());
                }
                0
            }
            Differs::Lightly | Differs::Anything => proc,
        };
        let job = JobId {
            cluster: cluster.id,
            proc: differs,
        };
        if let Some(fitted) = self.shapes.known().fitted.get(&job) {
            return Ok(fitted.clone());
        }
        let fitted = self.refit(cluster, job.proc, spec).map(Arc::new)?;
        self.shapes.known().keep_fitted(job, &fitted);
        Ok(fitted)
    }

    /// Whether a job takes something from the machine that it is matched with. `spec` is that of
    /// [`Queue::shared_spec`].
    pub(crate) fn is_open_job(&self, cluster: &Cluster, spec: &Arc<JobSpec>) -> bool {
        let shape = self.shape(cluster, Standing::Queued);
        match shape.as_ref().map(|shape| (shape, shape.spec.as_ref())) {
            Some((shape, Some(own))) if Arc::ptr_eq(own, spec) => {
                *shape.open.get_or_init(|| spec.is_open())
            }
            Some(_) | None => spec.is_open(),
        }
    }

    /// Whether the jobs of a cluster differ in nothing that decides where they run.
    pub(crate) fn differ_lightly(&self, cluster: &Cluster) -> bool {
        let shape = self.shape(cluster, Standing::Queued);
        shape.is_some_and(|shape| shape.differs != Differs::Anything)
    }

    /// The first job of a cluster that is not in the queue yet: its number may still be another's.
    ///
    /// # Errors
    /// As [`Queue::shared_spec`].
    pub(crate) fn first_spec(&self, cluster: &Cluster) -> Result<Arc<JobSpec>, String> {
        let shape = match cluster.raised.is_nothing() {
            true => self.shape(cluster, Standing::New),
            false => None,
        };
        let spec = shape.as_ref().and_then(|shape| shape.spec.as_ref());
        match (shape.as_ref(), spec) {
            (Some(shape), Some(spec)) if shape.differs != Differs::Anything => {
                match shape.differs_between_clusters {
                    true => self.refit(cluster, 0, spec).map(Arc::new),
                    false => Ok(spec.clone()),
                }
            }
            (_, _) => self.expanded(cluster, 0, &mut Vec::new()).map(Arc::new),
        }
    }

    /// The shape that stands for a cluster's jobs; nothing where each is on its own.
    fn shape(&self, cluster: &Cluster, standing: Standing) -> Option<Arc<Shape>> {
        let description = match cluster.source {
            Source::User => (cluster.id, u32::MAX),
            Source::Node { run, node } => {
                let node = &self.runs.get(&run)?.dag.nodes[node as usize];
                (run, node.kind.submit()?)
            }
            Source::Study { .. } => return None,
        };
        // Without its items it is not known what differs.
        cluster.items.as_ref()?;
        let known = match standing {
            Standing::Queued => self.shapes.known().clusters.get(&cluster.id).cloned(),
            Standing::New => None,
        };
        let known = known.and_then(|shape| shape.upgrade());
        if let Some(shape) = known.filter(|shape| self.is_true(shape, cluster)) {
            return Some(shape);
        }
        let submit = self.submit_of(cluster);
        let (kind, key) = self.shapes.known().kind(description, submit, cluster);
        let known = self.shapes.known().shapes.get(&key).cloned();
        if let Some(shape) = known.filter(|shape| self.is_true(shape, cluster)) {
            self.shapes.known().stands_for(cluster, standing, &shape);
            return Some(shape);
        }
        let mut sizes = Vec::new();
        let spec = match kind.differs {
            Differs::Nothing | Differs::Lightly => self.expanded(cluster, 0, &mut sizes).ok(),
            Differs::Anything => None,
        };
        let shape = Shape {
            spec: spec.map(Arc::new),
            differs: kind.differs,
            differs_between_clusters: kind.differs_between_clusters,
            cluster: match standing {
                Standing::Queued => Some(cluster.id),
                Standing::New => None,
            },
            sizes,
            open: OnceLock::new(),
        };
        let mut known = self.shapes.known();
        let shape = known.keep_shape(key, shape);
        known.stands_for(cluster, standing, &shape);
        Some(shape)
    }

    /// Whether the files are still of the size that a shape says.
    fn is_true(&self, shape: &Shape, cluster: &Cluster) -> bool {
        let workspace = self.workspaces.get(&self.home(cluster.top()));
        let bytes = |path: &String| workspace.and_then(|workspace| workspace.bytes(path));
        shape.sizes.iter().all(|(path, size)| bytes(path) == *size)
    }

    /// The job's specification, expanded anew. Notes down which sizes of files it tells of.
    pub(crate) fn expanded(
        &self,
        cluster: &Cluster,
        proc: u32,
        sizes: &mut Vec<(String, Option<u64>)>,
    ) -> Result<JobSpec, String> {
        let seen = RefCell::new(std::mem::take(sizes));
        let spec = self.submitted(cluster, proc, &seen, |submit, _, submission| {
            self.with_raised(cluster, proc, |macros, row| {
                submit.queued(macros, submission, proc, row)
            })
        });
        *sizes = seen.into_inner();
        let mut spec = spec?;
        // Nobody knows what the submitter's file systems are called.
        spec.ad.remove("FileSystemDomain");
        Ok(spec)
    }

    fn refit(&self, cluster: &Cluster, proc: u32, shape: &JobSpec) -> Result<JobSpec, String> {
        let row = cluster.row(proc);
        let seen = RefCell::new(Vec::new());
        self.submitted(cluster, proc, &seen, |submit, macros, submission| {
            submit.refit(shape, macros, submission, proc, row)
        })
    }

    /// Does something with a description as it was submitted.
    fn submitted(
        &self,
        cluster: &Cluster,
        proc: u32,
        seen: &RefCell<Vec<(String, Option<u64>)>>,
        make: impl FnOnce(&Submit, &Macros, &Submission<'_>) -> Result<JobSpec, dags::Diagnostics>,
    ) -> Result<JobSpec, String> {
        let home = self.workspaces.get(&self.home(cluster.top()));
        let workspace = home.ok_or("nothing is known of where it was submitted")?;
        let directory = join_path(&workspace.directory, &cluster.dir);
        let bytes = |path: &str| {
            let size = workspace.bytes(path);
            seen.borrow_mut().push((path.to_owned(), size));
            size
        };
        let submission = Submission {
            cluster: cluster.id,
            owner: &cluster.owner,
            directory: &directory,
            submitted_s: integer(cluster.submitted_ms / 1000),
            host: "",
            bytes: &bytes,
        };
        let macros = self.macros_of(cluster, proc);
        let made = make(self.submit_of(cluster), &macros, &submission);
        made.map_err(|diagnostics| diagnostics.to_string())
    }
}
