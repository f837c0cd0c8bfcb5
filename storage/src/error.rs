//! The error of everything that touches the disk; it always names the file.
//!
//! Must never choose a Kafka error code: the broker does that in one place.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the disk, or a file that does not hold what its format demands.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is corrupt at byte {at}: {reason}", path.display())]
    Corrupt { path: PathBuf, at: u64, reason: String },
}

impl StorageError {
    /// Wraps `source` with what was being done to which file.
    pub fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// Reports content that breaks the file's format.
    pub fn corrupt(path: &Path, at: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), at, reason: reason.into() }
    }

    /// True if the disk is full, so that the caller can say so.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

/// Adds the path and the deed to an `io::Result`.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::io(doing, path, source))
    }
}
