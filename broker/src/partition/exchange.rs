//! One log of a partition for another: how a copy in another directory takes the place of the log (KIP-113).
//!
//! It must never run beside a cleaning, whose files are those of the log that goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use milena_storage::StorageError;
use milena_storage::ids::{Offset, Timestamp};
use milena_storage::log::{AppendError, CopyStep, Log, ReadError};

use super::health::DirHealth;
use super::{Partition, PartitionError};

/// Bytes that are copied under the log's lock at the end, at most: what came since the copy was level.
const UNDER_LOCK_MAX: usize = 256 << 10;

/// Keeps cleanings and exchanges apart. Each announces itself before it looks for the other.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    wanted: AtomicBool,
    cleaning: AtomicBool,
}

/// Where a copy is to take the partition.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    /// Index of the log directory.
    pub dir: usize,
    pub health: &'a Arc<DirHealth>,
    /// The partition's own directory there.
    pub path: &'a Path,
}

/// How far a copy is after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// So many bytes were copied, and there may be more.
    Behind(usize),
    Level,
}

/// Why a copy does not get on.
#[derive(Debug)]
pub(super) enum CopyFault {
    /// The log that is copied cannot be read.
    Original(PartitionError),
    /// The copy's directory does not take it.
    Copy(AppendError),
}

impl Partition {
    /// Says whether the log is about to be moved; then no cleaning begins, and one that runs ends
    /// (`LogManager.abortAndPauseCleaning`).
    pub fn set_moving(&self, moving: bool) {
        self.exchange.wanted.store(moving, Ordering::SeqCst);
        if !moving {
            self.cleaner_wake.notify_one();
        }
    }

    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.exchange.wanted.load(Ordering::SeqCst)
    }

    /// Begins a cleaning; false while the log is about to be moved.
    #[must_use]
    pub fn begin_cleaning(&self) -> bool {
        self.exchange.cleaning.store(true, Ordering::SeqCst);
        let begun = !self.is_moving();
        if !begun {
            self.end_cleaning();
        }
        begun
    }

    pub fn end_cleaning(&self) {
        self.exchange.cleaning.store(false, Ordering::SeqCst);
    }

    /// Looks at the log.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Log) -> T) -> Result<T, PartitionError> {
        self.lock().map(|log| look(&log))
    }

    /// Copies what comes next, reading outside the log's lock.
    pub(super) fn copy_some(
        &self,
        copy: &mut Log,
        max_bytes: usize,
        now: Timestamp,
    ) -> Result<Progress, CopyFault> {
        let looked = self.lock().map(|log| Missing::of(copy, &log, max_bytes));
        let missing = looked.map_err(CopyFault::Original)?;
        // A failed read is the original's, wherever the reader stands by now.
        let missing = self.noted(missing.and_then(Missing::read)).map_err(CopyFault::Original)?;
        missing.fill(copy, now).map_err(CopyFault::Copy)
    }

    /// Puts a copy in the place of the log when it is level, or nearly so; the copy is then the log that was replaced. False while
    /// it is behind, or a cleaning has not ended.
    pub(super) fn exchange(
        &self,
        copy: &mut Log,
        to: &Destination<'_>,
        now: Timestamp,
    ) -> Result<bool, CopyFault> {
        let mut log = self.lock().map_err(CopyFault::Original)?;
        if self.exchange.cleaning.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let mut left = UNDER_LOCK_MAX;
        loop {
            let missing = Missing::of(copy, &log, left).and_then(Missing::read);
            let missing = missing.map_err(|error| CopyFault::Original(error.into()))?;
            match missing.fill(copy, now).map_err(CopyFault::Copy)? {
                Progress::Level => break,
                Progress::Behind(bytes) if bytes < left => left -= bytes,
                Progress::Behind(_) => return Ok(false),
            }
        }
        copy.take_place_of(&mut log, to.path).map_err(|error| CopyFault::Copy(error.into()))?;
        std::mem::swap(copy, &mut *log);
        self.health.store(to.health.clone());
        self.dir.store(to.dir, Ordering::Release);
        Ok(true)
    }

    /// Notes a failure of the disk that holds the log; false if it is of another, which the log has left.
    pub(super) fn note_failure(&self, cause: &StorageError) -> bool {
        let health = self.health.load();
        if let StorageError::Io { path, .. } = cause
            && !health.holds(path)
        {
            return false;
        }
        health.note(cause);
        true
    }
}

/// What a copy misses.
struct Missing {
    step: CopyStep,
    log_start: Offset,
    dir: PathBuf,
}

/// The same, with the bytes.
struct Found {
    missing: Missing,
    records: Bytes,
}

impl Missing {
    fn of(copy: &Log, original: &Log, max_bytes: usize) -> Result<Self, ReadError> {
        let step = copy.next_copy_step(original, max_bytes)?;
        Ok(Self { step, log_start: original.log_start_offset(), dir: original.dir().to_owned() })
    }

    fn read(self) -> Result<Found, ReadError> {
        let records = match &self.step {
            CopyStep::Append(slice) => slice.read_all(),
            _ => Ok(Vec::new()),
        };
        let records = records.map_err(|error| StorageError::io("read", &self.dir, error))?;
        Ok(Found { missing: self, records: records.into() })
    }
}

impl Found {
    fn fill(self, copy: &mut Log, now: Timestamp) -> Result<Progress, AppendError> {
        let bytes = self.records.len();
        copy.take_copy_step(&self.missing.step, self.records, now)?;
        copy.advance_log_start(self.missing.log_start)?;
        let level = matches!(self.missing.step, CopyStep::Level);
        Ok(if level { Progress::Level } else { Progress::Behind(bytes) })
    }
}
