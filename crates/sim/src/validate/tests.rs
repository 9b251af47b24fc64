//! The shipped measurements against the model.

use std::sync::OnceLock;

use super::*;

fn published() -> &'static [Checked] {
    static CHECKED: OnceLock<Vec<Checked>> = OnceLock::new();
    CHECKED.get_or_init(|| validate(&read(PUBLISHED).unwrap(), &|_| {}))
}

#[test]
fn errors_on_the_published_rows_are_within_their_targets() {
    for error in errors(published(), Engines::Vllm) {
        let (median, p90) = match error.figure {
            Figure::Tpot | Figure::OutputRate => (0.10, 0.25),
            // First tokens hang on front ends that no source describes: only the median counts.
            Figure::Ttft => (0.25, f64::INFINITY),
        };
        assert!(error.rows >= 15, "{error:?}");
        assert!(error.median <= median && error.p90 <= p90, "{error:?}");
    }
}

#[test]
fn the_summary_in_the_documentation_is_what_the_rows_give() {
    let document = include_str!("../../../../docs/simulator.md");
    for (name, engines) in [("vLLM", Engines::Vllm), ("others", Engines::Others)] {
        for error in errors(published(), engines) {
            let (median, p90) = (error.median * 100.0, error.p90 * 100.0);
            let figure = error.figure.name();
            let line =
                format!("| {name} | {figure} | {} | {median:.1} % | {p90:.1} % |", error.rows);
            assert!(document.contains(&line), "run the example `calibration`: {line}");
        }
    }
}

#[test]
fn the_stated_uncertainty_is_that_of_the_published_rows() {
    let found = errors(published(), Engines::Vllm);
    for (figure, stated) in crate::predict::RESIDUALS {
        let p90 = found.iter().find(|error| error.figure == figure).unwrap().p90;
        assert!((p90..p90 + 0.1).contains(&stated), "{figure:?}: {stated} stated, {p90} found");
    }
}

#[test]
fn rows_that_cannot_be_are_rejected_with_their_reasons_and_no_others() {
    let rejected: Vec<_> = published()
        .iter()
        .filter_map(|row| row.outcome.as_ref().err().map(|why| (row.row.row.as_str(), why)))
        .collect();
    assert_eq!(rejected.len(), 7, "{rejected:?}");
    let reason = |name: &str| {
        rejected.iter().find(|(row, _)| *row == name).map(|(_, why)| why.to_string()).unwrap()
    };
    let half = reason("llama-2-7b-h100-6rps-as-published");
    assert_eq!(half, "(E2E − TTFT) / (n − 1) is 8.18 ms, 2.01 times the ITL of 4.059 ms");
    let fast = reason("llama-2-70b-h100-tp4-8rps-as-published");
    assert!(fast.starts_with("ITL of 9.188 ms is below 10.26 ms"), "{fast}");
    assert_eq!(reason("qwen2.5-14b-h100nvl"), "TPOT is not above 0; ITL is not above 0");
    assert_eq!(reason("qwen2-7b-unstated-2-nodes"), "unknown GPU `unstated`");
}

/// A row that passes every check.
fn sound() -> Row {
    let rows = read(PUBLISHED).unwrap();
    rows.into_iter().find(|row| row.row == "qwen3-8b-h100-c4").unwrap()
}

fn reasons(row: &Row) -> Vec<String> {
    let deployment = row.deployment.parse().unwrap();
    checks::impossible(row, &deployment, parse_load(&row.load).unwrap())
}

#[test]
fn each_identity_is_checked() {
    assert_eq!(reasons(&sound()), Vec::<String>::new());
    let fast = Row { tpot_mean_ms: Some(0.12), ..sound() };
    assert!(reasons(&fast)[0].contains("in which the GPUs read the weights"));
    let rate = Row { output_tok_s: Some(700.0), ..sound() };
    assert_eq!(reasons(&rate), ["700 tok/s is above 542, concurrency divided by TPOT"]);
    let peak = Row { peak_output_tok_s: Some(100.0), ..sound() };
    assert_eq!(reasons(&peak), ["the peak rate 100 is below the mean 496.88"]);
    let tail = Row { tpot_p99_ms: Some(5.0), ..sound() };
    assert_eq!(reasons(&tail), ["p99 of TPOT, 5 ms, is below the mean, 7.38 ms"]);
    let much = Row { load: "burst".to_owned(), output_tok_s: Some(2e7), ..sound() };
    assert!(reasons(&much)[0].ends_with("that the GPUs can compute"));
}

#[test]
fn an_unusable_line_is_named_by_its_number() {
    let header = PUBLISHED.lines().next().unwrap();
    let error = read(&format!("{header}\nx,y\n")).unwrap_err().to_string();
    assert!(error.starts_with("line 2 of the measurements is unusable: "), "{error}");
}

#[test]
fn a_load_is_read_with_its_figure() {
    assert_eq!(parse_load("closed:4"), Some(Load::Closed { concurrency: 4 }));
    assert_eq!(parse_load("poisson:2.5"), Some(Load::Poisson { rate: 2.5 }));
    for bad in ["closed:0", "poisson:0", "poisson:inf", "burst:1", "open:3", ""] {
        assert_eq!(parse_load(bad), None, "{bad}");
    }
}
