//! Environments and argument lists in HTCondor's two syntaxes, and users. Nothing here asks the
//! machine it runs on: users have no home directory and no map that was not given.

use std::collections::BTreeMap;

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;
use crate::limits::STRING_BYTES_MAX;

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("envv1tov2", 1, 1, env_v1_to_v2).of_htcondor(),
    Builtin::new("mergeenvironment", 0, super::ANY, merge_environment).of_htcondor(),
    Builtin::new("listtoargs", 1, 2, list_to_args).of_htcondor(),
    Builtin::new("argstolist", 1, 2, args_to_list).of_htcondor(),
    Builtin::new("userhome", 0, super::ANY, user_home).of_htcondor(),
    Builtin::new("usermap", 2, 4, user_map).of_htcondor(),
];

/// Version 1 separates by spaces and quotes nothing; version 2 quotes with `'`.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

fn env_v1_to_v2(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        Val::Undefined => Val::Undefined,
        Val::Str(text) => match settings_v1(e, &text) {
            Some(settings) => e.made(environment(&settings)),
            None => Val::Error,
        },
        _ => Val::Error,
    }
}

/// Names with their values; a setting that is looked up on the machine, `$$(…)`, has none.
type Settings = BTreeMap<String, Option<String>>;

/// The settings of version 1, separated by line breaks and `;` (or by the `^` or `|` that the text
/// begins with). `None` if one is no setting, or they cost too much.
fn settings_v1(e: &mut Evaluator<'_>, text: &str) -> Option<Settings> {
    let (delimiter, mut rest) = match text.chars().next() {
        Some(c @ ('^' | '|')) => (c, &text[1..]),
        _ => (';', text),
    };
    let mut settings = Settings::new();
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            return Some(settings);
        }
        if !e.spend(1) {
            return None;
        }
        let end = rest.find([delimiter, '\n']).unwrap_or(rest.len());
        if end > 0 {
            let (name, value) = setting(&rest[..end])?;
            settings.insert(name, Some(value));
        }
        rest = rest.get(end + 1..).unwrap_or("");
    }
}

fn setting(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    (!name.is_empty()).then(|| (name.to_string(), value.to_string()))
}

/// The settings in version 2, in the order of their names.
fn environment(settings: &Settings) -> String {
    let words: Vec<String> = settings
        .iter()
        .map(|(name, value)| match value {
            Some(value) => quote(&format!("{name}={value}")),
            None => quote(name),
        })
        .collect();
    words.join(" ")
}

/// Later environments win.
fn merge_environment(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let mut merged = Settings::new();
    for i in 0..call.args.len() {
        let text = match e.arg(call, i, at) {
            Val::Undefined => continue,
            Val::Str(text) => text,
            _ => return Val::Error,
        };
        let Some(settings) = words(e, &text) else {
            return Val::Error;
        };
        for word in settings {
            match setting(&word) {
                Some((name, value)) => merged.insert(name, Some(value)),
                None if word.starts_with("$$") => merged.insert(word, None),
                None => return Val::Error,
            };
        }
    }
    e.made(environment(&merged))
}

fn list_to_args(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let list = e.arg(call, 0, at);
    let Some(version) = version(e, call, at) else {
        return Val::Error;
    };
    let Some(items) = e.items_of(&list) else {
        return Val::Error;
    };
    let mut out = String::new();
    for item in &items {
        let Val::Str(text) = item else {
            return Val::Error;
        };
        if !out.is_empty() {
            out.push(' ');
        }
        match version {
            Version::One if text.contains(is_blank) => return Val::Error,
            Version::One => out.push_str(text),
            Version::Two => out.push_str(&quote(text)),
        }
        if out.len() > STRING_BYTES_MAX {
            return Val::Error;
        }
    }
    e.made(out)
}

fn args_to_list(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.arg(call, 0, at);
    let Some(version) = version(e, call, at) else {
        return Val::Error;
    };
    let Val::Str(text) = args else {
        return Val::Error;
    };
    let words = match version {
        Version::One => {
            let words = text.split(is_blank).filter(|word| !word.is_empty());
            Some(words.map(Val::string).collect())
        }
        Version::Two => words(e, &text).map(|words| words.into_iter().map(Val::string).collect()),
    };
    match words {
        Some(words) => e.made_list(words),
        None => Val::Error,
    }
}

fn version(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Option<Version> {
    match e.arg_if_any(call, 1, at) {
        None | Some(Val::Int(2)) => Some(Version::Two),
        Some(Val::Int(1)) => Some(Version::One),
        Some(_) => None,
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Words separated by white space; `'` quotes, doubled inside quotes it is itself. Each is paid
/// for. `None` if a quote does not end, or they cost too much.
fn words(e: &mut Evaluator<'_>, text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let word = word.get_or_insert_default();
            loop {
                match chars.next()? {
                    '\'' if chars.peek() == Some(&'\'') => {
                        chars.next();
                        word.push('\'');
                    }
                    '\'' => break,
                    c => word.push(c),
                }
            }
        } else if is_blank(c) {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    e.spend(words.len()).then_some(words)
}

/// The word in the form that [`words`] reads: white space and quotes inside quotes, the rest as it
/// is.
fn quote(word: &str) -> String {
    if word.is_empty() {
        return "''".to_string();
    }
    let mut out = String::new();
    let mut quoted = false;
    for c in word.chars() {
        let quotes = is_blank(c) || c == '\'';
        if quotes != quoted {
            out.push('\'');
            quoted = quotes;
        }
        if c == '\'' {
            out.push('\'');
        }
        out.push(c);
    }
    if quoted {
        out.push('\'');
    }
    out
}

/// The default, where there is one: no user has a home here. With more or fewer arguments the
/// reference has no value at all.
fn user_home(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    if !(1..=2).contains(&call.args.len()) {
        e.failed = true;
        return Val::Error;
    }
    let user = e.arg(call, 0, at);
    if let Some(default) = call.args.get(1)
        && let Val::Str(home) = e.eval(default, at)
        && !home.is_empty()
    {
        return Val::Str(home);
    }
    match user {
        Val::Str(_) | Val::Undefined => Val::Undefined,
        _ => Val::Error,
    }
}

/// The default, where there is one: no map is known here.
fn user_map(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let args = e.all(call.args, at);
    if args[..2].iter().any(|arg| matches!(arg, Val::Error)) {
        return Val::Error;
    }
    args.into_iter().nth(3).unwrap_or(Val::Undefined)
}
