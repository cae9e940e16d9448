//! What may differ between jobs that come from one description: told from its texts alone, and
//! rather too much than too little. Whoever keeps an expanded job for others asks here for whom it
//! stands.

use std::collections::BTreeSet;

use super::run::AUTOMATIC;
use super::{Macro, Macros, StatementKind, Submit, commands, expand};

/// Commands whose values are put into a job that is there already: [`Submit::refit`].
const LIGHT: [&str; 12] = [
    "arguments",
    "args",
    "environment",
    "env",
    "getenv",
    "get_env",
    "output",
    "stdout",
    "error",
    "stderr",
    "log",
    "userlog",
];
/// Where one of these stands, the standard streams are looked at with everything else.
const STREAMS: [&str; 6] = [
    "transfer_output",
    "transfer_error",
    "stream_output",
    "stream_error",
    "transferout",
    "transfererr",
];
/// Names of the cluster as a whole, and of the time when it was submitted.
const OF_CLUSTERS: [&str; 3] = ["cluster", "clusterid", "jobid"];
const OF_TIMES: [&str; 4] = ["submit_time", "year", "month", "day"];
/// Attributes that a DAG gives to the jobs of its nodes, and what their names have in common.
const OF_NODES: [&str; 4] = [
    "my.dagnodename",
    "my.dagmanjobid",
    "my.dagmannoderetry",
    "my.dagparentnodenames",
];
const OF_NODES_COMMON: [&str; 3] = ["dagnode", "dagman", "dagparent"];

/// What of the jobs of a cluster may differ from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Differs {
    /// Their ids alone.
    Nothing,
    /// What [`Submit::refit`] puts in.
    Lightly,
    Anything,
}

/// The names that the texts of a description use, sorted by what they are used for.
#[derive(Clone, Debug)]
pub struct Uses {
    /// What a name's own statements mention.
    assigned: Vec<(String, Mentions)>,
    /// What conditions, messages and the queue statement mention.
    elsewhere: Mentions,
    /// Whether some text speaks of the attributes that a DAG gives.
    nodes: bool,
}

/// How far one expanded job stands for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    pub differs: Differs,
    /// Whether another cluster may differ in what is put in.
    pub differs_between_clusters: bool,
    /// Whether it stands for its own cluster alone.
    pub of_cluster: bool,
    /// Whether it stands for submissions of its own second alone.
    pub of_time: bool,
    /// The given macros, in lower case, with whose values it stands.
    pub macros: BTreeSet<String>,
}

/// What one text mentions.
#[derive(Clone, Debug, Default)]
struct Mentions {
    names: BTreeSet<String>,
    /// It draws, or speaks of the proc's attribute: it differs in each job.
    draws: bool,
    /// It is filled in at the match.
    opens: bool,
    /// It speaks of the cluster's attribute.
    cluster: bool,
}

/// What is reached from some names.
#[derive(Clone, Default)]
struct Reach {
    names: BTreeSet<String>,
    draws: bool,
    opens: bool,
    cluster: bool,
}

impl Mentions {
    fn add(&mut self, text: &str) {
        let names = expand::names_in(text).map(str::to_ascii_lowercase);
        self.names.extend(names);
        let lower = text.to_ascii_lowercase();
        self.draws |= lower.contains("$random_") || speaks_of(&lower, "procid");
        self.opens |= text.contains("$$");
        self.cluster |= speaks_of(&lower, "clusterid");
    }

    fn of(text: &str) -> Self {
        let mut mentions = Self::default();
        mentions.add(text);
        mentions
    }
}

/// Whether a text has a word other than as a macro: as an attribute of the job's ad.
fn speaks_of(lower: &str, word: &str) -> bool {
    lower
        .match_indices(word)
        .any(|(at, _)| !lower[..at].ends_with("$("))
}

impl Uses {
    pub(super) fn of(submit: &Submit) -> Self {
        let mut uses = Self {
            assigned: Vec::new(),
            elsewhere: Mentions::default(),
            nodes: false,
        };
        for statement in &submit.statements {
            match &statement.kind {
                StatementKind::Assign(assign) => {
                    uses.note(&assign.key);
                    uses.note(&assign.value);
                    let mentions = Mentions::of(&assign.value);
                    uses.assigned.push((assign.key.clone(), mentions));
                }
                StatementKind::If(text)
                | StatementKind::Elif(text)
                | StatementKind::Error(text)
                | StatementKind::Warning(text) => {
                    uses.note(text);
                    uses.elsewhere.add(text);
                    // A condition may name a macro without any sign: `defined x`.
                    let words = text.split(|c: char| !expand::is_name_char(c));
                    let words = words.filter(|word| !word.is_empty());
                    let words = words.map(str::to_ascii_lowercase);
                    uses.elsewhere.names.extend(words);
                }
                StatementKind::Queue(queue) => {
                    uses.note(&queue.args);
                    uses.elsewhere.add(&queue.args);
                    // A count may be a name, too.
                    let words = queue.args.split(|c: char| !expand::is_name_char(c));
                    let words = words.filter(|word| !word.is_empty());
                    let words = words.map(str::to_ascii_lowercase);
                    uses.elsewhere.names.extend(words);
                    for line in &queue.body {
                        uses.note(line);
                    }
                }
                StatementKind::Else | StatementKind::Endif => {}
            }
        }
        for answer in submit.answers.iter() {
            let mentions = Mentions::of(&answer.value);
            uses.assigned
                .push((answer.name.to_ascii_lowercase(), mentions));
        }
        uses
    }

