//! Macro replacement in one text: `$(name)`, `$(name:default)`, `$FUNCTION(…)`, `$(DOLLAR)`.
//!
//! Knows where names come from only through [`Table`]; reports what is wrong in words and leaves
//! places to the caller.

use super::functions;
use super::run::Table;
use super::{MACRO_DEPTH_MAX, MACRO_STEPS_MAX, VALUE_BYTES_MAX};
use crate::diagnostic::Code;

/// What stopped an expansion, or what it met on its way.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub code: Code,
    pub message: String,
    pub help: Option<String>,
}

/// One expansion. Holds its budget and the names it did not find.
pub(super) struct Expander<'t, 'a> {
    pub table: &'t Table<'a>,
    /// Names that are defined nowhere and had no default, in the order met.
    pub undefined: Vec<String>,
    /// Texts that look like functions and are none.
    pub unknown_functions: Vec<String>,
    /// What is refused though HTCondor makes something of it, which stands in the text.
    pub refused: Vec<Issue>,
    depth: usize,
    steps: usize,
}

impl Issue {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
        }
    }

    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Expands a text with the names of a table.
///
/// # Errors
/// What stopped it.
pub(super) fn expand(table: &Table<'_>, text: &str) -> Result<String, Issue> {
    let mut expander = Expander::new(table);
    let expanded = expander.expand(text)?;
    match expander.refused.into_iter().next() {
        Some(issue) => Err(issue),
        None => Ok(expanded),
    }
}

impl<'t, 'a> Expander<'t, 'a> {
    pub fn new(table: &'t Table<'a>) -> Self {
        Self {
            table,
            undefined: Vec::new(),
            unknown_functions: Vec::new(),
            refused: Vec::new(),
            depth: 0,
            steps: 0,
        }
    }

    pub fn expand(&mut self, text: &str) -> Result<String, Issue> {
        let mut out = String::with_capacity(text.len());
        self.expand_into(text, &mut out)?;
        Ok(out)
    }

    /// The expanded value of a name, where it is defined.
    pub fn value_of(&mut self, name: &str) -> Result<Option<String>, Issue> {
        match self.table.get(name) {
            None => Ok(None),
            Some(value) => {
                let mut out = String::new();
                self.nested(name, &value, &mut out)?;
                Ok(Some(out))
            }
        }
    }

    fn expand_into(&mut self, text: &str, out: &mut String) -> Result<(), Issue> {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push(out, &rest[..at])?;
            let after = &rest[at + 1..];
            let taken = if after.starts_with("$(") || after.starts_with("$$(") {
                // What `$$(…)` means is told when there is a machine. The text behind `$$(` is expanded like any other, behind `$$$(` with its `$(`.
                let taken = 1 + usize::from(after.starts_with("$("));
                push(out, "$")?;
                push(out, &after[..taken])?;
                Some(taken)
            } else if let Some(inner) = after.strip_prefix('(') {
                self.reference(inner, out)?.map(|taken| taken + 1)
            } else {
                self.function(after, out)?
            };
            match taken {
                Some(taken) => rest = &after[taken..],
                None => {
                    push(out, "$")?;
                    rest = after;
                }
            }
        }
        push(out, rest)
    }

    /// Replaces what follows `$(`; gives the bytes it took, `None` where this is no macro.
    fn reference(&mut self, inner: &str, out: &mut String) -> Result<Option<usize>, Issue> {
        let end = inner
            .find(|c: char| !is_name_char(c))
            .unwrap_or(inner.len());
        let name = &inner[..end];
        let (default, taken) = match inner[end..].chars().next() {
            Some(')') => (None, end + 1),
            Some(':') => match closing(&inner[end + 1..]) {
                Some(len) => (Some(&inner[end + 1..end + 1 + len]), end + 1 + len + 1),
                None => return Ok(None),
            },
            Some(_) | None => return Ok(None),
        };
        self.step()?;
        if name.eq_ignore_ascii_case("DOLLAR") {
            push(out, "$")?;
        } else if let Some(value) = self.table.get(name).filter(|value| !value.is_empty()) {
            self.nested(name, &value, out)?;
        } else if let Some(default) = default {
            self.nested(name, default, out)?;
        } else if !name.is_empty() && !self.table.knows(name) {
            self.undefined.push(name.to_owned());
        }
        Ok(Some(taken))
    }

    /// Replaces `NAME(args)` after a `$`; gives the bytes it took, `None` where this is no
    /// function.
    fn function(&mut self, after: &str, out: &mut String) -> Result<Option<usize>, Issue> {
        let end = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(after.len());
        let (name, Some(args)) = (&after[..end], after[end..].strip_prefix('(')) else {
            return Ok(None);
        };
        // Only the default of `$ENV(name:default)` may have macros in it.
        let close = match name {
            "ENV" => closing(args),
            _ => args.find(')'),
        };
        let Some(close) = close else {
            return Ok(None);
        };
        if name.is_empty() {
            return Ok(None);
        }
        self.step()?;
        match functions::call(self, name, &args[..close])? {
            Some(value) => {
                push(out, &value)?;
                Ok(Some(end + 1 + close + 1))
            }
            None => {
                self.unknown_functions.push(name.to_owned());
                Ok(None)
            }
        }
    }

    /// The expanded text of a default.
    pub fn nested_text(&mut self, text: &str) -> Result<String, Issue> {
        let mut out = String::new();
        self.nested("ENV", text, &mut out)?;
        Ok(out)
    }

    fn nested(&mut self, name: &str, text: &str, out: &mut String) -> Result<(), Issue> {
        if !text.contains('$') {
            return push(out, text);
        }
        if self.depth >= MACRO_DEPTH_MAX {
            let message = format!("`$({name})` is more than {MACRO_DEPTH_MAX} macros deep");
            let help = "look for macros that use each other in a circle";
            return Err(Issue::new(Code::MacroTooDeep, message).help(help));
        }
        self.depth += 1;
        let result = self.expand_into(text, out);
        self.depth -= 1;
        result
    }

    fn step(&mut self) -> Result<(), Issue> {
        self.steps += 1;
        if self.steps > MACRO_STEPS_MAX {
            let message = format!("a value uses more than {MACRO_STEPS_MAX} macros");
            return Err(Issue::new(Code::MacroTooDeep, message));
        }
        Ok(())
    }
}

