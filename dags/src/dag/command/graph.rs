//! Commands that tie nodes and splices together.

use super::super::words::is_keyword;
use super::{Command, Fault, PinSide, Reader, Strength};
use crate::diagnostic::Code;

impl<'a> Reader<'a, '_> {
    pub(super) fn weak(&mut self) -> Result<Command<'a>, Fault> {
        match self.words.word()? {
            Some(word) if is_keyword(&word.text, "PARENT") => self.parent(Strength::Weak),
            Some(_) | None => {
                let fault = Fault::at(Code::MissingWord, &self.command, "WEAK without PARENT");
                Err(fault.expected("`WEAK PARENT p… CHILD c…`"))
            }
        }
    }

    pub(super) fn parent(&mut self, strength: Strength) -> Result<Command<'a>, Fault> {
        let mut parents = Vec::new();
        let mut child = loop {
            match self.words.word()? {
                Some(word) if is_keyword(&word.text, "CHILD") => break word,
                Some(word) => parents.push(word),
                None => {
                    let message = "PARENT without CHILD";
                    let fault = Fault::at(Code::MissingWord, &self.command, message);
                    return Err(fault.expected("`PARENT p… CHILD c…`"));
                }
            }
        };
        if parents.is_empty() {
            let message = "PARENT without a node";
            return Err(Fault::at(Code::MissingWord, &self.command, message));
        }
        let mut children = Vec::new();
        let mut follows = false;
        while let Some(word) = self.words.word()? {
            follows = !is_keyword(&word.text, "CHILD");
            match follows {
                true => children.push(word),
                false => child = word,
            }
        }
        if children.is_empty() || !follows {
            let message = "CHILD without a node";
            return Err(Fault::at(Code::MissingWord, &child, message));
        }
        Ok(Command::Parent {
            strength,
            parents,
            children,
        })
    }

    pub(super) fn connect(&mut self) -> Result<Command<'a>, Fault> {
        let from = self.word("two splices")?;
        let to = self.word("a second splice")?;
        self.end()?;
        Ok(Command::Connect { from, to })
    }

    pub(super) fn pin(&mut self, side: PinSide) -> Result<Command<'a>, Fault> {
        let node = self.node()?;
        let number = self.count("a number of a pin", 1)?;
        self.end()?;
        Ok(Command::Pin { side, node, number })
    }
}
