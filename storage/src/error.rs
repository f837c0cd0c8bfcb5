//! The error of everything that touches the disk; it always names the file.
//!
//! Must never choose a Kafka error code: the broker does that in one place.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

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

    /// True if something ran out (space, a quota, descriptors), so that the disk is well and may take the next one.
    pub fn is_shortage(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let Self::Io { source, .. } = self else { return false };
        let out_of_descriptors = source
            .raw_os_error()
            .is_some_and(|code| [Errno::MFILE, Errno::NFILE].contains(&Errno::from_raw_os_error(code)));
        out_of_descriptors || matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }
}

/// Adds the path and the deed to an `io::Result`.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StorageError>;

    /// The same with a path that is only made for the error: where every request comes by, it costs as much as the rest.
    fn at_path(self, doing: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, StorageError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::io(doing, path, source))
    }

    fn at_path(self, doing: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::io(doing, &path(), source))
    }
}
