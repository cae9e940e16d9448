//! A description under given macros: which statements count, what each name is worth, what is
//! queued.

use std::borrow::Cow;
use std::collections::BTreeMap;

use classad::{ClassAd, Expr, Scope, Value};

use super::condition;
use super::expand::{self, Expander, Issue};
use super::macros::ENVIRONMENT;
use super::queue::{ItemSource, Items, Plan, Queue};
use super::{
    Assign, ItemFile, Macro, Macros, PROCS_MAX, Place, Placement, ROWS_MAX, Statement,
    StatementKind, Submit,
};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};

/// Names that have a value in every job, whoever asks. HTCondor's names of the machine this was
/// built for.
const BUILT_IN: [(&str, &str); 6] = [
    ("arch", platform_arch()),
    ("opsys", platform_opsys()),
    ("islinux", if cfg!(target_os = "linux") { "1" } else { "0" }),
    (
        "iswindows",
        if cfg!(target_os = "windows") {
            "1"
        } else {
            "0"
        },
    ),
    ("node", "0"),
    ("retry", "0"),
];

/// Names that a proc gives a value to.
pub(super) const AUTOMATIC: [&str; 9] = [
    "cluster",
    "clusterid",
    "process",
    "procid",
    "step",
    "row",
    "itemindex",
    "jobid",
    "item",
];

/// What each name is worth for one proc.
pub(super) struct Table<'a> {
    macros: &'a Macros,
    /// What the submitter answered.
    answers: &'a Macros,
    assigned: BTreeMap<&'a str, Assigned<'a>>,
    proc: Option<Proc<'a>>,
}

/// A name's value as assigned, unexpanded, and where.
pub(super) struct Assigned<'a> {
    pub value: Cow<'a, str>,
    pub assign: &'a Assign,
    pub place: Place,
}

/// The proc a table speaks for.
pub(super) struct Proc<'a> {
    pub cluster: u32,
    pub proc: u32,
    pub vars: Vec<String>,
    pub row: &'a [String],
    pub count_per_item: u32,
}

/// A description after its statements were gone through.
pub(super) struct Run<'a> {
    pub table: Table<'a>,
    pub queue: Option<(&'a Queue, Place)>,
}

impl<'a> Table<'a> {
    pub fn new(macros: &'a Macros, answers: &'a Macros) -> Self {
        Self {
            macros,
            answers,
            assigned: BTreeMap::new(),
            proc: None,
        }
    }

    pub fn set_proc(&mut self, proc: Proc<'a>) {
        self.proc = Some(proc);
    }

    pub fn proc_ids(&self) -> (u32, u32) {
        self.proc
            .as_ref()
            .map_or((0, 0), |proc| (proc.cluster, proc.proc))
    }

    /// A name's value, unexpanded: of the proc's item, of the proc, given from outside, assigned,
    /// given before, built in.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(value) = self.proc.as_ref().and_then(|proc| proc.get(name)) {
            return Some(value);
        }
        let given = self.macros.get(name);
        if let Some(given) = given.filter(|given| given.placement == Placement::After) {
            return Some(Cow::Borrowed(&given.value));
        }
        if let Some(assigned) = self.assigned(name) {
            return Some(Cow::Borrowed(&assigned.value));
        }
        if let Some(given) = given.or_else(|| self.answers.get(name)) {
            return Some(Cow::Borrowed(&given.value));
        }
        BUILT_IN
            .iter()
            .find(|(built_in, _)| built_in.eq_ignore_ascii_case(name))
            .map(|(_, value)| Cow::Borrowed(*value))
    }

    /// The description's own assignment of a name.
    pub fn assigned(&self, name: &str) -> Option<&Assigned<'a>> {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            self.assigned.get(name.to_ascii_lowercase().as_str())
        } else {
            self.assigned.get(name)
        }
    }

    /// The assignments whose lower-case names start so, in order of name.
    pub fn assigned_under<'t>(
        &'t self,
        prefix: &'t str,
    ) -> impl Iterator<Item = &'t Assigned<'a>> + 't {
        self.assigned
            .range(prefix..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, assigned)| assigned)
    }

    /// The names given from outside.
    pub fn given_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.macros.iter().map(|given| given.name.as_str())
    }

    /// What is given from outside.
    pub fn given(&self) -> std::slice::Iter<'a, Macro> {
        self.macros.iter()
    }

    /// What is known of the submitter's environment, by name.
    pub fn environment(&self) -> BTreeMap<&'a str, &'a str> {
        let known = self.answers.iter().chain(self.macros.iter());
        known
            .filter_map(|known| {
                let name = known.name.strip_prefix(ENVIRONMENT)?;
                Some((name, known.value.as_str()))
            })
            .collect()
    }

    /// Names and values given from outside under a prefix, where they count.
    pub fn given_under<'t>(
        &'t self,
        prefix: &'t str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + use<'t, 'a> {
        self.macros
            .iter()
            .filter(move |given| {
                let head = given.name.get(..prefix.len()).unwrap_or_default();
                head.eq_ignore_ascii_case(prefix)
                    && (given.placement == Placement::After || self.assigned(&given.name).is_none())
            })
            .map(|given| (given.name.as_str(), given.value.as_str()))
    }

    pub fn all_assigned(&self) -> impl Iterator<Item = &Assigned<'a>> {
        self.assigned.values()
    }

    /// Whether a name has a meaning, though perhaps no value.
    pub fn knows(&self, name: &str) -> bool {
        self.get(name).is_some()
            || AUTOMATIC
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether `defined` holds of a name: it has a value, or every proc will give it one.
    pub fn is_defined(&self, name: &str) -> bool {
        let of_procs = AUTOMATIC
            .iter()
            .any(|known| *known != "item" && known.eq_ignore_ascii_case(name));
        of_procs || self.get(name).is_some_and(|value| !value.is_empty())
    }

    fn assign(&mut self, assign: &'a Assign, place: Place) {
        let before = self.get(&assign.key).unwrap_or_default();
        let value = match expand::replace_own(&assign.value, &assign.key, &before) {
            Some(value) => Cow::Owned(value),
            None => Cow::Borrowed(assign.value.as_str()),
        };
        self.assigned.insert(
            &assign.key,
            Assigned {
                value,
                assign,
                place,
            },
        );
    }
}

