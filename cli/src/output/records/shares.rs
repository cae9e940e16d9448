//! What `-o json` prints of the pool's shares, quotas and limits.

use proto::wire;
use serde::Serialize;

/// Somebody who shares the pool.
#[derive(Clone, Debug, Serialize)]
pub struct UserShare {
    /// `user` or `group.user`.
    pub name: String,
    pub group: Option<String>,
    pub user: String,
    /// The effective priority: the lower, the larger the share.
    pub priority: f64,
    /// What was in use of late.
    pub real_priority: f64,
    pub factor: f64,
    /// Whether the factor was given to this account, over what the rules say.
    pub factor_given: bool,
    pub weight_used: f64,
    pub jobs_running: u32,
    pub jobs_waiting: u64,
    /// Weight times hours, ever.
    pub hours_used: f64,
}

/// A group of the rules, with all within it.
#[derive(Clone, Debug, Serialize)]
pub struct GroupShare {
    pub name: String,
    /// In the unit of the rules' weight.
    pub quota: f64,
    /// Whether it may have more than its quota while nobody entitled wants it.
    pub surplus: bool,
    pub weight_used: f64,
    pub jobs_running: u32,
    pub jobs_waiting: u64,
}

/// A concurrency limit.
#[derive(Clone, Debug, Serialize)]
pub struct LimitUse {
    pub name: String,
    pub used: f64,
    pub max: Option<f64>,
}

impl From<wire::UserShare> for UserShare {
    fn from(share: wire::UserShare) -> UserShare {
        UserShare {
            name: share.name,
            group: Some(share.group).filter(|group| !group.is_empty()),
            user: share.user,
            priority: share.priority,
            real_priority: share.recent,
            factor: share.factor,
            factor_given: share.factor_given,
            weight_used: share.weight_used,
            jobs_running: share.jobs_running,
            jobs_waiting: share.jobs_waiting,
            hours_used: share.used_s / 3600.0,
        }
    }
}

impl From<wire::GroupShare> for GroupShare {
    fn from(share: wire::GroupShare) -> GroupShare {
        GroupShare {
            name: share.name,
            quota: share.quota,
            surplus: share.surplus,
            weight_used: share.weight_used,
            jobs_running: share.jobs_running,
            jobs_waiting: share.jobs_waiting,
        }
    }
}

impl From<wire::LimitUse> for LimitUse {
    fn from(limit: wire::LimitUse) -> LimitUse {
        LimitUse {
            name: limit.name,
            used: limit.used,
            max: limit.max,
        }
    }
}
