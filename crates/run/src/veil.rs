//! Secrets that were sent, veiled in what comes back.
//!
//! Servers and gateways quote keys in their refusals, and a refusal stands in errors, records and
//! reports. So every word of a server that is kept goes through a [`Veil`] first.
//!
//! Deliberately not here: what a server says in a model's name, its version or the figures of its
//! metrics. Those are used as they are, and a server that plants a key there means to.

use infermark_terms::{Excerpt, FinishReason, Outcome, TransportFault};

/// What stands in a secret's place.
const MARK: &str = "[secret]";

/// The shortest secret that is veiled, in bytes: a shorter one stands in any text by chance.
const LEAST: usize = 4;

/// The shortest part of a secret that is: a word of it, or its beginning where an excerpt ends.
const PART_LEAST: usize = 8;

/// What must not be repeated.
#[derive(Clone, Default)]
pub(crate) struct Veil(Vec<String>);

impl Veil {
    /// Veils this too: as a whole, and each long word of it, since servers quote the key without
    /// the `Bearer` before it.
    pub(crate) fn add(&mut self, secret: &str) {
        let words = secret.split_ascii_whitespace().filter(|word| word.len() >= PART_LEAST);
        let whole = Some(secret).filter(|whole| whole.len() >= LEAST);
        self.0.extend(whole.into_iter().chain(words).map(str::to_owned));
        // A secret may hold another one.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.0.dedup();
    }

    /// Veils what somebody said.
    pub(crate) fn excerpt(&self, said: &Excerpt) -> Excerpt {
        let mut text = said.as_str().to_owned();
        for secret in &self.0 {
            text = text.replace(secret, MARK);
        }
        // An excerpt may end in the middle of one.
        if let Some(begin) = self.0.iter().filter_map(|secret| cut(&text, secret)).min() {
            text.truncate(begin);
            text.push_str(MARK);
        }
        Excerpt::new(&text)
    }

    /// Veils what an outcome quotes.
    pub(crate) fn outcome(&self, outcome: &mut Outcome) {
        if self.0.is_empty() {
            return;
        }
        match outcome {
            Outcome::Refused { message: said, .. }
            | Outcome::Errored { message: said }
            | Outcome::Finished { reason: FinishReason::Other(said) }
            | Outcome::Severed {
                fault:
                    TransportFault::Tls(said)
                    | TransportFault::LocalLimit(said)
                    | TransportFault::Other(said),
                ..
            } => *said = self.excerpt(said),
            Outcome::Finished { .. }
            | Outcome::Severed { .. }
            | Outcome::Garbled { .. }
            | Outcome::Expired { .. }
            | Outcome::Shed { .. }
            | Outcome::Abandoned => {}
        }
    }
}

/// Returns where the text's end begins to spell the secret, if that is long enough to tell.
fn cut(text: &str, secret: &str) -> Option<usize> {
    let lengths =
        (PART_LEAST..secret.len()).rev().filter(|&length| secret.is_char_boundary(length));
    let length = lengths.into_iter().find(|&length| text.ends_with(&secret[..length]))?;
    Some(text.len() - length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veiled(secrets: &[&str], said: &str) -> String {
        let mut veil = Veil::default();
        for secret in secrets {
            veil.add(secret);
        }
        veil.excerpt(&Excerpt::new(said)).to_string()
    }

    #[test]
    fn a_key_is_veiled_wherever_it_stands() {
        let said = "bad key sk-4711-abcd (sk-4711-abcd)";
        assert_eq!(veiled(&["sk-4711-abcd"], said), "bad key [secret] ([secret])");
        assert_eq!(veiled(&["Bearer sk-4711-abcd"], said), "bad key [secret] ([secret])");
        assert_eq!(veiled(&["sk-4711", "sk-4711-abcd"], said), "bad key [secret] ([secret])");
        assert_eq!(veiled(&["k"], "a key"), "a key");
    }

    #[test]
    fn a_key_that_an_excerpts_end_cuts_is_veiled_too() {
        let key = "sk-0123456789abcdef";
        for room in 0..=key.len() + 1 {
            let said = format!("{} {key} x", "y".repeat(Excerpt::CHARS_MAX - 1 - room));
            let shown = veiled(&[key], &said);
            let longest = (1..=key.len()).rev().find(|&length| shown.contains(&key[..length]));
            assert!(longest.unwrap_or(0) < PART_LEAST, "{shown}");
        }
    }

    #[test]
    fn every_outcome_that_quotes_is_veiled() {
        let mut veil = Veil::default();
        veil.add("sk-4711-abcd");
        let said = || Excerpt::new("no sk-4711-abcd");
        let phase = infermark_terms::Phase::Headers;
        for mut outcome in [
            Outcome::Refused { status: 401, message: said() },
            Outcome::Errored { message: said() },
            Outcome::Finished { reason: FinishReason::Other(said()) },
            Outcome::Severed { phase, fault: TransportFault::Other(said()) },
            Outcome::Severed { phase, fault: TransportFault::Tls(said()) },
        ] {
            veil.outcome(&mut outcome);
            let text = format!("{outcome:?}");
            assert!(text.contains("no [secret]") && !text.contains("sk-"), "{text}");
        }
    }
}
