//! How far the figures of one point, or of many, can be trusted: what every report says first.

use infermark_terms::{Caveat, Trust};

use crate::subject::{Origin, Subject, names};

/// A verdict in words.
pub(crate) struct Said {
    /// The verdict.
    pub(crate) trust: Trust,
    /// The same in one word.
    pub(crate) word: &'static str,
    /// What it means for a reader.
    pub(crate) words: String,
}

impl Said {
    fn new(trust: Trust, word: &'static str, words: impl Into<String>) -> Self {
        Self { trust, word, words: words.into() }
    }
}

const SOUND: &str = "nothing is known against these figures.";

/// Returns the verdict on the only point.
pub(crate) fn of_only_point(subject: &Subject) -> Said {
    match subject.doubts(0).verdict {
        Trust::Sound if subject.origin == Origin::Predicted => {
            let words = "as far as a prediction goes: nothing was measured.";
            Said::new(Trust::Sound, "Predicted", words)
        }
        Trust::Sound => Said::new(Trust::Sound, "Sound", SOUND),
        Trust::Doubtful => Said::new(Trust::Doubtful, "Doubtful", "read the caveats first."),
        Trust::Void => {
            Said::new(Trust::Void, "Void", "the instrument cannot vouch for these figures.")
        }
    }
}

/// Returns the verdict on many points: the worst, and of how many.
pub(crate) fn of_points(subjects: &[Subject]) -> Said {
    let verdicts = subjects
        .iter()
        .flat_map(|subject| (0..subject.points.len()).map(|index| subject.doubts(index).verdict));
    let verdicts: Vec<_> = verdicts.collect();
    let of = |verdict| verdicts.iter().filter(|one| **one == verdict).count();
    let all = verdicts.len();
    match [Trust::Void, Trust::Doubtful].map(of) {
        [0, 0] => Said::new(Trust::Sound, "Sound", SOUND),
        [0, doubtful] => {
            Said::new(Trust::Doubtful, "Doubtful", format!("{doubtful} of {all} points are."))
        }
        [void, doubtful] => {
            let words = format!("the instrument cannot vouch for {void} of {all} points");
            Said::new(Trust::Void, "Void", format!("{words}; {doubtful} more are doubtful."))
        }
    }
}

/// Returns each kind of doubt about each subject once, and each that is the same for several, with
/// where it is: at which point, and at how many more.
pub(crate) fn all(subjects: &[Subject]) -> Vec<(String, &Caveat)> {
    let mut doubts: Vec<Doubt<'_>> = Vec::new();
    for (place, (subject, name)) in subjects.iter().zip(names(subjects)).enumerate() {
        for index in 0..subject.points.len() {
            for caveat in &subject.doubts(index).caveats {
                let is_like = |known: &&mut Doubt<'_>| {
                    known.caveat.code == caveat.code
                        && (known.subject == place || known.caveat.detail == caveat.detail)
                };
                if let Some(known) = doubts.iter_mut().find(is_like) {
                    // A point may have two of a kind.
                    known.more += usize::from(known.last != (place, index));
                    known.last = (place, index);
                    continue;
                }
                let label = subject.full_label(index);
                let whose = if subjects.len() == 1 { label } else { format!("{name}, {label}") };
                doubts.push(Doubt { caveat, subject: place, whose, more: 0, last: (place, index) });
            }
        }
    }
    let doubts = doubts.into_iter().map(|Doubt { caveat, whose, more, .. }| match more {
        0 => (format!("at {whose}"), caveat),
        more => (format!("at {whose} and {more} more"), caveat),
    });
    doubts.collect()
}

/// A doubt, where it was met first, and at how many points more.
struct Doubt<'a> {
    caveat: &'a Caveat,
    /// Of which subject it is.
    subject: usize,
    whose: String,
    more: usize,
    /// The point at which it was met last, by subject and place.
    last: (usize, usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::subject;
    use crate::tests::Run;

    #[test]
    fn a_doubt_that_a_point_has_twice_counts_once() {
        let mut study = subject(&Run::closed(10), "a");
        let caveats = &mut study.points[0].trust.caveats;
        let again = caveats[0].clone();
        caveats.push(again);
        study.points = vec![study.points[0].clone(); 3];
        let (whose, _) = all(&[study]).remove(0);
        assert_eq!(whose, "at concurrency 2 and 2 more");
    }
}
