//! Regular expressions, by an engine that is linear in time: no back references, no look-around (a
//! pattern with one is ERROR). Patterns that are constants are kept compiled with the expression;
//! what they cost in steps is the same whether one was kept or not.

use std::borrow::Cow;

use regex::bytes::{Captures, Regex, RegexBuilder};

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::{Call, Lit};
use crate::limits::{REGEX_BYTES_MAX, REGEX_KEPT_BYTES_MAX, STRING_BYTES_MAX};

use super::{Builtin, pattern, string_list};

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("regexp", 2, 3, regexp).taking_pattern(),
    Builtin::new("regexpmember", 2, 3, regexp_member).taking_pattern(),
    Builtin::new("regexps", 3, 4, |e, c, at| substitute(e, c, at, "")).taking_pattern(),
    Builtin::new("replace", 3, 4, |e, c, at| substitute(e, c, at, "f")).taking_pattern(),
    Builtin::new("replaceall", 3, 4, |e, c, at| substitute(e, c, at, "fg")).taking_pattern(),
    Builtin::new("stringlist_regexpmember", 2, 4, string_list_regexp_member)
        .of_htcondor()
        .taking_pattern(),
];

fn regexp(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.all(call.args, at);
    let texts = match strings(&args) {
        Ok(texts) => texts,
        Err(instead) => return instead,
    };
    let options = texts.get(2).unwrap_or(&"");
    let compiled = e.compile_test(call, 2, texts[0], options);
    match compiled.and_then(|pattern| pattern.is_match(e, texts[1])) {
        Some(found) => Val::Bool(found),
        None => Val::Error,
    }
}

fn regexp_member(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.all(call.args, at);
    if args.iter().any(|arg| matches!(arg, Val::Error)) {
        return Val::Error;
    }
    if args.iter().any(|arg| matches!(arg, Val::Undefined)) {
        return Val::Undefined;
    }
    let list = &args[1];
    let Val::Str(pattern) = &args[0] else {
        return Val::Error;
    };
    let options = match args.get(2) {
        None => "",
        Some(Val::Str(options)) => options,
        Some(_) => return Val::Error,
    };
    let Some(items) = e.items_of(list) else {
        return Val::Error;
    };
    let compiled = e.compile_test(call, 2, pattern, options);
    let mut answer = Val::Bool(false);
    for item in items {
        match item {
            Val::Str(text) => {
                let found = compiled.as_ref().map(|pattern| pattern.is_match(e, &text));
                match found {
                    Some(Some(true)) => return Val::Bool(true),
                    Some(Some(false)) | None => {}
                    Some(None) => return Val::Error,
                }
            }
            Val::Undefined => answer = Val::Undefined,
            _ => return Val::Error,
        }
    }
    answer
}

fn string_list_regexp_member(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.all(call.args, at);
    let Ok(texts) = strings(&args) else {
        return Val::Error;
    };
    let delimiters = texts.get(2).copied().unwrap_or(string_list::DELIMITERS);
    // Of this function alone the options may be in any case.
    let options = texts.get(3).unwrap_or(&"").to_ascii_lowercase();
    let Some(pattern) = e.compile_test(call, 3, texts[0], &options) else {
        return Val::Error;
    };
    let Some(items) = string_list::items(e, texts[1], delimiters) else {
        return Val::Error;
    };
    if items.is_empty() {
        return Val::Undefined;
    }
    for item in items {
        match pattern.is_match(e, item) {
            Some(true) => return Val::Bool(true),
            Some(false) => {}
            None => return Val::Error,
        }
    }
    Val::Bool(false)
}

/// `regexps(pattern, target, substitute[, options])`: with option `f` the rest of the target stays,
/// with `g` every match counts.
fn substitute(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, implied: &str) -> Val {
    let args = e.all(call.args, at);
    let texts = match strings(&args) {
        Ok(texts) => texts,
        Err(instead) => return instead,
    };
    let options = texts.get(3).copied().unwrap_or("");
    let Some(pattern) = e.compile(call, 3, texts[0], options, pattern::End::Only) else {
        return Val::Error;
    };
    let has = |option| options.contains(option) || implied.contains(option);
    match substituted(e, &pattern, [texts[1], texts[2]], has('f'), has('g')) {
        Some(text) => e.made(text),
        None => Val::Error,
    }
}

