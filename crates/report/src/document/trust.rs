//! How far the figures can be trusted: what a report says first.

use infermark_measure::Point;
use infermark_terms::{Caveat, CaveatCode, Trust};

use super::{Html, Origin, Subject};
use crate::subject::names;

/// Writes the verdict on one point, with every caveat and its remedy.
pub(super) fn write(page: &mut Html, subject: &Subject, point: &Point) {
    let (class, word, words) = match point.trust.verdict {
        Trust::Sound if subject.origin == Origin::Predicted => {
            ("sound", "Predicted", "as far as a prediction goes: nothing was measured.")
        }
        Trust::Sound => ("sound", "Sound", "nothing is known against these figures."),
        Trust::Doubtful => ("doubtful", "Doubtful", "read the caveats first."),
        Trust::Void => ("void", "Void", "the instrument cannot vouch for these figures."),
    };
    let class = format!("verdict {class}");
    let _: &mut Html = page.open("div", &[("class", &class)]).markup("<p>");
    let _: &mut Html = page.element("strong", &[], word).text(": ").text(words).markup("</p>");
    if !point.trust.caveats.is_empty() {
        let _: &mut Html = page.markup("<ul>");
        for caveat in &point.trust.caveats {
            doubt(page, caveat);
        }
        let _: &mut Html = page.markup("</ul>");
    }
    let _: &mut Html = page.close("div");
}

fn doubt(page: &mut Html, caveat: &Caveat) {
    let code = format!("{:?}", caveat.code);
    let _: &mut Html = page.open("li", &[]).element("strong", &[], &code);
    if caveat.lowers_to == Trust::Void {
        let _: &mut Html = page.text(" (void)");
    }
    let _: &mut Html = page.text(": ").text(&caveat.detail).text(" ");
    let hint = format!("Hint: {}.", caveat.hint.trim_end_matches('.'));
    let _: &mut Html = page.element("span", &[("class", "hint")], &hint).close("li");
}

/// Writes the verdicts on many points: the worst, and what doubts there are.
pub(super) fn summary(page: &mut Html, subjects: &[Subject]) {
    let points = || subjects.iter().flat_map(|subject| &subject.points);
    let worst = points().map(|point| point.trust.verdict).max().unwrap_or(Trust::Sound);
    let class = match worst {
        Trust::Sound => "verdict sound",
        Trust::Doubtful => "verdict doubtful",
        Trust::Void => "verdict void",
    };
    let of = |verdict| points().filter(|point| point.trust.verdict == verdict).count();
    let words = format!(
        "{} points sound, {} doubtful, {} void",
        of(Trust::Sound),
        of(Trust::Doubtful),
        of(Trust::Void)
    );
    let _: &mut Html = page.open("div", &[("class", class)]).markup("<p>");
    let _: &mut Html = page.element("strong", &[], &words).text(".").markup("</p><ul>");
    let mut said: Vec<(String, CaveatCode)> = Vec::new();
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        for caveat in subject.points.iter().flat_map(|point| &point.trust.caveats) {
            let doubt = (name.clone(), caveat.code);
            if !said.contains(&doubt) {
                said.push(doubt);
                let _: &mut Html = page.open("li", &[]).text(&name).text(", ");
                let code = format!("{:?}", caveat.code);
                let _: &mut Html = page.element("strong", &[], &code).text(": ");
                let _: &mut Html = page.text(&caveat.detail).text(" ");
                let hint = format!("Hint: {}.", caveat.hint.trim_end_matches('.'));
                let _: &mut Html = page.element("span", &[("class", "hint")], &hint).close("li");
            }
        }
    }
    let _: &mut Html = page.markup("</ul></div>");
}
