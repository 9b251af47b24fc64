//! `infermark sim validate`: predictions against measurements.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Arg, ArgMatches, Command, value_parser};
use infermark_sim::validate::{
    Checked, Engines, Errors, Figure, PUBLISHED, errors, read, validate as check,
};
use serde::Serialize;

use crate::arguments;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::report::{deliver, format, json};

/// The command's arguments.
pub(super) fn command() -> Command {
    Command::new("validate")
        .about("Compares predictions with measurements, row by row")
        .long_about(
            "Compares predictions with measurements, row by row.\n\n\
             Each row names a deployment, a load, lengths and what was measured. Rows that cannot \
             be true are rejected, with the reason; of the others the error of each figure is \
             printed, and for all of them its median and 90th percentile. docs/simulator.md \
             describes the columns.",
        )
        .after_help(EXIT_CODES)
        .arg(
            Arg::new("measurements")
                .value_name("DATA.csv")
                .value_parser(value_parser!(PathBuf))
                .help("The measurements [default: the published ones that infermark ships]"),
        )
        .args(arguments::output(&["table", "json", "csv"]))
}

/// Compares, and prints the errors.
pub(super) fn validate(matches: &ArgMatches) -> Result<Exit, Failure> {
    let (place, text) = match matches.get_one::<PathBuf>("measurements") {
        None => ("the shipped measurements".to_owned(), PUBLISHED.to_owned()),
        Some(path) => {
            let place = path.display().to_string();
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {place}"));
            (place, text.map_err(Failure::usage)?)
        }
    };
    let rows = read(&text)
        .context(place)
        .map_err(|error| Failure::usage(error).hint("docs/simulator.md describes the columns"))?;
    let checked = check(&rows, &|_| {});
    let text = match format(matches) {
        "json" => json(&Validation::of(&checked)),
        "csv" => csv_of(&Validation::of(&checked).comparisons),
        _ => table(&Validation::of(&checked)),
    };
    deliver(&text, matches)
}

/// All that is said of the rows.
#[derive(Serialize)]
struct Validation {
    schema: &'static str,
    comparisons: Vec<Comparison>,
    rejected: Vec<Rejected>,
    errors: Vec<Summary>,
}

/// One figure of one row.
#[derive(Serialize)]
struct Comparison {
    row: String,
    figure: &'static str,
    measured: f64,
    predicted: f64,
    /// Predicted ÷ measured − 1.
    error: f64,
}

/// A row that is compared with nothing.
#[derive(Serialize)]
struct Rejected {
    row: String,
    why: String,
}

/// How far predictions of one figure are off.
#[derive(Serialize)]
struct Summary {
    engines: &'static str,
    figure: &'static str,
    rows: usize,
    median_error: f64,
    p90_error: f64,
}

impl Validation {
    fn of(checked: &[Checked]) -> Self {
        let mut comparisons = Vec::new();
        let mut rejected = Vec::new();
        for Checked { row, outcome } in checked {
            let row = &row.row;
            match outcome {
                Err(why) => rejected.push(Rejected { row: row.clone(), why: why.to_string() }),
                Ok((compared, _)) => comparisons.extend(compared.iter().map(|one| Comparison {
                    row: row.clone(),
                    figure: key(one.figure),
                    measured: one.measured,
                    predicted: one.predicted,
                    error: one.error(),
                })),
            }
        }
        let summed = |engines, name| {
            errors(checked, engines).into_iter().map(move |error| Summary::of(name, &error))
        };
        let errors =
            summed(Engines::Vllm, "vllm").chain(summed(Engines::Others, "others")).collect();
        Self { schema: "infermark.validation/1", comparisons, rejected, errors }
    }
}

impl Summary {
    fn of(engines: &'static str, error: &Errors) -> Self {
        Self {
            engines,
            figure: key(error.figure),
            rows: error.rows,
            median_error: error.median,
            p90_error: error.p90,
        }
    }
}

/// The figure's name in results.
fn key(figure: Figure) -> &'static str {
    match figure {
        Figure::Tpot => "tpot_ms",
        Figure::OutputRate => "output_tokens_per_s",
        Figure::Ttft => "ttft_ms",
    }
}

fn csv_of(comparisons: &[Comparison]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for comparison in comparisons {
        writer.serialize(comparison).expect("a comparison is a plain row");
    }
    let bytes = writer.into_inner().expect("memory takes all");
    String::from_utf8(bytes).expect("what was text stays text")
}

fn table(validation: &Validation) -> String {
    let names = validation.comparisons.iter().map(|one| one.row.chars().count());
    let width = names.max().unwrap_or(0).max("row".len());
    let mut text = String::new();
    let mut line = |cells: [&str; 5]| {
        let [row, figure, measured, predicted, error] = cells;
        writeln!(text, "{row:<width$}  {figure:<19}  {measured:>9}  {predicted:>9}  {error:>8}")
            .expect("a text takes all");
    };
    line(["row", "figure", "measured", "predicted", "error"]);
    for one in &validation.comparisons {
        let error = format!("{:+.1} %", 100.0 * one.error);
        line([&one.row, one.figure, &figure(one.measured), &figure(one.predicted), &error]);
    }
    for Rejected { row, why } in &validation.rejected {
        writeln!(text, "\nrejected: {row}\n  {why}").expect("a text takes all");
    }
    text += "\nabsolute error\nengines  figure               rows    median       p90\n";
    for sum in &validation.errors {
        let [median, p90] =
            [sum.median_error, sum.p90_error].map(|e| format!("{:.1} %", 100.0 * e));
        let (engines, name, rows) = (sum.engines, sum.figure, sum.rows);
        writeln!(text, "{engines:<7}  {name:<19}  {rows:>4}  {median:>8}  {p90:>8}")
            .expect("a text takes all");
    }
    text
}

fn figure(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
