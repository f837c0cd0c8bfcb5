//! What the group coordinators get.

use std::time::Duration;

use super::super::Settings;
use super::Bounds;

/// Classic groups, and what all kinds share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    pub session_timeout: Bounds<Duration>,
    pub initial_rebalance_delay: Duration,
    pub max_size: usize,
    /// `classic`, `consumer`, `streams`, `share`.
    pub protocols: Vec<String>,
    pub offsets: OffsetsSettings,
    pub consumer: ConsumerGroupSettings,
    pub share: ShareGroupSettings,
    pub streams: StreamsGroupSettings,
}

/// `__consumer_offsets` and committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsSettings {
    pub topic_partitions: i32,
    pub topic_replication_factor: i16,
    /// The operator has set it.
    pub topic_replication_given: bool,
    pub topic_segment_bytes: i32,
    /// The codec of the topic's batches as a batch attribute; zero is none.
    pub topic_codec: i32,
    pub metadata_max_bytes: usize,
    pub retention: Duration,
    pub retention_check_interval: Duration,
    pub commit_timeout: Duration,
    pub load_buffer_bytes: usize,
}

/// How often a group's assignment may be computed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssignmentLimits {
    pub interval: Duration,
    pub bounds: Bounds<Duration>,
}

/// Consumer groups (KIP-848).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    pub session_timeout: Duration,
    pub session_timeout_bounds: Bounds<Duration>,
    pub heartbeat_interval: Duration,
    pub heartbeat_interval_bounds: Bounds<Duration>,
    pub max_size: usize,
    pub assignors: Vec<String>,
    /// `disabled`, `upgrade`, `downgrade` or `bidirectional`, in lower case.
    pub migration_policy: String,
    pub assignment: AssignmentLimits,
    pub regex_refresh_interval: Duration,
}

/// Share groups (KIP-932).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGroupSettings {
    pub session_timeout: Duration,
    pub session_timeout_bounds: Bounds<Duration>,
    pub heartbeat_interval: Duration,
    pub heartbeat_interval_bounds: Bounds<Duration>,
    pub max_size: usize,
    pub max_sessions: usize,
    pub assignment: AssignmentLimits,
    pub record_lock_duration: Duration,
    pub record_lock_duration_bounds: Bounds<Duration>,
    pub delivery_count_limit: i32,
    pub delivery_count_limit_bounds: Bounds<i32>,
    pub partition_max_record_locks: i32,
    pub partition_max_record_locks_bounds: Bounds<i32>,
    pub state: ShareStateSettings,
}

/// `__share_group_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareStateSettings {
    pub topic_partitions: i32,
    pub topic_replication_factor: i16,
    pub topic_min_isr: i16,
    pub topic_segment_bytes: i32,
    pub snapshot_update_records: i32,
    pub write_timeout: Duration,
}

/// Streams groups (KIP-1071).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsGroupSettings {
    pub session_timeout: Duration,
    pub session_timeout_bounds: Bounds<Duration>,
    pub heartbeat_interval: Duration,
    pub heartbeat_interval_bounds: Bounds<Duration>,
    pub max_size: usize,
    pub assignment: AssignmentLimits,
    pub standby_replicas: i32,
    pub standby_replicas_max: i32,
    pub initial_rebalance_delay: Duration,
}

impl Settings {
    pub fn groups(&self) -> GroupSettings {
        GroupSettings {
            session_timeout: self
                .millis_bounds("group.min.session.timeout.ms", "group.max.session.timeout.ms"),
            initial_rebalance_delay: self.millis("group.initial.rebalance.delay.ms"),
            max_size: self.count("group.max.size"),
            protocols: self.list("group.coordinator.rebalance.protocols"),
            offsets: self.offsets(),
            consumer: self.consumer_groups(),
            share: self.share_groups(),
            streams: self.streams_groups(),
        }
    }

    fn offsets(&self) -> OffsetsSettings {
        let minutes = u64::try_from(self.long("offsets.retention.minutes")).unwrap_or_default();
        OffsetsSettings {
            topic_partitions: self.int("offsets.topic.num.partitions"),
            topic_replication_factor: self.short("offsets.topic.replication.factor"),
            topic_replication_given: self.given().contains_key("offsets.topic.replication.factor"),
            topic_segment_bytes: self.int("offsets.topic.segment.bytes"),
            topic_codec: self.int("offsets.topic.compression.codec"),
            metadata_max_bytes: self.count("offset.metadata.max.bytes"),
            retention: Duration::from_secs(minutes * 60),
            retention_check_interval: self.millis("offsets.retention.check.interval.ms"),
            commit_timeout: self.millis("offsets.commit.timeout.ms"),
            load_buffer_bytes: self.count("offsets.load.buffer.size"),
        }
    }

