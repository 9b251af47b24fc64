//! From a scenario's intent to the ask of each request.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use infermark_scenario::intent::{self, Distribution, PromptForm, PromptSource, TurnCount};
use infermark_terms::{Ask, Message, OutputPolicy, Prompt, RequestId, Seed, Turn};
use thiserror::Error;

use crate::compose::{Composer, Matter, Part};
use crate::dataset::{Census, Dataset, DatasetError, Keep};
use crate::lengths::Lengths;
use crate::lexicon::Lexicon;
use crate::tokenizer::{Site, TokenizeError, Tokenizer};
use crate::trace::{Player, Traces};

/// How lengths are counted on this side.
#[derive(Clone)]
pub enum Counter {
    /// By a tokenizer.
    Tokenizer(Yardstick),
    /// By words of the built-in list, since there is no tokenizer.
    Calibrated(Calibration),
}

impl Counter {
    /// Returns the counter that counts by this tokenizer.
    pub fn by(tokenizer: Arc<dyn Tokenizer>) -> Self {
        Self::Tokenizer(Yardstick { tokenizer, lexicon: Arc::default() })
    }
}

/// A tokenizer, with the words that were measured by it: once, however many count with it.
#[derive(Clone)]
pub struct Yardstick {
    tokenizer: Arc<dyn Tokenizer>,
    lexicon: Arc<OnceLock<Arc<Lexicon>>>,
}

impl Yardstick {
    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &Arc<dyn Tokenizer> {
        &self.tokenizer
    }

    /// Returns the words, measured now unless they were before.
    pub(crate) fn lexicon(&self) -> Result<Arc<Lexicon>, WorkloadError> {
        if let Some(lexicon) = self.lexicon.get() {
            return Ok(Arc::clone(lexicon));
        }
        let measured = Arc::new(Lexicon::measured(&*self.tokenizer)?);
        Ok(Arc::clone(self.lexicon.get_or_init(|| measured)))
    }
}

/// What a word costs, as the server counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Tokens of a word, its space included. Above 0.
    pub tokens_per_word: f64,
}

impl Calibration {
    /// One token a word: what is assumed until a probe has measured it.
    pub const ASSUMED: Self = Self { tokens_per_word: 1.0 };
}

impl Counter {
    /// Returns how much to write for so many tokens: tokens, or words; at least 1.
    pub(crate) fn units(&self, tokens: u32) -> u32 {
        match self {
            Self::Tokenizer(_) => tokens,
            Self::Calibrated(calibration) => {
                ((f64::from(tokens) / calibration.tokens_per_word).round() as u32).max(1)
            }
        }
    }

    /// Returns the tokenizer, if it may be called for each prompt.
    fn local(&self) -> Option<Arc<dyn Tokenizer>> {
        match self {
            Self::Tokenizer(by) if by.tokenizer.site() == Site::Local => {
                Some(Arc::clone(&by.tokenizer))
            }
            Self::Tokenizer(_) | Self::Calibrated(_) => None,
        }
    }
}

/// What the server adds to a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Tokens that a chat template or a begin-of-sequence token adds to each request.
    pub overhead: u32,
}

/// What is asked, request by request.
pub struct Workload {
    source: Source,
    output: Option<Lengths>,
    output_policy: OutputPolicy,
    form: PromptForm,
    template: Template,
    turns: Turns,
    seed: Seed,
}

/// How many turns a session has.
pub(crate) enum Turns {
    /// One: there are no sessions.
    One,
    /// So many, or as many as the dataset's conversation has.
    Drawn(Lengths),
    /// As many as the dataset's conversation has.
    All,
}

impl Turns {
    /// Gets ready to say how many turns sessions have.
    pub(crate) fn of(sessions: Option<&intent::Sessions>, seed: Seed) -> Self {
        match sessions.map(|sessions| sessions.turns) {
            None => Self::One,
            Some(TurnCount::All) => Self::All,
            Some(TurnCount::Drawn(law)) => {
                let counts = Lengths::new(law, 1, seed.named("turn counts"));
                Self::Drawn(counts.expect("a number of turns is at least 1"))
            }
        }
    }

    /// Returns how many this session has, of the `had` that there are.
    pub(crate) fn count(&self, session: u64, had: u32) -> u32 {
        match self {
            Self::One => 1,
            Self::All => had,
            Self::Drawn(counts) => counts.draw(RequestId(session)).min(had),
        }
    }
}

