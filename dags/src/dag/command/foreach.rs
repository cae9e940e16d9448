//! The head of a FOREACH: its variables, and the list or file of its items.

use super::super::words::{Cursor, QUOTES, Word, is_keyword};
use super::Fault;
use crate::diagnostic::Code;

/// The head of a FOREACH.
#[derive(Debug)]
pub(in crate::dag) struct ForeachHead<'a> {
    pub vars: Vec<Word<'a>>,
    pub items: ItemsOf<'a>,
}

#[derive(Debug)]
pub(in crate::dag) enum ItemsOf<'a> {
    In(Vec<Word<'a>>),
    From(Word<'a>),
}

/// Reads the head of a FOREACH.
pub(in crate::dag) fn foreach(text: &str) -> Result<ForeachHead<'_>, Fault> {
    const FORM: &str = "`FOREACH v[, w] IN (a b c)` or `FOREACH v[, w] FROM file`";
    let mut words = Cursor::new(text);
    words.word()?;
    let mut vars: Vec<Word<'_>> = Vec::new();
    loop {
        let var = words.until(&[',', '(']);
        if is_keyword(&var.text, "IN") || is_keyword(&var.text, "FROM") {
            if vars.is_empty() {
                let message = "a FOREACH without a variable";
                return Err(Fault::at(Code::ForeachHead, &var, message).expected(FORM));
            }
            let items = foreach_items(&mut words, &var)?;
            return Ok(ForeachHead { vars, items });
        }
        if var.text.is_empty() {
            let at = words.position();
            let fault = Fault::new(Code::ForeachHead, at, at, "a FOREACH without IN or FROM");
            return Err(fault.expected(FORM));
        }
        let is_name = var
            .text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || var.text.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("`{}` is no name of a variable", var.text);
            return Err(Fault::at(Code::ForeachHead, &var, message).expected(FORM));
        }
        if vars
            .iter()
            .any(|old| old.text.eq_ignore_ascii_case(&var.text))
        {
            let message = format!("the variable `{}` is there twice", var.text);
            return Err(Fault::at(Code::ForeachHead, &var, message));
        }
        vars.push(var);
        words.take(',');
    }
}

/// What follows IN or FROM.
fn foreach_items<'a>(words: &mut Cursor<'a>, keyword: &Word<'_>) -> Result<ItemsOf<'a>, Fault> {
    if is_keyword(&keyword.text, "FROM") {
        let Some(file) = words.unquoted()? else {
            let message = "FROM without a file";
            return Err(Fault::at(Code::ForeachHead, keyword, message));
        };
        let rest = words.rest();
        if !rest.text.is_empty() {
            let message = format!("`{}` after the file of a FOREACH", rest.text);
            return Err(Fault::at(Code::UnexpectedWord, &rest, message));
        }
        return Ok(ItemsOf::From(file));
    }
    let opened = words.take('(');
    let mut items = Vec::new();
    loop {
        while words.take(',') {}
        if opened && words.take(')') {
            break;
        }
        let quoted = words
            .peek()?
            .is_some_and(|word| word.text.starts_with(QUOTES));
        let item = if quoted {
            words.unquoted()?
        } else {
            let word = words.until(&[',', ')']);
            (!word.text.is_empty()).then_some(word)
        };
        match item {
            Some(item) => items.push(item),
            None if opened => {
                let at = words.position();
                let fault = Fault::new(
                    Code::ForeachHead,
                    at,
                    at + 1,
                    "the list of this FOREACH is not closed",
                );
                return Err(fault.expected("`)`"));
            }
            None => break,
        }
    }
    let rest = words.rest();
    if !rest.text.is_empty() {
        let message = format!("`{}` after the list of a FOREACH", rest.text);
        return Err(Fault::at(Code::UnexpectedWord, &rest, message));
    }
    Ok(ItemsOf::In(items))
}
