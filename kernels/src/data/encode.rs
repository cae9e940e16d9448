//! From a table to what a network reads: the schema and the statistics, fitted on the training
//! part alone, and the encoding of any other part by them.
//!
//! - A column is numeric if all its values read as numbers, or a category if it is declared so or
//!   does not read as numbers. A column that nearly reads as numbers is an error, not a category.
//! - Numbers are standardized with the mean and standard deviation of the training part, in f64,
//!   once: raw values (timestamps, ids) may need more digits than f32 has.
//! - A category is an index from 1 in order of name; 0 is kept for blanks and for what training
//!   did not see.
//! - A blank number is an error unless [`Missing::Mean`] says to take the training mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CATEGORIES_MAX, Cells, Column, DataError, Table, within};

/// Most classes of a target.
pub const CLASSES_MAX: usize = 1_024;

/// Standardized numbers are held to this many standard deviations: a column that was nearly
/// constant in the training part must not overwhelm the network where it is not.
pub const STANDARDIZED_MAX: f64 = 10.0;

/// A column with this share of numbers or more was meant to be numeric.
const NUMERIC_SHARE: f64 = 0.9;

/// What to do with a blank number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Refuse, naming the place.
    #[default]
    Error,
    /// Take the mean of the training part.
    Mean,
}

/// What is to be learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Text: binary for two classes, multiclass for more. Numbers: binary if all are 0 or 1,
    /// regression otherwise.
    #[default]
    Auto,
    /// A real number, by squared error.
    Regression,
    /// One of two classes, by log loss. The second class in order counts as positive.
    Binary,
    /// One of up to [`CLASSES_MAX`] classes, by log loss.
    Multiclass,
}

/// How to read the columns of a table.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The column to predict.
    pub target: String,
    /// What to predict of it.
    pub task: Task,
    /// Columns to take as categories whatever they look like.
    pub categorical: Vec<String>,
    /// Columns to leave out.
    pub ignore: Vec<String>,
    /// What to do with blank numbers.
    pub missing: Missing,
}

/// What the training part taught about the columns; enough to encode any other part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// The inputs: all numeric ones, then all categorical ones, each in the file's order.
    pub features: Vec<Feature>,
    /// What is predicted.
    pub target: Target,
    /// What to do with blank numbers.
    pub missing: Missing,
}

/// One input column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Feature {
    /// Enters the network as `(value − mean) / sd`, held to ±[`STANDARDIZED_MAX`]. The `sd` of a
    /// constant column is 1.
    Numeric { name: String, mean: f64, sd: f64 },
    /// Enters the network by an embedding of `levels.len() + 1` rows; row 0 is the unknown.
    Categorical { name: String, levels: Vec<String> },
}

/// The column to predict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Target {
    /// A number; the network predicts `(value − mean) / sd`.
    Regression { name: String, mean: f64, sd: f64 },
    /// Two classes; the network predicts the log odds of the second.
    Binary { name: String, classes: Vec<String> },
    /// Classes; the network predicts a score for each.
    Multiclass { name: String, classes: Vec<String> },
}

/// A table as numbers, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// Number of rows.
    pub rows: usize,
    /// Standardized numbers, `[rows, numeric features]`.
    pub numeric: Vec<f32>,
    /// Category indices, `[rows, categorical features]`, each below its embedding's rows.
    pub ids: Vec<u32>,
    /// The target, `[rows]`: standardized value or class index. Empty if the table has none.
    pub target: Vec<f32>,
}

impl Encoder {
    /// Learns the schema, the statistics and the vocabularies of the training part.
    pub fn fit(table: &Table, schema: &Schema) -> Result<Self, DataError> {
        let target_column = table.column(&schema.target)?;
        for name in schema.categorical.iter().chain(&schema.ignore) {
            table.column(name)?;
        }
        if schema.ignore.contains(&schema.target) {
            return Err(DataError::TargetTwice {
                file: table.source().to_owned(),
                column: schema.target.clone(),
                role: "ignored",
            });
        }
        let target = Target::fit(table, target_column, schema.task)?;
        let (mut features, mut categorical) = (Vec::new(), Vec::new());
        for column in table.columns() {
            if column.name == schema.target || schema.ignore.contains(&column.name) {
                continue;
            }
            if schema.categorical.contains(&column.name) || !reads_as_numbers(table, column)? {
                let levels = levels(table, column)?;
                categorical.push(Feature::Categorical {
                    name: column.name.clone(),
                    levels,
                });
            } else {
                features.push(Feature::fit_numeric(table, column, schema.missing)?);
            }
        }
        features.extend(categorical);
        if features.is_empty() {
            let (file, target) = (table.source().to_owned(), schema.target.clone());
            return Err(DataError::NoFeatures { file, target });
        }
        Ok(Self {
            features,
            target,
            missing: schema.missing,
        })
    }