/// Returns the number by which a turn after a session's first draws its lengths and words: one that
/// no other turn and no session has.
pub(crate) fn drawn_by(turn: Turn, seed: Seed) -> RequestId {
    RequestId(seed.named("turns").at(turn.session).at(turn.index.into()).0)
}

/// A turn of a session after its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// What is said.
    pub messages: Vec<Message>,
    /// How many tokens to generate; absent: as many as the server likes.
    pub output_tokens: Option<u32>,
    /// Whether that is an order or a limit.
    pub output_policy: OutputPolicy,
}

/// Where prompts come from, ready to be asked.
enum Source {
    /// Made here.
    Made(Box<Maker>),
    /// Made here, in the lengths of a trace.
    Played(Box<Player>),
    /// From a file; with a tokenizer, its rows are counted.
    Rows { dataset: Dataset, tokenizer: Option<Arc<dyn Tokenizer>> },
}

/// Makes prompts of the lengths that were drawn.
struct Maker {
    composer: Composer,
    counter: Counter,
    lengths: Lengths,
}

impl Workload {
    /// Gets everything ready that [`Self::ask`] needs: measures words, reads the dataset. With
    /// `sessions`, [`Self::follow_up`] has turns after a session's first; a trace comes from
    /// `traces`.
    ///
    /// Input lengths that would leave no room for a word beside the template and the shared
    /// prefix are not drawn: the distribution's lower bound is raised. (A shared prefix, like
    /// the template, counts as part of the input length.)
    ///
    /// # Errors
    /// When no length leaves room, the dataset cannot be read, the tokenizer fails, or the form
    /// needs a tokenizer that there is not.
    pub fn prepare(
        intent: &intent::Workload,
        sessions: Option<&intent::Sessions>,
        counter: Counter,
        template: Template,
        traces: &Traces,
        seed: Seed,
    ) -> Result<Self, WorkloadError> {
        let source = match &intent.source {
            PromptSource::Synthetic { input_tokens, prefix } => {
                let matter = Matter::Words(*prefix);
                made(matter, *input_tokens, intent.form, counter, template, seed)?
            }
            PromptSource::Corpus { input_tokens } => {
                made(Matter::Prose, *input_tokens, intent.form, counter, template, seed)?
            }
            PromptSource::Trace { path } => {
                if intent.form == PromptForm::TokenIds && matches!(counter, Counter::Calibrated(_))
                {
                    return Err(WorkloadError::IdsNeedTokenizer);
                }
                let trace = traces.read(path)?;
                Source::Played(Box::new(Player::new(trace, counter, template, seed)?))
            }
            PromptSource::File { path, layout } => {
                let tokenizer = counter.local();
                if intent.form == PromptForm::TokenIds && tokenizer.is_none() {
                    return Err(WorkloadError::IdsNeedLocalTokenizer);
                }
                let keep = if sessions.is_some() { Keep::Whole } else { Keep::Opening };
                Source::Rows { dataset: Dataset::read(path, layout, keep)?, tokenizer }
            }
        };
        let lengths = |law| Lengths::new(law, 1, seed.named("output lengths"));
        Ok(Self {
            source,
            output: intent.output_tokens.and_then(lengths),
            output_policy: intent.output_policy,
            form: intent.form,
            template,
            turns: Turns::of(sessions, seed),
            seed,
        })
    }

    /// Returns what request `id` asks. Depends on nothing but the seed and the id.
    ///
    /// # Errors
    /// When no words sum to the length that was drawn (a tokenizer with few words), or a
    /// tokenizer fails on a row.
    pub fn ask(&self, id: RequestId) -> Result<Ask, WorkloadError> {
        let (prompt, input_tokens, answer_tokens) = match &self.source {
            Source::Made(maker) => {
                let tokens = maker.lengths.draw(id);
                let units = maker.counter.units(tokens - self.template.overhead);
                let prompt = maker.composer.prompt(id, units, self.form)?;
                (prompt, Some(tokens), None)
            }
            Source::Played(player) => {
                let (prompt, sizes) = player.ask(id, self.form)?;
                let answer = self.output_policy != OutputPolicy::Nothing;
                (prompt, Some(sizes.input), answer.then_some(sizes.output))
            }
            Source::Rows { dataset, tokenizer } => self.row(dataset, tokenizer.as_deref(), id)?,
        };
        let output_tokens = match &self.output {
            Some(lengths) => Some(lengths.draw(id)),
            None => answer_tokens,
        };
        let output_policy = self.output_policy;
        Ok(Ask { id, prompt, input_tokens, output_tokens, output_policy })
    }

