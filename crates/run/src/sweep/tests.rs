//! Sweeps of simulators in virtual time.

use infermark_scenario::{Given, resolve};
use infermark_terms::Seed;

use super::*;
use crate::study::Virtual;

fn rig(target: &str, more: &[(&'static Setting, &str)]) -> Virtual {
    let engine = Given::flag(&settings::TARGET, format!("sim:{target}"));
    let given = more.iter().map(|(setting, text)| Given::flag(setting, *text));
    Virtual::new(resolve(given.chain([engine]).collect(), Seed(4)).unwrap())
}

fn plan(axis: Axis) -> SweepPlan {
    SweepPlan { axis, input_tokens: Vec::new(), output_tokens: Vec::new() }
}

fn labels(curve: &Curve) -> Vec<&str> {
    curve.points.iter().map(|(_, taken)| taken.label.as_str()).collect()
}

const SMALL: &str = "llama-3.1-8b@h100,seqs=8";

#[test]
fn rates_lie_between_idle_and_as_fast_as_it_goes() {
    let lengths = [(&settings::OUTPUT_TOKENS, "16"), (&settings::REQUESTS, "400")];
    let mut rig = rig(SMALL, &lengths);
    let curves = sweep(&mut rig, &plan(Axis::Rate { between: 6 })).unwrap();
    let curve = &curves[0];
    assert_eq!(curve.points.len(), 8);
    assert_eq!((labels(curve)[0], labels(curve)[7]), ("idle", FLOOD));
    let rates: Vec<_> = curve.points[1..7].iter().map(|(_, t)| load(&t.point.load)).collect();
    assert!(rates.is_sorted(), "{rates:?}");
    let most = curve.points[7].1.point.rates.unwrap().requests_per_s;
    let idle = curve.points[0].1.point.rates.unwrap().requests_per_s;
    assert!(rates[0] > idle && rates[5] < most, "{idle} {rates:?} {most}");
    let knee = curve.knee.unwrap();
    assert!((1..7).contains(&knee.point));
    assert_eq!(found(&curves)["curves"][0]["knee"]["load"], knee.load);
}

#[test]
fn a_rate_of_sessions_is_that_of_their_turns_divided_by_their_number() {
    let sessions =
        [(&settings::OUTPUT_TOKENS, "16"), (&settings::REQUESTS, "400"), (&settings::TURNS, "4")];
    let mut rig = rig(SMALL, &sessions);
    let curves = sweep(&mut rig, &plan(Axis::Rate { between: 4 })).unwrap();
    let curve = &curves[0];
    let pace = |place: usize| curve.points[place].1.point.rates.unwrap().requests_per_s;
    let rates: Vec<_> = curve.points[1..5].iter().map(|(_, t)| load(&t.point.load)).collect();
    assert!(4.0 * rates[0] > pace(0) && 4.0 * rates[3] < pace(5), "{rates:?} {}", pace(5));
}

#[test]
fn doubling_leads_enough_sessions_for_its_slots() {
    let sessions =
        [(&settings::OUTPUT_TOKENS, "16"), (&settings::SESSIONS, "4"), (&settings::TURNS, "2")];
    let curves = sweep(&mut rig(SMALL, &sessions), &plan(Axis::Doubling)).unwrap();
    for (_, taken) in &curves[0].points {
        let most = taken.point.concurrency.unwrap().peak;
        assert_eq!(most as u32, load(&taken.point.load) as u32, "{}", taken.label);
    }
    assert!(curves[0].points.len() > 4, "{:?}", labels(&curves[0]));
}

#[test]
fn doubling_goes_past_the_knee_and_no_further() {
    let lengths = [(&settings::OUTPUT_TOKENS, "16"), (&settings::REQUESTS, "16")];
    let mut rig = rig(SMALL, &lengths);
    let curves = sweep(&mut rig, &plan(Axis::Doubling)).unwrap();
    let curve = &curves[0];
    let knee = curve.knee.unwrap();
    let last = curve.points.len() - 1;
    assert!(knee.point > 0 && knee.side(last) == Side::Over, "{knee:?} of {last}");
    assert_eq!(knee.side(0), Side::Under);
    let described = &found(&curves)["curves"][0]["points"];
    assert_eq!(described[0]["scaling_efficiency"], 1.0);
    let efficiency = described[last]["scaling_efficiency"].as_f64().unwrap();
    assert!(efficiency < 0.7, "{efficiency}");
}

#[test]
fn a_matrix_is_a_curve_for_each_pair_of_lengths() {
    let mut rig = rig("ttft=10ms,itl=1ms", &[(&settings::REQUESTS, "8")]);
    let plan = SweepPlan {
        axis: Axis::Ladder(vec![1, 4]),
        input_tokens: vec!["100".to_owned(), "200".to_owned()],
        output_tokens: vec!["4".to_owned(), "normal(8,1)".to_owned()],
    };
    let curves = sweep(&mut rig, &plan).unwrap();
    assert_eq!(curves.len(), 4);
    assert_eq!(labels(&curves[1]), ["100/normal(8,1) 1 slots", "100/normal(8,1) 4 slots"]);
    assert_eq!(curves[3].points[1].0, 7);
    assert_eq!(curves[2].points[0].1.point.tokens.input_mean, Some(200.0));
}

#[test]
fn the_same_sweep_asks_for_the_same_points() {
    let ask = || {
        let mut rig = rig(SMALL, &[(&settings::REQUESTS, "40")]);
        let curves = sweep(&mut rig, &plan(Axis::Rate { between: 3 })).unwrap();
        labels(&curves[0]).join(" ")
    };
    assert_eq!(ask(), ask());
}

#[test]
fn rates_are_short() {
    let shown = [0.012_345, 1.999, 12.345, 1234.5].map(|rate| short(rate).to_string());
    assert_eq!(shown, ["0.0123", "2", "12.3", "1230"]);
}
