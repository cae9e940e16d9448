//! What the policies of jobs' own descriptions lead to: at a job's end, when its state changed, and
//! from time to time. Source: HTCondor manual, "condor_submit", "Policy commands".

use std::collections::BTreeSet;

use classad::{ClassAd, Expr, Scope, Value};
use dags::submit::{HoldWhen, JobSpec};
use proto::nouns::{JobId, Now, Report, VacateReason};

use crate::ad;
use crate::decide::node::Deeds;
use crate::effect::Effect;
use crate::event::{Event, LookNext, Requeue, Soft};
use crate::job::{Cluster, HoldCode, PolicyHold, Proc, ProcState};
use crate::negotiator::seconds;
use crate::policy::{Limited, Watching};
use crate::queue::Queue;

/// Jobs whose policies one turn evaluates, and jobs that it passes by, before it goes on in the
/// next.
const EVALUATED_MAX: usize = 512;
const PASSED_MAX: usize = 65_536;

/// Why policies are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// The job's state changed. What would lead back to the state it was in waits for its time:
    /// else a job could go to and fro within one turn.
    Changed,
    Timer,
}

/// What becomes of a job whose program ended.
#[derive(Debug)]
pub(super) enum AtExit {
    Leave,
    Hold(PolicyHold),
    /// It runs again.
    Again,
}

/// What a look led to.
type Found = (Vec<Event>, Option<Effect>);

/// What an expression says of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    True,
    False,
    Undefined,
}

impl Queue {
    /// Whether a job whose program ended leaves: `on_exit_hold` first, then `on_exit_remove`.
    pub(super) fn at_exit(
        &self,
        now: Now,
        job: JobId,
        (cluster, proc): (&Cluster, &Proc),
        report: &Report,
    ) -> AtExit {
        let Ok(spec) = self.shared_spec(cluster, job.proc) else {
            return AtExit::Leave;
        };
        let mut ad = self.job_ad(cluster, job, &spec);
        ad::ended(&mut ad, &report.ended);
        ad.insert(
            "NumJobCompletions",
            i64::from(proc.past.completions.saturating_add(1)),
        );
        let claimed_ms = now.wall_ms.saturating_sub(proc.since_ms);
        let wall_ms = proc.past.claimed_for_ms.saturating_add(claimed_ms);
        ad.insert("RemoteWallClockTime", wall_ms as f64 / 1000.0);
        let judge = Judge::new(now, &ad);
        if let Some(hold) = &spec.policy.on_exit_hold
            && let Some(hold) = judge.hold("OnExitHold", hold)
        {
            return AtExit::Hold(hold);
        }
        let Some(remove) = &spec.policy.on_exit_remove else {
            return AtExit::Leave;
        };
        match judge.answer(remove) {
            Answer::True => AtExit::Leave,
            Answer::False => AtExit::Again,
            Answer::Undefined => AtExit::Hold(undefined("OnExitRemove", remove)),
        }
    }

    /// What the policies of one job lead to now that its state changed.
    pub(crate) fn look_again(&self, now: Now, job: JobId) -> Deeds {
        let found = self
            .clusters
            .get(&job.cluster)
            .filter(|cluster| cluster.watching != Watching::Nothing)
            .and_then(|cluster| self.look(now, cluster, job, Look::Changed));
        deeds(found)
    }

    /// What the policies of jobs lead to whose time has come. What `taken` names is decided about
    /// already.
    pub(super) fn policies_due(&self, now: Now, mut taken: BTreeSet<JobId>) -> Deeds {
        let (mut events, mut effects) = (Vec::new(), Vec::new());
        for job in self.watch.ended(now) {
            if let Some(limit) = self.time_limit(job).filter(|_| taken.insert(job)) {
                let (code, what) = match limit.of {
                    Limited::Job => (HoldCode::JobDuration, "job"),
                    Limited::Execution => (HoldCode::ExecuteDuration, "execute"),
                };
                let allowed = short_time(limit.allowed_s);
                let reason = format!("The job exceeded allowed {what} duration of {allowed}");
                effects.extend(self.ask_to_stop(job, VacateReason::Held));
                events.push(Event::JobHeld { job, code, reason });
            }
        }
        if self.watch.ended(now).next().is_some() {
            events.push(Event::Soft(Soft::DurationsLooked));
        }
        if let Some(from) = self.watch.from(now) {
            let (next, found) = self.look_at_jobs(now, from, &taken);
            events.extend(found.0);
            effects.extend(found.1);
            events.push(Event::Soft(Soft::PoliciesLooked { next }));
        }
        (events, effects)
    }

