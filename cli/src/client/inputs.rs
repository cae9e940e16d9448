//! The input files of a submission: found by expanding every job, hashed once each, directories
//! with all they hold.
//!
//! A file that a node before the job declares as an output is never taken from the disk, where only
//! a stale copy could be; a file that nobody makes and that is not there is an error before
//! anything is submitted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dags::dag::{Loading, Reads};
use dags::submit::{Differs, TransferExecutable, may_become};
use dags::{Dag, Diagnostics, JobSpec, Macros, NodeKind, NodeStart, Submit, Universe};
use manager_core::{ScriptKind, input_paths};
use proto::nouns::{Blob, Digest, join_path};
use proto::wire;

use super::bundle::{Bundle, Work, said};
use super::produced::{Origin, Produced};
use crate::exit::Failure;
use crate::output::{complain, count};

/// Files of one submission, those of directories counted each.
const FILES_MAX: usize = 1_000_000;
/// Directories inside directories; beyond it there is a link that leads back.
const DEPTH_MAX: usize = 64;
/// Directories inside directories that a `$$(…)` of a path may stand for.
const OPEN_DEPTH_MAX: usize = 4;
/// The one device that is an input: an empty file.
const NULL: &str = "/dev/null";
/// Missing inputs that are named; the others are counted.
const NAMED_MAX: usize = 20;

/// The input files of a bundle: all there, by path, each once.
#[derive(Clone, Debug, Default)]
pub struct Found(BTreeSet<String>);

/// What is uploaded and submitted.
#[derive(Debug, Default)]
pub struct Inputs {
    /// By path, each once.
    pub files: Vec<wire::File>,
    /// By digest, a file that has these bytes.
    pub blobs: BTreeMap<String, PathBuf>,
}

/// Everything that is missing, unreadable or wrong about the inputs of any job, a sentence each.
pub fn wrong(bundle: &Bundle) -> Vec<String> {
    let mut finding = Finding::new(bundle);
    if let Work::Dag(dag) = &bundle.work {
        finding.dag(dag);
    }
    let said = finding.diagnostics.errors().map(ToString::to_string);
    said.chain(finding.wrong.into_values()).collect()
}

/// Finds the input files of all jobs.
///
/// # Errors
/// Everything that is missing, unreadable or wrong about any job, at once.
pub fn find(bundle: &Bundle) -> Result<Found, Failure> {
    let mut finding = Finding::new(bundle);
    match &bundle.work {
        Work::Dag(dag) => finding.dag(dag),
        Work::Cluster(submit) => {
            let macros: Macros = bundle.macros.iter().collect();
            let place = Place {
                submit,
                node: None,
                written: "",
            };
            finding.cluster(submit, &macros, |finding, spec| {
                finding.job(place, "", &spec)
            });
        }
    }
    finding.finish()
}

impl Found {
    /// Hashes the files, which takes as long as reading them does.
    ///
    /// # Errors
    /// A file that cannot be read, or is gone.
    pub fn hash(self, bundle: &Bundle) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::default();
        for path in self.0 {
            let on_disk = bundle.directory.join(&path);
            let blob = hash(&on_disk).map_err(|error| {
                let shown = bundle.as_typed(&path);
                Failure::Usage(format!(
                    "input file {shown} cannot be read: {}",
                    said(&error)
                ))
            })?;
            inputs
                .blobs
                .entry(blob.digest.to_string())
                .or_insert(on_disk);
            inputs.files.push(wire::File {
                path,
                blob: Some(blob.into()),
            });
        }
        Ok(inputs)
    }
}

/// The blob that a file is, read in pieces.
///
/// # Errors
/// As reading has them.
pub fn hash(path: &Path) -> io::Result<Blob> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut file, &mut hasher)?;
    let executable = meta.permissions().mode() & 0o111 != 0;
    Ok(Blob {
        digest: Digest(*hasher.finalize().as_bytes()),
        bytes,
        executable,
    })
}

/// Where an input is asked for, for messages and for what comes before it.
#[derive(Clone, Copy)]
struct Place<'a> {
    submit: &'a Submit,
    /// The node, where the description is one of a DAG.
    node: Option<(&'a Dag, u32)>,
    /// The path as the description has it.
    written: &'a str,
}

struct Finding<'a> {
    bundle: &'a Bundle,
    produced: Produced,
    /// Paths found on the disk.
    found: BTreeSet<String>,
    diagnostics: Diagnostics,
    /// What is wrong, path by path, each said once.
    wrong: BTreeMap<String, String>,
}

