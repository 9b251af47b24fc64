//! Predictions against published measurements.
//!
//! Measurements are rows of CSV ([`Row`]): a deployment as [`crate::spec`] reads it, a load,
//! lengths, and whichever figures were published. Each row is first checked for what cannot be
//! ([`checks`]); one that fails is rejected with its reasons and compared with nothing. The rest
//! are predicted with the load and lengths that the row states.

use serde::Deserialize;

use infermark_terms::{Due, Seed};

use crate::deployment::{Deployment, DeploymentError};
use crate::efficiency::Stack;
use crate::engine::Fleet;
use crate::predict::{Figures, Horizon, Lengths, Load, Stream, Summary, predict};
use crate::spec::SpecError;

mod checks;

/// The measurements that the project ships, each with its source.
pub const PUBLISHED: &str = include_str!("../data/published.csv");

/// A published measurement. Milliseconds and tokens per second; absent where not published.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    /// Its name.
    pub row: String,
    /// The deployment, as [`crate::spec`] reads it.
    pub deployment: String,
    /// `closed:SLOTS`, `poisson:RATE`, `constant:RATE` or `burst`.
    pub load: String,
    /// Requests.
    pub requests: u64,
    /// Mean input length.
    pub input_tokens: f64,
    /// Its standard deviation ÷ mean.
    pub input_cv: f64,
    /// Leading input tokens that all requests share.
    pub shared_tokens: u32,
    /// Mean output length.
    pub output_tokens: f64,
    /// Its standard deviation ÷ mean.
    pub output_cv: f64,
    /// Mean time to the first token.
    pub ttft_mean_ms: Option<f64>,
    /// Its median.
    pub ttft_p50_ms: Option<f64>,
    /// Mean time per output token after the first.
    pub tpot_mean_ms: Option<f64>,
    /// Its median.
    pub tpot_p50_ms: Option<f64>,
    /// Its 99th percentile.
    pub tpot_p99_ms: Option<f64>,
    /// Mean time between tokens, as published under that name.
    pub itl_mean_ms: Option<f64>,
    /// Mean time of a whole request.
    pub e2e_mean_ms: Option<f64>,
    /// Output tokens per second.
    pub output_tok_s: Option<f64>,
    /// The highest rate of output tokens.
    pub peak_output_tok_s: Option<f64>,
    /// Where it was published.
    pub source: String,
    /// What had to be inferred.
    pub note: String,
}

/// Why measurements cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A line is not of the table's form.
    #[error("line {line} of the measurements is unusable: {reason}")]
    BadLine {
        /// The line, from 1, the header included.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a row is not compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The deployment cannot be read.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The deployment cannot be.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The load is of no known form.
    #[error("unknown load `{load}`; expected `closed:N`, `poisson:R`, `constant:R` or `burst`")]
    Load {
        /// The load.
        load: String,
    },
    /// The figures cannot be true.
    #[error("{}", reasons.join("; "))]
    Impossible {
        /// Each reason.
        reasons: Vec<String>,
    },
    /// Nothing finished in the prediction.
    #[error("the prediction finished no request")]
    Nothing,
}

/// A figure that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Mean time per output token; of a burst, the median, since the mean hangs on its shortest
    /// answers.
    Tpot,
    /// Output tokens per second; not where the load itself sets it.
    OutputRate,
    /// Mean time to the first token, below saturation only.
    Ttft,
}

impl Figure {
    /// Every figure, in the order in which they are printed.
    pub const ALL: [Self; 3] = [Self::Tpot, Self::OutputRate, Self::Ttft];

    /// Returns the name with its unit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tpot => "TPOT (ms)",
            Self::OutputRate => "output tok/s",
            Self::Ttft => "TTFT (ms)",
        }
    }
}

/// One figure of a row: measured, and predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Which figure.
    pub figure: Figure,
    /// As published.
    pub measured: f64,
    /// As predicted.
    pub predicted: f64,
}

impl Comparison {
    /// Returns predicted ÷ measured − 1.
    pub fn error(&self) -> f64 {
        self.predicted / self.measured - 1.0
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The row.
    pub row: Row,
    /// Its comparisons and the whole prediction, or why there are none.
    pub outcome: Result<(Vec<Comparison>, Figures), Rejection>,
}

/// How far predictions of one figure are off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// Which figure.
    pub figure: Figure,
    /// Rows compared.
    pub rows: usize,
    /// Median of the absolute errors.
    pub median: f64,
    /// Their 90th percentile, by nearest rank.
    pub p90: f64,
}

/// Reads measurements.
///
/// # Errors
///
/// When a line is not of the table's form.
pub fn read(csv: &str) -> Result<Vec<Row>, ValidateError> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(csv.as_bytes());
    reader
        .deserialize()
        .enumerate()
        .map(|(index, row)| {
            row.map_err(|e: csv::Error| ValidateError::BadLine {
                line: e.position().map_or(index as u64 + 2, csv::Position::line),
                reason: e.to_string(),
            })
        })
        .collect()
}

/// Checks and predicts every row. `adjust` may change a deployment before it is predicted, to try
/// other constants; most callers change nothing.
pub fn validate(rows: &[Row], adjust: &dyn Fn(&mut Deployment)) -> Vec<Checked> {
    rows.iter().map(|row| Checked { outcome: check(row, adjust), row: row.clone() }).collect()
}

/// Which rows' errors are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engines {
    /// vLLM, whose scheduler this is.
    Vllm,
    /// Others, whose schedulers differ: predicted all the same, and shown apart.
    Others,
}

