//! Objectives: bounds with commas between.

use infermark_terms::Slo;

use super::{Codec, Fault};
use crate::nearest::nearest;

/// Bounds that hold together.
pub(crate) const SLO: Codec<Slo> = Codec { parse, print: Slo::to_string };

fn parse(text: &str) -> Result<Slo, Fault> {
    text.parse::<Slo>().map_err(|fault| {
        let meant = nearest(&text[fault.at.clone()], fault.names.iter().copied());
        Fault {
            hint: fault.hint.or(meant.map(|name| format!("did you mean `{name}`?"))),
            at: Some(fault.at),
            ..Fault::new(fault.found, fault.expected)
        }
    })
}