impl Proc<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(at) = self
            .vars
            .iter()
            .position(|var| var.eq_ignore_ascii_case(name))
        {
            return Some(Cow::Borrowed(self.row.get(at).map_or("", String::as_str)));
        }
        if name.len() > 9 {
            return None;
        }
        let count = self.count_per_item.max(1);
        let value = match AUTOMATIC
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name))
            .copied()?
        {
            "cluster" | "clusterid" => self.cluster.to_string(),
            "process" | "procid" => self.proc.to_string(),
            "jobid" => format!("{}.{}", self.cluster, self.proc),
            "step" => (self.proc % count).to_string(),
            "row" | "itemindex" => (self.proc / count).to_string(),
            _ => String::new(),
        };
        Some(Cow::Owned(value))
    }
}

/// Goes through the statements in order. What is wrong on the way is reported and passed over.
pub(super) fn run<'a>(
    submit: &'a Submit,
    macros: &'a Macros,
    diagnostics: &mut Diagnostics,
) -> Run<'a> {
    let mut run = Run {
        table: Table::new(macros, &submit.answers),
        queue: None,
    };
    let mut branches = Branches::default();
    for statement in &submit.statements {
        let live = branches.live();
        let place = statement.place;
        let mut holds = |text: &str| condition_at(submit, &run.table, text, place, diagnostics);
        match &statement.kind {
            StatementKind::If(text) => branches.open(live && holds(text)),
            StatementKind::Elif(text) => branches.turn(|| holds(text)),
            StatementKind::Else => branches.turn(|| true),
            StatementKind::Endif => branches.close(),
            StatementKind::Assign(assign) if live && run.queue.is_none() => {
                run.table.assign(assign, place);
            }
            StatementKind::Assign(_)
            | StatementKind::Error(_)
            | StatementKind::Warning(_)
            | StatementKind::Queue(_)
                if !live => {}
            StatementKind::Assign(_) => {
                let message = "this statement stands after `queue` and is not read".to_owned();
                diagnostics.push(submit.at(Code::QueueTwice, place, message).warning());
            }
            StatementKind::Error(text) => {
                diagnostics.push(submit.at(Code::UserError, place, said(&run.table, text)));
            }
            StatementKind::Warning(text) => {
                let diagnostic = submit.at(Code::UserWarning, place, said(&run.table, text));
                diagnostics.push(diagnostic.warning());
            }
            StatementKind::Queue(_) if run.queue.is_some() => {
                let message = "a description has one `queue` statement".to_owned();
                let diagnostic = submit.at(Code::QueueTwice, place, message);
                diagnostics.push(diagnostic.help("list the jobs in one `queue … from ( … )`"));
            }
            StatementKind::Queue(queue) => run.queue = Some((queue, place)),
        }
    }
    run
}

