//! What is submitted, read and checked: the main file, every text that it refers to, and the errors
//! of all of them at once. Reads text files only; what jobs take as input is found in `inputs`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use dags::dag::{External, Loading, rescue};
use dags::submit::Submission;
use dags::{Dag, DagSummary, Diagnostics, Files, Submit};
use manager::sources::Disk;

use crate::exit::Failure;
use crate::output::{complain, count};

pub use manager::sources::said;

/// A checked submission, before its input files.
#[derive(Debug)]
pub struct Bundle {
    /// What paths are relative to: absolute, without symbolic links.
    pub directory: PathBuf,
    /// The directory as it was typed, to be put in front of names in messages.
    pub typed: String,
    /// The name of the main file in `sources`.
    pub main: String,
    /// Exactly the texts that were read, by the path under which they were asked for.
    pub sources: BTreeMap<String, String>,
    /// What was given on the command line, and what the submitter alone knows
    /// ([`Files::submitter`]).
    pub macros: BTreeMap<String, String>,
    /// The rescue or save point file that was read after the DAG file, by its name in `sources`.
    pub rescue: Option<String>,
    pub work: Work,
    /// How many warnings were printed.
    pub warnings: usize,
}

/// What the main file is.
#[derive(Debug)]
pub enum Work {
    Dag(Box<Dag>),
    Cluster(Box<Submit>),
}

/// A file read, with everything that was said about it.
pub struct Checked {
    pub bundle: Option<Bundle>,
    /// What a DAG file has, right or wrong.
    pub counts: Option<DagSummary>,
    /// Files are named as they were typed.
    pub diagnostics: Diagnostics,
}

impl Bundle {
    /// Reads and checks a DAG file or a submit description; errors and warnings are printed as they
    /// are.
    ///
    /// # Errors
    /// The file cannot be reached, or anything in it or in what it names is wrong.
    pub fn load(file: &Path, macros: &[(String, String)]) -> Result<Bundle, Failure> {
        Bundle::load_with(file, macros, &Rescue::Nothing)
    }

    /// As [`Bundle::load`], from where a rescue file says that a DAG stood.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn load_with(
        file: &Path,
        macros: &[(String, String)],
        rescue: &Rescue,
    ) -> Result<Bundle, Failure> {
        let Checked {
            bundle,
            diagnostics,
            ..
        } = if is_dag(file) {
            if let Some((name, _)) = macros.first() {
                return Err(Failure::Usage(format!(
                    "`{name}=…` is for a submit description; a DAG file has VARS"
                )));
            }
            check_dag(file, External::Read, rescue)?
        } else {
            check_submit(file, macros)?
        };
        if !diagnostics.is_empty() {
            complain(diagnostics.render().trim_end());
        }
        if let Some(used) = bundle.as_ref().and_then(|bundle| bundle.rescue.as_deref()) {
            complain(&format!(
                "note: nodes that {used} says are done will not run; --no-rescue runs them"
            ));
        }
        bundle.ok_or_else(|| Failure::Rejected {
            file: file.display().to_string(),
            errors: count(diagnostics.errors().count() as u64, "error"),
        })
    }

    /// Equal exactly for equal submissions, whenever they are made.
    pub fn digest(&self) -> String {
        let mut macros = self.macros.clone();
        macros.retain(|name, _| Submission::time_macro(0, name).is_none());
        manager::sources::digest(&self.sources, &macros, &self.main)
    }

    /// The values of the variables that a DAG file asks for (`ENV GET`), as far as they are set.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let Work::Dag(dag) = &self.work else {
            return BTreeMap::new();
        };
        let value = |name: &String| Some((name.clone(), std::env::var(name).ok()?));
        dag.environment.get.iter().filter_map(value).collect()
    }

    /// A path of the submission as the user would type it.
    pub fn as_typed(&self, path: &str) -> String {
        dags::files::join(&self.typed, path)
    }
}

/// Whether a path is that of a DAG file: the manager tells them apart by the same ending.
pub fn is_dag(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("dag"))
}

/// Reads a DAG file with everything it names. Its paths are relative to its own directory.
///
/// # Errors
/// The directory or the name is not one.
pub fn check_dag(file: &Path, external: External, wanted: &Rescue) -> Result<Checked, Failure> {
    let (typed, name) = split(file)?;
    let directory = canonical(if typed.is_empty() { "." } else { &typed })?;
    let files = Asked::new(&directory, now_s());
    let rescue = wanted.of(&directory, &name)?;
    let loading = Loading {
        path: &name,
        dir: None,
        rescue: rescue.as_deref(),
    };
    let checked = Dag::check(&loading, &files, external);
    let diagnostics = as_typed(&checked.diagnostics, &typed);
    let bundle = checked.dag.map(|dag| Bundle {
        directory,
        typed,
        main: name,
        sources: files.into_read(),
        macros: dag.answers(),
        rescue,
        work: Work::Dag(Box::new(dag)),
        warnings: diagnostics.warnings().count(),
    });
    Ok(Checked {
        bundle,
        counts: checked.counts,
        diagnostics,
    })
}

