//! Figures that another tool worked out, of which no observations are at hand.
//!
//! A single figure says nothing of how it would vary, so of one on each side nobody can tell
//! whether a difference is more than chance. Where each side has several runs, they can: Student's
//! t across runs, as of our own repeats.
//!
//! Not here: which figures of two tools mean the same.

use super::contrast::{Contrast, Totals, Units};
use super::{Comparison, Figure, Finding, Settings, Standing, Unit, critical, is_repeated};

/// A figure that was quoted.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// The figure.
    pub figure: Figure,
    /// Its values in the runs of the baseline and of the candidate; at least one each. Of a
    /// percentile, which cannot be averaged, just one.
    pub values: [Vec<f64>; 2],
}

/// Compares figures that were quoted.
///
/// Without repeats every finding is [`Standing::CannotTell`] and has no interval: what it gives
/// are the figures and the change between them.
pub fn compare_quotes(quotes: &[Quote], settings: Settings) -> Comparison {
    let contrasts: Vec<Option<Contrast>> = quotes.iter().map(contrast).collect();
    let tested = contrasts.iter().flatten().count();
    let finding = |(quote, contrast): (&Quote, &Option<Contrast>)| match contrast {
        None => untested(quote),
        Some(contrast) => {
            let critical = critical::student(&contrast.residuals(), settings.alpha, tested);
            contrast.finding_of(quote.figure.clone(), critical, settings)
        }
    };
    Comparison {
        unit: if tested > 0 { Unit::Runs } else { Unit::Nothing },
        findings: quotes.iter().zip(&contrasts).map(finding).collect(),
    }
}

/// Returns the contrast of runs; nothing where there are too few.
fn contrast(quote: &Quote) -> Option<Contrast> {
    let counts = quote.values.each_ref().map(Vec::len);
    if !is_repeated(counts[0], counts[1]) {
        return None;
    }
    let units = |values: &Vec<f64>| values.iter().map(|&sum| Totals { sum, weight: 1.0 }).collect();
    let [baseline, candidate] = quote.values.each_ref().map(units);
    Contrast::of_sums(Units { baseline, candidate }, Unit::Runs, counts.map(|n| n as u64), 1.0)
}

fn untested(quote: &Quote) -> Finding {
    let [baseline, candidate] =
        quote.values.each_ref().map(|values| values.iter().sum::<f64>() / values.len() as f64);
    Finding {
        figure: quote.figure.clone(),
        baseline,
        candidate,
        change: (baseline != 0.0).then(|| candidate / baseline - 1.0),
        change_ci95: [None, None],
        verdict: Standing::CannotTell,
        n: quote.values.each_ref().map(|values| values.len() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(values: [&[f64]; 2]) -> Quote {
        let figure = Figure::Ours("tpot:mean".parse().unwrap());
        Quote { figure, values: values.map(<[f64]>::to_vec) }
    }

    #[test]
    fn single_figures_give_a_change_and_no_verdict() {
        let compared = compare_quotes(
            &[quoted([&[10.0], &[12.0]]), quoted([&[0.0], &[1.0]])],
            Settings::default(),
        );
        assert_eq!(compared.unit, Unit::Nothing);
        let found = &compared.findings[0];
        assert!((found.change.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!((found.change_ci95, found.verdict), ([None, None], Standing::CannotTell));
        assert_eq!(compared.findings[1].change, None);
    }

    #[test]
    fn repeated_figures_are_tested_across_runs() {
        let compared = compare_quotes(
            &[quoted([&[10.0, 10.1, 9.9], &[12.0, 12.1, 11.9]])],
            Settings::default(),
        );
        assert_eq!(compared.unit, Unit::Runs);
        let found = &compared.findings[0];
        let [low, high] = found.change_ci95.map(Option::unwrap);
        // Four degrees of freedom: 0.2 ± 2.776 · √(0.01 / 3) · √(1 + 1.2²) ÷ 10, about.
        assert!((0.165..0.19).contains(&low) && (0.21..0.235).contains(&high), "{low} {high}");
        assert_eq!(found.verdict, Standing::Worse);
        let scattered = compare_quotes(
            &[quoted([&[8.0, 12.0, 10.0], &[9.0, 14.0, 12.0]])],
            Settings::default(),
        );
        assert_eq!(scattered.findings[0].verdict, Standing::CannotTell);
    }
}