/// See [`Submit::procs`].
pub(super) fn procs(submit: &Submit, macros: &Macros) -> Result<Items, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let run = run(submit, macros, &mut diagnostics);
    // What is refused is said again of each job.
    if diagnostics.errors().any(|error| !error.code.is_refusal()) {
        return Err(diagnostics);
    }
    queued(submit, &run, Sliced::Yes)
}

/// See [`Submit::listed`].
pub(super) fn listed(submit: &Submit, macros: &Macros) -> Result<Items, Diagnostics> {
    let run = run(submit, macros, &mut Diagnostics::new());
    queued(submit, &run, Sliced::No)
}

/// Whether the slice of a queue statement is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sliced {
    Yes,
    No,
}

fn queued(submit: &Submit, run: &Run<'_>, sliced: Sliced) -> Result<Items, Diagnostics> {
    let Some((queue, place)) = run.queue else {
        return Ok(Items {
            count_per_item: 1,
            rows: vec![Vec::new()],
            vars: Vec::new(),
        });
    };
    let fail = |issue: Issue| Diagnostics::from(submit.issue(issue, place));
    let plan = plan_of(&run.table, queue).map_err(fail)?;
    let count = count_of(&run.table, &plan).map_err(fail)?;
    let file = match &plan.items {
        ItemSource::File(name) => submit.item_text(name).map_err(fail)?,
        ItemSource::None
        | ItemSource::Words(_)
        | ItemSource::Lines
        | ItemSource::Line(_)
        | ItemSource::Matching { .. } => "",
    };
    let mut listing = |dir: &str| match submit.item_files.get(dir) {
        Some(ItemFile::Text(text)) => Some(text.clone()),
        Some(ItemFile::Unreadable(_)) | None => None,
    };
    let mut rows = plan.rows(&queue.body, file, &mut listing);
    if sliced == Sliced::Yes && plan.items != ItemSource::None {
        rows = plan.slice.apply(rows);
    }
    if rows.len() > ROWS_MAX {
        let message = format!(
            "this `queue` lists {} items; at most {ROWS_MAX}",
            rows.len()
        );
        return Err(fail(Issue::new(Code::QueueTooLarge, message)));
    }
    let items = Items {
        count_per_item: count,
        rows,
        vars: plan.vars.clone(),
    };
    if items.is_empty() {
        let message = match &plan.items {
            ItemSource::Matching { patterns, .. } => {
                format!("this `queue` queues no jobs: nothing matches `{patterns}`")
            }
            ItemSource::None
            | ItemSource::Words(_)
            | ItemSource::Lines
            | ItemSource::Line(_)
            | ItemSource::File(_) => "this `queue` queues no jobs".to_owned(),
        };
        return Err(fail(Issue::new(Code::QueueEmpty, message)));
    }
    if items.len() > PROCS_MAX {
        let message = format!(
            "this `queue` queues {} jobs; at most {PROCS_MAX}",
            items.len()
        );
        return Err(fail(Issue::new(Code::QueueTooLarge, message)));
    }
    Ok(items)
}

/// The variables of the queue statement, and the jobs per item as far as they can be told.
pub(super) fn shape(run: &Run<'_>) -> Result<(Vec<String>, u32), Issue> {
    let Some((queue, _)) = run.queue else {
        return Ok((Vec::new(), 1));
    };
    let plan = plan_of(&run.table, queue)?;
    let count = count_of(&run.table, &plan)?;
    Ok((plan.vars.clone(), count))
}

/// The item file that the queue statement names under these macros, and the directories that its
/// patterns reach, each read by `read`.
pub(super) fn load_items(submit: &Submit, macros: &Macros, read: &mut dyn FnMut(&str) -> ItemFile) {
    let run = run(submit, macros, &mut Diagnostics::new());
    let Some((queue, _)) = run.queue else { return };
    let Ok(plan) = plan_of(&run.table, queue) else {
        return;
    };
    match &plan.items {
        ItemSource::File(name) => {
            read(name);
        }
        ItemSource::Matching { .. } => {
            let mut listing = |dir: &str| match read(dir) {
                ItemFile::Text(text) => Some(text),
                ItemFile::Unreadable(_) => None,
            };
            plan.rows(&queue.body, "", &mut listing);
        }
        ItemSource::None | ItemSource::Words(_) | ItemSource::Lines | ItemSource::Line(_) => {}
    }
}

/// Expands a text with what a description has assigned so far, outside of any job.
///
/// # Errors
/// A sentence.
pub(super) fn expand_now(submit: &Submit, text: &str) -> Result<String, String> {
    let macros = Macros::new();
    let run = run(submit, &macros, &mut Diagnostics::new());
    let mut expander = Expander::new(&run.table);
    let expanded = expander.expand(text).map_err(|issue| issue.message)?;
    match expander.undefined.first() {
        Some(name) => Err(format!(
            "`$({name})` has no value yet where this file is named"
        )),
        None => Ok(expanded),
    }
}

