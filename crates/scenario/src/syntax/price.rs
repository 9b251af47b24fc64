//! What a target runs on, and what it costs.

use infermark_terms::Price;

use super::{Codec, Fault};
use crate::intent::Gpus;

/// The most GPUs of a deployment.
const GPUS_MAX: u32 = 100_000;

/// The longest name of a GPU, in characters.
const NAME_MAX: usize = 64;

/// What an hour of a deployment costs.
pub(crate) const PRICE: Codec<Price> = Codec {
    parse: |text| {
        let expected = "a price such as `1.50/h` or `1.50 EUR/h`";
        text.parse()
            .map_err(|fault: infermark_terms::NotAPrice| Fault::new(fault.to_string(), expected))
    },
    print: ToString::to_string,
};

/// How many GPUs, and which.
pub(crate) const GPUS: Codec<Gpus> =
    Codec { parse: parse_gpus, print: |gpus| format!("{}x{}", gpus.count, gpus.name) };

fn parse_gpus(text: &str) -> Result<Gpus, Fault> {
    let fault = |found: &str| Fault::new(found, "a count and a name, such as `8xH100`");
    let (count, name) = text
        .split_once(['x', '×'])
        .ok_or_else(|| fault("no count").hint(format!("for one write `1x{text}`")))?;
    let count = count.trim();
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault("the count is not a whole number"));
    }
    let count = count.parse().ok().filter(|count| (1..=GPUS_MAX).contains(count));
    let count = count.ok_or_else(|| fault("the count is out of bounds"))?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_.()/".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
        return Err(fault("not the name of a GPU"));
    }
    Ok(Gpus { count, name: name.to_owned() })
}
