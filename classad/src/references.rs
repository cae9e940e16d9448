//! Which attributes an expression mentions, and which it stands on once an ad gives the names a
//! meaning.

use std::collections::BTreeSet;

use crate::ad::ClassAd;
use crate::eval::{Evaluator, MY, Meaning, Scope, ScopeId};
use crate::expr::{Base, Expr, Identity, Node, Ref, Reference, Special};
use crate::name::AttrName;

/// Attributes by side. Internal ones are the ad's own, external ones the other side's (or
/// nobody's).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Names of the ad itself.
    pub internal: BTreeSet<AttrName>,
    /// Names of the other side.
    pub external: BTreeSet<AttrName>,
}

impl References {
    /// By the text alone: bare names and `MY.x` are internal, `TARGET.x` is external as `x`. Names
    /// inside a nested ad that it defines itself are left out.
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut references = Self::default();
        references.mention(expr.as_ref(), &mut Vec::new());
        references
    }

    /// By an ad: internal are its attributes that `expr` reaches, directly or through others;
    /// external are the rest, as they are written (`TARGET.x` keeps its prefix). `None` where an
    /// expression selects from something that is no ad.
    pub(crate) fn resolve(ad: &ClassAd, expr: &Expr) -> Option<Self> {
        Self::reached(&mut Evaluator::new(Scope::new(ad)), expr.clone(), MY)
    }

    /// The same for what stands in scope `at` of an evaluation.
    pub(crate) fn reached(evaluator: &mut Evaluator<'_>, expr: Expr, at: ScopeId) -> Option<Self> {
        let mut walk = Walk {
            evaluator,
            found: Self::default(),
            seen: BTreeSet::new(),
            open: vec![(expr, at, Depth::Full)],
        };
        while let Some((expr, at, depth)) = walk.open.pop() {
            walk.expr(expr.as_ref(), at, depth)?;
        }
        Some(walk.found)
    }

    fn mention<'e>(&mut self, expr: Ref<'e>, nested: &mut Vec<&'e ClassAd>) {
        match expr.node() {
            Node::Attr(reference) => self.mention_reference(reference, nested),
            Node::Ad(ad) => {
                nested.push(ad);
                ad.iter()
                    .for_each(|(_, expr)| self.mention(expr.as_ref(), nested));
                nested.pop();
            }
            _ => expr
                .children()
                .into_iter()
                .for_each(|child| self.mention(child, nested)),
        }
    }

    fn mention_reference<'e>(&mut self, reference: Reference<'e>, nested: &mut Vec<&'e ClassAd>) {
        match reference.base {
            Base::Root => {
                self.internal.insert(reference.name.to_name());
            }
            Base::Here => {
                if !nested.iter().any(|ad| ad.get_ref(reference.name).is_some()) {
                    self.internal.insert(reference.name.to_name());
                }
            }
            Base::Of(base) => match scope_word(base) {
                Some(Special::My) if nested.is_empty() => {
                    self.internal.insert(reference.name.to_name());
                }
                Some(Special::Target) => {
                    self.external.insert(reference.name.to_name());
                }
                Some(_) => {}
                None => self.mention(base, nested),
            },
        }
    }
}

/// `MY`, `TARGET`, `parent` … standing alone.
fn scope_word(expr: Ref<'_>) -> Option<Special> {
    match expr.node() {
        Node::Attr(Reference {
            base: Base::Here,
            special,
            ..
        }) => special.filter(|special| {
            matches!(
                special,
                Special::My | Special::Target | Special::Parent | Special::Root
            )
        }),
        _ => None,
    }
}

/// Whether the attributes of an ad count that is only selected from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Full,
    /// Inside the base of a selection: they do not.
    Base,
}

struct Walk<'w, 'a> {
    evaluator: &'w mut Evaluator<'a>,
    found: References,
    /// Definitions already met: the expression's identity and the scope that holds it.
    seen: BTreeSet<(Identity, ScopeId, Depth)>,
    /// Definitions still to be walked: chains of attributes may be long.
    open: Vec<(Expr, ScopeId, Depth)>,
}

impl Walk<'_, '_> {
    /// Names inside a nested ad are looked up from around it, as the reference does.
    fn expr(&mut self, expr: Ref<'_>, at: ScopeId, depth: Depth) -> Option<()> {
        if !self.evaluator.spend(1) {
            return None;
        }
        match expr.node() {
            Node::Attr(reference) => self.reference(reference, at, depth),
            Node::Ad(_) if depth == Depth::Base => Some(()),
            _ => expr
                .children()
                .into_iter()
                .try_for_each(|child| self.expr(child, at, depth)),
        }
    }

    fn reference(&mut self, reference: Reference<'_>, at: ScopeId, depth: Depth) -> Option<()> {
        if let Base::Of(base) = reference.base {
            self.base(base, at)?;
        }
        match self.evaluator.meaning(reference, at) {
            Meaning::Attr(expr, holder) => {
                if holder == MY {
                    self.found.internal.insert(reference.name.to_name());
                }
                self.later(expr, holder, depth);
            }
            Meaning::Ad(id) if depth == Depth::Full => {
                let ad = self.evaluator.ad(id).clone();
                ad.iter()
                    .for_each(|(_, expr)| self.later(expr.clone(), id, depth));
            }
            Meaning::Ad(_) => {}
            Meaning::Nobody if reference.special == Some(Special::CurrentTime) => {}
            Meaning::Nobody if depth == Depth::Full => {
                self.found.external.insert(reference.name.to_name());
            }
            Meaning::NoBase if depth == Depth::Full => {
                let Base::Of(base) = reference.base else {
                    return None;
                };
                let path = format!("{}.{}", base.to_expr(), reference.name.as_str());
                let path = AttrName::from(path);
                self.found.external.insert(path);
            }
            Meaning::Nobody | Meaning::NoBase => {}
            Meaning::NotAnAd => return None,
        }
        Some(())
    }

    /// What a selection selects from is reached, its external names are not.
    fn base(&mut self, base: Ref<'_>, at: ScopeId) -> Option<()> {
        self.expr(base, at, Depth::Base)
    }

    fn later(&mut self, expr: Expr, holder: ScopeId, depth: Depth) {
        if !expr.is_literal() && self.seen.insert((expr.identity(), holder, depth)) {
            self.open.push((expr, holder, depth));
        }
    }
}
