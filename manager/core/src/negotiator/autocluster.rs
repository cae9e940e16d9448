//! Autoclusters: jobs that agree in everything that decides where they can run. What was found out
//! for one of them holds for all.
//!
//! Clauses of Requirements that only test what claims do not change are worked out once for each
//! class of workers; a class that fails one is not looked at again. Everything else, and each place
//! that is taken, is evaluated on the slot as it is.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use classad::matching::Prepared;
use classad::{ClassAd, Compiled, Expr, Scope, Significant, significant};
use dags::submit::JobSpec;
use proto::nouns::WorkerName;

use super::market::{Class, Fit, Market, need_of};
use super::order::{Order, Terms};
use crate::pool::{Pool, Worker};

/// Workers that gained something since a search was in vain, up to which they are looked at one by
/// one instead of all anew.
const RECENT_MAX: usize = 64;

/// Attributes of jobs that change while they live: where one matters, each job is by itself.
const LIVE: [&str; 24] = [
    "currenthosts",
    "enteredcurrentstatus",
    "exitbysignal",
    "exitcode",
    "exitsignal",
    "globaljobid",
    "holdreason",
    "holdreasoncode",
    "holdreasonsubcode",
    "jobcurrentstartdate",
    "jobcurrentstartexecutingdate",
    "jobid",
    "jobstartdate",
    "jobstatus",
    "lastremotehost",
    "lastvacatetime",
    "numholds",
    "numjobcompletions",
    "numjobstarts",
    "procid",
    "remotehost",
    "remotewallclocktime",
    "removereason",
    "trial",
];
/// What in an expression's text, in lower case, may make it say something else a moment later, or
/// reach attributes that its text does not name.
pub(super) const VOLATILE: [&str; 6] = [
    "time", "random", "eval(", "clockmin", "clockday", "userhome",
];

/// Jobs that are alike to every worker.
#[derive(Clone, Debug)]
pub(crate) struct Autocluster {
    /// One of them, ready to be matched.
    job: Prepared,
    spec: Arc<JobSpec>,
    projection: usize,
    nature: Nature,
    clauses: Vec<(Expr, Compiled)>,
    /// By class, as far as they were looked at.
    looked: usize,
    passing: BTreeMap<Passing, BTreeSet<usize>>,
    refused: BTreeSet<usize>,
    /// How far the market had come when nothing was found.
    failed_at: Option<u64>,
    /// Entries among the waiting.
    pub waiting: u64,
    pub times: RunTimes,
}

/// What may be believed of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nature {
    /// Whether the time may change it.
    lasting: Lasting,
    /// Whether only gains may make it a yes.
    monotone: Monotone,
    /// Whether claims change how places are ranked.
    ranks: Ranks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    Stays,
    Passes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Monotone {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ranks {
    ByClass,
    BySlot,
}

/// How long jobs of an autocluster ran.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RunTimes {
    pub count: u64,
    pub mean_ms: f64,
}

/// The order of a class's places, the best first.
#[derive(Clone, Debug, PartialEq)]
struct Passing(Terms);

/// What a job asks for besides what its autocluster does.
pub(crate) struct Wish<'a> {
    /// Workers that could not start it.
    pub avoid: &'a [WorkerName],
    /// MiB of its inputs that workers have already.
    pub near: &'a BTreeMap<WorkerName, u64>,
    pub now_secs: i64,
}

/// The key that jobs of an autocluster share, and whether each job of a cluster has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub text: String,
    pub shared: Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// By all jobs of a cluster whose descriptions agree.
    Cluster,
    /// It depends on what happened to the job, or on its number.
    Job,
}

