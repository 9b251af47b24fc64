//! From values to places, and the values at which an axis is marked.

use crate::figure::count;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Equal distances for equal differences.
    Linear { low: f64, high: f64 },
    /// The same, of whole numbers: a mark at no other.
    Whole { low: f64, high: f64 },
    /// Equal distances for equal ratios; both ends are above 0.
    Log { low: f64, high: f64 },
    /// Shares from 0 to below 1, each nine as long as the one before: 0.9, 0.99, 0.999 and so on.
    Tail { nines: f64 },
}

impl Scale {
    /// Returns the linear scale from 0 to the greatest value, rounded up to a mark.
    pub(crate) fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let high = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if high > 0.0 { high } else { 1.0 };
        let step = nice_step(high / 4.0);
        Self::Linear { low: 0.0, high: (high / step - 1e-9).ceil() * step }
    }

    /// Returns the linear scale over exactly these values.
    pub(crate) fn exactly(low: f64, high: f64) -> Self {
        Self::Linear { low, high: if high > low { high } else { low + 1.0 } }
    }

    /// Returns the logarithmic scale over these values, those above 0, out to the next 1, 2 or 5.
    pub(crate) fn log(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = positive
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if high == 0.0 {
            return Self::Log { low: 1.0, high: 10.0 };
        }
        let (low, high) = (round_down(low), -0.0 + round_up(high));
        Self::Log { low, high: if high > low { high } else { low * 10.0 } }
    }

    /// Returns where a value lies, from 0 to 1; values outside lie at the ends.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = match *self {
            Self::Linear { low, high } | Self::Whole { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value.max(low) / low).ln() / (high / low).ln(),
            Self::Tail { nines } => -(1.0 - value).max(1e-12).log10() / nines,
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// Returns the marks, at most about so many, with their labels.
    pub(crate) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let values = match *self {
            Self::Linear { low, high } => linear_ticks(low, high, most),
            Self::Whole { low, high } => {
                let ticks = linear_ticks(low, high, most).into_iter();
                ticks.filter(|value| (value - value.round()).abs() < 1e-9).collect()
            }
            Self::Log { low, high } => log_ticks(low, high, most),
            Self::Tail { nines } => return tail_ticks(nines),
        };
        values.into_iter().map(|value| (value, short(value))).collect()
    }
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let step = nice_step((high - low) / most.max(1) as f64);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

/// Marks at 1, 2 and 5 of each decade while there is room, else at 1 only, else at every so many
/// decades.
fn log_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
    let within = |value: &f64| (low * 0.999..=high * 1.001).contains(value);
    let at = |digits: &[f64]| -> Vec<f64> {
        let each = decades.clone().flat_map(|e| digits.iter().map(move |d| d * 10_f64.powi(e)));
        each.filter(within).collect()
    };
    [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]]
        .into_iter()
        .map(at)
        .find(|ticks| ticks.len() <= most && ticks.len() > 1)
        .unwrap_or_else(|| {
            let ticks = at(&[1.0]);
            let every = ticks.len().div_ceil(most.max(1)).max(1);
            ticks.into_iter().step_by(every).collect()
        })
}

fn tail_ticks(nines: f64) -> Vec<(f64, String)> {
    let marks = [
        (0.0, "min"),
        (0.5, "p50"),
        (0.9, "p90"),
        (0.99, "p99"),
        (0.999, "p99.9"),
        (0.9999, "p99.99"),
        (0.999_99, "p99.999"),
    ];
    let within = marks.into_iter().filter(|(share, _)| -f64::log10(1.0 - share) <= nines + 0.01);
    within.map(|(share, name)| (share, name.to_owned())).collect()
}

/// Returns the least of 1, 2, 2.5 and 5 times a power of ten that is not less.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-12).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= least * 0.999).unwrap_or(power)
}

fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0];
    digits.into_iter().map(|d| d * power).find(|v| *v >= value * 0.999).unwrap_or(value)
}

fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let digits = [5.0, 2.0, 1.0];
    digits.into_iter().map(|d| d * power).find(|v| *v <= value * 1.001).unwrap_or(power)
}

/// Returns a mark's label: no more digits than it has, large ones in thousands or millions.
pub(crate) fn short(value: f64) -> String {
    let plain = |value: f64| {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match value.abs() {
        v if v >= 1e15 => format!("{value:.0e}"),
        v if v >= 1e9 => plain((value / 1e7).round() / 100.0) + "G",
        v if v >= 1e6 => plain((value / 1e4).round() / 100.0) + "M",
        v if v >= 1e4 => plain((value / 10.0).round() / 100.0) + "k",
        v if v >= 1000.0 && v.fract() == 0.0 => count(v as u64),
        v if v > 0.0 && v < 1e-4 => format!("{value:.0e}"),
        _ => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_are_round_numbers() {
        let labels = |scale: Scale, most| -> Vec<String> {
            scale.ticks(most).into_iter().map(|(_, label)| label).collect()
        };
        let linear = Scale::from_zero([873.0].into_iter());
        assert_eq!(labels(linear, 5), ["0", "200", "400", "600", "800", "1,000"]);
        let time = Scale::exactly(0.0, 14.8);
        assert_eq!(labels(time, 6), ["0", "2.5", "5", "7.5", "10", "12.5"]);
        let log = Scale::log([3.4, 870.0].into_iter());
        assert_eq!(log, Scale::Log { low: 2.0, high: 1000.0 });
        assert_eq!(labels(log, 9), ["2", "5", "10", "20", "50", "100", "200", "500", "1,000"]);
        assert_eq!(labels(log, 4), ["10", "100", "1,000"]);
    }

    #[test]
    fn whole_numbers_are_marked_at_whole_numbers_only() {
        let labels = |high, most| -> Vec<String> {
            let ticks = Scale::Whole { low: 0.5, high }.ticks(most);
            ticks.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(4.5, 9), ["1", "2", "3", "4"]);
        assert_eq!(labels(30.5, 9), ["5", "10", "15", "20", "25", "30"]);
    }

    #[test]
    fn labels_are_short() {
        let shown = [0.0, 0.25, 1500.0, 12_500.0, 2e6, 3.25e9, 1e-5].map(short);
        assert_eq!(shown, ["0", "0.25", "1,500", "12.5k", "2M", "3.25G", "1e-5"]);
    }

    proptest! {
        #[test]
        fn a_scale_holds_its_values_and_its_marks(
            values in prop::collection::vec(1e-9..1e12_f64, 1..20),
            most in 2_usize..12,
        ) {
            for scale in
                [Scale::from_zero(values.iter().copied()), Scale::log(values.iter().copied())]
            {
                let ticks = scale.ticks(most);
                prop_assert!(!ticks.is_empty() && ticks.len() <= most + 2, "{:?}", ticks);
                for value in &values {
                    prop_assert!((0.0..=1.0).contains(&scale.place(*value)));
                }
                prop_assert!(ticks.iter().all(|(_, label)| label.chars().count() <= 8));
            }
        }
    }
}
