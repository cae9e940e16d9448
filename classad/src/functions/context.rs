//! Functions about expressions rather than values: conditions, evaluation elsewhere, reflection.

use crate::eval::{Evaluator, Meaning, STEP_BYTES, ScopeId, Val, ops};
use crate::expr::{Base, Call, Expr, Lit, Node};
use crate::limits::EVAL_TEXT_DEPTH_MAX;
use crate::name::AttrName;
use crate::references::References;
use crate::unparse;

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("ifthenelse", 3, 3, if_then_else),
    Builtin::new("eval", 1, 1, eval).looking_at_expressions(),
    Builtin::new("debug", 1, 1, |e, call, at| e.eval(call.arg(0), at)),
    Builtin::new("unparse", 1, 1, unparse_attr).looking_at_expressions(),
    Builtin::new("unresolved", 1, 2, unresolved).looking_at_expressions(),
    Builtin::new("evalineachcontext", 2, 2, eval_in_each_context)
        .of_htcondor()
        .evaluating_in_other_ads(),
    Builtin::new("countmatches", 2, 2, count_matches)
        .of_htcondor()
        .evaluating_in_other_ads(),
];

fn if_then_else(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match ops::truth(&e.eval(call.arg(0), at)) {
        ops::Truth::True => e.eval(call.arg(1), at),
        ops::Truth::False => e.eval(call.arg(2), at),
        ops::Truth::Undefined => Val::Undefined,
        ops::Truth::Error => Val::Error,
    }
}

/// What the value's text says when read as an expression. Constants of most types say themselves.
fn eval(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let text = match e.eval(call.arg(0), at) {
        Val::Str(text) => text,
        Val::Undefined | Val::Error | Val::AbsTime { .. } => return Val::Error,
        value @ (Val::Bool(_) | Val::Int(_) | Val::Real(_)) => return value,
        value => match e.text(&value) {
            Some(text) => text.into(),
            None => return Val::Error,
        },
    };
    // Parsing costs about a step per byte.
    if !e.spend(text.len()) || e.depth() > EVAL_TEXT_DEPTH_MAX {
        return Val::Error;
    }
    match Expr::parse(&text) {
        Ok(expr) => e.eval(expr.as_ref(), at),
        Err(_) => Val::Error,
    }
}

/// The text of the attribute's expression; empty unless a bare name of this side.
fn unparse_attr(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let Node::Attr(reference) = call.arg(0).node() else {
        return Val::Error;
    };
    match (reference.base, e.definition(reference.name, at)) {
        (Base::Here, Some((expr, _))) => e.made(unparse::pretty(&expr)),
        _ => Val::string(""),
    }
}

/// The names that the attribute's expression leaves to the other side, separated by commas; with a
/// regular expression, whether it matches one of them in any case.
fn unresolved(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let Node::Attr(reference) = call.arg(0).node() else {
        return Val::Error;
    };
    let (expr, scope) = match e.meaning_on_both_sides(reference, at) {
        Meaning::Attr(expr, scope) => (expr, scope),
        Meaning::Ad(scope) => (e.ad(scope).clone().into(), scope),
        Meaning::Nobody | Meaning::NoBase | Meaning::NotAnAd => return Val::Undefined,
    };
    let pattern = match call.args.get(1).map(|arg| e.eval(arg, at)) {
        None => None,
        Some(Val::Str(pattern)) => Some(pattern),
        Some(_) => {
            e.failed = true;
            return Val::Error;
        }
    };
    let pattern = match pattern.map(|pattern| e.compile_for_names(&pattern)) {
        None => None,
        Some(Some(pattern)) => Some(pattern),
        Some(None) => return Val::Error,
    };
    let Some(references) = References::reached(e, expr, scope) else {
        return Val::Error;
    };
    let names = references.external.iter().map(without_side);
    let Some(pattern) = pattern else {
        return e.made(names.collect::<Vec<_>>().join(","));
    };
    for name in names {
        match pattern.finds_something(e, name) {
            Some(true) => return Val::Bool(true),
            Some(false) => {}
            None => return Val::Error,
        }
    }
    Val::Bool(false)
}

/// `TARGET.a.b` as `a.b`.
fn without_side(path: &AttrName) -> &str {
    const SIDE: &str = "target.";
    match path.as_str().get(..SIDE.len()) {
        Some(side) if side.eq_ignore_ascii_case(SIDE) => &path.as_str()[SIDE.len()..],
        _ => path.as_str(),
    }
}

fn eval_in_each_context(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match in_each_context(e, call, at) {
        Ok(values) => e.made_list(values),
        Err(Outside::NoAds | Outside::Lost) => Val::Undefined,
        Err(Outside::Wrong) => Val::Error,
    }
}

fn count_matches(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match in_each_context(e, call, at) {
        Ok(values) => {
            let is_match = |value: &&Val| ops::truth(*value) == ops::Truth::True;
            Val::Int(values.iter().filter(is_match).count() as i64)
        }
        Err(Outside::NoAds) => Val::Int(0),
        // The reference answers 0 but has lost its place, so that what this is compared with
        // (RequestGPUs) is undefined, and with it the comparison.
        Err(Outside::Lost) => Val::Undefined,
        Err(Outside::Wrong) => Val::Error,
    }
}

/// Why there is nothing to evaluate in ads.
enum Outside {
    /// The list is undefined.
    NoAds,
    /// In a match, the first argument names an attribute that is not there.
    Lost,
    /// The list is something else.
    Wrong,
}

/// The first argument's value in every ad of the second. Where it names an attribute, that
/// attribute's expression is what is evaluated there, and the list is looked up from the ad that
/// holds the attribute.
fn in_each_context(
    e: &mut Evaluator<'_>,
    call: Call<'_>,
    at: ScopeId,
) -> Result<Vec<Val>, Outside> {
    let (expr, list_at) = match call.arg(0).node() {
        Node::Attr(reference) => match e.meaning_on_both_sides(reference, at) {
            Meaning::Attr(expr, holder) => (expr, holder),
            Meaning::Ad(_) => (call.arg(0).to_expr(), at),
            Meaning::Nobody | Meaning::NoBase | Meaning::NotAnAd if e.has_target() => {
                return Err(Outside::Lost);
            }
            Meaning::Nobody | Meaning::NoBase | Meaning::NotAnAd => (call.arg(0).to_expr(), at),
        },
        _ => (call.arg(0).to_expr(), at),
    };
    // What is no name may be a long string, of which this made a copy.
    if let Some(Lit::Str(text)) = expr.as_literal() {
        e.spend(text.len() / STEP_BYTES);
    }
    let list = e.eval(call.arg(1), list_at);
    if matches!(list, Val::Undefined) {
        return Err(Outside::NoAds);
    }
    let items = e.items_of(&list).ok_or(Outside::Wrong)?;
    let values = items.into_iter().map(|item| match item {
        Val::Ad(id) => e.eval_in_context(&expr, id),
        Val::Undefined => Val::Undefined,
        _ => Val::Error,
    });
    Ok(values.collect())
}
