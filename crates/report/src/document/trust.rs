//! How far the figures can be trusted: what a page says first.

use infermark_terms::{Caveat, Trust};

use super::{Html, Subject};
use crate::doubts::{self, Said};

/// Writes the verdict on the only point, with every caveat and its remedy.
pub(super) fn write(page: &mut Html, subject: &Subject) {
    let doubts = subject.doubts(0).caveats.iter().map(|caveat| (String::new(), caveat));
    verdict(page, &doubts::of_only_point(subject), doubts.collect());
}

/// Writes the verdicts on many points: the worst, and each doubt once with the first point that it
/// is of.
pub(super) fn summary(page: &mut Html, subjects: &[Subject]) {
    verdict(page, &doubts::of_points(subjects), doubts::all(subjects));
}

fn verdict(page: &mut Html, said: &Said, doubts: Vec<(String, &Caveat)>) {
    let class = match said.trust {
        Trust::Sound => "verdict sound",
        Trust::Doubtful => "verdict doubtful",
        Trust::Void => "verdict void",
    };
    let _: &mut Html = page.open("div", &[("class", class)]).markup("<p>");
    let _: &mut Html = page.element("strong", &[], said.word).text(": ").text(&said.words);
    let _: &mut Html = page.markup("</p>");
    if !doubts.is_empty() {
        let _: &mut Html = page.markup("<ul>");
        for (whose, caveat) in doubts {
            doubt(page, caveat, &whose);
        }
        let _: &mut Html = page.markup("</ul>");
    }
    let _: &mut Html = page.close("div");
}

fn doubt(page: &mut Html, caveat: &Caveat, whose: &str) {
    let code = format!("{:?}", caveat.code);
    let _: &mut Html = page.open("li", &[]).element("strong", &[], &code);
    if !whose.is_empty() {
        let _: &mut Html = page.text(" ").text(whose);
    }
    if caveat.lowers_to == Trust::Void {
        let _: &mut Html = page.text(" (void)");
    }
    let _: &mut Html = page.text(": ").prose(caveat.detail.trim_end_matches('.')).text(". ");
    let hint = format!("Hint: {}.", caveat.hint.trim_end_matches('.'));
    let _: &mut Html = page.open("span", &[("class", "hint")]).prose(&hint);
    let _: &mut Html = page.close("span").close("li");
}
