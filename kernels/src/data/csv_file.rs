//! CSV in and out: comma separated, RFC 4180 quotes, UTF-8, one header row.
//!
//! Cells stay text; what they mean is decided by the encoder. Blanks around a cell are removed.

use std::fs::File;
use std::path::Path;

use csv::{ByteRecord, ErrorKind, Position, Reader, ReaderBuilder, Trim};

use super::{
    CELL_BYTES_MAX, Cells, Column, DataError, FILE_BYTES_MAX, Lines, Place, ROWS_MAX, Table, Texts,
    within,
};

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Table, DataError> {
    let source = path.display().to_string();
    let mut reader = open(path, &source)?;
    let names = header(&mut reader, &source)?;
    Table::check_header(&source, names.iter().map(String::as_str))?;
    let mut columns: Vec<Texts> = vec![Texts::default(); names.len()];
    let mut lines = Vec::new();
    let mut record = ByteRecord::new();
    while reader
        .read_byte_record(&mut record)
        .map_err(|error| wrong(&source, &error))?
    {
        let line = record.position().map_or(0, Position::line);
        within(
            &source,
            "rows",
            "ROWS_MAX",
            lines.len() as u64 + 1,
            ROWS_MAX as u64,
        )?;
        lines.push(line);
        for ((field, texts), name) in record.iter().zip(&mut columns).zip(&names) {
            let place = || Place {
                file: source.clone(),
                line,
                column: name.clone(),
            };
            within(
                &source,
                "bytes in one cell",
                "CELL_BYTES_MAX",
                field.len() as u64,
                CELL_BYTES_MAX as u64,
            )?;
            let text =
                std::str::from_utf8(field).map_err(|_| DataError::NotUtf8 { place: place() })?;
            texts.push(text);
        }
    }
    let columns = names.into_iter().zip(columns);
    let columns = columns.map(|(name, texts)| Column {
        name,
        cells: Cells::Text(texts),
    });
    Table::new(source, Lines::Each(lines), columns.collect())
}

/// Writes a whole table.
pub(super) fn write(table: &Table, path: &Path) -> Result<(), DataError> {
    let file = path.display().to_string();
    crate::file::write_atomically(path, |out| {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(table.columns().iter().map(|column| &column.name))?;
        for row in 0..table.rows() {
            for column in table.columns() {
                writer.write_field(column.cells.text(row).as_bytes())?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        Ok(writer.flush()?)
    })
    .map_err(|error: csv::Error| write_error(file, error))
}

fn write_error(file: String, error: csv::Error) -> DataError {
    let message = error.to_string();
    match error.into_kind() {
        ErrorKind::Io(source) => DataError::Write { file, source },
        _ => DataError::Csv { file, message },
    }
}

fn open(path: &Path, source: &str) -> Result<Reader<File>, DataError> {
    let failed = |error| DataError::Read {
        file: source.to_owned(),
        source: error,
    };
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    within(source, "bytes", "FILE_BYTES_MAX", bytes, FILE_BYTES_MAX)?;
    Ok(ReaderBuilder::new()
        .trim(Trim::All)
        .buffer_capacity(1 << 16)
        .from_reader(file))
}

fn header(reader: &mut Reader<File>, source: &str) -> Result<Vec<String>, DataError> {
    let record = reader
        .byte_headers()
        .map_err(|error| wrong(source, &error))?;
    if record.is_empty() {
        return Err(DataError::Empty {
            file: source.to_owned(),
        });
    }
    let named = record.iter().enumerate().map(|(index, field)| {
        // Some programs mark UTF-8 files with a byte order mark; it is no part of the name.
        let field = field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field);
        std::str::from_utf8(field).map(str::to_owned).map_err(|_| {
            let column = format!("column {}", index + 1);
            DataError::NotUtf8 {
                place: Place {
                    file: source.to_owned(),
                    line: 1,
                    column,
                },
            }
        })
    });
    named.collect()
}

fn wrong(source: &str, error: &csv::Error) -> DataError {
    let file = source.to_owned();
    match error.kind() {
        ErrorKind::Io(cause) => DataError::Read {
            file,
            source: std::io::Error::new(cause.kind(), cause.to_string()),
        },
        ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => DataError::RaggedRow {
            file,
            line: pos.as_ref().map_or(0, Position::line),
            expected: *expected_len,
            found: *len,
        },
        _ => DataError::Csv {
            file,
            message: error.to_string(),
        },
    }
}
