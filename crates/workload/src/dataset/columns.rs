//! Datasets with a named column: JSON Lines, CSV, Parquet.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;

use arrow_array::cast::AsArray;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use serde_json::Value;

use super::{DatasetError, Row, Rows, each_line};

/// Reads one JSON object a line; blank lines are no rows.
pub(super) fn jsonl(
    path: &Path,
    reader: impl BufRead,
    column: &str,
    rows: &mut Rows,
) -> Result<(), DatasetError> {
    each_line(path, reader, |line, bytes| {
        let mut object: serde_json::Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|source| DatasetError::NotAnObject {
                path: path.to_path_buf(),
                line,
                source,
            })?;
        let text = match object.remove(column) {
            Some(Value::String(text)) => text,
            Some(Value::Null) => String::new(),
            Some(other) => {
                return Err(DatasetError::NotText {
                    path: path.to_path_buf(),
                    row: line,
                    column: column.to_owned(),
                    found: kind(&other).to_owned(),
                });
            }
            None => {
                return Err(DatasetError::NoKey {
                    path: path.to_path_buf(),
                    line,
                    key: column.to_owned(),
                    keys: object.into_iter().map(|(key, _)| key).collect(),
                });
            }
        };
        rows.push(Row::alone(text));
        Ok(())
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Reads CSV with a header line. The library buffers.
pub(super) fn csv(
    path: &Path,
    text: impl Read,
    column: &str,
    rows: &mut Rows,
) -> Result<(), DatasetError> {
    let not_csv = |source| DatasetError::NotCsv { path: path.to_path_buf(), source };
    let mut reader = csv::Reader::from_reader(text);
    let names = reader.headers().map_err(not_csv)?;
    let Some(index) = names.iter().position(|name| name == column) else {
        return Err(DatasetError::NoColumn {
            path: path.to_path_buf(),
            column: column.to_owned(),
            names: names.iter().map(str::to_owned).collect(),
        });
    };
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(not_csv)? {
        rows.push(Row::alone(record[index].to_owned()));
    }
    Ok(())
}

/// Reads a Parquet column of strings, batch by batch.
pub(super) fn parquet(
    path: &Path,
    file: File,
    column: &str,
    rows: &mut Rows,
) -> Result<(), DatasetError> {
    let not_parquet = |source| DatasetError::NotParquet { path: path.to_path_buf(), source };
    // The writer's own notes would turn categories into dictionaries; strings are all we need.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(not_parquet)?;
    let fields = builder.schema().fields();
    let Some((index, field)) = fields.iter().enumerate().find(|(_, f)| f.name() == column) else {
        return Err(DatasetError::NoColumn {
            path: path.to_path_buf(),
            column: column.to_owned(),
            names: fields.iter().map(|field| field.name().clone()).collect(),
        });
    };
    let found = field.data_type().to_string();
    let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
    for batch in builder.with_projection(mask).build().map_err(not_parquet)? {
        let batch = batch.map_err(|source| not_parquet(ParquetError::from(source)))?;
        let values = batch.column(0);
        let Some(strings) = values.as_string_opt::<i32>() else {
            return Err(DatasetError::NotText {
                path: path.to_path_buf(),
                row: 1,
                column: column.to_owned(),
                found,
            });
        };
        for text in strings {
            rows.push(Row::alone(text.unwrap_or_default().to_owned()));
        }
    }
    Ok(())
}
