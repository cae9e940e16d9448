//! Environments and argument lists in HTCondor's two syntaxes, and users. Nothing here asks the
//! machine it runs on: users have no home directory and no map that was not given.

use std::collections::BTreeMap;

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;

use super::Builtin;

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("envv1tov2", 1, 1, env_v1_to_v2),
    Builtin::new("mergeenvironment", 0, super::ANY, merge_environment),
    Builtin::new("listtoargs", 1, 2, list_to_args),
    Builtin::new("argstolist", 1, 2, args_to_list),
    Builtin::new("userhome", 1, 2, user_home),
    Builtin::new("usermap", 2, 4, user_map),
];

/// Version 1 separates by spaces and quotes nothing; version 2 quotes with `'`.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

fn env_v1_to_v2(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    match e.eval(&call.args[0], at) {
        Val::Undefined => Val::Undefined,
        Val::Str(text) => {
            let settings = text.split(';').filter(|setting| !setting.is_empty());
            let quoted: Vec<String> = settings.map(quote).collect();
            e.made(quoted.join(" "))
        }
        _ => Val::Error,
    }
}

/// Later environments win; the result is in the order of the names.
fn merge_environment(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let mut merged = BTreeMap::new();
    for arg in &call.args {
        let text = match e.eval(arg, at) {
            Val::Undefined => continue,
            Val::Str(text) => text,
            _ => return Val::Error,
        };
        let Some(settings) = words(&text) else {
            return Val::Error;
        };
        for setting in settings {
            let Some((name, value)) = setting.split_once('=') else {
                return Val::Error;
            };
            merged.insert(name.to_string(), value.to_string());
        }
    }
    let settings: Vec<String> = merged
        .iter()
        .map(|(name, value)| quote(&format!("{name}={value}")))
        .collect();
    e.made(settings.join(" "))
}

fn list_to_args(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let list = e.eval(&call.args[0], at);
    let Some(version) = version(e, call, at) else {
        return Val::Error;
    };
    let Some(items) = e.items(&list) else {
        return Val::Error;
    };
    let mut args = Vec::with_capacity(items.len());
    for item in &items {
        let Val::Str(text) = item else {
            return Val::Error;
        };
        match version {
            Version::One if text.is_empty() || text.contains(char::is_whitespace) => {
                return Val::Error;
            }
            Version::One => args.push(text.to_string()),
            Version::Two => args.push(quote(text)),
        }
    }
    e.made(args.join(" "))
}

fn args_to_list(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let args = e.eval(&call.args[0], at);
    let Some(version) = version(e, call, at) else {
        return Val::Error;
    };
    let Val::Str(text) = args else {
        return Val::Error;
    };
    let words = match version {
        Version::One => Some(text.split_whitespace().map(str::to_string).collect()),
        Version::Two => words(&text),
    };
    match words {
        Some(words) => e.made_list(words.into_iter().map(Val::string).collect()),
        None => Val::Error,
    }
}

fn version(e: &mut Evaluator, call: &Call, at: ScopeId) -> Option<Version> {
    match call.args.get(1).map(|arg| e.eval(arg, at)) {
        None | Some(Val::Int(2)) => Some(Version::Two),
        Some(Val::Int(1)) => Some(Version::One),
        Some(_) => None,
    }
}

/// Words separated by white space; `'` quotes, doubled inside quotes it is itself. `None` if a
/// quote does not end.
fn words(text: &str) -> Option<Vec<String>> {
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
        } else if c.is_whitespace() {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    Some(words)
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
        let quotes = c.is_whitespace() || c == '\'';
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

/// The default, where there is one: no user has a home here.
fn user_home(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let user = e.eval(&call.args[0], at);
    if let Some(default) = call.args.get(1) {
        return match e.eval(default, at) {
            Val::Str(home) => Val::Str(home),
            Val::Undefined => Val::Undefined,
            _ => Val::Error,
        };
    }
    match user {
        Val::Str(_) | Val::Undefined => Val::Undefined,
        _ => Val::Error,
    }
}

/// The default, where there is one: no map is known here.
fn user_map(e: &mut Evaluator, call: &Call, at: ScopeId) -> Val {
    let args = e.all(&call.args, at);
    if args.iter().any(|arg| matches!(arg, Val::Error)) {
        return Val::Error;
    }
    match args.get(3) {
        Some(Val::Str(default)) => Val::Str(default.clone()),
        Some(Val::Undefined) | None => Val::Undefined,
        Some(_) => Val::Error,
    }
}
