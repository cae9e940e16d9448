//! Who uses how much of the pool, now and of late, and what of each limit is in use. What is of
//! late is durable; what is now follows from the claims.

use std::collections::BTreeMap;

use dags::Rules;
use dags::submit::{ConcurrencyLimits, JobSpec};
use serde::{Deserialize, Serialize};

/// The least that a user's use counts as (HTCondor's), so that shares are finite.
const USE_MIN: f64 = 0.5;
/// The group of jobs that say `nice_user`, and how much smaller their share is.
const NICE_GROUP: &str = "nice-user";
const NICE_FACTOR: f64 = 1e7;
/// Sums of amounts that are not whole differ by less.
const ROUNDING: f64 = 1e-6;

/// Who pays for a job: a user within a group, or within none (an empty name).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Submitter {
    /// In lower case, as groups compare without case.
    pub group: String,
    pub user: String,
}

/// What a claim costs its submitter while it holds a slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    pub submitter: Submitter,
    /// By the pool's `weight`.
    pub weight: f64,
    /// Concurrency limits by name, in lower case, and how much of each.
    pub limits: Vec<(String, f64)>,
}

/// The account of a submitter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The mean weight in use, older times counting less: HTCondor's real user priority.
    recent: f64,
    /// When that was last worked out, and what has been in use since.
    at_ms: u64,
    pub weight: f64,
    /// Weight times seconds, ever.
    pub used_s: f64,
    /// The factor that an admin gave, over what the rules say.
    pub factor: Option<f64>,
    /// Claims that hold a slot.
    #[serde(skip)]
    pub jobs: u32,
}

/// All accounts, and what is in use.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    accounts: BTreeMap<Submitter, Account>,
    /// Of each concurrency limit: how much, by how many claims.
    limits: BTreeMap<String, (f64, u32)>,
    /// Claims by user, all groups together.
    users: BTreeMap<String, u32>,
    jobs: u32,
}

// === impl Submitter ===

impl Submitter {
    /// Who pays for a job, by its description and its owner.
    pub(crate) fn of(spec: &JobSpec, owner: &str) -> Submitter {
        let policy = &spec.policy;
        let group = policy.accounting_group.as_deref().unwrap_or_default();
        let user = policy.accounting_group_user.as_deref().unwrap_or(owner);
        Submitter {
            group: group.to_ascii_lowercase(),
            user: user.to_owned(),
        }
    }
}

impl std::fmt::Display for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.user),
            group => write!(f, "{group}.{}", self.user),
        }
    }
}

// === impl Account ===

impl Account {
    fn new(now_ms: u64) -> Account {
        Account {
            recent: USE_MIN,
            at_ms: now_ms,
            weight: 0.0,
            used_s: 0.0,
            factor: None,
            jobs: 0,
        }
    }

    /// The mean weight in use of late.
    pub fn recent(&self, now_ms: u64, half_life_s: f64) -> f64 {
        // A clock that was set back stands still here.
        let seconds = now_ms.saturating_sub(self.at_ms) as f64 / 1000.0;
        let kept = 0.5_f64.powf(seconds / half_life_s);
        (self.recent * kept + self.weight * (1.0 - kept)).max(USE_MIN)
    }

    /// Weight times seconds, ever, until now.
    pub fn used_until(&self, now_ms: u64) -> f64 {
        self.used_s + self.weight * (now_ms.saturating_sub(self.at_ms) as f64 / 1000.0)
    }

    fn catch_up(&mut self, now_ms: u64, half_life_s: f64) {
        self.recent = self.recent(now_ms, half_life_s);
        self.used_s += self.weight * (now_ms.saturating_sub(self.at_ms) as f64 / 1000.0);
        self.at_ms = self.at_ms.max(now_ms);
    }
}

// === impl Accounts ===

impl Accounts {
    pub fn iter(&self) -> impl Iterator<Item = (&Submitter, &Account)> {
        self.accounts.iter()
    }

    pub fn get(&self, submitter: &Submitter) -> Option<&Account> {
        self.accounts.get(submitter)
    }

    /// Concurrency limits that are in use: how much of each.
    pub fn limits(&self) -> impl Iterator<Item = (&str, f64)> {
        self.limits
            .iter()
            .map(|(name, (amount, _))| (name.as_str(), *amount))
    }

    /// Claims that hold slots, all together.
    pub fn jobs(&self) -> u32 {
        self.jobs
    }

