//! Regular expressions, by an engine that is linear in time: no back references, no look-around (a
//! pattern with one is ERROR). Patterns that are constants are compiled once per expression.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::{Call, Literal};
use crate::limits::{REGEX_BYTES_MAX, STRING_BYTES_MAX};

use super::{Builtin, string_list};

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("regexp", 2, 3, regexp),
    Builtin::new("regexpmember", 2, 3, regexp_member),
    Builtin::new("regexps", 3, 4, |e, c, at| substitute(e, c, at, "")),
    Builtin::new("replace", 3, 4, |e, c, at| substitute(e, c, at, "f")),
    Builtin::new("replaceall", 3, 4, |e, c, at| substitute(e, c, at, "fg")),
    Builtin::new("stringlist_regexpmember", 2, 4, string_list_regexp_member),
];

fn regexp(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let args = e.all(&call.args, at);
    match strings(&args) {
        Ok(texts) => match e.compile(call, 2, texts[0], texts.get(2).unwrap_or(&"")) {
            Some(regex) => Val::Bool(regex.is_match(texts[1])),
            None => Val::Error,
        },
        Err(instead) => instead,
    }
}

fn regexp_member(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let mut args = e.all(&call.args, at);
    let list = args.remove(1);
    let texts = match (strings(&args), &list) {
        (_, Val::Error) | (Err(Val::Error), _) => return Val::Error,
        (Err(instead), _) => return instead,
        (_, Val::Undefined) => return Val::Undefined,
        (Ok(texts), _) => texts,
    };
    let Some(items) = e.items(&list) else {
        return Val::Error;
    };
    let regex = e.compile(call, 2, texts[0], texts.get(1).unwrap_or(&""));
    let mut answer = Val::Bool(false);
    for item in items {
        match item {
            Val::Str(text) => {
                if regex.as_ref().is_some_and(|regex| regex.is_match(&text)) {
                    return Val::Bool(true);
                }
            }
            Val::Undefined => answer = Val::Undefined,
            _ => return Val::Error,
        }
    }
    answer
}

fn string_list_regexp_member(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let args = e.all(&call.args, at);
    let Ok(texts) = strings(&args) else {
        return Val::Error;
    };
    let delimiters = texts.get(2).copied().unwrap_or(string_list::DELIMITERS);
    let regex = e.compile(call, 3, texts[0], texts.get(3).unwrap_or(&""));
    let Some(regex) = regex else {
        return Val::Error;
    };
    let items = string_list::items(texts[1], delimiters);
    if items.is_empty() {
        return Val::Undefined;
    }
    Val::Bool(items.iter().any(|item| regex.is_match(item)))
}

/// `regexps(pattern, target, substitute[, options])`: with option `f` the rest of the target stays,
/// with `g` every match counts.
fn substitute(e: &mut Evaluator, call: &Call, at: ScopeId, implied: &str) -> Val {
    let args = e.all(&call.args, at);
    let texts = match strings(&args) {
        Ok(texts) => texts,
        Err(instead) => return instead,
    };
    let options = texts.get(3).copied().unwrap_or("");
    let Some(regex) = e.compile(call, 3, texts[0], options) else {
        return Val::Error;
    };
    let has = |option| options.contains(option) || implied.contains(option);
    match substituted(&regex, texts[1], texts[2], has('f'), has('g')) {
        Some(text) => e.made(text),
        None => Val::Error,
    }
}

/// `None` if the result is too long, or a match at the very end is empty while all are wanted.
fn substituted(
    regex: &Regex,
    target: &str,
    template: &str,
    full: bool,
    global: bool,
) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(captures) = regex.captures_at(target, from) {
        let found = captures.get(0)?;
        if full {
            out.push_str(&target[copied..found.start()]);
        }
        expand(&mut out, template, &captures);
        copied = found.end();
        from = found.end();
        if out.len() > STRING_BYTES_MAX {
            return None;
        }
        if !global {
            break;
        }
        if found.is_empty() {
            let next = target[from..].chars().next()?;
            if full {
                out.push(next);
            }
            from += next.len_utf8();
            copied = from;
        }
    }
    if full {
        out.push_str(&target[copied..]);
    }
    Some(out)
}

/// `\0` to `\9` are the groups; every other backslash stands for itself.
fn expand(out: &mut String, template: &str, captures: &Captures<'_>) {
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        let group = chars
            .peek()
            .and_then(|next| next.to_digit(10))
            .filter(|_| c == '\\');
        match group {
            Some(group) => {
                chars.next();
                out.push_str(
                    captures
                        .get(group as usize)
                        .map_or("", |found| found.as_str()),
                );
            }
            None => out.push(c),
        }
    }
}

/// All arguments as strings; else ERROR if one is or is of another type, else UNDEFINED.
fn strings(args: &[Val]) -> Result<Vec<&str>, Val> {
    let mut texts = Vec::with_capacity(args.len());
    let mut undefined = false;
    for arg in args {
        match arg {
            Val::Str(text) => texts.push(&**text),
            Val::Undefined => undefined = true,
            _ => return Err(Val::Error),
        }
    }
    if undefined {
        Err(Val::Undefined)
    } else {
        Ok(texts)
    }
}

impl Evaluator {
    /// The pattern compiled, from the call itself where it and its options (argument `options_at`)
    /// are constants. `None` if it is no pattern.
    fn compile<'c>(
        &mut self,
        call: &'c Call,
        options_at: usize,
        pattern: &str,
        options: &str,
    ) -> Option<Cow<'c, Regex>> {
        let is_constant = |i: usize| {
            call.args
                .get(i)
                .is_none_or(|arg| matches!(arg.as_literal(), Some(Literal::Str(_))))
        };
        if is_constant(0) && is_constant(options_at) {
            let compiled = call.regex.get_or_init(|| build(pattern, options));
            return compiled.as_ref().map(Cow::Borrowed);
        }
        // Compiling costs far more than a step.
        if !self.spend(100 + pattern.len()) {
            return None;
        }
        build(pattern, options).map(Cow::Owned)
    }
}

pub(super) fn build(pattern: &str, options: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder
        .case_insensitive(options.contains('i'))
        .multi_line(options.contains('m'))
        .dot_matches_new_line(options.contains('s'))
        .ignore_whitespace(options.contains('x'))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX);
    builder.build().ok()
}
