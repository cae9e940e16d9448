//! The one door to files, and how paths inside the languages are joined.
//!
//! Holds no implementation over a disk: a shell brings its own.

use std::collections::BTreeMap;

/// Reads text by path. Paths are what the files say, joined with `/` to the directory they are
/// relative to.
pub trait Files {
    /// The whole text of a file. A path that ends in `/` is a directory: its text are the names in
    /// it in order of their bytes, one per line, those of directories with a `/` behind.
    ///
    /// # Errors
    /// The reason in words (`no such file`, `permission denied`, `not UTF-8`), without the path.
    fn read(&self, path: &str) -> Result<String, String>;

    /// Whether something can be read at this path.
    fn exists(&self, path: &str) -> bool;

    /// What the submitter knows and a file may ask for: `ENV.HOME` is the value of `$ENV(HOME)`,
    /// and `SUBMIT_TIME`, `YEAR`, `MONTH`, `DAY` tell when ([`crate::submit::Submission`] has
    /// their values). `None` where it is not known.
    fn submitter(&self, _name: &str) -> Option<String> {
        None
    }

    /// All of the submitter's environment, by name.
    fn environment(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// Files with what their submitter knew when they were sent: what is read again elsewhere is read
/// as it was read there.
pub struct Sent<'a> {
    pub files: &'a dyn Files,
    /// By the names of [`Files::submitter`].
    pub submitter: &'a BTreeMap<String, String>,
}

impl Files for Sent<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.read(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.files.exists(path)
    }

    fn submitter(&self, name: &str) -> Option<String> {
        self.submitter.get(name).cloned()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let answers = self.submitter.iter();
        answers
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("ENV.")?.to_owned(), value.clone()))
            })
            .collect()
    }
}

/// Files held in memory, by path: what tests and uploads use.
impl Files for BTreeMap<String, String> {
    fn read(&self, path: &str) -> Result<String, String> {
        match self.get(path) {
            Some(text) => Ok(text.clone()),
            None if path.ends_with('/') => Ok(names_under(self, path)),
            None => Err("no such file".to_owned()),
        }
    }

    fn exists(&self, path: &str) -> bool {
        self.contains_key(path)
    }
}

/// The listing of a directory, told from the paths of the files.
fn names_under(files: &BTreeMap<String, String>, dir: &str) -> String {
    let prefix = dir.strip_prefix("./").unwrap_or(dir);
    let mut names = std::collections::BTreeSet::new();
    for path in files.keys() {
        if let Some(name) = path.strip_prefix(prefix).filter(|name| !name.is_empty()) {
            let end = name.find('/').map_or(name.len(), |at| at + 1);
            names.insert(&name[..end]);
        }
    }
    names.into_iter().flat_map(|name| [name, "\n"]).collect()
}

/// Files seen from a directory: every relative path is joined to it.
pub(crate) struct InDir<'a> {
    pub dir: &'a str,
    pub files: &'a dyn Files,
}

impl Files for InDir<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let joined = join(self.dir, path);
        match path.ends_with('/') && !joined.ends_with('/') {
            true if joined.is_empty() => self.files.read("./"),
            true => self.files.read(&format!("{joined}/")),
            false => self.files.read(&joined),
        }
    }

    fn exists(&self, path: &str) -> bool {
        self.files.exists(&join(self.dir, path))
    }

    fn submitter(&self, name: &str) -> Option<String> {
        self.files.submitter(name)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.files.environment()
    }
}

/// `path` as seen from `dir`: an absolute path stays, `./` in front is dropped, `..` is kept as it
/// is.
#[must_use]
pub fn join(dir: &str, path: &str) -> String {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    if path.starts_with('/') || dir.is_empty() || dir == "." {
        return path.to_owned();
    }
    if path.is_empty() || path == "." {
        return dir.to_owned();
    }
    format!("{}/{path}", dir.trim_end_matches('/'))
}

/// The directory part of a path: empty for a bare file name, `/` for a file in the root.
#[must_use]
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(at) => &path[..at],
        None => "",
    }
}