    fn note(&mut self, text: &str) {
        let lower = text.to_ascii_lowercase();
        self.nodes |= OF_NODES_COMMON.iter().any(|part| lower.contains(part));
    }

    /// Whether [`Uses::kind`] depends on the names of these macros and not on their values.
    #[must_use]
    pub fn are_plain(macros: &Macros) -> bool {
        let mut values = macros.iter().map(|given| given.value.as_str());
        let word = |text: &str, word: &str| {
            let mut windows = text.as_bytes().windows(word.len());
            windows.any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
        };
        values.all(|value| {
            !value.contains('$') && !word(value, "procid") && !word(value, "clusterid")
        })
    }

    /// How far a job expanded under these macros stands for others. `vars` are those of the queue
    /// statement.
    #[must_use]
    pub fn kind(&self, macros: &Macros, vars: &[String]) -> Kind {
        let given: Vec<(String, Mentions)> = macros
            .iter()
            .map(|given| (given.name.to_ascii_lowercase(), Mentions::of(&given.value)))
            .collect();
        let vars: Vec<String> = vars.iter().map(|var| var.to_ascii_lowercase()).collect();
        let is_stream = |name: &str| STREAMS.contains(&name);
        let names = || {
            let assigned = self.assigned.iter().map(|(name, _)| name.as_str());
            let given = given.iter().map(|(name, _)| name.as_str());
            assigned.chain(given).chain(vars.iter().map(String::as_str))
        };
        let plain = !names().any(is_stream);
        let is_light = |name: &str| {
            LIGHT.contains(&name)
                && (plain || !matches!(name, "output" | "stdout" | "error" | "stderr"))
        };
        let is_ours = |name: &str| !self.nodes && OF_NODES.contains(&name);
        let (mut heavy, mut light) = (BTreeSet::new(), BTreeSet::new());
        for name in names() {
            if is_light(name) {
                light.insert(name.to_owned());
            } else if is_command(name) && !is_ours(name) {
                heavy.insert(name.to_owned());
            }
        }
        let heavy = self.reach(heavy, &given);
        let light = self.reach(light, &given);
        // Conditions and the queue statement are worked out before there is any job.
        let before = self.reach(self.elsewhere.names.clone(), &given);
        kind_of(&heavy, &light, &before, macros, &vars)
    }

    /// Everything that is mentioned on the way from some names.
    fn reach(&self, from: BTreeSet<String>, given: &[(String, Mentions)]) -> Reach {
        let mut open: Vec<String> = from.iter().cloned().collect();
        let mut reach = Reach {
            names: from,
            ..Reach::default()
        };
        while let Some(name) = open.pop() {
            let own = self.assigned.iter().chain(given);
            for (_, mentions) in own.filter(|(own, _)| *own == name) {
                reach.draws |= mentions.draws;
                reach.opens |= mentions.opens;
                reach.cluster |= mentions.cluster;
                for name in &mentions.names {
                    if reach.names.insert(name.clone()) {
                        open.push(name.clone());
                    }
                }
            }
        }
        reach
    }
}

fn kind_of(heavy: &Reach, light: &Reach, before: &Reach, macros: &Macros, vars: &[String]) -> Kind {
    let has = |reach: &Reach, names: &[&str]| names.iter().any(|name| reach.names.contains(*name));
    let of_procs = |reach: &Reach| {
        let automatic = AUTOMATIC
            .iter()
            .filter(|name| !OF_CLUSTERS.contains(*name) || **name == "jobid");
        reach.draws
            || automatic
                .into_iter()
                .any(|name| reach.names.contains(*name))
            || vars.iter().any(|var| reach.names.contains(var))
    };
    let differs = match (of_procs(heavy), of_procs(light), light.opens) {
        (true, _, _) => Differs::Anything,
        (false, true, true) => Differs::Anything,
        (false, true, false) => Differs::Lightly,
        (false, false, _) => Differs::Nothing,
    };
    let in_key = |name: &str| {
        heavy.names.contains(name)
            || before.names.contains(name)
            || light.opens && light.names.contains(name)
    };
    let macros_kept = macros
        .iter()
        .map(|given| given.name.to_ascii_lowercase())
        .filter(|name| in_key(name))
        .collect();
    let reaches = |given: &Macro| light.names.contains(&given.name.to_ascii_lowercase());
    let environment = has(light, &["getenv", "get_env"]);
    let between = has(light, &OF_CLUSTERS)
        || light.cluster
        || has(light, &OF_TIMES)
        || environment
        || macros.iter().any(reaches);
    let of_clusters = |reach: &Reach| reach.cluster || has(reach, &OF_CLUSTERS);
    Kind {
        differs,
        differs_between_clusters: between,
        of_cluster: of_clusters(heavy) || of_clusters(before) || light.opens && of_clusters(light),
        of_time: has(heavy, &OF_TIMES)
            || has(before, &OF_TIMES)
            || light.opens && has(light, &OF_TIMES),
        macros: macros_kept,
    }
}

/// Whether a name says something of a job by itself. Written in lower case.
fn is_command(name: &str) -> bool {
    name.starts_with("my.")
        || name.starts_with('+')
        || commands::support(name).is_some()
        || commands::is_other_name(name)
}
