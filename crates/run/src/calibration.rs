//! What this machine's calibration says of a run: before it of the load that is asked for, after
//! it of the load that was carried.
//!
//! Not here: how a machine is calibrated (`calibrate`), and where that is kept (`cli`).

use infermark_measure::Point;
use infermark_measure::region::{Burden, Region, Regions};
use infermark_scenario::intent::{Load, RateCurve, Scenario, Target};
use infermark_terms::{Caveat, CaveatCode, HttpVersion, Trust};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::environment::cpus;
use crate::load::{in_flight_max, shards};
use crate::target::version;

/// What to do about a load that lies outside.
pub const OUTSIDE_HINT: &str = "give the generator more cores and `--threads`, or share the load \
                                among machines; `infermark calibrate` measures this one again";

/// What a record keeps of the calibration, so that it can be judged again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Calibrated {
    /// Where one thread is exact, over the wire that was used.
    region: Region,
    /// Threads that had a core each.
    threads: u32,
}

impl Calibrated {
    /// Takes what concerns this scenario; nothing if its wire was not calibrated, as HTTP/2 never
    /// is.
    pub(crate) fn of(scenario: &Scenario, regions: &Regions) -> Result<Option<Self>, RunError> {
        if version(scenario) == HttpVersion::Http2 {
            return Ok(None);
        }
        let secure = matches!(&scenario.target, Target::Url(url) if url.starts_with("https:"));
        let region = if secure { regions.tls.as_ref() } else { Some(&regions.plain) };
        // The embedded engine takes a core of its own.
        let taken = usize::from(matches!(scenario.target, Target::Sim(_)));
        let cores = (cpus() - taken.min(cpus() - 1)) as u32;
        let threads = shards(scenario)?.min(cores);
        Ok(region.map(|region| Self { region: region.clone(), threads }))
    }

    /// Doubts a result whose load lay outside.
    pub(crate) fn doubt(&self, point: &Point) -> Option<Caveat> {
        let rates = point.rates?;
        // Only streams cost by the event.
        let streamed = point.latency.icl_ms.is_some();
        let events = rates.output_tokens_per_s / point.tokens.per_chunk_mean.unwrap_or(1.0);
        let burden = Burden {
            streams: point.concurrency.map(|concurrency| concurrency.mean),
            sends_per_s: Some(rates.requests_per_s),
            events_per_s: streamed.then_some(events),
        };
        self.region.outside(&burden, self.threads).map(|outside| Caveat {
            code: CaveatCode::OutsideCalibration,
            lowers_to: Trust::Doubtful,
            detail: format!("this machine's calibration ends before this load: {outside}"),
            hint: OUTSIDE_HINT.to_owned(),
        })
    }
}

/// Says what of the load that a scenario asks for lies outside the calibrated region; nothing if
/// nothing does, or nobody can know yet.
///
/// # Errors
///
/// If the scenario asks for more threads than it has slots.
pub fn outside(scenario: &Scenario, regions: &Regions) -> Result<Option<String>, RunError> {
    let Some(Calibrated { region, threads }) = Calibrated::of(scenario, regions)? else {
        return Ok(None);
    };
    Ok(region.outside(&asked(scenario), threads))
}

/// Returns what is known of the load before it begins: how long answers take, and so how many
/// streams an open loop makes, is not.
fn asked(scenario: &Scenario) -> Burden {
    match scenario.load {
        Load::Closed { .. } | Load::Throughput { .. } => {
            Burden { streams: in_flight_max(scenario).map(f64::from), ..Burden::default() }
        }
        Load::Open { rate, .. } => {
            let rate = match rate {
                RateCurve::Steady(rate) => rate,
                RateCurve::Linear { from, to } | RateCurve::Exponential { from, to } => {
                    from.max(to)
                }
            };
            Burden { sends_per_s: Some(rate), ..Burden::default() }
        }
        Load::Trace { .. } => Burden::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_measure::region::Reach;
    use infermark_scenario::settings::SETTINGS;
    use infermark_scenario::{Given, resolve};
    use infermark_terms::Seed;

    fn regions() -> Regions {
        let region = |streams| Region {
            reaches: vec![Reach { streams, tokens_per_s: 1e6 }],
            sends_per_s: Some(1000.0),
        };
        Regions { plain: region(500), tls: Some(region(100)) }
    }

    fn said(given: &[(&str, &str)], regions: &Regions) -> Option<String> {
        let setting = |key: &str| SETTINGS.iter().find(|setting| setting.key == key).unwrap();
        let given = given.iter().map(|(key, text)| Given::flag(setting(key), *text));
        let resolved = resolve(given.collect(), Seed(1)).unwrap();
        outside(&resolved.scenario, regions).unwrap()
    }

    #[test]
    fn a_load_is_compared_with_the_region_of_its_wire() {
        let plain = ("target", "http://127.0.0.1:1");
        let secure = ("target", "https://127.0.0.1:1");
        let threads = ("threads", "1");
        let slots = |slots| [plain, threads, ("concurrency", slots)];
        assert_eq!(said(&slots("500"), &regions()), None);
        assert!(said(&slots("501"), &regions()).unwrap().starts_with("501 streams"));
        let slots = [secure, threads, ("concurrency", "101")];
        assert!(said(&slots, &regions()).unwrap().starts_with("101 streams"));
        assert_eq!(said(&slots, &Regions { tls: None, ..regions() }), None);
        // Over HTTP/2 nothing was calibrated.
        assert_eq!(said(&[secure, threads, slots[2], ("http2", "yes")], &regions()), None);
        let rate = |rate| [plain, threads, ("rate", rate), ("requests", "10")];
        assert_eq!(said(&rate("1000/s"), &regions()), None);
        assert!(said(&rate("1001/s"), &regions()).unwrap().starts_with("1001 requests/s"));
    }
}
