//! A distribution as a curve: the value at each share of the observations.

use serde::Serialize;

/// Shares beyond the whole per cents, in the tail that averages hide.
const TAIL: [f64; 5] = [0.995, 0.999, 0.9995, 0.9999, 0.99999];

/// The value at each share of the observations, by nearest rank: every value was observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// Observations.
    pub n: u64,
    /// `[share, milliseconds]`, both ascending, from share 0 (the least) to 1 (the greatest).
    pub points: Vec<[f64; 2]>,
}

impl Curve {
    /// Draws the curve of observations in nanoseconds with their weights, the least first;
    /// nothing without any.
    pub(crate) fn of(ascending: impl Iterator<Item = (u64, u64)> + Clone) -> Option<Self> {
        let (n, total) = ascending.clone().fold((0, 0), |(n, sum), (_, w)| (n + 1, sum + w));
        let mut points: Vec<[f64; 2]> = Vec::new();
        let mut shares = shares(total).peekable();
        let mut below = 0;
        for (value, weight) in ascending {
            below += weight;
            while let Some(share) = shares.next_if(|share| rank(*share, total) <= below) {
                points.push([share, value as f64 / 1e6]);
            }
        }
        (total > 0).then_some(Self { n, points })
    }
}

/// The shares at which a curve of so many observations is drawn: those of the tail only where one
/// observation lies above them.
fn shares(total: u64) -> impl Iterator<Item = f64> {
    let tail = TAIL.into_iter().filter(move |share| (1.0 - share) * total as f64 >= 1.0);
    (0..100).map(|percent| f64::from(percent) / 100.0).chain(tail).chain([1.0])
}

fn rank(share: f64, total: u64) -> u64 {
    ((share * total as f64).ceil() as u64).clamp(1, total.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_curve_is_the_nearest_rank_at_each_share(
            mut values in prop::collection::vec((0_u64..1000, 1_u64..4), 1..400),
        ) {
            values.sort_unstable();
            let curve = Curve::of(values.iter().copied()).unwrap();
            let all: Vec<u64> =
                values.iter().flat_map(|&(v, w)| vec![v; w as usize]).collect();
            prop_assert_eq!(curve.n, values.len() as u64);
            prop_assert_eq!(curve.points.len(), shares(all.len() as u64).count());
            for [share, millis] in curve.points {
                let rank = ((share * all.len() as f64).ceil() as usize).max(1);
                prop_assert_eq!((millis * 1e6).round() as u64, all[rank - 1]);
            }
        }
    }

    #[test]
    fn nothing_has_no_curve() {
        assert_eq!(Curve::of(std::iter::empty()), None);
    }
}
