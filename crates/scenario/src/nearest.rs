//! "Did you mean": the known word that a mistyped one is closest to.

/// Returns the first of the candidates that are closest to `word`, if one is close enough that
/// it was probably meant. Case and the choice of `-` or `_` do not count.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // No candidate is longer, and the cost of a comparison grows with the product of the lengths.
    const CHARS_MAX: usize = 40;
    if word.chars().count() > CHARS_MAX {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let allowed = word.chars().count() / 3;
    candidates
        .filter_map(|candidate| {
            let plain = candidate.replace('-', "_");
            // The beginning of a word counts as one mistake. Words of one or two characters are
            // the beginning of too much; they are allowed none.
            let distance = if plain.starts_with(&word) { 1 } else { edits(&word, &plain) };
            (distance <= allowed).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the `count` candidates that take the fewest edits to become `word`, nearest first;
/// of equals, those that come first. Case does not count.
pub fn closest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
    count: usize,
) -> Vec<&'c str> {
    const CHARS_MAX: usize = 100;
    let word: String = word.to_lowercase().chars().take(CHARS_MAX).collect();
    // The beginning of a word counts as one mistake.
    let distance = |name: &str| if name.starts_with(&word) { 1 } else { edits(&word, name) };
    let mut ranked: Vec<_> = candidates.map(|name| (distance(name), name)).collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    ranked.into_iter().take(count).map(|(_, name)| name).collect()
}

/// Counts the insertions, deletions and replacements that make `b` of `a` (Levenshtein 1966).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("rate", "rate"), 0);
    }

    #[test]
    fn the_closest_come_first() {
        let known = ["llama-2-7b", "llama-3.1-8b", "qwen3-8b", "mixtral-8x7b"];
        assert_eq!(closest("LLAMA-3.1", known.into_iter(), 2), ["llama-3.1-8b", "llama-2-7b"]);
        assert_eq!(closest("x", known.into_iter(), 9).len(), 4);
    }

    #[test]
    fn what_was_probably_meant_is_found() {
        let known = ["max_concurrency", "rate", "ramp", "input_tokens", "api_key_env", "api"];
        let find = |word| nearest(word, known.into_iter());
        assert_eq!(find("Max-Concurrency"), Some("max_concurrency"));
        assert_eq!(find("input_token"), Some("input_tokens"));
        assert_eq!(find("api_key"), Some("api_key_env"));
        assert_eq!(find("rte"), Some("rate"));
        assert_eq!(find("a"), None);
        assert_eq!(find("temperature"), None);
        assert_eq!(find(&"x".repeat(100_000)), None);
    }
}
