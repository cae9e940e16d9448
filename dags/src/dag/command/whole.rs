//! Commands about the DAG as a whole: the files beside it and its manager's job.

use super::super::words::is_keyword;
use super::{Command, DotLine, EnvAction, Fault, Reader, StatusLine, unexpected};

/// Seconds between two writings of a node status file where none are given.
const STATUS_INTERVAL: i32 = 60;

impl<'a> Reader<'a, '_> {
    pub(super) fn include(&mut self) -> Result<Command<'a>, Fault> {
        let file = self.unquoted("an included file")?;
        self.end()?;
        Ok(Command::Include { file })
    }

    pub(super) fn config(&mut self) -> Result<Command<'a>, Fault> {
        let file = self.unquoted("a configuration file")?;
        self.end()?;
        Ok(Command::Config { file })
    }

    pub(super) fn jobstate_log(&mut self) -> Result<Command<'a>, Fault> {
        let file = self.unquoted("a file")?;
        self.end()?;
        Ok(Command::JobstateLog { file })
    }

    pub(super) fn dot(&mut self) -> Result<Command<'a>, Fault> {
        let mut dot = DotLine {
            file: self.unquoted("a file")?,
            update: false,
            overwrite: None,
            include: None,
        };
        while let Some(word) = self.words.word()? {
            let is = |keyword: &str| is_keyword(&word.text, keyword);
            if is("UPDATE") || is("DONT-UPDATE") {
                dot.update = is("UPDATE");
            } else if is("OVERWRITE") || is("DONT-OVERWRITE") {
                dot.overwrite = Some(is("OVERWRITE"));
            } else if is("INCLUDE") {
                dot.include = Some(self.word("a file after INCLUDE")?);
            } else {
                let expected = "`UPDATE`, `DONT-UPDATE`, `OVERWRITE`, `DONT-OVERWRITE`, \
                    `INCLUDE file` or the end of the line";
                return Err(unexpected(&word).expected(expected));
            }
        }
        Ok(Command::Dot(dot))
    }

    pub(super) fn node_status(&mut self) -> Result<Command<'a>, Fault> {
        let mut status = StatusLine {
            file: self.unquoted("a file")?,
            interval: STATUS_INTERVAL,
            always: false,
        };
        while let Some(word) = self.words.word()? {
            if is_keyword(&word.text, "ALWAYS-UPDATE") {
                status.always = true;
            } else {
                status.interval =
                    self.number_of(&word, "a number of seconds", i32::MIN, i32::MAX)?;
            }
        }
        Ok(Command::NodeStatusFile(status))
    }

    pub(super) fn set_job_attr(&mut self) -> Result<Command<'a>, Fault> {
        let assignment = self.words.rest();
        if assignment.text.is_empty() {
            return Err(self.lacks("`attribute = value`"));
        }
        Ok(Command::SetJobAttr { assignment })
    }

    pub(super) fn env(&mut self) -> Result<Command<'a>, Fault> {
        let word = self.word("SET or GET")?;
        let action = if is_keyword(&word.text, "SET") {
            EnvAction::Set
        } else if is_keyword(&word.text, "GET") {
            EnvAction::Get
        } else {
            return Err(unexpected(&word).expected("`SET name=value;…` or `GET name…`"));
        };
        let variables = self.words.rest();
        if variables.text.is_empty() {
            return Err(self.lacks("a variable"));
        }
        Ok(Command::Env { action, variables })
    }

    pub(super) fn reject(&mut self) -> Result<Command<'a>, Fault> {
        self.end()?;
        Ok(Command::Reject)
    }
}