    /// Returns how many turns this session has: at least 1, and 1 where there are no sessions.
    pub fn turns(&self, session: u64) -> u32 {
        let had = match &self.source {
            Source::Made(_) | Source::Played(_) => u32::MAX,
            Source::Rows { dataset, .. } => 1 + dataset.row(RequestId(session)).later.len() as u32,
        };
        self.turns.count(session, had)
    }

    /// Returns what a turn after a session's first adds to what was said before. The first is
    /// what [`Self::ask`] gives for the session's number. Depends on nothing but the seed and the
    /// turn.
    ///
    /// # Errors
    /// As [`Self::ask`].
    ///
    /// # Panics
    /// If the session [has no such turn](Self::turns), or it is the first.
    pub fn follow_up(&self, turn: Turn) -> Result<FollowUp, WorkloadError> {
        assert!((1..self.turns(turn.session)).contains(&turn.index), "{turn:?} is none to go on");
        let id = drawn_by(turn, self.seed);
        let (messages, answer) = match &self.source {
            Source::Made(maker) => {
                let tokens = maker.lengths.draw(id) - self.template.overhead;
                let seed = maker.composer.own_words(id);
                let own = Part { seed, tokens: maker.counter.units(tokens) };
                (said(maker.composer.joined(&[own], PromptForm::Text)?), None)
            }
            Source::Rows { dataset, tokenizer } => {
                let row = dataset.row(RequestId(turn.session));
                let later = &row.later[turn.index as usize - 1];
                let answer = later.answer.as_deref();
                (later.messages.clone(), self.answer_tokens(tokenizer.as_deref(), answer)?)
            }
            Source::Played(_) => panic!("a trace has no sessions"),
        };
        let output_tokens = self.output.as_ref().map(|lengths| lengths.draw(id)).or(answer);
        Ok(FollowUp { messages, output_tokens, output_policy: self.output_policy })
    }

    /// Returns what was found in the dataset, if prompts come from one.
    pub fn census(&self) -> Option<Census> {
        match &self.source {
            Source::Made(_) | Source::Played(_) => None,
            Source::Rows { dataset, .. } => Some(dataset.census()),
        }
    }

    /// Returns the tokens of a dataset's own answer, where they say how long one is to be.
    fn answer_tokens(
        &self,
        tokenizer: Option<&dyn Tokenizer>,
        answer: Option<&str>,
    ) -> Result<Option<u32>, WorkloadError> {
        let wanted = tokenizer.zip(answer).filter(|_| self.output.is_none());
        let tokens = wanted.map(|(tokenizer, answer)| tokenizer.count(answer)).transpose()?;
        Ok(tokens.filter(|&tokens| tokens > 0))
    }

    /// Returns the row's prompt, the tokens that the server should count, and the tokens of the
    /// dataset's own answer.
    fn row(
        &self,
        dataset: &Dataset,
        tokenizer: Option<&dyn Tokenizer>,
        id: RequestId,
    ) -> Result<(Prompt, Option<u32>, Option<u32>), WorkloadError> {
        let row = dataset.row(id);
        let Some(tokenizer) = tokenizer else {
            return Ok((row.prompt.clone(), None, None));
        };
        // The template was measured with one message; of more, it takes more.
        let (prompt, tokens) = match (&row.prompt, self.form) {
            (Prompt::Text(text), PromptForm::Text) => {
                (row.prompt.clone(), Some(tokenizer.count(text)?))
            }
            (Prompt::Text(text), PromptForm::TokenIds) => {
                let ids = tokenizer.encode(text)?;
                let tokens = ids.len() as u32;
                (Prompt::Tokens(ids), Some(tokens))
            }
            (prompt @ (Prompt::Messages(_) | Prompt::Tokens(_)), PromptForm::Text) => {
                (prompt.clone(), None)
            }
            (Prompt::Messages(_) | Prompt::Tokens(_), PromptForm::TokenIds) => {
                return Err(WorkloadError::IdsOfMessages);
            }
        };
        let answer = self.answer_tokens(Some(tokenizer), row.answer.as_deref())?;
        Ok((prompt, tokens.map(|tokens| tokens + self.template.overhead), answer))
    }
}

