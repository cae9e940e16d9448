//! Selection by value: subscripts of lists and ads, `base.name` of an ad or of every item of a
//! list.

use crate::expr::{Ref, Reference};
use crate::limits::EVAL_DEPTH_MAX;

use crate::name::NameRef;

use super::{Evaluator, ScopeId, Val};

impl Evaluator<'_> {
    pub(super) fn eval_subscript(&mut self, base: Ref<'_>, index: Ref<'_>, at: ScopeId) -> Val {
        let base = self.eval(base, at);
        let index = self.eval(index, at);
        self.subscript(base, index)
    }

    pub(super) fn subscript(&mut self, base: Val, index: Val) -> Val {
        match (base, index) {
            (Val::Error, _) | (_, Val::Error) => Val::Error,
            (Val::Undefined, _) | (_, Val::Undefined) => Val::Undefined,
            (list @ (Val::Lazy(..) | Val::Made(_)), Val::Int(i)) => match usize::try_from(i) {
                Ok(i) => self.item(&list, i).unwrap_or(Val::Error),
                Err(_) => Val::Error,
            },
            (Val::Ad(id), Val::Str(key)) => {
                match self.held(id, |ad| ad.get_entry(NameRef::new(&key))) {
                    Some(held) => {
                        let value = self.eval_attr(&held, id);
                        self.detached(value)
                    }
                    None => Val::Undefined,
                }
            }
            _ => Val::Error,
        }
    }

    /// A nested ad that a subscript or a projection gives has nothing around it, as in the
    /// reference.
    fn detached(&mut self, value: Val) -> Val {
        match value {
            Val::Ad(id) if self.parent(id).is_some() => Val::Ad(self.adopt(self.ad(id).clone())),
            value => value,
        }
    }

    /// `base.name`: climbs from an ad, projects over a list.
    pub(super) fn select(&mut self, base: &Val, reference: Reference<'_>) -> Val {
        match base {
            Val::Ad(id) => self.look_up(reference, *id).unwrap_or(Val::Undefined),
            Val::Undefined => Val::Undefined,
            Val::Lazy(..) | Val::Made(_) => {
                let Some(items) = self.items(base) else {
                    return Val::Error;
                };
                let mut projected = Vec::with_capacity(items.len());
                // Lists in lists nest one level of this function each; `depth` bounds them.
                self.depth += 1;
                for item in items {
                    let too_deep = self.depth >= EVAL_DEPTH_MAX;
                    let value = match too_deep {
                        true => Val::Error,
                        false => self.select(&item, reference),
                    };
                    projected.push(self.detached(value));
                }
                self.depth -= 1;
                Val::Made(projected.into())
            }
            _ => Val::Error,
        }
    }
}
