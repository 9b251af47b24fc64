//! A class of requests: `name=chat; weight=3; output_tokens=64`.

use infermark_terms::notation::decimal;

use super::{Codec, Fault, parse_line};
use crate::nearest::nearest;
use crate::settings::{
    COLUMN, DATASET, INPUT_TOKENS, MODEL, OUTPUT_LENGTH, OUTPUT_TOKENS, PREFIX_GROUPS,
    PREFIX_TOKENS, PROFILE, SLO, Setting,
};

/// Settings of which a class may have its own.
static OWN: [&Setting; 10] = [
    &MODEL,
    &PROFILE,
    &DATASET,
    &COLUMN,
    &INPUT_TOKENS,
    &OUTPUT_TOKENS,
    &OUTPUT_LENGTH,
    &PREFIX_TOKENS,
    &PREFIX_GROUPS,
    &SLO,
];

/// What stands between two parts of a class. No setting's text needs it.
pub(crate) const BETWEEN: char = ';';

const NAME: &str = "name";
const WEIGHT: &str = "weight";

/// A class as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) weight: f64,
    /// What it has of its own, in the order in which it was given.
    pub(crate) own: Vec<(&'static Setting, String)>,
}

/// A class.
pub(crate) const CLASS: Codec<Named> = Codec { parse, print };

fn fault(found: impl Into<String>) -> Fault {
    Fault::new(found, "a class such as `name=chat; weight=3; output_tokens=64`")
}

fn parse(text: &str) -> Result<Named, Fault> {
    let (mut name, mut weight, mut own) = (None, None, Vec::new());
    for part in parse_line(text)?.split(BETWEEN) {
        let pair = part.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let (key, value) = pair.ok_or_else(|| fault(format!("`{}` has no `=`", part.trim())))?;
        if value.is_empty() {
            return Err(fault(format!("`{key}` has no value")));
        }
        let twice = match (key, OWN.iter().find(|setting| setting.key == key)) {
            (NAME, _) => name.replace(value.to_owned()).is_some(),
            (WEIGHT, _) => weight.replace(parse_weight(value)?).is_some(),
            (_, Some(setting)) => {
                let seen = own.iter().any(|(other, _): &(&Setting, _)| other == setting);
                own.push((*setting, value.to_owned()));
                seen
            }
            (_, None) => return Err(unknown(key)),
        };
        if twice {
            return Err(fault(format!("`{key}` stands twice")));
        }
    }
    let name = name.ok_or_else(|| fault("no `name`"))?;
    Ok(Named { name, weight: weight.unwrap_or(1.0), own })
}

fn parse_weight(text: &str) -> Result<f64, Fault> {
    match decimal(text) {
        Some(weight) if weight > 0.0 && weight <= 1e9 => Ok(weight),
        _ => Err(fault(format!("the weight `{text}` is no number above 0"))),
    }
}

fn unknown(key: &str) -> Fault {
    let known = [NAME, WEIGHT].into_iter().chain(OWN.iter().map(|setting| setting.key));
    let fault = fault(format!("a class has no `{key}` of its own"));
    match nearest(key, known) {
        Some(guess) => fault.hint(format!("did you mean `{guess}`?")),
        None => fault,
    }
}

fn print(class: &Named) -> String {
    let weight =
        (class.weight.to_bits() != 1.0_f64.to_bits()).then(|| format!("{WEIGHT}={}", class.weight));
    let own = class.own.iter().map(|(setting, text)| format!("{}={text}", setting.key));
    let parts = std::iter::once(format!("{NAME}={}", class.name)).chain(weight).chain(own);
    parts.collect::<Vec<_>>().join("; ")
}
