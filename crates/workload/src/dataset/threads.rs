//! Datasets of conversations: one JSON list, read element by element.

use std::fmt;
use std::io::{BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use infermark_terms::{Message, Prompt};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, SeqAccess, Visitor};

use super::{DatasetError, Keep, Later, Row, Rows};

/// Who asks, in `ShareGPT` files.
const ASKERS: [&str; 2] = ["human", "user"];

/// Who speaks, in the words of chat APIs.
const USER: &str = "user";
const ASSISTANT: &str = "assistant";

/// A conversation, in turns of either layout. What else stands there is of no use.
#[derive(Deserialize)]
struct Thread<T> {
    #[serde(default = "Vec::new")]
    conversations: Vec<T>,
}

/// A turn of a `ShareGPT` conversation.
#[derive(Deserialize)]
struct Turn {
    from: String,
    value: String,
}

/// Reads `ShareGPT`: the first human turn is asked, what follows it is the answer.
pub(super) fn share_gpt(
    path: &Path,
    text: impl Read,
    keep: Keep,
    rows: &mut Rows,
) -> Result<(), DatasetError> {
    each(path, text, "ShareGPT", |thread: Thread<Turn>| {
        let is_asker = |turn: &Turn| ASKERS.contains(&turn.from.as_str());
        let mut turns = thread.conversations.into_iter().peekable();
        let asked = turns.find(is_asker).map(|turn| turn.value).unwrap_or_default();
        let answer = turns.next_if(|turn| !is_asker(turn)).map(|turn| turn.value);
        let messages = turns.map(|turn| {
            let role = if is_asker(&turn) { USER } else { ASSISTANT };
            Message { role: role.to_owned(), content: turn.value }
        });
        let later = later(messages, keep);
        rows.push(Row { prompt: Prompt::Text(asked), answer, later });
    })
}

/// Reads conversations of messages with roles: those before the first assistant's are asked. Its
/// answers only part the turns.
pub(super) fn conversations(
    path: &Path,
    text: impl Read,
    keep: Keep,
    rows: &mut Rows,
) -> Result<(), DatasetError> {
    each(path, text, "role-and-content", |thread: Thread<Message>| {
        let mut messages = thread.conversations.into_iter().peekable();
        let mut asked = Vec::new();
        while let Some(message) = messages.next_if(|message| message.role != ASSISTANT) {
            asked.push(message);
        }
        let mut later = later(messages.skip_while(|message| message.role == ASSISTANT), keep);
        // Answers are asked for as long as the scenario says, the first and all others alike.
        for turn in &mut later {
            turn.answer = None;
        }
        rows.push(Row { prompt: Prompt::Messages(asked), answer: None, later });
    })
}

/// Splits what follows a first answer into turns: what is said up to an answer, and that answer.
fn later(messages: impl Iterator<Item = Message>, keep: Keep) -> Vec<Later> {
    let mut turns: Vec<Later> = Vec::new();
    if keep == Keep::Opening {
        return turns;
    }
    for message in messages {
        match (turns.last_mut(), message.role == ASSISTANT) {
            (Some(turn), true) if turn.answer.is_none() => turn.answer = Some(message.content),
            // A second answer in a row, or one to what is not kept, answers nothing.
            (_, true) => {}
            (Some(turn), false) if turn.answer.is_none() => turn.messages.push(message),
            (_, false) => turns.push(Later { messages: vec![message], answer: None }),
        }
    }
    turns
}

/// Hands each element of the file's list to `take`, and forgets it.
fn each<T: DeserializeOwned>(
    path: &Path,
    text: impl Read,
    layout: &'static str,
    take: impl FnMut(T),
) -> Result<(), DatasetError> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(text));
    let list = Elements { take, element: PhantomData };
    json.deserialize_seq(list).and_then(|()| json.end()).map_err(|source| {
        DatasetError::NotConversations { path: path.to_path_buf(), layout, source }
    })
}

/// Visits a list without keeping it.
struct Elements<T, F> {
    take: F,
    element: PhantomData<T>,
}

impl<'de, T: DeserializeOwned, F: FnMut(T)> Visitor<'de> for Elements<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            (self.take)(element);
        }
        Ok(())
    }
}
