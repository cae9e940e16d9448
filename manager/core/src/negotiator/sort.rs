//! How idle jobs come among those who wait: which autocluster each is of, who pays for it, and what
//! stands before it.

use std::cmp::Reverse;

use super::autocluster::{Shared, key_of};
use super::demand::Entry;
use super::*;
use crate::policy::Watching;

/// Procs of one cluster, each with an autocluster of its own, that are looked at in one go.
const SORT_MAX: u32 = 256;
/// Autoclusters that nobody waits in and that are remembered all the same.
const AUTOS_IDLE_MAX: usize = 10_000;
impl Queue {
    /// Puts a cluster among the waiting, or takes it out, as its idle procs say; and among those
    /// whose policies are looked at.
    pub(crate) fn place(&mut self, id: u32) {
        let cluster = self
            .clusters
            .get_mut(&id)
            .expect("only clusters that are there are placed");
        if cluster.watching != Watching::Nothing && cluster.live() > 0 {
            self.watch.clusters.insert(id);
        } else {
            self.watch.clusters.remove(&id);
        }
        match &cluster.placed.sorting {
            Sorting::Unknown => {
                if cluster.next_idle(0).is_some() {
                    self.agenda.add(Item::Sort { cluster: id });
                }
            }
            Sorting::Alike {
                submitter,
                auto,
                priority,
            } => {
                let entry = cluster.next_idle(0).is_some().then(|| Entry {
                    submitter: submitter.clone(),
                    auto: *auto,
                    place: cluster.place_at(*priority, None),
                });
                self.put_entry(id, None, entry);
            }
            Sorting::Each { below } => {
                // A study has grown by a trial, or more of the procs are jobs by now.
                if cluster.next_idle(*below).is_some() {
                    self.agenda.add(Item::Sort { cluster: id });
                }
            }
        }
    }

    /// The same for one job, after its state changed.
    pub(crate) fn place_job(&mut self, job: JobId) {
        let cluster = &self.clusters[&job.cluster];
        if let Sorting::Each { below } = cluster.placed.sorting {
            if cluster.is_idle(job.proc) {
                if job.proc < below && !cluster.placed.entries.contains_key(&Some(job.proc)) {
                    self.agenda.add(Item::SortJob { job });
                }
            } else {
                self.put_entry(job.cluster, Some(job.proc), None);
            }
        }
        self.place(job.cluster);
    }

    /// One of its jobs asks for something of its own from now on.
    pub(crate) fn vary(&mut self, id: u32) {
        if let Some(cluster) = self.clusters.get_mut(&id) {
            cluster.varied = true;
        }
        self.displace(id);
    }

    /// Takes a cluster out, to be sorted anew: what its jobs ask for has changed.
    pub(crate) fn displace(&mut self, id: u32) {
        let Some(cluster) = self.clusters.get_mut(&id) else {
            return;
        };
        let placed = std::mem::take(&mut cluster.placed);
        for entry in placed.entries.values() {
            self.withdraw(entry);
        }
        self.place(id);
        self.agenda.add_match();
    }

    /// Finds out where a cluster's idle procs stand.
    pub(crate) fn sort(&mut self, id: u32) -> Vec<Event> {
        let Some(cluster) = self.clusters.get(&id) else {
            return Vec::new();
        };
        let below = match cluster.placed.sorting {
            Sorting::Alike { .. } => return Vec::new(),
            Sorting::Unknown => 0,
            Sorting::Each { below } => below,
        };
        let Some(first) = cluster.next_idle(below) else {
            return Vec::new();
        };
        let job = JobId {
            cluster: id,
            proc: first,
        };
        self.agenda.add_match();
        if below == 0 && self.may_be_alike(cluster) {
            match self.sorted(job) {
                Err(event) => {
                    // The next of them has its own turn.
                    self.agenda.add(Item::Sort { cluster: id });
                    return vec![*event];
                }
                Ok((entry, Shared::Cluster, priority)) => {
                    let Entry {
                        submitter, auto, ..
                    } = entry;
                    let cluster = self.clusters.get_mut(&id).expect("it was just read");
                    cluster.placed.sorting = Sorting::Alike {
                        submitter,
                        auto,
                        priority,
                    };
                    self.place(id);
                    return Vec::new();
                }
                Ok((_, Shared::Job, _)) => {}
            }
        }
        self.sort_each(id, first)
    }

    /// Each by itself, some at a time.
    fn sort_each(&mut self, id: u32, first: u32) -> Vec<Event> {
        let mut events = Vec::new();
        let mut next = Some(first);
        let mut below = first;
        for _ in 0..SORT_MAX {
            let Some(proc) = next else { break };
            events.extend(self.sort_job(JobId { cluster: id, proc }));
            below = proc + 1;
            next = self.clusters[&id].next_idle(below);
        }
        let cluster = self.clusters.get_mut(&id).expect("it was just read");
        cluster.placed.sorting = Sorting::Each { below };
        if next.is_some() {
            self.agenda.add(Item::Sort { cluster: id });
        }
        events
    }

    /// Finds out where one job stands.
    pub(crate) fn sort_job(&mut self, job: JobId) -> Option<Event> {
        let cluster = self.clusters.get(&job.cluster)?;
        if !cluster.is_idle(job.proc) {
            return None;
        }
        match self.sorted(job) {
            Ok((entry, _, _)) => {
                self.put_entry(job.cluster, Some(job.proc), Some(entry));
                self.agenda.add_match();
                None
            }
            Err(event) => Some(*event),
        }
    }

