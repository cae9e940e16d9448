//! A table in three parts: train, validation, test. Every row goes to exactly one, by seed.

use std::path::{Path, PathBuf};

use super::{DataError, Format, Table};
use crate::random::Stream;

/// Shares of train, validation and test where nobody says: 60, 20 and 20 per cent.
pub const FRACTIONS: [f64; 3] = [0.6, 0.2, 0.2];

/// How far the fractions may be from adding up to 1.
const ROUNDING: f64 = 1e-6;

/// The parts of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To learn from.
    pub train: Table,
    /// To choose by.
    pub validation: Table,
    /// To be held out; absent where its fraction is 0.
    pub test: Option<Table>,
}

/// The files of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFiles {
    /// `train.csv` or `train.parquet`
    pub train: PathBuf,
    /// `validation.csv` or `validation.parquet`
    pub validation: PathBuf,
    /// `test.csv` or `test.parquet`
    pub test: Option<PathBuf>,
}

/// Draws the rows of each part without replacement. `fractions` are the shares of train,
/// validation and test: they add up to 1, the first two above 0. The order of the rows is drawn
/// too, so a file that is sorted gives parts that are not.
pub fn split(table: &Table, fractions: [f64; 3], seed: u64) -> Result<Split, DataError> {
    let usable = fractions.iter().all(|share| (0.0..=1.0).contains(share))
        && (fractions.iter().sum::<f64>() - 1.0).abs() < ROUNDING
        && fractions[0] > 0.0
        && fractions[1] > 0.0;
    if !usable {
        return Err(DataError::Fractions { fractions });
    }
    let rows = table.rows();
    let up_to = |share: f64| ((rows as f64 * share).round() as usize).min(rows);
    let trained = up_to(fractions[0]);
    // Without a test part the validation part takes what rounding leaves.
    let tested = fractions[2] > 0.0;
    let validated = if tested {
        up_to(fractions[0] + fractions[1])
    } else {
        rows
    };
    let sizes = [trained, validated - trained, rows - validated];
    for (size, part) in sizes.into_iter().zip(["train", "validation", "test"]) {
        if size == 0 && (part != "test" || tested) {
            let file = table.source().to_owned();
            return Err(DataError::TooFewRows {
                file,
                rows,
                fractions,
                part,
            });
        }
    }
    let mut order: Vec<usize> = (0..rows).collect();
    Stream::named(seed, "split").shuffle(&mut order);
    Ok(Split {
        train: table.select(&order[..trained]),
        validation: table.select(&order[trained..validated]),
        test: tested.then(|| table.select(&order[validated..])),
    })
}

impl Split {
    /// Writes the parts into a folder, which is made if it is not there, as `train`, `validation`
    /// and `test` with the format's extension. Each file is whole or absent.
    pub fn write(&self, target_dir: &Path, format: Format) -> Result<SplitFiles, DataError> {
        let write = |table: &Table, name: &str| {
            let path = target_dir.join(format!("{name}.{}", format.extension()));
            table.write(&path).map(|()| path)
        };
        Ok(SplitFiles {
            train: write(&self.train, "train")?,
            validation: write(&self.validation, "validation")?,
            test: self
                .test
                .as_ref()
                .map(|test| write(test, "test"))
                .transpose()?,
        })
    }
}
