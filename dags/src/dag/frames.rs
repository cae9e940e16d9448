//! The items of the FOREACHs around a line: their values put into it, and the way back to what was
//! written.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use crate::source::narrow;

/// All items that were walked, each knowing the one around it.
#[derive(Default)]
pub(super) struct Frames {
    list: Vec<Frame>,
}

/// One item of one FOREACH.
pub(super) struct Frame {
    pub outer: Option<u32>,
    pub vars: Rc<Vec<String>>,
    pub values: Vec<String>,
    /// How the item is named in a complaint.
    pub place: ItemPlace,
}

pub(super) enum ItemPlace {
    /// The item's number, 1-based.
    Listed(u32),
    /// The line of an item file.
    FileLine(Rc<String>, u32),
}

/// Bytes of a repeated line that an item's value stands at, and those of the `$(v)` it replaced.
pub(super) struct Swap {
    to: Range<usize>,
    from: Range<usize>,
}

impl Frames {
    /// Adds an item; gives its number.
    pub fn push(&mut self, frame: Frame) -> u32 {
        self.list.push(frame);
        narrow(self.list.len() - 1)
    }

    /// Forgets an item and those after it.
    pub fn truncate(&mut self, frame: u32) {
        self.list.truncate(frame as usize);
    }

    /// The FOREACH variables at a place, outermost first.
    pub fn vars_of(&self, frame: Option<u32>) -> Vec<(&str, &str)> {
        let mut vars = Vec::new();
        for frame in self.chain(frame).into_iter().rev() {
            vars.extend(
                frame
                    .vars
                    .iter()
                    .map(String::as_str)
                    .zip(frame.values.iter().map(String::as_str)),
            );
        }
        vars
    }

    /// The frames around a place, innermost first.
    fn chain(&self, frame: Option<u32>) -> Vec<&Frame> {
        let mut chain = Vec::new();
        let mut at = frame;
        while let Some(frame) = at.and_then(|at| self.list.get(at as usize)) {
            chain.push(frame);
            at = frame.outer;
        }
        chain
    }

    /// The items around a place, outermost first, as a complaint names them.
    pub fn items_of(&self, frame: Option<u32>) -> Vec<String> {
        let mut items = Vec::new();
        for frame in self.chain(frame).into_iter().rev() {
            let values: Vec<String> = frame
                .vars
                .iter()
                .zip(&frame.values)
                .map(|(name, value)| {
                    format!("{name} = {}", value.chars().take(64).collect::<String>())
                })
                .collect();
            let place = match &frame.place {
                ItemPlace::Listed(number) => format!("item {number}"),
                ItemPlace::FileLine(path, line) => format!("{path}:{line}"),
            };
            items.push(format!("FOREACH {} ({place})", values.join(", ")));
        }
        items
    }

    /// A line with the variables of its FOREACHs filled in. Other `$(…)` stay.
    pub fn substitute<'t>(
        &self,
        text: &'t str,
        frame: Option<u32>,
        mut swaps: Option<&mut Vec<Swap>>,
    ) -> Cow<'t, str> {
        if frame.is_none() || !text.contains("$(") {
            return Cow::Borrowed(text);
        }
        let chain = self.chain(frame);
        let mut out = String::with_capacity(text.len() + 32);
        let mut copied = 0;
        let mut from = 0;
        while let Some(open) = text[from..].find("$(").map(|at| from + at) {
            from = open + 2;
            let Some(close) = text[from..].find(')').map(|at| from + at) else {
                break;
            };
            let name = &text[from..close];
            let value = chain.iter().find_map(|frame| {
                let at = frame
                    .vars
                    .iter()
                    .position(|var| var.eq_ignore_ascii_case(name))?;
                frame.values.get(at)
            });
            if let Some(value) = value {
                out.push_str(&text[copied..open]);
                let start = out.len();
                out.push_str(value);
                copied = close + 1;
                from = copied;
                if let Some(swaps) = swaps.as_deref_mut() {
                    swaps.push(Swap {
                        to: start..out.len(),
                        from: open..copied,
                    });
                }
            }
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }
}

/// The bytes of a written line that a byte of the repeated one came from: inside a value, those of
/// its `$(v)`.
pub(super) fn original(swaps: &[Swap], at: usize) -> Range<usize> {
    let mut shift: isize = 0;
    for swap in swaps {
        if at < swap.to.start {
            break;
        }
        if at < swap.to.end {
            return swap.from.clone();
        }
        if at == swap.to.end && at > swap.to.start {
            return swap.from.end..swap.from.end;
        }
        shift = swap.from.end.cast_signed() - swap.to.end.cast_signed();
    }
    let at = at.saturating_add_signed(shift);
    at..at
}
