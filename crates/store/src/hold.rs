//! A hold on a directory: says that somebody is writing there.
//!
//! It is an advisory lock on the directory itself, so it leaves nothing behind and ends with its
//! process, however that ends. Where the file system has no such locks nothing is held, and
//! nobody is kept out.

use std::fs::{File, TryLockError};
use std::path::Path;

/// Held as long as it lives.
#[derive(Debug)]
pub struct Hold {
    _dir: Option<File>,
}

impl Hold {
    /// Takes hold of a directory, unless somebody else has or it cannot be held.
    pub fn take(dir: &Path) -> Self {
        Self { _dir: File::open(dir).ok().filter(|dir| dir.try_lock().is_ok()) }
    }
}

/// Says whether somebody is writing in `dir`.
pub fn is_held(dir: &Path) -> bool {
    let refused = |dir: File| matches!(dir.try_lock_shared(), Err(TryLockError::WouldBlock));
    File::open(dir).is_ok_and(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_seen_as_long_as_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_held(dir.path()));
        let hold = Hold::take(dir.path());
        assert!(is_held(dir.path()));
        // Who only looks takes nothing.
        assert!(is_held(dir.path()));
        drop(Hold::take(dir.path()));
        assert!(is_held(dir.path()));
        drop(hold);
        assert!(!is_held(dir.path()));
        assert!(!is_held(&dir.path().join("nothing")));
    }
}
