//! Tables of rows in Parquet.
//!
//! A row type lists its columns once, as [`Column`]s; schema, writing and reading follow from the
//! list. All integers are stored signed and 64 bits wide, so that a difference taken in SQL
//! neither wraps nor fails.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use infermark_terms::{Nanos, Stamp};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::StoreError;
use crate::files;
use crate::schema::Schema;

/// The key of a Parquet file's metadata under which it says its format.
const SCHEMA_KEY: &str = "infermark.schema";

/// The most rows in a row group. The writer holds one encoded row group in memory.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// How many rows a reader holds at a time.
const BATCH_ROWS: usize = 8192;

/// A row that a table can hold.
pub(crate) trait Columnar: Sized + 'static {
    /// The table's format.
    const TABLE: Schema;

    /// All columns, in their order. One that is added goes to the end and may be absent, since
    /// rows that older builds wrote lack it.
    const COLUMNS: &'static [Column<Self>];

    /// Returns a row to be filled from columns: what is absent from them is absent in it.
    fn blank() -> Self;
}

/// One column of a table of `R`.
pub(crate) struct Column<R> {
    /// Its name, unit included.
    pub(crate) name: &'static str,
    /// Whether every row has it.
    pub(crate) presence: Presence,
    /// How it is taken from a row and put into one.
    pub(crate) access: Access<R>,
}

/// Whether every row has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Always,
    Maybe,
}

/// How a column's value is taken from a row and put into one. What puts answers nothing if the
/// value is none that the row can have.
pub(crate) enum Access<R> {
    Integer { get: fn(&R) -> Option<i64>, set: fn(&mut R, i64) -> Option<()> },
    Real { get: fn(&R) -> f64, set: fn(&mut R, f64) },
    Flag { get: fn(&R) -> bool, set: fn(&mut R, bool) },
    Text { get: fn(&R) -> Cow<'static, str>, set: fn(&mut R, &str) -> Option<()> },
}

impl<R> Column<R> {
    /// An integer that every row has.
    pub(crate) const fn integer(
        name: &'static str,
        get: fn(&R) -> Option<i64>,
        set: fn(&mut R, i64) -> Option<()>,
    ) -> Self {
        Self { name, presence: Presence::Always, access: Access::Integer { get, set } }
    }

    /// An integer that may be absent.
    pub(crate) const fn maybe(
        name: &'static str,
        get: fn(&R) -> Option<i64>,
        set: fn(&mut R, i64) -> Option<()>,
    ) -> Self {
        Self { name, presence: Presence::Maybe, access: Access::Integer { get, set } }
    }

    /// A real number that every row has.
    pub(crate) const fn real(name: &'static str, get: fn(&R) -> f64, set: fn(&mut R, f64)) -> Self {
        Self { name, presence: Presence::Always, access: Access::Real { get, set } }
    }

    /// Yes or no.
    pub(crate) const fn flag(
        name: &'static str,
        get: fn(&R) -> bool,
        set: fn(&mut R, bool),
    ) -> Self {
        Self { name, presence: Presence::Always, access: Access::Flag { get, set } }
    }

    /// A string that every row has.
    pub(crate) const fn text(
        name: &'static str,
        get: fn(&R) -> Cow<'static, str>,
        set: fn(&mut R, &str) -> Option<()>,
    ) -> Self {
        Self { name, presence: Presence::Always, access: Access::Text { get, set } }
    }

    fn field(&self) -> Field {
        let kind = match self.access {
            Access::Integer { .. } => DataType::Int64,
            Access::Real { .. } => DataType::Float64,
            Access::Flag { .. } => DataType::Boolean,
            Access::Text { .. } => DataType::Utf8,
        };
        Field::new(self.name, kind, self.presence == Presence::Maybe)
    }

