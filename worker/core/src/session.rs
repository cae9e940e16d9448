//! The machine itself: the claims, the session, and what each input does to them.
//! Holds no order, no log and no output: those are the shell's, by claim.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proto::nouns::{
    ClaimId, Digest, Ended, Fault, Now, Offer, Report, ToManager, ToWorker, VacateReason,
    WorkOrder, WorkerName,
};

use crate::claim::{Claim, Ending, report_without_process};
use crate::turns::Turns;
use crate::{Deadline, Effect, Phase};

/// Claims a worker knows at a time, finished and unacknowledged ones among them; one more is
/// refused.
pub const CLAIMS_MAX: usize = 10_000;
/// Ended claims that are remembered, so that a late `Activate` does not run one again. The oldest
/// go first.
pub const GONE_MAX: usize = 4_096;
/// Progress lines kept for each claim while there is no session; the oldest go first.
pub const PROGRESS_BACKLOG_LINES_MAX: usize = 1_000;
/// Digests of cached files that a `Hello` names.
pub const CACHED_MAX: usize = 1_000;
/// How long the answer to a `Hello` may take before it is said again.
pub const HELLO_RETRY_MS: u64 = 5_000;
/// A manager that asks for beats more often than this gets them this often.
const BEAT_MS_MIN: u64 = 50;

/// One worker: a name, an offer, its claims and at most one session.
#[derive(Clone, Debug, PartialEq)]
pub struct Core {
    name: WorkerName,
    boot: u64,
    version: String,
    offer: Offer,
    session: Session,
    /// The store that the last `Welcome` came from.
    pool: Option<u32>,
    claims: BTreeMap<ClaimId, Claim>,
    turns: Turns,
    gone: BTreeSet<ClaimId>,
    cached: Vec<Digest>,
    stopping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    None,
    /// `Hello` was said.
    Opening {
        hello_again_ms: u64,
    },
    Open {
        beat_ms: u64,
        next_beat_ms: u64,
    },
}

// === inputs: the session ===

impl Core {
    /// A worker without claims or session. `boot` differs at each start of the worker.
    pub fn new(name: WorkerName, boot: u64, version: String, offer: Offer) -> Core {
        Core {
            name,
            boot,
            version,
            offer,
            session: Session::None,
            pool: None,
            claims: BTreeMap::new(),
            turns: Turns::default(),
            gone: BTreeSet::new(),
            cached: Vec::new(),
            stopping: false,
        }
    }

    /// Reports of an earlier life that were never acknowledged. To be called before the first
    /// session.
    pub fn recovered(&mut self, reports: Vec<(ClaimId, Report)>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (claim, report) in reports {
            let report = Box::new(report);
            self.say(
                &mut effects,
                ToManager::Finished {
                    claim,
                    report: report.clone(),
                },
            );
            self.claims.insert(claim, Claim::Finished(report));
        }
        effects
    }

    /// What the worker's cache holds, the largest first: for the next `Hello`, which names no more
    /// than [`CACHED_MAX`].
    pub fn caches(&mut self, mut digests: Vec<Digest>) {
        digests.truncate(CACHED_MAX);
        self.cached = digests;
    }

    /// A new session: everything is said that the manager may have missed or lost.
    pub fn connected(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.hello(now, &mut effects);
        for (claim, state) in &self.claims {
            if state.phase() == Phase::Running {
                effects.push(Effect::Send(ToManager::Started { claim: *claim }));
            }
        }
        self.say_finished(&mut effects);
        effects
    }

    /// The session is over. Jobs go on.
    pub fn disconnected(&mut self, _now: Now) -> Vec<Effect> {
        self.session = Session::None;
        Vec::new()
    }

    /// The manager said something, in this session or in one before.
    pub fn message(&mut self, now: Now, message: ToWorker) -> Vec<Effect> {
        let mut effects = Vec::new();
        match message {
            ToWorker::Welcome {
                pool,
                lease_ms: _,
                beat_ms,
            } => {
                self.welcome(now, pool, beat_ms, &mut effects);
            }
            ToWorker::Activate {
                claim,
                order,
                behind,
            } => self.activate(now, claim, order, behind, &mut effects),
            ToWorker::Vacate {
                claim,
                reason,
                grace_ms,
            } => self.vacate(now, claim, reason, grace_ms, &mut effects),
            ToWorker::Forget { claim } => self.forget(claim, &mut effects),
            ToWorker::Tail {
                request,
                claim,
                stream,
                offset,
            } => {
                effects.push(Effect::Tail {
                    request,
                    claim,
                    stream,
                    offset,
                });
            }
            ToWorker::Goodbye { reason } => {
                self.session = Session::None;
                effects.push(Effect::Close { reason });
            }
            ToWorker::Leave { reason } => effects.push(Effect::Leave { reason }),
        }
        effects
    }

