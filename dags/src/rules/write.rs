//! From [`Rules`] to TOML, with everything that holds, the defaults included: what is written here
//! can be saved, changed and set again.

use std::fmt::Write;

use classad::Expr;

use super::{Quota, RankPreempts, Rules, Surplus, UserRules};

/// See [`Rules::to_toml`].
pub(super) fn rules(rules: &Rules) -> String {
    let mut text = String::new();
    line(&mut text, "half_life_s", &number(rules.half_life_s));
    line(&mut text, "weight", &expression(&rules.weight));
    text.push_str("order = [\n");
    for term in &rules.order {
        let _ = writeln!(text, "    {},", expression(term));
    }
    text.push_str("]\n");
    let when = expression(&rules.preemption_requirements);
    line(&mut text, "preemption_requirements", &when);
    let by_rank = rules.rank_preempts == RankPreempts::Yes;
    line(&mut text, "preempt_for_rank", &by_rank.to_string());
    maximum(&mut text, "restarts_max", rules.restarts_max);
    maximum(&mut text, "jobs_running_max", rules.jobs_running_max);
    if let Some(amount) = rules.limit_default {
        line(&mut text, "limit_default", &number(amount));
    }
    text.push_str("\n[user]\n");
    user(&mut text, &rules.user);
    for (name, of) in &rules.users {
        let _ = write!(text, "\n[users.{}]\n", quoted(name));
        user(&mut text, of);
    }
    for (name, of) in &rules.groups {
        let _ = write!(text, "\n[groups.{}]\n", quoted(name));
        match of.quota {
            Quota::Weight(weight) => line(&mut text, "quota", &number(weight)),
            Quota::Share(share) => line(&mut text, "share", &number(share)),
        }
        let accepts = of.surplus == Surplus::Accept;
        line(&mut text, "surplus", &accepts.to_string());
    }
    if !rules.limits.is_empty() {
        text.push_str("\n[limits]\n");
    }
    for (name, amount) in &rules.limits {
        line(&mut text, &quoted(name), &number(*amount));
    }
    text
}

fn user(text: &mut String, of: &UserRules) {
    line(text, "factor", &number(of.factor));
    maximum(text, "jobs_running_max", of.jobs_running_max);
}

fn maximum(text: &mut String, key: &str, max: Option<u32>) {
    if let Some(max) = max {
        line(text, key, &max.to_string());
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn expression(expr: &Expr) -> String {
    quoted(expr.to_string().trim())
}

/// The shortest text that reads back as the same number; `{:?}` always shows a point or an
/// exponent, which TOML wants of a float.
fn number(number: f64) -> String {
    format!("{number:?}")
}

/// A basic string: everything that TOML wants escaped is.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
