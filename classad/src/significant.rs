//! Which attributes of an ad matter to its matches: ads that agree in them form an autocluster,
//! and a match tried for one of them need not be tried for the next. The answer errs on the safe
//! side: an attribute that cannot matter may be in it, one that can is never left out.

use std::collections::BTreeSet;

use crate::ad::ClassAd;
use crate::expr::{Base, Expr, Node, Ref, Reference, Special};
use crate::functions::Builtin;
use crate::matching::{RANK, REQUIREMENTS};
use crate::name::AttrName;

/// What decides how ads of one kind match those of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Significant {
    /// These attributes, whether an ad has them or not.
    Only(BTreeSet<AttrName>),
    /// Some expression can reach any attribute: it calls `eval()`, or handles whole ads.
    Everything,
}

/// The attributes of `my` that can decide whether it matches any of `targets`, and how each ranks
/// the other.
pub fn significant<'t>(
    my: &ClassAd,
    targets: impl IntoIterator<Item = &'t ClassAd> + Clone,
) -> Significant {
    if names_a_word(my) || targets.clone().into_iter().any(names_a_word) {
        return Significant::Everything;
    }
    let mut walk = Walk::new(Sides::AsWritten);
    walk.go(my, &targets);
    if walk.sides_vary {
        // Inside the ads of a list, `MY` and `TARGET` are other ads than outside.
        walk = Walk::new(Sides::Both);
        walk.go(my, &targets);
    }
    let [reached, _] = walk.reached;
    match walk.anything {
        true => Significant::Everything,
        false => Significant::Only(reached),
    }
}

/// Whether an attribute is named as one of the words that stand for ads: it wins over the word, and
/// what is selected from it may be anything.
fn names_a_word(ad: &ClassAd) -> bool {
    ad.iter()
        .any(|(name, _)| is_word(Special::of(name.as_ref())))
}

/// `CurrentTime` is an attribute that every ad has.
fn is_word(special: Option<Special>) -> bool {
    special.is_some_and(|special| special != Special::CurrentTime)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    My,
    Target,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::My => Self::Target,
            Self::Target => Self::My,
        }
    }
}

/// Which sides `MY.a` and `TARGET.a` are looked up on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sides {
    AsWritten,
    Both,
}

struct Walk {
    /// By side, in the order of [`Side`].
    reached: [BTreeSet<AttrName>; 2],
    open: Vec<(Side, AttrName)>,
    sides: Sides,
    /// Some expression is evaluated in ads of a list.
    sides_vary: bool,
    anything: bool,
}

impl Walk {
    fn new(sides: Sides) -> Self {
        Self {
            reached: [BTreeSet::new(), BTreeSet::new()],
            open: Vec::new(),
            sides,
            sides_vary: false,
            anything: false,
        }
    }

    fn go<'t>(&mut self, my: &ClassAd, targets: &(impl IntoIterator<Item = &'t ClassAd> + Clone)) {
        for side in [Side::My, Side::Target] {
            for root in [REQUIREMENTS, RANK] {
                self.reach(side, root.into());
            }
        }
        while let Some((side, name)) = self.open.pop() {
            match side {
                Side::My => self.look_at(side, my.get_name(&name)),
                Side::Target => {
                    for target in targets.clone() {
                        self.look_at(side, target.get_name(&name));
                    }
                }
            }
        }
    }

    fn reach(&mut self, side: Side, name: AttrName) {
        if self.reached[side as usize].insert(name.clone()) {
            self.open.push((side, name));
        }
    }

    fn look_at(&mut self, side: Side, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.expr(side, expr.as_ref());
        }
    }

    fn expr(&mut self, side: Side, expr: Ref<'_>) {
        match expr.node() {
            Node::Attr(reference) => return self.reference(side, reference),
            Node::Call(call) => {
                self.anything |= call.builtin.is_some_and(Builtin::looks_at_expressions);
                self.sides_vary |= call.builtin.is_some_and(Builtin::evaluates_in_other_ads);
            }
            Node::Ad(ad) => self.anything |= names_a_word(ad),
            Node::Literal(_) | Node::Unary(..) | Node::Binary(..) | Node::And(_) => {}
            Node::Or(_) | Node::Ternary(..) | Node::Elvis(..) | Node::Subscript(..) => {}
            Node::Paren(_) | Node::List(_) => {}
        }
        for child in expr.children() {
            self.expr(side, child);
        }
    }

    /// A name is one of its own side or, where that lacks it, of the other; so it is one of both,
    /// unless it says which.
    fn reference(&mut self, side: Side, reference: Reference<'_>) {
        // An ad as a value, or a part of the match itself.
        self.anything |= is_word(reference.special);
        let name = reference.name.to_name();
        let written = match reference.base {
            Base::Of(base) => match side_of(base) {
                Some((word, named)) => {
                    // In an ad that has such an attribute, it wins.
                    self.reach(side, word);
                    Some(named)
                }
                None => {
                    self.expr(side, base);
                    None
                }
            },
            Base::Here | Base::Root => None,
        };
        let only = match (written, self.sides) {
            (Some(Named::Own), Sides::AsWritten) => Some(side),
            (Some(Named::Others), Sides::AsWritten) => Some(side.other()),
            (Some(_), Sides::Both) | (None, _) => None,
        };
        match only {
            Some(only) => self.reach(only, name),
            None => {
                self.reach(side, name.clone());
                self.reach(side.other(), name);
            }
        }
    }
}

/// Whose attribute a selection names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Own,
    Others,
}

/// `MY` or `TARGET` standing alone, as it is written, and whom it names.
fn side_of(base: Ref<'_>) -> Option<(AttrName, Named)> {
    let Node::Attr(Reference {
        base: Base::Here,
        special,
        name,
    }) = base.node()
    else {
        return None;
    };
    let named = match special? {
        Special::My => Named::Own,
        Special::Target => Named::Others,
        _ => return None,
    };
    Some((name.to_name(), named))
}
