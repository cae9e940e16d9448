//! Calls that are constants, and what the old syntax makes of them. Holds no grammar.

use crate::error::ParseError;
use crate::expr::{Builder, Expr, Lit, Node, NodeId, Ref};
use crate::name::AttrName;
use crate::times;

use super::Parsed;

/// `absTime("…")`, `relTime("…")` and `real("INF")` with one string constant are constants
/// themselves.
pub(super) fn call_literal(
    builder: &Builder,
    name: &AttrName,
    args: &[NodeId],
    start: usize,
) -> Parsed<Option<Lit<'static>>> {
    let [arg] = args else { return Ok(None) };
    let Some(Lit::Str(text)) = builder.as_literal(*arg) else {
        return Ok(None);
    };
    if name.is("abstime") {
        let Some((secs, offset_secs)) = times::parse_abs(text) else {
            let error = ParseError::new(start, "not a time in `absTime`");
            return Err(Box::new(
                error.expecting("a time such as `2024-05-06T07:08:09Z`"),
            ));
        };
        return Ok(Some(Lit::AbsTime { secs, offset_secs }));
    }
    if name.is("reltime") {
        let Some(secs) = times::parse_rel(text) else {
            let error = ParseError::new(start, "not a span of time in `relTime`");
            return Err(Box::new(error.expecting("a span such as `1+02:03:04`")));
        };
        return Ok(Some(Lit::RelTime(secs)));
    }
    // So that infinities and NaN, which print as calls, read back as the constants they are.
    Ok(match (name.as_str(), text) {
        ("real", "INF") => Some(Lit::Real(f64::INFINITY)),
        ("real", "-INF") => Some(Lit::Real(f64::NEG_INFINITY)),
        ("real", "NaN") => Some(Lit::Real(f64::NAN)),
        _ => None,
    })
}

/// A span of time that is the whole of an old-syntax expression, or an item of a list that is, is
/// a real from then on and prints as one.
pub(super) fn span_as_real(expr: Ref<'_>) -> Expr {
    match expr.node() {
        Node::Literal(Lit::RelTime(secs)) => Expr::literal(Lit::Real(secs)),
        Node::List(items) => items.iter().map(span_as_real).collect::<Vec<_>>().into(),
        _ => expr.to_expr(),
    }
}

pub(super) fn is_span(expr: Ref<'_>) -> bool {
    match expr.node() {
        Node::Literal(Lit::RelTime(_)) => true,
        Node::List(items) => items.iter().any(is_span),
        _ => false,
    }
}
