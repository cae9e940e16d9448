//! From a command to what it declares: one place for each command there is.

use super::super::command::{self, Command, DotLine, ScriptKind, ScriptLine, StatusLine};
use super::super::declare::{
    At, Change, ChangeDecl, ConnectDecl, EdgesDecl, LimitDecl, PinDecl, Whole, WholeDecl,
};
use super::super::script::{Debug, Defer, Script, Stream};
use super::super::words::Word;
use super::super::{AbortOn, Failures, Then, Tolerance};
use super::{Reader, first_word, word_at};
use crate::diagnostic::Code;

impl Reader<'_> {
    pub(super) fn declare(&mut self, command: Command<'_>, text: &str, at: At, depth: usize) {
        let scope = self.scope;
        match command {
            Command::Node(node) => self.node(node, at),
            Command::Splice(splice) => self.splice(splice, at, depth),
            Command::Description { name } => self.description(&name, at),
            Command::Include { file } => self.include(&file, at, depth),
            Command::Parent {
                strength,
                parents,
                children,
            } => {
                let parents = self.names(&parents, at);
                let children = self.names(&children, at);
                self.declared.edges.push(EdgesDecl {
                    scope,
                    strength,
                    parents,
                    children,
                });
            }
            Command::Connect { .. } | Command::Pin { .. } | Command::Maxjobs { .. } => {
                self.named_command(&command, at);
            }
            Command::Reject => {
                let message = "the DAG file says itself that it must not run: REJECT".to_owned();
                let diagnostic = self.error(Code::Rejected, first_word(at, text), message);
                self.diagnostics.push(diagnostic);
            }
            Command::Script(_)
            | Command::Retry { .. }
            | Command::AbortDagOn { .. }
            | Command::Vars { .. }
            | Command::Priority { .. }
            | Command::PreSkip { .. }
            | Command::Tolerance { .. }
            | Command::Done { .. }
            | Command::Category { .. }
            | Command::SavePointFile { .. } => self.node_command(command, at),
            Command::Config { .. }
            | Command::JobstateLog { .. }
            | Command::Dot(_)
            | Command::NodeStatusFile(_)
            | Command::SetJobAttr { .. }
            | Command::Env { .. } => self.whole_command(command, text, at),
        }
    }

    /// A command about splices, their pins, or a category.
    fn named_command(&mut self, command: &Command<'_>, at: At) {
        let scope = self.scope;
        match command {
            Command::Connect { from, to } => {
                let (from, to) = (named(from, at), named(to, at));
                if self.is_filled_in(&from.0, from.1) && self.is_filled_in(&to.0, to.1) {
                    let connect = ConnectDecl { scope, from, to };
                    self.declared.connects.push(connect);
                }
            }
            Command::Pin { side, node, number } => {
                let node = named(node, at);
                if self.is_filled_in(&node.0, node.1) {
                    self.declared.pins.push(PinDecl {
                        scope,
                        side: *side,
                        node,
                        number: *number,
                    });
                }
            }
            Command::Maxjobs { category, limit } => {
                let (category, at) = named(category, at);
                if self.is_filled_in(&category, at) {
                    self.declared.limits.push(LimitDecl {
                        scope,
                        category,
                        at,
                        limit: *limit,
                    });
                }
            }
            Command::Node(_)
            | Command::Splice(_)
            | Command::Description { .. }
            | Command::Parent { .. }
            | Command::Script(_)
            | Command::Retry { .. }
            | Command::AbortDagOn { .. }
            | Command::Vars { .. }
            | Command::Priority { .. }
            | Command::PreSkip { .. }
            | Command::Tolerance { .. }
            | Command::Done { .. }
            | Command::Category { .. }
            | Command::SavePointFile { .. }
            | Command::Include { .. }
            | Command::Config { .. }
            | Command::JobstateLog { .. }
            | Command::Dot(_)
            | Command::NodeStatusFile(_)
            | Command::SetJobAttr { .. }
            | Command::Env { .. }
            | Command::Reject => {}
        }
    }

    /// A command that says more about a node, or about all of them.
    fn node_command(&mut self, command: Command<'_>, at: At) {
        let (node, change) = match command {
            Command::Script(script) => return self.script(script, at),
            Command::Tolerance {
                node,
                failures,
                then,
            } => {
                let change = Change::Tolerance(tolerance(failures, then));
                if let command::Failures::Percent(101..) = failures {
                    let message = "more than 100 % are all of them".to_owned();
                    let at = word_at(at, &node);
                    let diagnostic = self.error(Code::BadNumber, at, message).warning();
                    self.diagnostics.push(diagnostic);
                }
                (node, change)
            }
            Command::Retry {
                node,
                max,
                unless_exit,
            } => (node, Change::Retry { max, unless_exit }),
            Command::AbortDagOn { node, status, exit } => {
                (node, Change::AbortOn(AbortOn { status, exit }))
            }
            Command::Vars {
                node,
                placement,
                pairs,
            } => (node, Change::Vars { pairs, placement }),
            Command::Priority { node, priority } => (node, Change::Priority(i64::from(priority))),
            Command::PreSkip { node, code } => (node, Change::PreSkip(code)),
            Command::Done { node } => (node, Change::Done),
            Command::Category { node, category } => {
                let (category, category_at) = named(&category, at);
                if !self.is_filled_in(&category, category_at) {
                    return;
                }
                (node, Change::Category(category))
            }
            Command::SavePointFile { node, file } => {
                let file = file.map(|file| file.text.into_owned());
                let from = &self.read[at.file as usize].source.file;
                let from = from.rsplit('/').next().unwrap_or(from).to_owned();
                (node, Change::SavePoint(file, from))
            }
            Command::Node(_)
            | Command::Splice(_)
            | Command::Description { .. }
            | Command::Parent { .. }
            | Command::Maxjobs { .. }
            | Command::Include { .. }
            | Command::Config { .. }
            | Command::JobstateLog { .. }
            | Command::Dot(_)
            | Command::NodeStatusFile(_)
            | Command::SetJobAttr { .. }
            | Command::Env { .. }
            | Command::Reject
            | Command::Connect { .. }
            | Command::Pin { .. } => return,
        };
        self.change(&node, at, change);
    }

    fn script(&mut self, line: ScriptLine<'_>, at: At) {
        // DAGMan parts them at white space and knows no quotes here.
        let mut words = line.script.text.split_ascii_whitespace().map(str::to_owned);
        let Some(program) = words.next() else {
            return;
        };
        let defer = line.defer.map(|(status, seconds)| {
            let delay_s = u32::try_from(seconds).unwrap_or_else(|_| {
                let message = format!("a deferral by {seconds} seconds is none");
                let at = word_at(at, &line.node);
                let diagnostic = self.error(Code::BadNumber, at, message).warning();
                self.diagnostics.push(diagnostic);
                0
            });
            Defer { status, delay_s }
        });
        let debug = line.debug.map(|(file, stream)| Debug {
            file: file.text.into_owned(),
            stream: match stream {
                command::Stream::Stdout => Stream::Stdout,
                command::Stream::Stderr => Stream::Stderr,
                command::Stream::All => Stream::All,
            },
        });
        let script = Box::new(Script {
            program,
            arguments: words.collect(),
            defer,
            debug,
        });
        let change = match line.kind {
            ScriptKind::Pre => Change::Pre(script),
            ScriptKind::Post => Change::Post(script),
            ScriptKind::Hold => Change::Hold(script),
        };
        self.change(&line.node, at, change);
    }

    /// A command about the DAG as a whole. In a splice it has no effect, as in DAGMan.
    fn whole_command(&mut self, command: Command<'_>, text: &str, at: At) {
        let name = command.keyword().name();
        let whole = match command {
            Command::Config { file } => (named(&file, at), Whole::Config as fn(String) -> Whole),
            Command::JobstateLog { file } => (named(&file, at), Whole::JobstateLog as _),
            Command::SetJobAttr { assignment } => (named(&assignment, at), Whole::SetJobAttr as _),
            Command::Dot(dot) => return self.whole(dot_of(dot, at), name, text),
            Command::NodeStatusFile(status) => {
                return self.whole(status_of(status, at), name, text);
            }
            Command::Env { action, variables } => {
                let (text_of, at) = named(&variables, at);
                let whole = Whole::Env(action, text_of);
                return self.whole(WholeDecl { at, whole }, name, text);
            }
            Command::Node(_)
            | Command::Splice(_)
            | Command::Description { .. }
            | Command::Parent { .. }
            | Command::Script(_)
            | Command::Retry { .. }
            | Command::AbortDagOn { .. }
            | Command::Vars { .. }
            | Command::Priority { .. }
            | Command::PreSkip { .. }
            | Command::Tolerance { .. }
            | Command::Done { .. }
            | Command::Category { .. }
            | Command::Maxjobs { .. }
            | Command::SavePointFile { .. }
            | Command::Include { .. }
            | Command::Reject
            | Command::Connect { .. }
            | Command::Pin { .. } => return,
        };
        let ((file, at), make) = whole;
        let whole = make(file);
        self.whole(WholeDecl { at, whole }, name, text);
    }

    fn whole(&mut self, decl: WholeDecl, name: &str, text: &str) {
        if self.scope == 0 {
            self.declared.whole.push(decl);
            return;
        }
        let at = first_word(decl.at, text);
        let message = format!("{name} has no effect in a splice");
        let diagnostic = self.error(Code::NoEffect, at, message).warning();
        let help = "say it in the DAG file that is run";
        self.diagnostics.push(diagnostic.help(help));
    }

    fn change(&mut self, node: &Word<'_>, at: At, change: Change) {
        let at = word_at(at, node);
        if self.is_filled_in(&node.text, at) {
            self.declared.changes.push(ChangeDecl {
                scope: self.scope,
                node: node.text.to_string(),
                at,
                change,
            });
        }
    }

    fn names(&mut self, words: &[Word<'_>], at: At) -> Vec<(String, At)> {
        let mut names = Vec::with_capacity(words.len());
        for word in words {
            let at = word_at(at, word);
            if self.is_filled_in(&word.text, at) {
                names.push((word.text.to_string(), at));
            }
        }
        names
    }
}

