//! Parquet in and out, flat columns only, without Arrow.
//!
//! Booleans, integers and floats become numbers (a null is a missing value), strings stay text.
//! Dates and times keep the integer they are stored as. Nested, decimal, 96-bit and fixed-length
//! columns are refused by name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescriptor, Type};

use super::{
    CELL_BYTES_MAX, COLUMNS_MAX, Cells, Column, DataError, FILE_BYTES_MAX, Lines, Place, ROWS_MAX,
    Table, Texts, within,
};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8_192;

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Table, DataError> {
    let source = path.display().to_string();
    let failed = |error| DataError::Read {
        file: source.clone(),
        source: error,
    };
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    within(&source, "bytes", "FILE_BYTES_MAX", bytes, FILE_BYTES_MAX)?;
    if bytes == 0 {
        return Err(DataError::Empty { file: source });
    }
    let reader = SerializedFileReader::new(file).map_err(|error| wrong(&source, &error))?;
    let metadata = reader.metadata().file_metadata();
    let rows = usize::try_from(metadata.num_rows()).unwrap_or(usize::MAX);
    within(&source, "rows", "ROWS_MAX", rows as u64, ROWS_MAX as u64)?;
    let descriptors = metadata.schema_descr().columns().to_vec();
    within(
        &source,
        "columns",
        "COLUMNS_MAX",
        descriptors.len() as u64,
        COLUMNS_MAX as u64,
    )?;
    let mut columns = Vec::with_capacity(descriptors.len());
    for (index, descriptor) in descriptors.iter().enumerate() {
        let mut builder = Builder::new(&source, descriptor)?;
        for group in 0..reader.num_row_groups() {
            let group = reader
                .get_row_group(group)
                .map_err(|error| wrong(&source, &error))?;
            let pages = group
                .get_column_reader(index)
                .map_err(|error| wrong(&source, &error))?;
            builder.read(pages)?;
        }
        columns.push(builder.finish(rows)?);
    }
    Table::new(source, Lines::Counted(rows), columns)
}

/// Writes a whole table as one row group; a missing value becomes a null.
pub(super) fn write(table: &Table, path: &Path) -> Result<(), DataError> {
    let file = path.display().to_string();
    crate::file::write_atomically(path, |out| {
        let fields = table
            .columns()
            .iter()
            .map(field)
            .collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("table")
            .with_fields(fields)
            .build()?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let mut writer =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build()))?;
        let mut group = writer.next_row_group()?;
        for column in table.columns() {
            write_column(&mut group, &column.cells)?;
        }
        group.close()?;
        writer.close()?;
        Ok(())
    })
    .map_err(|error: ParquetError| match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(source) => DataError::Write {
                file,
                source: *source,
            },
            Err(cause) => DataError::Parquet {
                file,
                message: cause.to_string(),
            },
        },
        other => DataError::Parquet {
            file,
            message: other.to_string(),
        },
    })
}

/// Gathers one column over the row groups.
struct Builder<'a> {
    source: &'a str,
    name: String,
    unsigned: bool,
    cells: Cells,
}

impl<'a> Builder<'a> {
    fn new(source: &'a str, descriptor: &ColumnDescriptor) -> Result<Self, DataError> {
        let flat = descriptor.max_rep_level() == 0 && descriptor.path().parts().len() == 1;
        let converted = descriptor.converted_type();
        let cells = match descriptor.physical_type() {
            PhysicalType::BYTE_ARRAY if converted != ConvertedType::DECIMAL => {
                Some(Cells::Text(Texts::default()))
            }
            PhysicalType::BOOLEAN
            | PhysicalType::INT32
            | PhysicalType::INT64
            | PhysicalType::FLOAT
            | PhysicalType::DOUBLE
                if converted != ConvertedType::DECIMAL =>
            {
                Some(Cells::Numbers(Vec::new()))
            }
            _ => None,
        };
        let name = descriptor.path().string();
        let Some(cells) = cells.filter(|_| flat) else {
            let shape = if flat { "" } else { "nested " };
            let found = format!("{shape}{} ({converted})", descriptor.physical_type());
            return Err(DataError::ParquetType {
                file: source.to_owned(),
                column: name,
                found,
            });
        };
        let unsigned = matches!(converted, ConvertedType::UINT_32 | ConvertedType::UINT_64);
        Ok(Self {
            source,
            name,
            unsigned,
            cells,
        })
    }

