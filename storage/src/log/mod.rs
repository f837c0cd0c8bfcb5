//! The log of one partition on disk: appended at the end, read anywhere, cut at both ends; Kafka's files byte for
//! byte. Also holds the Raft log of the coordination service.
//!
//! Must never know a high watermark, a leader or a clock: bounds and times are values of the caller.

mod config;
mod error;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub use config::LogConfig;
pub use error::{AppendError, ReadError};

use crate::StorageError;
use crate::fs::{File, Fs};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::validate::ValidBatch;

/// One partition's log. One owner appends; readers take [`LogSlice`]s, which stay readable without the log.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    config: LogConfig,
    log_start: Offset,
    log_end: Offset,
    recovery_point: Offset,
}

/// What is known of the log before it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenHow {
    /// The directory was stopped cleanly, so nothing is scanned.
    pub clean: bool,
    /// Everything below was flushed (`recovery-point-offset-checkpoint`, else 0).
    pub recovery_point: Offset,
    /// Records below were deleted (`log-start-offset-checkpoint`, else 0).
    pub log_start: Offset,
}

/// What opening did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenReport {
    /// Segments whose batches were all checked.
    pub scanned_segments: usize,
    /// Bytes that were cut from the end because they were no whole batch.
    pub cut_bytes: u64,
    /// Segments removed because they followed a cut.
    pub removed_segments: usize,
    /// Index files that were built again.
    pub rebuilt_indexes: usize,
}

/// A finished append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    pub first: Offset,
    pub last: Offset,
    /// The time that the broker set, also that of the original of a duplicate; −1 with CreateTime.
    pub append_time: Timestamp,
    /// The log had this batch already; nothing was written.
    pub duplicate: bool,
    /// Bytes written.
    pub bytes: usize,
    /// `flush.messages` is reached: the caller owes a flush before it answers.
    pub flush_due: bool,
    /// A new segment was begun.
    pub rolled: bool,
}

/// Bytes of the log in a file.
#[derive(Clone, Debug)]
pub struct LogSlice {
    pub file: Arc<dyn File>,
    pub position: u64,
    /// 0: nothing to read.
    pub len: usize,
    /// Base offset of the first batch, which may be smaller than the offset asked for.
    pub first: Offset,
}

/// A record found by its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundOffset {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub leader_epoch: LeaderEpoch,
}

/// What retention removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RetainReport {
    pub segments: usize,
    pub bytes: u64,
}

/// A producer that the log remembers (DescribeProducers).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerEntry {
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    /// −1: none.
    pub last_sequence: i32,
    pub last_timestamp: Timestamp,
    pub coordinator_epoch: i32,
    pub transaction_start: Option<Offset>,
}

/// Files to be synced outside the log's lock, for group commit: take it under the lock, [`run`](Self::run) it
/// without, then tell the log by [`Log::flushed`].
#[derive(Clone, Debug)]
pub struct FlushPlan {
    files: Vec<(PathBuf, Arc<dyn File>)>,
    dir: Option<(PathBuf, Arc<dyn Fs>)>,
    up_to: Offset,
}

impl FlushPlan {
    /// Syncs; everything below the offset returned is then durable.
    pub fn run(&self) -> Result<Offset, StorageError> {
        for (path, file) in &self.files {
            file.sync_data().map_err(|error| StorageError::io("sync", path, error))?;
        }
        if let Some((dir, fs)) = &self.dir {
            fs.sync_dir(dir).map_err(|error| StorageError::io("sync", dir, error))?;
        }
        Ok(self.up_to)
    }

    /// The files to sync, so that many plans can be joined into one `syncfs`.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The log's end when the plan was taken.
    pub fn up_to(&self) -> Offset {
        self.up_to
    }
}

/// Signatures; the bodies follow with the segment files.
impl Log {
    fn not_yet(&self) -> StorageError {
        StorageError::io("use", &self.dir, std::io::ErrorKind::Unsupported.into())
    }

