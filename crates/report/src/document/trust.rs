//! How far the figures can be trusted: what a report says first.

use infermark_measure::Point;
use infermark_terms::{Caveat, Trust};

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
            doubt(page, caveat, "");
        }
        let _: &mut Html = page.markup("</ul>");
    }
    let _: &mut Html = page.close("div");
}

fn doubt(page: &mut Html, caveat: &Caveat, whose: &str) {
    let code = format!("{:?}", caveat.code);
    let _: &mut Html = page.open("li", &[]).element("strong", &[], &code).text(whose);
    if caveat.lowers_to == Trust::Void {
        let _: &mut Html = page.text(" (void)");
    }
    let _: &mut Html = page.text(": ").prose(caveat.detail.trim_end_matches('.')).text(". ");
    let hint = format!("Hint: {}.", caveat.hint.trim_end_matches('.'));
    let _: &mut Html = page.open("span", &[("class", "hint")]).prose(&hint);
    let _: &mut Html = page.close("span").close("li");
}

/// Writes the verdicts on many points: the worst, and each doubt once with the first point that it
/// is of.
pub(super) fn summary(page: &mut Html, subjects: &[Subject]) {
    let verdicts = subjects
        .iter()
        .flat_map(|subject| (0..subject.points.len()).map(|index| subject.doubts(index).verdict));
    let verdicts: Vec<_> = verdicts.collect();
    let of = |verdict| verdicts.iter().filter(|one| **one == verdict).count();
    let all = verdicts.len();
    let (class, word, words) = match [Trust::Void, Trust::Doubtful].map(of) {
        [0, 0] => ("verdict sound", "Sound", "nothing is known against these figures.".to_owned()),
        [0, doubtful] => {
            ("verdict doubtful", "Doubtful", format!("{doubtful} of {all} points are."))
        }
        [void, doubtful] => {
            let words = format!("the instrument cannot vouch for {void} of {all} points");
            ("verdict void", "Void", format!("{words}; {doubtful} more are doubtful."))
        }
    };
    let _: &mut Html = page.open("div", &[("class", class)]).markup("<p>");
    let _: &mut Html = page.element("strong", &[], word).text(": ").text(&words).markup("</p>");
    let doubts = doubts(subjects);
    if !doubts.is_empty() {
        let _: &mut Html = page.markup("<ul>");
        for (whose, caveat, count) in doubts {
            let others = match count {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            doubt(page, caveat, &format!(" at {whose}{others}"));
        }
        let _: &mut Html = page.markup("</ul>");
    }
    let _: &mut Html = page.close("div");
}

/// Returns each kind of doubt about each subject once, and each that is the same for several: at
/// which point, what, and at how many.
fn doubts(subjects: &[Subject]) -> Vec<(String, &Caveat, usize)> {
    let mut doubts: Vec<(usize, String, &Caveat, usize)> = Vec::new();
    for (place, (subject, name)) in subjects.iter().zip(names(subjects)).enumerate() {
        for index in 0..subject.points.len() {
            for caveat in &subject.doubts(index).caveats {
                let is_like = |known: &&mut (usize, String, &Caveat, usize)| {
                    known.2.code == caveat.code
                        && (known.0 == place || known.2.detail == caveat.detail)
                };
                if let Some(known) = doubts.iter_mut().find(is_like) {
                    known.3 += 1;
                    continue;
                }
                let label = subject.label(index);
                let whose = if subjects.len() == 1 { label } else { format!("{name}, {label}") };
                doubts.push((place, whose, caveat, 1));
            }
        }
    }
    doubts.into_iter().map(|(_, whose, caveat, count)| (whose, caveat, count)).collect()
}
