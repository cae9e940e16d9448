//! Functions about expressions rather than values: conditions, evaluation elsewhere, reflection.

use std::collections::BTreeSet;

use crate::ad::ClassAd;
use crate::eval::{Evaluator, ScopeId, Val, ops};
use crate::expr::{Base, Call, Expr, Node, Reference, Special};
use crate::limits::EVAL_TEXT_DEPTH_MAX;
use crate::name::AttrName;

use super::{Builtin, regexes};

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("ifthenelse", 3, 3, if_then_else),
    Builtin::new("eval", 1, 1, eval),
    Builtin::new("debug", 1, 1, |e, call, at| e.eval(&call.args[0], at)),
    Builtin::new("unparse", 1, 1, unparse),
    Builtin::new("unresolved", 1, 2, unresolved),
    Builtin::new("evalineachcontext", 2, 2, eval_in_each_context),
    Builtin::new("countmatches", 2, 2, count_matches),
];

fn if_then_else(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    match ops::truth(&e.eval(&call.args[0], at)) {
        ops::Truth::True => e.eval(&call.args[1], at),
        ops::Truth::False => e.eval(&call.args[2], at),
        ops::Truth::Undefined => Val::Undefined,
        ops::Truth::Error => Val::Error,
    }
}

/// A string is parsed and evaluated; everything else is its own value.
fn eval(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    match e.eval(&call.args[0], at) {
        Val::Str(text) => {
            // Parsing costs about a step per byte.
            if !e.spend(text.len()) || e.depth() > EVAL_TEXT_DEPTH_MAX {
                return Val::Error;
            }
            match Expr::parse(&text) {
                Ok(expr) => e.eval(&expr, at),
                Err(_) => Val::Error,
            }
        }
        value => value,
    }
}

/// The text of the attribute's expression; empty unless a bare name of this side.
fn unparse(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let Node::Attr(reference) = call.args[0].node() else {
        return Val::Error;
    };
    match (&reference.base, e.definition(&reference.name, at)) {
        (Base::Here, Some((expr, _))) => e.made(expr.to_string()),
        _ => Val::string(""),
    }
}

/// The names that the attribute's expression leaves to the other side, separated by commas; with a
/// regular expression, whether it matches one of them.
fn unresolved(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let Node::Attr(Reference {
        base: Base::Here,
        name,
        ..
    }) = call.args[0].node()
    else {
        return Val::Error;
    };
    let pattern = match call.args.get(1).map(|arg| e.eval(arg, at)) {
        None => None,
        Some(Val::Str(pattern)) => Some(pattern),
        Some(Val::Undefined) => return Val::Undefined,
        Some(_) => return Val::Error,
    };
    let Some((expr, scope)) = e.definition(name, at) else {
        return Val::Undefined;
    };
    let ad: ClassAd = e.ad(scope).clone();
    let Some(references) = ad.references(&expr) else {
        return Val::Error;
    };
    let names: BTreeSet<AttrName> = references.external.iter().map(without_side).collect();
    let mut names = names.iter().map(AttrName::as_str);
    match pattern {
        None => e.made(names.collect::<Vec<_>>().join(",")),
        Some(pattern) => match regexes::build(&pattern, "") {
            Some(regex) => Val::Bool(names.any(|name| regex.is_match(name))),
            None => Val::Error,
        },
    }
}

/// `TARGET.a.b` as `a`.
fn without_side(path: &AttrName) -> AttrName {
    let mut parts = path.as_str().split('.');
    match (parts.next(), parts.next()) {
        (Some(side), Some(name)) if side.eq_ignore_ascii_case("target") => name.into(),
        (Some(name), _) => name.into(),
        (None, _) => path.clone(),
    }
}

fn eval_in_each_context(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    match in_each_context(e, call, at) {
        Ok(values) => e.made_list(values),
        Err(Outside::NoAds | Outside::NoExpr) => Val::Undefined,
        Err(Outside::Wrong) => Val::Error,
    }
}

fn count_matches(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    match in_each_context(e, call, at) {
        Ok(values) => {
            let is_match = |value: &&Val| ops::truth(value) == ops::Truth::True;
            Val::Int(values.iter().filter(is_match).count() as i64)
        }
        Err(Outside::NoAds) => Val::Int(0),
        Err(Outside::NoExpr) => Val::Undefined,
        Err(Outside::Wrong) => Val::Error,
    }
}

/// Why there is nothing to evaluate in ads.
enum Outside {
    /// The list is undefined.
    NoAds,
    /// The expression is `MY.x` and there is no `x`.
    NoExpr,
    /// The list is something else.
    Wrong,
}

/// The first argument's value in every ad of the second. Where it names an attribute of this side,
/// that attribute's expression is what is evaluated there.
fn in_each_context(e: &mut Evaluator, call: &Call, at: ScopeId) -> Result<Vec<Val>, Outside> {
    let list = e.eval(&call.args[1], at);
    if matches!(list, Val::Undefined) {
        return Err(Outside::NoAds);
    }
    let items = e.items(&list).ok_or(Outside::Wrong)?;
    let expr = match named(&call.args[0]) {
        None => call.args[0].clone(),
        Some((name, side)) => match (e.definition(name, at), side) {
            (Some((expr, _)), _) => expr,
            (None, Side::Any) => call.args[0].clone(),
            (None, Side::My) => return Err(Outside::NoExpr),
        },
    };
    let values = items.into_iter().map(|item| match item {
        Val::Ad(id) => e.eval(&expr, id),
        Val::Undefined => Val::Undefined,
        _ => Val::Error,
    });
    Ok(values.collect())
}

/// How an attribute is named: bare, or with `MY.`.
#[derive(Clone, Copy)]
enum Side {
    Any,
    My,
}

fn named(expr: &Expr) -> Option<(&AttrName, Side)> {
    let Node::Attr(reference) = expr.node() else {
        return None;
    };
    match &reference.base {
        Base::Here => Some((&reference.name, Side::Any)),
        Base::Root => None,
        Base::Of(base) => match base.node() {
            Node::Attr(Reference {
                base: Base::Here,
                special: Some(Special::My),
                ..
            }) => Some((&reference.name, Side::My)),
            _ => None,
        },
    }
}
