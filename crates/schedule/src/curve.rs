//! The rate over time, as a change of time.
//!
//! Let Λ(t) be the area under the rate from the start of the load to t: how many arrivals are
//! expected by then. An arrival process of mean gap 1 becomes one of this rate when the arrival
//! at the sum S of gaps is put where Λ reaches S:
//!
//! ```text
//!  rate                                  Λ
//!    to ┤         ╭────────                │             ╱
//!       │       ╱                        S ┤┄┄┄┄┄┄┄┄┄┄┄╱
//!       │     ╱                            │         ╱ ┊
//!  from ┼────╯                             │    _,-'   ┊
//!       │░░░░ area = Λ ░░                  │,-'        ┊
//!       └────┬────┬────────▶ t             └────┬────┬─┴──▶ t
//!      start w0   w1                      start w0   w1  Λ⁻¹(S)
//! ```
//!
//! Every instant is computed from the start, so nothing drifts.

use infermark_scenario::intent::{Bounds, RateCurve};

/// A rate over time, in requests per second and seconds from the start of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve {
    /// The same throughout.
    Steady(f64),
    /// `from` during the warm-up, `to` after the window.
    Ramp(Ramp),
}

/// A change of rate over the measured window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    from: f64,
    to: f64,
    /// When the window begins.
    opens: f64,
    /// How long it is.
    length: f64,
    bend: Bend,
}

/// How the rate goes from one to the other.
#[derive(Clone, Copy, Debug)]
enum Bend {
    /// In a straight line.
    Linear,
    /// By equal factors in equal times.
    Exponential,
}

impl Curve {
    pub(crate) fn new(rate: RateCurve, bounds: &Bounds) -> Self {
        let (from, to, bend) = match rate {
            RateCurve::Steady(rate) => return Self::Steady(rate),
            RateCurve::Linear { from, to } => (from, to, Bend::Linear),
            RateCurve::Exponential { from, to } => (from, to, Bend::Exponential),
        };
        let length = bounds.duration.expect("a scenario with a ramp has a duration").as_secs_f64();
        Self::Ramp(Ramp { from, to, opens: bounds.warmup.as_secs_f64(), length, bend })
    }

    /// Returns when so many arrivals are expected to have come: Λ⁻¹.
    pub(crate) fn time_of(&self, arrivals: f64) -> f64 {
        match self {
            Self::Steady(rate) => arrivals / rate,
            Self::Ramp(ramp) => ramp.time_of(arrivals),
        }
    }
}

impl Ramp {
    fn time_of(&self, arrivals: f64) -> f64 {
        let in_window = arrivals - self.from * self.opens;
        if in_window < 0.0 {
            return arrivals / self.from;
        }
        let after_window = in_window - self.area();
        if after_window < 0.0 {
            return self.opens + self.since_opening(in_window);
        }
        self.opens + self.length + after_window / self.to
    }

    /// Returns how many arrivals are expected in the window.
    fn area(&self) -> f64 {
        match self.bend {
            Bend::Linear => 0.5 * (self.from + self.to) * self.length,
            Bend::Exponential if self.growth() == 0.0 => self.from * self.length,
            // ∫ from·e^(g·t) dt = (to − from) / g
            Bend::Exponential => (self.to - self.from) / self.growth(),
        }
    }

    /// Returns how long after the window's beginning so many arrivals are expected in it.
    fn since_opening(&self, arrivals: f64) -> f64 {
        match self.bend {
            // arrivals = from·t + slope·t²/2, solved without the difference of two near numbers.
            // Rounding may take what is under the root below 0 at the end of a ramp to almost 0.
            Bend::Linear => {
                let slope = (self.to - self.from) / self.length;
                let rate = (self.from * self.from + 2.0 * slope * arrivals).max(0.0).sqrt();
                2.0 * arrivals / (self.from + rate)
            }
            Bend::Exponential if self.growth() == 0.0 => arrivals / self.from,
            // arrivals = from·(e^(g·t) − 1)/g
            Bend::Exponential => {
                let growth = self.growth();
                (growth * arrivals / self.from).max(-1.0).ln_1p() / growth
            }
        }
    }

    /// Returns g of an exponential ramp: its rate is `from·e^(g·t)`.
    fn growth(&self) -> f64 {
        ((self.to - self.from) / self.from).ln_1p() / self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_terms::Nanos;
    use proptest::prelude::*;

    /// The rate itself, straight from the words of the scenario: the oracle.
    fn rate(curve: RateCurve, opens: f64, length: f64, t: f64) -> f64 {
        let part = ((t - opens) / length).clamp(0.0, 1.0);
        match curve {
            RateCurve::Steady(rate) => rate,
            RateCurve::Linear { from, to } => from + (to - from) * part,
            RateCurve::Exponential { from, to } => from * (to / from).powf(part),
        }
    }

    /// Simpson's rule over [a, b].
    fn area(f: &dyn Fn(f64) -> f64, a: f64, b: f64) -> f64 {
        let steps = 400;
        let h = (b - a) / f64::from(steps);
        let inner: f64 =
            (1..steps).map(|i| f64::from(2 + 2 * (i % 2)) * f(a + f64::from(i) * h)).sum();
        (f(a) + inner + f(b)) * h / 3.0
    }

    fn curves() -> impl Strategy<Value = RateCurve> {
        let rates = || 0.5..100.0;
        prop_oneof![
            rates().prop_map(RateCurve::Steady),
            (rates(), rates()).prop_map(|(from, to)| RateCurve::Linear { from, to }),
            (rates(), rates()).prop_map(|(from, to)| RateCurve::Exponential { from, to }),
            rates().prop_map(|from| RateCurve::Linear { from, to: from }),
            rates().prop_map(|from| RateCurve::Exponential { from, to: from }),
        ]
    }

    proptest! {
        #[test]
        fn the_area_under_the_rate_up_to_an_arrival_is_its_number(
            shape in curves(), opens in 0_u32..40, length in 1_u32..60, t in 0.0..120.0_f64,
        ) {
            let bounds = Bounds {
                requests: None,
                duration: Some(Nanos::from_secs(length.into())),
                warmup: Nanos::from_secs(opens.into()),
                drain: Nanos::ZERO,
            };
            let (opens, length) = (f64::from(opens), f64::from(length));
            let f = |t| rate(shape, opens, length, t);
            let (w0, w1) = (opens.min(t), (opens + length).min(t));
            let expected = area(&f, 0.0, w0) + area(&f, w0, w1) + area(&f, w1, t);
            let found = Curve::new(shape, &bounds).time_of(expected);
            let off = (found - t).abs() * f(t);
            prop_assert!(off < 1e-8 * (1.0 + expected), "{found} is not {t}");
        }
    }
}