    /// Claims of a user, all groups together.
    pub fn jobs_of(&self, user: &str) -> u32 {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// HTCondor's effective user priority: the lower, the larger the share.
    pub fn priority(&self, rules: &Rules, submitter: &Submitter, now_ms: u64) -> f64 {
        let account = self.accounts.get(submitter);
        let recent = account.map_or(USE_MIN, |of| of.recent(now_ms, rules.half_life_s));
        recent * self.factor(rules, submitter)
    }

    pub fn factor(&self, rules: &Rules, submitter: &Submitter) -> f64 {
        let given = self.accounts.get(submitter).and_then(|of| of.factor);
        let nice = match submitter.group.as_str() {
            NICE_GROUP => NICE_FACTOR,
            _ => 1.0,
        };
        given.unwrap_or_else(|| rules.user(&submitter.user).factor) * nice
    }

    /// What of a claim's limits has no room, if anything: a limit, or the set that it is of.
    pub(crate) fn exceeded<'r>(
        &self,
        rules: &Rules,
        limits: &'r [(String, f64)],
    ) -> Option<&'r str> {
        let over = |name: &str, max: Option<&f64>, more: f64| {
            let used = self.limits.get(name).map_or(0.0, |(used, _)| *used);
            max.is_some_and(|max| used + more > max + ROUNDING)
        };
        limits.iter().find_map(|(name, amount)| {
            let own = rules.limits.get(name).or(rules.limit_default.as_ref());
            let set = name.split_once('.').map(|(set, _)| set);
            let exceeds = over(name, own, *amount)
                || set.is_some_and(|set| over(set, rules.limits.get(set), *amount));
            exceeds.then_some(name.as_str())
        })
    }

    /// A claim holds a slot from now on.
    pub(crate) fn charge(&mut self, rules: &Rules, charge: &Charge, now_ms: u64) {
        let account = self
            .accounts
            .entry(charge.submitter.clone())
            .or_insert_with(|| Account::new(now_ms));
        account.catch_up(now_ms, rules.half_life_s);
        account.weight += charge.weight;
        account.jobs += 1;
        self.jobs += 1;
        *self.users.entry(charge.submitter.user.clone()).or_default() += 1;
        for (name, amount) in &charge.limits {
            let set = name.split_once('.').map(|(set, _)| set);
            for name in [Some(name.as_str()), set].into_iter().flatten() {
                let (used, claims) = self.limits.entry(name.to_owned()).or_default();
                *used += amount;
                *claims += 1;
            }
        }
    }

    /// A claim that was charged holds its slot no longer.
    pub(crate) fn discharge(&mut self, rules: &Rules, charge: &Charge, now_ms: u64) {
        if let Some(account) = self.accounts.get_mut(&charge.submitter) {
            account.catch_up(now_ms, rules.half_life_s);
            account.jobs -= 1;
            // Nothing is nothing, whatever the roundings before.
            account.weight = match account.jobs {
                0 => 0.0,
                _ => account.weight - charge.weight,
            };
        }
        self.jobs -= 1;
        if let Some(jobs) = self.users.get_mut(&charge.submitter.user) {
            *jobs -= 1;
            if *jobs == 0 {
                self.users.remove(&charge.submitter.user);
            }
        }
        for (name, amount) in &charge.limits {
            let set = name.split_once('.').map(|(set, _)| set);
            for name in [Some(name.as_str()), set].into_iter().flatten() {
                let Some((used, claims)) = self.limits.get_mut(name) else {
                    continue;
                };
                *used -= amount;
                *claims -= 1;
                if *claims == 0 {
                    self.limits.remove(name);
                }
            }
        }
    }

    /// An admin gives a submitter a factor, or takes it back, or sets what its recent use counts
    /// as.
    pub(crate) fn set(&mut self, rules: &Rules, submitter: &Submitter, set: Setting, now_ms: u64) {
        let account = self
            .accounts
            .entry(submitter.clone())
            .or_insert_with(|| Account::new(now_ms));
        account.catch_up(now_ms, rules.half_life_s);
        match set {
            Setting::Factor(factor) => account.factor = factor,
            Setting::Recent(recent) => account.recent = recent.max(USE_MIN),
        }
    }

    /// Takes over a record.
    pub(crate) fn restore(&mut self, submitter: Submitter, account: Account) {
        self.accounts.insert(submitter, account);
    }

    /// After a restart: what was in use is counted until now; what still is, its claims say.
    pub(crate) fn take_up(&mut self, rules: &Rules, now_ms: u64) -> Vec<Submitter> {
        for account in self.accounts.values_mut() {
            account.catch_up(now_ms, rules.half_life_s);
            account.weight = 0.0;
        }
        self.accounts.keys().cloned().collect()
    }
}

/// What an admin may set of an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// `None`: what the rules say.
    Factor(Option<f64>),
    Recent(f64),
}

/// The limits that a job counts against, where they do not depend on the machine.
pub(crate) fn listed_limits(spec: &JobSpec) -> &[(String, f64)] {
    match &spec.policy.concurrency_limits {
        ConcurrencyLimits::Listed(limits) => limits,
        ConcurrencyLimits::None | ConcurrencyLimits::Computed(_) => &[],
    }
}
