//! What is submitted, read and checked: the main file, every text that it refers to, and the errors
//! of all of them at once. Reads text files only; what jobs take as input is found in `inputs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dags::submit::Submission;
use dags::{Dag, Diagnostics, Files, Submit};

use crate::exit::Failure;
use crate::output::{complain, count};

/// Bytes of one text file of a submission.
const SOURCE_BYTES_MAX: u64 = 64 << 20;

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
        let Checked {
            bundle,
            diagnostics,
        } = if is_dag(file) {
            if let Some((name, _)) = macros.first() {
                return Err(Failure::Usage(format!(
                    "`{name}=…` is for a submit description; a DAG file has VARS"
                )));
            }
            check_dag(file)?
        } else {
            check_submit(file, macros)?
        };
        if !diagnostics.is_empty() {
            complain(diagnostics.render().trim_end());
        }
        bundle.ok_or_else(|| Failure::Rejected {
            file: file.display().to_string(),
            errors: count(diagnostics.errors().count() as u64, "error"),
        })
    }

    /// BLAKE3 over the texts, the main file's name and the macros, each with its length in front:
    /// equal exactly for equal submissions, whenever they are made.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut feed = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        let mut macros = self.macros.clone();
        macros.retain(|name, _| Submission::time_macro(0, name).is_none());
        for pairs in [&self.sources, &macros] {
            feed(&pairs.len().to_string());
            for (name, text) in pairs {
                feed(name);
                feed(text);
            }
        }
        feed(&self.main);
        hasher.finalize().to_hex().to_string()
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
pub fn check_dag(file: &Path) -> Result<Checked, Failure> {
    let (typed, name) = split(file)?;
    let directory = canonical(if typed.is_empty() { "." } else { &typed })?;
    let files = Disk::new(&directory, now_s());
    let (dag, found) = Dag::load(&name, &files);
    let diagnostics = as_typed(&found, &typed);
    let bundle = dag.map(|dag| Bundle {
        directory,
        typed,
        main: name,
        sources: files.into_read(),
        macros: dag.answers(),
        work: Work::Dag(Box::new(dag)),
        warnings: diagnostics.warnings().count(),
    });
    Ok(Checked {
        bundle,
        diagnostics,
    })
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
    let files = Disk::new(&directory, submitted_s);
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
        work: Work::Cluster(Box::new(submit)),
        warnings: diagnostics.warnings().count(),
    });
    Ok(Checked {
        bundle,
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

/// Files on the disk, seen from a directory; remembers what was read. Knows the environment.
struct Disk {
    root: PathBuf,
    /// The time of submission, in seconds since 1970.
    submitted_s: i64,
    read: RefCell<BTreeMap<String, String>>,
}

impl Disk {
    fn new(root: &Path, submitted_s: i64) -> Disk {
        Disk {
            root: root.to_owned(),
            submitted_s,
            read: RefCell::default(),
        }
    }

    fn into_read(self) -> BTreeMap<String, String> {
        self.read.into_inner()
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        if let Some(text) = self.read.borrow().get(path) {
            return Ok(text.clone());
        }
        let on_disk = self.root.join(path);
        let text = match path.ends_with('/') {
            true => names_in(&on_disk)?,
            false => read_text(&on_disk)?,
        };
        self.read.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
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

/// The listing of a directory, as [`Files`] has it. Names that no text can hold are left out.
fn names_in(directory: &Path) -> Result<String, String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| said(&error))? {
        let entry = entry.map_err(|error| said(&error))?;
        let Ok(mut name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.path().is_dir() {
            name.push('/');
        }
        if !name.contains('\n') {
            names.push(name);
        }
    }
    names.sort_unstable();
    names.iter_mut().for_each(|name| name.push('\n'));
    Ok(names.concat())
}

fn read_text(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|error| said(&error))?;
    if !meta.is_file() {
        return Err("not a file".to_owned());
    }
    if meta.len() > SOURCE_BYTES_MAX {
        let bytes = meta.len();
        return Err(format!(
            "{bytes} bytes, more than {SOURCE_BYTES_MAX} (SOURCE_BYTES_MAX)"
        ));
    }
    let bytes = fs::read(path).map_err(|error| said(&error))?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// A system's error in the words of the languages' messages.
pub fn said(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
