//! A topic's settings in the form that logs and appends want.
//!
//! It must never read a setting by name: the settings' typed view has done that.

use milena_storage::batch::TimestampType;
use milena_storage::compress::Codec;
use milena_storage::log::LogConfig;
use milena_storage::validate::CompressionRule;

use super::TopicRules;
use crate::settings::TopicSettings;

/// What the log of a topic's partitions works with.
#[must_use]
pub fn log_config(topic: &TopicSettings, producer_expiration_ms: i64) -> LogConfig {
    LogConfig {
        segment_bytes: unsigned(topic.segment_bytes),
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: unsigned(topic.segment_index_bytes),
        index_interval_bytes: unsigned(topic.index_interval_bytes),
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        max_message_bytes: usize::try_from(topic.max_message_bytes).unwrap_or(0),
        delete: topic.delete,
        compact: topic.compact,
        timestamp_type: if topic.log_append_time {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        },
        timestamp_before_max_ms: topic.timestamp_before_max_ms,
        timestamp_after_max_ms: topic.timestamp_after_max_ms,
        compression: compression(topic),
        delete_retention_ms: topic.delete_retention_ms,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        preallocate: topic.preallocate,
        length_step: 0,
        contiguous: false,
        epoch_file: true,
        producer_expiration_ms,
    }
}

/// What appends to the topic must satisfy.
#[must_use]
pub fn topic_rules(topic: &TopicSettings, config: &LogConfig) -> TopicRules {
    TopicRules {
        validation: config.rules(),
        min_insync_replicas: usize::try_from(topic.min_insync_replicas).unwrap_or(1),
        only_compacted: topic.compact && !topic.delete,
    }
}

fn compression(topic: &TopicSettings) -> CompressionRule {
    match topic.compression_type.as_str() {
        "uncompressed" => CompressionRule::Always(Codec::None, None),
        "gzip" => CompressionRule::Always(Codec::Gzip, Some(topic.gzip_level)),
        "lz4" => CompressionRule::Always(Codec::Lz4, Some(topic.lz4_level)),
        "snappy" => CompressionRule::Always(Codec::Snappy, None),
        "zstd" => CompressionRule::Always(Codec::Zstd, Some(topic.zstd_level)),
        _ => CompressionRule::Producer,
    }
}

/// The table's checks keep these settings above zero.
fn unsigned(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}