/// What decides where a job can run, as text.
pub(crate) fn key_of(market: &Market, order: &Order, job: &ClassAd, spec: &JobSpec) -> Key {
    let mut text = format!(
        "{} {} {} {} {:?} {:?} {:?}\n",
        spec.request_cpus,
        spec.request_memory_mib,
        spec.request_disk_kib,
        spec.request_gpus,
        spec.request_gpu_memory_mib,
        spec.request_other,
        spec.policy.concurrency_limits,
    );
    if let Some(require) = job.get("RequireGPUs") {
        text.push_str(&require.to_exact());
    }
    let mut tell = |name: &str| {
        if let Some(expr) = job.get(name) {
            text.push_str(&format!(
                "\n{}={}",
                name.to_ascii_lowercase(),
                expr.to_exact()
            ));
        }
    };
    match significant(job, market.programs()) {
        Significant::Everything => {
            for (name, _) in job.iter() {
                tell(name.as_str());
            }
            let shared = Shared::Job;
            Key { text, shared }
        }
        Significant::Only(names) => {
            let wanted = order.names();
            let mut names: BTreeSet<String> = names
                .iter()
                .map(|name| name.folded().into_owned())
                .collect();
            for name in wanted {
                names.insert(name.clone());
                let reached = job.get(name).filter(|expr| !expr.is_literal());
                let reached = reached.and_then(|expr| job.references(expr));
                let reached = reached.into_iter().flat_map(|found| found.internal);
                names.extend(reached.map(|name| name.folded().into_owned()));
            }
            let shared = match names.iter().any(|name| LIVE.contains(&name.as_str())) {
                true => Shared::Job,
                false => Shared::Cluster,
            };
            for name in &names {
                tell(name);
            }
            Key { text, shared }
        }
    }
}

// === impl Autocluster ===

impl Autocluster {
    pub fn new(
        market: &mut Market,
        order: &Order,
        job: &ClassAd,
        spec: Arc<JobSpec>,
    ) -> Autocluster {
        let own = job.get("Requirements");
        let clauses = own.map(Expr::clauses).unwrap_or_default();
        let compiled = |clause: Expr| {
            let compiled = Compiled::in_ad(job, &clause);
            (clause, compiled)
        };
        Autocluster {
            projection: market.projection(job, order.names()),
            nature: nature_of(market, order, job, &clauses),
            clauses: clauses.into_iter().map(compiled).collect(),
            job: Prepared::new(job),
            spec,
            looked: 0,
            passing: BTreeMap::new(),
            refused: BTreeSet::new(),
            failed_at: None,
            waiting: 0,
            times: RunTimes::default(),
        }
    }

    /// The same jobs, in a market that asks something else.
    pub fn renew(&mut self, market: &mut Market, order: &Order) {
        let ad = self.job.ad().clone();
        let fresh = Autocluster::new(market, order, &ad, self.spec.clone());
        *self = Autocluster {
            waiting: self.waiting,
            times: self.times,
            ..fresh
        };
    }

    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    pub fn ad(&self) -> &ClassAd {
        self.job.ad()
    }

    /// The best place there is now.
    pub fn find(
        &mut self,
        market: &Market,
        order: &Order,
        pool: &Pool,
        wish: &Wish<'_>,
    ) -> Option<WorkerName> {
        let reached = market.gains.now();
        let recent: Option<Vec<&WorkerName>> = match self.failed_at {
            Some(then) if self.nature.lasting == Lasting::Stays => {
                let log = match self.nature.monotone {
                    Monotone::Yes => &market.gains,
                    Monotone::No => &market.changes,
                };
                let recent: Vec<_> = log.since(then).take(RECENT_MAX + 1).collect();
                (recent.len() <= RECENT_MAX).then_some(recent)
            }
            Some(_) | None => None,
        };
        let search = Search {
            auto: &*self,
            market,
            pool,
            order,
            wish,
        };
        let found = match recent {
            Some(recent) => search.among(recent.into_iter()),
            None => {
                self.look(market, order, wish.now_secs);
                let search = Search {
                    auto: &*self,
                    market,
                    pool,
                    order,
                    wish,
                };
                search.everywhere()
            }
        };
        self.failed_at = match (&found, self.nature.monotone) {
            (Some(_), _) => None,
            (None, Monotone::Yes) => Some(reached),
            (None, Monotone::No) => Some(market.changes.now()),
        };
        found
    }

    /// Whether what was evaluated for these jobs a moment ago still holds.
    pub fn is_lasting(&self) -> bool {
        self.nature.lasting == Lasting::Stays
    }

    /// Whether nothing was found, and nothing has changed since that could be found now.
    pub fn has_failed_in(&self, market: &Market) -> bool {
        let reached = match self.nature.monotone {
            Monotone::Yes => market.gains.now(),
            Monotone::No => market.changes.now(),
        };
        self.nature.lasting == Lasting::Stays && self.failed_at == Some(reached)
    }

