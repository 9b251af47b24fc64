//! What tokens cost.

use infermark_terms::{Currency, Price};
use serde::{Deserialize, Serialize};

use crate::Rates;

/// What a million tokens cost, in units of the currency. Absent where no such token was produced,
/// or where its kind was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// What an hour of the whole deployment costs.
    pub per_hour: f64,
    /// Of what.
    pub currency: Currency,
    /// A million output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_1m_output: Option<f64>,
    /// A million input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_1m_input: Option<f64>,
    /// A million tokens of either kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_1m_total: Option<f64>,
    /// A million output tokens of good requests, where an objective tells good from bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_1m_good: Option<f64>,
}

impl Cost {
    /// "`$ per 1M output tokens` = price per hour ÷ (output tokens/s × 3600) × 10⁶; likewise for
    /// input, total, and *good* tokens (goodput)" (docs/metrics.md, section 8).
    ///
    /// Each kind of token bears the whole price: they do not add up.
    pub fn of(price: Price, rates: &Rates) -> Self {
        let per_million = |rate: f64| (rate > 0.0).then(|| price.per_hour / (rate * 3600.0) * 1e6);
        Self {
            per_hour: price.per_hour,
            currency: price.currency,
            per_1m_output: per_million(rates.output_tokens_per_s),
            per_1m_input: rates.input_tokens_per_s.and_then(per_million),
            per_1m_total: rates.total_tokens_per_s.and_then(per_million),
            per_1m_good: rates.goodput_output_tokens_per_s.and_then(per_million),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(output: f64, input: Option<f64>) -> Rates {
        Rates {
            requests_per_s: 1.0,
            input_tokens_per_s: input,
            output_tokens_per_s: output,
            total_tokens_per_s: input.map(|input| input + output),
            ..Rates::default()
        }
    }

    /// The cost analysis of the OpenShift framework: an A100 MIG at 1.50 dollars an hour.
    #[test]
    fn the_published_costs_of_three_servers_come_out() {
        let price = Price::new(1.5, Currency::USD).unwrap();
        for (rate, published) in [(560.0, "0.74"), (405.0, "1.03"), (166.0, "2.51")] {
            let cost = Cost::of(price, &rates(rate, None)).per_1m_output.unwrap();
            assert_eq!(format!("{cost:.2}"), published);
        }
    }

    #[test]
    fn tokens_that_were_not_seen_cost_nothing_that_could_be_told() {
        let price = Price::new(3.6, Currency::USD).unwrap();
        let cost = Cost::of(price, &rates(0.0, Some(1000.0)));
        assert_eq!((cost.per_1m_output, cost.per_1m_input), (None, Some(1.0)));
        assert_eq!(Cost::of(price, &rates(1000.0, None)).per_1m_total, None);
    }
}
