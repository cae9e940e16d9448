//! What there is to be had: the workers that may be given something, in classes of those that are
//! alike to a kind of job, each class in the order in which its members are filled.
//!
//! An index only: it says where it is worth looking. Whether a place matches is evaluated there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use classad::{ClassAd, Significant, significant};
use dags::submit::JobSpec;
use proto::nouns::WorkerName;

use crate::pool::{DEVICE_PREFIX, Worker, is_dynamic};

/// How full a worker is: free GPUs, cores, MiB of memory. The fullest comes first, so that big
/// holes stay whole.
pub(crate) type Fit = (u32, u32, u64);

/// The workers, indexed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Market {
    /// Ads whose Requirements and Rank stand for those of all workers, by the text of all their
    /// expressions: how many workers have them.
    programs: BTreeMap<String, (ClassAd, u32)>,
    workers: BTreeMap<WorkerName, Entry>,
    /// Names of custom resources: they change with each claim.
    dynamic: BTreeMap<String, u32>,
    projections: Vec<Projection>,
    /// Where something was given back or advertised, and where anything changed.
    pub gains: Log,
    pub changes: Log,
    /// Workers that may be given something.
    open: u32,
    /// What all of them weigh when they are empty.
    weight: f64,
    /// Rises when an answer given before may be wrong: what workers say of jobs has changed.
    generation: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    program: String,
    dynamic: Vec<String>,
    whole: ClassAd,
    /// Of one that may be given something.
    fit: Option<Fit>,
    weight: f64,
}

/// The workers as they look to jobs that ask for certain attributes.
#[derive(Clone, Debug)]
struct Projection {
    names: Names,
    classes: Vec<Class>,
    by_key: BTreeMap<String, usize>,
    of: BTreeMap<WorkerName, usize>,
}

/// Attributes of slots that matter to a kind of job.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    /// In lower case.
    Only(BTreeSet<String>),
    Everything,
}

/// Workers that agree in the attributes of a projection.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// What claims do not change, of one of them.
    pub whole: ClassAd,
    open: BTreeMap<Fit, BTreeSet<WorkerName>>,
}

/// What happened to workers, each with its last time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    next: u64,
    at: BTreeMap<u64, WorkerName>,
    of: BTreeMap<WorkerName, u64>,
}

/// What a change of a worker may do for those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is more of it.
    Gain,
    /// There is less of it.
    Loss,
    /// It says something else of itself.
    Advert,
}

// === impl Market ===

impl Market {
    pub fn anything_open(&self) -> bool {
        self.open > 0
    }

    /// What an answer was given under.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Makes everybody who keeps answers ask anew.
    pub fn forget_answers(&mut self) {
        self.generation += 1;
    }

    /// Ads that ask of jobs what any worker asks.
    pub fn programs(&self) -> impl Iterator<Item = &ClassAd> + Clone {
        self.programs.values().map(|(ad, _)| ad)
    }

    /// Whether an attribute of a worker's slot, in lower case, changes with each claim. The ads of
    /// devices do; what all devices of a worker have in common stays as it is.
    pub fn is_dynamic(&self, whole: &ClassAd, name: &str) -> bool {
        is_dynamic(name)
            || self.dynamic.contains_key(name)
            || name.starts_with(DEVICE_PREFIX) && !whole.contains(name)
    }

    /// A worker as it is now; `open` if it may be given something.
    pub fn update(&mut self, name: &WorkerName, worker: &Worker, open: bool, change: Change) {
        let fit = (open && worker.free.cpus > 0).then_some((
            worker.free.gpus,
            worker.free.cpus,
            worker.free.memory_mib,
        ));
        if change == Change::Advert || !self.workers.contains_key(name) {
            self.forget(name);
            self.learn(name, worker);
        }
        let entry = self.workers.get_mut(name).expect("it was just learnt");
        let before = std::mem::replace(&mut entry.fit, fit);
        self.changes.note(name);
        if change != Change::Loss {
            self.gains.note(name);
        }
        if before == fit {
            return;
        }
        self.open = self.open + u32::from(fit.is_some()) - u32::from(before.is_some());
        for projection in &mut self.projections {
            projection.refit(name, before, fit);
        }
    }