    /// Looks at jobs in order, as many as one turn may.
    fn look_at_jobs(&self, now: Now, from: JobId, taken: &BTreeSet<JobId>) -> (LookNext, Deeds) {
        let mut found = (Vec::new(), Vec::new());
        let (mut evaluated, mut passed) = (0, 0);
        for &id in self.watch.clusters.range(from.cluster..) {
            let cluster = &self.clusters[&id];
            let mut at = if id == from.cluster { from.proc } else { 0 };
            if evaluated >= EVALUATED_MAX {
                let job = JobId {
                    cluster: id,
                    proc: at,
                };
                return (LookNext::Job(job), found);
            }
            let is_quiet = self.is_quiet(now, cluster);
            evaluated += 1;
            let touched = |at| cluster.procs.range(at..).next().map(|(proc, _)| *proc);
            while let Some(proc) = match is_quiet {
                true => touched(at),
                // Those that are no jobs yet have no policy.
                false if at < cluster.count.min(cluster.window_end()) => Some(at),
                false => touched(at),
            } {
                let job = JobId { cluster: id, proc };
                if evaluated >= EVALUATED_MAX || passed >= PASSED_MAX {
                    return (LookNext::Job(job), found);
                }
                at = proc + 1;
                let state = cluster.procs.get(&proc).map(|proc| &proc.state);
                if state.is_some_and(|state| !can_change(state)) || taken.contains(&job) {
                    passed += 1;
                    continue;
                }
                evaluated += 1;
                let (events, effects) = deeds(self.look(now, cluster, job, Look::Timer));
                found.0.extend(events);
                found.1.extend(effects);
            }
        }
        (LookNext::Later, found)
    }

    /// Whether nothing is to be done about any untouched job of a cluster.
    fn is_quiet(&self, now: Now, cluster: &Cluster) -> bool {
        let job = |proc| JobId {
            cluster: cluster.id,
            proc,
        };
        let first = cluster.fresh().next();
        match cluster.watching {
            Watching::Nothing => true,
            Watching::EachJob => first.is_none(),
            Watching::Alike => {
                first.is_none_or(|proc| self.look(now, cluster, job(proc), Look::Timer).is_none())
            }
        }
    }

    /// What the periodic policies say of one job: hold, then release, then remove, then vacate; the
    /// first that has something to say counts.
    fn look(&self, now: Now, cluster: &Cluster, job: JobId, look: Look) -> Option<Found> {
        let proc = cluster.proc(job.proc)?;
        if !can_change(&proc.state) || !cluster.is_materialized(job.proc) {
            return None;
        }
        // What does not expand is found when it is to run.
        let spec = self.shared_spec(cluster, job.proc).ok()?;
        let ad = self.job_ad(cluster, job, &spec);
        let judge = Judge::new(now, &ad);
        match &proc.state {
            ProcState::Held { code, .. } => judge.of_held(job, &spec, *code, look),
            ProcState::Idle | ProcState::Running { .. } => {
                if let Some(hold) = judge.of_open(&spec) {
                    let PolicyHold { code, reason } = hold;
                    let effect = self.ask_to_stop(job, VacateReason::Held);
                    return Some((vec![Event::JobHeld { job, code, reason }], effect));
                }
                if let Some(reason) = judge.removal(&spec) {
                    let effect = self.ask_to_stop(job, VacateReason::Removed);
                    return Some((vec![Event::JobRemoved { job, reason }], effect));
                }
                let ProcState::Running { worker, .. } = &proc.state else {
                    return None;
                };
                let vacate = spec.policy.periodic_vacate.as_ref();
                vacate.filter(|expr| look == Look::Timer && judge.answer(expr) == Answer::True)?;
                let cause = Requeue::Vacated {
                    worker: worker.clone(),
                };
                let effect = self.ask_to_stop(job, VacateReason::Stale);
                Some((self.lost(job, cause), effect))
            }
            ProcState::Landing { .. } | ProcState::Completed { .. } | ProcState::Removed { .. } => {
                None
            }
        }
    }
}

/// A job's ad, and the time.
struct Judge<'a> {
    ad: &'a ClassAd,
    now_s: i64,
}

impl<'a> Judge<'a> {
    fn new(now: Now, ad: &'a ClassAd) -> Self {
        let now_s = seconds(now);
        Self { ad, now_s }
    }

    fn eval(&self, expr: &Expr) -> Value {
        Scope::new(self.ad).now(self.now_s).eval(expr)
    }

