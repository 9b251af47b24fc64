//! How far a result can be trusted: typed doubts, each with a remedy.

use serde::{Deserialize, Serialize};

/// The verdict on the instrument, not on the server. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Nothing is known against the figures.
    Sound,
    /// Read the caveats first.
    Doubtful,
    /// The instrument cannot vouch for the figures.
    Void,
}

/// One doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caveat {
    /// Which.
    pub code: CaveatCode,
    /// How far it lowers the verdict.
    pub lowers_to: Trust,
    /// What was found, with the figures.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
}

/// The doubts of docs/metrics.md, section 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/metrics.md, section 9, defines each")]
pub enum CaveatCode {
    ClientBound,
    OutsideCalibration,
    StimulusOff,
    PromptLengthOff,
    OutputLengthOff,
    CacheContaminated,
    CountsDisagree,
    IdentityBroken,
    OneReplica,
    BelowPhysics,
    NotSteady,
    Saturated,
    TooFewSamples,
    MixedSources,
    DebugBuild,
}
