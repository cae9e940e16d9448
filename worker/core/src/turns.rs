//! Who has resources here, and who waits behind whom. Knows claims by their names only; what they
//! run, and what is said of them, is the session's.

use std::collections::{BTreeMap, BTreeSet};

use proto::nouns::ClaimId;

/// Chains of claims: one that has resources at the head of each, the others in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    /// From its start until its process is over.
    running: BTreeSet<ClaimId>,
    /// Who waits right behind whom.
    next: BTreeMap<ClaimId, ClaimId>,
    /// The other way round.
    front: BTreeMap<ClaimId, ClaimId>,
}

impl Turns {
    /// Whether the claim has resources, or waits for them.
    pub fn is_taken(&self, claim: ClaimId) -> bool {
        self.running.contains(&claim) || self.front.contains_key(&claim)
    }

    pub fn has_waiting(&self) -> bool {
        !self.front.is_empty()
    }

    /// The claim has resources from now on.
    pub fn take(&mut self, claim: ClaimId) {
        self.running.insert(claim);
    }

    /// Puts the claim at the end of the chain that `behind`, which is taken, is part of.
    pub fn wait(&mut self, claim: ClaimId, behind: ClaimId) {
        let mut last = behind;
        while let Some(next) = self.next.get(&last) {
            last = *next;
        }
        self.next.insert(last, claim);
        self.front.insert(claim, last);
    }

    /// The claim has nothing any more. Who is next, and no longer waits.
    pub fn leave(&mut self, claim: ClaimId) -> Option<ClaimId> {
        if !self.running.remove(&claim) {
            return None;
        }
        let next = self.next.remove(&claim)?;
        self.front.remove(&next);
        Some(next)
    }

    /// The claim does not wait any more: who waited behind it moves up.
    pub fn give_up(&mut self, claim: ClaimId) {
        let (front, next) = (self.front.remove(&claim), self.next.remove(&claim));
        if let Some(front) = front {
            self.next.remove(&front);
            if let Some(next) = next {
                self.next.insert(front, next);
                self.front.insert(next, front);
            }
        }
    }
}
