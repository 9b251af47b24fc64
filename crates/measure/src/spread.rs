//! How a load was spread over the addresses of those who served it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use infermark_terms::{Caveat, CaveatCode, RequestRow, Trust};
use serde::{Deserialize, Serialize};

use crate::Point;

/// `OneReplica`: "one of several addresses took > 99 % of at least 20 requests"
/// (docs/metrics.md, section 9).
const SHARE_MAX: f64 = 0.99;
const REQUESTS_MIN: u64 = 20;

/// What one address took of the requests due in the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressShare {
    /// The address, with its port.
    pub address: SocketAddr,
    /// Requests whose last connection led there.
    pub requests: u64,
    /// Their share of all that had a connection; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// Adds to a point what each address took, where there were several; `known` are those that
/// requests could have gone to.
pub fn spread(point: &mut Point, requests: &[RequestRow], known: &[SocketAddr]) {
    let [start, end] = point.window.span();
    let due = requests.iter().filter(|row| row.due >= start && row.due < end);
    let mut taken: BTreeMap<SocketAddr, u64> = known.iter().map(|&address| (address, 0)).collect();
    for address in due.filter_map(|row| row.address) {
        *taken.entry(address).or_insert(0) += 1;
    }
    if taken.len() < 2 {
        return;
    }
    let all: u64 = taken.values().sum();
    let share = |requests: u64| (all > 0).then(|| requests as f64 / all as f64);
    point.addresses = taken
        .into_iter()
        .map(|(address, requests)| AddressShare { address, requests, share: share(requests) })
        .collect();
    if let Some(caveat) = one_took_all(&point.addresses, all) {
        point.trust.verdict = point.trust.verdict.max(caveat.lowers_to);
        point.trust.caveats.push(caveat);
    }
}

fn one_took_all(addresses: &[AddressShare], all: u64) -> Option<Caveat> {
    let greedy = addresses.iter().find(|one| one.share.is_some_and(|share| share > SHARE_MAX))?;
    (all >= REQUESTS_MIN).then(|| Caveat {
        code: CaveatCode::OneReplica,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "of {} addresses {} took {} of {all} requests",
            addresses.len(),
            greedy.address,
            greedy.requests
        ),
        hint: "do the others run? The figures are those of one replica".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{measured, row};

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// A point of requests that went to these ports, with what its addresses took.
    fn point(ports: &[u16], known: &[u16]) -> Point {
        let rows: Vec<_> = (0..)
            .zip(ports)
            .map(|(id, &port)| RequestRow { address: Some(address(port)), ..row(id) })
            .collect();
        let known: Vec<_> = known.iter().map(|&port| address(port)).collect();
        let mut point = measured(&rows);
        spread(&mut point, &rows, &known);
        point
    }

    fn shares(point: &Point) -> Vec<(u16, u64, Option<f64>)> {
        let shares = point.addresses.iter();
        shares.map(|one| (one.address.port(), one.requests, one.share)).collect()
    }

    #[test]
    fn each_address_has_its_share_and_one_alone_is_no_spread() {
        let both = point(&[1, 2, 2, 1, 2, 2], &[1, 2]);
        assert_eq!(shares(&both), [(1, 2, Some(2.0 / 6.0)), (2, 4, Some(4.0 / 6.0))]);
        assert!(point(&[1, 1], &[1]).addresses.is_empty());
        assert_eq!(shares(&point(&[], &[1, 2])), [(1, 0, None), (2, 0, None)]);
        let row = RequestRow { address: None, ..row(1) };
        let mut unconnected = measured(std::slice::from_ref(&row));
        spread(&mut unconnected, &[row], &[]);
        assert!(unconnected.addresses.is_empty());
    }

    #[test]
    fn an_address_that_takes_all_of_enough_requests_is_a_doubt() {
        let doubts = |point: &Point| {
            point.trust.caveats.iter().any(|caveat| caveat.code == CaveatCode::OneReplica)
        };
        assert!(doubts(&point(&[1; 20], &[1, 2, 3])));
        assert!(!doubts(&point(&[1; 19], &[1, 2])));
        let mut ports = vec![1; 50];
        ports.push(2);
        assert!(!doubts(&point(&ports, &[1, 2])));
        assert!(!doubts(&point(&[1; 50], &[1])));
    }
}
