//! What an hour of a deployment costs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A currency by its code of three letters (ISO 4217).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// Returns the code.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the sign that stands before an amount: `$` for dollars, else the code and a space.
    pub fn sign(&self) -> String {
        match &self.0 {
            b"USD" => "$".to_owned(),
            b"EUR" => "€".to_owned(),
            b"GBP" => "£".to_owned(),
            _ => format!("{} ", self.code()),
        }
    }
}

impl FromStr for Currency {
    type Err = NotAPrice;

    fn from_str(text: &str) -> Result<Self, NotAPrice> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| NotAPrice::Currency)?;
        let letters = code.iter().all(u8::is_ascii_uppercase);
        letters.then_some(Self(code)).ok_or(NotAPrice::Currency)
    }
}

impl TryFrom<String> for Currency {
    type Error = NotAPrice;

    fn try_from(text: String) -> Result<Self, NotAPrice> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// What an hour of the whole deployment costs. Written `1.50/h`, in dollars, or `1.50 EUR/h`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The amount, above 0.
    pub per_hour: f64,
    /// Of what.
    pub currency: Currency,
}

impl Price {
    /// The highest price that can be stated.
    pub const PER_HOUR_MAX: f64 = 1e9;

    /// Returns a price, if the amount is above 0 and at most [`PER_HOUR_MAX`](Self::PER_HOUR_MAX).
    ///
    /// # Errors
    ///
    /// [`NotAPrice::Amount`] for any other amount.
    pub fn new(per_hour: f64, currency: Currency) -> Result<Self, NotAPrice> {
        let sensible = per_hour > 0.0 && per_hour <= Self::PER_HOUR_MAX;
        sensible.then_some(Self { per_hour, currency }).ok_or(NotAPrice::Amount)
    }
}

/// Why a text is not a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAPrice {
    /// It does not end in `/h`.
    Unit,
    /// The amount is not a number above 0, or beyond reason.
    Amount,
    /// The currency is not a code of three capital letters.
    Currency,
}

impl fmt::Display for NotAPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "no `/h` at its end",
            Self::Amount => "not an amount above 0",
            Self::Currency => "not a currency's code of three capital letters",
        })
    }
}

impl std::error::Error for NotAPrice {}

impl FromStr for Price {
    type Err = NotAPrice;

    fn from_str(text: &str) -> Result<Self, NotAPrice> {
        let amount = text.trim().strip_suffix("/h").ok_or(NotAPrice::Unit)?.trim();
        let amount = amount.strip_prefix('$').unwrap_or(amount);
        let (number, currency) = match amount.split_once(char::is_whitespace) {
            Some((number, code)) => (number, code.trim().parse()?),
            None => (amount, Currency::USD),
        };
        let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = plain.then(|| number.parse().ok()).flatten().ok_or(NotAPrice::Amount)?;
        Self::new(number, currency)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.currency {
            Currency::USD => write!(f, "{}/h", self.per_hour),
            currency => write!(f, "{} {}/h", self.per_hour, currency.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_reads_back_as_it_is_written() {
        for text in ["1.5/h", "0.02/h", "12 EUR/h", "98.32/h"] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), text);
        }
        assert_eq!("$1.50/h".parse(), "1.5 USD / h".replace(" / ", "/").parse::<Price>());
    }

    #[test]
    fn what_is_no_price_is_refused() {
        let fault = |text: &str| text.parse::<Price>().unwrap_err();
        assert_eq!(fault("1.50"), NotAPrice::Unit);
        for text in ["/h", "0/h", "-1/h", "inf/h", "1e3/h", "1.2.3/h", "9999999999/h"] {
            assert_eq!(fault(text), NotAPrice::Amount, "{text}");
        }
        for text in ["1 eur/h", "1 EURO/h", "1 €/h", "1 E1R/h"] {
            assert_eq!(fault(text), NotAPrice::Currency, "{text}");
        }
    }
}
