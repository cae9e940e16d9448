//! Expressions and ads to text, in the reference's own spacing. Recursion is bounded by the depth
//! that expressions may have.

use std::fmt::Write;

use crate::ad::ClassAd;
use crate::expr::{Base, Expr, Items, Lit, Node, Ref, UnaryOp};
use crate::limits::STRING_BYTES_MAX;
use crate::name::NameRef;
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
    /// As new, with an item a line in ads and lists, indented from so many columns on.
    Pretty(u16),
}

/// The expression as the function `unparse()` gives it.
pub(crate) fn pretty(e: &Expr) -> String {
    let mut out = String::new();
    expr(&mut out, e.as_ref(), Style::Pretty(0));
    out
}

pub(crate) fn expr(out: &mut String, e: Ref<'_>, style: Style) {
    match e.node() {
        Node::Literal(value) => literal(out, value, style),
        Node::Attr(reference) => match reference.base {
            Base::Here => name(out, reference.name, style),
            Base::Root => {
                out.push('.');
                name(out, reference.name, style);
            }
            Base::Of(base) => {
                expr(out, base, style);
                if style == Style::Exact && ends_in_number(base) {
                    out.push(' ');
                }
                out.push('.');
                selected(out, reference.name, style);
            }
        },
        Node::Unary(op, a) => {
            out.push(' ');
            out.push_str(op.symbol());
            let operand = out.len();
            expr(out, a, style);
            // A minus right before a digit would read back as the sign of the number.
            let number = out[operand..].starts_with(|c: char| c == '.' || c.is_ascii_digit());
            if style == Style::Exact && op == UnaryOp::Minus && number {
                out.insert(operand, ' ');
            }
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
            // The reference never quotes the name of a function; lossless form must.
            match style {
                Style::New | Style::Old | Style::Pretty(_) => out.push_str(call.name),
                Style::Exact => name(out, NameRef::new(call.name), style),
            }
            out.push('(');
            separated(out, call.args, ",", style);
            out.push(')');
        }
        Node::List(items) => list(out, items, style),
        Node::Ad(nested) => ad(out, nested, style),
    }
}

/// Whether a point right after it would read back as that of a number.
fn ends_in_number(e: Ref<'_>) -> bool {
    match e.node() {
        Node::Literal(literal) => matches!(literal, Lit::Int(_) | Lit::Real(_)),
        Node::Elvis(_, b) => ends_in_number(b),
        _ => false,
    }
}

pub(crate) fn ad(out: &mut String, ad: &ClassAd, style: Style) {
    if let Style::Pretty(column) = style {
        return pretty_ad(out, ad, column + PRETTY_AD);
    }
    out.push_str("[ ");
    for (i, (attr, value)) in ad.printed().into_iter().enumerate() {
        if i > 0 {
            out.push_str("; ");
        }
        name(out, attr.as_ref(), style);
        out.push_str(" = ");
        expr(out, value.as_ref(), style);
    }
    out.push_str(" ]");
}

pub(crate) fn list(out: &mut String, items: Items<'_>, style: Style) {
    if let Style::Pretty(column) = style {
        return pretty_list(out, items, column + PRETTY_LIST);
    }
    out.push_str("{ ");
    separated(out, items, ",", style);
    out.push_str(" }");
}

/// Columns by which ads and lists go in, and what is inside them once more.
const PRETTY_AD: u16 = 4;
const PRETTY_LIST: u16 = 3;

fn pretty_ad(out: &mut String, ad: &ClassAd, column: u16) {
    line(out, column);
    out.push('[');
    for (i, (attr, value)) in ad.printed().into_iter().enumerate() {
        if i > 0 {
            out.push_str("; ");
        }
        line(out, column + PRETTY_AD);
        name(out, attr.as_ref(), Style::New);
        out.push_str(" = ");
        expr(out, value.as_ref(), Style::Pretty(column + PRETTY_AD));
    }
    line(out, column);
    out.push(']');
}

fn pretty_list(out: &mut String, items: Items<'_>, column: u16) {
    line(out, column);
    out.push('{');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        line(out, column + PRETTY_LIST);
        expr(out, item, Style::Pretty(column + PRETTY_LIST));
    }
    line(out, column);
    out.push('}');
}

/// A new line, up to a column. What is too long for a string anyway is not indented further.
fn line(out: &mut String, column: u16) {
    out.push('\n');
    if out.len() > STRING_BYTES_MAX {
        return;
    }
    out.extend(std::iter::repeat_n(' ', column.into()));
}

pub(crate) fn literal(out: &mut String, value: Lit<'_>, style: Style) {
    match value {
        Lit::Undefined => out.push_str("undefined"),
        Lit::Error => out.push_str("error"),
        Lit::Bool(true) => out.push_str("true"),
        Lit::Bool(false) => out.push_str("false"),
        Lit::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Lit::Real(value) => real(out, value, style),
        Lit::Str(text) => string(out, text, style),
        Lit::AbsTime { secs, offset_secs }
            if style == Style::Exact && !times::is_readable(secs, offset_secs) =>
        {
            let _ = write!(out, "absTime({secs},{offset_secs})");
        }
        Lit::AbsTime { secs, offset_secs } => {
            let _ = write!(out, "absTime(\"{}\")", times::format_abs(secs, offset_secs));
        }
        Lit::RelTime(secs) if !secs.is_finite() => real(out, secs, style),
        Lit::RelTime(secs) if style == Style::Exact => {
            let _ = write!(out, "relTime(\"{secs}\")");
        }
        Lit::RelTime(secs) => {
            let _ = write!(out, "relTime(\"{}\")", times::format_rel(secs));
        }
    }
}

pub(crate) fn name(out: &mut String, name: NameRef<'_>, style: Style) {
    if name.is_plain() {
        out.push_str(name.as_str());
    } else {
        quoted_name(out, name, style);
    }
}

/// A name behind the point of a selection, where `parent` stands without quotes. The reference
/// quotes nothing there, so that what it prints of other names cannot be read back.
fn selected(out: &mut String, name: NameRef<'_>, style: Style) {
    if name.is_word() {
        out.push_str(name.as_str());
    } else {
        quoted_name(out, name, style);
    }
}

fn quoted_name(out: &mut String, name: NameRef<'_>, style: Style) {
    out.push('\'');
    match style {
        Style::New | Style::Exact | Style::Pretty(_) => escaped(out, name.as_str(), '\'', style),
        Style::Old => old_escaped(out, name.as_str(), '\''),
    }
    out.push('\'');
}

/// A string in quotes.
pub(crate) fn string(out: &mut String, text: &str, style: Style) {
    out.push('"');
    match style {
        Style::New | Style::Exact | Style::Pretty(_) => escaped(out, text, '"', style),
        Style::Old => old_escaped(out, text, '"'),
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
            Style::New | Style::Pretty(_) => out.push_str(&exponential(value, 15)),
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
            c if !c.is_ascii() && matches!(style, Style::Old | Style::Exact) => out.push(c),
            c => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(out, "\\{byte:03o}");
                }
            }
        }
    }
}

/// The old syntax knows one escape, that of the quote.
fn old_escaped(out: &mut String, text: &str, quote: char) {
    for c in text.chars() {
        if c == quote {
            out.push('\\');
        }
        out.push(c);
    }
}

fn infix(out: &mut String, a: Ref<'_>, symbol: &str, b: Ref<'_>, style: Style) {
    expr(out, a, style);
    out.push(' ');
    out.push_str(symbol);
    out.push(' ');
    expr(out, b, style);
}

fn separated(out: &mut String, items: Items<'_>, separator: &str, style: Style) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        expr(out, item, style);
    }
}
