//! Writing a record in a peer's format.

use crate::record::Record;
use crate::vllm::Detail;
use crate::{PeersError, compressa, guidellm, hf, llmd, vllm};

/// A peer's format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// vLLM's result JSON, with the lists of single requests.
    VllmJson,
    /// The same without them.
    VllmSummary,
    /// vLLM's console block.
    VllmConsole,
    /// GuideLLM's `benchmarks.json`.
    Guidellm,
    /// inference-benchmarker's results file.
    Hf,
    /// compressa-perf's SQLite database.
    Compressa,
    /// The view `compressa-perf list --show-metrics --show-parameters`.
    CompressaList,
    /// llm-d's Benchmark Report v0.2, as JSON, which is YAML.
    Llmd,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 8] = [
        Self::VllmJson,
        Self::VllmSummary,
        Self::VllmConsole,
        Self::Guidellm,
        Self::Hf,
        Self::Compressa,
        Self::CompressaList,
        Self::Llmd,
    ];

    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VllmJson => "vllm-json",
            Self::VllmSummary => "vllm-summary",
            Self::VllmConsole => "vllm-console",
            Self::Guidellm => "guidellm",
            Self::Hf => "hf",
            Self::Compressa => "compressa",
            Self::CompressaList => "compressa-list",
            Self::Llmd => "llm-d",
        }
    }

    /// Returns the format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Says whether it is no text.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Compressa)
    }
}

/// Writes a record in a peer's format.
///
/// # Errors
///
/// [`PeersError::Nothing`] if no request was answered, where the format needs one.
pub fn export(record: &Record, format: Format) -> Result<Vec<u8>, PeersError> {
    if record.requests.is_empty() {
        return Err(PeersError::Nothing { peer: format.name() });
    }
    match format {
        Format::VllmJson => Ok(vllm::json(record, Detail::Requests)),
        Format::VllmSummary => Ok(vllm::json(record, Detail::Summary)),
        Format::VllmConsole => Ok(vllm::console(record).into_bytes()),
        Format::Guidellm => Ok(guidellm::write(record)),
        Format::Hf => hf::write(record),
        Format::Compressa => compressa::write(record),
        Format::CompressaList => Ok(compressa::listing(record).into_bytes()),
        Format::Llmd => llmd::write(record),
    }
}
