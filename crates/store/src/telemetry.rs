//! Telemetry rows: their journal encoding and their table.

use infermark_terms::{Metric, Stamp, TelemetryRow};

use crate::cells;
use crate::columnar::{Cell, Column, Columnar};
use crate::encoding::Bytes;
use crate::journal::Row;
use crate::schema::Schema;

impl Row for TelemetryRow {
    const JOURNAL: Schema = Schema::new("infermark.journal.telemetry", 1);

    type Before = ();

    fn put(&self, (): &mut (), out: &mut Vec<u8>) {
        cells::put(self, out);
    }

    fn take((): &mut (), from: &mut Bytes<'_>) -> Option<Self> {
        cells::take(from)
    }
}

impl Columnar for TelemetryRow {
    const TABLE: Schema = Schema::new("infermark.telemetry", 1);

    const COLUMNS: &'static [Column<Self>] = &[
        Column::integer("at_ns", |row| row.at.cell(), |row, value| row.at.fill(value)),
        Column::text(
            "source",
            |row| row.source.clone().into(),
            |row, value| {
                value.clone_into(&mut row.source);
                Some(())
            },
        ),
        Column::text(
            "instance",
            |row| row.instance.clone().into(),
            |row, value| {
                value.clone_into(&mut row.instance);
                Some(())
            },
        ),
        Column::text(
            "metric",
            |row| row.metric.name().into(),
            |row, value| {
                row.metric = Metric::named(value);
                Some(())
            },
        ),
        Column::real("value", |row| row.value, |row, value| row.value = value),
        Column::text(
            "detail",
            |row| row.detail.clone().into(),
            |row, value| {
                value.clone_into(&mut row.detail);
                Some(())
            },
        ),
    ];

    fn blank() -> Self {
        Self {
            at: Stamp::ZERO,
            source: String::new(),
            instance: String::new(),
            metric: Metric::Unknown,
            value: 0.0,
            detail: String::new(),
        }
    }
}