    /// Opens the log in `dir`, created if it is missing; recovers it unless it was stopped cleanly.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        config: LogConfig,
        how: OpenHow,
        _now: Timestamp,
    ) -> Result<(Self, OpenReport), StorageError> {
        let log = Self {
            dir: dir.to_owned(),
            fs,
            config,
            log_start: how.log_start,
            log_end: how.log_start,
            recovery_point: how.recovery_point,
        };
        Ok((log, OpenReport::default()))
    }

    /// Gives the batch the next offsets and the leader epoch and writes it to the page cache.
    pub fn append_as_leader(
        &mut self,
        _batch: ValidBatch,
        _epoch: LeaderEpoch,
        _now: Timestamp,
    ) -> Result<Appended, AppendError> {
        Err(self.not_yet().into())
    }

    /// Writes batches with the offsets and epochs that they have; a last batch that is cut is left out.
    pub fn append_as_follower(&mut self, _records: Bytes, _now: Timestamp) -> Result<Appended, AppendError> {
        Err(self.not_yet().into())
    }

    /// The batches from `from` on, at most `max_bytes` (the last batch may be cut), none at or above `upper`.
    /// With `at_least_one` the first batch is given whole even if it is larger; without, a first batch that does
    /// not fit is cut too.
    pub fn read(
        &self,
        _from: Offset,
        _max_bytes: usize,
        _upper: Offset,
        _at_least_one: bool,
    ) -> Result<LogSlice, ReadError> {
        Err(self.not_yet().into())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    pub fn log_end_offset(&self) -> Offset {
        self.log_end
    }

    /// Everything below is durable.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        0
    }

    /// First offset of the earliest transaction that is open, or whose end is not below `high_watermark`; the last
    /// stable offset is the smaller of it and the high watermark.
    pub fn first_unstable_offset(&self, _high_watermark: Offset) -> Option<Offset> {
        None
    }

    /// The first record at or after a time, below `upper`.
    pub fn offset_for_timestamp(
        &self,
        _timestamp: Timestamp,
        _upper: Offset,
    ) -> Result<Option<FoundOffset>, StorageError> {
        Err(self.not_yet())
    }

    /// The record with the largest timestamp.
    pub fn max_timestamp(&self) -> Result<Option<FoundOffset>, StorageError> {
        Err(self.not_yet())
    }

    /// The largest epoch not above the one asked for, and where it ends.
    pub fn end_offset_for_epoch(&self, _epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        None
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        None
    }

    /// Notes that an epoch begins here (a new leader does so before its first append).
    pub fn assign_epoch_start(&mut self, _epoch: LeaderEpoch, _offset: Offset) -> Result<(), StorageError> {
        Err(self.not_yet())
    }

    /// Removes everything from `offset` on; true if anything was there.
    pub fn truncate_to(&mut self, _offset: Offset, _now: Timestamp) -> Result<bool, StorageError> {
        Err(self.not_yet())
    }

    /// Removes everything; the next append has this offset.
    pub fn truncate_fully_and_start_at(
        &mut self,
        _offset: Offset,
        _now: Timestamp,
    ) -> Result<(), StorageError> {
        Err(self.not_yet())
    }

    /// Hides everything below `offset` (DeleteRecords); whole segments go at the next [`retain`](Self::retain).
    pub fn advance_log_start(&mut self, _offset: Offset) -> Result<bool, StorageError> {
        Err(self.not_yet())
    }

    /// Removes old segments by time, size and log start; nothing at or above `highest_deletable`.
    pub fn retain(
        &mut self,
        _now: Timestamp,
        _highest_deletable: Offset,
    ) -> Result<RetainReport, StorageError> {
        Err(self.not_yet())
    }

    /// Removes the `.deleted` files whose delay has passed; when the next are due.
    pub fn remove_deleted(&mut self, _now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
        Err(self.not_yet())
    }

    /// Begins a new segment.
    pub fn roll(&mut self, _now: Timestamp) -> Result<(), StorageError> {
        Err(self.not_yet())
    }

    /// Makes everything durable, under the caller's lock.
    pub fn flush(&mut self) -> Result<Offset, StorageError> {
        let plan = self.flush_plan();
        let up_to = plan.run()?;
        self.flushed(up_to);
        Ok(up_to)
    }

    /// What must be synced to make everything appended so far durable.
    pub fn flush_plan(&mut self) -> FlushPlan {
        FlushPlan { files: Vec::new(), dir: Some((self.dir.clone(), self.fs.clone())), up_to: self.log_end }
    }

    /// Notes that a plan has run.
    pub fn flushed(&mut self, up_to: Offset) {
        self.recovery_point = self.recovery_point.max(up_to.min(self.log_end));
    }

    /// True if `flush.ms` has passed with something not flushed.
    pub fn flush_due(&self, _now: Timestamp) -> bool {
        false
    }

    /// The producers remembered, by id.
    pub fn producers(&self) -> Vec<ProducerEntry> {
        Vec::new()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, _now: Timestamp) {}

    /// Makes everything durable, trims what was reserved and leaves a producer snapshot, so that the next start
    /// need not scan.
    pub fn close_clean(mut self) -> Result<Offset, StorageError> {
        self.flush()
    }

    /// Renames the directory (to `-delete`, `-stray` or back from `-future`).
    pub fn rename_dir(&mut self, _to: &Path) -> Result<(), StorageError> {
        Err(self.not_yet())
    }

    /// Removes the log's directory with everything in it.
    pub fn delete(self) -> Result<(), StorageError> {
        self.fs.remove_dir_all(&self.dir).map_err(|error| StorageError::io("remove", &self.dir, error))
    }
}
