//! compressa-perf's SQLite database and its `list --show-metrics --show-parameters` view (0.2.5).
//!
//! Tables are those of `db/setup.py`, metrics those of `experiment/analysis.py`. TPOT is there the
//! latency ÷ output tokens, first token included; windows are from the first start to the last end.

use rusqlite::{Connection, params};

use crate::PeersError;
use crate::import::{Import, Origin, unknown};
use crate::point::{Counts, Point, Unit};
use crate::record::{Load, Record};
use crate::stats::{Stats, linear, sorted};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS Experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_name TEXT NOT NULL,
    experiment_date DATETIME DEFAULT CURRENT_TIMESTAMP,
    description TEXT
);
CREATE TABLE IF NOT EXISTS Parameters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    FOREIGN KEY (experiment_id) REFERENCES Experiments(id)
);
CREATE TABLE IF NOT EXISTS Metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    metric_name TEXT NOT NULL,
    metric_value REAL NOT NULL,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (experiment_id) REFERENCES Experiments(id)
);
CREATE TABLE IF NOT EXISTS Measurements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    n_input INTEGER NOT NULL,
    n_output INTEGER NOT NULL,
    ttft REAL NOT NULL,
    start_time REAL NOT NULL,
    end_time REAL NOT NULL,
    status TEXT NOT NULL,
    FOREIGN KEY (experiment_id) REFERENCES Experiments(id)
);";

/// One row of `Measurements`; times are seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Measurement {
    input: u64,
    output: u64,
    ttft: f64,
    start: f64,
    end: f64,
    success: bool,
}

impl Measurement {
    fn latency(&self) -> f64 {
        self.end - self.start
    }
}

/// What an experiment has beside its measurements.
struct Experiment {
    name: String,
    date: String,
    parameters: Vec<(String, String)>,
    measurements: Vec<Measurement>,
}

fn experiment(record: &Record) -> Experiment {
    let facts = &record.facts;
    let begin = facts.created.parse::<jiff::Timestamp>().unwrap_or_default();
    let epoch = begin.as_nanosecond() as f64 / 1e9;
    let measured = record.requests.iter().map(|request| Measurement {
        input: request.input,
        output: request.output,
        ttft: request.ttft().unwrap_or(0.0),
        start: epoch + request.start,
        end: epoch + request.end,
        success: request.answered(),
    });
    let measurements: Vec<_> = measured.collect();
    let slots = facts.load.concurrency.map_or(measurements.len() as u64, u64::from);
    let mut parameters = vec![
        ("num_workers".to_owned(), slots.to_string()),
        ("num_tasks".to_owned(), measurements.len().to_string()),
        ("openai_url".to_owned(), facts.url.clone()),
        ("model_name".to_owned(), facts.model.clone()),
    ];
    let answered: Vec<_> = measurements.iter().filter(|m| m.success).collect();
    for (name, lengths) in [
        ("n_input", answered.iter().map(|m| m.input as f64).collect::<Vec<_>>()),
        ("n_output", answered.iter().map(|m| m.output as f64).collect()),
    ] {
        let (average, deviation) = mean_and_deviation(&lengths);
        parameters.push((format!("avg_{name}"), average.to_string()));
        parameters.push((format!("std_{name}"), deviation.to_string()));
    }
    Experiment {
        name: facts.id.clone(),
        date: begin.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        parameters,
        measurements,
    }
}

