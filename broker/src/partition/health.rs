//! Whether a log directory can be used. One failed write or sync ends the use of the whole directory until the next
//! start, since the disk below it cannot be trusted (LogDirFailureChannel, ReplicaManager.handleLogDirFailure).
//!
//! It must never bring a directory back: what the kernel could not write, it has forgotten.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milena_coordinator::replica::Shortage;
use milena_storage::StorageError;
use milena_storage::ids::Timestamp;
use milena_storage::log::AppendError;
use tokio::sync::watch;

use super::PartitionError;

/// The state of one directory, shared with every partition in it.
#[derive(Debug)]
pub struct DirHealth {
    path: PathBuf,
    failed: AtomicBool,
    failures: Failures,
}

/// Counts the directories that have failed; shared by all of a broker.
#[derive(Clone, Debug)]
pub struct Failures(Arc<watch::Sender<usize>>);

impl Default for Failures {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Failures {
    /// Changes with each directory that fails.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}

impl DirHealth {
    #[must_use]
    pub fn new(path: &Path, failures: Failures) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), failed: AtomicBool::new(false), failures })
    }

    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether a file lies in the directory.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }

    /// Takes the directory out of service; every partition in it is offline from here on.
    pub fn fail(&self, cause: &StorageError) {
        if self.failed.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!(dir = %self.path.display(), error = %cause, "a log directory failed and goes offline");
        self.failures.0.send_modify(|count| *count += 1);
    }

    /// Notes an error of the disk. A full disk, or a process out of descriptors, refuses what is new and harms
    /// nothing that is there, so the directory stays; damaged content is the partition's own matter.
    pub fn note(&self, cause: &StorageError) {
        if matches!(cause, StorageError::Io { .. }) && !cause.is_shortage() {
            self.fail(cause);
        }
    }
}

/// An append's outcome as it is told: a gap behind what the full disk refused is refused for the same reason.
pub(super) fn judged<T>(
    shortage: &Shortage,
    outcome: Result<T, AppendError>,
    now: Timestamp,
) -> Result<T, PartitionError> {
    if shortage.is_behind(&outcome, now) {
        return Err(PartitionError::BehindShortage);
    }
    outcome.map_err(PartitionError::from)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn error(source: io::Error) -> StorageError {
        StorageError::io("write", Path::new("/d/t-0/f"), source)
    }

    #[test]
    fn a_shortage_or_damage_is_survived_and_a_failure_is_not() {
        let failures = Failures::default();
        let health = DirHealth::new(Path::new("/d"), failures.clone());
        let watch = failures.watch();
        health.note(&error(io::ErrorKind::StorageFull.into()));
        health.note(&error(io::ErrorKind::QuotaExceeded.into()));
        health.note(&error(io::Error::from_raw_os_error(24)));
        health.note(&StorageError::corrupt(Path::new("/d/t-0/f"), 0, "damaged"));
        assert!(!health.has_failed() && *watch.borrow() == 0);
        health.note(&error(io::Error::from_raw_os_error(5)));
        health.note(&error(io::Error::from_raw_os_error(5)));
        assert!(health.has_failed() && *watch.borrow() == 1);
    }
}