    /// A job's autocluster, who pays for it, its place and its priority; or the event that takes it
    /// away, because its description does not expand.
    fn sorted(&mut self, job: JobId) -> Result<(Entry, Shared, i64), Box<Event>> {
        let cluster = &self.clusters[&job.cluster];
        let spec = match self.shared_spec(cluster, job.proc) {
            Ok(spec) => spec,
            Err(reason) => {
                let event = self.unfit(job, HoldCode::FailedToCreateProcess, reason);
                return Err(Box::new(event));
            }
        };
        let ad = self.job_ad(cluster, job, &spec);
        let submitter = Submitter::of(&spec, &cluster.owner);
        let given = cluster.own_priority(job.proc);
        let given = given.or_else(|| cluster.edited_priority());
        let of_node = || {
            let (run, node) = cluster.node()?;
            Some(self.runs[&run].priority_of(node)).filter(|priority| *priority != 0)
        };
        let priority = given.or_else(of_node).unwrap_or(spec.priority);
        let place = cluster.place_at(priority, Some(job.proc));
        let Negotiation { market, order, .. } = &self.negotiation;
        let key = key_of(market, order, &ad, &spec);
        let auto = self.autocluster(key.text, &ad, spec);
        let entry = Entry {
            submitter,
            auto,
            place,
        };
        Ok((entry, key.shared, priority))
    }

    /// The autocluster with a key, made if there is none.
    fn autocluster(&mut self, key: String, ad: &ClassAd, spec: Arc<JobSpec>) -> AutoId {
        let of = &mut self.negotiation;
        if let Some(auto) = of.by_key.get(&key) {
            return *auto;
        }
        if of.autos.len() > AUTOS_IDLE_MAX {
            let used: BTreeSet<AutoId> = of.running.values().copied().collect();
            of.autos
                .retain(|auto, entry| entry.waiting > 0 || used.contains(auto));
            let autos = &of.autos;
            of.by_key.retain(|_, auto| autos.contains_key(auto));
        }
        let auto = of.next_auto;
        of.next_auto = of.next_auto.wrapping_add(1);
        let entry = Autocluster::new(&mut of.market, &of.order, ad, spec);
        of.autos.insert(auto, entry);
        of.by_key.insert(key, auto);
        auto
    }

    /// Whether the descriptions of a cluster's jobs agree in what decides where they run.
    fn may_be_alike(&self, cluster: &Cluster) -> bool {
        match cluster.source {
            Source::Study { .. } => false,
            Source::User | Source::Node { .. } if cluster.varied => false,
            Source::User | Source::Node { .. } => self.differ_lightly(cluster),
        }
    }

    /// Replaces an entry among the waiting.
    fn put_entry(&mut self, id: u32, proc: Option<u32>, entry: Option<Entry>) {
        let cluster = self.clusters.get_mut(&id).expect("the caller has read it");
        if cluster.placed.entries.get(&proc) == entry.as_ref() {
            return;
        }
        let old = match entry.clone() {
            Some(entry) => cluster.placed.entries.insert(proc, entry),
            None => cluster.placed.entries.remove(&proc),
        };
        if let Some(old) = old {
            self.withdraw(&old);
        }
        if let Some(entry) = entry {
            self.negotiation.demand.insert(&entry);
            if let Some(auto) = self.negotiation.autos.get_mut(&entry.auto) {
                auto.waiting += 1;
            }
            self.agenda.add_match();
        }
    }

    fn withdraw(&mut self, entry: &Entry) {
        self.negotiation.demand.remove(entry);
        if let Some(auto) = self.negotiation.autos.get_mut(&entry.auto) {
            auto.waiting -= 1;
        }
    }

    /// The autocluster of a job that waits.
    pub(crate) fn auto_of(&self, job: JobId) -> Option<AutoId> {
        let placed = &self.clusters.get(&job.cluster)?.placed;
        match &placed.sorting {
            Sorting::Alike { auto, .. } => Some(*auto),
            Sorting::Unknown | Sorting::Each { .. } => {
                Some(placed.entries.get(&Some(job.proc))?.auto)
            }
        }
    }

    /// A job's claim begins, of an autocluster, or is over.
    pub(crate) fn set_running(&mut self, job: JobId, auto: Option<AutoId>) {
        match auto {
            Some(auto) => self.negotiation.running.insert(job, auto),
            None => self.negotiation.running.remove(&job),
        };
    }

    /// Makes the autoclusters anew where workers ask something else of jobs than they did.
    pub(super) fn follow_market(&mut self) {
        let of = &mut self.negotiation;
        if of.generation == of.market.generation() {
            return;
        }
        of.generation = of.market.generation();
        let same = of.by_key.iter().all(|(key, auto)| {
            let entry = &of.autos[auto];
            key_of(&of.market, &of.order, entry.ad(), entry.spec()).text == *key
        });
        if same {
            for entry in of.autos.values_mut() {
                entry.renew(&mut of.market, &of.order);
            }
            return;
        }
        of.by_key.clear();
        let ids: Vec<u32> = self.clusters.keys().copied().collect();
        for id in ids {
            self.displace(id);
        }
        let used: BTreeSet<AutoId> = self.negotiation.running.values().copied().collect();
        let autos = &mut self.negotiation.autos;
        autos.retain(|auto, _| used.contains(auto));
    }
}

impl Cluster {
    /// Where a job of it stands among those who wait.
    fn place_at(&self, priority: i64, proc: Option<u32>) -> Place {
        let started = match self.source {
            Source::Study { .. } => self.count - self.idle_count(),
            Source::User | Source::Node { .. } => 0,
        };
        Place {
            standing: Reverse((priority, self.path)),
            started,
            cluster: self.id,
            proc,
        }
    }
}
