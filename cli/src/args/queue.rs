//! What may be asked of the queue and the pool, and be done to jobs: grammar alone.

use std::ffi::{OsStr, OsString};

use clap::Args;
use classad::Expr;
use dags::submit::parse_edits;
use proto::nouns::{Subject, WorkerName};

use super::seconds;

/// Verbs that take options in HTCondor's spelling, with one dash.
const CONDOR_VERBS: [&str; 10] = [
    "q", "status", "history", "hold", "release", "rm", "prio", "qedit", "vacate", "wait",
];
/// Those options.
const CONDOR_OPTIONS: [(&str, &[&str]); 11] = [
    ("-constraint", &["--constraint"]),
    ("-af", &["--af"]),
    ("-autoformat", &["--af"]),
    ("-af:h", &["--af-header", "--af"]),
    ("-autoformat:h", &["--af-header", "--af"]),
    ("-long", &["--long"]),
    ("-all", &["--all"]),
    ("-limit", &["--limit"]),
    ("-fast", &["--fast"]),
    ("-nobatch", &["--jobs"]),
    ("-reason", &["--reason"]),
];

/// Of the ads of jobs or workers: which, and what of them is shown.
#[derive(Debug, Args)]
pub struct Columns {
    /// Only those for which this is TRUE, by their own ads
    #[arg(long, value_name = "EXPR", value_parser = expression)]
    pub constraint: Option<String>,
    /// Print what these come to in each ad, between blanks, and nothing else
    #[arg(long, visible_alias = "autoformat", value_name = "ATTR")]
    #[arg(num_args = 1.., value_parser = expression)]
    pub af: Vec<String>,
    /// With --af: the names first
    #[arg(long, requires = "af")]
    pub af_header: bool,
    /// Print whole ads, in long form
    #[arg(short, long, conflicts_with = "af")]
    pub long: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updraft q
  updraft q 12 --jobs
  updraft q --constraint 'JobStatus == 5' --af ClusterId ProcId HoldReason")]
pub struct Q {
    /// Jobs (12.0), clusters or DAG runs (12); all when there are none
    #[arg(value_name = "ID")]
    pub ids: Vec<Subject>,
    /// A line for each job; untouched ones of a cluster are one
    #[arg(long, conflicts_with = "users")]
    pub jobs: bool,
    /// A line for each user
    #[arg(long)]
    pub users: bool,
    /// Only those of this user; may be given often
    #[arg(long = "user", value_name = "NAME")]
    pub owners: Vec<String>,
    /// Go on showing the batches as they change
    #[arg(long, conflicts_with_all = ["jobs", "users", "constraint", "af", "long"])]
    pub watch: bool,
    #[command(flatten)]
    pub columns: Columns,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updraft status
  updraft status --gpus
  updraft status --constraint 'TotalGPUs > 0' --af Name Cpus GPUs")]
pub struct Status {
    /// A line for each slot that a job holds
    #[arg(long, conflicts_with_all = ["gpus", "af", "long"])]
    pub slots: bool,
    /// A line for each GPU
    #[arg(long, conflicts_with_all = ["af", "long"])]
    pub gpus: bool,
    /// As --long; with -o json each worker's ad in its record
    #[arg(long, conflicts_with_all = ["slots", "gpus", "af"])]
    pub ads: bool,
    #[command(flatten)]
    pub columns: Columns,
}

#[derive(Debug, Args)]
pub struct History {
    /// Jobs (12.0), clusters or DAG runs (12); all when there are none
    #[arg(value_name = "ID")]
    pub ids: Vec<Subject>,
    /// At most this many, the latest
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Only those of this user; may be given often
    #[arg(long = "user", value_name = "NAME")]
    pub owners: Vec<String>,
    #[command(flatten)]
    pub columns: Columns,
}

/// Jobs by what they are, and not by their numbers alone.
#[derive(Debug, Args)]
pub struct Meant {
    /// Only those for which this is TRUE, by their own ads
    #[arg(long, value_name = "EXPR", value_parser = expression)]
    pub constraint: Option<String>,
    /// Only those of this user; may be given often
    #[arg(long = "user", value_name = "NAME")]
    pub owners: Vec<String>,
    /// Everything in the queue
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct Act {
    /// Jobs (12.0), clusters or DAG runs (12)
    #[arg(value_name = "ID", conflicts_with = "all")]
    #[arg(required_unless_present_any = ["constraint", "owners", "all"])]
    pub ids: Vec<Subject>,
    #[command(flatten)]
    pub meant: Meant,
    /// Kept with the jobs, for those who ask why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updraft vacate 12.0
  updraft vacate --worker gpu-3 --fast")]
pub struct Vacate {
    /// Jobs (12.0), clusters or DAG runs (12)
    #[arg(value_name = "ID", conflicts_with = "all")]
    #[arg(required_unless_present_any = ["constraint", "owners", "all", "worker"])]
    pub ids: Vec<Subject>,
    #[command(flatten)]
    pub meant: Meant,
    /// Only what runs on this worker
    #[arg(long, value_name = "NAME")]
    pub worker: Option<WorkerName>,
    /// Kill them at once, without their signal and the time to end
    #[arg(long)]
    pub fast: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updraft prio 12 +5
  updraft prio 12.0 =100
  updraft prio --user anna -10")]
pub struct Prio {
    /// Jobs (12.0), clusters or DAG runs (12); and one change: +N, -N or =N
    #[arg(
        value_name = "ID… +N|-N|=N",
        required = true,
        allow_negative_numbers = true
    )]
    #[arg(value_parser = prio_word)]
    pub words: Vec<PrioWord>,
    #[command(flatten)]
    pub meant: Meant,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updraft qedit 12 RequestMemory=4096
  updraft qedit --constraint 'JobStatus == 5' 'Requirements = Memory > 8000'")]
pub struct Qedit {
    /// Jobs (12.0), clusters or DAG runs (12); and attributes, in the ads' own names
    #[arg(value_name = "ID… ATTR=EXPR…", required = true, value_parser = qedit_word)]
    pub words: Vec<QeditWord>,
    #[command(flatten)]
    pub meant: Meant,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exits 0 only if everything succeeded, 1 if something failed, 4 for an unknown id, 8 on timeout.")]
pub struct Wait {
    /// Jobs (12.0), clusters or DAG runs (12)
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub ids: Vec<Subject>,
    /// Everything that is in the queue now
    #[arg(long)]
    pub all: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub timeout: Option<f64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
First come the batches as they stand, then a marker with the number of the last event until then,
then what happens. With ids it ends when they have. -o json prints one object a line.")]
pub struct Watch {
    /// Jobs (12.0), clusters or DAG runs (12); everything when there are none
    #[arg(value_name = "ID")]
    pub ids: Vec<Subject>,
    /// Go on behind the event of this number: nothing is left out, and nothing said twice
    #[arg(long, value_name = "N")]
    pub after: Option<u64>,
}

/// A word of `prio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrioWord {
    Id(Subject),
    By(i32),
    To(i32),
}

/// A word of `qedit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QeditWord {
    Id(Subject),
    Edit { name: String, value: String },
}

impl Columns {
    /// Whether ads are shown, or what is asked of them, and not the usual.
    pub fn shows_ads(&self) -> bool {
        self.long || !self.af.is_empty()
    }
}

impl Meant {
    /// Whether it picks jobs without any id.
    pub fn picks(&self) -> bool {
        self.all || self.constraint.is_some() || !self.owners.is_empty()
    }
}

/// The command line with HTCondor's options in our spelling, behind a verb that takes them.
pub fn condor_spelling(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut verb = None;
    let mut spelled = Vec::new();
    for (at, word) in words.into_iter().enumerate() {
        let text = word.to_str().unwrap_or_default();
        if at > 0 && verb.is_none() && CONDOR_VERBS.contains(&text) {
            verb = Some(text.to_owned());
        }
        let option = CONDOR_OPTIONS.iter().find(|(name, _)| *name == text);
        match option.filter(|_| verb.is_some()) {
            Some((_, ours)) => spelled.extend(ours.iter().map(|word| OsStr::new(word).to_owned())),
            None => spelled.push(word),
        }
    }
    spelled
}

/// An expression, as it was written.
fn expression(text: &str) -> Result<String, String> {
    match Expr::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            let column = text[..error.offset].chars().count() + 1;
            Err(format!("column {column}: {error}"))
        }
    }
}

fn prio_word(text: &str) -> Result<PrioWord, String> {
    let number = |digits: &str| {
        let number = digits.parse::<i32>();
        number.map_err(|_| format!("expected a whole number from {} to {}", i32::MIN, i32::MAX))
    };
    if let Some(to) = text.strip_prefix('=') {
        return number(to).map(PrioWord::To);
    }
    if text.starts_with(['+', '-']) {
        return number(text).map(PrioWord::By);
    }
    subject(text).map(PrioWord::Id)
}

fn qedit_word(text: &str) -> Result<QeditWord, String> {
    let Some((name, value)) = text.split_once('=') else {
        return match text.parse() {
            Ok(subject) => Ok(QeditWord::Id(subject)),
            Err(_) => Err("expected an id such as 12.0, or ATTR=EXPR".to_owned()),
        };
    };
    let (name, value) = (name.trim(), value.trim());
    parse_edits([(name, value)]).map_err(|error| error.to_string())?;
    Ok(QeditWord::Edit {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn subject(text: &str) -> Result<Subject, String> {
    text.parse()
        .map_err(|error: proto::nouns::ParseIdError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(line: &str) -> String {
        let words = condor_spelling(line.split(' ').map(OsString::from));
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn options_of_condor_mean_ours() {
        let rows = [
            (
                "updraft q -constraint x -af A B",
                "updraft q --constraint x --af A B",
            ),
            ("updraft q -af:h A", "updraft q --af-header --af A"),
            (
                "updraft --manager h:1 rm -constraint x",
                "updraft --manager h:1 rm --constraint x",
            ),
            ("updraft logs -af", "updraft logs -af"),
            ("updraft q -l -o json", "updraft q -l -o json"),
        ];
        for (line, expected) in rows {
            assert_eq!(spelled(line), expected);
        }
    }

    #[test]
    fn words_of_prio_and_qedit() {
        assert_eq!(prio_word("+5"), Ok(PrioWord::By(5)));
        assert_eq!(prio_word("-5"), Ok(PrioWord::By(-5)));
        assert_eq!(prio_word("=-5"), Ok(PrioWord::To(-5)));
        assert_eq!(prio_word("12"), Ok(PrioWord::Id(Subject::Whole(12))));
        for bad in ["+", "=x", "x", "+99999999999"] {
            assert!(prio_word(bad).is_err(), "{bad}");
        }
        let edit = |name: &str, value: &str| {
            Ok(QeditWord::Edit {
                name: name.into(),
                value: value.into(),
            })
        };
        assert_eq!(qedit_word("A = B == 2"), edit("A", "B == 2"));
        for (bad, part) in [
            ("Owner=\"x\"", "`Owner` is the queue's own"),
            ("A=", "column 1"),
            ("A = 1 +", "column"),
            ("RequestMemory=\"x\"", "a number of MiB"),
            ("KillSig=\"SIGNAL\"", "a signal"),
            ("Cmd=\"x\"", "files were taken"),
            ("x", "ATTR=EXPR"),
        ] {
            let error = qedit_word(bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn expressions_are_refused_with_their_column() {
        assert!(expression("A == 1 && B").is_ok());
        let error = expression("A == 1 && ").unwrap_err();
        assert!(error.starts_with("column "), "{error}");
    }
}
