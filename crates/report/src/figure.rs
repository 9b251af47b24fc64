//! Numbers for people: four significant digits, thousands apart, and never wider than a cell.

use infermark_terms::Currency;

/// What stands for a figure that was not observed.
pub(crate) const ABSENT: &str = "–";

/// The least figure that is printed as a number: in milliseconds, the microsecond that no
/// generator's stamps can tell apart.
const LEAST: f64 = 0.001;

/// Returns the figure with four significant digits, or all of its digits before the point.
///
/// Below 1 there are four digits after the point at most. Figures are at least 0: anything else
/// is shown as absent, since no such figure exists.
pub(crate) fn figure(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if !v.is_finite() || v < 0.0 => ABSENT.to_owned(),
        v if v < LEAST => format!("<{LEAST}"),
        v if v >= 1e15 => format!("{v:.2e}"),
        v if v >= 999.95 => count(v.round() as u64),
        v if v >= 99.995 => format!("{v:.1}"),
        v if v >= 9.9995 => format!("{v:.2}"),
        v if v >= 0.999_95 => format!("{v:.3}"),
        v => format!("{v:.4}"),
    }
}

/// Returns the figure in at most seven columns.
pub(crate) fn cell(value: f64) -> String {
    if value < 999_999.5 { figure(value) } else { format!("{value:.2e}") }
}

/// Returns a whole number, its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Returns a whole number in at most six columns, rounded from 100,000 on.
pub(crate) fn short_count(number: u64) -> String {
    let value = number as f64;
    match number {
        0..100_000 => count(number),
        100_000..999_500 => format!("{:.0}k", value / 1e3),
        999_500..999_950_000 => format!("{:.1}M", value / 1e6),
        _ => format!("{:.1}G", value / 1e9),
    }
}

/// Returns a mean of whole numbers: whole where it is exactly so, else with two digits after the
/// point, so that 512 tokens in the mean are told from 511.98.
pub(crate) fn mean(value: f64) -> String {
    let small = (0.0..1e6).contains(&value);
    match value {
        v if small && v.fract() == 0.0 => count(v as u64),
        v if small => format!("{v:.2}"),
        v => figure(v),
    }
}

/// Returns a share, from 0 to 1, in per cent.
pub(crate) fn percent(share: f64) -> String {
    let shown = figure(100.0 * share);
    let short = if shown.contains('.') {
        shown.trim_end_matches('0').trim_end_matches('.')
    } else {
        &shown
    };
    format!("{short} %")
}

/// Returns an amount of money: to the cent from 0.10 on, below that with two significant digits.
pub(crate) fn money(currency: Currency, amount: f64) -> String {
    let sign = currency.sign();
    match amount {
        a if !a.is_finite() || a < 0.0 => ABSENT.to_owned(),
        a if a >= 1e15 => format!("{sign}{a:.2e}"),
        a if a >= 0.095 || a == 0.0 => {
            let cents = (a * 100.0).round() as u64;
            format!("{sign}{}.{:02}", count(cents / 100), cents % 100)
        }
        a if a < 1e-9 => format!("<{sign}0.000000001"),
        a => {
            let digits = (1.0 - a.log10().floor()) as usize;
            format!("{sign}{a:.digits$}")
        }
    }
}

/// Returns by how many per cent `end` lies away from `value`, in at most four columns, without
/// sign and unit.
pub(crate) fn distance(end: f64, value: f64) -> String {
    let gap = (end - value).abs();
    match 100.0 * gap / value {
        _ if gap == 0.0 => "0.0".to_owned(),
        p if p < 9.95 => format!("{p:.1}"),
        p if p < 999.5 => format!("{p:.0}"),
        _ => ">999".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_have_four_significant_digits() {
        let shown: Vec<_> =
            [0.0, 1e-6, 0.02134, 0.91239, 1.0, 9.99951, 51.234, 99.996, 123.45].map(figure).into();
        assert_eq!(
            shown,
            ["0", "<0.001", "0.0213", "0.9124", "1.000", "10.00", "51.23", "100.0", "123.5"]
        );
        assert_eq!([999.96, 12_345.6, 1e15].map(figure), ["1,000", "12,346", "1.00e15"]);
        assert_eq!([f64::NAN, f64::INFINITY, -1.0].map(figure), [ABSENT; 3]);
    }

    #[test]
    fn a_cell_is_never_wider_than_seven_columns() {
        assert_eq!([999_999.4, 999_999.6, 1.8e13].map(cell), ["999,999", "1.00e6", "1.80e13"]);
    }

    #[test]
    fn counts_stand_in_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let shown = [99_999, 100_000, 999_499, 1_000_000, 999_949_999, 200_000_000_000];
        assert_eq!(shown.map(short_count), ["99,999", "100k", "999k", "1.0M", "999.9M", "200.0G"]);
    }

    #[test]
    fn a_mean_is_whole_only_where_it_is_exactly_so() {
        assert_eq!(
            [512.0, 511.984, 2048.5, 2e6].map(mean),
            ["512", "511.98", "2048.50", "2,000,000"]
        );
    }

    #[test]
    fn shares_are_in_per_cent_without_idle_zeros() {
        let shown = [0.0, 0.005, 1.0 / 3.0, 0.9995, 1.0, 0.2].map(percent);
        assert_eq!(shown, ["0 %", "0.5 %", "33.33 %", "99.95 %", "100 %", "20 %"]);
    }

    #[test]
    fn money_is_shown_to_the_cent_and_small_amounts_to_two_digits() {
        let shown = |amount| money(Currency::USD, amount);
        let amounts = [0.0, 0.744, 1234.5, 0.0951, 0.000_744, 0.09, 1e-12].map(shown);
        let expected =
            ["$0.00", "$0.74", "$1,234.50", "$0.10", "$0.00074", "$0.090", "<$0.000000001"];
        assert_eq!(amounts, expected);
        assert_eq!(money("EUR".parse().unwrap(), 2.5), "€2.50");
        assert_eq!(money("CHF".parse().unwrap(), 2.5), "CHF 2.50");
        assert_eq!(money(Currency::USD, f64::NAN), ABSENT);
    }

    #[test]
    fn distances_are_relative() {
        assert_eq!(distance(101.0, 100.0), "1.0");
        assert_eq!(distance(50.0, 100.0), "50");
        assert_eq!(distance(0.0, 0.0), "0.0");
        assert_eq!(distance(1.0, 0.0), ">999");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_figure_to_four_digits(exponent in -3.0..6.0_f64) {
            let value = 10_f64.powf(exponent);
            let shown = cell(value);
            prop_assert!(shown.chars().count() <= 7, "{}", shown);
            let read: f64 = shown.replace(',', "").trim_start_matches('<').parse().unwrap();
            let grain = if value < 1.0 { 0.0001 } else { value / 1000.0 };
            prop_assert!((read - value).abs() <= grain / 2.0 * 1.001, "{} {}", value, shown);
        }
    }
}
