//! `data synth|split`: example tables, made and split by `kernels`.

use std::path::Path;

use kernels::data::split::{FRACTIONS, Split};
use kernels::data::{DataError, Format, Table, split, synth};

use crate::args;
use crate::exit::{Exit, Failure};
use crate::output;

pub fn run(args: args::Data) -> Result<Exit, Failure> {
    match args {
        args::Data::Synth {
            region,
            rows,
            seed,
            out,
        } => {
            let rows = rows.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
            let made = synth(&region, rows, seed).map_err(failure)?;
            let parts = split(&made.table, FRACTIONS, seed).map_err(failure)?;
            write(&parts, &out, Format::Csv)?;
            output::print(&format!(
                "no model's rmse is expected below {:.4}\n",
                made.noise_sd
            ))?;
        }
        args::Data::Split { file, seed, out } => {
            let format = Format::of(&file).map_err(failure)?;
            let table = Table::load(&file).map_err(failure)?;
            let parts = split(&table, FRACTIONS, seed).map_err(failure)?;
            write(&parts, &out, format)?;
        }
    }
    Ok(Exit::Ok)
}

fn write(parts: &Split, out: &Path, format: Format) -> Result<(), Failure> {
    let files = parts.write(out, format).map_err(failure)?;
    let line = |path: &Path, table: &Table| format!("{}: {} rows\n", path.display(), table.rows());
    let mut text = line(&files.train, &parts.train) + &line(&files.validation, &parts.validation);
    if let (Some(path), Some(table)) = (&files.test, &parts.test) {
        text.push_str(&line(path, table));
    }
    output::print(&text)
}

fn failure(error: DataError) -> Failure {
    Failure::Usage(error.to_string())
}
