//! Laws of draft prompts, for tokenizers of every kind.

use std::collections::BTreeSet;

use super::*;
use crate::samples;
use crate::workload::Calibration;

fn composer(matter: Matter, tokenizer: &Arc<dyn Tokenizer>) -> Composer {
    Composer::new(matter, &Counter::by(Arc::clone(tokenizer)), Seed(5)).unwrap()
}

/// Small lengths, where the end of a prompt is all of it, and a few great ones.
fn lengths() -> impl Iterator<Item = u32> {
    (1..32).chain([64, 127, 128, 129, 511, 2000])
}

#[test]
fn prompts_have_the_asked_length_by_every_kind_of_tokenizer_and_letters_at_both_ends() {
    for (name, tokenizer) in samples::all() {
        for matter in [Matter::Words(None), Matter::Prose] {
            let composer = composer(matter, &tokenizer);
            assert!(composer.mender.is_none(), "{name}");
            for tokens in lengths() {
                let draft = composer.compose(RequestId(u64::from(tokens)), tokens).unwrap();
                assert_eq!(tokenizer.count(&draft.text).unwrap(), tokens, "{name}");
                assert_eq!(draft.ids.len() as u32, tokens, "{name}");
                let ends = [draft.text.bytes().next(), draft.text.bytes().next_back()];
                let letter = |byte: &Option<u8>| byte.unwrap().is_ascii_alphabetic();
                assert!(ends.iter().all(letter), "{name}: {}", draft.text);
            }
        }
    }
}

#[test]
fn a_tokenizer_that_joins_words_is_mended_to_the_asked_length() {
    let tokenizer = samples::spanning();
    for matter in [Matter::Words(None), Matter::Prose] {
        let composer = composer(matter, &tokenizer);
        assert!(composer.mender.is_some());
        for tokens in lengths() {
            let draft = composer.compose(RequestId(u64::from(tokens)), tokens).unwrap();
            assert_eq!(tokenizer.encode(&draft.text).unwrap(), draft.ids);
            assert_eq!(draft.ids.len() as u32, tokens);
        }
    }
    let remote = Counter::by(Arc::new(samples::Remote::of(tokenizer)));
    let error = Composer::new(Matter::Words(None), &remote, Seed(5)).err().unwrap();
    assert!(matches!(error, WorkloadError::JoinsWords), "{error}");
}

#[test]
fn a_tokenizer_behind_a_server_is_not_called_while_prompts_are_made() {
    let remote = Arc::new(samples::Remote::of(samples::small()));
    let counter = Counter::by(Arc::clone(&remote) as Arc<dyn Tokenizer>);
    let composer = Composer::new(Matter::Prose, &counter, Seed(5)).unwrap();
    let calls = remote.calls();
    for id in 0..20 {
        let draft = composer.compose(RequestId(id), 300).unwrap();
        assert_eq!(samples::small().count(&draft.text).unwrap(), 300);
    }
    assert_eq!(remote.calls(), calls);
    assert!(calls < 40, "{calls} calls");
}

#[test]
fn no_two_of_ten_thousand_prompts_share_their_first_block() {
    let counters = [
        (Counter::by(samples::small()), 10_000),
        (Counter::Calibrated(Calibration::ASSUMED), 2000),
    ];
    for (counter, prompts) in counters {
        for matter in [Matter::Words(None), Matter::Prose] {
            let composer = Composer::new(matter, &counter, Seed(5)).unwrap();
            let mut seen = BTreeSet::new();
            for id in 0..prompts {
                let text = composer.compose(RequestId(id), 16).unwrap().text;
                assert!(seen.insert(text), "request {id}");
            }
        }
    }
}

#[test]
fn running_text_runs() {
    let composer = composer(Matter::Prose, &samples::small());
    let text = composer.compose(RequestId(1), 400).unwrap().text;
    let words: Vec<_> = text.split(' ').collect();
    let middle = words[20..120].join(" ");
    let whole: String = include_str!("../../corpus/eighty-days.txt").replace('\n', " ");
    assert!(format!("{whole} {whole}").contains(&middle), "{middle}");
}

#[test]
fn requests_of_a_group_share_exactly_the_prefix() {
    let prefix = SharedPrefix { tokens: 50, groups: 4 };
    let composer = composer(Matter::Words(Some(prefix)), &samples::small());
    let prompts: Vec<_> =
        (0..200).map(|id| composer.compose(RequestId(id), 80).unwrap().ids).collect();
    assert!(prompts.iter().all(|ids| ids.len() == 80));
    let prefixes: BTreeSet<_> = prompts.iter().map(|ids| &ids[..50]).collect();
    assert_eq!(prefixes.len(), 4);
    let rests: BTreeSet<_> = prompts.iter().map(|ids| &ids[50..58]).collect();
    assert_eq!(rests.len(), 200);
}

#[test]
fn another_composer_makes_the_same_prompts_in_any_order() {
    let make = |matter| composer(matter, &samples::small());
    for matter in [Matter::Words(Some(SharedPrefix { tokens: 9, groups: 3 })), Matter::Prose] {
        let (one, other) = (make(matter), make(matter));
        let forth: Vec<_> = (0..50).map(|id| one.compose(RequestId(id), 40).unwrap()).collect();
        let mut back: Vec<_> =
            (0..50).rev().map(|id| other.compose(RequestId(id), 40).unwrap()).collect();
        back.reverse();
        assert_eq!(forth, back);
    }
}
