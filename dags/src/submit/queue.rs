//! The queue statement: how many jobs, and the rows of their items.

use serde::{Deserialize, Serialize};

use super::glob::{self, Kinds};
use super::parse::Lines;

/// What a queue statement may look like.
pub(super) const FORMS: &str = "`queue [n]`, `queue [n] [v,…] in (a, b)`, `queue [n] v from file`, \
                               `… from ( lines )` or `… matching [files|dirs] pattern`";

/// The default variable of a list.
const ITEM: &str = "Item";

/// The jobs of a cluster: `rows.len() × count_per_item` procs, row by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    pub count_per_item: u32,
    /// One value per variable in each; a single empty row where nothing is listed.
    pub rows: Vec<Vec<String>>,
    pub vars: Vec<String>,
}

/// A queue statement as written. The plan is there when no macro reaches into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queue {
    pub args: String,
    /// The lines of a list in parentheses that goes over lines.
    pub body: Vec<String>,
    pub plan: Option<Plan>,
}

/// A queue statement, understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// An expression; empty for 1.
    pub count: String,
    pub vars: Vec<String>,
    pub items: ItemSource,
    pub slice: Slice,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ItemSource {
    None,
    /// `in`: words, one per row.
    Words(String),
    /// `from (`: lines, one row each.
    Lines,
    /// `from file`.
    File(String),
    /// `from (a b)`: one row.
    Line(String),
    /// `matching`: files and directories by patterns.
    Matching {
        patterns: String,
        kinds: Kinds,
    },
}

/// A Python slice: `[start:stop:step]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slice {
    start: Option<i64>,
    stop: Option<i64>,
    step: Option<i64>,
}

impl Items {
    /// Jobs in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows.len() as u64 * u64::from(self.count_per_item)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of a proc, in the order of `vars`; empty past the end.
    #[must_use]
    pub fn row(&self, proc: u32) -> &[String] {
        let at = (proc / self.count_per_item.max(1)) as usize;
        self.rows.get(at).map_or(&[], Vec::as_slice)
    }
}

impl Queue {
    /// # Errors
    /// A sentence on what is malformed.
    pub fn new(args: String, body: Vec<String>) -> Result<Self, String> {
        let plan = match args.contains('$') {
            true => None,
            false => Some(Plan::parse(&args, &body)?),
        };
        Ok(Self { args, body, plan })
    }
}

impl Queue {
    /// Whether an item file is named, or would be by some macros.
    pub fn may_name_file(&self) -> bool {
        match &self.plan {
            None => true,
            Some(plan) => match plan.items {
                ItemSource::File(_) | ItemSource::Matching { .. } => true,
                ItemSource::None
                | ItemSource::Words(_)
                | ItemSource::Lines
                | ItemSource::Line(_) => false,
            },
        }
    }
}

impl Plan {
    /// # Errors
    /// A sentence on what is malformed.
    pub fn parse(args: &str, body: &[String]) -> Result<Self, String> {
        let Some((head, keyword, rest)) = split_keyword(args) else {
            return Ok(Self {
                count: args.trim().to_owned(),
                vars: Vec::new(),
                items: ItemSource::None,
                slice: Slice::default(),
            });
        };
        let (count, mut vars) = count_and_vars(head)?;
        if vars.is_empty() {
            vars.push(ITEM.to_owned());
        }
        let (mut slice, rest) = match keyword {
            // `[ab].dat` is a pattern and no slice.
            Keyword::Matching if !Slice::begins(rest.trim()) => (Slice::default(), rest.trim()),
            Keyword::In | Keyword::From | Keyword::Matching => Slice::parse(rest.trim())?,
        };
        let items = match keyword {
            Keyword::In => ItemSource::Words(list_of_words("in", rest, body)?),
            Keyword::From => from(rest)?,
            Keyword::Matching => {
                let (kinds, behind, rest) = kinds_of(rest)?;
                slice = behind.unwrap_or(slice);
                let patterns = list_of_words("matching", rest, body)?;
                ItemSource::Matching { patterns, kinds }
            }
        };
        Ok(Self {
            count,
            vars,
            items,
            slice,
        })
    }

