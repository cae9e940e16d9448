//! Who is served next: groups by their quotas, then users by their shares.
//!
//! A group that has less than its quota goes before those that have theirs, the emptiest first, by
//! the fraction of the quota that is in use. What no entitled group can use is surplus, for groups
//! that accept it. Within a group each user's share is as one over its effective priority, as in
//! HTCondor: whoever has the least in proportion is next.

use std::collections::BTreeMap;

use dags::Rules;
use dags::rules::{Quota, Surplus};

use crate::accounts::{Accounts, Charge, Submitter};

/// Half of the smallest claim: places are dealt out by Webster's rule, which favours neither those with
/// large shares, as whole claims would, nor those with small ones.
const HALF: f64 = 0.5;
/// Weights differ by less than this only through rounding.
const ROUNDING: f64 = 1e-6;

/// Everybody with idle jobs, for one pass.
#[derive(Debug)]
pub(crate) struct Fair {
    groups: Vec<Group>,
    contenders: Vec<Contender>,
    /// Everybody who has something.
    holders: BTreeMap<Submitter, Holder>,
}

#[derive(Debug)]
struct Holder {
    group: usize,
    weight: f64,
    priority: f64,
}

#[derive(Debug)]
struct Group {
    name: String,
    above: Option<usize>,
    below: Vec<usize>,
    /// Those who are directly in it.
    own: Vec<usize>,
    quota: f64,
    surplus: Surplus,
    /// What all in it and below have, and those directly in it.
    weight: f64,
    own_weight: f64,
    own_quota: f64,
    /// Contenders in it and below who may still be served.
    open: usize,
    own_open: usize,
}

#[derive(Debug)]
pub(crate) struct Contender {
    pub submitter: Submitter,
    group: usize,
    weight: f64,
    priority: f64,
    jobs_left: u32,
    state: Contending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contending {
    Open,
    /// Nothing of it can be placed in this pass.
    Out,
}

/// What a group may choose between: a group below it, or those directly in it.
#[derive(Clone, Copy)]
enum Branch {
    Below(usize),
    Own,
}

impl Fair {
    /// `total` is what the whole pool weighs.
    pub fn new<'s>(
        rules: &Rules,
        accounts: &Accounts,
        waiting: impl Iterator<Item = &'s Submitter>,
        total: f64,
        now_ms: u64,
    ) -> Fair {
        let mut fair = Fair {
            groups: Vec::new(),
            contenders: Vec::new(),
            holders: BTreeMap::new(),
        };
        let by_name = fair.plant(rules, total);
        let group_of = |submitter: &Submitter| {
            let mut name = submitter.group.as_str();
            loop {
                if let Some(at) = by_name.get(name) {
                    return *at;
                }
                name = name.rsplit_once('.').map_or("", |(above, _)| above);
            }
        };
        for (submitter, account) in accounts.iter().filter(|(_, account)| account.weight > 0.0) {
            let group = group_of(submitter);
            fair.groups[group].own_weight += account.weight;
            fair.add_weight(group, account.weight);
            let holder = Holder {
                group,
                weight: account.weight,
                priority: accounts.priority(rules, submitter, now_ms),
            };
            fair.holders.insert(submitter.clone(), holder);
        }
        for submitter in waiting {
            let group = group_of(submitter);
            let max = rules.user(&submitter.user).jobs_running_max;
            let jobs_left = max.map_or(u32::MAX, |max| {
                max.saturating_sub(accounts.jobs_of(&submitter.user))
            });
            let at = fair.contenders.len();
            fair.contenders.push(Contender {
                submitter: submitter.clone(),
                group,
                weight: accounts.get(submitter).map_or(0.0, |of| of.weight),
                priority: accounts.priority(rules, submitter, now_ms),
                jobs_left,
                state: Contending::Open,
            });
            fair.groups[group].own.push(at);
            fair.groups[group].own_open += 1;
            fair.count_open(group, 1);
            if jobs_left == 0 {
                fair.out(at);
            }
        }
        fair
    }

    pub fn len(&self) -> usize {
        self.contenders.len()
    }

    pub fn contender(&self, at: usize) -> &Contender {
        &self.contenders[at]
    }

    /// Who is next; nobody when all are out, or have all that they may.
    pub fn next(&self) -> Option<usize> {
        let mut dead = vec![false; self.groups.len()];
        let mut at = 0;
        loop {
            match self.branch(at, &dead) {
                Some(Branch::Own) => return self.first_of(at),
                Some(Branch::Below(group)) => at = group,
                // Those below have what they may: another way is looked for from above.
                None => {
                    dead[at] = true;
                    at = self.groups[at].above?;
                }
            }
        }
    }

