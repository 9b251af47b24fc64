//! Which class a request is of: drawn by weight.
//!
//! Invariant: a function of the seed and the request's number alone, as all that is asked.

use infermark_scenario::intent::Class;
use infermark_terms::Seed;

use crate::draw::Draws;

/// The classes of a run by weight.
#[derive(Clone, Debug)]
pub struct Mix {
    /// The share of the requests up to each class, itself included; the last is 1.
    up_to: Vec<f64>,
    seed: Seed,
}

impl Mix {
    /// Returns the mix of these classes; nothing where there are none.
    pub fn of(classes: &[Class], seed: Seed) -> Option<Self> {
        let total: f64 = classes.iter().map(|class| class.weight).sum();
        let mut sum = 0.0;
        let up_to = classes.iter().map(|class| {
            sum += class.weight;
            sum / total
        });
        let up_to: Vec<_> = up_to.collect();
        (!up_to.is_empty()).then(|| Self { up_to, seed: seed.named("classes") })
    }

    /// Returns which class the request, or the session, of this number is of.
    pub fn class_of(&self, number: u64) -> usize {
        let drawn = Draws::new(self.seed.at(number)).unit();
        self.up_to.partition_point(|share| *share < drawn).min(self.up_to.len() - 1)
    }

    /// Returns the seed of what a class asks, so that no two ask alike.
    pub fn seed_of(seed: Seed, class: usize) -> Seed {
        seed.named("class").at(class as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_scenario::intent::{Distribution, PromptForm, PromptSource, Workload};
    use infermark_terms::{OutputPolicy, Slo};

    fn class(weight: f64) -> Class {
        let input_tokens = Distribution::Fixed(8);
        let workload = Workload {
            source: PromptSource::Synthetic { input_tokens, prefix: None },
            output_tokens: None,
            output_policy: OutputPolicy::Natural,
            form: PromptForm::Text,
        };
        Class { name: weight.to_string(), weight, model: None, workload, slo: Slo::default() }
    }

    #[test]
    fn each_class_has_its_share_of_the_requests() {
        let mix = Mix::of(&[class(1.0), class(0.5), class(2.5)], Seed(4)).unwrap();
        let mut counts = [0_u32; 3];
        for number in 0..40_000 {
            counts[mix.class_of(number)] += 1;
        }
        for (count, share) in counts.into_iter().zip([0.25, 0.125, 0.625]) {
            assert!((f64::from(count) / 40_000.0 - share).abs() < 0.01, "{counts:?}");
        }
        assert!(Mix::of(&[], Seed(4)).is_none());
    }
}
