//! What requests ask in numbers alone: the lengths and the shared prefixes of the prompts that
//! [`Workload`](crate::Workload) makes, without making them.
//!
//! Invariant: with the same intent and seed, request for request the same lengths and groups as
//! the workload's, as long as no template raises the least input length.
//!
//! A trace's lengths and shared beginnings are its own. A turn of a session says all that was said
//! before it, and shares it with the turn before.
//!
//! Not here: prompts from files, whose lengths only a tokenizer knows.

use std::sync::Arc;

use infermark_scenario::intent::{self, Distribution, PromptSource, SharedPrefix};
use infermark_terms::{RequestId, Seed, Turn};

use crate::compose::group_of;
use crate::lengths::Lengths;
use crate::trace::{Trace, Traces};
use crate::workload::{Turns, WorkloadError, drawn_by, law_max};

/// Output tokens where the scenario leaves them to the model.
const OUTPUT_UNSAID: u32 = 256;

/// The lengths and shared prefixes of a workload.
pub struct Outline {
    source: Source,
    output: Option<Lengths>,
    turns: Turns,
    seed: Seed,
}

/// Where input lengths come from.
enum Source {
    Drawn { input: Lengths, prefix: Option<SharedPrefix> },
    Recorded(Arc<Trace>),
}

/// What one request asks, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Input tokens.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
}

impl Outline {
    /// Returns the outline of this workload; a trace comes from `traces`.
    ///
    /// # Errors
    /// When prompts come from a file, or no length leaves room beside the shared prefix.
    pub fn new(
        intent: &intent::Workload,
        sessions: Option<&intent::Sessions>,
        traces: &Traces,
        seed: Seed,
    ) -> Result<Self, WorkloadError> {
        let turns = Turns::of(sessions, seed);
        let lengths = |law: Distribution| Lengths::new(law, 1, seed.named("output lengths"));
        let output = intent.output_tokens.and_then(lengths);
        let (law, prefix) = match &intent.source {
            PromptSource::Synthetic { input_tokens, prefix } => (*input_tokens, *prefix),
            PromptSource::Corpus { input_tokens } => (*input_tokens, None),
            PromptSource::Trace { path } => {
                let source = Source::Recorded(traces.read(path)?);
                return Ok(Self { source, output, turns, seed });
            }
            PromptSource::File { path, .. } => {
                return Err(WorkloadError::NoOutline { path: path.clone() });
            }
        };
        let taken = prefix.map_or(0, |prefix| prefix.tokens);
        let input = Lengths::new(law, taken.saturating_add(1), seed.named("input lengths"));
        let input = input.ok_or(WorkloadError::NoRoom {
            greatest: law_max(law),
            template: 0,
            prefix: taken,
        })?;
        Ok(Self { source: Source::Drawn { input, prefix }, output, turns, seed })
    }

    /// Returns what request `id` asks. Depends on nothing but the seed and the id.
    pub fn sizes(&self, id: RequestId) -> Sizes {
        let recorded = match &self.source {
            Source::Drawn { input, .. } => Sizes { input: input.draw(id), output: OUTPUT_UNSAID },
            Source::Recorded(trace) => trace.sizes(id),
        };
        let drawn = self.output.as_ref().map(|lengths| lengths.draw(id));
        Sizes { output: drawn.unwrap_or(recorded.output), ..recorded }
    }

    /// Returns how many turns this session has; 1 where there are no sessions.
    pub fn turns(&self, session: u64) -> u32 {
        self.turns.count(session, u32::MAX)
    }

    /// Returns what a turn asks: as input, all that was said before it and its own words.
    pub fn turn_sizes(&self, turn: Turn) -> Sizes {
        let own = |index| match index {
            0 => self.sizes(RequestId(turn.session)),
            _ => self.sizes(drawn_by(Turn { index, ..turn }, self.seed)),
        };
        let said = (0..turn.index).map(own).map(|sizes| sizes.input.saturating_add(sizes.output));
        let said = said.fold(0_u32, u32::saturating_add);
        let Sizes { input, output } = own(turn.index);
        Sizes { input: said.saturating_add(input), output }
    }

    /// Returns the names of the whole blocks of so many tokens that a turn and its answer consist
    /// of: those of the turns before it, and more.
    pub fn turn_blocks(&self, turn: Turn, block_tokens: u32) -> Vec<u64> {
        let mut names = self.blocks(RequestId(turn.session), block_tokens);
        let Sizes { input, output } = self.turn_sizes(turn);
        let whole = input.saturating_add(output) / block_tokens;
        let own = self.seed.named("session blocks").at(turn.session);
        names.extend((names.len() as u32..whole).map(|at| own.at(u64::from(at)).0));
        names
    }