/// Which rescue or save point file is read after a DAG file.
#[derive(Clone, Debug, Default)]
pub enum Rescue {
    /// The one with the highest number beside the DAG file, as DAGMan does.
    #[default]
    Latest,
    /// This one, relative to where the user stands.
    File(PathBuf),
    Nothing,
}

impl Rescue {
    /// The path of the file, as seen from the DAG file's directory.
    fn of(&self, directory: &Path, name: &str) -> Result<Option<String>, Failure> {
        match self {
            Rescue::Nothing => Ok(None),
            Rescue::File(file) => {
                let path = std::path::absolute(file)
                    .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
                let beside = path.strip_prefix(directory).unwrap_or(&path);
                text_of(beside).map(Some)
            }
            Rescue::Latest => {
                let entries = std::fs::read_dir(directory).into_iter().flatten();
                let names: Vec<String> = entries
                    .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                    .collect();
                let latest = rescue::latest(name, names.iter().map(String::as_str));
                Ok(latest.map(|number| rescue::path(name, number)))
            }
        }
    }
}

/// A submit description as it was read, right or wrong.
pub struct Description {
    pub submit: Submit,
    /// The macros given, and those that only the submitter knows.
    pub macros: BTreeMap<String, String>,
    /// What is wrong with its text.
    pub diagnostics: Diagnostics,
    /// What its paths are relative to.
    pub directory: PathBuf,
    main: String,
    sources: BTreeMap<String, String>,
}

/// Reads a submit description. Its paths are relative to where the user stands.
///
/// # Errors
/// The file cannot be read.
pub fn read_submit(
    file: &Path,
    given: &[(String, String)],
    submitted_s: i64,
) -> Result<Description, Failure> {
    let main = text_of(file)?;
    let directory = canonical(".")?;
    let files = Asked::new(&directory, submitted_s);
    let text = files
        .read(&main)
        .map_err(|reason| Failure::Usage(format!("{main}: cannot be read: {reason}")))?;
    let (mut submit, diagnostics) = Submit::parse(&main, &text, &files);
    let mut macros: BTreeMap<String, String> = given.iter().cloned().collect();
    for (_, value) in given {
        submit.ask(value, &files);
    }
    for (name, value) in submit.answers() {
        let mut given = given.iter();
        if !given.any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            macros.insert(name.to_owned(), value.to_owned());
        }
    }
    if !diagnostics.has_errors() {
        submit.load_items(&macros.iter().collect(), &files);
    }
    Ok(Description {
        submit,
        macros,
        diagnostics,
        directory,
        main,
        sources: files.into_read(),
    })
}

fn check_submit(file: &Path, given: &[(String, String)]) -> Result<Checked, Failure> {
    let Description {
        submit,
        macros,
        mut diagnostics,
        directory,
        main,
        sources,
    } = read_submit(file, given, now_s())?;
    if !diagnostics.has_errors() {
        diagnostics.append(submit.check(&macros.iter().collect()));
    }
    let bundle = (!diagnostics.has_errors()).then(|| Bundle {
        directory,
        typed: String::new(),
        main,
        sources,
        macros,
        rescue: None,
        work: Work::Cluster(Box::new(submit)),
        warnings: diagnostics.warnings().count(),
    });
    Ok(Checked {
        bundle,
        counts: None,
        diagnostics,
    })
}

/// The same findings with files named as the user would type them.
fn as_typed(found: &Diagnostics, typed: &str) -> Diagnostics {
    if typed.is_empty() {
        return found.clone();
    }
    let mut renamed = Diagnostics::new();
    for diagnostic in found {
        let mut diagnostic = diagnostic.clone();
        diagnostic.file = dags::files::join(typed, &diagnostic.file);
        renamed.push(diagnostic);
    }
    renamed
}

/// Directory, as typed, and name of a file.
fn split(file: &Path) -> Result<(String, String), Failure> {
    let text = text_of(file)?;
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::Usage(format!("{text} is not the name of a file")))?;
    Ok((dags::files::parent(&text).to_owned(), name.to_owned()))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::Usage(format!("{}: the path is not UTF-8", path.display())))
}

fn canonical(directory: &str) -> Result<PathBuf, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("{directory}: {reason}"));
    let path = fs::canonicalize(directory).map_err(|error| wrong(said(&error)))?;
    if path.to_str().is_none() {
        return Err(wrong("the path is not UTF-8".to_owned()));
    }
    Ok(path)
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Files on the disk, with what the submitter alone knows: environment and time.
struct Asked {
    disk: Disk,
    /// The time of submission, in seconds since 1970.
    submitted_s: i64,
}

impl Asked {
    fn new(root: &Path, submitted_s: i64) -> Asked {
        let disk = Disk::new(root);
        Asked { disk, submitted_s }
    }

    fn into_read(self) -> BTreeMap<String, String> {
        self.disk.into_read()
    }
}

impl Files for Asked {
    fn read(&self, path: &str) -> Result<String, String> {
        self.disk.read(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.disk.exists(path)
    }

    fn submitter(&self, name: &str) -> Option<String> {
        match name.strip_prefix("ENV.") {
            Some(variable) => std::env::var(variable).ok(),
            None => Submission::time_macro(self.submitted_s, name),
        }
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }
}
