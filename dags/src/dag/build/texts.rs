//! The files that nodes name: submit descriptions and studies, each read once.

use std::collections::BTreeMap;

use super::super::Node;
use super::super::declare::{At, DescriptionDecl, Inline, Scope};
use super::super::lines::LineKind;
use super::super::read::Reader;
use crate::diagnostic::{Code, Diagnostics};
use crate::files::{InDir, join};
use crate::source::{Source, narrow};
use crate::study::StudySpec;
use crate::submit::Submit;

/// What was read so far.
#[derive(Default)]
pub(super) struct Texts {
    pub submits: Vec<Submit>,
    pub studies: Vec<StudySpec>,
    /// Descriptions by directory and file; `None` where one cannot be used, which is reported once.
    submit_files: BTreeMap<(String, String), Option<u32>>,
    submit_inlines: BTreeMap<(String, Inline), Option<u32>>,
    study_files: BTreeMap<String, Option<u32>>,
}

impl Texts {
    /// The place of a node's description; 0 where it cannot be used, which is reported.
    pub fn submit_of(
        &mut self,
        reader: &mut Reader<'_>,
        dir: &str,
        description: &DescriptionDecl,
        scopes: &[Scope],
        scope: u32,
    ) -> u32 {
        let submit = match description {
            DescriptionDecl::Inline(inline) => self.inline(reader, dir, *inline),
            DescriptionDecl::Named(file, at) | DescriptionDecl::Subdag(file, at) => {
                match shared(scopes, scope, file) {
                    Some(inline) => self.inline(reader, dir, inline),
                    None => self.submit(reader, dir, file, *at),
                }
            }
        };
        submit.unwrap_or(0)
    }

    pub fn study(&mut self, reader: &mut Reader<'_>, dir: &str, file: &str, at: At) -> Option<u32> {
        let path = join(dir, file);
        if let Some(found) = self.study_files.get(&path) {
            return *found;
        }
        let found = match reader.files.read(&path) {
            Ok(text) => match StudySpec::parse(&path, &text) {
                Ok(study) => {
                    self.studies.push(study);
                    Some(narrow(self.studies.len() - 1))
                }
                Err(diagnostics) => {
                    reader.diagnostics.append(diagnostics);
                    None
                }
            },
            Err(reason) => {
                let message = format!("the study file `{path}` cannot be read: {reason}");
                let diagnostic = reader.error(Code::StudyUnreadable, at, message);
                reader.diagnostics.push(diagnostic);
                None
            }
        };
        self.study_files.insert(path, found);
        found
    }

    /// Reads the item files whose names depend on a node's macros.
    pub fn load_items(&mut self, reader: &Reader<'_>, nodes: &[Node]) {
        for node in nodes {
            let Some(submit) = node.kind.submit() else {
                continue;
            };
            let submit = &mut self.submits[submit as usize];
            for (_, value) in node.vars.iter().filter(|(_, value)| value.contains('$')) {
                submit.ask(value, reader.files);
            }
            if submit.has_item_file() {
                let files = InDir {
                    dir: &node.dir,
                    files: reader.files,
                };
                submit.load_items(&node.macros(), &files);
            }
        }
    }

    fn submit(&mut self, reader: &mut Reader<'_>, dir: &str, file: &str, at: At) -> Option<u32> {
        let path = join(dir, file);
        let key = (dir.to_owned(), path);
        if let Some(found) = self.submit_files.get(&key) {
            return *found;
        }
        let path = &key.1;
        let found = match reader.files.read(path) {
            Ok(text) => {
                let files = InDir {
                    dir,
                    files: reader.files,
                };
                let (submit, diagnostics) = Submit::parse(path, &text, &files);
                self.keep(reader, submit, diagnostics)
            }
            Err(reason) => {
                let message = format!("the submit description `{path}` cannot be read: {reason}");
                let diagnostic = reader.error(Code::SubmitUnreadable, at, message);
                reader.diagnostics.push(diagnostic);
                None
            }
        };
        self.submit_files.insert(key, found);
        found
    }

    fn inline(&mut self, reader: &mut Reader<'_>, dir: &str, inline: Inline) -> Option<u32> {
        let key = (dir.to_owned(), inline);
        if let Some(found) = self.submit_inlines.get(&key) {
            return *found;
        }
        let file = &reader.read[inline.file as usize];
        let LineKind::Inline {
            body, body_line, ..
        } = file.lines[inline.line as usize].kind
        else {
            return None;
        };
        let source = Source {
            file: file.source.file.clone(),
            text: file.slice(body).to_owned(),
            line_first: body_line,
        };
        let files = InDir {
            dir,
            files: reader.files,
        };
        let (submit, diagnostics) = Submit::parse_part(source, &files);
        let found = self.keep(reader, submit, diagnostics);
        self.submit_inlines.insert(key, found);
        found
    }

    fn keep(
        &mut self,
        reader: &mut Reader<'_>,
        submit: Submit,
        diagnostics: Diagnostics,
    ) -> Option<u32> {
        let usable = !diagnostics.has_errors();
        reader.diagnostics.append(diagnostics);
        let index = narrow(self.submits.len());
        self.submits.push(submit);
        usable.then_some(index)
    }
}

/// Whether a description is neither a SUBMIT-DESCRIPTION nor a file that is there.
pub(super) fn is_late(
    reader: &Reader<'_>,
    dir: &str,
    file: &str,
    scopes: &[Scope],
    scope: u32,
) -> bool {
    shared(scopes, scope, file).is_none() && !reader.files.exists(&join(dir, file))
}

/// The SUBMIT-DESCRIPTION of a name: in the node's own file, else in the files around it.
fn shared(scopes: &[Scope], scope: u32, name: &str) -> Option<Inline> {
    let mut at = Some(scope);
    while let Some(scope) = at.and_then(|at| scopes.get(at as usize)) {
        if let Some(inline) = scope.descriptions.get(name) {
            return Some(*inline);
        }
        at = scope.outer;
    }
    None
}
