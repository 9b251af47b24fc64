//! What a chat template costs, and what a word costs where there is no tokenizer.
//!
//! A few prompts of known content are sent to the server; its `usage.prompt_tokens` tells the
//! rest. With a tokenizer, the difference between the server's count and ours is the template's
//! overhead, and must be the same for every length: if it is not, the tokenizer is not the
//! model's. Without one, a straight line through the counts gives tokens per word and overhead.
//!
//! Not here: sending them.

use std::fmt::Write as _;

use infermark_scenario::intent::{PromptForm, PromptSource};
use infermark_terms::{Prompt, RequestId, Seed};
use thiserror::Error;

use crate::compose::{Composer, Matter};
use crate::lexicon::DECK;
use crate::workload::{Calibration, Counter, Template, WorkloadError};

/// Content lengths of the probes: far enough apart to tell a word from the template, short
/// enough for every model's context, and whole decks of words where these are dealt.
const UNITS: [u32; 3] = [DECK as u32, 3 * DECK as u32, 10 * DECK as u32];

/// A prompt of known content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The prompt. One output token is enough.
    pub prompt: Prompt,
    /// Its content: in tokens where there is a tokenizer, else in words.
    pub units: u32,
}

/// What the server counted for a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The probe's content.
    pub units: u32,
    /// The server's `usage.prompt_tokens`.
    pub prompt_tokens: u32,
}

/// Returns probes of the kind of text that the workload will ask, in the form in which it asks.
///
/// # Errors
/// When the tokenizer cannot be used, or token ids are asked for without one.
pub fn probes(
    source: &PromptSource,
    form: PromptForm,
    counter: &Counter,
    seed: Seed,
) -> Result<Vec<Probe>, WorkloadError> {
    if form == PromptForm::TokenIds && matches!(counter, Counter::Calibrated(_)) {
        return Err(WorkloadError::IdsNeedTokenizer);
    }
    let matter = match source {
        PromptSource::Corpus { .. } => Matter::Prose,
        PromptSource::Synthetic { .. } | PromptSource::Trace { .. } | PromptSource::File { .. } => {
            Matter::Words(None)
        }
    };
    let composer = Composer::new(matter, counter, seed.named("probes"))?;
    let probe = |(id, units)| {
        let prompt = composer.prompt(RequestId(id), units, form)?;
        Ok(Probe { prompt, units })
    };
    (0..).zip(UNITS).map(probe).collect()
}

/// Returns the counter and the template that the readings show.
///
/// # Errors
/// When the readings contradict the tokenizer or each other.
pub fn fit(counter: &Counter, readings: &[Reading]) -> Result<(Counter, Template), ProbeError> {
    match counter {
        Counter::Tokenizer(_) => {
            let overhead = |reading: &Reading| reading.prompt_tokens.checked_sub(reading.units);
            let first = readings.first().and_then(overhead);
            match first {
                Some(found) if readings.iter().all(|reading| overhead(reading) == first) => {
                    Ok((counter.clone(), Template { overhead: found }))
                }
                _ => Err(ProbeError::Mismatch { readings: listed(readings) }),
            }
        }
        Counter::Calibrated(_) => {
            let (tokens_per_word, overhead) = line(readings)
                .filter(|&(slope, _)| slope > 0.0)
                .ok_or_else(|| ProbeError::Unsteady { readings: listed(readings) })?;
            // A slightly negative overhead is noise in the words' lengths.
            let template = Template { overhead: overhead.round().max(0.0) as u32 };
            Ok((Counter::Calibrated(Calibration { tokens_per_word }), template))
        }
    }
}

/// Returns slope and intercept of the least-squares line of `prompt_tokens` over `units`;
/// nothing without two different lengths.
fn line(readings: &[Reading]) -> Option<(f64, f64)> {
    let n = readings.len() as f64;
    let points = || readings.iter().map(|r| (f64::from(r.units), f64::from(r.prompt_tokens)));
    let mean_x = points().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = points().map(|(_, y)| y).sum::<f64>() / n;
    let spread = points().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    if spread > 0.0 {
        let product = points().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
        let slope = product / spread;
        Some((slope, mean_y - slope * mean_x))
    } else {
        None
    }
}