/// The open `if`s around a statement.
#[derive(Default)]
struct Branches {
    open: Vec<Branch>,
}

struct Branch {
    live: bool,
    /// One of its branches was live, or none can be.
    taken: bool,
}

impl Branches {
    fn live(&self) -> bool {
        self.open.iter().all(|branch| branch.live)
    }

    fn open(&mut self, holds: bool) {
        let taken = holds || !self.live();
        self.open.push(Branch { live: holds, taken });
    }

    /// `elif` and `else`: the condition is looked at only when no branch was live before.
    fn turn(&mut self, holds: impl FnOnce() -> bool) {
        if let Some(branch) = self.open.last_mut() {
            branch.live = !branch.taken && holds();
            branch.taken |= branch.live;
        }
    }

    fn close(&mut self) {
        self.open.pop();
    }
}

fn condition_at(
    submit: &Submit,
    table: &Table<'_>,
    text: &str,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> bool {
    let expanded = match expand::expand(table, text) {
        Ok(expanded) => expanded,
        Err(issue) => {
            diagnostics.push(submit.issue(issue, place));
            return false;
        }
    };
    condition::holds(table, &expanded).unwrap_or_else(|message| {
        diagnostics.push(
            submit
                .at(Code::IfSyntax, place, message)
                .expected(condition::FORMS),
        );
        false
    })
}

fn said(table: &Table<'_>, text: &str) -> String {
    expand::expand(table, text).unwrap_or_else(|_| text.to_owned())
}

fn plan_of<'q>(table: &Table<'_>, queue: &'q Queue) -> Result<Cow<'q, Plan>, Issue> {
    if let Some(plan) = &queue.plan {
        return Ok(Cow::Borrowed(plan));
    }
    let args = expand::expand(table, &queue.args)?;
    Plan::parse(&args, &queue.body)
        .map(Cow::Owned)
        .map_err(|message| Issue::new(Code::QueueSyntax, message))
}

fn count_of(table: &Table<'_>, plan: &Plan) -> Result<u32, Issue> {
    if plan.count.is_empty() {
        return Ok(1);
    }
    if let Ok(count) = plan.count.parse::<u32>() {
        return Ok(count);
    }
    let count = expand::expand(table, &plan.count)?;
    let bad = |why: String| {
        Issue::new(
            Code::QueueSyntax,
            format!("`{count}` is no number of jobs{why}"),
        )
    };
    let expr = Expr::parse(&count).map_err(|error| bad(format!(": {error}")))?;
    let number = match Scope::new(&ClassAd::new()).eval(&expr) {
        Value::Int(number) => number,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "HTCondor drops the fraction; the cast saturates"
        )]
        Value::Real(number) => number as i64,
        Value::Undefined
        | Value::Error
        | Value::Bool(_)
        | Value::Str(_)
        | Value::AbsTime { .. }
        | Value::RelTime(_)
        | Value::List(_)
        | Value::Ad(_) => return Err(bad(String::new())),
    };
    u32::try_from(number).map_err(|_| bad(String::new()))
}

impl Submit {
    fn item_text(&self, name: &str) -> Result<&str, Issue> {
        match self.item_files.get(name) {
            Some(ItemFile::Text(text)) => Ok(text),
            Some(ItemFile::Unreadable(reason)) => Err(Issue::new(
                Code::QueueItems,
                format!("the item file `{name}` cannot be read: {reason}"),
            )),
            None => Err(Issue::new(
                Code::QueueItems,
                format!("the item file `{name}` was not read"),
            )),
        }
    }

    pub(super) fn at(&self, code: Code, place: Place, message: String) -> Diagnostic {
        match self.sources.get(place.source as usize) {
            Some(source) => source.error(code, place.span, message),
            None => Diagnostic::of_file(code, &self.file, message),
        }
    }

    pub(super) fn issue(&self, issue: Issue, place: Place) -> Diagnostic {
        let diagnostic = self.at(issue.code, place, issue.message);
        match issue.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

const fn platform_arch() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "X86_64"
    } else if cfg!(target_arch = "aarch64") {
        "aarch64"
    } else {
        std::env::consts::ARCH
    }
}

const fn platform_opsys() -> &'static str {
    if cfg!(target_os = "linux") {
        "LINUX"
    } else if cfg!(target_os = "macos") {
        "macOS"
    } else if cfg!(target_os = "windows") {
        "WINDOWS"
    } else {
        std::env::consts::OS
    }
}