    fn consumer_groups(&self) -> ConsumerGroupSettings {
        let policy = self.text("group.consumer.migration.policy").unwrap_or_default();
        ConsumerGroupSettings {
            session_timeout: self.millis("group.consumer.session.timeout.ms"),
            session_timeout_bounds: self.millis_bounds(
                "group.consumer.min.session.timeout.ms",
                "group.consumer.max.session.timeout.ms",
            ),
            heartbeat_interval: self.millis("group.consumer.heartbeat.interval.ms"),
            heartbeat_interval_bounds: self.millis_bounds(
                "group.consumer.min.heartbeat.interval.ms",
                "group.consumer.max.heartbeat.interval.ms",
            ),
            max_size: self.count("group.consumer.max.size"),
            assignors: self.list("group.consumer.assignors"),
            migration_policy: policy.to_ascii_lowercase(),
            assignment: AssignmentLimits {
                interval: self.millis("group.consumer.assignment.interval.ms"),
                bounds: self.millis_bounds(
                    "group.consumer.min.assignment.interval.ms",
                    "group.consumer.max.assignment.interval.ms",
                ),
            },
            regex_refresh_interval: self.millis("group.consumer.regex.refresh.interval.ms"),
        }
    }

    fn share_groups(&self) -> ShareGroupSettings {
        ShareGroupSettings {
            session_timeout: self.millis("group.share.session.timeout.ms"),
            session_timeout_bounds: self
                .millis_bounds("group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"),
            heartbeat_interval: self.millis("group.share.heartbeat.interval.ms"),
            heartbeat_interval_bounds: self.millis_bounds(
                "group.share.min.heartbeat.interval.ms",
                "group.share.max.heartbeat.interval.ms",
            ),
            max_size: self.count("group.share.max.size"),
            max_sessions: self.count("group.share.max.share.sessions"),
            assignment: AssignmentLimits {
                interval: self.millis("group.share.assignment.interval.ms"),
                bounds: self.millis_bounds(
                    "group.share.min.assignment.interval.ms",
                    "group.share.max.assignment.interval.ms",
                ),
            },
            record_lock_duration: self.millis("group.share.record.lock.duration.ms"),
            record_lock_duration_bounds: self.millis_bounds(
                "group.share.min.record.lock.duration.ms",
                "group.share.max.record.lock.duration.ms",
            ),
            delivery_count_limit: self.int("group.share.delivery.count.limit"),
            delivery_count_limit_bounds: Bounds {
                min: self.int("group.share.min.delivery.count.limit"),
                max: self.int("group.share.max.delivery.count.limit"),
            },
            partition_max_record_locks: self.int("group.share.partition.max.record.locks"),
            partition_max_record_locks_bounds: Bounds {
                min: self.int("group.share.min.partition.max.record.locks"),
                max: self.int("group.share.max.partition.max.record.locks"),
            },
            state: self.share_state(),
        }
    }

    fn share_state(&self) -> ShareStateSettings {
        ShareStateSettings {
            topic_partitions: self.int("share.coordinator.state.topic.num.partitions"),
            topic_replication_factor: self.short("share.coordinator.state.topic.replication.factor"),
            topic_min_isr: self.short("share.coordinator.state.topic.min.isr"),
            topic_segment_bytes: self.int("share.coordinator.state.topic.segment.bytes"),
            snapshot_update_records: self.int("share.coordinator.snapshot.update.records.per.snapshot"),
            write_timeout: self.millis("share.coordinator.write.timeout.ms"),
        }
    }

    fn streams_groups(&self) -> StreamsGroupSettings {
        StreamsGroupSettings {
            session_timeout: self.millis("group.streams.session.timeout.ms"),
            session_timeout_bounds: self.millis_bounds(
                "group.streams.min.session.timeout.ms",
                "group.streams.max.session.timeout.ms",
            ),
            heartbeat_interval: self.millis("group.streams.heartbeat.interval.ms"),
            heartbeat_interval_bounds: self.millis_bounds(
                "group.streams.min.heartbeat.interval.ms",
                "group.streams.max.heartbeat.interval.ms",
            ),
            max_size: self.count("group.streams.max.size"),
            assignment: AssignmentLimits {
                interval: self.millis("group.streams.assignment.interval.ms"),
                bounds: self.millis_bounds(
                    "group.streams.min.assignment.interval.ms",
                    "group.streams.max.assignment.interval.ms",
                ),
            },
            standby_replicas: self.int("group.streams.num.standby.replicas"),
            standby_replicas_max: self.int("group.streams.max.standby.replicas"),
            initial_rebalance_delay: self.millis("group.streams.initial.rebalance.delay.ms"),
        }
    }
}