fn listed(readings: &[Reading]) -> String {
    let mut text = String::new();
    for Reading { units, prompt_tokens } in readings {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{prompt_tokens} for {units}").expect("a string takes all");
    }
    text
}

/// Why readings tell nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProbeError {
    /// The server counts otherwise than the tokenizer.
    #[error("the tokenizer is not the model's: the server counted {readings} tokens of content")]
    Mismatch {
        /// Each reading.
        readings: String,
    },
    /// The server's counts do not grow with the prompt.
    #[error("the server's prompt counts do not grow with the prompt: {readings} words")]
    Unsteady {
        /// Each reading.
        readings: String,
    },
}

impl ProbeError {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => {
                "give the served model's own tokenizer, or `--tokenizer server` or `none`"
            }
            Self::Unsteady { .. } => "give the model's tokenizer with `--tokenizer PATH`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use infermark_scenario::intent::Distribution;

    const SYNTHETIC: PromptSource =
        PromptSource::Synthetic { input_tokens: Distribution::Fixed(128), prefix: None };
    const CORPUS: PromptSource = PromptSource::Corpus { input_tokens: Distribution::Fixed(128) };

    /// What a server with this tokenizer and a template of 11 tokens counts.
    fn readings(probes: &[Probe]) -> Vec<Reading> {
        let server = samples::small();
        let read = |probe: &Probe| {
            let content = match &probe.prompt {
                Prompt::Text(text) => server.count(text).unwrap(),
                Prompt::Tokens(ids) => ids.len() as u32,
                Prompt::Messages(_) => panic!("probes are not conversations"),
            };
            Reading { units: probe.units, prompt_tokens: content + 11 }
        };
        probes.iter().map(read).collect()
    }

    #[test]
    fn the_models_own_tokenizer_finds_the_template() {
        let counter = Counter::by(samples::small());
        for source in [SYNTHETIC, CORPUS] {
            for form in [PromptForm::Text, PromptForm::TokenIds] {
                let probes = probes(&source, form, &counter, Seed(1)).unwrap();
                let (_, template) = fit(&counter, &readings(&probes)).unwrap();
                assert_eq!(template.overhead, 11);
            }
        }
    }

    #[test]
    fn a_foreign_tokenizer_is_found_out() {
        let counter = Counter::by(samples::bytes());
        let probes = probes(&SYNTHETIC, PromptForm::Text, &counter, Seed(1)).unwrap();
        let error = fit(&counter, &readings(&probes)).err().unwrap();
        assert!(error.to_string().starts_with("the tokenizer is not the model's: "), "{error}");
        assert!(error.to_string().contains(" for 32, "), "{error}");
    }

    #[test]
    fn without_a_tokenizer_words_and_template_are_fitted() {
        let assumed = Counter::Calibrated(Calibration::ASSUMED);
        let exact = |units| Reading { units, prompt_tokens: units * 3 / 2 + 7 };
        let (counter, template) = fit(&assumed, &UNITS.map(exact)).unwrap();
        let Counter::Calibrated(found) = counter else { panic!("still calibrated") };
        assert!((found.tokens_per_word - 1.5).abs() < 1e-9);
        assert_eq!(template.overhead, 7);
    }

    #[test]
    fn calibration_on_a_real_vocabulary_comes_near_the_template() {
        let assumed = Counter::Calibrated(Calibration::ASSUMED);
        for source in [SYNTHETIC, CORPUS] {
            let probes = probes(&source, PromptForm::Text, &assumed, Seed(1)).unwrap();
            let (_, template) = fit(&assumed, &readings(&probes)).unwrap();
            assert!(template.overhead.abs_diff(11) <= 6, "{template:?}");
        }
    }

    #[test]
    fn counts_that_do_not_grow_are_refused() {
        let assumed = Counter::Calibrated(Calibration::ASSUMED);
        let constant = |units| Reading { units, prompt_tokens: 50 };
        for readings in [&UNITS.map(constant)[..], &[constant(16)], &[]] {
            assert!(matches!(fit(&assumed, readings), Err(ProbeError::Unsteady { .. })));
        }
        let counter = Counter::by(samples::small());
        assert!(matches!(fit(&counter, &[]), Err(ProbeError::Mismatch { .. })));
    }
}
