//! What keeps a job that could match from being given a place: concurrency limits, the numbers of
//! jobs that a user and the pool may run, quotas of groups.

use std::collections::BTreeMap;
use std::fmt;

use dags::submit::ConcurrencyLimits;
use proto::nouns::Now;

use super::Prospect;
use super::asking::Asking;
use super::census::{Census, Counts};
use crate::accounts::listed_limits;
use crate::negotiator::OverQuota;
use crate::queue::Queue;

/// Users of a limit that are named.
const USERS_MAX: usize = 3;
/// Sums of amounts that are not whole differ by less.
const ROUNDING: f64 = 1e-6;

/// One that is shut.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Barrier {
    Limit {
        name: String,
        used: f64,
        max: f64,
        amount: f64,
        /// How much each user has, the most first.
        by: Vec<(String, f64)>,
    },
    OfUser {
        user: String,
        running: u32,
        max: u32,
    },
    OfPool {
        running: u32,
        max: u32,
    },
    Quota {
        over: OverQuota,
        needs: f64,
    },
}

impl Barrier {
    pub fn code(&self) -> &'static str {
        match self {
            Barrier::Limit { .. } => "W110",
            Barrier::OfUser { .. } | Barrier::OfPool { .. } => "W111",
            Barrier::Quota { .. } => "W112",
        }
    }

    /// Whether it opens when enough has ended.
    pub fn prospect(&self) -> Prospect {
        let opens = match self {
            Barrier::Limit { max, amount, .. } => *amount <= max + ROUNDING,
            Barrier::OfUser { max, .. } | Barrier::OfPool { max, .. } => *max > 0,
            Barrier::Quota { over, needs } => *needs <= over.quota + ROUNDING,
        };
        match opens {
            true => Prospect::NotNow,
            false => Prospect::Never,
        }
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Barrier::Limit {
                name,
                used,
                max,
                amount,
                by,
            } => {
                write!(f, "of the limit `{name}` {used} of {max} are in use")?;
                let named = by.iter().take(USERS_MAX);
                let named: Vec<String> = named.map(|(user, n)| format!("{user} {n}")).collect();
                if !named.is_empty() {
                    write!(f, " ({})", named.join(", "))?;
                }
                write!(f, ", and it needs {amount}")
            }
            Barrier::OfUser { user, running, max } => write!(
                f,
                "{running} jobs of {user} run, and jobs_running_max is {max}"
            ),
            Barrier::OfPool { running, max } => write!(
                f,
                "{running} jobs run in the pool, and jobs_running_max is {max}"
            ),
            Barrier::Quota { over, needs } => write!(
                f,
                "its group {} has {} of its quota of {} and takes no surplus, and it needs {}",
                over.group,
                round(over.weight),
                round(over.quota),
                round(*needs)
            ),
        }
    }
}

/// All that are shut for a job, in the order in which they are looked at.
pub(super) fn of(
    queue: &Queue,
    now: Now,
    asking: &Asking,
    census: &Census,
    counts: &Counts,
) -> Vec<Barrier> {
    let (rules, accounts) = (queue.rules(), queue.accounts());
    let mut found = Vec::new();
    if let Some(max) = rules.jobs_running_max.filter(|max| accounts.jobs() >= *max) {
        let running = accounts.jobs();
        found.push(Barrier::OfPool { running, max });
    }
    let user = &asking.submitter.user;
    let running = accounts.jobs_of(user);
    let max = rules.user(user).jobs_running_max;
    if let Some(max) = max.filter(|max| running >= *max) {
        let user = user.clone();
        found.push(Barrier::OfUser { user, running, max });
    }
    // What a claim costs depends on the slot: it is asked of the first that would do.
    let charge = counts.first().and_then(|at| {
        let mut whole = census.empty[at].clone();
        whole.slot = census.slots[at].clone();
        queue.charge_of(now, (&asking.spec, asking.ad()), &whole, &asking.submitter)
    });
    let limits = match (&asking.spec.policy.concurrency_limits, &charge) {
        (ConcurrencyLimits::Computed(_), Some(charge)) => charge.limits.clone(),
        (ConcurrencyLimits::None | ConcurrencyLimits::Listed(_), _)
        | (ConcurrencyLimits::Computed(_), None) => listed_limits(&asking.spec).to_vec(),
    };
    found.extend(full(queue, &limits));
    let weight = charge.map(|charge| charge.weight);
    let standing = queue.standing(now, asking.job, &asking.submitter, weight);
    if let Some((over, needs)) = standing.over_quota.zip(weight) {
        found.push(Barrier::Quota { over, needs });
    }
    found
}

/// Limits, and the sets that they are of, that have too little left.
fn full(queue: &Queue, limits: &[(String, f64)]) -> Vec<Barrier> {
    let (rules, accounts) = (queue.rules(), queue.accounts());
    let used: BTreeMap<&str, f64> = accounts.limits().collect();
    let mut found = Vec::new();
    for (name, amount) in limits {
        let set = name.split_once('.').map(|(set, _)| set);
        let own = rules.limits.get(name).or(rules.limit_default.as_ref());
        let of_set = set.and_then(|set| Some((set, rules.limits.get(set)?)));
        let bounds = own
            .map(|max| (name.as_str(), max))
            .into_iter()
            .chain(of_set);
        for (name, max) in bounds {
            let used = used.get(name).copied().unwrap_or(0.0);
            if used + amount > max + ROUNDING {
                found.push(Barrier::Limit {
                    name: name.to_owned(),
                    used: round(used),
                    max: *max,
                    amount: *amount,
                    by: users_of(queue, name),
                });
            }
        }
    }
    found
}

/// Who has how much of a limit, or of the limits of a set.
fn users_of(queue: &Queue, limit: &str) -> Vec<(String, f64)> {
    let mut by: BTreeMap<&str, f64> = BTreeMap::new();
    let carves = queue.workers().values().flat_map(|worker| worker.holding());
    for (_, carve) in carves {
        let charge = &carve.taken.charge;
        for (name, amount) in &charge.limits {
            let set = name.split_once('.').map(|(set, _)| set);
            if name == limit || set == Some(limit) {
                *by.entry(&charge.submitter.user).or_default() += amount;
            }
        }
    }
    let mut by: Vec<(String, f64)> = by
        .into_iter()
        .map(|(user, amount)| (user.to_owned(), round(amount)))
        .collect();
    by.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    by
}

/// To what people read.
pub(super) fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
