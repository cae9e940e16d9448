//! Functions over the items of a list.

use std::cmp::Ordering;

use crate::eval::{Evaluator, ScopeId, Val, ops};
use crate::expr::{BinaryOp, Call};

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("size", 1, 1, size),
    Builtin::new("sum", 1, 1, sum),
    Builtin::new("avg", 1, 1, avg),
    Builtin::new("min", 1, 1, |e, c, at| extreme(e, c, at, Ordering::Less)),
    Builtin::new("max", 1, 1, |e, c, at| extreme(e, c, at, Ordering::Greater)),
    Builtin::new("member", 2, 2, |e, c, at| member(e, c, at, BinaryOp::Eq)),
    Builtin::new("identicalmember", 2, 2, |e, c, at| {
        member(e, c, at, BinaryOp::Is)
    }),
    Builtin::new("anycompare", 3, 3, |e, c, at| compare(e, c, at, true)),
    Builtin::new("allcompare", 3, 3, |e, c, at| compare(e, c, at, false)),
];

fn size(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        Val::Undefined => Val::Undefined,
        Val::Str(text) => Val::Int(text.len() as i64),
        Val::Ad(id) => Val::Int(e.ad(id).len() as i64),
        value => e
            .list_len(&value)
            .map_or(Val::Error, |len| Val::Int(len as i64)),
    }
}

/// The items of the first argument that are not undefined, or what the function answers instead.
fn defined_items(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Result<Vec<Val>, Val> {
    let list = e.arg(call, 0, at);
    if matches!(list, Val::Undefined) {
        return Err(Val::Undefined);
    }
    let mut items = e.items_of(&list).ok_or(Val::Error)?;
    items.retain(|item| !matches!(item, Val::Undefined));
    Ok(items)
}

/// A single number is its own sum, also where it is a boolean.
fn total(items: &[Val]) -> Val {
    if let [only @ (Val::Bool(_) | Val::Int(_) | Val::Real(_))] = items {
        return only.clone();
    }
    items.iter().fold(Val::Int(0), |sum, item| {
        ops::binary_of(BinaryOp::Add, &sum, item)
    })
}

fn sum(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    defined_items(e, call, at).map_or_else(|instead| instead, |items| total(&items))
}

fn avg(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match defined_items(e, call, at) {
        Ok(items) if items.is_empty() => Val::Int(0),
        Ok(items) => ops::binary_of(
            BinaryOp::Div,
            &total(&items),
            &Val::Real(items.len() as f64),
        ),
        Err(instead) => instead,
    }
}

/// The least or greatest item; a real if any item is one.
fn extreme(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, wanted: Ordering) -> Val {
    let items = match defined_items(e, call, at) {
        Ok(items) => items,
        Err(instead) => return instead,
    };
    if let [only @ Val::Bool(_)] = items.as_slice() {
        return only.clone();
    }
    let as_reals = items.iter().any(|item| matches!(item, Val::Real(_)));
    let mut best: Option<Val> = None;
    for item in items {
        let item = match item {
            Val::Int(value) if as_reals => Val::Real(value as f64),
            Val::Bool(value) if as_reals => Val::Real(f64::from(u8::from(value))),
            Val::Bool(value) => Val::Int(i64::from(value)),
            Val::Int(_) | Val::Real(_) => item,
            _ => return Val::Error,
        };
        let op = if wanted == Ordering::Less {
            BinaryOp::Lt
        } else {
            BinaryOp::Gt
        };
        let better = match &best {
            None => true,
            Some(best) => matches!(ops::binary_of(op, &item, best), Val::Bool(true)),
        };
        if better {
            best = Some(item);
        }
    }
    best.unwrap_or(Val::Undefined)
}

fn member(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, op: BinaryOp) -> Val {
    let value = e.arg(call, 0, at);
    let list = e.arg(call, 1, at);
    let unasked = op == BinaryOp::Eq && matches!(value, Val::Undefined);
    if unasked || matches!(list, Val::Undefined) {
        return Val::Undefined;
    }
    if !list.is_list() || value.is_list() || matches!(value, Val::Ad(_)) {
        return Val::Error;
    }
    if op == BinaryOp::Eq && matches!(value, Val::Error) {
        return Val::Error;
    }
    for i in 0..e.list_len(&list).unwrap_or(0) {
        let Some(item) = e.next_item(&list, i) else {
            return Val::Error;
        };
        if matches!(ops::binary_of(op, &item, &value), Val::Bool(true)) {
            return Val::Bool(true);
        }
    }
    Val::Bool(false)
}

/// `anyCompare` where one item decides for TRUE, `allCompare` where one decides for FALSE.
fn compare(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, decisive: bool) -> Val {
    let [op, list, value] = [0, 1, 2].map(|i| e.arg(call, i, at));
    let op = match &op {
        Val::Undefined => return Val::Undefined,
        Val::Str(symbol) => comparison(symbol),
        _ => None,
    };
    let Some(op) = op else {
        return Val::Error;
    };
    if matches!(list, Val::Undefined) {
        return Val::Undefined;
    }
    let Some(len) = e.list_len(&list) else {
        return Val::Error;
    };
    for i in 0..len {
        let Some(item) = e.next_item(&list, i) else {
            return Val::Error;
        };
        match ops::binary_of(op, &item, &value) {
            Val::Bool(holds) if holds == decisive => return Val::Bool(decisive),
            Val::Bool(_) => {}
            Val::Undefined => return Val::Bool(false),
            _ => return Val::Error,
        }
    }
    Val::Bool(!decisive)
}

fn comparison(symbol: &str) -> Option<BinaryOp> {
    Some(match symbol {
        "<" => BinaryOp::Lt,
        "<=" => BinaryOp::Le,
        ">" => BinaryOp::Gt,
        ">=" => BinaryOp::Ge,
        "==" => BinaryOp::Eq,
        "!=" => BinaryOp::Ne,
        "is" => BinaryOp::Is,
        "isnt" => BinaryOp::Isnt,
        _ => return None,
    })
}