/// Returns a prompt as what a user says.
///
/// # Panics
///
/// If it is token ids: a conversation goes as text.
pub fn said(prompt: Prompt) -> Vec<Message> {
    match prompt {
        Prompt::Text(content) => vec![Message { role: "user".to_owned(), content }],
        Prompt::Messages(messages) => messages,
        Prompt::Tokens(_) => panic!("a conversation goes as text"),
    }
}

/// Gets ready to make prompts.
fn made(
    matter: Matter,
    law: Distribution,
    form: PromptForm,
    counter: Counter,
    template: Template,
    seed: Seed,
) -> Result<Source, WorkloadError> {
    if form == PromptForm::TokenIds && matches!(counter, Counter::Calibrated(_)) {
        return Err(WorkloadError::IdsNeedTokenizer);
    }
    let prefix = match matter {
        Matter::Words(Some(prefix)) => prefix.tokens,
        Matter::Words(None) | Matter::Prose => 0,
    };
    let floor = template.overhead.saturating_add(prefix).saturating_add(1);
    let lengths =
        Lengths::new(law, floor, seed.named("input lengths")).ok_or(WorkloadError::NoRoom {
            greatest: law_max(law),
            template: template.overhead,
            prefix,
        })?;
    // Composers count in units: a prefix, too, is words where there is no tokenizer.
    let matter = match matter {
        Matter::Words(Some(mut prefix)) => {
            prefix.tokens = counter.units(prefix.tokens);
            Matter::Words(Some(prefix))
        }
        Matter::Words(None) | Matter::Prose => matter,
    };
    let composer = Composer::new(matter, &counter, seed)?;
    Ok(Source::Made(Box::new(Maker { composer, counter, lengths })))
}

/// Returns the greatest length that can be drawn.
pub(crate) fn law_max(law: Distribution) -> u32 {
    match law {
        Distribution::Fixed(max)
        | Distribution::Normal { max, .. }
        | Distribution::Uniform { max, .. }
        | Distribution::LogNormal { max, .. } => max,
    }
}

/// Why a workload cannot be asked.
#[derive(Debug, Error)]
pub enum WorkloadError {
    /// No length leaves room for a word.
    #[error(
        "inputs of at most {greatest} tokens leave no room: the chat template takes {template} \
         and the shared prefix {prefix}"
    )]
    NoRoom {
        /// The greatest length that can be drawn.
        greatest: u32,
        /// What the template takes.
        template: u32,
        /// What the shared prefix takes.
        prefix: u32,
    },
    /// Lengths alone were asked for, of prompts from a file.
    #[error("the lengths of the prompts in {} are not known without a tokenizer", path.display())]
    NoOutline {
        /// The file.
        path: PathBuf,
    },
    /// Token ids were asked for, without a tokenizer.
    #[error("prompts as token ids need a tokenizer")]
    IdsNeedTokenizer,
    /// Token ids of a dataset were asked for, without a tokenizer in this process.
    #[error("a dataset's prompts as token ids need a tokenizer file")]
    IdsNeedLocalTokenizer,
    /// Token ids of a conversation were asked for; its template is the server's.
    #[error("a conversation cannot be sent as token ids")]
    IdsOfMessages,
    /// The tokenizer does not keep English words apart.
    #[error("no words of known length can be found for this tokenizer")]
    NoWords,
    /// Tokens span words, and the tokenizer is not at hand to count each prompt.
    #[error("this tokenizer has tokens across spaces, so prompts must be counted one by one")]
    JoinsWords,
    /// No words sum to the length.
    #[error("no prompt of exactly {tokens} tokens could be made for this tokenizer")]
    Unfillable {
        /// The length of the prompt or of its part.
        tokens: u32,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// The dataset cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

impl WorkloadError {
    /// Returns what to do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoRoom { .. } => Some("ask for longer inputs, or a shorter prefix"),
            Self::IdsNeedTokenizer | Self::IdsNeedLocalTokenizer | Self::JoinsWords => {
                Some("give the model's tokenizer.json with `--tokenizer PATH`")
            }
            Self::NoOutline { .. } => Some("give lengths with `--input-tokens`"),
            Self::IdsOfMessages => Some("send conversations as text, with `--api chat`"),
            Self::NoWords => Some("use a dataset, or `--tokenizer none`"),
            Self::Unfillable { .. } => Some("ask for other lengths, or use a dataset"),
            Self::Tokenize(_) => None,
            Self::Dataset(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests;
