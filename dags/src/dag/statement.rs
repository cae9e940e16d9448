//! Commands as they are shown to others: owned, with the keys and forms under which HTCondor's own
//! parser gives them. Nothing is resolved, and nothing is said of what a command does.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::command::{
    Command, Described, Done, EnvAction, Failures, ForeachHead, ItemsOf, Mode, NodeLine,
    ScriptKind, ScriptLine, Stream, Strength, Then,
};
use super::keyword::Keyword;
use crate::submit::Placement;

/// What DAGMan has for the exit code of a DAG that ABORT-DAG-ON gives none.
const NO_RETURN: i64 = i32::MAX as i64;

/// A command of a DAG file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// 1-based; the last of a continued line, and the first of an inline description's.
    pub line: u32,
    pub keyword: Keyword,
    pub fields: Fields,
}

/// What it says, in the order in which it is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    list: Vec<(&'static str, Value)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    List(Vec<String>),
    Pairs(BTreeMap<String, String>),
}

/// What a statement needs to know beside its line.
pub(super) struct Around<'a> {
    /// The file, as it was named.
    pub path: &'a str,
    /// The directory that a CONFIG file is relative to.
    pub cwd: &'a str,
    pub line: u32,
    /// The lines of an inline description.
    pub inline: Option<&'a str>,
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.list.len() + 2))?;
        map.serialize_entry("line", &self.line)?;
        map.serialize_entry("command", &self.command())?;
        for (key, value) in &self.fields.list {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Statement {
    /// The command's name as HTCondor's parser prints it: WEAK is a kind of PARENT.
    #[must_use]
    pub fn command(&self) -> String {
        match self.keyword {
            Keyword::Weak => Keyword::Parent.name().to_owned(),
            keyword => keyword.name().replace('-', "_"),
        }
    }

    /// Its fields for people: `key=value` with white space between.
    #[must_use]
    pub fn told(&self) -> String {
        let told = self.fields.list.iter().map(|(key, value)| match value {
            Value::Text(text) => format!("{key}={}", quoted(text)),
            Value::Number(number) => format!("{key}={number}"),
            Value::Flag(flag) => format!("{key}={flag}"),
            Value::List(list) => {
                let list: Vec<String> = list.iter().map(|item| quoted(item)).collect();
                format!("{key}=({})", list.join(" "))
            }
            Value::Pairs(pairs) => {
                let told = |(name, value): (&String, &String)| format!("{name}={}", quoted(value));
                let pairs: Vec<String> = pairs.iter().map(told).collect();
                format!("{key}=({})", pairs.join(" "))
            }
        });
        told.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn new(command: &Command<'_>, around: &Around<'_>) -> Self {
        Self {
            line: around.line,
            keyword: command.keyword(),
            fields: Fields::of(command, around),
        }
    }

    pub(super) fn foreach(head: &ForeachHead<'_>, line: u32) -> Self {
        let words = |words: &[super::words::Word<'_>]| {
            let texts = words.iter().map(|word| word.text.to_string());
            Value::List(texts.collect())
        };
        let mut fields = Fields::default().with("vars", words(&head.vars));
        fields = match &head.items {
            ItemsOf::In(items) => fields.with("in", words(items)),
            ItemsOf::From(file) => fields.text("from", &file.text),
        };
        Self {
            line,
            keyword: Keyword::Foreach,
            fields,
        }
    }

    pub(super) fn end(line: u32) -> Self {
        Self {
            line,
            keyword: Keyword::End,
            fields: Fields::default(),
        }
    }
}

impl Fields {
    fn of(command: &Command<'_>, around: &Around<'_>) -> Self {
        match command {
            Command::Node(node) => Self::of_node(node, around),
            Command::Splice(splice) => {
                let fields = Self::default().text("name", &splice.name.text);
                let fields = fields.text("file", &splice.file.text);
                fields.maybe("dir", splice.dir.as_ref().map(|dir| &*dir.text))
            }
            Command::Description { name } => {
                let fields = Self::default().text("name", &name.text);
                fields.maybe("inline", around.inline.map(description).as_deref())
            }
            Command::Parent {
                strength,
                parents,
                children,
            } => {
                let distinct = |words: &[super::words::Word<'_>]| {
                    let distinct: BTreeSet<&str> = words.iter().map(|word| &*word.text).collect();
                    Value::List(distinct.into_iter().map(str::to_owned).collect())
                };
                let fields = Self::default().with("parents", distinct(parents));
                let fields = fields.with("children", distinct(children));
                fields.flag("weak", *strength == Strength::Weak)
            }
            Command::Script(script) => Self::of_script(script),
            Command::Category { node, category } => {
                let node = Value::List(vec![node.text.to_string()]);
                let fields = Self::default().text("category", &category.text);
                fields.with("nodes", node)
            }
            Command::Maxjobs { category, limit } => {
                let fields = Self::default().text("category", &category.text);
                fields.number("limit", i64::from(*limit))
            }
            Command::Connect { from, to } => {
                let fields = Self::default().text("from", &from.text);
                fields.text("to", &to.text)
            }
            Command::SetJobAttr { assignment } => Self::default().text("attr", &assignment.text),
            Command::Env { action, variables } => {
                let set = *action == EnvAction::Set;
                let vars = match action {
                    EnvAction::Set => variables.text.to_string(),
                    EnvAction::Get => listed(&variables.text),
                };
                let fields = Self::default().with("set", Value::Flag(set));
                fields.text("vars", &vars)
            }
            Command::Retry { node, .. }
            | Command::AbortDagOn { node, .. }
            | Command::Vars { node, .. }
            | Command::Priority { node, .. }
            | Command::PreSkip { node, .. }
            | Command::Done { node }
            | Command::Pin { node, .. } => {
                Self::default().text("node", &node.text).modifier(command)
            }
            Command::Tolerance { .. }
            | Command::SavePointFile { .. }
            | Command::Include { .. }
            | Command::Config { .. }
            | Command::JobstateLog { .. }
            | Command::Dot(_)
            | Command::NodeStatusFile(_)
            | Command::Reject => Self::default().text("details", &details(command, around)),
        }
    }

    fn of_node(node: &NodeLine<'_>, around: &Around<'_>) -> Self {
        let fields = Self::default().text("name", &node.name.text);
        let fields = match &node.description {
            Described::Named(word) => fields.text("submit", &word.text),
            Described::Inline => fields.maybe("inline", around.inline.map(description).as_deref()),
        };
        fields
            .maybe("study", node.study.as_ref().map(|study| &*study.text))
            .maybe("dir", node.dir.as_ref().map(|dir| &*dir.text))
            .flag("noop", node.mode == Mode::Noop)
            .flag("done", node.done == Done::Yes)
    }

    fn of_script(script: &ScriptLine<'_>) -> Self {
        let kind = match script.kind {
            ScriptKind::Pre => "PRE",
            ScriptKind::Post => "POST",
            ScriptKind::Hold => "HOLD",
        };
        let mut fields = Self::default()
            .text("node", &script.node.text)
            .text("type", kind)
            .text("script", &script.script.text);
        if let Some((status, seconds)) = script.defer {
            fields = fields.number("defer_status", i64::from(status));
            fields = fields.number("defer_time", i64::from(seconds));
        }
        if let Some((file, stream)) = &script.debug {
            let stream = match stream {
                Stream::Stdout => "STDOUT",
                Stream::Stderr => "STDERR",
                Stream::All => "ALL",
            };
            fields = fields.text("debug_file", &file.text);
            fields = fields.text("debug_stream", stream);
        }
        fields
    }

    /// What a command says about the node that is already there.
    fn modifier(self, command: &Command<'_>) -> Self {
        match command {
            Command::Retry {
                max, unless_exit, ..
            } => self
                .number("max", i64::from(*max))
                .number("unless_exit", i64::from(unless_exit.unwrap_or(0))),
            Command::AbortDagOn { status, exit, .. } => self
                .number("status", i64::from(*status))
                .number("return", exit.map_or(NO_RETURN, i64::from)),
            Command::Vars {
                placement, pairs, ..
            } => {
                let placement = placement.map(|placement| match placement {
                    Placement::Before => "PREPEND",
                    Placement::After => "APPEND",
                });
                self.with("vars", Value::Pairs(pairs.iter().cloned().collect()))
                    .maybe("placement", placement)
            }
            Command::Priority { priority, .. } => self.number("priority", i64::from(*priority)),
            Command::PreSkip { code, .. } => self.number("exit_code", i64::from(*code)),
            Command::Pin { number, .. } => self.number("pin", i64::from(*number)),
            Command::Done { .. }
            | Command::Node(_)
            | Command::Splice(_)
            | Command::Description { .. }
            | Command::Parent { .. }
            | Command::Script(_)
            | Command::Tolerance { .. }
            | Command::Category { .. }
            | Command::Maxjobs { .. }
            | Command::SavePointFile { .. }
            | Command::Include { .. }
            | Command::Config { .. }
            | Command::JobstateLog { .. }
            | Command::Dot(_)
            | Command::NodeStatusFile(_)
            | Command::SetJobAttr { .. }
            | Command::Env { .. }
            | Command::Reject
            | Command::Connect { .. } => self,
        }
    }

    fn with(mut self, key: &'static str, value: Value) -> Self {
        self.list.push((key, value));
        self
    }

    fn text(self, key: &'static str, text: &str) -> Self {
        self.with(key, Value::Text(text.to_owned()))
    }

    fn number(self, key: &'static str, number: i64) -> Self {
        self.with(key, Value::Number(number))
    }

    fn maybe(self, key: &'static str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(key, text),
            None => self,
        }
    }

    /// A flag that is left out where it is down.
    fn flag(self, key: &'static str, up: bool) -> Self {
        match up {
            true => self.with(key, Value::Flag(true)),
            false => self,
        }
    }
}

/// The fields that HTCondor's parser prints in one text.
fn details(command: &Command<'_>, around: &Around<'_>) -> String {
    match command {
        Command::Tolerance {
            node,
            failures,
            then,
        } => {
            let (number, percent) = match failures {
                Failures::Jobs(number) => (number, letter(false)),
                Failures::Percent(number) => (number, letter(true)),
            };
            let then = match then {
                Then::Unsaid => "AUTO",
                Then::FailFast => "FAIL-FAST",
                Then::Wait => "WAIT",
            };
            format!("{} {number} {percent} {then}", node.text)
        }
        Command::SavePointFile { node, file } => match file {
            Some(file) => format!("{} {}", node.text, file.text),
            None => {
                let name = around.path.rsplit('/').next().unwrap_or_default();
                format!("{0} {0}-{name}.save", node.text)
            }
        },
        Command::Config { file } => match file.text.starts_with('/') {
            true => file.text.to_string(),
            false => format!("{}/{}", around.cwd.trim_end_matches('/'), file.text),
        },
        Command::Include { file } | Command::JobstateLog { file } => file.text.to_string(),
        Command::Dot(dot) => {
            let include = dot.include.as_ref().map_or("", |file| &*file.text);
            let (update, overwrite) = (letter(dot.update), letter(dot.overwrite == Some(true)));
            format!("{} {include} {update} {overwrite}", dot.file.text)
        }
        Command::NodeStatusFile(status) => {
            let always = letter(status.always);
            format!("{} {} {always}", status.file.text, status.interval)
        }
        Command::Reject => format!("{}:{}", around.path, around.line),
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
        | Command::Done { .. }
        | Command::Category { .. }
        | Command::Maxjobs { .. }
        | Command::SetJobAttr { .. }
        | Command::Env { .. }
        | Command::Connect { .. }
        | Command::Pin { .. } => String::new(),
    }
}

const fn letter(flag: bool) -> &'static str {
    if flag { "T" } else { "F" }
}

/// The lines of an inline description without white space around them, empty ones and comments left
/// out.
fn description(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    for line in body.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') && !line.starts_with("//") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Names between commas or white space, with one comma between them.
fn listed(names: &str) -> String {
    let names: Vec<&str> = names
        .split([',', ' ', '\t', '\r'])
        .filter(|name| !name.is_empty())
        .collect();
    names.join(",")
}

/// A word that others can tell from its neighbours.
fn quoted(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '(' && c != ')';
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("{text:?}"),
    }
}
