//! What a partition gives to readers, and up to where.
//!
//! It must never copy records, or show a consumer what is not committed.

use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, ProducerId};
use milena_storage::log::{AbortedTransaction, Log, LogSlice, ProducerEntry, ReadError};

use super::{Partition, PartitionError};

/// What a read gives: a slice of a file and the offsets that an answer tells.
#[derive(Debug)]
pub struct ReadAt {
    /// `None` when the reader must truncate first.
    pub slice: Option<LogSlice>,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    /// The epoch at which the reader's log diverges (KIP-595), with its end offset here.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// More follows in the next segment, so that a short slice is no reason to wait (DelayedFetch.tryComplete).
    pub in_older_segment: bool,
    /// For read_committed: the transactions among the records that were aborted.
    pub aborted: Vec<AbortedTransaction>,
    /// A replica nearer to the reader, which shall read there; nothing was read here (KIP-392).
    pub preferred: Option<BrokerId>,
}

impl ReadAt {
    /// Bytes of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slice.as_ref().map_or(0, |slice| slice.len)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a reader wants to go on, and within which limits.
#[derive(Clone, Copy, Debug)]
pub struct ReadFrom {
    pub offset: Offset,
    pub max_bytes: usize,
    /// Give a whole batch even when it is larger than `max_bytes`.
    pub at_least_one: bool,
    pub committed: bool,
    /// Read to the log's end, committed or not: for followers.
    pub whole: bool,
    /// Read from whichever replica this is: for consumers that know of KIP-392.
    pub any_replica: bool,
    /// The leader epoch that the reader knows; −1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that the reader has; −1 for none.
    pub last_fetched_epoch: i32,
}

impl Partition {
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerEntry> {
        self.peek(Log::producers).unwrap_or_default()
    }

    /// False, too, for a log that cannot be read: nothing is appended to it.
    #[must_use]
    pub fn knows_producer(&self, id: ProducerId) -> bool {
        self.peek(|log| log.knows_producer(id)).unwrap_or(false)
    }

    /// Reads a slice for a consumer, up to the high watermark or the last stable offset (Partition.readRecords).
    pub fn read(&self, at: ReadFrom) -> Result<ReadAt, PartitionError> {
        if at.any_replica {
            self.compare_epoch(at.current_leader_epoch)?;
        } else {
            self.check_epoch(at.current_leader_epoch)?;
        }
        let high_watermark = self.high_watermark();
        let log = self.lock()?;
        let last_stable_offset = last_stable(&log, high_watermark);
        let log_start_offset = log.log_start_offset();
        let log_end_offset = log.log_end_offset();
        let upper = match at {
            ReadFrom { whole: true, .. } => log_end_offset,
            ReadFrom { committed: true, .. } => last_stable_offset,
            _ => high_watermark,
        };
        let diverging = diverging(&log, &at)?;
        let in_older_segment = !log.is_in_active_segment(at.offset);
        let read = match diverging {
            Some(_) => Ok((None, Vec::new())),
            None => slice_of(&log, &at, upper).map(|(slice, aborted)| (Some(slice), aborted)),
        };
        drop(log);
        let (slice, aborted) = self.noted(read.map_err(PartitionError::from))?;
        Ok(ReadAt {
            slice,
            high_watermark,
            last_stable_offset,
            log_start_offset,
            log_end_offset,
            diverging,
            in_older_segment,
            aborted,
            preferred: None,
        })
    }

    /// Sends a consumer to a replica near it, if this broker leads and there is a better one than it.
    pub fn redirect(
        &self,
        at: ReadFrom,
        is_near: &dyn Fn(BrokerId) -> bool,
    ) -> Result<Option<ReadAt>, PartitionError> {
        let Some(preferred) = self.nearest(at.offset, is_near) else { return Ok(None) };
        self.compare_epoch(at.current_leader_epoch)?;
        let high_watermark = self.high_watermark();
        let log = self.lock()?;
        Ok(Some(ReadAt {
            slice: None,
            high_watermark,
            last_stable_offset: last_stable(&log, high_watermark),
            log_start_offset: log.log_start_offset(),
            log_end_offset: log.log_end_offset(),
            diverging: None,
            in_older_segment: false,
            aborted: Vec::new(),
            preferred: Some(preferred),
        }))
    }
}

/// The point where the reader's log leaves ours, if it does (KIP-595).
fn diverging(log: &Log, at: &ReadFrom) -> Result<Option<(LeaderEpoch, Offset)>, PartitionError> {
    if at.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let (epoch, end) =
        log.end_offset_for_epoch(LeaderEpoch(at.last_fetched_epoch)).ok_or(PartitionError::OutOfRange)?;
    if at.offset < log.log_start_offset() {
        return Err(PartitionError::OutOfRange);
    }
    Ok((epoch.0 < at.last_fetched_epoch || end < at.offset).then_some((epoch, end)))
}

/// The records below `upper`, and with read_committed the aborted transactions among them.
fn slice_of(
    log: &Log,
    at: &ReadFrom,
    upper: Offset,
) -> Result<(LogSlice, Vec<AbortedTransaction>), ReadError> {
    let slice = log.read(at.offset, at.max_bytes, upper, at.at_least_one)?;
    let aborted = if at.committed { log.aborted_in(at.offset, &slice)? } else { Vec::new() };
    Ok((slice, aborted))
}

/// Records that DeleteRecords hid do not count, even those of a transaction that is still open
/// (UnifiedLog.maybeIncrementFirstUnstableOffset).
pub(super) fn last_stable(log: &Log, high_watermark: Offset) -> Offset {
    let first = log.first_unstable_offset(high_watermark).map(|first| first.max(log.log_start_offset()));
    first.map_or(high_watermark, |first| first.min(high_watermark))
}