fn named(word: &Word<'_>, at: At) -> (String, At) {
    (word.text.to_string(), word_at(at, word))
}

fn tolerance(failures: command::Failures, then: command::Then) -> Tolerance {
    Tolerance {
        failures: match failures {
            command::Failures::Jobs(jobs) => Failures::Jobs(jobs),
            command::Failures::Percent(percent) => Failures::Percent(percent.min(100)),
        },
        then: match then {
            command::Then::Wait => Then::Wait,
            command::Then::Unsaid | command::Then::FailFast => Then::FailFast,
        },
    }
}

fn dot_of(dot: DotLine<'_>, at: At) -> WholeDecl {
    let include = dot.include.as_ref().map(|include| named(include, at));
    WholeDecl {
        at: word_at(at, &dot.file),
        whole: Whole::Dot {
            file: dot.file.text.into_owned(),
            update: dot.update,
            overwrite: dot.overwrite.unwrap_or(true),
            include,
        },
    }
}

fn status_of(status: StatusLine<'_>, at: At) -> WholeDecl {
    WholeDecl {
        at: word_at(at, &status.file),
        whole: Whole::NodeStatus {
            file: status.file.text.into_owned(),
            interval_s: u32::try_from(status.interval).unwrap_or(0),
            always: status.always,
        },
    }
}
