//! A log's settings as plain values, with Kafka's defaults.
//!
//! Must never parse a setting or know its name in a file.

use crate::batch::TimestampType;
use crate::validate::{CompressionRule, Rules};

/// The topic settings that the log acts on; each is named like Kafka's.
#[derive(Clone, PartialEq, Debug)]
pub struct LogConfig {
    pub segment_bytes: u32,
    pub segment_ms: i64,
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: u32,
    pub index_interval_bytes: u32,
    /// −1: no limit.
    pub retention_ms: i64,
    /// −1: no limit.
    pub retention_bytes: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub max_message_bytes: usize,
    /// `cleanup.policy` holds `delete`.
    pub delete: bool,
    /// `cleanup.policy` holds `compact`.
    pub compact: bool,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub compression: CompressionRule,
    /// How long tombstones and transaction markers stay once compaction has met them (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// The share of dirty bytes from which the log is compacted, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub file_delete_delay_ms: i64,
    pub preallocate: bool,
    /// The file of the active segment is made longer by so many bytes at a time, ahead of what is appended; 0: it ends with
    /// the last batch. A sync that need not write a new length takes two thirds of the time (the Raft log).
    pub length_step: u32,
    /// Offsets have no gaps and epochs never go back, so that one found after a loss of power is damage (Raft log).
    pub contiguous: bool,
    /// The epochs are kept in `leader-epoch-checkpoint`. A log whose batches are all read at each start can do without
    /// (the Raft log): each write of the file costs a sync of it and one of the directory.
    pub epoch_file: bool,
    /// Idle producers are forgotten after this time (`producer.id.expiration.ms`).
    pub producer_expiration_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            max_message_bytes: (1 << 20) + 12,
            delete: true,
            compact: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compression: CompressionRule::Producer,
            delete_retention_ms: 86_400_000,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            length_step: 0,
            contiguous: false,
            epoch_file: true,
            producer_expiration_ms: 86_400_000,
        }
    }
}

impl LogConfig {
    /// The part that validation needs, to be used outside the log's lock.
    pub fn rules(&self) -> Rules {
        Rules {
            max_message_bytes: self.max_message_bytes,
            compact: self.compact,
            timestamp_type: self.timestamp_type,
            before_max_ms: self.timestamp_before_max_ms,
            after_max_ms: self.timestamp_after_max_ms,
            compression: self.compression,
        }
    }

    /// The largest age of a segment: compacted topics must roll often enough to be compacted in time
    /// (`LogConfig.maxSegmentMs`).
    pub(crate) fn segment_ms_max(&self) -> i64 {
        if self.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// Entries that fit into an index file of `segment.index.bytes`.
    pub(crate) fn index_entries_max(&self, entry_len: u32) -> usize {
        (self.segment_index_bytes / entry_len) as usize
    }
}