/// `None` if the result is too long or costs too much, the template names a group that took no
/// part, or a match at the very end is empty while all are wanted.
fn substituted(
    e: &mut Evaluator<'_>,
    pattern: &Pattern,
    [target, template]: [&str; 2],
    full: bool,
    global: bool,
) -> Option<String> {
    let target = target.as_bytes();
    let mut out = Vec::new();
    let mut copied = 0;
    let mut from = 0;
    loop {
        let captures = pattern.regex.captures_at(target, from);
        let found = captures.as_ref().and_then(|captures| captures.get(0));
        let end = found.map_or(target.len(), |found| found.end());
        let filled_in = template.len() / TEMPLATE_BYTES;
        if !e.spend(pattern.search_cost(end - from, target.len() - from) + filled_in) {
            return None;
        }
        let (Some(captures), Some(found)) = (&captures, found) else {
            break;
        };
        if full {
            out.extend(&target[copied..found.start()]);
        }
        expand(&mut out, template, captures)?;
        copied = found.end();
        from = found.end();
        if out.len() > STRING_BYTES_MAX {
            return None;
        }
        if !global {
            break;
        }
        if found.is_empty() {
            let next = *target.get(from)?;
            if full {
                out.push(next);
            }
            from += 1;
            copied = from;
        }
    }
    if full {
        out.extend(&target[copied..]);
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// `\0` to `\9` are the groups; every other backslash stands for itself. `None` if a group is
/// behind the last that took part.
fn expand(out: &mut Vec<u8>, template: &str, captures: &Captures<'_>) -> Option<()> {
    let last = (0..captures.len())
        .rev()
        .find(|&i| captures.get(i).is_some())?;
    let mut bytes = template.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let group = bytes
            .peek()
            .filter(|next| byte == b'\\' && next.is_ascii_digit())
            .map(|digit| usize::from(digit - b'0'));
        match group {
            Some(group) if group > last => return None,
            Some(group) => {
                bytes.next();
                out.extend(
                    captures
                        .get(group)
                        .map_or(&b""[..], |found| found.as_bytes()),
                );
            }
            None => out.push(byte),
        }
    }
    Some(())
}

/// All arguments as strings; else ERROR if one is, UNDEFINED if one is, ERROR if one is of another
/// type.
fn strings(args: &[Val]) -> Result<Vec<&str>, Val> {
    if args.iter().any(|arg| matches!(arg, Val::Error)) {
        return Err(Val::Error);
    }
    if args.iter().any(|arg| matches!(arg, Val::Undefined)) {
        return Err(Val::Undefined);
    }
    let texts: Option<Vec<&str>> = args
        .iter()
        .map(|arg| match arg {
            Val::Str(text) => Some(&**text),
            _ => None,
        })
        .collect();
    texts.ok_or(Val::Error)
}

/// Bytes of a template that cost a step to go through.
const TEMPLATE_BYTES: usize = 16;

/// Compiled size that is tried first; then four times as much, until the pattern fits.
const SIZE_MIN: usize = 1024;
/// Compiled bytes that cost a step to make.
const COMPILED_BYTES: usize = 16;
/// Bytes of a pattern that cost a step to read.
const PATTERN_BYTES: usize = 4;
/// What a step is worth of the square of its length: the engine looks for what matches begin with,
/// and of `a?a?a?…` finds ever more.
const PATTERN_SQUARE: usize = 512;
/// What the engine may keep of the automaton that it makes while it searches.
const CACHE_BYTES_MAX: usize = 64 * 1024;

/// A pattern, compiled.
#[derive(Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    /// What its compiled size is at most.
    size: usize,
    /// Whether a match may be of any length.
    is_unbounded: bool,
}

/// What became of a constant pattern, kept with its expression.
pub(crate) struct Kept {
    /// `None` if it is no pattern.
    pattern: Option<Pattern>,
    /// What compiling it cost, in steps.
    cost: usize,
}

impl Pattern {
    /// Whether it matches; `None` if the evaluation has used up what it may.
    fn is_match(&self, e: &mut Evaluator<'_>, text: &str) -> Option<bool> {
        let cost = self.search_cost(text.len(), text.len());
        e.spend(cost).then(|| self.regex.is_match(text.as_bytes()))
    }

    /// Whether it matches more than nothing somewhere; `None` as above.
    pub(super) fn finds_something(&self, e: &mut Evaluator<'_>, text: &str) -> Option<bool> {
        let mut from = 0;
        while from <= text.len() {
            let found = self.regex.find_at(text.as_bytes(), from);
            let end = found.map_or(text.len(), |found| found.end());
            if !e.spend(self.search_cost(end - from, text.len() - from)) {
                return None;
            }
            match found {
                None => break,
                Some(found) if !found.is_empty() => return Some(true),
                Some(found) => from = found.end() + 1,
            }
        }
        Some(false)
    }

