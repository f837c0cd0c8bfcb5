//! The log of one partition on disk: appended at the end, read anywhere, cut at both ends; Kafka's files byte for
//! byte. Also holds the Raft log of the coordination service.
//!
//! Must never know a high watermark, a leader or a clock: bounds and times are values of the caller.

mod append;
mod clean;
mod config;
mod copy;
mod entries;
mod epochs;
mod error;
mod flush;
mod open;
mod place;
mod producers;
mod read;
mod rebuild;
mod retain;
mod scan;
mod segment;
mod snapshot;
mod tail;
mod times;
mod together;
mod truncate;
mod txn_index;
mod verifying;

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use append::Appended;
pub use clean::{CleanError, CleanStats, Cleanable, Cleaned, Cleaning, Means, OffsetMap, Pace};
pub use config::LogConfig;
pub use copy::CopyStep;
pub use error::{AppendError, ReadError};
pub use flush::FlushPlan;
pub use open::{OpenHow, OpenReport};
pub use read::LogSlice;
pub use retain::{Removal, RetainReport};
pub use times::FoundOffset;
pub use txn_index::AbortedTransaction;
pub use verifying::Guard;

use crate::StorageError;
use crate::error::At;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use epochs::Epochs;
use flush::Unsynced;
use place::Place;
use producers::Producers;
use segment::Segment;
use tail::Tail;
use verifying::Verifying;

/// One partition's log. One owner appends; readers take [`LogSlice`]s, which stay readable without the log.
#[derive(Debug)]
pub struct Log {
    place: Place,
    /// Shared by the partitions of a topic.
    config: Arc<LogConfig>,
    /// In order of their bases, never empty; the last one is appended to.
    segments: Vec<Segment>,
    log_start: Offset,
    log_end: Offset,
    recovery_point: Offset,
    epochs: Epochs,
    producers: Producers,
    /// Lost with the process, as the questions are.
    verifying: Verifying,
    /// Ends of the producer snapshots on disk.
    snapshots: BTreeSet<Offset>,
    tail: Tail,
    unsynced: Unsynced,
    /// When the first append that is not flushed came.
    waiting_since: Option<Timestamp>,
    /// When the first append after the last flush plan came.
    unplanned_since: Option<Timestamp>,
    /// Files to be removed when their time comes, by name.
    doomed: VecDeque<(Timestamp, String)>,
    /// A sync failed: what the kernel still has is not known any more, so nothing is taken or promised.
    poisoned: Arc<AtomicBool>,
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

impl Log {
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    pub fn set_config(&mut self, config: impl Into<Arc<LogConfig>>) {
        self.config = config.into();
    }

    /// Offset of the first record that may be read.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    /// Offset that the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end
    }

    /// Everything below is durable.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// What `recovery-point-offset-checkpoint` may say: recovery trusts the indexes of every segment below the one that
    /// holds this offset, and a flush syncs them only once their segment is closed. So while the segment that ends at
    /// the recovery point has newer indexes, this stays inside it.
    pub fn recovery_checkpoint(&self) -> Offset {
        let last = self.recovery_point.plus(-1);
        let fresh = last >= self.segments[0].base && !self.segments[self.segment_index(last)].indexes_synced;
        if fresh { last } else { self.recovery_point }
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// True if appends go to the segment that holds `offset`.
    pub fn is_in_active_segment(&self, offset: Offset) -> bool {
        self.segments.last().is_none_or(|active| offset >= active.base)
    }

    /// First offset of the segment that is appended to.
    pub fn active_base(&self) -> Offset {
        self.active().base
    }

    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// True if the log start lies inside a segment, so that only `log-start-offset-checkpoint` can tell it.
    pub fn log_start_needs_checkpoint(&self) -> bool {
        self.log_start > self.segments[0].base
    }

    /// First offset of the earliest transaction that is open, or whose marker is not below `high_watermark`; the
    /// last stable offset is the smaller of it and the high watermark.
    pub fn first_unstable_offset(&self, high_watermark: Offset) -> Option<Offset> {
        self.producers.first_unstable(high_watermark)
    }

    /// Forgets transactions that ended below the high watermark.
    pub fn settle_transactions(&mut self, high_watermark: Offset) {
        self.producers.settle(high_watermark);
    }

    /// The largest epoch not above the one asked for, and where it ends.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset(epoch, self.log_end)
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The first epoch that is known, and where it begins.
    pub fn earliest_epoch(&self) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.earliest()
    }

    /// The epoch that the record at `offset` was written in.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.of(offset)
    }

    /// Notes that an epoch begins here; a new leader does so before its first append.
    pub fn assign_epoch_start(&mut self, epoch: LeaderEpoch, offset: Offset) -> Result<(), StorageError> {
        let new = self.epochs.insert(epoch, offset);
        if new || self.epochs.unsaved { self.save_epochs() } else { Ok(()) }
    }

    fn save_epochs(&mut self) -> Result<(), StorageError> {
        if !self.config.epoch_file {
            return Ok(());
        }
        self.epochs.save(&self.place)?;
        self.unsynced.touch();
        Ok(())
    }

    /// The producers remembered, by id.
    pub fn producers(&self) -> Vec<ProducerEntry> {
        let entry = |(producer_id, producer): (ProducerId, &producers::Producer)| ProducerEntry {
            producer_id,
            epoch: producer.epoch,
            last_sequence: producer.last().map_or(-1, |written| written.last_sequence),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            transaction_start: producer.transaction_start,
        };
        self.producers.iter().map(entry).collect()
    }

    /// Whether anything of the producer is remembered: if not, its next batch may have any sequence.
    pub fn knows_producer(&self, id: ProducerId) -> bool {
        self.producers.knows_of(id)
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now: Timestamp) {
        self.producers.expire(now, self.config.producer_expiration_ms);
        self.verifying.expire(now, self.config.producer_expiration_ms);
    }

    /// Renames the directory (to `-delete`, `-stray` or back from `-future`); it must stay in its log directory.
    pub fn rename_dir(&mut self, to: &Path) -> Result<(), StorageError> {
        self.place.fs.rename(&self.place.dir, to).at("rename", &self.place.dir)?;
        self.place.dir = to.to_owned();
        match to.parent() {
            Some(parent) => self.place.fs.sync_dir(parent).at("sync", parent),
            None => Ok(()),
        }
    }

    /// Removes the log's directory with everything in it.
    pub fn delete(self) -> Result<(), StorageError> {
        self.place.fs.remove_dir_all(&self.place.dir).at("remove", &self.place.dir)
    }

    fn active(&self) -> &Segment {
        self.segments.last().expect("a log always has a segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log always has a segment")
    }

    /// The index of the segment whose range holds `offset`, which must not be below the first.
    fn segment_index(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    fn check_poison(&self) -> Result<(), StorageError> {
        if self.poisoned.load(Ordering::Acquire) {
            let failed = std::io::Error::other("an earlier sync failed");
            return Err(StorageError::io("use", &self.place.dir, failed));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