    /// What the worker offers has changed.
    pub fn advertise(&mut self, _now: Now, offer: Offer) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.offer != offer {
            self.offer = offer.clone();
            self.say(&mut effects, ToManager::Advertise { offer });
        }
        effects
    }

    /// The worker is about to stop: nothing new is started, and what runs is asked to end. The
    /// worker may go when [`Core::is_empty`], or when its patience ends.
    pub fn stop(&mut self, now: Now) -> Vec<Effect> {
        self.stopping = true;
        let mut effects = Vec::new();
        // First of all nothing more is offered: what is given up now must not be matched with it
        // again.
        let nothing = Offer {
            cpus: 0,
            memory_mib: 0,
            disk_kib: 0,
            gpus: Vec::new(),
            resources: BTreeMap::new(),
            ..self.offer.clone()
        };
        effects.extend(self.advertise(now, nothing));
        // Those that wait go first, or they would take the places of those that end.
        let waits = |state: &Claim| state.phase() == Phase::Waiting;
        let (waiting, others): (Vec<_>, Vec<_>) =
            self.claims.iter().partition(|(_, state)| waits(state));
        let claims: Vec<ClaimId> = waiting.iter().chain(&others).map(|(id, _)| **id).collect();
        for claim in claims {
            self.vacate(now, claim, VacateReason::Drained, None, &mut effects);
        }
        effects
    }

    /// Time has passed; due deadlines are acted on.
    pub fn tick(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self.session {
            Session::Opening { hello_again_ms } if hello_again_ms <= now.mono_ms => {
                self.hello(now, &mut effects);
                self.say_finished(&mut effects);
            }
            Session::Open {
                beat_ms,
                next_beat_ms,
            } if next_beat_ms <= now.mono_ms => {
                self.session = Session::Open {
                    beat_ms,
                    next_beat_ms: now.mono_ms + beat_ms,
                };
                effects.push(Effect::Send(ToManager::Beat {
                    claims: self.spoken_of(),
                }));
                self.say_finished(&mut effects);
            }
            Session::None | Session::Opening { .. } | Session::Open { .. } => {}
        }
        effects
    }
}

// === inputs: the jobs ===

impl Core {
    /// The claim's process runs.
    pub fn spawned(&mut self, _now: Now, claim: ClaimId) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(state) = self.claims.get_mut(&claim) else {
            // A process that nobody knows of must not be left running.
            return vec![kill(claim, Ending::KILL)];
        };
        match state {
            Claim::Staging(ending) => {
                *state = Claim::Running {
                    ending: *ending,
                    unsaid: VecDeque::new(),
                };
                self.say(&mut effects, ToManager::Started { claim });
            }
            // The wish to end it came before there was anything to end.
            Claim::Vacating(ending) => effects.push(kill(claim, *ending)),
            Claim::Doomed => effects.push(kill(claim, Ending::KILL)),
            Claim::Waiting(_) | Claim::Running { .. } | Claim::Finished(_) => {}
        }
        effects
    }

    /// The claim's process is over; its outputs may still be on their way. Whoever waits behind it
    /// starts. A shell that does not say so has them start at `ended`.
    pub fn process_over(&mut self, _now: Now, claim: ClaimId) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.start_next(claim, &mut effects);
        effects
    }

    /// The claim's process could not be started.
    pub fn spawn_failed(
        &mut self,
        now: Now,
        claim: ClaimId,
        fault: Fault,
        reason: String,
    ) -> Vec<Effect> {
        let ended = Ended::NotStarted { fault, reason };
        self.ended(now, claim, report_without_process(now.wall_ms, ended))
    }

    /// Lines that the job wrote to its metrics file.
    pub fn progress(&mut self, _now: Now, claim: ClaimId, lines: Vec<String>) -> Vec<Effect> {
        let open = matches!(self.session, Session::Open { .. });
        match self.claims.get_mut(&claim) {
            Some(Claim::Running { .. }) if open => {
                vec![Effect::Send(ToManager::Progress { claim, lines })]
            }
            Some(Claim::Running { unsaid, .. }) => {
                unsaid.extend(lines);
                let excess = unsaid.len().saturating_sub(PROGRESS_BACKLOG_LINES_MAX);
                unsaid.drain(..excess);
                Vec::new()
            }
            Some(
                Claim::Waiting(_)
                | Claim::Staging(_)
                | Claim::Vacating(_)
                | Claim::Doomed
                | Claim::Finished(_),
            )
            | None => Vec::new(),
        }
    }

    /// The claim's process is over and its outputs are where the manager can have them.
    pub fn ended(&mut self, now: Now, claim: ClaimId, mut report: Report) -> Vec<Effect> {
        let mut effects = self.process_over(now, claim);
        match self.claims.get(&claim).map(Claim::phase) {
            None | Some(Phase::Doomed) => {
                self.drop_claim(claim);
                effects.push(Effect::ForgetSpool { claim });
                return effects;
            }
            // What waits has no process that could end.
            Some(Phase::Finished | Phase::Waiting) => return effects,
            Some(Phase::Vacating) => report.ended = Ended::Vacated,
            Some(Phase::Staging | Phase::Running) => {}
        }
        let report = Box::new(report);
        if let Some(Claim::Running { unsaid, .. }) = self.claims.get_mut(&claim)
            && !unsaid.is_empty()
        {
            let lines = std::mem::take(unsaid).into();
            self.say(&mut effects, ToManager::Progress { claim, lines });
        }
        effects.push(Effect::Spool {
            claim,
            report: report.clone(),
        });
        self.claims.insert(claim, Claim::Finished(report.clone()));
        self.say(&mut effects, ToManager::Finished { claim, report });
        effects
    }
}