/// Replaces only `$(name)` of one name, by a raw value: what an assignment to that very name means
/// by it.
pub(super) fn replace_own(text: &str, name: &str, value: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find("$(") {
        let inner = &rest[at + 2..];
        let end = inner
            .find(|c: char| !is_name_char(c))
            .unwrap_or(inner.len());
        let own = inner[..end].eq_ignore_ascii_case(name);
        let escaped = rest[..at].ends_with('$');
        let default = match inner[end..].strip_prefix(':') {
            Some(default) => closing(default).map(|len| &default[..len]),
            None => inner[end..].starts_with(')').then_some(""),
        };
        if let Some(default) = default.filter(|_| own && !escaped) {
            found = true;
            out.push_str(&rest[..at]);
            out.push_str(if value.is_empty() { default } else { value });
            let has_default = usize::from(inner[end..].starts_with(':'));
            rest = &inner[end + has_default + default.len() + 1..];
        } else {
            out.push_str(&rest[..at + 2]);
            rest = inner;
        }
    }
    out.push_str(rest);
    found.then_some(out)
}

/// The names of all `$(name)`, and all arguments of functions that are names, in a text.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let calls = text.match_indices('(').filter_map(|(at, _)| {
        let before = text[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let inner = &text[at + 1..];
        match before.ends_with('$') {
            true if before.len() == at => Some((inner, 1)),
            true => Some((&inner[..inner.find(')').unwrap_or(inner.len())], usize::MAX)),
            false => None,
        }
    });
    calls
        .flat_map(|(inner, arguments)| inner.split(',').take(arguments))
        .filter_map(|argument| {
            let argument = argument.trim_start();
            let end = argument
                .find(|c: char| !is_name_char(c))
                .unwrap_or(argument.len());
            (end > 0).then(|| &argument[..end])
        })
}

pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// Bytes before the `)` that closes an open parenthesis, those of inner macros passed over.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' if open == 0 => return Some(at),
            ')' => open -= 1,
            _ => {}
        }
    }
    None
}

fn push(out: &mut String, text: &str) -> Result<(), Issue> {
    if out.len() + text.len() > VALUE_BYTES_MAX {
        let message = format!("a value expands to more than {VALUE_BYTES_MAX} bytes");
        return Err(Issue::new(Code::MacroTooDeep, message));
    }
    out.push_str(text);
    Ok(())
}
