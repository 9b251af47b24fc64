//! What an hour of the target costs: as stated, or its GPUs by a price table.
//!
//! The table that is built in is dated and names its sources. It is an example, not an offer:
//! whoever decides by cost states their own price.

use std::fs;

use infermark_scenario::intent::{Gpus, Scenario, Target};
use infermark_sim::hardware;
use infermark_sim::spec::SimTarget;
use infermark_terms::{Currency, Price};
use serde::Deserialize;

use crate::{RunError, embedded};

/// The table that is built in.
const PRICES: &str = include_str!("price/prices.toml");

/// Prices of GPUs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    currency: Currency,
    /// When the prices held: said to readers of the file, not computed with.
    #[serde(rename = "as_of")]
    _as_of: Option<String>,
    gpu: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    per_hour: f64,
    #[serde(rename = "source")]
    _source: Option<String>,
}

/// Returns what an hour of the scenario's target costs; absent where it says neither a price nor
/// GPUs that the built-in table knows. In the user's own table the GPUs of a simulated deployment
/// are looked up too, without being stated.
///
/// # Errors
///
/// If the user's price table cannot be read, or does not know the GPU.
pub(crate) fn price(scenario: &Scenario) -> Result<Option<Price>, RunError> {
    if scenario.price.is_some() {
        return Ok(scenario.price);
    }
    let Some(path) = &scenario.prices else {
        let table = read(PRICES).expect("the table that is built in is well formed");
        return Ok(scenario.gpus.as_ref().and_then(|gpus| table.price(gpus)));
    };
    let fault = |reason| RunError::Prices { path: path.clone(), reason };
    let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let table = read(&text).map_err(fault)?;
    let gpus = scenario.gpus.clone().or_else(|| simulated(&scenario.target));
    let gpus = gpus.ok_or_else(|| fault("nothing says which GPUs to look up".to_owned()))?;
    table
        .price(&gpus)
        .map(Some)
        .ok_or_else(|| fault(format!("it has no price for `{}`", gpus.name)))
}

fn simulated(target: &Target) -> Option<Gpus> {
    let Target::Sim(text) = target else { return None };
    match embedded::configure(text).ok()? {
        SimTarget::Fixed(_) => None,
        SimTarget::Deployment(deployment) => {
            Some(Gpus { count: deployment.gpus(), name: deployment.gpu.name.to_owned() })
        }
    }
}

fn read(text: &str) -> Result<Table, String> {
    let table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    for entry in &table.gpu {
        let fault = |fault| format!("the price of `{}` is {fault}", entry.name);
        let _: Price = Price::new(entry.per_hour, table.currency).map_err(fault)?;
    }
    Ok(table)
}

impl Table {
    fn price(&self, gpus: &Gpus) -> Option<Price> {
        let wanted = key(&gpus.name);
        let entry = self.gpu.iter().find(|entry| key(&entry.name) == wanted)?;
        Price::new(entry.per_hour * f64::from(gpus.count), self.currency).ok()
    }
}

/// Returns what is the same for all names of one kind of GPU.
fn key(name: &str) -> String {
    let known = hardware::find(name).map(|gpu| gpu.name.to_owned());
    known.unwrap_or_else(|| name.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(count: u32, name: &str) -> Gpus {
        Gpus { count, name: name.to_owned() }
    }

    #[test]
    fn the_built_in_table_prices_gpus_however_they_are_written() {
        let table = read(PRICES).unwrap();
        let price = table.price(&gpus(8, "NVIDIA H100 80GB HBM3")).unwrap();
        assert_eq!(Some(price), table.price(&gpus(8, "H100")));
        assert_eq!(price.to_string(), "34/h");
        let slice = table.price(&gpus(1, "A100 MIG 20GB")).unwrap();
        assert_eq!(slice.to_string(), "1.5/h");
        assert_eq!(table.price(&gpus(1, "a100-mig-20gb")), Some(slice));
        assert_eq!(table.price(&gpus(1, "abacus")), None);
        assert_eq!(PRICES.matches("[[gpu]]").count(), PRICES.matches("\nsource = ").count());
    }

    #[test]
    fn a_table_with_a_senseless_price_is_refused() {
        let fault = read("currency = \"EUR\"\n[[gpu]]\nname = \"h100\"\nper_hour = -2.0\n");
        assert_eq!(fault.unwrap_err(), "the price of `h100` is not an amount above 0");
        assert!(read("currency = \"euro\"\ngpu = []\n").is_err());
        assert!(read("gpu = []\n").is_err());
    }
}
