//! `run.json`: what a run is, and once it is finished, its results.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::files::Outlasts;
use crate::schema::Schema;
use crate::write::claim;
use crate::{StoreError, files};

/// The header's format.
const SCHEMA: Schema = Schema::new("infermark.run", 1);

/// The content of `run.json`. What the values mean is for others to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// The format, such as `infermark.run/1`. Whoever writes a header, the store fills this in.
    pub schema: String,
    /// The run's name.
    pub id: String,
    /// When the run's epoch was on the wall clock, in RFC 3339.
    pub created: String,
    /// Whether the run has not ended, or was cut short.
    pub partial: bool,
    /// The version of the figures' definitions.
    pub definitions: String,
    /// Who was measured.
    pub target: Value,
    /// The resolved scenario.
    pub scenario: Value,
    /// Where and with what it was measured.
    pub environment: Value,
    /// What it takes, beside the rows, to measure again: the window and the like.
    pub plan: Value,
    /// The results, one for each operating point; empty until there are any.
    #[serde(default)]
    pub points: Vec<Value>,
    /// Keys that this build does not know: they are kept as they are.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What says whether a header can be read at all.
#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    schema: String,
    #[serde(default)]
    environment: Value,
}

impl RunFile {
    /// Begins a directory that holds other runs' records and has no rows of its own. It is made if
    /// need be.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotEmpty`] if there is something in `dir`; otherwise what the system says.
    pub fn begin(&self, dir: &Path) -> Result<(), StoreError> {
        claim(dir)?;
        self.write(dir, Outlasts::Power)
    }

    /// Replaces the header in `dir`: at every instant there is the old one or the new.
    ///
    /// # Errors
    ///
    /// What the system says; then the old one stands.
    pub fn replace(&self, dir: &Path) -> Result<(), StoreError> {
        self.write(dir, Outlasts::Power)
    }

    /// Reads the header in `dir`, without a look at any rows.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotARun`] without one, [`StoreError::Newer`] for one of a later version,
    /// otherwise what the system says or what is wrong with the file.
    pub fn of(dir: &Path) -> Result<Self, StoreError> {
        Self::read(dir)
    }

    /// Replaces the header of the run in `dir`.
    pub(crate) fn write(&self, dir: &Path, outlasts: Outlasts) -> Result<(), StoreError> {
        let path = dir.join(files::RUN);
        let header = Self { schema: SCHEMA.to_string(), ..self.clone() };
        let mut json = serde_json::to_vec_pretty(&header)
            .map_err(|source| StoreError::Header { path: path.clone(), source })?;
        json.push(b'\n');
        files::replace(&path, outlasts, |file| {
            file.write_all(&json).map_err(|source| StoreError::writing(&path, source))
        })
    }

    /// Reads the header of the run in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(files::RUN);
        let json = fs::read(&path).map_err(|source| {
            if source.kind() == ErrorKind::NotFound && dir.is_dir() {
                StoreError::NotARun { dir: dir.to_path_buf() }
            } else {
                StoreError::reading(&path, source)
            }
        })?;
        let invalid = |source| StoreError::Header { path: path.clone(), source };
        // First, so that a newer header is named as such rather than called invalid.
        let format: Format = serde_json::from_slice(&json).map_err(invalid)?;
        let writer = format.environment["version"].as_str().map(str::to_owned);
        SCHEMA.check(&path, &format.schema, writer)?;
        serde_json::from_slice(&json).map_err(invalid)
    }
}