    fn read(&mut self, pages: ColumnReader) -> Result<(), DataError> {
        let unsigned = self.unsigned;
        match pages {
            ColumnReader::BoolColumnReader(pages) => {
                self.numbers(pages, |value| f64::from(u8::from(*value)))
            }
            ColumnReader::Int32ColumnReader(pages) => self.numbers(pages, |value| {
                if unsigned {
                    f64::from(value.cast_unsigned())
                } else {
                    f64::from(*value)
                }
            }),
            ColumnReader::Int64ColumnReader(pages) => self.numbers(pages, |value| {
                if unsigned {
                    value.cast_unsigned() as f64
                } else {
                    *value as f64
                }
            }),
            ColumnReader::FloatColumnReader(pages) => {
                self.numbers(pages, |value| f64::from(*value))
            }
            ColumnReader::DoubleColumnReader(pages) => self.numbers(pages, |value| *value),
            ColumnReader::ByteArrayColumnReader(pages) => self.texts(pages),
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
                unreachable!("refused when the builder was made")
            }
        }
    }

    fn numbers<T: DataType>(
        &mut self,
        pages: ColumnReaderImpl<T>,
        number: impl Fn(&T::T) -> f64,
    ) -> Result<(), DataError> {
        let (source, name) = (self.source, &self.name);
        let Cells::Numbers(numbers) = &mut self.cells else {
            unreachable!("the column's type was fixed when the builder was made")
        };
        each(source, pages, |value| {
            let number = value.map_or(f64::NAN, &number);
            if value.is_some() && !number.is_finite() {
                let place = place(source, name, numbers.len());
                return Err(DataError::NotFinite {
                    place,
                    cell: number.to_string(),
                });
            }
            numbers.push(number);
            Ok(())
        })
    }

    fn texts(&mut self, pages: ColumnReaderImpl<ByteArrayType>) -> Result<(), DataError> {
        let (source, name) = (self.source, &self.name);
        let Cells::Text(texts) = &mut self.cells else {
            unreachable!("the column's type was fixed when the builder was made")
        };
        each(source, pages, |value| {
            let bytes = value.map_or(&[][..], ByteArray::data);
            within(
                source,
                "bytes in one cell",
                "CELL_BYTES_MAX",
                bytes.len() as u64,
                CELL_BYTES_MAX as u64,
            )?;
            let text = std::str::from_utf8(bytes).map_err(|_| DataError::NotUtf8 {
                place: place(source, name, texts.len()),
            })?;
            texts.push(text.trim());
            Ok(())
        })
    }

    fn finish(self, rows: usize) -> Result<Column, DataError> {
        if self.cells.len() != rows {
            let found = self.cells.len();
            let message = format!("column `{}` holds {found} of {rows} rows", self.name);
            return Err(DataError::Parquet {
                file: self.source.to_owned(),
                message,
            });
        }
        Ok(Column {
            name: self.name,
            cells: self.cells,
        })
    }
}

/// Calls `take` with each value of a flat column chunk, `None` for a null.
fn each<T: DataType>(
    source: &str,
    mut pages: ColumnReaderImpl<T>,
    mut take: impl FnMut(Option<&T::T>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    loop {
        values.clear();
        levels.clear();
        let (records, _, _) = pages
            .read_records(BATCH_ROWS, Some(&mut levels), None, &mut values)
            .map_err(|error| wrong(source, &error))?;
        if records == 0 {
            return Ok(());
        }
        let mut values = values.iter();
        for row in 0..records {
            // A required column has no levels: every value is there.
            let present = levels.get(row).is_none_or(|level| *level > 0);
            take(if present { values.next() } else { None })?;
        }
    }
}

fn place(source: &str, column: &str, row: usize) -> Place {
    Place {
        file: source.to_owned(),
        line: row as u64 + 1,
        column: column.to_owned(),
    }
}

fn wrong(source: &str, error: &ParquetError) -> DataError {
    DataError::Parquet {
        file: source.to_owned(),
        message: error.to_string(),
    }
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, converted) = match column.cells {
        Cells::Text(_) => (PhysicalType::BYTE_ARRAY, ConvertedType::UTF8),
        Cells::Numbers(_) => (PhysicalType::DOUBLE, ConvertedType::NONE),
    };
    let field = Type::primitive_type_builder(&column.name, physical)
        .with_converted_type(converted)
        .with_repetition(Repetition::OPTIONAL)
        .build()?;
    Ok(Arc::new(field))
}

fn write_column<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: &Cells,
) -> Result<(), ParquetError> {
    let mut writer = group
        .next_column()?
        .expect("the schema has a field for every column");
    match cells {
        Cells::Text(texts) => {
            let levels: Vec<i16> = texts
                .iter()
                .map(|text| i16::from(!text.is_empty()))
                .collect();
            let present = texts.iter().filter(|text| !text.is_empty());
            let values: Vec<ByteArray> = present.map(ByteArray::from).collect();
            writer
                .typed::<ByteArrayType>()
                .write_batch(&values, Some(&levels), None)?;
        }
        Cells::Numbers(numbers) => {
            let levels: Vec<i16> = numbers
                .iter()
                .map(|number| i16::from(!number.is_nan()))
                .collect();
            let values: Vec<f64> = numbers
                .iter()
                .copied()
                .filter(|number| !number.is_nan())
                .collect();
            writer
                .typed::<DoubleType>()
                .write_batch(&values, Some(&levels), None)?;
        }
    }
    writer.close()
}
