//! Whom a record measured, as every report says first: read from its header.

use infermark_report::{Origin, Source, State, Verification};
use infermark_run::RunFile;
use serde_json::Value;

/// Whom a record measured, and what must not be overlooked.
pub(crate) struct Whom {
    /// A URL, or `sim:` and what follows.
    pub(crate) target: String,
    /// The model that was asked.
    pub(crate) model: String,
    /// The API that was spoken.
    pub(crate) api: String,
    /// The server's name and version, where it told.
    pub(crate) server: Option<String>,
    /// Where the figures come from.
    pub(crate) origin: Origin,
    /// Whether the server's certificate was checked.
    pub(crate) verification: Verification,
    /// Whether the record came to its end.
    pub(crate) state: State,
}

impl Whom {
    /// Reads it from a header.
    pub(crate) fn of(header: &RunFile) -> Self {
        let target = &header.target;
        let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
        let is = |key: &str| target[key] == Value::Bool(true);
        Self {
            target: text("url"),
            model: text("model"),
            api: text("api"),
            server: server(&target["server"]),
            origin: match (is("predicted"), is("embedded")) {
                (true, _) => Origin::Predicted,
                (false, true) => Origin::Embedded,
                (false, false) => Origin::Server,
            },
            verification: if is("unverified") { Verification::Off } else { Verification::Full },
            state: if header.partial { State::Partial } else { State::Complete },
        }
    }

    /// Returns what stands behind the figures, with the engine where there is one.
    pub(crate) fn source(&self) -> Source<'_> {
        match self.origin {
            Origin::Server => Source::Server,
            Origin::Embedded => Source::Embedded(&self.target),
            Origin::Predicted => Source::Predicted(&self.target),
        }
    }
}

/// Returns the server's name and version, as far as it told them.
fn server(server: &Value) -> Option<String> {
    let name = match server["name"].as_str()? {
        "vllm" => "vLLM",
        "sglang" => "SGLang",
        "llamacpp" => "llama.cpp",
        "ollama" => "Ollama",
        "tgi" => "TGI",
        "triton" => "Triton",
        "infermark" => "infermark",
        _ => return server["version"].as_str().map(|version| format!("version {version}")),
    };
    Some(match server["version"].as_str() {
        Some(version) if version.starts_with(name) => version.to_owned(),
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    })
}