    /// As HTCondor takes it: a number other than 0 is true, and `undefined` as it is written is
    /// false; what comes to no number is undefined.
    fn answer(&self, expr: &Expr) -> Answer {
        match self.eval(expr) {
            Value::Bool(true) => Answer::True,
            Value::Bool(false) => Answer::False,
            Value::Int(number) if number != 0 => Answer::True,
            Value::Int(_) => Answer::False,
            Value::Real(number) if number.trunc() != 0.0 => Answer::True,
            Value::Real(_) => Answer::False,
            Value::Undefined if expr.is_literal() => Answer::False,
            Value::Undefined
            | Value::Error
            | Value::Str(_)
            | Value::AbsTime { .. }
            | Value::RelTime(_)
            | Value::List(_)
            | Value::Ad(_) => Answer::Undefined,
        }
    }

    /// The hold that a policy asks for, if it does.
    fn hold(&self, name: &str, hold: &HoldWhen) -> Option<PolicyHold> {
        match self.answer(&hold.when) {
            Answer::False => None,
            Answer::Undefined => Some(undefined(name, &hold.when)),
            Answer::True => {
                let said = hold.reason.as_ref().map(|expr| self.eval(expr));
                let said = said.as_ref().and_then(Value::as_str).unwrap_or_default();
                let reason = match said {
                    "" => evaluated(name, &hold.when, "TRUE"),
                    said => said.to_owned(),
                };
                let subcode = hold.subcode.as_ref().map(|expr| self.eval(expr));
                let subcode = subcode.and_then(|value| value.as_i64());
                let subcode = subcode.and_then(|number| i32::try_from(number).ok());
                let code = HoldCode::JobPolicy(subcode.unwrap_or(0));
                Some(PolicyHold { code, reason })
            }
        }
    }

    /// Whether a job that waits or runs is to be held. A removal that has no value counts too.
    fn of_open(&self, spec: &JobSpec) -> Option<PolicyHold> {
        let policy = &spec.policy;
        let hold = policy.periodic_hold.as_ref();
        if let Some(hold) = hold.and_then(|hold| self.hold("PeriodicHold", hold)) {
            return Some(hold);
        }
        let remove = policy.periodic_remove.as_ref()?;
        (self.answer(remove) == Answer::Undefined).then(|| undefined("PeriodicRemove", remove))
    }

    /// Why a job is to be removed, if it is.
    fn removal(&self, spec: &JobSpec) -> Option<String> {
        let remove = spec.policy.periodic_remove.as_ref()?;
        (self.answer(remove) == Answer::True).then(|| evaluated("PeriodicRemove", remove, "TRUE"))
    }

    /// What a held job may expect. What somebody asked to be held stays so.
    fn of_held(&self, job: JobId, spec: &JobSpec, code: HoldCode, look: Look) -> Option<Found> {
        let asked = matches!(code, HoldCode::UserRequest | HoldCode::SubmittedOnHold);
        let release = spec.policy.periodic_release.as_ref();
        let release = release.filter(|_| look == Look::Timer && !asked);
        if release.is_some_and(|expr| self.answer(expr) == Answer::True) {
            return Some((vec![Event::JobReleased { job }], None));
        }
        let reason = self.removal(spec)?;
        Some((vec![Event::JobRemoved { job, reason }], None))
    }
}

/// Whether a policy can do anything about a job in this state.
fn can_change(state: &ProcState) -> bool {
    match state {
        ProcState::Idle | ProcState::Running { .. } | ProcState::Held { .. } => true,
        ProcState::Landing { .. } | ProcState::Completed { .. } | ProcState::Removed { .. } => {
            false
        }
    }
}

/// HTCondor's words, which people look for.
fn evaluated(name: &str, expr: &Expr, value: &str) -> String {
    let text = expr.to_old();
    format!("The job attribute {name} expression '{text}' evaluated to {value}")
}

fn undefined(name: &str, expr: &Expr) -> PolicyHold {
    PolicyHold {
        code: HoldCode::JobPolicyUndefined,
        reason: evaluated(name, expr, "UNDEFINED"),
    }
}

/// Seconds as days, hours, minutes and seconds: `1+02:03:04`.
fn short_time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{days}+{hours:02}:{minutes:02}:{seconds:02}")
}

fn deeds(found: Option<Found>) -> Deeds {
    match found {
        Some((events, effect)) => (events, effect.into_iter().collect()),
        None => (Vec::new(), Vec::new()),
    }
}