    /// What the pool weighs, busy or not.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// What a worker weighs when it is empty.
    pub fn weigh(&mut self, name: &WorkerName, weight: f64) {
        if let Some(entry) = self.workers.get_mut(name) {
            self.weight += weight - std::mem::replace(&mut entry.weight, weight);
        }
    }

    /// A worker is gone.
    pub fn remove(&mut self, name: &WorkerName) {
        self.forget(name);
        self.gains.forget(name);
        self.changes.forget(name);
    }

    /// The projection for jobs like this one, made if there is none. `order` names what decides
    /// among places besides what the two ads ask for.
    pub fn projection(&mut self, job: &ClassAd, order: &BTreeSet<String>) -> usize {
        let names = self.names_for(job, order);
        let known = self.projections.iter();
        if let Some(at) = known.enumerate().find(|(_, of)| of.names == names) {
            return at.0;
        }
        let mut projection = Projection {
            names,
            classes: Vec::new(),
            by_key: BTreeMap::new(),
            of: BTreeMap::new(),
        };
        for (name, entry) in &self.workers {
            projection.join(name, entry);
        }
        self.projections.push(projection);
        self.projections.len() - 1
    }

    pub fn classes(&self, projection: usize) -> &[Class] {
        &self.projections[projection].classes
    }

    pub fn class_of(&self, projection: usize, worker: &WorkerName) -> Option<usize> {
        self.projections[projection].of.get(worker).copied()
    }

    /// Whether a worker may be given something.
    pub fn is_open(&self, worker: &WorkerName) -> bool {
        let entry = self.workers.get(worker);
        entry.is_some_and(|entry| entry.fit.is_some())
    }

    fn names_for(&self, job: &ClassAd, order: &BTreeSet<String>) -> Names {
        let mut names = order.clone();
        for slot in self.programs() {
            match significant(slot, [job]) {
                Significant::Everything => return Names::Everything,
                Significant::Only(of) => {
                    names.extend(of.iter().map(|name| name.folded().into_owned()));
                }
            }
        }
        names.retain(|name| !is_dynamic(name) && !self.dynamic.contains_key(name));
        Names::Only(names)
    }

    fn learn(&mut self, name: &WorkerName, worker: &Worker) {
        let whole = worker.whole.clone();
        let program = program_of(&whole);
        let dynamic: Vec<String> = worker.offer.resources.keys().cloned().collect();
        let programs = self.programs.len();
        let known = self.dynamic.len();
        let entry = self.programs.entry(program.clone());
        entry.or_insert_with(|| (whole.clone(), 0)).1 += 1;
        for name in &dynamic {
            *self.dynamic.entry(name.clone()).or_default() += 1;
        }
        if programs != self.programs.len() || known != self.dynamic.len() {
            self.generation += 1;
            self.projections.clear();
        }
        let entry = Entry {
            program,
            dynamic,
            whole,
            fit: None,
            weight: 0.0,
        };
        for projection in &mut self.projections {
            projection.join(name, &entry);
        }
        self.workers.insert(name.clone(), entry);
    }

    fn forget(&mut self, name: &WorkerName) {
        let Some(entry) = self.workers.remove(name) else {
            return;
        };
        self.open -= u32::from(entry.fit.is_some());
        self.weight = match self.workers.is_empty() {
            true => 0.0,
            false => self.weight - entry.weight,
        };
        for projection in &mut self.projections {
            projection.refit(name, entry.fit, None);
            projection.of.remove(name);
        }
        for name in &entry.dynamic {
            count_down(&mut self.dynamic, name, |count| count);
        }
        count_down(&mut self.programs, &entry.program, |(_, count)| count);
    }
}

