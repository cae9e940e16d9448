//! What a match adds around its two ads: names that climb out of an ad and find the match itself.

use crate::expr::{Reference, Special};

use crate::name::NameRef;

use super::{Evaluator, MY, ScopeId, TARGET, Val, ops};

impl Evaluator<'_> {
    /// The meaning of a name outside the outermost ad, seen from `root`; `None` if it has none.
    pub(super) fn context_value(&mut self, reference: Reference<'_>, root: ScopeId) -> Option<Val> {
        let special = reference.special?;
        if !self.has_target() || root > TARGET {
            return None;
        }
        let other = if root == MY { TARGET } else { MY };
        Some(match special {
            Special::Target => Val::Ad(other),
            Special::My | Special::Ad => Val::Ad(root),
            Special::Left => Val::Ad(MY),
            Special::Right => Val::Ad(TARGET),
            Special::LeftMatchesRight => self.attr_of(TARGET, "requirements"),
            Special::RightMatchesLeft => self.attr_of(MY, "requirements"),
            Special::LeftRankValue => self.attr_of(MY, "rank"),
            Special::RightRankValue => self.attr_of(TARGET, "rank"),
            Special::SymmetricMatch => {
                let right = ops::truth(&self.attr_of(TARGET, "requirements"));
                let both = ops::Chain::And.step(ops::Truth::True, right);
                if ops::Chain::And.is_final(both) {
                    return Some(both.into());
                }
                let left = ops::truth(&self.attr_of(MY, "requirements"));
                ops::Chain::And.step(both, left).into()
            }
            // What is around a match has none of its ads' attributes.
            Special::Root => Val::Undefined,
            Special::Parent | Special::CurrentTime => return None,
        })
    }

    fn attr_of(&mut self, id: ScopeId, name: &'static str) -> Val {
        match self.held(id, |ad| ad.get_entry(NameRef::new(name))) {
            Some(held) => self.eval_attr(&held, id),
            None => Val::Undefined,
        }
    }
}