    /// Takes the column from all rows.
    fn gather(&self, rows: &[R]) -> ArrayRef {
        match self.access {
            Access::Integer { get, .. } => Arc::new(rows.iter().map(get).collect::<Int64Array>()),
            Access::Real { get, .. } => {
                Arc::new(rows.iter().map(|row| Some(get(row))).collect::<Float64Array>())
            }
            Access::Flag { get, .. } => {
                Arc::new(rows.iter().map(|row| Some(get(row))).collect::<BooleanArray>())
            }
            Access::Text { get, .. } => {
                let mut texts = StringBuilder::new();
                for row in rows {
                    texts.append_value(get(row));
                }
                Arc::new(texts.finish())
            }
        }
    }

    /// Puts the column into all rows; nothing if it is not of this column's kind or holds a value
    /// that a row cannot have.
    fn scatter(&self, column: &dyn Array, rows: &mut [R]) -> Option<()> {
        if self.presence == Presence::Always && column.null_count() > 0 {
            return None;
        }
        match self.access {
            Access::Integer { set, .. } => {
                let values = column.as_primitive_opt::<Int64Type>()?;
                for (row, value) in rows.iter_mut().zip(values) {
                    value.map_or(Some(()), |value| set(row, value))?;
                }
            }
            Access::Real { set, .. } => {
                let values = column.as_primitive_opt::<Float64Type>()?;
                for (row, value) in rows.iter_mut().zip(values) {
                    set(row, value?);
                }
            }
            Access::Flag { set, .. } => {
                let values = column.as_boolean_opt()?;
                for (row, value) in rows.iter_mut().zip(values) {
                    set(row, value?);
                }
            }
            Access::Text { set, .. } => {
                let values = column.as_string_opt::<i32>()?;
                for (row, value) in rows.iter_mut().zip(values) {
                    set(row, value?)?;
                }
            }
        }
        Some(())
    }
}

/// A value that is stored as an integer, or absent.
pub(crate) trait Cell: Sized {
    /// Returns what is stored. 64 unsigned bits are stored as the same bits, signed.
    fn cell(&self) -> Option<i64>;

    /// Takes what was stored; nothing if it is out of range.
    fn fill(&mut self, stored: i64) -> Option<()>;
}

impl Cell for u64 {
    fn cell(&self) -> Option<i64> {
        Some(self.cast_signed())
    }

    fn fill(&mut self, stored: i64) -> Option<()> {
        *self = stored.cast_unsigned();
        Some(())
    }
}

impl Cell for u32 {
    fn cell(&self) -> Option<i64> {
        Some(i64::from(*self))
    }

    fn fill(&mut self, stored: i64) -> Option<()> {
        *self = Self::try_from(stored).ok()?;
        Some(())
    }
}

impl Cell for Stamp {
    fn cell(&self) -> Option<i64> {
        self.0.cell()
    }

    fn fill(&mut self, stored: i64) -> Option<()> {
        self.0.fill(stored)
    }
}

impl Cell for Nanos {
    fn cell(&self) -> Option<i64> {
        self.0.cell()
    }

    fn fill(&mut self, stored: i64) -> Option<()> {
        self.0.fill(stored)
    }
}

impl<T: Cell + Default> Cell for Option<T> {
    fn cell(&self) -> Option<i64> {
        self.as_ref().and_then(T::cell)
    }

