//! Why a load could not be measured.

use std::io;

use infermark_drive::EndpointError;
use thiserror::Error;

/// Why a load could not be measured.
#[derive(Debug, Error)]
pub enum CalibrateError {
    /// The system denies something.
    #[error("no {what} to be had")]
    System {
        /// What.
        what: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A process ended before it said what was asked.
    #[error("the process `{role}` ended before it said what was asked")]
    Ended {
        /// Its role.
        role: String,
    },
    /// A process said something else than was asked, or was told so.
    #[error("`{text}` is not what the process `{role}` should say")]
    Said {
        /// Its role.
        role: String,
        /// What it said.
        text: String,
    },
    /// The server's address does not resolve.
    #[error("the exact server cannot be reached")]
    Endpoint(#[from] EndpointError),
}

impl From<nix::Error> for CalibrateError {
    fn from(errno: nix::Error) -> Self {
        Self::System { what: "core, clock or event queue", source: errno.into() }
    }
}
