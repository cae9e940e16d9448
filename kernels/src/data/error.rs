//! What can be wrong with a table, each in one sentence with its place.

use std::fmt;

/// A cell, written `file:line:column name`. Parquet has no lines: its rows count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path as it was given.
    pub file: String,
    /// Line of the file, from 1, the header counted; for Parquet the row, from 1.
    pub line: u64,
    /// The column's name.
    pub column: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A table that cannot be read, understood or written.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{file}: cannot be read")]
    Read {
        file: String,
        source: std::io::Error,
    },
    #[error("{file}: cannot be written")]
    Write {
        file: String,
        source: std::io::Error,
    },
    #[error("{file}: expected a file ending in .csv or .parquet")]
    Extension { file: String },
    #[error("{file}: the file is empty; expected a header row and at least one row of values")]
    Empty { file: String },
    #[error("{file}: there are no rows below the header; expected at least one")]
    NoRows { file: String },
    #[error("{file}:1: column {index} has no name; expected a header row of distinct names")]
    BlankHeader { file: String, index: usize },
    #[error("{file}:1:{column}: the name stands twice in the header; expected distinct names")]
    DuplicateColumn { file: String, column: String },
    #[error("{file}:{line}: expected {expected} fields as in the header, found {found}")]
    RaggedRow {
        file: String,
        line: u64,
        expected: u64,
        found: u64,
    },
    #[error("{place}: expected UTF-8 text, found other bytes")]
    NotUtf8 { place: Place },
    #[error("{file}: not readable as CSV: {message}")]
    Csv { file: String, message: String },
    #[error("{file}: not readable as Parquet: {message}")]
    Parquet { file: String, message: String },
    #[error(
        "{file}: column `{column}` is of the type {found}; expected booleans, integers, \
             floats or strings, not nested"
    )]
    ParquetType {
        file: String,
        column: String,
        found: String,
    },
    #[error("{file}: column `{column}` is not there{suggestion}; columns: {columns}")]
    MissingColumn {
        file: String,
        column: String,
        suggestion: String,
        columns: String,
    },
    #[error("{place}: expected a number, found `{cell}`{advice}")]
    NotANumber {
        place: Place,
        cell: String,
        advice: &'static str,
    },
    #[error("{place}: expected a finite number, found `{cell}`")]
    NotFinite { place: Place, cell: String },
    #[error("{place}: the value is missing; fill it in, or set missing = \"mean\"")]
    Blank { place: Place },
    #[error("{place}: the target is missing; every row needs one")]
    BlankTarget { place: Place },
    #[error("{place}: class `{cell}` does not occur in the training part; classes: {classes}")]
    UnknownClass {
        place: Place,
        cell: String,
        classes: String,
    },
    #[error("{file}: target `{column}` has {found} classes in the training part; {expected}")]
    Classes {
        file: String,
        column: String,
        found: usize,
        expected: String,
    },
    #[error("{file}: there is no column to learn from besides the target `{target}`")]
    NoFeatures { file: String, target: String },
    #[error("{file}: column `{column}` is the target; it cannot be {role} as well")]
    TargetTwice {
        file: String,
        column: String,
        role: &'static str,
    },
    #[error("{file}: {found} {what} are more than {limit} ({limit_name})")]
    Limit {
        file: String,
        what: &'static str,
        limit_name: &'static str,
        found: u64,
        limit: u64,
    },
    #[error(
        "split fractions {fractions:?} are not usable; expected three from 0 to 1 that add \
             up to 1, the first two above 0"
    )]
    Fractions { fractions: [f64; 3] },
    #[error("{file}: {rows} rows are too few for the split {fractions:?}; {part} would be empty")]
    TooFewRows {
        file: String,
        rows: usize,
        fractions: [f64; 3],
        part: &'static str,
    },
    #[error("cannot make a table of {rows} rows; expected {min} to {max}")]
    SynthRows { rows: usize, min: usize, max: usize },
}
