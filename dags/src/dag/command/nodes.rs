//! Commands that declare: nodes of all kinds, splices and shared descriptions.

use super::super::keyword::Keyword;
use super::super::words::{Cursor, Word, is_keyword};
use super::{Command, Described, Done, Fault, Mode, NodeLine, Reader, SpliceLine, unexpected};
use crate::diagnostic::{Code, did_you_mean};

/// Words that are no names of nodes.
const RESERVED: [&str; 3] = ["PARENT", "CHILD", "ALL_NODES"];

/// Whether DAGMan looks for an inline description behind this word of a node's line: behind a name
/// that it refuses it does not.
pub(in crate::dag) fn may_open_inline(keyword: Keyword, name: &str) -> bool {
    match keyword {
        Keyword::Job | Keyword::Final | Keyword::Provisioner | Keyword::Service => {
            bad_name(name).is_none()
        }
        Keyword::SubmitDescription => true,
        Keyword::Subdag
        | Keyword::Splice
        | Keyword::Include
        | Keyword::Parent
        | Keyword::Weak
        | Keyword::Script
        | Keyword::PreSkip
        | Keyword::Retry
        | Keyword::AbortDagOn
        | Keyword::Tolerance
        | Keyword::Vars
        | Keyword::Priority
        | Keyword::Category
        | Keyword::Maxjobs
        | Keyword::Config
        | Keyword::SetJobAttr
        | Keyword::Env
        | Keyword::Dot
        | Keyword::NodeStatusFile
        | Keyword::JobstateLog
        | Keyword::SavePointFile
        | Keyword::Done
        | Keyword::Reject
        | Keyword::Connect
        | Keyword::PinIn
        | Keyword::PinOut
        | Keyword::Study
        | Keyword::Foreach
        | Keyword::End => false,
    }
}

/// What DAGMan says against the name of a node.
fn bad_name(name: &str) -> Option<&'static str> {
    if RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word)) {
        Some("is a reserved word")
    } else if name.contains('+') {
        Some("has a `+`, which a node name may not have")
    } else {
        None
    }
}

impl<'a> Reader<'a, '_> {
    pub(super) fn job(
        &mut self,
        keyword: Keyword,
        tail: Option<&'a str>,
    ) -> Result<Command<'a>, Fault> {
        let name = self.node_name()?;
        let Some(tail) = tail else {
            let description = Described::Named(self.unquoted("a submit description")?);
            return self.options(keyword, name, description, None);
        };
        self.rest_of_opening()?;
        self.words = Cursor::new(tail);
        self.options(keyword, name, Described::Inline, None)
            .map_err(Fault::in_tail)
    }

    pub(super) fn subdag(&mut self) -> Result<Command<'a>, Fault> {
        let external = self.words.word()?;
        if !external.is_some_and(|word| is_keyword(&word.text, "EXTERNAL")) {
            let fault = Fault::at(Code::MissingWord, &self.command, "SUBDAG without EXTERNAL");
            return Err(fault.expected("`SUBDAG EXTERNAL name file`"));
        }
        let name = self.node_name()?;
        let file = Described::Named(self.unquoted("a DAG file")?);
        self.options(Keyword::Subdag, name, file, None)
    }

    pub(super) fn study(&mut self) -> Result<Command<'a>, Fault> {
        let name = self.node_name()?;
        let description = Described::Named(self.unquoted("a submit description")?);
        let study = self.unquoted("a study file")?;
        self.options(Keyword::Study, name, description, Some(study))
    }

    pub(super) fn splice(&mut self) -> Result<Command<'a>, Fault> {
        let name = self.word("a name")?;
        let file = self.unquoted("a DAG file")?;
        let mut dir = None;
        if let Some(word) = self.words.word()? {
            if !is_keyword(&word.text, "DIR") {
                return Err(unexpected(&word).expected("`DIR directory` or the end of the line"));
            }
            dir = Some(self.directory(&word)?);
            self.end()?;
        }
        Ok(Command::Splice(SpliceLine { name, file, dir }))
    }

    pub(super) fn description(&mut self, tail: Option<&'a str>) -> Result<Command<'a>, Fault> {
        let name = self.word("a name")?;
        let Some(tail) = tail else {
            let message = "SUBMIT-DESCRIPTION without its inline description";
            return Err(Fault::at(Code::MissingWord, &name, message).expected("`{` or `@=word`"));
        };
        self.rest_of_opening()?;
        let mut behind = Cursor::new(tail);
        let behind = behind.rest();
        if !behind.text.is_empty() {
            let fault = unexpected(&behind).expected("the end of the line");
            self.notes.push(fault.in_tail());
        }
        Ok(Command::Description { name })
    }

    fn node_name(&mut self) -> Result<Word<'a>, Fault> {
        let name = self.node()?;
        match bad_name(&name.text) {
            Some(problem) => {
                let shown: String = name.text.chars().take(64).collect();
                let message = format!("`{shown}` {problem}");
                Err(Fault::at(Code::BadNodeName, &name, message))
            }
            None => Ok(name),
        }
    }

    /// Warns of what stands on the line of an inline description's opening, behind it.
    fn rest_of_opening(&mut self) -> Result<(), Fault> {
        let opening = self.maybe_unquoted()?;
        let rest = self.words.rest();
        if !rest.text.is_empty() {
            let message = "text behind the opening of an inline description is not read";
            self.notes
                .push(Fault::at(Code::NotRead, &rest, message).warning());
        } else if let Some(word) =
            opening.filter(|word| word.text.starts_with('{') && word.text.len() > 1)
        {
            let message = "text right behind the `{` of an inline description is not read";
            self.notes
                .push(Fault::new(Code::NotRead, word.start + 1, word.end, message).warning());
        }
        Ok(())
    }

    /// `[DIR d] [NOOP] [DONE]`, in any order.
    fn options(
        &mut self,
        keyword: Keyword,
        name: Word<'a>,
        description: Described<'a>,
        study: Option<Word<'a>>,
    ) -> Result<Command<'a>, Fault> {
        let mut node = NodeLine {
            keyword,
            name,
            description,
            study,
            dir: None,
            mode: Mode::Run,
            done: Done::No,
        };
        while let Some(word) = self.words.word()? {
            if is_keyword(&word.text, "DIR") {
                node.dir = Some(self.directory(&word)?);
            } else if is_keyword(&word.text, "NOOP") && node.study.is_none() {
                node.mode = Mode::Noop;
            } else if is_keyword(&word.text, "DONE") {
                node.done = Done::Yes;
            } else {
                let expected = match node.study.is_some() {
                    true => "`DIR directory`, `DONE` or the end of the line",
                    false => "`DIR directory`, `NOOP`, `DONE` or the end of the line",
                };
                let mut fault = unexpected(&word).expected(expected);
                fault.suggestion = did_you_mean(&word.text, ["DIR", "NOOP", "DONE"]);
                return Err(fault);
            }
        }
        Ok(Command::Node(node))
    }

    fn directory(&mut self, dir: &Word<'_>) -> Result<Word<'a>, Fault> {
        self.maybe_unquoted()?
            .ok_or_else(|| Fault::at(Code::MissingWord, dir, "DIR without a directory"))
    }
}
