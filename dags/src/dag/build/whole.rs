//! What lines say about the DAG as a whole: CONFIG, ENV, SET_JOB_ATTR, and the files that a run
//! writes about itself.

use super::super::command::EnvAction;
use super::super::config;
use super::super::declare::{At, Whole, WholeDecl};
use super::super::read::Reader;
use super::super::settings::{DotFile, StatusFile};
use super::super::{Environment, Papers};
use super::refuse;
use crate::diagnostic::Code;
use crate::files::join;
use classad::Expr;

/// What was said.
#[derive(Default)]
pub(super) struct Said {
    pub config: config::Config,
    has_config: bool,
    pub environment: Environment,
    pub attributes: Vec<(String, String)>,
    pub papers: Papers,
}

impl Said {
    pub fn hear_all(&mut self, reader: &mut Reader<'_>, dir: &str, decls: Vec<WholeDecl>) {
        for WholeDecl { at, whole } in decls {
            match whole {
                Whole::Config(file) => self.config(reader, dir, &file, at),
                Whole::SetJobAttr(text) => self.attribute(reader, &text, at),
                Whole::Env(EnvAction::Set, text) => self.set(reader, &text, at),
                Whole::Env(EnvAction::Get, text) => self.get(reader, &text, at),
                Whole::JobstateLog(file) => match self.papers.jobstate_log {
                    Some(_) => second(reader, at, "JOBSTATE_LOG"),
                    None => self.papers.jobstate_log = Some(file),
                },
                Whole::NodeStatus {
                    file,
                    interval_s,
                    always,
                } => match self.papers.node_status {
                    Some(_) => second(reader, at, "NODE_STATUS_FILE"),
                    None => {
                        self.papers.node_status = Some(StatusFile {
                            file,
                            interval_s,
                            always,
                        });
                    }
                },
                Whole::Dot {
                    file,
                    update,
                    overwrite,
                    include,
                } => {
                    let header =
                        include.and_then(|(path, at)| header(reader, &join(dir, &path), at));
                    self.papers.dot = Some(DotFile {
                        file,
                        update,
                        overwrite,
                        header,
                    });
                }
            }
        }
    }

    fn config(&mut self, reader: &mut Reader<'_>, dir: &str, file: &str, at: At) {
        if std::mem::replace(&mut self.has_config, true) {
            let message = "there is a CONFIG already".to_owned();
            refuse(reader, Code::ConfigUnreadable, at, message);
            return;
        }
        let path = join(dir, file);
        match reader.files.read(&path) {
            Ok(text) => {
                let (config, diagnostics) = config::parse(&path, &text);
                self.config = config;
                reader.diagnostics.append(diagnostics);
            }
            Err(reason) => {
                let message = format!("the CONFIG file `{path}` cannot be read: {reason}");
                refuse(reader, Code::ConfigUnreadable, at, message);
            }
        }
    }

    fn attribute(&mut self, reader: &mut Reader<'_>, text: &str, at: At) {
        let Some((name, value)) = text.split_once('=') else {
            let message = "SET_JOB_ATTR without `=` and a value".to_owned();
            refuse(reader, Code::BadAttribute, at, message);
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        let bare = name.strip_prefix('+').unwrap_or(name);
        let starts_well = bare.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{name}` is no attribute name");
            refuse(reader, Code::BadAttribute, at, message);
            return;
        }
        if let Err(error) = Expr::parse_old(value) {
            let message = format!("the value of `{name}` does not parse: {error}");
            refuse(reader, Code::BadAttribute, at, message);
            return;
        }
        let old = self
            .attributes
            .iter_mut()
            .find(|(old, _)| old.eq_ignore_ascii_case(bare));
        match old {
            Some((_, old)) => value.clone_into(old),
            None => self.attributes.push((bare.to_owned(), value.to_owned())),
        }
    }

    /// `name=value;name=value`.
    fn set(&mut self, reader: &mut Reader<'_>, text: &str, at: At) {
        for entry in text.split(';').map(str::trim).filter(|e| !e.is_empty()) {
            let pair = entry
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()));
            let Some((name, value)) = pair.filter(|(name, _)| is_variable(name)) else {
                let message = format!("`{entry}` is no `name=value`");
                refuse(reader, Code::BadEnv, at, message);
                continue;
            };
            let set = &mut self.environment.set;
            set.retain(|(old, _)| old != name);
            set.push((name.to_owned(), value.to_owned()));
        }
    }

    fn get(&mut self, reader: &mut Reader<'_>, text: &str, at: At) {
        let names = text.split([',', ' ', '\t', '\r']);
        for name in names.filter(|name| !name.is_empty()) {
            if !is_variable(name) {
                let message = format!("`{name}` is no name of a variable");
                refuse(reader, Code::BadEnv, at, message);
            } else if !self.environment.get.iter().any(|old| old == name) {
                self.environment.get.push(name.to_owned());
            }
        }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '=' || c.is_whitespace() || c == '\0')
}

fn second(reader: &mut Reader<'_>, at: At, command: &str) {
    let message = format!("there is a {command} already: this one has no effect");
    let diagnostic = reader.error(Code::NoEffect, at, message);
    reader.diagnostics.push(diagnostic.warning());
}

fn header(reader: &mut Reader<'_>, path: &str, at: At) -> Option<String> {
    match reader.files.read(path) {
        Ok(text) => Some(text),
        Err(reason) => {
            let message = format!("the header `{path}` cannot be read: {reason}");
            let diagnostic = reader.error(Code::DotHeader, at, message);
            reader.diagnostics.push(diagnostic.warning());
            None
        }
    }
}
