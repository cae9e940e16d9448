//! Which attributes an expression mentions, and which it stands on once an ad gives the names a
//! meaning.

use std::collections::BTreeSet;

use crate::ad::ClassAd;
use crate::expr::{Base, Expr, Literal, Node, Reference, Special};
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
        references.mention(expr, &mut Vec::new());
        references
    }

    /// By an ad: internal are its attributes that `expr` reaches, directly or through others;
    /// external are the rest, as they are written (`TARGET.x` keeps its prefix). `None` where an
    /// expression selects from an attribute that is no ad.
    pub(crate) fn resolve(ad: &ClassAd, expr: &Expr) -> Option<Self> {
        let mut walk = Walk {
            root: ad,
            found: Self::default(),
            seen: BTreeSet::new(),
            open: Vec::new(),
        };
        walk.expr(expr, &mut vec![ad.clone()])?;
        while let Some((expr, mut scopes)) = walk.open.pop() {
            walk.expr(&expr, &mut scopes)?;
        }
        Some(walk.found)
    }

    fn mention<'e>(&mut self, expr: &'e Expr, nested: &mut Vec<&'e ClassAd>) {
        match expr.node() {
            Node::Attr(reference) => self.mention_reference(reference, nested),
            Node::Ad(ad) => {
                nested.push(ad);
                ad.iter().for_each(|(_, expr)| self.mention(expr, nested));
                nested.pop();
            }
            _ => expr
                .children()
                .into_iter()
                .for_each(|child| self.mention(child, nested)),
        }
    }

    fn mention_reference<'e>(&mut self, reference: &'e Reference, nested: &mut Vec<&'e ClassAd>) {
        match &reference.base {
            Base::Root => {
                self.internal.insert(reference.name.clone());
            }
            Base::Here => {
                if !nested
                    .iter()
                    .any(|ad| ad.get_name(&reference.name).is_some())
                {
                    self.internal.insert(reference.name.clone());
                }
            }
            Base::Of(base) => match scope_word(base) {
                Some(Special::My) if nested.is_empty() => {
                    self.internal.insert(reference.name.clone());
                }
                Some(Special::Target) => {
                    self.external.insert(reference.name.clone());
                }
                Some(_) => {}
                None => self.mention(base, nested),
            },
        }
    }
}

/// `MY`, `TARGET`, `parent` … standing alone.
fn scope_word(expr: &Expr) -> Option<Special> {
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

struct Walk<'a> {
    root: &'a ClassAd,
    found: References,
    /// Expressions already met, by identity.
    seen: BTreeSet<usize>,
    /// Attributes still to be walked, with the ads around them: chains of attributes may be long.
    open: Vec<(Expr, Vec<ClassAd>)>,
}

impl Walk<'_> {
    /// `scopes` are the ads around the expression, the outermost first.
    fn expr(&mut self, expr: &Expr, scopes: &mut Vec<ClassAd>) -> Option<()> {
        match expr.node() {
            Node::Attr(reference) => self.reference(reference, scopes).map(|_| ()),
            Node::Ad(ad) => {
                scopes.push(ad.clone());
                let walked = ad.iter().try_for_each(|(_, expr)| self.expr(expr, scopes));
                scopes.pop();
                walked
            }
            _ => expr
                .children()
                .into_iter()
                .try_for_each(|child| self.expr(child, scopes)),
        }
    }

    /// Notes what the reference stands for, and returns that where it is in an ad.
    fn reference(
        &mut self,
        reference: &Reference,
        scopes: &mut Vec<ClassAd>,
    ) -> Option<Option<(Expr, Vec<ClassAd>)>> {
        match &reference.base {
            Base::Here => self.look_up(&reference.name, scopes.clone()),
            Base::Root => self.look_up(&reference.name, vec![self.root.clone()]),
            Base::Of(base) => self.selection(base, &reference.name, scopes),
        }
    }

    fn selection(
        &mut self,
        base: &Expr,
        name: &AttrName,
        scopes: &mut Vec<ClassAd>,
    ) -> Option<Option<(Expr, Vec<ClassAd>)>> {
        let depth = scopes.len();
        match scope_word(base) {
            Some(Special::My) => return self.look_up(name, scopes.clone()),
            Some(Special::Root) => return self.look_up(name, scopes[..1].to_vec()),
            Some(Special::Parent) if depth > 1 => {
                return self.look_up(name, scopes[..depth - 1].to_vec());
            }
            Some(_) | None => {}
        }
        let Node::Attr(inner) = base.unparenthesized().node() else {
            return self.expr(base, scopes).map(|()| None);
        };
        if let Some(path) = external_path(inner, self.root) {
            self.found
                .external
                .insert(AttrName::from(format!("{path}.{name}")));
            return Some(None);
        }
        let Some((value, mut around)) = self.reference(inner, scopes)? else {
            return Some(None);
        };
        match value.unparenthesized().node() {
            Node::Ad(ad) => {
                around.push(ad.clone());
                self.look_up(name, around)
            }
            Node::Literal(Literal::Undefined) => Some(None),
            _ => None,
        }
    }

    fn look_up(
        &mut self,
        name: &AttrName,
        mut scopes: Vec<ClassAd>,
    ) -> Option<Option<(Expr, Vec<ClassAd>)>> {
        while let Some(ad) = scopes.last() {
            let Some(expr) = ad.get_name(name).cloned() else {
                scopes.pop();
                continue;
            };
            if scopes.len() == 1 {
                self.found.internal.insert(name.clone());
            }
            if self.seen.insert(expr.identity()) {
                self.open.push((expr.clone(), scopes.clone()));
            }
            return Some(Some((expr, scopes)));
        }
        self.found.external.insert(name.clone());
        Some(None)
    }
}

/// `TARGET.a.b` as text if nothing in `root` gives its first name a meaning.
fn external_path(reference: &Reference, root: &ClassAd) -> Option<String> {
    match &reference.base {
        Base::Here if root.get_name(&reference.name).is_none() => {
            Some(reference.name.as_str().to_string())
        }
        Base::Of(base) => match base.node() {
            Node::Attr(inner) => {
                external_path(inner, root).map(|path| format!("{path}.{}", reference.name))
            }
            _ => None,
        },
        Base::Here | Base::Root => None,
    }
}
