//! The broker settings that groups obey, as plain values.
//!
//! Must never read a settings file: whoever builds a shard fills this in.

use super::ConsumerConfig;

/// Defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub max_size: usize,
    /// Groups of the consumer protocol.
    pub consumer: ConsumerConfig,
    /// `offset.metadata.max.bytes`; Kafka counts characters (UTF-16 units), and so do we
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub expiry_interval_ms: i64,
}

/// How long a member that has never been in a generation may wait in a join before it has to ask again. Not a
/// setting in Kafka either (`GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
pub(super) const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1000;

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX as usize,
            consumer: ConsumerConfig::default(),
            offset_metadata_max: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600 * 1_000,
            expiry_interval_ms: 600_000,
        }
    }
}
