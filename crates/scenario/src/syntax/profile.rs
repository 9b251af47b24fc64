//! Profiles: names for the lengths of well-known workloads.

use super::{Codec, Fault, parse_line};
use crate::nearest::nearest;
use crate::settings::{INPUT_TOKENS, OUTPUT_TOKENS, Setting};

/// A workload that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    name: &'static str,
    input_tokens: &'static str,
    output_tokens: &'static str,
}

/// `chat` and `rag` are GuideLLM's presets; `code-generation`, `classification` and `fixed` have
/// the lengths that inference-benchmarker's source sends (its `fixed-length`); `summarization` is
/// the text summary of NVIDIA's guide to benchmarking NIM.
static PROFILES: [Profile; 6] = [
    Profile {
        name: "chat",
        input_tokens: "normal(512,128,1..1024)",
        output_tokens: "normal(256,64,1..1024)",
    },
    Profile {
        name: "rag",
        input_tokens: "normal(4096,512,2048..6144)",
        output_tokens: "normal(512,128,1..1024)",
    },
    Profile {
        name: "code-generation",
        input_tokens: "4096",
        output_tokens: "normal(50,10,30..80)",
    },
    Profile {
        name: "classification",
        input_tokens: "10000",
        output_tokens: "normal(50,10,30..80)",
    },
    Profile { name: "summarization", input_tokens: "1000", output_tokens: "200" },
    Profile { name: "fixed", input_tokens: "200", output_tokens: "800" },
];

/// A profile.
pub(crate) const PROFILE: Codec<Profile> = Codec { parse, print };

impl Profile {
    /// Returns the settings that it stands for, as the table's syntax writes them.
    pub(crate) fn settings(&self) -> [(&'static Setting, &'static str); 2] {
        [(&INPUT_TOKENS, self.input_tokens), (&OUTPUT_TOKENS, self.output_tokens)]
    }
}

fn parse(text: &str) -> Result<Profile, Fault> {
    let text = parse_line(text)?;
    PROFILES.iter().find(|profile| profile.name == text).cloned().ok_or_else(|| {
        let names = PROFILES.each_ref().map(|profile| profile.name);
        let fault = Fault::new("no such profile", names.join(", "));
        match nearest(text, names.into_iter()) {
            Some(guess) => fault.hint(format!("did you mean `{guess}`?")),
            None => fault,
        }
    })
}

fn print(profile: &Profile) -> String {
    profile.name.to_owned()
}