/// Python's `statistics.mean` and `stdev`; 0 where there is nothing to take them of.
fn mean_and_deviation(sample: &[f64]) -> (f64, f64) {
    let n = sample.len() as f64;
    let mean = if sample.is_empty() { 0.0 } else { sample.iter().sum::<f64>() / n };
    let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if sample.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

/// Returns the metrics in compressa-perf's order; none if nothing was answered.
fn metrics(measurements: &[Measurement]) -> Vec<(&'static str, f64)> {
    let answered: Vec<_> = measurements.iter().filter(|m| m.success).collect();
    if answered.is_empty() {
        return Vec::new();
    }
    let n = answered.len() as f64;
    let ttfts = sorted(&answered.iter().map(|m| m.ttft).collect::<Vec<_>>());
    let latencies = sorted(&answered.iter().map(|m| m.latency()).collect::<Vec<_>>());
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    let slowest = |values: &[f64]| {
        let slow = &values[(0.95 * n) as usize..];
        sum(slow) / slow.len() as f64
    };
    let span = |of: &mut dyn Iterator<Item = &Measurement>| {
        let (begin, end) =
            of.fold((f64::MAX, f64::MIN), |(begin, end), m| (begin.min(m.start), end.max(m.end)));
        end - begin
    };
    let seconds = span(&mut answered.iter().copied());
    let over = |total: f64, time: f64| if time > 0.0 { total / time } else { 0.0 };
    let input: u64 = answered.iter().map(|m| m.input).sum();
    let output: u64 = answered.iter().map(|m| m.output).sum();
    let longer = |limit: f64| latencies.iter().filter(|latency| **latency > limit).count() as f64;
    let failed = measurements.len() as f64 - n;
    vec![
        ("TTFT", sum(&ttfts) / n),
        ("TTFT_95", linear(&ttfts, 95.0)),
        ("TOP_5_TTFT", slowest(&ttfts)),
        ("LATENCY", sum(&latencies) / n),
        ("LATENCY_95", linear(&latencies, 95.0)),
        ("TOP_5_LATENCY", slowest(&latencies)),
        ("TPOT", over(sum(&latencies), output as f64)),
        ("THROUGHPUT", over((input + output) as f64, seconds)),
        ("THROUGHPUT_INPUT_TOKENS", over(input as f64, seconds)),
        ("THROUGHPUT_OUTPUT_TOKENS", over(output as f64, seconds)),
        ("RPS", over(n, seconds)),
        ("LONGER_THAN_60_LATENCY", longer(60.0)),
        ("LONGER_THAN_120_LATENCY", longer(120.0)),
        ("LONGER_THAN_180_LATENCY", longer(180.0)),
        ("FAILED_REQUESTS", failed),
        ("FAILED_REQUESTS_PER_HOUR", over(failed, span(&mut measurements.iter()) / 3600.0)),
    ]
}

/// Writes a database with one experiment.
pub(crate) fn write(record: &Record) -> Result<Vec<u8>, PeersError> {
    let mut db = Connection::open_in_memory()?;
    db.execute_batch(TABLES)?;
    fill(&db, record)?;
    Ok(db.serialize("main")?.to_vec())
}

fn fill(db: &Connection, record: &Record) -> Result<(), PeersError> {
    let experiment = experiment(record);
    let by = format!("infermark {}", record.facts.version);
    let _: usize = db.execute(
        "INSERT INTO Experiments (experiment_name, experiment_date, description) VALUES (?, ?, ?)",
        params![experiment.name, experiment.date, by],
    )?;
    let id = db.last_insert_rowid();
    let mut insert =
        db.prepare("INSERT INTO Parameters (experiment_id, key, value) VALUES (?, ?, ?)")?;
    for (key, value) in &experiment.parameters {
        let _: usize = insert.execute(params![id, key, value])?;
    }
    let mut insert = db.prepare(
        "INSERT INTO Metrics (experiment_id, metric_name, metric_value, timestamp) \
         VALUES (?, ?, ?, ?)",
    )?;
    for (name, value) in metrics(&experiment.measurements) {
        let _: usize = insert.execute(params![id, name, value, experiment.date])?;
    }
    let mut insert = db.prepare(
        "INSERT INTO Measurements \
         (experiment_id, n_input, n_output, ttft, start_time, end_time, status) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    for m in &experiment.measurements {
        let status = if m.success { "success" } else { "failed" };
        let row = params![
            id,
            m.input.cast_signed(),
            m.output.cast_signed(),
            m.ttft,
            m.start,
            m.end,
            status
        ];
        let _: usize = insert.execute(row)?;
    }
    Ok(())
}

/// Prints a record as `compressa-perf list --show-metrics --show-parameters` lists its experiment.
pub fn listing(record: &Record) -> String {
    let experiment = experiment(record);
    let shorten = |text: &str, most: usize| {
        let kept: String = text.chars().take(most).collect();
        if kept.len() < text.len() { kept + "..." } else { kept }
    };
    let parameters = experiment
        .parameters
        .iter()
        .map(|(key, value)| format!("{key}: {}", shorten(&shown(value, 2), 10)));
    let metrics = metrics(&experiment.measurements);
    let metrics =
        metrics.iter().map(|(name, value)| format!("{name}: {}", shown(&value.to_string(), 4)));
    let columns = [
        // compressa-perf gives the metrics no title, so each title stands a column too far right.
        ("", vec!["1".to_owned()]),
        ("ID", vec![experiment.name.clone()]),
        ("Name", vec![experiment.date.clone()]),
        ("Date", vec![shorten(&format!("infermark {}", record.facts.version), 20)]),
        ("Description", parameters.collect()),
        ("Parameters", metrics.collect()),
    ];
    format!("\nList of Experiments:\n{}", grid(&columns))
}

/// Formats a value as `format_value` does: whole numbers without a point and padded, small ones as
/// a power of ten.
fn shown(value: &str, precision: usize) -> String {
    match value.parse::<f64>() {
        Err(_) => value.to_owned(),
        Ok(number) if number.fract() == 0.0 => format!("{:<precision$}", number as i64),
        Ok(number) if number < 0.01 => {
            let text = format!("{number:.precision$e}");
            let (digits, exponent) = text.split_once('e').expect("`e` writes an exponent");
            format!("{digits}e-{:0>2}", exponent.trim_start_matches('-'))
        }
        Ok(number) => format!("{number:.precision$}"),
    }
}

/// A table as Python's `tabulate` draws it in the format `grid`: numbers to the right.
fn grid(columns: &[(&str, Vec<String>)]) -> String {
    const PADDING: usize = 2;
    let width = |(title, lines): &(&str, Vec<String>)| {
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        longest.max(title.chars().count() + PADDING)
    };
    let widths: Vec<_> = columns.iter().map(width).collect();
    let rule = |dash: &str| {
        let parts: Vec<_> = widths.iter().map(|width| dash.repeat(width + 2)).collect();
        format!("+{}+\n", parts.join("+"))
    };
    let line = |cells: &dyn Fn(usize) -> String| {
        let cells = widths.iter().enumerate().map(|(column, width)| match column {
            0 => format!(" {:>width$} ", cells(column)),
            _ => format!(" {:<width$} ", cells(column)),
        });
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let height = columns.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
    let mut table = rule("-") + &line(&|column| columns[column].0.to_owned()) + &rule("=");
    for row in 0..height {
        table += &line(&|column| columns[column].1.get(row).cloned().unwrap_or_default());
    }
    table + &rule("-")
}

/// Reads a database: a point for each experiment, with the metrics that are stored.
pub(crate) fn read(bytes: &[u8]) -> Result<Import, PeersError> {
    let mut db = Connection::open_in_memory()?;
    db.deserialize_read_exact("main", bytes, bytes.len(), true)?;
    let its_own = "SELECT count(*) FROM sqlite_master WHERE name IN ('Experiments', 'Metrics')";
    if db.query_row(its_own, [], |row| row.get::<_, u32>(0))? < 2 {
        return Err(unknown());
    }
    let mut import = Import::new(Origin::Compressa);
    let mut all =
        db.prepare("SELECT id, experiment_name, experiment_date FROM Experiments ORDER BY id")?;
    let experiments = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for experiment in experiments {
        let (id, name, date): (i64, String, Option<String>) = experiment?;
        import.created = import.created.or(date);
        let parameter = |key: &str| {
            let found = db.query_row(
                "SELECT value FROM Parameters WHERE experiment_id = ? AND key = ?",
                params![id, key],
                |row| row.get::<_, String>(0),
            );
            match found {
                Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
                other => other.map(Some),
            }
        };
        import.model = import.model.or(parameter("model_name")?);
        let url = match parameter("openai_url")? {
            None => parameter("node_url")?,
            found => found,
        };
        import.url = import.url.or(url);
        let slots = parameter("num_workers")?.and_then(|slots| slots.parse().ok());
        import.points.push(point(&db, id, name, slots)?);
    }
    Ok(import)
}

fn point(
    db: &Connection,
    id: i64,
    label: String,
    concurrency: Option<u32>,
) -> Result<Point, PeersError> {
    let metric = |name: &str| {
        // The newest, where a metric was computed more than once.
        let found = db.query_row(
            "SELECT metric_value FROM Metrics WHERE experiment_id = ? AND metric_name = ? \
             ORDER BY id DESC",
            params![id, name],
            |row| row.get::<_, f64>(0),
        );
        match found {
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            other => other.map(Some),
        }
    };
    let count = |status: &str| {
        db.query_row(
            "SELECT count(*) FROM Measurements WHERE experiment_id = ? AND status = ?",
            params![id, status],
            |row| row.get::<_, i64>(0),
        )
    };
    let mut point = Point {
        label,
        load: Load { concurrency, ..Load::default() },
        counts: Counts {
            completed: Some(count("success")?.cast_unsigned()),
            failed: Some(count("failed")?.cast_unsigned()),
            incomplete: None,
        },
        ..Point::default()
    };
    for (name, key) in [
        ("RPS", Some("requests_per_s")),
        ("THROUGHPUT_INPUT_TOKENS", Some("input_tokens_per_s")),
        ("THROUGHPUT_OUTPUT_TOKENS", Some("output_tokens_per_s")),
        ("THROUGHPUT", Some("total_tokens_per_s")),
        ("TPOT", None),
        ("TOP_5_TTFT", None),
        ("TOP_5_LATENCY", None),
        ("LONGER_THAN_60_LATENCY", None),
        ("LONGER_THAN_120_LATENCY", None),
        ("LONGER_THAN_180_LATENCY", None),
        ("FAILED_REQUESTS", None),
        ("FAILED_REQUESTS_PER_HOUR", None),
    ] {
        point.push_rate(name, key, metric(name)?);
    }
    for (name, key) in [("TTFT", Some("service_ttft_ms")), ("LATENCY", None)] {
        let p95 = metric(&format!("{name}_95"))?.map(|value| (95.0, value));
        let stats = metric(name)?.map(|mean| Stats {
            mean: Some(mean),
            percentiles: p95.into_iter().collect(),
            ..Stats::default()
        });
        point.push_figure(name, key, Unit::Seconds, stats);
    }
    Ok(point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::record;

    #[test]
    fn a_database_of_something_else_is_nobodys_result() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE Experiments (id)").unwrap();
        let bytes = db.serialize("main").unwrap().to_vec();
        let refused = crate::import(&bytes);
        assert!(matches!(refused, Err(PeersError::Unknown { .. })), "{refused:?}");
    }

    #[test]
    fn a_database_reads_back_with_the_figures_of_its_record() {
        let bytes = write(&record()).unwrap();
        let read = crate::import(&bytes).unwrap();
        assert_eq!(read.origin, Origin::Compressa);
        assert_eq!(read.created.as_deref(), Some("2026-11-22T02:12:55Z"));
        assert_eq!(read.model.as_deref(), Some("org/tiny"));
        let [point] = &read.points[..] else { panic!("one point") };
        assert_eq!(point.counts.completed, Some(2));
        assert_eq!(point.counts.failed, Some(2));
        assert_eq!(point.load.concurrency, Some(2));
        let close = |found: f64, expected: f64| {
            // As times since 1970 in floats, instants are kept to a fraction of a microsecond.
            let near = expected * 1e-5;
            assert!((found - expected).abs() < near, "{found}, not {expected}");
        };
        // Starts at 1.01 and 1.21, each 0.165 s long; 64 input and 8 output tokens.
        close(point.rate("RPS").unwrap(), 2.0 / 0.365);
        close(point.rate("THROUGHPUT").unwrap(), 72.0 / 0.365);
        close(point.rate("TPOT").unwrap(), 2.0 * 0.165 / 8.0);
        close(point.rate("FAILED_REQUESTS_PER_HOUR").unwrap(), 2.0 / (0.465 / 3600.0));
        let ttft = point.figure("TTFT").unwrap();
        close(ttft.stats.mean.unwrap(), 0.1);
        close(ttft.stats.percentile(95.0).unwrap(), 0.1);
        close(point.to_json()["latency"]["service_ttft_ms"]["p95"].as_f64().unwrap(), 100.0);
    }

    #[test]
    fn the_view_is_drawn_as_by_the_peer() {
        let expected = include_str!("../testdata/compressa/list.txt");
        assert_eq!(listing(&record()), expected);
    }

    #[test]
    fn values_are_formatted_as_by_the_peer() {
        for (value, precision, expected) in [
            ("2", 2, "2 "),
            ("4.5", 2, "4.50"),
            ("0.00123456", 4, "1.2346e-03"),
            ("0.0412", 4, "0.0412"),
            ("http://x", 2, "http://x"),
        ] {
            assert_eq!(shown(value, precision), expected);
        }
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let bytes = b"SQLite format 3\0 and then nothing";
        assert!(matches!(read(bytes), Err(PeersError::Sqlite(_))));
    }
}
