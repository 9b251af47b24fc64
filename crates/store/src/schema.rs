//! The names and versions of the formats.
//!
//! A file says its format as `<name>/<version>`. A version changes only when an older build would
//! misread the file; keys and columns may be added without. So a build reads every version up to
//! its own and refuses the newer ones by name.

use std::fmt;
use std::path::Path;

use crate::StoreError;

/// The name and the newest known version of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    name: &'static str,
    version: u32,
}

impl Schema {
    /// Names a format.
    pub(crate) const fn new(name: &'static str, version: u32) -> Self {
        Self { name, version }
    }

    /// Accepts the format that the file at `path` says it has, unless it is another or newer.
    /// `writer` is the version of infermark that wrote the file, where it says.
    pub(crate) fn check(
        self,
        path: &Path,
        found: &str,
        writer: Option<String>,
    ) -> Result<(), StoreError> {
        let version = found
            .strip_prefix(self.name)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|version| version.parse::<u32>().ok());
        let path = path.to_path_buf();
        let found = found.to_owned();
        match version {
            Some(version) if version <= self.version => Ok(()),
            Some(_) => Err(StoreError::Newer { path, found, reads: self.to_string(), writer }),
            None => Err(StoreError::Foreign { path, found, expected: self.to_string() }),
        }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let schema = Schema::new("infermark.run", 2);
        let check = |found: &str, writer: Option<&str>| {
            let checked = schema.check(Path::new("r/run.json"), found, writer.map(str::to_owned));
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check("infermark.run/1", None), Ok(()));
        assert_eq!(check("infermark.run/2", None), Ok(()));
        assert_eq!(
            check("infermark.run/3", Some("7.0.0")).unwrap_err(),
            "`r/run.json` has the format `infermark.run/3` (written by infermark 7.0.0); this \
             build reads up to `infermark.run/2`, so a newer infermark is needed"
        );
        for foreign in ["", "other/1", "infermark.run", "infermark.run/x", "infermark.running/1"] {
            assert_eq!(
                check(foreign, None).unwrap_err(),
                format!(
                    "`r/run.json` has the format `{foreign}` where `infermark.run/2` was expected"
                )
            );
        }
    }
}