impl Checked {
    /// Returns whose engine the row was measured on.
    pub fn engines(&self) -> Engines {
        match self.row.deployment.parse::<Deployment>().map(|deployment| deployment.stack) {
            Ok(Stack::Sglang | Stack::TensorRt) => Engines::Others,
            Ok(Stack::Vllm | Stack::VllmAsync | Stack::VllmFused) | Err(_) => Engines::Vllm,
        }
    }
}

/// Returns how far predictions are off, for each figure that some row of these engines has.
pub fn errors(checked: &[Checked], engines: Engines) -> Vec<Errors> {
    let comparisons: Vec<Comparison> = checked
        .iter()
        .filter(|row| row.engines() == engines)
        .filter_map(|row| row.outcome.as_ref().ok())
        .flat_map(|(comparisons, _)| comparisons.iter().copied())
        .collect();
    Figure::ALL
        .into_iter()
        .filter_map(|figure| {
            let mut sizes: Vec<f64> = comparisons
                .iter()
                .filter(|comparison| comparison.figure == figure)
                .map(|comparison| comparison.error().abs())
                .collect();
            sizes.sort_by(f64::total_cmp);
            let rank = |q: f64| sizes[(q * sizes.len() as f64).ceil().max(1.0) as usize - 1];
            (!sizes.is_empty()).then(|| Errors {
                figure,
                rows: sizes.len(),
                median: rank(0.5),
                p90: rank(0.9),
            })
        })
        .collect()
}

fn check(
    row: &Row,
    adjust: &dyn Fn(&mut Deployment),
) -> Result<(Vec<Comparison>, Figures), Rejection> {
    let mut deployment: Deployment = row.deployment.parse()?;
    adjust(&mut deployment);
    let load = parse_load(&row.load).ok_or_else(|| Rejection::Load { load: row.load.clone() })?;
    let reasons = checks::impossible(row, &deployment, load);
    if !reasons.is_empty() {
        return Err(Rejection::Impossible { reasons });
    }
    let figures = run(row, &deployment, load)?.ok_or(Rejection::Nothing)?;
    Ok((compare(row, load, &figures), figures))
}

/// Predicts a row's deployment under its load.
fn run(row: &Row, deployment: &Deployment, load: Load) -> Result<Option<Figures>, DeploymentError> {
    let seed = Seed(1).named(&row.row);
    let mut fleet = Fleet::new(deployment, seed)?;
    let mut stream = Stream::new(load, row.requests, seed);
    let longest = deployment.limits.max_model_len.unwrap_or(deployment.model.max_context);
    let input = lengths(row.input_tokens, row.input_cv, longest / 2);
    let output = lengths(row.output_tokens, row.output_cv, longest / 2);
    let block = deployment.limits.block_size;
    let shared = seed.named("shared");
    let mut ask = |due: Due| {
        let mut job = Lengths::job(input, output, seed, due.id);
        let blocks = row.shared_tokens.min(job.prompt_tokens) / block;
        job.blocks = (0..blocks).map(|index| shared.at(u64::from(index)).0).collect();
        job
    };
    let mut watch = Summary::default();
    predict(&mut fleet, &mut stream, &mut ask, Horizon::default(), &mut watch);
    Ok(watch.figures())
}

/// Answers and prompts of conversations are cut at about five means in the usual datasets.
const SPREAD_CUT: f64 = 5.0;

fn lengths(mean: f64, cv: f64, longest: u32) -> Lengths {
    if cv > 0.0 {
        Lengths::Spread { mean, cv, max: longest.min((SPREAD_CUT * mean) as u32) }
    } else {
        Lengths::Fixed(mean.round() as u32)
    }
}

fn parse_load(text: &str) -> Option<Load> {
    let (kind, value) = text.split_once(':').unwrap_or((text, ""));
    let rate = || value.parse().ok().filter(|&rate: &f64| rate > 0.0 && rate.is_finite());
    match kind {
        "burst" if value.is_empty() => Some(Load::Burst),
        "closed" => value.parse().ok().filter(|&n| n > 0).map(|n| Load::Closed { concurrency: n }),
        "poisson" => rate().map(|rate| Load::Poisson { rate }),
        "constant" => rate().map(|rate| Load::Constant { rate }),
        _ => None,
    }
}

/// In a burst, TPOT of shorter answers says which prompts they shared a step with, and little
/// else: two runs of one deployment have published 17 and 208 ms.
const SHORT_ANSWER: f64 = 16.0;
/// A first token that takes more than this share of the whole request says that requests queue.
const QUEUEING_SHARE: f64 = 0.25;

fn compare(row: &Row, load: Load, figures: &Figures) -> Vec<Comparison> {
    let mut out = Vec::new();
    let mut push = |figure, measured: Option<f64>, predicted: f64| {
        if let Some(measured) = measured {
            out.push(Comparison { figure, measured, predicted });
        }
    };
    match load {
        Load::Burst => {
            let telling = row.tpot_p50_ms.filter(|_| row.output_tokens >= SHORT_ANSWER);
            push(Figure::Tpot, telling, figures.tpot_p50 * 1e3);
        }
        Load::Closed { .. } | Load::Poisson { .. } | Load::Constant { .. } => {
            push(Figure::Tpot, row.tpot_mean_ms, figures.tpot_mean * 1e3);
        }
    }
    if matches!(load, Load::Burst | Load::Closed { .. }) {
        push(Figure::OutputRate, row.output_tok_s, figures.output_rate);
    }
    let whole = row.tpot_mean_ms.map(|tpot| tpot * (row.output_tokens - 1.0));
    let queueing = |ttft: f64| whole.is_some_and(|rest| ttft > QUEUEING_SHARE * (ttft + rest));
    if load != Load::Burst {
        let below = row.ttft_mean_ms.filter(|&ttft| !queueing(ttft));
        push(Figure::Ttft, below, figures.ttft_mean * 1e3);
    }
    out
}

#[cfg(test)]
mod tests;