    /// Whether a worker may be one for these jobs, as far as claims do not decide it.
    pub fn may_run_on(&self, market: &Market, worker: &WorkerName) -> bool {
        let class = market.class_of(self.projection, worker);
        class.is_some_and(|class| !self.refused.contains(&class))
    }

    /// Judges classes that are new.
    fn look(&mut self, market: &Market, order: &Order, now_secs: i64) {
        let classes = market.classes(self.projection);
        while self.looked < classes.len() {
            let class = &classes[self.looked];
            match self.judge(market, order, class, now_secs) {
                Some(terms) => {
                    let places = self.passing.entry(Passing(terms)).or_default();
                    places.insert(self.looked);
                }
                None => {
                    self.refused.insert(self.looked);
                }
            }
            self.looked += 1;
        }
    }

    /// What of a class's places is the same for all; nothing if none can match.
    fn judge(&self, market: &Market, order: &Order, class: &Class, now_secs: i64) -> Option<Terms> {
        let (job, whole) = (self.job.ad(), &class.whole);
        if self.nature.lasting == Lasting::Stays {
            let mine = Scope::new(job).target(whole).now(now_secs);
            for (clause, compiled) in &self.clauses {
                if is_static(market, whole, job, clause) && !mine.run_is_true(compiled) {
                    return None;
                }
            }
            let theirs = whole.get("Requirements").map(Expr::clauses);
            let scope = Scope::new(whole).target(job).now(now_secs);
            for clause in theirs.unwrap_or_default() {
                let own = whole.references(&clause);
                let stays = own.is_some_and(|own| {
                    let names = own.internal.iter().chain(&own.external);
                    names.into_iter().all(|name| {
                        let name = name.folded();
                        let name = name.strip_prefix("target.").unwrap_or(&name);
                        !market.is_dynamic(whole, name)
                    })
                });
                if stays && !scope.eval(&clause).is_true() {
                    return None;
                }
            }
        }
        Some(match self.nature.ranks {
            Ranks::ByClass => order.of_class(&self.job, whole, now_secs),
            Ranks::BySlot => Terms::default(),
        })
    }
}

/// One look for a place.
struct Search<'a> {
    auto: &'a Autocluster,
    market: &'a Market,
    pool: &'a Pool,
    order: &'a Order,
    wish: &'a Wish<'a>,
}

/// A place, and how good it is.
struct Place<'a> {
    name: &'a WorkerName,
    terms: Terms,
    cached_mib: u64,
    fit: Fit,
}

impl<'a> Search<'a> {
    /// The best of all that match.
    fn everywhere(&self) -> Option<WorkerName> {
        let fresh = |name: &WorkerName| !self.wish.avoid.contains(name);
        let best = match self.auto.nature.ranks {
            Ranks::ByClass => self.by_class(&fresh),
            Ranks::BySlot => self.by_slot(&fresh),
        };
        if best.is_some() || self.wish.avoid.is_empty() {
            return best.map(|place| place.name.clone());
        }
        // Those that failed it least are better than none.
        let mut failed: Vec<(usize, &WorkerName)> = Vec::new();
        for name in self.wish.avoid {
            let times = self.wish.avoid.iter().filter(|other| *other == name);
            failed.push((times.count(), name));
        }
        failed.sort_unstable();
        let tried = failed.iter().map(|(_, name)| *name);
        let mut tried = tried.filter(|name| self.place(name).is_some());
        tried.next().cloned()
    }

    /// The best of these.
    fn among(&self, names: impl Iterator<Item = &'a WorkerName>) -> Option<WorkerName> {
        let places = names.filter(|name| !self.is_refused(name));
        let places = places.filter_map(|name| self.place(name));
        let avoided = |place: &Place<'_>| self.wish.avoid.contains(place.name);
        let best = places.max_by(|a, b| {
            let fresh = avoided(b).cmp(&avoided(a));
            fresh.then_with(|| self.compare(a, b))
        });
        best.map(|place| place.name.clone())
    }