    /// Steps for a search that found its end after `found` bytes where there were `rest`. Whether
    /// there is more to a match of any length is known only at the end of the text.
    fn search_cost(&self, found: usize, rest: usize) -> usize {
        /// The largest pattern whose automaton always fits what the engine may keep of it.
        const SMALL_SIZE: usize = 1024;
        /// Bytes of text that such a one reads in a step.
        const STEP_BYTES: usize = 128;
        /// Bytes of text times compiled bytes for a step of any other.
        const STEP_WORK: usize = 8192;
        /// Least compiled bytes for a byte that a match may be long.
        const REACH_BYTES: usize = 16;
        let read = match self.is_unbounded {
            true => rest,
            false => (found + self.size / REACH_BYTES).min(rest),
        };
        let reading = match self.size {
            ..=SMALL_SIZE => read / STEP_BYTES,
            size => read.saturating_mul(size) / STEP_WORK,
        };
        1 + reading + self.size / SMALL_SIZE
    }
}

impl Evaluator<'_> {
    /// The pattern compiled for questions of yes or no.
    fn compile_test<'c>(
        &mut self,
        call: Call<'c>,
        options_at: usize,
        pattern: &str,
        options: &str,
    ) -> Option<Cow<'c, Pattern>> {
        self.compile(
            call,
            options_at,
            pattern,
            options,
            pattern::End::OrLineBreak,
        )
    }

    /// The pattern compiled, from the call itself where it and its options (argument `options_at`)
    /// are constants. `None` if it is no pattern, or costs more than is left.
    fn compile<'c>(
        &mut self,
        call: Call<'c>,
        options_at: usize,
        pattern: &str,
        options: &str,
        ends: pattern::End,
    ) -> Option<Cow<'c, Pattern>> {
        let is_constant = |i: usize| {
            call.args
                .get(i)
                .is_none_or(|arg| matches!(arg.as_literal(), Some(Lit::Str(_))))
        };
        let place = call
            .pattern
            .filter(|_| is_constant(0) && is_constant(options_at));
        if let Some(kept) = place.and_then(|place| place.get()) {
            let is_paid = self.spend(kept.cost);
            let pattern = kept.pattern.as_ref().map(Cow::Borrowed);
            return pattern.filter(|_| is_paid);
        }
        let (compiled, cost) = self.build(pattern, options, ends)?;
        let small = |pattern: &Pattern| pattern.size <= REGEX_KEPT_BYTES_MAX;
        match place {
            Some(place) if compiled.as_ref().is_none_or(small) => {
                let kept = place.get_or_init(|| Kept {
                    pattern: compiled,
                    cost,
                });
                kept.pattern.as_ref().map(Cow::Borrowed)
            }
            Some(_) | None => compiled.map(Cow::Owned),
        }
    }

    /// The pattern of `unresolved()`, which looks at names.
    pub(super) fn compile_for_names(&mut self, pattern: &str) -> Option<Pattern> {
        self.build(pattern, "i", pattern::End::OrLineBreak)?.0
    }

    /// The pattern compiled, if it is one, and what that cost. `None` if it costs more than is
    /// left.
    fn build(
        &mut self,
        pattern: &str,
        options: &str,
        ends: pattern::End,
    ) -> Option<(Option<Pattern>, usize)> {
        let extended = options.contains('x');
        let length = pattern.len();
        let reading = 1 + length / PATTERN_BYTES + length.saturating_mul(length) / PATTERN_SQUARE;
        let mut cost = reading;
        if !self.spend(reading) {
            return None;
        }
        let translated = pattern::translated(pattern, ends, extended);
        let mut builder = RegexBuilder::new(&translated.text);
        builder
            .unicode(false)
            .case_insensitive(options.contains('i'))
            .multi_line(options.contains('m'))
            .dot_matches_new_line(options.contains('s'))
            .ignore_whitespace(extended)
            .dfa_size_limit(CACHE_BYTES_MAX);
        let mut size = SIZE_MIN;
        loop {
            let trying = reading + size / COMPILED_BYTES;
            cost += trying;
            if !self.spend(trying) {
                return None;
            }
            match builder.size_limit(size).build() {
                Ok(regex) => {
                    let is_unbounded = translated.is_unbounded;
                    let compiled = Pattern {
                        regex,
                        size,
                        is_unbounded,
                    };
                    return Some((Some(compiled), cost));
                }
                Err(regex::Error::CompiledTooBig(_)) if size < REGEX_BYTES_MAX => {
                    size = (size * 4).min(REGEX_BYTES_MAX);
                }
                Err(_) => return Some((None, cost)),
            }
        }
    }
}
