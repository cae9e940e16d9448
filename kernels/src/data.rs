//! Tables: what a file holds, before anything is learned from it.
//!
//! A [`Table`] is columns of cells as the file gave them, each with a place (`file:line:column`)
//! for the errors of whoever reads it. What a column means (number or category), what a blank
//! means, and the statistics of the training part are the [`Encoder`]'s. No training here.
//!
//! Submodules: `csv_file`, `parquet_file` (readers and writers), `encode` (schema, statistics,
//! encoding), [`split`](mod@split) (train/validation/test), [`synth`](mod@synth) (a seeded example), `error`.

pub mod split;
pub mod synth;

mod csv_file;
mod encode;
mod error;
mod parquet_file;

use std::path::Path;

pub use encode::{Encoded, Encoder, Feature, Missing, Schema, Target, Task};
pub use error::{DataError, Place};
pub use split::{FRACTIONS, Split, SplitFiles, split};
pub use synth::{Synthetic, synth};

/// Most bytes of one table file.
pub const FILE_BYTES_MAX: u64 = 8 << 30;
/// Most rows of one table.
pub const ROWS_MAX: usize = 100_000_000;
/// Most columns of one table.
pub const COLUMNS_MAX: usize = 4_096;
/// Most bytes of one cell.
pub const CELL_BYTES_MAX: usize = 4_096;
/// Most distinct values of one categorical column, the unknown one not counted.
pub const CATEGORIES_MAX: usize = 65_536;

/// The columns of one file, all of the same length.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The file's path as it was given, or a name for a table that was made in memory.
    source: String,
    rows: Lines,
    columns: Vec<Column>,
}

/// A named column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name in the header.
    pub name: String,
    /// The cells, one a row.
    pub cells: Cells,
}

/// What the file says, unread: CSV gives text, Parquet gives its own types.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Text, blanks around it removed; an empty one is a missing value.
    Text(Texts),
    /// Finite numbers; NaN stands for a missing value and for nothing else.
    Numbers(Vec<f64>),
}

/// Many short strings in one allocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

/// Where each row stands in its file.
#[derive(Clone, Debug, PartialEq)]
enum Lines {
    /// A text file: the line on which each record starts.
    Each(Vec<u64>),
    /// Anything else: rows counted from 1.
    Counted(usize),
}

impl Table {
    /// Reads a `.csv` or a `.parquet` file; any other extension is an error.
    ///
    /// CSV: comma separated, RFC 4180 quotes, UTF-8, a header row of distinct names. Parquet: flat
    /// columns of booleans, integers, floats and strings.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        match Format::of(path)? {
            Format::Csv => csv_file::read(path),
            Format::Parquet => parquet_file::read(path),
        }
    }

    /// Writes a `.csv` or a `.parquet` file, whole or not at all. Numbers are written in the
    /// shortest form that reads back to the same bits.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        match Format::of(path)? {
            Format::Csv => csv_file::write(self, path),
            Format::Parquet => parquet_file::write(self, path),
        }
    }

    /// A table made in memory; `source` takes the file's place in messages.
    pub fn from_columns(source: &str, columns: Vec<Column>) -> Result<Self, DataError> {
        let rows = columns.first().map_or(0, |column| column.cells.len());
        assert!(
            columns.iter().all(|column| column.cells.len() == rows),
            "columns of one table have one length"
        );
        Self::new(source.to_owned(), Lines::Counted(rows), columns)
    }

    /// Number of rows, the header not counted; at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The columns in the file's order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The path or name it came from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The column called `name`, or an error that names the nearest.
    pub fn column(&self, name: &str) -> Result<&Column, DataError> {
        self.columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| {
                let names = || self.columns.iter().map(|column| column.name.as_str());
                DataError::MissingColumn {
                    file: self.source.clone(),
                    column: name.to_owned(),
                    suggestion: crate::names::did_you_mean(name, names()),
                    columns: crate::names::list(names()),
                }
            })
    }

    /// A table of the given rows, in the given order; each keeps its place in the first file.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|column| Column {
            name: column.name.clone(),
            cells: column.cells.select(rows),
        });
        let lines = rows.iter().map(|row| self.rows.line(*row)).collect();
        Self {
            source: self.source.clone(),
            rows: Lines::Each(lines),
            columns: columns.collect(),
        }
    }

    /// Where a cell stands, for messages. `row` counts from 0.
    #[must_use]
    pub fn place(&self, row: usize, column: &str) -> Place {
        Place {
            file: self.source.clone(),
            line: self.rows.line(row),
            column: column.to_owned(),
        }
    }

    /// The one way to a table: checks what every reader must hold.
    fn new(source: String, rows: Lines, columns: Vec<Column>) -> Result<Self, DataError> {
        if rows.len() == 0 {
            return Err(DataError::NoRows { file: source });
        }
        Self::check_header(&source, columns.iter().map(|column| column.name.as_str()))?;
        Ok(Self {
            source,
            rows,
            columns,
        })
    }

    fn check_header<'a>(
        source: &str,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), DataError> {
        let mut seen = std::collections::BTreeSet::new();
        for (index, name) in names.enumerate() {
            if name.is_empty() {
                return Err(DataError::BlankHeader {
                    file: source.to_owned(),
                    index: index + 1,
                });
            }
            if !seen.insert(name) {
                let (file, column) = (source.to_owned(), name.to_owned());
                return Err(DataError::DuplicateColumn { file, column });
            }
        }
        within(
            source,
            "columns",
            "COLUMNS_MAX",
            seen.len() as u64,
            COLUMNS_MAX as u64,
        )
    }
}

impl Cells {
    /// Number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(texts) => texts.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cell as it would be written; empty for a missing value.
    #[must_use]
    pub fn text(&self, row: usize) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(texts) => texts.get(row).into(),
            Self::Numbers(numbers) if numbers[row].is_nan() => "".into(),
            Self::Numbers(numbers) => numbers[row].to_string().into(),
        }
    }

    fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Text(texts) => Self::Text(rows.iter().map(|row| texts.get(*row)).collect()),
            Self::Numbers(numbers) => Self::Numbers(rows.iter().map(|row| numbers[*row]).collect()),
        }
    }
}

impl Texts {
    /// Adds one string at the end.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    /// The string at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Number of strings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(items: I) -> Self {
        let mut texts = Self::default();
        items.into_iter().for_each(|item| texts.push(item));
        texts
    }
}

impl Lines {
    fn len(&self) -> usize {
        match self {
            Self::Each(lines) => lines.len(),
            Self::Counted(rows) => *rows,
        }
    }

    fn line(&self, row: usize) -> u64 {
        match self {
            Self::Each(lines) => lines[row],
            Self::Counted(_) => row as u64 + 1,
        }
    }
}

/// A file format, told by the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.csv`
    Csv,
    /// `.parquet`
    Parquet,
}

impl Format {
    /// The format of a path, by its extension, without case.
    pub fn of(path: &Path) -> Result<Self, DataError> {
        let extension = path
            .extension()
            .map(|ext| ext.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            Some(_) | None => Err(DataError::Extension {
                file: path.display().to_string(),
            }),
        }
    }

    /// The extension, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// Refuses a count above its limit, naming the limit.
fn within(
    source: &str,
    what: &'static str,
    limit_name: &'static str,
    found: u64,
    limit: u64,
) -> Result<(), DataError> {
    if found <= limit {
        return Ok(());
    }
    Err(DataError::Limit {
        file: source.to_owned(),
        what,
        limit_name,
        found,
        limit,
    })
}
