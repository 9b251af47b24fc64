//! A small record for tests.

use crate::point::Point;
use crate::record::{Facts, Fate, Load, Record, Request};

/// Two answered requests of 4 tokens, sent 10 ms late, whose first token comes after 100 ms and the
/// others after gaps of 10, 20 and 30 ms; one that failed, and one that was cut off.
pub(crate) fn record() -> Record {
    let request = |due: f64, fate: Fate| {
        let start = due + 0.01;
        let answered = fate == Fate::Answered;
        Request {
            due,
            start,
            first: answered.then_some(start + 0.1),
            first_answer: answered.then_some(start + 0.1),
            last: answered.then_some(start + 0.16),
            end: start + 0.165,
            gaps: if answered { vec![0.01, 0.02, 0.03] } else { Vec::new() },
            chunks: if answered { 4 } else { 0 },
            input: 32,
            output: if answered { 4 } else { 0 },
            fate,
        }
    };
    Record {
        facts: Facts {
            id: "20261122T021255058-7d58".to_owned(),
            created: "2026-11-22T02:12:55.058Z".to_owned(),
            version: "0.1.0".to_owned(),
            url: "http://127.0.0.1:8000".to_owned(),
            model: "org/tiny".to_owned(),
            api: "chat".to_owned(),
            tokenizer: None,
            load: Load { concurrency: Some(2), rate: None, burstiness: None },
        },
        requests: vec![
            request(1.0, Fate::Answered),
            request(1.1, Fate::Failed("503 busy".to_owned())),
            request(1.2, Fate::Answered),
            request(1.3, Fate::Cut),
        ],
    }
}

/// Asserts that what was read says what the view says, as far as it says anything.
pub(crate) fn assert_same(read: &Point, view: &Point) {
    let close = |one: Option<f64>, other: Option<f64>, what: &str| {
        let (Some(one), Some(other)) = (one, other) else { panic!("{what} is absent") };
        assert!((one - other).abs() <= 1e-9 * other.abs().max(1.0), "{what}: {one}, not {other}");
    };
    assert!(!read.figures.is_empty() && !read.rates.is_empty());
    for figure in &read.figures {
        let other = view.figure(&figure.name).expect("the view has every figure of the file");
        assert_eq!((figure.key, figure.unit), (other.key, other.unit), "{}", figure.name);
        close(figure.stats.mean, other.stats.mean, &figure.name);
        for (percentage, value) in &figure.stats.percentiles {
            close(Some(*value), other.stats.percentile(*percentage), &figure.name);
        }
    }
    for rate in &read.rates {
        close(Some(rate.value), view.rate(&rate.name), &rate.name);
    }
}
