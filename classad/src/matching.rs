//! The match of two ads: each side's Requirements seen against the other, and Rank.

use crate::ad::ClassAd;
use crate::compiled::Compiled;
use crate::eval::Scope;
use crate::value::Value;

/// The attribute by which an ad accepts or refuses the other side.
pub const REQUIREMENTS: &str = "Requirements";
/// The attribute by which an ad orders those it accepts.
pub const RANK: &str = "Rank";

/// Both sides' answers, and how each ranks the other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MatchResult {
    /// Whether the left ad's Requirements accept the right one.
    pub left_accepts: bool,
    /// Whether the right ad's Requirements accept the left one.
    pub right_accepts: bool,
    /// How the left ad ranks the right one.
    pub left_rank: f64,
    /// How the right ad ranks the left one.
    pub right_rank: f64,
}

impl MatchResult {
    /// Whether both accept.
    pub fn matches(&self) -> bool {
        self.left_accepts && self.right_accepts
    }
}

/// An ad made ready to be matched with many others: its Requirements and Rank compiled. It gives
/// the same answers as the functions of this module, sooner.
#[derive(Clone, Debug)]
pub struct Prepared {
    ad: ClassAd,
    requirements: Option<Compiled>,
    rank: Option<Compiled>,
}

impl Prepared {
    /// Of an ad as it is now; a later change of `ad` does not reach it.
    pub fn new(ad: &ClassAd) -> Self {
        let compiled = |name| ad.get(name).map(|expr| Compiled::in_ad(ad, expr));
        Self {
            requirements: compiled(REQUIREMENTS),
            rank: compiled(RANK),
            ad: ad.clone(),
        }
    }

    /// The ad.
    pub fn ad(&self) -> &ClassAd {
        &self.ad
    }

    /// As [`half_match`].
    pub fn accepts(&self, target: &ClassAd, now_secs: i64) -> bool {
        let scope = Scope::new(&self.ad).target(target).now(now_secs);
        self.requirements
            .as_ref()
            .is_some_and(|requirements| scope.run_is_true(requirements))
    }

    /// As [`symmetric_match`].
    pub fn matches(&self, other: &Self, now_secs: i64) -> bool {
        self.accepts(&other.ad, now_secs) && other.accepts(&self.ad, now_secs)
    }

    /// As [`rank`].
    pub fn rank(&self, target: &ClassAd, now_secs: i64) -> f64 {
        let scope = Scope::new(&self.ad).target(target).now(now_secs);
        rank_of(self.rank.as_ref().map(|rank| scope.run(rank)))
    }
}

/// Everything there is to say about a pair at `now_secs`.
pub fn matches(left: &ClassAd, right: &ClassAd, now_secs: i64) -> MatchResult {
    MatchResult {
        left_accepts: half_match(left, right, now_secs),
        right_accepts: half_match(right, left, now_secs),
        left_rank: rank(left, right, now_secs),
        right_rank: rank(right, left, now_secs),
    }
}

/// Whether each ad's Requirements accept the other.
pub fn symmetric_match(left: &ClassAd, right: &ClassAd, now_secs: i64) -> bool {
    half_match(left, right, now_secs) && half_match(right, left, now_secs)
}

/// Whether `my`'s Requirements accept `target`: they are TRUE or a number other than zero. Without
/// Requirements, or if they are UNDEFINED, ERROR or anything else, they do not.
pub fn half_match(my: &ClassAd, target: &ClassAd, now_secs: i64) -> bool {
    let scope = Scope::new(my).target(target).now(now_secs);
    my.get(REQUIREMENTS)
        .is_some_and(|requirements| scope.eval(requirements).is_true())
}

/// How `my` ranks `target`; 0 where Rank is missing or no number.
pub fn rank(my: &ClassAd, target: &ClassAd, now_secs: i64) -> f64 {
    let scope = Scope::new(my).target(target).now(now_secs);
    rank_of(my.get(RANK).map(|rank| scope.eval(rank)))
}

fn rank_of(value: Option<Value>) -> f64 {
    let rank = value.and_then(|value| value.as_f64());
    rank.filter(|rank| !rank.is_nan()).unwrap_or(0.0)
}
