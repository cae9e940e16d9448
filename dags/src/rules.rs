//! The pool's rules: who gets how much of it, in which order places are taken, and what may be
//! taken back. A TOML file that an admin writes; everything in it has a default.

use std::collections::BTreeMap;

use classad::Expr;

use crate::diagnostic::Diagnostics;

mod read;
mod write;

/// Bytes of a rules file.
pub const RULES_BYTES_MAX: usize = 1 << 20;
/// Users, groups and limits that a rules file names, each.
pub const NAMES_MAX: usize = 10_000;
/// Groups within groups.
pub const GROUP_DEPTH_MAX: usize = 8;

/// What a claim weighs in the shares where the rules do not say: a GPU counts like eight cores.
const WEIGHT: &str = "Cpus + 8 * GPUs";
/// Which of the places that match is taken, where the rules do not say.
const ORDER: [&str; 7] = [
    "SlotRank",
    "JobRank",
    "CachedInputMb",
    "ifThenElse(TARGET.Interruptible =?= true && isReal(Price * 1.0), -Price, 0.0)",
    "-GPUs",
    "-Cpus",
    "-Memory",
];

/// The rules of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// As they were written; empty for the defaults.
    pub text: String,
    /// Seconds after which past use counts half.
    pub half_life_s: f64,
    /// What a claim weighs: over the ad of its slot, with the job's as `TARGET`.
    pub weight: Expr,
    /// Of the places that match a job the greatest by these is taken, the first that differs
    /// decides. Over the slot's ad, which has `SlotRank`, `JobRank` and `CachedInputMb` besides,
    /// with the job's as `TARGET`.
    pub order: Vec<Expr>,
    /// Whether a running job gives way to one of a user with a better priority: over the slot's ad,
    /// which has `RemoteUser`, `RemoteUserPrio` and the running job's ad as `RemoteJob`, with the
    /// waiting job's as `TARGET`, which has `SubmitterUserPrio`.
    pub preemption_requirements: Expr,
    pub rank_preempts: RankPreempts,
    /// How often a job may lose its place before it is held.
    pub restarts_max: Option<u32>,
    /// Jobs that run at a time, of all users.
    pub jobs_running_max: Option<u32>,
    /// What holds for users that are not named.
    pub user: UserRules,
    pub users: BTreeMap<String, UserRules>,
    /// By name; `a.b` is within `a`. In lower case, as groups compare without case.
    pub groups: BTreeMap<String, GroupRules>,
    /// Concurrency limits by name, in lower case: `set` bounds all of `set.name` together.
    pub limits: BTreeMap<String, f64>,
    /// Of limits that are not named.
    pub limit_default: Option<f64>,
}

/// Whether a slot that ranks a waiting job above its own takes it at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RankPreempts {
    #[default]
    No,
    Yes,
}

/// What holds for a user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserRules {
    /// The user's share is the smaller the larger this is.
    pub factor: f64,
    pub jobs_running_max: Option<u32>,
}

/// What holds for a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupRules {
    pub quota: Quota,
    pub surplus: Surplus,
}

/// How much a group may have before others are served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quota {
    /// In the unit of `weight`.
    Weight(f64),
    /// Of what the group above it has, or of the pool.
    Share(f64),
}

/// Whether a group may have more than its quota while nobody entitled wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    Accept,
    Refuse,
}

impl Rules {
    /// Reads a rules file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Rules, Diagnostics> {
        read::rules(file, text)
    }

    /// All that holds, the defaults included, as a rules file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        write::rules(self)
    }

    /// What holds for a user.
    #[must_use]
    pub fn user(&self, name: &str) -> UserRules {
        self.users.get(name).copied().unwrap_or(self.user)
    }
}

impl Default for Rules {
    fn default() -> Rules {
        let expr = |text: &str| Expr::parse(text).expect("the defaults are expressions");
        Rules {
            text: String::new(),
            half_life_s: 86_400.0,
            weight: expr(WEIGHT),
            order: ORDER.into_iter().map(expr).collect(),
            preemption_requirements: expr("false"),
            rank_preempts: RankPreempts::No,
            restarts_max: None,
            jobs_running_max: None,
            user: UserRules {
                factor: 1000.0,
                jobs_running_max: None,
            },
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            limits: BTreeMap::new(),
            limit_default: None,
        }
    }
}
