//! Studies for people: several points as one page, and what happens while they are measured.

use infermark_report::{Colour, CurveSheet, Dot, Saturated, Source, State, Verification, curve};
use infermark_run::study::{Kind, Studied, Taken};
use infermark_terms::Trust;
use serde_json::Value;

use crate::exit::Exit;
use crate::sheet;

/// Turns the exit into that of a void result, where a point is.
pub(crate) fn vouch(studied: &Studied, printed: Exit) -> Exit {
    let is_void = |taken: &Taken| taken.point.trust.verdict == Trust::Void;
    if studied.points.iter().any(is_void) { Exit::Void } else { printed }
}

/// Prints a study as a page.
pub(crate) fn page(studied: &Studied, colour: Colour) -> String {
    let header = &studied.header;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (target, model) = (text(&header.target["url"]), text(&header.target["model"]));
    let embedded = header.target["embedded"] == Value::Bool(true);
    let unverified = header.target["unverified"] == Value::Bool(true);
    let server = sheet::server(&header.target["server"]);
    let asked = sheet::asked(&header.scenario["values"]);
    let dots: Vec<_> = studied.points.iter().map(dot).collect();
    let sheet = CurveSheet {
        command: command(studied),
        target: &target,
        source: if embedded { Source::Embedded(&target) } else { Source::Server },
        verification: if unverified { Verification::Off } else { Verification::Full },
        model: &model,
        server: server.as_deref(),
        asked: &asked,
        state: if header.partial { State::Partial } else { State::Complete },
        dots: &dots,
        beside: &[],
        record: Some(&studied.dir),
    };
    curve(&sheet, colour)
}

fn dot(taken: &Taken) -> Dot<'_> {
    Dot {
        label: &taken.label,
        point: &taken.point,
        saturated: if taken.is_saturated() { Saturated::Yes } else { Saturated::No },
        mark: "",
    }
}

fn command(studied: &Studied) -> &'static str {
    match studied.kind() {
        Some(Kind::Sweep) => "infermark sweep",
        Some(Kind::Capacity) => "infermark capacity",
        Some(Kind::Validate) => "infermark validate",
        Some(Kind::Repeat) | None => "infermark run",
    }
}
