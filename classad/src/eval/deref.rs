//! What a reference stands for, short of its value: the expression and the ad that holds it. For
//! what looks at expressions rather than at values.

use crate::expr::{Base, Expr, Reference, Special};

use super::{Evaluator, ScopeId, Val};

/// What a reference stands for.
pub(crate) enum Meaning {
    /// An attribute's expression, in the scope of the ad that has it.
    Attr(Expr, ScopeId),
    /// An ad that no attribute holds: `MY`, `TARGET`, `parent`, `root` …
    Ad(ScopeId),
    /// Nothing: no ad has the name.
    Nobody,
    /// Nothing: what it selects from is undefined.
    NoBase,
    /// Nothing: what it selects from is no ad.
    NotAnAd,
}

impl Evaluator<'_> {
    /// What `reference` stands for, seen from `at`, with bare names falling through to the other
    /// side.
    pub(crate) fn meaning_on_both_sides(
        &mut self,
        reference: Reference<'_>,
        at: ScopeId,
    ) -> Meaning {
        match (self.meaning(reference, at), reference.base) {
            (Meaning::Nobody, Base::Here) => match self.other_side(at) {
                Some(other) => self.meaning_from(reference, other),
                None => Meaning::Nobody,
            },
            (meaning, _) => meaning,
        }
    }

    /// What `reference` stands for, seen from `at`, on this side.
    pub(crate) fn meaning(&mut self, reference: Reference<'_>, at: ScopeId) -> Meaning {
        let from = match reference.base {
            Base::Here => at,
            Base::Root => self.root_of(at),
            Base::Of(base) => match self.eval(base, at) {
                Val::Ad(id) => id,
                Val::Undefined => return Meaning::NoBase,
                _ => return Meaning::NotAnAd,
            },
        };
        self.meaning_from(reference, from)
    }

    fn meaning_from(&mut self, reference: Reference<'_>, from: ScopeId) -> Meaning {
        let mut scope = from;
        loop {
            if let Some(expr) = self.ad(scope).get_ref(reference.name) {
                return Meaning::Attr(expr.clone(), scope);
            }
            let parent = self.parent(scope);
            match (reference.special, parent) {
                (Some(Special::My), _) => return Meaning::Ad(scope),
                (Some(Special::Parent), Some(parent)) => return Meaning::Ad(parent),
                (Some(Special::Parent), None) => return Meaning::Nobody,
                (Some(Special::Root), _) if !self.has_target() => {
                    return Meaning::Ad(self.root_of(scope));
                }
                (_, Some(parent)) => scope = parent,
                (_, None) => break,
            }
        }
        match self.context_value(reference, scope) {
            Some(Val::Ad(id)) => Meaning::Ad(id),
            _ => Meaning::Nobody,
        }
    }

    /// The value of an expression in an ad that it does not stand in.
    pub(crate) fn eval_in_context(&mut self, expr: &Expr, ad: ScopeId) -> Val {
        self.contexts.push(ad);
        let value = self.eval(expr.as_ref(), ad);
        self.contexts.pop();
        value
    }
}
