//! The two quotings of argument lists. Old: words between white space, `\"` for a quote. New: the
//! whole in double quotes, `""` for a quote, words in single quotes where they hold white space,
//! `''` for a single quote in them. Source: HTCondor manual, `condor_submit`, "arguments".

/// Reads arguments in either quoting.
///
/// # Errors
/// A sentence on the first quote that is wrong.
pub fn split_arguments(text: &str) -> Result<Vec<String>, String> {
    match new_syntax(text)? {
        Some(raw) => split_raw(&raw),
        None => split_old(text),
    }
}

/// Writes arguments so that [`split_raw`] reads them back: the form HTCondor keeps in `Arguments`
/// and `Environment`.
#[must_use]
pub fn join_arguments<S: AsRef<str>>(arguments: &[S]) -> String {
    let mut out = String::new();
    for (at, argument) in arguments.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        let argument = argument.as_ref();
        if argument.is_empty() {
            out.push_str("''");
        }
        let mut quoted = false;
        for c in argument.chars() {
            let special = c == '\'' || c.is_ascii_whitespace();
            if special != quoted {
                out.push('\'');
                quoted = special;
            }
            if c == '\'' {
                out.push('\'');
            }
            out.push(c);
        }
        if quoted {
            out.push('\'');
        }
    }
    out
}

/// Writes arguments as `Args` of an ad has them, for a list that was read in the old quoting.
pub(super) fn join_old(arguments: &[String]) -> String {
    arguments.join(" ")
}

/// The text between the outer double quotes of the new syntax, `""` made single; `None` in the old
/// syntax.
pub(super) fn new_syntax(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('"') else {
        return Ok(None);
    };
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    loop {
        let at = rest
            .find('"')
            .ok_or("the double quote that opens the value is not closed")?;
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                out.push('"');
                rest = after;
            }
            None if rest.is_empty() => return Ok(Some(out)),
            None => {
                return Err(format!(
                    "text after the closing double quote: `{rest}`; write `\"\"` for a quote"
                ));
            }
        }
    }
}

/// Splits the inside of the new syntax.
pub(super) fn split_raw(raw: &str) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii_whitespace() {
            arguments.extend(word.take());
        } else if c == '\'' {
            let word = word.get_or_insert_default();
            loop {
                match chars.next() {
                    Some('\'') if chars.next_if_eq(&'\'').is_some() => word.push('\''),
                    Some('\'') => break,
                    Some(inner) => word.push(inner),
                    None => return Err("a single quote is not closed".to_owned()),
                }
            }
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    arguments.extend(word);
    Ok(arguments)
}

fn split_old(text: &str) -> Result<Vec<String>, String> {
    text.split_ascii_whitespace()
        .map(|word| {
            let plain = word.replace("\\\"", "\u{0}");
            match plain.contains('"') {
                true => Err(format!(
                    "a double quote inside `{word}`: write `\\\"`, or put the whole value in double quotes"
                )),
                false => Ok(plain.replace('\u{0}', "\"")),
            }
        })
        .collect()
}