    /// The rows before the slice; `file` is the text of the item file where there is one,
    /// `listing` gives the text of a directory.
    pub fn rows(
        &self,
        body: &[String],
        file: &str,
        listing: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Vec<Vec<String>> {
        match &self.items {
            ItemSource::None => vec![Vec::new()],
            ItemSource::Words(words) => self.first_of_each(words_of(words)),
            ItemSource::Lines => self.lines(body.iter().map(String::as_str)),
            ItemSource::Line(line) => self.lines(std::iter::once(line.as_str())),
            ItemSource::File(_) => self.lines(file.lines()),
            ItemSource::Matching { patterns, kinds } => {
                self.first_of_each(glob::glob(&words_of(patterns), *kinds, listing))
            }
        }
    }

    /// Rows of one value each: the other variables are empty.
    fn first_of_each(&self, values: Vec<String>) -> Vec<Vec<String>> {
        let row = |value| {
            let mut row = vec![String::new(); self.vars.len()];
            row[0] = value;
            row
        };
        values.into_iter().map(row).collect()
    }

    fn lines<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
        lines
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| split_row(line, self.vars.len()))
            .collect()
    }
}

impl Slice {
    /// Whether a text begins with a slice, as opposed to a pattern.
    fn begins(text: &str) -> bool {
        let inner = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        inner.is_some_and(|(inner, rest)| {
            rest.starts_with([' ', '\t', '('])
                && inner
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, ':' | '-' | ' '))
        })
    }

    /// Takes a slice off the front of a text, where there is one.
    fn parse(text: &str) -> Result<(Self, &str), String> {
        let Some(inner) = text.strip_prefix('[') else {
            return Ok((Self::default(), text));
        };
        let (inner, rest) = inner
            .split_once(']')
            .ok_or("a slice is not closed by `]`")?;
        let mut numbers = Vec::new();
        for part in inner.split(':') {
            numbers.push(match part.trim() {
                "" => None,
                part => Some(
                    part.parse::<i64>()
                        .map_err(|_| format!("`{part}` is no number of a slice"))?,
                ),
            });
        }
        let slice = match numbers[..] {
            // Unlike Python's: HTCondor reads a lone number as a start.
            [start] => Self {
                start,
                stop: None,
                step: None,
            },
            [start, stop] => Self {
                start,
                stop,
                step: None,
            },
            [start, stop, step] => Self { start, stop, step },
            _ => return Err(format!("`[{inner}]` is no slice")),
        };
        if slice.step.is_some_and(|step| step < 1) {
            return Err("the step of a slice is at least 1".to_owned());
        }
        Ok((slice, rest.trim_start()))
    }

    pub fn apply(self, rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
        let len = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let place = |at: i64| {
            if at < 0 {
                (len.saturating_add(at)).max(0)
            } else {
                at.min(len)
            }
        };
        let start = place(self.start.unwrap_or(0));
        let stop = place(self.stop.unwrap_or(len));
        let step = usize::try_from(self.step.unwrap_or(1)).unwrap_or(1);
        let skip = usize::try_from(start).unwrap_or(0);
        let take = usize::try_from(stop.saturating_sub(start)).unwrap_or(0);
        rows.into_iter()
            .skip(skip)
            .take(take)
            .step_by(step)
            .collect()
    }
}

/// Whether the list of a queue statement goes on in the next lines.
pub(super) fn is_open(args: &str) -> bool {
    match split_keyword(args) {
        Some((_, _, rest)) => rest.contains('(') && !rest.contains(')'),
        None => false,
    }
}

/// The lines up to the `)` that closes a list; `None` when the text ends first.
pub(super) fn body(lines: &mut Lines<'_>) -> Option<Vec<String>> {
    let mut body = Vec::new();
    loop {
        let (_, raw) = lines.raw()?;
        let line = raw.trim();
        if line.starts_with(')') {
            return Some(body);
        }
        if !line.is_empty() && !line.starts_with('#') {
            body.push(line.to_owned());
        }
    }
}

#[derive(Clone, Copy)]
enum Keyword {
    In,
    From,
    Matching,
}