    /// Returns the names of the whole blocks of so many tokens that the request's prompt shares
    /// by intent with others, from its beginning on.
    pub fn blocks(&self, id: RequestId, block_tokens: u32) -> Vec<u64> {
        match &self.source {
            Source::Drawn { prefix: None, .. } => Vec::new(),
            Source::Drawn { prefix: Some(prefix), .. } => {
                let group = group_of(self.seed, *prefix, id);
                let names = self.seed.named("prefix blocks").at(group);
                (0..prefix.tokens / block_tokens).map(|at| names.at(u64::from(at)).0).collect()
            }
            Source::Recorded(trace) => trace.blocks(id, block_tokens, self.seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Calibration, Counter, Template, Workload};
    use infermark_scenario::intent::PromptForm;
    use infermark_terms::{Nanos, OutputPolicy, Prompt};

    fn intent(prefix: Option<SharedPrefix>) -> intent::Workload {
        let law = |min, max| Distribution::Uniform { min, max };
        intent::Workload {
            source: PromptSource::Synthetic { input_tokens: law(40, 90), prefix },
            output_tokens: Some(law(1, 50)),
            output_policy: OutputPolicy::Exact,
            form: PromptForm::Text,
        }
    }

    #[test]
    fn an_outline_has_the_lengths_and_groups_of_the_prompts() {
        let intent = intent(Some(SharedPrefix { tokens: 20, groups: 3 }));
        let counter = Counter::Calibrated(Calibration::ASSUMED);
        let (template, traces) = (Template::default(), Traces::default());
        let workload =
            Workload::prepare(&intent, None, counter, template, &traces, Seed(5)).unwrap();
        let outline = Outline::new(&intent, None, &traces, Seed(5)).unwrap();
        let mut beginnings = std::collections::BTreeMap::new();
        for id in (0..50).map(RequestId) {
            let (ask, sizes) = (workload.ask(id).unwrap(), outline.sizes(id));
            assert_eq!(
                (ask.input_tokens, ask.output_tokens),
                (Some(sizes.input), Some(sizes.output))
            );
            let Prompt::Text(text) = ask.prompt else { panic!("a text was asked for") };
            let beginning: String = text.chars().take(40).collect();
            let shared = outline.blocks(id, 10);
            assert_eq!(shared.len(), 2);
            assert_eq!(beginnings.entry(shared).or_insert_with(|| beginning.clone()), &beginning);
        }
        assert_eq!(beginnings.len(), 3);
    }

    #[test]
    fn turns_have_the_lengths_of_the_conversation_and_share_what_was_said() {
        let intent = intent(Some(SharedPrefix { tokens: 20, groups: 3 }));
        let sessions = intent::Sessions {
            turns: intent::TurnCount::Drawn(Distribution::Uniform { min: 2, max: 5 }),
            think_time: intent::ThinkTime::Fixed(Nanos::ZERO),
            counted: intent::Counted::Sessions,
            limit: None,
        };
        let counter = Counter::Calibrated(Calibration::ASSUMED);
        let (template, traces) = (Template::default(), Traces::default());
        let workload =
            Workload::prepare(&intent, Some(&sessions), counter, template, &traces, Seed(5));
        let workload = workload.unwrap();
        let outline = Outline::new(&intent, Some(&sessions), &traces, Seed(5)).unwrap();
        for session in 0..20 {
            let turns = outline.turns(session);
            assert_eq!(turns, workload.turns(session));
            let ask = workload.ask(RequestId(session)).unwrap();
            let mut said = ask.input_tokens.unwrap();
            let first = Turn { session, index: 0 };
            assert_eq!(outline.turn_sizes(first), outline.sizes(RequestId(session)));
            let mut before = outline.turn_blocks(first, 10);
            let mut answer = ask.output_tokens.unwrap();
            for index in 1..turns {
                let turn = Turn { session, index };
                let follow_up = workload.follow_up(turn).unwrap();
                // A word is a token here.
                let own = follow_up.messages[0].content.split_whitespace().count() as u32;
                said += answer + own;
                answer = follow_up.output_tokens.unwrap();
                assert_eq!(outline.turn_sizes(turn), Sizes { input: said, output: answer });
                let blocks = outline.turn_blocks(turn, 10);
                assert_eq!(blocks.len() as u32, (said + answer) / 10);
                assert!(blocks.starts_with(&before), "{turn:?}");
                before = blocks;
            }
        }
        let others = |session| outline.turn_blocks(Turn { session, index: 1 }, 10)[2..].to_vec();
        assert!(others(0).iter().all(|block| !others(1).contains(block)));
    }

    #[test]
    fn a_file_has_no_outline_and_a_prefix_needs_room() {
        let long = intent(Some(SharedPrefix { tokens: 90, groups: 1 }));
        let refusal =
            |intent| Outline::new(intent, None, &Traces::default(), Seed(1)).err().unwrap();
        assert!(matches!(refusal(&long), WorkloadError::NoRoom { .. }));
        let mut file = intent(None);
        file.source =
            PromptSource::File { path: "a.json".into(), layout: intent::FileLayout::ShareGpt };
        assert!(matches!(refusal(&file), WorkloadError::NoOutline { .. }));
    }
}
