//! The items of a FOREACH: listed in its line, or read from a file.

use std::rc::Rc;

use super::super::command::{ForeachHead, ItemsOf};
use super::super::declare::At;
use super::super::frames::ItemPlace;
use super::{Reader, word_at};
use crate::diagnostic::Code;
use crate::files::join;
use crate::source::{Source, Span};
use crate::submit::split_row;

impl Reader<'_> {
    /// The values of a FOREACH, one per variable in each item.
    pub(super) fn items(
        &mut self,
        head: &ForeachHead<'_>,
        at: At,
    ) -> Option<Vec<(Vec<String>, ItemPlace)>> {
        let vars = head.vars.len();
        match &head.items {
            ItemsOf::In(words) => {
                if !words.len().is_multiple_of(vars) {
                    let last = words.last()?;
                    let message =
                        format!("{} items do not fill {vars} variables evenly", words.len());
                    let diagnostic = self.error(Code::ForeachItems, word_at(at, last), message);
                    self.diagnostics.push(diagnostic);
                    return None;
                }
                let values = words.chunks(vars).map(|item| {
                    item.iter()
                        .map(|word| word.text.to_string())
                        .collect::<Vec<_>>()
                });
                Some(values.zip((1..).map(ItemPlace::Listed)).collect())
            }
            ItemsOf::From(word) => {
                let at = word_at(at, word);
                if !self.is_filled_in(&word.text, at) {
                    return None;
                }
                let path = join(self.dir(), &word.text);
                let text = match self.item_file(&path) {
                    Ok(text) => text,
                    Err(reason) => {
                        let message = format!("the item file `{path}` cannot be read: {reason}");
                        let diagnostic = self.error(Code::ForeachItems, at, message);
                        self.diagnostics.push(diagnostic);
                        return None;
                    }
                };
                Some(self.items_of_file(&path, &text, head))
            }
        }
    }

    /// Lines of an item file; empty ones and those that begin with `#` are none.
    fn items_of_file(
        &mut self,
        path: &str,
        text: &str,
        head: &ForeachHead<'_>,
    ) -> Vec<(Vec<String>, ItemPlace)> {
        let vars = head.vars.len();
        let path = Rc::new(path.to_owned());
        let mut items = Vec::new();
        let mut start = 0;
        for (number, raw) in (1..).zip(text.split('\n')) {
            let line = raw.trim();
            if !line.is_empty() && !line.starts_with('#') {
                let values = split_row(line, vars);
                if values.iter().any(String::is_empty) {
                    let source = Source::new(&path, text.to_owned());
                    let message = format!(
                        "this item has fewer values than the {vars} variables of its FOREACH"
                    );
                    let diagnostic = source.error(
                        Code::ForeachItems,
                        Span::new(start, start + raw.len()),
                        message,
                    );
                    let names: Vec<&str> = head.vars.iter().map(|var| &*var.text).collect();
                    self.diagnostics.push(diagnostic.expected(names.join(", ")));
                }
                items.push((values, ItemPlace::FileLine(Rc::clone(&path), number)));
            }
            start += raw.len() + 1;
        }
        items
    }

    fn item_file(&mut self, path: &str) -> Result<Rc<String>, String> {
        if let Some(found) = self.item_files.get(path) {
            return found.clone();
        }
        let found = self.files.read(path).map(Rc::new);
        if let Ok(text) = &found {
            self.bytes += text.len();
        }
        self.item_files.insert(path.to_owned(), found.clone());
        found
    }
}
