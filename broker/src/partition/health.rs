//! Whether a log directory can be used. One failed write or sync ends the use of the whole directory until the next
//! start, since the disk below it cannot be trusted (LogDirFailureChannel, ReplicaManager.handleLogDirFailure).
//!
//! It must never bring a directory back: what the kernel could not write, it has forgotten.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

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

/// How long after the disk last refused a batch what comes behind it is refused, too, in milliseconds. Clients repeat the refused one within a
/// second (`retry.backoff.max.ms`); whoever has given it up must hear of the gap, or what comes behind is repeated until its time is up.
const SHORTAGE_MS: u64 = 10_000;

/// Stands for no time.
const NEVER: i64 = i64::MIN;

/// When the disk refused the last batch of a partition, unless it has taken one since.
#[derive(Debug)]
pub struct Shortage(AtomicI64);

impl Default for Shortage {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

impl Shortage {
    /// What a producer sent behind a batch that the full disk refused is refused for the same reason. Told of a gap in its
    /// sequence instead, librdkafka begins a new epoch and sends again what it has no answer for yet, in every partition:
    /// records twice. (Kafka gives the directory up, and answers so from then on.)
    pub fn judge<T>(&self, outcome: Result<T, PartitionError>, now: Timestamp) -> Result<T, PartitionError> {
        let is_gap = matches!(outcome, Err(PartitionError::Refused(AppendError::Sequence { .. })));
        let refused = self.0.load(Ordering::Acquire);
        if is_gap && refused != NEVER && refused.abs_diff(now.0) < SHORTAGE_MS {
            return Err(PartitionError::BehindShortage);
        }
        let is_short = matches!(&outcome, Err(PartitionError::Storage(cause)) if cause.is_shortage());
        if is_short || outcome.is_ok() {
            self.0.store(if is_short { now.0 } else { NEVER }, Ordering::Release);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn error(source: io::Error) -> StorageError {
        StorageError::io("write", Path::new("/d/t-0/f"), source)
    }

    fn gap() -> PartitionError {
        let producer_id = milena_storage::ids::ProducerId(7);
        PartitionError::Refused(AppendError::Sequence { producer_id, sequence: 9, last_sequence: 3 })
    }

    #[test]
    fn what_comes_behind_a_refusal_for_lack_of_room_is_refused_for_it() {
        let shortage = Shortage::default();
        let at = |ms: i64, outcome: Result<(), PartitionError>| {
            shortage.judge(outcome, Timestamp(1_000_000 + ms)).map_err(|error| error.code())
        };
        let told = |outcome: Result<(), PartitionError>| at(0, outcome);
        let full = || PartitionError::Storage(error(io::ErrorKind::StorageFull.into()));
        assert_eq!(told(Err(gap())), Err(45), "no batch was refused before it");
        assert_eq!(told(Err(full())), Err(56));
        assert_eq!(told(Err(gap())), Err(56));
        assert_eq!(told(Err(PartitionError::NotEnoughReplicas)), Err(19));
        assert_eq!(told(Err(gap())), Err(56), "the refused batch has not come again");
        assert_eq!(told(Ok(())), Ok(()));
        assert_eq!(told(Err(gap())), Err(45));
        assert_eq!(at(0, Err(full())), Err(56));
        assert_eq!(at(9_000, Err(full())), Err(56));
        assert_eq!(at(18_999, Err(gap())), Err(56), "it has come again, and was refused again");
        assert_eq!(at(19_000, Err(gap())), Err(45), "it does not come any more");
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