    /// Encodes a part that has the target column.
    pub fn encode(&self, table: &Table) -> Result<Encoded, DataError> {
        let mut encoded = self.encode_inputs(table)?;
        encoded.target = self.target.encode(table)?;
        Ok(encoded)
    }

    /// Encodes the inputs alone, for prediction; a target column is not looked at.
    pub fn encode_inputs(&self, table: &Table) -> Result<Encoded, DataError> {
        let rows = table.rows();
        let (numbers, categories) = (self.numeric_features(), self.categorical_features());
        let mut numeric = vec![0.0; rows * numbers];
        let mut ids = vec![0; rows * categories];
        for (index, feature) in self.features.iter().enumerate() {
            let column = table.column(feature.name())?;
            match feature {
                Feature::Numeric { mean, sd, .. } => {
                    for row in 0..rows {
                        let value = number(table, column, row)?;
                        let value = self.filled(table, column, row, value, *mean)?;
                        let value = (value - mean) / sd;
                        let value = value.clamp(-STANDARDIZED_MAX, STANDARDIZED_MAX);
                        numeric[row * numbers + index] = value as f32;
                    }
                }
                Feature::Categorical { levels, .. } => {
                    let known = Known::new(levels);
                    for row in 0..rows {
                        let id = known.index(&column.cells.text(row)).map_or(0, |id| id + 1);
                        ids[row * categories + index - numbers] = id as u32;
                    }
                }
            }
        }
        Ok(Encoded {
            rows,
            numeric,
            ids,
            target: Vec::new(),
        })
    }

    /// Number of numeric inputs.
    #[must_use]
    pub fn numeric_features(&self) -> usize {
        self.features
            .iter()
            .filter(|f| matches!(f, Feature::Numeric { .. }))
            .count()
    }

    /// Number of categorical inputs.
    #[must_use]
    pub fn categorical_features(&self) -> usize {
        self.features.len() - self.numeric_features()
    }

    fn filled(
        &self,
        table: &Table,
        column: &Column,
        row: usize,
        value: Option<f64>,
        mean: f64,
    ) -> Result<f64, DataError> {
        match (value, self.missing) {
            (Some(value), Missing::Error | Missing::Mean) => Ok(value),
            (None, Missing::Mean) => Ok(mean),
            (None, Missing::Error) => Err(DataError::Blank {
                place: table.place(row, &column.name),
            }),
        }
    }
}

impl Feature {
    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Numeric { name, .. } | Self::Categorical { name, .. } => name,
        }
    }

    fn fit_numeric(table: &Table, column: &Column, missing: Missing) -> Result<Self, DataError> {
        let mut moments = Moments::default();
        for row in 0..table.rows() {
            match (number(table, column, row)?, missing) {
                (Some(value), Missing::Error | Missing::Mean) => moments.add(value),
                (None, Missing::Mean) => {}
                (None, Missing::Error) => {
                    return Err(DataError::Blank {
                        place: table.place(row, &column.name),
                    });
                }
            }
        }
        let (mean, sd) = moments.mean_sd();
        Ok(Self::Numeric {
            name: column.name.clone(),
            mean,
            sd,
        })
    }
}

impl Target {
    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Regression { name, .. }
            | Self::Binary { name, .. }
            | Self::Multiclass { name, .. } => name,
        }
    }

    /// Width of the network's output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Self::Regression { .. } | Self::Binary { .. } => 1,
            Self::Multiclass { classes, .. } => classes.len(),
        }
    }

    fn fit(table: &Table, column: &Column, task: Task) -> Result<Self, DataError> {
        if let Some(row) = (0..table.rows()).find(|row| column.cells.text(*row).is_empty()) {
            return Err(DataError::BlankTarget {
                place: table.place(row, &column.name),
            });
        }
        let name = column.name.clone();
        match task {
            Task::Auto => Self::fit(table, column, guessed_task(table, column)?),
            Task::Regression => {
                let mut moments = Moments::default();
                for row in 0..table.rows() {
                    if let Some(value) = number(table, column, row)? {
                        moments.add(value);
                    }
                }
                let (mean, sd) = moments.mean_sd();
                Ok(Self::Regression { name, mean, sd })
            }
            Task::Binary => {
                let classes = classes(table, column, 2, "task binary expects exactly two")?;
                Ok(Self::Binary { name, classes })
            }
            Task::Multiclass => {
                let expected = format!("task multiclass expects 2 to {CLASSES_MAX} (CLASSES_MAX)");
                let classes = classes(table, column, CLASSES_MAX, &expected)?;
                Ok(Self::Multiclass { name, classes })
            }
        }
    }

    fn encode(&self, table: &Table) -> Result<Vec<f32>, DataError> {
        let column = table.column(self.name())?;
        let place = |row| table.place(row, &column.name);
        let rows = 0..table.rows();
        match self {
            Self::Regression { mean, sd, .. } => rows
                .map(|row| match number(table, column, row)? {
                    Some(value) => Ok(((value - mean) / sd) as f32),
                    None => Err(DataError::BlankTarget { place: place(row) }),
                })
                .collect(),
            Self::Binary { classes, .. } | Self::Multiclass { classes, .. } => {
                let known = Known::new(classes);
                rows.map(|row| {
                    let cell = column.cells.text(row);
                    known
                        .index(&cell)
                        .map(|index| index as f32)
                        .ok_or_else(|| match &*cell {
                            "" => DataError::BlankTarget { place: place(row) },
                            cell => DataError::UnknownClass {
                                place: place(row),
                                cell: cell.to_owned(),
                                classes: crate::names::list(classes.iter().map(String::as_str)),
                            },
                        })
                })
                .collect()
            }
        }
    }
}

