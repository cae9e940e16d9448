//! What follows from what happened, and was not done yet: a list that `step` works off before it
//! returns.

use std::collections::BTreeSet;

use proto::nouns::Now;

use crate::effect::Effect;
use crate::event::Event;
use crate::queue::Queue;

/// Work that an event left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// A proc of the node's cluster is final: the node, or the trial, may have ended.
    Judge { run: u32, node: u32 },
    /// A study may want trials, or be over.
    Tune { run: u32, node: u32 },
    /// The node may start.
    Start { run: u32, node: u32 },
    /// The run's nodes may all have ended.
    Close { run: u32 },
    /// Look for every node of a run that may start, and every study that may go on.
    Review { run: u32 },
}

/// The open items, each once; and whether there may be something to match, which is left to the end
/// of the turn, when everything that may run is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    items: BTreeSet<Item>,
    matching: Matching,
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

    pub(crate) fn pop(&mut self) -> Option<Item> {
        self.items.pop_first()
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
            Item::Judge { run, node } => (self.judge(run, node), Vec::new()),
            Item::Tune { run, node } => self.tune(run, node),
            Item::Start { run, node } => (self.start(now, run, node), Vec::new()),
            Item::Close { run } => (self.close(run), Vec::new()),
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
        if run.state != crate::run::RunState::Running {
            return;
        }
        let ready: Vec<u32> = run.ready().collect();
        let running: Vec<u32> = (0..)
            .zip(&run.nodes)
            .filter(|(_, node)| node.state == crate::run::NodeState::Running)
            .map(|(at, _)| at)
            .collect();
        self.agenda
            .items
            .extend(ready.into_iter().map(|node| Item::Start { run: id, node }));
        for node in running {
            self.agenda.add(Item::Judge { run: id, node });
            if self.is_study(id, node) {
                self.agenda.add(Item::Tune { run: id, node });
            }
        }
        self.agenda.add(Item::Close { run: id });
    }
}