    /// From the best class on, the fullest place that matches; and those that have the job's files.
    fn by_class(&self, fresh: &dyn Fn(&WorkerName) -> bool) -> Option<Place<'a>> {
        let near = self.wish.near.keys();
        let near = near.filter(|name| fresh(name) && !self.is_refused(name));
        let near = near.filter_map(|name| {
            let (name, _) = self.pool.workers.get_key_value(name)?;
            self.place(name)
        });
        let best_near = near.max_by(|a, b| self.compare(a, b));
        let classes = self.market.classes(self.auto.projection);
        let need = need_of(&self.auto.spec);
        for (Passing(terms), alike) in &self.auto.passing {
            let places = alike
                .iter()
                .filter_map(|class| self.first_of(&classes[*class], terms, need, fresh));
            let Some(place) = places.max_by(|a, b| self.compare(a, b)) else {
                continue;
            };
            return match best_near {
                Some(near) if self.compare(&near, &place) == Ordering::Greater => Some(near),
                Some(_) | None => Some(place),
            };
        }
        best_near
    }

    /// The fullest member of a class that matches.
    fn first_of(
        &self,
        class: &'a Class,
        terms: &Terms,
        need: Fit,
        fresh: &dyn Fn(&WorkerName) -> bool,
    ) -> Option<Place<'a>> {
        let mut from = Bound::Included(need);
        while let Some((fit, names)) = class.next_fit(from, need) {
            for name in names {
                if fresh(name) && self.matches(self.pool.workers.get(name)?) {
                    let cached_mib = self.wish.near.get(name).copied().unwrap_or(0);
                    let terms = terms.clone();
                    return Some(Place {
                        name,
                        terms,
                        cached_mib,
                        fit,
                    });
                }
            }
            from = Bound::Excluded(fit);
        }
        None
    }

    /// Every open place, each with its own rank.
    fn by_slot(&self, fresh: &dyn Fn(&WorkerName) -> bool) -> Option<Place<'a>> {
        let classes = self.market.classes(self.auto.projection);
        let open = self.auto.passing.values().flatten();
        let open = open.flat_map(|class| classes[*class].open());
        let places = open.filter(|name| fresh(name));
        let places = places.filter_map(|name| self.place(name));
        places.max_by(|a, b| self.compare(a, b))
    }

    /// A worker as a place, if it matches.
    fn place(&self, name: &'a WorkerName) -> Option<Place<'a>> {
        let worker = self.pool.workers.get(name)?;
        if !self.market.is_open(name) || !self.matches(worker) {
            return None;
        }
        let (job, now) = (&self.auto.job, self.wish.now_secs);
        let cached_mib = self.wish.near.get(name).copied().unwrap_or(0);
        let terms = match self.auto.nature.ranks {
            Ranks::ByClass => self.order.of_class(job, &worker.whole, now),
            Ranks::BySlot => self.order.of_slot(job, &worker.slot, cached_mib, now),
        };
        Some(Place {
            name,
            terms,
            cached_mib,
            fit: (worker.free.gpus, worker.free.cpus, worker.free.memory_mib),
        })
    }

    fn is_refused(&self, name: &WorkerName) -> bool {
        let class = self.market.class_of(self.auto.projection, name);
        class.is_none_or(|class| self.auto.refused.contains(&class))
    }

    /// The evaluator's word on the slot as it is.
    fn matches(&self, worker: &Worker) -> bool {
        let (auto, now) = (self.auto, self.wish.now_secs);
        worker.has_room(&auto.spec)
            && auto.job.accepts(&worker.slot, now)
            && classad::half_match(&worker.slot, auto.job.ad(), now)
            && worker.choose_gpus(auto.job.ad(), &auto.spec, now).is_some()
    }

    /// Greater is better.
    fn compare(&self, a: &Place<'_>, b: &Place<'_>) -> Ordering {
        let head = a.terms.before.cmp(&b.terms.before);
        let cached = match self.order.counts_cached() {
            true => a.cached_mib.cmp(&b.cached_mib),
            false => Ordering::Equal,
        };
        head.then(cached)
            .then_with(|| a.terms.after.cmp(&b.terms.after))
            .then_with(|| b.fit.cmp(&a.fit))
            .then_with(|| b.name.cmp(a.name))
    }
}

impl Eq for Passing {}