/// Counts one down, and forgets what nobody has any more.
fn count_down<T>(of: &mut BTreeMap<String, T>, name: &str, count: fn(&mut T) -> &mut u32) {
    let left = of.get_mut(name).map(|entry| {
        let count = count(entry);
        *count -= 1;
        *count
    });
    if left == Some(0) {
        of.remove(name);
    }
}

/// The text of all that an ad works out: ads that agree in it ask the same of jobs, but for what
/// they say of themselves in plain values.
fn program_of(whole: &ClassAd) -> String {
    let worked_out = whole.iter().filter(|(_, expr)| !expr.is_literal());
    let text = worked_out.map(|(name, expr)| format!("{}={}\n", name.folded(), expr.to_exact()));
    text.collect()
}

// === impl Projection ===

impl Projection {
    fn join(&mut self, name: &WorkerName, entry: &Entry) {
        let key = match &self.names {
            Names::Everything => name.to_string(),
            Names::Only(names) => {
                let told = names.iter().filter_map(|name| {
                    let expr = entry.whole.get(name)?;
                    Some(format!("{name}={}\n", expr.to_exact()))
                });
                told.collect()
            }
        };
        let class = *self.by_key.entry(key).or_insert_with(|| {
            self.classes.push(Class {
                whole: entry.whole.clone(),
                open: BTreeMap::new(),
            });
            self.classes.len() - 1
        });
        self.of.insert(name.clone(), class);
        if let Some(fit) = entry.fit {
            self.classes[class].insert(fit, name);
        }
    }

    fn refit(&mut self, name: &WorkerName, before: Option<Fit>, fit: Option<Fit>) {
        let Some(class) = self.of.get(name) else {
            return;
        };
        let class = &mut self.classes[*class];
        if let Some(before) = before {
            class.remove(before, name);
        }
        if let Some(fit) = fit {
            class.insert(fit, name);
        }
    }
}

// === impl Class ===

impl Class {
    pub fn open(&self) -> impl Iterator<Item = &WorkerName> {
        self.open.values().flatten()
    }

    fn insert(&mut self, fit: Fit, name: &WorkerName) {
        self.open.entry(fit).or_default().insert(name.clone());
    }

    fn remove(&mut self, fit: Fit, name: &WorkerName) {
        if let Some(names) = self.open.get_mut(&fit) {
            names.remove(name);
            if names.is_empty() {
                self.open.remove(&fit);
            }
        }
    }

    /// The next fullest members, from a fit on, with enough of GPUs, cores and memory. What is too
    /// small is jumped over.
    pub fn next_fit(
        &self,
        mut from: Bound<Fit>,
        need: Fit,
    ) -> Option<(Fit, &BTreeSet<WorkerName>)> {
        loop {
            let (fit, names) = self.open.range((from, Bound::Unbounded)).next()?;
            let (gpus, cpus, memory) = *fit;
            from = if cpus < need.1 {
                Bound::Included((gpus, need.1, need.2))
            } else if memory < need.2 {
                Bound::Included((gpus, cpus, need.2))
            } else {
                return Some((*fit, names));
            };
        }
    }
}

/// What a job needs of a fit.
pub(crate) fn need_of(spec: &JobSpec) -> Fit {
    let gpus = match spec.request_gpu_memory_mib {
        Some(_) => 0,
        None => spec.request_gpus,
    };
    (gpus, spec.request_cpus.max(1), spec.request_memory_mib)
}

// === impl Log ===

impl Log {
    /// How far it has come.
    pub fn now(&self) -> u64 {
        self.next
    }

    /// Who is in it since, the last time of each.
    pub fn since(&self, then: u64) -> impl Iterator<Item = &WorkerName> {
        self.at.range(then..).map(|(_, name)| name)
    }

    fn note(&mut self, name: &WorkerName) {
        self.forget(name);
        self.at.insert(self.next, name.clone());
        self.of.insert(name.clone(), self.next);
        self.next += 1;
    }

    fn forget(&mut self, name: &WorkerName) {
        if let Some(at) = self.of.remove(name) {
            self.at.remove(&at);
        }
    }
}