    /// A claim was given.
    pub fn charge(&mut self, at: usize, weight: f64) {
        let contender = &mut self.contenders[at];
        contender.weight += weight;
        contender.jobs_left = contender.jobs_left.saturating_sub(1);
        let (group, left) = (contender.group, contender.jobs_left);
        self.groups[group].own_weight += weight;
        self.add_weight(group, weight);
        if left == 0 {
            self.out(at);
        }
    }

    /// Nothing more can be given in this pass.
    pub fn out(&mut self, at: usize) {
        let contender = &mut self.contenders[at];
        if contender.state == Contending::Open {
            contender.state = Contending::Out;
            let group = contender.group;
            self.groups[group].own_open -= 1;
            self.count_open(group, -1);
        }
    }

    /// The group that would have more than its quota with one more claim, and may not.
    pub fn over_quota(&self, at: usize, weight: f64) -> Option<&str> {
        let mut group = Some(self.contenders[at].group);
        while let Some(at) = group {
            let entry = &self.groups[at];
            let over = entry.weight + weight > entry.quota + ROUNDING;
            if entry.above.is_some() && entry.surplus == Surplus::Refuse && over {
                return Some(&entry.name);
            }
            group = entry.above;
        }
        None
    }

    /// Whether a group would have more than its quota with one more claim, and may not, once these
    /// are given back.
    pub fn over_quota_without<'c>(
        &self,
        at: usize,
        weight: f64,
        back: impl Iterator<Item = &'c Charge>,
    ) -> bool {
        let mut returns = vec![0.0; self.groups.len()];
        for charge in back {
            let holder = self.holders.get(&charge.submitter);
            let mut group = holder.map(|holder| holder.group);
            while let Some(at) = group {
                returns[at] += charge.weight;
                group = self.groups[at].above;
            }
        }
        let mut group = Some(self.contenders[at].group);
        while let Some(at) = group {
            let entry = &self.groups[at];
            let over = entry.weight - returns[at] + weight > entry.quota + ROUNDING;
            if entry.above.is_some() && entry.surplus == Surplus::Refuse && over {
                return true;
            }
            group = entry.above;
        }
        false
    }

    /// The contender of this name, if it may be served.
    pub fn open(&self, submitter: &Submitter) -> Option<usize> {
        let at = self.find(submitter)?;
        (self.contenders[at].state == Contending::Open).then_some(at)
    }

    /// The effective priorities of a contender and of one who holds a slot.
    pub fn priorities(&self, at: usize, owner: &Submitter) -> Option<(f64, f64)> {
        let holder = self.holders.get(owner)?;
        Some((self.contenders[at].priority, holder.priority))
    }

    /// What a group has, and its quota.
    pub fn group_use(&self, name: &str) -> Option<(f64, f64)> {
        let group = self.groups.iter().find(|group| group.name == name)?;
        Some((group.weight, group.quota))
    }

    /// The contender that a submitter is.
    pub fn find(&self, submitter: &Submitter) -> Option<usize> {
        let mut all = self.contenders.iter();
        all.position(|contender| contender.submitter == *submitter)
    }

    /// What a contender is entitled to while all others who want or have something are there: its
    /// part of what those directly in its group may have.
    pub fn entitled(&self, at: usize) -> f64 {
        let own = &self.contenders[at];
        let rivals = self.groups[own.group].own.iter();
        let mut shares: f64 = rivals.map(|at| 1.0 / self.contenders[*at].priority).sum();
        for (submitter, holder) in &self.holders {
            if holder.group == own.group && self.find(submitter).is_none() {
                shares += 1.0 / holder.priority;
            }
        }
        self.groups[own.group].own_quota / own.priority / shares
    }

    /// Whether a contender has a better right to a slot than the one who holds it: even with it he
    /// would have less, in proportion, than the other has now.
    pub fn prefers(&self, at: usize, owner: &Submitter, weight: f64) -> bool {
        let own = &self.contenders[at];
        let Some(holder) = self.holders.get(owner) else {
            return true;
        };
        let (mine, theirs) = (self.way(own.group), self.way(holder.group));
        let common = mine.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        if common == mine.len() && common == theirs.len() {
            return (own.weight + weight) * own.priority < holder.weight * holder.priority;
        }
        let state = |way: &[usize], more: f64| {
            let (has, quota) = match way.get(common) {
                Some(below) => (self.groups[*below].weight, self.groups[*below].quota),
                None => {
                    let of = &self.groups[way[common - 1]];
                    (of.own_weight, of.own_quota)
                }
            };
            let has = has + more;
            (has <= quota + ROUNDING, has / quota.max(ROUNDING))
        };
        let (entitled, fill) = state(&mine, weight);
        let (they_are, they_fill) = state(&theirs, 0.0);
        match (entitled, they_are) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => fill < they_fill,
        }
    }

    /// The groups from the pool to one.
    fn way(&self, group: usize) -> Vec<usize> {
        let up = std::iter::successors(Some(group), |at| self.groups[*at].above);
        let mut way: Vec<usize> = up.collect();
        way.reverse();
        way
    }

    /// How much a contender has in proportion to its share: the less, the better its right.
    fn standing(&self, at: usize) -> f64 {
        let contender = &self.contenders[at];
        (contender.weight + HALF) * contender.priority
    }

    /// The tree of the groups, the pool first.
    fn plant(&mut self, rules: &Rules, total: f64) -> BTreeMap<String, usize> {
        let group = |name: &str, above, quota, surplus| Group {
            name: name.to_owned(),
            above,
            below: Vec::new(),
            own: Vec::new(),
            quota,
            surplus,
            weight: 0.0,
            own_weight: 0.0,
            own_quota: quota,
            open: 0,
            own_open: 0,
        };
        let mut by_name = BTreeMap::from([(String::new(), 0)]);
        self.groups.push(group("", None, total, Surplus::Accept));
        // A name sorts behind those that it is within.
        for (name, of) in &rules.groups {
            let above = name.rsplit_once('.').map_or("", |(above, _)| above);
            let above = by_name.get(above).copied().unwrap_or(0);
            let quota = match of.quota {
                Quota::Weight(weight) => weight,
                Quota::Share(share) => share * self.groups[above].quota,
            };
            let at = self.groups.len();
            self.groups
                .push(group(name, Some(above), quota, of.surplus));
            self.groups[above].below.push(at);
            self.groups[above].own_quota = (self.groups[above].own_quota - quota).max(0.0);
            by_name.insert(name.clone(), at);
        }
        by_name
    }

    /// The entitled first, the emptiest of them; then the surplus.
    fn branch(&self, at: usize, dead: &[bool]) -> Option<Branch> {
        let group = &self.groups[at];
        let below = group.below.iter().copied();
        let below = below.filter(|below| self.groups[*below].open > 0 && !dead[*below]);
        let below = below.map(|below| {
            let of = &self.groups[below];
            (Branch::Below(below), of.weight, of.quota, of.surplus)
        });
        let own = (group.own_open > 0).then_some((
            Branch::Own,
            group.own_weight,
            group.own_quota,
            Surplus::Accept,
        ));
        let mut best: Option<(Branch, bool, f64)> = None;
        for (branch, weight, quota, surplus) in below.chain(own) {
            let entitled = weight + ROUNDING < quota;
            if !entitled && surplus == Surplus::Refuse {
                continue;
            }
            let fill = weight / quota.max(ROUNDING);
            let better = best.is_none_or(|(_, other, least)| {
                (entitled && !other) || (entitled == other && fill < least)
            });
            if better {
                best = Some((branch, entitled, fill));
            }
        }
        best.map(|(branch, _, _)| branch)
    }

    /// Who of those directly in a group has the least in proportion to its share.
    fn first_of(&self, group: usize) -> Option<usize> {
        let own = self.groups[group].own.iter().copied();
        let open = own.filter(|at| self.contenders[*at].state == Contending::Open);
        open.min_by(|a, b| {
            let (left, right) = (self.standing(*a), self.standing(*b));
            left.total_cmp(&right).then_with(|| a.cmp(b))
        })
    }

    fn add_weight(&mut self, group: usize, weight: f64) {
        let mut at = Some(group);
        while let Some(group) = at {
            self.groups[group].weight += weight;
            at = self.groups[group].above;
        }
    }

    fn count_open(&mut self, group: usize, by: isize) {
        let mut at = Some(group);
        while let Some(group) = at {
            let open = &mut self.groups[group].open;
            *open = open.saturating_add_signed(by);
            at = self.groups[group].above;
        }
    }
}
