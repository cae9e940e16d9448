//! Claims that were sent ahead: for each slot that runs short jobs, the claims that wait behind the
//! one that holds it. A slot then never waits for a round trip.

use std::collections::{BTreeMap, BTreeSet};

use proto::nouns::{ClaimId, WorkerName};

use super::autocluster::RunTimes;
use super::demand::AutoId;
use crate::accounts::Submitter;

/// Claims behind the one that holds a slot, at most.
const AHEAD_MAX: usize = 32;
/// How much work, by what such jobs took so far, is sent ahead of a slot.
const AHEAD_MS: f64 = 100.0;

/// Jobs that may follow each other in a slot without being matched anew: of one autocluster, and
/// paid for by one submitter.
pub(crate) type Kind = (AutoId, Submitter);

/// All chains.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chains {
    /// By the claim that holds the slot.
    chains: BTreeMap<ClaimId, Chain>,
    front_of: BTreeMap<ClaimId, ClaimId>,
    /// Those of a kind, the shortest first.
    by_length: BTreeMap<Kind, BTreeSet<(usize, ClaimId)>>,
    /// Those in which anything waits.
    long: BTreeSet<ClaimId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub kind: Kind,
    pub worker: WorkerName,
    /// The front first.
    pub claims: Vec<ClaimId>,
}

/// How many claims may wait behind the one that holds a slot.
pub(crate) fn depth(times: &RunTimes) -> usize {
    if times.count == 0 || times.mean_ms > AHEAD_MS {
        return 0;
    }
    let fit = AHEAD_MS / times.mean_ms.max(AHEAD_MS / AHEAD_MAX as f64);
    (fit as usize).min(AHEAD_MAX)
}

impl Chains {
    /// A claim holds a slot.
    pub fn begin(&mut self, front: ClaimId, kind: Kind, worker: WorkerName) {
        self.by_length
            .entry(kind.clone())
            .or_default()
            .insert((1, front));
        self.front_of.insert(front, front);
        let claims = vec![front];
        self.chains.insert(
            front,
            Chain {
                kind,
                worker,
                claims,
            },
        );
    }

    /// A claim waits behind another.
    pub fn extend(&mut self, behind: ClaimId, claim: ClaimId) {
        let Some(front) = self.front_of.get(&behind).copied() else {
            return;
        };
        self.front_of.insert(claim, front);
        self.change(front, |claims| claims.push(claim));
    }

    /// A claim has ended, wherever it stood.
    pub fn end(&mut self, claim: ClaimId) {
        let Some(front) = self.front_of.remove(&claim) else {
            return;
        };
        self.change(front, |claims| claims.retain(|other| *other != claim));
    }

    /// The shortest chain of a kind, if more may be sent ahead.
    pub fn shortest(&self, kind: &Kind, depth: usize) -> Option<&Chain> {
        let (length, front) = self.by_length.get(kind)?.first()?;
        (*length <= depth).then(|| &self.chains[front])
    }

    /// The longest chain of a kind.
    pub fn longest(&self, kind: &Kind) -> Option<&Chain> {
        let (_, front) = self.by_length.get(kind)?.last()?;
        Some(&self.chains[front])
    }

    /// The kinds that there are chains of.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.by_length.keys()
    }

    /// Chains in which anything waits.
    pub fn long(&self) -> impl Iterator<Item = &Chain> {
        self.long.iter().map(|front| &self.chains[front])
    }

    fn change(&mut self, front: ClaimId, change: impl FnOnce(&mut Vec<ClaimId>)) {
        let mut chain = self
            .chains
            .remove(&front)
            .expect("each claim that has a front is in its chain");
        let kind = chain.kind.clone();
        let lengths = self.by_length.entry(kind.clone()).or_default();
        lengths.remove(&(chain.claims.len(), front));
        self.long.remove(&front);
        change(&mut chain.claims);
        match chain.claims.first().copied() {
            Some(first) => {
                lengths.insert((chain.claims.len(), first));
                if chain.claims.len() > 1 {
                    self.long.insert(first);
                }
                if first != front {
                    for claim in &chain.claims {
                        self.front_of.insert(*claim, first);
                    }
                }
                self.chains.insert(first, chain);
            }
            None => {
                if lengths.is_empty() {
                    self.by_length.remove(&kind);
                }
            }
        }
    }
}
