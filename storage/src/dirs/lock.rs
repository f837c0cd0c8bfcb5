//! The lock that keeps two brokers, of ours or Kafka's, out of one log directory.
//!
//! Must never be held by anything but the living process: the system drops it when the process ends.

use std::path::{Path, PathBuf};

use super::SMALL_FILE_MAX;
use crate::StorageError;
use crate::error::At;
use crate::fs::{Fs, Lock, Open};

pub const LOCK_FILE: &str = ".lock";

/// A log directory held by this process until dropped.
#[derive(Debug)]
pub struct DirLock {
    _lock: Box<dyn Lock>,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is in use by {holder}", dir.display())]
    Held { dir: PathBuf, holder: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl DirLock {
    /// Takes the lock and leaves `holder` (for example `process 1234, listening on ...`) in the file, where a
    /// second start finds it. Kafka leaves the file empty.
    pub fn take(fs: &dyn Fs, dir: &Path, holder: &str) -> Result<Self, LockError> {
        let path = dir.join(LOCK_FILE);
        let Some(lock) = fs.try_lock(&path).at("lock", &path)? else {
            let content = fs.read(&path, SMALL_FILE_MAX).unwrap_or_default();
            let holder = String::from_utf8_lossy(&content).trim().to_owned();
            let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
            return Err(LockError::Held { dir: dir.to_owned(), holder });
        };
        let locked = Self { _lock: lock };
        locked.describe(fs, dir, holder)?;
        Ok(locked)
    }

    /// Replaces the description of the holder, for example once the listeners are known.
    pub fn describe(&self, fs: &dyn Fs, dir: &Path, holder: &str) -> Result<(), StorageError> {
        let path = dir.join(LOCK_FILE);
        // `Open::Write` and not `replace`: another file under the name would not carry the lock.
        let file = fs.open(&path, Open::Write).at("open", &path)?;
        file.set_len(0).and_then(|()| file.write_at(format!("{holder}\n").as_bytes(), 0)).at("write", &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    #[test]
    fn a_second_start_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::take(&RealFs, dir.path(), "process 1234").unwrap();
        let error = DirLock::take(&RealFs, dir.path(), "process 5").unwrap_err();
        assert!(error.to_string().ends_with("is in use by process 1234"), "{error}");
        held.describe(&RealFs, dir.path(), "process 1234, listening on 9092").unwrap();
        let error = DirLock::take(&RealFs, dir.path(), "process 5").unwrap_err();
        assert!(error.to_string().ends_with("process 1234, listening on 9092"), "{error}");
        drop(held);
        DirLock::take(&RealFs, dir.path(), "process 5").unwrap();
    }
}
