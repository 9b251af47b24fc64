//! Tokens of each chunk of an answer, estimated after the run.

use crate::tokenizer::{TokenizeError, Tokenizer};

/// Returns how many tokens each chunk of `text` brought; chunk *i* ends at byte `chunk_ends[i]`.
///
/// docs/metrics.md, section 2: "from re-tokenizing the cumulative text after the run
/// (`estimated`), never chunk by chunk". The whole text is encoded once; a token belongs to the
/// chunk that brought its last byte, so the sum is the count of the whole. Tokens behind the last
/// chunk's end are credited to the last chunk.
///
/// # Errors
/// When the text cannot be tokenized, or the tokenizer does not tell where tokens end.
pub fn recount(
    tokenizer: &dyn Tokenizer,
    text: &str,
    chunk_ends: &[usize],
) -> Result<Vec<u32>, TokenizeError> {
    let mut counts = vec![0; chunk_ends.len()];
    let Some(last) = chunk_ends.len().checked_sub(1) else {
        return Ok(counts);
    };
    for token_end in tokenizer.ends(text)? {
        let chunk = chunk_ends.partition_point(|&chunk_end| chunk_end < token_end);
        counts[chunk.min(last)] += 1;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;

    #[test]
    fn words_that_come_whole_are_counted_where_they_come() {
        let tokenizer = samples::byte_level();
        let counts = recount(&*tokenizer, "the man and the sea", &[3, 11, 19]).unwrap();
        assert_eq!(counts, [1, 2, 2]);
    }

    #[test]
    fn a_word_in_two_chunks_is_one_token_of_the_second() {
        let tokenizer = samples::byte_level();
        assert_eq!(recount(&*tokenizer, "the house", &[6, 9]).unwrap(), [1, 1]);
        assert!(recount(&*tokenizer, "the house", &[]).unwrap().is_empty());
    }

    #[test]
    fn a_tokenizer_that_cannot_tell_where_tokens_end_says_so() {
        let remote = samples::Remote::of(samples::small());
        let error = recount(&remote, "the house", &[9]).unwrap_err();
        assert_eq!(error.to_string(), "this tokenizer does not tell where tokens end");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn however_the_text_is_cut_the_sum_is_the_count_of_the_whole(
            text in "[a-z é日🙂\n]{1,60}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            ends.push(text.len());
            ends.sort_unstable();
            for (name, tokenizer) in samples::all() {
                let sum: u32 = recount(&*tokenizer, &text, &ends).unwrap().iter().sum();
                prop_assert_eq!(sum, tokenizer.count(&text).unwrap(), "{}", name);
            }
        }
    }
}
