//! What the pool's rules come to at a time: who has a right to how much, uses it, and waits for
//! more. A look only: what it says decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use dags::rules::{Quota, Surplus};
use proto::nouns::Now;

use crate::accounts::Submitter;
use crate::negotiator::Sorting;
use crate::queue::Queue;

/// Everybody and everything that the rules are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// By the rules' `weight`: what all workers have together, and what is in use.
    pub weight: f64,
    pub weight_used: f64,
    pub jobs_running: u32,
    pub jobs_waiting: u64,
    /// Each behind those that it is within.
    pub groups: Vec<GroupShare>,
    /// The best priority first.
    pub users: Vec<UserShare>,
    pub limits: Vec<LimitUse>,
}

/// A group that the rules name, with all within it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupShare {
    pub name: String,
    pub quota: f64,
    pub surplus: Surplus,
    pub weight_used: f64,
    pub jobs_running: u32,
    pub jobs_waiting: u64,
}

/// A submitter that has used something, waits, or was given something.
#[derive(Clone, Debug, PartialEq)]
pub struct UserShare {
    pub submitter: Submitter,
    pub priority: f64,
    pub recent: f64,
    pub factor: f64,
    /// Whether the factor was given to this account.
    pub factor_given: bool,
    pub weight_used: f64,
    pub jobs_running: u32,
    pub jobs_waiting: u64,
    /// Weight times seconds, ever.
    pub used_s: f64,
}

/// A concurrency limit that the rules name or that is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitUse {
    pub name: String,
    pub used: f64,
    pub max: Option<f64>,
}

impl Queue {
    /// Who has a right to how much, and uses it.
    pub fn shares(&self, now: Now) -> Shares {
        let waiting = self.waiting_by_submitter();
        let users = self.user_shares(now, &waiting);
        Shares {
            weight: self.negotiation.market.weight(),
            weight_used: users.iter().map(|user| user.weight_used).sum(),
            jobs_running: self.accounts.jobs(),
            jobs_waiting: waiting.values().sum(),
            groups: self.group_shares(&users),
            limits: self.limits_in_use(),
            users,
        }
    }

    fn user_shares(&self, now: Now, waiting: &BTreeMap<Submitter, u64>) -> Vec<UserShare> {
        let (rules, accounts) = (&self.rules, &self.accounts);
        let known = accounts.iter().map(|(submitter, _)| submitter);
        let all: BTreeSet<&Submitter> = known.chain(waiting.keys()).collect();
        let share = |submitter: &Submitter| {
            let account = accounts.get(submitter);
            let priority = accounts.priority(rules, submitter, now.wall_ms);
            let factor = accounts.factor(rules, submitter);
            UserShare {
                submitter: submitter.clone(),
                priority,
                recent: priority / factor,
                factor,
                factor_given: account.is_some_and(|of| of.factor.is_some()),
                weight_used: account.map_or(0.0, |of| of.weight),
                jobs_running: account.map_or(0, |of| of.jobs),
                jobs_waiting: waiting.get(submitter).copied().unwrap_or(0),
                used_s: account.map_or(0.0, |of| of.used_until(now.wall_ms)),
            }
        };
        let mut users: Vec<UserShare> = all.into_iter().map(share).collect();
        // Those of one priority stay in the order of their names.
        users.sort_by(|a, b| a.priority.total_cmp(&b.priority));
        users
    }

    fn group_shares(&self, users: &[UserShare]) -> Vec<GroupShare> {
        let mut quotas: BTreeMap<&str, f64> = BTreeMap::new();
        let mut groups = Vec::new();
        // A name sorts behind those that it is within.
        for (name, of) in &self.rules.groups {
            let above = name
                .rsplit_once('.')
                .and_then(|(above, _)| quotas.get(above));
            let above = above.copied();
            let quota = match of.quota {
                Quota::Weight(weight) => weight,
                Quota::Share(share) => {
                    share * above.unwrap_or_else(|| self.negotiation.market.weight())
                }
            };
            quotas.insert(name, quota);
            let within = |user: &&UserShare| {
                let rest = user.submitter.group.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let own = users.iter().filter(within);
            let mut share = GroupShare {
                name: name.clone(),
                quota,
                surplus: of.surplus,
                weight_used: 0.0,
                jobs_running: 0,
                jobs_waiting: 0,
            };
            for user in own {
                share.weight_used += user.weight_used;
                share.jobs_running += user.jobs_running;
                share.jobs_waiting += user.jobs_waiting;
            }
            groups.push(share);
        }
        groups
    }

    fn limits_in_use(&self) -> Vec<LimitUse> {
        let used: BTreeMap<&str, f64> = self.accounts.limits().collect();
        let named = self.rules.limits.keys().map(String::as_str);
        let names: BTreeSet<&str> = named.chain(used.keys().copied()).collect();
        let limit = |name: &str| LimitUse {
            name: name.to_owned(),
            used: used.get(name).copied().unwrap_or(0.0),
            max: self
                .rules
                .limits
                .get(name)
                .copied()
                .or(self.rules.limit_default),
        };
        names.into_iter().map(limit).collect()
    }

    /// Idle jobs by who would pay for them.
    fn waiting_by_submitter(&self) -> BTreeMap<Submitter, u64> {
        let mut waiting: BTreeMap<Submitter, u64> = BTreeMap::new();
        for cluster in self.clusters.values() {
            match &cluster.placed.sorting {
                Sorting::Unknown => {}
                Sorting::Alike { submitter, .. } => match cluster.idle_count() {
                    0 => {}
                    idle => *waiting.entry(submitter.clone()).or_default() += u64::from(idle),
                },
                Sorting::Each { .. } => {
                    for entry in cluster.placed.entries.values() {
                        *waiting.entry(entry.submitter.clone()).or_default() += 1;
                    }
                }
            }
        }
        waiting
    }
}