// === questions ===

impl Core {
    /// When `tick` wants to be called, on the monotonic clock, and why. None while there is no
    /// session.
    pub fn next_deadline(&self) -> Option<(u64, Deadline)> {
        match self.session {
            Session::None => None,
            Session::Opening { hello_again_ms } => Some((hello_again_ms, Deadline::HelloAgain)),
            Session::Open { next_beat_ms, .. } => Some((next_beat_ms, Deadline::Beat)),
        }
    }

    /// Each known claim and how far it has come, doomed ones included.
    pub fn claims(&self) -> impl Iterator<Item = (ClaimId, Phase)> + '_ {
        self.claims
            .iter()
            .map(|(claim, state)| (*claim, state.phase()))
    }

    /// Whether a claim waits behind another, so that something starts here without the manager.
    pub fn has_waiting(&self) -> bool {
        self.turns.has_waiting()
    }

    /// Whether nothing runs and nothing is left to be acknowledged.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Whether the manager has answered this session's `Hello`.
    pub fn is_open(&self) -> bool {
        matches!(self.session, Session::Open { .. })
    }
}

// === what messages do ===

impl Core {
    fn welcome(&mut self, now: Now, pool: u32, beat_ms: u64, effects: &mut Vec<Effect>) {
        let beat_ms = beat_ms.max(BEAT_MS_MIN);
        let due = now.mono_ms + beat_ms;
        let next_beat_ms = match self.session {
            // A late message of a session that is over.
            Session::None => return,
            Session::Opening { .. } => due,
            // Said twice: that must not put the next beat off for ever.
            Session::Open { next_beat_ms, .. } => next_beat_ms.min(due),
        };
        self.session = Session::Open {
            beat_ms,
            next_beat_ms,
        };
        self.pool = Some(pool);
        let foreign: Vec<ClaimId> = self
            .claims
            .keys()
            .filter(|claim| claim.pool != pool)
            .copied()
            .collect();
        for claim in foreign {
            self.forget(claim, effects);
        }
        for (claim, state) in &mut self.claims {
            if let Claim::Running { unsaid, .. } = state
                && !unsaid.is_empty()
            {
                let lines = std::mem::take(unsaid).into();
                effects.push(Effect::Send(ToManager::Progress {
                    claim: *claim,
                    lines,
                }));
            }
        }
    }

    fn activate(
        &mut self,
        now: Now,
        claim: ClaimId,
        order: Box<WorkOrder>,
        behind: Option<ClaimId>,
        effects: &mut Vec<Effect>,
    ) {
        let foreign = self.pool.is_some_and(|pool| pool != claim.pool);
        if foreign || self.claims.contains_key(&claim) || self.gone.contains(&claim) {
            return;
        }
        let refusal = if self.stopping {
            Some("the worker is stopping".to_owned())
        } else if self.claims.len() >= CLAIMS_MAX {
            Some(format!(
                "the worker already knows {CLAIMS_MAX} claims (CLAIMS_MAX)"
            ))
        } else {
            None
        };
        if let Some(reason) = refusal {
            let ended = Ended::NotStarted {
                fault: Fault::Worker,
                reason,
            };
            self.answer_unknown(now, claim, ended, effects);
            return;
        }
        match behind.filter(|front| self.turns.is_taken(*front)) {
            Some(behind) => {
                self.turns.wait(claim, behind);
                self.claims.insert(claim, Claim::Waiting(order));
            }
            None => self.start(claim, order, effects),
        }
    }

    fn start(&mut self, claim: ClaimId, order: Box<WorkOrder>, effects: &mut Vec<Effect>) {
        self.turns.take(claim);
        let ending = Ending::of(&order);
        self.claims.insert(claim, Claim::Staging(ending));
        effects.push(Effect::Run { claim, order });
    }