/// Mean and variance in one pass (Welford, 1962).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }

    /// The standard deviation of a constant (or absent) column is given as 1, so that it can
    /// divide; so is one that overflowed.
    fn mean_sd(&self) -> (f64, f64) {
        let sd = (self.squares / self.count.max(1.0)).sqrt();
        (self.mean, if sd > 0.0 && sd.is_finite() { sd } else { 1.0 })
    }
}

/// Names to indices.
struct Known<'a>(BTreeMap<&'a str, usize>);

impl<'a> Known<'a> {
    fn new(names: &'a [String]) -> Self {
        Self(
            names
                .iter()
                .enumerate()
                .map(|(index, name)| (name.as_str(), index))
                .collect(),
        )
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }
}

/// The number in a cell, `None` if it is blank.
fn number(table: &Table, column: &Column, row: usize) -> Result<Option<f64>, DataError> {
    match &column.cells {
        Cells::Numbers(numbers) => Ok(Some(numbers[row]).filter(|number| !number.is_nan())),
        Cells::Text(texts) => match texts.get(row) {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Some(value)),
                Ok(_) => Err(DataError::NotFinite {
                    place: table.place(row, &column.name),
                    cell: text.to_owned(),
                }),
                Err(_) => Err(DataError::NotANumber {
                    place: table.place(row, &column.name),
                    cell: text.to_owned(),
                    advice: "",
                }),
            },
        },
    }
}

/// Whether a column is numeric. One that is so but for a few cells is an error at the first.
fn reads_as_numbers(table: &Table, column: &Column) -> Result<bool, DataError> {
    let Cells::Text(texts) = &column.cells else {
        return Ok(true);
    };
    let (mut numbers, mut others, mut first_other) = (0usize, 0usize, None);
    for (row, text) in texts
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.is_empty())
    {
        if text.parse::<f64>().is_ok() {
            numbers += 1;
        } else {
            others += 1;
            first_other.get_or_insert((row, text));
        }
    }
    let Some((row, cell)) = first_other else {
        return Ok(numbers > 0);
    };
    if numbers as f64 >= NUMERIC_SHARE * (numbers + others) as f64 {
        return Err(DataError::NotANumber {
            place: table.place(row, &column.name),
            cell: cell.to_owned(),
            advice: " where nearly all other values of the column are numbers; mend it, or \
                     declare the column categorical",
        });
    }
    Ok(false)
}

fn guessed_task(table: &Table, column: &Column) -> Result<Task, DataError> {
    if !reads_as_numbers(table, column)? {
        let two = distinct(column).len() <= 2;
        return Ok(if two { Task::Binary } else { Task::Multiclass });
    }
    for row in 0..table.rows() {
        if !matches!(number(table, column, row)?, Some(0.0 | 1.0)) {
            return Ok(Task::Regression);
        }
    }
    Ok(if distinct(column).len() == 2 {
        Task::Binary
    } else {
        Task::Regression
    })
}

/// The distinct values of a categorical column in order of name, blanks left out.
fn levels(table: &Table, column: &Column) -> Result<Vec<String>, DataError> {
    let found = distinct(column);
    within(
        table.source(),
        "categories in one column",
        "CATEGORIES_MAX",
        found.len() as u64,
        CATEGORIES_MAX as u64,
    )?;
    Ok(found)
}

fn classes(
    table: &Table,
    column: &Column,
    most: usize,
    expected: &str,
) -> Result<Vec<String>, DataError> {
    let mut found = distinct(column);
    if found.len() < 2 || found.len() > most {
        return Err(DataError::Classes {
            file: table.source().to_owned(),
            column: column.name.clone(),
            found: found.len(),
            expected: expected.to_owned(),
        });
    }
    // Labels that are numbers are ordered as such: 2 before 10.
    if found.iter().all(|class| class.parse::<f64>().is_ok()) {
        found.sort_by(|a, b| {
            let value = |class: &String| class.parse::<f64>().unwrap_or(f64::NAN);
            value(a).total_cmp(&value(b))
        });
    }
    Ok(found)
}

fn distinct(column: &Column) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for row in 0..column.cells.len() {
        let text = column.cells.text(row);
        if !text.is_empty() && !found.contains(&*text) {
            found.insert(text.into_owned());
        }
    }
    found.into_iter().collect()
}
