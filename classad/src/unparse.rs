//! Expressions and ads to text, in the reference's own spacing. Recursion is bounded by the depth
//! that expressions may have.

use std::fmt::Write;

use crate::ad::ClassAd;
use crate::expr::{Base, Expr, Literal, Node};
use crate::name::AttrName;
use crate::times;

/// How constants and `=?=` are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Escaped strings, reals as `%1.15E`, `is` and `isnt`.
    New,
    /// Raw strings, reals as `%.16G`, `=?=` and `=!=`.
    Old,
    /// As new, with the shortest reals that read back to the same bits.
    Exact,
}

pub(crate) fn expr(out: &mut String, e: &Expr, style: Style) {
    match e.node() {
        Node::Literal(value) => literal(out, value, style),
        Node::Attr(reference) => {
            match &reference.base {
                Base::Here => {}
                Base::Root => out.push('.'),
                Base::Of(base) => {
                    expr(out, base, style);
                    out.push('.');
                }
            }
            name(out, &reference.name, style);
        }
        Node::Unary(op, a) => {
            out.push(' ');
            out.push_str(op.symbol());
            expr(out, a, style);
        }
        Node::Binary(op, a, b) => {
            let symbol = match (op.symbol(), style) {
                ("is", Style::Old) => "=?=",
                ("isnt", Style::Old) => "=!=",
                (symbol, _) => symbol,
            };
            infix(out, a, symbol, b, style);
        }
        Node::And(items) => separated(out, items, " && ", style),
        Node::Or(items) => separated(out, items, " || ", style),
        Node::Elvis(a, b) => infix(out, a, "?:", b, style),
        Node::Ternary(a, b, c) => {
            infix(out, a, "?", b, style);
            out.push_str(" : ");
            expr(out, c, style);
        }
        Node::Subscript(a, index) => {
            expr(out, a, style);
            out.push('[');
            expr(out, index, style);
            out.push(']');
        }
        Node::Paren(inner) => {
            out.push('(');
            expr(out, inner, style);
            out.push(')');
        }
        Node::Call(call) => {
            out.push_str(&call.name);
            out.push('(');
            separated(out, &call.args, ",", style);
            out.push(')');
        }
        Node::List(items) => list(out, items, style),
        Node::Ad(nested) => ad(out, nested, style),
    }
}

pub(crate) fn ad(out: &mut String, ad: &ClassAd, style: Style) {
    out.push_str("[ ");
    for (i, (attr, value)) in ad.iter().enumerate() {
        if i > 0 {
            out.push_str("; ");
        }
        name(out, attr, style);
        out.push_str(" = ");
        expr(out, value, style);
    }
    out.push_str(" ]");
}

pub(crate) fn list(out: &mut String, items: &[Expr], style: Style) {
    out.push_str("{ ");
    separated(out, items, ",", style);
    out.push_str(" }");
}

pub(crate) fn literal(out: &mut String, value: &Literal, style: Style) {
    match value {
        Literal::Undefined => out.push_str("undefined"),
        Literal::Error => out.push_str("error"),
        Literal::Bool(true) => out.push_str("true"),
        Literal::Bool(false) => out.push_str("false"),
        Literal::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Literal::Real(value) => real(out, *value, style),
        Literal::Str(text) => string(out, text, style),
        Literal::AbsTime { secs, offset_secs }
            if style == Style::Exact && !times::is_readable(*secs, *offset_secs) =>
        {
            let _ = write!(out, "absTime({secs},{offset_secs})");
        }
        Literal::AbsTime { secs, offset_secs } => {
            let _ = write!(
                out,
                "absTime(\"{}\")",
                times::format_abs(*secs, *offset_secs)
            );
        }
        Literal::RelTime(secs) if !secs.is_finite() => real(out, *secs, style),
        Literal::RelTime(secs) if style == Style::Exact => {
            let _ = write!(out, "relTime(\"{secs}\")");
        }
        Literal::RelTime(secs) => {
            let _ = write!(out, "relTime(\"{}\")", times::format_rel(*secs));
        }
    }
}

pub(crate) fn name(out: &mut String, name: &AttrName, style: Style) {
    if name.is_plain() {
        out.push_str(name.as_str());
    } else {
        out.push('\'');
        escaped(out, name.as_str(), '\'', style);
        out.push('\'');
    }
}

/// A string in quotes.
pub(crate) fn string(out: &mut String, text: &str, style: Style) {
    out.push('"');
    match style {
        Style::New | Style::Exact => escaped(out, text, '"', style),
        Style::Old => {
            for c in text.chars() {
                if c == '"' {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
    out.push('"');
}

pub(crate) fn real(out: &mut String, value: f64, style: Style) {
    if value.is_nan() {
        out.push_str("real(\"NaN\")");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 {
            "real(\"INF\")"
        } else {
            "real(\"-INF\")"
        });
    } else if value == 0.0 {
        out.push_str(if value.is_sign_negative() {
            "-0.0"
        } else {
            "0.0"
        });
    } else {
        match style {
            Style::New => out.push_str(&exponential(value, 15)),
            Style::Old => out.push_str(&general(value, 16)),
            Style::Exact => {
                let _ = write!(out, "{value:?}");
            }
        }
    }
}

/// As C's `%1.{digits}E`.
pub(crate) fn exponential(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$E}");
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{mantissa}E{sign}{exponent:0>2}")
}

/// As C's `%.{digits}G`, with `.0` added to what would read as an integer.
pub(crate) fn general(value: f64, digits: usize) -> String {
    let text = exponential(value, digits - 1);
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "+00"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        } else {
            text.to_string()
        }
    };
    if power < -4 || power >= digits as i32 {
        return format!("{}E{exponent}", trim(mantissa));
    }
    let decimals = (digits as i32 - 1 - power).max(0) as usize;
    let fixed = trim(&format!("{value:.decimals$}"));
    if fixed.contains('.') {
        fixed
    } else {
        format!("{fixed}.0")
    }
}

/// Control characters and everything beyond ASCII as escapes of bytes; lossless form keeps UTF-8.
fn escaped(out: &mut String, text: &str, quote: char, style: Style) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if !c.is_ascii() && style != Style::New => out.push(c),
            c => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(out, "\\{byte:03o}");
                }
            }
        }
    }
}

fn infix(out: &mut String, a: &Expr, symbol: &str, b: &Expr, style: Style) {
    expr(out, a, style);
    out.push(' ');
    out.push_str(symbol);
    out.push(' ');
    expr(out, b, style);
}

fn separated(out: &mut String, items: &[Expr], separator: &str, style: Style) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        expr(out, item, style);
    }
}