    /// The claim holds nothing any more: the first that waits behind it starts, and the others now
    /// wait behind that one.
    fn start_next(&mut self, claim: ClaimId, effects: &mut Vec<Effect>) {
        let Some(next) = self.turns.leave(claim) else {
            return;
        };
        let waiting = self.claims.remove(&next);
        let Some(Claim::Waiting(order)) = waiting else {
            unreachable!("whoever waits for a turn is in the phase Waiting");
        };
        self.start(next, order, effects);
    }

    fn vacate(
        &mut self,
        now: Now,
        claim: ClaimId,
        reason: VacateReason,
        grace_ms: Option<u64>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(state) = self.claims.get_mut(&claim) else {
            // Nothing runs here under that name, and nothing will: the slot is free.
            self.answer_unknown(now, claim, Ended::Vacated, effects);
            return;
        };
        let within = |ending: Ending| Ending {
            grace_ms: grace_ms.unwrap_or(ending.grace_ms),
            ..ending
        };
        match state {
            // It never began, so there is nothing to keep of it.
            Claim::Waiting(_) => {
                self.turns.give_up(claim);
                self.answer_unknown(now, claim, Ended::Vacated, effects);
            }
            // Too late to be called back: it has begun, and what it did would be lost.
            Claim::Running { .. } if reason == VacateReason::CalledBack => {
                self.say(effects, ToManager::Started { claim });
            }
            Claim::Staging(ending) | Claim::Running { ending, .. } => {
                let ending = within(*ending);
                *state = Claim::Vacating(ending);
                effects.push(kill(claim, ending));
            }
            // Said again it changes nothing, unless there is more of a hurry now.
            Claim::Vacating(ending) if within(*ending).grace_ms < ending.grace_ms => {
                *ending = within(*ending);
                effects.push(kill(claim, *ending));
            }
            Claim::Vacating(_) | Claim::Doomed => {}
            Claim::Finished(report) => {
                let report = report.clone();
                self.say(effects, ToManager::Finished { claim, report });
            }
        }
    }

    fn forget(&mut self, claim: ClaimId, effects: &mut Vec<Effect>) {
        match self.claims.get_mut(&claim) {
            Some(state @ (Claim::Staging(_) | Claim::Running { .. } | Claim::Vacating(_))) => {
                *state = Claim::Doomed;
                effects.push(kill(claim, Ending::KILL));
            }
            Some(Claim::Waiting(_)) => {
                self.turns.give_up(claim);
                self.drop_claim(claim);
            }
            Some(Claim::Doomed) => {}
            Some(Claim::Finished(_)) => {
                self.drop_claim(claim);
                effects.push(Effect::ForgetSpool { claim });
            }
            None => self.drop_claim(claim),
        }
    }

    /// Says how a claim ended that never began here, and sees to it that it never will. Not kept:
    /// whoever asks again is answered again.
    fn answer_unknown(
        &mut self,
        now: Now,
        claim: ClaimId,
        ended: Ended,
        effects: &mut Vec<Effect>,
    ) {
        self.drop_claim(claim);
        let report = Box::new(report_without_process(now.wall_ms, ended));
        self.say(effects, ToManager::Finished { claim, report });
    }

    fn drop_claim(&mut self, claim: ClaimId) {
        self.claims.remove(&claim);
        self.gone.insert(claim);
        if self.gone.len() > GONE_MAX {
            self.gone.pop_first();
        }
    }
}

// === what is said ===

impl Core {
    /// Sends `message` if there is a session to say it in.
    fn say(&self, effects: &mut Vec<Effect>, message: ToManager) {
        if self.session != Session::None {
            effects.push(Effect::Send(message));
        }
    }

    fn hello(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.session = Session::Opening {
            hello_again_ms: now.mono_ms + HELLO_RETRY_MS,
        };
        effects.push(Effect::Send(ToManager::Hello {
            worker: self.name.clone(),
            boot: self.boot,
            version: self.version.clone(),
            offer: self.offer.clone(),
            claims: self.spoken_of(),
            cached: self.cached.clone(),
        }));
    }

    fn say_finished(&self, effects: &mut Vec<Effect>) {
        for (claim, state) in &self.claims {
            if let Claim::Finished(report) = state {
                let (claim, report) = (*claim, report.clone());
                effects.push(Effect::Send(ToManager::Finished { claim, report }));
            }
        }
    }

    fn spoken_of(&self) -> Vec<ClaimId> {
        let spoken_of = self.claims.iter().filter(|(_, state)| state.is_spoken_of());
        spoken_of.map(|(claim, _)| *claim).collect()
    }
}

fn kill(claim: ClaimId, ending: Ending) -> Effect {
    Effect::Kill {
        claim,
        signal: ending.signal,
        grace_ms: ending.grace_ms,
    }
}
