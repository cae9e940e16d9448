//! What follows from what happened, and was not done yet: a list that `step` works off before it
//! returns.

use std::collections::BTreeSet;

use proto::nouns::{JobId, Now};

use crate::effect::Effect;
use crate::event::Event;
use crate::queue::Queue;
use crate::run::{NodeState, RunState};

/// Work that an event left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// A proc of the node's cluster is final: the node, or the trial, may have ended.
    Judge { run: u32, node: u32 },
    /// A study may want trials, or be over.
    Tune { run: u32, node: u32 },
    /// A job of the node was held.
    Held { run: u32, node: u32 },
    /// What the node needs before it can start is to be fetched once more.
    Prepare { run: u32, node: u32 },
    /// The run's nodes may all have ended.
    Close { run: u32 },
    /// It is to be found out where a cluster's idle jobs stand among those who wait.
    Sort { cluster: u32 },
    /// The same for one job.
    SortJob { job: JobId },
    /// A job's state changed, and its description says what then.
    Policy { job: JobId },
    /// A drained worker may have nothing left that runs there.
    Drains,
    /// Look for every node of a run that may start, and every study that may go on.
    Review { run: u32 },
    /// Some node may have its turn. Runs have theirs in a circle; it comes last, so that nothing
    /// waits for the whole of a large DAG.
    Launch { run: u32 },
}

/// The open items, each once; and whether there may be something to match, which is left to the end
/// of the turn, when everything that may run is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    items: BTreeSet<Item>,
    matching: Matching,
    /// The run that had its turn last.
    launched: u32,
}

/// Whether something is idle or free that was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Matching {
    #[default]
    Settled,
    Wanted,
}

impl Agenda {
    pub(crate) fn add(&mut self, item: Item) {
        self.items.insert(item);
    }

    pub(crate) fn add_match(&mut self) {
        self.matching = Matching::Wanted;
    }

    /// Whether matching was wanted; from now on it is not.
    pub(crate) fn take_match(&mut self) -> bool {
        std::mem::take(&mut self.matching) == Matching::Wanted
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.items.is_empty() || self.matching == Matching::Wanted
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        let first = *self.items.first()?;
        let item = match first {
            Item::Launch { .. } => {
                let after = Item::Launch {
                    run: self.launched.saturating_add(1),
                };
                let last = Item::Launch { run: u32::MAX };
                self.items
                    .range(after..=last)
                    .next()
                    .copied()
                    .unwrap_or(first)
            }
            Item::Judge { .. }
            | Item::Tune { .. }
            | Item::Held { .. }
            | Item::Prepare { .. }
            | Item::Close { .. }
            | Item::Sort { .. }
            | Item::SortJob { .. }
            | Item::Policy { .. }
            | Item::Drains
            | Item::Review { .. } => first,
        };
        if let Item::Launch { run } = item {
            self.launched = run;
        }
        self.items.remove(&item);
        Some(item)
    }

    /// What a restart puts on it.
    pub(crate) fn everything(&mut self, runs: impl Iterator<Item = u32>) {
        self.items.extend(runs.map(|run| Item::Review { run }));
        self.add_match();
    }
}

impl Queue {
    /// What one item leads to.
    pub(crate) fn follow(&mut self, now: Now, item: Item) -> (Vec<Event>, Vec<Effect>) {
        match item {
            Item::Judge { run, node } => self.judge(run, node),
            Item::Tune { run, node } => self.tune(run, node),
            Item::Held { run, node } => self.held(run, node),
            Item::Prepare { run, node } => (Vec::new(), self.prepare_again(run, node)),
            Item::Policy { job } => self.look_again(now, job),
            Item::Sort { cluster } => (self.sort(cluster), Vec::new()),
            Item::SortJob { job } => {
                let event = self.sort_job(job);
                (event.into_iter().collect(), Vec::new())
            }
            Item::Drains => self.drains_over(),
            Item::Launch { run } => self.launch(now, run),
            Item::Close { run } => self.close(run),
            Item::Review { run } => {
                self.review(run);
                (Vec::new(), Vec::new())
            }
        }
    }

    /// Puts on the agenda what a run may go on with.
    fn review(&mut self, id: u32) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        if run.state != RunState::Running {
            return;
        }
        for (node, record) in (0..).zip(&run.nodes) {
            match record.state {
                NodeState::Running => {
                    self.agenda.add(Item::Judge { run: id, node });
                    if run.studies.contains_key(&node) {
                        self.agenda.add(Item::Tune { run: id, node });
                    }
                }
                NodeState::Preparing => self.agenda.add(Item::Prepare { run: id, node }),
                NodeState::Waiting
                | NodeState::Pre
                | NodeState::Ready
                | NodeState::Post
                | NodeState::Done
                | NodeState::Failed { .. }
                | NodeState::Futile => {}
            }
        }
        self.agenda.add(Item::Launch { run: id });
        self.agenda.add(Item::Close { run: id });
    }
}