impl PartialOrd for Passing {
    fn partial_cmp(&self, other: &Passing) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Passing {
    fn cmp(&self, other: &Passing) -> Ordering {
        let Passing(a) = self;
        let Passing(b) = other;
        b.before.cmp(&a.before).then_with(|| b.after.cmp(&a.after))
    }
}

// === impl RunTimes ===

impl RunTimes {
    /// Counts the last as at least an eighth, so that a change is seen.
    pub fn add(&mut self, ms: u64) {
        self.count += 1;
        let share = 1.0 / (self.count.min(8) as f64);
        self.mean_ms += (ms as f64 - self.mean_ms) * share;
    }
}

/// Whether a clause of a job's Requirements tests nothing that claims change.
fn is_static(market: &Market, whole: &ClassAd, job: &ClassAd, clause: &Expr) -> bool {
    let Some(references) = job.references(clause) else {
        return false;
    };
    references.external.iter().all(|name| {
        let name = name.folded();
        let name = name.strip_prefix("target.").unwrap_or(&name);
        if market.is_dynamic(whole, name) {
            return false;
        }
        let Some(expr) = whole.get(name).filter(|expr| !expr.is_literal()) else {
            return true;
        };
        whole.references(expr).is_some_and(|reached| {
            let mut names = reached.internal.iter().chain(&reached.external);
            names.all(|name| !market.is_dynamic(whole, &name.folded()))
        })
    })
}

/// What may be believed of answers about a job like this.
fn nature_of(market: &Market, order: &Order, job: &ClassAd, clauses: &[Expr]) -> Nature {
    let volatile = |ad: &ClassAd| {
        ad.iter()
            .filter(|(_, expr)| !expr.is_literal())
            .any(|(_, expr)| {
                let text = expr.to_string().to_ascii_lowercase();
                VOLATILE.iter().any(|word| text.contains(word))
            })
    };
    let passes = volatile(job) || market.programs().any(volatile);
    let plain = |clause: &Expr| is_lower_bound(clause) || only_of_class(market, job, clause);
    let steady = |slot: &ClassAd| {
        let own = slot.get("Requirements").map(Expr::clauses);
        own.unwrap_or_default()
            .iter()
            .all(|clause| only_of_slot(market, slot, clause))
    };
    let monotone = clauses.iter().all(plain) && market.programs().all(steady);
    let rank_stays =
        |expr: Option<&Expr>, ad: &ClassAd| expr.is_none_or(|expr| only_of_class(market, ad, expr));
    let by_class = order.is_fast()
        && rank_stays(job.get("Rank"), job)
        && market.programs().all(|slot| {
            let rank = slot.get("Rank");
            rank.is_none_or(|rank| only_of_slot(market, slot, rank))
        });
    Nature {
        lasting: if passes {
            Lasting::Passes
        } else {
            Lasting::Stays
        },
        monotone: if monotone && !passes {
            Monotone::Yes
        } else {
            Monotone::No
        },
        ranks: if by_class && !passes {
            Ranks::ByClass
        } else {
            Ranks::BySlot
        },
    }
}

/// Whether what an expression of a job tests of the other side is no matter of claims on any worker.
fn only_of_class(market: &Market, job: &ClassAd, expr: &Expr) -> bool {
    market
        .programs()
        .all(|whole| is_static(market, whole, job, expr))
}

/// The same for an expression of a slot.
fn only_of_slot(market: &Market, whole: &ClassAd, expr: &Expr) -> bool {
    whole.references(expr).is_some_and(|reached| {
        let mut names = reached.internal.iter().chain(&reached.external);
        names.all(|name| {
            let name = name.folded();
            name.starts_with("target.") || !market.is_dynamic(whole, &name)
        })
    })
}

/// Whether a clause has the form of the automatic ones: that there is at least as much of something
/// as is asked for. Only a gain can make it true.
fn is_lower_bound(clause: &Expr) -> bool {
    let text = clause.to_string();
    let text = text.trim_start_matches('(').trim_end_matches(')');
    let Some((left, right)) = text.split_once(">=") else {
        return false;
    };
    let amounts = ["TARGET.Cpus", "TARGET.Memory", "TARGET.Disk", "TARGET.GPUs"];
    let left = left.trim();
    let amount = amounts.iter().any(|name| name.eq_ignore_ascii_case(left));
    let counted = left
        .to_ascii_lowercase()
        .starts_with("countmatches(my.requiregpus");
    let right = right.trim().to_ascii_lowercase();
    let right = right.strip_prefix("my.").unwrap_or(&right);
    let plain = right.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (amount || counted) && plain && !right.is_empty()
}
