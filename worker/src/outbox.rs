//! What is about to be said to the manager: together, where nobody waits for it. And what need not
//! be said at all: that a job runs, when it has ended before anybody could have used that. Its
//! report says when it started.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::nouns::{ClaimId, ToManager};
use tokio::time::Instant;

/// A job that starts when none has started for so long is told of at once.
const QUIET: Duration = Duration::from_millis(10);
/// How long the news that a job runs waits for the job's end while others start one after another.
const HOLD: Duration = Duration::from_millis(5);

/// How long a report waits for others while the manager has sent work ahead.
const GATHER: Duration = Duration::from_millis(5);
/// What is ready is said when it is so much.
const READY_MAX: usize = 64;

/// Whether the manager waits for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    Urgent,
    /// What comes next here was sent ahead.
    Leisurely,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    ready: Vec<ToManager>,
    /// When to say what is ready; nothing says at once.
    ready_at: Option<Instant>,
    /// Claims that run and were not told of, and until when that waits.
    held: BTreeMap<ClaimId, Instant>,
    last_start: Option<Instant>,
}

impl Outbox {
    pub fn push(&mut self, now: Instant, message: ToManager, demand: Demand) {
        let mut at = None;
        match &message {
            ToManager::Started { claim } => {
                let last = self.last_start.replace(now);
                if last.is_some_and(|last| now.duration_since(last) < QUIET) {
                    self.held.insert(*claim, now + HOLD);
                    return;
                }
            }
            ToManager::Finished { claim, .. } => {
                self.held.remove(claim);
                self.ready
                    .retain(|said| *said != ToManager::Started { claim: *claim });
                if demand == Demand::Leisurely {
                    at = Some(now + GATHER);
                }
            }
            ToManager::Progress { claim, .. } => {
                if self.held.remove(claim).is_some() {
                    self.ready.push(ToManager::Started { claim: *claim });
                }
            }
            ToManager::Hello { .. }
            | ToManager::Advertise { .. }
            | ToManager::Beat { .. }
            | ToManager::Log { .. } => {}
        }
        // One that is in a hurry takes the others with it.
        self.ready_at = match (self.ready.is_empty(), self.ready_at) {
            (true, _) => at,
            (false, before) => before.and_then(|before| at.map(|at| at.min(before))),
        };
        self.ready.push(message);
    }

    /// When [`Outbox::take`] has something that it has not now.
    pub fn deadline(&self) -> Option<Instant> {
        let gathered = self.ready_at.filter(|_| !self.ready.is_empty());
        self.held.values().copied().chain(gathered).min()
    }

    /// What is to be said now, in order.
    pub fn take(&mut self, now: Instant) -> Vec<ToManager> {
        let ready = &mut self.ready;
        self.held.retain(|claim, due| {
            if *due <= now {
                ready.push(ToManager::Started { claim: *claim });
            }
            *due > now
        });
        let gathers = self.ready_at.is_some_and(|at| now < at);
        if gathers && self.ready.len() < READY_MAX {
            return Vec::new();
        }
        std::mem::take(&mut self.ready)
    }

    /// Nobody is there to be told; whoever comes is told everything anew.
    pub fn clear(&mut self) {
        self.ready.clear();
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::nouns::{Ended, Report};

    fn started(serial: u64) -> ToManager {
        ToManager::Started {
            claim: ClaimId { pool: 1, serial },
        }
    }

    fn finished(serial: u64) -> ToManager {
        ToManager::Finished {
            claim: ClaimId { pool: 1, serial },
            report: Box::new(Report::new(Ended::Exited(0), 1, 2)),
        }
    }

    fn progress(serial: u64) -> ToManager {
        ToManager::Progress {
            claim: ClaimId { pool: 1, serial },
            lines: vec!["{}".to_owned()],
        }
    }

    #[test]
    fn a_job_that_is_over_is_not_said_to_run() {
        let mut outbox = Outbox::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        // The first start is news; those that follow it wait for their ends.
        outbox.push(at(0), started(1), Demand::Urgent);
        assert_eq!(outbox.take(at(0)), [started(1)]);
        outbox.push(at(1), started(2), Demand::Urgent);
        outbox.push(at(2), started(3), Demand::Urgent);
        assert!(outbox.take(at(3)).is_empty());
        outbox.push(at(4), finished(2), Demand::Urgent);
        assert_eq!(outbox.take(at(4)), [finished(2)]);
        assert_eq!(outbox.deadline(), Some(at(2) + HOLD));
        assert_eq!(outbox.take(at(2) + HOLD), [started(3)]);
        assert_eq!(outbox.deadline(), None);
        // What a job does is not told before its start.
        outbox.push(at(8), started(4), Demand::Urgent);
        outbox.push(at(9), progress(4), Demand::Urgent);
        outbox.push(at(9), finished(4), Demand::Urgent);
        assert_eq!(outbox.take(at(9)), [progress(4), finished(4)]);
        outbox.push(at(10), started(6), Demand::Urgent);
        outbox.push(at(11), progress(6), Demand::Urgent);
        assert_eq!(outbox.take(at(11)), [started(6), progress(6)]);
        outbox.push(at(11) + QUIET, started(5), Demand::Urgent);
        assert_eq!(outbox.take(at(11) + QUIET), [started(5)]);
        // Not even one that was news.
        outbox.push(at(12) + 2 * QUIET, started(7), Demand::Urgent);
        outbox.push(at(12) + 2 * QUIET, finished(7), Demand::Urgent);
        assert_eq!(outbox.take(at(12) + 2 * QUIET), [finished(7)]);
    }

    #[test]
    fn reports_that_nobody_waits_for_are_gathered() {
        let mut outbox = Outbox::default();
        let start = Instant::now();
        outbox.push(start, finished(1), Demand::Leisurely);
        assert!(outbox.take(start).is_empty());
        outbox.push(start + GATHER / 2, finished(2), Demand::Leisurely);
        assert_eq!(outbox.deadline(), Some(start + GATHER));
        assert_eq!(outbox.take(start + GATHER), [finished(1), finished(2)]);
        assert_eq!(outbox.deadline(), None);
        // What is urgent takes along what is not.
        outbox.push(start, finished(3), Demand::Leisurely);
        outbox.push(start, finished(4), Demand::Urgent);
        outbox.push(start, finished(5), Demand::Leisurely);
        assert_eq!(outbox.take(start), [finished(3), finished(4), finished(5)]);
        for serial in 0..READY_MAX as u64 {
            assert!(outbox.take(start).is_empty(), "{serial}");
            outbox.push(start, finished(serial), Demand::Leisurely);
        }
        assert_eq!(outbox.take(start).len(), READY_MAX);
    }
}