impl<'a> Finding<'a> {
    fn new(bundle: &'a Bundle) -> Finding<'a> {
        Finding {
            bundle,
            produced: Produced::default(),
            found: BTreeSet::new(),
            diagnostics: Diagnostics::new(),
            wrong: BTreeMap::new(),
        }
    }

    fn dag(&mut self, dag: &Dag) {
        // Parents come first, so that what they make is known when their children ask for it.
        for at in dag.order.iter().copied() {
            let node = &dag.nodes[at as usize];
            let subdag = matches!(node.kind, NodeKind::Subdag { .. });
            if subdag || node.scripts.pre.is_some() || node.scripts.post.is_some() {
                self.produced.add_untold(at);
            }
            if node.start == NodeStart::Done {
                continue;
            }
            self.scripts(dag, at);
            if let NodeKind::Subdag {
                file,
                reads: Reads::Dag,
            } = &node.kind
            {
                self.subdag(&join_path(&node.dir, file), &node.dir, 0);
            }
            let Some(submit) = dag.submit_of(at) else {
                continue;
            };
            let macros = dag.sample_macros(at);
            let place = Place {
                submit,
                node: Some((dag, at)),
                written: "",
            };
            self.cluster(place.submit, &macros, |finding, spec| {
                finding.job(place, &node.dir, &spec);
                finding.produced.add(dag, at, &spec);
            });
        }
    }

    /// The programs of a node's scripts: those that lie here go along. One that is nowhere, and that
    /// nobody makes, would fail its node.
    fn scripts(&mut self, dag: &Dag, at: u32) {
        let node = &dag.nodes[at as usize];
        let scripts = [
            (ScriptKind::Pre, &node.scripts.pre),
            (ScriptKind::Post, &node.scripts.post),
            (ScriptKind::Hold, &node.scripts.hold),
        ];
        for (kind, script) in scripts {
            let Some(program) = script.as_ref().map(|script| script.program.as_str()) else {
                continue;
            };
            let path = join_path(&node.dir, program);
            let there = self.bundle.directory.join(&path).is_file();
            let origin = match kind {
                ScriptKind::Pre => self.produced.origin_before(dag, at, &path),
                ScriptKind::Post | ScriptKind::Hold => self.produced.origin(dag, at, &path),
            };
            let nobody = origin == Origin::Nobody;
            if there {
                self.found.insert(path);
            } else if nobody && !is_program(program) {
                let file = self.bundle.as_typed(&dag.file);
                let shown = self.bundle.as_typed(&path);
                let line = format!(
                    "{file}, line {}: the {} script of node {}: {shown} is not there",
                    node.line,
                    kind.name(),
                    node.name
                );
                self.wrong.entry(path).or_insert(line);
            }
        }
    }

    /// What a sub-DAG takes as input, as far as it is there: where the manager works in a copy of
    /// the files, it finds them there. What is wrong with it shows when it starts.
    fn subdag(&mut self, path: &str, dir: &str, depth: usize) {
        let files: BTreeMap<String, String> = self.bundle.sources.clone();
        let loading = Loading {
            path,
            dir: Some(dir),
            rescue: None,
        };
        let (Some(dag), _) = Dag::load_as(&loading, &files) else {
            return;
        };
        for (at, node) in (0..).zip(dag.named()) {
            let scripts = [&node.scripts.pre, &node.scripts.post, &node.scripts.hold];
            let mut wanted: Vec<String> = scripts
                .into_iter()
                .flatten()
                .map(|script| join_path(&node.dir, &script.program))
                .collect();
            if let NodeKind::Subdag {
                file,
                reads: Reads::Dag,
            } = &node.kind
                && depth < DEPTH_MAX
            {
                self.subdag(&join_path(&node.dir, file), &node.dir, depth + 1);
            }
            let macros = dag.sample_macros(at);
            if let Some(submit) = dag.submit_of(at)
                && let Ok(items) = submit.procs(&macros)
            {
                for proc in (0..u32::MAX).take_while(|proc| u64::from(*proc) < items.len()) {
                    let Ok(spec) = submit.expand(&macros, 0, proc, items.row(proc)) else {
                        break;
                    };
                    wanted.extend(input_paths(&node.dir, &spec));
                }
            }
            for path in wanted {
                self.take_what_is_there(&path);
            }
        }
    }

    fn take_what_is_there(&mut self, path: &str) {
        let on_disk = self.bundle.directory.join(path);
        if on_disk.is_file() {
            self.found.insert(path.to_owned());
            return;
        }
        // Links may lead in circles.
        let mut seen = BTreeSet::new();
        let mut ahead = vec![(path.to_owned(), 0)];
        while let Some((dir, depth)) = ahead.pop() {
            let on_disk = self.bundle.directory.join(&dir);
            if !fs::canonicalize(&on_disk).is_ok_and(|real| seen.insert(real)) {
                continue;
            }
            for (name, kind) in entries(&on_disk).unwrap_or_default() {
                let path = join_path(&dir, &name);
                match kind {
                    Kind::File if self.found.len() < FILES_MAX => {
                        self.found.insert(path);
                    }
                    Kind::Directory if depth < DEPTH_MAX => ahead.push((path, depth + 1)),
                    Kind::File | Kind::Directory => {}
                }
            }
        }
    }

    /// Hands over the jobs of a description one by one: there may be millions. What is wrong with
    /// any is kept.
    fn cluster(&mut self, submit: &Submit, macros: &Macros, each: impl Fn(&mut Self, JobSpec)) {
        let items = match submit.procs(macros) {
            Ok(items) => items,
            Err(found) => return self.diagnostics.append(found),
        };
        // Where nothing but a number differs between jobs, the first speaks for all.
        let alike = match submit.uses().kind(macros, &items.vars).differs {
            Differs::Nothing => true,
            Differs::Lightly => items.vars.is_empty(),
            Differs::Anything => false,
        };
        let count = if alike {
            items.len().min(1)
        } else {
            items.len()
        };
        for proc in (0..u32::MAX).take_while(|proc| u64::from(*proc) < count) {
            match submit.expand(macros, 0, proc, items.row(proc)) {
                Ok(spec) => each(self, spec),
                // The jobs of one description are alike, and so are their errors.
                Err(found) => return self.diagnostics.append(found),
            }
        }
    }

    fn job(&mut self, place: Place<'_>, node_dir: &str, spec: &JobSpec) {
        let dir = join_path(node_dir, &spec.initial_dir);
        let staged = spec.universe == Universe::Vanilla
            && spec.transfer_executable == TransferExecutable::Staged;
        let executable = staged.then_some(&spec.executable);
        for path in spec
            .transfer_input
            .iter()
            .chain(&spec.stdin)
            .chain(executable)
        {
            let place = Place {
                written: path,
                ..place
            };
            if path.contains("://") {
                self.blame(place, path, "is a URL, and only files are transferred");
            } else if path.contains("$$(") {
                self.open(place, &join_path(&dir, path));
            } else {
                self.input(place, &join_path(&dir, path));
            }
        }
    }

    fn input(&mut self, place: Place<'_>, path: &str) {
        if self.found.contains(path) || self.wrong.contains_key(path) {
            return;
        }
        let origin = self.origin(place, path);
        if origin == Origin::Declared {
            return;
        }
        let on_disk = self.bundle.directory.join(path);
        match fs::metadata(&on_disk) {
            Ok(meta) if meta.is_dir() => self.directory(place, path),
            Ok(meta) if meta.is_file() || path == NULL => self.file(place, path),
            Ok(_) => self.blame(place, path, "is neither a file nor a directory"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match origin {
                Origin::Possible => {}
                Origin::Declared | Origin::Nobody => {
                    let hint = match place.node {
                        None => "put it there, or correct the description",
                        Some(_) => "no node before this one declares it as an output",
                    };
                    self.blame(place, path, &format!("is not there; {hint}"));
                }
            },
            Err(error) => self.blame(place, path, &format!("cannot be read: {}", said(&error))),
        }
    }

    /// Takes every file that a path may become when a machine fills in its `$$(…)`.
    fn open(&mut self, place: Place<'_>, path: &str) {
        if self.found.contains(path) || self.wrong.contains_key(path) {
            return;
        }
        let before = path.find("$$(").unwrap_or(0);
        let top = path[..before].rfind('/').map_or("", |at| &path[..at]);
        let mut ahead = vec![(top.to_owned(), 0)];
        let mut fitting = 0;
        while let Some((dir, depth)) = ahead.pop() {
            let listed = entries(&self.bundle.directory.join(&dir)).unwrap_or_default();
            for (name, kind) in listed {
                let own = join_path(&dir, &name);
                let fits = may_become(path.trim_end_matches('/'), &own);
                fitting += usize::from(fits);
                match (kind, fits) {
                    (Kind::File, true) => self.input(place, &own),
                    (Kind::Directory, true) => self.directory(place, &own),
                    (Kind::Directory, false) if depth < OPEN_DEPTH_MAX => {
                        ahead.push((own, depth + 1));
                    }
                    (Kind::File | Kind::Directory, false) => {}
                }
            }
        }
        if fitting == 0 {
            self.blame(
                place,
                path,
                "is filled in at match time, and nothing fits it",
            );
        }
    }

    fn origin(&mut self, place: Place<'_>, path: &str) -> Origin {
        match place.node {
            None => Origin::Nobody,
            Some((dag, node)) => self.produced.origin(dag, node, path),
        }
    }

    /// Takes a directory with all it holds.
    fn directory(&mut self, place: Place<'_>, path: &str) {
        let mut ahead = vec![(path.to_owned(), 0)];
        while let Some((path, depth)) = ahead.pop() {
            if depth > DEPTH_MAX {
                self.blame(
                    place,
                    &path,
                    &format!("lies deeper than {DEPTH_MAX} (DEPTH_MAX)"),
                );
                return;
            }
            let entries = match entries(&self.bundle.directory.join(&path)) {
                Ok(entries) => entries,
                Err(reason) => {
                    return self.blame(place, &path, &format!("cannot be read: {reason}"));
                }
            };
            for (name, kind) in entries {
                let path = join_path(&path, &name);
                match kind {
                    Kind::Directory => ahead.push((path, depth + 1)),
                    Kind::File if self.origin(place, &path) == Origin::Declared => {}
                    Kind::File => self.file(place, &path),
                }
            }
        }
    }

    fn file(&mut self, place: Place<'_>, path: &str) {
        if self.found.len() >= FILES_MAX {
            return self.blame(
                place,
                path,
                &format!("is one too many: {FILES_MAX} (FILES_MAX)"),
            );
        }
        if self.found.contains(path) {
            return;
        }
        match File::open(self.bundle.directory.join(path)) {
            Ok(_) => {
                self.found.insert(path.to_owned());
            }
            Err(error) => self.blame(place, path, &format!("cannot be read: {}", said(&error))),
        }
    }

    fn blame(&mut self, place: Place<'_>, path: &str, what: &str) {
        let mut at = self.bundle.as_typed(&place.submit.file);
        let text = self.bundle.sources.get(&place.submit.file);
        if let Some(line) = text.and_then(|text| line_of(text, place.written)) {
            at.push_str(&format!(", line {line}"));
        }
        if let Some((dag, node)) = place.node {
            let node = &dag.nodes[node as usize];
            let file = self.bundle.as_typed(&dag.file);
            at.push_str(&format!(
                ", for node {} ({file}, line {})",
                node.name, node.line
            ));
        }
        let shown = self.bundle.as_typed(path);
        let line = format!("{at}: input file {shown} {what}");
        self.wrong.entry(path.to_owned()).or_insert(line);
    }

    fn finish(self) -> Result<Found, Failure> {
        if self.diagnostics.has_errors() || !self.wrong.is_empty() {
            if self.diagnostics.has_errors() {
                complain(self.diagnostics.render().trim_end());
            }
            for line in self.wrong.values().take(NAMED_MAX) {
                complain(&format!("error: {line}"));
            }
            if self.wrong.len() > NAMED_MAX {
                complain(&format!("and {} more", self.wrong.len() - NAMED_MAX));
            }
            let errors = self.diagnostics.errors().count() + self.wrong.len();
            return Err(Failure::Rejected {
                file: self.bundle.as_typed(&self.bundle.main),
                errors: count(errors as u64, "error"),
            });
        }
        Ok(Found(self.found))
    }
}

/// Whether a program without a directory is found in `PATH`, or one with its whole path is there.
fn is_program(program: &str) -> bool {
    if program.contains('/') {
        return program.starts_with('/') && Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The line on which a path is written, or, where a macro stands for it, that of the input files.
fn line_of(text: &str, written: &str) -> Option<usize> {
    const COMMAND: &str = "transfer_input_files";
    let begins = |line: &str| line.trim_start().to_ascii_lowercase().starts_with(COMMAND);
    let comment = |line: &str| line.trim_start().starts_with('#');
    let by_path = text
        .lines()
        .position(|line| line.contains(written) && !comment(line));
    by_path
        .or_else(|| text.lines().position(begins))
        .map(|at| at + 1)
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Directory,
}

/// Names and kinds in a directory; links are followed. What is neither file nor directory is not
/// taken.
fn entries(path: &Path) -> Result<Vec<(String, Kind)>, String> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| said(&error))? {
        let entry = entry.map_err(|error| said(&error))?;
        let meta = fs::metadata(entry.path()).map_err(|error| {
            format!("{}: {}", entry.file_name().to_string_lossy(), said(&error))
        })?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| format!("{}: not UTF-8", name.to_string_lossy()))?;
        match (meta.is_file(), meta.is_dir()) {
            (true, _) => entries.push((name, Kind::File)),
            (_, true) => entries.push((name, Kind::Directory)),
            (false, false) => {}
        }
    }
    Ok(entries)
}
