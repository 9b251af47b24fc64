//! Datasets of conversations: one JSON list, read element by element.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::marker::PhantomData;
use std::path::Path;

use infermark_terms::{Message, Prompt};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, SeqAccess, Visitor};

use super::{DatasetError, Rows};

/// Who asks, in `ShareGPT` files.
const ASKERS: [&str; 2] = ["human", "user"];

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
pub(super) fn share_gpt(path: &Path, file: File, rows: &mut Rows) -> Result<(), DatasetError> {
    each(path, file, "ShareGPT", |thread: Thread<Turn>| {
        let mut turns = thread.conversations.into_iter();
        let asked = turns.find(|turn| ASKERS.contains(&turn.from.as_str()));
        let answer = turns.next().filter(|turn| !ASKERS.contains(&turn.from.as_str()));
        let text = asked.map(|turn| turn.value).unwrap_or_default();
        rows.push(Prompt::Text(text), answer.map(|turn| turn.value));
    })
}

/// Reads conversations of messages with roles: those before the first assistant's are asked.
pub(super) fn conversations(path: &Path, file: File, rows: &mut Rows) -> Result<(), DatasetError> {
    each(path, file, "role-and-content", |thread: Thread<Message>| {
        let messages = thread.conversations.into_iter();
        let asked = messages.take_while(|message| message.role != "assistant").collect();
        rows.push(Prompt::Messages(asked), None);
    })
}

/// Hands each element of the file's list to `take`, and forgets it.
fn each<T: DeserializeOwned>(
    path: &Path,
    file: File,
    layout: &'static str,
    take: impl FnMut(T),
) -> Result<(), DatasetError> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
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