    fn fill(&mut self, stored: i64) -> Option<()> {
        self.get_or_insert_default().fill(stored)
    }
}

/// Writes a table whole, or not at all.
pub(crate) fn write<R: Columnar>(
    path: &Path,
    batches: impl Iterator<Item = Result<Vec<R>, StoreError>>,
) -> Result<(), StoreError> {
    files::replace(path, files::Outlasts::Power, |file| write_to(file, path, batches))
}

/// Writes a table to `file`; `path` is its name.
fn write_to<R: Columnar>(
    file: &mut File,
    path: &Path,
    batches: impl Iterator<Item = Result<Vec<R>, StoreError>>,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::writing_table(path, source);
    let fields = fields::<R>();
    let properties = properties::<R>();
    let mut writer =
        ArrowWriter::try_new(file, Arc::clone(&fields), Some(properties)).map_err(failed)?;
    for rows in batches {
        let rows = rows?;
        let columns = R::COLUMNS.iter().map(|column| column.gather(&rows)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&fields), columns)
            .expect("columns and fields come from the same list");
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map(drop).map_err(failed)
}

fn fields<R: Columnar>() -> SchemaRef {
    Arc::new(arrow_schema::Schema::new(R::COLUMNS.iter().map(Column::field).collect::<Vec<_>>()))
}

fn properties<R: Columnar>() -> WriterProperties {
    let schema = KeyValue::new(SCHEMA_KEY.to_owned(), R::TABLE.to_string());
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_key_value_metadata(Some(vec![schema]));
    for column in R::COLUMNS {
        if let Access::Integer { .. } = column.access {
            // Instants rise and counts are small: differences take a fraction of a dictionary.
            properties = properties
                .set_column_dictionary_enabled(ColumnPath::from(column.name), false)
                .set_column_encoding(ColumnPath::from(column.name), Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}

/// Opens a table. Columns that this build does not know are passed over.
pub(crate) fn read<R: Columnar>(path: &Path) -> Result<Batches<R>, StoreError> {
    let file = File::open(path).map_err(|source| StoreError::reading(path, source))?;
    let failed = |source: ParquetError| StoreError::Table { path: path.to_path_buf(), source };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let metadata = builder.metadata().file_metadata();
    let said = metadata.key_value_metadata().into_iter().flatten();
    let found = said.filter(|pair| pair.key == SCHEMA_KEY).find_map(|pair| pair.value.as_deref());
    R::TABLE.check(path, found.unwrap_or_default(), None)?;
    let known = R::COLUMNS.iter().map(|column| column.name);
    let known = ProjectionMask::columns(builder.parquet_schema(), known);
    let reader = builder.with_projection(known).with_batch_size(BATCH_ROWS).build();
    Ok(Batches { path: path.to_path_buf(), reader: Some(reader.map_err(failed)?), row: R::blank })
}

/// The rows of a table, some at a time. Ends after an error.
pub(crate) struct Batches<R> {
    path: PathBuf,
    reader: Option<ParquetRecordBatchReader>,
    row: fn() -> R,
}

impl<R: Columnar> Batches<R> {
    fn rows(&self, batch: Result<RecordBatch, ArrowError>) -> Result<Vec<R>, StoreError> {
        let batch = batch.map_err(|source| StoreError::Table {
            path: self.path.clone(),
            source: source.into(),
        })?;
        let mut rows: Vec<R> = (0..batch.num_rows()).map(|_| (self.row)()).collect();
        for column in R::COLUMNS {
            let name = column.name;
            let damaged = |what| StoreError::damaged(&self.path, format!("{what} `{name}`"));
            match batch.column_by_name(name) {
                Some(found) => column
                    .scatter(found, &mut rows)
                    .ok_or_else(|| damaged("an impossible value in column"))?,
                // An older build did not know it.
                None if column.presence == Presence::Maybe => (),
                None => return Err(damaged("no column")),
            }
        }
        Ok(rows)
    }
}

impl<R: Columnar> Iterator for Batches<R> {
    type Item = Result<Vec<R>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.as_mut()?.next()?;
        let rows = self.rows(batch);
        if rows.is_err() {
            self.reader = None;
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use infermark_terms::ChunkRow;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    /// A chunk as a later build may store it, in the format of `VERSION`.
    struct Later<const VERSION: u32>(ChunkRow);

    impl<const VERSION: u32> Columnar for Later<VERSION> {
        const TABLE: Schema = Schema::new("infermark.chunks", VERSION);

        const COLUMNS: &'static [Column<Self>] = &[
            Column::integer("news", |_| Some(7), |_, _| Some(())),
            Column::integer("read_delay_ns", |r| r.0.read_delay.cell(), |_, _| None),
            Column::integer("request_id", |r| r.0.request.0.cell(), |_, _| None),
            Column::integer("at_ns", |r| r.0.at.cell(), |_, _| None),
            Column::text("kind", |_| "refusal".into(), |_, _| None),
            Column::integer("tokens", |r| r.0.tokens.cell(), |_, _| None),
            Column::integer("text_bytes", |r| r.0.text_bytes.cell(), |_, _| None),
            Column::flag("coalesced", |r| r.0.coalesced, |_, _| ()),
        ];

        fn blank() -> Self {
            Self(ChunkRow::blank())
        }
    }

    /// A table that says it is one of chunks and lacks most columns.
    struct Poor;

    impl Columnar for Poor {
        const TABLE: Schema = ChunkRow::TABLE;

        const COLUMNS: &'static [Column<Self>] =
            &[Column::maybe("request_id", |_| Some(1), |_, _| None)];

        fn blank() -> Self {
            Self
        }
    }

    fn read_back<R: Columnar>(row: R) -> Result<Vec<ChunkRow>, StoreError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        write(&path, [Ok(vec![row])].into_iter())?;
        let batches: Result<Vec<_>, _> = read::<ChunkRow>(&path)?.collect();
        Ok(batches?.concat())
    }

    fn through_columns<R: Columnar>(rows: &[R]) -> Vec<R> {
        let mut back: Vec<R> = rows.iter().map(|_| R::blank()).collect();
        for column in R::COLUMNS {
            column.scatter(&column.gather(rows), &mut back).unwrap();
        }
        back
    }

    proptest! {
        #[test]
        fn columns_are_faithful(
            requests in vec(samples::any_request(99), 0..4),
            chunks in vec(samples::any_chunk(), 0..20),
            telemetry in vec(samples::any_telemetry(), 0..20),
        ) {
            prop_assert_eq!(through_columns(&requests), requests);
            prop_assert_eq!(through_columns(&chunks), chunks);
            prop_assert_eq!(through_columns(&telemetry), telemetry);
        }
    }

    #[test]
    fn columns_of_a_later_build_are_passed_over_and_their_order_is_free() {
        let row = samples::chunk(3, 40);
        assert_eq!(read_back(Later::<1>(row)).unwrap(), [row]);
    }

    #[test]
    fn a_table_of_a_later_version_is_refused_by_name() {
        let error = read_back(Later::<2>(samples::chunk(3, 40))).unwrap_err();
        let StoreError::Newer { found, reads, .. } = error else { panic!("{error}") };
        assert_eq!((&*found, &*reads), ("infermark.chunks/2", "infermark.chunks/1"));
    }

    #[test]
    fn a_table_without_a_needed_column_is_damaged() {
        let error = read_back(Poor).unwrap_err().to_string();
        assert!(error.ends_with("is damaged: no column `at_ns`"), "{error}");
    }

    #[test]
    fn a_value_that_no_row_can_have_is_damage() {
        let mut rows = [ChunkRow::blank()];
        let tokens = ChunkRow::COLUMNS.iter().find(|column| column.name == "tokens").unwrap();
        let scatter = |column: &dyn Array, rows: &mut [ChunkRow]| tokens.scatter(column, rows);
        assert_eq!(scatter(&Int64Array::from(vec![5]), &mut rows), Some(()));
        assert_eq!(rows[0].tokens, Some(5));
        assert_eq!(scatter(&Int64Array::from(vec![-1]), &mut rows), None);
        assert_eq!(scatter(&BooleanArray::from(vec![true]), &mut rows), None);
    }

    #[test]
    fn a_full_disk_is_known_as_such() {
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let rows = [Ok(vec![samples::chunk(3, 40)])].into_iter();
        let error = write_to(&mut full, Path::new("t.parquet"), rows).unwrap_err();
        assert!(matches!(error, StoreError::StorageFull { .. }), "{error:?}");
    }
}