/// The text before and after the first word that is a keyword.
fn split_keyword(args: &str) -> Option<(&str, Keyword, &str)> {
    let mut at = 0;
    for word in args.split([' ', '\t', ',', '(']) {
        let keyword = match word.to_ascii_lowercase().as_str() {
            "in" => Some(Keyword::In),
            "from" => Some(Keyword::From),
            "matching" => Some(Keyword::Matching),
            _ => None,
        };
        if let Some(keyword) = keyword {
            return Some((&args[..at], keyword, &args[at + word.len()..]));
        }
        // Each separator is one byte long.
        at += word.len() + 1;
    }
    None
}

/// `3 x, y` is a count and names: the names stand last, what is before them is an expression.
fn count_and_vars(head: &str) -> Result<(String, Vec<String>), String> {
    let mut rest = head.trim_end_matches([' ', '\t', ',']);
    let mut vars = Vec::new();
    while !rest.is_empty() {
        let at = rest.rfind([' ', '\t', ',']).map_or(0, |at| at + 1);
        let word = &rest[at..];
        if !is_variable(word) {
            break;
        }
        vars.push(word.to_owned());
        rest = rest[..at].trim_end_matches([' ', '\t', ',']);
    }
    vars.reverse();
    let count = rest.trim().to_owned();
    if !count.is_empty()
        && let Err(error) = classad::Expr::parse(&count)
    {
        return Err(format!(
            "`{count}` is neither a count nor the name of a variable: {error}"
        ));
    }
    Ok((count, vars))
}

fn is_variable(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

/// `(a, b)`, `a, b`, or `(` with the rest in the body.
fn list_of_words(keyword: &str, rest: &str, body: &[String]) -> Result<String, String> {
    let Some(inner) = rest.strip_prefix('(') else {
        return match rest.is_empty() {
            true => Err(format!("`{keyword}` without a list")),
            false => Ok(rest.to_owned()),
        };
    };
    if let Some(inner) = inner.strip_suffix(')') {
        return Ok(inner.to_owned());
    }
    if inner.contains(')') {
        return Err("text after the `)` of a list".to_owned());
    }
    Ok(format!("{inner}\n{}", body.join("\n")))
}

/// The words of a list.
fn words_of(list: &str) -> Vec<String> {
    list.split([',', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The front of `files [1:] a* b*`, and what is left of it.
fn kinds_of(rest: &str) -> Result<(Kinds, Option<Slice>, &str), String> {
    let end = rest.find([' ', '\t', '(', '[']).unwrap_or(rest.len());
    let (kinds, rest) = match rest[..end].to_ascii_lowercase().as_str() {
        "files" => (Kinds::Files, rest[end..].trim_start()),
        "dirs" => (Kinds::Directories, rest[end..].trim_start()),
        "any" => (Kinds::All, rest[end..].trim_start()),
        _ => (Kinds::All, rest),
    };
    if !Slice::begins(rest) {
        return Ok((kinds, None, rest));
    }
    let (slice, rest) = Slice::parse(rest)?;
    Ok((kinds, Some(slice), rest))
}

fn from(rest: &str) -> Result<ItemSource, String> {
    if rest.is_empty() {
        return Err("`from` without a file".to_owned());
    }
    if rest.ends_with('|') {
        return Err("`from` the output of a command is not supported".to_owned());
    }
    match rest.strip_prefix('(') {
        Some(inner) => match inner.strip_suffix(')') {
            Some(line) => Ok(ItemSource::Line(line.to_owned())),
            None if !inner.trim().is_empty() => {
                Err("the lines of `from (` begin on the next line".to_owned())
            }
            None => Ok(ItemSource::Lines),
        },
        None => Ok(ItemSource::File(rest.to_owned())),
    }
}

/// One value per variable: separated by a comma or white space, the last takes the rest of the
/// line.
pub(crate) fn split_row(line: &str, vars: usize) -> Vec<String> {
    let mut row = Vec::with_capacity(vars);
    let mut rest = line.trim();
    while row.len() + 1 < vars {
        let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
        row.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    if vars > 0 {
        row.push(rest.to_owned());
    }
    row
}
