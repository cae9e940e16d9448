//! What declares: nodes, splices, included files and shared descriptions.

use std::collections::BTreeMap;

use super::super::command::{Described, NodeLine, SpliceLine};
use super::super::declare::{At, DescriptionDecl, Inline, NodeDecl, Scope};
use super::super::keyword::Keyword;
use super::super::words::{Word, is_keyword};
use super::super::{NESTING_MAX, NODE_NAME_BYTES_MAX, NODES_MAX, Role, SPLICES_MAX};
use super::{Reader, word_at};
use crate::diagnostic::Code;
use crate::files::join;
use crate::source::narrow;

impl Reader<'_> {
    pub(super) fn node(&mut self, node: NodeLine<'_>, at: At) {
        let name_at = word_at(at, &node.name);
        let name = self.full_name(&node.name.text);
        if !self.is_node_name(&name, name_at) {
            return;
        }
        let description = match node.description {
            Described::Inline => DescriptionDecl::Inline(Inline {
                file: at.file,
                line: at.line,
            }),
            Described::Named(word) => {
                let at = word_at(at, &word);
                if !self.is_filled_in(&word.text, at) {
                    return;
                }
                let file = word.text.into_owned();
                match node.keyword == Keyword::Subdag {
                    true => DescriptionDecl::Subdag(file, at),
                    false => DescriptionDecl::Named(file, at),
                }
            }
        };
        let study = node
            .study
            .map(|word| (word.text.to_string(), word_at(at, &word)));
        if let Some((name, at)) = &study
            && !self.is_filled_in(name, *at)
        {
            return;
        }
        if !self.is_free(&node.name.text, name_at) {
            return;
        }
        if self.declared.nodes.len() >= NODES_MAX {
            self.stop(at, format!("a DAG has at most {NODES_MAX} nodes"));
            return;
        }
        let index = narrow(self.declared.nodes.len());
        self.declared.by_name.insert(name, index);
        self.declared.nodes.push(NodeDecl {
            at: name_at,
            scope: self.scope,
            role: role_of(node.keyword),
            description,
            study,
            dir: node.dir.map(|dir| dir.text.into_owned()),
            mode: node.mode,
            done: node.done,
        });
    }

    pub(super) fn description(&mut self, name: &Word<'_>, at: At) {
        let here = Inline {
            file: at.file,
            line: at.line,
        };
        let scope = &mut self.declared.scopes[self.scope as usize];
        let old = scope.descriptions.insert(name.text.to_string(), here);
        if old.is_some_and(|old| old != here) {
            let message = format!("the description `{}` is declared twice", name.text);
            let diagnostic = self.error(Code::DuplicateDescription, word_at(at, name), message);
            self.diagnostics.push(diagnostic);
        }
    }

    pub(super) fn include(&mut self, word: &Word<'_>, at: At, depth: usize) {
        let at = word_at(at, word);
        if !self.is_filled_in(&word.text, at) {
            return;
        }
        let path = join(self.dir(), &word.text);
        if !self.may_nest("INCLUDE", &path, at, depth) {
            return;
        }
        if let Some(file) = self.text_of(&path, at, "included") {
            self.whole_file(file, at.frame, depth + 1);
        }
    }

    pub(super) fn splice(&mut self, splice: SpliceLine<'_>, at: At, depth: usize) {
        let name_at = word_at(at, &splice.name);
        let file_at = word_at(at, &splice.file);
        let name = splice.name.text.into_owned();
        let full = self.full_name(&name);
        if !self.is_node_name(&full, name_at)
            || !self.is_filled_in(&splice.file.text, file_at)
            || !self.is_free(&name, name_at)
        {
            return;
        }
        if self.declared.scopes.len() > SPLICES_MAX {
            self.stop(at, format!("a DAG has at most {SPLICES_MAX} splices"));
            return;
        }
        let dir = match &splice.dir {
            Some(dir) => join(self.dir(), &dir.text),
            None => self.dir().to_owned(),
        };
        let path = join(&dir, &splice.file.text);
        let outer = self.scope;
        let scope = narrow(self.declared.scopes.len());
        let first = narrow(self.declared.nodes.len());
        self.declared.scopes[outer as usize]
            .splices
            .insert(name, (scope, name_at));
        self.declared.scopes.push(Scope {
            prefix: format!("{full}+"),
            outer: Some(outer),
            dir,
            nodes: first..first,
            splices: BTreeMap::new(),
            descriptions: BTreeMap::new(),
        });
        if !self.may_nest("SPLICE", &path, file_at, depth) {
            return;
        }
        let Some(file) = self.text_of(&path, file_at, "spliced") else {
            return;
        };
        self.scope = scope;
        self.whole_file(file, at.frame, depth + 1);
        self.scope = outer;
        let end = narrow(self.declared.nodes.len());
        self.declared.scopes[scope as usize].nodes.end = end;
        if end == first && !self.diagnostics.has_errors() {
            let message = format!("the splice `{path}` declares no nodes");
            let diagnostic = self.error(Code::NoNodes, file_at, message);
            self.diagnostics.push(diagnostic);
        }
    }

    /// A name of the scope that stands, with those of the splices around it in front.
    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.declared.scopes[self.scope as usize].prefix)
    }

    /// Whether neither a node nor a splice has the name.
    fn is_free(&mut self, name: &str, at: At) -> bool {
        let scope = &self.declared.scopes[self.scope as usize];
        let node = self.declared.by_name.get(&self.full_name(name));
        let node = node.map(|node| ("node", self.declared.nodes[*node as usize].at));
        let splice = scope.splices.get(name).map(|(_, at)| ("splice", *at));
        let Some((what, first)) = node.or(splice) else {
            return true;
        };
        let file = &self.read[first.file as usize];
        let line = file.lines[first.line as usize].number;
        let message = match what {
            "node" => format!("the node `{name}` is declared twice"),
            _ => format!("`{name}` is the name of a splice already"),
        };
        let help = format!("it is first declared in {}, line {line}", file.source.file);
        let diagnostic = self.error(Code::DuplicateNode, at, message).help(help);
        self.diagnostics.push(diagnostic);
        false
    }

    /// Whether a file may be read inside those that are open.
    fn may_nest(&mut self, command: &str, path: &str, at: At, depth: usize) -> bool {
        let (code, message) = if let Some(from) = self.open.iter().position(|open| open == path) {
            let mut chain = self.open[from..].to_vec();
            chain.push(path.to_owned());
            let chain = chain.join(" → ");
            let message = format!("the {command} of `{path}` leads back to itself: {chain}");
            (Code::IncludeTooDeep, message)
        } else if depth >= NESTING_MAX {
            let message = format!("INCLUDE, SPLICE and FOREACH nest at most {NESTING_MAX} deep");
            (Code::IncludeTooDeep, message)
        } else {
            return true;
        };
        let diagnostic = self.error(code, at, message);
        self.diagnostics.push(diagnostic);
        false
    }

    /// The number of a file's lines; a file is read once.
    fn text_of(&mut self, path: &str, at: At, what: &str) -> Option<u32> {
        if let Some(file) = self.by_path.get(path) {
            return Some(*file);
        }
        match self.files.read(path) {
            Ok(text) => self.split(path, text),
            Err(reason) => {
                let message = format!("`{path}` cannot be {what}: {reason}");
                let diagnostic = self.error(Code::DagUnreadable, at, message);
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn is_node_name(&mut self, name: &str, at: At) -> bool {
        if !self.is_filled_in(name, at) {
            return false;
        }
        let own = name.rsplit('+').next().unwrap_or(name);
        let problem = if is_keyword(own, "ALL_NODES") {
            "is a reserved word"
        } else if name.contains(char::is_whitespace) {
            "has white space, which a node name may not have"
        } else if name.len() > NODE_NAME_BYTES_MAX {
            "is longer than a node name may be"
        } else {
            return true;
        };
        let shown: String = own.chars().take(64).collect();
        let diagnostic = self.error(Code::BadNodeName, at, format!("`{shown}` {problem}"));
        self.diagnostics.push(diagnostic);
        false
    }
}

fn role_of(keyword: Keyword) -> Role {
    let special = [
        (Keyword::Final, Role::Final),
        (Keyword::Provisioner, Role::Provisioner),
        (Keyword::Service, Role::Service),
    ];
    let found = special.iter().find(|(of, _)| *of == keyword);
    found.map_or(Role::Normal, |(_, role)| *role)
}
